package jsonscan

import (
	"errors"
	"fmt"
)

// Kind says what sort of fault an Error is.
type Kind uint8

// The kinds of Error.
const (
	// Syntax: the text is not JSON (RFC 8259). What follows cannot be trusted.
	Syntax Kind = iota + 1
	// Truncated: the text ends inside a value.
	Truncated
	// Limit: a bound of Options was exceeded.
	Limit
	// Read: the source failed; Err has its error.
	Read
	// Type: the JSON is well formed, but holds another kind of value than was
	// asked for. Recover goes on behind it.
	Type
)

// Error is a fault at a place in the text.
type Error struct {
	Kind    Kind
	Line    int   // from 1
	Offset  int64 // bytes from the beginning of the source
	Message string
	Err     error // the source's error, for Read
}

// Error gives place and message.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, byte %d: %s", e.Line, e.Offset, e.Message)
}

// Unwrap gives the source's error.
func (e *Error) Unwrap() error { return e.Err }

// Fatal reports whether err ends the reading of the text: every *Error does
// except one of kind Type. Errors that a callback made itself do not.
func Fatal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind != Type
}

func (s *Scanner) fault(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Line: s.line, Offset: s.Offset(), Message: fmt.Sprintf(format, args...)}
}

func (s *Scanner) wrongType(want string) error {
	return s.fault(Type, "expected %s, found %s", want, describe(s.look()))
}

// describe names what begins with byte c.
func describe(c byte, ok bool) string {
	switch {
	case !ok:
		return "the end of the text"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == '-' || c >= '0' && c <= '9':
		return "a number"
	case c == 't' || c == 'f':
		return "true or false"
	case c == 'n':
		return "null"
	default:
		return fmt.Sprintf("%q", rune(c))
	}
}

// syntax says what was expected; at the end of the text it is Truncated.
func (s *Scanner) syntax(want string) error {
	c, ok := s.look()
	if !ok {
		if s.err != nil {
			return &Error{Kind: Read, Line: s.line, Offset: s.Offset(), Message: "cannot be read: " + s.err.Error(), Err: s.err}
		}
		return s.fault(Truncated, "the text ends where %s was expected", want)
	}
	return s.fault(Syntax, "expected %s, found %s", want, describe(c, ok))
}
