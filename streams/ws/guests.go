package ws

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"cityhub/twin"
)

// guests counts connections by the address they come from. An address is
// forgotten when it has no connection and its reserve is full again; the table
// is looked over before it grows beyond twice what was left the last time, so
// that it is bounded by the connections and the rate at which they come.
type guests struct {
	max  int
	rate float64 // connections a second
	now  func() time.Time

	mu    sync.Mutex
	byKey map[string]*guest
	sweep int // entries at which the table is looked over
}

// guest is one address.
type guest struct {
	conns   int
	reserve float64 // connections it may begin at once
	last    time.Time
}

// reserveSeconds is how many seconds of the rate an address may use up at once.
const reserveSeconds = 10

const minSweep = 1024

func (g *guests) limit(conns, perSecond int, now func() time.Time) {
	g.max, g.rate, g.now = conns, float64(perSecond), now
	g.byKey, g.sweep = make(map[string]*guest), minSweep
}

// came counts a new connection from an address. CodeTooMany: it has as many as
// it may, or begins them too fast.
func (g *guests) came(key string) (*guest, error) {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.byKey[key]
	if e == nil {
		if len(g.byKey) >= g.sweep {
			g.forget(now)
		}
		e = &guest{reserve: g.rate * reserveSeconds, last: now}
		g.byKey[key] = e
	}
	g.refill(e, now)
	if e.reserve < 1 {
		return nil, &twin.Error{Code: twin.CodeTooMany, Op: "open stream", Message: fmt.Sprintf("more than %v connections a second from this address", g.rate), Hint: "keep a connection open, and reconnect with backoff"}
	}
	e.reserve--
	if g.max > 0 && e.conns >= g.max {
		return nil, &twin.Error{Code: twin.CodeTooMany, Op: "open stream", Message: fmt.Sprintf("%d connections from this address, which is the limit", e.conns), Hint: "use one connection for several subscriptions"}
	}
	e.conns++
	return e, nil
}

func (g *guests) left(e *guest) {
	g.mu.Lock()
	e.conns--
	g.mu.Unlock()
}

func (g *guests) refill(e *guest, now time.Time) {
	if d := now.Sub(e.last).Seconds(); d > 0 {
		e.reserve, e.last = min(g.rate*reserveSeconds, e.reserve+d*g.rate), now
	}
}

func (g *guests) forget(now time.Time) {
	for key, e := range g.byKey {
		if g.refill(e, now); e.conns == 0 && e.reserve >= g.rate*reserveSeconds {
			delete(g.byKey, key)
		}
	}
	g.sweep = max(minSweep, 2*len(g.byKey))
}

// addressOf is the address that a request comes from; of IPv6, where one client
// has as many as it likes, the network of 64 bits.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Unmap().Is4() {
		return host
	}
	p, err := a.Prefix(64)
	if err != nil {
		return host
	}
	return p.String()
}
