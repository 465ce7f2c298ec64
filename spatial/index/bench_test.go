package index

import (
	"fmt"
	"iter"
	"math"
	"runtime"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// million is a city of n buildings with 3 to 11 corners, one in ten with a name and
// one in a thousand large, 24 m apart, about 24 km wide for a million.
func million(n int) iter.Seq2[*store.Version, error] {
	return func(yield func(*store.Version, error) bool) {
		c := newCity(1)
		side := int(math.Ceil(math.Sqrt(float64(n))))
		for i := range n {
			x, y := 120.3+float64(i%side)*25e-5, 31.0+float64(i/side)*22e-5
			v := &store.Version{Dataset: "bench", Position: int64(i + 1)}
			v.Object = spatial.CityObject{ID: fmt.Sprint("way/", 100_000_000+i), Class: spatial.ClassBuilding, Type: "Building"}
			if i%10 == 0 {
				v.Object.Name = fmt.Sprint("平江路 ", i, " 号")
			}
			r := &spatial.Geometry{Kind: spatial.MultiSurface, Surfaces: []int32{1}}
			if r.XYZ = c.ring(x, y, 9e-5, false); i%1009 == 7 {
				r.XYZ = c.ring(x, y, 9e-4, false) // a large one
			}
			r.Rings = []int32{int32(r.NumPoints())}
			v.Footprint = r
			if !yield(v, nil) {
				return
			}
		}
	}
}

func benchIndex(b *testing.B, n int) View {
	b.Helper()
	x := New(Settings{})
	if err := x.Apply(million(n), nil); err != nil {
		b.Fatal(err)
	}
	return x.For(nil)
}

// BenchmarkLoad is without the store.
func BenchmarkLoad(b *testing.B) {
	const n = 1_000_000
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := New(Settings{})
		if err := x.Apply(million(n), nil); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/object")
		runtime.KeepAlive(x)
	}
}

// BenchmarkAt1M asks a million buildings.
func BenchmarkAt1M(b *testing.B) {
	v := benchIndex(b, 1_000_000)
	middle := orb.Point{120.3 + 500*25e-5, 31 + 500*22e-5}
	box := func(rows float64) orb.Bound {
		return orb.Bound{Min: middle, Max: orb.Point{middle[0] + (rows-1)*25e-5, middle[1] + (rows-1)*22e-5}}
	}
	count := func(b *testing.B, want int, search func(fn func(Ref) bool)) {
		b.ReportAllocs()
		n := 0
		fn := func(Ref) bool { n++; return true }
		for b.Loop() {
			n = 0
			search(fn)
		}
		if n < want || n > want+50 { // a large one more
			b.Fatalf("%d found, expected %d", n, want)
		}
	}
	b.Run("Search1000", func(b *testing.B) {
		count(b, 1024, func(fn func(Ref) bool) { v.Search(box(32), Options{}, fn) })
	})
	b.Run("SearchAllButSmall", func(b *testing.B) {
		count(b, 70, func(fn func(Ref) bool) { v.Search(box(320), Options{MinSizeDegrees: 1e-3}, fn) })
	})
	b.Run("SearchOtherClass", func(b *testing.B) {
		count(b, 0, func(fn func(Ref) bool) { v.Search(box(2000), Options{Classes: []spatial.Class{spatial.ClassRoad}}, fn) })
	})
	b.Run("Containing", func(b *testing.B) {
		count(b, 1, func(fn func(Ref) bool) { v.Containing(middle[0], middle[1], Options{}, fn) })
	})
	b.Run("Meeting50m", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Meeting(middle, 50, Options{}, func(Ref, float64) bool { return true })
		}
	})
	district := orb.Polygon{nil} // of 10 000 corners, 6 km across
	for i := range 10_001 {
		a := 2 * math.Pi * float64(i%10_000) / 10_000
		district[0] = append(district[0], orb.Point{middle[0] + 0.03*math.Cos(a), middle[1] + 0.027*math.Sin(a) + 1e-5*float64(i%2)})
	}
	b.Run("MeetingDistrict", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if v.Meeting(district, 0, Options{}, func(Ref, float64) bool { n++; return true }); n < 40_000 || n > 50_000 {
				b.Fatal(n)
			}
		}
	})
	b.Run("Nearest10", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n := v.Nearest(orb.Point{middle[0] + 1e-4, middle[1] + 1e-4}, 1000, 10, Options{}); len(n) != 10 {
				b.Fatal(n)
			}
		}
	})
	b.Run("Shape1000", func(b *testing.B) {
		var s Shape
		count(b, 1024, func(fn func(Ref) bool) {
			v.Search(box(32), Options{}, func(r Ref) bool { return ShapeOf(v, r, &s) && fn(r) })
		})
	})
	b.Run("Object1000", func(b *testing.B) {
		count(b, 1024, func(fn func(Ref) bool) {
			v.Search(box(32), Options{}, func(r Ref) bool { return v.Object(r).Position > 0 && fn(r) })
		})
	})
	b.Run("At", func(b *testing.B) {
		i := int64(0)
		for b.Loop() {
			i = (i + 7919) % 1_000_000
			if _, ok := v.At(i + 1); !ok {
				b.Fatal(i)
			}
		}
	})
	b.Run("Find", func(b *testing.B) {
		for b.Loop() {
			if _, ok := v.Find(store.Key{Dataset: "bench", ID: "way/100500500"}); !ok {
				b.Fatal()
			}
		}
	})
	b.Run("For", func(b *testing.B) {
		for b.Loop() {
			newView(v.(*view).snapshot, func(string) bool { return false })
		}
	})
}

// BenchmarkApply changes one of a million buildings.
func BenchmarkApply(b *testing.B) {
	x := New(Settings{})
	if err := x.Apply(million(1_000_000), nil); err != nil {
		b.Fatal(err)
	}
	c := newCity(3)
	for b.Loop() {
		if err := x.Apply(Versions([]*store.Version{c.version(1 + c.Int64N(1_000_000))}), nil); err != nil {
			b.Fatal(err)
		}
	}
}
