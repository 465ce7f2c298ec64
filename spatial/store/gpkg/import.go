package gpkg

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

const (
	batchObjects = 256
	batchBytes   = 4 << 20
	batchesAhead = 2 // that wait for the writer
)

var errStopped = errors.New("stopped")

// Import stores objects as one transaction. It calls objects in the caller's
// goroutine and writes in a second one.
func (s *Store) Import(ctx context.Context, o store.ImportOptions, objects iter.Seq2[*spatial.CityObject, error]) (store.ImportResult, error) {
	const op = "import city model"
	var none store.ImportResult
	if o.Dataset == "" {
		return none, &store.Error{Code: store.Invalid, Op: op, Field: "Dataset", Message: "found none, expected the name of the source data set", Hint: "objects are known again by data set and identifier"}
	}
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return none, fail(op, ctx.Err())
	}
	defer func() { <-s.writing }()
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return none, fail(op, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	// The driver starts a goroutine for each statement under a context that can
	// end; feed looks at ctx itself, for each batch.
	w, err := newWriter(context.WithoutCancel(ctx), tx, op, o.Dataset, s.o.Clock())
	if err != nil {
		return none, fail(op, err)
	}
	seen, err := w.feed(ctx, objects)
	if err == nil {
		err = w.finish(o, seen)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return none, fail(op, err)
	}
	if o.DryRun || w.result.Added+w.result.Updated+w.result.Ended == 0 {
		w.result.At = time.Time{}
		return w.result, nil
	}
	if err := tx.Commit(); err != nil {
		return none, fail(op, err)
	}
	return w.result, nil
}

// feed encodes objects while w writes those before. It gives the keys of all.
func (w *writer) feed(ctx context.Context, objects iter.Seq2[*spatial.CityObject, error]) (map[[16]byte]struct{}, error) {
	batches := make(chan []*row, batchesAhead)
	stopped := make(chan struct{})
	var failed error // of the writer; read after stopped is closed
	go func() {
		defer close(stopped)
		for batch := range batches {
			if failed = w.put(batch); failed != nil {
				return
			}
		}
	}()
	seen := make(map[[16]byte]struct{})
	enc := newEncoder(w.op)
	var batch []*row
	size := 0
	send := func() error {
		if err := ctx.Err(); err != nil || len(batch) == 0 {
			return err
		}
		select {
		case batches <- batch:
			batch, size = make([]*row, 0, batchObjects), 0
			return nil
		case <-stopped:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	read := func() error {
		for o, err := range objects {
			if err != nil {
				return &store.Error{Code: store.Invalid, Op: w.op, Message: "the source cannot be read", Hint: "nothing was stored", Err: err}
			}
			r, err := enc.row(o)
			if err != nil {
				return err
			}
			if _, twice := seen[r.key]; twice {
				return enc.fault(o, "ID", "give each object of the data set an identifier of its own", fmt.Errorf("it comes twice"))
			}
			seen[r.key] = struct{}{}
			batch = append(batch, r)
			if size += len(r.geometries) + len(r.geom) + len(r.attributes); len(batch) >= batchObjects || size >= batchBytes {
				if err := send(); err != nil {
					return err
				}
			}
		}
		return send()
	}
	err := func() error {
		defer func() { // also when objects panics: the writer must have ended before the rollback
			close(batches)
			<-stopped
		}()
		return read()
	}()
	if failed != nil {
		return nil, failed
	}
	return seen, err
}
