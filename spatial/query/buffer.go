package query

import (
	"fmt"
	"math"

	"github.com/paulmach/orb"
	"github.com/peterstace/simplefeatures/geom"
)

const (
	// arcPoints is the number of points of a circle; the polygon's area is less
	// than the circle's by 0.04 %.
	arcPoints = 128
	// maxBufferEdges bounds the time to draw one.
	maxBufferEdges = 5_000
)

// buffer draws the area within metres of g, both in a plane: the union of g's
// surfaces and of a capsule around every edge. What lies in it is decided by
// distance and not by the drawing.
func buffer(g orb.Geometry, metres float64) (orb.Geometry, error) {
	var pieces []orb.Ring
	var surfaces []orb.Polygon
	run := func(points []orb.Point) {
		if len(points) == 1 {
			pieces = append(pieces, capsule(points[0], points[0], metres))
		}
		for i := 1; i < len(points); i++ {
			if points[i] != points[i-1] || len(points) == 2 {
				pieces = append(pieces, capsule(points[i-1], points[i], metres))
			}
		}
	}
	var walk func(g orb.Geometry)
	walk = func(g orb.Geometry) {
		switch g := g.(type) {
		case orb.Point:
			run([]orb.Point{g})
		case orb.MultiPoint:
			for _, p := range g {
				run([]orb.Point{p})
			}
		case orb.LineString:
			run(g)
		case orb.MultiLineString:
			for _, l := range g {
				run(l)
			}
		case orb.Polygon:
			surfaces = append(surfaces, g)
			for _, ring := range g {
				run(ring)
			}
		case orb.MultiPolygon:
			for _, p := range g {
				walk(p)
			}
		case orb.Collection:
			for _, m := range g {
				walk(m)
			}
		}
	}
	walk(g)
	if len(pieces) > maxBufferEdges {
		return nil, fmt.Errorf("%d edges, at most %d", len(pieces), maxBufferEdges)
	}
	if len(pieces) == 1 && len(surfaces) == 0 {
		return orb.Polygon{pieces[0]}, nil
	}
	all := make([]geom.Geometry, 0, len(pieces)+len(surfaces))
	for _, p := range pieces {
		all = append(all, polygon(orb.Polygon{p}))
	}
	for _, s := range surfaces {
		all = append(all, polygon(s))
	}
	// In pairs: geom.UnionMany leaves a polygon out whose edges run through the
	// middle of others (v0.50).
	for len(all) > 1 {
		for i := 0; i+1 < len(all); i += 2 {
			u, err := geom.Union(all[i], all[i+1])
			if err != nil {
				return nil, err
			}
			all[i/2] = u
		}
		if len(all)%2 == 1 {
			all[len(all)/2] = all[len(all)-1]
		}
		all = all[:(len(all)+1)/2]
	}
	union := all[0]
	var out orb.MultiPolygon
	for _, p := range union.Dump() {
		if poly, ok := p.AsPolygon(); ok {
			out = append(out, orbPolygon(poly))
		}
	}
	if len(out) == 1 {
		return out[0], nil
	}
	return out, nil
}

// capsule is what lies within r of the line from a to b, counter-clockwise.
func capsule(a, b orb.Point, r float64) orb.Ring {
	angle := math.Atan2(b[1]-a[1], b[0]-a[0]) - math.Pi/2
	out := make(orb.Ring, 0, arcPoints+3)
	half := func(c orb.Point, from float64) {
		for i := range arcPoints/2 + 1 {
			sin, cos := math.Sincos(from + float64(i)*2*math.Pi/arcPoints)
			out = append(out, orb.Point{c[0] + r*cos, c[1] + r*sin})
		}
	}
	half(b, angle)
	half(a, angle+math.Pi)
	if a == b { // the halves of a circle meet in two points
		out = append(out[:arcPoints/2], out[arcPoints/2+1:len(out)-1]...)
	}
	return append(out, out[0])
}

func polygon(p orb.Polygon) geom.Geometry {
	rings := make([]geom.LineString, len(p))
	for i, r := range p {
		flat := make([]float64, 0, 2*len(r))
		for _, q := range r {
			flat = append(flat, q[0], q[1])
		}
		rings[i] = geom.NewLineString(geom.NewSequence(flat, geom.DimXY))
	}
	return geom.NewPolygon(rings).AsGeometry()
}

func orbPolygon(p geom.Polygon) orb.Polygon {
	ring := func(l geom.LineString) orb.Ring {
		s := l.Coordinates()
		out := make(orb.Ring, s.Length())
		for i := range out {
			xy := s.GetXY(i)
			out[i] = orb.Point{xy.X, xy.Y}
		}
		return out
	}
	p = p.ForceCCW()
	out := orb.Polygon{ring(p.ExteriorRing())}
	for i := range p.NumInteriorRings() {
		out = append(out, ring(p.InteriorRingN(i)))
	}
	return out
}
