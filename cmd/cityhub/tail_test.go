package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/streams/client"
	"cityhub/twin"
)

func TestTailColumns(t *testing.T) {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	zone := time.FixedZone("CST", 8*3600)
	c := newColumns(w, zone, true, true)
	d := client.Datastream{ID: 1, Terminal: "air-1", Name: "北寺塔", Property: "pm25", Unit: "µg/m³"}
	evil := client.Datastream{ID: 2, Terminal: "x\x1b[2Jy", NameEn: "Fire", Property: "smoke", Simulated: true}
	for _, err := range []error{
		c.reading(&d, &client.Observation{Datastream: 1, PhenomenonNs: 1790000000123456789, Result: client.Result{Kind: client.Number, Value: 12.5}, Quality: twin.QualityNotEvaluated}, twin.Position{}),
		c.reading(&evil, &client.Observation{Datastream: 2, PhenomenonNs: 1790000000e9, Result: client.Result{Kind: client.Truth, Value: 1}, Quality: twin.QualityBad}, twin.Position{}),
		c.reading(&client.Datastream{}, &client.Observation{Datastream: 9}, twin.Position{}),
		w.Flush(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "\x1b[1mTIME                           TERMINAL      NAME          PROPERTY    RESULT  UNIT   QUALITY\x1b[0m\n" +
		"2026-09-21 22:13:20.123+08:00  air-1         北寺塔        pm25          12.5  µg/m³\n" +
		"\x1b[31m2026-09-21 22:13:20.000+08:00  x\ufffd[2Jy        Fire (simulated)  smoke         true         bad\x1b[0m\n" +
		"1970-01-01 08:00:00.000+08:00  datastream 9                                     -         quality-0\n"
	if b.String() != want {
		t.Errorf("printed\n%q\nwant\n%q", b.String(), want)
	}
	if n := displayWidth("北寺塔 e\u0301"); n != 8 {
		t.Errorf("a width of %d", n)
	}
}

func TestTailRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for want, args := range map[string][]string{
		"--bbox": {"--bbox", "1,2,3"}, "--domain": {"--domain", "weather"}, "--since": {"--since", "yesterday"}, "--interval": {"--interval", "1s"}, "every": {"--mode", "fast"},
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"tail"}, args...), &output{&out, &errs}); code == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%q exits with %d and says %s", args, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"tail", "--server", "http://127.0.0.1:1"}, &output{&out, &errs}); code != 1 || !strings.Contains(errs.String(), "127.0.0.1:1") {
		t.Errorf("no hub: %d, %s", code, errs.String())
	}
}

// A state that comes again is not printed again, and --new leaves out the first.
func TestTailPrintsOnce(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		var b, notes bytes.Buffer
		w := bufio.NewWriter(&b)
		tl := &tail{cmd: &tailCmd{}, note: &notes, out: w, print: jsonLines{w}, known: map[twin.DatastreamID]*tailed{}, quiet: quiet}
		obs := func(ns int64) []client.Observation {
			return []client.Observation{{Datastream: 1, PhenomenonNs: ns, Result: client.Result{Kind: client.Number, Value: float64(ns)}}}
		}
		for _, ev := range []client.Event{
			&client.Connected{}, &client.Snapshot{First: true, Last: true, Datastreams: []client.Datastream{{ID: 1, Terminal: "t"}}, Observations: obs(1)},
			&client.Delta{Observations: obs(2), Position: twin.Position{Epoch: "e", Offset: 7}}, &client.Disconnected{Err: errors.New("gone")}, &client.Connected{}, &client.Gap{Reason: "why"},
			&client.Snapshot{First: true, Last: true, Observations: obs(2)}, &client.Snapshot{First: true, Last: true, Observations: obs(3)},
			&client.Delta{Observations: obs(2)}, // a correction comes as it arrives
			&client.Failed{Err: &twin.Error{Message: "busy"}, Retry: time.Second},
		} {
			if err := tl.take(ev); err != nil {
				t.Fatal(err)
			}
		}
		if err := tl.take(&client.Failed{Err: &twin.Error{Message: "no"}}); err == nil {
			t.Error("a refusal does not end it")
		}
		_ = w.Flush()
		var got []string
		for line := range strings.Lines(b.String()) {
			_, result, _ := strings.Cut(line, `"result":`)
			got = append(got, result[:1])
			if strings.Contains(line, `"position":"e:7"`) != (result[:1] == "2" && len(got) == map[bool]int{false: 2, true: 1}[quiet]) {
				t.Errorf("position in %s", line)
			}
		}
		if want := map[bool]string{false: "[1 2 3 2]", true: "[2 3 2]"}[quiet]; fmt.Sprint(got) != want {
			t.Errorf("printed %v, want %s", got, want)
		}
		for _, want := range []string{"is lost: gone", "connected again", "may be missing", "busy"} {
			if !strings.Contains(notes.String(), want) {
				t.Errorf("not told: %q in %s", want, notes.String())
			}
		}
	}
}

// tailing is a running cityhub tail.
type tailing struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	errs  chan string
}

func startTail(t *testing.T, h *testkit.Hub, args ...string) *tailing {
	t.Helper()
	r := &tailing{t: t, cmd: exec.CommandContext(t.Context(), testkit.BuildBinary(t), append([]string{"tail", "--server", h.HTTP}, args...)...), lines: make(chan string, 1000), errs: make(chan string, 1000)}
	r.cmd.Env = append(r.cmd.Environ(), "TZ=Asia/Shanghai")
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pass := func(from io.Reader, to chan<- string) {
		s := bufio.NewScanner(from)
		for s.Scan() {
			to <- s.Text()
		}
		close(to)
	}
	go pass(out, r.lines)
	go pass(errs, r.errs)
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	return r
}

func (r *tailing) next(from chan string, want string) string {
	r.t.Helper()
	select {
	case line, ok := <-from:
		if !ok {
			r.t.Fatalf("cityhub tail ended instead of saying %q", want)
		}
		if !strings.Contains(line, want) {
			r.t.Fatalf("printed %q, want %q", line, want)
		}
		return line
	case <-time.After(20 * time.Second):
		r.t.Fatalf("nothing printed, want %q", want)
		return ""
	}
}

func (r *tailing) end(sig syscall.Signal) {
	r.t.Helper()
	if sig != 0 {
		if err := r.cmd.Process.Signal(sig); err != nil {
			r.t.Fatal(err)
		}
	}
	for range r.lines { // until it has ended
	}
	for line := range r.errs {
		r.t.Errorf("on standard error: %s", line)
	}
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("ended with %v, want status 0", err)
	}
}

func publish(t *testing.T, h *testkit.Hub, terminal, payload string) {
	t.Helper()
	host, port, err := net.SplitHostPort(h.MQTT)
	if err != nil {
		t.Fatal(err)
	}
	run1(t, "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", "terminals/"+terminal+"/up/json", "-m", payload)
}

// What a terminal publishes stands in the terminal window of whoever tails it.
func TestTail(t *testing.T) {
	port := testkit.FreePort(t)
	h := startCity(t, "--http", fmt.Sprintf("127.0.0.1:%d", port))
	publish(t, h, "beisita", `{"t":1790000000000,"pm25":12.5,"wd":"NNW"}`)

	text := startTail(t, h, "-p", "pm25", "--bbox", "120.61,31.32,120.62,31.33")
	text.next(text.lines, "2026-09-21 22:13:20.000+08:00  beisita       北寺塔空气站  pm25          12.5  µg/m³")
	asJSON := startTail(t, h, "--json", "-n", "5")
	three := startTail(t, h, "--utc", "-n", "2", "--datastream", fmt.Sprint(streamID(t, h, "beisita", "wd")))
	three.next(three.lines, "2026-09-21 14:13:20.000+00:00")

	asJSON.next(asJSON.lines, `"result":12.5`)
	asJSON.next(asJSON.lines, `"result":"NNW"`)
	publish(t, h, "beisita", `{"t":1790000001000,"pm25":13.5,"wd":"N"}`)
	text.next(text.lines, "13.5")
	three.next(three.lines, "N")
	three.end(0)
	line := asJSON.next(asJSON.lines, `"phenomenonTime":"2026-09-21T14:13:21Z"`) + asJSON.next(asJSON.lines, `"position":"`)
	for _, want := range []string{`"result":13.5`, `"result":"N"`, `"terminal":"beisita"`, `"property":"pm25"`, `"quality":"not-evaluated"`, `"lon":120.6154`} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}

	// The hub dies and comes back: told on standard error, and nothing is printed twice.
	h.Kill9()
	text.next(text.errs, "the connection is lost")
	h.Restart()
	for !strings.Contains(text.next(text.errs, ""), "connected again") {
	}
	publish(t, h, "beisita", `{"t":1790000002000,"pm25":14.5}`)
	text.next(text.lines, "14.5")
	asJSON.next(asJSON.lines, `"result":14.5`)
	drain(text.errs)
	drain(asJSON.errs)
	asJSON.end(0) // after five
	text.end(syscall.SIGINT)

	// A mistake is the hub's to name, and ends it.
	bad := startTail(t, h, "--bbox", "1,2,3,400")
	bad.next(bad.errs, "filter.bbox")
	var exit *exec.ExitError
	if err := bad.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("a bad filter ends with %v", err)
	}
}

// drain takes what was said already.
func drain(c chan string) {
	for {
		select {
		case _, ok := <-c:
			if !ok {
				return
			}
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}
