package log

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cityhub/twin"
	"cityhub/twin/block"
)

// Append stores batches, one record each, and rejects, and returns nil once
// all of it is on disk, with the position of the last record of observations
// (of the log's end as known, when there is no batch). Empty batches are left
// out, large ones split. It keeps no reference to its arguments. The records of
// a group follow in order, unless it took more than one try.
//
// After an error part of the group may be stored. Append again with equal
// batches and rejects then stores only what is missing, so that a caller keeps
// a group until it is durable and simply tries again. Observations of a
// Datastream keep their order within a group, however often it is tried; so do
// groups that are appended one after the other. The log remembers what
// failed for as long as it is tried again at least every ten minutes.
//
// Errors: CodeUnavailable when the log cannot take records now (Healthy tells
// why, and it is worth trying again), CodeTooLarge when a batch is over the
// limits of package block. When ctx ends the error wraps its cause.
func (l *Log) Append(ctx context.Context, batches []*block.Batch, rejects []twin.Reject) (twin.Position, error) {
	if !l.enter() {
		return twin.Position{}, errClosed()
	}
	defer l.running.Done()
	start := time.Now()
	g := l.groups.Get().(*group)
	pos, err := l.append(ctx, g, batches, rejects)
	if err != nil {
		// The client may yet send what it was given: the buffers are left to it.
		l.m.failures.Inc()
		return twin.Position{}, err
	}
	l.m.seconds.Observe(time.Since(start).Seconds())
	g.reset()
	l.groups.Put(g)
	return pos, nil
}

// enter keeps Close from finishing while a call runs.
func (l *Log) enter() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return false
	}
	l.running.Add(1)
	return true
}

func (l *Log) append(ctx context.Context, g *group, batches []*block.Batch, rejects []twin.Reject) (twin.Position, error) {
	if err := l.encode(g, batches, rejects); err != nil {
		return twin.Position{}, err
	}
	if err := ctx.Err(); err != nil {
		return twin.Position{}, canceled(err)
	}
	if err := l.disk.check(opAppend); err != nil {
		return twin.Position{}, err
	}
	sess, _, err := l.session()
	if err != nil {
		return twin.Position{}, err
	}
	if len(g.records) == 0 {
		return twin.Position{Epoch: sess.obs.epoch, Offset: l.last.Load()}, nil
	}
	retry := l.failed.take(g)
	if !retry {
		l.identify(sess, g)
	} else if err = sess.reconcile(ctx, g); err != nil {
		l.failed.put(g, time.Now())
		return twin.Position{}, err
	}
	if err = l.publish(ctx, sess, g); err != nil {
		l.failed.put(g, time.Now())
		return twin.Position{}, err
	}
	pos := twin.Position{Epoch: sess.obs.epoch}
	for i := range g.records {
		r := &g.records[i]
		name := "obs"
		if r.reject {
			name = "reject"
			raise(&l.lastRej, r.seq)
		} else {
			pos.Offset = max(pos.Offset, r.seq)
		}
		l.m.records.WithLabelValues(name).Inc()
		l.m.bytes.WithLabelValues(name).Add(float64(len(r.data)))
	}
	l.m.observations.Add(float64(g.rows))
	l.m.rejects.Add(float64(len(rejects)))
	if pos.Offset == 0 {
		pos.Offset = l.last.Load()
		return pos, nil
	}
	raise(&l.last, pos.Offset)
	return pos, nil
}

// identify draws the message ids of a new group and notes where the streams
// end, for the search after a failure.
func (l *Log) identify(sess *session, g *group) {
	g.epochs = sess.epochs()
	g.id = l.idCount.Add(1)
	g.afterObs, g.afterRej = l.last.Load(), l.lastRej.Load()
	for i := range g.records {
		g.records[i].id = messageID(l.idBase, g.id, i)
	}
}

// publish sends the records that are not stored yet and waits for every
// confirmation.
func (l *Log) publish(ctx context.Context, sess *session, g *group) error {
	var firstErr error
	for i := range g.records {
		r := &g.records[i]
		r.future = nil
		if r.seq != 0 || firstErr != nil {
			continue
		}
		if r.follows {
			// A batch that was split: its Datastreams are in several records, whose
			// order must hold whatever fails. It is rare, and may wait.
			if firstErr = l.awaitAll(ctx, sess, g.records[:i], g); firstErr != nil {
				continue
			}
		}
		select {
		case <-sess.dead:
			firstErr = unavailable(opAppend, "the log cannot write", sess.cause)
			continue
		default:
		}
		var err error
		r.future, err = sess.pubJS.PublishMsgAsync(&nats.Msg{Subject: r.subject, Data: r.data, Header: nats.Header{jetstream.MsgIDHeader: {r.id}}})
		if err != nil {
			firstErr = l.publishFailed(err)
		}
	}
	// All that was sent is waited for, even after an error: what is known to be
	// stored need not be looked for.
	if err := l.awaitAll(ctx, sess, g.records, g); firstErr == nil {
		firstErr = err
	}
	return firstErr
}

// awaitAll waits for every confirmation that is still to come, and gives the
// first error.
func (l *Log) awaitAll(ctx context.Context, sess *session, records []record, g *group) (firstErr error) {
	for i := range records {
		r := &records[i]
		if r.future == nil {
			continue
		}
		if err := l.await(ctx, sess, r, g); err != nil && firstErr == nil {
			firstErr = err
		}
		r.future = nil
	}
	return firstErr
}

func (l *Log) await(ctx context.Context, sess *session, r *record, g *group) error {
	done := func(ack *jetstream.PubAck) error {
		r.seq = ack.Sequence
		if r.seq <= g.after(r.reject) {
			// The stream counts from anew: it was recreated behind our back. Not even
			// a duplicate has a number from before its first try.
			r.seq = 0
			l.setFault(&fault{message: "the streams of the log were recreated on the server", hint: "the log opens them again by itself; every view is rebuilt"})
			return &twin.Error{Code: twin.CodeUnavailable, Op: opAppend, Message: "the streams of the log were recreated on the server", Hint: "try again in a moment"}
		}
		return nil
	}
	select {
	case ack := <-r.future.Ok():
		return done(ack)
	case err := <-r.future.Err():
		return l.publishFailed(err)
	case <-sess.dead:
	case <-ctx.Done():
	}
	select { // both may have been ready
	case ack := <-r.future.Ok():
		return done(ack)
	default:
	}
	if err := ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			l.setFault(&fault{message: "the log did not confirm a record in time", hint: "check the disk of the log", err: err})
		}
		return canceled(err)
	}
	return unavailable(opAppend, "the log cannot write", sess.cause)
}

// publishFailed notes why a record was not confirmed and gives the error for
// the caller.
func (l *Log) publishFailed(err error) error {
	f := &fault{message: "the log server did not take a record", err: err}
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		f.message, f.hint = "the log did not confirm a record in time", "check the disk of the log"
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		f.message, f.hint = "no stream takes the records", "check that JetStream runs on the log server"
	case errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrReconnectBufExceeded):
		f.message, f.hint = "the log server is not connected", "it reconnects by itself; check that the server runs"
	case errors.As(err, &api) && api.ErrorCode == codeDuplicateInProcess:
		// The first try is on its way to the replicas still; the log is well.
		return &twin.Error{Code: twin.CodeUnavailable, Op: opAppend, Message: "an earlier try of the record is not finished", Hint: "try again in a moment", Err: err}
	case errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		// Too much is on its way already; the log itself is well.
		return &twin.Error{Code: twin.CodeUnavailable, Op: opAppend, Message: "too many records wait for their confirmation", Hint: "append larger batches, or fewer at a time", Err: err}
	case errors.As(err, &api):
		f.message = "the log server refused a record: " + api.Description
	}
	l.setFault(f)
	return &twin.Error{Code: twin.CodeUnavailable, Op: opAppend, Message: f.message, Hint: f.hint, Err: err}
}

func canceled(err error) error {
	return &twin.Error{Code: twin.CodeUnavailable, Op: opAppend, Message: "given up before the records were durable", Hint: "append the same group again", Err: err}
}
