package tiles3d

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cityhub/spatial"
	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// BenchmarkTileset builds the whole tileset of Suzhou's old town, 8 242
// buildings, from the store.
func BenchmarkTileset(b *testing.B) {
	s := openStore(b)
	realFile(b, s, realFiles[0].folder, realFiles[0].file, "suzhou")
	view := viewOf(b, s, "all", 1)
	b.ReportAllocs()
	for b.Loop() {
		var bytes int64
		stats, err := newTilesets(b, Options{}).Build(b.Context(), view, "buildings", func(_ string, f []byte) error {
			bytes += int64(len(f))
			return nil
		})
		if err != nil || stats.Objects != 8242 {
			b.Fatal(stats, err)
		}
		b.SetBytes(bytes)
	}
	b.ReportMetric(8242*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkContent draws 400 buildings that are in memory and writes the GLB.
func BenchmarkContent(b *testing.B) {
	opt, err := Options{}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	s := openStore(b)
	realFile(b, s, realFiles[0].folder, realFiles[0].file, "suzhou")
	page, err := s.Query(b.Context(), store.Query{Class: spatial.ClassBuilding, Geometries: true, Limit: 400})
	if err != nil {
		b.Fatal(err)
	}
	g := page.Versions[0].Footprint.XYZ
	at := cellAt(g[0], g[1], 16)
	draw := func() *content {
		c := newContent(&opt, at, true)
		for _, v := range page.Versions {
			c.add(v)
		}
		return c
	}
	b.Run("draw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			draw()
		}
	})
	c := draw()
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			glb, err := c.glb()
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(glb)))
		}
	})
}

// BenchmarkMillion is a city of a million buildings: coarse and fine tiles that
// are asked for the first time, and again.
func BenchmarkMillion(b *testing.B) {
	s := openStore(b)
	const n = 1_000_000
	_, err := s.Import(b.Context(), store.ImportOptions{Dataset: "m", Complete: true}, func(yield func(*spatial.CityObject, error) bool) {
		for i := range n {
			if !yield(box(fmt.Sprint(i), 120.4+float64(i%1000)*4e-4, 31.1+float64(i/1000)*4e-4, 1e-4+float64(i%13)*2e-5, 5+float64(i%40)), nil) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	view := &city.View{Key: "all", Store: s, Index: newFlatScan(b, s)}
	h := newTilesets(b, Options{Gate: gateFunc(func(*http.Request) (*city.View, error) { return view, nil })})
	col, _ := city.CollectionOf("buildings")
	l, err := h.layout(b.Context(), view, col)
	if err != nil {
		b.Fatal(err)
	}
	serve := func(b *testing.B, x *tile) time.Duration {
		root, address := l.address(x.cell)
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/3dtiles/buildings/"+root.String()+"/content/"+address+".glb", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		begin := time.Now()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
		return time.Since(begin)
	}
	b.Run("subtree", func(b *testing.B) {
		for b.Loop() {
			l.subtrees.Clear()
			if _, err := l.subtree(l.tiles[l.roots[0]].cell); err != nil {
				b.Fatal(err)
			}
		}
	})
	var leaves, inner []*tile
	for i := range l.tiles {
		if l.tiles[i].leaf {
			leaves = append(leaves, &l.tiles[i])
		} else {
			inner = append(inner, &l.tiles[i])
		}
	}
	b.Logf("%d tiles without children, %d with, %d levels", len(leaves), len(inner), l.depth+1)
	b.Run("root", func(b *testing.B) {
		i := 0
		for b.Loop() {
			serve(b, inner[i%len(inner)]) // each for the first time
			i++
		}
	})
	b.Run("leaf", func(b *testing.B) {
		i := 0
		for b.Loop() {
			serve(b, leaves[i*37%len(leaves)])
			i++
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			serve(b, leaves[0])
		}
	})
}

// BenchmarkLayout makes the tiles of a million objects from the index.
func BenchmarkLayout(b *testing.B) {
	const n = 1_000_000
	v := &scan{version: 1, objects: make([]index.Object, n)}
	for i := range v.objects {
		p := orb.Point{120.4 + float64(i%1000)*4e-4, 31.1 + float64(i/1000)*4e-4}
		v.objects[i] = index.Object{Position: int64(i + 1), Class: spatial.ClassBuilding, LowMetres: 3, HighMetres: 4 + float64(i%50),
			Bound: orb.Bound{Min: p, Max: orb.Point{p[0] + 1e-4 + float64(i%13)*2e-5, p[1] + 1e-4}}}
	}
	h := newTilesets(b, Options{})
	col, _ := city.CollectionOf("buildings")
	b.ReportAllocs()
	for b.Loop() {
		l, err := h.newLayout(b.Context(), &city.View{Index: v}, col)
		if err != nil || len(l.items) != n {
			b.Fatal(len(l.items), err)
		}
	}
}

func newFlatScan(b *testing.B, s store.Reader) *scan {
	return newScanOf(b, s, 1, nil, false)
}
