// Package ws carries the hub's streams over WebSocket, as PROTOCOL.md says.
//
// A Server is safe for concurrent use. Every connection has a reader goroutine,
// and all share a few that write; they end with the connections, and Shutdown of
// the Hub closes all connections and waits for them. Whatever a client sends, it
// harms no other client: its messages are bounded in size, rate and time, its
// queue in bytes and messages, its snapshots in rows.
//
// The package speaks RFC 6455 and RFC 7692 itself, on the server's side only:
// it refuses what a lenient reader lets pass, it sends one prepared frame to
// thousands of sockets, and a connection that waits costs it one small stack.
package ws

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"cityhub/streams"
	"cityhub/twin"
)

// Options of a Server. Hub, Auth and Problem are needed.
type Options struct {
	Hub  *streams.Hub
	Auth streams.Authenticator
	// Problem writes an error as the response to a request that does not become
	// a WebSocket.
	Problem func(w http.ResponseWriter, r *http.Request, err error)

	Name    string          // of the server in the welcome, e.g. cityhub/0.1.0
	Origins streams.Origins // whose pages may connect, besides the hub's own

	ReadLimit         int           // bytes of one message from a client; zero means 256 KiB
	MessageTimeout    time.Duration // from a message's first byte to its last; zero means 30 s
	MessagesPerSecond int           // from one client; more are read later; zero means 50
	WriteTimeout      time.Duration // for one batch of messages to be taken; zero means 10 s
	CloseGrace        time.Duration // for the client to answer a close; zero means 1 s
	SendBuffer        int           // bytes the kernel may hold for one client; zero means 256 KiB

	OpensPerSecond int // connections begun by one caller, with a reserve of ten seconds; zero means 200
	// Identity is whose a connection is, for the limits of one caller: e.g. the name
	// of a token. nil, or empty: the address counts, see streams.AddressOf; a hub
	// behind a proxy gives the address that the proxy names.
	Identity func(*http.Request) string

	Clock  func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means none
}

// Server is the handler of /stream.
type Server struct {
	o        Options
	meter    streams.Meter
	writers  *writers
	arrivals *streams.Arrivals
}

// New makes a Server.
func New(o Options) (*Server, error) {
	switch {
	case o.Hub == nil || o.Auth == nil || o.Problem == nil:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new stream server", Field: "Hub, Auth, Problem", Message: "are needed"}
	case o.ReadLimit < 0 || o.MessagesPerSecond < 0 || o.WriteTimeout < 0 || o.CloseGrace < 0 || o.SendBuffer < 0 || o.MessageTimeout < 0 || o.OpensPerSecond < 0:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new stream server", Message: "a limit is negative", Hint: "zero means the default"}
	}
	if err := o.Origins.Validate(); err != nil {
		return nil, err
	}
	if o.ReadLimit == 0 {
		o.ReadLimit = 256 << 10
	}
	if o.MessageTimeout == 0 {
		o.MessageTimeout = 30 * time.Second
	}
	if o.MessagesPerSecond == 0 {
		o.MessagesPerSecond = 50
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.CloseGrace == 0 {
		o.CloseGrace = time.Second
	}
	if o.SendBuffer == 0 {
		o.SendBuffer = 256 << 10
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o, meter: o.Hub.Meter("ws"), writers: newWriters(), arrivals: streams.NewArrivals(o.OpensPerSecond, o.Clock)}, nil
}

// ServeHTTP turns the request into a stream connection. It returns when the
// connection is established; the connection lives on without it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.serve(w, r); err != nil {
		s.o.Problem(w, r, err)
	}
}

// serve gives the error that answers a request which was not taken over.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.o.Origins.Check(r); err != nil {
		return err
	}
	a, err := agree(r)
	if err != nil {
		// RFC 6455 §4.4: what version the server speaks.
		w.Header().Set("Sec-WebSocket-Version", "13")
		return err
	}
	caller := streams.Caller(r, s.o.Identity)
	if err := s.arrivals.Came(caller); err != nil {
		return err
	}
	// What the middleware found out about the caller outlives the request.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	ss := newSession(s, ctx, cancel)
	fail := func(err error) error {
		cancel()
		if ss.client != nil {
			ss.client.Detach()
		}
		return err
	}
	_, role, err := s.o.Auth.View(ctx, "")
	if err != nil {
		return fail(err)
	}
	ss.client, err = s.o.Hub.Connect(streams.ClientOptions{
		View:     ss.viewOf(""),
		Identity: caller,
		Hello:    func(pos twin.Position) []byte { return s.encodeWelcome(pos.Epoch, role) },
		OnClose:  ss.closed,
		OnQueued: ss.wake,
	})
	if err != nil {
		return fail(err)
	}
	conn, hijacked, err := upgrade(w, a, s.o.WriteTimeout)
	if err != nil {
		if err = fail(err); !hijacked {
			return err
		}
		s.o.Logger.Debug("no stream opened", slog.String("remote", r.RemoteAddr), slog.Any("error", err))
		return nil
	}
	if b, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(s.o.SendBuffer) // a hint to the kernel
	}
	ss.start(conn, a)
	return nil
}
