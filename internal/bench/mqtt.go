package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// mqttRow measures the way of a reading from a terminal into the log: as fast
// as it is acknowledged, from the program's own load generator.
func mqttRow(qos, readings int) func(context.Context, *bench) ([]line, error) {
	return func(ctx context.Context, b *bench) ([]line, error) {
		const connections, window = 100, 20
		duration := pick(b, 15*time.Second, 2*time.Second)
		h, err := b.startHub(ctx, b.file("data"))
		if err != nil {
			return nil, err
		}
		if err := b.register(ctx, h, connections, readings); err != nil {
			return nil, err
		}
		before, err := h.usage()
		if err != nil {
			return nil, err
		}
		// What a client of QoS 0 has written may lie in socket buffers: the
		// growth of the log tells how fast the hub took it.
		var growth *logGrowth
		if qos == 0 {
			growth = watchLog(ctx, h)
			defer growth.stop()
		}
		res, generator, err := b.load(ctx, h, "--qos", strconv.Itoa(qos), "--connections", strconv.Itoa(connections), "--window", strconv.Itoa(window),
			"--readings", strconv.Itoa(readings), "--duration", duration.String())
		if err != nil {
			return nil, err
		}
		during, err := h.usage()
		if err != nil {
			return nil, err
		}
		var span time.Duration
		if growth != nil {
			if span, err = growth.settled(ctx); err != nil {
				return nil, err
			}
		}
		behind, err := h.caughtUp(ctx)
		if err != nil {
			return nil, err
		}
		after, err := h.usage()
		if err != nil {
			return nil, err
		}
		stored, err := h.storedLoad(ctx, res, qos == 0)
		if err != nil {
			return nil, err
		}

		l := line{Goal: "—", Values: map[string]float64{
			"seconds": res.Seconds, "stored": float64(stored),
			"hubCpuSeconds": during.cpuSeconds - before.cpuSeconds, "hubCpuSecondsCaughtUp": after.cpuSeconds - before.cpuSeconds,
			"generatorCpuSeconds": cpuSeconds(generator), "hubPeakRssBytes": float64(after.peak), "catchUpSeconds": behind.Seconds(),
		}}
		cost := fmt.Sprintf("CPU: hub %.1f s, generator %.1f s; hub's peak RSS %s; series caught up after %s",
			l.Values["hubCpuSeconds"], l.Values["generatorCpuSeconds"], bytesText(after.peak), durationText(behind))
		if qos == 0 {
			if stored > res.Readings {
				return nil, fmt.Errorf("%d readings were published and %d are stored", res.Readings, stored)
			}
			rate := float64(stored) / max(span.Seconds(), 1e-3)
			l.Path = fmt.Sprintf("MQTT QoS 0 → durable, %d connections, %s", connections, perMessage(readings))
			l.Measured = fmt.Sprintf("%s readings/s; %s", count(rate), cost)
			l.Checked = fmt.Sprintf("%s of %s published readings stored (QoS 0 promises none)", count(float64(stored)), count(float64(res.Readings)))
			l.Values["readingsPerSecond"], l.Values["published"] = rate, float64(res.Readings)
			return []line{l}, nil
		}
		acked := res.Acked * int64(res.PerMessage)
		l.Values["acknowledged"] = float64(acked)
		switch {
		case res.Unacked != 0 || res.Errors != 0:
			return nil, fmt.Errorf("%d messages were not acknowledged, %d connections were lost", res.Unacked, res.Errors)
		case acked == 0:
			return nil, errors.New("nothing was acknowledged")
		case stored != acked:
			return nil, fmt.Errorf("%d readings were acknowledged and %d are stored", acked, stored)
		}
		l.Path = fmt.Sprintf("MQTT QoS 1 → durable → acknowledged, %d connections × %d in flight, %s", connections, window, perMessage(readings))
		if readings == 1 {
			l.Goal = "≥ 200 k readings/s"
		}
		l.Measured = fmt.Sprintf("%s readings/s; %s", count(res.ReadingsPerSecond), cost)
		l.Checked = fmt.Sprintf("%s acknowledged = stored", count(float64(stored)))
		l.Values["readingsPerSecond"] = res.ReadingsPerSecond
		return []line{l, {
			Path: "the same, acknowledgement latency p50 / p99", Goal: "—",
			Measured: fmt.Sprintf("%s / %s ms (max %s ms)", ms(res.Latency.P50), ms(res.Latency.P99), ms(res.Latency.Max)),
			Values:   map[string]float64{"p50Ms": res.Latency.P50, "p99Ms": res.Latency.P99, "p999Ms": res.Latency.P999, "maxMs": res.Latency.Max},
		}}, nil
	}
}

func perMessage(readings int) string {
	if readings == 1 {
		return "1 reading a message"
	}
	return fmt.Sprintf("%d readings a message", readings)
}

// logGrowth looks at the end of the hub's log ten times a second.
type logGrowth struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	last   uint64
	looked time.Time
	first  time.Time // the last look before it grew
	grew   time.Time // the look that saw it grow last; before that, the start
	err    error
}

func watchLog(ctx context.Context, h *hub) *logGrowth {
	ctx, cancel := context.WithCancel(ctx)
	g := &logGrowth{cancel: cancel, grew: time.Now()}
	g.wg.Go(func() {
		for {
			s, err := h.status(ctx)
			if !g.saw(s.Log.Last, time.Now(), err) || sleep(ctx, 100*time.Millisecond) != nil {
				return
			}
		}
	})
	return g
}

// saw takes one look; the growth it tells of began after the look before.
func (g *logGrowth) saw(last uint64, now time.Time, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.err = err
		return false
	}
	if !g.looked.IsZero() && last > g.last {
		if g.first.IsZero() {
			g.first = g.looked
		}
		g.grew = now
	}
	g.last, g.looked = last, now
	return true
}

// settled waits until the log has not grown for two seconds and gives the time
// during which it grew.
func (g *logGrowth) settled(ctx context.Context) (time.Duration, error) {
	defer g.stop()
	for {
		g.mu.Lock()
		first, grew, err := g.first, g.grew, g.err
		g.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case time.Since(grew) > 2*time.Second && first.IsZero():
			return 0, errors.New("the log did not grow")
		case time.Since(grew) > 2*time.Second:
			return grew.Sub(first), nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func (g *logGrowth) stop() {
	g.cancel()
	g.wg.Wait()
}
