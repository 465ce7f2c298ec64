package citygml

import (
	"fmt"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// isGeometry tells the elements of GML that are geometries.
func (n *name) isGeometry() bool {
	if n.ns != nsGML {
		return n.local == "_TexturedSurface" && n.city()
	}
	switch n.local {
	case "Point", "MultiPoint", "LineString", "Curve", "CompositeCurve", "MultiCurve", "OrientableCurve", "LinearRing", "Ring",
		"Polygon", "Surface", "OrientableSurface", "CompositeSurface", "MultiSurface", "TriangulatedSurface", "Tin", "PolyhedralSurface",
		"Solid", "CompositeSolid", "MultiSolid", "MultiGeometry", "GeometricComplex":
		return true
	}
	return false
}

// isPatch tells the elements that have a polygon's rings (GML 3.2.1, 10.5 and
// 10.5.12).
func isPatch(local string) bool {
	switch local {
	case "Polygon", "PolygonPatch", "Triangle", "Rectangle":
		return true
	}
	return false
}

// shaper makes one geometry.
type shaper struct {
	d       *decoder
	t       *tree
	sys     system
	g       spatial.Geometry
	patches []int32 // the nodes of g's surfaces
	two     bool    // some points have no height
	missing int     // references that lead out of the member
	first   string  // the first of them
	at      int32   // where that is
	open    int     // rings that are not closed
	openAt  int32
}

func (s *shaper) fault(i int32, code citymodel.Code, format string, args ...any) error {
	n := &s.t.nodes[i]
	return &fault{code: code, line: int(n.line), offset: n.offset, text: fmt.Sprintf(format, args...)}
}

// step counts the elements that are looked at, so that references that lead to
// references cannot multiply.
func (s *shaper) step(i int32, depth int) error {
	if s.d.steps--; s.d.steps < 0 {
		return s.fault(i, citymodel.TooLarge, "references lead to too many elements; raise Limits.ObjectPoints if the object is meant to be that large")
	}
	if depth > 2*s.d.limits.Depth {
		return s.fault(i, citymodel.BadReference, "references go in a circle")
	}
	if a := s.t.nodes[i].attrs; a != nil && a.srs != "" {
		if other := s.d.system(a.srs); !s.d.opt.CRS.Known() && other.crs != s.sys.crs {
			return s.fault(i, citymodel.UnknownCRS, "srsName %.100q is another CRS than the object's, %v", a.srs, s.sys.crs)
		}
	}
	return nil
}

// follow is the element to which a property refers, or the property itself.
func (s *shaper) follow(i int32) (int32, bool) {
	n := &s.t.nodes[i]
	if n.href == "" || n.first != 0 {
		return i, true
	}
	to, ok := s.t.find(n.href)
	if !ok {
		if s.missing++; s.missing == 1 {
			s.first, s.at = n.href, i
		}
	}
	return to, ok
}

// kindOf is the Kind that a geometry becomes.
func (s *shaper) kindOf(i int32) spatial.Kind {
	switch s.t.nodes[i].name.local {
	case "Point", "MultiPoint":
		return spatial.MultiPoint
	case "LineString", "Curve", "CompositeCurve", "MultiCurve", "OrientableCurve", "LinearRing", "Ring":
		return spatial.MultiLine
	case "Solid":
		return spatial.Solid
	case "CompositeSolid":
		return spatial.CompositeSolid
	case "MultiSolid":
		return spatial.MultiSolid
	case "CompositeSurface", "TriangulatedSurface", "Tin", "PolyhedralSurface", "Surface":
		return spatial.CompositeSurface
	case "MultiGeometry", "GeometricComplex":
		return s.mixed(i)
	}
	return spatial.MultiSurface
}

// mixed is the Kind of a collection: that of its first member, as a collection.
func (s *shaper) mixed(i int32) spatial.Kind {
	for p := s.t.nodes[i].first; p != 0; p = s.t.nodes[p].next {
		for m := s.t.nodes[p].first; m != 0; m = s.t.nodes[m].next {
			switch n := &s.t.nodes[m]; {
			case n.name.local == "MultiGeometry" || n.name.local == "GeometricComplex" || !n.name.isGeometry():
				continue
			case n.name.local == "Solid":
				return spatial.MultiSolid
			case n.name.local == "Point" && s.t.nodes[p].next != 0: // a node of a network; its edges say more
				continue
			}
			return s.kindOf(m)
		}
	}
	return spatial.MultiSurface
}

// shape takes the geometry i.
func (s *shaper) shape(i int32) error {
	s.g.Kind = s.kindOf(i)
	var err error
	switch {
	case s.g.Kind == spatial.MultiPoint:
		err = s.dots(i, 0)
	case s.g.Kind == spatial.MultiLine:
		err = s.lines(i, 0)
	case s.g.Kind.IsSolid():
		err = s.solids(i, 0)
	default:
		err = s.surfaces(i, false, 0)
	}
	if err != nil {
		return err
	}
	if len(s.g.XYZ) == 0 {
		if s.missing > 0 {
			return s.fault(s.at, citymodel.BadReference, "xlink:href %.100q leads out of the member of the city model", s.first)
		}
		return s.fault(i, citymodel.EmptyGeometry, "a %.50s without coordinates that belong to it", s.t.nodes[i].name.local)
	}
	if s.g.Kind == spatial.Solid && len(s.g.Solids) != 1 {
		return s.fault(i, citymodel.WrongType, "a Solid of %d solids", len(s.g.Solids))
	}
	s.g.HasZ = !s.two
	return nil
}

func (s *shaper) each(i int32, depth int, f func(c int32, depth int) error) error {
	for c := s.t.nodes[i].first; c != 0; c = s.t.nodes[c].next {
		if err := s.step(c, depth); err != nil {
			return err
		}
		if to, ok := s.follow(c); ok {
			if err := f(to, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shaper) dots(i int32, depth int) error {
	if s.t.nodes[i].coords {
		return s.points(i)
	}
	return s.each(i, depth, s.dots)
}

func (s *shaper) lines(i int32, depth int) error {
	switch s.t.nodes[i].name.local {
	case "LineString", "Curve", "LinearRing", "Ring", "OrientableCurve":
		if err := s.step(i, depth); err != nil {
			return err
		}
		from := len(s.g.XYZ)
		if err := s.path(i, depth); err != nil {
			return err
		}
		if len(s.g.XYZ) > from {
			s.g.Rings = append(s.g.Rings, int32(len(s.g.XYZ)/3))
		}
		return nil
	case "Point", "Polygon", "Solid":
		return nil // of a collection whose lines are taken
	}
	return s.each(i, depth, s.lines)
}

// path appends the points of one line or ring.
func (s *shaper) path(i int32, depth int) error {
	n := &s.t.nodes[i]
	if n.coords {
		from := len(s.g.XYZ)
		if err := s.points(i); err != nil {
			return err
		}
		// Where one part of a curve ends the next begins: the point is one.
		if n.name.local != "pos" && from >= 3 && s.starts(from) {
			s.g.XYZ = slices.Delete(s.g.XYZ, from, from+3)
		}
		return nil
	}
	switch n.name.local {
	case "Arc", "ArcString", "Circle", "ArcByBulge", "ArcByCenterPoint", "CircleByCenterPoint", "BSpline", "Bezier", "CubicSpline", "Clothoid", "GeodesicString", "OffsetCurve":
		return s.fault(i, citymodel.WrongType, "a %s; only straight segments can be read", n.name.local)
	}
	from := len(s.g.XYZ)
	if err := s.each(i, depth, s.path); err != nil {
		return err
	}
	if n.name.local == "OrientableCurve" && n.attrs != nil && n.attrs.reversed {
		reverse(s.g.XYZ[from:])
	}
	return nil
}

// starts reports whether the point at from repeats the last one of the same line.
func (s *shaper) starts(from int) bool {
	begin := 0
	if k := len(s.g.Rings); k > 0 {
		begin = 3 * int(s.g.Rings[k-1])
	}
	x := s.g.XYZ
	return from > begin && len(x) >= from+3 && [3]float64(x[from-3:from]) == [3]float64(x[from:from+3])
}

func reverse(xyz []float64) {
	for i, j := 0, len(xyz)-3; i < j; i, j = i+3, j-3 {
		for k := range 3 {
			xyz[i+k], xyz[j+k] = xyz[j+k], xyz[i+k]
		}
	}
}

// points appends the numbers of node i.
func (s *shaper) points(i int32) error {
	n := &s.t.nodes[i]
	if n.bad {
		return s.fault(i, citymodel.WrongType, "%q in a %s, expected a finite number", n.text, n.name.local)
	}
	v := s.t.numbers[n.from:n.to]
	dim := 0
	for p := i; dim == 0; p = s.t.nodes[p].parent {
		if a := s.t.nodes[p].attrs; a != nil {
			dim = a.dimension
		}
		if p == 0 {
			break
		}
	}
	switch {
	case n.name.local == "pos" && (len(v) == 2 || len(v) == 3):
		dim = len(v)
	case dim == 0:
		dim = 3
	}
	if dim != 2 && dim != 3 || len(v)%dim != 0 {
		return s.fault(i, citymodel.WrongType, "%d numbers in a %s of dimension %d, expected a multiple of 2 or 3", len(v), n.name.local, dim)
	}
	if s.d.points -= len(v) / dim; s.d.points < 0 {
		return s.fault(i, citymodel.TooLarge, "more than %d points, with those that are referred to; raise Limits.ObjectPoints if the object is meant to be that large", referred*s.d.limits.ObjectPoints)
	}
	for ; len(v) > 0; v = v[dim:] {
		x, y, z := v[0], v[1], 0.0
		if s.sys.swap {
			x, y = y, x
		}
		if dim == 3 {
			z = v[2]
		} else {
			s.two = true
		}
		s.g.XYZ = append(s.g.XYZ, x, y, z)
	}
	return nil
}

// surfaces appends the surfaces in i, turned round where back is true.
func (s *shaper) surfaces(i int32, back bool, depth int) error {
	n := &s.t.nodes[i]
	if isPatch(n.name.local) {
		return s.patch(i, back, depth)
	}
	switch n.name.local {
	case "Point", "LineString", "Curve":
		return nil // of a collection whose surfaces are taken
	case "OrientableSurface", "_TexturedSurface":
		// GML 3.2.1, 10.5.7: "-" means that the surface faces the other way.
		back = back != (n.attrs != nil && n.attrs.reversed)
	}
	return s.each(i, depth, func(c int32, depth int) error { return s.surfaces(c, back, depth) })
}

func (s *shaper) patch(i int32, back bool, depth int) error {
	rings := len(s.g.Rings)
	for _, hole := range []bool{false, true} {
		for c := s.t.nodes[i].first; c != 0; c = s.t.nodes[c].next {
			switch local := s.t.nodes[c].name.local; {
			case !hole && (local == "exterior" || local == "outerBoundaryIs"), hole && (local == "interior" || local == "innerBoundaryIs"):
				if err := s.ring(c, back, depth); err != nil {
					return err
				}
			}
		}
		if !hole && len(s.g.Rings) != rings+1 {
			return s.fault(i, citymodel.Missing, "a %s with %d exteriors that have points, expected one", s.t.nodes[i].name.local, len(s.g.Rings)-rings)
		}
	}
	s.g.Surfaces = append(s.g.Surfaces, int32(len(s.g.Rings)))
	s.patches = append(s.patches, i)
	return nil
}

// ring appends a ring without its last point, which repeats the first.
func (s *shaper) ring(i int32, back bool, depth int) error {
	from := len(s.g.XYZ)
	if err := s.path(i, depth); err != nil {
		return err
	}
	x := s.g.XYZ[from:]
	switch k := len(x) - 3; {
	case k < 0:
		return nil
	case k > 0 && [3]float64(x[:3]) == [3]float64(x[k:]):
		s.g.XYZ = s.g.XYZ[:from+k]
	default:
		if s.open++; s.open == 1 {
			s.openAt = i
		}
	}
	if back {
		reverse(s.g.XYZ[from:])
	}
	s.g.Rings = append(s.g.Rings, int32(len(s.g.XYZ)/3))
	return nil
}

func (s *shaper) solids(i int32, depth int) error {
	if s.t.nodes[i].name.local != "Solid" {
		return s.each(i, depth, s.solids)
	}
	if err := s.step(i, depth); err != nil {
		return err
	}
	shells := len(s.g.Shells)
	for _, cavity := range []bool{false, true} {
		for c := s.t.nodes[i].first; c != 0; c = s.t.nodes[c].next {
			if local := s.t.nodes[c].name.local; cavity && local != "interior" || !cavity && local != "exterior" {
				continue
			}
			from := len(s.g.Surfaces)
			to, ok := s.follow(c)
			if !ok {
				continue
			}
			if err := s.surfaces(to, false, depth+1); err != nil {
				return err
			}
			if len(s.g.Surfaces) > from {
				s.g.Shells = append(s.g.Shells, int32(len(s.g.Surfaces)))
			}
		}
		if !cavity && len(s.g.Shells) != shells+1 {
			if s.missing > 0 {
				return s.fault(s.at, citymodel.BadReference, "xlink:href %.100q leads out of the member of the city model, and the solid has no other surface", s.first)
			}
			return s.fault(i, citymodel.Missing, "a Solid with %d exteriors that have surfaces, expected one", len(s.g.Shells)-shells)
		}
	}
	s.g.Solids = append(s.g.Solids, int32(len(s.g.Shells)))
	return nil
}
