package jsonscan

import (
	"math"
	"strconv"
)

// maxNumber is the longest number taken. A float64 in full has 767 digits;
// nobody writes a coordinate with a hundred.
const maxNumber = 128

// Number takes a number and gives its text, valid until the next call, and
// whether it is an integer (no fraction, no exponent).
func (s *Scanner) Number() (text []byte, integer bool, err error) {
	if c := s.Peek(); c != '-' && (c < '0' || c > '9') {
		return nil, false, s.notA("a number")
	}
	s.tok = s.tok[:0]
	for {
		c, ok := s.look()
		if !ok || !(c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E') {
			break
		}
		if len(s.tok) == maxNumber {
			return nil, false, s.fault(Limit, "a number of more than %d characters", maxNumber)
		}
		s.tok = append(s.tok, c)
		s.pass()
	}
	integer, ok := numeral(s.tok)
	if !ok {
		return nil, false, s.fault(Syntax, "%q is no number", s.tok)
	}
	return s.tok, integer, nil
}

// numeral checks RFC 8259 section 6.
func numeral(b []byte) (integer, ok bool) {
	i := 0
	digits := func() bool {
		j := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > j
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	if !digits() || b[first] == '0' && i-first > 1 {
		return false, false
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		i++
		integer = false
		if !digits() {
			return false, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		integer = false
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return false, false
		}
	}
	return integer, i == len(b)
}

// Float takes a number. One beyond the range of float64 is a Type error: it
// would become infinite.
func (s *Scanner) Float() (float64, error) {
	line, offset := s.line, s.Offset()
	text, _, err := s.Number()
	if err != nil {
		return 0, err
	}
	if f, ok := quickFloat(text); ok {
		return f, nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, &Error{Kind: Type, Line: line, Offset: offset, Message: "the number " + string(text) + " is too large"}
	}
	return f, nil
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// quickFloat reads a decimal numeral whose digits fit 2^53. Digits and power
// of ten are then exact, so that the one division rounds correctly.
func quickFloat(b []byte) (float64, bool) {
	var m uint64
	neg, point := false, -1
	for i, c := range b {
		switch {
		case c == '-' && i == 0:
			neg = true
		case c == '.':
			point = i
		case c >= '0' && c <= '9':
			if m >= 1<<53/10 {
				return 0, false
			}
			m = m*10 + uint64(c-'0')
		default:
			return 0, false
		}
	}
	f := float64(m)
	if point >= 0 {
		n := len(b) - 1 - point
		if n >= len(pow10) {
			return 0, false
		}
		f /= pow10[n]
	}
	if neg {
		f = math.Copysign(f, -1)
	}
	return f, true
}

// Int takes a whole number.
func (s *Scanner) Int() (int64, error) {
	line, offset := s.line, s.Offset()
	text, integer, err := s.Number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if !integer || err != nil {
		return 0, &Error{Kind: Type, Line: line, Offset: offset, Message: "expected a whole number of 64 bits, found " + string(text)}
	}
	return n, nil
}
