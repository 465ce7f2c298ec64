package loadgen

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"cityhub/internal/mqttclient"
	"cityhub/twin"
)

const (
	tick      = time.Millisecond // shortest pause at a given rate
	burst     = 256              // QoS 0 messages between two looks at the clock
	stall     = 10 * time.Second // without a PUBACK, before a connection counts as lost
	maxMicros = 60_000_000       // latencies above a minute count as a minute
)

// worker drives one connection.
type worker struct {
	run   *run
	id    int
	conn  *mqttclient.Conn
	opts  mqttclient.Options
	first int      // global index of its first terminal; then every run.o.Connections-th
	codes []string // topics of its terminals
	next  []uint64 // Seq of each terminal's next message
	turn  int      // whose turn it is

	left     int64 // messages still to send; negative: no limit
	sent     int64 // in the schedule of the rate
	interval float64
	startNs  int64 // of the schedule, ns since the run's epoch; moved on by outages
	phaseNs  int64
	lastAck  int64 // ns since epoch; when the last PUBACK came that was owed
	lastAt   int64 // ns since epoch; the last PUBACK, with QoS 0 the last write

	msg     mqttclient.Message
	payload []byte
	acks    []Ack
	hist    *hdr.Histogram

	published, acked, errors, reconnects, lost int64
	live                                       live
}

// live is what the live line reads while the worker runs.
type live struct {
	published, acked, errors atomic.Int64
	_                        [40]byte // a cache line of its own
}

func newWorker(r *run, id int) *worker {
	o := &r.o
	w := &worker{run: r, id: id, first: id, left: -1, hist: hdr.New(1, maxMicros, 2)}
	for t := id; t < o.Terminals; t += o.Connections {
		w.codes = append(w.codes, "terminals/"+Code(o.Prefix, t)+"/up/json")
	}
	w.next = make([]uint64, len(w.codes))
	if o.Ledger != nil {
		for i := range w.next {
			w.next[i] = o.Ledger.terminals[w.terminal(i)].next
		}
	}
	if o.Messages > 0 {
		w.left = o.Messages / int64(o.Connections)
		if int64(id) < o.Messages%int64(o.Connections) {
			w.left++
		}
	}
	if o.Rate > 0 {
		w.interval = 1e9 * float64(o.Connections) / o.Rate
		w.phaseNs = int64(w.interval * float64(id) / float64(o.Connections))
	}
	w.msg.QoS = o.QoS
	w.opts = mqttclient.Options{
		Address: o.Broker, ClientID: o.ClientID + "-" + strconv.Itoa(id+1), Username: o.Username, Password: o.Password,
		Window: o.Window, Epoch: r.epoch, Acked: w.onAck,
	}
	return w
}

// terminal is the global index of the worker's terminal i.
func (w *worker) terminal(i int) int { return w.first + i*w.run.o.Connections }

// A Ref holds the worker's terminal and the Seq.
func ref(terminal int, seq uint64) uint64 { return uint64(terminal)<<40 | seq }

func (w *worker) onAck(ref uint64, stampNs, nowNs int64) {
	w.acked++
	w.lastAck, w.lastAt = nowNs, nowNs
	us := min(max((nowNs-stampNs)/1000, 1), maxMicros)
	_ = w.hist.RecordValue(us) // in range, so it cannot fail
	if w.run.record {
		w.acks = append(w.acks, Ack{Terminal: w.terminal(int(ref >> 40)), Seq: ref & (1<<40 - 1)})
	}
}

// report hands over what was acknowledged since the last report.
func (w *worker) report() {
	w.live.published.Store(w.published)
	w.live.acked.Store(w.acked)
	if len(w.acks) == 0 {
		return
	}
	if l := w.run.o.Ledger; l != nil {
		for _, a := range w.acks {
			l.terminals[a.Terminal].ack(a.Seq)
		}
	}
	if w.run.o.OnAck != nil {
		w.run.o.OnAck(w.id, w.acks)
	}
	w.acks = w.acks[:0]
}

// work runs until the messages are sent, the time is over or ctx ends.
func (w *worker) work(ctx context.Context) error {
	w.startNs = w.run.startNs + w.phaseNs
	for {
		err := w.drive()
		if err == nil {
			err = w.drain()
		}
		w.report()
		w.lost += int64(w.conn.InFlight())
		_ = w.conn.Close()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.errors++
		w.live.errors.Store(w.errors)
		w.run.o.Logger.Warn("MQTT connection lost", "client", w.opts.ClientID, "error", err)
		if !w.run.o.Reconnect {
			return err
		}
		if again, err := w.reconnect(ctx); !again {
			return err
		}
	}
}

// reconnect tries until it succeeds or the run is over. What was in flight is
// not sent again: nobody knows whether it arrived.
func (w *worker) reconnect(ctx context.Context) (bool, error) {
	began := w.run.sinceEpoch()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if w.left == 0 || w.run.sinceEpoch() >= w.run.endNs {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(pause):
		}
		c, err := mqttclient.Dial(ctx, w.opts)
		if err == nil {
			w.conn = c
			w.reconnects++
			now := w.run.sinceEpoch()
			w.startNs += now - began // nothing was due meanwhile
			w.lastAck = now
			return true, nil
		}
		if twin.ErrorCode(err) != twin.CodeUnavailable {
			return false, err
		}
	}
}

// drive publishes what the window, the rate and the times of observation
// allow, waits for PUBACKs, and so on.
func (w *worker) drive() error {
	c, end := w.conn, w.run.endNs
	w.lastAck = c.Now()
	for c.Now() < end && w.left != 0 {
		allowed, dueNs, nextNs := w.allowed(c.Now())
		room := burst
		if w.msg.QoS == 1 {
			room = c.Room()
		}
		for ; allowed > 0 && room > 0 && w.left != 0; allowed, room = allowed-1, room-1 {
			if waitNs := w.render(c.Now()); waitNs > 0 { // its time of observation is still to come
				nextNs, allowed = c.Now()+waitNs, 0
				break
			}
			w.msg.Stamp = dueNs
			if err := c.Publish(&w.msg); err != nil {
				return err
			}
			w.took()
		}
		until := end
		switch {
		case allowed <= 0:
			until = min(until, nextNs)
		case w.msg.QoS == 0:
			until = 0 // more is due already: write and go on
		}
		if c.InFlight() > 0 {
			if c.Now()-w.lastAck > int64(stall) && w.msg.QoS == 1 {
				return &twin.Error{Code: twin.CodeUnavailable, Op: "load", Message: "no PUBACK for " + stall.String()}
			}
			until = min(until, c.Now()+int64(stall))
		} else {
			w.lastAck = c.Now() // nothing is owed
		}
		if err := c.Poll(until); err != nil {
			return err
		}
		w.report()
	}
	return nil
}

// allowed is how many messages are due, the time at which they were (0: now)
// and when the next will be. Messages that lie closer than a tick fall due
// together at its end.
func (w *worker) allowed(nowNs int64) (n, dueNs, nextNs int64) {
	if w.interval == 0 {
		return math.MaxInt64, 0, 0
	}
	elapsed := float64(nowNs - w.startNs)
	if w.interval >= float64(tick) {
		nextDue := w.startNs + int64(float64(w.sent)*w.interval)
		if nowNs < nextDue {
			return 0, 0, nextDue
		}
		return 1, nextDue, w.startNs + int64(float64(w.sent+1)*w.interval)
	}
	at := math.Floor(elapsed/float64(tick)) * float64(tick)
	nextNs = w.startNs + int64(at) + int64(tick)
	n = int64(at/w.interval) - w.sent
	if n <= 0 {
		return 0, 0, nextNs
	}
	// What is left from earlier ticks was due earlier.
	due := math.Min(at, math.Ceil(float64(w.sent+1)*w.interval/float64(tick))*float64(tick))
	return n, w.startNs + int64(due), nextNs
}

// render makes the next message; it gives the ns until its time of
// observation if that lies ahead.
func (w *worker) render(nowNs int64) int64 {
	seq := w.next[w.turn]
	ms := w.run.plan.ms(seq)
	if ahead := ms - w.run.wallMs - nowNs/1e6; ahead > 0 {
		return ahead * 1e6
	}
	b := append(w.payload[:0], `{"t":`...)
	b = strconv.AppendInt(b, ms, 10)
	for k, key := range w.run.keys {
		b = append(b, key...)
		v := cents(seq, k)
		b = append(b, byte('0'+v/1000), byte('0'+v/100%10), '.', byte('0'+v/10%10), byte('0'+v%10))
		if v < 1000 { // JSON has no leading zero
			n := len(b)
			copy(b[n-5:], b[n-4:])
			b = b[:n-1]
		}
	}
	for len(b) < w.run.o.PayloadBytes-1 {
		b = append(b, ' ')
	}
	w.payload = append(b, '}')
	w.msg.Topic, w.msg.Payload, w.msg.Ref = w.codes[w.turn], w.payload, ref(w.turn, seq)
	return 0
}

// took moves on after a message was handed to the connection.
func (w *worker) took() {
	w.next[w.turn]++
	if l := w.run.o.Ledger; l != nil {
		l.terminals[w.terminal(w.turn)].next = w.next[w.turn]
	}
	if w.turn++; w.turn == len(w.codes) {
		w.turn = 0
	}
	w.published++
	w.sent++
	if w.left > 0 {
		w.left--
	}
}

// drain waits for the acknowledgements of what is in flight.
func (w *worker) drain() error {
	until := w.conn.Now() + int64(w.run.o.DrainTimeout)
	for w.conn.InFlight() > 0 && w.conn.Now() < until {
		if err := w.conn.Poll(until); err != nil {
			return err
		}
		w.report()
	}
	err := w.conn.Flush()
	if w.msg.QoS == 0 {
		w.lastAt = w.conn.Now()
	}
	return err
}
