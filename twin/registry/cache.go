package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"cityhub/twin"
)

const (
	pageBits = 10
	// PageSize is how many Datastreams, with consecutive ids, are loaded
	// together.
	PageSize   = 1 << pageBits
	shardCount = 64
)

// cache holds what ingest asks for.
//
// Datastreams lie in pages of 1024 consecutive ids; a page is loaded when one
// of its ids is asked for and published whole; a slot is replaced when its
// Datastream changes. Terminals lie in shards by code.
//
// A load holds loading for reading from before its query until it has
// published; a committed write holds it for writing while it makes the cache
// agree. So a load that began before the commit is corrected by the write, and
// one that begins after sees the new rows. Cached lookups take no part in it.
type cache struct {
	loading sync.RWMutex
	last    atomic.Int64 // the greatest DatastreamID given
	pages   atomic.Pointer[[]*pageSlot]
	seed    maphash.Seed
	shards  [shardCount]shard
}

// pageSlot is the place of a page; mu lets one goroutine load it.
type pageSlot struct {
	mu   sync.Mutex
	page atomic.Pointer[page]
}

type page [PageSize]atomic.Pointer[twin.Datastream]

type shard struct {
	mu      sync.RWMutex
	byCode  map[string]*Terminal
	loading sync.Mutex // one load of the shard at a time
}

func (c *cache) init(last twin.DatastreamID) {
	c.seed = maphash.MakeSeed()
	for i := range c.shards {
		c.shards[i].byCode = map[string]*Terminal{}
	}
	c.pages.Store(new([]*pageSlot))
	c.grow(last)
}

// grow makes room for the ids up to last. Called with loading held for
// writing, or before the registry is shared.
func (c *cache) grow(last twin.DatastreamID) {
	old := *c.pages.Load()
	if need := int(last>>pageBits) + 1; need > len(old) {
		pages := make([]*pageSlot, max(need, 2*len(old)))
		copy(pages, old)
		for i := len(old); i < len(pages); i++ {
			pages[i] = &pageSlot{}
		}
		c.pages.Store(&pages)
	}
	if int64(last) > c.last.Load() {
		c.last.Store(int64(last))
	}
}

func (c *cache) shard(code string) *shard {
	return &c.shards[maphash.String(c.seed, code)%shardCount]
}

// Datastream gives the Datastream with the id, a retired one too. A cached one
// costs nanoseconds and no allocation. CodeNotFound when there is none.
func (r *Registry) Datastream(ctx context.Context, id twin.DatastreamID) (*twin.Datastream, error) {
	if id >= 1 && int64(id) <= r.cache.last.Load() {
		slot := (*r.cache.pages.Load())[id>>pageBits]
		if p := slot.page.Load(); p != nil {
			if ds := p[id&(PageSize-1)].Load(); ds != nil {
				return ds, nil
			}
		}
		return r.datastreamSlow(ctx, id)
	}
	return nil, noDatastream(id)
}

func noDatastream(id twin.DatastreamID) error {
	return &twin.Error{Code: twin.CodeNotFound, Op: "find datastream", Field: "id", Message: fmt.Sprintf("there is no Datastream %d", id)}
}

func (r *Registry) datastreamSlow(ctx context.Context, id twin.DatastreamID) (*twin.Datastream, error) {
	r.cache.loading.RLock()
	defer r.cache.loading.RUnlock()
	p, err := r.page(ctx, id)
	if err != nil {
		return nil, err
	}
	if ds := p[id&(PageSize-1)].Load(); ds != nil {
		return ds, nil
	}
	return nil, noDatastream(id)
}

// page gives the page of id, loading it if need be. The caller holds
// cache.loading for reading.
func (r *Registry) page(ctx context.Context, id twin.DatastreamID) (*page, error) {
	slot := (*r.cache.pages.Load())[id>>pageBits]
	if p := slot.page.Load(); p != nil {
		return p, nil
	}
	slot.mu.Lock() // before loading by one goroutine, the others wait here
	defer slot.mu.Unlock()
	if p := slot.page.Load(); p != nil {
		return p, nil
	}
	first := id &^ (PageSize - 1)
	p := new(page)
	err := loadDatastreams(ctx, r.read, `d.id BETWEEN ? AND ?`, []any{int64(first), int64(first) + PageSize - 1}, func(ds *twin.Datastream, _ bool) {
		p[ds.ID&(PageSize-1)].Store(ds)
	})
	if err != nil {
		return nil, dbError("load datastreams", err)
	}
	slot.page.Store(p)
	return p, nil
}

// Terminal is what ingest needs of one terminal: an immutable snapshot.
type Terminal struct {
	Thing         twin.Thing
	HasCredential bool // it must log in with its MQTT user and password
	byName        map[string]*twin.Datastream
	sorted        []*twin.Datastream
	stale         atomic.Bool
}

// Datastream gives the Datastream of a property; nil when the terminal has no
// such property (any more).
func (t *Terminal) Datastream(property string) *twin.Datastream { return t.byName[property] }

// DatastreamBytes is Datastream without making a string.
func (t *Terminal) DatastreamBytes(property []byte) *twin.Datastream {
	return t.byName[string(property)]
}

// Datastreams gives the terminal's Datastreams by property name. Do not change
// the slice.
func (t *Terminal) Datastreams() []*twin.Datastream { return t.sorted }

// Stale reports whether the registry has changed the terminal since: look it
// up again. It is one atomic load.
func (t *Terminal) Stale() bool { return t.stale.Load() }

// Terminal gives the terminal with the code. A cached one costs nanoseconds and
// no allocation. CodeNotFound when there is none.
func (r *Registry) Terminal(ctx context.Context, code string) (*Terminal, error) {
	s := r.cache.shard(code)
	s.mu.RLock()
	t := s.byCode[code]
	s.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	return r.terminalSlow(ctx, s, code)
}

func (r *Registry) terminalSlow(ctx context.Context, s *shard, code string) (*Terminal, error) {
	r.cache.loading.RLock()
	defer r.cache.loading.RUnlock()
	s.loading.Lock()
	defer s.loading.Unlock()
	s.mu.RLock()
	t := s.byCode[code]
	s.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	t, err := r.loadTerminal(ctx, code)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.byCode[t.Thing.Code] = t
	s.mu.Unlock()
	return t, nil
}

// loadTerminal reads a terminal; its Datastreams are those of the pages, so
// that each is in memory once. The caller holds cache.loading for reading.
func (r *Registry) loadTerminal(ctx context.Context, code string) (*Terminal, error) {
	const op = "find terminal"
	t := &Terminal{}
	err := scanThing(r.byCode.QueryRowContext(ctx, code), &t.Thing, &t.HasCredential)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noTerminal(op, code)
	}
	if err != nil {
		return nil, dbError(op, err)
	}
	rows, err := r.idsOf.QueryContext(ctx, int64(t.Thing.ID))
	if err != nil {
		return nil, dbError(op, err)
	}
	var ids []twin.DatastreamID
	for rows.Next() {
		var id twin.DatastreamID
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(dbError(op, err), rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, dbError(op, err)
	}
	t.byName = make(map[string]*twin.Datastream, len(ids))
	for _, id := range ids {
		// A row committed after this load began may lie beyond the pages: the
		// write that made it waits for the load, then drops this Terminal.
		if int64(id) > r.cache.last.Load() {
			continue
		}
		p, err := r.page(ctx, id)
		if err != nil {
			return nil, err
		}
		if ds := p[id&(PageSize-1)].Load(); ds != nil {
			t.byName[ds.PropertyName] = ds
		}
	}
	t.sorted = make([]*twin.Datastream, 0, len(t.byName))
	for _, name := range slices.Sorted(maps.Keys(t.byName)) {
		t.sorted = append(t.sorted, t.byName[name])
	}
	return t, nil
}

func noTerminal(op, code string) error {
	return &twin.Error{Code: twin.CodeNotFound, Op: op, Field: "code", Message: fmt.Sprintf("there is no terminal %q", code), Hint: "register it with cityhub import terminals"}
}

// changes is what a write has to tell the cache.
type changes struct {
	terminals map[string]struct{} // codes
	fresh     []*twin.Datastream  // to put into their slots
	drop      map[int64]struct{}  // pages to load again
	last      twin.DatastreamID   // the greatest id after the write
	datasets  bool                // DatasetVersion
	all       bool                // anything may have changed, rights of access included
}

// publish makes the cache agree with a committed write.
func (r *Registry) publish(ch *changes) {
	c := &r.cache
	c.loading.Lock()
	c.grow(ch.last)
	pages := *c.pages.Load()
	for n := range ch.drop {
		if n < int64(len(pages)) {
			pages[n].page.Store(nil)
		}
	}
	var changed []twin.DatastreamID
	for _, ds := range ch.fresh {
		if p := pages[ds.ID>>pageBits].page.Load(); p != nil {
			if old := p[ds.ID&(PageSize-1)].Swap(ds); old != nil && !same(old, ds) {
				changed = append(changed, ds.ID)
			}
		}
	}
	for code := range ch.terminals {
		s := c.shard(code)
		s.mu.Lock()
		if t := s.byCode[code]; t != nil {
			t.stale.Store(true)
			delete(s.byCode, code)
		}
		s.mu.Unlock()
	}
	c.loading.Unlock()
	if ch.datasets {
		r.datasetVersion.Add(1)
	}
	if wrote := r.o.Wrote; wrote != nil && len(ch.terminals) > 0 {
		var ids []twin.DatastreamID
		if ch.drop == nil {
			for _, ds := range ch.fresh {
				ids = append(ids, ds.ID)
			}
		}
		if ch.drop != nil || len(ids) > 0 {
			wrote(ids)
		}
	}
	switch {
	case r.o.Changed == nil:
	case ch.datasets || ch.all:
		r.o.Changed(nil)
	case len(changed) > 0:
		r.o.Changed(changed)
	}
}

// same reports whether two Datastreams say the same; no Location is the same
// as no Location, though NaN is not NaN.
func same(a, b *twin.Datastream) bool {
	x, y := *a, *b
	if math.IsNaN(x.Lon) && math.IsNaN(y.Lon) {
		x.Lon, x.Lat, y.Lon, y.Lat = 0, 0, 0, 0
	}
	return x == y
}
