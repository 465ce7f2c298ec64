package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"cityhub/ingest"
	"cityhub/ingest/ingesttest"
	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run starts a pipeline on a log in memory; it stops with the test.
func run(t *testing.T, o ingest.Options) (*ingest.Pipeline, *ingesttest.Log) {
	t.Helper()
	log := &ingesttest.Log{}
	if o.Log == nil {
		o.Log = log
	}
	if o.Registry == nil {
		o.Registry = ingesttest.Registry(t)
	}
	o.RetryMin, o.RetryMax = time.Millisecond, 5*time.Millisecond
	p := ingest.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p, log
}

// counter is a Waiter that counts.
type counter struct {
	mu   sync.Mutex
	n    int
	pos  twin.Position
	more chan struct{}
}

func newCounter() *counter { return &counter{more: make(chan struct{}, 1)} }

func (c *counter) Durable(n int, pos twin.Position) {
	c.mu.Lock()
	c.n += n
	c.pos = pos
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for c.count() < n {
		select {
		case <-c.more:
		case <-deadline:
			t.Fatalf("%d messages became durable, want %d", c.count(), n)
		}
	}
}

const now = int64(1790000000e9)

func TestPublish(t *testing.T) {
	p, log := run(t, ingest.Options{})
	w := newCounter()
	s := p.NewSession(ingest.SessionOptions{Source: "mqtt", Client: "c1", Waiter: w})
	publish := func(topic, payload string) {
		t.Helper()
		if err := s.Publish(t.Context(), []byte(topic), []byte(payload), now); err != nil {
			t.Fatal(err)
		}
	}
	publish("terminals/air-1/up/json", `{"t":1789999999000,"pm25":12.5,"wd":"NNW","count":3,"open":true}`)
	publish("terminals/level-1/up/json", `{"level":3.05}`)
	publish("v1.1/Datastreams(1)/Observations", `{"result":13,"resultQuality":1,"phenomenonTime":"2026-01-02T00:00:00Z"}`)
	if err := s.Flush(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	w.wait(t, 3)
	if w.pos.Offset == 0 {
		t.Error("durable without a position")
	}
	got := log.Observations()
	reg := ingesttest.Registry(t) // the same manifest gives the same ids
	want := map[string]twin.Observation{}
	air, _ := reg.Terminal(t.Context(), "air-1")
	level, _ := reg.Terminal(t.Context(), "level-1")
	add := func(ds *twin.Datastream, ns int64, v float64, text string, q twin.Quality) {
		o := twin.Observation{Datastream: ds.ID, PhenomenonNs: ns, ResultNs: now, Value: v, Text: text, IsText: text != "", Quality: q}
		want[o.ID()] = o
	}
	const at = int64(1789999999e9)
	add(air.Datastream("pm25"), at, 12.5, "", twin.QualityNotEvaluated)
	add(air.Datastream("wd"), at, 0, "NNW", twin.QualityNotEvaluated)
	add(air.Datastream("count"), at, 3, "", twin.QualityNotEvaluated)
	add(air.Datastream("open"), at, 1, "", twin.QualityNotEvaluated)
	add(level.Datastream("level"), now, 3.05, "", twin.QualityNotEvaluated)
	one, err := reg.Datastream(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	add(one, 1767312000e9, 13, "", twin.QualityGood)
	if len(got) != len(want) {
		t.Errorf("%d observations, want %d", len(got), len(want))
	}
	for _, o := range got {
		if want[o.ID()] != o {
			t.Errorf("got %+v\nwant %+v", o, want[o.ID()])
		}
	}
	if r := log.Rejects(); len(r) != 0 {
		t.Errorf("rejects: %+v", r)
	}
	for _, b := range log.Batches() {
		for _, id := range b.Datastreams {
			ds, _ := reg.Datastream(t.Context(), id)
			if ds.Domain != b.Domain || ds.District != b.District {
				t.Errorf("Datastream %d of %s/%s in a batch of %s/%s", id, ds.District, ds.Domain, b.District, b.Domain)
			}
		}
	}
}

func TestRejects(t *testing.T) {
	tests := []struct {
		name, topic, payload string
		want                 twin.RejectReason
		detail               string
		readings             int
	}{
		{"unknown topic", "hello", `{}`, twin.RejectUnknownTopic, "terminals/{code}/up/{format}", 0},
		{"topic too deep", "terminals/a/b/up/json", `{}`, twin.RejectUnknownTopic, "", 0},
		{"unknown format", "terminals/air-1/up/xml", `{}`, twin.RejectUnknownFormat, "xml", 0},
		{"unknown terminal R50", "terminals/nobody/up/json", `{"pm25":1}`, twin.RejectUnknownTerminal, "import terminals", 0},
		{"retired terminal R50", "terminals/old-1/up/json", `{"pm25":1}`, twin.RejectTerminalState, "retired", 0},
		{"unknown Datastream", "v1.1/Datastreams(99999)/Observations", `{"result":1}`, twin.RejectUnknownDatastream, "99999", 0},
		{"Datastream 0", "v1.1/Datastreams(0)/Observations", `{"result":1}`, twin.RejectUnknownDatastream, "", 0},
		{"unknown property", "terminals/air-1/up/json", `{"colour":1}`, twin.RejectUnknownProperty, "colour", 1},
		{"not JSON", "terminals/air-1/up/json", `pm25=1`, twin.RejectMalformed, "byte 0", 0},
		{"half JSON", "terminals/air-1/up/json", `{"pm25":1`, twin.RejectMalformed, "byte 9", 0},
		{"invalid UTF-8", "terminals/air-1/up/json", "{\"wd\":\"\xff\"}", twin.RejectInvalidUTF8, "byte 7", 0},
		{"nothing", "terminals/air-1/up/json", `{"t":1789999999000}`, twin.RejectEmpty, "", 0},
		{"text for a number", "terminals/air-1/up/json", `{"pm25":"12"}`, twin.RejectNotANumber, `"12" where a number`, 1},
		{"NaN", "terminals/air-1/up/json", `{"pm25":NaN}`, twin.RejectNotANumber, "NaN", 1},
		{"overflow", "terminals/air-1/up/json", `{"pm25":1e999}`, twin.RejectNotANumber, "1e999", 1},
		{"object", "terminals/air-1/up/json", `{"pm25":{"v":1}}`, twin.RejectNotANumber, "", 1},
		{"number for a text", "terminals/air-1/up/json", `{"wd":1}`, twin.RejectWrongType, "a text", 1},
		{"text too long", "terminals/air-1/up/json", `{"wd":"` + strings.Repeat("x", 5000) + `"}`, twin.RejectWrongType, "at most 4096", 1},
		{"half a count", "terminals/air-1/up/json", `{"count":1.5}`, twin.RejectWrongType, "whole number", 1},
		{"2 for a truth", "terminals/air-1/up/json", `{"open":2}`, twin.RejectWrongType, "true or false", 1},
		{"future", "terminals/air-1/up/json", `{"t":1790000301000,"pm25":1}`, twin.RejectFuture, "5m0s after", 1},
		{"absurd time", "terminals/air-1/up/json", `{"t":1e18,"pm25":1}`, twin.RejectBadTime, "1678 to 2262", 1},
		{"time in words", "terminals/air-1/up/json", `{"t":"noon","pm25":1,"pm10":2}`, twin.RejectBadTime, "noon", 2},
		{"past", "terminals/air-1/up/json", `{"t":-1e12,"pm25":1}`, twin.RejectPast, "before", 1},
		{"credentials", "terminals/locked-1/up/json", `{"pm25":1}`, twin.RejectNotAuthorized, "user and password", 0},
	}
	p, log := run(t, ingest.Options{MaxPast: 20 * 365 * 24 * time.Hour})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newCounter()
			s := p.NewSession(ingest.SessionOptions{Source: "mqtt", Client: "c1", Waiter: w})
			if err := s.Publish(t.Context(), []byte(tt.topic), []byte(tt.payload), now); err != nil {
				t.Fatal(err)
			}
			if err := s.Flush(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			w.wait(t, 1)
			rs := log.Rejects()
			if len(rs) == 0 {
				t.Fatal("nothing was rejected")
			}
			r := rs[len(rs)-1]
			if r.Reason != tt.want || !strings.Contains(r.Detail, tt.detail) || r.Readings != tt.readings || r.Topic != tt.topic ||
				r.Size != len(tt.payload) || !strings.HasPrefix(tt.payload, string(r.Payload)) || r.Client != "c1" || r.ReceivedNs != now {
				t.Errorf("rejected as %+v", r)
			}
		})
	}
	if got := log.Observations(); len(got) != 0 {
		t.Errorf("stored: %+v", got)
	}
}

// One bad reading does not cost its neighbours, and the account balances.
func TestPartialMessage(t *testing.T) {
	p, log := run(t, ingest.Options{})
	w := newCounter()
	s := p.NewSession(ingest.SessionOptions{Waiter: w})
	payload := `[{"pm25":1,"pm10":NaN,"a":1,"b":2},{"pm10":"x","pm25":3}]`
	if err := s.Publish(t.Context(), []byte("terminals/air-1/up/json"), []byte(payload), now); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.wait(t, 1)
	if n := len(log.Observations()); n != 2 {
		t.Errorf("%d stored, want 2", n)
	}
	refused := 0
	for _, r := range log.Rejects() {
		refused += r.Readings
	}
	if n := len(log.Rejects()); refused != 4 || n != 2 {
		t.Errorf("%d readings refused in %d rejects, want 4 in 2", refused, n)
	}
}

func TestCredentialsOpenTheirTerminal(t *testing.T) {
	p, log := run(t, ingest.Options{})
	for i, o := range []ingest.SessionOptions{{Terminal: "locked-1"}, {Trusted: true}} {
		w := newCounter()
		o.Waiter = w
		s := p.NewSession(o)
		if err := s.Publish(t.Context(), []byte("terminals/locked-1/up/json"), []byte(`{"pm25":1}`), now+int64(i)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		w.wait(t, 1)
	}
	if n := len(log.Observations()); n != 2 {
		t.Errorf("%d stored, want 2: %+v", n, log.Rejects())
	}
}

func TestAutoRegister(t *testing.T) {
	reg := ingesttest.Registry(t)
	p, log := run(t, ingest.Options{Registry: reg, AutoRegister: true})
	w := newCounter()
	s := p.NewSession(ingest.SessionOptions{Waiter: w})
	for i, payload := range []string{`{"a":1,"b":"x","c":true}`, `{"a":2,"d":4}`, `{"a":"not a number any more"}`, `{"bad name!":1}`} {
		if err := s.Publish(t.Context(), []byte("terminals/new-1/up/json"), []byte(payload), now+int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	w.wait(t, 4)
	term, err := reg.Terminal(t.Context(), "new-1")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]twin.ResultType{"a": twin.ResultMeasurement, "b": twin.ResultText, "c": twin.ResultTruth, "d": twin.ResultMeasurement} {
		if ds := term.Datastream(name); ds == nil || ds.Result != want {
			t.Errorf("%s: %+v", name, ds)
		}
	}
	if n := len(log.Observations()); n != 5 {
		t.Errorf("%d stored, want 5", n)
	}
	if r := log.Rejects(); len(r) != 2 || r[0].Reason != twin.RejectNotANumber || r[1].Reason != twin.RejectUnknownProperty {
		t.Errorf("rejects: %+v", r)
	}
}

// A Datastream that its terminal no longer observes is refused by id as well,
// also on a connection that has published to it before.
func TestRetiredDatastream(t *testing.T) {
	reg := ingesttest.Registry(t)
	p, log := run(t, ingest.Options{Registry: reg})
	term, err := reg.Terminal(t.Context(), "air-1")
	if err != nil {
		t.Fatal(err)
	}
	topic := fmt.Sprintf("v1.1/Datastreams(%d)/Observations", term.Datastream("pm10").ID)
	w := newCounter()
	s := p.NewSession(ingest.SessionOptions{Waiter: w})
	publish := func(i int) {
		if err := s.Publish(t.Context(), []byte(topic), []byte(`{"result":1}`), now+int64(i)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		w.wait(t, i+1)
	}
	publish(0)
	var without manifest.Terminal
	without.Code, without.Name, without.Domain, without.District, without.Dataset = "air-1", "空气站", twin.DomainEnvironment, "gusu", "test"
	without.Properties = []*manifest.Property{{Name: "pm25", Title: "细颗粒物", Unit: manifest.UnitOf("ug/m3")}}
	if _, err := reg.PutTerminal(t.Context(), without); err != nil {
		t.Fatal(err)
	}
	publish(1)
	if n, r := len(log.Observations()), log.Rejects(); n != 1 || len(r) != 1 || r[0].Reason != twin.RejectUnknownDatastream {
		t.Errorf("%d stored, rejects %+v", n, r)
	}
}

// While the log fails nothing is acknowledged, sources wait, and what was
// handed over is stored once the log works again.
func TestFailingLogWithholds(t *testing.T) {
	log := &ingesttest.Log{}
	p, _ := run(t, ingest.Options{Log: log, MaxGroupReadings: 10})
	log.Fail(errors.New("disk full"))
	w := newCounter()
	s := p.NewSession(ingest.SessionOptions{Waiter: w})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	handed := 0
	for ; handed < 1000; handed++ {
		if err := s.Publish(ctx, []byte("terminals/air-1/up/json"), []byte(fmt.Sprintf(`{"pm25":%d}`, handed)), now+int64(handed)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(ctx, 1); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
	}
	if handed < 10 || handed > 30 {
		t.Errorf("%d messages were taken while the log failed, want a group or two of 10", handed)
	}
	if w.count() != 0 {
		t.Errorf("%d messages were acknowledged while the log failed", w.count())
	}
	if p.Healthy() == nil {
		t.Error("healthy while the log fails")
	}
	log.Fail(nil)
	w.wait(t, handed)
	if n := len(log.Observations()); n != handed {
		t.Errorf("%d stored, want %d", n, handed)
	}
	if err := p.Healthy(); err != nil {
		t.Error(err)
	}
}

// Sources that wait for room are let in in the order in which they came: a
// flood starves nobody.
func TestWaitingIsFirstComeFirstServed(t *testing.T) {
	log := &ingesttest.Log{}
	metrics := prometheus.NewRegistry()
	p, _ := run(t, ingest.Options{Log: log, MaxGroupReadings: 1, Metrics: metrics})
	withheld := func() float64 {
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "cityhub_ingest_withheld_total" {
				return f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return -1
	}
	log.Fail(errors.New("disk full"))
	const n = 8
	var wg sync.WaitGroup
	w := newCounter()
	for i := range n {
		wg.Go(func() {
			s := p.NewSession(ingest.SessionOptions{Waiter: w})
			if err := s.Publish(t.Context(), []byte("terminals/air-1/up/json"), []byte(`{"pm25":1}`), now+int64(i)); err != nil {
				t.Error(err)
			}
			if err := s.Flush(t.Context(), 1); err != nil {
				t.Error(err)
			}
		})
		// The first is being appended, the second fills the group, the rest wait.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			taken, _, _ := p.Open()
			if i == 0 && taken == 0 && p.Healthy() != nil || i == 1 && taken == 1 || i > 1 && withheld() == float64(i-1) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("source %d neither got in nor waits: %d in the group, %v withheld", i, taken, withheld())
			}
		}
	}
	log.Fail(nil)
	w.wait(t, n)
	wg.Wait()
	for i, o := range log.Observations() {
		if o.PhenomenonNs != now+int64(i) {
			t.Errorf("reading %d came as number %d", o.PhenomenonNs-now, i)
		}
	}
}

func TestClosedPipeline(t *testing.T) {
	p := ingest.New(ingest.Options{Registry: ingesttest.Registry(t), Log: &ingesttest.Log{}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	s := p.NewSession(ingest.SessionOptions{Waiter: newCounter()})
	if err := s.Publish(t.Context(), []byte("terminals/air-1/up/json"), []byte(`{"pm25":1}`), now); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), 1); !errors.Is(err, ingest.ErrClosed) {
		t.Errorf("Flush gives %v", err)
	}
}

// Many sessions at once: each learns of exactly its own messages, and every
// reading arrives once.
func TestManySessions(t *testing.T) {
	p, log := run(t, ingest.Options{MaxGroupReadings: 64})
	const sessions, messages = 20, 500
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			w := newCounter()
			s := p.NewSession(ingest.SessionOptions{Waiter: w})
			for j := range messages {
				if err := s.Publish(t.Context(), []byte("terminals/air-1/up/json"), []byte(`{"pm25":1}`), now+int64(i*messages+j)); err != nil {
					t.Error(err)
				}
				if j%7 == 6 || j == messages-1 {
					if err := s.Flush(t.Context(), j%7+1); err != nil {
						t.Error(err)
					}
				}
			}
			w.wait(t, messages)
			if n := w.count(); n != messages {
				t.Errorf("session %d was told of %d messages", i, n)
			}
		})
	}
	wg.Wait()
	seen := map[int64]int{}
	for _, o := range log.Observations() {
		seen[o.PhenomenonNs]++
	}
	if len(seen) != sessions*messages {
		t.Errorf("%d readings, want %d", len(seen), sessions*messages)
	}
	for ns, n := range seen {
		if n != 1 {
			t.Errorf("the reading at %d came %d times", ns, n)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	log := &ingesttest.Log{Discard: true}
	p := ingest.New(ingest.Options{Registry: ingesttest.Registry(b), Log: log})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	w := newCounter()
	s := p.NewSession(ingest.SessionOptions{Waiter: w})
	topic, payload := []byte("terminals/air-1/up/json"), []byte(`{"t":1789999999000,"pm25":12.5}`)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := s.Publish(ctx, topic, payload, now); err != nil {
			b.Fatal(err)
		}
		if n++; n%100 == 0 {
			if err := s.Flush(ctx, 100); err != nil {
				b.Fatal(err)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
