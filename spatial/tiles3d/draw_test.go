package tiles3d

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// drawn draws objects in one tile and reads what came of it.
func drawn(t testing.TB, o Options, fine bool, objects ...*spatial.CityObject) (*model, Problems) {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	g := objects[0].Geometries[0].XYZ
	c := newContent(&o, cellAt(g[0], g[1], 14), fine)
	for i, x := range objects {
		c.add(&store.Version{Dataset: "d", Object: *x, Position: int64(i + 1)})
	}
	b, err := c.glb()
	if err != nil {
		t.Fatal(err)
	}
	m := readGLB(t, b)
	if m.count != len(objects) {
		t.Fatalf("%d rows for %d objects", m.count, len(objects))
	}
	for _, v := range m.vertices {
		if math.IsNaN(v[0] + v[1] + v[2]) {
			t.Fatal("a vertex is no number")
		}
	}
	return m, c.problems
}

// heights are the lowest and highest vertices above the ellipsoid.
func (m *model) heights() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range m.vertices {
		_, _, h := fromGeocentric(v)
		low, high = min(low, h), max(high, h)
	}
	return low, high
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func line(class spatial.Class, attributes spatial.Attributes, xyz ...float64) *spatial.CityObject {
	return &spatial.CityObject{ID: "l", Class: class, CRS: crs.EPSG(4326), Attributes: attributes,
		Geometries: []spatial.Geometry{{Kind: spatial.MultiLine, XYZ: xyz, Rings: []int32{int32(len(xyz) / 3)}}}}
}

// TestShapes draws what has no body of its own and measures it.
func TestShapes(t *testing.T) {
	const lon, lat = 120.6, 31.3
	perLat, perLon := 110_867.0, 95_245.0 // metres a degree there
	_, _ = perLat, perLon
	east := 1000 / perLon
	attr := func(name string, v spatial.Value) spatial.Attributes {
		return spatial.Attributes{{Name: name, Value: v}}
	}
	octagon := 2 * math.Sqrt2
	for _, c := range []struct {
		name           string
		o              *spatial.CityObject
		low, high      float64
		area, volume   float64 // NaN: not compared
		assumed, words string
	}{
		{"road by its width", line(spatial.ClassRoad, attr("width", spatial.IntValue(12)), lon, lat, 0, lon+east, lat, 0), 12.7, 12.7, 12000, math.NaN(), "", "road"},
		{"road by its lanes", line(spatial.ClassRoad, attr("lanes", spatial.TextValue("4")), lon, lat, 0, lon+east, lat, 0), 12.7, 12.7, 14000, math.NaN(), "width", "road"},
		{"canal", line(spatial.ClassWater, nil, lon, lat, 0, lon+east, lat, 0), 12.6, 12.6, 8000, math.NaN(), "width", "water"},
		{"pipe of DN 500, no depth", line(spatial.ClassUnderground, attr("DN", spatial.IntValue(500)), lon, lat, 0, lon+east, lat, 0), 12.5 - 1.5 - 0.25, 12.5 - 1.5 + 0.25, math.NaN(), octagon * 0.0625 * 1000, "depth", "underground"},
		{"gas pipe with depth", line(spatial.ClassUnderground, spatial.Attributes{{Name: "埋深", Value: spatial.FloatValue(2)}, {Name: "管线类型", Value: spatial.TextValue("燃气")}}, lon, lat, 0, lon+east, lat, 0), 12.5 - 2 - 0.15, 12.5 - 2 + 0.15, math.NaN(), octagon * 0.0225 * 1000, "diameter", "gas pipe"},
		{"lamp", &spatial.CityObject{ID: "p", Class: spatial.ClassComponent, CRS: crs.EPSG(4326), Geometries: []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{lon, lat, 0}}}}, 12.5, 14.5, math.NaN(), octagon * 0.0225 * 2, "height diameter", "component"},
		{"building of unknown height", func() *spatial.CityObject { o := box("b", lon, lat, 1e-3, 0); o.Height = spatial.Height{}; return o }(), 12.5, 18.5, math.NaN(), math.NaN(), "height", "roof"},
		{"building on pillars", func() *spatial.CityObject { o := box("b", lon, lat, 1e-3, 20); o.Height.BaseMetres = 5; return o }(), 17.5, 32.5, math.NaN(), 1e-6 * 95_245 * 110_867 * 15, "", "ground"},
		{"underground hall", func() *spatial.CityObject {
			o := box("u", lon, lat, 1e-3, 0)
			o.Class, o.Height = spatial.ClassUnderground, spatial.Height{}
			return o
		}(), 12.5 - 5.5, 12.5 - 1.5, math.NaN(), 1e-6 * 95_245 * 110_867 * 4, "depth height", "underground"},
		{"lake", func() *spatial.CityObject {
			o := box("w", lon, lat, 0.1, 0)
			o.Class, o.Height = spatial.ClassWater, spatial.Height{}
			return o
		}(), 12.6, 12.6, 0.01 * 95_245 * 110_867, math.NaN(), "", "water"},
		{"district", func() *spatial.CityObject {
			o := box("d", lon, lat, 0.1, 0)
			o.Class, o.Type, o.Height = "", city.TypeDistrict, spatial.Height{}
			return o
		}(), 13, 13, 10 * 0.2 * (95_245 + 110_867), math.NaN(), "", "district boundary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, problems := drawn(t, Options{GroundMetres: 3, EllipsoidOffsetMetres: 9.5}, true, c.o)
			if problems != (Problems{}) {
				t.Errorf("problems %+v", problems)
			}
			low, high := m.heights()
			if !near(low, c.low, 0.03) || !near(high, c.high, 0.1) {
				t.Errorf("from %v to %v m, want %v to %v", low, high, c.low, c.high)
			}
			if a := m.areas("")[0]; !math.IsNaN(c.area) && !near(a, c.area, 2e-3*c.area) {
				t.Errorf("area %v, want %v", a, c.area)
			}
			if v := m.volume(0); !math.IsNaN(c.volume) && !near(v, c.volume, 3e-3*c.volume) {
				t.Errorf("volume %v, want %v", v, c.volume)
			}
			assumed := ""
			if s := m.strings["assumed"]; s != nil {
				assumed = s[0]
			}
			if assumed != c.assumed {
				t.Errorf("assumed %q, want %q", assumed, c.assumed)
			}
			if !strings.Contains(strings.Join(m.material, "|")+"|", c.words+"|") {
				t.Errorf("materials %v, want %s", m.material[:1], c.words)
			}
		})
	}
}

// TestDatum: heights above the ellipsoid stay, others are moved by the option
// and by nothing else.
func TestDatum(t *testing.T) {
	solid := func(datum string) *spatial.CityObject {
		o := box("b", 120.6, 31.3, 1e-3, 0)
		o.Height, o.CRS.VerticalDatum = spatial.Height{}, datum
		g := &o.Geometries[0]
		g.LoD, g.HasZ = "2", true
		for i := 2; i < len(g.XYZ); i += 3 {
			g.XYZ[i] = 100
		}
		return o
	}
	for datum, want := range map[string]float64{"": 109.5, "1985 国家高程基准": 109.5, spatial.Ellipsoid: 100} {
		m, _ := drawn(t, Options{GroundMetres: 3, EllipsoidOffsetMetres: 9.5}, true, solid(datum))
		if low, high := m.heights(); !near(low, want, 0.01) || !near(high, want, 0.01) {
			t.Errorf("%q: %v to %v, want %v", datum, low, high, want)
		}
	}
	m, _ := drawn(t, Options{}, true, solid(""))
	if low, _ := m.heights(); !near(low, 100, 0.01) {
		t.Errorf("without options %v, want 100", low)
	}
}

// TestLevelOfDetail: coarse tiles draw LoD 1, fine ones the finest.
func TestLevelOfDetail(t *testing.T) {
	o := box("b", 120.6, 31.3, 1e-3, 50)
	for _, lod := range []string{"1.2", "2.2", "3"} {
		g := o.Geometries[0]
		g.XYZ = append([]float64(nil), g.XYZ...)
		g.LoD, g.HasZ = lod, true
		o.Geometries = append(o.Geometries, g)
	}
	for fine, want := range map[bool]string{true: "3", false: "1.2"} {
		m, _ := drawn(t, Options{}, fine, o)
		if got := m.strings["lod"][0]; got != want {
			t.Errorf("fine %v: LoD %s, want %s", fine, got, want)
		}
	}
}

// TestFrames puts a building into every corner of the earth.
func TestFrames(t *testing.T) {
	for _, p := range [][2]float64{{120.6, 31.3}, {-70, -33}, {0.01, 0.01}, {179.9, 60}, {-179.99, -60}, {90, 0}, {-90, 0}, {12, 89.5}, {-12, -89.5}} {
		o := box("b", p[0], p[1], 1e-4, 30)
		m, problems := drawn(t, Options{}, true, o)
		if problems != (Problems{}) {
			t.Errorf("%v: %+v", p, problems)
		}
		want := map[[2]int]bool{}
		for i := 0; i < 4; i++ {
			for k, h := range []float64{0, 30} {
				var c vec
				c[0], c[1], c[2] = crs.Geocentric(o.Geometries[0].XYZ[3*i], o.Geometries[0].XYZ[3*i+1], h)
				for _, v := range m.vertices {
					if v.sub(c).length() < 0.002 {
						want[[2]int{i, k}] = true
					}
				}
			}
		}
		if len(want) != 8 {
			t.Errorf("%v: %d of 8 corners are where they should be", p, len(want))
		}
	}
}

// TestWideTile: in a tile as large as a continent objects are placed to the
// centimetre.
func TestWideTile(t *testing.T) {
	opt, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c := newContent(&opt, cellAt(110, 30, minLevel), false)
	r := rand.New(rand.NewPCG(7, 8))
	var want []vec
	for range 200 {
		lon, lat := 91+r.Float64()*88, 1+r.Float64()*85
		var p vec
		p[0], p[1], p[2] = crs.Geocentric(lon, lat, 8)
		want = append(want, p)
		c.add(&store.Version{Object: *box("b", lon, lat, 1e-4, 8)})
	}
	b, err := c.glb()
	if err != nil {
		t.Fatal(err)
	}
	m := readGLB(t, b)
	for i, p := range want {
		best := math.Inf(1)
		for k, v := range m.vertices {
			if m.feature[k] == i {
				best = min(best, v.sub(p).length())
			}
		}
		if best > 0.01 {
			t.Fatalf("object %d is %v m away from its place", i, best)
		}
	}
}

// TestHostile: what cannot be drawn is counted, and the glTF stays sound.
func TestHostile(t *testing.T) {
	surface := func(id string, rings []int32, xyz ...float64) *spatial.CityObject {
		return &spatial.CityObject{ID: id, Class: spatial.ClassBuilding, CRS: crs.EPSG(4326), Attributes: spatial.Attributes{{Name: "\xff\xfe", Value: spatial.TextValue("\xff<script>")}, {Name: "1管径", Value: spatial.IntValue(3)}},
			Geometries: []spatial.Geometry{{Kind: spatial.MultiSurface, XYZ: xyz, Rings: rings, Surfaces: []int32{int32(len(rings))}}}}
	}
	const x, y, d = 120.6, 31.3, 1e-4
	tall := box("tall", x, y, d, 1e9)
	high := box("high", x, y, d, 5)
	high.Geometries[0].HasZ = true
	high.Geometries[0].LoD = "2"
	high.Geometries[0].XYZ[2] = 1e300
	files := map[string][]byte{}
	var million []float64
	r := rand.New(rand.NewPCG(9, 9))
	for i := range 1_000_000 {
		a := 2 * math.Pi * float64(i) / 1_000_000
		million = append(million, x+d*math.Cos(a)*(0.4+0.6*r.Float64()), y+d*math.Sin(a)*(0.4+0.6*r.Float64()), 0)
	}
	for _, c := range []struct {
		o    *spatial.CityObject
		want Problems
	}{
		{surface("bow tie", []int32{4}, x, y, 0, x+d, y+d, 0, x+d, y, 0, x, y+d/2, 0), Problems{Polygons: 1}},
		{surface("one point", []int32{4}, x, y, 0, x, y, 0, x, y, 0, x, y, 0), Problems{Objects: 1}},
		{surface("line", []int32{3}, x, y, 0, x+d, y, 0, x+2*d, y, 0), Problems{}}, // by the curvature of the parallel it has an area,
		{surface("two points", []int32{2}, x, y, 0, x+d, y, 0), Problems{Objects: 1}},
		{surface("empty ring", []int32{0}, []float64{}...), Problems{Objects: 1}},
		{surface("hole outside", []int32{4, 8}, x, y, 0, x+d, y, 0, x+d, y+d, 0, x, y+d, 0, x+5*d, y, 0, x+6*d, y, 0, x+6*d, y+d, 0, x+5*d, y+d, 0), Problems{Polygons: 1}},
		{line(spatial.ClassUnderground, nil, x, y, 0, x, y, 0), Problems{Objects: 1}},
		{line(spatial.ClassRoad, nil, x, y, 0, x+d, y, 0, x, y, 0, x+d, y, 0), Problems{}},
		{tall, Problems{Heights: 1}},
		{high, Problems{Heights: 1}},
		{surface("a million points", []int32{1_000_000}, million...), Problems{Polygons: 1}},
	} {
		opt, err := Options{}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		k := newContent(&opt, cellAt(x, y, 14), true)
		begin := time.Now()
		k.add(&store.Version{Object: *c.o})
		b, err := k.glb()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Logf("%s took %v", c.o.ID, took)
			if took > 2*time.Minute {
				t.Error("that is too long")
			}
		}
		if k.problems != c.want {
			t.Errorf("%s: %+v, want %+v", c.o.ID, k.problems, c.want)
		}
		if len(b) > 40<<20 {
			continue // the validator takes minutes
		}
		files[fmt.Sprintf("9-1-1/content/0/0/%d.glb", len(files))] = b
		m, _ := drawn(t, Options{}, true, box("anchor", x, y, d, 3), c.o)
		if m.strings["id"][0] != "anchor" {
			t.Errorf("%s: ids %v", c.o.ID, m.strings["id"])
		}
	}
	validate(t, files)
}

func TestPropertyID(t *testing.T) {
	for name, want := range map[string]string{"height": "height", "bldg:usage": "bldg_usage", "管径": "u7BA1u5F84", "1st": "u31st", "": ""} {
		if got := propertyID(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{GroundMetres: math.NaN()}, {EllipsoidOffsetMetres: 1e4}, {TileObjects: -1}, {TileObjects: 10_001}, {CacheBytes: -1}, {BuildingMetres: -1}, {DepthMetres: math.Inf(1)}} {
		if _, err := New(o); err == nil || !strings.HasPrefix(err.Error(), "tiles3d: ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
