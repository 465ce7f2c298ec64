package ws_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw speaks WebSocket by hand, to send what no library sends.
type raw struct {
	t    testing.TB
	conn *net.TCPConn
	br   *bufio.Reader
	resp *http.Response
}

const goodKey = "dGhlIHNhbXBsZSBub25jZQ==" // of RFC 6455 §1.3

// rawDial shakes hands and reads the welcome; extra are header lines.
func rawDial(t testing.TB, s *server, extra ...string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	lines := append([]string{"GET /stream HTTP/1.1", "Host: " + s.addr, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + goodKey}, extra...)
	fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	r := &raw{t, conn.(*net.TCPConn), br, resp}
	if f := r.read(); f.op != 1 && f.op != 2 {
		t.Fatalf("welcome: %+v", f)
	}
	return r
}

// wireFrame is a frame as it came.
type wireFrame struct {
	op              byte
	fin, rsv1, mask bool
	payload         []byte
}

func (r *raw) next() (f wireFrame, err error) {
	var h [2]byte
	if _, err = io.ReadFull(r.br, h[:]); err != nil {
		return
	}
	f.op, f.fin, f.rsv1, f.mask = h[0]&15, h[0]&0x80 != 0, h[0]&0x40 != 0, h[1]&0x80 != 0
	n := uint64(h[1] & 127)
	if n > 125 {
		l := make([]byte, map[uint64]int{126: 2, 127: 8}[n])
		if _, err = io.ReadFull(r.br, l); err != nil {
			return
		}
		n = 0
		for _, b := range l {
			n = n<<8 | uint64(b)
		}
	}
	f.payload = make([]byte, n)
	_, err = io.ReadFull(r.br, f.payload)
	return
}

// read is the next frame that is not a heartbeat or a ping of the server.
func (r *raw) read() wireFrame {
	r.t.Helper()
	for {
		f, err := r.next()
		if err != nil {
			r.t.Fatalf("read: %v", err)
		}
		if f.op == 9 || f.op == 1 && strings.HasPrefix(string(f.payload), `{"type":"heartbeat"`) {
			continue
		}
		return f
	}
}

func (r *raw) write(b ...[]byte) {
	for _, p := range b {
		_, _ = r.conn.Write(p) // the server may close before all is written
	}
}

// end reads up to the close frame and the end of the connection; 0 is a close
// without a code, -1 an end without a close.
func (r *raw) end() (code int, why string) {
	r.t.Helper()
	code = -1
	for {
		f, err := r.next()
		if err == io.EOF || code >= 0 && err != nil {
			return code, why
		}
		if err != nil {
			r.t.Fatalf("%v, want a close", err)
		}
		if code >= 0 {
			r.t.Fatalf("a frame after the close: %+v (RFC 6455 §5.5.1)", f)
		}
		if f.op == 8 {
			if code = 0; len(f.payload) >= 2 {
				code, why = int(binary.BigEndian.Uint16(f.payload)), string(f.payload[2:])
			}
		}
	}
}

// frame builds a masked frame of a client: b0 is FIN, RSV and opcode.
func frame(b0 byte, payload string) []byte {
	b := []byte{b0}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d} // of RFC 6455 §5.7
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i&3])
	}
	return b
}

func closeFrame(code int, why string) []byte {
	return frame(0x88, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+why)
}
