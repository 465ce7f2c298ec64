package ingest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
)

// Pipeline gathers what sessions hand over and appends it to the log.
type Pipeline struct {
	o Options
	m metrics

	mu     sync.Mutex
	work   sync.Cond     // the open group has something in it, or the pipeline closes
	hurry  chan struct{} // a source waits for the open group to be taken
	stop   chan struct{} // closed with the pipeline
	queue  []*handOver   // what waits for room in a group, oldest first: a flood starves nobody
	open   *gathering
	spare  *gathering
	closed bool

	shardMu sync.RWMutex
	shards  []shard
	shardOf map[shard]int

	slabs sync.Pool

	// failing holds the reason while the log refuses to append; nil else.
	failing atomic.Pointer[error]
}

// shard is a district and domain; each has its own batch in a group.
type shard struct {
	district string
	domain   twin.Domain
}

// slab is what one Flush hands over. Sessions take it from a pool and the
// committer puts it back.
type slab struct {
	rows    []row
	texts   []byte
	rejects []twin.Reject
	bytes   int // of texts and refused payloads
}

// row is a reading on its way from a session to the committer. Its text lies
// in the slab's texts.
type row struct {
	datastream   twin.DatastreamID
	phenomenonNs int64
	resultNs     int64
	value        float64
	textOff      uint32
	textLen      uint32
	shard        uint16
	quality      twin.Quality
	isText       bool
}

func (s *slab) reset() {
	s.rows, s.texts, s.bytes = s.rows[:0], s.texts[:0], 0
	clear(s.rejects)
	s.rejects = s.rejects[:0]
}

// gathering is a group while it gathers.
type gathering struct {
	slabs    []*slab
	waiters  []waiter
	readings int
	rejects  int
	bytes    int

	// What the committer makes of the slabs, and appends.
	batches []*block.Batch // one for each district and domain
	refused []twin.Reject
}

type waiter struct {
	w Waiter
	n int
}

func (g *gathering) empty() bool { return len(g.slabs) == 0 && len(g.waiters) == 0 }

// ErrClosed is returned by Flush once the pipeline has stopped: what was
// handed over is not acknowledged.
var ErrClosed = &twin.Error{Code: twin.CodeUnavailable, Op: "ingest", Message: "the hub is stopping"}

// New returns a pipeline; Run makes it work.
func New(o Options) *Pipeline {
	o.defaults()
	p := &Pipeline{o: o, open: &gathering{}, spare: &gathering{}, shardOf: map[shard]int{},
		hurry: make(chan struct{}, 1), stop: make(chan struct{})}
	p.work.L = &p.mu
	p.slabs.New = func() any { return &slab{} }
	p.m.register(o.Metrics, p)
	return p
}

// Healthy gives the reason why the log does not take readings, nil when it does.
func (p *Pipeline) Healthy() error {
	if err := p.failing.Load(); err != nil {
		return *err
	}
	return nil
}

// Open tells how much the group that gathers holds, of how many readings it may.
func (p *Pipeline) Open() (readings, capacity, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open.readings, p.o.MaxGroupReadings, p.open.bytes
}

// Run appends groups until ctx ends. What had been handed over but was not
// durable by then is not acknowledged.
func (p *Pipeline) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	defer p.close()
	var began time.Time
	crowd := 0
	for {
		if crowd >= crowded {
			p.gather(p.o.Gather - time.Since(began))
		}
		g := p.take()
		if g == nil {
			return nil
		}
		began, crowd = time.Now(), len(g.slabs)
		pos, ok := p.commit(ctx, g)
		if !ok {
			return nil
		}
		for _, w := range g.waiters {
			w.w.Durable(w.n, pos)
		}
		p.recycle(g)
	}
}

// crowded is how many hand-overs in one group mean that many sources publish
// at once, so that gathering for a moment longer saves appends.
const crowded = 4

// gather lets the open group grow for d, or until a source waits for it.
func (p *Pipeline) gather(d time.Duration) {
	if d <= 0 {
		return
	}
	select { // a hurry from before counts no more
	case <-p.hurry:
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.hurry:
	case <-p.stop:
	}
}

func (p *Pipeline) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	p.mu.Unlock()
	p.work.Broadcast()
}

// take waits for a group with something in it; nil when the pipeline closed.
func (p *Pipeline) take() *gathering {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.open.empty() && !p.closed {
		p.work.Wait()
	}
	if p.closed {
		return nil
	}
	g := p.open
	p.open, p.spare = p.spare, nil
	for len(p.queue) > 0 && !p.full(p.queue[0].s) {
		h := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.admit(h.s, h.w, h.n)
		close(h.admitted)
	}
	if len(p.queue) == 0 {
		p.queue = nil
	}
	return g
}

// commit makes g durable, however often that takes; false when ctx ended first.
func (p *Pipeline) commit(ctx context.Context, g *gathering) (twin.Position, bool) {
	p.build(g)
	wait := p.o.RetryMin
	for {
		start := p.o.Clock()
		pos, err := p.o.Log.Append(ctx, g.batches, g.refused)
		if err == nil {
			p.m.groupSeconds.Observe(p.o.Clock().Sub(start).Seconds())
			p.m.groups.Add(1)
			p.m.stored.Add(uint64(g.readings))
			p.m.countRejects(g.refused)
			if p.failing.Swap(nil) != nil {
				p.o.Logger.Info("the log takes readings again")
			}
			return pos, true
		}
		if ctx.Err() != nil {
			return twin.Position{}, false
		}
		if p.failing.Swap(&err) == nil {
			p.o.Logger.Error("the log does not take readings; acknowledgements are withheld until it does", "error", err)
		}
		p.m.retries.Add(1)
		select {
		case <-ctx.Done():
			return twin.Position{}, false
		case <-time.After(wait):
		}
		wait = min(2*wait, p.o.RetryMax)
	}
}

// build sorts the rows of all slabs into the group's batches.
func (p *Pipeline) build(g *gathering) {
	p.shardMu.RLock()
	for len(g.batches) < len(p.shards) {
		s := p.shards[len(g.batches)]
		b := &block.Batch{}
		b.Reset(s.district, s.domain)
		g.batches = append(g.batches, b)
	}
	p.shardMu.RUnlock()
	for _, s := range g.slabs {
		for i := range s.rows {
			r := &s.rows[i]
			b := g.batches[r.shard]
			if r.isText {
				b.AppendTextBytes(r.datastream, r.phenomenonNs, r.resultNs, s.texts[r.textOff:r.textOff+r.textLen], r.quality)
			} else {
				b.AppendNumber(r.datastream, r.phenomenonNs, r.resultNs, r.value, r.quality)
			}
		}
		g.refused = append(g.refused, s.rejects...)
	}
}

// recycle empties g for the next use but one.
func (p *Pipeline) recycle(g *gathering) {
	for i, s := range g.slabs {
		s.reset()
		p.slabs.Put(s)
		g.slabs[i] = nil
	}
	g.slabs = g.slabs[:0]
	clear(g.waiters)
	g.waiters = g.waiters[:0]
	g.readings, g.rejects, g.bytes = 0, 0, 0
	for _, b := range g.batches {
		b.Reset(b.District, b.Domain)
	}
	clear(g.refused)
	g.refused = g.refused[:0]
	p.mu.Lock()
	p.spare = g
	// The committer takes the open group only when it is back here, so the
	// spare is always there by then.
	p.mu.Unlock()
}

// handOver is a call of hand that waits for room. There is one for a session
// at most, so the sources bound the queue.
type handOver struct {
	s        *slab
	w        Waiter
	n        int
	admitted chan struct{} // closed once it is in the open group
}

// hand adds s, and a waiter for n messages, to the open group and waits while
// that is full. The slab is the pipeline's afterwards, unless it failed.
func (p *Pipeline) hand(ctx context.Context, s *slab, w Waiter, n int) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	if len(p.queue) == 0 && !p.full(s) {
		p.admit(s, w, n)
		p.mu.Unlock()
		return nil
	}
	h := &handOver{s: s, w: w, n: n, admitted: make(chan struct{})}
	p.queue = append(p.queue, h)
	p.mu.Unlock()
	p.m.withheld.Add(1)
	select {
	case p.hurry <- struct{}{}:
	default:
	}
	err := error(ErrClosed)
	select {
	case <-h.admitted:
		return nil
	case <-p.stop:
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, h); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		return err
	}
	return nil // it was admitted meanwhile
}

// admit adds a hand-over to the open group; p.mu is held.
func (p *Pipeline) admit(s *slab, w Waiter, n int) {
	g := p.open
	wake := g.empty()
	if len(s.rows) > 0 || len(s.rejects) > 0 {
		g.slabs = append(g.slabs, s)
		g.readings += len(s.rows)
		g.rejects += len(s.rejects)
		g.bytes += s.bytes
	} else {
		p.slabs.Put(s)
	}
	if n > 0 {
		g.waiters = append(g.waiters, waiter{w, n})
	}
	if wake {
		p.work.Signal()
	}
}

// full reports whether s has to wait for the next group. An empty group takes
// anything: a session bounds what it hands over at once.
func (p *Pipeline) full(s *slab) bool {
	g := p.open
	return !g.empty() &&
		(g.readings+len(s.rows) > p.o.MaxGroupReadings ||
			g.rejects+len(s.rejects) > p.o.MaxGroupReadings ||
			g.bytes+s.bytes > p.o.MaxGroupBytes)
}

// shard gives the index of the batch for a district and domain.
func (p *Pipeline) shard(district string, domain twin.Domain) (uint16, error) {
	k := shard{district, domain}
	p.shardMu.RLock()
	i, ok := p.shardOf[k]
	p.shardMu.RUnlock()
	if ok {
		return uint16(i), nil
	}
	p.shardMu.Lock()
	defer p.shardMu.Unlock()
	if i, ok := p.shardOf[k]; ok {
		return uint16(i), nil
	}
	if len(p.shards) > maxShards {
		return 0, errors.New("more districts and domains than a city has")
	}
	p.shards = append(p.shards, k)
	p.shardOf[k] = len(p.shards) - 1
	return uint16(len(p.shards) - 1), nil
}

// maxShards bounds the batches of a group: 5 domains of some 800 districts.
const maxShards = 4096
