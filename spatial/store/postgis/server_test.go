package postgis

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

// TestRefusedAtOpen: what is wrong with a server or a URL is said with the
// setting that names it, and never with the password.
func TestRefusedAtOpen(t *testing.T) {
	server := testkit.StartPostGIS(t, testkit.PostGISOptions{})
	with := func(sql string) string {
		name, url := server.Database(t, "")
		if sql != "" {
			server.Exec(t, name, sql)
		}
		return url
	}
	newer := with("")
	if err := open(t, newer, time.Now).Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, newer[strings.LastIndex(newer, "/")+1:strings.Index(newer, "?")], "INSERT INTO cityhub.migration (schema) VALUES (99)")
	server.Exec(t, "postgres", "CREATE ROLE weak LOGIN PASSWORD 'weak'")
	strong := "tester:s%C3%A9cret%20%25%2F%3F@"
	as := func(url, who string) string {
		i := strings.Index(url, "//") + 2
		return url[:i] + who + url[strings.Index(url, "@")+1:]
	}
	for name, test := range map[string]struct {
		url  string
		code store.Code
		says []string
	}{
		"no URL":              {"", store.Invalid, []string{"city.url", "postgres://"}},
		"not a URL":           {"postgres://user:geheim@host:port/db", store.Invalid, []string{"city.url"}},
		"nobody listens":      {fmt.Sprintf("postgres://u:geheim@127.0.0.1:%d/db", testkit.FreePort(t)), store.Unavailable, []string{"city.url", "PostgreSQL runs"}},
		"no such host":        {"postgres://u:geheim@no-such-host.invalid/db", store.Unavailable, []string{"city.url"}},
		"wrong password":      {as(with(""), "tester:geheim@"), store.Unavailable, []string{"city.url", "password"}},
		"no such database":    {server.URL("none"), store.Unavailable, []string{"city.url", "createdb"}},
		"no PostGIS":          {as(with(""), "weak:weak@"), store.Unavailable, []string{"city.url", "CREATE EXTENSION postgis", "has no PostGIS"}},
		"no right to create":  {as(with("CREATE EXTENSION postgis"), "weak:weak@"), store.Unavailable, []string{"city.url", "GRANT CREATE"}},
		"a newer schema":      {newer, store.Conflict, []string{"city.url", "schema 99", "newer cityhub"}},
		"somebody's schema":   {with("CREATE SCHEMA cityhub"), store.Conflict, []string{"city.url", "not a city model"}},
		"the right one, once": {with(""), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), Options{URL: test.url})
			if test.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			var e *store.Error
			if !errors.As(err, &e) || e.Code != test.code {
				t.Fatalf("%v; want %s", err, test.code)
			}
			for _, want := range test.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if text := err.Error(); strings.Contains(text, "geheim") || strings.Contains(text, "sécret") || strings.Contains(text, strong) {
				t.Errorf("the password is in the message: %s", text)
			}
		})
	}
}

// TestTwoNodes: what one node imports another follows, and they import one at a
// time.
func TestTwoNodes(t *testing.T) {
	server := testkit.StartPostGIS(t, testkit.PostGISOptions{})
	_, url := server.Database(t, "")
	a, b := open(t, url, time.Now), open(t, url, time.Now)
	halfway, done := make(chan struct{}), make(chan error)
	go func() {
		<-halfway
		_, err := b.Import(t.Context(), store.ImportOptions{Dataset: "d"}, storetest.Objects(storetest.House("0", 5, 5)))
		done <- err
	}()
	_, err := a.Import(t.Context(), store.ImportOptions{Dataset: "d"}, func(yield func(*spatial.CityObject, error) bool) {
		for i := range 10_000 {
			if i == 5000 {
				close(halfway)
				time.Sleep(100 * time.Millisecond) // for b to get to the lock
				if n, err := b.LastImport(t.Context()); n != 0 || err != nil {
					t.Errorf("in the middle: import %d, %v", n, err)
				}
			}
			if !yield(storetest.House(fmt.Sprint(i), i%50, i/50), nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{a, b} {
		changed := 0
		last, err := s.Changes(t.Context(), 1, func(c store.Change) error {
			changed++
			if c.Version == nil || c.Version.Object.ID != "0" {
				t.Errorf("%+v", c)
			}
			return nil
		})
		if last != 2 || changed != 1 || err != nil {
			t.Errorf("%d changes up to import %d, %v; want that of b", changed, last, err)
		}
		if all, err := s.Versions(t.Context(), store.Key{Dataset: "d", ID: "0"}); len(all) != 2 || err != nil {
			t.Errorf("%d versions, %v; want that of a and that of b", len(all), err)
		}
	}
}

// TestServerDies: an import that loses its server stores nothing, and says so.
func TestServerDies(t *testing.T) {
	server := testkit.StartPostGIS(t, testkit.PostGISOptions{})
	_, url := server.Database(t, "")
	s := open(t, url, time.Now)
	if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d"}, storetest.Objects(storetest.House("0", 0, 0))); err != nil {
		t.Fatal(err)
	}
	r, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d"}, func(yield func(*spatial.CityObject, error) bool) {
		for i := range 50_000 {
			if i == 20_000 {
				server.Restart(t, true)
			}
			if !yield(storetest.House(fmt.Sprint(i), i%50, i/50), nil) {
				return
			}
		}
	})
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.Unavailable || r != (store.ImportResult{}) {
		t.Errorf("%+v, %v", r, err)
	}
	t.Log(err)
	// The pool connects again.
	if n, err := s.Count(t.Context(), store.Query{Class: spatial.ClassBuilding}); n != 1 || err != nil {
		t.Errorf("%d objects, %v; want the one of before", n, err)
	}
	if r, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d"}, storetest.Objects(storetest.House("1", 1, 1))); r.Added != 1 || err != nil {
		t.Errorf("an import afterwards: %+v, %v", r, err)
	}
}

// TestGDAL lets GDAL read the tables as QGIS does.
func TestGDAL(t *testing.T) {
	ogrinfo := testkit.Require(t, "ogrinfo")
	server := testkit.StartPostGIS(t, testkit.PostGISOptions{})
	name, url := server.Database(t, "")
	s := open(t, url, time.Now)
	for k, dataset := range []string{"a'; DROP TABLE cityhub.model; --", "苏州"} {
		var objects []*spatial.CityObject
		for i := range 300 {
			objects = append(objects, storetest.House(fmt.Sprint(i, `'"\`), i%20, i/20+k*15))
		}
		if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: dataset}, storetest.Objects(objects...)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(ogrinfo, "-so", "PG:"+server.Keywords(name)+" schemas=cityhub", "building").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"Feature Count: 600", "Extent: (120.600000, 31.300000) - (120.619100, 31.329100)", `ID["EPSG",4326]`, "valid_from: DateTime", "Geometry Column = geom"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ogrinfo does not say %q:\n%s", want, out)
		}
	}
	if got := server.Exec(t, name, `SELECT count(*) FILTER (WHERE ST_IsValid(geom)) || ' ' || max((attributes->>'storeys')::int) FROM cityhub.building`); got != "600 3" {
		t.Errorf("valid footprints and storeys: %s", got)
	}
	plan := server.Exec(t, name, `SET enable_seqscan = off; EXPLAIN SELECT * FROM cityhub.building WHERE geom && ST_MakeEnvelope(120.6, 31.3, 120.601, 31.301, 4326)`)
	if !strings.Contains(plan, "building_1_geom_idx") || !strings.Contains(plan, "building_2_geom_idx") {
		t.Errorf("the GiST is not used:\n%s", plan)
	}
}

func TestEWKB(t *testing.T) {
	for _, f := range footprints() {
		b, err := appendEWKB([]byte{}, f)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeEWKB(b); err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%+v became %+v, %v", f, got, err)
		}
	}
}

func footprints() []*spatial.Geometry {
	square := []float64{0, 0, 0, 9, 0, 0, 9, 9, 0, 0, 9, 0}
	hole := []float64{1, 1, 0, 1, 2, 0, 2, 2, 0}
	return []*spatial.Geometry{
		{Kind: spatial.MultiPoint, XYZ: []float64{120, 31, 0}}, {Kind: spatial.MultiPoint, XYZ: []float64{1, 2, 0, 3, 4, 0}},
		{Kind: spatial.MultiLine, Rings: []int32{2}, XYZ: []float64{1, 2, 0, 3, 4, 0}}, {Kind: spatial.MultiLine, Rings: []int32{2, 4}, XYZ: []float64{1, 2, 0, 3, 4, 0, 5, 6, 0, 7, 8, 0}},
		{Kind: spatial.MultiSurface, Rings: []int32{4}, Surfaces: []int32{1}, XYZ: square},
		{Kind: spatial.MultiSurface, Rings: []int32{4, 7}, Surfaces: []int32{2}, XYZ: append(square[:12:12], hole...)},
		{Kind: spatial.MultiSurface, Rings: []int32{4, 7, 10}, Surfaces: []int32{2, 3}, XYZ: append(append(square[:12:12], hole...), hole...)},
	}
}

// FuzzEWKB: whatever stands in the column geom is read or refused.
func FuzzEWKB(f *testing.F) {
	for _, g := range footprints() {
		b, err := appendEWKB(nil, g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := decodeEWKB(b); err == nil && g != nil {
			if err := g.Valid(); err != nil {
				t.Fatal(err)
			}
			if math.IsNaN(g.XYZ[0]) {
				t.Fatal("NaN")
			}
		}
	})
}
