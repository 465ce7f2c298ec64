package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"cityhub/internal/testkit"
)

// A manifest is imported into a stopped hub and into a running one; a mistake
// names the line and imports nothing.
func TestImportTerminals(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	write(t, good, terminals)
	write(t, bad, strings.Replace(terminals, "domain: environment", "domain: weather", 1))
	data := filepath.Join(dir, "data")
	h := testkit.StartHub(t, testkit.HubOptions{DataDir: data})
	cli := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return h.Run(ctx, args...)
	}
	if out, err := cli("import", "terminals", good, "--data", data); err == nil || !strings.Contains(out, "another cityhub uses the data folder") {
		t.Errorf("importing into the folder of a running hub: %v\n%s", err, out)
	}
	out, err := cli("import", "terminals", bad, "--server", h.HTTP, "--token", h.Token())
	if err == nil || !strings.Contains(out, "line 10") && !strings.Contains(out, ":10") || !strings.Contains(out, "weather") || !strings.Contains(out, "environment") {
		t.Errorf("a bad domain in line 10: %v\n%s", err, out)
	}
	call(t, h, http.MethodGet, "/api/v1/terminals/fire-1", "", "", http.StatusNotFound, nil)
	if out, err := cli("import", "terminals", good, "--server", h.HTTP); err == nil || !strings.Contains(out, "token") {
		t.Errorf("importing without a token: %v\n%s", err, out)
	}
	if out, err := cli("import", "terminals", good, "--server", h.HTTP, "--token", h.Token(), "--dry-run"); err != nil || !strings.Contains(out, "2 terminals created") || !strings.Contains(out, "dry run") {
		t.Errorf("dry run: %v\n%s", err, out)
	}
	call(t, h, http.MethodGet, "/api/v1/terminals/fire-1", "", "", http.StatusNotFound, nil)
	if out, err := cli("import", "terminals", good, "--server", h.HTTP, "--token", h.Token()); err != nil || !strings.Contains(out, "2 terminals created, 0 updated, 0 unchanged; 3 datastreams") {
		t.Errorf("%v\n%s", err, out)
	}
	call(t, h, http.MethodGet, "/api/v1/terminals/fire-1", "", "", http.StatusOK, nil)
	h.Stop()
	if out, err := cli("import", "terminals", good, "--data", data); err != nil || !strings.Contains(out, "0 terminals created, 0 updated, 2 unchanged") {
		t.Errorf("importing the same again into the stopped hub: %v\n%s", err, out)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTokenCommands(t *testing.T) {
	h := startCity(t)
	cli := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := h.Run(ctx, append(args, "--server", h.HTTP, "--token", h.Token())...)
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return out
	}
	secret := strings.TrimSpace(cli("token", "new", "control-room", "--for", "720h"))
	callAs(t, h, secret, http.MethodGet, "/api/v1/status", "", "", http.StatusOK, nil)
	list := cli("token", "list")
	if !strings.Contains(list, "control-room") || strings.Contains(list, secret) {
		t.Errorf("the list is\n%s", list)
	}
	id := ""
	for line := range strings.Lines(list) {
		if strings.Contains(line, "control-room") {
			id = strings.Fields(line)[0]
		}
	}
	cli("token", "revoke", id)
	callAs(t, h, secret, http.MethodGet, "/api/v1/status", "", "", http.StatusUnauthorized, nil)
}

func TestHelp(t *testing.T) {
	h := testkit.HubOptions{Binary: testkit.BuildBinary(t)}
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"import", "terminals", "--help"}, {"replay", "--help"}, {"load", "--help"}, {"tail", "--help"}, {"token", "new", "--help"}} {
		out := run1(t, h.Binary, args...)
		if !strings.Contains(out, "Usage: cityhub") {
			t.Errorf("%q prints\n%s", args, out)
		}
	}
}

// The same hub on an external NATS server: log.url.
func TestExternalLog(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	h := startCity(t, "--set", "log.url="+s.ClientURL())
	c, _ := subscribe(t, h, "", `{}`)
	post(t, h, "beisita", "pm25", 7)
	if m := delta(t, c); len(m.Observations) != 1 || m.Observations[0][2] != 7.0 {
		t.Errorf("the delta is %+v", m)
	}
	if _, err := os.Stat(filepath.Join(h.DataDir, "log")); err == nil {
		t.Error("the hub has a log of its own beside the external one")
	}
	h.Stop()
	h.Restart()
	_, snap := subscribe(t, h, "", `{}`)
	if len(snap.Observations) != 1 {
		t.Errorf("after a restart the snapshot holds %v", snap.Observations)
	}
}
