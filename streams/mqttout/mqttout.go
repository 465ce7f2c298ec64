// Package mqttout tells MQTT subscribers of new Observations and of changed
// Datastreams, as OGC SensorThings API 1.1 Part 1 (18-088), clause 14 "MQTT
// Extension", describes. An MQTT endpoint, such as ingest/mqttd, carries the
// messages; this package follows the log.
//
// Topics, with an optional ?$select=a,b:
//
//	v1.1/Observations                   every new Observation
//	v1.1/Datastreams(12)/Observations   those of a Datastream
//	v1.1/Datastreams(12)                the Datastream, when its description changes
//
// Guarantees: a subscriber gets what is appended to the log after its Subscribe
// has returned, and perhaps a little from just before, in the order of the log, as the JSON of the service at
// /sta/v1.1, and only what its View sees at that moment (上海市数据条例 第三十九条;
// R28, R29). Datastreams that do not exist, or are not seen, are subscribed to
// and silent: the answer tells nothing of them. Nothing is kept for who is not
// connected. After a failure of the log that lets go of records, subscribers
// miss those; the log, not this package, is where to read every one.
//
// A message is encoded once for all subscribers with the same $select. While
// nobody has subscribed the log is not read. A Server is safe for concurrent
// use; Run owns its one goroutine.
package mqttout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/streams"
	"cityhub/twin"
	"cityhub/twin/block"
)

// Sink is where a subscriber's messages go. Its methods do not block.
type Sink interface {
	Deliver(topic string, payload []byte)
	Revoke(reason error)
}

// Options of a Server. Source, End, Directory and View are needed.
type Options struct {
	Source streams.Source // the log
	// End is the position of the last record of the log.
	End       func(ctx context.Context) (twin.Position, error)
	Directory streams.Directory
	// View gives what a client sees now, from memory: the terminal with that code, or with an
	// empty one the public. CodeUnauthorized or CodeForbidden once it may see
	// nothing any more: its connection ends.
	View func(ctx context.Context, terminal string) (streams.View, error)
	// Dataset is the code of a Datastream's Dataset; nil: it is left out.
	Dataset func(ctx context.Context, ds *twin.Datastream) string
	// Root is the URL of the SensorThings service in links, without a slash at
	// the end; empty: /sta/v1.1.
	Root string

	MaxSubscriptions int           // of all clients; zero means 100,000
	RecheckEvery     time.Duration // how often rights are asked for again without an Invalidate; zero means 1 s

	Logger  *slog.Logger          // nil means none
	Metrics prometheus.Registerer // nil means none
}

const groupRows = 4096 // observations taken at once

// Server follows the log for its sessions. See the package comment.
type Server struct {
	o       Options
	invalid atomic.Bool
	wake    chan struct{} // something to follow, or nothing any more; or Invalidate
	count   *prometheus.CounterVec

	mu       sync.Mutex
	from     twin.Position // where to follow the log from, when following
	follows  bool          // somebody has subscribed to Observations
	sessions map[*Session]struct{}
	byID     map[twin.DatastreamID][]*subscription
	every    []*subscription
	entities map[twin.DatastreamID][]*subscription // to the Datastreams themselves
	n        int                                   // subscriptions
	encoders map[string]*encoder
	row      []encoded // of the row at hand
}

// New makes a Server; Run has it work.
func New(o Options) (*Server, error) {
	switch {
	case o.Source == nil || o.End == nil || o.Directory == nil || o.View == nil:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new MQTT updates", Field: "Source, End, Directory, View", Message: "are needed"}
	case o.MaxSubscriptions < 0 || o.RecheckEvery < 0:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new MQTT updates", Field: "MaxSubscriptions, RecheckEvery", Message: "a negative value", Hint: "zero means the default"}
	}
	if o.MaxSubscriptions == 0 {
		o.MaxSubscriptions = 100_000
	}
	if o.RecheckEvery == 0 {
		o.RecheckEvery = time.Second
	}
	if o.Root == "" {
		o.Root = "/sta/v1.1"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, wake: make(chan struct{}, 1), sessions: map[*Session]struct{}{},
		byID: map[twin.DatastreamID][]*subscription{}, entities: map[twin.DatastreamID][]*subscription{}, encoders: map[string]*encoder{},
		count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cityhub_mqtt_updates_total", Help: "Updates handed to MQTT subscribers, by entity."}, []string{"entity"}),
	}
	if o.Metrics != nil {
		gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cityhub_mqtt_subscriptions", Help: "Subscriptions of MQTT clients."}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(s.n)
		})
		if err := errors.Join(o.Metrics.Register(gauge), o.Metrics.Register(s.count)); err != nil {
			return nil, &twin.Error{Code: twin.CodeConflict, Op: "new MQTT updates", Field: "Metrics", Message: "cannot register the metrics", Err: err}
		}
	}
	return s, nil
}

// Run follows the log for the subscribers until ctx ends, which is no error,
// or the log or the directory fails; it may then be called again and goes on
// where it was. One Run at a time.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(s.o.RecheckEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		from, follows := s.from, s.follows
		s.mu.Unlock()
		if !follows {
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
			case <-tick.C:
				s.invalid.Store(true)
			}
			if err := s.renewIfAsked(ctx); err != nil {
				return err
			}
			continue
		}
		if err := s.follow(ctx, from, tick.C); err != nil || ctx.Err() != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// follow reads the log until nobody wants it any more.
func (s *Server) follow(ctx context.Context, from twin.Position, tick <-chan time.Time) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.o.Source.Tail(ctx, from, groupRows, s.apply) }()
	idle := false
	for {
		select {
		case err := <-done:
			switch {
			case idle:
				return nil
			case twin.ErrorCode(err) != twin.CodeConflict:
				return err
			}
			s.o.Logger.Error("the log no longer holds what MQTT subscribers have not got yet", "after", s.position().String(), "error", err)
			end, err := s.o.End(ctx)
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.from = end
			s.mu.Unlock()
			return nil
		case <-s.wake:
		case <-tick:
			s.invalid.Store(true)
		}
		s.mu.Lock()
		if !s.follows && !idle {
			idle = true
			cancel()
		}
		s.mu.Unlock()
		if err := s.renewIfAsked(ctx); err != nil && !idle {
			cancel()
			<-done
			return err
		}
	}
}

func (s *Server) position() twin.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from
}

// Invalidate tells that Datastreams or rights have changed: no group of the log
// is delivered after it by what was true before. It never blocks.
func (s *Server) Invalidate() {
	s.invalid.Store(true)
	s.signal()
}

func (s *Server) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// apply delivers one group.
func (s *Server) apply(ctx context.Context, batches []*block.Batch, pos twin.Position) error {
	if err := s.renewIfAsked(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.follows {
		return nil
	}
	// What cannot be looked up fails before anything is out: the group comes again.
	for _, b := range batches {
		for _, id := range b.Datastreams {
			if len(s.every) > 0 || len(s.byID[id]) > 0 {
				if _, err := s.o.Directory.Datastream(ctx, id); err != nil && twin.ErrorCode(err) != twin.CodeNotFound {
					return err
				}
			}
		}
	}
	n := 0
	for _, b := range batches {
		for i, id := range b.Datastreams {
			subs := s.byID[id]
			if len(subs)+len(s.every) == 0 {
				continue
			}
			ds, err := s.o.Directory.Datastream(ctx, id)
			if err != nil {
				continue
			}
			s.row = s.row[:0]
			n += s.send(subs, ds, b, i) + s.send(s.every, ds, b, i)
		}
	}
	s.from = pos
	s.count.WithLabelValues("Observation").Add(float64(n))
	return nil
}

// encoded is the row at hand as one $select wants it.
type encoded struct {
	by   *encoder
	json []byte
}

func (s *Server) send(subs []*subscription, ds *twin.Datastream, b *block.Batch, i int) (n int) {
next:
	for _, sub := range subs {
		if !sub.of.view.Sees(ds) {
			continue
		}
		n++
		for _, e := range s.row {
			if e.by == sub.by {
				sub.of.sink.Deliver(sub.topic, e.json)
				continue next
			}
		}
		json := sub.by.observation(make([]byte, 0, 400), ds, b.Row(i))
		s.row = append(s.row, encoded{sub.by, json})
		sub.of.sink.Deliver(sub.topic, json)
	}
	return n
}

// renewIfAsked asks for the rights of every client again, and tells of
// Datastreams that have changed.
func (s *Server) renewIfAsked(ctx context.Context) error {
	if !s.invalid.Swap(false) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.sessions {
		v, err := s.o.View(ctx, c.terminal)
		switch twin.ErrorCode(err) {
		case twin.CodeUnauthorized, twin.CodeForbidden:
			s.drop(c)
			c.sink.Revoke(err)
			continue
		}
		if err != nil {
			s.invalid.Store(true)
			return fmt.Errorf("ask for the rights of MQTT subscribers: %w", err)
		}
		c.view = v
	}
	for id, subs := range s.entities {
		ds, err := s.o.Directory.Datastream(ctx, id)
		if twin.ErrorCode(err) == twin.CodeNotFound {
			continue
		}
		if err != nil {
			s.invalid.Store(true)
			return err
		}
		for _, sub := range subs {
			// One that comes into sight is told too: it is new to the client.
			if ds == sub.last || !sub.of.view.Sees(ds) {
				continue
			}
			sub.last = ds
			dataset := ""
			if s.o.Dataset != nil {
				dataset = s.o.Dataset(ctx, ds)
			}
			json, err := sub.by.datastream(nil, ds, dataset)
			if err != nil {
				s.o.Logger.Error("a Datastream cannot be encoded", "datastream", int64(id), "error", err)
				continue
			}
			sub.of.sink.Deliver(sub.topic, json)
			s.count.WithLabelValues("Datastream").Inc()
		}
	}
	return nil
}
