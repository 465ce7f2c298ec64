package streams

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
)

// resumed are the deltas that brought a client of a view from a position to the
// present, and those since: those who come back from the same place share them.
type resumed struct {
	after  uint64
	frames []*Frame
	bytes  int
	most   int // bytes
	full   bool
}

func (r *resumed) add(f *Frame) {
	if r == nil || r.full {
		return
	}
	r.frames = append(r.frames, f)
	if r.bytes += len(f.JSON); r.bytes > r.most {
		r.full, r.frames = true, nil
	}
}

// changes are the Datastreams that Invalidate has found changed, with the
// position of the hub: who comes back from before is told of them.
type changes struct {
	list      []change
	forgotten uint64 // offset up to which the list may lack some
	known     bool   // forgotten has a meaning
}

type change struct {
	offset uint64
	id     twin.DatastreamID
}

const maxChanges = 4096

func (c *changes) note(pos twin.Position, ids map[twin.DatastreamID]bool) {
	if len(ids) > maxChanges {
		c.all(pos)
		return
	}
	for id := range ids {
		c.list = append(c.list, change{pos.Offset, id})
	}
	if over := len(c.list) - maxChanges; over > 0 {
		c.forgotten, c.known = c.list[over-1].offset, true
		c.list = slices.Delete(c.list, 0, over)
	}
}

func (c *changes) all(pos twin.Position) {
	c.list = c.list[:0]
	c.forgotten, c.known = pos.Offset, true
}

// since lists what changed at or after an offset; false when that is not known.
func (c *changes) since(offset uint64) ([]twin.DatastreamID, bool) {
	if c.known && offset <= c.forgotten {
		return nil, false
	}
	var ids []twin.DatastreamID
	for _, ch := range c.list {
		if ch.offset >= offset {
			ids = append(ids, ch.id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), true
}

// Reasons for which a subscription is not resumed.
const (
	reasonEpoch   = "the log has been made anew since"
	reasonOld     = "the log no longer reaches back to that position"
	reasonBehind  = "this node does not have that position yet"
	reasonHeld    = "this connection has an equal subscription already"
	reasonChanged = "what belongs to the view may have changed since"
	reasonBusy    = "too many clients are being brought up to date from the log"
)

// resume begins r after its position, or else with a snapshot and the reason.
// Under Hub.mu, which it lets go of while it waits.
func (c *Client) resume(ctx context.Context, v *view, r *request) error {
	h := c.hub
	after := *r.After
	refuse := func(reason string) error {
		h.m.resumes.WithLabelValues("refused").Inc()
		return c.startWithSnapshot(v, r, reason)
	}
	if slices.ContainsFunc(c.holds, func(hd *hold) bool { return hd.view == v }) {
		return refuse(reasonHeld)
	}
	if _, ok := h.changes.since(after.Offset); !ok {
		return refuse(reasonChanged)
	}
	if h.recent.next == 0 { // nothing has come since the start
		h.recent.first, h.recent.next = 1, 1
		h.recent.reset(h.pos)
	}
	if _, how := h.recent.find(after); how == reachable && v.resumed != nil && !v.resumed.full && v.resumed.after == after.Offset && v.interval == 0 {
		// As others before it: the deltas are made already.
		h.m.resumes.WithLabelValues("memory").Inc()
		hd, _ := v.take(c)
		c.enter(r, hd)
		c.acknowledge(r, v, after)
		for _, f := range v.resumed.frames {
			c.push(f)
		}
		return nil
	}
	v.arriving = append(v.arriving, c)
	a := &arrival{c: c, v: v, r: r, done: after}
	c.coming = a
	reason, err := a.run(ctx)
	c.coming = nil
	// The lock is held again; the view is kept by arriving.
	if i := slices.Index(v.arriving, c); i >= 0 {
		v.arriving = slices.Delete(v.arriving, i, i+1)
	}
	defer func() {
		if len(v.holds)+len(v.arriving) == 0 && v.at < len(h.all) && h.all[v.at] == v {
			h.closeView(v)
		}
	}()
	if err != nil {
		return err
	}
	if reason != "" {
		return refuse(reason)
	}
	return nil
}

func (c *Client) acknowledge(r *request, v *view, pos twin.Position) {
	if r.Ack != nil {
		c.Send(r.Ack(Accepted{View: v.id, Position: pos, Resumed: true}))
	}
}

// arrival brings one client from a position to the present.
type arrival struct {
	c       *Client
	v       *view
	r       *request
	done    twin.Position // what was queued up to
	acked   bool
	fromLog bool
	known   idSet // Datastreams described on the way
	seen    idSet // with a condition on the reading: those that had one
}

// step says how far an arrival is.
type step uint8

const (
	arrived step = iota
	onTheWay
	outOfReach // not in memory
	between    // not in memory, but within a group of it
	early      // the hub is not there yet
)

// run is called and returns under Hub.mu. A reason means that nothing was sent
// and that a snapshot is to be.
func (a *arrival) run(ctx context.Context) (reason string, err error) {
	h := a.c.hub
	var waited time.Duration
	for {
		if err := a.c.Closed(); err != nil {
			return "", &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "the connection is closing", Err: err}
		}
		if a.done.Epoch != h.pos.Epoch && h.pos.Epoch != "" {
			if a.acked {
				return "", a.fail(errors.New(reasonEpoch))
			}
			return reasonEpoch, nil
		}
		switch a.fromMemory(ctx) {
		case arrived:
			return "", nil
		case onTheWay:
			h.mu.Unlock()
			err := a.c.waitForRoom(ctx, h.o.ResumeTimeout)
			h.mu.Lock()
			if err != nil {
				return "", a.fail(err)
			}
		case early:
			// A node that has just started or lags comes there soon.
			if waited >= h.o.ResumeTimeout {
				return reasonBehind, nil
			}
			began := time.Now()
			h.waitForGroup(ctx, h.o.ResumeTimeout-waited)
			waited += max(time.Since(began), time.Millisecond)
			if ctx.Err() != nil {
				return "", a.fail(ctx.Err())
			}
		case outOfReach, between:
			if h.o.Resume == nil || a.v.interval > 0 {
				if a.acked {
					return "", a.fail(errors.New(reasonOld))
				}
				return reasonOld, nil
			}
			h.mu.Unlock()
			err := a.tail(ctx)
			h.mu.Lock()
			switch {
			case err == nil:
			case errors.Is(err, errBusy) && !a.acked:
				return reasonBusy, nil
			case twin.ErrorCode(err) == twin.CodeConflict && !a.acked:
				return reasonOld, nil
			default:
				return "", a.fail(err)
			}
		}
	}
}

// fail ends a client who was told that it resumes and cannot go on: it knows its
// position and may try again.
func (a *arrival) fail(err error) error {
	if a.acked {
		a.c.Close(CloseSlow, slowReason)
	}
	return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "the subscription could not be resumed", Hint: "try again", Err: err}
}

// waitForGroup lets go of the lock until the next group has been applied.
func (h *Hub) waitForGroup(ctx context.Context, d time.Duration) {
	if h.advanced == nil {
		h.advanced = make(chan struct{})
	}
	next := h.advanced
	h.mu.Unlock()
	defer h.mu.Lock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-next:
	case <-t.C:
	case <-ctx.Done():
	}
}

// fromMemory queues what is kept after a.done; arrived when that was all, and the
// client has its place in the view.
func (a *arrival) fromMemory(ctx context.Context) step {
	h, v := a.c.hub, a.v
	start, how := h.recent.find(a.done)
	switch {
	case h.pos.Epoch == "": // nothing has come yet
		return early
	case how == tooOld:
		return outOfReach
	case how == amid:
		return between
	case how == ahead:
		return early
	}
	a.accept()
	if v.interval > 0 {
		a.latest(ctx, start)
		return arrived
	}
	whole := a.done == *a.r.After // nothing was queued before
	frames, pos, rest := a.encode(ctx, start, h.o.QueueBytes/4)
	for _, f := range frames {
		a.c.push(f)
	}
	a.done = pos
	if rest {
		return onTheWay
	}
	if f := a.corrections(ctx); f != nil {
		frames = append(frames, f)
		a.c.push(f)
	}
	if whole && v.m.live == nil {
		v.resumed = &resumed{after: a.r.After.Offset, most: h.o.QueueBytes / 4}
		for _, f := range frames {
			v.resumed.add(f)
		}
	}
	a.enter()
	return arrived
}

func (a *arrival) enter() *hold {
	hd, _ := a.v.take(a.c)
	a.c.enter(a.r, hd)
	from := "memory"
	if a.fromLog {
		from = "log"
	}
	a.c.hub.m.resumes.WithLabelValues(from).Inc()
	return hd
}

func (a *arrival) accept() {
	if !a.acked {
		a.acked = true
		a.c.acknowledge(a.r, a.v, a.done)
	}
}

// latest brings a client in mode latest up to date: one delta.
func (a *arrival) latest(ctx context.Context, start uint64) {
	h, v := a.c.hub, a.v
	ids := []twin.DatastreamID{}
	numbers, _ := h.recent.of(&h.slots, &v.members, start, math.MaxInt)
	for _, n := range numbers {
		ids = append(ids, h.recent.row(n).o.Datastream)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	hd := a.enter()
	for _, f := range []*Frame{h.changedSince(ctx, v, ids), a.corrections(ctx)} {
		if f != nil {
			a.c.push(f)
		}
	}
	hd.sent = h.pos.Offset
	v.c.captured = true
	h.scheduleIfPending(v)
}

// corrections tells of the Datastreams that have changed since the client left:
// their descriptions, and those that are not in the view any more.
func (a *arrival) corrections(ctx context.Context) *Frame {
	h, v := a.c.hub, a.v
	ids, _ := h.changes.since(a.r.After.Offset)
	var described, left []twin.DatastreamID
	for _, id := range ids {
		if v.members.has(id) {
			described = append(described, id)
		} else {
			left = append(left, id)
		}
	}
	if v.m.live != nil && v.c == nil {
		a.seen.each(func(id twin.DatastreamID) bool {
			if !v.showing.has(id) {
				left = append(left, id)
			}
			return true
		})
		slices.Sort(left)
		left = slices.Compact(left)
	}
	if len(described)+len(left) == 0 {
		return nil
	}
	return &Frame{Kind: FrameDelta, JSON: h.encodeDelta(ctx, v, nil, described, left), Position: h.pos, view: v}
}

// encode makes deltas of the readings kept from number start on, cut at the ends
// of records, up to about maxBytes; pos is the position of the last, and rest
// tells that there are more.
func (a *arrival) encode(ctx context.Context, start uint64, maxBytes int) (frames []*Frame, pos twin.Position, rest bool) {
	h, v := a.c.hub, a.v
	r := &h.recent
	numbers, end := r.of(&h.slots, &v.members, start, max(1, maxBytes/minRowBytes))
	size := 0
	d := &batchDelta{a: a}
	for i := 0; i < len(numbers); {
		m := r.marks[r.markOf(numbers[i])]
		for ; i < len(numbers) && numbers[i] < m.end; i++ {
			d.add(&r.row(numbers[i]).o)
		}
		pos = twin.Position{Epoch: r.epoch, Offset: m.offset}
		if size+len(d.buf) > maxBytes || len(d.buf) > resumeFrameBytes {
			if f := d.finish(ctx, pos); f != nil {
				size += len(f.JSON)
				frames = append(frames, f)
			}
			if size > maxBytes && i < len(numbers) {
				return frames, pos, true
			}
		}
	}
	pos = h.pos
	if rest = end < r.next; rest {
		pos = twin.Position{Epoch: r.epoch, Offset: r.marks[r.markOf(end-1)].offset}
	}
	if f := d.finish(ctx, pos); f != nil {
		frames = append(frames, f)
	}
	return frames, pos, rest
}

// minRowBytes is what an encoded reading takes at least.
const minRowBytes = 16

const resumeFrameBytes = 32 << 10

// batchDelta gathers readings of an arrival into one delta. The position is
// known when it ends only, so the rows are kept apart.
type batchDelta struct {
	a        *arrival
	buf      []byte
	announce []twin.DatastreamID
}

func (d *batchDelta) add(o *twin.Observation) {
	h, v := d.a.c.hub, d.a.v
	id := o.Datastream
	s := h.slots.get(id)
	if s == nil || s.ds == nil || !v.members.has(id) {
		return
	}
	if v.m.live != nil {
		d.a.seen.add(id)
		if !v.wants(h, s, o) {
			return
		}
	}
	if d.a.known.add(id) {
		d.announce = append(d.announce, id) // the client may never have heard of it
	}
	if len(d.buf) > 0 {
		d.buf = append(d.buf, ',')
	}
	d.buf = appendObservation(d.buf, o, s.truth)
}

func (d *batchDelta) finish(ctx context.Context, pos twin.Position) *Frame {
	if len(d.buf) == 0 {
		return nil
	}
	h, v := d.a.c.hub, d.a.v
	head := beginDelta(make([]byte, 0, 128+len(d.buf)), v.id, appendPosition(nil, pos))
	json := h.encodeDelta(ctx, v, append(head, d.buf...), d.announce, nil)
	d.buf, d.announce = d.buf[:0], nil
	return &Frame{Kind: FrameDelta, JSON: json, Position: pos, view: v}
}

var (
	errBusy  = errors.New(reasonBusy)
	errJoins = errors.New("the rest is in memory")
	errAlign = errors.New("record by record from here")
)

// tail reads the log from a.done on until memory reaches. nil: go on from there.
func (a *arrival) tail(ctx context.Context) error {
	h := a.c.hub
	wait := time.NewTimer(h.o.ResumeTimeout)
	defer wait.Stop()
	select {
	case h.replays <- struct{}{}:
		defer func() { <-h.replays }()
	case <-wait.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
	rows := h.o.GroupRows
	for {
		err := h.o.Resume.Tail(ctx, a.done, rows, func(ctx context.Context, batches []*block.Batch, pos twin.Position) error {
			return a.group(ctx, batches, pos, rows > 1)
		})
		switch {
		case errors.Is(err, errJoins):
			return nil
		case errors.Is(err, errAlign):
			rows = 1
		default:
			return err
		}
	}
}

// group sends one group of the log, unless memory reaches now.
func (a *arrival) group(ctx context.Context, batches []*block.Batch, pos twin.Position, many bool) error {
	h := a.c.hub
	h.mu.Lock()
	for pos.Epoch == h.pos.Epoch && pos.Offset > h.pos.Offset {
		h.waitForGroup(ctx, h.o.ResumeTimeout)
		if ctx.Err() != nil || a.c.Closed() != nil {
			break
		}
	}
	err := a.c.Closed()
	_, how := h.recent.find(a.done)
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err != nil:
	case how == reachable:
		err = errJoins
	case how == amid && many:
		err = errAlign
	}
	if err != nil {
		h.mu.Unlock()
		return err
	}
	a.accept()
	a.fromLog = true
	d := &batchDelta{a: a}
	for _, b := range batches {
		for i, id := range b.Datastreams {
			if a.v.members.has(id) {
				o := b.Row(i)
				d.add(&o)
			}
		}
	}
	f := d.finish(ctx, pos)
	a.done = pos
	if f != nil {
		a.c.push(f)
	}
	h.mu.Unlock()
	if f == nil {
		return nil
	}
	return a.c.waitForRoom(ctx, h.o.ResumeTimeout)
}

// waitForRoom waits until the client has taken the half of what its queue holds.
func (c *Client) waitForRoom(ctx context.Context, atMost time.Duration) error {
	t := time.NewTimer(atMost)
	defer t.Stop()
	for {
		c.mu.Lock()
		if c.closed != nil {
			err := c.closed
			c.mu.Unlock()
			return err
		}
		if c.bytes <= c.hub.o.QueueBytes/2 && len(c.queue) <= c.hub.o.QueueMessages/2 {
			c.mu.Unlock()
			return nil
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-t.C:
			return &twin.Error{Code: twin.CodeUnavailable, Op: "resume", Message: slowReason}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
