package features

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/cityjson"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

func keyOf(dataset, id string) store.Key { return store.Key{Dataset: dataset, ID: id} }

// /req/crs/fc-crs-action, ogc-crs-header, crs-uri: 北寺塔 in the reference
// systems of the design, in the order of their axes. The numbers are PROJ's
// (package crs, TestLandmarkAxisOrder).
func TestPagodaCRS(t *testing.T) {
	w := newTown(t)
	pagoda := &spatial.CityObject{ID: "北寺塔", Class: spatial.ClassBuilding, Name: "北寺塔", CRS: crs.EPSG(4326), Geometries: []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{120.61540, 31.32454, 0}}}}
	w.put("osm", pagoda)
	for uri, want := range map[string][2]float64{
		"http://www.opengis.net/def/crs/OGC/1.3/CRS84": {120.61540, 31.32454},
		"http://www.opengis.net/def/crs/EPSG/0/4326":   {31.32454, 120.61540},
		"http://www.opengis.net/def/crs/EPSG/0/4490":   {31.32454, 120.61540},
		"http://www.opengis.net/def/crs/EPSG/0/4549":   {3467120.347, 558573.856},
		"http://www.opengis.net/def/crs/EPSG/0/4528":   {3467120.347, 40558573.856},
		"http://www.opengis.net/def/crs/EPSG/0/3857":   {13426844.910, 3674968.954},
		"http://www.opengis.net/def/crs/EPSG/0/32651":  {273095.931, 3468025.684},
	} {
		for _, path := range []string{"/items?crs=", "/items/osm:%E5%8C%97%E5%AF%BA%E5%A1%94?crs="} {
			rec := w.ask("GET", "/ogc/collections/buildings"+path+uri)
			doc := decode(t, rec.Body.Bytes())
			if doc["type"] == "FeatureCollection" {
				doc = at(doc, "features", 0).(map[string]any)
			}
			x, _ := at(doc, "geometry", "coordinates", 0).(float64)
			y, _ := at(doc, "geometry", "coordinates", 1).(float64)
			if math.Abs(x-want[0]) > 1e-3 || math.Abs(y-want[1]) > 1e-3 || x < 1000 && (x != want[0] || y != want[1]) || rec.Header().Get("Content-Crs") != "<"+uri+">" {
				t.Errorf("%s%s: %v %v (%s), want %v", path, uri, x, y, rec.Header().Get("Content-Crs"), want)
			}
		}
		// /req/crs/fc-bbox-crs-action: a box of two metres around it, and one beside it.
		d := 1.0
		if want[0] < 1000 {
			d = 1e-5
		}
		for shift, n := range map[float64]int{0: 1, 3 * d: 0} {
			q := fmt.Sprintf("/ogc/collections/buildings/items?bbox=%f,%f,%f,%f&bbox-crs=%s", want[0]-d+shift, want[1]-d, want[0]+d+shift, want[1]+d, uri)
			if got := len(ids(w.get(q))); got != n {
				t.Errorf("%s: %d, want %d", q, got, n)
			}
		}
	}
	// Where a CRS cannot be used is said, not guessed.
	w.put("osm", &spatial.CityObject{ID: "pole", Class: spatial.ClassWater, CRS: crs.EPSG(4326), Geometries: []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{-60, 0, 0}}}})
	if rec := w.ask("GET", "/ogc/collections/water/items?crs=EPSG:4549"); rec.Code != 400 {
		t.Errorf("America in EPSG:4549: %d %s", rec.Code, rec.Body)
	}
}

// JSON-FG: a solid is a Polyhedron in place, with the heights' own datum; the
// footprint is in geometry.
func TestJSONFG(t *testing.T) {
	w := newTown(t)
	w.put("cj", storetestHouse())
	path := "/ogc/collections/buildings/items/cj:house?f=jsonfg"
	doc := w.get(path)
	shell, _ := at(doc, "place", "coordinates", 0).([]any)
	if at(doc, "place", "type") != "Polyhedron" || len(shell) != 6 || doc["geometry"] != nil || fmt.Sprint(doc["conformsTo"]) != "["+jsonfgCore+" "+jsonfgSolids+"]" || doc["featureType"] != "Building" {
		t.Errorf("%v", doc)
	}
	if got := fmt.Sprint(doc["coordRefSys"]); got != "[http://www.opengis.net/def/crs/OGC/1.3/CRS84 http://www.opengis.net/def/crs/EPSG/0/5737]" {
		t.Errorf("coordRefSys %s", got)
	}
	if at(doc, "time", "interval", 0) != "2026-11-21T08:00:00Z" || at(doc, "time", "interval", 1) != ".." {
		t.Errorf("time %v", doc["time"])
	}
	if got := fmt.Sprint(at(doc, "place", "coordinates", 0, 0, 0, 0)); got != "[120.6 31.3 2]" {
		t.Errorf("the first point %s", got)
	}
	if plus := w.get(path + "&profile=jsonfg-plus"); at(plus, "geometry", "type") != "Polygon" || at(plus, "place", "type") != "Polyhedron" {
		t.Errorf("jsonfg-plus: %v", plus)
	}
	if old := w.get(path + "&profile=rfc7946"); old["place"] != nil || at(old, "geometry", "type") != "Polygon" {
		t.Errorf("rfc7946: %v", old)
	}
	if flat := w.get(path + "&lod=0"); flat["place"] != nil || at(flat, "geometry", "type") != "Polygon" {
		t.Errorf("lod=0: %v", flat)
	}
	lat := w.get("/ogc/collections/buildings/items?f=jsonfg&crs=EPSG:4326")
	if got := fmt.Sprint(at(lat, "features", 0, "place", "coordinates", 0, 0, 0, 0)); got != "[31.3 120.6 2]" || at(lat, "features", 0, "coordRefSys", 0) != "http://www.opengis.net/def/crs/EPSG/0/4326" {
		t.Errorf("latitude first: %s, %v", got, at(lat, "features", 0, "coordRefSys"))
	}
	rec := w.ask("GET", path)
	if !strings.Contains(rec.Header().Get("Link"), `rel="profile"`) || rec.Header().Get("Content-Type") != "application/vnd.ogc.fg+json" {
		t.Errorf("headers %v", rec.Header())
	}
}

// storetestHouse is a box of 2 m to 12 m above the Yellow Sea, in WGS 84.
func storetestHouse() *spatial.CityObject {
	const x, y, d, low, high = 120.6, 31.3, 0.0001, 2.0, 12.0
	p := [][3]float64{{x, y, low}, {x + d, y, low}, {x + d, y + d, low}, {x, y + d, low}, {x, y, high}, {x + d, y, high}, {x + d, y + d, high}, {x, y + d, high}}
	g := spatial.Geometry{Kind: spatial.Solid, LoD: "1", HasZ: true, Shells: []int32{6}, Solids: []int32{1}}
	for i, face := range [][4]int{{0, 3, 2, 1}, {4, 5, 6, 7}, {0, 1, 5, 4}, {1, 2, 6, 5}, {2, 3, 7, 6}, {3, 0, 4, 7}} {
		for _, j := range face {
			g.XYZ = append(g.XYZ, p[j][:]...)
		}
		g.Rings = append(g.Rings, int32(4*(i+1)))
		g.Surfaces = append(g.Surfaces, int32(i+1))
	}
	return &spatial.CityObject{ID: "house", Class: spatial.ClassBuilding, Type: "Building", CRS: spatial.CRS{Horizontal: 4326, Vertical: 5737, VerticalDatum: "EPSG:5737"}, Geometries: []spatial.Geometry{g}}
}

// The Rotterdam sample, whose solids are in EPSG:28992 and whose file
// does not say from where heights are measured: neither do we.
func TestRotterdam(t *testing.T) {
	dir := filepath.Join(testkit.DataDir(t, "cityjson-samples"), "rotterdam")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CityJSON in %s, %v", dir, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := cityjson.Open(f, info.Size(), citymodel.Options{File: files[0]})
	if err != nil {
		t.Fatal(err)
	}
	w := newTown(t)
	if _, err := w.store.Import(t.Context(), store.ImportOptions{Dataset: "rotterdam"}, r.Objects()); err != nil {
		t.Fatal(err)
	}
	doc := w.get("/ogc/collections/buildings/items?limit=1000&f=jsonfg&crs=EPSG:28992")
	n, tall := 0, 0
	for _, f := range doc["features"].([]any) {
		n++
		if at(f, "coordRefSys") == nil {
			continue
		}
		tall++
		if got := fmt.Sprint(at(f, "coordRefSys")); got != "http://www.opengis.net/def/crs/EPSG/0/28992" {
			t.Fatalf("%v: coordRefSys %s", at(f, "id"), got)
		}
		walkNumbers(at(f, "place", "coordinates"), func(p []any) {
			x, y, z := p[0].(float64), p[1].(float64), p[2].(float64)
			if x < 90000 || x > 92000 || y < 434000 || y > 437000 || z < -10 || z > 100 {
				t.Fatalf("%v: %v is not in the sample", at(f, "id"), p)
			}
		})
	}
	if n == 0 || float64(n) != doc["numberMatched"] || tall == 0 {
		t.Errorf("%d features, %d with heights, matched %v", n, tall, doc["numberMatched"])
	}
	t.Logf("%d features, %d with heights", n, tall)
}

// walkNumbers calls fn for the positions in coordinates.
func walkNumbers(v any, fn func([]any)) {
	list, _ := v.([]any)
	if len(list) > 0 {
		if _, ok := list[0].(float64); ok {
			fn(list)
			return
		}
	}
	for _, x := range list {
		walkNumbers(x, fn)
	}
}

func TestAppendFixed(t *testing.T) {
	for _, v := range []struct {
		v        float64
		decimals int
		want     string
	}{
		{120.6154, 9, "120.6154"}, {-0.5, 9, "-0.5"}, {0, 9, "0"}, {1e-9, 9, "0.000000001"}, {-1e-10, 9, "0"}, {180, 9, "180"}, {31.301000000000002, 9, "31.301"},
		{40558573.8564, 3, "40558573.856"}, {-0.0004, 3, "0"}, {12.999999, 3, "13"}, {1e300, 3, "1e+300"}, {math.NaN(), 3, "null"},
	} {
		if got := string(appendFixed(nil, v.v, v.decimals)); got != v.want {
			t.Errorf("%v to %d: %s, want %s", v.v, v.decimals, got, v.want)
		}
	}
}
