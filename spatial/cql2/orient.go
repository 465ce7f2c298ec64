package cql2

import (
	"math"

	"github.com/paulmach/orb"
)

// orient is the side of c on the way from a to b: 1 left, -1 right, 0 on the
// line. The sign is exact for finite coordinates whose products stay in range.
func orient(a, b, c orb.Point) int {
	left := float64((a[0] - c[0]) * (b[1] - c[1]))
	right := float64((a[1] - c[1]) * (b[0] - c[0]))
	det := left - right
	// Shewchuk's bound of the rounding error of the expression above.
	const errBound = (3 + 16*0x1p-53) * 0x1p-53
	if bound := errBound * (math.Abs(left) + math.Abs(right)); det > bound {
		return 1
	} else if -det > bound {
		return -1
	}
	return orientExact(a, b, c)
}

// orientExact adds the six products of the determinant without rounding, as an
// expansion of at most twelve components in growing magnitude.
func orientExact(a, b, c orb.Point) int {
	var sum [12]float64
	n := 0
	add := func(x float64) {
		q := x
		for i := 0; i < n; i++ {
			s := q + sum[i]
			bb := s - q
			sum[i] = (q - (s - bb)) + (sum[i] - bb)
			q = s
		}
		sum[n] = q
		n++
	}
	product := func(x, y float64) {
		p := float64(x * y)
		add(math.FMA(x, y, -p))
		add(p)
	}
	product(a[0], b[1])
	product(-a[0], c[1])
	product(-c[0], b[1])
	product(-a[1], b[0])
	product(a[1], c[0])
	product(c[1], b[0])
	for i := n - 1; i >= 0; i-- {
		if sum[i] > 0 {
			return 1
		} else if sum[i] < 0 {
			return -1
		}
	}
	return 0
}

// onSegment reports whether p is on the closed segment from a to b.
func onSegment(p, a, b orb.Point) bool {
	return min(a[0], b[0]) <= p[0] && p[0] <= max(a[0], b[0]) &&
		min(a[1], b[1]) <= p[1] && p[1] <= max(a[1], b[1]) && orient(a, b, p) == 0
}

// segmentsMeet reports whether two closed segments have a point in common.
func segmentsMeet(a, b, c, d orb.Point) bool {
	if max(a[0], b[0]) < min(c[0], d[0]) || max(c[0], d[0]) < min(a[0], b[0]) ||
		max(a[1], b[1]) < min(c[1], d[1]) || max(c[1], d[1]) < min(a[1], b[1]) {
		return false
	}
	return orient(a, b, c)*orient(a, b, d) <= 0 && orient(c, d, a)*orient(c, d, b) <= 0
}

// place is where a point lies with respect to a geometry.
type place uint8

const (
	exterior place = iota
	boundary
	interior
)

// ray counts the segments that a ray from p to the right crosses.
type ray struct {
	p      orb.Point
	odd    bool
	onEdge bool
}

// pass counts the segment from a to b. A segment that ends at the height of p
// counts at its lower end only, so that a vertex counts once.
func (r *ray) pass(a, b orb.Point) {
	if onSegment(r.p, a, b) {
		r.onEdge = true
		return
	}
	if (a[1] > r.p[1]) == (b[1] > r.p[1]) {
		return
	}
	if (orient(a, b, r.p) > 0) == (b[1] > a[1]) {
		r.odd = !r.odd
	}
}

// place is where p lies in the area that the passed rings enclose.
func (r *ray) place() place {
	switch {
	case r.onEdge:
		return boundary
	case r.odd:
		return interior
	}
	return exterior
}
