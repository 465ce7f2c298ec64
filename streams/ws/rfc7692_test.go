package ws_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

// A compressing client gets every message whole, and what is large is
// compressed once for all.
func TestRFC7692(t *testing.T) {
	s := serve(t, nil, nil)
	for _, tt := range []struct {
		offer string
		agree bool
	}{
		{"permessage-deflate", true},
		{"permessage-deflate; client_max_window_bits", true},
		{"permessage-deflate; client_max_window_bits=10; server_no_context_takeover", true},
		{"permessage-deflate; server_max_window_bits=15", true},
		{"permessage-deflate; server_max_window_bits=10", false},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", true},
		{"permessage-deflate; unknown", false},
		{"permessage-deflate; client_no_context_takeover; client_no_context_takeover", false},
		{"permessage-deflate; client_no_context_takeover=1", false},
		{"permessage-deflate; client_max_window_bits=7", false},
		{"x-other", false},
	} {
		r := rawDial(t, s, "Sec-WebSocket-Extensions: "+tt.offer)
		want := ""
		if tt.agree {
			want = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		}
		if got := r.resp.Header.Get("Sec-WebSocket-Extensions"); got != want {
			t.Errorf("§7.1: %s is answered %q, want %q", tt.offer, got, want)
		}
	}
	plain, small := s.greeted(t), rawDial(t, s, "Sec-WebSocket-Extensions: permessage-deflate")
	const sub = `{"type":"subscribe","id":"s","filter":{"datastreams":[12]}}`
	plain.send(sub)
	plain.expect(`{"type":"subscribed"}`)
	plain.expect(`{"type":"snapshot"}`)
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(sub))
	_ = w.Flush()
	small.write(frame(0xC1, strings.TrimSuffix(b.String(), "\x00\x00\xff\xff"))) // §6.1: compressed by the client
	for range 2 {
		if f := small.read(); f.op != 1 || f.rsv1 {
			t.Errorf("a short message came compressed: %+v", f)
		}
	}
	row := make([]twin.Observation, 200)
	for i := range row {
		row[i] = streamtest.Reading(12, int64(1790000001000+i), float64(i))
	}
	s.Log.Append(row...)
	want := plain.expect(`{"type":"delta"}`)
	f := small.read()
	if !f.rsv1 || len(f.payload)*2 > len(want) {
		t.Errorf("a delta of %d bytes came as %d, RSV1 %v", len(want), len(f.payload), f.rsv1)
	}
	got, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(f.payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
	if err != nil || string(got) != want {
		t.Errorf("it inflates to %d bytes, %v, want %d", len(got), err, len(want))
	}
	// A client of the common library understands it as well.
	c := s.dialAs(t, http.Header{}, compressing)
	c.expect(`{"type":"welcome"}`)
	c.send(sub)
	c.expect(`{"type":"subscribed"}`)
	c.expect(`{"type":"snapshot"}`)
	if got := c.expect(`{"type":"delta"}`); got != want { // the snapshot is shared with who came before, and what followed it
		t.Errorf("got %s, want %s", got, want)
	}
}
