package log

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"cityhub/twin"
)

// startServer runs a NATS server inside the process, without a listening port.
// onFault is called, at most once, when the server reports that it can no
// longer write: a standalone server then leaves publishers without an answer.
func startServer(ctx context.Context, dir string, logger *slog.Logger, onFault func(reason string)) (*server.Server, error) {
	const op = "start log server"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: op, Field: "dir", Message: "the directory of the log cannot be created", Err: err}
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "cityhub",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   dir,
		// Every message block is fsynced before its message is confirmed.
		SyncAlways: true,
		MaxPayload: embeddedMaxPayload,
		// Both limits are the machine's share by default, the disk's taken at
		// start; the streams carry their own bounds and the guard minds the disk.
		JetStreamMaxStore:      1 << 62,
		JetStreamMaxMemory:     64 << 20,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeInternal, Op: op, Message: "the embedded server refused its options", Err: err}
	}
	srv.SetLoggerV2(&serverLogger{l: logger, onFault: onFault}, false, false, false)
	srv.Start() // returns once the streams are recovered
	for !srv.ReadyForConnections(100 * time.Millisecond) {
		if ctx.Err() != nil || !srv.Running() {
			stopServer(srv)
			return nil, &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "the embedded server did not become ready", Hint: "see the log lines of the component nats", Err: ctx.Err()}
		}
	}
	// A stream that cannot be recovered is simply absent: without this check a
	// new and empty one would be created in its place.
	if h := srv.Healthz(nil); h.Status != "ok" {
		stopServer(srv)
		return nil, &twin.Error{Code: twin.CodeCorrupt, Op: op, Field: "dir", Message: "the stored log cannot be read: " + h.Error, Hint: "restore " + dir + " from a backup, or move it away to begin a new log"}
	}
	return srv, nil
}

func stopServer(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// serverLogger brings the server's log lines to slog and listens for the one
// that says that a stream can no longer be written.
type serverLogger struct {
	l       *slog.Logger
	onFault func(string)
	faulted atomic.Bool
}

func (s *serverLogger) Noticef(f string, v ...any) { s.l.Debug(fmt.Sprintf(f, v...)) }
func (s *serverLogger) Warnf(f string, v ...any)   { s.l.Warn(fmt.Sprintf(f, v...)) }
func (s *serverLogger) Fatalf(f string, v ...any)  { s.Errorf(f, v...) }
func (s *serverLogger) Debugf(string, ...any)      {}
func (s *serverLogger) Tracef(string, ...any)      {}

func (s *serverLogger) Errorf(f string, v ...any) {
	msg := fmt.Sprintf(f, v...)
	s.l.Error(msg)
	low := strings.ToLower(msg)
	if (strings.Contains(low, "critical write error") || strings.Contains(low, "jetstream out of")) && s.faulted.CompareAndSwap(false, true) {
		s.onFault(msg)
	}
}
