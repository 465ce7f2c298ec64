package log

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cityhub/twin"
	"cityhub/twin/block"
)

// DefaultTailRows is what a zero TailOptions.MaxRows means.
const DefaultTailRows = 65536

const (
	opTail = "tail log"

	consumerLinger = 30 * time.Second // a consumer without its reader is removed after it
	tailHeartbeat  = time.Second      // a consumer whose server is gone is noticed after two
	behindLimit    = 30 * time.Second
	// What one Tail may have in memory undecoded: records in its channel, plus
	// what the server sends ahead.
	tailQueue      = 256
	tailAhead      = 2048
	tailAheadBytes = 16 << 20
	tailRetryMin   = 50 * time.Millisecond
	tailRetryMax   = 2 * time.Second
)

// TailOptions of a Tail.
type TailOptions struct {
	// MaxRows bounds the observations of one call of fn, unless a single record
	// holds more; zero: DefaultTailRows.
	MaxRows int
}

// Tail calls fn with the records after a position, in order, each once, until
// ctx ends, fn fails or the log is closed. A zero position means the first
// record that is kept. It waits for a record and then hands over, in one call,
// what is there, up to MaxRows. The batches are valid only during fn; pos is
// the position of the last of them, and the one to go on from.
//
// Restarts of the embedded server and reconnects to an external one pass
// unnoticed. A record that cannot be decoded is logged, counted and skipped;
// pos may then move on without a batch.
//
// Errors: what fn returned; ctx.Err(); CodeConflict "position is not in the
// log" when the position is of another epoch, older than the first kept record
// or beyond the last: the caller begins anew. CodeUnavailable once the log is
// closed.
func (l *Log) Tail(ctx context.Context, after twin.Position, o TailOptions, fn func(ctx context.Context, batches []*block.Batch, pos twin.Position) error) error {
	if o.MaxRows < 0 {
		return &twin.Error{Code: twin.CodeInvalid, Op: opTail, Field: "maxRows", Message: "must not be negative"}
	}
	if o.MaxRows == 0 {
		o.MaxRows = DefaultTailRows
	}
	t := &tail{l: l, maxRows: o.MaxRows, fn: fn, pos: after, anyOf: after.IsZero()}
	wait := tailRetryMin
	for {
		began := t.pos.Offset
		err := t.follow(ctx)
		if err := ctx.Err(); err != nil && !t.stopped {
			return err
		}
		if t.stopped {
			return err
		}
		if t.pos.Offset != began {
			wait = tailRetryMin
		}
		if err != nil {
			l.o.Logger.Warn("the tail of the log is interrupted", "position", t.pos.String(), "error", err)
			if err := sleep(ctx, wait, l.ctx.Done()); err != nil {
				return err
			}
			wait = min(2*wait, tailRetryMax)
		}
	}
}

// tail is the state of one call of Tail.
type tail struct {
	l       *Log
	maxRows int
	fn      func(context.Context, []*block.Batch, twin.Position) error
	pos     twin.Position // of the last record handed over
	stopped bool          // the error at hand is for the caller
	anyOf   bool          // nothing handed over yet, and the caller asked for whatever is kept

	batches []*block.Batch // reused; the first n are filled
	n       int
	rows    int
	read    uint64 // sequence of the last record taken in, decoded or not

	behindSince time.Time // since when the log ends before pos; zero: it does not

	carried bool   // batches[n] is decoded and waits for the next call
	carrySq uint64 // its sequence
}

func (t *tail) stop(err error) error {
	t.stopped = true
	return err
}

// follow reads with one consumer for as long as that works. A nil error means
// that another consumer is to be begun at once.
func (t *tail) follow(ctx context.Context) error {
	sess, changed, err := t.l.session()
	if err != nil {
		if t.l.ctx.Err() != nil {
			return t.stop(errClosed())
		}
		return t.pause(ctx, changed)
	}
	st, err := sess.bounds(ctx)
	if err != nil {
		return err
	}
	if t.behind(st) {
		return unavailable(opTail, "a server of the cluster is behind the position", fmt.Errorf("its last record is %d, the position is %s", st.last, t.pos))
	}
	if err := t.check(st); err != nil {
		return t.stop(err)
	}
	if t.pos.IsZero() || t.anyOf {
		t.pos = twin.Position{Epoch: st.epoch, Offset: st.first - 1}
	}
	t.n, t.rows, t.carried, t.read = 0, 0, false, t.pos.Offset
	bound, cancel := context.WithTimeout(ctx, t.l.o.AckTimeout)
	cons, err := sess.obs.handle.CreateConsumer(bound, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: t.pos.Offset + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerLinger,
	})
	cancel()
	if err != nil {
		return unavailable(opTail, "the log server does not answer", err)
	}
	defer sess.deleteConsumer(sess.obs, cons.CachedInfo().Name)

	// The client calls back in a goroutine of its own; the channel hands the
	// records over to this one, and done lets that goroutine go.
	records := make(chan jetstream.Msg, tailQueue)
	trouble := make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	cc, err := cons.Consume(func(msg jetstream.Msg) {
		select {
		case records <- msg:
		case <-done:
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(tailAhead, max(tailAheadBytes, 2*t.l.o.MaxRecordBytes)), jetstream.PullHeartbeat(tailHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case trouble <- err:
			default:
			}
		}))
	if err != nil {
		return unavailable(opTail, "the log server does not answer", err)
	}
	defer cc.Stop()

	next := uint64(1) // sequence of the consumer
	for {
		if t.carried {
			t.takeCarried()
		} else {
			select {
			case msg := <-records:
				if err := t.take(ctx, msg, &next); err != nil {
					return err
				}
			case err := <-trouble:
				return t.trouble(err)
			case <-changed:
				return nil
			case <-sess.dead:
				return t.pause(ctx, changed)
			case <-t.l.ctx.Done():
				return t.stop(errClosed())
			case <-ctx.Done():
				return t.stop(ctx.Err())
			}
		}
	drain:
		for !t.carried && t.rows < t.maxRows {
			select {
			case msg := <-records:
				if err := t.take(ctx, msg, &next); err != nil {
					// What was taken in before is good and in order.
					if derr := t.deliver(ctx); derr != nil {
						return derr
					}
					return err
				}
			default:
				break drain
			}
		}
		if err := t.deliver(ctx); err != nil {
			return err
		}
	}
}

// pause waits for another session.
func (t *tail) pause(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-t.l.ctx.Done():
		return t.stop(errClosed())
	case <-ctx.Done():
		return t.stop(ctx.Err())
	}
}

func (t *tail) trouble(err error) error {
	return unavailable(opTail, "the reading of the log was interrupted", err)
}

// check refuses a position that cannot be followed up without a gap.
func (t *tail) check(st streamState) error {
	var why string
	switch {
	case t.pos.Epoch != "" && t.pos.Epoch != st.epoch:
		why = fmt.Sprintf("it is of epoch %s, the log's is %s", t.pos.Epoch, st.epoch)
	case t.pos.IsZero():
		return nil
	case t.pos.Epoch == "":
		why = "it has no epoch"
	case t.pos.Offset+1 < st.first:
		why = fmt.Sprintf("the first record kept is %d", st.first)
	case t.pos.Offset > st.last:
		why = fmt.Sprintf("the last record is %d", st.last)
	default:
		return nil
	}
	return &twin.Error{Code: twin.CodeConflict, Op: opTail, Field: "position", Message: "position is not in the log", Hint: "begin again with a snapshot, or from the first record; " + why}
}

// behind reports whether a server of a cluster that has just become the leader
// has not applied yet what another one handed over. It will in a moment; a log
// that really ends before the position is told after behindLimit.
func (t *tail) behind(st streamState) bool {
	if t.l.embedded() || t.pos.Epoch != st.epoch || t.pos.Offset <= st.last {
		t.behindSince = time.Time{}
		return false
	}
	if t.behindSince.IsZero() {
		t.behindSince = time.Now()
	}
	return time.Since(t.behindSince) < behindLimit
}

// take decodes a record into the next batch.
func (t *tail) take(ctx context.Context, msg jetstream.Msg, next *uint64) error {
	meta, err := msg.Metadata()
	if err != nil {
		return t.trouble(err)
	}
	if meta.Sequence.Consumer != *next {
		return t.trouble(fmt.Errorf("record %d of the consumer came where %d was expected", meta.Sequence.Consumer, *next))
	}
	*next++
	seq := meta.Sequence.Stream
	if seq <= t.read {
		return t.trouble(fmt.Errorf("record %d came again after %d", seq, t.read))
	}
	if seq != t.read+1 {
		if err := t.gap(ctx, seq); err != nil {
			return err
		}
	}
	t.read = seq
	for len(t.batches) <= t.n {
		t.batches = append(t.batches, new(block.Batch))
	}
	b := t.batches[t.n]
	if err := b.Decode(msg.Data()); err != nil {
		t.l.m.undecodable.Inc()
		t.l.o.Logger.Error("a record of the log cannot be decoded and is skipped", "position", twin.Position{Epoch: t.pos.Epoch, Offset: seq}.String(), "bytes", len(msg.Data()), "error", err)
		return nil
	}
	if t.rows > 0 && t.rows+b.Len() > t.maxRows {
		t.carried, t.carrySq = true, seq
		t.read = seq - 1
		return nil
	}
	t.n++
	t.rows += b.Len()
	return nil
}

// gap decides what a jump of the sequence means: records that retention
// dropped before they were read are a conflict; a hole inside the log is
// damage that the server repaired by leaving out, and is reported.
func (t *tail) gap(ctx context.Context, seq uint64) error {
	sess, _, err := t.l.session()
	if err != nil {
		return err
	}
	st, err := sess.bounds(ctx)
	if err != nil {
		return err
	}
	if t.anyOf && st.epoch == t.pos.Epoch && st.first > t.read+1 {
		return nil // retention moved on while the reading began
	}
	if st.epoch != t.pos.Epoch || st.first > t.read+1 {
		return t.stop(&twin.Error{Code: twin.CodeConflict, Op: opTail, Field: "position", Message: "position is not in the log", Hint: fmt.Sprintf("the reader fell behind the retention of the log, which begins at record %d now: begin again with a snapshot, or raise log.maxBytes", st.first)})
	}
	if there, err := sess.leaderHas(ctx, t.read+1); err != nil {
		return err
	} else if there {
		// One replica lacks what the leader has: another consumer, perhaps on
		// another server, is to read it.
		return t.trouble(fmt.Errorf("record %d came where %d was expected, which the stream's leader has", seq, t.read+1))
	}
	t.l.m.lost.Add(float64(seq - t.read - 1))
	t.l.o.Logger.Error("records are missing inside the log", "after", twin.Position{Epoch: t.pos.Epoch, Offset: t.read}.String(), "missing", seq-t.read-1)
	return nil
}

func (t *tail) takeCarried() {
	t.carried = false
	t.read = t.carrySq
	t.rows = t.batches[t.n].Len()
	t.n++
}

// deliver hands over what was taken in.
func (t *tail) deliver(ctx context.Context) error {
	if t.read == t.pos.Offset {
		return nil
	}
	pos := twin.Position{Epoch: t.pos.Epoch, Offset: t.read}
	if err := t.fn(ctx, t.batches[:t.n], pos); err != nil {
		return t.stop(err)
	}
	t.pos, t.anyOf = pos, false
	if t.carried {
		t.batches[0], t.batches[t.n] = t.batches[t.n], t.batches[0]
	}
	t.n, t.rows = 0, 0
	t.trim()
	return nil
}

// trim lets go of batches when a few large records have grown too many.
func (t *tail) trim() {
	rows := 0
	for i, b := range t.batches {
		if rows += cap(b.Values); rows > 4*max(t.maxRows, maxRowsPerRecord) && i > 0 {
			clear(t.batches[i:])
			t.batches = t.batches[:i]
			return
		}
	}
}
