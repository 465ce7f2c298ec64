package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cityhub/internal/loadgen"
	"cityhub/internal/testkit"
	"cityhub/twin"
)

// registerLoad registers the terminals of the load generator.
func registerLoad(t *testing.T, h *testkit.Hub, o loadgen.ManifestOptions) {
	t.Helper()
	var b strings.Builder
	if err := loadgen.Manifest(&b, o); err != nil {
		t.Fatal(err)
	}
	call(t, h, http.MethodPost, "/api/v1/terminals/import", "application/yaml", b.String(), http.StatusOK, nil)
}

// stored reads every observation of a Datastream and gives how often each
// phenomenon time came, with its result.
func stored(t *testing.T, h *testkit.Hub, terminal, property string) (times map[int64]int, values map[int64]float64) {
	t.Helper()
	times, values = map[int64]int{}, map[int64]float64{}
	next := fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations?$top=10000&$select=phenomenonTime,result", streamID(t, h, terminal, property))
	for next != "" {
		var page struct {
			Next  string `json:"@iot.nextLink"`
			Value []struct {
				PhenomenonTime time.Time
				Result         float64
			}
		}
		call(t, h, http.MethodGet, next, "", "", http.StatusOK, &page)
		for _, o := range page.Value {
			times[o.PhenomenonTime.UnixNano()]++
			values[o.PhenomenonTime.UnixNano()] = o.Result
		}
		next = page.Next
	}
	return times, values
}

// caughtUp waits until the series store has everything the log has.
func caughtUp(t *testing.T, h *testkit.Hub) {
	t.Helper()
	testkit.WaitFor(t, 60*time.Second, "the series store to catch up", func() bool {
		var s struct {
			Log   struct{ Last uint64 }
			Views []struct {
				Name     string
				Position twin.Position
			}
		}
		call(t, h, http.MethodGet, "/api/v1/status", "", "", http.StatusOK, &s)
		for _, v := range s.Views {
			if v.Name == "series" {
				return v.Position.Offset >= s.Log.Last
			}
		}
		return false
	})
}

// Fifty connections publish at full speed while the hub is killed with SIGKILL
// at random moments, twenty times: every acknowledged reading is there once,
// and nothing is there that was not published.
func TestNothingAcknowledgedIsLostBySIGKILL(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	const terminals = 50
	h := testkit.StartHub(t, testkit.HubOptions{})
	registerLoad(t, h, loadgen.ManifestOptions{Terminals: terminals})
	ledger := loadgen.NewLedger(terminals)
	base := time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			// It ends with an error: the hub is killed under it.
			_, _ = loadgen.Run(ctx, loadgen.Options{
				Broker: h.MQTT, QoS: 1, Connections: terminals, Window: 20, Duration: time.Minute, Readings: 1,
				Base: base, Ledger: ledger, DrainTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			})
		})
		time.Sleep(100*time.Millisecond + time.Duration(rnd.IntN(400))*time.Millisecond)
		h.Kill9()
		wg.Wait()
		cancel()
		h.Restart()
	}
	caughtUp(t, h)
	var acked, published, kept uint64
	for i := range terminals {
		times, values := stored(t, h, loadgen.Code("", i), loadgen.Property(0))
		kept += uint64(len(times))
		acked += ledger.AckedCount(i)
		published += ledger.Published(i)
		for _, seq := range ledger.Acked(i) {
			at := ledger.Time(seq).UnixNano()
			if times[at] == 0 {
				t.Fatalf("terminal %d: reading %d was acknowledged and is not there", i, seq)
			}
			if want := loadgen.Value(seq, 0); values[at] != want {
				t.Fatalf("terminal %d: reading %d is %v, want %v", i, seq, values[at], want)
			}
		}
		for at, n := range times {
			seq, ok := ledger.Seq(i, time.Unix(0, at))
			if !ok || seq >= ledger.Published(i) {
				t.Fatalf("terminal %d: a reading at %s that nobody published", i, time.Unix(0, at).UTC())
			}
			if n != 1 {
				t.Fatalf("terminal %d: reading %d is there %d times", i, seq, n)
			}
		}
	}
	t.Logf("%d rounds: %d published, %d acknowledged, %d stored", rounds, published, acked, kept)
	if acked == 0 || kept < acked || kept > published {
		t.Errorf("%d published, %d acknowledged, %d stored", published, acked, kept)
	}
}

// A full disk: /readyz says so, acknowledgements stop, and once there is room
// again everything acknowledged is there and new readings are taken.
func TestFullDisk(t *testing.T) {
	dir := testkit.Tmpfs(t, 256<<20)
	h := testkit.StartHub(t, testkit.HubOptions{DataDir: dir, Args: []string{"--set", "log.minFreeBytes=67108864"}})
	registerLoad(t, h, loadgen.ManifestOptions{Terminals: 1})
	ledger := loadgen.NewLedger(1)
	base := time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
	load := func(limit time.Duration, messages int64) *loadgen.Result {
		res, err := loadgen.Run(t.Context(), loadgen.Options{
			Broker: h.MQTT, QoS: 1, Connections: 1, Window: 20, Duration: limit, Messages: messages, Base: base,
			Ledger: ledger, DrainTimeout: 500 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil && messages > 0 {
			t.Fatal(err)
		}
		return res
	}
	if res := load(0, 5000); res.Acked != 5000 {
		t.Fatalf("%d of 5000 acknowledged with an empty disk", res.Acked)
	}
	// Something else fills the disk.
	fill := filepath.Join(dir, "fill")
	f, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	// To the last byte: the guard is of no use against another program, so
	// the stores meet ENOSPC itself.
	if _, err := io.CopyN(f, zeros{}, int64(fs.Bavail)*fs.Bsize); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	readiness := func() (int, string) {
		resp, err := http.Get(h.HTTP + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	testkit.WaitFor(t, 15*time.Second, "/readyz to fail", func() bool {
		load(200*time.Millisecond, 0)
		code, _ := readiness()
		return code == http.StatusServiceUnavailable
	})
	if _, body := readiness(); !strings.Contains(body, "disk") && !strings.Contains(body, "space") {
		t.Errorf("/readyz does not name the disk: %s", body)
	}
	before := ledger.AckedCount(0)
	load(time.Second, 0)
	if after := ledger.AckedCount(0); after != before {
		t.Errorf("%d readings were acknowledged on a full disk", after-before)
	}
	call(t, h, http.MethodPost, fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations", streamID(t, h, loadgen.Code("", 0), loadgen.Property(0))),
		"application/json", `{"phenomenonTime":"2026-01-02T00:00:00Z","result":1}`, http.StatusServiceUnavailable, nil)
	if resp, err := http.Get(h.HTTP + "/healthz"); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("/healthz fails on a full disk: %v", err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, 30*time.Second, "/readyz to recover", func() bool { code, _ := readiness(); return code == http.StatusOK })
	if res := load(0, 5000); res.Acked != 5000 {
		t.Errorf("%d of 5000 acknowledged after the disk had room again", res.Acked)
	}
	caughtUp(t, h)
	times, _ := stored(t, h, loadgen.Code("", 0), loadgen.Property(0))
	for _, seq := range ledger.Acked(0) {
		if times[ledger.Time(seq).UnixNano()] == 0 {
			t.Fatalf("reading %d was acknowledged and is not there", seq)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Ten thousand idle connections are held, and another terminal is served
// beside them.
func TestTenThousandIdleConnections(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 500
	}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if lim.Cur < uint64(n)+200 {
		t.Fatalf("only %d files may be open; raise it (ulimit -n) to at least %d", lim.Cur, n+200)
	}
	h := startCity(t)
	conns := make([]net.Conn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	before := rss(t, h.Pid())
	var wg sync.WaitGroup
	sem := make(chan struct{}, 64)
	for i := range conns {
		sem <- struct{}{}
		wg.Go(func() {
			defer func() { <-sem }()
			c, err := net.DialTimeout("tcp", h.MQTT, 10*time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = c
			id := fmt.Sprintf("idle-%05d", i)
			packet := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0x0e, 0x10, 0, byte(len(id))}, id...)
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			var answer [4]byte
			if _, err := c.Write(packet); err != nil {
				t.Error(err)
			} else if _, err := io.ReadFull(c, answer[:]); err != nil || answer != [4]byte{0x20, 2, 0, 0} {
				t.Errorf("CONNACK %x, %v", answer, err)
			}
		})
	}
	wg.Wait()
	metric := func(name string) float64 {
		for line := range strings.Lines(string(get(t, h, "/metrics"))) {
			if rest, ok := strings.CutPrefix(line, name+" "); ok {
				v, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
				return v
			}
		}
		return -1
	}
	if got := metric("cityhub_mqtt_connections"); got != float64(n) {
		t.Errorf("%v connections are open, want %d", got, n)
	}
	t.Logf("%d idle connections: %.1f KiB each", n, float64(rss(t, h.Pid())-before)/1024/float64(n))
	host, port, _ := net.SplitHostPort(h.MQTT)
	run1(t, "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", "terminals/beisita/up/json", "-m", `{"pm25":1}`)
	// They are alive still.
	for _, i := range []int{0, n / 2, n - 1} {
		var answer [2]byte
		_ = conns[i].SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conns[i].Write([]byte{0xc0, 0}); err != nil {
			t.Error(err)
		} else if _, err := io.ReadFull(conns[i], answer[:]); err != nil || answer != [2]byte{0xd0, 0} {
			t.Errorf("PINGRESP %x, %v", answer, err)
		}
	}
}

// rss is the resident memory of a process in bytes.
func rss(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("memory is read from /proc, which is not here")
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// All twelve Beijing stations at full speed: as many readings are stored as
// the files hold values, told by the command that a user would ask.
func TestReplayBeijing(t *testing.T) {
	if testing.Short() {
		t.Skip("420,768 rows: not in a short run")
	}
	data := testkit.DataDir(t, "beijing-prsa")
	mapping := filepath.Join(testkit.RepoRoot(t), "configs/replay/beijing-prsa.yaml")
	h := testkit.StartHub(t, testkit.HubOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	manifest, err := h.Run(ctx, "replay", mapping, data, "--manifest")
	if err != nil {
		t.Fatal(err)
	}
	call(t, h, http.MethodPost, "/api/v1/terminals/import", "application/yaml", manifest, http.StatusOK, nil)
	out, err := h.Run(ctx, "replay", mapping, data, "--broker", h.MQTT, "--verify", "--server", h.HTTP, "--token", h.Token(), "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var results strings.Builder // progress goes to standard error, which stands in between
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "{") {
			results.WriteString(line)
		}
	}
	dec := json.NewDecoder(strings.NewReader(results.String()))
	var run struct{ Rows, Messages, Readings, Acked, ElapsedNs int64 }
	var report struct {
		Rows                            []struct{ InFiles, Stored int64 }
		InFiles, Stored, Numbers, Texts int64
		Different                       int
	}
	if err := dec.Decode(&run); err != nil {
		t.Fatalf("%v in %.2000s", err, out)
	}
	if err := dec.Decode(&report); err != nil {
		t.Fatalf("%v in %.2000s", err, out)
	}
	// Counted independently of this program: 12 × 35,064 rows; 4,556,243
	// numbers and 418,946 wind directions are neither NA nor blank.
	if run.Rows != 420_768 || report.Stored != 4_975_189 || report.InFiles != report.Stored || report.Numbers != 4_556_243 || report.Texts != 418_946 || report.Different != 0 || len(report.Rows) != 12*12 {
		t.Errorf("replayed %+v, report in files %d stored %d (numbers %d, texts %d), %d different of %d", run, report.InFiles, report.Stored, report.Numbers, report.Texts, report.Different, len(report.Rows))
	}
	t.Logf("%d readings in %s", run.Readings, time.Duration(run.ElapsedNs))
}
