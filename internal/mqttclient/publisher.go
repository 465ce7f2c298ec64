package mqttclient

import (
	"context"
	"log/slog"
	"time"

	"cityhub/twin"
)

// PublisherOptions of a Publisher.
type PublisherOptions struct {
	Options      // Acked is the Publisher's own and must be nil
	QoS     byte // 0 or 1

	// RetryFor is how long a lost connection is tried again before the
	// Publisher gives up; zero means one minute, negative never to give up.
	RetryFor time.Duration
	Logger   *slog.Logger // nil means none
}

// PublisherStats are totals since NewPublisher.
type PublisherStats struct {
	Published  int64 // messages handed over by Publish
	Acked      int64 // PUBACKs; with QoS 0, messages written
	Resent     int64
	Reconnects int64
}

// Publisher delivers messages in order, at least once with QoS 1 and at most
// once with QoS 0, over connections that may be lost. It belongs to one
// goroutine at a time. What it holds is bounded by the window.
type Publisher struct {
	o     PublisherOptions
	c     *Conn
	stats PublisherStats

	// pending holds what Publish took and no PUBACK has answered: message seq
	// lies in pending[seq%len], head <= seq < tail.
	pending    []pendingMessage
	head, tail uint64
}

type pendingMessage struct {
	topic   string
	payload []byte // keeps its capacity
	done    bool
}

const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// NewPublisher connects. The first connection is not tried again: an address
// that never worked is a mistake to report.
func NewPublisher(ctx context.Context, o PublisherOptions) (*Publisher, error) {
	if o.QoS > 1 {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "connect to MQTT broker", Field: "qos", Message: "only QoS 0 and 1 are supported"}
	}
	if o.RetryFor == 0 {
		o.RetryFor = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.Options.defaults(); err != nil {
		return nil, err
	}
	p := &Publisher{o: o, pending: make([]pendingMessage, o.Window)}
	p.o.Acked = p.acked
	var err error
	if p.c, err = Dial(ctx, p.o.Options); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Publisher) acked(ref uint64, _, _ int64) {
	n := uint64(len(p.pending))
	p.pending[ref%n].done = true
	p.stats.Acked++
	for p.head < p.tail && p.pending[p.head%n].done {
		p.head++
	}
}

// InFlight is the number of messages that Publish took and that wait for
// their PUBACK.
func (p *Publisher) InFlight() int { return int(p.tail - p.head) }

// Stats gives the totals.
func (p *Publisher) Stats() PublisherStats { return p.stats }

// Publish takes a message over. It waits while the window is full and while
// the connection is being made again; payload may be used again afterwards.
func (p *Publisher) Publish(ctx context.Context, topic string, payload []byte) error {
	if p.o.QoS == 0 {
		return p.publish0(ctx, topic, payload)
	}
	if n := 4 + len(topic) + len(payload); len(topic) == 0 || len(topic) > MaxTopic || n+5 > MaxPacket {
		return badMessage(&Message{Topic: topic, QoS: 1}, n)
	}
	n := uint64(len(p.pending))
	for p.tail-p.head == n {
		if err := p.c.wait(); err != nil {
			if err := p.reconnect(ctx, err); err != nil {
				return err
			}
		}
	}
	m := &p.pending[p.tail%n]
	m.topic, m.payload, m.done = topic, append(m.payload[:0], payload...), false
	p.tail++
	p.stats.Published++
	if err := p.c.Publish(&Message{Topic: topic, Payload: m.payload, QoS: 1, Ref: p.tail - 1}); err != nil {
		return p.reconnect(ctx, err)
	}
	return nil
}

func (p *Publisher) publish0(ctx context.Context, topic string, payload []byte) error {
	m := Message{Topic: topic, Payload: payload}
	for {
		err := p.c.Publish(&m)
		if err == nil {
			p.stats.Published++
			p.stats.Acked++
			return nil
		}
		if twin.ErrorCode(err) != twin.CodeUnavailable {
			return err
		}
		if err := p.reconnect(ctx, err); err != nil {
			return err
		}
	}
}

// Flush writes what is buffered.
func (p *Publisher) Flush(ctx context.Context) error {
	if err := p.c.Flush(); err != nil {
		return p.reconnect(ctx, err)
	}
	return nil
}

// Poll writes what is buffered, and handles PUBACKs and keeps the connection
// alive until one packet was handled or d has passed.
func (p *Publisher) Poll(ctx context.Context, d time.Duration) error {
	p.c.tick()
	if err := p.c.Poll(p.c.now + int64(d)); err != nil {
		return p.reconnect(ctx, err)
	}
	return nil
}

// Drain waits until everything is acknowledged.
func (p *Publisher) Drain(ctx context.Context) error {
	for {
		err := p.c.Drain()
		if err == nil {
			return nil
		}
		if err := p.reconnect(ctx, err); err != nil {
			return err
		}
	}
}

// Close says DISCONNECT and closes. What is in flight is not waited for.
func (p *Publisher) Close() error { return p.c.Close() }

// reconnect replaces a connection that was lost with cause, and sends again
// what had no PUBACK, in order, marked as a duplicate.
func (p *Publisher) reconnect(ctx context.Context, cause error) error {
	began := time.Now()
	pause := firstPause
	_ = p.c.Close()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if p.o.RetryFor > 0 && time.Since(began) > p.o.RetryFor {
			return &twin.Error{Code: twin.CodeUnavailable, Op: "MQTT connection", Message: "lost, and not restored within " + p.o.RetryFor.String(), Hint: "what was acknowledged is safe; start again to send the rest", Err: cause}
		}
		p.o.Logger.Warn("MQTT connection lost, connecting again", "broker", p.o.Address, "client", p.o.ClientID, "in", pause, "error", cause)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
		c, err := Dial(ctx, p.o.Options)
		if err != nil {
			if twin.ErrorCode(err) != twin.CodeUnavailable {
				return err
			}
			cause = err
			continue
		}
		p.c = c
		p.stats.Reconnects++
		if err := p.resend(); err != nil {
			_ = c.Close()
			cause = err
			continue
		}
		return nil
	}
}

func (p *Publisher) resend() error {
	n := uint64(len(p.pending))
	for seq := p.head; seq < p.tail; seq++ {
		m := &p.pending[seq%n]
		if m.done {
			continue
		}
		p.stats.Resent++
		if err := p.c.Publish(&Message{Topic: m.topic, Payload: m.payload, QoS: 1, Dup: true, Ref: seq}); err != nil {
			return err
		}
	}
	return p.c.Flush()
}
