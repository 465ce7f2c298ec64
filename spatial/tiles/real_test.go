package tiles

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/mvt"

	"cityhub/internal/testkit"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
)

// tilesOver are the tiles of a level that meet b.
func tilesOver(set matrixSet, z int, b orb.Bound) []tile {
	minRow, maxRow, minCol, maxCol := set.limits(z, b)
	var list []tile
	for row := minRow; row <= maxRow; row++ {
		for col := minCol; col <= maxCol; col++ {
			list = append(list, tile{set, z, row, col})
		}
	}
	return list
}

// toRings is the distance of a point from the nearest edge of a polygon whose
// points are turned into tile coordinates.
func toRings(p xy, rings [][]xy) float64 {
	d := math.Inf(1)
	for _, r := range rings {
		for i := 1; i < len(r); i++ {
			d = min(d, segmentDistance2(p, r[i-1], r[i]))
		}
	}
	return math.Sqrt(d)
}

func ringsOf(g orb.Geometry, turn func(orb.Point) xy) [][]xy {
	var out [][]xy
	add := func(p orb.Polygon) {
		for _, r := range p {
			var l []xy
			for _, at := range r {
				l = append(l, turn(at))
			}
			out = append(out, l)
		}
	}
	switch g := g.(type) {
	case orb.Polygon:
		add(g)
	case orb.MultiPolygon:
		for _, p := range g {
			add(p)
		}
	}
	return out
}

// TestSuzhouOldTown decodes with orb every tile over the 8 242 footprints from
// level 10 to 18 and compares each polygon with its source.
func TestSuzhouOldTown(t *testing.T) {
	s := suzhou(t)
	g := load(t, s, 1)
	view := &city.View{Key: "all", Store: s, Index: g, Observed: &readings{}}
	byID := map[string]index.Ref{}
	var around orb.Bound
	for i, o := range g.objects {
		if o.Key.Dataset != "osm" {
			continue
		}
		if len(byID) == 0 {
			around = o.Bound
		}
		around = around.Union(o.Bound)
		byID[o.Key.ID] = index.Ref(i)
	}
	if len(byID) != 8242 {
		t.Fatalf("%d buildings in the index", len(byID))
	}
	// A point moves by at most the tolerance, and by rounding half a unit each way.
	limit := tolerance + math.Sqrt2/2 + 1e-6
	for _, set := range matrixSets() {
		for z := 10; z <= 18; z++ {
			seen := map[string]bool{}
			vertices, tiles, worst := 0, 0, 0.0
			for _, at := range tilesOver(set, z, around) {
				plain, omitted, err := encodeTile(t.Context(), view, at, content{layers: []string{"buildings"}}, budget{20_000, 50_000_000})
				if err != nil {
					t.Fatal(err)
				}
				if omitted != "" {
					t.Fatalf("%v: omitted %s", at, omitted)
				}
				layers, err := mvt.Unmarshal(plain)
				if err != nil {
					t.Fatal(err)
				}
				tiles++
				p := at.projection()
				turn := func(at orb.Point) xy { x, y := p.point(at[0], at[1]); return xy{x, y} }
				for _, l := range layers {
					if l.Name != "buildings" || l.Version != 2 || l.Extent != extent {
						t.Fatalf("layer %s, version %d, extent %d", l.Name, l.Version, l.Extent)
					}
					for _, f := range l.Features {
						id := f.Properties["id"].(string)
						ref, ok := byID[id]
						if !ok {
							t.Fatalf("unknown building %q", id)
						}
						seen[id] = true
						if uint64(f.ID.(float64)) != uint64(g.objects[ref].Position) {
							t.Fatalf("%s: feature id %v", id, f.ID)
						}
						source := ringsOf(g.shapes[ref], turn)
						polygons, isMulti := f.Geometry.(orb.MultiPolygon)
						if !isMulti {
							polygons = orb.MultiPolygon{f.Geometry.(orb.Polygon)}
						}
						for _, poly := range polygons {
							for i, ring := range poly {
								// MVT 2.1, 4.3.3.3, in coordinates whose y points down.
								if want := []orb.Orientation{orb.CCW, orb.CW}[min(i, 1)]; ring.Orientation() != want {
									t.Fatalf("%v %s: ring %d winds %v", at, id, i, ring.Orientation())
								}
								for _, v := range ring {
									q := xy{v[0], v[1]}
									if !inside(q) {
										t.Fatalf("%v %s: %v lies outside the buffer", at, id, v)
									}
									vertices++
									if v[0] == low || v[0] == high || v[1] == low || v[1] == high {
										continue // made by clipping
									}
									if d := toRings(q, source); d > limit {
										t.Fatalf("%v %s: %v is %.2f units from its source", at, id, v, d)
									} else {
										worst = max(worst, d)
									}
								}
							}
						}
						// And back: no corner of the source in the tile is cut off.
						decoded := ringsOf(polygons, func(at orb.Point) xy { return xy{at[0], at[1]} })
						for _, r := range source {
							if len(r) < 4 || ringWidth(r) < 2*unitsPerPixel {
								continue // a ring that small may vanish
							}
							for _, v := range r {
								if v.x > 0 && v.x < extent && v.y > 0 && v.y < extent {
									if d := toRings(v, decoded); d > limit+0.5 {
										t.Fatalf("%v %s: corner %v of the source is %.2f units from the tile's polygon", at, id, v, d)
									}
								}
							}
						}
					}
				}
			}
			if z >= 15 && len(seen) != 8242 {
				t.Errorf("%s level %d: %d of 8 242 buildings are in its tiles", set.id, z, len(seen))
			}
			if len(seen) == 0 {
				t.Errorf("%s level %d: no building", set.id, z)
			}
			t.Logf("%s level %d: %d tiles, %d buildings, %d vertices, at most %.2f units off", set.id, z, tiles, len(seen), vertices, worst)
		}
	}
}

// ringWidth is the smaller side of the box around a ring.
func ringWidth(r []xy) float64 {
	lo, hi := r[0], r[0]
	for _, p := range r {
		lo, hi = xy{min(lo.x, p.x), min(lo.y, p.y)}, xy{max(hi.x, p.x), max(hi.y, p.y)}
	}
	return min(hi.x-lo.x, hi.y-lo.y)
}

// TestMapboxVectorTile decodes tiles with @mapbox/vector-tile, the decoder of the
// clients, and compares what it found with orb's.
func TestMapboxVectorTile(t *testing.T) {
	node, script := nodeScript(t, "decode.mjs")
	s := suzhou(t)
	view := &city.View{Key: "all", Store: s, Index: load(t, s, 1), Observed: observations()}
	dir := t.TempDir()
	type summary struct {
		Features, Vertices, Polygons int
		IDs                          map[string]int
		HeightSum                    float64
		Outside                      int
	}
	want := map[string]map[string]summary{}
	set, _ := matrixSetOf("WebMercatorQuad")
	around := orb.Bound{Min: orb.Point{120.60, 31.28}, Max: orb.Point{120.66, 31.34}}
	for _, z := range []int{10, 12, 14, 15, 17} {
		for i, at := range tilesOver(set, z, around) {
			if i >= 12 {
				break
			}
			plain, _, err := encodeTile(t.Context(), view, at, content{layers: []string{"buildings", "districts", "terminals", "live"}}, budget{10_000, 5_000_000})
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%d-%d-%d.mvt", z, at.row, at.col)
			if err := os.WriteFile(filepath.Join(dir, name), plain, 0o600); err != nil {
				t.Fatal(err)
			}
			layers, err := mvt.Unmarshal(plain)
			if err != nil {
				t.Fatal(err)
			}
			want[name] = map[string]summary{}
			for _, l := range layers {
				sum := summary{IDs: map[string]int{}}
				for _, f := range l.Features {
					sum.Features++
					sum.IDs[f.Properties["id"].(string)]++
					if h, ok := f.Properties["height"].(float64); ok {
						sum.HeightSum += h
					}
					switch g := f.Geometry.(type) {
					case orb.Point:
						sum.Vertices++
					case orb.Polygon:
						sum.Polygons++
						for _, r := range g {
							sum.Vertices += len(r)
						}
					case orb.MultiPolygon:
						sum.Polygons += len(g)
						for _, p := range g {
							for _, r := range p {
								sum.Vertices += len(r)
							}
						}
					}
				}
				want[name][l.Name] = sum
			}
		}
	}
	out, err := exec.Command(node, script, dir).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got map[string]map[string]summary
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d tiles decoded, want %d", len(got), len(want))
	}
	features := 0
	for name, layers := range want {
		for layer, w := range layers {
			g := got[name][layer]
			if g.Features != w.Features || g.Vertices != w.Vertices || g.Polygons != w.Polygons || g.Outside != 0 || math.Abs(g.HeightSum-w.HeightSum) > 1e-6 || len(g.IDs) != len(w.IDs) {
				t.Errorf("%s %s: @mapbox/vector-tile found %+v, orb %+v", name, layer, short(g.Features, g.Vertices, g.Polygons, g.Outside), short(w.Features, w.Vertices, w.Polygons, 0))
			}
			features += g.Features
		}
		if len(got[name]) != len(layers) {
			t.Errorf("%s: %d layers, want %d", name, len(got[name]), len(layers))
		}
	}
	t.Logf("%d tiles, %d features", len(want), features)
	if features < 8000 {
		t.Errorf("only %d features were compared", features)
	}
}

func short(n ...int) string {
	s := ""
	for _, v := range n {
		s += strconv.Itoa(v) + " "
	}
	return s
}

// nodeScript is a script of testdata/js and the program that runs it.
func nodeScript(t *testing.T, name string) (node, script string) {
	t.Helper()
	node = testkit.Require(t, "node")
	script, err := filepath.Abs(filepath.Join("testdata", "js", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"@mapbox/vector-tile", "@maplibre/maplibre-gl-style-spec"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(script), "node_modules", p)); err != nil {
			testkit.Missing(t, p+" is not installed: npm ci --prefix spatial/tiles/testdata/js")
		}
	}
	return node, script
}

// TestMapLibreStyles has the styles checked by MapLibre's own validator.
func TestMapLibreStyles(t *testing.T) {
	node, script := nodeScript(t, "style.mjs")
	h, _ := hub(t, nil)
	dir := t.TempDir()
	for _, a := range audiences() {
		for shade := range palettes() {
			w := get(h, "/ogc/styles/"+a.id+"-"+shade)
			if err := os.WriteFile(filepath.Join(dir, a.id+"-"+shade+".json"), w.Body.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := exec.Command(node, script, dir).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		Layers int
		Wrong  []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Wrong) > 0 || got.Layers < 60 {
		t.Errorf("%d layers, wrong: %q", got.Layers, got.Wrong)
	}
}
