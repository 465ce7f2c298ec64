package mqttd

import (
	"encoding/binary"
	"errors"
)

// What is MQTT 5 alone: properties (2.2.2) and reason codes (2.4).

// Properties that matter here.
const (
	propAssignedClientID       = 0x12
	propAuthenticationMethod   = 0x15
	propReceiveMaximum         = 0x21
	propTopicAlias             = 0x23
	propMaximumQoS             = 0x24
	propMaximumPacketSize      = 0x27
	propWildcardAvailable      = 0x28
	propSubscriptionIDsAllowed = 0x29
	propSharedAvailable        = 0x2a
	propSubscriptionIdentifier = 0x0b
	propSessionExpiry          = 0x11
)

// Reason codes.
const (
	reasonGranted        = 0x00 // QoS 0; 0x01 is QoS 1
	reasonNoSubscription = 0x11
	reasonUnspecified    = 0x80
	reasonMalformed      = 0x81
	reasonProtocolError  = 0x82
	reasonBadProtocol    = 0x84
	reasonBadIdentifier  = 0x85
	reasonBadCredentials = 0x86
	reasonNotAuthorized  = 0x87
	reasonUnavailable    = 0x88
	reasonBadMethod      = 0x8c
	reasonKeepAlive      = 0x8d
	reasonBadFilter      = 0x8f
	reasonTooLarge       = 0x95
	reasonQuota          = 0x97
	reasonNoShared       = 0x9e
	reasonNoWildcards    = 0xa2
	maxPropertyBytes     = 64 << 10
)

// reasonOf gives the reason code of a CONNACK for a code of MQTT 3.1.1. Those of
// MQTT 5 pass.
func reasonOf(code byte) byte {
	switch code {
	case connBadProtocol:
		return reasonBadProtocol
	case connIdentifierRejected:
		return reasonBadIdentifier
	case connUnavailable:
		return reasonUnavailable
	case connBadCredentials:
		return reasonBadCredentials
	case connNotAuthorized:
		return reasonNotAuthorized
	}
	return code
}

// varint reads a variable byte integer (1.5.5); width 0: b does not begin with
// a whole one.
func varint(b []byte) (n, width int) {
	for i := 0; i < 4 && i < len(b); i++ {
		n |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

// properties reads a property list; fn, which may be nil, gets each identifier
// with its value.
func (r *fields) properties(where string, fn func(id byte, value []byte) error) {
	if r.err != nil {
		return
	}
	n, width := varint(r.b)
	if width == 0 || n > len(r.b)-width || n > maxPropertyBytes {
		r.err = malformed("%s with bad properties", where)
		return
	}
	p := fields{b: r.b[width : width+n]}
	r.b = r.b[width+n:]
	for len(p.b) > 0 {
		id := p.byte("property identifier")
		var v []byte
		switch id {
		case 0x01, 0x17, 0x19, propMaximumQoS, 0x25, propWildcardAvailable, propSubscriptionIDsAllowed, propSharedAvailable:
			v = p.take(1, "property")
		case 0x13, propReceiveMaximum, 0x22, propTopicAlias:
			v = p.take(2, "property")
		case 0x02, propSessionExpiry, 0x18, propMaximumPacketSize:
			v = p.take(4, "property")
		case propSubscriptionIdentifier:
			if _, width := varint(p.b); width > 0 {
				v = p.take(width, "property")
			} else {
				p.err = malformed("%s with a bad subscription identifier", where)
			}
		case 0x03, 0x08, propAssignedClientID, propAuthenticationMethod, 0x1a, 0x1c, 0x1f:
			v = []byte(p.text("property"))
		case 0x09, 0x16:
			v = p.bytes("property")
		case 0x26: // a pair of texts
			p.text("property")
			p.text("property")
		default:
			p.err = malformed("%s with the unknown property %#x", where, id)
		}
		if p.err == nil && fn != nil {
			p.err = fn(id, v)
		}
		if p.err != nil {
			r.err = p.err
			return
		}
	}
}

// connack accepts a CONNECT. To an MQTT 5 client it tells what this endpoint
// does not have: QoS 2, wildcards, shared subscriptions, subscription
// identifiers, topic aliases (none without the property), kept sessions.
func (c *conn) connack(req connect) []byte {
	if !c.v5 {
		return []byte{typeConnack << 4, 2, 0, connAccepted}
	}
	p := []byte{propMaximumQoS, 1, propWildcardAvailable, 0, propSubscriptionIDsAllowed, 0, propSharedAvailable, 0, propSessionExpiry, 0, 0, 0, 0}
	p = binary.BigEndian.AppendUint32(append(p, propMaximumPacketSize), uint32(min(c.s.o.MaxPacketBytes, 1<<28)))
	if req.clientID == "" {
		p = append(p, propAssignedClientID)
		p = binary.BigEndian.AppendUint16(p, uint16(len(c.clientID)))
		p = append(p, c.clientID...)
	}
	b := appendLength([]byte{typeConnack << 4}, 2+1+len(p)) // their length takes one byte: at most 127
	b = append(b, 0, 0, byte(len(p)))
	return append(b, p...)
}

// farewell tells an MQTT 5 client why its connection ends (3.14), if the reader
// found the reason. Others have theirs closed: they are told by nobody or read
// nothing.
func (c *conn) farewell(err error) {
	if !c.v5 || c.session == nil {
		return
	}
	var p protocolError
	reason := byte(reasonUnspecified)
	switch {
	case errors.Is(err, errDisconnect):
		return
	case errors.As(err, &p):
		reason = reasonProtocolError
	case errors.Is(err, errOversize):
		reason = reasonTooLarge
	case errors.Is(err, errSilent), errors.Is(err, errSlowPacket):
		reason = reasonKeepAlive
	case errors.Is(err, errNotAvailable):
		reason = reasonUnavailable
	}
	c.send(typeDisconnect<<4, 2, reason, 0)
	c.writers.Wait() // no longer than WriteTimeout
}
