package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/wkb"
	"github.com/paulmach/orb/encoding/wkt"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/cql2"
	"cityhub/spatial/crs"
)

var update = flag.Bool("update", false, "write the golden files")

func columns() []Column {
	return []Column{{"name", Text}, {"levels", Integer}, {"height_m", Number}, {"open", Bool}, {"seen", Time}, {"attributes", JSON}}
}

var seen = time.Date(2026, 11, 21, 8, 30, 15, 250e6, time.UTC)

// rows has every type of geometry and of value, nulls, and what harms.
func rows() []*Row {
	square := func(x, y, d float64) orb.Ring {
		return orb.Ring{{x, y}, {x + d, y}, {x + d, y + d}, {x, y + d}, {x, y}}
	}
	all := func(name string) []Value {
		return []Value{TextOf(name), IntegerOf(9), NumberOf(76.25), BoolOf(true), TimeOf(seen), JSONOf(`{"k":["a",1]}`)}
	}
	return []*Row{
		{"osm/way/206076447", orb.Point{120.6154, 31.32454}, all("北寺塔")},
		{"2", orb.MultiPoint{{120.6, 31.3}, {120.61, 31.31}}, all(`=HYPERLINK("http://x","y")`)},
		{"3", orb.LineString{{120.6, 31.3}, {120.61, 31.31}}, all("a,\"b\"\r\nc")},
		{"4", orb.MultiLineString{{{120.6, 31.3}, {120.61, 31.31}}, {{120.62, 31.3}, {120.63, 31.31}}}, all("-1+1")},
		{"5", orb.Polygon{square(120.6, 31.3, 0.01), square(120.602, 31.302, 0.001)}, all("@x")},
		{"6", orb.MultiPolygon{{square(120.6, 31.3, 0.01)}, {square(120.62, 31.3, 0.01)}}, all(" spaces ")},
		{"7", nil, make([]Value, 6)},
		{"8", orb.Collection{orb.Point{120.6, 31.3}, orb.LineString{{120.6, 31.3}, {120.61, 31.31}}}, []Value{TextOf("x"), IntegerOf(math.MaxInt64), NumberOf(math.NaN()), BoolOf(false), TimeOf(time.Time{}), JSONOf("")}},
	}
}

func write(t *testing.T, f Format, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	o.Columns, o.Now, o.TempDir = columns(), func() time.Time { return seen }, t.TempDir()
	w, err := New(&b, f, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows() {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.Abort()
	if left, err := os.ReadDir(o.TempDir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

func TestGeoJSON(t *testing.T) {
	b := write(t, GeoJSON, Options{Meta: []byte(`{"timeZone":"Asia/Shanghai"}`)})
	golden(t, "all.geojson", b)
	var fc struct {
		Features []struct {
			ID       string
			Geometry json.RawMessage
		}
		NumberReturned int
		TimeZone       string
	}
	if err := json.Unmarshal(b, &fc); err != nil {
		t.Fatal(err)
	}
	for i, r := range rows() {
		f := fc.Features[i]
		if f.ID != r.ID {
			t.Errorf("%d: %v, want %v", i, f.ID, r.ID)
		}
		if r.Geometry == nil {
			if string(f.Geometry) != "null" {
				t.Errorf("%d: %s", i, f.Geometry)
			}
			continue
		}
		// The filter language reads GeoJSON geometries.
		e, err := cql2.ParseJSON([]byte(`{"op":"s_intersects","args":[{"property":"g"},`+string(f.Geometry)+`]}`), cql2.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if g := e.(*cql2.Call).Args[1].(*cql2.Geometry).Geom; !reflect.DeepEqual(g, r.Geometry) {
			t.Errorf("%d: %v, want %v", i, g, r.Geometry)
		}
	}
	if fc.TimeZone != "Asia/Shanghai" || fc.NumberReturned != 8 {
		t.Errorf("members %q %d", fc.TimeZone, fc.NumberReturned)
	}
	if _, err := New(io.Discard, GeoJSON, Options{CRS: byCode(t, 4549)}); err == nil {
		t.Error("RFC 7946 has one CRS")
	}
}

func TestCSV(t *testing.T) {
	for name, o := range map[string]Options{"wkt.csv": {}, "lonlat.csv": {Geometry: LonLat, BOM: true}, "none.csv": {Geometry: Without}} {
		b := write(t, CSV, o)
		golden(t, name, b)
		if o.BOM != bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
			t.Errorf("%s: byte order mark", name)
		}
		records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))).ReadAll()
		if err != nil || len(records) != 9 {
			t.Fatalf("%s: %d records, %v", name, len(records), err)
		}
		for i, r := range rows() {
			got := records[i+1]
			if first := got[0]; first != "" && strings.ContainsAny(first[:1], "=+-@\t\r") {
				t.Errorf("%s: a formula: %q", name, first)
			}
			if o.Geometry == WKT && r.Geometry != nil {
				if g, err := wkt.Unmarshal(got[6]); err != nil || !reflect.DeepEqual(g, r.Geometry) {
					t.Errorf("%s: %v, want %v, %v", name, g, r.Geometry, err)
				}
			}
		}
		if records[8][2] != "" || records[8][1] != "9223372036854775807" || records[1][4] != "2026-11-21T08:30:15.25Z" {
			t.Errorf("%s: values %v", name, records[8])
		}
	}
}

func byCode(t *testing.T, code int) *crs.CRS {
	t.Helper()
	c, err := crs.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCRS: 北寺塔 in every CRS that is written, against PROJ's cs2cs.
func TestCRS(t *testing.T) {
	for code, want := range map[int]orb.Point{
		4490: {120.6154, 31.32454},
		// echo 31.32454 120.6154 | cs2cs -f %.3f EPSG:4326 EPSG:CODE (axes swapped to east first)
		4549: {558573.856, 3467120.347}, 4528: {40558573.856, 3467120.347}, 3857: {13426844.910, 3674968.954},
	} {
		b := write(t, CSV, Options{CRS: byCode(t, code)})
		records, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		g, err := wkt.UnmarshalPoint(records[1][6])
		if err != nil || math.Abs(g[0]-want[0]) > 0.002 || math.Abs(g[1]-want[1]) > 0.002 {
			t.Errorf("EPSG:%d: %v, want %v, %v", code, g, want, err)
		}
	}
	if _, err := New(io.Discard, CSV, Options{CRS: byCode(t, 28992)}); err == nil {
		t.Error("EPSG:28992 has no definition here")
	}
}

func TestGeoParquet(t *testing.T) {
	b := write(t, GeoParquet, Options{Meta: []byte(`{"timeZone":"Asia/Shanghai"}`)})
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range f.Schema().Fields() {
		names = append(names, c.Name())
	}
	if want := []string{"name", "levels", "height_m", "open", "seen", "attributes", "geometry", "bbox"}; !reflect.DeepEqual(names, want) {
		t.Errorf("columns %v, want %v", names, want)
	}
	text, _ := f.Lookup("geo")
	var geo struct {
		Version string
		Primary string `json:"primary_column"`
		Columns map[string]struct {
			Encoding string
			Types    []string `json:"geometry_types"`
			BBox     []float64
			CRS      struct {
				ID struct {
					Authority string
					Code      any
				}
			}
			Covering struct{ BBox map[string][]string }
		}
	}
	if err := json.Unmarshal([]byte(text), &geo); err != nil {
		t.Fatal(err)
	}
	c := geo.Columns["geometry"]
	x := 120.62 // a variable, so that the sum is rounded as that of the rows is
	if geo.Version != "1.1.0" || geo.Primary != "geometry" || c.Encoding != "WKB" || len(c.Types) != 7 || c.CRS.ID.Code != "CRS84" ||
		!reflect.DeepEqual(c.BBox, []float64{120.6, 31.3, x + 0.01, 31.32454}) || !reflect.DeepEqual(c.Covering.BBox["ymax"], []string{"bbox", "ymax"}) {
		t.Errorf("metadata %s", text)
	}
	got := make([]parquet.Row, 10)
	r := f.RowGroups()[0].Rows()
	defer r.Close()
	n, err := r.ReadRows(got)
	if n != 8 || err != nil && err != io.EOF {
		t.Fatalf("%d rows, %v", n, err)
	}
	for i, want := range rows() {
		row := got[i]
		if row[6].IsNull() != (want.Geometry == nil) {
			t.Fatalf("row %d: %v", i, row[6])
		}
		if want.Geometry == nil {
			continue
		}
		g, err := wkb.Unmarshal(row[6].ByteArray())
		if err != nil || !reflect.DeepEqual(g, want.Geometry) {
			t.Errorf("row %d: %v, %v", i, g, err)
		}
		box := g.Bound()
		if row[7].Double() != box.Min[0] || row[8].Double() != box.Min[1] || row[9].Double() != box.Max[0] || row[10].Double() != box.Max[1] {
			t.Errorf("row %d: bbox %v, want %v", i, row[7:], box)
		}
		if row[0].String() != want.Values[0].Text || row[1].Int64() != want.Values[1].Int || row[2].IsNull() != !want.Values[2].Set {
			t.Errorf("row %d: %v", i, row)
		}
	}
	if got[0][4].Int64() != seen.UnixMicro() {
		t.Errorf("time %v", got[0][4])
	}
}

// TestGeoPackage lets GDAL validate the file and read it. It needs gdal-bin and
// python3-gdal.
func TestGeoPackage(t *testing.T) {
	testkit.Require(t, "ogrinfo")
	const python = "/usr/bin/python3" // Debian's own, which has GDAL's modules
	if err := exec.Command(python, "-c", "import osgeo_utils.samples.validate_gpkg").Run(); err != nil {
		testkit.Missing(t, "GDAL's validate_gpkg is not installed (apt install python3-gdal)")
	}
	for _, o := range []Options{{Name: "建筑 \"x\"", Title: "建筑", Meta: []byte(`{"a":"it's"}`)}, {CRS: byCode(t, 4549)}} {
		path := filepath.Join(t.TempDir(), "x.gpkg")
		if err := os.WriteFile(path, write(t, GeoPackage, o), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(python, "-m", "osgeo_utils.samples.validate_gpkg", "-v", "-k", "--extra", "--warning-as-error", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err = exec.Command("ogrinfo", "-al", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		want := []string{"Feature Count: 8", "name: String", "levels: Integer64", "height_m: Real", "open: Integer(Boolean)", "seen: DateTime", "attributes: String",
			"北寺塔", "seen (DateTime) = 2026/11/21 08:30:15.250+00", "levels (Integer64) = 9223372036854775807", `name (String) = =HYPERLINK("http://x","y")`}
		if o.CRS == nil {
			want = append(want, "POINT (120.6154 31.32454)", "Extent: (120.600000, 31.300000) - (120.630000, 31.324540)", `ID["EPSG",4326]`)
		} else {
			want = append(want, "POINT (558573.85", `ID["EPSG",4549]`)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("ogrinfo does not say %q:\n%s", w, out)
			}
		}
		if strings.Contains(string(out), "Warning") || strings.Contains(string(out), "ERROR") {
			t.Error(string(out))
		}
	}
}

// The folder for temporary files may be named as a hub's data folder is by
// default: relative to where the program was started.
func TestRelativeTempDir(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	if b := write(t, GeoPackage, Options{TempDir: "tmp"}); !bytes.HasPrefix(b, []byte("SQLite format 3\x00")) {
		t.Errorf("the file begins with %.20q", b)
	}
	if left, err := os.ReadDir("tmp"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestAbort(t *testing.T) {
	for _, f := range Formats() {
		dir := t.TempDir()
		w, err := New(io.Discard, f, Options{Columns: columns(), TempDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(rows()[0]); err != nil {
			t.Error(err)
		}
		if err := w.Write(&Row{}); err == nil {
			t.Errorf("%s: a row without values", f)
		}
		w.Abort()
		w.Abort()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", f, left, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{Columns: []Column{{"a", Text}, {"A", Text}}}, {Columns: []Column{{"", Text}}}, {Columns: []Column{{"FID", Text}}},
	} {
		if _, err := New(io.Discard, CSV, o); err == nil {
			t.Errorf("%v is accepted", o.Columns)
		}
	}
	if _, err := New(io.Discard, "xlsx", Options{}); err == nil {
		t.Error("xlsx is accepted")
	}
	if _, err := New(io.Discard, GeoPackage, Options{Name: "gpkg_contents", TempDir: t.TempDir()}); err == nil {
		t.Error("gpkg_contents is accepted")
	}
	if _, err := New(io.Discard, CSV, Options{Geometry: LonLat, Columns: []Column{{"lon", Text}}}); err == nil {
		t.Error("two columns lon")
	}
}

func TestFootprint(t *testing.T) {
	flat := func(k spatial.Kind, xy []float64, rings, surfaces []int32) *spatial.Geometry {
		g := &spatial.Geometry{Kind: k, Rings: rings, Surfaces: surfaces}
		for i := 0; i < len(xy); i += 2 {
			g.XYZ = append(g.XYZ, xy[i], xy[i+1], 7)
		}
		return g
	}
	for want, g := range map[string]*spatial.Geometry{
		"POINT(1 2)":                                            flat(spatial.MultiPoint, []float64{1, 2}, nil, nil),
		"MULTIPOINT((1 2),(3 4))":                               flat(spatial.MultiPoint, []float64{1, 2, 3, 4}, nil, nil),
		"LINESTRING(1 2,3 4)":                                   flat(spatial.MultiLine, []float64{1, 2, 3, 4}, []int32{2}, nil),
		"MULTILINESTRING((1 2,3 4),(5 6,7 8))":                  flat(spatial.MultiLine, []float64{1, 2, 3, 4, 5, 6, 7, 8}, []int32{2, 4}, nil),
		"POLYGON((0 0,4 0,4 4,0 0))":                            flat(spatial.MultiSurface, []float64{0, 0, 4, 0, 4, 4}, []int32{3}, []int32{1}),
		"POLYGON((0 0,9 0,9 9,0 0),(2 1,4 2,4 1,2 1))":          flat(spatial.MultiSurface, []float64{0, 0, 9, 0, 9, 9, 2, 1, 4, 2, 4, 1}, []int32{3, 6}, []int32{2}),
		"MULTIPOLYGON(((0 0,4 0,4 4,0 0)),((5 5,6 5,6 6,5 5)))": flat(spatial.MultiSurface, []float64{0, 0, 4, 0, 4, 4, 5, 5, 6, 5, 6, 6}, []int32{3, 6}, []int32{1, 2}),
	} {
		if got := wkt.MarshalString(Footprint(g)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if Footprint(nil) != nil || Footprint(&spatial.Geometry{Kind: spatial.MultiSurface}) != nil {
		t.Error("nothing has a footprint")
	}
}

func BenchmarkWrite(b *testing.B) {
	row := rows()[4]
	for _, f := range Formats() {
		b.Run(string(f), func(b *testing.B) {
			w, err := New(io.Discard, f, Options{Columns: columns(), TempDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Write(row); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
