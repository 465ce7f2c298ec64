package features

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

func TestLandingAndConformance(t *testing.T) {
	w := village(t)
	doc := w.get("/ogc")
	// /req/core/root-success
	for _, rel := range []string{"self", "alternate", "service-desc", "service-doc", "conformance", "data", "tiles"} {
		if !strings.HasPrefix(link(doc, rel), "http://example.com/ogc") {
			t.Errorf("/req/core/root-success: link %s is %q", rel, link(doc, rel))
		}
	}
	// /req/core/conformance-success
	classes := fmt.Sprint(w.get("/ogc/conformance")["conformsTo"])
	for _, want := range []string{"features-1/1.0/conf/core", "features-1/1.0/conf/geojson", "features-1/1.0/conf/html", "features-1/1.0/conf/oas30", "features-2/1.0/conf/crs", "features-3/1.0/conf/features-filter", "conf/cql2-json", "tiles-1/1.0/conf/core"} {
		if !strings.Contains(classes, want) {
			t.Errorf("/req/core/conformance-success: %s is missing", want)
		}
	}
	// /req/core/api-definition-success and /req/oas30/oas-definition-1: every
	// reference leads somewhere, every path that is described is served.
	api := w.get("/ogc/api")
	if at(api, "openapi") != "3.0.3" || at(api, "servers", 0, "url") != "http://example.com/ogc" {
		t.Errorf("openapi %v, servers %v", api["openapi"], api["servers"])
	}
	var refs func(v any)
	refs = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if r, ok := v["$ref"].(string); ok {
				var path []any
				for _, p := range strings.Split(strings.TrimPrefix(r, "#/"), "/") {
					path = append(path, p)
				}
				if at(api, path...) == nil {
					t.Errorf("%s leads nowhere", r)
				}
			}
			for _, x := range v {
				refs(x)
			}
		case []any:
			for _, x := range v {
				refs(x)
			}
		}
	}
	refs(api)
	operations := map[any]bool{}
	for path, item := range api["paths"].(map[string]any) {
		if path == "/tiles" {
			continue
		}
		id := at(item, "get", "operationId")
		if operations[id] {
			t.Errorf("%v comes twice", id)
		}
		operations[id] = true
		if strings.Contains(path, "{") {
			continue
		}
		if rec := w.ask("GET", "/ogc"+path); rec.Code != 200 {
			t.Errorf("%s is described and answers %d", path, rec.Code)
		}
	}
}

func TestCollections(t *testing.T) {
	w := village(t)
	doc := w.get("/ogc/collections")
	// /req/core/md-success, /req/core/sfc-md-success
	list := doc["collections"].([]any)
	if len(list) != 9 {
		t.Fatalf("%d collections, want the seven of the city model, terminals and live", len(list))
	}
	for _, c := range list {
		id := at(c, "id").(string)
		if link(c, "items") != "http://example.com/ogc/collections/"+id+"/items?f=json" || link(c, "tiles") == "" {
			t.Errorf("%s: /req/core/fc-md-items-links: %v", id, at(c, "links"))
		}
		one := w.get("/ogc/collections/" + id)
		if at(one, "title") != at(c, "title") || fmt.Sprint(at(one, "extent")) != fmt.Sprint(at(c, "extent")) {
			t.Errorf("%s: /req/core/sfc-md-success: %v", id, one)
		}
		// /req/crs/crs-uri, /req/crs/fc-md-storageCrs-valid-value
		if !slices.Contains(one["crs"].([]any), one["storageCrs"]) {
			t.Errorf("%s: storageCrs %v is not among %v", id, one["storageCrs"], one["crs"])
		}
	}
	if got := fmt.Sprint(at(w.get("/ogc/collections/buildings"), "extent", "spatial", "bbox", 0)); got != "[120.6 31.3 120.623 31.301]" {
		t.Errorf("extent of buildings %s", got)
	}
	if rec := w.ask("GET", "/ogc/collections/nowhere/items"); rec.Code != 404 {
		t.Errorf("an unknown collection: %d", rec.Code)
	}
}

func TestItems(t *testing.T) {
	w := village(t)
	// /req/core/fc-response, fc-timeStamp, fc-numberMatched, fc-numberReturned
	rec := w.ask("GET", "/ogc/collections/buildings/items?limit=5")
	doc := decode(t, rec.Body.Bytes())
	if doc["type"] != "FeatureCollection" || doc["numberMatched"] != 12.0 || doc["numberReturned"] != 5.0 || doc["timeStamp"] != "2026-11-21T08:00:00Z" || rec.Header().Get("Content-Type") != "application/geo+json" {
		t.Errorf("%v", doc)
	}
	f := at(doc, "features", 3)
	if at(f, "id") != "osm:way~2F3" || at(f, "properties", "identifier") != "way/3" || at(f, "properties", "height") != 12.0 || at(f, "properties", "source_height") != nil ||
		at(f, "properties", "class") != "building" || at(f, "properties", "source_class") != "A" || at(f, "properties", "listed") != true || at(f, "properties", "name") != "名way/3" || at(f, "properties", "tags", 1) != 1.0 || at(f, "properties", "pm25") != nil {
		t.Errorf("%v", f)
	}
	if got := fmt.Sprint(at(f, "geometry")); got != "map[coordinates:[[[120.606 31.3] [120.607 31.3] [120.607 31.301] [120.606 31.301] [120.606 31.3]]] type:Polygon]" {
		t.Errorf("geometry %s", got)
	}
	if got := fmt.Sprint(at(w.get("/ogc/collections/roads/items"), "features", 0, "geometry")); got != "map[coordinates:[[120.6 31.29] [120.61 31.3] [120.62 31.3]] type:LineString]" {
		t.Errorf("line %s", got)
	}
	if got := ids(w.get("/ogc/collections/others/items")); fmt.Sprint(got) != "[admin:field admin:bare]" {
		t.Errorf("others %v", got)
	}
	if got := ids(w.get("/ogc/collections/districts/items")); fmt.Sprint(got) != "[admin:320508]" {
		t.Errorf("districts %v", got)
	}
	// Every feature has a URL, and it answers.
	for _, id := range ids(w.get("/ogc/collections/roads/items")) {
		if got := w.get("/ogc/collections/roads/items/" + url.PathEscape(id)); got["id"] != id {
			t.Errorf("/req/core/f-success: %v", got)
		}
	}
	for _, path := range []string{"/ogc/collections/roads/items/osm:way~2F3", "/ogc/collections/buildings/items/osm:way~2f3", "/ogc/collections/buildings/items/x", "/ogc/collections/buildings/items/osm:nothing"} {
		if rec := w.ask("GET", path); rec.Code != 404 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

// /req/core/fc-limit-response-1 and the links next: all features once, in pages
// of every size, also while others come and go.
func TestPaging(t *testing.T) {
	w := village(t)
	for _, query := range []string{"limit=1", "limit=5", "limit=12", "limit=10000", "limit=99999999999999999999", "limit=5&bbox=120,31,121,32", "limit=3&use=shop"} {
		var got []string
		path := "/ogc/collections/buildings/items?" + query
		n := 0
		for path != "" {
			doc := w.get(path)
			if n++; n > 20 || len(ids(doc)) == 0 {
				t.Fatalf("%s: page %d of %v", query, n, doc)
			}
			got = append(got, ids(doc)...)
			path = strings.TrimPrefix(link(doc, "next"), "http://example.com")
		}
		want := 12
		if strings.Contains(query, "use=") {
			want = 6
		}
		if len(got) != want || len(slices.Compact(slices.Clone(got))) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
	doc := w.get("/ogc/collections/buildings/items?limit=4")
	w.edit = true
	if _, err := (editor{w.store}).Delete(t.Context(), "osm", []string{"way/3", "way/5"}); err != nil {
		t.Fatal(err)
	}
	w.put("osm", square("a", spatial.ClassBuilding, 120.6, 31.3))
	if got := ids(w.get(strings.TrimPrefix(link(doc, "next"), "http://example.com"))); fmt.Sprint(got) != "[osm:way~2F4 osm:way~2F6 osm:way~2F7 osm:way~2F8]" {
		t.Errorf("the next page after changes: %v", got)
	}
}

// /req/core/query-param-unknown, query-param-invalid and their kin: 400 with the
// name of the parameter.
func TestRefusals(t *testing.T) {
	w := village(t)
	items := "/ogc/collections/buildings/items"
	for path, field := range map[string]string{
		"/ogc?x=1": "x", "/ogc/conformance?limit=1": "limit", items + "?unknown=1": "unknown", items + "?limit=0": "limit", items + "?limit=-1": "limit", items + "?limit=x": "limit",
		items + "?bbox=1,2,3": "bbox", items + "?bbox=1,2,3,x": "bbox", items + "?bbox=1,2,3,NaN": "bbox", items + "?bbox=120,32,121,31": "bbox", items + "?bbox=31,120,32,121": "bbox",
		items + "?bbox=1,2,3,4&bbox=1,2,3,4": "bbox", items + "?bbox=1,2,9,3,4,8": "bbox", items + "?datetime=yesterday": "datetime", items + "?datetime=2026-01-02T00:00:00Z/2026-01-01T00:00:00Z": "datetime", items + "?datetime=a/b/c": "datetime",
		items + "?crs=EPSG:2154": "crs", items + "?crs=nonsense": "crs", items + "?bbox-crs=EPSG:2154&bbox=1,2,3,4": "bbox-crs", items + "?filter-crs=x&filter=TRUE": "filter-crs",
		items + "?filter=height+%3E": "filter", items + "?filter=nothing=1": "filter", items + "?filter=name=1": "filter", items + "?filter-lang=sql&filter=TRUE": "filter-lang",
		items + "?filter=name+=+'x'+OR+1=1%3BDROP+TABLE+building": "filter", items + "?storeys=many": "storeys", items + "?geometry=x": "geometry", items + "?cursor=!": "cursor", items + "?f=xml": "f", items + "?lang=fr": "lang", items + "?live=yes": "live", items + "?profile=x": "profile", items + "?lod=x": "lod",
		items + "?filter=" + strings.Repeat("(", 5000): "filter",
	} {
		rec := w.ask("GET", path)
		if doc := decode(t, rec.Body.Bytes()); rec.Code != 400 || doc["field"] != field || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.80s: %d %s, want 400 for %s", path, rec.Code, rec.Body, field)
		}
	}
	for path, status := range map[string]int{"/ogc/nowhere": 404, items + "/a/b": 404} {
		if rec := w.ask("GET", path); rec.Code != status {
			t.Errorf("%s: %d, want %d", path, rec.Code, status)
		}
	}
	if rec := w.ask("GET", "/ogc", "Accept", "application/pdf"); rec.Code != 406 {
		t.Errorf("Accept: application/pdf: %d", rec.Code)
	}
	if rec := w.ask("PUT", items); rec.Code != 405 || rec.Header().Get("Allow") != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("PUT items: %d %s", rec.Code, rec.Header().Get("Allow"))
	}
	if rec := w.ask("OPTIONS", items+"/osm:way~2F3"); rec.Code != 204 || rec.Header().Get("Allow") != "GET, HEAD, OPTIONS, DELETE, PATCH, PUT" {
		t.Errorf("OPTIONS item: %d %s", rec.Code, rec.Header().Get("Allow"))
	}
	if rec := w.ask("HEAD", items); rec.Code != 200 || rec.Body.Len() != 0 || rec.Header().Get("Content-Type") != "application/geo+json" {
		t.Errorf("HEAD items: %d, %d bytes", rec.Code, rec.Body.Len())
	}
}

// /req/core/fc-bbox-response: what has a point in common with the box, and not
// what has only a bound that does.
func TestBBox(t *testing.T) {
	w := village(t)
	w.put("far", square("fiji-east", spatial.ClassWater, 179.5, -17), square("fiji-west", spatial.ClassWater, -179.5, -17), square("greenwich", spatial.ClassWater, 0, -17))
	tower := square("tower", spatial.ClassWater, 10, 10)
	tower.Geometries[0].HasZ = true
	for i := 2; i < 12; i += 3 {
		tower.Geometries[0].XYZ[i] = 50
	}
	w.put("far", tower)
	for query, want := range map[string]string{
		"buildings?bbox=120.6005,31.3005,120.6025,31.3006":                    "[osm:way~2F0 osm:way~2F1]",
		"buildings?bbox=120.6,31.2,120.6,31.3":                                "[osm:way~2F0]",
		"buildings?bbox=0,0,1,1":                                              "[]",
		"roads?bbox=120.6,31.298,120.605,31.3":                                "[]", // within the bound of the bent line, beside it
		"roads?bbox=120.6,31.29,120.605,31.3":                                 "[roads:~no]",
		"water?bbox=179,-18,-179,-16":                                         "[far:fiji-east far:fiji-west]",
		"water?bbox=-180,-18,180,-16":                                         "[far:fiji-east far:fiji-west far:greenwich]",
		"water?bbox=9,9,40,11,11,60":                                          "[far:tower]",
		"water?bbox=9,9,51,11,11,60":                                          "[]",
		"water?bbox=-1,-18,51,1,-16,60":                                       "[far:greenwich]", // it has no heights
		"buildings?bbox-crs=EPSG:4326&bbox=31.3005,120.6005,31.3006,120.6025": "[osm:way~2F0 osm:way~2F1]",
	} {
		want = strings.ReplaceAll(want, "roads:~no", "roads:人民路")
		collection, q, _ := strings.Cut(query, "?")
		if got := fmt.Sprint(ids(w.get("/ogc/collections/" + collection + "/items?" + q))); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// /req/core/fc-time-response: the city as it was.
func TestDatetime(t *testing.T) {
	w := village(t)
	before := w.now
	w.now = before.Add(time.Hour)
	changed := square("way/0", spatial.ClassBuilding, 120.6, 31.3)
	changed.Name = "改"
	w.put("osm", changed, square("later", spatial.ClassBuilding, 120.6, 31.3))
	if _, err := (editor{w.store}).Delete(t.Context(), "osm", []string{"way/1"}); err != nil {
		t.Fatal(err)
	}
	w.now = before.Add(2 * time.Hour)
	for datetime, want := range map[string]string{
		"2026-11-21T08:30:00Z":                      "名way/0 12 true",
		"2026-11-21T16:30:00%2B08:00":               "名way/0 12 true",
		"2026-11-21T09:00:01Z":                      "改 12 false",
		"../2026-11-21T08:30:00Z":                   "名way/0 12 true",
		"/2026-11-21T08:30:00Z":                     "名way/0 12 true",
		"2026-11-21T08:30:00Z/..":                   "改 12 false",
		"../..":                                     "改 12 false",
		"2026-11-21T08:30:00Z/2026-11-21T12:00:00Z": "改 12 false",
		"2030-01-01":                                "改 12 false",
		"2026-11-20T00:00:00Z":                      "<nil> 0 false",
	} {
		doc := w.get("/ogc/collections/buildings/items?datetime=" + datetime)
		got := fmt.Sprint(at(doc, "features", 0, "properties", "name"), " ", len(ids(doc)), " ", slices.Contains(ids(doc), "osm:way~2F1"))
		if got != want {
			t.Errorf("%s: %s, want %s", datetime, got, want)
		}
	}
	if got := w.get("/ogc/collections/buildings/items/osm:way~2F1?datetime=2026-11-21T08:30:00Z"); !strings.HasPrefix(fmt.Sprint(at(got, "properties", "valid_to")), "2026-11-21T09:00:00") {
		t.Errorf("an object of the past: %v", got)
	}
}

// What a caller may not see is in no answer and in no count.
func TestHiddenDataset(t *testing.T) {
	w := village(t)
	path := "/ogc/collections/underground/items"
	if got := w.get(path); got["numberMatched"] != 1.0 {
		t.Errorf("to whom it is shown: %v", got)
	}
	w.hidden = "secret"
	if got := w.get(path); got["numberMatched"] != 0.0 || len(ids(got)) != 0 {
		t.Errorf("to whom it is not: %v", got)
	}
	if rec := w.ask("GET", path+"/secret:bunker"); rec.Code != 404 {
		t.Errorf("the hidden object: %d", rec.Code)
	}
	rec := w.ask("GET", path)
	if rec.Header().Get("Cache-Control") != "private, no-cache" || !strings.Contains(strings.Join(rec.Header().Values("Vary"), ","), "Authorization") {
		t.Errorf("headers %v", rec.Header())
	}
}

// Content negotiation: f, then Accept; languages likewise.
func TestNegotiation(t *testing.T) {
	w := village(t)
	items := "/ogc/collections/buildings/items"
	for _, v := range []struct{ path, accept, want string }{
		{items, "", "application/geo+json"}, {items, "*/*", "application/geo+json"}, {items, "application/json", "application/geo+json"},
		{items, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"}, {items + "?f=json", "text/html", "application/geo+json"},
		{items, "application/vnd.ogc.fg+json, application/geo+json;q=0.5", "application/vnd.ogc.fg+json"}, {items, "text/html;q=0, */*;q=0.1", "application/geo+json"},
		{items, "application/geo+json;q=0.1, text/*", "text/html; charset=utf-8"}, {"/ogc/api", "", "application/vnd.oai.openapi+json;version=3.0"}, {"/ogc/api", "application/json", "application/vnd.oai.openapi+json;version=3.0"}, {"/ogc/collections/live/queryables", "application/json", "application/schema+json"},
	} {
		if rec := w.ask("GET", v.path, "Accept", v.accept); rec.Code != 200 || rec.Header().Get("Content-Type") != v.want {
			t.Errorf("%s, Accept %s: %d %s, want %s", v.path, v.accept, rec.Code, rec.Header().Get("Content-Type"), v.want)
		}
	}
	for accept, want := range map[string]string{"": "城市信息模型", "en": "City model", "de, en-GB;q=0.5, zh;q=0.4": "City model", "zh-TW,en;q=0.9": "城市信息模型"} {
		rec := w.ask("GET", "/ogc", "Accept-Language", accept)
		if got := decode(t, rec.Body.Bytes())["title"]; got != want {
			t.Errorf("Accept-Language %q: %v", accept, got)
		}
	}
	if got := w.get("/ogc?lang=en")["title"]; got != "City model" {
		t.Errorf("lang=en: %v", got)
	}
}

// A tag stands for one representation, and If-None-Match saves sending it.
func TestETag(t *testing.T) {
	w := village(t)
	path := "/ogc/collections/buildings/items/osm:way~2F3"
	tag := w.ask("GET", path).Header().Get("ETag")
	if len(tag) < 10 || tag[0] != '"' {
		t.Fatalf("ETag %q", tag)
	}
	if rec := w.ask("GET", path, "If-None-Match", `"x", W/`+tag); rec.Code != 304 || rec.Body.Len() != 0 {
		t.Errorf("If-None-Match: %d", rec.Code)
	}
	if other := w.ask("GET", path+"?crs=EPSG:4549").Header().Get("ETag"); other == tag {
		t.Error("two representations have one tag")
	}
}

func TestID(t *testing.T) {
	for _, k := range []store.Key{{Dataset: "osm", ID: "way/42"}, {Dataset: "a:b", ID: "c:d"}, {Dataset: "数据", ID: "建筑~1 %2F?#"}, {Dataset: "x", ID: ".."}, {Dataset: "x", ID: "a\xffb"}} {
		id := string(appendID(nil, k))
		if strings.ContainsAny(id, "/?#% ") || !json.Valid([]byte(`"`+id+`"`)) {
			t.Errorf("%q is no segment of a path", id)
		}
		got, err := parseID(id)
		if err != nil || got != k {
			t.Errorf("%q: %v, %v", id, got, err)
		}
	}
	for _, id := range []string{"", ":", "a", "a:", ":b", "a:b/c", "a:~", "a:~2f", "a:~41"} {
		if k, err := parseID(id); err == nil {
			t.Errorf("%q is read as %v", id, k)
		}
	}
}

func FuzzID(f *testing.F) {
	f.Add("osm:way~2F42")
	f.Fuzz(func(t *testing.T, id string) {
		k, err := parseID(id)
		if err == nil && string(appendID(nil, k)) != id {
			t.Errorf("%q is %v, whose id is another", id, k)
		}
	})
}

func FuzzItemsQuery(f *testing.F) {
	for _, q := range []string{"bbox=1,2,3,4&filter=height>3", "datetime=../2026-01-01&limit=3&crs=EPSG:4549", "filter=%7B%22op%22:%22=%22%7D&filter-crs=EPSG:4326"} {
		f.Add(q)
	}
	w := village(f)
	f.Fuzz(func(t *testing.T, q string) {
		r := httptest.NewRequest("GET", "/ogc/collections/live/items", nil)
		r.URL.RawQuery = q
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		if rec.Code >= 500 && rec.Code != 503 {
			t.Errorf("%q: %d %s", q, rec.Code, rec.Body)
		}
	})
}

var _ city.Gate = (*town)(nil)
