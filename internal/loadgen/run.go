package loadgen

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"cityhub/internal/mqttclient"
)

// Result of Run.
type Result struct {
	Broker      string  `json:"broker"`
	QoS         byte    `json:"qos"`
	Connections int     `json:"connections"`
	Window      int     `json:"window"`
	Terminals   int     `json:"terminals"`
	PerMessage  int     `json:"readingsPerMessage"`
	TargetRate  float64 `json:"targetRate"` // messages per second; 0: as fast as possible

	Messages   int64 `json:"messages"` // published
	Readings   int64 `json:"readings"` // in them
	Acked      int64 `json:"acked"`    // messages with a PUBACK; 0 with QoS 0
	Unacked    int64 `json:"unacked"`  // QoS 1 messages without one: lost connections and the end of the wait
	Errors     int64 `json:"errors"`   // lost connections
	Reconnects int64 `json:"reconnects"`

	// Seconds runs from the first message to the last acknowledgement (QoS 0:
	// the last write).
	Seconds           float64 `json:"seconds"`
	MessagesPerSecond float64 `json:"messagesPerSecond"` // acknowledged; QoS 0: written
	ReadingsPerSecond float64 `json:"readingsPerSecond"`

	// Latency is from the write of a PUBLISH to its PUBACK; at a given rate
	// from the moment the message was due, so that a stall counts for every
	// message it held up. Exact to one percent.
	Latency Latency `json:"ackLatency"`

	// Base and StepMs give the time of observation of a terminal's message:
	// Base + Seq × StepMs.
	Base   time.Time `json:"base"`
	StepMs int64     `json:"stepMs"`
}

// Latency percentiles in milliseconds; zero when nothing was acknowledged.
type Latency struct {
	P50  float64 `json:"p50Ms"`
	P90  float64 `json:"p90Ms"`
	P99  float64 `json:"p99Ms"`
	P999 float64 `json:"p999Ms"`
	Max  float64 `json:"maxMs"`
	Mean float64 `json:"meanMs"`
}

type run struct {
	o       Options
	plan    schedule
	keys    [][]byte // ,"v1":
	record  bool
	epoch   time.Time
	wallMs  int64 // wall clock at epoch, ms since 1970-01-01 UTC
	startNs int64 // ns since epoch
	endNs   int64
	workers []*worker
}

func (r *run) sinceEpoch() int64 { return int64(time.Since(r.epoch)) }

// Run connects everything, then publishes. It returns when the run is over,
// with the Result; an error comes with the Result so far. Errors are
// *twin.Error: CodeInvalid for options, CodeUnavailable and CodeUnauthorized
// for the broker, or the cause of ctx.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &run{o: o, epoch: time.Now(), record: o.Ledger != nil || o.OnAck != nil}
	for k := range o.Readings {
		r.keys = append(r.keys, []byte(`,"`+Property(k)+`":`))
	}
	for i := range o.Connections {
		r.workers = append(r.workers, newWorker(r, i))
	}
	defer func() {
		for _, w := range r.workers {
			if w.conn != nil {
				_ = w.conn.Close()
			}
		}
	}()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.plan = r.o.plan()
	r.startNs = r.sinceEpoch()
	r.wallMs = o.Clock().UnixMilli() - r.startNs/1e6
	r.endNs = math.MaxInt64 / 2
	if o.Duration > 0 {
		r.endNs = r.startNs + int64(o.Duration)
	}
	stop := r.showLive()
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range r.workers {
		g.Go(func() error { return w.work(ctx) })
	}
	err := g.Wait()
	stop()
	return r.result(), err
}

// connect makes the connections, some at a time: a listener's backlog is short.
func (r *run) connect(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for _, w := range r.workers {
		g.Go(func() (err error) {
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			// The connection lives as long as ctx, not as long as this group.
			w.conn, err = mqttclient.Dial(ctx, w.opts)
			return err
		})
	}
	return g.Wait()
}

func (r *run) result() *Result {
	o := &r.o
	res := &Result{
		Broker: o.Broker, QoS: o.QoS, Connections: o.Connections, Window: o.Window, Terminals: o.Terminals, PerMessage: o.Readings, TargetRate: o.Rate,
		Base: time.UnixMilli(r.plan.baseMs).UTC(), StepMs: r.plan.stepMs,
	}
	all := hdr.New(1, maxMicros, 2)
	var last int64
	for _, w := range r.workers {
		all.Merge(w.hist)
		res.Messages += w.published
		res.Acked += w.acked
		res.Unacked += w.lost
		res.Errors += w.errors
		res.Reconnects += w.reconnects
		last = max(last, w.lastAt)
	}
	res.Readings = res.Messages * int64(o.Readings)
	done := res.Acked
	if o.QoS == 0 {
		done = res.Messages
	}
	if res.Seconds = float64(last-r.startNs) / 1e9; res.Seconds > 0 {
		res.MessagesPerSecond = float64(done) / res.Seconds
		res.ReadingsPerSecond = res.MessagesPerSecond * float64(o.Readings)
	}
	if all.TotalCount() > 0 {
		ms := func(us int64) float64 { return float64(us) / 1000 }
		res.Latency = Latency{
			P50: ms(all.ValueAtQuantile(50)), P90: ms(all.ValueAtQuantile(90)), P99: ms(all.ValueAtQuantile(99)), P999: ms(all.ValueAtQuantile(99.9)),
			Max: ms(all.Max()), Mean: all.Mean() / 1000,
		}
	}
	return res
}

// showLive prints a line every second until stop is called.
func (r *run) showLive() (stop func()) {
	if r.o.Live == nil {
		return func() {}
	}
	every, before, after := 5*time.Second, "", "\n"
	if f, ok := r.o.Live.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every, before, after = time.Second, "\r\x1b[K", ""
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(every)
		defer t.Stop()
		var was int64
		at := time.Now()
		for {
			select {
			case <-quit:
				fmt.Fprint(r.o.Live, before)
				return
			case <-t.C:
			}
			var published, acked, errors int64
			for _, w := range r.workers {
				published += w.live.published.Load()
				acked += w.live.acked.Load()
				errors += w.live.errors.Load()
			}
			count := acked
			if r.o.QoS == 0 {
				count = published
			}
			now := time.Now()
			rate := float64(count-was) / now.Sub(at).Seconds()
			was, at = count, now
			fmt.Fprintf(r.o.Live, "%s%4.0f s  %d messages  %d acknowledged  %.0f messages/s  %.0f readings/s  %d lost connections%s",
				before, float64(r.sinceEpoch()-r.startNs)/1e9, published, acked, rate, rate*float64(r.o.Readings), errors, after)
		}
	}()
	return func() { close(quit); <-done }
}

// WriteTable prints the result for people.
func (r *Result) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	target := "as fast as possible"
	if r.TargetRate > 0 {
		target = fmt.Sprintf("%.0f messages/s", r.TargetRate)
	}
	fmt.Fprintf(tw, "load\t%s, QoS %d, %d connections × %d in flight, %d terminals, %d readings a message, %s\n", r.Broker, r.QoS, r.Connections, r.Window, r.Terminals, r.PerMessage, target)
	fmt.Fprintf(tw, "messages\t%d in %.2f s\n", r.Messages, r.Seconds)
	fmt.Fprintf(tw, "readings\t%d\n", r.Readings)
	if r.QoS > 0 {
		fmt.Fprintf(tw, "acknowledged\t%d (%d not)\n", r.Acked, r.Unacked)
	}
	fmt.Fprintf(tw, "throughput\t%.0f messages/s, %.0f readings/s\n", r.MessagesPerSecond, r.ReadingsPerSecond)
	if r.QoS > 0 {
		l := r.Latency
		fmt.Fprintf(tw, "ack latency\tp50 %.2f ms, p90 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\n", l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	fmt.Fprintf(tw, "lost connections\t%d (%d restored)\n", r.Errors, r.Reconnects)
	return tw.Flush()
}

// WriteJSON prints the result for programs.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
