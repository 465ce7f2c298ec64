package geopackage

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"modernc.org/sqlite"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type result struct {
	objects  []*spatial.CityObject
	problems []citymodel.Problem
	info     citymodel.Info
	tally    citymodel.Tally
	err      error
}

func (r *result) codes() (c []citymodel.Code) {
	for _, p := range r.problems {
		c = append(c, p.Code)
	}
	return c
}

func read(ctx context.Context, t testing.TB, path string, o Options) (r result) {
	t.Helper()
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, err := Open(ctx, path, o)
	if err != nil {
		r.err = err
		return r
	}
	for obj, err := range reader.Objects() {
		if err != nil {
			r.err = err
			break
		}
		r.objects = append(r.objects, obj)
	}
	r.info, r.tally = reader.Info(), reader.Tally()
	for range 2 {
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
	return r
}

func plain() Options {
	return Options{FeatureOptions: citymodel.FeatureOptions{Options: citymodel.Options{Class: spatial.ClassBuilding, Check: citymodel.CheckOptions{Skip: true}}}}
}

// point is the geometry 1, 2 in EPSG:4326.
const point = "47500001e61000000101000000000000000000f03f0000000000000040"

const base = `CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT, organization_coordsys_id INTEGER, definition TEXT);
INSERT INTO gpkg_spatial_ref_sys VALUES ('WGS 84', 4326, 'EPSG', 4326, ''), ('x', 7, 'NONE', 7, 'LOCAL_CS["x"]'),
	('own', 100001, 'cityhub', 1, 'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]');
CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT, identifier TEXT, srs_id INTEGER);
CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT, srs_id INTEGER, z INTEGER, m INTEGER);
`

// create makes a database of some SQL.
func create(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a ?b#%.gpkg")
	connector, err := sqlite.NewConnector("file:" + strings.NewReplacer("?", "%3f", "#", "%23", "%", "%25").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func table(name string, srs int, columns, rows string) string {
	return fmt.Sprintf(`INSERT INTO gpkg_contents VALUES ('%[1]s', 'features', '%[1]s', %[2]d); INSERT INTO gpkg_geometry_columns VALUES ('%[1]s', 'geom', 'GEOMETRY', %[2]d, 0, 0);
CREATE TABLE "%[1]s" (fid INTEGER PRIMARY KEY, geom BLOB%[3]s); INSERT INTO "%[1]s" VALUES %[4]s;`, name, srs, columns, rows)
}

func TestTablesAndValues(t *testing.T) {
	path := create(t, base+
		table("road", 4326, ", name TEXT, n MEDIUMINT, f DOUBLE, b BOOLEAN, d DATE, dt DATETIME, blob BLOB, \"we\"\"ird\" TEXT, twice INTEGER GENERATED ALWAYS AS (n * 2)",
			"(7, x'"+point+"', '人民路', 42, 1.5, 1, '2026-01-31', '2026-01-31T01:02:03.000Z', x'00', 'q'), (8, NULL, NULL, NULL, 9e999, 0, NULL, NULL, NULL, '')")+
		table("own", 100001, "", "(1, x'"+point+"')")+table("unknown", 7, "", "(1, x'"+point+"')")+table("undefined", -1, "", "(1, x'"+point+"')")+table("missing", 5, "", "(1, x'"+point+"')"))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := read(t.Context(), t, path, plain())
	if r.err != nil || len(r.objects) != 6 {
		t.Fatalf("%v, %d objects", r.err, len(r.objects))
	}
	o, got := r.objects[0], ""
	for _, a := range o.Attributes {
		got += fmt.Sprintf("%s=%d:%v ", a.Name, a.Value.Kind(), a.Value)
	}
	if want := `name=4:人民路 n=2:42 f=3:1.5 b=1:true d=4:2026-01-31 dt=4:2026-01-31T01:02:03.000Z we"ird=4:q `; got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if o.ID != "road/7" || o.Name != "人民路" || o.Class != spatial.ClassRoad || !slices.Equal(o.Geometries[0].XYZ, []float64{1, 2, 0}) || o.CRS.Horizontal != 4326 {
		t.Errorf("%+v", o)
	}
	if o := r.objects[1]; len(o.Geometries) != 0 || o.Attributes[2].Value.Kind() != spatial.Null || len(o.Attributes) != 8 {
		t.Errorf("%+v", o)
	}
	for i, want := range []int{4326, 4326, 4326, 0, 0, 0} {
		if got := r.objects[i].CRS.Horizontal; got != want {
			t.Errorf("%s in EPSG:%d, want %d", r.objects[i].ID, got, want)
		}
	}
	unknown := 0
	for _, p := range r.problems {
		if p.Code == citymodel.UnknownCRS && strings.Contains(p.Message, "--crs") {
			unknown++
		}
	}
	if unknown != 3 || !slices.Contains(r.codes(), citymodel.WrongType) || r.info.CRS.Known() {
		t.Errorf("%v, info %v", r.problems, r.info)
	}
	one := plain()
	one.Layer, one.CRS, one.IDProperty = "ROAD", crs.EPSG(4490), "name"
	if r := read(t.Context(), t, path, one); r.err != nil || len(r.objects) != 2 || r.objects[0].ID != "人民路" || r.objects[0].CRS.Horizontal != 4490 || r.info.Title != "road" {
		t.Errorf("one layer: %v %+v", r.err, r.objects)
	}
	one.Layer = "nix"
	if r := read(t.Context(), t, path, one); r.err == nil || !strings.Contains(r.err.Error(), `no feature table is called "nix"; there are road, own`) {
		t.Error(r.err)
	}
	after, err := os.ReadFile(path)
	if entries, _ := os.ReadDir(filepath.Dir(path)); err != nil || string(after) != string(before) || len(entries) != 1 {
		t.Errorf("reading changed the file or its folder: %v %v", err, entries)
	}
}

func TestHostile(t *testing.T) {
	endless := base + `INSERT INTO gpkg_contents VALUES ('v', 'features', 'v', 4326); INSERT INTO gpkg_geometry_columns VALUES ('v', 'geom', 'GEOMETRY', 4326, 0, 0);
CREATE VIEW v AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n AS fid, NULL AS geom FROM r WHERE n < 0;`
	cut := create(t, base+table("a", 4326, ", name TEXT", "(1, x'"+point+"', '"+strings.Repeat("x", 100_000)+"')"))
	b, err := os.ReadFile(cut)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text.gpkg")
	if err := os.WriteFile(text, []byte("SQLite format 3\x00"+strings.Repeat("x", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"missing":       {filepath.Join(t.TempDir(), "no.gpkg"), "unable to open"},
		"no database":   {text, "not a database"},
		"no GeoPackage": {create(t, "CREATE TABLE a (b)"), "is no GeoPackage"},
		"no layers":     {create(t, base), "has no feature tables"},
		"endless view":  {create(t, endless), "is a view"},
		"no geometry":   {create(t, base+strings.Replace(table("a", 4326, "", "(1, NULL)"), "'geom'", "'shape'", 1)), `no column "shape"`},
		"cut off":       {cut, "malformed"},
		"long value":    {create(t, base+table("a", 4326, ", t TEXT", "(1, NULL, printf('%.*c', 3000000, 'x'))")), "too big"},
	} {
		o := plain()
		o.Limits.RecordBytes = 1 << 20
		r := read(t.Context(), t, c.path, o)
		var e *citymodel.Error
		if !errors.As(r.err, &e) || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %s", name, r.err, c.want)
		}
	}
	for name, blob := range map[string]string{
		"no geometry": "x'00'", "text": "'POINT(1 2)'", "cut off": "x'" + point[:40] + "'", "NaN": "x'" + strings.Replace(point, "000000000000f03f", "010000000000f07f", 1) + "'",
		"beyond": "x'" + strings.Replace(point, "000000000000f03f", "000000000000f040", 1) + "'",
	} {
		r := read(t.Context(), t, create(t, base+table("a", 4326, "", "(1, "+blob+"), (2, x'"+point+"')")), plain())
		if r.err != nil || len(r.objects) != 2 || r.tally.Dropped != 1 || len(r.objects[1].Geometries) != 1 || r.problems[0].Object != "a/1" {
			t.Errorf("%s: %v %v", name, r.err, r.problems)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, err := Open(ctx, create(t, base+table("a", 4326, "", "(1, NULL), (2, NULL)")), plain())
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range reader.Objects() {
		cancel()
		time.Sleep(20 * time.Millisecond)
		last = err
	}
	if !errors.Is(last, context.Canceled) && last != nil {
		t.Errorf("cancelled: %v", last)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	for _, err := range reader.Objects() {
		if err == nil {
			t.Error("a closed reader gives objects")
		}
	}
}

// TestGDALsGeometries compares geometries that GDAL writes, with Z and M.
func TestGDALsGeometries(t *testing.T) {
	program := testkit.Require(t, "ogr2ogr")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.gpkg")
	rows := []struct {
		wkt    string
		kinds  string
		hasZ   bool
		points int
		area   float64
	}{
		{"POINT Z (1 2 3)", "MultiPoint", true, 1, 0},
		{"LINESTRING ZM (1 2 3 4,5 6 7 8)", "MultiLineString", true, 2, 0},
		{"POLYGON ((0 0,4 0,4 4,0 4,0 0),(1 1,1 2,2 2,2 1,1 1))", "MultiSurface", false, 8, 15},
		{"MULTIPOLYGON Z (((0 0 5,4 0 5,4 4 5,0 0 5)),((10 10 5,11 10 5,11 11 5,10 10 5)))", "MultiSurface", true, 6, 8.5},
		{"GEOMETRYCOLLECTION (POINT (1 2),LINESTRING (0 0,1 1),POINT (3 4))", "MultiPoint MultiLineString", false, 4, 0},
		{"MULTIPOINT M ((1 2 3),(4 5 6))", "MultiPoint", false, 2, 0},
		{"POINT EMPTY", "", false, 0, 0},
		{"TIN Z (((0 0 1,4 0 1,4 4 1,0 0 1)))", "MultiSurface", true, 3, 8},
	}
	text := "id,WKT\n"
	for i, r := range rows {
		text += fmt.Sprintf("%d,\"%s\"\n", i+1, r.wkt)
	}
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(program, "-f", "GPKG", "-a_srs", "EPSG:4549", "-nln", "shapes", out, in).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	r := read(t.Context(), t, out, plain())
	if r.err != nil || len(r.objects) != len(rows) || r.info.CRS.Horizontal != 4549 || r.tally.Dropped != 0 {
		t.Fatalf("%v, %d objects, %v", r.err, len(r.objects), r.problems)
	}
	for i, w := range rows {
		o := r.objects[i]
		var kinds []string
		points, area := 0, 0.0
		for k := range o.Geometries {
			g := &o.Geometries[k]
			kinds = append(kinds, g.Kind.String())
			points += g.NumPoints()
			area += g.Area()
			if g.HasZ != w.hasZ {
				t.Errorf("%s: heights %v", w.wkt, g.HasZ)
			}
		}
		if strings.Join(kinds, " ") != w.kinds || points != w.points || math.Abs(area-w.area) > 1e-9 {
			t.Errorf("%s: %v of %d points and area %v", w.wkt, kinds, points, area)
		}
	}
}

func FuzzGeometry(f *testing.F) {
	b, err := hex.DecodeString(point)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	path := create(f, base+table("a", 4326, "", "(1, NULL)"))
	reader, err := Open(f.Context(), path, plain())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := reader.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		o := reader.object(&reader.layers[0], []any{b, int64(1)})
		for i := range o.Geometries {
			if err := o.Geometries[i].Valid(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
