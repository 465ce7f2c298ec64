package streams

import (
	"slices"
	"strconv"
	"time"

	"cityhub/twin"
)

// view is a filter as seen by callers with equal rights. All its subscriptions
// share its match list and every frame. Guarded by Hub.mu.
type view struct {
	id      string // as the envelope names it
	key     string
	at      int // index in Hub.all
	access  View
	m       *matcher
	members idSet // the Datastreams whose slots list this view
	holds   []*hold
	// arriving are clients that are being brought up to date from the log.
	arriving []*Client

	interval time.Duration // between deltas in mode latest; zero: mode every
	c        *conflated    // in mode latest

	// With a condition on the reading: the members whose latest reading meets it
	// (in mode latest, as of the last delta), and those that had one in this group.
	showing idSet
	dirty   []twin.DatastreamID

	// The delta under construction.
	touched  bool
	rows     int
	buf      []byte
	announce []twin.DatastreamID // members the clients have not been told of

	// snap is a snapshot that newcomers share, and since the deltas after it:
	// ten thousand visitors who open one area at once cost one snapshot.
	snap       *capture
	since      []*Frame
	sinceBytes int

	resumed *resumed
}

// Bounds of what a view keeps for newcomers.
const (
	maxSinceFrames = 64
	maxSinceBytes  = 32 << 10
	maxSnapAge     = 2 * time.Second
	keepBuf        = 64 << 10 // a larger delta buffer is given back
)

// hold is a client's place in a view, for one or more of its subscriptions.
type hold struct {
	client *Client
	view   *view
	at     int // index in view.holds
	subs   int

	// In mode latest.
	sent   uint64 // offset up to which the client was served; guarded by Hub.mu
	behind bool   // a delta was not queued; guarded by Hub.mu
	queued int    // deltas in the queue; guarded by Client.mu
}

func (v *view) matches(h *Hub, id twin.DatastreamID, s *slot) bool {
	return v.m.matches(h, v.access, id, s)
}

// join puts ds into the view.
func (h *Hub) join(v *view, id twin.DatastreamID, s *slot) {
	if v.members.add(id) {
		s.views = append(s.views, v)
		h.memberships++
		h.look(v, id, s)
	}
}

// look brings showing up to date with the latest reading of a member.
func (h *Hub) look(v *view, id twin.DatastreamID, s *slot) {
	if v.m.live == nil {
		return
	}
	if o, ok := h.o.State.Latest(id); ok && v.wants(h, s, &o) {
		v.showing.add(id)
	} else {
		v.showing.remove(id)
	}
}

// leave takes ds out of the view.
func (h *Hub) leave(v *view, id twin.DatastreamID) {
	if !v.members.has(id) {
		return
	}
	v.members.remove(id)
	v.showing.remove(id)
	if v.c != nil {
		delete(v.c.changed, id)
	}
	h.memberships--
	s := h.slots.get(id)
	i := slices.Index(s.views, v)
	last := len(s.views) - 1
	s.views[i] = s.views[last]
	s.views[last] = nil
	s.views = s.views[:last]
	if last == 0 {
		s.views = nil
	}
}

// openView finds or makes the view of a filter and an access, in mode latest
// with an interval.
func (h *Hub) openView(access View, m *matcher, interval time.Duration) (*view, error) {
	key := viewKey(access, m, interval)
	if v := h.views[key]; v != nil {
		return v, nil
	}
	if len(h.all) >= h.o.MaxViews {
		return nil, atLimit("different views", h.o.MaxViews)
	}
	h.lastView++
	v := &view{id: "v" + strconv.FormatUint(h.lastView, 10), key: key, access: access, m: m, interval: interval, at: len(h.all)}
	if interval > 0 {
		v.c = &conflated{changed: make(map[twin.DatastreamID]uint64), at: -1, offset: h.pos.Offset}
	}
	h.slots.candidates(m, func(id twin.DatastreamID, s *slot) {
		if v.matches(h, id, s) {
			h.join(v, id, s)
		}
	})
	h.all = append(h.all, v)
	h.views[key] = v
	h.m.views.Set(float64(len(h.all)))
	if h.memberships > h.o.MaxMemberships {
		h.closeView(v)
		return nil, atLimit("Datastreams in all views together", h.o.MaxMemberships)
	}
	return v, nil
}

func viewKey(access View, m *matcher, interval time.Duration) string {
	return access.Key() + "\x00" + strconv.FormatInt(int64(interval), 36) + "\x00" + m.key
}

// closeView forgets a view without clients.
func (h *Hub) closeView(v *view) {
	v.members.each(func(id twin.DatastreamID) bool {
		h.leave(v, id)
		return true
	})
	h.dropSnap(v)
	h.unschedule(v)
	if h.views[v.key] == v {
		delete(h.views, v.key)
	}
	last := h.all[len(h.all)-1]
	h.all[v.at], last.at = last, v.at
	h.all[len(h.all)-1] = nil
	h.all = h.all[:len(h.all)-1]
	h.m.views.Set(float64(len(h.all)))
}

// take adds a subscription of c to v; fresh tells that c had none yet.
func (v *view) take(c *Client) (hd *hold, fresh bool) {
	for _, hd := range c.holds {
		if hd.view == v {
			hd.subs++
			return hd, false
		}
	}
	hd = &hold{client: c, view: v, at: len(v.holds), subs: 1}
	v.holds = append(v.holds, hd)
	c.holds = append(c.holds, hd)
	return hd, true
}

// drop takes a subscription away, and the hold and the view with the last one.
// What is queued of the view then goes, or stays with keep.
func (h *Hub) drop(hd *hold, keep bool) {
	if hd.subs--; hd.subs > 0 {
		return
	}
	v, c := hd.view, hd.client
	if keep {
		c.orphan(v)
	} else {
		c.purge(v, false)
	}
	if hd.behind {
		v.c.behind--
	}
	last := v.holds[len(v.holds)-1]
	v.holds[hd.at] = last
	last.at = hd.at
	v.holds[len(v.holds)-1] = nil
	v.holds = v.holds[:len(v.holds)-1]
	if i := slices.Index(c.holds, hd); i >= 0 {
		c.holds = slices.Delete(c.holds, i, i+1)
	}
	h.closeUnused(v)
}

func (h *Hub) closeUnused(v *view) {
	if len(v.holds)+len(v.arriving) == 0 {
		h.closeView(v)
	}
}

// emit sends a delta to every client of v.
func (h *Hub) emit(v *view, json []byte) {
	f := &Frame{Kind: FrameDelta, JSON: json, Position: h.pos, view: v}
	h.m.deltas.Inc()
	if v.snap != nil {
		v.since = append(v.since, f)
		v.sinceBytes += len(json)
		if len(v.since) > maxSinceFrames || v.sinceBytes > maxSinceBytes {
			h.dropSnap(v)
		}
	}
	v.resumed.add(f)
	if v.c != nil {
		for _, hd := range v.holds {
			h.offer(hd, f)
		}
		return
	}
	for _, hd := range v.holds {
		hd.client.push(f)
	}
}

func (h *Hub) dropSnap(v *view) {
	if v.snap != nil {
		v.snap.release()
		v.snap, v.since, v.sinceBytes = nil, nil, 0
	}
	v.resumed = nil
}
