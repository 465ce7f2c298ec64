package shapefile

import (
	"cmp"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// maxSteps bounds how many points are looked at to find out which ring each
// hole of one shape lies in: about a second.
const maxSteps = 200_000_000

// outline is a ring of a shape.
type outline struct {
	from, to               int
	area                   float64 // positive: counter-clockwise
	minX, minY, maxX, maxY float64
	holes                  []int
}

// polygon sorts the rings: those that run clockwise are exteriors, the others
// are holes of the smallest exterior around them. A ring that runs as a hole
// and lies in no exterior is one itself.
func (r *Reader) polygon(l *list, hasZ bool) error {
	r.work = maxSteps
	rings := make([]outline, 0, len(l.parts))
	var outer, inner []int
	for _, part := range l.parts {
		if part[0] == part[1] {
			continue
		}
		o := l.p.outline(part[0], part[1])
		if o.area > 0 {
			inner = append(inner, len(rings))
		} else {
			outer = append(outer, len(rings))
		}
		rings = append(rings, o)
	}
	// The smallest first, so that the first one found is the one.
	order := slices.Clone(outer)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(-rings[a].area, -rings[b].area) })
	for _, h := range inner {
		found := -1
		for _, e := range order {
			if r.work--; r.work < 0 {
				return flat.Faultf(citymodel.TooLarge, "%d exteriors and %d holes, too many to find out which belong together", len(outer), len(inner))
			}
			if rings[e].around(&rings[h]) && r.contains(l.p, &rings[e], &rings[h]) {
				found = e
				break
			}
		}
		if r.work < 0 {
			return flat.Faultf(citymodel.TooLarge, "holes in rings with so many points that it would take too long to find out which belong together")
		}
		if found < 0 {
			outer = append(outer, h)
		} else {
			rings[found].holes = append(rings[found].holes, h)
		}
	}
	slices.Sort(outer)
	l.s.Begin(spatial.MultiSurface, hasZ)
	for _, e := range outer {
		if err := l.ring(&rings[e], rings[e].area < 0); err != nil {
			return err
		}
		for _, h := range rings[e].holes {
			if err := l.ring(&rings[h], rings[h].area > 0); err != nil {
				return err
			}
		}
		l.s.EndSurface()
	}
	return nil
}

func (l *list) ring(o *outline, backwards bool) error {
	if err := l.p.add(l.s, o.from, o.to, backwards); err != nil {
		return err
	}
	l.s.EndRing()
	return nil
}

// outline measures a ring.
func (p array) outline(from, to int) outline {
	o := outline{from: from, to: to, minX: p.x(from), minY: p.y(from), maxX: p.x(from), maxY: p.y(from)}
	x0, y0 := o.minX, o.minY
	for i := from; i < to; i++ {
		x, y := p.x(i), p.y(i)
		o.minX, o.maxX, o.minY, o.maxY = min(o.minX, x), max(o.maxX, x), min(o.minY, y), max(o.maxY, y)
		j := i + 1
		if j == to {
			j = from
		}
		o.area += (x-x0)*(p.y(j)-y0) - (p.x(j)-x0)*(y-y0)
	}
	o.area /= 2
	return o
}

// around reports whether the box of o has that of h in it.
func (o *outline) around(h *outline) bool {
	return o.minX <= h.minX && o.minY <= h.minY && o.maxX >= h.maxX && o.maxY >= h.maxY
}

// contains reports whether the ring e has the hole h in it: whether the first
// point of h that is not on e is inside.
func (r *Reader) contains(p array, e, h *outline) bool {
	for i := h.from; i < h.to && i < h.from+16; i++ {
		if r.work -= e.to - e.from; r.work < 0 {
			return false
		}
		if inside, on := p.inside(e, p.x(i), p.y(i)); !on {
			return inside
		}
	}
	return true // it runs along e
}

func (p array) inside(e *outline, x, y float64) (in, on bool) {
	for i, j := e.from, e.to-1; i < e.to; j, i = i, i+1 {
		xi, yi, xj, yj := p.x(i), p.y(i), p.x(j), p.y(j)
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
