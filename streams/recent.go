package streams

import (
	"slices"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
)

// recents keeps the latest readings of all Datastreams, once for all views, so
// that clients who come back are served from memory. Readings are numbered from
// 1; those of one Datastream are chained backwards, so that a small area among
// many costs what it has. Bounded in readings, bytes of text and age. Guarded by
// Hub.mu.
type recents struct {
	maxRows int
	maxAge  time.Duration

	epoch    string
	from     uint64 // offset before the first record kept
	rows     []recentRow
	first    uint64 // number of the first reading kept
	next     uint64 // number of the next one
	text     int    // bytes
	marks    []mark // ends of records, ascending
	spent    int    // marks at the front that are let go of
	lastSeen uint64 // offset of the last record
}

type recentRow struct {
	o        twin.Observation
	previous uint64 // number of the same Datastream's reading before; 0: none
}

// mark is the end of a record, or of several whose ends are not known.
type mark struct {
	offset uint64
	end    uint64 // number of the first reading after it
	at     int64  // when it came, ns
}

const (
	recentTextBytes = 64 << 20
	recentMinRows   = 1024
)

func (r *recents) reset(pos twin.Position) {
	r.epoch, r.from, r.lastSeen = pos.Epoch, pos.Offset, pos.Offset
	r.first = r.next
	r.marks, r.spent, r.text = r.marks[:0], 0, 0
}

func (r *recents) row(number uint64) *recentRow { return &r.rows[number&uint64(len(r.rows)-1)] }

// add takes a group in. before is the position of the group before.
func (r *recents) add(t *slotTable, batches []*block.Batch, before, pos twin.Position, now time.Time) {
	if r.next == 0 {
		r.first, r.next = 1, 1
		r.reset(before)
	}
	if pos.Epoch != r.epoch || before.Offset != r.lastSeen {
		r.reset(twin.Position{Epoch: pos.Epoch, Offset: before.Offset})
	}
	// Each batch is one record, unless one was left out.
	exact := pos.Epoch == before.Epoch && uint64(len(batches)) == pos.Offset-before.Offset
	for i, b := range batches {
		for j := range b.Len() {
			r.push(t, b.Row(j))
		}
		if exact {
			r.marks = append(r.marks, mark{before.Offset + uint64(i) + 1, r.next, now.UnixNano()})
		}
	}
	if !exact {
		r.marks = append(r.marks, mark{pos.Offset, r.next, now.UnixNano()})
	}
	r.lastSeen = pos.Offset
	old := now.Add(-r.maxAge).UnixNano()
	for r.spent < len(r.marks) && (r.marks[r.spent].at < old || r.text > recentTextBytes || int(r.next-r.first) > r.maxRows) {
		r.letGo()
	}
	if r.spent > 1024 && r.spent > len(r.marks)/2 {
		r.marks = slices.Delete(r.marks, 0, r.spent)
		r.spent = 0
	}
}

// letGo forgets the oldest record.
func (r *recents) letGo() {
	m := r.marks[r.spent]
	for ; r.first < m.end; r.first++ {
		row := r.row(r.first)
		r.text -= len(row.o.Text)
		row.o.Text = ""
	}
	r.from = m.offset
	r.spent++
}

func (r *recents) push(t *slotTable, o twin.Observation) {
	if int(r.next-r.first) == len(r.rows) {
		grown := make([]recentRow, max(recentMinRows, 2*len(r.rows)))
		for n := r.first; n < r.next; n++ {
			grown[n&uint64(len(grown)-1)] = *r.row(n)
		}
		r.rows = grown
	}
	s := t.get(o.Datastream)
	row := r.row(r.next)
	*row = recentRow{o: o}
	if s != nil {
		row.previous, s.last = s.last, r.next
	}
	r.text += len(o.Text)
	r.next++
}

// reach says how a position stands to what is kept.
type reach uint8

const (
	reachable reach = iota
	tooOld          // before what is kept, or of another epoch
	amid            // within a group whose inner ends are not known
	ahead           // beyond the last record
)

// find gives the number of the first reading after a position.
func (r *recents) find(pos twin.Position) (start uint64, how reach) {
	switch {
	case pos.Epoch != r.epoch || pos.Offset < r.from:
		return 0, tooOld
	case pos.Offset > r.lastSeen:
		return 0, ahead
	case pos.Offset == r.from:
		return r.first, reachable
	}
	i, ok := slices.BinarySearchFunc(r.marks[r.spent:], pos.Offset, func(m mark, offset uint64) int {
		switch {
		case m.offset < offset:
			return -1
		case m.offset > offset:
			return 1
		}
		return 0
	})
	if !ok {
		return 0, amid
	}
	return r.marks[r.spent+i].end, reachable
}

// of lists the numbers from start on of the readings of the members, ascending,
// and the number up to which the list goes: the end of a record, soon after limit
// readings have been found.
func (r *recents) of(t *slotTable, members *idSet, start uint64, limit int) (out []uint64, end uint64) {
	if uint64(members.n)*4 >= r.next-start {
		end = r.next
		for n := start; n < end; n++ {
			if len(out) == limit && end == r.next {
				end = r.endOf(n - 1)
				if n >= end {
					break
				}
			}
			if members.has(r.row(n).o.Datastream) {
				out = append(out, n)
			}
		}
		return out, end
	}
	members.each(func(id twin.DatastreamID) bool {
		for n := t.get(id).last; n >= start && n != 0; n = r.row(n).previous {
			out = append(out, n)
		}
		return true
	})
	slices.Sort(out)
	if len(out) <= limit {
		return out, r.next
	}
	end = r.endOf(out[limit-1])
	for limit < len(out) && out[limit] < end {
		limit++
	}
	return out[:limit], end
}

// endOf is the number of the first reading after the record of the given one.
func (r *recents) endOf(number uint64) uint64 { return r.marks[r.markOf(number)].end }

// markOf is the index of the first mark beyond a reading.
func (r *recents) markOf(number uint64) int {
	marks := r.marks[r.spent:]
	i, _ := slices.BinarySearchFunc(marks, number, func(m mark, number uint64) int {
		if m.end <= number {
			return -1
		}
		return 1
	})
	return r.spent + i
}
