package osmpbf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// Limits of the format (https://wiki.openstreetmap.org/wiki/PBF_Format).
const (
	maxHeader = 64 << 10
	maxBlob   = 32 << 20
)

// What a block has, as bits.
const (
	hasNodes = 1 << iota
	hasWays
	hasRelations
)

// blob is a place in the file.
type blob struct {
	offset int64 // of the Blob message
	size   int32
	kinds  uint8
}

// file reads blobs.
type file struct {
	src  io.ReaderAt
	size int64
	in   []byte // compressed
	out  []byte
	zlib io.ReadCloser
	zstd *zstd.Decoder
}

// head reads the BlobHeader at offset, and says where the next one is.
func (f *file) head(offset int64) (typ string, b blob, next int64, err error) {
	var n [4]byte
	if _, err := f.src.ReadAt(n[:], offset); err != nil {
		return "", b, 0, cut(err, offset)
	}
	size := int64(binary.BigEndian.Uint32(n[:]))
	if size == 0 || size > maxHeader || offset+4+size > f.size {
		return "", b, 0, flat.Faultf(citymodel.Syntax, "a BlobHeader of %d bytes; expected 1 to %d and no more than the file has", size, maxHeader)
	}
	head := make([]byte, size)
	if _, err := f.src.ReadAt(head, offset+4); err != nil {
		return "", b, 0, cut(err, offset)
	}
	m := message{b: head}
	data := int64(-1)
	for m.next() {
		switch m.field {
		case 1:
			typ = string(m.bytes)
		case 3:
			data = int64(min(m.num, 1<<40))
		}
	}
	b = blob{offset: offset + 4 + size, size: int32(min(data, maxBlob+1))}
	switch {
	case m.err != nil:
		return "", b, 0, m.err
	case data < 0 || data > maxBlob:
		return "", b, 0, flat.Faultf(citymodel.TooLarge, "a Blob of %d bytes; the format allows %d", data, maxBlob)
	case b.offset+data > f.size:
		return "", b, 0, flat.Faultf(citymodel.Syntax, "the file ends in the middle of a Blob: it is cut off")
	}
	return typ, b, b.offset + data, nil
}

func cut(err error, offset int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return flat.Faultf(citymodel.Syntax, "the file ends in the middle of a BlobHeader at byte %d: it is cut off", offset)
	}
	return err
}

// read unpacks a blob. The bytes are valid until the next call.
func (f *file) read(b blob) ([]byte, error) {
	f.in = resize(f.in, int(b.size))
	if _, err := f.src.ReadAt(f.in, b.offset); err != nil {
		return nil, fmt.Errorf("a Blob: %w", err)
	}
	m := message{b: f.in}
	raw := int64(-1)
	var data []byte
	kind := 0
	for m.next() {
		switch m.field {
		case 2:
			raw = int64(min(m.num, 1<<40))
		case 1, 3, 4, 5, 6, 7:
			kind, data = m.field, m.bytes
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	if kind == 1 {
		return data, nil
	}
	if raw < 0 || raw > maxBlob {
		return nil, flat.Faultf(citymodel.TooLarge, "a Blob that says that it unpacks to %d bytes; the format allows %d", raw, maxBlob)
	}
	switch kind {
	case 3:
		return f.inflate(data, int(raw))
	case 7:
		return f.unzstd(data, int(raw))
	}
	names := map[int]string{0: "no data", 4: "LZMA", 5: "bzip2", 6: "LZ4"}
	return nil, flat.Faultf(citymodel.UnknownType, "a Blob with %s; only zlib, zstd and uncompressed data can be read: osmium cat -o new.osm.pbf old.osm.pbf writes zlib", names[kind])
}

func resize(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+n/4)
	}
	return b[:n]
}

func (f *file) inflate(data []byte, raw int) (_ []byte, err error) {
	if f.zlib == nil {
		f.zlib, err = zlib.NewReader(bytes.NewReader(data))
	} else {
		err = f.zlib.(zlib.Resetter).Reset(bytes.NewReader(data), nil)
	}
	if err != nil {
		f.zlib = nil
		return nil, flat.Faultf(citymodel.Syntax, "a Blob: %v", err)
	}
	f.out = resize(f.out, raw)
	if _, err = io.ReadFull(f.zlib, f.out); err != nil {
		return nil, flat.Faultf(citymodel.Syntax, "a Blob that says %d bytes: %v", raw, err)
	}
	// The checksum stands behind the last byte.
	if n, err := f.zlib.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, flat.Faultf(citymodel.Syntax, "a Blob that says %d bytes and has more, or whose checksum is wrong (%v)", raw, err)
	}
	return f.out, nil
}

func (f *file) unzstd(data []byte, raw int) (_ []byte, err error) {
	if f.zstd == nil {
		if f.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlob), zstd.WithDecoderMaxWindow(maxBlob)); err != nil {
			return nil, err
		}
	}
	f.out = resize(f.out, raw)
	out, err := f.zstd.DecodeAll(data, f.out[:0])
	if err != nil || len(out) != raw {
		return nil, flat.Faultf(citymodel.Syntax, "a Blob that says %d bytes has %d: %v", raw, len(out), err)
	}
	f.out = out
	return out, nil
}

func (f *file) close() {
	if f.zstd != nil {
		f.zstd.Close()
		f.zstd = nil
	}
}
