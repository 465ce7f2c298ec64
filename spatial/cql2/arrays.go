package cql2

import "time"

// maxElements bounds an array literal: the array functions compare each
// element of one array with each of the other.
const maxElements = 256

// elements is an array during evaluation: the property's values, or the items
// of a literal.
type elements struct {
	column int         // of a property
	items  []valueFunc // of a literal; nil for a property
}

type valueFunc func(Row) Value

// values gives the array of a row; a literal has a nil slice and n items.
func (a *elements) values(r Row) (vs []Value, n int, ok bool) {
	if a.items != nil {
		return nil, len(a.items), true
	}
	vs, ok = r.Array(a.column)
	return vs, len(vs), ok
}

func (a *elements) at(r Row, vs []Value, i int) Value {
	if a.items != nil {
		return a.items[i](r)
	}
	return vs[i]
}

// array compiles an array function. Arrays are sets: neither order nor
// repetition counts (/req/array-functions/array-predicates). A NULL among the
// elements makes the result NULL, unless the others decide.
func (c *compiler) array(e *Call) condition {
	a, b := c.elements(e.Args[0]), c.elements(e.Args[1])
	op := e.Op
	for _, l := range []*elements{a, b} {
		if len(l.items) > maxElements && c.err == nil {
			c.err = limitError(e.Pos(), "elements in an array", maxElements)
		}
	}
	return func(r Row, _ *env) Truth {
		av, an, ok := a.values(r)
		if !ok {
			return Unknown
		}
		bv, bn, ok := b.values(r)
		if !ok {
			return Unknown
		}
		switch op {
		case OpAContains:
			return subset(r, b, bv, bn, a, av, an)
		case OpAContainedBy:
			return subset(r, a, av, an, b, bv, bn)
		case OpAEquals:
			t := subset(r, a, av, an, b, bv, bn)
			if t == False {
				return t
			}
			if u := subset(r, b, bv, bn, a, av, an); u != True {
				return u
			}
			return t
		}
		t := False // OpAOverlaps
		for i := 0; i < an; i++ {
			switch member(r, a.at(r, av, i), b, bv, bn) {
			case True:
				return True
			case Unknown:
				t = Unknown
			}
		}
		return t
	}
}

// subset is TRUE when each element of a is in b.
func subset(r Row, a *elements, av []Value, an int, b *elements, bv []Value, bn int) Truth {
	t := True
	for i := 0; i < an; i++ {
		switch member(r, a.at(r, av, i), b, bv, bn) {
		case False:
			return False
		case Unknown:
			t = Unknown
		}
	}
	return t
}

func member(r Row, x Value, b *elements, bv []Value, bn int) Truth {
	t := False
	for i := 0; i < bn; i++ {
		switch equalValues(x, b.at(r, bv, i)) {
		case True:
			return True
		case Unknown:
			t = Unknown
		}
	}
	return t
}

// equalValues compares two elements; values of different types are not equal.
func equalValues(a, b Value) Truth {
	switch {
	case a.Type == 0 || b.Type == 0:
		return Unknown
	case kinds(a.Type)&kinds(b.Type) == 0:
		return False
	}
	switch a.Type {
	case TypeBool:
		return truth(a.Bool == b.Bool)
	case TypeNumber:
		return truth(a.Number == b.Number)
	case TypeString:
		return truth(a.String == b.String)
	}
	return truth(a.UnixNs == b.UnixNs)
}

func (c *compiler) elements(e Expr) *elements {
	if p, ok := e.(*Property); ok {
		return &elements{column: c.column(p)}
	}
	lit, ok := e.(*Array)
	if !ok {
		c.unsupported(e, "an expression", "an array or a property")
		return &elements{items: []valueFunc{}}
	}
	a := &elements{items: make([]valueFunc, 0, len(lit.Items))}
	for _, x := range lit.Items {
		a.items = append(a.items, c.value(x))
	}
	return a
}

// value compiles an element of an array literal.
func (c *compiler) value(e Expr) valueFunc {
	null := func(Row) Value { return Value{} }
	fixed := func(v Value) valueFunc { return func(Row) Value { return v } }
	switch t := c.typeOf(e); {
	case t == TypeNumber:
		f := c.number(e)
		return func(r Row) Value {
			if x, ok := f(r, nil); ok {
				return Value{Type: TypeNumber, Number: x}
			}
			return Value{}
		}
	case t == TypeString:
		if k, ok := foldLiteral(e); ok {
			return fixed(Value{Type: TypeString, String: k})
		}
		if p, ok := e.(*Property); ok {
			col := c.column(p)
			return func(r Row) Value {
				if s, ok := r.String(col); ok {
					return Value{Type: TypeString, String: s}
				}
				return Value{}
			}
		}
	case t&typeInstant != 0:
		if i, ok := e.(*Instant); ok {
			// Rows hold nanoseconds in 64 bits; what these cannot say is in no row.
			ns := i.Time.UnixNano()
			if !time.Unix(0, ns).Equal(i.Time) {
				c.unsupported(e, "an instant in an array", "one between the years 1678 and 2261")
			}
			return fixed(Value{Type: t, UnixNs: ns})
		}
		if p, ok := e.(*Property); ok {
			col := c.column(p)
			return func(r Row) Value {
				if ns, ok := r.Time(col); ok {
					return Value{Type: t, UnixNs: ns}
				}
				return Value{}
			}
		}
	case t == TypeBool:
		if k, ok := e.(*Bool); ok {
			return fixed(Value{Type: TypeBool, Bool: k.Value})
		}
		if p, ok := e.(*Property); ok {
			col := c.column(p)
			return func(r Row) Value {
				if b, ok := r.Bool(col); ok {
					return Value{Type: TypeBool, Bool: b}
				}
				return Value{}
			}
		}
	}
	c.unsupported(e, "an element that is "+c.typeOf(e).String(), "a literal or a property that is a number, text, a date, a timestamp or true or false, or arithmetic")
	return null
}
