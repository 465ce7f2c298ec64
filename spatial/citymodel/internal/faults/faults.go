// Package faults is what the readers of JSON formats share to report what is
// wrong: faults with their place, and going on behind them. Its functions hold
// no state; a Scanner is for one goroutine.
package faults

import (
	"errors"
	"fmt"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// ErrStop ends a walk through objects because the caller wants no more.
var ErrStop = errors.New("stop")

// Placed is a fault in well-formed JSON, at a place.
type Placed struct {
	Code   citymodel.Code
	Line   int   // from 1
	Offset int64 // bytes
	Text   string
}

// Error gives place and text.
func (p *Placed) Error() string { return fmt.Sprintf("line %d, byte %d: %s", p.Line, p.Offset, p.Text) }

// At makes a fault at the place where s stands.
func At(s *jsonscan.Scanner, code citymodel.Code, format string, args ...any) error {
	return &Placed{Code: code, Line: s.Line(), Offset: s.Offset(), Text: fmt.Sprintf(format, args...)}
}

// Place is what err says of its code, place and text.
func Place(err error) (code citymodel.Code, line int, offset int64, text string) {
	text = err.Error()
	var p *Placed
	if errors.As(err, &p) {
		return p.Code, p.Line, p.Offset, without(text, p.Error(), p.Text)
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

// Final makes err a *citymodel.Error.
func Final(file string, err error) error {
	var e *citymodel.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	code, line, offset, text := Place(err)
	e = &citymodel.Error{Code: code, File: file, Line: line, Offset: offset, Message: text}
	var j *jsonscan.Error
	if errors.As(err, &j) {
		e.Err = j.Err
	}
	return e
}

// Problem makes a Problem of severity Error from err; consequence ends its message.
func Problem(err error, object, field, consequence string) citymodel.Problem {
	code, line, offset, text := Place(err)
	return citymodel.Problem{Severity: citymodel.SeverityError, Code: code, Line: line, Offset: offset, Object: object, Field: field, Message: text + "; " + consequence}
}

// Guard lets f take a value. A fault that does not spoil the rest is reported
// and the value passed over.
func Guard(s *jsonscan.Scanner, r *citymodel.Reporter, object, field string, f func() error) error {
	m := s.Mark()
	err := f()
	if err == nil || jsonscan.Fatal(err) || errors.Is(err, ErrStop) {
		return err
	}
	r.Report(Problem(err, object, field, "left out"))
	return s.Recover(m)
}
