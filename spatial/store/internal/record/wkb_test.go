package record

import (
	"encoding/hex"
	"reflect"
	"testing"

	"cityhub/spatial"
)

// Geometries as PostGIS 3.3 writes them: ST_AsHEXEWKB of the text.
func samplesWKB() map[string]string {
	return map[string]string{
		"SRID=4326;POINT(120 31)":                  "0101000020E61000000000000000005E400000000000003F40",
		"POINT(120 31), big-endian":                "0000000001405E000000000000403F000000000000",
		"SRID=4326;POINT Z(120 31 5)":              "01010000A0E61000000000000000005E400000000000003F400000000000001440",
		"POINT Z(120 31 5) as ISO writes it":       "01E90300000000000000005E400000000000003F400000000000001440",
		"SRID=4326;MULTIPOINT(1 2)":                "0104000020E6100000010000000101000000000000000000F03F0000000000000040",
		"LINESTRING M(1 2 3, 2 1 4)":               "010200004002000000000000000000F03F000000000000004000000000000008400000000000000040000000000000F03F0000000000001040",
		"SRID=4326;POINT EMPTY":                    "0101000020E6100000000000000000F87F000000000000F87F",
		"SRID=4326;GEOMETRYCOLLECTION(POINT(1 2))": "0107000020E6100000010000000101000000000000000000F03F0000000000000040",
	}
}

func TestWKB(t *testing.T) { // ISO 13249-3; PostGIS, doc/ZMSgeoms.txt
	place := &spatial.Geometry{Kind: spatial.MultiPoint, XYZ: []float64{120, 31, 0}}
	want := map[string]*spatial.Geometry{
		"SRID=4326;POINT(120 31)": place, "POINT(120 31), big-endian": place, "SRID=4326;POINT Z(120 31 5)": place, "POINT Z(120 31 5) as ISO writes it": place,
		"SRID=4326;MULTIPOINT(1 2)":  {Kind: spatial.MultiPoint, XYZ: []float64{1, 2, 0}},
		"LINESTRING M(1 2 3, 2 1 4)": {Kind: spatial.MultiLine, Rings: []int32{2}, XYZ: []float64{1, 2, 0, 2, 1, 0}},
		"SRID=4326;POINT EMPTY":      nil,
	}
	for name, text := range samplesWKB() {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeWKB(b)
		w, good := want[name]
		if good != (err == nil) || !reflect.DeepEqual(got, w) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for i := range b {
			if _, err := DecodeWKB(b[:i]); err == nil {
				t.Errorf("%s: the first %d bytes were read", name, i)
			}
		}
	}
}

// FuzzWKB: any bytes are read or refused, in little memory.
func FuzzWKB(f *testing.F) {
	for _, text := range samplesWKB() {
		b, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{1, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := DecodeWKB(b)
		if err != nil || g == nil {
			return
		}
		if err := g.Valid(); err != nil {
			t.Fatal(err)
		}
		if cap(g.XYZ) > 3*len(b) {
			t.Fatalf("%d numbers of %d bytes", cap(g.XYZ), len(b))
		}
	})
}
