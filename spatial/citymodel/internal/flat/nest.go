package flat

import (
	"cmp"
	"slices"

	"cityhub/spatial/citymodel"
)

// maxSteps bounds how many points are looked at to find out which ring each
// hole of one object lies in: less than a second.
const maxSteps = 100_000_000

// XY are points by their number.
type XY interface {
	X(i int) float64
	Y(i int) float64
}

// Outline is a ring: the points from From to To, without To.
type Outline struct {
	From, To int
	Area     float64 // positive: counter-clockwise
	Holes    []int   // indexes of outlines, set by Nest

	minX, minY, maxX, maxY float64
}

// OutlineOf measures a ring of one point or more.
func OutlineOf(p XY, from, to int) Outline {
	o := Outline{From: from, To: to, minX: p.X(from), minY: p.Y(from), maxX: p.X(from), maxY: p.Y(from)}
	x0, y0 := o.minX, o.minY
	for i := from; i < to; i++ {
		x, y := p.X(i), p.Y(i)
		o.minX, o.maxX, o.minY, o.maxY = min(o.minX, x), max(o.maxX, x), min(o.minY, y), max(o.maxY, y)
		j := i + 1
		if j == to {
			j = from
		}
		o.Area += (x-x0)*(p.Y(j)-y0) - (p.X(j)-x0)*(y-y0)
	}
	o.Area /= 2
	return o
}

// Nest finds for each hole in inner the smallest ring of outer around it and
// adds it there; both are indexes of rings. It gives the holes that lie in
// none.
func Nest(p XY, rings []Outline, outer, inner []int) (lost []int, err error) {
	work := maxSteps
	// The smallest first, so that the first one found is the one.
	order := slices.Clone(outer)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(abs(rings[a].Area), abs(rings[b].Area)) })
	for _, h := range inner {
		found := -1
		for _, e := range order {
			work--
			if rings[e].around(&rings[h]) && contains(p, &rings[e], &rings[h], &work) {
				found = e
				break
			}
			if work < 0 {
				return nil, Faultf(citymodel.TooLarge, "%d exteriors and %d holes with too many points to find out which belong together", len(outer), len(inner))
			}
		}
		if found < 0 {
			lost = append(lost, h)
		} else {
			rings[found].Holes = append(rings[found].Holes, h)
		}
	}
	return lost, nil
}

func abs(v float64) float64 { return max(v, -v) }

// around reports whether the box of o has that of h in it.
func (o *Outline) around(h *Outline) bool {
	return o.minX <= h.minX && o.minY <= h.minY && o.maxX >= h.maxX && o.maxY >= h.maxY
}

// contains reports whether the ring e has the hole h in it: whether the first
// point of h that is not on e is inside.
func contains(p XY, e, h *Outline, work *int) bool {
	for i := h.From; i < h.To && i < h.From+16; i++ {
		if *work -= e.To - e.From; *work < 0 {
			return false
		}
		if in, on := inside(p, e, p.X(i), p.Y(i)); !on {
			return in
		}
	}
	return true // it runs along e
}

func inside(p XY, e *Outline, x, y float64) (in, on bool) {
	for i, j := e.From, e.To-1; i < e.To; j, i = i, i+1 {
		xi, yi, xj, yj := p.X(i), p.Y(i), p.X(j), p.Y(j)
		side := (xj-xi)*(y-yi) - (x-xi)*(yj-yi)
		if side == 0 && min(xi, xj) <= x && x <= max(xi, xj) && min(yi, yj) <= y && y <= max(yi, yj) {
			return false, true
		}
		if (yi > y) != (yj > y) && (side > 0) == (yj > yi) {
			in = !in
		}
	}
	return in, false
}
