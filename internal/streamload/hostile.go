package streamload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Hostile is a kind of client that no hub wants.
type Hostile string

// The kinds.
const (
	Stalled  Hostile = "stalled"  // subscribes to everything and reads nothing
	Trickle  Hostile = "trickle"  // reads a byte a second
	Garbage  Hostile = "garbage"  // sends what is no message, and connects again
	Greedy   Hostile = "greedy"   // subscribes to 100,000 things, one after the other
	Churning Hostile = "churning" // connects and ends again, as often as it can up to 1,000 times a second over all
)

// Hostiles are all kinds.
var Hostiles = []Hostile{Stalled, Trickle, Garbage, Greedy, Churning}

// Harass has n clients of a kind do what they do until ctx ends, and gives how
// often they connected. That the hub ends their connections is what is hoped
// for, so no error comes of it; one comes when the hub cannot be reached at all.
func Harass(ctx context.Context, streamURL, token string, kind Hostile, n int) (connected int64, err error) {
	u, err := url.Parse(streamURL)
	if err != nil {
		return 0, err
	}
	h := &harasser{url: u.String(), token: token, kind: kind, pace: time.Duration(n) * time.Second / 1000}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { h.run(ctx, i) })
	}
	wg.Wait()
	if n := h.connected.Load(); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("no %s client could connect: %w", kind, context.Cause(ctx))
}

type harasser struct {
	url, token string
	kind       Hostile
	pace       time.Duration // of a churning client
	connected  atomic.Int64
}

func (h *harasser) run(ctx context.Context, i int) {
	rnd := rand.New(rand.NewPCG(uint64(i), 11))
	pool := &sync.Pool{}
	for ctx.Err() == nil {
		pause := 100 * time.Millisecond // also what a refused client waits
		if h.kind == Churning {
			pause = h.pace
		}
		d := websocket.Dialer{HandshakeTimeout: 10 * time.Second, ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: pool, NetDialContext: (&net.Dialer{}).DialContext}
		if c, _, err := d.DialContext(ctx, h.url, http.Header{"Authorization": {"Bearer " + h.token}}); err == nil {
			h.connected.Add(1)
			end := context.AfterFunc(ctx, func() { _ = c.Close() })
			h.misbehave(ctx, c, rnd)
			end()
			_ = c.Close()
		}
		wait(ctx, pause)
	}
}

// misbehave returns when the connection has ended or ctx has.
func (h *harasser) misbehave(ctx context.Context, c *websocket.Conn, rnd *rand.Rand) {
	switch h.kind {
	case Stalled, Trickle:
		if t, ok := c.NetConn().(*net.TCPConn); ok {
			_ = t.SetReadBuffer(4096) // only the hub's own buffers are left
		}
		if c.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","id":"s1"}`)) != nil {
			return
		}
		one := make([]byte, 1)
		for ctx.Err() == nil {
			wait(ctx, time.Second)
			if h.kind == Stalled {
				// Whether the hub gave up shows in a write.
				if c.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","t":1}`)) != nil {
					return
				}
			} else if _, err := c.NetConn().Read(one); err != nil {
				return
			}
		}
	case Garbage:
		junk := make([]byte, 1+rnd.IntN(4096))
		for i := range junk {
			junk[i] = byte(rnd.Uint32())
		}
		if rnd.IntN(2) == 0 {
			_, _ = c.NetConn().Write(junk) // not even a frame
		} else {
			_ = c.WriteMessage(websocket.TextMessage, []byte(strings.ToValidUTF8(string(junk), "{")))
		}
		drain(c)
	case Greedy:
		var answers sync.WaitGroup
		answers.Go(func() { drain(c) })
		defer answers.Wait()
		defer func() { _ = c.Close() }()
		for i := range 100_000 {
			m := append(make([]byte, 0, 160), `{"type":"subscribe","id":"s`...)
			m = strconv.AppendInt(m, int64(i), 10)
			m = append(m, `","filter":{"bbox":[120.5,31.2,`...)
			m = strconv.AppendFloat(m, 120.6+rnd.Float64()/10, 'f', 6, 64)
			if c.WriteMessage(websocket.TextMessage, append(m, ",31.4]}}"...)) != nil {
				return
			}
		}
	case Churning:
		_ = c.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","id":"s1"}`))
	}
}

func drain(c *websocket.Conn) {
	for {
		if _, _, err := c.NextReader(); err != nil {
			return
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
