package ws

import (
	"runtime"
	"sync"

	"cityhub/streams"
)

// writers send for all connections: a connection that has nothing to send has
// no goroutine for it. Sessions with something to send stand in line, each
// once, and get a turn of one batch; a turn never waits for a client, since
// one whose socket is full goes on in a goroutine of its own.
//
// The line is bounded by the number of connections. The goroutines end when the
// last connection does.
type writers struct {
	mu         sync.Mutex
	more       sync.Cond
	head, tail *session // linked by session.next
	running    int
	asleep     int
	conns      int
}

// writer is the memory of one goroutine that writes.
type writer struct {
	frames []*streams.Frame
	buf    []byte
	try    attempt
}

const (
	batchBytes = 64 << 10 // of one turn
	corkBytes  = 32 << 10 // of one write, unless a frame is larger
	keepFrames = 256
)

func newWriters() *writers {
	w := &writers{}
	w.more.L = &w.mu
	return w
}

// join counts a connection, leave takes it off.
func (w *writers) join() {
	w.mu.Lock()
	w.conns++
	w.mu.Unlock()
}

func (w *writers) leave() {
	w.mu.Lock()
	if w.conns--; w.conns == 0 {
		w.more.Broadcast()
	}
	w.mu.Unlock()
}

// ready puts a session in line. It never blocks.
func (w *writers) ready(ss *session) {
	w.mu.Lock()
	if w.tail == nil {
		w.head = ss
	} else {
		w.tail.next = ss
	}
	w.tail = ss
	switch {
	case w.asleep > 0:
		w.more.Signal()
	case w.running < max(2, runtime.GOMAXPROCS(0)):
		w.running++
		go w.run()
	}
	w.mu.Unlock()
}

func (w *writers) run() {
	me := &writer{buf: make([]byte, 0, corkBytes)}
	for {
		ss := w.take()
		if ss == nil {
			return
		}
		ss.turn(me)
	}
}

// take waits for the next session in line, nil when there is no connection.
func (w *writers) take() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.head == nil {
		if w.conns == 0 {
			w.running--
			return nil
		}
		w.asleep++
		w.more.Wait()
		w.asleep--
	}
	ss := w.head
	if w.head = ss.next; w.head == nil {
		w.tail = nil
	}
	ss.next = nil
	return ss
}
