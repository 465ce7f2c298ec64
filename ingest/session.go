package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cityhub/ingest/decode"
	"cityhub/twin"
	"cityhub/twin/registry"
)

// SessionOptions of one connection, or one request, of a source.
type SessionOptions struct {
	Source string // mqtt, http …: kept with rejects
	Client string // MQTT client id or principal: kept with rejects
	// Terminal is the code of the terminal whose credentials the client
	// proved; empty: none.
	Terminal string
	// Trusted sessions may publish for every terminal, whatever its
	// credentials: an operator's.
	Trusted bool
	Waiter  Waiter // told when what Flush handed over is durable
}

// Session is the way into the pipeline for one connection. It decodes and
// checks messages and stages their readings until Flush. Topics are resolved
// once and remembered.
type Session struct {
	p      *Pipeline
	o      SessionOptions
	slab   *slab
	msg    decode.Message
	routes map[string]*route
	last   *route // the route of the message before: most terminals have one topic

	messages, received uint64 // since the last Flush
}

// maxRoutes bounds the topics that a session remembers; a gateway with more
// of them resolves some again.
const maxRoutes = 4096

// route is a resolved topic.
type route struct {
	topic    string
	code     string // terminal code
	terminal *registry.Terminal
	stream   *twin.Datastream // set when the topic names the Datastream
	decode   decode.Func
	shard    uint16
}

// NewSession returns a session. It holds no resources beyond memory.
func (p *Pipeline) NewSession(o SessionOptions) *Session {
	return &Session{p: p, o: o, routes: map[string]*route{}}
}

// Staged is the number of readings and rejects waiting for Flush; a source
// flushes before it grows beyond a few thousand.
func (s *Session) Staged() int {
	if s.slab == nil {
		return 0
	}
	return len(s.slab.rows) + len(s.slab.rejects)
}

// StagedBytes is the size of the texts and refused payloads waiting for Flush.
func (s *Session) StagedBytes() int {
	if s.slab == nil {
		return 0
	}
	return s.slab.bytes
}

// Flush hands over what is staged; Waiter.Durable(n) follows once it is
// durable. Flush blocks while the pipeline is full. On an error nothing was
// handed over, and the connection is of no more use.
func (s *Session) Flush(ctx context.Context, n int) error {
	s.p.m.messages.Add(s.messages)
	s.p.m.received.Add(s.received)
	s.messages, s.received = 0, 0
	sl := s.slab
	if sl == nil {
		if n == 0 {
			return nil
		}
		sl = s.p.slabs.Get().(*slab)
	}
	s.slab = nil
	return s.p.hand(ctx, sl, s.o.Waiter, n)
}

// Known reports whether topic is resolved already, so that a source need not
// check its syntax again. Publish of the same topic then looks for it no more.
func (s *Session) Known(topic []byte) bool {
	if s.last != nil && s.last.topic == string(topic) {
		return true
	}
	r := s.routes[string(topic)]
	if r != nil {
		s.last = r
	}
	return r != nil
}

// Publish decodes and checks one message and stages what it holds. It keeps no
// reference to topic or payload. receivedNs stands in for a phenomenon time
// that the payload lacks; a caller gives each message its own, so that two
// readings of one Datastream never fall together. The error is set only when
// the registry could not be asked; the message was then not staged and must
// not be acknowledged.
func (s *Session) Publish(ctx context.Context, topic, payload []byte, receivedNs int64) error {
	s.messages++
	if s.slab == nil {
		s.slab = s.p.slabs.Get().(*slab)
	}
	r := s.last
	if r == nil || r.topic != string(topic) {
		r = s.routes[string(topic)]
	}
	if r == nil || r.terminal.Stale() {
		var rej *twin.Reject
		var err error
		r, rej, err = s.resolve(ctx, string(topic))
		if err != nil {
			return err
		}
		if rej != nil {
			s.reject(rej, topic, payload, receivedNs)
			return nil
		}
	}
	s.last = r
	if err := r.decode(&s.msg, payload); err != nil {
		var d *decode.Error
		if !errors.As(err, &d) {
			return err
		}
		s.reject(&twin.Reject{Terminal: r.code, Reason: d.Reason, Detail: fmt.Sprintf("at byte %d: %s", d.Offset, d.Detail)}, topic, payload, receivedNs)
		return nil
	}
	if len(s.msg.Readings) == 0 {
		s.reject(&twin.Reject{Terminal: r.code, Reason: twin.RejectEmpty, Detail: "the payload holds no value"}, topic, payload, receivedNs)
		return nil
	}
	s.received += uint64(len(s.msg.Readings))
	return s.stage(ctx, r, topic, payload, receivedNs)
}

// Observe is Publish for a source that knows the Datastream and has the
// payload of a SensorThings Observation. It gives what was staged; when the
// reading was refused, Rejected has the reason.
func (s *Session) Observe(ctx context.Context, id twin.DatastreamID, payload []byte, receivedNs int64) (twin.Observation, error) {
	topic := "v1.1/Datastreams(" + strconv.FormatInt(int64(id), 10) + ")/Observations"
	if err := s.Publish(ctx, []byte(topic), payload, receivedNs); err != nil || len(s.slab.rows) == 0 {
		return twin.Observation{}, err
	}
	r := &s.slab.rows[len(s.slab.rows)-1]
	return twin.Observation{
		Datastream: r.datastream, PhenomenonNs: r.phenomenonNs, ResultNs: r.resultNs, Value: r.value,
		Text: string(s.slab.texts[r.textOff : r.textOff+r.textLen]), IsText: r.isText, Quality: r.quality,
	}, nil
}

// stage checks the decoded readings of a message and stages them. Readings are
// refused one by one; a second refusal for the same reason joins the first, so
// that one message makes a few rejects at most.
func (s *Session) stage(ctx context.Context, r *route, topic, payload []byte, receivedNs int64) error {
	newest := receivedNs + int64(s.p.o.MaxFuture)
	oldest := int64(math.MinInt64)
	if s.p.o.MaxPast > 0 {
		oldest = receivedNs - int64(s.p.o.MaxPast)
	}
	firstReject := len(s.slab.rejects)
	for i := range s.msg.Readings {
		v := &s.msg.Readings[i]
		ds := r.stream
		if ds == nil {
			ds = r.terminal.DatastreamBytes(v.Property)
		}
		if ds == nil {
			var rej *twin.Reject
			var err error
			if ds, rej, err = s.unknownProperty(ctx, r, v); err != nil {
				return err
			}
			if ds == nil {
				s.rejectReading(firstReject, rej, r, v, topic, payload, receivedNs)
				continue
			}
		}
		t := receivedNs
		if v.HasPhenomenon {
			t = v.PhenomenonNs
		}
		if v.BadTime != "" {
			s.rejectReading(firstReject, &twin.Reject{Reason: twin.RejectBadTime, Detail: v.BadTime}, r, v, topic, payload, receivedNs)
			continue
		}
		if t > newest || t < oldest {
			s.rejectReading(firstReject, s.timeOut(t, receivedNs), r, v, topic, payload, receivedNs)
			continue
		}
		if !fits(ds.Result, v) {
			s.rejectReading(firstReject, wrongValue(ds, v), r, v, topic, payload, receivedNs)
			continue
		}
		res := receivedNs
		if v.HasResult {
			res = v.ResultNs
		}
		q := v.Quality
		if q == 0 {
			q = twin.QualityNotEvaluated
		}
		out := row{datastream: ds.ID, phenomenonNs: t, resultNs: res, value: v.Value, shard: r.shard, quality: q}
		if v.Kind == decode.Text {
			out.isText, out.value = true, 0
			out.textOff, out.textLen = uint32(len(s.slab.texts)), uint32(len(v.Text))
			s.slab.texts = append(s.slab.texts, v.Text...)
			s.slab.bytes += len(v.Text)
		}
		s.slab.rows = append(s.slab.rows, out)
	}
	return nil
}

// fits reports whether a value is of the kind that a Datastream holds.
func fits(t twin.ResultType, v *decode.Reading) bool {
	switch t {
	case twin.ResultMeasurement:
		return v.Kind == decode.Number
	case twin.ResultCount:
		return v.Kind == decode.Number && v.Value == math.Trunc(v.Value)
	case twin.ResultText:
		return v.Kind == decode.Text && len(v.Text) <= maxText
	case twin.ResultTruth:
		return v.Kind == decode.Truth || v.Kind == decode.Number && (v.Value == 0 || v.Value == 1)
	}
	return false
}

// maxText bounds a text result, in bytes.
const maxText = 4096

// wrongValue says why v does not fit ds.
func wrongValue(ds *twin.Datastream, v *decode.Reading) *twin.Reject {
	found := fmt.Sprintf("%.40s", v.Text)
	switch v.Kind {
	case decode.Number:
		found = strconv.FormatFloat(v.Value, 'g', -1, 64)
	case decode.Truth:
		found = strconv.FormatBool(v.Value == 1)
	case decode.Text:
		found = strconv.Quote(found)
	}
	found = strings.ToValidUTF8(found, "�")
	reason, want := twin.RejectWrongType, "a number"
	switch ds.Result {
	case twin.ResultMeasurement:
		reason = twin.RejectNotANumber
	case twin.ResultCount:
		want = "a whole number"
		if v.Kind != decode.Number {
			reason = twin.RejectNotANumber
		}
	case twin.ResultText:
		want = fmt.Sprintf("a text of at most %d bytes", maxText)
	case twin.ResultTruth:
		want = "true or false"
	}
	return &twin.Reject{Reason: reason, Detail: found + " where " + want + " was expected"}
}

// timeOut says that a time lies outside the accepted span.
func (s *Session) timeOut(t, receivedNs int64) *twin.Reject {
	at := time.Unix(0, t).UTC().Format(time.RFC3339Nano)
	if t > receivedNs {
		return &twin.Reject{Reason: twin.RejectFuture, Detail: fmt.Sprintf("%s is more than %s after the time of receipt", at, s.p.o.MaxFuture)}
	}
	return &twin.Reject{Reason: twin.RejectPast, Detail: fmt.Sprintf("%s is more than %s before the time of receipt", at, s.p.o.MaxPast)}
}

// unknownProperty registers the property of v, or says that it is unknown.
func (s *Session) unknownProperty(ctx context.Context, r *route, v *decode.Reading) (*twin.Datastream, *twin.Reject, error) {
	if r.terminal == nil || !s.p.o.AutoRegister {
		return nil, &twin.Reject{Reason: twin.RejectUnknownProperty, Detail: fmt.Sprintf("terminal %s has no observed property %.64q", r.code, v.Property)}, nil
	}
	kind := twin.ResultMeasurement
	switch v.Kind {
	case decode.Text:
		kind = twin.ResultText
	case decode.Truth:
		kind = twin.ResultTruth
	case decode.NotNumber, decode.Structured:
		return nil, &twin.Reject{Reason: twin.RejectWrongType, Detail: fmt.Sprintf("%.40s is neither number, text nor truth", v.Text)}, nil
	}
	t, err := s.p.o.Registry.AutoRegister(ctx, r.code, string(v.Property), kind)
	if final(err) {
		return nil, &twin.Reject{Reason: twin.RejectUnknownProperty, Detail: err.Error()}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	r.terminal = t
	return t.DatastreamBytes(v.Property), nil, nil
}

// final reports whether the registry refused for good: asking again, as the
// client would by sending again, gives the same answer.
func final(err error) bool {
	switch twin.ErrorCode(err) {
	case twin.CodeInvalid, twin.CodeConflict, twin.CodeTooMany, twin.CodeForbidden, twin.CodeNotFound:
		return true
	}
	return false
}

// rejectReading stages the refusal of one reading, joined to an earlier one of
// the same message and reason.
func (s *Session) rejectReading(first int, rej *twin.Reject, r *route, v *decode.Reading, topic, payload []byte, receivedNs int64) {
	for i := first; i < len(s.slab.rejects); i++ {
		if e := &s.slab.rejects[i]; e.Reason == rej.Reason {
			e.Readings++
			return
		}
	}
	rej.Terminal, rej.Readings = r.code, 1
	rej.Property = strings.ToValidUTF8(string(v.Property[:min(len(v.Property), 128)]), "�")
	s.reject(rej, topic, payload, receivedNs)
}

// reject stages the refusal of a message.
func (s *Session) reject(rej *twin.Reject, topic, payload []byte, receivedNs int64) {
	rej.ReceivedNs, rej.Source, rej.Client = receivedNs, s.o.Source, s.o.Client
	rej.Topic = string(topic)
	rej.Size = max(rej.Size, len(payload))
	rej.Payload = bytes.Clone(payload[:min(len(payload), twin.MaxRejectPayload)])
	s.slab.rejects = append(s.slab.rejects, *rej)
	s.slab.bytes += len(rej.Payload) + len(topic) + 256
}

// TooLarge stages the refusal of a message over the source's size limit, of
// whose payload only the start was kept.
func (s *Session) TooLarge(topic, start []byte, size, limit int, receivedNs int64) {
	s.messages++
	if s.slab == nil {
		s.slab = s.p.slabs.Get().(*slab)
	}
	code, _, _ := strings.Cut(strings.TrimPrefix(string(topic), "terminals/"), "/up/")
	if !bytes.HasPrefix(topic, []byte("terminals/")) {
		code = ""
	}
	s.reject(&twin.Reject{Terminal: code, Reason: twin.RejectTooLarge, Size: size, Detail: fmt.Sprintf("%d bytes, at most %d", size, limit)}, topic, start, receivedNs)
}

// Rejected gives the rejects staged since the last Flush, for a source that
// answers with them. They are valid until the next call on s.
func (s *Session) Rejected() []twin.Reject {
	if s.slab == nil {
		return nil
	}
	return s.slab.rejects
}

// resolve finds what a topic names, or the reason why it names nothing.
func (s *Session) resolve(ctx context.Context, topic string) (*route, *twin.Reject, error) {
	r := &route{topic: topic}
	if !utf8.ValidString(topic) {
		return nil, &twin.Reject{Reason: twin.RejectInvalidUTF8, Detail: "the topic must be UTF-8"}, nil
	}
	if rest, ok := strings.CutPrefix(topic, "terminals/"); ok {
		code, format, ok := strings.Cut(rest, "/up/")
		if !ok || code == "" || strings.Contains(code, "/") {
			return nil, unknownTopic(), nil
		}
		if r.decode = formats[format]; r.decode == nil {
			return nil, &twin.Reject{Terminal: code, Reason: twin.RejectUnknownFormat, Detail: fmt.Sprintf("%.40q is not a format; known is json", format)}, nil
		}
		r.code = code
	} else if rest, ok := strings.CutPrefix(topic, "v1.1/Datastreams("); ok {
		id, rest, _ := strings.Cut(rest, ")")
		n, err := strconv.ParseInt(id, 10, 64)
		if rest != "/Observations" || err != nil {
			return nil, unknownTopic(), nil
		}
		if r.stream, err = s.p.o.Registry.Datastream(ctx, twin.DatastreamID(n)); err != nil {
			if twin.ErrorCode(err) != twin.CodeNotFound {
				return nil, nil, err
			}
			return nil, &twin.Reject{Reason: twin.RejectUnknownDatastream, Detail: fmt.Sprintf("there is no Datastream %d", n)}, nil
		}
		r.code, r.decode = r.stream.Terminal, decode.SensorThings
	} else {
		return nil, unknownTopic(), nil
	}

	t, err := s.p.o.Registry.Terminal(ctx, r.code)
	switch code := twin.ErrorCode(err); {
	case code == twin.CodeNotFound && s.p.o.AutoRegister:
		// The property comes with the first reading.
		t, err = s.p.o.Registry.AutoRegister(ctx, r.code, "", "")
		if final(err) {
			return nil, &twin.Reject{Terminal: r.code, Reason: twin.RejectUnknownTerminal, Detail: err.Error()}, nil
		}
	case code == twin.CodeNotFound:
		// 苏州市数据条例 第四十一条: terminals are managed; one that nobody registered may not add to the city's data (R50).
		return nil, &twin.Reject{Terminal: r.code, Reason: twin.RejectUnknownTerminal, Detail: "register it with `cityhub import terminals` or POST /api/v1/terminals"}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if r.stream != nil && t.Datastream(r.stream.PropertyName) == nil {
		return nil, &twin.Reject{Terminal: r.code, Reason: twin.RejectUnknownDatastream, Detail: fmt.Sprintf("Datastream %d is retired: its terminal no longer observes %s", r.stream.ID, r.stream.PropertyName)}, nil
	}
	if !t.Thing.State.MayPublish() {
		return nil, &twin.Reject{Terminal: r.code, Reason: twin.RejectTerminalState, Detail: "its state is " + string(t.Thing.State)}, nil
	}
	if t.HasCredential && s.o.Terminal != r.code && !s.o.Trusted {
		return nil, &twin.Reject{Terminal: r.code, Reason: twin.RejectNotAuthorized, Detail: "the terminal has its own user and password and the connection did not prove them"}, nil
	}
	if r.shard, err = s.p.shard(t.Thing.District, t.Thing.Domain); err != nil {
		return nil, nil, err
	}
	r.terminal = t
	if len(s.routes) >= maxRoutes {
		clear(s.routes)
	}
	s.routes[topic] = r
	return r, nil, nil
}

func unknownTopic() *twin.Reject {
	return &twin.Reject{Reason: twin.RejectUnknownTopic, Detail: "topics are terminals/{code}/up/{format} and v1.1/Datastreams({id})/Observations"}
}

// formats never changes after the program started.
var formats = decode.Formats()
