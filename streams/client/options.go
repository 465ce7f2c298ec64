package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"cityhub/twin"
)

// Encoding is how messages travel.
type Encoding int

// The encodings: both carry the same messages.
const (
	JSON Encoding = iota // text, subprotocol cityhub.v1.json
	CBOR                 // RFC 8949, subprotocol cityhub.v1.cbor: smaller; a time finer than 1 ms is right to 0.25 µs
)

func (e Encoding) subprotocol() string {
	if e == CBOR {
		return "cityhub.v1.cbor"
	}
	return "cityhub.v1.json"
}

// Options of Dial. URL is needed.
type Options struct {
	// URL of the hub, http:// or https:// (or ws:, wss:). Without a path it gets
	// /stream.
	URL string
	// Token of the caller; empty: anonymous, who sees what is open to the public.
	Token string
	// Subscribe are the first subscriptions; others may follow.
	Subscribe []Request

	Encoding      Encoding
	NoCompression bool // do not offer permessage-deflate; the hub uses it where it pays

	QueueEvents int // events that may wait for Next; zero means 256
	QueueBytes  int // of messages that may wait for Next; zero means 4 MiB. A single larger message is taken by an empty queue
	MaxMessage  int // bytes of one message of the hub, after decompression; zero means 32 MiB

	// RetryDial has Dial return at once and the first connection tried as long as
	// all others; a hub that is there and refuses ends the client even so.
	RetryDial    bool
	BackoffFirst time.Duration // longest wait before the first reconnect, doubled with each; zero means 0.5 s
	BackoffMax   time.Duration // longest wait of all; zero means 30 s
	DialTimeout  time.Duration // until the welcome; zero means 10 s
	WriteTimeout time.Duration // for a message to be taken; zero means 10 s

	Header http.Header // further members of the request, e.g. for a proxy
	TLS    *tls.Config // nil: the system's certificates
	// Proxy as in http.Transport; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial makes the TCP connection; nil means net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Random func() float64 // in [0, 1), for the jitter; nil means math/rand/v2
	Logger *slog.Logger   // of what the events do not say; nil means none
}

func (o *Options) fill() error {
	if o.QueueEvents < 0 || o.QueueBytes < 0 || o.MaxMessage < 0 || o.BackoffFirst < 0 || o.BackoffMax < 0 || o.DialTimeout < 0 || o.WriteTimeout < 0 {
		return bad("Options", "a limit is negative", "zero means the default")
	}
	if o.Encoding != JSON && o.Encoding != CBOR {
		return bad("Encoding", "is neither JSON nor CBOR", "")
	}
	set(&o.QueueEvents, 256)
	set(&o.QueueBytes, 4<<20)
	set(&o.MaxMessage, 32<<20)
	set(&o.BackoffFirst, 500*time.Millisecond)
	set(&o.BackoffMax, 30*time.Second)
	set(&o.DialTimeout, 10*time.Second)
	set(&o.WriteTimeout, 10*time.Second)
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func set[T int | time.Duration](p *T, value T) {
	if *p == 0 {
		*p = value
	}
}

// address is the URL of the stream.
func (o *Options) address() (string, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		return "", bad("URL", "is no URL of a hub", "e.g. http://127.0.0.1:8080")
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "ws"
	case "https", "wss":
		u.Scheme = "wss"
	default:
		return "", bad("URL", "expected http or https, ws or wss", "e.g. http://127.0.0.1:8080")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/stream"
	}
	u.User, u.Fragment = nil, ""
	return u.String(), nil
}

// backoff is the wait before reconnect number attempt, from 1. All of it is
// random ("full jitter"), so that ten thousand clients do not come back in the
// same instant after a restart of the hub.
func (o *Options) backoff(attempt int) time.Duration {
	full := min(o.BackoffFirst, o.BackoffMax)
	for ; attempt > 1 && full < o.BackoffMax; attempt-- {
		full = min(2*full, o.BackoffMax)
	}
	return time.Duration(o.Random() * float64(full))
}

func bad(field, message, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "dial stream", Field: field, Message: message, Hint: hint}
}
