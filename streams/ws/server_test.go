package ws_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/ws"
	"cityhub/twin"
)

func handshake(extra ...string) http.Header {
	h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	for i := 0; i < len(extra); i += 2 {
		h.Set(extra[i], extra[i+1])
	}
	return h
}

func TestHandshake(t *testing.T) {
	s := serve(t, nil, func(o *ws.Options) { o.Origins = streams.Origins{"https://twin.example.cn"} })
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
		body   string
	}{
		{"no Origin", handshake(), 101, ""},
		{"own Origin", handshake("Origin", "http://"+s.addr), 101, ""},
		{"allowed Origin", handshake("Origin", "https://twin.example.cn"), 101, ""},
		{"foreign Origin", handshake("Origin", "https://evil.example"), 403, "origin"},
		{"allowed host by another scheme", handshake("Origin", "http://twin.example.cn"), 403, "origin"},
		{"null Origin", handshake("Origin", "null"), 403, "origin"},
		{"subprotocol", handshake("Sec-WebSocket-Protocol", "other, cityhub.v1.json"), 101, "cityhub.v1.json"},
		{"unknown subprotocol", handshake("Sec-WebSocket-Protocol", "cityhub.v9.json"), 400, "cityhub.v1.json"},
		{"bad token", handshake("Authorization", "Bearer wrong"), 401, "token"},
		{"good token", handshake("Authorization", "Bearer "+streamtest.OperatorToken), 101, ""},
		{"no upgrade", http.Header{}, 400, "handshake"},
		{"old version", handshake("Sec-Websocket-Version", "8"), 400, "handshake"},
		{"bad key", handshake("Sec-Websocket-Key", "x"), 400, "handshake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := get(t, s.url, tt.header)
			if status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("%d %q, want %d with %q", status, body, tt.status, tt.body)
			}
		})
	}
}

func TestHeaderTokenGivesItsView(t *testing.T) {
	s := serve(t, nil, nil)
	c := s.dial(t, http.Header{"Authorization": {"Bearer " + streamtest.OperatorToken}})
	c.expect(`{"type":"welcome","role":"admin"}`)
	c.send(`{"type":"subscribe","id":"s"}`)
	c.expect(`{"type":"subscribed"}`)
	if snap := c.expect(`{"type":"snapshot","last":true}`); !strings.Contains(snap, "gusu-fire-01") {
		t.Errorf("the operator does not see the fire terminal in %s", snap)
	}
	// 上海市数据条例 第三十九条: revoked, the open socket closes.
	s.Gate.Grant(streamtest.OperatorToken, false)
	start := time.Now()
	s.Hub.Invalidate()
	c.expectClose(streams.CloseAccess)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("R29: closed after %v", d)
	}
}

func TestR28ErrorsTellNothingOfAClosedDataset(t *testing.T) {
	s := serve(t, nil, nil)
	c := s.greeted(t)
	var hidden, missing string
	for i, id := range []int{14, 999} {
		c.send(fmt.Sprintf(`{"type":"subscribe","id":"s","filter":{"datastreams":[%d]}}`, id))
		c.expect(`{"type":"subscribed"}`)
		snap := c.expect(fmt.Sprintf(`{"type":"snapshot","view":"v%d","last":true}`, i+1))
		if snap = snap[strings.Index(snap, `"last"`):]; i == 0 {
			hidden = snap
		} else {
			missing = snap
		}
	}
	if hidden != missing {
		t.Errorf("a closed Datastream shows as %s, a missing one as %s", hidden, missing)
	}
}

func TestMalformedMessages(t *testing.T) {
	s := serve(t, nil, nil)
	for _, tt := range []struct {
		name string
		kind int
		data string
		code streams.CloseCode
	}{
		{"no JSON", websocket.TextMessage, "hello", streams.CloseMalformed},
		{"cut JSON", websocket.TextMessage, `{"type":"ping"`, streams.CloseMalformed},
		{"a list", websocket.TextMessage, `[]`, streams.CloseMalformed},
		{"null", websocket.TextMessage, `null`, streams.CloseMalformed},
		{"nothing", websocket.TextMessage, ``, streams.CloseMalformed},
		{"no type", websocket.TextMessage, `{}`, streams.CloseMalformed},
		{"unknown type", websocket.TextMessage, `{"type":"drop table"}`, streams.CloseMalformed},
		{"number as type", websocket.TextMessage, `{"type":7}`, streams.CloseMalformed},
		{"number as id", websocket.TextMessage, `{"type":"subscribe","id":7}`, streams.CloseMalformed},
		{"text as t", websocket.TextMessage, `{"type":"ping","t":"x"}`, streams.CloseMalformed},
		{"invalid UTF-8", websocket.TextMessage, "{\"type\":\"subscribe\",\"id\":\"\xff\"}", 1007},
		{"binary", websocket.BinaryMessage, `{"type":"ping"}`, streams.CloseMalformed},
		{"deep", websocket.TextMessage, strings.Repeat("[", 60000), streams.CloseMalformed},
		{"large", websocket.TextMessage, `{"type":"ping","x":"` + strings.Repeat("x", 256<<10) + `"}`, streams.CloseTooLarge},
		{"very large", websocket.TextMessage, strings.Repeat("x", 4<<20), streams.CloseTooLarge},
		{"no token", websocket.TextMessage, `{"type":"auth"}`, streams.CloseUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.greeted(t)
			_ = c.conn.WriteMessage(tt.kind, []byte(tt.data)) // the server may close before all is written
			if text := c.expectClose(tt.code); text == "" {
				t.Error("no reason")
			}
		})
	}
}

func TestBadFilters(t *testing.T) {
	s := serve(t, nil, nil)
	c := s.greeted(t)
	for _, tt := range []struct{ filter, field string }{
		{`[]`, "filter"}, {`"pm25"`, "filter"},
		{`{"bbox":[1,2,3]}`, "filter.bbox"}, {`{"bbox":"1,2,3,4"}`, "filter.bbox"}, {`{"bbox":[1,2,3,"x"]}`, "filter.bbox"}, {`{"bbox":[1,2,3,400]}`, "filter.bbox"},
		{`{"datastreams":[1.5]}`, "filter.datastreams"}, {`{"datastreams":[]}`, "filter.datastreams"}, {`{"datastreams":["12"]}`, "filter.datastreams"},
		{`{"observedProperties":"pm25"}`, "filter.observedProperties"}, {`{"observedProperties":[]}`, "filter.observedProperties"},
		{`{"bounds":[1,2,3,4]}`, "filter.bounds"},
	} {
		c.send(`{"type":"subscribe","id":"s","filter":` + tt.filter + `}`)
		c.expect(fmt.Sprintf(`{"type":"error","id":"s","code":"invalid","field":%q}`, tt.field))
	}
	c.send(`{"type":"subscribe","filter":{}}`)
	c.expect(`{"type":"error","code":"invalid","field":"id"}`)
	c.send(`{"type":"subscribe","id":"ok","filter":null,"later":1}`)
	c.expect(`{"type":"subscribed","id":"ok"}`)
}

func TestTooManySubscriptions(t *testing.T) {
	s := serve(t, func(o *streams.Options) { o.MaxSubscriptions = 3 }, nil)
	c := s.greeted(t)
	for i := range 4 {
		c.send(fmt.Sprintf(`{"type":"subscribe","id":"s%d"}`, i))
	}
	c.expectClose(streams.CloseTooManySubs)
}

func TestTooManyClients(t *testing.T) {
	s := serve(t, func(o *streams.Options) { o.MaxClients, o.MaxIdentityClients = 2, 2 }, nil)
	a := s.greeted(t)
	s.greeted(t)
	if status, _ := get(t, s.url, handshake()); status != 429 {
		t.Errorf("the third client gets %d", status)
	}
	_ = a.conn.Close()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if status, _ := get(t, s.url, handshake()); status == 101 {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("after one left: %d", status)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestIdleClientIsClosed(t *testing.T) {
	s := serve(t, func(o *streams.Options) { o.Heartbeat = 50 * time.Millisecond }, nil)
	deaf, well := s.greeted(t), s.greeted(t)
	deaf.conn.SetPingHandler(func(string) error { return nil })
	done := make(chan struct{})
	go func() { // answers pings while it reads
		defer close(done)
		for {
			if _, _, err := well.conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	start := time.Now()
	deaf.expectClose(streams.CloseIdle)
	if d := time.Since(start); d < 100*time.Millisecond {
		t.Errorf("closed after %v", d)
	}
	well.send(`{"type":"ping","t":1}`)
	select {
	case <-done:
		t.Error("the client that answers was closed, too")
	case <-time.After(200 * time.Millisecond):
	}
	_ = well.conn.Close()
	<-done
}

func TestSlowConsumerIsClosedAndOthersAreNot(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := serve(t, func(o *streams.Options) { o.QueueBytes = 64 << 10; o.Metrics = reg; o.Heartbeat = time.Hour }, func(o *ws.Options) { o.SendBuffer = 4 << 10 })
	slow := s.greeted(t)
	_ = slow.conn.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
	quick := s.greeted(t)
	for _, c := range []*client{slow, quick} {
		c.send(`{"type":"subscribe","id":"s","filter":{"datastreams":[12]}}`)
		c.expect(`{"type":"subscribed"}`)
		c.expect(`{"type":"snapshot"}`)
	}
	// Each record is one delta of about 9 KB.
	const records = 300
	offset := uint64(0)
	for i := range records {
		rows := make([]twin.Observation, 300)
		for j := range rows {
			rows[j] = streamtest.Reading(12, int64(1790000001000+i*1000+j), float64(j)+0.25)
		}
		offset = s.Log.Append(rows...).Offset
		for { // the quick one reads as they come
			if msg := quick.expect(`{"type":"delta"}`); strings.Contains(msg, fmt.Sprintf(`"offset":%d}`, offset)) {
				break
			}
		}
	}
	slow.expectClose(streams.CloseSlow)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "cityhub_stream_closed_total" {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == "4100" && m.GetCounter().GetValue() == 1 {
					return
				}
			}
		}
	}
	t.Error("no metric of the slow client")
}

// A client that takes nothing at all does not hold up the shutdown.
func TestShutdownWithAStuckClient(t *testing.T) {
	s := serve(t, nil, func(o *ws.Options) { o.SendBuffer = 4 << 10 })
	stuck, well := s.greeted(t), s.greeted(t)
	_ = stuck.conn.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
	stuck.send(`{"type":"subscribe","id":"s"}`)
	stuck.expect(`{"type":"subscribed"}`)
	for i := range 300 {
		rows := make([]twin.Observation, 100)
		for j := range rows {
			rows[j] = streamtest.Reading(12, int64(1790000001000+i*1000+j), 1)
		}
		s.Log.Append(rows...)
	}
	s.Settle(t)
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { well.expectClose(streams.CloseShutdown) })
	if err := s.Hub.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	if status, _ := get(t, s.url, handshake()); status != 503 {
		t.Errorf("after the shutdown: %d", status)
	}
}

// A client that floods the server is slowed down, and served.
func TestFloodIsSlowedDown(t *testing.T) {
	s := serve(t, nil, func(o *ws.Options) { o.MessagesPerSecond = 100 })
	c := s.greeted(t)
	start := time.Now()
	const n = 260 // 200 at once, 60 at 100 a second
	for range n {
		c.send(`{"type":"ping","t":1}`)
	}
	for range n {
		c.expect(`{"type":"pong"}`)
	}
	if d := time.Since(start); d < 500*time.Millisecond {
		t.Errorf("%d messages in %v", n, d)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	d := streamtest.NewDemo(t, nil)
	good := ws.Options{Hub: d.Hub, Auth: d.Gate, Problem: streamtest.Problem}
	for name, change := range map[string]func(*ws.Options){
		"no hub": func(o *ws.Options) { o.Hub = nil }, "no authenticator": func(o *ws.Options) { o.Auth = nil }, "no problem": func(o *ws.Options) { o.Problem = nil },
		"negative limit": func(o *ws.Options) { o.ReadLimit = -1 }, "origin with path": func(o *ws.Options) { o.Origins = streams.Origins{"https://a.example/x"} },
		"origin without scheme": func(o *ws.Options) { o.Origins = streams.Origins{"a.example"} },
	} {
		o := good
		change(&o)
		if _, err := ws.New(o); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
