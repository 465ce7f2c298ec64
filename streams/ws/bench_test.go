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
