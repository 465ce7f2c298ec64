package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"cityhub/twin"
)

// Limits of an encoded batch. Decode refuses more, so that a damaged or
// hostile record cannot make it allocate without bound.
const (
	MaxRows     = 1 << 17 // observations in one batch
	MaxTexts    = 1 << 16 // entries of the text dictionary
	MaxTextSize = 1 << 16 // bytes of one text
	maxName     = 255     // bytes of the district or domain name
)

const (
	version     = 1
	headerBytes = 4
	crcBytes    = 4
)

var (
	magic      = [3]byte{'C', 'H', 'B'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// AppendEncoded appends the encoding of b to dst and returns the result. It
// fails only when b is over the limits above.
func (b *Batch) AppendEncoded(dst []byte) ([]byte, error) {
	n := b.Len()
	switch {
	case n > MaxRows:
		return dst, tooLarge("rows", n, MaxRows)
	case len(b.Texts) > MaxTexts:
		return dst, tooLarge("texts", len(b.Texts), MaxTexts)
	case len(b.District) > maxName || len(b.Domain) > maxName:
		return dst, tooLarge("bytes of a name", max(len(b.District), len(b.Domain)), maxName)
	}
	start := len(dst)
	dst = append(dst, magic[0], magic[1], magic[2], version)
	dst = appendString(dst, b.District)
	dst = appendString(dst, string(b.Domain))
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, uint64(len(b.Texts)))
	for _, t := range b.Texts {
		if len(t) > MaxTextSize {
			return dst[:start], tooLarge("bytes of a text", len(t), MaxTextSize)
		}
		dst = appendString(dst, t)
	}
	// Room for the longest encoding of the three columns at once: what follows
	// writes without asking again.
	dst = slices.Grow(dst, 3*n*binary.MaxVarintLen64)
	var prev int64
	for _, ds := range b.Datastreams {
		dst = appendVarint(dst, int64(ds)-prev)
		prev = int64(ds)
	}
	prev = 0
	for _, t := range b.PhenomenonNs {
		dst = appendVarint(dst, t-prev)
		prev = t
	}
	// A result usually comes a steady moment after its phenomenon: the
	// difference of the differences is small.
	prev = 0
	phenomena := b.PhenomenonNs[:len(b.ResultNs)]
	for i, t := range b.ResultNs {
		d := t - phenomena[i]
		dst = appendVarint(dst, d-prev)
		prev = d
	}
	dst = appendQualities(dst, b.Qualities)
	if len(b.Texts) > 0 {
		for _, r := range b.TextRefs {
			dst = binary.AppendUvarint(dst, uint64(r))
		}
	}
	dst = slices.Grow(dst, 8*n+crcBytes)
	refs := b.TextRefs[:len(b.Values)]
	for i, v := range b.Values {
		if refs[i] == 0 {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli)), nil
}

// Decode fills b from an encoded batch and keeps no reference to data. On an
// error, a *twin.Error with CodeCorrupt, b is empty. A Batch that is used again
// keeps its memory, and names and texts that repeat at the same place, so that
// decoding in steady use allocates nothing.
func (b *Batch) Decode(data []byte) error {
	if err := b.decode(data); err != nil {
		b.Reset("", "")
		return err
	}
	return nil
}

func (b *Batch) decode(data []byte) error {
	if len(data) < headerBytes+crcBytes || [3]byte(data[:3]) != magic {
		return corrupt(0, "not a batch")
	}
	if data[3] != version {
		return corrupt(3, fmt.Sprintf("version %d, this program reads %d", data[3], version))
	}
	body := data[:len(data)-crcBytes]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(data[len(body):]) {
		return corrupt(len(body), "checksum does not match")
	}
	r := reader{data: body, off: headerBytes}
	b.District = r.string(maxName, b.District)
	b.Domain = twin.Domain(r.string(maxName, string(b.Domain)))
	n := r.count(MaxRows)
	r.texts(b)
	if r.err == nil && n > (len(body)-r.off)/3 { // every row takes a byte at least of three columns
		return corrupt(r.off, "more rows than bytes")
	}
	if r.err != nil {
		return r.err
	}
	b.Datastreams = resize(b.Datastreams, n)
	b.PhenomenonNs = resize(b.PhenomenonNs, n)
	b.ResultNs = resize(b.ResultNs, n)
	b.Values = resize(b.Values, n)
	b.TextRefs = resize(b.TextRefs, n)

	var prev int64
	for i := range b.Datastreams {
		prev += r.varint()
		b.Datastreams[i] = twin.DatastreamID(prev)
	}
	prev = 0
	for i := range b.PhenomenonNs {
		prev += r.varint()
		b.PhenomenonNs[i] = prev
	}
	prev = 0
	phenomena := b.PhenomenonNs[:len(b.ResultNs)]
	for i := range b.ResultNs {
		prev += r.varint()
		b.ResultNs[i] = phenomena[i] + prev
	}
	b.Qualities = r.qualities(b.Qualities[:0], n)
	texts, numbers := uint64(len(b.Texts)), n
	if texts == 0 {
		clear(b.TextRefs)
	} else {
		for i := range b.TextRefs {
			ref := r.uvarint()
			if ref > texts {
				return corrupt(r.off, "text reference beyond the dictionary")
			}
			if ref != 0 {
				numbers--
			}
			b.TextRefs[i] = uint32(ref)
		}
	}
	if r.err != nil {
		return r.err
	}
	values := body[r.off:]
	if len(values) != 8*numbers {
		return corrupt(r.off, fmt.Sprintf("%d bytes of values for %d numbers", len(values), numbers))
	}
	refs := b.TextRefs[:len(b.Values)]
	for i := range b.Values {
		if refs[i] != 0 {
			b.Values[i] = 0
			continue
		}
		b.Values[i] = math.Float64frombits(binary.LittleEndian.Uint64(values))
		values = values[8:]
	}
	return nil
}

// resize gives a column of n rows, whose values are to be written.
func resize[T any](column []T, n int) []T {
	return slices.Grow(column[:0], n)[:n]
}

func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// appendQualities writes runs of (mark, length): a batch mostly has one mark.
func appendQualities(dst []byte, qs []twin.Quality) []byte {
	for i := 0; i < len(qs); {
		j := i + 1
		for j < len(qs) && qs[j] == qs[i] {
			j++
		}
		dst = append(dst, byte(qs[i]))
		dst = binary.AppendUvarint(dst, uint64(j-i))
		i = j
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// reader reads fields until the first error and then gives zeros.
type reader struct {
	data []byte
	off  int
	err  error
}

func (r *reader) fail(msg string) {
	if r.err == nil {
		r.err = corrupt(r.off, msg)
	}
}

func (r *reader) uvarint() uint64 {
	if r.off < len(r.data) && r.data[r.off] < 0x80 { // most are of one byte
		v := r.data[r.off]
		r.off++
		return uint64(v)
	}
	return r.longUvarint()
}

func (r *reader) longUvarint() uint64 {
	v, n := binary.Uvarint(r.data[r.off:])
	if n <= 0 {
		r.fail("bad varint")
		r.off = len(r.data) // what follows fails at once
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) count(limit int) int {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail("count over its limit")
		return 0
	}
	return int(v)
}

// string gives old when it equals what is read, which saves its memory.
func (r *reader) string(limit int, old string) string {
	n := r.count(limit)
	if r.err != nil || n > len(r.data)-r.off {
		r.fail("string beyond the end")
		return ""
	}
	s := r.data[r.off : r.off+n]
	r.off += n
	if string(s) == old {
		return old
	}
	return string(s)
}

// texts reads the dictionary of b over its old one.
func (r *reader) texts(b *Batch) {
	n := r.count(MaxTexts)
	if r.err == nil && n > len(r.data)-r.off { // every text takes a byte at least
		r.fail("more texts than bytes")
	}
	if r.err != nil {
		n = 0
	}
	old := b.Texts
	b.Texts = b.Texts[:0]
	for i := 0; i < n && r.err == nil; i++ {
		was := ""
		if i < len(old) {
			was = old[i]
		}
		b.Texts = append(b.Texts, r.string(MaxTextSize, was))
	}
	if len(b.Texts) < len(old) {
		clear(old[len(b.Texts):])
	}
	clear(b.textIndex)
}

func (r *reader) qualities(dst []twin.Quality, n int) []twin.Quality {
	for len(dst) < n && r.err == nil {
		if r.off >= len(r.data) {
			r.fail("quality beyond the end")
			break
		}
		q := twin.Quality(r.data[r.off])
		r.off++
		run := r.uvarint()
		if r.err != nil || run == 0 || run > uint64(n-len(dst)) {
			r.fail("quality run does not fit")
			break
		}
		for ; run > 0; run-- {
			dst = append(dst, q)
		}
	}
	return dst
}

func corrupt(off int, msg string) error {
	return &twin.Error{Code: twin.CodeCorrupt, Op: "decode batch", Message: fmt.Sprintf("%s at byte %d", msg, off)}
}

func tooLarge(what string, n, limit int) error {
	return &twin.Error{Code: twin.CodeTooLarge, Op: "encode batch", Message: fmt.Sprintf("%d %s, at most %d", n, what, limit)}
}
