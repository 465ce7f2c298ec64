package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
)

// fetch gives the status, the ETag and the body that a caller gets; tag is what
// he has kept.
func fetch(t *testing.T, h *testkit.Hub, token, path, tag string) (status int, etag string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("ETag"), body
}

// tileOf is the address of the vector tile at a place.
func tileOf(layer string, lon, lat float64, z int) string {
	n := math.Exp2(float64(z))
	y := math.Log(math.Tan(math.Pi/4 + lat*math.Pi/360))
	return fmt.Sprintf("/ogc/collections/%s/tiles/WebMercatorQuad/%d/%d/%d", layer, z, int(n/2*(1-y/math.Pi)), int(n*(lon+180)/360))
}

// contentOf is the address of a content of a tileset and its tile.
func contentOf(t *testing.T, h *testkit.Hub, token, collection string) (address, tag string) {
	t.Helper()
	type tile struct {
		Content  struct{ URI string }
		Children []tile
	}
	var set struct{ Root tile }
	callAs(t, h, token, http.MethodGet, "/3dtiles/"+collection+"/tileset.json", "", "", http.StatusOK, &set)
	var templates []string
	var walk func(tile)
	walk = func(x tile) {
		if x.Content.URI != "" {
			templates = append(templates, x.Content.URI)
		}
		for _, c := range x.Children {
			walk(c)
		}
	}
	walk(set.Root)
	for _, template := range templates {
		for level := range 4 {
			for i := range 1 << (2 * level) {
				at := strings.NewReplacer("{level}", fmt.Sprint(level), "{x}", fmt.Sprint(i>>level), "{y}", fmt.Sprint(i&(1<<level-1))).Replace(template)
				if status, tag, b := fetch(t, h, token, "/3dtiles/"+collection+"/"+at, ""); status == http.StatusOK && strings.HasPrefix(string(b), "glTF") {
					return "/3dtiles/" + collection + "/" + at, tag
				}
			}
		}
	}
	t.Fatalf("no content of %s in %v", collection, templates)
	return "", ""
}

// R28, R29: what is closed is gone for the public at once, from everything that
// is kept ready: tiles, 3D tiles, extents, queryables, counts and histories.
func TestClosedDatasetLeavesEveryCache(t *testing.T) {
	h := startQuarter(t)
	publishQuarter(t, h, map[string]string{"air-0": `{"pm25":80}`})
	const house = "/api/v1/city/objects/quarter-building/house-0"
	content, contentTag := contentOf(t, h, "", "buildings")
	tile := tileOf("buildings", 120.6315, 31.3101, 15)
	status, tileTag, b := fetch(t, h, "", tile, "")
	if status != http.StatusOK || !strings.Contains(string(b), "house-0") {
		t.Fatalf("%s answers %d, %d bytes without the house", tile, status, len(b))
	}
	shows := func(token string) map[string]bool {
		t.Helper()
		out := map[string]bool{}
		_, _, b := fetch(t, h, token, tile, tileTag)
		status, _, _ := fetch(t, h, token, tile, tileTag)
		out["vector tile"] = status == http.StatusNotModified || strings.Contains(string(b), "house-")
		_, _, b = fetch(t, h, token, strings.Replace(tile, "/collections/buildings", "", 1)+"?collections=buildings,live", "")
		out["tile of several layers"] = strings.Contains(string(b), "house-")
		status, _, _ = fetch(t, h, token, content, contentTag)
		out["3D tile"] = status == http.StatusOK || status == http.StatusNotModified
		var sets struct {
			Tilesets []struct {
				ID      string
				Objects int
			}
		}
		callAs(t, h, token, http.MethodGet, "/3dtiles", "", "", http.StatusOK, &sets)
		for _, s := range sets.Tilesets {
			if s.ID == "buildings" {
				out["count of 3D objects"] = s.Objects > 0
			}
		}
		var c struct{ Extent *struct{} }
		callAs(t, h, token, http.MethodGet, "/ogc/collections/buildings?f=json", "", "", http.StatusOK, &c)
		out["extent"] = c.Extent != nil
		var live struct {
			Extent struct{ Spatial struct{ BBox [][4]float64 } }
		}
		callAs(t, h, token, http.MethodGet, "/ogc/collections/live?f=json", "", "", http.StatusOK, &live)
		out["extent of what is observed"] = live.Extent.Spatial.BBox[0][2] > 120.6313 // the houses are the easternmost
		var set struct{ BoundingBox any }
		callAs(t, h, token, http.MethodGet, "/ogc/collections/buildings/tiles/WebMercatorQuad?f=json", "", "", http.StatusOK, &set)
		out["extent of tiles"] = set.BoundingBox != nil
		var q struct{ Properties map[string]any }
		callAs(t, h, token, http.MethodGet, "/ogc/collections/buildings/queryables?f=json", "", "", http.StatusOK, &q)
		out["queryables"] = q.Properties["use"] != nil
		var items struct{ NumberMatched, NumberReturned int }
		callAs(t, h, token, http.MethodGet, "/ogc/collections/buildings/items?f=json&limit=1", "", "", http.StatusOK, &items)
		out["number of features"] = items.NumberMatched > 0
		items.NumberReturned = 0
		callAs(t, h, token, http.MethodGet, "/ogc/collections/live/items?f=json&filter="+url.QueryEscape("class = 'building'"), "", "", http.StatusOK, &items)
		out["live features"] = items.NumberReturned > 0
		for name, path := range map[string]string{"object": house, "history": house + "/history", "download": "/api/v1/spatial/download/buildings?f=csv&filter=" + url.QueryEscape("use = '住宅'")} {
			status, _, b := fetch(t, h, token, path, "")
			out[name] = status == http.StatusOK && strings.Contains(string(b), "house-0")
		}
		return out
	}
	open := func(openness string, public bool) {
		t.Helper()
		call(t, h, http.MethodPut, "/api/v1/datasets/quarter-building", "application/json", fmt.Sprintf(`{"code":"quarter-building","title":"房屋","owner":"住建局","open":%q}`, openness), http.StatusOK, nil)
		for what, there := range shows("") {
			if there != public {
				t.Errorf("open %s: the public sees it by %s: %v", openness, what, there)
			}
		}
		for what, there := range shows(h.Token()) {
			if !there {
				t.Errorf("open %s: the operator does not see it by %s", openness, what)
			}
		}
	}
	testkit.WaitFor(t, 10*time.Second, "the reading to show", func() bool { return shows("")["live features"] })
	open("unconditional", true)
	open("none", false)
	open("unconditional", true)
}

// The sentence of R53's planner: roads within 50 m of a noise reading over 70 dB
// in the last hour, and the pipes below them; saved, and run by others with their
// own rights.
func TestNoisyRoadsAndThePipesBelow(t *testing.T) {
	h := startQuarter(t)
	publishQuarter(t, h, map[string]string{"noise": `{"leq":71.5}`, "air-0": `{"pm25":80}`})
	const question = `{"kind":"pipeline","output":"all","steps":[{"observed":{"property":"leq","op":">","value":70,"time":{"last":"PT1H"}}},{"within":{"metres":50,"select":{"collection":"roads"}}},{"below":{"select":{"collection":"underground"}}}]}`
	objects := func(c featureCollection) string {
		var out []string
		for _, f := range c.Features {
			if s, _ := f.Properties["object"].(string); s != "" && f.Properties["collection"] != "terminals" {
				out = append(out, s)
			}
		}
		return strings.Join(out, " ")
	}
	ask := func(token, method, path, body string) (c featureCollection) {
		t.Helper()
		callAs(t, h, token, method, path, "application/json", body, http.StatusOK, &c)
		return c
	}
	testkit.WaitFor(t, 10*time.Second, "the road and the sewer", func() bool {
		return objects(ask(h.Token(), http.MethodPost, "/api/v1/spatial/query", question)) == "pingjiang-lu sewer"
	})
	var saved struct{ ID string }
	call(t, h, http.MethodPost, "/api/v1/spatial/questions", "application/json", `{"name":"吵闹的道路","visibility":"public","document":`+question+`}`, http.StatusCreated, &saved)
	run := "/api/v1/spatial/questions/" + saved.ID + "/run"
	if got := objects(ask(h.Token(), http.MethodGet, run, "")); got != "pingjiang-lu sewer" {
		t.Errorf("the operator's run finds %q", got)
	}
	if got := objects(ask("", http.MethodGet, run, "")); got != "pingjiang-lu" {
		t.Errorf("the public's run finds %q, want the road without the closed sewer", got)
	}
	for format, begin := range map[string]string{"csv": "step,", "geoparquet": "PAR1", "gpkg": "SQLite format 3\x00", "ndjson": "{"} {
		status, _, b := fetch(t, h, "", run+"?f="+format, "")
		if status != http.StatusOK || !strings.HasPrefix(strings.TrimPrefix(string(b), "\ufeff"), begin) {
			t.Errorf("%s: status %d, begins %.20q", format, status, b)
		}
		if format != "geoparquet" && (!strings.Contains(string(b), "平江路") || strings.Contains(string(b), "sewer")) {
			t.Errorf("%s shows the public too little or too much", format)
		}
	}
	callAs(t, h, "", http.MethodDelete, "/api/v1/spatial/questions/"+saved.ID, "", "", http.StatusUnauthorized, nil)

	// The same reading as the history of what it is observed on (deliverable: object → rollups).
	var bound struct{ Object struct{ Href string } }
	call(t, h, http.MethodGet, "/api/v1/city/datastreams/3", "", "", http.StatusOK, &bound)
	var history struct {
		TimeZone    string
		Datastreams []struct {
			Property string
			Windows  []struct {
				Count                       int
				Mean, Min, Max, First, Last *float64
			}
		}
	}
	callAs(t, h, "", http.MethodGet, bound.Object.Href+"/history?property=leq&every=12h", "", "", http.StatusOK, &history)
	if len(history.Datastreams) != 1 || len(history.Datastreams[0].Windows) != 2 || history.TimeZone != "Asia/Shanghai" {
		t.Fatalf("history %+v", history)
	}
	before, last := history.Datastreams[0].Windows[0], history.Datastreams[0].Windows[1]
	if before.Count != 0 || before.Mean != nil || last.Count != 1 || *last.Mean != 71.5 || *last.Last != 71.5 {
		t.Errorf("windows %+v", history.Datastreams[0].Windows)
	}
}

// Line and reason reach who posts a file, and nothing of it is stored.
func TestImportProblemNamesTheLine(t *testing.T) {
	h := startQuarter(t)
	point := func(id, at string) string {
		return `{"type":"Feature","id":"` + id + `","properties":{},"geometry":{"type":"Point","coordinates":[` + at + `]}}`
	}
	file := "{\"type\":\"FeatureCollection\",\"features\":[\n" + point("a", "120.6,31.3") + ",\n" + point("b", "120.6,131.3") + "]}"
	for query, want := range map[string]string{"file=bad.geojson": "bad.geojson:3: b: ", "file=bad.geojson&crs=EPSG:4549": "bad.geojson:2: a: ", "file=bad.geojson&crs=EPSG:1": "EPSG:1"} {
		var p struct{ Detail, Field, Hint string }
		callAs(t, h, h.Token(), http.MethodPost, "/api/v1/city/import?dataset=bad&class=building&"+query, "application/octet-stream", file, http.StatusBadRequest, &p)
		if !strings.Contains(p.Detail, want) || p.Field == "" || p.Hint == "" {
			t.Errorf("%s: %+v, want %q in its detail", query, p, want)
		}
	}
	call(t, h, http.MethodGet, "/api/v1/city/objects/bad/a", "", "", http.StatusNotFound, nil)
	call(t, h, http.MethodGet, "/api/v1/datasets/bad", "", "", http.StatusNotFound, nil)
}
