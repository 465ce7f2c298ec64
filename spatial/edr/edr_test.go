package edr

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"go.uber.org/goleak"

	"cityhub/internal/testkit"
	"cityhub/spatial/city"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// memory is a city.Observed over readings in memory.
type memory struct {
	properties []city.Property
	streams    []*city.Datastream
	values     map[int64][]city.Reading
	fail       error // of Range
}

func (m *memory) Properties(context.Context) ([]city.Property, error) { return m.properties, nil }

func (m *memory) Datastreams(_ context.Context, s city.Select) ([]*city.Datastream, error) {
	var list []*city.Datastream
	for _, ds := range m.streams {
		if (s.Property == "" || s.Property == ds.Property) && (s.Terminal == "" || s.Terminal == ds.Terminal) &&
			(s.Bound == nil || s.Bound.Contains(orb.Point{ds.Lon, ds.Lat})) {
			list = append(list, ds)
		}
	}
	return list, nil
}

func (m *memory) Latest(ds *city.Datastream) (city.Reading, bool) {
	v := m.values[ds.ID]
	if len(v) == 0 {
		return city.Reading{}, false
	}
	return v[len(v)-1], true
}

func (m *memory) LatestAt(_ context.Context, ds *city.Datastream, at time.Time) (city.Reading, bool, error) {
	v := m.values[ds.ID]
	i := sort.Search(len(v), func(i int) bool { return v[i].Time.After(at) })
	if i == 0 {
		return city.Reading{}, false, nil
	}
	return v[i-1], true, nil
}

func (m *memory) Range(_ context.Context, ds *city.Datastream, from, to time.Time, fn func(city.Reading) bool) error {
	for _, r := range m.values[ds.ID] {
		if !r.Time.Before(from) && r.Time.Before(to) && !fn(r) {
			return nil
		}
	}
	return m.fail
}

func (m *memory) Terminals(context.Context, city.Select, int64, int) ([]*city.Terminal, error) {
	return nil, errors.New("EDR does not ask this")
}
func (m *memory) On(context.Context, int64, []*city.Datastream) []*city.Datastream { return nil }
func (m *memory) Objects(context.Context, string) ([]int64, error) {
	return nil, errors.New("EDR does not ask this")
}

// metresNorth is a latitude so many metres north of the first station.
func metresNorth(m float64) float64 { return 31.3 + m/metresPerDegree }

// stations are four on a line to the north: A at 0 m with pm25 and weather, B at
// 300 m with pm25, C at 800 m with pm25 in another unit, D far away; E has no place.
func stations() *memory {
	m := &memory{
		properties: []city.Property{
			{Name: "pm25", Title: "细颗粒物", TitleEn: "PM2.5", Definition: "http://vocab.nerc.ac.uk/standard_name/mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air/", UnitName: "microgram per cubic metre", UnitSymbol: "µg/m³", UnitCode: "ug/m3"},
			{Name: "weather", Title: "天气", Text: true},
		},
		values: map[int64][]city.Reading{},
	}
	add := func(id int64, terminal, property, unit string, lat float64) *city.Datastream {
		ds := &city.Datastream{ID: id, Name: terminal + "-" + property, Terminal: terminal, TerminalName: "站" + terminal, Property: property, UnitCode: unit, Domain: "environment", Lon: 120.6, Lat: lat}
		m.streams = append(m.streams, ds)
		for i := range 24 {
			r := city.Reading{Time: noon.Add(time.Duration(i) * time.Hour), Value: float64(id*100) + float64(i), Quality: "good"}
			if i == 5 {
				r.Quality, r.Value = "missing", math.NaN()
			}
			m.values[id] = append(m.values[id], r)
		}
		return ds
	}
	add(1, "A", "pm25", "ug/m3", metresNorth(0))
	w := add(2, "A", "weather", "", metresNorth(0))
	w.Text = true
	for i := range m.values[2] {
		m.values[2][i].Text = "雨"
	}
	m.values[2][23].Text = "=1+1"
	add(3, "B", "pm25", "ug/m3", metresNorth(300))
	add(4, "C", "pm25", "mg/m3", metresNorth(800))
	add(5, "D", "pm25", "ug/m3", metresNorth(50_000))
	add(6, "E", "pm25", "ug/m3", math.NaN()).Lon = math.NaN()
	return m
}

type everyone struct{ view *city.View }

func (e everyone) City(*http.Request) (*city.View, error) { return e.view, nil }

func status(w http.ResponseWriter, _ *http.Request, err error) {
	code := http.StatusInternalServerError
	var ce *city.Error
	if errors.As(err, &ce) {
		code = map[city.Code]int{city.Invalid: 400, city.NotFound: 404, city.TooLarge: 413, city.NotAcceptable: 406}[ce.Code]
	}
	http.Error(w, err.Error(), code)
}

func handlerOf(t testing.TB, m *memory, change func(*Options)) http.Handler {
	t.Helper()
	o := Options{Gate: everyone{&city.View{Key: "all", Observed: m}}, Problem: status, BaseURL: func(*http.Request) string { return "http://hub.test" }}
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
	r := httptest.NewRequest(http.MethodGet, "/ogc/edr"+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func at(shape string) string { return url.QueryEscape(shape) }

// coverages of an answer, as "terminal parameter values".
type collection struct {
	Type, DomainType string
	Parameters       map[string]struct {
		Unit struct{ Symbol any }
	}
	Referencing []struct {
		Coordinates []string
		System      struct{ ID string }
	}
	Coverages []struct {
		Terminal string   `json:"cityhub:terminal"`
		Metres   *float64 `json:"cityhub:distanceMetres"`
		Domain   struct {
			Axes map[string]struct{ Values []any }
		}
		Ranges map[string]struct {
			DataType string
			Shape    []int
			Values   []any
		}
	}
}

func decode(t testing.TB, w *httptest.ResponseRecorder) (c collection) {
	t.Helper()
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c collection) names() string {
	var list []string
	for _, v := range c.Coverages {
		for k := range v.Ranges {
			if k != quality {
				list = append(list, v.Terminal+" "+k)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestPlaces_19_086r6(t *testing.T) {
	h := handlerOf(t, stations(), nil)
	line := fmt.Sprintf("LINESTRING(120.5 %.7f,120.7 %.7f)", metresNorth(230), metresNorth(230))
	square := fmt.Sprintf("POLYGON((120.59 %.7f,120.61 %.7f,120.61 %.7f,120.59 %.7f,120.59 %.7f))", metresNorth(200), metresNorth(200), metresNorth(900), metresNorth(900), metresNorth(200))
	for _, tt := range []struct{ path, want string }{
		{"observations/position?coords=" + at("POINT(120.6 31.3)"), "A pm25, A weather, C pm25[mg/m3]"},
		{"pm25/position?coords=" + at("POINT(120.6 31.3)"), "A pm25, C pm25[mg/m3]"},
		{"observations/position?parameter-name=pm25&coords=" + at(fmt.Sprintf("POINT(120.6 %.7f)", metresNorth(290))), "B pm25, C pm25[mg/m3]"},
		{"observations/position?coords=" + at("MULTIPOINT((120.6 31.3),(120.6 31.7496))"), "A pm25, A weather, C pm25[mg/m3], D pm25"},
		{"observations/position?coords=" + at("POINT(121.6 31.3)"), ""},
		{"observations/radius?within=299&coords=" + at("POINT(120.6 31.3)"), "A pm25, A weather"},
		{"observations/radius?within=0.301&within-units=km&coords=" + at("POINT(120.6 31.3)"), "A pm25, A weather, B pm25"},
		{"weather/radius?within=1&within-units=mi&coords=" + at("POINT(120.6 31.3)"), "A weather"},
		{"observations/area?coords=" + at(square), "B pm25, C pm25[mg/m3]"},
		{"observations/cube?bbox=120.59,31.29,120.61,31.308", "A pm25, A weather, B pm25, C pm25[mg/m3]"},
		{"observations/trajectory?coords=" + at(line), "B pm25"},
		{"observations/corridor?corridor-width=139&width-units=m&coords=" + at(line), ""},
		{"observations/corridor?corridor-width=141&width-units=m&coords=" + at(line), "B pm25"},
		{"observations/trajectory?corridor-width=1&width-units=km&coords=" + at(line), "A pm25, A weather, B pm25"},
		{"observations/locations/A", "A pm25, A weather"},
		{"observations/locations/C?parameter-name=" + at("pm25[mg/m3]"), "C pm25[mg/m3]"},
		{"observations/position?crs=EPSG:4490&coords=" + at("POINT(31.3 120.6)"), "A pm25, A weather, C pm25[mg/m3]"},
		{"observations/cube?crs=EPSG:4326&bbox=31.29,120.59,31.308,120.61", "A pm25, A weather, B pm25, C pm25[mg/m3]"},
	} {
		c := decode(t, get(h, "/collections/"+tt.path))
		if got := c.names(); got != tt.want {
			t.Errorf("%s\nfound %s\nwant  %s", tt.path, got, tt.want)
		}
		want := []string{"x", "y"}
		if strings.Contains(tt.path, "crs=") {
			want = []string{"y", "x"}
		}
		if c.Type != "CoverageCollection" || c.DomainType != "PointSeries" || !slices.Equal(c.Referencing[0].Coordinates, want) {
			t.Errorf("%s: %s of %s, axes %v", tt.path, c.Type, c.DomainType, c.Referencing[0].Coordinates)
		}
		for _, v := range c.Coverages {
			if v.Domain.Axes["x"].Values[0] != 120.6 { // whatever the order, x is the longitude
				t.Errorf("%s: x is %v", tt.path, v.Domain.Axes["x"].Values)
			}
		}
	}
	c := decode(t, get(h, "/collections/pm25/radius?within=500&coords="+at("POINT(120.6 31.3)")))
	if m := c.Coverages[1].Metres; m == nil || math.Abs(*m-300) > 0.1 {
		t.Errorf("the distance of B is %v", m)
	}
}

func TestTimes(t *testing.T) {
	h := handlerOf(t, stations(), nil)
	for _, tt := range []struct {
		datetime string
		want     []any
	}{
		{"", []any{123.0}},
		{"2026-05-01T14:30:00Z", []any{102.0}},
		{"2026-05-01T11:00:00Z", nil},
		{"2026-05-01T12:00:00Z/2026-05-01T14:00:00Z", []any{100.0, 101.0, 102.0}},
		{"2026-05-01T20:00:00+08:00/2026-05-01T21:00:00%2B08:00", nil}, // a bare + is a space
		{"2026-05-01T20:00:00%2B08:00/2026-05-01T21:00:00%2B08:00", []any{100.0, 101.0}},
		{"2026-05-02T10:00:00Z/..", []any{122.0, 123.0}},
		{"../2026-05-01T12:00:00Z", []any{100.0}},
		{"2026-05-01T16:00:00Z/2026-05-01T17:00:00Z", []any{104.0, nil}},
		{"2020-01-01/2020-12-31", nil},
	} {
		w := get(h, "/collections/pm25/locations/A?datetime="+tt.datetime)
		if strings.Contains(tt.datetime, "00+08") {
			if w.Code != 400 {
				t.Errorf("%s: status %d", tt.datetime, w.Code)
			}
			continue
		}
		c := decode(t, w)
		var got []any
		for _, v := range c.Coverages {
			got = v.Ranges["pm25"].Values
			if n := len(got); v.Ranges["pm25"].Shape[0] != n || len(v.Domain.Axes["t"].Values) != n || len(v.Ranges[quality].Values) != n {
				t.Errorf("%s: lengths differ", tt.datetime)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: found %v, want %v", tt.datetime, got, tt.want)
		}
		for _, v := range c.Coverages {
			for i, q := range v.Ranges[quality].Values {
				if (q == 9.0) != (got[i] == nil) { // IOC Manuals and Guides 54 vol. 3
					t.Errorf("%s: value %v has the quality %v", tt.datetime, got[i], q)
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	h := handlerOf(t, stations(), func(o *Options) { o.MaxStations, o.MaxValues = 4, 50 })
	point := "coords=" + at("POINT(120.6 31.3)")
	for path, want := range map[string]int{
		"/collections/nothing": 404, "/collections/nothing/position?" + point: 404, "/collections/pm25/instances": 404, "/collections/pm25/locations/Z": 404,
		"/collections/pm25/position": 400, "/collections/pm25/position?coords=POINT": 400, "/collections/pm25/position?coords=" + at("POINT(31.3 120.6)"): 400,
		"/collections/pm25/position?coords=" + at("POINT(1 1)) OR (a=1"): 400, "/collections/pm25/position?coords=" + at("LINESTRING(1 1,2 2)"): 400,
		"/collections/pm25/position?coords=" + at("BBOX(1,1,2,2)"): 400, "/collections/pm25/area?" + point: 400, "/collections/pm25/trajectory?" + point: 400,
		"/collections/pm25/radius?" + point: 400, "/collections/pm25/radius?within=-1&" + point: 400, "/collections/pm25/radius?within=1&within-units=parsec&" + point: 400,
		"/collections/pm25/radius?within=1000&within-units=km&" + point: 400, "/collections/pm25/cube": 400, "/collections/pm25/cube?bbox=1,2,3": 400,
		"/collections/pm25/cube?bbox=NaN,2,3,4": 400, "/collections/pm25/cube?bbox=5,2,3,4": 400,
		"/collections/pm25/position?datetime=tomorrow&" + point: 400, "/collections/pm25/position?datetime=2026-05-02/2026-05-01&" + point: 400,
		"/collections/pm25/position?crs=EPSG:3857&" + point: 400, "/collections/pm25/position?f=netcdf&" + point: 400, "/collections/pm25/position?z=10&" + point: 400,
		"/collections/pm25/position?f=GeoJSON&crs=EPSG:4326&coords=" + at("POINT(31.3 120.6)"):                      406,
		"/collections/pm25/position?parameter-name=so2&" + point:                                                    400,
		"/collections/observations/cube?bbox=120,31,121,32":                                                         413, // five Datastreams
		"/collections/pm25/cube?bbox=120,31,121,32&datetime=2026-05-01/..":                                          413, // 96 readings
		"/collections/pm25/cube?bbox=120,31,121,32":                                                                 200,
		"/collections/pm25/area?coords=" + at("POLYGON((120 31,121 31"+strings.Repeat(",121 32", 3000)+",120 31))"): 400,
	} {
		w := get(h, path)
		if w.Code != want {
			t.Errorf("%.120s: status %d, want %d: %s", path, w.Code, want, w.Body)
		}
		if want == 413 && !strings.Contains(w.Body.String(), "parameter-name") {
			t.Errorf("%s does not say how to narrow", w.Body)
		}
	}
	if w := get(h, "/collections/pm25/position?"+point, "Accept", "image/png"); w.Code != 406 {
		t.Errorf("Accept image/png: status %d", w.Code)
	}
}

func TestCSV_RFC4180(t *testing.T) {
	h := handlerOf(t, stations(), nil)
	w := get(h, "/collections/observations/cube?f=CSV&bbox=120.59,31.29,120.61,31.31")
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"terminal", "longitude (deg)", "latitude (deg)", "time (UTC)", "quality", "pm25 (ug/m3)", "pm25[mg/m3] (mg/m3)", "weather"},
		{"A", "120.6", "31.3", "2026-05-02T11:00:00Z", "good", "123", "", ""},
		{"A", "120.6", "31.3", "2026-05-02T11:00:00Z", "good", "", "", "'=1+1"},
	}
	for i, r := range want {
		if !slices.Equal(rows[i], r) {
			t.Errorf("row %d: %q, want %q", i, rows[i], r)
		}
	}
	if len(rows) != 5 {
		t.Errorf("%d rows", len(rows))
	}
	w = get(h, "/collections/pm25/locations/A?f=csv&datetime=2026-05-01T17:00:00Z")
	rows, err = csv.NewReader(w.Body).ReadAll()
	if err != nil || rows[1][5] != "" || rows[1][4] != "missing" {
		t.Errorf("a missing value: %q, %v", rows, err)
	}
}

func TestGeoJSON_RFC7946(t *testing.T) {
	h := handlerOf(t, stations(), nil)
	for _, path := range []string{"/collections/observations/locations", "/collections/observations/cube?bbox=120.59,31.29,120.61,31.31&f=GeoJSON&datetime=2026-05-01/.."} {
		w := get(h, path)
		var c struct {
			Type     string
			Features []struct {
				Type, ID   string
				Geometry   *struct{ Coordinates [2]float64 }
				Properties map[string]any
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if c.Type != "FeatureCollection" || len(c.Features) < 4 || w.Header().Get("Content-Type") != mediaGeoJSON {
			t.Fatalf("%s: %d features, %s", path, len(c.Features), w.Header().Get("Content-Type"))
		}
		for _, f := range c.Features {
			for _, name := range []string{"label", "datetime", "parameter-name"} {
				if f.Properties[name] == nil {
					t.Errorf("%s %s has no %s", path, f.ID, name)
				}
			}
			if f.ID == "E" {
				if f.Geometry != nil {
					t.Error("a station without a place has one")
				}
			} else if f.Geometry == nil || f.Geometry.Coordinates[0] != 120.6 {
				t.Errorf("%s: %v", f.ID, f.Geometry.Coordinates)
			}
		}
	}
}

// TestBrokenStore: an answer that cannot be finished is not taken for a whole one.
func TestBrokenStore(t *testing.T) {
	m := stations()
	h := handlerOf(t, m, nil)
	m.fail = errors.New("disk on fire")
	if w := get(h, "/collections/pm25/locations/A?datetime=2026-05-01/.."); w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
}

// pythonWith is a Python, that of CITYHUB_TEST_PYTHON where it is set, that has packages.
func pythonWith(t *testing.T, packages ...string) string {
	t.Helper()
	python := os.Getenv("CITYHUB_TEST_PYTHON")
	if python == "" {
		python = testkit.Require(t, "python3")
	}
	if err := exec.Command(python, "-c", "import "+strings.Join(packages, ", ")).Run(); err != nil {
		testkit.Missing(t, "covjson-pydantic 0.8.0, edr-pydantic 0.7.0 and OWSLib 0.35.0 are not all installed for "+python+" (CITYHUB_TEST_PYTHON names another)")
	}
	return python
}

// TestOWSLib asks as OWSLib's EDR client does.
func TestOWSLib(t *testing.T) {
	python := pythonWith(t, "owslib.ogcapi.edr")
	s := httptest.NewServer(handlerOf(t, stations(), nil))
	defer s.Close()
	out, err := exec.Command(python, filepath.Join("testdata", "owslib_edr.py"), s.URL+"/ogc/edr").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		Collections []string
		Terminals   []string
		Classes     int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !slices.Equal(got.Collections, []string{"observations", "pm25", "weather"}) || !slices.Equal(got.Terminals, []string{"A", "B"}) || got.Classes != len(conformance()) {
		t.Errorf("%+v", got)
	}
}

func TestValidators_21_069r2(t *testing.T) {
	python := pythonWith(t, "covjson_pydantic", "edr_pydantic")
	h := handlerOf(t, stations(), nil)
	dir := t.TempDir()
	for name, path := range map[string]string{
		"latest.covjson": "/collections/observations/cube?bbox=120.59,31.29,120.61,31.31", "day.covjson": "/collections/observations/cube?bbox=120.59,31.29,120.61,31.31&datetime=2026-05-01/2026-05-03",
		"empty.covjson": "/collections/observations/position?coords=" + at("POINT(0 0)"), "swapped.covjson": "/collections/pm25/cube?crs=EPSG:4490&bbox=31.29,120.59,31.31,120.61",
		"nowhere.covjson": "/collections/pm25/locations/E", "collections.json": "/collections", "collection.json": "/collections/pm25",
	} {
		w := get(h, path)
		if w.Code != 200 {
			t.Fatalf("%s: status %d: %s", path, w.Code, w.Body)
		}
		if err := os.WriteFile(filepath.Join(dir, name), w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(python, filepath.Join("testdata", "validate.py"), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got map[string]struct{ Coverages, Values, Nulls int }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if g := got["day"]; g.Coverages != 4 || g.Values != 96 || g.Nulls != 4 {
		t.Errorf("the day: %+v", g)
	}
	if g := got["latest"]; g.Coverages != 4 || g.Values != 4 || got["empty"].Coverages != 0 {
		t.Errorf("%+v", got)
	}
}

// TestBeijing serves the real readings of a station and compares their sum with
// that of the file.
func TestBeijing(t *testing.T) {
	f, err := os.Open(filepath.Join(testkit.DataDir(t, "beijing-prsa"), "PRSA_Data_Aotizhongxin_20130301-20170228.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(z)
	head, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	column := func(name string) int { return slices.Index(head, name) }
	m := stations()
	m.values[1] = nil
	china := time.FixedZone("CST", 8*3600)
	var sum float64
	var n, missing int
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		part := func(name string) int {
			v, err := strconv.Atoi(row[column(name)])
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		at := time.Date(part("year"), time.Month(part("month")), part("day"), part("hour"), 0, 0, 0, china)
		reading := city.Reading{Time: at.UTC(), Quality: "good"}
		inside := part("year") == 2016
		if text := row[column("PM2.5")]; text == "NA" {
			reading.Quality, reading.Value = "missing", math.NaN()
			if inside {
				missing++
			}
		} else {
			if reading.Value, err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
			if inside {
				sum += reading.Value
				n++
			}
		}
		m.values[1] = append(m.values[1], reading)
	}
	h := handlerOf(t, m, nil)
	c := decode(t, get(h, "/collections/pm25/locations/A?datetime="+url.QueryEscape("2016-01-01T00:00:00+08:00/2016-12-31T23:00:00+08:00")))
	var gotSum float64
	var gotN, gotMissing int
	for _, v := range c.Coverages[0].Ranges["pm25"].Values {
		if f, ok := v.(float64); ok {
			gotSum += f
			gotN++
		} else {
			gotMissing++
		}
	}
	if gotN != n || gotMissing != missing || math.Abs(gotSum-sum) > 1e-6 || n+missing != 366*24 {
		t.Errorf("%d values with the sum %v and %d nulls; the file has %d, %v, %d", gotN, gotSum, gotMissing, n, sum, missing)
	}
}

func TestDocuments(t *testing.T) {
	h := handlerOf(t, stations(), nil)
	for name, path := range map[string]string{
		"landing": "", "collections": "/collections", "collection": "/collections/pm25", "locations": "/collections/pm25/locations",
		"coverages": "/collections/observations/radius?within=400&datetime=2026-05-01T16:00:00Z/2026-05-01T18:00:00Z&coords=" + at("POINT(120.6 31.3)"),
		"features":  "/collections/observations/radius?within=400&f=GeoJSON&coords=" + at("POINT(120.6 31.3)"),
	} {
		var pretty bytes.Buffer
		w := get(h, path)
		if err := json.Indent(&pretty, w.Body.Bytes(), "", " "); err != nil {
			t.Fatalf("%s: %v: %s", path, err, w.Body)
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

func FuzzQuery(f *testing.F) {
	f.Add("POINT(120.6 31.3)", "2026-05-01/..", "1,2,3,4", "area")
	f.Add("POLYGON((1 1,2 1,2 2,1 1))", "../..", "", "trajectory")
	h := handlerOf(f, stations(), nil)
	f.Fuzz(func(t *testing.T, coords, datetime, bbox, kind string) {
		v := url.Values{"coords": {coords}, "datetime": {datetime}, "bbox": {bbox}, "within": {"100"}}
		w := get(h, "/collections/observations/"+url.PathEscape(kind)+"?"+v.Encode())
		switch w.Code {
		case 200:
			if kind != "" && strings.HasPrefix(w.Header().Get("Content-Type"), "application/") && !json.Valid(w.Body.Bytes()) {
				t.Errorf("no JSON: %s", w.Body)
			}
		case 301, 307, 400, 404, 413:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

func BenchmarkCoverages(b *testing.B) {
	m := stations()
	m.values[1] = nil
	for i := range 100_000 {
		m.values[1] = append(m.values[1], city.Reading{Time: noon.Add(time.Duration(i) * time.Minute), Value: float64(i%997) / 10, Quality: "good"})
	}
	h := handlerOf(b, m, nil)
	for _, format := range formats() {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := get(h, "/collections/pm25/locations/A?datetime=../..&f="+format); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
