package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/gorilla/websocket"

	"cityhub/internal/testkit"
)

// The tests of this file run the real program and speak to it as its users do.

const terminals = `
datasets:
  - {code: open-air, title: 空气质量, titleEn: Air quality, owner: 生态环境局, open: unconditional}
  - {code: fire, title: 消防, titleEn: Fire, owner: 消防救援支队, open: conditional}
properties:
  - {name: pm25, title: 细颗粒物, titleEn: PM2.5, unit: ug/m3}
  - {name: wd, title: 风向, titleEn: Wind direction, type: text}
  - {name: smoke, title: 烟雾, titleEn: Smoke, type: truth}
terminals:
  - {code: beisita, name: 北寺塔空气站, domain: environment, dataset: open-air, location: {lon: 120.61540, lat: 31.32454}, properties: [pm25, wd]}
  - {code: fire-1, name: 平江路烟感, domain: public-safety, dataset: fire, location: {lon: 120.63008, lat: 31.32137}, properties: [smoke], credentials: {username: fire-1, password: "correct horse"}}
`

// startCity starts a hub that knows the terminals above.
func startCity(t *testing.T, args ...string) *testkit.Hub {
	t.Helper()
	h := testkit.StartHub(t, testkit.HubOptions{Args: args})
	call(t, h, http.MethodPost, "/api/v1/terminals/import", "application/yaml", terminals, http.StatusOK, nil)
	return h
}

// call asks the hub as the operator and decodes the answer into result.
func call(t *testing.T, h *testkit.Hub, method, path, contentType, body string, want int, result any) http.Header {
	t.Helper()
	return callAs(t, h, h.Token(), method, path, contentType, body, want, result)
}

func callAs(t *testing.T, h *testkit.Hub, token, method, path, contentType, body string, want int, result any) http.Header {
	t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = h.HTTP + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s %s answers %s, want %d: %s", method, path, resp.Status, want, b)
	}
	if want >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s answers %d with %s, want a problem document (RFC 9457)", method, path, want, resp.Header.Get("Content-Type"))
	}
	if result != nil {
		if err := json.Unmarshal(b, result); err != nil {
			t.Fatalf("%s %s: %v: %.300s", method, path, err, b)
		}
	}
	return resp.Header
}

// streamID gives the Datastream of a terminal's property.
func streamID(t *testing.T, h *testkit.Hub, terminal, property string) int64 {
	t.Helper()
	var info struct {
		Datastreams []struct {
			ID       int64
			Property string
		}
	}
	call(t, h, http.MethodGet, "/api/v1/terminals/"+terminal, "", "", http.StatusOK, &info)
	for _, d := range info.Datastreams {
		if d.Property == property {
			return d.ID
		}
	}
	t.Fatalf("terminal %s has no property %s: %+v", terminal, property, info)
	return 0
}

// message is any message of the stream.
type message struct {
	Type         string
	View         string
	ID           string
	Code         string
	Last         bool
	Position     struct{ Offset uint64 }
	Datastreams  []struct{ Terminal, Property string }
	Observations [][4]any
}

// subscribe opens the stream and reads the snapshot.
func subscribe(t *testing.T, h *testkit.Hub, token, filter string) (*websocket.Conn, message) {
	t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	c, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(h.HTTP, "http")+"/stream", header)
	if err != nil {
		t.Fatal(err, resp)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","id":"s","filter":`+filter+`}`)); err != nil {
		t.Fatal(err)
	}
	for {
		m := read(t, c)
		switch m.Type {
		case "snapshot":
			if m.Last {
				return c, m
			}
		case "welcome", "subscribed", "heartbeat":
		default:
			t.Fatalf("unexpected message %+v", m)
		}
	}
}

func read(t *testing.T, c *websocket.Conn) message {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
	var m message
	if err := c.ReadJSON(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// delta reads on to the next delta.
func delta(t *testing.T, c *websocket.Conn) message {
	t.Helper()
	for {
		if m := read(t, c); m.Type == "delta" {
			return m
		}
	}
}

func run1(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, testkit.Require(t, program), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// A reading published with Mosquitto's client is acknowledged, is on the
// stream, and can be read back over SensorThings.
func TestPublishStreamReadBack(t *testing.T) {
	h := startCity(t)
	id := streamID(t, h, "beisita", "pm25")
	c, snap := subscribe(t, h, "", `{"observedProperties":["pm25"]}`)
	if len(snap.Observations) != 0 {
		t.Errorf("the snapshot of an empty hub holds %v", snap.Observations)
	}
	host, port, _ := net.SplitHostPort(h.MQTT)
	out := run1(t, "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-d", "-t", "terminals/beisita/up/json", "-m", `{"t":1790000000000,"pm25":12.5,"wd":"NNW"}`)
	if !strings.Contains(out, "PUBACK") {
		t.Errorf("no PUBACK:\n%s", out)
	}
	m := delta(t, c)
	want := fmt.Sprint([4]any{float64(id), 1790000000000.0, 12.5, 2.0})
	if len(m.Observations) != 1 || fmt.Sprint(m.Observations[0]) != want || len(m.Datastreams) != 1 || m.Datastreams[0].Terminal != "beisita" {
		t.Errorf("the delta is %+v, want the observation %s", m, want)
	}
	var page struct {
		Count int `json:"@iot.count"`
		Value []struct {
			PhenomenonTime time.Time
			Result         any
		}
	}
	testkit.WaitFor(t, 5*time.Second, "the reading in the series store", func() bool {
		callAs(t, h, "", http.MethodGet, fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations?$count=true", id), "", "", http.StatusOK, &page)
		return page.Count == 1
	})
	if v := page.Value[0]; v.Result != 12.5 || !v.PhenomenonTime.Equal(time.UnixMilli(1790000000000)) {
		t.Errorf("read back %+v", v)
	}
	// The second subscriber gets it with its snapshot, by place.
	_, snap = subscribe(t, h, "", `{"bbox":[120.61,31.32,120.62,31.33]}`)
	if len(snap.Observations) != 2 {
		t.Errorf("the snapshot by place holds %v, want pm25 and wd", snap.Observations)
	}
}

// Subscriptions are refused cleanly: this is no broker.
func TestMosquittoSubIsRefused(t *testing.T) {
	h := startCity(t)
	host, port, _ := net.SplitHostPort(h.MQTT)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, testkit.Require(t, "mosquitto_sub"), "-h", host, "-p", port, "-t", "$SYS/#", "-W", "10").CombinedOutput()
	if !strings.Contains(string(out), "denied") {
		t.Errorf("mosquitto_sub says %q (%v), want that all subscriptions were denied", out, err)
	}
	if strings.Contains(h.Log(), "broke the protocol") {
		t.Errorf("the refused client was taken for a broken one:\n%s", h.Log())
	}
}

// Eclipse Paho publishes at QoS 0 and 1, with a terminal's own credentials.
func TestPaho(t *testing.T) {
	h := startCity(t)
	connect := func(id, user, password string) (mqtt.Client, error) {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + h.MQTT).SetClientID(id).SetUsername(user).SetPassword(password).
			SetAutoReconnect(false).SetConnectTimeout(10 * time.Second).SetProtocolVersion(4)
		c := mqtt.NewClient(o)
		tok := c.Connect()
		if !tok.WaitTimeout(15 * time.Second) {
			t.Fatal("no answer to CONNECT")
		}
		if tok.Error() == nil {
			t.Cleanup(func() { c.Disconnect(100) })
		}
		return c, tok.Error()
	}
	if _, err := connect("wrong", "fire-1", "wrong"); err == nil || !strings.Contains(err.Error(), "user name or password") {
		t.Errorf("a wrong password: %v", err)
	}
	c, err := connect("right", "fire-1", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	anonymous, err := connect("anonymous", "", "")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(c mqtt.Client, qos byte, payload string) {
		t.Helper()
		tok := c.Publish("terminals/fire-1/up/json", qos, false, payload)
		if !tok.WaitTimeout(15*time.Second) || tok.Error() != nil {
			t.Fatal("not acknowledged: ", tok.Error())
		}
	}
	for i := range 100 {
		publish(c, byte(i%2), fmt.Sprintf(`{"t":%d,"smoke":%t}`, 1790000000000+i, i%10 == 0))
	}
	publish(anonymous, 1, `{"smoke":true}`)
	id := streamID(t, h, "fire-1", "smoke")
	var page struct {
		Count int `json:"@iot.count"`
	}
	testkit.WaitFor(t, 5*time.Second, "100 readings", func() bool {
		call(t, h, http.MethodGet, fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations?$count=true&$top=0", id), "", "", http.StatusOK, &page)
		return page.Count == 100
	})
	var rej struct {
		Rejects []struct{ Terminal, Reason string }
	}
	call(t, h, http.MethodGet, "/api/v1/rejects", "", "", http.StatusOK, &rej)
	if len(rej.Rejects) != 1 || rej.Rejects[0].Reason != "not authorized" || rej.Rejects[0].Terminal != "fire-1" {
		t.Errorf("rejects: %+v", rej.Rejects)
	}
}

// R28, R32, R36: what is not open unconditionally is nowhere for the public:
// not in lists, counts, by id, on the stream or in the catalogue.
func TestPublicSeesOnlyUnconditionallyOpenR28R32R36(t *testing.T) {
	h := startCity(t)
	id := streamID(t, h, "fire-1", "smoke")
	body := `{"phenomenonTime":"2026-01-02T00:00:00Z","result":true}`
	path := fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations", id)
	callAs(t, h, "", http.MethodPost, path, "application/json", body, http.StatusUnauthorized, nil)
	hdr := call(t, h, http.MethodPost, path, "application/json", body, http.StatusCreated, nil)
	location := hdr.Get("Location")
	var obs struct{ Result any }
	call(t, h, http.MethodGet, location, "", "", http.StatusOK, &obs)
	if obs.Result != true {
		t.Errorf("the created Observation reads %+v", obs)
	}
	for _, p := range []string{location, path, fmt.Sprintf("/sta/v1.1/Datastreams(%d)", id)} {
		var problem struct{ Type string }
		callAs(t, h, "", http.MethodGet, p, "", "", http.StatusNotFound, &problem)
		callAs(t, h, "", http.MethodGet, problem.Type, "", "", http.StatusOK, nil) // RFC 9457: the type tells more
	}
	for _, p := range []string{"/sta/v1.1/Things", "/sta/v1.1/Datastreams", "/sta/v1.1/Locations"} {
		var all, public struct {
			Count int `json:"@iot.count"`
		}
		call(t, h, http.MethodGet, p+"?$count=true", "", "", http.StatusOK, &all)
		callAs(t, h, "", http.MethodGet, p+"?$count=true", "", "", http.StatusOK, &public)
		if public.Count != all.Count-1 {
			t.Errorf("%s: the public counts %d, the operator %d", p, public.Count, all.Count)
		}
	}
	_, snap := subscribe(t, h, "", `{}`)
	if len(snap.Observations) != 0 {
		t.Errorf("the public's snapshot holds %v", snap.Observations)
	}
	operator, snap := subscribe(t, h, h.Token(), `{}`)
	if len(snap.Observations) != 1 {
		t.Errorf("the operator's snapshot holds %v, want one", snap.Observations)
	}
	_ = operator
	for _, p := range []string{"/api/v1/terminals", "/api/v1/rejects", "/api/v1/tokens", "/api/v1/status"} {
		callAs(t, h, "", http.MethodGet, p, "", "", http.StatusUnauthorized, nil)
		callAs(t, h, "cityhub_not-a-token", http.MethodGet, p, "", "", http.StatusUnauthorized, nil)
		call(t, h, http.MethodGet, p, "", "", http.StatusOK, nil)
	}
}

// R29: a dataset that is closed disappears from a running stream at once, and
// so does the stream of a token that is revoked.
func TestClosingADatasetEndsItsStreamR29(t *testing.T) {
	h := startCity(t)
	c, _ := subscribe(t, h, "", `{}`)
	publish := func(v int) {
		post(t, h, "beisita", "pm25", v)
	}
	publish(1)
	if m := delta(t, c); len(m.Observations) != 1 {
		t.Fatalf("%+v", m)
	}
	call(t, h, http.MethodPatch, "/api/v1/datasets/open-air", "application/json", `{"open":"none"}`, http.StatusOK, nil)
	publish(2)
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	for {
		_, b, err := c.ReadMessage()
		if err != nil {
			break // closed or silent
		}
		if bytes.Contains(b, []byte(`"delta"`)) && bytes.Contains(b, []byte(",2,2]")) {
			t.Fatalf("the public received %s after the dataset was closed", b)
		}
	}
	var tok struct {
		ID     int64
		Secret string
	}
	call(t, h, http.MethodPost, "/api/v1/tokens", "application/json", `{"name":"guest","role":"operator"}`, http.StatusCreated, &tok)
	op, snap := subscribe(t, h, tok.Secret, `{}`)
	if len(snap.Observations) == 0 {
		t.Fatal("the operator sees nothing")
	}
	start := time.Now()
	call(t, h, http.MethodDelete, fmt.Sprintf("/api/v1/tokens/%d", tok.ID), "", "", http.StatusNoContent, nil)
	_ = op.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		if _, _, err := op.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, 4102, 4001) || time.Since(start) > 2*time.Second {
				t.Errorf("the stream of the revoked token ended with %v after %s, want a close within 2 s", err, time.Since(start))
			}
			return
		}
	}
}

// post stores a reading through the API.
func post(t *testing.T, h *testkit.Hub, terminal, property string, value any) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"result": value})
	if err != nil {
		t.Fatal(err)
	}
	call(t, h, http.MethodPost, fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations", streamID(t, h, terminal, property)), "application/json", string(b), http.StatusCreated, nil)
}

func TestUnknownTerminalsAreRefusedUnlessAutoRegisterR50(t *testing.T) {
	for _, auto := range []bool{false, true} {
		t.Run(fmt.Sprint("autoRegister ", auto), func(t *testing.T) {
			h := startCity(t, "--set", fmt.Sprintf("ingest.autoRegister=%t", auto))
			host, port, _ := net.SplitHostPort(h.MQTT)
			run1(t, "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", "terminals/new-1/up/json", "-m", `{"x":1}`)
			if auto {
				if id := streamID(t, h, "new-1", "x"); id == 0 {
					t.Error("not registered")
				}
				return
			}
			call(t, h, http.MethodGet, "/api/v1/terminals/new-1", "", "", http.StatusNotFound, nil)
			var rej struct {
				Rejects []struct{ Terminal, Topic, Payload, Reason string }
			}
			call(t, h, http.MethodGet, "/api/v1/rejects?terminal=new-1", "", "", http.StatusOK, &rej)
			if len(rej.Rejects) != 1 || rej.Rejects[0].Reason != "unknown terminal" || rej.Rejects[0].Topic != "terminals/new-1/up/json" || rej.Rejects[0].Payload != `{"x":1}` {
				t.Errorf("rejects: %+v", rej.Rejects)
			}
		})
	}
}

// Every bad payload is recorded with its reason and none closes the hub.
func TestBadInputIsRejectedWithReasons(t *testing.T) {
	h := startCity(t, "--set", "mqtt.maxPacketBytes=2000")
	host, port, _ := net.SplitHostPort(h.MQTT)
	for _, tt := range []struct{ payload, reason string }{
		{`{"pm25":"\xff"`, "malformed payload"},
		{"{\"wd\":\"\xff\"}", "invalid UTF-8"},
		{`{"pm25":"high"}`, "not a number"},
		{`{"pm25":NaN}`, "not a number"},
		{`{"wd":3}`, "wrong type"},
		{`{"t":"2099-01-01T00:00:00Z","pm25":1}`, "too far in the future"},
		{`{"t":1e300,"pm25":1}`, "bad time"},
		{`{"nox":1}`, "unknown property"},
		{`{}`, "no reading"},
		{`{"wd":"` + strings.Repeat("x", 5000) + `"}`, "too large"},
	} {
		run1(t, "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", "terminals/beisita/up/json", "-m", tt.payload)
		var rej struct {
			Rejects []struct{ Reason, Detail string }
		}
		call(t, h, http.MethodGet, "/api/v1/rejects?limit=1", "", "", http.StatusOK, &rej)
		if len(rej.Rejects) != 1 || rej.Rejects[0].Reason != tt.reason || rej.Rejects[0].Detail == "" {
			t.Errorf("%.40q: %+v, want %q", tt.payload, rej.Rejects, tt.reason)
		}
	}
	metrics := string(get(t, h, "/metrics"))
	for _, want := range []string{`cityhub_ingest_rejects_total{reason="not a number"} 2`, "cityhub_ingest_received_readings_total 6", "cityhub_ingest_stored_readings_total 0"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in /metrics", want)
		}
	}
}

func get(t *testing.T, h *testkit.Hub, path string) []byte {
	t.Helper()
	resp, err := http.Get(h.HTTP + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v: %s", path, resp.Status, err, b)
	}
	return b
}

// The sample is simulated and says so wherever it shows.
func TestSampleIsMarkedSimulated(t *testing.T) {
	h := testkit.StartHub(t, testkit.HubOptions{Args: []string{"--sample"}})
	var page struct {
		Value []struct {
			Properties struct{ Simulated bool }
		}
	}
	testkit.WaitFor(t, 10*time.Second, "readings of the sample", func() bool {
		_, snap := subscribe(t, h, "", `{}`)
		return len(snap.Observations) > 20
	})
	for _, p := range []string{"/sta/v1.1/Datastreams", "/sta/v1.1/Things"} {
		callAs(t, h, "", http.MethodGet, p, "", "", http.StatusOK, &page)
		if len(page.Value) == 0 {
			t.Errorf("%s is empty", p)
		}
		for _, v := range page.Value {
			if !v.Properties.Simulated {
				t.Errorf("%s: not marked simulated: %+v", p, v)
			}
		}
	}
}
