package streams

import "cityhub/twin"

// The parts of a delta, for what carries deltas elsewhere than to a client of
// the Hub: the same reading looks the same everywhere.

// AppendObservation appends o as deltas show it: [datastream, ms, result,
// quality]. ds is its Datastream.
func AppendObservation(dst []byte, ds *twin.Datastream, o *twin.Observation) []byte {
	return appendObservation(dst, o, ds.Result == twin.ResultTruth)
}

// AppendDatastream appends the description of ds as deltas show it.
func AppendDatastream(dst []byte, ds *twin.Datastream, l Labels) []byte {
	return appendDatastream(dst, ds, l)
}

// Matcher gives the test whether f chooses a Datastream. f is not looked at
// again; the test is safe for concurrent use.
func (f Filter) Matcher() func(ds *twin.Datastream) bool {
	n := f.normal()
	return n.matches
}
