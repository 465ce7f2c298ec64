// Package repair mends geometry where only one thing can have been meant, and
// tells what it did with the codes of ISO 19107 as citymodel.Check finds them:
//
//	102  points that repeat the one before are taken out
//	101  rings of fewer than three points, and lines of fewer than two, are dropped
//	104  spikes (there and back) are cut off and surfaces without area dropped;
//	     a flat surface whose ring crosses itself is built again by the even-odd
//	     rule, if its area stays what it was; all this not where surfaces enclose
//	     a space and would no longer
//	206  the ring that holds all others becomes the exterior
//	208  a hole is turned against its exterior
//	307  surfaces of a closed shell that face the wrong way are turned
//	405  a shell that faces inwards is turned
//	902  a geometry in which nothing is left is dropped
//
// It never moves a point and never fills a gap: what is not listed stays as it
// is, for whoever imports to flag or to refuse.
//
// Coordinates must be in metres in all three directions. The package keeps no
// state; its functions may be called by several goroutines for different objects.
package repair

import (
	"fmt"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// Options bound what a repair may do. The zero value is usable.
type Options struct {
	// AreaShare is the share of a surface's area by which building it again may
	// change it; default 0.01.
	AreaShare float64
	// SliverMetres: a surface that is narrower is dropped where its edges lie on
	// each other, except from solids; default 0.0001.
	SliverMetres float64
	// CrossingPoints is the most points of a surface that is built again;
	// default 128. The time grows with their square and more.
	CrossingPoints int
	// RingPoints is the longest ring that is searched for crossings, as in
	// citymodel.CheckOptions; default 512.
	RingPoints int
}

func (o Options) withDefaults() Options {
	if o.AreaShare <= 0 {
		o.AreaShare = 0.01
	}
	if o.SliverMetres <= 0 {
		o.SliverMetres = 1e-4
	}
	if o.CrossingPoints <= 0 {
		o.CrossingPoints = 128
	}
	if o.RingPoints <= 0 {
		o.RingPoints = 512
	}
	return o
}

// Fix is one thing that was mended.
type Fix struct {
	Code    citymodel.Code
	Field   string // where in the object as it was, e.g. "geometry[0].surface[3]"
	Message string // what was found and what was done
	Dropped bool   // something was left out: a ring, a surface or a geometry
}

// Object mends the geometries of o and says how. Geometries that need nothing
// keep their arrays; the others get new ones. The order of the surfaces stays.
func Object(o *spatial.CityObject, opt Options) []Fix {
	opt = opt.withDefaults()
	var fixes []Fix
	kept := make([]spatial.Geometry, 0, len(o.Geometries))
	for i := range o.Geometries {
		m := mender{opt: opt, field: fmt.Sprintf("geometry[%d]", i)}
		g, ok := m.mend(o.Geometries[i])
		fixes = append(fixes, m.fixes...)
		if ok {
			kept = append(kept, g)
		}
	}
	if len(fixes) > 0 {
		o.Geometries = kept
	}
	return fixes
}

// A face is a surface of a geometry: its exterior, then its holes.
type face struct {
	rings    [][]float64
	semantic int32
	index    int // of the surface in the geometry as it was
}

type mender struct {
	opt   Options
	field string
	whole bool // the surfaces bound a solid: no edge may go, so none is cut off or built again
	fixes []Fix
}

func (m *mender) fix(code citymodel.Code, dropped bool, where, format string, args ...any) {
	m.fixes = append(m.fixes, Fix{Code: code, Field: m.field + where, Message: fmt.Sprintf(format, args...), Dropped: dropped})
}

// mend gives g mended, or false where nothing is left of it.
func (m *mender) mend(g spatial.Geometry) (spatial.Geometry, bool) {
	if len(g.XYZ) == 0 {
		m.fix(citymodel.EmptyGeometry, true, "", "a %v without points; dropped", g.Kind)
		return g, false
	}
	switch {
	case g.Kind == spatial.MultiPoint:
		return g, true
	case g.Kind == spatial.MultiLine:
		return m.lines(g)
	}
	m.whole = g.Kind.IsSolid()
	out, ok := m.surfaces(&g)
	if !m.whole && len(m.fixes) > 0 && len(g.Surfaces) >= 4 {
		// Surfaces that enclose a space must go on doing so: what is cut off a
		// ring may be what joins it to its neighbour.
		if _, closed := g.Volume(); closed {
			if _, still := out.Volume(); !ok || !still {
				m.whole, m.fixes = true, nil
				return m.surfaces(&g)
			}
		}
	}
	return out, ok
}

// surfaces mends the surfaces of g.
func (m *mender) surfaces(g *spatial.Geometry) (spatial.Geometry, bool) {
	shells := m.shells(g)
	n := 0
	for _, s := range shells {
		n += len(s)
	}
	if len(m.fixes) == 0 {
		return *g, true
	}
	if n == 0 {
		m.fix(citymodel.EmptyGeometry, true, "", "no surface of the %v is left; dropped", g.Kind)
		return *g, false
	}
	return build(g, shells), true
}

// lines drops lines that are none.
func (m *mender) lines(g spatial.Geometry) (spatial.Geometry, bool) {
	out := g
	out.XYZ, out.Rings, out.SemanticOf = nil, nil, nil
	for i := range g.Rings {
		line := g.Ring(i)
		if len(line) < 6 {
			m.fix(citymodel.TooFewPoints, true, fmt.Sprintf(".line[%d]", i), "points: %d, a line has 2 or more; dropped", len(line)/3)
			continue
		}
		out.XYZ = append(out.XYZ, line...)
		out.Rings = append(out.Rings, int32(len(out.XYZ)/3))
		if len(g.SemanticOf) > 0 {
			out.SemanticOf = append(out.SemanticOf, g.SemanticOf[i])
		}
	}
	if len(m.fixes) == 0 {
		return g, true
	}
	return out, len(out.Rings) > 0
}

// shells gives the mended faces of every shell; surfaces without a solid are
// one shell.
func (m *mender) shells(g *spatial.Geometry) [][]face {
	if !g.Kind.IsSolid() {
		return [][]face{m.faces(g, 0, len(g.Surfaces))}
	}
	shells := make([][]face, 0, len(g.Shells))
	for solid := range g.Solids {
		first, last := g.SolidShells(solid)
		for i := first; i < last; i++ {
			from, to := g.ShellSurfaces(i)
			faces := m.faces(g, from, to)
			m.orient(faces, fmt.Sprintf(".shell[%d]", i), i > first)
			shells = append(shells, faces)
		}
	}
	return shells
}

func (m *mender) faces(g *spatial.Geometry, from, to int) []face {
	var out []face
	for s := from; s < to; s++ {
		f := face{semantic: -1, index: s}
		if len(g.SemanticOf) > 0 {
			f.semantic = g.SemanticOf[s]
		}
		first, last := g.SurfaceRings(s)
		for r := first; r < last; r++ {
			f.rings = append(f.rings, g.Ring(r))
		}
		out = append(out, m.face(f)...)
	}
	return out
}

// build makes the geometry of the faces of shells.
func build(g *spatial.Geometry, shells [][]face) spatial.Geometry {
	out := spatial.Geometry{Kind: g.Kind, LoD: g.LoD, HasZ: g.HasZ, Semantics: g.Semantics}
	shell := 0
	add := func() {
		for _, f := range shells[shell] {
			for _, ring := range f.rings {
				out.XYZ = append(out.XYZ, ring...)
				out.Rings = append(out.Rings, int32(len(out.XYZ)/3))
			}
			out.Surfaces = append(out.Surfaces, int32(len(out.Rings)))
			if len(g.SemanticOf) > 0 {
				out.SemanticOf = append(out.SemanticOf, f.semantic)
			}
		}
		shell++
	}
	if !g.Kind.IsSolid() {
		add()
		return out
	}
	for solid := range g.Solids {
		first, last := g.SolidShells(solid)
		for range last - first {
			add()
			out.Shells = append(out.Shells, int32(len(out.Surfaces)))
		}
		out.Solids = append(out.Solids, int32(len(out.Shells)))
	}
	return out
}
