package cql2

import (
	"math"
	"strings"
)

// ordered is what numbers and text have in common.
type ordered interface{ ~float64 | ~string }

// compare gives the comparison op on values of one type.
func compare[T ordered](op Op) func(a, b T) bool {
	switch op {
	case OpEq:
		return func(a, b T) bool { return a == b }
	case OpNe:
		return func(a, b T) bool { return a != b }
	case OpLt:
		return func(a, b T) bool { return a < b }
	case OpGt:
		return func(a, b T) bool { return a > b }
	case OpLe:
		return func(a, b T) bool { return a <= b }
	}
	return func(a, b T) bool { return a >= b }
}

// accepts tells for the outcomes -1, 0 and 1 of a three-way comparison whether
// op holds.
func accepts(op Op) [3]Truth {
	switch op {
	case OpEq:
		return [3]Truth{False, True, False}
	case OpNe:
		return [3]Truth{True, False, True}
	case OpLt:
		return [3]Truth{True, False, False}
	case OpGt:
		return [3]Truth{False, False, True}
	case OpLe:
		return [3]Truth{True, True, False}
	}
	return [3]Truth{False, True, True}
}

// mirrored is the comparison with its operands exchanged.
func mirrored(op Op) Op {
	switch op {
	case OpLt:
		return OpGt
	case OpGt:
		return OpLt
	case OpLe:
		return OpGe
	case OpGe:
		return OpLe
	}
	return op
}

func (c *compiler) comparison(e *Call) condition {
	left, right, op := e.Args[0], e.Args[1], e.Op
	if _, ok := left.(*Property); !ok {
		if _, ok := right.(*Property); ok { // the property first, for the direct forms
			left, right, op = right, left, mirrored(op)
		}
	}
	switch t := c.typeOf(left); {
	case t == TypeNumber:
		return c.compareNumbers(op, left, right)
	case t == TypeString:
		return c.compareTexts(op, left, right)
	case t&typeInstant != 0:
		return c.compareMoments(op, left, right)
	default:
		a, b := c.condition(left), c.condition(right)
		return func(r Row, v *env) Truth {
			x, y := a(r, v), b(r, v)
			if x == Unknown || y == Unknown {
				return Unknown
			}
			return truth((x == y) == (op == OpEq))
		}
	}
}

func (c *compiler) compareNumbers(op Op, left, right Expr) condition {
	if p, ok := left.(*Property); ok {
		if k, ok := right.(*Number); ok {
			return numberConstant(op, c.column(p), k.Value)
		}
	}
	a, b, cmp := c.number(left), c.number(right), compare[float64](op)
	return func(r Row, v *env) Truth {
		x, ok := a(r, v)
		if !ok {
			return Unknown
		}
		y, ok := b(r, v)
		if !ok {
			return Unknown
		}
		return truth(cmp(x, y))
	}
}

// numberConstant is the most frequent predicate of all, property and constant,
// without a call per operand.
func numberConstant(op Op, col int, k float64) condition {
	want := accepts(op)
	return func(r Row, _ *env) Truth {
		x, ok := r.Number(col)
		switch {
		case !ok:
			return Unknown
		case x < k:
			return want[0]
		case x == k:
			return want[1]
		case x > k:
			return want[2]
		}
		return Unknown // NaN
	}
}

func (c *compiler) compareTexts(op Op, left, right Expr) condition {
	if p, ok := left.(*Property); ok {
		if k, ok := foldLiteral(right); ok {
			col, cmp := c.column(p), compare[string](op)
			return func(r Row, _ *env) Truth {
				x, ok := r.String(col)
				if !ok {
					return Unknown
				}
				return truth(cmp(x, k))
			}
		}
	}
	a, b, cmp := c.text(left), c.text(right), compare[string](op)
	return func(r Row, v *env) Truth {
		x, ok := a(r, v)
		if !ok {
			return Unknown
		}
		y, ok := b(r, v)
		if !ok {
			return Unknown
		}
		return truth(cmp(x, y))
	}
}

func (c *compiler) number(e Expr) number {
	switch e := e.(type) {
	case *Number:
		k := e.Value
		return func(Row, *env) (float64, bool) { return k, true }
	case *Property:
		col := c.column(e)
		return func(r Row, _ *env) (float64, bool) {
			x, ok := r.Number(col)
			return x, ok && x == x
		}
	case *Call:
		a, b, f := c.number(e.Args[0]), c.number(e.Args[1]), arithmetic(e.Op)
		return func(r Row, v *env) (float64, bool) {
			x, ok := a(r, v)
			if !ok {
				return 0, false
			}
			y, ok := b(r, v)
			if !ok {
				return 0, false
			}
			z := f(x, y)
			return z, !math.IsNaN(z) && !math.IsInf(z, 0)
		}
	}
	c.unsupported(e, "an expression", "a number")
	return func(Row, *env) (float64, bool) { return 0, false }
}

// arithmetic gives the operation op. div is the quotient without its fraction,
// % the remainder with the sign of the dividend, so that
// a = b * (a div b) + a % b.
func arithmetic(op Op) func(a, b float64) float64 {
	switch op {
	case OpAdd:
		return func(a, b float64) float64 { return a + b }
	case OpSub:
		return func(a, b float64) float64 { return a - b }
	case OpMul:
		return func(a, b float64) float64 { return a * b }
	case OpDiv:
		return func(a, b float64) float64 { return a / b }
	case OpMod:
		return math.Mod
	case OpIntDiv:
		return func(a, b float64) float64 { return math.Trunc(a / b) }
	}
	return math.Pow
}

func (c *compiler) text(e Expr) text {
	if k, ok := foldLiteral(e); ok {
		return func(Row, *env) (string, bool) { return k, true }
	}
	switch e := e.(type) {
	case *Property:
		col := c.column(e)
		return func(r Row, _ *env) (string, bool) { return r.String(col) }
	case *Call: // CASEI or ACCENTI of something that varies
		arg, i, accents := c.text(e.Args[0]), c.folders, e.Op == OpAccentI
		c.folders++
		return func(r Row, v *env) (string, bool) {
			s, ok := arg(r, v)
			if !ok {
				return "", false
			}
			if accents {
				return v.folders[i].accentFold(s), true
			}
			return v.folders[i].caseFold(s), true
		}
	}
	c.unsupported(e, "an expression", "text")
	return func(Row, *env) (string, bool) { return "", false }
}

func (c *compiler) between(e *Call) condition {
	x, low, high := c.number(e.Args[0]), c.number(e.Args[1]), c.number(e.Args[2])
	return func(r Row, v *env) Truth {
		a, ok := x(r, v)
		if !ok {
			return Unknown
		}
		b, ok := low(r, v)
		if !ok {
			return Unknown
		}
		d, ok := high(r, v)
		if !ok {
			return Unknown
		}
		return truth(b <= a && a <= d)
	}
}

func (c *compiler) like(e *Call) condition {
	pattern, _ := foldLiteral(e.Args[1])
	x, l := c.text(e.Args[0]), newLike(pattern)
	return func(r Row, v *env) Truth {
		s, ok := x(r, v)
		if !ok {
			return Unknown
		}
		return truth(l.match(s))
	}
}

// in is = with each item, joined by OR: NULL when the operand is, or when no
// item is equal and one is NULL. Constant items are looked up in a set.
func (c *compiler) in(e *Call) condition {
	left := e.Args[0]
	var rest []condition
	item := func(x Expr) condition { return c.comparison(&Call{node{x.Pos()}, OpEq, []Expr{left, x}}) }
	var set condition
	switch c.typeOf(left) {
	case TypeNumber:
		known := map[float64]struct{}{}
		for _, x := range e.Args[1:] {
			if k, ok := x.(*Number); ok {
				known[k.Value] = struct{}{}
			} else {
				rest = append(rest, item(x))
			}
		}
		f := c.number(left)
		set = func(r Row, v *env) Truth {
			x, ok := f(r, v)
			if !ok {
				return Unknown
			}
			_, in := known[x]
			return truth(in)
		}
	case TypeString:
		known := map[string]struct{}{}
		for _, x := range e.Args[1:] {
			if k, ok := foldLiteral(x); ok {
				known[strings.Clone(k)] = struct{}{}
			} else {
				rest = append(rest, item(x))
			}
		}
		f := c.text(left)
		set = func(r Row, v *env) Truth {
			x, ok := f(r, v)
			if !ok {
				return Unknown
			}
			_, in := known[x]
			return truth(in)
		}
	default:
		for _, x := range e.Args[1:] {
			rest = append(rest, item(x))
		}
		return or(rest)
	}
	if len(rest) == 0 {
		return set
	}
	return or(append([]condition{set}, rest...))
}
