package streams

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/twin"
)

const (
	snapshotPart = 500 // observations in one part
	sharedRows   = 5000
)

// capture is what a view held at one position. It is copied under the hub's
// lock and encoded outside, by whichever client's writer comes to a part first.
type capture struct {
	hub    *Hub
	view   string
	pos    twin.Position
	time   time.Time
	rows   []snapRow
	shared []sharedPart // parts kept for all clients; nil for a large snapshot, which is encoded per client
	refs   atomic.Int32

	// Of a change in place: the subscription, and what it no longer shows.
	sub  string
	left []twin.DatastreamID
}

type snapRow struct {
	ds *twin.Datastream
	o  twin.Observation
}

type sharedPart struct {
	once  sync.Once
	frame *Frame
}

// capture copies what v holds now. The caller owns one reference. It fails when
// the snapshots that clients have not taken yet pin too much memory.
func (h *Hub) capture(v *view) (*capture, error) {
	n := int64(v.members.n)
	if h.snapRows.Add(n) > int64(h.o.MaxSnapshotRows) && h.snapRows.Load() != n {
		h.snapRows.Add(-n)
		return nil, errManySnapshots()
	}
	c := &capture{hub: h, view: v.id, pos: h.pos, time: h.o.Clock(), rows: make([]snapRow, 0, n)}
	v.announce = nil
	v.members.each(func(id twin.DatastreamID) bool {
		s := h.slots.get(id)
		o, ok := h.o.State.Latest(id)
		switch {
		case ok && v.wants(h, s, &o):
			c.rows = append(c.rows, snapRow{s.ds, o})
		case v.m.live == nil:
			// Nothing to show yet, or no more: told of with its next reading.
			v.announce = append(v.announce, id)
		}
		return true
	})
	if v.c != nil {
		v.c.captured = true
	}
	h.snapRows.Add(int64(len(c.rows)) - n)
	if len(c.rows) <= sharedRows {
		c.shared = make([]sharedPart, c.parts())
	}
	c.refs.Store(1)
	return c, nil
}

func (c *capture) release() {
	if c.refs.Add(-1) == 0 {
		c.hub.snapRows.Add(-int64(len(c.rows)))
	}
}

// parts is the number of parts; an empty snapshot has one.
func (c *capture) parts() int { return max(1, (len(c.rows)+snapshotPart-1)/snapshotPart) }

func (c *capture) part(i int) *Frame {
	if c.shared == nil {
		return c.encode(i)
	}
	p := &c.shared[i]
	p.once.Do(func() { p.frame = c.encode(i) })
	return p.frame
}

func (c *capture) encode(i int) *Frame {
	rows := c.rows[i*snapshotPart : min(len(c.rows), (i+1)*snapshotPart)]
	last := i == c.parts()-1
	dst := make([]byte, 0, 256+len(rows)*384)
	kind := FrameSnapshot
	if c.sub != "" {
		kind = FrameChanged
		dst = append(dst, `{"type":"changed","id":`...)
		dst = jsonenc.AppendString(dst, c.sub)
		dst = append(dst, `,"view":`...)
	} else {
		dst = append(dst, `{"type":"snapshot","view":`...)
	}
	dst = jsonenc.AppendString(dst, c.view)
	dst = append(dst, ',')
	dst = appendPosition(dst, c.pos)
	dst = append(dst, ',')
	dst = appendTime(dst, c.time)
	if last {
		dst = append(dst, `,"last":true`...)
	} else {
		dst = append(dst, `,"last":false`...)
	}
	if i == 0 {
		dst = appendLeft(dst, c.left)
	}
	dst = append(dst, `,"datastreams":[`...)
	for j := range rows {
		if j > 0 {
			dst = append(dst, ',')
		}
		dst = appendDatastream(dst, rows[j].ds, c.hub.labels(context.Background(), rows[j].ds))
	}
	dst = append(dst, `],"observations":[`...)
	for j := range rows {
		if j > 0 {
			dst = append(dst, ',')
		}
		dst = appendObservation(dst, &rows[j].o, rows[j].ds.Result == twin.ResultTruth)
	}
	dst = append(dst, ']', '}')
	f := &Frame{Kind: kind, JSON: dst}
	if last {
		f.Position = c.pos
	}
	return f
}

// ending is the empty last part that ends a snapshot which was cut short
// because a new one follows.
func (c *capture) ending() *Frame {
	e := &capture{hub: c.hub, view: c.view, pos: c.pos, time: c.time, sub: c.sub, left: c.left}
	return e.encode(0)
}

// run is a snapshot's place in one client's queue. Guarded by Client.mu.
type run struct {
	cap  *capture
	view *view
	next int  // the part to send next
	cut  bool // send no more of it
	end  bool // but an empty last part, if any was sent: a newer snapshot follows
}
