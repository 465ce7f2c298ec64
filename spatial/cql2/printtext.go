package cql2

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/paulmach/orb"
)

// Text prints e in the text encoding; ParseText of it gives the same tree.
func Text(e Expr) string {
	w := &textWriter{}
	w.expr(e, precOr)
	return w.b.String()
}

// The precedence of the operators, from the weakest.
const (
	precOr = iota
	precAnd
	precNot
	precCompare
	precSum
	precProduct
	precPower
	precPrimary
)

type textWriter struct{ b strings.Builder }

func (w *textWriter) put(s string) { w.b.WriteString(s) }

func precOf(e Expr) int {
	c, ok := e.(*Call)
	if !ok {
		return precPrimary
	}
	switch c.Op {
	case OpOr:
		return precOr
	case OpAnd:
		return precAnd
	case OpNot:
		if negatable(c.Args[0]) {
			return precCompare
		}
		return precNot
	case OpIsNull, OpLike, OpBetween, OpIn, OpEq, OpNe, OpLt, OpGt, OpLe, OpGe:
		return precCompare
	case OpAdd, OpSub:
		return precSum
	case OpMul, OpDiv, OpMod, OpIntDiv:
		return precProduct
	case OpPow:
		return precPower
	}
	return precPrimary
}

// negatable reports whether NOT can be written within the predicate e.
func negatable(e Expr) bool {
	c, ok := e.(*Call)
	return ok && (c.Op == OpLike || c.Op == OpBetween || c.Op == OpIn || c.Op == OpIsNull)
}

// expr writes e, in parentheses when it binds weaker than least.
func (w *textWriter) expr(e Expr, least int) {
	if precOf(e) < least {
		w.put("(")
		defer w.put(")")
	}
	switch e := e.(type) {
	case *Bool:
		w.put(strings.ToUpper(strconv.FormatBool(e.Value)))
	case *Number:
		w.number(e.Value)
	case *String:
		w.text(e.Value)
	case *Instant:
		if e.Date {
			w.put("DATE('" + formatInstant(e) + "')")
		} else {
			w.put("TIMESTAMP('" + formatInstant(e) + "')")
		}
	case *Interval:
		w.put("INTERVAL(")
		w.bound(e.Start)
		w.put(", ")
		w.bound(e.End)
		w.put(")")
	case *BBox:
		w.put("BBOX(")
		for i, x := range e.values() {
			if i > 0 {
				w.put(", ")
			}
			w.number(x)
		}
		w.put(")")
	case *Geometry:
		z := e.Z
		w.geometry(e.Geom, &z, e.Z != nil)
	case *Array:
		w.list(e.Items, precOr)
	case *Property:
		w.name(e.Name)
	case *Function:
		w.put(e.Name)
		w.list(e.Args, precOr)
	case *Call:
		w.call(e, false)
	}
}

func (w *textWriter) list(items []Expr, least int) {
	w.put("(")
	for i, x := range items {
		if i > 0 {
			w.put(", ")
		}
		w.expr(x, least)
	}
	w.put(")")
}

func (w *textWriter) call(c *Call, negated bool) {
	not := ""
	if negated {
		not = "NOT "
	}
	infix := func(left, right int) {
		w.expr(c.Args[0], left)
		w.put(" " + not + c.Op.TextName() + " ")
		w.expr(c.Args[1], right)
	}
	switch c.Op {
	case OpAnd, OpOr:
		for i, a := range c.Args {
			if i > 0 {
				w.put(" " + c.Op.TextName() + " ")
			}
			w.expr(a, precOf(c)+1)
		}
	case OpNot:
		if negatable(c.Args[0]) {
			w.call(c.Args[0].(*Call), true)
			return
		}
		w.put("NOT ")
		w.expr(c.Args[0], precNot)
	case OpEq, OpNe, OpLt, OpGt, OpLe, OpGe, OpLike:
		infix(precSum, precSum)
	case OpIsNull:
		w.expr(c.Args[0], precSum)
		w.put(" IS " + not + "NULL")
	case OpBetween:
		infix(precSum, precSum)
		w.put(" AND ")
		w.expr(c.Args[2], precSum)
	case OpIn:
		w.expr(c.Args[0], precSum)
		w.put(" " + not + "IN ")
		w.list(c.Args[1:], precSum)
	case OpAdd, OpSub:
		infix(precSum, precProduct)
	case OpMul, OpDiv, OpMod:
		infix(precProduct, precPower)
	case OpIntDiv:
		w.expr(c.Args[0], precProduct)
		w.put(" div ")
		w.expr(c.Args[1], precPower)
	case OpPow:
		infix(precPrimary, precPrimary)
	default:
		w.put(c.Op.TextName())
		w.list(c.Args, precOr)
	}
}

func (w *textWriter) number(x float64) { w.put(formatNumber(x, 'E')) }

// formatNumber writes x with the fewest digits that read back as x, in
// positional notation where that is short. exp is the letter of the exponent.
func formatNumber(x float64, exp byte) string {
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(x, exp, -1, 64)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// text writes a character literal. A backslash is doubled only where it would
// otherwise be read as an escape.
func (w *textWriter) text(s string) {
	w.put("'")
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			w.put("''")
		case c == '\\':
			w.put(`\`)
			if i+1 == len(s) || escapes[s[i+1]] != 0 || s[i+1] < ' ' {
				w.put(`\`)
			}
		case c >= '\a' && c <= '\r':
			w.put(`\` + string("abtnvfr"[c-'\a']))
		default:
			w.b.WriteByte(c)
		}
	}
	w.put("'")
}

func (w *textWriter) name(s string) {
	if isPlainName(s) {
		w.put(s)
		return
	}
	w.put(`"` + strings.ReplaceAll(s, `"`, `""`) + `"`)
}

func (w *textWriter) bound(e Expr) {
	switch e := e.(type) {
	case nil:
		w.put("'..'")
	case *Instant:
		w.put("'" + formatInstant(e) + "'")
	default:
		w.expr(e, precPrimary)
	}
}

func formatInstant(e *Instant) string {
	if e.Date {
		return e.Time.Format(time.DateOnly)
	}
	return e.Time.Format(time.RFC3339Nano)
}

// values gives the numbers of b in the order of the encodings.
func (b *BBox) values() []float64 {
	if b.HasZ {
		return []float64{b.West, b.South, b.MinZ, b.East, b.North, b.MaxZ}
	}
	return []float64{b.West, b.South, b.East, b.North}
}

// geometry writes g as WKT and takes its third ordinates from z.
func (w *textWriter) geometry(g orb.Geometry, z *[]float64, hasZ bool) {
	w.put(strings.ToUpper(g.GeoJSONType()))
	if hasZ {
		w.put(" Z")
	}
	if c, ok := g.(orb.Collection); ok {
		w.put(" (")
		for i, m := range c {
			if i > 0 {
				w.put(", ")
			}
			w.geometry(m, z, hasZ)
		}
		w.put(")")
		return
	}
	w.put(" ")
	w.nested(vertexTree(g), z, hasZ)
}

// nested writes the parentheses and vertices of a tree.
func (w *textWriter) nested(t vtree, z *[]float64, hasZ bool) {
	if t.point != nil {
		w.number(t.point[0])
		w.put(" ")
		w.number(t.point[1])
		if hasZ && len(*z) > 0 {
			w.put(" ")
			w.number((*z)[0])
			*z = (*z)[1:]
		}
		return
	}
	w.put("(")
	for i, c := range t.parts {
		if i > 0 {
			w.put(", ")
		}
		w.nested(c, z, hasZ)
	}
	w.put(")")
}

// vtree is the nesting of a geometry's vertices as WKT writes it.
type vtree struct {
	point *orb.Point
	parts []vtree
}

func vertexTree(g orb.Geometry) vtree {
	points := func(ps []orb.Point) vtree {
		t := vtree{parts: make([]vtree, len(ps))}
		for i := range ps {
			t.parts[i].point = &ps[i]
		}
		return t
	}
	var t vtree
	switch g := g.(type) {
	case orb.Point:
		return points([]orb.Point{g})
	case orb.MultiPoint:
		for _, p := range g {
			t.parts = append(t.parts, points([]orb.Point{p}))
		}
	case orb.LineString:
		return points(g)
	case orb.MultiLineString:
		for _, l := range g {
			t.parts = append(t.parts, points(l))
		}
	case orb.Polygon:
		for _, r := range g {
			t.parts = append(t.parts, points(r))
		}
	case orb.MultiPolygon:
		for _, p := range g {
			t.parts = append(t.parts, vertexTree(p))
		}
	}
	return t
}
