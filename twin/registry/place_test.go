package registry

import (
	"math"
	"slices"
	"testing"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// Places gives what the join needs, also of terminals whose pages are not
// loaded, and Wrote names what a write made or changed.
func TestPlaces(t *testing.T) {
	ctx := t.Context()
	var wrote [][]twin.DatastreamID
	r, err := Open(ctx, Options{Wrote: func(ids []twin.DatastreamID) { wrote = append(wrote, slices.Clone(ids)) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	pm25 := &manifest.Property{Name: "pm25", Title: "PM2.5", Unit: manifest.UnitOf("ug/m3")}
	leq := &manifest.Property{Name: "leq", Title: "噪声", Unit: manifest.UnitOf("dB[SPL]")}
	terminal := func(code string, lon float64, o manifest.Observes) manifest.Terminal {
		return manifest.Terminal{Code: code, Name: code, Domain: twin.DomainEnvironment, Dataset: "d", Location: &manifest.Location{Lon: lon, Lat: 31.3}, Observes: o, Properties: []*manifest.Property{pm25, leq}}
	}
	m := &manifest.Manifest{Datasets: []manifest.Dataset{{Code: "d", Title: "d", Owner: "o"}}, Terminals: []manifest.Terminal{
		terminal("a", 120.6, nil), terminal("b", 120.61, manifest.Observes{"*": "model/x", "leq": "model/y"}),
	}}
	if _, err := r.Import(ctx, m, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := [][]twin.DatastreamID{{1, 2, 3, 4}}; len(wrote) != 1 || len(wrote[0]) != 4 {
		t.Errorf("an import of two terminals wrote %v, want %v", wrote, want)
	}
	var got []Place
	if err := r.Places(ctx, 1, func(p Place) bool { got = append(got, p); return len(got) < 3 }); err != nil {
		t.Fatal(err)
	}
	want := []Place{
		{2, 1, "leq", twin.DomainEnvironment, "", 120.6, 31.3, ""},
		{3, 2, "pm25", twin.DomainEnvironment, "", 120.61, 31.3, "model/x"},
		{4, 2, "leq", twin.DomainEnvironment, "", 120.61, 31.3, "model/y"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("places\n got %v\nwant %v", got, want)
	}
	if ds, err := r.Datastream(ctx, 4); err != nil || ds.Observes != "model/y" {
		t.Errorf("Datastream 4 observes %q (%v), want model/y", ds.Observes, err)
	}
	if info, err := r.TerminalInfo(ctx, "b"); err != nil || info.Observes.Of("pm25") != "model/x" {
		t.Errorf("terminal b: %v %v", info.Observes, err)
	}

	// A terminal that loses its place and its declaration.
	b := terminal("b", 0, nil)
	b.Location = nil
	if _, err := r.PutTerminal(ctx, b); err != nil {
		t.Fatal(err)
	}
	if len(wrote) != 2 || len(wrote[1]) != 2 {
		t.Errorf("a changed terminal: wrote %v", wrote)
	}
	got = nil
	if err := r.Places(ctx, 3, func(p Place) bool { got = append(got, p); return true }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !math.IsNaN(got[0].Lon) || got[0].Observes != "" {
		t.Errorf("after the change: %v", got)
	}
}
