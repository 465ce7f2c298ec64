package record

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"cityhub/spatial"
	"cityhub/spatial/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sampleBlob(t testing.TB) []byte {
	t.Helper()
	g := storetest.House("x", 0, 0).Geometries[0]
	g.Semantics = []spatial.Semantic{{Kind: spatial.SurfaceRoof, Type: "RoofSurface", Parent: -1, Attributes: spatial.Attributes{{Name: "a", Value: spatial.IntValue(1)}}}}
	g.SemanticOf = []int32{-1, 0, -1, -1, -1, -1}
	line := spatial.Geometry{Kind: spatial.MultiLine, LoD: "0", Rings: []int32{2}, XYZ: []float64{-180, -90, 0, 180, 90, 0}}
	b, err := AppendGeometries(nil, []spatial.Geometry{g, line, {Kind: spatial.MultiPoint}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGeometriesAreCompactAndChecked(t *testing.T) {
	b := sampleBlob(t)
	raw := 8 * 3 * (24 + 2)
	if len(b) > raw*6/10 {
		t.Errorf("%d bytes, %d as they are", len(b), raw)
	}
	got, err := DecodeGeometries(b)
	if err != nil || len(got) != 3 || got[1].XYZ[0] != -180 || got[1].XYZ[4] != 90 || got[0].Semantics[0].Attributes[0].Name != "a" {
		t.Fatalf("%+v, %v", got, err)
	}
	again, err := AppendGeometries(nil, got)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("what was read is written in another way, %v", err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 4
		if _, err := DecodeGeometries(bad); err == nil {
			t.Errorf("a flipped bit in byte %d was not found", i)
		}
		if _, err := DecodeGeometries(b[:i]); err == nil {
			t.Errorf("the first %d bytes were read", i)
		}
	}
}

// FuzzGeometries reads any bytes: with a checksum that fits, for the parts
// behind it.
func FuzzGeometries(f *testing.F) {
	b := sampleBlob(f)
	f.Add(b[1 : len(b)-4])
	f.Add([]byte{1, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = DecodeGeometries(body) // does not panic
		b := appendChecksum(append([]byte{codecVersion}, body...))
		all, err := DecodeGeometries(b)
		if err != nil {
			return
		}
		for i := range all {
			if err := all[i].Valid(); err != nil {
				t.Fatal(err)
			}
			for p := 2; p < len(all[i].XYZ); p += 3 {
				if math.Abs(all[i].XYZ[p]) > maxHeight || math.Abs(all[i].XYZ[p-1]) > 360 || math.Abs(all[i].XYZ[p-2]) > 360 {
					return // cannot be written
				}
			}
		}
		once, err := AppendGeometries(nil, all)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := DecodeGeometries(once)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(all, twice) {
			t.Fatalf("%+v became %+v", all, twice)
		}
	})
}

func FuzzAttributes(f *testing.F) {
	f.Add(`{"a":1,"b":1.0,"c":[{}],"a":null,"\u0000\"":"\ud800","big":123456789012345678901,"e":1e5,"t":true}`)
	f.Add(`{`)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := DecodeAttributes(s)
		if quick, ok := scanAttributes(s); ok && s != "{}" { // the quick way is the other one
			if slow, err := decodeAny([]byte(s)); err != nil || len(slow) != len(quick) || len(slow) > 0 && !reflect.DeepEqual(slow, quick) {
				t.Fatalf("%s: %v quickly, %v, %v else", s, quick, slow, err)
			}
		}
		if err != nil {
			return
		}
		b, err := AppendAttributes(nil, a)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeAttributes(string(b))
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if len(a) != len(again) {
			t.Fatalf("%v became %v", a, again)
		}
		for i := range a {
			if a[i].Name != again[i].Name || a[i].Value.Kind() != again[i].Value.Kind() || a[i].Value.Kind() != spatial.JSON && a[i].Value != again[i].Value {
				t.Fatalf("%v became %v", a[i], again[i])
			}
		}
	})
}

func TestFootprint(t *testing.T) {
	square := func(z float64, down bool) []float64 {
		xyz := []float64{120, 31, z, 120.1, 31, z, 120.1, 31.1, z, 120, 31.1, z}
		if down {
			xyz = []float64{120, 31.1, z, 120.1, 31.1, z, 120.1, 31, z, 120, 31, z}
		}
		return xyz
	}
	wall := []float64{120, 31, 0, 120.1, 31, 0, 120.1, 31, 5, 120, 31, 5}
	surfaces := func(lod string, semantics []int32, rings ...[]float64) spatial.Geometry {
		g := spatial.Geometry{Kind: spatial.MultiSurface, LoD: lod, HasZ: true, SemanticOf: semantics, Semantics: []spatial.Semantic{{Kind: spatial.SurfaceGround}}}
		for _, r := range rings {
			g.XYZ = append(g.XYZ, r...)
			g.Rings = append(g.Rings, int32(g.NumPoints()))
			g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
		}
		return g
	}
	point := spatial.Geometry{Kind: spatial.MultiPoint, XYZ: []float64{120, 31, 8}}
	for name, test := range map[string]struct {
		in   []spatial.Geometry
		want string // kind and number of rings
	}{
		"nothing":              {nil, ""},
		"point":                {[]spatial.Geometry{point}, "MultiPoint 0"},
		"down before up":       {[]spatial.Geometry{surfaces("2", nil, square(5, false), wall, square(0, true))}, "MultiSurface 1"},
		"up where none down":   {[]spatial.Geometry{surfaces("2", nil, square(5, false), square(6, false), wall)}, "MultiSurface 2"},
		"LoD 0 first":          {[]spatial.Geometry{surfaces("2", nil, square(0, true)), surfaces("0.1", nil, square(0, false), square(3, false))}, "MultiSurface 2"},
		"ground by name":       {[]spatial.Geometry{surfaces("2", []int32{0, -1}, square(5, false), square(0, true))}, "MultiSurface 1"},
		"walls only, a point":  {[]spatial.Geometry{surfaces("2", nil, wall), point}, "MultiPoint 0"},
		"a line of one point":  {[]spatial.Geometry{{Kind: spatial.MultiLine, Rings: []int32{1}, XYZ: []float64{1, 2, 3}}}, ""},
		"a ring of two points": {[]spatial.Geometry{surfaces("0", nil, wall[:6])}, ""},
	} {
		f, got := Footprint(test.in), ""
		if f != nil {
			got = f.Kind.String() + " " + string(rune('0'+len(f.Rings)))
			if err := f.Valid(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for r := range f.Rings {
				if spatial.RingNormal(f.Ring(r))[2] <= 0 {
					t.Errorf("%s: ring %d runs clockwise", name, r)
				}
			}
		}
		if !strings.EqualFold(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
