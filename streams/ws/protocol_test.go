package ws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

// Every example of PROTOCOL.md is played against a real server.
func TestProtocolExamples(t *testing.T) {
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]bool{}
	blocks := strings.Split(string(doc), "```stream\n")[1:]
	for i, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		t.Run(fmt.Sprint(i+1), func(t *testing.T) { play(t, b, types) })
	}
	for _, typ := range []string{"auth", "subscribe", "unsubscribe", "ping", "welcome", "subscribed", "snapshot", "delta", "unsubscribed", "heartbeat", "error", "pong"} {
		if !types[typ] {
			t.Errorf("no example of %s", typ)
		}
	}
	for _, code := range []streams.CloseCode{
		streams.CloseNormal, streams.CloseMalformed, streams.CloseUnauthorized, streams.CloseForbidden, streams.CloseTooManySubs,
		streams.CloseTooLarge, streams.CloseSlow, streams.CloseIdle, streams.CloseAccess, streams.CloseShutdown,
	} {
		if !strings.Contains(string(doc), fmt.Sprintf("| %d", code)) {
			t.Errorf("the table of close codes lacks %d", code)
		}
	}
}

func play(t *testing.T, script string, types map[string]bool) {
	// Heartbeats come only where the example has one, and soon.
	beat := 10 * time.Second
	if strings.Contains(script, `< {"type":"heartbeat"`) {
		beat = 250 * time.Millisecond
	}
	s := serve(t, func(o *streams.Options) { o.Heartbeat = beat }, nil)
	c := s.dial(t, nil)
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		what, rest := line[:1], line[2:]
		switch what {
		case ">":
			note(t, types, rest)
			c.send(rest)
		case "<":
			note(t, types, rest)
			var got, want map[string]any
			msg := c.read()
			if err := json.Unmarshal([]byte(msg), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(rest), &want); err != nil {
				t.Fatalf("%s: %v", rest, err)
			}
			if _, ok := want["heartbeatSeconds"]; ok {
				want["heartbeatSeconds"] = beat.Seconds()
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %s\nwant %s", msg, rest)
			}
		case "x":
			code, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			if text := c.expectClose(streams.CloseCode(code)); text == "" {
				t.Errorf("close %d gives no reason", code)
			}
		case "~":
			happen(t, s.Demo, rest)
		default:
			t.Fatalf("cannot play %q", line)
		}
	}
}

func note(t *testing.T, types map[string]bool, msg string) {
	var m struct{ Type string }
	if err := json.Unmarshal([]byte(msg), &m); err != nil {
		t.Fatalf("%s: %v", msg, err)
	}
	types[m.Type] = true
}

// happen lets something happen in the city.
func happen(t *testing.T, d *streamtest.Demo, what string) {
	var id, ms int64
	var v float64
	if n, _ := fmt.Sscanf(what, "reading %d %d %g", &id, &ms, &v); n == 3 {
		d.Log.Append(streamtest.Reading(twin.DatastreamID(id), ms, v))
		return
	}
	if code, ok := strings.CutPrefix(what, "close "); ok && d.Dataset(code) != 0 {
		d.Directory.SetOpen(d.Dataset(code), false)
		d.Hub.Invalidate()
		return
	}
	if what == "shutdown" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = d.Hub.Shutdown(ctx) // its clients are told; the end of the test waits for them
		return
	}
	t.Fatalf("cannot let %q happen", what)
}
