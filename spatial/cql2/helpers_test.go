package cql2

import (
	"testing"
	"time"

	"github.com/paulmach/orb"
)

// The queryables of the tests, as a collection of the hub might have them.
const (
	colName = iota
	colClass
	colPm25
	colHeight
	colOpen
	colUpdated
	colBuilt
	colFrom
	colTo
	colGeometry
	colFootprint
	colTags
	colLevels
	colOther
	numColumns
)

func queryables(t testing.TB) *Queryables {
	t.Helper()
	q, err := NewQueryables(
		Queryable{Name: "name", Type: TypeString},
		Queryable{Name: "class", Type: TypeString},
		Queryable{Name: "pm25", Type: TypeNumber},
		Queryable{Name: "height", Type: TypeNumber},
		Queryable{Name: "open", Type: TypeBool},
		Queryable{Name: "updated", Type: TypeTimestamp},
		Queryable{Name: "built", Type: TypeDate},
		Queryable{Name: "from", Type: TypeTimestamp},
		Queryable{Name: "to", Type: TypeTimestamp},
		Queryable{Name: "geometry", Type: TypeGeometry},
		Queryable{Name: "footprint", Type: TypeGeometry},
		Queryable{Name: "tags", Type: TypeArray, Elem: TypeString},
		Queryable{Name: "levels", Type: TypeArray, Elem: TypeNumber},
		Queryable{Name: "other", Type: TypeString},
	)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// testRow is a Row of values by column; a missing one is NULL.
type testRow [numColumns]any

func cell[T any](r *testRow, col int) (T, bool) {
	v, ok := r[col].(T)
	return v, ok
}

func (r *testRow) Bool(col int) (bool, bool)             { return cell[bool](r, col) }
func (r *testRow) Number(col int) (float64, bool)        { return cell[float64](r, col) }
func (r *testRow) String(col int) (string, bool)         { return cell[string](r, col) }
func (r *testRow) Time(col int) (int64, bool)            { return cell[int64](r, col) }
func (r *testRow) Array(col int) ([]Value, bool)         { return cell[[]Value](r, col) }
func (r *testRow) Geometry(col int) (orb.Geometry, bool) { return cell[orb.Geometry](r, col) }

func (r *testRow) Bound(col int) (orb.Bound, bool) {
	g, ok := r.Geometry(col)
	if !ok {
		return orb.Bound{}, false
	}
	return g.Bound(), true
}

func ns(t testing.TB, s string) int64 {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return v.UnixNano()
}

func texts(vs ...string) []Value {
	out := []Value{}
	for _, v := range vs {
		out = append(out, Value{Type: TypeString, String: v})
	}
	return out
}

func numbers(vs ...float64) []Value {
	out := []Value{}
	for _, v := range vs {
		out = append(out, Value{Type: TypeNumber, Number: v})
	}
	return out
}

// pagoda is a row with a value in every column but other.
func pagoda(t testing.TB) *testRow {
	return &testRow{
		colName: "北寺塔 Tower", colClass: "building", colPm25: 42.5, colHeight: 76.0, colOpen: true,
		colUpdated: ns(t, "2026-11-21T08:00:00Z"), colBuilt: ns(t, "1953-01-01T00:00:00Z"),
		colFrom: ns(t, "2026-11-01T00:00:00Z"), colTo: ns(t, "2026-11-30T00:00:00Z"),
		colGeometry:  orb.Point{120.6154, 31.32454},
		colFootprint: orb.Polygon{{{120.615, 31.324}, {120.616, 31.324}, {120.616, 31.325}, {120.615, 31.325}, {120.615, 31.324}}},
		colTags:      texts("heritage", "tower"), colLevels: numbers(1, 2, 3),
	}
}

func mustText(t testing.TB, src string) Expr {
	t.Helper()
	e, err := ParseText(src, Limits{})
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return e
}

func mustCompile(t testing.TB, src string) *Filter {
	t.Helper()
	f, err := Compile(mustText(t, src), queryables(t))
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return f
}

// evaluate compiles src from the text, and again from its JSON, and checks
// that both agree.
func evaluate(t testing.TB, src string, r Row) Truth {
	t.Helper()
	got := mustCompile(t, src).Eval(r)
	e, err := ParseJSON(JSON(mustText(t, src)), Limits{})
	if err != nil {
		t.Fatalf("%s: its JSON: %v", src, err)
	}
	f, err := Compile(e, queryables(t))
	if err != nil {
		t.Fatalf("%s: its JSON: %v", src, err)
	}
	if other := f.Eval(r); other != got {
		t.Errorf("%s: %v from the text, %v from the JSON", src, got, other)
	}
	return got
}

type evalCase struct {
	src  string
	want Truth
}

func checkCases(t *testing.T, r Row, cases []evalCase) {
	t.Helper()
	for _, c := range cases {
		if got := evaluate(t, c.src, r); got != c.want {
			t.Errorf("%s is %v, expected %v", c.src, got, c.want)
		}
	}
}
