// Package scripttest plays the hub to the stream client in tests: a WebSocket
// server on a free port that says what the test tells it to, for what a real
// hub cannot be made to do at a given moment. It is for tests alone. A Conn
// belongs to the test's goroutine.
package scripttest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"
)

// limit of every wait.
const limit = 10 * time.Second

// Server accepts connections for a test.
type Server struct {
	URL   string // http://127.0.0.1:PORT
	t     testing.TB
	conns chan *Conn
	// Refuse answers requests with this status instead, if it is not zero.
	Refuse chan int
}

// New starts a Server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{t: t, conns: make(chan *Conn, 16), Refuse: make(chan int, 16)}
	up := websocket.Upgrader{Subprotocols: []string{"cityhub.v1.json", "cityhub.v1.cbor"}, EnableCompression: true}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case status := <-s.Refuse:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"title":"refused","detail":"the script says no","hint":"read the script"}`))
			return
		default:
		}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		s.conns <- &Conn{t: t, Header: r.Header, Path: r.URL.Path, ws: c}
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		for {
			select {
			case c := <-s.conns:
				_ = c.ws.Close()
			default:
				return
			}
		}
	})
	s.URL = srv.URL
	return s
}

// Accept waits for the next connection.
func (s *Server) Accept() *Conn {
	s.t.Helper()
	select {
	case c := <-s.conns:
		s.t.Cleanup(func() { _ = c.ws.Close() })
		return c
	case <-time.After(limit):
		s.t.Fatal("no connection")
		return nil
	}
}

// None checks that no connection comes for a while.
func (s *Server) None(d time.Duration) {
	s.t.Helper()
	select {
	case <-s.conns:
		s.t.Fatal("a connection that should not be")
	case <-time.After(d):
	}
}

// Conn is one connection of the client.
type Conn struct {
	Header http.Header
	Path   string
	t      testing.TB
	ws     *websocket.Conn
}

// Say sends messages, each a JSON object, in the encoding of the connection.
func (c *Conn) Say(messages ...string) {
	c.t.Helper()
	for _, m := range messages {
		kind, data := websocket.TextMessage, []byte(m)
		if c.cbor() {
			var v any
			if err := json.Unmarshal(data, &v); err != nil {
				c.t.Fatalf("%s: %v", m, err)
			}
			kind = websocket.BinaryMessage
			data, _ = cbor.Marshal(whole(v))
		}
		if err := c.ws.WriteMessage(kind, data); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Raw sends a frame as it is.
func (c *Conn) Raw(kind int, data []byte) {
	c.t.Helper()
	if err := c.ws.WriteMessage(kind, data); err != nil {
		c.t.Fatal(err)
	}
}

// Hear reads the next message and checks that it is the JSON object want.
func (c *Conn) Hear(want string) {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(limit))
	kind, data, err := c.ws.ReadMessage()
	if err != nil {
		c.t.Fatalf("instead of %s: %v", want, err)
	}
	var g, w any
	if c.cbor() {
		if kind != websocket.BinaryMessage {
			c.t.Fatal("a text message")
		}
		err = cbor.Unmarshal(data, &g)
		b, _ := json.Marshal(plain(g))
		_ = json.Unmarshal(b, &g)
	} else {
		err = json.Unmarshal(data, &g)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		c.t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		b, _ := json.Marshal(g)
		c.t.Fatalf("heard %s\nwant  %s", b, want)
	}
}

// Ended reads on until the client has gone.
func (c *Conn) Ended() {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(limit))
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			return
		}
	}
}

// Close closes with a code; 0 breaks the connection off.
func (c *Conn) Close(code int) {
	if code != 0 {
		_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "as the script says"), time.Now().Add(time.Second))
	}
	_ = c.ws.NetConn().Close()
}

func (c *Conn) cbor() bool { return c.ws.Subprotocol() == "cityhub.v1.cbor" }

// whole turns floats without a fraction into integers, as the hub does.
func whole(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			x[k] = whole(e)
		}
	case []any:
		for i, e := range x {
			x[i] = whole(e)
		}
	case float64:
		if x == float64(int64(x)) {
			return int64(x)
		}
	}
	return v
}

// plain turns CBOR's maps into JSON's.
func plain(v any) any {
	switch x := v.(type) {
	case map[any]any:
		m := map[string]any{}
		for k, e := range x {
			m[k.(string)] = plain(e)
		}
		return m
	case []any:
		for i, e := range x {
			x[i] = plain(e)
		}
	}
	return v
}
