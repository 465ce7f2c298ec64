package mqttd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/twin"
)

// board hands what it is told to every client that subscribed to its topic.
type board struct {
	mu       sync.Mutex
	sessions map[*boardSession]bool
	opened   []string // terminals
}

type boardSession struct {
	b      *board
	sink   Sink
	topics map[string]bool
}

func (b *board) open(terminal string, sink Sink) UpdateSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sessions == nil {
		b.sessions = map[*boardSession]bool{}
	}
	s := &boardSession{b: b, sink: sink, topics: map[string]bool{}}
	b.sessions[s] = true
	b.opened = append(b.opened, terminal)
	return s
}

// Subscribe takes any topic but some.
func (s *boardSession) Subscribe(_ context.Context, topic string) error {
	for part, code := range map[string]twin.Code{"unknown": twin.CodeInvalid, "secret": twin.CodeForbidden, "full": twin.CodeTooMany, "broken": twin.CodeInternal} {
		if strings.Contains(topic, part) {
			return &twin.Error{Code: code, Op: "subscribe", Message: part}
		}
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.topics[topic] = true
	return nil
}

func (s *boardSession) Unsubscribe(topic string) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	delete(s.topics, topic)
}

func (s *boardSession) Close() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	delete(s.b.sessions, s)
}

func (b *board) tell(topic, payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.sessions {
		if s.topics[topic] {
			s.sink.Deliver(topic, []byte(payload))
		}
	}
}

func (b *board) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions)
}

// connectFive is the CONNECT of an MQTT 5 client.
func connectFive(id string, properties []byte) []byte {
	return packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, byte(len(properties))}, properties, str(id))
}

// connackFive is the answer to it.
var connackFive = packet(0x20, []byte{0, 0, 18, propMaximumQoS, 1, propWildcardAvailable, 0, propSubscriptionIDsAllowed, 0, propSharedAvailable, 0,
	propSessionExpiry, 0, 0, 0, 0, propMaximumPacketSize, 0, 0x10, 0, 0})

func (c *client) connectFive(id string, properties ...byte) {
	c.t.Helper()
	c.write(connectFive(id, properties)...)
	c.expect(connackFive...)
}

const obs = "v1.1/Observations"

func message(first byte, topic string, id uint16, v5 bool, payload string) []byte {
	var mid []byte
	if first&2 != 0 {
		mid = binary.BigEndian.AppendUint16(mid, id)
	}
	if v5 {
		mid = append(mid, 0)
	}
	return packet(first, str(topic), mid, []byte(payload))
}

// Both versions, both QoS, from SUBSCRIBE over messages to UNSUBSCRIBE.
func TestSubscribe(t *testing.T) {
	for _, v5 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v5=%v", v5), func(t *testing.T) {
			b := &board{}
			h := serve(t, Options{Updates: b.open})
			c := h.dial(t)
			var none []byte // properties
			if v5 {
				c.connectFive("c1")
				none = []byte{0}
			} else {
				c.connect("c1")
			}
			ack := func(codes ...byte) []byte { return packet(0x90, []byte{0, 9}, none, codes) }
			code := func(five byte) byte {
				if v5 {
					return five
				}
				return 0x80
			}
			c.write(packet(0x82, []byte{0, 9}, none, str(obs), []byte{0}, str("v1.1/Datastreams(1)/Observations?$select=result"), []byte{2},
				str("#"), []byte{0}, str("v1.1/+"), []byte{0}, str("v1.1/Datastreams(+)"), []byte{0}, str("#/x"), []byte{0}, str("$share/g/x"), []byte{0},
				str("unknown"), []byte{0}, str("secret"), []byte{0}, str("full"), []byte{0}, str("broken"), []byte{0})...)
			c.expect(ack(0, 1, code(reasonNoWildcards), code(reasonNoWildcards), code(reasonBadFilter), code(reasonBadFilter), code(reasonNoShared),
				code(reasonBadFilter), code(reasonNotAuthorized), code(reasonQuota), code(reasonUnspecified))...)
			b.tell(obs, "one")
			c.expect(message(0x30, obs, 0, v5, "one")...)
			b.tell("v1.1/Datastreams(1)/Observations?$select=result", "two")
			c.expect(message(0x32, "v1.1/Datastreams(1)/Observations?$select=result", 1, v5, "two")...)
			c.write(0x40, 2, 0, 1)
			// The same filter with another QoS replaces it (3.8.4).
			c.write(packet(0x82, []byte{0, 9}, none, str(obs), []byte{1})...)
			c.expect(ack(1)...)
			b.tell(obs, "three")
			c.expect(message(0x32, obs, 2, v5, "three")...)
			// It publishes over the same connection.
			if v5 {
				c.write(packet(0x32, str(topic), []byte{0, 5, 5, 0x02, 0, 0, 0, 60}, []byte(`{"t":1,"pm25":1}`))...)
			} else {
				c.write(publishPacket(topic, `{"t":1,"pm25":1}`, 5)...)
			}
			c.expect(0x40, 2, 0, 5)
			c.write(packet(0xa2, []byte{0, 10}, none, str(obs), str("never"))...)
			if v5 {
				c.expect(0xb0, 5, 0, 10, 0, 0, reasonNoSubscription)
			} else {
				c.expect(0xb0, 2, 0, 10)
			}
			b.tell(obs, "four")
			c.write(0xc0, 0)
			c.expect(0xd0, 0)
			if v5 {
				c.write(0xe0, 1, 4)
			} else {
				c.write(0xe0, 0)
			}
			c.closed()
			testkit.WaitFor(t, 5*time.Second, "the session is closed", func() bool { return b.count() == 0 })
			if n := len(h.log.Observations()); n != 1 {
				t.Errorf("%d readings stored: %+v", n, h.log.Rejects())
			}
		})
	}
}

// At QoS 1 no more is on its way than the client takes; the rest waits in order.
func TestWindow(t *testing.T) {
	b := &board{}
	h := serve(t, Options{Updates: b.open})
	c := h.dial(t)
	c.connectFive("c1", propReceiveMaximum, 0, 2)
	c.write(packet(0x82, []byte{0, 9, 0}, str(obs), []byte{1})...)
	c.expect(packet(0x90, []byte{0, 9, 0}, []byte{1})...)
	for i := range 6 {
		b.tell(obs, fmt.Sprint(i))
	}
	c.expect(message(0x32, obs, 1, true, "0")...)
	c.expect(message(0x32, obs, 2, true, "1")...)
	c.write(0xc0, 0)
	c.expect(0xd0, 0) // nothing before it: two are on their way
	c.write(0x40, 2, 0, 2)
	c.expect(message(0x32, obs, 3, true, "2")...)
	c.write(0x40, 3, 0, 1, 0x80) // with a reason: it counts all the same
	c.expect(message(0x32, obs, 4, true, "3")...)
	c.write(0x40, 4, 0, 3, 0, 0, 0x40, 2, 0, 4)
	c.expect(message(0x32, obs, 5, true, "4")...)
	c.expect(message(0x32, obs, 6, true, "5")...)
}

// A packet larger than the client takes is not sent (MQTT 5, 3.1.2.11.4).
func TestMaximumPacketSize(t *testing.T) {
	b := &board{}
	h := serve(t, Options{Updates: b.open})
	c := h.dial(t)
	c.connectFive("c1", propMaximumPacketSize, 0, 0, 0, 60)
	c.write(packet(0x82, []byte{0, 9, 0}, str(obs), []byte{0})...)
	c.expect(packet(0x90, []byte{0, 9, 0}, []byte{0})...)
	b.tell(obs, strings.Repeat("x", 100))
	b.tell(obs, "small")
	c.expect(message(0x30, obs, 0, true, "small")...)
}

// A subscriber that does not read is closed once its queue is full, and holds
// up nobody: neither other subscribers nor who publishes.
func TestSlowSubscriber(t *testing.T) {
	b := &board{}
	h := serve(t, Options{Updates: b.open, WriteTimeout: time.Minute})
	slow, quick := h.dial(t), h.dial(t)
	for i, c := range []*client{slow, quick} {
		c.connect(fmt.Sprint(i))
		c.write(packet(0x82, []byte{0, 9}, str(obs), []byte{byte(1 - i)})...)
		c.expect(0x90, 3, 0, 9, byte(1-i))
	}
	_ = slow.Conn.(*net.TCPConn).SetReadBuffer(4096)
	// At QoS 1 without acknowledgements 64 go out and the rest queues up.
	for i := range maxQueued + maxInFlight + 10 {
		b.tell(obs, fmt.Sprint(i))
		quick.expect(message(0x30, obs, 0, false, fmt.Sprint(i))...)
	}
	testkit.WaitFor(t, 5*time.Second, "the slow one is closed", func() bool { return h.m.slowSubscribers.Load() == 1 && b.count() == 1 })
	quick.write(publishPacket(topic, `{"pm25":1}`, 7)...)
	quick.expect(0x40, 2, 0, 7)
	testkit.WaitFor(t, 5*time.Second, "a line about it", func() bool { return strings.Contains(h.text.String(), "more slowly than they come") })
}

func TestSubscriptionLimit(t *testing.T) {
	b := &board{}
	h := serve(t, Options{Updates: b.open})
	c := h.dial(t)
	c.connect("c1")
	var body []byte
	for i := range maxSubscriptions + 1 {
		body = append(append(body, str(fmt.Sprint("v1.1/", i))...), 0)
	}
	c.write(packet(0x82, []byte{0, 9}, body)...)
	c.expect(packet(0x90, []byte{0, 9}, make([]byte, maxSubscriptions), []byte{0x80})...)
}

// The terminal's credentials are those of its subscriptions; when the rights
// are gone the connection ends (上海市数据条例 第三十九条).
func TestSubscriberRightsR29(t *testing.T) {
	b := &board{}
	h := serve(t, Options{Updates: b.open})
	anonymous, own := h.dial(t), h.dial(t)
	anonymous.connect("a")
	own.write(connectPacket("b", 60, "locked", "secret")...)
	own.expect(0x20, 2, 0, 0)
	for _, c := range []*client{anonymous, own} {
		c.write(packet(0x82, []byte{0, 9}, str(obs), []byte{0})...)
		c.expect(0x90, 3, 0, 9, 0)
	}
	b.mu.Lock()
	if !slices.Equal(b.opened, []string{"", "locked-1"}) {
		t.Errorf("opened for %q", b.opened)
	}
	for s := range b.sessions {
		s.sink.Revoke(errors.New("gone"))
	}
	b.mu.Unlock()
	anonymous.closed()
	own.closed()
}

// An MQTT 5 client is told why.
func TestReasons(t *testing.T) {
	h := serve(t, Options{MaxPacketBytes: 1000, Updates: (&board{}).open})
	max1000 := slices.Clone(connackFive)
	binary.BigEndian.PutUint32(max1000[len(max1000)-4:], 1000)
	for _, tt := range []struct {
		name   string
		b      []byte
		reason byte
	}{
		{"topic alias", packet(0x30, str(topic), []byte{3, propTopicAlias, 0, 1}, []byte("{}")), reasonProtocolError},
		{"subscription identifier", packet(0x82, []byte{0, 1, 2, propSubscriptionIdentifier, 1}, str(obs), []byte{0}), reasonProtocolError},
		{"reserved option", packet(0x82, []byte{0, 1, 0}, str(obs), []byte{0x40}), reasonProtocolError},
		{"unknown property", packet(0x30, str(topic), []byte{2, 0x7f, 0}, []byte("{}")), reasonProtocolError},
		{"large SUBSCRIBE", packet(0x82, []byte{0, 1}, make([]byte, 2000)), reasonTooLarge},
		{"AUTH", []byte{0xf0, 0}, reasonProtocolError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := h.dial(t)
			c.write(connectFive("x", nil)...)
			c.expect(max1000...)
			c.write(tt.b...)
			c.expect(0xe0, 2, tt.reason, 0)
			c.closed()
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		c := h.dial(t)
		c.write(packet(0x10, str("MQTT"), []byte{5, 0xc2, 0, 60, 0}, str("x"), str("locked"), str("wrong"))...)
		c.expect(0x20, 3, 0, reasonBadCredentials, 0)
		c.closed()
	})
	t.Run("assigned identifier", func(t *testing.T) {
		c := h.dial(t)
		c.write(connectFive("", nil)...)
		got := make([]byte, len(max1000)+9)
		if _, err := io.ReadFull(c.r, got); err != nil || !strings.Contains(string(got), "\x12\x00\x06auto-") {
			t.Errorf("%x %v", got, err)
		}
	})
	// A PUBLISH over the limit is refused for good and acknowledged, properties or not.
	t.Run("large PUBLISH", func(t *testing.T) {
		c := h.dial(t)
		c.write(connectFive("big", nil)...)
		c.expect(max1000...)
		for _, properties := range [][]byte{{0}, append([]byte{0x83, 1, 0x09, 0, 128}, make([]byte, 128)...)} {
			c.write(packet(0x32, str(topic), []byte{0, 3}, properties, []byte(strings.Repeat("x", 5000)))...)
			c.expect(0x40, 2, 0, 3)
		}
		testkit.WaitFor(t, 5*time.Second, "both are recorded", func() bool { return len(h.log.Rejects()) == 2 })
		for _, r := range h.log.Rejects() {
			if r.Reason != twin.RejectTooLarge || r.Size != 5000 || r.Payload[0] != 'x' {
				t.Errorf("%+v", r)
			}
		}
	})
}
