package streamload

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"cityhub/internal/loadgen"
	"cityhub/internal/mqttclient"
)

// PublisherOptions of a Publisher. The terminals are those of the manifest that
// loadgen.Manifest writes.
type PublisherOptions struct {
	Broker      string // address as mqttclient.Options has it
	Terminals   int
	Readings    int // properties v1 … of a terminal, all in one message; zero means 1
	Connections int // zero means 1; not more than Terminals
}

// Publisher publishes numbered readings: the n-th message of a terminal has the
// value n in each of its properties, counted from 0, and the time at which it
// is handed to the connection. No two messages of a terminal have the same
// millisecond. It belongs to one goroutine; Published and Acked may be read by
// all.
type Publisher struct {
	o         PublisherOptions
	conns     []*publishing
	published atomic.Int64
	acked     atomic.Int64
}

// publishing is one connection with its terminals.
type publishing struct {
	p       *Publisher
	i       int
	conn    *mqttclient.Conn
	topics  []string
	next    []int64 // number of the next message, by terminal
	lastMs  []int64
	turn    int
	payload []byte
}

// NewPublisher connects.
func NewPublisher(ctx context.Context, o PublisherOptions) (_ *Publisher, err error) {
	o.Readings, o.Connections = max(o.Readings, 1), max(o.Connections, 1)
	if o.Terminals < o.Connections || o.Readings > loadgen.MaxReadings {
		return nil, fmt.Errorf("%d terminals with %d readings over %d connections cannot be published", o.Terminals, o.Readings, o.Connections)
	}
	p := &Publisher{o: o}
	epoch := time.Now()
	for i := range o.Connections {
		c := &publishing{p: p, i: i}
		for t := i; t < o.Terminals; t += o.Connections {
			c.topics = append(c.topics, "terminals/"+loadgen.Code("", t)+"/up/json")
		}
		c.next, c.lastMs = make([]int64, len(c.topics)), make([]int64, len(c.topics))
		c.conn, err = mqttclient.Dial(ctx, mqttclient.Options{
			Address: o.Broker, ClientID: "streamload-" + strconv.Itoa(i+1), Window: 4096, Epoch: epoch,
			Acked: func(uint64, int64, int64) { p.acked.Add(int64(o.Readings)) },
		})
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.conns = append(p.conns, c)
	}
	return p, nil
}

// Close ends the connections without waiting for acknowledgements.
func (p *Publisher) Close() error {
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.conn.Close())
	}
	return errors.Join(errs...)
}

// Published is the number of readings handed to the connections.
func (p *Publisher) Published() int64 { return p.published.Load() }

// Acked is the number of readings that the hub acknowledged.
func (p *Publisher) Acked() int64 { return p.acked.Load() }

// Send publishes one message of the next terminal of the first connection at once.
func (p *Publisher) Send() error { return p.conns[0].send() }

// Drain waits for all acknowledgements.
func (p *Publisher) Drain() error {
	for _, c := range p.conns {
		if err := c.conn.Drain(); err != nil {
			return err
		}
	}
	return nil
}

// Run publishes that many messages a second over all connections, each when it
// is due, for some time or until ctx ends, and waits for the acknowledgements. A
// message that is late goes at once.
func (p *Publisher) Run(ctx context.Context, perSecond float64, length time.Duration) error {
	if perSecond <= 0 {
		return fmt.Errorf("a rate of %v messages a second", perSecond)
	}
	interval := time.Duration(float64(len(p.conns)) * float64(time.Second) / perSecond)
	var g errgroup.Group
	for _, c := range p.conns {
		g.Go(func() error {
			if err := c.conn.Poll(0); err != nil { // looks at the clock
				return err
			}
			start := c.conn.Now() + int64(interval)*int64(c.i)/int64(len(p.conns))
			for k := range int64(length / interval) {
				due := start + k*int64(interval)
				for c.conn.Now() < due {
					if ctx.Err() != nil {
						return c.conn.Drain()
					}
					if err := c.conn.Poll(due); err != nil {
						return err
					}
				}
				if err := c.send(); err != nil {
					return err
				}
			}
			return c.conn.Drain()
		})
	}
	return g.Wait()
}

func (c *publishing) send() error {
	t := c.turn
	c.turn = (t + 1) % len(c.topics)
	c.lastMs[t] = max(c.lastMs[t]+1, time.Now().UnixMilli())
	b := append(c.payload[:0], `{"t":`...)
	b = strconv.AppendInt(b, c.lastMs[t], 10)
	for k := range c.p.o.Readings {
		b = append(b, `,"v`...)
		b = strconv.AppendInt(b, int64(k+1), 10)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, c.next[t], 10)
	}
	c.payload = append(b, '}')
	c.next[t]++
	if err := c.conn.Publish(&mqttclient.Message{Topic: c.topics[t], Payload: c.payload, QoS: 1}); err != nil {
		return err
	}
	c.p.published.Add(int64(c.p.o.Readings))
	return c.conn.Flush()
}
