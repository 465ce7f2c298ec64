// Package client is a client of the hub's stream protocol, PROTOCOL.md of
// streams/ws: live readings of a piece of the city, in Go.
//
// A Client keeps one WebSocket to the hub and any number of subscriptions on
// it. What happens comes out of Next as typed events, in order. A lost
// connection is made anew, after a random wait that grows to a cap, and every
// subscription goes on after the last message that was received; where the hub
// cannot, a Gap says so and a Snapshot follows. A close code from 4000 to 4099
// says that the same request would fail again: it ends the client.
//
// Nothing is left out silently: in the mode Every the readings between two
// events of a subscription are complete unless a Gap stands between them. A
// caller who is slow lets the client's queue fill; then the client stops
// reading, the hub closes the connection of a slow consumer (4100), and once
// the caller has caught up the client resumes where the queue ends.
//
// All methods are safe for concurrent use; Next is for one goroutine at a time,
// since two would share the events between them. Close waits for the
// goroutines of the Client: one, and one for each subscription that waits to be
// asked for again.
package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"cityhub/twin"
)

// ErrClosed is what Next gives after Close.
var ErrClosed = errors.New("stream client: closed")

// Client is a connection to the hub that mends itself. Dial makes one.
type Client struct {
	o      Options
	url    string
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // the goroutine has ended
	queue  *queue

	// Subscriptions may be changed by callers while the goroutine dispatches
	// messages; events are queued without this lock, for that may block.
	mu     sync.Mutex
	subs   []*Subscription // in the order of their making
	link   *link           // nil while there is none, or before its welcome
	serial int
	timers sync.WaitGroup // of subscriptions to be tried again

	connects, lost, messages, bytes atomic.Uint64
}

// Stats counts what a Client has done since Dial.
type Stats struct {
	Connections uint64 // that were welcomed
	Losses      uint64 // of a connection
	Messages    uint64 // from the hub
	Bytes       uint64 // of these messages, after decompression
	Queued      int    // events that wait for Next
	QueuedBytes int
	Waits       uint64 // how often the queue was full, so that nothing was read
}

// Dial connects to the hub, waits for its welcome and subscribes. The Client
// lives until Close, until ctx ends, or until the hub refuses it.
func Dial(ctx context.Context, o Options) (*Client, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	address, err := o.address()
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, url: address, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.queue = newQueue(o.QueueEvents, o.QueueBytes)
	for _, r := range o.Subscribe {
		if _, err := c.Subscribe(r); err != nil {
			c.cancel(err)
			return nil, err
		}
	}
	var first *link
	if !o.RetryDial {
		if first, err = c.connect(); err != nil {
			c.cancel(err)
			return nil, err
		}
	}
	go c.run(first)
	return c, nil
}

// Next waits for the next event. After the end of the Client it gives what is
// still queued and then the reason: ErrClosed, the error of the context of
// Dial, a *CloseError that must not be tried again, or what the hub answered to
// the attempt to connect.
func (c *Client) Next(ctx context.Context) (Event, error) {
	for {
		it, err := c.queue.take(ctx)
		if err != nil {
			return nil, err
		}
		if it.sub != nil && it.sub.closed.Load() {
			continue
		}
		return it.event, nil
	}
}

// Subscribe adds a subscription. It takes effect now, or with the next
// connection; whether the hub accepts it is told by events. An empty ID is
// replaced by one that is free.
func (c *Client) Subscribe(r Request) (*Subscription, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ctx.Err(); err != nil {
		return nil, ErrClosed
	}
	taken := func(s *Subscription) bool { return s.req.ID == r.ID }
	for generated := r.ID == ""; r.ID == "" || generated && slices.ContainsFunc(c.subs, taken); {
		c.serial++
		r.ID = "s" + strconv.Itoa(c.serial)
	}
	if slices.ContainsFunc(c.subs, taken) {
		return nil, &twin.Error{Code: twin.CodeConflict, Op: "subscribe", Field: "ID", Message: fmt.Sprintf("%q is the id of another subscription of this client", r.ID), Hint: "leave it empty"}
	}
	s := &Subscription{c: c, req: r, pos: r.After, synced: !r.After.IsZero(), had: !r.After.IsZero()}
	c.subs = append(c.subs, s)
	if c.link != nil {
		c.link.send(s.ask())
	}
	return s, nil
}

// Close ends the Client and waits for its goroutine. It may be called more
// than once.
func (c *Client) Close() error {
	c.cancel(ErrClosed)
	c.queue.end(ErrClosed, true)
	<-c.done
	c.timers.Wait()
	return nil
}

// Stats tells what the Client has done so far.
func (c *Client) Stats() Stats {
	s := Stats{Connections: c.connects.Load(), Losses: c.lost.Load(), Messages: c.messages.Load(), Bytes: c.bytes.Load()}
	s.Queued, s.QueuedBytes, s.Waits = c.queue.fill()
	return s
}

// run serves one connection after another until the client ends.
func (c *Client) run(l *link) {
	defer close(c.done)
	attempt, fresh := 0, true // fresh: never welcomed
	for {
		err := error(nil)
		if l == nil {
			if l, err = c.connect(); err == nil {
				fresh = false
			}
		} else {
			fresh = false
		}
		if l != nil {
			began := time.Now()
			err = c.serve(l)
			c.lost.Add(1)
			if time.Since(began) > c.o.BackoffMax/3 {
				attempt = 0 // it was a good connection
			}
			l = nil
		}
		if final(err, fresh) {
			c.cancel(err) // unless it has ended already
		}
		if c.ctx.Err() != nil {
			c.queue.end(context.Cause(c.ctx), false)
			return
		}
		attempt++
		wait := c.o.backoff(attempt)
		gone := &Disconnected{Err: err, Retry: wait, Attempt: attempt}
		if c.queue.put(c.ctx, item{event: gone}) != nil {
			continue // the context has ended
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
		}
	}
}

// later asks for a subscription again that the hub had no room for.
func (c *Client) later(s *Subscription, wait time.Duration) {
	c.timers.Add(1)
	timer := time.NewTimer(wait)
	go func() {
		defer c.timers.Done()
		defer timer.Stop()
		select {
		case <-c.ctx.Done():
			return
		case <-timer.C:
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.link != nil && s.state == idle && !s.closed.Load() {
			c.link.send(s.ask())
		}
	}()
}
