// Package memory answers what is asked most of a city model, what is valid now
// in a box or at some positions, from memory; every other question goes to the
// store behind it.
//
// Objects are kept without the geometries of their levels of detail, encoded, a
// house with four attributes in some 200 bytes (codec.go). Those that do not fit
// into Options.Bytes are left out, and a question that meets one of them goes to
// the store as a whole: an answer never depends on what is kept.
//
// It does not follow the store by itself: whoever does hands it every change
// (Begin). An answer is of one moment, that of the last Commit before it or a
// later one.
//
// A Cache is safe for concurrent use; readers wait for nobody. The package starts
// no goroutine.
package memory

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// Options of a Cache.
type Options struct {
	Bytes int64 // of encoded objects; 0: 512 MiB, negative: none
}

// Cache is a store.Reader. Use New.
type Cache struct {
	store.Reader // what is asked when memory cannot answer
	o            Options
	view         func() index.View // all objects that are valid now

	changing sync.Mutex
	current  atomic.Pointer[table]
}

// New makes an empty Cache before r. view finds the objects of a box; it is told
// of a change after the Cache is, or before, but both before the change is
// reported as done.
func New(r store.Reader, view func() index.View, o Options) *Cache {
	if o.Bytes == 0 {
		o.Bytes = 512 << 20
	}
	c := &Cache{Reader: r, o: o, view: view}
	c.current.Store(&table{number: map[string]uint32{}})
	return c
}

// Stats is how many objects are kept, in how many bytes.
func (c *Cache) Stats() (objects int, bytes int64) {
	t := c.current.Load()
	return t.objects, t.bytes - t.dead
}

// pageObjects is how many positions a page of the table has: what a change of
// one object copies.
const pageObjects = 1024

// place is where a record begins; the zero place is none.
type place struct {
	chunk uint32 // from 1
	at    uint32
}

type page [pageObjects]place

// table is what is kept at one moment. A table that has been published does not
// change, but for what is appended to its last chunk beyond what it knows of.
type table struct {
	pages   []*page // by position
	chunks  [][]byte
	texts   []string // that many objects share
	number  map[string]uint32
	objects int
	bytes   int64 // in all chunks
	dead    int64 // of records that are no longer referred to
}

// chunkBytes is the size of a chunk; a record that is larger has one of its own.
const chunkBytes = 1 << 20

func (t *table) record(position int64) []byte {
	p := position / pageObjects
	if position < 0 || p >= int64(len(t.pages)) || t.pages[p] == nil {
		return nil
	}
	at := t.pages[p][position%pageObjects]
	if at.chunk == 0 {
		return nil
	}
	return t.chunks[at.chunk-1][at.at:]
}

// Change is a change of the Cache, made by one goroutine.
type Change struct {
	c   *Cache
	t   *table
	own map[int64]bool // pages that are t's alone
	buf []byte
}

// Begin begins a change; another waits until this one is committed. With empty
// true nothing of what is kept stays.
func (c *Cache) Begin(empty bool) *Change {
	c.changing.Lock()
	old := c.current.Load()
	ch := &Change{c: c, own: map[int64]bool{}}
	if empty {
		ch.t = &table{number: map[string]uint32{}}
		return ch
	}
	t := *old
	t.pages, t.chunks, t.texts = slices.Clone(old.pages), slices.Clone(old.chunks), slices.Clip(old.texts)
	ch.t = &t
	return ch
}

// Commit makes the change visible and ends it.
func (ch *Change) Commit() {
	if ch.t.dead > chunkBytes && ch.t.dead > ch.t.bytes/2 {
		ch.compact()
	}
	ch.c.current.Store(ch.t)
	ch.c.changing.Unlock()
}

// Put keeps what is valid now of an object, if there is room.
func (ch *Change) Put(v *store.Version) {
	ch.Drop(v.Position)
	if v.Position < 0 || ch.t.bytes-ch.t.dead >= ch.c.o.Bytes {
		return
	}
	ch.buf = ch.encode(ch.buf[:0], v)
	ch.set(v.Position, ch.buf)
}

// Drop forgets an object.
func (ch *Change) Drop(position int64) {
	record := ch.t.record(position)
	if record == nil {
		return
	}
	ch.page(position)[position%pageObjects] = place{}
	ch.t.objects--
	ch.t.dead += int64(recordLength(record))
}

// page is the page of a position, for writing.
func (ch *Change) page(position int64) *page {
	n := position / pageObjects
	for int64(len(ch.t.pages)) <= n {
		ch.t.pages = append(ch.t.pages, nil)
	}
	if !ch.own[n] {
		p := new(page)
		if old := ch.t.pages[n]; old != nil {
			*p = *old
		}
		ch.t.pages[n], ch.own[n] = p, true
	}
	return ch.t.pages[n]
}

func (ch *Change) set(position int64, record []byte) {
	t := ch.t
	last := len(t.chunks) - 1
	if last < 0 || cap(t.chunks[last])-len(t.chunks[last]) < len(record) {
		t.chunks = append(t.chunks, make([]byte, 0, max(chunkBytes, len(record))))
		last++
	}
	at := len(t.chunks[last])
	t.chunks[last] = append(t.chunks[last], record...)
	ch.page(position)[position%pageObjects] = place{uint32(last + 1), uint32(at)}
	t.objects++
	t.bytes += int64(len(record))
}

// compact writes what is referred to into new chunks.
func (ch *Change) compact() {
	old := ch.t
	ch.t = &table{texts: old.texts, number: old.number}
	ch.own = map[int64]bool{}
	for n, p := range old.pages {
		if p == nil {
			continue
		}
		for i, at := range p {
			if at.chunk == 0 {
				continue
			}
			record := old.chunks[at.chunk-1][at.at:]
			ch.set(int64(n)*pageObjects+int64(i), record[:recordLength(record)])
		}
	}
}

// answers reports whether q is a question for memory.
func answers(q store.Query) bool {
	return q.At.IsZero() && !q.Geometries && (q.BBox != nil || q.Positions != nil)
}

// Query is one page of objects; see store.Reader.
func (c *Cache) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = 1000
	}
	var page store.Page
	complete, err := c.each(ctx, q, func(r *reader, record []byte) bool {
		if len(page.Versions) == limit {
			page.Next = page.Versions[limit-1].Position
			return false
		}
		page.Versions = append(page.Versions, r.version(record))
		return true
	})
	if err != nil {
		return store.Page{}, err
	}
	if !complete {
		return c.Reader.Query(ctx, q)
	}
	return page, nil
}

// Count is the number of objects that q selects; see store.Reader.
func (c *Cache) Count(ctx context.Context, q store.Query) (int64, error) {
	q.After, q.Geometries = 0, false
	if err := q.Check(); err != nil {
		return 0, err
	}
	var n int64
	complete, err := c.each(ctx, q, func(*reader, []byte) bool { n++; return true })
	if err != nil {
		return 0, err
	}
	if !complete {
		return c.Reader.Count(ctx, q)
	}
	return n, nil
}

// each calls fn for what q selects, in order of position, until fn returns
// false. It is not complete, and what fn was called for means nothing, where
// memory cannot answer.
func (c *Cache) each(ctx context.Context, q store.Query, fn func(*reader, []byte) bool) (complete bool, err error) {
	if !answers(q) {
		return false, nil
	}
	if q.BBox != nil && q.BBox.Empty {
		return true, nil
	}
	positions := q.Positions
	if positions == nil {
		if positions = c.inBox(q); positions == nil {
			return true, nil
		}
	}
	r := reader{t: c.current.Load(), q: &q, datasets: map[uint32]bool{}}
	for i, position := range positions {
		if i&1023 == 1023 {
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
		if position <= q.After {
			continue
		}
		record := r.t.record(position)
		if record == nil {
			return false, nil
		}
		if !r.selects(record) {
			continue
		}
		if q.BBox != nil || q.Keep != nil {
			v := r.scratch(record, position)
			if q.BBox != nil && !meets(q.BBox, v.Footprint) {
				continue
			}
			if q.Keep != nil {
				keep, err := q.Keep(v)
				if err != nil {
					return false, err
				}
				if !keep {
					continue
				}
			}
		}
		r.position = position
		if !fn(&r, record) {
			return true, nil
		}
	}
	return true, nil
}

// inBox is the positions of the objects in a box, ascending.
func (c *Cache) inBox(q store.Query) []int64 {
	v := c.view()
	var positions []int64
	look := func(west, east float64) {
		v.Search(orb.Bound{Min: orb.Point{west, q.BBox.South}, Max: orb.Point{east, q.BBox.North}},
			index.Options{Classes: []spatial.Class{q.Class}, Type: q.Type, Dataset: q.Dataset}, func(ref index.Ref) bool {
				if p := v.Object(ref).Position; p > q.After {
					positions = append(positions, p)
				}
				return true
			})
	}
	if q.BBox.West > q.BBox.East {
		look(q.BBox.West, 180)
		look(-180, q.BBox.East)
	} else {
		look(q.BBox.West, q.BBox.East)
	}
	slices.Sort(positions)
	return slices.Compact(positions)
}

// meets reports whether the bound of a footprint meets a box.
func meets(b *store.BBox, g *spatial.Geometry) bool {
	if g == nil || len(g.XYZ) == 0 {
		return false
	}
	box := g.Bounds()
	return b.Intersects(box.Min[0], box.Min[1], box.Max[0], box.Max[1])
}

// Peek is the object at a position, as it is kept; false where it is not. It
// never asks the store.
func (c *Cache) Peek(position int64) (*store.Version, bool) {
	t := c.current.Load()
	record := t.record(position)
	if record == nil {
		return nil, false
	}
	r := reader{t: t, position: position}
	return r.version(record), true
}
