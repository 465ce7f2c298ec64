package client

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"cityhub/twin"
)

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"type":"welcome","heartbeatSeconds":10,"limits":[1,{"a":null}]}`, `{"type":"subscribed","id":"a","view":"v1","resumed":true}`,
		`{"type":"snapshot","view":"v1","position":{"epoch":"e","offset":3},"last":true,"datastreams":[{"id":1,"terminal":"t","lon":null,"simulated":true}],"observations":[[1,1790000000000.5,12.3,2],[1,-2,"x\u00e4",1],[2,0,true,9],[2,0,null,9]]}`,
		`{"type":"delta","view":"v1","observations":[],"left":[1,2]}`, ` { "type" : "x" } `, `{"type":"error","code":"invalid","message":"\"\\"}`, `[]`, `{"type":7}`, `{"type":"delta","observations":[[1,2,3]]}`,
		`{"a":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]`, "\xff", `{"type":"x","type":"delta"}`, `{"type":"delta","observations":[[9223372036854775807,1,1,1]]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d decoder
		m, err := d.json(data)
		if err != nil {
			return
		}
		if !utf8.Valid(data) || m.Type == "" {
			t.Fatalf("%q is taken for a message", data)
		}
		// What the fast reader takes and encoding/json takes as well, they read alike.
		var ref struct {
			Type, View   string
			Last         bool
			Observations [][]any
		}
		if json.Unmarshal(data, &ref) != nil || strings.Count(string(data), `"observations"`) > 1 || strings.ContainsRune(string(data), '\\') || reflectFold(data) {
			return
		}
		if ref.Type != m.Type || ref.View != m.View || ref.Last != m.Last || len(ref.Observations) != len(m.Observations) {
			t.Fatalf("%q: read %+v, want %+v", data, m, ref)
		}
		for i, o := range m.Observations {
			if n, ok := ref.Observations[i][0].(float64); !ok || int64(n) != int64(float64(o.Datastream)) {
				t.Fatalf("%q: observation %d is %+v", data, i, o)
			}
		}
	})
}

// reflectFold reports whether encoding/json could take another member for one of
// ours, for it ignores case.
func reflectFold(data []byte) bool {
	s := string(data)
	for _, name := range []string{"type", "view", "last", "observations"} {
		folded := 0
		for i := 0; i+len(name) <= len(s); i++ {
			if strings.EqualFold(s[i:i+len(name)], name) {
				folded++
			}
		}
		if folded != strings.Count(s, `"`+name+`"`) || folded > 1 {
			return true
		}
	}
	return strings.ContainsAny(s, "ſK")
}

func FuzzCBOR(f *testing.F) {
	for _, v := range []any{
		map[string]any{"type": "delta", "view": "v", "observations": []any{[]any{1, 1790000000000.5, 2.5, 1}, []any{1, 2, "x", 1}}},
		map[string]any{"type": "welcome", "x": []any{map[string]any{"y": nil}}}, []any{1}, map[string]any{"type": 7},
		map[string]any{"type": "snapshot", "position": map[string]any{"epoch": "e", "offset": uint64(1) << 63}, "left": []any{1}},
	} {
		b, err := cbor.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d decoder
		if m, err := d.cbor(data); err == nil && m.Type == "" {
			t.Fatalf("%x is taken for a message", data)
		}
	})
}

// Both encodings give the same message.
func TestEncodingsAgree(t *testing.T) {
	const text = `{"type":"snapshot","view":"v1","position":{"epoch":"e","offset":3},"time":"2026-09-21T14:13:20.000Z","last":true,"left":[4],"datastreams":[{"id":1,"terminal":"t","lon":1.5,"lat":null,"simulated":true}],"observations":[[1,1790000000000,12.25,2],[1,1790000000000.25,-3,1],[2,-5,"x\u00e4",1],[2,0,true,9],[2,0,false,3],[2,0,null,9]]}`
	var d, e decoder
	a, err := d.json([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	data, err := encodeCBOR(v)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.cbor(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("JSON %+v\nCBOR %+v", a, b)
	}
	if len(a.Observations) != 6 || a.Observations[1].PhenomenonNs != 1790000000000250000 {
		t.Errorf("%+v", a.Observations)
	}
}

func TestTimesAreExact(t *testing.T) {
	for text, want := range map[string]int64{
		"1790000000000": 1790000000000000000, "1790000000000.123456": 1790000000000123456, "1790000000000.1": 1790000000000100000,
		"0": 0, "-1.5": -1500000, "0.0000009": 0, "1.000001": 1000001,
	} {
		if got, err := nanoseconds([]byte(text)); err != nil || got != want {
			t.Errorf("%s ms are %d ns, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "1e3", "9999999999999999999", "9300000000000000", "1.2.3", "1.x"} {
		if got, err := nanoseconds([]byte(text)); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestResultsAsTextAndJSON(t *testing.T) {
	for _, tt := range []struct {
		r          Result
		text, json string
	}{
		{Result{Kind: Number, Value: 12.5}, "12.5", "12.5"}, {Result{Kind: Text, Text: `a"b`}, `a"b`, `"a\"b"`},
		{Result{Kind: Truth, Value: 1}, "true", "true"}, {Result{Kind: Truth}, "false", "false"}, {Result{}, "-", "null"},
	} {
		b, err := json.Marshal(tt.r)
		if err != nil || tt.r.String() != tt.text || string(b) != tt.json {
			t.Errorf("%+v is %s and %s, %v", tt.r, tt.r, b, err)
		}
	}
}

// Full jitter: all of the wait is random, below a bound that doubles to a cap.
func TestBackoff(t *testing.T) {
	o := Options{URL: "http://h", BackoffFirst: time.Second, BackoffMax: 5 * time.Second, Random: func() float64 { return 0.5 }}
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	for attempt, want := range map[int]time.Duration{1: 500, 2: 1000, 3: 2000, 4: 2500, 1000: 2500} {
		if got := o.backoff(attempt); got != want*time.Millisecond {
			t.Errorf("attempt %d waits %v", attempt, got)
		}
	}
	var d Options
	if err := d.fill(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if w := d.backoff(1); w < 0 || w > 500*time.Millisecond {
			t.Fatal(w)
		}
		if w := d.backoff(50); w < 0 || w > 30*time.Second {
			t.Fatal(w)
		}
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:8080": "ws://127.0.0.1:8080/stream", "https://hub.example/": "wss://hub.example/stream",
		"wss://hub.example/city/stream": "wss://hub.example/city/stream", "ws://u:p@h#f": "ws://h/stream",
	} {
		if got, err := (&Options{URL: in}).address(); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestFilterMessage(t *testing.T) {
	f := Filter{ObservedProperties: []string{"pm25"}, Objects: []string{"gusu/1"}, NoParts: true, Districts: []string{"320508"}, Domains: []twin.Domain{"environment"}, CQLJSON: json.RawMessage(`{"op":"="}`), Polygon: json.RawMessage(`{"type":"Polygon"}`)}
	b, err := json.Marshal(f)
	if want := `{"cql":{"op":"="},"districts":["320508"],"domains":["environment"],"objects":["gusu/1"],"observedProperties":["pm25"],"parts":false,"polygon":{"type":"Polygon"}}`; err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
}

func benchDelta(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"type":"delta","view":"v1","position":{"epoch":"e1","offset":123456},"observations":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "[%d,%d,%g,2]", 1000+i, 1790000001000+i, 12.5+float64(i))
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func BenchmarkDecodeJSON(b *testing.B) {
	data := benchDelta(36)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var d decoder
	for b.Loop() {
		if _, err := d.json(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(36*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
}

func BenchmarkDecodeCBOR(b *testing.B) {
	var v map[string]any
	if err := json.Unmarshal(benchDelta(36), &v); err != nil {
		b.Fatal(err)
	}
	data, err := encodeCBOR(v)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var d decoder
	for b.Loop() {
		if _, err := d.cbor(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(36*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
}
