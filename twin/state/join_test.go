package state

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/twin"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

// The drawn town: metres east and north of a corner of Suzhou's old town.
const (
	lon0, lat0 = 120.62, 31.31
	degLat     = 1 / 110_900.0 // of a metre, near enough at this latitude
	degLon     = 1 / 95_200.0
)

func at(x, y float64) (lon, lat float64) { return lon0 + x*degLon, lat0 + y*degLat }

// town is an index that grows object by object.
type town struct {
	t     *testing.T
	index *index.Index
	next  int64
}

func newTown(t *testing.T) *town { return &town{t: t, index: index.New(index.Settings{})} }

func (w *town) add(id string, class spatial.Class, typ string, kind spatial.Kind, xy ...float64) int64 {
	w.next++
	return w.put(w.next, id, class, typ, kind, xy...)
}

func (w *town) put(position int64, id string, class spatial.Class, typ string, kind spatial.Kind, xy ...float64) int64 {
	w.t.Helper()
	g := &spatial.Geometry{Kind: kind}
	for i := 0; i < len(xy); i += 2 {
		lon, lat := at(xy[i], xy[i+1])
		g.XYZ = append(g.XYZ, lon, lat, 0)
	}
	n := int32(len(xy) / 2)
	switch kind {
	case spatial.MultiLine:
		g.Rings = []int32{n}
	case spatial.MultiSurface:
		g.Rings, g.Surfaces = []int32{n}, []int32{1}
	}
	v := &store.Version{Dataset: "model", Position: position, Footprint: g, LowMetres: math.NaN(), HighMetres: math.NaN()}
	v.Object.ID, v.Object.Class, v.Object.Type = id, class, typ
	if err := w.index.Apply(index.Versions([]*store.Version{v}), nil); err != nil {
		w.t.Fatal(err)
	}
	return position
}

// box is a rectangle's corners.
func box(x, y, w, h float64) []float64 { return []float64{x, y, x + w, y, x + w, y + h, x, y + h} }

func newRegistry(t *testing.T, wrote func([]twin.DatastreamID)) *registry.Registry {
	t.Helper()
	r, err := registry.Open(t.Context(), registry.Options{Wrote: wrote})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if _, err := r.PutDataset(t.Context(), twin.Dataset{Code: "d", Title: "d", Owner: "o"}); err != nil {
		t.Fatal(err)
	}
	return r
}

func terminal(code string, domain twin.Domain, x, y float64, properties ...string) manifest.Terminal {
	t := manifest.Terminal{Code: code, Name: code, Domain: domain, Dataset: "d", Properties: []*manifest.Property{}}
	if !math.IsNaN(x) {
		lon, lat := at(x, y)
		t.Location = &manifest.Location{Lon: lon, Lat: lat}
	}
	for _, name := range properties {
		t.Properties = append(t.Properties, &manifest.Property{Name: name, Title: name, Unit: manifest.UnitOf("1")})
	}
	return t
}

// R52 (苏州市数据条例 第二十九条): every Datastream is bound to an element of the city
// information model, by declaration or by place, and the unplaced are listed.
func TestR52EveryDatastreamIsBoundToAnElementOrListed(t *testing.T) {
	ctx := t.Context()
	w := newTown(t)
	house := w.add("house", spatial.ClassBuilding, "Building", spatial.MultiSurface, box(0, 0, 40, 20)...)
	wing := w.add("wing", spatial.ClassBuilding, "BuildingPart", spatial.MultiSurface, box(0, 0, 10, 20)...)
	road := w.add("road", spatial.ClassRoad, "Road", spatial.MultiLine, 0, -10, 500, -10)
	canal := w.add("canal", spatial.ClassWater, "WaterBody", spatial.MultiSurface, box(0, 30, 500, 8)...)
	pipe := w.add("pipe", spatial.ClassUnderground, "Pipe", spatial.MultiLine, 0, 60, 500, 60)
	lamp := w.add("lamp", spatial.ClassComponent, "CityFurniture", spatial.MultiPoint, 300, -14)
	w.add("gusu", "", "AdministrativeDistrict", spatial.MultiSurface, box(-1000, -1000, 2000, 2000)...)
	w.add("320508001", "", "UnitGrid", spatial.MultiSurface, box(-100, -100, 150, 300)...)

	far := math.NaN()
	declared := terminal("declared", twin.DomainEnvironment, 5, 5, "pm25", "water_level", "leq")
	declared.Observes = manifest.Observes{"water_level": "model/canal", "leq": "model/nothing"}
	tests := []struct {
		terminal manifest.Terminal
		want     []string // by property in order
	}{
		{terminal("in-wing", twin.DomainEnvironment, 5, 10, "pm25"), []string{fmt.Sprint("inside ", wing, " 0.0")}},
		{terminal("in-house", twin.DomainEnvironment, 25, 10, "pm25"), []string{fmt.Sprint("inside ", house, " 0.0")}},
		{terminal("traffic", twin.DomainTransport, 25, -3, "vehicle_count"), []string{fmt.Sprint("nearest ", road, " 7.0")}},
		{terminal("on-road", twin.DomainTransport, 100, -11, "speed"), []string{fmt.Sprint("on ", road, " 1.0")}},
		{terminal("gauge", twin.DomainEmergency, 25, 19, "water_level", "smoke"), []string{fmt.Sprint("nearest ", canal, " 11.0"), fmt.Sprint("inside ", house, " 0.0")}},
		{terminal("gas", twin.DomainPublicSafety, 100, 63, "ch4"), []string{fmt.Sprint("nearest ", pipe, " 3.0")}},
		{terminal("lamp-box", twin.DomainCityManagement, 300, -15, "current"), []string{fmt.Sprint("on ", lamp, " 1.0")}},
		{terminal("field", twin.DomainEnvironment, 100, 500, "pm25"), []string{"unplaced 0 0.0"}},
		{terminal("nowhere", twin.DomainEnvironment, far, far, "pm25"), []string{"unplaced 0 0.0"}},
		{declared, []string{fmt.Sprint("inside ", wing, " 0.0"), fmt.Sprint("declared ", canal, " 0.0"), "unplaced 0 0.0"}},
	}
	r := newRegistry(t, nil)
	m := &manifest.Manifest{}
	for _, test := range tests {
		m.Terminals = append(m.Terminals, test.terminal)
	}
	if _, err := r.Import(ctx, m, registry.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	j := NewJoin(JoinOptions{Directory: r, Index: func() index.View { return w.index.For(nil) }, DistrictType: "AdministrativeDistrict", CellType: "UnitGrid"})
	if err := j.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	b := j.Bindings()
	show := func(b *Bindings, id twin.DatastreamID) string {
		x, ok := b.Of(id)
		if !ok {
			return "unknown"
		}
		return fmt.Sprintf("%s %d %.1f", x.How, x.Position, x.Metres)
	}
	for _, test := range tests {
		info, err := r.Terminal(ctx, test.terminal.Code)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range test.terminal.Properties {
			ds := info.Datastream(p.Name)
			if got := show(b, ds.ID); got != test.want[i] {
				t.Errorf("%s %s: bound %q, want %q", test.terminal.Code, p.Name, got, test.want[i])
			}
			if x, _ := b.Of(ds.ID); test.terminal.Location != nil && x.District != "gusu" {
				t.Errorf("%s: district %q, want gusu, in which it stands (R20)", test.terminal.Code, x.District)
			}
		}
	}
	inWing, _ := r.Terminal(ctx, "in-wing")
	if x, _ := b.Of(inWing.Datastreams()[0].ID); x.Cell != "320508001" {
		t.Errorf("unit grid cell %q, want 320508001", x.Cell)
	}
	var unplaced []string
	b.Unplaced(0, func(id twin.DatastreamID, reason string) bool {
		ds, err := r.Datastream(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		unplaced = append(unplaced, ds.Terminal+": "+reason)
		return true
	})
	want := []string{
		"field: no object of the city model that it could observe is near",
		"nowhere: the terminal has no location and declares no object",
		"declared: the city model has no object model/nothing, which it is declared to observe",
	}
	if !slices.Equal(unplaced, want) {
		t.Errorf("unplaced\n got %s\nwant %s", strings.Join(unplaced, "\n     "), strings.Join(want, "\n     "))
	}
	if c := b.Counts(); c[Unplaced] != 3 || c[Declared] != 1 || c[Inside] != 4 {
		t.Errorf("counts %v", c)
	}
	var on []string
	b.On(wing, func(id twin.DatastreamID) bool {
		ds, _ := r.Datastream(ctx, id)
		on = append(on, ds.Terminal)
		return true
	})
	if !slices.Equal(on, []string{"in-wing", "declared"}) {
		t.Errorf("on the wing: %v", on)
	}
	if got := b.Objects("pm25"); !slices.Equal(got, []int64{house, wing}) {
		t.Errorf("pm25 is observed on %v, want %v", got, []int64{house, wing})
	}
	if got := b.Objects(""); !slices.IsSorted(got) || len(got) != 6 {
		t.Errorf("observed objects: %v", got)
	}
}

// Bindings follow terminals that move and a model that changes, and only what
// is concerned is bound again.
func TestJoinFollows(t *testing.T) {
	ctx := t.Context()
	w := newTown(t)
	first := w.add("first", spatial.ClassBuilding, "Building", spatial.MultiSurface, box(0, 0, 20, 20)...)
	second := w.add("second", spatial.ClassBuilding, "Building", spatial.MultiSurface, box(100, 0, 20, 20)...)
	var j *Join
	r := newRegistry(t, func(ids []twin.DatastreamID) { j.Wrote(ids) })
	j = NewJoin(JoinOptions{Directory: r, Index: func() index.View { return w.index.For(nil) }})
	put := func(m manifest.Terminal) {
		t.Helper()
		if _, err := r.PutTerminal(ctx, m); err != nil {
			t.Fatal(err)
		}
		if err := j.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, want ...int64) {
		t.Helper()
		for i, position := range want {
			if x, _ := j.Bindings().Of(twin.DatastreamID(i + 1)); x.Position != position {
				t.Errorf("%s: Datastream %d observes %d (%s), want %d", what, i+1, x.Position, x.How, position)
			}
		}
	}
	put(terminal("a", twin.DomainEnvironment, 10, 10, "pm25"))
	put(terminal("b", twin.DomainEnvironment, 110, 10, "pm25"))
	check("registered", first, second)

	before := j.Bindings()
	put(terminal("a", twin.DomainEnvironment, 105, 10, "pm25"))
	check("a moves", second, second)
	if x, _ := before.Of(1); x.Position != first {
		t.Error("bindings that were handed out have changed")
	}

	// second is torn down; a hall is built where first was.
	lonA, latA := at(100, 0)
	lonB, latB := at(120, 20)
	area := orb.Bound{Min: orb.Point{lonA, latA}, Max: orb.Point{lonB, latB}}
	if err := w.index.Apply(nil, []int64{second}); err != nil {
		t.Fatal(err)
	}
	j.ModelChanged([]orb.Bound{area})
	if err := j.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	check("second is gone", 0, 0)
	third := w.add("third", spatial.ClassBuilding, "Building", spatial.MultiSurface, box(100, 25, 20, 20)...)
	lonA, latA = at(100, 25)
	lonB, latB = at(120, 45)
	j.ModelChanged([]orb.Bound{{Min: orb.Point{lonA, latA}, Max: orb.Point{lonB, latB}}})
	if err := j.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	check("a house is built 15 m north of them", third, third)

	// A Datastream of a terminal that declares its object follows that one.
	c := terminal("c", twin.DomainEnvironment, math.NaN(), 0, "pm25")
	c.Observes = manifest.Observes{"*": "model/fourth"}
	put(c)
	check("c declares what is not there", third, third, 0)
	fourth := w.add("fourth", spatial.ClassComponent, "", spatial.MultiPoint, 900, 900)
	lonA, latA = at(900, 900)
	j.ModelChanged([]orb.Bound{{Min: orb.Point{lonA, latA}, Max: orb.Point{lonA, latA}}})
	if err := j.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	check("it is there now", third, third, fourth)
}

// BenchmarkJoin binds 100 000 terminals to 100 000 houses.
func BenchmarkJoin(b *testing.B) {
	const n = 100_000
	x := index.New(index.Settings{})
	versions := func(yield func(*store.Version, error) bool) {
		for i := range n {
			g := &spatial.Geometry{Kind: spatial.MultiSurface, Rings: []int32{4}, Surfaces: []int32{1}}
			for _, c := range [][2]float64{{0, 0}, {10, 0}, {10, 10}, {0, 10}} {
				lon, lat := at(float64(i%400)*20+c[0], float64(i/400)*20+c[1])
				g.XYZ = append(g.XYZ, lon, lat, 0)
			}
			v := &store.Version{Dataset: "model", Position: int64(i + 1), Footprint: g, LowMetres: math.NaN(), HighMetres: math.NaN()}
			v.Object.ID, v.Object.Class = fmt.Sprint(i), spatial.ClassBuilding
			if !yield(v, nil) {
				return
			}
		}
	}
	if err := x.Apply(versions, nil); err != nil {
		b.Fatal(err)
	}
	r, err := registry.Open(b.Context(), registry.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	m := &manifest.Manifest{Datasets: []manifest.Dataset{{Code: "d", Title: "d", Owner: "o"}}}
	for i := range n {
		m.Terminals = append(m.Terminals, terminal(fmt.Sprint("t", i), twin.DomainEnvironment, float64(i%400)*20+float64(i%19), float64(i/400)*20+3, "pm25"))
	}
	if _, err := r.Import(b.Context(), m, registry.ImportOptions{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		j := NewJoin(JoinOptions{Directory: r, Index: func() index.View { return x.For(nil) }})
		if err := j.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
		if c := j.Bindings().Counts(); c[Inside]+c[Nearest]+c[On] != n {
			b.Fatal(c)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "datastreams/s")
}
