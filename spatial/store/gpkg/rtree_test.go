package gpkg

import (
	"path/filepath"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

// TestBuiltIndex builds an R*Tree of three levels, asks it, and lets SQLite
// check it, then change it and check it again.
func TestBuiltIndex(t *testing.T) {
	for _, n := range []int{1, rtreePack, rtreePack + 1, 5000} {
		s := open(t, filepath.Join(t.TempDir(), "city.gpkg"), time.Now)
		put := func(k int, name string) {
			t.Helper()
			if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d", Complete: true}, storetest.Features(k, name, 0)); err != nil {
				t.Fatal(err)
			}
			checkFile(t, s.write)
		}
		put(n, "a")
		var depth int
		if err := s.write.QueryRow(`SELECT rtreedepth(data) FROM rtree_building_geom_node WHERE nodeno = 1`).Scan(&depth); err != nil {
			t.Fatal(err)
		}
		if want := map[int]int{1: 0, rtreePack: 0, rtreePack + 1: 1, 5000: 2}[n]; depth != want {
			t.Errorf("%d features: depth %d, want %d", n, depth, want)
		}
		q := store.Query{Class: spatial.ClassBuilding, BBox: &store.BBox{West: 120.30195, South: 30.9, East: 120.30385, North: 31.00025}}
		want := int64(0)
		for o := range storetest.Features(n, "a", 0) {
			b := o.Bounds()
			if q.BBox.Intersects(b.Min[0], b.Min[1], b.Max[0], b.Max[1]) {
				want++
			}
		}
		if got, err := s.Count(t.Context(), q); err != nil || got != want {
			t.Errorf("%d features: %d in the box, %v; want %d", n, got, err, want)
		}
		put(n+100, "a")  // adds
		put(n/2+1, "a")  // takes away
		put(n/2+90, "b") // changes
	}
}
