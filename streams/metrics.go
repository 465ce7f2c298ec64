package streams

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the hub. Names end in the unit, as Prometheus asks.
type metrics struct {
	clients       prometheus.Gauge
	subscriptions prometheus.Gauge
	views         prometheus.Gauge
	deltas        prometheus.Counter
	readings      prometheus.Counter
	unknown       prometheus.Counter
	frames        *prometheus.CounterVec
	bytes         *prometheus.CounterVec
	closes        *prometheus.CounterVec
	lag           prometheus.Histogram
	apply         prometheus.Histogram
	recent        prometheus.Gauge
	resumes       *prometheus.CounterVec
	conflated     prometheus.Counter
	events        prometheus.Counter
	changed       prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "cityhub", Subsystem: "stream", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "cityhub", Subsystem: "stream", Name: name, Help: help})
	}
	counters := func(name, help string, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "cityhub", Subsystem: "stream", Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		clients:       gauge("clients", "Connected stream clients."),
		subscriptions: gauge("subscriptions", "Subscriptions of all clients."),
		views:         gauge("views", "Different views; equal subscriptions of equal callers share one."),
		deltas:        counter("deltas_encoded_total", "Deltas encoded, one for all clients of a view."),
		readings:      counter("readings_total", "Readings applied to the latest state."),
		unknown:       counter("readings_unknown_total", "Readings of Datastreams that the registry does not know."),
		frames:        counters("frames_sent_total", "Messages written to clients.", "transport"),
		bytes:         counters("sent_bytes_total", "Bytes of messages written to clients.", "transport"),
		closes:        counters("closed_total", "Closed clients by close code.", "code"),
		recent:        gauge("recent_readings", "Readings kept in memory for clients who come back."),
		resumes:       counters("resumes_total", "Subscriptions with a position: from memory, from the log, or refused and given a snapshot.", "from"),
		conflated:     counter("conflated_total", "Deltas made for clients in mode latest who had not taken the one before."),
		events:        counter("events_total", "Events published."),
		changed:       counter("changed_in_place_total", "Subscriptions changed in place."),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "cityhub", Subsystem: "stream", Name: "lag_seconds",
			Help:    "From the result time of the last reading of a group to its fan-out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 60},
		}),
		apply: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "cityhub", Subsystem: "stream", Name: "apply_seconds",
			Help:    "Time to apply, match, encode and queue one group.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, 1},
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.clients, m.subscriptions, m.views, m.deltas, m.readings, m.unknown, m.frames, m.bytes, m.closes, m.lag, m.apply, m.recent, m.resumes, m.conflated, m.events, m.changed} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) closed(code CloseCode) {
	m.closes.WithLabelValues(strconv.Itoa(int(code))).Inc()
}

// Meter counts what one transport writes. It is safe for concurrent use.
type Meter struct{ frames, bytes prometheus.Counter }

// Meter is the meter of the transport with that name, e.g. ws.
func (h *Hub) Meter(transport string) Meter {
	return Meter{h.m.frames.WithLabelValues(transport), h.m.bytes.WithLabelValues(transport)}
}

// Sent counts frames written and their payload bytes.
func (m Meter) Sent(frames, bytes int) {
	m.frames.Add(float64(frames))
	m.bytes.Add(float64(bytes))
}
