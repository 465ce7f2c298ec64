package edr

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"cityhub/spatial/city"
)

// Options of a handler.
type Options struct {
	// Gate gives what the caller may see; required.
	Gate city.Gate
	// Problem answers with an error, a *city.Error among others; required.
	Problem func(http.ResponseWriter, *http.Request, error)
	// BaseURL is "scheme://host" of a request; required.
	BaseURL func(*http.Request) string
	// Logger gets what goes wrong after an answer has begun; nil: nowhere.
	Logger *slog.Logger
	// PositionMetres is how far the station of a position may be; 0: 1000.
	PositionMetres float64
	// CorridorMetres is how far from its line a trajectory looks; 0: 100.
	CorridorMetres float64
	// MaxRadiusMetres bounds radius and corridor-width; 0: 100 000.
	MaxRadiusMetres float64
	// MaxStations bounds the Datastreams of an answer; 0: 2000.
	MaxStations int
	// MaxValues bounds the readings of an answer; 0: 500 000.
	MaxValues int
}

type handler struct{ o Options }

// Patterns are the patterns of http.ServeMux that the handler serves.
func Patterns() []string {
	return []string{
		"GET /ogc/edr",
		"GET /ogc/edr/{$}", // as OWSLib asks
		"GET /ogc/edr/conformance",
		"GET /ogc/edr/collections",
		"GET /ogc/edr/collections/{collection}",
		"GET /ogc/edr/collections/{collection}/locations",
		"GET /ogc/edr/collections/{collection}/locations/{location}",
		"GET /ogc/edr/collections/{collection}/{query}",
	}
}

// New makes the handler, which serves the absolute paths of Patterns.
func New(o Options) (http.Handler, error) {
	if o.Gate == nil || o.Problem == nil || o.BaseURL == nil {
		return nil, errors.New("edr: Options.Gate, Problem and BaseURL are required")
	}
	if o.PositionMetres < 0 || o.CorridorMetres < 0 || o.MaxRadiusMetres < 0 || o.MaxStations < 0 || o.MaxValues < 0 {
		return nil, errors.New("edr: a limit in Options is negative")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.PositionMetres = or(o.PositionMetres, 1000)
	o.CorridorMetres = or(o.CorridorMetres, 100)
	o.MaxRadiusMetres = or(o.MaxRadiusMetres, 100_000)
	o.MaxStations = or(o.MaxStations, 2000)
	o.MaxValues = or(o.MaxValues, 500_000)
	h := &handler{o}
	mux := http.NewServeMux()
	serve := []func(http.ResponseWriter, *http.Request) error{
		h.landing, h.landing, h.conformance, h.collections, h.collection, h.locations, h.location, h.query,
	}
	for i, p := range Patterns() {
		fn := serve[i]
		mux.HandleFunc(p, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Vary", "Authorization, Cookie, Accept")
			w.Header().Set("Cache-Control", "private, no-cache")
			if err := fn(w, r); err != nil {
				o.Problem(w, r, err)
			}
		})
	}
	return mux, nil
}

func or[T int | float64](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func invalid(field, message, hint string) error {
	return &city.Error{Code: city.Invalid, Field: field, Message: message, Hint: hint}
}

func notFound(field, message, hint string) error {
	return &city.Error{Code: city.NotFound, Field: field, Message: message, Hint: hint}
}

// cut shortens what an error message quotes, without breaking a character.
func cut(s string) string {
	n := 80
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

func answer(w http.ResponseWriter, r *http.Request, media string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone: nobody is left to tell
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
