package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cityhub/streams"
	"cityhub/twin"
)

// Modes of a webhook, as of a subscription.
const (
	ModeEvery  = "every"  // each reading
	ModeLatest = "latest" // of each Datastream the latest in a delivery
)

// Bounds and defaults of a Definition.
const (
	MaxReadings        = 10_000 // of one delivery
	DefaultReadings    = 500
	MaxDelayMs         = 60_000
	DefaultDelayMs     = 1000
	minDelayMs         = 50
	maxDescription     = 500 // characters
	maxDefinitionBytes = 256 << 10
)

// Definition says what a webhook delivers and where.
type Definition struct {
	URL         string `json:"url"`
	Description string `json:"description,omitempty"`
	// Filter is that of a subscribe message, see ../ws/PROTOCOL.md; absent:
	// everything that the creator may see.
	Filter json.RawMessage `json:"filter,omitempty"`
	Mode   string          `json:"mode,omitempty"` // every or latest; empty: every
	// MaxReadings bounds one delivery, unless one record of the log holds
	// more; 0: 500.
	MaxReadings int `json:"maxReadings,omitempty"`
	// MaxDelayMs is how long a reading waits for others to go with it; 0: 1000.
	MaxDelayMs int `json:"maxDelayMs,omitempty"`
}

// complete fills in what was left out and gives the compiled filter.
func (d *Definition) complete(g *guard, compile func(streams.Filter) (*streams.Selection, error)) (*streams.Selection, error) {
	bad := func(field, format string, args ...any) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "save webhook", Field: field, Message: fmt.Sprintf(format, args...)}
	}
	if err := g.url(d.URL); err != nil {
		return nil, err
	}
	if d.Mode == "" {
		d.Mode = ModeEvery
	}
	if d.MaxReadings == 0 {
		d.MaxReadings = DefaultReadings
	}
	if d.MaxDelayMs == 0 {
		d.MaxDelayMs = DefaultDelayMs
	}
	switch {
	case d.Mode != ModeEvery && d.Mode != ModeLatest:
		return nil, bad("mode", "found %.32q, expected every or latest", d.Mode)
	case d.MaxReadings < 1 || d.MaxReadings > MaxReadings:
		return nil, bad("maxReadings", "found %d, expected 1 to %d", d.MaxReadings, MaxReadings)
	case d.MaxDelayMs < minDelayMs || d.MaxDelayMs > MaxDelayMs:
		return nil, bad("maxDelayMs", "found %d, expected %d to %d", d.MaxDelayMs, minDelayMs, MaxDelayMs)
	case !utf8.ValidString(d.Description) || utf8.RuneCountInString(d.Description) > maxDescription:
		return nil, bad("description", "expected at most %d characters", maxDescription)
	}
	f, err := streams.ParseFilter(d.Filter)
	if err != nil {
		return nil, err
	}
	return compile(f)
}

// unmarshal reads one JSON value and refuses members that v does not have; the
// error names the member.
func unmarshal(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one JSON value")
	}
	if err == nil {
		return nil
	}
	e := &twin.Error{Code: twin.CodeInvalid, Op: "read webhook", Message: "expected one JSON object"}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		e.Field, e.Message = wrong.Field, fmt.Sprintf("a %s is not expected here", wrong.Value)
	} else if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		e.Field, e.Message = strings.Trim(name, `"`), "unknown member"
	}
	return e
}
