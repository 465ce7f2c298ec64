// Package ws carries the hub's streams over WebSocket, as PROTOCOL.md says.
//
// A Server is safe for concurrent use. Every connection has a reader and a
// writer goroutine; they end with the connection, and Shutdown of the Hub
// closes all connections and waits for them. Whatever a client sends, it
// harms no other client: its messages are bounded in size and rate, its queue
// in bytes and messages, its snapshots in rows.
package ws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

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

	ReadLimit         int           // bytes of one message from a client; zero means 64 KiB
	MessagesPerSecond int           // from one client; more are read later; zero means 50
	WriteTimeout      time.Duration // for one batch of messages to be taken; zero means 10 s
	CloseGrace        time.Duration // for the client to answer a close; zero means 1 s
	SendBuffer        int           // bytes the kernel may hold for one client; zero means 256 KiB

	Clock  func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means none
}

// Server is the handler of /stream.
type Server struct {
	o     Options
	up    websocket.Upgrader
	meter streams.Meter
}

// New makes a Server.
func New(o Options) (*Server, error) {
	switch {
	case o.Hub == nil || o.Auth == nil || o.Problem == nil:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new stream server", Field: "Hub, Auth, Problem", Message: "are needed"}
	case o.ReadLimit < 0 || o.MessagesPerSecond < 0 || o.WriteTimeout < 0 || o.CloseGrace < 0 || o.SendBuffer < 0:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new stream server", Message: "a limit is negative", Hint: "zero means the default"}
	}
	if err := o.Origins.Validate(); err != nil {
		return nil, err
	}
	if o.ReadLimit == 0 {
		o.ReadLimit = 64 << 10
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
	s := &Server{o: o, meter: o.Hub.Meter("ws")}
	s.up = websocket.Upgrader{
		HandshakeTimeout: o.WriteTimeout,
		// Clients send little: what a message needs beyond is borrowed.
		ReadBufferSize:  512,
		WriteBufferSize: 1024,
		WriteBufferPool: &sync.Pool{},
		Subprotocols:    []string{Subprotocol},
		CheckOrigin:     func(*http.Request) bool { return true }, // checked before
		Error: func(w http.ResponseWriter, r *http.Request, status int, cause error) {
			code := twin.CodeInvalid
			if status >= 500 {
				code = twin.CodeInternal
			}
			o.Problem(w, r, &twin.Error{Code: code, Op: "open stream", Message: "this is not a WebSocket handshake", Hint: "connect with a WebSocket client, version 13, or read /stream/events", Err: cause})
		},
	}
	return s, nil
}

// ServeHTTP turns the request into a stream connection. It returns when the
// connection is established; the connection lives on without it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := s.o.Origins.Check(r); err != nil {
		s.o.Problem(w, r, err)
		return
	}
	if offered := websocket.Subprotocols(r); len(offered) > 0 && !slices.Contains(offered, Subprotocol) {
		s.o.Problem(w, r, &twin.Error{Code: twin.CodeInvalid, Op: "open stream", Field: "Sec-WebSocket-Protocol", Message: fmt.Sprintf("expected %s", Subprotocol), Hint: "offer this subprotocol, or none"})
		return
	}
	// What the middleware found out about the caller outlives the request.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	_, role, err := s.o.Auth.View(ctx, "")
	if err != nil {
		cancel()
		s.o.Problem(w, r, err)
		return
	}
	ss := &session{server: s, ctx: ctx, cancel: cancel, written: make(chan struct{})}
	client, err := s.o.Hub.Connect(streams.ClientOptions{
		View:    ss.viewOf(""),
		Hello:   func(pos twin.Position) []byte { return s.encodeWelcome(pos.Epoch, role) },
		OnClose: ss.closed,
	})
	if err != nil {
		cancel()
		s.o.Problem(w, r, err)
		return
	}
	ss.client = client
	h := &hijacker{ResponseWriter: w}
	conn, err := s.up.Upgrade(h, r, nil)
	if err != nil {
		cancel()
		client.Detach()
		if h.conn != nil {
			_ = h.conn.Close()
		}
		s.o.Logger.Debug("no stream opened", slog.String("remote", r.RemoteAddr), slog.Any("error", err))
		return
	}
	if b, ok := h.conn.Conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(s.o.SendBuffer) // a hint to the kernel
	}
	ss.start(conn, h.conn)
}
