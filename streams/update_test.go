package streams_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

// A camera that moves gets what is new and what is gone, and nothing twice.
func TestUpdateSendsTheDifference(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.GroupRows = 1 })
	for id := twin.DatastreamID(1); id <= 10; id++ {
		c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120+float64(id)/100, 31.3))
		c.log.Append(streamtest.Reading(id, 1, float64(id)))
	}
	c.settle(t)
	box := func(from, to int) streams.Filter {
		return streams.Filter{BBox: &streams.BBox{West: 120 + (float64(from)-.5)/100, South: 31, East: 120 + (float64(to)+.5)/100, North: 32}}
	}
	s := newScreen(c.connect(t, "admin"))
	if err := s.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: box(1, 4), Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	in := func(from, to twin.DatastreamID) map[twin.DatastreamID]string {
		return c.truth(func(o twin.Observation) bool { return o.Datastream >= from && o.Datastream <= to })
	}
	s.until(t, in(1, 4))
	if err := s.client.Update(context.Background(), "s", box(3, 6)); err != nil {
		t.Fatal(err)
	}
	frames, err := s.client.Next(nil, 1<<20)
	if err != nil || len(frames) != 1 || frames[0].Kind != streams.FrameChanged {
		t.Fatalf("%d messages, %v", len(frames), err)
	}
	m := string(frames[0].JSON)
	for _, want := range []string{`{"type":"changed","id":"s","view":"v2","position":{"epoch":"e1","offset":10}`, `"last":true`, `"left":[1,2]`, `"observations":[[5,1,5,2],[6,1,6,2]]`} {
		if !strings.Contains(m, want) {
			t.Errorf("no %s in %s", want, m)
		}
	}
	if err := s.take(frames[0].JSON); err != nil {
		t.Fatal(err)
	}
	c.log.Append(streamtest.Reading(2, 2, 7))
	c.log.Append(streamtest.Reading(6, 2, 8))
	c.settle(t)
	s.until(t, in(3, 6))
	if err := s.client.Update(context.Background(), "s", box(3, 6)); err != nil { // the same
		t.Fatal(err)
	}
	if frames, err = s.client.Next(nil, 1<<20); err != nil || len(frames) != 1 || !strings.Contains(string(frames[0].JSON), `"observations":[]`) || strings.Contains(string(frames[0].JSON), "left") {
		t.Errorf("no change gives %s, %v", frames[0].JSON, err)
	}
	if err := s.client.Update(context.Background(), "t", box(1, 2)); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("an unknown id: %v", err)
	}
	if err := s.client.Update(context.Background(), "s", streams.Filter{Districts: []string{}}); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("a bad filter: %v", err)
	}
}

// Cameras that move all the time, in both modes, show the truth of where they
// are in the end, and no reading of theirs is missing.
func TestUpdateUnderLoad(t *testing.T) {
	for name, mode := range map[string]streams.Mode{"every": streams.ModeEvery, "latest": streams.ModeLatest} {
		t.Run(name, func(t *testing.T) {
			c := newCity(t, func(o *streams.Options) { o.GroupRows = 5 })
			const n = 100
			for id := twin.DatastreamID(1); id <= n; id++ {
				c.dir.Put(streamtest.Datastream(id, "pm25", 1, 120+float64(id)/100, 31.3))
				c.log.Append(streamtest.Reading(id, 1, float64(id)))
			}
			c.settle(t)
			rng := rand.New(rand.NewPCG(3, 4))
			var screens []*screen
			where := make([]int, 8)
			box := func(at int) streams.Filter {
				return streams.Filter{BBox: &streams.BBox{West: 120 + (float64(at)-.5)/100, South: 31, East: 120 + (float64(at)+20.5)/100, North: 32}}
			}
			for range where {
				s := newScreen(c.connect(t, "admin"))
				sub := streams.Subscription{ID: "s", Filter: box(0), Mode: mode, Ack: ack("s")}
				if mode == streams.ModeLatest {
					sub.Interval = streams.MinInterval
				}
				if err := s.client.Subscribe(context.Background(), sub); err != nil {
					t.Fatal(err)
				}
				screens = append(screens, s)
			}
			for i := range 400 {
				c.log.Append(streamtest.Reading(twin.DatastreamID(1+rng.IntN(n)), int64(10+i), float64(rng.IntN(100))))
				for k, s := range screens {
					switch rng.IntN(4) {
					case 0:
						where[k] = rng.IntN(80)
						if err := s.client.Update(context.Background(), "s", box(where[k])); err != nil {
							t.Fatal(err)
						}
					case 1:
						s.client.Send([]byte(`{"type":"heartbeat"}`)) // there is something to take
						frames, err := s.client.Next(nil, 1+rng.IntN(3000))
						if err != nil {
							t.Fatal(err)
						}
						for _, f := range frames {
							if err := s.take(f.JSON); err != nil {
								t.Fatalf("%v in %s", err, f.JSON)
							}
						}
					}
				}
			}
			c.settle(t)
			for k, s := range screens {
				s.until(t, c.truth(func(o twin.Observation) bool {
					return int(o.Datastream) >= where[k] && int(o.Datastream) <= where[k]+20
				}))
			}
		})
	}
}

// R29 (上海市数据条例 第三十九条): what a camera leaves behind in the queue does not
// outlive the right to see it.
func TestR29UpdateLeavesNothingBehind(t *testing.T) {
	c := twoSets(t, 2)
	c.dir.SetOpen(2, true)
	rep := newReplica(c.connect(t, ""))
	if err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Filter: streams.Filter{Datastreams: []twin.DatastreamID{3}}, Ack: ack("s")}); err != nil {
		t.Fatal(err)
	}
	rep.sync(t)
	c.log.Append(streamtest.Reading(3, 2000, 41))
	c.settle(t)
	if err := rep.client.Update(context.Background(), "s", streams.Filter{Datastreams: []twin.DatastreamID{1}}); err != nil {
		t.Fatal(err)
	}
	c.dir.SetOpen(2, false)
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(1, 2000, 42))
	c.settle(t)
	frames, err := rep.client.Next(nil, 1<<20)
	for _, f := range frames {
		if strings.Contains(string(f.JSON), "[3,") {
			t.Errorf("after the loss came %s", f.JSON)
		}
	}
	if err == nil {
		t.Error("the client is not closed")
	}
}

func TestEvents(t *testing.T) {
	c := newCity(t, nil)
	c.dir.SetOpen(1, true)
	sub := func(token string, kinds ...streams.EventKind) *screen {
		s := newScreen(c.connect(t, token))
		if err := s.client.Subscribe(context.Background(), streams.Subscription{ID: "s", Events: kinds, Ack: ack("s")}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	public, admin, none := sub("", streams.EventTerminal, streams.EventIncident), sub("admin", streams.EventTerminal), sub("admin")
	both := sub("admin", streams.EventTerminal)
	if err := both.client.Subscribe(context.Background(), streams.Subscription{ID: "t", Events: []streams.EventKind{streams.EventTerminal}}); err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1790000000000)
	publish := func(kind streams.EventKind, dataset, members string) {
		t.Helper()
		if err := c.hub.Publish(streams.Event{Kind: kind, Dataset: dataset, Time: at, Members: []byte(members)}); err != nil {
			t.Fatal(err)
		}
	}
	publish(streams.EventTerminal, "set-1", "{\"terminal\":\"gusu-0001\",\n \"state\":\"moved\"}")
	publish(streams.EventTerminal, "set-2", `{"terminal":"secret"}`) // R28: closed to the public
	publish(streams.EventIncident, "set-1", "")
	for _, s := range []*screen{public, admin, none, both} {
		s.client.Send([]byte(`{"type":"heartbeat","marker":1}`))
		if err := s.pump(func() bool { return s.marker == 1 }); err != nil {
			t.Fatal(err)
		}
	}
	first := `{"type":"event","id":"e1","kind":"terminal","dataset":"set-1","time":"2026-09-21T14:13:20.000Z","state":"moved","terminal":"gusu-0001"}`
	if len(public.events) != 2 || public.events[0] != first || !strings.Contains(public.events[1], "incident") {
		t.Errorf("the public got %v", public.events)
	}
	if len(admin.events) != 2 || len(both.events) != 2 || !strings.Contains(admin.events[1], "secret") {
		t.Errorf("the operator got %v and %v", admin.events, both.events)
	}
	if len(none.events) != 0 {
		t.Errorf("who asked for none got %v", none.events)
	}
	// R29: what is queued when a Dataset is closed does not go out.
	publish(streams.EventTerminal, "set-1", `{"terminal":"late"}`)
	c.dir.SetOpen(1, false)
	c.hub.Invalidate()
	publish(streams.EventTerminal, "set-1", `{"terminal":"later"}`)
	public.client.Send([]byte(`{"type":"heartbeat","marker":2}`))
	if err := public.pump(func() bool { return public.marker == 2 }); err != nil {
		t.Fatal(err)
	}
	if len(public.events) != 2 {
		t.Errorf("after the loss the public has %v", public.events)
	}
	for _, e := range []streams.Event{{Kind: "weather"}, {Kind: streams.EventModel, Members: []byte(`[1]`)}, {Kind: streams.EventModel, Members: []byte(`{"id":"x"}`)}} {
		if err := c.hub.Publish(e); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

// R29: a token that ends by itself ends the stream within 2 s.
func TestR29ExpiredTokenIsClosedInTime(t *testing.T) {
	c := newCity(t, nil)
	until := time.Now().Add(300 * time.Millisecond)
	client, err := c.hub.Connect(streams.ClientOptions{View: func(context.Context) (streams.View, error) {
		if time.Now().After(until) {
			return nil, &twin.Error{Code: twin.CodeUnauthorized, Op: "authenticate", Message: "expired"}
		}
		return streamtest.View{Name: "short", All: true, Until: until}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Detach()
	if err := client.Subscribe(context.Background(), streams.Subscription{ID: "s"}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = client.Next(nil, 1<<20)
	}
	if e, ok := err.(*streams.CloseError); !ok || e.Code != streams.CloseAccess {
		t.Errorf("closed with %v", err)
	}
	if late := time.Since(until); late < 0 || late > 2*time.Second {
		t.Errorf("closed %v after the end", late)
	}
}

func TestLimitsOfOneIdentity(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.MaxIdentityClients, o.MaxIdentitySubscriptions = 2, 3 })
	connect := func(who string) (*streams.Client, error) {
		cl, err := c.hub.Connect(streams.ClientOptions{Identity: who, View: func(context.Context) (streams.View, error) { return streamtest.View{All: true}, nil }})
		if err == nil {
			t.Cleanup(cl.Detach)
		}
		return cl, err
	}
	a, err1 := connect("a")
	b, err2 := connect("a")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if _, err := connect("a"); twin.ErrorCode(err) != twin.CodeTooMany {
		t.Errorf("a third connection: %v", err)
	}
	if _, err := connect("b"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	sub := func(c *streams.Client, id string) twin.Code {
		return twin.ErrorCode(c.Subscribe(context.Background(), streams.Subscription{ID: id}))
	}
	for i, got := range []twin.Code{sub(a, "1"), sub(a, "2"), sub(b, "1"), sub(b, "1")} {
		if got != "" {
			t.Errorf("subscription %d: %s", i, got)
		}
	}
	if got := sub(b, "2"); got != twin.CodeUnavailable {
		t.Errorf("a fourth subscription: %q", got)
	}
	if err := a.Unsubscribe("1", nil); err != nil {
		t.Fatal(err)
	}
	if got := sub(b, "2"); got != "" {
		t.Errorf("after one has ended: %q", got)
	}
	a.Detach()
	if _, err := connect("a"); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

// BenchmarkUpdate moves a viewport among 100,000 Datastreams, of which it shows
// about 250, by a tenth of its width.
func BenchmarkUpdate(b *testing.B) {
	src := make(handSource, 1)
	dir, state := streamtest.NewDirectory(), streamtest.NewState()
	rng := rand.New(rand.NewPCG(1, 2))
	for id := twin.DatastreamID(1); id <= 100000; id++ {
		dir.Put(streamtest.Datastream(id, "pm25", 1, 120+rng.Float64(), 31+rng.Float64()))
		state.Seed(twin.Position{}, streamtest.Reading(id, 1, 1))
	}
	hub, err := streams.New(streams.Options{Source: src, State: state, Directory: dir})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = hub.Run(ctx) }()
	<-src
	const n = 1000
	var clients []*streams.Client
	at := make([][2]float64, n)
	box := func(i int) streams.Filter {
		return streams.Filter{BBox: &streams.BBox{West: at[i][0], South: at[i][1], East: at[i][0] + .05, North: at[i][1] + .05}}
	}
	for i := range n {
		c, err := hub.Connect(streams.ClientOptions{View: func(context.Context) (streams.View, error) { return streamtest.View{All: true}, nil }})
		if err != nil {
			b.Fatal(err)
		}
		at[i] = [2]float64{120 + rng.Float64()*.8, 31 + rng.Float64()*.95}
		if err := c.Subscribe(ctx, streams.Subscription{ID: "s", Filter: box(i)}); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Next(nil, 1<<20); err != nil {
			b.Fatal(err)
		}
		clients = append(clients, c)
	}
	b.ReportAllocs()
	bytes, i := 0, 0
	for b.Loop() {
		k := i % n
		at[k][0] = 120 + (at[k][0]-120+.005)*.999
		if err := clients[k].Update(ctx, "s", box(k)); err != nil {
			b.Fatal(err)
		}
		frames, err := clients[k].Next(nil, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range frames {
			bytes += len(f.JSON)
		}
		i++
	}
	b.ReportMetric(float64(bytes)/float64(i), "B/update")
	for _, c := range clients {
		c.Detach()
	}
	cancel()
	<-done
}
