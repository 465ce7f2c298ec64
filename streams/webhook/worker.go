package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cityhub/twin"
	"cityhub/twin/registry"
)

// worker delivers one webhook. Its methods run on its one goroutine, but those
// of its reader.
type worker struct {
	m   *Manager
	h   *hook
	id  string
	own Owner
	def Definition
	p   registry.WebhookProgress // as stored, or about to be
	log *slog.Logger

	failures int // in a row
}

// errEnded says that the webhook is paused or gone: the worker ends.
var errEnded = errors.New("the webhook has ended")

func newWorker(m *Manager, h *hook) *worker {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &worker{
		m: m, h: h, id: h.rec.ID, def: h.def, p: h.rec.Progress,
		own: Owner{Name: h.rec.Owner, Role: h.rec.Role, Token: h.rec.Token},
		log: m.o.Logger.With("webhook", h.rec.ID),
	}
}

// run delivers until ctx ends or the webhook is paused.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		if w.p.PendingEnd != 0 {
			err = w.again(ctx)
		} else {
			err = w.follow(ctx)
		}
		switch {
		case ctx.Err() != nil, errors.Is(err, errEnded):
			return
		case err == nil:
			continue
		case twin.ErrorCode(err) == twin.CodeConflict:
			if err = w.lost(ctx, err); err == nil {
				continue
			}
		case w.allowed(ctx) != nil:
			return
		}
		if w.fault(ctx, err) != nil {
			return
		}
	}
}

// fault notes a failure that is not the receiver's, such as a log that does
// not answer, and waits.
func (w *worker) fault(ctx context.Context, err error) error {
	w.log.Warn("a webhook waits", "error", err)
	d := w.m.backoff(w.failures)
	w.failures++
	w.h.update(func(s *State, _ *registry.WebhookProgress) {
		s.LastError, s.NextTry = "the hub: "+err.Error(), w.m.o.Clock().Add(d).UTC()
	})
	return w.wait(ctx, d)
}

// wait waits for d; a change of rights is looked at meanwhile.
func (w *worker) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-w.h.poke:
			if err := w.allowed(ctx); err != nil {
				return err
			}
		}
	}
}

// allowed pauses the webhook when its owner's rights are gone: 上海市数据条例
// 第三十九条 (R29). Another failure to ask is left to the next try.
func (w *worker) allowed(ctx context.Context) error {
	_, err := w.m.o.Access(ctx, w.own)
	switch twin.ErrorCode(err) {
	case twin.CodeUnauthorized, twin.CodeForbidden:
		return w.pause(ctx, "the rights it was made with are gone: "+err.Error())
	}
	return nil
}

func (w *worker) pause(ctx context.Context, why string) error {
	w.m.pause(ctx, w.h, why)
	return errEnded
}

// mark stores the progress and has the API show it.
func (w *worker) mark(ctx context.Context) error {
	err := w.m.o.Store.MarkWebhook(ctx, w.id, w.p)
	if err == nil {
		w.h.update(func(_ *State, p *registry.WebhookProgress) { *p = w.p })
	}
	return err
}

// lost goes on at the first record that the log still has, and has the next
// delivery say so.
func (w *worker) lost(ctx context.Context, cause error) error {
	first, _, err := w.m.o.Bounds(ctx)
	if err != nil {
		return err
	}
	w.log.Error("the log no longer holds what a webhook has not delivered yet", "after", w.p.Position.String(), "error", cause)
	w.p.Gap = fmt.Sprintf("readings after %s may be missing: the log does not reach back to them", w.p.Position)
	w.p.Position, w.p.PendingEnd = twin.Position{Epoch: first.Epoch, Offset: first.Offset - min(first.Offset, 1)}, 0
	return w.mark(ctx)
}

// follow reads the log and delivers until something fails.
func (w *worker) follow(ctx context.Context) error {
	r := w.read(ctx, w.p.Position, min(w.def.MaxReadings, groupRows))
	defer r.close()
	b := newBatch(w.def.Mode)
	b.end = w.p.Position
	delay := time.NewTimer(time.Hour)
	delay.Stop()
	defer delay.Stop()
	checkpoint := time.NewTicker(w.m.o.CheckpointEvery)
	defer checkpoint.Stop()
	send := func() error {
		delay.Stop()
		err := w.deliver(ctx, b, r.close)
		b = newBatch(w.def.Mode)
		b.end = w.p.Position
		return err
	}
	for {
		select {
		case c := <-r.chunks:
			if w.def.Mode == ModeEvery && !b.empty() && b.readings()+len(c.rows) > w.def.MaxReadings {
				if err := send(); err != nil {
					return err
				}
				if r.closed {
					return nil // c is read again
				}
			}
			if b.empty() && len(c.rows) > 0 {
				delay.Reset(time.Duration(w.def.MaxDelayMs) * time.Millisecond)
			}
			b.add(c)
			w.h.update(func(s *State, _ *registry.WebhookProgress) { s.Read, s.Queued = b.end, b.readings() })
			if b.readings() >= w.def.MaxReadings || b.bytes >= maxBatchBytes {
				if err := send(); err != nil || r.closed {
					return err
				}
			}
		case <-delay.C:
			if err := send(); err != nil || r.closed {
				return err
			}
		case <-checkpoint.C:
			if err := w.allowed(ctx); err != nil {
				return err
			}
			if b.empty() && b.end != w.p.Position {
				w.p.Position = b.end
				if err := w.mark(ctx); err != nil {
					return err
				}
			}
		case <-w.h.poke:
			if err := w.allowed(ctx); err != nil {
				return err
			}
		case err := <-r.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// again reads once more what a delivery that was begun holds, and goes on with
// it: it may have arrived, so it has to keep its number and its readings.
func (w *worker) again(ctx context.Context) error {
	r := w.read(ctx, w.p.Position, 1) // record by record, to end where it ended
	defer r.close()
	b := newBatch(w.def.Mode)
	b.end = w.p.Position
	for b.end.Offset < w.p.PendingEnd {
		select {
		case c := <-r.chunks:
			b.add(c)
		case <-w.h.poke:
			if err := w.allowed(ctx); err != nil {
				return err
			}
		case err := <-r.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.close()
	return w.deliver(ctx, b, func() {})
}

// deliver sends a batch until it is confirmed. patience is called once that
// takes longer: the log need not be held open for it.
func (w *worker) deliver(ctx context.Context, b *batch, patience func()) error {
	if w.p.PendingEnd == 0 {
		w.p.Sequence++
		w.p.PendingEnd = b.end.Offset
		if err := w.mark(ctx); err != nil {
			w.p.Sequence--
			w.p.PendingEnd = 0
			return err
		}
	}
	for {
		res, err := w.try(ctx, b)
		if err != nil {
			return err
		}
		now := w.m.o.Clock().UTC()
		if res.ok() {
			return w.confirm(ctx, b, res, now)
		}
		w.m.m.failed.Inc()
		patience()
		if w.p.Failing.IsZero() {
			w.p.Failing = now
			if err := w.mark(ctx); err != nil {
				return err
			}
		}
		switch {
		case res.status == 410:
			// Standard Webhooks, "Delivery": the receiver wants no more.
			w.note(res, time.Time{})
			return w.pause(ctx, "the receiver answered 410 Gone")
		case now.Sub(w.p.Failing) >= w.m.o.GiveUpAfter:
			w.note(res, time.Time{})
			return w.pause(ctx, fmt.Sprintf("no delivery succeeded for %s: %s", w.m.o.GiveUpAfter, res.text()))
		}
		d := max(w.m.backoff(w.failures), min(res.retryAfter, w.m.o.RetryMax))
		w.failures++
		w.note(res, now.Add(d))
		if w.failures == 1 {
			w.log.Warn("a delivery failed and is repeated", "sequence", w.p.Sequence, "error", res.text())
		}
		if err := w.wait(ctx, d); err != nil {
			return err
		}
	}
}

// note has the API show how a try ended.
func (w *worker) note(res result, next time.Time) {
	w.h.update(func(s *State, _ *registry.WebhookProgress) {
		s.LastStatus, s.LastError, s.NextTry, s.Failures = res.status, res.text(), next, w.failures
	})
}

// confirm stores that a delivery has arrived.
func (w *worker) confirm(ctx context.Context, b *batch, res result, now time.Time) error {
	w.failures = 0
	w.p.Position, w.p.PendingEnd, w.p.Failing = b.end, 0, time.Time{}
	if res.sent > 0 || res.gap {
		w.p.Delivered, w.p.Gap = now, ""
		w.m.m.confirmed.Inc()
		w.m.m.readings.Add(float64(res.sent))
	}
	w.h.update(func(s *State, _ *registry.WebhookProgress) {
		s.LastStatus, s.LastError, s.NextTry, s.Failures, s.Queued = res.status, "", time.Time{}, 0, 0
	})
	for n := 0; ; n++ {
		err := w.mark(ctx)
		if err == nil || twin.ErrorCode(err) == twin.CodeNotFound {
			return err
		}
		// The next delivery waits: after a crash this one would come again
		// under its number, and so it must before another has.
		w.log.Error("a confirmed delivery could not be stored", "sequence", w.p.Sequence, "error", err)
		if err := w.wait(ctx, w.m.backoff(n)); err != nil {
			return err
		}
	}
}
