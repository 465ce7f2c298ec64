package ws

import (
	"errors"
	"net"
	"os"
	"time"

	"cityhub/streams"
)

// wake puts the session in line to send what is queued. It never blocks.
func (ss *session) wake() {
	if ss.wakes.Add(1) == 1 {
		ss.server.writers.ready(ss)
	}
}

// turn sends one batch. A session has one turn at a time, and none while slowly
// is at work for it.
func (ss *session) turn(w *writer) {
	seen := ss.wakes.Load()
	frames, err := ss.client.Take(w.frames[:0], batchBytes)
	var end *streams.CloseError
	if errors.As(err, &end) {
		ss.sendClose(w, end) // no turn comes after it
		return
	}
	rest := ss.send(w, frames)
	full := len(frames) > 0
	clear(frames)
	if w.frames = frames[:0]; cap(frames) > keepFrames {
		w.frames = nil
	}
	switch {
	case rest != nil:
		go ss.slowly(rest)
	case full || !ss.wakes.CompareAndSwap(seen, 0):
		ss.server.writers.ready(ss) // behind the others
	}
}

// send writes frames with as few system calls as they take, and gives what the
// socket does not take at once.
func (ss *session) send(w *writer, frames []*streams.Frame) (rest [][]byte) {
	b := w.buf[:0]
	put := func(p []byte) {
		if rest != nil {
			rest = append(rest, p)
			return
		}
		n := 0
		var err error
		if ss.rc != nil {
			n, err = w.try.write(ss.rc, p)
		}
		if err != nil {
			ss.lost()
			n = len(p)
		}
		if n < len(p) {
			rest = append(rest, p[n:])
		}
	}
	// What stays of the buffer must not be written over by the next session.
	flush := func() {
		if len(b) == 0 {
			return
		}
		had := len(rest)
		if put(b); len(rest) > had {
			rest[had] = append([]byte(nil), rest[had]...)
		}
		b = b[:0]
	}
	size := 0
	ss.mu.Lock()
	if ss.ponging {
		b = appendFrame(b, opPong, ss.pong)
		ss.ponging = false
	}
	ss.mu.Unlock()
	for _, f := range frames {
		if f.Kind == streams.FrameHeartbeat && ss.ping() {
			b = appendFrame(b, opPing, nil)
		}
		p, err := ss.wireOf(f)
		if err != nil {
			ss.server.o.Logger.Error("a message cannot be encoded", "error", err)
			ss.lost()
			break
		}
		size += len(p)
		if len(b)+len(p) > corkBytes {
			flush()
		}
		if len(frames) == 1 && len(b) == 0 || len(p) > corkBytes {
			put(p)
			continue
		}
		b = append(b, p...)
	}
	flush()
	if len(frames) > 0 {
		ss.server.meter.Sent(len(frames), size)
	}
	return rest
}

func (ss *session) wireOf(f *streams.Frame) ([]byte, error) { return wire(f, ss.form) }

// lost ends a connection that is of no use any more; its end wakes the reader.
func (ss *session) lost() {
	ss.client.Close(streams.CloseNormal, "connection lost")
	_ = ss.conn.Close()
}

// ping rides on the heartbeats, so that liveness costs no timer per client.
func (ss *session) ping() bool {
	now := time.Now().UnixNano()
	if sent := ss.pingSent.Load(); sent != 0 {
		if float64(now-sent) > pongBeats*float64(ss.server.o.Hub.Heartbeat()) {
			ss.client.Close(streams.CloseIdle, "no pong came back")
		}
		return false
	}
	ss.pingSent.Store(now)
	return true
}

// slowly sends what a full socket did not take, and then stands in line again.
// A client that takes nothing within WriteTimeout is given up; one that takes
// something has that time again.
func (ss *session) slowly(rest [][]byte) {
	for _, p := range rest {
		if err := ss.wait(p); err != nil {
			ss.lost()
			break
		}
	}
	ss.deadline(time.Time{})
	ss.server.writers.ready(ss)
}

func (ss *session) wait(p []byte) error {
	_, resumable := ss.conn.(*net.TCPConn) // TLS cannot go on after a timeout
	for {
		ss.deadline(time.Now().Add(ss.server.o.WriteTimeout))
		n, err := ss.conn.Write(p)
		p = p[n:]
		if err == nil {
			return nil
		}
		if n == 0 || !resumable || !errors.Is(err, os.ErrDeadlineExceeded) || ss.client.Closed() != nil {
			return err
		}
	}
}

// deadline sets the deadline of writes, unless the end has set its own.
func (ss *session) deadline(t time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.ending {
		_ = ss.conn.SetWriteDeadline(t)
	}
}

// sendClose sends the last frame: the hub's reason, or the answer to the
// client's own close (RFC 6455 §5.5.1).
func (ss *session) sendClose(w *writer, e *streams.CloseError) {
	code, why := int(e.Code), e.Reason
	if echo := ss.echo.Load(); echo > 0 {
		code, why = int(echo)-1, ""
	} else if e.Code == streams.CloseNormal {
		ss.wrote()
		return
	}
	p := appendClose(w.buf[:0], code, why)
	n := 0
	if ss.rc != nil {
		n, _ = w.try.write(ss.rc, p)
	}
	if n == len(p) {
		ss.wrote()
		return
	}
	p = append([]byte(nil), p[n:]...)
	patience := ss.server.o.CloseGrace
	if e.Code == streams.CloseSlow { // who is slow learns so when it takes what it has
		patience = ss.server.o.WriteTimeout
	}
	go func() {
		_ = ss.conn.SetWriteDeadline(time.Now().Add(patience))
		_, _ = ss.conn.Write(p)
		ss.wrote()
	}()
}

// wrote tells the reader that nothing will be written any more. It goes on
// until the client answers, so that the code is not lost in a reset, but not
// for long.
func (ss *session) wrote() {
	_ = ss.conn.SetReadDeadline(time.Now().Add(ss.server.o.CloseGrace))
	close(ss.written)
}
