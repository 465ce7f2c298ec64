package records

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRecords(t *testing.T) {
	type rec struct {
		text   string
		line   int
		offset int64
	}
	for text, want := range map[string][]rec{
		"":                                   nil,
		"\n \n\r\n":                          nil,
		"a\nb":                               {{"a\n", 1, 0}, {"b", 2, 2}},
		"\ufeffa\r\n\n\nb\n":                 {{"a\r\n", 1, 3}, {"b\n", 4, 8}},
		"\x1ea\nb\n\x1e\x1ec\n":              {{"a\nb\n", 1, 1}, {"c\n", 3, 7}},
		strings.Repeat("x", 70000) + "\ny\n": {{strings.Repeat("x", 70000) + "\n", 1, 0}, {"y\n", 2, 70001}},
	} {
		r := New(iotest.HalfReader(strings.NewReader(text)), 100000)
		for _, w := range want {
			ok, err := r.Next()
			if !ok || err != nil || string(r.Record) != w.text || r.Line != w.line || r.Offset != w.offset {
				t.Errorf("%.20q: %v %v %.20q line %d byte %d, want %.20q line %d byte %d", text, ok, err, r.Record, r.Line, r.Offset, w.text, w.line, w.offset)
			}
		}
		for range 2 {
			if ok, err := r.Next(); ok || err != nil {
				t.Errorf("%.20q: more: %q, %v", text, r.Record, err)
			}
		}
	}
}

func TestRecordTooLongAndReadError(t *testing.T) {
	r := New(strings.NewReader("ok\n"+strings.Repeat("x", 200000)), 1000)
	if ok, err := r.Next(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := r.Next(); ok || err == nil || !strings.Contains(err.Error(), "line 2, byte 3: a record of more than 1000 bytes") {
		t.Error(ok, err)
	}
	r = New(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(io.ErrClosedPipe)), 1000)
	if ok, err := r.Next(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := r.Next(); ok || !errors.Is(err, io.ErrClosedPipe) {
		t.Error(ok, err)
	}
}
