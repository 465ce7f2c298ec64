package cityjson

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
)

// measured is what testdata/measure.py, which shares no code with this
// package and adds in exact integers, prints for a file.
type measured struct {
	types       map[string]int
	geometries  map[spatial.Kind]int
	surfaces    map[spatial.SurfaceKind]int
	points      int
	min, max    [3]float64
	heights     float64 // sum of the objects' vertical extents, metres
	tallest     float64
	tallestID   string
	closed      map[spatial.Kind]int
	volume      map[spatial.Kind]float64 // of the closed ones, m³
	attributes  int                      // sum over objects
	measuredSum float64                  // of the attribute measuredHeight
}

func (m *measured) add(t *testing.T, o *spatial.CityObject) {
	m.types[o.Type]++
	m.attributes += len(o.Attributes)
	m.measuredSum += o.Height.Metres
	if o.Class != spatial.ClassBuilding {
		t.Errorf("%s: class %q", o.ID, o.Class)
	}
	for i := range o.Geometries {
		g := &o.Geometries[i]
		if err := g.Valid(); err != nil {
			t.Errorf("%s: %v", o.ID, err)
		}
		if g.LoD != "2" {
			t.Errorf("%s: LoD %q", o.ID, g.LoD)
		}
		m.geometries[g.Kind]++
		m.points += g.NumPoints()
		for s := range g.SemanticOf {
			m.surfaces[g.Surface(s)]++
		}
		if v, closed := g.Volume(); closed {
			m.closed[g.Kind]++
			m.volume[g.Kind] += v
		}
	}
	b := o.Bounds()
	if b.Empty() {
		return
	}
	for k := range 3 {
		m.min[k], m.max[k] = min(m.min[k], b.Min[k]), max(m.max[k], b.Max[k])
	}
	h := b.HeightMetres()
	m.heights += h
	if h > m.tallest {
		m.tallest, m.tallestID = h, o.ID
	}
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func (m *measured) compare(t *testing.T, want measured) {
	t.Helper()
	for k, n := range want.types {
		if m.types[k] != n {
			t.Errorf("%d of type %s, want %d", m.types[k], k, n)
		}
	}
	for k, n := range want.geometries {
		if m.geometries[k] != n {
			t.Errorf("%d of %v, want %d", m.geometries[k], k, n)
		}
	}
	for k, n := range want.surfaces {
		if m.surfaces[k] != n {
			t.Errorf("%d surfaces of kind %d, want %d", m.surfaces[k], k, n)
		}
	}
	if len(m.types) != len(want.types) || len(m.geometries) != len(want.geometries) || len(m.surfaces) != len(want.surfaces) {
		t.Errorf("kinds that should not be there: %v %v %v", m.types, m.geometries, m.surfaces)
	}
	if m.points != want.points || m.attributes != want.attributes {
		t.Errorf("%d points, %d attributes, want %d, %d", m.points, m.attributes, want.points, want.attributes)
	}
	for k := range 3 {
		if !near(m.min[k], want.min[k], 1e-6) || !near(m.max[k], want.max[k], 1e-6) {
			t.Errorf("extent %v %v, want %v %v", m.min, m.max, want.min, want.max)
		}
	}
	if !near(m.heights, want.heights, 1e-3) || !near(m.tallest, want.tallest, 1e-6) || m.tallestID != want.tallestID || !near(m.measuredSum, want.measuredSum, 1e-6) {
		t.Errorf("heights %.4f, tallest %.4f %s, measured %.4f; want %.4f, %.4f %s, %.4f",
			m.heights, m.tallest, m.tallestID, m.measuredSum, want.heights, want.tallest, want.tallestID, want.measuredSum)
	}
	for k, n := range want.closed {
		// A micrometre in each coordinate of this many metres would be more.
		if m.closed[k] != n || !near(m.volume[k], want.volume[k], 1e-3) {
			t.Errorf("%v: %d closed with %.6f m³, want %d with %.6f m³", k, m.closed[k], m.volume[k], n, want.volume[k])
		}
	}
}

func newMeasured() measured {
	inf := math.Inf(1)
	return measured{
		types: map[string]int{}, geometries: map[spatial.Kind]int{}, surfaces: map[spatial.SurfaceKind]int{},
		closed: map[spatial.Kind]int{}, volume: map[spatial.Kind]float64{},
		min: [3]float64{inf, inf, inf}, max: [3]float64{-inf, -inf, -inf},
	}
}

func TestRotterdam(t *testing.T) {
	path := filepath.Join(testkit.DataDir(t, "cityjson-samples"), "rotterdam", "3-20-DELFSHAVEN.city.json")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	codes := map[citymodel.Code]int{}
	r, err := Open(f, st.Size(), citymodel.Options{File: "rotterdam", Problem: func(p citymodel.Problem) { codes[p.Code]++ }})
	if err != nil {
		t.Fatal(err)
	}
	info := r.Info()
	if info.CRS != (spatial.CRS{Horizontal: 28992}) || info.Format != "CityJSON 2.0" || info.Extent == nil || info.Extent.Max[2] != 41.158 {
		t.Errorf("info %+v", info)
	}
	got := newMeasured()
	var first *spatial.CityObject
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = o
		}
		got.add(t, o)
	}
	got.compare(t, measured{
		types:      map[string]int{"Building": 853},
		geometries: map[spatial.Kind]int{spatial.MultiSurface: 853},
		surfaces:   map[spatial.SurfaceKind]int{spatial.SurfaceRoof: 2998, spatial.SurfaceGround: 853, spatial.SurfaceWall: 11631},
		points:     69736, attributes: 853 * 5,
		min: [3]float64{90409.32, 435440.44, 0}, max: [3]float64{91453.879, 436089.946, 41.158},
		heights: 11038.840, tallest: 41.158, tallestID: "{B68741B6-AB73-4AF0-A1D0-29A60CF26190}",
		closed: map[spatial.Kind]int{spatial.MultiSurface: 46}, volume: map[spatial.Kind]float64{spatial.MultiSurface: 38109.049315},
	})
	if tally := r.Tally(); tally.Objects != 853 || tally.Geometries != 853 || tally.Dropped != 0 || tally.Appearances != 1 || tally.Textures == 0 {
		t.Errorf("tally %+v", tally)
	}
	names := []string{"TerrainHeight", "bron_tex", "voll_tex", "bron_geo", "status"}
	for i, a := range first.Attributes {
		if a.Name != names[i] {
			t.Errorf("attribute %d is %s, want %s: the order of the file", i, a.Name, names[i])
		}
	}
	if h, _ := first.Attributes[0].Value.Number(); h != 1.37 || first.ID != "{10A31B7E-8FC2-45EE-836A-1DB9FEF06E04}" {
		t.Errorf("first object %s with %v", first.ID, first.Attributes)
	}
	// What testdata/validity.py counts.
	wantCodes(t, codes, map[citymodel.Code]int{citymodel.ConsecutivePoints: 1236, citymodel.TooFewPoints: 633, citymodel.RingSelfIntersects: 18})
}

func TestVienna(t *testing.T) {
	path := filepath.Join(testkit.DataDir(t, "cityjson-samples"), "vienna", "vienna.city.jsonl")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	codes := map[citymodel.Code]int{}
	r, err := NewSeqReader(f, citymodel.Options{File: "vienna", CRS: crs.EPSG(31256), Problem: func(p citymodel.Problem) { codes[p.Code]++ }})
	if err != nil {
		t.Fatal(err)
	}
	got := newMeasured()
	lines, children, parents := map[int]bool{}, 0, 0
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		got.add(t, o)
		lines[o.Source.Line] = true
		children += len(o.Children)
		parents += len(o.Parents)
		if o.CRS.Horizontal != 31256 {
			t.Errorf("%s: CRS %v", o.ID, o.CRS)
		}
	}
	got.compare(t, measured{
		types:      map[string]int{"BuildingPart": 443, "Building": 149},
		geometries: map[spatial.Kind]int{spatial.MultiSurface: 490, spatial.Solid: 490},
		surfaces:   map[spatial.SurfaceKind]int{spatial.SurfaceGround: 490, spatial.SurfaceRoof: 1930, spatial.SurfaceWall: 6992},
		points:     116934, attributes: 592 + 6*490,
		min: [3]float64{986.77, 340492.06, 28.21}, max: [3]float64{1510.432, 341048.5, 84.987},
		heights: 9815.285, tallest: 42.527, tallestID: "UUID_LOD2_011628-916b5fc0-2f73-481f-bfac_5", measuredSum: 9815.21,
		closed: map[spatial.Kind]int{spatial.MultiSurface: 482, spatial.Solid: 482},
		volume: map[spatial.Kind]float64{spatial.MultiSurface: 1292304.421612, spatial.Solid: 1292304.421612},
	})
	if len(lines) != 149 || !lines[2] || !lines[150] || children != 443 || parents != 443 {
		t.Errorf("objects of %d lines, %d children, %d parents; want 149 lines, 2 to 150, 443 and 443", len(lines), children, parents)
	}
	// What testdata/validity.py counts.
	wantCodes(t, codes, map[citymodel.Code]int{
		citymodel.ConsecutivePoints: 40, citymodel.TooFewPoints: 10, citymodel.NonPlanar: 2, citymodel.ShellNotClosed: 8, citymodel.NonManifold: 7,
	})
}

func wantCodes(t *testing.T, got, want map[citymodel.Code]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("problems %v, want %v", got, want)
	}
}
