package cql2

import (
	"encoding/json"
	"io"
	"strconv"
)

// jvalue is a JSON value that knows its place.
type jvalue struct {
	parent *jvalue
	index  int  // among the items of parent
	kind   byte // one of { [ s n b, and 0 for null
	text   string
	truth  bool
	items  []*jvalue
	keys   []string // of an object, beside items
}

// pos makes the JSON Pointer of v. It is made when asked for: pointers of all
// values would take the square of the input.
func (v *jvalue) pos() Pos {
	var room [96]byte
	return Pos{Pointer: string(v.appendPointer(room[:0]))}
}

func (v *jvalue) appendPointer(b []byte) []byte {
	if v.parent == nil {
		return b
	}
	b = append(v.parent.appendPointer(b), '/')
	if v.parent.kind != '{' {
		return strconv.AppendInt(b, int64(v.index), 10)
	}
	for _, c := range []byte(v.parent.keys[v.index]) {
		switch c { // RFC 6901, section 3
		case '~':
			b = append(b, "~0"...)
		case '/':
			b = append(b, "~1"...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// get is the member key of an object, or nil.
func (v *jvalue) get(key string) *jvalue {
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

func (v *jvalue) describe() string {
	switch v.kind {
	case '{':
		if op := v.get("op"); op != nil && op.kind == 's' {
			return "the operation " + quoted(op.text)
		}
		if len(v.keys) == 0 {
			return "an empty object"
		}
		return "an object with " + quoted(v.keys[0])
	case '[':
		return "an array"
	case 's':
		return "the text " + quoted(v.text)
	case 'n':
		return "the number " + quoted(v.text)
	case 'b':
		return strconv.FormatBool(v.truth)
	}
	return "null"
}

// place puts the position of v into an error that was made without one, where
// making every position beforehand would cost too much.
func (v *jvalue) place(err error) error {
	if e, ok := err.(*Error); ok {
		e.Pos = v.pos()
	}
	return err
}

func (v *jvalue) unexpected(expected string) error {
	return &Error{Code: CodeSyntax, Pos: v.pos(), Found: v.describe(), Expected: expected}
}

// Bounds of an object that a filter has a use for.
const (
	maxMembers   = 16
	maxNameBytes = 64 // of a member's name
)

// read takes the next JSON value. A level of CQL2 takes two of JSON; geometry
// and the innermost operands a few more.
func (p *jsonParser) read(parent *jvalue, index, depth int) (*jvalue, error) {
	v := &jvalue{parent: parent, index: index}
	if depth > 2*p.lim.Depth+8 {
		return nil, limitError(v.pos(), "levels of nesting", p.lim.Depth)
	}
	tok, err := p.dec.Token()
	if err != nil {
		return nil, p.syntax(v, err)
	}
	switch t := tok.(type) {
	case bool:
		v.kind, v.truth = 'b', t
	case json.Number:
		v.kind, v.text = 'n', t.String()
	case string:
		v.kind, v.text = 's', t
	case json.Delim:
		v.kind = byte(t)
		for p.dec.More() {
			if t == '{' {
				if err := p.member(v); err != nil {
					return nil, err
				}
			}
			item, err := p.read(v, len(v.items), depth+1)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, item)
		}
		if _, err := p.dec.Token(); err != nil {
			return nil, p.syntax(v, err)
		}
	}
	return v, nil
}

// member takes the name of the next member of the object v.
func (p *jsonParser) member(v *jvalue) error {
	tok, err := p.dec.Token()
	if err != nil {
		return p.syntax(v, err)
	}
	key, _ := tok.(string)
	switch {
	case v.get(key) != nil:
		return &Error{Code: CodeSyntax, Pos: v.pos(), Found: "the member " + quoted(key) + " twice", Expected: "each member once"}
	case len(v.keys) == maxMembers:
		return limitError(v.pos(), "members of an object", maxMembers)
	case len(key) > maxNameBytes:
		return &Error{Code: CodeLimit, Pos: v.pos(), Found: "the member " + quoted(key), Expected: "a name of at most " + strconv.Itoa(maxNameBytes) + " bytes"}
	}
	v.keys = append(v.keys, key)
	return nil
}

func (p *jsonParser) syntax(v *jvalue, err error) error {
	found := "JSON that cannot be read near byte " + strconv.FormatInt(p.dec.InputOffset()+1, 10)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		found = "the end of the input"
	}
	return &Error{Code: CodeSyntax, Pos: v.pos(), Found: found, Expected: "a JSON value", Hint: hintOf(err)}
}

func hintOf(err error) string {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ""
	}
	return err.Error()
}
