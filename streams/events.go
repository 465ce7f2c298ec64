package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/twin"
)

// EventKind is what an Event tells of.
type EventKind string

// The kinds of events.
const (
	EventTerminal  EventKind = "terminal"  // registered, moved, retired, another state
	EventCatalogue EventKind = "catalogue" // a Dataset was opened, closed or changed
	EventModel     EventKind = "model"     // city objects were imported
	EventQuality   EventKind = "quality"   // a quality mark was changed
	EventIncident  EventKind = "incident"
)

var eventKinds = []EventKind{EventTerminal, EventCatalogue, EventModel, EventQuality, EventIncident}

// EventKinds lists the kinds.
func EventKinds() []EventKind { return append([]EventKind(nil), eventKinds...) }

// Event is something that happened beside the readings.
type Event struct {
	Kind EventKind
	// Dataset is the code of the Dataset whose visibility decides who gets it.
	Dataset string
	Time    time.Time     // zero: now
	Of      twin.Position // where in the log it happened; zero: it is not in the log
	// Members are the further members of the message: a JSON object without type,
	// id, kind, dataset, time and position.
	Members json.RawMessage
}

const maxEventBytes = 64 << 10

// eventSet is a set of kinds, a bit each.
type eventSet uint8

func setOf(kinds []EventKind) (s eventSet, err error) {
next:
	for _, k := range kinds {
		for i, known := range eventKinds {
			if k == known {
				s |= 1 << i
				continue next
			}
		}
		return 0, &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: "events", Message: fmt.Sprintf("%q is no kind of event", k), Hint: fmt.Sprintf("the kinds are %v", eventKinds)}
	}
	return s, nil
}

// Publish sends an event once to every client who asked for its kind and may see
// its Dataset (R28). It is encoded once. An event is not kept: who is not
// connected does not get it, and a client whose queue is full is closed as slow.
func (h *Hub) Publish(e Event) error {
	set, err := setOf([]EventKind{e.Kind})
	if err != nil {
		return &twin.Error{Code: twin.CodeInvalid, Op: "publish event", Field: "kind", Message: fmt.Sprintf("%q is no kind of event", e.Kind)}
	}
	var members map[string]json.RawMessage
	if len(e.Members) > 0 {
		if err := json.Unmarshal(e.Members, &members); err != nil || members == nil || len(e.Members) > maxEventBytes {
			return &twin.Error{Code: twin.CodeInvalid, Op: "publish event", Field: "members", Message: fmt.Sprintf("expected a JSON object of at most %d bytes", maxEventBytes), Err: err}
		}
	}
	for _, name := range [...]string{"type", "id", "kind", "dataset", "time", "position"} {
		if _, ok := members[name]; ok {
			return &twin.Error{Code: twin.CodeInvalid, Op: "publish event", Field: "members." + name, Message: "every event has this member already"}
		}
	}
	if e.Time.IsZero() {
		e.Time = h.o.Clock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revalidateIfAsked(context.Background())
	h.lastEvent++
	dst := append(make([]byte, 0, 192+len(e.Members)), `{"type":"event","id":"e`...)
	dst = strconv.AppendUint(dst, h.lastEvent, 10)
	dst = append(dst, `","kind":`...)
	dst = jsonenc.AppendString(dst, string(e.Kind))
	dst = append(dst, `,"dataset":`...)
	dst = jsonenc.AppendString(dst, e.Dataset)
	dst = append(dst, ',')
	dst = appendTime(dst, e.Time)
	if !e.Of.IsZero() {
		dst = append(dst, ',')
		dst = appendPosition(dst, e.Of)
	}
	if len(members) > 0 {
		compact, err := json.Marshal(members) // one line, in the order of the names
		if err != nil {
			return &twin.Error{Code: twin.CodeInternal, Op: "publish event", Message: "cannot encode the members", Err: err}
		}
		dst = append(dst, ',')
		dst = append(dst, compact[1:len(compact)-1]...)
	}
	f := &Frame{Kind: FrameEvent, JSON: append(dst, '}'), Position: e.Of, dataset: e.Dataset}
	h.m.events.Inc()
	for _, shard := range h.clients {
		for _, c := range shard {
			if c.events&set != 0 && seesDataset(c.access, e.Dataset) {
				c.push(f)
			}
		}
	}
	return nil
}

// gatherEvents notes which kinds a client wants.
func (c *Client) gatherEvents() {
	c.events = 0
	for _, s := range c.subs {
		c.events |= s.events
	}
}
