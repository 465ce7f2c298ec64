package edr

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
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

// withinUnits are the units of distance.
func withinUnits() []string { return []string{"m", "km", "mi", "ft"} }

// parse reads what all queries have.
func (h *handler) parse(r *http.Request) (*query, error) {
	view, err := h.o.Gate.City(r)
	if err != nil {
		return nil, err
	}
	id, properties, err := collectionOf(r.Context(), view, r.PathValue("collection"))
	if err != nil {
		return nil, err
	}
	q := &query{view: view, collection: id, properties: map[string]city.Property{}}
	for _, p := range properties {
		q.properties[p.Name] = p
	}
	if id != observations {
		q.sel.Property = id
	}
	v := r.URL.Query()
	if text := v.Get("parameter-name"); text != "" {
		q.asked = map[string]bool{}
		for _, name := range strings.Split(text, ",") {
			base, _, _ := strings.Cut(name, "[")
			if _, ok := q.properties[base]; !ok {
				return nil, invalid("parameter-name", "there is no parameter "+cut(name)+" in "+id, "the collection lists its parameter_names")
			}
			q.asked[name] = true
		}
	}
	if q.crs, q.latFirst, err = parseCRS(v.Get("crs")); err != nil {
		return nil, err
	}
	if q.format, err = parseFormat(r); err != nil {
		return nil, err
	}
	if q.format == "GeoJSON" && q.latFirst {
		return nil, &city.Error{Code: city.NotAcceptable, Field: "crs", Message: "GeoJSON has longitude before latitude (RFC 7946)", Hint: "ask for crs=CRS84, or for f=CoverageJSON"}
	}
	if text := v.Get("z"); text != "" {
		return nil, invalid("z", "stations have no height here", "leave z out")
	}
	return q, q.parseTime(v.Get("datetime"))
}

func parseCRS(text string) (uri string, latFirst bool, err error) {
	switch text {
	case "", "CRS84", "OGC:CRS84", crs84:
		return crs84, false, nil
	case "EPSG:4326", wgs84:
		return wgs84, true, nil
	case "EPSG:4490", cgcs:
		return cgcs, true, nil
	}
	return "", false, invalid("crs", "found "+cut(text), "expected CRS84 (longitude first), EPSG:4326 or EPSG:4490 (latitude first)")
}

func parseFormat(r *http.Request) (string, error) {
	f := r.URL.Query().Get("f")
	for _, known := range formats() {
		if strings.EqualFold(f, known) {
			return known, nil
		}
	}
	if f != "" {
		return "", invalid("f", "found "+cut(f), "expected one of "+strings.Join(formats(), ", "))
	}
	accept := strings.ToLower(r.Header.Get("Accept"))
	for _, a := range strings.Split(accept, ",") {
		media, _, _ := strings.Cut(strings.TrimSpace(a), ";")
		switch media {
		case mediaGeoJSON:
			return "GeoJSON", nil
		case mediaCSV:
			return "CSV", nil
		case "", "*/*", "application/*", "application/json", mediaCoverage, "application/vnd.cov+json", "text/html":
			return "CoverageJSON", nil
		}
	}
	return "", &city.Error{Code: city.NotAcceptable, Field: "Accept", Message: "found " + cut(accept), Hint: "expected " + mediaCoverage + ", " + mediaGeoJSON + " or " + mediaCSV}
}

// The ends of what an open interval stands for: what fits into nanoseconds.
func always() (from, to time.Time) {
	return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
}

// parseTime reads datetime (19-086r6, requirement A.3 of core: an instant or an
// interval, either end of which may be open).
func (q *query) parseTime(text string) error {
	if text == "" {
		return nil
	}
	from, to, interval := strings.Cut(text, "/")
	first, last := always()
	read := func(s string, open time.Time, end bool) (time.Time, error) {
		if interval && (s == ".." || s == "") {
			return open, nil
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			if t, err = time.Parse(time.DateOnly, s); err == nil && end {
				t = t.AddDate(0, 0, 1).Add(-1) // the whole day
			}
		}
		if err != nil || t.Before(first) || t.After(last) {
			return t, invalid("datetime", "found "+cut(s)+", expected a time of RFC 3339", "e.g. 2026-05-01T00:00:00Z/2026-05-02T00:00:00Z")
		}
		return t.UTC(), nil
	}
	var err error
	if !interval {
		q.at, err = read(from, first, true)
		return err
	}
	if q.from, err = read(from, first, false); err != nil {
		return err
	}
	if q.to, err = read(to, last, true); err != nil {
		return err
	}
	if q.to.Before(q.from) {
		return invalid("datetime", "the end lies before the begin", "an interval is begin/end")
	}
	q.to = q.to.Add(1) // Range leaves its end out, an interval has it
	return nil
}

// maxVertices bounds what a station is compared with.
const maxVertices = 2000

// parseWKT reads coordinates with the reader of CQL2's literals, which bounds its
// input.
func parseWKT(field, text string, latFirst bool) (orb.Geometry, error) {
	const shapes = "expected well-known text, e.g. POINT(120.62 31.32), longitude first in CRS84"
	if text == "" {
		return nil, invalid(field, "it is missing", shapes)
	}
	tree, err := cql2.ParseText("S_INTERSECTS(g,"+text+")", cql2.Limits{Vertices: maxVertices})
	if err != nil {
		return nil, &city.Error{Code: city.Invalid, Field: field, Message: "found " + cut(text), Hint: shapes, Err: err}
	}
	call, ok := tree.(*cql2.Call)
	if ok && call.Op == cql2.OpSIntersects && len(call.Args) == 2 {
		if g, ok := call.Args[1].(*cql2.Geometry); ok {
			geom := g.Geom
			if latFirst {
				geom = swapped(orb.Clone(geom))
			}
			if b := geom.Bound(); b.Min[0] < -180 || b.Max[0] > 180 || b.Min[1] < -90 || b.Max[1] > 90 {
				return nil, invalid(field, "coordinates lie outside the world", "longitude before latitude in CRS84; latitude first in EPSG:4326 and EPSG:4490")
			}
			return geom, nil
		}
	}
	return nil, invalid(field, "found "+cut(text), shapes)
}

// swapped turns latitude, longitude round, in place.
func swapped(g orb.Geometry) orb.Geometry {
	turn := func(l []orb.Point) {
		for i, p := range l {
			l[i] = orb.Point{p[1], p[0]}
		}
	}
	switch g := g.(type) {
	case orb.Point:
		return orb.Point{g[1], g[0]}
	case orb.MultiPoint:
		turn(g)
	case orb.LineString:
		turn(g)
	case orb.MultiLineString:
		for _, l := range g {
			turn(l)
		}
	case orb.Polygon:
		for _, l := range g {
			turn(l)
		}
	case orb.MultiPolygon:
		for _, p := range g {
			for _, l := range p {
				turn(l)
			}
		}
	}
	return g
}

// parseBBox reads four numbers, or six of which the heights are not looked at.
func parseBBox(text string, latFirst bool) (orb.Bound, error) {
	const hint = "four numbers: west,south,east,north in CRS84"
	parts := strings.Split(text, ",")
	if len(parts) == 6 {
		parts = []string{parts[0], parts[1], parts[3], parts[4]}
	}
	if len(parts) != 4 {
		return orb.Bound{}, invalid("bbox", fmt.Sprintf("found %d numbers", len(parts)), hint)
	}
	var v [4]float64
	for i, p := range parts {
		f, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return orb.Bound{}, invalid("bbox", "found "+cut(p), hint)
		}
		v[i] = f
	}
	if latFirst {
		v[0], v[1], v[2], v[3] = v[1], v[0], v[3], v[2]
	}
	if v[1] > v[3] || v[0] > v[2] || v[0] < -180 || v[2] > 180 || v[1] < -90 || v[3] > 90 {
		return orb.Bound{}, invalid("bbox", "found "+cut(text), hint+", each not greater than its counterpart")
	}
	return orb.Bound{Min: orb.Point{v[0], v[1]}, Max: orb.Point{v[2], v[3]}}, nil
}

// distanceOf reads a length with its unit.
func (h *handler) distanceOf(r *http.Request, name, unitName string) (float64, error) {
	v := r.URL.Query()
	text := v.Get(name)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		return 0, invalid(name, fmt.Sprintf("found %q, expected a number that is not negative", cut(text)), "e.g. "+name+"=500&"+unitName+"=m")
	}
	switch unit := v.Get(unitName); unit {
	case "m", "":
	case "km":
		n *= 1000
	case "mi":
		n *= 1609.344
	case "ft":
		n *= 0.3048
	default:
		return 0, invalid(unitName, "found "+cut(unit), "expected one of "+strings.Join(withinUnits(), ", "))
	}
	if n > h.o.MaxRadiusMetres {
		return 0, invalid(name, fmt.Sprintf("found %g m, expected at most %g m", n, h.o.MaxRadiusMetres), "ask for less, or for an area")
	}
	return n, nil
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
