package ws

import (
	"crypto/sha1" // RFC 6455 §1.3 asks for it; nothing rests on its strength
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cityhub/twin"
)

// agreement is what a handshake settles.
type agreement struct {
	key     string // Sec-WebSocket-Key
	cbor    bool
	named   bool // the client offered a subprotocol
	deflate bool // permessage-deflate, RFC 7692
}

// agree checks the opening handshake (RFC 6455 §4.2.1) and chooses subprotocol
// and extension.
func agree(r *http.Request) (agreement, error) {
	var a agreement
	h := r.Header
	switch {
	case r.Method != http.MethodGet:
		return a, noHandshake("method", r.Method+", expected GET")
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return a, noHandshake("protocol", r.Proto+", expected HTTP/1.1")
	case !listed(h["Upgrade"], "websocket"):
		return a, noHandshake("Upgrade", "does not ask for websocket")
	case !listed(h["Connection"], "upgrade"):
		return a, noHandshake("Connection", "does not name Upgrade")
	case len(h["Sec-Websocket-Version"]) != 1 || h.Get("Sec-WebSocket-Version") != "13":
		return a, noHandshake("Sec-WebSocket-Version", "expected 13")
	case len(h["Sec-Websocket-Key"]) != 1:
		return a, noHandshake("Sec-WebSocket-Key", "expected once")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return a, noHandshake("Content-Length", "a handshake has no body")
	}
	a.key = h.Get("Sec-WebSocket-Key")
	if nonce, err := base64.StdEncoding.DecodeString(a.key); err != nil || len(nonce) != 16 {
		return a, noHandshake("Sec-WebSocket-Key", "expected 16 bytes in base64")
	}
	offered := tokens(h["Sec-Websocket-Protocol"])
	for _, p := range offered {
		if p == Subprotocol || p == SubprotocolCBOR {
			a.named, a.cbor = true, p == SubprotocolCBOR
			break
		}
	}
	if len(offered) > 0 && !a.named {
		return a, &twin.Error{Code: twin.CodeInvalid, Op: "open stream", Field: "Sec-WebSocket-Protocol", Message: fmt.Sprintf("expected %s or %s", Subprotocol, SubprotocolCBOR), Hint: "offer one of these subprotocols, or none"}
	}
	a.deflate = offersDeflate(h["Sec-Websocket-Extensions"])
	return a, nil
}

func noHandshake(field, what string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "open stream", Field: field, Message: "this is not a WebSocket handshake: " + what, Hint: "connect with a WebSocket client, version 13, or read /stream/events"}
}

// tokens splits headers that are lists.
func tokens(values []string) []string {
	var out []string
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t != "" {
				out = append(out, t)
			}
		}
	}
	return out
}

func listed(values []string, want string) bool {
	for _, t := range tokens(values) {
		if strings.EqualFold(t, want) {
			return true
		}
	}
	return false
}

// offersDeflate reports whether one of the client's offers can be accepted as
// permessage-deflate without context takeover on either side (RFC 7692 §7.1).
// An offer that limits the server's window is declined: the encoder has one size.
func offersDeflate(values []string) bool {
	for _, offer := range tokens(values) {
		name, params, _ := strings.Cut(offer, ";")
		if strings.TrimSpace(name) != "permessage-deflate" {
			continue
		}
		if acceptable(params) {
			return true
		}
	}
	return false
}

func acceptable(params string) bool {
	seen := make(map[string]bool)
	for p := range strings.SplitSeq(params, ";") {
		if strings.TrimSpace(p) == "" {
			continue
		}
		name, value, valued := strings.Cut(p, "=")
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		if seen[name] {
			return false
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if valued {
				return false
			}
		case "client_max_window_bits": // whatever window it has, ours is large enough
			if bits, err := strconv.Atoi(value); valued && (err != nil || bits < 8 || bits > 15) {
				return false
			}
		case "server_max_window_bits":
			if value != "15" {
				return false
			}
		default:
			return false
		}
	}
	return true
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 §1.3

// upgrade takes the connection from the HTTP server and answers the handshake
// (RFC 6455 §4.2.2). A failed one needs no more answer than the end of the
// connection when err comes with hijacked.
func upgrade(w http.ResponseWriter, a agreement, timeout time.Duration) (conn net.Conn, hijacked bool, err error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, false, &twin.Error{Code: twin.CodeInternal, Op: "open stream", Message: "the connection cannot become a WebSocket", Hint: "connect over HTTP/1.1", Err: err}
	}
	if rw.Reader.Buffered() > 0 {
		_ = conn.Close()
		return nil, true, fmt.Errorf("%d bytes came before the handshake was answered", rw.Reader.Buffered())
	}
	sum := sha1.Sum([]byte(a.key + acceptGUID))
	b := make([]byte, 0, 384)
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	if a.named {
		b = append(b, "\r\nSec-WebSocket-Protocol: "...)
		if a.cbor {
			b = append(b, SubprotocolCBOR...)
		} else {
			b = append(b, Subprotocol...)
		}
	}
	if a.deflate {
		b = append(b, "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
	}
	b = append(b, "\r\n\r\n"...)
	_ = conn.SetDeadline(time.Time{}) // the HTTP server's
	_ = conn.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := conn.Write(b); err != nil {
		_ = conn.Close()
		return nil, true, err
	}
	return conn, true, nil
}
