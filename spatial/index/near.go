package index

import (
	"math"

	"github.com/paulmach/orb"
)

// newFigure is g for measuring; nil where it is empty or has a coordinate that
// is no number.
func newFigure(g orb.Geometry) *figure {
	f := &figure{bound: emptyBound()}
	f.add(g)
	if f.bad || len(f.sides) == 0 {
		return nil
	}
	return f
}

// Measure measures the distance of geometries from one of them, as Meeting
// does. It does not change and is safe for concurrent use.
type Measure struct{ figure *figure }

// NewMeasure measures from g.
func NewMeasure(g orb.Geometry) Measure { return Measure{newFigure(g)} }

// Metres is the distance to h; zero where they have a point in common,
// infinite where either is empty.
func (m Measure) Metres(h orb.Geometry) float64 {
	f := newFigure(h)
	if f == nil || m.figure == nil {
		return math.Inf(1)
	}
	at := planeFor(m.figure, f.bound)
	return at.distance(f, m.figure, turn(m.figure, at.lon), math.Inf(1))
}

// distanceTo is the distance of f from object i, more than limit where it is.
func (p *part) distanceTo(f *figure, i int, limit float64, s *scratch) float64 {
	if !p.shape(i, &s.shape) {
		return math.Inf(1)
	}
	s.figure.reset()
	s.figure.addShape(&s.shape)
	at := planeFor(f, p.rect[i].bound())
	return at.distance(&s.figure, f, turn(f, at.lon), limit)
}

// Meeting implements View.
func (v *view) Meeting(g orb.Geometry, metres float64, o Options, fn func(ref Ref, metres float64) bool) {
	f := newFigure(g)
	if f == nil || math.IsNaN(metres) || metres < 0 {
		return
	}
	reach := (metres + ContactMetres) * (1 + 1e-9)
	b := f.bound
	x, y := leastPerDegree(b.Min[1]-reach/leastPerLatitude, b.Max[1]+reach/leastPerLatitude)
	b.Min[1], b.Max[1] = b.Min[1]-reach/y, b.Max[1]+reach/y
	if dx := reach / max(x, 1e-9); b.Max[0]-b.Min[0]+2*dx < 360 {
		b.Min[0], b.Max[0] = b.Min[0]-dx, b.Max[0]+dx
	} else {
		b.Min[0], b.Max[0] = -180, 180
	}
	q := query{view: v}
	q.narrow(&o)
	if !q.place(b) {
		return
	}
	s := v.scratch.get()
	defer v.scratch.put(s)
	q.fn = func(ref Ref) bool {
		p, i, _ := v.locate(ref)
		if d := p.distanceTo(f, i, metres, s); d <= metres {
			return fn(ref, d)
		}
		return true
	}
	q.run()
}

// step is a node or an object on the way to the nearest.
type step struct {
	metres float64 // at least; of a measured object exactly
	part   int32
	level  int32 // of a node; -1: an object, -2: an object that is measured
	i      uint32
	ref    Ref
}

func (a step) before(b step) bool {
	if a.metres != b.metres {
		return a.metres < b.metres
	}
	// Nodes and objects that are not measured first: what is in them may be as near.
	if m, n := a.level == measured, b.level == measured; m != n {
		return n
	}
	return a.ref < b.ref
}

const (
	unmeasured = -1
	measured   = -2
)

// steps is a binary heap.
type steps []step

func (h *steps) push(s step) {
	*h = append(*h, s)
	a := *h
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if !a[i].before(a[up]) {
			return
		}
		a[i], a[up] = a[up], a[i]
		i = up
	}
}

func (h *steps) pop() step {
	a := *h
	top, last := a[0], len(a)-1
	a[0] = a[last]
	a = a[:last]
	*h = a
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return top
		}
		if c+1 < last && a[c+1].before(a[c]) {
			c++
		}
		if !a[c].before(a[i]) {
			return top
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
}

// nearMetres is up to where Nearest takes the same least length of a degree for
// all nodes; beyond, each node's own.
const nearMetres = 50_000

// Nearest implements View: the nearest node or object first (G. Hjaltason, H.
// Samet, "Distance Browsing in Spatial Databases", ACM TODS 24, 1999).
func (v *view) Nearest(g orb.Geometry, maxMetres float64, k int, o Options) []Near {
	f := newFigure(g)
	if f == nil || k <= 0 || !(maxMetres >= 0) {
		return nil
	}
	q := query{view: v}
	q.narrow(&o)
	south, north := f.bound.Min[1], f.bound.Max[1]
	middle := (f.bound.Min[0] + f.bound.Max[0]) / 2
	reach := min(maxMetres, nearMetres) / leastPerLatitude
	x, y := leastPerDegree(south-reach, north+reach)
	least := func(r rect) float64 {
		b := r.bound()
		x, y := x, y
		if maxMetres > nearMetres {
			x, y = leastPerDegree(min(south, b.Min[1]), max(north, b.Max[1]))
		}
		gap := math.Inf(1)
		for _, t := range [...]float64{0, 360, -360} { // whichever way round
			gap = min(gap, plane{middle, 0, x, y}.gap(b, f.bound, t))
		}
		return max(0, math.Sqrt(gap)*(1-1e-9)-ContactMetres)
	}
	s := v.scratch.get()
	defer v.scratch.put(s)
	var h steps
	add := func(e step, r rect) {
		if e.metres = least(r); e.metres <= maxMetres {
			h.push(e)
		}
	}
	for at := range v.parts {
		if p := &v.parts[at]; len(p.levels) > 0 {
			add(step{part: int32(at), level: int32(len(p.levels) - 1)}, p.levels[len(p.levels)-1].rect[0])
		}
	}
	var found []Near
	for len(h) > 0 {
		e := h.pop()
		p := &v.parts[e.part]
		switch {
		case e.level == measured:
			if found = append(found, Near{e.ref, e.metres}); len(found) == k {
				return found
			}
		case e.level == unmeasured:
			if d := p.distanceTo(f, int(e.i), maxMetres, s); d <= maxMetres {
				e.metres, e.level = d, measured
				h.push(e)
			}
		case q.wantsNode(&p.levels[e.level], int(e.i)):
			below := p.placed
			if e.level > 0 {
				below = len(p.levels[e.level-1].rect)
			}
			for c := int(e.i) * fan; c < min(int(e.i)*fan+fan, below); c++ {
				if e.level > 0 {
					add(step{part: e.part, level: e.level - 1, i: uint32(c)}, p.levels[e.level-1].rect[c])
				} else if q.wants(p, c) {
					add(step{part: e.part, level: unmeasured, i: uint32(c), ref: p.first + Ref(c)}, p.rect[c])
				}
			}
		}
	}
	return found
}
