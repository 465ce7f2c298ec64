package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/streams"
	"cityhub/streams/client"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bearer struct{}

// gate takes the Authorization header, as the HTTP middleware does.
type gate struct{ *streamtest.Gate }

func (g gate) View(ctx context.Context, token string) (streams.View, string, error) {
	if h, _ := ctx.Value(bearer{}).(string); token == "" {
		token = strings.TrimPrefix(h, "Bearer ")
	}
	return g.Gate.View(ctx, token)
}

// city is a real hub with its real WebSocket server.
type city struct {
	*streamtest.Demo
	url  string
	addr string
}

func serve(t testing.TB, hub func(*streams.Options), change func(*ws.Options)) *city {
	t.Helper()
	d := streamtest.NewDemo(t, hub)
	o := ws.Options{Hub: d.Hub, Auth: gate{d.Gate}, Problem: streamtest.Problem, Name: "cityhub/0.1.0", Clock: streamtest.Clock, CloseGrace: 300 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	h, err := ws.New(o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), bearer{}, r.Header.Get("Authorization"))))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return &city{d, srv.URL, strings.TrimPrefix(srv.URL, "http://")}
}

// listener is a client with its events.
type listener struct {
	t testing.TB
	*client.Client
}

func dial(t testing.TB, o client.Options) *listener {
	t.Helper()
	if o.BackoffFirst == 0 {
		o.BackoffFirst, o.BackoffMax = 5*time.Millisecond, 50*time.Millisecond
	}
	c, err := client.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &listener{t, c}
}

// next gives the next event that is no heartbeat.
func (l *listener) next() client.Event {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for {
		ev, err := l.Next(ctx)
		if err != nil {
			l.t.Fatalf("Next: %v", err)
		}
		if _, beat := ev.(*client.Heartbeat); !beat {
			return ev
		}
	}
}

// ends reads on to the end of the client.
func (l *listener) ends() error {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for {
		if _, err := l.Next(ctx); err != nil {
			if ctx.Err() != nil {
				l.t.Fatal("the client does not end")
			}
			return err
		}
	}
}

// want gives the next event, which is an E.
func want[E client.Event](l *listener) E {
	l.t.Helper()
	ev := l.next()
	e, ok := ev.(E)
	if !ok {
		l.t.Fatalf("got %T %s, want %s", ev, show(ev), reflect.TypeFor[E]())
	}
	return e
}

// until gives the next E, passing over other events.
func until[E client.Event](l *listener) E {
	l.t.Helper()
	for {
		if e, ok := l.next().(E); ok {
			return e
		}
	}
}

func show(v any) string {
	if g, ok := v.(*client.Disconnected); ok {
		return fmt.Sprint(g.Err)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// proxy is a TCP proxy whose connections can be cut.
type proxy struct {
	ln    net.Listener
	to    string
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
	down  bool
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, to: to}
	p.wg.Go(p.run)
	t.Cleanup(func() { _ = ln.Close(); p.cut(); p.wg.Wait() })
	return p
}

func (p *proxy) url() string { return "http://" + p.ln.Addr().String() }

func (p *proxy) run() {
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		out, err := net.Dial("tcp", p.to)
		if err != nil || p.down {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		pipe := func(a, b net.Conn) {
			_, _ = io.Copy(a, b)
			_, _ = a.Close(), b.Close()
		}
		p.wg.Go(func() { pipe(in, out) })
		p.wg.Go(func() { pipe(out, in) })
	}
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) set(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	p.cut()
}

func asClose(t testing.TB, err error) *client.CloseError {
	t.Helper()
	var e *client.CloseError
	if !errors.As(err, &e) {
		t.Fatalf("%v is no close code", err)
	}
	return e
}
