package sensorthings_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cityhub/internal/web"
	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/policy"
	"cityhub/twin/policy/policytest"
	"cityhub/twin/sensorthings"
	"cityhub/twin/series"
)

// ingester stores what it gets at once, and refuses what a real one would.
type ingester struct {
	c   *policytest.City
	got []sensorthings.Submission
}

func (i *ingester) Observe(_ context.Context, s sensorthings.Submission) (twin.Observation, error) {
	i.got = append(i.got, s)
	var in struct {
		PhenomenonTime time.Time `json:"phenomenonTime"`
		Result         any       `json:"result"`
	}
	if err := json.Unmarshal(s.Body, &in); err != nil {
		return twin.Observation{}, &sensorthings.RejectedError{Reason: twin.RejectMalformed, Detail: err.Error()}
	}
	v, ok := in.Result.(float64)
	switch {
	case !ok:
		return twin.Observation{}, &sensorthings.RejectedError{Reason: twin.RejectNotANumber, Detail: fmt.Sprintf("%v was found, a number was expected", in.Result)}
	case in.PhenomenonTime.Year() > 2100:
		return twin.Observation{}, &sensorthings.RejectedError{Reason: twin.RejectFuture, Detail: "too late"}
	case v == 503:
		return twin.Observation{}, &twin.Error{Code: twin.CodeUnavailable, Op: "append", Message: "the disk is full"}
	case v == 500:
		return twin.Observation{}, errors.New("secret cause")
	}
	o := twin.Observation{Datastream: s.Datastream.ID, PhenomenonNs: in.PhenomenonTime.UnixNano(), ResultNs: in.PhenomenonTime.UnixNano(), Value: v, Quality: twin.QualityNotEvaluated}
	var b block.Batch
	b.Append(o)
	i.c.Append(&b)
	return o, nil
}

type server struct {
	t   testing.TB
	c   *policytest.City
	in  *ingester
	url string
}

func serve(t testing.TB, maxTop int) *server {
	t.Helper()
	c := policytest.New(t, "")
	in := &ingester{c: c}
	std, err := web.Standard(web.Options{Logger: slog.New(slog.DiscardHandler), Verifier: c.Gate})
	if err != nil {
		t.Fatal(err)
	}
	h := sensorthings.New(sensorthings.Options{Gate: c.Gate, Ingester: in, Terminals: c.Registry, MaxTop: maxTop})
	srv := httptest.NewServer(std(h))
	t.Cleanup(srv.Close)
	return &server{t: t, c: c, in: in, url: srv.URL + sensorthings.Prefix}
}

// do sends a request with an Authorization header, empty for none.
func (s *server) do(method, path, auth, body string) (*http.Response, []byte) {
	s.t.Helper()
	u := path
	if !strings.HasPrefix(path, "http") {
		u = s.url + path
	}
	u = strings.NewReplacer(" ", "%20", "'", "%27").Replace(u)
	r, err := http.NewRequest(method, u, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, b
}

func (s *server) admin() string { return "Bearer " + s.c.Token }

type object = map[string]any

// get reads a document that has to be there.
func (s *server) get(path, auth string) object {
	s.t.Helper()
	res, body := s.do("GET", path, auth, "")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
		s.t.Fatalf("GET %s: %d %s %s", path, res.StatusCode, res.Header.Get("Content-Type"), body)
	}
	var v object
	if err := json.Unmarshal(body, &v); err != nil {
		s.t.Fatalf("GET %s: %v in %s", path, err, body)
	}
	return v
}

// fails reads a problem document.
func (s *server) fails(method, path, auth, body string, status int) web.ProblemDocument {
	s.t.Helper()
	res, b := s.do(method, path, auth, body)
	var p web.ProblemDocument
	if err := json.Unmarshal(b, &p); err != nil || res.StatusCode != status || res.Header.Get("Content-Type") != web.ContentTypeProblem || p.Status != status || p.Title == "" {
		s.t.Errorf("%s %s: %d (want %d) %s: %s", method, path, res.StatusCode, status, res.Header.Get("Content-Type"), b)
	}
	return p
}

func values(v object) []object {
	var out []object
	for _, x := range v["value"].([]any) {
		out = append(out, x.(object))
	}
	return out
}

func TestServiceRoot(t *testing.T) {
	s := serve(t, 0)
	for _, path := range []string{"", "/"} {
		v := s.get(path, "")
		var names []string
		for _, e := range values(v) {
			names = append(names, e["name"].(string))
			s.get(e["url"].(string), "")
		}
		if want := []string{"Things", "Locations", "Sensors", "ObservedProperties", "Datastreams", "Observations"}; !slices.Equal(names, want) {
			t.Errorf("sets %v", names)
		}
		if len(v["serverSettings"].(object)["conformance"].([]any)) == 0 {
			t.Error("no conformance")
		}
	}
	s.fails("GET", "?$top=1", "", "", 400)
}

func TestLocationAxisOrderNorthTemplePagoda(t *testing.T) {
	s := serve(t, 0)
	v := s.get("/Things(1)/Locations", "")
	l := values(v)[0]
	want := object{"type": "Point", "coordinates": []any{120.61540, 31.32454}} // longitude first: RFC 7946
	if !reflect.DeepEqual(l["location"], want) || l["encodingType"] != "application/geo+json" {
		t.Errorf("location %v, %v", l["location"], l["encodingType"])
	}
}

func TestEntities(t *testing.T) {
	s := serve(t, 0)
	thing := s.get("/Things(1)", "")
	p := thing["properties"].(object)
	if thing["@iot.id"] != 1.0 || thing["@iot.selfLink"] != s.url+"/Things(1)" || thing["name"] != "北寺塔空气站" ||
		p["code"] != "air-001" || p["domain"] != "environment" || p["district"] != "320508" || p["state"] != "active" || p["simulated"] != false || p["height"] != 3.0 {
		t.Errorf("thing %v", thing)
	}
	pm25 := s.c.Datastream("air-001", "pm25")
	ds := s.get(fmt.Sprintf("/Datastreams(%d)", pm25.ID), "")
	last := policytest.Start.Add((policytest.Readings - 1) * time.Minute).Format(time.RFC3339)
	if ds["observationType"] != "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement" ||
		!reflect.DeepEqual(ds["unitOfMeasurement"], object{"name": "microgram per cubic metre", "symbol": "µg/m³", "definition": "ucum:ug/m3"}) ||
		ds["phenomenonTime"] != policytest.Start.Format(time.RFC3339)+"/"+last ||
		!reflect.DeepEqual(ds["properties"], object{"dataset": "air", "domain": "environment", "district": "320508", "simulated": false, "terminal": "air-001"}) {
		t.Errorf("datastream %v", ds)
	}
	alarm := s.get(fmt.Sprintf("/Datastreams(%d)", s.c.Datastream("air-001", "alarm").ID), "")
	if !reflect.DeepEqual(alarm["unitOfMeasurement"], object{"name": nil, "symbol": nil, "definition": nil}) {
		t.Errorf("unit %v", alarm["unitOfMeasurement"])
	}
	// Every navigation link leads somewhere, and every self link leads back.
	seen := map[string]bool{}
	var follow func(link string)
	follow = func(link string) {
		if seen[link] {
			return
		}
		seen[link] = true
		v := s.get(link, "")
		list := []object{v}
		if _, ok := v["value"]; ok {
			list = values(v)[:min(2, len(values(v)))]
		}
		for _, e := range list {
			self := e["@iot.selfLink"].(string)
			if again := s.get(self, ""); !reflect.DeepEqual(again, e) {
				t.Errorf("%s: %v, in %s: %v", self, again, link, e)
			}
			for k, to := range e {
				if strings.HasSuffix(k, "@iot.navigationLink") {
					follow(to.(string))
				}
			}
		}
	}
	for _, set := range []string{"Things", "Locations", "Sensors", "ObservedProperties", "Datastreams", "Observations"} {
		follow(s.url + "/" + set)
	}
	if len(seen) < 20 {
		t.Errorf("only %d links", len(seen))
	}
}

func TestResultsByType(t *testing.T) {
	s := serve(t, 0)
	for property, want := range map[string]any{"cars": 12345678.0, "status": "正常 \"ok\"", "alarm": true, "pm25": 0.0} {
		v := s.get(fmt.Sprintf("/Datastreams(%d)/Observations?$top=1", s.c.Datastream("air-001", property).ID), "")
		o := values(v)[0]
		if !reflect.DeepEqual(o["result"], want) {
			t.Errorf("%s: %v (%T), want %v", property, o["result"], o["result"], want)
		}
	}
	// A missing reading is null.
	ds := s.c.Datastream("air-001", "cars")
	var b block.Batch
	b.AppendNumber(ds.ID, policytest.Start.UnixNano(), 0, 0, twin.QualityMissing)
	s.c.Append(&b)
	o := values(s.get(fmt.Sprintf("/Datastreams(%d)/Observations", ds.ID), ""))[0]
	if o["result"] != nil || !reflect.DeepEqual(o["resultQuality"], object{"mark": 9.0, "name": "missing"}) {
		t.Errorf("%v", o)
	}
}

// results pages through path and gives every result.
func (s *server) results(path string) (out []float64, pages int) {
	s.t.Helper()
	for path != "" {
		v := s.get(path, "")
		for _, o := range values(v) {
			out = append(out, o["result"].(float64)*10)
		}
		path, _ = v["@iot.nextLink"].(string)
		if pages++; pages > 1000 {
			s.t.Fatal("the pages do not end")
		}
	}
	return out, pages
}

func TestObservationsPaging(t *testing.T) {
	s := serve(t, 0)
	base := fmt.Sprintf("/Datastreams(%d)/Observations", s.c.Datastream("air-001", "pm25").ID)
	at := func(i int) string { return policytest.Start.Add(time.Duration(i) * time.Minute).Format(time.RFC3339) }
	for _, tt := range []struct {
		query       string
		first, n    int // index of the first result and how many
		desc        bool
		pages       int
		description string
	}{
		{"", 0, 250, false, 3, "oldest first, 100 a page"},
		{"?$top=250", 0, 250, false, 1, "one page"},
		{"?$top=249", 0, 250, false, 2, "one left"},
		{"?$top=7", 0, 250, false, 36, "many pages"},
		{"?$orderby=phenomenonTime desc&$top=100", 249, 250, true, 3, "newest first"},
		{"?$orderby=phenomenonTime asc", 0, 250, false, 3, "asc"},
		{"?$skip=200", 200, 50, false, 1, "skip"},
		{"?$skip=245&$top=3", 245, 5, false, 2, "skip and pages"},
		{"?$skip=1000", 0, 0, false, 1, "skip all"},
		{"?$orderby=phenomenonTime desc&$skip=249", 0, 1, true, 1, "skip, newest first"},
		{"?$filter=phenomenonTime ge " + at(10) + " and phenomenonTime lt " + at(20), 10, 10, false, 1, "half-open"},
		{"?$filter=phenomenonTime gt " + at(10) + " and phenomenonTime le " + at(20), 11, 10, false, 1, "other half-open"},
		{"?$filter=phenomenonTime eq " + at(10), 10, 1, false, 1, "eq"},
		{"?$filter=phenomenonTime gt " + at(20) + " and phenomenonTime lt " + at(10), 0, 0, false, 1, "empty"},
		{"?$filter=phenomenonTime lt 1970-01-01T00:00:00Z", 0, 0, false, 1, "before the epoch"},
		{"?$filter=phenomenonTime ge 0001-01-01T00:00:00Z and phenomenonTime lt 9999-01-01T00:00:00Z", 0, 250, false, 3, "beyond what a time can hold"},
		{"?$filter=phenomenonTime ge " + at(100) + "&$top=40&$orderby=phenomenonTime desc", 249, 150, true, 4, "filter, pages, newest first"},
		{"?$filter=resultTime ge " + at(200), 200, 50, false, 1, "resultTime is a second later"},
		{"?$filter=result ge 20 and result lt 22&$top=6", 200, 20, false, 4, "result"},
		{"?$filter=result eq 5&$skip=1", 0, 0, false, 1, "skip what matches"},
	} {
		t.Run(tt.description, func(t *testing.T) {
			got, pages := s.results(base + tt.query)
			if len(got) != tt.n || pages != tt.pages {
				t.Fatalf("%d results on %d pages, want %d on %d", len(got), pages, tt.n, tt.pages)
			}
			for i, v := range got {
				want := float64(tt.first + i)
				if tt.desc {
					want = float64(tt.first - i)
				}
				if d := v - want; d > 1e-9 || d < -1e-9 {
					t.Fatalf("result %d is %v, want %v", i, v, want)
				}
			}
		})
	}
}

func TestObservationsCountIsOfAllPages(t *testing.T) {
	s := serve(t, 0)
	base := fmt.Sprintf("/Datastreams(%d)/Observations", s.c.Datastream("air-001", "pm25").ID)
	for query, want := range map[string]float64{
		"?$count=true":        250,
		"?$count=true&$top=0": 250,
		"?$count=true&$filter=phenomenonTime lt " + policytest.Start.Add(time.Hour).Format(time.RFC3339): 60,
		"?$count=true&$filter=result gt 24":                           9,
		"?$count=true&$filter=phenomenonTime lt 2000-01-01T00:00:00Z": 0,
	} {
		v := s.get(base+query, "")
		if v["@iot.count"] != want {
			t.Errorf("%s: %v, want %v", query, v["@iot.count"], want)
		}
		if next, ok := v["@iot.nextLink"].(string); ok {
			if v = s.get(next, ""); v["@iot.count"] != want {
				t.Errorf("%s, second page: %v, want %v", query, v["@iot.count"], want)
			}
		}
	}
	if v := s.get(base, ""); v["@iot.count"] != nil {
		t.Error("a count nobody asked for")
	}
	if v := s.get(base+"?$top=0", ""); v["@iot.nextLink"] != nil || len(values(v)) != 0 {
		t.Errorf("$top=0: %v", v)
	}
}

func TestPagingIsStableWhileReadingsArrive(t *testing.T) {
	s := serve(t, 0)
	pm25 := s.c.Datastream("air-001", "pm25")
	v := s.get(fmt.Sprintf("/Datastreams(%d)/Observations?$orderby=phenomenonTime desc&$top=100", pm25.ID), "")
	var b block.Batch
	b.AppendNumber(pm25.ID, policytest.Start.Add(time.Hour*24).UnixNano(), 0, 99, twin.QualityGood)
	s.c.Append(&b)
	next := values(s.get(v["@iot.nextLink"].(string), ""))
	if got := next[0]["result"]; got != 14.9 {
		t.Errorf("the second page begins with %v, want 14.9", got)
	}
}

func TestAllObservations(t *testing.T) {
	s := serve(t, 0)
	collect := func(path, auth string) map[float64]int {
		out := map[float64]int{}
		lastDS, lastNs := int64(0), int64(0)
		for n := 0; path != ""; n++ {
			v := s.get(path, auth)
			for _, o := range values(v) {
				ds, ns, err := twin.ParseObservationID(o["@iot.id"].(string))
				if err != nil || int64(ds) < lastDS || (int64(ds) == lastDS && ns <= lastNs) {
					t.Fatalf("%v after %d_%d: %v", o["@iot.id"], lastDS, lastNs, err)
				}
				lastDS, lastNs = int64(ds), ns
				out[float64(ds)]++
			}
			path, _ = v["@iot.nextLink"].(string)
			if n > 500 {
				t.Fatal("the pages do not end")
			}
		}
		return out
	}
	for _, top := range []int{1, 3, 100, 1000} {
		public, all := collect(fmt.Sprintf("/Observations?$top=%d", top), ""), collect(fmt.Sprintf("/Observations?$top=%d", top), s.admin())
		sum := func(m map[float64]int) (n int) {
			for _, v := range m {
				n += v
			}
			return n
		}
		if len(public) != 4 || sum(public) != 253 || len(all) != 6 || sum(all) != 255 {
			t.Errorf("$top=%d: public %v, all %v", top, public, all)
		}
	}
	pm25 := s.c.Datastream("air-001", "pm25").ID
	if got := collect(fmt.Sprintf("/Observations?$filter=Datastream/@iot.id eq %d", pm25), ""); len(got) != 1 || got[float64(pm25)] != 250 {
		t.Errorf("%v", got)
	}
	if v := s.get(fmt.Sprintf("/Observations?$filter=Datastream/@iot.id eq %d&$count=true", s.c.Datastream("fire-001", "smoke").ID), ""); v["@iot.count"] != 0.0 || len(values(v)) != 0 {
		t.Errorf("a hidden Datastream shows: %v", v)
	}
}

func TestLists(t *testing.T) {
	s := serve(t, 0)
	names := func(path, auth string) string {
		var out []string
		for n := 0; path != ""; n++ {
			v := s.get(path, auth)
			for _, e := range values(v) {
				out = append(out, fmt.Sprint(e["@iot.id"]))
			}
			path, _ = v["@iot.nextLink"].(string)
			if n > 50 {
				t.Fatal("the pages do not end")
			}
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct{ path, want string }{
		{"/Things", "1 2 3"},
		{"/Things?$top=1", "1 2 3"},
		{"/Things?$top=2&$orderby=id desc", "3 2 1"},
		{"/Things?$skip=1", "2 3"},
		{"/Things?$top=1&$skip=1", "2 3"},
		{"/Things?$filter=id eq 2", "2"},
		{"/Things?$filter=@iot.id eq 2 and id eq 3", ""},
		{"/Things?$filter=id eq 0", ""},
		{"/Things?$filter=name eq '干将路线圈'", "2"},
		{"/Things?$filter=properties/code eq 'fire-001'", "3"},
		{"/Things?$filter=(name eq 'x' and id eq 1)", ""},
		{"/Datastreams?$top=2", "1 2 3 4 5 6"},
		{"/Datastreams?$filter=properties/terminal eq 'air-001'", "1 2 3 4"},
		{"/Things(1)/Datastreams?$top=3", "1 2 3 4"},
		{"/Things(2)/Datastreams", "5"},
		{"/Sensors?$orderby=name", ""},
		{"/ObservedProperties(5)/Datastreams", "5"},
		{"/Locations(1)/Things", "1"},
	} {
		got := names(tt.path, s.admin())
		if tt.path == "/Sensors?$orderby=name" {
			if len(strings.Fields(got)) != 3 {
				t.Errorf("%s: %s", tt.path, got)
			}
			continue
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.path, got, tt.want)
		}
	}
	v := s.get("/Datastreams?$count=true&$top=2", s.admin())
	if v["@iot.count"] != 6.0 {
		t.Errorf("count %v", v["@iot.count"])
	}
	if v = s.get(v["@iot.nextLink"].(string), s.admin()); v["@iot.count"] != 6.0 {
		t.Errorf("count on the second page %v", v["@iot.count"])
	}
}

func TestSelect(t *testing.T) {
	s := serve(t, 0)
	keys := func(o object) string {
		var k []string
		for name := range o {
			k = append(k, name)
		}
		slices.Sort(k)
		return strings.Join(k, " ")
	}
	for path, want := range map[string]string{
		"/Things(1)?$select=name":                     "name",
		"/Things(1)?$select=id,name,Datastreams":      "@iot.id Datastreams@iot.navigationLink name",
		"/Datastreams(1)?$select=@iot.selfLink":       "@iot.selfLink",
		"/Datastreams(1)?$select=phenomenonTime":      "phenomenonTime",
		"/Locations(1)?$select=location,encodingType": "encodingType location",
	} {
		if got := keys(s.get(path, "")); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := keys(values(s.get("/Datastreams(1)/Observations?$select=result,phenomenonTime&$top=1", ""))[0]); got != "phenomenonTime result" {
		t.Error(got)
	}
}

func TestNothingIsIgnored(t *testing.T) {
	s := serve(t, 0)
	for _, tt := range []struct {
		path   string
		status int
		field  string
	}{
		{"/Things?$expand=Datastreams", 501, "$expand"},
		{"/Things?$fliter=x", 400, "$fliter"},
		{"/Things?limit=5", 400, "limit"},
		{"/Things?$top=x", 400, "$top"},
		{"/Things?$top=10001", 400, "$top"},
		{"/Things?$orderby=description", 501, "$orderby"},
		{"/Things?$orderby=id,name", 501, "$orderby"},
		{"/Things?$filter=description eq 'x'", 501, "$filter"},
		{"/Things?$filter=name gt 'x'", 501, "$filter"},
		{"/Things?$filter=id eq 'x'", 400, "$filter"},
		{"/Things?$filter=name eq 5", 400, "$filter"},
		{"/Things?$select=nmae", 400, "$select"},
		{"/Things?$skiptoken=x", 400, "$skiptoken"},
		{"/Things?$skiptoken=1&$orderby=name", 400, "$skiptoken"},
		{"/Things(1)?$top=1", 400, "$top"},
		{"/Things(1)?$filter=id eq 1", 400, "$filter"},
		{"/Observations?$count=true", 501, "$count"},
		{"/Observations?$orderby=phenomenonTime desc", 501, "$orderby"},
		{"/Observations?$skiptoken=5", 400, "$skiptoken"},
		{"/Datastreams(1)/Observations?$skiptoken=x", 400, "$skiptoken"},
		{"/Datastreams(1)/Observations?$orderby=result", 501, "$orderby"},
		{"/Datastreams(1)/Observations?$filter=phenomenonTime gt 'x'", 400, "$filter"},
		{"/Datastreams(1)/Observations?$filter=result eq 'x'", 501, "$filter"},
		{"/Datastreams(1)/Observations?$filter=parameters/x eq 1", 501, "$filter"},
		{"/Datastreams(1)/Observations?$filter=Datastream/id gt 1", 400, "$filter"},
		{"/Datastreams(1)/Observations?$filter=phenomenonTime gt 2026-10-01T00:00:00Z or result gt 1", 501, "$filter"},
		{"/Things(x)", 400, "id"},
		{"/Nothings", 404, ""},
		{"/FeaturesOfInterest", 404, ""},
		{"/Things(1)/Sensor", 404, ""},
		{"/Things(999)", 404, ""},
		{"/Things(2)/Datastreams(1)", 404, ""},
		{"/Observations('1_5')", 404, ""},
		{"/Datastreams(2)/Observations('1_1790812800000000000')", 404, ""},
		{"x", 404, ""},
	} {
		p := s.fails("GET", tt.path, s.admin(), "", tt.status)
		if p.Field != tt.field || (tt.status == 501 && p.Hint == "") {
			t.Errorf("%s: field %q, want %q: %+v", tt.path, p.Field, tt.field, p)
		}
	}
	for _, m := range []string{"PUT", "PATCH", "DELETE"} {
		s.fails(m, "/Things(1)", s.admin(), "{}", 405)
	}
	s.fails("POST", "/Things", s.admin(), "{}", 405)
}

func TestAnonymousSeesOnlyOpenDataR28R36(t *testing.T) {
	s := serve(t, 0)
	fire := s.c.Datastream("fire-001", "smoke")
	flow := s.c.Datastream("traffic-001", "flow")
	id := fmt.Sprintf("%d_%d", fire.ID, policytest.Start.UnixNano())
	for _, path := range []string{
		fmt.Sprintf("/Things(%d)", fire.Thing), fmt.Sprintf("/Things(%d)/Datastreams", fire.Thing), fmt.Sprintf("/Things(%d)/Locations", flow.Thing),
		fmt.Sprintf("/Datastreams(%d)", fire.ID), fmt.Sprintf("/Datastreams(%d)/Observations", fire.ID), fmt.Sprintf("/Datastreams(%d)/Observations?$count=true", flow.ID),
		fmt.Sprintf("/Datastreams(%d)/Thing", fire.ID), fmt.Sprintf("/Sensors(%d)", fire.Sensor), fmt.Sprintf("/ObservedProperties(%d)", fire.Property),
		"/Locations(3)", "/Locations(3)/Things", "/Observations('" + id + "')", "/Observations('" + id + "')/Datastream",
	} {
		s.fails("GET", path, "", "", 404)
		if res, body := s.do("GET", path, s.admin(), ""); res.StatusCode != 200 {
			t.Errorf("%s as admin: %d %s", path, res.StatusCode, body)
		}
	}
	for path, want := range map[string]float64{"/Things": 1, "/Locations": 1, "/Sensors": 1, "/ObservedProperties": 4, "/Datastreams": 4} {
		v := s.get(path+"?$count=true", "")
		if v["@iot.count"] != want || float64(len(values(v))) != want {
			t.Errorf("%s: %v of %v, want %v", path, len(values(v)), v["@iot.count"], want)
		}
	}
	s.fails("GET", "/Things", "Bearer nonsense", "", 401)
	// A catalogue change shows at the next request (R33).
	s.c.SetOpen("traffic", twin.OpenUnconditional)
	s.get(fmt.Sprintf("/Datastreams(%d)", flow.ID), "")
}

func TestCreateObservation(t *testing.T) {
	s := serve(t, 0)
	pm25 := s.c.Datastream("air-001", "pm25")
	path := fmt.Sprintf("/Datastreams(%d)/Observations", pm25.ID)
	basic := func(u, p string) string {
		r, _ := http.NewRequest("GET", "http://x", nil)
		r.SetBasicAuth(u, p)
		return r.Header.Get("Authorization")
	}
	terminal := basic("air", "open-sesame")
	body := func(minute int, extra string) string {
		return fmt.Sprintf(`{"phenomenonTime":"2026-10-02T00:%02d:00Z","result":42.5%s}`, minute, extra)
	}
	for i, tt := range []struct{ path, auth, body string }{
		{path, s.admin(), body(1, "")},
		{path, terminal, body(2, "")},
		{"/Observations", terminal, body(3, fmt.Sprintf(`,"Datastream":{"@iot.id":%d}`, pm25.ID))},
		{path, s.admin(), body(4, fmt.Sprintf(`,"Datastream":{"@iot.id":%d}`, pm25.ID))},
	} {
		res, b := s.do("POST", tt.path, tt.auth, tt.body)
		loc := res.Header.Get("Location")
		if res.StatusCode != 201 || loc == "" {
			t.Fatalf("%d: %d %s", i, res.StatusCode, b)
		}
		// 201 is after it is durable: its Location is there.
		var created object
		if err := json.Unmarshal(b, &created); err != nil {
			t.Fatal(err)
		}
		if o := s.get(loc, ""); o["result"] != 42.5 || !reflect.DeepEqual(o, created) {
			t.Errorf("%s: %v, created %v", loc, o, created)
		}
	}
	if got := s.in.got[1].Principal; got != (policy.Principal{Name: "air-001", Role: policy.RoleTerminal}) {
		t.Errorf("principal %+v", got)
	}
	n := len(s.in.got)
	fire := s.c.Datastream("fire-001", "smoke")
	for _, tt := range []struct {
		name, path, auth, body string
		status                 int
		field                  string
	}{
		{"anonymous", path, "", body(5, ""), 401, ""},
		{"wrong password", path, basic("air", "x"), body(5, ""), 401, ""},
		{"wrong token", path, "Bearer x", body(5, ""), 401, ""},
		{"other terminal, open", path, basic("fire", "hush"), body(5, ""), 403, ""},
		{"other terminal, hidden", fmt.Sprintf("/Datastreams(%d)/Observations", fire.ID), terminal, body(5, ""), 404, "id"},
		{"no Datastream", "/Observations", terminal, body(5, ""), 400, "Datastream"},
		{"bad Datastream", "/Observations", terminal, body(5, `,"Datastream":{"@iot.id":"x"}`), 400, "Datastream.@iot.id"},
		{"unknown Datastream", "/Observations", terminal, body(5, `,"Datastream":{"@iot.id":999}`), 404, "id"},
		{"two Datastreams", path, terminal, body(5, fmt.Sprintf(`,"Datastream":{"@iot.id":%d}`, fire.ID)), 400, "Datastream.@iot.id"},
		{"not JSON", path, terminal, "{", 400, ""},
		{"an array", path, terminal, "[]", 400, ""},
		{"feature", path, terminal, body(5, `,"FeatureOfInterest":{"@iot.id":1}`), 501, "FeatureOfInterest"},
		{"query", path + "?$select=id", terminal, body(5, ""), 400, ""},
		{"long path", fmt.Sprintf("/Things(1)/Datastreams(%d)/Observations", pm25.ID), terminal, body(5, ""), 400, "path"},
		{"too large", path, terminal, `{"x":"` + strings.Repeat("x", 2<<20) + `"}`, 413, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := *s
			s.t = t
			p := s.fails("POST", tt.path, tt.auth, tt.body, tt.status)
			if p.Field != tt.field {
				t.Errorf("field %q, want %q: %+v", p.Field, tt.field, p)
			}
		})
	}
	if len(s.in.got) != n {
		t.Errorf("%d of the refused requests reached ingest", len(s.in.got)-n)
	}
	// A terminal writes to its own Datastreams whether they are open or not.
	res, b := s.do("POST", fmt.Sprintf("/Datastreams(%d)/Observations", fire.ID), basic("fire", "hush"), body(6, ""))
	if res.StatusCode != 201 {
		t.Errorf("%d %s", res.StatusCode, b)
	}
	s.fails("GET", res.Header.Get("Location"), "", "", 404)
	s.get(res.Header.Get("Location"), s.admin())
}

func TestCreateObservationChallenge(t *testing.T) {
	s := serve(t, 0)
	res, _ := s.do("POST", "/Datastreams(1)/Observations", "", `{"result":1}`)
	if got := res.Header.Values("WWW-Authenticate"); len(got) != 2 {
		t.Errorf("WWW-Authenticate %q", got)
	}
	// Before it is known who asks, the answer tells nothing of what is there.
	a := s.fails("POST", "/Datastreams(1)/Observations", "", `{"result":1}`, 401)
	b := s.fails("POST", "/Datastreams(999)/Observations", "", `{`, 401)
	a.Instance, b.Instance = "", ""
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%+v and %+v differ", a, b)
	}
}

func TestCreateObservationRefused(t *testing.T) {
	s := serve(t, 0)
	const path = "/Datastreams(1)/Observations"
	for _, tt := range []struct {
		body   string
		status int
		reason twin.RejectReason
		field  string
	}{
		{`{"phenomenonTime":"2026-10-02T00:00:00Z","result":"x"}`, 400, twin.RejectNotANumber, "result"},
		{`{"phenomenonTime":"2200-10-02T00:00:00Z","result":1}`, 400, twin.RejectFuture, "phenomenonTime"},
		{`{"phenomenonTime":5,"result":1}`, 400, twin.RejectMalformed, ""},
		{`{"phenomenonTime":"2026-10-02T00:00:00Z","result":503}`, 503, "", ""},
		{`{"phenomenonTime":"2026-10-02T00:00:00Z","result":500}`, 500, "", ""},
	} {
		p := s.fails("POST", path, s.admin(), tt.body, tt.status)
		if p.Reason != string(tt.reason) || p.Field != tt.field || (tt.reason != "" && p.Type != "/problems/observation-rejected") || strings.Contains(p.Detail, "secret") {
			t.Errorf("%s: %+v", tt.body, p)
		}
	}
}

func TestHead(t *testing.T) {
	s := serve(t, 0)
	for path, status := range map[string]int{"/Things": 200, "/Things(1)": 200, "/Datastreams(1)/Observations": 200, "/Observations": 200, "/Things(999)": 404} {
		res, body := s.do("HEAD", path, "", "")
		if res.StatusCode != status || len(body) != 0 {
			t.Errorf("%s: %d, %d bytes", path, res.StatusCode, len(body))
		}
	}
}

func TestLargePage(t *testing.T) {
	const n = 100_000
	s := serve(t, n)
	ds := s.c.Datastream("air-001", "cars")
	var b block.Batch
	for i := range int64(n) {
		b.AppendNumber(ds.ID, policytest.Start.UnixNano()+i*int64(time.Second), 0, float64(i), twin.QualityGood)
	}
	s.c.Append(&b)
	res, body := s.do("GET", fmt.Sprintf("/Datastreams(%d)/Observations?$top=%d&$select=result", ds.ID, n), "", "")
	if got := bytes.Count(body, []byte(`{"result":`)); res.StatusCode != 200 || !json.Valid(body) || got != n || bytes.Contains(body, []byte("@iot.nextLink")) {
		t.Errorf("%d, %d Observations", res.StatusCode, got)
	}
}

// failing is a store whose reads break after some rows.
type failing struct {
	series.Store
	after int
}

func (f failing) Range(ctx context.Context, ds twin.DatastreamID, w series.Window, fn func(twin.Observation) bool) error {
	n := 0
	err := f.Store.Range(ctx, ds, w, func(o twin.Observation) bool { n++; return n <= f.after && fn(o) })
	if err == nil && n > f.after {
		return errors.New("secret: the disk is broken")
	}
	return err
}

func TestBrokenStoreIsNotTakenForTheEnd(t *testing.T) {
	for _, tt := range []struct {
		after int
		cut   bool
	}{{5, false}, {20_000, true}} {
		c := policytest.New(t, "")
		ds := c.Datastream("air-001", "cars")
		var b block.Batch
		for i := range int64(30_000) {
			b.AppendNumber(ds.ID, policytest.Start.UnixNano()+i, 0, float64(i), twin.QualityGood)
		}
		c.Append(&b)
		gate, err := policy.New(policy.Options{Registry: c.Registry, Series: failing{c.Series, tt.after}, State: c.State})
		if err != nil {
			t.Fatal(err)
		}
		std, err := web.Standard(web.Options{Logger: slog.New(slog.DiscardHandler), Verifier: gate})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(std(sensorthings.New(sensorthings.Options{Gate: gate, MaxTop: 30_000})))
		t.Cleanup(srv.Close)
		for _, coding := range []string{"identity", "gzip"} {
			r, _ := http.NewRequest("GET", fmt.Sprintf("%s%s/Datastreams(%d)/Observations?$top=30000", srv.URL, sensorthings.Prefix, ds.ID), nil)
			r.Header.Set("Accept-Encoding", coding)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if tt.cut && (res.StatusCode != 200 || err == nil) {
				t.Errorf("%s: half a page of %d bytes is taken for a whole one", coding, len(body))
			}
			if !tt.cut && (res.StatusCode != 500 || err != nil || bytes.Contains(body, []byte("secret"))) {
				t.Errorf("%s: %d, %v, %s", coding, res.StatusCode, err, body)
			}
		}
	}
}

func TestHostileHostStaysInsideTheJSON(t *testing.T) {
	c := policytest.New(t, "")
	h := sensorthings.New(sensorthings.Options{Gate: c.Gate})
	r := httptest.NewRequest("GET", sensorthings.Prefix+"/Datastreams(1)/Observations?"+url.Values{"$top": {"1"}}.Encode(), nil)
	r.Host = `a","x":"b\`
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	var v object
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	if _, ok := values(v)[0]["x"]; ok {
		t.Error("the host wrote a member")
	}
}

func BenchmarkPage(b *testing.B) {
	c := policytest.New(b, "")
	ds := c.Datastream("air-001", "cars")
	var batch block.Batch
	for i := range int64(10_000) {
		batch.AppendNumber(ds.ID, policytest.Start.UnixNano()+i*int64(time.Second), 0, float64(i)/10, twin.QualityGood)
	}
	c.Append(&batch)
	h := sensorthings.New(sensorthings.Options{Gate: c.Gate})
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("GET", fmt.Sprintf("%s/Datastreams(%d)/Observations?$top=10000", sensorthings.Prefix, ds.ID), nil)
		h.ServeHTTP(discard{http.Header{}}, r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/observation")
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
