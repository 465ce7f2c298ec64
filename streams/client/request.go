package client

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"cityhub/twin"
)

// Mode says which readings a subscription gets.
type Mode string

// The modes.
const (
	Every  Mode = "every"  // each reading, in the order of the log; the zero value means this
	Latest Mode = "latest" // of each Datastream the latest reading, at most once every MinInterval
)

// Filter chooses Datastreams, and with CQL readings. Its members are combined
// with AND; the zero value chooses everything that the caller may see. The hub
// checks it, and names the member at fault in a Failed event.
type Filter struct {
	ObservedProperties []string            // names, e.g. pm25
	Datastreams        []twin.DatastreamID // by id
	BBox               *BBox
	Polygon            json.RawMessage // GeoJSON Polygon or MultiPolygon, WGS 84, longitude first
	Objects            []string        // CityObjects by key, DATASET/ID, with their parts
	NoParts            bool            // of the Objects: leave their parts out
	Districts          []string        // by code, e.g. 320508
	Domains            []twin.Domain
	CQL                string          // CQL2 text over Thing, Datastream, CityObject and reading
	CQLJSON            json.RawMessage // the same as CQL2 JSON, instead of CQL
}

// BBox is west, south, east and north in degrees of WGS 84; its edges belong to
// it. West greater than east crosses the antimeridian.
type BBox [4]float64

// MarshalJSON writes the filter as PROTOCOL.md has it.
func (f Filter) MarshalJSON() ([]byte, error) {
	m := map[string]any{}
	list(m, "observedProperties", f.ObservedProperties)
	list(m, "datastreams", f.Datastreams)
	list(m, "objects", f.Objects)
	list(m, "districts", f.Districts)
	list(m, "domains", f.Domains)
	if f.BBox != nil {
		m["bbox"] = *f.BBox
	}
	if f.Polygon != nil {
		m["polygon"] = f.Polygon
	}
	if f.NoParts {
		m["parts"] = false
	}
	if f.CQL != "" {
		m["cql"] = f.CQL
	} else if f.CQLJSON != nil {
		m["cql"] = f.CQLJSON
	}
	return json.Marshal(m)
}

func list[T any](m map[string]any, name string, v []T) {
	if v != nil {
		m[name] = v
	}
}

// Request is what a subscription asks for.
type Request struct {
	// ID names the subscription in its events, 1 to 64 characters; empty: the
	// Client finds one.
	ID     string
	Filter Filter
	Mode   Mode
	// MinInterval of the mode Latest, 50 ms to 60 s; zero means the hub's 200 ms.
	MinInterval time.Duration
	// After is where to go on: the position of the last event that was handled,
	// perhaps by an earlier run of the program. Zero: begin with a Snapshot.
	After twin.Position
	// Events are the kinds of events of the city to get beside readings, such as
	// terminal, catalogue, model, quality and incident.
	Events []string
}

func (r *Request) validate() error {
	fail := func(field, message, hint string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: field, Message: message, Hint: hint}
	}
	switch {
	case utf8.RuneCountInString(r.ID) > 64 || !utf8.ValidString(r.ID):
		return fail("ID", "has more than 64 characters", "leave it empty, or choose a short one")
	case r.Mode != "" && r.Mode != Every && r.Mode != Latest:
		return fail("Mode", "is neither every nor latest", "")
	case r.MinInterval < 0 || r.MinInterval > 0 && r.Mode != Latest:
		return fail("MinInterval", "is for the mode latest", "leave it out, or set Mode to Latest")
	case r.Filter.CQL != "" && r.Filter.CQLJSON != nil:
		return fail("Filter.CQLJSON", "CQL is set as well", "give one of them")
	case r.Filter.Polygon != nil && !json.Valid(r.Filter.Polygon):
		return fail("Filter.Polygon", "is no JSON", "a GeoJSON Polygon or MultiPolygon")
	case r.Filter.CQLJSON != nil && !json.Valid(r.Filter.CQLJSON):
		return fail("Filter.CQLJSON", "is no JSON", "CQL2 text goes into CQL")
	}
	return nil
}

// message is the subscribe message; after is left out when it is zero.
func (r *Request) message(after twin.Position) map[string]any {
	m := map[string]any{"type": "subscribe", "id": r.ID, "filter": r.Filter}
	if r.Mode != "" {
		m["mode"] = r.Mode
	}
	if r.MinInterval > 0 {
		m["minIntervalMs"] = r.MinInterval.Milliseconds()
	}
	if !after.IsZero() {
		m["after"] = after
	}
	if len(r.Events) > 0 {
		m["events"] = r.Events
	}
	return m
}
