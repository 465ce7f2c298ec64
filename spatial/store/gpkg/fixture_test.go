package gpkg

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

var update = flag.Bool("update", false, "write the file of today's format into testdata")

func fixtureName(schema int) string {
	return filepath.Join("testdata", fmt.Sprintf("schema-%d.gpkg.gz", schema))
}

// fixtureTime is the time of import n of a fixture.
func fixtureTime(n int) time.Time { return time.Date(2026, 3, 1+n, 8, 0, 0, 0, time.UTC) }

// fixtureObjects are the objects of import n, 0 to 2.
func fixtureObjects(n int) []*spatial.CityObject {
	a, b, c := storetest.House("a", 0, 0), storetest.House("b", 1, 0), storetest.House("c", 2, 0)
	a.Children, b.Parents = []string{"b"}, []string{"a"}
	a.Geometries[0].Semantics = []spatial.Semantic{{Kind: spatial.SurfaceGround, Type: "GroundSurface", Parent: -1}}
	a.Geometries[0].SemanticOf = []int32{0, -1, -1, -1, -1, -1}
	line := &spatial.CityObject{ID: "line", Class: spatial.ClassRoad, CRS: a.CRS, Geometries: []spatial.Geometry{{Kind: spatial.MultiLine, Rings: []int32{2}, XYZ: []float64{120, 31, 0, 121, 31, 0}}}}
	bare := &spatial.CityObject{ID: "bare", CRS: spatial.CRS{Horizontal: 4326}}
	all := []*spatial.CityObject{a, b, c, line, bare}
	if n >= 1 { // b changes its class and name, c goes
		b.Name, b.Class = "新", spatial.ClassUnderground
		all = []*spatial.CityObject{a, b, line, bare}
	}
	if n >= 2 { // c is there again
		all = append(all, c)
	}
	return all
}

// TestOldFiles opens files that earlier formats wrote: what they hold is read,
// known again and can be changed. With -update the file of today's format is
// written; the others stay as they are.
func TestOldFiles(t *testing.T) {
	if *update {
		writeFixture(t)
	}
	for schema := 1; schema <= schemaVersion; schema++ {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) { checkFixture(t, schema) })
	}
}

func writeFixture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.gpkg")
	var now time.Time
	s := open(t, path, func() time.Time { return now })
	for n := range 3 {
		now = fixtureTime(n)
		if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d", Complete: true}, storetest.Objects(fixtureObjects(n)...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(file); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fixtureName(schemaVersion), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpack writes a fixture into a folder of the test.
func unpack(t *testing.T, schema int) string {
	t.Helper()
	f, err := os.Open(fixtureName(schema))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "city.gpkg")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func checkFixture(t *testing.T, schema int) {
	s := open(t, unpack(t, schema), func() time.Time { return fixtureTime(5) })
	checkFile(t, s.write)
	for _, want := range []struct {
		id       string
		versions int
		now      bool
		class    spatial.Class
	}{{"a", 1, true, "building"}, {"b", 2, true, "underground"}, {"c", 2, true, "building"}, {"line", 1, true, "road"}, {"bare", 1, true, ""}} {
		all, err := s.Versions(t.Context(), store.Key{Dataset: "d", ID: want.id})
		if err != nil || len(all) != want.versions {
			t.Errorf("%s: %d versions, %v; want %d", want.id, len(all), err, want.versions)
			continue
		}
		last := all[len(all)-1]
		if last.Object.Class != want.class || !last.ValidTo.IsZero() {
			t.Errorf("%s is %+v", want.id, last)
		}
		for _, v := range all {
			if want.id != "bare" && (v.Footprint == nil || len(v.Object.Geometries) != 1) {
				t.Errorf("%s from %v lost its geometry", want.id, v.ValidFrom)
			}
		}
	}
	was, err := s.Get(t.Context(), store.Key{Dataset: "d", ID: "c"}, fixtureTime(0))
	if err != nil || !was.ValidTo.Equal(fixtureTime(1)) || !was.ValidFrom.Equal(fixtureTime(0)) || was.Position != 3 {
		t.Errorf("c was %+v, %v", was, err)
	}
	if g := was.Object.Geometries[0]; math.Abs(g.XYZ[0]-120.602) > 1e-9 || g.Kind != spatial.Solid || g.XYZ[2] != 3 {
		t.Errorf("the geometry of c is %+v", g)
	}
	if all, err := s.Parts(t.Context(), store.Key{Dataset: "d", ID: "a"}, time.Time{}); err != nil || len(all) != 1 || all[0].Object.ID != "b" {
		t.Errorf("parts of a: %v, %v", all, err)
	}
	if e, err := s.Extent(t.Context(), spatial.ClassRoad); err != nil || e.West != 120 || e.East != 121 {
		t.Errorf("extent of the roads: %+v, %v", e, err)
	}
	// The hashes are those of today: nothing counts as changed that did not.
	objects := fixtureObjects(2)
	r, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d", Complete: true}, storetest.Objects(objects...))
	if err != nil || r != (store.ImportResult{Unchanged: 5}) {
		t.Errorf("the same again: %+v, %v", r, err)
	}
	objects[0].Name = "改"
	r, err = s.Import(t.Context(), store.ImportOptions{Dataset: "d", Complete: true}, storetest.Objects(objects[:4]...))
	if err != nil || r.Updated != 1 || r.Ended != 1 || r.Unchanged != 3 || !r.At.Equal(fixtureTime(5)) {
		t.Errorf("a change: %+v, %v", r, err)
	}
	checkFile(t, s.write)
}
