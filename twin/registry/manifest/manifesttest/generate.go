// Package manifesttest generates random valid manifests for property tests.
// Only tests import it.
package manifesttest

import (
	"fmt"

	"pgregory.net/rapid"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// Manifest draws a normalized, valid manifest with up to 3 datasets and 6
// terminals.
func Manifest(t *rapid.T) *manifest.Manifest {
	text := func(label string) string {
		return rapid.StringMatching(`[a-zA-Z0-9苏州µ³%#:'"{}\[\],&*!|>@~\-]{1,12}( [a-z0-9:#]{1,6})?`).Draw(t, label)
	}
	maybe := func(label string) string {
		if rapid.Bool().Draw(t, label+"?") {
			return text(label)
		}
		return ""
	}
	m := &manifest.Manifest{}
	for i := range rapid.IntRange(1, 3).Draw(t, "datasets") {
		m.Datasets = append(m.Datasets, manifest.Dataset{
			Code: fmt.Sprintf("%04d", i), Title: text("title"), TitleEn: maybe("titleEn"), Owner: text("owner"), Description: maybe("description"),
			Open:      rapid.SampledFrom([]twin.Openness{twin.OpenUnconditional, twin.OpenConditional, twin.OpenNone}).Draw(t, "open"),
			Simulated: rapid.Bool().Draw(t, "simulated"),
		})
	}
	var defs []*manifest.Property
	for i := range rapid.IntRange(1, 6).Draw(t, "definitions") {
		p := &manifest.Property{
			Name: fmt.Sprintf("p%d", i/2), Title: text("title"), TitleEn: maybe("titleEn"), Description: maybe("description"),
			Definition: fmt.Sprintf("http://example.org/%d", i), Type: rapid.SampledFrom([]manifest.Type{manifest.TypeMeasurement, manifest.TypeCount, manifest.TypeText, manifest.TypeTruth}).Draw(t, "type"),
		}
		if p.Type == manifest.TypeMeasurement || rapid.Bool().Draw(t, "unit?") {
			p.Unit = manifest.UnitOf(rapid.SampledFrom([]string{"1", "%", "ug/m3", "Cel", "{persons}/(100.m2)", "m3/s"}).Draw(t, "ucum"))
		}
		defs = append(defs, p)
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "terminals") {
		tm := manifest.Terminal{
			Code: fmt.Sprintf("%03d", i), Name: text("name"), NameEn: maybe("nameEn"), Description: maybe("description"), District: rapid.SampledFrom([]string{"", "320508"}).Draw(t, "district"),
			Domain:    rapid.SampledFrom(twin.Domains()).Draw(t, "domain"),
			State:     rapid.SampledFrom([]twin.TerminalState{twin.StatePlanned, twin.StateActive, twin.StateRetired}).Draw(t, "state"),
			Dataset:   rapid.SampledFrom(m.Datasets).Draw(t, "dataset").Code,
			Simulated: rapid.Bool().Draw(t, "simulated"), LegalBasis: maybe("legalBasis"), Purpose: maybe("purpose"),
			Properties: []*manifest.Property{},
		}
		if rapid.Bool().Draw(t, "location?") {
			tm.Location = &manifest.Location{Lon: rapid.Float64Range(73.5, 135).Draw(t, "lon"), Lat: rapid.Float64Range(18, 53).Draw(t, "lat")}
			if rapid.Bool().Draw(t, "height?") {
				h := rapid.Float64Range(-100, 9000).Draw(t, "height")
				tm.Location.Height, tm.Location.HeightDatum = &h, maybe("datum")
			}
		}
		if rapid.Bool().Draw(t, "sensor?") {
			tm.Sensor = manifest.Sensor{Name: text("sensor"), Description: maybe("description"), Metadata: maybe("metadata")}
		}
		if rapid.Bool().Draw(t, "credentials?") {
			tm.Credentials = &manifest.Credentials{Username: fmt.Sprintf("user-%d", i), Password: text("password")}
		}
		names := map[string]bool{}
		for _, p := range defs {
			if !names[p.Name] && rapid.Bool().Draw(t, "property?") {
				names[p.Name] = true
				tm.Properties = append(tm.Properties, p)
			}
		}
		if rapid.Bool().Draw(t, "observes?") {
			tm.Observes = manifest.Observes{"*": "model/" + text("object")}
			for name := range names {
				tm.Observes[name] = "model/" + name
			}
		}
		if rapid.Bool().Draw(t, "extra?") {
			tm.Extra = map[string]any{text("key"): text("value"), "n": rapid.Float64Range(-1e6, 1e6).Draw(t, "number"), "b": true, "l": []any{1.0, nil, map[string]any{"x": "007"}}}
		}
		m.Terminals = append(m.Terminals, tm)
	}
	m.Normalize()
	return m
}
