package pebble

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series"
)

const crashDatastreams = 40

// crashBatch is record n of a log: late readings, corrections, texts.
func crashBatch(n uint64) []*block.Batch {
	rng := rand.New(rand.NewPCG(n, 42))
	var out []*block.Batch
	for range 1 + rng.IntN(3) {
		b := &block.Batch{}
		b.Reset("320508", twin.DomainEnvironment)
		for range 50 + rng.IntN(400) {
			ds := twin.DatastreamID(1 + rng.IntN(crashDatastreams))
			ns := benchStart + (int64(n)*20+int64(rng.IntN(4000)-3900))*10e9
			if rng.IntN(5) == 0 {
				b.AppendText(ds, ns, ns, strconv.Itoa(rng.IntN(1000)), twin.QualityGood)
			} else {
				b.AppendNumber(ds, ns, ns+rng.Int64N(1e9), rng.Float64(), twin.QualityGood)
			}
		}
		out = append(out, b)
	}
	return out
}

// crashModel is what a store holds after records 1 to n.
type crashModel struct {
	rows   [crashDatastreams + 1]map[int64]twin.Observation
	latest [crashDatastreams + 1]twin.Observation
	n      uint64
}

func (m *crashModel) upTo(n uint64) {
	for m.n < n {
		m.n++
		for _, b := range crashBatch(m.n) {
			for i := range b.Len() {
				o := b.Row(i)
				if m.rows[o.Datastream] == nil {
					m.rows[o.Datastream] = map[int64]twin.Observation{}
				}
				m.rows[o.Datastream][o.PhenomenonNs] = o
				if l := m.latest[o.Datastream]; l.Datastream == 0 || o.PhenomenonNs >= l.PhenomenonNs {
					m.latest[o.Datastream] = o
				}
			}
		}
	}
}

// check compares every row and latest value with the model at the position
// of the store, which it returns.
func (m *crashModel) check(t *testing.T, s *Store) uint64 {
	t.Helper()
	ctx := context.Background()
	pos, err := s.Position(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if pos.Offset < m.n {
		t.Fatalf("position %v, %d was acknowledged", pos, m.n)
	}
	m.upTo(pos.Offset)
	for ds := twin.DatastreamID(1); ds <= crashDatastreams; ds++ {
		n, last := 0, int64(math.MinInt64)
		err := s.Range(ctx, ds, series.Window{FromNs: math.MinInt64}, func(o twin.Observation) bool {
			if n++; o != m.rows[ds][o.PhenomenonNs] || o.PhenomenonNs <= last {
				t.Fatalf("at position %v: got %+v after %d, want %+v", pos, o, last, m.rows[ds][o.PhenomenonNs])
			}
			last = o.PhenomenonNs
			return true
		})
		if err != nil || n != len(m.rows[ds]) {
			t.Fatalf("at position %v datastream %d has %d rows, %v, want %d", pos, ds, n, err, len(m.rows[ds]))
		}
		if o, ok, err := s.Latest(ctx, ds); err != nil || ok != (m.latest[ds].Datastream != 0) || o != m.latest[ds] {
			t.Fatalf("at position %v latest %+v, %v, %v, want %+v", pos, o, ok, err, m.latest[ds])
		}
	}
	return pos.Offset
}

func appendCrash(t *testing.T, s *Store, n uint64) {
	t.Helper()
	if err := s.Append(context.Background(), crashBatch(n), twin.Position{Epoch: "crash", Offset: n}); err != nil {
		t.Fatal(err)
	}
}

const crashDirEnv = "CITYHUB_TEST_SERIES_CRASH_DIR"

// TestKillChild is the child of TestKill: it appends until it is killed and
// says which records are stored.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(crashDirEnv)
	if dir == "" {
		t.Skip("runs as the child of TestKill")
	}
	s, err := Open(dir, Options{MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	pos, err := s.Position(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for n := pos.Offset + 1; ; n++ {
		appendCrash(t, s, n)
		fmt.Printf("stored %d\n", n)
	}
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	m := &crashModel{}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		cmd.Env = append(os.Environ(), crashDirEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged, killed := m.n, false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n uint64
			if _, err := fmt.Sscanf(lines.Text(), "stored %d", &n); err != nil {
				t.Errorf("the child said %q", lines.Text())
				continue
			}
			acknowledged = n
			if !killed { // from the first record on, at any moment
				killed = true
				time.AfterFunc(time.Duration(rng.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
		}
		if err := cmd.Wait(); err == nil || !killed {
			t.Fatalf("the child ended by itself: %v", err)
		}
		m.upTo(acknowledged)
		s, err := Open(dir, Options{MemTableBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		last := m.check(t, s)
		for n := max(1, last-min(last, 5)); n <= last; n++ { // a replay
			appendCrash(t, s, n)
		}
		m.check(t, s)
		appendCrash(t, s, last+1)
		m.check(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d records survived %d kills", m.n, rounds)
}

// TestPowerLoss also takes away what was not synced: all of it, or any part.
func TestPowerLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	fs := vfs.NewCrashableMem()
	m := &crashModel{}
	for round := range 12 {
		s, err := Open("series", Options{MemTableBytes: 1 << 20, fs: fs})
		if err != nil {
			t.Fatal(err)
		}
		last := m.check(t, s)
		for n := last + 1; n <= last+uint64(5+rng.IntN(40)); n++ {
			appendCrash(t, s, n)
			m.upTo(n)
		}
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[round%3], RNG: rng})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fs = clone
	}
}
