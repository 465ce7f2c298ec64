package streams

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"cityhub/twin"
)

// Mode says how much of what happens a subscription is told.
type Mode uint8

// The modes.
const (
	// ModeEvery gives each reading, in the order of the log, no gap and no repeat;
	// a client who cannot follow is closed with CloseSlow and may resume.
	ModeEvery Mode = iota
	// ModeLatest gives at most one delta per interval, with the latest reading of
	// each Datastream that has a new one; a client who cannot follow gets fewer.
	ModeLatest
)

// Intervals of ModeLatest.
const (
	MinInterval     = 50 * time.Millisecond
	MaxInterval     = time.Minute
	DefaultInterval = 200 * time.Millisecond
)

// ParseMode reads the name of a mode; an empty one is every.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "", "every":
		return ModeEvery, nil
	case "latest":
		return ModeLatest, nil
	}
	return 0, badSubscription("mode", fmt.Sprintf("%q is no mode", s), "the modes are every and latest")
}

// Subscription is what a client asks for.
type Subscription struct {
	ID       string // of 1 to 64 characters, unique among the client's; a known one is replaced
	Filter   Filter
	Mode     Mode
	Interval time.Duration  // of ModeLatest, rounded up to ms; zero means DefaultInterval
	After    *twin.Position // resume after this position; nil: begin with a snapshot
	Events   []EventKind
	// Ack, if not nil, gives the message to send before the snapshot or the first
	// delta. It is called under the hub's lock and must not call the Hub.
	Ack func(Accepted) []byte
}

// Accepted says what became of a Subscription.
type Accepted struct {
	View string // as snapshot and delta name it
	// Position is the one after which deltas come: that of After with Resumed, else
	// that of the snapshot, which follows.
	Position twin.Position
	Resumed  bool
	Reason   string // why it could not be resumed, though After was given
}

func badSubscription(field, msg, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: field, Message: msg, Hint: hint}
}

// request is a checked Subscription.
type request struct {
	Subscription
	m        *matcher
	interval time.Duration
	events   eventSet
}

func (h *Hub) check(s Subscription) (*request, error) {
	if n := utf8.RuneCountInString(s.ID); n < 1 || n > 64 {
		return nil, badSubscription("id", fmt.Sprintf("%d characters, expected 1 to 64", n), "choose an id that is unique on this connection, e.g. s1")
	}
	r := &request{Subscription: s}
	switch s.Mode {
	case ModeEvery:
		if s.Interval != 0 {
			return nil, badSubscription("minIntervalMs", "every reading is sent in this mode", `ask for "mode":"latest"`)
		}
	case ModeLatest:
		r.interval = s.Interval
		if r.interval == 0 {
			r.interval = DefaultInterval
		}
		if r.interval < MinInterval || r.interval > MaxInterval {
			return nil, badSubscription("minIntervalMs", fmt.Sprintf("%d ms, expected %d to %d", s.Interval.Milliseconds(), MinInterval.Milliseconds(), MaxInterval.Milliseconds()), "")
		}
		r.interval = (r.interval + time.Millisecond - 1).Truncate(time.Millisecond)
	default:
		return nil, badSubscription("mode", fmt.Sprintf("%d is no mode", s.Mode), "the modes are every and latest")
	}
	var err error
	if r.events, err = setOf(s.Events); err != nil {
		return nil, err
	}
	if err = s.Filter.Validate(); err != nil {
		return nil, err
	}
	r.m, err = h.matchers.of(s.Filter)
	return r, err
}

// Subscribe adds a subscription, or replaces the one with the same id: Ack, then
// a snapshot, or with After what was missed, and then every delta after it. It
// waits until the hub is ready and, when a resumption reads the log, until the
// client has taken what it missed: whoever calls Next must not wait for it.
//
// CodeTooMany says that the client has as many subscriptions as it may.
func (c *Client) Subscribe(ctx context.Context, s Subscription) error {
	h := c.hub
	r, err := h.check(s)
	if err != nil {
		return err
	}
	select {
	case <-h.ready:
	case <-ctx.Done():
		return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "the stream is not ready yet", Hint: "try again in a few seconds", Err: ctx.Err()}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	access, err := c.begin(ctx)
	if err != nil {
		return err
	}
	if c.find(s.ID) < 0 {
		if err := h.mayAdd(c); err != nil {
			return err
		}
	}
	v, err := h.openView(access, r.m, r.interval)
	if err != nil {
		return err
	}
	if s.After != nil {
		return c.resume(ctx, v, r)
	}
	return c.startWithSnapshot(v, r, "")
}

// begin prepares a change of subscriptions. Under Hub.mu.
func (c *Client) begin(ctx context.Context) (View, error) {
	h := c.hub
	h.revalidateIfAsked(ctx)
	if err := c.Closed(); err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "the connection is closing", Err: err}
	}
	// One client may not use up what all snapshots together may pin.
	if c.pinned() > h.o.MaxSnapshotRows/4 {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "large snapshots are still on their way to this connection", Hint: "wait for their last part before the next subscription"}
	}
	access, err := c.see(ctx)
	if err != nil {
		c.Close(CloseAccess, accessReason)
		return nil, err
	}
	h.setAccess(c, access)
	return access, nil
}

func (c *Client) find(id string) int {
	return slices.IndexFunc(c.subs, func(s subscription) bool { return s.id == id })
}

// startWithSnapshot begins r with a snapshot; reason says why it was not resumed.
func (c *Client) startWithSnapshot(v *view, r *request, reason string) error {
	h := c.hub
	hd, fresh := v.take(c)
	cp, since, err := h.snapshotFor(v, fresh)
	if err != nil {
		h.drop(hd, false)
		return err
	}
	c.enter(r, hd)
	if r.Ack != nil {
		c.Send(r.Ack(Accepted{View: v.id, Position: cp.pos, Reason: reason}))
	}
	c.pushRun(v, cp)
	cp.release()
	for _, f := range since {
		c.push(f)
	}
	if fresh && v.c != nil {
		hd.sent = max(cp.pos.Offset, v.c.offset)
		h.scheduleIfPending(v)
	}
	return nil
}

// enter notes the subscription, in place of the one with the same id.
func (c *Client) enter(r *request, hd *hold) {
	h := c.hub
	if i := c.find(r.ID); i >= 0 {
		old := c.subs[i].hold
		c.subs[i].hold, c.subs[i].events = hd, r.events
		h.drop(old, false)
	} else {
		c.subs = append(c.subs, subscription{r.ID, hd, r.events})
		h.counted(c, 1)
	}
	c.gatherEvents()
}

// scheduleIfPending lets a view whose last client had left go on.
func (h *Hub) scheduleIfPending(v *view) {
	if v.c.behind > 0 || len(v.c.pending) > 0 {
		h.schedule(v)
	}
}

// Update gives a subscription another filter, in place: the client gets a message
// of type changed with what is new in its view and what left it, and then the
// deltas of the new view. Mode, interval and events stay. CodeNotFound: there is
// no subscription with that id.
func (c *Client) Update(ctx context.Context, id string, f Filter) error {
	h := c.hub
	if err := f.Validate(); err != nil {
		return err
	}
	m, err := h.matchers.of(f)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i := c.find(id)
	if i < 0 {
		return &twin.Error{Code: twin.CodeNotFound, Op: "update", Field: "id", Message: "no subscription has this id on this connection"}
	}
	access, err := c.begin(ctx)
	if err != nil {
		return err
	}
	if i = c.find(id); i < 0 {
		return &twin.Error{Code: twin.CodeUnavailable, Op: "update", Message: "the connection is closing"}
	}
	old := c.subs[i].hold
	v, err := h.openView(access, m, old.view.interval)
	if err != nil {
		return err
	}
	// A snapshot that has not been begun need not be sent: all is new then.
	from := old.view
	if old.subs == 1 && from != v && c.unbegun(from) {
		c.purge(from, false)
		from = nil
	}
	hd, fresh := v.take(c)
	cp, err := h.difference(from, old, v, id)
	if err != nil {
		h.drop(hd, false)
		return err
	}
	c.subs[i].hold = hd
	h.drop(old, true)
	c.pushRun(v, cp)
	cp.release()
	if v.c != nil {
		if fresh {
			hd.sent = h.pos.Offset
		}
		h.scheduleIfPending(v)
	}
	h.m.changed.Inc()
	return nil
}

// unbegun reports whether the first that is queued of v is a snapshot no part of
// which has been sent.
func (c *Client) unbegun(v *view) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, it := range c.queue {
		if it.run != nil && it.run.view == v {
			// The head of the queue may be with the writer right now.
			return i > 0 && it.run.cap.sub == "" && !it.orphan
		}
		if it.frame != nil && it.frame.view == v {
			return false
		}
	}
	return false
}

// difference captures what v shows and from, as the client of old was told of it,
// does not, and the reverse; from may be nil.
func (h *Hub) difference(from *view, old *hold, v *view, sub string) (*capture, error) {
	cp := &capture{hub: h, view: v.id, pos: h.pos, time: h.o.Clock(), sub: sub}
	had := func(id twin.DatastreamID) bool {
		if from == nil || !from.members.has(id) {
			return false
		}
		if from.m.live == nil && from.c == nil {
			return true
		}
		s := h.slots.get(id)
		o, ok := h.o.State.Latest(id)
		if !ok || !from.wants(h, s, &o) {
			return false
		}
		// In mode latest its newest reading may not have been sent.
		return from.c == nil || from.c.changed[id] <= old.sent
	}
	v.members.each(func(id twin.DatastreamID) bool {
		if had(id) {
			return true
		}
		s := h.slots.get(id)
		if o, ok := h.o.State.Latest(id); ok && v.wants(h, s, &o) {
			cp.rows = append(cp.rows, snapRow{s.ds, o})
		}
		return true
	})
	if from != nil && from != v {
		from.members.each(func(id twin.DatastreamID) bool {
			gone := !v.members.has(id)
			if !gone && v.m.live != nil {
				o, ok := h.o.State.Latest(id)
				gone = !ok || !v.wants(h, h.slots.get(id), &o)
			}
			if gone {
				cp.left = append(cp.left, id)
			}
			return true
		})
	}
	if v.c != nil {
		v.c.captured = true
	}
	n := int64(len(cp.rows))
	if h.snapRows.Add(n) > int64(h.o.MaxSnapshotRows) && h.snapRows.Load() != n {
		h.snapRows.Add(-n)
		return nil, errManySnapshots()
	}
	cp.refs.Store(1)
	return cp, nil
}

func errManySnapshots() error {
	return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "too many snapshots are on their way to clients", Hint: "try again in a few seconds, or choose fewer Datastreams"}
}
