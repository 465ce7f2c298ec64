package block

import "cityhub/twin"

// Group is what is appended to the log in one durable write: batches of
// observations, and the messages that were refused beside them.
type Group struct {
	// ID is set by the log at the first attempt to append the group and tells
	// a later attempt which records are already there. Zero: not tried yet.
	ID uint64

	Batches []*Batch // one for each district and domain; empty ones are passed over
	Rejects []twin.Reject
}
