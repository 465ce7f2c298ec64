package cityjson

import (
	"errors"
	"fmt"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// Error is why a source cannot be read any further.
type Error struct {
	Code    citymodel.Code
	File    string
	Line    int   // from 1
	Offset  int64 // bytes
	Message string
	Err     error // the source's error, if reading it failed
}

// Error gives place and message.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d (byte %d): %s", e.File, e.Line, e.Offset, e.Message)
}

// Unwrap gives the source's error.
func (e *Error) Unwrap() error { return e.Err }

// errStop ends the walk through the objects because the caller wants no more.
var errStop = errors.New("stop")

// placed is a fault in well-formed JSON, at a place.
type placed struct {
	code   citymodel.Code
	line   int
	offset int64
	text   string
}

func (p *placed) Error() string { return fmt.Sprintf("line %d, byte %d: %s", p.line, p.offset, p.text) }

func fault(s *jsonscan.Scanner, code citymodel.Code, format string, args ...any) error {
	return &placed{code: code, line: s.Line(), offset: s.Offset(), text: fmt.Sprintf(format, args...)}
}

// place is what err says of its code, place and text.
func place(err error) (code citymodel.Code, line int, offset int64, text string) {
	text = err.Error()
	var p *placed
	if errors.As(err, &p) {
		return p.code, p.line, p.offset, without(text, p.Error(), p.text)
	}
	var e *jsonscan.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case jsonscan.Type:
			code = citymodel.WrongType
		case jsonscan.Limit:
			code = citymodel.TooLarge
		default:
			code = citymodel.Syntax
		}
		return code, e.Line, e.Offset, without(text, e.Error(), e.Message)
	}
	return citymodel.Syntax, 1, 0, text
}

// without takes the place out of a wrapped message.
func without(text, inner, bare string) string {
	if n := len(text) - len(inner); n >= 0 && text[n:] == inner {
		return text[:n] + bare
	}
	return text
}

// final makes err an *Error.
func final(file string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	code, line, offset, text := place(err)
	e = &Error{Code: code, File: file, Line: line, Offset: offset, Message: text}
	var j *jsonscan.Error
	if errors.As(err, &j) {
		e.Err = j.Err
	}
	return e
}
