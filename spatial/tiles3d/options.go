package tiles3d

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"cityhub/spatial/city"
)

// Options configure New.
type Options struct {
	// Gate says what a caller sees; required for HTTP, not for Build.
	Gate city.Gate
	// Problem answers with an error; nil: as text/plain with the status of its code.
	Problem func(http.ResponseWriter, *http.Request, error)
	// BaseURL is scheme and host in front of absolute links, without a slash at
	// the end; nil: links are absolute paths.
	BaseURL func(*http.Request) string
	Logger  *slog.Logger     // nil: none
	Clock   func() time.Time // nil: time.Now

	// GroundMetres is the height of the ground, above the objects' datum, on which
	// objects without heights stand.
	GroundMetres float64
	// EllipsoidOffsetMetres is added to heights whose datum is not the ellipsoid,
	// also to GroundMetres: the geoid's height above the WGS 84 ellipsoid there
	// (Suzhou: about 9 to 10 m by EGM2008; take a surveyed value). Default 0: the
	// datum is taken for the ellipsoid.
	EllipsoidOffsetMetres float64
	// BuildingMetres is the height of a building of which none is known; default
	// 6, two storeys.
	BuildingMetres float64
	// DepthMetres is how far below the ground what is underground lies where no
	// depth is known; default 1.5.
	DepthMetres float64

	// TileObjects is the number of objects beyond which a tile is divided, and of
	// those in a tile with children; default 400, at most 10 000.
	TileObjects int
	// CacheBytes bounds the built contents in memory, compressed; default 256 MiB.
	CacheBytes int64
	// Builds is the number of contents that are built at the same time; default:
	// the number of processors.
	Builds int
	// MaxAge is how long a client may keep a content without asking again; default
	// one minute, negative: it must ask every time.
	MaxAge time.Duration
}

// Heights beyond these are taken for mistakes. No building is higher (Burj
// Khalifa, 828 m), and nothing in a city lies deeper.
const (
	maxObjectMetres = 1000
	maxZMetres      = 10_000
)

func (o Options) withDefaults() (Options, error) {
	for _, f := range []struct {
		name     string
		value    *float64
		def      float64
		min, max float64
	}{
		{"GroundMetres", &o.GroundMetres, 0, -500, 9000},
		{"EllipsoidOffsetMetres", &o.EllipsoidOffsetMetres, 0, -150, 150},
		{"BuildingMetres", &o.BuildingMetres, 6, 0, maxObjectMetres},
		{"DepthMetres", &o.DepthMetres, 1.5, 0, maxObjectMetres},
	} {
		if !(*f.value >= f.min && *f.value <= f.max) {
			return o, fmt.Errorf("tiles3d: %s is %v; expected %v to %v", f.name, *f.value, f.min, f.max)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	switch {
	case o.TileObjects < 0 || o.TileObjects > 10_000:
		return o, fmt.Errorf("tiles3d: TileObjects is %d; expected 1 to 10000, or 0 for the default", o.TileObjects)
	case o.TileObjects == 0:
		o.TileObjects = 400
	}
	switch {
	case o.CacheBytes < 0 || o.CacheBytes > math.MaxInt64/2:
		return o, fmt.Errorf("tiles3d: CacheBytes is %d; expected a number of bytes", o.CacheBytes)
	case o.CacheBytes == 0:
		o.CacheBytes = 256 << 20
	}
	if o.MaxAge == 0 {
		o.MaxAge = time.Minute
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
