package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

// village is a store with an index and a cache before it, as a hub has them.
type village struct {
	t     testing.TB
	store *gpkg.Store
	index *index.Index
	cache *Cache
	last  int64
}

func newVillage(t testing.TB, bytes int64) *village {
	t.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := gpkg.Open(context.Background(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg"), Clock: func() time.Time { now = now.Add(time.Second); return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &village{t: t, store: s, index: index.New(index.Settings{})}
	w.cache = New(s, func() index.View { return w.index.For(nil) }, Options{Bytes: bytes})
	return w
}

func (w *village) put(dataset string, end []string, objects ...*spatial.CityObject) {
	w.t.Helper()
	_, err := w.store.Import(context.Background(), store.ImportOptions{Dataset: dataset, End: end}, func(yield func(*spatial.CityObject, error) bool) {
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.follow()
}

// follow brings what changed into the cache and the index, as the hub does.
func (w *village) follow() {
	w.t.Helper()
	var changed []*store.Version
	var ended []int64
	last, err := w.store.Changes(context.Background(), w.last, func(c store.Change) error {
		if c.Version == nil {
			ended = append(ended, c.Position)
		} else {
			changed = append(changed, c.Version)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.last = last
	ch := w.cache.Begin(false)
	for _, position := range ended {
		ch.Drop(position)
	}
	for _, v := range changed {
		ch.Put(v)
	}
	ch.Commit()
	if err := w.index.Apply(index.Versions(changed), ended); err != nil {
		w.t.Fatal(err)
	}
}

// thing draws an object of any class and kind of footprint.
func thing(rng *rand.Rand, i int) *spatial.CityObject {
	classes := append(spatial.Classes(), "")
	o := &spatial.CityObject{
		ID: fmt.Sprint("way/", i), Class: classes[rng.IntN(len(classes))], Type: []string{"", "Building", "Road"}[rng.IntN(3)], Name: []string{"", "平江路", "耦园"}[rng.IntN(3)],
		Level: spatial.CIMLevel(rng.IntN(8)), CRS: spatial.CRS{Horizontal: spatial.CRS84, Vertical: 5737, VerticalDatum: "1985国家高程基准"},
		Source: spatial.Source{File: "a.json", Line: i, Offset: int64(i) * 100},
	}
	if rng.IntN(2) == 0 {
		o.Height = spatial.Height{Metres: float64(rng.IntN(100)) / 3, BaseMetres: 1.5, From: "height"}
	}
	for k := range rng.IntN(5) {
		o.Attributes = append(o.Attributes, spatial.Attribute{Name: fmt.Sprint("a", k), Value: []spatial.Value{
			spatial.TextValue("文字"), spatial.IntValue(int64(rng.IntN(1000)) - 500), spatial.FloatValue(rng.NormFloat64()), spatial.BoolValue(rng.IntN(2) == 0),
			spatial.NullValue(), spatial.JSONValue(`[1,2]`), spatial.TextValue(""),
		}[rng.IntN(7)]})
	}
	if i > 0 && rng.IntN(4) == 0 {
		o.Parents = []string{fmt.Sprint("way/", rng.IntN(i))}
	}
	if rng.IntN(8) == 0 {
		return o // without geometry
	}
	x, y := 120.6+rng.Float64()/50, 31.3+rng.Float64()/50
	z := 0.0
	high := rng.IntN(2) == 0
	if high {
		z = rng.Float64() * 50
	}
	const d = 0.0001
	g := spatial.Geometry{HasZ: high}
	switch rng.IntN(3) {
	case 0:
		g.Kind, g.XYZ = spatial.MultiPoint, []float64{x, y, z}
	case 1:
		g.Kind, g.Rings, g.XYZ = spatial.MultiLine, []int32{2, 4}, []float64{x, y, z, x + d, y, z, x, y + d, z, x + d, y + d, z}
	default:
		g.Kind, g.Rings, g.Surfaces = spatial.MultiSurface, []int32{4, 7}, []int32{2}
		g.XYZ = []float64{x, y, z, x + 9*d, y, z, x + 9*d, y + 9*d, z, x, y + 9*d, z, x + d, y + d, z, x + d, y + 2*d, z, x + 2*d, y + d, z}
	}
	o.Geometries = []spatial.Geometry{g}
	return o
}

// counting counts the questions that reach the store.
type counting struct {
	store.Reader
	n int
}

func (c *counting) Query(ctx context.Context, q store.Query) (store.Page, error) {
	c.n++
	return c.Reader.Query(ctx, q)
}

// compare asks the cache and the store the same.
func (w *village) compare(q store.Query) {
	w.t.Helper()
	ctx := context.Background()
	for pages := 0; ; pages++ {
		got, err := w.cache.Query(ctx, q)
		if err != nil {
			w.t.Fatal(err)
		}
		want, err := w.store.Query(ctx, q)
		if err != nil {
			w.t.Fatal(err)
		}
		if got.Next != want.Next || len(got.Versions) != len(want.Versions) {
			w.t.Fatalf("%+v: %d objects, next %d; the store has %d, %d", q, len(got.Versions), got.Next, len(want.Versions), want.Next)
		}
		for i := range want.Versions {
			same(w.t, got.Versions[i], want.Versions[i])
		}
		if q.After = want.Next; want.Next == 0 {
			break
		}
	}
	q.After = 0
	got, err := w.cache.Count(ctx, q)
	want, err2 := w.store.Count(ctx, q)
	if err != nil || err2 != nil || got != want {
		w.t.Fatalf("%+v: count %d %v, the store's %d %v", q, got, err, want, err2)
	}
}

func same(t testing.TB, got, want *store.Version) {
	t.Helper()
	g, w := *got, *want
	for _, v := range []*store.Version{&g, &w} {
		if v.LowMetres != v.LowMetres { // NaN is not NaN
			v.LowMetres, v.HighMetres = -1, -1
		}
		if len(v.Object.Attributes) == 0 {
			v.Object.Attributes = nil
		}
	}
	if !reflect.DeepEqual(&g, &w) {
		t.Fatalf("object %d\n got %+v %+v\nwant %+v %+v", want.Position, g, g.Footprint, w, w.Footprint)
	}
}

// Memory answers exactly as the store does, before and after changes, with room
// for all, for some and for none.
func TestAnswersAsTheStore(t *testing.T) {
	for _, bytes := range []int64{0, 30_000, -1} {
		t.Run(fmt.Sprint(bytes), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			w := newVillage(t, bytes)
			var all []*spatial.CityObject
			for i := range 400 {
				all = append(all, thing(rng, i))
			}
			w.put("a", nil, all[:300]...)
			w.put("b", nil, all[300:]...)
			ask := func() {
				t.Helper()
				for range 150 {
					x, y, d := 120.6+rng.Float64()/50, 31.3+rng.Float64()/50, rng.Float64()/60
					q := store.Query{Class: append(spatial.Classes(), "")[rng.IntN(6)], Limit: 1 + rng.IntN(40)}
					if rng.IntN(3) > 0 {
						q.BBox = &store.BBox{West: x - d, South: y - d, East: x + d, North: y + d, Empty: rng.IntN(20) == 0}
					}
					if q.BBox == nil || rng.IntN(3) == 0 {
						q.Positions = []int64{}
						for p := int64(1); p < 450; p += 1 + rng.Int64N(5) {
							q.Positions = append(q.Positions, p)
						}
					}
					q.Dataset = []string{"", "", "a"}[rng.IntN(3)]
					q.Datasets = [][]string{nil, {"b", "c"}, {"a", "b"}, {}}[rng.IntN(4)]
					q.Type = []string{"", "Road"}[rng.IntN(2)]
					if rng.IntN(2) == 0 {
						q.Keep = func(v *store.Version) (bool, error) {
							return v.Object.Height.Metres > 10 || v.Object.Name == "耦园", nil
						}
					}
					w.compare(q)
				}
			}
			ask()
			for round := range 30 {
				var changed []*spatial.CityObject
				for range 5 {
					i := rng.IntN(300)
					o := thing(rng, i)
					changed = append(changed, o)
				}
				ids := map[string]bool{}
				for i := 0; i < len(changed); {
					if ids[changed[i].ID] {
						changed = append(changed[:i], changed[i+1:]...)
						continue
					}
					ids[changed[i].ID] = true
					i++
				}
				w.put("a", nil, changed...)
				w.put("b", []string{fmt.Sprint("way/", 300+round)})
			}
			ask()
			if n, _ := w.cache.Stats(); (bytes == 0) != (n == 370) || (bytes < 0) != (n == 0) {
				t.Errorf("with room for %d bytes %d of 370 objects are kept", bytes, n)
			}
		})
	}
}

// Questions that memory can answer do not reach the store; others do.
func TestWhoAnswers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	w := newVillage(t, 0)
	var all []*spatial.CityObject
	for i := range 50 {
		all = append(all, thing(rng, i))
	}
	w.put("a", nil, all...)
	behind := &counting{Reader: w.store}
	w.cache.Reader = behind
	box := &store.BBox{West: 120, South: 31, East: 121, North: 32}
	for i, test := range []struct {
		q     store.Query
		store bool
	}{
		{store.Query{Class: spatial.ClassRoad, BBox: box}, false},
		{store.Query{Class: spatial.ClassRoad, Positions: []int64{1, 2, 3}}, false},
		{store.Query{Class: spatial.ClassRoad, Positions: []int64{1, 2, 999}}, true}, // never heard of
		{store.Query{Class: spatial.ClassRoad}, true},
		{store.Query{Class: spatial.ClassRoad, BBox: box, Geometries: true}, true},
		{store.Query{Class: spatial.ClassRoad, BBox: box, At: time.Now()}, true},
	} {
		behind.n = 0
		if _, err := w.cache.Query(t.Context(), test.q); err != nil {
			t.Fatal(err)
		}
		if (behind.n > 0) != test.store {
			t.Errorf("question %d: the store was asked: %v, want %v", i, behind.n > 0, test.store)
		}
	}
	failed := errors.New("no")
	if _, err := w.cache.Query(t.Context(), store.Query{Class: spatial.ClassRoad, BBox: box, Keep: func(*store.Version) (bool, error) { return false, failed }}); !errors.Is(err, failed) {
		t.Errorf("the error of Keep came back as %v", err)
	}
	if _, err := w.cache.Query(t.Context(), store.Query{Class: "x"}); err == nil {
		t.Error("a class that is none is accepted")
	}
}

// What is not referred to any more is given back.
func TestCompact(t *testing.T) {
	w := newVillage(t, 0)
	rng := rand.New(rand.NewPCG(5, 6))
	var all []*spatial.CityObject
	for i := range 2000 {
		all = append(all, thing(rng, i))
	}
	w.put("a", nil, all...)
	ctx := context.Background()
	page, err := w.store.Query(ctx, store.Query{Class: spatial.ClassRoad, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		ch := w.cache.Begin(false)
		for _, v := range page.Versions {
			ch.Put(v)
		}
		ch.Commit()
	}
	table := w.cache.current.Load()
	if kept := int64(len(table.chunks)) * chunkBytes; kept > 3*(table.bytes-table.dead)+4*chunkBytes {
		t.Errorf("%d bytes are held for %d", kept, table.bytes-table.dead)
	}
	w.compare(store.Query{Class: spatial.ClassRoad, BBox: &store.BBox{West: 120, South: 31, East: 121, North: 32}})
}

// BenchmarkQuery reads, of 100 000 houses, the thousand in a box that are higher
// than a third of all: from the GeoPackage and from memory.
func BenchmarkQuery(b *testing.B) {
	w := newVillage(b, 0)
	_, err := w.store.Import(b.Context(), store.ImportOptions{Dataset: "a"}, func(yield func(*spatial.CityObject, error) bool) {
		for i := range 100_000 {
			const d = 0.00012
			x, y := 120.5+float64(i%316)*0.0002, 31.2+float64(i/316)*0.0002
			o := &spatial.CityObject{ID: fmt.Sprint("h", i), Class: spatial.ClassBuilding, Name: "a", CRS: spatial.CRS{Horizontal: spatial.CRS84}, Height: spatial.Height{Metres: float64(i % 41), From: "height"},
				Attributes: spatial.Attributes{{Name: "use", Value: spatial.TextValue("office")}, {Name: "year", Value: spatial.IntValue(int64(1900 + i%120))}},
				Geometries: []spatial.Geometry{{Kind: spatial.MultiSurface, Rings: []int32{4}, Surfaces: []int32{1}, XYZ: []float64{x, y, 0, x + d, y, 0, x + d, y + d, 0, x, y + d, 0}}}}
			if !yield(o, nil) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	w.follow()
	n, bytes := w.cache.Stats()
	q := store.Query{Class: spatial.ClassBuilding, Limit: 1000, BBox: &store.BBox{West: 120.51, South: 31.21, East: 120.51 + 58*0.0002, North: 31.21 + 58*0.0002},
		Keep: func(v *store.Version) (bool, error) { return v.Object.Height.Metres > 27, nil }}
	for name, r := range map[string]store.Reader{"gpkg": w.store, "memory": w.cache} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				page, err := r.Query(b.Context(), q)
				if err != nil || len(page.Versions) != 1000 {
					b.Fatal(len(page.Versions), err)
				}
			}
			b.ReportMetric(float64(bytes)/float64(n), "bytes/object")
		})
	}
}
