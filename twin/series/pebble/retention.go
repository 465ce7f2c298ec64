package pebble

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"cityhub/twin"
)

// dropBatch is the number of index keys removed in one write.
const dropBatch = 8192

// DropBefore removes every row of the whole hours before ns, ns since
// 1970-01-01 UTC. The latest observation of a datastream stays even when its
// row goes. Appending goes on meanwhile, but for rows older than ns, which
// wait. A crash in between leaves index entries without rows: reading is
// correct, and the next DropBefore removes them.
func (s *Store) DropBefore(ctx context.Context, ns int64) error {
	const op = "drop old observations"
	if err := s.begin(op); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.dropCalls.Lock()
	defer s.dropCalls.Unlock()
	cut := hourOf(ns)
	err := s.dropRows(op, cut)
	defer s.dropMu.Unlock()
	if err != nil {
		return err
	}
	return s.dropIndex(ctx, op, dayOf(cut))
}

// dropRows takes the append lock for the one write that removes the rows. It
// returns with dropMu held.
func (s *Store) dropRows(op string, cut int32) error {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	s.dropMu.Lock()
	if err := s.fail.err(op); err != nil {
		return err
	}
	s.droppedBefore.Store(max(s.droppedBefore.Load(), cut))
	b := s.db.NewBatch()
	var lower, upper [rowKeyLen]byte
	putRowKey(lower[:], minHour, 0, 0)
	putRowKey(upper[:], cut, 0, 0)
	if err := b.DeleteRange(lower[:], upper[:], nil); err != nil {
		return storeError(op, err)
	}
	return s.commit(b)
}

// dropIndex removes the index entries of days before day. The keys of a
// datastream's old days are deleted one by one: a range deletion for each of a
// million datastreams would cost every later read more.
func (s *Store) dropIndex(ctx context.Context, op string, day int32) (err error) {
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{prefixIndex}, UpperBound: []byte{prefixIndex + 1}})
	if err != nil {
		return storeError(op, err)
	}
	defer func() {
		if e := it.Close(); err == nil && e != nil {
			err = storeError(op, e)
		}
	}()
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // what it still holds is not to be applied
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.db.Apply(b, pebble.NoSync); err != nil {
			return storeError(op, err)
		}
		b.Reset()
		return s.fail.err(op)
	}
	var next [indexKeyLen]byte
	for ok := it.First(); ok; {
		if indexKeyDay(it.Key()) >= day {
			putIndexKey(next[:], indexKeyDatastream(it.Key())+twin.DatastreamID(1), minHour)
			ok = it.SeekGE(next[:])
			continue
		}
		if err := b.Delete(it.Key(), nil); err != nil {
			return storeError(op, err)
		}
		if b.Count() >= dropBatch {
			if err := flush(); err != nil {
				return err
			}
		}
		ok = it.Next()
	}
	if err := it.Error(); err != nil {
		return storeError(op, err)
	}
	return flush()
}
