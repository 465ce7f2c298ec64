package cql2

import (
	"strings"
	"time"
)

// isGeometryWord reports whether word begins a literal when a parenthesis
// follows.
func isGeometryWord(word string) bool {
	switch strings.ToUpper(word) {
	case "DATE", "TIMESTAMP", "INTERVAL", "BBOX", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION":
		return true
	}
	return false
}

func (p *textParser) literalFunction() Expr {
	t := p.tok
	switch name := strings.ToUpper(t.text); name {
	case "DATE", "TIMESTAMP":
		p.advance()
		p.symbol("(", "(")
		s := p.tok
		if s.kind != tokString {
			p.unexpected("an instant in single quotes")
			return nil
		}
		inst, err := parseInstant(s.text, s.pos)
		if err == nil && inst.Date != (name == "DATE") {
			err = instantError(s.text, s.pos, name == "DATE", name == "TIMESTAMP")
		}
		if err != nil {
			p.fail(err)
			return nil
		}
		p.advance()
		p.symbol(")", ")")
		inst.node = p.at(t.pos)
		return inst
	case "INTERVAL":
		p.advance()
		p.symbol("(", "(")
		start := p.bound()
		p.symbol(",", ", and the end of the interval")
		end := p.bound()
		p.symbol(")", ")")
		return &Interval{p.at(t.pos), start, end}
	case "BBOX":
		return p.bbox()
	default:
		return p.wkt()
	}
}

// bound is rule instantParameter; nil is '..'.
func (p *textParser) bound() Expr {
	t := p.tok
	if t.kind == tokString {
		p.advance()
		return p.boundText(t)
	}
	if t.kind != tokWord && t.kind != tokQuoted || t.kind == tokWord && reserved(t.text) {
		p.unexpected("an instant in single quotes, '..', a property or a function")
		return nil
	}
	return p.primary()
}

func (p *textParser) boundText(t token) Expr {
	if t.text == ".." {
		return nil
	}
	inst, err := parseInstant(t.text, t.pos)
	if err != nil {
		p.fail(err)
		return nil
	}
	inst.node = p.at(t.pos)
	return inst
}

// parseInstant reads YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS[.fraction]Z.
func parseInstant(s string, pos Pos) (*Instant, error) {
	if len(s) == len(time.DateOnly) {
		if t, err := time.Parse(time.DateOnly, s); err == nil {
			return &Instant{node{pos}, t, true}, nil
		}
		return nil, instantError(s, pos, true, true)
	}
	// time.Parse alone would also take offsets and a decimal comma.
	if n := len(s); n >= len("2006-01-02T15:04:05Z") && n <= len("2006-01-02T15:04:05.123456789Z") && s[10] == 'T' && s[n-1] == 'Z' && !strings.Contains(s, ",") {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return &Instant{node{pos}, t.UTC(), false}, nil
		}
	}
	return nil, instantError(s, pos, true, true)
}

func instantError(s string, pos Pos, date, timestamp bool) error {
	var want []string
	if date {
		want = append(want, "a date such as 2026-11-21")
	}
	if timestamp {
		want = append(want, "a timestamp in UTC such as 2026-11-21T08:00:00Z")
	}
	return &Error{Code: CodeValue, Pos: pos, Found: quoted(s), Expected: strings.Join(want, " or ")}
}
