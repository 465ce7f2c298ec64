package decode

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"cityhub/twin"
)

// maxDepth bounds the nesting of values that are skipped over.
const maxDepth = 32

// scanner reads JSON (RFC 8259) from a payload that is known to be valid
// UTF-8. It is strict: no comments, no trailing commas, no leading zeros.
type scanner struct {
	data []byte
	off  int
	m    *Message
}

func (s *scanner) malformed(format string, args ...any) error {
	return &Error{Reason: twin.RejectMalformed, Offset: s.off, Detail: fmt.Sprintf(format, args...)}
}

func (s *scanner) expected(what string) error {
	if s.off >= len(s.data) {
		return s.malformed("the payload ends where %s was expected", what)
	}
	r, _ := utf8.DecodeRune(s.data[s.off:])
	return s.malformed("%q where %s was expected", r, what)
}

// peek skips white space and gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.off < len(s.data) {
		switch c := s.data[s.off]; c {
		case ' ', '\t', '\n', '\r':
			s.off++
		default:
			return c
		}
	}
	return 0
}

// end checks that only white space is left.
func (s *scanner) end() error {
	if s.peek(); s.off != len(s.data) {
		return s.expected("the end")
	}
	return nil
}

// string reads a string, the opening quote being next. Without escapes the
// result lies in the payload, else in the message's scratch space.
func (s *scanner) string() ([]byte, error) {
	s.off++
	start := s.off
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.off = i + 1
			return s.data[start:i], nil
		case c == '\\':
			return s.escaped(start, i)
		case c < 0x20:
			s.off = i
			return nil, s.malformed("control character in a string")
		}
	}
	s.off = len(s.data)
	return nil, s.malformed("a string has no end")
}

// escaped reads the rest of a string that has an escape at i.
func (s *scanner) escaped(start, i int) ([]byte, error) {
	from := len(s.m.scratch)
	out := append(s.m.scratch, s.data[start:i]...)
	for i < len(s.data) {
		c := s.data[i]
		switch {
		case c == '"':
			s.off = i + 1
			s.m.scratch = out
			return out[from:len(out):len(out)], nil
		case c < 0x20:
			s.off = i
			return nil, s.malformed("control character in a string")
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		s.off = i
		if i+1 >= len(s.data) {
			break
		}
		switch e := s.data[i+1]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := s.hex4(i + 2)
			if !ok {
				return nil, s.malformed("\\u wants four hexadecimal digits")
			}
			i += 4
			if utf16.IsSurrogate(r) {
				r2, ok := rune(0), false
				if i+3 < len(s.data) && s.data[i+2] == '\\' && s.data[i+3] == 'u' {
					r2, ok = s.hex4(i + 4)
				}
				if r = utf16.DecodeRune(r, r2); !ok || r == utf8.RuneError {
					return nil, s.malformed("half a surrogate pair")
				}
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, s.malformed("unknown escape \\%c", e)
		}
		i += 2
	}
	s.off = len(s.data)
	return nil, s.malformed("a string has no end")
}

func (s *scanner) hex4(i int) (rune, bool) {
	if i+4 > len(s.data) {
		return 0, false
	}
	var r rune
	for _, c := range s.data[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// number reads a JSON number. A decimal of up to 15 digits, which is what
// terminals send, is exact in one multiplication or division; the rest goes
// to strconv. An overflow gives an infinity.
func (s *scanner) number() (float64, error) {
	start := s.off
	i := s.off
	neg := false
	if s.data[i] == '-' {
		neg = true
		i++
	}
	var mant uint64
	digits, exp := 0, 0
	intStart := i
	for ; i < len(s.data) && isDigit(s.data[i]); i++ {
		if digits < 19 {
			mant = mant*10 + uint64(s.data[i]-'0')
		}
		digits++
	}
	if i == intStart {
		s.off = i
		return 0, s.expected("a digit")
	}
	if s.data[intStart] == '0' && i > intStart+1 {
		s.off = intStart
		return 0, s.malformed("a number with a leading zero")
	}
	if i < len(s.data) && s.data[i] == '.' {
		i++
		frac := i
		for ; i < len(s.data) && isDigit(s.data[i]); i++ {
			if digits < 19 {
				mant = mant*10 + uint64(s.data[i]-'0')
			}
			digits++
		}
		if i == frac {
			s.off = i
			return 0, s.expected("a digit after the decimal point")
		}
		exp = frac - i
	}
	if i < len(s.data) && (s.data[i] == 'e' || s.data[i] == 'E') {
		i++
		eneg := false
		if i < len(s.data) && (s.data[i] == '+' || s.data[i] == '-') {
			eneg = s.data[i] == '-'
			i++
		}
		es, e := i, 0
		for ; i < len(s.data) && isDigit(s.data[i]); i++ {
			if e < 10000 {
				e = e*10 + int(s.data[i]-'0')
			}
		}
		if i == es {
			s.off = i
			return 0, s.expected("a digit of the exponent")
		}
		if eneg {
			e = -e
		}
		exp += e
	}
	s.off = i
	if digits <= 19 && bits.Len64(mant) <= 53 && -22 <= exp && exp <= 22 {
		v := float64(mant)
		if exp < 0 {
			v /= pow10[-exp]
		} else {
			v *= pow10[exp]
		}
		if neg {
			v = -v
		}
		return v, nil
	}
	// The error can only be a range error, and then v is an infinity.
	v, _ := strconv.ParseFloat(view(s.data[start:i]), 64)
	return v, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// view is b as a string that must not outlive b.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// value reads any value into r; present is false for null.
func (s *scanner) value(r *Reading) (present bool, err error) {
	switch c := s.peek(); {
	case c == '-' || isDigit(c):
		start := s.off
		if c == '-' && s.literal("-Infinity") {
			r.Kind, r.Text = NotNumber, s.data[start:s.off]
			return true, nil
		}
		r.Value, err = s.number()
		r.Kind = Number
		if math.IsInf(r.Value, 0) {
			r.Kind, r.Text = NotNumber, s.data[start:s.off]
		}
		return true, err
	case c == '"':
		r.Kind = Text
		r.Text, err = s.string()
		return true, err
	case c == 't' && s.literal("true"):
		r.Kind, r.Value = Truth, 1
		return true, nil
	case c == 'f' && s.literal("false"):
		r.Kind, r.Value = Truth, 0
		return true, nil
	case c == 'n' && s.literal("null"):
		return false, nil
	case c == 'N' && s.literal("NaN"), c == 'I' && s.literal("Infinity"):
		// Not JSON, but what many a printf makes of a failed sensor: the
		// reading is refused by name, its neighbours are kept.
		r.Kind, r.Text = NotNumber, s.data[s.off-3:s.off]
		if c == 'I' {
			r.Text = s.data[s.off-len("Infinity") : s.off]
		}
		return true, nil
	case c == '{' || c == '[':
		start := s.off
		if err := s.skip(0); err != nil {
			return true, err
		}
		r.Kind, r.Text = Structured, s.data[start:min(s.off, start+40)]
		return true, nil
	}
	return false, s.expected("a value")
}

// literal consumes word if it is next.
func (s *scanner) literal(word string) bool {
	if len(s.data)-s.off < len(word) || string(s.data[s.off:s.off+len(word)]) != word {
		return false
	}
	s.off += len(word)
	return true
}

// skip reads over any value.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.malformed("nested more than %d deep", maxDepth)
	}
	switch c := s.peek(); c {
	case '{':
		return s.object(func([]byte) error { return s.skip(depth + 1) })
	case '[':
		return s.array(func() error { return s.skip(depth + 1) })
	default:
		var r Reading
		_, err := s.value(&r)
		return err
	}
}

// object reads an object, the brace being next, and calls member after each
// colon; member must read the value.
func (s *scanner) object(member func(key []byte) error) error {
	s.off++
	if s.peek() == '}' {
		s.off++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.expected("a member name")
		}
		key, err := s.string()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.expected("a colon")
		}
		s.off++
		if err := member(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.off++
		case '}':
			s.off++
			return nil
		default:
			return s.expected("a comma or the end of the object")
		}
	}
}

// array reads an array, the bracket being next, and calls element for each
// element; element must read the value.
func (s *scanner) array(element func() error) error {
	s.off++
	if s.peek() == ']' {
		s.off++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.off++
		case ']':
			s.off++
			return nil
		default:
			return s.expected("a comma or the end of the array")
		}
	}
}

// The span of time that int64 nanoseconds can hold, in ms with a margin.
const (
	minMs = math.MinInt64/int64(time.Millisecond) + 1
	maxMs = math.MaxInt64/int64(time.Millisecond) - 1
)

// timeOf reads a time: a number of milliseconds since the epoch or an RFC 3339
// text. bad says why it is neither.
func timeOf(r *Reading) (ns int64, bad string) {
	switch r.Kind {
	case Number:
		if r.Value < float64(minMs) || r.Value > float64(maxMs) {
			return 0, fmt.Sprintf("%g ms is not within the years 1678 to 2262", r.Value)
		}
		whole := math.Floor(r.Value)
		return int64(whole)*int64(time.Millisecond) + int64(math.Round((r.Value-whole)*1e6)), ""
	case Text:
		t, err := time.Parse(time.RFC3339Nano, view(r.Text))
		if err != nil {
			return 0, fmt.Sprintf("%.40q is not a time; expected milliseconds since 1970 or RFC 3339, e.g. 2026-01-02T15:04:05Z", r.Text)
		}
		if ms := t.UnixMilli(); ms < minMs || ms > maxMs {
			return 0, fmt.Sprintf("%s is not within the years 1678 to 2262", r.Text)
		}
		return t.UnixNano(), ""
	}
	return 0, "expected milliseconds since 1970 or RFC 3339, e.g. 2026-01-02T15:04:05Z"
}
