package log

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
)

const crashDirEnv = "CITYHUB_LOG_CRASH_DIR"

// crashChild appends from several goroutines and prints the first time of
// every group once it is durable, until it is killed.
func crashChild(dir string) int {
	l, err := Open(context.Background(), Options{Dir: dir, MinFree: 1 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	seed := time.Now().UnixNano() / 1000 * 1000 // rounds do not overlap
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := seed
	for range 4 {
		wg.Go(func() {
			for {
				mu.Lock()
				first := next
				next += crashRows
				mu.Unlock()
				a, b := &block.Batch{Domain: twin.DomainTransport}, &block.Batch{Domain: twin.DomainEmergency}
				for i := range int64(crashRows) {
					c := a
					if i%2 == 1 {
						c = b
					}
					c.AppendNumber(1, first+i, first+i, 1, twin.QualityGood)
				}
				if _, err := l.Append(context.Background(), []*block.Batch{a, b}, nil); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				os.Stdout.WriteString(fmt.Sprintf("%d\n", first)) // one write, whole lines
			}
		})
	}
	wg.Wait()
	return 0
}

const crashRows = 50

// Every Append that returned nil is there after SIGKILL, once.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	acked := map[int64]bool{}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDirEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var timer *time.Timer
		n := 0
		for sc := bufio.NewScanner(out); sc.Scan(); n++ {
			var first int64
			if _, err := fmt.Sscanf(sc.Text(), "%d", &first); err != nil {
				t.Fatalf("%q: %v", sc.Text(), err)
			}
			acked[first] = true
			if timer == nil {
				timer = time.AfterFunc(time.Duration(rand.IntN(300))*time.Millisecond, func() { cmd.Process.Kill() })
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the child was not killed: %v", err)
		}
		if n == 0 {
			t.Fatal("the child confirmed nothing")
		}
	}
	l := mustOpen(t, testOptions(dir))
	_, last, err := l.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]int{}
	stop := fmt.Errorf("end")
	if err := l.Tail(t.Context(), twin.Position{}, TailOptions{}, func(_ context.Context, batches []*block.Batch, pos twin.Position) error {
		for _, b := range batches {
			for _, v := range b.PhenomenonNs {
				seen[v]++
			}
		}
		if pos.Offset == last.Offset {
			return stop
		}
		return nil
	}); err != stop {
		t.Fatal(err)
	}
	missing := 0
	for first := range acked {
		for i := range int64(crashRows) {
			if seen[first+i] == 0 {
				missing++
			}
		}
	}
	for v, n := range seen {
		if n != 1 {
			t.Errorf("row %d is there %d times", v, n)
		}
	}
	if missing > 0 {
		t.Fatalf("%d confirmed rows are missing", missing)
	}
	t.Logf("%d groups confirmed over %d kills, %d rows in the log", len(acked), rounds, len(seen))
}
