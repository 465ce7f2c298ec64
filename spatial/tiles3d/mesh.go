package tiles3d

import (
	"math"
)

// primitive is the triangles of one material in the axes of glTF: x east, y up,
// z south. Vertices carry the feature they belong to.
type primitive struct {
	position []float32
	normal   []float32
	feature  []float32 // exact to 2^24
	index    []uint32
	min, max [3]float32
}

// mesh is the triangles of one node.
type mesh struct {
	frame frame
	parts [numMaterials]primitive
}

// pen adds triangles of one feature to a mesh. Points are east, north, up.
type pen struct {
	m       *mesh
	feature float32
}

// vertex adds a vertex and gives its index; n has length 1.
func (p pen) vertex(in material, at, n vec) uint32 {
	q := &p.m.parts[in]
	v := [3]float32{float32(at[0]), float32(at[2]), float32(-at[1])}
	if len(q.position) == 0 {
		q.min, q.max = v, v
	} else {
		for i := range v {
			q.min[i], q.max[i] = min(q.min[i], v[i]), max(q.max[i], v[i])
		}
	}
	q.position = append(q.position, v[0], v[1], v[2])
	q.normal = append(q.normal, float32(n[0]), float32(n[2]), float32(-n[1]))
	q.feature = append(q.feature, p.feature)
	return uint32(len(q.feature) - 1)
}

func (p pen) triangle(in material, a, b, c uint32) {
	q := &p.m.parts[in]
	q.index = append(q.index, a, b, c)
}

// quad adds a flat quadrangle, counter-clockwise seen from outside; one of no
// area is left out.
func (p pen) quad(in material, a, b, c, d vec) {
	n := c.sub(a).cross(d.sub(b)).unit()
	if n == (vec{}) {
		return
	}
	i := p.vertex(in, a, n)
	p.vertex(in, b, n)
	p.vertex(in, c, n)
	p.vertex(in, d, n)
	p.triangle(in, i, i+1, i+2)
	p.triangle(in, i, i+2, i+3)
}

// areaVector is Newell's vector of a ring, as long as twice its area.
func areaVector(ring []vec) (v vec) {
	if len(ring) < 3 {
		return v
	}
	a := ring[1].sub(ring[0])
	for _, p := range ring[2:] {
		b := p.sub(ring[0])
		v = v.add(a.cross(b))
		a = b
	}
	return v
}

// flatten projects points on the plane of two axes that shows an area with
// this normal largest, and counter-clockwise where the normal points to the
// viewer.
func flatten(dst []float64, points []vec, normal vec) []float64 {
	k := 0
	for i := 1; i < 3; i++ {
		if math.Abs(normal[i]) > math.Abs(normal[k]) {
			k = i
		}
	}
	u, v := (k+1)%3, (k+2)%3
	if normal[k] < 0 {
		u, v = v, u
	}
	for _, p := range points {
		dst = append(dst, p[u], p[v])
	}
	return dst
}
