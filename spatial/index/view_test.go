package index

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// TestNoAllocation holds the package to what it says of its searches.
func TestNoAllocation(t *testing.T) {
	x := New(Settings{})
	if err := x.Apply(million(5000), nil); err != nil {
		t.Fatal(err)
	}
	v := x.For(func(d string) bool { return d == "bench" })
	n := 0
	var s Shape
	count := func(Ref) bool { n++; return true }
	shape := func(r Ref) bool { n++; return ShapeOf(v, r, &s) && v.Object(r).Position > 0 }
	b := orb.Bound{Min: orb.Point{120, 30}, Max: orb.Point{121, 32}}
	o := Options{Classes: []spatial.Class{spatial.ClassBuilding}, Type: "Building", Dataset: "bench"}
	for name, f := range map[string]func(){
		"Search":     func() { v.Search(b, o, count) },
		"Containing": func() { v.Containing(120.3, 31, o, count) },
		"Shape":      func() { v.Search(b, o, shape) },
		"At":         func() { _, _ = v.At(17); _, _ = v.Find(store.Key{Dataset: "bench", ID: "way/100000017"}) },
	} {
		f()
		if got := testing.AllocsPerRun(10, f); got != 0 {
			t.Errorf("%s allocates %v times", name, got)
		}
	}
	if n == 0 {
		t.Error("nothing was found")
	}
}

// TestReadersBesideWriter reads while another goroutine writes. Each change moves
// all of a street by one number, so that a View that mixed two of them would show.
func TestReadersBesideWriter(t *testing.T) {
	x := New(Settings{})
	const street = 200
	move := func(round int) {
		var all []*store.Version
		for i := range street {
			all = append(all, &store.Version{Dataset: "d", Position: int64(i + 1), Object: spatial.CityObject{ID: fmt.Sprint(i), Name: fmt.Sprint(round)},
				Footprint: &spatial.Geometry{Kind: spatial.MultiPoint, XYZ: []float64{120 + float64(i)*1e-4, 31 + float64(round)*1e-4, 0}}})
		}
		if err := x.Apply(Versions(all), nil); err != nil {
			t.Error(err)
		}
	}
	move(0)
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := uint64(0); !done.Load(); {
				v := x.For(nil)
				if v.Version() < last {
					t.Errorf("version %d after %d", v.Version(), last)
				}
				last = v.Version()
				names := map[string]int{}
				v.Search(orb.Bound{Min: orb.Point{119, 30}, Max: orb.Point{121, 33}}, Options{}, func(r Ref) bool {
					names[v.Object(r).Name]++
					return true
				})
				near := v.Nearest(orb.Point{120, 31}, math.Inf(1), 3, Options{})
				if len(names) != 1 || v.Len() != street || len(near) != 3 {
					t.Errorf("a view of %d objects mixes %v, nearest %v", v.Len(), names, near)
					return
				}
			}
		})
	}
	for round := range 100 {
		move(round)
	}
	done.Store(true)
	readers.Wait()
}

// TestStrangeQuestions asks what cannot be asked, and of an empty index.
func TestStrangeQuestions(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	full := New(Settings{})
	if err := full.Apply(million(300), nil); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]View{"empty": New(Settings{}).For(nil), "full": full.For(nil)} {
		n := 0
		each := func(Ref) bool { n++; return true }
		far := func(Ref, float64) bool { n++; return true }
		for _, b := range []orb.Bound{{Min: orb.Point{nan, 0}, Max: orb.Point{1, 1}}, {Min: orb.Point{-180, 90}, Max: orb.Point{180, -90}}, {Min: orb.Point{0, nan}, Max: orb.Point{1, nan}}} {
			v.Search(b, Options{}, each)
		}
		v.Search(orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}, Options{Classes: []spatial.Class{}}, each)
		v.Search(orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}, Options{Classes: []spatial.Class{"castle"}}, each)
		v.Search(orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}, Options{MinSizeDegrees: inf}, each)
		v.Containing(nan, 31, Options{}, each)
		v.Containing(inf, inf, Options{}, each)
		for _, g := range []orb.Geometry{nil, orb.MultiPoint{}, orb.LineString{}, orb.Polygon{}, orb.Polygon{{}}, orb.MultiPolygon{{}}, orb.Collection{}, orb.Point{nan, 1}, orb.LineString{{120, 31}, {inf, 31}}} {
			v.Meeting(g, 1e6, Options{}, far)
			n += len(v.Nearest(g, 1e6, 5, Options{}))
		}
		p := orb.Point{120.3, 31}
		v.Meeting(p, -1, Options{}, far)
		v.Meeting(p, nan, Options{}, far)
		n += len(v.Nearest(p, nan, 5, Options{})) + len(v.Nearest(p, 10, 0, Options{})) + len(v.Nearest(p, -1, 5, Options{}))
		if n != 0 {
			t.Errorf("%s: %d found, expected none", name, n)
		}
		v.Search(orb.Bound{Min: orb.Point{-inf, -inf}, Max: orb.Point{inf, inf}}, Options{}, each)
		v.Meeting(p, inf, Options{}, far)
		if n != 2*v.Len() || len(v.Nearest(p, inf, math.MaxInt, Options{})) != v.Len() {
			t.Errorf("%s: %d found of %d everywhere", name, n, v.Len())
		}
		v.Meeting(orb.Point{0, 90}, 3e7, Options{}, far) // around the pole
	}
	stops := 0
	full.For(nil).Search(orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}, Options{}, func(Ref) bool { stops++; return stops < 5 })
	full.For(nil).Meeting(orb.Point{120.3, 31}, 1e5, Options{}, func(Ref, float64) bool { stops++; return stops < 10 })
	if stops != 10 {
		t.Errorf("called %d times, expected 10", stops)
	}
}

// TestPlacesAndContacts asks of a square with a hole, a line and points what can
// be seen with the eye.
func TestPlacesAndContacts(t *testing.T) {
	const d = 1e-3
	square := func(x, y, r float64) []float64 {
		return []float64{x - r, y - r, 0, x + r, y - r, 0, x + r, y + r, 0, x - r, y + r, 0}
	}
	x := New(Settings{})
	if err := x.Apply(Versions([]*store.Version{
		{Dataset: "d", Position: 1, Object: spatial.CityObject{ID: "courtyard"}, Footprint: &spatial.Geometry{Kind: spatial.MultiSurface,
			XYZ: append(square(120, 31, d), 120-d/2, 31-d/2, 0, 120-d/2, 31+d/2, 0, 120+d/2, 31+d/2, 0, 120+d/2, 31-d/2, 0), Rings: []int32{4, 8}, Surfaces: []int32{2}}},
		{Dataset: "d", Position: 2, Object: spatial.CityObject{ID: "two that overlap"}, Footprint: &spatial.Geometry{Kind: spatial.CompositeSurface,
			XYZ: append(square(120, 32, d), square(120+d/2, 32, d)...), Rings: []int32{4, 8}, Surfaces: []int32{1, 2}}},
	}), nil); err != nil {
		t.Fatal(err)
	}
	v := x.For(nil)
	for _, c := range []struct {
		name   string
		g      orb.Geometry
		metres float64 // to the nearest; -1: none within 1 km
	}{
		{"in the wall", orb.Point{120 + 0.75*d, 31}, 0}, {"on the outer edge", orb.Point{120 + d, 31}, 0}, {"on the corner", orb.Point{120 + d, 31 + d}, 0},
		{"on the courtyard's edge", orb.Point{120 + d/2, 31}, 0}, {"in the courtyard", orb.Point{120, 31}, 47.75}, {"line in the courtyard", orb.LineString{{120, 31}, {120 + d/4, 31}}, 23.88},
		{"line through", orb.LineString{{119, 31}, {121, 31}}, 0}, {"around all", square2(120, 31, 2*d), 0}, {"courtyard paving", square2(120, 31, d/4), 23.88},
		{"where both are", orb.Point{120 + d/4, 32}, 0}, {"in the first only", orb.Point{120 - d*0.9, 32}, 0}, {"far", orb.Point{120, 31.5}, -1},
		{"ring that is not closed", orb.Polygon{{{119, 30.9}, {121, 30.9}, {121, 31.1}, {119, 31.1}}}, 0},
		{"bound", orb.Bound{Min: orb.Point{119.99, 30.99}, Max: orb.Point{120.01, 31.01}}, 0},
		{"collection", orb.Collection{orb.Point{10, 10}, orb.Point{120 + d, 31}}, 0},
	} {
		got := -1.0
		v.Meeting(c.g, 1000, Options{}, func(_ Ref, m float64) bool { got = m; return true })
		if math.Abs(got-c.metres) > 0.01 {
			t.Errorf("%s: %v metres, expected %v", c.name, got, c.metres)
		}
		if m := NewMeasure(c.g).Metres(v.Footprint(0)); c.metres > 0 && math.Abs(m-c.metres) > 0.01 {
			t.Errorf("%s: measured %v metres, expected %v", c.name, m, c.metres)
		}
		if p, ok := c.g.(orb.Point); ok {
			n := 0
			if v.Containing(p[0], p[1], Options{}, func(Ref) bool { n++; return true }); n != map[bool]int{true: 1}[c.metres == 0] {
				t.Errorf("%s: in %d objects", c.name, n)
			}
		}
	}
}

func square2(x, y, r float64) orb.Polygon {
	return orb.Polygon{{{x - r, y - r}, {x + r, y - r}, {x + r, y + r}, {x - r, y + r}, {x - r, y - r}}}
}
