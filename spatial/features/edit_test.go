package features

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const newFeature = `{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[120.6,31.31],[120.601,31.31],[120.601,31.311],[120.6,31.31]]]},
"properties":{"name":"新楼","height":9.5,"use":"home","storeys":3,"big":12345678901234567890,"list":[1, 2],"source_class":"B","nothing":null}}`

// Part 4 draft, /req/create-replace-delete: post, put, delete; /req/update;
// /req/optimistic-locking-etags.
func TestEdit(t *testing.T) {
	w := village(t)
	items := "/ogc/collections/buildings/items"
	if rec := w.ask("POST", items, "Content-Type", "application/geo+json", newFeature); rec.Code != 401 {
		t.Errorf("without a token: %d", rec.Code)
	}
	if rec := w.ask("POST", items, "Content-Type", "application/geo+json", "Authorization", "Bearer x", newFeature); rec.Code != 403 {
		t.Errorf("with a token that may not: %d", rec.Code)
	}
	w.edit = true
	rec := w.ask("POST", items, "Content-Type", "application/geo+json", newFeature)
	location := rec.Header().Get("Location")
	if rec.Code != 201 || location != "http://example.com"+items+"/edited:new" {
		t.Fatalf("POST: %d %s %s", rec.Code, location, rec.Body)
	}
	path := strings.TrimPrefix(location, "http://example.com")
	doc := w.get(path)
	p := at(doc, "properties")
	if at(p, "name") != "新楼" || at(p, "height") != 9.5 || at(p, "class") != "building" || at(p, "dataset") != "edited" || at(p, "source_class") != "B" || at(p, "list", 1) != 2.0 || at(p, "storeys") != 3.0 {
		t.Errorf("what was created: %v", p)
	}
	if !strings.Contains(w.ask("GET", path).Body.String(), `"big":12345678901234567890`) {
		t.Error("a long number has lost digits")
	}
	if rec := w.ask("POST", items, "Content-Type", "application/geo+json", newFeature); rec.Code != 409 {
		t.Errorf("the same identifier again: %d", rec.Code)
	}
	tag := w.ask("GET", path).Header().Get("ETag")
	if tag == "" || tag != rec.Header().Get("ETag") {
		t.Logf("tags %s and %s: of two representations", tag, rec.Header().Get("ETag"))
	}
	put := strings.Replace(newFeature, "新楼", "旧楼", 1)
	if rec := w.ask("PUT", path, "Content-Type", "application/geo+json", put); rec.Code != 428 {
		t.Errorf("PUT without If-Match: %d", rec.Code)
	}
	if rec := w.ask("PUT", path, "Content-Type", "application/geo+json", "If-Match", `"other"`, put); rec.Code != 412 {
		t.Errorf("PUT with another tag: %d", rec.Code)
	}
	before := w.now
	w.now = w.now.Add(time.Hour)
	// The tag of another representation of the same version will do.
	other := w.ask("GET", path+"?crs=EPSG:4549").Header().Get("ETag")
	rec = w.ask("PUT", path, "Content-Type", "application/geo+json", "If-Match", other, put)
	if rec.Code != 200 || at(decode(t, rec.Body.Bytes()), "properties", "name") != "旧楼" {
		t.Errorf("PUT: %d %s", rec.Code, rec.Body)
	}
	// Lost update: the tag from before is of no use now.
	if rec := w.ask("PUT", path, "Content-Type", "application/geo+json", "If-Match", tag, put); rec.Code != 412 {
		t.Errorf("PUT with the old tag: %d", rec.Code)
	}
	tag = w.ask("GET", path).Header().Get("ETag")
	rec = w.ask("PATCH", path, "Content-Type", "application/merge-patch+json", "If-Match", tag, `{"properties":{"use":"shop","storeys":null,"height":12}}`)
	p = at(decode(t, rec.Body.Bytes()), "properties")
	if rec.Code != 200 || at(p, "use") != "shop" || at(p, "storeys") != nil || at(p, "height") != 12.0 || at(p, "name") != "旧楼" {
		t.Errorf("PATCH: %d %s", rec.Code, rec.Body)
	}
	tag = rec.Header().Get("ETag")
	w.now = w.now.Add(time.Hour)
	if rec := w.ask("DELETE", path, "If-Match", tag); rec.Code != 204 {
		t.Errorf("DELETE: %d %s", rec.Code, rec.Body)
	}
	if rec := w.ask("GET", path); rec.Code != 404 {
		t.Errorf("after DELETE: %d", rec.Code)
	}
	// The past stays.
	if got := w.get(path + "?datetime=" + before.Add(time.Minute).Format(time.RFC3339)); at(got, "properties", "name") != "新楼" {
		t.Errorf("what it was: %v", got)
	}
	if rec := w.ask("POST", "/ogc/collections/live/items", "Content-Type", "application/geo+json", newFeature); rec.Code != 405 {
		t.Errorf("POST to live: %d", rec.Code)
	}
	if rec := w.ask("POST", items, "Content-Type", "text/plain", newFeature); rec.Code != 415 {
		t.Errorf("text/plain: %d", rec.Code)
	}
}

// A feature in another CRS, northing first.
func TestEditContentCRS(t *testing.T) {
	w := village(t)
	w.edit = true
	body := `{"type":"Feature","geometry":{"type":"Point","coordinates":[3467120.347,558573.856]},"properties":{"dataset":"osm","identifier":"北寺塔"}}`
	rec := w.ask("POST", "/ogc/collections/components/items", "Content-Type", "application/geo+json", "Content-Crs", "<http://www.opengis.net/def/crs/EPSG/0/4549>", body)
	if rec.Code != 201 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	c := at(decode(t, rec.Body.Bytes()), "geometry", "coordinates")
	if got := fmt.Sprintf("%.6f %.6f", at(c, 0), at(c, 1)); got != "120.615400 31.324540" {
		t.Errorf("北寺塔 lies at %s", got)
	}
	if loc := rec.Header().Get("Location"); !strings.HasSuffix(loc, "/osm:%E5%8C%97%E5%AF%BA%E5%A1%94") {
		t.Errorf("Location %s", loc)
	}
}

// What GeoJSON does not show stays: a solid, and the attributes that are not
// repeated; and is not lost by a new footprint.
func TestEditKeepsSolid(t *testing.T) {
	w := village(t)
	w.edit = true
	w.put("cj", storetestHouse())
	path := "/ogc/collections/buildings/items/cj:house"
	rec := w.ask("GET", path)
	put := strings.Replace(rec.Body.String(), `"type":"Building"`, `"type":"Building","name":"屋"`, 1)
	rec = w.ask("PUT", path, "Content-Type", "application/geo+json", "If-Match", rec.Header().Get("ETag"), put)
	if rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if doc := w.get(path + "?f=jsonfg"); at(doc, "place", "type") != "Polyhedron" || at(doc, "properties", "name") != "屋" || at(doc, "coordRefSys", 1) == nil {
		t.Errorf("%v", doc)
	}
	tag := w.ask("GET", path).Header().Get("ETag")
	if rec := w.ask("PATCH", path, "Content-Type", "application/merge-patch+json", "If-Match", tag, `{"geometry":{"type":"Point","coordinates":[120.6,31.3]}}`); rec.Code != 409 {
		t.Errorf("a footprint in place of a solid: %d %s", rec.Code, rec.Body)
	}
	path = "/ogc/collections/buildings/items/osm:way~2F2"
	rec = w.ask("GET", path)
	rec = w.ask("PATCH", path, "Content-Type", "application/merge-patch+json", "If-Match", rec.Header().Get("ETag"), `{"properties":{"height":77}}`)
	if rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	v, err := w.store.Get(t.Context(), keyOf("osm", "way/2"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := v.Object.Attributes.Get("height"); !ok || a.String() != "77" || v.Object.Attributes[0].Name != "height" || len(v.Object.Attributes) != 6 {
		t.Errorf("attributes %v", v.Object.Attributes)
	}
}

// What is wrong is named by a JSON Pointer.
func TestEditRefusals(t *testing.T) {
	w := village(t)
	w.edit = true
	feature := func(geometry, properties string) string {
		return `{"type":"Feature","geometry":` + geometry + `,"properties":` + properties + `}`
	}
	for body, field := range map[string]string{
		"":                                 "/",
		"[]":                               "/",
		`{"type":"Feature"`:                "/",
		`{"type":"Feature","type":"x"}`:    "/type",
		`{"type":"Thing","geometry":null}`: "/type",
		`{"type":"Feature"}`:               "/geometry",
		feature(`{"type":"Circle","coordinates":[1,2]}`, `{}`):                                                            "/geometry/type",
		feature(`{"type":"Point"}`, `{}`):                                                                                 "/geometry/coordinates",
		feature(`{"type":"Point","coordinates":[1]}`, `{}`):                                                               "/geometry/coordinates",
		feature(`{"type":"Point","coordinates":[1,"x"]}`, `{}`):                                                           "/geometry/coordinates/1",
		feature(`{"type":"Point","coordinates":[1,99]}`, `{}`):                                                            "/geometry/coordinates",
		feature(`{"type":"LineString","coordinates":[[1,2]]}`, `{}`):                                                      "/geometry/coordinates",
		feature(`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1]]]}`, `{}`):                                     "/geometry/coordinates/0",
		feature(`{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]],[[0,0],[1,null],[1,1],[0,0]]]]}`, `{}`): "/geometry/coordinates/0/1/1/1",
		feature(`{"type":"Polygon","coordinates":[[[0,0],[1,1],[1,0],[0,1],[0,0]]]}`, `{}`):                               "/geometry",
		feature(`null`, `{"class":"road"}`):                                                                               "/properties/class",
		feature(`null`, `{"height":"high"}`):                                                                              "/properties/height",
		feature(`null`, `{"height_base":3}`):                                                                              "/properties/height_base",
		feature(`null`, `{"cim_level":"CIM9"}`):                                                                           "/properties/cim_level",
		feature(`null`, `{"name":7}`):                                                                                     "/properties/name",
		feature(`null`, `{"parents":"x"}`):                                                                                "/properties/parents",
		feature(`null`, `{"pm25":7}`):                                                                                     "/properties/pm25",
		feature(`null`, `{"a/b~":1,"a/b~":2}`):                                                                            "/properties/a~1b~0",
		`{"type":"Feature","geometry":null,"place":{"type":"Polyhedron"}}`:                                                "/place",
	} {
		rec := w.ask("POST", "/ogc/collections/buildings/items", "Content-Type", "application/geo+json", body)
		if doc := decode(t, rec.Body.Bytes()); rec.Code != 400 || doc["field"] != field {
			t.Errorf("%.100s: %d %s, want 400 at %s", body, rec.Code, rec.Body, field)
		}
	}
	w.Handler.(*handler).o.MaxBody = 100
	if rec := w.ask("POST", "/ogc/collections/buildings/items", "Content-Type", "application/geo+json", newFeature); rec.Code != 413 {
		t.Errorf("too large: %d", rec.Code)
	}
}

// The examples of RFC 7396, Appendix A, that are objects.
func TestMergePatch(t *testing.T) {
	for _, v := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`}, {`{"a":"b"}`, `{"a":null}`, `{}`}, {`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`}, {`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`}, {`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
	} {
		got, err := mergePatch([]byte(v[0]), []byte(v[1]))
		if err != nil || string(got) != v[2] {
			t.Errorf("%s with %s: %s, %v, want %s", v[0], v[1], got, err, v[2])
		}
	}
	if _, err := mergePatch([]byte(`{}`), []byte(`[1]`)); err == nil {
		t.Error("a patch that is no object is taken")
	}
}

func FuzzInput(f *testing.F) {
	f.Add([]byte(newFeature))
	f.Add([]byte(`{"type":"Feature","geometry":{"type":"MultiPoint","coordinates":[[1,2,3]]},"properties":null}`))
	w := village(f)
	w.edit = true
	k, _ := kindOf("buildings")
	f.Fuzz(func(t *testing.T, body []byte) {
		c := &call{h: w.Handler.(*handler), ctx: t.Context(), now: w.now}
		c.view, _ = w.City(nil)
		c.r = httptest.NewRequest("POST", "/", nil)
		in, err := c.input(k, body)
		if err != nil {
			return
		}
		for i := range in.object.Geometries {
			if err := in.object.Geometries[i].Valid(); err != nil {
				t.Errorf("%s: %v", body, err)
			}
		}
	})
}
