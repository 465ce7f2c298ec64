package pebble

import (
	"encoding/binary"
	"fmt"
	"math"

	"cityhub/twin"
)

// Every key starts with a byte that says what it is; the layouts are drawn in
// FORMAT.md.
const (
	prefixIndex  = 'd' // hours that hold rows, by datastream and day
	prefixRow    = 'h' // rows, by hour, datastream and time
	prefixLatest = 'l' // latest row, by datastream
	prefixMeta   = 'm'
)

const (
	hourNs = int64(3_600_000_000_000)

	rowKeyLen    = 1 + 4 + 8 + 6
	rowPrefixLen = 1 + 4 + 8 // up to and with the datastream
	indexKeyLen  = 1 + 8 + 4
	latestKeyLen = 1 + 8

	maskLen = 3 // one bit for each hour of a day

	// textFlag marks a text in the first byte of a row; the rest of the byte is
	// the quality.
	textFlag   = 0x80
	maxQuality = textFlag - 1
)

var (
	keyFormat   = []byte("m|format")
	keyPosition = []byte("m|position")
)

// hourOf is the hour that holds ns, counted from 1970 and rounded down, also
// before 1970. Every int64 time fits an int32 hour.
func hourOf(ns int64) int32 {
	h := ns / hourNs
	if ns%hourNs < 0 {
		h--
	}
	return int32(h)
}

// offsetIn is the time since the start of hour h.
func offsetIn(ns int64, h int32) int64 { return int64(uint64(ns) - uint64(int64(h))*uint64(hourNs)) }

// timeOf is the inverse of hourOf and offsetIn. The arithmetic wraps: the
// start of the first hour lies before the smallest int64.
func timeOf(h int32, offset int64) int64 {
	return int64(uint64(int64(h))*uint64(hourNs) + uint64(offset))
}

func dayOf(h int32) int32 {
	d := h / 24
	if h%24 < 0 {
		d--
	}
	return d
}

// sortable turns a signed number into one whose big-endian bytes sort the same.
func sortable(v int32) uint32 { return uint32(v) ^ 1<<31 }

func unsortable(v uint32) int32 { return int32(v ^ 1<<31) }

func putRowKey(dst []byte, h int32, ds twin.DatastreamID, offset int64) {
	_ = dst[rowKeyLen-1]
	dst[0] = prefixRow
	binary.BigEndian.PutUint32(dst[1:], sortable(h))
	binary.BigEndian.PutUint64(dst[5:], uint64(ds))
	binary.BigEndian.PutUint16(dst[13:], uint16(offset>>32))
	binary.BigEndian.PutUint32(dst[15:], uint32(offset))
}

func rowKeyHour(key []byte) int32 { return unsortable(binary.BigEndian.Uint32(key[1:])) }

func rowKeyOffset(key []byte) int64 {
	return int64(binary.BigEndian.Uint16(key[13:]))<<32 | int64(binary.BigEndian.Uint32(key[15:]))
}

func putIndexKey(dst []byte, ds twin.DatastreamID, day int32) {
	_ = dst[indexKeyLen-1]
	dst[0] = prefixIndex
	binary.BigEndian.PutUint64(dst[1:], uint64(ds))
	binary.BigEndian.PutUint32(dst[9:], sortable(day))
}

func indexKeyDatastream(key []byte) twin.DatastreamID {
	return twin.DatastreamID(binary.BigEndian.Uint64(key[1:]))
}

func indexKeyDay(key []byte) int32 { return unsortable(binary.BigEndian.Uint32(key[9:])) }

func putMask(dst []byte, mask uint32) {
	_ = dst[maskLen-1]
	dst[0], dst[1], dst[2] = byte(mask>>16), byte(mask>>8), byte(mask)
}

func maskOf(v []byte) uint32 { return uint32(v[0])<<16 | uint32(v[1])<<8 | uint32(v[2]) }

func putLatestKey(dst []byte, ds twin.DatastreamID) {
	_ = dst[latestKeyLen-1]
	dst[0] = prefixLatest
	binary.BigEndian.PutUint64(dst[1:], uint64(ds))
}

// varintLen is the number of bytes that binary.PutVarint writes for v.
func varintLen(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

// valueLen is the number of bytes that putValue writes.
func valueLen(deltaNs int64, text string, isText bool) int {
	n := 1 + varintLen(deltaNs)
	if isText {
		return n + len(text)
	}
	return n + 8
}

// putValue writes quality, result time less phenomenon time, and the result.
func putValue(dst []byte, q twin.Quality, deltaNs int64, value float64, text string, isText bool) {
	dst[0] = byte(q)
	n := 1 + binary.PutVarint(dst[1:], deltaNs)
	if isText {
		dst[0] |= textFlag
		copy(dst[n:], text)
		return
	}
	binary.LittleEndian.PutUint64(dst[n:], math.Float64bits(value))
}

// parseValue fills o from what putValue wrote; o.PhenomenonNs must be set.
func parseValue(o *twin.Observation, v []byte) error {
	if len(v) < 2 {
		return corruptValue(o, v)
	}
	delta, n := binary.Varint(v[1:])
	if n <= 0 {
		return corruptValue(o, v)
	}
	o.Quality = twin.Quality(v[0] &^ textFlag)
	o.ResultNs = o.PhenomenonNs + delta
	rest := v[1+n:]
	if v[0]&textFlag != 0 {
		o.IsText, o.Text = true, string(rest)
		return nil
	}
	if len(rest) != 8 {
		return corruptValue(o, v)
	}
	o.Value = math.Float64frombits(binary.LittleEndian.Uint64(rest))
	return nil
}

// parseLatest fills o from the value of a latest key: the phenomenon time,
// then the row's value.
func parseLatest(o *twin.Observation, v []byte) error {
	if len(v) < 8 {
		return corruptValue(o, v)
	}
	o.PhenomenonNs = latestTime(v)
	return parseValue(o, v[8:])
}

func latestTime(v []byte) int64 { return int64(binary.BigEndian.Uint64(v)) }

func encodePosition(p twin.Position) []byte {
	return append(binary.BigEndian.AppendUint64(nil, p.Offset), p.Epoch...)
}

func decodePosition(v []byte) (twin.Position, error) {
	if len(v) < 8 {
		return twin.Position{}, corrupt("read position", fmt.Sprintf("position of %d bytes", len(v)))
	}
	return twin.Position{Offset: binary.BigEndian.Uint64(v), Epoch: string(v[8:])}, nil
}

func corruptValue(o *twin.Observation, v []byte) error {
	return corrupt("read observation", fmt.Sprintf("%d bytes stored for datastream %d at %d ns are not an observation", len(v), o.Datastream, o.PhenomenonNs))
}

func corrupt(op, msg string) error {
	return &twin.Error{Code: twin.CodeCorrupt, Op: op, Message: msg, Hint: "restore the series store from a backup, or delete it and let it be rebuilt from the log"}
}
