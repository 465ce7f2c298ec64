// Package mqttclient is a lean MQTT 3.1.1 client that only publishes. The
// load generator, the replay of recorded data and the built-in sample use it:
// it shares two cores with the hub it feeds and must cost far less than the
// hub does.
//
// Conn is one connection: QoS 0 and 1, an in-flight window, writes gathered in
// a buffer, no allocation per message and no goroutine. It sends nothing
// twice, so that its user knows exactly what was acknowledged.
//
// Publisher stands on a Conn and delivers at least once: it keeps a copy of
// what is in flight, connects again when the connection is lost, and sends
// the rest again in the old order.
//
// Neither is safe for concurrent use. Socket deadlines need the real clock,
// so none is injected.
package mqttclient
