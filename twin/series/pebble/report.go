package pebble

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
)

// failure remembers what went wrong inside Pebble.
type failure struct {
	logger     *slog.Logger
	fatal      atomic.Pointer[error] // for good: the store must be opened again
	background atomic.Pointer[error] // until the next flush or compaction succeeds
}

// record keeps the first fatal error.
func (f *failure) record(err error) {
	if f.fatal.CompareAndSwap(nil, &err) {
		f.logger.Error("series store: failed, it takes no more readings", "error", err)
	}
}

func (f *failure) err(op string) error {
	if p := f.fatal.Load(); p != nil {
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "the series store failed and takes no more readings", Hint: "look at the disk, then start the hub again; what is missing is read from the log", Err: *p}
	}
	return nil
}

func (f *failure) backgroundErr(op string) error {
	if p := f.background.Load(); p != nil {
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "the series store cannot write its tables", Hint: "look at the disk and its free space", Err: *p}
	}
	return nil
}

// logger passes Pebble's messages on. Its Fatalf must not end the process, as
// Pebble's own does: the rest of the hub, above all the log, goes on, and the
// store refuses readings instead.
type logger struct {
	*slog.Logger
	fail *failure
}

func (l *logger) Infof(format string, args ...any) {
	l.Debug("pebble: " + fmt.Sprintf(format, args...))
}
func (l *logger) Errorf(format string, args ...any) {
	l.Error("pebble: " + fmt.Sprintf(format, args...))
}
func (l *logger) Fatalf(format string, args ...any) {
	l.fail.record(fmt.Errorf("pebble: "+format, args...))
}

func (s *Store) listener() *pebble.EventListener {
	ended := func(err error) {
		if err == nil {
			s.fail.background.Store(nil)
		}
	}
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			s.metrics.backgroundErrors.Inc()
			if s.fail.background.Swap(&err) == nil {
				s.logger.Error("series store: background work failed", "error", err)
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			s.fail.record(fmt.Errorf("pebble: corrupt data: %s", i))
		},
		FlushEnd:      func(i pebble.FlushInfo) { ended(i.Err) },
		CompactionEnd: func(i pebble.CompactionInfo) { ended(i.Err) },
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			s.metrics.stalls.Inc()
			s.logger.Warn("series store: appending waits for flush or compaction", "reason", i.Reason)
		},
	}
}

// metrics are the store's metrics. Those of Pebble are read when asked for.
type metrics struct {
	store            *Store
	registry         prometheus.Registerer
	rows             prometheus.Counter
	seconds          prometheus.Histogram
	stalls           prometheus.Counter
	backgroundErrors prometheus.Counter
	diskBytes        *prometheus.Desc
	debtBytes        *prometheus.Desc
	memTableBytes    *prometheus.Desc
	cacheBytes       *prometheus.Desc
}

func newMetrics(s *Store) *metrics {
	const ns = "cityhub_series_"
	return &metrics{
		store:            s,
		rows:             prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "rows_appended_total", Help: "Observations stored, corrections included."}),
		seconds:          prometheus.NewHistogram(prometheus.HistogramOpts{Name: ns + "append_seconds", Help: "Time of one durable append.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
		stalls:           prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "stalls_total", Help: "Times that appending waited for a flush or a compaction."}),
		backgroundErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "background_errors_total", Help: "Failed flushes and compactions."}),
		diskBytes:        prometheus.NewDesc(ns+"disk_bytes", "Bytes on disk, the log of the store included.", nil, nil),
		debtBytes:        prometheus.NewDesc(ns+"compaction_debt_bytes", "Estimated bytes that wait for compaction.", nil, nil),
		memTableBytes:    prometheus.NewDesc(ns+"memtable_bytes", "Bytes of all memtables.", nil, nil),
		cacheBytes:       prometheus.NewDesc(ns+"cache_bytes", "Bytes of the block cache in use.", nil, nil),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if err := r.Register(m); err != nil {
		return err
	}
	m.registry = r
	return nil
}

func (m *metrics) unregister() {
	if m.registry != nil {
		m.registry.Unregister(m)
	}
}

// Describe is part of prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.rows.Describe(ch)
	m.seconds.Describe(ch)
	m.stalls.Describe(ch)
	m.backgroundErrors.Describe(ch)
	ch <- m.diskBytes
	ch <- m.debtBytes
	ch <- m.memTableBytes
	ch <- m.cacheBytes
}

// Collect is part of prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.rows.Collect(ch)
	m.seconds.Collect(ch)
	m.stalls.Collect(ch)
	m.backgroundErrors.Collect(ch)
	if m.store.begin("collect metrics") != nil {
		return
	}
	defer m.store.calls.Done()
	if m.store.disk.waiting.Load() > 0 || m.store.fail.fatal.Load() != nil {
		return // Pebble's lock may be held until there is space
	}
	p := m.store.db.Metrics()
	gauge := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	gauge(m.diskBytes, p.DiskSpaceUsage())
	gauge(m.debtBytes, p.Compact.EstimatedDebt)
	gauge(m.memTableBytes, p.MemTable.Size)
	gauge(m.cacheBytes, uint64(p.BlockCache.Size))
}
