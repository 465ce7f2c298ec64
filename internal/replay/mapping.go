// Package replay is the engine of `cityhub replay`: it publishes recorded data
// over MQTT 3.1.1 to any broker, at the recorded speed, a multiple of it or as
// fast as the broker takes it, and proves afterwards that the hub holds what
// the files hold.
//
// A small mapping file (configs/replay/README.md) says what the columns of the
// files are. Source is a mapping with the data files it found; Count counts
// the values in them exactly; Run publishes them; Verify compares the counts
// with those of a hub; Source.Manifest registers the terminals.
//
// Guarantees: one message per row that has a value, a missing value is no
// reading, and the rows of one terminal are published in order over one
// connection. With QoS 1 everything is acknowledged when Run returns nil; what
// a lost connection left open is sent again. Every file is read and checked
// whole before the first message is sent, and a mistake in it is reported with
// file, line and column. While publishing, memory is bounded by the
// connections and not by the files; counting takes 16 bytes a row.
//
// Functions and methods may be called concurrently on different Sources; a
// Source belongs to one call at a time.
package replay

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // a mapping names a time zone, and a small machine may have no zone files

	"go.yaml.in/yaml/v3"

	"cityhub/twin"
)

// maxProperties is the number of properties that a row's bit set can hold.
const maxProperties = 64

// Mapping says how the columns of data files become readings of terminals.
// configs/replay/README.md describes every key.
type Mapping struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Source      struct {
		URL         string `yaml:"url"`
		Licence     string `yaml:"licence"`
		Attribution string `yaml:"attribution"`
	} `yaml:"source"`
	Files struct {
		Glob      string `yaml:"glob"`      // relative to a data folder
		Name      string `yaml:"name"`      // regular expression on the base name; its groups are {file.group}
		Format    string `yaml:"format"`    // csv
		Delimiter string `yaml:"delimiter"` // empty means a comma
	} `yaml:"files"`
	NA         []string    `yaml:"na"`
	Time       TimeMapping `yaml:"time"`
	Join       []Join      `yaml:"join"`
	Terminal   Terminal    `yaml:"terminal"`
	Dataset    Dataset     `yaml:"dataset"`
	Properties []Property  `yaml:"properties"`

	path     string
	fileName *regexp.Regexp
	zone     *time.Location
	code     template
}

// TimeMapping says where a row's time of observation stands. Either Column and
// Layout or Columns is set.
type TimeMapping struct {
	Column  string `yaml:"column"`
	Layout  string `yaml:"layout"` // Go layout, unix-s or unix-ms; empty means RFC 3339
	Columns struct {
		Year   string `yaml:"year"`
		Month  string `yaml:"month"`
		Day    string `yaml:"day"`
		Hour   string `yaml:"hour"`
		Minute string `yaml:"minute"`
		Second string `yaml:"second"`
	} `yaml:"columns"`
	Zone string `yaml:"zone"` // IANA name; required where the text has no offset
}

// Join looks values up by a key, in a table inside the mapping or in a CSV
// file beside the data. Its columns are {name.column} in templates.
type Join struct {
	Name   string                       `yaml:"name"`
	Key    string                       `yaml:"key"` // template
	Table  map[string]map[string]string `yaml:"table"`
	File   string                       `yaml:"file"`   // relative to a data folder
	Column string                       `yaml:"column"` // of File, holds the key
}

// Terminal says which terminal a row belongs to. Every text is a template.
type Terminal struct {
	Code        string `yaml:"code"`
	Name        string `yaml:"name"`
	NameEn      string `yaml:"nameEn"`
	Description string `yaml:"description"`
	Domain      string `yaml:"domain"`
	District    string `yaml:"district"`
	Simulated   bool   `yaml:"simulated"`
	Location    struct {
		Lon string `yaml:"lon"` // WGS 84 degrees
		Lat string `yaml:"lat"`
	} `yaml:"location"`
	Sensor struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
		Metadata    string `yaml:"metadata"`
	} `yaml:"sensor"`
	Extra map[string]string `yaml:"extra"`
}

// Dataset is the catalogue entry that the manifest registers.
type Dataset struct {
	Code        string `yaml:"code"`
	Title       string `yaml:"title"`
	TitleEn     string `yaml:"titleEn,omitempty"`
	Owner       string `yaml:"owner"`
	Open        string `yaml:"open"`
	Description string `yaml:"description,omitempty"`
	Simulated   bool   `yaml:"simulated,omitempty"`
}

// Property maps a column to an observed property.
type Property struct {
	Column      string `yaml:"column,omitempty"`
	Name        string `yaml:"name"`
	Title       string `yaml:"title"`
	TitleEn     string `yaml:"titleEn,omitempty"`
	Definition  string `yaml:"definition,omitempty"`
	Description string `yaml:"description,omitempty"`
	Type        string `yaml:"type"` // measurement, count, text or truth
	Unit        *Unit  `yaml:"unit,omitempty"`

	kind kind
	key  []byte // ,"name":
}

// Unit is a unit of measurement; UCUM is its code.
type Unit struct {
	Name   string `yaml:"name"`
	Symbol string `yaml:"symbol"`
	UCUM   string `yaml:"ucum"`
}

type kind uint8

const (
	kindMeasurement kind = iota
	kindCount
	kindText
	kindTruth
)

// LoadMapping reads and checks a mapping file. Errors are *twin.Error with
// CodeInvalid; Field names the key.
func LoadMapping(path string) (*Mapping, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "load mapping", Field: path, Message: "cannot be read", Err: err}
	}
	return ParseMapping(path, src)
}

// ParseMapping is LoadMapping of bytes that were read already; path stands in
// errors.
func ParseMapping(path string, src []byte) (*Mapping, error) {
	m := &Mapping{path: path}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	dec.KnownFields(true)
	if err := dec.Decode(m); err != nil {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "load mapping", Field: path, Message: strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", ""), Hint: "the keys are described in configs/replay/README.md"}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mapping) bad(field, message, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "load mapping " + m.path, Field: field, Message: message, Hint: hint}
}

func (m *Mapping) check() (err error) {
	switch {
	case m.Name == "":
		return m.bad("name", "is missing", "a short name, e.g. beijing-prsa")
	case m.Files.Glob == "":
		return m.bad("files.glob", "is missing", "e.g. \"*.csv\", relative to the data folder")
	case m.Files.Format != "csv":
		return m.bad("files.format", fmt.Sprintf("%q is not known", m.Files.Format), "csv; files that end in .gz are read through gzip")
	case len(m.Files.Delimiter) > 1:
		return m.bad("files.delimiter", fmt.Sprintf("%q is not one character", m.Files.Delimiter), "")
	}
	if m.Files.Delimiter == "" {
		m.Files.Delimiter = ","
	}
	if m.fileName, err = regexp.Compile(`^(?:` + m.Files.Name + `)$`); err != nil {
		return m.bad("files.name", "is not a regular expression: "+err.Error(), "")
	}
	if err := m.checkTime(); err != nil {
		return err
	}
	if err := m.checkTerminal(); err != nil {
		return err
	}
	return m.checkProperties()
}

func (m *Mapping) checkTime() (err error) {
	t := &m.Time
	c := t.Columns
	switch {
	case (t.Column == "") == (c.Year == ""):
		return m.bad("time", "needs either column or columns", "column: TIMESTAMP with a layout, or columns: {year: …, month: …, day: …, hour: …}")
	case c.Year != "" && (c.Month == "" || c.Day == ""):
		return m.bad("time.columns", "needs year, month and day", "")
	case c.Year != "" && t.Layout != "":
		return m.bad("time.layout", "has no meaning with time.columns", "")
	}
	if t.Column != "" && t.Layout == "" {
		t.Layout = time.RFC3339Nano
	}
	unix := t.Layout == "unix-s" || t.Layout == "unix-ms"
	offset := strings.Contains(t.Layout, "Z07") || strings.Contains(t.Layout, "-07")
	if t.Column != "" && !unix && !strings.Contains(t.Layout, "2006") && !strings.Contains(t.Layout, "06") {
		return m.bad("time.layout", fmt.Sprintf("%q shows no year", t.Layout), "write the moment Mon Jan 2 15:04:05 2006 as it would stand in the file, or unix-s or unix-ms")
	}
	switch {
	case unix || offset:
		if t.Zone != "" {
			return m.bad("time.zone", "has no meaning: the layout carries the offset", "")
		}
		m.zone = time.UTC
	case t.Zone == "":
		return m.bad("time.zone", "is missing", "the zone of the clock that wrote the files, e.g. Asia/Shanghai or UTC")
	default:
		if m.zone, err = time.LoadLocation(t.Zone); err != nil || t.Zone == "Local" {
			return m.bad("time.zone", fmt.Sprintf("%q is not a time zone", t.Zone), "an IANA name, e.g. Asia/Shanghai or UTC")
		}
	}
	return nil
}

func (m *Mapping) checkTerminal() (err error) {
	joins := map[string]bool{}
	for i := range m.Join {
		j, field := &m.Join[i], fmt.Sprintf("join[%d]", i)
		switch {
		case j.Name == "" || j.Name == "file" || strings.ContainsAny(j.Name, ".{}|"):
			return m.bad(field+".name", fmt.Sprintf("%q cannot name a join", j.Name), "letters; file is taken")
		case joins[j.Name]:
			return m.bad(field+".name", fmt.Sprintf("%q stands twice", j.Name), "")
		case (j.Table == nil) == (j.File == ""):
			return m.bad(field, "needs either table or file", "")
		case j.File != "" && j.Column == "":
			return m.bad(field+".column", "is missing", "the column of "+j.File+" that holds the key")
		}
		if _, err := m.template(field+".key", j.Key, joins, true); err != nil {
			return err
		}
		joins[j.Name] = true
	}
	t := &m.Terminal
	if m.code, err = m.template("terminal.code", t.Code, joins, true); err != nil {
		return err
	}
	fields := map[string]string{
		"terminal.name": t.Name, "terminal.nameEn": t.NameEn, "terminal.description": t.Description, "terminal.domain": t.Domain, "terminal.district": t.District,
		"terminal.location.lon": t.Location.Lon, "terminal.location.lat": t.Location.Lat,
		"terminal.sensor.name": t.Sensor.Name, "terminal.sensor.description": t.Sensor.Description, "terminal.sensor.metadata": t.Sensor.Metadata,
	}
	for k, v := range t.Extra {
		fields["terminal.extra."+k] = v
	}
	for f, text := range fields {
		if _, err := m.template(f, text, joins, f == "terminal.name" || f == "terminal.domain"); err != nil {
			return err
		}
	}
	if (t.Location.Lon == "") != (t.Location.Lat == "") {
		return m.bad("terminal.location", "needs both lon and lat", "")
	}
	if !strings.Contains(t.Domain, "{") && !twin.Domain(t.Domain).Valid() {
		return m.bad("terminal.domain", fmt.Sprintf("%q is not a domain", t.Domain), fmt.Sprint("one of ", twin.Domains()))
	}
	d := m.Dataset
	if d.Code == "" || d.Title == "" || d.Owner == "" {
		return m.bad("dataset", "needs code, title and owner", "")
	}
	if !twin.Openness(d.Open).Valid() {
		return m.bad("dataset.open", fmt.Sprintf("%q is not a class of opening", d.Open), "unconditional, conditional or none")
	}
	return nil
}

func (m *Mapping) checkProperties() error {
	if len(m.Properties) == 0 || len(m.Properties) > maxProperties {
		return m.bad("properties", fmt.Sprintf("has %d entries", len(m.Properties)), fmt.Sprintf("1 to %d", maxProperties))
	}
	names := map[string]bool{}
	for i := range m.Properties {
		p, field := &m.Properties[i], fmt.Sprintf("properties[%d]", i)
		switch {
		case p.Column == "":
			return m.bad(field+".column", "is missing", "")
		case p.Name == "" || p.Name == "t" || strings.ContainsAny(p.Name, " \"\\{}") || len(p.Name) > 64:
			return m.bad(field+".name", fmt.Sprintf("%q cannot name a property", p.Name), "the key in the payload, e.g. pm25; t is the time")
		case names[p.Name]:
			return m.bad(field+".name", fmt.Sprintf("%q stands twice", p.Name), "")
		case p.Title == "":
			return m.bad(field+".title", "is missing", "")
		}
		names[p.Name] = true
		switch p.Type {
		case "", "measurement":
			p.Type, p.kind = "measurement", kindMeasurement
		case "count":
			p.kind = kindCount
		case "text":
			p.kind = kindText
		case "truth":
			p.kind = kindTruth
		default:
			return m.bad(field+".type", fmt.Sprintf("%q is not known", p.Type), "measurement, count, text or truth")
		}
		if p.kind == kindMeasurement && (p.Unit == nil || p.Unit.UCUM == "" || p.Unit.Name == "") {
			return m.bad(field+".unit", "a measurement needs a unit", "unit: {name: …, symbol: …, ucum: …}")
		}
		p.key = []byte(`,"` + p.Name + `":`)
	}
	return nil
}
