package mqttd

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	accepted, refused, closed, protocolErrors, timeouts atomic.Uint64
	authFailures, subscribesRefused, acknowledged       atomic.Uint64
	slowSubscribers                                     atomic.Uint64
	delivered                                           [2]atomic.Uint64 // by QoS
	received                                            [2]atomic.Uint64 // by QoS
}

func (m *metrics) register(reg prometheus.Registerer, s *Server) {
	if reg == nil {
		return
	}
	counter := func(name, help string, v *atomic.Uint64, labels prometheus.Labels) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "cityhub_mqtt_" + name, Help: help, ConstLabels: labels}, func() float64 { return float64(v.Load()) }))
	}
	counter("connections_accepted_total", "Connections accepted.", &m.accepted, nil)
	counter("connections_refused_total", "Connections refused because as many as allowed were open.", &m.refused, nil)
	counter("connections_closed_total", "Connections ended, for whatever reason.", &m.closed, nil)
	counter("protocol_errors_total", "Connections closed because the client broke the protocol.", &m.protocolErrors, nil)
	counter("timeouts_total", "Connections closed because the client was too slow or silent.", &m.timeouts, nil)
	counter("auth_failures_total", "CONNECTs refused for a wrong user name or password.", &m.authFailures, nil)
	counter("subscribes_refused_total", "Topic filters of SUBSCRIBE packets refused.", &m.subscribesRefused, nil)
	counter("acknowledged_total", "PUBACKs queued for clients.", &m.acknowledged, nil)
	counter("slow_subscribers_total", "Connections closed because their queue of updates was full.", &m.slowSubscribers, nil)
	counter("delivered_total", "Updates written to subscribers.", &m.delivered[0], prometheus.Labels{"qos": "0"})
	counter("delivered_total", "Updates written to subscribers.", &m.delivered[1], prometheus.Labels{"qos": "1"})
	counter("received_total", "PUBLISH packets taken.", &m.received[0], prometheus.Labels{"qos": "0"})
	counter("received_total", "PUBLISH packets taken.", &m.received[1], prometheus.Labels{"qos": "1"})
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cityhub_mqtt_connections", Help: "Open connections."}, func() float64 { return float64(s.Connections()) }))
}
