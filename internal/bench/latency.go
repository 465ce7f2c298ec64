package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"cityhub/internal/loadgen"
	"cityhub/internal/mqttclient"
)

const (
	liveConnections = 50
	liveTerminals   = 1000 // 20 a connection: none publishes twice in a millisecond at the rates measured
	longestMicros   = 60_000_000
)

// latencyRow measures the way of a reading from the publisher to a WebSocket
// client. Publishers and client share this process and so one clock.
func latencyRow(rate int) func(context.Context, *bench) ([]line, error) {
	return func(ctx context.Context, b *bench) ([]line, error) {
		rate := pick(b, rate, rate/20)
		warm, length := pick(b, 2*time.Second, 500*time.Millisecond), pick(b, 15*time.Second, 2*time.Second)
		h, err := b.startHub(ctx, b.file("data"))
		if err != nil {
			return nil, err
		}
		if err := b.register(ctx, h, liveTerminals, 1); err != nil {
			return nil, err
		}
		s, err := h.subscribe(ctx)
		if err != nil {
			return nil, err
		}
		defer s.end()
		if err := s.snapshot(30*time.Second, nil); err != nil {
			return nil, err
		}
		run := newLiveRun(h, rate, warm, warm+length)
		if err := run.run(ctx, s); err != nil {
			return nil, err
		}
		if _, err := h.caughtUp(ctx); err != nil {
			return nil, err
		}
		if err := run.checkStored(ctx); err != nil {
			return nil, err
		}

		us := func(hist *hdr.Histogram, q float64) float64 { return float64(hist.ValueAtQuantile(q)) / 1000 }
		achieved := float64(run.total) / run.took.Seconds()
		l := line{
			Path: fmt.Sprintf("publish → WebSocket delivery at %s readings/s, p50 / p99", count(float64(rate))), Goal: "—",
			Measured: fmt.Sprintf("%s / %s ms (max %s ms; from when it was due %s / %s ms); %s readings/s sent; hub's CPU %.1f s of %.1f s",
				ms(us(run.handed, 50)), ms(us(run.handed, 99)), ms(us(run.handed, 100)), ms(us(run.due, 50)), ms(us(run.due, 99)),
				count(achieved), run.hubCPU, run.took.Seconds()),
			Checked: fmt.Sprintf("each of %s acknowledged readings delivered once and stored", count(float64(run.total))),
			Values: map[string]float64{
				"p50Ms": us(run.handed, 50), "p99Ms": us(run.handed, 99), "p999Ms": us(run.handed, 99.9), "maxMs": us(run.handed, 100),
				"dueP50Ms": us(run.due, 50), "dueP99Ms": us(run.due, 99), "dueMaxMs": us(run.due, 100),
				"readingsPerSecond": achieved, "targetPerSecond": float64(rate), "measured": float64(run.handed.TotalCount()),
				"hubCpuSeconds": run.hubCPU, "seconds": run.took.Seconds(),
			},
		}
		if rate == 20_000 {
			l.Goal = "< 5 ms / < 25 ms"
		}
		return []line{l}, nil
	}
}

// liveRun is one run of paced publishers. The value of a reading is its number,
// by which the subscriber finds when it was sent.
type liveRun struct {
	hub      *hub
	epoch    time.Time     // zero of all ns below
	interval time.Duration // between two readings of a connection
	warm     time.Duration // readings due in it are not measured
	start    int64         // ns, of publishing
	each     int           // readings of a connection
	total    int           // readings of the run

	sentMs []int64        // by number: the time of observation; written before sentNs
	sentNs []atomic.Int64 // by number: when it was handed to the connection; 0: not yet
	acked  atomic.Int64
	took   time.Duration // of publishing
	hubCPU float64       // s, in that time

	// Of the subscriber:
	arrived atomic.Int64 // different readings
	seen    []bool
	handed  *hdr.Histogram // µs from the connection to the subscriber
	due     *hdr.Histogram // µs from when the reading was due
}

func newLiveRun(h *hub, rate int, warm, length time.Duration) *liveRun {
	r := &liveRun{
		hub: h, epoch: time.Now(), interval: liveConnections * time.Second / time.Duration(rate), warm: warm,
		handed: hdr.New(1, longestMicros, 3), due: hdr.New(1, longestMicros, 3),
	}
	r.each = int(length / r.interval)
	r.total = r.each * liveConnections
	r.sentMs, r.sentNs, r.seen = make([]int64, r.total), make([]atomic.Int64, r.total), make([]bool, r.total)
	return r
}

// dueNs is when reading n is due, in ns after the start: the connections take
// turns at even distances.
func (r *liveRun) dueNs(n int) int64 {
	k, c := int64(n/liveConnections), int64(n%liveConnections)
	return k*int64(r.interval) + c*int64(r.interval)/liveConnections
}

// run publishes everything and returns when all of it has been delivered.
func (r *liveRun) run(ctx context.Context, s *subscriber) error {
	watched := make(chan error, 1)
	go func() { watched <- r.watch(s) }()
	if err := r.publish(ctx); err != nil {
		s.end()
		return errors.Join(err, <-watched)
	}
	// All is acknowledged, so all is on its way. A moment more would show a
	// reading that comes twice.
	deadline := time.Now().Add(20 * time.Second)
	for last := false; !last; {
		last = r.arrived.Load() == int64(r.total) || time.Now().After(deadline)
		select {
		case err := <-watched:
			return err
		case <-ctx.Done():
			s.end()
			return errors.Join(context.Cause(ctx), <-watched)
		case <-time.After(200 * time.Millisecond):
		}
	}
	s.end()
	return <-watched
}

// publish connects all publishers, then lets them send; it returns when all is
// acknowledged.
func (r *liveRun) publish(ctx context.Context) error {
	conns := make([]*mqttclient.Conn, liveConnections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for i := range conns {
		var err error
		conns[i], err = mqttclient.Dial(ctx, mqttclient.Options{
			Address: r.hub.mqtt, ClientID: "bench-" + strconv.Itoa(i+1), Window: 4096, Epoch: r.epoch,
			Acked: func(uint64, int64, int64) { r.acked.Add(1) },
		})
		if err != nil {
			return err
		}
	}
	r.start = int64(time.Since(r.epoch) + 100*time.Millisecond)
	before, err := r.hub.usage()
	if err != nil {
		return err
	}
	var g errgroup.Group
	for i, c := range conns {
		g.Go(func() error { return r.drive(c, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.took = time.Since(r.epoch) - time.Duration(r.start)
	after, err := r.hub.usage()
	r.hubCPU = after.cpuSeconds - before.cpuSeconds
	return err
}

// drive sends the readings of one connection, each when it is due, and waits
// for the acknowledgements. A reading that is late goes at once.
func (r *liveRun) drive(c *mqttclient.Conn, i int) error {
	const own = liveTerminals / liveConnections
	var topics [own]string
	var last [own]int64
	for t := range topics {
		topics[t] = "terminals/" + loadgen.Code("", i+t*liveConnections) + "/up/json"
	}
	var payload []byte
	m := mqttclient.Message{QoS: 1}
	for k := range r.each {
		n := k*liveConnections + i
		due := r.start + r.dueNs(n)
		for now := int64(time.Since(r.epoch)); now < due; now = int64(time.Since(r.epoch)) {
			if err := c.Poll(due); err != nil {
				return err
			}
		}
		t := k % own
		// A publisher that catches up may come back to a terminal within the
		// millisecond; its times of observation stay different.
		last[t] = max(last[t]+1, time.Now().UnixMilli())
		payload = append(payload[:0], `{"t":`...)
		payload = strconv.AppendInt(payload, last[t], 10)
		payload = append(payload, `,"v1":`...)
		payload = strconv.AppendInt(payload, int64(n), 10)
		payload = append(payload, '}')
		m.Topic, m.Payload = topics[t], payload
		r.sentMs[n] = last[t]
		r.sentNs[n].Store(int64(time.Since(r.epoch)))
		if err := c.Publish(&m); err != nil {
			return err
		}
		if err := c.Flush(); err != nil {
			return err
		}
	}
	return c.Drain()
}

// watch takes what the stream delivers until the connection ends.
func (r *liveRun) watch(s *subscriber) error {
	for {
		m, err := s.next()
		if err != nil {
			if n := r.arrived.Load(); n != int64(r.total) {
				return fmt.Errorf("%d of %d readings were delivered: %w", n, r.total, err)
			}
			return nil
		}
		if kind(m) != "delta" {
			continue
		}
		now := int64(time.Since(r.epoch))
		if err := eachObservation(m, func(_, atMs int64, result []byte) error { return r.take(now, atMs, result) }); err != nil {
			return err
		}
	}
}

func (r *liveRun) take(now, atMs int64, result []byte) error {
	n, err := strconv.Atoi(string(result))
	if err != nil || n < 0 || n >= r.total {
		return fmt.Errorf("the stream delivered the result %q, which was not published", result)
	}
	sent := r.sentNs[n].Load()
	switch {
	case sent == 0:
		return fmt.Errorf("reading %d was delivered before it was sent", n)
	case r.seen[n]:
		return fmt.Errorf("reading %d was delivered twice", n)
	case atMs != r.sentMs[n]:
		return fmt.Errorf("reading %d is of %d, delivered as of %d", n, r.sentMs[n], atMs)
	}
	r.seen[n] = true
	r.arrived.Add(1)
	after := r.dueNs(n)
	if after < int64(r.warm) {
		return nil
	}
	return errors.Join(r.handed.RecordValue(micros(now-sent)), r.due.RecordValue(micros(now-r.start-after)))
}

func micros(ns int64) int64 { return min(max(ns/1000, 1), longestMicros) }

// checkStored compares what the hub holds with what it acknowledged.
func (r *liveRun) checkStored(ctx context.Context) error {
	if n := r.acked.Load(); n != int64(r.total) {
		return fmt.Errorf("%d of %d readings were acknowledged", n, r.total)
	}
	var stored atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(askers)
	for i := range liveTerminals {
		g.Go(func() error {
			ids, err := r.hub.datastreams(ctx, loadgen.Code("", i))
			if err != nil {
				return err
			}
			n, _, err := r.hub.lastOf(ctx, ids[loadgen.Property(0)])
			stored.Add(n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if n := stored.Load(); n != int64(r.total) {
		return fmt.Errorf("%d readings were acknowledged and %d are stored", r.total, n)
	}
	return nil
}
