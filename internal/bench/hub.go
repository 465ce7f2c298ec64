package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"cityhub/internal/loadgen"
)

const (
	startLimit = 3 * time.Minute // until the hub prints its addresses and /readyz is 200
	stopLimit  = 30 * time.Second
	keptOutput = 32 << 10 // bytes of a process's output
)

// hub is a running hub. It ends with the row's context, at the latest.
type hub struct {
	http, mqtt string // base URL; host:port
	data       string
	token      string
	output     *tail
	startedAt  time.Time     // just before the program was started
	printed    time.Duration // until its addresses stood on standard output
	ready      time.Duration // until /readyz was 200

	client *http.Client
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended
	err    error         // of Wait; read it after done is closed
}

// startHub starts "cityhub serve" with the default configuration on data and
// free ports, and returns once /readyz is 200.
func (b *bench) startHub(ctx context.Context, data string) (*hub, error) {
	args := []string{"serve", "--data", data, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"}
	for _, s := range b.set {
		args = append(args, "--set", s)
	}
	if b.profile != "" {
		// A row that starts several hubs numbers them.
		name := fmt.Sprintf("%s-%d.pprof", b.row, len(b.hub)+1)
		args = append(args, "--cpuprofile", filepath.Join(b.profile, name))
	}
	addresses := make(chan [2]string, 1)
	h := &hub{
		data: data, output: &tail{}, done: make(chan struct{}),
		client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
		cmd:    exec.CommandContext(ctx, b.binary, args...),
	}
	h.cmd.Stdout, h.cmd.Stderr = &readyWriter{to: h.output, found: addresses}, h.output
	h.cmd.WaitDelay = 5 * time.Second
	dieWithParent(h.cmd)
	started := make(chan error)
	go func() {
		// The kernel ties a child to the thread that started it, so that thread
		// has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		h.startedAt = time.Now()
		err := h.cmd.Start()
		started <- err
		if err == nil {
			h.err = h.cmd.Wait()
			close(h.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the hub: %w", err)
	}
	b.hub = append(b.hub, h)
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("the hub is not ready after %v", startLimit))
	defer cancel()
	select {
	case a := <-addresses:
		h.http, h.mqtt, h.printed = a[0], a[1], time.Since(h.startedAt)
	case <-h.done:
		return nil, fmt.Errorf("the hub ended before it was ready: %v\n%s", h.err, indent(h.output.String()))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := h.waitReady(ctx); err != nil {
		return nil, err
	}
	h.ready = time.Since(h.startedAt)
	token, err := os.ReadFile(filepath.Join(data, "operator.token"))
	h.token = strings.TrimSpace(string(token))
	return h, err
}

func (h *hub) waitReady(ctx context.Context) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.http+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := h.client.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-h.done:
			return fmt.Errorf("the hub ended: %v", h.err)
		default:
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

func (h *hub) running() bool {
	select {
	case <-h.done:
		return false
	default:
		return true
	}
}

// kill ends the hub as kill -9 does and waits for its end.
func (h *hub) kill() {
	_ = h.cmd.Process.Kill() // fails only when it has ended already
	<-h.done
	h.client.CloseIdleConnections()
}

// stop asks the hub to end, so that it can write its profile, and kills it
// when it does not. A hub that has ended before is let be.
func (h *hub) stop() error {
	defer h.client.CloseIdleConnections()
	if !h.running() {
		return nil
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.done:
	case <-time.After(stopLimit):
		h.kill()
		return fmt.Errorf("the hub did not end within %v after SIGTERM", stopLimit)
	}
	if h.err != nil {
		return fmt.Errorf("the hub ended with %w after SIGTERM", h.err)
	}
	return nil
}

// usage is what the hub has used so far.
func (h *hub) usage() (processUsage, error) { return usageOf(h.cmd.Process.Pid) }

// command runs another command of the program to its end. It gives standard
// output and what the process used.
func (b *bench) command(ctx context.Context, args ...string) ([]byte, *os.ProcessState, error) {
	cmd := exec.CommandContext(ctx, b.binary, args...)
	var out bytes.Buffer
	errs := &tail{}
	cmd.Stdout, cmd.Stderr = &out, errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return out.Bytes(), cmd.ProcessState, fmt.Errorf("cityhub %s: %w\n%s", args[0], err, indent(errs.String()))
	}
	return out.Bytes(), cmd.ProcessState, nil
}

// cpuSeconds is user and system time of a process that has ended.
func cpuSeconds(p *os.ProcessState) float64 { return (p.UserTime() + p.SystemTime()).Seconds() }

// writeManifest writes the manifest of the load generator's terminals.
func (b *bench) writeManifest(terminals, readings int) (name string, err error) {
	name = b.file("terminals.yaml")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	err = loadgen.Manifest(f, loadgen.ManifestOptions{Terminals: terminals, Readings: readings})
	return name, errors.Join(err, f.Close())
}

// register brings the load generator's terminals into a running hub.
func (b *bench) register(ctx context.Context, h *hub, terminals, readings int) error {
	name, err := b.writeManifest(terminals, readings)
	if err != nil {
		return err
	}
	_, _, err = b.command(ctx, "import", "terminals", name, "--server", h.http, "--token", h.token)
	return err
}

// load runs "cityhub load" against h, in a process of its own.
func (b *bench) load(ctx context.Context, h *hub, args ...string) (*loadgen.Result, *os.ProcessState, error) {
	out, state, err := b.command(ctx, append([]string{"load", "--json", "--broker", h.mqtt}, args...)...)
	if err != nil {
		return nil, state, err
	}
	var res loadgen.Result
	if err := json.Unmarshal(out, &res); err != nil {
		return nil, state, fmt.Errorf("cityhub load printed no result: %w", err)
	}
	return &res, state, nil
}

// readyWriter passes everything on and gives the addresses of the line
// "ready http=… mqtt=…" to found, once. It has one writer.
type readyWriter struct {
	to    *tail
	found chan<- [2]string // has room for one; nil: found already
	line  []byte
}

func (w *readyWriter) Write(p []byte) (int, error) {
	if w.found != nil {
		w.line = append(w.line, p...)
		for w.found != nil {
			line, rest, whole := bytes.Cut(w.line, []byte("\n"))
			if !whole {
				break
			}
			w.line = rest
			if a, ok := parseReady(string(line)); ok {
				w.found <- a
				w.found, w.line = nil, nil
			}
		}
	}
	return w.to.Write(p)
}

func parseReady(line string) (a [2]string, ok bool) {
	f := strings.Fields(line)
	if len(f) == 0 || f[0] != "ready" {
		return a, false
	}
	for _, s := range f[1:] {
		switch key, value, _ := strings.Cut(s, "="); key {
		case "http":
			a[0] = strings.TrimSuffix(value, "/")
		case "mqtt":
			a[1] = value
		}
	}
	return a, a[0] != "" && a[1] != ""
}

// tail keeps the end of what was written to it; it is safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - keptOutput; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
