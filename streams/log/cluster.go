package log

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cityhub/twin"
)

// What a cluster adds: servers come and go, a stream is without a leader for
// some seconds, several hubs begin at the same moment, and a replica may be
// behind its leader.

const (
	openLimit    = 45 * time.Second // for a cluster that is just coming up
	openRetryMin = 100 * time.Millisecond
	openRetryMax = time.Second
)

// Error codes of the JetStream API (errors.json of nats-server) that package
// jetstream does not name.
const (
	codeNoPeers               jetstream.ErrorCode = 10005 // too few servers for the replicas
	codeNotAvailable          jetstream.ErrorCode = 10008 // no leader of the cluster yet
	codeNotLeader             jetstream.ErrorCode = 10009
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeReplicasNotSupported  jetstream.ErrorCode = 10074 // the server is not clustered
	codeDuplicateInProcess    jetstream.ErrorCode = 10158
)

// open makes sure of the streams. On a cluster it goes on trying for a while: a
// cluster that comes up has no leader yet, and of several hubs that create the
// streams at once one wins and the others find its streams a moment later.
func (s *session) open(ctx context.Context) error {
	wait := openRetryMin
	for began := time.Now(); ; {
		err := s.try(ctx)
		if err == nil {
			s.remark()
			return nil
		}
		if s.srv != nil || s.read.ConnectedClusterName() == "" || !passing(err) || time.Since(began) > openLimit {
			return err
		}
		s.l.o.Logger.Info("the log's cluster is not ready", "error", err, "retry", wait)
		if ctxErr := sleep(ctx, wait, s.dead); ctxErr != nil {
			return err
		}
		wait = min(2*wait, openRetryMax)
	}
}

// connectNATS connects to a server. Of several, one will be there in a moment
// when all are just being started.
func connectNATS(ctx context.Context, o *Options, opts []nats.Option) (*nats.Conn, error) {
	wait := openRetryMin
	for began := time.Now(); ; {
		nc, err := nats.Connect(o.URL, opts...)
		if err == nil || !strings.Contains(o.URL, ",") || time.Since(began) > openLimit || errors.Is(err, nats.ErrAuthorization) {
			return nc, err
		}
		if sleep(ctx, wait, nil) != nil {
			return nil, err
		}
		wait = min(2*wait, openRetryMax)
	}
}

// try is ensure with a bound: a request that nobody leads is never answered.
func (s *session) try(ctx context.Context) error {
	if s.srv == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.l.o.AckTimeout)
		defer cancel()
	}
	return s.ensure(ctx)
}

// remark says what an operator of a cluster would want to know.
func (s *session) remark() {
	if s.srv != nil || s.read.ConnectedClusterName() == "" {
		return
	}
	for _, st := range []streamState{s.obs, s.rej} {
		if cfg := st.handle.CachedInfo().Config; cfg.Replicas < 2 {
			s.l.o.Logger.Warn("a stream of the log has one replica: when its server stops, so does the log", "stream", cfg.Name, "hint", "set log.replicas to 3")
		}
	}
}

// passing reports whether a cluster that is coming up gives this error.
func passing(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeNoPeers, codeNotAvailable, codeNotLeader, codeInsufficientResources, jetstream.JSErrCodeStreamNotFound, jetstream.JSErrCodeStreamNameInUse:
			return true
		}
		return false
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionReconnecting)
}

// streamFailed is the error of a stream that cannot be created, read or changed.
func streamFailed(err error, replicas int, message string) error {
	const op = "open log"
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeReplicasNotSupported:
			return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "replicas", Message: fmt.Sprintf("%d replicas need a cluster, and the log server is alone", replicas), Hint: "set log.replicas to 1, or log.url to a cluster of at least three servers", Err: err}
		case codeNoPeers:
			if strings.Contains(api.Description, "storage") {
				return &twin.Error{Code: twin.CodeUnavailable, Op: op, Field: "maxBytes", Message: "the log's servers have no room for its streams: " + api.Description, Hint: "raise max_file_store of the NATS servers, or lower log.maxBytes", Err: err}
			}
			return &twin.Error{Code: twin.CodeUnavailable, Op: op, Field: "replicas", Message: fmt.Sprintf("the cluster has too few servers for %d replicas: %s", replicas, api.Description), Hint: "start the servers that are missing, or lower log.replicas; it can be raised later", Err: err}
		}
	}
	return unavailable(op, message, err)
}

// leaderHas asks the leader of OBS, and no other replica, for a record.
func (s *session) leaderHas(ctx context.Context, seq uint64) (bool, error) {
	if s.srv != nil {
		return false, nil // the only one has been read already
	}
	ctx, cancel := context.WithTimeout(ctx, s.l.o.AckTimeout)
	defer cancel()
	obs, _, _, _ := s.l.o.names()
	msg, err := s.read.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+obs, fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err != nil {
		return false, unavailable(opTail, "the log server does not answer", err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return false, unavailable(opTail, "the log server's answer cannot be read", err)
	}
	switch {
	case answer.Error == nil:
		return true, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return false, nil
	}
	return false, unavailable(opTail, "the log server does not say whether it has a record", answer.Error)
}
