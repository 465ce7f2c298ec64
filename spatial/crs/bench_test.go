package crs

import (
	"fmt"
	"testing"
)

// benchmarked are pairs that imports and requests convert between.
var benchmarked = []struct {
	from, to int
	x, y     float64
}{
	{4326, 4490, pagodaLon, pagodaLat},
	{4326, 3857, pagodaLon, pagodaLat},
	{3857, 4326, 13426844.910, 3674968.954},
	{4326, 4549, pagodaLon, pagodaLat},
	{4549, 4326, 558573.856, 3467120.347},
	{4326, 28992, 4.4557, 51.9061},
	{28992, 4326, 90900, 435700},
	{4326, 31256, 16.35, 48.2},
	{31256, 4326, 1200, 340700},
	{28992, 25831, 90900, 435700},
}

func flat(x, y float64, n int) []float64 {
	src := make([]float64, 0, 3*n)
	for i := range n { // within a millimetre or 1e-5 degrees: no two alike
		src = append(src, x+float64(i)*1e-8, y+float64(i)*1e-8, 12)
	}
	return src
}

func TestBatchesDoNotAllocate(t *testing.T) {
	for _, v := range benchmarked {
		tr := between(t, known(t, v.from).Traditional(), known(t, v.to).Traditional())
		src := flat(v.x, v.y, 8)
		dst := make([]float64, len(src))
		pairs := [][2]float64{{v.x, v.y}, {v.x, v.y}}
		out := make([][2]float64, 2)
		if n := testing.AllocsPerRun(10, func() {
			if tr.Flat(dst, src, 3) != nil || Pairs(tr, out, pairs) != nil {
				t.Error("failed")
			}
		}); n != 0 {
			t.Errorf("%d to %d: %v allocations", v.from, v.to, n)
		}
	}
	g := []float64{120.6296, 31.3224, 120.63, 31.32}
	if n := testing.AllocsPerRun(10, func() {
		if GCJ02ToWGS84(g, g, 2) != nil {
			t.Error("failed")
		}
	}); n != 0 {
		t.Errorf("GCJ-02: %v allocations", n)
	}
}

func BenchmarkFlat(b *testing.B) {
	const points = 1000
	for _, v := range benchmarked {
		b.Run(fmt.Sprintf("%d-%d", v.from, v.to), func(b *testing.B) {
			tr := between(b, known(b, v.from).Traditional(), known(b, v.to).Traditional())
			src := flat(v.x, v.y, points)
			dst := make([]float64, len(src))
			b.ReportAllocs()
			for b.Loop() {
				if err := tr.Flat(dst, src, 3); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/points, "ns/point")
		})
	}
}

func BenchmarkGCJ02ToWGS84(b *testing.B) {
	const points = 1000
	src := flat(120.629156, 31.324043, points)
	dst := make([]float64, len(src))
	for b.Loop() {
		if err := GCJ02ToWGS84(dst, src, 3); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/points, "ns/point")
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("https://www.opengis.net/def/crs/EPSG/0/28992"); err != nil {
			b.Fatal(err)
		}
	}
}
