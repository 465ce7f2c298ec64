package cql2

import (
	"math"
	"strings"

	"github.com/paulmach/orb"
)

// maxOrdinate bounds the coordinates of literals, so that products of three of
// them stay finite.
const maxOrdinate = 1e15

// vertexList collects the vertices of one literal and settles whether it has
// two or three ordinates: the first vertex decides, the others must agree.
type vertexList struct {
	dims int
	z    []float64
}

// add takes a vertex of 2 or 3 ordinates.
func (v *vertexList) add(c []float64, pos Pos) (orb.Point, error) {
	if v.dims == 0 {
		v.dims = len(c)
	}
	if len(c) != v.dims || v.dims < 2 || v.dims > 3 {
		return orb.Point{}, &Error{Code: CodeValue, Pos: pos, Found: ordinates(len(c)), Expected: ordinates(max(2, min(3, v.dims))) + ", as the vertices before"}
	}
	for _, x := range c {
		if err := checkOrdinate(x, pos); err != nil {
			return orb.Point{}, err
		}
	}
	if v.dims == 3 {
		v.z = append(v.z, c[2])
	}
	return orb.Point{c[0], c[1]}, nil
}

func ordinates(n int) string {
	switch n {
	case 0:
		return "no ordinate"
	case 1:
		return "one ordinate"
	case 2:
		return "two ordinates"
	case 3:
		return "three ordinates"
	}
	return "more than three ordinates"
}

func checkOrdinate(x float64, pos Pos) error {
	if math.Abs(x) <= maxOrdinate {
		return nil
	}
	return &Error{Code: CodeValue, Pos: pos, Found: "a coordinate out of range", Expected: "coordinates between -1E15 and 1E15"}
}

// checkRing is what the grammar asks of a linear ring: four vertices, the last
// equal to the first in every ordinate.
func checkRing(r orb.Ring, z []float64, pos Pos) error {
	if len(r) < 4 {
		return &Error{Code: CodeValue, Pos: pos, Found: "a ring of fewer than four vertices", Expected: "at least four, the last equal to the first"}
	}
	if r[0] != r[len(r)-1] || len(z) > 0 && z[0] != z[len(z)-1] {
		return &Error{Code: CodeValue, Pos: pos, Found: "an open ring", Expected: "the last vertex equal to the first"}
	}
	return nil
}

// wkt reads a geometry literal, from its keyword on.
func (p *textParser) wkt() Expr {
	pos := p.tok.pos
	v := &vertexList{}
	g := p.tagged(v)
	if p.err != nil {
		return nil
	}
	return &Geometry{p.at(pos), g, v.z}
}

// tagged reads a keyword, Z and the text of a geometry.
func (p *textParser) tagged(v *vertexList) orb.Geometry {
	p.deeper()
	defer func() { p.depth-- }()
	word := p.tok
	p.advance()
	if p.keyword("Z") {
		if v.dims == 2 {
			p.fail(&Error{Code: CodeValue, Pos: word.pos, Found: "three dimensions", Expected: "two, as the geometries before"})
		}
		v.dims = 3
	}
	if p.tok.word("EMPTY") {
		p.fail(&Error{Code: CodeUnsupported, Pos: p.tok.pos, Found: "an empty geometry", Expected: "coordinates"})
		return nil
	}
	switch strings.ToUpper(word.text) {
	case "POINT":
		return p.pointText(v)
	case "LINESTRING":
		return p.lineText(v)
	case "POLYGON":
		return p.polygonText(v)
	case "MULTIPOINT":
		return orb.MultiPoint(list(p, func() orb.Point {
			if p.tok.sym("(") { // the grammar's form; the bare one is common
				return p.pointText(v)
			}
			return p.vertex(v)
		}))
	case "MULTILINESTRING":
		return orb.MultiLineString(list(p, func() orb.LineString { return p.lineText(v) }))
	case "MULTIPOLYGON":
		return orb.MultiPolygon(list(p, func() orb.Polygon { return p.polygonText(v) }))
	case "GEOMETRYCOLLECTION":
		return orb.Collection(list(p, func() orb.Geometry { return p.tagged(v) }))
	}
	p.fail(&Error{Code: CodeSyntax, Pos: word.pos, Found: word.describe(), Expected: "POINT, LINESTRING, POLYGON, MULTIPOINT, MULTILINESTRING, MULTIPOLYGON or GEOMETRYCOLLECTION"})
	return nil
}

// list reads ( item , item … ).
func list[T any](p *textParser, item func() T) []T {
	p.symbol("(", "(")
	var out []T
	for p.err == nil {
		out = append(out, item())
		if !p.tok.sym(",") {
			break
		}
		p.advance()
	}
	p.symbol(")", ", or )")
	return out
}

func (p *textParser) pointText(v *vertexList) orb.Point {
	p.symbol("(", "(")
	pt := p.vertex(v)
	p.symbol(")", ") after the ordinates")
	return pt
}

func (p *textParser) lineText(v *vertexList) orb.LineString {
	pos := p.tok.pos
	l := orb.LineString(list(p, func() orb.Point { return p.vertex(v) }))
	if p.err == nil && len(l) < 2 {
		p.fail(&Error{Code: CodeValue, Pos: pos, Found: "a line of one vertex", Expected: "at least two"})
	}
	return l
}

func (p *textParser) polygonText(v *vertexList) orb.Polygon {
	return orb.Polygon(list(p, func() orb.Ring {
		pos, from := p.tok.pos, len(v.z)
		r := orb.Ring(list(p, func() orb.Point { return p.vertex(v) }))
		if p.err == nil {
			if err := checkRing(r, v.z[from:], pos); err != nil {
				p.fail(err)
			}
		}
		return r
	}))
}

// vertex reads two or three ordinates.
func (p *textParser) vertex(v *vertexList) orb.Point {
	pos := p.tok.pos
	if p.vertices++; p.vertices > p.lim.Vertices {
		p.fail(limitError(pos, "vertices", p.lim.Vertices))
	}
	var c [4]float64
	n := 0
	for p.err == nil && n < len(c) && (n == 0 || !p.tok.sym(",") && !p.tok.sym(")")) {
		c[n] = p.signed()
		n++
	}
	if p.err != nil {
		return orb.Point{}
	}
	pt, err := v.add(c[:n], pos)
	if err != nil {
		p.fail(err)
	}
	return pt
}

// signed is rule signedNumericLiteral.
func (p *textParser) signed() float64 {
	minus := p.tok.sym("-")
	if minus || p.tok.sym("+") {
		p.advance()
	}
	if p.tok.kind != tokNumber {
		p.unexpected("a number")
		return 0
	}
	n := p.numeral()
	if minus {
		return -n
	}
	return n
}

// bbox reads BBOX ( 4 or 6 numbers ).
func (p *textParser) bbox() Expr {
	pos := p.tok.pos
	p.advance()
	n := 0
	c := list(p, func() float64 {
		if n++; n > 6 {
			p.unexpected("4 or 6 numbers")
			return 0
		}
		return p.signed()
	})
	if p.err != nil {
		return nil
	}
	b, err := newBBox(p.at(pos), c)
	if err != nil {
		p.fail(err)
		return nil
	}
	return b
}

// newBBox makes a box of west, south[, bottom], east, north[, top].
func newBBox(n node, c []float64) (*BBox, error) {
	b := &BBox{node: n}
	switch len(c) {
	case 4:
		b.West, b.South, b.East, b.North = c[0], c[1], c[2], c[3]
	case 6:
		b.West, b.South, b.MinZ, b.East, b.North, b.MaxZ = c[0], c[1], c[2], c[3], c[4], c[5]
		b.HasZ = true
	default:
		return nil, &Error{Code: CodeSyntax, Pos: n.pos, Found: "a box of another number of values", Expected: "4 (west, south, east, north) or 6 (west, south, bottom, east, north, top)"}
	}
	for _, x := range c {
		if err := checkOrdinate(x, n.pos); err != nil {
			return nil, err
		}
	}
	if b.South > b.North {
		return nil, &Error{Code: CodeValue, Pos: n.pos, Found: "a box whose south is above its north", Expected: "west, south, east, north", Hint: "longitude comes first"}
	}
	if b.HasZ && b.MinZ > b.MaxZ {
		return nil, &Error{Code: CodeValue, Pos: n.pos, Found: "a box whose bottom is above its top", Expected: "west, south, bottom, east, north, top"}
	}
	if b.West > b.East && (math.Abs(b.West) > 180 || math.Abs(b.East) > 180) {
		return nil, &Error{Code: CodeValue, Pos: n.pos, Found: "a box whose west is above its east", Expected: "west, south, east, north", Hint: "only a box in degrees may cross the antimeridian"}
	}
	return b, nil
}
