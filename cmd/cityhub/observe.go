package main

import (
	"context"
	"sync/atomic"
	"time"

	"cityhub/ingest"
	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/sensorthings"
)

// observer takes Observations from HTTP through the same pipeline as those
// from terminals, and returns once they can be read back.
type observer struct {
	pipeline *ingest.Pipeline
	view     *watermark // of the series store
	clock    func() time.Time
	lastNs   atomic.Int64
}

// observeLimit is how long a caller waits for its Observation to be durable.
const observeLimit = 10 * time.Second

// Observe implements sensorthings.Ingester.
func (o *observer) Observe(ctx context.Context, s sensorthings.Submission) (twin.Observation, error) {
	limited, cancel := context.WithTimeout(ctx, observeLimit)
	defer cancel()
	obs, err := o.observe(limited, s)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return obs, &twin.Error{
			Code: twin.CodeUnavailable, Op: "create observation", Message: "the hub cannot store readings now",
			Hint: "send it again with the same phenomenonTime: it replaces itself if it is stored after all", Err: o.pipeline.Healthy(),
		}
	}
	return obs, err
}

func (o *observer) observe(ctx context.Context, s sensorthings.Submission) (twin.Observation, error) {
	done := make(durable, 1)
	session := o.pipeline.NewSession(ingest.SessionOptions{
		Source: "http", Client: s.Principal.Name, Terminal: s.Datastream.Terminal, Waiter: done,
		Trusted: s.Principal.Role == policy.RoleAdmin,
	})
	receivedNs := o.now()
	staged, err := session.Observe(ctx, s.Datastream.ID, s.Body, receivedNs)
	if err != nil {
		return twin.Observation{}, err
	}
	rejected := session.Rejected()
	var refusal error
	if len(rejected) > 0 {
		refusal = &sensorthings.RejectedError{Reason: rejected[0].Reason, Detail: rejected[0].Detail}
	}
	if err := session.Flush(ctx, 1); err != nil {
		return twin.Observation{}, err
	}
	select {
	case <-ctx.Done():
		return twin.Observation{}, ctx.Err()
	case pos := <-done:
		if refusal != nil {
			return twin.Observation{}, refusal
		}
		if err := o.view.wait(ctx, pos); err != nil {
			return twin.Observation{}, err
		}
		return staged, nil
	}
}

// now is the time of receipt, different for every call.
func (o *observer) now() int64 {
	for {
		last := o.lastNs.Load()
		next := max(o.clock().UnixNano(), last+1)
		if o.lastNs.CompareAndSwap(last, next) {
			return next
		}
	}
}

// durable receives the position of what was handed over.
type durable chan twin.Position

func (d durable) Durable(_ int, pos twin.Position) { d <- pos }
