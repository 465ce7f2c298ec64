package streams

import (
	"context"

	"cityhub/twin"
	"cityhub/twin/block"
)

// View is what one caller may see. Two Views with equal keys see equal data,
// so the hub lets their subscriptions share one match list and one encoding.
// Sees is asked once per Datastream and view, not once per reading; it must be
// safe for concurrent use and must not call the Hub.
type View interface {
	Key() string
	Sees(ds *twin.Datastream) bool
}

// Authenticator turns a caller into its View. It is asked when a client
// connects or authenticates, and again at every Invalidate and renewal, so it
// answers from memory and does not call the Hub.
type Authenticator interface {
	// View is the View and the role of the bearer of token; with an empty token
	// that of the caller which ctx carries, anonymous if it carries none. An
	// unknown or expired token is an error with CodeUnauthorized.
	View(ctx context.Context, token string) (v View, role string, err error)
}

// Directory knows every Datastream. A Datastream it handed out is never
// changed: a changed one is another pointer. Unknown ones give CodeNotFound.
type Directory interface {
	Datastream(ctx context.Context, id twin.DatastreamID) (*twin.Datastream, error)
}

// State is the latest value of every Datastream. The Hub is the only caller of
// Apply; the reads are safe at the same time.
type State interface {
	Apply(batches []*block.Batch, pos twin.Position)
	Latest(ds twin.DatastreamID) (twin.Observation, bool)
	Each(fn func(twin.Observation) bool) // in order of the Datastream
	Position() twin.Position
}

// Source is the log. Tail calls fn with every group of batches after the
// position, in order and one at a time, coalescing what is already there up to
// maxRows observations; batches are valid only during the call. It returns
// fn's error or ctx.Err().
type Source interface {
	Tail(ctx context.Context, after twin.Position, maxRows int, fn GroupFunc) error
}

// GroupFunc takes one group of batches; pos is the position of its last record.
type GroupFunc = func(ctx context.Context, batches []*block.Batch, pos twin.Position) error

// SourceFunc makes a Source of a function.
type SourceFunc func(ctx context.Context, after twin.Position, maxRows int, fn GroupFunc) error

// Tail calls f.
func (f SourceFunc) Tail(ctx context.Context, after twin.Position, maxRows int, fn GroupFunc) error {
	return f(ctx, after, maxRows, fn)
}

// Labels are the names of what a Datastream refers to.
type Labels struct {
	Title   string // of the ObservedProperty, Chinese
	TitleEn string // of the ObservedProperty, English
	Dataset string // code of the Dataset
}
