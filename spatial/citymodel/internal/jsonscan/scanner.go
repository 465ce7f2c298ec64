// Package jsonscan reads JSON (RFC 8259) as a stream: the caller walks through
// objects and arrays with callbacks and takes or skips each value. Memory is
// one window of the text and the longest string or raw value, both bounded;
// depth is bounded; every error has its line and byte offset.
//
// Values that are taken are checked in full. Skip, and what Recover passes
// over, is only checked for strings that end and brackets that match.
//
// A Scanner is for one goroutine.
package jsonscan

import (
	"errors"
	"io"
)

// Options bound what a Scanner does. The zero value is usable.
type Options struct {
	MaxDepth int   // arrays and objects inside each other; zero: 128
	MaxToken int   // bytes of one string or raw value; zero: 16 MiB
	Window   int   // bytes read at once; zero: 64 KiB
	Line     int   // number of the first line; zero: 1
	Offset   int64 // offset of the first byte
}

// Scanner walks through one text.
type Scanner struct {
	r        io.Reader
	err      error // of the source, io.EOF excepted
	eof      bool
	buf      []byte
	pos, end int
	base     int64 // offset of buf[0]
	line     int
	stack    []byte // '{' and '[' that are open
	tok      []byte // a number, or a string that does not stand in the window as it is
	key      []byte // the name of the member that was entered last
	raw      []byte
	keep     bool // append what is passed to raw
	rawLimit bool
	o        Options
}

// New gives a Scanner of r. A UTF-8 byte order mark is passed over.
func New(r io.Reader, o Options) *Scanner {
	if o.MaxDepth == 0 {
		o.MaxDepth = 128
	}
	if o.MaxToken == 0 {
		o.MaxToken = 16 << 20
	}
	if o.Window < 16 {
		o.Window = 64 << 10
	}
	if o.Line == 0 {
		o.Line = 1
	}
	s := &Scanner{r: r, o: o, buf: make([]byte, o.Window), line: o.Line, base: o.Offset}
	for s.end-s.pos < 3 && s.fill() {
	}
	if s.end-s.pos >= 3 && string(s.buf[s.pos:s.pos+3]) == "\ufeff" {
		s.pos += 3
	}
	return s
}

// ResetBytes lets s, made by New, read b, whose first byte stands at line and
// offset of its source. It copies nothing: b must stay as it is meanwhile.
func (s *Scanner) ResetBytes(b []byte, line int, offset int64) {
	s.r, s.err, s.eof = nil, nil, true
	s.buf, s.pos, s.end = b, 0, len(b)
	s.base, s.line = offset, line
	s.stack, s.keep = s.stack[:0], false
}

// Offset is where the Scanner stands, in bytes.
func (s *Scanner) Offset() int64 { return s.base + int64(s.pos) }

// Line is the number of the line where the Scanner stands.
func (s *Scanner) Line() int { return s.line }

// fill reads more into the window; it moves what is left to its beginning.
func (s *Scanner) fill() bool {
	if s.eof || s.err != nil {
		return false
	}
	if s.pos > 0 {
		copy(s.buf, s.buf[s.pos:s.end])
		s.base += int64(s.pos)
		s.end -= s.pos
		s.pos = 0
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		if n < 0 || n > len(s.buf)-s.end {
			s.err = errors.New("the reader returned an impossible count")
			return false
		}
		s.end += n
		switch {
		case err == io.EOF:
			s.eof = true
		case err != nil:
			s.err = err
		}
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// look is the byte at which the Scanner stands.
func (s *Scanner) look() (byte, bool) {
	if s.pos == s.end && !s.fill() {
		return 0, false
	}
	return s.buf[s.pos], true
}

// pass goes behind the byte at which the Scanner stands.
func (s *Scanner) pass() {
	c := s.buf[s.pos]
	if c == '\n' {
		s.line++
	}
	if s.keep {
		s.hold(s.buf[s.pos : s.pos+1])
	}
	s.pos++
}

func (s *Scanner) hold(b []byte) {
	if len(s.raw)+len(b) > s.o.MaxToken {
		s.rawLimit = true
		s.keep = false
		return
	}
	s.raw = append(s.raw, b...)
}

// space passes white space.
func (s *Scanner) space() {
	for {
		for s.pos < s.end {
			switch s.buf[s.pos] {
			case ' ', '\t', '\r', '\n':
				s.pass()
			default:
				return
			}
		}
		if !s.fill() {
			return
		}
	}
}

// Peek passes white space and gives the first byte of what follows: '{', '[',
// '"', a digit or '-', 't', 'f', 'n', or zero at the end of the text.
func (s *Scanner) Peek() byte {
	s.space()
	c, _ := s.look()
	return c
}

// End fails unless nothing but white space is left.
func (s *Scanner) End() error {
	s.space()
	if _, ok := s.look(); ok || s.err != nil {
		return s.syntax("the end of the text")
	}
	return nil
}

func (s *Scanner) open(c byte) error {
	if len(s.stack) >= s.o.MaxDepth {
		return s.fault(Limit, "more than %d arrays and objects inside each other", s.o.MaxDepth)
	}
	s.stack = append(s.stack, c)
	s.pass()
	return nil
}

func (s *Scanner) close() {
	s.stack = s.stack[:len(s.stack)-1]
	s.pass()
}

// Object walks through an object. member must take or skip the value; key is
// valid until it takes an object.
func (s *Scanner) Object(member func(key []byte) error) error {
	if s.Peek() != '{' {
		return s.notA("an object")
	}
	if err := s.open('{'); err != nil {
		return err
	}
	if s.Peek() == '}' {
		s.close()
		return nil
	}
	for {
		if s.Peek() != '"' {
			return s.syntax(`a member's name in double quotes`)
		}
		key, err := s.Bytes()
		if err != nil {
			return err
		}
		// Reading on may move the window in which the name stands.
		s.key = append(s.key[:0], key...)
		if s.Peek() != ':' {
			return s.syntax("':'")
		}
		s.pass()
		if err := member(s.key); err != nil {
			return err
		}
		switch s.Peek() {
		case ',':
			s.pass()
		case '}':
			s.close()
			return nil
		default:
			return s.syntax("',' or '}'")
		}
	}
}

// Array walks through an array. element must take or skip the value.
func (s *Scanner) Array(element func(i int) error) error {
	if s.Peek() != '[' {
		return s.notA("an array")
	}
	if err := s.open('['); err != nil {
		return err
	}
	if s.Peek() == ']' {
		s.close()
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		switch s.Peek() {
		case ',':
			s.pass()
		case ']':
			s.close()
			return nil
		default:
			return s.syntax("',' or ']'")
		}
	}
}

// notA is a Type error where a value of another type stands, else one of Syntax.
func (s *Scanner) notA(want string) error {
	switch c := s.Peek(); {
	case c == '{', c == '[', c == '"', c == '-', c >= '0' && c <= '9', c == 't', c == 'f', c == 'n':
		return s.wrongType(want)
	}
	return s.syntax(want)
}

// Bool takes true or false.
func (s *Scanner) Bool() (bool, error) {
	switch s.Peek() {
	case 't':
		return true, s.literal("true")
	case 'f':
		return false, s.literal("false")
	}
	return false, s.notA("true or false")
}

// Null takes null if it is what follows, and says so.
func (s *Scanner) Null() (bool, error) {
	if s.Peek() != 'n' {
		return false, nil
	}
	return true, s.literal("null")
}

func (s *Scanner) literal(word string) error {
	for i := range len(word) {
		c, ok := s.look()
		if !ok || c != word[i] {
			return s.syntax(word)
		}
		s.pass()
	}
	return nil
}
