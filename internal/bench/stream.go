package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// subscriber is a WebSocket client of the hub that subscribed to everything,
// with the operator's rights. It belongs to one goroutine; end may come from
// another one.
type subscriber struct {
	conn *websocket.Conn
	buf  bytes.Buffer
}

// subscribe connects and asks for everything; the snapshot follows.
func (h *hub) subscribe(ctx context.Context) (*subscriber, error) {
	head := http.Header{"Authorization": {"Bearer " + h.token}}
	d := websocket.Dialer{HandshakeTimeout: 20 * time.Second, ReadBufferSize: 64 << 10}
	conn, res, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(h.http, "http")+"/stream", head)
	if err != nil {
		if res != nil {
			err = fmt.Errorf("%w (%s)", err, res.Status)
		}
		return nil, fmt.Errorf("open the stream: %w", err)
	}
	s := &subscriber{conn: conn}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","id":"all"}`)); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// next gives the next message; it is valid until the one after it.
func (s *subscriber) next() ([]byte, error) {
	_, r, err := s.conn.NextReader()
	if err != nil {
		return nil, err
	}
	s.buf.Reset()
	_, err = s.buf.ReadFrom(r)
	return s.buf.Bytes(), err
}

// snapshot reads to the end of the snapshot. It calls part, nil for none, with
// every part of it.
func (s *subscriber) snapshot(limit time.Duration, part func([]byte) error) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	for {
		m, err := s.next()
		if err != nil {
			return fmt.Errorf("wait for the snapshot: %w", err)
		}
		switch kind(m) {
		case "snapshot":
			if part != nil {
				if err := part(m); err != nil {
					return err
				}
			}
			if bytes.Contains(m[:min(len(m), 300)], []byte(`"last":true`)) {
				return s.conn.SetReadDeadline(time.Time{})
			}
		case "error":
			return fmt.Errorf("the stream answers %s", m)
		}
	}
}

// end closes the connection; a read that waits fails.
func (s *subscriber) end() { _ = s.conn.Close() }

// kind is the type of a message, which the hub writes first.
func kind(m []byte) string {
	rest, ok := bytes.CutPrefix(m, []byte(`{"type":"`))
	if !ok {
		return ""
	}
	k, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(k)
}

var errRow = errors.New("the message has a row that is no [datastream, ms, result, quality]")

// eachObservation calls fn with every row of a snapshot or delta. Quotes within
// strings are escaped, so the member's name stands there once. It is written
// out because it runs beside the hub that it measures; results that are no
// number are not expected.
func eachObservation(m []byte, fn func(datastream, ms int64, result []byte) error) error {
	_, rest, ok := bytes.Cut(m, []byte(`"observations":[`))
	if !ok {
		return io.ErrUnexpectedEOF
	}
	for len(rest) > 0 && rest[0] == '[' {
		rest = rest[1:]
		var ds, ms int64
		if ds, rest, ok = wholeNumber(rest); !ok {
			return errRow
		}
		if ms, rest, ok = wholeNumber(rest); !ok {
			return errRow
		}
		result, after, ok := bytes.Cut(rest, []byte(","))
		if !ok {
			return errRow
		}
		end := bytes.IndexByte(after, ']')
		if end < 0 {
			return errRow
		}
		if err := fn(ds, ms, result); err != nil {
			return err
		}
		if rest = after[end+1:]; len(rest) > 0 && rest[0] == ',' {
			rest = rest[1:]
		}
	}
	if len(rest) == 0 || rest[0] != ']' {
		return errRow
	}
	return nil
}

// wholeNumber reads digits and the comma behind them.
func wholeNumber(b []byte) (n int64, rest []byte, ok bool) {
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9' && i < 18:
			n = n*10 + int64(c-'0')
		case c == ',' && i > 0:
			return n, b[i+1:], true
		default:
			return 0, b, false
		}
	}
	return 0, b, false
}
