package ws

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// permessage-deflate (RFC 7692) without context takeover: each message stands
// alone, so that one compressed frame serves every client that gets it, and an
// idle connection keeps no window.

// deflateFrom is the payload from which compressing pays: smaller ones fit into
// one packet anyway.
const deflateFrom = 1 << 10

// inflateTail ends a message for the decoder: the bytes that the sender leaves
// out (RFC 7692 §7.2.2), then an empty last block.
const inflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

type inflater struct {
	r    io.ReadCloser
	src  bytes.Reader
	tail tailReader
}

// tailReader reads a message and then its tail.
type tailReader struct {
	src  *bytes.Reader
	rest string
}

func (t *tailReader) Read(p []byte) (int, error) {
	if n, _ := t.src.Read(p); n > 0 {
		return n, nil
	}
	if t.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

func (t *tailReader) ReadByte() (byte, error) {
	if b, err := t.src.ReadByte(); err == nil {
		return b, nil
	}
	if t.rest == "" {
		return 0, io.EOF
	}
	b := t.rest[0]
	t.rest = t.rest[1:]
	return b, nil
}

var inflaters = sync.Pool{New: func() any {
	i := new(inflater)
	i.tail.src = &i.src
	i.r = flate.NewReader(&i.tail)
	return i
}}

// inflate appends the message that p compresses, of at most limit bytes: what
// would become larger is given up as soon as it does.
func inflate(dst, p []byte, limit int) ([]byte, error) {
	i := inflaters.Get().(*inflater)
	defer inflaters.Put(i)
	i.src.Reset(p)
	i.tail.rest = inflateTail
	if err := i.r.(flate.Resetter).Reset(&i.tail, nil); err != nil {
		return dst, err
	}
	defer i.src.Reset(nil) // the pool keeps no message
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := i.r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > limit:
			return dst, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, &closing{closeInvalidData, "a compressed message that is not valid (RFC 7692 §7.2.2)"}
		}
	}
}

type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic("ws: " + err.Error()) // the level is valid
	}
	return &deflater{w: w}
}}

// deflate appends p compressed; ok is false, and dst as it was, when that does
// not save a tenth.
func deflate(dst, p []byte) (out []byte, ok bool) {
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	d.out.Reset()
	d.w.Reset(&d.out)
	if _, err := d.w.Write(p); err != nil {
		return dst, false
	}
	if err := d.w.Flush(); err != nil {
		return dst, false
	}
	b := d.out.Bytes()
	b = bytes.TrimSuffix(b, []byte(inflateTail[:4])) // RFC 7692 §7.2.1
	if len(b) > len(p)-len(p)/10 {
		return dst, false
	}
	return append(dst, b...), true
}
