package cql2

import (
	"cmp"
	"slices"

	"github.com/paulmach/orb"
	"github.com/peterstace/simplefeatures/geom"
)

// shape is a geometry literal made ready for being compared with many rows.
type shape struct {
	geom    orb.Geometry
	bound   orb.Bound
	dim     int  // as dimension gives it
	rect    bool // geom is the area of bound
	simple  bool // one line, or one area without holes
	points  []orb.Point
	index   segmentIndex // of lines and rings
	anchors []orb.Point  // a vertex of each line and ring
	ends    map[orb.Point]bool
	members []*shape      // of a collection
	exact   geom.Geometry // for the DE-9IM matrix
}

func newShape(g orb.Geometry) *shape {
	s := &shape{geom: g, bound: g.Bound(), dim: dimension(g), simple: simple(g), exact: toExact(g)}
	switch g := g.(type) {
	case orb.Point:
		s.points = []orb.Point{g}
	case orb.MultiPoint:
		s.points = g
	case orb.Collection:
		for _, m := range g {
			s.members = append(s.members, newShape(m))
		}
	}
	var segs []segment
	eachPath(g, func(path []orb.Point) bool {
		s.anchors = append(s.anchors, path[0])
		for i := 1; i < len(path); i++ {
			segs = append(segs, segment{path[i-1], path[i]})
		}
		return false
	})
	s.index = newSegmentIndex(segs)
	if s.dim == 1 {
		// The boundary of lines is the ends that an odd number of them share
		// (OGC 06-103r4, clause 6.1.8.1).
		s.ends = map[orb.Point]bool{}
		eachPath(g, func(path []orb.Point) bool {
			for _, end := range []orb.Point{path[0], path[len(path)-1]} {
				s.ends[end] = !s.ends[end]
			}
			return false
		})
	}
	return s
}

func sortSegments(segs []segment) {
	slices.SortFunc(segs, func(s, t segment) int {
		return cmp.Compare(min(s.a[1], s.b[1]), min(t.a[1], t.b[1]))
	})
}

// place is where p lies with respect to s, which is not a collection.
func (s *shape) place(p orb.Point) place {
	if !s.bound.Contains(p) {
		return exterior
	}
	switch s.dim {
	case 0:
		for _, q := range s.points {
			if p == q {
				return interior
			}
		}
		return exterior
	case 1:
		r := ray{p: p}
		s.index.cast(&r)
		switch {
		case !r.onEdge:
			return exterior
		case s.ends[p]:
			return boundary
		}
		return interior
	}
	if s.rect {
		if p[0] == s.bound.Min[0] || p[0] == s.bound.Max[0] || p[1] == s.bound.Min[1] || p[1] == s.bound.Max[1] {
			return boundary
		}
		return interior
	}
	r := ray{p: p}
	s.index.cast(&r)
	return r.place()
}

// toExact converts g for simplefeatures.
func toExact(g orb.Geometry) geom.Geometry {
	switch g := g.(type) {
	case orb.Point:
		return exactPoint(g).AsGeometry()
	case orb.MultiPoint:
		ps := make([]geom.Point, len(g))
		for i, p := range g {
			ps[i] = exactPoint(p)
		}
		return geom.NewMultiPoint(ps).AsGeometry()
	case orb.LineString:
		return exactLine(g).AsGeometry()
	case orb.MultiLineString:
		ls := make([]geom.LineString, len(g))
		for i, l := range g {
			ls[i] = exactLine(l)
		}
		return geom.NewMultiLineString(ls).AsGeometry()
	case orb.Ring:
		return exactPolygon(orb.Polygon{g}).AsGeometry()
	case orb.Bound:
		return exactPolygon(g.ToPolygon()).AsGeometry()
	case orb.Polygon:
		return exactPolygon(g).AsGeometry()
	case orb.MultiPolygon:
		ps := make([]geom.Polygon, len(g))
		for i, p := range g {
			ps[i] = exactPolygon(p)
		}
		return geom.NewMultiPolygon(ps).AsGeometry()
	case orb.Collection:
		gs := make([]geom.Geometry, len(g))
		for i, m := range g {
			gs[i] = toExact(m)
		}
		return geom.NewGeometryCollection(gs).AsGeometry()
	}
	return geom.Geometry{}
}

func exactPoint(p orb.Point) geom.Point {
	return geom.NewPoint(geom.Coordinates{XY: geom.XY{X: p[0], Y: p[1]}, Type: geom.DimXY})
}

func exactLine(l []orb.Point) geom.LineString {
	c := make([]float64, 0, 2*len(l))
	for _, p := range l {
		c = append(c, p[0], p[1])
	}
	return geom.NewLineString(geom.NewSequence(c, geom.DimXY))
}

func exactPolygon(p orb.Polygon) geom.Polygon {
	rs := make([]geom.LineString, len(p))
	for i, r := range p {
		rs[i] = exactLine(r)
	}
	return geom.NewPolygon(rs)
}

// geometryOf is the two-dimensional geometry of a literal. A box that is flat
// in one direction or both is a line or a point; one that crosses the
// antimeridian is two areas.
func geometryOf(e Expr) (g orb.Geometry, rect bool) {
	switch e := e.(type) {
	case *Geometry:
		return e.Geom, false
	case *BBox:
		b := orb.Bound{Min: orb.Point{e.West, e.South}, Max: orb.Point{e.East, e.North}}
		flat := e.South == e.North
		switch {
		case e.West > e.East:
			east := orb.Bound{Min: b.Min, Max: orb.Point{180, e.North}}
			west := orb.Bound{Min: orb.Point{-180, e.South}, Max: b.Max}
			if flat || e.West == 180 || e.East == -180 {
				var c orb.Collection
				for _, half := range []orb.Bound{west, east} {
					part, _ := boundGeometry(half)
					c = append(c, part)
				}
				return c, false
			}
			return orb.MultiPolygon{west.ToPolygon(), east.ToPolygon()}, false
		default:
			return boundGeometry(b)
		}
	}
	return nil, false
}

func boundGeometry(b orb.Bound) (g orb.Geometry, rect bool) {
	switch {
	case b.Min == b.Max:
		return b.Min, false
	case b.Min[0] == b.Max[0] || b.Min[1] == b.Max[1]:
		return orb.LineString{b.Min, b.Max}, false
	}
	return b.ToPolygon(), true
}
