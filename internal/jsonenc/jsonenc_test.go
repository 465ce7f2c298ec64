package jsonenc

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendStringReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "runes") {
			s = rapid.String().Draw(t, "text")
		}
		enc := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(enc, &back); err != nil {
			t.Fatalf("%q encodes as %q: %v", s, enc, err)
		}
		// encoding/json, too, writes one U+FFFD per invalid byte.
		var want string
		std, _ := json.Marshal(s)
		_ = json.Unmarshal(std, &want)
		if back != want {
			t.Fatalf("%q reads back as %q, want %q", s, back, want)
		}
		if !utf8.Valid(enc) || strings.ContainsAny(string(enc), "\n\r\u2028\u2029") {
			t.Fatalf("%q encodes as %q: more than one line", s, enc)
		}
	})
}

func TestAppendFloatIsThatOfEncodingJSON(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, v float64) {
		got := string(AppendFloat(nil, v))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			if got != "null" {
				t.Fatalf("%v encodes as %s, want null", v, got)
			}
			return
		}
		if want, _ := json.Marshal(v); got != string(want) {
			t.Fatalf("%v encodes as %s, want %s", v, got, want)
		}
	}
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1, 12.3, 1e-6, 9.99e-7, 1e-9, 1e20, 1e21, -1e21, 1 << 53, 1<<53 + 2, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1), 1e-10, 123456789.125} {
		check(t, v)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, math.Float64frombits(rapid.Uint64().Draw(t, "bits"))) })
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\\n\r\t\x00\x1f", "北寺塔", "\xff\xfe", "</script>", "a\xc3", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(AppendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && got != s {
			t.Fatalf("%q became %q", s, got)
		}
	})
}
