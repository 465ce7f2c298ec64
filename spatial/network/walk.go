package network

import (
	"fmt"
	"math"
	"slices"

	"github.com/paulmach/orb"
)

// visit is a node that was reached.
type visit struct {
	metres float64
	edge   int32 // by which; -1: it is a beginning
	before int32 // node; -1
	done   bool
}

// begun is a beginning: an edge of the start, and how far the node at its end is.
type begun struct {
	edge   int32
	node   int32
	metres float64
	at     float64 // metres along the line where the way begins on the edge
	whole  bool    // it begins all along the edge
}

// walk is a search for the shortest ways (Dijkstra).
type walk struct {
	n      *Network
	l      Limits
	up     bool
	origin int32 // object
	begun  []begun
	nodes  map[int32]*visit
	heap   []step
	seen   map[int32]bool // visible or not
	edges  int
	cut    bool
}

type step struct {
	metres float64
	node   int32
}

func (n *Network) newWalk(l Limits, up bool) *walk {
	return &walk{n: n, l: l, up: up, nodes: make(map[int32]*visit), seen: make(map[int32]bool)}
}

func (w *walk) visible(object int32) bool {
	if w.l.Visible == nil {
		return true
	}
	v, asked := w.seen[object]
	if !asked {
		v = w.l.Visible(w.n.objects[object].position)
		w.seen[object] = v
	}
	return v
}

// begin puts the start's nodes into the heap.
func (w *walk) begin(s Start) error {
	o, ok := w.n.byPlace[s.Position]
	if !ok {
		return &Error{Field: "Start.Position", Message: fmt.Sprintf("there is no linear object or water at position %d in the network", s.Position), Hint: "take the nearest one that is"}
	}
	if s.At != nil && !(math.Abs(s.At[0]) <= 360 && math.Abs(s.At[1]) <= 90) {
		return &Error{Field: "Start.At", Message: fmt.Sprintf("found %v, expected longitude and latitude in degrees", *s.At)}
	}
	w.origin = o
	obj := &w.n.objects[o]
	edges := w.n.within[o]
	if !obj.area {
		if s.At != nil {
			w.beginAt(obj, *s.At)
			return nil
		}
		for e := obj.from; e < obj.to; e++ {
			w.beginWith(e)
		}
		return nil
	}
	for e := obj.from; e < obj.to; e++ { // the ways through it
		w.beginWith(e)
	}
	for _, e := range edges {
		w.beginWith(e)
	}
	return nil
}

// ends are the nodes by which the search leaves an edge.
func (w *walk) ends(e *edge) (first int32, second int32, two bool) {
	first, second = e.to, e.from
	if w.up {
		first, second = e.from, e.to
	}
	return first, second, e.both || w.l.Undirected
}

func (w *walk) beginWith(i int32) {
	e := &w.n.edges[i]
	first, second, two := w.ends(e)
	w.start(begun{edge: i, node: first, whole: true})
	if two {
		w.start(begun{edge: i, node: second, whole: true})
	}
}

// beginAt starts at the place of an object that is nearest to p.
func (w *walk) beginAt(o *object, p orb.Point) {
	best, at, metres := int32(-1), 0.0, math.Inf(1)
	for i := o.from; i < o.to; i++ {
		e := &w.n.edges[i]
		l := &w.n.lines[e.line]
		low, high := min(e.start, e.end), max(e.start, e.end)
		along := w.n.along[l.from:l.to]
		s, _ := slices.BinarySearch(along, low)
		for s = max(s-1, 0); s < len(along)-1 && (along[s] <= high); s++ {
			t, _ := nearestOn(p, w.n.points[l.from+int32(s)], w.n.points[l.from+int32(s)+1])
			m := min(max(along[s]+t*(along[s+1]-along[s]), low), high) // not beyond the edge
			t = 0
			if d := along[s+1] - along[s]; d > 0 {
				t = min(max((m-along[s])/d, 0), 1)
			}
			if far := apart(p, between(w.n.points[l.from+int32(s)], w.n.points[l.from+int32(s)+1], t)); far < metres {
				best, at, metres = i, m, far
			}
		}
	}
	if best < 0 {
		return
	}
	e := &w.n.edges[best]
	first, second, two := w.ends(e)
	toEnd, toStart := math.Abs(e.end-at), math.Abs(at-e.start)
	if w.up {
		toEnd, toStart = toStart, toEnd
	}
	w.start(begun{best, first, toEnd, at, false})
	if two {
		w.start(begun{best, second, toStart, at, false})
	}
}

func (w *walk) start(b begun) {
	w.begun = append(w.begun, b)
	if v, ok := w.nodes[b.node]; !ok || b.metres < v.metres {
		w.nodes[b.node] = &visit{metres: b.metres, edge: -1, before: int32(len(w.begun) - 1)}
		w.push(step{b.metres, b.node})
	}
}

// next settles the nearest node; false where there is none within the limits.
func (w *walk) next() (step, bool) {
	for len(w.heap) > 0 {
		s := w.pop()
		if v := w.nodes[s.node]; !v.done && s.metres <= w.l.MaxMetres {
			v.done = true
			return s, true
		}
	}
	return step{}, false
}

// leave calls fn for the edges by which the search goes on from a node, with
// the node at their other end, and puts these into the heap.
func (w *walk) leave(s step, fn func(edge int32)) {
	follow := func(i int32) bool {
		e := &w.n.edges[i]
		if w.edges++; w.edges > w.l.MaxEdges {
			w.cut = true
			return false
		}
		if !w.visible(e.object) {
			return true
		}
		fn(i)
		other := e.to
		if other == s.node {
			other = e.from
		}
		if v, ok := w.nodes[other]; !ok || s.metres+e.metres < v.metres && !v.done {
			w.nodes[other] = &visit{metres: s.metres + e.metres, edge: i, before: s.node}
			w.push(step{s.metres + e.metres, other})
		}
		return true
	}
	links, back := &w.n.out, &w.n.in
	if w.up {
		links, back = back, links
	}
	for _, e := range links.of(s.node) {
		if !follow(e) {
			return
		}
	}
	if w.l.Undirected {
		for _, e := range back.of(s.node) {
			if !w.n.edges[e].both && !follow(e) {
				return
			}
		}
	}
}

func (w *walk) push(s step) {
	w.heap = append(w.heap, s)
	h := w.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[i].metres >= h[up].metres {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (w *walk) pop() step {
	h := w.heap
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	w.heap = h
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return top
		}
		if c+1 < last && h[c+1].metres < h[c].metres {
			c++
		}
		if h[c].metres >= h[i].metres {
			return top
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}
