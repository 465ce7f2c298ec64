package gpkg

import (
	"path/filepath"
	"testing"
	"time"

	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

func openBench(t testing.TB, clock func() time.Time) store.Store {
	return open(t, filepath.Join(t.TempDir(), "bench.gpkg"), clock)
}

func BenchmarkImport(b *testing.B)  { storetest.BenchmarkImport(b, openBench) }
func BenchmarkMillion(b *testing.B) { storetest.BenchmarkMillion(b, openBench) }
