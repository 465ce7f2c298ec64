package ws

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

// corkConn is a connection whose writes can be held back and sent together:
// a writer that finds many frames queued makes one system call for them.
type corkConn struct {
	net.Conn

	mu     sync.Mutex // a pong may be written beside the writer's frames
	corked bool
	buf    *[]byte
}

const corkSize = 32 << 10

var corkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, corkSize); return &b }}

// Write sends p, or keeps a copy while the connection is corked.
func (c *corkConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(p)
	}
	if len(*c.buf)+len(p) > corkSize {
		if err := c.flush(); err != nil {
			return 0, err
		}
		if len(p) > corkSize {
			return c.Conn.Write(p)
		}
	}
	*c.buf = append(*c.buf, p...)
	return len(p), nil
}

// SetWriteDeadline does nothing: the session sets the deadline once for a batch,
// on the connection below, and gorilla would undo it with every frame.
func (c *corkConn) SetWriteDeadline(time.Time) error { return nil }

func (c *corkConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
	c.buf = corkBuffers.Get().(*[]byte)
}

func (c *corkConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush()
	c.corked = false
	corkBuffers.Put(c.buf)
	c.buf = nil
	return err
}

func (c *corkConn) flush() error {
	if len(*c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(*c.buf)
	*c.buf = (*c.buf)[:0]
	return err
}

// hijacker hands the upgrader a corkConn instead of the bare connection.
type hijacker struct {
	http.ResponseWriter
	conn *corkConn
}

// Hijack takes the connection from the HTTP server.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &corkConn{Conn: nc}
	return h.conn, rw, nil
}
