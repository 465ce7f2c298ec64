package ws_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cityhub/streams"
	"cityhub/streams/ws"
)

// The opening handshake, word for word.
func TestRFC6455Handshake(t *testing.T) {
	s := serve(t, nil, nil)
	good := []string{"GET /stream HTTP/1.1", "Host: " + s.addr, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + goodKey}
	with := func(change func(h []string) []string) string {
		return strings.Join(change(append([]string(nil), good...)), "\r\n") + "\r\n\r\n"
	}
	set := func(i int, line string) string { return with(func(h []string) []string { h[i] = line; return h }) }
	without := func(i int) string { return with(func(h []string) []string { return append(h[:i], h[i+1:]...) }) }
	add := func(line string) string { return with(func(h []string) []string { return append(h, line) }) }
	for _, tt := range []struct {
		name, request string
		status        int
		header, value string // of the response
	}{
		{"§4.2.2 accept key", add("X: y"), 101, "Sec-Websocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"§4.2.2 no subprotocol unless offered", add("X: y"), 101, "Sec-Websocket-Protocol", ""},
		{"§4.2.1 tokens without regard to case", with(func(h []string) []string {
			h[2], h[3] = "connection: keep-alive, UPGRADE", "upgrade: WebSocket"
			return h
		}), 101, "Upgrade", "websocket"},
		{"§4.2.1 method", set(0, "POST /stream HTTP/1.1"), 405, "", ""},
		{"§4.2.1 HTTP version", set(0, "GET /stream HTTP/1.0"), 400, "", ""},
		{"§4.2.1 Host", without(1), 400, "", ""},
		{"§4.2.1 no Connection", without(2), 400, "", ""},
		{"§4.2.1 no Upgrade", without(3), 400, "", ""},
		{"§4.2.1 another Upgrade", set(3, "Upgrade: h2c"), 400, "", ""},
		{"§4.4 no version", without(4), 400, "Sec-Websocket-Version", "13"},
		{"§4.4 another version", set(4, "Sec-WebSocket-Version: 8"), 400, "Sec-Websocket-Version", "13"},
		{"§4.4 versions", set(4, "Sec-WebSocket-Version: 13, 8"), 400, "Sec-Websocket-Version", "13"},
		{"§11.3.1 no key", without(5), 400, "", ""},
		{"§4.2.1 short key", set(5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"), 400, "", ""},
		{"§4.2.1 key not base64", set(5, "Sec-WebSocket-Key: ***GhlIHNhbXBsZSBub25jZQ=="), 400, "", ""},
		{"§11.3.1 two keys", add("Sec-WebSocket-Key: " + goodKey), 400, "", ""},
		{"§4.2.1 a body", add("Content-Length: 2") + "{}", 400, "", ""},
		{"§4.2.2 first known subprotocol", add("Sec-WebSocket-Protocol: x, cityhub.v1.cbor, cityhub.v1.json"), 101, "Sec-Websocket-Protocol", "cityhub.v1.cbor"},
		{"§4.2.2 subprotocols on two lines", with(func(h []string) []string {
			return append(h, "Sec-WebSocket-Protocol: x", "Sec-WebSocket-Protocol: cityhub.v1.json")
		}), 101, "Sec-Websocket-Protocol", "cityhub.v1.json"},
		{"§9.1 an unknown extension", add("Sec-WebSocket-Extensions: x-webkit-deflate-frame"), 101, "Sec-Websocket-Extensions", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprint(conn, tt.request)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.status || tt.header != "" && resp.Header.Get(tt.header) != tt.value {
				t.Errorf("%d %v, want %d with %s: %s", resp.StatusCode, resp.Header, tt.status, tt.header, tt.value)
			}
		})
	}
}

// What a client may send is answered as RFC 6455 says. A question of the
// protocol shows that the server has read a message whole.
func TestRFC6455Messages(t *testing.T) {
	s := serve(t, nil, nil)
	ask := func(n int) string { return fmt.Sprintf(`{"type":"ping","t":%d}`, n) }
	told := func(n int) string { return "1 " + fmt.Sprintf(`{"type":"pong","t":%d}`, n) }
	long := `{"type":"ping","t":9,"x":"` + strings.Repeat("长", 30000) + `"}`
	for _, tt := range []struct {
		name string
		send [][]byte
		want []string // opcode and payload
	}{
		{"§5.6 text", [][]byte{frame(0x81, ask(1))}, []string{told(1)}},
		{"§5.7 mask of zeros", [][]byte{append([]byte{0x81, byte(len(ask(1))) | 0x80, 0, 0, 0, 0}, ask(1)...)}, []string{told(1)}},
		{"§5.2 length of 16 bits", [][]byte{frame(0x81, `{"type":"ping","t":9,"x":"`+strings.Repeat("x", 200)+`"}`)}, []string{told(9)}},
		{"§5.2 length of 64 bits", [][]byte{frame(0x81, long)}, []string{told(9)}},
		{"§5.4 two fragments", [][]byte{frame(0x01, ask(2)[:5]), frame(0x80, ask(2)[5:])}, []string{told(2)}},
		{"§5.4 empty fragments", [][]byte{frame(0x01, ""), frame(0x00, ask(3)[:5]), frame(0x00, ""), frame(0x00, ask(3)[5:]), frame(0x80, "")}, []string{told(3)}},
		{"§5.4 a ping between fragments", [][]byte{frame(0x01, ask(4)[:5]), frame(0x89, "now"), frame(0x80, ask(4)[5:])}, []string{"10 now", told(4)}},
		{"§5.4 a pong between fragments", [][]byte{frame(0x01, ask(5)[:5]), frame(0x8A, "x"), frame(0x80, ask(5)[5:])}, []string{told(5)}},
		{"§5.5.2 ping", [][]byte{frame(0x89, "")}, []string{"10 "}},
		{"§5.5.2 ping of 125 bytes", [][]byte{frame(0x89, strings.Repeat("p", 125))}, []string{"10 " + strings.Repeat("p", 125)}},
		{"§5.5.3 a pong that nobody asked for", [][]byte{frame(0x8A, "x"), frame(0x81, ask(6))}, []string{told(6)}},
		{"§8.1 a character in two fragments", func() [][]byte {
			m := `{"type":"ping","t":7,"x":"长"}`
			i := strings.Index(m, "长") + 1
			return [][]byte{frame(0x01, m[:i]), frame(0x80, m[i:])}
		}(), []string{told(7)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, bytewise := range []bool{false, true} {
				r := rawDial(t, s)
				_ = r.conn.SetNoDelay(true)
				for _, b := range tt.send {
					if !bytewise || len(b) > 1000 {
						r.write(b)
						continue
					}
					for i := range b { // however TCP cuts it
						r.write(b[i : i+1])
					}
				}
				for _, want := range tt.want {
					f := r.read()
					if got := fmt.Sprintf("%d %s", f.op, f.payload); got != want {
						t.Fatalf("got %s, want %s", got, want)
					}
					if !f.fin || f.mask || f.rsv1 {
						t.Errorf("%+v: a frame of a server is whole and not masked (§5.1)", f)
					}
				}
				r.write(closeFrame(1000, ""))
				if code, _ := r.end(); code != 1000 {
					t.Errorf("closed with %d", code)
				}
			}
		})
	}
}

// What RFC 6455 forbids ends that connection, with a reason, and no other.
func TestRFC6455Violations(t *testing.T) {
	s := serve(t, nil, nil)
	other := s.greeted(t)
	head := func(b ...byte) []byte { return b }
	for _, tt := range []struct {
		name string
		data []byte
		code int
	}{
		{"§5.1 a frame that is not masked", append([]byte{0x81, 2}, "{}"...), 1002},
		{"§5.1 a control frame that is not masked", head(0x89, 0), 1002},
		{"§5.2 RSV1 without an extension", frame(0xC1, "{}"), 1002},
		{"§5.2 RSV2", frame(0xA1, "{}"), 1002},
		{"§5.2 RSV3 on a ping", frame(0x99, ""), 1002},
		{"§5.2 opcode 3", frame(0x83, ""), 1002},
		{"§5.2 opcode 7", frame(0x87, ""), 1002},
		{"§5.2 opcode 11", frame(0x8B, ""), 1002},
		{"§5.2 opcode 15", frame(0x8F, ""), 1002},
		{"§5.2 a short length in 16 bits", head(0x81, 0xfe, 0, 2, 0, 0, 0, 0, '{', '}'), 1002},
		{"§5.2 a short length in 64 bits", head(0x81, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0), 1002},
		{"§5.2 the highest bit of a length", head(0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), 1002},
		{"§5.4 a continuation of nothing", frame(0x80, "{}"), 1002},
		{"§5.4 a text within a fragmented text", append(frame(0x01, "{"), frame(0x81, "}")...), 1002},
		{"§5.4 a binary within a fragmented text", append(frame(0x01, "{"), frame(0x02, "}")...), 1002},
		{"§5.5 a ping in fragments", frame(0x09, ""), 1002},
		{"§5.5 a close in fragments", frame(0x08, ""), 1002},
		{"§5.5 a ping of 126 bytes", frame(0x89, strings.Repeat("x", 126)), 1002},
		{"§5.5.1 a close of one byte", frame(0x88, "\x03"), 1002},
		{"§7.4.1 close code 1004", closeFrame(1004, ""), 1002},
		{"§7.4.1 close code 1005", closeFrame(1005, ""), 1002},
		{"§7.4.1 close code 1006", closeFrame(1006, ""), 1002},
		{"§7.4.1 close code 1015", closeFrame(1015, ""), 1002},
		{"§7.4.2 close code 999", closeFrame(999, ""), 1002},
		{"§7.4.2 close code 2999", closeFrame(2999, ""), 1002},
		{"§7.4.2 close code 5000", closeFrame(5000, ""), 1002},
		{"§5.5.1 a close reason that is no UTF-8", closeFrame(1000, "\xff"), 1007},
		{"§8.1 text that is no UTF-8", frame(0x81, "{\"type\":\"ping\",\"x\":\"\xc3\x28\"}"), 1007},
		{"§8.1 a surrogate", frame(0x81, "\"\xed\xa0\x80\""), 1007},
		{"§8.1 a character that ends in the middle", append(frame(0x01, "\"\xe9\x95"), frame(0x80, "\"")...), 1007},
		{"§8.1 no UTF-8 over three fragments", append(append(frame(0x01, "{\"x\":\"\xe9"), frame(0x00, "\x95")...), frame(0x80, "\x28\"}")...), 1007},
		{"garbage", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1002},
		{"§10.4 a claim of 8 EiB", head(0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), 4013},
		{"§10.4 fragments beyond the limit", func() (b []byte) {
			b = frame(0x01, strings.Repeat("x", 64<<10))
			for range 5 {
				b = append(b, frame(0x00, strings.Repeat("x", 64<<10))...)
			}
			return b
		}(), int(streams.CloseTooLarge)},
		{"half a header and the end", head(0x81), -1},
		{"half a frame and the end", head(0x81, 0x85, 0), -1},
		{"half a message and the end", frame(0x01, "{"), -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rawDial(t, s)
			r.write(tt.data)
			if tt.code == -1 {
				_ = r.conn.CloseWrite()
			}
			code, why := r.end()
			if code != tt.code || code > 0 && why == "" || !utf8.ValidString(why) {
				t.Errorf("close %d %q, want %d", code, why, tt.code)
			}
		})
	}
	other.send(`{"type":"ping","t":1}`)
	for {
		if msg := other.read(); strings.Contains(msg, "heartbeat") {
			continue
		} else if msg != `{"type":"pong","t":1}` {
			t.Errorf("the other client gets %s", msg)
		}
		return
	}
}

// The closing handshake, from both sides.
func TestRFC6455Close(t *testing.T) {
	s := serve(t, nil, func(o *ws.Options) { o.CloseGrace = 2 * time.Second })
	for _, tt := range []struct {
		name string
		send []byte
		code int
	}{
		{"§5.5.1 without a code", frame(0x88, ""), 0},
		{"§5.5.1 the code comes back", closeFrame(1000, "bye"), 1000},
		{"§7.4.1 going away", closeFrame(1001, ""), 1001},
		{"§7.4.2 a library's code", closeFrame(3000, ""), 3000},
		{"§7.4.2 a private code", closeFrame(4999, strings.Repeat("x", 123)), 4999},
		{"§5.5.1 nothing is read after it", append(closeFrame(1000, ""), frame(0x83, "x")...), 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rawDial(t, s)
			start := time.Now()
			r.write(tt.send)
			if code, _ := r.end(); code != tt.code {
				t.Errorf("answered with %d, want %d", code, tt.code)
			}
			// §7.1.1: the server ends the TCP connection first.
			if d := time.Since(start); d > time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
	t.Run("§7.1.1 ours is answered", func(t *testing.T) {
		r := rawDial(t, s)
		r.write(frame(0x81, "{}")) // no type
		f := r.read()
		if f.op != 8 {
			t.Fatalf("%+v, want a close", f)
		}
		start := time.Now()
		r.write(frame(0x81, `{"type":"ping","t":1}`), frame(0x89, "x"), closeFrame(1000, "")) // what was on its way is read over
		if code, _ := r.end(); code != -1 {
			t.Errorf("a second close: %d", code)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("the connection ended after %v", d)
		}
	})
	t.Run("§7.1.1 ours is never answered", func(t *testing.T) {
		r := rawDial(t, s)
		r.write(frame(0x81, "{}"))
		start := time.Now()
		if code, _ := r.end(); code != int(streams.CloseMalformed) {
			t.Errorf("close %d", code)
		}
		if d := time.Since(start); d < time.Second || d > 5*time.Second {
			t.Errorf("the connection ended after %v, CloseGrace is 2 s", d)
		}
	})
}
