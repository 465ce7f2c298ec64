package tiles

import (
	"encoding/binary"
	"math"
)

// layerWriter writes one layer of a Mapbox Vector Tile 2.1 (protocol buffers,
// vector_tile.proto). It is this package's own because it is the hot path of a
// tile: BenchmarkEncode compares it with orb's encoder, which needs a map and a
// boxed value for every attribute.
type layerWriter struct {
	name     string
	features []byte // encoded messages with their tags
	count    int
	keys     map[string]uint32
	keyList  []string
	values   map[value]uint32 // those that may come again
	nValues  uint32
	valueBuf []byte // encoded messages with their tags
	tags     []uint32
	scratch  []byte
}

func newLayer(name string) *layerWriter {
	return &layerWriter{name: name, keys: map[string]uint32{}, values: map[value]uint32{}}
}

// value is an attribute value, comparable.
type value struct {
	kind byte // field number in the message Value
	bits uint64
	text string
}

// Field numbers of the message Value (MVT 2.1, section 4.1).
const (
	valueString = 1
	valueDouble = 3
	valueInt    = 4
	valueBool   = 7
)

func textValue(s string) value { return value{kind: valueString, text: s} }

func numberValue(f float64) value { return value{kind: valueDouble, bits: math.Float64bits(f)} }

func intValue(i int64) value { return value{kind: valueInt, bits: uint64(i)} }

func boolValue(b bool) value {
	if b {
		return value{kind: valueBool, bits: 1}
	}
	return value{kind: valueBool}
}

func (l *layerWriter) key(k string) uint32 {
	i, ok := l.keys[k]
	if !ok {
		i = uint32(len(l.keyList))
		l.keys[k] = i
		l.keyList = append(l.keyList, k)
	}
	return i
}

func (l *layerWriter) value(v value) uint32 {
	i, ok := l.values[v]
	if !ok {
		i = l.newValue(v)
		l.values[v] = i
	}
	return i
}

// newValue writes a value into the table of the layer.
func (l *layerWriter) newValue(v value) uint32 {
	b := l.scratch[:0]
	switch v.kind {
	case valueString:
		b = appendBytes(b, valueString, v.text)
	case valueDouble:
		b = append(b, valueDouble<<3|1)
		b = binary.LittleEndian.AppendUint64(b, v.bits)
	default:
		b = append(b, v.kind<<3)
		b = binary.AppendUvarint(b, v.bits)
	}
	l.scratch = b
	l.valueBuf = appendBytes(l.valueBuf, 4, b)
	l.nValues++
	return l.nValues - 1
}

// setID sets the attribute id, first of all. No other feature has its value, so
// that none is looked up.
func (l *layerWriter) setID(id string) {
	l.tags = append(l.tags, l.key("id"), l.newValue(textValue(id)))
}

func appendBytes[T string | []byte](dst []byte, field byte, v T) []byte {
	dst = append(dst, field<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// set adds an attribute to the feature that add will write next. A key that the
// feature has already keeps its first value.
func (l *layerWriter) set(k string, v value) {
	key := l.key(k)
	for i := 0; i < len(l.tags); i += 2 {
		if l.tags[i] == key {
			return
		}
	}
	l.tags = append(l.tags, key, l.value(v))
}

// add writes a feature with the attributes that were set since the last one.
func (l *layerWriter) add(id uint64, kind uint32, commands []uint32) {
	var tagsLen, cmdLen int
	for _, t := range l.tags {
		tagsLen += uvarintLen(t)
	}
	for _, c := range commands {
		cmdLen += uvarintLen(c)
	}
	b := l.scratch[:0]
	if id != 0 {
		b = append(b, 1<<3)
		b = binary.AppendUvarint(b, id)
	}
	if tagsLen > 0 {
		b = append(b, 2<<3|2)
		b = binary.AppendUvarint(b, uint64(tagsLen))
		for _, t := range l.tags {
			b = binary.AppendUvarint(b, uint64(t))
		}
	}
	b = append(b, 3<<3, byte(kind), 4<<3|2)
	b = binary.AppendUvarint(b, uint64(cmdLen))
	for _, c := range commands {
		b = binary.AppendUvarint(b, uint64(c))
	}
	l.scratch = b
	l.features = appendBytes(l.features, 2, b)
	l.tags = l.tags[:0]
	l.count++
}

func uvarintLen(v uint32) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	case v < 1<<28:
		return 4
	}
	return 5
}

// bytes is about how long the layer is by now.
func (l *layerWriter) bytes() int { return len(l.features) + len(l.valueBuf) + 32*len(l.keyList) }

// appendTo appends the layer as a field of the message Tile; nothing where it
// has no feature.
func (l *layerWriter) appendTo(dst []byte) []byte {
	if l.count == 0 {
		return dst
	}
	var head, tail []byte
	head = append(head, 15<<3, 2) // version 2
	head = appendBytes(head, 1, l.name)
	for _, k := range l.keyList {
		tail = appendBytes(tail, 3, k)
	}
	tail = append(tail, l.valueBuf...)
	tail = append(tail, 5<<3)
	tail = binary.AppendUvarint(tail, extent)
	dst = append(dst, 3<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(head)+len(l.features)+len(tail)))
	dst = append(dst, head...)
	dst = append(dst, l.features...)
	return append(dst, tail...)
}
