package network

import (
	"math"
	"slices"

	"github.com/paulmach/orb"
)

// Way is a way along the network.
type Way struct {
	Found     bool
	Cut       bool // a limit ended the search
	Metres    float64
	Positions []int64        // of the objects in their order, with the first and the last
	Line      orb.LineString // all along
}

// Path is the shortest way from one object to another, with the flow.
func (n *Network) Path(from, to Start, l Limits) (Way, error) {
	l = l.withDefaults()
	w := n.newWalk(l, false)
	if err := w.begin(from); err != nil {
		return Way{}, err
	}
	goal := n.newWalk(l, true)
	if err := goal.begin(to); err != nil {
		return Way{}, err
	}
	if !w.visible(w.origin) || !goal.visible(goal.origin) {
		return Way{}, nil
	}
	return w.path(goal), nil
}

// path goes from the beginnings of w to those of goal, which is a walk the other
// way round that has not gone anywhere yet.
func (w *walk) path(goal *walk) Way {
	// On one edge, or to another part of the same object, the way may not pass a
	// node; starts are on edges.
	best := Way{Metres: math.Inf(1)}
	for _, a := range w.begun {
		for _, b := range goal.begun {
			if way, ok := w.onEdge(a, b); ok && way.Metres < best.Metres {
				best = way
			}
		}
	}
	last, arrive := int32(-1), begun{}
	for !w.cut {
		s, ok := w.next()
		if !ok || s.metres >= best.Metres {
			break
		}
		if g, ok := goal.nodes[s.node]; ok && s.metres+g.metres < best.Metres && s.metres+g.metres <= w.l.MaxMetres {
			best = Way{Found: true, Metres: s.metres + g.metres}
			last, arrive = s.node, goal.begun[g.before]
		}
		w.leave(s, func(int32) {})
	}
	best.Cut = w.cut
	if last >= 0 {
		w.tell(&best, last, goal, arrive)
	}
	if !best.Found {
		best.Metres = 0
	}
	return best
}

// onEdge is the way between two beginnings on one edge that passes no node.
func (w *walk) onEdge(a, b begun) (Way, bool) {
	e := &w.n.edges[a.edge]
	if a.edge != b.edge || e.line < 0 {
		return Way{}, false
	}
	position := w.n.objects[e.object].position
	if a.whole || b.whole {
		return Way{Found: true, Positions: []int64{position}}, true
	}
	if forth := (b.at - a.at) * (e.end - e.start); forth < 0 && !e.both && !w.l.Undirected {
		return Way{}, false
	}
	line := w.n.section(e.line, min(a.at, b.at), max(a.at, b.at))
	if b.at < a.at {
		slices.Reverse(line)
	}
	return Way{Found: true, Metres: math.Abs(b.at - a.at), Positions: []int64{position}, Line: line}, true
}

// tell collects objects and points of the way to a node and on to the goal.
func (w *walk) tell(way *Way, node int32, goal *walk, arrive begun) {
	type piece struct {
		object int32
		line   orb.LineString
	}
	var pieces []piece
	part := func(b begun) piece {
		e := &w.n.edges[b.edge]
		p := piece{object: e.object}
		if !b.whole && e.line >= 0 {
			end := e.end
			if b.node == e.from {
				end = e.start
			}
			p.line = w.n.section(e.line, min(b.at, end), max(b.at, end))
			if end < b.at {
				slices.Reverse(p.line)
			}
		}
		return p
	}
	for {
		v := w.nodes[node]
		if v.edge < 0 {
			pieces = append(pieces, part(w.begun[v.before]))
			break
		}
		e := &w.n.edges[v.edge]
		p := piece{e.object, w.n.path(e)}
		if e.to != node {
			slices.Reverse(p.line)
		}
		pieces = append(pieces, p)
		node = v.before
	}
	slices.Reverse(pieces)
	end := part(arrive)
	slices.Reverse(end.line)
	pieces = append(pieces, end)
	objects := []int32{w.origin}
	for _, p := range pieces {
		if p.object != objects[len(objects)-1] {
			objects = append(objects, p.object)
		}
		for _, q := range p.line {
			if k := len(way.Line); k == 0 || way.Line[k-1] != q {
				way.Line = append(way.Line, q)
			}
		}
	}
	if objects[len(objects)-1] != goal.origin {
		objects = append(objects, goal.origin)
	}
	for _, o := range objects {
		way.Positions = append(way.Positions, w.n.objects[o].position)
	}
}
