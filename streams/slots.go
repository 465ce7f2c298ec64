package streams

import (
	"math"
	"math/bits"
	"slices"

	"cityhub/twin"
)

// slot is what the hub knows of one Datastream that has had a reading.
type slot struct {
	ds    *twin.Datastream // nil: the Directory does not know it
	truth bool             // its result is true or false
	place *Place           // by the city model; nil: unknown
	last  uint64           // number of its last reading among the recent ones, from 1; 0: none
	views []*view          // exactly the views it belongs to
}

const (
	slotPageBits = 10
	slotPage     = 1 << slotPageBits
	// maxSlotID bounds the page table: ids are dense, so that one beyond it is
	// damage, not a Datastream.
	maxSlotID = 1 << 30

	cellDegrees = 0.01 // about 1 km: an area of a city touches a few cells
	maxCells    = 4096 // a larger box is looked for among all Datastreams
)

// slotTable holds the slots by dense id, and finds the Datastreams that may
// match a filter without asking all of them.
type slotTable struct {
	pages      []*[slotPage]*slot
	ids        idSet
	byProperty map[string][]twin.DatastreamID
	byCell     map[cell][]twin.DatastreamID
	byDistrict map[string][]twin.DatastreamID
	byObject   map[string][]twin.DatastreamID // with the objects it is a part of
}

type cell struct{ x, y int32 }

func cellOf(lon, lat float64) cell {
	return cell{int32(math.Floor(lon / cellDegrees)), int32(math.Floor(lat / cellDegrees))}
}

// get is nil for an id without a slot.
func (t *slotTable) get(id twin.DatastreamID) *slot {
	p := uint64(id) >> slotPageBits
	if p >= uint64(len(t.pages)) || t.pages[p] == nil {
		return nil
	}
	return t.pages[p][id&(slotPage-1)]
}

// put stores a new slot; ds may be nil.
func (t *slotTable) put(id twin.DatastreamID, ds *twin.Datastream, place *Place) *slot {
	p := int(id >> slotPageBits)
	if p >= len(t.pages) {
		t.pages = append(t.pages, make([]*[slotPage]*slot, p+1-len(t.pages))...)
	}
	if t.pages[p] == nil {
		t.pages[p] = new([slotPage]*slot)
	}
	s := &slot{}
	t.pages[p][id&(slotPage-1)] = s
	t.ids.add(id)
	t.describe(id, s, ds, place)
	return s
}

// describe gives the slot another description and place and keeps the indexes
// true.
func (t *slotTable) describe(id twin.DatastreamID, s *slot, ds *twin.Datastream, place *Place) {
	old := s.ds
	moved := old == nil || ds == nil || !place.equal(s.place) || old.District != ds.District
	if moved {
		t.unindex(id, s)
	}
	s.ds, s.truth, s.place = ds, ds != nil && ds.Result == twin.ResultTruth, place
	if moved {
		t.index(id, s)
	}
	if t.byProperty == nil {
		t.byProperty = make(map[string][]twin.DatastreamID)
		t.byCell = make(map[cell][]twin.DatastreamID)
	}
	// A change of name alone touches no index: an import may rename them all.
	if old == nil || ds == nil || old.PropertyName != ds.PropertyName {
		if old != nil {
			t.byProperty[old.PropertyName] = without(t.byProperty[old.PropertyName], old.ID)
		}
		if ds != nil {
			t.byProperty[ds.PropertyName] = append(t.byProperty[ds.PropertyName], ds.ID)
		}
	}
	was, is := old != nil && located(old), ds != nil && located(ds)
	if was && is && cellOf(old.Lon, old.Lat) == cellOf(ds.Lon, ds.Lat) {
		return
	}
	if was {
		c := cellOf(old.Lon, old.Lat)
		t.byCell[c] = without(t.byCell[c], old.ID)
	}
	if is {
		c := cellOf(ds.Lon, ds.Lat)
		t.byCell[c] = append(t.byCell[c], ds.ID)
	}
}

func located(ds *twin.Datastream) bool { return !math.IsNaN(ds.Lon) && !math.IsNaN(ds.Lat) }

func without(ids []twin.DatastreamID, id twin.DatastreamID) []twin.DatastreamID {
	if i := slices.Index(ids, id); i >= 0 {
		ids[i] = ids[len(ids)-1]
		ids = ids[:len(ids)-1]
	}
	return ids
}

// candidates calls fn with the slots among which all that f may match are, each
// once. fn checks the rest.
func (t *slotTable) candidates(m *matcher, fn func(id twin.DatastreamID, s *slot)) {
	visit := func(ids []twin.DatastreamID) {
		for _, id := range ids {
			if s := t.get(id); s != nil && s.ds != nil {
				fn(id, s)
			}
		}
	}
	switch {
	case len(m.Datastreams) > 0:
		visit(m.Datastreams)
		return
	case len(m.Objects) > 0:
		var seen idSet // parts of two chosen objects come twice
		for _, key := range m.Objects {
			for _, id := range t.byObject[key] {
				if s := t.get(id); s != nil && s.ds != nil && seen.add(id) {
					fn(id, s)
				}
			}
		}
		return
	}
	if m.box != nil {
		if cells, ok := boxCells(m.box); ok {
			for _, c := range cells {
				visit(t.byCell[c])
			}
			return
		}
	}
	if len(m.Districts) > 0 {
		for _, d := range m.Districts {
			visit(t.byDistrict[d])
		}
		return
	}
	if len(m.named) > 0 {
		for _, p := range m.named {
			visit(t.byProperty[p])
		}
		return
	}
	t.ids.each(func(id twin.DatastreamID) bool {
		if s := t.get(id); s.ds != nil {
			fn(id, s)
		}
		return true
	})
}

// boxCells lists the cells that the box touches; false when they are too many,
// or when the box touches the antimeridian, whose two names lie far apart.
func boxCells(b *BBox) ([]cell, bool) {
	if b.West > b.East || b.West == -180 || b.East == 180 {
		return nil, false
	}
	lo, hi := cellOf(b.West, b.South), cellOf(b.East, b.North)
	nx, ny := int64(hi.x)-int64(lo.x)+1, int64(hi.y)-int64(lo.y)+1
	if nx*ny > maxCells {
		return nil, false
	}
	cells := make([]cell, 0, nx*ny)
	for y := lo.y; y <= hi.y; y++ {
		for x := lo.x; x <= hi.x; x++ {
			cells = append(cells, cell{x, y})
		}
	}
	return cells, true
}

const idPageBits = 12

// idSet is a set of dense ids: a bit each, in pages of 4096.
type idSet struct {
	pages []*[1 << (idPageBits - 6)]uint64
	n     int
}

func (s *idSet) has(id twin.DatastreamID) bool {
	p := int(id >> idPageBits)
	if p >= len(s.pages) || s.pages[p] == nil {
		return false
	}
	i := uint(id) & (1<<idPageBits - 1)
	return s.pages[p][i>>6]&(1<<(i&63)) != 0
}

// add reports whether id was not there yet.
func (s *idSet) add(id twin.DatastreamID) bool {
	if s.has(id) {
		return false
	}
	p := int(id >> idPageBits)
	if p >= len(s.pages) {
		s.pages = append(s.pages, make([]*[1 << (idPageBits - 6)]uint64, p+1-len(s.pages))...)
	}
	if s.pages[p] == nil {
		s.pages[p] = new([1 << (idPageBits - 6)]uint64)
	}
	i := uint(id) & (1<<idPageBits - 1)
	s.pages[p][i>>6] |= 1 << (i & 63)
	s.n++
	return true
}

func (s *idSet) remove(id twin.DatastreamID) {
	if !s.has(id) {
		return
	}
	i := uint(id) & (1<<idPageBits - 1)
	s.pages[id>>idPageBits][i>>6] &^= 1 << (i & 63)
	s.n--
}

// each visits the ids in ascending order until fn returns false. fn may remove
// the id it is called with.
func (s *idSet) each(fn func(twin.DatastreamID) bool) {
	for p, page := range s.pages {
		if page == nil {
			continue
		}
		for w, word := range page {
			for word != 0 {
				bit := word & -word
				id := twin.DatastreamID(p<<idPageBits | w<<6 | bits.TrailingZeros64(word))
				word ^= bit
				if !fn(id) {
					return
				}
			}
		}
	}
}
