package features

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/store"
)

// call is one request on its way.
type call struct {
	h      *handler
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	view   *city.View
	base   string // of URLs: scheme://host/ogc
	query  url.Values
	lang   string // zh or en
	format format
	now    time.Time
}

// resource is what one path serves.
type resource struct {
	formats []format
	params  []string // besides f and lang
	open    bool     // other parameters are checked by get
	get     func(*call) error
	edit    map[string]func(*call) error // by method
}

func (h *handler) route() {
	h.mux = http.NewServeMux()
	h.handle("/ogc", resource{formats: documents, get: (*call).landing})
	h.handle("/ogc/{$}", resource{formats: documents, get: (*call).landing})
	h.handle("/ogc/conformance", resource{formats: documents, get: (*call).conformance})
	h.handle("/ogc/api", resource{formats: []format{formatOpenAPI, formatHTML}, get: (*call).api})
	h.handle("/ogc/collections", resource{formats: documents, get: (*call).collections})
	h.handle("/ogc/collections/{collection}", resource{formats: documents, get: (*call).collection})
	h.handle("/ogc/collections/{collection}/queryables", resource{formats: []format{formatSchema, formatHTML}, get: (*call).queryables})
	h.handle("/ogc/collections/{collection}/items", resource{formats: featureFormats, open: true, get: (*call).items,
		edit: map[string]func(*call) error{http.MethodPost: (*call).create}})
	h.handle("/ogc/collections/{collection}/items/{item}", resource{formats: featureFormats, params: []string{"crs", "datetime", "live", "lod", "profile"}, get: (*call).item,
		edit: map[string]func(*call) error{http.MethodPut: (*call).replace, http.MethodPatch: (*call).update, http.MethodDelete: (*call).remove}})
	h.mux.HandleFunc("/ogc/assets/style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		if r.Method != http.MethodHead {
			_, _ = w.Write(h.pages.style) // the caller has gone
		}
	})
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := h.mux.Handler(r); pattern == "" {
		h.o.Problem(w, r, &city.Error{Code: city.NotFound, Message: "nothing is served at " + r.URL.Path, Hint: "begin at /ogc"})
		return
	}
	h.mux.ServeHTTP(w, r)
}

func (h *handler) handle(pattern string, res resource) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		for _, name := range []string{"Authorization", "Cookie", "Accept", "Accept-Language"} {
			head.Add("Vary", name)
		}
		head.Set("Cache-Control", "private, no-cache")
		c := &call{h: h, w: w, r: r, ctx: r.Context(), base: h.o.BaseURL(r) + "/ogc", now: h.o.Clock().UTC(), query: r.URL.Query()}
		if err := c.serve(res); err != nil {
			c.fail(err)
		}
	})
}

func (c *call) serve(res resource) error {
	do := res.get
	switch c.r.Method {
	case http.MethodGet:
	case http.MethodHead:
		c.w = headOnly{c.w}
	case http.MethodOptions:
		c.w.Header().Set("Allow", res.allow(c))
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		var ok bool
		if do, ok = res.edit[c.r.Method]; !ok {
			c.w.Header().Set("Allow", res.allow(c))
			return &statusError{http.StatusMethodNotAllowed, "method-not-allowed", c.r.Method + " is not possible here; Allow lists what is", ""}
		}
	}
	if err := c.parameters(res); err != nil {
		return err
	}
	var err error
	if c.lang, err = language(c.query.Get("lang"), c.r.Header.Get("Accept-Language")); err != nil {
		return err
	}
	if do2, edits := res.edit[c.r.Method]; edits {
		do, c.format = do2, formatGeoJSON
	} else if c.format, err = negotiate(res.formats, c.query.Get("f"), c.r.Header.Get("Accept")); err != nil {
		return err
	}
	c.w.Header().Set("Content-Language", map[string]string{"zh": "zh-CN", "en": "en"}[c.lang])
	if c.view, err = c.h.o.Gate.City(c.r); err != nil {
		return err
	}
	return do(c)
}

func (r resource) allow(c *call) string {
	methods := []string{http.MethodGet, http.MethodHead, http.MethodOptions}
	if k, ok := kindOf(c.r.PathValue("collection")); ok && k.editable() {
		for m := range r.edit {
			methods = append(methods, m)
		}
		sort.Strings(methods[3:])
	}
	return strings.Join(methods, ", ")
}

// parameters refuses what the resource does not know (/req/core/query-param-unknown)
// and what comes twice, of which nobody could say which one is meant.
func (c *call) parameters(res resource) error {
	if _, err := url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return &city.Error{Code: city.Invalid, Field: "query", Message: "the query string cannot be read", Hint: "write % as %25 and + as %2B", Err: err}
	}
	for name, values := range c.query {
		if len(values) > 1 {
			return &city.Error{Code: city.Invalid, Field: name, Message: fmt.Sprintf("given %d times, expected once", len(values))}
		}
		if res.open || name == "f" || name == "lang" || slices.Contains(res.params, name) {
			continue
		}
		return unknownParameter(name, append([]string{"f", "lang"}, res.params...))
	}
	return nil
}

func unknownParameter(name string, known []string) error {
	return &city.Error{Code: city.Invalid, Field: name, Message: "no such parameter here", Hint: "known are " + strings.Join(known, ", ")}
}

// statusError is a refusal for which city.Code has no word. It is answered in
// the form that Options.Problem has.
type statusError struct {
	status  int
	slug    string
	message string
	hint    string
}

func (e *statusError) Error() string { return e.message }

// fail answers with a problem document, RFC 9457.
func (c *call) fail(err error) {
	if c.r.Context().Err() != nil {
		return // the caller has gone
	}
	var status *statusError
	var ce *cql2.Error
	switch {
	case errors.As(err, &status):
		h := c.w.Header()
		h.Set("Content-Type", "application/problem+json")
		c.w.WriteHeader(status.status)
		body, merr := json.Marshal(struct {
			Type     string `json:"type"`
			Title    string `json:"title"`
			Status   int    `json:"status"`
			Detail   string `json:"detail"`
			Instance string `json:"instance"`
			Hint     string `json:"hint,omitempty"`
		}{"/problems/" + status.slug, http.StatusText(status.status), status.status, status.message, c.r.URL.Path, status.hint})
		if merr == nil {
			_, _ = c.w.Write(body) // the caller has gone
		}
		return
	case errors.As(err, &ce):
		err = &city.Error{Code: city.Invalid, Field: "filter", Message: fmt.Sprintf("%v: found %s, expected %s", ce.Pos, ce.Found, ce.Expected), Hint: ce.Hint, Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		err = tooSlow(c.h.o.TimeLimit, err)
	}
	c.h.o.Problem(c.w, c.r, err)
}

func tooSlow(limit time.Duration, err error) error {
	return &city.Error{Code: city.Unavailable, Field: "filter", Message: fmt.Sprintf("no match was found within %v", limit),
		Hint: "narrow the search by bbox, dataset or type, or simplify the geometry of the filter", Err: err}
}

func isNotFound(err error) bool {
	var e *store.Error
	return errors.As(err, &e) && e.Code == store.NotFound
}

// headOnly answers HEAD: the header of GET without its body.
type headOnly struct{ http.ResponseWriter }

func (h headOnly) Write(b []byte) (int, error) { return len(b), nil }

// json answers with a document.
func (c *call) json(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", c.format.mediaType)
	_, _ = c.w.Write(append(body, '\n')) // the caller has gone
	return nil
}
