package export

import (
	"embed"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/crs"
)

// definitions are the CRSs in which files are written, as PROJ prints them
// (projinfo -o PROJJSON and -o WKT1:GDAL), from the EPSG data set.
//
//go:embed crs
var definitions embed.FS

// CRSs are the EPSG codes in which files can be written.
func CRSs() []int { return []int{4326, 4490, 4528, 4549, 3857} }

// projector takes geometries from WGS 84 to the CRS of a file.
type projector struct {
	epsg      int
	transform *crs.Transform // nil: WGS 84
	projected bool
}

func newProjector(c *crs.CRS) (*projector, error) {
	if c == nil || c.Equal(crs.WGS84()) || c.Authority() == "OGC" && c.Code() == "CRS84" {
		return &projector{epsg: 4326}, nil
	}
	code, err := strconv.Atoi(c.Code())
	if err != nil || !known(code) {
		return nil, &Error{"crs", fmt.Sprintf("found %s, expected one of EPSG:%v", c, CRSs())}
	}
	t, err := crs.Between(crs.WGS84().Traditional(), c.Traditional(), crs.Options{})
	if err != nil {
		return nil, &Error{"crs", err.Error()}
	}
	return &projector{epsg: code, transform: t, projected: !c.Geographic()}, nil
}

func known(code int) bool {
	for _, c := range CRSs() {
		if c == code {
			return true
		}
	}
	return false
}

// projjson is the CRS for GeoParquet: longitude first is OGC:CRS84.
func (p *projector) projjson() (json.RawMessage, error) {
	name := "crs84"
	if p.epsg != 4326 {
		name = strconv.Itoa(p.epsg)
	}
	return definitions.ReadFile("crs/" + name + ".json")
}

func (p *projector) wkt(code int) (string, error) {
	b, err := definitions.ReadFile("crs/" + strconv.Itoa(code) + ".wkt")
	return string(b), err
}

// apply gives g in the CRS of the file, as one of the seven types of Simple
// Features; nil where it has no point. It shares g's arrays where they stay as
// they are.
func (p *projector) apply(g orb.Geometry) (orb.Geometry, error) {
	switch t := g.(type) {
	case nil:
		return nil, nil
	case orb.Ring:
		g = orb.Polygon{t}
	case orb.Bound:
		g = t.ToPolygon()
	}
	if empty(g) {
		return nil, nil
	}
	if p.transform == nil {
		return g, nil
	}
	g = orb.Clone(g)
	if pt, ok := g.(orb.Point); ok {
		x, y, err := p.transform.XY(pt[0], pt[1])
		return orb.Point{x, y}, err
	}
	var err error
	each(g, func(points []orb.Point) {
		if err == nil {
			err = crs.Pairs(p.transform, points, points)
		}
	})
	return g, err
}

// each calls fn for the runs of points in g, except those of single points in a
// collection, which are changed in place.
func each(g orb.Geometry, fn func([]orb.Point)) {
	switch g := g.(type) {
	case orb.MultiPoint:
		fn(g)
	case orb.LineString:
		fn(g)
	case orb.MultiLineString:
		for _, l := range g {
			fn(l)
		}
	case orb.Polygon:
		for _, r := range g {
			fn(r)
		}
	case orb.MultiPolygon:
		for _, poly := range g {
			each(poly, fn)
		}
	case orb.Collection:
		for i := range g {
			if pt, ok := g[i].(orb.Point); ok {
				one := []orb.Point{pt}
				fn(one)
				g[i] = one[0]
				continue
			}
			each(g[i], fn)
		}
	}
}

func empty(g orb.Geometry) bool {
	if _, ok := g.(orb.Point); ok {
		return false
	}
	n := 0
	each(g, func(p []orb.Point) { n += len(p) })
	return n == 0
}

// Footprint is a store's footprint as a geometry of Simple Features: a single
// part as Point, LineString or Polygon. nil for nil and for what has no point.
func Footprint(g *spatial.Geometry) orb.Geometry {
	if g == nil || len(g.XYZ) == 0 {
		return nil
	}
	run := func(xyz []float64, closed bool) []orb.Point {
		n := len(xyz) / 3
		points := make([]orb.Point, n, n+1)
		for i := range points {
			points[i] = orb.Point{xyz[3*i], xyz[3*i+1]}
		}
		if closed && n > 0 {
			points = append(points, points[0])
		}
		return points
	}
	switch {
	case g.Kind == spatial.MultiPoint:
		if points := run(g.XYZ, false); len(points) == 1 {
			return points[0]
		} else {
			return orb.MultiPoint(points)
		}
	case g.Kind == spatial.MultiLine:
		lines := make(orb.MultiLineString, len(g.Rings))
		for i := range lines {
			lines[i] = run(g.Ring(i), false)
		}
		if len(lines) == 1 {
			return lines[0]
		}
		return lines
	}
	var all orb.MultiPolygon
	for i := range g.Surfaces {
		from, to := g.SurfaceRings(i)
		poly := make(orb.Polygon, 0, to-from)
		for r := from; r < to; r++ {
			poly = append(poly, run(g.Ring(r), true))
		}
		all = append(all, poly)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}
