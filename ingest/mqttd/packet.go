package mqttd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Packet types of MQTT 3.1.1, table 2.1, and MQTT 5, table 2-1.
const (
	typeConnect     = 1
	typeConnack     = 2
	typePublish     = 3
	typePuback      = 4
	typeSubscribe   = 8
	typeSuback      = 9
	typeUnsubscribe = 10
	typeUnsuback    = 11
	typePingreq     = 12
	typePingresp    = 13
	typeDisconnect  = 14
)

// CONNACK return codes of MQTT 3.1.1, table 3.1.
const (
	connAccepted           = 0
	connBadProtocol        = 1
	connIdentifierRejected = 2
	connUnavailable        = 3
	connBadCredentials     = 4
	connNotAuthorized      = 5
)

// protocolError is a packet that breaks MQTT; it ends its connection.
type protocolError string

func (e protocolError) Error() string { return string(e) }

func malformed(format string, args ...any) error {
	return protocolError(fmt.Sprintf(format, args...))
}

// header reads a fixed header (2.2) at the start of b. size is that of the
// whole packet; it is 0 when b is too short to tell.
func header(b []byte) (first byte, body, size int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, nil
	}
	n, shift := 0, 0
	for i := 1; i < 5; i++ {
		if i >= len(b) {
			return 0, 0, 0, nil
		}
		n |= int(b[i]&0x7f) << shift
		if b[i] < 0x80 {
			return b[0], i + 1, i + 1 + n, nil
		}
		shift += 7
	}
	return 0, 0, 0, malformed("the remaining length takes more than four bytes")
}

// publish is a PUBLISH packet (3.3); its slices lie in the read buffer.
type publish struct {
	topic, payload []byte
	id             uint16
	qos            byte
}

// parsePublish reads the body of a PUBLISH. It does not look into the topic:
// that happens once per topic, when it is resolved.
func parsePublish(first byte, body []byte, p *publish, v5 bool) error {
	p.qos = first >> 1 & 3
	if len(body) < 2 {
		return malformed("PUBLISH without a topic")
	}
	n := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	if n == 0 || n > len(body) {
		return malformed("PUBLISH topic of %d bytes in a packet with %d left", n, len(body))
	}
	p.topic, body = body[:n], body[n:]
	switch p.qos {
	case 0:
		if first&0x08 != 0 {
			return malformed("PUBLISH with DUP set at QoS 0")
		}
		p.id = 0
	case 1:
		if len(body) < 2 {
			return malformed("PUBLISH without a packet identifier")
		}
		if p.id = binary.BigEndian.Uint16(body); p.id == 0 {
			return malformed("PUBLISH with packet identifier 0")
		}
		body = body[2:]
	case 2:
		return malformed("PUBLISH at QoS 2; this endpoint takes QoS 0 and 1")
	default:
		return malformed("PUBLISH at QoS 3")
	}
	if v5 {
		if len(body) > 0 && body[0] == 0 { // no properties, as nearly always
			body = body[1:]
		} else {
			r := fields{b: body}
			r.properties("PUBLISH", func(id byte, _ []byte) error {
				if id == propTopicAlias {
					return malformed("PUBLISH with a topic alias; the CONNACK allowed none")
				}
				return nil
			})
			if r.err != nil {
				return r.err
			}
			body = r.b
		}
	}
	p.payload = body
	return nil
}

// checkTopic tells whether a topic name may stand in a PUBLISH (4.7).
func checkTopic(topic []byte) error {
	switch {
	case !utf8.Valid(topic):
		return malformed("PUBLISH topic is not UTF-8")
	case bytes.IndexByte(topic, 0) >= 0:
		return malformed("PUBLISH topic holds U+0000")
	case bytes.ContainsAny(topic, "+#"):
		return malformed("PUBLISH topic %q holds a wildcard", topic)
	}
	return nil
}

// connect is a CONNECT packet (3.1).
type connect struct {
	v5                 bool
	receiveMax         int // QoS 1 messages that the client takes unacknowledged (MQTT 5, 3.1.2.11.3)
	maxPacket          int // bytes it takes; 0: any
	clientID           string
	cleanSession       bool
	keepAlive          uint16 // seconds
	hasUser, hasPass   bool
	username, password string
}

// parseConnect reads the body of a CONNECT. code is the CONNACK code to send
// when the packet is well formed but cannot be served; err ends the connection
// without an answer.
func parseConnect(first byte, body []byte) (c connect, code byte, err error) {
	r := fields{b: body}
	if first&0x0f != 0 {
		return c, 0, malformed("CONNECT with reserved bits set")
	}
	name := r.text("protocol name")
	level := r.byte("protocol level")
	if r.err != nil {
		return c, 0, r.err
	}
	if name == "MQIsdp" || name == "MQTT" && level != 4 && level != 5 {
		return c, connBadProtocol, malformed("protocol %s level %d; this endpoint speaks MQTT 3.1.1 (level 4) and 5", name, level)
	}
	if name != "MQTT" {
		return c, 0, malformed("CONNECT names protocol %q", name)
	}
	flags := r.byte("connect flags")
	c.keepAlive = r.uint16("keep alive")
	c.cleanSession = flags&0x02 != 0
	will, willQoS := flags&0x04 != 0, flags>>3&3
	c.hasPass, c.hasUser = flags&0x40 != 0, flags&0x80 != 0
	switch {
	case flags&0x01 != 0:
		return c, 0, malformed("CONNECT with the reserved flag set")
	case willQoS == 3, !will && flags&0x38 != 0:
		return c, 0, malformed("CONNECT with bad will flags")
	case c.hasPass && !c.hasUser && level == 4:
		return c, 0, malformed("CONNECT with a password and no user name")
	}
	c.v5, c.receiveMax = level == 5, 65535
	if c.v5 {
		r.properties("CONNECT", func(id byte, v []byte) error {
			switch id {
			case propReceiveMaximum:
				if c.receiveMax = int(binary.BigEndian.Uint16(v)); c.receiveMax == 0 {
					return malformed("CONNECT with receive maximum 0")
				}
			case propMaximumPacketSize:
				if c.maxPacket = int(binary.BigEndian.Uint32(v)); c.maxPacket == 0 {
					return malformed("CONNECT with maximum packet size 0")
				}
			case propAuthenticationMethod:
				code = reasonBadMethod
			}
			return nil
		})
	}
	c.clientID = r.text("client identifier")
	if will && c.v5 {
		r.properties("CONNECT will", nil)
	}
	if will {
		r.text("will topic")
		r.bytes("will message")
	}
	if c.hasUser {
		c.username = r.text("user name")
	}
	if c.hasPass {
		c.password = string(r.bytes("password"))
	}
	if r.err == nil && len(r.b) != 0 {
		r.err = malformed("CONNECT with %d bytes too many", len(r.b))
	}
	if r.err != nil {
		return c, 0, r.err
	}
	if code != 0 {
		return c, code, malformed("CONNECT asks for an authentication method; this endpoint has none but user name and password")
	}
	if c.clientID == "" && !c.cleanSession && !c.v5 {
		return c, connIdentifierRejected, malformed("CONNECT with an empty client identifier and no clean session")
	}
	return c, connAccepted, nil
}

// wanted is a topic filter of a SUBSCRIBE with its requested QoS.
type wanted struct {
	filter string
	qos    byte
}

// parseFilters reads a SUBSCRIBE (3.8) or UNSUBSCRIBE (3.10): its packet
// identifier and topic filters.
func parseFilters(first byte, body []byte, subscribe, v5 bool) (id uint16, filters []wanted, err error) {
	if first&0x0f != 0x02 {
		return 0, nil, malformed("subscription packet with reserved bits set")
	}
	r := fields{b: body}
	if id = r.uint16("packet identifier"); r.err == nil && id == 0 {
		return 0, nil, malformed("subscription packet with packet identifier 0")
	}
	if v5 {
		r.properties("subscription packet", func(id byte, _ []byte) error {
			if id == propSubscriptionIdentifier {
				return malformed("SUBSCRIBE with a subscription identifier; the CONNACK said that there are none")
			}
			return nil
		})
	}
	for r.err == nil && (len(r.b) > 0 || len(filters) == 0) {
		w := wanted{filter: r.text("topic filter")}
		if subscribe {
			options := r.byte("subscription options")
			if w.qos = options & 3; w.qos > 2 || !v5 && options > 2 || options&0xc0 != 0 || options>>4&3 == 3 {
				return 0, nil, malformed("SUBSCRIBE with bad options %#x", options)
			}
		}
		filters = append(filters, w)
	}
	return id, filters, r.err
}

// parsePuback gives the packet identifier of a PUBACK (3.4).
func parsePuback(first byte, body []byte, v5 bool) (uint16, error) {
	r := fields{b: body}
	id := r.uint16("packet identifier")
	if v5 && len(r.b) > 0 {
		r.byte("reason code")
		if len(r.b) > 0 {
			r.properties("PUBACK", nil)
		}
	}
	if r.err == nil && (first&0x0f != 0 || len(r.b) != 0 || id == 0) {
		return 0, malformed("bad PUBACK")
	}
	return id, r.err
}

// fields reads the fields of a packet until the first that does not fit.
type fields struct {
	b   []byte
	err error
}

func (r *fields) take(n int, what string) []byte {
	if r.err == nil && n > len(r.b) {
		r.err = malformed("packet ends within its %s", what)
	}
	if r.err != nil {
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *fields) byte(what string) byte {
	if v := r.take(1, what); v != nil {
		return v[0]
	}
	return 0
}

func (r *fields) uint16(what string) uint16 {
	if v := r.take(2, what); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *fields) bytes(what string) []byte { return r.take(int(r.uint16(what)), what) }

// text reads a string and checks it as 1.5.3 asks.
func (r *fields) text(what string) string {
	v := r.bytes(what)
	if r.err == nil && (!utf8.Valid(v) || bytes.IndexByte(v, 0) >= 0) {
		r.err = malformed("the %s is not a UTF-8 text", what)
	}
	return string(v)
}
