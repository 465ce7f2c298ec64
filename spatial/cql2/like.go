package cql2

import (
	"strings"
	"unicode/utf8"
)

// like is a compiled LIKE pattern: pieces of fixed length between the %
// wildcards. Matching looks for each piece at its leftmost place and never
// goes back further, so its time is bounded by the length of the value times
// that of the pattern.
type like struct {
	pieces []likePiece // between the wildcards, the empty ones left out
	open   bool        // the pattern begins with %
	tail   bool        // the pattern ends with %
	any    bool        // the pattern has a %
}

// likePiece is a run of literal text and single-character wildcards.
type likePiece struct {
	text  string // the literal text, when the piece has no wildcard
	runes []rune // else the characters; anyRune stands for _
}

const anyRune rune = -1

// danglingEscape reports whether pattern ends in an escape character that
// escapes nothing.
func danglingEscape(pattern string) bool {
	n := 0
	for n < len(pattern) && pattern[len(pattern)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// newLike compiles a pattern: % is any number of characters, _ one, and \
// takes the character after it literally
// (/req/advanced-comparison-operators/like-predicate).
func newLike(pattern string) *like {
	l := &like{}
	var runes []rune
	wild := false
	flush := func() {
		if len(runes) == 0 {
			return
		}
		p := likePiece{runes: runes}
		if !wild {
			p = likePiece{text: string(runes)}
		}
		l.pieces = append(l.pieces, p)
		runes, wild = nil, false
	}
	escaped := false
	for i, r := range pattern {
		l.tail = false
		switch {
		case escaped:
			runes, escaped = append(runes, r), false
		case r == '\\':
			escaped = true
		case r == '%':
			flush()
			l.any, l.tail = true, true
			if i == 0 {
				l.open = true
			}
		case r == '_':
			runes, wild = append(runes, anyRune), true
		default:
			runes = append(runes, r)
		}
	}
	flush()
	return l
}

func (l *like) match(s string) bool {
	ps := l.pieces
	if !l.any {
		if len(ps) == 0 {
			return s == ""
		}
		return ps[0].prefix(s) == len(s)
	}
	if !l.open && len(ps) > 0 {
		n := ps[0].prefix(s)
		if n < 0 {
			return false
		}
		s, ps = s[n:], ps[1:]
	}
	last := len(ps)
	if !l.tail {
		last--
	}
	for i := 0; i < last; i++ {
		end := ps[i].find(s)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return l.tail || ps[last].suffix(s)
}

// prefix is the length of p at the start of s, or -1.
func (p *likePiece) prefix(s string) int {
	if p.runes == nil {
		if strings.HasPrefix(s, p.text) {
			return len(p.text)
		}
		return -1
	}
	at := 0
	for _, want := range p.runes {
		if at >= len(s) {
			return -1
		}
		r, n := rune(s[at]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[at:])
		}
		if want != anyRune && want != r {
			return -1
		}
		at += n
	}
	return at
}

// find is the end of the leftmost p in s, or -1.
func (p *likePiece) find(s string) int {
	if p.runes == nil {
		i := strings.Index(s, p.text)
		if i < 0 {
			return -1
		}
		return i + len(p.text)
	}
	for i := 0; i < len(s); {
		if n := p.prefix(s[i:]); n >= 0 {
			return i + n
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		i += n
	}
	return -1
}

// suffix reports whether s ends in p.
func (p *likePiece) suffix(s string) bool {
	if p.runes == nil {
		return strings.HasSuffix(s, p.text)
	}
	at := len(s)
	for range p.runes {
		if at <= 0 {
			return false
		}
		_, n := utf8.DecodeLastRuneInString(s[:at])
		at -= n
	}
	return p.prefix(s[at:]) == len(s)-at
}
