package edr

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
)

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
