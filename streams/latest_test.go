package streams_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

// screen is what a client in mode latest shows: the latest reading of each
// Datastream of its view.
type screen struct {
	client *streams.Client
	view   string
	ready  bool
	pos    twin.Position
	shows  map[twin.DatastreamID]string
	known  map[twin.DatastreamID]bool
	deltas int
	beat   twin.Position
	marker int
	events []string
	acks   []message
}

func newScreen(c *streams.Client) *screen {
	return &screen{client: c, shows: map[twin.DatastreamID]string{}, known: map[twin.DatastreamID]bool{}}
}

// take applies one message as PROTOCOL.md tells clients to.
func (s *screen) take(data []byte) error {
	var m struct {
		message
		Left []twin.DatastreamID
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	switch m.Type {
	case "subscribed":
		s.view = m.View
		s.acks = append(s.acks, m.message)
		if strings.Contains(string(data), `"resumed":true`) {
			s.ready = true
		}
		return nil
	case "event":
		s.events = append(s.events, string(data))
		return nil
	case "heartbeat":
		if m.Marker > 0 {
			s.marker = m.Marker
		} else {
			s.beat = m.Position
		}
		return nil
	case "snapshot":
		if s.ready {
			s.ready = false
			clear(s.shows)
		}
		s.ready = m.Last
	case "changed":
		s.view, s.ready = m.View, m.Last
	case "delta":
		s.deltas++
		if !s.ready {
			return fmt.Errorf("a delta before the snapshot is complete")
		}
	default:
		return fmt.Errorf("unexpected type %q", m.Type)
	}
	if m.View != s.view {
		return nil // of a view that was left
	}
	for _, ds := range m.Datastreams {
		s.known[ds.ID] = true
	}
	for _, o := range m.Observations {
		var id twin.DatastreamID
		if err := json.Unmarshal(o, &[]any{&id}); err != nil {
			return err
		}
		if !s.known[id] {
			return fmt.Errorf("Datastream %d was not described", id)
		}
		s.shows[id] = string(o)
	}
	for _, id := range m.Left {
		delete(s.shows, id)
	}
	s.pos = m.Position
	return nil
}

func (s *screen) pump(stop func() bool) error {
	for !stop() {
		frames, err := s.client.Next(nil, 4096)
		if err != nil {
			return err
		}
		for _, f := range frames {
			if err := s.take(f.JSON); err != nil {
				return fmt.Errorf("%w in %s", err, f.JSON)
			}
		}
	}
	return nil
}

// until pumps until the screen shows what it should.
func (s *screen) until(t testing.TB, want map[twin.DatastreamID]string) {
	t.Helper()
	stop := time.AfterFunc(10*time.Second, func() { s.client.Close(streams.CloseNormal, "the test waited too long") })
	defer stop.Stop()
	if err := s.pump(func() bool { return s.ready && fmt.Sprint(s.shows) == fmt.Sprint(want) }); err != nil {
		t.Fatalf("%v: shows %v, want %v", err, s.shows, want)
	}
}

// truth is what should be shown.
func (c *city) truth(match func(twin.Observation) bool) map[twin.DatastreamID]string {
	want := map[twin.DatastreamID]string{}
	c.state.Each(func(o twin.Observation) bool {
		if match(o) {
			want[o.Datastream] = encoded(o)
		}
		return true
	})
	return want
}

func cql(t testing.TB, s string) streams.Filter {
	t.Helper()
	e, err := streams.ParseCQL(s)
	if err != nil {
		t.Fatal(err)
	}
	return streams.Filter{CQL: e}
}

func latest(id string, f streams.Filter, interval time.Duration) streams.Subscription {
	return streams.Subscription{ID: id, Filter: f, Mode: streams.ModeLatest, Interval: interval, Ack: ack(id)}
}

// Clients of all speeds, with and without a condition on the reading, end up
// showing the truth, whatever was conflated on the way.
func TestLatestShowsTheTruth(t *testing.T) {
	const datastreams, records = 60, 600
	c := newCity(t, func(o *streams.Options) { o.GroupRows = 20; o.QueueBytes = 4096 })
	rng := rand.New(rand.NewPCG(7, 1))
	for id := twin.DatastreamID(1); id <= datastreams; id++ {
		c.dir.Put(streamtest.Datastream(id, []string{"pm25", "level"}[id%2], 1, 120.6, 31.3))
	}
	subs := []struct {
		f     streams.Filter
		match func(twin.Observation) bool
	}{
		{streams.Filter{}, func(twin.Observation) bool { return true }},
		{streams.Filter{ObservedProperties: []string{"pm25"}}, func(o twin.Observation) bool { return o.Datastream%2 == 0 }},
		{cql(t, "value > 50"), func(o twin.Observation) bool { return o.Value > 50 }},
		{cql(t, "property = 'level' AND value <= 20"), func(o twin.Observation) bool { return o.Datastream%2 == 1 && o.Value <= 20 }},
	}
	type running struct {
		*screen
		pause time.Duration
		match func(twin.Observation) bool
	}
	var all []running
	for i, s := range subs {
		for _, pause := range []time.Duration{0, 30 * time.Millisecond} {
			sc := newScreen(c.connect(t, "admin"))
			if i == 0 { // some come later
				if err := sc.client.Subscribe(context.Background(), latest("s", s.f, streams.MinInterval)); err != nil {
					t.Fatal(err)
				}
			}
			all = append(all, running{sc, pause, s.match})
		}
	}
	var wg sync.WaitGroup
	published := make(chan struct{})
	want := make(chan struct{})
	for i, r := range all {
		wg.Go(func() {
			if i >= 2 {
				if err := r.client.Subscribe(context.Background(), latest("s", subs[i/2].f, streams.MinInterval)); err != nil {
					t.Error(err)
					return
				}
			}
			for {
				select {
				case <-published:
				default:
					frames, err := r.client.Next(nil, 1)
					if err != nil {
						t.Error(err)
						return
					}
					for _, f := range frames {
						if err := r.take(f.JSON); err != nil {
							t.Errorf("client %d: %v in %s", i, err, f.JSON)
							return
						}
					}
					time.Sleep(r.pause)
					continue
				}
				break
			}
			<-want
			r.until(t, c.truth(r.match))
		})
	}
	for i := range records {
		rows := make([]twin.Observation, 1+rng.IntN(5))
		for j := range rows {
			rows[j] = streamtest.Reading(twin.DatastreamID(1+rng.IntN(datastreams)), int64(i*10-rng.IntN(30)), float64(rng.IntN(100)))
		}
		c.log.Append(rows...)
		if i%4 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	close(published)
	// A last reading of each wakes those who wait.
	for id := twin.DatastreamID(1); id <= datastreams; id++ {
		c.log.Append(streamtest.Reading(id, 1<<30, float64(rng.IntN(100))))
	}
	c.settle(t)
	close(want)
	wg.Wait()
	for i, r := range all {
		if r.deltas == 0 || r.deltas > records/2 {
			t.Errorf("client %d got %d deltas of %d records", i, r.deltas, records)
		}
	}
}

// A client who takes nothing for a while is not closed, and gets one delta when it
// takes again; its queue does not grow.
func TestLatestNeverClosesASlowClient(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newCity(t, func(o *streams.Options) {
		o.QueueBytes, o.QueueMessages, o.GroupRows, o.Metrics, o.Heartbeat = 2000, 10, 1, reg, 20*time.Millisecond
	})
	for id := twin.DatastreamID(1); id <= 20; id++ {
		c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1, 1))
	}
	c.settle(t)
	slow, quick := newScreen(c.connect(t, "admin")), newScreen(c.connect(t, "admin"))
	for _, s := range []*screen{slow, quick} {
		if err := s.client.Subscribe(context.Background(), latest("s", streams.Filter{}, streams.MinInterval)); err != nil {
			t.Fatal(err)
		}
	}
	yes := func(twin.Observation) bool { return true }
	slow.until(t, c.truth(yes))
	for i := range 10 {
		for id := twin.DatastreamID(1); id <= 20; id++ {
			c.log.Append(streamtest.Reading(id, int64(10+i), float64(i)))
		}
		c.settle(t)
		quick.until(t, c.truth(yes))
	}
	if quick.deltas < 5 {
		t.Errorf("the quick client got %d deltas", quick.deltas)
	}
	before := slow.deltas
	slow.until(t, c.truth(yes))
	if n := slow.deltas - before; n < 1 || n > 2 {
		t.Errorf("the slow client caught up with %d deltas, want the one queued and one for the rest", n)
	}
	if metric(t, reg, "cityhub_stream_conflated_total") < 1 {
		t.Error("no delta was conflated")
	}
	// Heartbeats never claim what was not sent.
	if slow.beat.Offset > slow.pos.Offset {
		if err := slow.pump(func() bool { return slow.pos.Offset >= slow.beat.Offset }); err != nil {
			t.Error(err)
		}
	}
}

// Equal views with equal intervals share each encoding; other intervals do not.
func TestLatestIsEncodedOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newCity(t, func(o *streams.Options) { o.Metrics = reg })
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
	c.log.Append(streamtest.Reading(1, 1, 1))
	c.settle(t)
	var screens []*screen
	for i := range 20 {
		s := newScreen(c.connect(t, "admin"))
		f := streams.Filter{ObservedProperties: []string{"pm25", "level"}}
		if i%2 == 0 {
			f.ObservedProperties = []string{"level", "pm25", "pm25"}
		}
		if err := s.client.Subscribe(context.Background(), latest("s", f, 100*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		screens = append(screens, s)
	}
	other := newScreen(c.connect(t, "admin"))
	if err := other.client.Subscribe(context.Background(), latest("s", streams.Filter{ObservedProperties: []string{"pm25", "level"}}, 0)); err != nil {
		t.Fatal(err)
	}
	c.log.Append(streamtest.Reading(1, 2, 2))
	c.settle(t)
	for _, s := range append(screens, other) {
		s.until(t, map[twin.DatastreamID]string{1: "[1,2,2,2]"})
	}
	if got := metric(t, reg, "cityhub_stream_deltas_encoded_total"); got != 2 {
		t.Errorf("%v deltas encoded, want one for each interval", got)
	}
	if got := metric(t, reg, "cityhub_stream_views"); got != 2 {
		t.Errorf("%v views, want 2", got)
	}
}

func TestSubscriptionIsChecked(t *testing.T) {
	c := newCity(t, nil)
	client := c.connect(t, "admin")
	for _, tt := range []struct {
		field string
		s     streams.Subscription
	}{
		{"id", streams.Subscription{}},
		{"mode", streams.Subscription{ID: "s", Mode: 7}},
		{"minIntervalMs", streams.Subscription{ID: "s", Interval: time.Second}},
		{"minIntervalMs", streams.Subscription{ID: "s", Mode: streams.ModeLatest, Interval: 49 * time.Millisecond}},
		{"minIntervalMs", streams.Subscription{ID: "s", Mode: streams.ModeLatest, Interval: 61 * time.Second}},
		{"events", streams.Subscription{ID: "s", Events: []streams.EventKind{"weather"}}},
		{"filter.domains", streams.Subscription{ID: "s", Filter: streams.Filter{Domains: []twin.Domain{"x"}}}},
		{"filter.districts", streams.Subscription{ID: "s", Filter: streams.Filter{Districts: []string{}}}},
		{"filter.objects", streams.Subscription{ID: "s", Filter: streams.Filter{Objects: []string{"no-key"}}}},
		{"filter.objects", streams.Subscription{ID: "s", Filter: streams.Filter{Objects: make([]string, 1001)}}},
	} {
		err := client.Subscribe(context.Background(), tt.s)
		if e, ok := err.(*twin.Error); !ok || e.Code != twin.CodeInvalid || e.Field != tt.field {
			t.Errorf("%+v: %v, want an invalid %s", tt.s, err, tt.field)
		}
	}
	if _, err := streams.ParseMode("latst"); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Error(err)
	}
}

// In mode every, a condition on the reading gives the readings that meet it, and
// names the Datastreams whose latest meets it no more.
func TestEveryWithAConditionOnTheReading(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.GroupRows = 1 })
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
	c.dir.Put(streamtest.Datastream(2, "pm25", 1, 120.6, 31.3))
	c.log.Append(streamtest.Reading(1, 1, 80))
	c.log.Append(streamtest.Reading(2, 1, 10))
	c.settle(t)
	s := newScreen(c.connect(t, "admin"))
	if err := s.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: cql(t, "value > 75"), Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	s.until(t, map[twin.DatastreamID]string{1: "[1,1,80,2]"})
	c.log.Append(streamtest.Reading(2, 2, 90))
	s.until(t, map[twin.DatastreamID]string{1: "[1,1,80,2]", 2: "[2,2,90,2]"})
	c.log.Append(streamtest.Reading(1, 2, 70))
	s.until(t, map[twin.DatastreamID]string{2: "[2,2,90,2]"})
	// A late reading that meets it is sent, and said not to be the latest.
	c.log.Append(streamtest.Reading(1, 1, 99))
	c.log.Append(streamtest.Reading(2, 3, 91))
	s.until(t, map[twin.DatastreamID]string{2: "[2,3,91,2]"})
	if s.deltas != 4 {
		t.Errorf("%d deltas, want 4", s.deltas)
	}
}

// R29 (上海市数据条例 第三十九条): a delta that waits, and one that was passed over,
// hold nothing any more of what was lost.
func TestR29LatestStopsAtOnce(t *testing.T) {
	c := twoSets(t, 2)
	c.dir.SetOpen(2, true)
	s := newScreen(c.connect(t, ""))
	if err := s.client.Subscribe(context.Background(), latest("s", streams.Filter{}, streams.MinInterval)); err != nil {
		t.Fatal(err)
	}
	yes := func(twin.Observation) bool { return true }
	s.until(t, c.truth(yes))
	other := newScreen(c.connect(t, "")) // tells when a delta has been made
	if err := other.client.Subscribe(context.Background(), latest("s", streams.Filter{}, streams.MinInterval)); err != nil {
		t.Fatal(err)
	}
	other.until(t, c.truth(yes))
	for i := range 3 { // one is queued, the others are passed over
		c.log.Append(streamtest.Reading(3, int64(2000+i), 41), streamtest.Reading(1, int64(2000+i), 42))
		c.settle(t)
		other.until(t, c.truth(yes))
	}
	c.dir.SetOpen(2, false)
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(3, 3000, 43), streamtest.Reading(1, 3000, 44))
	c.settle(t)
	var raw strings.Builder
	open := func(o twin.Observation) bool { return o.Datastream <= 2 }
	want := fmt.Sprint(c.truth(open))
	for fmt.Sprint(s.shows) != want {
		frames, err := s.client.Next(nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			raw.Write(f.JSON)
			if err := s.take(f.JSON); err != nil {
				t.Fatal(err)
			}
		}
	}
	if strings.Contains(raw.String(), "[3,") || strings.Contains(raw.String(), "gusu-0003") {
		t.Errorf("after the loss came %s", raw.String())
	}
	// It goes on.
	c.log.Append(streamtest.Reading(2, 4000, 45))
	c.settle(t)
	s.until(t, c.truth(open))
}

// A binding to the city model that changes moves a Datastream into a view and out
// of it.
func TestBindingsDecideMembership(t *testing.T) {
	places := &bindings{of: map[twin.DatastreamID]streams.Place{1: {Object: "set-1/hall", Class: "building", District: "gusu"}}}
	c := newCity(t, func(o *streams.Options) { o.Place = places })
	c.dir.SetOpen(1, true)
	for id := twin.DatastreamID(1); id <= 3; id++ {
		c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1, float64(id)))
	}
	c.settle(t)
	subs := map[string]*screen{}
	for name, f := range map[string]streams.Filter{
		"object": {Objects: []string{"set-1/hall"}}, "district": {Districts: []string{"gusu"}}, "class": cql(t, "class = 'building'"),
		"closed": {Objects: []string{"set-2/vault"}}, // R28: what may not be seen may not be asked for
	} {
		s := newScreen(c.connect(t, ""))
		if err := s.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: f, Ack: ack("s")}); err != nil {
			t.Fatal(err)
		}
		want := map[twin.DatastreamID]string{1: "[1,1,1,2]"}
		if name == "closed" {
			want = nil
		}
		s.until(t, want)
		subs[name] = s
	}
	places.put(1, streams.Place{})
	places.put(2, streams.Place{Object: "set-1/hall-a", Class: "building", District: "gusu", Parents: []string{"set-1/hall"}})
	places.put(3, streams.Place{Object: "set-2/vault", Class: "building"})
	c.hub.Invalidate(1, 2, 3)
	c.log.Append(streamtest.Reading(2, 2, 22), streamtest.Reading(1, 2, 11), streamtest.Reading(3, 2, 33))
	c.settle(t)
	for name, s := range subs {
		want := map[twin.DatastreamID]string{2: "[2,2,22,2]"}
		if name == "closed" {
			want = nil
		}
		s.client.Send([]byte(`{"type":"heartbeat","marker":1}`))
		if err := s.pump(func() bool { return s.marker == 1 }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(s.shows) != fmt.Sprint(want) && len(s.shows)+len(want) > 0 {
			t.Errorf("by %s: shows %v, want %v", name, s.shows, want)
		}
	}
}

// bindings are Places that change.
type bindings struct {
	mu sync.Mutex
	of map[twin.DatastreamID]streams.Place
}

func (b *bindings) Binding(id twin.DatastreamID) (streams.Place, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.of[id]
	return p, ok
}

func (b *bindings) put(id twin.DatastreamID, p streams.Place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of[id] = p
}
