package network

import (
	"math"

	"github.com/paulmach/orb"

	"cityhub/spatial/index"
)

// apart is the distance of two points in metres, on the ellipsoid (index.Measure).
func apart(a, b orb.Point) float64 {
	x, y := index.MetresPerDegree((a[1] + b[1]) / 2)
	return math.Hypot((a[0]-b[0])*x, (a[1]-b[1])*y)
}

func between(a, b orb.Point, t float64) orb.Point {
	return orb.Point{a[0] + t*(b[0]-a[0]), a[1] + t*(b[1]-a[1])}
}

// nearestOn is the place nearest to p on the straight piece from a to b, from 0
// at a to 1 at b, and its distance in metres.
func nearestOn(p, a, b orb.Point) (t, metres float64) {
	x, y := index.MetresPerDegree(p[1])
	ux, uy := (b[0]-a[0])*x, (b[1]-a[1])*y
	vx, vy := (p[0]-a[0])*x, (p[1]-a[1])*y
	if l := ux*ux + uy*uy; l > 0 {
		t = min(max((ux*vx+uy*vy)/l, 0), 1)
	}
	return t, math.Hypot(vx-t*ux, vy-t*uy)
}

// crossing is where the straight pieces a to b and c to d cross or touch, on each
// from 0 to 1; false where they do not, or run along each other.
func crossing(a, b, c, d orb.Point) (t, u float64, ok bool) {
	rx, ry := b[0]-a[0], b[1]-a[1]
	sx, sy := d[0]-c[0], d[1]-c[1]
	det := rx*sy - ry*sx
	if det == 0 {
		return 0, 0, false
	}
	qx, qy := c[0]-a[0], c[1]-a[1]
	t, u = (qx*sy-qy*sx)/det, (qx*ry-qy*rx)/det
	return t, u, t >= 0 && t <= 1 && u >= 0 && u <= 1
}

// grid holds nodes and finds the one near a place: in cells as wide as the
// tolerance, of which columns become wider towards the poles as degrees do.
type grid struct {
	tolerance float64 // metres
	row       float64 // degrees of latitude
	at        []orb.Point
	medium    []uint8
	cells     map[[2]int64]int32 // the last node of a cell
	before    []int32            // the node of the same cell before; -1: none
}

func newGrid(tolerance float64) *grid {
	return &grid{tolerance: tolerance, row: tolerance / 110_000, cells: make(map[[2]int64]int32)}
}

// column is that of a longitude in a row: at least as wide as the tolerance.
func (g *grid) column(row int64, lon float64) int64 {
	lat := max(math.Abs(float64(row)), math.Abs(float64(row+1))) * g.row
	x, _ := index.MetresPerDegree(lat)
	return int64(math.Floor(lon * max(x, 1) / g.tolerance))
}

// node is the nearest node of a medium within the tolerance of p, or a new one.
func (g *grid) node(medium uint8, p orb.Point) int32 {
	row := int64(math.Floor(p[1] / g.row))
	best, metres := int32(-1), g.tolerance
	for r := row - 1; r <= row+1; r++ {
		c := g.column(r, p[0])
		for c, end := c-1, c+1; c <= end; c++ {
			n, ok := g.cells[[2]int64{r, c}]
			for ; ok && n >= 0; n = g.before[n] {
				if m := apart(g.at[n], p); g.medium[n] == medium && (m < metres || m == metres && best < 0) {
					best, metres = n, m
				}
			}
		}
	}
	if best >= 0 {
		return best
	}
	return g.add(medium, p)
}

// add is a new node.
func (g *grid) add(medium uint8, p orb.Point) int32 {
	n := int32(len(g.at))
	row := int64(math.Floor(p[1] / g.row))
	cell := [2]int64{row, g.column(row, p[0])}
	before, ok := g.cells[cell]
	if !ok {
		before = -1
	}
	g.at, g.medium, g.before = append(g.at, p), append(g.medium, medium), append(g.before, before)
	g.cells[cell] = n
	return n
}
