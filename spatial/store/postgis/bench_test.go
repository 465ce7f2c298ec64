package postgis

import (
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/spatial/store"
	"cityhub/spatial/store/storetest"
)

// openBench opens databases of a server that waits for the disk.
func openBench(b *testing.B) storetest.Open {
	server := testkit.StartPostGIS(b, testkit.PostGISOptions{Config: []string{"fsync = on", "shared_buffers = 512MB", "max_wal_size = 4GB", "maintenance_work_mem = 256MB"}})
	return func(t testing.TB, clock func() time.Time) store.Store {
		_, url := server.Database(b, "")
		return open(t, url, clock)
	}
}

func BenchmarkImport(b *testing.B)  { storetest.BenchmarkImport(b, openBench(b)) }
func BenchmarkMillion(b *testing.B) { storetest.BenchmarkMillion(b, openBench(b)) }
