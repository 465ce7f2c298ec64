package client

import (
	"context"
	"sync"
)

// item is an event on its way to the caller.
type item struct {
	event Event
	sub   *Subscription // whose it is; nil: the connection's
	bytes int           // of the message it came with
}

// queue holds events between the connection and the caller, bounded in events
// and bytes. When it is full put waits, which stops the reading; nothing is
// left out. A single event of more bytes is taken by an empty queue.
type queue struct {
	maxEvents, maxBytes int

	mu      sync.Mutex
	items   []item
	head    int
	bytes   int
	waits   uint64
	err     error // why no more will come
	arrived chan struct{}
	room    chan struct{}
}

func newQueue(events, bytes int) *queue {
	return &queue{maxEvents: events, maxBytes: bytes, arrived: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put queues it, after waiting for room; an error says that ctx or the queue
// has ended.
func (q *queue) put(ctx context.Context, it item) error {
	waited := false
	for {
		q.mu.Lock()
		if q.err != nil {
			q.mu.Unlock()
			return q.err
		}
		n := len(q.items) - q.head
		if n == 0 || n < q.maxEvents && q.bytes+it.bytes <= q.maxBytes {
			if q.head > 0 && q.head == len(q.items) {
				q.items, q.head = q.items[:0], 0
			} else if q.head > q.maxEvents {
				q.items = append(q.items[:0], q.items[q.head:]...)
				q.head = 0
			}
			q.items = append(q.items, it)
			q.bytes += it.bytes
			q.mu.Unlock()
			signal(q.arrived)
			return nil
		}
		if !waited {
			waited = true
			q.waits++
		}
		q.mu.Unlock()
		select {
		case <-q.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take waits for the next event. What is queued comes before the end.
func (q *queue) take(ctx context.Context) (item, error) {
	for {
		q.mu.Lock()
		if q.head < len(q.items) {
			it := q.items[q.head]
			q.items[q.head] = item{}
			q.head++
			q.bytes -= it.bytes
			q.mu.Unlock()
			signal(q.room)
			return it, nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			signal(q.arrived) // for another caller
			return item{}, err
		}
		select {
		case <-q.arrived:
		case <-ctx.Done():
			return item{}, ctx.Err()
		}
	}
}

// end says that no more will come, with the reason; the first one counts. drop
// gives up what is queued.
func (q *queue) end(err error, drop bool) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	if drop {
		q.items, q.head, q.bytes = nil, 0, 0
	}
	q.mu.Unlock()
	signal(q.arrived)
	signal(q.room)
}

// fill is how full the queue is and how often it was full.
func (q *queue) fill() (events, bytes int, waits uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.head, q.bytes, q.waits
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
