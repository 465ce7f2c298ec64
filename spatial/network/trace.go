package network

import (
	"cmp"
	"slices"

	"github.com/paulmach/orb"
)

// Start is where a question begins: an object of the network.
type Start struct {
	Position int64 // store.Version.Position
	// At, when set, is a place near the object: the question begins at the place
	// on its lines that is nearest to it. Else it begins at all of the object.
	// Where the object is an area of water, it does not matter.
	At *orb.Point
}

// Limits bound a question. The zero value is usable.
type Limits struct {
	MaxMetres  float64 // along the lines; 0: 50 km
	MaxObjects int     // that are given; 0: 10 000
	MaxEdges   int     // that are looked at; 0: 1 million
	// Undirected goes against the direction of flow as well.
	Undirected bool
	// Visible, when set, is asked once for each object, by its position; the
	// question does not go through objects that it refuses.
	Visible func(position int64) bool
}

func (l Limits) withDefaults() Limits {
	if !(l.MaxMetres > 0) {
		l.MaxMetres = 50_000
	}
	if l.MaxObjects <= 0 {
		l.MaxObjects = 10_000
	}
	if l.MaxEdges <= 0 {
		l.MaxEdges = 1_000_000
	}
	return l
}

// Reached is an object that was reached.
type Reached struct {
	Position int64
	// Metres is the way from the start to where the object is first met.
	Metres float64
}

// Trace is what lies upstream or downstream.
type Trace struct {
	Objects []Reached // the nearest first; the start is not among them
	// Cut says that MaxObjects or MaxEdges ended the search, so that there may be
	// more within MaxMetres.
	Cut bool
}

// Upstream gives the objects from which water, or traffic, comes to the start.
func (n *Network) Upstream(s Start, l Limits) (Trace, error) { return n.trace(s, l, true) }

// Downstream gives the objects to which it goes from the start.
func (n *Network) Downstream(s Start, l Limits) (Trace, error) { return n.trace(s, l, false) }

func (n *Network) trace(s Start, l Limits, up bool) (Trace, error) {
	w := n.newWalk(l.withDefaults(), up)
	var t Trace
	if err := w.begin(s); err != nil || !w.visible(w.origin) {
		return t, err
	}
	met := map[int32]bool{w.origin: true}
	reach := func(object int32, metres float64) {
		if met[object] || !w.visible(object) {
			return
		}
		if len(t.Objects) == w.l.MaxObjects {
			w.cut = true
			return
		}
		met[object] = true
		t.Objects = append(t.Objects, Reached{n.objects[object].position, metres})
	}
	edge := func(i int32, metres float64) {
		reach(n.edges[i].object, metres)
		for _, a := range n.areas[i] {
			reach(a, metres)
		}
	}
	for _, b := range w.begun { // of an area, the lines in it
		edge(b.edge, 0)
	}
	for !w.cut {
		step, ok := w.next()
		if !ok {
			break
		}
		w.leave(step, func(i int32) { edge(i, step.metres) })
	}
	slices.SortStableFunc(t.Objects, func(a, b Reached) int {
		return cmp.Or(cmp.Compare(a.Metres, b.Metres), cmp.Compare(a.Position, b.Position))
	})
	t.Cut = w.cut
	return t, nil
}
