package streams

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"cityhub/twin"
)

// A view in mode latest gathers the Datastreams that have had a reading and
// sends the latest of each once per interval, encoded once for all its clients. A
// client who has not taken the delta before gets none: the hub notes up to which
// position it has been served, and when it has taken what it has, it gets all
// that has changed since, in one delta.

// conflated is what a view in mode latest has beside the others.
type conflated struct {
	pending  []twin.DatastreamID // had a reading since the last delta, each once
	isIn     idSet               // the same as a set
	captured bool                // a snapshot was taken since the last delta
	offset   uint64              // up to which deltas have been made
	changed  map[twin.DatastreamID]uint64
	due      time.Time // not before this comes the next delta
	at       int       // index in Hub.due, -1: nothing to send
	behind   int       // holds that were passed over
}

// dueViews is a heap of the views that have something to send, by time.
type dueViews []*view

func (d dueViews) Len() int           { return len(d) }
func (d dueViews) Less(i, j int) bool { return d[i].c.due.Before(d[j].c.due) }
func (d dueViews) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].c.at, d[j].c.at = i, j
}

// Push implements heap.Interface.
func (d *dueViews) Push(x any) {
	v := x.(*view)
	v.c.at = len(*d)
	*d = append(*d, v)
}

// Pop implements heap.Interface.
func (d *dueViews) Pop() any {
	old := *d
	v := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	v.c.at = -1
	return v
}

// note marks a Datastream as one with a new reading. Under Hub.mu.
func (h *Hub) note(v *view, id twin.DatastreamID) {
	c := v.c
	c.changed[id] = h.pos.Offset
	if c.isIn.add(id) {
		c.pending = append(c.pending, id)
	}
	h.schedule(v)
}

// schedule puts v among those that have something to send.
func (h *Hub) schedule(v *view) {
	if v.c.at >= 0 || len(v.holds) == 0 {
		return
	}
	heap.Push(&h.due, v)
	if v.c.at == 0 {
		h.wakeConflation()
	}
}

func (h *Hub) unschedule(v *view) {
	if v.c != nil && v.c.at >= 0 {
		heap.Remove(&h.due, v.c.at)
	}
}

func (h *Hub) wakeConflation() {
	select {
	case h.dueSooner <- struct{}{}:
	default:
	}
}

// flushAtOnce is how many views are served before the lock is let go of.
const flushAtOnce = 128

// conflate sends what is due until ctx ends.
func (h *Hub) conflate(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := h.flushDue(ctx, time.Now())
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-h.dueSooner:
		}
	}
}

// flushDue sends what is due and says how long nothing will be.
func (h *Hub) flushDue(ctx context.Context, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revalidateIfAsked(ctx)
	for n := 0; len(h.due) > 0; n++ {
		v := h.due[0]
		if wait := v.c.due.Sub(now); wait > 0 {
			return wait
		}
		if n == flushAtOnce {
			return 0
		}
		heap.Pop(&h.due)
		v.c.due = now.Add(v.interval)
		h.flush(ctx, v)
	}
	return time.Hour
}

// flush makes the delta of what is pending and serves those who were passed over.
func (h *Hub) flush(ctx context.Context, v *view) {
	c := v.c
	if len(c.pending) > 0 {
		slices.Sort(c.pending)
		d := h.latestDelta(ctx, v, c.pending, func(id twin.DatastreamID, shows bool) (announce, left bool) {
			if v.m.live == nil {
				return false, false
			}
			was := v.showing.has(id)
			if shows {
				v.showing.add(id)
			} else {
				v.showing.remove(id)
			}
			return shows && (!was || c.captured), !shows && (was || c.captured)
		}, v.announce)
		v.announce = nil
		for _, id := range c.pending {
			c.isIn.remove(id)
		}
		c.pending = c.pending[:0]
		c.captured = false
		c.offset = h.pos.Offset
		if d != nil {
			h.emit(v, d)
		} else {
			for _, hd := range v.holds {
				if !hd.behind {
					hd.sent = c.offset
				}
			}
		}
	}
	if c.behind > 0 {
		h.catchUp(ctx, v)
	}
	if c.behind > 0 || len(c.pending) > 0 {
		h.schedule(v)
	}
}

// latestDelta encodes the latest readings of ids; nil when there is nothing to
// tell. state says of each Datastream what to tell beside its reading.
func (h *Hub) latestDelta(ctx context.Context, v *view, ids []twin.DatastreamID, state func(id twin.DatastreamID, shows bool) (announce, left bool), announce []twin.DatastreamID) []byte {
	h.head = appendPosition(h.head[:0], h.pos)
	buf := beginDelta(v.buf[:0], v.id, h.head)
	rows := 0
	var left []twin.DatastreamID
	announce = slices.DeleteFunc(announce, func(id twin.DatastreamID) bool { return !v.members.has(id) })
	for _, id := range ids {
		if !v.members.has(id) {
			continue
		}
		s := h.slots.get(id)
		o, ok := h.o.State.Latest(id)
		shows := ok && v.wants(h, s, &o)
		tell, gone := state(id, shows)
		if tell && !slices.Contains(announce, id) {
			announce = append(announce, id)
		}
		if gone {
			left = append(left, id)
		}
		if !shows {
			continue
		}
		if rows > 0 {
			buf = append(buf, ',')
		}
		buf = appendObservation(buf, &o, s.truth)
		rows++
	}
	v.buf = buf
	if rows+len(left)+len(announce) == 0 {
		return nil
	}
	d := h.encodeDelta(ctx, v, buf, announce, left)
	if cap(v.buf) > keepBuf {
		v.buf = nil
	}
	return d
}

// catchUp serves the holds that were passed over and have room now. Those who
// stand at one position share an encoding.
func (h *Hub) catchUp(ctx context.Context, v *view) {
	made := map[uint64]*Frame{}
	for _, hd := range v.holds {
		if !hd.behind || !hd.client.roomFor(hd) {
			continue
		}
		f, ok := made[hd.sent]
		if !ok {
			var ids []twin.DatastreamID
			for id, offset := range v.c.changed {
				if offset > hd.sent {
					ids = append(ids, id)
				}
			}
			slices.Sort(ids)
			f = h.changedSince(ctx, v, ids)
			made[hd.sent] = f
		}
		hd.behind = false
		v.c.behind--
		h.m.conflated.Inc()
		if f == nil {
			hd.sent = h.pos.Offset
			continue
		}
		h.offer(hd, f)
	}
}

// changedSince is the delta that brings a client up to date who has missed the
// readings of ids; nil when there is nothing to tell.
func (h *Hub) changedSince(ctx context.Context, v *view, ids []twin.DatastreamID) *Frame {
	json := h.latestDelta(ctx, v, ids, func(_ twin.DatastreamID, shows bool) (announce, left bool) {
		return shows, !shows // it may never have heard of it
	}, nil)
	if json == nil {
		return nil
	}
	return &Frame{Kind: FrameDelta, JSON: json, Position: h.pos, view: v}
}

// offer queues a delta of a view in mode latest, or notes that the client was
// passed over.
func (h *Hub) offer(hd *hold, f *Frame) {
	if !hd.behind && hd.client.pushLatest(hd, f) {
		hd.sent = f.Position.Offset
		return
	}
	if !hd.behind {
		hd.behind = true
		hd.view.c.behind++
		h.schedule(hd.view)
	}
}

// pushLatest queues f if the client has taken the delta before and has room.
func (c *Client) pushLatest(hd *hold, f *Frame) bool {
	c.mu.Lock()
	if c.closed != nil {
		c.mu.Unlock()
		return true // it gets nothing any more
	}
	if hd.queued > 0 || len(c.queue) > 0 && (c.bytes+len(f.JSON) > c.hub.o.QueueBytes || len(c.queue) >= c.hub.o.QueueMessages) {
		c.mu.Unlock()
		return false
	}
	hd.queued++
	c.queue = append(c.queue, item{frame: f, hold: hd})
	c.bytes += len(f.JSON)
	c.mu.Unlock()
	c.signal()
	return true
}

func (c *Client) roomFor(hd *hold) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed != nil || hd.queued == 0 && c.bytes < c.hub.o.QueueBytes && len(c.queue) < c.hub.o.QueueMessages
}

// served is the position up to which everything has been sent or queued to c.
func (h *Hub) served(c *Client) uint64 {
	offset := h.pos.Offset
	for _, hd := range c.holds {
		if v := hd.view; v.c != nil && (hd.behind || len(v.c.pending) > 0) {
			offset = min(offset, hd.sent)
		}
	}
	if c.coming != nil && c.coming.done.Epoch == h.pos.Epoch {
		offset = min(offset, c.coming.done.Offset)
	}
	return offset
}
