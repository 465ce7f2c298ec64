package streams

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

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

	wake chan struct{} // 1 when there is something to take; nil with onQueued

	mu     sync.Mutex
	queue  []item
	bytes  int // of the frames in queue
	closed *CloseError
}

type subscription struct {
	id   string
	hold *hold
}

type item struct {
	frame *Frame
	run   *run // a snapshot, when frame is nil
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
			c.bytes -= len(it.frame.JSON)
			return true
		case it.run != nil && it.run.view == v:
			// The writer may be encoding its first part right now.
			it.run.cut, it.run.end = true, end
			if it != c.queue[0] {
				it.run.cap.release()
				return true
			}
		}
		return false
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
			return dst, taken
		}
		it := c.queue[n]
		if it.frame != nil {
			dst = append(dst, it.frame)
			size += len(it.frame.JSON)
			c.bytes -= len(it.frame.JSON)
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
		case r.cut && (r.next == 0 || !r.end):
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

// Subscribe adds a subscription, or replaces the one with the same id. ack, if
// not nil, gives the message to send before the snapshot; the snapshot and then
// every delta after it follow. It waits until the hub is ready. CodeTooMany says
// that the client has as many subscriptions as it may.
func (c *Client) Subscribe(ctx context.Context, id string, f Filter, ack func(view string) []byte) error {
	if n := utf8.RuneCountInString(id); n < 1 || n > 64 {
		return &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: "id", Message: fmt.Sprintf("%d characters, expected 1 to 64", n), Hint: "choose an id that is unique on this connection, e.g. s1"}
	}
	if err := f.Validate(); err != nil {
		return err
	}
	f = f.normal()
	h := c.hub
	select {
	case <-h.ready:
	case <-ctx.Done():
		return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "the stream is not ready yet", Hint: "try again in a few seconds", Err: ctx.Err()}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revalidateIfAsked(ctx)
	if err := c.Closed(); err != nil {
		return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "the connection is closing", Err: err}
	}
	old := slices.IndexFunc(c.subs, func(s subscription) bool { return s.id == id })
	if old < 0 && len(c.subs) >= h.o.MaxSubscriptions {
		return &twin.Error{Code: twin.CodeTooMany, Op: "subscribe", Message: fmt.Sprintf("at most %d subscriptions on one connection", h.o.MaxSubscriptions), Hint: "end a subscription first, or combine several into one filter"}
	}
	// One client may not use up what all snapshots together may pin.
	if c.pinned() > h.o.MaxSnapshotRows/4 {
		return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "large snapshots are still on their way to this connection", Hint: "wait for their last part before the next subscription"}
	}
	access, err := c.see(ctx)
	if err != nil {
		c.Close(CloseAccess, accessReason)
		return err
	}
	c.access = access
	v, err := h.openView(access, f)
	if err != nil {
		return err
	}
	hd, fresh := v.take(c)
	cp, since, err := h.snapshotFor(v, fresh)
	if err != nil {
		h.drop(hd)
		return err
	}
	if old >= 0 {
		h.drop(c.subs[old].hold)
		c.subs[old].hold = hd
	} else {
		c.subs = append(c.subs, subscription{id, hd})
		h.m.subscriptions.Inc()
	}
	if ack != nil {
		c.Send(ack(v.id))
	}
	c.pushRun(v, cp)
	cp.release()
	for _, f := range since {
		c.push(f)
	}
	return nil
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
