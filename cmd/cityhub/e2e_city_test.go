package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"cityhub/internal/testkit"
)

// quarter is a drawn quarter of the old town: two canals of which one flows
// into the other, a road beside, houses along it, and a sewer below. Degrees;
// 0.0001° is about 10 m.
func quarter(class string) string {
	feature := func(id, geometry, properties string) string {
		return fmt.Sprintf(`{"type":"Feature","id":%q,"geometry":%s,"properties":{%s}}`, id, geometry, properties)
	}
	line := func(points ...float64) string {
		var b []string
		for i := 0; i < len(points); i += 2 {
			b = append(b, fmt.Sprintf("[%.5f,%.5f]", 120.63+points[i], 31.31+points[i+1]))
		}
		return `{"type":"LineString","coordinates":[` + strings.Join(b, ",") + `]}`
	}
	box := func(x, y, w, h float64) string {
		s := line(x, y, x+w, y, x+w, y+h, x, y+h, x, y)
		return strings.Replace(strings.Replace(s, "LineString", "Polygon", 1), "[[", "[[[", 1)[:len(s)-1-3] + "]]}"
	}
	var list []string
	switch class {
	case "water":
		list = []string{
			feature("pingjiang", line(0.001, 0.003, 0.001, 0), `"name":"平江河"`), // flows south
			feature("linjia", line(0, 0.002, 0.001, 0.002), `"name":"麟驾河"`),    // into it from the west
		}
	case "road":
		list = []string{feature("pingjiang-lu", line(0.0012, 0, 0.0012, 0.003), `"name":"平江路","lanes":2`)}
	case "building":
		for i := range 8 {
			list = append(list, feature(fmt.Sprint("house-", i), box(0.0014, 0.0003*float64(i), 0.0002, 0.0002), fmt.Sprintf(`"height":%d,"use":"住宅"`, 4+i)))
		}
	case "underground":
		list = []string{feature("sewer", line(0.0012, 0.003, 0.0012, 0), `"material":"PE","diameter":400`)}
	case "district":
		list = []string{feature("320508", box(-0.01, -0.01, 0.03, 0.03), `"name":"姑苏区","adcode":"320508"`)}
	}
	return `{"type":"FeatureCollection","features":[` + strings.Join(list, ",\n") + `]}`
}

const quarterTerminals = `
datasets:
  - {code: open-air, title: 空气质量, titleEn: Air quality, owner: 生态环境局, open: unconditional}
  - {code: secret, title: 内部, owner: 公安局, open: none}
properties:
  - {name: pm25, title: 细颗粒物, titleEn: PM2.5, unit: ug/m3}
  - {name: leq, title: 等效声级, titleEn: Noise, unit: "dB[SPL]"}
  - {name: water_level, title: 水位, titleEn: Water level, unit: m}
terminals:
  - {code: air-0, name: 空气 0, domain: environment, dataset: open-air, simulated: true, location: {lon: 120.6315, lat: 31.31015}, properties: [pm25]}
  - {code: air-3, name: 空气 3, domain: environment, dataset: open-air, simulated: true, location: {lon: 120.6315, lat: 31.3110}, properties: [pm25]}
  - {code: noise, name: 噪声, domain: environment, dataset: open-air, simulated: true, location: {lon: 120.63121, lat: 31.3110}, properties: [leq]}
  - {code: gauge, name: 水尺, domain: emergency, dataset: secret, simulated: true, location: {lon: 120.63102, lat: 31.3105}, properties: [water_level]}
  - {code: told, name: 指定, domain: environment, dataset: open-air, simulated: true, observes: quarter-building/house-7, properties: [pm25]}
  - {code: lost, name: 无处, domain: environment, dataset: open-air, simulated: true, properties: [pm25]}
`

// startQuarter starts a hub with the quarter and its terminals, half of the
// model imported before the start and half into the running hub.
func startQuarter(t *testing.T, args ...string) *testkit.Hub {
	t.Helper()
	dir := t.TempDir()
	for _, class := range []string{"water", "road", "building"} {
		open := "unconditional"
		if class == "water" {
			open = "none"
		}
		cityhub(t, 0, "import", "city", writeFile(t, class+".geojson", quarter(class)), "--class", class, "--dataset", "quarter-"+class, "--open", open, "--owner", "住建局", "--data", dir)
	}
	h := testkit.StartHub(t, testkit.HubOptions{DataDir: dir, Args: args})
	waitReady(t, h)
	call(t, h, http.MethodPost, "/api/v1/terminals/import", "application/yaml", quarterTerminals, http.StatusOK, nil)
	for class, flags := range map[string][]string{"underground": {"--class", "underground"}, "district": {"--type", "AdministrativeDistrict", "--open", "unconditional"}} {
		cityhub(t, 0, append([]string{"import", "city", writeFile(t, class+".geojson", quarter(class)), "--dataset", "quarter-" + class, "--server", h.HTTP, "--token", h.Token()}, flags...)...)
	}
	return h
}

func waitReady(t *testing.T, h *testkit.Hub) {
	t.Helper()
	testkit.WaitFor(t, 20*time.Second, "readiness", func() bool {
		resp, err := http.Get(h.HTTP + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func publishQuarter(t *testing.T, h *testkit.Hub, values map[string]string) {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + h.MQTT).SetClientID("quarter"))
	if token := c.Connect(); token.Wait() && token.Error() != nil {
		t.Fatal(token.Error())
	}
	defer c.Disconnect(100)
	for terminal, payload := range values {
		if token := c.Publish("terminals/"+terminal+"/up/json", 1, false, payload); token.Wait() && token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
}

type featureCollection struct {
	Features []struct {
		ID         string
		Geometry   json.RawMessage
		Properties map[string]any
	}
	NumberReturned int
	Links          []struct{ Rel, Href string }
}

func (c featureCollection) ids() (out []string) {
	for _, f := range c.Features {
		out = append(out, f.ID)
	}
	slices.Sort(out)
	return out
}

// R52, R53: the elements of the city and what is observed on them, from import
// and MQTT to the open standards, with the rights of who asks (R28).
func TestCityModelFusedWithLiveData(t *testing.T) {
	h := startQuarter(t)
	publishQuarter(t, h, map[string]string{"air-0": `{"pm25":80}`, "air-3": `{"pm25":60}`, "noise": `{"leq":71.5}`, "gauge": `{"water_level":1.42}`, "told": `{"pm25":90}`})
	items := func(token, path string) featureCollection {
		t.Helper()
		var c featureCollection
		callAs(t, h, token, http.MethodGet, path, "", "", http.StatusOK, &c)
		return c
	}
	live := func(filter string) string {
		return "/ogc/collections/live/items?f=json&filter=" + url.QueryEscape(filter)
	}
	testkit.WaitFor(t, 10*time.Second, "the readings to show on the objects", func() bool {
		return len(items(h.Token(), live("pm25 > 0 OR leq > 0 OR water_level > 0")).Features) == 5
	})

	t.Run("live values filter features", func(t *testing.T) {
		got := items("", live("pm25 > 75 AND class = 'building' AND S_INTERSECTS(geometry, BBOX(120.63, 31.30, 120.64, 31.32))"))
		if want := []string{"quarter-building:house-0", "quarter-building:house-7"}; !slices.Equal(got.ids(), want) {
			t.Fatalf("found %v, want %v", got.ids(), want)
		}
		p := got.Features[0].Properties
		if p["pm25"] != 80.0 || p["use"] != "住宅" || p["pm25_quality"] == "" {
			t.Errorf("the first house shows %v", p)
		}
		if age, ok := p["pm25_age"].(float64); !ok || age < 0 || age > 60 {
			t.Errorf("age %v s, want that of a moment ago", p["pm25_age"])
		}
	})
	t.Run("R28 what is not open is not there", func(t *testing.T) {
		// A property of which the public sees no Datastream is unknown to it.
		callAs(t, h, "", http.MethodGet, live("water_level > 0"), "", "", http.StatusBadRequest, nil)
		callAs(t, h, "", http.MethodGet, live("no_such_property > 0"), "", "", http.StatusBadRequest, nil)
		if got := items(h.Token(), live("water_level > 1.4 AND class = 'water'")); !slices.Equal(got.ids(), []string{"quarter-water:pingjiang"}) {
			t.Errorf("the operator sees %v", got.ids())
		}
		if got := items("", "/ogc/collections/water/items?f=json"); len(got.Features) != 0 {
			t.Errorf("the public sees the waters %v", got.ids())
		}
		callAs(t, h, "", http.MethodGet, "/ogc/collections/water/items/quarter-water:pingjiang?f=json", "", "", http.StatusNotFound, nil)
		callAs(t, h, "", http.MethodGet, "/api/v1/city/objects/quarter-water/pingjiang", "", "", http.StatusNotFound, nil)
		callAs(t, h, "", http.MethodPut, "/ogc/collections/buildings/items/quarter-building:house-0", "application/geo+json", `{"type":"Feature","geometry":null,"properties":{}}`, http.StatusUnauthorized, nil)
		callAs(t, h, "", http.MethodPost, "/api/v1/city/import?dataset=x", "application/octet-stream", "{}", http.StatusUnauthorized, nil)
	})
	t.Run("object, what is observed on it, and what lies around", func(t *testing.T) {
		var o struct {
			HeightMetres float64
			Observed     []struct {
				Property, Terminal, How string
				Value                   float64
			}
		}
		call(t, h, http.MethodGet, "/api/v1/city/objects/quarter-building/house-7", "", "", http.StatusOK, &o)
		if o.HeightMetres != 11 || len(o.Observed) != 1 || o.Observed[0].How != "declared" || o.Observed[0].Value != 90 {
			t.Errorf("house-7: %+v", o)
		}
		related := func(path string) string {
			t.Helper()
			var r struct {
				Related []struct {
					ID          string
					MetresAlong float64
					Observed    []struct{ Property string }
				}
			}
			call(t, h, http.MethodGet, "/api/v1/city/objects/"+path, "", "", http.StatusOK, &r)
			var out []string
			for _, o := range r.Related {
				out = append(out, o.ID)
			}
			return strings.Join(out, " ")
		}
		if got := related("quarter-road/pingjiang-lu/related?relation=below"); got != "sewer" {
			t.Errorf("below the road lies %q, want the sewer", got)
		}
		if got := related("quarter-water/pingjiang/related?relation=upstream"); got != "linjia" {
			t.Errorf("upstream of 平江河 lies %q, want linjia", got)
		}
		if got := related("quarter-water/linjia/related?relation=downstream"); got != "pingjiang" {
			t.Errorf("downstream of 麟驾河 lies %q, want pingjiang", got)
		}
		if got := related("quarter-building/house-0/related?relation=near&metres=12&collection=buildings"); got != "house-1" {
			t.Errorf("near house-0 lies %q, want house-1, 11 m off", got)
		}
	})
	t.Run("R52 the unplaced are listed, with the reason", func(t *testing.T) {
		var u struct {
			Total       int
			Datastreams []struct{ Terminal, Reason string }
		}
		call(t, h, http.MethodGet, "/api/v1/city/datastreams/unplaced", "", "", http.StatusOK, &u)
		if u.Total != 1 || len(u.Datastreams) != 1 || u.Datastreams[0].Terminal != "lost" || !strings.Contains(u.Datastreams[0].Reason, "no location") {
			t.Errorf("unplaced: %+v", u)
		}
		for id := 1; id <= 4; id++ {
			var b struct{ District string }
			call(t, h, http.MethodGet, fmt.Sprint("/api/v1/city/datastreams/", id), "", "", http.StatusOK, &b)
			if b.District != "320508" {
				t.Errorf("Datastream %d is in district %q, want 320508 by its place (R20)", id, b.District)
			}
		}
	})
	t.Run("a change of the model moves the bindings and keeps the past", func(t *testing.T) {
		before := time.Now().UTC().Format(time.RFC3339Nano)
		const item = "/ogc/collections/buildings/items/quarter-building:house-0"
		tag := call(t, h, http.MethodGet, item+"?f=json", "", "", http.StatusOK, nil).Get("ETag")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, h.HTTP+item, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+h.Token())
		req.Header.Set("If-Match", tag)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Fatalf("DELETE with If-Match %s answers %s", tag, resp.Status)
		}
		if got := items(h.Token(), live("pm25 > 75")); !slices.Equal(got.ids(), []string{"quarter-building:house-1", "quarter-building:house-7"}) {
			t.Errorf("after house-0 is gone, pm25 > 75 is on %v, want house-1, the nearest, and house-7", got.ids())
		}
		var c featureCollection
		call(t, h, http.MethodGet, "/ogc/collections/buildings/items?f=json&datetime="+url.QueryEscape(before), "", "", http.StatusOK, &c)
		if len(c.Features) != 8 {
			t.Errorf("%d buildings before, want 8", len(c.Features))
		}
		call(t, h, http.MethodGet, "/ogc/collections/buildings/items?f=json", "", "", http.StatusOK, &c)
		if len(c.Features) != 7 {
			t.Errorf("%d buildings now, want 7", len(c.Features))
		}
	})
	t.Run("a restart finds everything again", func(t *testing.T) {
		h.Kill9()
		h.Restart()
		waitReady(t, h)
		if got := items(h.Token(), live("pm25 > 75")); !slices.Equal(got.ids(), []string{"quarter-building:house-1", "quarter-building:house-7"}) {
			t.Errorf("after kill -9: %v", got.ids())
		}
	})
}

// Other people's clients: GDAL reads every collection completely, and what it
// makes of them is a valid GeoPackage.
func TestGDALReadsEveryCollection(t *testing.T) {
	ogrinfo, ogr2ogr := testkit.Require(t, "ogrinfo"), testkit.Require(t, "ogr2ogr")
	dir := t.TempDir()
	data := testkit.DataDir(t, "suzhou-oldtown-osm-buildings")
	cityhub(t, 0, "import", "city", filepath.Join(data, "suzhou_buildings.geojson"), "--class", "building", "--dataset", "suzhou", "--open", "unconditional", "--data", dir)
	h := testkit.StartHub(t, testkit.HubOptions{DataDir: dir, Args: []string{"--sample"}})
	waitReady(t, h)
	cityhub(t, 0, "import", "city", writeFile(t, "water.geojson", quarter("water")), "--class", "water", "--dataset", "waters", "--open", "unconditional", "--server", h.HTTP, "--token", h.Token())
	var list struct{ Collections []struct{ ID string } }
	call(t, h, http.MethodGet, "/ogc/collections?f=json", "", "", http.StatusOK, &list)
	if len(list.Collections) < 9 {
		t.Fatalf("%d collections", len(list.Collections))
	}
	count := regexp.MustCompile(`Feature Count: (\d+)`)
	for _, c := range list.Collections {
		var want struct{ NumberReturned int }
		callAs(t, h, "", http.MethodGet, "/ogc/collections/"+c.ID+"/items?f=json&limit=10000", "", "", http.StatusOK, &want)
		out, err := exec.CommandContext(t.Context(), ogrinfo, "-ro", "-so", "--config", "OGR_OAPIF_PAGE_SIZE", "1000", "OAPIF:"+h.HTTP+"/ogc", c.ID).CombinedOutput()
		if err != nil {
			t.Fatalf("ogrinfo %s: %v\n%s", c.ID, err, out)
		}
		if m := count.FindSubmatch(out); m == nil || string(m[1]) != strconv.Itoa(want.NumberReturned) {
			t.Errorf("%s: GDAL counts %s, the API %d\n%s", c.ID, m, want.NumberReturned, out)
		}
	}
	file := filepath.Join(t.TempDir(), "city.gpkg")
	if out, err := exec.CommandContext(t.Context(), ogr2ogr, "-f", "GPKG", file, "OAPIF:"+h.HTTP+"/ogc", "buildings", "water", "terminals").CombinedOutput(); err != nil {
		t.Fatalf("ogr2ogr: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), ogrinfo, "-ro", "-so", file, "buildings").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Feature Count: 8242") {
		t.Errorf("the GeoPackage that GDAL made: %v\n%s", err, out)
	}
}
