package features

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/cql2"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
	"cityhub/spatial/store/storetest"
)

// town is a city in a GeoPackage with what is observed in it, and who sees it.
type town struct {
	http.Handler
	t        testing.TB
	store    *gpkg.Store
	observed *watch
	now      time.Time
	edit     bool
	hidden   string // a data set that the caller does not see
}

// watch is what a test observes.
type watch struct {
	props     []city.Property
	terminals []*city.Terminal
	readings  map[int64][]city.Reading // by Datastream, in order of time
}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{t: t, now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), observed: &watch{readings: map[int64][]city.Reading{}}}
	var err error
	if w.store, err = gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg"), Clock: func() time.Time { return w.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	w.Handler, err = New(Options{
		Gate: w, Clock: func() time.Time { return w.now }, NewID: func() string { return "new" },
		BaseURL: func(r *http.Request) string { return "http://" + r.Host },
		Problem: func(rw http.ResponseWriter, _ *http.Request, err error) {
			status := http.StatusInternalServerError
			var ce *city.Error
			var se *store.Error
			var qe *cql2.Error
			field, hint := "", ""
			switch {
			case errors.As(err, &ce):
				field, hint = ce.Field, ce.Hint
				status = map[city.Code]int{city.Invalid: 400, city.NotFound: 404, city.Conflict: 409, city.Unauthorized: 401, city.Forbidden: 403, city.TooLarge: 413, city.Unavailable: 503, city.NotAcceptable: 406}[ce.Code]
			case errors.As(err, &qe):
				status = 400
			case errors.As(err, &se):
				status = map[store.Code]int{store.Invalid: 400, store.NotFound: 404}[se.Code]
			}
			rw.Header().Set("Content-Type", "application/problem+json")
			rw.WriteHeader(status)
			_ = json.NewEncoder(rw).Encode(map[string]any{"status": status, "detail": err.Error(), "field": field, "hint": hint})
		},
		Extensions: []Extension{{
			Conformance: []string{"http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/core"},
			Landing:     []Link{{Href: "/ogc/tiles", Rel: "tiles"}},
			Collection:  func(id string) []Link { return []Link{{Href: "/ogc/collections/" + id + "/tiles", Rel: "tiles"}} },
			OpenAPI:     map[string]any{"/tiles": map[string]any{}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// City is the test's gate.
func (w *town) City(r *http.Request) (*city.View, error) {
	v := &city.View{Key: "all", Store: w.store, Observed: w.observed}
	if w.hidden != "" {
		v.Key, v.Store = "without "+w.hidden, hiding{w.store, w.hidden}
	}
	if w.edit {
		v.Edit = editor{w.store}
	}
	return v, nil
}

// hiding shows the city without one data set.
type hiding struct {
	store.Reader
	dataset string
}

func (h hiding) Get(ctx context.Context, k store.Key, at time.Time) (*store.Version, error) {
	if k.Dataset == h.dataset {
		return nil, &store.Error{Code: store.NotFound, Op: "get"}
	}
	return h.Reader.Get(ctx, k, at)
}

func (h hiding) Query(ctx context.Context, q store.Query) (store.Page, error) {
	keep := q.Keep
	q.Keep = func(v *store.Version) (bool, error) {
		if v.Dataset == h.dataset || keep == nil {
			return v.Dataset != h.dataset, nil
		}
		return keep(v)
	}
	return h.Reader.Query(ctx, q)
}

func (h hiding) Count(ctx context.Context, q store.Query) (int64, error) {
	q.Keep = func(v *store.Version) (bool, error) { return v.Dataset != h.dataset, nil }
	return h.Reader.Count(ctx, q)
}

type editor struct{ s *gpkg.Store }

func (e editor) Put(ctx context.Context, dataset string, objects []*spatial.CityObject) (store.ImportResult, error) {
	return e.s.Import(ctx, store.ImportOptions{Dataset: dataset}, storetest.Objects(objects...))
}

func (e editor) Delete(ctx context.Context, dataset string, ids []string) (store.ImportResult, error) {
	var rest []*spatial.CityObject
	for _, class := range append(spatial.Classes(), "") {
		page, err := e.s.Query(ctx, store.Query{Class: class, Dataset: dataset, Geometries: true, Limit: store.MaxLimit})
		if err != nil {
			return store.ImportResult{}, err
		}
		for _, v := range page.Versions {
			if !slices.Contains(ids, v.Object.ID) {
				rest = append(rest, &v.Object)
			}
		}
	}
	return e.s.Import(ctx, store.ImportOptions{Dataset: dataset, Complete: true}, storetest.Objects(rest...))
}

func (w *watch) Properties(context.Context) ([]city.Property, error) { return w.props, nil }

func (w *watch) each(s city.Select, fn func(*city.Terminal, *city.Datastream)) {
	for _, t := range w.terminals {
		if s.Terminal != "" && t.Code != s.Terminal || s.Domain != "" && t.Domain != s.Domain || s.District != "" && t.District != s.District {
			continue
		}
		if s.Bound != nil && !(t.Lon >= s.Bound.Min[0] && t.Lon <= s.Bound.Max[0] && t.Lat >= s.Bound.Min[1] && t.Lat <= s.Bound.Max[1]) {
			continue
		}
		for _, ds := range t.Datastreams {
			fn(t, ds)
		}
	}
}

func (w *watch) Datastreams(_ context.Context, s city.Select) (list []*city.Datastream, err error) {
	w.each(s, func(_ *city.Terminal, ds *city.Datastream) { list = append(list, ds) })
	return list, nil
}

func (w *watch) Terminals(_ context.Context, s city.Select, after int64, limit int) (list []*city.Terminal, err error) {
	w.each(s, func(t *city.Terminal, _ *city.Datastream) {
		if t.ID > after && len(list) < limit && (len(list) == 0 || list[len(list)-1] != t) {
			list = append(list, t)
		}
	})
	return list, nil
}

func (w *watch) On(_ context.Context, position int64, dst []*city.Datastream) []*city.Datastream {
	w.each(city.Select{}, func(_ *city.Terminal, ds *city.Datastream) {
		if ds.Position == position {
			dst = append(dst, ds)
		}
	})
	return dst
}

func (w *watch) Objects(_ context.Context, property string) (list []int64, err error) {
	w.each(city.Select{}, func(_ *city.Terminal, ds *city.Datastream) {
		if ds.Position != 0 && (property == "" || ds.Property == property) {
			list = append(list, ds.Position)
		}
	})
	slices.Sort(list)
	return slices.Compact(list), nil
}

func (w *watch) Latest(ds *city.Datastream) (city.Reading, bool) {
	r := w.readings[ds.ID]
	if len(r) == 0 {
		return city.Reading{}, false
	}
	return r[len(r)-1], true
}

func (w *watch) LatestAt(_ context.Context, ds *city.Datastream, at time.Time) (city.Reading, bool, error) {
	list := w.readings[ds.ID]
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].Time.After(at) {
			return list[i], true, nil
		}
	}
	return city.Reading{}, false, nil
}

func (w *watch) Range(context.Context, *city.Datastream, time.Time, time.Time, func(city.Reading) bool) error {
	return errors.New("features reads no ranges")
}

// put stores objects.
func (w *town) put(dataset string, objects ...*spatial.CityObject) {
	w.t.Helper()
	if _, err := w.store.Import(w.t.Context(), store.ImportOptions{Dataset: dataset}, storetest.Objects(objects...)); err != nil {
		w.t.Fatal(err)
	}
}

// position is where an object stands in the order of the store.
func (w *town) position(dataset, id string) int64 {
	w.t.Helper()
	v, err := w.store.Get(w.t.Context(), store.Key{Dataset: dataset, ID: id}, time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Position
}

// oldTown puts the 8 242 buildings of Suzhou's old town into it.
func (w *town) oldTown() {
	w.t.Helper()
	path := filepath.Join(testkit.DataDir(w.t, "suzhou-oldtown-osm-buildings"), "suzhou_buildings.geojson")
	f, err := os.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := geojson.Open(f, info.Size(), geojson.Options{Options: citymodel.Options{File: "suzhou_buildings.geojson", Class: spatial.ClassBuilding}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Import(w.t.Context(), store.ImportOptions{Dataset: "osm"}, r.Objects()); err != nil {
		w.t.Fatal(err)
	}
}

// square is an object with a square footprint of a thousandth of a degree.
func square(id string, class spatial.Class, lon, lat float64) *spatial.CityObject {
	const d = 0.001
	return &spatial.CityObject{ID: id, Class: class, Name: "名" + id, CRS: crs.EPSG(4326), Geometries: []spatial.Geometry{{
		Kind: spatial.MultiSurface, LoD: "0", XYZ: []float64{lon, lat, 0, lon + d, lat, 0, lon + d, lat + d, 0, lon, lat + d, 0}, Rings: []int32{4}, Surfaces: []int32{1}}}}
}

// village is some objects of every kind, with two terminals that observe on them.
func village(t testing.TB) *town {
	w := newTown(t)
	for i := range 12 {
		o := square(fmt.Sprintf("way/%d", i), spatial.ClassBuilding, 120.6+0.002*float64(i), 31.3)
		o.Height = spatial.Height{Metres: float64(3 * (i + 1)), From: "height"}
		o.Attributes = spatial.Attributes{{Name: "height", Value: spatial.IntValue(int64(3 * (i + 1)))}, {Name: "use", Value: spatial.TextValue([]string{"home", "shop"}[i%2])},
			{Name: "storeys", Value: spatial.IntValue(int64(i + 1))}, {Name: "listed", Value: spatial.BoolValue(i == 3)}, {Name: "class", Value: spatial.TextValue("A")}, {Name: "tags", Value: spatial.JSONValue(`["a",1]`)}}
		w.put("osm", o)
	}
	road := &spatial.CityObject{ID: "人民路", Class: spatial.ClassRoad, Type: "Road", Name: "人民路", CRS: crs.EPSG(4326), Geometries: []spatial.Geometry{{Kind: spatial.MultiLine, Rings: []int32{3}, XYZ: []float64{120.6, 31.29, 0, 120.61, 31.3, 0, 120.62, 31.3, 0}}}}
	w.put("roads", road)
	district := square("320508", "", 120.6, 31.3)
	district.Type = city.TypeDistrict
	w.put("admin", district, square("field", "", 120.7, 31.4), &spatial.CityObject{ID: "bare", CRS: crs.EPSG(4326)})
	secret := square("bunker", spatial.ClassUnderground, 120.65, 31.35)
	w.put("secret", secret)

	height := 12.5
	w.observed.props = []city.Property{{Name: "pm25", Title: "细颗粒物", TitleEn: "PM2.5", UnitCode: "ug/m3", UnitSymbol: "µg/m³"}, {Name: "door", Title: "门", TitleEn: "Door", Text: true}}
	stream := func(id int64, prop string, pos int64) *city.Datastream {
		return &city.Datastream{ID: id, Name: fmt.Sprintf("ds%d", id), Terminal: "T", TerminalName: "终端", TerminalNameEn: "Terminal", Property: prop, UnitCode: map[string]string{"pm25": "ug/m3"}[prop], UnitSymbol: map[string]string{"pm25": "µg/m³"}[prop], Dataset: "air", Domain: "environment", Text: prop == "door", Position: pos}
	}
	w.observed.terminals = []*city.Terminal{
		{ID: 3, Code: "AQ-1", Name: "空气一号", NameEn: "Air one", Domain: "environment", District: "320508", State: "online", Lon: 120.6005, Lat: 31.3005, HeightMetres: &height, Datastreams: []*city.Datastream{stream(1, "pm25", w.position("osm", "way/0")), stream(2, "pm25", w.position("osm", "way/0")), stream(3, "door", w.position("osm", "way/1"))}},
		{ID: 7, Code: "AQ/2", Name: "空气二号", NameEn: "Air two", Domain: "environment", State: "offline", Lon: math.NaN(), Lat: math.NaN(), Datastreams: []*city.Datastream{stream(4, "pm25", w.position("roads", "人民路")), stream(5, "pm25", 0)}},
	}
	ago := func(d time.Duration) time.Time { return w.now.Add(-d) }
	w.observed.readings = map[int64][]city.Reading{
		1: {{Time: ago(3 * time.Hour), Value: 10, Quality: "good"}, {Time: ago(time.Hour), Value: 80, Quality: "good"}},
		2: {{Time: ago(time.Minute), Value: 500, Quality: "suspect"}},
		3: {{Time: ago(time.Minute), Text: "open", Quality: "good"}},
		4: {{Time: ago(10 * time.Minute), Value: 42.5, Quality: "not-evaluated"}},
	}
	return w
}

// ask makes a request.
func (w *town) ask(method, path string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	body := ""
	if len(header)%2 == 1 {
		body = header[len(header)-1]
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec
}

// get is the JSON at a path, which must be there.
func (w *town) get(path string) map[string]any {
	w.t.Helper()
	rec := w.ask("GET", path)
	if rec.Code != 200 {
		w.t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return decode(w.t, rec.Body.Bytes())
}

func decode(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// at walks down a document by names and indexes.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// ids are those of the features of a collection.
func ids(doc map[string]any) []string {
	list := []string{}
	features, _ := doc["features"].([]any)
	for _, f := range features {
		list = append(list, at(f, "id").(string))
	}
	return list
}

// link is the href of the first link with a relation.
func link(doc any, rel string) string {
	list, _ := at(doc, "links").([]any)
	for _, l := range list {
		if at(l, "rel") == rel {
			return at(l, "href").(string)
		}
	}
	return ""
}
