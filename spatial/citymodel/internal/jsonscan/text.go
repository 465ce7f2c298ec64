package jsonscan

import (
	"unicode/utf16"
	"unicode/utf8"
)

// String takes a string.
func (s *Scanner) String() (string, error) {
	b, err := s.Bytes()
	return string(b), err
}

// Bytes takes a string and gives its bytes, valid until the next call.
func (s *Scanner) Bytes() ([]byte, error) {
	if s.Peek() != '"' {
		return nil, s.notA("a string")
	}
	s.pass()
	s.tok = s.tok[:0]
	for {
		i := s.pos
		for i < s.end && s.buf[i] != '"' && s.buf[i] != '\\' && s.buf[i] >= 0x20 {
			i++
		}
		run := s.buf[s.pos:i]
		if len(s.tok)+len(run) > s.o.MaxToken {
			return nil, s.fault(Limit, "a string of more than %d bytes", s.o.MaxToken)
		}
		if s.keep {
			s.hold(run)
		}
		if i < s.end && s.buf[i] == '"' && len(s.tok) == 0 {
			s.pos = i
			s.pass()
			return run, s.utf8(run)
		}
		s.tok = append(s.tok, run...)
		s.pos = i
		c, ok := s.look()
		switch {
		case !ok:
			return nil, s.syntax("the end of a string")
		case c == '"':
			s.pass()
			return s.tok, s.utf8(s.tok)
		case c == '\\':
			s.pass()
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < 0x20:
			return nil, s.fault(Syntax, "control character %#02x in a string; it must be written as an escape", c)
		}
	}
}

func (s *Scanner) utf8(b []byte) error {
	if utf8.Valid(b) {
		return nil
	}
	return s.fault(Syntax, "a string is not UTF-8; JSON is UTF-8 (RFC 8259 section 8.1)")
}

func (s *Scanner) escape() error {
	c, ok := s.look()
	if !ok {
		return s.syntax("the end of an escape")
	}
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	for i := range len(from) {
		if c == from[i] {
			s.pass()
			s.tok = append(s.tok, to[i])
			return nil
		}
	}
	if c != 'u' {
		return s.fault(Syntax, `\%c is no escape`, rune(c))
	}
	s.pass()
	r, err := s.hex4()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		low := rune(-1)
		if c, ok := s.look(); ok && c == '\\' {
			s.pass()
			if c, ok = s.look(); !ok || c != 'u' {
				return s.fault(Syntax, `half of a surrogate pair without the other`)
			}
			s.pass()
			if low, err = s.hex4(); err != nil {
				return err
			}
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return s.fault(Syntax, `half of a surrogate pair without the other`)
		}
	}
	s.tok = utf8.AppendRune(s.tok, r)
	return nil
}

func (s *Scanner) hex4() (rune, error) {
	var r rune
	for range 4 {
		c, ok := s.look()
		var d byte
		switch {
		case ok && c >= '0' && c <= '9':
			d = c - '0'
		case ok && c|0x20 >= 'a' && c|0x20 <= 'f':
			d = c | 0x20 - 'a' + 10
		default:
			return 0, s.syntax(`four hexadecimal digits`)
		}
		s.pass()
		r = r<<4 | rune(d)
	}
	return r, nil
}
