package gpkg

import (
	"reflect"
	"slices"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/store/internal/record"
	"cityhub/spatial/store/storetest"
)

func TestTablesAreInTheOrderOfTheClasses(t *testing.T) { // as record.Record.Class counts them
	var classes []spatial.Class
	for _, table := range tables() {
		classes = append(classes, table.class)
	}
	if !slices.Equal(classes, append(spatial.Classes(), "")) {
		t.Error(classes)
	}
}

func FuzzGeoPackageBinary(f *testing.F) {
	house := storetest.House("x", 0, 0)
	for _, g := range []*spatial.Geometry{
		record.Footprint(house.Geometries), {Kind: spatial.MultiPoint, XYZ: []float64{1, 2, 0}}, {Kind: spatial.MultiPoint, XYZ: []float64{1, 2, 0, 3, 4, 0}},
		{Kind: spatial.MultiLine, Rings: []int32{2, 4}, XYZ: []float64{1, 2, 0, 3, 4, 0, 5, 6, 0, 7, 8, 0}},
	} {
		b := appendGeometry(nil, g)
		got, err := decodeGeometry(b)
		if err != nil || !reflect.DeepEqual(got, g) {
			f.Fatalf("%+v became %+v, %v", g, got, err)
		}
		f.Add(b)
	}
	f.Add([]byte("GP\x00\x01\xe6\x10\x00\x00\x00\x00\x00\x00\x01\x7f\xf8\x00\x00\x00\x00\x00\x00\x7f\xf8\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = envelope(b)
		g, err := decodeGeometry(b)
		if err != nil || g == nil {
			return
		}
		if err := g.Valid(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestGeoPackageBinaryBytes(t *testing.T) { // OGC 12-128r17 section 2.1.3
	got := appendGeometry(nil, &spatial.Geometry{Kind: spatial.MultiPoint, XYZ: []float64{2, 1, 0}})
	x, y := "\x00\x00\x00\x00\x00\x00\x00\x40", "\x00\x00\x00\x00\x00\x00\xf0\x3f"
	want := "GP\x00\x03\xe6\x10\x00\x00" + x + x + y + y + "\x01\x01\x00\x00\x00" + x + y
	if string(got) != want {
		t.Errorf("%x\nwant %x", got, want)
	}
}
