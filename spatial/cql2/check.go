package cql2

import (
	"strconv"
	"time"
)

// Check verifies e against the queryables: every property exists, every
// operand has a type that its operator takes, no function is unknown, no
// literal is impossible. The error is an *Error.
func Check(e Expr, q *Queryables) error {
	return newChecker(q, checkLimits).condition(e)
}

// checkShape is Check without queryables: a property or function may have any
// type. Both parsers end with it, so that both give well-formed trees only.
func checkShape(e Expr, lim Limits) error {
	c := newChecker(nil, lim)
	return c.condition(e)
}

// checkLimits bounds trees that no parser has bounded, or one with larger
// Limits than the default ones.
var checkLimits = Limits{Depth: 1 << 10, PatternBytes: 64 << 10}

type checker struct {
	q     *Queryables // nil: any property, any function
	lim   Limits
	depth int
	types map[Expr]Type // of the nodes seen: each is looked at once
}

func newChecker(q *Queryables, lim Limits) *checker {
	return &checker{q: q, lim: lim, types: map[Expr]Type{}}
}

// condition is rule booleanExpression, which has no place for a property
// alone.
func (c *checker) condition(e Expr) error {
	if p, ok := e.(*Property); ok {
		if _, err := c.property(p); err != nil {
			return err
		}
		return &Error{Code: CodeType, Pos: p.Pos(), Found: "the property " + quoted(p.Name) + " alone", Expected: "a condition", Hint: "compare it, as in " + p.Name + " = TRUE"}
	}
	return c.want(e, TypeBool)
}

// want checks e and that it may be of one of the types t.
func (c *checker) want(e Expr, t Type) error {
	got, err := c.typeOf(e)
	if err == nil && got&t == 0 {
		err = &Error{Code: CodeType, Pos: e.Pos(), Found: describe(e, got), Expected: t.String()}
	}
	return err
}

func describe(e Expr, t Type) string {
	switch e := e.(type) {
	case *Property:
		return "the property " + quoted(e.Name) + ", which is " + t.String()
	case *Number:
		return "the number " + formatNumber(e.Value, 'E')
	case *String:
		return "the text " + quoted(e.Value)
	case *Function:
		return "the function " + quoted(e.Name)
	}
	return t.String()
}

// typeOf gives the types that e may have.
func (c *checker) typeOf(e Expr) (Type, error) {
	if t, ok := c.types[e]; ok {
		return t, nil
	}
	t, err := c.derive(e)
	if err == nil {
		c.types[e] = t
	}
	return t, err
}

func (c *checker) derive(e Expr) (Type, error) {
	if c.depth++; c.depth > c.lim.Depth+1 {
		return 0, limitError(e.Pos(), "levels of nesting", c.lim.Depth)
	}
	defer func() { c.depth-- }()
	switch e := e.(type) {
	case *Bool:
		return TypeBool, nil
	case *Number:
		return TypeNumber, nil
	case *String:
		return TypeString, nil
	case *Instant:
		if e.Date {
			return TypeDate, nil
		}
		return TypeTimestamp, nil
	case *Geometry, *BBox:
		return TypeGeometry, nil
	case *Interval:
		return TypeInterval, c.interval(e)
	case *Array:
		for _, x := range e.Items {
			if err := c.want(x, typeAny); err != nil {
				return 0, err
			}
		}
		return TypeArray, nil
	case *Property:
		return c.property(e)
	case *Function:
		return typeAny, c.function(e)
	case *Call:
		return c.call(e)
	}
	return 0, &Error{Code: CodeSyntax, Expected: "an expression"}
}

func (c *checker) property(p *Property) (Type, error) {
	if c.q == nil {
		return typeAny, nil
	}
	q, _, ok := c.q.Lookup(p.Name)
	if ok {
		return q.Type, nil
	}
	err := &Error{Code: CodeProperty, Pos: p.Pos(), Found: "the property " + quoted(p.Name), Expected: "a queryable property"}
	if near := nearest(p.Name, c.q.names); near != "" {
		err.Hint = "did you mean " + near + "?"
	}
	return 0, err
}

func (c *checker) function(f *Function) error {
	if c.q != nil || !isPlainName(f.Name) || opByJSON(f.Name) != opNone {
		err := &Error{Code: CodeFunction, Pos: f.Pos(), Found: "the function " + quoted(f.Name), Expected: "a function of CQL2"}
		if near := nearest(f.Name, opNames[OpCaseI:]); near != "" {
			err.Hint = "did you mean " + opByJSON(near).TextName() + "?"
		}
		return err
	}
	for _, a := range f.Args {
		if err := c.want(a, typeAny); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) interval(e *Interval) error {
	var times [2]*time.Time
	for i, b := range []Expr{e.Start, e.End} {
		if b == nil {
			continue
		}
		if err := c.want(b, typeInstant); err != nil {
			return err
		}
		switch b := b.(type) {
		case *Instant:
			times[i] = &b.Time
		case *Property, *Function:
		default:
			return &Error{Code: CodeType, Pos: b.Pos(), Found: "an expression", Expected: "an instant, '..', a property or a function"}
		}
	}
	if times[0] != nil && times[1] != nil && times[0].After(*times[1]) {
		return &Error{Code: CodeValue, Pos: e.Pos(), Found: "an interval that ends before it starts", Expected: "the earlier instant first"}
	}
	return nil
}

func (c *checker) args(e *Call, least, most int, check func(Expr) error) error {
	if n := len(e.Args); n < least || n > most {
		want := strconv.Itoa(least) + " arguments"
		switch {
		case most > least:
			want = "at least " + want
		case least == 1:
			want = "1 argument"
		}
		return &Error{Code: CodeSyntax, Pos: e.Pos(), Found: strconv.Itoa(n) + " arguments of " + e.Op.TextName(), Expected: want}
	}
	for _, a := range e.Args {
		if err := check(a); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) call(e *Call) (Type, error) {
	of := func(t Type) func(Expr) error { return func(a Expr) error { return c.want(a, t) } }
	const many = 1 << 30
	op := e.Op
	switch {
	case op == OpAnd || op == OpOr:
		return TypeBool, c.args(e, 2, many, c.condition)
	case op == OpNot:
		return TypeBool, c.args(e, 1, 1, c.condition)
	case op == OpIsNull:
		return TypeBool, c.args(e, 1, 1, func(a Expr) error {
			if _, literal := a.(*Array); literal {
				return c.want(a, typeAny&^TypeArray)
			}
			return c.want(a, typeAny)
		})
	case op.IsComparison():
		if err := c.args(e, 2, 2, of(typeScalar)); err != nil {
			return 0, err
		}
		return TypeBool, c.comparable(e, e.Args[0], e.Args[1:])
	case op == OpIn:
		if err := c.args(e, 2, many, of(typeScalar)); err != nil {
			return 0, err
		}
		return TypeBool, c.comparable(e, e.Args[0], e.Args[1:])
	case op == OpBetween:
		err := c.args(e, 3, 3, of(TypeNumber))
		if x, ok := err.(*Error); ok && x.Code == CodeType && x.Hint == "" {
			x.Hint = "BETWEEN is for numbers; use >= and <= for others"
		}
		return TypeBool, err
	case op == OpLike:
		if err := c.args(e, 2, 2, of(TypeString)); err != nil {
			return 0, err
		}
		return TypeBool, c.pattern(e.Args[1])
	case op == OpCaseI || op == OpAccentI:
		return TypeString, c.args(e, 1, 1, of(TypeString))
	case op.IsArithmetic():
		return TypeNumber, c.args(e, 2, 2, of(TypeNumber))
	case op.IsSpatial():
		return TypeBool, c.args(e, 2, 2, of(TypeGeometry))
	case op.IsTemporal():
		return TypeBool, c.temporal(e)
	case op.IsArray():
		if err := c.args(e, 2, 2, of(TypeArray)); err != nil {
			return 0, err
		}
		return TypeBool, c.arrays(e)
	}
	return 0, &Error{Code: CodeSyntax, Pos: e.Pos(), Expected: "an operation of CQL2"}
}

// kinds maps a date to a timestamp: they compare after a cast.
func kinds(t Type) Type {
	if t&typeInstant != 0 {
		t |= typeInstant
	}
	return t
}

// comparable checks that left can be compared with each of right.
func (c *checker) comparable(e *Call, left Expr, right []Expr) error {
	lt, err := c.typeOf(left)
	if err != nil {
		return err
	}
	ordered := e.Op == OpLt || e.Op == OpGt || e.Op == OpLe || e.Op == OpGe
	for _, r := range right {
		rt, err := c.typeOf(r)
		if err != nil {
			return err
		}
		both := kinds(lt) & kinds(rt) & typeScalar
		if both == 0 {
			hint := ""
			if rt&TypeString != 0 && lt&typeInstant != 0 {
				hint = "an instant is written DATE('…') or TIMESTAMP('…')"
			} else if rt&TypeString != 0 && lt&TypeNumber != 0 {
				hint = "numbers stand without quotes"
			}
			return &Error{Code: CodeType, Pos: r.Pos(), Found: describe(r, rt), Expected: (lt & typeScalar).String() + ", as on the left", Hint: hint}
		}
		if ordered && both == TypeBool {
			return &Error{Code: CodeType, Pos: e.Pos(), Found: "conditions compared with " + e.Op.TextName(), Expected: "= or <>"}
		}
	}
	return nil
}

// pattern is rule patternExpression: a literal, or CASEI or ACCENTI of one.
func (c *checker) pattern(e Expr) error {
	switch e := e.(type) {
	case *String:
		if len(e.Value) > c.lim.PatternBytes {
			return limitError(e.Pos(), "bytes in a LIKE pattern", c.lim.PatternBytes)
		}
		if danglingEscape(e.Value) {
			return &Error{Code: CodeValue, Pos: e.Pos(), Found: `a pattern that ends in the escape character \`, Expected: `a character after it`, Hint: `a backslash is matched by \\`}
		}
		return nil
	case *Call:
		if (e.Op == OpCaseI || e.Op == OpAccentI) && len(e.Args) == 1 {
			return c.pattern(e.Args[0])
		}
	}
	return &Error{Code: CodeType, Pos: e.Pos(), Found: "an expression", Expected: "a pattern as text, or CASEI or ACCENTI of one"}
}

// temporal checks that the ten functions that are for intervals have intervals
// (21-065r2, clause 7.8).
func (c *checker) temporal(e *Call) error {
	t := typeTemporal
	switch e.Op {
	case OpTAfter, OpTBefore, OpTDisjoint, OpTEquals, OpTIntersects:
	default:
		t = TypeInterval
	}
	err := c.args(e, 2, 2, func(a Expr) error { return c.want(a, t) })
	if x, ok := err.(*Error); ok && x.Code == CodeType && x.Hint == "" && t == TypeInterval {
		x.Hint = e.Op.TextName() + " is for intervals; instants take T_AFTER, T_BEFORE, T_DISJOINT, T_EQUALS and T_INTERSECTS"
	}
	return err
}

// arrays checks that the elements of a literal can be those of a property.
func (c *checker) arrays(e *Call) error {
	if c.q == nil {
		return nil
	}
	for i, a := range e.Args {
		p, ok := a.(*Property)
		if !ok {
			continue
		}
		q, _, _ := c.q.Lookup(p.Name)
		other := e.Args[1-i]
		if o, ok := other.(*Property); ok {
			if oq, _, _ := c.q.Lookup(o.Name); kinds(oq.Elem)&kinds(q.Elem) == 0 {
				return &Error{Code: CodeType, Pos: o.Pos(), Found: "an array whose elements are " + oq.Elem.String(), Expected: "elements that are " + q.Elem.String()}
			}
		}
	}
	return nil
}
