package registry

import (
	"slices"
	"strings"
	"testing"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// What others keep of a Datastream is told to be old when it changes, and only
// then: a city that grows by itself must not have every stream matched again.
func TestChanged(t *testing.T) {
	ctx := t.Context()
	var calls [][]twin.DatastreamID
	r, err := Open(ctx, Options{Changed: func(ids []twin.DatastreamID) { calls = append(calls, slices.Clone(ids)) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	read := func(name string) *manifest.Manifest {
		m, err := manifest.ParseYAML("m.yaml", strings.NewReader(`
datasets: [{code: d, title: 数据集, owner: 局, open: unconditional}]
terminals:
  - {code: a, name: `+name+`, domain: environment, dataset: d, properties: [{name: x, title: 甲, unit: m}, {name: y, title: 乙, unit: m}]}
  - {code: b, name: 二, domain: environment, dataset: d, location: {lon: 120.6, lat: 31.3}, properties: [{name: x, title: 甲, unit: m}]}
`))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if _, err := r.Import(ctx, read("一"), ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	a, err := r.Terminal(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	x, y := a.Datastream("x").ID, a.Datastream("y").ID
	step := func(what string, want [][]twin.DatastreamID, do func() error) {
		t.Helper()
		calls = nil
		if err := do(); err != nil {
			t.Fatal(what, err)
		}
		if len(calls) != len(want) {
			t.Fatalf("%s: told of %v, want %v", what, calls, want)
		}
		for i := range want {
			slices.Sort(calls[i])
			if !slices.Equal(calls[i], want[i]) || (calls[i] == nil) != (want[i] == nil) {
				t.Errorf("%s: told of %v, want %v", what, calls, want)
			}
		}
	}
	step("the same again", nil, func() error { _, err := r.Import(ctx, read("一"), ImportOptions{}); return err })
	step("another name", [][]twin.DatastreamID{{x, y}}, func() error { _, err := r.Import(ctx, read("新"), ImportOptions{}); return err })
	step("another title", [][]twin.DatastreamID{nil}, func() error {
		m := read("新")
		m.Terminals[1].Properties[0] = &manifest.Property{Name: "x", Title: "丙", Unit: manifest.UnitOf("m"), Type: manifest.TypeMeasurement}
		m.Terminals = m.Terminals[1:]
		_, err := r.Import(ctx, m, ImportOptions{})
		return err
	})
	if _, err := r.AutoRegister(ctx, "c", "", ""); err != nil { // makes the dataset auto
		t.Fatal(err)
	}
	step("a property more", nil, func() error { _, err := r.AutoRegister(ctx, "c", "p", twin.ResultMeasurement); return err })
	step("another property", nil, func() error { _, err := r.AutoRegister(ctx, "c", "q", twin.ResultMeasurement); return err })
	step("another class", [][]twin.DatastreamID{nil}, func() error {
		d, err := r.DatasetByCode(ctx, "d")
		if err != nil {
			return err
		}
		d.Open = twin.OpenNone
		_, err = r.PutDataset(ctx, d)
		return err
	})
}
