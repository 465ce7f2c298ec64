package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"cityhub/streams"
	"cityhub/streams/client"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/ws"
	"cityhub/twin"
)

// The tests of this file speak to the real hub.

func TestSnapshotAndDeltas(t *testing.T) {
	s := serve(t, nil, nil)
	l := dial(t, client.Options{URL: s.url, Subscribe: []client.Request{{ID: "air", Filter: client.Filter{ObservedProperties: []string{"pm25"}, BBox: &client.BBox{120.598, 31.285, 120.641, 31.332}}}}})
	if c := want[*client.Connected](l); c.Role != "public" || c.Epoch != "e1" || c.Server != "cityhub/0.1.0" || c.MaxSubscriptions != 32 || c.Heartbeat != 10*time.Second || !c.Time.Equal(streamtest.Clock()) {
		t.Errorf("welcomed with %s", show(c))
	}
	if sub := want[*client.Subscribed](l); sub.Subscription != "air" || sub.Resumed {
		t.Errorf("%+v", sub)
	}
	snap := want[*client.Snapshot](l)
	if !snap.First || !snap.Last || snap.Position != (twin.Position{Epoch: "e1", Offset: 3}) || len(snap.Datastreams) != 1 || len(snap.Observations) != 1 {
		t.Fatalf("the snapshot is %s", show(snap))
	}
	ds, o := snap.Datastreams[0], snap.Observations[0]
	if ds.ID != 12 || ds.Terminal != "gusu-air-01" || ds.Name != "空气站 1" || ds.Unit != "µg/m³" || ds.Domain != twin.DomainEnvironment || *ds.Lon != 120.62 || !ds.Simulated {
		t.Errorf("described as %s", show(ds))
	}
	if o != (client.Observation{Datastream: 12, PhenomenonNs: 1790000000000e6, Result: client.Result{Kind: client.Number, Value: 12.3}, Quality: twin.QualityNotEvaluated}) || !o.Time().Equal(streamtest.Clock()) {
		t.Errorf("observed %+v", o)
	}
	r := streamtest.Reading(12, 1790000001000, 12.9)
	r.PhenomenonNs += 123456
	s.Log.Append(r)
	if d := want[*client.Delta](l); d.Position.Offset != 4 || len(d.Observations) != 1 || d.Observations[0].PhenomenonNs != r.PhenomenonNs || d.Observations[0].Result.Value != 12.9 {
		t.Errorf("the delta is %s", show(d))
	}
	s.Log.Append(streamtest.Reading(13, 1790000001000, 31))
	if d := want[*client.Delta](l); len(d.Datastreams) != 1 || d.Datastreams[0].Terminal != "gusu-air-02" {
		t.Errorf("the delta is %s", show(d))
	}
	if st := l.Stats(); st.Connections != 1 || st.Losses != 0 || st.Messages != 5 || st.Bytes == 0 || st.Queued != 0 || st.QueuedBytes != 0 {
		t.Errorf("%+v", st)
	}
}

func TestSeveralSubscriptions(t *testing.T) {
	s := serve(t, nil, nil)
	l := dial(t, client.Options{URL: s.url, Token: streamtest.OperatorToken})
	if c := want[*client.Connected](l); c.Role != "admin" {
		t.Errorf("the operator is %s", c.Role)
	}
	fire, err := l.Subscribe(client.Request{Filter: client.Filter{Datastreams: []twin.DatastreamID{14}}})
	if err != nil {
		t.Fatal(err)
	}
	until[*client.Subscribed](l)
	if snap := want[*client.Snapshot](l); snap.Subscription != fire.ID() || snap.Observations[0].Result != (client.Result{Kind: client.Truth}) {
		t.Errorf("%s", show(snap))
	}
	// A second one with the same filter shares its view at the hub: each gets all.
	twin2, err := l.Subscribe(client.Request{ID: "again", Filter: client.Filter{Datastreams: []twin.DatastreamID{14}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Subscribe(client.Request{ID: "again"}); twin.ErrorCode(err) != twin.CodeConflict {
		t.Errorf("the same id twice: %v", err)
	}
	for again := false; !again; { // its own snapshot; the first gets it too, without a gap
		snap := until[*client.Snapshot](l)
		again = snap.Subscription == "again"
	}
	alarm := streamtest.Reading(14, 1790000005000, 1)
	s.Log.Append(alarm)
	got := map[string]bool{}
	for range 2 {
		d := want[*client.Delta](l)
		got[d.Subscription] = d.Observations[0].Result == client.Result{Kind: client.Truth, Value: 1}
	}
	if !got[fire.ID()] || !got["again"] {
		t.Errorf("the alarm came to %v", got)
	}
	fire.Close()
	fire.Close()
	s.Log.Append(streamtest.Reading(14, 1790000006000, 0))
	if d := want[*client.Delta](l); d.Subscription != "again" {
		t.Errorf("after its end came %s", show(d))
	}
	if err := fire.Update(client.Filter{}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("an update after the end: %v", err)
	}
	twin2.Close()
}

// A lost connection: the readings that were published meanwhile are there, and
// none comes twice. A hub that does not resume says so with a Gap.
func TestReconnect(t *testing.T) {
	s := serve(t, nil, nil)
	p := newProxy(t, s.addr)
	l := dial(t, client.Options{URL: p.url(), Subscribe: []client.Request{{ID: "a", Filter: client.Filter{Datastreams: []twin.DatastreamID{12}}}}})
	until[*client.Snapshot](l)
	s.Log.Append(streamtest.Reading(12, 1790000001000, 1))
	want[*client.Delta](l)
	p.set(true)
	if d := want[*client.Disconnected](l); d.Attempt != 1 || d.Err == nil {
		t.Errorf("%+v", d)
	}
	s.Log.Append(streamtest.Reading(12, 1790000002000, 2))
	s.Settle(t)
	p.set(false)
	until[*client.Connected](l)
	sub := want[*client.Subscribed](l)
	s.Log.Append(streamtest.Reading(12, 1790000003000, 3))
	var seen []float64
	gap, reset := false, false
	for len(seen) == 0 || seen[len(seen)-1] != 3 {
		switch ev := l.next().(type) {
		case *client.Gap:
			gap = true
			if ev.After != (twin.Position{Epoch: "e1", Offset: 4}) || ev.Reason == "" {
				t.Errorf("%+v", ev)
			}
		case *client.Snapshot:
			reset = true
			seen = append(seen, ev.Observations[0].Result.Value)
		case *client.Delta:
			for _, o := range ev.Observations {
				seen = append(seen, o.Result.Value)
			}
		}
	}
	if fmt.Sprint(seen) != "[2 3]" {
		t.Errorf("after the loss came %v", seen)
	}
	if sub.Resumed == gap || gap != reset {
		t.Errorf("resumed %v, gap %v, snapshot %v", sub.Resumed, gap, reset)
	}
	if st := l.Stats(); st.Connections != 2 || st.Losses != 1 {
		t.Errorf("%+v", st)
	}
}

func TestUpdateInPlace(t *testing.T) {
	s := serve(t, nil, nil)
	s.Log.Append(streamtest.Reading(13, 1790000000000, 30))
	s.Settle(t)
	l := dial(t, client.Options{URL: s.url, Subscribe: []client.Request{{ID: "map", Filter: client.Filter{BBox: &client.BBox{120.615, 31.3, 120.625, 31.32}}}}})
	snap := until[*client.Snapshot](l)
	if len(snap.Datastreams) != 1 || snap.Datastreams[0].ID != 12 {
		t.Fatalf("the first view is %s", show(snap))
	}
	sub, err := l.Subscribe(client.Request{ID: "other", Filter: client.Filter{Datastreams: []twin.DatastreamID{15}}})
	if err != nil {
		t.Fatal(err)
	}
	until[*client.Snapshot](l)
	sub.Close()
	m := subscriptionNamed(t, l, "map2", client.Filter{BBox: &client.BBox{120.615, 31.3, 120.625, 31.32}})
	if err := m.Update(client.Filter{BBox: &client.BBox{120.625, 31.29, 120.635, 31.31}}); err != nil {
		t.Fatal(err)
	}
	// Either the difference, or of a hub that cannot tell it all of the new view.
	for {
		switch ev := l.next().(type) {
		case *client.Changed:
			if ev.Subscription != "map2" || !ev.Last || len(ev.Left) != 1 || ev.Left[0] != 12 || len(ev.Datastreams) != 1 || ev.Datastreams[0].ID != 13 {
				t.Fatalf("%s", show(ev))
			}
		case *client.Snapshot:
			if ev.Subscription != "map2" {
				continue
			}
			if !ev.First || len(ev.Datastreams) != 1 || ev.Datastreams[0].ID != 13 {
				t.Fatalf("%s", show(ev))
			}
		default:
			continue
		}
		break
	}
	s.Log.Append(streamtest.Reading(13, 1790000001000, 31), streamtest.Reading(12, 1790000001000, 13))
	for d := until[*client.Delta](l); d.Subscription != "map2"; d = until[*client.Delta](l) {
		if d.Observations[0].Datastream != 12 {
			t.Errorf("the view that stayed got %s", show(d))
		}
	}
}

func subscriptionNamed(t *testing.T, l *listener, id string, f client.Filter) *client.Subscription {
	t.Helper()
	sub, err := l.Subscribe(client.Request{ID: id, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	for snap := until[*client.Snapshot](l); snap.Subscription != id; snap = until[*client.Snapshot](l) {
	}
	return sub
}

func TestRefusals(t *testing.T) {
	s := serve(t, func(o *streams.Options) { o.MaxSubscriptions = 2 }, nil)
	if _, err := client.Dial(t.Context(), client.Options{URL: s.url, Token: "wrong"}); twin.ErrorCode(err) != twin.CodeUnauthorized {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err := client.Dial(t.Context(), client.Options{URL: s.url + "/nowhere"}); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("a wrong path: %v", err)
	}
	l := dial(t, client.Options{URL: s.url, Subscribe: []client.Request{{ID: "bad", Filter: client.Filter{BBox: &client.BBox{1, 2, 3, 400}}}}})
	f := until[*client.Failed](l)
	if f.Subscription != "bad" || f.Err.Code != twin.CodeInvalid || f.Err.Field != "filter.bbox" || f.Err.Hint == "" || f.Retry != 0 {
		t.Errorf("%+v", f)
	}
	// The refused one is gone; the connection is not.
	for _, id := range []string{"bad", "2", "3"} {
		if _, err := l.Subscribe(client.Request{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if e := asClose(t, l.ends()); e.Code != 4009 || !e.Final() || e.Reason == "" {
		t.Errorf("%+v", e)
	}
	if _, err := l.Subscribe(client.Request{}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("subscribed after the end: %v", err)
	}
}

// 上海市数据条例 第三十九条: a token that was revoked ends the client, for its
// return is refused.
func TestR29RevokedTokenEndsTheClient(t *testing.T) {
	s := serve(t, nil, nil)
	l := dial(t, client.Options{URL: s.url, Token: streamtest.OperatorToken, Subscribe: []client.Request{{}}})
	until[*client.Snapshot](l)
	s.Gate.Grant(streamtest.OperatorToken, false)
	s.Hub.Invalidate()
	for {
		ev, err := l.Next(t.Context())
		if err == nil {
			if d, ok := ev.(*client.Disconnected); ok && asClose(t, d.Err).Code != 4102 {
				t.Errorf("closed with %v", d.Err)
			}
			continue
		}
		if twin.ErrorCode(err) != twin.CodeUnauthorized {
			t.Errorf("ended with %v", err)
		}
		return
	}
}

// What the caller may see has changed: a state anew, and an honest gap only if
// something may be missing.
func TestAccessChangeResets(t *testing.T) {
	s := serve(t, nil, nil)
	l := dial(t, client.Options{URL: s.url, Subscribe: []client.Request{{}}})
	if snap := until[*client.Snapshot](l); len(snap.Datastreams) != 2 {
		t.Fatalf("the public sees %s", show(snap))
	}
	s.Directory.SetOpen(s.Dataset("gusu-air"), false)
	s.Hub.Invalidate()
	for {
		switch ev := l.next().(type) {
		case *client.Snapshot:
			if !ev.First || len(ev.Datastreams) != 1 || ev.Datastreams[0].ID != 15 {
				t.Errorf("after closing: %s", show(ev))
			}
			return
		case *client.Gap:
			t.Errorf("a gap where no reading came: %+v", ev)
		}
	}
}

// A caller who is slow stops the reading, not the hub: he is closed with 4100
// and then loses nothing without being told.
func TestSlowCaller(t *testing.T) {
	s := serve(t, func(o *streams.Options) { o.QueueBytes = 64 << 10; o.Heartbeat = time.Hour }, func(o *ws.Options) { o.SendBuffer = 4 << 10 })
	l := dial(t, client.Options{URL: s.url, QueueEvents: 4, QueueBytes: 64 << 10, Subscribe: []client.Request{{Filter: client.Filter{Datastreams: []twin.DatastreamID{12}}}}})
	until[*client.Snapshot](l)
	const records, rows = 1000, 300
	last := int64(0)
	for i := range records {
		obs := make([]twin.Observation, rows)
		for j := range obs {
			last = int64(1790000001000 + i*rows + j)
			obs[j] = streamtest.Reading(12, last, float64(i*rows+j))
		}
		s.Log.Append(obs...)
	}
	s.Settle(t)
	next, gaps, slow := 0.0, 0, false
	for next < records*rows {
		switch ev := l.next().(type) {
		case *client.Gap:
			gaps++
		case *client.Disconnected:
			slow = slow || asClose(t, ev.Err).Code == 4100
		case *client.Snapshot:
			if gaps == 0 {
				t.Fatal("a snapshot without a gap")
			}
			next = ev.Observations[0].Result.Value + 1
		case *client.Delta:
			for _, o := range ev.Observations {
				if o.Result.Value != next {
					t.Fatalf("%v after %v", o.Result.Value, next-1)
				}
				next++
			}
		}
	}
	if !slow {
		t.Error("the hub did not close the slow consumer")
	}
	if l.Stats().Waits == 0 {
		t.Error("the queue was never full")
	}
}

func TestShutdownIsTriedAgain(t *testing.T) {
	s := serve(t, nil, nil)
	l := dial(t, client.Options{URL: s.url, Subscribe: []client.Request{{}}})
	until[*client.Snapshot](l)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Hub.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if d := until[*client.Disconnected](l); asClose(t, d.Err).Code != 4103 {
		t.Errorf("%v", d.Err)
	}
	// 503 now: it goes on trying.
	for d := until[*client.Disconnected](l); d.Attempt < 3; d = until[*client.Disconnected](l) {
		if twin.ErrorCode(d.Err) != twin.CodeUnavailable {
			t.Errorf("%v", d.Err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Next(t.Context()); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
