package gpkg

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

// TestGDAL lets GDAL validate the file, read it and change it. It needs
// gdal-bin and python3-gdal.
func TestGDAL(t *testing.T) {
	testkit.Require(t, "ogrinfo")
	const python = "/usr/bin/python3" // Debian's own, which has GDAL's modules
	if err := exec.Command(python, "-c", "import osgeo_utils.samples.validate_gpkg").Run(); err != nil {
		testkit.Missing(t, "GDAL's validate_gpkg is not installed (apt install python3-gdal)")
	}
	path := filepath.Join(t.TempDir(), "city.gpkg")
	s := open(t, path, time.Now)
	var objects []*spatial.CityObject
	for i := range 300 {
		objects = append(objects, storetest.House(string(rune('a'+i%26))+string(rune('a'+i/26)), i%20, i/20))
	}
	line := &spatial.CityObject{ID: "road", Class: spatial.ClassRoad, CRS: objects[0].CRS, Geometries: []spatial.Geometry{{Kind: spatial.MultiLine, Rings: []int32{2}, XYZ: []float64{120.5, 31.2, 0, 120.6, 31.3, 0}}}}
	objects = append(objects, line, &spatial.CityObject{ID: "bare", CRS: objects[0].CRS})
	for _, name := range []string{"旧", "新"} {
		objects[0].Name = name
		if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d"}, storetest.Objects(objects...)); err != nil {
			t.Fatal(err)
		}
	}
	checkFile(t, s.write)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	t.Log(run(python, "-m", "osgeo_utils.samples.validate_gpkg", "-v", "-k", "--extra", "--warning-as-error", path))
	out := run("ogrinfo", "-al", "-so", path)
	for _, want := range []string{"Feature Count: 300", "Extent: (120.600000, 31.300000) - (120.619100, 31.314100)", "Layer name: underground", "Feature Count: 1\nExtent: (120.500000, 31.200000) - (120.600000, 31.300000)", "ID[\"EPSG\",4326]", "valid_from: DateTime", "Layer name: cityhub_import"} {
		if !strings.Contains(out, want) {
			t.Errorf("ogrinfo does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "Warning") || strings.Contains(out, "ERROR") {
		t.Error(out)
	}
	// Only GDAL's SQLite has the functions that the triggers call.
	run(python, "-c", `import sys
from osgeo import ogr
d = ogr.Open(sys.argv[1], 1)
l = d.GetLayer('building')
f = l.GetFeature(1)
f.SetGeometry(ogr.CreateGeometryFromWkt('POINT (1 2)'))
assert l.SetFeature(f) == 0
l.DeleteFeature(3)
`, path)
	again := open(t, path, time.Now)
	checkFile(t, again.write)
	n, err := again.Count(t.Context(), store.Query{Class: spatial.ClassBuilding, BBox: &store.BBox{West: 1, South: 2, East: 1, North: 2}})
	if err != nil || n != 1 {
		t.Errorf("the feature that GDAL moved is found %d times, %v", n, err)
	}
}
