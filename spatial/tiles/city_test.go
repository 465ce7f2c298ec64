package tiles

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"go.uber.org/goleak"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gridIndex is an index.View over objects in a grid of equal cells, by size.
type gridIndex struct {
	version uint64
	objects []index.Object
	shapes  []orb.Geometry
	cells   map[[2]int32][]index.Ref // of what is smaller than a cell
	large   []index.Ref
	sizes   map[[2]int32]float64 // of the largest in the cell
	at      map[int64]index.Ref
}

const gridDegrees = 0.01

func newGrid(version uint64) *gridIndex {
	return &gridIndex{version: version, cells: map[[2]int32][]index.Ref{}, sizes: map[[2]int32]float64{}, at: map[int64]index.Ref{}}
}

func (g *gridIndex) add(o index.Object, s orb.Geometry) {
	r := index.Ref(len(g.objects))
	g.objects = append(g.objects, o)
	g.shapes = append(g.shapes, s)
	g.at[o.Position] = r
	size := max(o.Bound.Max[0]-o.Bound.Min[0], o.Bound.Max[1]-o.Bound.Min[1])
	if size > gridDegrees {
		g.large = append(g.large, r)
		return
	}
	c := [2]int32{int32(math.Floor(o.Bound.Min[0] / gridDegrees)), int32(math.Floor(o.Bound.Min[1] / gridDegrees))}
	g.cells[c] = append(g.cells[c], r)
	if _, point := s.(orb.Point); point {
		size = math.Inf(1)
	}
	g.sizes[c] = max(g.sizes[c], size)
}

func (g *gridIndex) Version() uint64                 { return g.version }
func (g *gridIndex) Len() int                        { return len(g.objects) }
func (g *gridIndex) Object(r index.Ref) index.Object { return g.objects[r] }
func (g *gridIndex) Footprint(r index.Ref) orb.Geometry {
	if g.shapes[r] == nil {
		return nil
	}
	return orb.Clone(g.shapes[r])
}

func (g *gridIndex) At(p int64) (index.Ref, bool) { r, ok := g.at[p]; return r, ok }

func (g *gridIndex) Find(k store.Key) (index.Ref, bool) {
	for i, o := range g.objects {
		if o.Key == k {
			return index.Ref(i), true
		}
	}
	return 0, false
}

func (g *gridIndex) Search(b orb.Bound, o index.Options, fn func(index.Ref) bool) {
	try := func(r index.Ref) bool {
		x := &g.objects[r]
		w, h := x.Bound.Max[0]-x.Bound.Min[0], x.Bound.Max[1]-x.Bound.Min[1]
		if _, point := g.shapes[r].(orb.Point); !point && w < o.MinSizeDegrees && h < o.MinSizeDegrees {
			return true
		}
		if !x.Bound.Intersects(b) || o.Classes != nil && !slices.Contains(o.Classes, x.Class) ||
			o.Type != "" && x.Type != o.Type || o.Dataset != "" && x.Key.Dataset != o.Dataset {
			return true
		}
		return fn(r)
	}
	for _, r := range g.large {
		if !try(r) {
			return
		}
	}
	x0, y0 := int32(math.Floor(b.Min[0]/gridDegrees))-1, int32(math.Floor(b.Min[1]/gridDegrees))-1
	x1, y1 := int32(math.Floor(b.Max[0]/gridDegrees)), int32(math.Floor(b.Max[1]/gridDegrees))
	visit := func(c [2]int32) bool {
		if g.sizes[c] < o.MinSizeDegrees {
			return true
		}
		for _, r := range g.cells[c] {
			if !try(r) {
				return false
			}
		}
		return true
	}
	if int64(x1-x0)*int64(y1-y0) > int64(len(g.cells)) {
		for c := range g.cells {
			if c[0] >= x0 && c[0] <= x1 && c[1] >= y0 && c[1] <= y1 && !visit(c) {
				return
			}
		}
		return
	}
	for x := x0; x <= x1; x++ {
		for y := y0; y <= y1; y++ {
			if !visit([2]int32{x, y}) {
				return
			}
		}
	}
}

func (g *gridIndex) Containing(float64, float64, index.Options, func(index.Ref) bool) {
	panic("tiles do not ask this")
}

func (g *gridIndex) Meeting(orb.Geometry, float64, index.Options, func(index.Ref, float64) bool) {
	panic("tiles do not ask this")
}

func (g *gridIndex) Nearest(orb.Geometry, float64, int, index.Options) []index.Near {
	panic("tiles do not ask this")
}

// load fills a grid with what is valid now in a store, less the data sets in hide.
func load(t testing.TB, s store.Reader, version uint64, hide ...string) *gridIndex {
	t.Helper()
	g := newGrid(version)
	for _, class := range append(spatial.Classes(), "") {
		q := store.Query{Class: class, Limit: store.MaxLimit}
		for {
			p, err := s.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range p.Versions {
				f := footprint(v.Footprint)
				if f == nil || slices.Contains(hide, v.Dataset) {
					continue
				}
				g.add(objectOf(v, f.Bound()), f)
			}
			if p.Next == 0 {
				break
			}
			q.After = p.Next
		}
	}
	return g
}

// readings is a city.Observed over values in memory.
type readings struct {
	properties []city.Property
	terminals  []*city.Terminal
	values     map[int64][]city.Reading // by Datastream, in order of time
}

func (o *readings) Properties(context.Context) ([]city.Property, error) { return o.properties, nil }

func (o *readings) Datastreams(context.Context, city.Select) ([]*city.Datastream, error) {
	return nil, errors.New("tiles do not ask this")
}

func (o *readings) Terminals(_ context.Context, s city.Select, after int64, limit int) ([]*city.Terminal, error) {
	var list []*city.Terminal
	for _, t := range o.terminals {
		if t.ID > after && len(list) < limit && (s.Bound == nil || s.Bound.Contains(orb.Point{t.Lon, t.Lat})) {
			list = append(list, t)
		}
	}
	return list, nil
}

func (o *readings) On(_ context.Context, position int64, dst []*city.Datastream) []*city.Datastream {
	for _, t := range o.terminals {
		for _, ds := range t.Datastreams {
			if ds.Position == position {
				dst = append(dst, ds)
			}
		}
	}
	return dst
}

func (o *readings) Objects(_ context.Context, property string) ([]int64, error) {
	var list []int64
	for _, t := range o.terminals {
		for _, ds := range t.Datastreams {
			if ds.Position != 0 && (property == "" || ds.Property == property) {
				list = append(list, ds.Position)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func (o *readings) Latest(ds *city.Datastream) (city.Reading, bool) {
	v := o.values[ds.ID]
	if len(v) == 0 {
		return city.Reading{}, false
	}
	return v[len(v)-1], true
}

func (o *readings) LatestAt(_ context.Context, ds *city.Datastream, at time.Time) (city.Reading, bool, error) {
	v := o.values[ds.ID]
	i := sort.Search(len(v), func(i int) bool { return v[i].Time.After(at) })
	if i == 0 {
		return city.Reading{}, false, nil
	}
	return v[i-1], true, nil
}

func (o *readings) Range(context.Context, *city.Datastream, time.Time, time.Time, func(city.Reading) bool) error {
	return errors.New("tiles do not ask this")
}

// gate shows what the header "As" names, else the view "".
type gate struct {
	mu    sync.Mutex
	views map[string]*city.View
}

func (g *gate) City(r *http.Request) (*city.View, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.views[r.Header.Get("As")]
	if v == nil {
		return nil, &city.Error{Code: city.Forbidden, Message: "nobody by that name"}
	}
	return v, nil
}

// status is how the tests show errors.
func status(w http.ResponseWriter, _ *http.Request, err error) {
	code := http.StatusInternalServerError
	var ce *city.Error
	if errors.As(err, &ce) {
		code = map[city.Code]int{city.Invalid: 400, city.NotFound: 404, city.Forbidden: 403, city.NotAcceptable: 406, city.Unavailable: 503}[ce.Code]
	}
	var qe interface{ Error() string }
	if code == http.StatusInternalServerError && errors.As(err, &qe) && len(qe.Error()) > 5 && qe.Error()[:5] == "cql2:" {
		code = http.StatusBadRequest
	}
	http.Error(w, err.Error(), code)
}

func handlerOf(t testing.TB, g city.Gate, change func(*Options)) http.Handler {
	t.Helper()
	o := Options{Gate: g, Problem: status, BaseURL: func(*http.Request) string { return "http://hub.test" }}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// suzhou is a store with the 8 242 footprints of the old town and the districts.
func suzhou(t testing.TB) *gpkg.Store {
	t.Helper()
	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, in := range []struct {
		folder, file, dataset string
		class                 spatial.Class
	}{
		{"suzhou-oldtown-osm-buildings", "suzhou_buildings.geojson", "osm", spatial.ClassBuilding},
		{"suzhou-boundary-npm", "suzhou-districts.geojson", "districts", ""},
	} {
		path := filepath.Join(testkit.DataDir(t, in.folder), in.file)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		r, err := geojson.Open(f, info.Size(), geojson.Options{Options: citymodel.Options{File: in.file, Class: in.class}})
		if err != nil {
			t.Fatal(err)
		}
		objects := r.Objects()
		if in.dataset == "districts" {
			inner := objects
			objects = func(yield func(*spatial.CityObject, error) bool) {
				inner(func(o *spatial.CityObject, err error) bool {
					if o != nil {
						o.Type = city.TypeDistrict
					}
					return yield(o, err)
				})
			}
		}
		if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: in.dataset, Complete: true}, objects); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	return s
}
