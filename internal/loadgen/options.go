// Package loadgen is the engine of `cityhub load`: it publishes made-up
// readings to an MQTT broker over many connections, as fast as they are
// acknowledged or at a given rate, and measures throughput and the latency of
// the acknowledgements.
//
// Guarantees: no two readings of a run have the same terminal, property and
// time of observation, and no time of observation lies in the future. Nothing
// is sent twice: a lost connection is made again and goes on with the next
// reading, so that a Ledger knows exactly which readings were acknowledged and
// which were published without an answer. Memory does not grow with the
// number of messages, except by one bit each in a Ledger.
//
// Run may be called concurrently with different Options. Each connection is
// driven by one goroutine that writes what its window allows, waits for
// PUBACKs, and writes again: the generator shares the cores with what it
// measures and must stay cheap.
package loadgen

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"time"

	"cityhub/twin"
)

// Limits of a run.
const (
	MaxConnections = 20_000
	MaxTerminals   = 1_000_000
	MaxReadings    = 100 // of one message
	maxSeq         = 1 << 40
)

// Options of Run. Broker and one of Duration and Messages are required.
type Options struct {
	Broker   string // address as mqttclient.Options has it
	ClientID string // prefix of the client identifiers; empty means "cityhub-load"
	Username string
	Password string

	QoS         byte          // 0 or 1
	Connections int           // zero means 100
	Window      int           // messages in flight on a connection; zero means 20
	Rate        float64       // messages per second over all connections; zero means as fast as possible
	Duration    time.Duration // zero means until Messages are sent
	Messages    int64         // over all connections; zero means until Duration has passed
	Readings    int           // properties v1 … of a message; zero means 1
	Terminals   int           // zero means as many as Connections; not fewer
	Prefix      string        // of terminal codes; empty means "load-"
	// PayloadBytes pads a payload with blanks up to this size; zero means no
	// padding.
	PayloadBytes int

	// Base is the time of observation of a terminal's first reading; each
	// further reading is one step later. The zero Time chooses one so near
	// that the last reading of the run lies just before its end. A Base so
	// late that a reading would lie in the future slows the run down.
	Base time.Time
	// Ledger records every reading; nil means none. Runs that share one go on
	// where the last ended, with its Base.
	Ledger *Ledger
	// OnAck is told of acknowledged readings, in batches, from the goroutine of
	// the connection; the slice is valid during the call only. Nil is allowed.
	OnAck func(connection int, acks []Ack)
	// Reconnect keeps trying to restore a lost connection until the run ends;
	// false ends the run with the first loss.
	Reconnect bool
	// DrainTimeout is how long acknowledgements are waited for at the end;
	// zero means 10 s.
	DrainTimeout time.Duration

	Live   io.Writer        // a line every second (every five where it is no terminal); nil means none
	Logger *slog.Logger     // nil means none
	Clock  func() time.Time // gives Base; nil means time.Now
}

// Ack names one acknowledged message: Terminal counts from 0 and Seq from the
// terminal's first message.
type Ack struct {
	Terminal int
	Seq      uint64
}

// Code is the code of terminal i, counted from 0: load-000001 for the first.
func Code(prefix string, i int) string {
	s := strconv.Itoa(i + 1)
	for len(s) < 6 {
		s = "0" + s
	}
	if prefix == "" {
		prefix = "load-"
	}
	return prefix + s
}

// Property is the name of reading k of a message, counted from 0: v1.
func Property(k int) string { return "v" + strconv.Itoa(k+1) }

// Value is the value of reading k of a terminal's message seq, so that what
// was stored can be checked.
func Value(seq uint64, k int) float64 { return float64(cents(seq, k)) / 100 }

func cents(seq uint64, k int) uint64 { return (seq*31 + uint64(k)*1709) % 10_000 }

func (o *Options) check() error {
	bad := func(field, message, hint string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "load", Field: field, Message: message, Hint: hint}
	}
	if o.Connections == 0 {
		o.Connections = 100
	}
	if o.Window == 0 {
		o.Window = 20
	}
	if o.Readings == 0 {
		o.Readings = 1
	}
	if o.Terminals == 0 {
		o.Terminals = o.Connections
	}
	if o.ClientID == "" {
		o.ClientID = "cityhub-load"
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 10 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	between := func(n, hi int) bool { return n >= 1 && n <= hi }
	switch {
	case o.QoS > 1:
		return bad("qos", fmt.Sprintf("%d is not 0 or 1", o.QoS), "")
	case !between(o.Connections, MaxConnections):
		return bad("connections", fmt.Sprintf("%d is not between 1 and %d", o.Connections, MaxConnections), "")
	case !between(o.Terminals, MaxTerminals):
		return bad("terminals", fmt.Sprintf("%d is not between 1 and %d", o.Terminals, MaxTerminals), "")
	case o.Terminals < o.Connections:
		return bad("terminals", fmt.Sprintf("%d are fewer than the %d connections", o.Terminals, o.Connections), "a terminal publishes over one connection; give at least one to each")
	case !between(o.Readings, MaxReadings):
		return bad("readings", fmt.Sprintf("%d is not between 1 and %d", o.Readings, MaxReadings), "")
	case o.Rate < 0 || math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0):
		return bad("rate", fmt.Sprintf("%g is no number of messages per second", o.Rate), "0 is as fast as possible")
	case o.Duration < 0 || o.Messages < 0 || o.Duration == 0 && o.Messages == 0:
		return bad("duration", "neither a duration nor a number of messages is given", "e.g. --duration 10s")
	case o.PayloadBytes < 0 || o.PayloadBytes > 512<<10:
		return bad("payload", fmt.Sprintf("%d bytes are not between 0 and %d", o.PayloadBytes, 512<<10), "")
	case o.Ledger != nil && len(o.Ledger.terminals) != o.Terminals:
		return bad("ledger", fmt.Sprintf("was made for %d terminals, the run has %d", len(o.Ledger.terminals), o.Terminals), "")
	}
	return nil
}

// schedule gives a terminal's message seq the time base + seq steps.
type schedule struct {
	baseMs, stepMs int64
}

func (s schedule) ms(seq uint64) int64 { return s.baseMs + int64(seq)*s.stepMs }

// plan chooses the times of observation. At a given rate they follow the
// clock. Faster than one message per terminal and millisecond they cannot, so
// the base is put back by what the run may need; 2 million messages a second
// are assumed at full speed. That choice only moves the base: a reading that
// would still lie in the future waits.
func (o *Options) plan() schedule {
	if o.Ledger != nil && o.Ledger.schedule.stepMs != 0 {
		return o.Ledger.schedule
	}
	rate := o.Rate
	if rate == 0 {
		rate = 2e6
	}
	step := max(1, math.Floor(1000*float64(o.Terminals)/rate))
	seconds := o.Duration.Seconds()
	each := rate * seconds / float64(o.Terminals)
	if o.Messages > 0 {
		each = math.Min(float64(o.Messages)/float64(o.Terminals)+1, each)
		if o.Duration == 0 {
			each = float64(o.Messages)/float64(o.Terminals) + 1
			seconds = 0
			if o.Rate > 0 {
				seconds = float64(o.Messages) / o.Rate
			}
		}
	}
	s := schedule{stepMs: int64(step)}
	if back := each*step - seconds*1000; back > 0 {
		s.baseMs = -int64(math.Ceil(back))
	}
	if o.Base.IsZero() {
		s.baseMs += o.Clock().UnixMilli()
	} else {
		s.baseMs = o.Base.UnixMilli()
	}
	if o.Ledger != nil {
		o.Ledger.schedule = s
	}
	return s
}
