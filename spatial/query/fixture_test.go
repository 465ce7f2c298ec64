package query

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"github.com/peterstace/simplefeatures/geom"
	"go.uber.org/goleak"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/export"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scan is an index that looks at every object. Its distances are those of
// simplefeatures in a plane at the latitude asked about, and share nothing with
// those of this package.
type scan struct {
	objects    []index.Object
	footprints []orb.Geometry
}

// scanOf reads everything from a store.
func scanOf(t testing.TB, s store.Reader) *scan {
	t.Helper()
	ix := &scan{}
	for _, class := range append(spatial.Classes(), "") {
		q := store.Query{Class: class, Limit: store.MaxLimit, Geometries: true}
		for {
			page, err := s.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.Versions {
				o := index.Object{Position: v.Position, Key: store.Key{Dataset: v.Dataset, ID: v.Object.ID}, Class: class, Type: v.Object.Type, Name: v.Object.Name, LowMetres: math.NaN(), HighMetres: math.NaN(), Underground: class == spatial.ClassUnderground}
				g := export.Footprint(v.Footprint)
				if g != nil {
					o.Bound = g.Bound()
				}
				for i := range v.Object.Geometries {
					if b := v.Object.Geometries[i].Bounds(); v.Object.Geometries[i].HasZ {
						o.LowMetres, o.HighMetres = b.Min[2], b.Max[2]
					}
				}
				ix.objects, ix.footprints = append(ix.objects, o), append(ix.footprints, g)
			}
			if q.After = page.Next; q.After == 0 {
				break
			}
		}
	}
	return ix
}

func (s *scan) Version() uint64                    { return 1 }
func (s *scan) Len() int                           { return len(s.objects) }
func (s *scan) Object(r index.Ref) index.Object    { return s.objects[r] }
func (s *scan) Footprint(r index.Ref) orb.Geometry { return orb.Clone(s.footprints[r]) }
func (s *scan) Find(k store.Key) (index.Ref, bool) {
	return s.by(func(o *index.Object) bool { return o.Key == k })
}
func (s *scan) At(position int64) (index.Ref, bool) {
	return s.by(func(o *index.Object) bool { return o.Position == position })
}

func (s *scan) by(is func(*index.Object) bool) (index.Ref, bool) {
	for i := range s.objects {
		if is(&s.objects[i]) {
			return index.Ref(i), true
		}
	}
	return 0, false
}

func (s *scan) wanted(i int, o index.Options) bool {
	ob := &s.objects[i]
	return s.footprints[i] != nil && (o.Classes == nil || slices.Contains(o.Classes, ob.Class)) && (o.Type == "" || o.Type == ob.Type) && (o.Dataset == "" || o.Dataset == ob.Key.Dataset)
}

func (s *scan) Search(b orb.Bound, o index.Options, fn func(index.Ref) bool) {
	for i := range s.objects {
		if s.wanted(i, o) && s.objects[i].Bound.Intersects(b) && !fn(index.Ref(i)) {
			return
		}
	}
}

func (s *scan) Containing(lon, lat float64, o index.Options, fn func(index.Ref) bool) {
	s.Meeting(orb.Point{lon, lat}, 0, o, func(r index.Ref, _ float64) bool { return fn(r) })
}

// flatten is a geometry in metres from a place (equirectangular).
func flatten(g orb.Geometry, at orb.Point) geom.Geometry {
	const n, m = 6383600.0, 6352700.0 // radii of curvature at 31.3° north, WGS 84
	g = mapPoints(g, func(p orb.Point) orb.Point {
		return orb.Point{(p[0] - at[0]) * rad * n * math.Cos(at[1]*rad), (p[1] - at[1]) * rad * m}
	})
	switch g := g.(type) {
	case orb.Point:
		return geom.XY{X: g[0], Y: g[1]}.AsPoint().AsGeometry()
	case orb.LineString:
		return lineString(g).AsGeometry()
	case orb.MultiLineString:
		var all []geom.LineString
		for _, l := range g {
			all = append(all, lineString(l))
		}
		return geom.NewMultiLineString(all).AsGeometry()
	case orb.Polygon:
		return polygon(g)
	case orb.MultiPolygon:
		var all []geom.Polygon
		for _, p := range g {
			all = append(all, polygon(p).MustAsPolygon())
		}
		return geom.NewMultiPolygon(all).AsGeometry()
	}
	panic(g.GeoJSONType())
}

func lineString(l orb.LineString) geom.LineString {
	flat := []float64{}
	for _, p := range l {
		flat = append(flat, p[0], p[1])
	}
	return geom.NewLineString(geom.NewSequence(flat, geom.DimXY))
}

func (s *scan) Meeting(g orb.Geometry, metres float64, o index.Options, fn func(index.Ref, float64) bool) {
	at := g.Bound().Center()
	a := flatten(g, at)
	near := pad(g.Bound(), metres)
	for i := range s.objects {
		if !s.wanted(i, o) || !s.objects[i].Bound.Intersects(near) {
			continue
		}
		if d, ok := geom.Distance(a, flatten(s.footprints[i], at)); ok && d <= metres && !fn(index.Ref(i), d) {
			return
		}
	}
}

func (s *scan) Nearest(g orb.Geometry, most float64, k int, o index.Options) []index.Near {
	var all []index.Near
	s.Meeting(g, most, o, func(r index.Ref, m float64) bool {
		all = append(all, index.Near{Ref: r, Metres: m})
		return true
	})
	slices.SortStableFunc(all, func(a, b index.Near) int { return cmp.Compare(a.Metres, b.Metres) })
	return all[:min(k, len(all))]
}

// hourly is what was observed: by Datastream, in order of time.
type hourly struct {
	streams  []*city.Datastream
	readings map[int64][]city.Reading
	ranged   func() // called by Range
}

func (h *hourly) Properties(context.Context) ([]city.Property, error) { return nil, nil }

func (h *hourly) Datastreams(_ context.Context, s city.Select) ([]*city.Datastream, error) {
	var out []*city.Datastream
	for _, d := range h.streams {
		if (s.Property == "" || s.Property == d.Property) && (s.Terminal == "" || s.Terminal == d.Terminal) && (s.Dataset == "" || s.Dataset == d.Dataset) &&
			(s.Domain == "" || s.Domain == d.Domain) && (s.Bound == nil || s.Bound.Contains(orb.Point{d.Lon, d.Lat})) {
			out = append(out, d)
		}
	}
	return out, nil
}

func (h *hourly) Terminals(ctx context.Context, s city.Select, after int64, limit int) ([]*city.Terminal, error) {
	all, err := h.Datastreams(ctx, s)
	var out []*city.Terminal
	for _, d := range all {
		if d.ID > after && len(out) < limit {
			out = append(out, &city.Terminal{ID: d.ID, Code: d.Terminal, Name: d.TerminalName, Domain: d.Domain, State: "active", Lon: d.Lon, Lat: d.Lat, Datastreams: []*city.Datastream{d}})
		}
	}
	return out, err
}

func (h *hourly) On(_ context.Context, position int64, dst []*city.Datastream) []*city.Datastream {
	for _, d := range h.streams {
		if d.Position == position {
			dst = append(dst, d)
		}
	}
	return dst
}
func (h *hourly) Objects(context.Context, string) ([]int64, error) { return nil, nil }
func (h *hourly) Latest(ds *city.Datastream) (city.Reading, bool)  { return city.Reading{}, false }
func (h *hourly) LatestAt(context.Context, *city.Datastream, time.Time) (city.Reading, bool, error) {
	return city.Reading{}, false, nil
}

func (h *hourly) Range(ctx context.Context, ds *city.Datastream, from, to time.Time, fn func(city.Reading) bool) error {
	if h.ranged != nil {
		h.ranged()
	}
	list := h.readings[ds.ID]
	at, _ := slices.BinarySearchFunc(list, from, func(r city.Reading, t time.Time) int { return r.Time.Compare(t) })
	for _, r := range list[at:] {
		if !r.Time.Before(to) || !fn(r) {
			return nil
		}
	}
	return ctx.Err()
}

// stations are where the stations of the Beijing data stand, about (the data
// have no coordinates).
func stations() map[string]orb.Point {
	return map[string]orb.Point{
		"Aotizhongxin": {116.397, 39.982}, "Guanyuan": {116.339, 39.929}, "Dongsi": {116.417, 39.929}, "Tiantan": {116.407, 39.886},
	}
}

// beijing is the PM2.5 of some stations, read from the CSV files.
func beijing(t testing.TB) *hourly {
	t.Helper()
	dir := testkit.DataDir(t, "beijing-prsa")
	h := &hourly{readings: map[int64][]city.Reading{}}
	zone := time.FixedZone("", 8*3600)
	names := []string{"Aotizhongxin", "Guanyuan", "Dongsi", "Tiantan"}
	for i, name := range names {
		id := int64(i + 1)
		p := stations()[name]
		h.streams = append(h.streams, &city.Datastream{ID: id, Name: name, Terminal: name, TerminalName: name, Property: "pm25", UnitSymbol: "µg/m³", UnitCode: "ug/m3", Dataset: "prsa", Domain: "ecology", Lon: p[0], Lat: p[1]})
		f, err := os.Open(filepath.Join(dir, "PRSA_Data_"+name+"_20130301-20170228.csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(z)
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
		for {
			rec, err := r.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n := func(i int) int { v, _ := strconv.Atoi(rec[i]); return v }
			at := time.Date(n(1), time.Month(n(2)), n(3), n(4), 0, 0, 0, zone).UTC()
			v, err := strconv.ParseFloat(rec[5], 64)
			reading := city.Reading{Time: at, Value: v, Quality: "good"}
			if err != nil { // NA
				reading.Value, reading.Quality = math.NaN(), "missing"
			}
			h.readings[id] = append(h.readings[id], reading)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// shown is a gate that shows one View.
type shown struct{ view *city.View }

func (s shown) City(*http.Request) (*city.View, error) { return s.view, nil }

// object is an object with one geometry in WGS 84. Heights: none where low and
// high are equal.
func object(id string, class spatial.Class, g orb.Geometry, low, high float64, attributes ...spatial.Attribute) *spatial.CityObject {
	o := &spatial.CityObject{ID: id, Class: class, Name: "名 " + id, CRS: spatial.CRS{Horizontal: 4326, VerticalDatum: "1985 国家高程基准"}, Attributes: attributes}
	s := spatial.Geometry{HasZ: low != high}
	run := func(points []orb.Point, z float64) {
		for _, p := range points {
			s.XYZ = append(s.XYZ, p[0], p[1], z)
		}
		s.Rings = append(s.Rings, int32(len(s.XYZ)/3))
	}
	switch g := g.(type) {
	case orb.LineString:
		s.Kind = spatial.MultiLine
		run(g, low)
		if low != high {
			run(g, high)
		}
	case orb.Polygon:
		s.Kind, s.LoD = spatial.MultiSurface, "1"
		for i, z := range []float64{low, high} {
			if i == 0 || low != high {
				run(g[0][:len(g[0])-1], z)
				s.Surfaces = append(s.Surfaces, int32(len(s.Rings)))
			}
		}
		if low == high {
			s.LoD = "0"
		}
	case orb.Point:
		s = spatial.Geometry{Kind: spatial.MultiPoint, XYZ: []float64{g[0], g[1], 0}}
	}
	o.Geometries = []spatial.Geometry{s}
	return o
}

func openStore(t testing.TB, now func() time.Time) *gpkg.Store {
	t.Helper()
	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg"), Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t testing.TB, s store.Store, dataset string, complete bool, objects ...*spatial.CityObject) store.ImportResult {
	t.Helper()
	r, err := s.Import(t.Context(), store.ImportOptions{Dataset: dataset, Complete: complete}, func(yield func(*spatial.CityObject, error) bool) {
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// suzhou is a store with the 8,242 buildings of the old town.
func suzhou(t testing.TB) *gpkg.Store {
	t.Helper()
	s := openStore(t, time.Now)
	f, err := os.Open(filepath.Join(testkit.DataDir(t, "suzhou-oldtown-osm-buildings"), "suzhou_buildings.geojson"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := geojson.Open(f, info.Size(), geojson.Options{Options: citymodel.Options{File: "b", Class: spatial.ClassBuilding}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), store.ImportOptions{Dataset: "osm"}, r.Objects()); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask answers a question and gives its rows by column.
func ask(t testing.TB, view *city.View, now time.Time, document string) []map[string]any {
	t.Helper()
	d, err := Parse([]byte(document), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Now: func() time.Time { return now }}
	a, err := e.Answer(t.Context(), view, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table(t, a)
}

func table(t testing.TB, a *Answer) []map[string]any {
	var out []map[string]any
	for _, row := range a.Rows {
		m := map[string]any{"geometry": row.Geometry}
		if len(row.Values) != len(a.Columns) {
			t.Fatalf("%d values for %d columns", len(row.Values), len(a.Columns))
		}
		for i, c := range a.Columns {
			v := row.Values[i]
			switch {
			case !v.Set:
				m[c.Name] = nil
			case c.Type == export.Number:
				m[c.Name] = v.Number
			case c.Type == export.Integer:
				m[c.Name] = v.Int
			default:
				m[c.Name] = v.Text
			}
		}
		out = append(out, m)
	}
	return out
}

func near(got any, want, tolerance float64) bool {
	f, ok := got.(float64)
	return ok && math.Abs(f-want) <= tolerance
}
