package cql2

import "github.com/paulmach/orb"

// Hint is what every row for which a filter is TRUE must satisfy. It narrows a
// search; the filter itself still decides.
type Hint struct {
	// Never: no row can match, for the conditions contradict each other.
	Never bool
	// Bounds, by name of a geometry property: the row's geometry is not NULL
	// and its bounding box meets the box. A box that crosses the antimeridian
	// is widened to all longitudes.
	Bounds map[string]orb.Bound
	// Equal, by name of a property: the row's value is one of these literals
	// (*Number, *String, *Bool or *Instant).
	Equal map[string][]Expr
}

// Hints derives the Hint of e, which has been checked. A filter that gives no
// hint has an empty one.
func Hints(e Expr) Hint { return hintIf(e, false) }

// hintIf is the hint of e being TRUE or, when negated, FALSE.
func hintIf(e Expr, negated bool) Hint {
	switch e := e.(type) {
	case *Bool:
		return Hint{Never: e.Value == negated}
	case *Call:
		switch e.Op {
		case OpNot:
			return hintIf(e.Args[0], !negated)
		case OpAnd, OpOr:
			h := hintIf(e.Args[0], negated)
			for _, a := range e.Args[1:] {
				if other := hintIf(a, negated); (e.Op == OpAnd) != negated {
					h = h.and(other)
				} else {
					h = h.or(other)
				}
			}
			return h
		}
		if e.Op == OpSDisjoint && negated || e.Op.IsSpatial() && e.Op != OpSDisjoint && !negated {
			return spatialHint(e)
		}
		if e.Op == OpEq && !negated || e.Op == OpNe && negated || e.Op == OpIn && !negated {
			return equalHint(e)
		}
	}
	return Hint{}
}

func spatialHint(e *Call) Hint {
	for i, a := range e.Args {
		if p, ok := a.(*Property); ok {
			if g, _ := geometryOf(e.Args[1-i]); g != nil {
				return Hint{Bounds: map[string]orb.Bound{p.Name: g.Bound()}}
			}
		}
	}
	return Hint{}
}

func equalHint(e *Call) Hint {
	p, values := e.Args[0], e.Args[1:]
	if _, ok := p.(*Property); !ok && e.Op != OpIn {
		p, values = e.Args[1], e.Args[:1]
	}
	name, ok := p.(*Property)
	if !ok {
		return Hint{}
	}
	for _, v := range values {
		switch v.(type) {
		case *Number, *String, *Bool, *Instant:
		default:
			return Hint{}
		}
	}
	return Hint{Equal: map[string][]Expr{name.Name: values}}
}

// and is the hint of two conditions that both hold.
func (h Hint) and(o Hint) Hint {
	if h.Never || o.Never {
		return Hint{Never: true}
	}
	out := Hint{Bounds: map[string]orb.Bound{}, Equal: map[string][]Expr{}}
	for name, b := range h.Bounds {
		out.Bounds[name] = b
	}
	for name, b := range o.Bounds {
		// Each of two boxes must be met, not their intersection: a long
		// geometry may meet both. The smaller narrows more.
		if have, ok := out.Bounds[name]; !ok || area(b) < area(have) {
			out.Bounds[name] = b
		}
	}
	for name, vs := range h.Equal {
		out.Equal[name] = vs
	}
	for name, vs := range o.Equal {
		if have, ok := out.Equal[name]; ok {
			vs = common(have, vs)
			if len(vs) == 0 {
				return Hint{Never: true}
			}
		}
		out.Equal[name] = vs
	}
	return out
}

// or is the hint of two conditions one of which holds: what both ask for.
func (h Hint) or(o Hint) Hint {
	if h.Never {
		return o
	}
	if o.Never {
		return h
	}
	out := Hint{Bounds: map[string]orb.Bound{}, Equal: map[string][]Expr{}}
	for name, b := range h.Bounds {
		if other, ok := o.Bounds[name]; ok {
			out.Bounds[name] = b.Union(other)
		}
	}
	for name, vs := range h.Equal {
		if other, ok := o.Equal[name]; ok {
			both := append([]Expr(nil), vs...)
			out.Equal[name] = append(both, other...)
		}
	}
	return out
}

func area(b orb.Bound) float64 { return (b.Max[0] - b.Min[0]) * (b.Max[1] - b.Min[1]) }

// common lists the literals of a that are in b too.
func common(a, b []Expr) []Expr {
	type key struct {
		kind Type
		num  float64
		text string
		at   moment
	}
	keyOf := func(e Expr) key {
		switch e := e.(type) {
		case *Number:
			return key{kind: TypeNumber, num: e.Value}
		case *String:
			return key{kind: TypeString, text: e.Value}
		case *Instant:
			return key{kind: TypeTimestamp, at: momentOf(e.Time)}
		case *Bool:
			if e.Value {
				return key{kind: TypeBool, num: 1}
			}
		}
		return key{kind: TypeBool}
	}
	in := map[key]bool{}
	for _, e := range b {
		in[keyOf(e)] = true
	}
	var out []Expr
	for _, e := range a {
		if in[keyOf(e)] {
			out = append(out, e)
		}
	}
	return out
}
