package cql2

import "github.com/paulmach/orb"

// dimension is 0 for points, 1 for lines, 2 for areas and -1 for collections
// and whatever else.
func dimension(g orb.Geometry) int {
	switch g.(type) {
	case orb.Point, orb.MultiPoint:
		return 0
	case orb.LineString, orb.MultiLineString:
		return 1
	case orb.Ring, orb.Polygon, orb.MultiPolygon, orb.Bound:
		return 2
	}
	return -1
}

// eachPath calls f for every line and ring of g until f answers true, which it
// returns. It allocates nothing.
func eachPath(g orb.Geometry, f func([]orb.Point) bool) bool {
	switch g := g.(type) {
	case orb.LineString:
		return f(g)
	case orb.Ring:
		return f(g)
	case orb.MultiLineString:
		for _, l := range g {
			if f(l) {
				return true
			}
		}
	case orb.Polygon:
		for _, r := range g {
			if f(r) {
				return true
			}
		}
	case orb.MultiPolygon:
		for _, p := range g {
			for _, r := range p {
				if f(r) {
					return true
				}
			}
		}
	case orb.Bound:
		ring := [5]orb.Point{g.Min, {g.Max[0], g.Min[1]}, g.Max, {g.Min[0], g.Max[1]}, g.Min}
		return f(ring[:])
	}
	return false
}

// placeIn is where p lies in the area g, by a pass over all its rings.
func placeIn(g orb.Geometry, p orb.Point) place {
	r := ray{p: p}
	eachPath(g, func(path []orb.Point) bool {
		for i := 1; i < len(path); i++ {
			r.pass(path[i-1], path[i])
		}
		return r.onEdge
	})
	return r.place()
}

// onLines reports whether p is on a line or ring of g.
func onLines(g orb.Geometry, p orb.Point) bool {
	return eachPath(g, func(path []orb.Point) bool {
		for i := 1; i < len(path); i++ {
			if onSegment(p, path[i-1], path[i]) {
				return true
			}
		}
		return len(path) == 1 && path[0] == p
	})
}

// simple reports whether g is one line or one area without holes.
func simple(g orb.Geometry) bool {
	switch g := g.(type) {
	case orb.LineString, orb.Ring, orb.Bound:
		return true
	case orb.MultiLineString:
		return len(g) == 1
	case orb.Polygon:
		return len(g) == 1
	case orb.MultiPolygon:
		return len(g) == 1 && len(g[0]) == 1
	}
	return false
}

// isEmpty reports whether g has no vertex.
func isEmpty(g orb.Geometry) bool {
	switch g := g.(type) {
	case nil:
		return true
	case orb.Point:
		return false
	case orb.Bound:
		return g.IsEmpty()
	case orb.MultiPoint:
		return len(g) == 0
	case orb.Collection:
		for _, m := range g {
			if !isEmpty(m) {
				return false
			}
		}
		return true
	}
	return !eachPath(g, func(path []orb.Point) bool { return len(path) > 0 })
}

// segment is an edge of a prepared geometry.
type segment struct{ a, b orb.Point }

// segmentIndex finds segments by height: they are sorted by their lower end,
// and above each stands the highest upper end of the subtree of which it is
// the middle (an implicit interval tree). It takes memory in proportion to the
// segments, however long they are.
type segmentIndex struct {
	segs []segment
	top  []float64
}

func newSegmentIndex(segs []segment) segmentIndex {
	x := segmentIndex{segs, make([]float64, len(segs))}
	sortSegments(segs)
	if len(segs) > 0 {
		x.build(0, len(segs))
	}
	return x
}

func (x *segmentIndex) build(lo, hi int) float64 {
	mid := int(uint(lo+hi) >> 1)
	t := max(x.segs[mid].a[1], x.segs[mid].b[1])
	if lo < mid {
		t = max(t, x.build(lo, mid))
	}
	if mid+1 < hi {
		t = max(t, x.build(mid+1, hi))
	}
	x.top[mid] = t
	return t
}

// cast passes to r every segment that reaches the height of r's point.
func (x *segmentIndex) cast(r *ray) { x.castIn(0, len(x.segs), r) }

func (x *segmentIndex) castIn(lo, hi int, r *ray) {
	for lo < hi && !r.onEdge {
		mid := int(uint(lo+hi) >> 1)
		if x.top[mid] < r.p[1] {
			return
		}
		x.castIn(lo, mid, r)
		s := &x.segs[mid]
		if min(s.a[1], s.b[1]) > r.p[1] {
			return
		}
		if max(s.a[0], s.b[0]) >= r.p[0] { // a segment to the left is not crossed
			r.pass(s.a, s.b)
		}
		lo = mid + 1
	}
}

// meets reports whether the segment from a to b meets one of x.
func (x *segmentIndex) meets(a, b orb.Point) bool {
	return x.meetsIn(0, len(x.segs), a, b, min(a[1], b[1]), max(a[1], b[1]))
}

func (x *segmentIndex) meetsIn(lo, hi int, a, b orb.Point, low, high float64) bool {
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if x.top[mid] < low {
			return false
		}
		if x.meetsIn(lo, mid, a, b, low, high) {
			return true
		}
		s := &x.segs[mid]
		if min(s.a[1], s.b[1]) > high {
			return false
		}
		if segmentsMeet(a, b, s.a, s.b) {
			return true
		}
		lo = mid + 1
	}
	return false
}
