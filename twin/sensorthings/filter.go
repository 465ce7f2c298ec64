package sensorthings

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cityhub/internal/web"
	"cityhub/twin"
)

// filterSupported is the hint of every refused filter.
const filterSupported = "supported: PROPERTY (eq|gt|ge|lt|le) VALUE, joined by \"and\"; times as 2026-10-01T00:00:00Z, texts in single quotes"

// comparison is one "property op value" of a $filter.
type comparison struct {
	path  string // as written, e.g. phenomenonTime or properties/code
	op    string // eq gt ge lt le
	value literal
}

type literalKind uint8

const (
	literalString literalKind = iota + 1
	literalNumber
	literalBool
	literalTime
)

type literal struct {
	kind literalKind
	text string    // literalString: the text; else as written
	num  float64   // literalNumber
	time time.Time // literalTime, UTC
	bool bool      // literalBool
}

// integer is the literal as a whole number.
func (l literal) integer() (int64, bool) {
	if l.kind != literalNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(l.text, 10, 64)
	return n, err == nil
}

// maxFilterBytes and maxComparisons bound what a caller can make the parser do.
const (
	maxFilterBytes = 4096
	maxComparisons = 32
)

// parseFilter reads a $filter: comparisons joined by "and", in parentheses
// where wanted. What OData knows and this parser does not is a 501 that names
// it, what nobody knows is a 400.
func parseFilter(s string) ([]comparison, error) {
	if len(s) > maxFilterBytes {
		return nil, badOption("$filter", fmt.Sprintf("is over %d bytes", maxFilterBytes), "")
	}
	if !utf8.ValidString(s) {
		return nil, badOption("$filter", "is not UTF-8", "")
	}
	p := filterParser{lex: lexer{s: s}}
	if err := p.next(); err != nil {
		return nil, err
	}
	if err := p.conjunction(0); err != nil {
		return nil, err
	}
	if p.tok.kind != tokEnd {
		return nil, p.unexpected("the end, or \"and\"")
	}
	return p.out, nil
}

type filterParser struct {
	lex lexer
	tok token
	out []comparison
}

func (p *filterParser) next() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *filterParser) unexpected(want string) error {
	got := strconv.Quote(p.tok.text)
	if p.tok.kind == tokEnd {
		got = "the end"
	}
	return badOption("$filter", fmt.Sprintf("%s was found at byte %d, %s was expected", got, p.tok.pos, want), filterSupported)
}

const maxNesting = 16

func (p *filterParser) conjunction(depth int) error {
	for {
		if err := p.term(depth); err != nil {
			return err
		}
		if p.tok.kind != tokWord {
			return nil
		}
		switch p.tok.text {
		case "and":
			if err := p.next(); err != nil {
				return err
			}
		case "or":
			return notServed("$filter", "\"or\" is not served", filterSupported)
		default:
			return nil
		}
	}
}

func (p *filterParser) term(depth int) error {
	switch {
	case p.tok.kind == tokOpen:
		if depth == maxNesting {
			return badOption("$filter", fmt.Sprintf("has more than %d parentheses inside each other", maxNesting), "")
		}
		if err := p.next(); err != nil {
			return err
		}
		if err := p.conjunction(depth + 1); err != nil {
			return err
		}
		if p.tok.kind != tokClose {
			return p.unexpected("\")\"")
		}
		return p.next()
	case p.tok.kind != tokWord:
		return p.unexpected("a property")
	case p.tok.text == "not":
		return notServed("$filter", "\"not\" is not served", filterSupported)
	}
	c := comparison{path: p.tok.text}
	if err := p.next(); err != nil {
		return err
	}
	if p.tok.kind == tokOpen {
		return notServed("$filter", "the function "+strconv.Quote(c.path)+" is not served", filterSupported)
	}
	if p.tok.kind != tokWord {
		return p.unexpected("an operator")
	}
	switch c.op = p.tok.text; c.op {
	case "eq", "gt", "ge", "lt", "le":
	case "ne", "add", "sub", "mul", "div", "mod", "in", "has":
		return notServed("$filter", "the operator "+strconv.Quote(c.op)+" is not served", filterSupported)
	default:
		return p.unexpected("an operator")
	}
	if err := p.next(); err != nil {
		return err
	}
	switch {
	case p.tok.kind == tokLiteral:
		c.value = p.tok.value
	case p.tok.kind == tokWord && (p.tok.text == "true" || p.tok.text == "false"):
		c.value = literal{kind: literalBool, text: p.tok.text, bool: p.tok.text == "true"}
	default:
		return p.unexpected("a value")
	}
	if len(p.out) == maxComparisons {
		return badOption("$filter", fmt.Sprintf("has more than %d comparisons", maxComparisons), "")
	}
	p.out = append(p.out, c)
	return p.next()
}

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokWord
	tokLiteral
	tokOpen
	tokClose
	tokComma
)

type token struct {
	kind  tokenKind
	text  string
	value literal
	pos   int
}

type lexer struct {
	s   string
	pos int
}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.s) && (l.s[l.pos] == ' ' || l.s[l.pos] == '\t') {
		l.pos++
	}
	start := l.pos
	if start == len(l.s) {
		return token{kind: tokEnd, pos: start}, nil
	}
	one := func(k tokenKind) (token, error) {
		l.pos++
		return token{kind: k, text: l.s[start:l.pos], pos: start}, nil
	}
	c, _ := utf8.DecodeRuneInString(l.s[start:])
	switch {
	case c == '(':
		return one(tokOpen)
	case c == ')':
		return one(tokClose)
	case c == ',':
		return one(tokComma)
	case c == '\'':
		return l.quoted()
	case c >= '0' && c <= '9', c == '-', c == '.':
		return l.number()
	case wordRune(c):
		for l.pos < len(l.s) {
			r, n := utf8.DecodeRuneInString(l.s[l.pos:])
			if !wordRune(r) && !(r >= '0' && r <= '9') && r != '/' && r != '.' && r != '-' {
				break
			}
			l.pos += n
		}
		return token{kind: tokWord, text: l.s[start:l.pos], pos: start}, nil
	}
	return token{}, badOption("$filter", fmt.Sprintf("%q at byte %d is not part of a filter", c, start), filterSupported)
}

func wordRune(r rune) bool { return r == '_' || r == '@' || unicode.IsLetter(r) }

// quoted reads a text in single quotes; a quote inside is written twice.
func (l *lexer) quoted() (token, error) {
	start := l.pos
	l.pos++
	var b strings.Builder
	for {
		i := strings.IndexByte(l.s[l.pos:], '\'')
		if i < 0 {
			return token{}, badOption("$filter", fmt.Sprintf("the text that begins at byte %d has no end", start), "write a quote inside a text twice")
		}
		b.WriteString(l.s[l.pos : l.pos+i])
		l.pos += i + 1
		if l.pos < len(l.s) && l.s[l.pos] == '\'' {
			b.WriteByte('\'')
			l.pos++
			continue
		}
		t := token{kind: tokLiteral, text: l.s[start:l.pos], pos: start}
		t.value = literal{kind: literalString, text: b.String()}
		return t, nil
	}
}

// number reads a number or a time.
func (l *lexer) number() (token, error) {
	start := l.pos
	for l.pos < len(l.s) && strings.IndexByte("0123456789+-.:TZtzeE/", l.s[l.pos]) >= 0 {
		l.pos++
	}
	text := l.s[start:l.pos]
	t := token{kind: tokLiteral, text: text, pos: start}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		t.value = literal{kind: literalNumber, text: text, num: n}
		return t, nil
	}
	if strings.Contains(text, "/") {
		return token{}, notServed("$filter", "the interval "+text+" is not served", "compare twice: phenomenonTime ge START and phenomenonTime lt END")
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		hint := "a time looks like 2026-10-01T00:00:00Z"
		if strings.Contains(text, "T") && l.pos < len(l.s) && l.s[l.pos] == ' ' {
			hint += "; in a URL the + of an offset is written %2B"
		}
		return token{}, badOption("$filter", fmt.Sprintf("%q at byte %d is neither a number nor a time", text, start), hint)
	}
	t.value = literal{kind: literalTime, text: text, time: at.UTC()}
	return t, nil
}

// badOption is the 400 of a query option that is wrong.
func badOption(option, message, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "read query", Field: option, Message: message, Hint: hint}
}

// notServed is the 501 of what SensorThings knows and the hub does not serve.
func notServed(option, message, supported string) error {
	return web.NotImplemented(option, message, supported)
}
