package pebble

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"cityhub/twin"
	"cityhub/twin/block"
)

// maxAppendBytes bounds one Append, far above any batch of the log; Pebble
// itself ends at 4 GiB.
const maxAppendBytes = 1 << 30

// keepRows bounds the memory kept from one Append for the next, in rows.
const keepRows = 1 << 18

// row is a place in the batches with the key to sort it by.
type row struct {
	ds    twin.DatastreamID
	ns    int64
	batch uint32
	index uint32
}

func byDatastream(a, b row) int {
	if a.ds != b.ds {
		return cmp.Compare(a.ds, b.ds)
	}
	if a.ns != b.ns {
		return cmp.Compare(a.ns, b.ns)
	}
	if a.batch != b.batch {
		return cmp.Compare(a.batch, b.batch)
	}
	return cmp.Compare(a.index, b.index)
}

// byHour puts rows that are sorted by datastream into key order.
func byHour(a, b row) int {
	if c := cmp.Compare(hourOf(a.ns), hourOf(b.ns)); c != 0 {
		return c
	}
	if a.ds != b.ds {
		return cmp.Compare(a.ds, b.ds)
	}
	return cmp.Compare(a.ns, b.ns)
}

// dayMask is an index entry to write.
type dayMask struct {
	ds   twin.DatastreamID
	day  int32
	mask uint32
	last int32 // the last hour in mask
}

// appender is the memory of one Append, kept for the next.
type appender struct {
	rows   []row
	latest []row
	masks  []dayMask
	marked marks
}

// Append stores every row of batches and pos in one write, synced as
// Options.SyncEvery says: see series.Store. Errors are *twin.Error: CodeInvalid names a row that cannot be
// stored, CodeTooLarge is over 1 GiB at once, CodeUnavailable means that the
// disk is full or broken; then nothing of these batches counts as stored, and
// they should be appended again.
func (s *Store) Append(ctx context.Context, batches []*block.Batch, pos twin.Position) error {
	const op = "append observations"
	if err := s.begin(op); err != nil {
		return err
	}
	defer s.calls.Done()
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.fail.err(op); err != nil {
		return err
	}
	if !pos.IsZero() && pos.Epoch == s.position.Epoch && pos.Offset <= s.position.Offset {
		return nil // a replay: stored already, perhaps corrected since
	}
	if err := s.checkSpace(op); err != nil {
		return err
	}
	start := time.Now()
	a := &s.appending
	size, err := a.collect(batches)
	if err != nil {
		return err
	}
	a.sort()
	a.index(s.droppedBefore.Load())
	b := s.db.NewBatchWithSize(size + len(a.masks)*(indexKeyLen+maskLen+4) + len(pos.Epoch) + 64)
	if err := a.write(b, batches, pos); err != nil {
		_ = b.Close() // nothing was applied, and the first error counts
		return storeError(op, err)
	}
	// A row older than what DropBefore is removing right now would lose its
	// index entry to it.
	if len(a.masks) > 0 && a.oldestHour() < s.droppedBefore.Load() {
		s.dropMu.Lock()
		defer s.dropMu.Unlock()
	}
	if err := s.commit(b); err != nil {
		return err
	}
	if !pos.IsZero() {
		s.position = pos
	}
	a.marked.set(a.masks)
	s.metrics.rows.Add(float64(len(a.rows)))
	s.metrics.seconds.Observe(time.Since(start).Seconds())
	a.release()
	return nil
}

// commit applies b. When Pebble's log fails, Pebble reports through
// Fatalf and then returns no error, or panics in the midst of a long record:
// both end here as an error, and in a store that refuses every further Append.
func (s *Store) commit(b *pebble.Batch) (err error) {
	const op = "append observations"
	defer func() {
		if p := recover(); p != nil {
			s.abandoned = true
			s.fail.record(fmt.Errorf("pebble: %v", p))
			err = s.fail.err(op)
		}
	}()
	opts := pebble.Sync
	if s.syncEvery > 0 {
		// The log has these readings on disk: waiting for a second disk write
		// of each group would slow down the log's own.
		if now := time.Now(); now.Sub(s.synced) < s.syncEvery {
			opts = pebble.NoSync
		} else {
			s.synced = now
		}
	}
	if err = s.db.Apply(b, opts); err == nil {
		err = s.fail.err(op)
	}
	if err != nil {
		return storeError(op, err)
	}
	return b.Close()
}

// collect lists the rows of batches and estimates the bytes they take.
func (a *appender) collect(batches []*block.Batch) (int, error) {
	a.rows, a.latest, a.masks = a.rows[:0], a.latest[:0], a.masks[:0]
	size := 0
	for bi, b := range batches {
		for i, ds := range b.Datastreams {
			if ds <= 0 {
				return 0, invalidRow(bi, i, "Datastream", fmt.Sprintf("%d is no datastream", ds))
			}
			if b.Qualities[i] > maxQuality {
				return 0, invalidRow(bi, i, "Quality", fmt.Sprintf("%d is no quality mark", b.Qualities[i]))
			}
			if ref := b.TextRefs[i]; ref != 0 {
				size += 2 * len(b.Texts[ref-1]) // once as a row, once as the latest
			}
			a.rows = append(a.rows, row{ds: ds, ns: b.PhenomenonNs[i], batch: uint32(bi), index: uint32(i)})
		}
	}
	size += len(a.rows) * 80
	if size > maxAppendBytes {
		return 0, &twin.Error{Code: twin.CodeTooLarge, Op: "append observations", Message: fmt.Sprintf("%d rows with their texts take over %d MiB", len(a.rows), maxAppendBytes>>20), Hint: "append fewer rows at once"}
	}
	return size, nil
}

func invalidRow(batch, i int, field, msg string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "append observations", Field: field, Message: fmt.Sprintf("batch %d, row %d: %s", batch, i, msg)}
}

// sort orders the rows by datastream and time and drops those that a later row
// of the same Append corrects.
func (a *appender) sort() {
	slices.SortFunc(a.rows, byDatastream)
	kept := a.rows[:0]
	for i, r := range a.rows {
		if i+1 < len(a.rows) && a.rows[i+1].ds == r.ds && a.rows[i+1].ns == r.ns {
			continue
		}
		kept = append(kept, r)
	}
	a.rows = kept
}

// index finds, in rows sorted by datastream, the latest row of each datastream
// and the hours to be marked. Hours before dropped are always marked: their
// mark may be gone.
func (a *appender) index(dropped int32) {
	minSeen, maxSeen := int32(math.MaxInt32), int32(math.MinInt32)
	cur := dayMask{}
	for i, r := range a.rows {
		h := hourOf(r.ns)
		minSeen, maxSeen = min(minSeen, h), max(maxSeen, h)
		if i+1 == len(a.rows) || a.rows[i+1].ds != r.ds {
			a.latest = append(a.latest, r)
		}
		if cur.mask != 0 && cur.ds == r.ds && cur.last == h {
			continue
		}
		if h >= dropped && a.marked.has(r.ds, h) {
			continue
		}
		day := dayOf(h)
		if cur.mask == 0 || cur.ds != r.ds || cur.day != day {
			if cur.mask != 0 {
				a.masks = append(a.masks, cur)
			}
			cur = dayMask{ds: r.ds, day: day}
		}
		cur.mask |= 1 << (h - day*24)
		cur.last = h
	}
	if cur.mask != 0 {
		a.masks = append(a.masks, cur)
	}
	if minSeen < maxSeen {
		slices.SortFunc(a.rows, byHour)
	}
}

// oldestHour is the oldest hour of the rows once index has put them in order.
func (a *appender) oldestHour() int32 { return hourOf(a.rows[0].ns) }

// write fills b in the order of its keys, which is what the memtable takes
// fastest.
func (a *appender) write(b *pebble.Batch, batches []*block.Batch, pos twin.Position) error {
	for _, m := range a.masks {
		op := b.MergeDeferred(indexKeyLen, maskLen)
		putIndexKey(op.Key, m.ds, m.day)
		putMask(op.Value, m.mask)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	for _, r := range a.rows {
		src, i := batches[r.batch], r.index
		text, isText := textOf(src, i)
		delta := src.ResultNs[i] - r.ns
		op := b.SetDeferred(rowKeyLen, valueLen(delta, text, isText))
		h := hourOf(r.ns)
		putRowKey(op.Key, h, r.ds, offsetIn(r.ns, h))
		putValue(op.Value, src.Qualities[i], delta, src.Values[i], text, isText)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	for _, r := range a.latest {
		src, i := batches[r.batch], r.index
		text, isText := textOf(src, i)
		delta := src.ResultNs[i] - r.ns
		op := b.MergeDeferred(latestKeyLen, 8+valueLen(delta, text, isText))
		putLatestKey(op.Key, r.ds)
		binary.BigEndian.PutUint64(op.Value, uint64(r.ns))
		putValue(op.Value[8:], src.Qualities[i], delta, src.Values[i], text, isText)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	if pos.IsZero() {
		return nil
	}
	return b.Set(keyPosition, encodePosition(pos), nil)
}

func textOf(b *block.Batch, i uint32) (string, bool) {
	if ref := b.TextRefs[i]; ref != 0 {
		return b.Texts[ref-1], true
	}
	return "", false
}

// release gives back what an unusually large Append took.
func (a *appender) release() {
	if cap(a.rows) > keepRows {
		a.rows, a.latest, a.masks = nil, nil, nil
	}
}

// marks remembers the last hour marked in the index for each datastream, so
// that a datastream's index entry is written once an hour and not once an
// Append. Four bytes each, in pages allocated on first use.
type marks struct{ pages []*[marksPage]int32 }

const (
	marksPage = 4096
	marksMax  = 1 << 28 // datastreams beyond are marked every time
	minHour   = math.MinInt32
)

func (m *marks) has(ds twin.DatastreamID, h int32) bool {
	p := int(ds / marksPage)
	return p < len(m.pages) && m.pages[p] != nil && m.pages[p][ds%marksPage] == h
}

func (m *marks) set(masks []dayMask) {
	for _, d := range masks {
		if d.ds >= marksMax {
			continue
		}
		p := int(d.ds / marksPage)
		if p >= len(m.pages) {
			m.pages = append(m.pages, make([]*[marksPage]int32, p+1-len(m.pages))...)
		}
		if m.pages[p] == nil {
			page := new([marksPage]int32)
			for i := range page {
				page[i] = minHour // no time falls into this hour
			}
			m.pages[p] = page
		}
		m.pages[p][d.ds%marksPage] = d.last
	}
}
