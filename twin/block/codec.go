package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

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
	var prev int64
	for _, ds := range b.Datastreams {
		dst = binary.AppendVarint(dst, int64(ds)-prev)
		prev = int64(ds)
	}
	prev = 0
	for _, t := range b.PhenomenonNs {
		dst = binary.AppendVarint(dst, t-prev)
		prev = t
	}
	// A result usually comes a steady moment after its phenomenon: the
	// difference of the differences is small.
	prev = 0
	for i, t := range b.ResultNs {
		d := t - b.PhenomenonNs[i]
		dst = binary.AppendVarint(dst, d-prev)
		prev = d
	}
	dst = appendQualities(dst, b.Qualities)
	if len(b.Texts) > 0 {
		for _, r := range b.TextRefs {
			dst = binary.AppendUvarint(dst, uint64(r))
		}
	}
	for i, v := range b.Values {
		if b.TextRefs[i] == 0 {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli)), nil
}

// Decode fills b from an encoded batch and keeps no reference to data. On an
// error, a *twin.Error with CodeCorrupt, b is empty.
func (b *Batch) Decode(data []byte) (err error) {
	b.Reset("", "")
	defer func() {
		if err != nil {
			b.Reset("", "")
		}
	}()
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
	b.District = r.string(maxName)
	b.Domain = twin.Domain(r.string(maxName))
	n := r.count(MaxRows)
	texts := r.count(MaxTexts)
	for i := 0; i < texts && r.err == nil; i++ {
		b.Texts = append(b.Texts, r.string(MaxTextSize))
	}
	if r.err == nil && n > len(body)-r.off { // every row takes at least a byte of the first column
		return corrupt(r.off, "more rows than bytes")
	}
	var prev int64
	for i := 0; i < n && r.err == nil; i++ {
		prev += r.varint()
		b.Datastreams = append(b.Datastreams, twin.DatastreamID(prev))
	}
	prev = 0
	for i := 0; i < n && r.err == nil; i++ {
		prev += r.varint()
		b.PhenomenonNs = append(b.PhenomenonNs, prev)
	}
	prev = 0
	for i := 0; i < n && r.err == nil; i++ {
		prev += r.varint()
		b.ResultNs = append(b.ResultNs, b.PhenomenonNs[i]+prev)
	}
	b.Qualities = r.qualities(b.Qualities, n)
	for i := 0; i < n && r.err == nil; i++ {
		var ref uint64
		if texts > 0 {
			ref = r.uvarint()
			if ref > uint64(texts) {
				return corrupt(r.off, "text reference beyond the dictionary")
			}
		}
		b.TextRefs = append(b.TextRefs, uint32(ref))
	}
	for i := 0; i < n && r.err == nil; i++ {
		var v float64
		if b.TextRefs[i] == 0 {
			v = math.Float64frombits(r.uint64())
		}
		b.Values = append(b.Values, v)
	}
	if r.err != nil {
		return r.err
	}
	if r.off != len(body) {
		return corrupt(r.off, "bytes after the last column")
	}
	return nil
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
	v, n := binary.Uvarint(r.data[r.off:])
	if n <= 0 {
		r.fail("bad varint")
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

func (r *reader) string(limit int) string {
	n := r.count(limit)
	if r.err != nil || n > len(r.data)-r.off {
		r.fail("string beyond the end")
		return ""
	}
	s := string(r.data[r.off : r.off+n])
	r.off += n
	return s
}

func (r *reader) uint64() uint64 {
	if len(r.data)-r.off < 8 {
		r.fail("value beyond the end")
		return 0
	}
	v := binary.LittleEndian.Uint64(r.data[r.off:])
	r.off += 8
	return v
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
