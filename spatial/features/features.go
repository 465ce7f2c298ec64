// Package features serves the city model as OGC API - Features: Part 1 Core
// (OGC 17-069r4), Part 2 Coordinate Reference Systems by Reference (18-058r1),
// Part 3 Filtering (19-079r2) with CQL2 (21-065r2), and Part 4 Create, Replace,
// Update and Delete as in its draft (20-002), as GeoJSON, JSON-FG (21-045r1)
// and HTML, in Chinese and English, below /ogc.
//
// # Collections
//
// Those of city.Collections; terminals, a point for each terminal with the
// latest values of its Datastreams; and live, every object on which something
// is observed. The properties of an object are, first, what is known of every
// one (dataset, identifier, class, type, name, cim_level, height, height_base,
// height_datum, valid_from, valid_to, parents, children), then its attributes
// under their own names. An attribute with one of the names before, or of an
// observed property, is served as source_NAME; one that only repeats the name
// or the height is left out.
//
// # Identifiers
//
// A feature's id is DATASET:IDENTIFIER. A byte of either that is not an ASCII
// letter, a digit, one of - _ . or part of a character beyond ASCII is written
// as ~ and two hexadecimal digits; a colon in the identifier stays. way/42 of
// osm is osm:way~2F42: one segment of a path that no proxy takes apart.
//
// # Live values
//
// Each observed property P, e.g. pm25, is a queryable of every object
// collection and a property of the features in live, and elsewhere with
// live=true: P, P_time, P_age (seconds), P_quality and P_unit. Where several
// Datastreams of one property lie on an object it is the newest good value;
// without one the newest not evaluated, and without that the newest of any
// quality. With datetime they are those of that time.
//
// # Time
//
// An instant in datetime is the city as it was then; an interval, the city as
// it was at its end or, where the end is open or to come, as it is. What is
// given is valid in the interval, so that the answer has nothing that
// /req/core/fc-time-response forbids; an object that ended within it is not in it.
//
// # Guarantees
//
// What a caller may see is asked of the gate once for each request, and
// everything is read through its answer. Pages are ordered by
// store.Version.Position and their links hold a position, so that no object
// comes twice or is missed while others come and go. Memory is bounded by some
// thousand objects for each request, the time in which it looks for matches by
// Options.TimeLimit.
//
// The handler is safe for concurrent use and starts no goroutine.
package features

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/crs"
)

// Options of the handler.
type Options struct {
	Gate    city.Gate                                               // required
	Problem func(w http.ResponseWriter, r *http.Request, err error) // required
	// BaseURL is "scheme://host" as the caller reaches the hub; required.
	BaseURL func(*http.Request) string
	Logger  *slog.Logger     // nil: discards
	Clock   func() time.Time // nil: time.Now
	// Title and TitleEn head the pages; empty: 城市信息模型, City model.
	Title, TitleEn string
	// CRSs are EPSG codes in which features can be had, besides CRS84 and
	// CRS84h; nil: DefaultCRSs.
	CRSs []int
	// TimeLimit is how long one request may look for matches; 0: 10 s.
	TimeLimit time.Duration
	// MaxBody is the largest feature that is taken, in bytes; 0: 16 MiB.
	MaxBody int64
	// EditDataset is where a created feature goes that names no dataset; empty:
	// "edited".
	EditDataset string
	// NewID makes the identifier of a created feature that has none; nil: 16
	// random hexadecimal digits.
	NewID func() string
	// Extensions are served beside it and joined into its pages.
	Extensions []Extension
}

// Extension is another building block below /ogc: its links and its part of
// the documents that speak of all.
type Extension struct {
	Conformance []string
	Landing     []Link                         // on the landing page; an Href of a path gets the base URL
	Collection  func(collection string) []Link // on a collection; nil: none
	OpenAPI     map[string]any                 // path items by path below /ogc, e.g. "/tiles"
}

// Link is a link as OGC API has it.
type Link struct {
	Href      string `json:"href"`
	Rel       string `json:"rel"`
	Type      string `json:"type,omitempty"`
	Title     string `json:"title,omitempty"`
	Hreflang  string `json:"hreflang,omitempty"`
	Templated bool   `json:"templated,omitempty"`
}

// DefaultCRSs are the EPSG codes in which features are served: WGS 84, Web
// Mercator, CGCS2000 with its zones at Suzhou and UTM 51N, and the systems of
// the Dutch, Austrian and Japanese city models.
func DefaultCRSs() []int {
	return []int{4326, 3857, 4490, 4549, 4528, 32651, 4258, 28992, 31256, 6668, 6677}
}

const (
	defaultLimit = 100
	maxLimit     = 10_000
	// chunk is how many objects are in memory at a time; chunk3D where their
	// geometries are too.
	chunk, chunk3D = 1000, 100
)

type handler struct {
	o       Options
	mux     *http.ServeMux
	crss    []*crs.CRS // with CRS84 first
	pages   *pages
	schemas schemas
	counts  counts
	buffers sync.Pool  // *encoder
	editing sync.Mutex // between the check of If-Match and the change
}

// New makes the handler.
func New(o Options) (http.Handler, error) {
	if o.Gate == nil || o.Problem == nil || o.BaseURL == nil {
		return nil, errors.New("features: Options need Gate, Problem and BaseURL")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Title == "" {
		o.Title = "城市信息模型"
	}
	if o.TitleEn == "" {
		o.TitleEn = "City model"
	}
	if o.CRSs == nil {
		o.CRSs = DefaultCRSs()
	}
	if o.TimeLimit <= 0 {
		o.TimeLimit = 10 * time.Second
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 16 << 20
	}
	if o.EditDataset == "" {
		o.EditDataset = "edited"
	}
	if o.NewID == nil {
		o.NewID = randomID
	}
	h := &handler{o: o}
	h.buffers.New = func() any { return new(encoder) }
	for _, name := range []string{"OGC:CRS84", "OGC:CRS84h"} {
		c, err := crs.Parse(name)
		if err != nil {
			return nil, err
		}
		h.crss = append(h.crss, c)
	}
	for _, code := range o.CRSs {
		c, err := crs.ByCode(code)
		if err != nil {
			return nil, err
		}
		h.crss = append(h.crss, c)
	}
	var err error
	if h.pages, err = newPages(); err != nil {
		return nil, err
	}
	h.route()
	return h, nil
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// absolute gives a link of an extension its host.
func (l Link) absolute(base string) Link {
	if strings.HasPrefix(l.Href, "/") {
		l.Href = base + l.Href
	}
	return l
}
