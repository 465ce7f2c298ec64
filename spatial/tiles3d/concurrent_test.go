package tiles3d

import (
	"net/http"
	"sync"
	"testing"

	"cityhub/spatial/city"
)

// TestConcurrent asks for every tile from many goroutines, with room for a few
// of them only, while the city changes.
func TestConcurrent(t *testing.T) {
	s := openStore(t)
	put(t, s, "a", true, these(field("p", 12, 120.6, 31.3)...))
	var mu sync.Mutex
	view := viewOf(t, s, "all", 1)
	h := newTilesets(t, Options{TileObjects: 10, CacheBytes: 20_000, Builds: 2, Gate: gateFunc(func(*http.Request) (*city.View, error) {
		mu.Lock()
		defer mu.Unlock()
		return view, nil
	})})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for name, a := range walk(t, h, "buildings") {
				if b := get(t, h, "GET", name, "Accept-Encoding", "gzip"); b.StatusCode != 200 || len(a.body) == 0 {
					t.Errorf("%s: %d", name, b.StatusCode)
				}
			}
		})
	}
	for version := uint64(2); version < 5; version++ {
		// The same objects, so that the same tiles stay available.
		put(t, s, "a", false, these(box("p7", 120.6+7*3e-4, 31.3, 1e-4, float64(version))))
		next := &city.View{Key: "all", Store: s, Index: newScan(t, s, version, nil)}
		mu.Lock()
		view = next
		mu.Unlock()
	}
	wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := int64(0)
	for e := h.contentL.Front(); e != nil; e = e.Next() {
		sum += int64(len(e.Value.(*built).gz))
	}
	if sum != h.bytes || h.bytes > 20_000 || len(h.contents) != h.contentL.Len() || len(h.layouts) != 1 {
		t.Errorf("%d bytes in %d contents, %d counted; %d layouts", sum, len(h.contents), h.bytes, len(h.layouts))
	}
}
