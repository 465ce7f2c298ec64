package gpkg

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/store"
)

// TestSuzhouOldTown stores the 8 242 buildings, twice.
func TestSuzhouOldTown(t *testing.T) {
	path := filepath.Join(testkit.DataDir(t, "suzhou-oldtown-osm-buildings"), "suzhou_buildings.geojson")
	s := open(t, filepath.Join(t.TempDir(), "city.gpkg"), time.Now)
	for i, want := range []store.ImportResult{{Added: 8242}, {Unchanged: 8242}} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		r, err := geojson.Open(f, info.Size(), geojson.Options{Options: citymodel.Options{File: "suzhou_buildings.geojson", Class: spatial.ClassBuilding}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Import(t.Context(), store.ImportOptions{Dataset: "osm", Complete: true}, r.Objects())
		if err != nil {
			t.Fatal(err)
		}
		if got.At = (time.Time{}); got != want {
			t.Errorf("import %d: %+v, want %+v", i, got, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	e, err := s.Extent(t.Context(), spatial.ClassBuilding)
	if err != nil || e.Empty || e.West < 120.5 || e.East > 120.8 || e.South < 31.2 || e.North > 31.5 {
		t.Errorf("extent %+v, %v; expected the old town of Suzhou", e, err)
	}
	n, err := s.Count(t.Context(), store.Query{Class: spatial.ClassBuilding, BBox: &e})
	if err != nil || n != 8242 {
		t.Errorf("%d buildings in their own extent, %v", n, err)
	}
	checkFile(t, s.write)
}
