package cql2

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// What is wrong, where it is, and what helps.
func TestTextErrors(t *testing.T) {
	for _, c := range []struct {
		src  string
		code Code
		line int
		col  int
		says string
	}{
		{"", CodeSyntax, 1, 1, "the end"},
		{"pm25 >", CodeSyntax, 1, 7, "the end"},
		{"pm25 > 75 AND\n  pm25 >> 3", CodeSyntax, 2, 9, `">"`},
		{"pm25 == 3", CodeSyntax, 1, 7, "one ="},
		{"pm25 != 3", CodeSyntax, 1, 6, "<>"},
		{"pm25 = 3 AND", CodeSyntax, 1, 13, "the end"},
		{"pm25 = 3 pm25", CodeSyntax, 1, 10, "AND, OR or the end"},
		{"(pm25 = 3", CodeSyntax, 1, 10, ")"},
		{"name = 'abc", CodeSyntax, 1, 8, "closing single quote"},
		{`"name = 'abc'`, CodeSyntax, 1, 1, "closing double quote"},
		{`"" = 1`, CodeSyntax, 1, 1, "empty name"},
		{"北寺 = ‘x’", CodeSyntax, 1, 6, "straight single quotes"},
		{"name = 'a' AND 层数 ! 3", CodeSyntax, 1, 19, "'!'"},
		{"3rd = 1", CodeSyntax, 1, 1, "double quotes"},
		{"like = 1", CodeSyntax, 1, 1, "double quotes"},
		{"name NOT = 'x'", CodeSyntax, 1, 10, "LIKE, BETWEEN or IN"},
		{"name IS 3", CodeSyntax, 1, 9, "NULL"},
		{"pm25 BETWEEN 1 OR 2", CodeSyntax, 1, 16, "upper bound"},
		{"name IN 'x'", CodeSyntax, 1, 9, "parentheses"},
		{"name IN ()", CodeSyntax, 1, 10, "literal"},
		{"2 ^ 3 ^ 4 = 1", CodeSyntax, 1, 7, "chain"},
		{"isNull(name)", CodeFunction, 1, 1, "isNull"},
		{"1E999 = 1", CodeValue, 1, 1, "1E999"},
		{"T_AFTER(updated, DATE('2026-02-30'))", CodeValue, 1, 23, "2026-02-30"},
		{"T_AFTER(updated, DATE('2026-02-03T00:00:00Z'))", CodeValue, 1, 23, "a date such as"},
		{"T_AFTER(updated, TIMESTAMP('2026-02-03T00:00:00+08:00'))", CodeValue, 1, 28, "UTC"},
		{"T_AFTER(updated, TIMESTAMP('2026-02-03'))", CodeValue, 1, 28, "timestamp"},
		{"T_AFTER(updated, INTERVAL('2026-02-03','2026-02-02'))", CodeValue, 1, 18, "ends before"},
		{"T_AFTER(updated, INTERVAL('2026-02-03'))", CodeSyntax, 1, 39, "end of the interval"},
		{"T_DURING(TIMESTAMP('2026-02-03T00:00:00Z'), INTERVAL('..','..'))", CodeType, 1, 10, "for intervals"},
		{"S_INTERSECTS(geometry)", CodeSyntax, 1, 1, "2 arguments"},
		{"S_INTERSECTS(geometry, 3)", CodeType, 1, 24, "a geometry"},
		{"S_INTERSECTS(geometry, POINT(1))", CodeValue, 1, 30, "one ordinate"},
		{"S_INTERSECTS(geometry, POINT(1 2 3 4))", CodeValue, 1, 30, "more than three"},
		{"S_INTERSECTS(geometry, POINT EMPTY)", CodeUnsupported, 1, 30, "empty"},
		{"S_INTERSECTS(geometry, LINESTRING(1 2))", CodeValue, 1, 34, "one vertex"},
		{"S_INTERSECTS(geometry, LINESTRING(1 2, 3 4 5))", CodeValue, 1, 40, "two ordinates"},
		{"S_INTERSECTS(geometry, LINESTRING Z (1 2, 3 4))", CodeValue, 1, 38, "three ordinates"},
		{"S_INTERSECTS(geometry, POLYGON((0 0, 1 0, 1 1, 0 1)))", CodeValue, 1, 32, "open ring"},
		{"S_INTERSECTS(geometry, POLYGON((0 0, 1 0, 0 0)))", CodeValue, 1, 32, "fewer than four"},
		{"S_INTERSECTS(geometry, POINT(1E16 2))", CodeValue, 1, 30, "out of range"},
		{"S_INTERSECTS(geometry, BBOX(1,2,3))", CodeSyntax, 1, 24, "another number"},
		{"S_INTERSECTS(geometry, BBOX(1,2,3,4,5,6,7))", CodeSyntax, 1, 41, "4 or 6"},
		{"S_INTERSECTS(geometry, BBOX(1,4,3,2))", CodeValue, 1, 24, "south"},
		{"S_INTERSECTS(geometry, BBOX(500000,2,400000,4))", CodeValue, 1, 24, "west"},
		{"pm25 AND TRUE", CodeType, 1, 1, "pm25 = TRUE"},
		{"pm25", CodeType, 1, 1, "alone"},
		{"1 + 2", CodeType, 1, 1, "a condition"},
		{"'a'", CodeType, 1, 1, "a condition"},
		{"name LIKE name", CodeType, 1, 11, "a pattern"},
		{`name LIKE 'a\\'`, CodeValue, 1, 11, "escape"},
		{"pm25 < 'x'+1", CodeType, 1, 8, "a number"},
		{"1 < 'x'", CodeType, 1, 5, "without quotes"},
		{"(1 = 1) < TRUE", CodeType, 1, 1, "= or <>"},
		{"updated BETWEEN DATE('2026-01-01') AND DATE('2026-01-02')", CodeType, 1, 17, ">= and <="},
		{"A_CONTAINS(tags, 'x')", CodeType, 1, 18, "an array"},
		{"name = ('a', 'b')", CodeType, 1, 8, "an array"},
		{"name = 'a\xff'", CodeSyntax, 1, 10, "UTF-8"},
	} {
		_, err := ParseText(c.src, Limits{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: no error", c.src)
			continue
		}
		if e.Code != c.code || e.Pos.Line != c.line || e.Pos.Column != c.col || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%s), expected %s at %d:%d with %q", c.src, err, e.Code, c.code, c.line, c.col, c.says)
		}
	}
}

func TestJSONErrors(t *testing.T) {
	for _, c := range []struct {
		src  string
		code Code
		ptr  string
		says string
	}{
		{``, CodeSyntax, "", "the end"},
		{`{"op":"=","args":[1,`, CodeSyntax, "/args/1", "the end"},
		{`{"op":"=","args":[1,2]} 3`, CodeSyntax, "", "more after"},
		{`{"op":"=","args":[1,2}`, CodeSyntax, "/args", "byte"},
		{`{"op":"=","args":[1,null]}`, CodeSyntax, "/args/1", "isNull"},
		{`{"op":"="}`, CodeSyntax, "", "args"},
		{`{"op":"=","args":[1,2],"x":1}`, CodeSyntax, "", "no other"},
		{`{"op":"=","op":"<","args":[1,2]}`, CodeSyntax, "", "twice"},
		{`{"op":"=","args":{"property":"a"}}`, CodeSyntax, "/args", "array"},
		{`{"op":"=","args":[1]}`, CodeSyntax, "", "2 arguments"},
		{`{"op":3,"args":[1]}`, CodeSyntax, "/op", "name"},
		{`{"op":"S_INTERSECTS","args":[]}`, CodeFunction, "/op", "s_intersects"},
		{`{"op":"no such","args":[]}`, CodeSyntax, "/op", "no such"},
		{`{"op":"in","args":[1,2]}`, CodeSyntax, "/args", "array"},
		{`{"op":"in","args":[1,[]]}`, CodeSyntax, "/args/1", "at least one"},
		{`{"op":"and","args":[true]}`, CodeSyntax, "", "at least 2"},
		{`{"op":"and","args":[true,{"property":"x"}]}`, CodeType, "/args/1", "alone"},
		{`{"property":3}`, CodeSyntax, "/property", "name"},
		{`{"a/b~c":[]}`, CodeSyntax, "", "property"},
		{`{"op":"=","args":[1,{"date":"2026-13-01"}]}`, CodeValue, "/args/1/date", "2026-13-01"},
		{`{"op":"t_after","args":[{"property":"u"},{"interval":["2026-01-01",5]}]}`, CodeSyntax, "/args/1/interval/1", "5"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"Circle","coordinates":[1,2]}]}`, CodeSyntax, "/args/1/type", "Circle"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"Point","coordinates":[1,"2"]}]}`, CodeSyntax, "/args/1/coordinates/1", "a number"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"Point"}]}`, CodeSyntax, "/args/1", "coordinates"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1]]]}]}`, CodeValue, "/args/1/coordinates/0", "open ring"},
		{`{"op":"s_within","args":[{"property":"g"},{"bbox":[1,2]}]}`, CodeSyntax, "/args/1", "another number"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"LineString","coordinates":[[1,2],[1e16,2]]}]}`, CodeValue, "/args/1/coordinates/1", "out of range"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"LineString","coordinates":[[1,2],[1,2,3]]}]}`, CodeValue, "/args/1/coordinates/1", "three ordinates"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"LineString","coordinates":[[1,2],[1,1e999]]}]}`, CodeValue, "/args/1/coordinates/1/1", "1e999"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"MultiPoint","coordinates":[]}]}`, CodeUnsupported, "/args/1/coordinates", "empty"},
		{`{"op":"s_within","args":[{"property":"g"},{"type":"GeometryCollection","geometries":[3]}]}`, CodeSyntax, "/args/1/geometries/0", "GeoJSON"},
		{`{"op":"=","args":[{"property":"a"},{"a/b~c":{"d":nil}}]}`, CodeSyntax, "/args/1/a~1b~0c/d", "byte"},
		{`{"op":"=","args":[1,1e999]}`, CodeValue, "/args/1", "1e999"},
	} {
		_, err := ParseJSON([]byte(c.src), Limits{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: no error", c.src)
			continue
		}
		if e.Code != c.code || e.Pos.Pointer != c.ptr || e.Pos.Line != 0 || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%s), expected %s at %q with %q", c.src, err, e.Code, c.code, c.ptr, c.says)
		}
	}
}

// Check knows the collection: names and types.
func TestCheck(t *testing.T) {
	q := queryables(t)
	for _, c := range []struct {
		src  string
		code Code
		col  int
		says string
	}{
		{"pm2.5 > 3", CodeProperty, 1, "did you mean pm25?"},
		{"open = TRUE AND hieght > 3", CodeProperty, 17, "did you mean height?"},
		{"Name = 'x'", CodeProperty, 1, "did you mean name?"},
		{"zzzzzz = 'x'", CodeProperty, 1, `the property "zzzzzz", expected`},
		{"pm25 = 'x'", CodeType, 8, "expected a number"},
		{"name = 3", CodeType, 8, "expected text"},
		{"name > updated", CodeType, 8, "a timestamp"},
		{"updated > '2026-01-01'", CodeType, 11, "DATE('…')"},
		{"open > FALSE", CodeType, 1, "= or <>"},
		{"geometry = 3", CodeType, 1, "which is a geometry"},
		{"pm25 LIKE 'x'", CodeType, 1, "which is a number"},
		{"name BETWEEN 1 AND 2", CodeType, 1, "which is text"},
		{"S_INTERSECTS(name, POINT(1 2))", CodeType, 14, "a geometry"},
		{"T_DURING(updated, INTERVAL('..','..'))", CodeType, 10, "T_INTERSECTS"},
		{"T_AFTER(INTERVAL(from, pm25), updated)", CodeType, 24, "a date or a timestamp"},
		{"A_CONTAINS(name, ('x'))", CodeType, 12, "an array"},
		{"A_CONTAINS(tags, levels)", CodeType, 18, "elements"},
		{"CASEI(pm25) = 'x'", CodeType, 7, "text"},
		{"pm25 + name > 1", CodeType, 8, "a number"},
		{"class IN ('a', 3)", CodeType, 16, "text"},
		{"sIntersects(geometry, POINT(1 2))", CodeFunction, 1, "S_INTERSECTS"},
		{"open", CodeType, 1, "open = TRUE"},
	} {
		err := func() error {
			e, err := ParseText(c.src, Limits{})
			if err != nil {
				return err
			}
			err = Check(e, q)
			if _, other := Compile(e, q); fmt.Sprint(other) != fmt.Sprint(err) {
				t.Errorf("%s: Compile says %v, Check %v", c.src, other, err)
			}
			return err
		}()
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: no error", c.src)
			continue
		}
		if e.Code != c.code || e.Pos.Column != c.col || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%s), expected %s in column %d with %q", c.src, err, e.Code, c.code, c.col, c.says)
		}
	}
}

func TestQueryablesAreChecked(t *testing.T) {
	for _, list := range [][]Queryable{
		{{Name: "", Type: TypeNumber}}, {{Name: "a", Type: TypeNumber}, {Name: "a", Type: TypeString}}, {{Name: "a"}}, {{Name: "a", Type: TypeNumber | TypeString}},
		{{Name: "a", Type: TypeInterval}}, {{Name: "a", Type: TypeArray}}, {{Name: "a", Type: TypeNumber, Elem: TypeNumber}}, {{Name: "a", Type: TypeArray, Elem: TypeGeometry}},
	} {
		if _, err := NewQueryables(list...); err == nil {
			t.Errorf("%v is accepted", list)
		}
	}
}

// Deep, long and large input ends in a limit, at once.
func TestLimits(t *testing.T) {
	rep := strings.Repeat
	for name, src := range map[string]string{
		"bytes":       "name = '" + rep("x", 64<<10) + "'",
		"parentheses": rep("(", 5000) + "TRUE" + rep(")", 5000),
		"not":         rep("NOT ", 5000) + "TRUE",
		"arrays":      "A_EQUALS(x, " + rep("(", 5000) + ")",
		"functions":   rep("f(", 5000) + "1" + rep(")", 5000),
		"casei":       rep("CASEI(", 100) + "name" + rep(")", 100) + " = 'x'",
		"sum":         "pm25 = 1" + rep("+1", 5000),
		"comparisons": rep("(", 60) + "TRUE" + rep("=TRUE)", 60) + rep(" AND TRUE", 9000),
		"nodes":       "pm25 IN (1" + rep(",1", 11_000) + ")",
		"pattern":     "name LIKE '" + rep("%", 1100) + "'",
		"collections": "S_EQUALS(g, " + rep("GEOMETRYCOLLECTION(", 100) + "POINT(1 2)" + rep(")", 100) + ")",
	} {
		_, err := ParseText(src, Limits{})
		if e, ok := err.(*Error); !ok || e.Code != CodeLimit {
			t.Errorf("%s: %v", name, err)
		}
	}
	op := `{"op":"not","args":[`
	for name, src := range map[string]string{
		"bytes":       `"` + rep("x", 64<<10) + `"`,
		"operations":  rep(op, 65) + "true" + rep("]}", 65),
		"brackets":    rep("[", 30_000),
		"braces":      rep(`{"a":`, 10_000),
		"long names":  `{"` + rep("k", 30_000) + `":[` + rep("1,", 15_000) + "1]}",
		"members":     `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1}`,
		"nodes":       `{"op":"in","args":[1,[1` + rep(",1", 11_000) + `]]}`,
		"collections": `{"op":"s_equals","args":[{"property":"g"},` + rep(`{"type":"GeometryCollection","geometries":[`, 100) + "1" + rep("]}", 100) + "]}",
	} {
		_, err := ParseJSON([]byte(src), Limits{})
		if e, ok := err.(*Error); !ok || e.Code != CodeLimit {
			t.Errorf("%s: %v", name, err)
		}
	}
	line := "S_EQUALS(g, LINESTRING(0 0" + rep(",1 1", 100) + "))"
	for _, c := range []struct {
		lim Limits
		bad bool
	}{{Limits{Vertices: 100}, true}, {Limits{Vertices: 101}, false}} {
		if _, err := ParseText(line, c.lim); (err != nil) != c.bad {
			t.Errorf("101 vertices and %+v: %v", c.lim, err)
		}
		if _, err := ParseJSON(JSON(mustText(t, line)), c.lim); (err != nil) != c.bad {
			t.Errorf("101 vertices as JSON and %+v: %v", c.lim, err)
		}
	}
	// What is within the limits passes.
	for _, src := range []string{rep("(", 60) + "TRUE" + rep(")", 60), "pm25 IN (1" + rep(",1", 9000) + ")", rep("(", 60) + "TRUE" + rep("=TRUE)", 60)} {
		if _, err := ParseText(src, Limits{}); err != nil {
			t.Errorf("%.20s…: %v", src, err)
		}
	}
	if _, err := Compile(mustText(t, "A_EQUALS(levels, (1"+rep(",1", 300)+"))"), queryables(t)); err == nil {
		t.Error("an array of 301 elements compiles")
	}
}
