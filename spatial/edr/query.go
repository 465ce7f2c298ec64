package edr

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"

	"cityhub/spatial/city"
)

// query is a request for data.
type query struct {
	view       *city.View
	collection string
	properties map[string]city.Property // of the collection, by name
	asked      map[string]bool          // parameters; nil: all
	sel        city.Select
	latFirst   bool
	crs        string
	format     string
	from, to   time.Time // the interval [from, to); both zero: the latest
	at         time.Time // an instant; zero: none
}

// selected is a Datastream of an answer.
type selected struct {
	*city.Datastream
	key    string  // its parameter
	metres float64 // from what was asked about; NaN where that has no sense
}

// streams are the Datastreams of the collection that stand in q.sel and have a
// parameter that is asked for.
func (q *query) streams(ctx context.Context) ([]*city.Datastream, error) {
	list, err := q.view.Observed.Datastreams(ctx, q.sel)
	if err != nil || q.asked == nil {
		return list, err
	}
	return slices.DeleteFunc(slices.Clone(list), func(ds *city.Datastream) bool { return !q.asked[ds.Property] && !q.asked[q.key(ds)] }), nil
}

// key is the parameter of a Datastream; see the package comment.
func (q *query) key(ds *city.Datastream) string {
	p, ok := q.properties[ds.Property]
	if !ok || p.Text || ds.UnitCode == p.UnitCode {
		return ds.Property
	}
	unit := ds.UnitCode
	if unit == "" {
		unit = ds.UnitSymbol
	}
	return ds.Property + "[" + unit + "]"
}

func tooMany(what string, found, limit int) error {
	return &city.Error{Code: city.TooLarge, Field: "coords", Message: fmt.Sprintf("the answer would have %d %s, at most %d are served", found, what, limit),
		Hint: "ask for a smaller area, a shorter datetime or fewer parameters (parameter-name)"}
}

// query serves the queries by place.
func (h *handler) query(w http.ResponseWriter, r *http.Request) error {
	kind := r.PathValue("query")
	if !slices.Contains(queryTypes(), kind) {
		return notFound("query", "there is no query "+cut(kind), "queries are "+strings.Join(queryTypes(), ", "))
	}
	q, err := h.parse(r)
	if err != nil {
		return err
	}
	list, err := h.place(r, q, kind)
	if err != nil {
		return err
	}
	return h.write(w, r, q, list)
}

// location serves what one station observes.
func (h *handler) location(w http.ResponseWriter, r *http.Request) error {
	q, err := h.parse(r)
	if err != nil {
		return err
	}
	q.sel.Terminal = r.PathValue("location")
	streams, err := q.streams(r.Context())
	if err != nil {
		return err
	}
	if len(streams) == 0 {
		return notFound("locationId", "there is no station "+cut(q.sel.Terminal)+" with these parameters", "…/locations lists them")
	}
	var list []selected
	for _, ds := range streams {
		list = append(list, selected{ds, q.key(ds), math.NaN()})
	}
	return h.write(w, r, q, list)
}

// place selects by place.
func (h *handler) place(r *http.Request, q *query, kind string) ([]selected, error) {
	coords := r.URL.Query().Get("coords")
	if kind == "cube" {
		b, err := parseBBox(r.URL.Query().Get("bbox"), q.latFirst)
		if err != nil {
			return nil, err
		}
		return q.within(r.Context(), b, func(orb.Point) (float64, bool) { return math.NaN(), true })
	}
	g, err := parseWKT("coords", coords, q.latFirst)
	if err != nil {
		return nil, err
	}
	wrong := func(expected string) error {
		return invalid("coords", "found a "+g.GeoJSONType(), kind+" takes "+expected)
	}
	switch kind {
	case "position":
		switch g := g.(type) {
		case orb.Point:
			return q.nearest(r.Context(), orb.MultiPoint{g}, h.o.PositionMetres)
		case orb.MultiPoint:
			if len(g) > 100 {
				return nil, invalid("coords", fmt.Sprintf("found %d points, expected at most 100", len(g)), "ask for an area")
			}
			return q.nearest(r.Context(), g, h.o.PositionMetres)
		}
		return nil, wrong("POINT or MULTIPOINT")
	case "radius":
		p, ok := g.(orb.Point)
		if !ok {
			return nil, wrong("POINT")
		}
		within, err := h.distanceOf(r, "within", "within-units")
		if err != nil {
			return nil, err
		}
		return q.near(r.Context(), p, within)
	case "area":
		switch g := g.(type) {
		case orb.Polygon:
			return q.within(r.Context(), g.Bound(), func(p orb.Point) (float64, bool) { return math.NaN(), planar.PolygonContains(g, p) })
		case orb.MultiPolygon:
			return q.within(r.Context(), g.Bound(), func(p orb.Point) (float64, bool) { return math.NaN(), planar.MultiPolygonContains(g, p) })
		}
		return nil, wrong("POLYGON or MULTIPOLYGON")
	}
	width := h.o.CorridorMetres
	if kind == "corridor" || r.URL.Query().Get("corridor-width") != "" {
		if width, err = h.distanceOf(r, "corridor-width", "width-units"); err != nil {
			return nil, err
		}
		width /= 2 // the standard's width is from side to side
	}
	switch g.(type) {
	case orb.LineString, orb.MultiLineString:
		return q.near(r.Context(), g, width)
	}
	return nil, wrong("LINESTRING or MULTILINESTRING")
}

// metresPerDegree of latitude, on the sphere of WGS 84's mean radius.
const metresPerDegree = 6371008.8 * math.Pi / 180

// padded is b with a margin in metres.
func padded(b orb.Bound, metres float64) orb.Bound {
	far := math.Max(math.Abs(b.Min[1]), math.Abs(b.Max[1])) + metres/metresPerDegree
	dy := metres / metresPerDegree
	dx := 180.0
	if far < 89 {
		dx = dy / math.Cos(far*math.Pi/180)
	}
	return orb.Bound{Min: orb.Point{b.Min[0] - dx, b.Min[1] - dy}, Max: orb.Point{b.Max[0] + dx, b.Max[1] + dy}}
}

// placed reports whether the terminal of a Datastream has a place.
func placed(ds *city.Datastream) bool { return !math.IsNaN(ds.Lon) && !math.IsNaN(ds.Lat) }

// within selects the Datastreams whose station stands in b and passes a test.
func (q *query) within(ctx context.Context, b orb.Bound, test func(orb.Point) (float64, bool)) ([]selected, error) {
	q.sel.Bound = &b
	streams, err := q.streams(ctx)
	if err != nil {
		return nil, err
	}
	var list []selected
	for i, ds := range streams {
		if i%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at := orb.Point{ds.Lon, ds.Lat}
		if !placed(ds) || !b.Contains(at) { // orb takes NaN to be within
			continue
		}
		if metres, ok := test(at); ok {
			list = append(list, selected{ds, q.key(ds), metres})
		}
	}
	return list, nil
}

// near selects the Datastreams at most metres from a geometry.
func (q *query) near(ctx context.Context, g orb.Geometry, metres float64) ([]selected, error) {
	return q.within(ctx, padded(g.Bound(), metres), func(p orb.Point) (float64, bool) {
		d := distance(p, g)
		return d, d <= metres
	})
}

// nearest selects, for each point and parameter, the nearest Datastream that is at
// most metres away.
func (q *query) nearest(ctx context.Context, points orb.MultiPoint, metres float64) ([]selected, error) {
	var list []selected
	chosen := map[int64]bool{}
	for _, p := range points {
		around, err := q.near(ctx, p, metres)
		if err != nil {
			return nil, err
		}
		best := map[string]selected{}
		for _, s := range around {
			if b, ok := best[s.key]; !ok || s.metres < b.metres {
				best[s.key] = s
			}
		}
		for _, s := range around {
			if best[s.key].ID == s.ID && !chosen[s.ID] {
				chosen[s.ID] = true
				list = append(list, s)
			}
		}
	}
	return list, nil
}

// distance is in metres, in the plane that touches at p.
func distance(p orb.Point, g orb.Geometry) float64 {
	east := metresPerDegree * math.Cos(p[1]*math.Pi/180)
	flat := func(o orb.Point) (x, y float64) { return (o[0] - p[0]) * east, (o[1] - p[1]) * metresPerDegree }
	line := func(l orb.LineString) float64 {
		d := math.Inf(1)
		for i := range l {
			ax, ay := flat(l[max(0, i-1)])
			bx, by := flat(l[i])
			dx, dy := bx-ax, by-ay
			t := 0.0
			if n := dx*dx + dy*dy; n > 0 {
				t = math.Max(0, math.Min(1, -(ax*dx+ay*dy)/n))
			}
			d = math.Min(d, math.Hypot(ax+t*dx, ay+t*dy))
		}
		return d
	}
	switch g := g.(type) {
	case orb.Point:
		return math.Hypot(flat(g))
	case orb.LineString:
		return line(g)
	case orb.MultiLineString:
		d := math.Inf(1)
		for _, l := range g {
			d = math.Min(d, line(l))
		}
		return d
	}
	return math.Inf(1)
}
