package cql2

import (
	"sync"
)

// Filter is a compiled filter. It is immutable and safe for use by several
// goroutines.
type Filter struct {
	eval condition
	// pool holds the buffers of CASEI and ACCENTI; nil when there are none.
	pool *sync.Pool
}

// env is what an evaluation needs beside the row.
type env struct{ folders []*folder }

// The closures that a tree is compiled to. ok is false for NULL.
type (
	condition func(Row, *env) Truth
	number    func(Row, *env) (float64, bool)
	text      func(Row, *env) (string, bool)
)

// Compile checks e against q and makes a Filter. The error is an *Error.
func Compile(e Expr, q *Queryables) (*Filter, error) {
	c := &compiler{q: q, checker: newChecker(q, checkLimits)}
	if err := c.checker.condition(e); err != nil {
		return nil, err
	}
	f := &Filter{eval: c.condition(e)}
	if c.err != nil {
		return nil, c.err
	}
	if n := c.folders; n > 0 {
		f.pool = &sync.Pool{New: func() any {
			v := &env{folders: make([]*folder, n)}
			for i := range v.folders {
				v.folders[i] = newFolder()
			}
			return v
		}}
	}
	return f, nil
}

// Match reports whether the filter is TRUE for r: neither FALSE nor NULL.
func (f *Filter) Match(r Row) bool { return f.Eval(r) == True }

// Eval is the truth of the filter for r.
func (f *Filter) Eval(r Row) Truth {
	if f.pool == nil {
		return f.eval(r, nil)
	}
	v := f.pool.Get().(*env)
	t := f.eval(r, v)
	f.pool.Put(v)
	return t
}

// compiler turns a checked tree into closures. The first error is kept.
type compiler struct {
	q       *Queryables
	checker *checker
	folders int
	err     error
}

func (c *compiler) unsupported(e Expr, found, expected string) {
	if c.err == nil {
		c.err = &Error{Code: CodeUnsupported, Pos: e.Pos(), Found: found, Expected: expected}
	}
}

func (c *compiler) typeOf(e Expr) Type {
	t, _ := c.checker.typeOf(e) // checked before
	return t
}

func (c *compiler) column(p *Property) int {
	_, col, _ := c.q.Lookup(p.Name)
	return col
}

func constant(t Truth) condition { return func(Row, *env) Truth { return t } }

func (c *compiler) condition(e Expr) condition {
	switch e := e.(type) {
	case *Bool:
		return constant(truth(e.Value))
	case *Property: // an operand of a comparison of conditions
		col := c.column(e)
		return func(r Row, _ *env) Truth {
			v, ok := r.Bool(col)
			if !ok {
				return Unknown
			}
			return truth(v)
		}
	case *Call:
		return c.predicate(e)
	}
	c.unsupported(e, "an expression", "a condition")
	return constant(Unknown)
}

func (c *compiler) predicate(e *Call) condition {
	switch op := e.Op; {
	case op == OpAnd:
		return and(c.conditions(e.Args))
	case op == OpOr:
		return or(c.conditions(e.Args))
	case op == OpNot:
		f := c.condition(e.Args[0])
		return func(r Row, v *env) Truth { return f(r, v).not() }
	case op == OpIsNull:
		return c.isNull(e.Args[0])
	case op.IsComparison():
		return c.comparison(e)
	case op == OpBetween:
		return c.between(e)
	case op == OpLike:
		return c.like(e)
	case op == OpIn:
		return c.in(e)
	case op.IsSpatial():
		return c.spatial(e)
	case op.IsTemporal():
		return c.temporal(e)
	case op.IsArray():
		return c.array(e)
	}
	c.unsupported(e, "the operation "+e.Op.TextName(), "a condition")
	return constant(Unknown)
}

func (c *compiler) conditions(es []Expr) []condition {
	out := make([]condition, len(es))
	for i, e := range es {
		out[i] = c.condition(e)
	}
	return out
}

// and is FALSE when one operand is, whatever the others; else NULL when one
// is; else TRUE (21-065r2, clause 6.2).
func and(fs []condition) condition {
	if len(fs) == 2 {
		a, b := fs[0], fs[1]
		return func(r Row, v *env) Truth {
			x := a(r, v)
			if x == False {
				return False
			}
			if y := b(r, v); y != True {
				return y
			}
			return x
		}
	}
	return func(r Row, v *env) Truth {
		t := True
		for _, f := range fs {
			switch f(r, v) {
			case False:
				return False
			case Unknown:
				t = Unknown
			}
		}
		return t
	}
}

// or is TRUE when one operand is, whatever the others; else NULL when one is;
// else FALSE.
func or(fs []condition) condition {
	return func(r Row, v *env) Truth {
		t := False
		for _, f := range fs {
			switch f(r, v) {
			case True:
				return True
			case Unknown:
				t = Unknown
			}
		}
		return t
	}
}

// isNull is never NULL itself.
func (c *compiler) isNull(e Expr) condition {
	switch t := c.typeOf(e); {
	case t == TypeGeometry:
		p, ok := e.(*Property)
		if !ok {
			return constant(False)
		}
		col := c.column(p)
		return func(r Row, _ *env) Truth { _, ok := r.Bound(col); return truth(!ok) }
	case t == TypeArray:
		col := c.column(e.(*Property))
		return func(r Row, _ *env) Truth { _, ok := r.Array(col); return truth(!ok) }
	case t == TypeInterval:
		f := c.span(e)
		return func(r Row, _ *env) Truth { _, ok := f(r); return truth(!ok) }
	case t&typeInstant != 0:
		f := c.moment(e)
		return func(r Row, _ *env) Truth { _, ok := f(r); return truth(!ok) }
	case t == TypeNumber:
		f := c.number(e)
		return func(r Row, v *env) Truth { _, ok := f(r, v); return truth(!ok) }
	case t == TypeString:
		f := c.text(e)
		return func(r Row, v *env) Truth { _, ok := f(r, v); return truth(!ok) }
	default:
		f := c.condition(e)
		return func(r Row, v *env) Truth { return truth(f(r, v) == Unknown) }
	}
}
