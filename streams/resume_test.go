package streams_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
	"cityhub/twin/block"
)

// follower is a client in mode every that loses its connection now and then and
// comes back with the position of the last message it handled.
type follower struct {
	c        *city
	f        streams.Filter
	token    string
	pos      twin.Position
	begun    twin.Position // of the snapshot
	ready    bool
	got      []string
	known    map[twin.DatastreamID]bool
	resumed  int
	refused  []string
	complete bool // the subscription at hand has begun
}

func (f *follower) take(data []byte) error {
	var m struct {
		message
		Resumed bool
		Reason  string
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	switch m.Type {
	case "subscribed":
		f.complete = m.Resumed
		if m.Resumed {
			f.resumed++
			if m.Position != f.pos {
				return fmt.Errorf("resumed at %v, asked for %v", m.Position, f.pos)
			}
		} else if f.ready {
			f.refused = append(f.refused, m.Reason)
		}
		return nil
	case "snapshot":
		for _, ds := range m.Datastreams {
			f.known[ds.ID] = true
		}
		if m.Last {
			f.pos, f.begun, f.ready, f.complete = m.Position, m.Position, true, true
			f.got = nil
		}
		return nil
	case "heartbeat":
		if f.complete && m.Position.Offset > f.pos.Offset {
			f.pos = m.Position
		}
		return nil
	case "delta":
	default:
		return fmt.Errorf("unexpected type %q", m.Type)
	}
	if !f.complete {
		return errors.New("a delta before the beginning")
	}
	if len(m.Observations) > 0 && m.Position.Offset <= f.pos.Offset {
		return fmt.Errorf("a delta at %v after %v", m.Position, f.pos)
	}
	for _, ds := range m.Datastreams {
		f.known[ds.ID] = true
	}
	for _, o := range m.Observations {
		var id twin.DatastreamID
		if err := json.Unmarshal(o, &[]any{&id}); err != nil {
			return err
		}
		if !f.known[id] {
			return fmt.Errorf("Datastream %d was not described", id)
		}
		f.got = append(f.got, string(o))
	}
	f.pos = m.Position
	return nil
}

// session is one connection, of up to n messages or until the position is there.
func (f *follower) session(t testing.TB, n int, until uint64) error {
	client := f.c.connect(t, f.token)
	defer client.Detach()
	stop := time.AfterFunc(20*time.Second, func() { client.Close(streams.CloseNormal, "the test waited too long") })
	defer stop.Stop()
	s := streams.Subscription{ID: "s", Filter: f.f, Ack: ack("s")}
	if f.ready {
		after := f.pos
		s.After = &after
	}
	// A resumption from the log waits until the client has taken.
	subscribed := make(chan error, 1)
	go func() {
		err := client.Subscribe(context.Background(), s)
		if err != nil {
			client.Close(streams.CloseNormal, "not subscribed")
		}
		subscribed <- err
	}()
	f.complete = false
	for n > 0 && (until == 0 || !f.ready || !f.complete || f.pos.Offset < until) {
		frames, err := client.Next(nil, 1)
		if err != nil {
			return errors.Join(err, <-subscribed)
		}
		for _, fr := range frames {
			if err := f.take(fr.JSON); err != nil {
				return fmt.Errorf("%w in %s", err, fr.JSON)
			}
			n--
		}
	}
	client.Close(streams.CloseNormal, "enough")
	<-subscribed // it may have been on its way still
	return nil
}

// verify compares with the log.
func (f *follower) verify(records [][]twin.Observation, wants func(twin.Observation) bool) error {
	var want []string
	for _, rows := range records[f.begun.Offset:] {
		for _, o := range rows {
			if wants(o) {
				want = append(want, encoded(o))
			}
		}
	}
	if !slices.Equal(want, f.got) {
		for i := range min(len(want), len(f.got)) {
			if want[i] != f.got[i] {
				return fmt.Errorf("reading %d of %d is %s, want %s of %d", i, len(f.got), f.got[i], want[i], len(want))
			}
		}
		return fmt.Errorf("%d readings, want %d", len(f.got), len(want))
	}
	return nil
}

// Whatever breaks and whenever, each reading comes exactly once and in order.
func TestResumeIsExact(t *testing.T) {
	for _, kind := range []string{"memory", "log", "groups"} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(kind, seed), func(t *testing.T) { resumes(t, kind, seed) })
		}
	}
}

func resumes(t *testing.T, kind string, seed uint64) {
	const datastreams, records, followers = 200, 1500, 6
	reg := prometheus.NewRegistry()
	c := newCity(t, func(o *streams.Options) {
		o.GroupRows, o.QueueBytes, o.Heartbeat, o.Metrics = 40, 4096, 30*time.Millisecond, reg
		log := o.Source
		if kind != "memory" {
			o.RecentReadings = 300
			o.Resume = log
		}
		if kind == "groups" { // the ends of records within a group are not known
			o.Source = streams.SourceFunc(func(ctx context.Context, after twin.Position, maxRows int, fn streams.GroupFunc) error {
				return log.Tail(ctx, after, maxRows, func(ctx context.Context, batches []*block.Batch, pos twin.Position) error {
					var one block.Batch
					one.Reset("320508", twin.DomainEnvironment)
					for _, b := range batches {
						for i := range b.Len() {
							one.Append(b.Row(i))
						}
					}
					return fn(ctx, []*block.Batch{&one}, pos)
				})
			})
		}
	})
	for id := twin.DatastreamID(1); id <= datastreams; id++ {
		c.dir.Put(streamtest.Datastream(id, []string{"pm25", "pm10", "level"}[id%3], 1, 120.6, 31.3))
	}
	filters := []streams.Filter{{}, {ObservedProperties: []string{"pm25"}}, cql(t, "value > 50"), {Datastreams: []twin.DatastreamID{1, 2, 3, 4, 5}}}
	wants := []func(twin.Observation) bool{
		func(twin.Observation) bool { return true }, func(o twin.Observation) bool { return o.Datastream%3 == 0 },
		func(o twin.Observation) bool { return o.Value > 50 }, func(o twin.Observation) bool { return o.Datastream <= 5 },
	}
	var wg sync.WaitGroup
	published := make(chan struct{})
	wg.Go(func() {
		defer close(published)
		rng := rand.New(rand.NewPCG(seed, 2))
		for i := range records {
			rows := make([]twin.Observation, 1+rng.IntN(4))
			for j := range rows {
				rows[j] = streamtest.Reading(twin.DatastreamID(1+rng.IntN(datastreams)), int64(i*10-rng.IntN(50)), float64(rng.IntN(100)))
			}
			c.log.Append(rows...)
			if rng.IntN(3) == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	all := make([]*follower, followers)
	for i := range all {
		f := &follower{c: c, f: filters[i%len(filters)], token: "admin", known: map[twin.DatastreamID]bool{}}
		all[i] = f
		rng := rand.New(rand.NewPCG(seed, uint64(10+i)))
		wg.Go(func() {
			for done := false; !done; {
				select {
				case <-published:
					done = true
				default:
				}
				n, until := 1+rng.IntN(40), uint64(0)
				if done {
					n, until = 1<<30, uint64(len(c.log.Records()))
				}
				var closed *streams.CloseError
				if err := f.session(t, n, until); errors.As(err, &closed) && closed.Code == streams.CloseSlow {
					done = false // it may resume
				} else if err != nil {
					t.Errorf("follower %d: %.300v", i, err)
					return
				}
				time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	n := 0
	for i, f := range all {
		if err := f.verify(c.log.Records(), wants[i%len(filters)]); err != nil {
			t.Errorf("follower %d: %v", i, err)
		}
		if len(f.refused) > 0 {
			t.Errorf("follower %d was refused: %v", i, f.refused)
		}
		n += f.resumed
	}
	if n < followers*3 {
		t.Errorf("only %d resumptions", n)
	}
	if from := counted(t, reg, "cityhub_stream_resumes_total", "log"); (kind == "memory") != (from == 0) {
		t.Errorf("%v resumptions from the log", from)
	}
}

// counted is the value of a counter with a label.
func counted(t testing.TB, reg prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == label {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

// What cannot be resumed is said, with a snapshot.
func TestResumeIsRefusedHonestly(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		after        twin.Position
		change       func(*streams.Options)
		before       func(*city)
	}{
		{"another epoch", "made anew", twin.Position{Epoch: "e0", Offset: 3}, nil, nil},
		{"no log", "no longer reaches back", twin.Position{Epoch: "e1", Offset: 1}, func(o *streams.Options) { o.RecentReadings = -1 }, nil},
		{"trimmed log", "no longer reaches back", twin.Position{Epoch: "e1", Offset: 1}, func(o *streams.Options) { o.RecentReadings = -1; o.Resume = o.Source }, func(c *city) { c.log.Trim(3) }},
		{"ahead", "does not have that position yet", twin.Position{Epoch: "e1", Offset: 99}, nil, nil},
		{"rights changed", "may have changed", twin.Position{Epoch: "e1", Offset: 1}, nil, func(c *city) { c.hub.Invalidate() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCity(t, func(o *streams.Options) {
				o.GroupRows, o.ResumeTimeout = 1, 100*time.Millisecond
				if tt.change != nil {
					tt.change(o)
				}
			})
			c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
			for i := range 5 {
				c.log.Append(streamtest.Reading(1, int64(i), float64(i)))
			}
			c.settle(t)
			if tt.before != nil {
				tt.before(c)
			}
			rep := newReplica(c.connect(t, "admin"))
			if err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: "s", After: &tt.after, Ack: ack("s")}); err != nil {
				t.Fatal(err)
			}
			rep.sync(t)
			if s := rep.raw.String(); !strings.Contains(s, `"resumed":false`) || !strings.Contains(s, tt.reason) {
				t.Errorf("want the reason %q in\n%s", tt.reason, s)
			}
			if err := rep.subs["s"].verify(c.log.Records(), 5, func(twin.DatastreamID) bool { return true }); err != nil {
				t.Error(err)
			}
		})
	}
}

// A client who comes from a node that is ahead waits for this one.
func TestResumeWaitsForThisNode(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.GroupRows = 1 })
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
	client := c.connect(t, "admin")
	done := make(chan error)
	go func() {
		done <- client.Subscribe(context.Background(), streams.Subscription{ID: "s", After: &twin.Position{Epoch: "e1", Offset: 2}, Ack: ack("s")})
	}()
	for i := range 2 {
		select {
		case err := <-done:
			t.Fatalf("after %d records: %v", i, err)
		case <-time.After(5 * time.Millisecond):
		}
		c.log.Append(streamtest.Reading(1, int64(i), float64(i)))
		c.settle(t)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.log.Append(streamtest.Reading(1, 9, 9))
	c.settle(t)
	frames, err := client.Next(nil, 1<<20)
	if err != nil || len(frames) != 2 || !strings.Contains(string(frames[0].JSON), `"resumed":true`) || !strings.Contains(string(frames[1].JSON), "[1,9,9,2]") {
		t.Errorf("%d messages, %v", len(frames), err)
	}
}

// Access that is asked for anew while a client catches up takes nothing from it.
func TestRenewalDuringResume(t *testing.T) {
	gate := make(chan struct{})
	var once sync.Once
	c := newCity(t, func(o *streams.Options) {
		o.GroupRows, o.RecentReadings = 1, 10
		log := o.Source
		o.Resume = streams.SourceFunc(func(ctx context.Context, after twin.Position, maxRows int, fn streams.GroupFunc) error {
			once.Do(func() { <-gate })
			return log.Tail(ctx, after, maxRows, fn)
		})
	})
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
	for i := range 50 {
		c.log.Append(streamtest.Reading(1, int64(i), float64(i)))
	}
	c.settle(t)
	f := &follower{c: c, token: "admin", known: map[twin.DatastreamID]bool{1: true}, ready: true, pos: twin.Position{Epoch: "e1", Offset: 5}, begun: twin.Position{Epoch: "e1", Offset: 5}}
	done := make(chan error)
	go func() { done <- f.session(t, 1<<20, 51) }()
	for c.hub.Clients() == 0 {
		time.Sleep(time.Millisecond)
	}
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(1, 50, 50))
	c.settle(t)
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(f.refused) > 0 { // the notice came before the subscription
		return
	}
	if err := f.verify(c.log.Records(), func(twin.Observation) bool { return true }); err != nil {
		t.Error(err)
	}
}

// A client who comes back learns what left its view meanwhile, and that a
// Datastream is described differently.
func TestResumeTellsOfChanges(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.GroupRows = 1 })
	box := streams.Filter{BBox: &streams.BBox{West: 120, South: 31, East: 121, North: 32}}
	for id := twin.DatastreamID(1); id <= 3; id++ {
		c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1, 1))
	}
	c.settle(t)
	after := c.hub.Position()
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 99, 31.3)) // it moved away
	named := streamtest.Datastream(2, "pm25", 1, 120.6, 31.3)
	named.ThingName = "新名"
	c.dir.Put(named)
	c.hub.Invalidate(1, 2)
	c.log.Append(streamtest.Reading(1, 2, 2))
	c.log.Append(streamtest.Reading(3, 2, 3))
	c.settle(t)
	client := c.connect(t, "admin")
	if err := client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: box, After: &after, Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	frames, err := client.Next(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range frames {
		all.Write(f.JSON)
	}
	for _, want := range []string{`"resumed":true`, `"left":[1]`, "新名", "[3,2,3,2]"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %s in %s", want, all.String())
		}
	}
	if strings.Contains(all.String(), "[1,2,2,2]") {
		t.Errorf("a reading of what left: %s", all.String())
	}
}

// In mode latest a client gets what has changed since, once.
func TestResumeLatest(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.GroupRows = 1 })
	for id := twin.DatastreamID(1); id <= 5; id++ {
		c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1, 80))
	}
	c.settle(t)
	first := newScreen(c.connect(t, "admin"))
	if err := first.client.Subscribe(context.Background(), latest("s", cql(t, "value > 50"), 0)); err != nil {
		t.Fatal(err)
	}
	high := func(o twin.Observation) bool { return o.Value > 50 }
	first.until(t, c.truth(high))
	first.client.Detach()
	for i := range 4 {
		c.log.Append(streamtest.Reading(1, int64(2+i), float64(90+i)))
		c.log.Append(streamtest.Reading(2, int64(2+i), float64(10+i)))
	}
	c.settle(t)
	again := newScreen(c.connect(t, "admin"))
	again.shows, again.known = first.shows, first.known
	s := latest("s", cql(t, "value > 50"), 0)
	s.After = &first.pos
	if err := again.client.Subscribe(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	again.until(t, c.truth(high))
	if again.deltas != 1 {
		t.Errorf("%d deltas, want one", again.deltas)
	}
}

// Ten thousand clients who come back from one place share what they missed.
func BenchmarkReconnectStorm(b *testing.B) {
	c := newCity(b, nil)
	for id := twin.DatastreamID(1); id <= 100; id++ {
		c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1, 80))
	}
	c.settle(b)
	after := c.hub.Position()
	for i := range 1000 {
		c.log.Append(streamtest.Reading(twin.DatastreamID(1+i%100), int64(2+i), 7))
	}
	c.settle(b)
	b.ReportAllocs()
	for b.Loop() {
		client := c.connect(b, "admin")
		if err := client.Subscribe(context.Background(), streams.Subscription{ID: "s", After: &after}); err != nil {
			b.Fatal(err)
		}
		if frames, err := client.Next(nil, 1<<20); err != nil || len(frames) == 0 {
			b.Fatal(len(frames), err)
		}
		b.StopTimer()
		client.Detach()
		b.StartTimer()
	}
}
