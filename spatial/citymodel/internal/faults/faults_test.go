package faults

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

func TestPlaceOfEveryKindOfFault(t *testing.T) {
	scan := func(text string, o jsonscan.Options) error {
		s := jsonscan.New(strings.NewReader(text), o)
		_, err := s.String()
		return err
	}
	for _, c := range []struct {
		err    error
		code   citymodel.Code
		line   int
		offset int64
		text   string
	}{
		{scan("\n 7", jsonscan.Options{}), citymodel.WrongType, 2, 2, "expected a string, found a number"},
		{scan("\n x", jsonscan.Options{}), citymodel.Syntax, 2, 2, "expected a string, found 'x'"},
		{scan(`"ab"`, jsonscan.Options{MaxToken: 1}), citymodel.TooLarge, 1, 1, "a string of more than 1 bytes"},
		{fmt.Errorf("name: %w", scan("7", jsonscan.Options{})), citymodel.WrongType, 1, 0, "name: expected a string, found a number"},
		{fmt.Errorf("v[3]: %w", &Placed{Code: citymodel.BadReference, Line: 4, Offset: 50, Text: "index 9"}), citymodel.BadReference, 4, 50, "v[3]: index 9"},
		{errors.New("other"), citymodel.Syntax, 1, 0, "other"},
	} {
		code, line, offset, text := Place(c.err)
		if code != c.code || line != c.line || offset != c.offset || text != c.text {
			t.Errorf("%v: %s, line %d, byte %d, %q; want %s, %d, %d, %q", c.err, code, line, offset, text, c.code, c.line, c.offset, c.text)
		}
		want := fmt.Sprintf("f:%d (byte %d): %s", c.line, c.offset, c.text)
		if err := Final("f", c.err); err.Error() != want || Final("g", err) != err {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if Final("f", nil) != nil {
		t.Error("no error became one")
	}
	s := jsonscan.New(iotest.ErrReader(io.ErrClosedPipe), jsonscan.Options{})
	if _, err := s.String(); !errors.Is(Final("f", err), io.ErrClosedPipe) {
		t.Errorf("%v does not say that the source failed", err)
	}
}

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		text     string
		f        func(*jsonscan.Scanner) error
		problems int
		err      bool
		next     string
	}{
		{`[1] "next"`, (*jsonscan.Scanner).Skip, 0, false, "next"},
		{`[1,{"a":[2]}] "next"`, func(s *jsonscan.Scanner) error { return s.Array(func(int) error { _, err := s.Int(); return err }) }, 1, false, "next"},
		{`[1] "next"`, func(s *jsonscan.Scanner) error { return At(s, citymodel.Missing, "no") }, 1, false, "next"},
		{`[1] "next"`, func(s *jsonscan.Scanner) error {
			if err := s.Skip(); err != nil {
				return err
			}
			return At(s, citymodel.Missing, "no")
		}, 1, false, "next"},
		{`[1,] "next"`, func(s *jsonscan.Scanner) error { return s.Array(func(int) error { _, err := s.Int(); return err }) }, 0, true, ""},
		{`[1] "next"`, func(*jsonscan.Scanner) error { return ErrStop }, 0, true, ""},
	} {
		s := jsonscan.New(strings.NewReader(c.text), jsonscan.Options{})
		var tally citymodel.Tally
		var got citymodel.Problem
		r := citymodel.Reporter{File: "f", Tally: &tally, Sink: func(p citymodel.Problem) { got = p }}
		err := Guard(s, &r, "id", "field", func() error { return c.f(s) })
		if (err != nil) != c.err || tally.Errors != c.problems || c.problems > 0 && (got.Object != "id" || got.Field != "field") {
			t.Errorf("%s: %v, %d problems, %+v", c.text, err, tally.Errors, got)
		}
		if err == nil {
			if next, err := s.String(); next != c.next || err != nil {
				t.Errorf("%s: then %q, %v", c.text, next, err)
			}
		}
	}
}
