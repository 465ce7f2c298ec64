// Package series is the contract of the time-series store: what the hub keeps
// of every Datastream over time. series/pebble implements it inside the
// process; seriestest is the one suite that every implementation passes.
//
// A store is a view of the log. It keeps the log position of what it holds in
// the same atomic write as the readings, so that a replay after a crash
// changes nothing.
package series

import (
	"context"

	"cityhub/twin"
	"cityhub/twin/block"
)

// Store keeps observations by Datastream and phenomenon time. An observation
// whose Datastream and phenomenon time are already stored replaces the older
// one: it is a correction. A Store is safe for concurrent use; Append has one
// caller at a time.
type Store interface {
	// Append stores every row of batches, in order, and pos, in one atomic and
	// durable write. It keeps no reference to batches. A pos at or before the
	// stored one, of the same epoch, is a replay and changes nothing: its rows
	// are stored, and may have been corrected since. A zero pos is for rows that
	// are not from the log; the stored position stays. A row that cannot be
	// stored (CodeInvalid) keeps all of them out. CodeUnavailable, e.g. for a
	// full disk, asks to append the same batches again later.
	Append(ctx context.Context, batches []*block.Batch, pos twin.Position) error

	// Position is the position of the last Append; zero for a new store.
	Position(ctx context.Context) (twin.Position, error)

	// Range calls fn for the observations of ds with FromNs <= time < ToNs in
	// order of time until fn returns false. The Observation is a value and may
	// be kept. A read sees what was stored when it began. fn may call the store
	// again, except Close. Like every read it returns ctx.Err() when the context
	// ends first.
	Range(ctx context.Context, ds twin.DatastreamID, w Window, fn func(twin.Observation) bool) error

	// Count is the number of observations that Range would give.
	Count(ctx context.Context, ds twin.DatastreamID, w Window) (int64, error)

	// Latest is the observation of ds with the greatest phenomenon time, the
	// one appended last when it was corrected; false when there is none. It
	// outlives the removal of old rows.
	Latest(ctx context.Context, ds twin.DatastreamID) (twin.Observation, bool, error)

	// EachLatest calls fn with the latest observation of every Datastream that
	// has one, in order of the Datastream, until fn returns false.
	EachLatest(ctx context.Context, fn func(twin.Observation) bool) error

	// Close waits for running calls and releases the store. It may be called
	// more than once.
	Close() error
}

// Window is a half-open span of phenomenon time and the order to read it in.
type Window struct {
	FromNs     int64 // inclusive, ns since 1970-01-01 UTC; the zero Window starts at 1970
	ToNs       int64 // exclusive; zero means no end
	Descending bool  // latest first
}
