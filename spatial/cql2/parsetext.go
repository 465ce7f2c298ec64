package cql2

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseText reads a filter in the text encoding (21-065r2, clause 8.1 and
// Annex B). Keywords are taken in any case. The error is an *Error.
//
// Where the grammar is ambiguous, a parenthesised expression that is a whole
// argument of an array function, of a function of one's own or of an array is
// an array with one element.
func ParseText(src string, limits Limits) (Expr, error) {
	lim := limits.withDefaults()
	if len(src) > lim.Bytes {
		return nil, limitError(Pos{Line: 1, Column: 1}, "than "+strconv.Itoa(lim.Bytes)+" bytes", lim.Bytes)
	}
	p := &textParser{lex: newLexer(src), lim: lim, element: -1}
	if i := invalidUTF8(src); i >= 0 {
		p.lex.off = i
		return nil, &Error{Code: CodeSyntax, Pos: p.lex.here(), Found: "bytes that are not UTF-8", Expected: "UTF-8"}
	}
	p.advance()
	e := p.or()
	if p.err == nil && p.tok.kind != tokEOF {
		p.unexpected("AND, OR or the end")
	}
	if p.err == nil {
		p.err = checkShape(e, lim)
	}
	if p.err != nil {
		return nil, p.err
	}
	return e, nil
}

func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

// textParser is a recursive-descent parser with one token of look-ahead. The
// first error stops it: err is set, tok becomes the end, and every method
// returns soon after.
type textParser struct {
	lex      *lexer
	tok      token
	peeked   *token
	lim      Limits
	depth    int
	nodes    int
	vertices int
	element  int           // offset of the token at which an array element or function argument begins
	single   map[Expr]bool // the arrays that may be groups: one element in parentheses
	err      error
}

func (p *textParser) advance() {
	if p.err != nil {
		return
	}
	if p.peeked != nil {
		p.tok, p.peeked = *p.peeked, nil
		return
	}
	t, err := p.lex.next()
	if err != nil {
		p.fail(err)
		return
	}
	p.tok = t
}

func (p *textParser) peek() token {
	if p.err != nil {
		return token{}
	}
	if p.peeked == nil {
		t, err := p.lex.next()
		if err != nil {
			p.fail(err)
			return token{}
		}
		p.peeked = &t
	}
	return *p.peeked
}

func (p *textParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.tok, p.peeked = token{}, nil
}

func (p *textParser) unexpected(expected string) {
	hint := ""
	switch {
	case p.tok.sym("="):
		hint = "equal is written with one ="
	case p.tok.sym("^"):
		hint = "powers do not chain: use parentheses"
	case p.tok.kind == tokWord && reserved(p.tok.text):
		hint = "a property of that name stands in double quotes"
	}
	p.fail(&Error{Code: CodeSyntax, Pos: p.tok.pos, Found: p.tok.describe(), Expected: expected, Hint: hint})
}

// symbol steps over the symbol s, or fails.
func (p *textParser) symbol(s, expected string) {
	if !p.tok.sym(s) {
		p.unexpected(expected)
		return
	}
	p.advance()
}

func (p *textParser) keyword(w string) bool {
	if p.tok.word(w) {
		p.advance()
		return true
	}
	return false
}

func (p *textParser) at(pos Pos) node {
	if p.nodes++; p.nodes > p.lim.Nodes {
		p.fail(limitError(pos, "nodes", p.lim.Nodes))
	}
	return node{pos}
}

func (p *textParser) call(pos Pos, op Op, args ...Expr) Expr {
	return &Call{p.at(pos), op, args}
}

// deeper counts a level of nesting; the caller defers p.depth--.
func (p *textParser) deeper() {
	if p.depth++; p.depth > p.lim.Depth {
		p.fail(limitError(p.tok.pos, "levels of nesting", p.lim.Depth))
	}
}

// or is rule booleanExpression.
func (p *textParser) or() Expr { return p.chain("OR", OpOr, p.and) }

// and is rule booleanTerm.
func (p *textParser) and() Expr { return p.chain("AND", OpAnd, p.not) }

func (p *textParser) chain(word string, op Op, operand func() Expr) Expr {
	pos := p.tok.pos
	first := operand()
	if !p.tok.word(word) {
		return first
	}
	args := []Expr{first}
	for p.err == nil && p.keyword(word) {
		args = append(args, operand())
	}
	return p.call(pos, op, args...)
}

// not is rule booleanFactor.
func (p *textParser) not() Expr {
	pos := p.tok.pos
	if !p.keyword("NOT") {
		return p.comparison()
	}
	p.deeper()
	defer func() { p.depth-- }()
	return p.call(pos, OpNot, p.not())
}

// comparison is rule comparisonPredicate, or the expression alone.
func (p *textParser) comparison() Expr {
	pos := p.tok.pos
	left := p.sum()
	if p.tok.kind == tokSymbol {
		if op := opByJSON(p.tok.text); op.IsComparison() {
			p.advance()
			return p.call(pos, op, left, p.sum())
		}
		return left
	}
	if p.keyword("IS") {
		negated := p.keyword("NOT")
		if !p.keyword("NULL") {
			p.unexpected("NULL")
		}
		return p.negate(pos, negated, p.call(pos, OpIsNull, left))
	}
	negated := false
	if p.tok.word("NOT") {
		negated = true
		p.advance()
		if !p.tok.word("LIKE") && !p.tok.word("BETWEEN") && !p.tok.word("IN") {
			p.unexpected("LIKE, BETWEEN or IN")
		}
	}
	switch {
	case p.keyword("LIKE"):
		return p.negate(pos, negated, p.call(pos, OpLike, left, p.sum()))
	case p.keyword("BETWEEN"):
		low := p.sum()
		if !p.keyword("AND") {
			p.unexpected("AND and the upper bound")
		}
		return p.negate(pos, negated, p.call(pos, OpBetween, left, low, p.sum()))
	case p.keyword("IN"):
		p.symbol("(", "a list in parentheses")
		args := []Expr{left, p.sum()}
		for p.err == nil && p.tok.sym(",") {
			p.advance()
			args = append(args, p.sum())
		}
		p.symbol(")", ", or )")
		return p.negate(pos, negated, p.call(pos, OpIn, args...))
	}
	return left
}

func (p *textParser) negate(pos Pos, negated bool, e Expr) Expr {
	if negated {
		return p.call(pos, OpNot, e)
	}
	return e
}

// sum is rule arithmeticExpression.
func (p *textParser) sum() Expr {
	pos := p.tok.pos
	left := p.product()
	for p.tok.sym("+") || p.tok.sym("-") {
		op := opByJSON(p.tok.text)
		p.advance()
		left = p.call(pos, op, left, p.product())
	}
	return left
}

// product is rule arithmeticTerm.
func (p *textParser) product() Expr {
	pos := p.tok.pos
	left := p.power()
	for p.tok.sym("*") || p.tok.sym("/") || p.tok.sym("%") || p.tok.word("div") {
		op := opByJSON(strings.ToLower(p.tok.text))
		p.advance()
		left = p.call(pos, op, left, p.power())
	}
	return left
}

// power is rule powerTerm: the sign of the base binds closer than ^.
func (p *textParser) power() Expr {
	pos := p.tok.pos
	left := p.factor()
	if p.tok.sym("^") {
		p.advance()
		return p.call(pos, OpPow, left, p.factor())
	}
	return left
}

// factor is rule arithmeticFactor. A minus before anything but a number is a
// multiplication by -1, as in the JSON encoding.
func (p *textParser) factor() Expr {
	pos := p.tok.pos
	sign := p.tok.text
	if !p.tok.sym("-") && !p.tok.sym("+") {
		return p.primary()
	}
	p.advance()
	if p.tok.kind == tokNumber {
		n := p.numeral()
		if sign == "-" {
			n = -n
		}
		return &Number{p.at(pos), n}
	}
	if sign == "+" {
		p.unexpected("a number after +")
		return nil
	}
	return p.call(pos, OpMul, &Number{p.at(pos), -1}, p.primary())
}

// numeral reads the number at hand, without a sign.
func (p *textParser) numeral() float64 {
	v, err := parseNumber(p.tok.text, p.tok.pos)
	if err != nil {
		p.fail(err)
	}
	p.advance()
	return v
}

func parseNumber(s string, pos Pos) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, &Error{Code: CodeValue, Pos: pos, Found: "the number " + quoted(s), Expected: "a number between -1.8E308 and 1.8E308"}
	}
	return v, nil
}

func (p *textParser) primary() Expr {
	t := p.tok
	switch t.kind {
	case tokNumber:
		return &Number{p.at(t.pos), p.numeral()}
	case tokString:
		p.advance()
		return &String{p.at(t.pos), t.text}
	case tokQuoted:
		p.advance()
		return &Property{p.at(t.pos), t.text}
	case tokSymbol:
		if t.sym("(") {
			return p.parenthesis()
		}
	case tokWord:
		return p.wordExpr()
	}
	p.unexpected("a property, a literal, a function or (")
	return nil
}

// parenthesis reads a group or an array. Only where an element or argument
// begins can it be an array with one element, and only when nothing but a
// comma or a parenthesis follows.
func (p *textParser) parenthesis() Expr {
	p.deeper()
	defer func() { p.depth-- }()
	open := p.tok
	whole := p.element == open.off
	next := p.or
	if whole {
		next = p.item
	}
	p.advance()
	var items []Expr
	comma := false
	if !p.tok.sym(")") {
		items = append(items, next())
		for p.err == nil && p.tok.sym(",") {
			comma = true
			p.advance()
			items = append(items, next())
		}
	}
	p.symbol(")", ", or )")
	if p.err != nil {
		return nil
	}
	one := len(items) == 1 && !comma
	if one && !(whole && (p.tok.sym(")") || p.tok.sym(","))) {
		for p.single[items[0]] { // a group after all, and what it holds too
			items = items[0].(*Array).Items
		}
		return items[0]
	}
	a := &Array{p.at(open.pos), items}
	if one {
		if p.single == nil {
			p.single = map[Expr]bool{}
		}
		p.single[a] = true
	}
	return a
}

// item reads an element of an array or an argument of a function.
func (p *textParser) item() Expr {
	defer func(before int) { p.element = before }(p.element)
	p.element = p.tok.off
	return p.or()
}

// wordExpr reads what begins with a word: a literal, a function, a property.
func (p *textParser) wordExpr() Expr {
	t := p.tok
	switch {
	case t.word("TRUE"), t.word("FALSE"):
		p.advance()
		return &Bool{p.at(t.pos), t.word("TRUE")}
	case reserved(t.text):
		p.unexpected("a property, a literal, a function or (")
		return nil
	}
	if isGeometryWord(t.text) {
		if next := p.peek(); next.sym("(") || next.word("Z") || next.word("EMPTY") {
			return p.literalFunction()
		}
	}
	p.advance()
	if !p.tok.sym("(") {
		return &Property{p.at(t.pos), t.text}
	}
	p.deeper()
	defer func() { p.depth-- }()
	p.advance()
	op := opByFunction(t.text)
	// A new group: the elements of an outer array do not begin in here.
	defer func(before int) { p.element = before }(p.element)
	p.element = -1
	var args []Expr
	if !p.tok.sym(")") {
		for first := true; p.err == nil && (first || p.tok.sym(",")); first = false {
			if !first {
				p.advance()
			}
			if op == opNone || op.IsArray() {
				args = append(args, p.item())
			} else {
				args = append(args, p.or())
			}
		}
	}
	p.symbol(")", ", or )")
	if op == opNone {
		return &Function{p.at(t.pos), t.text, args}
	}
	return p.call(t.pos, op, args...)
}
