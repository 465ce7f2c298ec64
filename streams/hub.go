// Package streams is the live side of the city data hub. The Hub follows the
// log, keeps the latest state up to date and fans every change out to the
// subscriptions of its clients; package ws carries them over WebSocket, package
// sse over server-sent events (envelope: ws/PROTOCOL.md, inner workings:
// DESIGN.md).
//
// Guarantees: a snapshot at position P is followed by exactly the matching
// observations after P, in the order of the log, with no gap and no repeat. A
// client gets nothing that its View does not let it see, and nothing more once
// Invalidate has told of a loss. A client that is too slow is closed, never
// waited for. All methods are safe for concurrent use.
package streams

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
	"cityhub/twin/block"
)

// Options of a Hub. Source, State and Directory are needed.
type Options struct {
	Source    Source
	State     State
	Directory Directory
	// Labels gives names for a Datastream's description, from memory; nil: the
	// description has none.
	Labels func(ctx context.Context, ds *twin.Datastream) (Labels, error)
	// Place knows where Datastreams belong by the city model; nil: filters by
	// object choose nothing, those by district go by the registry.
	Place Places
	// Resume is the log for clients who come back with a position that Recent does
	// not reach. Unlike Source it must fail with CodeConflict when the position is
	// not in the log, never begin elsewhere. nil: they get a snapshot.
	Resume Source

	GroupRows        int           // observations coalesced into one group; zero means 4096
	QueueBytes       int           // bytes queued for one client before it is closed as slow; zero means 1 MiB
	QueueMessages    int           // messages queued for one client; zero means 4096
	MaxClients       int           // zero means 20000
	MaxSubscriptions int           // of one client; zero means 32
	MaxViews         int           // zero means 20000
	MaxMemberships   int           // Datastreams matched, summed over all views, 8 bytes each; zero means 16 million
	MaxSnapshotRows  int           // observations pinned by snapshots on their way, about 64 bytes each; zero means 2 million
	RecentReadings   int           // kept in memory for clients who come back, about 90 bytes each; zero means 512 Ki, -1 none
	RecentAge        time.Duration // how long they are kept; zero means 5 min
	MaxReplays       int           // clients brought up to date from the log at once; more wait up to ResumeTimeout; zero means 4
	ResumeTimeout    time.Duration // for a client to take a part of what it missed, for a place among the replays, and for this node to reach a position that another gave; zero means 10 s
	// Of one identity (ClientOptions.Identity). Zero means half of MaxClients, and
	// eight subscriptions for each of those.
	MaxIdentityClients, MaxIdentitySubscriptions int

	Heartbeat  time.Duration // zero means 10 s
	RenewEvery time.Duration // how often access is asked for again without an Invalidate, for tokens that expire; zero means 1 min

	Clock   func() time.Time      // nil means time.Now
	Logger  *slog.Logger          // nil means none
	Metrics prometheus.Registerer // nil means none
}

// heartbeatShards spreads the clients over the heartbeat interval, so that ten
// thousand heartbeats do not leave at once.
const heartbeatShards = 10

// Hub follows the log and serves clients. See the package comment.
type Hub struct {
	o       Options
	m       *metrics
	ready   chan struct{}
	invalid invalidation

	snapRows atomic.Int64
	matchers matchers
	replays  chan struct{} // a place for each client brought up to date from the log

	mu          sync.Mutex
	indexed     bool
	slots       slotTable
	all         []*view
	views       map[string]*view // by key
	memberships int
	lastView    uint64
	lastClient  int
	nclients    int
	clients     [heartbeatShards][]*Client
	pos         twin.Position
	shutdown    bool
	gone        chan struct{} // closed when shut down and no client is left

	recent     recents
	advanced   chan struct{} // closed with the next group, when somebody waits for it
	changes    changes
	due        dueViews
	dueSooner  chan struct{}
	identities map[string]*identity
	expiring   map[*Client]struct{}
	lastEvent  uint64

	touched []*view // of the group at hand
	encoded []byte  // a reading
	head    []byte
	reading row // what a filter is asked
}

// New makes a Hub; Run brings it to life.
func New(o Options) (*Hub, error) {
	for _, need := range []struct {
		missing bool
		field   string
	}{{o.Source == nil, "Source"}, {o.State == nil, "State"}, {o.Directory == nil, "Directory"}} {
		if need.missing {
			return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new hub", Field: need.field, Message: "is needed"}
		}
	}
	if o.MaxClients == 0 {
		o.MaxClients = 20000
	}
	for _, n := range []struct {
		field *int
		name  string
		zero  int
	}{
		{&o.GroupRows, "GroupRows", 4096}, {&o.QueueBytes, "QueueBytes", 1 << 20}, {&o.QueueMessages, "QueueMessages", 4096},
		{&o.MaxClients, "MaxClients", 0}, {&o.MaxSubscriptions, "MaxSubscriptions", 32}, {&o.MaxViews, "MaxViews", 20000},
		{&o.MaxMemberships, "MaxMemberships", 16 << 20}, {&o.MaxSnapshotRows, "MaxSnapshotRows", 2 << 20}, {&o.MaxReplays, "MaxReplays", 4},
		{&o.MaxIdentityClients, "MaxIdentityClients", max(1, o.MaxClients/2)}, {&o.MaxIdentitySubscriptions, "MaxIdentitySubscriptions", max(1, o.MaxClients/2) * 8},
	} {
		if *n.field < 0 {
			return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new hub", Field: n.name, Message: fmt.Sprintf("%d is negative", *n.field), Hint: "zero means the default"}
		}
		if *n.field == 0 {
			*n.field = n.zero
		}
	}
	if o.Heartbeat < 0 || o.RenewEvery < 0 || o.RecentAge < 0 || o.ResumeTimeout < 0 {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new hub", Field: "Heartbeat, RenewEvery, RecentAge, ResumeTimeout", Message: "a negative duration", Hint: "zero means the default"}
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 10 * time.Second
	}
	if o.RenewEvery == 0 {
		o.RenewEvery = time.Minute
	}
	if o.RecentAge == 0 {
		o.RecentAge = 5 * time.Minute
	}
	if o.ResumeTimeout == 0 {
		o.ResumeTimeout = 10 * time.Second
	}
	if o.RecentReadings == 0 {
		o.RecentReadings = 512 << 10
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeConflict, Op: "new hub", Field: "Metrics", Message: "cannot register the metrics", Err: err}
	}
	return &Hub{
		o: o, m: m,
		ready:   make(chan struct{}),
		gone:    make(chan struct{}),
		views:   make(map[string]*view),
		invalid: invalidation{wake: make(chan struct{}, 1)},
		pos:     o.State.Position(),

		replays: make(chan struct{}, o.MaxReplays), dueSooner: make(chan struct{}, 1),
		recent:     recents{maxRows: max(0, o.RecentReadings), maxAge: o.RecentAge},
		identities: make(map[string]*identity), expiring: make(map[*Client]struct{}),
	}, nil
}

// Heartbeat is the interval of heartbeats; MaxSubscriptions the limit of one client.
func (h *Hub) Heartbeat() time.Duration { return h.o.Heartbeat }

// MaxSubscriptions is how many subscriptions one client may have.
func (h *Hub) MaxSubscriptions() int { return h.o.MaxSubscriptions }

// QueueBytes is how much may be queued for one client.
func (h *Hub) QueueBytes() int { return h.o.QueueBytes }

// Clients is the number of connected clients.
func (h *Hub) Clients() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nclients
}

// Ready is closed once Run serves subscriptions.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Position is that of the last group applied.
func (h *Hub) Position() twin.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pos
}

// Run follows the log from the state's position until ctx ends, which is no
// error, or the source or the directory fails. Clients stay connected after an
// error and Run may be called again; Shutdown ends them. One Run at a time.
func (h *Hub) Run(ctx context.Context) error {
	if err := h.index(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { h.keepHouse(ctx) })
	wg.Go(func() { h.conflate(ctx) })
	err := h.o.Source.Tail(ctx, h.Position(), h.o.GroupRows, h.apply)
	stopped := ctx.Err() != nil
	cancel()
	wg.Wait()
	if stopped {
		return nil
	}
	return err
}

// index makes a slot for every Datastream of the state. It lets go of the lock
// now and then so that clients can connect meanwhile.
func (h *Hub) index(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.indexed {
		return nil
	}
	var err error
	n := 0
	h.o.State.Each(func(o twin.Observation) bool {
		if n++; n%4096 == 0 {
			h.mu.Unlock()
			h.mu.Lock()
			if err = ctx.Err(); err != nil {
				return false
			}
		}
		err = h.admit(ctx, o.Datastream)
		return err == nil
	})
	if err != nil {
		return err
	}
	h.indexed = true
	h.pos = h.o.State.Position()
	close(h.ready)
	return nil
}

// admit gives a Datastream its slot and puts it into the views it belongs to.
func (h *Hub) admit(ctx context.Context, id twin.DatastreamID) error {
	if id <= 0 || id > maxSlotID || h.slots.get(id) != nil {
		return nil
	}
	ds, err := h.o.Directory.Datastream(ctx, id)
	if err != nil {
		if twin.ErrorCode(err) != twin.CodeNotFound {
			return err
		}
		// Remembered, so that its next reading asks nobody; Invalidate asks again.
		ds = nil
	}
	s := h.slots.put(id, ds, h.placeOf(id))
	if ds == nil {
		return nil
	}
	for _, v := range h.all {
		if v.matches(h, id, s) {
			h.join(v, id, s)
			if v.m.live == nil {
				v.announce = append(v.announce, id)
			}
		}
	}
	return nil
}

// apply takes one group: state first, then every client. What cannot be looked
// up fails before the state moves, so that the group comes again.
func (h *Hub) apply(ctx context.Context, batches []*block.Batch, pos twin.Position) error {
	start := h.o.Clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revalidateIfAsked(ctx)
	rows := 0
	for _, b := range batches {
		rows += b.Len()
		for _, id := range b.Datastreams {
			if h.slots.get(id) == nil {
				if err := h.admit(ctx, id); err != nil {
					return err
				}
			}
		}
	}
	h.o.State.Apply(batches, pos)
	h.recent.add(&h.slots, batches, h.pos, pos, time.Now())
	h.m.recent.Set(float64(h.recent.next - h.recent.first))
	h.pos = pos
	if h.advanced != nil {
		close(h.advanced)
		h.advanced = nil
	}
	h.match(batches)
	for i, v := range h.touched {
		if json := h.finishDelta(ctx, v); json != nil {
			h.emit(v, json)
		}
		h.touched[i] = nil
	}
	h.touched = h.touched[:0]
	h.m.readings.Add(float64(rows))
	end := h.o.Clock()
	h.m.apply.Observe(end.Sub(start).Seconds())
	if ns, ok := lastResult(batches); ok {
		h.m.lag.Observe(max(0, end.Sub(time.Unix(0, ns)).Seconds()))
	}
	return nil
}

func lastResult(batches []*block.Batch) (int64, bool) {
	for i := len(batches) - 1; i >= 0; i-- {
		if n := batches[i].Len(); n > 0 {
			return batches[i].ResultNs[n-1], true
		}
	}
	return 0, false
}

// match encodes every reading that anyone wants once and adds it to the delta of
// each view that wants it.
func (h *Hub) match(batches []*block.Batch) {
	h.head = appendPosition(h.head[:0], h.pos)
	for _, b := range batches {
		for i, id := range b.Datastreams {
			s := h.slots.get(id)
			if s == nil || s.ds == nil {
				h.m.unknown.Inc()
				continue
			}
			if len(s.views) == 0 {
				continue
			}
			o := b.Row(i)
			h.encoded = h.encoded[:0]
			for _, v := range s.views {
				if v.c != nil {
					h.note(v, id)
					continue
				}
				if v.m.live != nil && !h.meets(v, id, s, &o) {
					continue
				}
				if len(h.encoded) == 0 {
					h.encoded = appendObservation(h.encoded, &o, s.truth)
				}
				if v.rows == 0 {
					h.touch(v)
					v.buf = beginDelta(v.buf[:0], v.id, h.head)
				} else {
					v.buf = append(v.buf, ',')
				}
				v.buf = append(v.buf, h.encoded...)
				v.rows++
			}
		}
	}
}

func (h *Hub) touch(v *view) {
	if !v.touched {
		v.touched = true
		h.touched = append(h.touched, v)
	}
}

// meets reports whether a reading meets the condition of v, and remembers to look
// what that makes of its Datastream.
func (h *Hub) meets(v *view, id twin.DatastreamID, s *slot, o *twin.Observation) bool {
	if n := len(v.dirty); n == 0 || v.dirty[n-1] != id {
		v.dirty = append(v.dirty, id)
	}
	h.touch(v)
	return v.wants(h, s, o)
}

// settle finds what the readings of the group at hand make of v: Datastreams that
// are to be described, and those whose latest reading meets the condition no more.
func (h *Hub) settle(v *view) (left []twin.DatastreamID) {
	slices.Sort(v.dirty)
	for _, id := range slices.Compact(v.dirty) {
		was := v.showing.has(id)
		h.look(v, id, h.slots.get(id))
		is := v.showing.has(id)
		if !was && (is || v.rows > 0) {
			// A late reading may have been sent of one that does not show.
			v.announce = append(v.announce, id)
		}
		if !is && (was || v.rows > 0) {
			left = append(left, id)
		}
	}
	v.dirty = v.dirty[:0]
	return left
}

func beginDelta(dst []byte, view string, position []byte) []byte {
	dst = append(dst, `{"type":"delta","view":"`...)
	dst = append(dst, view...) // v and digits: nothing to escape
	dst = append(dst, `",`...)
	dst = append(dst, position...)
	return append(dst, `,"observations":[`...)
}

// finishDelta completes the delta of v and gives it in memory of its own; nil when
// there is nothing to tell.
func (h *Hub) finishDelta(ctx context.Context, v *view) []byte {
	var left []twin.DatastreamID
	if v.m.live != nil {
		left = h.settle(v)
	}
	v.touched = false
	if v.rows+len(left) == 0 {
		return nil
	}
	buf := v.buf
	if v.rows == 0 {
		buf = nil
	}
	json := h.encodeDelta(ctx, v, buf, v.announce, left)
	v.rows, v.announce = 0, nil
	if cap(v.buf) > keepBuf {
		v.buf = nil
	}
	return json
}

// encodeDelta closes the delta begun in buf, an empty one when nil, describes the
// Datastreams in announce and names those that left.
func (h *Hub) encodeDelta(ctx context.Context, v *view, buf []byte, announce, left []twin.DatastreamID) []byte {
	if buf == nil {
		buf = beginDelta(nil, v.id, appendPosition(nil, h.pos))
	}
	json := make([]byte, 0, len(buf)+2+len(announce)*384+len(left)*8)
	json = append(json, buf...)
	json = append(json, ']')
	for i, id := range announce {
		if i == 0 {
			json = append(json, `,"datastreams":[`...)
		} else {
			json = append(json, ',')
		}
		ds := h.slots.get(id).ds
		json = appendDatastream(json, ds, h.labels(ctx, ds))
	}
	if len(announce) > 0 {
		json = append(json, ']')
	}
	json = appendLeft(json, left)
	return append(json, '}')
}

func appendLeft(dst []byte, left []twin.DatastreamID) []byte {
	for i, id := range left {
		if i == 0 {
			dst = append(dst, `,"left":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(id), 10)
	}
	if len(left) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func (h *Hub) labels(ctx context.Context, ds *twin.Datastream) Labels {
	if h.o.Labels == nil {
		return Labels{}
	}
	l, err := h.o.Labels(ctx, ds)
	if err != nil {
		h.o.Logger.Warn("a Datastream is described without labels", slog.Int64("datastream", int64(ds.ID)), slog.Any("error", err))
	}
	return l
}

// snapshotFor gives a snapshot of v, with a reference for the caller, and the
// deltas that came after it. A client that holds v already gets a new one: it
// has seen those deltas.
func (h *Hub) snapshotFor(v *view, newcomer bool) (*capture, []*Frame, error) {
	if newcomer && v.snap != nil {
		v.snap.refs.Add(1)
		return v.snap, v.since, nil
	}
	cp, err := h.capture(v)
	if err != nil {
		return nil, nil, err
	}
	h.dropSnap(v)
	cp.refs.Add(1)
	v.snap = cp
	return cp, nil, nil
}

func (h *Hub) unsubscribe(c *Client, i int) {
	hd := c.subs[i].hold
	last := len(c.subs) - 1
	c.subs[i] = c.subs[last]
	c.subs[last] = subscription{}
	c.subs = c.subs[:last]
	c.gatherEvents()
	h.drop(hd, false)
	h.counted(c, -1)
}

// keepHouse sends heartbeats, lets shared snapshots go and does what Invalidate
// asks for when no group comes by.
func (h *Hub) keepHouse(ctx context.Context) {
	tick := time.NewTicker(max(h.o.Heartbeat/heartbeatShards, time.Millisecond))
	defer tick.Stop()
	renew := time.NewTicker(h.o.RenewEvery)
	defer renew.Stop()
	expiry := time.NewTicker(expiryEvery)
	defer expiry.Stop()
	for shard := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.heartbeat(shard)
			shard = (shard + 1) % heartbeatShards
		case <-h.invalid.wake:
			h.mu.Lock()
			h.revalidateIfAsked(ctx)
			h.mu.Unlock()
		case now := <-expiry.C:
			h.mu.Lock()
			h.expire(ctx, now)
			h.mu.Unlock()
		case <-renew.C:
			h.mu.Lock()
			for _, v := range h.renewAll(ctx) {
				h.rematch(ctx, v, true, nil)
			}
			h.mu.Unlock()
		}
	}
}

func (h *Hub) heartbeat(shard int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.o.Clock()
	for _, v := range h.all {
		if v.snap != nil && now.Sub(v.snap.time) > maxSnapAge {
			h.dropSnap(v)
		}
	}
	if len(h.clients[shard]) == 0 {
		return
	}
	var shared *Frame // of all who have been served everything
	for _, c := range h.clients[shard] {
		offset := h.served(c)
		f := shared
		if f == nil || f.Position.Offset != offset {
			f = heartbeatAt(twin.Position{Epoch: h.pos.Epoch, Offset: offset}, now)
			if offset == h.pos.Offset {
				shared = f
			}
		}
		c.pushHeartbeat(f)
	}
}

func heartbeatAt(pos twin.Position, now time.Time) *Frame {
	json := append(make([]byte, 0, 128), `{"type":"heartbeat",`...)
	json = appendPosition(json, pos)
	json = append(json, ',')
	json = appendTime(json, now)
	return &Frame{Kind: FrameHeartbeat, JSON: append(json, '}'), Position: pos}
}

// ClientOptions describe a connecting client.
type ClientOptions struct {
	// View gives what the client may see now; an error ends the client. It is
	// called with every subscription and whenever access may have changed, under
	// the hub's lock: it answers from memory and does not call the Hub.
	View func(ctx context.Context) (View, error)
	// Identity is whose the client is, for the limits of one identity: the name of
	// a token, or the remote address of who has none. Empty: no such limit.
	Identity string
	// Hello gives the first message to the client, nil: none.
	Hello func(pos twin.Position) []byte
	// OnClose is called once when the client is closed, possibly under the hub's
	// lock: it must not block or call the Hub. nil: nobody asks.
	OnClose func(*CloseError)
	// OnQueued is called when there is something for Take, or the client was
	// closed, possibly under the hub's lock: it must not block or call the Hub.
	// nil: the transport waits with Next.
	OnQueued func()
}

// Connect takes a client in. CodeTooMany: as many clients as MaxClients are
// connected; CodeUnavailable: the hub is shutting down.
func (h *Hub) Connect(o ClientOptions) (*Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shutdown {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "connect", Message: "the hub is shutting down", Hint: "try again in a few seconds"}
	}
	if h.nclients >= h.o.MaxClients {
		return nil, &twin.Error{Code: twin.CodeTooMany, Op: "connect", Message: fmt.Sprintf("%d stream clients are connected, which is the limit", h.nclients), Hint: "try again later"}
	}
	who, err := h.admitIdentity(o.Identity)
	if err != nil {
		return nil, err
	}
	h.lastClient++
	c := &Client{hub: h, who: who, see: o.View, onClose: o.OnClose, onQueued: o.OnQueued, shard: h.lastClient % heartbeatShards}
	if c.onQueued == nil {
		c.wake = make(chan struct{}, 1)
	}
	c.at = len(h.clients[c.shard])
	h.clients[c.shard] = append(h.clients[c.shard], c)
	h.nclients++
	h.m.clients.Set(float64(h.nclients))
	if o.Hello != nil {
		c.Send(o.Hello(h.pos))
	}
	return c, nil
}

func (h *Hub) forget(c *Client) {
	s := h.clients[c.shard]
	last := len(s) - 1
	if c.at > last || s[c.at] != c {
		return
	}
	s[c.at] = s[last]
	s[c.at].at = c.at
	s[last] = nil
	h.clients[c.shard] = s[:last]
	h.nclients--
	h.forgetIdentity(c)
	delete(h.expiring, c)
	h.m.clients.Set(float64(h.nclients))
	if h.shutdown && h.nclients == 0 {
		close(h.gone)
	}
}

// Shutdown closes every client with CloseShutdown, takes no new one and waits
// until their transports have let go of them or ctx ends.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	if !h.shutdown {
		h.shutdown = true
		if h.nclients == 0 {
			close(h.gone)
		}
		for _, shard := range h.clients {
			for _, c := range shard {
				c.Close(CloseShutdown, "the hub is shutting down")
			}
		}
	}
	h.mu.Unlock()
	select {
	case <-h.gone:
		return nil
	case <-ctx.Done():
		return &twin.Error{Code: twin.CodeUnavailable, Op: "shut down streams", Message: "clients are still connected", Err: ctx.Err()}
	}
}
