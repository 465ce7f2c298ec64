package ws_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/prometheus/client_golang/prometheus"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/ws"
	"cityhub/twin"
)

// witness subscribes to Datastream 12 and checks that it gets every reading, in
// order: their values count up by one. Its snapshot may be of a moment before the
// last readings of an earlier witness, which then come first.
type witness struct {
	c    *client
	from int // readings up to this one were sent before
	seen int
}

func (s *server) witness(t *testing.T) *witness {
	w := &witness{c: s.greeted(t), from: s.sent, seen: s.sent}
	w.c.send(`{"type":"subscribe","id":"w","filter":{"datastreams":[12]}}`)
	w.c.expect(`{"type":"subscribed"}`)
	w.c.expect(`{"type":"snapshot"}`)
	return w
}

// watch reads up to reading number last.
func (w *witness) watch(t *testing.T, last int) {
	_ = w.c.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for w.seen < last {
		_, data, err := w.c.conn.ReadMessage()
		if err != nil {
			t.Errorf("the witness is cut off after reading %d of %d: %v", w.seen, last, err)
			return
		}
		var m struct {
			Type         string
			Observations [][4]float64
		}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Errorf("%s: %v", data, err)
			return
		}
		for _, o := range m.Observations {
			if int(o[2]) <= w.from && w.seen == w.from {
				continue
			}
			if w.seen++; int(o[2]) != w.seen {
				t.Errorf("the witness gets reading %v, want %d", o[2], w.seen)
				return
			}
		}
	}
}

// during lets readings flow while attack is at work, and has a witness see that
// others get all of them.
func (s *server) during(t *testing.T, attack func()) {
	t.Helper()
	w := s.witness(t)
	over := make(chan struct{})
	go func() { defer close(over); attack() }()
	begin := s.sent
	add := func(count int) {
		for range count {
			s.sent++
			s.Log.Append(streamtest.Reading(12, int64(1790000001000+s.sent), float64(s.sent)))
		}
	}
	for limit := time.Now().Add(20 * time.Second); ; {
		add(20)
		s.Settle(t)
		last := s.sent
		w.watch(t, last) // as they come
		if t.Failed() {
			break
		}
		select {
		case <-over:
		default:
			if time.Now().Before(limit) {
				continue
			}
			t.Error("the attack does not end by itself")
		}
		break
	}
	<-over
	if n := s.sent - begin; n < 20 {
		t.Errorf("only %d readings", n)
	}
	w.c.conn.Close()
}

func TestHostileGarbage(t *testing.T) {
	s := serve(t, nil, nil)
	rnd := rand.New(rand.NewPCG(1, 2))
	s.during(t, func() {
		for range 50 {
			junk := make([]byte, 4096)
			for i := range junk {
				junk[i] = byte(rnd.Uint32())
			}
			r := rawDial(t, s)
			r.write(junk)
			_ = r.conn.CloseWrite()
			switch code, _ := r.end(); code {
			case 1002, 1007, 4000, 4013, -1: // -1: it may be the beginning of something
			default:
				t.Errorf("garbage is closed with %d", code)
			}
		}
	})
}

func TestHostileSubscriptions(t *testing.T) {
	s := serve(t, func(o *streams.Options) { o.Heartbeat = time.Hour }, func(o *ws.Options) { o.MessagesPerSecond = 1 << 20 })
	s.during(t, func() {
		r := rawDial(t, s)
		var b []byte
		for i := range 100_000 {
			b = append(b, frame(0x81, fmt.Sprintf(`{"type":"subscribe","id":"s%d","filter":{"datastreams":[%d]}}`, i, i+1))...)
		}
		var wg sync.WaitGroup
		wg.Go(func() { r.write(b) })
		if code, _ := r.end(); code != int(streams.CloseTooManySubs) {
			t.Errorf("100,000 subscriptions are closed with %d", code)
		}
		_ = r.conn.Close()
		wg.Wait()
		// The same in one message.
		c := s.greeted(t)
		c.send(`{"type":"subscribe","id":"s","filter":{"datastreams":[1` + strings.Repeat(",1", 100_000) + `]}}`)
		c.expect(`{"type":"error","code":"invalid","field":"filter.datastreams"}`)
	})
}

func TestHostileOpenAndClose(t *testing.T) {
	s := serve(t, nil, func(o *ws.Options) { o.OpensPerSecond = 30; o.CloseGrace = 50 * time.Millisecond })
	opened, refused := 0, 0
	s.during(t, func() {
		for range 1000 {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(conn, "GET /stream HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", s.addr, goodKey)
			line := make([]byte, 12)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadFull(conn, line); err != nil {
				t.Error(err)
			}
			switch string(line) {
			case "HTTP/1.1 101":
				opened++
			case "HTTP/1.1 429":
				refused++
			default:
				t.Errorf("answered %s", line)
			}
			_ = conn.Close()
		}
	})
	// The clock of the test stands still: what an address has in reserve, and the witness of it.
	if opened != 299 || refused != 701 {
		t.Errorf("%d connections were opened and %d refused, want 299 and 701", opened, refused)
	}
}

func TestHostileMessages(t *testing.T) {
	bomb := func() string { // of zeros, without the last four bytes (RFC 7692 §7.2.1)
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		chunk := make([]byte, 1<<20)
		for range 16 {
			_, _ = w.Write(chunk)
		}
		_ = w.Flush()
		return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
	}
	deflating, inCBOR := []string{"Sec-WebSocket-Extensions: permessage-deflate"}, []string{"Sec-WebSocket-Protocol: cityhub.v1.cbor"}
	s := serve(t, nil, func(o *ws.Options) { o.MessageTimeout = 300 * time.Millisecond })
	for _, tt := range []struct {
		name  string
		extra []string
		data  []byte
		slow  time.Duration // between bytes
		code  int
	}{
		{"a giant message", nil, frame(0x81, strings.Repeat("x", 8<<20)), 0, int(streams.CloseTooLarge)},
		{"a giant claim and nothing more", nil, []byte{0x81, 0xff, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, 0, int(streams.CloseTooLarge)},
		{"a compression bomb of 16 MiB", deflating, frame(0xC1, bomb()), 0, int(streams.CloseTooLarge)},
		{"a bomb in fragments", deflating, func() []byte {
			p := bomb()
			return append(frame(0x41, p[:len(p)/2]), frame(0x80, p[len(p)/2:])...)
		}(), 0, int(streams.CloseTooLarge)},
		{"a compressed message that is not valid", deflating, frame(0xC1, "\xff\xff\xff\xff"), 0, 1007},
		{"RSV1 on a continuation (RFC 7692 §6.1)", deflating, append(frame(0x41, "x"), frame(0xC0, "y")...), 0, 1002},
		{"a message that takes too long", nil, frame(0x81, `{"type":"ping","x":"`+strings.Repeat("x", 100)+`"}`), 10 * time.Millisecond, int(streams.CloseMalformed)},
		{"a fragment that is never finished", nil, frame(0x01, "{"), 0, int(streams.CloseMalformed)},
		{"deep JSON", nil, frame(0x81, strings.Repeat("[", 200_000)), 0, int(streams.CloseMalformed)},
		{"a deep filter", nil, append(frame(0x81, `{"type":"subscribe","id":"s","filter":{"cql":`+strings.Repeat(`{"op":"not","args":[`, 9000)+"true"+strings.Repeat("]}", 9000)+`}}`), closeFrame(1000, "")...), 0, 1000},
		{"deep CBOR", inCBOR, frame(0x82, strings.Repeat("\x81", 200_000)), 0, int(streams.CloseMalformed)},
		{"CBOR that claims 2^60 bytes", inCBOR, frame(0x82, "\x7b\x10\x00\x00\x00\x00\x00\x00\x00"), 0, int(streams.CloseMalformed)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.during(t, func() {
				r := rawDial(t, s, tt.extra...)
				var wg sync.WaitGroup
				wg.Go(func() {
					if tt.slow == 0 {
						r.write(tt.data)
						return
					}
					for i := range tt.data {
						if _, err := r.conn.Write(tt.data[i : i+1]); err != nil {
							return
						}
						time.Sleep(tt.slow) // that it is slow is what is tested
					}
				})
				if code, why := r.end(); code != tt.code || code > 1000 && why == "" {
					t.Errorf("closed with %d %s, want %d", code, why, tt.code)
				}
				_ = r.conn.Close()
				wg.Wait()
			})
		})
	}
}

func TestHostilePingFlood(t *testing.T) {
	s := serve(t, nil, func(o *ws.Options) { o.MessagesPerSecond = 1000 })
	s.during(t, func() {
		r := rawDial(t, s)
		var b []byte
		for i := range 2500 { // 2000 at once, 500 at 1000 a second
			b = append(b, frame(0x89, string(binary.BigEndian.AppendUint32(nil, uint32(i))))...)
		}
		start := time.Now()
		r.write(b)
		pongs := 0
		for {
			f := r.read()
			if f.op != 10 {
				continue
			}
			if pongs++; binary.BigEndian.Uint32(f.payload) == 2499 {
				break
			}
		}
		if d := time.Since(start); d < 400*time.Millisecond || pongs > 2500 {
			t.Errorf("%d pongs in %v", pongs, d)
		}
	})
}

func TestHostileSlowHandshake(t *testing.T) {
	s := serve(t, nil, nil)
	s.during(t, func() {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		start := time.Now()
		fmt.Fprint(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n")
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("still there after %v: %v", time.Since(start), err)
		}
	})
}

// Clients that take nothing, or a little now and then, are closed as slow when
// they miss readings; one in mode latest is not.
func TestHostileSlowReaders(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := serve(t, func(o *streams.Options) { o.QueueBytes, o.Metrics, o.Heartbeat = 64<<10, reg, time.Hour }, func(o *ws.Options) {
		o.SendBuffer, o.WriteTimeout = 4<<10, 2*time.Second
	})
	readings := func() int {
		closed, _ := gathered(t, reg, "cityhub_stream_closed_total", "4100")
		return int(closed)
	}
	open := func(mode string) *raw {
		r := rawDial(t, s)
		_ = r.conn.SetReadBuffer(4 << 10)
		r.write(frame(0x81, `{"type":"subscribe","id":"s","filter":{"datastreams":[13]},"mode":"`+mode+`"}`))
		return r
	}
	s.during(t, func() {
		deaf, drip, latest := open("every"), open("every"), open("latest")
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, r := range []*raw{drip, latest} {
			wg.Go(func() {
				one := make([]byte, 1)
				for {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond): // a byte now and then
						_ = r.conn.SetReadDeadline(time.Now().Add(time.Second))
						_, _ = r.conn.Read(one)
					}
				}
			})
		}
		row := make([]twin.Observation, 300)
		for n := 0; readings() < 2 && n < 3000; n++ {
			for j := range row {
				row[j] = streamtest.Reading(13, int64(1790000001000+n*1000+j), float64(j)+0.25)
			}
			s.Log.Append(row...)
			s.Settle(t)
		}
		close(stop)
		wg.Wait()
		if n := readings(); n != 2 {
			t.Errorf("%d clients are closed as slow, want 2", n)
		}
		for _, r := range []*raw{deaf, drip} {
			_ = r.conn.Close()
		}
		_ = latest.conn.Close()
	})
}

// gathered is the value of a metric with a label value.
func gathered(t testing.TB, reg prometheus.Gatherer, name, label string) (float64, bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}
