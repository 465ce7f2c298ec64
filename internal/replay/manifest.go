package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"cityhub/twin"
)

// The manifest as `cityhub import terminals` reads it.
type manifestFile struct {
	Datasets   []Dataset          `yaml:"datasets"`
	Properties []Property         `yaml:"properties"`
	Terminals  []manifestTerminal `yaml:"terminals"`
}

type manifestTerminal struct {
	Code        string            `yaml:"code"`
	Name        string            `yaml:"name"`
	NameEn      string            `yaml:"nameEn,omitempty"`
	Description string            `yaml:"description,omitempty"`
	Domain      string            `yaml:"domain"`
	District    string            `yaml:"district,omitempty"`
	Location    *manifestLocation `yaml:"location,omitempty,flow"`
	Dataset     string            `yaml:"dataset"`
	Sensor      *manifestSensor   `yaml:"sensor,omitempty"`
	Simulated   bool              `yaml:"simulated,omitempty"`
	Properties  []string          `yaml:"properties,flow"`
	Extra       map[string]string `yaml:"extra,omitempty"`
}

type manifestLocation struct {
	Lon float64 `yaml:"lon"`
	Lat float64 `yaml:"lat"`
}

type manifestSensor struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description,omitempty"`
	Metadata    string `yaml:"metadata,omitempty"`
}

// Manifest is the terminals manifest, in YAML, of the terminals that stand in
// the files, with the dataset and the properties of the mapping. It reads
// every file.
func (s *Source) Manifest(ctx context.Context) ([]byte, error) {
	m := s.m
	out := manifestFile{Datasets: []Dataset{m.Dataset}}
	out.Datasets[0].Description = s.description()
	var names []string
	for _, p := range m.Properties {
		p.Column = ""
		out.Properties = append(out.Properties, p)
		names = append(names, p.Name)
	}
	known := map[string]bool{}
	for i := range s.files {
		if err := s.manifestTerminals(ctx, i, known, func(t manifestTerminal) {
			t.Properties = names
			out.Terminals = append(out.Terminals, t)
		}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out.Terminals, func(a, b manifestTerminal) int { return strings.Compare(a.Code, b.Code) })
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Terminals of %s, made by cityhub replay --manifest.\n", m.Name)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(out); err != nil {
		return nil, &twin.Error{Code: twin.CodeInternal, Op: "write manifest", Message: "cannot be encoded", Err: err}
	}
	return b.Bytes(), enc.Close()
}

// description carries licence and attribution along: they belong to the data
// wherever it goes.
func (s *Source) description() string {
	var parts []string
	for _, p := range []string{s.m.Dataset.Description, s.m.Source.Attribution, s.m.Source.Licence, s.m.Source.URL} {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "\n")
}

func (s *Source) manifestTerminals(ctx context.Context, i int, known map[string]bool, add func(manifestTerminal)) error {
	r, err := s.open(i)
	if err != nil {
		return err
	}
	defer r.close()
	r.codeOnly = true
	for n := 0; ; n++ {
		err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if known[r.code] {
			continue
		}
		known[r.code] = true
		t, err := r.describe()
		if err != nil {
			return err
		}
		add(t)
	}
}

// describe expands what the mapping says of the terminal of the current row.
func (r *rows) describe() (manifestTerminal, error) {
	m := r.s.m
	d := m.Terminal
	joins := map[string]bool{}
	for _, j := range m.Join {
		joins[j.Name] = true
	}
	var failed error
	text := func(field, s string) string {
		t, err := m.template(field, s, joins, false)
		if err == nil {
			s, err = r.expand(t)
		}
		if err != nil && failed == nil {
			failed = err
		}
		return strings.TrimSpace(s)
	}
	degrees := func(field, s string, limit float64) float64 {
		v := text(field, s)
		f, err := strconv.ParseFloat(v, 64)
		if (err != nil || !(f >= -limit && f <= limit)) && failed == nil {
			failed = m.bad(field, fmt.Sprintf("terminal %s: %q is no number of degrees between -%g and %g", r.code, v, limit, limit), "")
		}
		return f
	}
	t := manifestTerminal{
		Code: r.code, Dataset: m.Dataset.Code, Simulated: d.Simulated,
		Name:        text("terminal.name", d.Name),
		NameEn:      text("terminal.nameEn", d.NameEn),
		Description: text("terminal.description", d.Description),
		Domain:      text("terminal.domain", d.Domain),
		District:    text("terminal.district", d.District),
	}
	if d.Location.Lon != "" {
		t.Location = &manifestLocation{Lon: degrees("terminal.location.lon", d.Location.Lon, 180), Lat: degrees("terminal.location.lat", d.Location.Lat, 90)}
	}
	if d.Sensor.Name != "" {
		t.Sensor = &manifestSensor{Name: text("terminal.sensor.name", d.Sensor.Name), Description: text("terminal.sensor.description", d.Sensor.Description), Metadata: text("terminal.sensor.metadata", d.Sensor.Metadata)}
	}
	for k, v := range d.Extra {
		if t.Extra == nil {
			t.Extra = map[string]string{}
		}
		t.Extra[k] = text("terminal.extra."+k, v)
	}
	return t, failed
}
