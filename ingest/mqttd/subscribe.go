package mqttd

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"

	"cityhub/twin"
)

// Sink is where a client's updates go. Its methods do not block and may be
// called from anywhere; payloads are shared and never changed.
type Sink interface {
	// Deliver sends a message to the client if it has subscribed to the topic.
	Deliver(topic string, payload []byte)
	// Revoke ends the client's connection: its rights are gone.
	Revoke(reason error)
}

// UpdateSession is what one client has subscribed to.
type UpdateSession interface {
	// Subscribe has everything new under topic delivered; again changes nothing.
	// CodeInvalid: there is no such topic; CodeForbidden; CodeTooMany.
	Subscribe(ctx context.Context, topic string) error
	// Unsubscribe ends it; a topic without a subscription is no error.
	Unsubscribe(topic string)
	// Close ends all; nothing is delivered after it has returned.
	Close()
}

// Bounds of what waits for a subscriber. When a queue is full its connection
// is closed: it would miss something without knowing.
const (
	maxQueued        = 4096
	maxQueuedBytes   = 1 << 20
	maxInFlight      = 64 // at QoS 1, or fewer where the client says so
	maxSubscriptions = 100
	maxTake          = 64 << 10 // bytes of messages written at once
	maxFilterBytes   = 2048
)

var (
	errSlowSubscriber = errors.New("the client takes the updates it subscribed to more slowly than they come")
	errRevoked        = errors.New("the rights that the client connected with are gone")
)

// subscriptions are the topics of a connection and what waits for it. conn.mu
// guards it.
type subscriptions struct {
	topics    map[string]byte // to the granted QoS
	queue     []outgoing
	head      int // of queue
	bytes     int // of the payloads in queue
	window    int // messages that may be in flight
	inFlight  map[uint16]struct{}
	lastID    uint16
	v5        bool
	maxPacket int
	m         *metrics
}

type outgoing struct {
	topic   string
	payload []byte
	qos     byte
}

// take moves messages from the queue to dst, as many as may be on their way.
func (s *subscriptions) take(dst []byte) []byte {
	for s.head < len(s.queue) && len(dst) < maxTake {
		m := &s.queue[s.head]
		if m.qos == 1 && len(s.inFlight) >= s.window {
			break
		}
		dst = s.append(dst, m)
		s.bytes -= len(m.payload)
		*m = outgoing{}
		s.head++
	}
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	} else if s.head >= 1024 {
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	return dst
}

// append writes a PUBLISH (3.3).
func (s *subscriptions) append(dst []byte, m *outgoing) []byte {
	n := 2 + len(m.topic) + len(m.payload) + 2*int(m.qos)
	if s.v5 {
		n++
	}
	if s.maxPacket > 0 && n+5 > s.maxPacket {
		return dst // MQTT 5, 3.1.2.11.4: as if it had been sent
	}
	dst = appendLength(append(dst, typePublish<<4|m.qos<<1), n)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.topic)))
	dst = append(dst, m.topic...)
	if m.qos == 1 {
		for {
			s.lastID++
			if _, used := s.inFlight[s.lastID]; !used && s.lastID != 0 {
				break
			}
		}
		s.inFlight[s.lastID] = struct{}{}
		dst = binary.BigEndian.AppendUint16(dst, s.lastID)
	}
	if s.v5 {
		dst = append(dst, 0)
	}
	s.m.delivered[m.qos].Add(1)
	return append(dst, m.payload...)
}

// Deliver implements Sink.
func (c *conn) Deliver(topic string, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subs
	qos, ok := s.topics[topic]
	if !ok || c.ended != nil {
		return
	}
	if waiting := len(s.queue) - s.head; waiting > 0 && (waiting >= maxQueued || s.bytes+len(payload) > maxQueuedBytes) {
		c.s.m.slowSubscribers.Add(1)
		c.ended = errSlowSubscriber
		_ = c.nc.Close()
		return
	}
	s.queue = append(s.queue, outgoing{topic: topic, payload: payload, qos: qos})
	s.bytes += len(payload)
	c.kick()
}

// Revoke implements Sink: 上海市数据条例 第三十九条 (R29).
func (c *conn) Revoke(error) { c.end(errRevoked) }

// subscribe answers a SUBSCRIBE (3.8).
func (c *conn) subscribe(ctx context.Context, first byte, packet []byte) error {
	id, filters, err := parseFilters(first, packet, true, c.v5)
	if err != nil {
		return err
	}
	if len(filters) > maxQueued {
		return malformed("SUBSCRIBE with %d topic filters", len(filters))
	}
	codes := make([]byte, len(filters))
	for i, w := range filters {
		codes[i] = c.grant(ctx, w)
		if codes[i] >= reasonUnspecified {
			c.s.m.subscribesRefused.Add(1)
			c.s.lines.write(slog.LevelInfo, "subscription refused", "client", c.clientID, "filter", clip(w.filter), "reason", codes[i])
			if !c.v5 {
				codes[i] = 0x80
			}
		}
	}
	c.send(c.ack(typeSuback, id, codes)...)
	return nil
}

// ack makes a SUBACK or UNSUBACK.
func (c *conn) ack(kind byte, id uint16, codes []byte) []byte {
	n := 2 + len(codes)
	if c.v5 {
		n++
	}
	b := appendLength([]byte{kind << 4}, n)
	b = append(b, byte(id>>8), byte(id))
	if c.v5 {
		b = append(b, 0)
	}
	return append(b, codes...)
}

// grant subscribes to one filter and gives the reason code.
func (c *conn) grant(ctx context.Context, w wanted) byte {
	switch {
	case c.s.o.Updates == nil:
		return reasonUnspecified
	case strings.HasPrefix(w.filter, "$share/"):
		return reasonNoShared
	case w.filter == "" || len(w.filter) > maxFilterBytes:
		return reasonBadFilter
	case strings.ContainsAny(w.filter, "+#"):
		// 4.7.1: a wildcard is a whole level, and # the last.
		for i, level := range strings.Split(w.filter, "/") {
			if len(level) > 1 && strings.ContainsAny(level, "+#") || level == "#" && i != strings.Count(w.filter, "/") {
				return reasonBadFilter
			}
		}
		return reasonNoWildcards
	}
	qos := min(w.qos, 1)
	c.mu.Lock()
	if c.subs == nil {
		c.subs = &subscriptions{topics: map[string]byte{}, inFlight: map[uint16]struct{}{}, window: min(maxInFlight, c.receiveMax), v5: c.v5, maxPacket: c.maxPacket, m: &c.s.m}
	}
	old, had := c.subs.topics[w.filter]
	full := !had && len(c.subs.topics) >= maxSubscriptions
	if !full {
		c.subs.topics[w.filter] = qos
	}
	c.mu.Unlock()
	if full {
		return reasonQuota
	}
	if c.updates == nil {
		c.updates = c.s.o.Updates(c.terminal, c)
	}
	err := c.updates.Subscribe(ctx, w.filter)
	if err == nil {
		return qos
	}
	c.mu.Lock()
	if had {
		c.subs.topics[w.filter] = old
	} else {
		delete(c.subs.topics, w.filter)
	}
	c.mu.Unlock()
	switch twin.ErrorCode(err) {
	case twin.CodeInvalid, twin.CodeNotFound:
		return reasonBadFilter
	case twin.CodeForbidden, twin.CodeUnauthorized:
		return reasonNotAuthorized
	case twin.CodeTooMany:
		return reasonQuota
	}
	return reasonUnspecified
}

// unsubscribe answers an UNSUBSCRIBE (3.10). What is queued is still sent.
func (c *conn) unsubscribe(first byte, packet []byte) error {
	id, filters, err := parseFilters(first, packet, false, c.v5)
	if err != nil {
		return err
	}
	codes := make([]byte, len(filters))
	for i, w := range filters {
		had := false
		c.mu.Lock()
		if c.subs != nil {
			_, had = c.subs.topics[w.filter]
			delete(c.subs.topics, w.filter)
		}
		c.mu.Unlock()
		if had {
			c.updates.Unsubscribe(w.filter)
		} else {
			codes[i] = reasonNoSubscription
		}
	}
	if !c.v5 {
		codes = nil
	}
	c.send(c.ack(typeUnsuback, id, codes)...)
	return nil
}

// puback takes the acknowledgement of an update.
func (c *conn) puback(first byte, packet []byte) error {
	id, err := parsePuback(first, packet, c.v5)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs == nil {
		return malformed("PUBACK for a message that was not sent")
	}
	if _, ok := c.subs.inFlight[id]; !ok {
		return malformed("PUBACK %d for a message that was not sent", id)
	}
	delete(c.subs.inFlight, id)
	c.kick()
	return nil
}

func clip(s string) string { return s[:min(len(s), 100)] }
