package testkit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// HubOptions configures a hub under test; the zero value is a fresh hub on a
// temporary folder.
type HubOptions struct {
	// DataDir is the data folder. Empty: a temporary one.
	DataDir string
	// Args is further arguments of cityhub serve, e.g. "--set",
	// "ingest.autoRegister=true".
	Args []string
	// Env is further environment, "KEY=value".
	Env []string
	// Binary is the program. Empty: BuildBinary builds it.
	Binary string
	// StartLimit is how long the hub may take until it is ready. Zero means 30 s.
	StartLimit time.Duration
	// StopLimit is how long it may take to end after SIGTERM. Zero means 20 s.
	StopLimit time.Duration
}

// Hub is the real program, running beside the test. Its fields change at
// Restart, so use them from the goroutine that restarts it; Kill9 and the
// other methods are safe for concurrent use.
type Hub struct {
	HTTP    string // base URL, http://127.0.0.1:PORT
	MQTT    string // 127.0.0.1:PORT
	DataDir string

	t    testing.TB
	o    HubOptions
	log  *tail
	mu   sync.Mutex
	proc *process
}

// StartHub starts "cityhub serve" on free ports of 127.0.0.1 and returns when
// it has printed that it is ready. The hub is killed at the end of the test.
func StartHub(t testing.TB, o HubOptions) *Hub {
	t.Helper()
	if o.Binary == "" {
		o.Binary = BuildBinary(t)
	}
	if o.DataDir == "" {
		o.DataDir = t.TempDir()
	}
	if o.StartLimit == 0 {
		o.StartLimit = 30 * time.Second
	}
	if o.StopLimit == 0 {
		o.StopLimit = 20 * time.Second
	}
	h := &Hub{DataDir: o.DataDir, t: t, o: o, log: &tail{}}
	t.Cleanup(func() {
		h.Kill9()
		showLog(t, "cityhub", h.log)
	})
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *Hub) start() error {
	args := append([]string{"serve", "--data", h.o.DataDir, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"}, h.o.Args...)
	cmd := exec.Command(h.o.Binary, args...)
	cmd.Env = append(os.Environ(), h.o.Env...)
	ready := make(chan readyLine, 1)
	proc, err := startProcess("cityhub", cmd, h.log, &readyWriter{log: h.log, ready: ready})
	if err != nil {
		return err
	}
	select {
	case addr := <-ready:
		h.HTTP, h.MQTT = addr.http, addr.mqtt
		h.mu.Lock()
		h.proc = proc
		h.mu.Unlock()
		return nil
	case <-proc.done:
		return fmt.Errorf("cityhub ended before it was ready: %v", proc.err)
	case <-time.After(h.o.StartLimit):
		proc.kill()
		return fmt.Errorf("cityhub was not ready within %v", h.o.StartLimit)
	}
}

type readyLine struct{ http, mqtt string }

// readyWriter passes what the hub prints on to the log and the addresses of
// the first start-up line to ready. It has one writer.
type readyWriter struct {
	log   *tail
	ready chan<- readyLine
	line  []byte // the line so far; nil ready ends the search
}

func (w *readyWriter) Write(b []byte) (int, error) {
	if w.ready != nil {
		w.line = append(w.line, b...)
		for {
			line, rest, whole := bytes.Cut(w.line, []byte("\n"))
			if !whole {
				break
			}
			w.line = rest
			if addr, ok := parseReady(string(line)); ok {
				w.ready <- addr // has room for one
				w.ready, w.line = nil, nil
				break
			}
		}
	}
	return w.log.Write(b)
}

// parseReady reads "ready http=http://127.0.0.1:PORT mqtt=127.0.0.1:PORT".
func parseReady(line string) (readyLine, bool) {
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != "ready" {
		return readyLine{}, false
	}
	var a readyLine
	for _, f := range fields[1:] {
		switch key, value, _ := strings.Cut(f, "="); key {
		case "http":
			a.http = strings.TrimSuffix(value, "/")
		case "mqtt":
			a.mqtt = value
		}
	}
	return a, a.http != "" && a.mqtt != ""
}

// Pid is the process id of the running hub; 0 when there is none.
func (h *Hub) Pid() int {
	if p := h.current(); p != nil && p.running() {
		return p.cmd.Process.Pid
	}
	return 0
}

func (h *Hub) current() *process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proc
}

// Kill9 ends the hub as kill -9 does and returns when it has ended. It may be
// called more than once.
func (h *Hub) Kill9() {
	if p := h.current(); p != nil {
		p.kill()
	}
}

// Stop asks the hub to end with SIGTERM and waits for it. The test fails when
// it does not end in time or ends with an error.
func (h *Hub) Stop() {
	h.t.Helper()
	if p := h.current(); p != nil && p.running() {
		if err := p.stop(h.o.StopLimit); err != nil {
			h.t.Error(err)
		}
	}
}

// Restart starts the hub again on the same data folder, after stopping it if
// it still runs. It listens on new ports, which HTTP and MQTT then name: a
// port that was let go could have become somebody else's.
func (h *Hub) Restart() {
	h.t.Helper()
	h.Stop()
	if err := h.start(); err != nil {
		h.t.Fatal(err)
	}
}

// Token is the operator's token, which the hub wrote into its data folder at
// its first start.
func (h *Hub) Token() string {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.DataDir, "operator.token"))
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Log is what the hub has written to standard output and standard error, the
// end of it.
func (h *Hub) Log() string { return h.log.String() }

// Run runs another command of the same program, e.g. "import", "terminals",
// FILE, and gives what it wrote to standard output and standard error together.
func (h *Hub) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.o.Binary, args...)
	cmd.Env = append(os.Environ(), h.o.Env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// built builds the program once for this test process.
var built = sync.OnceValues(func() (string, error) { return buildProgram("cityhub", "./cmd/cityhub") })

// BuildBinary builds cmd/cityhub as it stands, once for this test process, and
// gives the program's path. CITYHUB_TEST_BINARY names one that is built
// already.
func BuildBinary(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("CITYHUB_TEST_BINARY"); p != "" {
		return p
	}
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// buildProgram writes .cache/test/NAME-SUM in the repository, from a main
// package of this module or of a dependency. The sum of its content in the name
// keeps test processes that build at the same time from replacing a program
// that another one runs.
func buildProgram(name, pkg string) (string, error) {
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	prune(dir, time.Now().Add(-24*time.Hour))
	f, err := os.CreateTemp(dir, "build-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	f.Close()
	cmd := exec.Command("go", "build", "-trimpath", "-o", f.Name(), pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	sum, err := fileSum(f.Name())
	if err != nil {
		return "", err
	}
	p := filepath.Join(dir, name+"-"+sum)
	if _, err := os.Stat(p); errors.Is(err, os.ErrNotExist) {
		if err := os.Rename(f.Name(), p); err != nil {
			return "", err
		}
	}
	now := time.Now()
	return p, os.Chtimes(p, now, now) // in use: not to be pruned
}

// prune removes what nobody has asked for since before.
func prune(dir string, before time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func fileSum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
