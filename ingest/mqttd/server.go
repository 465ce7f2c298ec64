// Package mqttd is the hub's MQTT endpoint, for MQTT 3.1.1 and 5: terminals
// publish to it at QoS 0 or 1, and clients subscribe to updates of the hub. It
// is an endpoint, not a broker: what one client publishes goes to no other.
//
// A PUBACK says that the message is durable: as readings, or as a recorded
// rejection. The PUBACKs of a connection go out in the order of its messages
// (4.6) and together for all that became durable at once.
//
// Each connection has one goroutine that reads whatever the kernel has, parses
// every packet in it without allocating and hands the lot to the ingest
// pipeline. When the pipeline is full that goroutine waits and the kernel's
// buffers push back on the client. A connection that breaks the protocol is
// closed with a log line; the others do not notice.
//
// DESIGN.md tells the guarantees and limits.
package mqttd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/ingest"
)

// Options of a Server.
type Options struct {
	Pipeline *ingest.Pipeline
	// Authenticate checks a user name and password and gives the code of the
	// terminal they belong to. Its error refuses the connection.
	Authenticate func(ctx context.Context, username, password string) (terminal string, err error)

	// Updates opens what a client may subscribe to, at its first SUBSCRIBE.
	// terminal is the one that its credentials proved; empty: it gave none. nil:
	// subscriptions are refused.
	Updates func(terminal string, sink Sink) UpdateSession

	// MaxPacketBytes bounds one packet. Zero means 1 MiB.
	MaxPacketBytes int
	// MaxConnections bounds the connections; one more is closed at once. Zero
	// means 100,000.
	MaxConnections int
	// ConnectTimeout is the time a client has for its CONNECT. Zero means 10 s.
	ConnectTimeout time.Duration
	// PacketTimeout is the time a packet may take to arrive once its first
	// byte is here. Zero means 30 s.
	PacketTimeout time.Duration
	// IdleTimeout ends the connection of a client that asks for no keep-alive
	// and says nothing. Zero means 30 minutes.
	IdleTimeout time.Duration
	// WriteTimeout is the time a client may take to accept what is written to
	// it. Zero means 10 s.
	WriteTimeout time.Duration

	Clock   func() time.Time // nil means time.Now
	Logger  *slog.Logger     // nil means discard
	Metrics prometheus.Registerer
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.ConnectTimeout, 10*time.Second)
	set(&o.PacketTimeout, 30*time.Second)
	set(&o.IdleTimeout, 30*time.Minute)
	set(&o.WriteTimeout, 10*time.Second)
	if o.MaxPacketBytes == 0 {
		o.MaxPacketBytes = 1 << 20
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 100_000
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Server accepts connections of terminals.
type Server struct {
	o     Options
	m     metrics
	lines lines // about clients

	mu      sync.Mutex
	conns   map[*conn]struct{}
	clients map[string]*conn // by client identifier; the last to connect holds it
	wg      sync.WaitGroup
	nextID  atomic.Uint64
}

// New returns a server; Serve makes it work.
func New(o Options) *Server {
	o.defaults()
	s := &Server{o: o, conns: map[*conn]struct{}{}, clients: map[string]*conn{}}
	s.lines.log, s.lines.clock = o.Logger, o.Clock
	s.m.register(o.Metrics, s)
	return s
}

// Serve accepts connections on ln until ctx ends, then closes ln and every
// connection and waits for them. It returns nil when ctx ended.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.wg.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.end(errShutdown)
		}
	})
	defer stop()
	var wait time.Duration
	for {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors or the like: it passes.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.o.Logger.Error("cannot accept a connection", "error", err, "retry", wait)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			continue
		}
		wait = 0
		s.accept(ctx, nc)
	}
}

// sendBuffer is what the kernel may hold for a client that does not read, in
// bytes: 16,384 PUBACKs. Left to itself it takes megabytes before it tells.
const sendBuffer = 64 << 10

// accept starts the goroutine of a connection.
func (s *Server) accept(ctx context.Context, nc net.Conn) {
	if b, ok := nc.(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(sendBuffer) // a hint to the kernel
	}
	c := &conn{s: s, nc: nc, number: s.nextID.Add(1)}
	s.mu.Lock()
	full := len(s.conns) >= s.o.MaxConnections
	if !full && ctx.Err() == nil {
		s.conns[c] = struct{}{}
		s.wg.Add(1)
		s.mu.Unlock()
		s.m.accepted.Add(1)
		go func() {
			defer s.wg.Done()
			c.run(ctx)
		}()
		return
	}
	s.mu.Unlock()
	_ = nc.Close()
	if full {
		s.m.refused.Add(1)
		s.lines.write(slog.LevelWarn, "connection refused: as many as allowed are open", "remote", nc.RemoteAddr().String(), "limit", s.o.MaxConnections)
	}
}

// claim gives the client identifier to c and ends the connection that had it:
// 3.1.4, a client that connects again takes over.
func (s *Server) claim(c *conn) {
	s.mu.Lock()
	old := s.clients[c.clientID]
	s.clients[c.clientID] = c
	s.mu.Unlock()
	if old != nil {
		old.end(errTakenOver)
	}
}

// forget removes c after its end.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.clientID != "" && s.clients[c.clientID] == c {
		delete(s.clients, c.clientID)
	}
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
