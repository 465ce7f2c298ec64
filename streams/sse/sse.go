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
	"net/url"
	"strconv"
	"strings"
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

	Origins      streams.Origins // whose pages may read, besides the hub's own
	Retry        time.Duration   // what a browser waits before it comes back; zero means 3 s
	WriteTimeout time.Duration   // for one batch of events to be taken; zero means 10 s
	Logger       *slog.Logger    // nil means none
}

// Handler is the handler of /stream/events.
type Handler struct {
	o     Options
	meter streams.Meter
}

// New makes a Handler.
func New(o Options) (*Handler, error) {
	switch {
	case o.Hub == nil || o.Auth == nil || o.Problem == nil:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new event handler", Field: "Hub, Auth, Problem", Message: "are needed"}
	case o.Retry < 0 || o.WriteTimeout < 0:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new event handler", Field: "Retry, WriteTimeout", Message: "a negative duration", Hint: "zero means the default"}
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
	return &Handler{o: o, meter: o.Hub.Meter("sse")}, nil
}

const batchBytes = 64 << 10

// ServeHTTP streams events until the client leaves or the hub ends it. A
// Last-Event-ID needs no more than what every client gets: a new snapshot.
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
	f, err := ParseFilter(r.URL.Query())
	if err != nil {
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
		View: view,
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
	if err := client.Subscribe(ctx, streams.Subscription{ID: "events", Filter: f}); err != nil {
		h.o.Problem(w, r, err)
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
// has an id: the parts of a snapshot before its last complete none.
func appendEvent(dst []byte, f *streams.Frame) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, f.Kind.String()...)
	if f.Kind != streams.FrameSnapshot || f.Position != (twin.Position{}) {
		dst = append(dst, "\nid: "...)
		dst = append(dst, f.Position.String()...)
	}
	dst = append(dst, "\ndata: "...)
	dst = append(dst, f.JSON...) // one line
	return append(dst, '\n', '\n')
}

// ParseFilter reads property, datastream and bbox; the first two may come more
// than once and hold lists separated by commas. An error names the parameter.
func ParseFilter(q url.Values) (streams.Filter, error) {
	var f streams.Filter
	for name, values := range q {
		for _, value := range values {
			switch name {
			case "property":
				f.ObservedProperties = append(f.ObservedProperties, strings.Split(value, ",")...)
			case "datastream":
				for _, s := range strings.Split(value, ",") {
					id, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
					if err != nil {
						return f, badParameter(name, fmt.Sprintf("%q is no Datastream id", s), "ids are whole numbers from 1")
					}
					f.Datastreams = append(f.Datastreams, twin.DatastreamID(id))
				}
			case "bbox":
				if f.BBox != nil {
					return f, badParameter(name, "given more than once", "")
				}
				var nums []float64
				for _, s := range strings.Split(value, ",") {
					v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
					if err != nil {
						return f, badParameter(name, fmt.Sprintf("%q is no number", s), "a bbox is west,south,east,north in degrees")
					}
					nums = append(nums, v)
				}
				b, err := streams.ParseBBox(nums)
				if err != nil {
					return f, renamed(err)
				}
				f.BBox = b
			default:
				return f, badParameter(name, "unknown parameter", "the parameters are property, datastream and bbox")
			}
		}
	}
	return f, renamed(f.Validate())
}

// renamed names the query parameter instead of the message's member.
func renamed(err error) error {
	var e *twin.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	switch c.Field {
	case "filter.bbox":
		c.Field = "bbox"
	case "filter.datastreams":
		c.Field = "datastream"
	case "filter.observedProperties":
		c.Field = "property"
	}
	return &c
}

func badParameter(name, msg, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "open event stream", Field: name, Message: msg, Hint: hint}
}
