package log

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"cityhub/twin"
)

const (
	opRejects = "read rejects"

	// A cursor is sequence<<cursorBits | index in the record. 12 bits leave it
	// exact as a JavaScript number up to 2^41 records.
	cursorBits = 12

	DefaultRejectLimit = 100  // what a zero RejectQuery.Limit means
	MaxRejectLimit     = 1000 // larger limits are cut to it
	scanRecords        = 500  // records read by one call
	scanRejects        = 50_000
	scanBytes          = 32 << 20
)

// RejectQuery chooses rejects. Empty fields choose all.
type RejectQuery struct {
	Terminal string // exactly this terminal
	Reason   string // exactly this reason
	Before   uint64 // RejectPage.Next of the page before; zero: the newest
	Limit    int    // zero: DefaultRejectLimit; at most MaxRejectLimit
}

// RejectEntry is a kept reject.
type RejectEntry struct {
	ID string `json:"id"`
	twin.Reject
}

// RejectPage is a page of rejects, newest first.
type RejectPage struct {
	Rejects []RejectEntry `json:"rejects"`
	// Next is the Before of the following page; zero: there is none. One call
	// reads a bounded part of the log, so that a page of a rare reason may be
	// short, or empty, and still have a Next.
	Next uint64 `json:"next,omitempty"`
}

// Rejects reads the refused messages, newest first. Errors: CodeInvalid for a
// negative limit, CodeUnavailable when the server does not answer, ctx.Err().
func (l *Log) Rejects(ctx context.Context, q RejectQuery) (RejectPage, error) {
	page := RejectPage{Rejects: []RejectEntry{}}
	if q.Limit < 0 {
		return page, &twin.Error{Code: twin.CodeInvalid, Op: opRejects, Field: "limit", Message: "must not be negative"}
	}
	if q.Limit == 0 {
		q.Limit = DefaultRejectLimit
	}
	q.Limit = min(q.Limit, MaxRejectLimit)
	sess, _, err := l.session()
	if err != nil {
		return page, err
	}
	failed := func(err error) (RejectPage, error) {
		if ctx.Err() != nil {
			return RejectPage{}, ctx.Err()
		}
		return RejectPage{}, unavailable(opRejects, "the log server does not answer", err)
	}
	info, err := sess.rej.handle.Info(ctx)
	if err != nil {
		return failed(err)
	}
	var st streamState
	st.set(info)

	seq, below := st.last, maxRejectsPerRecord // rejects of seq with an index under below are wanted
	if q.Before != 0 {
		if s := q.Before >> cursorBits; s <= st.last {
			seq, below = s, int(q.Before&(1<<cursorBits-1))
		}
	}
	if below == 0 && seq > 0 {
		seq, below = seq-1, maxRejectsPerRecord
	}
	seen, bytes := 0, 0
	for n := 0; seq >= st.first && seq > 0; seq, below = seq-1, maxRejectsPerRecord {
		if n == scanRecords || seen >= scanRejects || bytes >= scanBytes {
			page.Next = (seq + 1) << cursorBits
			return page, nil
		}
		n++
		msg, err := sess.rej.handle.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return failed(err)
		}
		var records []twin.Reject // anew: a page keeps the payloads of several
		if err := json.Unmarshal(msg.Data, &records); err != nil {
			l.o.Logger.Error("a record of rejects cannot be decoded and is skipped", "sequence", seq, "error", err)
			continue
		}
		bytes += len(msg.Data)
		for i := min(below, len(records)) - 1; i >= 0; i-- {
			seen++
			r := &records[i]
			if q.Terminal != "" && r.Terminal != q.Terminal || q.Reason != "" && string(r.Reason) != q.Reason {
				continue
			}
			cursor := seq<<cursorBits | uint64(i)
			page.Rejects = append(page.Rejects, RejectEntry{ID: strconv.FormatUint(cursor, 10), Reject: *r})
			if len(page.Rejects) == q.Limit {
				if i > 0 || seq > st.first {
					page.Next = cursor
				}
				return page, nil
			}
		}
	}
	return page, nil
}
