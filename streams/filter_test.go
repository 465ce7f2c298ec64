package streams

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

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
	seen := map[string]int{}
	for i, f := range []Filter{
		{}, {ObservedProperties: []string{"a"}}, {ObservedProperties: []string{"a b"}}, {ObservedProperties: []string{"a", "b"}},
		{ObservedProperties: []string{`a""b`}}, {Datastreams: []twin.DatastreamID{1}}, {Datastreams: []twin.DatastreamID{1, 2}}, {Datastreams: []twin.DatastreamID{12}},
		{BBox: &BBox{0, 0, 1, 1}}, {BBox: &BBox{0, 0, 1, 1.5}}, {ObservedProperties: []string{" 1"}}, {ObservedProperties: []string{"1"}},
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
		for id := twin.DatastreamID(1); id <= 30; id++ {
			table.put(id, draw(id))
		}
		for range 10 { // some move, some vanish
			id := twin.DatastreamID(rapid.IntRange(1, 30).Draw(t, "moved"))
			if ds := draw(id); rapid.Bool().Draw(t, "there") {
				table.describe(table.get(id), ds)
			} else {
				table.describe(table.get(id), nil)
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
		if rapid.IntRange(0, 3).Draw(t, "by id") == 0 {
			f.Datastreams = []twin.DatastreamID{2, 5, 99}
		}
		got := map[twin.DatastreamID]int{}
		table.candidates(&f, func(id twin.DatastreamID, s *slot) { got[id]++ })
		for id := twin.DatastreamID(1); id <= 30; id++ {
			s := table.get(id)
			if s.ds != nil && f.matches(s.ds) && got[id] != 1 || got[id] > 1 || s.ds == nil && got[id] > 0 {
				t.Fatalf("Datastream %d (%+v) is a candidate of %+v %d times", id, s.ds, f, got[id])
			}
		}
	})
}
