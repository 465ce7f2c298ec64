package webhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

// A receiver that fails, hangs, answers slowly, garbles and breaks off, and a
// hub that is stopped again and again in the middle: every reading arrives, in
// order, and after repeats are dropped by webhook-id none twice.
func TestEveryReadingOnceInOrder(t *testing.T) {
	const readings = 600
	w := newWorld(t)
	rc := receive(t, func(n int, rw http.ResponseWriter, r *http.Request) {
		switch n % 9 {
		case 1:
			rw.WriteHeader(http.StatusInternalServerError)
		case 2: // it was handled, and the answer is lost
			panic(http.ErrAbortHandler)
		case 3: // hangs until the hub gives up
			<-r.Context().Done()
		case 4: // no HTTP
			c, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = c.Write([]byte("\x00\x01garbage\r\n\r\n"))
			_ = c.Close()
		case 5:
			http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
		case 6: // slow, but in time, with a long answer
			time.Sleep(20 * time.Millisecond)
			_, _ = rw.Write(make([]byte, 100_000))
		default:
			rw.WriteHeader(http.StatusNoContent)
		}
	})
	hub := run(t, w.options())
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, MaxReadings: 7, MaxDelayMs: 50, Filter: []byte(`{"observedProperties":["pm25"]}`)})
	secret := v.Secret
	go func() {
		for i := range readings {
			// Records of three: one chosen, one of another property, one not to be seen.
			w.log.Append(streamtest.Reading(twin.DatastreamID(2+2*(i%4)), int64(i), float64(i)), streamtest.Reading(1, int64(i), -1), streamtest.Reading(9, int64(i), -2))
			if i%50 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}()
	deadline := time.Now().Add(60 * time.Second)
	for restarts := 0; len(rc.values()) < readings; restarts++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d readings after %d restarts", len(rc.values()), readings, restarts)
		}
		if restarts < 12 {
			at := len(rc.deliveries())
			testkit.WaitFor(t, 20*time.Second, "another delivery", func() bool { return len(rc.deliveries()) > at+2 || len(rc.values()) >= readings })
			hub.stop()
			hub = run(t, w.options())
			continue
		}
		time.Sleep(10 * time.Millisecond)
	}
	hub.await(t, v.ID, "all is confirmed", func(v Webhook) bool { return !v.State.Pending && v.State.Behind == 0 })
	var want []string
	for i := range readings {
		want = append(want, strconv.Itoa(i))
	}
	if got := rc.values(); !slices.Equal(got, want) {
		t.Errorf("%d values, want 0 to %d in order: %.200v", len(got), readings-1, got)
	}
	last := uint64(0)
	bodies := map[string][]string{}
	for _, d := range rc.deliveries() {
		if !verify(secret, d) || verify("whsec_AAAA", d) {
			t.Fatalf("delivery %s is not signed with the secret", d.id)
		}
		if d.msg.Sequence < last || d.msg.Sequence > last+1 {
			t.Errorf("delivery %d after %d", d.msg.Sequence, last)
		}
		last = d.msg.Sequence
		if had, ok := bodies[d.id]; ok && !slices.Equal(had, d.msg.values()) {
			t.Errorf("delivery %s came again with other readings: %v, %v", d.id, had, d.msg.values())
		}
		bodies[d.id] = d.msg.values()
		if len(d.msg.Observations) > 7 || d.msg.Webhook != v.ID || d.msg.Type != "delta" || d.msg.Gap != "" {
			t.Errorf("%+v", d.msg)
		}
		for _, ds := range d.msg.Datastreams {
			if ds.Property != "pm25" {
				t.Errorf("Datastream %d is of %s", ds.ID, ds.Property)
			}
		}
	}
	if repeats := len(rc.deliveries()) - len(rc.once()); repeats == 0 {
		t.Error("nothing was repeated: the test tested nothing")
	}
}

// A pause, also by 410 Gone, keeps its place; what came meanwhile follows.
func TestPauseAndResume(t *testing.T) {
	w := newWorld(t)
	rc := receive(t, func(n int, rw http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			rw.WriteHeader(http.StatusGone)
			return
		}
		rw.WriteHeader(http.StatusOK)
	})
	hub := run(t, w.options())
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, MaxReadings: 1, MaxDelayMs: 50})
	w.log.Append(streamtest.Reading(1, 1, 1))
	hub.await(t, v.ID, "the first is confirmed", func(v Webhook) bool { return v.State.Behind == 0 && !v.State.Delivered.IsZero() })
	w.log.Append(streamtest.Reading(1, 2, 2))
	got := hub.await(t, v.ID, "410 pauses", func(v Webhook) bool { return v.State.Status == StatusPaused })
	if !strings.Contains(got.State.PausedWhy, "410") || got.State.LastStatus != 410 || !got.State.Pending {
		t.Errorf("%+v", got.State)
	}
	w.log.Append(streamtest.Reading(1, 3, 3))
	hub.stop()
	hub = run(t, w.options()) // it stays paused
	if got, err := hub.Get(t.Context(), v.ID); err != nil || got.State.Status != StatusPaused || got.State.Behind != 2 {
		t.Errorf("%+v, %v", got.State, err)
	}
	if _, err := hub.Resume(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	hub.await(t, v.ID, "the rest is confirmed", func(v Webhook) bool { return v.State.Behind == 0 && v.State.Status == StatusActive })
	if got := rc.values(); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("%v", got)
	}
	if got := rc.deliveries(); len(got) != 4 || got[1].id != got[2].id {
		t.Errorf("%d deliveries; the refused one has to come again under its id", len(got))
	}
}

func TestGiveUp(t *testing.T) {
	w := newWorld(t)
	rc := receive(t, func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	o := w.options()
	o.GiveUpAfter = 200 * time.Millisecond
	hub := run(t, o)
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, MaxDelayMs: 50})
	w.log.Append(streamtest.Reading(1, 1, 1))
	failing := hub.await(t, v.ID, "it fails", func(v Webhook) bool { return v.State.Status != StatusActive })
	if failing.State.LastError == "" {
		t.Errorf("%+v", failing.State)
	}
	got := hub.await(t, v.ID, "it is given up", func(v Webhook) bool { return v.State.Status == StatusPaused })
	if !strings.Contains(got.State.PausedWhy, "no delivery succeeded for 200ms: the receiver answered 502") {
		t.Errorf("%+v", got.State)
	}
	if n := len(rc.deliveries()); n < 3 {
		t.Errorf("given up after %d tries", n)
	}
}

// With latest a delivery holds of each Datastream its latest reading.
func TestLatest(t *testing.T) {
	w := newWorld(t)
	rc := receive(t, nil)
	hub := run(t, w.options())
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, Mode: ModeLatest, MaxDelayMs: 300})
	for i := range 100 {
		w.log.Append(streamtest.Reading(twin.DatastreamID(1+i%2), int64(i), float64(i)))
	}
	w.log.Append(streamtest.Reading(1, 5, -1)) // late
	hub.await(t, v.ID, "all is confirmed", func(v Webhook) bool { return v.State.Behind == 0 && !v.State.Delivered.IsZero() })
	n := 0
	latest := map[string]string{}
	for _, d := range rc.once() {
		n += len(d.msg.Observations)
		for _, o := range d.msg.Observations {
			latest[string(o[0])] = string(o[2])
		}
	}
	if latest["1"] != "98" || latest["2"] != "99" || n > 10 {
		t.Errorf("%v in %d observations", latest, n)
	}
}

// What the log let go of before it was delivered is told.
func TestGap(t *testing.T) {
	w := newWorld(t)
	rc := receive(t, nil)
	o := w.options()
	var first atomic.Uint64 // the first record kept
	first.Store(1)
	o.Bounds = func(ctx context.Context) (twin.Position, twin.Position, error) {
		_, last, err := w.bounds(ctx)
		return twin.Position{Epoch: streamtest.Epoch, Offset: first.Load()}, last, err
	}
	o.Source = streams.SourceFunc(func(ctx context.Context, after twin.Position, maxRows int, fn streams.GroupFunc) error {
		if after.Offset+1 < first.Load() {
			return &twin.Error{Code: twin.CodeConflict, Op: "tail log", Message: "position is not in the log"}
		}
		return w.log.Tail(ctx, after, maxRows, fn)
	})
	hub := run(t, o)
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, MaxDelayMs: 50})
	if _, err := hub.Pause(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		w.log.Append(streamtest.Reading(1, int64(i), float64(i)))
	}
	first.Store(6)
	if _, err := hub.Resume(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	w.log.Append(streamtest.Reading(1, 10, 10))
	hub.await(t, v.ID, "all is confirmed", func(v Webhook) bool { return v.State.Behind == 0 && !v.State.Delivered.IsZero() })
	w.log.Append(streamtest.Reading(1, 11, 11))
	hub.await(t, v.ID, "one more is confirmed", func(v Webhook) bool { return v.State.Behind == 0 })
	if got := rc.values(); !slices.Equal(got, []string{"5", "6", "7", "8", "9", "10", "11"}) {
		t.Errorf("%v", got)
	}
	ds := rc.once()
	if !strings.Contains(ds[0].msg.Gap, "e1:0") || ds[len(ds)-1].msg.Gap != "" {
		t.Errorf("gaps %q, then %q", ds[0].msg.Gap, ds[len(ds)-1].msg.Gap)
	}
}

// A position moves on while nothing is chosen, so that it stays in the log.
func TestQuietWebhookMovesOn(t *testing.T) {
	w := newWorld(t)
	rc := receive(t, nil)
	o := w.options()
	o.CheckpointEvery = 20 * time.Millisecond
	hub := run(t, o)
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, Filter: []byte(`{"datastreams":[3]}`)})
	for i := range 20 {
		w.log.Append(streamtest.Reading(1, int64(i), 0))
	}
	hub.await(t, v.ID, "the position moves", func(v Webhook) bool { return v.State.Behind == 0 })
	if p, ok, err := w.store.Webhook(t.Context(), v.ID); err != nil || !ok || p.Progress.Position.Offset != 20 {
		t.Errorf("stored: %+v, %v", p.Progress, err)
	}
	if n := len(rc.deliveries()); n != 0 {
		t.Errorf("%d deliveries", n)
	}
}

// A CQL2 filter with a condition on the reading chooses readings.
func TestConditionOnReading(t *testing.T) {
	w := newWorld(t)
	rc := receive(t, nil)
	hub := run(t, w.options())
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, MaxDelayMs: 50, Filter: []byte(`{"bbox":[120,31,121,32],"cql":"value > 75 AND property = 'pm25'"}`)})
	for i := range 100 {
		w.log.Append(streamtest.Reading(2, int64(i), float64(i)), streamtest.Reading(1, int64(i), float64(i)))
	}
	hub.await(t, v.ID, "all is confirmed", func(v Webhook) bool { return v.State.Behind == 0 || v.State.Read.Offset == 100 && v.State.Queued == 0 })
	testkit.WaitFor(t, 5*time.Second, "the last", func() bool { return slices.Contains(rc.values(), "99") })
	if got := rc.values(); len(got) != 24 || got[0] != "76" {
		t.Errorf("%v", got)
	}
}

func BenchmarkSieveAndEncode(b *testing.B) {
	w := newWorld(b)
	m, err := New(w.options())
	if err != nil {
		b.Fatal(err)
	}
	h := &hook{id: "wh", def: Definition{URL: "http://127.0.0.1/", Filter: []byte(`{"observedProperties":["pm25"]}`)}}
	if h.sel, err = h.def.complete(&m.guard, w.hub.Select); err != nil {
		b.Fatal(err)
	}
	wk := newWorker(m, h)
	f := &sieve{w: wk, known: map[twin.DatastreamID]bool{}}
	var rows []twin.Observation
	for i := range 4096 {
		rows = append(rows, streamtest.Reading(twin.DatastreamID(1+i%9), int64(i), float64(i)))
	}
	w.log.Append(rows...)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	for _, encode := range []bool{false, true} {
		b.Run(fmt.Sprintf("encode=%v", encode), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = w.log.Tail(ctx, twin.Position{}, 1, func(ctx context.Context, batches []*blockBatch, _ twin.Position) error {
					got, err := f.take(ctx, batches)
					if err != nil {
						b.Fatal(err)
					}
					if encode {
						view, _ := w.access(ctx, Owner{})
						if _, n, err := wk.encode(ctx, view, &batch{rows: got}); err != nil || n != len(got) {
							b.Fatal(n, err)
						}
					}
					return context.Canceled
				})
			}
			b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds(), "readings/s")
		})
	}
}
