//go:build linux

package log

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/twin"
	"cityhub/twin/block"
)

// fill takes the free space but for some bytes and returns a function that
// gives it back.
func fill(t *testing.T, dir string, leave int64) func() {
	free, err := freeBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ballast")
	if err := os.WriteFile(path, make([]byte, max(0, free-leave)), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// The disk runs full in the middle of a write, which breaks the server. The
// log says so, refuses, and comes back once there is room, with everything it
// confirmed and nothing twice.
func TestDiskFull(t *testing.T) {
	dir := testkit.Tmpfs(t, 48<<20)
	o := testOptions(dir)
	o.MinFree = -1
	l := mustOpen(t, o)
	tail := startTail(t, l, twin.Position{}, TailOptions{})
	const rows = 500
	n := 0
	batch := func() []*block.Batch { return []*block.Batch{rowsFrom("", twin.DomainTransport, n*rows, rows)} }
	for ; n < 20; n++ {
		mustAppend(t, l, batch()...)
	}
	for round := range 2 {
		release := fill(t, dir, 200<<10)
		var err error
		for ; ; n++ {
			start := time.Now()
			if _, err = l.Append(t.Context(), batch(), nil); err != nil {
				if took := time.Since(start); took > time.Second {
					t.Errorf("Append took %v to notice", took)
				}
				break
			}
		}
		wantCode(t, err, twin.CodeUnavailable)
		e := wantCode(t, l.Healthy(t.Context()), twin.CodeUnavailable)
		if !strings.Contains(e.Message, "cannot write") && !strings.Contains(e.Message, "restart") {
			t.Errorf("Healthy says %q", e.Error())
		}
		for range 3 { // still full: refused, quickly
			if _, err := l.Append(t.Context(), batch(), nil); err == nil {
				t.Fatal("appended to a full disk")
			}
			time.Sleep(100 * time.Millisecond)
		}
		release()
		eventually(t, "the log is healthy again", func() bool { return l.Healthy(t.Context()) == nil })
		for range 5 {
			mustAppend(t, l, batch()...) // the first is the one that failed
			n++
		}
		tail.want(t, n*rows)
		t.Logf("round %d: %d groups", round, n)
	}
	l.Close()
	l = mustOpen(t, o) // a new life finds the same
	startTail(t, l, twin.Position{}, TailOptions{}).want(t, n*rows)
	l.Close()
}

// The guard refuses before anything breaks.
func TestDiskGuard(t *testing.T) {
	dir := testkit.Tmpfs(t, 48<<20)
	o := testOptions(dir)
	o.MinFree = 8 << 20
	l := mustOpen(t, o)
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	release := fill(t, dir, 4<<20)
	eventually(t, "Append refuses", func() bool {
		_, err := l.Append(t.Context(), []*block.Batch{rowsFrom("", twin.DomainEmergency, 10, 10)}, nil)
		if err == nil {
			return false
		}
		if e := wantCode(t, err, twin.CodeUnavailable); !strings.Contains(e.Message, "the disk of the log has") || e.Hint == "" {
			t.Errorf("error %v", e)
		}
		return true
	})
	wantCode(t, l.Healthy(t.Context()), twin.CodeUnavailable)
	release()
	eventually(t, "healthy again", func() bool { return l.Healthy(t.Context()) == nil })
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 10, 10))
	if f := l.fault.Load(); f != nil {
		t.Fatalf("fault %+v", f)
	}
	l.Close()
}
