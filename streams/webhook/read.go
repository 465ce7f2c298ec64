package webhook

import (
	"context"
	"slices"

	"cityhub/streams"
	"cityhub/twin"
	"cityhub/twin/block"
)

const (
	groupRows     = 4096    // observations read at once
	maxBatchBytes = 1 << 20 // of texts in a batch: it leaves then
	maxKnown      = 1 << 16 // Datastreams whose match a reader remembers
)

// chunk is what a group of the log holds for a webhook.
type chunk struct {
	rows []twin.Observation
	end  twin.Position
}

// reader reads the log in a goroutine of its own. It holds one chunk until
// that is taken: the log waits.
type reader struct {
	chunks chan chunk
	failed chan error // one, when the reading ends
	closed bool
	cancel context.CancelFunc
	done   chan struct{}
}

// read begins to read after a position.
func (w *worker) read(ctx context.Context, after twin.Position, maxRows int) *reader {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{chunks: make(chan chunk), failed: make(chan error, 1), cancel: cancel, done: make(chan struct{})}
	f := &sieve{w: w, known: map[twin.DatastreamID]bool{}}
	go func() {
		defer close(r.done)
		r.failed <- w.m.o.Source.Tail(ctx, after, maxRows, func(ctx context.Context, batches []*block.Batch, pos twin.Position) error {
			rows, err := f.take(ctx, batches)
			if err != nil {
				return err
			}
			select {
			case r.chunks <- chunk{rows: rows, end: pos}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return r
}

// close ends the reading and waits for it. It may be called more than once.
func (r *reader) close() {
	r.closed = true
	r.cancel()
	<-r.done
}

// sieve keeps the readings that the filter chooses and the rights allow.
type sieve struct {
	w       *worker
	view    streams.View
	changes uint64 // of Manager.changes, when known was right
	known   map[twin.DatastreamID]bool
}

// take copies the readings that pass. What cannot be looked up is an error:
// the group comes again.
func (f *sieve) take(ctx context.Context, batches []*block.Batch) ([]twin.Observation, error) {
	if n := f.w.m.changes.Load(); f.view == nil || n != f.changes {
		v, err := f.w.m.o.Access(ctx, f.w.own)
		if err != nil {
			return nil, err
		}
		f.view, f.changes = v, n
		clear(f.known)
	}
	var rows []twin.Observation
	for _, b := range batches {
		for i, id := range b.Datastreams {
			ok, seen := f.known[id]
			if !seen {
				var err error
				if ok, err = f.passes(ctx, id); err != nil {
					return nil, err
				}
				if len(f.known) >= maxKnown {
					clear(f.known)
				}
				f.known[id] = ok
			}
			if !ok {
				continue
			}
			o := b.Row(i)
			if f.w.h.sel.Conditional() {
				if want, err := f.wants(ctx, &o); err != nil {
					return nil, err
				} else if !want {
					continue
				}
			}
			rows = append(rows, o)
		}
	}
	return rows, nil
}

func (f *sieve) passes(ctx context.Context, id twin.DatastreamID) (bool, error) {
	ds, err := f.w.m.o.Directory.Datastream(ctx, id)
	if twin.ErrorCode(err) == twin.CodeNotFound {
		return false, nil
	}
	return err == nil && f.w.h.sel.Chooses(f.view, ds), err
}

// wants asks the condition on the reading.
func (f *sieve) wants(ctx context.Context, o *twin.Observation) (bool, error) {
	ds, err := f.w.m.o.Directory.Datastream(ctx, o.Datastream)
	if twin.ErrorCode(err) == twin.CodeNotFound {
		return false, nil
	}
	return err == nil && f.w.h.sel.Wants(f.view, ds, o), err
}

// batch is the readings of one delivery.
type batch struct {
	rows  []twin.Observation
	end   twin.Position // of the last record that was looked at
	bytes int           // of texts
	at    map[twin.DatastreamID]int
}

func newBatch(mode string) *batch {
	b := &batch{}
	if mode == ModeLatest {
		b.at = map[twin.DatastreamID]int{}
	}
	return b
}

func (b *batch) empty() bool   { return len(b.rows) == 0 }
func (b *batch) readings() int { return len(b.rows) }

// add takes a chunk in. With latest a reading takes the place of one of its
// Datastream that is not newer.
func (b *batch) add(c chunk) {
	b.end = c.end
	for _, o := range c.rows {
		if b.at != nil {
			if i, ok := b.at[o.Datastream]; ok {
				if o.PhenomenonNs >= b.rows[i].PhenomenonNs {
					b.bytes += len(o.Text) - len(b.rows[i].Text)
					b.rows[i] = o
				}
				continue
			}
			b.at[o.Datastream] = len(b.rows)
		}
		b.rows = append(b.rows, o)
		b.bytes += len(o.Text)
	}
}

// datastreams are the ids in the batch, each once, in order.
func (b *batch) datastreams() []twin.DatastreamID {
	ids := make([]twin.DatastreamID, len(b.rows))
	for i := range b.rows {
		ids[i] = b.rows[i].Datastream
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
