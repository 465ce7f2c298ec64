package features

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// linear is an index by looking at everything.
type linear struct {
	index.View
	list []index.Object
}

func (l linear) Version() uint64                 { return uint64(len(l.list)) }
func (l linear) Len() int                        { return len(l.list) }
func (l linear) Object(r index.Ref) index.Object { return l.list[r] }

func (l linear) Search(b orb.Bound, o index.Options, fn func(index.Ref) bool) {
	for i, x := range l.list {
		if (o.Classes == nil || slices.Contains(o.Classes, x.Class)) && b.Intersects(x.Bound) && !fn(index.Ref(i)) {
			return
		}
	}
}

// Whether a search begins with the box or with what is observed, with values or
// with objects, the answer is the same, on every page.
func TestWays(t *testing.T) {
	w := village(t)
	var list []*spatial.CityObject
	for i := range 600 {
		list = append(list, square(fmt.Sprint(i), []spatial.Class{spatial.ClassBuilding, spatial.ClassRoad, ""}[i%3], 121+0.002*float64(i%30), 31+0.002*float64(i/30)))
	}
	w.put("grid", list...)
	l := linear{}
	for _, class := range append(spatial.Classes(), "") {
		page, err := w.store.Query(t.Context(), store.Query{Class: class, Limit: store.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			x := index.Object{Position: v.Position, Class: v.Object.Class}
			if v.Footprint != nil {
				b := v.Footprint.Bounds()
				x.Bound = orb.Bound{Min: orb.Point{b.Min[0], b.Min[1]}, Max: orb.Point{b.Max[0], b.Max[1]}}
			}
			l.list = append(l.list, x)
			if v.Dataset != "grid" || v.Position%4 == 0 {
				continue
			}
			ds := &city.Datastream{ID: 1000 + v.Position, Property: "pm25", Position: v.Position}
			w.observed.terminals = append(w.observed.terminals, &city.Terminal{ID: ds.ID, Code: fmt.Sprint(ds.ID), Datastreams: []*city.Datastream{ds}})
			w.observed.readings[ds.ID] = []city.Reading{{Time: w.now, Value: float64(v.Position % 100), Quality: "good"}}
		}
	}
	all := func(gate city.Gate, query string) []string {
		w.Handler.(*handler).o.Gate = gate
		var got []string
		path := "/ogc/collections/" + query
		for n := 0; path != ""; n++ {
			doc := w.get(path)
			if n > 100 || n > 0 && len(ids(doc)) == 0 {
				t.Fatalf("%s: page %d is empty", query, n)
			}
			got = append(got, ids(doc)...)
			path = strings.TrimPrefix(link(doc, "next"), "http://example.com")
		}
		return got
	}
	box := "&bbox=121.0105,31.0105,121.0205,31.0145"
	for _, q := range []string{"live/items?limit=3" + box, "live/items?limit=7&filter=" + url.QueryEscape("pm25 > 50") + box, "buildings/items?limit=2&filter=" + url.QueryEscape("pm25 > 20 AND pm25_quality = 'good' AND dataset = 'grid'") + box,
		"live/items?limit=50&filter=" + url.QueryEscape("pm25 > 90"), "live/items?limit=5&filter=" + url.QueryEscape("pm25 > 50 AND class = 'road'") + box} {
		want := all(w, q)
		got := all(withIndex{w, l}, q)
		if len(want) < 2 || !slices.Equal(got, want) {
			t.Errorf("%s: with the index %v, without %v", q, got, want)
		}
	}
	c := &call{h: w.Handler.(*handler), view: &city.View{Index: l}}
	sel := &selection{classes: spatial.Classes(), positions: make([]int64, 300), q: store.Query{BBox: &store.BBox{West: 121.0105, South: 31.0105, East: 121.0205, North: 31.0145}}}
	for i := range sel.positions {
		sel.positions[i] = int64(2 * i) // the even ones
	}
	in := 0
	l.Search(orb.Bound{Min: orb.Point{121.0105, 31.0105}, Max: orb.Point{121.0205, 31.0145}}, index.Options{Classes: spatial.Classes()}, func(ref index.Ref) bool {
		if p := l.Object(ref).Position; p%2 == 0 && p < 600 {
			in++
		}
		return true
	})
	if !c.narrow(sel) || len(sel.positions) != in || in == 0 {
		t.Errorf("of 300 positions %d are thought to be in a box that has %d", len(sel.positions), in)
	}
	sel.positions, sel.q.At = make([]int64, 300), time.Now()
	if c.narrow(sel) {
		t.Error("of the past, a dozen objects in a box are more work than 300 positions")
	}
	sel.q.At, sel.q.BBox = time.Time{}, &store.BBox{West: 120, South: 30, East: 122, North: 32}
	if !c.narrow(sel) || len(sel.positions) != 300 {
		t.Error("a box with more objects than there are positions narrowed them")
	}
}

// withIndex is the same town with an index.
type withIndex struct {
	*town
	l linear
}

func (g withIndex) City(r *http.Request) (*city.View, error) {
	v, err := g.town.City(r)
	v.Key, v.Index = "indexed", g.l
	return v, err
}

// What people see: pages in both languages that run no script, load nothing and
// show what is stored as text.
func TestPages(t *testing.T) {
	w := village(t)
	evil := square(`"><script>alert(1)</script>`, spatial.ClassBuilding, 120.61, 31.32)
	evil.Name = `<img src=x onerror=alert(1)>`
	evil.Attributes = spatial.Attributes{{Name: "<b>", Value: spatial.TextValue("javascript:alert(1)")}}
	w.put("osm", evil)
	id := string(appendID(nil, store.Key{Dataset: "osm", ID: evil.ID}))
	for path, want := range map[string][]string{
		"/ogc": {"城市信息模型", "建筑", "/ogc/collections/live"}, "/ogc/conformance": {"遵循的标准", "cql2-text"}, "/ogc/collections": {"数据集合", "终端"}, "/ogc/api": {"接口文档", "/collections/buildings/items/{featureId}", "filter-lang"},
		"/ogc/collections/buildings": {"120.600000, 31.300000", "EPSG:4549"}, "/ogc/collections/buildings/queryables": {"storeys", "可查询属性"},
		"/ogc/collections/buildings/items": {"osm:way~2F3", "<svg", "&lt;img"}, "/ogc/collections/buildings/items?limit=2": {`rel="next"`}, "/ogc/collections/buildings/items?filter=&bbox=": {"osm:way~2F3"},
		"/ogc/collections/buildings/items/" + url.PathEscape(id): {"&lt;b&gt;", "&lt;img"}, "/ogc/collections/live/items": {"80 µg/m³"}, "/ogc/collections/live/items/osm:way~2F0": {"80 µg/m³", "good"}, "/ogc/collections/terminals/items": {"AQ/2", "<circle"}, "/ogc/collections/terminals/items/AQ-1": {"空气一号", "80 µg/m³"},
	} {
		for _, lang := range []string{"zh-CN", "en"} {
			rec := w.ask("GET", path, "Accept", "text/html", "Accept-Language", lang)
			body := rec.Body.String()
			if rec.Code != 200 || !strings.Contains(body, `<html lang="`+lang+`">`) || rec.Header().Get("Content-Security-Policy") != contentSecurity {
				t.Fatalf("%s: %d %v", path, rec.Code, rec.Header())
			}
			for _, s := range want {
				if lang == "zh-CN" && !strings.Contains(body, s) {
					t.Errorf("%s does not say %q", path, s)
				}
			}
			for _, s := range []string{"<script", " style=", "onerror=alert(1)>", "href=\"javascript:", "src="} {
				if strings.Contains(strings.ReplaceAll(body, "&lt;img src=x", ""), s) {
					t.Errorf("%s has %q", path, s)
				}
			}
			if lang == "en" && strings.ContainsAny(strings.NewReplacer("中文", "", "空气一号", "", "空气二号", "", "人民路", "", "名", "", "终端", "").Replace(body), "城市数据集合查询属性要素接口标准格式筛选范围") && !strings.Contains(path, "items") {
				t.Errorf("%s in English has Chinese", path)
			}
		}
	}
	rec := w.ask("GET", "/ogc/assets/style.css")
	if css := rec.Body.String(); rec.Code != 200 || strings.Contains(css, "url(") || strings.Contains(css, "@import") || !strings.Contains(css, "prefers-color-scheme: dark") {
		t.Errorf("the style sheet: %d", rec.Code)
	}
}
