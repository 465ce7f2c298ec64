package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/crs"
	"cityhub/spatial/export"
)

// Path is below what the handler serves.
const Path = "/api/v1/spatial"

// Options of the handler.
type Options struct {
	Gate    city.Gate                                             // required
	Problem func(w http.ResponseWriter, r *http.Request, e error) // required: answers with a problem document
	BaseURL func(r *http.Request) string                          // "scheme://host"; nil: links begin with the path
	Saved   Saved                                                 // nil: there are no saved questions
	Who     func(r *http.Request) Caller                          // owners of saved questions; nil: nobody is signed in
	// Upstream finds what lies upstream in a network; nil: the step is an error.
	Upstream Upstream
	Limits   Limits           // zero: the defaults
	TempDir  string           // where a GeoPackage is made; empty: that of the system
	Now      func() time.Time // nil: time.Now
	Logger   *slog.Logger     // nil: no log
}

type handler struct {
	o         Options
	mux       *http.ServeMux
	engine    *Engine
	waiting   chan struct{} // a place for each question that is computed
	downloads chan struct{} // and for each download that runs
}

// New makes the handler of Path. Answers depend on the caller; nothing is kept
// of them.
func New(o Options) (http.Handler, error) {
	if o.Gate == nil || o.Problem == nil {
		return nil, errors.New("spatial/query: Gate and Problem are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &handler{o: o, mux: http.NewServeMux(), engine: &Engine{Limits: o.Limits, Upstream: o.Upstream, Now: o.Now}}
	h.waiting = make(chan struct{}, o.Limits.defaults().Waiting)
	h.downloads = make(chan struct{}, 4*o.Limits.defaults().Waiting)
	h.handle("POST /query", h.postQuery)
	h.handle("GET /query", h.getQuery)
	h.handle("GET /schema", h.schema)
	h.handle("GET /openapi.json", h.openAPI)
	h.handle("GET /download/{collection}", h.download)
	if o.Saved != nil {
		h.handle("GET /questions", h.listQuestions)
		h.handle("POST /questions", h.createQuestion)
		h.handle("GET /questions/{id}", h.getQuestion)
		h.handle("PUT /questions/{id}", h.putQuestion)
		h.handle("DELETE /questions/{id}", h.deleteQuestion)
		h.handle("GET /questions/{id}/run", h.runQuestion)
	}
	return h, nil
}

func (h *handler) handle(pattern string, fn func(http.ResponseWriter, *http.Request) error) {
	method, path, _ := strings.Cut(pattern, " ")
	h.mux.HandleFunc(method+" "+Path+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept, Authorization, Cookie")
		w.Header().Set("Cache-Control", "private, no-cache")
		if err := fn(w, r); err != nil {
			h.problem(w, r, err)
		}
	})
}

// problem answers an error. Where the client has gone nobody reads it.
func (h *handler) problem(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	h.o.Problem(w, r, err)
}

// ServeHTTP answers what is below Path.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := h.mux.Handler(r); pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	// The mux would answer in plain text.
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		try := r.Clone(r.Context())
		try.Method = m
		if _, pattern := h.mux.Handler(try); pattern != "" {
			allow = append(allow, m)
		}
	}
	if len(allow) == 0 {
		h.o.Problem(w, r, &city.Error{Code: city.NotFound, Message: "there is nothing at " + clip(r.URL.Path)})
		return
	}
	// RFC 9110 section 15.5.6. The problem documents have no code for it.
	w.Header().Set("Allow", strings.Join(allow, ", "))
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusMethodNotAllowed)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": "Method Not Allowed", "status": 405, "detail": "expected " + strings.Join(allow, " or ")})
}

func (h *handler) now() time.Time {
	if h.o.Now != nil {
		return h.o.Now()
	}
	return time.Now()
}

func (h *handler) base(r *http.Request) string {
	if h.o.BaseURL == nil {
		return ""
	}
	return h.o.BaseURL(r)
}

func (h *handler) json(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone: there is nobody left to tell
	return nil
}

// params are the parameters of a request.
type params struct{ url.Values }

// params checks that a request has none but the given parameters, each once.
func (h *handler) params(r *http.Request, names ...string) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return params{}, &city.Error{Code: city.Invalid, Field: "query", Message: "the parameters cannot be read: " + err.Error()}
	}
	given := make([]string, 0, len(values))
	for name := range values {
		given = append(given, name)
	}
	slices.Sort(given)
	for _, name := range given {
		switch {
		case !slices.Contains(names, name):
			return params{}, &city.Error{Code: city.Invalid, Field: clip(name), Message: "there is no such parameter; expected " + strings.Join(append([]string{}, names...), ", ")}
		case len(values[name]) > 1:
			return params{}, &city.Error{Code: city.Invalid, Field: name, Message: "found it more than once"}
		}
	}
	return params{values}, nil
}

func (p params) get(name string) string { return p.Get(name) }

func (p params) integer(name string, absent, least, most int) (int, error) {
	if !p.Has(name) {
		return absent, nil
	}
	n, err := strconv.Atoi(p.Get(name))
	if err != nil || n < least || n > most {
		return 0, &city.Error{Code: city.Invalid, Field: name, Message: fmt.Sprintf("found %q, expected a number from %d to %d", clip(p.Get(name)), least, most)}
	}
	return n, nil
}

// formatParams are the parameters of every table.
func formatParams() []string { return []string{"f", "crs", "geometry", "bom"} }

// ndjson is the format in which progress is told.
const ndjson export.Format = "ndjson"

// format reads in which format the table is to be written: f, else Accept.
func format(r *http.Request, p params) (export.Format, error) {
	all := append(export.Formats(), ndjson)
	if p.Has("f") {
		f := export.Format(p.Get("f"))
		switch f { // the names that others use
		case "json":
			f = export.GeoJSON
		case "parquet":
			f = export.GeoParquet
		case "geopackage":
			f = export.GeoPackage
		}
		if !slices.Contains(all, f) {
			return "", &city.Error{Code: city.Invalid, Field: "f", Message: fmt.Sprintf("found %q, expected one of %v", clip(p.Get("f")), all)}
		}
		return f, nil
	}
	best, quality := export.Format(""), 0.0
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return export.GeoJSON, nil
	}
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		media, args, _ := strings.Cut(part, ";")
		q := 1.0
		for _, arg := range strings.Split(args, ";") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(arg), "q="); ok {
				q, _ = strconv.ParseFloat(v, 64)
			}
		}
		var f export.Format
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/geo+json", "application/json", "application/*", "*/*":
			f = export.GeoJSON
		case "text/csv", "text/*":
			f = export.CSV
		case "application/vnd.apache.parquet", "application/x-parquet":
			f = export.GeoParquet
		case "application/geopackage+sqlite3", "application/vnd.sqlite3":
			f = export.GeoPackage
		case "application/x-ndjson":
			f = ndjson
		}
		if f != "" && q > quality {
			best, quality = f, q
		}
	}
	if best == "" {
		return "", &city.Error{Code: city.NotAcceptable, Field: "Accept", Message: "none of the media types asked for is served; expected application/geo+json, text/csv, application/vnd.apache.parquet, application/geopackage+sqlite3 or application/x-ndjson"}
	}
	return best, nil
}

// tableOptions reads how a table is to be written.
func (h *handler) tableOptions(p params) (export.Options, error) {
	o := export.Options{TempDir: h.o.TempDir, Now: h.now}
	switch g := p.Get("geometry"); g {
	case "", "wkt":
	case "lonlat":
		o.Geometry = export.LonLat
	case "none":
		o.Geometry = export.Without
	default:
		return o, &city.Error{Code: city.Invalid, Field: "geometry", Message: fmt.Sprintf("found %q, expected wkt, lonlat or none", clip(g))}
	}
	switch b := p.Get("bom"); b {
	case "", "false":
	case "true":
		o.BOM = true
	default:
		return o, &city.Error{Code: city.Invalid, Field: "bom", Message: fmt.Sprintf("found %q, expected true or false", clip(b))}
	}
	if p.Has("crs") {
		c, err := crs.Parse(p.Get("crs"))
		if err != nil {
			return o, &city.Error{Code: city.Invalid, Field: "crs", Message: err.Error()}
		}
		o.CRS = c
	}
	return o, nil
}

// begin prepares the answer of a table and makes its writer.
func (h *handler) begin(w http.ResponseWriter, f export.Format, o export.Options, name string) (export.Writer, *counter, error) {
	out := &counter{w: w, ctl: http.NewResponseController(w)}
	ew, err := export.New(out, f, o)
	if err != nil {
		var wrong *export.Error
		if errors.As(err, &wrong) {
			code := city.Invalid
			if wrong.Field == "crs" {
				code = city.NotAcceptable
			}
			return nil, nil, &city.Error{Code: code, Field: wrong.Field, Message: wrong.Message}
		}
		return nil, nil, &city.Error{Code: city.Unavailable, Message: "the file cannot be written", Err: err}
	}
	out.header = func() {
		w.Header().Set("Content-Type", f.MediaType())
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+f.Extension()+`"`)
		if f == export.GeoJSON {
			w.Header().Set("Content-Disposition", `inline; filename="`+name+f.Extension()+`"`)
		}
		if o.CRS != nil {
			w.Header().Set("Content-Crs", "<"+o.CRS.URI()+">")
		} else {
			w.Header().Set("Content-Crs", "<http://www.opengis.net/def/crs/OGC/1.3/CRS84>")
		}
	}
	return ew, out, nil
}

// patience is how long a client may take nothing of an answer.
const patience = time.Minute

// counter sets the headers before the first byte, and gives up on a client that
// takes nothing.
type counter struct {
	w      http.ResponseWriter
	ctl    *http.ResponseController
	header func()
	n      int64
}

// Write writes on.
func (c *counter) Write(b []byte) (int, error) {
	if c.n == 0 {
		c.header()
	}
	_ = c.ctl.SetWriteDeadline(time.Now().Add(patience)) // where there are none, the server's own holds
	n, err := c.w.Write(b)
	c.n += int64(n) + 1 // also an attempt that fails has sent the headers
	return n, err
}

// end leaves the connection without the deadline, for the next request on it.
func (c *counter) end() { _ = c.ctl.SetWriteDeadline(time.Time{}) }

// failed ends an answer: with a problem document where nothing has been sent
// yet, else by cutting the connection, so that nobody takes a part for the whole.
func (h *handler) failed(r *http.Request, c *counter, err error) error {
	if c.n == 0 {
		return err
	}
	if r.Context().Err() == nil {
		h.o.Logger.Error("a table was cut off", "path", r.URL.Path, "err", err)
	}
	panic(http.ErrAbortHandler)
}
