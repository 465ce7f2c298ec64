package cityimport

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

func openStore(t testing.TB) *gpkg.Store {
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
	return s
}

// imported imports path and expects no error.
func imported(t *testing.T, o Options, path string) *Report {
	t.Helper()
	o.Sources = []Source{{Path: path, Name: filepath.Base(path)}}
	if o.Dataset == "" {
		o.Dataset = "test"
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func (e *Extent) near(west, south, east, north, tolerance float64) bool {
	return e != nil && near(e.West, west, tolerance) && near(e.South, south, tolerance) && near(e.East, east, tolerance) && near(e.North, north, tolerance)
}

func (r *Report) found(action Action, code string) int {
	n := 0
	for _, c := range r.Findings {
		if c.Action == action && c.Code == code {
			n += c.Count
		}
	}
	return n
}

func TestShow(t *testing.T) {
	for _, c := range []struct {
		folder, file string
		o            Options
	}{
		{"cityjson-samples", "rotterdam/3-20-DELFSHAVEN.city.json", Options{}},
		{"cityjson-samples", "vienna/vienna.city.jsonl", Options{CRS: crs.EPSG(31256)}},
		{"plateau-citygml", "64413325_bldg_6697_op.gml", Options{}},
		{"suzhou-oldtown-osm-buildings", "suzhou_buildings.geojson", Options{Class: spatial.ClassBuilding}},
		{"suzhou-boundary-npm", "suzhou-districts.geojson", Options{Type: city.TypeDistrict}},
		{"suzhou-boundary-npm", "suzhou-city.geojson", Options{Type: city.TypeDistrict}},
		{"suzhou-gardens", "suzhou_districts.json", Options{Type: city.TypeDistrict, GCJ02: true}},
	} {
		c.o.Store = openStore(t)
		c.o.Dataset = "x"
		c.o.Sources = []Source{{Path: filepath.Join(testkit.DataDir(t, c.folder), c.file)}}
		r, err := Run(t.Context(), c.o)
		b, _ := json.MarshalIndent(r, "", " ")
		fmt.Println(c.file, err, string(b))
	}
}

var _ = csv.NewReader
var _ = os.Open
var _ = slices.Sort[[]int]
var _ = strconv.Itoa
var _ store.Store
