// Package manifest reads and writes the terminals manifest: the file in which
// a city's terminals, what they observe and the datasets they belong to are
// registered. It knows two notations, YAML and CSV (FORMAT.md), and one
// validation for both and for the management API.
//
// Every mistake names the file's line, the field, what was found and what was
// expected; all mistakes of a file (up to MaxProblems) are reported together.
// Nothing is guessed: a property without a title or a measurement without a
// unit is a mistake.
//
// The functions keep no state and are safe for concurrent use; a Manifest
// belongs to one goroutine at a time.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"cityhub/twin"
)

// Limits of a manifest.
const (
	MaxBytes       = 512 << 20 // of a file
	MaxProperties  = 1000      // of one terminal
	MaxExtraBytes  = 64 << 10  // of one terminal's extra, as JSON
	maxNameRunes   = 256       // names and titles
	maxTextRunes   = 4096      // descriptions, metadata, legal basis …
	maxCodeLen     = 64        // codes and property names
	maxSecretBytes = 1024      // user names and passwords
)

// Manifest is what a file registers, with the references to the top-level
// property definitions resolved.
type Manifest struct {
	Datasets  []Dataset  `json:"datasets,omitempty"`
	Terminals []Terminal `json:"terminals,omitempty"`
}

// Dataset is an entry of the public data catalogue.
type Dataset struct {
	Code        string        `json:"code"`
	Title       string        `json:"title"`
	TitleEn     string        `json:"titleEn,omitempty"`
	Owner       string        `json:"owner"`
	Open        twin.Openness `json:"open,omitempty"` // empty: none
	Description string        `json:"description,omitempty"`
	Simulated   bool          `json:"simulated,omitempty"`
	Line        int           `json:"-"` // of the file; 0: not from a file
}

// Terminal is one managed terminal with the properties it observes.
type Terminal struct {
	Code        string             `json:"code"`
	Name        string             `json:"name"`
	NameEn      string             `json:"nameEn,omitempty"`
	Description string             `json:"description,omitempty"`
	Domain      twin.Domain        `json:"domain"`
	District    string             `json:"district,omitempty"`
	State       twin.TerminalState `json:"state,omitempty"` // empty: active
	Location    *Location          `json:"location,omitempty"`
	Dataset     string             `json:"dataset"` // a Dataset's code
	Sensor      Sensor             `json:"sensor,omitzero"`
	Simulated   bool               `json:"simulated,omitempty"`
	LegalBasis  string             `json:"legalBasis,omitempty"`
	Purpose     string             `json:"purpose,omitempty"`
	Credentials *Credentials       `json:"credentials,omitempty"` // nil: leave what is stored
	Observes    Observes           `json:"observes,omitempty"`    // nil: found by place
	// Properties is the whole list of what the terminal observes. Elements may
	// be shared between terminals: do not change them. Nil is a mistake, empty
	// is a terminal that publishes nothing yet.
	Properties []*Property    `json:"properties"`
	Extra      map[string]any `json:"extra,omitempty"` // JSON values
	Line       int            `json:"-"`               // of the file; 0: not from a file
}

// Location is a WGS 84 (EPSG:4326) place; degrees, metres.
type Location struct {
	Lon         float64  `json:"lon"`
	Lat         float64  `json:"lat"`
	Height      *float64 `json:"height,omitempty"`      // metres; nil: not known
	HeightDatum string   `json:"heightDatum,omitempty"` // empty: above the ellipsoid
}

// Sensor is the instrument behind a terminal's Datastreams.
type Sensor struct {
	Name         string `json:"name,omitempty"`
	Description  string `json:"description,omitempty"`
	EncodingType string `json:"encodingType,omitempty"` // media type of Metadata; empty: see Encoding
	Metadata     string `json:"metadata,omitempty"`
}

// Credentials are a terminal's MQTT user name and password.
type Credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Property is what a terminal observes, with the unit and the type of its
// results. It is comparable.
type Property struct {
	Name        string `json:"name"` // as it stands in payloads
	Title       string `json:"title"`
	TitleEn     string `json:"titleEn,omitempty"`
	Definition  string `json:"definition,omitempty"` // URI
	Description string `json:"description,omitempty"`
	Unit        Unit   `json:"unit,omitzero"`
	Type        Type   `json:"type,omitempty"` // empty: measurement
}

// Unit is a unit of measurement. In YAML and JSON it may also be written as
// the UCUM code alone.
type Unit struct {
	Name   string `json:"name,omitempty"`
	Symbol string `json:"symbol,omitempty"`
	UCUM   string `json:"ucum,omitempty"`
}

// Type is the manifest's word for a ResultType.
type Type string

// The types of a property.
const (
	TypeMeasurement Type = "measurement"
	TypeCount       Type = "count"
	TypeText        Type = "text"
	TypeTruth       Type = "truth"
)

// Result is the ResultType that t stands for; empty for an unknown type.
func (t Type) Result() twin.ResultType {
	switch t {
	case TypeMeasurement, "":
		return twin.ResultMeasurement
	case TypeCount:
		return twin.ResultCount
	case TypeText:
		return twin.ResultText
	case TypeTruth:
		return twin.ResultTruth
	}
	return ""
}

// TypeOf is the inverse of Type.Result.
func TypeOf(r twin.ResultType) Type {
	switch r {
	case twin.ResultCount:
		return TypeCount
	case twin.ResultText:
		return TypeText
	case twin.ResultTruth:
		return TypeTruth
	}
	return TypeMeasurement
}

// UnmarshalJSON takes the object or the UCUM code alone.
func (u *Unit) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '"' {
		var code string
		if err := json.Unmarshal(b, &code); err != nil {
			return err
		}
		*u = UnitOf(code)
		return nil
	}
	type plain Unit
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode((*plain)(u)); err != nil {
		return fmt.Errorf("a unit is a UCUM code or {name, symbol, ucum}: %w", err)
	}
	return nil
}

// Twin is the Unit as the domain has it.
func (u Unit) Twin() twin.Unit { return twin.Unit{Name: u.Name, Symbol: u.Symbol, Code: u.UCUM} }

// Encoding is the media type of s.Metadata: what the manifest says, else
// application/pdf or text/html for an http address, else text/plain.
func (s Sensor) Encoding() string {
	if s.EncodingType != "" {
		return s.EncodingType
	}
	if len(s.Metadata) > 7 && (s.Metadata[:7] == "http://" || s.Metadata[:7] == "https:/") {
		if len(s.Metadata) > 4 && s.Metadata[len(s.Metadata)-4:] == ".pdf" {
			return "application/pdf"
		}
		return "text/html"
	}
	return "text/plain"
}

// Normalize fills in the documented defaults: State active, Open none, Type
// measurement, and the unit one for results that have none.
func (m *Manifest) Normalize() {
	for i := range m.Datasets {
		m.Datasets[i].Normalize()
	}
	done := map[*Property]*Property{}
	for i := range m.Terminals {
		m.Terminals[i].normalize(done)
	}
}

// Normalize fills in the documented defaults. A new Dataset is not open: the
// class is a decision of its owner, not of a file that forgot it
// (苏州市数据条例 第十四条).
func (d *Dataset) Normalize() {
	if d.Open == "" {
		d.Open = twin.OpenNone
	}
}

// Normalize fills in the documented defaults. It changes t alone, nothing that
// t points to.
func (t *Terminal) Normalize() { t.normalize(map[*Property]*Property{}) }

// normalize replaces shared properties, which it must not change, by others
// that are shared alike.
func (t *Terminal) normalize(done map[*Property]*Property) {
	if t.State == "" {
		t.State = twin.StateActive
	}
	if t.Location != nil {
		// A database keeps no negative zero: adding zero makes it positive.
		l := *t.Location
		l.Lon, l.Lat = l.Lon+0, l.Lat+0
		if l.Height != nil {
			h := *l.Height + 0
			l.Height = &h
		}
		t.Location = &l
	}
	for i, p := range t.Properties {
		if p != nil && p.Type == "" {
			q := done[p]
			if q == nil {
				q = new(Property)
				*q = *p
				q.Type = TypeMeasurement
				done[p] = q
			}
			t.Properties[i] = q
		}
	}
}
