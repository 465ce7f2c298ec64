package sensorthings

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"cityhub/internal/web"
	"cityhub/twin"
)

// statusOf is the HTTP status that err becomes.
func statusOf(err error) int {
	p, _ := web.Describe(httptest.NewRequest("GET", "/", nil), err)
	return p.Status
}

func TestParseFilter(t *testing.T) {
	at := time.Date(2026, 10, 1, 8, 0, 0, 0, time.UTC)
	num := func(s string, v float64) literal { return literal{kind: literalNumber, text: s, num: v} }
	str := func(s string) literal { return literal{kind: literalString, text: s} }
	when := func(s string) literal { return literal{kind: literalTime, text: s, time: at} }
	for _, tt := range []struct {
		in   string
		want []comparison
	}{
		{"name eq 'a'", []comparison{{"name", "eq", str("a")}}},
		{"name eq 'it''s'", []comparison{{"name", "eq", str("it's")}}},
		{"name eq ''", []comparison{{"name", "eq", str("")}}},
		{"properties/编号 eq '北寺塔'", []comparison{{"properties/编号", "eq", str("北寺塔")}}},
		{"id eq 5", []comparison{{"id", "eq", num("5", 5)}}},
		{"@iot.id eq 5", []comparison{{"@iot.id", "eq", num("5", 5)}}},
		{"Datastream/@iot.id eq 5", []comparison{{"Datastream/@iot.id", "eq", num("5", 5)}}},
		{"result le -1.5e3", []comparison{{"result", "le", num("-1.5e3", -1500)}}},
		{"properties/simulated eq true", []comparison{{"properties/simulated", "eq", literal{kind: literalBool, text: "true", bool: true}}}},
		{"phenomenonTime ge 2026-10-01T08:00:00Z", []comparison{{"phenomenonTime", "ge", when("2026-10-01T08:00:00Z")}}},
		{"phenomenonTime ge 2026-10-01T16:00:00.000+08:00", []comparison{{"phenomenonTime", "ge", when("2026-10-01T16:00:00.000+08:00")}}},
		{"(a gt 1 and (b lt 2)) and c eq 3", []comparison{{"a", "gt", num("1", 1)}, {"b", "lt", num("2", 2)}, {"c", "eq", num("3", 3)}}},
	} {
		got, err := parseFilter(tt.in)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
}

func TestParseFilterRefuses(t *testing.T) {
	for _, tt := range []struct {
		in     string
		status int
		want   string // in message or hint
	}{
		{"", 400, "a property"},
		{"name", 400, "an operator"},
		{"name eq", 400, "a value"},
		{"name eq 'a", 400, "no end"},
		{"name eq 'a' and", 400, "a property"},
		{"name eq 'a' 'b'", 400, "the end"},
		{"name = 'a'", 400, "not part of a filter"},
		{"(name eq 'a'", 400, `\")\"`},
		{"name eq 'a')", 400, "the end"},
		{"'a' eq name", 400, "a property"},
		{"name like 'a'", 400, "an operator"},
		{"name eq b", 400, "a value"},
		{"t ge 2026-13-01T00:00:00Z", 400, "neither a number nor a time"},
		{"t ge 2026-10-01T00:00:00 08:00", 400, "%2B"},
		{strings.Repeat("(", 20) + "a eq 1", 400, "parentheses"},
		{strings.Repeat("a eq 1 and ", 40) + "a eq 1", 400, "comparisons"},
		{strings.Repeat("x", 5000), 400, "bytes"},
		{"a eq '\xff'", 400, "UTF-8"},
		{"a eq 1 or b eq 2", 501, "or"},
		{"not a eq 1", 501, "not"},
		{"a ne 1", 501, "ne"},
		{"substringof('x',name)", 501, "substringof"},
		{"during(phenomenonTime,2026-10-01T00:00:00Z/2026-10-02T00:00:00Z)", 501, "during"},
		{"phenomenonTime eq 2026-10-01T00:00:00Z/2026-10-02T00:00:00Z", 501, "interval"},
	} {
		_, err := parseFilter(tt.in)
		var te *twin.Error
		if !errors.As(err, &te) || statusOf(err) != tt.status || te.Field != "$filter" {
			t.Errorf("%s: %v, status %d, want %d", tt.in, err, statusOf(err), tt.status)
			continue
		}
		if !strings.Contains(fmt.Sprintf("%q %s", te.Message, te.Hint), tt.want) {
			t.Errorf("%s: %q (%s) does not speak of %q", tt.in, te.Message, te.Hint, tt.want)
		}
	}
}

func TestParseQuery(t *testing.T) {
	for _, tt := range []struct {
		in     string
		status int // 0: good
		field  string
		check  func(query) bool
	}{
		{in: "", check: func(q query) bool { return q.top == 100 && q.skip == 0 && !q.count && q.sel == nil }},
		{in: "$top=5&$skip=10&$count=true", check: func(q query) bool { return q.top == 5 && q.skip == 10 && q.count }},
		{in: "$top=0", check: func(q query) bool { return q.top == 0 }},
		{in: "$top=10000", check: func(q query) bool { return q.top == 10000 }},
		{in: "%24top=7", check: func(q query) bool { return q.top == 7 }},
		{in: "$orderby=name%20desc,id", check: func(q query) bool {
			return reflect.DeepEqual(q.orderby, []order{{"name", true}, {"id", false}})
		}},
		{in: "$orderby=phenomenonTime+asc", check: func(q query) bool { return reflect.DeepEqual(q.orderby, []order{{"phenomenonTime", false}}) }},
		{in: "$select=name,%20id", check: func(q query) bool { return reflect.DeepEqual(q.sel, []string{"name", "id"}) }},
		{in: "$top=10001", status: 400, field: "$top"},
		{in: "$top=-1", status: 400, field: "$top"},
		{in: "$top=", status: 400, field: "$top"},
		{in: "$top=1.5", status: 400, field: "$top"},
		{in: "$top=%2B1", status: 400, field: "$top"},
		{in: "$top=99999999999999999999", status: 400, field: "$top"},
		{in: "$top=1&$top=2", status: 400, field: "$top"},
		{in: "$skip=x", status: 400, field: "$skip"},
		{in: "$count=yes", status: 400, field: "$count"},
		{in: "$orderby=", status: 400, field: "$orderby"},
		{in: "$orderby=name up", status: 400, field: "$orderby"},
		{in: "$select=", status: 400, field: "$select"},
		{in: "$select=a,,b", status: 400, field: "$select"},
		{in: "$filter=", status: 400, field: "$filter"},
		{in: "$skiptoken=", status: 400, field: "$skiptoken"},
		{in: "$expand=Things", status: 501, field: "$expand"},
		{in: "$resultFormat=dataArray", status: 501, field: "$resultFormat"},
		{in: "$search=x", status: 501, field: "$search"},
		{in: "$fliter=x", status: 400, field: "$fliter"},
		{in: "top=5", status: 400, field: "top"},
		{in: "$top=%zz", status: 400},
		{in: "a;b", status: 400},
	} {
		q, err := parseQuery(tt.in, maxTop)
		if tt.status == 0 {
			if err != nil || !tt.check(q) {
				t.Errorf("%s: %+v, %v", tt.in, q, err)
			}
			continue
		}
		var te *twin.Error
		if !errors.As(err, &te) || statusOf(err) != tt.status || te.Field != tt.field {
			t.Errorf("%s: %v (status %d), want %d on %q", tt.in, err, statusOf(err), tt.status, tt.field)
		}
	}
}

func TestNextQueryKeepsOptions(t *testing.T) {
	q, err := parseQuery("$filter=name%20eq%20'a%26b'&$select=id&$orderby=id&$count=true&$top=3&$skip=6", maxTop)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseQuery(q.nextQuery(9, ""), maxTop)
	if err != nil {
		t.Fatal(err)
	}
	got.raw, q.raw = nil, nil
	q.skip = 9
	if !reflect.DeepEqual(got, q) {
		t.Errorf("got %+v, want %+v", got, q)
	}
	q.raw = url.Values{}
	if next := q.nextQuery(0, "17"); next != "$top=3&$skiptoken=17" {
		t.Errorf("got %s", next)
	}
}

func TestParsePath(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []segment
	}{
		{"", nil},
		{"Things", []segment{{set: things, name: "Things", many: true}}},
		{"Things/", []segment{{set: things, name: "Things", many: true}}},
		{"Things(1)", []segment{{set: things, name: "Things", hasID: true, id: 1}}},
		{"Things(1)/Datastreams(3)/Observations", []segment{
			{set: things, name: "Things", hasID: true, id: 1}, {set: datastreams, name: "Datastreams", hasID: true, id: 3},
			{set: observations, name: "Observations", many: true}}},
		{"Observations('12_-5')/Datastream/Thing/Locations", []segment{
			{set: observations, name: "Observations", hasID: true, obsDS: 12, obsNs: -5}, {set: datastreams, name: "Datastream"},
			{set: things, name: "Thing"}, {set: locations, name: "Locations", many: true}}},
	} {
		got, err := parsePath(tt.in)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
	for in, status := range map[string]int{
		"Nothings": 404, "FeaturesOfInterest": 404, "HistoricalLocations(1)": 404, "things": 404,
		"Things/Datastreams": 404, "Things(1)/Observations": 404, "Datastreams(1)/Thing(1)": 404, "Things(1)//Locations": 404,
		"Observations('1_1')/FeatureOfInterest": 404, "Things(1)/name": 501, "Things(1)/$ref": 501, "Things(1)/name/$value": 501,
		"Things()": 400, "Things(0)": 400, "Things(-1)": 400, "Things(x)": 400, "Things('1')": 400, "Things(1": 400, "Things(99999999999999999999)": 400,
		"Observations(1)": 400, "Observations('x')": 400, "Observations('0_1')": 400, "Observations('')": 400, "Observations(')": 400,
		strings.Repeat("Things(1)/", 20): 404,
	} {
		if _, err := parsePath(in); err == nil || statusOf(err) != status {
			t.Errorf("%s: %v, want status %d", in, err, status)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"$top=5&$skip=1", "$filter=phenomenonTime ge 2026-10-01T00:00:00Z and result lt 5", "$orderby=a desc&$select=b,c", "$filter=name eq 'it''s'",
		"$filter=((a eq 1))", "$count=true&$skiptoken=5", "%zz", "$expand=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parseQuery(s, maxTop)
		if err != nil {
			var te *twin.Error
			if !errors.As(err, &te) || te.Message == "" {
				t.Fatalf("not an error for a caller: %v", err)
			}
			if st := statusOf(err); st != 400 && st != 501 {
				t.Fatalf("status %d of %v", st, err)
			}
			return
		}
		// What was understood survives being written into a next link.
		again, err := parseQuery(q.nextQuery(q.skip, q.token), maxTop)
		if err != nil {
			t.Fatalf("next link of %q: %v", s, err)
		}
		if again.top != q.top || again.count != q.count || !reflect.DeepEqual(again.filter, q.filter) || !reflect.DeepEqual(again.sel, q.sel) || !reflect.DeepEqual(again.orderby, q.orderby) {
			t.Fatalf("%q became %+v, was %+v", s, again, q)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"Things(1)/Datastreams", "Observations('1_2')", "Datastreams(1)/Observations", "Things((", "Things(')", "$ref"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		segs, err := parsePath(s)
		if err != nil {
			if st := statusOf(err); st != 400 && st != 404 && st != 501 {
				t.Fatalf("status %d of %v", st, err)
			}
			return
		}
		for i, sg := range segs {
			if sg.set < things || sg.set > observations || (sg.many && i < len(segs)-1) {
				t.Fatalf("%q gave %+v", s, segs)
			}
		}
	})
}
