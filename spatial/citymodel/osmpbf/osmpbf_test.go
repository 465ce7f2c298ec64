package osmpbf

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/geojson"
)

type result struct {
	objects  []*spatial.CityObject
	problems []citymodel.Problem
	tally    citymodel.Tally
	err      error
}

func (r *result) codes() (c []citymodel.Code) {
	for _, p := range r.problems {
		c = append(c, p.Code)
	}
	return c
}

func (r *result) get(t *testing.T, id string) *spatial.CityObject {
	t.Helper()
	for _, o := range r.objects {
		if o.ID == id {
			return o
		}
	}
	t.Fatalf("no %s", id)
	return nil
}

func read(b []byte, o citymodel.FeatureOptions) (r result) {
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, err := Open(bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		r.err = err
		return r
	}
	for o, err := range reader.Objects() {
		if err != nil {
			r.err = err
			break
		}
		r.objects = append(r.objects, o)
	}
	r.tally = reader.Tally()
	return r
}

// square is four nodes and the refs of a closed way around them.
func (f *testFile) square(id int64, lon, lat, size float64, clockwise bool) []int64 {
	for i, c := range [][2]float64{{0, 0}, {size, 0}, {size, size}, {0, size}} {
		f.nodes = append(f.nodes, testNode{id: id + int64(i), lon: lon + c[0], lat: lat + c[1]})
	}
	refs := []int64{id, id + 1, id + 2, id + 3, id}
	if clockwise {
		slices.Reverse(refs)
	}
	return refs
}

func town() *testFile {
	f := &testFile{}
	f.ways = append(f.ways,
		testWay{1, f.square(10, 120.6, 31.3, 0.001, true), []string{"building", "yes", "height", "12 m", "name", "甲"}},
		testWay{2, []int64{10, 11}, []string{"highway", "residential", "layer", "-1"}},
		testWay{3, []int64{10, 11, 12}, []string{"waterway", "canal", "layer", "-1"}},
		testWay{4, []int64{10, 11, 12, 10}, []string{"highway", "primary"}},                               // a roundabout
		testWay{5, []int64{10, 99}, []string{"railway", "subway", "tunnel", "yes"}},                       // 99 is not there
		testWay{6, f.square(30, 120.61, 31.3, 0.01, false)[:3], nil},                                      // half of an outer ring
		testWay{7, []int64{30, 33, 32}, nil},                                                              // the other half, backwards
		testWay{8, f.square(40, 120.612, 31.302, 0.002, false), nil},                                      // a hole
		testWay{9, f.square(50, 120.7, 31.3, 0.001, false), []string{"building:part", "yes"}},             // of relation 22
		testWay{10, f.square(60, 120.7, 31.3, 0.002, false), []string{"building", "office"}},              // its outline
		testWay{11, f.square(70, 120.8, 31.3, 0.002, false), []string{"landuse", "residential"}},          // of no class
		testWay{12, []int64{70, 71}, []string{"highway", "proposed"}},                                     // not there
		testWay{13, []int64{70, 71}, []string{"man_made", "pipeline", "location", "underground"}},         //
		testWay{14, []int64{70, 71}, []string{"highway", "footway", "tunnel", "building_passage"}},        //
		testWay{15, f.square(80, 120.9, 31.3, 0.002, false), []string{"natural", "water", "layer", "-1"}}, //
	)
	f.nodes = append(f.nodes,
		testNode{100, 120.65, 31.35, []string{"natural", "tree", "species", "银杏"}}, testNode{101, 120.651, 31.35, []string{"amenity", "bench"}},
		testNode{102, 120.652, 31.35, []string{"shop", "bakery"}}, testNode{103, -70.5, -33.25, []string{"amenity", "school"}},
	)
	f.relations = append(f.relations,
		testRelation{20, []member{{6, 1, "outer"}, {7, 1, "outer"}, {8, 1, "inner"}}, []string{"type", "multipolygon", "building", "yes", "building:levels", "4"}},
		testRelation{21, []member{{6, 1, "outer"}, {777, 1, "outer"}}, []string{"type", "multipolygon", "building", "yes"}},
		testRelation{22, []member{{10, 1, "outline"}, {9, 1, "part"}}, []string{"type", "building"}},
		testRelation{23, []member{{6, 1, ""}}, []string{"type", "route", "route", "bus"}},
	)
	return f
}

func TestTown(t *testing.T) {
	want := map[string]string{
		"node/100": "SolitaryVegetationObject component [MultiPoint]", "node/101": "CityFurniture component [MultiPoint]", "node/103": "GenericCityObject component [MultiPoint]",
		"way/1": "Building building [MultiSurface]", "way/2": "Road underground [MultiLineString]", "way/3": "Waterway water [MultiLineString]",
		"way/4": "Road road [MultiLineString]", "way/5": "Railway underground [MultiLineString]", "way/9": "BuildingPart building [MultiSurface]",
		"way/10": "Building building [MultiSurface]", "way/11": "LandUse  [MultiSurface]", "way/13": "GenericCityObject underground [MultiLineString]",
		"way/14": "Track road [MultiLineString]", "way/15": "WaterBody water [MultiSurface]",
		"relation/20": "Building building [MultiSurface]", "relation/21": "Building building []",
	}
	for name, change := range map[string]func(*testFile){
		"dense, zlib": func(*testFile) {}, "plain nodes": func(f *testFile) { f.plainNodes = true }, "raw": func(f *testFile) { f.pack = "raw" },
		"zstd": func(f *testFile) { f.pack = "zstd" }, "granularity": func(f *testFile) { f.granularity = 1 }, "one element a blob": func(f *testFile) { f.perBlob = 1 },
	} {
		f := town()
		change(f)
		b := f.encode()
		for _, vertices := range []int{0, 40} { // the second: several rounds
			r := read(b, citymodel.FeatureOptions{Options: citymodel.Options{Limits: citymodel.Limits{Vertices: vertices}}})
			if r.err != nil {
				t.Fatalf("%s: %v", name, r.err)
			}
			got := map[string]string{}
			for _, o := range r.objects {
				var kinds []string
				for i := range o.Geometries {
					kinds = append(kinds, o.Geometries[i].Kind.String())
					if err := o.Geometries[i].Valid(); err != nil {
						t.Errorf("%s: %s: %v", name, o.ID, err)
					}
				}
				got[o.ID] = fmt.Sprint(o.Type, " ", o.Class, " ", kinds)
			}
			for id, w := range want {
				if got[id] != w {
					t.Errorf("%s, %d: %s is %q, want %q", name, vertices, id, got[id], w)
				}
			}
			if len(got) != len(want) || len(r.objects) != len(want) {
				t.Errorf("%s: %d objects, want %d: %v", name, len(r.objects), len(want), got)
			}
			if !slices.Equal(r.codes(), []citymodel.Code{citymodel.BadReference, citymodel.TooFewPoints, citymodel.BadReference}) {
				t.Errorf("%s: %v; want the missing node of way/5 and the open ring of relation/21", name, r.problems)
			}
			house := r.get(t, "way/1")
			if house.Name != "甲" || house.Height.Metres != 12 || house.Attributes[0].Name != "building" || len(house.Attributes) != 3 {
				t.Errorf("%s: %+v", name, house)
			}
			if want := []float64{120.6, 31.301, 0, 120.6, 31.3, 0, 120.601, 31.3, 0, 120.601, 31.301, 0}; !sameRing(house.Geometries[0].XYZ, want) {
				t.Errorf("%s: %v, want %v", name, house.Geometries[0].XYZ, want)
			}
			yard := r.get(t, "relation/20")
			g := &yard.Geometries[0]
			if len(g.Surfaces) != 1 || len(g.Rings) != 2 || math.Abs(g.Area()-(1e-4-4e-6)) > 1e-12 || yard.Height.Metres != 12 {
				t.Errorf("%s: %v %v, area %v, height %v", name, g.Rings, g.Surfaces, g.Area(), yard.Height)
			}
			if n := spatial.RingNormal(g.Ring(0)); n[2] <= 0 {
				t.Errorf("%s: the exterior runs clockwise", name)
			}
			if o := r.get(t, "way/9"); !slices.Equal(o.Parents, []string{"way/10"}) || !slices.Equal(r.get(t, "way/10").Children, []string{"way/9"}) {
				t.Errorf("%s: parents %v", name, o.Parents)
			}
			if p := r.get(t, "node/103").Geometries[0].XYZ; !slices.Equal(p, []float64{-70.5, -33.25, 0}) {
				t.Errorf("%s: %v", name, p)
			}
		}
	}
}

// sameRing compares rings whatever their first point.
func sameRing(a, b []float64) bool {
	for i := 0; i < len(b); i += 3 {
		if slices.Equal(a, slices.Concat(b[i:], b[:i])) {
			return true
		}
	}
	return false
}

func TestClassOfOptions(t *testing.T) {
	o := citymodel.Options{Class: spatial.ClassComponent, ClassOf: func(typ string) (spatial.Class, bool) { return spatial.ClassBuilding, typ == "Road" }}
	r := read(town().encode(), citymodel.FeatureOptions{Options: o})
	if c := r.get(t, "way/2").Class; c != spatial.ClassBuilding {
		t.Errorf("a road is %q, want what the options say", c)
	}
	if c := r.get(t, "way/11").Class; c != spatial.ClassComponent {
		t.Errorf("a land use is %q, want the class of the options", c)
	}
	if c := r.get(t, "way/5").Class; c != spatial.ClassUnderground {
		t.Errorf("a railway in a tunnel is %q", c)
	}
}

func TestHostile(t *testing.T) {
	good := town().encode()
	huge := binary.BigEndian.AppendUint32(nil, 1<<31)
	bomb := func() []byte { // a blob that says 100 bytes and has 40 MB
		b := blobOf("OSMHeader", make([]byte, 40<<20), "")
		i := bytes.Index(b, []byte{2 << 3})
		return append(b[:i:i], b[i:]...)
	}()
	long := &testFile{nodes: []testNode{{id: 1, lon: 1, lat: 1, tags: []string{"amenity", strings.Repeat("x", 5000)}}}}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":         {nil, "cut off"},
		"cut off":         {good[:len(good)-10], "cut off"},
		"long header":     {append(huge, good...), "a BlobHeader of"},
		"a bomb":          {bomb, "the format allows"},
		"unknown feature": {(&testFile{features: []string{"X"}}).encode(), `needs the feature "X"`},
		"history":         {(&testFile{features: []string{"HistoricalInformation"}}).encode(), "history"},
		"no header":       {blobOf("OSMData", nil, "raw"), "expected OSMHeader"},
		"lzma":            {func() []byte { b := blobOf("OSMHeader", []byte("x"), "raw"); b[len(b)-3] = 4<<3 | 2; return b }(), "unpacks to -1"},
		"long value":      {long.encode(), "the limit of a value"},
	} {
		r := read(c.b, citymodel.FeatureOptions{Options: citymodel.Options{Limits: citymodel.Limits{ValueBytes: 1000}}})
		if r.err == nil || !strings.Contains(r.err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, r.err, c.want)
		}
	}
	// A file of many relations that each have the same large way.
	f := &testFile{}
	big := testWay{id: 1, tags: nil}
	for i := range 5000 {
		f.nodes = append(f.nodes, testNode{id: int64(i + 1), lon: float64(i%100) / 1000, lat: float64(i/100) / 1000})
		big.refs = append(big.refs, int64(i+1))
	}
	big.refs = append(big.refs, 1)
	f.ways = []testWay{big}
	for i := range 400 {
		f.relations = append(f.relations, testRelation{int64(i + 1), []member{{1, 1, "outer"}}, []string{"type", "multipolygon", "building", "yes"}})
	}
	r := read(f.encode(), citymodel.FeatureOptions{Options: citymodel.Options{Limits: citymodel.Limits{Vertices: 4000}}})
	if r.err == nil || !strings.Contains(r.err.Error(), "again and again") {
		t.Errorf("%v, want an error before the file is read 800 times", r.err)
	}
	r = read(f.encode(), citymodel.FeatureOptions{Options: citymodel.Options{Limits: citymodel.Limits{ObjectPoints: 4000}}})
	if r.err != nil || len(r.objects) != 400 || r.tally.Dropped != 400 {
		t.Errorf("%v, %+v; want 400 objects without geometry", r.err, r.tally)
	}
}

// TestGDALAndGeoJSON writes the footprints of Suzhou's old town as OSM PBF and
// compares what is read with the GeoJSON and, where it is installed, with what GDAL reads.
func TestGDALAndGeoJSON(t *testing.T) {
	path := filepath.Join(testkit.DataDir(t, "suzhou-oldtown-osm-buildings"), "suzhou_buildings.geojson")
	src, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		t.Fatal(err)
	}
	reader, err := geojson.Open(src, st.Size(), geojson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &testFile{}
	var want []*spatial.CityObject
	for o, err := range reader.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, o)
		w := testWay{id: int64(len(want)), tags: []string{"building", "yes"}}
		for _, a := range o.Attributes {
			if a.Value.Kind() != spatial.Null {
				w.tags = append(w.tags, a.Name, a.Value.String())
			}
		}
		g := &o.Geometries[0]
		if len(g.Rings) != 1 {
			t.Fatalf("%d rings: this test writes ways only", len(g.Rings))
		}
		for p := 0; p < len(g.XYZ); p += 3 {
			f.nodes = append(f.nodes, testNode{id: int64(len(f.nodes) + 1), lon: g.XYZ[p], lat: g.XYZ[p+1]})
			w.refs = append(w.refs, int64(len(f.nodes)))
		}
		w.refs = append(w.refs, w.refs[0])
		f.ways = append(f.ways, w)
	}
	b := f.encode()
	for _, vertices := range []int{0, 30_000} {
		r := read(b, citymodel.FeatureOptions{Options: citymodel.Options{Limits: citymodel.Limits{Vertices: vertices}, Check: citymodel.CheckOptions{Skip: true}}})
		if r.err != nil || len(r.objects) != len(want) || len(want) != 8242 {
			t.Fatalf("%v, %d objects, want %d", r.err, len(r.objects), len(want))
		}
		for i, w := range want {
			g := r.objects[i]
			if g.ID != fmt.Sprintf("way/%d", i+1) || g.Name != w.Name || g.Height != w.Height || g.Class != spatial.ClassBuilding || g.Bounds() != w.Bounds() ||
				g.Geometries[0].NumPoints() != w.Geometries[0].NumPoints() || math.Abs(g.Geometries[0].Area()-w.Geometries[0].Area()) > 1e-9*w.Geometries[0].Area() {
				t.Fatalf("object %d: %+v, want %+v", i, g, w)
			}
		}
	}
	program := testkit.Require(t, "ogr2ogr")
	file := filepath.Join(t.TempDir(), "town.osm.pbf")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-f", "CSV", "/vsistdout/", file, "-sql", "SELECT osm_way_id, name, OGR_GEOM_AREA AS area FROM multipolygons").Output()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 1+len(want) {
		t.Fatalf("GDAL reads %d objects, want %d; %v", len(rows)-1, len(want), err)
	}
	for _, row := range rows[1:] {
		n, err := strconv.Atoi(row[0])
		area, err2 := strconv.ParseFloat(row[2], 64)
		if err != nil || err2 != nil || n < 1 || n > len(want) {
			t.Fatalf("GDAL writes %v", row)
		}
		if w := want[n-1]; row[1] != w.Name || math.Abs(area-w.Geometries[0].Area()) > 1e-7*area {
			t.Errorf("way/%d: GDAL reads %v, want %q of %v square degrees", n, row, w.Name, w.Geometries[0].Area())
		}
	}
}

func FuzzRead(f *testing.F) {
	t := town()
	t.pack = "raw"
	f.Add(t.encode())
	t.pack, t.plainNodes = "", true
	f.Add(t.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := read(b, citymodel.FeatureOptions{Options: citymodel.Options{Limits: citymodel.Limits{Vertices: 10_000, ObjectPoints: 1000, ValueBytes: 10_000, RecordBytes: 100_000}}})
		for _, o := range r.objects {
			for i := range o.Geometries {
				if err := o.Geometries[i].Valid(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestMemoryIsBoundedByLimit(t *testing.T) {
	f := &testFile{perBlob: 4000}
	const n = 60_000
	for i := range n {
		f.ways = append(f.ways, testWay{int64(i + 1), f.square(int64(10*i+10), 120+float64(i%500)/500, 31+float64(i/500)/500, 0.0005, false), []string{"building", "yes"}})
	}
	data := f.encode()
	f = nil
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for vertices, limit := range map[int]int64{0: 16 << 20, 40_000: 3 << 20} { // 240,000 nodes: at once, and in 12 rounds
		o := citymodel.FeatureOptions{Options: citymodel.Options{Limits: citymodel.Limits{Vertices: vertices}, Check: citymodel.CheckOptions{Skip: true}}}
		r, err := Open(bytes.NewReader(data), int64(len(data)), o)
		if err != nil {
			t.Fatal(err)
		}
		count, peak := 0, int64(0)
		for _, err := range r.Objects() {
			if err != nil {
				t.Fatal(err)
			}
			if count++; count%10_000 == 5000 {
				peak = max(peak, heap()-before)
			}
		}
		if count != n || peak > limit {
			t.Errorf("Vertices %d: %d objects, %d bytes; want %d and at most %d", vertices, count, peak, n, limit)
		}
		t.Logf("Vertices %d: %d bytes in use at most", vertices, peak)
	}
}

// BenchmarkRead reads 50,000 square buildings.
func BenchmarkRead(b *testing.B) {
	f := &testFile{}
	for i := range 50_000 {
		f.ways = append(f.ways, testWay{int64(i + 1), f.square(int64(10*i+10), 120+float64(i%500)/500, 31+float64(i/500)/500, 0.0005, false), []string{"building", "yes", "height", "12", "name", "house"}})
	}
	data := f.encode()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if r := read(data, citymodel.FeatureOptions{}); r.err != nil || len(r.objects) != 50_000 {
			b.Fatal(r.err)
		}
	}
	b.ReportMetric(50_000*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
