package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series/pebble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func num(ds twin.DatastreamID, ns int64, v float64) twin.Observation {
	return twin.Observation{Datastream: ds, PhenomenonNs: ns, ResultNs: ns + 1, Value: v, Quality: twin.QualityGood}
}

func text(ds twin.DatastreamID, ns int64, s string) twin.Observation {
	return twin.Observation{Datastream: ds, PhenomenonNs: ns, ResultNs: ns + 2, Text: s, IsText: true, Quality: twin.QualitySuspect}
}

func batches(obs ...twin.Observation) []*block.Batch {
	b := &block.Batch{}
	b.Reset("", twin.DomainEnvironment)
	for _, o := range obs {
		b.Append(o)
	}
	return []*block.Batch{b}
}

func TestNewerOrEqualTimeWins(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []twin.Observation
		want twin.Observation
	}{
		{"first", []twin.Observation{num(1, 5, 1)}, num(1, 5, 1)},
		{"newer", []twin.Observation{num(1, 5, 1), num(1, 6, 2)}, num(1, 6, 2)},
		{"older", []twin.Observation{num(1, 5, 1), num(1, 4, 2)}, num(1, 5, 1)},
		{"correction", []twin.Observation{num(1, 5, 1), num(1, 5, 2)}, num(1, 5, 2)},
		{"before 1970 only", []twin.Observation{num(1, -5, 1), num(1, -6, 2)}, num(1, -5, 1)},
		{"text", []twin.Observation{text(1, 5, "open")}, text(1, 5, "open")},
		{"empty text", []twin.Observation{text(1, 5, "open"), text(1, 6, "")}, text(1, 6, "")},
		{"older text", []twin.Observation{text(1, 5, "open"), text(1, 4, "closed")}, text(1, 5, "open")},
		{"number after text", []twin.Observation{text(1, 5, "open"), num(1, 6, 7)}, num(1, 6, 7)},
		{"text after number", []twin.Observation{num(1, 5, 7), text(1, 5, "open")}, text(1, 5, "open")},
		{"neighbours", []twin.Observation{num(2, 9, 9), num(1, 5, 1), text(3, 9, "x"), num(2, 10, 8)}, num(1, 5, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			together, apart := New(), New()
			together.Apply(batches(c.rows...), twin.Position{})
			for range 2 { // the second time is a replay
				for _, r := range c.rows {
					apart.Apply(batches(r), twin.Position{})
				}
			}
			if got, ok := together.Latest(1); !ok || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, ok, c.want)
			}
			want := c.want
			if c.name == "correction" || c.name == "text after number" {
				want = c.rows[len(c.rows)-1]
			}
			if got, ok := apart.Latest(1); !ok || got != want {
				t.Errorf("row by row and again: got %+v, %v, want %+v", got, ok, want)
			}
		})
	}
}

func TestEmpty(t *testing.T) {
	s := New()
	s.Apply(batches(num(300, 1, 1)), twin.Position{Epoch: "e", Offset: 3})
	for _, ds := range []twin.DatastreamID{-1, 0, 1, 299, 301, 5000, MaxDatastream, MaxDatastream + 1} {
		if o, ok := s.Latest(ds); ok || o != (twin.Observation{}) {
			t.Errorf("datastream %d: %+v, %v", ds, o, ok)
		}
	}
	if s.Len() != 1 || s.Position() != (twin.Position{Epoch: "e", Offset: 3}) {
		t.Errorf("len %d, position %v", s.Len(), s.Position())
	}
}

func TestIDsOfNoRegistryAreCounted(t *testing.T) {
	s := New()
	s.Apply(batches(num(1, 1, 1), num(0, 1, 1), num(-7, 1, 1), num(MaxDatastream+1, 1, 1), num(-7, 1, 1), num(2, 1, 1)), twin.Position{})
	if s.Ignored() != 4 || s.Len() != 2 {
		t.Errorf("ignored %d, len %d, want 4 and 2", s.Ignored(), s.Len())
	}
}

func TestEachAscends(t *testing.T) {
	s := New()
	want := map[twin.DatastreamID]twin.Observation{}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		o := num(twin.DatastreamID(1+rng.IntN(100_000)), rng.Int64N(100), rng.Float64())
		if rng.IntN(3) == 0 {
			o = text(o.Datastream, o.PhenomenonNs, fmt.Sprint(rng.IntN(9)))
		}
		s.Apply(batches(o), twin.Position{})
		if old, ok := want[o.Datastream]; !ok || o.PhenomenonNs >= old.PhenomenonNs {
			want[o.Datastream] = o
		}
	}
	n, last := 0, twin.DatastreamID(0)
	s.Each(func(o twin.Observation) bool {
		if n++; o != want[o.Datastream] || o.Datastream <= last {
			t.Fatalf("got %+v after %d, want %+v", o, last, want[o.Datastream])
		}
		last = o.Datastream
		return true
	})
	if n != len(want) || s.Len() != n {
		t.Errorf("%d observations, Len %d, want %d", n, s.Len(), len(want))
	}
	n = 0
	s.Each(func(twin.Observation) bool { n++; return n < 5 })
	if n != 5 {
		t.Errorf("stopped after %d, want 5", n)
	}
}

func TestLoad(t *testing.T) {
	store, err := pebble.Open(t.TempDir(), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := context.Background()
	pos := twin.Position{Epoch: "e", Offset: 9}
	if err := store.Append(ctx, batches(num(1, 5, 1), num(1, 4, 0), text(700, 3, "open"), num(2, 1, 2)), pos); err != nil {
		t.Fatal(err)
	}
	s := New()
	if got, err := s.Load(ctx, store); err != nil || got != pos || s.Position() != pos {
		t.Fatalf("position %v, %v, %v, want %v", got, s.Position(), err, pos)
	}
	for _, want := range []twin.Observation{num(1, 5, 1), text(700, 3, "open"), num(2, 1, 2)} {
		if got, ok := s.Latest(want.Datastream); !ok || got != want {
			t.Errorf("got %+v, %v, want %+v", got, ok, want)
		}
	}
	if s.Len() != 3 {
		t.Errorf("len %d, want 3", s.Len())
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := New().Load(ended, store); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// TestReadersDuringApply checks that a reader never sees half of an
// observation, an older one after a newer, or a position before its rows.
func TestReadersDuringApply(t *testing.T) {
	s := New()
	const rounds, datastreams = 400, 700
	var done atomic.Bool
	var wg sync.WaitGroup
	whole := func(o twin.Observation) bool {
		if o.IsText {
			return o.Text == fmt.Sprint(o.PhenomenonNs) && o.ResultNs == o.PhenomenonNs+2
		}
		return o.Value == float64(o.PhenomenonNs) && o.ResultNs == o.PhenomenonNs+1
	}
	for range 2 {
		wg.Go(func() {
			var seen [datastreams + 1]int64
			for !done.Load() {
				pos := int64(s.Position().Offset)
				s.Each(func(o twin.Observation) bool {
					if !whole(o) || o.PhenomenonNs < seen[o.Datastream] || o.PhenomenonNs < pos {
						t.Errorf("%+v after %d at position %d", o, seen[o.Datastream], pos)
						return false
					}
					seen[o.Datastream] = o.PhenomenonNs
					return true
				})
				if o, ok := s.Latest(3); ok && !whole(o) {
					t.Errorf("%+v", o)
				}
				runtime.Gosched()
			}
		})
	}
	for r := int64(1); r <= rounds; r++ {
		var obs []twin.Observation
		for ds := twin.DatastreamID(1); ds <= datastreams; ds++ {
			if (int64(ds)+r)%3 == 0 {
				obs = append(obs, text(ds, r, fmt.Sprint(r)))
			} else {
				obs = append(obs, num(ds, r, float64(r)))
			}
		}
		s.Apply(batches(obs...), twin.Position{Offset: uint64(r)})
	}
	done.Store(true)
	wg.Wait()
}

// BenchmarkApply reports the cost of a row. Readings of a terminal lie side by
// side; scattered rows over many datastreams are bound by memory, a cache miss
// or two each.
func BenchmarkApply(b *testing.B) {
	const rows = 65_536
	for _, c := range []struct {
		name        string
		datastreams int
		run         int // neighbouring datastreams in a row
	}{{"terminals of 8 of a million", 1_000_000, 8}, {"scattered over 100 thousand", 100_000, 1}, {"scattered over a million", 1_000_000, 1}, {"in order", 1_000_000, rows}} {
		b.Run(c.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			s := full(c.datastreams)
			var bs []*block.Batch
			for range 8 {
				batch := &block.Batch{}
				batch.Reset("", twin.DomainEnvironment)
				for batch.Len() < rows {
					first := 1 + rng.IntN(c.datastreams-c.run)
					for i := range c.run {
						batch.AppendNumber(twin.DatastreamID(first+i), 1, 1, 1, twin.QualityGood)
					}
				}
				bs = append(bs, batch)
			}
			i := 0
			for b.Loop() {
				s.Apply(bs[i%8:i%8+1], twin.Position{Offset: uint64(i)}) // equal times: every row is set
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}

func full(n int) *State {
	s := New()
	b := &block.Batch{}
	for i := 1; i <= n; i++ {
		b.Reset("", "")
		b.AppendNumber(twin.DatastreamID(i), 1, 1, 1, twin.QualityGood)
		s.Apply([]*block.Batch{b}, twin.Position{})
	}
	return s
}

func BenchmarkLatest(b *testing.B) {
	s := full(1_000_000)
	b.Run("one reader", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i = (i*7919 + 13) % 1_000_000
			s.Latest(twin.DatastreamID(i + 1))
		}
	})
	b.Run("each of a million", func(b *testing.B) {
		for b.Loop() {
			n := 0
			s.Each(func(twin.Observation) bool { n++; return true })
		}
	})
}

// BenchmarkMemory reports the heap bytes that a numeric Datastream takes.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := full(1_000_000)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/datastream")
		runtime.KeepAlive(s)
	}
}
