package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"cityhub/twin"
)

// silentHeartbeats is how many intervals of silence mean that the connection is
// lost.
const silentHeartbeats = 2.5

var errSilent = errors.New("the connection is silent")

// link is one connection, from its welcome on.
type link struct {
	o       *Options
	conn    *websocket.Conn
	silence *silence
	cbor    bool
	buf     bytes.Buffer
	decode  decoder
	welcome message

	writing sync.Mutex
}

// updates reports whether the hub knows the message update: it came with the
// limits that the welcome tells.
func (l *link) updates() bool { _, ok := l.welcome.Members["minIntervalMs"]; return ok }

// silence is a connection that fails when nothing at all comes for a while. Any
// byte counts, so that a large message on a slow line is no silence. While
// nobody reads, because the caller is slow, no time passes.
type silence struct {
	net.Conn
	limit atomic.Int64 // ns
}

func (s *silence) Read(p []byte) (int, error) {
	if err := s.Conn.SetReadDeadline(time.Now().Add(time.Duration(s.limit.Load()))); err != nil {
		return 0, err
	}
	n, err := s.Conn.Read(p)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = errSilent
	}
	return n, err
}

// connect opens a connection and reads its welcome.
func (c *Client) connect() (*link, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.o.DialTimeout)
	defer cancel()
	l := &link{o: &c.o, cbor: c.o.Encoding == CBOR}
	header := http.Header{}
	if c.o.Header != nil {
		header = c.o.Header.Clone()
	}
	if c.o.Token != "" {
		header.Set("Authorization", "Bearer "+c.o.Token)
	}
	d := websocket.Dialer{
		Subprotocols: []string{c.o.Encoding.subprotocol()}, EnableCompression: !c.o.NoCompression,
		TLSClientConfig: c.o.TLS, Proxy: c.o.Proxy,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := c.o.Dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			l.silence = &silence{Conn: conn}
			l.silence.limit.Store(int64(c.o.DialTimeout))
			return l.silence, nil
		},
	}
	conn, resp, err := d.DialContext(ctx, c.url, header)
	if err != nil {
		if resp != nil {
			return nil, refusal(resp)
		}
		return nil, fmt.Errorf("connect to %s: %w", c.url, err)
	}
	l.conn = conn
	conn.SetReadLimit(int64(c.o.MaxMessage))
	// A close needs no answer of gorilla's own: the connection ends anyhow.
	conn.SetCloseHandler(func(code int, _ string) error {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		return nil
	})
	if want := c.o.Encoding.subprotocol(); conn.Subprotocol() != want {
		_ = conn.Close()
		return nil, &refusedError{http.StatusBadRequest, &twin.Error{Code: twin.CodeInvalid, Op: "open stream", Message: fmt.Sprintf("the hub does not speak %s", want), Hint: "is it another program, or an older hub?"}}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	m, n, err := l.read()
	if !stop() && c.ctx.Err() != nil {
		err = c.ctx.Err()
	}
	if err == nil && m.Type != "welcome" {
		err = fmt.Errorf("the hub begins with %q instead of a welcome", m.Type)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c.count(n)
	l.welcome = *m
	l.silence.limit.Store(int64(silentHeartbeats * float64(m.heartbeat())))
	c.connects.Add(1)
	return l, nil
}

func (c *Client) count(n int) {
	c.messages.Add(1)
	c.bytes.Add(uint64(n))
}

// read gives the next message and its bytes. It is valid until the next read.
func (l *link) read() (*message, int, error) {
	kind, r, err := l.conn.NextReader()
	if err != nil {
		return nil, 0, closing(err)
	}
	l.buf.Reset()
	// The limit of the connection counts compressed bytes.
	if _, err := l.buf.ReadFrom(io.LimitReader(r, int64(l.o.MaxMessage)+1)); err != nil {
		return nil, 0, closing(err)
	}
	if l.buf.Len() > l.o.MaxMessage {
		return nil, 0, fmt.Errorf("a message of the hub has more than %d bytes", l.o.MaxMessage)
	}
	if (kind == websocket.BinaryMessage) != l.cbor {
		return nil, 0, errors.New("a message of the hub has the wrong kind of frame")
	}
	var m *message
	if l.cbor {
		m, err = l.decode.cbor(l.buf.Bytes())
	} else {
		m, err = l.decode.json(l.buf.Bytes())
	}
	if err != nil {
		return nil, 0, fmt.Errorf("a message of the hub: %w", err)
	}
	return m, l.buf.Len(), nil
}

// closing turns gorilla's error into what the client tells.
func closing(err error) error {
	var e *websocket.CloseError
	if errors.As(err, &e) && e.Code != websocket.CloseAbnormalClosure && e.Code != websocket.CloseNoStatusReceived {
		return &CloseError{Code: e.Code, Reason: e.Text}
	}
	return err
}

// send writes a message. A connection that does not take it is closed, which
// its reader notices.
func (l *link) send(m map[string]any) {
	kind, data, err := websocket.TextMessage, []byte(nil), error(nil)
	if l.cbor {
		kind = websocket.BinaryMessage
		data, err = encodeCBOR(m)
	} else {
		data, err = json.Marshal(m)
	}
	if err != nil { // validate lets nothing through that cannot be written
		l.o.Logger.Error("a message cannot be encoded", slog.Any("error", err))
		return
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(l.o.WriteTimeout))
	if err := l.conn.WriteMessage(kind, data); err != nil {
		_ = l.conn.Close()
	}
}

// leave says good-bye and closes.
func (l *link) leave() {
	_ = l.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(200*time.Millisecond))
	_ = l.conn.Close()
}

// refusedError is an answer of the hub that is no WebSocket.
type refusedError struct {
	status int
	err    *twin.Error
}

func (e *refusedError) Error() string { return e.err.Error() }

// Unwrap is what the hub says.
func (e *refusedError) Unwrap() error { return e.err }

// refusal reads the hub's problem document (RFC 9457), of which gorilla keeps
// the first KiB.
func refusal(resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	e := &twin.Error{Op: "open stream", Message: "the hub answers " + resp.Status}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		e.Code = twin.CodeUnauthorized
	case http.StatusForbidden:
		e.Code = twin.CodeForbidden
	case http.StatusNotFound:
		e.Code, e.Hint = twin.CodeNotFound, "is this the address of a hub?"
	case http.StatusTooManyRequests:
		e.Code = twin.CodeTooMany
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.Code = twin.CodeUnavailable
	default:
		e.Code = twin.CodeInvalid
		if resp.StatusCode >= 500 {
			e.Code = twin.CodeInternal
		}
	}
	var problem struct{ Title, Detail, Hint string }
	if body, err := io.ReadAll(io.LimitReader(resp.Body, 4096)); err == nil && json.Unmarshal(body, &problem) == nil {
		if problem.Detail != "" {
			e.Message = problem.Detail
		} else if problem.Title != "" {
			e.Message = problem.Title
		}
		if problem.Hint != "" {
			e.Hint = problem.Hint
		}
	}
	return &refusedError{resp.StatusCode, e}
}

// final reports whether an attempt would fail again. A hub that has welcomed the
// client before may stand behind a proxy that does not find it for a moment:
// then only what the hub says of the caller is final.
func final(err error, fresh bool) bool {
	var closed *CloseError
	if errors.As(err, &closed) {
		return closed.Final()
	}
	var refused *refusedError
	if !errors.As(err, &refused) {
		return false
	}
	switch s := refused.status; s {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	default:
		return fresh && s >= 400 && s < 500
	}
}
