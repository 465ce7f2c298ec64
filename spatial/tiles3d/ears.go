package tiles3d

import "math"

// A grid finds the reflex corners in a rectangle.
type grid struct {
	x0, y0, perX, perY float64
	n                  int // cells along each axis
	first              []int32
	nextIn             []int32 // the next corner in the same cell
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
		switch {
		case t.empty(p):
		case t.ear(a, p, c):
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
		// What has no area now goes at once: later it would hide what is an ear.
		for left > 3 {
			switch {
			case t.empty(a):
				t.cut(a)
				a = t.prev[a]
			case t.empty(c):
				t.cut(c)
				c = t.next[c]
			default:
				a = -1
			}
			if a < 0 {
				break
			}
			left--
		}
		since = 0
		p = t.next[c] // not its neighbour: fans of slivers are ugly and slow
	}
	p = t.next[p]
	if t.turn(t.prev[p], p, t.next[p]) > 0 {
		t.emit(t.prev[p], p, t.next[p])
	}
	return true
}

// empty reports whether corner p can go without a triangle: it lies on the one
// before, or its edges lie on each other. A corner in the middle of a straight
// edge stays, so that every edge of the polygon is one of a triangle.
func (t *triangulator) empty(p int32) bool {
	a, c := t.prev[p], t.next[p]
	if t.x[a] == t.x[p] && t.y[a] == t.y[p] {
		return true
	}
	return t.turn(a, p, c) == 0 && (t.x[p]-t.x[a])*(t.x[c]-t.x[p])+(t.y[p]-t.y[a])*(t.y[c]-t.y[p]) < 0
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
