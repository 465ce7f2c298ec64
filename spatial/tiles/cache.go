package tiles

import (
	"container/list"
	"sync"
)

// stored is a tile that has been made. It does not change.
type stored struct {
	gzip    []byte // empty: there is nothing in the tile
	etag    string // without quotes
	omitted string // value of the header; empty: nothing was left out
}

func (s *stored) size(key string) int64 {
	const overhead = 300 // entry, list element, map slot
	return int64(len(s.gzip)+len(s.omitted)+2*len(key)) + overhead
}

// cache keeps the tiles that were asked for last, in at most max bytes; when it
// is full the tile that nobody has asked for longest goes. It is safe for
// concurrent use.
type cache struct {
	mu    sync.Mutex
	max   int64
	bytes int64
	byKey map[string]*list.Element
	order *list.List // the last used at the front
}

type entry struct {
	key  string
	tile *stored
}

func newCache(maxBytes int64) *cache {
	return &cache{max: maxBytes, byKey: map[string]*list.Element{}, order: list.New()}
}

func (c *cache) get(key string) (*stored, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).tile, true
}

func (c *cache) put(key string, t *stored) {
	n := t.size(key)
	if n > c.max/8 {
		return // one tile must not drive out all others
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		old := e.Value.(*entry)
		c.bytes += n - old.tile.size(key)
		old.tile = t
		c.order.MoveToFront(e)
	} else {
		c.byKey[key] = c.order.PushFront(&entry{key, t})
		c.bytes += n
	}
	for c.bytes > c.max {
		e := c.order.Back()
		old := e.Value.(*entry)
		c.order.Remove(e)
		delete(c.byKey, old.key)
		c.bytes -= old.tile.size(old.key)
	}
}
