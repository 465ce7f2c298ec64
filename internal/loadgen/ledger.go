package loadgen

import (
	"math/bits"
	"time"
)

// Ledger records which readings were published and which of them were
// acknowledged, one bit per message. It may be read when no Run uses it.
type Ledger struct {
	schedule  schedule
	terminals []terminalLedger
}

type terminalLedger struct {
	next  uint64   // messages published; Seq runs from 0 to next-1
	count uint64   // acknowledged
	acked []uint64 // bit set
}

// NewLedger is an empty Ledger for that many terminals.
func NewLedger(terminals int) *Ledger { return &Ledger{terminals: make([]terminalLedger, terminals)} }

func (t *terminalLedger) ack(seq uint64) {
	for uint64(len(t.acked)) <= seq/64 {
		t.acked = append(t.acked, 0)
	}
	if bit := uint64(1) << (seq % 64); t.acked[seq/64]&bit == 0 {
		t.acked[seq/64] |= bit
		t.count++
	}
}

// Time is the time of observation of a terminal's message seq, in UTC, whole
// milliseconds.
func (l *Ledger) Time(seq uint64) time.Time { return time.UnixMilli(l.schedule.ms(seq)).UTC() }

// Seq is the inverse of Time; false for a time at which nothing was published
// by terminal (counted from 0).
func (l *Ledger) Seq(terminal int, t time.Time) (uint64, bool) {
	d := t.UnixMilli() - l.schedule.baseMs
	if l.schedule.stepMs == 0 || d < 0 || d%l.schedule.stepMs != 0 || t.Nanosecond()%1e6 != 0 {
		return 0, false
	}
	seq := uint64(d / l.schedule.stepMs)
	return seq, seq < l.terminals[terminal].next
}

// Terminals is the number of terminals.
func (l *Ledger) Terminals() int { return len(l.terminals) }

// Published is the number of messages that terminal published; their Seq runs
// from 0.
func (l *Ledger) Published(terminal int) uint64 { return l.terminals[terminal].next }

// AckedCount is how many of them were acknowledged.
func (l *Ledger) AckedCount(terminal int) uint64 { return l.terminals[terminal].count }

// IsAcked reports whether message seq of terminal was acknowledged.
func (l *Ledger) IsAcked(terminal int, seq uint64) bool {
	t := &l.terminals[terminal]
	return seq/64 < uint64(len(t.acked)) && t.acked[seq/64]&(1<<(seq%64)) != 0
}

// Acked gives the acknowledged messages of terminal in ascending order.
func (l *Ledger) Acked(terminal int) []uint64 {
	t := &l.terminals[terminal]
	out := make([]uint64, 0, t.count)
	for i, w := range t.acked {
		for ; w != 0; w &= w - 1 {
			out = append(out, uint64(i)*64+uint64(bits.TrailingZeros64(w)))
		}
	}
	return out
}

// Unacknowledged gives, in ascending order, the messages of terminal that were
// handed to a connection without an acknowledgement: each may have arrived or
// not.
func (l *Ledger) Unacknowledged(terminal int) []uint64 {
	t := &l.terminals[terminal]
	out := make([]uint64, 0, t.next-t.count)
	for seq := range t.next {
		if !l.IsAcked(terminal, seq) {
			out = append(out, seq)
		}
	}
	return out
}
