package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"cityhub/internal/streamload"
)

// panning measures 1,000 clients that each move their viewport twice a second
// over terminals that publish.
func panning(ctx context.Context, b *bench) ([]line, error) {
	const share = 0.2 // of the old town's width and height
	clients, length, rate := pick(b, 1000, 40), pick(b, 15*time.Second, 2*time.Second), pick(b, 1000.0, 200.0)
	cameras := make([]*streamload.Camera, clients)
	for i := range cameras {
		cameras[i] = streamload.NewCamera(oldTown, share, uint64(i))
	}
	c, err := b.crowd(ctx, streamload.PublisherOptions{Terminals: liveTerminals, Connections: 10}, streamload.Options{
		Clients: clients, Filter: func(i int) string { return cameras[i].Box().Filter() },
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }()
	before, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	moving, stop := context.WithCancel(gctx)
	defer stop()
	g.Go(func() error {
		defer stop()
		return c.pub.Run(gctx, rate, length)
	})
	g.Go(func() error {
		return c.load.Pan(moving, 500*time.Millisecond, func(i int) string { return cameras[i].Move().Filter() })
	})
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, c.load.Close())
	}
	took := time.Since(start).Seconds()
	after, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, time.Second); err != nil { // the last answers
		return nil, err
	}
	s, p, d := c.load.Stats(), c.load.Changing(), c.load.Delivery()
	if err := c.load.Close(); err != nil {
		return nil, err
	}
	if s.Changes == 0 || s.Readings == 0 || c.pub.Acked() != c.pub.Published() {
		return nil, fmt.Errorf("%d changes and %d readings came; %d of %d readings were acknowledged", s.Changes, s.Readings, c.pub.Acked(), c.pub.Published())
	}
	return []line{{
		Path: fmt.Sprintf("%s clients panning twice a second at %s readings/s: view complete p50 / p99", count(float64(clients)), count(rate)), Goal: "all answered",
		Measured: fmt.Sprintf("%s / %s ms (max %s ms); %s changes/s answered, %s came too early for the last; delivery p50 / p99 %s / %s ms; hub's CPU %.1f s of %.1f s",
			ms(quantileMs(p, 50)), ms(quantileMs(p, 99)), ms(quantileMs(p, 100)), count(float64(s.Changes)/took), count(float64(s.Late)),
			ms(quantileMs(d, 50)), ms(quantileMs(d, 99)), after.cpuSeconds-before.cpuSeconds, took),
		Checked: fmt.Sprintf("each of %s deliveries the next of its Datastream after the view's snapshot", count(float64(s.Readings))),
		Values: map[string]float64{"clients": float64(clients), "changesPerSecond": float64(s.Changes) / took, "late": float64(s.Late), "p50Ms": quantileMs(p, 50), "p99Ms": quantileMs(p, 99),
			"deliveryP50Ms": quantileMs(d, 50), "deliveryP99Ms": quantileMs(d, 99), "hubCpuSeconds": after.cpuSeconds - before.cpuSeconds, "seconds": took},
	}}, nil
}

// spatialLatency measures the way of a reading while 1,000 clients look at a
// part of the city each.
func spatialLatency(ctx context.Context, b *bench) ([]line, error) {
	const share = 0.035 // one or two of the terminals
	clients, rate := pick(b, 1000, 40), pick(b, 50_000.0, 1000.0)
	warm, length := pick(b, 3*time.Second, 500*time.Millisecond), pick(b, 15*time.Second, 2*time.Second)
	c, err := b.crowd(ctx, streamload.PublisherOptions{Terminals: liveTerminals, Connections: liveConnections}, streamload.Options{
		Clients: clients, Filter: func(i int) string { return streamload.NewCamera(oldTown, share, uint64(i)).Box().Filter() },
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }()
	c.load.MeasureFrom(time.Now().Add(warm))
	before, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := c.pub.Run(ctx, rate, warm+length); err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	after, err := c.h.usage()
	if err != nil {
		return nil, err
	}
	if _, err := c.h.caughtUp(ctx); err != nil {
		return nil, err
	}
	if err := sleep(ctx, 500*time.Millisecond); err != nil {
		return nil, err
	}
	s, d := c.load.Stats(), c.load.Delivery()
	if err := c.load.Close(); err != nil {
		return nil, err
	}
	if c.pub.Acked() != c.pub.Published() || s.Readings == 0 {
		return nil, fmt.Errorf("%d of %d readings were acknowledged, %d delivered", c.pub.Acked(), c.pub.Published(), s.Readings)
	}
	return []line{{
		Path: fmt.Sprintf("publish → delivery at %s readings/s with %s spatial subscriptions, p50 / p99", count(rate), count(float64(clients))), Goal: "p99 < 25 ms",
		Measured: fmt.Sprintf("%s / %s ms (max %s ms); %s readings/s taken in, %s deliveries/s in %s frames/s; hub's CPU %.1f s of %.1f s",
			ms(quantileMs(d, 50)), ms(quantileMs(d, 99)), ms(quantileMs(d, 100)), count(float64(c.pub.Acked())/took), count(float64(s.Readings)/took), count(float64(s.Frames)/took),
			after.cpuSeconds-before.cpuSeconds, took),
		Checked: fmt.Sprintf("each of %s deliveries the next of its Datastream", count(float64(s.Readings))),
		Values: map[string]float64{"clients": float64(clients), "readingsPerSecond": float64(c.pub.Acked()) / took, "targetPerSecond": rate, "deliveriesPerSecond": float64(s.Readings) / took,
			"p50Ms": quantileMs(d, 50), "p99Ms": quantileMs(d, 99), "p999Ms": quantileMs(d, 99.9), "maxMs": quantileMs(d, 100), "hubCpuSeconds": after.cpuSeconds - before.cpuSeconds, "seconds": took},
	}}, nil
}

// hostileRow measures what bad neighbours do to others: the p99 of 100 good
// clients beside each kind of them, as a multiple of the p99 without.
func hostileRow(ctx context.Context, b *bench) ([]line, error) {
	const neighbours = 50
	clients, length, rate := pick(b, 100, 20), pick(b, 8*time.Second, time.Second), pick(b, 2000.0, 200.0)
	c, err := b.crowd(ctx, streamload.PublisherOptions{Terminals: liveTerminals, Connections: 10}, streamload.Options{
		Clients: 1, Filter: func(int) string { return oldTown.Filter() }, // it sees every reading
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }()
	// measure lets good clients of their own look on for a while.
	measure := func() (p99 float64, err error) {
		load, err := streamload.Dial(ctx, streamload.Options{URL: c.h.streamURL(), Token: c.h.token, Clients: clients,
			Filter: func(i int) string { return streamload.NewCamera(oldTown, 0.2, uint64(i)).Box().Filter() }})
		if err != nil {
			return 0, err
		}
		load.MeasureFrom(time.Now().Add(length / 8))
		err = c.pub.Run(ctx, rate, length)
		if err == nil {
			err = sleep(ctx, 300*time.Millisecond)
		}
		if load.Stats().Readings == 0 && err == nil {
			err = errors.New("the good clients got nothing")
		}
		return quantileMs(load.Delivery(), 99), errors.Join(err, load.Close())
	}
	if err := c.pub.Run(ctx, rate, length/4); err != nil { // warm-up
		return nil, err
	}
	alone, err := measure()
	if err != nil {
		return nil, err
	}
	values := map[string]float64{"aloneP99Ms": alone}
	var texts []string
	worst := 0.0
	for _, kind := range streamload.Hostiles {
		bad, stop := context.WithCancel(ctx)
		var connected atomic.Int64
		var g errgroup.Group
		g.Go(func() error {
			n, err := streamload.Harass(bad, c.h.streamURL(), c.h.token, kind, neighbours)
			connected.Store(n)
			return err
		})
		p99, err := measure()
		stop()
		if err := errors.Join(err, g.Wait()); err != nil {
			return nil, fmt.Errorf("beside %s clients: %w", kind, err)
		}
		worst = max(worst, p99/alone)
		values[string(kind)+"P99Ms"], values[string(kind)+"Connections"] = p99, float64(connected.Load())
		texts = append(texts, fmt.Sprintf("%s %s ms", kind, ms(p99)))
	}
	values["worstRatio"] = worst
	// A client that sees all has had all to the end, so no reading was lost on anybody's account.
	s, err := c.finish(ctx, 1)
	if err != nil {
		return nil, err
	}
	return []line{{
		Path: fmt.Sprintf("p99 of %s good clients beside %d hostile ones, as a multiple of the p99 alone", count(float64(clients)), neighbours), Goal: "≤ 2",
		Measured: fmt.Sprintf("worst %.2f (alone %s ms; %s)", worst, ms(alone), strings.Join(texts, ", ")),
		Checked:  fmt.Sprintf("good clients: no connection lost, no reading missing; one of them got each of %s", count(float64(s.Readings))),
		Values:   values,
	}}, nil
}
