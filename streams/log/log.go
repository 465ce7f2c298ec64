// Package log is the hub's only bus: the durable log of observations, and of
// what was refused. It runs on NATS JetStream, embedded in the process with no
// listening port, or on an external server or cluster by URL, with the same
// code.
//
// Guarantees (DESIGN.md has the reasons):
//
//   - Append returns nil only after every record of the group is on disk.
//   - Append again with the same batches and rejects after an error stores
//     nothing twice, whatever became of the first try.
//   - Tail gives every record after a position once and in order, over server
//     restarts and reconnects, or fails with CodeConflict; it never skips
//     silently.
//   - A log that cannot write says why (Healthy), refuses further appends, and
//     comes back by itself once the cause is gone.
//
// A Log is safe for concurrent use. Every error is a *twin.Error, except what
// the function given to Tail returned and a context's own error.
package log

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"cityhub/twin"
)

// Log is an open log. Make one with Open and Close it.
type Log struct {
	o       Options
	m       *metrics
	disk    diskGuard
	lock    *dirLock // nil for an external server
	failed  retries
	groups  sync.Pool // of *group
	idBase  string    // unique to this Log: the first part of every message id
	idCount atomic.Uint64

	last      atomic.Uint64 // sequence of the last record of OBS known to be durable
	lastRej   atomic.Uint64 // the same for REJECT
	fault     atomic.Pointer[fault]
	poke      chan struct{}   // wakes the monitor
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	closeOnce sync.Once
	closeErr  error
	running   sync.WaitGroup // the monitor and the calls of Append

	mu       sync.RWMutex
	sess     *session      // nil while the log has no server
	changed  chan struct{} // closed and replaced when sess, its connection or the epoch changes
	epoch    string        // of OBS, which positions name
	rejEpoch string
	closed   bool
}

// fault is why the log does not take records.
type fault struct {
	message string
	hint    string
	err     error
}

// Open starts or connects to the server, creates the streams where they are
// missing and adjusts their retention to the options. Errors: CodeInvalid for
// a wrong option, CodeConflict when another process holds Dir or the streams
// belong to something else, CodeCorrupt when stored streams cannot be read,
// CodeUnavailable when the server does not answer before ctx ends.
func Open(ctx context.Context, o Options) (_ *Log, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	l := &Log{
		o:       o,
		idBase:  randomID(10),
		poke:    make(chan struct{}, 1),
		changed: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.groups.New = func() any { return new(group) }
	defer func() {
		if err != nil {
			l.cancel()
			l.lock.release()
		}
	}()
	if l.embedded() {
		if l.lock, err = lockDir(o.Dir); err != nil {
			return nil, err
		}
		l.disk = diskGuard{dir: o.Dir, min: o.MinFree}
	}
	sess, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Metrics, l)
	if err != nil {
		sess.close(errClosed())
		return nil, err
	}
	l.m = m
	l.install(sess)
	l.running.Add(1)
	go l.monitor()
	return l, nil
}

func (l *Log) embedded() bool { return l.o.URL == "" }

// Epoch names this log: it was drawn when its stream was created, and a stream
// that is recreated has another.
func (l *Log) Epoch() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.epoch
}

// Bounds gives the positions of the first and the last record that the log
// keeps. Of an empty log first is the position after last.
func (l *Log) Bounds(ctx context.Context) (first, last twin.Position, err error) {
	sess, _, err := l.session()
	if err != nil {
		return first, last, err
	}
	b, err := sess.bounds(ctx)
	if err != nil {
		return first, last, err
	}
	return twin.Position{Epoch: b.epoch, Offset: b.first}, twin.Position{Epoch: b.epoch, Offset: b.last}, nil
}

// Healthy is nil when the log takes records; else a *twin.Error with
// CodeUnavailable that says why it does not.
func (l *Log) Healthy(ctx context.Context) error {
	const op = "check log"
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.disk.check(op); err != nil {
		return err
	}
	if f := l.fault.Load(); f != nil {
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: f.message, Hint: f.hint, Err: f.err}
	}
	sess, _, err := l.session()
	if err != nil {
		return err
	}
	select {
	case <-sess.dead:
		return unavailable(op, "the log cannot write", sess.cause)
	default:
	}
	if !sess.connected() {
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "the log server is not connected", Hint: "it reconnects by itself; check that the server runs", Err: sess.pub.LastError()}
	}
	return nil
}

// Close lets the running calls of Append end, then stops the log: Tail returns
// with CodeUnavailable, and the embedded server is shut down completely. It
// does not wait for the functions given to Tail. It may be called more than
// once.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.cancel()
		l.running.Wait()
		l.mu.Lock()
		sess := l.sess
		l.sess = nil
		l.mu.Unlock()
		if sess != nil {
			sess.close(errClosed())
		}
		l.m.unregister()
		l.closeErr = l.lock.release()
	})
	return l.closeErr
}

// session gives the server in use and a channel that is closed when it, its
// connection or the epoch changes.
func (l *Log) session() (*session, <-chan struct{}, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return nil, l.changed, errClosed()
	case l.sess == nil:
		return nil, l.changed, &twin.Error{Code: twin.CodeUnavailable, Op: "use log", Message: "the log server is restarting", Hint: "try again in a moment"}
	}
	return l.sess, l.changed, nil
}

// install makes sess the server in use. It tells every Tail, which then takes
// up its reading from where it was.
func (l *Log) install(sess *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sess = sess
	if l.epoch != sess.obs.epoch {
		if l.epoch != "" {
			l.o.Logger.Error("the log was recreated: positions of the old one are void", "old", l.epoch, "new", sess.obs.epoch)
		}
		l.epoch = sess.obs.epoch
		l.last.Store(0)
	}
	if l.rejEpoch != sess.rej.epoch {
		l.rejEpoch = sess.rej.epoch
		l.lastRej.Store(0)
	}
	raise(&l.last, sess.obs.last)
	raise(&l.lastRej, sess.rej.last)
	l.announceLocked()
}

func (l *Log) announceLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// setFault notes why the log fails and wakes the monitor, which looks whether
// the cause is gone.
func (l *Log) setFault(f *fault) {
	l.noteFault(f)
	l.wake()
}

// wake has the monitor look now.
func (l *Log) wake() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// noteFault is setFault for the monitor itself: its next try waits for the tick.
func (l *Log) noteFault(f *fault) {
	if old := l.fault.Swap(f); old == nil || old.message != f.message {
		l.o.Logger.Error("the log does not take records", "reason", f.message, "error", f.err)
	}
}

// clearFault takes f back, unless another came up after it.
func (l *Log) clearFault(f *fault) {
	if f != nil && l.fault.CompareAndSwap(f, nil) {
		l.o.Logger.Info("the log takes records again", "was", f.message)
	}
}

func raise(v *atomic.Uint64, n uint64) {
	for {
		old := v.Load()
		if n <= old || v.CompareAndSwap(old, n) {
			return
		}
	}
}

func errClosed() error {
	return &twin.Error{Code: twin.CodeUnavailable, Op: "use log", Message: "the log is closed"}
}

// unavailable wraps an error of the server or the connection.
func unavailable(op, message string, err error) error {
	var te *twin.Error
	if errors.As(err, &te) {
		return err
	}
	return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: message, Err: err}
}

func sleep(ctx context.Context, d time.Duration, stop <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-stop:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
