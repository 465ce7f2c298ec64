package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/sse"
	"cityhub/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bearer struct{}

type gate struct{ *streamtest.Gate }

func (g gate) View(ctx context.Context, token string) (streams.View, string, error) {
	h, _ := ctx.Value(bearer{}).(string)
	return g.Gate.View(ctx, strings.TrimPrefix(h, "Bearer "))
}

func serve(t *testing.T, hub func(*streams.Options)) (*streamtest.Demo, string) {
	t.Helper()
	d := streamtest.NewDemo(t, hub)
	h, err := sse.New(sse.Options{Hub: d.Hub, Auth: gate{d.Gate}, Problem: streamtest.Problem, Origins: streams.Origins{"https://twin.example.cn"}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/stream/events", func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), bearer{}, r.Header.Get("Authorization"))))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	return d, srv.URL
}

// open starts a request that ends with the test.
func open(t *testing.T, addr string, header http.Header) (*http.Response, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	tr := &http.Transport{}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
	})
	return resp, bufio.NewReader(resp.Body)
}

// event reads up to the next empty line.
func event(t *testing.T, br *bufio.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, b.String())
		}
		if line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func TestProtocolExample(t *testing.T) {
	doc, err := os.ReadFile("../ws/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(doc), "```sse\n")
	if !ok {
		t.Fatal("PROTOCOL.md has no example of events")
	}
	example, _, _ = strings.Cut(example, "```")
	request, example, _ := strings.Cut(example, "\n")
	reading, want, _ := strings.Cut(example, "\n")
	var id, ms int64
	var v float64
	if n, err := fmt.Sscanf(reading, "~ reading %d %d %g", &id, &ms, &v); n != 3 {
		t.Fatal(err)
	}
	d, base := serve(t, nil)
	resp, br := open(t, base+strings.TrimPrefix(request, "GET "), nil)
	for k, v := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store"} {
		if resp.StatusCode != 200 || resp.Header.Get(k) != v {
			t.Errorf("%d, %s: %s, want %s", resp.StatusCode, k, resp.Header.Get(k), v)
		}
	}
	var got strings.Builder
	for range 2 { // retry and the snapshot come at once
		got.WriteString(event(t, br) + "\n")
	}
	d.Log.Append(streamtest.Reading(twin.DatastreamID(id), ms, v))
	got.WriteString(event(t, br) + "\n")
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// A reader that comes back gets what it missed, and nothing twice.
func TestLastEventIDResumes(t *testing.T) {
	// A position that this node has not reached is waited for, here not for long.
	d, base := serve(t, func(o *streams.Options) { o.ResumeTimeout = 50 * time.Millisecond })
	for i := range 3 {
		d.Log.Append(streamtest.Reading(12, int64(1790000001000+i), float64(i)))
	}
	d.Settle(t)
	_, br := open(t, base+"/stream/events?datastream=12", http.Header{"Last-Event-Id": {"e1:4"}})
	event(t, br) // retry
	var missed string
	for !strings.Contains(missed, "id: e1:6\n") {
		missed += event(t, br)
	}
	if strings.Contains(missed, "snapshot") || strings.Count(missed, "[12,") != 2 || !strings.Contains(missed, "[12,1790000001001,1,2]") || !strings.Contains(missed, "[12,1790000001002,2,2]") {
		t.Errorf("after e1:4 comes %s", missed)
	}
	for _, id := range []string{"e9:4", "e1:99", "nonsense", ""} {
		_, br := open(t, base+"/stream/events?datastream=12", http.Header{"Last-Event-Id": {id}})
		event(t, br)
		if e := event(t, br); !strings.HasPrefix(e, "event: snapshot\n") {
			t.Errorf("after %q comes %s", id, e)
		}
	}
}

func TestOpensAreLimited(t *testing.T) {
	d := streamtest.NewDemo(t, nil)
	h, err := sse.New(sse.Options{Hub: d.Hub, Auth: gate{d.Gate}, Problem: streamtest.Problem, OpensPerSecond: 1})
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it leaves at once
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/stream/events", nil))
		last = w.Code
	}
	if last != 429 {
		t.Errorf("the twelfth gets %d", last)
	}
}

func TestHeartbeatsAreEvents(t *testing.T) {
	_, base := serve(t, func(o *streams.Options) { o.Heartbeat = 20 * time.Millisecond })
	_, br := open(t, base+"/stream/events", nil)
	for {
		if e := event(t, br); strings.HasPrefix(e, "event: heartbeat\nid: e1:3\ndata: {\"type\":\"heartbeat\"") {
			return
		}
	}
}

func TestR28EventsShowWhatTheCallerMaySee(t *testing.T) {
	d, base := serve(t, nil)
	_, public := open(t, base+"/stream/events", nil)
	_, admin := open(t, base+"/stream/events", http.Header{"Authorization": {"Bearer " + streamtest.OperatorToken}})
	event(t, public)
	event(t, admin)
	if s := event(t, public); strings.Contains(s, "gusu-fire") || !strings.Contains(s, "gusu-air-01") {
		t.Errorf("the public sees %s", s)
	}
	if s := event(t, admin); !strings.Contains(s, "gusu-fire") {
		t.Errorf("the operator sees %s", s)
	}
	// R29: the token dies, the response ends, and coming back is refused.
	d.Gate.Grant(streamtest.OperatorToken, false)
	d.Hub.Invalidate()
	if rest, err := io.ReadAll(admin); err != nil || len(rest) != 0 {
		t.Errorf("after the loss %q, %v", rest, err)
	}
	if resp, _ := open(t, base+"/stream/events", http.Header{"Authorization": {"Bearer " + streamtest.OperatorToken}}); resp.StatusCode != 401 {
		t.Errorf("coming back gives %d", resp.StatusCode)
	}
}

func TestRefusals(t *testing.T) {
	_, base := serve(t, nil)
	for _, tt := range []struct {
		query  string
		header http.Header
		status int
		names  string
	}{
		{"?bbox=1,2,3", nil, 400, "bbox"}, {"?bbox=1,2,3,x", nil, 400, "bbox"}, {"?bbox=1,2,3,4&bbox=1,2,3,4", nil, 400, "bbox"}, {"?bbox=NaN,2,3,4", nil, 400, "bbox"},
		{"?datastream=x", nil, 400, "datastream"}, {"?datastream=0", nil, 400, "datastream"}, {"?datastream=", nil, 400, "datastream"},
		{"?property=", nil, 400, "property"}, {"?mode=all", nil, 400, "mode"}, {"?minIntervalMs=5&mode=latest", nil, 400, "minIntervalMs"}, {"?minIntervalMs=500", nil, 400, "minIntervalMs"}, {"?events=rain", nil, 400, "events"},
		{"?cql=value+%3E", nil, 400, "cql"}, {"?polygon=x", nil, 400, "polygon"}, {"?parts=maybe", nil, 400, "parts"}, {"?cql=a&cql=b", nil, 400, "cql"}, {"?district=", nil, 400, "district"}, {"?object=x", nil, 400, "object"}, {"?properties=pm25", nil, 400, "properties"},
		{"", http.Header{"Origin": {"https://evil.example"}}, 403, "origin"},
		{"", http.Header{"Authorization": {"Bearer wrong"}}, 401, "token"},
	} {
		resp, br := open(t, base+"/stream/events"+tt.query, tt.header)
		body, _ := io.ReadAll(br)
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.names) {
			t.Errorf("%s %v: %d %s, want %d naming %s", tt.query, tt.header, resp.StatusCode, body, tt.status, tt.names)
		}
	}
	resp, _ := open(t, base+"/stream/events", http.Header{"Origin": {"https://twin.example.cn"}})
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "https://twin.example.cn" {
		t.Errorf("an allowed origin: %d %v", resp.StatusCode, resp.Header)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	post, err := (&http.Client{Transport: tr}).Post(base+"/stream/events", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = post.Body.Close()
	if post.StatusCode != 405 {
		t.Errorf("POST gives %d", post.StatusCode)
	}
}

func TestParseSubscription(t *testing.T) {
	q, _ := url.ParseQuery("property=pm25,pm10&property=level&datastream=12&datastream=13,14&bbox=170,-10,-170,10&domain=environment&district=320508,320506&object=a/1,2&object=b/1&parts=false&mode=latest&minIntervalMs=500&events=terminal,model&cql=" + url.QueryEscape("value > 75"))
	s, err := sse.ParseSubscription(q)
	if err != nil {
		t.Fatal(err)
	}
	f := s.Filter
	if got := fmt.Sprint(f.ObservedProperties, f.Datastreams, *f.BBox, f.Domains, f.Districts, f.Objects, f.WithoutParts, s.Mode, s.Interval, s.Events, f.CQL != nil); got != "[pm25 pm10 level] [12 13 14] {170 -10 -170 10} [environment] [320508 320506] [a/1,2 b/1] true 1 500ms [terminal model] true" {
		t.Error(got)
	}
}

func TestSlowReaderIsCutOff(t *testing.T) {
	d, base := serve(t, func(o *streams.Options) { o.QueueBytes = 64 << 10 })
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	fmt.Fprintf(conn, "GET /stream/events HTTP/1.1\r\nHost: x\r\n\r\n")
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	rows := make([]twin.Observation, 2000)
	for i := range rows {
		rows[i] = streamtest.Reading(12, int64(1790000001000+i), 0.25)
	}
	const records = 150 // 9 MB in all, beyond what kernels buffer
	for i := range records {
		d.Log.Append(rows...)
		if i%20 == 0 {
			d.Settle(t)
		}
	}
	d.Settle(t)
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	n, err := io.Copy(io.Discard, resp.Body)
	if n == 0 || n > records*50000 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes and %v, want a response cut off", n, err)
	}
}

func TestShutdownEndsTheResponse(t *testing.T) {
	d, base := serve(t, nil)
	_, br := open(t, base+"/stream/events", nil)
	event(t, br)
	event(t, br)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.Hub.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(br); len(rest) != 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}
