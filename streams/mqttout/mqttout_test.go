package mqttout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/internal/testkit"
	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
	"cityhub/twin/block"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// box is a client's end.
type box struct {
	mu      sync.Mutex
	got     []string // topic, space, payload
	revoked error
}

func (b *box) Deliver(topic string, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, topic+" "+string(payload))
}

func (b *box) Revoke(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revoked = err
}

func (b *box) messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// city is a log and a catalogue: Datastream 1 is of an open Dataset, 2 of one
// that is open to the terminal "own" alone.
type city struct {
	*Server
	log *streamtest.Log
	dir *streamtest.Directory

	mu   sync.Mutex
	gone bool // the rights of "own"
}

func newCity(t testing.TB, change func(*Options)) *city {
	t.Helper()
	c := &city{log: streamtest.NewLog(), dir: streamtest.NewDirectory()}
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
	c.dir.Put(streamtest.Datastream(2, "alarm", 2, 120.6, 31.3))
	c.dir.SetOpen(1, true)
	o := Options{
		Source: c.log, Directory: c.dir, RecheckEvery: 50 * time.Millisecond,
		End: func(context.Context) (twin.Position, error) {
			return twin.Position{Epoch: streamtest.Epoch, Offset: uint64(len(c.log.Records()))}, nil
		},
		View: func(ctx context.Context, terminal string) (streams.View, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if terminal == "own" && c.gone {
				return nil, &twin.Error{Code: twin.CodeForbidden, Op: "view", Message: "the terminal is retired"}
			}
			if terminal == "own" {
				return streamtest.View{Name: "own", All: true}, nil
			}
			v, _, err := (&streamtest.Gate{Directory: c.dir}).View(ctx, "")
			return v, err
		},
		Dataset: func(_ context.Context, ds *twin.Datastream) string { return fmt.Sprint("set-", ds.Dataset) },
	}
	if change != nil {
		change(&o)
	}
	var err error
	if c.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

func subscribe(t testing.TB, s *Session, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		if err := s.Subscribe(t.Context(), topic); err != nil {
			t.Fatal(topic, err)
		}
	}
}

func await(t testing.TB, b *box, n int) []string {
	t.Helper()
	testkit.WaitFor(t, 5*time.Second, fmt.Sprintf("%d messages", n), func() bool { return len(b.messages()) >= n })
	return b.messages()
}

const full = `{"@iot.id":"1_2000000000","@iot.selfLink":"/sta/v1.1/Observations('1_2000000000')","phenomenonTime":"1970-01-01T00:00:02Z","resultTime":"1970-01-01T00:00:02Z","result":2.5,"resultQuality":{"mark":2,"name":"not evaluated"},"Datastream@iot.navigationLink":"/sta/v1.1/Observations('1_2000000000')/Datastream"}`

// OGC 18-088 clause 14.2: an entity set, its $select, an entity. What came
// before the subscription is not told, what comes after it is, in order.
func TestUpdates18088Clause14(t *testing.T) {
	c := newCity(t, nil)
	c.log.Append(streamtest.Reading(1, 1000, 1))
	var a, b box
	sa, sb := c.Open("", &a), c.Open("", &b)
	defer sa.Close()
	defer sb.Close()
	subscribe(t, sa, "v1.1/Datastreams(1)/Observations", "v1.1/Datastreams(1)")
	subscribe(t, sb, "v1.1/Observations?$select=result,phenomenonTime", "v1.1/Datastreams(1)/Observations?$select=result", "v1.1/Observations")
	subscribe(t, sb, "v1.1/Observations") // again: told once
	c.log.Append(streamtest.Reading(1, 2000, 2.5))
	got := await(t, &a, 1)
	topic, payload := got[0][:len("v1.1/Datastreams(1)/Observations")], got[0][len("v1.1/Datastreams(1)/Observations "):]
	var want, have map[string]any
	if err := errors.Join(json.Unmarshal([]byte(full), &want), json.Unmarshal([]byte(payload), &have)); err != nil {
		t.Fatal(err, payload)
	}
	delete(want, "resultQuality") // the name of the mark is the service's
	delete(have, "resultQuality")
	if fmt.Sprint(want) != fmt.Sprint(have) || topic != "v1.1/Datastreams(1)/Observations" {
		t.Errorf("%s\n%s", topic, payload)
	}
	gotB := await(t, &b, 3)
	wantB := []string{"v1.1/Datastreams(1)/Observations?$select=result " + `{"result":2.5}`, "v1.1/Observations " + payload,
		"v1.1/Observations?$select=result,phenomenonTime " + `{"phenomenonTime":"1970-01-01T00:00:02Z","result":2.5}`}
	slices.Sort(gotB)
	if !slices.Equal(gotB, wantB) {
		t.Errorf("got  %q\nwant %q", gotB, wantB)
	}

	ds := streamtest.Datastream(1, "pm25", 1, 120.6, 31.3)
	ds.Name = "新名"
	c.dir.Put(ds)
	c.Invalidate()
	if got := await(t, &a, 2); !slices.ContainsFunc(got, func(s string) bool {
		return len(s) > 21 && s[:20] == "v1.1/Datastreams(1) " && json.Valid([]byte(s[20:])) && jsonName(s[20:]) == "新名"
	}) {
		t.Errorf("%q", got)
	}

	sb.Unsubscribe("v1.1/Observations")
	sb.Unsubscribe("v1.1/Observations?$select=result,phenomenonTime")
	sb.Unsubscribe("never")
	for i := range 100 {
		c.log.Append(streamtest.Reading(1, int64(3000+i), float64(i)))
	}
	got = await(t, &b, 103)
	for i := range 100 {
		if want := fmt.Sprintf(`v1.1/Datastreams(1)/Observations?$select=result {"result":%d}`, i); got[3+i] != want {
			t.Fatalf("%q, want %q", got[3+i], want)
		}
	}
	// When the last has gone the log is let go of; a later subscriber starts there.
	sa.Close()
	sb.Close()
	c.log.Append(streamtest.Reading(1, 9000, 1))
	var d box
	sd := c.Open("", &d)
	defer sd.Close()
	subscribe(t, sd, "v1.1/Observations?$select=result")
	c.log.Append(streamtest.Reading(1, 9001, 77))
	testkit.WaitFor(t, 5*time.Second, "the new one", func() bool { return slices.Contains(d.messages(), `v1.1/Observations?$select=result {"result":77}`) })
	if got := d.messages(); len(got) > 2 { // the record just before it may come too
		t.Errorf("%q", got)
	}
}

func jsonName(s string) string {
	var m struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal([]byte(s), &m)
	return m.Name
}

// 上海市数据条例 第三十九条, 苏州市数据条例 第十四条: the public sees open Datasets, a
// terminal its own as well; what is closed stops at once, and a client without
// rights is cut off.
func TestRightsR28R29(t *testing.T) {
	c := newCity(t, nil)
	var public, own box
	sp, so := c.Open("", &public), c.Open("own", &own)
	defer sp.Close()
	defer so.Close()
	// Nothing tells a Datastream that is not seen from one that does not exist.
	subscribe(t, sp, "v1.1/Observations?$select=result", "v1.1/Datastreams(2)/Observations?$select=result", "v1.1/Datastreams(99)/Observations", "v1.1/Datastreams(2)")
	subscribe(t, so, "v1.1/Datastreams(2)/Observations?$select=result")
	c.log.Append(streamtest.Reading(2, 1, 1), streamtest.Reading(1, 1, 2), streamtest.Reading(99, 1, 3))
	await(t, &own, 1)
	if got := await(t, &public, 1); len(got) != 1 || got[0] != `v1.1/Observations?$select=result {"result":2}` {
		t.Errorf("the public got %q", got)
	}
	c.dir.SetOpen(1, false)
	c.Invalidate()
	c.log.Append(streamtest.Reading(1, 2, 3), streamtest.Reading(2, 2, 4))
	await(t, &own, 2)
	if got := public.messages(); len(got) != 1 {
		t.Errorf("closed, and told: %q", got)
	}
	// Opened: the Datastream comes into sight.
	c.dir.SetOpen(2, true)
	c.Invalidate()
	if got := await(t, &public, 2); got[1][:20] != "v1.1/Datastreams(2) " {
		t.Errorf("%q", got)
	}
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	began := time.Now() // nobody tells
	testkit.WaitFor(t, 5*time.Second, "the terminal is cut off", func() bool { own.mu.Lock(); defer own.mu.Unlock(); return own.revoked != nil })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("after %s", took)
	}
	n := len(own.messages())
	c.log.Append(streamtest.Reading(2, 3, 5))
	await(t, &public, 4)
	if len(own.messages()) != n {
		t.Errorf("told without rights: %q", own.messages()[n:])
	}
	if err := so.Subscribe(t.Context(), "v1.1/Observations"); err == nil {
		t.Error("subscribed without rights")
	}
}

func TestTopics(t *testing.T) {
	c := newCity(t, func(o *Options) { o.MaxSubscriptions = 2 })
	s := c.Open("", &box{})
	defer s.Close()
	for _, topic := range []string{"", "v1.1", "v1.1/Things", "v1.1/Datastreams", "v1.1/Datastreams(0)", "v1.1/Datastreams(01)", "v1.1/Datastreams(-1)", "v1.1/Datastreams(1)/Thing",
		"v1.1/Datastreams(x)/Observations", "v1.1/Datastreams(1", "v1.1/Datastreams(1)Observations", "v1.0/Observations", "v1.1/Observations?", "v1.1/Observations?$select=", "v1.1/Observations?$select=,",
		"v1.1/Observations?$select=nothing", "v1.1/Observations?$filter=result gt 1", "v1.1/Observations?$select=result&$top=1", "v1.1/Datastreams(1)?$select=result", "v1.1/Datastreams(99999999999999999999)"} {
		if err := s.Subscribe(t.Context(), topic); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%q: %v", topic, err)
		}
	}
	subscribe(t, s, "v1.1/Datastreams(1)?$select=name", "v1.1/Observations?$select=id,result")
	if err := s.Subscribe(t.Context(), "v1.1/Observations"); twin.ErrorCode(err) != twin.CodeTooMany {
		t.Errorf("%v", err)
	}
	s.Unsubscribe("v1.1/Datastreams(1)?$select=name")
	subscribe(t, s, "v1.1/Observations")
}

// A failing lookup stops before anything is told, and the group comes again
// whole.
func TestDirectoryFails(t *testing.T) {
	c := newCity(t, nil)
	var b box
	s := c.Open("", &b)
	defer s.Close()
	subscribe(t, s, "v1.1/Observations?$select=result")
	var batch block.Batch
	batch.Reset("320508", twin.DomainEnvironment)
	batch.Append(streamtest.Reading(1, 1, 1))
	c.dir.Fail(&twin.Error{Code: twin.CodeUnavailable, Op: "read", Message: "busy"})
	if err := c.apply(t.Context(), []*block.Batch{&batch}, twin.Position{Epoch: streamtest.Epoch, Offset: 1}); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("%v", err)
	}
	c.dir.Fail(nil)
	if n := len(b.messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func FuzzTopic(f *testing.F) {
	for _, s := range []string{"v1.1/Observations", "v1.1/Datastreams(12)/Observations?$select=result,id", "v1.1/Datastreams(12)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if tt, sel, err := parseTopic(s); err == nil && (tt.id < 0 || tt.entity && tt.id == 0 || len(sel) > len(s)) {
			t.Fatal(tt, sel)
		}
	})
}

type discard struct{}

func (discard) Deliver(string, []byte) {}
func (discard) Revoke(error)           {}

// One group of 4096 readings to 100 subscribers of everything, of whom all
// share an encoding.
func BenchmarkApply(b *testing.B) {
	c := newCity(b, nil)
	for range 100 {
		s := c.Open("", discard{})
		defer s.Close()
		subscribe(b, s, "v1.1/Observations")
	}
	var batch block.Batch
	batch.Reset("320508", twin.DomainEnvironment)
	for i := range 4096 {
		batch.Append(streamtest.Reading(1, int64(i), float64(i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.apply(b.Context(), []*block.Batch{&batch}, twin.Position{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds(), "readings/s")
	b.ReportMetric(float64(b.N)*409600/b.Elapsed().Seconds(), "messages/s")
}
