package citygml

import (
	"errors"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// lods are the levels of detail of which surfaces can be.
var lods = [...]string{"0", "1", "2", "3", "4"}

// thematic makes a MultiSurface for every level of detail at which thematic
// surfaces have polygons that no geometry of the object has.
func (b *builder) thematic() {
	if len(b.surfaces) == 0 {
		return
	}
	for _, lod := range lods {
		has := map[int32]bool{}
		for _, g := range b.shapes {
			if g.own && g.lod == lod {
				for _, patch := range g.patches {
					has[patch] = true
				}
			}
		}
		s := &shaper{d: b.d, t: b.t, sys: b.sys}
		s.g = spatial.Geometry{Kind: spatial.MultiSurface, LoD: lod}
		property := int32(0)
		for _, i := range b.surfaces {
			for p := b.t.nodes[i].first; p != 0; p = b.t.nodes[p].next {
				n := &b.t.nodes[p]
				if lodOf(n.name.local) != lod || n.first != 0 && !b.t.nodes[n.first].name.isGeometry() || n.first == 0 && n.href == "" {
					continue
				}
				property = p
				b.addTo(s, p)
			}
		}
		whole := true
		for _, patch := range s.patches {
			whole = whole && has[patch]
		}
		if whole || len(s.g.XYZ) == 0 || !b.room(property) {
			continue
		}
		s.g.HasZ = !s.two
		if s.open > 0 {
			n := &b.t.nodes[s.openAt]
			b.d.problem(citymodel.SeverityError, citymodel.RingNotClosed, int(n.line), n.offset, n.name.local, "a ring whose last point is not its first (%d of this level of detail are); it is taken as closed", s.open)
		}
		b.add(s, false)
	}
}

// addTo appends the surfaces of property p of a thematic surface to s. If one
// is faulty, all of the property are left out.
func (b *builder) addTo(s *shaper, p int32) {
	before := [...]int{len(s.g.XYZ), len(s.g.Rings), len(s.g.Surfaces), len(s.patches)}
	s.missing = 0
	to, ok := s.follow(p)
	var err error
	if ok {
		if s.mixedOnly(to) {
			return // lines or points, such as a marking's
		}
		err = s.surfaces(to, false, 0)
	}
	n := &b.t.nodes[p]
	var f *fault
	switch {
	case errors.As(err, &f):
		b.d.problem(citymodel.SeverityError, f.code, f.line, f.offset, n.name.local, "%s; the surface is left out", f.text)
	case s.missing > 0:
		at := &b.t.nodes[s.at]
		b.d.problem(citymodel.SeverityError, citymodel.BadReference, int(at.line), at.offset, n.name.local, "xlink:href %.100q leads out of the member of the city model; the surface is left out", s.first)
	default:
		return
	}
	s.g.XYZ, s.g.Rings = s.g.XYZ[:before[0]], s.g.Rings[:before[1]]
	s.g.Surfaces, s.patches = s.g.Surfaces[:before[2]], s.patches[:before[3]]
	b.d.tally.Dropped++
}

// mixedOnly reports whether a property of a thematic surface has no surfaces
// to give: its geometry is a line or a point.
func (s *shaper) mixedOnly(p int32) bool {
	if f := s.t.nodes[p].first; f != 0 && s.t.nodes[f].name.isGeometry() {
		p = f
	}
	return s.t.nodes[p].name.isGeometry() && !s.kindOf(p).IsSurface() && !s.kindOf(p).IsSolid()
}

// semantics says of geometry k which of its surfaces is what.
func (b *builder) semantics(k int) {
	g, patches := &b.o.Geometries[k], b.shapes[k].patches
	if len(patches) == 0 || len(patches) != len(g.Surfaces) {
		return
	}
	if b.of == nil {
		b.of = b.owners()
	}
	index := map[int32]int32{}
	var add func(i int32) int32
	add = func(i int32) int32 {
		if at, ok := index[i]; ok {
			return at
		}
		parent := int32(-1)
		for p := b.t.nodes[i].parent; p != 0 && !b.t.nodes[p].name.isObject(); p = b.t.nodes[p].parent {
			if b.t.nodes[p].name.isSurface() {
				parent = add(p)
				break
			}
		}
		n := &b.t.nodes[i]
		sem := spatial.Semantic{Kind: spatial.SurfaceKindOf(n.name.local), Type: n.name.local, Parent: parent}
		if n.id != "" {
			sem.Attributes = append(sem.Attributes, spatial.Attribute{Name: "id", Value: spatial.TextValue(n.id)})
		}
		for p := n.first; p != 0; p = b.t.nodes[p].next {
			if m := &b.t.nodes[p]; m.first == 0 && m.text != "" && !m.coords && len(sem.Attributes) < 1000 {
				sem.Attributes = append(sem.Attributes, b.leaf(p, m.name.label)...)
			}
		}
		at := int32(len(g.Semantics))
		g.Semantics = append(g.Semantics, sem)
		index[i] = at
		return at
	}
	values := make([]int32, len(patches))
	any := false
	for j, patch := range patches {
		values[j] = -1
		i, ok := b.of[patch]
		if !ok {
			i, ok = b.around(patch)
		}
		if ok {
			values[j], any = add(i), true
		}
		if len(g.Semantics) > b.d.limits.Semantics {
			b.d.problem(citymodel.SeverityError, citymodel.TooLarge, b.o.Source.Line, b.o.Source.Offset, "boundedBy", "more than %d semantic surfaces; they are left out", b.d.limits.Semantics)
			g.Semantics = nil
			return
		}
	}
	if any {
		g.SemanticOf = values
	}
}

// around is the thematic surface in which a polygon stands, within its object.
func (b *builder) around(i int32) (int32, bool) {
	for p := b.t.nodes[i].parent; p != 0 && !b.t.nodes[p].name.isObject(); p = b.t.nodes[p].parent {
		if n := b.t.nodes[p].name; n.isSurface() && !n.isGeometry() {
			return p, true
		}
	}
	return 0, false
}

// owners are the thematic surfaces that polygons have which stand elsewhere,
// such as in a solid, and to which the surfaces refer.
func (b *builder) owners() map[int32]int32 {
	of := map[int32]int32{}
	for _, i := range b.surfaces {
		for p := b.t.nodes[i].first; p != 0; p = b.t.nodes[p].next {
			n := &b.t.nodes[p]
			if lodOf(n.name.local) == "" {
				continue
			}
			s := &shaper{d: b.d, t: b.t, sys: b.sys}
			points := b.d.points
			if to, ok := s.follow(p); ok && s.surfaces(to, false, 0) == nil {
				for _, patch := range s.patches {
					if _, ok := of[patch]; !ok {
						of[patch] = i
					}
				}
			}
			b.d.points = points
		}
	}
	return of
}
