package webhook

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin/block"
)

type blockBatch = block.Batch

// 上海市数据条例 第三十九条: what is no longer allowed stops, a delivery on its way
// too.
func TestRevokedR29(t *testing.T) {
	w := newWorld(t)
	reached, cut := make(chan struct{}, 100), make(chan struct{}, 100)
	rc := receive(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-r.Context().Done()
		cut <- struct{}{}
	})
	o := w.options()
	o.Timeout = time.Minute
	o.RecheckEvery = 300 * time.Millisecond
	for name, told := range map[string]bool{"told": true, "found out": false} {
		t.Run(name, func(t *testing.T) {
			hub := run(t, o)
			defer hub.stop()
			v := hub.make(t, name, "public", Definition{URL: rc.URL, MaxDelayMs: 50})
			w.log.Append(streamtest.Reading(1, 1, 1))
			<-reached
			w.deny(name, true)
			if told {
				hub.Invalidate()
			}
			select {
			case <-cut:
			case <-time.After(2 * time.Second):
				t.Fatal("the delivery goes on 2 s after the rights were taken away")
			}
			got := hub.await(t, v.ID, "it is paused", func(v Webhook) bool { return v.State.Status == StatusPaused })
			if !strings.Contains(got.State.PausedWhy, "rights") || !strings.Contains(got.State.PausedWhy, "revoked") {
				t.Errorf("%+v", got.State)
			}
			if _, err := hub.Resume(t.Context(), v.ID); err == nil {
				t.Error("resumed without rights")
			}
			n := len(rc.deliveries())
			w.log.Append(streamtest.Reading(1, 2, 2))
			if _, err := hub.Create(t.Context(), Owner{Name: name, Role: "public"}, Definition{URL: rc.URL}); err == nil {
				t.Error("made without rights")
			}
			if len(rc.deliveries()) != n {
				t.Error("delivered without rights")
			}
			if err := hub.Delete(t.Context(), v.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// 苏州市数据条例 第十四条: a Dataset that is closed leaves also the deliveries that
// were read before, and the one on its way.
func TestClosedDatasetR28(t *testing.T) {
	w := newWorld(t)
	w.dir.SetOpen(2, true)
	first := make(chan struct{})
	rc := receive(t, func(n int, rw http.ResponseWriter, r *http.Request) {
		if n == 0 {
			close(first)
			<-r.Context().Done()
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	})
	o := w.options()
	o.Timeout = time.Minute
	hub := run(t, o)
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, MaxDelayMs: 50})
	w.log.Append(streamtest.Reading(1, 1, 1), streamtest.Reading(9, 1, 9))
	<-first
	w.dir.SetOpen(2, false)
	hub.Invalidate()
	w.log.Append(streamtest.Reading(1, 2, 2), streamtest.Reading(9, 2, 9))
	hub.await(t, v.ID, "all is confirmed", func(v Webhook) bool { return v.State.Behind == 0 && !v.State.Delivered.IsZero() })
	got := rc.deliveries()
	if len(got) < 2 || got[0].id != got[1].id || !slices.Equal(got[0].msg.values(), []string{"1", "9"}) || !slices.Equal(got[1].msg.values(), []string{"1"}) {
		t.Errorf("%d deliveries, the first two %v and %v", len(got), got[0].msg.values(), got[1].msg.values())
	}
	for _, d := range got[1:] {
		if slices.Contains(d.msg.values(), "9") || len(d.msg.Datastreams) != 1 {
			t.Errorf("closed, and delivered: %s", d.body)
		}
	}
	// One that was closed altogether sends nothing and does not stand still.
	w.log.Append(streamtest.Reading(9, 3, 9))
	w.log.Append(streamtest.Reading(1, 4, 4))
	testkit.WaitFor(t, 5*time.Second, "the next reading", func() bool { return slices.Contains(rc.values(), "4") })
	if slices.Contains(rc.values()[3:], "9") {
		t.Errorf("%v", rc.values())
	}
}
