package webhook

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	confirmed, failed, readings prometheus.Counter
	took                        prometheus.Histogram
}

// newMetrics registers the metrics; a Manager is asked for its gauges.
func newMetrics(reg prometheus.Registerer, m *Manager) (*metrics, error) {
	v := &metrics{
		confirmed: prometheus.NewCounter(prometheus.CounterOpts{Name: "cityhub_webhook_deliveries_total", Help: "Tries to deliver.", ConstLabels: prometheus.Labels{"outcome": "confirmed"}}),
		failed:    prometheus.NewCounter(prometheus.CounterOpts{Name: "cityhub_webhook_deliveries_total", Help: "Tries to deliver.", ConstLabels: prometheus.Labels{"outcome": "failed"}}),
		readings:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cityhub_webhook_readings_total", Help: "Readings in confirmed deliveries."}),
		took:      prometheus.NewHistogram(prometheus.HistogramOpts{Name: "cityhub_webhook_delivery_seconds", Help: "Time that a try took.", Buckets: []float64{.005, .02, .1, .5, 2, 10, 30}}),
	}
	if reg == nil {
		return v, nil
	}
	gauge := func(name, help string, f func(s *State) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cityhub_webhook_" + name, Help: help}, func() (sum float64) {
			for _, h := range m.all() {
				s := h.snapshot()
				sum += f(&s)
			}
			return sum
		})
	}
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for _, c := range []prometheus.Collector{
		v.confirmed, v.failed, v.readings, v.took,
		gauge("active", "Webhooks at work.", func(s *State) float64 { return is(s.Status != StatusPaused) }),
		gauge("paused", "Webhooks that are paused.", func(s *State) float64 { return is(s.Status == StatusPaused) }),
		gauge("failing", "Webhooks whose delivery is being repeated.", func(s *State) float64 { return is(s.Status == StatusFailing) }),
		gauge("queued_readings", "Readings held in memory for the delivery at hand, of all webhooks.", func(s *State) float64 { return float64(s.Queued) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return v, nil
}
