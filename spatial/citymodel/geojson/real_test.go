package geojson

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

func readFile(t *testing.T, path string, o Options) result {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r := collect(o, func(o Options) (citymodel.Reader, error) { return Open(f, st.Size(), o) })
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r
}

// The numbers are what testdata/measure.py prints, which shares no code with
// this package and adds in exact integers.
func TestSuzhouOldTown(t *testing.T) {
	path := filepath.Join(testkit.DataDir(t, "suzhou-oldtown-osm-buildings"), "suzhou_buildings.geojson")
	r := readFile(t, path, Options{Options: citymodel.Options{Class: spatial.ClassBuilding}})
	box := spatial.EmptyBox()
	var named, points, other int
	var heights, area float64
	ids := map[string]bool{}
	for _, o := range r.objects {
		ids[o.ID] = true
		box = box.Union(o.Bounds())
		heights += o.Height.Metres
		if o.Height.Metres != 10 {
			other++
		}
		if o.Name != "" {
			named++
		}
		if o.Class != spatial.ClassBuilding || o.CRS.Horizontal != spatial.CRS84 || len(o.Geometries) != 1 {
			t.Fatalf("%+v", o)
		}
		g := &o.Geometries[0]
		if err := g.Valid(); err != nil || g.HasZ || g.LoD != "0" {
			t.Fatalf("%s: %v, heights %v, LoD %s", o.ID, err, g.HasZ, g.LoD)
		}
		points += g.NumPoints()
		area += g.Area()
	}
	if len(r.objects) != 8242 || len(ids) != 8242 || named != 303 || points != 40477 || other != 24 {
		t.Errorf("%d objects, %d ids, %d named, %d points, %d not 10 m high; want 8242, 8242, 303, 40477, 24", len(r.objects), len(ids), named, points, other)
	}
	if want := (spatial.Box{Min: [3]float64{120.5994942, 31.2992675, 0}, Max: [3]float64{120.6507862, 31.3488577, 0}}); box != want {
		t.Errorf("extent %v, want %v", box, want)
	}
	if math.Abs(heights-82503.46) > 1e-6 {
		t.Errorf("sum of heights %v, want 82503.46", heights)
	}
	if want := 48065896498 / 2e14; math.Abs(area-want) > 1e-9*want {
		t.Errorf("sum of areas %v square degrees, want %v", area, want)
	}
	// The landmark: 北寺塔 stands at 120.61540 E, 31.32454 N; longitude is first.
	pagoda := r.objects[0]
	b := pagoda.Bounds()
	if pagoda.Name != "北寺塔" || pagoda.Height != (spatial.Height{Metres: 76, From: "height"}) || math.Abs((b.Min[0]+b.Max[0])/2-120.61540) > 1e-4 || math.Abs((b.Min[1]+b.Max[1])/2-31.32454) > 1e-4 {
		t.Errorf("%s, %v, %v", pagoda.Name, pagoda.Height, b)
	}
	if r.tally.Errors != count(r.problems, citymodel.SeverityError) || count(r.problems, citymodel.SeverityWarning) != r.tally.Warnings {
		t.Errorf("tally %+v of %d problems", r.tally, len(r.problems))
	}
}

func count(problems []citymodel.Problem, s citymodel.Severity) (n int) {
	for _, p := range problems {
		if p.Severity == s {
			n++
		}
	}
	return n
}

// Counted with Python's json module: features, parts, positions without the
// repeated last one of each ring.
func TestSuzhouBoundaries(t *testing.T) {
	dir := testkit.DataDir(t, "suzhou-boundary-npm")
	city := readFile(t, filepath.Join(dir, "suzhou-city.geojson"), Options{})
	if len(city.objects) != 1 || city.objects[0].Name != "苏州" || len(city.objects[0].Geometries[0].Surfaces) != 4 {
		t.Errorf("%d objects, %+v", len(city.objects), city.objects)
	}
	districts := readFile(t, filepath.Join(dir, "suzhou-districts.geojson"), Options{})
	if len(districts.objects) != 9 || districts.objects[1].ID != "320508" || districts.objects[1].Name != "姑苏区" {
		t.Errorf("%d districts", len(districts.objects))
	}
	gardens := readFile(t, filepath.Join(testkit.DataDir(t, "suzhou-gardens"), "suzhou_districts.json"), Options{IDProperty: "adcode"})
	want := map[string]int{"320505": 193, "320506": 404, "320507": 253, "320508": 73, "320509": 343, "320581": 331, "320582": 151, "320583": 383, "320585": 258}
	for _, o := range gardens.objects {
		g := o.Geometries[0]
		if n := g.NumPoints() + len(g.Rings); n != want[o.ID] {
			t.Errorf("%s: %d positions, want %d", o.ID, n, want[o.ID])
		}
	}
	if len(gardens.objects) != 9 {
		t.Errorf("%d districts, want 9", len(gardens.objects))
	}
}
