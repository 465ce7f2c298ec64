package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/streams"
	"cityhub/twin"
	"cityhub/twin/registry"
)

// result is how a try ended.
type result struct {
	status     int // 0: there was no answer
	err        error
	retryAfter time.Duration // what the receiver asked for
	sent       int           // readings
	gap        bool          // a loss was told
}

func (r *result) ok() bool { return r.err == nil && r.status/100 == 2 }

// text says why a try failed, without anything that the receiver's network may
// have answered: who may make a webhook shall not read what lies behind it.
func (r *result) text() string {
	var te *twin.Error
	var ne net.Error
	var dns *net.DNSError
	switch {
	case r.err == nil && r.status/100 == 3:
		return fmt.Sprintf("the receiver answered %d, and redirects are not followed", r.status)
	case r.err == nil:
		return fmt.Sprintf("the receiver answered %d", r.status)
	case errors.As(r.err, &te):
		return te.Error()
	case errors.As(r.err, &dns):
		return "the receiver's name cannot be resolved"
	case errors.Is(r.err, context.DeadlineExceeded), errors.As(r.err, &ne) && ne.Timeout():
		return "the receiver did not answer in time"
	case errors.As(r.err, new(*net.OpError)):
		return "the receiver cannot be connected to"
	}
	return "the receiver's answer is no HTTP response, or its certificate is not trusted"
}

// try sends a batch once. Its error ends the worker or is the hub's own; what
// the receiver did is in the result. Rights are asked for before and during:
// 上海市数据条例 第三十九条 (R28, R29).
func (w *worker) try(ctx context.Context, b *batch) (result, error) {
	for {
		changes := w.m.changes.Load()
		view, err := w.m.o.Access(ctx, w.own)
		if err != nil {
			if ended := w.allowed(ctx); ended != nil {
				return result{}, ended
			}
			return result{}, err
		}
		body, sent, err := w.encode(ctx, view, b)
		if err != nil {
			return result{}, err
		}
		if sent == 0 && w.p.Gap == "" {
			return result{status: http.StatusNoContent}, nil // nothing of it may be seen any more
		}
		w.h.mu.Lock()
		rec := w.h.rec
		w.h.mu.Unlock()
		res, err := w.guarded(ctx, &rec, body, changes)
		if errors.Is(err, errChanged) {
			continue
		}
		res.sent, res.gap = sent, w.p.Gap != ""
		return res, err
	}
}

// errChanged says that a try was cut off because what may be seen has changed.
var errChanged = errors.New("what may be seen has changed")

// guarded sends and looks meanwhile whether it still may.
func (w *worker) guarded(ctx context.Context, rec *registry.Webhook, body []byte, changes uint64) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan result, 1)
	id := deliveryID(w.id, w.p.Sequence)
	go func() { done <- w.m.send(ctx, rec, id, body) }()
	tick := time.NewTicker(w.m.o.RecheckEvery)
	defer tick.Stop()
	for {
		select {
		case res := <-done:
			return res, ctx.Err()
		case <-tick.C:
		case <-w.h.poke:
		}
		err := w.allowed(ctx)
		if err == nil && w.m.changes.Load() != changes {
			err = errChanged
		}
		if err != nil && ctx.Err() == nil {
			cancel()
			if res := <-done; errors.Is(err, errChanged) && res.ok() {
				return res, nil // it had arrived before
			}
			return result{}, err
		}
	}
}

// deliveryID is the webhook-id: the same for every try of a delivery, and of
// no other.
func deliveryID(id string, sequence uint64) string {
	return id + "_" + strconv.FormatUint(sequence, 10)
}

// send makes one signed POST.
func (m *Manager) send(ctx context.Context, rec *registry.Webhook, id string, body []byte) (res result) {
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	start := time.Now()
	defer func() { m.m.took.Observe(time.Since(start).Seconds()) }()
	now := m.o.Clock()
	var url string
	if url, res.err = targetOf(rec); res.err != nil {
		return res
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		res.err = err
		return res
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "cityhub-webhook/1")
	// Standard Webhooks 1.0.0, "Webhook headers".
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("webhook-signature", signature(rec, id, now, body))
	resp, err := m.client.Do(req)
	if err != nil {
		res.err = err
		return res
	}
	// What is left of an answer is read so that the connection serves again;
	// a longer one closes it.
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
	res.status = resp.StatusCode
	if s := resp.Header.Get("Retry-After"); s != "" {
		if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 1<<20 {
			res.retryAfter = time.Duration(n) * time.Second
		} else if t, err := http.ParseTime(s); err == nil {
			res.retryAfter = max(0, t.Sub(now))
		}
	}
	return res
}

// encode makes the body of a delivery of what view sees now, and tells how many
// readings that are. A Datastream may have changed hands since it was read.
func (w *worker) encode(ctx context.Context, view streams.View, b *batch) (body []byte, sent int, err error) {
	seen := map[twin.DatastreamID]*twin.Datastream{}
	ids := b.datastreams()
	for _, id := range ids {
		ds, err := w.m.o.Directory.Datastream(ctx, id)
		switch {
		case err == nil && view.Sees(ds):
			seen[id] = ds
		case err != nil && twin.ErrorCode(err) != twin.CodeNotFound:
			return nil, 0, err
		}
	}
	body = make([]byte, 0, 512+40*len(b.rows)+400*len(ids))
	body = w.m.begin(body, "delta", w.id, deliveryID(w.id, w.p.Sequence))
	body = append(body, `,"sequence":`...)
	body = strconv.AppendUint(body, w.p.Sequence, 10)
	body = append(body, `,"position":{"epoch":`...)
	body = jsonenc.AppendString(body, b.end.Epoch)
	body = append(body, `,"offset":`...)
	body = strconv.AppendUint(body, b.end.Offset, 10)
	body = append(body, '}')
	if w.p.Gap != "" {
		body = append(body, `,"gap":`...)
		body = jsonenc.AppendString(body, w.p.Gap)
	}
	body = append(body, `,"observations":[`...)
	for i := range b.rows {
		ds := seen[b.rows[i].Datastream]
		if ds == nil {
			continue
		}
		if sent > 0 {
			body = append(body, ',')
		}
		body = streams.AppendObservation(body, ds, &b.rows[i])
		sent++
	}
	body = append(body, `],"datastreams":[`...)
	n := 0
	for _, id := range ids {
		ds := seen[id]
		if ds == nil {
			continue
		}
		var l streams.Labels
		if w.m.o.Labels != nil {
			if l, err = w.m.o.Labels(ctx, ds); err != nil {
				w.log.Warn("a Datastream is described without labels", "datastream", int64(id), "error", err)
				l = streams.Labels{}
			}
		}
		if n > 0 {
			body = append(body, ',')
		}
		body = streams.AppendDatastream(body, ds, l)
		n++
	}
	return append(body, `]}`...), sent, nil
}

// begin writes what every body begins with. Standard Webhooks 1.0.0, "Payload
// structure", has type and timestamp.
func (m *Manager) begin(dst []byte, kind, webhook, id string) []byte {
	dst = append(dst, `{"type":`...)
	dst = jsonenc.AppendString(dst, kind)
	dst = append(dst, `,"timestamp":"`...)
	dst = m.o.Clock().UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","webhook":`...)
	dst = jsonenc.AppendString(dst, webhook)
	dst = append(dst, `,"delivery":`...)
	return jsonenc.AppendString(dst, id)
}
