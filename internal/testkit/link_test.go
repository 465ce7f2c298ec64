package testkit

import (
	"io"
	"net"
	"testing"
	"time"
)

// A link that is cut delivers nothing, ends nothing, accepts, and delivers what
// it held back when it is healed.
func TestLinkIsCutAndHealed(t *testing.T) {
	echo, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	l, err := newLink(0, 1, echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp4", l.ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ask := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	answer := func(c net.Conn, within time.Duration) error {
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	first := dial()
	ask(first)
	if err := answer(first, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	l.cut()
	l.cut() // once is enough
	ask(first)
	second := dial()
	ask(second)
	for i, c := range []net.Conn{first, second} {
		if err, ok := answer(c, 100*time.Millisecond).(net.Error); !ok || !err.Timeout() {
			t.Fatalf("connection %d over a link that is cut: %v", i, err)
		}
	}
	l.heal()
	for i, c := range []net.Conn{first, second} {
		if err := answer(c, 10*time.Second); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	l.close()
	if err := answer(first, 10*time.Second); err != io.EOF {
		t.Errorf("after the end of the link: %v", err)
	}
	_ = echo.Close()
	<-served
}
