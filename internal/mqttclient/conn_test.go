package mqttclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cityhub/internal/mqttclient/mqtttest"
	"cityhub/twin"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in, want string
		secure   bool
	}{
		{"127.0.0.1:1883", "127.0.0.1:1883", false},
		{"broker", "broker:1883", false},
		{"mqtt://broker", "broker:1883", false},
		{"tcp://broker:99/", "broker:99", false},
		{"mqtts://broker", "broker:8883", true},
		{"[::1]:7", "[::1]:7", false},
		{"::1", "[::1]:1883", false},
	} {
		got, secure, err := ParseAddress(c.in)
		if err != nil || got != c.want || secure != c.secure {
			t.Errorf("%s: %q %v %v", c.in, got, secure, err)
		}
	}
	for _, in := range []string{"", "http://broker", "mqtt://user@broker", ":1883", "a b"} {
		if got, _, err := ParseAddress(in); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
}

func TestMosquittoTakesBothQoS(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	sub := mqtttest.Subscribe(t, addr, "t/#")
	for _, qos := range []byte{0, 1} {
		var acked atomic.Int64
		c, err := Dial(t.Context(), Options{Address: addr, ClientID: fmt.Sprint("qos", qos), Window: 7, Acked: func(uint64, int64, int64) { acked.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		const n = 500
		for i := range n {
			if err := c.Publish(&Message{Topic: "t/" + fmt.Sprint(qos), Payload: []byte(fmt.Sprint(i)), QoS: qos, Ref: uint64(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Drain(); err != nil {
			t.Fatal(err)
		}
		if want := int64(n) * int64(qos); acked.Load() != want {
			t.Errorf("QoS %d: %d acknowledged, want %d", qos, acked.Load(), want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for i := range n {
			m := sub.Next(t)
			if m.Topic != "t/"+fmt.Sprint(qos) || string(m.Payload) != fmt.Sprint(i) {
				t.Fatalf("QoS %d: message %d is %s %s", qos, i, m.Topic, m.Payload)
			}
		}
	}
}

func TestMosquittoKeepsAnIdleConnection(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	c, err := Dial(t.Context(), Options{Address: addr, ClientID: "idle", KeepAlive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		if err := c.Poll(c.Now() + int64(200*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDialRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer []byte
		code   twin.Code
		text   string
	}{
		{"bad credentials", []byte{0x20, 2, 0, 4}, twin.CodeUnauthorized, "credentials"},
		{"not authorized", []byte{0x20, 2, 0, 5}, twin.CodeUnauthorized, "credentials"},
		{"client id refused", []byte{0x20, 2, 0, 2}, twin.CodeUnavailable, "return code 2"},
		{"not MQTT", []byte("HTTP/1.1 400"), twin.CodeUnavailable, "no CONNACK"},
		{"closed", nil, twin.CodeUnavailable, "closed the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := oneConn(t, func(nc net.Conn) {
				readPacket(nc)
				_, _ = nc.Write(c.answer)
			})
			_, err := Dial(t.Context(), Options{Address: addr, ClientID: "x"})
			if twin.ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestConnectCarriesCredentials(t *testing.T) {
	got := make(chan []byte, 1)
	addr := oneConn(t, func(nc net.Conn) {
		got <- readPacket(nc)
		_, _ = nc.Write([]byte{0x20, 2, 0, 0})
	})
	c, err := Dial(t.Context(), Options{Address: addr, ClientID: "c", Username: "u", Password: "pw", KeepAlive: 300 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := "\x10\x14\x00\x04MQTT\x04\xc2\x01\x2c\x00\x01c\x00\x01u\x00\x02pw"
	if s := string(<-got); s != want {
		t.Errorf("CONNECT is % x, want % x", s, want)
	}
}

func TestAcksOutOfOrderFreeTheirOwnMessage(t *testing.T) {
	addr := oneConn(t, func(nc net.Conn) {
		readPacket(nc)
		_, _ = nc.Write([]byte{0x20, 2, 0, 0})
		for range 3 {
			readPacket(nc)
		}
		_, _ = nc.Write([]byte{0x40, 2, 0, 3, 0x40, 2, 0, 1, 0x40})
		time.Sleep(10 * time.Millisecond)
		_, _ = nc.Write([]byte{2, 0, 2})
		readPacket(nc)
	})
	var refs []uint64
	c, err := Dial(t.Context(), Options{Address: addr, ClientID: "c", Window: 3, Acked: func(ref uint64, stamp, now int64) {
		if stamp != 77 || now <= 0 {
			t.Errorf("stamp %d, now %d", stamp, now)
		}
		refs = append(refs, ref)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		if err := c.Publish(&Message{Topic: "a", QoS: 1, Ref: uint64(10 + i), Stamp: 77}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Drain(); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(refs) != "[12 10 11]" || c.InFlight() != 0 || c.Room() != 3 {
		t.Errorf("acknowledged %v, in flight %d, room %d", refs, c.InFlight(), c.Room())
	}
}

func TestUnexpectedPacketsEndTheConnection(t *testing.T) {
	for name, answer := range map[string][]byte{
		"PUBACK of nothing":  {0x40, 2, 0, 2},
		"PUBACK of packet 0": {0x40, 2, 0, 0},
		"PUBLISH":            {0x30, 4, 0, 1, 'a', 'b'},
	} {
		t.Run(name, func(t *testing.T) {
			addr := oneConn(t, func(nc net.Conn) {
				readPacket(nc)
				_, _ = nc.Write([]byte{0x20, 2, 0, 0})
				readPacket(nc)
				_, _ = nc.Write(answer)
			})
			c, err := Dial(t.Context(), Options{Address: addr, ClientID: "c"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Publish(&Message{Topic: "a", QoS: 1}); err != nil {
				t.Fatal(err)
			}
			err = c.Drain()
			if twin.ErrorCode(err) != twin.CodeUnavailable || c.InFlight() != 1 {
				t.Errorf("got %v, in flight %d", err, c.InFlight())
			}
			if again := c.Publish(&Message{Topic: "a"}); !errors.Is(again, err) {
				t.Errorf("a failed connection still publishes: %v", again)
			}
		})
	}
}

func TestSilentBrokerTimesOut(t *testing.T) {
	done := make(chan struct{})
	addr := oneConn(t, func(nc net.Conn) {
		readPacket(nc)
		_, _ = nc.Write([]byte{0x20, 2, 0, 0})
		<-done
	})
	defer close(done)
	c, err := Dial(t.Context(), Options{Address: addr, ClientID: "c", Window: 1, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		err = c.Publish(&Message{Topic: "a", QoS: 1})
	}
	if twin.ErrorCode(err) != twin.CodeUnavailable || !strings.Contains(err.Error(), "no PUBACK") {
		t.Errorf("got %v", err)
	}
}

func TestContextEndsAWait(t *testing.T) {
	done := make(chan struct{})
	addr := oneConn(t, func(nc net.Conn) {
		readPacket(nc)
		_, _ = nc.Write([]byte{0x20, 2, 0, 0})
		<-done
	})
	defer close(done)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	c, err := Dial(ctx, Options{Address: addr, ClientID: "c", Window: 1})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	for range 2 {
		err = c.Publish(&Message{Topic: "a", QoS: 1})
	}
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestPublishRefusesBadMessages(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	c, err := Dial(t.Context(), Options{Address: addr, ClientID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range []Message{{Topic: ""}, {Topic: "a", QoS: 2}, {Topic: "a", Payload: make([]byte, MaxPacket)}, {Topic: strings.Repeat("a", 65536)}} {
		err := c.Publish(&m)
		if code := twin.ErrorCode(err); code != twin.CodeInvalid && code != twin.CodeTooLarge {
			t.Errorf("%.10s: %v", m.Topic, err)
		}
	}
	big := Message{Topic: "a", Payload: make([]byte, 300<<10), QoS: 1}
	if err := c.Publish(&big); err != nil {
		t.Fatal(err)
	}
	if err := c.Drain(); err != nil {
		t.Fatal(err)
	}
}

func TestPublishAllocatesNothing(t *testing.T) {
	addr := mqtttest.AckServer(t)
	c, err := Dial(t.Context(), Options{Address: addr, ClientID: "c", Acked: func(uint64, int64, int64) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := Message{Topic: "terminals/load-000001/up/json", Payload: make([]byte, 60), QoS: 1}
	if n := testing.AllocsPerRun(5000, func() {
		if err := c.Publish(&m); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// FuzzParse feeds any bytes as the broker's answer: no panic, and never more
// acknowledgements than messages.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0x40, 2, 0, 1, 0xd0, 0, 0x40, 2, 0, 2})
	f.Add([]byte{0x40, 2, 0, 1, 0x40, 2, 0, 1})
	f.Add([]byte{0x20, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		server, client := net.Pipe()
		defer server.Close()
		acks := 0
		o := Options{ClientID: "f", Window: 4, Acked: func(uint64, int64, int64) { acks++ }}
		if err := o.defaults(); err != nil {
			t.Fatal(err)
		}
		c := newConn(t.Context(), client, o)
		defer c.abort()
		for range 3 {
			if err := c.Publish(&Message{Topic: "a", QoS: 1}); err != nil {
				t.Fatal(err)
			}
		}
		c.w = copy(c.in, b)
		_, _ = c.parse()
		if acks > 3 || c.InFlight() != 3-acks {
			t.Fatalf("%d acknowledged, %d in flight", acks, c.InFlight())
		}
	})
}

func oneConn(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		serve(nc)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// readPacket reads one MQTT packet; nil when the connection ended.
func readPacket(nc net.Conn) []byte {
	b := make([]byte, 2)
	if n, _ := nc.Read(b[:1]); n != 1 {
		return nil
	}
	length := 0
	for shift := 0; ; shift += 7 {
		if n, _ := nc.Read(b[1:2]); n != 1 {
			return nil
		}
		length |= int(b[1]&0x7f) << shift
		if b[1] < 0x80 {
			break
		}
	}
	packet := append([]byte{b[0]}, binary.AppendUvarint(nil, uint64(length))...)
	body := make([]byte, length)
	for got := 0; got < length; {
		n, err := nc.Read(body[got:])
		if err != nil {
			return nil
		}
		got += n
	}
	return append(packet, body...)
}
