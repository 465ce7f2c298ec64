package spatial

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestClassesOfArticle29(t *testing.T) {
	if len(Classes()) != 5 {
		t.Errorf("%d classes, 苏州市数据条例 第二十九条 has 5", len(Classes()))
	}
	for _, c := range Classes() {
		if !c.Valid() {
			t.Errorf("%q is not valid", c)
		}
	}
	if Class("").Valid() || Class("bridge").Valid() {
		t.Error("what is no class is valid")
	}
	if CIMLevel(0).String() != "" || CIMLevel(7).String() != "CIM7" || CIMLevel(8).Valid() || !CIMLevel(7).Valid() {
		t.Error("CIM levels are CIM1 to CIM7")
	}
}

// prism is a solid on the polygon xy, which runs counter-clockwise, from z0 to z1,
// moved by d.
func prism(xy []float64, z0, z1 float64, d [3]float64) Geometry {
	g := Geometry{Kind: Solid, HasZ: true}
	n := len(xy) / 2
	add := func(i int, z float64) {
		i = (i + n) % n
		g.XYZ = append(g.XYZ, xy[2*i]+d[0], xy[2*i+1]+d[1], z+d[2])
	}
	end := func() {
		g.Rings = append(g.Rings, int32(len(g.XYZ)/3))
		g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
	}
	for i := range n {
		add(n-1-i, z0)
	}
	end()
	for i := range n {
		add(i, z1)
	}
	end()
	for i := range n {
		add(i, z0)
		add(i+1, z0)
		add(i+1, z1)
		add(i, z1)
		end()
	}
	g.Shells, g.Solids = []int32{int32(len(g.Surfaces))}, []int32{1}
	return g
}

// shoelace is the area of a polygon, computed in another way than areaVector.
func shoelace(xy []float64) (a float64) {
	n := len(xy) / 2
	for i := range n {
		j := (i + 1) % n
		a += (xy[2*i] - xy[2*j]) * (xy[2*i+1] + xy[2*j+1]) / 2
	}
	return a
}

func TestVolumeAndAreaOfPrisms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	far := [3]float64{40558574.026, 3467120.659, -12.5} // EPSG:4528
	for range 200 {
		n := 3 + rng.IntN(12)
		xy := make([]float64, 0, 2*n)
		for i := range n { // a star around the origin: not convex, not crossing
			s, c := math.Sincos(2 * math.Pi * float64(i) / float64(n))
			r := 5 + 20*rng.Float64()
			xy = append(xy, r*c, r*s)
		}
		h := 1 + 30*rng.Float64()
		area, perimeter := shoelace(xy), 0.0
		for i := range n {
			j := (i + 1) % n
			perimeter += math.Hypot(xy[2*j]-xy[2*i], xy[2*j+1]-xy[2*i+1])
		}
		for _, d := range [][3]float64{{}, far} {
			g := prism(xy, 3, 3+h, d)
			if err := g.Valid(); err != nil {
				t.Fatal(err)
			}
			tolerance := 1e-9
			if d != ([3]float64{}) {
				tolerance = 1e-6 // coordinates of 4e7 m are themselves only good to 4e-9 m
			}
			v, closed := g.Volume()
			if !closed || math.Abs(v-area*h) > tolerance*area*h {
				t.Errorf("%d corners: volume %v, closed %v; want %v", n, v, closed, area*h)
			}
			if a := g.Area(); math.Abs(a-2*area-perimeter*h) > tolerance*a {
				t.Errorf("%d corners: area %v, want %v", n, a, 2*area+perimeter*h)
			}
			if math.Abs(g.Bounds().HeightMetres()-h) > 1e-6 {
				t.Errorf("height %v, want %v", g.Bounds().HeightMetres(), h)
			}
			g.Kind, g.Shells, g.Solids = MultiSurface, nil, nil
			if w, closed := g.Volume(); !closed || w != v {
				t.Errorf("as surfaces: %v, %v, want %v", w, closed, v)
			}
		}
	}
}

func TestVolumeSaysWhatIsWrong(t *testing.T) {
	g := prism([]float64{0, 0, 4, 0, 4, 4, 0, 4}, 0, 2, [3]float64{})
	turned := g
	turned.XYZ = slices.Clone(g.XYZ)
	for i := range g.Rings {
		ring := turned.Ring(i)
		for a, b := 0, len(ring)-3; a < b; a, b = a+3, b-3 {
			for k := range 3 {
				ring[a+k], ring[b+k] = ring[b+k], ring[a+k]
			}
		}
	}
	if v, closed := turned.Volume(); v != -32 || !closed {
		t.Errorf("turned inside out: %v, %v; want -32", v, closed)
	}
	open := g
	open.XYZ, open.Rings, open.Surfaces, open.Shells = g.XYZ[:60], g.Rings[:5], g.Surfaces[:5], []int32{5}
	if _, closed := open.Volume(); closed || open.Valid() != nil {
		t.Errorf("an open box is closed, or %v", open.Valid())
	}
	if e, n, s := open.EdgeFaults(0); e != 4 || n != 0 || s != 0 {
		t.Errorf("open box: %d open, %d non-manifold, %d same edges; want 4 open", e, n, s)
	}
	var none Geometry
	if v, closed := none.Volume(); v != 0 || closed {
		t.Errorf("nothing has volume %v", v)
	}
	hole := Geometry{
		Kind: MultiSurface, Rings: []int32{4, 8}, Surfaces: []int32{2},
		XYZ: []float64{0, 0, 0, 4, 0, 0, 4, 4, 0, 0, 4, 0, 1, 1, 0, 1, 2, 0, 2, 2, 0, 2, 1, 0},
	}
	if a := hole.Area(); a != 15 {
		t.Errorf("16 m² with a hole of 1 m²: %v", a)
	}
	if n := RingNormal(hole.Ring(0)); n != [3]float64{0, 0, 1} {
		t.Errorf("normal %v", n)
	}
}

func TestValidFindsEachBrokenLevel(t *testing.T) {
	good := func() Geometry {
		g := prism([]float64{0, 0, 4, 0, 4, 4}, 0, 2, [3]float64{})
		g.Semantics = []Semantic{{Kind: SurfaceRoof}}
		g.SemanticOf = []int32{0, -1, 0, 0, 0}
		return g
	}
	if g := good(); g.Valid() != nil {
		t.Fatal(g.Valid())
	}
	for want, spoil := range map[string]func(*Geometry){
		"kind":                                 func(g *Geometry) { g.Kind = 0 },
		"xyz":                                  func(g *Geometry) { g.XYZ = g.XYZ[:len(g.XYZ)-1] },
		"xyz: coord":                           func(g *Geometry) { g.XYZ[4] = math.NaN() },
		"xyz: coordinate 0 of point 2 is +Inf": func(g *Geometry) { g.XYZ[6] = math.Inf(1) },
		"rings: end 1":                         func(g *Geometry) { g.Rings[1] = 2 },
		"rings: the last":                      func(g *Geometry) { g.Rings = g.Rings[:4] },
		"surfaces: end":                        func(g *Geometry) { g.Surfaces[0] = 99 },
		"surfaces: end 0 is -1":                func(g *Geometry) { g.Surfaces[0] = -1 },
		"shells":                               func(g *Geometry) { g.Shells = nil },
		"solids":                               func(g *Geometry) { g.Solids = []int32{1, 1} },
		"shells: a MultiSurface has none":      func(g *Geometry) { g.Kind = MultiSurface },
		"semanticOf: 1 for 5":                  func(g *Geometry) { g.SemanticOf = g.SemanticOf[:1] },
		"semanticOf: element 2":                func(g *Geometry) { g.SemanticOf[2] = 1 },
	} {
		g := good()
		spoil(&g)
		if err := g.Valid(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestBox(t *testing.T) {
	e := EmptyBox()
	b := Box{Min: [3]float64{0, 0, 0}, Max: [3]float64{1, 1, 1}}
	c := Box{Min: [3]float64{1, 1, 1}, Max: [3]float64{2, 2, 2}}
	d := Box{Min: [3]float64{0, 0, 1.5}, Max: [3]float64{1, 1, 2}}
	if !e.Empty() || b.Empty() || e.HeightMetres() != 0 || e.Intersects(b) || b.Intersects(e) || e.Union(b) != b || b.Union(e) != b {
		t.Error("the empty box")
	}
	if !b.Intersects(c) || b.Intersects(d) || b.Union(c) != (Box{Max: [3]float64{2, 2, 2}}) {
		t.Error("boxes side by side")
	}
}

func TestCityObjectChoosesItsFinestGeometry(t *testing.T) {
	o := CityObject{Geometries: []Geometry{
		{Kind: MultiSurface, LoD: "2.2"}, {Kind: Solid, LoD: "2.2", XYZ: []float64{1, 2, 3}}, {Kind: MultiLine, LoD: "0"}, {Kind: Solid, LoD: "1.3", XYZ: []float64{0, 5, 0}},
	}}
	if g := o.Finest(); g != &o.Geometries[1] {
		t.Errorf("finest %+v", g)
	}
	if g := o.Geometry("0"); g != &o.Geometries[2] || o.Geometry("3") != nil {
		t.Errorf("LoD 0 %+v", g)
	}
	if b := o.Bounds(); b.Min != [3]float64{0, 2, 0} || b.Max != [3]float64{1, 5, 3} {
		t.Errorf("bounds %v", b)
	}
	var none CityObject
	if none.Finest() != nil || !none.Bounds().Empty() {
		t.Error("an object without geometry")
	}
}

func TestValuesKeepTheirType(t *testing.T) {
	a := Attributes{{"b", BoolValue(true)}, {"i", IntValue(1 << 62)}, {"f", FloatValue(0.1)}, {"t", TextValue("苏州")}, {"j", JSONValue("[1]")}, {"n", NullValue()}, {"b", BoolValue(false)}}
	var text []string
	for _, x := range a {
		text = append(text, x.Value.String())
	}
	if got := strings.Join(text, " "); got != "true 4611686018427387904 0.1 苏州 [1] null false" {
		t.Error(got)
	}
	v, ok := a.Get("b")
	if b, is := v.Bool(); !ok || !b || !is {
		t.Error("the first of a name counts")
	}
	if _, ok := a.Get("x"); ok {
		t.Error("what is not there")
	}
	if n, ok := a[1].Value.Number(); !ok || n != 1<<62 {
		t.Error("an Int is a number")
	}
	if _, ok := a[3].Value.Number(); ok {
		t.Error("a text is no number")
	}
	if _, ok := a[2].Value.Int(); ok {
		t.Error("a Float is no Int")
	}
	if _, ok := a[4].Value.Text(); ok {
		t.Error("JSON is no text")
	}
}

func TestSurfaceKinds(t *testing.T) {
	for typ, want := range map[string]SurfaceKind{
		"RoofSurface": SurfaceRoof, "WallSurface": SurfaceWall, "GroundSurface": SurfaceGround, "ClosureSurface": SurfaceClosure,
		"WaterSurface": SurfaceWater, "WaterGroundSurface": SurfaceWaterGround, "WaterClosureSurface": SurfaceClosure, "TrafficArea": SurfaceTraffic,
		"AuxiliaryTrafficArea": SurfaceAuxiliaryTraffic, "OuterCeilingSurface": SurfaceOuterCeiling, "OuterFloorSurface": SurfaceOuterFloor,
		"InteriorWallSurface": SurfaceInteriorWall, "CeilingSurface": SurfaceCeiling, "FloorSurface": SurfaceFloor, "Window": SurfaceWindow,
		"Door": SurfaceDoor, "WindowSurface": SurfaceWindow, "": SurfaceUnknown, "+Solar": SurfaceOther, "Lawn": SurfaceOther,
	} {
		if got := SurfaceKindOf(typ); got != want {
			t.Errorf("%s is %d, want %d", typ, got, want)
		}
	}
}
