package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// dialers is how many connections are made at a time: a listener's backlog is
// short.
const dialers = 64

// settle lets the hub come to rest, and gives what it then uses.
func (h *hub) settle(ctx context.Context, b *bench) (processUsage, error) {
	if err := sleep(ctx, pick(b, 10*time.Second, time.Second)); err != nil {
		return processUsage{}, err
	}
	return h.usage()
}

// idleMQTT measures what a connection of a terminal costs that says nothing.
func idleMQTT(ctx context.Context, b *bench) (_ []line, err error) {
	n := pick(b, 10_000, 300)
	if err := needFiles(uint64(n)); err != nil {
		return nil, err
	}
	h, err := b.startHub(ctx, b.file("data"))
	if err != nil {
		return nil, err
	}
	before, err := h.settle(ctx, b)
	if err != nil {
		return nil, err
	}
	conns := make([]net.Conn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	began := time.Now()
	err = every(ctx, n, func(ctx context.Context, i int) (err error) {
		conns[i], err = dialIdle(ctx, h.mqtt, "idle-"+strconv.Itoa(i+1))
		return err
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	after, err := h.settle(ctx, b)
	if err != nil {
		return nil, err
	}
	// Each has to be alive still, and the hub has to know of all.
	if err := every(ctx, n, func(_ context.Context, i int) error { return ping(conns[i]) }); err != nil {
		return nil, err
	}
	s, err := h.status(ctx)
	if err != nil {
		return nil, err
	}
	if s.Counts.Connections != n {
		return nil, fmt.Errorf("%d connections are open, the hub counts %d", n, s.Counts.Connections)
	}
	l := perClient(n, before, after)
	l.Path = fmt.Sprintf("%s idle MQTT connections: memory", count(float64(n)))
	l.Measured += fmt.Sprintf("; connected in %s", durationText(took))
	l.Checked = "all answer PINGREQ afterwards"
	return []line{l}, nil
}

func perClient(n int, before, after processUsage) line {
	each := float64(after.rss-before.rss) / float64(n)
	return line{
		Goal:     "—",
		Measured: fmt.Sprintf("%s each (RSS %s → %s)", bytesText(int64(each)), bytesText(before.rss), bytesText(after.rss)),
		Values:   map[string]float64{"clients": float64(n), "bytesEach": each, "rssBeforeBytes": float64(before.rss), "rssBytes": float64(after.rss)},
	}
}

// every calls fn for 0 to n-1, some at a time.
func every(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(dialers)
	for i := range n {
		g.Go(func() error {
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			return fn(gctx, i)
		})
	}
	return g.Wait()
}

// dialIdle makes a bare MQTT 3.1.1 connection with a keep-alive of 60 s. The
// clients of internal/mqttclient have buffers for publishing, which thousands
// that say nothing do not need.
func dialIdle(ctx context.Context, addr, id string) (net.Conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	p := append([]byte{0x10, byte(12 + len(id))}, "\x00\x04MQTT\x04\x02\x00\x3c"...)
	p = append(binary.BigEndian.AppendUint16(p, uint16(len(id))), id...)
	if err := exchange(c, p, "\x20\x02\x00\x00"); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("connect %s: %w", id, err)
	}
	return c, nil
}

func ping(c net.Conn) error { return exchange(c, []byte{0xc0, 0}, "\xd0\x00") }

// exchange sends a packet and expects an answer.
func exchange(c net.Conn, packet []byte, want string) error {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(packet); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("the hub answers % x, expected % x", got, want)
	}
	return nil
}

// idleWebSocket measures what a viewer costs that subscribed to everything
// while nothing happens.
func idleWebSocket(ctx context.Context, b *bench) ([]line, error) {
	n := pick(b, 1000, 50)
	if err := needFiles(uint64(n)); err != nil {
		return nil, err
	}
	h, err := b.startHub(ctx, b.file("data"))
	if err != nil {
		return nil, err
	}
	before, err := h.settle(ctx, b)
	if err != nil {
		return nil, err
	}
	clients := make([]*subscriber, n)
	var beats atomic.Int64
	var readers errgroup.Group
	end := func() error {
		for _, c := range clients {
			if c != nil {
				c.end()
			}
		}
		return readers.Wait()
	}
	err = every(ctx, n, func(ctx context.Context, i int) (err error) {
		if clients[i], err = h.subscribe(ctx); err != nil {
			return err
		}
		return clients[i].snapshot(20*time.Second, nil)
	})
	if err != nil {
		return nil, errors.Join(err, end())
	}
	for _, c := range clients {
		// Reading answers the hub's pings as well.
		readers.Go(func() error {
			for {
				m, err := c.next()
				if err != nil {
					return nil // ended below
				}
				if kind(m) == "heartbeat" {
					beats.Add(1)
				}
			}
		})
	}
	var after processUsage
	var counted int
	err = func() error {
		if after, err = h.settle(ctx, b); err != nil {
			return err
		}
		s, err := h.status(ctx)
		counted = s.Counts.Subscribers
		return err
	}()
	if err := errors.Join(err, end()); err != nil {
		return nil, err
	}
	if counted != n {
		return nil, fmt.Errorf("%d clients are connected, the hub counts %d", n, counted)
	}
	l := perClient(n, before, after)
	l.Path = fmt.Sprintf("%s idle WebSocket clients, subscribed to everything: memory", count(float64(n)))
	l.Checked = fmt.Sprintf("all connected afterwards; %d heartbeats", beats.Load())
	return []line{l}, nil
}
