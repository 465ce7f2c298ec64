package ingest

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
)

// metrics of the pipeline. What changes at every message is a plain atomic
// that a scrape reads; received = stored + rejected holds between groups.
type metrics struct {
	messages, received, stored   atomic.Uint64
	groups, retries, withheld    atomic.Uint64
	groupSeconds                 prometheus.Histogram
	rejectedReadings, rejectedBy *prometheus.CounterVec
}

func (m *metrics) register(reg prometheus.Registerer, p *Pipeline) {
	m.groupSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "cityhub_ingest_group_seconds", Help: "Time to make one group durable.",
		Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16),
	})
	m.rejectedBy = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cityhub_ingest_rejects_total", Help: "Rejects recorded, by reason.",
	}, []string{"reason"})
	m.rejectedReadings = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cityhub_ingest_rejected_readings_total", Help: "Readings refused, by reason; received = stored + rejected.",
	}, []string{"reason"})
	if reg == nil {
		return
	}
	counter := func(name, help string, v *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	reg.MustRegister(
		counter("cityhub_ingest_messages_total", "Messages taken from the sources.", &m.messages),
		counter("cityhub_ingest_received_readings_total", "Readings decoded from messages.", &m.received),
		counter("cityhub_ingest_stored_readings_total", "Readings durable in the log.", &m.stored),
		counter("cityhub_ingest_groups_total", "Groups made durable.", &m.groups),
		counter("cityhub_ingest_append_retries_total", "Attempts to append a group that failed.", &m.retries),
		counter("cityhub_ingest_withheld_total", "Times a source had to wait because the open group was full.", &m.withheld),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cityhub_ingest_open_group_readings", Help: "Readings in the group that gathers."}, func() float64 {
			n, _, _ := p.Open()
			return float64(n)
		}),
		m.groupSeconds, m.rejectedBy, m.rejectedReadings,
	)
}

func (m *metrics) countRejects(rejects []twin.Reject) {
	for i := range rejects {
		r := &rejects[i]
		m.rejectedBy.WithLabelValues(string(r.Reason)).Inc()
		m.rejectedReadings.WithLabelValues(string(r.Reason)).Add(float64(r.Readings))
	}
}
