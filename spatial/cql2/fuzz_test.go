package cql2

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"
)

// What both fuzz targets check: an error is an *Error with a place; what is
// accepted prints in both encodings, reads back as the same tree, keeps to the
// queryables' types without a panic, and evaluates.
func checkParsed(t *testing.T, e Expr, err error) {
	t.Helper()
	if err != nil {
		var typed *Error
		if !errors.As(err, &typed) || typed.Code == "" || !utf8.ValidString(err.Error()) {
			t.Fatalf("%T %v", err, err)
		}
		return
	}
	want := JSON(e)
	// Printing may add parentheses or brackets, never levels without end.
	room := Limits{Bytes: 8 << 20, Depth: 256, Nodes: 100_000}
	for name, parse := range map[string]func() (Expr, error){
		"text": func() (Expr, error) { return ParseText(Text(e), room) },
		"JSON": func() (Expr, error) { return ParseJSON(want, room) },
	} {
		again, err := parse()
		if err != nil {
			t.Fatalf("the %s of it: %v\n%s\n%s", name, err, Text(e), want)
		}
		if got := JSON(again); !bytes.Equal(got, want) {
			t.Fatalf("through %s\n%s\nbecomes\n%s", name, want, got)
		}
	}
	Hints(e)
	if f, err := Compile(e, queryables(t)); err == nil {
		f.Eval(pagoda(t))
		f.Eval(&testRow{})
	}
}

var seeds = []string{
	"pm25 > 75 AND class = 'building' AND S_INTERSECTS(geometry, BBOX(120.6,31.2,120.7,31.4))",
	"NOT name LIKE 'a\\_%' OR CASEI(name) IN (CASEI('x'), 'y''z')",
	"height + 2 * -pm25 ^ 2 div 3 BETWEEN .5 AND 1E3",
	"T_DURING(INTERVAL(from, '..'), INTERVAL('2026-01-01', '2026-11-21T08:00:00.123Z'))",
	"A_CONTAINS(tags, ('a', (1), (2 + 3) * 4, TRUE, DATE('2026-01-01')))",
	"S_WITHIN(POLYGON Z ((0 0 1, 4 0 1, 4 4 1, 0 0 1)), footprint) AND geometry IS NOT NULL",
	"S_TOUCHES(footprint, GEOMETRYCOLLECTION(POINT(1 2), MULTILINESTRING((0 0, 1 1), (2 2, 3 3))))",
	"S_OVERLAPS(footprint, MULTIPOLYGON(((120 31, 121 31, 121 32, 120 31))))",
	`fn("a b", ((1))) = -1 AND "and" <> '\n'`,
	"(open = TRUE) = (other IS NULL)",
}

func FuzzParseText(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		e, err := ParseText(src, Limits{})
		checkParsed(t, e, err)
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add(JSON(mustText(f, s)))
	}
	f.Add([]byte(`{"op":"=","args":[{"op":"casei","args":["x"]},{"property":"` + "\\u0000" + `"}]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		e, err := ParseJSON(src, Limits{})
		checkParsed(t, e, err)
	})
}

// FuzzLike compares the matcher with a plain dynamic-programming one.
func FuzzLike(f *testing.F) {
	f.Add("a%_b", "aXYb")
	f.Add(`\%\_\\`, `%_\`)
	f.Add("%塔_", "北寺塔x")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if len(pattern) > 64 || len(value) > 256 || danglingEscape(pattern) || !utf8.ValidString(pattern) || !utf8.ValidString(value) {
			return
		}
		if got, want := newLike(pattern).match(value), slowLike(pattern, value); got != want {
			t.Errorf("%q LIKE %q is %v, expected %v", value, pattern, got, want)
		}
	})
}

func slowLike(pattern, value string) bool {
	v := []rune(value)
	reach := make([]bool, len(v)+1) // reach[i]: the pattern so far matches v[:i]
	reach[0] = true
	escaped := false
	for _, c := range pattern {
		if c == '\\' && !escaped {
			escaped = true
			continue
		}
		next := make([]bool, len(v)+1)
		for i := range reach {
			switch {
			case c == '%' && !escaped:
				next[i] = reach[i] || i > 0 && next[i-1]
			case i > 0:
				next[i] = reach[i-1] && (c == '_' && !escaped || v[i-1] == c)
			}
		}
		reach, escaped = next, false
	}
	return reach[len(v)]
}
