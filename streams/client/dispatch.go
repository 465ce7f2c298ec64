package client

import (
	"context"
	"slices"
	"time"

	"cityhub/twin"
)

// serve subscribes and dispatches the messages of a connection until it ends.
func (c *Client) serve(l *link) error {
	left := make(chan struct{})
	stop := context.AfterFunc(c.ctx, func() { defer close(left); l.leave() })
	defer func() {
		if !stop() {
			<-left
		}
		c.mu.Lock()
		c.link = nil
		for _, s := range c.subs {
			s.detach()
		}
		c.mu.Unlock()
		_ = l.conn.Close()
	}()
	w := &l.welcome
	hello := &Connected{Server: w.str("server"), Role: w.str("role"), Epoch: w.str("epoch"), Time: w.time(), Heartbeat: w.heartbeat(), Limits: w.Members}
	if n, ok := number(w.Members["maxSubscriptions"]); ok {
		hello.MaxSubscriptions = int(n)
	}
	if err := c.queue.put(c.ctx, item{event: hello}); err != nil {
		return err
	}
	c.mu.Lock()
	c.link = l
	for _, s := range c.subs {
		l.send(s.ask())
	}
	c.mu.Unlock()
	owed := map[string]int{} // snapshots that a view's subscribers wait for
	for {
		m, n, err := l.read()
		if err != nil {
			return err
		}
		c.count(n)
		for _, it := range c.dispatch(m, owed) {
			it.bytes = n
			if err := c.queue.put(c.ctx, it); err != nil {
				return err
			}
		}
	}
}

// dispatch takes a message and gives its events.
func (c *Client) dispatch(m *message, owed map[string]int) (items []item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Type {
	case "snapshot":
		// The subscriptions are copied: none is removed here, but the order stays.
		for _, s := range c.subs {
			if s.view == m.View && s.state == active {
				items = append(items, s.snapshot(m, owed[m.View] > 0)...)
			}
		}
		if m.Last && owed[m.View] > 0 {
			owed[m.View]--
		}
	case "delta":
		for _, s := range c.subs {
			if s.view == m.View && s.state == active {
				items = append(items, s.delta(m)...)
			}
		}
	case "heartbeat":
		for _, s := range c.subs {
			s.alive(m.Position)
		}
		for view := range owed {
			if !slices.ContainsFunc(c.subs, func(s *Subscription) bool { return s.view == view && !s.synced }) {
				delete(owed, view) // nobody waits: the hub has sent one snapshot for several
			}
		}
		return []item{{event: &Heartbeat{Position: m.Position, Time: m.time()}}}
	case "event":
		return c.cityEvent(m)
	case "error":
		if s := c.find(m.ID); s != nil {
			return s.failed(m)
		}
		e := &twin.Error{Code: twin.Code(m.Code), Op: "stream", Field: m.Field, Message: m.Message, Hint: m.Hint}
		return []item{{event: &Failed{Subscription: m.ID, Err: e}}}
	case "subscribed":
		if s := c.find(m.ID); s != nil && s.state == asked {
			items = s.subscribed(m)
			if !s.synced {
				owed[m.View]++
			}
		}
	case "changed":
		if s := c.find(m.ID); s != nil {
			return s.changed(m)
		}
	}
	return items // what is not known is ignored, as PROTOCOL.md asks
}

func (c *Client) cityEvent(m *message) (items []item) {
	ev := CityEvent{Subscription: m.ID, Kind: m.str("kind"), Time: m.time(), Position: m.Position, Members: m.Members}
	for _, s := range c.subs {
		if s.req.ID == m.ID || m.ID == "" && m.View != "" && s.view == m.View {
			own := ev
			own.Subscription = s.req.ID
			items = append(items, item{event: &own, sub: s})
		}
	}
	return items
}

func (c *Client) find(id string) *Subscription {
	for _, s := range c.subs {
		if s.req.ID == id {
			return s
		}
	}
	return nil
}

// time is the time of a message; the zero time when it has none.
func (m *message) time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, m.Time)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
