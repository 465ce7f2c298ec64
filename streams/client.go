package streams

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"cityhub/twin"
)

// CloseCode says why a client was closed. From 4000 a client is at fault and
// must not come back unchanged; from 4100 it reconnects with backoff.
type CloseCode int

// The close codes of the envelope.
const (
	CloseNormal       CloseCode = 1000 // the client left
	CloseMalformed    CloseCode = 4000
	CloseUnauthorized CloseCode = 4001
	CloseForbidden    CloseCode = 4003
	CloseTooManySubs  CloseCode = 4009
	CloseTooLarge     CloseCode = 4013
	CloseTooMany      CloseCode = 4029 // more connections or messages than one identity may have
	CloseSlow         CloseCode = 4100
	CloseIdle         CloseCode = 4101
	CloseAccess       CloseCode = 4102
	CloseShutdown     CloseCode = 4103
)

// CloseError is what Next returns once a client was closed.
type CloseError struct {
	Code   CloseCode
	Reason string // a sentence for the client, at most 123 bytes
}

// Error is the code and the reason.
func (e *CloseError) Error() string {
	return fmt.Sprintf("stream closed with %d: %s", e.Code, e.Reason)
}

// Client is one connection to the hub, over whatever transport. Subscribe,
// Unsubscribe and Authenticate have one caller at a time, the transport's
// reader; Next has one, its writer; Send, Close and Detach are free.
type Client struct {
	hub      *Hub
	onClose  func(*CloseError)
	onQueued func()
	shard    int
	at       int // index in its shard; guarded by Hub.mu

	// Guarded by Hub.mu.
	see    func(context.Context) (View, error)
	access View // what see said last; nil before the first subscription
	subs   []subscription
	holds  []*hold
	who    *identity // nil: nobody in particular
	events eventSet  // of all subscriptions
	coming *arrival  // a subscription on its way to the present; nil: none

	wake chan struct{} // 1 when there is something to take; nil with onQueued

	mu     sync.Mutex
	queue  []item
	bytes  int // of the frames in queue
	beats  int // heartbeats in queue
	closed *CloseError
	room   chan struct{} // when somebody waits for the queue to become shorter
}

type subscription struct {
	id     string
	hold   *hold
	events eventSet
}

type item struct {
	frame  *Frame
	run    *run  // a snapshot, when frame is nil
	hold   *hold // of a delta in mode latest
	orphan bool  // of a view that the client has left
}

// Send queues a message for this client alone, e.g. a pong. json is kept.
func (c *Client) Send(json []byte) { c.push(&Frame{Kind: FrameControl, JSON: json}) }

// push queues f. When the queue is full, in bytes or messages, the client is
// closed with CloseSlow: it would see a gap otherwise. A frame larger than the
// whole queue is taken if the queue is empty. Never blocks.
func (c *Client) push(f *Frame) {
	c.mu.Lock()
	if c.closed != nil {
		c.mu.Unlock()
		return
	}
	if len(c.queue) > 0 && (c.bytes+len(f.JSON) > c.hub.o.QueueBytes || len(c.queue) >= c.hub.o.QueueMessages) {
		c.mu.Unlock()
		c.Close(CloseSlow, slowReason)
		return
	}
	c.queue = append(c.queue, item{frame: f})
	c.bytes += len(f.JSON)
	c.mu.Unlock()
	c.signal()
}

// pushHeartbeat queues f unless one waits already, which says no less that the
// connection is alive.
func (c *Client) pushHeartbeat(f *Frame) {
	c.mu.Lock()
	if c.closed != nil || c.beats > 0 {
		c.mu.Unlock()
		return
	}
	c.beats++
	c.queue = append(c.queue, item{frame: f})
	c.bytes += len(f.JSON)
	c.mu.Unlock()
	c.signal()
}

// gone does the accounts of an item that leaves the queue. Under c.mu.
func (c *Client) gone(it *item) {
	c.bytes -= len(it.frame.JSON)
	if it.hold != nil {
		it.hold.queued--
	}
	if it.frame.Kind == FrameHeartbeat {
		c.beats--
	}
}

// orphan marks what is queued of a view that the client has left, but is still
// to be sent.
func (c *Client) orphan(v *view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.queue {
		if it := &c.queue[i]; it.frame != nil && it.frame.view == v || it.run != nil && it.run.view == v {
			it.orphan = true
		}
	}
}

func (c *Client) hasOrphans() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.queue, func(it item) bool { return it.orphan })
}

// pushRun queues a snapshot and takes a reference to it. Its bytes do not count
// for the queue, its rows count for the hub.
func (c *Client) pushRun(v *view, cp *capture) {
	c.mu.Lock()
	full := len(c.queue) >= c.hub.o.QueueMessages
	if c.closed == nil && !full {
		cp.refs.Add(1)
		c.queue = append(c.queue, item{run: &run{cap: cp, view: v}})
	}
	c.mu.Unlock()
	if full {
		c.Close(CloseSlow, slowReason)
		return
	}
	c.signal()
}

const slowReason = "the client takes messages more slowly than they come"

// pinned is the number of rows of snapshots that the client has not taken yet.
func (c *Client) pinned() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, it := range c.queue {
		if it.run != nil {
			n += len(it.run.cap.rows)
		}
	}
	return n
}

// purge takes what is queued of v out. A snapshot that was begun is left as it
// is, or with end, when a new one follows, ended by an empty last part.
func (c *Client) purge(v *view, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = slices.DeleteFunc(c.queue, func(it item) bool {
		switch {
		case it.frame != nil && it.frame.view == v:
			c.gone(&it)
			return true
		case it.run != nil && it.run.view == v:
			// The writer may be encoding its first part right now.
			it.run.cut, it.run.end = true, end
			// A change in place is told of even then: it names the view.
			if it != c.queue[0] && !(end && it.run.cap.sub != "") {
				it.run.cap.release()
				return true
			}
		}
		return false
	})
}

// purgeEvents takes events out of Datasets that the client may not see any more.
func (c *Client) purgeEvents(access View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = slices.DeleteFunc(c.queue, func(it item) bool {
		if it.frame == nil || it.frame.Kind != FrameEvent || seesDataset(access, it.frame.dataset) {
			return false
		}
		c.gone(&it)
		return true
	})
}

func (c *Client) signal() {
	if c.onQueued != nil {
		c.onQueued()
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Take is Next for a client with OnQueued: it does not wait, and gives dst as it
// is when nothing is queued.
func (c *Client) Take(dst []*Frame, maxBytes int) ([]*Frame, error) {
	dst, _ = c.takeQueued(dst, maxBytes)
	if err := c.Closed(); err != nil {
		return dst[:0], err
	}
	return dst, nil
}

// Next waits for messages and appends to dst what is queued, up to about
// maxBytes. Once the client is closed it returns a *CloseError, and what was
// still queued is gone.
func (c *Client) Next(dst []*Frame, maxBytes int) ([]*Frame, error) {
	for {
		var taken int
		dst, taken = c.takeQueued(dst, maxBytes)
		if err := c.Closed(); err != nil {
			return dst[:0], err
		}
		if taken > 0 {
			return dst, nil
		}
		<-c.wake
	}
}

// Closed is the reason for which the client was closed, nil while it is open.
func (c *Client) Closed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == nil {
		return nil
	}
	return c.closed
}

func (c *Client) takeQueued(dst []*Frame, maxBytes int) ([]*Frame, int) {
	taken, size := 0, 0
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := 0; ; {
		if n == len(c.queue) || size >= maxBytes {
			c.queue = advance(c.queue, n)
			if n > 0 && c.room != nil {
				close(c.room)
				c.room = nil
			}
			return dst, taken
		}
		it := c.queue[n]
		if it.frame != nil {
			dst = append(dst, it.frame)
			size += len(it.frame.JSON)
			c.gone(&it)
			taken++
			n++
			continue
		}
		// A snapshot: encode outside the lock, with the run at the head so that
		// purge knows which one may be at work.
		c.queue = advance(c.queue, n)
		n = 0
		r := it.run
		var f *Frame
		if !r.cut {
			c.mu.Unlock()
			f = r.cap.part(r.next)
			c.mu.Lock()
			if c.closed != nil { // Close released the run
				return dst, taken
			}
		}
		done := false
		switch {
		case r.cut && (!r.end || r.next == 0 && r.cap.sub == ""):
			f, done = nil, true
		case r.cut:
			f, done = r.cap.ending(), true
		default:
			r.next++
			done = r.next == r.cap.parts()
		}
		if f != nil {
			dst = append(dst, f)
			size += len(f.JSON)
			taken++
		}
		if done {
			r.cap.release()
			n = 1
		}
	}
}

// advance drops the first n items and gives a drained queue's memory back.
func advance(q []item, n int) []item {
	if n == 0 {
		return q
	}
	rest := copy(q, q[n:])
	clear(q[rest:])
	if rest == 0 && cap(q) > 32 {
		return nil
	}
	return q[:rest]
}

// Close ends the client: Next returns code and reason, nothing is queued any
// more, what was queued is dropped. The first call counts. It does not wait.
func (c *Client) Close(code CloseCode, reason string) {
	c.mu.Lock()
	if c.closed != nil {
		c.mu.Unlock()
		return
	}
	c.closed = &CloseError{Code: code, Reason: reason}
	for _, it := range c.queue {
		if it.run != nil {
			it.run.cap.release()
		}
	}
	c.queue, c.bytes = nil, 0
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	err := c.closed
	c.mu.Unlock()
	c.hub.m.closed(code)
	if c.onClose != nil {
		c.onClose(err)
	}
	c.signal()
}

// Detach takes the client out of the hub; the transport calls it once, when its
// goroutines have ended.
func (c *Client) Detach() {
	c.Close(CloseNormal, "left")
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(c.subs) > 0 {
		h.unsubscribe(c, 0)
	}
	h.forget(c)
}

// Unsubscribe ends a subscription; ack is sent after the last message of it.
// CodeNotFound: there is none with that id.
func (c *Client) Unsubscribe(id string, ack []byte) error {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(c.subs, func(s subscription) bool { return s.id == id })
	if i < 0 {
		return &twin.Error{Code: twin.CodeNotFound, Op: "unsubscribe", Field: "id", Message: "no subscription has this id on this connection"}
	}
	h.unsubscribe(c, i)
	if ack != nil {
		c.Send(ack)
	}
	return nil
}

// Authenticate gives a client without subscriptions another access.
func (c *Client) Authenticate(view func(context.Context) (View, error)) error {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(c.subs) > 0 {
		return &twin.Error{Code: twin.CodeInvalid, Op: "authenticate", Field: "type", Message: "auth after subscribe", Hint: "authenticate before the first subscription, or on a new connection"}
	}
	c.see = view
	return nil
}

func atLimit(what string, limit int) error {
	return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: fmt.Sprintf("the hub holds as many %s as it may: %d", what, limit), Hint: "try again later, or choose fewer Datastreams"}
}
