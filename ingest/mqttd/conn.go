package mqttd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"cityhub/ingest"
	"cityhub/twin"
)

// Reasons for which the server ends a connection, beside protocol errors.
var (
	errShutdown     = errors.New("the hub is stopping")
	errTakenOver    = errors.New("the client connected again")
	errDisconnect   = errors.New("the client disconnected")
	errDeafClient   = errors.New("the client does not read its acknowledgements")
	errSilent       = errors.New("nothing heard within one and a half keep-alive intervals")
	errConnectLate  = errors.New("no CONNECT in time")
	errSlowPacket   = errors.New("a packet took too long to arrive")
	errNotAccepted  = errors.New("the connection was refused")
	errOversize     = errors.New("packet over the size limit")
	errNotAvailable = errors.New("the registry could not be asked")
)

const (
	minReadBuffer = 1 << 10
	maxReadBuffer = 64 << 10 // grown beyond only for one packet that is larger
	shrinkAfter   = 64       // reads in a row that a buffer a quarter as large would have done for

	// flushMessages and flushBytes bound what one connection hands over at
	// once, so that a group stays within its size.
	flushMessages = 4096
	flushBytes    = 1 << 20

	// maxOut bounds the bytes that wait for a client that does not read.
	maxOut = 256 << 10
)

// conn is one connection. Its goroutine is run; acknowledgements are written
// by write, which runs only while there is something to write.
type conn struct {
	s        *Server
	nc       net.Conn
	number   uint64
	clientID string
	idle     time.Duration // silence after which the client counts as gone
	terminal string        // that its credentials proved; empty: none
	session  *ingest.Session
	pub      publish
	waiting  int // messages since the last flush that Durable will report
	lastNs   int64
	large    oversize
	partial  time.Time // when the packet that is not whole yet began; zero: none

	v5 bool
	// What an MQTT 5 client asked for: messages unacknowledged, bytes of a packet.
	receiveMax, maxPacket int

	updates UpdateSession // nil before the first SUBSCRIBE

	mu      sync.Mutex
	ids     []uint16 // packet identifiers not yet acknowledged, oldest first, from idsHead on
	idsHead int
	out     []byte // bytes to write
	writing bool
	ended   error
	writers sync.WaitGroup
	subs    *subscriptions // nil before the first SUBSCRIBE
}

// oversize is a PUBLISH over the size limit while its bytes are read past. It
// is refused and acknowledged like any other refused message: closing the
// connection instead would have the client send it again for ever.
type oversize struct {
	left  int // bytes still to come; 0: there is no such packet
	size  int // of the payload
	qos   byte
	id    uint16
	topic []byte
	start []byte // of the payload
}

// end closes the connection for reason; the first reason counts.
func (c *conn) end(reason error) {
	c.mu.Lock()
	first := c.ended == nil
	if first {
		c.ended = reason
	}
	c.mu.Unlock()
	if first {
		_ = c.nc.Close()
	}
}

// run serves the connection until it ends.
func (c *conn) run(ctx context.Context) {
	err := c.serve(ctx)
	c.farewell(err)
	c.end(err)
	if c.updates != nil {
		c.updates.Close()
	}
	c.writers.Wait()
	c.s.forget(c)
	c.report()
}

// report logs why the connection ended, as loud as the reason deserves.
func (c *conn) report() {
	c.s.m.closed.Add(1)
	level, msg := slog.LevelDebug, "connection closed"
	var p protocolError
	switch err := c.ended; {
	case errors.As(err, &p), errors.Is(err, errOversize):
		c.s.m.protocolErrors.Add(1)
		level, msg = slog.LevelWarn, "connection closed: the client broke the protocol"
	case errors.Is(err, errSilent), errors.Is(err, errConnectLate), errors.Is(err, errSlowPacket), errors.Is(err, errDeafClient), errors.Is(err, errSlowSubscriber):
		c.s.m.timeouts.Add(1)
		level, msg = slog.LevelWarn, "connection closed: the client was too slow or silent"
	case errors.Is(err, errNotAccepted), errors.Is(err, errTakenOver), errors.Is(err, errNotAvailable), errors.Is(err, errRevoked):
		level = slog.LevelWarn
	}
	c.s.lines.write(level, msg, "remote", c.nc.RemoteAddr().String(), "client", c.clientID, "reason", c.ended.Error())
}

// serve reads and handles packets.
func (c *conn) serve(ctx context.Context) error {
	if err := c.nc.SetReadDeadline(c.s.o.Clock().Add(c.s.o.ConnectTimeout)); err != nil {
		return err
	}
	buf := make([]byte, minReadBuffer)
	filled, small := 0, 0
	for {
		n, err := c.nc.Read(buf[filled:])
		filled += n
		now := c.s.o.Clock()
		used, need, herr := c.handle(ctx, buf[:filled], now)
		if herr == nil && c.session != nil {
			herr = c.flush(ctx)
		}
		if herr != nil {
			return herr
		}
		if err != nil {
			return c.readError(err)
		}
		peak := filled
		copy(buf, buf[used:filled])
		filled -= used

		// Where the next read goes: large while the client sends much, small
		// while it is quiet, as large as the packet that has begun.
		want := len(buf)
		switch {
		case peak == len(buf) && want < maxReadBuffer:
			want *= 4
			small = 0
		case peak <= len(buf)/4 && want > minReadBuffer:
			if small++; small >= shrinkAfter {
				want /= 4
				small = 0
			}
		default:
			small = 0
		}
		want = max(want, need)
		if want != len(buf) && filled <= want {
			next := make([]byte, want)
			copy(next, buf[:filled])
			buf = next
		}

		if c.session == nil {
			continue // the deadline of the CONNECT stands
		}
		// The flush may have waited long: the client's silence counts from here.
		now = c.s.o.Clock()
		deadline := now.Add(c.idle)
		if !c.partial.IsZero() {
			if late := c.partial.Add(c.s.o.PacketTimeout); late.Before(deadline) {
				deadline = late
			}
		}
		if err := c.nc.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
}

// readError says why a read failed.
func (c *conn) readError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		switch {
		case c.session == nil:
			return errConnectLate
		case !c.partial.IsZero():
			return errSlowPacket
		}
		return errSilent
	case errors.Is(err, io.EOF):
		return errDisconnect
	}
	return err
}

// handle takes every whole packet in b and tells how many bytes they took, and
// how large the buffer has to be for the packet that is not whole yet.
func (c *conn) handle(ctx context.Context, b []byte, now time.Time) (used, need int, err error) {
	nowNs := now.UnixNano()
	for {
		if c.large.left > 0 {
			n := min(c.large.left, len(b)-used)
			used += n
			if c.large.left -= n; c.large.left > 0 {
				return used, 0, nil
			}
			c.partial = time.Time{}
			if err := c.refuseLarge(ctx, nowNs); err != nil {
				return used, 0, err
			}
		}
		if c.session == nil && used < len(b) && b[used]>>4 != typeConnect {
			// Not worth waiting for the rest of it: this is no MQTT client.
			return used, 0, malformed("the first packet is not a CONNECT but of type %d", b[used]>>4)
		}
		first, body, size, err := header(b[used:])
		if err != nil {
			return used, 0, err
		}
		if size > c.s.o.MaxPacketBytes {
			if need, err = c.beginLarge(first, b[used+body:], size-body); err != nil {
				return used, 0, err
			}
			if need == 0 {
				used += body // the rest is read past
				c.partial = now
				continue
			}
			size = body + need
		}
		if size == 0 || size > len(b)-used {
			if len(b) == used {
				c.partial = time.Time{}
			} else if c.partial.IsZero() || used > 0 {
				c.partial = now
			}
			return used, size, nil
		}
		packet := b[used+body : used+size]
		if first>>4 == typePublish && c.session != nil {
			err = c.publish(ctx, first, packet, nowNs)
		} else {
			err = c.control(ctx, first, packet)
		}
		if err != nil {
			return used, 0, err
		}
		used += size
	}
}

// beginLarge looks at the start of a packet over the size limit. need is how
// much of its body has to be there to tell its topic; 0: it was there.
func (c *conn) beginLarge(first byte, b []byte, size int) (need int, err error) {
	if first>>4 != typePublish || c.session == nil {
		return 0, fmt.Errorf("%w: type %d with %d bytes, at most %d", errOversize, first>>4, size, c.s.o.MaxPacketBytes)
	}
	if len(b) < 2 {
		return 2, nil
	}
	head := 2 + int(binary.BigEndian.Uint16(b)) + 2
	if head > size {
		return 0, malformed("PUBLISH topic of %d bytes in a packet of %d", head-4, size)
	}
	if len(b) < head {
		return head, nil
	}
	if c.v5 {
		n, width := varint(b[head-2+2*int(first>>1&1):])
		if width == 0 && len(b) < head+4 && head+4 <= size {
			return head + 4, nil
		}
		// Properties larger than a packet may be are not read for one.
		if head += width + n; width == 0 || head > size || n > c.s.o.MaxPacketBytes/2 {
			return 0, malformed("PUBLISH with bad properties")
		}
		if len(b) < head {
			return head, nil
		}
	}
	var p publish
	if err := parsePublish(first, b, &p, c.v5); err != nil {
		return 0, err
	}
	if err := checkTopic(p.topic); err != nil {
		return 0, err
	}
	payload := size - (len(b) - len(p.payload))
	c.large = oversize{left: size, size: payload, qos: p.qos, id: p.id,
		topic: bytes.Clone(p.topic), start: bytes.Clone(p.payload[:min(len(p.payload), twin.MaxRejectPayload)])}
	return 0, nil
}

// refuseLarge stages the refusal of the oversize message that has passed.
func (c *conn) refuseLarge(ctx context.Context, nowNs int64) error {
	l := c.large
	c.large = oversize{}
	c.lastNs = max(nowNs, c.lastNs+1)
	c.session.TooLarge(l.topic, l.start, l.size, c.s.o.MaxPacketBytes, c.lastNs)
	return c.taken(ctx, l.qos, l.id)
}

// publish takes one PUBLISH.
func (c *conn) publish(ctx context.Context, first byte, packet []byte, nowNs int64) error {
	p := &c.pub
	if err := parsePublish(first, packet, p, c.v5); err != nil {
		return err
	}
	// Every message has a time of receipt of its own; see Session.Publish.
	c.lastNs = max(nowNs, c.lastNs+1)
	if !c.session.Known(p.topic) {
		if err := checkTopic(p.topic); err != nil {
			return err
		}
	}
	if err := c.session.Publish(ctx, p.topic, p.payload, c.lastNs); err != nil {
		c.s.lines.write(slog.LevelError, "a message could not be taken; its client will send it again", "client", c.clientID, "topic", string(p.topic), "error", err)
		return errNotAvailable
	}
	return c.taken(ctx, p.qos, p.id)
}

// taken notes that a message was staged and hands over what is staged when
// that is much.
func (c *conn) taken(ctx context.Context, qos byte, id uint16) error {
	if qos == 1 {
		c.waiting++
		c.mu.Lock()
		c.ids = append(c.ids, id)
		c.mu.Unlock()
	}
	c.s.m.received[qos].Add(1)
	if c.waiting >= flushMessages || c.session.Staged() >= flushMessages || c.session.StagedBytes() >= flushBytes {
		return c.flush(ctx)
	}
	return nil
}

// flush hands what is staged to the pipeline; it waits while that is full.
func (c *conn) flush(ctx context.Context) error {
	n := c.waiting
	c.waiting = 0
	return c.session.Flush(ctx, n)
}

// Durable acknowledges the oldest n messages; the pipeline calls it.
func (c *conn) Durable(n int, _ twin.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.ids[c.idsHead : c.idsHead+n] {
		c.out = append(c.out, typePuback<<4, 2, byte(id>>8), byte(id))
	}
	if c.idsHead += n; c.idsHead == len(c.ids) {
		c.ids, c.idsHead = c.ids[:0], 0
	} else if c.idsHead >= 1024 {
		c.ids = c.ids[:copy(c.ids, c.ids[c.idsHead:])]
		c.idsHead = 0
	}
	c.s.m.acknowledged.Add(uint64(n))
	c.kick()
}

// send queues b for the client.
func (c *conn) send(b ...byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, b...)
	c.kick()
}

// kick starts the writer if there is none; c.mu is held.
func (c *conn) kick() {
	if len(c.out) > maxOut && c.ended == nil {
		c.ended = errDeafClient
		_ = c.nc.Close()
	}
	if c.writing || c.ended != nil {
		return
	}
	c.writing = true
	c.writers.Add(1)
	go c.write()
}

// write writes what is queued and ends when the queue is empty.
func (c *conn) write() {
	defer c.writers.Done()
	var buf []byte
	for {
		c.mu.Lock()
		if c.subs != nil {
			c.out = c.subs.take(c.out)
		}
		if len(c.out) == 0 || c.ended != nil {
			c.writing = false
			if c.out == nil && cap(buf) <= maxReadBuffer {
				c.out = buf[:0] // keep the larger memory for the next time
			}
			c.mu.Unlock()
			return
		}
		buf, c.out = c.out, buf[:0]
		c.mu.Unlock()
		err := c.nc.SetWriteDeadline(c.s.o.Clock().Add(c.s.o.WriteTimeout))
		if err == nil {
			_, err = c.nc.Write(buf)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errDeafClient
		}
		if err != nil {
			c.end(err)
		}
	}
}

// control handles every packet that is not a PUBLISH of a connected client.
func (c *conn) control(ctx context.Context, first byte, packet []byte) error {
	kind := first >> 4
	if c.session == nil {
		return c.connect(ctx, first, packet)
	}
	switch kind {
	case typePingreq:
		if first&0x0f != 0 || len(packet) != 0 {
			return malformed("bad PINGREQ")
		}
		c.send(typePingresp<<4, 0)
	case typeDisconnect:
		if first&0x0f != 0 || len(packet) != 0 && !c.v5 {
			return malformed("bad DISCONNECT")
		}
		// What came before it is still made durable; nobody waits for it.
		if err := c.flush(ctx); err != nil {
			return err
		}
		return errDisconnect
	case typeSubscribe:
		return c.subscribe(ctx, first, packet)
	case typeUnsubscribe:
		return c.unsubscribe(first, packet)
	case typePuback:
		return c.puback(first, packet)
	case typeConnect:
		return malformed("a second CONNECT")
	default:
		return malformed("packet of type %d, which no client of this endpoint sends", kind)
	}
	return nil
}

// connect answers a CONNECT and opens the session.
func (c *conn) connect(ctx context.Context, first byte, packet []byte) error {
	req, code, err := parseConnect(first, packet)
	c.v5 = req.v5 // before a refusal, which is written in the client's version
	if code != connAccepted {
		return c.refuse(code, err)
	}
	if err != nil {
		return err
	}
	c.clientID = req.clientID
	c.receiveMax, c.maxPacket = req.receiveMax, req.maxPacket
	if c.clientID == "" {
		c.clientID = fmt.Sprintf("auto-%d", c.number)
	}
	if req.hasUser && c.s.o.Authenticate != nil {
		if c.terminal, err = c.s.o.Authenticate(ctx, req.username, req.password); err != nil {
			code = connUnavailable
			if twin.ErrorCode(err) == twin.CodeUnauthorized {
				code = connBadCredentials
			}
			c.s.m.authFailures.Add(1)
			return c.refuse(code, fmt.Errorf("user %.64q: %w", req.username, err))
		}
	}
	c.idle = time.Duration(req.keepAlive) * time.Second * 3 / 2
	if c.idle == 0 {
		c.idle = c.s.o.IdleTimeout
	}
	c.session = c.s.o.Pipeline.NewSession(ingest.SessionOptions{Source: "mqtt", Client: c.clientID, Terminal: c.terminal, Waiter: c})
	c.s.claim(c)
	c.send(c.connack(req)...)
	return nil
}

// refuse answers a CONNECT with code and ends the connection for reason.
func (c *conn) refuse(code byte, reason error) error {
	_ = c.nc.SetWriteDeadline(c.s.o.Clock().Add(c.s.o.WriteTimeout))
	answer := []byte{typeConnack << 4, 2, 0, code}
	if c.v5 {
		answer = []byte{typeConnack << 4, 3, 0, reasonOf(code), 0}
	}
	_, _ = c.nc.Write(answer)
	return fmt.Errorf("%w with code %d: %w", errNotAccepted, code, reason)
}

// appendLength appends a remaining length (2.2.3).
func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
