package tiles

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/singleflight"

	"cityhub/spatial/city"
)

// Options of a handler.
type Options struct {
	// Gate gives what the caller may see; required.
	Gate city.Gate
	// Problem answers with an error, a *city.Error, *store.Error or *cql2.Error
	// among others; required.
	Problem func(http.ResponseWriter, *http.Request, error)
	// BaseURL is "scheme://host" of a request; required.
	BaseURL func(*http.Request) string
	// Logger gets what goes wrong after an answer has begun; nil: nowhere.
	Logger *slog.Logger
	// Clock says how late it is; nil: time.Now.
	Clock func() time.Time
	// MaxZoom is the last level that is served; 0: 18, at most 24.
	MaxZoom int
	// MaxFeatures and MaxBytes bound a tile, the latter before compression and as
	// a mark at which the tile is closed; 0: 10 000 and 500 000.
	MaxFeatures, MaxBytes int
	// CacheBytes bounds what is kept of made tiles; 0: 64 MiB.
	CacheBytes int64
	// Concurrency is how many tiles are made at once; others wait. 0: one for
	// each processor.
	Concurrency int
	// Timeout ends the making of a tile; 0: 20 s.
	Timeout time.Duration
	// LiveFor is how long a tile with readings is kept; 0: 5 s.
	LiveFor time.Duration
	// MaxAge is how long a client may use a tile of the model without asking
	// again; 0: it asks each time, and mostly hears 304.
	MaxAge time.Duration
	// Public lets proxies keep tiles for all callers. Set it only where every
	// caller sees the same; false: Cache-Control is private.
	Public bool
	// Attribution is shown by maps, e.g. "© OpenStreetMap contributors"; empty: none.
	Attribution string
}

// handler serves the paths of Patterns.
type handler struct {
	o      Options
	cache  *cache
	flight singleflight.Group
	slots  chan struct{}
	zip    sync.Pool
	plain  sync.Pool
}

// Patterns are the patterns of http.ServeMux that the handler serves.
func Patterns() []string {
	return []string{
		"GET /ogc/tileMatrixSets",
		"GET /ogc/tileMatrixSets/{set}",
		"GET /ogc/tiles",
		"GET /ogc/tiles/{set}",
		"GET /ogc/tiles/{set}/{z}/{row}/{col}",
		"GET /ogc/collections/{collection}/tiles",
		"GET /ogc/collections/{collection}/tiles/{set}",
		"GET /ogc/collections/{collection}/tiles/{set}/{z}/{row}/{col}",
		"GET /ogc/styles",
		"GET /ogc/styles/{style}",
	}
}

// New makes the handler, which serves the absolute paths of Patterns.
func New(o Options) (http.Handler, error) {
	if o.Gate == nil || o.Problem == nil || o.BaseURL == nil {
		return nil, errors.New("tiles: Options.Gate, Problem and BaseURL are required")
	}
	if o.MaxZoom < 0 || o.MaxZoom > 24 {
		return nil, errors.New("tiles: Options.MaxZoom is not between 0 and 24")
	}
	if o.MaxFeatures < 0 || o.MaxBytes < 0 || o.CacheBytes < 0 || o.Concurrency < 0 || o.Timeout < 0 || o.LiveFor < 0 || o.MaxAge < 0 {
		return nil, errors.New("tiles: a limit in Options is negative")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.MaxZoom = or(o.MaxZoom, 18)
	o.MaxFeatures = or(o.MaxFeatures, 10_000)
	o.MaxBytes = or(o.MaxBytes, 500_000)
	o.CacheBytes = or(o.CacheBytes, 64<<20)
	o.Concurrency = or(o.Concurrency, runtime.GOMAXPROCS(0))
	o.Timeout = or(o.Timeout, 20*time.Second)
	o.LiveFor = or(o.LiveFor, 5*time.Second)
	h := &handler{o: o, cache: newCache(o.CacheBytes), slots: make(chan struct{}, o.Concurrency)}
	h.zip.New = func() any {
		w, err := gzip.NewWriterLevel(nil, 3)
		if err != nil {
			panic(err) // 3 is a level
		}
		return w
	}
	h.plain.New = func() any { return new(gzip.Reader) }
	mux := http.NewServeMux()
	serve := []func(http.ResponseWriter, *http.Request) error{
		h.matrixSets, h.matrixSet,
		h.tileSets, h.tileSet, h.tile,
		h.tileSets, h.tileSet, h.tile,
		h.styles, h.style,
	}
	for i, p := range Patterns() {
		fn := serve[i]
		mux.HandleFunc(p, func(w http.ResponseWriter, r *http.Request) {
			if err := fn(w, r); err != nil {
				o.Problem(w, r, err)
			}
		})
	}
	return mux, nil
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}
