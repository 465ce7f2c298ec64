package streams

import (
	"context"
	"fmt"
	"time"

	"cityhub/twin"
)

// identity counts what one caller has on all its connections. Guarded by Hub.mu.
type identity struct {
	name          string
	clients, subs int
}

func (h *Hub) admitIdentity(name string) (*identity, error) {
	if name == "" {
		return nil, nil
	}
	who := h.identities[name]
	if who == nil {
		who = &identity{name: name}
	}
	if who.clients >= h.o.MaxIdentityClients {
		return nil, &twin.Error{Code: twin.CodeTooMany, Op: "connect", Message: fmt.Sprintf("at most %d stream connections for one caller", h.o.MaxIdentityClients), Hint: "close one first, or put several subscriptions on one connection"}
	}
	who.clients++
	h.identities[name] = who
	return who, nil
}

func (h *Hub) forgetIdentity(c *Client) {
	if c.who == nil {
		return
	}
	if c.who.clients--; c.who.clients == 0 {
		delete(h.identities, c.who.name)
	}
}

// mayAdd reports whether c may have one more subscription.
func (h *Hub) mayAdd(c *Client) error {
	if len(c.subs) >= h.o.MaxSubscriptions {
		return &twin.Error{Code: twin.CodeTooMany, Op: "subscribe", Message: fmt.Sprintf("at most %d subscriptions on one connection", h.o.MaxSubscriptions), Hint: "end a subscription first, or combine several into one filter"}
	}
	if c.who != nil && c.who.subs >= h.o.MaxIdentitySubscriptions {
		return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: fmt.Sprintf("at most %d subscriptions on all connections of one caller", h.o.MaxIdentitySubscriptions), Hint: "end subscriptions first, or combine several into one filter"}
	}
	return nil
}

// counted notes that c has n more subscriptions.
func (h *Hub) counted(c *Client, n int) {
	h.m.subscriptions.Add(float64(n))
	if c.who != nil {
		c.who.subs += n
	}
}

// Expiring is a View that ends by itself, with its token.
type Expiring interface {
	View
	// Expires is when access must be asked for again; zero: never by itself.
	Expires() time.Time
}

// expiryEvery is how often ended access is looked for: it stops within 2 s.
const expiryEvery = time.Second

// setAccess notes what c may see, and until when.
func (h *Hub) setAccess(c *Client, access View) {
	c.access = access
	if c.events != 0 {
		c.purgeEvents(access)
	}
	if e, ok := access.(Expiring); ok && !e.Expires().IsZero() {
		h.expiring[c] = struct{}{}
	} else {
		delete(h.expiring, c)
	}
}

// expire asks again for the access of clients whose time is over
// (上海市数据条例 第三十九条, R29). Under Hub.mu.
func (h *Hub) expire(ctx context.Context, now time.Time) {
	for c := range h.expiring {
		e, ok := c.access.(Expiring)
		if !ok || c.Closed() != nil {
			delete(h.expiring, c)
			continue
		}
		if now.Before(e.Expires()) {
			continue
		}
		access, err := c.see(ctx)
		if err != nil {
			c.Close(CloseAccess, "the token has expired")
			continue
		}
		for _, hd := range c.holds {
			if access.Key() != hd.view.access.Key() {
				c.Close(CloseAccess, accessReason)
				break
			}
		}
		h.setAccess(c, access)
	}
}
