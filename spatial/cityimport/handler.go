package cityimport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

// Path is where the handler serves.
const Path = "/api/v1/city/import"

// Catalogue keeps the entries of the data sets.
type Catalogue interface {
	// Check reports what is wrong with an entry, before anything is imported.
	Check(ctx context.Context, e Entry) error
	// Put creates or changes the entry after an import; note is for the person
	// who imported, e.g. who may see the data set now.
	Put(ctx context.Context, e Entry) (note string, err error)
}

// HandlerOptions of the HTTP route. Importer, Problem and Dir are required.
type HandlerOptions struct {
	// Importer gives the store to who makes the request, or the error that
	// refuses: a *city.Error of code Unauthorized or Forbidden.
	Importer func(r *http.Request) (Importer, error)
	// Problem answers with an error: *city.Error, *store.Error.
	Problem func(w http.ResponseWriter, r *http.Request, err error)
	// Dir is the folder in which uploads lie while they are imported. It is
	// created; what an earlier process left there is removed.
	Dir       string
	MaxBytes  int64        // of one upload; 0: 8 GiB
	Catalogue Catalogue    // nil: entries are not kept
	Logger    *slog.Logger // nil: none
}

// handler serves POST Path.
type handler struct {
	o HandlerOptions
}

// NewHandler makes the handler of POST /api/v1/city/import. The body is the file
// as it is; the query is that of Parameters. The answer is the Report as JSON, or
// a problem. A client that accepts application/x-ndjson gets lines instead, each
// an Event, the last with the report or the error. The import ends, and stores
// nothing, when the client goes.
func NewHandler(o HandlerOptions) (http.Handler, error) {
	switch {
	case o.Importer == nil:
		return nil, errors.New("cityimport: HandlerOptions.Importer is nil")
	case o.Problem == nil:
		return nil, errors.New("cityimport: HandlerOptions.Problem is nil")
	case o.Dir == "":
		return nil, errors.New("cityimport: HandlerOptions.Dir is empty")
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 8 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("folder for uploads: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(o.Dir, spoolPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("folder for uploads: %w", err)
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("folder for uploads: %w", err)
		}
	}
	return &handler{o: o}, nil
}

// spoolPrefix begins the names of uploads.
const spoolPrefix = "upload-"

// Lines is the media type of a stream of Events.
const Lines = "application/x-ndjson"

// Event is a line of the answer.
type Event struct {
	Progress *Progress `json:"progress,omitempty"`
	Finding  *Finding  `json:"finding,omitempty"`
	Report   *Report   `json:"report,omitempty"` // in the last line
	Note     string    `json:"note,omitempty"`   // of the catalogue, in the last line
	Error    *Failure  `json:"error,omitempty"`  // in the last line; nothing was stored
}

// Failure is why an import was refused.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"` // in one line
	Hint    string `json:"hint,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Object  string `json:"object,omitempty"`
	Field   string `json:"field,omitempty"`
}

// Err is f as an error of the kind that Run gives.
func (f *Failure) Err() error {
	return &store.Error{Code: store.Code(f.Code), Op: op, File: f.File, Line: f.Line, Object: f.Object, Field: f.Field, Message: f.Message, Hint: f.Hint}
}

func failureOf(err error) *Failure {
	var e *store.Error
	if !errors.As(err, &e) {
		return &Failure{Code: string(store.Unavailable), Message: err.Error()}
	}
	message := e.Message
	if e.Err != nil {
		if message != "" {
			message += ": "
		}
		message += e.Err.Error()
	}
	return &Failure{Code: string(e.Code), Message: message, Hint: e.Hint, File: e.File, Line: e.Line, Object: e.Object, Field: e.Field}
}

// ServeHTTP takes one file in.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.o.Problem(w, r, &city.Error{Code: city.Invalid, Field: "method", Message: r.Method + " is not served here, expected POST"})
		return
	}
	importer, err := h.o.Importer(r)
	if err != nil {
		h.o.Problem(w, r, err)
		return
	}
	p, err := ParseQuery(r.URL.Query())
	if err == nil && p.Options.Dataset == "" {
		err = &city.Error{Code: city.Invalid, Field: "dataset", Message: "found none, expected the code of the data set, or the name of the file as the parameter file"}
	}
	if err == nil && h.o.Catalogue != nil {
		err = h.o.Catalogue.Check(r.Context(), p.Entry)
	}
	if err != nil {
		h.o.Problem(w, r, err)
		return
	}
	path, err := h.spool(w, r, p.File)
	if path != "" {
		defer func() {
			if err := os.Remove(path); err != nil {
				h.o.Logger.Warn("an upload was not removed", "file", path, "error", err)
			}
		}()
	}
	if err != nil {
		h.o.Problem(w, r, err)
		return
	}
	h.run(w, r, importer, p, path)
}

// spool writes the body to a file.
func (h *handler) spool(w http.ResponseWriter, r *http.Request, name string) (path string, err error) {
	tooLarge := &city.Error{Code: city.TooLarge, Message: fmt.Sprintf("the file is larger than %d bytes", h.o.MaxBytes), Hint: "import it in parts, or with cityhub import city --data while the hub is stopped"}
	if r.ContentLength > h.o.MaxBytes {
		return "", tooLarge
	}
	f, err := os.CreateTemp(h.o.Dir, spoolPrefix+"*"+ending(name))
	if err != nil {
		return "", &store.Error{Code: store.Unavailable, Op: op, Message: "the upload cannot be kept", Err: err}
	}
	_, err = io.Copy(f, http.MaxBytesReader(w, r.Body, h.o.MaxBytes))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		if limit.Limit != h.o.MaxBytes {
			tooLarge.Message = fmt.Sprintf("the body is larger than %d bytes", limit.Limit)
		}
		return f.Name(), tooLarge
	case err != nil:
		return f.Name(), &store.Error{Code: store.Unavailable, Op: op, Message: "the upload was not received", Err: err}
	}
	return f.Name(), nil
}

// ending is the ending of a file name that tells its format, or empty.
func ending(name string) string {
	name = strings.ToLower(name)
	for _, e := range endings {
		if strings.HasSuffix(name, e) {
			return e
		}
	}
	return ""
}

// run imports the file at path and answers.
func (h *handler) run(w http.ResponseWriter, r *http.Request, importer Importer, p *Parameters, path string) {
	o := p.Options
	o.Store = importer
	name := p.File
	if name == "" {
		name = "upload"
	}
	o.Sources = []Source{{Path: path, Name: name}}
	lines := strings.Contains(r.Header.Get("Accept"), Lines)
	send := func(Event) {}
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	w.Header().Set("Cache-Control", "no-store")
	if lines {
		w.Header().Set("Content-Type", Lines)
		w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold the progress back
		enc := json.NewEncoder(w)
		control := http.NewResponseController(w)
		send = func(e Event) {
			if err := enc.Encode(e); err != nil {
				stop() // the client has gone
				return
			}
			if e.Finding == nil {
				_ = control.Flush() // where the server cannot flush, it comes later
			}
		}
		o.Progress = func(p Progress) { send(Event{Progress: &p}) }
		if p.Findings {
			o.Finding = func(f Finding) { send(Event{Finding: &f}) }
		}
	}
	report, err := Run(ctx, o)
	note := ""
	if err == nil && !o.DryRun && h.o.Catalogue != nil {
		if note, err = h.o.Catalogue.Put(r.Context(), p.Entry); err != nil {
			err = &store.Error{Code: store.Unavailable, Op: op, Message: "the objects were stored, but not their entry in the catalogue", Hint: "import the file again", Err: err}
		}
	}
	h.o.Logger.Info("city model import", "file", name, "dataset", o.Dataset, "objects", report.Objects, "stored", report.Stored, "error", err)
	switch {
	case lines && err != nil:
		send(Event{Report: report, Error: failureOf(err)})
	case lines:
		send(Event{Report: report, Note: note})
	case err != nil:
		h.o.Problem(w, r, err)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Event{Report: report, Note: note}) // an error means that the client has gone
	}
}
