package cql2

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"pgregory.net/rapid"
)

// The generators build any tree that the parsers accept.

func genName(t *rapid.T) string {
	return rapid.OneOf(rapid.SampledFrom([]string{"name", "pm25", "层数", "eo:cloud.cover", "and", "POINT", "date", "casei", "a b", `q"q`, "1st", "isNull", "z'"}), rapid.StringMatching(`[a-zA-Z_:][a-zA-Z0-9_.]{0,8}`)).Draw(t, "name")
}

func genNumber(t *rapid.T) *Number {
	return &Number{Value: rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1000, 1000), rapid.SampledFrom([]float64{0, 1, -1, 1e-7, 1e21, 5e-324, -1e300})).Draw(t, "number")}
}

func genText(t *rapid.T) string {
	return rapid.OneOf(rapid.String(), rapid.StringMatching(`['"\\%_abnt\n\r\t' ]{0,12}`)).Draw(t, "text")
}

func genInstant(t *rapid.T) *Instant {
	sec := rapid.Int64Range(-62167219200, 253402300799).Draw(t, "seconds") // years 0 to 9999
	if rapid.Bool().Draw(t, "is a date") {
		return &Instant{Time: time.Unix(sec-((sec%86400)+86400)%86400, 0).UTC(), Date: true}
	}
	return &Instant{Time: time.Unix(sec, rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()}
}

func genLeaf(t *rapid.T, literal Expr) Expr {
	switch rapid.IntRange(0, 3).Draw(t, "leaf") {
	case 0:
		return &Property{Name: genName(t)}
	case 1:
		return &Function{Name: "Fn_x", Args: []Expr{&Property{Name: "a"}, &Array{Items: []Expr{literal}}}}
	}
	return literal
}

func genNumeric(t *rapid.T, depth int) Expr {
	if depth > 0 && rapid.Bool().Draw(t, "arithmetic") {
		op := rapid.SampledFrom([]Op{OpAdd, OpSub, OpMul, OpDiv, OpMod, OpIntDiv, OpPow}).Draw(t, "op")
		return &Call{Op: op, Args: []Expr{genNumeric(t, depth-1), genNumeric(t, depth-1)}}
	}
	return genLeaf(t, genNumber(t))
}

func genCharacter(t *rapid.T, depth int) Expr {
	if depth > 0 && rapid.Bool().Draw(t, "fold") {
		return &Call{Op: rapid.SampledFrom([]Op{OpCaseI, OpAccentI}).Draw(t, "op"), Args: []Expr{genCharacter(t, depth-1)}}
	}
	return genLeaf(t, &String{Value: genText(t)})
}

func genPattern(t *rapid.T) Expr {
	s := genText(t)
	if danglingEscape(s) {
		s += "x"
	}
	var e Expr = &String{Value: s}
	for range rapid.IntRange(0, 2).Draw(t, "folds") {
		e = &Call{Op: rapid.SampledFrom([]Op{OpCaseI, OpAccentI}).Draw(t, "op"), Args: []Expr{e}}
	}
	return e
}

func genGeometry(t *rapid.T) Expr {
	ord := rapid.Float64Range(-180, 180)
	point := func() orb.Point { return orb.Point{ord.Draw(t, "x"), ord.Draw(t, "y")} }
	line := func() orb.LineString { return orb.LineString{point(), point(), point()} }
	polygon := func() orb.Polygon {
		p := orb.Polygon{}
		for range rapid.IntRange(1, 2).Draw(t, "rings") {
			a := point()
			p = append(p, orb.Ring{a, point(), point(), a})
		}
		return p
	}
	var any func(kind int) orb.Geometry
	any = func(kind int) orb.Geometry {
		switch kind {
		case 0:
			return point()
		case 1:
			return line()
		case 2:
			return polygon()
		case 3:
			return orb.MultiPoint{point(), point()}
		case 4:
			return orb.MultiLineString{line(), line()}
		case 5:
			return orb.MultiPolygon{polygon(), polygon()}
		}
		return orb.Collection{any(rapid.IntRange(0, 5).Draw(t, "member")), orb.Collection{any(2)}}
	}
	if rapid.IntRange(0, 4).Draw(t, "box") == 0 {
		b := &BBox{West: -170.5, South: ord.Draw(t, "south"), East: ord.Draw(t, "east"), North: 180, HasZ: rapid.Bool().Draw(t, "3d")}
		if b.HasZ {
			b.MinZ, b.MaxZ = -1.25, 1e6
		}
		return b
	}
	g := &Geometry{Geom: any(rapid.IntRange(0, 6).Draw(t, "kind"))}
	if rapid.Bool().Draw(t, "z") { // one height for all: rings stay closed
		for range countVertices(g.Geom) {
			g.Z = append(g.Z, 3.5)
		}
	}
	return g
}

func countVertices(g orb.Geometry) int {
	if c, ok := g.(orb.Collection); ok {
		n := 0
		for _, m := range c {
			n += countVertices(m)
		}
		return n
	}
	return countLeaves(vertexTree(g))
}

func countLeaves(v vtree) int {
	if v.point != nil {
		return 1
	}
	n := 0
	for _, p := range v.parts {
		n += countLeaves(p)
	}
	return n
}

func genTemporal(t *rapid.T, interval bool) Expr {
	if !interval && rapid.Bool().Draw(t, "an instant") {
		return genLeaf(t, genInstant(t))
	}
	i := &Interval{Start: &Property{Name: genName(t)}}
	switch rapid.IntRange(0, 2).Draw(t, "bounds") {
	case 0:
		a, b := genInstant(t), genInstant(t)
		if a.Time.After(b.Time) {
			a, b = b, a
		}
		i.Start, i.End = a, b
	case 1:
		i.Start, i.End = nil, genInstant(t)
	}
	return i
}

func genArray(t *rapid.T, depth int) Expr {
	if rapid.IntRange(0, 3).Draw(t, "property") == 0 {
		return &Property{Name: genName(t)}
	}
	a := &Array{}
	for range rapid.IntRange(0, 3).Draw(t, "elements") {
		switch rapid.IntRange(0, 5).Draw(t, "element") {
		case 0:
			a.Items = append(a.Items, genNumeric(t, 1))
		case 1:
			a.Items = append(a.Items, genCharacter(t, 1))
		case 2:
			a.Items = append(a.Items, genTemporal(t, false))
		case 3:
			a.Items = append(a.Items, genGeometry(t))
		default:
			if depth > 0 {
				a.Items = append(a.Items, genArray(t, depth-1), genCondition(t, depth-1))
			}
		}
	}
	return a
}

func genCondition(t *rapid.T, depth int) Expr {
	call := func(op Op, args ...Expr) Expr { return &Call{Op: op, Args: args} }
	from := func(lo, hi Op) Op { return Op(rapid.IntRange(int(lo), int(hi)).Draw(t, "op")) }
	kind := rapid.IntRange(0, 13).Draw(t, "kind")
	if depth > 0 && kind < 4 {
		switch kind {
		case 0:
			return call(OpNot, genCondition(t, depth-1))
		case 1:
			return call(OpAnd, genCondition(t, depth-1), genCondition(t, depth-1), genCondition(t, depth-1))
		}
		return call(OpOr, genCondition(t, depth-1), genCondition(t, depth-1))
	}
	switch kind {
	case 4:
		return call(from(OpEq, OpGe), genCharacter(t, 2), genCharacter(t, 2))
	case 5:
		return call(from(OpEq, OpGe), genTemporalScalar(t), genTemporalScalar(t))
	case 6:
		return call(OpLike, genCharacter(t, 2), genPattern(t))
	case 7:
		return call(OpBetween, genNumeric(t, 2), genNumeric(t, 2), genNumeric(t, 2))
	case 8:
		return call(OpIn, genNumeric(t, 1), genNumeric(t, 2), genNumeric(t, 2))
	case 9:
		return call(from(OpSIntersects, OpSContains), genGeometry(t), &Property{Name: genName(t)})
	case 10:
		op := from(OpTAfter, OpTStarts)
		interval := op != OpTAfter && op != OpTBefore && op != OpTDisjoint && op != OpTEquals && op != OpTIntersects
		return call(op, genTemporal(t, interval), genTemporal(t, interval))
	case 11:
		return call(from(OpAEquals, OpAOverlaps), genArray(t, 2), genArray(t, 2))
	case 12:
		return call(OpIsNull, rapid.SampledFrom([]func() Expr{
			func() Expr { return genNumeric(t, 2) }, func() Expr { return genCharacter(t, 2) }, func() Expr { return genGeometry(t) },
			func() Expr { return genTemporal(t, false) }, func() Expr { return genCondition(t, 0) },
		}).Draw(t, "operand")())
	case 13:
		return &Bool{Value: rapid.Bool().Draw(t, "value")}
	}
	return call(from(OpEq, OpGe), genNumeric(t, 3), genNumeric(t, 3))
}

func genTemporalScalar(t *rapid.T) Expr { return genLeaf(t, genInstant(t)) }

// Any tree survives text and JSON, in either order.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genCondition(t, 3)
		want := JSON(e)
		fromJSON, err := ParseJSON(want, Limits{Depth: 200})
		if err != nil {
			t.Fatalf("%v\n%s", err, want)
		}
		if got := JSON(fromJSON); !bytes.Equal(got, want) {
			t.Fatalf("through JSON\n%s\nbecomes\n%s", want, got)
		}
		text := Text(fromJSON)
		fromText, err := ParseText(text, Limits{Depth: 200})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if got := JSON(fromText); !bytes.Equal(got, want) {
			t.Fatalf("the text\n%s\nof\n%s\nbecomes\n%s", text, want, got)
		}
	})
}

// Pairs of text and JSON, one for each construct of the grammar (21-065r2,
// Annex B and the JSON schema of Annex C).
func TestEncodings(t *testing.T) {
	for _, c := range []struct{ text, json string }{
		{"name = 'a''b'", `{"op":"=","args":[{"property":"name"},"a'b"]}`},
		{"name NOT LIKE 'a%'", `{"op":"not","args":[{"op":"like","args":[{"property":"name"},"a%"]}]}`},
		{"height NOT BETWEEN 1 AND 2", `{"op":"not","args":[{"op":"between","args":[{"property":"height"},1,2]}]}`},
		{"height IN (1, 2)", `{"op":"in","args":[{"property":"height"},[1,2]]}`},
		{"height IS NOT NULL", `{"op":"not","args":[{"op":"isNull","args":[{"property":"height"}]}]}`},
		{"a = 1 AND b = 2 AND c = 3", `{"op":"and","args":[{"op":"=","args":[{"property":"a"},1]},{"op":"=","args":[{"property":"b"},2]},{"op":"=","args":[{"property":"c"},3]}]}`},
		{"a = 1 AND (b = 2 AND c = 3)", `{"op":"and","args":[{"op":"=","args":[{"property":"a"},1]},{"op":"and","args":[{"op":"=","args":[{"property":"b"},2]},{"op":"=","args":[{"property":"c"},3]}]}]}`},
		{"NOT (a = 1 OR TRUE)", `{"op":"not","args":[{"op":"or","args":[{"op":"=","args":[{"property":"a"},1]},true]}]}`},
		{"a - b - (c - d) > 1", `{"op":">","args":[{"op":"-","args":[{"op":"-","args":[{"property":"a"},{"property":"b"}]},{"op":"-","args":[{"property":"c"},{"property":"d"}]}]},1]}`},
		{"-1 * a div 2 ^ 3 = 0", `{"op":"=","args":[{"op":"div","args":[{"op":"*","args":[-1,{"property":"a"}]},{"op":"^","args":[2,3]}]},0]}`},
		{"CASEI(name) LIKE CASEI('x%')", `{"op":"like","args":[{"op":"casei","args":[{"property":"name"}]},{"op":"casei","args":["x%"]}]}`},
		{"S_INTERSECTS(geometry, POINT Z (1 2 3))", `{"op":"s_intersects","args":[{"property":"geometry"},{"type":"Point","coordinates":[1,2,3]}]}`},
		{"S_INTERSECTS(geometry, MULTIPOINT ((1 2), (3 4)))", `{"op":"s_intersects","args":[{"property":"geometry"},{"type":"MultiPoint","coordinates":[[1,2],[3,4]]}]}`},
		{"S_WITHIN(geometry, BBOX(1, 2, 0, 3, 4, 9))", `{"op":"s_within","args":[{"property":"geometry"},{"bbox":[1,2,0,3,4,9]}]}`},
		{"T_DURING(INTERVAL(from, to), INTERVAL('2026-01-01', '..'))", `{"op":"t_during","args":[{"interval":[{"property":"from"},{"property":"to"}]},{"interval":["2026-01-01",".."]}]}`},
		{"updated >= TIMESTAMP('2026-11-21T08:00:00.5Z')", `{"op":">=","args":[{"property":"updated"},{"timestamp":"2026-11-21T08:00:00.5Z"}]}`},
		{"A_CONTAINEDBY(tags, ('a', (1), ()))", `{"op":"a_containedBy","args":[{"property":"tags"},["a",[1],[]]]}`},
		{"A_OVERLAPS(tags, (a + 1))", `{"op":"a_overlaps","args":[{"property":"tags"},[{"op":"+","args":[{"property":"a"},1]}]]}`},
		{"near(geometry, 5, TRUE)", `{"op":"near","args":[{"property":"geometry"},5,true]}`},
		{`"and" = 'x' AND "two words" = 'y'`, `{"op":"and","args":[{"op":"=","args":[{"property":"and"},"x"]},{"op":"=","args":[{"property":"two words"},"y"]}]}`},
	} {
		e := mustText(t, c.text)
		if got := string(JSON(e)); got != c.json {
			t.Errorf("%s\ngives    %s\nexpected %s", c.text, got, c.json)
		}
		if got := Text(mustJSON(t, []byte(c.json))); got != c.text {
			t.Errorf("%s\ngives    %s\nexpected %s", c.json, got, c.text)
		}
	}
}

// Other ways to write the same.
func TestEquivalentTexts(t *testing.T) {
	for _, c := range [][2]string{
		{"a=1 and b<>2", "a = 1 AND b <> 2"}, {"((a)) = ((1))", "a = 1"}, {"a\u00a0=\n\t1\u3000", "a = 1"}, {`"a" = 1`, "a = 1"},
		{"s_intersects(g, point(1 2))", "S_INTERSECTS(g, POINT(1 2))"}, {"S_INTERSECTS(g, MULTIPOINT(1 2, 3 4))", "S_INTERSECTS(g, MULTIPOINT((1 2), (3 4)))"},
		{"S_INTERSECTS(g, POINT(1 2 3))", "S_INTERSECTS(g, POINT Z (1 2 3))"}, {"a = - 5", "a = -5"}, {"- a = 5", "-1 * a = 5"}, {"date = date('2026-01-01')", `"date" = DATE('2026-01-01')`},
		{"a = 1 OR b = 2 AND c = 3", "a = 1 OR (b = 2 AND c = 3)"}, {"NOT a = 1 AND b = 2", "(NOT a = 1) AND b = 2"}, {"a = 'it\\'s'", "a = 'it''s'"}, {"-2 ^ 2 = a", "(-2) ^ 2 = a"},
		{"A_EQUALS(x, ((1 + 2) * 3, (4)))", "A_EQUALS(x, ((1+2)*3,(4)))"}, {"A_EQUALS(x, (((1 + 2)) * 3))", "A_EQUALS(x, ((1 + 2) * 3))"}, {"fn((1), 2) = 3", "fn((1),2)=3"}, {"S_CROSSES(g, LINESTRING(-1 +2, 3e0 .5))", "S_CROSSES(g, LINESTRING(-1 2, 3 0.5))"},
	} {
		a, b := JSON(mustText(t, c[0])), JSON(mustText(t, c[1]))
		if !bytes.Equal(a, b) {
			t.Errorf("%s is %s\n%s is %s", c[0], a, c[1], b)
		}
	}
}

func TestWalk(t *testing.T) {
	e := mustText(t, "a = 1 AND (b > a OR T_DURING(INTERVAL(c, '..'), INTERVAL(d, e)) OR A_EQUALS((f, 1), g) OR h(i) = 1)")
	if got := strings.Join(Properties(e), " "); got != "a b c d e f g i" {
		t.Errorf("properties are %s", got)
	}
	n := 0
	Walk(e, func(Expr) bool { n++; return false })
	if n != 1 {
		t.Errorf("a visit that answers false goes on to %d nodes", n)
	}
}
