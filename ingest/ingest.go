// Package ingest takes a city's readings in: source → decode → validate →
// append → acknowledge.
//
// A source (mqttd, broker, the HTTP API) opens a Session for each connection,
// gives it the messages as they arrive and hands over what it has staged with
// Flush. The Pipeline gathers what all sessions hand over into a group,
// appends the group to the log in one durable write and only then tells the
// sessions: acknowledged means durable. While one group is being written the
// next one gathers, so a group grows with the load and a lone reading waits
// for nobody.
//
// Nothing is dropped silently. A message or reading that cannot be taken is
// appended to the same group as a Reject with its reason, and counts as
// handled once that is durable. When the log cannot take more, Flush blocks:
// acknowledgements are withheld and the source stops reading.
//
// A Pipeline is safe for concurrent use; a Session belongs to one goroutine.
package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/registry"
)

// Registry is what the pipeline asks of the terminals' registry. Both look-ups
// are answered from memory for what is in use.
type Registry interface {
	Terminal(ctx context.Context, code string) (*registry.Terminal, error)
	Datastream(ctx context.Context, id twin.DatastreamID) (*twin.Datastream, error)
	AutoRegister(ctx context.Context, code, property string, result twin.ResultType) (*registry.Terminal, error)
}

// Appender is the log. Append returns once everything is durable, with the
// position of the last batch; a zero position when there were only rejects.
// After an error the pipeline calls it again with the same arguments until it
// succeeds; the log recognises what it already has of them. Append keeps no
// reference to its arguments after it succeeded.
type Appender interface {
	Append(ctx context.Context, batches []*block.Batch, rejects []twin.Reject) (twin.Position, error)
}

// Options of a Pipeline.
type Options struct {
	Registry Registry
	Log      Appender

	// AutoRegister registers unknown terminals and properties as they appear.
	AutoRegister bool
	// MaxFuture is how far ahead of the clock a phenomenon time may lie.
	// Zero means 5 minutes.
	MaxFuture time.Duration
	// MaxPast is how far back a phenomenon time may lie. Zero means no bound.
	MaxPast time.Duration

	// MaxGroupReadings and MaxGroupBytes bound the group that gathers while
	// another is written: beyond them Flush blocks. Zero means 64 Ki readings
	// and 16 MiB of texts and refused payloads.
	MaxGroupReadings int
	MaxGroupBytes    int

	// Gather is the least time from the start of one append to the start of the
	// next while several sources publish at once: an append costs the same for
	// one reading as for a thousand. A reading that comes alone, and a client
	// that waits for each acknowledgement, never wait for it. Zero means 2 ms,
	// negative none.
	Gather time.Duration

	// RetryMin and RetryMax bound the wait between attempts to append a group.
	// Zero means 50 ms and 5 s.
	RetryMin, RetryMax time.Duration

	Clock   func() time.Time // nil means time.Now
	Logger  *slog.Logger     // nil means discard
	Metrics prometheus.Registerer
}

func (o *Options) defaults() {
	if o.MaxFuture == 0 {
		o.MaxFuture = 5 * time.Minute
	}
	if o.MaxGroupReadings == 0 {
		o.MaxGroupReadings = 64 << 10
	}
	if o.MaxGroupBytes == 0 {
		o.MaxGroupBytes = 16 << 20
	}
	if o.Gather == 0 {
		o.Gather = 2 * time.Millisecond
	}
	if o.RetryMin == 0 {
		o.RetryMin = 50 * time.Millisecond
	}
	if o.RetryMax == 0 {
		o.RetryMax = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Waiter is told when what it handed over is durable.
type Waiter interface {
	// Durable reports that the oldest n messages handed over and not yet
	// reported are durable, as readings or as rejects. Calls come in the order
	// of the Flush calls, from one goroutine, and must not block. pos is where
	// the log had the last of them; zero when all were refused.
	Durable(n int, pos twin.Position)
}
