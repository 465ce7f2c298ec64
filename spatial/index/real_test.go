package index

import (
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/cityjson"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

type objects = iter.Seq2[*spatial.CityObject, error]

// realCity stores the old town of Suzhou, and the blocks of Rotterdam and
// Vienna, in WGS 84.
func realCity(t testing.TB) store.Store {
	t.Helper()
	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []struct {
		name, folder, file string
		code               int
		open               func(f *os.File, size int64, o citymodel.Options) (objects, error)
	}{
		{"suzhou", "suzhou-oldtown-osm-buildings", "suzhou_buildings.geojson", 4326, func(f *os.File, size int64, o citymodel.Options) (objects, error) {
			r, err := geojson.Open(f, size, geojson.Options{Options: o})
			return r.Objects(), err
		}},
		{"rotterdam", "cityjson-samples", "rotterdam/3-20-DELFSHAVEN.city.json", 28992, func(f *os.File, size int64, o citymodel.Options) (objects, error) {
			r, err := cityjson.Open(f, size, o)
			return r.Objects(), err
		}},
		{"vienna", "cityjson-samples", "vienna/vienna.city.jsonl", 31256, func(f *os.File, _ int64, o citymodel.Options) (objects, error) {
			r, err := cityjson.NewSeqReader(f, o)
			return r.Objects(), err
		}},
	} {
		f, err := os.Open(filepath.Join(testkit.DataDir(t, d.folder), d.file))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		all, err := d.open(f, info.Size(), citymodel.Options{File: d.file, Class: spatial.ClassBuilding, CRS: crs.EPSG(d.code)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: d.name}, toWGS84(t, d.code, all)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	return s
}

func toWGS84(t testing.TB, code int, all objects) objects {
	from, err := crs.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	way, err := crs.Between(from.Traditional(), crs.WGS84().Traditional(), crs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(*spatial.CityObject, error) bool) {
		for o, err := range all {
			if err == nil {
				for i := range o.Geometries {
					g := &o.Geometries[i]
					for p := 0; p < len(g.XYZ) && err == nil; p += 3 {
						g.XYZ[p], g.XYZ[p+1], err = way.XY(g.XYZ[p], g.XYZ[p+1])
					}
				}
				o.CRS.Horizontal = spatial.CRS84
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// everything reads all objects of a store.
func everything(t testing.TB, s store.Reader) linear {
	t.Helper()
	all := linear{}
	for _, class := range append(spatial.Classes(), "") {
		for q := (store.Query{Class: class, Limit: store.MaxLimit, Geometries: true}); ; {
			page, err := s.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			all.apply(page.Versions, nil)
			if q.After = page.Next; q.After == 0 {
				break
			}
		}
	}
	return all
}

// TestRealCities loads three cities and compares with the store.
func TestRealCities(t *testing.T) {
	s := realCity(t)
	all := everything(t, s)
	x := New(Settings{PageSize: 777})
	var pages []int64
	if err := x.Load(t.Context(), s, func(n int64) { pages = append(pages, n) }); err != nil {
		t.Fatal(err)
	}
	v := x.For(nil)
	if !slices.IsSorted(pages) || pages[len(pages)-1] != int64(len(all)) || v.Len() != len(all) {
		t.Fatalf("%d objects, progress to %v; the store has %d", v.Len(), pages, len(all))
	}
	if n := x.For(func(d string) bool { return d == "suzhou" }).Len(); n != 8242 {
		t.Errorf("%d buildings in Suzhou, expected 8242", n)
	}
	footprints, worst := 0, 0.0
	for p, o := range all {
		ref, ok := v.At(p)
		if !ok {
			t.Fatalf("%s is missing", o.Object.ID)
		}
		got := v.Object(ref)
		low, high := math.Inf(1), math.Inf(-1)
		for i := range o.Object.Geometries {
			if g := &o.Object.Geometries[i]; g.HasZ {
				low, high = min(low, g.Bounds().Min[2]), max(high, g.Bounds().Max[2])
			}
		}
		if high >= low && (math.Abs(got.LowMetres-low) > 0.0005001 || math.Abs(got.HighMetres-high) > 0.0005001) || high < low && !math.IsNaN(got.LowMetres) {
			t.Errorf("%s: %v to %v m, expected %v to %v", o.Object.ID, got.LowMetres, got.HighMetres, low, high)
		}
		if o.Footprint == nil {
			continue
		}
		footprints++
		var f Shape
		if !ShapeOf(v, ref, &f) || len(f.Surfaces) != len(o.Footprint.Surfaces) || len(f.Rings) != len(o.Footprint.Rings) {
			t.Fatalf("%s: %d surfaces of %d rings, expected %d of %d", o.Object.ID, len(f.Surfaces), len(f.Rings), len(o.Footprint.Surfaces), len(o.Footprint.Rings))
		}
		for r := range f.Rings {
			exact := o.Footprint.Ring(r)
			for i, p := range f.Ring(r) {
				j := 3 * (i % (len(exact) / 3))
				worst = max(worst, math.Abs(p[0]-exact[j]), math.Abs(p[1]-exact[j+1]))
			}
		}
	}
	t.Logf("%d footprints, coordinates at most %.3g degrees off", footprints, worst)
	if worst > 0.5e-7+1e-12 || footprints < 8242+100 {
		t.Errorf("%d footprints, coordinates %v degrees off", footprints, worst)
	}

	c := newCity(11)
	c.west, c.south, c.width = 120.58, 31.28, 0.06
	for range 30 {
		checkSearch(t, c, v, all)
	}
	for range 6 {
		checkMetres(t, c, v, all)
	}
}

// TestDistancesOnTheEllipsoid compares with the straight line between points on
// the ellipsoid, made as much longer as the way on it is that follows the
// curvature of the earth.
func TestDistancesOnTheEllipsoid(t *testing.T) {
	for _, c := range []struct{ lat, size, off float64 }{
		{31.3, 0.004, 1e-5}, {31.3, 0.2, 0.02}, {0, 0.1, 0.02}, {-51.9, 0.1, 0.02}, {78, 0.1, 0.1},
	} {
		lat, size := c.lat, c.size
		x := New(Settings{})
		var all []*store.Version
		for i := range 8 {
			a := float64(i) * math.Pi / 4
			all = append(all, &store.Version{Dataset: "d", Position: int64(i + 1), Object: spatial.CityObject{ID: string(rune('a' + i))}, Footprint: &spatial.Geometry{
				Kind: spatial.MultiPoint, XYZ: []float64{round7(120.6 + size*math.Cos(a)), round7(lat + size*math.Sin(a)), 0}}})
		}
		if err := x.Apply(Versions(all), nil); err != nil {
			t.Fatal(err)
		}
		at := orb.Point{120.6, lat}
		v, n := x.For(nil), 0
		v.Meeting(at, 50_000, Options{}, func(r Ref, metres float64) bool {
			n++
			p := v.Footprint(r).(orb.Point)
			x1, y1, z1 := crs.Geocentric(at[0], at[1], 0)
			x2, y2, z2 := crs.Geocentric(p[0], p[1], 0)
			d := math.Sqrt((x2-x1)*(x2-x1) + (y2-y1)*(y2-y1) + (z2-z1)*(z2-z1))
			const radius = 6371e3
			d = 2 * radius * math.Asin(d/2/radius)
			if math.Abs(d-metres) > c.off {
				t.Errorf("at %v: %v metres to %v, on the ellipsoid %v", lat, metres, p, d)
			}
			return true
		})
		if n != 8 {
			t.Errorf("at %v: %d points within 50 km, expected 8", lat, n)
		}
	}
}
