package storetest

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// Features are n footprints of 5 points with 3 attributes, 1000 to a row, that
// begin a little further east for each step of shift. name is an attribute.
func Features(n int, name string, shift int) iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		const d = 0.0001
		for i := range n {
			x, y := 120.3+float64(i%1000)*2*d+float64(shift)*d/10, 31.0+float64(i/1000)*2*d
			o := &spatial.CityObject{
				ID: fmt.Sprint("way/", i), Class: spatial.ClassBuilding, Name: name, CRS: spatial.CRS{Horizontal: 4326},
				Attributes: spatial.Attributes{{Name: "building", Value: spatial.TextValue("yes")}, {Name: "levels", Value: spatial.IntValue(int64(i % 30))}, {Name: "area", Value: spatial.FloatValue(float64(i) / 7)}},
				Geometries: []spatial.Geometry{{Kind: spatial.MultiSurface, Rings: []int32{5}, Surfaces: []int32{1}, XYZ: []float64{x, y, 0, x + d, y, 0, x + d, y + d, 0, x + d/2, y + d, 0, x, y + d, 0}}},
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// BenchmarkImport stores 100 000 simple features a time: new, as they were,
// changed in an attribute, moved.
func BenchmarkImport(b *testing.B, open Open) {
	const n = 100_000
	for range b.N {
		s := open(b, time.Now)
		for _, step := range []struct {
			label, name string
			shift       int
		}{{"new/s", "a", 0}, {"unchanged/s", "a", 0}, {"changed/s", "b", 0}, {"moved/s", "b", 1}} {
			start := time.Now()
			if _, err := s.Import(b.Context(), store.ImportOptions{Dataset: "bench"}, Features(n, step.name, step.shift)); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(n/time.Since(start).Seconds(), step.label)
		}
	}
}

// BenchmarkMillion stores a million features and asks for some of them, each
// question 200 times at random places; it reports the 95th percentiles.
func BenchmarkMillion(b *testing.B, open Open) {
	const n = 1_000_000
	const d = 0.0001
	s := open(b, time.Now)
	start := time.Now()
	if _, err := s.Import(b.Context(), store.ImportOptions{Dataset: "bench"}, Features(n, "a", 0)); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(n/time.Since(start).Seconds(), "new/s")
	random := rand.New(rand.NewPCG(1, 2))
	levels := func(v *store.Version) (bool, error) {
		value, _ := v.Object.Attributes.Get("levels")
		i, _ := value.Int()
		return i < 15, nil
	}
	box := func(wide, high int) *store.BBox { // around that many features
		x, y := random.IntN(1000-wide), random.IntN(1000-high)
		return &store.BBox{West: 120.3 + (float64(x)*2-0.5)*d, South: 31 + (float64(y)*2-0.5)*d, East: 120.3 + (float64(x+wide)*2-0.5)*d, North: 31 + (float64(y+high)*2-0.5)*d}
	}
	query := func(q store.Query, want int) func() error {
		return func() error {
			page, err := s.Query(b.Context(), q)
			if err == nil && (len(page.Versions) < want || len(page.Versions) > want+100) {
				err = fmt.Errorf("%d objects, want %d", len(page.Versions), want)
			}
			return err
		}
	}
	for _, question := range []struct {
		label string
		ask   func() func() error
	}{
		{"bbox-keep-1000-p95-ms", func() func() error {
			return query(store.Query{Class: spatial.ClassBuilding, BBox: box(60, 33), Keep: levels}, 900)
		}},
		{"bbox-100-p95-ms", func() func() error { return query(store.Query{Class: spatial.ClassBuilding, BBox: box(10, 10)}, 100) }},
		{"positions-1000-p95-ms", func() func() error {
			var at []int64
			for range 1000 {
				at = append(at, 1+random.Int64N(n))
			}
			slices.Sort(at)
			at = slices.Compact(at)
			return query(store.Query{Class: spatial.ClassBuilding, Positions: at}, len(at))
		}},
		{"get-p95-ms", func() func() error {
			key := store.Key{Dataset: "bench", ID: fmt.Sprint("way/", random.IntN(n))}
			return func() error {
				_, err := s.Get(b.Context(), key, time.Time{})
				return err
			}
		}},
	} {
		var took []time.Duration
		for i := range 220 {
			ask := question.ask()
			start := time.Now()
			if err := ask(); err != nil {
				b.Fatal(question.label, err)
			}
			if i >= 20 {
				took = append(took, time.Since(start))
			}
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[189].Microseconds())/1000, question.label)
	}
	start = time.Now()
	count := 0
	if _, err := s.Changes(b.Context(), 0, func(store.Change) error { count++; return nil }); err != nil || count != n {
		b.Fatal(count, err)
	}
	b.ReportMetric(n/time.Since(start).Seconds(), "changes/s")
}
