package testkit

import (
	"net"
	"sync"
)

// link is a TCP proxy that can be cut: it then forwards nothing, keeps every
// connection open and goes on accepting new ones, as a network does that has
// stopped delivering. It holds 32 KiB of each direction; TCP holds the rest back.
type link struct {
	from, to int // nodes; -1: clients
	target   string
	ln       net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while it forwards
	conns map[net.Conn]struct{}
	done  chan struct{} // closed by close
}

func newLink(from, to int, target string) (*link, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{from: from, to: to, target: target, ln: ln, open: make(chan struct{}), conns: map[net.Conn]struct{}{}, done: make(chan struct{})}
	close(l.open)
	l.wg.Go(l.accept)
	return l, nil
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default: // it is already
	}
}

func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

// close ends the link and its connections, and waits for its goroutines.
func (l *link) close() {
	l.mu.Lock()
	close(l.done)
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	_ = l.ln.Close()
	l.wg.Wait()
}

// pass waits until the link forwards; false when it has been closed.
func (l *link) pass() bool {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	select {
	case <-l.done:
		return false
	case <-open:
		return true
	}
}

// hold keeps c for close; false when that has been called.
func (l *link) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		_ = c.Close()
		return false
	default:
		l.conns[c] = struct{}{}
		return true
	}
}

func (l *link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

func (l *link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return // closed
		}
		if l.hold(c) {
			l.wg.Go(func() { l.serve(c) })
		}
	}
}

// serve connects c with the target.
func (l *link) serve(c net.Conn) {
	defer l.drop(c)
	if !l.pass() {
		return
	}
	d, err := net.Dial("tcp4", l.target)
	if err != nil {
		return
	}
	if !l.hold(d) {
		return
	}
	defer l.drop(d)
	var wg sync.WaitGroup
	wg.Go(func() { l.pump(d, c) })
	l.pump(c, d)
	wg.Wait()
}

// pump forwards one direction. An end of the connection is forwarded too, as
// the end of both directions, and not while the link is cut.
func (l *link) pump(to, from net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !l.pass() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
