package log

import (
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
)

// Defaults and limits.
const (
	DefaultMaxBytes       = 10 << 30 // of Options.MaxBytes, bytes
	DefaultMinFree        = 256 << 20
	DefaultMaxRecordBytes = 960 << 10
	DefaultAckTimeout     = 5 * time.Second

	embeddedMaxPayload = 8 << 20
	maxFailedGroups    = 4096
	// Of the duplicate window of the streams. It covers messages that are still
	// on their way when Append gave up; what is older is found by reading. An
	// embedded server reads a whole window when it starts and has nothing on its
	// way, so that it gets a short one.
	embeddedWindow = 20 * time.Second
	externalWindow = 2 * time.Minute
)

// Options of a Log. The zero value of a field means what its comment says.
type Options struct {
	// Dir is where the embedded server keeps its files. It is created when
	// missing, and locked against a second process. Needed unless URL is set.
	Dir string

	// URL is an external NATS server, or several with commas between:
	// nats://host:4222, tls://host:4222 with TLS. Empty: the embedded server.
	URL string
	// Credentials is a NATS credentials file for URL; empty: none.
	Credentials string
	// RootCAs is a PEM file of the authorities to trust for URL besides the
	// system's; empty: the system's alone.
	RootCAs string
	// Replicas of the streams on an external cluster, 1 to 5; 3 is what a cluster
	// of three servers is for. Zero: new streams get one, existing streams stay as
	// they are. Needs URL when it is over 1.
	Replicas int

	// Prefix of stream and subject names, letters, digits, - and _; empty: the
	// streams OBS and REJECT with subjects hub.…. With prefix p they are p-OBS
	// and p-REJECT with subjects p.…, so that several hubs share one server.
	Prefix string

	// MaxAge is how long a record is kept, unless MaxBytes removes it earlier.
	// Zero: no limit of age.
	MaxAge time.Duration
	// MaxBytes bounds the stream of observations: over it the oldest records go.
	// Zero: DefaultMaxBytes (10 GiB). Negative: no bound.
	MaxBytes int64
	// MaxRejectBytes is the same for the stream of rejects. Zero: a tenth of
	// MaxBytes, at least 64 MiB.
	MaxRejectBytes int64

	// MinFree is the free space of the disk under Dir, in bytes, below which
	// Append refuses, before anything breaks. Zero: 256 MiB. Negative: no guard.
	// It does not apply to an external server.
	MinFree int64

	// MaxRecordBytes bounds one record; larger batches are split. It must fit
	// the server's max_payload, 1 MiB unless configured otherwise. Zero: 960 KiB.
	MaxRecordBytes int
	// AckTimeout is how long the server may take to confirm a record before
	// Append gives up; zero: 5 s.
	AckTimeout time.Duration
	// CheckInterval is how often the log looks at its disk and, while it fails,
	// whether the cause is gone; zero: 1 s.
	CheckInterval time.Duration

	Clock   func() time.Time      // nil: time.Now
	Logger  *slog.Logger          // nil: discards
	Metrics prometheus.Registerer // nil: none

	window time.Duration // duplicate window; tests shorten it
}

// complete checks o and fills in the defaults.
func (o *Options) complete() error {
	invalid := func(field, message, hint string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "open log", Field: field, Message: message, Hint: hint}
	}
	switch {
	case o.URL == "" && o.Dir == "":
		return invalid("dir", "neither a directory nor a server is given", "set the data directory, or log.url to a NATS server")
	case o.Replicas < 0 || o.Replicas > 5:
		return invalid("replicas", "must be between 1 and 5", "set log.replicas to 3 on a cluster of three servers")
	case o.Replicas > 1 && o.URL == "":
		return invalid("replicas", "the embedded log server is alone and keeps one replica", "set log.url to a cluster, or log.replicas to 1")
	case strings.ContainsFunc(o.Prefix, func(r rune) bool { return !nameRune(r) }):
		return invalid("prefix", "may hold letters, digits, - and _ only", "")
	case o.MaxAge < 0:
		return invalid("maxAge", "must not be negative", "0 keeps records until maxBytes")
	case o.MaxAge > 0 && o.MaxAge < time.Second:
		return invalid("maxAge", "must be at least one second", "")
	case o.MaxRecordBytes != 0 && (o.MaxRecordBytes < 80<<10 || o.MaxRecordBytes > embeddedMaxPayload-4096):
		return invalid("maxRecordBytes", "must be between 80 KiB and 8 MiB less 4 KiB", "one text result may be 64 KiB")
	case o.AckTimeout < 0 || o.CheckInterval < 0:
		return invalid("ackTimeout", "must not be negative", "")
	}
	for _, s := range strings.Split(o.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(s)); err != nil || o.URL != "" && u.Host == "" {
			return invalid("url", "not a NATS address", "write log.url as nats://host:4222 or tls://host:4222; the servers of a cluster with commas between")
		}
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxBytes < 0 {
		o.MaxBytes = -1
	}
	if o.MaxRejectBytes == 0 {
		o.MaxRejectBytes = max(o.MaxBytes/10, 64<<20)
	}
	if o.MaxRejectBytes < 0 {
		o.MaxRejectBytes = -1
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = DefaultMaxRecordBytes
	}
	if o.AckTimeout == 0 {
		o.AckTimeout = DefaultAckTimeout
	}
	if o.CheckInterval == 0 {
		o.CheckInterval = time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.window == 0 {
		o.window = embeddedWindow
		if o.URL != "" {
			o.window = externalWindow
		}
	}
	if o.MaxAge > 0 {
		o.window = min(o.window, o.MaxAge) // the server refuses a longer one
	}
	return nil
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// names of the streams and the roots of their subjects.
func (o *Options) names() (obsStream, rejStream, obsSubject, rejSubject string) {
	if o.Prefix == "" {
		return "OBS", "REJECT", "hub.obs", "hub.reject"
	}
	return o.Prefix + "-OBS", o.Prefix + "-REJECT", o.Prefix + ".obs", o.Prefix + ".reject"
}
