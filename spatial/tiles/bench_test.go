package tiles

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sort"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/mvt"
	"github.com/paulmach/orb/geojson"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// million is a grid with n buildings of 6 to 60 m over a city of some 60 km,
// with the size of the largest part of real building stock: few are large.
func million(n int) *gridIndex {
	r := rand.New(rand.NewPCG(1, 2))
	g := newGrid(1)
	for i := range n {
		side := (6 + 54*math.Pow(r.Float64(), 4)) / 111_320
		lon, lat := 120.35+r.Float64()*0.6, 31.05+r.Float64()*0.5
		w, h := side/math.Cos(lat*math.Pi/180), side*(0.5+r.Float64()/2)
		ring := orb.Ring{{lon, lat}, {lon + w, lat + h*0.05}, {lon + w*0.98, lat + h}, {lon + w*0.5, lat + h*0.97}, {lon + w*0.48, lat + h*0.6}, {lon, lat + h*0.62}, {lon, lat}}
		g.add(index.Object{Position: int64(i + 1), Key: store.Key{Dataset: "made", ID: fmt.Sprintf("b%d", i)}, Class: spatial.ClassBuilding, Type: "Building",
			Bound: ring.Bound(), LowMetres: 0, HighMetres: float64(3 + r.IntN(97))}, orb.Polygon{ring})
	}
	return g
}

// emptyStore answers queries by position with nothing, so that cold tiles measure
// this package. BenchmarkColdTileWithStore has the real one.
type emptyStore struct{ store.Reader }

// BenchmarkColdTile makes tiles over a million buildings, each of them anew, and
// reports the 95th percentile (design.md, section 6: 50 ms).
func BenchmarkColdTile(b *testing.B) {
	g := million(1_000_000)
	view := &city.View{Key: "k", Store: emptyStore{}, Index: g, Observed: &readings{}}
	set, _ := matrixSetOf("WebMercatorQuad")
	for _, z := range []int{8, 10, 11, 12, 13, 14} {
		b.Run(fmt.Sprintf("z%d", z), func(b *testing.B) {
			h := handlerOf(b, &gate{views: map[string]*city.View{"": view}}, func(o *Options) { o.CacheBytes = 1 })
			list := tilesOver(set, z, orb.Bound{Min: orb.Point{120.45, 31.15}, Max: orb.Point{120.85, 31.45}})
			rand.New(rand.NewPCG(3, 4)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			var took []time.Duration
			var bytes, n int
			for i := 0; b.Loop(); i++ {
				at := list[i%len(list)]
				start := time.Now()
				w := get(h, fmt.Sprintf("/ogc/collections/buildings/tiles/WebMercatorQuad/%d/%d/%d", z, at.row, at.col), "Accept-Encoding", "gzip")
				took = append(took, time.Since(start))
				if w.Code != http.StatusOK && w.Code != http.StatusNoContent {
					b.Fatalf("status %d: %s", w.Code, w.Body)
				}
				bytes += w.Body.Len()
				n++
			}
			sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(bytes/n)/1024, "KiB/tile")
		})
	}
}

// BenchmarkCachedTile serves one tile again and again (design.md, section 6: 2 ms).
func BenchmarkCachedTile(b *testing.B) {
	g := million(100_000)
	view := &city.View{Key: "k", Store: emptyStore{}, Index: g, Observed: &readings{}}
	h := handlerOf(b, &gate{views: map[string]*city.View{"": view}}, nil)
	path := "/ogc/collections/buildings/tiles" + at("WebMercatorQuad", 12)
	b.Run("gzip", func(b *testing.B) {
		for b.Loop() {
			if w := get(h, path, "Accept-Encoding", "gzip"); w.Code != 200 {
				b.Fatal(w.Code)
			}
		}
	})
	b.Run("identity", func(b *testing.B) {
		for b.Loop() {
			if w := get(h, path); w.Code != 200 {
				b.Fatal(w.Code)
			}
		}
	})
}

// BenchmarkEncode writes 10 000 buildings with five attributes into one layer,
// with this package's writer and with orb's.
func BenchmarkEncode(b *testing.B) {
	g := million(10_000)
	set, _ := matrixSetOf("WebMercatorQuad")
	t := tile{set, 9, 208, 427}
	p := t.projection()
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, l := shaper{p: p}, newLayer("buildings")
			for i, o := range g.objects {
				kind, commands := s.encode(orb.Clone(g.shapes[i]))
				if len(commands) == 0 {
					continue
				}
				setObject(l, o)
				l.add(uint64(o.Position), kind, commands)
			}
			if len(l.appendTo(nil)) == 0 {
				b.Fatal("nothing")
			}
		}
	})
	b.Run("orb", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fc := geojson.NewFeatureCollection()
			for i, o := range g.objects {
				f := geojson.NewFeature(projected(orb.Clone(g.shapes[i]).(orb.Polygon), p))
				f.ID = uint64(o.Position)
				f.Properties = geojson.Properties{"id": o.Key.ID, "dataset": o.Key.Dataset, "class": string(o.Class), "type": o.Type, "height": o.HighMetres - o.LowMetres}
				fc.Append(f)
			}
			ls := mvt.Layers{mvt.NewLayer("buildings", fc)}
			ls.Clip(orb.Bound{Min: orb.Point{low, low}, Max: orb.Point{high, high}})
			if data, err := mvt.Marshal(ls); err != nil || len(data) == 0 {
				b.Fatal(err)
			}
		}
	})
}

func projected(g orb.Polygon, p projection) orb.Polygon {
	for _, r := range g {
		for i := range r {
			r[i][0], r[i][1] = p.point(r[i][0], r[i][1])
		}
	}
	return g
}
