package features

import (
	"net/http/httptest"
	"sync"
	"testing"
)

// Many callers at once: caches and buffers are shared by all of them.
func TestConcurrent(t *testing.T) {
	w := village(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 6 {
				path := []string{"/ogc/collections/live/items?filter=pm25%3E1", "/ogc/collections/buildings/items?storeys=3&limit=2", "/ogc/collections/buildings/queryables", "/ogc/collections/buildings/items?f=jsonfg&crs=EPSG:4549", "/ogc/collections/roads/items?f=html", "/ogc/api"}[(i+j)%6]
				rec := httptest.NewRecorder()
				w.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
				if rec.Code != 200 {
					t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
				}
			}
		})
	}
	wg.Wait()
}
