// Package flat is what the readers of simple features share: they put their
// points into Shapes, which builds the geometries of one object within a limit,
// and let a Maker finish the object: identifier, name, class, height, checks
// and counts.
//
// Shapes and Maker are for one goroutine.
package flat

import (
	"fmt"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// Fault is why one geometry or one object cannot be read.
type Fault struct {
	Code citymodel.Code
	Text string
}

// Error is the text.
func (f *Fault) Error() string { return f.Text }

// Faultf makes a Fault.
func Faultf(code citymodel.Code, format string, args ...any) error {
	return &Fault{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Shapes builds the geometries of one object. Parts of the same kind, all with
// heights or all without, become one geometry.
type Shapes struct {
	List []spatial.Geometry
	Open int // rings whose last point was not the first

	cur    int
	budget int
	limit  int
}

// Reset begins a new object of no more than limit points. What it built before
// belongs to who took it.
func (s *Shapes) Reset(limit int) {
	*s = Shapes{budget: limit, limit: limit, cur: -1}
}

// Begin lets the points that follow belong to a part of this kind.
func (s *Shapes) Begin(kind spatial.Kind, hasZ bool) {
	for i := range s.List {
		if s.List[i].Kind == kind && s.List[i].HasZ == hasZ {
			s.cur = i
			return
		}
	}
	lod := "0" // CityJSON's name for what lies flat
	if hasZ {
		lod = ""
	}
	s.List = append(s.List, spatial.Geometry{Kind: kind, HasZ: hasZ, LoD: lod})
	s.cur = len(s.List) - 1
}

// Reserve fails where n more points are beyond the limit, before they are read.
func (s *Shapes) Reserve(n int) error {
	if n > s.budget {
		return s.tooMany()
	}
	return nil
}

func (s *Shapes) tooMany() error {
	return Faultf(citymodel.TooLarge, "more than %d points; raise Limits.ObjectPoints if the object is meant to be that large", s.limit)
}

// Point adds a point to the part that was begun.
func (s *Shapes) Point(x, y, z float64) error {
	if s.budget--; s.budget < 0 {
		return s.tooMany()
	}
	g := &s.List[s.cur]
	if !g.HasZ {
		z = 0
	}
	g.XYZ = append(g.XYZ, x, y, z)
	return nil
}

// EndLine ends a line; one without points is left out.
func (s *Shapes) EndLine() {
	g := &s.List[s.cur]
	if n := int32(g.NumPoints()); n > last(g.Rings) {
		g.Rings = append(g.Rings, n)
	}
}

// EndRing ends a ring and leaves out its last point, which repeats the first; a
// ring without points is left out.
func (s *Shapes) EndRing() {
	g := &s.List[s.cur]
	from, n := 3*int(last(g.Rings)), len(g.XYZ)
	if n == from {
		return
	}
	if n > from+3 && [3]float64(g.XYZ[from:from+3]) == [3]float64(g.XYZ[n-3:]) {
		g.XYZ = g.XYZ[:n-3]
	} else {
		s.Open++
	}
	g.Rings = append(g.Rings, int32(g.NumPoints()))
}

// EndSurface ends a polygon; one without rings is left out.
func (s *Shapes) EndSurface() {
	g := &s.List[s.cur]
	if n := int32(len(g.Rings)); n > last(g.Surfaces) {
		g.Surfaces = append(g.Surfaces, n)
	}
}

func last(ends []int32) int32 {
	if len(ends) == 0 {
		return 0
	}
	return ends[len(ends)-1]
}
