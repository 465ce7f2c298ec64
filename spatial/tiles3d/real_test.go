package tiles3d

import (
	"math"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// source is what the file says of an object, measured by package spatial in
// the file's own metres.
type source struct {
	area   float64
	volume float64
	closed bool
	lod    string
}

// TestReal builds the tilesets of the real files: every object is in the tiles
// without children exactly once; areas and volumes of its triangles are those
// that package spatial measures on the file's coordinates; its corners are
// where package crs puts them; and the glTF validator finds no fault.
func TestReal(t *testing.T) {
	for _, c := range realFiles {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t)
			realFile(t, s, c.folder, c.file, c.name)
			view := viewOf(t, s, "all", 1)
			begin := time.Now()
			files, stats := buildAll(t, newTilesets(t, Options{}), view, "buildings")
			t.Logf("%v: %+v", time.Since(begin), stats)
			if stats.Problems.Polygons+stats.Problems.Objects+stats.Problems.Heights != 0 {
				t.Errorf("problems: %+v", stats.Problems)
			}
			want := map[string]source{}
			n := 0
			for o, err := range readReal(t, c.folder, c.file) {
				if err != nil {
					t.Fatal(err)
				}
				n++
				id := o.ID
				g := o.Finest()
				if g == nil || g.NumPoints() == 0 {
					continue
				}
				x := source{area: g.Area(), lod: g.LoD}
				x.volume, x.closed = g.Volume()
				if o.CRS.Degrees() {
					x = degrees(g, o, x)
				}
				want[id] = x
			}
			checkObjects(t, files, want)
			checkCorners(t, s, files)
			validate(t, files)
			if stats.Objects != len(want) {
				t.Errorf("%d objects in tiles, %d with geometry of %d", stats.Objects, len(want), n)
			}
		})
	}
}

// degrees measures a geometry that is in degrees in the plane at its place, as
// an equal-area projection would show it (Snyder 1987, the radii of curvature):
// of a footprint with a height, the body without its lower side.
func degrees(g *spatial.Geometry, o *spatial.CityObject, x source) source {
	lat := g.XYZ[1] * math.Pi / 180
	const a, e2 = 6378137.0, 0.00669437999014
	w := math.Sqrt(1 - e2*math.Pow(math.Sin(lat), 2))
	mx, my := a/w*math.Cos(lat)*math.Pi/180, a*(1-e2)/(w*w*w)*math.Pi/180
	m := *g
	m.XYZ = append([]float64(nil), g.XYZ...)
	lon0, lat0 := g.XYZ[0], g.XYZ[1]
	for i := 0; i+2 < len(m.XYZ); i += 3 {
		m.XYZ[i], m.XYZ[i+1] = (m.XYZ[i]-lon0)*mx, (m.XYZ[i+1]-lat0)*my
	}
	x.area = m.Area()
	x.volume, x.closed = m.Volume()
	if g.HasZ {
		return x
	}
	x.volume, x.closed = 0, false
	for r := range m.Rings {
		ring := m.Ring(r)
		for p, n := 0, len(ring); p < n; p += 3 {
			q := (p + 3) % n
			x.area += o.Height.Metres * math.Hypot(ring[q]-ring[p], ring[q+1]-ring[p+1])
		}
	}
	return x
}

func checkObjects(t *testing.T, files map[string][]byte, want map[string]source) {
	t.Helper()
	seen := map[string]int{}
	faults, closed, worst, worstVolume := 0, 0, 0.0, 0.0
	for _, name := range leaves(t, files) {
		m := readGLB(t, files[name])
		areas := m.areas("")
		for i, id := range m.strings["id"] {
			seen[id]++
			w, ok := want[id]
			if !ok {
				t.Fatalf("%s: %q is not in the file", name, id)
			}
			// Coordinates are rounded to 1e-9 degrees, and projections stretch by up to
			// some 1e-4.
			d := math.Abs(areas[i]-w.area) / math.Max(w.area, 1)
			worst = max(worst, d)
			if d > 2e-3 {
				if faults++; faults < 10 {
					t.Errorf("%s: area of triangles %v, of the surfaces %v", id, areas[i], w.area)
				}
			}
			if w.closed {
				closed++
				d := math.Abs(m.volume(i)-w.volume) / math.Max(math.Abs(w.volume), 1)
				worstVolume = max(worstVolume, d)
				if d > 2e-3 {
					if faults++; faults < 10 {
						t.Errorf("%s: volume of triangles %v, of the solid %v", id, m.volume(i), w.volume)
					}
				}
			}
			if lods := m.strings["lod"]; lods != nil && lods[i] != w.lod {
				t.Errorf("%s: LoD %q is drawn, the finest is %q", id, lods[i], w.lod)
			}
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is in %d tiles without children", id, n)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d objects, want %d", len(seen), len(want))
	}
	t.Logf("%d objects, %d volumes, %d faults; the worst area differs by %.2g, the worst volume by %.2g", len(seen), closed, faults, worst, worstVolume)
}

// checkCorners looks for every stored corner among the vertices.
func checkCorners(t *testing.T, s store.Reader, files map[string][]byte) {
	t.Helper()
	corners := map[string][]vec{}
	err := eachVersion(t.Context(), s, store.Query{Class: spatial.ClassBuilding, Geometries: true}, func(v *store.Version) error {
		g := v.Object.Finest()
		if g == nil {
			return nil
		}
		for i := range g.Surfaces {
			if g.SurfaceArea(i) == 0 {
				continue
			}
			from, _ := g.SurfaceRings(i)
			p := g.Ring(from)
			h := p[2]
			if !g.HasZ {
				h = v.Object.Height.Metres
			}
			var c vec
			c[0], c[1], c[2] = crs.Geocentric(p[0], p[1], h)
			corners[v.Object.ID] = append(corners[v.Object.ID], c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	worst, missed := 0.0, 0
	for _, name := range leaves(t, files) {
		m := readGLB(t, files[name])
		vertices := map[int][]vec{}
		for i, v := range m.vertices {
			vertices[m.feature[i]] = append(vertices[m.feature[i]], v)
		}
		for i, id := range m.strings["id"] {
			for _, c := range corners[id] {
				near := math.Inf(1)
				for _, v := range vertices[i] {
					near = min(near, v.sub(c).length())
				}
				if near > 0.01 {
					missed++ // of a surface without area
				} else {
					worst = max(worst, near)
				}
			}
		}
	}
	if worst > 0.005 || missed > 0 {
		t.Errorf("corners are up to %.4f m away from where they should be; %d are not there", worst, missed)
	}
	t.Logf("corners are within %.2g m", worst)
}
