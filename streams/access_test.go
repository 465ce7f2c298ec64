package streams_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

// twoSets is a city with an open Dataset 1 (Datastreams 1..n) and a closed
// Dataset 2 (n+1..2n), each Datastream with a reading.
func twoSets(t *testing.T, n int) *city {
	c := newCity(t, nil)
	c.dir.SetOpen(1, true)
	for i := 1; i <= 2*n; i++ {
		id := twin.DatastreamID(i)
		c.dir.Put(streamtest.Datastream(id, "pm25", twin.DatasetID(1+(i-1)/n), 120.6, 31.3))
		c.log.Append(streamtest.Reading(id, 1000, float64(i)))
	}
	c.settle(t)
	return c
}

func (c *city) subscribe(t *testing.T, token, id string, f streams.Filter) *replica {
	t.Helper()
	rep := newReplica(c.connect(t, token))
	if err := rep.client.Subscribe(context.Background(), streams.Subscription{ID: id, Filter: f, Ack: ack(id)}); err != nil {
		t.Fatal(err)
	}
	return rep
}

// 苏州市数据条例 第十三条: the stream shows what REST shows, however the filter asks.
func TestR28AnonymousNeverReceivesAClosedDataset(t *testing.T) {
	c := twoSets(t, 2)
	filters := []streams.Filter{
		{}, {Datastreams: []twin.DatastreamID{1, 3, 4}}, {Datastreams: []twin.DatastreamID{3}},
		{ObservedProperties: []string{"pm25"}}, {BBox: &streams.BBox{West: 120, South: 31, East: 121, North: 32}},
	}
	var reps []*replica
	for i, f := range filters {
		reps = append(reps, c.subscribe(t, "", fmt.Sprint(i), f))
	}
	admin := c.subscribe(t, "admin", "s", streams.Filter{})
	for id := twin.DatastreamID(1); id <= 4; id++ {
		c.log.Append(streamtest.Reading(id, 2000, 99))
	}
	c.dir.Put(streamtest.Datastream(5, "pm25", 2, 120.6, 31.3)) // a closed one that appears later
	c.log.Append(streamtest.Reading(5, 2000, 99))
	c.settle(t)
	for i, rep := range reps {
		rep.sync(t)
		for _, secret := range []string{"gusu-0003", "gusu-0004", "gusu-0005", "[3,", "[4,", "[5,", `"set-2"`} {
			if strings.Contains(rep.raw.String(), secret) {
				t.Errorf("filter %d: the public received %s in\n%s", i, secret, rep.raw.String())
			}
		}
		if open := i != 2; open != strings.Contains(rep.raw.String(), "[1,2000,99,2]") {
			t.Errorf("filter %d: the open reading is missing in\n%s", i, rep.raw.String())
		}
	}
	admin.sync(t)
	for _, all := range []string{"gusu-0003", "[4,2000,99,2]", "gusu-0005"} {
		if !strings.Contains(admin.raw.String(), all) {
			t.Errorf("the operator did not receive %s", all)
		}
	}
}

// 上海市数据条例 第三十九条: what is beyond a caller's scope stops at once.
func TestR29InvalidateStopsDeltasAtOnce(t *testing.T) {
	c := twoSets(t, 2)
	c.dir.SetOpen(2, true)
	rep := c.subscribe(t, "", "s", streams.Filter{})
	rep.sync(t)
	if len(rep.subs["s"].snapshot) != 4 {
		t.Fatalf("before: %v", rep.subs["s"].snapshot)
	}
	rep.raw.Reset()
	// Readings in the queue, not yet taken, then the loss.
	c.log.Append(streamtest.Reading(3, 2000, 41), streamtest.Reading(1, 2000, 42))
	c.settle(t)
	c.dir.SetOpen(2, false)
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(3, 3000, 43), streamtest.Reading(1, 3000, 44))
	c.settle(t)
	rep.sync(t)
	if s := rep.raw.String(); strings.Contains(s, "[3,") || strings.Contains(s, "[4,") || strings.Contains(s, "gusu-0003") {
		t.Errorf("after the loss came\n%s", s)
	}
	rec := rep.subs["s"]
	if want := map[twin.DatastreamID]string{1: "[1,2000,42,2]", 2: "[2,1000,2,2]"}; fmt.Sprint(rec.snapshot) != fmt.Sprint(want) {
		t.Errorf("the new snapshot is %v, want %v", rec.snapshot, want)
	}
	if fmt.Sprint(rec.deltas) != "[[1,3000,44,2]]" {
		t.Errorf("deltas %v", rec.deltas)
	}
	// A newcomer with the same rights shares the view and sees the same.
	late := c.subscribe(t, "", "s", streams.Filter{})
	late.sync(t)
	if late.subs["s"].view != rec.view || len(late.subs["s"].snapshot) != 2 {
		t.Errorf("a newcomer sees %+v", late.subs["s"])
	}
	// And back again.
	c.dir.SetOpen(2, true)
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(4, 4000, 45))
	c.settle(t)
	rep.sync(t)
	if len(rep.subs["s"].snapshot) != 4 || fmt.Sprint(rep.subs["s"].deltas) != "[[4,4000,45,2]]" {
		t.Errorf("opened again: %v %v", rep.subs["s"].snapshot, rep.subs["s"].deltas)
	}
}

// A snapshot that is on its way when access is lost is ended, and a new one
// follows without what was lost.
func TestR29LossWithinASnapshot(t *testing.T) {
	c := twoSets(t, 1000)
	c.dir.SetOpen(2, true)
	rep := c.subscribe(t, "", "s", streams.Filter{})
	rep.raw.Reset()
	if err := rep.pump(func() bool { return strings.Count(rep.raw.String(), `"type":"snapshot"`) > 0 }); err != nil {
		t.Fatal(err)
	}
	if rep.subs["s"].complete {
		t.Fatal("the snapshot is through already")
	}
	rep.raw.Reset()
	c.dir.SetOpen(2, false)
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(2000, 3000, 43))
	c.settle(t)
	rep.sync(t)
	rec := rep.subs["s"]
	if rec.snapshots != 2 || !rec.complete || len(rec.snapshot) != 1000 {
		t.Errorf("%d snapshots, complete %v, %d observations", rec.snapshots, rec.complete, len(rec.snapshot))
	}
	if s := rep.raw.String(); strings.Contains(s, "[1001,") || strings.Contains(s, "gusu-2000") {
		t.Error("lost Datastreams came after the loss")
	}
}

func TestR29RevokedTokenClosesItsClientAlone(t *testing.T) {
	c := twoSets(t, 2)
	c.gate.Grant("second", true)
	first, second := c.subscribe(t, "admin", "s", streams.Filter{}), c.subscribe(t, "second", "s", streams.Filter{})
	idle := newReplica(c.connect(t, "second")) // without subscription
	c.gate.Grant("second", false)
	c.hub.Invalidate()
	for _, rep := range []*replica{second, idle} {
		var e *streams.CloseError
		if err := rep.pump(func() bool { return false }); !errors.As(err, &e) || e.Code != streams.CloseAccess {
			t.Errorf("the revoked client ends with %v", err)
		}
	}
	c.log.Append(streamtest.Reading(3, 2000, 7))
	c.settle(t)
	first.sync(t)
	if err := first.subs["s"].verify(c.log.Records(), 5, func(twin.DatastreamID) bool { return true }); err != nil {
		t.Error(err)
	}
	// A token that expires without notice is found out when access is renewed,
	// and no later than at the next subscription.
	third := c.subscribe(t, "admin", "s", streams.Filter{})
	c.gate.Grant("admin", false)
	if err := third.client.Subscribe(context.Background(), streams.Subscription{ID: "t", Filter: streams.Filter{}}); twin.ErrorCode(err) != twin.CodeUnauthorized {
		t.Errorf("subscribing with a dead token: %v", err)
	}
}

func TestR29AccessIsRenewedWithoutNotice(t *testing.T) {
	c := newCity(t, func(o *streams.Options) { o.RenewEvery = 10 * time.Millisecond })
	c.dir.SetOpen(1, true)
	c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
	c.log.Append(streamtest.Reading(1, 1, 1))
	c.settle(t)
	rep, admin := c.subscribe(t, "", "s", streams.Filter{}), c.subscribe(t, "admin", "s", streams.Filter{})
	c.dir.SetOpen(1, false)
	c.gate.Grant("admin", false)
	if err := rep.pump(func() bool { return rep.subs["s"] != nil && rep.subs["s"].complete && len(rep.subs["s"].snapshot) == 0 }); err != nil {
		t.Fatal(err)
	}
	var e *streams.CloseError
	if err := admin.pump(func() bool { return false }); !errors.As(err, &e) || e.Code != streams.CloseAccess {
		t.Errorf("the operator ends with %v", err)
	}
}

func TestInvalidateFollowsWhatChanged(t *testing.T) {
	box := streams.Filter{BBox: &streams.BBox{West: 120.5, South: 31.2, East: 120.7, North: 31.4}}
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprint("all=", all), func(t *testing.T) {
			c := twoSets(t, 3)
			rep := c.subscribe(t, "admin", "s", box)
			rep.sync(t)
			tell := func(ids ...twin.DatastreamID) {
				if all {
					ids = nil
				}
				c.hub.Invalidate(ids...)
			}
			renamed := streamtest.Datastream(1, "pm25", 1, 120.6, 31.3)
			renamed.ThingName = "拙政园"
			c.dir.Put(renamed)
			tell(1)
			if err := rep.pump(func() bool { return rep.subs["s"].described[1] == "拙政园" }); err != nil {
				t.Fatal(err)
			}
			if n := rep.subs["s"].snapshots; n != 1 {
				t.Errorf("a new name took %d snapshots", n)
			}
			c.dir.Put(streamtest.Datastream(2, "pm25", 1, 119, 30)) // moves out
			c.dir.Delete(3)
			tell(2, 3)
			c.log.Append(streamtest.Reading(2, 2000, 1), streamtest.Reading(3, 2000, 1), streamtest.Reading(4, 2000, 1))
			c.settle(t)
			rep.sync(t)
			rec := rep.subs["s"]
			if len(rec.snapshot) != 4 || fmt.Sprint(rec.deltas) != "[[4,2000,1,2]]" {
				t.Errorf("after two left: %v, %v", rec.snapshot, rec.deltas)
			}
			c.dir.Put(streamtest.Datastream(2, "pm25", 1, 120.6, 31.3)) // moves in again
			tell(2)
			c.log.Append(streamtest.Reading(2, 3000, 5))
			c.settle(t)
			rep.sync(t)
			if len(rec.snapshot) != 5 || fmt.Sprint(rec.deltas) != "[[2,3000,5,2]]" {
				t.Errorf("after one came: %v, %v", rec.snapshot, rec.deltas)
			}
		})
	}
}

// What cannot be looked up is not sent.
func TestInvalidateFailsClosed(t *testing.T) {
	c := twoSets(t, 2)
	rep := c.subscribe(t, "admin", "s", streams.Filter{})
	rep.sync(t)
	c.dir.Fail(errors.New("disk on fire"))
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(1, 2000, 5))
	c.settle(t)
	rep.sync(t)
	if rec := rep.subs["s"]; len(rec.snapshot) != 0 || len(rec.deltas) != 0 {
		t.Errorf("%v %v", rec.snapshot, rec.deltas)
	}
}

// Invalidate may be called from anywhere at any time.
func TestInvalidateUnderLoad(t *testing.T) {
	c := twoSets(t, 50)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if i%7 == 0 {
					c.dir.SetOpen(2, i%2 == 0)
					c.hub.Invalidate()
				} else {
					c.hub.Invalidate(twin.DatastreamID(1 + i%100))
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	rep := c.subscribe(t, "", "s", streams.Filter{})
	for i := range 300 {
		c.log.Append(streamtest.Reading(twin.DatastreamID(1+i%100), 2000+int64(i), 1))
		if i%20 == 0 {
			c.settle(t)
			rep.sync(t)
		}
	}
	close(stop)
	wg.Wait()
	c.dir.SetOpen(2, false)
	c.hub.Invalidate()
	c.log.Append(streamtest.Reading(1, 9000, 9), streamtest.Reading(99, 9000, 9))
	c.settle(t)
	rep.sync(t)
	rec := rep.subs["s"]
	open := func(id twin.DatastreamID) bool { return id <= 50 }
	if err := rec.verify(c.log.Records(), uint64(len(c.log.Records())), open); err != nil {
		t.Error(err)
	}
}
