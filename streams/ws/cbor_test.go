package ws

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"cityhub/streams"
)

var sampleJSON = []string{
	`{"type":"delta","view":"v1","position":{"epoch":"e1","offset":4},"observations":[[12,1790000001000,12.9,2],[13,1790000001000.5,-0.25,1]]}`,
	`{"type":"snapshot","datastreams":[{"id":12,"terminal":"gusu-air-01","name":"空气站 \"1\"","unit":"µg/m³","lon":120.62,"lat":null,"simulated":true}],"observations":[]}`,
	`{}`, `[]`, `0`, `-1`, `23`, `24`, `255`, `256`, `65536`, `4294967296`, `18446744073709551615`, `-9223372036854775808`, `1e300`, `0.1`, `1.5`, `-0`, `65504`, `65505.5`, `5.960464477539063e-8`, `100000.5`,
	`"a\u4e2d\n\u2028\ud83d\ude00"`, `""`, ` [ true , false , null ] `, `{"b":1,"a":2,"aa":3}`, `[[[[[[]]]]]]`, `"` + strings.Repeat("x", 70000) + `"`,
}

var deterministic = func() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	m, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// sameAsJSON checks that CBOR b says what the JSON does, in the deterministic
// encoding of RFC 8949 §4.2.1.
func sameAsJSON(t *testing.T, src string, b []byte) {
	t.Helper()
	var got any
	if err := cborDecoder.Unmarshal(b, &got); err != nil {
		t.Fatalf("%q gives %x: %v", src, b, err)
	}
	again, err := deterministic.Marshal(got)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("%q gives %x, deterministic is %x, %v", src, b, again, err)
	}
	back, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var a, c any
	if json.Unmarshal([]byte(src), &a) != nil || json.Unmarshal(back, &c) != nil || !reflect.DeepEqual(a, c) {
		t.Errorf("%q comes back as %q", src, back)
	}
}

func TestCBORIsDeterministic(t *testing.T) {
	for _, src := range sampleJSON {
		b, err := appendCBOR(nil, []byte(src))
		if err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		sameAsJSON(t, src, b)
	}
	for _, src := range []string{``, `{`, `{"a"}`, `{"a":}`, `[1,]`, `[1 2]`, `tru`, `"x`, `"\x"`, `1 2`, `--`, `{1:2}`} {
		if b, err := appendCBOR(nil, []byte(src)); err == nil {
			t.Errorf("%q gives %x", src, b)
		}
	}
}

// Every half-precision number is written as one, and no other is.
func TestCBORHalf(t *testing.T) {
	for h := range 1 << 16 {
		var f float32
		if err := cbor.Unmarshal([]byte{cborHalf, byte(h >> 8), byte(h)}, &f); err != nil {
			t.Fatal(err)
		}
		if f != f || math.IsInf(float64(f), 0) {
			continue
		}
		if got, ok := half(f); !ok || int(got) != h {
			t.Fatalf("%v is %04x, want %04x, %v", f, got, h, ok)
		}
		if _, ok := half(math.Nextafter32(f, 1e30)); ok {
			t.Fatalf("the neighbour of %v is no half", f)
		}
	}
}

func FuzzCBOROut(f *testing.F) {
	for _, s := range sampleJSON {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := appendCBOR(nil, data)
		if err != nil || !json.Valid(data) || depth(data) > maxCBORDepth || strange(data) {
			return // the hub writes valid JSON
		}
		var v any
		var twice *cbor.DupMapKeyError
		if errors.As(cborDecoder.Unmarshal(b, &v), &twice) {
			return // nor does it name a member twice
		}
		sameAsJSON(t, string(data), b)
	})
}

func depth(b []byte) (most int) {
	n := 0
	for _, c := range b {
		switch c {
		case '[', '{':
			n++
			most = max(most, n)
		case ']', '}':
			n--
		}
	}
	return most
}

// strange reports whether a string holds what a JSON decoder replaces: a lone
// surrogate, bytes that are no UTF-8.
func strange(b []byte) bool {
	return bytes.Contains(b, []byte(`\`)) || !bytes.Equal(b, bytes.ToValidUTF8(b, nil))
}

func FuzzCBORIn(f *testing.F) {
	for _, s := range append(sampleJSON, `{"type":"ping","t":123}`, `{"type":"subscribe","id":"s","filter":{"bbox":[1,2,3,4]}}`) {
		b, err := appendCBOR(nil, []byte(s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0xbf, 0x61, 'a', 0x01, 0xff}) // indefinite lengths
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(opBinary, data)
		if err != nil {
			if closeCodeOf(err) != streams.CloseMalformed {
				t.Fatalf("%x: %v is no malformed message", data, err)
			}
			return
		}
		if m.Type == "" {
			t.Fatalf("%x has no type", data)
		}
	})
}

func TestCBORRefuses(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x81}, 40), 0x80)
	for name, b := range map[string][]byte{
		"nothing": {}, "two values": {0x01, 0x01}, "a cut map": {0xa1, 0x64}, "a name twice": {0xa2, 0x61, 'a', 1, 0x61, 'a', 2}, "a number as name": {0xa1, 1, 1},
		"bytes": {0xa1, 0x61, 'a', 0x41, 0}, "a tag": {0xc0, 0x61, 'a'}, "NaN": {0xf9, 0x7e, 0}, "infinity": {0xf9, 0x7c, 0}, "a simple value": {0xe0},
		"no UTF-8": {0x61, 0xff}, "a claim of 4 G elements": {0x9a, 0xff, 0xff, 0xff, 0xff}, "a claim of 2^60 bytes": {0x7b, 0x10, 0, 0, 0, 0, 0, 0, 0}, "a claim of 4 G pairs": {0xba, 0xff, 0xff, 0xff, 0xff}, "depth": deep,
	} {
		_, err := jsonOf(b)
		var bad errMalformed
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	for _, s := range sampleJSON {
		if b, ok := deflate(nil, []byte(strings.Repeat(s, 20))); ok {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := inflate(nil, data, 1<<16)
		var bad *closing
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v names no close code", err)
		}
		if len(out) > 1<<18 {
			t.Fatalf("%d bytes come of a limit of %d", len(out), 1<<16)
		}
	})
}

func TestDeflateComesBack(t *testing.T) {
	for _, s := range sampleJSON {
		s = strings.Repeat(s, 50)
		b, ok := deflate(nil, []byte(s))
		if !ok {
			continue
		}
		if got, err := inflate(nil, b, len(s)); err != nil || string(got) != s {
			t.Errorf("%d bytes come back as %d, %v", len(s), len(got), err)
		}
		if _, err := inflate(nil, b, len(s)-1); closeOf(err) != streams.CloseTooLarge {
			t.Errorf("beyond the limit: %v", err)
		}
	}
}

func closeOf(err error) streams.CloseCode {
	var c *closing
	if errors.As(err, &c) {
		return c.code
	}
	return 0
}

func BenchmarkCBORDelta(b *testing.B) {
	src := `{"type":"delta","view":"v1","position":{"epoch":"e1","offset":4},"observations":[[12,1790000001000,12.9,2]` + strings.Repeat(`,[13,1790000001000,12.5,1]`, 35) + `]}`
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = appendCBOR(dst[:0], []byte(src)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(dst)), "B/frame")
}
