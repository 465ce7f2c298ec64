package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestObservationsOfMessages(t *testing.T) {
	type row struct {
		ds, ms int64
		result string
	}
	for _, c := range []struct {
		message string
		want    []row
		fails   bool
	}{
		{message: `{"type":"delta","view":"v1","position":{"epoch":"e","offset":3},"observations":[[7,1790000000000,12.5,2],[8,1790000000001,3,2]],"datastreams":[{"id":8}]}`,
			want: []row{{7, 1790000000000, "12.5"}, {8, 1790000000001, "3"}}},
		{message: `{"type":"snapshot","datastreams":[{"name":"\"observations\":[[1,1,1,1]]"}],"observations":[]}`},
		{message: `{"type":"snapshot","observations":[[1,2,-4e9,0]]}`, want: []row{{1, 2, "-4e9"}}},
		{message: `{"type":"delta"}`, fails: true},
		{message: `{"type":"delta","observations":[[1,2,3`, fails: true},
		{message: `{"type":"delta","observations":[[1,2,3,4]`, fails: true},
		{message: `{"type":"delta","observations":[[,2,3,4]]}`, fails: true},
		{message: `{"type":"delta","observations":[[1,2.5,3,4]]}`, fails: true},
		{message: `{"type":"delta","observations":[[9999999999999999999,2,3,4]]}`, fails: true},
	} {
		var got []row
		err := eachObservation([]byte(c.message), func(ds, ms int64, result []byte) error {
			got = append(got, row{ds, ms, string(result)})
			return nil
		})
		if (err != nil) != c.fails || !c.fails && fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, %v", c.message, got, err)
		}
	}
	stop := errors.New("enough")
	if err := eachObservation([]byte(`"observations":[[1,2,3,4]]`), func(int64, int64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	for m, want := range map[string]string{`{"type":"delta","x":1}`: "delta", `{"x":"type"}`: "", `{"type":"heartbeat"}`: "heartbeat"} {
		if got := kind([]byte(m)); got != want {
			t.Errorf("%s is %q", m, got)
		}
	}
}

func TestLiveRunFindsWhatIsWrong(t *testing.T) {
	fresh := func() *liveRun {
		r := newLiveRun(nil, 1000, 10*time.Millisecond, 100*time.Millisecond)
		r.start = 1000
		for n := range 3 {
			r.sentMs[n] = 500
			r.sentNs[n].Store(2000)
		}
		return r
	}
	if r := fresh(); r.total != 100 || r.dueNs(0) != 0 || r.dueNs(1) != 1e6 || r.dueNs(51) != 51e6 {
		t.Fatalf("%d readings, due %d, %d, %d", r.total, r.dueNs(0), r.dueNs(1), r.dueNs(51))
	}
	for name, take := range map[string]func(r *liveRun) error{
		"never published":     func(r *liveRun) error { return r.take(9000, 500, []byte("100")) },
		"no number":           func(r *liveRun) error { return r.take(9000, 500, []byte("1.5")) },
		"not sent yet":        func(r *liveRun) error { return r.take(9000, 500, []byte("3")) },
		"another time":        func(r *liveRun) error { return r.take(9000, 501, []byte("2")) },
		"delivered once more": func(r *liveRun) error { _ = r.take(9000, 500, []byte("2")); return r.take(9000, 500, []byte("2")) },
	} {
		if take(fresh()) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	// Readings of the warm-up are checked and not measured.
	r := fresh()
	r.sentNs[20].Store(1000 + 20e6 + 5e6)
	for n, atMs := range map[string]int64{"0": 500, "1": 500, "20": 0} {
		if err := r.take(1000+20e6+15e6, atMs, []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	if r.arrived.Load() != 3 || r.handed.TotalCount() != 1 || !r.handed.ValuesAreEquivalent(r.handed.Max(), 10_000) || !r.due.ValuesAreEquivalent(r.due.Max(), 15_000) {
		t.Errorf("%d arrived, %d measured, %d µs, %d µs", r.arrived.Load(), r.handed.TotalCount(), r.handed.Max(), r.due.Max())
	}
}

func TestGoBenchOutputIsRead(t *testing.T) {
	got, err := parseBench("goos: linux\nBenchmarkAppend/rows=16384-2 \t 100\t 11861000 ns/op\t 1381000 rows/s\t 12 B/op\nPASS\n")
	if err != nil || got["rows/s"] != 1381000 || got["B/op"] != 12 {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"PASS\n", "BenchmarkA-2 1 2 ns/op\nBenchmarkB-2 1 2 ns/op\n", "BenchmarkA-2 1 x ns/op\n"} {
		if _, err := parseBench(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestProcFilesAreRead(t *testing.T) {
	stat := "42 (city hub) 1) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 2"
	u, err := parseUsage(stat, "Name:\tcityhub\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
	if err != nil || u.cpuSeconds != 3 || u.rss != 1<<20 || u.peak != 2<<20 {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := parseUsage(stat, "VmRSS: 1 kB\n"); err == nil {
		t.Error("a status without VmHWM is taken")
	}
	if _, err := parseUsage("42 (x) S 1", ""); err == nil {
		t.Error("a short stat is taken")
	}
	mounts := "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /data\\040x xfs rw 0 0\n"
	for dir, want := range map[string]string{"/home/x": "ext4 on /dev/a", "/tmp/y": "tmpfs on tmpfs", "/tmpfile": "ext4 on /dev/a", "/data x/y": "xfs on /dev/b"} {
		if got := fileSystem(mounts, dir); got != want {
			t.Errorf("%s lies on %s, want %s", dir, got, want)
		}
	}
	if got := cpuModel("processor\t: 0\nmodel name\t: A B\n"); got != "A B" {
		t.Error(got)
	}
}

func TestReadyLine(t *testing.T) {
	found := make(chan [2]string, 1)
	w := &readyWriter{to: &tail{}, found: found}
	for _, s := range []string{"note\nrea", "dy http=http://127.0.0.1:1/ mqtt=127.0.0.1:2\nready http=x mqtt=y\n", "more\n"} {
		if _, err := io.WriteString(w, s); err != nil {
			t.Fatal(err)
		}
	}
	if a := <-found; a != [2]string{"http://127.0.0.1:1", "127.0.0.1:2"} {
		t.Error(a)
	}
	if got := w.to.String(); !strings.HasPrefix(got, "note\nready") || !strings.HasSuffix(got, "more\n") {
		t.Errorf("%q", got)
	}
}

func TestLogGrowth(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	g := &logGrowth{cancel: func() {}}
	for _, l := range []struct {
		last uint64
		at   float64
	}{{7, 1}, {7, 2}, {9, 3}, {9, 4}, {12, 5}, {12, 6}} {
		if !g.saw(l.last, at(l.at), nil) {
			t.Fatal("ended")
		}
	}
	if span, err := g.settled(t.Context()); err != nil || span != 3*time.Second {
		t.Errorf("grew for %v, %v; want from 2 s to 5 s", span, err)
	}
}

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		count(1234567): "1,234,567", count(999.6): "1,000", count(12.34): "12.3", count(1.234): "1.23", count(50): "50", count(-123456): "-123,456", count(100000): "100,000",
		bytesText(512): "512 B", bytesText(1536): "1.5 KB", bytesText(3 << 30): "3.0 GB", durationText(1500 * time.Millisecond): "1.50 s", durationText(20 * time.Millisecond): "20 ms",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestReport(t *testing.T) {
	r := &report{Machine: machine{Processor: "A | B", Cores: 2, Memory: 1 << 30, FileSystem: "ext4 on /dev/a", Version: "v1"}}
	r.add(row{name: "a", about: "row a"}, []line{{Path: "p", Goal: "—", Measured: "12 readings/s", Checked: "all stored"}}, nil)
	if r.failed() {
		t.Error("nothing failed")
	}
	r.add(row{name: "b", about: "row b"}, []line{{Path: "shown nowhere"}}, errors.New("3 are missing\nthe log"))
	if !r.failed() {
		t.Error("b failed")
	}
	var md, js bytes.Buffer
	if err := errors.Join(r.writeMarkdown(&md), r.writeJSON(&js)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`| processor, cores | A \| B, 2 |`, "| memory | 1.0 GB |", "| p | — | 12 readings/s; all stored |\n", "| row b | | FAILED: 3 are missing |\n"} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("no %q in\n%s", want, md.String())
		}
	}
	if strings.Contains(md.String(), "shown nowhere") {
		t.Error("a row that failed shows a figure")
	}
	var back report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || len(back.Rows) != 2 || back.Rows[0].Lines[0].Measured != "12 readings/s" {
		t.Errorf("%v\n%s", err, js.String())
	}
}

func TestRowsAreBoundedAndEndWhatTheyStart(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows() {
		if names[r.name] || r.limit <= 0 || r.about == "" || r.run == nil {
			t.Errorf("%+v", r)
		}
		names[r.name] = true
	}
	// A program that prints its addresses and never answers: the row's limit
	// ends it.
	dir := t.TempDir()
	silent := filepath.Join(dir, "silent")
	script := "#!/bin/sh\necho 'ready http=http://127.0.0.1:1 mqtt=127.0.0.1:1'\nexec sleep 60\n"
	if err := os.WriteFile(silent, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	b := &bench{dir: dir, binary: silent, errs: &log}
	var h *hub
	_, err := b.runRow(t.Context(), row{name: "x", limit: 500 * time.Millisecond, run: func(ctx context.Context, b *bench) ([]line, error) {
		_, err := b.startHub(ctx, b.file("data"))
		h = b.hub[0]
		return nil, err
	}})
	if err == nil || !strings.Contains(err.Error(), "not done after 500ms") || h.running() {
		t.Errorf("%v, running: %v", err, h.running())
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the row's folder is left")
	}
	if !strings.Contains(log.String(), "ready http=") {
		t.Errorf("the hub's log is not shown: %q", log.String())
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--list", "--run", "latency"}, 0, "latency-20k"},
		{[]string{"--help"}, 0, "--quick"},
		{[]string{"--run", "nothing like this"}, 2, "no row to run matches"},
		{[]string{"--run", "^replay$"}, 2, "left out"},
		{[]string{"--run", "("}, 2, "--run"},
		{[]string{"more"}, 2, `"more"`},
		{[]string{"--nosuch"}, 2, "nosuch"},
	} {
		var out bytes.Buffer
		if code := run(c.args, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: %d\n%s", c.args, code, out.String())
		}
	}
}
