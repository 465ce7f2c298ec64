package index

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

const (
	entriesAtOnce = 8192
	bytesAtOnce   = 1 << 20
)

// batch collects entries. Its blocks are never copied when it grows.
type batch struct {
	blocks  [][]entry
	records strings.Builder // what it holds does not move: it never outgrows its capacity
	scratch []byte
}

func (b *batch) len() int {
	if len(b.blocks) == 0 {
		return 0
	}
	return (len(b.blocks)-1)*entriesAtOnce + len(b.blocks[len(b.blocks)-1])
}

func (b *batch) at(i int) *entry { return &b.blocks[i/entriesAtOnce][i%entriesAtOnce] }

func (b *batch) add(e entry) {
	last := len(b.blocks) - 1
	if last < 0 || len(b.blocks[last]) == entriesAtOnce {
		size := entriesAtOnce
		if last < 0 {
			size = 16 // most changes are few
		}
		b.blocks = append(b.blocks, make([]entry, 0, size))
		last++
	}
	b.blocks[last] = append(b.blocks[last], e)
}

// keep copies a record to where it can stay.
func (b *batch) keep(record []byte) string {
	if b.records.Cap()-b.records.Len() < len(record) {
		size := max(len(record), bytesAtOnce)
		if len(b.blocks) == 0 {
			size = max(len(record), 4096)
		}
		b.records = strings.Builder{}
		b.records.Grow(size)
	}
	from := b.records.Len()
	b.records.Write(record)
	return b.records.String()[from:]
}

// addVersion adds a version of an object, of a group.
func (b *batch) addVersion(v *store.Version, group uint32) error {
	o := &v.Object
	e := entry{position: v.Position, rect: noRect(), low: noHeight, high: noHeight, group: group}
	r := binary.AppendUvarint(b.scratch[:0], uint64(len(o.ID)))
	r = append(r, o.ID...)
	r = binary.AppendUvarint(r, uint64(len(o.Name)))
	r = append(r, o.Name...)
	if g := v.Footprint; g != nil && g.NumPoints() > 0 {
		if err := g.Valid(); err != nil {
			return corrupt(v, "Footprint", err.Error())
		}
		if g.Kind.IsSolid() {
			return corrupt(v, "Footprint", fmt.Sprintf("found a %v, expected a MultiPoint, MultiLineString or MultiSurface", g.Kind))
		}
		e.kind = uint8(min(g.Kind, spatial.MultiSurface)) // a CompositeSurface is one as well
		e.rect = rectOf(g)
		r = appendFootprint(r, g, e.rect)
	}
	for i := range o.Geometries {
		if g := &o.Geometries[i]; g.HasZ && g.NumPoints() > 0 {
			low, high := g.Bounds().Min[2], g.Bounds().Max[2]
			if e.low == noHeight {
				e.low, e.high = millimetres(low), millimetres(high)
			}
			e.low, e.high = min(e.low, millimetres(low)), max(e.high, millimetres(high))
		}
	}
	b.scratch = r
	e.record = b.keep(r)
	b.add(e)
	return nil
}

func millimetres(h float64) int32 {
	return int32(min(max(math.Round(h*1000), math.MinInt32+1), math.MaxInt32))
}

func metres(mm int32) float64 {
	if mm == noHeight {
		return math.NaN()
	}
	return float64(mm) / 1000
}

func corrupt(v *store.Version, field, found string) error {
	return &store.Error{Code: store.Corrupt, Op: "index", Object: v.Dataset + "/" + v.Object.ID, Field: field, Message: found, Hint: "import the source again"}
}
