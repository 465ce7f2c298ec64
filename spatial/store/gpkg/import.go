package gpkg

import (
	"context"
	"iter"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

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
	// What was committed goes from the log to the file before this import fills
	// the log: if it then fills the disk, the log can be cut off.
	if _, err := s.write.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`); err != nil {
		return none, fail(op, err)
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return none, fail(op, err)
	}
	committed := false
	defer func() {
		if !committed {
			_ = tx.Rollback() // SQLite may have done it itself
			s.cutLog()
		}
	}()
	// The driver starts a goroutine for each statement under a context that can
	// end; Feed looks at ctx itself, for each batch.
	w, err := newWriter(context.WithoutCancel(ctx), tx, op, o.Dataset, s.o.Clock())
	if err != nil {
		return none, fail(op, err)
	}
	seen, err := record.Feed(ctx, record.Options{Op: op, Footprint: footprintBlob}, objects, w.put)
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
	committed = true
	return w.result, nil
}

// cutLog gives back the room that an import which was not committed has taken in
// the log, unless a reader is at work: then the next import uses the log again.
func (s *Store) cutLog() {
	ctx := context.Background()
	_, _ = s.write.ExecContext(ctx, `PRAGMA busy_timeout(0)`) // it is a matter of tidiness only
	_, _ = s.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	_, _ = s.write.ExecContext(ctx, `PRAGMA busy_timeout(10000)`)
}

func footprintBlob(b []byte, f *spatial.Geometry) ([]byte, error) { return appendGeometry(b, f), nil }
