package ws

import (
	"encoding/binary"

	"cityhub/streams"
)

// The forms of a frame on the wire, each made once for all clients that want it.
const (
	formText streams.Form = iota
	formTextDeflated
	formBinary
	formBinaryDeflated
)

// formOf is the form that a connection gets.
func formOf(a agreement) streams.Form {
	f := formText
	if a.cbor {
		f = formBinary
	}
	if a.deflate {
		f++
	}
	return f
}

// wire is the WebSocket frame of f in a form.
func wire(f *streams.Frame, form streams.Form) ([]byte, error) {
	return f.In(form, func() ([]byte, error) {
		switch form {
		case formText:
			return appendFrame(make([]byte, 0, maxHeader+len(f.JSON)), opText, f.JSON), nil
		case formBinary:
			b, err := appendCBOR(make([]byte, 0, len(f.JSON)), f.JSON)
			if err != nil {
				return nil, err
			}
			return appendFrame(make([]byte, 0, maxHeader+len(b)), opBinary, b), nil
		}
		plain, err := wire(f, form-1)
		if err != nil || len(plain) < deflateFrom {
			return plain, err
		}
		op, payload := opcode(plain[0]&0x0f), plain[headerLen(plain):]
		small, ok := deflate(make([]byte, 0, len(payload)/3), payload)
		if !ok {
			return plain, nil
		}
		b := appendFrame(make([]byte, 0, maxHeader+len(small)), op, small)
		b[0] |= bitRSV1
		return b, nil
	})
}

// maxHeader is the longest header of a frame to a client, which is not masked.
const maxHeader = 10

// appendFrame appends a whole message as one frame.
func appendFrame(dst []byte, op opcode, payload []byte) []byte {
	dst = append(dst, bitFin|byte(op))
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}

func headerLen(frame []byte) int {
	switch frame[1] {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// appendClose appends a close frame; code zero has none.
func appendClose(dst []byte, code int, why string) []byte {
	if code == 0 {
		return appendFrame(dst, opClose, nil)
	}
	p := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), uint16(code))
	return appendFrame(dst, opClose, append(p, reason(why)...))
}
