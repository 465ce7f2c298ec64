// Package streamload drives the hub's WebSocket stream with thousands of
// clients and checks what each of them gets: every message, every reading.
//
// The readings have to be those of a Publisher of this package: the value of a
// reading is its number within its Datastream, 0, 1, 2 …, and its time of
// phenomenon the moment at which it was handed to the connection. So a client
// knows of each reading whether it is the next one, and how long it was on its way.
//
// Guarantees: in mode `every` a client fails at the first reading that is
// missing, comes twice or comes out of order, in mode `latest` at the first
// that is not newer than the one before; at a position that goes back; at a
// message of a view that it did not ask for; at a connection that ends without
// being asked to. Nothing is sampled. Checking a reading allocates nothing.
//
// A client is one goroutine that reads; clients share buffers while they have a
// message in hand. Load is safe for concurrent use, Publisher is not.
package streamload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

const (
	longestMicros = 60_000_000 // of a latency; a longer one counts as this
	dialers       = 64         // connections made at a time: a listener's backlog is short
	perSource     = 10_000     // connections from one address of the machine
	shards        = 16         // of the histograms
	answerLimit   = 60 * time.Second
)

// Options of a Load.
type Options struct {
	// URL of the stream, ws://127.0.0.1:8080/stream.
	URL string
	// Token of the clients; empty: anonymous.
	Token string
	// Clients is how many connections are made.
	Clients int
	// Filter gives the JSON object filter of client i, counted from 0; nil, or
	// an empty answer: everything.
	Filter func(i int) string
	// Latest asks for mode latest with at most one delta every MinInterval.
	// A hub that does not know the mode sends each reading.
	Latest      bool
	MinInterval time.Duration
	// FromNs is the first time of phenomenon, ns since 1970, whose way is
	// measured; zero: all. What is before it is checked all the same.
	FromNs int64
	// SkipRows takes messages without looking at their readings: for what is
	// measured in frames alone.
	SkipRows bool
}

// Stats are what the clients of a Load have got so far.
type Stats struct {
	Clients    int // connected
	Frames     int64
	Bytes      int64
	Readings   int64
	Heartbeats int64
	Snapshots  int64 // whole ones
	Changes    int64 // views that were answered after Pan asked for them
	Late       int64 // pans that were not sent because the one before had no answer yet
}

// Load is a number of connected, subscribed clients.
type Load struct {
	o       Options
	fromNs  atomic.Int64
	clients []*client
	readers sync.WaitGroup
	closing atomic.Bool
	failed  chan struct{} // closed at the first error
	once    sync.Once
	err     error // the first; read it after failed is closed or Close has returned

	frames, bytes, readings, heartbeats, snapshots, changes, late atomic.Int64

	awaited atomic.Int64  // readings that Wait waits for
	reached chan struct{} // has room for one: awaited has been reached

	ways [shards]histogram // publish → delivery, µs
	pans [shards]histogram // a change of view → its answer complete, µs
	bufs sync.Pool         // of *[]byte
}

type histogram struct {
	mu sync.Mutex
	h  *hdr.Histogram
}

// Dial connects all clients, subscribes them and returns once each has its
// whole first snapshot. The caller closes the Load, also after an error of a
// later call.
func Dial(ctx context.Context, o Options) (*Load, error) {
	if o.Clients < 1 {
		return nil, fmt.Errorf("%d clients are not enough", o.Clients)
	}
	l := &Load{o: o, failed: make(chan struct{}), reached: make(chan struct{}, 1), clients: make([]*client, o.Clients)}
	l.fromNs.Store(o.FromNs)
	for i := range shards {
		l.ways[i].h, l.pans[i].h = hdr.New(1, longestMicros, 3), hdr.New(1, longestMicros, 3)
	}
	l.bufs.New = func() any { b := make([]byte, 0, 16<<10); return &b }
	pool := &sync.Pool{}
	var g errgroup.Group
	g.SetLimit(dialers)
	for i := range o.Clients {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return l.dial(ctx, i, pool)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for _, c := range l.clients {
		select {
		case <-c.began:
		case <-l.failed:
			return nil, l.Close()
		case <-ctx.Done():
			_ = l.Close()
			return nil, fmt.Errorf("%d of %d clients have their snapshot: %w", l.snapshots.Load(), o.Clients, context.Cause(ctx))
		}
	}
	return l, nil
}

func (l *Load) dial(ctx context.Context, i int, pool websocket.BufferPool) error {
	d := websocket.Dialer{
		HandshakeTimeout: answerLimit, ReadBufferSize: 4096, WriteBufferSize: 1024, WriteBufferPool: pool,
		NetDialContext: dialer(i, l.o.Clients),
	}
	head := http.Header{}
	if l.o.Token != "" {
		head.Set("Authorization", "Bearer "+l.o.Token)
	}
	conn, res, err := d.DialContext(ctx, l.o.URL, head)
	if err != nil {
		if res != nil {
			err = fmt.Errorf("%w (%s)", err, res.Status)
		}
		return fmt.Errorf("client %d: open the stream: %w", i, err)
	}
	c := &client{load: l, i: i, conn: conn, began: make(chan struct{}), seen: map[int64]int64{}}
	l.clients[i] = c
	if err := c.send(l.subscribe(i, "")); err != nil {
		return fmt.Errorf("client %d: subscribe: %w", i, err)
	}
	l.readers.Go(c.read)
	return nil
}

// dialer spreads the connections over addresses 127.0.0.1, 127.0.0.2 …, each of
// which has ports of its own. Only Linux has them all.
func dialer(i, clients int) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: answerLimit}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(addr); err == nil && host == "127.0.0.1" && runtime.GOOS == "linux" && clients > perSource/4 {
			d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%(2+clients/perSource)))}
		}
		return d.DialContext(ctx, network, addr)
	}
}

// subscribe is the message with which client i asks for a view; an empty filter
// is the one of the options.
func (l *Load) subscribe(i int, filter string) []byte {
	if filter == "" && l.o.Filter != nil {
		filter = l.o.Filter(i)
	}
	return l.request(`{"type":"subscribe","id":"s1"`, filter)
}

func (l *Load) request(begin, filter string) []byte {
	b := append(make([]byte, 0, 128+len(filter)), begin...)
	if filter != "" {
		b = append(append(b, `,"filter":`...), filter...)
	}
	if l.o.Latest {
		b = append(b, `,"mode":"latest"`...)
		if l.o.MinInterval > 0 {
			b = append(b, `,"minIntervalMs":`...)
			b = strconv.AppendInt(b, l.o.MinInterval.Milliseconds(), 10)
		}
	}
	return append(b, '}')
}

// MeasureFrom sets Options.FromNs of a running Load.
func (l *Load) MeasureFrom(t time.Time) { l.fromNs.Store(t.UnixNano()) }

// Failed is closed when a client has failed; Close says why.
func (l *Load) Failed() <-chan struct{} { return l.failed }

// Stats of this moment.
func (l *Load) Stats() Stats {
	s := Stats{
		Frames: l.frames.Load(), Bytes: l.bytes.Load(), Readings: l.readings.Load(), Heartbeats: l.heartbeats.Load(),
		Snapshots: l.snapshots.Load(), Changes: l.changes.Load(), Late: l.late.Load(),
	}
	for _, c := range l.clients {
		if c != nil {
			s.Clients++
		}
	}
	return s
}

// Delivery is the latency from publishing to delivery in µs, of every reading
// that every client got. Times of phenomenon have whole milliseconds, so it is
// up to 1 ms too long.
func (l *Load) Delivery() *hdr.Histogram { return merged(&l.ways) }

// Changing is the latency from asking for another view until it was complete, in µs.
func (l *Load) Changing() *hdr.Histogram { return merged(&l.pans) }

func merged(of *[shards]histogram) *hdr.Histogram {
	all := hdr.New(1, longestMicros, 3)
	for i := range of {
		of[i].mu.Lock()
		all.Merge(of[i].h)
		of[i].mu.Unlock()
	}
	return all
}

// Wait returns when the clients together have had n readings, with the first
// error of a client, or when ctx ends. One goroutine may wait at a time.
func (l *Load) Wait(ctx context.Context, n int64) error {
	l.awaited.Store(n)
	for l.readings.Load() < n {
		select {
		case <-l.reached: // perhaps by an earlier call
		case <-l.failed:
			return l.err
		case <-ctx.Done():
			return fmt.Errorf("%d of %d readings were delivered: %w", l.readings.Load(), n, context.Cause(ctx))
		}
	}
	return nil
}

// Close ends all connections, waits for the clients and gives the first error
// that one of them met. It may be called more than once.
func (l *Load) Close() error {
	l.closing.Store(true)
	for _, c := range l.clients {
		if c != nil {
			_ = c.conn.Close()
		}
	}
	l.readers.Wait()
	select {
	case <-l.failed:
		return l.err
	default:
		return nil
	}
}

func (l *Load) fail(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.failed)
	})
}
