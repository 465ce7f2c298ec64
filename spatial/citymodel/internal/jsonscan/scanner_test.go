package jsonscan

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// tree reads one value with every method of the Scanner.
func tree(s *Scanner) (any, error) {
	switch c := s.Peek(); c {
	case '{':
		m := map[string]any{}
		err := s.Object(func(key []byte) error {
			k := string(key)
			v, err := tree(s)
			m[k] = v
			return err
		})
		return m, err
	case '[':
		a := []any{}
		err := s.Array(func(i int) error {
			v, err := tree(s)
			if i != len(a) {
				return errors.New("index")
			}
			a = append(a, v)
			return err
		})
		return a, err
	case '"':
		return s.String()
	case 't', 'f':
		return s.Bool()
	case 'n':
		_, err := s.Null()
		return nil, err
	}
	return s.Float()
}

func parse(text string, window int) (any, error) {
	s := New(iotest.OneByteReader(strings.NewReader(text)), Options{Window: window})
	v, err := tree(s)
	if err == nil {
		err = s.End()
	}
	return v, err
}

func TestValuesAsTheStandardLibraryReadsThem(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `""`, `0`, `-0`, `null`, `true`, `false`, "\ufeff[1]", ` [ 1 , 2.5 , -3e2 , 1E-7 ] `,
		`{"a":{"b":[{"c":null},[]]},"":1}`, `"\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00"`, `"苏州 a long string that spans windows, 平江路 \u5e73"`,
		`[120.6154995,31.3244012,0.1,0.2,0.3,123456789012345678,9007199254740993,1e22,1e23,5e-324,1.7976931348623157e308,2.2250738585072011e-308]`,
		`{"the name of a member that is longer than the window":"x\ny"}`,
	} {
		var want any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &want); err != nil {
			t.Fatal(text, err)
		}
		for _, window := range []int{16, 17, 64 << 10} {
			got, err := parse(text, window)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s with a window of %d: %v, %v; want %v", text, window, got, err, want)
			}
			s := New(strings.NewReader(text), Options{Window: window})
			if err := s.Skip(); err != nil || s.End() != nil {
				t.Errorf("skip %s: %v", text, err)
			}
			s = New(strings.NewReader(text), Options{Window: window})
			raw, err := s.Raw()
			if want := strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")); err != nil || string(raw) != want {
				t.Errorf("raw %s: %s, %v", want, raw, err)
			}
		}
	}
}

func TestFaultsWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "line 1, byte 0: the text ends where a number was expected",
		"[1,\n2,\n}":                 `line 3, byte 7: expected a number, found '}'`,
		"[1 2]":                      `line 1, byte 3: expected ',' or ']', found a number`,
		"{\n\"a\" 1}":                "line 2, byte 6: expected ':', found a number",
		"{a:1}":                      "expected a member's name in double quotes",
		`{"a":1,}`:                   "expected a member's name in double quotes",
		"[1,]":                       "expected a number",
		`["a`:                        "the text ends where the end of a string was expected",
		"[\"a\nb\"]":                 "line 1, byte 3: control character 0x0a",
		`"\x"`:                       `\x is no escape`,
		`"\u12g4"`:                   "four hexadecimal digits",
		`"\ud800"`:                   "half of a surrogate pair",
		`"\ud800\n"`:                 "half of a surrogate pair",
		`"\ud800\u0041"`:             "half of a surrogate pair",
		"\"\xcb\xd5\"":               "not UTF-8",
		"NaN":                        "expected a number, found 'N'",
		"-Infinity":                  `"-" is no number`,
		"01":                         `"01" is no number`,
		"1.":                         `"1." is no number`,
		".5":                         "expected a number",
		"1e":                         `"1e" is no number`,
		"+1":                         "expected a number",
		"1e999":                      "too large",
		"nul":                        "the text ends where null",
		"trux":                       "expected true",
		"[] []":                      "expected the end of the text, found an array",
		strings.Repeat("[", 200):     "more than 128 arrays and objects",
		strings.Repeat("1", 200):     "more than 128 characters",
		"/* no comments */ 1":        "expected a number",
		`{"a":{"b":[1,{"c":[]}]}`:    "the text ends",
		"{\"a\":\"b\"\n\n\n\"c\":1}": "line 4",
	} {
		for _, window := range []int{16, 64 << 10} {
			_, err := parse(text, window)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
				t.Errorf("%.40q: %v, want %q", text, err, want)
			}
		}
	}
}

func TestSkipFindsWhatDoesNotEnd(t *testing.T) {
	for text, want := range map[string]string{
		`[1,{"a":2]`:             `expected '}', found ']'`,
		`{"a":[}`:                `expected ']', found '}'`,
		`["\"]`:                  "the text ends",
		`[{"a":"]}"`:             "the text ends",
		strings.Repeat("[", 129): "more than 128",
		"[\"\n\"]":               "control character",
	} {
		s := New(strings.NewReader(text), Options{Window: 16})
		if err := s.Skip(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

func TestRecoverGoesOnBehindTheValue(t *testing.T) {
	for _, bad := range []string{`"x"`, `{"a":[1,{"b":"]"}]}`, `[1,[2,"x",[3]],{}]`, `1.5`, `null`, `[1,"\"]",2]`, `true`, `1e999`} {
		s := New(strings.NewReader(`{"bad":`+bad+` , "good" : 7}`), Options{Window: 16})
		var got int64
		faults := 0
		err := s.Object(func(key []byte) error {
			if string(key) == "good" {
				var err error
				got, err = s.Int()
				return err
			}
			m := s.Mark()
			err := s.Array(func(int) error { _, err := s.Int(); return err })
			if err == nil {
				return nil
			}
			if Fatal(err) {
				return err
			}
			faults++
			return s.Recover(m)
		})
		if err != nil || got != 7 || faults != 1 {
			t.Errorf("%s: %d faults, then %d, %v", bad, faults, got, err)
		}
	}
}

func TestLimits(t *testing.T) {
	long := `"` + strings.Repeat("x", 100) + `"`
	s := New(strings.NewReader(long), Options{MaxToken: 50})
	if _, err := s.String(); err == nil || !strings.Contains(err.Error(), "more than 50 bytes") {
		t.Error("string:", err)
	}
	s = New(strings.NewReader("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"), Options{MaxToken: 50})
	if _, err := s.Raw(); err == nil || !strings.Contains(err.Error(), "more than 50 bytes") || !Fatal(err) {
		t.Error("raw:", err)
	}
	s = New(iotest.ErrReader(io.ErrUnexpectedEOF), Options{})
	if _, err := s.Float(); !errors.Is(err, io.ErrUnexpectedEOF) || !Fatal(err) {
		t.Error("a failing source:", err)
	}
	s = New(strings.NewReader("7"), Options{Line: 40, Offset: 900})
	if _, err := s.String(); err == nil || !strings.Contains(err.Error(), "line 40, byte 900") || Fatal(err) {
		t.Error("where a record begins:", err)
	}
}

func TestInt(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "-7": -7, "9223372036854775807": math.MaxInt64} {
		if got, err := New(strings.NewReader(text), Options{}).Int(); got != want || err != nil {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"1.0", "1e3", "9223372036854775808", `"1"`} {
		if got, err := New(strings.NewReader(text), Options{}).Int(); err == nil || Fatal(err) {
			t.Errorf("%s: %d, %v; want an error of type", text, got, err)
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,"x\u00e9",null,true,{}]}`, `[1e5,-0.0]`, "\ufeff{}", `"\ud83d\ude00"`, `[[[[`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parse(string(b), 16)
		valid := json.Valid([]byte(strings.TrimPrefix(string(b), "\ufeff")))
		if err == nil {
			var want any
			if e := json.Unmarshal([]byte(strings.TrimPrefix(string(b), "\ufeff")), &want); e != nil {
				t.Fatalf("taken, but the standard library says %v", e)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
			s := New(strings.NewReader(string(b)), Options{})
			if err := s.Skip(); err != nil {
				t.Fatalf("taken, but not skipped: %v", err)
			}
			if err := s.End(); err != nil {
				t.Fatal(err)
			}
			return
		}
		// What is stricter here: UTF-8, lone surrogates, and the bounds.
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if valid && e.Kind == Truncated {
			t.Fatalf("valid, but %v", err)
		}
		if e.Line < 1 || e.Offset < 0 || e.Offset > int64(len(b)) {
			t.Fatalf("place of %v in %d bytes", err, len(b))
		}
	})
}
