package ws_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/ws"
	"cityhub/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a demo city with a real HTTP server.
type server struct {
	*streamtest.Demo
	url  string // ws://…/stream
	addr string
	sent int // readings that witnesses were to see, one test at a time
}

type bearer struct{}

// gate takes the Authorization header, as the HTTP middleware will.
type gate struct {
	*streamtest.Gate
	demo *streamtest.Demo
}

// demoView knows the Datasets of a Demo by their codes.
type demoView struct {
	streams.View
	demo *streamtest.Demo
}

// SeesDataset implements streams.DatasetView.
func (v demoView) SeesDataset(code string) bool {
	return v.Sees(&twin.Datastream{Dataset: v.demo.Dataset(code)})
}

func (g gate) View(ctx context.Context, token string) (streams.View, string, error) {
	if h, _ := ctx.Value(bearer{}).(string); token == "" {
		token = strings.TrimPrefix(h, "Bearer ")
	}
	v, role, err := g.Gate.View(ctx, token)
	if err != nil {
		return nil, role, err
	}
	return demoView{v, g.demo}, role, nil
}

func serve(t testing.TB, hub func(*streams.Options), change func(*ws.Options)) *server {
	t.Helper()
	d := streamtest.NewDemo(t, hub)
	o := ws.Options{Hub: d.Hub, Auth: gate{d.Gate, d}, Problem: streamtest.Problem, Name: "cityhub/0.1.0", Clock: streamtest.Clock, CloseGrace: 300 * time.Millisecond}
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
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ReadHeaderTimeout = 2 * time.Second
	srv.Start()
	t.Cleanup(srv.Close)
	addr := strings.TrimPrefix(srv.URL, "http://")
	return &server{Demo: d, url: "ws://" + addr + "/stream", addr: addr}
}

// client is a gorilla client.
type client struct {
	t    testing.TB
	conn *websocket.Conn
	cbor bool // what it sends and gets is CBOR on the wire
}

func (s *server) dial(t testing.TB, header http.Header) *client {
	t.Helper()
	return s.dialAs(t, header, websocket.Dialer{Subprotocols: []string{ws.Subprotocol}})
}

// compressing offers permessage-deflate.
var compressing = websocket.Dialer{Subprotocols: []string{ws.Subprotocol}, EnableCompression: true}

func (s *server) dialAs(t testing.TB, header http.Header, d websocket.Dialer) *client {
	t.Helper()
	d.HandshakeTimeout = 5 * time.Second
	conn, resp, err := d.Dial(s.url, header)
	if err != nil {
		t.Fatalf("dial: %v, %v", err, resp)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	return &client{t, conn, conn.Subprotocol() == ws.SubprotocolCBOR}
}

// greeted is a client that has read its welcome.
func (s *server) greeted(t testing.TB) *client {
	c := s.dial(t, nil)
	c.expect(`{"type":"welcome"}`)
	return c
}

func (c *client) send(msg string) {
	c.t.Helper()
	kind, data := websocket.TextMessage, []byte(msg)
	if c.cbor {
		var v any
		d := json.NewDecoder(strings.NewReader(msg))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			c.t.Fatal(err)
		}
		b, err := cbor.Marshal(numbers(v))
		if err != nil {
			c.t.Fatal(err)
		}
		kind, data = websocket.BinaryMessage, b
	}
	if err := c.conn.WriteMessage(kind, data); err != nil {
		c.t.Fatal(err)
	}
}

var cborIn = func() cbor.DecMode {
	m, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// numbers makes numbers of CBOR of those of JSON.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

func (c *client) read() string {
	c.t.Helper()
	kind, data, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	if c.cbor && kind == websocket.BinaryMessage {
		var v any
		if err := cborIn.Unmarshal(data, &v); err != nil {
			c.t.Fatalf("%x: %v", data, err)
		}
		if data, err = json.Marshal(v); err != nil {
			c.t.Fatal(err)
		}
	} else if c.cbor || kind != websocket.TextMessage {
		c.t.Fatalf("a message of kind %d", kind)
	}
	return string(data)
}

// expect reads a message and checks the members that want names.
func (c *client) expect(want string) string {
	c.t.Helper()
	got := c.read()
	var g, w map[string]any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		c.t.Fatalf("%s: %v", got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		c.t.Fatal(err)
	}
	for k, v := range w {
		if !reflect.DeepEqual(g[k], v) {
			c.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
	return got
}

// expectClose reads on until the connection is closed and checks the code.
func (c *client) expectClose(code streams.CloseCode) string {
	c.t.Helper()
	for {
		_, _, err := c.conn.ReadMessage()
		if err == nil {
			continue
		}
		var e *websocket.CloseError
		if !errors.As(err, &e) || e.Code != int(code) {
			c.t.Fatalf("ended with %v, want close code %d", err, code)
		}
		return e.Text
	}
}

func get(t testing.TB, url string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, strings.Replace(url, "ws://", "http://", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, resp.Header.Get("Sec-WebSocket-Protocol")
	}
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}
