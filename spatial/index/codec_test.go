package index

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/spatial"
)

// FuzzFootprint reads arbitrary bytes as each kind of footprint: it must end,
// within memory in proportion to the bytes, and what it reads must be the same
// after it has been written and read again.
func FuzzFootprint(f *testing.F) {
	c := newCity(3)
	for range 20 {
		g := c.footprint()
		r := rectOf(g)
		f.Add(uint8(g.Kind), r.minX, r.minY, string(appendFootprint(nil, g, r)))
	}
	f.Add(uint8(3), int32(0), int32(0), string(binary.AppendUvarint(nil, math.MaxUint64)))
	f.Add(uint8(2), int32(0), int32(0), "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, kind uint8, x, y int32, s string) {
		d := reader{s: s}
		d.contains(x, y, 1, 2)
		d = reader{s: s}
		var got Shape
		if err := d.shape(spatial.Kind(kind), x, y, &got); err != nil {
			if got.Kind != 0 || len(got.Points) != 0 {
				t.Fatalf("after %v there is %+v", err, got)
			}
			return
		}
		if len(got.Points) > len(s) || len(got.Rings) > len(s) || len(got.Surfaces) > len(s) {
			t.Fatalf("%d points in %d rings of %d surfaces from %d bytes", len(got.Points), len(got.Rings), len(got.Surfaces), len(s))
		}
		g := flat(&got)
		if g == nil || g.NumPoints() == 0 {
			return
		}
		if err := g.Valid(); err != nil {
			t.Fatal(err)
		}
		for _, v := range g.XYZ {
			if math.Abs(v) > 214 {
				return // is cut
			}
		}
		r := rectOf(g)
		d = reader{s: string(appendFootprint(nil, g, r))}
		var again Shape
		if err := d.shape(g.Kind, r.minX, r.minY, &again); err != nil || !orb.Equal(again.Geometry(), got.Geometry()) {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
	})
}

// flat is s as the geometry that the store gives.
func flat(s *Shape) *spatial.Geometry {
	if s.Kind < spatial.MultiPoint || s.Kind > spatial.MultiSurface {
		return nil
	}
	g := &spatial.Geometry{Kind: s.Kind, Surfaces: s.Surfaces}
	add := func(l []orb.Point) {
		for _, p := range l {
			g.XYZ = append(g.XYZ, p[0], p[1], 0)
		}
	}
	if s.Kind == spatial.MultiPoint {
		add(s.Points)
		return g
	}
	for i := range s.Rings {
		l := s.Ring(i)
		if s.Kind == spatial.MultiSurface && len(l) > 0 {
			l = l[:len(l)-1]
		}
		add(l)
		g.Rings = append(g.Rings, int32(g.NumPoints()))
	}
	return g
}

// TestCoordinatesAreDecimal shows that a coordinate of seven places comes back
// as the number that has these places, and so do those at the ends of the range.
func TestCoordinatesAreDecimal(t *testing.T) {
	for _, v := range []float64{120.6217321, -0.0000001, 31.2999999, 179.9999999, -180, 180, 90, 0.1, 214.7} {
		if got := degrees(quantum(v)); got != v {
			t.Errorf("%v became %v", v, got)
		}
	}
	for _, v := range []float64{1e9, math.Inf(1)} {
		if quantum(v) != math.MaxInt32-1 || quantum(-v) != math.MinInt32+1 {
			t.Errorf("%v became %v and %v", v, quantum(v), quantum(-v))
		}
	}
}

// TestHilbert follows the curve: it passes each cell once, to a neighbour.
func TestHilbert(t *testing.T) {
	const side = 64 // the first cells of the curve fill a square, as it turns only whole ones
	at := map[uint32][2]int{}
	for x := range side {
		for y := range side {
			at[hilbert(uint32(x), uint32(y))] = [2]int{x, y}
		}
	}
	for d := range uint32(side*side - 1) {
		a, ok := at[d]
		b, next := at[d+1]
		if !ok || !next || math.Abs(float64(a[0]-b[0]))+math.Abs(float64(a[1]-b[1])) != 1 {
			t.Fatalf("step %d goes from %v %v to %v %v", d, a, ok, b, next)
		}
	}
	if d := hilbert(65535, 0); d != math.MaxUint32 {
		t.Errorf("the curve ends at %d, expected 2^32-1", d)
	}
}
