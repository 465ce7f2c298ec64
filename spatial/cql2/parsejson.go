package cql2

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// ParseJSON reads a filter in the JSON encoding (21-065r2, clause 8.2). The
// error is an *Error whose position is a JSON Pointer.
func ParseJSON(src []byte, limits Limits) (Expr, error) {
	lim := limits.withDefaults()
	if len(src) > lim.Bytes {
		return nil, limitError(Pos{}, "than "+strconv.Itoa(lim.Bytes)+" bytes", lim.Bytes)
	}
	if i := invalidUTF8(string(src)); i >= 0 {
		return nil, &Error{Code: CodeSyntax, Found: "bytes that are not UTF-8 at byte " + strconv.Itoa(i+1), Expected: "UTF-8"}
	}
	p := &jsonParser{dec: json.NewDecoder(bytes.NewReader(src)), lim: lim}
	p.dec.UseNumber()
	root, err := p.read(nil, 0, 0)
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return nil, &Error{Code: CodeSyntax, Found: "more after the filter", Expected: "one JSON value"}
	}
	e, err := p.expr(root, 0)
	if err != nil {
		return nil, err
	}
	if err := checkShape(e, lim); err != nil {
		return nil, err
	}
	return e, nil
}

type jsonParser struct {
	dec      *json.Decoder
	lim      Limits
	nodes    int
	vertices int
}

func (p *jsonParser) at(v *jvalue) (node, error) {
	if p.nodes++; p.nodes > p.lim.Nodes {
		return node{}, limitError(v.pos(), "nodes", p.lim.Nodes)
	}
	return node{v.pos()}, nil
}

func (p *jsonParser) exprs(vs []*jvalue, depth int) ([]Expr, error) {
	out := make([]Expr, 0, len(vs))
	for i := range vs {
		e, err := p.expr(vs[i], depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (p *jsonParser) expr(v *jvalue, depth int) (Expr, error) {
	if depth > p.lim.Depth {
		return nil, limitError(v.pos(), "levels of nesting", p.lim.Depth)
	}
	n, err := p.at(v)
	if err != nil {
		return nil, err
	}
	switch v.kind {
	case 'b':
		return &Bool{n, v.truth}, nil
	case 's':
		return &String{n, v.text}, nil
	case 'n':
		x, err := parseNumber(v.text, v.pos())
		if err != nil {
			return nil, err
		}
		return &Number{n, x}, nil
	case '[':
		items, err := p.exprs(v.items, depth)
		if err != nil {
			return nil, err
		}
		return &Array{n, items}, nil
	case '{':
		return p.object(n, v, depth)
	}
	return nil, &Error{Code: CodeSyntax, Pos: v.pos(), Found: "null", Expected: "an expression", Hint: "to test for NULL use the operation isNull"}
}

// object reads an operation, a property or a literal.
func (p *jsonParser) object(n node, v *jvalue, depth int) (Expr, error) {
	const members = `"op" and "args", "property", "date", "timestamp", "interval", "bbox" or a GeoJSON geometry`
	if v.get("op") != nil {
		return p.operation(n, v, depth)
	}
	if v.get("type") != nil {
		return p.geometry(n, v)
	}
	if len(v.keys) != 1 {
		return nil, v.unexpected(members)
	}
	m := v.items[0]
	switch v.keys[0] {
	case "property":
		if m.kind != 's' || m.text == "" {
			return nil, m.unexpected("the name of a property")
		}
		return &Property{n, m.text}, nil
	case "date", "timestamp":
		if m.kind != 's' {
			return nil, m.unexpected("a text with a " + v.keys[0])
		}
		date := v.keys[0] == "date"
		inst, err := parseInstant(m.text, m.pos())
		if err == nil && inst.Date != date {
			err = instantError(m.text, m.pos(), date, !date)
		}
		if err != nil {
			return nil, err
		}
		inst.node = n
		return inst, nil
	case "interval":
		if m.kind != '[' || len(m.items) != 2 {
			return nil, m.unexpected("an array of two instants")
		}
		var bounds [2]Expr
		for i := range m.items {
			b, err := p.bound(m.items[i], depth+1)
			if err != nil {
				return nil, err
			}
			bounds[i] = b
		}
		return &Interval{n, bounds[0], bounds[1]}, nil
	case "bbox":
		c, err := p.numbers(m, 6)
		if err != nil {
			return nil, err
		}
		b, err := newBBox(n, c)
		if err != nil {
			return nil, err
		}
		return b, nil
	}
	return nil, v.unexpected(members)
}

// operation reads {"op": …, "args": […]}.
func (p *jsonParser) operation(n node, v *jvalue, depth int) (Expr, error) {
	name, args := v.get("op"), v.get("args")
	if name.kind != 's' {
		return nil, name.unexpected("the name of an operation")
	}
	if args == nil || len(v.keys) != 2 {
		return nil, v.unexpected(`the members "op" and "args" and no other`)
	}
	if args.kind != '[' {
		return nil, args.unexpected("an array of arguments")
	}
	op := opByJSON(name.text)
	if op == opNone {
		if near := nearOp(name.text); near != "" {
			return nil, &Error{Code: CodeFunction, Pos: name.pos(), Found: "the operation " + quoted(name.text), Expected: "an operation of CQL2", Hint: "did you mean " + near + "?"}
		}
		if !isPlainName(name.text) {
			return nil, name.unexpected("an operation of CQL2 or the name of a function")
		}
	}
	items := args.items
	if op == OpIn && len(items) == 2 && items[1].kind == '[' {
		// The list of IN is an argument of its own in JSON.
		items = append([]*jvalue{items[0]}, items[1].items...)
		if len(items) == 1 {
			return nil, args.items[1].unexpected("a list with at least one item")
		}
	} else if op == OpIn {
		return nil, args.unexpected("two arguments: a value and an array")
	}
	list, err := p.exprs(items, depth)
	if err != nil {
		return nil, err
	}
	if op == opNone {
		return &Function{n, name.text, list}, nil
	}
	return &Call{n, op, list}, nil
}

// nearOp is the operation that differs from name in case only.
func nearOp(name string) string {
	for op := OpAnd; op < opEnd; op++ {
		if strings.EqualFold(opNames[op], name) {
			return opNames[op]
		}
	}
	return ""
}

// bound reads an end of an interval; nil is "..".
func (p *jsonParser) bound(v *jvalue, depth int) (Expr, error) {
	if v.kind == 's' {
		if v.text == ".." {
			return nil, nil
		}
		n, err := p.at(v)
		if err != nil {
			return nil, err
		}
		inst, err := parseInstant(v.text, v.pos())
		if err != nil {
			return nil, err
		}
		inst.node = n
		return inst, nil
	}
	if v.kind != '{' {
		return nil, v.unexpected(`an instant as text, "..", a property or a function`)
	}
	return p.expr(v, depth)
}

// numbers reads an array of at most most numbers.
func (p *jsonParser) numbers(v *jvalue, most int) ([]float64, error) {
	if v.kind != '[' || len(v.items) > most {
		return nil, v.unexpected("an array of at most " + strconv.Itoa(most) + " numbers")
	}
	out := make([]float64, 0, len(v.items))
	for i := range v.items {
		it := v.items[i]
		if it.kind != 'n' {
			return nil, it.unexpected("a number")
		}
		x, err := parseNumber(it.text, Pos{})
		if err != nil {
			return nil, it.place(err)
		}
		out = append(out, x)
	}
	return out, nil
}
