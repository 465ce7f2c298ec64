package pebble

import (
	"context"
	"testing"
	"time"

	"cityhub/twin"
)

// TestOpenDoesNotWaitForCompaction: a store left with much to compact opens
// without compacting first.
func TestOpenDoesNotWaitForCompaction(t *testing.T) {
	dir := t.TempDir()
	s, err := open(dir, Options{MemTableBytes: 1 << 20}) // without compactions, to leave some to do
	if err != nil {
		t.Fatal(err)
	}
	load := newLiveLoad(100_000, 500_000)
	for i := range 12 { // fewer flushes than stop writes
		if err := s.Append(context.Background(), load.fill(20_000), twin.Position{Epoch: "e", Offset: uint64(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(dir, Options{MemTableBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	m := s.db.Metrics()
	debt := m.Levels[0].Sublevels
	if debt < 8 {
		t.Fatalf("%d sublevels: nothing to compact, the test would show nothing", debt)
	}
	if m.Compact.Count != 0 || m.Compact.NumInProgress != 0 {
		t.Errorf("%d compactions during Open, %d go on", m.Compact.Count, m.Compact.NumInProgress)
	}
	s.compactions.start()
	eventually(t, "compacted", func() bool { return s.db.Metrics().Levels[0].Sublevels < 8 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkOpen opens a store of a million datastreams as it was left under
// full load, and reads their latest values: the start of the hub.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	load := newLiveLoad(1_000_000, 500_000)
	off := uint64(0)
	for b.Loop() {
		b.StopTimer()
		for range 30 {
			off++
			if err := s.Append(context.Background(), load.fill(50_000), twin.Position{Epoch: "e", Offset: off}); err != nil {
				b.Fatal(err)
			}
		}
		s.fail.background.Store(&context.Canceled) // keeps Close from flushing, as a kill does
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		start := time.Now()
		if s, err = Open(dir, Options{}); err != nil {
			b.Fatal(err)
		}
		opened := time.Since(start)
		n := 0
		if err := s.EachLatest(context.Background(), func(twin.Observation) bool { n++; return true }); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(opened.Milliseconds()), "ms-open")
		b.ReportMetric(float64(n), "datastreams")
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
