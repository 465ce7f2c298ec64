package cql2

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/paulmach/orb"
	"github.com/peterstace/simplefeatures/geom"
)

var spatialOps = []Op{OpSIntersects, OpSEquals, OpSDisjoint, OpSTouches, OpSWithin, OpSOverlaps, OpSCrosses, OpSContains}

func square(x, y, side float64) orb.Ring {
	return orb.Ring{{x, y}, {x + side, y}, {x + side, y + side}, {x, y + side}, {x, y}}
}

func reversed(r orb.Ring) orb.Ring {
	out := r.Clone()
	out.Reverse()
	return out
}

// matrixTruth is the relation by the DE-9IM matrix alone, without any short
// cut of this package; dimension conditions as in OGC 06-103r4, 6.1.15.
func matrixTruth(t *testing.T, op Op, a, b orb.Geometry) Truth {
	t.Helper()
	if op == OpSIntersects || op == OpSDisjoint {
		return truth(geom.Intersects(toExact(a), toExact(b)) == (op == OpSIntersects))
	}
	return relateExact(op, toExact(a), toExact(b))
}

// menagerie is geometries on a small grid, so that many touch, share edges
// and coincide. All are valid.
func menagerie() []orb.Geometry {
	gs := []orb.Geometry{
		orb.MultiPoint{{1, 1}, {5, 5}}, orb.MultiPoint{{2, 2}}, orb.MultiPoint{{0, 0}, {2, 1}, {9, 9}},
		orb.LineString{{0, 0}, {4, 4}}, orb.LineString{{0, 4}, {4, 0}}, orb.LineString{{1, 1}, {3, 1}, {3, 3}}, orb.LineString{{-1, 2}, {7, 2}}, orb.LineString{{0, 0}, {4, 0}},
		orb.LineString{{2, 2}, {2.5, 2.5}}, orb.LineString{{1, 1}, {3, 1}, {3, 3}, {1, 1}},
		orb.MultiLineString{{{0, 0}, {1, 1}}, {{3, 3}, {4, 4}}}, orb.MultiLineString{{{0, 0}, {2, 2}}, {{2, 2}, {4, 4}}},
		orb.Polygon{square(0, 0, 4)}, orb.Polygon{reversed(square(0, 0, 4))}, orb.Polygon{square(1, 1, 2)}, orb.Polygon{square(4, 0, 2)}, orb.Polygon{square(4, 4, 2)}, orb.Polygon{square(2, 2, 4)},
		orb.Polygon{square(-2, -2, 10), square(-1, -1, 8)}, orb.Polygon{square(0, 0, 4), square(1, 1, 2)}, orb.Polygon{square(-1, -1, 6), square(0.5, 0.5, 1)},
		orb.Polygon{{{0, 0}, {4, 0}, {0, 4}, {0, 0}}}, orb.Polygon{{{0, 4}, {2, 0}, {4, 4}, {2, 2}, {0, 4}}}, orb.Polygon{square(0.5, 0.5, 3)},
		orb.MultiPolygon{{square(0, 0, 1)}, {square(3, 3, 1)}}, orb.MultiPolygon{{square(0, 0, 4)}}, orb.MultiPolygon{{square(0, 0, 4), square(1, 1, 2)}, {square(1.5, 1.5, 1)}},
		orb.Collection{orb.Point{1, 1}, orb.LineString{{5, 5}, {6, 6}}},
	}
	for x := 0.0; x <= 5; x++ {
		for y := 0.0; y <= 5; y++ {
			gs = append(gs, orb.Point{x, y})
		}
	}
	return append(gs, orb.Point{0.5, 0.5}, orb.Point{1.5, 1.5}, orb.Point{2, 0.75})
}

// Requirements classes basic-spatial-functions and spatial-functions: every
// relation between every pair agrees with its DE-9IM matrix, which is computed
// by another library.
func TestRelationsAgreeWithMatrix(t *testing.T) {
	gs := menagerie()
	n := 0
	for _, lit := range gs {
		if err := toExact(lit).Validate(); err != nil {
			t.Fatalf("%v: %v", lit, err)
		}
		s := newShape(lit)
		for _, g := range gs {
			for _, op := range spatialOps {
				if got, want := s.relateGeometry(op, g), matrixTruth(t, op, g, lit); got != want {
					t.Errorf("%s(%v, %v) is %v, its matrix says %v", op, g, lit, got, want)
				}
				n++
			}
		}
	}
	if n < 20_000 {
		t.Errorf("only %d relations compared", n)
	}
}

// The same for a box, which has short cuts of its own, through the compiler
// and with the operands in both orders.
func TestBoxRelationsAgreeWithMatrix(t *testing.T) {
	q := queryables(t)
	box := &BBox{West: 1, South: 1, East: 3, North: 3}
	for _, op := range spatialOps {
		for _, swapped := range []bool{false, true} {
			e := &Call{Op: op, Args: []Expr{&Property{Name: "geometry"}, box}}
			if swapped {
				e.Args[0], e.Args[1] = e.Args[1], e.Args[0]
			}
			f, err := Compile(e, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range menagerie() {
				want := matrixTruth(t, op, g, orb.Polygon{square(1, 1, 2)})
				if swapped {
					want = matrixTruth(t, op, orb.Polygon{square(1, 1, 2)}, g)
				}
				if got := f.Eval(&testRow{colGeometry: g}); got != want {
					t.Errorf("%s on %v is %v, the matrix says %v", Text(e), g, got, want)
				}
			}
		}
	}
}

// Random triangles and lines on a grid meet in vertices and along edges more
// often than not.
func TestRandomRelations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 14))
	coord := func() orb.Point { return orb.Point{float64(rnd.IntN(7)), float64(rnd.IntN(7))} }
	next := func() orb.Geometry {
		for {
			a, b, c := coord(), coord(), coord()
			var g orb.Geometry = orb.Polygon{{a, b, c, a}}
			if rnd.IntN(2) == 0 {
				g = orb.LineString{a, b, c}
			}
			if toExact(g).Validate() == nil {
				return g
			}
		}
	}
	for range 400 {
		a, b := next(), next()
		s := newShape(b)
		for _, op := range spatialOps {
			if got, want := s.relateGeometry(op, a), matrixTruth(t, op, a, b); got != want {
				t.Errorf("%s(%v, %v) is %v, its matrix says %v", op, a, b, got, want)
			}
		}
	}
}

func TestSpatialText(t *testing.T) {
	checkCases(t, pagoda(t), []evalCase{
		{"S_INTERSECTS(geometry, BBOX(120.598,31.285,120.641,31.332))", True},
		{"S_INTERSECTS(geometry, BBOX(31.285,120.598,31.332,120.641))", False}, // latitude first is another place
		{"S_WITHIN(geometry, footprint)", True}, {"S_CONTAINS(footprint, geometry)", True}, {"S_DISJOINT(geometry, footprint)", False}, {"S_EQUALS(footprint, footprint)", True},
		{"S_WITHIN(footprint, BBOX(120.598,31.285,120.641,31.332))", True}, {"S_CONTAINS(BBOX(120.598,31.285,120.641,31.332), footprint)", True},
		{"S_INTERSECTS(geometry, BBOX(120.598,31.285,0,120.641,31.332,100))", True},
		{"S_INTERSECTS(geometry, POLYGON Z ((120 31 5, 121 31 5, 121 32 5, 120 31 5)))", True},
		{"S_EQUALS(geometry, POINT(120.6154 31.32454))", True}, {"S_EQUALS(POINT Z (120.6154 31.32454 76), geometry)", True},
		{"S_INTERSECTS(geometry, BBOX(120.6154,31.32454,120.6154,31.32454))", True}, {"S_INTERSECTS(geometry, BBOX(120.6154,31,120.6154,32))", True},
		{"S_INTERSECTS(geometry, GEOMETRYCOLLECTION(POINT(0 0), POLYGON((120 31, 121 31, 121 32, 120 31))))", True},
		{"S_INTERSECTS(geometry, BBOX(170,-90,-170,90))", False}, {"S_INTERSECTS(geometry, BBOX(120,31,-170,32))", True},
		{"S_INTERSECTS(POINT(1 1), BBOX(0,0,2,2))", True}, {"S_WITHIN(POINT(0 0), BBOX(0,0,2,2))", False}, {"S_TOUCHES(POINT(0 0), BBOX(0,0,2,2))", True},
	})
	// Two properties: bounds apart, a matrix, a NULL.
	far := pagoda(t)
	far[colGeometry] = orb.Point{0, 0}
	checkCases(t, far, []evalCase{{"S_DISJOINT(geometry, footprint)", True}, {"S_INTERSECTS(geometry, footprint)", False}, {"S_TOUCHES(footprint, geometry)", False}})
	far[colGeometry] = orb.LineString{{120.615, 31.324}, {120.615, 31.4}}
	checkCases(t, far, []evalCase{{"S_TOUCHES(geometry, footprint)", True}, {"S_CROSSES(geometry, footprint)", False}, {"S_INTERSECTS(footprint, geometry)", True}, {"S_OVERLAPS(geometry, geometry)", False}})
	far[colGeometry] = orb.MultiPoint{}
	checkCases(t, far, []evalCase{{"S_TOUCHES(geometry, footprint)", False}, {"geometry IS NULL", False}})
	far[colFootprint] = nil
	checkCases(t, far, []evalCase{{"S_TOUCHES(geometry, footprint)", Unknown}, {"S_TOUCHES(footprint, geometry)", Unknown}})
	r := &testRow{}
	for _, op := range spatialOps {
		checkCases(t, r, []evalCase{{op.TextName() + "(geometry, POINT(1 1))", Unknown}, {op.TextName() + "(POINT(1 1), geometry)", Unknown}, {op.TextName() + "(geometry, footprint)", Unknown}})
	}
	for lon, want := range map[float64]Truth{175: True, -175: True, 180: True, -180: True, 165: False, 0: False} {
		if got := evaluate(t, "S_INTERSECTS(geometry, BBOX(170,-10,-170,10))", &testRow{colGeometry: orb.Point{lon, 0}}); got != want {
			t.Errorf("a box over the antimeridian and longitude %v: %v, expected %v", lon, got, want)
		}
	}
}

// A box over the antimeridian that is flat, or whose one half is.
func TestFlatBoxes(t *testing.T) {
	for _, c := range []struct {
		src  string
		at   orb.Point
		want Truth
	}{
		{"BBOX(170,5,-170,5)", orb.Point{-175, 5}, True}, {"BBOX(170,5,-170,5)", orb.Point{-175, 6}, False},
		{"BBOX(180,0,-170,5)", orb.Point{180, 3}, True}, {"BBOX(180,0,-170,5)", orb.Point{179, 3}, False}, {"BBOX(180,0,-170,5)", orb.Point{-175, 3}, True},
		{"BBOX(170,0,-180,5)", orb.Point{-180, 3}, True}, {"BBOX(170,0,-180,5)", orb.Point{-179, 3}, False}, {"BBOX(1,2,1,4)", orb.Point{1, 3}, True}, {"BBOX(1,2,4,2)", orb.Point{1, 3}, False},
	} {
		if got := evaluate(t, "S_INTERSECTS(geometry, "+c.src+")", &testRow{colGeometry: c.at}); got != c.want {
			t.Errorf("%s and %v: %v, expected %v", c.src, c.at, got, c.want)
		}
	}
}

// The sign of the orientation agrees with rational arithmetic where doubles
// alone fail: nearly collinear points.
func TestOrientIsExact(t *testing.T) {
	exact := func(a, b, c orb.Point) int {
		r := func(x float64) *big.Rat { return new(big.Rat).SetFloat64(x) }
		sub := func(x, y float64) *big.Rat { return new(big.Rat).Sub(r(x), r(y)) }
		left := new(big.Rat).Mul(sub(a[0], c[0]), sub(b[1], c[1]))
		return left.Cmp(new(big.Rat).Mul(sub(a[1], c[1]), sub(b[0], c[0])))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	zero, rounded := 0, 0
	for range 20_000 {
		a := orb.Point{0.5 + float64(rnd.IntN(64))*0x1p-53, 0.5 + float64(rnd.IntN(64))*0x1p-53}
		b, c := orb.Point{12, 12}, orb.Point{24, 24}
		if rnd.IntN(2) == 0 {
			c = orb.Point{120.6154 + rnd.Float64()*1e-9, 31.32454}
			b = orb.Point{(a[0] + c[0]) / 2, (a[1] + c[1]) / 2}
		}
		want := exact(a, b, c)
		if got := orient(a, b, c); got != want {
			t.Fatalf("orient(%v, %v, %v) is %d, exactly %d", a, b, c, got, want)
		}
		if want == 0 {
			zero++
		}
		naive := (a[0]-c[0])*(b[1]-c[1]) - (a[1]-c[1])*(b[0]-c[0])
		if naive > 0 && want <= 0 || naive < 0 && want >= 0 || naive == 0 && want != 0 {
			rounded++
		}
	}
	if zero == 0 || rounded == 0 {
		t.Errorf("the points are too easy: %d collinear, %d where doubles fail", zero, rounded)
	}
}

func TestInvalidLiterals(t *testing.T) {
	q := queryables(t)
	for _, src := range []string{
		"S_INTERSECTS(geometry, POLYGON((0 0, 2 2, 2 0, 0 2, 0 0)))",
		"S_WITHIN(geometry, MULTIPOLYGON(((0 0, 4 0, 4 4, 0 4, 0 0)),((1 1, 5 1, 5 5, 1 5, 1 1))))",
		"S_WITHIN(geometry, POLYGON((0 0, 1 0, 1 1, 0 0),(5 5, 6 5, 6 6, 5 5)))",
	} {
		_, err := Compile(mustText(t, src), q)
		if e, ok := err.(*Error); !ok || e.Code != CodeValue || e.Pos.Column < 10 || e.Hint == "" {
			t.Errorf("%s: %v", src, err)
		}
	}
	// A bad geometry in a row is that row's matter: no panic, no match of the rest.
	bad := []orb.Geometry{orb.Polygon{{{0, 0}, {2, 2}, {2, 0}, {0, 2}, {0, 0}}}, orb.Polygon{{{0, 0}}}, orb.LineString{{1, 1}}, orb.Polygon{}, orb.MultiPolygon{}, orb.Collection{}, orb.Polygon{{}}, orb.LineString{}, orb.Polygon{{{0, 0}, {1, 1}, {0, 0}}}}
	for _, g := range bad {
		for _, op := range spatialOps {
			for _, lit := range []string{"POLYGON((0 0, 2 0, 2 2, 0 0))", "LINESTRING(0 0, 2 2)", "POINT(1 1)", "BBOX(0,0,2,2)"} {
				f := mustCompile(t, op.TextName()+"(geometry, "+lit+")")
				f.Eval(boundedRow{g})
			}
		}
	}
}

// boundedRow gives any geometry, also an empty one, the bound of the world.
type boundedRow struct{ g orb.Geometry }

func (boundedRow) Bool(int) (bool, bool)               { return false, false }
func (boundedRow) Number(int) (float64, bool)          { return 0, false }
func (boundedRow) String(int) (string, bool)           { return "", false }
func (boundedRow) Time(int) (int64, bool)              { return 0, false }
func (boundedRow) Array(int) ([]Value, bool)           { return nil, false }
func (r boundedRow) Geometry(int) (orb.Geometry, bool) { return r.g, true }
func (boundedRow) Bound(int) (orb.Bound, bool) {
	return orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}, true
}
