package index

import (
	"math"
	"slices"
	"strings"

	"cityhub/spatial"
)

// fan is the number of children of a node.
const fan = 16

// noHeight stands for a height that the source did not have.
const noHeight = math.MinInt32

// Kinds of footprints, in a byte for each object.
const (
	kindNone    = 0
	kindPoint   = uint8(spatial.MultiPoint)
	kindLine    = uint8(spatial.MultiLine)
	kindSurface = uint8(spatial.MultiSurface)
)

// entry is an object on its way into a segment.
type entry struct {
	position  int64
	rect      rect
	low, high int32 // millimetres, or noHeight
	group     uint32
	kind      uint8
	record    string // identifier, name, footprint
}

// group is what many objects have in common. Of each combination there is one,
// and groups only ever become more.
type group struct {
	class   spatial.Class
	bit     uint8 // of the class, in masks
	typ     string
	dataset string
}

// segment is a part of the index that never changes: a packed Hilbert R-tree (I.
// Kamel, C. Faloutsos, "On Packing R-trees", CIKM 1993) over its objects, which
// are in the order of its leaves; those without a footprint are behind. Node i
// of a level has the children fan*i to fan*i+fan-1 of the level below.
type segment struct {
	position  []int64
	rect      []rect
	low, high []int32 // nil: of no object
	group     []uint32
	kind      []uint8
	offset    []uint64 // in records; one more than objects
	records   string   // identifiers, names and footprints
	placed    int      // objects with a footprint
	levels    []level  // of nodes; the last has one

	byPosition, byKey table
}

// level has the nodes of one level.
type level struct {
	rect    []rect
	size    []int32 // longer side of the largest object below; of points the largest number
	classes []uint8 // bits of the classes below
}

func (s *segment) len() int { return len(s.position) }

func (s *segment) record(i int) reader { return reader{s: s.records[s.offset[i]:s.offset[i+1]]} }

// footprint is where the footprint of object i begins.
func (s *segment) footprint(i int) reader {
	d := s.record(i)
	d.text()
	d.text()
	return d
}

func (s *segment) id(i int) string {
	d := s.record(i)
	return d.text()
}

func (s *segment) heights(i int) (low, high int32) {
	if s.low == nil {
		return noHeight, noHeight
	}
	return s.low[i], s.high[i]
}

// objectSize is the size of an object for MinSizeDegrees: points are kept.
func objectSize(r rect, kind uint8) int32 {
	if kind == kindPoint {
		return math.MaxInt32
	}
	return int32(min(r.size(), math.MaxInt32-1))
}

// entryAt is object i as it came.
func (s *segment) entryAt(i int) entry {
	low, high := s.heights(i)
	return entry{position: s.position[i], rect: s.rect[i], low: low, high: high, group: s.group[i], kind: s.kind[i], record: s.records[s.offset[i]:s.offset[i+1]]}
}

// newSegment packs entries; of those with the same position the last counts.
func newSegment(b *batch, groups []group, hash keyHash) *segment {
	n := b.len()
	twice := newTable(n)
	var replaced []uint64
	for i := range n {
		position := b.at(i).position
		slot, old := twice.find(hashPosition(position), func(j uint32) bool { return b.at(int(j)).position == position })
		if old >= 0 {
			if replaced == nil {
				replaced = make([]uint64, (n+63)/64)
			}
			replaced[old>>6] |= 1 << (old & 63)
		}
		twice.slots[slot] = uint32(i) + 1
	}
	order := hilbertOrder(b, func(i int) bool { return replaced == nil || replaced[i>>6]&(1<<(i&63)) == 0 })

	n = len(order)
	s := &segment{
		position: make([]int64, n), rect: make([]rect, n), group: make([]uint32, n), kind: make([]uint8, n), offset: make([]uint64, n+1),
		byPosition: newTable(n), byKey: newTable(n),
	}
	bytes, heights := 0, false
	for _, i := range order {
		e := b.at(int(i))
		bytes += len(e.record)
		heights = heights || e.low != noHeight
	}
	if heights {
		s.low, s.high = make([]int32, n), make([]int32, n)
	}
	var records strings.Builder
	records.Grow(bytes)
	for at, i := range order {
		e := b.at(int(i))
		s.position[at], s.rect[at], s.group[at], s.kind[at] = e.position, e.rect, e.group, e.kind
		if heights {
			s.low[at], s.high[at] = e.low, e.high
		}
		if !e.rect.empty() {
			s.placed++
		}
		records.WriteString(e.record)
		s.offset[at+1] = uint64(records.Len())
		s.byPosition.add(hashPosition(e.position), uint32(at))
		d := reader{s: e.record}
		s.byKey.add(hash.of(groups[e.group].dataset, d.text()), uint32(at))
	}
	s.records = records.String()
	s.buildNodes(groups)
	return s
}

func (s *segment) buildNodes(groups []group) {
	if s.placed == 0 {
		return
	}
	for below := s.placed; ; {
		n := (below + fan - 1) / fan
		l := level{rect: make([]rect, n), size: make([]int32, n), classes: make([]uint8, n)}
		for i := range n {
			r := noRect()
			for c := i * fan; c < min(i*fan+fan, below); c++ {
				if len(s.levels) == 0 {
					r = r.union(s.rect[c])
					l.size[i] = max(l.size[i], objectSize(s.rect[c], s.kind[c]))
					l.classes[i] |= groups[s.group[c]].bit
				} else {
					d := &s.levels[len(s.levels)-1]
					r = r.union(d.rect[c])
					l.size[i] = max(l.size[i], d.size[c])
					l.classes[i] |= d.classes[c]
				}
			}
			l.rect[i] = r
		}
		s.levels = append(s.levels, l)
		if n == 1 {
			return
		}
		below = n
	}
}

// hilbertOrder is the entries to keep, those with a footprint in the order in
// which a Hilbert curve passes the middle of their bounds, then the others.
func hilbertOrder(b *batch, keep func(int) bool) []uint32 {
	all := noRect()
	for i := range b.len() {
		if r := b.at(i).rect; !r.empty() {
			all = all.union(r)
		}
	}
	scaleX := 65535 / max(1, float64(all.maxX)-float64(all.minX))
	scaleY := 65535 / max(1, float64(all.maxY)-float64(all.minY))
	keys := make([]uint64, 0, b.len())
	var without []uint32
	for i := range b.len() {
		if !keep(i) {
			continue
		}
		r := b.at(i).rect
		if r.empty() {
			without = append(without, uint32(i))
			continue
		}
		x := (float64(r.minX) + float64(r.maxX) - 2*float64(all.minX)) / 2 * scaleX
		y := (float64(r.minY) + float64(r.maxY) - 2*float64(all.minY)) / 2 * scaleY
		keys = append(keys, uint64(hilbert(uint32(x), uint32(y)))<<32|uint64(i))
	}
	slices.Sort(keys)
	order := make([]uint32, len(keys), len(keys)+len(without))
	for i, k := range keys {
		order[i] = uint32(k)
	}
	return append(order, without...)
}

// hilbert is how far along the Hilbert curve of order 16 the cell x, y lies (H. S.
// Warren, Hacker's Delight, 2nd edition, chapter 16).
func hilbert(x, y uint32) uint32 {
	d := uint32(0)
	for s := uint32(1 << 15); s > 0; s >>= 1 {
		var rx, ry uint32
		if x&s != 0 {
			rx = 1
		}
		if y&s != 0 {
			ry = 1
		}
		d = d<<2 | (3*rx ^ ry)
		if ry == 0 { // turn the quadrant
			if rx == 1 {
				x, y = 65535-x, 65535-y
			}
			x, y = y, x
		}
	}
	return d
}
