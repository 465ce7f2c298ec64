package repair

import (
	"fmt"
	"math"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// face mends one surface: the surfaces that are left of it, none to several.
func (m *mender) face(f face) []face {
	where := fmt.Sprintf(".surface[%d]", f.index)
	if len(f.rings) == 0 {
		m.fix(citymodel.EmptyGeometry, true, where, "a surface without rings; dropped")
		return nil
	}
	rings := make([][]float64, 0, len(f.rings))
	for r, ring := range f.rings {
		clean := m.ring(ring, fmt.Sprintf("%s.ring[%d]", where, r))
		if len(clean) >= 9 {
			rings = append(rings, clean)
			continue
		}
		if r == 0 {
			m.fix(citymodel.TooFewPoints, true, where, "different points in its exterior: %d, a ring has 3 or more; the surface is dropped", len(clean)/3)
			return nil
		}
		m.fix(citymodel.TooFewPoints, true, fmt.Sprintf("%s.ring[%d]", where, r), "different points: %d, a ring has 3 or more; the hole is dropped", len(clean)/3)
	}
	f.rings = rings
	m.order(&f, where)
	if !m.whole {
		if crosses := m.crosses(&f); crosses {
			if w := width(f.rings[0]); w < m.opt.SliverMetres {
				m.fix(citymodel.RingSelfIntersects, true, where, "a sliver %.2g m wide whose edges lie on each other; dropped", w)
				return nil
			}
			if parts, ok := m.rebuild(&f, where); ok {
				return parts
			}
		}
	}
	m.turnHoles(&f, where)
	return []face{f}
}

// ring takes repeated points and spikes out of a ring.
func (m *mender) ring(ring []float64, where string) []float64 {
	n := len(ring) / 3
	repeated, spikes := 0, 0
	out := make([]float64, 0, len(ring))
	point := func(i int) [3]float64 { return [3]float64(out[3*i : 3*i+3]) }
	for i := range n {
		p := [3]float64(ring[3*i : 3*i+3])
		if k := len(out) / 3; k > 0 && point(k-1) == p {
			repeated++
			continue
		}
		if k := len(out) / 3; !m.whole && k > 1 && point(k-2) == p { // there and back
			out = out[:len(out)-3]
			spikes++
			continue
		}
		out = append(out, p[:]...)
	}
	for len(out) > 3 { // over the ring's seam
		k := len(out) / 3
		switch {
		case point(k-1) == point(0):
			repeated++
			out = out[:len(out)-3]
		case !m.whole && k > 2 && point(k-1) == point(1):
			spikes++
			out = out[3 : len(out)-3]
		case !m.whole && k > 2 && point(k-2) == point(0):
			spikes++
			out = out[:len(out)-6]
		default:
			k = 0
		}
		if k == 0 {
			break
		}
	}
	switch {
	case repeated+spikes == 0:
		return ring
	case spikes > 0 && len(out) >= 9:
		m.fix(citymodel.RingSelfIntersects, false, where, "spikes, where the ring runs there and back: %d; cut off", spikes)
	}
	if repeated > 0 && len(out) >= 9 {
		m.fix(citymodel.ConsecutivePoints, false, where, "points that repeat the one before: %d; taken out", repeated)
	}
	return out
}

// order makes the ring that holds the others the exterior.
func (m *mender) order(f *face, where string) {
	largest := 0
	for r := range f.rings {
		if spatial.RingArea(f.rings[r]) > spatial.RingArea(f.rings[largest]) {
			largest = r
		}
	}
	if largest == 0 {
		return
	}
	x, y := axes(f.rings[largest])
	for r := range f.rings {
		if r != largest && !inside(f.rings[largest], f.rings[r], x, y) {
			return // none holds all others
		}
	}
	f.rings[0], f.rings[largest] = f.rings[largest], f.rings[0]
	m.fix(citymodel.InnerRingOutside, false, where, "ring %d holds all others; it becomes the exterior", largest)
}

// turnHoles turns the holes that run in the direction of their exterior.
func (m *mender) turnHoles(f *face, where string) {
	outer := spatial.RingNormal(f.rings[0])
	for r := 1; r < len(f.rings); r++ {
		n := spatial.RingNormal(f.rings[r])
		if outer[0]*n[0]+outer[1]*n[1]+outer[2]*n[2] > 0 {
			f.rings[r] = reversed(f.rings[r])
			m.fix(citymodel.RingOrientation, false, fmt.Sprintf("%s.ring[%d]", where, r), "a hole ran in the direction of its exterior; turned")
		}
	}
}

func (m *mender) crosses(f *face) bool {
	for _, ring := range f.rings {
		if len(ring)/3 > m.opt.RingPoints {
			continue
		}
		if _, _, meet := citymodel.RingCrossing(ring); meet {
			return true
		}
	}
	return false
}

// surfaceArea is the area of f by its rings' normals, m².
func surfaceArea(f *face) float64 {
	area := 0.0
	for r, ring := range f.rings {
		if r == 0 {
			area += spatial.RingArea(ring)
		} else {
			area -= spatial.RingArea(ring)
		}
	}
	return math.Abs(area)
}

// width is how far the points of a ring reach from the line through the first
// and the one farthest from it, metres.
func width(ring []float64) float64 {
	far, d := 0, 0.0
	for p := 3; p < len(ring); p += 3 {
		if l := math.Hypot(math.Hypot(ring[p]-ring[0], ring[p+1]-ring[1]), ring[p+2]-ring[2]); l > d {
			far, d = p, l
		}
	}
	if d == 0 {
		return 0
	}
	ux, uy, uz := (ring[far]-ring[0])/d, (ring[far+1]-ring[1])/d, (ring[far+2]-ring[2])/d
	widest := 0.0
	for p := 3; p < len(ring); p += 3 {
		x, y, z := ring[p]-ring[0], ring[p+1]-ring[1], ring[p+2]-ring[2]
		widest = max(widest, math.Hypot(math.Hypot(y*uz-z*uy, z*ux-x*uz), x*uy-y*ux))
	}
	return widest
}

// axes are the two coordinates that show a ring largest.
func axes(ring []float64) (x, y int) {
	n := spatial.RingNormal(ring)
	switch a, b, c := math.Abs(n[0]), math.Abs(n[1]), math.Abs(n[2]); {
	case a > b && a > c:
		return 1, 2
	case b > c:
		return 0, 2
	}
	return 0, 1
}

// inside reports whether every point of inner lies in outer or on it.
func inside(outer, inner []float64, x, y int) bool {
	for p := 0; p < len(inner); p += 3 {
		if !pointIn(outer, inner[p+x], inner[p+y], x, y) {
			return false
		}
	}
	return true
}

func pointIn(ring []float64, px, py float64, x, y int) bool {
	in := false
	for i, j := 0, len(ring)-3; i < len(ring); j, i = i, i+3 {
		ax, ay, bx, by := ring[i+x], ring[i+y], ring[j+x], ring[j+y]
		if ax == px && ay == py {
			return true
		}
		if (ay > py) != (by > py) && px < (bx-ax)*(py-ay)/(by-ay)+ax {
			in = !in
		}
	}
	return in
}

func reversed(ring []float64) []float64 {
	out := slices.Clone(ring)
	for a, b := 0, len(out)-3; a < b; a, b = a+3, b-3 {
		for k := range 3 {
			out[a+k], out[b+k] = out[b+k], out[a+k]
		}
	}
	return out
}
