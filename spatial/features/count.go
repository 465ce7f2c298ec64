package features

import (
	"sync"
	"time"

	"cityhub/spatial/city"
)

// counts keeps the numbers of whole collections for a moment.
type counts struct {
	mu   sync.Mutex
	kept map[countKey]count
}

type countKey struct {
	view, collection string
	at               int64
	version          uint64
}

type count struct {
	n    int64
	made time.Time
}

const (
	countAge  = 5 * time.Second
	countKept = 256
)

// count is the number of objects that a selection without a filter has.
func (c *call) count(sel *selection) (int64, error) {
	key := countKey{c.view.Key, sel.kind.ID, sel.q.At.UnixNano(), c.indexVersion()}
	m := &c.h.counts
	m.mu.Lock()
	old, ok := m.kept[key]
	m.mu.Unlock()
	if ok && c.now.Sub(old.made) < countAge {
		return old.n, nil
	}
	q := sel.q
	q.Class, q.Geometries = sel.classes[0], false
	n, err := c.view.Store.Count(c.ctx, q)
	if err == nil && sel.kind.rest() {
		var d int64
		q.Type = city.TypeDistrict
		d, err = c.view.Store.Count(c.ctx, q)
		n -= d
	}
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= countKept {
		m.kept = map[countKey]count{}
	}
	m.kept[key] = count{n, c.now}
	return n, nil
}
