package gpkg

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

// TestFullDisk imports until the disk is full: an error that says so, nothing
// half-imported, and the next import, which fits, succeeds.
func TestFullDisk(t *testing.T) {
	s := open(t, filepath.Join(testkit.Tmpfs(t, 8<<20), "city.gpkg"), time.Now)
	if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d"}, storetest.Features(100, "a", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.Exec(`PRAGMA cache_size(100)`); err != nil { // so that pages spill in the middle
		t.Fatal(err)
	}
	r, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d", Complete: true}, storetest.Features(50_000, "b", 0))
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.Unavailable || e.Hint == "" || r != (store.ImportResult{}) {
		t.Fatalf("%+v, %v; want that the disk is full", r, err)
	}
	t.Log(err)
	q := store.Query{Class: spatial.ClassBuilding, Limit: store.MaxLimit}
	page, err := s.Query(t.Context(), q)
	if err != nil || len(page.Versions) != 100 {
		t.Fatalf("%d objects, %v; want the 100 of before", len(page.Versions), err)
	}
	for _, v := range page.Versions {
		if v.Object.Name != "a" {
			t.Fatalf("%s is of the import that failed", v.Object.ID)
		}
	}
	if n, err := s.LastImport(t.Context()); n != 1 || err != nil {
		t.Errorf("import %d, %v", n, err)
	}
	if r, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d"}, storetest.Features(120, "a", 0)); err != nil || r.Added != 20 || r.Unchanged != 100 {
		t.Errorf("what fits: %+v, %v", r, err)
	}
	checkFile(t, s.write)
}
