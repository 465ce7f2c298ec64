package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"cityhub/twin"
)

// message is any message of the hub.
type message struct {
	Type, ID, View string
	Position       twin.Position
	Time           string
	Last           bool
	Resumed        bool
	Reason         string
	Left           []twin.DatastreamID
	Datastreams    []Datastream
	Observations   []Observation

	Code, Field, Message, Hint string // of an error

	Members map[string]any // all of them; only of welcome and event
}

func (m *message) str(name string) string {
	s, _ := m.Members[name].(string)
	return s
}

// number is a JSON or CBOR number as a float.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case uint64:
		return float64(n), true
	case int64:
		return float64(n), true
	}
	return 0, false
}

// decoder reads messages. It keeps the names that come with every message, so
// that they are not made again. It belongs to one goroutine.
type decoder struct {
	m     message
	names [8]string
	at    int
}

// name is b as a string, one that was given before if possible.
func (d *decoder) name(b []byte) string {
	for _, s := range d.names {
		if string(b) == s { // compares without an allocation
			return s
		}
	}
	s := string(b)
	if len(s) <= 64 {
		d.names[d.at%len(d.names)] = s
		d.at++
	}
	return s
}

var errMessage = errors.New("not a message of the protocol")

// json reads a message; what it gives is valid until the next one, but for its
// lists, which are the caller's.
func (d *decoder) json(data []byte) (*message, error) {
	if !utf8.Valid(data) {
		return nil, errMessage
	}
	d.m = message{}
	m, s := &d.m, scan{b: data}
	whole := false // all members are wanted
	err := s.object(func(name []byte) (err error) {
		switch string(name) {
		case "type":
			m.Type, err = d.text(&s)
			whole = m.Type == "welcome" || m.Type == "event"
		case "id":
			m.ID, err = d.text(&s)
		case "view":
			m.View, err = d.text(&s)
		case "position":
			m.Position, err = d.position(&s)
		case "last":
			m.Last, err = s.truth()
		case "resumed":
			m.Resumed, err = s.truth()
		case "observations":
			m.Observations, err = observations(&s)
		case "datastreams":
			err = s.unmarshal(&m.Datastreams)
		case "left":
			err = s.unmarshal(&m.Left)
		case "time":
			m.Time, err = s.text()
		case "reason":
			m.Reason, err = s.text()
		case "code":
			m.Code, err = s.text()
		case "field":
			m.Field, err = s.text()
		case "message":
			m.Message, err = s.text()
		case "hint":
			m.Hint, err = s.text()
		default:
			err = s.skip(0)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && whole {
		err = json.Unmarshal(data, &m.Members)
	}
	if err == nil && m.Type == "" {
		err = errMessage
	}
	return m, err
}

func (d *decoder) text(s *scan) (string, error) {
	raw, plain, err := s.quoted()
	if err != nil {
		return "", err
	}
	if plain {
		return d.name(raw), nil
	}
	return unquote(raw)
}

func (d *decoder) position(s *scan) (p twin.Position, err error) {
	err = s.object(func(name []byte) (err error) {
		switch string(name) {
		case "epoch":
			p.Epoch, err = d.text(s)
		case "offset":
			var raw []byte
			if raw, err = s.number(); err == nil {
				p.Offset, err = strconv.ParseUint(string(raw), 10, 64)
			}
		default:
			err = s.skip(0)
		}
		return err
	})
	return p, err
}

// observations reads the list that carries every reading: its speed is the
// client's.
func observations(s *scan) ([]Observation, error) {
	if err := s.expect('['); err != nil {
		return nil, err
	}
	if s.next(']') {
		return nil, nil
	}
	// The shortest observation has about 20 bytes; the rest of the message may be
	// descriptions.
	out := make([]Observation, 0, min(1+(len(s.b)-s.i)/24, 4096))
	for {
		var o Observation
		if err := observation(s, &o); err != nil {
			return nil, err
		}
		out = append(out, o)
		if s.next(',') {
			continue
		}
		return out, s.expect(']')
	}
}

func observation(s *scan, o *Observation) error {
	if err := s.expect('['); err != nil {
		return err
	}
	id, err := s.number()
	if err != nil {
		return err
	}
	n, ok := digits(id)
	if !ok {
		return errMessage
	}
	o.Datastream = twin.DatastreamID(n)
	if err := s.expect(','); err != nil {
		return err
	}
	t, err := s.number()
	if err != nil {
		return err
	}
	if o.PhenomenonNs, err = nanoseconds(t); err != nil {
		return err
	}
	if err := s.expect(','); err != nil {
		return err
	}
	if o.Result, err = result(s); err != nil {
		return err
	}
	if err := s.expect(','); err != nil {
		return err
	}
	q, err := s.number()
	if err != nil {
		return err
	}
	n, ok = digits(q)
	if !ok || n > math.MaxUint8 {
		return errMessage
	}
	o.Quality = twin.Quality(n)
	for s.next(',') { // a later version of the protocol may add to it
		if err := s.skip(0); err != nil {
			return err
		}
	}
	return s.expect(']')
}

func result(s *scan) (r Result, err error) {
	switch c := s.peek(); c {
	case '"':
		r.Kind = Text
		r.Text, err = s.text()
	case 't', 'f':
		var v bool
		r.Kind = Truth
		if v, err = s.truth(); v {
			r.Value = 1
		}
	case 'n':
		err = s.word("null")
	default:
		var raw []byte
		if raw, err = s.number(); err == nil {
			r.Kind = Number
			r.Value, err = strconv.ParseFloat(string(raw), 64)
		}
	}
	return r, err
}

// digits reads a whole number without a sign, up to 18 digits.
func digits(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// nanoseconds reads milliseconds with a fraction without rounding them through
// a float.
func nanoseconds(b []byte) (int64, error) {
	whole, frac, _ := bytes.Cut(b, []byte("."))
	negative := len(whole) > 0 && whole[0] == '-'
	if negative {
		whole = whole[1:]
	}
	ms, ok := digits(whole)
	if !ok || ms >= math.MaxInt64/1_000_000 {
		return 0, errMessage
	}
	ns, unit := ms*1_000_000, int64(100_000)
	for _, c := range frac {
		if c < '0' || c > '9' {
			return 0, errMessage // an exponent is not how the hub writes times
		}
		ns += int64(c-'0') * unit
		unit /= 10
	}
	if negative {
		ns = -ns
	}
	return ns, nil
}

// cborMode reads what the hub sends: bounded in depth; its lists are bounded by
// the bytes of the message.
var cborMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		MaxNestedLevels: 32, MaxArrayElements: 16 << 20, MaxMapPairs: 1 << 16,
		DupMapKey: cbor.DupMapKeyEnforcedAPF, TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid,
		DefaultMapType: reflect.TypeFor[map[string]any](),
	}.DecMode()
	if err != nil {
		panic("client: " + err.Error()) // the options are valid
	}
	return m
}()

type cborMessage struct {
	Type         string              `json:"type"`
	ID           string              `json:"id"`
	View         string              `json:"view"`
	Position     twin.Position       `json:"position"`
	Time         string              `json:"time"`
	Last         bool                `json:"last"`
	Resumed      bool                `json:"resumed"`
	Reason       string              `json:"reason"`
	Left         []twin.DatastreamID `json:"left"`
	Datastreams  []Datastream        `json:"datastreams"`
	Observations [][]any             `json:"observations"`
	Code         string              `json:"code"`
	Field        string              `json:"field"`
	Message      string              `json:"message"`
	Hint         string              `json:"hint"`
}

// cbor reads a message as json does.
func (d *decoder) cbor(data []byte) (*message, error) {
	var c cborMessage
	if err := cborMode.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	d.m = message{
		Type: c.Type, ID: c.ID, View: c.View, Position: c.Position, Time: c.Time, Last: c.Last, Resumed: c.Resumed, Reason: c.Reason,
		Left: c.Left, Datastreams: c.Datastreams, Code: c.Code, Field: c.Field, Message: c.Message, Hint: c.Hint,
	}
	m := &d.m
	if m.Type == "" {
		return nil, errMessage
	}
	if len(c.Observations) > 0 {
		m.Observations = make([]Observation, len(c.Observations))
	}
	for i, row := range c.Observations {
		if err := observationOf(row, &m.Observations[i]); err != nil {
			return nil, fmt.Errorf("observations: %w", err)
		}
	}
	if m.Type == "welcome" || m.Type == "event" {
		return m, cborMode.Unmarshal(data, &m.Members)
	}
	return m, nil
}

func observationOf(row []any, o *Observation) error {
	if len(row) < 4 {
		return errMessage
	}
	id, ok1 := row[0].(uint64)
	quality, ok2 := row[3].(uint64)
	if !ok1 || !ok2 || id > math.MaxInt64 || quality > math.MaxUint8 {
		return errMessage
	}
	o.Datastream, o.Quality = twin.DatastreamID(id), twin.Quality(quality)
	const limit = math.MaxInt64 / 1_000_000
	switch t := row[1].(type) {
	case uint64:
		if t >= limit {
			return errMessage
		}
		o.PhenomenonNs = int64(t) * 1_000_000
	case int64:
		if t <= -limit {
			return errMessage
		}
		o.PhenomenonNs = t * 1_000_000
	case float64:
		if !(math.Abs(t) < limit) {
			return errMessage
		}
		ms := math.Trunc(t)
		o.PhenomenonNs = int64(ms)*1_000_000 + int64(math.Round((t-ms)*1e6))
	default:
		return errMessage
	}
	switch v := row[2].(type) {
	case string:
		o.Result = Result{Kind: Text, Text: v}
	case bool:
		o.Result.Kind = Truth
		if v {
			o.Result.Value = 1
		}
	case nil:
	default:
		f, ok := number(v)
		if !ok {
			return errMessage
		}
		o.Result = Result{Kind: Number, Value: f}
	}
	return nil
}

// encodeCBOR writes a message of the client: its JSON, member by member.
func encodeCBOR(m map[string]any) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return cbor.Marshal(numbers(v))
}

// numbers turns the numbers of JSON into those of CBOR, whole ones as such.
func numbers(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			x[k] = numbers(e)
		}
	case []any:
		for i, e := range x {
			x[i] = numbers(e)
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(x), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(string(x), 10, 64); err == nil {
			return n
		}
		f, _ := strconv.ParseFloat(string(x), 64) // json.Marshal wrote it
		return f
	}
	return v
}
