package decode

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cityhub/twin"
)

const ms = int64(time.Millisecond)

func TestJSON(t *testing.T) {
	num := func(p string, v float64) Reading { return Reading{Property: []byte(p), Value: v} }
	at := func(ns int64, r Reading) Reading { r.PhenomenonNs, r.HasPhenomenon = ns, true; return r }
	tests := []struct {
		name, payload string
		want          []Reading
	}{
		{"one", `{"t":1790000000000,"pm25":12.3}`, []Reading{at(1790000000000*ms, num("pm25", 12.3))}},
		{"time after the values", `{"pm25":12.3,"pm10":-20,"t":1790000000000}`, []Reading{at(1790000000000*ms, num("pm25", 12.3)), at(1790000000000*ms, num("pm10", -20))}},
		{"no time", `{"pm25":1}`, []Reading{num("pm25", 1)}},
		{"null time", `{"t":null,"pm25":1}`, []Reading{num("pm25", 1)}},
		{"RFC 3339", `{"t":"2026-01-02T03:04:05.5+08:00","a":1}`, []Reading{at(time.Date(2026, 1, 1, 19, 4, 5, 5e8, time.UTC).UnixNano(), num("a", 1))}},
		{"fraction of a millisecond", `{"t":1790000000000.25,"a":1}`, []Reading{at(1790000000000*ms+250000, num("a", 1))}},
		{"before 1970", `{"t":-1500,"a":1}`, []Reading{at(-1500*ms, num("a", 1))}},
		{"array", ` [ {"t":1,"a":1} , {"t":2,"a":2} ] `, []Reading{at(1*ms, num("a", 1)), at(2*ms, num("a", 2))}},
		{"empty array", `[]`, nil},
		{"empty object", `{ }`, nil},
		{"null is no reading", `{"a":null,"b":2}`, []Reading{num("b", 2)}},
		{"text", `{"wd":"NNW","x":""}`, []Reading{{Property: []byte("wd"), Kind: Text, Text: []byte("NNW")}, {Property: []byte("x"), Kind: Text, Text: []byte("")}}},
		{"escapes", `{"a\u0062":"\"\\\/\b\f\n\r\t苏\ud83c\udf09"}`, []Reading{{Property: []byte("ab"), Kind: Text, Text: []byte("\"\\/\b\f\n\r\t苏🌉")}}},
		{"two escaped strings", `{"a":"\n","b":"\t"}`, []Reading{{Property: []byte("a"), Kind: Text, Text: []byte("\n")}, {Property: []byte("b"), Kind: Text, Text: []byte("\t")}}},
		{"truth", `{"open":true,"tilt":false}`, []Reading{{Property: []byte("open"), Kind: Truth, Value: 1}, {Property: []byte("tilt"), Kind: Truth}}},
		{"not numbers", `{"a":NaN,"b":Infinity,"c":-Infinity,"d":1e999,"e":7}`, []Reading{
			{Property: []byte("a"), Kind: NotNumber, Text: []byte("NaN")}, {Property: []byte("b"), Kind: NotNumber, Text: []byte("Infinity")},
			{Property: []byte("c"), Kind: NotNumber, Text: []byte("-Infinity")}, {Property: []byte("d"), Kind: NotNumber, Text: []byte("1e999")}, num("e", 7)}},
		{"structured", `{"a":{"b":[1,{"c":null}]},"d":[],"e":1}`, []Reading{{Property: []byte("a"), Kind: Structured, Text: []byte(`{"b":[1,{"c":null}]}`)}, {Property: []byte("d"), Kind: Structured, Text: []byte("[]")}, num("e", 1)}},
	}
	var m Message
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := JSON(&m, []byte(tt.payload)); err != nil {
				t.Fatal(err)
			}
			if len(m.Readings) != len(tt.want) {
				t.Fatalf("%d readings, want %d: %+v", len(m.Readings), len(tt.want), m.Readings)
			}
			for i, w := range tt.want {
				g := m.Readings[i]
				if w.Kind == NotNumber {
					g.Value = 0
				}
				if string(g.Property) != string(w.Property) || string(g.Text) != string(w.Text) || g.Kind != w.Kind || g.Value != w.Value || g.PhenomenonNs != w.PhenomenonNs || g.HasPhenomenon != w.HasPhenomenon || g.BadTime != "" {
					t.Errorf("reading %d is %+v, want %+v", i, g, w)
				}
			}
		})
	}
}

func TestJSONBadTime(t *testing.T) {
	var m Message
	for _, payload := range []string{
		`{"t":"yesterday","a":1}`, `{"t":true,"a":1}`, `{"t":1e300,"a":1}`, `{"t":NaN,"a":1}`, `{"t":{},"a":1}`,
		`{"a":1,"t":"2026-13-01T00:00:00Z"}`, `{"t":"0001-01-01T00:00:00Z","a":1}`, `{"t":"9999-01-01T00:00:00Z","a":1}`,
	} {
		if err := JSON(&m, []byte(payload)); err != nil {
			t.Errorf("%s: %v", payload, err)
		} else if len(m.Readings) != 1 || m.Readings[0].BadTime == "" {
			t.Errorf("%s: the time was taken: %+v", payload, m.Readings)
		}
	}
}

func TestMalformed(t *testing.T) {
	var m Message
	for _, payload := range []string{
		``, ` `, `x`, `1`, `"a"`, `null`, `{`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a":1}}`, `{"a":1} x`,
		`[1]`, `[{"a":1}`, `[{"a":1},]`, `[{"a":1}{"a":1}]`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":1e}`, `{"a":1e+}`,
		`{"a":"x}`, `{"a":"\q"}`, `{"a":"\u12"}`, `{"a":"\ud800"}`, `{"a":"\ud800\u0041"}`, "{\"a\":\"\x01\"}", `{"a":tru}`, `{"a":nul}`, `{"a":Na}`,
		`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		err := JSON(&m, []byte(payload))
		if err == nil {
			t.Errorf("%.40q was taken: %+v", payload, m.Readings)
			continue
		}
		if d, ok := err.(*Error); !ok || d.Reason != twin.RejectMalformed || d.Offset > len(payload) {
			t.Errorf("%.40q: %#v", payload, err)
		}
	}
	err := JSON(&m, []byte("{\"a\":\"\xff\"}"))
	if d, ok := err.(*Error); !ok || d.Reason != twin.RejectInvalidUTF8 || d.Offset != 6 {
		t.Errorf("invalid UTF-8: %#v", err)
	}
}

func TestSensorThings(t *testing.T) {
	var m Message
	tests := []struct {
		payload string
		want    Reading
		id      twin.DatastreamID
	}{
		{`{"result":12.5}`, Reading{Value: 12.5}, 0},
		{`{"result":"flood","phenomenonTime":"2026-01-02T00:00:00Z","resultTime":"2026-01-02T00:00:01Z","resultQuality":1}`, Reading{Kind: Text, Text: []byte("flood"), HasPhenomenon: true, PhenomenonNs: 1767312000e9, HasResult: true, ResultNs: 1767312001e9, Quality: twin.QualityGood}, 0},
		{`{"phenomenonTime":"2026-01-02T00:00:00Z/2026-01-02T01:00:00Z","result":true,"Datastream":{"@iot.id":7},"parameters":{"a":[1]},"resultQuality":"suspect"}`, Reading{Kind: Truth, Value: 1, HasPhenomenon: true, PhenomenonNs: 1767312000e9, Quality: twin.QualitySuspect}, 7},
	}
	for _, tt := range tests {
		if err := SensorThings(&m, []byte(tt.payload)); err != nil {
			t.Fatalf("%s: %v", tt.payload, err)
		}
		g := m.Readings[0]
		if g.Kind != tt.want.Kind || g.Value != tt.want.Value || string(g.Text) != string(tt.want.Text) || g.PhenomenonNs != tt.want.PhenomenonNs || g.HasPhenomenon != tt.want.HasPhenomenon || g.ResultNs != tt.want.ResultNs || g.Quality != tt.want.Quality || m.Datastream != tt.id {
			t.Errorf("%s\n gives %+v\nwant   %+v", tt.payload, g, tt.want)
		}
	}
	if err := SensorThings(&m, []byte(`{"phenomenonTime":"2026-01-02T00:00:00Z"}`)); err != nil || len(m.Readings) != 0 {
		t.Errorf("an Observation without a result gives %v, %v", m.Readings, err)
	}
	for _, payload := range []string{`[]`, `{"result":1,"colour":"red"}`, `{"result":1,"resultQuality":7}`, `{"result":1,"Datastream":7}`, `{"result":1,"Datastream":{"@iot.id":-1}}`, `{"result":1,"Datastream":{"@iot.id":1.5}}`, `{"result":1} {}`} {
		if err := SensorThings(&m, []byte(payload)); err == nil {
			t.Errorf("%s was taken", payload)
		}
	}
	if err := SensorThings(&m, []byte(`{"result":1,"phenomenonTime":1790000000000}`)); err != nil || m.Readings[0].BadTime == "" {
		t.Errorf("a number was taken for phenomenonTime: %v %+v", err, m.Readings)
	}
}

// FuzzJSON compares what is accepted with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"t":1790000000000,"pm25":12.3}`, `[{"a":1e5,"b":"x\n"},{"c":true}]`, `{"a":NaN}`, `{"a":0.1e-7,"t":"2026-01-02T03:04:05Z"}`, `{"a":"\ud83c\udf09"}`, `[`} {
		f.Add([]byte(s))
	}
	var m Message
	f.Fuzz(func(t *testing.T, payload []byte) {
		err := JSON(&m, payload)
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("error of type %T", err)
			}
			var objs []map[string]any
			var obj map[string]any
			if utf8.Valid(payload) && (json.Unmarshal(payload, &objs) == nil && noNull(objs) || json.Unmarshal(payload, &obj) == nil && obj != nil) && !deep(payload) && !strings.Contains(string(payload), `\u`) {
				t.Fatalf("%q refused, encoding/json takes it: %v", payload, err)
			}
			return
		}
		if !json.Valid(payload) && !strings.Contains(string(payload), "NaN") && !strings.Contains(string(payload), "Infinity") {
			t.Fatalf("%q taken, encoding/json refuses it", payload)
		}
		for _, r := range m.Readings {
			if r.Kind == Number && (math.IsNaN(r.Value) || math.IsInf(r.Value, 0)) {
				t.Fatalf("%q gives the number %v", payload, r.Value)
			}
		}
	})
}

func noNull(objs []map[string]any) bool {
	for _, o := range objs {
		if o == nil {
			return false
		}
	}
	return objs != nil
}

func deep(b []byte) bool {
	return strings.Count(string(b), "[")+strings.Count(string(b), "{") > maxDepth
}

// FuzzNumber compares the short way of reading decimals with strconv.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "12.3", "9007199254740993", "1e22", "1e23", "123456789012345678901234567890", "0.000001", "4.9e-324"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) || text == "" || text[0] != '-' && !isDigit(text[0]) || strings.TrimSpace(text) != text {
			return
		}
		s := scanner{data: []byte(text), m: &Message{}}
		got, err := s.number()
		want, _ := strconv.ParseFloat(text, 64)
		if err != nil || got != want {
			t.Fatalf("%q gives %v (%v), want %v", text, got, err, want)
		}
	})
}

var benchPayload = []byte(`{"t":1790000000000,"pm25":12.3,"pm10":20.5,"so2":6,"no2":41}`)

func BenchmarkJSON(b *testing.B) {
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := JSON(&m, benchPayload); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingJSON is what the standard library takes for the same.
func BenchmarkEncodingJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var v map[string]any
		if err := json.Unmarshal(benchPayload, &v); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzSensorThings: a decoder may refuse, never panic, and gives one reading at most.
func FuzzSensorThings(f *testing.F) {
	for _, s := range []string{`{"result":12.5}`, `{"phenomenonTime":"2026-01-02T00:00:00Z/2026-01-02T01:00:00Z","result":"x","resultQuality":"bad"}`, `{"Datastream":{"@iot.id":7},"result":[1]}`} {
		f.Add([]byte(s))
	}
	var m Message
	f.Fuzz(func(t *testing.T, payload []byte) {
		if err := SensorThings(&m, payload); err == nil && len(m.Readings) > 1 {
			t.Fatalf("%q gives %d readings", payload, len(m.Readings))
		}
	})
}
