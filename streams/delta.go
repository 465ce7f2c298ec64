package streams

import (
	"cityhub/twin"
)

// What carries deltas elsewhere than to a client of the Hub, and reads the log
// itself, uses the same filters and the same shape.

// AppendObservation appends o as deltas show it: [datastream, ms, result,
// quality]. ds is its Datastream.
func AppendObservation(dst []byte, ds *twin.Datastream, o *twin.Observation) []byte {
	return appendObservation(dst, o, ds.Result == twin.ResultTruth)
}

// AppendDatastream appends the description of ds as deltas show it.
func AppendDatastream(dst []byte, ds *twin.Datastream, l Labels) []byte {
	return appendDatastream(dst, ds, l)
}

// Selection is a compiled Filter. It is safe for concurrent use.
type Selection struct {
	hub *Hub
	m   *matcher
}

// Select compiles a Filter; an error names the field at fault. It works whether
// or not Run runs, and takes no lock of the Hub.
func (h *Hub) Select(f Filter) (*Selection, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	f = f.normal()
	m, err := compile(f, f.key())
	if err != nil {
		return nil, err
	}
	return &Selection{hub: h, m: m}, nil
}

// Chooses reports whether the filter chooses ds, for a caller with the View v
// who sees it.
func (s *Selection) Chooses(v View, ds *twin.Datastream) bool {
	return s.m.matches(s.hub, v, ds.ID, &slot{ds: ds, place: s.hub.placeOf(ds.ID)})
}

// Conditional reports whether the filter has a condition on the reading, which
// Wants has to be asked for.
func (s *Selection) Conditional() bool { return s.m.live != nil }

// Wants reports whether o, of a chosen Datastream ds, fulfils the condition on
// the reading.
func (s *Selection) Wants(v View, ds *twin.Datastream, o *twin.Observation) bool {
	if s.m.live == nil {
		return true
	}
	r := &row{hub: s.hub, slot: &slot{ds: ds}, o: o}
	if s.m.ofObject {
		r.slot.place = s.hub.placeOf(ds.ID)
		r.object = r.slot.place != nil && seesObject(v, r.slot.place.Object)
	}
	return s.m.live.Match(r)
}
