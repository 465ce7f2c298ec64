package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"

	"cityhub/twin"
	"cityhub/twin/series"
)

// checkEvery is the number of rows between two looks at the context.
const checkEvery = 1024

// Range calls fn for the observations of ds in w: see series.Store. It returns
// ctx.Err() when the context ends first.
func (s *Store) Range(ctx context.Context, ds twin.DatastreamID, w series.Window, fn func(twin.Observation) bool) error {
	return s.walk(ctx, "read observations", ds, w, func(it *pebble.Iterator, key []byte) (bool, error) {
		v, err := it.ValueAndErr()
		if err != nil {
			return false, err
		}
		o := twin.Observation{Datastream: ds, PhenomenonNs: timeOf(rowKeyHour(key), rowKeyOffset(key))}
		if err := parseValue(&o, v); err != nil {
			return false, err
		}
		return fn(o), nil
	})
}

// Count counts the observations of ds in w without reading their values.
func (s *Store) Count(ctx context.Context, ds twin.DatastreamID, w series.Window) (int64, error) {
	var n int64
	err := s.walk(ctx, "count observations", ds, w, func(*pebble.Iterator, []byte) (bool, error) {
		n++
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// walker reads the rows of one datastream hour by hour, visiting only hours
// that the index names.
type walker struct {
	ctx         context.Context
	ds          twin.DatastreamID
	desc        bool
	first, last int64 // ns, both inclusive
	rows        *pebble.Iterator
	visit       func(it *pebble.Iterator, key []byte) (bool, error)
	seen        int
	stopped     bool
}

func (s *Store) walk(ctx context.Context, op string, ds twin.DatastreamID, w series.Window, visit func(*pebble.Iterator, []byte) (bool, error)) (err error) {
	if err := s.begin(op); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	wk := walker{ctx: ctx, ds: ds, desc: w.Descending, first: w.FromNs, last: math.MaxInt64, visit: visit}
	if w.ToNs != 0 {
		if w.ToNs <= w.FromNs {
			return nil
		}
		wk.last = w.ToNs - 1
	}
	if ds <= 0 {
		return nil
	}
	firstHour, lastHour := hourOf(wk.first), hourOf(wk.last)

	var lower, upper [indexKeyLen]byte
	putIndexKey(lower[:], ds, dayOf(firstHour))
	putIndexKey(upper[:], ds, dayOf(lastHour)+1)
	index, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower[:], UpperBound: upper[:]})
	if err != nil {
		return storeError(op, err)
	}
	defer func() {
		if e := index.Close(); err == nil && e != nil {
			err = storeError(op, e)
		}
	}()
	if !step(index, w.Descending, true) {
		return storeErrorOrNil(op, index.Error())
	}
	// A clone sees the same moment as the index does.
	var rowLower, rowUpper [rowKeyLen]byte
	putRowKey(rowLower[:], firstHour, ds, offsetIn(wk.first, firstHour))
	putRowKey(rowUpper[:], lastHour, ds, offsetIn(wk.last, lastHour)+1)
	wk.rows, err = index.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: rowLower[:], UpperBound: rowUpper[:]}})
	if err != nil {
		return storeError(op, err)
	}
	defer func() {
		if e := wk.rows.Close(); err == nil && e != nil {
			err = storeError(op, e)
		}
	}()
	for ok := true; ok && !wk.stopped; ok = step(index, w.Descending, false) {
		v, err := index.ValueAndErr()
		if err != nil {
			return storeError(op, err)
		}
		if len(v) != maskLen {
			return corrupt(op, fmt.Sprintf("index of datastream %d has %d bytes", ds, len(v)))
		}
		if err := wk.day(indexKeyDay(index.Key()), maskOf(v), firstHour, lastHour); err != nil {
			return storeError(op, err)
		}
	}
	return storeErrorOrNil(op, index.Error())
}

func step(it *pebble.Iterator, desc, first bool) bool {
	switch {
	case first && desc:
		return it.Last()
	case first:
		return it.First()
	case desc:
		return it.Prev()
	}
	return it.Next()
}

// day visits the hours of a day that mask names and the window touches.
func (w *walker) day(day int32, mask uint32, firstHour, lastHour int32) error {
	for mask != 0 && !w.stopped {
		bit := bits.TrailingZeros32(mask)
		if w.desc {
			bit = 31 - bits.LeadingZeros32(mask)
		}
		mask &^= 1 << bit
		h := day*24 + int32(bit)
		if h < firstHour || h > lastHour {
			continue
		}
		if err := w.hour(h); err != nil {
			return err
		}
	}
	return nil
}

// hour visits the rows of one hour. The iterator's bounds end the window; the
// key's head ends the hour.
func (w *walker) hour(h int32) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	var from, to [rowKeyLen]byte
	putRowKey(from[:], h, w.ds, 0)
	putRowKey(to[:], h, w.ds+1, 0)
	head := from[:rowPrefixLen]
	it := w.rows
	// Where one datastream fills the store, the iterator already stands at the
	// next hour.
	at := it.Valid() && bytes.HasPrefix(it.Key(), head)
	switch {
	case at:
	case w.desc:
		at = it.SeekLT(to[:])
	default:
		at = it.SeekGE(from[:])
	}
	for at {
		key := it.Key()
		if !bytes.HasPrefix(key, head) {
			return nil
		}
		if len(key) != rowKeyLen {
			return corrupt("read observations", fmt.Sprintf("key of %d bytes", len(key)))
		}
		more, err := w.visit(it, key)
		if err != nil {
			return err
		}
		if !more {
			w.stopped = true
			return nil
		}
		if w.seen++; w.seen%checkEvery == 0 {
			if err := w.ctx.Err(); err != nil {
				return err
			}
		}
		if w.desc {
			at = it.Prev()
		} else {
			at = it.Next()
		}
	}
	return it.Error()
}

// Latest is the observation of ds with the greatest phenomenon time that was
// ever appended; DropBefore does not take it away.
func (s *Store) Latest(ctx context.Context, ds twin.DatastreamID) (twin.Observation, bool, error) {
	const op = "read latest observation"
	if err := s.begin(op); err != nil {
		return twin.Observation{}, false, err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return twin.Observation{}, false, err
	}
	var key [latestKeyLen]byte
	putLatestKey(key[:], ds)
	v, ok, err := s.get(key[:])
	if err != nil || !ok {
		return twin.Observation{}, false, err
	}
	o := twin.Observation{Datastream: ds}
	if err := parseLatest(&o, v); err != nil {
		return twin.Observation{}, false, err
	}
	return o, true, nil
}

// EachLatest calls fn with the latest observation of every Datastream, as
// Latest gives it, in order of the Datastream.
func (s *Store) EachLatest(ctx context.Context, fn func(twin.Observation) bool) (err error) {
	const op = "read latest observations"
	if err := s.begin(op); err != nil {
		return err
	}
	defer s.calls.Done()
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{prefixLatest}, UpperBound: []byte{prefixLatest + 1}})
	if err != nil {
		return storeError(op, err)
	}
	defer func() {
		if e := it.Close(); err == nil && e != nil {
			err = storeError(op, e)
		}
	}()
	for n, ok := 0, it.First(); ok; n, ok = n+1, it.Next() {
		if n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		key := it.Key()
		v, err := it.ValueAndErr()
		if err != nil {
			return storeError(op, err)
		}
		if len(key) != latestKeyLen {
			return corrupt(op, fmt.Sprintf("key of %d bytes", len(key)))
		}
		o := twin.Observation{Datastream: twin.DatastreamID(binary.BigEndian.Uint64(key[1:]))}
		if err := parseLatest(&o, v); err != nil {
			return err
		}
		if !fn(o) {
			return nil
		}
	}
	return storeErrorOrNil(op, it.Error())
}

func storeErrorOrNil(op string, err error) error {
	if err == nil {
		return nil
	}
	return storeError(op, err)
}
