package features

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cityhub/internal/testkit"
)

// TestGDAL lets GDAL's OAPIF driver read the collections completely and make a
// GeoPackage of them that its validator accepts. It needs gdal-bin and
// python3-gdal.
func TestGDAL(t *testing.T) {
	testkit.Require(t, "ogrinfo")
	testkit.Require(t, "ogr2ogr")
	const python = "/usr/bin/python3" // Debian's own, which has GDAL's modules
	if err := exec.Command(python, "-c", "import osgeo_utils.samples.validate_gpkg").Run(); err != nil {
		testkit.Missing(t, "GDAL's validate_gpkg is not installed (apt install python3-gdal)")
	}
	w := village(t)
	w.oldTown()
	server := httptest.NewServer(w)
	defer server.Close()
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "ERROR") {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	source := "OAPIF:" + server.URL + "/ogc"
	out := run("ogrinfo", "-ro", "-so", "-al", source)
	for _, want := range []string{"Layer name: buildings", "Feature Count: 8254", "Layer name: roads", "Layer name: terminals", "Layer name: live", "Layer name: districts", "storeys: Integer", "pm25: Real"} {
		if !strings.Contains(out, want) {
			t.Errorf("ogrinfo does not say %q:\n%s", want, out)
		}
	}
	// Page by page, and by a box and a filter of GDAL's own.
	gpkg := filepath.Join(t.TempDir(), "out.gpkg")
	run("ogr2ogr", "-oo", "PAGE_SIZE=1000", gpkg, source, "buildings")
	out = run("ogrinfo", "-so", gpkg, "buildings")
	b := w.get("/ogc/collections/buildings")["extent"]
	var box [4]float64
	for i := range box {
		box[i] = at(b, "spatial", "bbox", 0, i).(float64)
	}
	extent := fmt.Sprintf("Extent: (%.6f, %.6f) - (%.6f, %.6f)", box[0], box[1], box[2], box[3])
	for _, want := range []string{"Feature Count: 8254", extent} {
		if !strings.Contains(out, want) {
			t.Errorf("the GeoPackage does not say %q:\n%s", want, out)
		}
	}
	t.Log(run(python, "-m", "osgeo_utils.samples.validate_gpkg", "-v", gpkg))
	out = run("ogrinfo", "-ro", "-al", "-geom=NO", "-spat", "120.6150", "31.3243", "120.6157", "31.3248", source, "buildings")
	if !strings.Contains(out, "北寺塔") || strings.Contains(out, "Feature Count: 8254") {
		t.Errorf("at the pagoda: %s", out)
	}
	out = run("ogrinfo", "-ro", "-al", "-geom=NO", "-where", "name = '北寺塔'", source, "buildings")
	if !strings.Contains(out, "Feature Count: 1") {
		t.Errorf("by its name: %s", out)
	}
}

// TestOWSLib lets OWSLib read the collections, page through one and filter it.
// It needs python3-owslib.
func TestOWSLib(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import owslib.ogcapi.features").Run(); err != nil {
		testkit.Missing(t, "OWSLib is not installed (apt install python3-owslib)")
	}
	w := village(t)
	w.oldTown()
	server := httptest.NewServer(w)
	defer server.Close()
	out, err := exec.CommandContext(t.Context(), python, "-c", `
import json, sys
from owslib.ogcapi.features import Features
s = Features(sys.argv[1])
out = {"collections": [c["id"] for c in s.collections()["collections"]], "features": s.feature_collections(), "conformance": len(s.conformance()["conformsTo"]), "paths": len(s.api()["paths"])}
out["queryables"] = sorted(s.collection_queryables("buildings")["properties"])[:3]
seen = set()
page = s.collection_items("buildings", limit=3000)
while True:
    seen |= {f["id"] for f in page["features"]}
    next = [l["href"] for l in page["links"] if l["rel"] == "next"]
    if not next: break
    import requests
    page = requests.get(next[0]).json()
out["seen"] = len(seen)
out["pagoda"] = s.collection_items("buildings", name="北寺塔")["numberReturned"]
out["box"] = s.collection_items("buildings", bbox=[120.6150, 31.3243, 120.6157, 31.3248])["numberReturned"]
out["one"] = s.collection_item("buildings", "osm:way~2F3")["properties"]["storeys"]
print(json.dumps(out))
`, server.URL+"/ogc").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	var got struct {
		Collections, Features                      []string
		Conformance, Paths, Seen, Pagoda, Box, One int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Collections) != 9 || len(got.Features) != 9 || got.Conformance < 20 || got.Paths < 30 || got.Seen != 8254 || got.Pagoda != 1 || got.Box < 1 || got.One != 4 {
		t.Errorf("%+v", got)
	}
}

// The old town: every building, counted and filtered as the file has it.
func TestOldTown(t *testing.T) {
	w := newTown(t)
	w.oldTown()
	doc := w.get("/ogc/collections/buildings/items?limit=10000")
	if doc["numberMatched"] != 8242.0 || doc["numberReturned"] != 8242.0 {
		t.Fatalf("%v of %v", doc["numberReturned"], doc["numberMatched"])
	}
	pagoda := w.get("/ogc/collections/buildings/items?name=%E5%8C%97%E5%AF%BA%E5%A1%94")
	c := at(pagoda, "features", 0, "geometry", "coordinates", 0, 0)
	if len(ids(pagoda)) != 1 || at(pagoda, "features", 0, "properties", "height") != 76.0 || at(c, 0) != 120.6154995 || at(c, 1) != 31.3244012 {
		t.Errorf("北寺塔: %v", pagoda)
	}
	// RFC 7946, section 3.1.6: exterior rings counter-clockwise.
	for _, f := range doc["features"].([]any) {
		ring, _ := at(f, "geometry", "coordinates", 0).([]any)
		if at(f, "geometry", "type") != "Polygon" {
			continue
		}
		var area float64
		x0, y0 := ring[0].([]any)[0].(float64), ring[0].([]any)[1].(float64)
		for i := 1; i < len(ring); i++ {
			a, b := ring[i-1].([]any), ring[i].([]any)
			area += (a[0].(float64)-x0)*(b[1].(float64)-y0) - (b[0].(float64)-x0)*(a[1].(float64)-y0)
		}
		if area < 0 || math.IsNaN(area) {
			t.Fatalf("%v runs clockwise", at(f, "id"))
		}
	}
}
