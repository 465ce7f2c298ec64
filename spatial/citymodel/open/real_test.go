package open

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

type result struct {
	objects  []*spatial.CityObject
	problems []citymodel.Problem
	info     citymodel.Info
	tally    citymodel.Tally
}

func (r *result) codes() (c []citymodel.Code) {
	for _, p := range r.problems {
		c = append(c, p.Code)
	}
	return c
}

// read reads the file at path, which must end without an error.
func read(t testing.TB, path string, o Options) (r result) {
	t.Helper()
	o.TempDir = t.TempDir()
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, done, err := File(t.Context(), path, o)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for obj, err := range reader.Objects() {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		r.objects = append(r.objects, obj)
	}
	r.info, r.tally = reader.Info(), reader.Tally()
	if err := done(); err != nil {
		t.Errorf("%s: closing: %v", path, err)
	}
	if left, err := os.ReadDir(o.TempDir); err != nil || len(left) > 0 {
		t.Errorf("%s: left behind %v, %v", path, left, err)
	}
	return r
}

// ogr2ogr converts the footprints of Suzhou's old town with GDAL.
func ogr2ogr(t testing.TB, to string, args ...string) string {
	t.Helper()
	program := testkit.Require(t, "ogr2ogr")
	from := filepath.Join(testkit.DataDir(t, "suzhou-oldtown-osm-buildings"), "suzhou_buildings.geojson")
	to = filepath.Join(t.TempDir(), to)
	if out, err := exec.Command(program, append(slices.Clone(args), to, from)...).CombinedOutput(); err != nil {
		t.Fatalf("ogr2ogr %s: %v\n%s", to, err, out)
	}
	return to
}

// TestGDALsOldTown compares what GDAL wrote in each format with what the
// GeoJSON, from which it wrote it, says to our own reader of GeoJSON, whose
// figures are checked by themselves.
func TestGDALsOldTown(t *testing.T) {
	building := Options{FeatureOptions: citymodel.FeatureOptions{Options: citymodel.Options{Class: spatial.ClassBuilding}}}
	want := read(t, filepath.Join(testkit.DataDir(t, "suzhou-oldtown-osm-buildings"), "suzhou_buildings.geojson"), building)
	if len(want.objects) != 8242 {
		t.Fatalf("%d objects in the GeoJSON", len(want.objects))
	}
	for _, c := range []struct {
		name, format string
		rename       func(string) string // of an attribute
		args         []string
		places       float64 // how exact the coordinates are
	}{
		{"buildings.shp", "Shapefile", tenBytes, []string{"-f", "ESRI Shapefile", "-lco", "ENCODING=UTF-8"}, 0},
		{"gbk.shp", "Shapefile", tenBytes, []string{"-f", "ESRI Shapefile", "-lco", "ENCODING=CP936"}, 0},
		{"zipped.shz", "Shapefile", tenBytes, []string{"-f", "ESRI Shapefile", "-lco", "ENCODING=UTF-8"}, 0},
		{"buildings.csv", "CSV", nil, []string{"-f", "CSV", "-lco", "GEOMETRY=AS_WKT"}, 1e-9},
		{"semicolon.csv", "CSV", nil, []string{"-f", "CSV", "-lco", "GEOMETRY=AS_WKT", "-lco", "SEPARATOR=SEMICOLON", "-lco", "WRITE_BOM=YES"}, 1e-9},
		{"buildings.gpkg", "GeoPackage", nil, []string{"-f", "GPKG"}, 0},
		{"names.gpkg", "GeoPackage", nil, []string{"-f", "GPKG", "-lco", "FID=nr", "-lco", "GEOMETRY_NAME=was da ist"}, 0},
		{"old.kml", "KML", nil, []string{"-f", "KML"}, 1e-9},
		{"lib.kml", "KML", nil, []string{"-f", "LIBKML", "-limit", "400"}, 1e-9},
		{"lib.kmz", "KML", nil, []string{"-f", "LIBKML", "-limit", "400"}, 1e-9},
		{"seq.geojsonl", "GeoJSONSeq", nil, []string{"-f", "GeoJSONSeq", "-lco", "COORDINATE_PRECISION=9"}, 1e-9},
		{"rs.txt", "GeoJSONSeq", nil, []string{"-f", "GeoJSONSeq", "-lco", "RS=YES", "-lco", "COORDINATE_PRECISION=9"}, 1e-9},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := ogr2ogr(t, c.name, c.args...)
			got := read(t, path, building)
			if got.info.Format != c.format || got.info.CRS.Horizontal != spatial.CRS84 {
				t.Errorf("%s in %v, want %s in WGS 84", got.info.Format, got.info.CRS, c.format)
			}
			if got.tally.Dropped != 0 || got.tally.Objects != len(got.objects) {
				t.Errorf("%+v\n%v", got.tally, got.problems[:min(5, len(got.problems))])
			}
			objects := want.objects
			if slices.Contains(c.args, "-limit") { // this driver of GDAL takes minutes for all
				objects = objects[:400]
			}
			compare(t, got.objects, objects, c.rename, c.places)
		})
	}
}

// tenBytes is what a Shapefile leaves of the name of an attribute.
func tenBytes(name string) string { return name[:min(10, len(name))] }

// compare compares objects in their order: attributes, heights, points, areas.
func compare(t *testing.T, got, want []*spatial.CityObject, rename func(string) string, places float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d objects, want %d", len(got), len(want))
	}
	var gotArea, wantArea float64
	wrong := 0
	values := 0
	// CP936 has no 㳒, which one name has; GDAL leaves it out.
	loses := func(text string) string { return text }
	if strings.HasPrefix(t.Name(), "TestGDALsOldTown/gbk") {
		loses = func(text string) string { return strings.ReplaceAll(text, "㳒", "") }
	}
	for i, w := range want {
		g := got[i]
		if g.Name != loses(w.Name) || g.Height.Metres != w.Height.Metres || g.Class != w.Class || len(g.Geometries) != len(w.Geometries) {
			t.Errorf("object %d: %q, %v, %q, %d geometries; want %q, %v, %q, %d", i, g.Name, g.Height, g.Class, len(g.Geometries), w.Name, w.Height, w.Class, len(w.Geometries))
			wrong++
		}
		for _, a := range w.Attributes {
			if a.Value.Kind() == spatial.Null {
				continue
			}
			name := a.Name
			if rename != nil {
				name = rename(name)
			}
			values++
			v, ok := g.Attributes.Get(name)
			if n, isNumber := a.Value.Number(); isNumber {
				m, _ := v.Number()
				ok = ok && math.Abs(m-n) <= 1e-9*math.Abs(n)
			} else {
				ok = ok && v.String() == loses(a.Value.String())
			}
			if !ok {
				t.Errorf("object %d: attribute %s is %q, want %q", i, name, v.String(), a.Value.String())
				wrong++
			}
		}
		for k := range min(len(g.Geometries), len(w.Geometries)) {
			a, b := &g.Geometries[k], &w.Geometries[k]
			gotArea += a.Area()
			wantArea += b.Area()
			if a.Kind != b.Kind || a.HasZ != b.HasZ || a.NumPoints() != b.NumPoints() || !slices.Equal(a.Rings, b.Rings) || !slices.Equal(a.Surfaces, b.Surfaces) {
				t.Errorf("object %d: %v of %d points in %v, want %v of %d in %v", i, a.Kind, a.NumPoints(), a.Rings, b.Kind, b.NumPoints(), b.Rings)
				wrong++
			}
			x, y := a.Bounds(), b.Bounds()
			for j := range 3 {
				if math.Abs(x.Min[j]-y.Min[j]) > places || math.Abs(x.Max[j]-y.Max[j]) > places {
					t.Errorf("object %d: bounds %v, want %v", i, x, y)
					wrong++
				}
			}
		}
		if wrong > 10 {
			t.Fatal("and so on")
		}
	}
	if values == 0 || math.Abs(gotArea-wantArea) > 1e-5*wantArea {
		t.Errorf("%d values, area %v, want %v", values, gotArea, wantArea)
	}
}
