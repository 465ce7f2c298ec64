package streams

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"cityhub/twin"
)

// ParseFilter reads the filter of a subscribe message (ws/PROTOCOL.md); none, or
// null, is the empty Filter. An unknown member is an error: a filter with a slip
// of the pen must not choose everything. Validate checks the rest.
func ParseFilter(raw []byte) (Filter, error) {
	var f Filter
	if absent(raw) {
		return f, nil
	}
	var m struct {
		ObservedProperties []string            `json:"observedProperties"`
		Datastreams        []twin.DatastreamID `json:"datastreams"`
		BBox               []float64           `json:"bbox"`
		Domains            []twin.Domain       `json:"domains"`
		Districts          []string            `json:"districts"`
		Polygon            json.RawMessage     `json:"polygon"`
		Objects            []string            `json:"objects"`
		Parts              *bool               `json:"parts"`
		CQL                json.RawMessage     `json:"cql"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(&m)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		field, msg := "filter", "expected one object"
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			field, msg = "filter."+wrong.Field, fmt.Sprintf("a %s is not expected here", wrong.Value)
		} else if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
			field, msg = "filter."+strings.Trim(name, `"`), "unknown member"
		}
		return f, badFilter(field, msg, "its members are observedProperties, datastreams, bbox, domains, districts, polygon, objects, parts and cql")
	}
	f = Filter{ObservedProperties: m.ObservedProperties, Datastreams: m.Datastreams, Domains: m.Domains, Districts: m.Districts,
		Objects: m.Objects, WithoutParts: m.Parts != nil && !*m.Parts}
	if m.BBox != nil {
		if f.BBox, err = ParseBBox(m.BBox); err != nil {
			return f, err
		}
	}
	if !absent(m.Polygon) {
		if f.Polygon, err = ParsePolygon(m.Polygon); err != nil {
			return f, err
		}
	}
	if absent(m.CQL) {
		return f, nil
	}
	cql := string(m.CQL)
	if cql[0] != '{' { // CQL2 as a text
		if err := json.Unmarshal(m.CQL, &cql); err != nil {
			return f, badFilter("filter.cql", "expected CQL2 as a text or a CQL2 JSON object", `e.g. "value > 75"`)
		}
	}
	f.CQL, err = ParseCQL(cql)
	return f, err
}

func absent(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }
