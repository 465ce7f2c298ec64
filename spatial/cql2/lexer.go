package cql2

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEOF    tokenKind = iota
	tokWord             // identifier or keyword
	tokQuoted           // "name"
	tokString           // 'text'
	tokNumber           // without sign
	tokSymbol           // ( ) , + - * / % ^ = < > <= >= <>
)

// token is one lexical element. text is the word, the unescaped content of a
// quoted name or string, the digits, or the symbol.
type token struct {
	kind tokenKind
	text string
	pos  Pos
	off  int
}

func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "the end"
	case tokString:
		return "the text " + quoted(t.text)
	case tokQuoted:
		return "the name " + quoted(t.text)
	}
	return quoted(t.text)
}

// word reports whether t is the keyword w, in any case.
func (t token) word(w string) bool { return t.kind == tokWord && strings.EqualFold(t.text, w) }

// sym reports whether t is the symbol s.
func (t token) sym(s string) bool { return t.kind == tokSymbol && t.text == s }

// lexer cuts the text encoding into tokens (21-065r2, Annex B).
type lexer struct {
	src    string
	off    int
	line   int
	lineAt int // offset up to which columns are counted
	col    int // column at lineAt
}

func newLexer(src string) *lexer { return &lexer{src: src, line: 1, col: 1} }

// here is the position of the offset l.off; offsets only grow.
func (l *lexer) here() Pos {
	for l.lineAt < l.off {
		r, n := utf8.DecodeRuneInString(l.src[l.lineAt:])
		l.lineAt += n
		l.col++
		if r == '\n' {
			l.line, l.col = l.line+1, 1
		}
	}
	return Pos{Line: l.line, Column: l.col}
}

func (l *lexer) next() (token, error) {
	for l.off < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[l.off:])
		if !isSpace(r) {
			break
		}
		l.off += n
	}
	t := token{pos: l.here(), off: l.off}
	if l.off >= len(l.src) {
		return t, nil
	}
	rest := l.src[l.off:]
	c := rest[0]
	switch {
	case c == '\'':
		return l.text(t)
	case c == '"':
		return l.name(t)
	case isDigit(c) || c == '.' && len(rest) > 1 && isDigit(rest[1]):
		return l.number(t)
	}
	if r, n := utf8.DecodeRuneInString(rest); isNameStart(r) {
		for n < len(rest) {
			r, m := utf8.DecodeRuneInString(rest[n:])
			if !isNamePart(r) {
				break
			}
			n += m
		}
		t.kind, t.text = tokWord, rest[:n]
		l.off += n
		return t, nil
	}
	t.kind = tokSymbol
	n := 1
	if len(rest) > 1 && (rest[:2] == "<=" || rest[:2] == ">=" || rest[:2] == "<>") {
		n = 2
	} else if strings.IndexByte("(),+-*/%^=<>", c) < 0 {
		r, _ := utf8.DecodeRuneInString(rest)
		hint := ""
		switch {
		case c == '!':
			hint = "not equal is written <>"
		case r == '‘' || r == '’' || r == '＇':
			hint = "text stands in straight single quotes"
		case r == '“' || r == '”' || c == '`':
			hint = "names stand in straight double quotes, text in single ones"
		}
		return t, &Error{Code: CodeSyntax, Pos: t.pos, Found: fmt.Sprintf("the character %q", r), Expected: "a name, a literal or an operator", Hint: hint}
	}
	t.text = rest[:n]
	l.off += n
	return t, nil
}

// escapes maps the letters that stand for control characters after a backslash
// (/req/cql2-text/escaping).
var escapes = map[byte]byte{'a': '\a', 'b': '\b', 't': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', '\'': '\'', '\\': '\\'}

// text reads a character literal. A quote within it is doubled or follows a
// backslash; a backslash also makes control characters and itself. Before any
// other character it is kept, so that a LIKE pattern says \% as it is.
func (l *lexer) text(t token) (token, error) {
	t.kind = tokString
	var b strings.Builder
	s := l.src
	for i := l.off + 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && escapes[s[i+1]] != 0:
			b.WriteByte(escapes[s[i+1]])
			i++
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case s[i] == '\'':
			t.text = b.String()
			l.off = i + 1
			return t, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return t, &Error{Code: CodeSyntax, Pos: t.pos, Found: "a text without an end", Expected: "a closing single quote", Hint: `\' and '' stand for a quote within the text`}
}

// name reads a quoted property name. Any character may stand in it; a double
// quote is doubled.
func (l *lexer) name(t token) (token, error) {
	t.kind = tokQuoted
	var b strings.Builder
	s := l.src
	for i := l.off + 1; i < len(s); i++ {
		switch {
		case s[i] == '"' && i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case s[i] == '"':
			t.text = b.String()
			l.off = i + 1
			if t.text == "" {
				return t, &Error{Code: CodeSyntax, Pos: t.pos, Found: "an empty name", Expected: "a property name"}
			}
			return t, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return t, &Error{Code: CodeSyntax, Pos: t.pos, Found: "a name without an end", Expected: "a closing double quote", Hint: "text stands in single quotes"}
}

// number reads digits [. digits] [E [sign] digits] or . digits.
func (l *lexer) number(t token) (token, error) {
	t.kind = tokNumber
	s, i := l.src, l.off
	digits := func() {
		for i < len(s) && isDigit(s[i]) {
			i++
		}
	}
	digits()
	if i < len(s) && s[i] == '.' {
		i++
		digits()
	}
	if i < len(s) && (s[i] == 'E' || s[i] == 'e') {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if j < len(s) && isDigit(s[j]) {
			i = j
			digits()
		}
	}
	if r, n := utf8.DecodeRuneInString(s[i:]); n > 0 && isNameStart(r) {
		return t, &Error{Code: CodeSyntax, Pos: t.pos, Found: quoted(s[l.off : i+n]), Expected: "a number", Hint: "a name that begins with a digit stands in double quotes"}
	}
	t.text = s[l.off:i]
	l.off = i
	return t, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isSpace is rule whitespace of the grammar.
func isSpace(r rune) bool {
	switch {
	case r >= 0x09 && r <= 0x0D, r == ' ', r == 0x85, r == 0xA0, r == 0x1680, r >= 0x2000 && r <= 0x200A,
		r == 0x2028, r == 0x2029, r == 0x202F, r == 0x205F, r == 0x3000:
		return true
	}
	return false
}

// isNameStart is rule identifierStart of the grammar, without the characters
// that the rule whitespace has too.
func isNameStart(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r == ':':
		return true
	case r < 0xC0, r == 0xD7, r == 0xF7, r == utf8.RuneError, isSpace(r):
		return false
	}
	return r <= 0x2FF || r >= 0x370 && r <= 0x37D || r >= 0x37F && r <= 0x1FFE || r == 0x200C || r == 0x200D ||
		r >= 0x2070 && r <= 0x218F || r >= 0x2C00 && r <= 0x2FEF || r >= 0x3001 && r <= 0xD7FF ||
		r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0 && r <= 0xFFFD || r >= 0x10000 && r <= 0xEFFFF
}

// isNamePart is rule identifierPart of the grammar.
func isNamePart(r rune) bool {
	return isNameStart(r) || r == '.' || r >= '0' && r <= '9' || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}

// isPlainName reports whether name can be written without quotes.
func isPlainName(name string) bool {
	if name == "" || reserved(name) || isGeometryWord(name) || opByFunction(name) != opNone {
		return false
	}
	for i, r := range name {
		if i == 0 && !isNameStart(r) || !isNamePart(r) {
			return false
		}
	}
	return true
}
