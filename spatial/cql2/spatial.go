package cql2

import (
	"github.com/paulmach/orb"
	"github.com/peterstace/simplefeatures/geom"
)

// spatial compiles a spatial function (21-065r2, clauses 7.5 to 7.7).
func (c *compiler) spatial(e *Call) condition {
	a, b, op := e.Args[0], e.Args[1], e.Op
	pa, aIsProperty := a.(*Property)
	pb, bIsProperty := b.(*Property)
	switch {
	case aIsProperty && bIsProperty:
		i, j := c.column(pa), c.column(pb)
		return func(r Row, _ *env) Truth { return relateColumns(op, r, i, j) }
	case aIsProperty:
		s, col := c.shape(b), c.column(pa)
		return func(r Row, _ *env) Truth { return s.relate(op, r, col) }
	case bIsProperty:
		s, col, op := c.shape(a), c.column(pb), converse(op)
		return func(r Row, _ *env) Truth { return s.relate(op, r, col) }
	}
	s, g := c.shape(b), c.shape(a)
	return constant(s.relateGeometry(op, g.geom))
}

// converse is the relation seen from the other operand.
func converse(op Op) Op {
	switch op {
	case OpSContains:
		return OpSWithin
	case OpSWithin:
		return OpSContains
	}
	return op
}

// shape prepares a literal and refuses one that is not valid, such as a
// polygon that crosses itself: its relations are not defined (OGC 06-103r4,
// clause 6.1).
func (c *compiler) shape(e Expr) *shape {
	g, rect := geometryOf(e)
	if g == nil {
		c.unsupported(e, "an expression", "a geometry literal or a property")
		g = orb.Point{}
	}
	s := newShape(g)
	s.rect = rect
	if err := s.exact.Validate(); err != nil && c.err == nil {
		c.err = &Error{Code: CodeValue, Pos: e.Pos(), Found: "a geometry that is not valid", Expected: "simple rings that do not cross", Hint: err.Error()}
	}
	return s
}

// relate evaluates op between the geometry of a row, on the left, and s.
func (s *shape) relate(op Op, r Row, col int) Truth {
	b, ok := r.Bound(col)
	switch {
	case !ok:
		return Unknown
	case !b.Intersects(s.bound):
		return truth(op == OpSDisjoint)
	case s.rect && s.bound.Contains(b.Min) && s.bound.Contains(b.Max):
		switch op {
		case OpSIntersects:
			return True
		case OpSDisjoint:
			return False
		case OpSWithin:
			if s.bound.Min[0] < b.Min[0] && s.bound.Min[1] < b.Min[1] && b.Max[0] < s.bound.Max[0] && b.Max[1] < s.bound.Max[1] {
				return True
			}
		}
	}
	g, ok := r.Geometry(col)
	if !ok {
		return Unknown
	}
	return s.relateGeometry(op, g)
}

func (s *shape) relateGeometry(op Op, g orb.Geometry) Truth {
	if isEmpty(g) {
		return truth(op == OpSDisjoint)
	}
	if p, ok := g.(orb.Point); ok && s.dim >= 0 {
		return s.relatePoint(op, p)
	}
	switch op {
	case OpSIntersects:
		return truth(s.intersects(g))
	case OpSDisjoint:
		return truth(!s.intersects(g))
	case OpSEquals:
		if g.Bound() != s.bound {
			return False
		}
	case OpSWithin:
		if b := g.Bound(); !s.bound.Contains(b.Min) || !s.bound.Contains(b.Max) {
			return False
		}
	case OpSContains:
		if b := g.Bound(); !b.Contains(s.bound.Min) || !b.Contains(s.bound.Max) {
			return False
		}
	}
	if dim := dimension(g); dim > 0 && s.dim > 0 && !s.contact(g) {
		if t, ok := s.apart(op, g, dim); ok {
			return t
		}
	}
	return relateExact(op, toExact(g), s.exact)
}

// relatePoint evaluates op between a point, on the left, and s. A point has an
// interior and no boundary.
func (s *shape) relatePoint(op Op, p orb.Point) Truth {
	at := s.place(p)
	switch op {
	case OpSIntersects:
		return truth(at != exterior)
	case OpSDisjoint:
		return truth(at == exterior)
	case OpSTouches:
		return truth(at == boundary)
	case OpSWithin:
		return truth(at == interior)
	case OpSContains, OpSEquals:
		return truth(at == interior && s.dim == 0 && s.bound.Min == s.bound.Max)
	}
	return False // a single point neither overlaps nor crosses: it is in or out as a whole
}

// contact reports whether an edge of g meets an edge of s.
func (s *shape) contact(g orb.Geometry) bool {
	return eachPath(g, func(path []orb.Point) bool {
		for i := 1; i < len(path); i++ {
			if s.index.meets(path[i-1], path[i]) {
				return true
			}
		}
		return false
	})
}

// intersects reports whether g and s have a point in common.
func (s *shape) intersects(g orb.Geometry) bool {
	if s.members != nil {
		for _, m := range s.members {
			if m.intersects(g) {
				return true
			}
		}
		return false
	}
	switch g := g.(type) {
	case orb.Point:
		return s.place(g) != exterior
	case orb.MultiPoint:
		for _, p := range g {
			if s.place(p) != exterior {
				return true
			}
		}
		return false
	case orb.Collection:
		for _, m := range g {
			if s.intersects(m) {
				return true
			}
		}
		return false
	}
	area := dimension(g) == 2
	for _, p := range s.points {
		if onLines(g, p) || area && placeIn(g, p) != exterior {
			return true
		}
	}
	if s.dim == 0 {
		return false
	}
	return s.contact(g) || s.dim == 2 && s.anyIn(g) || area && s.anchorIn(g)
}

// anyIn reports whether a line or ring of g, none of which meets s, begins in
// the area s.
func (s *shape) anyIn(g orb.Geometry) bool {
	return eachPath(g, func(path []orb.Point) bool { return len(path) > 0 && s.place(path[0]) == interior })
}

// allIn reports whether every line and ring of g begins in the area s.
func (s *shape) allIn(g orb.Geometry) bool {
	return !eachPath(g, func(path []orb.Point) bool { return len(path) > 0 && s.place(path[0]) != interior })
}

// anchorIn reports whether a line or ring of s begins in the area g.
func (s *shape) anchorIn(g orb.Geometry) bool {
	for _, a := range s.anchors {
		if placeIn(g, a) != exterior {
			return true
		}
	}
	return false
}

func (s *shape) allAnchorsIn(g orb.Geometry) bool {
	for _, a := range s.anchors {
		if placeIn(g, a) == exterior {
			return false
		}
	}
	return true
}

// apart decides op for lines and areas no edges of which meet. Each line and
// ring of one then lies as a whole inside or outside of the other, and so do
// the boundaries: nothing touches, nothing is equal, and one contains the
// other when it contains every path and none of its own rings, which would
// bound a hole or a gap, lies within the other. ok is false where this does
// not decide.
func (s *shape) apart(op Op, g orb.Geometry, dim int) (t Truth, ok bool) {
	switch op {
	case OpSTouches, OpSEquals:
		return False, true
	case OpSWithin:
		return truth(s.dim == 2 && s.allIn(g) && !(dim == 2 && s.anchorIn(g))), true
	case OpSContains:
		return truth(dim == 2 && s.allAnchorsIn(g) && !(s.dim == 2 && s.anyIn(g))), true
	}
	return False, s.simple && simple(g) // S_OVERLAPS, S_CROSSES
}

// relateColumns evaluates op between two geometries of a row.
func relateColumns(op Op, r Row, i, j int) Truth {
	a, ok := r.Bound(i)
	if !ok {
		return Unknown
	}
	b, ok := r.Bound(j)
	if !ok {
		return Unknown
	}
	if !a.Intersects(b) {
		return truth(op == OpSDisjoint)
	}
	g, ok := r.Geometry(i)
	if !ok {
		return Unknown
	}
	h, ok := r.Geometry(j)
	if !ok {
		return Unknown
	}
	if isEmpty(g) || isEmpty(h) {
		return truth(op == OpSDisjoint)
	}
	return relateExact(op, toExact(g), toExact(h))
}

// relateExact decides by the DE-9IM matrix. A geometry of a row that is not
// valid may have none: the relation is then NULL. The library may panic on
// such a geometry, and one bad row must not end the hub.
func relateExact(op Op, a, b geom.Geometry) (t Truth) {
	defer func() {
		if recover() != nil {
			t = Unknown
		}
	}()
	var ok bool
	var err error
	switch op {
	case OpSIntersects:
		ok = geom.Intersects(a, b)
	case OpSDisjoint:
		ok = !geom.Intersects(a, b)
	case OpSEquals:
		ok, err = geom.Equals(a, b)
	case OpSTouches:
		ok, err = geom.Touches(a, b)
	case OpSWithin:
		ok, err = geom.Within(a, b)
	case OpSOverlaps:
		ok, err = geom.Overlaps(a, b)
	case OpSCrosses:
		ok, err = geom.Crosses(a, b)
	case OpSContains:
		ok, err = geom.Contains(a, b)
	}
	if err != nil {
		return Unknown
	}
	return truth(ok)
}
