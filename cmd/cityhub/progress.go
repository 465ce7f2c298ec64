package main

import (
	"context"
	"sync"

	"cityhub/twin"
)

// watermark is the position that a view has reached; callers wait for it, so
// that what they were told is durable can also be read.
type watermark struct {
	mu      sync.Mutex
	pos     twin.Position
	changed chan struct{}
}

func newWatermark(pos twin.Position) *watermark {
	return &watermark{pos: pos, changed: make(chan struct{})}
}

// advance tells that the view has reached pos.
func (w *watermark) advance(pos twin.Position) {
	w.mu.Lock()
	w.pos = pos
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
}

// position is how far the view has come.
func (w *watermark) position() twin.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pos
}

// wait returns when the view has reached pos, or ctx ends.
func (w *watermark) wait(ctx context.Context, pos twin.Position) error {
	for {
		w.mu.Lock()
		at, changed := w.pos, w.changed
		w.mu.Unlock()
		if at.Epoch == pos.Epoch && at.Offset >= pos.Offset {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
