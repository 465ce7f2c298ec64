package osmpbf

import (
	"encoding/binary"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// message reads the fields of a Protocol Buffers message
// (https://protobuf.dev/programming-guides/encoding/). After the first fault it
// has no more fields.
type message struct {
	b     []byte
	field int
	wire  int
	num   uint64 // of a varint field
	bytes []byte // of a field with a length
	err   error
}

func (m *message) fail(text string) bool {
	if m.err == nil {
		m.err = flat.Faultf(citymodel.Syntax, "protocol buffer: %s", text)
	}
	m.b = nil
	return false
}

// next goes to the next field.
func (m *message) next() bool {
	if len(m.b) == 0 || m.err != nil {
		return false
	}
	key, n := binary.Uvarint(m.b)
	if n <= 0 || key>>3 == 0 || key>>3 > 1<<29 {
		return m.fail("a field without a number")
	}
	m.b = m.b[n:]
	m.field, m.wire = int(key>>3), int(key&7)
	m.num, m.bytes = 0, nil
	switch m.wire {
	case 0:
		if m.num, n = binary.Uvarint(m.b); n <= 0 {
			return m.fail("a number that does not end")
		}
		m.b = m.b[n:]
	case 2:
		size, n := binary.Uvarint(m.b)
		if n <= 0 || size > uint64(len(m.b)-n) {
			return m.fail("a field that is longer than the message")
		}
		m.bytes = m.b[n : n+int(size)]
		m.b = m.b[n+int(size):]
	case 1, 5:
		size := 8
		if m.wire == 5 {
			size = 4
		}
		if len(m.b) < size {
			return m.fail("a field that is longer than the message")
		}
		m.b = m.b[size:]
	default:
		return m.fail("a field of an unknown kind")
	}
	return true
}

// varints reads packed numbers.
type varints struct {
	b   []byte
	bad bool
}

func (v *varints) more() bool { return len(v.b) > 0 && !v.bad }

func (v *varints) next() uint64 {
	n, size := binary.Uvarint(v.b)
	if size <= 0 {
		v.bad, v.b = true, nil
		return 0
	}
	v.b = v.b[size:]
	return n
}

// signed reads a number in ZigZag.
func (v *varints) signed() int64 { return zigzag(v.next()) }

func zigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }
