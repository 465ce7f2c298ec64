package mqttclient

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"cityhub/twin"
)

// Limits of a Conn.
const (
	MaxWindow  = 16384   // QoS 1 messages in flight; their PUBACKs fit any socket buffer
	MaxPacket  = 1 << 20 // bytes of one PUBLISH
	MaxTopic   = 65535   // bytes, MQTT 3.1.1 section 1.5.3
	writeBytes = 64 << 10
	readBytes  = 4 << 10
)

// Options of a Conn. Address and ClientID are required.
type Options struct {
	// Address is host:port, or a URL with the scheme tcp, mqtt, mqtts or ssl;
	// the port is 1883 (8883 for mqtts and ssl) when it is missing.
	Address  string
	ClientID string
	Username string // empty: no credentials are sent
	Password string

	KeepAlive time.Duration // zero means 60 s; at most 65535 s
	Window    int           // QoS 1 messages in flight; zero means 20
	Timeout   time.Duration // of connecting, of a write and of a missing answer; zero means 10 s
	TLS       *tls.Config   // for mqtts and ssl; nil means the system's roots

	// Epoch is the zero of the nanoseconds that Now and Acked give; the zero
	// Time means the moment of Dial. Connections that share one compare.
	Epoch time.Time

	// Acked is called for every PUBACK with the Ref and Stamp of the message
	// and the time at which the PUBACK was read, in ns since Epoch. It runs
	// inside Publish, Poll and Drain and must not call the Conn. Nil is allowed.
	Acked func(ref uint64, stampNs, nowNs int64)
}

// Message is one PUBLISH. The Conn keeps nothing of it but Ref and Stamp.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte // 0 or 1
	Dup     bool
	Ref     uint64 // the caller's mark, given back by Acked
	Stamp   int64  // ns since Epoch, given back by Acked; zero means the time of Publish
}

// Conn is one MQTT 3.1.1 connection that only publishes. It starts no
// goroutine of its own and belongs to one goroutine at a time.
type Conn struct {
	nc      net.Conn
	stop    func() bool
	ctx     context.Context
	timeout time.Duration
	keep    time.Duration
	epoch   time.Time
	acked   func(uint64, int64, int64)
	err     error // the first failure; the Conn is of no more use

	out []byte
	in  []byte
	r   int // unread bytes of in are in[r:w]
	w   int

	now       int64 // ns since epoch when the clock was last read
	lastWrite int64
	pingSent  int64 // zero: no ping is open
	readDue   int64 // the read deadline set on nc; zero: none
	writeDue  int64

	// Packet identifiers run round a queue, so that one is used again only
	// after all the others: easier to follow in a trace.
	slots    []slot // by identifier - 1
	free     []uint16
	freeHead int
	freeLen  int
}

type slot struct {
	ref   uint64
	stamp int64
	used  bool
}

// Dial connects, sends CONNECT with a clean session and waits for CONNACK.
// When ctx ends, the connection is closed at once and every call fails with
// the cause. Errors are *twin.Error: CodeInvalid for options, CodeUnauthorized
// when the broker refuses the credentials, CodeUnavailable otherwise.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	address, secure, err := ParseAddress(o.Address)
	if err != nil {
		return nil, err
	}
	dialCtx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	d := net.Dialer{}
	nc, err := d.DialContext(dialCtx, "tcp", address)
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "connect to MQTT broker", Message: "no connection to " + address, Hint: "is the broker running, and is the address right?", Err: err}
	}
	if secure {
		conf := o.TLS.Clone()
		if conf == nil {
			conf = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if conf.ServerName == "" {
			conf.ServerName, _, _ = net.SplitHostPort(address)
		}
		tc := tls.Client(nc, conf)
		if err := tc.HandshakeContext(dialCtx); err != nil {
			_ = nc.Close()
			return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "connect to MQTT broker", Message: "TLS handshake with " + address + " failed", Err: err}
		}
		nc = tc
	}
	c := newConn(ctx, nc, o)
	if err := c.connect(o); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

func (o *Options) defaults() error {
	if o.KeepAlive == 0 {
		o.KeepAlive = time.Minute
	}
	if o.Window == 0 {
		o.Window = 20
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Now()
	}
	bad := func(field, message string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "connect to MQTT broker", Field: field, Message: message}
	}
	switch {
	case o.Window < 1 || o.Window > MaxWindow:
		return bad("window", fmt.Sprintf("%d is not between 1 and %d", o.Window, MaxWindow))
	case o.KeepAlive < time.Second || o.KeepAlive > 65535*time.Second:
		return bad("keepAlive", fmt.Sprintf("%s is not between 1 s and 65535 s", o.KeepAlive))
	case o.Timeout < 0:
		return bad("timeout", fmt.Sprintf("%s is negative", o.Timeout))
	case o.ClientID == "" || len(o.ClientID) > 65535:
		return bad("clientId", "must have 1 to 65535 bytes")
	case len(o.Username) > 65535 || len(o.Password) > 65535:
		return bad("username", "user name and password must not exceed 65535 bytes")
	case o.Username == "" && o.Password != "":
		return bad("password", "a password needs a user name")
	}
	return nil
}

// ParseAddress reads a broker's address as Options.Address allows it, and
// gives host:port and whether TLS is asked for.
func ParseAddress(s string) (address string, secure bool, err error) {
	rest, port := s, "1883"
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		rest = strings.TrimSuffix(after, "/")
		switch scheme {
		case "tcp", "mqtt":
		case "mqtts", "ssl", "tls":
			secure, port = true, "8883"
		default:
			return "", false, &twin.Error{Code: twin.CodeInvalid, Op: "parse broker address", Field: "broker", Message: fmt.Sprintf("scheme %q is not known", scheme), Hint: "use host:port, mqtt://host:port or mqtts://host:port"}
		}
	}
	if _, _, err := net.SplitHostPort(rest); err != nil {
		rest = net.JoinHostPort(strings.Trim(rest, "[]"), port)
	}
	host, p, err := net.SplitHostPort(rest)
	if err != nil || host == "" || p == "" || strings.ContainsAny(host, "/ @") {
		return "", false, &twin.Error{Code: twin.CodeInvalid, Op: "parse broker address", Field: "broker", Message: fmt.Sprintf("%q is not a broker address", s), Hint: "use host:port, e.g. 127.0.0.1:1883"}
	}
	return rest, secure, nil
}

func newConn(ctx context.Context, nc net.Conn, o Options) *Conn {
	c := &Conn{
		nc: nc, ctx: ctx, timeout: o.Timeout, keep: o.KeepAlive, epoch: o.Epoch, acked: o.Acked,
		out: make([]byte, 0, writeBytes), in: make([]byte, readBytes),
		slots: make([]slot, o.Window), free: make([]uint16, o.Window), freeLen: o.Window,
	}
	for i := range c.free {
		c.free[i] = uint16(i + 1)
	}
	c.stop = context.AfterFunc(ctx, func() { _ = nc.Close() })
	c.tick()
	return c
}

func (c *Conn) connect(o Options) error {
	var flags byte = 1 << 1 // clean session
	n := 10 + 2 + len(o.ClientID)
	if o.Username != "" {
		flags |= 1 << 7
		n += 2 + len(o.Username)
		if o.Password != "" {
			flags |= 1 << 6
			n += 2 + len(o.Password)
		}
	}
	b := append(c.out, 0x10)
	b = appendLength(b, n)
	b = appendString(b, "MQTT")
	b = append(b, 4, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(o.KeepAlive/time.Second))
	b = appendString(b, o.ClientID)
	if o.Username != "" {
		b = appendString(b, o.Username)
		if o.Password != "" {
			b = appendString(b, o.Password)
		}
	}
	c.out = b
	if err := c.Flush(); err != nil {
		return err
	}
	deadline := c.now + int64(c.timeout)
	for c.w-c.r < 4 {
		if ok, err := c.fill(deadline); err != nil {
			return err
		} else if !ok {
			return c.fail(c.unavailable("the broker sent no CONNACK within "+c.timeout.String(), nil))
		}
	}
	p := c.in[c.r : c.r+4]
	if p[0] != 0x20 || p[1] != 2 {
		return c.fail(c.unavailable(fmt.Sprintf("the answer to CONNECT is no CONNACK: % x", p), nil))
	}
	c.r += 4
	switch code := p[3]; code {
	case 0:
		return nil
	case 4, 5:
		return c.fail(&twin.Error{Code: twin.CodeUnauthorized, Op: "connect to MQTT broker", Message: fmt.Sprintf("the broker refuses the credentials (return code %d)", code), Hint: "check user name and password"})
	default:
		return c.fail(c.unavailable(fmt.Sprintf("the broker refuses the connection (return code %d)", code), nil))
	}
}

// Now is the time of the last look at the clock, in ns since Epoch. Poll,
// Flush and a Publish that waits look at it.
func (c *Conn) Now() int64 { return c.now }

// Room is the number of QoS 1 messages that Publish takes without waiting.
func (c *Conn) Room() int { return c.freeLen }

// InFlight is the number of QoS 1 messages without a PUBACK.
func (c *Conn) InFlight() int { return len(c.slots) - c.freeLen }

// Publish puts m into the write buffer. It writes when the buffer is full,
// and waits for a PUBACK when the window is. It allocates nothing.
func (c *Conn) Publish(m *Message) error {
	if c.err != nil {
		return c.err
	}
	n := 2 + len(m.Topic) + len(m.Payload)
	if m.QoS != 0 {
		n += 2
	}
	if len(m.Topic) == 0 || len(m.Topic) > MaxTopic || n+5 > MaxPacket || m.QoS > 1 {
		return badMessage(m, n)
	}
	for m.QoS == 1 && c.freeLen == 0 {
		if err := c.wait(); err != nil {
			return err
		}
	}
	if len(c.out)+n+5 > cap(c.out) && len(c.out) > 0 {
		if err := c.Flush(); err != nil {
			return err
		}
	}
	head := byte(0x30) | m.QoS<<1
	if m.Dup && m.QoS == 1 {
		head |= 1 << 3
	}
	b := append(c.out, head)
	b = appendLength(b, n)
	b = appendString(b, m.Topic)
	if m.QoS == 1 {
		id := c.free[c.freeHead]
		if c.freeHead++; c.freeHead == len(c.free) {
			c.freeHead = 0
		}
		c.freeLen--
		stamp := m.Stamp
		if stamp == 0 {
			stamp = c.now
		}
		c.slots[id-1] = slot{ref: m.Ref, stamp: stamp, used: true}
		b = append(b, byte(id>>8), byte(id))
	}
	c.out = append(b, m.Payload...)
	return nil
}

func badMessage(m *Message, n int) error {
	e := &twin.Error{Code: twin.CodeInvalid, Op: "publish"}
	switch {
	case m.QoS > 1:
		e.Field, e.Message = "qos", fmt.Sprintf("%d is not 0 or 1", m.QoS)
	case n+5 > MaxPacket:
		e.Code, e.Field, e.Message = twin.CodeTooLarge, "payload", fmt.Sprintf("the packet has %d bytes, %d are allowed", n+5, MaxPacket)
	default:
		e.Field, e.Message = "topic", fmt.Sprintf("has %d bytes, 1 to %d are allowed", len(m.Topic), MaxTopic)
	}
	return e
}

// wait writes what is buffered and returns after at least one PUBACK arrived.
func (c *Conn) wait() error {
	if err := c.Flush(); err != nil {
		return err
	}
	before, until := c.freeLen, c.now+int64(c.timeout)
	for c.freeLen == before {
		if got, err := c.poll(until); err != nil {
			return err
		} else if !got {
			return c.fail(c.unavailable(fmt.Sprintf("no PUBACK for %s with %d messages in flight", c.timeout, c.InFlight()), nil))
		}
	}
	return nil
}

// Flush writes what is buffered.
func (c *Conn) Flush() error {
	if c.err != nil {
		return c.err
	}
	if len(c.out) == 0 {
		return nil
	}
	c.tick()
	// Moving a deadline costs as much as encoding ten messages: it is moved
	// only after half of it has passed.
	if c.writeDue-c.now < int64(c.timeout)/2 {
		c.writeDue = c.now + int64(c.timeout)
		if err := c.nc.SetWriteDeadline(c.epoch.Add(time.Duration(c.writeDue))); err != nil {
			return c.fail(c.unavailable("connection lost", err))
		}
	}
	if _, err := c.nc.Write(c.out); err != nil {
		return c.fail(c.unavailable("connection lost while writing", err))
	}
	c.out = c.out[:0]
	c.lastWrite = c.now
	return nil
}

// Poll writes what is buffered and waits until a packet of the broker has
// been handled or the clock reaches untilNs (ns since Epoch), whichever is
// first. It keeps the connection alive. A time that has passed only writes.
func (c *Conn) Poll(untilNs int64) error {
	if err := c.Flush(); err != nil {
		return err
	}
	_, err := c.poll(untilNs)
	return err
}

// Drain writes what is buffered and waits until nothing is in flight. It
// fails when no PUBACK came for the Timeout.
func (c *Conn) Drain() error {
	if err := c.Flush(); err != nil {
		return err
	}
	for c.InFlight() > 0 {
		if err := c.wait(); err != nil {
			return err
		}
	}
	return nil
}

// Close writes what is buffered and DISCONNECT, and closes the connection.
// It may be called more than once and does not wait for PUBACKs.
func (c *Conn) Close() error {
	if c.err != nil {
		c.abort()
		return nil
	}
	c.out = append(c.out, 0xe0, 0)
	err := c.Flush()
	c.abort()
	if err == nil {
		c.err = &twin.Error{Code: twin.CodeUnavailable, Op: "publish", Message: "the connection is closed"}
	}
	return err
}

func (c *Conn) abort() {
	c.stop()
	_ = c.nc.Close()
}

func (c *Conn) tick() { c.now = int64(time.Since(c.epoch)) }

// poll reads until at least one packet was handled or untilNs is reached.
func (c *Conn) poll(untilNs int64) (got bool, err error) {
	if c.err != nil {
		return false, c.err
	}
	for {
		if got, err = c.parse(); got || err != nil {
			return got, err
		}
		c.tick()
		if c.now >= untilNs {
			return false, nil
		}
		ping := c.lastWrite + int64(c.keep)/2
		due := min(untilNs, ping)
		if c.pingSent != 0 {
			due = min(untilNs, c.pingSent+int64(c.timeout))
			if c.now >= due && due < untilNs {
				return false, c.fail(c.unavailable("the broker does not answer to PINGREQ", nil))
			}
		} else if c.now >= ping {
			c.out = append(c.out, 0xc0, 0)
			if err := c.Flush(); err != nil {
				return false, err
			}
			c.pingSent = c.now
			continue
		}
		if _, err := c.fill(due); err != nil {
			return false, err
		}
	}
}

// fill reads once; false when the deadline came first.
func (c *Conn) fill(due int64) (bool, error) {
	if c.r > 0 {
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	// A deadline that comes too early costs one turn of the caller's loop,
	// moving it for every read costs much more: keep it while it lies ahead.
	if c.readDue <= c.now || c.readDue > due {
		c.readDue = due
		if err := c.nc.SetReadDeadline(c.epoch.Add(time.Duration(due))); err != nil {
			return false, c.fail(c.unavailable("connection lost", err))
		}
	}
	n, err := c.nc.Read(c.in[c.w:])
	c.w += n
	c.tick()
	switch {
	case n > 0 || err == nil:
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	case errors.Is(err, io.EOF):
		return false, c.fail(c.unavailable("the broker closed the connection", nil))
	}
	return false, c.fail(c.unavailable("connection lost while reading", err))
}

// parse handles every whole packet that was read.
func (c *Conn) parse() (got bool, err error) {
	for c.w-c.r >= 2 {
		switch p := c.in[c.r:c.w]; {
		case p[0] == 0x40 && p[1] == 2: // PUBACK
			if len(p) < 4 {
				return got, nil
			}
			id := int(p[2])<<8 | int(p[3])
			if id == 0 || id > len(c.slots) || !c.slots[id-1].used {
				return got, c.fail(c.unavailable(fmt.Sprintf("PUBACK for packet %d, which is not in flight", id), nil))
			}
			s := &c.slots[id-1]
			s.used = false
			tail := c.freeHead + c.freeLen
			if tail >= len(c.free) {
				tail -= len(c.free)
			}
			c.free[tail] = uint16(id)
			c.freeLen++
			c.r += 4
			if c.acked != nil {
				c.acked(s.ref, s.stamp, c.now)
			}
		case p[0] == 0xd0 && p[1] == 0: // PINGRESP
			c.pingSent = 0
			c.r += 2
		default:
			return got, c.fail(c.unavailable(fmt.Sprintf("unexpected packet from the broker: % x", p[:2]), nil))
		}
		got = true
	}
	return got, nil
}

func (c *Conn) unavailable(message string, err error) error {
	return &twin.Error{Code: twin.CodeUnavailable, Op: "MQTT connection", Message: message, Err: err}
}

// fail keeps the first failure. A connection that ended because its context
// did says so.
func (c *Conn) fail(err error) error {
	if c.err == nil {
		if cause := context.Cause(c.ctx); cause != nil {
			err = cause
		}
		c.err = err
		c.abort()
	}
	return c.err
}

func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func appendString(b []byte, s string) []byte {
	b = append(b, byte(len(s)>>8), byte(len(s)))
	return append(b, s...)
}
