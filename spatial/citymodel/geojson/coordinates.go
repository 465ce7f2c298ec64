package geojson

import (
	"math"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// maxNest is the depth of the coordinates of a MultiPolygon.
const maxNest = 4

const collection = "GeometryCollection"

// shapes are the types of RFC 7946 section 3.1 with the depth of their
// coordinates.
var shapes = map[string]struct {
	kind  spatial.Kind
	depth int
}{
	"Point": {spatial.MultiPoint, 1}, "MultiPoint": {spatial.MultiPoint, 2},
	"LineString": {spatial.MultiLine, 2}, "MultiLineString": {spatial.MultiLine, 3},
	"Polygon": {spatial.MultiSurface, 3}, "MultiPolygon": {spatial.MultiSurface, 4},
}

// nest is coordinates, flat. Level 1 is the outermost array, level leaf that of
// the positions; ends[k] has, for each array of level k above them, the number
// of its and all earlier arrays' members.
type nest struct {
	xyz        []float64
	ends       [maxNest + 1][]int32
	count      [maxNest + 2]int32
	leaf       int // zero: there were no positions
	two, three int // positions with two and with three or more numbers
	more       bool
}

func (n *nest) reset() {
	n.xyz = n.xyz[:0]
	for k := range n.ends {
		n.ends[k] = n.ends[k][:0]
	}
	n.count = [maxNest + 2]int32{}
	n.leaf, n.two, n.three, n.more = 0, 0, 0, false
}

// read takes the array of level k. budget is how many arrays may still come;
// limit is what it was in the beginning.
func (n *nest) read(s *jsonscan.Scanner, k int, budget *int, limit int) error {
	if k > maxNest {
		return faults.At(s, citymodel.WrongType, "more than %d arrays inside each other", maxNest)
	}
	if *budget--; *budget < 0 {
		return faults.At(s, citymodel.TooLarge, "more than %d points; raise Limits.ObjectPoints if the object is meant to be that large", limit)
	}
	var p [3]float64
	numbers, arrays := 0, 0
	err := s.Array(func(int) error {
		if s.Peek() == '[' {
			if arrays++; numbers > 0 || n.leaf != 0 && k >= n.leaf {
				return faults.At(s, citymodel.WrongType, "an array beside numbers")
			}
			return n.read(s, k+1, budget, limit)
		}
		v, err := s.Float()
		if err != nil {
			return err
		}
		if arrays > 0 || n.leaf != 0 && n.leaf != k {
			return faults.At(s, citymodel.WrongType, "a number at depth %d, others at another depth", k)
		}
		if n.leaf = k; numbers < 3 {
			p[numbers] = v
		}
		numbers++
		return nil
	})
	if err != nil {
		return err
	}
	n.count[k]++
	if numbers == 0 {
		n.ends[k] = append(n.ends[k], n.count[k+1])
		return nil
	}
	switch {
	case numbers == 1:
		return faults.At(s, citymodel.WrongType, "a position of 1 number; expected 2 or 3")
	case numbers == 2:
		n.two++
	default:
		n.three++
		n.more = n.more || numbers > 3
	}
	n.xyz = append(n.xyz, p[0], p[1], p[2])
	return nil
}

// geometry builds the geometry of n.
func (n *nest) geometry(s *jsonscan.Scanner, typ string, degrees bool) (spatial.Geometry, error) {
	shape := shapes[typ]
	g := spatial.Geometry{Kind: shape.kind, HasZ: n.three > 0 && n.two == 0}
	deepest := 0
	for k := range n.ends {
		if len(n.ends[k]) > 0 {
			deepest = k
		}
	}
	// An empty array is an empty geometry or an empty member of one, but no position.
	if n.leaf != 0 && (n.leaf != shape.depth || deepest >= n.leaf) || deepest >= max(shape.depth, 2) {
		return g, faults.At(s, citymodel.WrongType, "coordinates of a %s are arrays %d deep, these are %d", typ, shape.depth, max(n.leaf, deepest))
	}
	g.XYZ = append([]float64(nil), n.xyz...)
	for p := 0; p < len(g.XYZ); p += 3 {
		if degrees && (math.Abs(g.XYZ[p]) > 180 || math.Abs(g.XYZ[p+1]) > 90) {
			return g, faults.At(s, citymodel.OutOfRange, "position %v, %v is no longitude and latitude in degrees; the source may have latitude first, or another CRS", g.XYZ[p], g.XYZ[p+1])
		}
		if !g.HasZ {
			g.XYZ[p+2] = 0
		}
	}
	own := func(k int) []int32 { return append([]int32(nil), n.ends[k]...) }
	switch typ {
	case "LineString":
		g.Rings = []int32{int32(len(g.XYZ) / 3)}
		if len(g.XYZ) == 0 {
			g.Rings = nil
		}
	case "MultiLineString":
		g.Rings = own(2)
	case "Polygon":
		if g.Rings = own(2); len(g.Rings) > 0 {
			g.Surfaces = own(1)
		}
	case "MultiPolygon":
		g.Rings, g.Surfaces = own(3), own(2)
	}
	return g, nil
}

// unclose leaves out the last position of each ring, which repeats the first
// (RFC 7946 section 3.1.6). It calls open for a ring that does not.
func unclose(g *spatial.Geometry, open func(ring int)) {
	to, from := 0, 0
	for r, end := range g.Rings {
		ring := g.XYZ[3*from : 3*int(end)]
		from = int(end)
		if n := len(ring); n > 3 && [3]float64(ring[:3]) == [3]float64(ring[n-3:]) {
			ring = ring[:n-3]
		} else if n > 0 {
			open(r)
		}
		to += copy(g.XYZ[to:], ring)
		g.Rings[r] = int32(to / 3)
	}
	g.XYZ = g.XYZ[:to]
}
