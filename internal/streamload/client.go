package streamload

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// client is one connection. Its reader owns all fields but those of sending.
type client struct {
	load  *Load
	i     int
	conn  *websocket.Conn
	began chan struct{} // closed with the first whole snapshot

	sending sync.Mutex   // a connection takes one writer
	askedNs atomic.Int64 // when the view was asked for that is not complete; 0: none
	update  atomic.Bool  // the hub changes subscriptions in place

	view    []byte
	epoch   []byte
	offset  uint64
	seen    map[int64]int64 // by Datastream: the last value
	started bool            // began is closed
	whole   bool            // the snapshot of view is complete

	// Of the message at hand, so that checking a row needs no closure of its own.
	nowNs, fromNs int64
	hist          *histogram
	rows          int64
}

// limit of a message that a client takes, bytes.
const maxMessage = 64 << 20

func (c *client) send(m []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	return c.conn.WriteMessage(websocket.TextMessage, m)
}

func (c *client) read() {
	if err := c.loop(); err != nil && !c.load.closing.Load() {
		c.load.fail(fmt.Errorf("client %d: %w", c.i, err))
	}
}

func (c *client) loop() error {
	c.conn.SetReadLimit(maxMessage)
	c.hist = &c.load.ways[c.i%shards]
	take := c.delta // bound once: a method value allocates
	for {
		_, r, err := c.conn.NextReader()
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		// Only a client with a message in hand has a buffer.
		buf := c.load.bufs.Get().(*[]byte)
		*buf, err = readAll(r, (*buf)[:0])
		if err == nil {
			err = c.message(*buf, take)
		}
		if err != nil {
			err = fmt.Errorf("%w in %.300s", err, *buf)
		}
		if cap(*buf) <= 1<<20 {
			c.load.bufs.Put(buf)
		}
		if err != nil {
			return err
		}
	}
}

func readAll(r io.Reader, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// message checks one message of the hub.
func (c *client) message(b []byte, take func(row) error) error {
	l := c.load
	l.frames.Add(1)
	l.bytes.Add(int64(len(b)))
	var m message
	if err := scan(b, &m); err != nil {
		return err
	}
	switch string(m.kind) {
	case "welcome":
		c.update.Store(m.update)
		return nil
	case "heartbeat":
		l.heartbeats.Add(1)
		return c.position(&m)
	case "subscribed":
		c.view, c.whole = append(c.view[:0], m.view...), m.resumed
		if !m.resumed {
			clear(c.seen)
		}
		return nil
	case "error":
		return fmt.Errorf("the hub refuses: %s", m.code)
	case "snapshot", "delta", "changed":
	default:
		return nil // newer hubs may say more
	}
	if string(m.kind) == "changed" {
		c.view = append(c.view[:0], m.view...)
	} else if !bytes.Equal(m.view, c.view) {
		return fmt.Errorf("view %s, and the client is subscribed to %s", m.view, c.view)
	}
	if err := c.position(&m); err != nil {
		return err
	}
	switch string(m.kind) {
	case "delta":
		if l.o.SkipRows || m.rows == nil {
			return nil
		}
		c.nowNs, c.fromNs, c.rows = time.Now().UnixNano(), l.fromNs.Load(), 0
		c.hist.mu.Lock()
		err := eachRow(m.rows, take)
		c.hist.mu.Unlock()
		if all := l.readings.Add(c.rows); all >= l.awaited.Load() {
			select {
			case l.reached <- struct{}{}:
			default: // it has been told
			}
		}
		return err
	case "snapshot":
		if c.whole {
			clear(c.seen) // it replaces what the client has
			c.whole = false
		}
	case "changed":
		if m.left != nil {
			if err := eachID(m.left, func(id int64) { delete(c.seen, id) }); err != nil {
				return err
			}
		}
	}
	if m.rows != nil && !l.o.SkipRows {
		if err := eachRow(m.rows, func(r row) error {
			c.seen[r.datastream] = r.value
			return nil
		}); err != nil {
			return err
		}
	}
	if m.last {
		c.complete(string(m.kind) == "snapshot")
	}
	return nil
}

// complete notes that the view is whole.
func (c *client) complete(snapshot bool) {
	c.whole = true
	if snapshot {
		c.load.snapshots.Add(1)
	}
	if !c.started {
		c.started = true
		close(c.began)
		return
	}
	if asked := c.askedNs.Swap(0); asked != 0 {
		h := &c.load.pans[c.i%shards]
		h.mu.Lock()
		_ = h.h.RecordValue(micros(time.Now().UnixNano() - asked)) // micros bounds it
		h.mu.Unlock()
		c.load.changes.Add(1)
	}
}

// position checks that the log goes on. A snapshot may be some moments old and
// is then followed by what came since.
func (c *client) position(m *message) error {
	if m.epoch == nil {
		return nil
	}
	if len(c.epoch) > 0 && !bytes.Equal(c.epoch, m.epoch) {
		return fmt.Errorf("epoch %s after %s", m.epoch, c.epoch)
	}
	if m.offset < c.offset && (string(m.kind) == "delta" || string(m.kind) == "heartbeat") {
		return fmt.Errorf("offset %d after %d", m.offset, c.offset)
	}
	c.epoch, c.offset = append(c.epoch[:0], m.epoch...), m.offset
	return nil
}

// delta checks a reading: in mode every it is the one after the last.
func (c *client) delta(r row) error {
	last, known := c.seen[r.datastream]
	switch {
	case !known && r.value != 0 && !c.load.o.Latest:
		return fmt.Errorf("the Datastream %d begins with reading %d", r.datastream, r.value)
	case known && c.load.o.Latest && r.value <= last, known && !c.load.o.Latest && r.value != last+1:
		return fmt.Errorf("the Datastream %d has reading %d after %d", r.datastream, r.value, last)
	}
	c.seen[r.datastream] = r.value
	c.rows++
	if r.timeNs >= c.fromNs {
		return c.hist.h.RecordValue(micros(c.nowNs - r.timeNs))
	}
	return nil
}

func micros(ns int64) int64 { return min(max(ns/1000, 1), longestMicros) }
