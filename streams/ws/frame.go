package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"cityhub/streams"
)

// opcode of a frame, RFC 6455 §5.2.
type opcode byte

const (
	opContinuation opcode = 0x0
	opText         opcode = 0x1
	opBinary       opcode = 0x2
	opClose        opcode = 0x8
	opPing         opcode = 0x9
	opPong         opcode = 0xA
)

const (
	bitFin  = 0x80
	bitRSV1 = 0x40 // a compressed message, RFC 7692 §6
	bitMask = 0x80

	maxControl = 125 // bytes of a control frame's payload, RFC 6455 §5.5
	keepBuffer = 8 << 10
)

// Close codes that RFC 6455 §7.4.1 defines and the hub does not use itself.
const (
	closeProtocol    streams.CloseCode = 1002
	closeInvalidData streams.CloseCode = 1007 // text that is no UTF-8
)

// closing is an error for which the session ends with a code.
type closing struct {
	code   streams.CloseCode
	reason string
}

func (c *closing) Error() string { return fmt.Sprintf("%d %s", c.code, c.reason) }

func protocolError(section, what string) error {
	return &closing{closeProtocol, what + " (RFC 6455 " + section + ")"}
}

// frameReader reads the frames of one client, strictly: what RFC 6455 forbids
// ends the connection. It needs 128 bytes while it waits; a message longer than
// that borrows a buffer, which never grows beyond limit. One goroutine uses it.
type frameReader struct {
	conn    io.Reader
	limit   int  // bytes of a message, compressed or not
	deflate bool // permessage-deflate was agreed
	// midway is told when the reader begins and stops to wait for the rest of a
	// message: such a wait must end.
	midway func(bool)
	// frames is told of every frame before its payload is read.
	frames func(opcode)

	ending bool  // messages are read over, for the client's close
	skip   int64 // payload of a refused frame, to be read over
	armed  bool

	op         opcode  // of the message under construction; 0: none
	compressed bool    // it is
	msg        *[]byte // its payload so far
	inflated   *[]byte // of the last message

	r, w    int
	in      [128]byte
	control [maxControl]byte
}

var messageBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

func giveBack(b **[]byte) {
	if *b != nil && cap(**b) <= keepBuffer {
		**b = (**b)[:0]
		messageBuffers.Put(*b)
	}
	*b = nil
}

// release gives the borrowed buffers back.
func (f *frameReader) release() {
	giveBack(&f.msg)
	giveBack(&f.inflated)
}

// next is the next control frame or whole message. The payload is valid until
// the following call.
func (f *frameReader) next() (opcode, []byte, error) {
	giveBack(&f.inflated)
	if f.op == 0 {
		giveBack(&f.msg)
		f.arm(false)
	}
	for {
		if err := f.discard(); err != nil {
			return 0, nil, err
		}
		h, err := f.header()
		if err != nil {
			return 0, nil, err
		}
		f.frames(h.op)
		if h.op >= opClose {
			p := f.control[:h.length]
			if err := f.payload(p, h.mask); err != nil {
				return 0, nil, err
			}
			return h.op, p, nil
		}
		if f.ending {
			f.skip = h.length
			continue
		}
		if err := f.begin(h); err != nil {
			return 0, nil, err
		}
		if err := f.grow(h); err != nil {
			return 0, nil, err
		}
		if !h.fin {
			continue
		}
		return f.finish()
	}
}

type header struct {
	fin, compressed bool
	op              opcode
	length          int64
	mask            [4]byte
}

// header reads a frame's header and checks what can be checked by itself.
func (f *frameReader) header() (header, error) {
	var h header
	b, err := f.need(2)
	if err != nil {
		return h, err
	}
	b0, b1 := b[0], b[1]
	h.fin, h.compressed, h.op = b0&bitFin != 0, b0&bitRSV1 != 0, opcode(b0&0x0f)
	h.length = int64(b1 & 0x7f)
	switch {
	case b0&0x30 != 0 || h.compressed && (!f.deflate || h.op != opText && h.op != opBinary):
		return h, protocolError("§5.2", "a reserved bit is set")
	case h.op > opBinary && h.op < opClose || h.op > opPong:
		return h, protocolError("§5.2", fmt.Sprintf("unknown opcode %d", h.op))
	case b1&bitMask == 0:
		return h, protocolError("§5.1", "the frame is not masked")
	case h.op >= opClose && !h.fin:
		return h, protocolError("§5.5", "a control frame in fragments")
	case h.op >= opClose && h.length > maxControl:
		return h, protocolError("§5.5", "a control frame of more than 125 bytes")
	}
	n := 2
	switch h.length {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if b, err = f.need(n + 4); err != nil {
		return h, err
	}
	switch n {
	case 4:
		if h.length = int64(binary.BigEndian.Uint16(b[2:])); h.length < 126 {
			return h, protocolError("§5.2", "a length in more bytes than it needs")
		}
	case 10:
		v := binary.BigEndian.Uint64(b[2:])
		if h.length = int64(v); h.length < 0 {
			return h, protocolError("§5.2", "a length with its highest bit set")
		} else if v < 1<<16 {
			return h, protocolError("§5.2", "a length in more bytes than it needs")
		}
	}
	copy(h.mask[:], b[n:])
	f.r += n + 4
	return h, nil
}

// begin checks a data frame's place in its message.
func (f *frameReader) begin(h header) error {
	switch {
	case h.op == opContinuation && f.op == 0:
		return protocolError("§5.4", "a continuation of nothing")
	case h.op != opContinuation && f.op != 0:
		return protocolError("§5.4", "a new message within a fragmented one")
	case h.op != opContinuation:
		f.op, f.compressed = h.op, h.compressed
		f.msg = messageBuffers.Get().(*[]byte)
	}
	return nil
}

// grow adds a frame's payload to the message.
func (f *frameReader) grow(h header) error {
	b := *f.msg
	if h.length > int64(f.limit-len(b)) {
		f.skip, f.op = h.length, 0
		giveBack(&f.msg)
		return tooLarge(f.limit)
	}
	start := len(b)
	for end := start + int(h.length); len(b) < end; {
		// What is claimed is believed piece by piece, as it comes.
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := f.read(b[len(b):min(end, cap(b))])
		if b = b[:len(b)+n]; err != nil {
			return err
		}
	}
	unmask(b[start:], h.mask)
	*f.msg = b
	return nil
}

func tooLarge(limit int) error {
	return &closing{streams.CloseTooLarge, fmt.Sprintf("a message has at most %d bytes", limit)}
}

// finish gives the message: inflated, and checked if it is text.
func (f *frameReader) finish() (opcode, []byte, error) {
	op, b := f.op, *f.msg
	f.op = 0
	if f.compressed {
		out := messageBuffers.Get().(*[]byte)
		var err error
		if *out, err = inflate(*out, b, f.limit); err != nil {
			giveBack(&out)
			return 0, nil, err
		}
		f.inflated, b = out, *out
	}
	if op == opText && !utf8.Valid(b) {
		return 0, nil, &closing{closeInvalidData, "text that is not valid UTF-8 (RFC 6455 §8.1)"}
	}
	return op, b, nil
}

// closeStatus reads the payload of a close frame, RFC 6455 §5.5.1 and §7.4;
// zero means that it has no code.
func closeStatus(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case len(p) == 1:
		return 0, protocolError("§5.5.1", "a close code of one byte")
	}
	code := int(binary.BigEndian.Uint16(p))
	switch {
	case code < 1000, code >= 1004 && code <= 1006, code > 1014 && code < 3000, code > 4999:
		return 0, protocolError("§7.4", fmt.Sprintf("%d is no close code", code))
	case !utf8.Valid(p[2:]):
		return 0, &closing{closeInvalidData, "a close reason that is not valid UTF-8 (RFC 6455 §5.5.1)"}
	}
	return code, nil
}

func unmask(b []byte, mask [4]byte) {
	k := uint64(binary.LittleEndian.Uint32(mask[:]))
	k |= k << 32
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
	}
	for i := range b {
		b[i] ^= mask[i&3]
	}
}

// need makes n bytes available, at most as many as in has, without taking them.
func (f *frameReader) need(n int) ([]byte, error) {
	if f.r > 0 && f.r+n > len(f.in) {
		f.w = copy(f.in[:], f.in[f.r:f.w])
		f.r = 0
	}
	for f.w-f.r < n {
		if f.r == f.w {
			f.r, f.w = 0, 0
		}
		if f.w > f.r || f.op != 0 {
			f.arm(true)
		}
		m, err := f.conn.Read(f.in[f.w:])
		f.w += m
		if err != nil && f.w-f.r < n {
			if err == io.EOF && (f.w > f.r || f.op != 0) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return f.in[f.r : f.r+n], nil
}

// read gives what is there of a payload.
func (f *frameReader) read(p []byte) (int, error) {
	if f.r < f.w {
		n := copy(p, f.in[f.r:f.w])
		f.r += n
		return n, nil
	}
	f.arm(true)
	n, err := f.conn.Read(p)
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}

func (f *frameReader) payload(p []byte, mask [4]byte) error {
	for n := 0; n < len(p); {
		m, err := f.read(p[n:])
		if n += m; err != nil {
			return err
		}
	}
	if f.op == 0 {
		f.arm(false)
	}
	unmask(p, mask)
	return nil
}

// discard reads over the payload of a frame that is not wanted.
func (f *frameReader) discard() error {
	if f.skip == 0 {
		return nil
	}
	n := min(int64(f.w-f.r), f.skip)
	f.r += int(n)
	if f.skip -= n; f.skip == 0 {
		return nil
	}
	buf := discardBuffers.Get().(*[]byte)
	defer discardBuffers.Put(buf)
	for f.skip > 0 {
		n, err := f.conn.Read((*buf)[:min(int64(len(*buf)), f.skip)])
		if f.skip -= int64(n); err != nil {
			return err
		}
	}
	return nil
}

var discardBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func (f *frameReader) arm(on bool) {
	if f.armed != on {
		f.armed = on
		f.midway(on)
	}
}

// outOfStep reports whether the frames after err cannot be told apart any more.
func outOfStep(err error) bool {
	var c *closing
	return errors.As(err, &c) && c.code == closeProtocol
}
