package spatial

import "math"

// Kind is the type of a Geometry (ISO 19107).
type Kind uint8

// The types of geometry. A single point, line or polygon is a collection of one.
const (
	MultiPoint Kind = iota + 1
	MultiLine
	MultiSurface     // surfaces that need not touch
	CompositeSurface // surfaces that together are one
	Solid            // one outer shell and the shells of its cavities
	MultiSolid       // solids that need not touch
	CompositeSolid   // solids that together are one
)

// Kinds lists every Kind.
func Kinds() []Kind {
	return []Kind{MultiPoint, MultiLine, MultiSurface, CompositeSurface, Solid, MultiSolid, CompositeSolid}
}

var kindNames = [...]string{"", "MultiPoint", "MultiLineString", "MultiSurface", "CompositeSurface", "Solid", "MultiSolid", "CompositeSolid"}

// String is the name of k in CityJSON.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// IsSurface reports whether k is made of surfaces that bound no solid.
func (k Kind) IsSurface() bool { return k == MultiSurface || k == CompositeSurface }

// IsSolid reports whether k is made of solids.
func (k Kind) IsSolid() bool { return k == Solid || k == MultiSolid || k == CompositeSolid }

func (k Kind) rank() int {
	switch {
	case k.IsSolid():
		return 3
	case k.IsSurface():
		return 2
	}
	return int(k) / int(MultiLine)
}

// Geometry is a geometry in flat arrays. Each level lists where its members
// end in the level below, so that member i of a level is [end(i-1), end(i)):
//
//	XYZ       x0 y0 z0 x1 y1 z1 …            points
//	Rings     ends, in points, of rings (surfaces, solids) or lines (MultiLine)
//	Surfaces  ends, in Rings, of polygons: the exterior ring, then the holes
//	Shells    ends, in Surfaces, of shells
//	Solids    ends, in Shells, of solids: the outer shell, then the cavities
//
// A level that the Kind does not have is empty. Rings are closed without
// repeating their first point. Seen from outside, exterior rings of a solid's
// outer shell run counter-clockwise (ISO 19107; CityJSON 2.0 section 3.1).
type Geometry struct {
	Kind Kind
	// LoD is the level of detail as CityJSON writes it, "0" to "3.3"; empty:
	// not stated.
	LoD  string
	HasZ bool // false: the source had no heights, and every Z is 0

	XYZ      []float64
	Rings    []int32
	Surfaces []int32
	Shells   []int32
	Solids   []int32

	// Semantics are the semantic surfaces; SemanticOf has, for every surface,
	// or line or point of a Kind without surfaces, its index in Semantics or
	// -1. SemanticOf is empty where there are none.
	Semantics  []Semantic
	SemanticOf []int32
}

// NumPoints is the number of points.
func (g *Geometry) NumPoints() int { return len(g.XYZ) / 3 }

// span is member i of a level: [from, to) of the level below.
func span(ends []int32, i int) (from, to int) {
	if i > 0 {
		from = int(ends[i-1])
	}
	return from, int(ends[i])
}

// Ring is the points of ring or line i, three numbers each. It shares g's array.
func (g *Geometry) Ring(i int) []float64 {
	from, to := span(g.Rings, i)
	return g.XYZ[3*from : 3*to : 3*to]
}

// SurfaceRings is the rings of surface i, as [from, to) of g.Rings; the first
// is the exterior.
func (g *Geometry) SurfaceRings(i int) (from, to int) { return span(g.Surfaces, i) }

// ShellSurfaces is the surfaces of shell i, as [from, to) of g.Surfaces.
func (g *Geometry) ShellSurfaces(i int) (from, to int) { return span(g.Shells, i) }

// SolidShells is the shells of solid i, as [from, to) of g.Shells; the first
// is the outer one.
func (g *Geometry) SolidShells(i int) (from, to int) { return span(g.Solids, i) }

// Surface is the kind of surface i, or SurfaceUnknown.
func (g *Geometry) Surface(i int) SurfaceKind {
	if i < len(g.SemanticOf) {
		if j := g.SemanticOf[i]; j >= 0 && int(j) < len(g.Semantics) {
			return g.Semantics[j].Kind
		}
	}
	return SurfaceUnknown
}

// Valid checks that the arrays of g fit together and that every coordinate is
// a finite number. It says nothing about shape.
func (g *Geometry) Valid() error {
	if g.Kind < MultiPoint || g.Kind > CompositeSolid {
		return faultf("kind", "%d is no kind of geometry", g.Kind)
	}
	if len(g.XYZ)%3 != 0 {
		return faultf("xyz", "%d numbers are no triplets", len(g.XYZ))
	}
	if g.NumPoints() > math.MaxInt32 {
		return faultf("xyz", "%d points are more than 2^31", g.NumPoints())
	}
	for i, v := range g.XYZ {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return faultf("xyz", "coordinate %d of point %d is %v", i%3, i/3, v)
		}
	}
	count := g.NumPoints()
	elements := count
	for _, level := range [...]struct {
		name string
		ends []int32
		has  bool
	}{
		{"rings", g.Rings, g.Kind != MultiPoint}, {"surfaces", g.Surfaces, g.Kind >= MultiSurface},
		{"shells", g.Shells, g.Kind.IsSolid()}, {"solids", g.Solids, g.Kind.IsSolid()},
	} {
		if !level.has {
			if len(level.ends) > 0 {
				return faultf(level.name, "a %v has none", g.Kind)
			}
			continue
		}
		last := int32(0)
		for i, end := range level.ends {
			if end < last || int(end) > count {
				return faultf(level.name, "end %d is %d, after %d and of %d", i, end, last, count)
			}
			last = end
		}
		if int(last) != count {
			return faultf(level.name, "the last ends at %d of %d", last, count)
		}
		count = len(level.ends)
		if level.name == "surfaces" || level.name == "rings" {
			elements = count
		}
	}
	if g.Kind == Solid && len(g.Solids) != 1 {
		return faultf("solids", "a Solid has %d", len(g.Solids))
	}
	if n := len(g.SemanticOf); n != 0 && n != elements {
		return faultf("semanticOf", "%d for %d elements", n, elements)
	}
	for i, j := range g.SemanticOf {
		if j < -1 || int(j) >= len(g.Semantics) {
			return faultf("semanticOf", "element %d refers to semantic %d of %d", i, j, len(g.Semantics))
		}
	}
	return nil
}
