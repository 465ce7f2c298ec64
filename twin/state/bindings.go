package state

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/paulmach/orb"

	"cityhub/twin"
)

// Binding says what a Datastream observes and where it belongs.
type Binding struct {
	Position int64 // store.Version.Position of the CityObject; zero: none
	How      How
	Metres   float64 // from the terminal's place to the object
	// District and Cell are the identifiers of the administrative district and of
	// the unit grid cell (单元网格, GB/T 30428.1) in which the terminal stands;
	// empty: in none. District is the registered one where the model has none.
	District, Cell string
	Lon, Lat       float64 // WGS 84 degrees; both NaN where the terminal has no place
	Thing          twin.ThingID
	Property       string // ObservedProperty.Name
}

// bound is a Binding without pointers.
type bound struct {
	lon, lat       float64
	position       int64
	thing          twin.ThingID
	metres         float32
	property       uint32 // in Bindings.texts, as the next three
	registered     uint32 // district of the manifest
	district, cell uint32
	declared       uint32 // key of the declared object
	domain         uint32
	how            How
	known          bool // there is such a Datastream
}

// pair orders Datastreams by what they belong to.
type pair struct {
	of int64 // position or Thing
	ds twin.DatastreamID
}

// Bindings are the bindings of all Datastreams at one moment. They are
// immutable and safe for concurrent use.
type Bindings struct {
	version  uint64  // counts up with every change
	list     []bound // by DatastreamID
	texts    []string
	byObject []pair // the bound ones
	byThing  []pair
	counts   map[How]int

	mu      sync.Mutex
	objects map[string][]int64 // by property, made when asked for
}

// Version is another one whenever a binding has changed.
func (b *Bindings) Version() uint64 { return b.version }

// Of is the binding of a Datastream; false where it is not known.
func (b *Bindings) Of(ds twin.DatastreamID) (Binding, bool) {
	if ds <= 0 || int64(ds) >= int64(len(b.list)) || !b.list[ds].known {
		return Binding{Lon: math.NaN(), Lat: math.NaN()}, false
	}
	e := &b.list[ds]
	out := Binding{Position: e.position, How: e.how, Metres: float64(e.metres), District: b.texts[e.district], Cell: b.texts[e.cell], Lon: e.lon, Lat: e.lat, Thing: e.thing, Property: b.texts[e.property]}
	if out.District == "" {
		out.District = b.texts[e.registered]
	}
	return out, true
}

// Counts is how many Datastreams are bound on each ground, and how many not.
func (b *Bindings) Counts() map[How]int { return b.counts }

// On calls fn for the Datastreams that observe the object at a position, in
// order of id, until fn returns false.
func (b *Bindings) On(position int64, fn func(twin.DatastreamID) bool) {
	each(b.byObject, position, fn)
}

// OfThing calls fn for the Datastreams of a Thing, in order of id.
func (b *Bindings) OfThing(id twin.ThingID, fn func(twin.DatastreamID) bool) {
	each(b.byThing, int64(id), fn)
}

func each(list []pair, of int64, fn func(twin.DatastreamID) bool) {
	i, _ := slices.BinarySearchFunc(list, of, func(p pair, of int64) int { return cmp.Compare(p.of, of) })
	for ; i < len(list) && list[i].of == of; i++ {
		if !fn(list[i].ds) {
			return
		}
	}
}

// All calls fn for every Datastream, in order of id, until fn returns false.
func (b *Bindings) All(fn func(twin.DatastreamID) bool) {
	for id := range b.list {
		if b.list[id].known && !fn(twin.DatastreamID(id)) {
			return
		}
	}
}

// Within calls fn for the Datastreams whose terminals stand in a box, in order
// of id, until fn returns false. A box whose west is greater than its east
// crosses the antimeridian.
func (b *Bindings) Within(box orb.Bound, fn func(twin.DatastreamID) bool) {
	for id := range b.list {
		e := &b.list[id]
		if !(e.lat >= box.Min[1] && e.lat <= box.Max[1]) { // also when it has no place
			continue
		}
		in := e.lon >= box.Min[0] && e.lon <= box.Max[0]
		if box.Min[0] > box.Max[0] {
			in = e.lon >= box.Min[0] || e.lon <= box.Max[0]
		}
		if in && e.known && !fn(twin.DatastreamID(id)) {
			return
		}
	}
}

// Things calls fn for every Thing after the given one with its Datastreams,
// each list in order of id, until fn returns false. fn may not keep the list.
func (b *Bindings) Things(after twin.ThingID, fn func(twin.ThingID, []twin.DatastreamID) bool) {
	i, _ := slices.BinarySearchFunc(b.byThing, int64(after)+1, func(p pair, of int64) int { return cmp.Compare(p.of, of) })
	var ids []twin.DatastreamID
	for i < len(b.byThing) {
		of := b.byThing[i].of
		for ids = ids[:0]; i < len(b.byThing) && b.byThing[i].of == of; i++ {
			ids = append(ids, b.byThing[i].ds)
		}
		if !fn(twin.ThingID(of), ids) {
			return
		}
	}
}

// Objects are the positions of the objects on which a property is observed,
// ascending; of any property where it is empty. The list is shared.
func (b *Bindings) Objects(property string) []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if list, ok := b.objects[property]; ok {
		return list
	}
	list := []int64{}
	for _, p := range b.byObject { // in order of the position
		if property != "" && b.texts[b.list[p.ds].property] != property {
			continue
		}
		if n := len(list); n == 0 || list[n-1] != p.of {
			list = append(list, p.of)
		}
	}
	if len(b.objects) >= maxObjectLists {
		clear(b.objects)
	}
	b.objects[property] = list
	return list
}

// maxObjectLists bounds how many lists of Objects are kept: names of properties
// come from callers.
const maxObjectLists = 256

// Unplaced calls fn for the Datastreams after the given one that observe no
// object, with the reason, until fn returns false.
func (b *Bindings) Unplaced(after twin.DatastreamID, fn func(ds twin.DatastreamID, reason string) bool) {
	for id := int64(after) + 1; id < int64(len(b.list)); id++ {
		e := &b.list[id]
		if !e.known || e.how != Unplaced {
			continue
		}
		reason := "no object of the city model that it could observe is near"
		switch {
		case e.declared != 0:
			reason = "the city model has no object " + b.texts[e.declared] + ", which it is declared to observe"
		case math.IsNaN(e.lon):
			reason = "the terminal has no location and declares no object"
		}
		if !fn(twin.DatastreamID(id), reason) {
			return
		}
	}
}

// finish makes the orders of a new list.
func (b *Bindings) finish() {
	b.counts, b.objects = map[How]int{}, map[string][]int64{}
	bounded := 0
	known := 0
	for id := range b.list {
		if e := &b.list[id]; e.known {
			known++
			b.counts[e.how]++
			if e.position != 0 {
				bounded++
			}
		}
	}
	b.byObject, b.byThing = make([]pair, 0, bounded), make([]pair, 0, known)
	for id := range b.list {
		if e := &b.list[id]; e.known {
			ds := twin.DatastreamID(id)
			b.byThing = append(b.byThing, pair{int64(e.thing), ds})
			if e.position != 0 {
				b.byObject = append(b.byObject, pair{e.position, ds})
			}
		}
	}
	order := func(x, y pair) int {
		if c := cmp.Compare(x.of, y.of); c != 0 {
			return c
		}
		return cmp.Compare(x.ds, y.ds)
	}
	slices.SortFunc(b.byObject, order)
	if !slices.IsSortedFunc(b.byThing, order) {
		slices.SortFunc(b.byThing, order)
	}
}
