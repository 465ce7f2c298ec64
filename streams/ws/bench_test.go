package ws_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/streams/ws"
	"cityhub/twin"
)

// The client side of a benchmark runs in a process of its own, so that its
// memory is not counted; this test is that process.
func TestBenchClients(t *testing.T) {
	spec := os.Getenv("STREAM_BENCH_CLIENTS")
	if spec == "" {
		t.Skip("started by the benchmarks")
	}
	addr, count, _ := strings.Cut(spec, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		fmt.Fprintf(conn, "GET /stream HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
		if resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil); err != nil || resp.StatusCode != 101 {
			t.Fatal(resp, err)
		}
		msg := `{"type":"subscribe","id":"s","filter":{"datastreams":[12]}}`
		_, _ = conn.Write(append([]byte{0x81, byte(len(msg)) | 0x80, 0, 0, 0, 0}, msg...))
	}
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			buf := make([]byte, 4096)
			for {
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		})
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark lets go
	for _, c := range conns {
		_ = c.Close()
	}
	wg.Wait()
}

// startClients starts a process of n clients; stop ends it.
func startClients(b *testing.B, addr string, n int) (stop func()) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchClients$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("STREAM_BENCH_CLIENTS=%s %d", addr, n))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdout = io.Discard
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
}

// value reads a metric of the hub.
func value(b *testing.B, reg prometheus.Gatherer, name string) float64 {
	families, err := reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return 0
}

// reach waits until a metric has reached a value.
func reach(b *testing.B, reg prometheus.Gatherer, name string, want float64) {
	for deadline := time.Now().Add(30 * time.Second); value(b, reg, name) < want; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%s is %v, want %v", name, value(b, reg, name), want)
		}
	}
}

// benchServer serves; more connections may begin than usual, for n of them do at
// once.
func benchServer(b *testing.B) (*streamtest.Demo, *prometheus.Registry, string) {
	reg := prometheus.NewRegistry()
	d := streamtest.NewDemo(b, func(o *streams.Options) {
		o.Heartbeat, o.QueueBytes, o.QueueMessages, o.Metrics = time.Hour, 64<<20, 1<<20, reg
	})
	h, err := ws.New(ws.Options{Hub: d.Hub, Auth: d.Gate, Problem: streamtest.Problem, OpensPerSecond: 100000})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	b.Cleanup(func() { _ = srv.Close(); <-done })
	return d, reg, ln.Addr().String()
}

// perClient is the messages that a client gets before the first delta: welcome,
// subscribed, snapshot.
const perClient = 3

// BenchmarkFanOut sends deltas of about 1 KB to 1,000 clients of one view, who
// read in a process of their own on the same cores. One operation is one delta
// to all of them, queued ten at a time.
func BenchmarkFanOut(b *testing.B) {
	const n = 1000
	d, reg, addr := benchServer(b)
	stop := startClients(b, addr, n)
	defer stop()
	const sent = "cityhub_stream_frames_sent_total"
	reach(b, reg, sent, perClient*n)
	rows := make([]twin.Observation, 36)
	for i := range rows {
		rows[i] = streamtest.Reading(12, int64(1790000001000+i), 12.5)
	}
	b.ResetTimer()
	start, before := time.Now(), value(b, reg, "cityhub_stream_sent_bytes_total")
	for i := 0; i < b.N; i++ {
		d.Log.Append(rows...)
		d.Settle(b)
		if i%10 == 9 || i == b.N-1 {
			reach(b, reg, sent, float64(perClient+i+1)*n)
		}
	}
	b.StopTimer()
	frames := float64(b.N) * n
	b.ReportMetric(frames/time.Since(start).Seconds(), "frames/s")
	b.ReportMetric((value(b, reg, "cityhub_stream_sent_bytes_total")-before)/frames, "B/frame")
}

// BenchmarkIdleConnection measures the memory of 10,000 subscribed connections
// that have nothing to do: heap and stacks, and all that the process holds, not
// the kernel's.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 10000
	for b.Loop() {
		_, reg, addr := benchServer(b)
		heap, stack := inUse()
		rss := resident(b)
		stop := startClients(b, addr, n)
		reach(b, reg, "cityhub_stream_frames_sent_total", perClient*n)
		time.Sleep(200 * time.Millisecond)
		heap2, stack2 := inUse()
		b.ReportMetric(float64(heap2-heap)/n, "heap-B/conn")
		b.ReportMetric(float64(stack2-stack)/n, "stack-B/conn")
		b.ReportMetric(float64(resident(b)-rss)/n, "rss-B/conn")
		stop()
	}
}

// resident is the memory of the process in bytes, as the system counts it; 0
// where that is not known.
func resident(b *testing.B) int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func inUse() (heap, stack int64) {
	var m runtime.MemStats
	for range 3 { // stacks shrink step by step
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse), int64(m.StackInuse)
}

// BenchmarkNeighbours measures from append to delivery what a client waits for a
// reading, alone and beside clients that do what they should not. One operation
// is one reading. The ratio of the p99s is what design goals speak of.
func BenchmarkNeighbours(b *testing.B) {
	for _, tt := range []struct {
		name   string
		attack func(addr string, stop <-chan struct{})
	}{
		{"alone", nil},
		{"garbage", func(addr string, stop <-chan struct{}) {
			junk := make([]byte, 4096)
			for i := range junk {
				junk[i] = byte(i * 7)
			}
			repeat(addr, stop, 100, func(c net.Conn) { _, _ = c.Write(junk) })
		}},
		{"open-close-1000", func(addr string, stop <-chan struct{}) { repeat(addr, stop, 1000, func(net.Conn) {}) }},
		{"giant-messages", func(addr string, stop <-chan struct{}) {
			giant := frame(0x81, strings.Repeat("x", 1<<20))
			repeat(addr, stop, 20, func(c net.Conn) { _, _ = c.Write(giant) })
		}},
		{"deaf", func(addr string, stop <-chan struct{}) {
			sub := frame(0x81, `{"type":"subscribe","id":"s","filter":{"datastreams":[12]}}`)
			var conns []net.Conn
			for range 100 {
				if c := dialPlain(addr); c != nil {
					_, _ = c.Write(sub)
					conns = append(conns, c)
				}
			}
			<-stop
			for _, c := range conns {
				_ = c.Close()
			}
		}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			d, _, addr := benchServer(b)
			c := dialPlain(addr)
			if c == nil {
				b.Fatal("no connection")
			}
			defer c.Close()
			_, _ = c.Write(frame(0x81, `{"type":"subscribe","id":"s","filter":{"datastreams":[13]}}`))
			br := bufio.NewReaderSize(c, 64<<10)
			read := func(want string) {
				r := &raw{t: b, br: br}
				for {
					if f := r.read(); strings.Contains(string(f.payload), want) {
						return
					}
				}
			}
			read(`"type":"snapshot"`)
			stop, over := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(over)
				if tt.attack != nil {
					tt.attack(addr, stop)
				}
			}()
			times := make([]time.Duration, 0, b.N)
			b.ResetTimer()
			for i := range b.N {
				start := time.Now()
				at := d.Log.Append(streamtest.Reading(13, int64(1790000001000+i), float64(i)))
				read(fmt.Sprintf(`"offset":%d}`, at.Offset))
				times = append(times, time.Since(start))
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			close(stop)
			<-over
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
		})
	}
}

// dialPlain opens a stream and reads no more than the answer; nil when refused.
func dialPlain(addr string) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil
	}
	fmt.Fprintf(c, "GET /stream HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", addr, goodKey)
	one := make([]byte, 1)
	var head []byte
	for !strings.HasSuffix(string(head), "\r\n\r\n") { // byte by byte: frames follow
		if _, err := c.Read(one); err != nil {
			_ = c.Close()
			return nil
		}
		head = append(head, one[0])
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 101") {
		_ = c.Close()
		return nil
	}
	return c
}

// repeat opens a stream, does something with it and closes it, up to perSecond
// times a second.
func repeat(addr string, stop <-chan struct{}, perSecond int, do func(net.Conn)) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if c := dialPlain(addr); c != nil {
				do(c)
				_ = c.Close()
			}
		}
	}
}
