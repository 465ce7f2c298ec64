package registry

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"cityhub/twin"
)

func BenchmarkTerminalCached(b *testing.B) {
	r := open(b, Options{})
	mustImport(b, r, city(100, 10))
	ctx := context.Background()
	if _, err := r.Terminal(ctx, "t-000042"); err != nil {
		b.Fatal(err)
	}
	prop := []byte("p07")
	b.ReportAllocs()
	for b.Loop() {
		t, err := r.Terminal(ctx, "t-000042")
		if err != nil || t.DatastreamBytes(prop) == nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDatastreamCached(b *testing.B) {
	r := open(b, Options{})
	mustImport(b, r, city(100, 10))
	ctx := context.Background()
	b.ReportAllocs()
	var i int
	for b.Loop() {
		i++
		if _, err := r.Datastream(ctx, twin.DatastreamID(1+i%1000)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkImport reports Datastreams a second of a first import into a file.
func BenchmarkImport(b *testing.B) {
	m := city(10_000, 10)
	var n int
	for b.Loop() {
		b.StopTimer()
		r, err := Open(context.Background(), Options{Path: filepath.Join(b.TempDir(), fmt.Sprintf("%d.db", n))})
		n++
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		mustImport(b, r, m)
		b.StopTimer()
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*100_000/b.Elapsed().Seconds(), "datastreams/s")
}

// BenchmarkMillion registers 1,000,000 Datastreams once and reports the import,
// the same import again, the opening, and the memory of all of them loaded.
func BenchmarkMillion(b *testing.B) {
	if b.N > 1 {
		return // one run says it
	}
	const n = 1_000_000
	ctx := context.Background()
	path := filepath.Join(b.TempDir(), "million.db")
	r, err := Open(ctx, Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	m := city(n/10, 10)
	start := time.Now()
	mustImport(b, r, m)
	b.ReportMetric(n/time.Since(start).Seconds(), "imported/s")
	start = time.Now()
	if res := mustImport(b, r, m); res.Unchanged != n/10 {
		b.Fatalf("again: %+v", res)
	}
	b.ReportMetric(n/time.Since(start).Seconds(), "unchanged/s")
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	m = nil
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	start = time.Now()
	if r, err = Open(ctx, Options{Path: path}); err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	b.ReportMetric(time.Since(start).Seconds()*1e3, "open-ms")
	start = time.Now()
	for id := twin.DatastreamID(1); id <= n; id++ {
		if _, err := r.Datastream(ctx, id); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(time.Since(start).Seconds(), "load-s")
	b.ReportMetric(float64(heap()-before)/n, "B/datastream")
	start = time.Now()
	for i := range n / 10 {
		if _, err := r.Terminal(ctx, fmt.Sprintf("t-%06d", i)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(time.Since(start).Seconds(), "terminals-s")
	b.ReportMetric(float64(heap()-before)/n, "B/datastream+terminals")
}
