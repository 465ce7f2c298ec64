package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// follower is what a view of the store knows: the objects that are valid now.
type follower struct {
	last    int64
	objects map[int64]*store.Version
}

// follow reads the changes since f.last and gives how many there were.
func (f *follower) follow(t testing.TB, s store.Reader) int {
	t.Helper()
	if f.objects == nil {
		f.objects = make(map[int64]*store.Version)
	}
	seen := make(map[int64]bool)
	last, err := s.Changes(t.Context(), f.last, func(c store.Change) error {
		if seen[c.Position] {
			t.Errorf("position %d comes twice", c.Position)
		}
		seen[c.Position] = true
		if c.Version == nil {
			delete(f.objects, c.Position)
			return nil
		}
		if c.Version.Position != c.Position || !c.Version.ValidTo.IsZero() || len(c.Version.Object.Geometries) > 0 {
			t.Errorf("change at %d: %+v", c.Position, c.Version)
		}
		f.objects[c.Position] = c.Version
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.last = last
	return len(seen)
}

// names are the identifiers of what f knows, with name and class.
func (f *follower) names() []string {
	var all []string
	for _, v := range f.objects {
		all = append(all, fmt.Sprintf("%s/%s %s %s", v.Dataset, v.Object.ID, v.Object.Name, v.Object.Class))
	}
	slices.Sort(all)
	return all
}

func changes(t *testing.T, c *city) {
	ctx := t.Context()
	if n, err := c.LastImport(ctx); n != 0 || err != nil {
		t.Fatalf("an empty store: import %d, %v", n, err)
	}
	var f follower
	if n := f.follow(t, c); n != 0 || f.last != 0 {
		t.Fatalf("an empty store has %d changes up to %d", n, f.last)
	}
	bare := &spatial.CityObject{ID: "bare", CRS: spatial.CRS{Horizontal: 4326}}
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("1", 0, 0), House("2", 1, 0), House("3", 2, 0), bare)
	first, err := c.LastImport(ctx)
	if err != nil || first <= 0 {
		t.Fatalf("after an import: %d, %v", first, err)
	}
	if n := f.follow(t, c); n != 4 || f.last != first {
		t.Errorf("%d changes up to %d; want 4 up to %d", n, f.last, first)
	}
	for _, v := range f.objects {
		if (v.Footprint == nil) != (v.Object.ID == "bare") {
			t.Errorf("%s: footprint %+v", v.Object.ID, v.Footprint)
		}
	}
	// Nothing changed: not an import.
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("1", 0, 0))
	mustImport(t, c, store.ImportOptions{Dataset: "d", DryRun: true}, House("9", 0, 0))
	if n := f.follow(t, c); n != 0 || f.last != first {
		t.Errorf("an import without changes: %d changes up to %d", n, f.last)
	}
	// Several imports at once: changed twice, ended, ended and back, another
	// class, another data set, new and ended again.
	c.now = c.now.Add(time.Hour)
	changed := House("1", 5, 5)
	changed.Name = "一"
	mustImport(t, c, store.ImportOptions{Dataset: "d", End: []string{"2", "bare"}}, changed, House("4", 3, 0))
	c.now = c.now.Add(time.Hour)
	changed.Name, changed.Class = "二", spatial.ClassUnderground
	mustImport(t, c, store.ImportOptions{Dataset: "d", End: []string{"4"}}, changed, bare)
	mustImport(t, c, store.ImportOptions{Dataset: "e"}, House("1", 0, 0))
	if n := f.follow(t, c); n != 5 {
		t.Errorf("%d objects changed, want 1, 2, bare and 4 of d and 1 of e", n)
	}
	want := []string{"d/1 二 underground", "d/3 沧浪亭 3 building", "d/bare  ", "e/1 沧浪亭 1 building"}
	if got := f.names(); !slices.Equal(got, want) {
		t.Errorf("following gives %q, want %q", got, want)
	}
	var anew follower
	anew.follow(t, c)
	if got := anew.names(); !slices.Equal(got, want) || anew.last != f.last {
		t.Errorf("beginning anew gives %q up to %d, want %q up to %d", got, anew.last, want, f.last)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(anew.objects)), slices.Sorted(maps.Keys(f.objects))) {
		t.Error("the positions differ")
	}
	enough := errors.New("enough")
	if _, err := c.Changes(ctx, 0, func(store.Change) error { return enough }); err != enough {
		t.Errorf("the error of the caller became %v", err)
	}
	for _, after := range []int64{f.last + 1, -1, math.MinInt64, math.MaxInt64} {
		if _, err := c.Changes(ctx, after, func(store.Change) error { return nil }); !hasCode(err, store.NotFound) && !hasCode(err, store.Invalid) {
			t.Errorf("after import %d: %v", after, err)
		}
	}
}

// following follows a store while it is imported into.
func following(t *testing.T, c *city) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	var f follower
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			before := len(f.objects)
			n := f.follow(t, c)
			if after := len(f.objects); after%100 != 0 {
				t.Errorf("%d changes after %d objects gave %d; expected whole imports of 100", n, before, after)
				return
			}
		}
	})
	for i := range 20 {
		var objects []*spatial.CityObject
		for k := range 100 {
			objects = append(objects, House(fmt.Sprint(i, "/", k), i, k))
		}
		mustImport(t, c, store.ImportOptions{Dataset: "d"}, objects...)
	}
	close(done)
	wg.Wait()
	if f.follow(t, c); len(f.objects) != 2000 {
		t.Errorf("%d objects, want 2000", len(f.objects))
	}
}

func ending(t *testing.T, c *city) {
	ctx := t.Context()
	t1 := c.now
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("1", 0, 0), House("2", 1, 0), House("3", 2, 0))
	mustImport(t, c, store.ImportOptions{Dataset: "e"}, House("only e", 0, 0))
	c.now = t1.Add(time.Hour)
	for name, test := range map[string]struct {
		o       store.ImportOptions
		objects []*spatial.CityObject
		want    store.Code
	}{
		"not there":           {store.ImportOptions{Dataset: "d", End: []string{"1", "none"}}, nil, store.NotFound},
		"of another data set": {store.ImportOptions{Dataset: "d", End: []string{"only e"}}, nil, store.NotFound},
		"twice":               {store.ImportOptions{Dataset: "d", End: []string{"1", "1"}}, nil, store.Invalid},
		"stored as well":      {store.ImportOptions{Dataset: "d", End: []string{"1"}}, []*spatial.CityObject{House("1", 0, 0)}, store.Invalid},
		"new and ended":       {store.ImportOptions{Dataset: "d", End: []string{"new"}}, []*spatial.CityObject{House("new", 0, 0)}, store.Invalid},
		"in a first import":   {store.ImportOptions{Dataset: "first", End: []string{"1"}}, []*spatial.CityObject{House("2", 0, 0)}, store.NotFound},
		"SQL":                 {store.ImportOptions{Dataset: "d", End: []string{"' OR 1=1 --"}}, nil, store.NotFound},
	} {
		for _, test.o.DryRun = range []bool{false, true} {
			r, err := c.Import(ctx, test.o, Objects(test.objects...))
			var e *store.Error
			if !hasCode(err, test.want) || r != (store.ImportResult{}) || !errors.As(err, &e) || e.Field != "End" || e.Object == "" {
				t.Errorf("%s: %+v, %v; want %s", name, r, err, test.want)
			}
		}
	}
	if n, err := c.Count(ctx, store.Query{Class: spatial.ClassBuilding}); n != 4 || err != nil {
		t.Fatalf("%d left, %v; want 4", n, err)
	}
	o := store.ImportOptions{Dataset: "d", End: []string{"3", "1"}}
	o.DryRun = true
	if r := mustImport(t, c, o, House("4", 0, 0)); r != (store.ImportResult{Added: 1, Ended: 2}) {
		t.Errorf("a trial: %+v", r)
	}
	o.DryRun = false
	r := mustImport(t, c, o, House("4", 0, 0))
	if r != (store.ImportResult{At: c.now, Added: 1, Ended: 2}) {
		t.Errorf("%+v", r)
	}
	if all, err := c.Versions(ctx, store.Key{Dataset: "d", ID: "1"}); err != nil || len(all) != 1 || !all[0].ValidTo.Equal(r.At) {
		t.Errorf("versions of what ended: %+v, %v", all, err)
	}
	if _, err := c.Get(ctx, store.Key{Dataset: "d", ID: "1"}, time.Time{}); !hasCode(err, store.NotFound) {
		t.Errorf("what ended: %v", err)
	}
	// Together with Complete, what ends is counted once.
	c.now = c.now.Add(time.Hour)
	if r := mustImport(t, c, store.ImportOptions{Dataset: "d", Complete: true, End: []string{"2"}}); r.Ended != 2 {
		t.Errorf("a data set that became empty: %+v", r)
	}
}

func trial(t *testing.T, c *city) {
	ctx, t1 := t.Context(), c.now
	o := store.ImportOptions{Dataset: "d", DryRun: true, Complete: true}
	if r := mustImport(t, c, o, House("1", 0, 0), House("2", 1, 0)); r != (store.ImportResult{Added: 2}) {
		t.Errorf("a first trial: %+v", r)
	}
	if n, err := c.LastImport(ctx); n != 0 || err != nil {
		t.Errorf("a trial became import %d, %v", n, err)
	}
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("1", 0, 0), House("2", 1, 0), House("3", 2, 0))
	c.now = t1.Add(time.Hour)
	changed := House("1", 7, 7)
	if r := mustImport(t, c, o, changed, House("2", 1, 0), House("4", 9, 9)); r != (store.ImportResult{Added: 1, Updated: 1, Unchanged: 1, Ended: 1}) {
		t.Errorf("a second trial: %+v", r)
	}
	bad := House("bad", 3, 3)
	bad.Geometries[0].XYZ[4] = math.NaN()
	if _, err := c.Import(ctx, o, Objects(bad)); !hasCode(err, store.Invalid) {
		t.Errorf("a trial of what cannot be: %v", err)
	}
	all, err := c.Versions(ctx, store.Key{Dataset: "d", ID: "1"})
	if err != nil || len(all) != 1 || !all[0].ValidTo.IsZero() {
		t.Errorf("a trial left %+v, %v", all, err)
	}
	if n, err := c.Count(ctx, store.Query{Class: spatial.ClassBuilding}); n != 3 || err != nil {
		t.Errorf("%d objects after trials, %v; want 3", n, err)
	}
	if e, err := c.Extent(ctx, spatial.ClassBuilding); err != nil || e.East > 120.6022 {
		t.Errorf("extent after trials: %+v, %v", e, err)
	}
}
