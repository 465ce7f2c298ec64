package streams

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"cityhub/twin"
)

// invalidation is what Invalidate asked for and the hub has not done yet.
type invalidation struct {
	pending atomic.Bool
	wake    chan struct{}

	mu  sync.Mutex
	all bool
	ids map[twin.DatastreamID]struct{}
}

// maxInvalidIDs bounds the ids remembered one by one; more means everything.
const maxInvalidIDs = 4096

// Invalidate tells the hub that Datastreams have changed, moved or changed hands:
// the given ones, or with none given anything, rights of access included. No
// group that is applied after Invalidate has returned is matched by what was
// true before; messages of a view that lost a Datastream are taken out of the
// queues, and its clients get a new snapshot. A client whose access is gone or
// has become unlike its view's is closed with CloseAccess.
//
// It never blocks and may be called from anywhere, under any lock.
func (h *Hub) Invalidate(ids ...twin.DatastreamID) {
	iv := &h.invalid
	iv.mu.Lock()
	switch {
	case len(ids) == 0 || len(iv.ids)+len(ids) > maxInvalidIDs:
		iv.all, iv.ids = true, nil
	case !iv.all:
		if iv.ids == nil {
			iv.ids = make(map[twin.DatastreamID]struct{})
		}
		for _, id := range ids {
			iv.ids[id] = struct{}{}
		}
	}
	iv.pending.Store(true)
	iv.mu.Unlock()
	select {
	case iv.wake <- struct{}{}:
	default:
	}
}

// revalidateIfAsked does what Invalidate asked for. Under Hub.mu.
func (h *Hub) revalidateIfAsked(ctx context.Context) {
	iv := &h.invalid
	if !iv.pending.Load() {
		return
	}
	iv.mu.Lock()
	all, ids := iv.all, iv.ids
	iv.all, iv.ids = false, nil
	iv.pending.Store(false)
	iv.mu.Unlock()

	changed := make(map[twin.DatastreamID]bool)
	if !all {
		for id := range ids {
			h.refresh(ctx, id, changed)
		}
		h.changes.note(h.pos, changed)
		h.dropOrphans(func(c *Client) bool {
			for id := range changed {
				if s := h.slots.get(id); s.ds == nil || !c.access.Sees(s.ds) {
					return true
				}
			}
			return false
		})
		for _, v := range h.all {
			h.rematch(ctx, v, false, changed)
		}
		return
	}
	h.slots.ids.each(func(id twin.DatastreamID) bool {
		h.refresh(ctx, id, changed)
		return true
	})
	h.changes.all(h.pos)
	h.renewAll(ctx)
	h.dropOrphans(func(*Client) bool { return true })
	for _, v := range h.all {
		h.rematch(ctx, v, true, changed)
	}
}

// dropOrphans closes the clients that still have messages queued of a view that
// they have left with Update, and whom lost concerns: what those messages tell
// may not be theirs any more.
func (h *Hub) dropOrphans(lost func(*Client) bool) {
	for _, shard := range h.clients {
		for _, c := range shard {
			if c.hasOrphans() && lost(c) {
				c.Close(CloseAccess, accessReason)
			}
		}
	}
}

// refresh looks a Datastream up again and notes it when it has changed. A
// Datastream that cannot be looked up belongs to no view until it can: what is
// not known to be allowed is not sent.
func (h *Hub) refresh(ctx context.Context, id twin.DatastreamID, changed map[twin.DatastreamID]bool) {
	s := h.slots.get(id)
	if s == nil {
		return // never had a reading: it is looked up with its first one
	}
	ds, err := h.o.Directory.Datastream(ctx, id)
	if err != nil {
		ds = nil
		if twin.ErrorCode(err) != twin.CodeNotFound {
			h.o.Logger.Warn("a Datastream cannot be looked up and is not streamed", slog.Int64("datastream", int64(id)), slog.Any("error", err))
		}
	}
	place := h.placeOf(id)
	if described := ds != s.ds; described || !place.equal(s.place) {
		h.slots.describe(id, s, ds, place)
		changed[id] = described
	}
}

// renewAll asks again what every client may see, and gives the views whose
// callers now have other rights.
func (h *Hub) renewAll(ctx context.Context) (changed []*view) {
	for _, shard := range h.clients {
		for _, c := range shard {
			if c.Closed() != nil {
				continue
			}
			access, err := c.see(ctx)
			if err != nil {
				// 上海市数据条例 第三十九条 (R29): stopped as soon as it is known.
				c.Close(CloseAccess, accessReason)
				continue
			}
			h.setAccess(c, access)
		}
	}
	clear(h.views)
	for _, v := range h.all {
		var lead View
		for _, hd := range v.holds {
			switch c := hd.client; {
			case c.Closed() != nil:
			case lead == nil:
				lead = c.access
			case c.access.Key() != lead.Key():
				// Its view is no longer one view. Coming back gives it its own.
				c.Close(CloseAccess, accessReason)
			}
		}
		for _, c := range v.arriving {
			switch {
			case c.Closed() != nil:
			case lead == nil:
				lead = c.access
			case c.access.Key() != lead.Key():
				c.Close(CloseAccess, accessReason)
			}
		}
		if lead == nil {
			lead = nobody{} // every client of it is on its way out
		}
		v.access = lead
		if key := viewKey(lead, v.m, v.interval); key != v.key {
			v.key = key
			changed = append(changed, v)
		}
		if h.views[v.key] == nil {
			h.views[v.key] = v
		}
	}
	return changed
}

const accessReason = "what you may see has changed"

// nobody sees nothing.
type nobody struct{}

func (nobody) Key() string                { return "\x00nobody" }
func (nobody) Sees(*twin.Datastream) bool { return false }

// rematch brings the members of v up to date, all of them or the changed ones,
// and tells its clients.
func (h *Hub) rematch(ctx context.Context, v *view, all bool, changed map[twin.DatastreamID]bool) {
	lost, gained := 0, 0
	var described []twin.DatastreamID
	check := func(id twin.DatastreamID, s *slot) {
		is := s.ds != nil && v.matches(h, id, s)
		switch was := v.members.has(id); {
		case was && !is:
			h.leave(v, id)
			lost++
		case !was && is:
			h.join(v, id, s)
			gained++
		case was && changed[id] && (v.m.live == nil || v.showing.has(id)):
			described = append(described, id)
		}
	}
	if all {
		v.members.each(func(id twin.DatastreamID) bool {
			check(id, h.slots.get(id))
			return true
		})
		h.slots.candidates(v.m, func(id twin.DatastreamID, s *slot) {
			if !v.members.has(id) {
				check(id, s)
			}
		})
	} else {
		for id := range changed {
			check(id, h.slots.get(id))
		}
	}
	switch {
	case lost+gained > 0 || len(described) > snapshotPart:
		h.resend(v, lost > 0)
	case len(described) > 0:
		h.dropSnap(v) // it tells the old description
		h.emit(v, h.encodeDelta(ctx, v, nil, described, nil))
	}
}

// resend gives every client of v a new snapshot.
func (h *Hub) resend(v *view, purge bool) {
	h.dropSnap(v)
	if purge {
		// What they are getting from the log may hold what was lost.
		for _, c := range v.arriving {
			c.Close(CloseAccess, accessReason)
		}
	}
	cp, err := h.capture(v)
	for _, hd := range v.holds {
		if purge {
			hd.client.purge(v, true)
		}
		if err != nil {
			hd.client.Close(CloseAccess, accessReason)
			continue
		}
		hd.client.pushRun(v, cp)
		hd.sent = cp.pos.Offset
	}
	if err != nil {
		v.announce = nil
		return
	}
	v.snap = cp
}
