package tiles3d

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sumArea is the area of the triangles, each of which must be counter-clockwise.
func sumArea(t testing.TB, xy []float64, triangles []int32) (sum float64) {
	t.Helper()
	for i := 0; i+2 < len(triangles); i += 3 {
		a, b, c := triangles[i], triangles[i+1], triangles[i+2]
		s := cross(xy[2*a], xy[2*a+1], xy[2*b], xy[2*b+1], xy[2*c], xy[2*c+1])
		if s < 0 {
			t.Fatalf("triangle %d runs clockwise", i/3)
		}
		sum += s / 2
	}
	return sum
}

func star(r *rand.Rand, xy []float64, n int, cx, cy, radius float64, clockwise bool) []float64 {
	for i := range n {
		a := 2 * math.Pi * float64(i) / float64(n)
		if clockwise {
			a = -a
		}
		d := radius * (0.4 + 0.6*r.Float64())
		xy = append(xy, cx+d*math.Cos(a), cy+d*math.Sin(a))
	}
	return xy
}

func polygonArea(xy []float64, ends []int32) (area float64) {
	for i := range ends {
		from, to := ringSpan(ends, i)
		if a := math.Abs(ringArea2(xy, from, to)) / 2; i == 0 {
			area = a
		} else {
			area -= a
		}
	}
	return area
}

// TestTriangulateAreas cuts random polygons with holes: the triangles are as
// large as the polygon, and by Euler's formula n + 2h - 2 in number.
func TestTriangulateAreas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var tri triangulator
	for round := range 2000 {
		n := 3 + r.IntN(60)
		xy := star(r, nil, n, 0, 0, 100, r.IntN(2) == 0)
		ends := []int32{int32(n)}
		// Holes in a lattice within the part that every star has; at distances that
		// make corners line up.
		holes := r.IntN(10)
		for h := range holes {
			m := 3 + r.IntN(8)
			xy = star(r, xy, m, float64(h%3-1)*14, float64(h/3%3-1)*14, 6, r.IntN(2) == 0)
			ends = append(ends, ends[len(ends)-1]+int32(m))
		}
		if n < 12 { // the star may be narrower than the lattice
			xy, ends = xy[:2*n], ends[:1]
			holes = 0
		}
		got, ok := tri.polygon(xy, ends)
		want := polygonArea(xy, ends)
		if !ok || math.Abs(sumArea(t, xy, got)-want) > 1e-9*want || len(got)/3 != len(xy)/2+2*holes-2 {
			t.Fatalf("round %d, %d points, %d holes: faithful %v, area %v, want %v; %d triangles, want %d", round, len(xy)/2, holes, ok, sumArea(t, xy, got), want, len(got)/3, len(xy)/2+2*holes-2)
		}
	}
}

func TestTriangulateShapes(t *testing.T) {
	var tri triangulator
	for _, c := range []struct {
		name string
		xy   []float64
		ends []int32
		area float64
	}{
		{"square", []float64{0, 0, 1, 0, 1, 1, 0, 1}, []int32{4}, 1},
		{"points on edges", []float64{0, 0, 1, 0, 2, 0, 2, 1, 2, 2, 1, 2, 0, 2, 0, 1}, []int32{8}, 4},
		{"doubled points", []float64{0, 0, 0, 0, 2, 0, 2, 2, 2, 2, 0, 2, 0, 0}, []int32{7}, 4},
		{"spike", []float64{0, 0, 2, 0, 5, 0, 2, 0, 2, 2, 0, 2}, []int32{6}, 4},
		{"hole touches the edge", []float64{0, 0, 4, 0, 4, 4, 0, 4, 0, 2, 2, 1, 2, 3}, []int32{4, 7}, 14},
		{"hole touches a corner", []float64{0, 0, 4, 0, 4, 4, 0, 4, 0, 0, 2, 1, 1, 2}, []int32{4, 7}, 14.5},
		{"two holes touch", []float64{0, 0, 6, 0, 6, 4, 0, 4, 1, 1, 3, 2, 1, 3, 3, 2, 5, 1, 5, 3}, []int32{4, 7, 10}, 20},
		{"two holes see the same corner", []float64{0, 0, 9, 0, 9, 9, 0, 9, 2, 4.5, 2, 2, 4, 3, 4, 3.5, 4, 6, 4, 5.5, 6, 6}, []int32{5, 8, 11}, math.NaN()},
		{"holes in a row", []float64{0, 0, 10, 0, 10, 3, 0, 3, 1, 1, 2, 1, 2, 2, 1, 2, 3, 1, 4, 1, 4, 2, 3, 2, 5, 1, 6, 1, 6, 2, 5, 2}, []int32{4, 8, 12, 16}, 27},
	} {
		got, ok := tri.polygon(c.xy, c.ends)
		want := c.area
		if math.IsNaN(want) {
			want = polygonArea(c.xy, c.ends)
		}
		if area := sumArea(t, c.xy, got); !ok || math.Abs(area-want) > 1e-12 {
			t.Errorf("%s: faithful %v, area %v, want %v: %v", c.name, ok, area, want, got)
		}
	}
}

// TestTriangulateHostile is about time, and about being told.
func TestTriangulateHostile(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var tri triangulator
	random := make([]float64, 40_000)
	for i := range random {
		random[i] = r.Float64()
	}
	million := star(r, nil, 1_000_000, 0, 0, 1000, false)
	var coast []float64
	for i := range 100_000 {
		a := 2 * math.Pi * float64(i) / 100_000
		d := 1000 + 200*math.Sin(7*a) + 20*math.Sin(301*a) + 0.01*r.Float64()
		coast = append(coast, d*math.Cos(a), d*math.Sin(a))
	}
	comb := []float64{0, -1}
	for i := range 4_000 {
		comb = append(comb, float64(i), 0, float64(i)+0.5, 1000)
	}
	comb = append(comb, 4_000, -1)
	spiral := []float64{}
	for i := range 4_000 {
		a := float64(i) / 30
		spiral = append(spiral, a*math.Cos(a), a*math.Sin(a))
	}
	for i := 4_000 - 1; i >= 0; i-- {
		a := float64(i) / 30
		spiral = append(spiral, (a+1)*math.Cos(a), (a+1)*math.Sin(a))
	}
	lattice, ends := []float64{0, 0, 300, 0, 300, 300, 0, 300}, []int32{4}
	for i := range 2_500 {
		x, y := float64(i%100)*3+1, float64(i/100)*3-0
		lattice = append(lattice, x, y+1, x+1, y+1, x+1, y+2, x, y+2)
		ends = append(ends, ends[len(ends)-1]+4)
	}
	same := make([]float64, 10_000)
	for _, c := range []struct {
		name     string
		xy       []float64
		ends     []int32
		faithful bool
	}{
		{"bow tie", []float64{0, 0, 2, 2, 2, 0, 0, 2}, []int32{4}, false},
		{"20 000 random points", random, []int32{20_000}, false},
		{"one point 5 000 times", same, []int32{5000}, false},
		{"a line", []float64{0, 0, 1, 1, 2, 2, 3, 3}, []int32{4}, false},
		{"hole outside", []float64{0, 0, 1, 0, 1, 1, 0, 1, 5, 5, 6, 5, 6, 6}, []int32{4, 7}, false},
		{"comb", comb, []int32{int32(len(comb) / 2)}, true},
		{"spiral", spiral, []int32{8_000}, true},
		{"2 500 holes", lattice, ends, true},
		{"a million wild points", million, []int32{1_000_000}, false},
		{"a coast of 100 000 points", coast, []int32{100_000}, true},
	} {
		begin := time.Now()
		got, ok := tri.polygon(c.xy, c.ends)
		took := time.Since(begin)
		sum := sumArea(t, c.xy, got)
		t.Logf("%s: %v, %d triangles, area %.6g of %.6g, faithful %v", c.name, took.Round(time.Millisecond), len(got)/3, sum, polygonArea(c.xy, c.ends), ok)
		if ok != c.faithful {
			t.Errorf("%s: faithful %v", c.name, ok)
		}
		if took > 20*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
		if math.IsNaN(sum) {
			t.Errorf("%s: area is no number", c.name)
		}
	}
}

func FuzzTriangulate(f *testing.F) {
	f.Add([]byte{0, 0, 9, 0, 9, 9, 0, 9, 3, 3, 6, 3, 6, 6}, uint8(4))
	f.Fuzz(func(t *testing.T, b []byte, exterior uint8) {
		n := len(b) / 2
		if n > 200 {
			return
		}
		xy := make([]float64, 2*n)
		for i := range xy {
			xy[i] = float64(b[i])
		}
		ends := []int32{int32(n)}
		if int(exterior) < n {
			ends = []int32{int32(exterior), int32(n)}
		}
		var tri triangulator
		got, ok := tri.polygon(xy, ends)
		sum := sumArea(t, xy, got)
		if want := polygonArea(xy, ends); ok && math.Abs(sum-want) > 1e-3 {
			t.Fatalf("said to be faithful, but area %v is not %v", sum, want)
		}
	})
}

func BenchmarkTriangulate(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	var tri triangulator
	for _, n := range []int{8, 64, 1024} {
		xy := star(r, nil, n, 0, 0, 100, false)
		ends := []int32{int32(n)}
		b.Run(map[int]string{8: "8", 64: "64", 1024: "1024"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := tri.polygon(xy, ends); !ok {
					b.Fatal("not faithful")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/point")
		})
	}
}
