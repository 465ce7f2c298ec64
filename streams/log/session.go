package log

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cityhub/twin"
)

const epochKey = "cityhub-epoch" // in the metadata of the stream OBS

// session is one life of a server: an embedded one from its start to its
// shutdown, an external one from connect to close, over any reconnects.
type session struct {
	l   *Log
	srv *server.Server // nil: external
	// Confirmations have a connection of their own, so that they never wait
	// behind the records that a Tail is catching up on.
	pub, read     *nats.Conn
	pubJS, readJS jetstream.JetStream
	obs, rej      streamState

	once  sync.Once
	dead  chan struct{} // closed when the session can serve no more
	cause error         // why; read after dead is closed
}

// streamState is a stream as it stood when it was last looked at.
type streamState struct {
	handle      jetstream.Stream
	epoch       string
	first, last uint64 // of an empty stream first is last+1
}

// connect starts the embedded server, or connects to the external one, and
// makes sure of the streams.
func (l *Log) connect(ctx context.Context) (*session, error) {
	s := &session{l: l, dead: make(chan struct{})}
	fail := func(err error) (*session, error) {
		s.close(err)
		return nil, err
	}
	var opts []nats.Option
	if l.embedded() {
		srv, err := startServer(ctx, filepath.Join(l.o.Dir, "nats"), l.o.Logger.With("component", "nats"), func(reason string) {
			l.noteFault(&fault{message: "the log cannot write to its disk", hint: "free space on the disk of the data directory, or replace the disk; the log comes back by itself", err: errors.New(reason)})
			s.die(errors.New(reason))
			l.wake()
		})
		if err != nil {
			return nil, err
		}
		s.srv = srv
		opts = append(opts, nats.InProcessServer(srv))
	}
	var err error
	if s.pub, s.pubJS, err = s.dial(ctx, "cityhub log append", opts); err != nil {
		return fail(err)
	}
	if s.read, s.readJS, err = s.dial(ctx, "cityhub log read", opts); err != nil {
		return fail(err)
	}
	if limit := s.pub.MaxPayload(); int64(l.o.MaxRecordBytes)+4096 > limit {
		return fail(&twin.Error{Code: twin.CodeInvalid, Op: "open log", Field: "maxRecordBytes", Message: fmt.Sprintf("%d bytes and a header do not fit the server's max_payload of %d", l.o.MaxRecordBytes, limit), Hint: "lower it, or raise max_payload on the server"})
	}
	if err := s.open(ctx); err != nil {
		return fail(err)
	}
	return s, nil
}

func (s *session) dial(ctx context.Context, name string, opts []nats.Option) (*nats.Conn, jetstream.JetStream, error) {
	o := s.l.o
	opts = append(opts[:len(opts):len(opts)],
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a renewed credentials file is taken up
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait/2, reconnectWait/2),
		nats.ReconnectBufSize(-1), // a record that cannot be sent now is an error now
		nats.PingInterval(pingInterval),
		nats.ReconnectHandler(func(*nats.Conn) { s.l.reconnected(s) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && s.srv == nil {
				o.Logger.Warn("the connection to the log server was lost", "connection", name, "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.Logger.Warn("log connection", "connection", name, "error", err)
		}),
	)
	if o.Credentials != "" {
		opts = append(opts, nats.UserCredentials(o.Credentials))
	}
	if o.RootCAs != "" {
		opts = append(opts, nats.RootCAs(o.RootCAs))
	}
	if d, ok := ctx.Deadline(); ok {
		if left := d.Sub(o.Clock()); left > 0 && left < nats.DefaultTimeout {
			opts = append(opts, nats.Timeout(left))
		}
	}
	nc, err := connectNATS(ctx, &o, opts)
	if err != nil {
		return nil, nil, &twin.Error{Code: twin.CodeUnavailable, Op: "open log", Field: "url", Message: "the log server cannot be reached", Hint: "check log.url, its credentials and that the server runs with JetStream", Err: err}
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(maxPendingAcks), jetstream.WithPublishAsyncTimeout(o.AckTimeout), jetstream.WithDefaultTimeout(o.AckTimeout))
	if err != nil {
		nc.Close()
		return nil, nil, &twin.Error{Code: twin.CodeInternal, Op: "open log", Message: "the JetStream client refused its options", Err: err}
	}
	return nc, js, nil
}

// ensure creates the streams that are missing, brings their retention to the
// options and reads their state.
func (s *session) ensure(ctx context.Context) error {
	o := &s.l.o
	obsName, rejName, obsSubject, rejSubject := o.names()
	obs, err := s.ensureStream(ctx, jetstream.StreamConfig{
		Name: obsName, Description: "observations, one record per batch of a district and domain",
		Subjects: []string{obsSubject + ".>"}, MaxBytes: o.MaxBytes,
	})
	if err != nil {
		return err
	}
	rej, err := s.ensureStream(ctx, jetstream.StreamConfig{
		Name: rejName, Description: "refused messages with their reasons",
		Subjects: []string{rejSubject}, MaxBytes: o.MaxRejectBytes,
	})
	if err != nil {
		return err
	}
	s.obs, s.rej = obs, rej
	return nil
}

func (s *session) ensureStream(ctx context.Context, want jetstream.StreamConfig) (streamState, error) {
	const op = "open log"
	o := &s.l.o
	have, err := s.readJS.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		want.Retention = jetstream.LimitsPolicy
		want.Discard = jetstream.DiscardOld
		want.Storage = jetstream.FileStorage
		want.Replicas = max(o.Replicas, 1)
		want.MaxAge, want.Duplicates = o.MaxAge, o.window
		want.AllowDirect = true // rejects are read by sequence
		want.Metadata = map[string]string{epochKey: randomID(8)}
		have, err = s.readJS.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another hub was faster
			have, err = s.readJS.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return streamState{}, streamFailed(err, o.Replicas, "the stream "+want.Name+" cannot be opened")
	}
	cfg := have.CachedInfo().Config
	epoch := cfg.Metadata[epochKey]
	if epoch == "" || cfg.Storage != jetstream.FileStorage || cfg.Retention != jetstream.LimitsPolicy || cfg.PersistMode == jetstream.AsyncPersistMode {
		return streamState{}, &twin.Error{Code: twin.CodeConflict, Op: op, Field: "prefix", Message: "the stream " + want.Name + " exists and is not a log of this hub", Hint: "set log.prefix, or remove that stream"}
	}
	change := cfg
	change.MaxBytes, change.MaxAge, change.Duplicates = want.MaxBytes, o.MaxAge, o.window
	if o.Replicas > 0 {
		change.Replicas = o.Replicas
	}
	if change.MaxBytes != cfg.MaxBytes || change.MaxAge != cfg.MaxAge || change.Duplicates != cfg.Duplicates || change.Replicas != cfg.Replicas {
		if have, err = s.readJS.UpdateStream(ctx, change); err != nil {
			return streamState{}, streamFailed(err, o.Replicas, "the retention or the replicas of the stream "+want.Name+" cannot be changed")
		}
	}
	st := streamState{handle: have, epoch: epoch}
	st.set(have.CachedInfo())
	return st, nil
}

func (st *streamState) set(info *jetstream.StreamInfo) {
	st.epoch = info.Config.Metadata[epochKey]
	st.first, st.last = info.State.FirstSeq, info.State.LastSeq
	if info.State.Msgs == 0 {
		st.first = st.last + 1
	}
}

// bounds asks the server for the state of OBS.
func (s *session) bounds(ctx context.Context) (streamState, error) {
	bound, cancel := context.WithTimeout(ctx, s.l.o.AckTimeout) // nobody answers while a cluster has no leader
	defer cancel()
	info, err := s.obs.handle.Info(bound)
	if err != nil {
		if ctx.Err() != nil {
			return streamState{}, ctx.Err()
		}
		return streamState{}, unavailable("read log", "the log server does not answer", err)
	}
	st := streamState{handle: s.obs.handle}
	st.set(info)
	return st, nil
}

// unchanged reports whether both streams are still the ones that were opened.
func (s *session) unchanged(ctx context.Context) (bool, error) {
	for _, st := range []streamState{s.obs, s.rej} {
		info, err := st.handle.Info(ctx)
		if err != nil {
			return false, err
		}
		if info.Config.Metadata[epochKey] != st.epoch {
			return false, nil
		}
	}
	return true, nil
}

func (s *session) connected() bool { return s.pub.IsConnected() && s.read.IsConnected() }

// die marks the session as dead: what waits for it gives up.
func (s *session) die(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.dead)
	})
}

// close ends the connections and shuts the embedded server down completely.
func (s *session) close(cause error) {
	s.die(cause)
	for _, nc := range []*nats.Conn{s.read, s.pub} {
		if nc != nil {
			nc.Close()
		}
	}
	if s.srv != nil {
		stopServer(s.srv)
	}
}

func randomID(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
