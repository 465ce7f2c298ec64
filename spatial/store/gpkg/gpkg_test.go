package gpkg

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string, clock func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path, Clock: clock})
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
	storetest.Run(t, func(t testing.TB, clock func() time.Time) store.Store {
		return open(t, filepath.Join(t.TempDir(), "城 a?b#%20.gpkg"), clock)
	})
}
