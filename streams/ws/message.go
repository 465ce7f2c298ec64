package ws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"cityhub/streams"
	"cityhub/streams/asyncapi"
	"cityhub/twin"
)

// Protocol names the envelope; Subprotocol and SubprotocolCBOR are its
// WebSocket subprotocols.
const (
	Protocol        = "cityhub.v1"
	Subprotocol     = "cityhub.v1.json"
	SubprotocolCBOR = "cityhub.v1.cbor"
)

// inbound is any message from a client: what its type has is set.
type inbound struct {
	Type        string
	ID          string
	auth        asyncapi.Auth
	subscribe   asyncapi.Subscribe
	update      asyncapi.Update
	unsubscribe asyncapi.Unsubscribe
	ping        asyncapi.Ping
}

// errMalformed wraps what is wrong with a message that closes the connection.
type errMalformed struct{ msg string }

func (e errMalformed) Error() string { return e.msg }

// parse reads a message in JSON or, as opBinary, in CBOR.
func parse(op opcode, data []byte) (inbound, error) {
	if op == opBinary {
		var err error
		if data, err = jsonOf(data); err != nil {
			return inbound{}, err
		}
	}
	return parseMessage(data)
}

func parseMessage(data []byte) (inbound, error) {
	var m inbound
	if !utf8.Valid(data) {
		return m, errMalformed{"not valid UTF-8"}
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := unmarshal(data, &kind); err != nil {
		return m, err
	}
	m.Type = kind.Type
	var into any
	switch m.Type {
	case "auth":
		into = &m.auth
	case "subscribe":
		into = &m.subscribe
	case "update":
		into = &m.update
	case "unsubscribe":
		into = &m.unsubscribe
	case "ping":
		into = &m.ping
	case "":
		return m, errMalformed{"type: missing"}
	default:
		return m, errMalformed{"type: expected auth, subscribe, update, unsubscribe or ping"}
	}
	err := unmarshal(data, into)
	m.ID = m.subscribe.ID + m.update.ID + m.unsubscribe.ID // one of them is set
	return m, err
}

func unmarshal(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return errMalformed{fmt.Sprintf("%s: a %s is not expected here", wrong.Field, wrong.Value)}
	case errors.As(err, &wrong):
		return errMalformed{"expected one JSON object"}
	}
	return errMalformed{"not valid JSON: " + err.Error()}
}

// subscription is what a subscribe message asks for.
func subscription(m asyncapi.Subscribe) (streams.Subscription, error) {
	s := streams.Subscription{ID: m.ID, Interval: time.Duration(m.MinIntervalMs) * time.Millisecond}
	for _, later := range []struct {
		asked bool
		field string
	}{{m.At != "", "at"}, {len(m.Replay) > 0 && string(m.Replay) != "null", "replay"}} {
		if later.asked {
			return s, &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Field: later.field, Message: "the stream does not go back in time", Hint: "ask for past readings at /sta/v1.1"}
		}
	}
	if m.MinIntervalMs < 0 || m.MinIntervalMs > streams.MaxInterval.Milliseconds() {
		return s, &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: "minIntervalMs", Message: fmt.Sprintf("%d ms, expected %d to %d", m.MinIntervalMs, streams.MinInterval.Milliseconds(), streams.MaxInterval.Milliseconds())}
	}
	var err error
	if s.Mode, err = streams.ParseMode(m.Mode); err != nil {
		return s, err
	}
	if m.After != nil {
		s.After = &twin.Position{Epoch: m.After.Epoch, Offset: m.After.Offset}
	}
	for _, e := range m.Events {
		s.Events = append(s.Events, streams.EventKind(e))
	}
	s.Filter, err = parseFilter(m.Filter)
	return s, err
}

// filterHints says what a member of filter looks like.
var filterHints = map[string]string{
	"observedProperties": `a list of names, e.g. ["pm25"]`,
	"datastreams":        "a list of whole numbers, e.g. [12]",
	"bbox":               "four numbers: [west,south,east,north]",
	"domains":            `a list of domains, e.g. ["environment"]`,
	"districts":          `a list of codes, e.g. ["320508"]`,
	"objects":            `a list of keys DATASET/ID, e.g. ["gusu-buildings/b1"]`,
	"parts":              "true or false",
}

// parseFilter reads the filter of a message. An unknown member is an error: a
// filter with a slip of the pen must not choose everything.
func parseFilter(raw json.RawMessage) (streams.Filter, error) {
	var f streams.Filter
	if absent(raw) {
		return f, nil
	}
	var m asyncapi.Filter
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		e := &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: "filter", Message: "expected an object", Hint: "its members are observedProperties, datastreams, bbox, domains, districts, polygon, objects, parts and cql"}
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			// The decoder names an element of a list by the list.
			e.Field = "filter." + wrong.Field
			e.Message = fmt.Sprintf("a %s is not expected here", wrong.Value)
			e.Hint = filterHints[wrong.Field]
		} else if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
			e.Field = "filter." + strings.Trim(name, `"`)
			e.Message = "unknown member"
		}
		return f, e
	}
	f.ObservedProperties, f.Districts, f.Objects = m.ObservedProperties, m.Districts, m.Objects
	f.WithoutParts = m.Parts != nil && !*m.Parts
	if m.Datastreams != nil {
		f.Datastreams = make([]twin.DatastreamID, len(m.Datastreams))
		for i, id := range m.Datastreams {
			f.Datastreams[i] = twin.DatastreamID(id)
		}
	}
	if m.Domains != nil {
		f.Domains = make([]twin.Domain, len(m.Domains))
		for i, d := range m.Domains {
			f.Domains[i] = twin.Domain(d)
		}
	}
	var err error
	if m.BBox != nil {
		if f.BBox, err = streams.ParseBBox(m.BBox); err != nil {
			return f, err
		}
	}
	if !absent(m.Polygon) {
		if f.Polygon, err = streams.ParsePolygon(m.Polygon); err != nil {
			return f, err
		}
	}
	if !absent(m.CQL) {
		cql := string(m.CQL)
		switch m.CQL[0] {
		case '"':
			if err := json.Unmarshal(m.CQL, &cql); err != nil {
				return f, err
			}
		case '{':
		default:
			return f, &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: "filter.cql", Message: "expected CQL2 as a text or a CQL2 JSON object", Hint: `e.g. "value > 75"`}
		}
		f.CQL, err = streams.ParseCQL(cql)
	}
	return f, err
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func (s *Server) encodeWelcome(epoch, role string) []byte {
	return encode(asyncapi.Welcome{
		Type: "welcome", Protocol: Protocol, Server: s.o.Name, Epoch: epoch,
		Time: s.o.Clock().UTC().Format("2006-01-02T15:04:05.000Z07:00"), Role: role,
		HeartbeatSeconds: s.o.Hub.Heartbeat().Seconds(), MaxSubscriptions: s.o.Hub.MaxSubscriptions(),
		QueueBytes: s.o.Hub.QueueBytes(), MessageBytes: s.o.ReadLimit, MessagesPerSecond: s.o.MessagesPerSecond,
		MinIntervalMs: streams.MinInterval.Milliseconds(),
	})
}

// encodeSubscribed acknowledges a subscription; resuming tells that it was to go
// on after a position.
func encodeSubscribed(id string, resuming bool, a streams.Accepted) []byte {
	m := asyncapi.Subscribed{Type: "subscribed", ID: id, View: a.View}
	if resuming {
		m.Resumed, m.Reason = &a.Resumed, a.Reason
	}
	return encode(m)
}

func encodeUnsubscribed(id string) []byte {
	return encode(asyncapi.Unsubscribed{Type: "unsubscribed", ID: id})
}

func encodePong(t json.Number) []byte { return encode(asyncapi.Pong{Type: "pong", T: t}) }

// encodeError tells of a failed request. The cause is for logs, not for clients.
func encodeError(id string, err error) []byte {
	m := asyncapi.Error{Type: "error", ID: id, Code: string(twin.CodeInternal), Message: "the hub failed to do this"}
	var e *twin.Error
	if errors.As(err, &e) {
		m.Code, m.Field, m.Message, m.Hint = string(e.Code), e.Field, e.Message, e.Hint
	}
	return encode(m)
}

// closeCodeOf is the one place that maps an error to a WebSocket close code;
// zero means that the error is told and the connection lives on.
func closeCodeOf(err error) streams.CloseCode {
	var bad errMalformed
	if errors.As(err, &bad) {
		return streams.CloseMalformed
	}
	switch twin.ErrorCode(err) {
	case twin.CodeUnauthorized:
		return streams.CloseUnauthorized
	case twin.CodeForbidden:
		return streams.CloseForbidden
	case twin.CodeTooLarge:
		return streams.CloseTooLarge
	case twin.CodeTooMany:
		return streams.CloseTooManySubs
	}
	return 0
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("ws: " + err.Error()) // the types above always encode
	}
	return b
}

// reason fits a text into a close frame: at most 123 bytes of valid UTF-8.
func reason(s string) string {
	const limit = 123
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= limit {
		return s
	}
	s = s[:limit]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// limiter holds a client that sends messages too fast back by not reading on.
type limiter struct {
	perSecond float64
	tokens    float64
	last      time.Time
}

// wait is how long to wait before the next message is read; one costs 1.
func (l *limiter) wait(now time.Time, cost float64) time.Duration {
	if l.last.IsZero() {
		l.tokens = 2 * l.perSecond
	} else {
		l.tokens = min(2*l.perSecond, l.tokens+now.Sub(l.last).Seconds()*l.perSecond)
	}
	l.last = now
	if l.tokens -= cost; l.tokens >= 0 {
		return 0
	}
	return time.Duration(-l.tokens / l.perSecond * float64(time.Second))
}
