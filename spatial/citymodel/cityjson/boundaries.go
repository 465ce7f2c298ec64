package cityjson

import (
	"math"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// maxNest is the depth of the boundaries of a MultiSolid.
const maxNest = 5

// nest is an array of arrays … of vertex indices, flat. Level 1 is the
// outermost array; ends[k] has, for each array of level k, the number of its
// and all earlier arrays' members.
type nest struct {
	ints  []int32
	ends  [maxNest + 1][]int32
	count [maxNest + 2]int32
	leaf  int // level of the arrays that hold numbers; zero: there were none
}

func (n *nest) reset() {
	n.ints = n.ints[:0]
	for k := range n.ends {
		n.ends[k] = n.ends[k][:0]
	}
	n.count = [maxNest + 2]int32{}
	n.leaf = 0
}

// read takes the array of level k. budget is how many numbers and arrays may
// come; limit is what it was in the beginning.
func (n *nest) read(s *jsonscan.Scanner, k int, budget *int, limit int) error {
	if k > maxNest {
		return faults.At(s, citymodel.WrongType, "more than %d arrays inside each other", maxNest)
	}
	spend := func() error {
		if *budget--; *budget < 0 {
			return faults.At(s, citymodel.TooLarge, "more than %d points; raise Limits.ObjectPoints if the object is meant to be that large", limit)
		}
		return nil
	}
	if err := spend(); err != nil {
		return err
	}
	err := s.Array(func(int) error {
		if c := s.Peek(); c == '[' {
			if n.leaf != 0 && k >= n.leaf {
				return faults.At(s, citymodel.WrongType, "an array beside vertex indices")
			}
			return n.read(s, k+1, budget, limit)
		}
		v, err := s.Int()
		if err != nil {
			return err
		}
		if n.leaf == 0 {
			n.leaf = k
		}
		if n.leaf != k {
			return faults.At(s, citymodel.WrongType, "a vertex index at depth %d, others at depth %d", k, n.leaf)
		}
		if v < 0 || v > math.MaxInt32 {
			return faults.At(s, citymodel.BadReference, "vertex index %d", v)
		}
		if err := spend(); err != nil {
			return err
		}
		n.ints = append(n.ints, int32(v))
		n.count[k+1]++
		return nil
	})
	if err != nil {
		return err
	}
	n.ends[k] = append(n.ends[k], n.count[k+1])
	n.count[k]++
	return nil
}

// kinds are the geometry types with the depth of their boundaries (CityJSON
// 2.0 section 3.2).
var kinds = map[string]struct {
	kind  spatial.Kind
	depth int
}{
	"MultiPoint": {spatial.MultiPoint, 1}, "MultiLineString": {spatial.MultiLine, 2},
	"MultiSurface": {spatial.MultiSurface, 3}, "CompositeSurface": {spatial.CompositeSurface, 3},
	"Solid": {spatial.Solid, 4}, "MultiSolid": {spatial.MultiSolid, 5}, "CompositeSolid": {spatial.CompositeSolid, 5},
}

// fits checks that the depth of n is that of a type of geometry.
func (n *nest) fits(s *jsonscan.Scanner, typ string, depth int) error {
	deepest := n.leaf
	for k := depth + 1; k <= maxNest; k++ {
		if len(n.ends[k]) > 0 {
			deepest = k
		}
	}
	if n.leaf != 0 && n.leaf != depth || deepest > depth {
		return faults.At(s, citymodel.WrongType, "boundaries of a %s are arrays %d deep, these are %d", typ, depth, deepest)
	}
	return nil
}

// geometry builds the geometry of n; its arrays are its own.
func (n *nest) geometry(s *jsonscan.Scanner, kind spatial.Kind, depth int, v *vertices, t *transform) (spatial.Geometry, error) {
	g := spatial.Geometry{Kind: kind, HasZ: true, XYZ: make([]float64, 0, 3*len(n.ints))}
	for _, i := range n.ints {
		if int(i) >= v.n {
			return g, faults.At(s, citymodel.BadReference, "vertex index %d, but there are %d vertices", i, v.n)
		}
		p := t.apply(v.at(int(i)))
		for k := range 3 {
			if math.IsInf(p[k], 0) || math.IsNaN(p[k]) {
				return g, faults.At(s, citymodel.OutOfRange, "vertex %d is beyond the range of numbers after the transform", i)
			}
		}
		g.XYZ = append(g.XYZ, p[0], p[1], p[2])
	}
	own := func(k int) []int32 { return append([]int32(nil), n.ends[k]...) }
	switch {
	case kind == spatial.MultiPoint:
	case kind == spatial.MultiLine:
		g.Rings = own(depth)
	default:
		g.Rings, g.Surfaces = own(depth), own(depth-1)
		if kind.IsSolid() {
			g.Shells, g.Solids = own(depth-2), own(depth-3)
		}
	}
	return g, nil
}
