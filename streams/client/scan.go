package client

import (
	"bytes"
	"encoding/json"
	"errors"
)

// maxDepth of values that are skipped.
const maxDepth = 32

var errSyntax = errors.New("not valid JSON")

// scan walks over JSON once, without making anything of what nobody wants. It
// is as strict as needed to find the members; what encoding/json reads of it is
// checked there.
type scan struct {
	b []byte
	i int
}

// peek is the next byte that is no white space; 0 at the end.
func (s *scan) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// next takes c if it comes next.
func (s *scan) next(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scan) expect(c byte) error {
	if !s.next(c) {
		return errSyntax
	}
	return nil
}

// end reports whether nothing follows.
func (s *scan) end() error {
	if s.peek() != 0 || s.i < len(s.b) {
		return errSyntax
	}
	return nil
}

// object calls fn with the name of each member, which takes the value. The
// names of the protocol have no escapes.
func (s *scan) object(fn func(name []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.next('}') {
		return nil
	}
	for {
		name, _, err := s.quoted()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := fn(name); err != nil {
			return err
		}
		if s.next(',') {
			continue
		}
		return s.expect('}')
	}
}

// quoted is a string: its bytes between the quotes, and whether these are all
// of it; else they are with the quotes, for unquote.
func (s *scan) quoted() (raw []byte, plain bool, err error) {
	if s.peek() != '"' {
		return nil, false, errSyntax
	}
	start := s.i + 1
	plain = true
	for i := start; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			if plain {
				return s.b[start:i], true, nil
			}
			return s.b[start-1 : i+1], false, nil
		case c == '\\':
			plain = false
			i++
		case c < 0x20:
			return nil, false, errSyntax
		}
	}
	return nil, false, errSyntax
}

func unquote(raw []byte) (string, error) {
	var v string
	err := json.Unmarshal(raw, &v)
	return v, err
}

func (s *scan) text() (string, error) {
	raw, plain, err := s.quoted()
	if err != nil {
		return "", err
	}
	if plain {
		return string(raw), nil
	}
	return unquote(raw)
}

// number is the bytes of a number; who reads it finds what is wrong with it.
func (s *scan) number() ([]byte, error) {
	s.peek()
	start := s.i
	for s.i < len(s.b) && numeric(s.b[s.i]) {
		s.i++
	}
	if s.i == start {
		return nil, errSyntax
	}
	return s.b[start:s.i], nil
}

func numeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '.' || c == 'e' || c == 'E' || c == '+'
}

func (s *scan) truth() (bool, error) {
	if s.peek() == 't' {
		return true, s.word("true")
	}
	return false, s.word("false")
}

func (s *scan) word(w string) error {
	s.peek()
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		return errSyntax
	}
	s.i += len(w)
	return nil
}

// skip passes over any value.
func (s *scan) skip(depth int) error {
	if depth > maxDepth {
		return errSyntax
	}
	switch c := s.peek(); c {
	case '{':
		return s.object(func([]byte) error { return s.skip(depth + 1) })
	case '[':
		s.i++
		if s.next(']') {
			return nil
		}
		for {
			if err := s.skip(depth + 1); err != nil {
				return err
			}
			if s.next(',') {
				continue
			}
			return s.expect(']')
		}
	case '"':
		_, _, err := s.quoted()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	_, err := s.number()
	return err
}

// unmarshal reads any value into v.
func (s *scan) unmarshal(v any) error {
	s.peek()
	start := s.i
	if err := s.skip(0); err != nil {
		return err
	}
	return json.Unmarshal(s.b[start:s.i], v)
}
