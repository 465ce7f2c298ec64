package streams

import (
	"errors"
	"reflect"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/twin"
)

func TestParseFilter(t *testing.T) {
	f, err := ParseFilter([]byte(`{"observedProperties":["pm25"],"datastreams":[3,1],"bbox":[120,31,121,32],"domains":["environment"],"districts":["320508"],
		"polygon":{"type":"Polygon","coordinates":[[[120,31],[121,31],[121,32],[120,31]]]},"objects":["a/b"],"parts":false,"cql":"value > 75"}`))
	if err != nil || f.CQL == nil {
		t.Fatal(f, err)
	}
	f.CQL = nil
	want := Filter{ObservedProperties: []string{"pm25"}, Datastreams: []twin.DatastreamID{3, 1}, BBox: &BBox{120, 31, 121, 32}, Domains: []twin.Domain{twin.DomainEnvironment},
		Districts: []string{"320508"}, Polygon: orb.Polygon{{{120, 31}, {121, 31}, {121, 32}, {120, 31}}}, Objects: []string{"a/b"}, WithoutParts: true}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, want %+v", f, want)
	}
	for _, empty := range []string{"", "null", "{}", `{"cql":null,"polygon":null}`} {
		if f, err := ParseFilter([]byte(empty)); err != nil || !reflect.DeepEqual(f, Filter{}) {
			t.Errorf("%q: %+v, %v", empty, f, err)
		}
	}
	if f, err := ParseFilter([]byte(`{"cql":{"op":">","args":[{"property":"value"},1]}}`)); err != nil || f.CQL == nil {
		t.Errorf("CQL2 JSON: %v", err)
	}
	for raw, field := range map[string]string{
		`[]`: "filter", `{} {}`: "filter", `{`: "filter", `7`: "filter", `{"bbox":"x"}`: "filter.bbox", `{"bbox":[1]}`: "filter.bbox", `{"datastreams":["1"]}`: "filter.datastreams",
		`{"property":["x"]}`: "filter.property", `{"polygon":7}`: "filter.polygon", `{"cql":7}`: "filter.cql", `{"cql":"value >"}`: "filter.cql", `{"parts":"no"}`: "filter.parts",
	} {
		_, err := ParseFilter([]byte(raw))
		var e *twin.Error
		if !errors.As(err, &e) || e.Code != twin.CodeInvalid || e.Field != field {
			t.Errorf("%s: %v, want field %s", raw, err, field)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add([]byte(`{"observedProperties":["pm25"],"bbox":[120,31,121,32],"cql":"value > 75","polygon":{"type":"Polygon","coordinates":[[[120,31],[121,31],[121,32],[120,31]]]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		fl, err := ParseFilter(raw)
		if err != nil {
			if twin.ErrorCode(err) != twin.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		if fl.Validate() == nil {
			n := fl.normal()
			if _, err := compile(n, n.key()); err != nil {
				t.Fatalf("valid, and not compiled: %v", err)
			}
		}
	})
}
