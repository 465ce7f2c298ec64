package streams

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"pgregory.net/rapid"

	"cityhub/spatial/cql2"
	"cityhub/twin"
)

func TestBBoxContains(t *testing.T) {
	gusu := BBox{120.598, 31.285, 120.641, 31.332}
	fiji := BBox{177, -20, -178, -12} // crosses the antimeridian
	for _, tt := range []struct {
		name     string
		box      BBox
		lon, lat float64
		want     bool
	}{
		{"the North Temple Pagoda", gusu, 120.61540, 31.32454, true},
		{"the pagoda with swapped axes", gusu, 31.32454, 120.61540, false},
		{"west edge", gusu, 120.598, 31.3, true}, {"north edge", gusu, 120.6, 31.332, true},
		{"corner", gusu, 120.641, 31.285, true}, {"just outside", gusu, 120.6411, 31.3, false},
		{"nowhere", gusu, math.NaN(), math.NaN(), false},
		{"west of the line", fiji, 179.5, -15, true}, {"east of the line", fiji, -179, -15, true},
		{"on the line", fiji, 180, -15, true}, {"on the line by its other name", fiji, -180, -15, true},
		{"far away", fiji, 0, -15, false}, {"between", fiji, -177.9, -15, false},
		{"180 is -180", BBox{170, -10, 180, 10}, -180, 0, true}, {"-180 is 180", BBox{-180, -10, -170, 10}, 180, 0, true},
		{"a point", BBox{1, 2, 1, 2}, 1, 2, true},
		{"the world", BBox{-180, -90, 180, 90}, 12, 90, true},
	} {
		if got := tt.box.Contains(tt.lon, tt.lat); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFilterValidateNamesTheField(t *testing.T) {
	for _, tt := range []struct {
		name, field string
		f           Filter
	}{
		{"west out of range", "filter.bbox", Filter{BBox: &BBox{-181, 0, 0, 1}}},
		{"latitude out of range", "filter.bbox", Filter{BBox: &BBox{0, 0, 1, 91}}},
		{"NaN", "filter.bbox", Filter{BBox: &BBox{math.NaN(), 0, 1, 1}}},
		{"infinite", "filter.bbox", Filter{BBox: &BBox{0, 0, math.Inf(1), 1}}},
		{"upside down", "filter.bbox", Filter{BBox: &BBox{0, 2, 1, 1}}},
		{"no property", "filter.observedProperties", Filter{ObservedProperties: []string{}}},
		{"empty name", "filter.observedProperties", Filter{ObservedProperties: []string{""}}},
		{"long name", "filter.observedProperties", Filter{ObservedProperties: []string{strings.Repeat("x", 257)}}},
		{"too many properties", "filter.observedProperties", Filter{ObservedProperties: make([]string, 101)}},
		{"no datastream", "filter.datastreams", Filter{Datastreams: []twin.DatastreamID{}}},
		{"id 0", "filter.datastreams", Filter{Datastreams: []twin.DatastreamID{0}}},
		{"too many ids", "filter.datastreams", Filter{Datastreams: make([]twin.DatastreamID, 5001)}},
	} {
		var e *twin.Error
		if err := tt.f.Validate(); !errors.As(err, &e) || e.Code != twin.CodeInvalid || e.Field != tt.field || e.Message == "" {
			t.Errorf("%s: %v, want an invalid %s", tt.name, err, tt.field)
		}
	}
	if _, err := ParseBBox([]float64{1, 2, 3}); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("three numbers: %v", err)
	}
	ok := Filter{ObservedProperties: []string{"pm25"}, Datastreams: []twin.DatastreamID{1}, BBox: &BBox{170, -10, -170, 10}}
	if err := ok.Validate(); err != nil {
		t.Errorf("a good filter: %v", err)
	}
}

func TestFilterKey(t *testing.T) {
	a := Filter{ObservedProperties: []string{"b", "a", "a"}, Datastreams: []twin.DatastreamID{3, 1, 3}}.normal()
	b := Filter{ObservedProperties: []string{"a", "b"}, Datastreams: []twin.DatastreamID{1, 3}}.normal()
	if a.key() != b.key() {
		t.Errorf("the same filter has keys %q and %q", a.key(), b.key())
	}
	a, b = Filter{CQL: mustCQL(t, "value>75 AND (quality<3)")}, Filter{CQL: mustCQL(t, `{"op":"and","args":[{"op":">","args":[{"property":"value"},75.0]},{"op":"<","args":[{"property":"quality"},3]}]}`)}
	if a.key() != b.key() {
		t.Errorf("the same filter as text and as JSON has keys %q and %q", a.key(), b.key())
	}
	seen := map[string]int{}
	for i, f := range []Filter{
		{}, {ObservedProperties: []string{"a"}}, {ObservedProperties: []string{"a b"}}, {ObservedProperties: []string{"a", "b"}},
		{ObservedProperties: []string{`a""b`}}, {Datastreams: []twin.DatastreamID{1}}, {Datastreams: []twin.DatastreamID{1, 2}}, {Datastreams: []twin.DatastreamID{12}},
		{BBox: &BBox{0, 0, 1, 1}}, {BBox: &BBox{0, 0, 1, 1.5}}, {ObservedProperties: []string{" 1"}}, {ObservedProperties: []string{"1"}},
		{Domains: []twin.Domain{"a"}}, {Districts: []string{"a"}}, {Objects: []string{"a"}}, {Objects: []string{"a"}, WithoutParts: true},
		{Polygon: orb.Polygon{{{0, 0}, {1, 0}, {1, 1}, {0, 0}}}}, {Polygon: orb.Polygon{{{0, 0}, {1, 0}, {1, 1.5}, {0, 0}}}},
		{CQL: mustCQL(t, "value > 3")}, {CQL: mustCQL(t, "value > 4")}, {CQL: mustCQL(t, "value >= 3")},
	} {
		f = f.normal()
		if j, ok := seen[f.key()]; ok {
			t.Errorf("filters %d and %d share the key %q", i, j, f.key())
		}
		seen[f.key()] = i
	}
}

// The candidates of a filter must hold everything that it matches.
func TestCandidatesAreComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table slotTable
		coord := rapid.Float64Range(-1, 1)
		draw := func(id twin.DatastreamID) *twin.Datastream {
			ds := &twin.Datastream{ID: id, PropertyName: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "property"), Lon: coord.Draw(t, "lon"), Lat: coord.Draw(t, "lat")}
			if rapid.Bool().Draw(t, "far") {
				ds.Lon = rapid.SampledFrom([]float64{-180, 180, 179.99}).Draw(t, "far lon")
			}
			if rapid.IntRange(0, 4).Draw(t, "unlocated") == 0 {
				ds.Lon, ds.Lat = math.NaN(), math.NaN()
			}
			return ds
		}
		objects := []string{"", "m/a", "m/b", "m/c", "x/d"}
		place := func() *Place {
			if rapid.IntRange(0, 3).Draw(t, "bound") == 0 {
				return nil
			}
			p := &Place{District: rapid.SampledFrom([]string{"", "gusu", "wuzhong"}).Draw(t, "district"), Object: rapid.SampledFrom(objects).Draw(t, "object"), Class: "building"}
			if p.Object != "" && rapid.Bool().Draw(t, "part") {
				p.Parents = []string{"m/a", "m/whole"}
			}
			return p
		}
		for id := twin.DatastreamID(1); id <= 30; id++ {
			table.put(id, draw(id), place())
		}
		for range 10 { // some move, some vanish
			id := twin.DatastreamID(rapid.IntRange(1, 30).Draw(t, "moved"))
			if ds := draw(id); rapid.Bool().Draw(t, "there") {
				table.describe(id, table.get(id), ds, place())
			} else {
				table.describe(id, table.get(id), nil, nil)
			}
		}
		f := Filter{}
		if rapid.Bool().Draw(t, "by property") {
			f.ObservedProperties = []string{"a", "c"}
		}
		if rapid.Bool().Draw(t, "by box") {
			f.BBox = &BBox{rapid.Float64Range(-180, 180).Draw(t, "w"), coord.Draw(t, "s"), rapid.Float64Range(-180, 180).Draw(t, "e"), 1}
			if rapid.Bool().Draw(t, "small") {
				f.BBox = &BBox{-0.1, -0.1, 0.1, 0.1}
			}
		}
		switch rapid.IntRange(0, 7).Draw(t, "by what else") {
		case 0:
			f.Datastreams = []twin.DatastreamID{2, 5, 99}
		case 1:
			f.Objects = []string{"m/a", "m/b", "x/d"}
			f.WithoutParts = rapid.Bool().Draw(t, "without parts")
		case 2:
			f.Districts = []string{"gusu", "registered"}
		case 3:
			f.Polygon = orb.Polygon{{{-0.05, -0.05}, {0.05, -0.04}, {0, 0.07}, {-0.05, -0.05}}}
		case 4:
			f.CQL = mustCQL(t, rapid.SampledFrom([]string{
				"property IN ('a','b') AND value > 3", "S_INTERSECTS(geometry,BBOX(-0.2,-0.2,0.2,0.2)) OR property = 'a'",
				"S_INTERSECTS(geometry,BBOX(179,-1,-179,1))", "class = 'building' AND district = 'gusu'", "object = 'x/d'",
			}).Draw(t, "cql"))
		}
		if err := f.Validate(); err != nil {
			t.Fatal(err)
		}
		f = f.normal()
		m, err := compile(f, f.key())
		if err != nil {
			t.Fatal(err)
		}
		h, access := &Hub{}, openModel{}
		got := map[twin.DatastreamID]int{}
		table.candidates(m, func(id twin.DatastreamID, s *slot) { got[id]++ })
		for id := twin.DatastreamID(1); id <= 30; id++ {
			s := table.get(id)
			if s.ds != nil && m.matches(h, access, id, s) && got[id] != 1 || got[id] > 1 || s.ds == nil && got[id] > 0 {
				t.Fatalf("Datastream %d (%+v) is a candidate of %+v %d times", id, s.ds, f, got[id])
			}
			if s.ds != nil && s.place != nil && s.place.Object == "x/d" && m.matches(h, access, id, s) && (f.Objects != nil || f.CQL != nil && cql2.Text(f.CQL) == "object = 'x/d'") && !(f.Objects != nil && !f.WithoutParts && slices.Contains(s.place.Parents, "m/a")) {
				t.Fatalf("Datastream %d is found by an object that the caller may not see", id)
			}
		}
	})
}

// openModel sees everything but the Dataset x.
type openModel struct{}

func (openModel) Key() string                  { return "m" }
func (openModel) Sees(*twin.Datastream) bool   { return true }
func (openModel) SeesDataset(code string) bool { return code == "m" }

func mustCQL(t interface{ Fatal(...any) }, s string) cql2.Expr {
	e, err := ParseCQL(s)
	if err != nil {
		t.Fatal(s, err)
	}
	return e
}

// What each member of a filter chooses, by hand.
func TestFilterChooses(t *testing.T) {
	footprint := func() orb.Geometry {
		return orb.Polygon{{{120.61, 31.30}, {120.62, 31.30}, {120.62, 31.31}, {120.61, 31.31}, {120.61, 31.30}}}
	}
	ds := &twin.Datastream{ID: 7, Terminal: "air-7", ThingName: "北寺塔", PropertyName: "pm25", Domain: twin.DomainEnvironment, District: "registered", Unit: twin.Unit{Symbol: "µg/m³"}, Lon: 120.61540, Lat: 31.32454, Simulated: true, Result: twin.ResultMeasurement}
	tower := &Place{District: "gusu", Object: "m/tower", Class: "building", Type: "BuildingPart", Name: "塔", Parents: []string{"m/temple"}, Footprint: footprint}
	old := orb.Polygon{{{120.598, 31.285}, {120.641, 31.285}, {120.641, 31.332}, {120.598, 31.332}, {120.598, 31.285}}}
	holed := orb.Polygon{old[0], {{120.61, 31.32}, {120.61, 31.33}, {120.62, 31.33}, {120.62, 31.32}, {120.61, 31.32}}}
	reading := twin.Observation{Datastream: 7, PhenomenonNs: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC).UnixNano(), Value: 80, Quality: twin.QualityGood}
	text := twin.Observation{Datastream: 7, Text: "red", IsText: true, Quality: twin.QualityGood}
	nan := twin.Observation{Datastream: 7, Value: math.NaN(), Quality: twin.QualityMissing}
	cql := func(s string) Filter { return Filter{CQL: mustCQL(t, s)} }
	for _, tt := range []struct {
		name  string
		f     Filter
		place *Place
		o     twin.Observation
		want  bool
	}{
		{"domain", Filter{Domains: []twin.Domain{twin.DomainEnvironment}}, nil, reading, true},
		{"other domain", Filter{Domains: []twin.Domain{twin.DomainTransport}}, nil, reading, false},
		{"registered district", Filter{Districts: []string{"registered"}}, nil, reading, true},
		{"district of the model", Filter{Districts: []string{"gusu"}}, tower, reading, true},
		{"the model's counts", Filter{Districts: []string{"registered"}}, tower, reading, false},
		{"polygon", Filter{Polygon: old}, nil, reading, true},
		{"hole", Filter{Polygon: holed}, nil, reading, false},
		{"several polygons", Filter{Polygon: orb.MultiPolygon{holed, {{{120.611, 31.321}, {120.619, 31.321}, {120.615, 31.329}, {120.611, 31.321}}}}}, nil, reading, true},
		{"polygon with swapped axes", Filter{Polygon: orb.Polygon{{{31.285, 120.598}, {31.332, 120.598}, {31.332, 120.641}, {31.285, 120.598}}}}, nil, reading, false},
		{"object", Filter{Objects: []string{"m/tower"}}, tower, reading, true},
		{"whole", Filter{Objects: []string{"m/temple"}}, tower, reading, true},
		{"whole without parts", Filter{Objects: []string{"m/temple"}, WithoutParts: true}, tower, reading, false},
		{"unbound", Filter{Objects: []string{"m/tower"}}, nil, reading, false},
		{"a closed Dataset's object (R28)", Filter{Objects: []string{"x/d"}}, &Place{Object: "x/d"}, reading, false},
		{"class", cql("class = 'building' AND type LIKE 'Building%' AND object_name = '塔'"), tower, reading, true},
		{"class of what may not be seen (R28)", cql("class = 'building'"), &Place{Object: "x/d", Class: "building"}, reading, false},
		{"footprint", cql("S_INTERSECTS(object_geometry, POINT(120.615 31.305))"), tower, reading, true},
		{"footprint elsewhere", cql("S_DISJOINT(object_geometry, POINT(120.625 31.305))"), tower, reading, true},
		{"within", cql("S_WITHIN(geometry, BBOX(120.598,31.285,120.641,31.332))"), nil, reading, true},
		{"thing", cql("terminal = 'air-7' AND name = '北寺塔' AND simulated = TRUE AND unit = 'µg/m³' AND datastream = 7"), nil, reading, true},
		{"value", cql("value > 75"), nil, reading, true},
		{"smaller value", cql("value > 80"), nil, reading, false},
		{"no number", cql("value > 75"), nil, nan, false},
		{"missing", cql("value IS NULL AND quality = 9"), nil, nan, true},
		{"text", cql("text = 'red'"), nil, text, true},
		{"value of a text", cql("value >= 0"), nil, text, false},
		{"time", cql("time >= TIMESTAMP('2026-11-21T08:00:00Z') AND quality <= 2"), nil, reading, true},
		{"either", cql("property = 'level' AND value > 3 OR property = 'pm25' AND value > 75"), nil, reading, true},
	} {
		if err := tt.f.Validate(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		f := tt.f.normal()
		m, err := compile(f, f.key())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		h := &Hub{}
		v := &view{m: m, access: openModel{}}
		s := &slot{ds: ds, place: tt.place}
		if got := v.matches(h, 7, s) && v.wants(h, s, &tt.o); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if m.live != nil {
			if n := testing.AllocsPerRun(100, func() { v.wants(h, s, &tt.o) }); n != 0 {
				t.Errorf("%s: %v allocations a reading", tt.name, n)
			}
		}
	}
}

func TestCostlyFiltersAreRefused(t *testing.T) {
	round := func(n int) string {
		var b strings.Builder
		for i := range n {
			a := 2 * math.Pi * float64(i%(n-1)) / float64(n-1)
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "[%.6f,%.6f]", 120+math.Cos(a), 31+math.Sin(a))
		}
		return `{"type":"Polygon","coordinates":[[` + b.String() + `]]}`
	}
	g, err := ParsePolygon([]byte(round(MaxFilterVertices)))
	if err != nil {
		t.Fatalf("%d vertices: %v", MaxFilterVertices, err)
	}
	f := Filter{Polygon: g}
	if _, err := compile(f, f.key()); err != nil || len(f.key()) > 2*maxKeyBytes {
		t.Errorf("%d vertices: %v, a key of %d bytes", MaxFilterVertices, err, len(f.key()))
	}
	for name, text := range map[string]string{
		"too many vertices": round(MaxFilterVertices + 1), "a line": `{"type":"LineString","coordinates":[[1,2],[3,4]]}`, "nothing": "", "an open ring": `{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1]]]}`,
		"a way out": `{"type":"Polygon","coordinates":[]}]},{"op":"s_intersects","args":[1`,
	} {
		if _, err := ParsePolygon([]byte(text)); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	bow := Filter{Polygon: orb.Polygon{{{0, 0}, {1, 1}, {1, 0}, {0, 1}, {0, 0}}}}
	if _, err := compile(bow, bow.key()); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("a polygon that crosses itself: %v", err)
	}
	for text, hint := range map[string]string{
		"S_TOUCHES(object_geometry, BBOX(0,0,1,1))":          "S_INTERSECTS",
		"S_INTERSECTS(geometry, object_geometry)":            "one literal",
		"S_INTERSECTS(POINT(0 0), BBOX(0,0,1,1))":            "one literal",
		"value > 3 OR S_INTERSECTS(geometry, BBOX(0,0,1,1))": "two subscriptions",
		"valeu > 3":   "value",
		"value > 'x'": "quotes",
		"value > 3 AND NOT S_CROSSES(object_geometry, BBOX(0,0,1,1))": "S_DISJOINT",
	} {
		f := Filter{CQL: mustCQL(t, text)}
		err := f.Validate()
		var e *twin.Error
		if !errors.As(err, &e) || e.Field != "filter.cql" || !strings.Contains(e.Hint, hint) {
			t.Errorf("%s: %v, want a hint with %q", text, err, hint)
		}
	}
	if _, err := ParseCQL("value >"); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("no CQL2: %v", err)
	}
	if _, err := ParseCQL("datastream IN (" + strings.Repeat("1,", maxFilterNodes) + "1)"); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("too many nodes: %v", err)
	}
}

// FuzzParseCQL: no text breaks the parser or the checks, and what is accepted
// compiles or says why not.
func FuzzParseCQL(f *testing.F) {
	for _, s := range []string{"value > 75", `{"op":">","args":[{"property":"value"},75]}`, "S_INTERSECTS(geometry, BBOX(0,0,1,1)) AND quality < 3", "CASEI(name) LIKE CASEI('%塔%')"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseCQL(s)
		if err != nil {
			return
		}
		filter := Filter{CQL: e}
		if filter.Validate() != nil {
			return
		}
		m, err := compile(filter, filter.key())
		if err != nil {
			return
		}
		v := &view{m: m, access: openModel{}}
		sl := &slot{ds: &twin.Datastream{ID: 1}}
		v.matches(&Hub{}, 1, sl)
		v.wants(&Hub{}, sl, &twin.Observation{})
	})
}
