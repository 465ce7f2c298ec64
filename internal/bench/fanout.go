package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"cityhub/internal/streamload"
)

// oldTown is where loadgen.Manifest puts the terminals.
var oldTown = streamload.Box{West: 120.598, South: 31.285, East: 120.641, North: 31.332}

// crowd is a hub with registered terminals, a publisher and subscribers.
type crowd struct {
	b    *bench
	h    *hub
	pub  *streamload.Publisher
	load *streamload.Load
}

// crowd starts a hub with terminals of so many properties, and connects a
// publisher and subscribers to it.
func (b *bench) crowd(ctx context.Context, p streamload.PublisherOptions, o streamload.Options) (_ *crowd, err error) {
	if err := needFiles(uint64(o.Clients)); err != nil {
		return nil, err
	}
	c := &crowd{b: b}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.h, err = b.startHub(ctx, b.file("data")); err != nil {
		return nil, err
	}
	if err := b.register(ctx, c.h, p.Terminals, max(p.Readings, 1)); err != nil {
		return nil, err
	}
	p.Broker = c.h.mqtt
	if c.pub, err = streamload.NewPublisher(ctx, p); err != nil {
		return nil, err
	}
	o.URL, o.Token = c.h.streamURL(), c.h.token
	c.load, err = streamload.Dial(ctx, o)
	return c, err
}

func (h *hub) streamURL() string { return "ws" + strings.TrimPrefix(h.http, "http") + "/stream" }

func (c *crowd) close() error {
	var errs []error
	if c.load != nil {
		errs = append(errs, c.load.Close())
	}
	if c.pub != nil {
		errs = append(errs, c.pub.Close())
	}
	return errors.Join(errs...)
}

// finish waits until every client has had every published reading, when each
// sees times of what is published, and ends the clients.
func (c *crowd) finish(ctx context.Context, times int64) (streamload.Stats, error) {
	if err := c.load.Wait(ctx, times*c.pub.Published()); err != nil {
		return streamload.Stats{}, err
	}
	// A moment more would show a reading that comes twice.
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return streamload.Stats{}, err
	}
	s := c.load.Stats()
	if err := c.load.Close(); err != nil {
		return s, err
	}
	switch n := times * c.pub.Published(); {
	case s.Readings != n:
		return s, fmt.Errorf("%d readings were delivered, %d expected", s.Readings, n)
	case c.pub.Acked() != c.pub.Published():
		return s, fmt.Errorf("%d of %d readings were acknowledged", c.pub.Acked(), c.pub.Published())
	}
	return s, nil
}

func quantileMs(h *hdr.Histogram, q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }

// fanoutRow measures how many frames a second leave the hub when everybody sees
// everything. The next message is published when the one before the last has
// reached all, so that the rate is what hub and clients can do together. A
// message of 25 readings is a frame of about 1 KB, unless the hub joins two.
func fanoutRow(ctx context.Context, b *bench) ([]line, error) {
	const readings, ahead = 25, 2
	clients, length := pick(b, 500, 20), pick(b, 15*time.Second, time.Second)
	c, err := b.crowd(ctx, streamload.PublisherOptions{Terminals: 20, Readings: readings}, streamload.Options{Clients: clients})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }()
	before, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	start, first := time.Now(), c.load.Stats()
	for n := int64(1); time.Since(start) < length; n++ {
		if err := c.pub.Send(); err != nil {
			return nil, err
		}
		if err := c.load.Wait(ctx, int64(clients)*readings*(n-ahead)); err != nil {
			return nil, err
		}
	}
	if err := c.pub.Drain(); err != nil {
		return nil, err
	}
	if err := c.load.Wait(ctx, int64(clients)*c.pub.Published()); err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	after, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	last := c.load.Stats()
	if _, err := c.finish(ctx, int64(clients)); err != nil {
		return nil, err
	}
	frames, bytes := float64(last.Frames-first.Frames), float64(last.Bytes-first.Bytes)
	rows := float64(last.Readings - first.Readings)
	return []line{{
		Path: fmt.Sprintf("fan-out to %s WebSocket clients, frames of %s", count(float64(clients)), bytesText(int64(bytes/frames))),
		Goal: "≥ 100 k frames/s of 1 KB, ≥ 1 M readings/s",
		Measured: fmt.Sprintf("%s frames/s, %s readings/s, %s/s; hub's CPU %.1f s of %.1f s",
			count(frames/took), count(rows/took), bytesText(int64(bytes/took)), after.cpuSeconds-before.cpuSeconds, took),
		Checked: fmt.Sprintf("each client got each of %s acknowledged readings once, in order", count(float64(c.pub.Published()))),
		Values: map[string]float64{"clients": float64(clients), "framesPerSecond": frames / took, "readingsPerSecond": rows / took,
			"frameBytes": bytes / frames, "bytesPerSecond": bytes / took, "hubCpuSeconds": after.cpuSeconds - before.cpuSeconds, "seconds": took},
	}}, nil
}

// manyClients measures 10,000 clients that get five updates a second, in 16
// different views.
func manyClients(ctx context.Context, b *bench) ([]line, error) {
	const views, perSecond = 16, 5
	clients, length := pick(b, 10_000, 100), pick(b, 20*time.Second, 2*time.Second)
	c, err := b.crowd(ctx, streamload.PublisherOptions{Terminals: 10, Readings: views}, streamload.Options{
		Clients: clients, Filter: func(i int) string { return fmt.Sprintf(`{"observedProperties":["v%d"]}`, i%views+1) },
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }()
	if err := c.pub.Run(ctx, perSecond, pick(b, 2*time.Second, 400*time.Millisecond)); err != nil { // warm-up
		return nil, err
	}
	c.load.MeasureFrom(time.Now())
	before, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := c.pub.Run(ctx, perSecond, length); err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	// Of the 16 readings of a message each client sees one.
	published := c.pub.Published() / views
	if err := c.load.Wait(ctx, published*int64(clients)); err != nil {
		return nil, err
	}
	after, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	s, d := c.load.Stats(), c.load.Delivery()
	if err := c.load.Close(); err != nil {
		return nil, err
	}
	if s.Readings != published*int64(clients) {
		return nil, fmt.Errorf("%d readings were delivered, %d expected", s.Readings, published*int64(clients))
	}
	return []line{{
		Path: fmt.Sprintf("%s WebSocket clients at %d updates/s each, publish → delivery p50 / p99", count(float64(clients)), perSecond), Goal: "all delivered",
		Measured: fmt.Sprintf("%s / %s ms (max %s ms); hub's CPU %.1f s of %.1f s; RSS %s", ms(quantileMs(d, 50)), ms(quantileMs(d, 99)), ms(quantileMs(d, 100)),
			after.cpuSeconds-before.cpuSeconds, took, bytesText(after.rss)),
		Checked: fmt.Sprintf("each of %s readings delivered once, in order", count(float64(s.Readings))),
		Values: map[string]float64{"clients": float64(clients), "p50Ms": quantileMs(d, 50), "p99Ms": quantileMs(d, 99), "maxMs": quantileMs(d, 100),
			"hubCpuSeconds": after.cpuSeconds - before.cpuSeconds, "seconds": took, "rssBytes": float64(after.rss)},
	}}, nil
}

// idleStream measures what a connection costs while nothing happens.
func idleStream(ctx context.Context, b *bench) ([]line, error) {
	n := pick(b, 10_000, 100)
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
	load, err := streamload.Dial(ctx, streamload.Options{URL: h.streamURL(), Token: h.token, Clients: n})
	if err != nil {
		return nil, err
	}
	defer func() { _ = load.Close() }()
	after, err := h.settle(ctx, b)
	if err != nil {
		return nil, err
	}
	s, err := h.status(ctx)
	if err != nil {
		return nil, err
	}
	beats := load.Stats().Heartbeats
	if err := load.Close(); err != nil {
		return nil, err
	}
	if s.Counts.Subscribers != n {
		return nil, fmt.Errorf("%d clients are connected, the hub counts %d", n, s.Counts.Subscribers)
	}
	l := perClient(n, before, after)
	l.Path, l.Goal = fmt.Sprintf("%s idle WebSocket clients, subscribed to everything: memory", count(float64(n))), "≤ 16 KB each"
	l.Checked = fmt.Sprintf("all connected afterwards; %d heartbeats", beats)
	return []line{l}, nil
}
