package gpkg

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// features gives n footprints of 5 points with 3 attributes, row by row.
func features(n int, name string) func(func(*spatial.CityObject, error) bool) {
	return func(yield func(*spatial.CityObject, error) bool) {
		const d = 0.0001
		for i := range n {
			x, y := 120.3+float64(i%1000)*2*d, 31.0+float64(i/1000)*2*d
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

// BenchmarkImport stores 100 000 simple features a time: new, as they were, and
// changed.
func BenchmarkImport(b *testing.B) {
	const n = 100_000
	for range b.N {
		s := open(b, filepath.Join(b.TempDir(), "bench.gpkg"), time.Now)
		for _, step := range []struct{ label, name string }{{"new/s", "a"}, {"unchanged/s", "a"}, {"changed/s", "b"}} {
			start := time.Now()
			if _, err := s.Import(b.Context(), store.ImportOptions{Dataset: "bench"}, features(n, step.name)); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(n/time.Since(start).Seconds(), step.label)
		}
	}
}

// BenchmarkQuery reads the 100 of 100 000 features that lie in a box.
func BenchmarkQuery(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "bench.gpkg"), time.Now)
	if _, err := s.Import(b.Context(), store.ImportOptions{Dataset: "bench"}, features(100_000, "a")); err != nil {
		b.Fatal(err)
	}
	q := store.Query{Class: spatial.ClassBuilding, BBox: &store.BBox{West: 120.39995, South: 31.00195, East: 120.40185, North: 31.00385}}
	if n, err := s.Count(b.Context(), q); n != 100 || err != nil {
		b.Fatalf("%d in the box, %v", n, err)
	}
	for b.Loop() {
		if _, err := s.Query(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
