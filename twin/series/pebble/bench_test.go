package pebble

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series"
)

const benchStart = int64(1_790_000_000_000_000_000)

// liveLoad makes batches as they come from the log: every datastream in random
// order, time going on.
type liveLoad struct {
	rng         *rand.Rand
	order       []int32
	next        int
	ns          int64
	batch       block.Batch
	one         [1]*block.Batch
	stepNs      int64
	datastreams int
}

func newLiveLoad(datastreams int, rowsPerSecond int64) *liveLoad {
	l := &liveLoad{rng: rand.New(rand.NewPCG(1, 2)), ns: benchStart, datastreams: datastreams, stepNs: 1e9 / rowsPerSecond}
	for _, i := range l.rng.Perm(datastreams) {
		l.order = append(l.order, int32(i+1))
	}
	return l
}

func (l *liveLoad) fill(rows int) []*block.Batch {
	l.batch.Reset("320508", twin.DomainEnvironment)
	for range rows {
		l.ns += l.stepNs
		v := float64(l.rng.IntN(1000)) / 10
		l.batch.AppendNumber(twin.DatastreamID(l.order[l.next]), l.ns, l.ns+int64(l.rng.IntN(5e6)), v, twin.QualityGood)
		if l.next++; l.next == len(l.order) {
			l.next = 0
		}
	}
	l.one[0] = &l.batch
	return l.one[:]
}

func benchOpen(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkAppend reports rows/s for durable appends of live readings.
func BenchmarkAppend(b *testing.B) {
	for _, datastreams := range []int{10_000, 1_000_000} {
		for _, rows := range []int{4096, 16384, 65536} {
			b.Run(fmt.Sprintf("datastreams=%d/rows=%d", datastreams, rows), func(b *testing.B) {
				s := benchOpen(b)
				load := newLiveLoad(datastreams, 500_000)
				var off uint64
				var filling time.Duration
				b.ResetTimer()
				for b.Loop() {
					t := time.Now()
					batches := load.fill(rows)
					filling += time.Since(t)
					off++
					if err := s.Append(context.Background(), batches, twin.Position{Epoch: "e", Offset: off}); err != nil {
						b.Fatal(err)
					}
				}
				took := b.Elapsed() - filling
				b.ReportMetric(float64(rows)*float64(b.N)/took.Seconds(), "rows/s")
				b.ReportMetric(float64(s.db.Metrics().DiskSpaceUsage())/float64(rows)/float64(b.N), "diskB/row")
			})
		}
	}
}

// BenchmarkRangeDay reads one day of a datastream with a reading a minute, in
// a store where 2,000 others do the same.
func BenchmarkRangeDay(b *testing.B) {
	s := benchOpen(b)
	load := newLiveLoad(2000, 2000)
	load.stepNs = 60e9 / 2000
	for i := range 1440 * 2000 / 48_000 {
		if err := s.Append(context.Background(), load.fill(48_000), twin.Position{Epoch: "e", Offset: uint64(i + 1)}); err != nil {
			b.Fatal(err)
		}
	}
	day := series.Window{FromNs: benchStart, ToNs: benchStart + 24*hourNs}
	read := func(b *testing.B, w series.Window, limit int) {
		n, ds := 0, twin.DatastreamID(0)
		var worst time.Duration
		for b.Loop() {
			ds = ds%2000 + 1
			t, got := time.Now(), 0
			err := s.Range(context.Background(), ds, w, func(twin.Observation) bool { got++; return got < limit })
			worst = max(worst, time.Since(t))
			if err != nil || got == 0 {
				b.Fatal(err, got)
			}
			n += got
		}
		b.ReportMetric(float64(n)/float64(b.N), "rows/op")
		b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
	}
	b.Run("day", func(b *testing.B) { read(b, day, 1<<30) })
	b.Run("top1", func(b *testing.B) { read(b, series.Window{Descending: true}, 1) })
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			if n, err := s.Count(context.Background(), 7, day); n != 1440 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkEachLatest scans the latest values of a million datastreams, right
// after appends, with what is in memtables and level 0.
func BenchmarkEachLatest(b *testing.B) {
	s := benchOpen(b)
	const n = 1_000_000
	load := newLiveLoad(n, 500_000)
	for i := range 3 * n / 50_000 {
		if err := s.Append(context.Background(), load.fill(50_000), twin.Position{Epoch: "e", Offset: uint64(i + 1)}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		got := 0
		if err := s.EachLatest(context.Background(), func(twin.Observation) bool { got++; return true }); err != nil || got != n {
			b.Fatal(err, got)
		}
	}
}
