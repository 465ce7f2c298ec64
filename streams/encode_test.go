package streams

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"cityhub/twin"
)

func TestAppendStringReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "runes") {
			s = rapid.String().Draw(t, "text")
		}
		enc := appendString(nil, s)
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
		got := string(appendFloat(nil, v))
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

func TestAppendMillis(t *testing.T) {
	for _, tt := range []struct {
		ns   int64
		want string
	}{
		{1790000000000 * 1e6, "1790000000000"}, {0, "0"}, {-1e6, "-1"}, {1, "0.000001"}, {-1, "-0.000001"},
		{1790000000000*1e6 + 500000, "1790000000000.5"}, {1790000000000*1e6 + 120, "1790000000000.00012"},
		{-1500000, "-1.5"}, {math.MaxInt64, "9223372036854.775807"}, {math.MinInt64, "-9223372036854.775808"},
	} {
		if got := string(appendMillis(nil, tt.ns)); got != tt.want {
			t.Errorf("%d ns: %s, want %s", tt.ns, got, tt.want)
		}
	}
}

func TestAppendObservation(t *testing.T) {
	for _, tt := range []struct {
		o     twin.Observation
		truth bool
		want  string
	}{
		{twin.Observation{Datastream: 12, PhenomenonNs: 1790000000000e6, Value: 12.3, Quality: 2}, false, `[12,1790000000000,12.3,2]`},
		{twin.Observation{Datastream: 12, PhenomenonNs: 1, Value: 1, Quality: 1}, true, `[12,0.000001,true,1]`},
		{twin.Observation{Datastream: 12, Value: 0, Quality: 1}, true, `[12,0,false,1]`},
		{twin.Observation{Datastream: 12, Value: math.NaN(), Quality: 9}, true, `[12,0,null,9]`},
		{twin.Observation{Datastream: 12, Value: math.Inf(1), Quality: 9}, false, `[12,0,null,9]`},
		{twin.Observation{Datastream: 12, Text: "开\"\n", IsText: true, Quality: 3}, false, `[12,0,"开\"\n",3]`},
	} {
		if got := string(appendObservation(nil, &tt.o, tt.truth)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.o, got, tt.want)
		}
	}
	o := twin.Observation{Datastream: 123456, PhenomenonNs: 1790000000123456789, Value: 12.345, Quality: 2}
	buf := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() { buf = appendObservation(buf[:0], &o, false) }); n != 0 {
		t.Errorf("%v allocations for an observation, want none", n)
	}
}
