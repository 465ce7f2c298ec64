// Package mqtttest gives tests the brokers they publish to: Debian's
// Mosquitto on a free port, a proxy that cuts connections, and a server that
// does nothing but acknowledge, against which a client shows its own ceiling.
//
// Everything started here ends with the test.
package mqtttest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"cityhub/internal/testkit"
)

// Mosquitto starts a broker without persistence that never refuses for its
// queues, and gives its address.
func Mosquitto(t testing.TB) string {
	t.Helper()
	return testkit.StartMosquitto(t, testkit.MosquittoOptions{Config: []string{"max_inflight_messages 0", "max_queued_messages 0"}}).Addr
}

// Message is what a Subscription got.
type Message struct {
	Topic   string
	Payload []byte
}

// Subscription collects messages with Eclipse Paho, a client of other hands.
type Subscription struct{ ch chan Message }

// Subscribe subscribes at QoS 1. It holds up to a million messages.
func Subscribe(t testing.TB, addr, filter string) *Subscription {
	t.Helper()
	s := &Subscription{ch: make(chan Message, 1<<20)}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("sub-" + t.Name()).SetOrderMatters(true).SetAutoReconnect(false))
	if tok := c.Connect(); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	t.Cleanup(func() { c.Disconnect(50) })
	tok := c.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) {
		s.ch <- Message{Topic: m.Topic(), Payload: bytes.Clone(m.Payload())}
	})
	if tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	return s
}

// Next waits for a message.
func (s *Subscription) Next(t testing.TB) Message {
	t.Helper()
	select {
	case m := <-s.ch:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no message within 10 s")
		return Message{}
	}
}

// Len is the number of messages that came and were not taken yet.
func (s *Subscription) Len() int { return len(s.ch) }

// Quiet gathers what comes until nothing came for d.
func (s *Subscription) Quiet(d time.Duration) []Message {
	var all []Message
	for {
		select {
		case m := <-s.ch:
			all = append(all, m)
		case <-time.After(d):
			return all
		}
	}
}

// Proxy stands between a client and a broker, and cuts.
type Proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	closed   bool
}

// NewProxy listens on a free port and passes everything on to target.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Stop takes no further connection; those that are there stay.
func (p *Proxy) Stop() { _ = p.listener.Close() }

// Cut closes every connection at once, with whatever is on its way.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		if p.closed {
			_ = in.Close()
			_ = out.Close()
		}
		p.conns[in], p.conns[out] = struct{}{}, struct{}{}
		p.mu.Unlock()
		pass := func(dst, src net.Conn) {
			_, _ = io.Copy(dst, src)
			_ = dst.Close()
			_ = src.Close()
			p.mu.Lock()
			delete(p.conns, src)
			p.mu.Unlock()
		}
		p.wg.Go(func() { pass(in, out) })
		p.wg.Go(func() { pass(out, in) })
	}
}

// AckServer is a server that acknowledges every QoS 1 PUBLISH the moment it
// has read it and does nothing else: the ceiling of a client.
func AckServer(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, nc)
			mu.Unlock()
			wg.Go(func() { acknowledge(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

func acknowledge(nc net.Conn) {
	defer nc.Close()
	r := bufio.NewReaderSize(nc, 64<<10)
	out := make([]byte, 0, 64<<10)
	for {
		if r.Buffered() == 0 && len(out) > 0 {
			if _, err := nc.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		head, err := r.ReadByte()
		if err != nil {
			return
		}
		length := 0
		for shift := 0; ; shift += 7 {
			b, err := r.ReadByte()
			if err != nil {
				return
			}
			length |= int(b&0x7f) << shift
			if b < 0x80 {
				break
			}
		}
		switch head >> 4 {
		case 1:
			out = append(out, 0x20, 2, 0, 0)
		case 12:
			out = append(out, 0xd0, 0)
		case 3:
			if head&6 == 2 {
				p, err := r.Peek(2)
				if err != nil {
					return
				}
				skip := 2 + (int(p[0])<<8 | int(p[1]))
				p, err = r.Peek(skip + 2)
				if err != nil {
					return
				}
				out = append(out, 0x40, 2, p[skip], p[skip+1])
			}
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
	}
}
