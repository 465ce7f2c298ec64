package tiles

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/mvt"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

var update = flag.Bool("update", false, "write the golden files")

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// observations are two terminals near 北寺塔, one of which observes the object at
// position 1.
func observations() *readings {
	height := 12.5
	pm25 := &city.Datastream{ID: 1, Name: "a", Terminal: "A", Property: "pm25", UnitSymbol: "µg/m³", Position: 1, Lon: 120.6155, Lat: 31.3247}
	old := &city.Datastream{ID: 2, Name: "b", Terminal: "A", Property: "pm25", Position: 1, Lon: 120.6155, Lat: 31.3247}
	word := &city.Datastream{ID: 3, Name: "c", Terminal: "B", Property: "weather", Text: true, Lon: 120.6160, Lat: 31.3240}
	return &readings{
		properties: []city.Property{{Name: "pm25", Title: "细颗粒物", UnitSymbol: "µg/m³"}, {Name: "weather", Title: "天气", Text: true}},
		terminals: []*city.Terminal{
			{ID: 7, Code: "A", Name: "甲", Domain: "environment", State: "online", Lon: 120.6155, Lat: 31.3247, HeightMetres: &height, Datastreams: []*city.Datastream{old, pm25}},
			{ID: 9, Code: "B", Name: "乙", Domain: "environment", State: "offline", Lon: 120.6160, Lat: 31.3240, Simulated: true, Datastreams: []*city.Datastream{word}},
		},
		values: map[int64][]city.Reading{
			1: {{Time: noon, Value: 40, Quality: "good"}, {Time: noon.Add(time.Hour), Value: 80, Quality: "suspect"}},
			2: {{Time: noon.Add(-time.Hour), Value: 7, Quality: "good"}},
			3: {{Time: noon, Text: "雨", Quality: "good"}},
		},
	}
}

// town is a store with three buildings of two data sets at 120.6155, 31.3247,
// each about 44 m wide, and a road.
func town(t testing.TB) *gpkg.Store {
	t.Helper()
	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg"), Clock: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	block := func(id string, lon float64) *spatial.CityObject {
		return &spatial.CityObject{
			ID: id, Class: spatial.ClassBuilding, Type: "Building", Name: "楼" + id, CRS: spatial.CRS{Horizontal: spatial.CRS84},
			Height:     spatial.Height{Metres: 21, From: "height"},
			Attributes: spatial.Attributes{{Name: "use", Value: spatial.TextValue("居住")}, {Name: "storeys", Value: spatial.IntValue(7)}, {Name: "id", Value: spatial.TextValue("not this")}},
			Geometries: []spatial.Geometry{{Kind: spatial.MultiSurface, LoD: "0", Rings: []int32{4}, Surfaces: []int32{1},
				XYZ: []float64{lon, 31.3247, 0, lon + 0.0004, 31.3247, 0, lon + 0.0004, 31.3251, 0, lon, 31.3251, 0}}},
		}
	}
	road := &spatial.CityObject{ID: "r", Class: spatial.ClassRoad, Type: "Road", CRS: spatial.CRS{Horizontal: spatial.CRS84},
		Geometries: []spatial.Geometry{{Kind: spatial.MultiLine, LoD: "0", Rings: []int32{2}, XYZ: []float64{120.60, 31.3246, 0, 120.63, 31.3246, 0}}}}
	for dataset, list := range map[string][]*spatial.CityObject{"open": {block("1", 120.6150), block("2", 120.6156), road}, "secret": {block("3", 120.6162)}} {
		_, err := s.Import(t.Context(), store.ImportOptions{Dataset: dataset}, func(yield func(*spatial.CityObject, error) bool) {
			for _, o := range list {
				if !yield(o, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// hub is a handler over town: everything for "", without the secret for "public".
func hub(t testing.TB, change func(*Options)) (http.Handler, *gate) {
	t.Helper()
	s := town(t)
	g := &gate{views: map[string]*city.View{
		"":       {Key: "all", Store: s, Index: load(t, s, 1), Observed: observations()},
		"public": {Key: "public", Store: s, Index: load(t, s, 1, "secret"), Observed: &readings{}},
	}}
	return handlerOf(t, g, change), g
}

// at is the path of the tile of a level around the town.
func at(set string, z int) string {
	m, _ := matrixSetOf(set)
	row, _, col, _ := m.limits(z, orb.Bound{Min: orb.Point{120.6155, 31.3247}, Max: orb.Point{120.6155, 31.3247}})
	return "/" + set + "/" + itoa(z) + "/" + itoa(row) + "/" + itoa(col)
}

func itoa(n int) string { return strings.TrimSpace(short(n)) }

func decode(t testing.TB, w *httptest.ResponseRecorder) map[string]*mvt.Layer {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	layers, err := mvt.Unmarshal(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*mvt.Layer{}
	for _, l := range layers {
		out[l.Name] = l
	}
	return out
}

func TestTileOfCollection(t *testing.T) {
	h, _ := hub(t, nil)
	for _, set := range []string{"WebMercatorQuad", "CGCS2000Quad"} {
		l := decode(t, get(h, "/ogc/collections/buildings/tiles"+at(set, 16)+".mvt"))
		if len(l) != 1 || l["buildings"] == nil || len(l["buildings"].Features) != 3 {
			t.Fatalf("%s: %d layers %v", set, len(l), l)
		}
		p := l["buildings"].Features[0].Properties
		if p["use"] != "居住" || p["storeys"] != float64(7) || p["height"] != float64(21) || p["class"] != "building" || p["id"] == "not this" {
			t.Errorf("%s: %v", set, p)
		}
		l = decode(t, get(h, "/ogc/collections/buildings/tiles"+at(set, 14)+"?f=mvt"))
		if p := l["buildings"].Features[0].Properties; p["use"] != nil || p["name"] == nil {
			t.Errorf("%s: below level 15 the store's attributes are left out; found %v", set, p)
		}
	}
}

func TestTileHidesWhatTheCallerMayNotSee(t *testing.T) {
	h, _ := hub(t, nil)
	path := "/ogc/collections/buildings/tiles" + at("WebMercatorQuad", 16)
	for range 2 { // from the index, then from the cache
		if n := len(decode(t, get(h, path))["buildings"].Features); n != 3 {
			t.Errorf("%d buildings for who may see all", n)
		}
		l := decode(t, get(h, path, "As", "public"))["buildings"]
		if len(l.Features) != 2 {
			t.Errorf("%d buildings for the public, want 2", len(l.Features))
		}
		for _, f := range l.Features {
			if f.Properties["dataset"] != "open" {
				t.Errorf("the public sees %v", f.Properties)
			}
		}
	}
	if w := get(h, path, "As", "stranger"); w.Code != http.StatusForbidden {
		t.Errorf("status %d for a stranger", w.Code)
	}
}

func TestDatasetTile_20_057_CollectionsSelection(t *testing.T) {
	h, _ := hub(t, nil)
	l := decode(t, get(h, "/ogc/tiles"+at("WebMercatorQuad", 15)))
	if len(l) != 2 || l["roads"] == nil || l["buildings"] == nil {
		t.Errorf("layers %v, want buildings and roads", l)
	}
	l = decode(t, get(h, "/ogc/tiles"+at("WebMercatorQuad", 15)+"?collections=live,terminals"))
	if len(l) != 2 || l["live"] == nil || l["terminals"] == nil {
		t.Errorf("layers %v, want live and terminals", l)
	}
	if w := get(h, "/ogc/tiles"+at("WebMercatorQuad", 15)+"?collections=roofs"); w.Code != 400 || !strings.Contains(w.Body.String(), "terminals") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestReadingsOnTiles(t *testing.T) {
	h, _ := hub(t, nil)
	path := "/ogc/collections/terminals/tiles" + at("WebMercatorQuad", 16)
	f := decode(t, get(h, path))["terminals"].Features
	if len(f) != 2 || f[0].Properties["pm25"] != float64(80) || f[0].Properties["pm25_quality"] != "suspect" || f[0].Properties["pm25_time"] != "2026-05-01T13:00:00Z" || f[1].Properties["weather"] != "雨" {
		t.Errorf("%v", f)
	}
	f = decode(t, get(h, path+"?datetime=2026-05-01T00:00:00Z/2026-05-01T12:30:00Z"))["terminals"].Features
	if f[0].Properties["pm25"] != float64(40) {
		t.Errorf("at half past twelve: %v", f[0].Properties)
	}
	live := decode(t, get(h, "/ogc/collections/live/tiles"+at("WebMercatorQuad", 16)))["live"].Features
	if len(live) != 1 || live[0].Properties["pm25"] != float64(80) || live[0].Properties["name"] == nil {
		t.Errorf("%v", live)
	}
}

func TestFilter(t *testing.T) {
	h, _ := hub(t, nil)
	for _, tt := range []struct {
		layer, filter string
		want          int // features; -1: status 400
	}{
		{"buildings", "dataset = 'open'", 2},
		{"buildings", "pm25 > 75", 1},
		{"buildings", "pm25 > 75 AND class = 'road'", 0},
		{"buildings", "S_INTERSECTS(geometry, BBOX(120.6161,31.324,120.6170,31.326))", 1},
		{"terminals", "state = 'offline' OR pm25 > 75", 2},
		{"terminals", "weather = '雨'", 1},
		{"live", "pm25 < 75", 0},
		{"buildings", "colour = 'red'", -1},
		{"buildings", "name = 'x' OR", -1},
		{"buildings", "name = ''';DROP TABLE x;--'", 0},
	} {
		path := "/ogc/collections/" + tt.layer + "/tiles" + at("WebMercatorQuad", 16) + "?filter=" + url.QueryEscape(tt.filter)
		w := get(h, path)
		switch {
		case tt.want == -1:
			if w.Code != 400 {
				t.Errorf("%s: status %d", tt.filter, w.Code)
			}
		case tt.want == 0:
			if w.Code != http.StatusNoContent {
				t.Errorf("%s: status %d", tt.filter, w.Code)
			}
		default:
			if n := len(decode(t, w)[tt.layer].Features); n != tt.want {
				t.Errorf("%s: %d features, want %d", tt.filter, n, tt.want)
			}
		}
	}
}

func TestTileOfThePast(t *testing.T) {
	h, _ := hub(t, nil)
	path := "/ogc/collections/buildings/tiles" + at("WebMercatorQuad", 16) + "?datetime="
	if n := len(decode(t, get(h, path+"2026-06-01"))["buildings"].Features); n != 3 {
		t.Errorf("%d buildings after the import, want 3", n)
	}
	if w := get(h, path+"2026-04-30T00:00:00Z"); w.Code != http.StatusNoContent {
		t.Errorf("before the import: status %d", w.Code)
	}
	if w := get(h, path+"yesterday"); w.Code != 400 {
		t.Errorf("status %d", w.Code)
	}
}

func TestTileHTTP_RFC9110(t *testing.T) {
	h, _ := hub(t, func(o *Options) { o.MaxAge = time.Minute })
	path := "/ogc/collections/buildings/tiles" + at("WebMercatorQuad", 16)
	plain := get(h, path)
	zipped := get(h, path, "Accept-Encoding", "br, gzip;q=0.8")
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(b, plain.Body.Bytes()) {
		t.Errorf("the compressed tile is another one: %v", err)
	}
	if plain.Header().Get("Content-Encoding") != "" || zipped.Header().Get("Content-Encoding") != "gzip" {
		t.Error("Content-Encoding")
	}
	for _, w := range []*httptest.ResponseRecorder{plain, zipped} {
		hd := w.Header()
		if hd.Get("Content-Type") != mediaMVT || hd.Get("Cache-Control") != "private, max-age=60" || !strings.Contains(hd.Get("Vary"), "Authorization, Cookie") {
			t.Errorf("%v", hd)
		}
		etag := hd.Get("ETag")
		if !strings.HasPrefix(etag, `"`) {
			t.Errorf("ETag %s is not a strong one", etag)
		}
		again := get(h, path, "If-None-Match", `"x", `+etag)
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("status %d", again.Code)
		}
	}
	if plain.Header().Get("ETag") == zipped.Header().Get("ETag") {
		t.Error("two encodings have one strong ETag")
	}
	if w := get(h, "/ogc/collections/terminals/tiles"+at("WebMercatorQuad", 16)); w.Header().Get("Cache-Control") != "private, max-age=5" {
		t.Errorf("with readings: %s", w.Header().Get("Cache-Control"))
	}
	if w := get(h, path, "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("compressed for one who refuses it")
	}
	r := httptest.NewRequest(http.MethodHead, path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestTileErrors(t *testing.T) {
	h, _ := hub(t, nil)
	for path, want := range map[string]int{
		"/ogc/collections/buildings/tiles/WebMercatorQuad/16/1/2":                    204,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/16/x/2":                    400,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/1.5/1/2":                   400,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/16/1/99999999999999999999": 400,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/16/1/2.png":                400,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/-1/0/0":                    404,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/19/0/0":                    404,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/2/4/0":                     404,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/2/0/-1":                    404,
		"/ogc/collections/buildings/tiles/CGCS2000Quad/0/0/0":                        404,
		"/ogc/collections/buildings/tiles/CGCS2000Quad/1/1/0":                        404,
		"/ogc/collections/buildings/tiles/CGCS2000Quad/1/0/1":                        200,
		"/ogc/collections/buildings/tiles/Other/1/0/1":                               404,
		"/ogc/collections/trees/tiles/WebMercatorQuad/1/0/1":                         404,
		"/ogc/collections/buildings/tiles/WebMercatorQuad/1/0/1?f=png":               400,
		"/ogc/collections/buildings/tiles/CGCS2000Quad?f=tilejson":                   406,
		"/ogc/tileMatrixSets/Nowhere":                                                404,
		"/ogc/styles/planner-pink":                                                   404,
		"/ogc/tiles/WebMercatorQuad/1/0/1?filter=a&filter-lang=sql":                  400,
	} {
		if path == "/ogc/collections/buildings/tiles/CGCS2000Quad/1/0/1" {
			want = 204 // a building is less than a quarter of a pixel there
		}
		if w := get(h, path); w.Code != want {
			t.Errorf("%s: status %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
	if w := get(h, "/ogc/tiles/WebMercatorQuad/1/0/1", "Accept", "image/png"); w.Code != 406 {
		t.Errorf("Accept image/png: status %d", w.Code)
	}
}

// countingIndex counts searches.
type countingIndex struct {
	index.View
	searches atomic.Int64
}

func (c *countingIndex) Search(b orb.Bound, o index.Options, fn func(index.Ref) bool) {
	c.searches.Add(1)
	time.Sleep(5 * time.Millisecond)
	c.View.Search(b, o, fn)
}

func TestOneComputationForManyRequests(t *testing.T) {
	h, g := hub(t, nil)
	v := *g.views[""]
	counting := &countingIndex{View: v.Index}
	v.Index = counting
	g.views[""] = &v
	path := "/ogc/collections/buildings/tiles" + at("WebMercatorQuad", 16)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if w := get(h, path); w.Code != 200 {
				t.Errorf("status %d", w.Code)
			}
		})
	}
	wg.Wait()
	if n := counting.searches.Load(); n > int64(len(ladder)) {
		t.Errorf("%d searches for one tile, want at most %d", n, len(ladder))
	}
}

func TestNewIndexVersionMakesTheTileAgain(t *testing.T) {
	h, g := hub(t, nil)
	path := "/ogc/collections/buildings/tiles" + at("WebMercatorQuad", 16)
	first := get(h, path).Header().Get("ETag")
	v := *g.views[""]
	v.Index = load(t, v.Store, 2, "secret")
	g.mu.Lock()
	g.views[""] = &v
	g.mu.Unlock()
	if second := get(h, path).Header().Get("ETag"); second == first {
		t.Error("the tile of the old version is served")
	}
}

func TestBudgetKeepsTheLargest(t *testing.T) {
	g := newGrid(1)
	for i := range 500 {
		size := 0.0002 + float64(i)*1e-6
		b := orb.Bound{Min: orb.Point{120.60 + float64(i%25)*0.001, 31.30 + float64(i/25)*0.0008}}
		b.Max = orb.Point{b.Min[0] + size, b.Min[1] + size}
		g.add(index.Object{Position: int64(i + 1), Key: store.Key{Dataset: "x", ID: itoa(i)}, Class: spatial.ClassBuilding, Bound: b}, b.ToPolygon())
	}
	h := handlerOf(t, &gate{views: map[string]*city.View{"": {Key: "k", Store: town(t), Index: g, Observed: &readings{}}}}, func(o *Options) { o.MaxFeatures = 100 })
	w := get(h, "/ogc/collections/buildings/tiles/WebMercatorQuad/12/"+strings.TrimPrefix(at("WebMercatorQuad", 12), "/WebMercatorQuad/12/"))
	f := decode(t, w)["buildings"].Features
	if len(f) == 0 || len(f) > 100 || w.Header().Get(omittedHeader) == "" {
		t.Fatalf("%d features, omitted %q", len(f), w.Header().Get(omittedHeader))
	}
	// The objects are the larger the higher their number.
	set, _ := matrixSetOf("WebMercatorQuad")
	row, _, col, _ := set.limits(12, orb.Bound{Min: orb.Point{120.6155, 31.3247}, Max: orb.Point{120.6155, 31.3247}})
	area := tile{set, 12, row, col}.bound(buffer)
	want := map[string]bool{}
	for i := len(g.objects) - 1; i >= 0 && len(want) < 100; i-- {
		if g.objects[i].Bound.Intersects(area) {
			want[g.objects[i].Key.ID] = true
		}
	}
	for _, x := range f {
		if id := x.Properties["id"].(string); !want[id] {
			t.Errorf("object %s is not among the 100 largest in the tile", id)
		}
	}
	if len(f) != 100 {
		t.Errorf("%d features, want 100", len(f))
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(100_000)
	for i := range 1000 {
		c.put(itoa(i), &stored{gzip: make([]byte, 1000)})
		if c.bytes > c.max {
			t.Fatalf("%d bytes", c.bytes)
		}
	}
	if _, ok := c.get("999"); !ok {
		t.Error("the last tile is not there")
	}
	if _, ok := c.get("0"); ok {
		t.Error("the first tile is still there")
	}
	c.put("big", &stored{gzip: make([]byte, 50_000)})
	if _, ok := c.get("big"); ok {
		t.Error("one tile took half of the cache")
	}
	if n := len(c.byKey); n != c.order.Len() {
		t.Errorf("%d keys, %d tiles", n, c.order.Len())
	}
}

func TestDocuments(t *testing.T) {
	h, _ := hub(t, func(o *Options) { o.Attribution = "© 测试" })
	for name, path := range map[string]string{
		"tilematrixsets": "/ogc/tileMatrixSets", "webmercatorquad": "/ogc/tileMatrixSets/WebMercatorQuad", "cgcs2000quad": "/ogc/tileMatrixSets/CGCS2000Quad",
		"tilesets": "/ogc/collections/buildings/tiles", "tileset": "/ogc/tiles/CGCS2000Quad?collections=buildings,terminals",
		"tilejson": "/ogc/collections/live/tiles/WebMercatorQuad?f=tilejson", "styles": "/ogc/styles", "style": "/ogc/styles/planner-dark",
	} {
		w := get(h, path)
		if w.Code != 200 {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
			continue
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, w.Body.Bytes(), "", "  "); err != nil {
			t.Fatal(err)
		}
		pretty.WriteByte('\n')
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, pretty.Bytes()) {
			t.Errorf("%s differs from %s:\n%s", path, file, pretty.Bytes())
		}
	}
}

func TestNothingFromOutsideInStyles(t *testing.T) {
	h, _ := hub(t, nil)
	for _, a := range audiences() {
		for shade := range palettes() {
			body := get(h, "/ogc/styles/"+a.id+"-"+shade).Body.String()
			for _, part := range strings.Split(body, `"`) {
				if strings.Contains(part, "://") && !strings.HasPrefix(part, "http://hub.test/ogc/tiles/") {
					t.Errorf("%s-%s refers to %s", a.id, shade, part)
				}
			}
		}
	}
}

// TestLinksLeadSomewhere follows every link below /ogc that this package serves.
func TestLinksLeadSomewhere(t *testing.T) {
	h, _ := hub(t, nil)
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] || len(seen) > 200 {
			return
		}
		seen[path] = true
		w := get(h, path)
		if w.Code != 200 && w.Code != 204 {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
			return
		}
		for _, part := range strings.Split(w.Body.String(), `"`) {
			part = strings.ReplaceAll(part, `\u0026`, "&")
			for from, to := range map[string]string{"{tileMatrix}": "3", "{tileRow}": "1", "{tileCol}": "2", "{z}": "3", "{y}": "1", "{x}": "2"} {
				part = strings.ReplaceAll(part, from, to)
			}
			if p, ok := strings.CutPrefix(part, "http://hub.test"); ok && p != "/ogc" && !strings.HasSuffix(p, "/ogc") && (!strings.HasPrefix(p, "/ogc/collections") || strings.Contains(p, "/tiles")) {
				visit(p)
			}
		}
	}
	for _, l := range Describe().Landing {
		visit(l.Href)
	}
	for _, list := range Describe().Collections {
		for _, l := range list {
			visit(l.Href)
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d links", len(seen))
	}
}
