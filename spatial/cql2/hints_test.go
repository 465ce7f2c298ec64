package cql2

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/paulmach/orb"
)

// describeHint is a hint on one line.
func describeHint(h Hint) string {
	if h.Never {
		return "never"
	}
	var out []string
	for name, b := range h.Bounds {
		out = append(out, fmt.Sprintf("%s in %v,%v,%v,%v", name, b.Min[0], b.Min[1], b.Max[0], b.Max[1]))
	}
	for name, vs := range h.Equal {
		var texts []string
		for _, v := range vs {
			texts = append(texts, Text(v))
		}
		out = append(out, name+"="+strings.Join(texts, "|"))
	}
	sort.Strings(out)
	return strings.Join(out, " & ")
}

func TestHints(t *testing.T) {
	for _, c := range [][2]string{
		{"pm25 > 75", ""},
		{"pm25 > 75 AND class = 'building' AND S_INTERSECTS(geometry, BBOX(1,2,3,4))", "class='building' & geometry in 1,2,3,4"},
		{"'road' = class", "class='road'"},
		{"class IN ('road','water') AND class IN ('water','x')", "class='water'"},
		{"class = 'road' AND class = 'water'", "never"},
		{"class = 'road' OR class = 'water'", "class='road'|'water'"},
		{"class = 'road' OR pm25 = 1", ""},
		{"(class = 'road' AND pm25 = 1) OR (class = 'water' AND pm25 = 1 AND height = 2)", "class='road'|'water' & pm25=1|1"},
		{"NOT (class <> 'road' OR NOT S_DISJOINT(geometry, POINT(1 1)))", "class='road'"},
		{"NOT (class <> 'road' OR S_DISJOINT(geometry, POINT(1 1)))", "class='road' & geometry in 1,1,1,1"},
		{"NOT (class = 'road')", ""}, {"class <> 'road'", ""}, {"class NOT IN ('road')", ""}, {"class IN ('road', name)", ""}, {"CASEI(class) = 'road'", ""}, {"class = CASEI('ROAD')", ""},
		{"S_DISJOINT(geometry, BBOX(1,2,3,4))", ""}, {"NOT S_INTERSECTS(geometry, BBOX(1,2,3,4))", ""}, {"S_WITHIN(geometry, footprint)", ""},
		{"S_CONTAINS(LINESTRING(1 5, 3 2), geometry)", "geometry in 1,2,3,5"},
		{"S_WITHIN(geometry, BBOX(0,0,9,9)) AND S_INTERSECTS(geometry, BBOX(1,1,2,2))", "geometry in 1,1,2,2"},
		{"S_WITHIN(geometry, BBOX(0,0,1,1)) OR S_INTERSECTS(geometry, BBOX(5,5,6,6))", "geometry in 0,0,6,6"},
		{"S_INTERSECTS(geometry, BBOX(170,-10,-170,10))", "geometry in -180,-10,180,10"},
		{"open = TRUE AND updated = DATE('2026-01-01')", "open=TRUE & updated=DATE('2026-01-01')"},
		{"updated = DATE('2026-01-01') AND updated = TIMESTAMP('2026-01-01T00:00:00Z')", "updated=DATE('2026-01-01')"},
		{"FALSE", "never"}, {"NOT TRUE OR class = 'road'", "class='road'"}, {"FALSE AND pm25 > 1", "never"}, {"TRUE AND class = 'road'", "class='road'"},
	} {
		e := mustText(t, c[0])
		if err := Check(e, queryables(t)); err != nil {
			t.Fatal(err)
		}
		if got := describeHint(Hints(e)); got != c[1] {
			t.Errorf("%s: hint %q, expected %q", c[0], got, c[1])
		}
	}
}

// A hint never excludes a row that matches.
func TestHintsKeepEveryMatch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	atoms := []string{"class = 'a'", "class IN ('a','b')", "class <> 'a'", "pm25 = 1", "2 = pm25", "S_INTERSECTS(geometry, BBOX(0,0,2,2))", "S_WITHIN(geometry, BBOX(1,1,3,3))", "S_DISJOINT(geometry, BBOX(0,0,1,3))", "S_TOUCHES(geometry, POLYGON((0 0, 2 0, 2 2, 0 0)))", "TRUE", "FALSE", "pm25 IS NULL"}
	var build func(depth int) string
	build = func(depth int) string {
		switch n := rnd.IntN(4); {
		case depth == 0 || n == 0:
			return atoms[rnd.IntN(len(atoms))]
		case n == 1:
			return "NOT (" + build(depth-1) + ")"
		case n == 2:
			return "(" + build(depth-1) + " AND " + build(depth-1) + ")"
		}
		return "(" + build(depth-1) + " OR " + build(depth-1) + ")"
	}
	matches, hinted := 0, 0
	for range 1500 {
		src := build(3)
		f, h := mustCompile(t, src), Hints(mustText(t, src))
		for range 12 {
			r := &testRow{colClass: []any{"a", "b", "c", nil}[rnd.IntN(4)], colPm25: []any{1.0, 2.0, nil}[rnd.IntN(3)], colGeometry: orb.Geometry(orb.Point{float64(rnd.IntN(4)), float64(rnd.IntN(4))})}
			if rnd.IntN(5) == 0 {
				r[colGeometry] = nil
			}
			if !f.Match(r) {
				continue
			}
			matches++
			if describeHint(h) != "" {
				hinted++
			}
			if h.Never {
				t.Fatalf("%s: never, and yet it matches %v", src, *r)
			}
			for _, b := range h.Bounds {
				if rb, ok := r.Bound(colGeometry); !ok || !rb.Intersects(b) {
					t.Fatalf("%s: the hint %s excludes %v", src, describeHint(h), *r)
				}
			}
			for name, vs := range h.Equal {
				ok := false
				for _, v := range vs {
					ok = ok || mustCompileExpr(t, &Call{Op: OpEq, Args: []Expr{&Property{Name: name}, v}}).Match(r)
				}
				if !ok {
					t.Fatalf("%s: the hint %s excludes %v", src, describeHint(h), *r)
				}
			}
		}
	}
	if matches < 1000 || hinted < 300 {
		t.Errorf("%d matches, %d with a hint: too few to say anything", matches, hinted)
	}
}

func mustCompileExpr(t testing.TB, e Expr) *Filter {
	t.Helper()
	f, err := Compile(e, queryables(t))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
