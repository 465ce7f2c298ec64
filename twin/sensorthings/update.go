package sensorthings

import "cityhub/twin"

// Updates writes single entities as the service shows them, for what tells of
// changes over another way than HTTP, such as MQTT. One goroutine at a time.
type Updates struct{ e *encoder }

// ObservationUpdates writes Observations; root is the service's URL without a
// slash at the end, sel the names of $select, nil: everything. CodeInvalid names
// what Observations do not have.
func ObservationUpdates(root string, sel []string) (*Updates, error) {
	return &Updates{newEncoder(root, sel)}, checkSelect(observations, sel)
}

// DatastreamUpdates writes Datastreams, like ObservationUpdates.
func DatastreamUpdates(root string, sel []string) (*Updates, error) {
	return &Updates{newEncoder(root, sel)}, checkSelect(datastreams, sel)
}

// Observation appends o, an Observation of ds.
func (u *Updates) Observation(dst []byte, ds *twin.Datastream, o twin.Observation) []byte {
	return u.e.observation(dst, ds, o)
}

// Datastream appends ds, without its phenomenonTime; dataset is the code of its
// Dataset.
func (u *Updates) Datastream(dst []byte, ds *twin.Datastream, dataset string) ([]byte, error) {
	dst = u.e.datastream(dst, ds, dataset, span{})
	err := u.e.err
	u.e.err = nil
	return dst, err
}
