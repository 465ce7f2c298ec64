package city_test

import (
	"path/filepath"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
	"cityhub/spatial/store/storetest"
)

// The extents of the collections that share no class are their own, and a
// collection of which there is nothing has none.
func TestExtentIsThatOfTheCollection(t *testing.T) {
	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	point := func(id string, class spatial.Class, typ string, lon, lat float64) *spatial.CityObject {
		return &spatial.CityObject{ID: id, Class: class, Type: typ, CRS: spatial.CRS{Horizontal: spatial.CRS84}, Geometries: []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{lon, lat, 0}}}}
	}
	x := index.New(index.Settings{})
	extents := func(objects ...*spatial.CityObject) map[string]store.BBox {
		t.Helper()
		if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: "d", Complete: true}, storetest.Objects(objects...)); err != nil {
			t.Fatal(err)
		}
		if err := x.Load(t.Context(), s, nil); err != nil {
			t.Fatal(err)
		}
		v := &city.View{Store: s, Index: x.For(nil)}
		out := map[string]store.BBox{}
		for _, c := range city.Collections() {
			b, err := v.Extent(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			out[c.ID] = b
		}
		return out
	}
	house, district, field := point("house", spatial.ClassBuilding, "", 120.6, 31.3), point("district", "", city.TypeDistrict, 120, 31), point("field", "", "LandUse", 121.5, 31.5)
	at := func(lon, lat float64) store.BBox { return store.BBox{West: lon, South: lat, East: lon, North: lat} }
	none := store.BBox{Empty: true}
	for _, tt := range []struct {
		name    string
		objects []*spatial.CityObject
		want    map[string]store.BBox
	}{
		{"all", []*spatial.CityObject{house, district, field}, map[string]store.BBox{"buildings": at(120.6, 31.3), "districts": at(120, 31), "others": at(121.5, 31.5), "roads": none}},
		{"no others", []*spatial.CityObject{house, district}, map[string]store.BBox{"buildings": at(120.6, 31.3), "districts": at(120, 31), "others": none}},
		{"no districts", []*spatial.CityObject{field}, map[string]store.BBox{"buildings": none, "districts": none, "others": at(121.5, 31.5)}},
	} {
		got := extents(tt.objects...)
		for id, want := range tt.want {
			if got[id] != want {
				t.Errorf("%s: the extent of %s is %+v, want %+v", tt.name, id, got[id], want)
			}
		}
	}
}

// Every object is in one collection.
func TestCollectionsAreDisjoint(t *testing.T) {
	for _, class := range append(spatial.Classes(), "") {
		for _, typ := range []string{"", "Building", city.TypeDistrict, city.TypeUnitGrid} {
			n := 0
			for _, c := range city.Collections() {
				if c.Has(class, typ) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("objects of class %q and type %q are in %d collections", class, typ, n)
			}
		}
	}
}
