package postgis

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/internal/testkit"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, url string, clock func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Clock: clock})
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

func TestConformance(t *testing.T) {
	server := testkit.StartPostGIS(t, testkit.PostGISOptions{})
	template, _ := server.Database(t, "")
	server.Exec(t, template, "CREATE EXTENSION postgis")
	var mu sync.Mutex
	storetest.Run(t, func(t testing.TB, clock func() time.Time) store.Store {
		mu.Lock()
		defer mu.Unlock()
		_, url := server.Database(t, template)
		return open(t, url, clock)
	})
}
