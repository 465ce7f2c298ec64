package gpkg

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

// TestCrashInTheMiddleOfAnImport kills a process that is importing, long after
// its transaction has spilled from the cache to the disk.
func TestCrashInTheMiddleOfAnImport(t *testing.T) {
	const victim = "-test.run=^TestCrashInTheMiddleOfAnImport$"
	if len(os.Args) > 2 && os.Args[len(os.Args)-2] == "crash-victim" {
		crashVictim(os.Args[len(os.Args)-1])
		return
	}
	path := filepath.Join(t.TempDir(), "city.gpkg")
	cmd := exec.Command(os.Args[0], victim, "crash-victim", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := ""
	for in := bufio.NewScanner(out); line != "halfway" && in.Scan(); {
		line = in.Text()
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || line != "halfway" {
		t.Fatalf("the victim said %q and ended with %v", line, err)
	}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() < 1<<20 {
		t.Fatalf("nothing of the import had reached the disk: %v, %v", info, err)
	}
	s := open(t, path, time.Now)
	for _, class := range append(spatial.Classes(), "") {
		want := int64(0)
		if class == spatial.ClassBuilding {
			want = 2
		}
		if n, err := s.Count(t.Context(), store.Query{Class: class}); err != nil || n != want {
			t.Errorf("%q: %d objects, %v; want %d", class, n, err, want)
		}
	}
	all, err := s.Versions(t.Context(), store.Key{Dataset: "d", ID: "n0"})
	if err != nil || len(all) != 1 || !all[0].ValidTo.IsZero() {
		t.Errorf("the object of before: %+v, %v", all, err)
	}
	checkFile(t, s.write)
	if r, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d"}, storetest.Objects(storetest.House("n9", 0, 0))); err != nil || r.Added != 1 {
		t.Errorf("an import after the crash: %+v, %v", r, err)
	}
}

// crashVictim imports until it is killed.
func crashVictim(path string) {
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.Import(context.Background(), store.ImportOptions{Dataset: "d"}, storetest.Objects(storetest.House("n0", 0, 0), storetest.House("n1", 1, 0))); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.write.Exec(`PRAGMA cache_size(10)`); err != nil { // so that pages spill
		fmt.Println(err)
		return
	}
	_, err = s.Import(context.Background(), store.ImportOptions{Dataset: "d", Complete: true}, func(yield func(*spatial.CityObject, error) bool) {
		for i := range 3000 {
			if !yield(storetest.House(fmt.Sprint("n", i), i%50+1, i/50), nil) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond) // for the writer to follow
		fmt.Println("halfway")
		select {}
	})
	fmt.Println(err)
}

// checkFile checks database, R*Trees, triggers and what GeoPackage demands.
func checkFile(t *testing.T, db *sql.DB) {
	t.Helper()
	one := func(want, query string) {
		t.Helper()
		var got string
		if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", query, got, err, want)
		}
	}
	one("ok", `PRAGMA integrity_check`)
	one("1196444487", `PRAGMA application_id`)
	one("10300", `PRAGMA user_version`)
	for _, table := range tables() {
		one("ok", `SELECT rtreecheck('rtree_`+table.name+`_geom')`)
		one("0", `SELECT count(*) FROM (SELECT fid FROM `+table.name+` WHERE geom IS NOT NULL EXCEPT SELECT id FROM rtree_`+table.name+`_geom)`)
		one("0", `SELECT count(*) FROM (SELECT id FROM rtree_`+table.name+`_geom EXCEPT SELECT fid FROM `+table.name+` WHERE geom IS NOT NULL)`)
		one("6", `SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '`+table.name+`'`)
	}
	one("0", `SELECT count(*) FROM pragma_foreign_key_check`)
}
