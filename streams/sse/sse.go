// Package sse carries the hub's streams as server-sent events at
// /stream/events: the same hub, filters, messages and limits as the WebSocket,
// for clients that only listen. ../ws/PROTOCOL.md describes both.
//
// A Handler is safe for concurrent use and starts no goroutine of its own.
package sse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"cityhub/streams"
	"cityhub/twin"
)

// Options of a Handler. Hub, Auth and Problem are needed.
type Options struct {
	Hub  *streams.Hub
	Auth streams.Authenticator
	// Problem writes an error as the response to a request that is refused.
	Problem func(w http.ResponseWriter, r *http.Request, err error)

	Origins streams.Origins // whose pages may read, besides the hub's own
	// Identity is whose a stream is, for the limits of one caller: e.g. the name of
	// a token. nil, or empty: the address counts, see streams.AddressOf.
	Identity       func(*http.Request) string
	OpensPerSecond int // streams begun by one caller, with a reserve of ten seconds; zero means 200

	Retry        time.Duration // what a browser waits before it comes back; zero means 3 s
	WriteTimeout time.Duration // for one batch of events to be taken; zero means 10 s
	Logger       *slog.Logger  // nil means none
}

// Handler is the handler of /stream/events.
type Handler struct {
	o        Options
	meter    streams.Meter
	arrivals *streams.Arrivals
}

// New makes a Handler.
func New(o Options) (*Handler, error) {
	switch {
	case o.Hub == nil || o.Auth == nil || o.Problem == nil:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new event handler", Field: "Hub, Auth, Problem", Message: "are needed"}
	case o.Retry < 0 || o.WriteTimeout < 0 || o.OpensPerSecond < 0:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new event handler", Field: "Retry, WriteTimeout, OpensPerSecond", Message: "a limit is negative", Hint: "zero means the default"}
	}
	if err := o.Origins.Validate(); err != nil {
		return nil, err
	}
	if o.Retry == 0 {
		o.Retry = 3 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{o: o, meter: o.Hub.Meter("sse"), arrivals: streams.NewArrivals(o.OpensPerSecond, nil)}, nil
}

const batchBytes = 64 << 10

// ServeHTTP streams events until the client leaves or the hub ends it. With a
// Last-Event-ID it goes on after that position or, where the log does not reach
// back to it, begins with a snapshot.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	cross, err := h.o.Origins.Check(r)
	if err != nil {
		h.o.Problem(w, r, err)
		return
	}
	sub, err := ParseSubscription(r.URL.Query())
	if err != nil {
		h.o.Problem(w, r, err)
		return
	}
	if after, err := twin.ParsePosition(r.Header.Get("Last-Event-ID")); err == nil && !after.IsZero() {
		sub.After = &after
	}
	caller := streams.Caller(r, h.o.Identity)
	if err := h.arrivals.Came(caller); err != nil {
		h.o.Problem(w, r, err)
		return
	}
	ctx := r.Context()
	view := func(context.Context) (streams.View, error) {
		v, _, err := h.o.Auth.View(ctx, "")
		return v, err
	}
	if _, err := view(ctx); err != nil {
		h.o.Problem(w, r, err)
		return
	}
	rc := http.NewResponseController(w)
	client, err := h.o.Hub.Connect(streams.ClientOptions{
		View:     view,
		Identity: caller,
		OnClose: func(e *streams.CloseError) {
			// A write that waits for a client which takes nothing ends soon.
			if e.Code != streams.CloseNormal {
				_ = rc.SetWriteDeadline(time.Now().Add(time.Second))
			}
		},
	})
	if err != nil {
		h.o.Problem(w, r, err)
		return
	}
	defer client.Detach()
	if err := client.Subscribe(ctx, sub); err != nil {
		h.o.Problem(w, r, renamed(err))
		return
	}
	stop := context.AfterFunc(ctx, func() { client.Close(streams.CloseNormal, "left") })
	defer stop()

	hd := w.Header()
	hd.Set("Content-Type", "text/event-stream")
	hd.Set("Cache-Control", "no-store")
	hd.Set("X-Accel-Buffering", "no") // a proxy must not hold events back
	hd.Add("Vary", "Origin")
	if cross != "" {
		hd.Set("Access-Control-Allow-Origin", cross)
		hd.Set("Access-Control-Allow-Credentials", "true")
	}
	hd.Set("Connection", "close") // the stream is the connection's last response
	w.WriteHeader(http.StatusOK)
	buf := fmt.Appendf(nil, "retry: %d\n\n", h.o.Retry.Milliseconds())
	var frames []*streams.Frame
	for {
		_ = rc.SetWriteDeadline(time.Now().Add(h.o.WriteTimeout))
		if err := client.Closed(); err != nil {
			h.ended(r, err)
			return
		}
		if _, err = w.Write(buf); err == nil {
			err = rc.Flush()
		}
		_ = rc.SetWriteDeadline(time.Time{}) // over HTTP/2 it would end the waiting stream
		if err != nil {
			h.o.Logger.Debug("event stream broken", slog.String("remote", r.RemoteAddr), slog.Any("error", err))
			return
		}
		h.meter.Sent(len(frames), len(buf))
		clear(frames)
		if frames, err = client.Next(frames[:0], batchBytes); err != nil {
			h.ended(r, err)
			return
		}
		if cap(buf) > 2*batchBytes {
			buf = nil
		}
		buf = buf[:0]
		for _, f := range frames {
			buf = appendEvent(buf, f)
		}
	}
}

func (h *Handler) ended(r *http.Request, err error) {
	var e *streams.CloseError
	if errors.As(err, &e) && e.Code != streams.CloseNormal {
		h.o.Logger.Debug("event stream closed", slog.String("remote", r.RemoteAddr), slog.Int("code", int(e.Code)), slog.String("reason", e.Reason))
	}
}

// appendEvent appends a frame as an event. Only one that completes a position
// has an id: the parts of a snapshot before its last complete none, and an event
// beside the readings says nothing of them.
func appendEvent(dst []byte, f *streams.Frame) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, f.Kind.String()...)
	if f.Kind != streams.FrameEvent && f.Position != (twin.Position{}) {
		dst = append(dst, "\nid: "...)
		dst = append(dst, f.Position.String()...)
	}
	dst = append(dst, "\ndata: "...)
	dst = append(dst, f.JSON...) // one line
	return append(dst, '\n', '\n')
}
