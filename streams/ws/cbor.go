package ws

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// The messages of cityhub.v1.cbor are those of cityhub.v1.json, member by
// member, in the core deterministic encoding of RFC 8949 §4.2.1: lengths and
// numbers as short as they go, members in the order of their encoded names. A
// frame is made once in JSON and, if anybody wants it so, once from that in CBOR.

// Major types, RFC 8949 §3.1.
const (
	cborUint  = 0 << 5
	cborNeg   = 1 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5

	cborFalse  = 0xf4
	cborTrue   = 0xf5
	cborNull   = 0xf6
	cborHalf   = 0xf9
	cborFloat  = 0xfa
	cborDouble = 0xfb
)

var errNotJSON = errors.New("ws: not JSON")

// transcoder turns JSON of the hub into CBOR.
type transcoder struct {
	src   []byte
	dst   []byte
	sort  []byte // members in order, before they replace dst's
	pairs []pair
}

type pair struct{ start, value, end int } // in dst: the name, its value, the next name

var transcoders = sync.Pool{New: func() any { return new(transcoder) }}

// appendCBOR appends one JSON value as CBOR.
func appendCBOR(dst, src []byte) ([]byte, error) {
	t := transcoders.Get().(*transcoder)
	defer func() {
		t.src, t.dst = nil, nil
		if cap(t.sort) <= 1<<20 {
			transcoders.Put(t)
		}
	}()
	t.src, t.dst, t.pairs = src, dst, t.pairs[:0]
	err := t.value()
	if err == nil && t.peek() != 0 {
		err = errNotJSON
	}
	return t.dst, err
}

// peek is the next byte that is no white space, 0 at the end.
func (t *transcoder) peek() byte {
	for len(t.src) > 0 {
		switch c := t.src[0]; c {
		case ' ', '\t', '\n', '\r':
			t.src = t.src[1:]
		default:
			return c
		}
	}
	return 0
}

func (t *transcoder) take(c byte) bool {
	if t.peek() != c {
		return false
	}
	t.src = t.src[1:]
	return true
}

func (t *transcoder) value() error {
	switch c := t.peek(); {
	case c == '{':
		return t.object()
	case c == '[':
		return t.array()
	case c == '"':
		return t.text()
	case c == 't':
		return t.word("true", cborTrue)
	case c == 'f':
		return t.word("false", cborFalse)
	case c == 'n':
		return t.word("null", cborNull)
	case c == '-' || c >= '0' && c <= '9':
		return t.number()
	}
	return errNotJSON
}

func (t *transcoder) word(w string, b byte) error {
	if !bytes.HasPrefix(t.src, []byte(w)) {
		return errNotJSON
	}
	t.src = t.src[len(w):]
	t.dst = append(t.dst, b)
	return nil
}

func (t *transcoder) array() error {
	t.src = t.src[1:]
	start := len(t.dst)
	t.dst = append(t.dst, cborArray)
	n := 0
	for !t.take(']') {
		if n > 0 && !t.take(',') {
			return errNotJSON
		}
		if err := t.value(); err != nil {
			return err
		}
		n++
	}
	t.head(start, cborArray, n)
	return nil
}

// head puts the head of an array or a map where a byte was left for it.
func (t *transcoder) head(start int, major byte, n int) {
	var b [9]byte
	h := appendHead(b[:0], major, uint64(n))
	t.dst[start] = h[0]
	if len(h) > 1 {
		t.dst = slices.Insert(t.dst, start+1, h[1:]...)
	}
}

func (t *transcoder) object() error {
	t.src = t.src[1:]
	start, first := len(t.dst), len(t.pairs)
	t.dst = append(t.dst, cborMap)
	for !t.take('}') {
		if len(t.pairs) > first && !t.take(',') {
			return errNotJSON
		}
		p := pair{start: len(t.dst)}
		if t.peek() != '"' {
			return errNotJSON
		}
		if err := t.text(); err != nil {
			return err
		}
		p.value = len(t.dst)
		if !t.take(':') {
			return errNotJSON
		}
		if err := t.value(); err != nil {
			return err
		}
		p.end = len(t.dst)
		t.pairs = append(t.pairs, p)
	}
	pairs := t.pairs[first:]
	name := func(p pair) []byte { return t.dst[p.start:p.value] }
	byName := func(a, b pair) int { return bytes.Compare(name(a), name(b)) }
	if !slices.IsSortedFunc(pairs, byName) {
		slices.SortFunc(pairs, byName)
		t.sort = t.sort[:0]
		for _, p := range pairs {
			t.sort = append(t.sort, t.dst[p.start:p.end]...)
		}
		copy(t.dst[start+1:], t.sort)
	}
	t.head(start, cborMap, len(pairs))
	t.pairs = t.pairs[:first]
	return nil
}

func (t *transcoder) text() error {
	s := t.src[1:]
	end := bytes.IndexByte(s, '"')
	if end < 0 {
		return errNotJSON
	}
	if bytes.IndexByte(s[:end], '\\') < 0 {
		t.dst = append(appendHead(t.dst, cborText, uint64(end)), s[:end]...)
		t.src = s[end+1:]
		return nil
	}
	for end = 0; end < len(s) && s[end] != '"'; end++ {
		if s[end] == '\\' {
			end++
		}
	}
	if end >= len(s) {
		return errNotJSON
	}
	var v string
	if err := json.Unmarshal(t.src[:end+2], &v); err != nil {
		return errNotJSON
	}
	t.dst = append(appendHead(t.dst, cborText, uint64(len(v))), v...)
	t.src = s[end+1:]
	return nil
}

func (t *transcoder) number() error {
	n, whole := 0, true
	for ; n < len(t.src); n++ {
		c := t.src[n]
		if c == '.' || c == 'e' || c == 'E' || c == '+' {
			whole = false
		} else if c != '-' && (c < '0' || c > '9') {
			break
		}
	}
	s := string(t.src[:n])
	t.src = t.src[n:]
	if whole && s != "-0" {
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			if v >= 0 {
				t.dst = appendHead(t.dst, cborUint, uint64(v))
			} else {
				t.dst = appendHead(t.dst, cborNeg, uint64(-1-v))
			}
			return nil
		}
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			t.dst = appendHead(t.dst, cborUint, v)
			return nil
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return errNotJSON
	}
	t.dst = appendFloat(t.dst, v)
	return nil
}

func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

// appendFloat appends a finite number in the fewest bytes that keep it.
func appendFloat(dst []byte, v float64) []byte {
	f := float32(v)
	if float64(f) != v {
		return binary.BigEndian.AppendUint64(append(dst, cborDouble), math.Float64bits(v))
	}
	if h, ok := half(f); ok {
		return binary.BigEndian.AppendUint16(append(dst, cborHalf), h)
	}
	return binary.BigEndian.AppendUint32(append(dst, cborFloat), math.Float32bits(f))
}

// half gives a finite number as IEEE 754 binary16, if that holds it exactly.
func half(f float32) (uint16, bool) {
	bits := math.Float32bits(f)
	sign, exp, frac := uint16(bits>>16&0x8000), int(bits>>23&0xff)-127, bits&0x7fffff
	switch {
	case bits&0x7fffffff == 0:
		return sign, true
	case exp >= -14 && exp <= 15 && frac&0x1fff == 0:
		return sign | uint16(exp+15)<<10 | uint16(frac>>13), true
	case exp >= -24 && exp < -14: // subnormal: the leading one becomes a bit of the fraction
		shift := uint(-exp - 1)
		if whole := frac | 0x800000; whole&(1<<shift-1) == 0 {
			return sign | uint16(whole>>shift), true
		}
	}
	return 0, false
}

// Limits of a message in CBOR, besides its length.
const (
	maxCBORDepth    = 24
	maxCBORElements = 32 << 10
	maxCBORPairs    = 1 << 10
)

var cborDecoder = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid,
		MaxNestedLevels: maxCBORDepth, MaxArrayElements: maxCBORElements, MaxMapPairs: maxCBORPairs,
		DefaultMapType: reflect.TypeFor[map[string]any](),
	}.DecMode()
	if err != nil {
		panic("ws: " + err.Error()) // the options are valid
	}
	return m
}()

// jsonOf turns a client's CBOR into the JSON it stands for, so that one parser
// takes both. What JSON does not have is refused.
func jsonOf(data []byte) ([]byte, error) {
	var v any
	if err := cborDecoder.Unmarshal(data, &v); err != nil {
		return nil, errMalformed{"not valid CBOR: " + err.Error()}
	}
	if !plain(v) {
		return nil, errMalformed{"CBOR with a value that JSON does not have"}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, errMalformed{"CBOR with a value that JSON does not have"}
	}
	return b, nil
}

// plain reports whether v consists of what JSON knows.
func plain(v any) bool {
	switch v := v.(type) {
	case nil, bool, string, uint64, int64, float64:
		return true
	case []any:
		for _, e := range v {
			if !plain(e) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, e := range v {
			if !plain(e) {
				return false
			}
		}
		return true
	}
	return false
}
