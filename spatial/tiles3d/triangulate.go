package tiles3d

import (
	"math"
	"slices"
)

// Limits of a triangulation. What is beyond them is thinned out first, so that
// no polygon takes longer than some seconds.
const (
	maxPolygonPoints = 2 << 20 // of one polygon, all its rings
	thinnedPoints    = 512     // to which a polygon that took too long is thinned
	stepsPerPoint    = 2_000   // tests of the first attempt, besides
	stepsAnyway      = 1 << 26
	maxSteps         = 1 << 28
	areaTolerance    = 1e-6 // of the area, by which the triangles may differ from their polygon
	emptyAreaMetre   = 1e-9 // square metres below which a polygon is a line
)

// triangulator cuts polygons in the plane into triangles by clipping ears
// (G. H. Meisters, "Polygons Have Ears", American Mathematical Monthly 82,
// 1975); holes are joined to the exterior by bridges first (D. Eberly,
// "Triangulation by Ear Clipping", 2002). It keeps its arrays from one polygon
// to the next and is for one goroutine.
type triangulator struct {
	x, y       []float64 // of the points, the bridges' twice
	at         []int32   // the point of the input that a corner is
	prev, next []int32
	reflex     []bool
	dead       []bool
	out        []int32
	steps      int
	forced     int // corners that were cut off though they were no ears
	grid       grid
}

// A grid finds the reflex corners in a rectangle.
type grid struct {
	x0, y0, perX, perY float64
	n                  int // cells along each axis
	first              []int32
	nextIn             []int32 // the next corner in the same cell
}

// polygon cuts a polygon: xy are its points, ends where its rings end, in
// points, the exterior first. It gives three points for each triangle, counter-
// clockwise, valid until the next call, and whether they are the polygon: they
// are not where rings cross themselves or each other. Orientation of the rings
// does not matter.
func (t *triangulator) polygon(xy []float64, ends []int32) (triangles []int32, faithful bool) {
	n := len(xy) / 2
	if len(ends) == 0 || n < 3 {
		return nil, false
	}
	if n == 3 && len(ends) == 1 {
		a := ringArea2(xy, 0, 3)
		if math.Abs(a) < 2*emptyAreaMetre {
			return nil, false
		}
		t.out = append(t.out[:0], 0, 1, 2)
		if a < 0 {
			t.out[1], t.out[2] = 2, 1
		}
		return t.out, true
	}
	want := 0.0
	for i := range ends {
		from, to := ringSpan(ends, i)
		if a := math.Abs(ringArea2(xy, from, to)); i == 0 {
			want = a
		} else {
			want -= a
		}
	}
	if n <= maxPolygonPoints && t.clip(xy, ends, nil, min(n*stepsPerPoint+stepsAnyway, maxSteps)) {
		return t.out, t.forced == 0 && t.areaIs(xy, want)
	}
	// What is left of a hostile polygon is drawn coarsely and reported.
	t.clip(xy, ends, thin(ends, n, thinnedPoints), math.MaxInt)
	return t.out, false
}

func (t *triangulator) areaIs(xy []float64, want float64) bool {
	got := 0.0
	for i := 0; i+2 < len(t.out); i += 3 {
		a, b, c := t.out[i], t.out[i+1], t.out[i+2]
		got += math.Abs(cross(xy[2*a], xy[2*a+1], xy[2*b], xy[2*b+1], xy[2*c], xy[2*c+1]))
	}
	return want > 2*emptyAreaMetre && math.Abs(got-want) <= areaTolerance*want+2*emptyAreaMetre
}

func ringSpan(ends []int32, i int) (from, to int) {
	if i > 0 {
		from = int(ends[i-1])
	}
	return from, int(ends[i])
}

// ringArea2 is twice the signed area of the points [from, to).
func ringArea2(xy []float64, from, to int) (a float64) {
	if to-from < 3 {
		return 0
	}
	ox, oy := xy[2*from], xy[2*from+1]
	for i := from + 1; i+1 < to; i++ {
		a += (xy[2*i]-ox)*(xy[2*i+3]-oy) - (xy[2*i+2]-ox)*(xy[2*i+1]-oy)
	}
	return a
}

// cross is twice the signed area of a triangle.
func cross(ax, ay, bx, by, cx, cy float64) float64 {
	return (bx-ax)*(cy-ay) - (cx-ax)*(by-ay)
}

// thin gives for every ring the step at which points are kept so that at most
// limit are; small rings go.
func thin(ends []int32, n, limit int) (steps []int) {
	steps = make([]int, len(ends))
	for i := range ends {
		from, to := ringSpan(ends, i)
		steps[i] = max(1, (n+limit-1)/limit)
		if (to-from)/steps[i] < 3 {
			steps[i] = 0
			if i == 0 {
				steps[i] = max(1, (to-from)/4)
			}
		}
	}
	return steps
}

// clip fills t.out and reports whether it came to an end within the budget.
func (t *triangulator) clip(xy []float64, ends []int32, thinning []int, budget int) bool {
	t.x, t.y, t.at, t.prev, t.next = t.x[:0], t.y[:0], t.at[:0], t.prev[:0], t.next[:0]
	t.out, t.forced, t.steps = t.out[:0], 0, budget
	outer := int32(-1)
	var holes []int32 // the leftmost corner of each
	for i := range ends {
		step := 1
		if thinning != nil {
			step = thinning[i]
		}
		from, to := ringSpan(ends, i)
		first := t.ring(xy, from, to, step, i == 0)
		switch {
		case i == 0:
			outer = first
		case first >= 0:
			holes = append(holes, t.leftmost(first))
		}
	}
	if outer < 0 {
		return true
	}
	slices.SortStableFunc(holes, func(a, b int32) int {
		switch {
		case t.x[a] != t.x[b]:
			if t.x[a] < t.x[b] {
				return -1
			}
			return 1
		case t.y[a] < t.y[b]:
			return -1
		case t.y[a] > t.y[b]:
			return 1
		}
		return 0
	})
	for _, h := range holes {
		if t.steps < 0 {
			return false
		}
		if !t.bridge(outer, h) {
			t.forced++
		}
	}
	return t.ears(outer)
}

// ring links the points [from, to) in a circle, the exterior counter-clockwise,
// holes clockwise, without those that lie on the one before. It is -1 for a
// ring of fewer than three.
func (t *triangulator) ring(xy []float64, from, to, step int, exterior bool) int32 {
	if step <= 0 {
		return -1
	}
	start := int32(len(t.x))
	add := func(i int) {
		x, y := xy[2*i], xy[2*i+1]
		if last := len(t.x) - 1; last >= int(start) && t.x[last] == x && t.y[last] == y {
			return
		}
		t.corner(x, y, int32(i))
	}
	if (ringArea2(xy, from, to) > 0) == exterior {
		for i := from; i < to; i += step {
			add(i)
		}
	} else {
		for i := to - 1; i >= from; i -= step {
			add(i)
		}
	}
	end := int32(len(t.x))
	for end-start > 1 && t.x[end-1] == t.x[start] && t.y[end-1] == t.y[start] {
		end--
	}
	t.x, t.y, t.at, t.prev, t.next = t.x[:end], t.y[:end], t.at[:end], t.prev[:end], t.next[:end]
	if end-start < 3 {
		t.x, t.y, t.at, t.prev, t.next = t.x[:start], t.y[:start], t.at[:start], t.prev[:start], t.next[:start]
		return -1
	}
	for i := start; i < end; i++ {
		t.prev[i], t.next[i] = i-1, i+1
	}
	t.prev[start], t.next[end-1] = end-1, start
	return start
}

func (t *triangulator) corner(x, y float64, at int32) int32 {
	t.x, t.y, t.at = append(t.x, x), append(t.y, y), append(t.at, at)
	t.prev, t.next = append(t.prev, 0), append(t.next, 0)
	return int32(len(t.x) - 1)
}

func (t *triangulator) leftmost(start int32) int32 {
	best := start
	for i := t.next[start]; i != start; i = t.next[i] {
		if t.x[i] < t.x[best] || t.x[i] == t.x[best] && t.y[i] < t.y[best] {
			best = i
		}
	}
	return best
}

func (t *triangulator) turn(a, b, c int32) float64 {
	return cross(t.x[a], t.y[a], t.x[b], t.y[b], t.x[c], t.y[c])
}

// bridge joins the hole with leftmost corner h to the ring of outer, by two
// edges along one line of sight. It is false where there is none, which rings
// that cross have.
func (t *triangulator) bridge(outer, h int32) bool {
	hx, hy := t.x[h], t.y[h]
	// The edge that a ray to the left meets first, and its end that lies left.
	hit, qx := int32(-1), math.Inf(-1)
	for p, done := outer, false; !done; done = p == outer {
		n := t.next[p]
		t.steps--
		// The exterior runs counter-clockwise: edges with the polygon on their
		// right side of the map run downwards.
		if y0, y1 := t.y[p], t.y[n]; hy <= y0 && hy >= y1 && y0 != y1 {
			x := t.x[p] + (hy-y0)/(y1-y0)*(t.x[n]-t.x[p])
			if x <= hx && x > qx {
				qx = x
				hit = p
				if t.x[n] < t.x[p] {
					hit = n
				}
			}
		}
		p = n
	}
	if hit < 0 {
		return false
	}
	// Corners in the triangle of h, the place met and hit hide hit; the one
	// nearest to the ray is seen.
	best, slope := int32(-1), math.Inf(1)
	mx, my := t.x[hit], t.y[hit]
	for p, done := outer, false; !done; done = p == outer {
		t.steps--
		x, y := t.x[p], t.y[p]
		if x <= hx && x >= min(mx, qx) && within(qx, hy, mx, my, hx, hy, x, y) && t.sees(p, hx, hy) {
			s := math.Abs(hy-y) / (hx - x)
			if x == hx {
				s = math.Inf(1)
				if y == hy {
					s = 0
				}
			}
			if best < 0 || s < slope || s == slope && x > t.x[best] {
				best, slope = p, s
			}
		}
		p = t.next[p]
	}
	if best < 0 {
		return false
	}
	// best → h … h' → best' → what came after best.
	b2, h2 := t.corner(t.x[best], t.y[best], t.at[best]), t.corner(hx, hy, t.at[h])
	after, before := t.next[best], t.prev[h]
	t.next[best], t.prev[h] = h, best
	t.next[before], t.prev[h2] = h2, before
	t.next[h2], t.prev[b2] = b2, h2
	t.next[b2], t.prev[after] = after, b2
	return true
}

// sees reports whether the polygon is, at corner p, on the side of the point.
func (t *triangulator) sees(p int32, x, y float64) bool {
	a, b := t.prev[p], t.next[p]
	px, py := t.x[p], t.y[p]
	left1 := cross(t.x[a], t.y[a], px, py, x, y)
	left2 := cross(px, py, t.x[b], t.y[b], x, y)
	if t.turn(a, p, b) > 0 {
		return left1 >= 0 && left2 >= 0
	}
	return left1 >= 0 || left2 >= 0
}

// within reports whether x, y lies in the triangle a, b, c of any orientation or on its edges.
func within(ax, ay, bx, by, cx, cy, x, y float64) bool {
	d1, d2, d3 := cross(ax, ay, bx, by, x, y), cross(bx, by, cx, cy, x, y), cross(cx, cy, ax, ay, x, y)
	return !((d1 < 0 || d2 < 0 || d3 < 0) && (d1 > 0 || d2 > 0 || d3 > 0))
}

// ears cuts corners off until three are left.
func (t *triangulator) ears(start int32) bool {
	n := len(t.x)
	t.reflex, t.dead = resize(t.reflex, n), resize(t.dead, n)
	left := 0
	for p, done := start, false; !done; done = p == start {
		t.reflex[p] = t.turn(t.prev[p], p, t.next[p]) <= 0
		left++
		p = t.next[p]
	}
	t.grid.fill(t, start, left)
	p, since := start, 0
	for left > 3 {
		if t.steps < 0 {
			return false
		}
		a, c := t.prev[p], t.next[p]
		flat := t.turn(a, p, c) == 0
		switch {
		case t.x[a] == t.x[p] && t.y[a] == t.y[p], flat && t.spike(a, p, c):
			// A corner on the one before, or a spike of no area, is no triangle.
		case !flat && t.ear(a, p, c):
			t.emit(a, p, c)
		case since <= left:
			since++
			p = c
			continue
		default:
			// No ear: rings cross. Cut off the corner that is convex and smallest.
			p = t.least(p)
			a, c = t.prev[p], t.next[p]
			if t.turn(a, p, c) > 0 {
				t.emit(a, p, c)
			}
			t.forced++
		}
		t.cut(p)
		left--
		since = 0
		p = t.next[c] // not its neighbour: fans of slivers are ugly and slow
		if t.dead[p] {
			p = c
		}
	}
	p = t.next[p]
	if t.turn(t.prev[p], p, t.next[p]) > 0 {
		t.emit(t.prev[p], p, t.next[p])
	}
	return true
}

// spike reports whether the flat corner p turns back, so that it can go without
// leaving a point of an edge without a triangle's corner on it.
func (t *triangulator) spike(a, p, c int32) bool {
	return (t.x[p]-t.x[a])*(t.x[c]-t.x[p])+(t.y[p]-t.y[a])*(t.y[c]-t.y[p]) < 0
}

func (t *triangulator) emit(a, b, c int32) { t.out = append(t.out, t.at[a], t.at[b], t.at[c]) }

func (t *triangulator) cut(p int32) {
	a, c := t.prev[p], t.next[p]
	t.next[a], t.prev[c] = c, a
	t.dead[p] = true
	for _, q := range [2]int32{a, c} {
		was := t.reflex[q]
		t.reflex[q] = t.turn(t.prev[q], q, t.next[q]) <= 0
		if t.reflex[q] && !was { // only where rings cross
			t.grid.add(t, q)
		}
	}
}

// least is the convex corner with the smallest triangle, or p where none is.
func (t *triangulator) least(p int32) int32 {
	best, size := p, math.Inf(1)
	for q, done := p, false; !done; done = q == p {
		t.steps--
		if s := t.turn(t.prev[q], q, t.next[q]); s > 0 && s < size {
			best, size = q, s
		}
		q = t.next[q]
	}
	return best
}

// ear reports whether the triangle at the convex corner b holds no other corner.
func (t *triangulator) ear(a, b, c int32) bool {
	if t.reflex[b] {
		t.steps--
		return false
	}
	ax, ay, bx, by, cx, cy := t.x[a], t.y[a], t.x[b], t.y[b], t.x[c], t.y[c]
	g := &t.grid
	i0, j0 := g.cell(min(ax, bx, cx), min(ay, by, cy))
	i1, j1 := g.cell(max(ax, bx, cx), max(ay, by, cy))
	for j := j0; j <= j1; j++ {
		for i := i0; i <= i1; i++ {
			t.steps--
			for p := g.first[j*g.n+i]; p >= 0; p = g.nextIn[p] {
				t.steps--
				if t.dead[p] || !t.reflex[p] || p == a || p == b || p == c {
					continue
				}
				x, y := t.x[p], t.y[p]
				if cross(ax, ay, bx, by, x, y) < 0 || cross(bx, by, cx, cy, x, y) < 0 || cross(cx, cy, ax, ay, x, y) < 0 {
					continue
				}
				switch {
				case x == bx && y == by:
					// A corner on b: the polygon goes on through the angle where an
					// edge of it lies inside.
					if t.inAngle(a, b, c, t.next[p]) || t.inAngle(a, b, c, t.prev[p]) {
						return false
					}
				case x == ax && y == ay, x == cx && y == cy:
				default:
					return false
				}
			}
		}
	}
	return true
}

func (t *triangulator) inAngle(a, b, c, p int32) bool {
	return t.turn(a, b, p) > 0 && t.turn(b, c, p) > 0
}

// fill puts the reflex corners of a ring into cells, about one in each.
func (g *grid) fill(t *triangulator, start int32, count int) {
	x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	reflex := 0
	for p, done := start, false; !done; done = p == start {
		x0, y0, x1, y1 = min(x0, t.x[p]), min(y0, t.y[p]), max(x1, t.x[p]), max(y1, t.y[p])
		if t.reflex[p] {
			reflex++
		}
		p = t.next[p]
	}
	g.n = max(1, min(int(math.Sqrt(float64(reflex))), 1024))
	g.x0, g.y0 = x0, y0
	g.perX, g.perY = scale(g.n, x1-x0), scale(g.n, y1-y0)
	g.first = resize(g.first, g.n*g.n)
	for i := range g.first {
		g.first[i] = -1
	}
	g.nextIn = resize(g.nextIn, len(t.x))
	for p, done := start, false; !done; done = p == start {
		if t.reflex[p] {
			g.add(t, p)
		}
		p = t.next[p]
	}
}

func scale(n int, length float64) float64 {
	if length > 0 {
		return float64(n) / length
	}
	return 0
}

// add puts a corner into its cell; one that was there stays where it is.
func (g *grid) add(t *triangulator, p int32) {
	i, j := g.cell(t.x[p], t.y[p])
	k := j*g.n + i
	for q := g.first[k]; q >= 0; q = g.nextIn[q] {
		t.steps--
		if q == p {
			return
		}
		if t.steps < 0 {
			return
		}
	}
	g.nextIn[p] = g.first[k]
	g.first[k] = p
}

func (g *grid) cell(x, y float64) (i, j int) {
	return min(max(int((x-g.x0)*g.perX), 0), g.n-1), min(max(int((y-g.y0)*g.perY), 0), g.n-1)
}

// resize is s with n zeros.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}
