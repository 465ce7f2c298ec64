package tiles

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/mvt"
)

// identity is the projection of a tile in which tile coordinates are those of
// the whole world at level 0, so that tests can say where points come to lie.
func lonLat(p projection, x, y float64) orb.Point {
	lon, lat := p.inverse(x, y)
	return orb.Point{lon, lat}
}

// one encodes a geometry given in tile coordinates and decodes it with orb.
func one(t testing.TB, build func(at func(x, y float64) orb.Point) orb.Geometry) orb.Geometry {
	t.Helper()
	set, _ := matrixSetOf("WebMercatorQuad")
	p := tile{set, 14, 6690, 13680}.projection()
	s := shaper{p: p}
	kind, commands := s.encode(build(func(x, y float64) orb.Point { return lonLat(p, x, y) }))
	if len(commands) == 0 {
		return nil
	}
	l := newLayer("x")
	l.add(1, kind, commands)
	layers, err := mvt.Unmarshal(l.appendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	return layers[0].Features[0].Geometry
}

func TestShapes(t *testing.T) {
	type at = func(x, y float64) orb.Point
	for _, tt := range []struct {
		name  string
		build func(at) orb.Geometry
		want  orb.Geometry
	}{
		{"point", func(p at) orb.Geometry { return p(10, 20) }, orb.Point{10, 20}},
		{"point in the buffer", func(p at) orb.Geometry { return p(-63, 4150) }, orb.Point{-63, 4150}},
		{"point beyond", func(p at) orb.Geometry { return p(-70, 0) }, nil},
		{"not a number", func(p at) orb.Geometry { return orb.Point{math.NaN(), 31} }, nil},
		{"points", func(p at) orb.Geometry { return orb.MultiPoint{p(1, 1), p(9000, 1), p(5, 6)} }, orb.MultiPoint{{1, 1}, {5, 6}}},
		{"line through", func(p at) orb.Geometry { return orb.LineString{p(-1000, 100), p(9000, 100)} }, orb.LineString{{-64, 100}, {4160, 100}}},
		{"line out and in", func(p at) orb.Geometry {
			return orb.LineString{p(100, 100), p(100, 5000), p(200, 5000), p(200, 100)}
		}, orb.MultiLineString{{{100, 100}, {100, 4160}}, {{200, 4160}, {200, 100}}}},
		{"straight points go", func(p at) orb.Geometry { return orb.LineString{p(0, 0), p(50, 0.3), p(100, 0)} }, orb.LineString{{0, 0}, {100, 0}}},
		{"line of one point", func(p at) orb.Geometry { return orb.LineString{p(7, 7), p(7, 7)} }, nil},
		{"exterior the wrong way round", func(p at) orb.Geometry {
			return orb.Polygon{{p(0, 0), p(0, 100), p(100, 100), p(100, 0), p(0, 0)}}
		}, orb.Polygon{{{0, 0}, {100, 0}, {100, 100}, {0, 100}, {0, 0}}}},
		{"polygon around the tile", func(p at) orb.Geometry {
			return orb.Polygon{{p(-9000, -9000), p(9000, -9000), p(9000, 9000), p(-9000, 9000), p(-9000, -9000)}}
		}, nil}, // compared by area below
		{"flat polygon", func(p at) orb.Geometry { return orb.Polygon{{p(0, 0), p(100, 0), p(50, 0.1), p(0, 0)}} }, nil},
		{"two points", func(p at) orb.Geometry { return orb.Polygon{{p(0, 0), p(100, 0), p(0, 0)}} }, nil},
		{"tiny exterior takes its hole along", func(p at) orb.Geometry {
			return orb.Polygon{{p(0, 0), p(.2, 0), p(.2, .2), p(0, 0)}, {p(0, 0), p(900, 0), p(900, 900), p(0, 0)}}
		}, nil},
		{"nothing", func(at) orb.Geometry { return nil }, nil},
		{"empty", func(at) orb.Geometry { return orb.Polygon{} }, nil},
	} {
		got := one(t, tt.build)
		if tt.name == "polygon around the tile" {
			b := got.Bound()
			if b.Min != (orb.Point{low, low}) || b.Max != (orb.Point{high, high}) || len(got.(orb.Polygon)[0]) != 5 {
				t.Errorf("%s: %v", tt.name, got)
			}
			continue
		}
		if (got == nil) != (tt.want == nil) || got != nil && !orb.Equal(got, tt.want) {
			t.Errorf("%s: found %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestHoleWindsTheOtherWay_MVT_4_3_3_3(t *testing.T) {
	g := one(t, func(p func(x, y float64) orb.Point) orb.Geometry {
		return orb.Polygon{
			{p(0, 0), p(1000, 0), p(1000, 1000), p(0, 1000), p(0, 0)},
			{p(100, 100), p(200, 100), p(200, 200), p(100, 200), p(100, 100)},
		}
	}).(orb.Polygon)
	if len(g) != 2 || g[0].Orientation() != orb.CCW || g[1].Orientation() != orb.CW {
		t.Errorf("%v", g)
	}
}

// TestCGCS2000Quad_Tianditu: the tile of 北寺塔 by the formula of 天地图's services,
// a column every 360/2^n degrees from -180 and a row from 90 down; and the sizes
// of 17-083r4.
func TestCGCS2000Quad_Tianditu(t *testing.T) {
	set, ok := matrixSetOf("CGCS2000Quad")
	if !ok {
		t.Fatal("not there")
	}
	const lon, lat = 120.6155, 31.3247
	for z := 1; z <= 18; z++ {
		side := 360 / math.Pow(2, float64(z))
		row, _, col, _ := set.limits(z, orb.Bound{Min: orb.Point{lon, lat}, Max: orb.Point{lon, lat}})
		if col != int((lon+180)/side) || row != int((90-lat)/side) {
			t.Errorf("level %d: row %d, column %d", z, row, col)
		}
		if cell := set.cellSize(z); cell != side/256 {
			t.Errorf("level %d: cell %v", z, cell)
		}
	}
	if set.origin() != [2]float64{90, -180} || set.axes[0] != "Lat" {
		t.Error("EPSG:4490 has the latitude first")
	}
	if cols, rows := set.size(1); cols != 2 || rows != 1 {
		t.Errorf("level 1 is %d by %d", cols, rows)
	}
}

// TestWebMercatorQuad_17_083r4 compares with figures of OGC's registry.
func TestWebMercatorQuad_17_083r4(t *testing.T) {
	set, _ := matrixSetOf("WebMercatorQuad")
	for z, want := range map[int][2]float64{0: {559082264.028717, 156543.033928041}, 10: {545978.773465544, 152.874056570352}, 24: {33.3238997476528, 0.0093306919293428}} {
		if s, c := set.scaleDenominator(z), set.cellSize(z); math.Abs(s/want[0]-1) > 1e-12 || math.Abs(c/want[1]-1) > 1e-12 {
			t.Errorf("level %d: %v, %v", z, s, c)
		}
	}
	if x, y := (tile{set, 0, 0, 0}).projection().point(180, -mercatorLimit); math.Abs(x-extent) > 1e-6 || math.Abs(y-extent) > 1e-6 {
		t.Errorf("the corner of the world is at %v, %v", x, y)
	}
}

func FuzzShape(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 0, 1, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 2 {
			return
		}
		kind := data[0] % 4
		p := tile{matrixSets()[int(data[1])%2], 10, 100, 200}.projection()
		var points []orb.Point
		for b := data[2:]; len(b) >= 4; b = b[4:] {
			x := float64(int16(binary.LittleEndian.Uint16(b))) / 4
			y := float64(int16(binary.LittleEndian.Uint16(b[2:]))) / 4
			points = append(points, lonLat(p, x, y))
		}
		var g orb.Geometry
		switch kind {
		case 0:
			g = orb.MultiPoint(points)
		case 1:
			g = orb.LineString(points)
		case 2:
			g = orb.Polygon{points}
		default:
			half := len(points) / 2
			g = orb.MultiPolygon{{points[:half], points[half:]}}
		}
		s := shaper{p: p}
		k, commands := s.encode(g)
		if len(commands) == 0 {
			return
		}
		l := newLayer("x")
		l.add(1, k, commands)
		layers, err := mvt.Unmarshal(l.appendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		b := layers[0].Features[0].Geometry.Bound()
		if b.Min[0] < low || b.Min[1] < low || b.Max[0] > high || b.Max[1] > high {
			t.Errorf("%v reaches over the buffer", b)
		}
	})
}
