package streamload

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"unsafe"
)

// message is what a client needs to know of one message of the stream. It
// points into the bytes that it was scanned from.
type message struct {
	kind, view, id []byte // without the quotes, escapes as they are
	code           []byte
	epoch          []byte
	offset         uint64
	last           bool
	resumed        bool
	update         bool   // of a welcome: the hub changes subscriptions in place
	rows           []byte // the array observations; nil: there is none
	left           []byte // the array left
}

// row is one observation whose result is a whole number, as the publishers of
// this package send them.
type row struct {
	datastream int64
	timeNs     int64 // of the phenomenon, since 1970
	value      int64
}

var (
	errJSON = errors.New("not a JSON object of the stream")
	errRow  = errors.New("not a row [datastream, ms, whole number, quality]")
)

// scan reads the outermost members of a message, whatever their order, and
// allocates nothing. It runs beside the hub that is measured, so that it looks
// at what it needs and steps over the rest.
func scan(b []byte, m *message) error {
	*m = message{}
	i := blank(b, 0)
	if i >= len(b) || b[i] != '{' {
		return errJSON
	}
	i = blank(b, i+1)
	if i < len(b) && b[i] == '}' {
		return nil
	}
	for {
		key, next, ok := text(b, i)
		if !ok {
			return errJSON
		}
		if i = blank(b, next); i >= len(b) || b[i] != ':' {
			return errJSON
		}
		i = blank(b, i+1)
		end, ok := value(b, i)
		if !ok {
			return errJSON
		}
		if err := m.member(key, b[i:end]); err != nil {
			return err
		}
		if i = blank(b, end); i >= len(b) {
			return errJSON
		}
		switch b[i] {
		case ',':
			i = blank(b, i+1)
		case '}':
			if blank(b, i+1) != len(b) {
				return errJSON
			}
			return nil
		default:
			return errJSON
		}
	}
}

func (m *message) member(key, v []byte) error {
	switch string(key) { // does not allocate
	case "type":
		m.kind = unquoted(v)
	case "view":
		m.view = unquoted(v)
	case "id":
		m.id = unquoted(v)
	case "code":
		m.code = unquoted(v)
	case "last":
		m.last = string(v) == "true"
	case "resumed":
		m.resumed = string(v) == "true"
	case "minIntervalMs":
		m.update = true
	case "observations":
		m.rows = v
	case "left":
		m.left = v
	case "position":
		var p message
		if len(v) == 0 || v[0] != '{' {
			return nil
		}
		if err := scanPosition(v, &p); err != nil {
			return err
		}
		m.epoch, m.offset = p.epoch, p.offset
	}
	return nil
}

// scanPosition reads {"epoch":"…","offset":7}.
func scanPosition(b []byte, m *message) error {
	for i := blank(b, 1); i < len(b) && b[i] == '"'; {
		key, next, ok := text(b, i)
		if !ok {
			return errJSON
		}
		if i = blank(b, next); i >= len(b) || b[i] != ':' {
			return errJSON
		}
		i = blank(b, i+1)
		end, ok := value(b, i)
		if !ok {
			return errJSON
		}
		switch string(key) {
		case "epoch":
			m.epoch = unquoted(b[i:end])
		case "offset":
			n, rest, ok := digits(b[i:end])
			if !ok || len(rest) > 0 {
				return errJSON
			}
			m.offset = uint64(n)
		}
		if i = blank(b, end); i < len(b) && b[i] == ',' {
			i = blank(b, i+1)
		}
	}
	return nil
}

// eachRow calls fn with every row of an array of observations.
func eachRow(rows []byte, fn func(r row) error) error {
	b := rows
	if len(b) < 2 || b[0] != '[' {
		return errRow
	}
	b = b[1:]
	for len(b) > 0 && b[0] == '[' {
		var r row
		var ok bool
		if r.datastream, b, ok = digits(b[1:]); !ok || len(b) == 0 || b[0] != ',' {
			return errRow
		}
		if r.timeNs, b, ok = milliseconds(b[1:]); !ok || len(b) == 0 || b[0] != ',' {
			return errRow
		}
		if r.value, b, ok = whole(b[1:]); !ok {
			return errRow
		}
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return errRow
		}
		if err := fn(r); err != nil {
			return err
		}
		if b = b[end+1:]; len(b) > 0 && b[0] == ',' {
			b = b[1:]
		}
	}
	if len(b) != 1 || b[0] != ']' {
		return errRow
	}
	return nil
}

// eachID calls fn with every number of an array.
func eachID(ids []byte, fn func(int64)) error {
	b := ids
	if len(b) < 2 || b[0] != '[' {
		return errRow
	}
	for b = b[1:]; len(b) > 0 && b[0] != ']'; {
		n, rest, ok := digits(b)
		if !ok {
			return errRow
		}
		fn(n)
		if b = rest; len(b) > 0 && b[0] == ',' {
			b = b[1:]
		}
	}
	if len(b) != 1 {
		return errRow
	}
	return nil
}

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// text reads a string that begins at i and gives what is between its quotes.
func text(b []byte, i int) (s []byte, next int, ok bool) {
	if i >= len(b) || b[i] != '"' {
		return nil, i, false
	}
	for j := i + 1; j < len(b); j++ {
		switch b[j] {
		case '\\':
			j++
		case '"':
			return b[i+1 : j], j + 1, true
		}
	}
	return nil, i, false
}

// value finds the end of the value that begins at i.
func value(b []byte, i int) (end int, ok bool) {
	depth := 0
	for j := i; j < len(b); j++ {
		switch b[j] {
		case '"':
			_, next, ok := text(b, j)
			if !ok {
				return i, false
			}
			if depth == 0 {
				return next, true
			}
			j = next - 1
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return j, j > i // the end of what is around it
			}
			if depth--; depth == 0 {
				return j + 1, true
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return j, j > i
			}
		}
	}
	return i, false
}

func unquoted(v []byte) []byte {
	if len(v) >= 2 && v[0] == '"' {
		return v[1 : len(v)-1]
	}
	return nil
}

// digits reads a whole number that is not negative.
func digits(b []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < 18 && b[i] >= '0' && b[i] <= '9' {
		n = n*10 + int64(b[i]-'0')
		i++
	}
	if i < len(b) && b[i] >= '0' && b[i] <= '9' {
		return 0, b, false
	}
	return n, b[i:], i > 0
}

// milliseconds reads digits with or without a fraction and gives ns.
func milliseconds(b []byte) (ns int64, rest []byte, ok bool) {
	n, rest, ok := digits(b)
	if !ok || n > math.MaxInt64/1_000_000-1 {
		return 0, b, false
	}
	ns = n * 1_000_000
	if len(rest) == 0 || rest[0] != '.' {
		return ns, rest, true
	}
	rest = rest[1:]
	scale, seen := int64(100_000), false
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		ns += int64(rest[0]-'0') * scale
		scale /= 10
		rest, seen = rest[1:], true
	}
	return ns, rest, seen
}

// whole reads a whole number, also one that is written as 1e+06.
func whole(b []byte) (n int64, rest []byte, ok bool) {
	end := bytes.IndexAny(b, ",]")
	if end < 0 {
		return 0, b, false
	}
	if n, rest, ok = digits(b); ok && len(b)-len(rest) == end {
		return n, rest, true
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b[:end]), end), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, b, false
	}
	return int64(f), b[end:], true
}
