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
	"cityhub/twin"
)

// Protocol names the envelope; Subprotocol and SubprotocolCBOR are its
// WebSocket subprotocols.
const (
	Protocol        = "cityhub.v1"
	Subprotocol     = "cityhub.v1.json"
	SubprotocolCBOR = "cityhub.v1.cbor"
)

// inbound is any message from a client.
type inbound struct {
	Type   string          `json:"type"`
	ID     string          `json:"id"`
	Token  string          `json:"token"`
	Filter json.RawMessage `json:"filter"`
	T      json.Number     `json:"t"`
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
	if err := json.Unmarshal(data, &m); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrong) && wrong.Field != "":
			return m, errMalformed{fmt.Sprintf("%s: a %s is not expected here", wrong.Field, wrong.Value)}
		case errors.As(err, &wrong):
			return m, errMalformed{"expected one JSON object"}
		}
		return m, errMalformed{"not valid JSON: " + err.Error()}
	}
	switch m.Type {
	case "auth", "subscribe", "unsubscribe", "ping":
		return m, nil
	case "":
		return m, errMalformed{"type: missing"}
	}
	return m, errMalformed{"type: expected auth, subscribe, unsubscribe or ping"}
}

// parseFilter reads the filter of a subscribe message. An unknown member is an
// error: a filter with a slip of the pen must not choose everything.
func parseFilter(raw json.RawMessage) (streams.Filter, error) {
	var f streams.Filter
	if len(raw) == 0 || string(raw) == "null" {
		return f, nil
	}
	var m struct {
		ObservedProperties []string            `json:"observedProperties"`
		Datastreams        []twin.DatastreamID `json:"datastreams"`
		BBox               []float64           `json:"bbox"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		e := &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: "filter", Message: "expected an object", Hint: "its members are observedProperties, datastreams and bbox"}
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			// The decoder names an element of a list by the list.
			e.Field = "filter." + wrong.Field
			e.Message = fmt.Sprintf("a %s is not expected here", wrong.Value)
			e.Hint = map[string]string{
				"observedProperties": "a list of names, e.g. [\"pm25\"]",
				"datastreams":        "a list of whole numbers, e.g. [12]",
				"bbox":               "four numbers: [west,south,east,north]",
			}[wrong.Field]
		} else if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
			e.Field = "filter." + strings.Trim(name, `"`)
			e.Message = "unknown member"
		}
		return f, e
	}
	f.ObservedProperties, f.Datastreams = m.ObservedProperties, m.Datastreams
	if m.BBox != nil {
		b, err := streams.ParseBBox(m.BBox)
		if err != nil {
			return f, err
		}
		f.BBox = b
	}
	return f, nil
}

type welcome struct {
	Type             string  `json:"type"`
	Protocol         string  `json:"protocol"`
	Server           string  `json:"server"`
	Epoch            string  `json:"epoch"`
	Time             string  `json:"time"`
	Role             string  `json:"role"`
	HeartbeatSeconds float64 `json:"heartbeatSeconds"`
	MaxSubscriptions int     `json:"maxSubscriptions"`
}

func (s *Server) encodeWelcome(epoch, role string) []byte {
	return encode(welcome{
		Type: "welcome", Protocol: Protocol, Server: s.o.Name, Epoch: epoch,
		Time: s.o.Clock().UTC().Format("2006-01-02T15:04:05.000Z07:00"), Role: role,
		HeartbeatSeconds: s.o.Hub.Heartbeat().Seconds(), MaxSubscriptions: s.o.Hub.MaxSubscriptions(),
	})
}

func encodeSubscribed(id, view string) []byte {
	return encode(struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		View string `json:"view"`
	}{"subscribed", id, view})
}

func encodeUnsubscribed(id string) []byte {
	return encode(struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}{"unsubscribed", id})
}

func encodePong(t json.Number) []byte {
	return encode(struct {
		Type string      `json:"type"`
		T    json.Number `json:"t,omitempty"`
	}{"pong", t})
}

// encodeError tells of a failed request. The cause is for logs, not for clients.
func encodeError(id string, err error) []byte {
	m := struct {
		Type    string    `json:"type"`
		ID      string    `json:"id,omitempty"`
		Code    twin.Code `json:"code"`
		Field   string    `json:"field,omitempty"`
		Message string    `json:"message"`
		Hint    string    `json:"hint,omitempty"`
	}{Type: "error", ID: id, Code: twin.CodeInternal, Message: "the hub failed to do this"}
	var e *twin.Error
	if errors.As(err, &e) {
		m.Code, m.Field, m.Message, m.Hint = e.Code, e.Field, e.Message, e.Hint
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
