package ws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cityhub/streams"
	"cityhub/twin"
)

// session is one connection. Its reader is a goroutine of its own, the only one
// while nothing happens; what the hub queued is sent by the server's writers.
type session struct {
	server *Server
	client *streams.Client
	ctx    context.Context // carries the caller; ends with the connection
	cancel context.CancelFunc

	conn net.Conn
	rc   syscall.RawConn // of conn; nil: every write may wait
	form streams.Form
	in   frameReader
	pace limiter

	next    *session      // in the writers' line
	wakes   atomic.Int32  // above 0: in line, or at work
	written chan struct{} // closed when nothing will be written any more

	pingSent atomic.Int64 // ns, of the ping that waits for its pong; 0: none
	echo     atomic.Int32 // 1 + the code of the client's close frame; 0: none came

	// mu guards what follows, and conn against a close that comes before start.
	mu      sync.Mutex
	pong    []byte // the answer to the client's last ping
	ponging bool
	ending  bool // deadlines are those of the end now
}

const pongBeats = 2.5 // heartbeats without a pong make a client idle

// viewOf asks what the caller may see now: the bearer of token, or whoever the
// request was made by.
func (ss *session) viewOf(token string) func(context.Context) (streams.View, error) {
	return func(context.Context) (streams.View, error) {
		v, _, err := ss.server.o.Auth.View(ss.ctx, token)
		return v, err
	}
}

// newSession stands in line already, so that nothing is sent before start.
func newSession(s *Server, ctx context.Context, cancel context.CancelFunc) *session {
	ss := &session{server: s, ctx: ctx, cancel: cancel, written: make(chan struct{})}
	ss.wakes.Store(1)
	ss.pace.perSecond = float64(s.o.MessagesPerSecond)
	return ss
}

func (ss *session) start(conn net.Conn, a agreement) {
	ss.mu.Lock()
	ss.conn, ss.form = conn, formOf(a)
	if c, ok := conn.(*net.TCPConn); ok {
		if rc, err := c.SyscallConn(); err == nil {
			ss.rc = rc
		}
	}
	ss.in.conn, ss.in.limit, ss.in.deflate = conn, ss.server.o.ReadLimit, a.deflate
	ss.in.midway, ss.in.frames = ss.midway, ss.frames
	if !ss.ending {
		_ = conn.SetWriteDeadline(time.Time{}) // the handshake's
	}
	ss.mu.Unlock()
	ss.server.writers.join()
	// The hub's Shutdown waits for Detach, which read calls last.
	go ss.read()
	ss.server.writers.ready(ss)
}

// closed is the hub's notice that the client was closed. A write that waits for
// a client which takes nothing is not to hold up the close; a slow client alone
// may finish the batch, so that it learns its code.
func (ss *session) closed(e *streams.CloseError) {
	ss.cancel()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.ending = true
	if e.Code != streams.CloseSlow && ss.conn != nil {
		_ = ss.conn.SetWriteDeadline(time.Now().Add(ss.server.o.CloseGrace))
	}
}

// midway bounds the wait for the rest of a message.
func (ss *session) midway(on bool) {
	var t time.Time
	if on {
		t = time.Now().Add(ss.server.o.MessageTimeout)
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.ending {
		_ = ss.conn.SetReadDeadline(t)
	}
}

// frames slows down a client that sends frames without sending messages.
func (ss *session) frames(op opcode) {
	switch {
	case op >= opClose:
		ss.spend(1)
	case op == opContinuation:
		ss.spend(1.0 / 16)
	}
}

// spend waits until the client may go on.
func (ss *session) spend(cost float64) {
	d := ss.pace.wait(time.Now(), cost)
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ss.ctx.Done():
	}
}

func (ss *session) read() {
	err := ss.messages()
	if err != nil {
		ss.server.o.Logger.Debug("stream connection ended", slog.String("remote", ss.conn.RemoteAddr().String()), slog.Any("error", err))
	}
	ss.client.Close(streams.CloseNormal, "left")
	<-ss.written
	if outOfStep(err) {
		ss.linger()
	}
	ss.in.release()
	_ = ss.conn.Close()
	ss.client.Detach()
	ss.server.writers.leave()
}

// messages takes what the client sends until the connection ends; an error is
// for the log.
func (ss *session) messages() error {
	for {
		op, payload, err := ss.in.next()
		var bad *closing
		switch {
		case err == nil && op == opPing:
			ss.answer(payload)
		case err == nil && op == opPong:
			ss.pingSent.Store(0)
		case err == nil && op == opClose:
			var code int
			if code, err = closeStatus(payload); err == nil {
				ss.echo.CompareAndSwap(0, 1+int32(code))
				return nil
			}
		case err == nil:
			ss.spend(1)
			err = ss.message(op, payload)
		case errors.Is(err, os.ErrDeadlineExceeded) && ss.client.Closed() == nil:
			err = &closing{streams.CloseMalformed, fmt.Sprintf("a message took longer than %v", ss.server.o.MessageTimeout)}
			ss.client.Close(streams.CloseMalformed, err.Error())
			return err
		}
		if err == nil {
			continue
		}
		if !errors.As(err, &bad) {
			if errors.Is(err, io.EOF) || ss.client.Closed() != nil {
				return nil
			}
			return err
		}
		ss.client.Close(bad.code, bad.reason)
		if outOfStep(err) {
			return err
		}
		// Reading goes on, to the client's answer to the close (RFC 6455 §7.1.2).
		ss.in.ending = true
	}
}

// linger reads on for a moment: closing over unread input would reset the
// connection and could take the close frame away.
func (ss *session) linger() {
	if c, ok := ss.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		buf := discardBuffers.Get().(*[]byte)
		defer discardBuffers.Put(buf)
		for {
			if _, err := ss.conn.Read(*buf); err != nil {
				return
			}
		}
	}
}

// answer has a ping answered; of several waiting only the last one is (RFC 6455
// §5.5.3).
func (ss *session) answer(ping []byte) {
	ss.mu.Lock()
	ss.pong, ss.ponging = append(ss.pong[:0], ping...), true
	ss.mu.Unlock()
	ss.wake()
}

// message does what one message asks, in a goroutine of its own: what it needs
// of a stack is given back, and that of the waiting reader stays small.
func (ss *session) message(op opcode, payload []byte) error {
	if ss.client.Closed() != nil {
		ss.in.ending = true
		return nil
	}
	if want := opText + opcode(ss.form/2); op != want {
		return &closing{streams.CloseMalformed, "expected a " + map[opcode]string{opText: "text", opBinary: "binary"}[want] + " message"}
	}
	done := make(chan error, 1)
	go func() { done <- ss.receive(op, payload) }()
	return <-done
}

func (ss *session) receive(op opcode, payload []byte) error {
	m, err := parse(op, payload)
	if err == nil {
		err = ss.handle(m)
	}
	if err == nil || ss.client.Closed() != nil {
		return nil
	}
	if code := closeCodeOf(err); code != 0 {
		var e *twin.Error
		if errors.As(err, &e) {
			return &closing{code, e.Message}
		}
		return &closing{code, err.Error()}
	}
	if twin.ErrorCode(err) == twin.CodeInternal {
		ss.server.o.Logger.Error("a stream request failed", slog.Any("error", err))
	}
	ss.client.Send(encodeError(m.ID, err))
	return nil
}

func (ss *session) handle(m inbound) error {
	switch m.Type {
	case "ping":
		ss.client.Send(encodePong(m.ping.T))
		return nil
	case "auth":
		return ss.authenticate(m.auth.Token)
	case "unsubscribe":
		return ss.client.Unsubscribe(m.ID, encodeUnsubscribed(m.ID))
	case "update":
		f, err := parseFilter(m.update.Filter)
		if err != nil {
			return err
		}
		return ss.client.Update(ss.ctx, m.ID, f)
	}
	sub, err := subscription(m.subscribe)
	if err != nil {
		return err
	}
	sub.Ack = func(a streams.Accepted) []byte { return encodeSubscribed(m.ID, sub.After != nil, a) }
	return ss.client.Subscribe(ss.ctx, sub)
}

func (ss *session) authenticate(token string) error {
	if token == "" {
		return &twin.Error{Code: twin.CodeUnauthorized, Op: "authenticate", Field: "token", Message: "the token is missing"}
	}
	_, role, err := ss.server.o.Auth.View(ss.ctx, token)
	if err != nil {
		return err
	}
	if err := ss.client.Authenticate(ss.viewOf(token)); err != nil {
		return err
	}
	ss.client.Send(ss.server.encodeWelcome(ss.server.o.Hub.Position().Epoch, role))
	return nil
}
