package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

func TestPagesLoadLazilyAndNewDatastreamsAppear(t *testing.T) {
	ctx := context.Background()
	r, _ := openFile(t)
	mustImport(t, r, city(300, 10)) // 3,000 Datastreams: pages 0–2
	loaded := func() (n int) {
		for _, s := range *r.cache.pages.Load() {
			if s.page.Load() != nil {
				n++
			}
		}
		return n
	}
	if loaded() != 0 {
		t.Fatalf("%d pages loaded before the first question", loaded())
	}
	for _, id := range []twin.DatastreamID{1, 1023, 1, 2} {
		if ds, err := r.Datastream(ctx, id); err != nil || ds.ID != id {
			t.Fatalf("%d: %+v, %v", id, ds, err)
		}
	}
	if loaded() != 1 {
		t.Fatalf("%d pages loaded, want 1", loaded())
	}
	if ds, err := r.Datastream(ctx, 3000); err != nil || ds.Terminal != "t-000299" || ds.PropertyName != "p09" || ds.District != "320508" || ds.Unit.Symbol != "µg/m³" || ds.Lat != 31.32454 {
		t.Fatalf("%+v, %v", ds, err)
	}
	page := (*r.cache.pages.Load())[2].page.Load()
	if _, err := r.PutTerminal(ctx, terminal("new", "city", pm25)); err != nil {
		t.Fatal(err)
	}
	if ds, err := r.Datastream(ctx, 3001); err != nil || ds.Terminal != "new" {
		t.Fatalf("%+v, %v", ds, err)
	}
	if (*r.cache.pages.Load())[2].page.Load() != page {
		t.Error("one new Datastream reloaded its page")
	}
}

func TestNotFoundDoesNotGrowMemory(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	mustImport(t, r, city(1, 1))
	for i := range 500 {
		for _, id := range []twin.DatastreamID{0, -1, 2, 1 << 40, twin.DatastreamID(1<<62 + i)} {
			if _, err := r.Datastream(ctx, id); twin.ErrorCode(err) != twin.CodeNotFound {
				t.Fatalf("%d: %v", id, err)
			}
		}
		if _, err := r.Terminal(ctx, fmt.Sprint("x", i)); twin.ErrorCode(err) != twin.CodeNotFound {
			t.Fatal(err)
		}
	}
	n := 0
	for i := range r.cache.shards {
		n += len(r.cache.shards[i].byCode)
	}
	if n != 0 || len(*r.cache.pages.Load()) != 1 {
		t.Errorf("%d terminals, %d pages kept", n, len(*r.cache.pages.Load()))
	}
}

func TestCachedLookupsDoNotAllocate(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	mustImport(t, r, city(3, 3))
	prop := []byte("p01")
	lookup := func() {
		tm, err := r.Terminal(ctx, "t-000001")
		if err != nil || tm.Stale() {
			t.Fatal(err)
		}
		ds := tm.DatastreamBytes(prop)
		if same, err := r.Datastream(ctx, ds.ID); err != nil || same != ds {
			t.Fatal("the Datastream is in memory twice", err)
		}
	}
	lookup()
	if n := testing.AllocsPerRun(100, lookup); n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
}

func TestAutoRegister(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	tm, err := r.AutoRegister(ctx, "gw.1", "temp", twin.ResultMeasurement)
	if err != nil || tm.Thing.State != twin.StateActive || !tm.Thing.Domain.Valid() || tm.Thing.Properties[autoRegisteredMark] != true {
		t.Fatalf("%+v, %v", tm, err)
	}
	ds := tm.Datastream("temp")
	if ds == nil || ds.Result != twin.ResultMeasurement {
		t.Fatalf("%+v", ds)
	}
	// R01, R32: nobody owns it, nobody sees it.
	if d, err := r.Dataset(ctx, ds.Dataset); err != nil || d.Code != "auto" || d.Owner != "unassigned" || d.Open != twin.OpenNone {
		t.Errorf("%+v, %v", d, err)
	}
	more, err := r.AutoRegister(ctx, "gw.1", "门", twin.ResultText)
	if err != nil || !tm.Stale() || len(more.Datastreams()) != 2 || more.Datastream("temp").ID != ds.ID {
		t.Fatalf("%+v, %v", more, err)
	}
	if same, err := r.AutoRegister(ctx, "gw.1", "门", twin.ResultText); err != nil || same != more {
		t.Errorf("again: %v", err)
	}
	if alone, err := r.AutoRegister(ctx, "gw.2", "", ""); err != nil || len(alone.Datastreams()) != 0 {
		t.Errorf("%+v, %v", alone, err)
	}
	for _, c := range []struct {
		code, property string
		result         twin.ResultType
		want           twin.Code
	}{
		{"bad code", "x", twin.ResultText, twin.CodeInvalid},
		{"a/b", "x", twin.ResultText, twin.CodeInvalid},
		{"ok", "a b", twin.ResultText, twin.CodeInvalid},
		{"ok", "\xff", twin.ResultText, twin.CodeInvalid},
		{"ok", "x", "OM_Nothing", twin.CodeInvalid},
	} {
		if _, err := r.AutoRegister(ctx, c.code, c.property, c.result); twin.ErrorCode(err) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
	// A new property of a terminal in an open Dataset is not open with it.
	mustImport(t, r, city(1, 1))
	if tm, err := r.AutoRegister(ctx, "t-000000", "extra", twin.ResultCount); err != nil || tm.Datastream("extra").Dataset != ds.Dataset || tm.Datastream("p00").Dataset == ds.Dataset {
		t.Errorf("R32: %v", err)
	}
	// A manifest that does not name it retires it; texts do not mix with numbers.
	mustImport(t, r, city(1, 1))
	if tm, err := r.Terminal(ctx, "t-000000"); err != nil || tm.Datastream("extra") != nil {
		t.Errorf("%v", err)
	}
	if _, err := r.AutoRegister(ctx, "t-000000", "extra", twin.ResultText); twin.ErrorCode(err) != twin.CodeConflict {
		t.Errorf("got %v", err)
	}
	if err := r.RetireTerminal(ctx, "gw.2"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AutoRegister(ctx, "gw.2", "x", twin.ResultCount); twin.ErrorCode(err) != twin.CodeConflict {
		t.Errorf("R50: got %v", err)
	}
}

func TestAutoRegisterBoundsProperties(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	m := city(1, manifest.MaxProperties)
	mustImport(t, r, m)
	if _, err := r.AutoRegister(ctx, "t-000000", "one-more", twin.ResultCount); twin.ErrorCode(err) != twin.CodeTooMany {
		t.Errorf("got %v", err)
	}
}

// TestAutoRegisterConcurrently lets connections name the same new terminals
// and properties at once: each must exist once.
func TestAutoRegisterConcurrently(t *testing.T) {
	ctx := context.Background()
	r, _ := openFile(t)
	const connections, terminals, properties = 16, 8, 6
	var ids [terminals][properties]sync.Map
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for _, i := range rand.Perm(terminals * properties) {
				code, prop := i/properties, i%properties
				tm, err := r.AutoRegister(ctx, fmt.Sprint("t", code), fmt.Sprint("p", prop), twin.ResultMeasurement)
				if err != nil {
					t.Error(err)
					return
				}
				ids[code][prop].Store(tm.Datastream(fmt.Sprint("p", prop)).ID, true)
			}
		})
	}
	wg.Wait()
	seen := map[any]bool{}
	for c := range ids {
		for p := range ids[c] {
			n := 0
			ids[c][p].Range(func(id, _ any) bool { n++; seen[id] = true; return true })
			if n != 1 {
				t.Errorf("t%d.p%d has %d ids", c, p, n)
			}
		}
	}
	if len(seen) != terminals*properties || r.cache.last.Load() != terminals*properties {
		t.Errorf("%d ids, last %d", len(seen), r.cache.last.Load())
	}
	if things, total, err := r.Things(ctx, Query{All: true, Count: true}); err != nil || total != terminals || len(things) != terminals {
		t.Errorf("%d things, %v", total, err)
	}
}

func TestAutoRegisterGivesUpWithItsContext(t *testing.T) {
	r := open(t, Options{})
	if err := r.lock(context.Background(), "test"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.AutoRegister(ctx, "a", "x", twin.ResultCount); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if len(r.auto.waiting) != 0 {
		t.Errorf("%d requests left behind", len(r.auto.waiting))
	}
	r.unlock()
}

// TestLookupsDuringWrites reads through both caches while terminals change:
// a reader that saw a write's result must not see an older one afterwards.
func TestLookupsDuringWrites(t *testing.T) {
	ctx := context.Background()
	r, _ := openFile(t)
	const terminals, properties, rounds = 300, 4, 5 // 1,200 Datastreams: two pages
	name := func(round int) string { return fmt.Sprintf("r%04d", round) }
	put := func(round int) {
		m := city(terminals, properties)
		for i := range m.Terminals {
			m.Terminals[i].Name = name(round)
		}
		if round%2 == 0 { // over patchLimit: the pages are dropped
			mustImport(t, r, m)
			return
		}
		for _, part := range [][]manifest.Terminal{m.Terminals[:1], m.Terminals[1:150], m.Terminals[150:]} { // below: the slots are replaced
			mustImport(t, r, &manifest.Manifest{Terminals: part})
		}
	}
	put(0)
	var written atomic.Int64 // rounds that are wholly written
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				time.Sleep(50 * time.Microsecond) // leaves the writer a processor
				low := name(int(written.Load()))
				code := fmt.Sprintf("t-%06d", rand.IntN(terminals))
				tm, err := r.Terminal(ctx, code)
				if err != nil || tm.Thing.Name < low && !tm.Stale() {
					t.Errorf("%s: name %q, written %q, %v", code, tm.Thing.Name, low, err)
					return
				}
				ds, err := r.Datastream(ctx, twin.DatastreamID(1+rand.IntN(terminals*properties)))
				if err != nil || ds.ThingName < low {
					t.Errorf("%v: name %q, written %q", err, ds.ThingName, low)
					return
				}
			}
		})
	}
	for round := 1; round <= rounds; round++ {
		put(round)
		written.Store(int64(round))
	}
	stop.Store(true)
	wg.Wait()
}
