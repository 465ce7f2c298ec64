package pebble

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series"
	"cityhub/twin/series/seriestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	seriestest.Run(t, func(t *testing.T, dir string) series.Store {
		s, err := Open(dir, Options{MemTableBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func appendRows(t *testing.T, s *Store, rows ...twin.Observation) {
	t.Helper()
	b := &block.Batch{}
	for _, o := range rows {
		b.Append(o)
	}
	if err := s.Append(context.Background(), []*block.Batch{b}, twin.Position{}); err != nil {
		t.Fatal(err)
	}
}

func at(ds twin.DatastreamID, ns int64) twin.Observation {
	return twin.Observation{Datastream: ds, PhenomenonNs: ns, ResultNs: ns, Value: 1, Quality: twin.QualityGood}
}

func count(t *testing.T, s *Store, ds twin.DatastreamID) int64 {
	t.Helper()
	n, err := s.Count(context.Background(), ds, series.Window{FromNs: math.MinInt64})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	for _, c := range []struct {
		name  string
		dir   string
		o     Options
		code  twin.Code
		field string
	}{
		{"in use", dir, Options{}, twin.CodeConflict, ""},
		{"negative cache", t.TempDir(), Options{CacheBytes: -1}, twin.CodeInvalid, "CacheBytes"},
		{"tiny memtable", t.TempDir(), Options{MemTableBytes: 1}, twin.CodeInvalid, "MemTableBytes"},
		{"not a directory", filepath.Join(dir, "LOCK", "x"), Options{}, twin.CodeUnavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.dir, c.o)
			if err == nil {
				_ = s.Close()
			}
			if twin.ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.field) {
				t.Errorf("got %v, want code %s, field %q", err, c.code, c.field)
			}
		})
	}
}

// TestIndexIsWrittenOnceAnHour: the index costs one write for each datastream
// and hour, not for each append, and not again after a restart than once.
func TestIndexIsWrittenOnceAnHour(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	start := int64(hourOf(benchStart)) * hourNs
	written := 0
	for i := range int64(120) {
		appendRows(t, s, at(1, start+i*60e9), at(2, start+i*60e9), at(2, start-i*60e9))
		written += len(s.appending.masks)
	}
	if want := 2 + 2 + 2*60 + 2; written > want || written < 4 {
		t.Errorf("%d index entries, want at most %d", written, want)
	}
	appendRows(t, s, at(1, start+119*60e9+1))
	if n := len(s.appending.masks); n != 0 {
		t.Errorf("%d index entries for an hour that has one", n)
	}
}

// TestSparseRangeVisitsOnlyItsHours: one reading in 2013 and one in 2026 in a
// store where another datastream fills the hours between.
func TestSparseRangeVisitsOnlyItsHours(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	const hours = 13 * 365 * 24
	var rows []twin.Observation
	for i := range int64(hours) {
		rows = append(rows, at(1, benchStart-i*hourNs))
	}
	rows = append(rows, at(2, benchStart), at(2, benchStart-(hours-1)*hourNs))
	appendRows(t, s, rows...)
	var seeks int
	w := series.Window{FromNs: math.MinInt64}
	err := s.walk(context.Background(), "test", 2, w, func(it *pebble.Iterator, _ []byte) (bool, error) {
		st := it.Stats()
		seeks = st.ForwardSeekCount[pebble.InterfaceCall]
		return true, nil
	})
	if err != nil || seeks != 2 {
		t.Errorf("%d seeks, %v, want 2", seeks, err)
	}
	if n := count(t, s, 1); n != hours {
		t.Errorf("%d rows, want %d", n, hours)
	}
}

func TestDropBefore(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	start := int64(dayOf(hourOf(benchStart))) * 24 * hourNs
	var rows []twin.Observation
	for ds := twin.DatastreamID(1); ds <= 50; ds++ {
		for h := range int64(72) {
			rows = append(rows, at(ds, start+h*hourNs+int64(ds)), at(ds, start+h*hourNs+hourNs-1))
		}
	}
	rows = append(rows, at(99, start-400*24*hourNs), at(98, -5*hourNs))
	appendRows(t, s, rows...)
	ctx := context.Background()

	cut := start + 30*hourNs + 5 // in the midst of an hour, which stays whole
	for range 2 {
		if err := s.DropBefore(ctx, cut); err != nil {
			t.Fatal(err)
		}
		for ds := twin.DatastreamID(1); ds <= 50; ds++ {
			if n := count(t, s, ds); n != 2*42 {
				t.Fatalf("datastream %d has %d rows, want %d", ds, n, 2*42)
			}
		}
		if count(t, s, 99) != 0 || count(t, s, 98) != 0 {
			t.Error("old rows are left")
		}
	}
	if o, ok, err := s.Latest(ctx, 99); !ok || err != nil || o.PhenomenonNs != start-400*24*hourNs {
		t.Errorf("the latest went: %v, %v, %v", o, ok, err)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixIndex}, UpperBound: []byte{prefixIndex + 1}})
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for ok := it.First(); ok; ok = it.Next() {
		entries++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	if entries != 50*2 { // the day of the cut and the one after
		t.Errorf("%d index entries, want %d", entries, 50*2)
	}
	// A late row in a dropped hour is found again, although the hour was
	// marked before the drop.
	appendRows(t, s, at(1, start+hourNs), at(1, start+29*hourNs), at(99, start-400*24*hourNs))
	appendRows(t, s, at(1, start+hourNs+1))
	if n := count(t, s, 1); n != 2*42+3 {
		t.Errorf("%d rows after late ones, want %d", n, 2*42+3)
	}
	if n := count(t, s, 99); n != 1 {
		t.Errorf("%d rows after a late one, want 1", n)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.DropBefore(ended, math.MaxInt64); err != context.Canceled {
		t.Errorf("with an ended context: %v", err)
	}
}

// TestDropDuringLateAppends appends rows older than what is being dropped: in
// the end every row that is left is found through the index.
func TestDropDuringLateAppends(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	const datastreams = 20
	done := make(chan struct{})
	errs := make(chan error, 1)
	go func() {
		defer close(errs)
		for {
			select {
			case <-done:
				return
			default:
				if err := s.DropBefore(context.Background(), benchStart); err != nil {
					errs <- err
					return
				}
			}
		}
	}()
	for i := range int64(300) {
		var rows []twin.Observation
		for ds := twin.DatastreamID(1); ds <= datastreams; ds++ {
			rows = append(rows, at(ds, benchStart+i*60e9), at(ds, benchStart-(i%10)*24*hourNs-2*hourNs))
		}
		appendRows(t, s, rows...)
	}
	close(done)
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixRow}, UpperBound: []byte{prefixRow + 1}})
	if err != nil {
		t.Fatal(err)
	}
	stored, found := int64(0), int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		stored++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	for ds := twin.DatastreamID(1); ds <= datastreams; ds++ {
		found += count(t, s, ds)
	}
	if stored != found || found < 300*datastreams {
		t.Errorf("%d rows are stored, %d are found, want the same and at least %d", stored, found, 300*datastreams)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := Open(t.TempDir(), Options{Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	appendRows(t, s, at(1, 1), at(1, 2), at(2, 1))
	values := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	for name, ok := range map[string]func(float64) bool{
		"cityhub_series_rows_appended_total":     func(v float64) bool { return v == 3 },
		"cityhub_series_append_seconds":          func(v float64) bool { return v == 1 },
		"cityhub_series_disk_bytes":              func(v float64) bool { return v > 0 },
		"cityhub_series_memtable_bytes":          func(v float64) bool { return v > 0 },
		"cityhub_series_compaction_debt_bytes":   func(v float64) bool { return v == 0 },
		"cityhub_series_cache_bytes":             func(v float64) bool { return v >= 0 },
		"cityhub_series_stalls_total":            func(v float64) bool { return v == 0 },
		"cityhub_series_background_errors_total": func(v float64) bool { return v == 0 },
	} {
		if v, there := values[name]; !there || !ok(v) {
			t.Errorf("%s is %v, there %v", name, v, there)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if families, err = reg.Gather(); err != nil || len(families) != 0 {
		t.Errorf("after close: %d families, %v", len(families), err)
	}
}
