package replay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"cityhub/internal/mqttclient"
	"cityhub/twin"
)

// Options of Run. Source and Broker are required.
type Options struct {
	Source *Source
	Counts *Counts // of Source; nil: Run counts, which checks every file before anything is sent

	Broker      string // address as mqttclient.Options has it
	ClientID    string // prefix of the client identifiers; empty means "cityhub-replay"
	Username    string
	Password    string
	QoS         byte // 0 or 1
	Connections int  // zero means 4; no more are made than there are terminals
	Window      int  // messages in flight on a connection; zero means 100

	// Speed is the multiple of the recorded speed; zero means as fast as the
	// broker takes it.
	Speed float64
	// Loop starts over at the end until the context ends.
	Loop bool
	// Now moves the times of observation, so that every reading is observed at
	// the moment it is sent. It needs a Speed.
	Now bool
	// RetryFor is how long a lost connection is tried again; zero means one
	// minute, negative without end.
	RetryFor time.Duration

	Logger   *slog.Logger     // nil means none
	Progress io.Writer        // where progress shows: a bar if it is a terminal; nil means none
	Clock    func() time.Time // nil means time.Now
}

// Result is what Run did.
type Result struct {
	Rows       int64         `json:"rows"`     // read
	Messages   int64         `json:"messages"` // published; a row without a value publishes none
	Readings   int64         `json:"readings"` // in the messages
	Acked      int64         `json:"acked"`    // messages; with QoS 0, written to the connection
	Resent     int64         `json:"resent"`   // after a lost connection
	Reconnects int64         `json:"reconnects"`
	Passes     int64         `json:"passes"` // whole passes over the files
	Elapsed    time.Duration `json:"elapsedNs"`
}

// Limits of the queue between the readers and a connection, in messages,
// bytes and batches. A full queue makes the reader wait.
const (
	batchMessages = 128
	batchBytes    = 16 << 10
	queueBatches  = 4
)

// batch is a run of messages for one connection.
type batch struct {
	terminals []int32 // index into the counts' terminals
	ends      []int   // of each payload in buf
	buf       []byte
	rows      int64
	readings  int64
}

type runner struct {
	o      Options
	s      *Source
	counts *Counts
	index  map[string]int32 // terminal code
	topics []string
	queues []chan *batch
	free   chan *batch
	bar    *progress
	clock  func() time.Time
	result Result
	rows   atomic.Int64
}

// Run publishes the data. It returns when everything is published, and
// acknowledged with QoS 1, or when ctx ends; the Result holds what was done
// either way. Errors are *twin.Error: CodeInvalid for options and data,
// CodeUnavailable and CodeUnauthorized for the broker.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	counts := o.Counts
	if counts == nil {
		var err error
		if counts, err = Count(ctx, o.Source, o.Progress); err != nil {
			return Result{}, err
		}
	}
	if counts.Values == 0 {
		return Result{}, &twin.Error{Code: twin.CodeInvalid, Op: "replay", Field: "data", Message: "the files hold no value"}
	}
	r := &runner{o: o, s: o.Source, counts: counts, index: make(map[string]int32, len(counts.Terminals)), clock: o.Clock}
	for i, t := range counts.Terminals {
		r.index[t.Code] = int32(i)
		r.topics = append(r.topics, "terminals/"+t.Code+"/up/json")
	}
	n := min(o.Connections, len(counts.Terminals))
	r.free = make(chan *batch, n*(queueBatches+2))
	began := time.Now()
	r.bar = newProgress(o.Progress, "replaying", "rows", counts.Rows)
	err := r.run(ctx, n)
	r.bar.done()
	r.result.Elapsed = time.Since(began)
	r.result.Rows = r.rows.Load()
	return r.result, err
}

func (o *Options) check() error {
	bad := func(field, message, hint string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "replay", Field: field, Message: message, Hint: hint}
	}
	if o.Connections == 0 {
		o.Connections = 4
	}
	if o.Window == 0 {
		o.Window = 100
	}
	if o.ClientID == "" {
		o.ClientID = "cityhub-replay"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	switch {
	case o.Source == nil:
		return bad("data", "is missing", "")
	case o.QoS > 1:
		return bad("qos", fmt.Sprintf("%d is not 0 or 1", o.QoS), "")
	case o.Connections < 1 || o.Connections > 1000:
		return bad("connections", fmt.Sprintf("%d is not between 1 and 1000", o.Connections), "")
	case o.Speed < 0 || math.IsNaN(o.Speed) || math.IsInf(o.Speed, 0):
		return bad("speed", fmt.Sprintf("%g is no multiple of the recorded speed", o.Speed), "1 is the recorded speed, 0 as fast as possible")
	case o.Now && o.Speed == 0:
		return bad("now", "needs a speed", "at full speed the times of observation would lie in the future")
	}
	return nil
}

func (r *runner) run(ctx context.Context, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	stats := make([]mqttclient.PublisherStats, n)
	// Connect before anything starts: a wrong address is one error, at once.
	pubs := make([]*mqttclient.Publisher, n)
	defer func() {
		for i, p := range pubs {
			if p != nil {
				_ = p.Close()
				stats[i] = p.Stats()
			}
		}
		for _, s := range stats {
			r.result.Messages += s.Published
			r.result.Acked += s.Acked
			r.result.Resent += s.Resent
			r.result.Reconnects += s.Reconnects
		}
	}()
	for i := range pubs {
		var err error
		if pubs[i], err = mqttclient.NewPublisher(ctx, mqttclient.PublisherOptions{
			Options: mqttclient.Options{Address: r.o.Broker, ClientID: fmt.Sprintf("%s-%d", r.o.ClientID, i+1), Username: r.o.Username, Password: r.o.Password, Window: r.o.Window, KeepAlive: time.Minute},
			QoS:     r.o.QoS, RetryFor: r.o.RetryFor, Logger: r.o.Logger,
		}); err != nil {
			return err
		}
		r.queues = append(r.queues, make(chan *batch, queueBatches))
	}
	var readings atomic.Int64
	for i := range pubs {
		g.Go(func() error { return r.publish(ctx, pubs[i], r.queues[i], &readings) })
	}
	g.Go(func() error {
		defer func() {
			for _, q := range r.queues {
				close(q)
			}
		}()
		for {
			if err := r.pass(ctx); err != nil {
				return err
			}
			r.result.Passes++
			if !r.o.Loop {
				return nil
			}
			r.bar.again()
		}
	})
	err := g.Wait()
	r.result.Readings = readings.Load()
	return err
}

// publish sends the batches of one queue. While nothing is there it takes
// PUBACKs in and keeps the connection alive.
func (r *runner) publish(ctx context.Context, p *mqttclient.Publisher, q <-chan *batch, readings *atomic.Int64) error {
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for {
		var b *batch
		var open bool
		select {
		case b, open = <-q:
		default:
			// Nothing waits: let out what is buffered, and look for PUBACKs
			// before blocking on the queue.
			if err := p.Flush(ctx); err != nil {
				return err
			}
			if p.InFlight() > 0 {
				if err := p.Poll(ctx, time.Millisecond); err != nil {
					return err
				}
				continue
			}
			select {
			case b, open = <-q:
			case <-alive.C:
				if err := p.Poll(ctx, time.Millisecond); err != nil {
					return err
				}
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if !open {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return p.Drain(ctx)
		}
		start := 0
		for i, end := range b.ends {
			if err := p.Publish(ctx, r.topics[b.terminals[i]], b.buf[start:end]); err != nil {
				return err
			}
			start = end
		}
		readings.Add(b.readings)
		r.bar.add(b.rows, b.readings)
		r.recycle(b)
	}
}

func (r *runner) recycle(b *batch) {
	b.terminals, b.ends, b.buf, b.rows, b.readings = b.terminals[:0], b.ends[:0], b.buf[:0], 0, 0
	select {
	case r.free <- b:
	default:
	}
}

func (r *runner) batch() *batch {
	select {
	case b := <-r.free:
		return b
	default:
		return &batch{buf: make([]byte, 0, batchBytes+1024)}
	}
}

// pass reads all files once.
func (r *runner) pass(ctx context.Context) error {
	if r.o.Speed > 0 {
		all := make([]int, len(r.s.files))
		for i := range all {
			all[i] = i
		}
		return r.newReader(true).read(ctx, all)
	}
	groups := r.groups()
	next := make(chan []int, len(groups))
	for _, g := range groups {
		next <- g
	}
	close(next)
	g, ctx := errgroup.WithContext(ctx)
	for range min(len(groups), len(r.queues), 2*runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			reader := r.newReader(false)
			for files := range next {
				if err := reader.read(ctx, files); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// groups puts files that share a terminal together, so that one reader takes
// a terminal's rows in order of time.
func (r *runner) groups() [][]int {
	owner := make([]int, len(r.counts.Terminals)) // group + 1 of a terminal
	var groups [][]int
	for f, terminals := range r.counts.fileTerminals {
		into := -1
		for _, t := range terminals {
			g := owner[t] - 1
			switch {
			case g < 0 || g == into:
			case into < 0:
				into = g
			default: // the file joins two groups
				groups[into] = append(groups[into], groups[g]...)
				groups[g] = nil
				for i := range owner {
					if owner[i] == g+1 {
						owner[i] = into + 1
					}
				}
			}
		}
		if into < 0 {
			into = len(groups)
			groups = append(groups, nil)
		}
		groups[into] = append(groups[into], f)
		for _, t := range terminals {
			owner[t] = into + 1
		}
	}
	out := groups[:0]
	for _, g := range groups {
		if g != nil {
			out = append(out, g)
		}
	}
	return out
}
