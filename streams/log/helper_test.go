package log

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"cityhub/twin"
	"cityhub/twin/block"
)

var verbose = flag.Bool("log", false, "print the log lines of the log and its server")

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(crashDirEnv) != "" { // the child of TestCrash
		os.Exit(crashChild(os.Getenv(crashDirEnv)))
	}
	goleak.VerifyTestMain(m)
}

func testOptions(dir string) Options {
	o := Options{Dir: dir, MinFree: 1 << 20, AckTimeout: 3 * time.Second, CheckInterval: 100 * time.Millisecond}
	if *verbose {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return o
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l, err := Open(ctx, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// rowsFrom makes a batch of n rows whose phenomenon times count up from first.
func rowsFrom(district string, domain twin.Domain, first, n int) *block.Batch {
	b := &block.Batch{District: district, Domain: domain}
	for i := range n {
		b.AppendNumber(twin.DatastreamID(1+(first+i)%500), int64(first+i), int64(first+i)+1000, float64(first+i)/8, twin.QualityGood)
	}
	return b
}

func mustAppend(t testing.TB, l *Log, batches ...*block.Batch) twin.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pos, err := l.Append(ctx, batches, nil)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return pos
}

// collector gathers what a Tail hands over.
type collector struct {
	mu    sync.Mutex
	times []int64 // phenomenon times, in order of arrival
	calls int
	pos   twin.Position
	err   error
	done  chan struct{}
	stop  context.CancelFunc
}

func startTail(t testing.TB, l *Log, after twin.Position, o TailOptions) *collector {
	ctx, cancel := context.WithCancel(context.Background())
	c := &collector{done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(c.done)
		c.err = l.Tail(ctx, after, o, func(_ context.Context, batches []*block.Batch, pos twin.Position) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, b := range batches {
				c.times = append(c.times, b.PhenomenonNs...)
			}
			c.calls++
			if pos.Offset <= c.pos.Offset {
				t.Errorf("position %v after %v", pos, c.pos)
			}
			c.pos = pos
			return nil
		})
	}()
	t.Cleanup(func() { c.finish() })
	return c
}

func (c *collector) finish() error {
	c.stop()
	<-c.done
	return c.err
}

func (c *collector) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

// want waits for the times 0 … n-1, each once and in order.
func (c *collector) want(t testing.TB, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for c.len() < n && time.Now().Before(deadline) {
		select {
		case <-c.done:
			t.Fatalf("Tail ended: %v", c.err)
		default:
			time.Sleep(time.Millisecond)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.times) != n {
		t.Fatalf("%d rows, want %d", len(c.times), n)
	}
	for i, v := range c.times {
		if v != int64(i) {
			t.Fatalf("row %d is %d: around %v", i, v, c.times[max(0, i-3):min(n, i+3)])
		}
	}
}

func wantCode(t testing.TB, err error, code twin.Code) *twin.Error {
	t.Helper()
	var e *twin.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
	return e
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func sorted(v []int64) []int64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v
}

// metricValues gives each metric's value, of a histogram its count, of a
// vector the sum.
func metricValues(t testing.TB, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
