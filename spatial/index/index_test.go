package index

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// TestAgainstLinearScan changes a city many times and asks each question of it
// and of a scan over all objects.
func TestAgainstLinearScan(t *testing.T) {
	for _, c := range []struct {
		name               string
		seed               uint64
		west, south, width float64
	}{
		{"Suzhou", 1, 120.5, 31.2, 0.02}, {"antimeridian", 2, 179.99, -16.8, 0.02}, {"north", 3, 25, 78.2, 0.05}, {"equator", 4, -0.01, -0.01, 0.02}, {"country", 5, 118, 28, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			city := newCity(c.seed)
			city.west, city.south, city.width = c.west, c.south, c.width
			x, all := New(Settings{}), linear{}
			before := x.Version()
			for round := range 12 {
				var changed []*store.Version
				var ended []int64
				for range []int{400, 1, 1, 3, 50, 0, 300, 2, 1, 20, 1, 600}[round] {
					changed = append(changed, city.version(1+city.Int64N(900)))
				}
				for _, p := range all.positions(func(*store.Version) bool { return true }) {
					if city.IntN(10) == 0 {
						ended = append(ended, p)
					}
				}
				if err := x.Apply(Versions(changed), ended); err != nil {
					t.Fatal(err)
				}
				all.apply(changed, ended)
				if x.Version() == before {
					t.Fatalf("round %d did not change the version", round)
				}
				before = x.Version()
				hide := fmt.Sprint("set", round%5)
				seen := linear{}
				for p, v := range all {
					if v.Dataset != hide {
						seen[p] = v
					}
				}
				checkObjects(t, x.For(nil), all, linear{})
				v := x.For(func(dataset string) bool { return dataset != hide })
				hidden := linear{}
				for p, o := range all {
					if o.Dataset == hide {
						hidden[p] = o
					}
				}
				checkObjects(t, v, seen, hidden)
				for range 12 {
					checkSearch(t, city, v, seen)
					checkMetres(t, city, v, seen)
				}
			}
		})
	}
}

func checkObjects(t *testing.T, v View, want, hidden linear) {
	t.Helper()
	if v.Len() != len(want) {
		t.Fatalf("%d objects, expected %d", v.Len(), len(want))
	}
	for p, o := range want {
		ref, ok := v.At(p)
		found, okKey := v.Find(store.Key{Dataset: o.Dataset, ID: o.Object.ID})
		if !ok || !okKey || ref != found {
			t.Fatalf("object %d: At %v %v, Find %v %v", p, ref, ok, found, okKey)
		}
		got := v.Object(ref)
		if got.Position != p || got.Key != (store.Key{Dataset: o.Dataset, ID: o.Object.ID}) || got.Class != o.Object.Class || got.Type != o.Object.Type ||
			got.Name != o.Object.Name || got.Underground != (o.Object.Class == spatial.ClassUnderground) {
			t.Fatalf("%+v of %+v", got, o)
		}
		if len(o.Object.Geometries) > 0 {
			low, high := o.Object.Geometries[1].XYZ[2], o.Object.Geometries[1].XYZ[5]
			if math.Abs(got.LowMetres-low) > 1e-9 || math.Abs(got.HighMetres-high) > 1e-9 {
				t.Fatalf("heights %v to %v, expected %v to %v", got.LowMetres, got.HighMetres, low, high)
			}
		} else if !math.IsNaN(got.LowMetres) || !math.IsNaN(got.HighMetres) {
			t.Fatalf("heights %v to %v, expected none", got.LowMetres, got.HighMetres)
		}
		g := v.Footprint(ref)
		if o.Footprint == nil {
			if g != nil || !got.Bound.IsEmpty() || ShapeOf(v, ref, &Shape{}) {
				t.Fatalf("footprint %v, bound %v; expected none", g, got.Bound)
			}
			continue
		}
		if expected := rounded(o.Footprint); !orb.Equal(g, expected) || !orb.Equal(got.Bound, expected.Bound()) {
			t.Fatalf("footprint %v in %v, expected %v", g, got.Bound, expected)
		}
	}
	for p, o := range hidden {
		if _, ok := v.At(p); ok {
			t.Fatalf("hidden object %d is shown", p)
		}
		if _, ok := v.Find(store.Key{Dataset: o.Dataset, ID: o.Object.ID}); ok {
			t.Fatalf("hidden object %s is found", o.Object.ID)
		}
	}
}

func checkSearch(t *testing.T, c *city, v View, want linear) {
	t.Helper()
	o := c.some()
	x, y := c.place()
	x2, y2 := c.place()
	b := orb.Bound{Min: orb.Point{x, min(y, y2)}, Max: orb.Point{x2, max(y, y2)}}
	if c.west+c.width <= 180 {
		b.Min[0], b.Max[0] = min(x, x2), max(x, x2)
	} else if (x > 0) == (x2 > 0) && x > x2 || x < 0 && x2 > 0 {
		b.Min[0], b.Max[0] = x2, x
	}
	got := positions(t, v, func(fn func(Ref) bool) { v.Search(b, o, fn) })
	expected := want.positions(func(s *store.Version) bool {
		if !want.wants(s, o) {
			return false
		}
		f := rounded(s.Footprint).Bound()
		lon := false
		for _, turn := range []float64{0, 360, -360} {
			lon = lon || f.Min[0] <= round7(b.Max[0]+turn) && f.Max[0] >= round7(b.Min[0]+turn)
		}
		if b.Min[0] > b.Max[0] {
			lon = f.Min[0] <= round7(b.Max[0]) || f.Max[0] >= round7(b.Min[0])
		}
		return lon && f.Min[1] <= round7(b.Max[1]) && f.Max[1] >= round7(b.Min[1])
	})
	if !slices.Equal(got, expected) {
		t.Fatalf("in %v with %+v: %v, expected %v", b, o, got, expected)
	}
	p := orb.Point{round7(x), round7(y)}
	got = positions(t, v, func(fn func(Ref) bool) { v.Containing(x, y, o, fn) })
	expected = want.positions(func(s *store.Version) bool {
		return want.wants(s, o) && s.Footprint.Kind == spatial.MultiSurface && metricOf(rounded(s.Footprint), p[0], p[1]).inside(orb.Point{})
	})
	if !slices.Equal(got, expected) {
		t.Fatalf("at %v with %+v: %v, expected %v", p, o, got, expected)
	}
}

func checkMetres(t *testing.T, c *city, v View, want linear) {
	t.Helper()
	o := c.some()
	var g orb.Geometry = rounded(c.footprint())
	switch c.IntN(6) {
	case 0:
		g = orb.Collection{g, rounded(c.footprint())}
	case 1:
		g = g.Bound()
	}
	if b := boundOf(g); b.Max[0]-b.Min[0] > 180 { // one half on each side of the antimeridian
		return
	}
	metres := []float64{0, 1, 50, 1000}[c.IntN(4)]
	expected := map[int64]float64{}
	for p, s := range want {
		if want.wants(s, o) {
			expected[p] = distance(s, g)
		}
	}
	got := map[int64]float64{}
	v.Meeting(g, metres, o, func(r Ref, d float64) bool {
		p := v.Object(r).Position
		if _, twice := got[p]; twice {
			t.Fatalf("object %d was found twice", p)
		}
		got[p] = d
		return true
	})
	// Both compute in floating point: a micrometre to both sides of the limit.
	for p, d := range expected {
		if m, ok := got[p]; ok != (d <= metres) && math.Abs(d-metres) > 1e-6 && d > ContactMetres+1e-6 || ok && math.Abs(m-d) > 1e-6*(1+d) && d > ContactMetres+1e-6 {
			t.Fatalf("object %d is %v from %v; found %v %v within %v", p, d, g, ok, m, metres)
		}
	}
	for p := range got {
		if _, ok := expected[p]; !ok {
			t.Fatalf("object %d was found and is not wanted by %+v", p, o)
		}
	}
	k, most := 1+c.IntN(12), []float64{100, math.Inf(1)}[c.IntN(2)]
	near := v.Nearest(g, most, k, o)
	sorted := []float64{}
	for _, d := range expected {
		if d <= most {
			sorted = append(sorted, d)
		}
	}
	slices.Sort(sorted)
	sorted = sorted[:min(k, len(sorted))]
	if len(near) != len(sorted) || !slices.IsSortedFunc(near, byMetres) {
		t.Fatalf("nearest: %v, expected %v", near, sorted)
	}
	for i, n := range near {
		if math.Abs(n.Metres-sorted[i]) > 1e-6*(1+sorted[i]) || math.Abs(expected[v.Object(n.Ref).Position]-n.Metres) > 1e-6*(1+n.Metres) {
			t.Fatalf("nearest %d of %v: %v metres, expected %v", i, g, n.Metres, sorted[i])
		}
	}
}

// TestErrorChangesNothing stops changes in the middle.
func TestErrorChangesNothing(t *testing.T) {
	x := New(Settings{FirstVersion: 7})
	c := newCity(9)
	if err := x.Apply(Versions([]*store.Version{c.version(1), c.version(2)}), nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk gone")
	bad := c.version(1)
	bad.Object.Class = "castle"
	hollow := c.version(3)
	hollow.Footprint = &spatial.Geometry{Kind: spatial.MultiLine, XYZ: []float64{1, 2, 0}, Rings: []int32{9}}
	fresh := c.version(4)
	fresh.Dataset = "new"
	for name, err := range map[string]error{
		"class":     x.Apply(Versions([]*store.Version{fresh, bad}), []int64{2}),
		"footprint": x.Apply(Versions([]*store.Version{hollow}), []int64{2}),
		"iterator": x.Apply(func(yield func(*store.Version, error) bool) {
			_ = yield(fresh, nil) && yield(nil, broken)
		}, []int64{1}),
	} {
		var e *store.Error
		if name == "iterator" != errors.Is(err, broken) || name != "iterator" && (!errors.As(err, &e) || e.Code != store.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v := x.For(nil); v.Version() != 8 || v.Len() != 2 {
		t.Errorf("version %d with %d objects, expected 8 with 2", v.Version(), v.Len())
	}
	if err := x.Apply(nil, []int64{77}); err != nil || x.Version() != 8 {
		t.Errorf("nothing to change: %v, version %d", err, x.Version())
	}
	// What failed before left groups behind that the next change must not mix up.
	if err := x.Apply(Versions([]*store.Version{fresh}), nil); err != nil {
		t.Fatal(err)
	}
	if ref, ok := x.For(nil).Find(store.Key{Dataset: "new", ID: fresh.Object.ID}); !ok || x.For(nil).Object(ref).Type != fresh.Object.Type {
		t.Errorf("%v %v", ref, ok)
	}
}

// TestViewStaysAsItWas changes the index under a View, and moves an object to
// another position as when a store is replaced.
func TestViewStaysAsItWas(t *testing.T) {
	x := New(Settings{})
	c := newCity(5)
	var all []*store.Version
	was := linear{}
	for i := range 500 {
		all = append(all, c.version(int64(i+1)))
	}
	was.apply(all, nil)
	if err := x.Apply(Versions(all), nil); err != nil {
		t.Fatal(err)
	}
	v := x.For(nil)
	moved := *all[0]
	moved.Position = 9999
	if err := x.Apply(Versions([]*store.Version{&moved, c.version(7)}), []int64{100, 101}); err != nil {
		t.Fatal(err)
	}
	ended := *all[20]
	ended.ValidTo = start
	if err := x.Apply(Versions([]*store.Version{&ended}), nil); err != nil {
		t.Fatal(err)
	}
	checkObjects(t, v, was, linear{})
	now := x.For(nil)
	if _, ok := now.At(1); ok || now.Len() != 497 {
		t.Errorf("%v, %d objects, expected 497 without position 1", ok, now.Len())
	}
	if o := now.Object(Ref(1 << 31)); o != (Object{}) || now.Footprint(Ref(1<<31)) != nil {
		t.Errorf("an object that is none: %+v", o)
	}
}
