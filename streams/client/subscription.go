package client

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cityhub/twin"
)

type state int

const (
	idle   state = iota // the hub does not know it
	asked               // subscribe is on its way
	active              // subscribed
)

// Subscription is one subscription of a Client.
type Subscription struct {
	c      *Client
	closed atomic.Bool

	// Guarded by Client.mu.
	req       Request // its Filter is the one that the hub holds or is asked for
	next      *Filter // is wanted instead, as soon as the hub can be asked
	changing  *Filter // is asked for by an update
	state     state
	replacing bool   // asked for in the place of itself, of a hub without update
	view      string // its name at the hub
	pos       twin.Position
	synced    bool // everything up to pos was received: it may be resumed there
	had       bool // the caller holds something, so that a new start leaves a gap
	parts     bool // within a snapshot or a change
	skip      bool // the snapshot is for another subscription of the same view
	tries     int  // refused as unavailable since it was last taken
}

// ID names the subscription in its events.
func (s *Subscription) ID() string { return s.req.ID }

// Update changes the filter in place, as when a map moves: a Changed event
// brings only the difference. Of updates that come faster than the hub answers
// the last one counts. Of a hub that does not know the message the subscription
// is replaced, and a Snapshot follows.
func (s *Subscription) Update(f Filter) error {
	if err := (&Request{Filter: f}).validate(); err != nil {
		return err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed.Load() || s.c.ctx.Err() != nil {
		return ErrClosed
	}
	s.next = &f
	s.advance()
	return nil
}

// Close ends the subscription: Next gives no more of its events.
func (s *Subscription) Close() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed.Swap(true) {
		return
	}
	s.c.subs = slices.DeleteFunc(s.c.subs, func(o *Subscription) bool { return o == s })
	if s.c.link != nil && s.state != idle {
		s.c.link.send(map[string]any{"type": "unsubscribe", "id": s.req.ID})
	}
}

// ask is the message that subscribes; the state follows.
func (s *Subscription) ask() map[string]any {
	s.state = asked
	if !s.synced {
		if s.next != nil { // nothing to lose: begin with what is wanted now
			s.req.Filter, s.next = *s.next, nil
		}
		return s.req.message(twin.Position{})
	}
	return s.req.message(s.pos)
}

// advance asks for the filter that is wanted, if now is the time: when what
// came before is complete.
func (s *Subscription) advance() {
	l := s.c.link
	if l == nil || s.next == nil || s.state != active || !s.synced || s.changing != nil {
		return
	}
	f := s.next
	s.next = nil
	if l.updates() {
		s.changing = f
		l.send(map[string]any{"type": "update", "id": s.req.ID, "filter": *f})
		return
	}
	s.changing, s.replacing, s.state = f, true, asked
	r := s.req
	r.Filter = *f
	l.send(r.message(twin.Position{}))
}

// detach forgets what belonged to a connection.
func (s *Subscription) detach() {
	s.state, s.view, s.parts, s.skip, s.replacing = idle, "", false, false, false
	if s.changing != nil { // the hub may not have taken it: from the filter before, again
		if s.next == nil {
			s.next = s.changing
		}
		s.changing = nil
	}
}

func (s *Subscription) every() bool { return s.req.Mode != Latest }

// gap is the event that tells of one, if the mode promises none.
func (s *Subscription) gap(reason string) []item {
	if !s.every() || !s.had {
		return nil
	}
	return []item{{event: &Gap{Subscription: s.req.ID, After: s.pos, Reason: reason}, sub: s}}
}

// subscribed is the hub's answer to subscribe.
func (s *Subscription) subscribed(m *message) []item {
	s.state, s.view, s.parts, s.skip, s.tries = active, m.View, false, false, 0
	resumed := m.Resumed && s.synced && !s.replacing
	ev := &Subscribed{Subscription: s.req.ID, Resumed: resumed, Reason: m.Reason}
	items := []item{{event: ev, sub: s}}
	if resumed {
		s.advance()
		return items
	}
	reason := m.Reason
	if s.replacing {
		s.req.Filter, s.changing, s.replacing = *s.changing, nil, false
		reason = "the hub replaced the subscription"
	} else if reason == "" {
		reason = "the hub begins with a snapshot"
	}
	s.synced = false
	return append(items, s.gap(reason)...)
}

// snapshot is one part of the state of the view; owed says that a subscription
// of the view waits for it.
func (s *Subscription) snapshot(m *message, owed bool) []item {
	var items []item
	first := !s.parts
	if first {
		s.parts = true
		switch {
		case !s.synced:
		case owed && before(m.Position, s.pos):
			// It is for another subscription and older than what this one has.
			s.skip = true
		case !owed && m.Position != s.pos:
			items = s.gap("the hub sent the state anew: what is in the view, or what the caller may see, has changed")
		}
		if !s.skip {
			s.synced, s.pos = false, m.Position
		}
	}
	if m.Last {
		s.parts = false
	}
	if s.skip {
		s.skip = s.parts
		return nil
	}
	if m.Last {
		s.synced, s.had = true, true
	}
	ev := &Snapshot{Subscription: s.req.ID, Position: m.Position, Time: m.time(), First: first, Last: m.Last, Datastreams: m.Datastreams, Observations: m.Observations}
	items = append(items, item{event: ev, sub: s})
	if m.Last {
		s.advance()
	}
	return items
}

// delta gives what is new to this subscription. Two subscriptions of one view
// get its deltas once, and when one of them is brought up to date the other has
// had some of them.
func (s *Subscription) delta(m *message) []item {
	if !s.synced && (!s.parts || s.skip) {
		return nil // its snapshot is on the way and will hold this
	}
	obs := m.Observations
	if m.Position.Epoch == s.pos.Epoch && m.Position.Offset <= s.pos.Offset && !m.Position.IsZero() {
		obs = nil
	} else if !m.Position.IsZero() {
		s.pos = m.Position
	}
	if len(obs) == 0 && len(m.Datastreams) == 0 && len(m.Left) == 0 {
		return nil
	}
	return []item{{event: &Delta{Subscription: s.req.ID, Position: s.pos, Datastreams: m.Datastreams, Observations: obs, Left: m.Left}, sub: s}}
}

// changed is one part of the hub's answer to update.
func (s *Subscription) changed(m *message) []item {
	if s.changing == nil {
		return nil
	}
	first := !s.parts
	s.parts, s.synced, s.view = !m.Last, m.Last, m.View
	if before(s.pos, m.Position) {
		s.pos = m.Position
	}
	if m.Last {
		s.req.Filter, s.changing = *s.changing, nil
	}
	ev := &Changed{Subscription: s.req.ID, Position: m.Position, First: first, Last: m.Last, Left: m.Left, Datastreams: m.Datastreams, Observations: m.Observations}
	if m.Last {
		s.advance()
	}
	return []item{{event: ev, sub: s}}
}

// failed is the hub's refusal of subscribe or update.
func (s *Subscription) failed(m *message) []item {
	e := &twin.Error{Code: twin.Code(m.Code), Op: "subscribe", Field: m.Field, Message: m.Message, Hint: m.Hint}
	ev := &Failed{Subscription: s.req.ID, Err: e}
	items := []item{{event: ev, sub: s}}
	switch {
	case s.changing != nil:
		e.Op, s.changing = "update", nil
		if s.replacing {
			s.replacing, s.state = false, active
		}
		s.advance()
	case s.state != asked:
	case e.Code == twin.CodeUnavailable:
		s.state = idle
		s.tries++
		ev.Retry = 2*s.c.o.BackoffFirst + s.c.o.backoff(s.tries)
		s.c.later(s, ev.Retry)
	case s.synced && (m.Field == "after" || strings.HasPrefix(m.Field, "after.")):
		items = s.gap(m.Message)
		s.synced = false
		s.c.link.send(s.ask())
	default:
		s.state = idle
		s.c.subs = slices.DeleteFunc(s.c.subs, func(o *Subscription) bool { return o == s })
	}
	return items
}

// alive takes the position of a heartbeat: everything up to it was sent. In the
// mode latest something may still be held back for its interval.
func (s *Subscription) alive(p twin.Position) {
	if s.every() && s.synced && s.changing == nil && s.state == active && before(s.pos, p) {
		s.pos = p
	}
}

// before reports whether a is an earlier place than b in the same log.
func before(a, b twin.Position) bool { return a.Epoch == b.Epoch && a.Offset < b.Offset }

// heartbeat is the interval that the welcome tells.
func (m *message) heartbeat() time.Duration {
	if s, ok := number(m.Members["heartbeatSeconds"]); ok && s > 0 && s < 3600 {
		return time.Duration(s * float64(time.Second))
	}
	return 10 * time.Second
}
