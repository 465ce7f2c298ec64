package testkit

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain turns the test binary into a small program that behaves as the
// tests below ask, so that starting, killing and reading a process is tested
// with a real process.
func TestMain(m *testing.M) {
	if behaviour := os.Getenv("TESTKIT_PROGRAM"); behaviour != "" {
		program(behaviour)
		return
	}
	goleak.VerifyTestMain(m)
}

func program(behaviour string) {
	fmt.Fprintln(os.Stderr, "started with", strings.Join(os.Args[1:], " "))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	switch behaviour {
	case "dies":
		fmt.Println("no disk")
		os.Exit(3)
	case "silent":
	default:
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		data := os.Args[3]
		if err := os.WriteFile(filepath.Join(data, "operator.token"), []byte("secret\n"), 0o600); err != nil {
			panic(err)
		}
		fmt.Println("getting ready")
		fmt.Printf("ready http=http://%s/ mqtt=127.0.0.1:1\n", l.Addr())
		go func() { _ = http.Serve(l, http.NotFoundHandler()) }()
	}
	if behaviour == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Minute)
	}
	<-stop
	if behaviour == "sulks" {
		os.Exit(1)
	}
}

func self(t *testing.T) string {
	t.Helper()
	p, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHubStartKillRestart(t *testing.T) {
	h := StartHub(t, HubOptions{Binary: self(t), Env: []string{"TESTKIT_PROGRAM=good"}, Args: []string{"--set", "a=b"}})
	res, err := http.Get(h.HTTP + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if h.MQTT != "127.0.0.1:1" || h.Token() != "secret" {
		t.Errorf("MQTT %q, token %q", h.MQTT, h.Token())
	}
	// Standard error comes through a pipe of its own and may be a little later.
	WaitFor(t, 5*time.Second, "standard output, standard error and arguments in the log", func() bool {
		log := h.Log()
		return strings.Contains(log, "started with serve --data "+h.DataDir) && strings.Contains(log, "--set a=b") && strings.Contains(log, "getting ready")
	})

	before, pid := h.HTTP, h.Pid()
	h.Kill9()
	h.Kill9()
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d is still there after Kill9", pid)
	}
	if h.Pid() != 0 {
		t.Errorf("Pid is %d after Kill9, want 0", h.Pid())
	}
	h.Restart()
	if h.HTTP == before && h.Pid() == pid {
		t.Errorf("Restart changed nothing: %s, pid %d", h.HTTP, h.Pid())
	}
	if _, err := os.Stat(filepath.Join(h.DataDir, "operator.token")); err != nil {
		t.Errorf("the data folder did not survive: %v", err)
	}
	h.Stop()
	if h.Pid() != 0 {
		t.Error("the hub runs after Stop")
	}
}

func TestHubThatCannotStart(t *testing.T) {
	for behaviour, want := range map[string]string{"dies": "ended before it was ready: exit status 3", "silent": "was not ready within"} {
		h := &Hub{t: t, log: &tail{}, o: HubOptions{Binary: self(t), DataDir: t.TempDir(), Env: []string{"TESTKIT_PROGRAM=" + behaviour}, StartLimit: 300 * time.Millisecond}}
		if behaviour == "dies" {
			h.o.StartLimit = 10 * time.Second
		}
		if err := h.start(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: start gives %v, want %q", behaviour, err, want)
		}
	}
	h := &Hub{t: t, log: &tail{}, o: HubOptions{Binary: filepath.Join(t.TempDir(), "none")}}
	if err := h.start(); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestHubThatDoesNotStopCleanly(t *testing.T) {
	for behaviour, want := range map[string]string{"sulks": "exit status 1", "stubborn": "did not end within"} {
		cmd := exec.Command(self(t), "serve", "--data", t.TempDir())
		cmd.Env = append(os.Environ(), "TESTKIT_PROGRAM="+behaviour)
		ready := make(chan readyLine, 1)
		log := &tail{}
		p, err := startProcess("it", cmd, log, &readyWriter{log: log, ready: ready})
		if err != nil {
			t.Fatal(err)
		}
		<-ready
		limit := 10 * time.Second
		if behaviour == "stubborn" {
			limit = 100 * time.Millisecond
			time.Sleep(100 * time.Millisecond) // until it ignores SIGTERM
		}
		if err := p.stop(limit); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: stop gives %v, want %q", behaviour, err, want)
		}
		if p.running() {
			t.Errorf("%s: still runs after stop", behaviour)
		}
	}
}

func TestRunCommand(t *testing.T) {
	h := &Hub{t: t, log: &tail{}, o: HubOptions{Binary: self(t), Env: []string{"TESTKIT_PROGRAM=dies"}}}
	out, err := h.Run(t.Context(), "import", "terminals", "x.yaml")
	if err == nil || !strings.Contains(out, "started with import terminals x.yaml") || !strings.Contains(out, "no disk") {
		t.Errorf("Run gives %v and %q", err, out)
	}
}

func TestParseReady(t *testing.T) {
	for line, want := range map[string]readyLine{
		"ready http=http://127.0.0.1:8080 mqtt=127.0.0.1:1883":             {"http://127.0.0.1:8080", "127.0.0.1:1883"},
		"ready mqtt=127.0.0.1:1883 http=http://127.0.0.1:8080/ more=x\r\n": {"http://127.0.0.1:8080", "127.0.0.1:1883"},
		"ready http=http://127.0.0.1:8080":                                 {},
		"not ready http=http://127.0.0.1:8080 mqtt=127.0.0.1:1883":         {},
		"": {},
	} {
		got, ok := parseReady(line)
		if ok != (want != readyLine{}) || ok && got != want {
			t.Errorf("parseReady(%q) = %v, %v, want %v", line, got, ok, want)
		}
	}
}

func TestReadyWriterSplitLines(t *testing.T) {
	ready := make(chan readyLine, 1)
	w := &readyWriter{log: &tail{}, ready: ready}
	for _, part := range []string{"first\nrea", "dy http=http://a:1 mqtt=b:2", "\nready http=http://c:3 mqtt=d:4\n", "last"} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-ready; got != (readyLine{"http://a:1", "b:2"}) {
		t.Errorf("ready is %v", got)
	}
	if got := w.log.String(); !strings.HasPrefix(got, "first\nready") || !strings.HasSuffix(got, "\nlast") {
		t.Errorf("log is %q", got)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var l tail
	line := strings.Repeat("x", 1023) + "\n"
	for range 2 * keptLog / len(line) {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	fmt.Fprint(&l, "the end")
	got := l.String()
	if !strings.HasSuffix(got, "x\nthe end") || !strings.HasPrefix(got, "… ") || len(got) > keptLog+100 {
		t.Errorf("kept %d bytes, beginning %.40q, ending %q", len(got), got, got[len(got)-20:])
	}
}

func TestMosquitto(t *testing.T) {
	pub, sub := Require(t, "mosquitto_pub"), Require(t, "mosquitto_sub")
	m := StartMosquitto(t, MosquittoOptions{})
	if out, err := exec.Command(pub, "-h", "127.0.0.1", "-p", m.Port(), "-r", "-q", "1", "-t", "a/b", "-m", "hello").CombinedOutput(); err != nil {
		t.Fatalf("publish: %v\n%s", err, out)
	}
	out, err := exec.Command(sub, "-h", "127.0.0.1", "-p", m.Port(), "-C", "1", "-W", "5", "-t", "a/b").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "hello" {
		t.Errorf("subscribe gives %q, %v", out, err)
	}
	m.Kill()
	if c, err := net.Dial("tcp", m.Addr); err == nil {
		c.Close()
		t.Error("the broker listens after Kill")
	}
}

func TestMosquittoConfig(t *testing.T) {
	pub := Require(t, "mosquitto_pub")
	m := StartMosquitto(t, MosquittoOptions{Config: []string{"allow_anonymous false"}})
	if out, err := exec.Command(pub, "-h", "127.0.0.1", "-p", m.Port(), "-t", "a", "-m", "x").CombinedOutput(); err == nil {
		t.Errorf("an anonymous client could publish: %s", out)
	}
	bad := &tail{}
	if _, err := startMosquitto(Require(t, "mosquitto"), t.TempDir(), FreePort(t), MosquittoOptions{Config: []string{"no_such_option 1"}}, bad); err == nil {
		t.Error("a broken configuration was taken")
	}
}

func TestTmpfsFills(t *testing.T) {
	dir := Tmpfs(t, 1<<20)
	err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 2<<20), 0o600)
	if err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("2 MiB into 1 MiB gives %v, want %v", err, syscall.ENOSPC)
	}
}

// verdict records how a helper ended the test that called it.
type verdict struct {
	testing.TB
	failed, skipped string
}

func (v *verdict) Helper()                        {}
func (v *verdict) Fatalf(format string, a ...any) { v.failed = fmt.Sprintf(format, a...); panic(v) }
func (v *verdict) Skip(a ...any)                  { v.skipped = fmt.Sprint(a...); panic(v) }
func (v *verdict) Skipf(format string, a ...any)  { v.skipped = fmt.Sprintf(format, a...); panic(v) }

func verdictOf(t *testing.T, f func(testing.TB)) (v *verdict) {
	v = &verdict{TB: t}
	defer func() {
		if r := recover(); r != nil && r != any(v) {
			panic(r)
		}
	}()
	f(v)
	return v
}

func TestMissingParts(t *testing.T) {
	none := func(t testing.TB) { Require(t, "no-such-program-anywhere") }
	t.Setenv("CI", "")
	if v := verdictOf(t, none); !strings.Contains(v.skipped, "no-such-program-anywhere is not installed") || v.failed != "" {
		t.Errorf("on a laptop a missing program gives %+v, want a skip that names it", v)
	}
	t.Setenv("CI", "true")
	if v := verdictOf(t, none); !strings.Contains(v.failed, "no-such-program-anywhere is not installed") {
		t.Errorf("with CI=true a missing program gives %+v, want a failure that names it", v)
	}

	data := func(t testing.TB) { DataDir(t, "beijing-prsa") }
	base := t.TempDir()
	t.Setenv("CITYHUB_TEST_DATA", base)
	if v := verdictOf(t, data); !strings.Contains(v.failed, "beijing-prsa") {
		t.Errorf("promised data that are not there give %+v, want a failure", v)
	}
	if err := os.Mkdir(filepath.Join(base, "beijing-prsa"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := DataDir(t, "beijing-prsa"); got != filepath.Join(base, "beijing-prsa") {
		t.Errorf("DataDir is %s", got)
	}
	os.Unsetenv("CITYHUB_TEST_DATA") // Setenv above restores it
	nowhere := func(t testing.TB) { DataDir(t, "no-such-data") }
	if v := verdictOf(t, nowhere); !strings.Contains(v.failed, "CITYHUB_TEST_DATA") {
		t.Errorf("with CI=true data that are not there give %+v, want a failure that says how to name them", v)
	}
	t.Setenv("CI", "")
	if v := verdictOf(t, nowhere); !strings.Contains(v.skipped, "CITYHUB_TEST_DATA") {
		t.Errorf("on a laptop data that are not there give %+v, want a skip that says how to name them", v)
	}
}

func TestFreePort(t *testing.T) {
	l, err := net.Listen("tcp4", loopback(FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestFileSumAndPrune(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, "old"), filepath.Join(dir, "young")
	for _, f := range []string{old, young} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	day := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(old, day.Add(-time.Hour), day.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	prune(dir, day)
	if _, err := os.Stat(old); err == nil {
		t.Error("prune left the old file")
	}
	if sum, err := fileSum(young); err != nil || sum != "2d711642b726b044" {
		t.Errorf("fileSum of %q is %s, %v", "x", sum, err)
	}
}
