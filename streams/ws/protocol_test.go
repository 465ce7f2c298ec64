package ws_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/ws"
	"cityhub/twin"
)

var update = flag.Bool("update", false, "write what the server sends into PROTOCOL.md")

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
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			got := play(t, b, types, ws.Subprotocol)
			if *update {
				doc = []byte(strings.Replace(string(doc), b, got, 1))
				return
			}
			play(t, b, types, ws.SubprotocolCBOR)
		})
	}
	if *update {
		if err := os.WriteFile("PROTOCOL.md", doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, hex, _ := strings.Cut(string(doc), "is the 15 bytes `")
	hex, _, _ = strings.Cut(hex, "`")
	if b, err := cbor.CoreDetEncOptions().EncMode(); err != nil {
		t.Fatal(err)
	} else if pong, err := b.Marshal(map[string]any{"type": "pong", "t": 123}); err != nil || fmt.Sprintf("% x", pong) != hex {
		t.Errorf("a pong is %x, %v, the document says %s", pong, err, hex)
	}
	for _, typ := range []string{"auth", "subscribe", "update", "unsubscribe", "ping", "welcome", "subscribed", "snapshot", "delta", "changed", "event", "unsubscribed", "heartbeat", "error", "pong"} {
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

// play gives the script with what the server sent.
func play(t *testing.T, script string, types map[string]bool, subprotocol string) string {
	var played strings.Builder
	// Heartbeats come only where the example has one, and soon.
	beat := 10 * time.Second
	if strings.Contains(script, `< {"type":"heartbeat"`) {
		beat = 250 * time.Millisecond
	}
	s := serve(t, func(o *streams.Options) { o.Heartbeat = beat }, nil)
	c := s.dialAs(t, nil, websocket.Dialer{Subprotocols: []string{subprotocol}})
	valid := schemas(t)
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		what, rest := line[:1], line[2:]
		if what != "<" || !*update {
			played.WriteString(line + "\n")
		}
		switch what {
		case ">":
			note(t, types, rest)
			valid.check(t, rest)
			c.send(rest)
		case "<":
			note(t, types, rest)
			var got, want map[string]any
			msg := c.read()
			valid.check(t, msg)
			if err := json.Unmarshal([]byte(msg), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(rest), &want); err != nil {
				t.Fatalf("%s: %v", rest, err)
			}
			if _, ok := want["heartbeatSeconds"]; ok {
				want["heartbeatSeconds"] = beat.Seconds()
			}
			if *update {
				fmt.Fprintf(&played, "< %s\n", strings.Replace(msg, fmt.Sprintf(`"heartbeatSeconds":%v`, beat.Seconds()), `"heartbeatSeconds":10`, 1))
			} else if !reflect.DeepEqual(got, want) {
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
	return played.String()
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
		d.Settle(t)
		return
	}
	if code, ok := strings.CutPrefix(what, "close "); ok && d.Dataset(code) != 0 {
		d.Directory.SetOpen(d.Dataset(code), false)
		d.Hub.Invalidate()
		return
	}
	var kind, dataset string
	if n, _ := fmt.Sscanf(what, "event %s %s", &kind, &dataset); n == 2 {
		if err := d.Hub.Publish(streams.Event{Kind: streams.EventKind(kind), Dataset: dataset, Members: json.RawMessage(what[strings.Index(what, "{"):])}); err != nil {
			t.Fatal(err)
		}
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
