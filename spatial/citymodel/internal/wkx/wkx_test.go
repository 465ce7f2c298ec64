package wkx

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

func text(s *flat.Shapes) string {
	var parts []string
	for i := range s.List {
		g := &s.List[i]
		parts = append(parts, fmt.Sprint(g.Kind, g.HasZ, g.XYZ, g.Rings, g.Surfaces, g.Valid()))
	}
	return strings.Join(parts, "; ")
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"POINT(1 2)":                                            "MultiPoint false [1 2 0] [] [] <nil>",
		" srid=4549; point z (1 2 3) ":                          "MultiPoint true [1 2 3] [] [] <nil>",
		"POINTZ(1 2 3)":                                         "MultiPoint true [1 2 3] [] [] <nil>",
		"POINT M (1 2 3)":                                       "MultiPoint false [1 2 0] [] [] <nil>",
		"POINT ZM (1 2 3 4)":                                    "MultiPoint true [1 2 3] [] [] <nil>",
		"POINT(1e1 -2.5E-1 3)":                                  "MultiPoint true [10 -0.25 3] [] [] <nil>",
		"MULTIPOINT(1 2,3 4)":                                   "MultiPoint false [1 2 0 3 4 0] [] [] <nil>",
		"MULTIPOINT((1 2),EMPTY,(3 4))":                         "MultiPoint false [1 2 0 3 4 0] [] [] <nil>",
		"LINESTRING(1 2,3 4,1 2)":                               "MultiLineString false [1 2 0 3 4 0 1 2 0] [3] [] <nil>",
		"MULTILINESTRING((1 2,3 4),EMPTY,(5 6,7 8))":            "MultiLineString false [1 2 0 3 4 0 5 6 0 7 8 0] [2 4] [] <nil>",
		"POLYGON((0 0,4 0,4 4,0 0),(1 1,2 2,2 1,1 1))":          "MultiSurface false [0 0 0 4 0 0 4 4 0 1 1 0 2 2 0 2 1 0] [3 6] [2] <nil>",
		"MULTIPOLYGON(((0 0,4 0,4 4,0 0)),((5 5,6 5,6 6,5 5)))": "MultiSurface false [0 0 0 4 0 0 4 4 0 5 5 0 6 5 0 6 6 0] [3 6] [1 2] <nil>",
		"TIN Z(((0 0 1,4 0 1,4 4 1,0 0 1)))":                    "MultiSurface true [0 0 1 4 0 1 4 4 1] [3] [1] <nil>",
		"POLYGON EMPTY":                                         "",
		"GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1),GEOMETRYCOLLECTION(POINT(3 4)))": "MultiPoint false [1 2 0 3 4 0] [] [] <nil>; MultiLineString false [0 0 0 1 1 0] [2] [] <nil>",
	} {
		var s flat.Shapes
		s.Reset(100)
		srid, err := Text(&s, in)
		if err != nil || text(&s) != want || (srid != 0) != strings.Contains(in, "srid") {
			t.Errorf("%s: %s, SRID %d, %v; want %s", in, text(&s), srid, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "expected the type", "POINT": "expected ( or EMPTY", "POINT(1)": "2 to 4 numbers, found 1", "POINT(1 2": "expected , or )", "POINT(1 2) x": "something follows",
		"POINT(1 2 3 4 5)": "more than 4", "POINT(a b)": "expected a number", "CURVE(1 2)": "no type of geometry", "SRID=x;POINT(1 2)": "expected SRID", "POINT Z (1 2)": "the type says 3",
		"LINESTRING(1 2,3 4 5)": "the type says 2", "POINT(1 2)(3 4)": "something follows", strings.Repeat("GEOMETRYCOLLECTION(", 40): "inside each other",
		"MULTIPOINT(" + strings.Repeat("1 2,", 200) + "1 2)": "more than 100 points",
	} {
		var s flat.Shapes
		s.Reset(100)
		if _, err := Text(&s, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", in, err, want)
		}
	}
}

func TestBinary(t *testing.T) {
	// ISO's and the extended form, both byte orders.
	for in, want := range map[string]string{
		"0101000000000000000000f03f0000000000000040":                                         "MultiPoint false [1 2 0] [] [] <nil>",
		"00000000013ff00000000000004000000000000000":                                         "MultiPoint false [1 2 0] [] [] <nil>",
		"01e9030000000000000000f03f00000000000000400000000000000840":                         "MultiPoint true [1 2 3] [] [] <nil>",
		"01d1070000000000000000f03f00000000000000400000000000000840":                         "MultiPoint false [1 2 0] [] [] <nil>",
		"01010000a0c5110000000000000000f03f00000000000000400000000000000840":                 "MultiPoint true [1 2 3] [] [] <nil>",
		"0101000000000000000000f87f000000000000f87f":                                         "",
		"010200000002000000000000000000f03f000000000000004000000000000008400000000000001040": "MultiLineString false [1 2 0 3 4 0] [2] [] <nil>",
		"01040000000100000001010000000000000000001440000000000000f03f":                       "MultiPoint false [5 1 0] [] [] <nil>",
		"0103000000010000000400000000000000000000000000000000000000000000000000104000000000000000000000000000001040000000000000104000000000000000000000000000000000": "MultiSurface false [0 0 0 4 0 0 4 4 0] [3] [1] <nil>",
	} {
		b, err := hex.DecodeString(in)
		var s flat.Shapes
		s.Reset(100)
		if _, e := Binary(&s, b); err != nil || e != nil || text(&s) != want {
			t.Errorf("%s: %s, %v %v; want %s", in, text(&s), err, e, want)
		}
	}
	for in, want := range map[string]string{
		"": "expected a byte order", "0109000000": "type 9", "01": "expected a byte order", "0102000000ffffffff": "members in 0 bytes", "0101000000": "ends too early",
		"0104000000010000000102000000": "a member of type 2", "0101000000000000000000f03f0000000000000040ff00000000": "behind the geometry",
		strings.Repeat("010700000001000000", 40): "inside each other",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		var s flat.Shapes
		s.Reset(100)
		if _, err := Binary(&s, b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", in, err, want)
		}
	}
}

func TestGeoPackageHeader(t *testing.T) {
	for in, want := range map[string]string{
		"": "begins with GP", "475001010000000000": "version 1", "4750002100000000": "extension", "4750000b00000000": "an envelope of type 5",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		var s flat.Shapes
		s.Reset(1)
		if _, err := GeoPackage(&s, b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
	b, err := hex.DecodeString("47500001e61000000101000000000000000000f03f0000000000000040")
	if err != nil {
		t.Fatal(err)
	}
	var s flat.Shapes
	s.Reset(1)
	if srs, err := GeoPackage(&s, b); srs != 4326 || err != nil || text(&s) != "MultiPoint false [1 2 0] [] [] <nil>" {
		t.Error(srs, err, text(&s))
	}
	s.Reset(0)
	if _, err := GeoPackage(&s, b); flatCode(err) != citymodel.TooLarge {
		t.Error(err)
	}
}

func flatCode(err error) citymodel.Code { return flat.CodeOf(err) }

func FuzzText(f *testing.F) {
	f.Add("SRID=1;GEOMETRYCOLLECTION(POINT Z(1 2 3),MULTIPOINT((1 2),(3 4)),POLYGON((0 0,4 0,4 4,0 0),(1 1,2 2,2 1,1 1)))")
	f.Fuzz(func(t *testing.T, in string) {
		var s flat.Shapes
		s.Reset(1000)
		if _, err := Text(&s, in); err == nil {
			check(t, &s)
		}
	})
}

func FuzzBinary(f *testing.F) {
	for _, in := range []string{"01010000a0c5110000000000000000f03f00000000000000400000000000000840", "010700000001000000010100000000000000000000000000000000000000"} {
		b, err := hex.DecodeString(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s flat.Shapes
		s.Reset(1000)
		if _, err := Binary(&s, b); err == nil {
			check(t, &s)
		}
	})
}

func check(t *testing.T, s *flat.Shapes) {
	for i := range s.List {
		for _, v := range s.List[i].XYZ {
			if v-v != 0 {
				return // not finite: Maker.Geometries leaves it out
			}
		}
		if err := s.List[i].Valid(); err != nil {
			t.Fatal(err)
		}
	}
}
