package repair

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// surfaces is a geometry of the kind whose every surface is one ring.
func surfaces(kind spatial.Kind, rings ...[]float64) spatial.Geometry {
	g := spatial.Geometry{Kind: kind, LoD: "2", HasZ: true}
	for _, r := range rings {
		g.XYZ = append(g.XYZ, r...)
		g.Rings = append(g.Rings, int32(len(g.XYZ)/3))
		g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
	}
	if kind.IsSolid() {
		g.Shells, g.Solids = []int32{int32(len(g.Surfaces))}, []int32{1}
	}
	return g
}

// box is the faces of a cube from 0 to size, facing outwards.
func box(size float64) [][]float64 {
	v := [8][3]float64{{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}}
	var faces [][]float64
	for _, f := range [6][4]int{{0, 3, 2, 1}, {4, 5, 6, 7}, {0, 1, 5, 4}, {1, 2, 6, 5}, {2, 3, 7, 6}, {3, 0, 4, 7}} {
		var ring []float64
		for _, k := range f {
			ring = append(ring, v[k][0]*size, v[k][1]*size, v[k][2]*size)
		}
		faces = append(faces, ring)
	}
	return faces
}

func faults(o *spatial.CityObject) (codes []citymodel.Code) {
	citymodel.Check(o, citymodel.CheckOptions{}, func(p citymodel.Problem) { codes = append(codes, p.Code) })
	return codes
}

func mended(t *testing.T, g spatial.Geometry) (*spatial.CityObject, []citymodel.Code) {
	t.Helper()
	o := &spatial.CityObject{ID: "o", Geometries: []spatial.Geometry{g}}
	var codes []citymodel.Code
	for _, f := range Object(o, Options{}) {
		codes = append(codes, f.Code)
		if f.Message == "" || f.Field == "" {
			t.Errorf("%+v says nothing", f)
		}
	}
	for i := range o.Geometries {
		if err := o.Geometries[i].Valid(); err != nil {
			t.Error(err)
		}
	}
	return o, codes
}

// Any of the 63 ways to turn faces of a cube is found and turned back, and the
// volume is that of the cube.
func TestEveryTurnedCube(t *testing.T) {
	for turned := range 64 {
		faces := box(3)
		for i := range faces {
			if turned&(1<<i) != 0 {
				faces[i] = reversed(faces[i])
			}
		}
		o, codes := mended(t, surfaces(spatial.Solid, faces...))
		var want []citymodel.Code
		switch turned {
		case 0:
		case 63:
			want = []citymodel.Code{citymodel.ShellOrientation}
		default:
			want = []citymodel.Code{citymodel.PolygonOrientation}
		}
		v, closed := o.Geometries[0].Volume()
		if !slices.Equal(codes, want) || v != 27 || !closed || len(faults(o)) > 0 {
			t.Errorf("%06b: %v, volume %v, closed %v, still %v", turned, codes, v, closed, faults(o))
		}
	}
}

func TestCavityFacesInwards(t *testing.T) {
	g := surfaces(spatial.Solid, box(3)...)
	for _, f := range box(1) { // faces out of the cavity
		for k := range f {
			f[k]++
		}
		g.XYZ = append(g.XYZ, f...)
		g.Rings = append(g.Rings, int32(len(g.XYZ)/3))
		g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
	}
	g.Shells = append(g.Shells, int32(len(g.Surfaces)))
	g.Solids = []int32{2}
	o, codes := mended(t, g)
	if v, _ := o.Geometries[0].Volume(); v != 26 || !slices.Equal(codes, []citymodel.Code{citymodel.ShellOrientation}) || len(faults(o)) > 0 {
		t.Errorf("volume %v, %v, still %v", v, codes, faults(o))
	}
}

// What cannot be told is left as it was: an open shell, and one in which three
// surfaces meet at an edge.
func TestShellsThatStay(t *testing.T) {
	open := box(1)[:5]
	fin := append(box(1), []float64{0, 0, 0, 1, 0, 0, 0.5, 0, -1})
	for name, faces := range map[string][][]float64{"open": open, "fin": fin} {
		g := surfaces(spatial.Solid, faces...)
		g.XYZ = append([]float64(nil), g.XYZ...)
		o, codes := mended(t, g)
		if len(codes) != 0 || !slices.Equal(o.Geometries[0].XYZ, g.XYZ) || len(faults(o)) == 0 {
			t.Errorf("%s: %v, still %v", name, codes, faults(o))
		}
	}
}

// A repeated point and a surface of two points go from a solid without opening it;
// the semantic surfaces stay with their faces.
func TestSolidKeepsItsSemantics(t *testing.T) {
	faces := box(2)
	faces[1] = append(slices.Clone(faces[1][:3]), faces[1]...)
	faces = slices.Insert(faces, 1, []float64{0, 0, 0, 2, 0, 0})
	g := surfaces(spatial.Solid, faces...)
	g.Semantics = []spatial.Semantic{{Kind: spatial.SurfaceGround, Parent: -1}, {Kind: spatial.SurfaceRoof, Parent: -1}}
	g.SemanticOf = []int32{0, -1, 1, -1, -1, -1, -1}
	o, codes := mended(t, g)
	out := &o.Geometries[0]
	if !slices.Equal(codes, []citymodel.Code{citymodel.TooFewPoints, citymodel.ConsecutivePoints}) || !slices.Equal(out.SemanticOf, []int32{0, 1, -1, -1, -1, -1}) || len(faults(o)) > 0 {
		t.Errorf("%v, %v, still %v", codes, out.SemanticOf, faults(o))
	}
	if v, closed := out.Volume(); v != 8 || !closed {
		t.Errorf("volume %v, closed %v", v, closed)
	}
}

func TestFlatSurfaces(t *testing.T) {
	for _, c := range []struct {
		name  string
		ring  []float64
		codes []citymodel.Code
		area  float64
		left  int // geometries
	}{
		{"square", []float64{0, 0, 0, 4, 0, 0, 4, 4, 0, 0, 4, 0}, nil, 16, 1},
		{"spike", []float64{0, 0, 0, 4, 0, 0, 4, 4, 0, 2, 4, 0, 2, 9, 0, 2, 4, 0, 0, 4, 0}, []citymodel.Code{citymodel.RingSelfIntersects}, 16, 1},
		{"spike at the seam", []float64{0, 9, 0, 0, 0, 0, 4, 0, 0, 4, 4, 0, 0, 4, 0, 0, 0, 0}, []citymodel.Code{citymodel.RingSelfIntersects}, 16, 1},
		{"spike and repeated", []float64{0, 0, 0, 4, 0, 0, 4, 0, 0, 4, 4, 0, 2, 4, 0, 2, 9, 0, 2, 4, 0, 0, 4, 0, 0, 0, 0}, []citymodel.Code{citymodel.RingSelfIntersects, citymodel.ConsecutivePoints}, 16, 1},
		// The edges cross twice within 0.1: the area stays within a hundredth.
		{"little loop", []float64{0, 0, 0, 10, 0, 0, 10, 10, 0, 0.05, 10, 0, -0.05, 9.9, 0, 0.05, 9.9, 0, -0.05, 10, 0}, []citymodel.Code{citymodel.RingSelfIntersects}, 100, 1},
		{"bow tie", []float64{0, 0, 0, 4, 4, 0, 4, 0, 0, 0, 4, 0}, nil, 0, 1},
		{"bow tie of two sizes", []float64{0, 0, 0, 6, 6, 0, 6, 0, 0, 0, 3, 0}, nil, 0, 1},
		{"on a line", []float64{0, 0, 0, 2, 0, 0, 1, 0, 0, 3, 0, 0}, []citymodel.Code{citymodel.RingSelfIntersects, citymodel.EmptyGeometry}, 0, 0},
		{"two points", []float64{0, 0, 0, 2, 0, 0}, []citymodel.Code{citymodel.TooFewPoints, citymodel.EmptyGeometry}, 0, 0},
		{"a point", []float64{1, 1, 1, 1, 1, 1, 1, 1, 1}, []citymodel.Code{citymodel.TooFewPoints, citymodel.EmptyGeometry}, 0, 0},
	} {
		o, codes := mended(t, surfaces(spatial.MultiSurface, c.ring))
		if !slices.Equal(codes, c.codes) || len(o.Geometries) != c.left {
			t.Errorf("%s: %v, want %v; %d geometries", c.name, codes, c.codes, len(o.Geometries))
			continue
		}
		if c.area > 0 {
			if a := o.Geometries[0].Area(); math.Abs(a-c.area) > 0.01*c.area || len(faults(o)) > 0 {
				t.Errorf("%s: area %v, want %v; still %v", c.name, a, c.area, faults(o))
			}
		}
	}
}

// A ground surface that is built again still faces down.
func TestRebuiltSurfaceFacesItsWay(t *testing.T) {
	loop := []float64{0, 0, 0, 10, 0, 0, 10, 10, 0, 0.05, 10, 0, -0.05, 9.9, 0, 0.05, 9.9, 0, -0.05, 10, 0}
	for _, up := range []bool{true, false} {
		if !up {
			loop = reversed(loop)
		}
		o, codes := mended(t, surfaces(spatial.MultiSurface, loop))
		g := &o.Geometries[0]
		if n := spatial.RingNormal(g.Ring(0)); len(codes) != 1 || len(g.Surfaces) != 1 || (n[2] > 0) != up {
			t.Errorf("up %v: normal %v, %d surfaces, %v", up, n, len(g.Surfaces), codes)
		}
	}
}

func TestLines(t *testing.T) {
	g := spatial.Geometry{Kind: spatial.MultiLine, XYZ: []float64{0, 0, 0, 5, 5, 5, 1, 1, 1}, Rings: []int32{1, 3}}
	o, codes := mended(t, g)
	if !slices.Equal(codes, []citymodel.Code{citymodel.TooFewPoints}) || len(o.Geometries[0].Rings) != 1 || o.Geometries[0].NumPoints() != 2 {
		t.Errorf("%v, %+v", codes, o.Geometries)
	}
}

// Whatever comes, the result is a geometry whose arrays fit, no point is new
// except where rings cross, the given arrays are not written, and mending again
// changes nothing more.
func TestAnyGeometry(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1))
		kind := spatial.Kinds()[rapid.IntRange(2, 6).Draw(r, "kind")]
		g := spatial.Geometry{Kind: kind, HasZ: true}
		for range rapid.IntRange(0, 6).Draw(r, "surfaces") {
			for range random.IntN(3) + 1 {
				for range random.IntN(7) {
					g.XYZ = append(g.XYZ, float64(random.IntN(4)), float64(random.IntN(4)), float64(random.IntN(2)))
				}
				g.Rings = append(g.Rings, int32(len(g.XYZ)/3))
			}
			g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
		}
		if kind.IsSolid() {
			g.Shells, g.Solids = []int32{int32(len(g.Surfaces))}, []int32{1}
		}
		given := slices.Clone(g.XYZ)
		o := &spatial.CityObject{Geometries: []spatial.Geometry{g}}
		Object(o, Options{})
		if !slices.Equal(given, g.XYZ) {
			r.Fatal("the given array was written")
		}
		for i := range o.Geometries {
			if err := o.Geometries[i].Valid(); err != nil {
				r.Fatal(err)
			}
		}
		if again := Object(o, Options{}); len(again) > 0 {
			r.Fatalf("mending again: %+v", again)
		}
	})
}
