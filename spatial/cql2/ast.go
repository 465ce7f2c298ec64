package cql2

import (
	"time"

	"github.com/paulmach/orb"
)

// Pos is the place of a node in its source.
type Pos struct {
	// Line and Column count from 1, the column in characters. Both are 0 in
	// the JSON encoding.
	Line, Column int
	// Pointer is the JSON Pointer (RFC 6901) in the JSON encoding; empty is
	// the whole document.
	Pointer string
}

// Expr is a node of a filter: one of the types Bool, Number, String, Instant,
// Interval, Geometry, BBox, Array, Property, Call and Function, all as
// pointers. Trees are not changed after parsing and may be shared.
type Expr interface {
	// Pos is where the node begins.
	Pos() Pos
	expr()
}

type node struct{ pos Pos }

func (n *node) Pos() Pos { return n.pos }
func (n *node) expr()    {}

// Bool is TRUE or FALSE.
type Bool struct {
	node
	Value bool
}

// Number is a numeric literal, always finite.
type Number struct {
	node
	Value float64
}

// String is a character literal, unescaped.
type String struct {
	node
	Value string
}

// Instant is a date or a timestamp.
type Instant struct {
	node
	Time time.Time // UTC; a date is at 00:00
	Date bool      // the literal is a DATE, else a TIMESTAMP
}

// Interval is a time interval. Start and End are *Instant, *Property or
// *Function; nil is '..', unbounded.
type Interval struct {
	node
	Start, End Expr
}

// Geometry is a geometry literal: WKT in text, GeoJSON in JSON.
type Geometry struct {
	node
	// Geom is the geometry in two dimensions: orb.Point, MultiPoint,
	// LineString, MultiLineString, Polygon, MultiPolygon or Collection. Its
	// rings are closed, its coordinates finite.
	Geom orb.Geometry
	// Z holds the third ordinates in the order of Geom's vertices; nil when
	// the literal has two dimensions.
	Z []float64
}

// BBox is a bounding box: west, south, east, north and, when HasZ, a range of
// elevations. West may exceed East: the box then crosses the antimeridian.
type BBox struct {
	node
	West, South, East, North float64
	HasZ                     bool
	MinZ, MaxZ               float64
}

// Array is an array of expressions, which compares as a set.
type Array struct {
	node
	Items []Expr
}

// Property is a reference to a queryable by its name.
type Property struct {
	node
	Name string
}

// Call applies an operator or one of the standard's functions. The arguments
// are in the order of the standard's JSON encoding, except that those of OpIn
// are the operand followed by the items of the list. OpAnd and OpOr have two
// arguments or more; NOT LIKE, NOT IN, NOT BETWEEN and IS NOT NULL are OpNot
// around the predicate.
type Call struct {
	node
	Op   Op
	Args []Expr
}

// Function is a call of a function that is not in the standard.
type Function struct {
	node
	Name string
	Args []Expr
}

// Walk calls visit for e and, while visit answers true, for the nodes below
// it, parents first.
func Walk(e Expr, visit func(Expr) bool) {
	if e == nil || !visit(e) {
		return
	}
	for _, c := range children(e) {
		Walk(c, visit)
	}
}

func children(e Expr) []Expr {
	switch e := e.(type) {
	case *Call:
		return e.Args
	case *Function:
		return e.Args
	case *Array:
		return e.Items
	case *Interval:
		var out []Expr
		if e.Start != nil {
			out = append(out, e.Start)
		}
		if e.End != nil {
			out = append(out, e.End)
		}
		return out
	}
	return nil
}

// Properties lists the names of the properties in e, each once, in the order
// of their first use.
func Properties(e Expr) []string {
	var names []string
	seen := map[string]bool{}
	Walk(e, func(x Expr) bool {
		if p, ok := x.(*Property); ok && !seen[p.Name] {
			seen[p.Name] = true
			names = append(names, p.Name)
		}
		return true
	})
	return names
}
