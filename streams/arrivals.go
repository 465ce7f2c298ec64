package streams

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"cityhub/twin"
)

// Arrivals limits how fast one caller begins connections: each may begin a
// number a second, with a reserve of ten seconds' worth. It keeps a caller until
// the reserve is full again, and looks the table over before it grows beyond
// twice what was left the last time, so that it is bounded by the rate at which
// callers come. It is safe for concurrent use.
type Arrivals struct {
	rate float64 // connections a second
	now  func() time.Time

	mu    sync.Mutex
	byKey map[string]*arrivals
	sweep int // entries at which the table is looked over
}

type arrivals struct {
	reserve float64 // connections that may begin at once
	last    time.Time
}

const (
	reserveSeconds = 10
	minSweep       = 1024
)

// DefaultArrivals is how many connections a second one caller may begin unless
// the configuration says otherwise.
const DefaultArrivals = 200

// NewArrivals makes Arrivals that let perSecond connections of one caller begin a
// second; zero means DefaultArrivals, nil for now time.Now.
func NewArrivals(perSecond int, now func() time.Time) *Arrivals {
	if perSecond == 0 {
		perSecond = DefaultArrivals
	}
	if now == nil {
		now = time.Now
	}
	return &Arrivals{rate: float64(perSecond), now: now, byKey: make(map[string]*arrivals), sweep: minSweep}
}

// Came counts a new connection of a caller. CodeTooMany: it comes too soon.
func (a *Arrivals) Came(caller string) error {
	now := a.now()
	full := a.rate * reserveSeconds
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.byKey[caller]
	if e == nil {
		if len(a.byKey) >= a.sweep {
			for key, e := range a.byKey {
				if e.refill(now, a.rate, full); e.reserve >= full {
					delete(a.byKey, key)
				}
			}
			a.sweep = max(minSweep, 2*len(a.byKey))
		}
		e = &arrivals{reserve: full, last: now}
		a.byKey[caller] = e
	}
	e.refill(now, a.rate, full)
	if e.reserve < 1 {
		return &twin.Error{Code: twin.CodeTooMany, Op: "connect", Message: fmt.Sprintf("more than %v stream connections a second", a.rate), Hint: "keep a connection open, and reconnect with backoff"}
	}
	e.reserve--
	return nil
}

func (e *arrivals) refill(now time.Time, rate, full float64) {
	if d := now.Sub(e.last).Seconds(); d > 0 {
		e.reserve, e.last = min(full, e.reserve+d*rate), now
	}
}

// Caller is whose a request is, for the limits of one caller: what identity
// says or, when that is nil or says nothing, its address.
func Caller(r *http.Request, identity func(*http.Request) string) string {
	if identity != nil {
		if name := identity(r); name != "" {
			return name
		}
	}
	return "address " + AddressOf(r)
}

// AddressOf is the address that a request comes from; of IPv6, where one client
// has as many as it likes, the network of 64 bits.
func AddressOf(r *http.Request) string {
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
