package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"cityhub/streams/client"
	"cityhub/streams/client/internal/scripttest"
	"cityhub/twin"
)

// The tests of this file play what a hub does at moments that cannot be chosen
// with a real one.

const (
	welcome    = `{"type":"welcome","protocol":"cityhub.v1","server":"script/1","epoch":"e","time":"2026-09-21T14:13:20.000Z","role":"public","heartbeatSeconds":10,"maxSubscriptions":32,"minIntervalMs":50}`
	older      = `{"type":"welcome","protocol":"cityhub.v1","server":"script/0","epoch":"e","time":"2026-09-21T14:13:20.000Z","role":"public","heartbeatSeconds":10,"maxSubscriptions":32}`
	subscribe  = `{"type":"subscribe","id":"a","filter":{}}`
	subscribed = `{"type":"subscribed","id":"a","view":"v1"}`
)

func snapshot(offset int, last bool, obs string) string {
	return fmt.Sprintf(`{"type":"snapshot","view":"v1","position":{"epoch":"e","offset":%d},"time":"2026-09-21T14:13:20.000Z","last":%v,"datastreams":[],"observations":[%s]}`, offset, last, obs)
}

func delta(view string, offset int, obs string) string {
	return fmt.Sprintf(`{"type":"delta","view":%q,"position":{"epoch":"e","offset":%d},"observations":[%s]}`, view, offset, obs)
}

func after(offset int) string {
	return fmt.Sprintf(`{"type":"subscribe","id":"a","filter":{},"after":{"epoch":"e","offset":%d}}`, offset)
}

// play starts a client with subscription a and leads it to its snapshot.
func play(t *testing.T, change func(*client.Options)) (*scripttest.Server, *scripttest.Conn, *listener) {
	t.Helper()
	s := scripttest.New(t)
	o := client.Options{URL: s.URL, Subscribe: []client.Request{{ID: "a"}}, RetryDial: true}
	if change != nil {
		change(&o)
	}
	l := dial(t, o)
	c := s.Accept()
	c.Say(welcome)
	want[*client.Connected](l)
	return s, c, l
}

// begun is play with the snapshot at offset 3.
func begun(t *testing.T, change func(*client.Options)) (*scripttest.Server, *scripttest.Conn, *listener) {
	t.Helper()
	s, c, l := play(t, change)
	c.Hear(subscribe)
	c.Say(subscribed, snapshot(3, true, "[1,1000,5,1]"))
	want[*client.Subscribed](l)
	want[*client.Snapshot](l)
	return s, c, l
}

func again(t *testing.T, s *scripttest.Server, l *listener, code int, c *scripttest.Conn) *scripttest.Conn {
	t.Helper()
	c.Close(code)
	want[*client.Disconnected](l)
	c = s.Accept()
	c.Say(welcome)
	want[*client.Connected](l)
	return c
}

func TestResume(t *testing.T) {
	s, c, l := begun(t, nil)
	c.Say(delta("v1", 7, "[1,2000,6,1]"))
	want[*client.Delta](l)
	c = again(t, s, l, 0, c)
	c.Hear(after(7))
	c.Say(`{"type":"subscribed","id":"a","view":"v9","resumed":true}`, delta("v9", 9, "[1,3000,7,1]"))
	if sub := want[*client.Subscribed](l); !sub.Resumed {
		t.Error("not resumed")
	}
	if d := want[*client.Delta](l); d.Position.Offset != 9 || d.Observations[0].Result.Value != 7 {
		t.Errorf("%s", show(d))
	}
	// A heartbeat moves the place on: a quiet view stays resumable.
	c.Say(`{"type":"heartbeat","position":{"epoch":"e","offset":50},"time":"2026-09-21T14:13:20.000Z"}`)
	if ev, err := l.Next(t.Context()); err != nil || ev.(*client.Heartbeat).Position.Offset != 50 {
		t.Errorf("%v, %v", ev, err)
	}
	c = again(t, s, l, 4100, c)
	c.Hear(after(50))
	// The log no longer reaches back: the gap comes before the snapshot.
	c.Say(`{"type":"subscribed","id":"a","view":"v1","resumed":false,"reason":"the log begins at 60"}`, snapshot(70, false, ""), snapshot(70, true, "[1,4000,8,1]"))
	want[*client.Subscribed](l)
	if g := want[*client.Gap](l); g.After.Offset != 50 || g.Reason != "the log begins at 60" {
		t.Errorf("%+v", g)
	}
	if p := want[*client.Snapshot](l); !p.First || p.Last {
		t.Errorf("%s", show(p))
	}
	if p := want[*client.Snapshot](l); p.First || !p.Last {
		t.Errorf("%s", show(p))
	}
}

// A snapshot that was cut is no place to resume at.
func TestCutSnapshot(t *testing.T) {
	s, c, l := play(t, nil)
	c.Hear(subscribe)
	c.Say(subscribed, snapshot(3, false, "[1,1000,5,1]"))
	want[*client.Subscribed](l)
	want[*client.Snapshot](l)
	c = again(t, s, l, 0, c)
	c.Hear(subscribe)
	c.Say(subscribed, snapshot(4, true, ""))
	want[*client.Subscribed](l) // nothing was complete before: no gap
	if p := want[*client.Snapshot](l); !p.First || !p.Last {
		t.Errorf("%s", show(p))
	}
}

// A delta between the parts of a snapshot counts from it on.
func TestDeltaWithinSnapshot(t *testing.T) {
	s, c, l := play(t, nil)
	c.Hear(subscribe)
	c.Say(subscribed, snapshot(3, false, ""), delta("v1", 5, "[1,2000,6,1]"), snapshot(3, true, ""))
	want[*client.Subscribed](l)
	want[*client.Snapshot](l)
	want[*client.Delta](l)
	want[*client.Snapshot](l)
	again(t, s, l, 0, c).Hear(after(5))
}

// The hub begins anew in the middle: that may hide readings, unless none came.
func TestUnaskedSnapshot(t *testing.T) {
	_, c, l := begun(t, nil)
	c.Say(snapshot(3, true, ""))
	want[*client.Snapshot](l)
	c.Say(snapshot(5, true, ""))
	if g := want[*client.Gap](l); g.After.Offset != 3 {
		t.Errorf("%+v", g)
	}
	want[*client.Snapshot](l)
	// What comes again is left out, what is new in it is not.
	c.Say(delta("v1", 5, "[1,1,1,1]"), `{"type":"delta","view":"v1","position":{"epoch":"e","offset":5},"observations":[],"datastreams":[{"id":1,"terminal":"renamed"}],"left":[4]}`)
	if d := want[*client.Delta](l); len(d.Observations) != 0 || d.Datastreams[0].Terminal != "renamed" || d.Left[0] != 4 {
		t.Errorf("%s", show(d))
	}
}

func TestLatestHasNoGapAndIgnoresHeartbeats(t *testing.T) {
	const ask = `{"type":"subscribe","id":"a","filter":{},"mode":"latest","minIntervalMs":500}`
	s, c, l := play(t, func(o *client.Options) {
		o.Subscribe = []client.Request{{ID: "a", Mode: client.Latest, MinInterval: 500 * time.Millisecond}}
	})
	c.Hear(ask)
	c.Say(subscribed, snapshot(3, true, ""), `{"type":"heartbeat","position":{"epoch":"e","offset":50},"time":""}`)
	want[*client.Subscribed](l)
	want[*client.Snapshot](l)
	// A value may be held back behind the heartbeat: 3 is what is certain.
	c = again(t, s, l, 0, c)
	c.Hear(ask[:len(ask)-1] + `,"after":{"epoch":"e","offset":3}}`)
	c.Say(`{"type":"subscribed","id":"a","view":"v1","resumed":false}`, snapshot(60, true, ""))
	want[*client.Subscribed](l)
	want[*client.Snapshot](l)
}

func TestUpdates(t *testing.T) {
	s, c, l := begun(t, nil)
	sub, err := l.Subscribe(client.Request{ID: "b", Filter: client.Filter{CQL: "value > 3"}, After: twin.Position{Epoch: "e", Offset: 2}, Events: []string{"terminal"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Hear(`{"type":"subscribe","id":"b","filter":{"cql":"value > 3"},"after":{"epoch":"e","offset":2},"events":["terminal"]}`)
	// Moves while the hub has not answered: only the last counts.
	for i := range 5 {
		if err := sub.Update(client.Filter{BBox: &client.BBox{float64(i), 0, float64(i + 1), 1}}); err != nil {
			t.Fatal(err)
		}
	}
	c.Say(`{"type":"subscribed","id":"b","view":"v2","resumed":true}`)
	want[*client.Subscribed](l)
	c.Hear(`{"type":"update","id":"b","filter":{"bbox":[4,0,5,1]}}`)
	c.Say(delta("v2", 4, "[9,1000,1,1]"))
	want[*client.Delta](l)
	for i := range 3 {
		if err := sub.Update(client.Filter{Datastreams: []twin.DatastreamID{twin.DatastreamID(i + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	c.Say(`{"type":"changed","id":"b","view":"v3","position":{"epoch":"e","offset":6},"left":[9],"datastreams":[{"id":2,"terminal":"t"}],"observations":[],"last":false}`,
		`{"type":"changed","id":"b","view":"v3","position":{"epoch":"e","offset":6},"left":[],"datastreams":[],"observations":[[2,1000,"x",1]],"last":true}`,
		delta("v2", 7, "[9,1000,1,1]"), delta("v3", 7, "[2,2000,1,1]"))
	if ch := want[*client.Changed](l); !ch.First || ch.Last || ch.Left[0] != 9 || ch.Datastreams[0].Terminal != "t" {
		t.Errorf("%s", show(ch))
	}
	if ch := want[*client.Changed](l); ch.First || !ch.Last || ch.Observations[0].Result.Text != "x" {
		t.Errorf("%s", show(ch))
	}
	if d := want[*client.Delta](l); d.Observations[0].Datastream != 2 {
		t.Errorf("of the old view came %s", show(d))
	}
	c.Hear(`{"type":"update","id":"b","filter":{"datastreams":[3]}}`)
	// A change that the connection takes with it is made again, on top of what was.
	c.Close(0)
	want[*client.Disconnected](l)
	c = s.Accept()
	c.Say(welcome)
	c.Hear(after(3))
	c.Hear(`{"type":"subscribe","id":"b","filter":{"bbox":[4,0,5,1]},"after":{"epoch":"e","offset":7},"events":["terminal"]}`)
	c.Say(`{"type":"subscribed","id":"b","view":"v8","resumed":true}`)
	c.Hear(`{"type":"update","id":"b","filter":{"datastreams":[3]}}`)
	c.Say(`{"type":"error","id":"b","code":"invalid","field":"filter.datastreams","message":"no"}`, delta("v8", 8, "[2,3000,1,1]"),
		`{"type":"event","id":"b","kind":"terminal","time":"2026-09-21T14:13:20.000Z","terminal":"t1","state":"offline"}`)
	want[*client.Connected](l)
	want[*client.Subscribed](l)
	if f := want[*client.Failed](l); f.Err.Op != "update" || f.Subscription != "b" {
		t.Errorf("%+v", f)
	}
	want[*client.Delta](l) // it stayed as it was
	if e := want[*client.CityEvent](l); e.Kind != "terminal" || e.Members["state"] != "offline" || e.Time.IsZero() {
		t.Errorf("%s", show(e))
	}
}

// A hub without the message update gets the subscription anew.
func TestUpdateOfAnOlderHub(t *testing.T) {
	s := scripttest.New(t)
	l := dial(t, client.Options{URL: s.URL, RetryDial: true})
	sub, err := l.Subscribe(client.Request{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Say(older)
	c.Hear(subscribe)
	c.Say(subscribed, snapshot(3, true, ""))
	want[*client.Connected](l)
	want[*client.Subscribed](l)
	want[*client.Snapshot](l)
	if err := sub.Update(client.Filter{Datastreams: []twin.DatastreamID{1}}); err != nil {
		t.Fatal(err)
	}
	c.Hear(`{"type":"subscribe","id":"a","filter":{"datastreams":[1]}}`)
	c.Say(`{"type":"subscribed","id":"a","view":"v2"}`, strings.Replace(snapshot(5, true, ""), "v1", "v2", 1))
	want[*client.Subscribed](l)
	want[*client.Gap](l)
	want[*client.Snapshot](l)
}

func TestUnavailableIsAskedAgain(t *testing.T) {
	_, c, l := play(t, nil)
	c.Hear(subscribe)
	c.Say(`{"type":"error","id":"a","code":"unavailable","message":"too many snapshots"}`)
	if f := want[*client.Failed](l); f.Retry <= 0 {
		t.Errorf("%+v", f)
	}
	c.Hear(subscribe)
	c.Say(subscribed)
	want[*client.Subscribed](l)
}

func TestRefusedPositionFallsBack(t *testing.T) {
	_, c, l := play(t, func(o *client.Options) { o.Subscribe[0].After = twin.Position{Epoch: "x", Offset: 9} })
	c.Hear(`{"type":"subscribe","id":"a","filter":{},"after":{"epoch":"x","offset":9}}`)
	c.Say(`{"type":"error","id":"a","code":"invalid","field":"after.epoch","message":"another log"}`)
	want[*client.Gap](l)
	c.Hear(subscribe)
}

func TestCloseCodes(t *testing.T) {
	for _, code := range []int{4000, 4001, 4003, 4009, 4013, 4029, 4099} {
		s, c, l := begun(t, nil)
		c.Close(code)
		if e := asClose(t, l.ends()); e.Code != code {
			t.Errorf("%d ends with %v", code, e)
		}
		s.None(60 * time.Millisecond)
	}
	for _, code := range []int{1000, 1001, 1011, 4100, 4101, 4102, 4103, 4199} {
		s, c, l := begun(t, nil)
		again(t, s, l, code, c)
	}
}

func TestHTTPRefusals(t *testing.T) {
	for status, code := range map[int]twin.Code{401: twin.CodeUnauthorized, 403: twin.CodeForbidden, 404: twin.CodeNotFound, 400: twin.CodeInvalid} {
		s := scripttest.New(t)
		s.Refuse <- status
		l := dial(t, client.Options{URL: s.URL, RetryDial: true})
		err := l.ends()
		var e *twin.Error
		if !errors.As(err, &e) || e.Code != code || e.Message != "the script says no" || e.Hint != "read the script" {
			t.Errorf("%d ends with %v", status, err)
		}
	}
	for _, status := range []int{429, 500, 502, 503} {
		s := scripttest.New(t)
		s.Refuse <- status
		l := dial(t, client.Options{URL: s.URL, RetryDial: true})
		want[*client.Disconnected](l)
		s.Accept().Say(welcome)
		want[*client.Connected](l)
	}
	// A proxy that loses sight of its hub for a moment.
	s, c, l := begun(t, nil)
	s.Refuse <- 404
	c.Close(0)
	want[*client.Disconnected](l)
	want[*client.Disconnected](l)
	s.Accept().Say(welcome)
	want[*client.Connected](l)
	s.Refuse <- 401
}

func TestSilence(t *testing.T) {
	s, c, l := play(t, nil)
	c.Hear(subscribe)
	// With a heartbeat of 100 ms silence is noticed after 250 ms.
	c.Close(0)
	want[*client.Disconnected](l)
	c = s.Accept()
	c.Say(strings.Replace(welcome, `"heartbeatSeconds":10`, `"heartbeatSeconds":0.1`, 1))
	began := time.Now()
	want[*client.Connected](l)
	d := want[*client.Disconnected](l)
	if took := time.Since(began); took < 200*time.Millisecond || took > 5*time.Second || !strings.Contains(d.Err.Error(), "silent") {
		t.Errorf("after %v: %v", took, d.Err)
	}
}

func TestHubThatNeverWelcomes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if _, err := client.Dial(t.Context(), client.Options{URL: "http://" + ln.Addr().String(), DialTimeout: 50 * time.Millisecond}); err == nil {
		t.Error("no error")
	}
	s := scripttest.New(t)
	if _, err := client.Dial(t.Context(), client.Options{URL: s.URL, DialTimeout: 50 * time.Millisecond}); err == nil {
		t.Error("no error without a welcome")
	}
}

func TestWhatIsNoMessage(t *testing.T) {
	for _, raw := range []string{`{"type":"delta","view":"v1","observations":[[1]]}`, `{`, `[]`, `{}`, "{\"type\":\"\xff\"}", `{"type":"snapshot"} x`, strings.Repeat("[", 1000), `{"x":` + strings.Repeat("[", 1000)} {
		s, c, l := begun(t, nil)
		c.Raw(websocket.TextMessage, []byte(raw))
		if d := want[*client.Disconnected](l); d.Err == nil {
			t.Errorf("%q: no error", raw)
		}
		s.Accept().Say(welcome)
	}
	_, c, l := begun(t, func(o *client.Options) { o.MaxMessage = 4096 })
	c.Raw(websocket.TextMessage, []byte(`{"type":"x","x":"`+strings.Repeat("x", 4096)+`"}`))
	want[*client.Disconnected](l)
	// What is new in the protocol is passed over.
	_, c, l = begun(t, nil)
	c.Say(`{"type":"from the future","x":[{"y":"\u4e2d"}]}`, `{"type":"changed","id":"zz","view":"v"}`, `{"type":"subscribed","id":"zz","view":"v"}`, `{"type":"delta","view":"zz","observations":[]}`,
		`{"type":"delta","view":"v1","new":null,"position":{"epoch":"e","offset":4,"shard":1},"observations":[[1,-1.5,null,9,"more"]]}`, `{"type":"pong"}`, `{"type":"error","code":"invalid","message":"a b"}`)
	if d := want[*client.Delta](l); d.Observations[0] != (client.Observation{Datastream: 1, PhenomenonNs: -1500000, Quality: 9}) {
		t.Errorf("%s", show(d))
	}
	if f := want[*client.Failed](l); f.Subscription != "" || f.Err.Message != "a b" {
		t.Errorf("%+v", f)
	}
}

func TestCBOR(t *testing.T) {
	s := scripttest.New(t)
	l := dial(t, client.Options{URL: s.URL, Encoding: client.CBOR, Token: "tok", RetryDial: true, Subscribe: []client.Request{{ID: "a", Filter: client.Filter{BBox: &client.BBox{120, 31.5, 121, 32}, Datastreams: []twin.DatastreamID{1 << 40}}}}})
	c := s.Accept()
	if got := c.Header.Get("Authorization"); got != "Bearer tok" || c.Path != "/stream" {
		t.Errorf("%q at %s", got, c.Path)
	}
	c.Say(welcome)
	c.Hear(`{"type":"subscribe","id":"a","filter":{"bbox":[120,31.5,121,32],"datastreams":[1099511627776]}}`)
	c.Say(subscribed, `{"type":"snapshot","view":"v1","position":{"epoch":"e","offset":3},"time":"2026-09-21T14:13:20.000Z","last":true,"datastreams":[{"id":1,"terminal":"塔","lon":120.5,"lat":null,"simulated":true}],"observations":[[1,1790000000000,5,1],[1,1790000000000.5,-2.5,4],[2,-7,"x",2],[3,0,true,3],[3,0,null,9]]}`,
		`{"type":"event","id":"a","kind":"model","time":"2026-09-21T14:13:20.000Z","counts":{"buildings":3}}`)
	if w := want[*client.Connected](l); w.Heartbeat != 10*time.Second || w.MaxSubscriptions != 32 {
		t.Errorf("%s", show(w))
	}
	want[*client.Subscribed](l)
	p := want[*client.Snapshot](l)
	if d := p.Datastreams[0]; d.Terminal != "塔" || *d.Lon != 120.5 || d.Lat != nil || !d.Simulated || p.Position.Offset != 3 || !p.Last {
		t.Errorf("%s", show(p))
	}
	if got := fmt.Sprint(p.Observations); got != "[{1 1790000000000000000 5 good} {1 1790000000000500000 -2.5 bad} {2 -7000000 x not-evaluated} {3 0 true suspect} {3 0 - missing}]" {
		t.Error(got)
	}
	if e := want[*client.CityEvent](l); e.Kind != "model" || e.Members["counts"].(map[string]any)["buildings"] != uint64(3) {
		t.Errorf("%s", show(e))
	}
	c.Raw(websocket.BinaryMessage, []byte{0xa1, 0x61})
	want[*client.Disconnected](l)
}

func TestContextEndsTheClient(t *testing.T) {
	s := scripttest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := client.Dial(ctx, client.Options{URL: s.URL, RetryDial: true})
	if err != nil {
		t.Fatal(err)
	}
	conn := s.Accept()
	conn.Say(welcome)
	l := &listener{t, c}
	want[*client.Connected](l)
	cancel()
	if err := l.ends(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	conn.Ended()
	_ = c.Close()
	short, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	s2 := scripttest.New(t)
	l2 := dial(t, client.Options{URL: s2.URL, RetryDial: true})
	if _, err := l2.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next gives %v", err)
	}
}

// The queue is bounded, and Close does not wait for a caller who never reads.
func TestFullQueue(t *testing.T) {
	_, c, l := begun(t, func(o *client.Options) { o.QueueEvents = 3 })
	for i := range 50 {
		c.Say(delta("v1", 10+i, "[1,1000,1,1]"))
	}
	for l.Stats().Waits == 0 {
		time.Sleep(time.Millisecond) // the connection's goroutine has no event for it
	}
	if st := l.Stats(); st.Queued != 3 || st.QueuedBytes == 0 {
		t.Errorf("%+v", st)
	}
	for i := range 20 {
		if d := want[*client.Delta](l); d.Position.Offset != uint64(10+i) {
			t.Fatalf("delta %d is at %v", i, d.Position)
		}
	}
	_ = l.Close()
}

func TestOptions(t *testing.T) {
	for _, o := range []client.Options{
		{}, {URL: "127.0.0.1:8080"}, {URL: "ftp://h"}, {URL: "http://h", QueueEvents: -1}, {URL: "http://h", Encoding: 7},
		{URL: "http://h", Subscribe: []client.Request{{Mode: "fast"}}}, {URL: "http://h", Subscribe: []client.Request{{MinInterval: time.Second}}},
		{URL: "http://h", Subscribe: []client.Request{{ID: strings.Repeat("x", 65)}}}, {URL: "http://h", Subscribe: []client.Request{{ID: "x"}, {ID: "x"}}},
		{URL: "http://h", Subscribe: []client.Request{{Filter: client.Filter{Polygon: []byte("{")}}}},
		{URL: "http://h", Subscribe: []client.Request{{Filter: client.Filter{CQL: "a=1", CQLJSON: []byte("{}")}}}},
	} {
		if _, err := client.Dial(t.Context(), o); twin.ErrorCode(err) != twin.CodeInvalid && twin.ErrorCode(err) != twin.CodeConflict {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
