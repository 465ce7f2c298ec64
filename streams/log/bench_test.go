package log

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
)

func percentiles(b *testing.B, d []time.Duration, names ...string) {
	slices.Sort(d)
	for i, p := range []int{50, 99} {
		b.ReportMetric(float64(d[min(len(d)-1, len(d)*p/100)].Nanoseconds())/1000, names[i])
	}
}

// BenchmarkAppend has one caller at a time, as ingest has: every call waits
// for the disk.
func BenchmarkAppend(b *testing.B) {
	for _, rows := range []int{1, 200, 2000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			l := mustOpen(b, testOptions(b.TempDir()))
			batch := []*block.Batch{rowsFrom("320508", twin.DomainTransport, 0, rows)}
			took := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				if _, err := l.Append(b.Context(), batch, nil); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
			percentiles(b, took, "p50-µs", "p99-µs")
		})
	}
}

// BenchmarkAppendDomains shows what a group costs that is spread over all five
// domains: a record and a sync each.
func BenchmarkAppendDomains(b *testing.B) {
	l := mustOpen(b, testOptions(b.TempDir()))
	var batches []*block.Batch
	for _, d := range twin.Domains() {
		batches = append(batches, rowsFrom("320508", d, 0, 400))
	}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		if _, err := l.Append(b.Context(), batches, nil); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	b.ReportMetric(float64(b.N*2000)/b.Elapsed().Seconds(), "rows/s")
	percentiles(b, took, "p50-µs", "p99-µs")
}

// BenchmarkAppendParallel has four callers.
func BenchmarkAppendParallel(b *testing.B) {
	l := mustOpen(b, testOptions(b.TempDir()))
	b.SetParallelism(2)
	b.RunParallel(func(pb *testing.PB) {
		batch := []*block.Batch{rowsFrom("320508", twin.DomainTransport, 0, 200)}
		for pb.Next() {
			if _, err := l.Append(b.Context(), batch, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// BenchmarkAppendToTail is the time from Append's call, and from its return,
// to fn, of one record at a time.
func BenchmarkAppendToTail(b *testing.B) {
	l := mustOpen(b, testOptions(b.TempDir()))
	ctx, cancel := context.WithCancel(b.Context())
	arrived := make(chan time.Time, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- l.Tail(ctx, twin.Position{}, TailOptions{}, func(context.Context, []*block.Batch, twin.Position) error {
			arrived <- time.Now()
			return nil
		})
	}()
	batch := []*block.Batch{rowsFrom("320508", twin.DomainTransport, 0, 200)}
	var called, returned []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := l.Append(b.Context(), batch, nil); err != nil {
			b.Fatal(err)
		}
		durable := time.Now()
		at := <-arrived
		called = append(called, at.Sub(start))
		returned = append(returned, max(0, at.Sub(durable)))
	}
	cancel()
	<-ended
	percentiles(b, called, "call-p50-µs", "call-p99-µs")
	percentiles(b, returned, "durable-p50-µs", "durable-p99-µs")
}

// BenchmarkTailCatchUp reads a log from its beginning.
func BenchmarkTailCatchUp(b *testing.B) {
	for _, rows := range []int{50, 2000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			l := mustOpen(b, testOptions(b.TempDir()))
			total := 0
			var last twin.Position
			for range 2_000_000 / rows / 20 {
				var batches []*block.Batch
				for range 20 {
					batches = append(batches, rowsFrom("", twin.DomainTransport, total, rows))
					total += rows
				}
				last = mustAppend(b, l, batches...)
				if rows == 50 && total >= 500_000 {
					break
				}
			}
			end := fmt.Errorf("end")
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Tail(b.Context(), twin.Position{}, TailOptions{}, func(_ context.Context, _ []*block.Batch, pos twin.Position) error {
					if pos == last {
						return end
					}
					return nil
				}); err != end {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(total)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
