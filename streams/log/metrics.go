package log

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
)

// metrics of a Log. They count whether or not there is a registry.
type metrics struct {
	reg          prometheus.Registerer
	registered   []prometheus.Collector
	records      *prometheus.CounterVec // by stream
	bytes        *prometheus.CounterVec // by stream
	observations prometheus.Counter
	rejects      prometheus.Counter
	failures     prometheus.Counter
	seconds      prometheus.Histogram
	restarts     prometheus.Counter
	undecodable  prometheus.Counter
	lost         prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, l *Log) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "cityhub_log_" + name, Help: help})
	}
	vec := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cityhub_log_" + name, Help: help}, []string{"stream"})
	}
	m := &metrics{
		reg:          reg,
		records:      vec("append_records_total", "Records made durable."),
		bytes:        vec("append_bytes_total", "Bytes of the records made durable, without headers."),
		observations: counter("append_observations_total", "Observations made durable."),
		rejects:      counter("append_rejects_total", "Rejects made durable."),
		failures:     counter("append_failures_total", "Calls of Append that returned an error."),
		restarts:     counter("restarts_total", "Restarts of the embedded server after it could not write."),
		undecodable:  counter("undecodable_records_total", "Records that a tail skipped because they could not be decoded, counted by every tail that met them."),
		lost:         counter("missing_records_total", "Records that a tail found missing inside the log: the server lost them, counted by every tail that met them."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cityhub_log_append_seconds", Help: "Time from Append to durable.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, 1, 5},
		}),
	}
	if reg == nil {
		return m, nil
	}
	free := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cityhub_log_disk_free_bytes", Help: "Free space of the disk of the embedded log; -1: not known or not embedded."},
		func() float64 { return float64(l.disk.bytes()) })
	healthy := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cityhub_log_healthy", Help: "1 when the log takes records, else 0."},
		func() float64 {
			if l.Healthy(context.Background()) != nil {
				return 0
			}
			return 1
		})
	for _, c := range []prometheus.Collector{m.records, m.bytes, m.observations, m.rejects, m.failures, m.seconds, m.restarts, m.undecodable, m.lost, free, healthy} {
		if err := reg.Register(c); err != nil {
			m.unregister()
			return nil, &twin.Error{Code: twin.CodeConflict, Op: "open log", Field: "metrics", Message: "the metrics of a log are registered already", Hint: "one registry serves one open log", Err: err}
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.reg.Unregister(c)
	}
	m.registered = nil
}
