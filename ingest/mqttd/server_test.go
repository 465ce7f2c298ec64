package mqttd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/ingest"
	"cityhub/ingest/ingesttest"
	"cityhub/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a server on a log in memory.
type harness struct {
	*Server
	addr string
	log  *ingesttest.Log
	text *syncBuffer // what the server logged
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func serve(t *testing.T, o Options) *harness {
	t.Helper()
	h := &harness{log: &ingesttest.Log{}, text: &syncBuffer{}}
	reg := ingesttest.Registry(t)
	p := ingest.New(ingest.Options{Registry: reg, Log: h.log, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond, MaxGroupReadings: 1000})
	o.Pipeline, o.Authenticate = p, reg.Authenticate
	o.Logger = slog.New(slog.NewTextHandler(h.text, nil))
	h.Server = New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	wg.Go(func() {
		if err := h.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return h
}

// client speaks raw bytes.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (h *harness) dial(t *testing.T) *client {
	t.Helper()
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, nc, bufio.NewReader(nc)}
}

func (c *client) write(b ...byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) expect(want ...byte) {
	c.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(got, want) {
		c.t.Fatalf("the server sent %x (%v), want %x", got, err, want)
	}
}

// closed expects the server to close the connection without another word.
func (c *client) closed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("the server sent %x, want the end", b)
	} else if errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatal("the server did not close the connection")
	}
}

func packet(first byte, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	return append(appendLength([]byte{first}, len(b)), b...)
}

func str(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func connectPacket(id string, keepAlive uint16, user, pass string) []byte {
	flags := byte(2)
	rest := str(id)
	if user != "" {
		flags |= 0xc0
		rest = append(append(rest, str(user)...), str(pass)...)
	}
	return packet(0x10, str("MQTT"), []byte{4, flags, byte(keepAlive >> 8), byte(keepAlive)}, rest)
}

func (c *client) connect(id string) {
	c.t.Helper()
	c.write(connectPacket(id, 60, "", "")...)
	c.expect(0x20, 2, 0, 0)
}

func publishPacket(topic, payload string, id uint16) []byte {
	if id == 0 {
		return packet(0x30, str(topic), []byte(payload))
	}
	return packet(0x32, str(topic), []byte{byte(id >> 8), byte(id)}, []byte(payload))
}

const topic = "terminals/air-1/up/json"

func TestPublishIsAcknowledgedInOrder(t *testing.T) {
	h := serve(t, Options{})
	c := h.dial(t)
	c.connect("c1")
	var all, want []byte
	for id := uint16(1); id <= 2000; id++ {
		all = append(all, publishPacket(topic, fmt.Sprintf(`{"t":%d,"pm25":1}`, id), id)...)
		all = append(all, publishPacket(topic, fmt.Sprintf(`{"t":%d,"pm10":1}`, id), 0)...)
		want = append(want, 0x40, 2, byte(id>>8), byte(id))
	}
	go func() { // in pieces that cut packets anywhere
		for len(all) > 0 {
			n := min(len(all), 1+len(all)%977)
			_, _ = c.Write(all[:n])
			all = all[n:]
		}
	}()
	c.expect(want...)
	deadline := time.Now().Add(5 * time.Second)
	for len(h.log.Observations()) < 4000 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(h.log.Observations()); n != 4000 {
		t.Errorf("%d readings stored, want 4000", n)
	}
}

func TestControlPackets(t *testing.T) {
	h := serve(t, Options{})
	c := h.dial(t)
	c.connect("c1")
	c.write(0xc0, 0)
	c.expect(0xd0, 0)
	c.write(packet(0x82, []byte{0, 9}, str("$SYS/#"), []byte{1}, str("a"), []byte{0})...)
	c.expect(0x90, 4, 0, 9, 0x80, 0x80)
	c.write(packet(0xa2, []byte{0, 10}, str("a"))...)
	c.expect(0xb0, 2, 0, 10)
	c.write(0xe0, 0)
	c.closed()
}

func TestRefusedConnects(t *testing.T) {
	h := serve(t, Options{})
	tests := []struct {
		name   string
		packet []byte
		code   byte
	}{
		{"MQTT 6", packet(0x10, str("MQTT"), []byte{6, 2, 0, 60, 0}, str("x")), connBadProtocol},
		{"no identifier, session kept", packet(0x10, str("MQTT"), []byte{4, 0, 0, 60}, str("")), connIdentifierRejected},
		{"wrong password", connectPacket("x", 60, "locked", "wrong"), connBadCredentials},
		{"unknown user", connectPacket("x", 60, "nobody", "secret"), connBadCredentials},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := h.dial(t)
			c.write(tt.packet...)
			c.expect(0x20, 2, 0, tt.code)
			c.closed()
		})
	}
	c := h.dial(t)
	c.write(connectPacket("x", 60, "locked", "secret")...)
	c.expect(0x20, 2, 0, 0)
	c.write(publishPacket("terminals/locked-1/up/json", `{"pm25":1}`, 1)...)
	c.expect(0x40, 2, 0, 1)
	if n := len(h.log.Observations()); n != 1 {
		t.Errorf("%d readings of the terminal with credentials, want 1: %+v", n, h.log.Rejects())
	}
}

// A connection that breaks the protocol is closed with the reason in the log;
// another one goes on.
func TestProtocolErrors(t *testing.T) {
	h := serve(t, Options{MaxPacketBytes: 1000})
	bystander := h.dial(t)
	bystander.connect("bystander")
	tests := []struct {
		name  string
		first bool // before CONNECT
		b     []byte
		want  string
	}{
		{"PUBLISH first", true, publishPacket(topic, "{}", 0), "first packet"},
		{"HTTP", true, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "first packet"},
		{"zeros", true, make([]byte, 64), "first packet"},
		{"endless length", true, []byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff}, "four bytes"},
		{"large CONNECT", true, []byte{0x10, 0xff, 0xff, 0x7f}, "size limit"},
		{"second CONNECT", false, connectPacket("again", 60, "", ""), "second CONNECT"},
		{"QoS 2", false, packet(0x34, str(topic), []byte{0, 1}), "QoS 2"},
		{"QoS 3", false, packet(0x36, str(topic), []byte{0, 1}), "QoS 3"},
		{"identifier 0", false, packet(0x32, str(topic), []byte{0, 0}), "identifier 0"},
		{"wildcard", false, publishPacket("terminals/+/up/json", "{}", 1), "wildcard"},
		{"topic not UTF-8", false, publishPacket("terminals/\xff/up/json", "{}", 1), "UTF-8"},
		{"U+0000", false, publishPacket("a\x00", "{}", 1), "U+0000"},
		{"topic beyond the packet", false, []byte{0x30, 3, 0, 9, 'a'}, "topic of 9 bytes"},
		{"PUBREL", false, []byte{0x62, 2, 0, 1}, "type 6"},
		{"type 15", false, []byte{0xf0, 0}, "type 15"},
		{"empty SUBSCRIBE", false, packet(0x82, []byte{0, 1}), "topic filter"},
		{"PUBACK for nothing", false, []byte{0x40, 2, 0, 1}, "not sent"},
		{"PINGREQ with a body", false, []byte{0xc0, 1, 0}, "PINGREQ"},
		{"large SUBSCRIBE", false, packet(0x82, []byte{0, 1}, make([]byte, 2000)), "size limit"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := h.dial(t)
			if !tt.first {
				c.connect(fmt.Sprintf("bad-%d", i))
			}
			_, _ = c.Write(tt.b) // the server may close in the middle
			c.closed()
			bystander.write(publishPacket(topic, `{"pm25":1}`, uint16(i+1))...)
			bystander.expect(0x40, 2, 0, byte(i+1))
			deadline := time.Now().Add(5 * time.Second)
			for !strings.Contains(h.text.String(), tt.want) {
				if time.Now().After(deadline) {
					t.Fatalf("no line with %q in the log:\n%s", tt.want, h.text.String())
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
}

// A PUBLISH over the limit is recorded as refused and acknowledged in its
// turn; the connection and what follows live on.
func TestOversizePublish(t *testing.T) {
	h := serve(t, Options{MaxPacketBytes: 1000})
	c := h.dial(t)
	c.connect("c1")
	big := strings.Repeat("x", 300_000)
	b := publishPacket(topic, `{"t":1,"pm25":1}`, 1)
	b = append(b, publishPacket(topic, big, 2)...)
	b = append(b, publishPacket(topic, `{"t":2,"pm25":1}`, 3)...)
	b = append(b, publishPacket(strings.Repeat("t", 5000), big, 4)...)
	b = append(b, publishPacket(topic, `{"t":3,"pm25":1}`, 5)...)
	go func() {
		for len(b) > 0 {
			n := min(len(b), 1+len(b)%9973)
			_, _ = c.Write(b[:n])
			b = b[n:]
		}
	}()
	for id := byte(1); id <= 5; id++ {
		c.expect(0x40, 2, 0, id)
	}
	rs := h.log.Rejects()
	if len(rs) != 2 || rs[0].Reason != twin.RejectTooLarge || rs[0].Size != 300_000 || len(rs[0].Payload) == 0 || rs[0].Terminal != "air-1" || rs[0].Topic != topic {
		t.Errorf("%d rejects: %.300v", len(rs), rs)
	}
	if n := len(h.log.Observations()); n != 3 {
		t.Errorf("%d readings stored, want 3", n)
	}
}

func TestTakeover(t *testing.T) {
	h := serve(t, Options{})
	first := h.dial(t)
	first.connect("same")
	second := h.dial(t)
	second.connect("same")
	first.closed()
	second.write(publishPacket(topic, `{"pm25":1}`, 7)...)
	second.expect(0x40, 2, 0, 7)
	if n := h.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestTimeouts(t *testing.T) {
	h := serve(t, Options{ConnectTimeout: 100 * time.Millisecond, PacketTimeout: 200 * time.Millisecond, IdleTimeout: 400 * time.Millisecond})
	t.Run("no CONNECT", func(t *testing.T) { h.dial(t).closed() })
	t.Run("half a packet, drop by drop", func(t *testing.T) {
		c := h.dial(t)
		c.connect("slow")
		b := publishPacket(topic, `{"pm25":1}`, 1)
		go func() {
			for i := range b {
				if _, err := c.Write(b[i : i+1]); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		c.closed()
	})
	t.Run("silence without keep-alive", func(t *testing.T) {
		c := h.dial(t)
		c.write(connectPacket("idle", 0, "", "")...)
		c.expect(0x20, 2, 0, 0)
		c.closed()
	})
	t.Run("silence with keep-alive", func(t *testing.T) {
		c := h.dial(t)
		c.write(connectPacket("alive", 1, "", "")...)
		c.expect(0x20, 2, 0, 0)
		for range 3 {
			time.Sleep(700 * time.Millisecond)
			c.write(0xc0, 0)
			c.expect(0xd0, 0)
		}
		c.closed()
	})
	for _, want := range []string{"no CONNECT", "too long to arrive", "nothing heard"} {
		if !strings.Contains(h.text.String(), want) {
			t.Errorf("no line with %q in the log:\n%s", want, h.text.String())
		}
	}
}

// A client that publishes and never reads its acknowledgements is closed and
// holds up nobody.
func TestDeafClient(t *testing.T) {
	h := serve(t, Options{WriteTimeout: 300 * time.Millisecond})
	deaf := h.dial(t)
	deaf.connect("deaf")
	_ = deaf.Conn.(*net.TCPConn).SetReadBuffer(4096)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		var b []byte
		for i := range 1000 {
			b = append(b, publishPacket(topic, `{"pm25":1}`, uint16(i+1))...)
		}
		for {
			if _, err := deaf.Write(b); err != nil {
				return
			}
		}
	}()
	other := h.dial(t)
	other.connect("other")
	for id := byte(1); id < 50; id++ {
		other.write(publishPacket(topic, `{"pm25":1}`, uint16(id))...)
		other.expect(0x40, 2, 0, id)
	}
	select {
	case <-stopped:
	case <-time.After(15 * time.Second):
		t.Fatal("the deaf client is still served")
	}
}

func TestWithheldWhileTheLogFails(t *testing.T) {
	h := serve(t, Options{})
	h.log.Fail(errors.New("disk full"))
	c := h.dial(t)
	c.connect("c1")
	c.write(publishPacket(topic, `{"pm25":1}`, 1)...)
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if b, err := c.r.ReadByte(); err == nil {
		t.Fatalf("acknowledged with %x while the log failed", b)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	h.log.Fail(nil)
	c.expect(0x40, 2, 0, 1)
}

func TestConnectionLimit(t *testing.T) {
	h := serve(t, Options{MaxConnections: 2})
	a, b := h.dial(t), h.dial(t)
	a.connect("a")
	b.connect("b")
	h.dial(t).closed()
	_ = a.Close()
	deadline := time.Now().Add(5 * time.Second)
	for h.Connections() > 1 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	h.dial(t).connect("c")
}

// FuzzServer feeds raw bytes after a CONNECT: whatever they are, the server
// serves the next client.
func FuzzConn(f *testing.F) {
	f.Add(publishPacket(topic, `{"pm25":1}`, 1))
	f.Add(packet(0x82, []byte{0, 9}, str("#"), []byte{1}))
	f.Add([]byte{0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a', 0, 1})
	reg := ingesttest.Registry(f)
	p := ingest.New(ingest.Options{Registry: reg, Log: &ingesttest.Log{Discard: true}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	f.Cleanup(func() { cancel(); wg.Wait() })
	s := New(Options{Pipeline: p, Authenticate: reg.Authenticate, MaxPacketBytes: 4096, Updates: (&board{}).open})
	f.Add(packet(0x82, []byte{0, 9, 0}, str("v1.1/Observations"), []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &conn{s: s, nc: nullConn{}}
		hello := connectPacket("f", 60, "", "")
		if len(b)%2 == 1 {
			hello = connectFive("f", nil)
		}
		if _, _, err := c.handle(ctx, hello, time.Unix(1790000000, 0)); err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			used, need, err := c.handle(ctx, b, time.Unix(1790000000, 0))
			if used > len(b) || used < 0 {
				t.Fatalf("used %d of %d bytes", used, len(b))
			}
			if err != nil || used == 0 || need > len(b)-used {
				break
			}
			b = b[used:]
		}
		_ = c.flush(ctx)
		c.end(errDisconnect)
		c.writers.Wait()
		s.forget(c)
	})
}

// nullConn takes whatever is written.
type nullConn struct{ net.Conn }

func (nullConn) Write(b []byte) (int, error)      { return len(b), nil }
func (nullConn) Close() error                     { return nil }
func (nullConn) SetWriteDeadline(time.Time) error { return nil }
