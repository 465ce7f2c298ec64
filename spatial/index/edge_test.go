package index

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// TestContainsOnGrid asks triangles with corners on a small grid about each
// place of the grid, so that rays pass through corners and along sides. What is
// expected is by the signs of areas, in whole numbers.
func TestContainsOnGrid(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const side = 7
	area := func(a, b, c [2]int32) int32 { return (b[0]-a[0])*(c[1]-a[1]) - (b[1]-a[1])*(c[0]-a[0]) }
	for range 300 {
		var c [3][2]int32
		g := &spatial.Geometry{Kind: spatial.MultiSurface, Rings: []int32{3}, Surfaces: []int32{1}}
		for i := range c {
			c[i] = [2]int32{r.Int32N(side), r.Int32N(side)}
			g.XYZ = append(g.XYZ, degrees(c[i][0]), degrees(c[i][1]), 0)
		}
		whole := area(c[0], c[1], c[2])
		if whole == 0 {
			continue
		}
		b := rectOf(g)
		code := string(appendFootprint(nil, g, b))
		for x := range int32(side) {
			for y := range int32(side) {
				p := [2]int32{x, y}
				want := true
				for i := range c {
					if a := area(c[i], c[(i+1)%3], p); a != 0 && (a > 0) != (whole > 0) {
						want = false
					}
				}
				if d := (&reader{s: code}); d.contains(b.minX, b.minY, x, y) != want {
					t.Fatalf("%v in %v: expected %v", p, c, want)
				}
			}
		}
	}
}

// TestLongOutline measures from a polygon of many corners, of which the index
// skips most.
func TestLongOutline(t *testing.T) {
	c := newCity(21)
	var all []*store.Version
	want := linear{}
	for i := range 300 {
		all = append(all, c.version(int64(i+1)))
	}
	want.apply(all, nil)
	x := New(Settings{})
	if err := x.Apply(Versions(all), nil); err != nil {
		t.Fatal(err)
	}
	v := x.For(nil)
	var g orb.Polygon
	for _, part := range []struct{ size, turn float64 }{{0.008, 1}, {0.003, -1}} { // with a hole
		var ring orb.Ring
		const n = 700
		for i := range n {
			a := part.turn * 2 * math.Pi * float64(i) / n
			s := part.size * (1 + 0.3*math.Cos(9*a))
			ring = append(ring, orb.Point{c.west + c.width/2 + s*math.Cos(a), c.south + c.width/2 + s*math.Sin(a)})
		}
		g = append(g, append(ring, ring[0]))
	}
	for _, metres := range []float64{0, 40} {
		got := map[int64]float64{}
		v.Meeting(g, metres, Options{}, func(r Ref, d float64) bool {
			got[v.Object(r).Position] = d
			return true
		})
		inside := 0
		for p, o := range want {
			if o.Footprint == nil {
				continue
			}
			d := distance(o, g)
			if m, ok := got[p]; ok != (d <= metres) || ok && math.Abs(d-m) > 1e-6 {
				t.Fatalf("object %d is %v metres away; found %v %v", p, d, ok, m)
			}
			if d == 0 {
				inside++
			}
		}
		if inside < 20 || len(got) == len(want) {
			t.Fatalf("%d inside, %d found of %d: this shows nothing", inside, len(got), len(want))
		}
	}
}

// TestManySmallChanges keeps the parts few, and MinSizeDegrees exact.
func TestManySmallChanges(t *testing.T) {
	c := newCity(22)
	x := New(Settings{})
	most := 0
	for i := range 1500 {
		if err := x.Apply(Versions([]*store.Version{c.version(int64(i + 1))}), nil); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(x.current.Load().parts))
	}
	if most > 7 { // log4(1500) and one
		t.Errorf("%d parts", most)
	}
	v := x.For(nil)
	all := orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}
	v.Search(all, Options{}, func(r Ref) bool {
		b := v.Object(r).Bound
		size := max(b.Max[0]-b.Min[0], b.Max[1]-b.Min[1])
		if size == 0 {
			return true
		}
		found := false
		v.Search(b, Options{MinSizeDegrees: round7(size)}, func(s Ref) bool { found = found || s == r; return !found })
		if !found {
			t.Errorf("an object of %v degrees is not found by its size", size)
		}
		return !t.Failed()
	})
}

// TestSizeOfOne has nothing larger beside it that keeps its branch.
func TestSizeOfOne(t *testing.T) {
	x := New(Settings{})
	line := &spatial.Geometry{Kind: spatial.MultiLine, XYZ: []float64{120, 31, 0, 120.0012, 31.0003, 0}, Rings: []int32{2}}
	if err := x.Apply(Versions([]*store.Version{{Dataset: "d", Position: 1, Footprint: line}}), nil); err != nil {
		t.Fatal(err)
	}
	for size, want := range map[float64]bool{0: true, 0.0003: true, 0.0012: true, 0.0012001: false} {
		found := false
		x.For(nil).Search(orb.Bound{Min: orb.Point{119, 30}, Max: orb.Point{121, 32}}, Options{MinSizeDegrees: size}, func(Ref) bool { found = true; return true })
		if found != want {
			t.Errorf("at least %v degrees: %v, expected %v", size, found, want)
		}
	}
}
