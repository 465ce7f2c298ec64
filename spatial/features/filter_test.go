package features

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/cql2"
)

func (w *town) matches(collection, filter string, more ...string) string {
	w.t.Helper()
	q := url.Values{"filter": {filter}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	var got []string
	for _, id := range ids(w.get("/ogc/collections/" + collection + "/items?" + q.Encode())) {
		got = append(got, strings.TrimPrefix(id, "osm:way~2F"))
	}
	return strings.Join(got, " ")
}

// /req/filter/filter-param, /req/features-filter: the filter decides, over
// everything that is known of an object.
func TestFilter(t *testing.T) {
	w := village(t)
	for filter, want := range map[string]string{
		"height > 30": "10 11",
		"height BETWEEN 6 AND 9 AND use = 'home'": "2",
		"storeys = 4":                                          "3",
		"listed = TRUE":                                        "3",
		"name LIKE '%way/1_'":                                  "10 11",
		"identifier IN ('way/1', 'way/7')":                     "1 7",
		"id = 'osm:way~2F5'":                                   "5",
		"dataset = 'osm' AND storeys < 3":                      "0 1",
		"dataset = 'none'":                                     "",
		"class = 'building' AND storeys < 2":                   "0",
		"class = 'road'":                                       "",
		"source_class = 'A' AND storeys > 11":                  "11",
		"type IS NULL AND storeys = 1":                         "0",
		"S_INTERSECTS(geometry, POINT(120.6105 31.3005))":      "5",
		"S_WITHIN(geometry, BBOX(120.5,31.2,120.6035,31.4))":   "0 1",
		"S_TOUCHES(geometry, POINT(120.600 31.3))":             "0",
		"S_DISJOINT(geometry, BBOX(120.5,31.2,120.6205,31.4))": "11",
		"valid_from > TIMESTAMP('2026-11-22T00:00:00Z')":       "",
		"storeys > 2 AND S_INTERSECTS(geometry, BBOX(120.6,31.2,120.606,31.4)) OR storeys = 12": "2 3 11",
		"pm25 > 75":                           "0", // the newest good value, not the newer suspect one
		"pm25 > 400":                          "",
		"pm25_age > 3599 AND pm25_age < 3601": "0",
		"pm25_quality = 'good' AND pm25_unit = 'ug/m3'": "0",
		"pm25_time < TIMESTAMP('2026-11-21T07:30:00Z')": "0",
		"door = 'open'":                "1",
		"pm25 > 75 OR door = 'open'":   "0 1",
		"pm25 IS NULL AND storeys < 3": "1",
		"pm25 > 75 AND class = 'building' AND S_INTERSECTS(geometry, BBOX(120.59,31.29,120.61,31.31))": "0",
	} {
		if got := w.matches("buildings", filter); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
		// The other encoding says the same.
		e, err := cql2.ParseText(filter, cql2.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.matches("buildings", string(cql2.JSON(e)), "filter-lang", "cql2-json"); got != want {
			t.Errorf("%s: %q, want %q", cql2.JSON(e), got, want)
		}
	}
	// /req/filter/filter-crs-param: northing first, and latitude first.
	for crs, g := range map[string]string{
		"http://www.opengis.net/def/crs/EPSG/0/4326": "POINT(31.3005 120.6105)",
		"http://www.opengis.net/def/crs/EPSG/0/4549": "BBOX(3464431.5, 558123, 3464433.5, 558125)",
	} {
		if got := w.matches("buildings", "S_INTERSECTS(geometry, "+g+")", "filter-crs", crs); got != "5" {
			t.Errorf("%s in %s: %q, want 5", g, crs, got)
		}
	}
	if got := w.matches("buildings", "S_INTERSECTS(geometry, BBOX(31.3004,120.6104,31.3006,120.6106))", "filter-crs", "EPSG:4490"); got != "5" {
		t.Errorf("a box in EPSG:4490: %q, want 5", got)
	}
	// Together with a box and a property by its name.
	if got := w.matches("buildings", "storeys > 2", "bbox", "120.6,31.3,120.61,31.4", "use", "home"); got != "2 4" {
		t.Errorf("filter, bbox and use: %q", got)
	}
}

// /req/queryables: what filters can name, among it what is found in the data.
func TestQueryables(t *testing.T) {
	w := village(t)
	doc := w.get("/ogc/collections/buildings/queryables")
	if doc["$schema"] != "https://json-schema.org/draft/2020-12/schema" || doc["$id"] != "http://example.com/ogc/collections/buildings/queryables" || doc["additionalProperties"] != false {
		t.Errorf("%v", doc)
	}
	for name, want := range map[string]string{"storeys": "number", "use": "string", "listed": "boolean", "class": "string", "height": "number", "dataset": "string", "type": "string", "name": "string", "pm25": "number", "door": "string", "pm25_time": "string", "pm25_age": "number", "source_class": "string"} {
		if got := at(doc, "properties", name, "type"); got != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if at(doc, "properties", "geometry", "format") != "geometry-any" || at(doc, "properties", "tags") != nil {
		t.Errorf("geometry %v, tags %v", at(doc, "properties", "geometry"), at(doc, "properties", "tags"))
	}
	if got := at(w.get("/ogc/collections/terminals/queryables"), "properties", "state", "type"); got != "string" {
		t.Errorf("state of terminals: %v", got)
	}
	if link(w.get("/ogc/collections/live"), "http://www.opengis.net/def/rel/ogc/1.0/queryables") == "" {
		t.Error("the collection does not link to its queryables")
	}
}

// An attribute that only one object far behind the sample has is found as soon
// as a filter names it, and one that is nowhere is not.
func TestRareAttribute(t *testing.T) {
	w := newTown(t)
	var list []*spatial.CityObject
	for i := range 2500 {
		list = append(list, square(fmt.Sprint(i), spatial.ClassBuilding, 120, 31))
	}
	list[2400].Attributes = spatial.Attributes{{Name: "rare", Value: spatial.IntValue(7)}}
	w.put("d", list...)
	if got := at(w.get("/ogc/collections/buildings/queryables"), "properties", "rare"); got != nil {
		t.Fatalf("the sample of %d has it: %v", sampleSize, got)
	}
	for _, q := range []string{"filter=rare=7", "rare=7"} {
		if got := ids(w.get("/ogc/collections/buildings/items?" + q)); fmt.Sprint(got) != "[d:2400]" {
			t.Errorf("%s: %v", q, got)
		}
	}
	if rec := w.ask("GET", "/ogc/collections/buildings/items?rarer=7"); rec.Code != 400 {
		t.Errorf("an attribute that is nowhere: %d", rec.Code)
	}
}

// The live collection: every object on which something is observed.
func TestLive(t *testing.T) {
	w := village(t)
	doc := w.get("/ogc/collections/live/items")
	if got := fmt.Sprint(ids(doc)); got != "[osm:way~2F0 osm:way~2F1 roads:人民路]" || doc["numberMatched"] != 3.0 {
		t.Fatalf("%s, %v", got, doc["numberMatched"])
	}
	p := at(doc, "features", 0, "properties")
	if at(p, "pm25") != 80.0 || at(p, "pm25_time") != "2026-11-21T07:00:00Z" || at(p, "pm25_age") != 3600.0 || at(p, "pm25_quality") != "good" || at(p, "pm25_unit") != "ug/m3" || at(p, "door") != nil {
		t.Errorf("%v", p)
	}
	if got := at(doc, "features", 1, "properties", "door"); got != "open" {
		t.Errorf("door %v", got)
	}
	if got := at(doc, "features", 2, "properties", "pm25_quality"); got != "not-evaluated" {
		t.Errorf("the road: %v", got)
	}
	for filter, want := range map[string]string{"pm25 > 75": "0", "pm25 > 40": "0 roads:人民路", "pm25 > 40 AND class = 'road'": "roads:人民路", "pm25 > 75 AND class = 'building' AND S_INTERSECTS(geometry, BBOX(120,31,121,32))": "0", "NOT (pm25 > 75)": "roads:人民路", "pm25 IS NULL": "1", "pm25 > 40 AND dataset = 'roads'": "roads:人民路"} {
		if got := w.matches("live", filter); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	// As of a time.
	then := w.get("/ogc/collections/live/items?datetime=2026-11-21T05:30:00Z")
	if len(ids(then)) != 0 {
		t.Errorf("before the objects were: %v", ids(then))
	}
	w.observed.readings[1][0].Time = w.now.Add(time.Minute)
	w.observed.readings[1][1].Time = w.now.Add(time.Hour)
	w.now = w.now.Add(2 * time.Hour)
	then = w.get("/ogc/collections/live/items?filter=pm25%3E0&datetime=2026-11-21T08:02:00Z")
	if at(then, "features", 0, "properties", "pm25") != 10.0 || at(then, "features", 0, "properties", "pm25_age") != 60.0 {
		t.Errorf("two minutes past eight: %v", then)
	}
	// Pages of one.
	var got []string
	path := "/ogc/collections/live/items?limit=1"
	for path != "" && len(got) < 5 {
		doc := w.get(path)
		got = append(got, ids(doc)...)
		path = strings.TrimPrefix(link(doc, "next"), "http://example.com")
	}
	if fmt.Sprint(got) != "[osm:way~2F0 osm:way~2F1 roads:人民路]" {
		t.Errorf("page by page: %v", got)
	}
	if doc := w.get("/ogc/collections/buildings/items?live=true&limit=1"); at(doc, "features", 0, "properties", "pm25") != 80.0 {
		t.Errorf("live=true: %v", doc)
	}
	if rec := w.ask("GET", "/ogc/collections/live/items/osm:way~2F5"); rec.Code != 404 {
		t.Errorf("an object on which nothing is observed: %d", rec.Code)
	}
}

func TestTerminals(t *testing.T) {
	w := village(t)
	doc := w.get("/ogc/collections/terminals/items")
	if got := fmt.Sprint(ids(doc)); got != "[AQ-1 AQ~2F2]" || doc["numberMatched"] != 2.0 {
		t.Fatal(got)
	}
	p := at(doc, "features", 0, "properties")
	if fmt.Sprint(at(doc, "features", 0, "geometry")) != "map[coordinates:[120.6005 31.3005] type:Point]" || at(p, "state") != "online" || at(p, "district") != "320508" || at(p, "pm25") != 80.0 || at(p, "datastreams", 1, "value") != 500.0 || at(p, "datastreams", 1, "quality") != "suspect" || at(p, "height") != 12.5 {
		t.Errorf("%v", at(doc, "features", 0))
	}
	if g := at(doc, "features", 1, "geometry"); g != nil {
		t.Errorf("a terminal without a place has %v", g)
	}
	if got := fmt.Sprint(at(w.get("/ogc/collections/terminals/items?crs=OGC:CRS84h"), "features", 0, "geometry", "coordinates")); got != "[120.6005 31.3005 12.5]" {
		t.Errorf("CRS84h: %s", got)
	}
	for q, want := range map[string]string{"filter=pm25%3E75": "[AQ-1]", "state=offline": "[AQ~2F2]", "bbox=120,31,121,32": "[AQ-1]", "bbox=0,0,1,1": "[]", "code=AQ/2": "[AQ~2F2]", "simulated=false&limit=1": "[AQ-1]", "filter=district+IS+NULL": "[AQ~2F2]"} {
		if got := fmt.Sprint(ids(w.get("/ogc/collections/terminals/items?" + q))); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
	next := link(w.get("/ogc/collections/terminals/items?limit=1"), "next")
	if got := fmt.Sprint(ids(w.get(strings.TrimPrefix(next, "http://example.com")))); got != "[AQ~2F2]" {
		t.Errorf("the next page: %s", got)
	}
	if got := w.get("/ogc/collections/terminals/items/AQ~2F2"); at(got, "properties", "code") != "AQ/2" {
		t.Errorf("%v", got)
	}
	if rec := w.ask("GET", "/ogc/collections/terminals/items/AQ"); rec.Code != http.StatusNotFound {
		t.Errorf("no such terminal: %d", rec.Code)
	}
}

// A search that takes too long ends, with advice.
func TestTimeLimit(t *testing.T) {
	w := village(t)
	h := w.Handler.(*handler)
	h.o.TimeLimit = 1 // ns
	rec := w.ask("GET", "/ogc/collections/buildings/items?filter=height%3E3")
	if rec.Code != 503 || !strings.Contains(rec.Body.String(), "bbox") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// One computation of the DE-9IM is bounded, as it cannot be interrupted.
func TestSlowFilter(t *testing.T) {
	w := village(t)
	var b strings.Builder
	b.WriteString("LINESTRING(")
	for i := range maxSlowVertices {
		fmt.Fprintf(&b, "120.6%d 31.3,", i%10)
	}
	b.WriteString("120.6 31.3)")
	e, err := cql2.ParseText("S_TOUCHES(geometry, "+b.String()+")", cql2.Limits{Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if n := slowVertices(e); n < maxSlowVertices {
		t.Errorf("%d vertices are counted, want more than %d", n, maxSlowVertices)
	}
	if e, err = cql2.ParseText("S_INTERSECTS(geometry, POINT(1 2)) AND height > 3", cql2.Limits{}); err != nil || slowVertices(e) != 0 {
		t.Errorf("S_INTERSECTS with a literal counts as slow: %v", err)
	}
	v, err := w.store.Get(t.Context(), keyOf("osm", "way/0"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	sc := (&call{h: w.Handler.(*handler), ctx: t.Context()}).scan(&selection{kind: kinds()[0], filter: new(cql2.Filter), slow: maxSlowVertices}, 0)
	if _, err := sc.keep(t.Context(), v); err == nil || !strings.Contains(err.Error(), "simplify") {
		t.Errorf("a comparison of too many vertices: %v", err)
	}
}

// required never names what a match can do without.
func TestRequired(t *testing.T) {
	for filter, want := range map[string]string{
		"a > 1": "[[a]]", "a > 1 AND b = 2": "[[a] [b]]", "a > 1 OR b = 2": "[[a b]]", "NOT (a > 1)": "[[a]]", "NOT (a > 1 AND b > 1)": "[]", "a IS NULL": "[]", "NOT (a IS NULL)": "[]",
		"(a IS NULL) = TRUE": "[]", "a + b > c": "[[a] [b] [c]]", "a IN (1, 2)": "[[a]]", "3 IN (a, 3)": "[]", "CASEI(a) LIKE 'x%'": "[[a]]", "a BETWEEN 1 AND b": "[[a] [b]]", "a > 1 OR b IS NULL": "[]",
	} {
		e, err := cql2.ParseText(filter, cql2.Limits{})
		if err != nil {
			t.Fatal(filter, err)
		}
		if got := fmt.Sprint(required(e)); got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
}
