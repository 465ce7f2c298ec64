package log

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	reconnectWait = 250 * time.Millisecond
	// A server that stops answering, without closing the connection, is left after
	// three of them: a node that is cut off must not hold its hubs for long.
	pingInterval   = 2 * time.Second
	maxPendingAcks = 16384 // records on their way to the server, of all appends together
	restartTimeout = time.Minute
	epochInterval  = 15 * time.Second
)

// monitor looks after the disk and, while the log fails, after the cause.
func (l *Log) monitor() {
	defer l.running.Done()
	tick := time.NewTicker(l.o.CheckInterval)
	defer tick.Stop()
	lastLook := time.Now()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		case <-l.poke:
		}
		l.disk.bytes()
		switch {
		case l.fault.Load() != nil || l.sessionDead():
			l.heal(l.ctx)
		case !l.embedded() && time.Since(lastLook) > epochInterval:
			lastLook = time.Now()
			l.look(l.ctx)
		}
	}
}

// heal clears the fault when its cause is gone. An embedded server that met a
// write error never writes again: it is restarted once there is room.
func (l *Log) heal(ctx context.Context) {
	f := l.fault.Load() // a fault that comes up meanwhile is for the next time
	l.mu.RLock()
	sess := l.sess
	l.mu.RUnlock()
	if !l.embedded() {
		if l.look(ctx) {
			l.clearFault(f)
		}
		return
	}
	if !l.sessionDead() && sess.srv.Healthz(nil).Status == "ok" {
		l.clearFault(f)
		return
	}
	if l.disk.check("restart log") != nil {
		return // not before there is room
	}
	if l.restart(ctx, sess) {
		l.clearFault(f)
	}
}

// sessionDead reports whether the log has no server that could write.
func (l *Log) sessionDead() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.sess == nil {
		return true
	}
	select {
	case <-l.sess.dead:
		return true
	default:
		return false
	}
}

// restart replaces the embedded server. Everything that was confirmed is on
// disk; a torn last record is cut off when the new server reads its files.
func (l *Log) restart(ctx context.Context, old *session) bool {
	l.mu.Lock()
	l.sess = nil
	l.announceLocked()
	l.mu.Unlock()
	if old != nil {
		old.close(errors.New("the log server is restarting"))
	}
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	sess, err := l.connect(ctx)
	if err != nil {
		l.noteFault(&fault{message: "the log server cannot be restarted", hint: "see the log lines of the component nats; it is tried again every moment", err: err})
		return false
	}
	l.m.restarts.Inc()
	l.install(sess)
	return true
}

// look asks an external server whether the streams are still the ones that
// were opened. Streams that were removed are created again, which is a new
// epoch. It reports whether the server answers.
func (l *Log) look(ctx context.Context) bool {
	l.mu.RLock()
	sess := l.sess
	l.mu.RUnlock()
	if sess == nil || !sess.connected() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, l.o.AckTimeout)
	defer cancel()
	same, err := sess.unchanged(ctx)
	if same {
		return true
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return false
	}
	next, err := l.connect(ctx)
	if err != nil {
		l.o.Logger.Error("the log cannot be opened again", "error", err)
		return false
	}
	l.install(next)
	sess.close(errors.New("the log was recreated"))
	return true
}

// reconnected is called by the client after an external server came back. Its
// consumers may be gone with it, so every Tail begins a new one.
func (l *Log) reconnected(s *session) {
	l.mu.Lock()
	if l.sess == s {
		l.announceLocked()
	}
	l.mu.Unlock()
	l.o.Logger.Info("the log server is connected again")
	l.wake()
}
