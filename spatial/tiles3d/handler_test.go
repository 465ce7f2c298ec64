package tiles3d

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// box is a building with a square footprint.
func box(id string, lon, lat, degrees, height float64) *spatial.CityObject {
	return &spatial.CityObject{
		ID: id, Class: spatial.ClassBuilding, Type: "Building", CRS: crs.EPSG(4326), Height: spatial.Height{Metres: height, From: "height"},
		Geometries: []spatial.Geometry{{
			Kind: spatial.MultiSurface, LoD: "0", Rings: []int32{4}, Surfaces: []int32{1},
			XYZ: []float64{lon, lat, 0, lon + degrees, lat, 0, lon + degrees, lat + degrees, 0, lon, lat + degrees, 0},
		}},
	}
}

// field is n times n buildings, ten metres wide and thirty apart.
func field(prefix string, n int, lon, lat float64) (all []*spatial.CityObject) {
	for i := range n * n {
		all = append(all, box(fmt.Sprintf("%s%d", prefix, i), lon+float64(i%n)*3e-4, lat+float64(i/n)*3e-4, 1e-4, 5+float64(i%7)))
	}
	return all
}

type answer struct {
	*http.Response
	body []byte
}

func get(t *testing.T, h http.Handler, method, url string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, b}
}

// walk loads a tileset as a client does: tileset.json, then subtrees by
// availability, then contents. It checks the bounding regions on the way and
// gives the contents by address.
func walk(t *testing.T, h http.Handler, collection string) map[string]answer {
	t.Helper()
	base := "/3dtiles/" + collection + "/"
	a := get(t, h, "GET", base+"tileset.json")
	var ts struct {
		Root struct {
			Children []struct {
				GeometricError float64
				Content        struct{ URI string }
				ImplicitTiling struct {
					SubtreeLevels, AvailableLevels int
					Subtrees                       struct{ URI string }
				}
			}
		}
	}
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("tileset.json: %d %s %s", a.StatusCode, a.Header, a.body)
	}
	if err := json.Unmarshal(a.body, &ts); err != nil {
		t.Fatal(err)
	}
	contents := map[string]answer{}
	fill := func(template string, l, x, y int) string {
		return base + strings.NewReplacer("{level}", fmt.Sprint(l), "{x}", fmt.Sprint(x), "{y}", fmt.Sprint(y)).Replace(template)
	}
	for _, root := range ts.Root.Children {
		n := root.ImplicitTiling.SubtreeLevels
		var visit func(l, x, y int, above float64)
		visit = func(l, x, y int, above float64) {
			a := get(t, h, "GET", fill(root.ImplicitTiling.Subtrees.URI, l, x, y))
			if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/octet-stream" || string(a.body[:4]) != "subt" {
				t.Fatalf("subtree %d/%d/%d: %d %s", l, x, y, a.StatusCode, a.body)
			}
			var s struct {
				BufferViews      []struct{ ByteOffset, ByteLength int }
				TileAvailability struct {
					Bitstream      int
					AvailableCount int
				}
				ChildSubtreeAvailability struct{ Bitstream, Constant *int }
				PropertyTables           []struct {
					Count      int
					Properties map[string]struct{ Values int }
				}
			}
			jl := binary.LittleEndian.Uint64(a.body[8:])
			if err := json.Unmarshal(a.body[24:24+jl], &s); err != nil {
				t.Fatal(err)
			}
			bin := a.body[24+jl:]
			if uint64(len(bin)) != binary.LittleEndian.Uint64(a.body[16:]) {
				t.Fatal("length of the binary part")
			}
			view := func(i int) []byte { return bin[s.BufferViews[i].ByteOffset:][:s.BufferViews[i].ByteLength] }
			bits := view(s.TileAvailability.Bitstream)
			regions := view(s.PropertyTables[0].Properties["boundingRegion"].Values)
			errs := view(s.PropertyTables[0].Properties["geometricError"].Values)
			f64 := func(b []byte, i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])) }
			row := 0
			first := 0
			for level := range n {
				for m := range 1 << (2 * level) {
					bit := first + m
					if bits[bit/8]>>(bit%8)&1 == 0 {
						continue
					}
					cx, cy := 0, 0
					for k := range level {
						cx |= m >> (2 * k) & 1 << k
						cy |= m >> (2*k + 1) & 1 << k
					}
					address := fill(root.Content.URI, l+level, x<<level+cx, y<<level+cy)
					c := get(t, h, "GET", address)
					if c.StatusCode != 200 || c.Header.Get("Content-Type") != "model/gltf-binary" {
						t.Fatalf("%s: %d %s", address, c.StatusCode, c.body)
					}
					contents[address] = c
					var r [6]float64
					for k := range r {
						r[k] = f64(regions, 6*row+k)
					}
					inRegion(t, address, c.body, r)
					if e := f64(errs, row); e > root.GeometricError || e < 0 {
						t.Errorf("%s: geometric error %v", address, e)
					}
					row++
				}
				first += 1 << (2 * level)
			}
			if row != s.TileAvailability.AvailableCount || row != s.PropertyTables[0].Count {
				t.Errorf("%d tiles, %d said", row, s.TileAvailability.AvailableCount)
			}
			if s.ChildSubtreeAvailability.Bitstream != nil {
				b := view(*s.ChildSubtreeAvailability.Bitstream)
				for m := range 1 << (2 * n) {
					if b[m/8]>>(m%8)&1 == 1 {
						cx, cy := 0, 0
						for k := range n {
							cx |= m >> (2 * k) & 1 << k
							cy |= m >> (2*k + 1) & 1 << k
						}
						visit(l+n, x<<n+cx, y<<n+cy, above)
					}
				}
			}
		}
		visit(0, 0, 0, root.GeometricError)
	}
	return contents
}

// inRegion checks that all vertices of a content lie in a bounding region.
func inRegion(t *testing.T, name string, glb []byte, r [6]float64) {
	t.Helper()
	for _, v := range readGLB(t, glb).vertices {
		lon, lat, h := fromGeocentric(v)
		if lon < r[0] || lon > r[2] || lat < r[1] || lat > r[3] || h < r[4] || h > r[5] {
			t.Fatalf("%s: vertex %v %v %v is outside its region %v", name, lon, lat, h, r)
		}
	}
}

func served(t *testing.T, s store.Reader, o Options) (*Tilesets, *city.View) {
	t.Helper()
	view := viewOf(t, s, "all", 1)
	o.Gate = gateFunc(func(r *http.Request) (*city.View, error) { return view, nil })
	return newTilesets(t, o), view
}

func idsOf(t *testing.T, contents map[string]answer) map[string]int {
	t.Helper()
	files := map[string][]byte{}
	for name, a := range contents {
		p := strings.SplitN(name, "/", 4)
		files[p[3]] = a.body
	}
	seen := map[string]int{}
	for _, name := range leaves(t, files) {
		for _, id := range readGLB(t, files[name]).strings["id"] {
			seen[id]++
		}
	}
	return seen
}

// TestWalk loads a tileset of several subtrees as a client does.
func TestWalk(t *testing.T) {
	s := openStore(t)
	put(t, s, "a", true, these(append(field("p", 30, 120.6, 31.3), field("q", 10, 120.75, 31.21)...)...))
	h, _ := served(t, s, Options{TileObjects: 6, EllipsoidOffsetMetres: 9.5, GroundMetres: 3})
	contents := walk(t, h, "buildings")
	seen := idsOf(t, contents)
	if len(seen) != 1000 {
		t.Errorf("%d objects, want 1000", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s: %d times", id, n)
		}
	}
	if len(contents) < 200 {
		t.Errorf("%d contents", len(contents))
	}
	// The tileset of what nobody has is whole all the same.
	if n := len(walk(t, h, "water")); n != 0 {
		t.Errorf("%d contents of water", n)
	}
}

// TestImportElsewhere: an import changes the ETags of the tiles whose objects
// changed, and of no others; what is in the cache for those is not built again.
func TestImportElsewhere(t *testing.T) {
	s := openStore(t)
	put(t, s, "a", true, these(field("p", 12, 120.6, 31.3)...))
	view := viewOf(t, s, "all", 1)
	var mu sync.Mutex
	gate := gateFunc(func(r *http.Request) (*city.View, error) {
		mu.Lock()
		defer mu.Unlock()
		return view, nil
	})
	counting := &counter{Reader: s}
	view.Store = counting
	h := newTilesets(t, Options{Gate: gate, TileObjects: 10})
	before := walk(t, h, "buildings")
	built := counting.geometries
	if built == 0 {
		t.Fatal("nothing was read")
	}
	put(t, s, "a", false, these(box("p5", 120.6+5*3e-4, 31.3, 1e-4, 99)))
	counting.geometries = 0
	mu.Lock()
	view = &city.View{Key: "all", Store: counting, Index: newScan(t, s, 2, nil)}
	mu.Unlock()
	after := walk(t, h, "buildings")
	changed := 0
	for name, a := range after {
		b, ok := before[name]
		if !ok {
			t.Errorf("%s is new", name)
			continue
		}
		has := false
		for _, id := range readGLB(t, a.body).strings["id"] {
			has = has || id == "p5"
		}
		if same := a.Header.Get("ETag") == b.Header.Get("ETag"); same && has {
			t.Errorf("%s has the changed object and its ETag of before", name)
		} else if !same {
			changed++
			if string(a.body) == string(b.body) {
				t.Errorf("%s: another ETag for the same bytes", name)
			}
		} else if string(a.body) != string(b.body) {
			t.Errorf("%s: the same ETag for other bytes", name)
		}
	}
	if changed == 0 || changed > 5 || counting.geometries != changed {
		t.Errorf("%d of %d contents changed, %d were built", changed, len(after), counting.geometries)
	}
	// A fresh hub on the same store gives the same ETags.
	fresh := newTilesets(t, Options{Gate: gate, TileObjects: 10})
	for name, a := range walk(t, fresh, "buildings") {
		if a.Header.Get("ETag") != after[name].Header.Get("ETag") || string(a.body) != string(after[name].body) {
			t.Errorf("%s differs after a restart", name)
		}
	}
}

// counter counts the pages with geometries.
type counter struct {
	store.Reader
	geometries int
}

func TestHTTP(t *testing.T) {
	s := openStore(t)
	put(t, s, "a", true, these(field("p", 4, 120.6, 31.3)...))
	h, _ := served(t, s, Options{BaseURL: func(*http.Request) string { return "https://hub.example" }})
	var name string
	for n := range walk(t, h, "buildings") {
		name = n
	}
	plain := get(t, h, "GET", name)
	etag := plain.Header.Get("ETag")
	if plain.Header.Get("Cache-Control") != "private, max-age=60" || !strings.Contains(plain.Header.Get("Vary"), "Authorization, Cookie") || plain.Header.Get("Content-Encoding") != "" || etag == "" {
		t.Errorf("headers %v", plain.Header)
	}
	z := get(t, h, "GET", name, "Accept-Encoding", "br, gzip;q=0.8")
	if z.Header.Get("Content-Encoding") != "gzip" || z.Header.Get("ETag") == etag {
		t.Errorf("headers with gzip %v", z.Header)
	}
	r, err := gzip.NewReader(strings.NewReader(string(z.body)))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != string(plain.body) {
		t.Errorf("what gzip gives is not what comes without: %v", err)
	}
	for _, c := range []struct {
		method, url string
		header      []string
		status      int
	}{
		{"GET", name, []string{"If-None-Match", etag}, 304},
		{"GET", name, []string{"If-None-Match", `"x", W/` + etag}, 304},
		{"GET", name, []string{"If-None-Match", z.Header.Get("ETag"), "Accept-Encoding", "gzip"}, 304},
		{"GET", name, []string{"If-None-Match", `"x"`}, 200},
		{"GET", name, []string{"Accept-Encoding", "gzip;q=0"}, 200},
		{"HEAD", name, nil, 200},
		{"POST", name, nil, 405},
		{"GET", "/3dtiles", nil, 200},
		{"GET", "/3dtiles/", nil, 200},
		{"GET", "/3dtiles?f=xml", nil, 400},
		{"GET", "/3dtilesx", nil, 404},
		{"GET", "/3dtiles/nonsense/tileset.json", nil, 404},
		{"GET", "/3dtiles/buildings", nil, 404},
		{"GET", "/3dtiles/buildings/other.json", nil, 404},
		{"GET", "/3dtiles/buildings/9-1-1/content/0/0/0.glb", nil, 404},
		{"GET", "/3dtiles/buildings/9-1-1/content/0/0/0.png", nil, 404},
		{"GET", "/3dtiles/buildings/9-1/content/0/0/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/9-1-x/content/0/0/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/99-1-1/content/0/0/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/9-1-512/content/0/0/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/9-1-1/content/0/1/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/9-1-1/content/4294967295/1/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/9-1-1/content/-1/1/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/9-1-1/content/00/0/0.glb", nil, 400},
		{"GET", "/3dtiles/buildings/9-1-1/subtrees/1/0/0.subtree", nil, 404},
	} {
		a := get(t, h, c.method, c.url, c.header...)
		if a.StatusCode != c.status {
			t.Errorf("%s %s %v: %d, want %d: %s", c.method, c.url, c.header, a.StatusCode, c.status, a.body)
		}
		if (c.method == "HEAD" || c.status == 304) && len(a.body) > 0 {
			t.Errorf("%s %s: a body", c.method, c.url)
		}
		if c.status == 304 && a.Header.Get("ETag") == "" {
			t.Errorf("%s: 304 without ETag", c.url)
		}
	}
	if a := get(t, h, "HEAD", name); a.Header.Get("Content-Length") != fmt.Sprint(len(plain.body)) {
		t.Errorf("HEAD: length %s, want %d", a.Header.Get("Content-Length"), len(plain.body))
	}
	var list struct {
		Tilesets []struct {
			ID, Href string
			Objects  int
		}
	}
	if err := json.Unmarshal(get(t, h, "GET", "/3dtiles").body, &list); err != nil || len(list.Tilesets) != len(city.Collections()) || list.Tilesets[0].Objects != 16 || list.Tilesets[0].Href != "https://hub.example/3dtiles/buildings/tileset.json" {
		t.Errorf("list %+v, %v", list, err)
	}
	if a := get(t, h, "GET", "/3dtiles", "Accept", "text/html"); !strings.Contains(string(a.body), "建筑") || !strings.Contains(string(a.body), "Underground space") || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("page: %s", a.body)
	}
}

// TestRights: what a caller may not see is in none of its tiles, and tiles of
// one caller are not given to another.
func TestRights(t *testing.T) {
	s := openStore(t)
	put(t, s, "open", true, these(field("o", 4, 120.6, 31.3)...))
	put(t, s, "secret", true, these(field("s", 4, 120.60015, 31.30015)...))
	all := viewOf(t, s, "all", 1)
	some := &city.View{Key: "open", Store: only{s, []string{"open"}}, Index: newScan(t, s, 1, func(v *store.Version) bool { return v.Dataset == "open" })}
	h := newTilesets(t, Options{Gate: gateFunc(func(r *http.Request) (*city.View, error) {
		switch r.Header.Get("Authorization") {
		case "all":
			return all, nil
		case "none":
			return nil, &city.Error{Code: city.Unauthorized, Message: "who are you?"}
		}
		return some, nil
	})})
	if n := len(idsOf(t, walk(t, as{h, "all"}, "buildings"))); n != 32 {
		t.Errorf("%d objects for who sees all", n)
	}
	seen := idsOf(t, walk(t, h, "buildings"))
	for id := range seen {
		if id[0] == 's' {
			t.Errorf("%s is shown", id)
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d objects", len(seen))
	}
	if a := get(t, h, "GET", "/3dtiles", "Authorization", "none"); a.StatusCode != 401 {
		t.Errorf("no rights: %d", a.StatusCode)
	}
}

// as makes requests with an Authorization.
type as struct {
	http.Handler
	who string
}

func (a as) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Set("Authorization", a.who)
	a.Handler.ServeHTTP(w, r)
}

func FuzzAddress(f *testing.F) {
	f.Add("9-427-300", "content", "3", "1", "2.glb")
	f.Add("2-0-1", "subtrees", "0", "0", "0.subtree")
	f.Add("22-4194303-4194303", "content", "1", "0", "0.glb")
	f.Fuzz(func(t *testing.T, root, kind, level, x, y string) {
		c, err := parseAddress([]string{root, kind, level, x, y})
		if err != nil {
			return
		}
		if c.level < minLevel || c.level > maxLevel || c.x >= 1<<c.level || c.y >= 1<<c.level {
			t.Fatalf("cell %v", c)
		}
		if back := cellOf(c.morton()<<(2*(maxLevel-c.level)), c.level); back != c {
			t.Fatalf("cell %v by its code is %v", c, back)
		}
	})
}
