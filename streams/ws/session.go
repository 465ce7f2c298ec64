package ws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"cityhub/streams"
	"cityhub/twin"
)

// session is one connection: readLoop takes the client's messages, writeLoop
// sends what the hub queued. Only writeLoop writes data; gorilla's answers to
// pings and closes come from the reader and are safe beside it.
type session struct {
	server *Server
	client *streams.Client
	ctx    context.Context // carries the caller; ends with the connection
	cancel context.CancelFunc

	conn *websocket.Conn
	raw  *corkConn

	// up guards conn and raw against a close that comes before start.
	mu sync.Mutex

	written  chan struct{} // closed when writeLoop has ended
	pingSent atomic.Int64  // ns, of the ping that waits for its pong; 0: none
}

const (
	batchBytes  = 64 << 10
	keepFrames  = 64
	pongBeats   = 2.5 // heartbeats without a pong make a client idle
	keepReadBuf = 8 << 10
)

var readBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// viewOf asks what the caller may see now: the bearer of token, or whoever the
// request was made by.
func (ss *session) viewOf(token string) func(context.Context) (streams.View, error) {
	return func(context.Context) (streams.View, error) {
		v, _, err := ss.server.o.Auth.View(ss.ctx, token)
		return v, err
	}
}

func (ss *session) start(conn *websocket.Conn, raw *corkConn) {
	ss.mu.Lock()
	ss.conn, ss.raw = conn, raw
	ss.mu.Unlock()
	conn.SetPongHandler(func(string) error { ss.pingSent.Store(0); return nil })
	// The hub's Shutdown waits for Detach, which readLoop calls last.
	go ss.writeLoop()
	go ss.readLoop()
}

// closed is the hub's notice that the client was closed. A writer that waits for
// a client which takes nothing is not to hold up the close; a slow client alone
// may finish the batch, so that it learns its code.
func (ss *session) closed(e *streams.CloseError) {
	ss.cancel()
	if e.Code == streams.CloseSlow {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.raw != nil {
		_ = ss.raw.Conn.SetWriteDeadline(time.Now().Add(ss.server.o.CloseGrace))
	}
}

func (ss *session) writeLoop() {
	defer close(ss.written)
	var frames []*streams.Frame
	for {
		var err error
		frames, err = ss.client.Next(frames[:0], batchBytes)
		var end *streams.CloseError
		if errors.As(err, &end) {
			ss.sendClose(end)
			return
		}
		// Set, then look: a close in between sets its own deadline after ours.
		_ = ss.raw.Conn.SetWriteDeadline(time.Now().Add(ss.server.o.WriteTimeout))
		if ss.client.Closed() != nil {
			continue
		}
		if err := ss.write(frames); err != nil {
			// The connection is of no use any more; its end wakes the reader.
			ss.client.Close(streams.CloseNormal, "connection lost")
			_ = ss.raw.Close()
			return
		}
		clear(frames)
		if cap(frames) > keepFrames {
			frames = nil
		}
	}
}

// write sends frames with as few system calls as they take.
func (ss *session) write(frames []*streams.Frame) error {
	if len(frames) == 1 && frames[0].Kind != streams.FrameHeartbeat {
		return ss.writeAll(frames)
	}
	ss.raw.cork()
	err := ss.writeAll(frames)
	if e := ss.raw.uncork(); err == nil {
		err = e
	}
	return err
}

func (ss *session) writeAll(frames []*streams.Frame) error {
	size := 0
	for _, f := range frames {
		if f.Kind == streams.FrameHeartbeat {
			ss.ping()
		}
		if err := ss.writeFrame(f); err != nil {
			return err
		}
		size += len(f.JSON)
	}
	ss.server.meter.Sent(len(frames), size)
	return nil
}

func (ss *session) writeFrame(f *streams.Frame) error {
	if !f.Shared() {
		return ss.conn.WriteMessage(websocket.TextMessage, f.JSON)
	}
	pm, err := f.Prepared()
	if err != nil {
		return err
	}
	return ss.conn.WritePreparedMessage(pm)
}

// ping rides on the heartbeats, so that liveness costs no timer per client.
func (ss *session) ping() {
	now := time.Now().UnixNano()
	if sent := ss.pingSent.Load(); sent != 0 {
		if float64(now-sent) > pongBeats*float64(ss.server.o.Hub.Heartbeat()) {
			ss.client.Close(streams.CloseIdle, "no pong came back")
		}
		return
	}
	ss.pingSent.Store(now)
	_ = ss.conn.WriteControl(websocket.PingMessage, nil, time.Time{}) // a failure shows at the next frame
}

func (ss *session) sendClose(e *streams.CloseError) {
	grace := ss.server.o.CloseGrace
	if e.Code != streams.CloseNormal {
		_ = ss.raw.Conn.SetWriteDeadline(time.Now().Add(grace))
		_ = ss.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(int(e.Code), reason(e.Reason)), time.Time{})
	}
	// The reader goes on until the client answers, so that the code is not lost
	// in a reset, but not for long.
	_ = ss.raw.SetReadDeadline(time.Now().Add(grace))
}

func (ss *session) readLoop() {
	defer func() {
		ss.client.Close(streams.CloseNormal, "left")
		<-ss.written
		_ = ss.raw.Close()
		ss.client.Detach()
	}()
	limit := limiter{perSecond: float64(ss.server.o.MessagesPerSecond)}
	for {
		// Waiting here and not deeper keeps the stack of an idle connection small.
		kind, r, err := ss.conn.NextReader()
		if err == nil {
			err = ss.receive(kind, r)
		}
		if d := limit.wait(time.Now()); d > 0 && err == nil {
			ss.pause(d)
		}
		if err == nil {
			continue
		}
		var bad *closing
		if !errors.As(err, &bad) {
			ss.broken(err)
			return
		}
		ss.client.Close(bad.code, bad.reason)
		ss.drain()
		return
	}
}

// closing is an error for which the session ends with a code.
type closing struct {
	code   streams.CloseCode
	reason string
}

func (c *closing) Error() string { return fmt.Sprintf("%d %s", c.code, c.reason) }

func (ss *session) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ss.ctx.Done():
	}
}

// drain reads on until the client has gone or the writer's deadline comes.
func (ss *session) drain() {
	for {
		if _, _, err := ss.conn.NextReader(); err != nil {
			return
		}
	}
}

// broken notes why reading ended. After a protocol error gorilla has sent its
// own close, 1002; closing over unread input would reset the connection and
// take that close away, so it waits for the client's end a moment.
func (ss *session) broken(err error) {
	var left *websocket.CloseError
	if errors.As(err, &left) || ss.client.Closed() != nil {
		return
	}
	ss.server.o.Logger.Debug("stream connection broken", slog.String("remote", ss.conn.RemoteAddr().String()), slog.Any("error", err))
	ss.client.Close(streams.CloseNormal, "broken")
	<-ss.written
	if c, ok := ss.raw.Conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		_ = ss.raw.SetReadDeadline(time.Now().Add(ss.server.o.CloseGrace))
		_, _ = io.Copy(io.Discard, ss.raw.Conn)
	}
}

// receive reads one message and does what it asks.
func (ss *session) receive(kind int, r io.Reader) error {
	if ss.client.Closed() != nil {
		return nil // read on, to the close
	}
	if kind != websocket.TextMessage {
		return &closing{streams.CloseMalformed, "expected a text message"}
	}
	buf := readBuffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= keepReadBuf {
			buf.Reset()
			readBuffers.Put(buf)
		}
	}()
	limit := int64(ss.server.o.ReadLimit)
	if n, err := buf.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return err
	} else if n > limit {
		return &closing{streams.CloseTooLarge, fmt.Sprintf("a message has at most %d bytes", limit)}
	}
	m, err := parseMessage(buf.Bytes())
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
		ss.client.Send(encodePong(m.T))
		return nil
	case "auth":
		return ss.authenticate(m.Token)
	case "unsubscribe":
		return ss.client.Unsubscribe(m.ID, encodeUnsubscribed(m.ID))
	}
	f, err := parseFilter(m.Filter)
	if err != nil {
		return err
	}
	return ss.client.Subscribe(ss.ctx, streams.Subscription{ID: m.ID, Filter: f, Ack: func(a streams.Accepted) []byte { return encodeSubscribed(m.ID, a.View) }})
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
