package spatial

import (
	"math"
	"slices"
)

// Box is a box along the axes, in the coordinates of its CRS. The zero Box is
// the point 0, 0, 0; EmptyBox holds nothing.
type Box struct {
	Min, Max [3]float64 // x, y, z
}

// EmptyBox is a box that holds nothing.
func EmptyBox() Box {
	inf := math.Inf(1)
	return Box{Min: [3]float64{inf, inf, inf}, Max: [3]float64{-inf, -inf, -inf}}
}

// Empty reports whether b holds nothing.
func (b Box) Empty() bool { return !(b.Min[0] <= b.Max[0]) }

// Union is the smallest box that holds b and c.
func (b Box) Union(c Box) Box {
	for i := range 3 {
		b.Min[i] = min(b.Min[i], c.Min[i])
		b.Max[i] = max(b.Max[i], c.Max[i])
	}
	return b
}

// Intersects reports whether b and c have a point in common, also one on their
// faces.
func (b Box) Intersects(c Box) bool {
	for i := range 3 {
		if !(b.Min[i] <= c.Max[i] && c.Min[i] <= b.Max[i]) {
			return false
		}
	}
	return true
}

// HeightMetres is the vertical extent; zero for an empty box.
func (b Box) HeightMetres() float64 {
	if b.Empty() {
		return 0
	}
	return b.Max[2] - b.Min[2]
}

// Bounds is the box around g.
func (g *Geometry) Bounds() Box {
	b := EmptyBox()
	for p := 0; p+2 < len(g.XYZ); p += 3 {
		for i := range 3 {
			b.Min[i] = min(b.Min[i], g.XYZ[p+i])
			b.Max[i] = max(b.Max[i], g.XYZ[p+i])
		}
	}
	return b
}

// areaVector is Newell's vector of a ring (M. E. Newell; see F. Tampieri,
// "Newell's Method for Computing the Plane Equation of a Polygon", Graphics
// Gems III, 1992): it is normal to the ring and as long as its area. The ring's
// first point is the origin, so that large coordinates cost no precision.
func areaVector(ring []float64) (v [3]float64) {
	if len(ring) < 9 {
		return v
	}
	ox, oy, oz := ring[0], ring[1], ring[2]
	ax, ay, az := ring[3]-ox, ring[4]-oy, ring[5]-oz
	for p := 6; p+2 < len(ring); p += 3 {
		bx, by, bz := ring[p]-ox, ring[p+1]-oy, ring[p+2]-oz
		v[0] += ay*bz - az*by
		v[1] += az*bx - ax*bz
		v[2] += ax*by - ay*bx
		ax, ay, az = bx, by, bz
	}
	v[0] /= 2
	v[1] /= 2
	v[2] /= 2
	return v
}

func length(v [3]float64) float64 { return math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2]) }

// RingArea is the area of a ring in square metres, where x and y are in metres.
// Of a ring that is not planar it is the area of its projection on the plane
// that shows it largest.
func RingArea(ring []float64) float64 { return length(areaVector(ring)) }

// RingNormal is the unit normal of a ring, by the right-hand rule; zero where
// the ring has no area.
func RingNormal(ring []float64) [3]float64 {
	v := areaVector(ring)
	l := length(v)
	if l == 0 {
		return v
	}
	return [3]float64{v[0] / l, v[1] / l, v[2] / l}
}

// SurfaceArea is the area of surface i in square metres, where x and y are in
// metres: its exterior less its holes.
func (g *Geometry) SurfaceArea(i int) float64 {
	from, to := g.SurfaceRings(i)
	area := 0.0
	for r := from; r < to; r++ {
		if a := RingArea(g.Ring(r)); r == from {
			area = a
		} else {
			area -= a
		}
	}
	return area
}

// Area is the area of all surfaces of g in square metres, where x and y are in
// metres.
func (g *Geometry) Area() float64 {
	sum := 0.0
	for i := range g.Surfaces {
		sum += g.SurfaceArea(i)
	}
	return sum
}

// AreaOf is the area of the surfaces of one kind in square metres, where x and y
// are in metres.
func (g *Geometry) AreaOf(kind SurfaceKind) float64 {
	sum := 0.0
	for i := range g.Surfaces {
		if g.Surface(i) == kind {
			sum += g.SurfaceArea(i)
		}
	}
	return sum
}

// volume is the signed volume within the surfaces [from, to) by Gauss's theorem:
// the pyramids on each surface whose top is o. A ring that is not planar counts
// as the fan of triangles from its first point.
func (g *Geometry) volume(from, to int, o [3]float64) float64 {
	sum := 0.0
	for s := from; s < to; s++ {
		first, last := g.SurfaceRings(s)
		for r := first; r < last; r++ {
			ring := g.Ring(r)
			if len(ring) < 9 {
				continue
			}
			v := areaVector(ring)
			sum += (ring[0]-o[0])*v[0] + (ring[1]-o[1])*v[1] + (ring[2]-o[2])*v[2]
		}
	}
	return sum / 3
}

func (g *Geometry) origin(from, to int) (o [3]float64) {
	if from < to {
		first, last := g.SurfaceRings(from)
		if first < last {
			if ring := g.Ring(first); len(ring) >= 3 {
				copy(o[:], ring)
			}
		}
	}
	return o
}

// ShellVolume is the signed volume of shell i in cubic metres, where x and y are
// in metres: positive where its surfaces face outwards, as those of an outer
// shell should, negative where they face inwards, as those of a cavity should.
// It is exact where the surfaces are planar, and means nothing where the shell
// has gaps; ShellClosed tells.
func (g *Geometry) ShellVolume(i int) float64 {
	from, to := g.ShellSurfaces(i)
	return g.volume(from, to, g.origin(from, to))
}

// Volume is the signed volume of g in cubic metres, where x and y are in
// metres, and whether it means something: whether every shell is closed. It is
// the sum of all shells; surfaces without a solid are taken as one shell.
func (g *Geometry) Volume() (cubicMetres float64, closed bool) {
	if g.Kind.IsSurface() {
		return g.volume(0, len(g.Surfaces), g.origin(0, len(g.Surfaces))), g.closed(0, len(g.Surfaces))
	}
	closed = len(g.Shells) > 0
	for i := range g.Shells {
		cubicMetres += g.ShellVolume(i)
		closed = closed && g.ShellClosed(i)
	}
	return cubicMetres, closed
}

// ShellClosed reports whether every edge of shell i is run through as often in
// one direction as in the other, so that the shell has no gap and its surfaces
// agree on what is outside.
func (g *Geometry) ShellClosed(i int) bool {
	from, to := g.ShellSurfaces(i)
	return g.closed(from, to)
}

func (g *Geometry) closed(from, to int) bool {
	if from == to {
		return false
	}
	ok := true
	g.edges(from, to, func(there, back int) { ok = ok && there == back })
	return ok
}

// An edge runs between two points; the lesser one comes first. back is 1 where
// its ring runs from b to a.
type edge struct {
	a, b [3]float64
	back int
}

// edges tells for each edge of the surfaces [from, to) how often it is run
// through from its lesser point to the greater, and back.
func (g *Geometry) edges(from, to int, each func(there, back int)) {
	if from == to {
		return
	}
	first, _ := g.SurfaceRings(from)
	_, last := g.SurfaceRings(to - 1)
	points := 0
	for r := first; r < last; r++ {
		points += len(g.Ring(r)) / 3
	}
	edges := make([]edge, 0, points)
	for r := first; r < last; r++ {
		ring := g.Ring(r)
		for p, n := 0, len(ring); p+2 < n; p += 3 {
			q := (p + 3) % n
			e := edge{a: [3]float64(ring[p : p+3]), b: [3]float64(ring[q : q+3])}
			switch c := compare(&e.a, &e.b); {
			case c > 0:
				e.a, e.b, e.back = e.b, e.a, 1
			case c == 0:
				continue
			}
			edges = append(edges, e)
		}
	}
	slices.SortFunc(edges, func(x, y edge) int {
		if c := compare(&x.a, &y.a); c != 0 {
			return c
		}
		return compare(&x.b, &y.b)
	})
	for i := 0; i < len(edges); {
		e, n := &edges[i], [2]int{}
		for ; i < len(edges) && edges[i].a == e.a && edges[i].b == e.b; i++ {
			n[edges[i].back]++
		}
		each(n[0], n[1])
	}
}

func compare(a, b *[3]float64) int {
	for i := range 3 {
		switch {
		case a[i] < b[i]:
			return -1
		case a[i] > b[i]:
			return 1
		}
	}
	return 0
}

// EdgeFaults counts what is wrong with the edges of shell i (ISO 19107: a
// shell is a closed 2-manifold whose surfaces agree on their outside): edges
// of one surface only, edges of more than two, and edges that their two
// surfaces run through in the same direction.
func (g *Geometry) EdgeFaults(i int) (open, nonManifold, sameDirection int) {
	from, to := g.ShellSurfaces(i)
	g.edges(from, to, func(there, back int) {
		switch {
		case there+back == 1:
			open++
		case there+back > 2:
			nonManifold++
		case there != back:
			sameDirection++
		}
	})
	return open, nonManifold, sameDirection
}
