package streams_test

import (
	"context"
	"errors"
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

// Clients subscribe, replace and leave while readings flow; each subscription
// must have got exactly its snapshot and what followed.
func TestSnapshotAndDeltasAreTheTruth(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { exactness(t, seed) })
	}
}

func exactness(t *testing.T, seed uint64) {
	const datastreams, clients, records = 700, 8, 400
	c := newCity(t, func(o *streams.Options) { o.GroupRows = 50; o.QueueBytes = 64 << 20; o.QueueMessages = 1 << 20 })
	rng := rand.New(rand.NewPCG(seed, 1))
	all := make(map[twin.DatastreamID]twin.Datastream)
	for id := twin.DatastreamID(1); id <= datastreams; id++ {
		lon, lat := 120.55+rng.Float64()/10, 31.25+rng.Float64()/10
		if id%10 == 0 {
			lon, lat = streamtest.Nowhere(), streamtest.Nowhere()
		}
		all[id] = streamtest.Datastream(id, []string{"pm25", "pm10", "level"}[id%3], twin.DatasetID(1+id%2), lon, lat)
		c.dir.Put(all[id])
	}
	c.dir.SetOpen(1, true)
	filters := []streams.Filter{
		{}, {ObservedProperties: []string{"pm25"}}, {ObservedProperties: []string{"pm10", "level"}},
		{BBox: &streams.BBox{West: 120.58, South: 31.27, East: 120.62, North: 31.31}},
		{BBox: &streams.BBox{West: 120.58, South: 31.27, East: 120.62, North: 31.31}, ObservedProperties: []string{"level"}},
		{Datastreams: []twin.DatastreamID{1, 2, 3, 500, 9999}},
	}
	matcher := func(f streams.Filter, public bool) func(twin.DatastreamID) bool {
		return func(id twin.DatastreamID) bool {
			ds := all[id]
			if public && ds.Dataset != 1 {
				return false
			}
			ok := f.BBox == nil || f.BBox.Contains(ds.Lon, ds.Lat)
			in := len(f.ObservedProperties) == 0
			for _, p := range f.ObservedProperties {
				in = in || p == ds.PropertyName
			}
			named := len(f.Datastreams) == 0
			for _, d := range f.Datastreams {
				named = named || d == id
			}
			return ok && in && named
		}
	}

	var publishing sync.WaitGroup
	publishing.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 2))
		for i := range records {
			rows := make([]twin.Observation, 1+rng.IntN(20))
			for j := range rows {
				// Some are late, some correct an earlier one.
				rows[j] = streamtest.Reading(twin.DatastreamID(1+rng.IntN(datastreams)), int64(i*10-rng.IntN(50)), float64(rng.IntN(1000))/10)
			}
			c.log.Append(rows...)
			if rng.IntN(10) == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	type subscribed struct {
		rep    *replica
		filter map[*received]func(twin.DatastreamID) bool
	}
	results := make([]subscribed, clients)
	var wg sync.WaitGroup
	for i := range clients {
		token := ""
		if i%2 == 1 {
			token = "admin"
		}
		rep := newReplica(c.connect(t, token))
		results[i] = subscribed{rep, map[*received]func(twin.DatastreamID) bool{}}
		rng := rand.New(rand.NewPCG(seed, uint64(10+i)))
		// What view has which filter is learned from the acknowledgements.
		var mu sync.Mutex
		byView := map[string]func(twin.DatastreamID) bool{}
		var acting sync.WaitGroup
		acting.Go(func() {
			defer rep.mark(1)
			for range 40 {
				id := fmt.Sprintf("s%d", rng.IntN(3))
				if rng.IntN(4) == 0 {
					if err := rep.client.Unsubscribe(id, unack(id)); err != nil && twin.ErrorCode(err) != twin.CodeNotFound {
						t.Error(err)
					}
				} else {
					f := filters[rng.IntN(len(filters))]
					err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: id, Filter: f, Ack: func(a streams.Accepted) []byte {
						mu.Lock()
						byView[a.View] = matcher(f, token == "")
						mu.Unlock()
						return ack(id)(a)
					}})
					if err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
			}
		})
		wg.Go(func() {
			rep.want = 1
			err := rep.pump(func() bool { return rep.marker == 1 })
			acting.Wait()
			if err != nil {
				t.Error(err)
				return
			}
			for _, rec := range rep.past {
				results[i].filter[rec] = byView[rec.view]
			}
			publishing.Wait()
			c.settle(t)
			rep.sync(t)
			for _, rec := range append(rep.past, mapValues(rep.subs)...) {
				results[i].filter[rec] = byView[rec.view]
			}
		})
	}
	wg.Wait()
	log := c.log.Records()
	checked, deltas := 0, 0
	for i, res := range results {
		live := map[*received]bool{}
		for _, rec := range res.rep.subs {
			live[rec] = true
		}
		for rec, match := range res.filter {
			upTo := rec.lastPos.Offset
			if live[rec] {
				upTo = uint64(len(log))
			}
			if err := rec.verify(log, upTo, match); err != nil {
				t.Errorf("client %d, view %s: %v", i, rec.view, err)
			}
			checked++
			deltas += len(rec.deltas)
		}
	}
	if checked < clients || deltas == 0 {
		t.Errorf("only %d subscriptions with %d observations were checked", checked, deltas)
	}
}

func mapValues(m map[string]*received) (vs []*received) {
	for _, v := range m {
		vs = append(vs, v)
	}
	return vs
}

func TestEqualSubscriptionsShareOneView(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newCity(t, func(o *streams.Options) { o.Metrics = reg })
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
	c.dir.SetOpen(1, true)
	c.log.Append(streamtest.Reading(1, 1000, 1))
	c.settle(t)
	const n = 50
	var reps []*replica
	for i := range n {
		rep := newReplica(c.connect(t, ""))
		f := streams.Filter{ObservedProperties: []string{"pm25", "pm10"}}
		if i%2 == 0 { // written differently, it means the same
			f.ObservedProperties = []string{"pm10", "pm25", "pm10"}
		}
		if err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: f, Ack: ack("s")}); err != nil {
			t.Fatal(err)
		}
		reps = append(reps, rep)
		if i == n/2 { // half of them come while deltas flow
			c.log.Append(streamtest.Reading(1, 2000, 2))
			c.settle(t)
		}
	}
	c.log.Append(streamtest.Reading(1, 3000, 3))
	c.settle(t)
	for i, rep := range reps {
		rep.sync(t)
		rec := rep.subs["s"]
		if rec.view != "v1" {
			t.Errorf("client %d has view %s, want v1", i, rec.view)
		}
		if err := rec.verify(c.log.Records(), 3, func(twin.DatastreamID) bool { return true }); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
	for name, want := range map[string]float64{
		"cityhub_stream_deltas_encoded_total": 2, "cityhub_stream_views": 1, "cityhub_stream_subscriptions": n, "cityhub_stream_clients": n, "cityhub_stream_readings_total": 3,
	} {
		if got := metric(t, reg, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, rep := range reps {
		rep.client.Detach()
	}
	for _, name := range []string{"cityhub_stream_views", "cityhub_stream_subscriptions", "cityhub_stream_clients"} {
		if got := metric(t, reg, name); got != 0 {
			t.Errorf("%s is %v after the last client left", name, got)
		}
	}
}

func metric(t testing.TB, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestLargeSnapshotComesInParts(t *testing.T) {
	c := newCity(t, nil)
	const n = 6001 // more than are encoded once for all
	for id := twin.DatastreamID(1); id <= n; id++ {
		c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1000, float64(id)))
	}
	c.settle(t)
	rep := newReplica(c.connect(t, "admin"))
	if err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: streams.Filter{}, Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	// A reading between the parts comes after the last of them.
	c.log.Append(streamtest.Reading(7, 2000, 0.5))
	c.settle(t)
	rep.sync(t)
	if err := rep.subs["s"].verify(c.log.Records(), n+1, func(twin.DatastreamID) bool { return true }); err != nil {
		t.Error(err)
	}
	if parts := strings.Count(rep.raw.String(), `"type":"snapshot"`); parts != 13 {
		t.Errorf("%d parts, want 13", parts)
	}
	if last := strings.Count(rep.raw.String(), `"last":true`); last != 1 {
		t.Errorf("%d last parts", last)
	}
}

func TestEmptySnapshotAndFirstReading(t *testing.T) {
	c := newCity(t, nil)
	rep := newReplica(c.connect(t, "admin"))
	if err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: streams.Filter{Datastreams: []twin.DatastreamID{5}}, Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	c.dir.Put(streamtest.Datastream(5, "pm25", 1, streamtest.Nowhere(), streamtest.Nowhere()))
	c.log.Append(streamtest.Reading(5, 1000, 1))
	c.log.Append(streamtest.Reading(5, 2000, 2))
	c.settle(t)
	rep.sync(t)
	rec := rep.subs["s"]
	if err := rec.verify(c.log.Records(), 2, func(twin.DatastreamID) bool { return true }); err != nil {
		t.Error(err)
	}
	if rec.snapshots != 1 || len(rec.snapshot) != 0 || rec.described[5] != "站点 5" {
		t.Errorf("%+v", rec)
	}
	if n := strings.Count(rep.raw.String(), `"terminal":"gusu-0005"`); n != 1 {
		t.Errorf("described %d times, want once", n)
	}
	if !strings.Contains(rep.raw.String(), `"lon":null,"lat":null`) {
		t.Errorf("a Datastream without a Location in %s", rep.raw.String())
	}
}

func TestSlowClientIsClosedAndOthersAreNot(t *testing.T) {
	for name, limit := range map[string]func(*streams.Options){
		"bytes":    func(o *streams.Options) { o.QueueBytes = 20000 },
		"messages": func(o *streams.Options) { o.QueueMessages = 50 },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCity(t, func(o *streams.Options) { limit(o); o.GroupRows = 1 })
			c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
			slow, quick := newReplica(c.connect(t, "admin")), newReplica(c.connect(t, "admin"))
			for _, r := range []*replica{slow, quick} {
				if err := r.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: streams.Filter{}, Ack: ack("s")}); err != nil {
					t.Fatal(err)
				}
			}
			const records = 400
			for i := range records {
				c.log.Append(streamtest.Reading(1, int64(1000+i), 1))
				if i%10 == 9 {
					c.settle(t)
					quick.sync(t)
				}
			}
			if err := quick.subs["s"].verify(c.log.Records(), records, func(twin.DatastreamID) bool { return true }); err != nil {
				t.Error(err)
			}
			var e *streams.CloseError
			if err := slow.pump(func() bool { return false }); !errors.As(err, &e) || e.Code != streams.CloseSlow {
				t.Errorf("the slow client ends with %v, want %d", err, streams.CloseSlow)
			}
			if slow.raw.Len() != 0 {
				t.Errorf("the slow client got %d bytes after its end", slow.raw.Len())
			}
		})
	}
}

func TestLimits(t *testing.T) {
	c := newCity(t, func(o *streams.Options) {
		o.MaxSubscriptions, o.MaxClients, o.MaxViews, o.MaxMemberships, o.MaxSnapshotRows = 2, 2, 3, 30, 24
	})
	for id := twin.DatastreamID(1); id <= 20; id++ {
		c.dir.Put(streamtest.Datastream(id, []string{"a", "b"}[id%2], 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1, 1))
	}
	c.settle(t)
	ctx := context.Background()
	one, two := c.connect(t, "admin"), c.connect(t, "admin")
	if _, err := c.hub.Connect(streams.ClientOptions{}); twin.ErrorCode(err) != twin.CodeTooMany {
		t.Errorf("a third client: %v", err)
	}
	sub := func(cl *streams.Client, id string, f streams.Filter) twin.Code {
		return twin.ErrorCode(cl.Subscribe(ctx, streams.Subscription{ID: id, Filter: f, Ack: ack(id)}))
	}
	named := func(ids ...twin.DatastreamID) streams.Filter { return streams.Filter{Datastreams: ids} }
	if code := sub(one, "a", streams.Filter{}); code != "" {
		t.Errorf("20 members: %q", code)
	}
	if code := sub(two, "b", streams.Filter{ObservedProperties: []string{"a", "b"}}); code != twin.CodeUnavailable {
		t.Errorf("40 members of 30: %q", code)
	}
	if code := sub(one, "b", named(1)); code != twin.CodeUnavailable {
		t.Errorf("a second subscription while 20 rows are not taken: %q", code)
	}
	if code := sub(two, "b", named(1, 2, 3, 4, 5)); code != twin.CodeUnavailable {
		t.Errorf("25 snapshot rows of 24: %q", code)
	}
	if _, err := one.Next(nil, 1<<20); err != nil {
		t.Fatal(err)
	}
	if code := sub(one, "b", named(1)); code != "" {
		t.Errorf("a second subscription: %q", code)
	}
	if code := sub(one, "c", named(2)); code != twin.CodeTooMany {
		t.Errorf("a third subscription: %q", code)
	}
	if code := sub(one, "b", named(2)); code != "" {
		t.Errorf("a replaced subscription: %q", code)
	}
	if code := sub(two, "a", named(3)); code != "" {
		t.Errorf("a third view: %q", code)
	}
	if code := sub(two, "b", named(4)); code != twin.CodeUnavailable {
		t.Errorf("a fourth view: %q", code)
	}
	if code := sub(two, strings.Repeat("长", 65), named(3)); code != twin.CodeInvalid {
		t.Errorf("an id of 65 characters: %q", code)
	}
	if code := sub(two, strings.Repeat("长", 64), named(3)); code != "" {
		t.Errorf("an id of 64 characters: %q", code)
	}
	if code := twin.ErrorCode(two.Unsubscribe("nope", nil)); code != twin.CodeNotFound {
		t.Errorf("an unknown id: %q", code)
	}
}

func TestDirectoryFailureStopsBeforeTheStateMoves(t *testing.T) {
	log, state, dir := streamtest.NewLog(), streamtest.NewState(), streamtest.NewDirectory()
	hub, err := streams.New(streams.Options{Source: log, State: state, Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	dir.Put(streamtest.Datastream(1, "pm25", 1, 0, 0))
	broken := errors.New("disk on fire")
	dir.Fail(broken)
	log.Append(streamtest.Reading(1, 1, 1))
	if err := hub.Run(context.Background()); !errors.Is(err, broken) {
		t.Fatalf("Run: %v", err)
	}
	if p := state.Position(); p.Offset != 0 {
		t.Fatalf("the state moved to %v", p)
	}
	dir.Fail(nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- hub.Run(ctx) }()
	for hub.Position().Offset < 1 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("second Run: %v", err)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	log, state, dir := streamtest.NewLog(), streamtest.NewState(), streamtest.NewDirectory()
	for _, o := range []streams.Options{
		{State: state, Directory: dir}, {Source: log, Directory: dir}, {Source: log, State: state},
		{Source: log, State: state, Directory: dir, QueueBytes: -1}, {Source: log, State: state, Directory: dir, Heartbeat: -1},
	} {
		if _, err := streams.New(o); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestHeartbeatsCarryThePosition(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.Heartbeat = 20 * time.Millisecond })
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 0, 0))
	c.log.Append(streamtest.Reading(1, 1, 1))
	c.settle(t)
	rep := newReplica(c.connect(t, ""))
	start := time.Now()
	if err := rep.pump(func() bool {
		return strings.Count(rep.raw.String(), `{"type":"heartbeat","position":{"epoch":"e1","offset":1},`) >= 3
	}); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 30*time.Millisecond {
		t.Errorf("three heartbeats of 20 ms in %v", d)
	}
}

func TestShutdown(t *testing.T) {
	c := newCity(t, nil)
	rep := newReplica(c.connect(t, ""))
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := c.hub.Shutdown(short); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("with a client that stays: %v", err)
	}
	var e *streams.CloseError
	if err := rep.pump(func() bool { return false }); !errors.As(err, &e) || e.Code != streams.CloseShutdown {
		t.Errorf("the client ends with %v", err)
	}
	rep.client.Detach()
	if err := c.hub.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := c.hub.Connect(streams.ClientOptions{}); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("a client after the end: %v", err)
	}
}

// What is queued of a subscription goes with it.
func TestUnsubscribeEmptiesTheQueue(t *testing.T) {
	c := newCity(t, nil)
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 0, 0))
	c.log.Append(streamtest.Reading(1, 1, 1))
	c.settle(t)
	rep := newReplica(c.connect(t, "admin"))
	if err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: streams.Filter{}, Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	c.log.Append(streamtest.Reading(1, 2, 2))
	c.settle(t)
	if err := rep.client.Unsubscribe("s", unack("s")); err != nil {
		t.Fatal(err)
	}
	rep.sync(t)
	if s := rep.raw.String(); strings.Contains(s, "snapshot") || strings.Contains(s, "delta") || !strings.Contains(s, "unsubscribed") {
		t.Errorf("received\n%s", s)
	}
}

// A Datastream that is known before its first reading is applied is described
// with that reading.
func TestDescribedWithItsFirstReadingAfterAFailure(t *testing.T) {
	log, state := streamtest.NewLog(), streamtest.NewState()
	dir := &failsFor{Directory: streamtest.NewDirectory(), id: 2, err: errors.New("disk on fire")}
	hub, err := streams.New(streams.Options{Source: log, State: state, Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	dir.Put(streamtest.Datastream(1, "pm25", 1, 0, 0))
	dir.Put(streamtest.Datastream(2, "pm25", 1, 0, 0))
	log.Append(streamtest.Reading(1, 1, 1), streamtest.Reading(2, 1, 1))
	if err := hub.Run(context.Background()); !errors.Is(err, dir.err) {
		t.Fatalf("Run: %v", err)
	}
	client, err := hub.Connect(streams.ClientOptions{View: func(context.Context) (streams.View, error) { return streamtest.View{All: true}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Detach()
	rep := newReplica(client)
	if err := client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: streams.Filter{}, Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	dir.id = 0
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- hub.Run(ctx) }()
	for hub.Position().Offset < 1 {
		time.Sleep(time.Millisecond)
	}
	rep.sync(t) // fails when an observation comes without its description
	if n := len(rep.subs["s"].deltas); n != 2 {
		t.Errorf("%d observations, want 2", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// failsFor is a directory that cannot look one Datastream up.
type failsFor struct {
	*streamtest.Directory
	id  twin.DatastreamID
	err error
}

func (d *failsFor) Datastream(ctx context.Context, id twin.DatastreamID) (*twin.Datastream, error) {
	if id == d.id {
		return nil, d.err
	}
	return d.Directory.Datastream(ctx, id)
}
