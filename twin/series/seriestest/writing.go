package seriestest

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series"
)

func testOutOfOrder(t *testing.T, h *harness) {
	var want []twin.Observation
	for i := range int64(300) {
		want = append(want, num(1, base+i*11*minute, float64(i)))
	}
	mixed := slices.Clone(want)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	for part := range slices.Chunk(mixed, 37) {
		h.append(part...)
	}
	h.wantRange(1, all(), want...)
	h.wantLatest(1, want[299])
}

func testDuplicates(t *testing.T, h *harness) {
	// Within one Append, over several batches, the last row wins.
	first, second, third := num(1, base, 1), num(1, base, 2), num(1, base, 3)
	other := num(2, base, 4)
	err := h.store.Append(context.Background(), []*block.Batch{batchOf(first, other, second), batchOf(), batchOf(other, third)}, h.pos())
	if err != nil {
		t.Fatal(err)
	}
	h.wantRange(1, all(), third)
	h.wantRange(2, all(), other)
	h.wantLatest(1, third)
}

func testCorrections(t *testing.T, h *harness) {
	a, b, c := num(1, base, 1), num(1, base+hour, 2), num(1, base+2*hour, 3)
	h.append(a, b, c)
	b2 := b
	b2.Value, b2.Quality, b2.ResultNs = 20, twin.QualitySuspect, b.ResultNs+day
	h.append(b2)
	h.wantRange(1, all(), a, b2, c)
	h.wantLatest(1, c)
	c2 := text(1, base+2*hour, "withdrawn")
	h.append(c2)
	h.wantRange(1, all(), a, b2, c2)
	h.wantLatest(1, c2)
	h.append(c)
	h.wantRange(1, all(), a, b2, c)
	h.wantLatest(1, c)
}

func testLatest(t *testing.T, h *harness) {
	h.append(num(1, base, 1))
	h.wantLatest(1, num(1, base, 1))
	h.append(num(1, base+1, 2))
	h.wantLatest(1, num(1, base+1, 2))
	h.append(num(1, base-day, 3), num(1, base, 4)) // late
	h.wantLatest(1, num(1, base+1, 2))
	h.append(num(1, base+3, 6), num(1, base+2, 5)) // out of order in one Append
	h.wantLatest(1, num(1, base+3, 6))
	h.restart()
	h.append(num(1, base+2, 7)) // late, after a restart
	h.wantLatest(1, num(1, base+3, 6))
	h.append(num(1, base+3, 8))
	h.wantLatest(1, num(1, base+3, 8))
}

func testEachLatest(t *testing.T, h *harness) {
	ids := []twin.DatastreamID{900, 3, 70_000, 1, 256, 255}
	want := map[twin.DatastreamID]twin.Observation{}
	for round := range int64(3) {
		var obs []twin.Observation
		for i, id := range ids {
			o := num(id, base+round*hour+int64(i), float64(round))
			obs, want[id] = append(obs, o), o
		}
		h.append(obs...)
	}
	h.append(num(3, base-day, -1))
	slices.Sort(ids)
	var got []twin.Observation
	if err := h.store.EachLatest(context.Background(), func(o twin.Observation) bool { got = append(got, o); return true }); err != nil {
		t.Fatal(err)
	}
	var sorted []twin.Observation
	for _, id := range ids {
		sorted = append(sorted, want[id])
	}
	equal(t, got, sorted)
}

func testBadRows(t *testing.T, h *harness) {
	h.append(num(1, base, 1))
	before, _ := h.store.Position(context.Background())
	for _, ds := range []twin.DatastreamID{0, -1} {
		err := h.store.Append(context.Background(), []*block.Batch{batchOf(num(1, base+1, 2), num(ds, base, 3))}, h.pos())
		if twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("datastream %d: %v, want code invalid", ds, err)
		}
		h.wantRange(ds, all())
	}
	h.wantRange(1, all(), num(1, base, 1)) // all or nothing
	h.wantPosition(before)
	h.append(num(1, base+1, 2)) // and the store goes on
	h.wantRange(1, all(), num(1, base, 1), num(1, base+1, 2))
}

func testPosition(t *testing.T, h *harness) {
	h.appendAt(twin.Position{Epoch: "a", Offset: 7}, num(1, base, 1))
	h.wantPosition(twin.Position{Epoch: "a", Offset: 7})
	h.appendAt(twin.Position{Epoch: "a", Offset: 900}) // no rows: the position still moves
	h.wantPosition(twin.Position{Epoch: "a", Offset: 900})
	h.appendAt(twin.Position{}, num(1, base+1, 2)) // rows that are not from the log leave it
	h.wantPosition(twin.Position{Epoch: "a", Offset: 900})
	h.wantRange(1, all(), num(1, base, 1), num(1, base+1, 2))
	h.restart()
	h.wantPosition(twin.Position{Epoch: "a", Offset: 900})
	h.appendAt(twin.Position{Epoch: "b", Offset: 1}, num(1, base+2, 3)) // a log that was recreated counts from 1
	h.wantPosition(twin.Position{Epoch: "b", Offset: 1})
	h.wantRange(1, all(), num(1, base, 1), num(1, base+1, 2), num(1, base+2, 3))
}

func testReplay(t *testing.T, h *harness) {
	type step struct {
		pos twin.Position
		obs []twin.Observation
	}
	var steps []step
	for i := range int64(5) {
		steps = append(steps, step{h.pos(), []twin.Observation{num(1, base+i, float64(i)), num(2, base, float64(i)), text(3, base+i*hour, "x")}})
	}
	for _, s := range steps {
		h.appendAt(s.pos, s.obs...)
	}
	check := func() {
		t.Helper()
		var want1, want3 []twin.Observation
		for _, s := range steps {
			want1, want3 = append(want1, s.obs[0]), append(want3, s.obs[2])
		}
		h.wantRange(1, all(), want1...)
		h.wantRange(2, all(), steps[4].obs[1]) // the last correction, not a replayed older one
		h.wantRange(3, all(), want3...)
		h.wantLatest(2, steps[4].obs[1])
		h.wantPosition(steps[4].pos)
	}
	check()
	for _, from := range []int{4, 0, 2} {
		for _, s := range steps[from:] {
			h.appendAt(s.pos, s.obs...)
		}
		check()
		h.appendAt(steps[from].pos, steps[from].obs...) // one old batch alone
		check()
		h.restart()
		check()
	}
}

func testRestart(t *testing.T, h *harness) {
	var want []twin.Observation
	for i := range int64(100) {
		o := num(1, base+i*17*minute, float64(i))
		if i%10 == 0 {
			o = text(1, o.PhenomenonNs, "text")
		}
		want = append(want, o)
		h.append(o)
		if i%33 == 0 {
			h.restart()
			h.wantRange(1, all(), want...)
			h.wantLatest(1, o)
		}
	}
	h.restart()
	h.wantRange(1, all(), want...)
}

// testConcurrent reads while one goroutine appends pairs of rows: a reader
// sees both of a pair or none, and never fewer rows than before.
func testConcurrent(t *testing.T, h *harness) {
	const pairs = 300
	var done atomic.Bool
	var wg sync.WaitGroup
	for reader := range 3 {
		wg.Go(func() {
			seen, latest := 0, int64(0)
			for last := false; !last; {
				last = done.Load() // one more round after the end
				n := 0
				w := series.Window{Descending: reader == 1}
				err := h.store.Range(context.Background(), 1, w, func(twin.Observation) bool { n++; return true })
				if err != nil || n%2 != 0 || n < seen {
					t.Errorf("a reader saw %d rows after %d, %v", n, seen, err)
					return
				}
				seen = n
				o, ok, err := h.store.Latest(context.Background(), 1)
				if err != nil || ok && o.PhenomenonNs < latest {
					t.Errorf("the latest went back: %s, %v", short(o), err)
					return
				}
				latest = o.PhenomenonNs
				if err := h.store.EachLatest(context.Background(), func(twin.Observation) bool { return true }); err != nil {
					t.Error(err)
					return
				}
			}
			if seen != 2*pairs {
				t.Errorf("a reader saw %d rows at the end, want %d", seen, 2*pairs)
			}
		})
	}
	for i := range int64(pairs) {
		h.append(num(1, base+i*10*minute, 1), num(1, base+i*10*minute+9*minute, 2), num(2, base+i, 3))
	}
	done.Store(true)
	wg.Wait()
}

// testModel compares with a map under random appends, corrections, replays
// and restarts.
func testModel(t *testing.T, h *harness) {
	rng := rand.New(rand.NewPCG(7, 8))
	type key struct {
		ds twin.DatastreamID
		ns int64
	}
	model := map[key]twin.Observation{}
	var prevPos twin.Position
	var prev []twin.Observation
	for round := range 60 {
		var obs []twin.Observation
		for range rng.IntN(80) {
			ds := twin.DatastreamID(1 + rng.IntN(5))
			ns := base + int64(rng.IntN(600)-300)*13*minute
			o := num(ds, ns, rng.Float64())
			if rng.IntN(4) == 0 {
				o = text(ds, ns, []string{"", "open", "closed"}[rng.IntN(3)])
			}
			obs = append(obs, o)
		}
		pos := h.pos()
		h.appendAt(pos, obs...)
		for _, o := range obs {
			model[key{o.Datastream, o.PhenomenonNs}] = o
		}
		switch rng.IntN(10) {
		case 0:
			h.restart()
		case 1:
			h.appendAt(prevPos, prev...)
		}
		prevPos, prev = pos, obs

		ds := twin.DatastreamID(1 + round%5)
		from := base + int64(rng.IntN(600)-300)*13*minute
		to := from + int64(rng.IntN(200)+1)*13*minute
		var want []twin.Observation
		var latest twin.Observation
		for k, o := range model {
			if k.ds != ds {
				continue
			}
			if latest.Datastream == 0 || o.PhenomenonNs > latest.PhenomenonNs {
				latest = o
			}
			if k.ns >= from && k.ns < to {
				want = append(want, o)
			}
		}
		slices.SortFunc(want, func(a, b twin.Observation) int { return cmp.Compare(a.PhenomenonNs, b.PhenomenonNs) })
		h.wantRange(ds, series.Window{FromNs: from, ToNs: to}, want...)
		if latest.Datastream != 0 {
			h.wantLatest(ds, latest)
		}
	}
}

func testClose(t *testing.T, h *harness) {
	h.append(num(1, base, 1))
	for range 2 {
		if err := h.store.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if err := h.store.Append(context.Background(), nil, h.pos()); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("append to a closed store: %v, want code unavailable", err)
	}
	if err := h.store.Range(context.Background(), 1, all(), func(twin.Observation) bool { return true }); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("range of a closed store: %v, want code unavailable", err)
	}
	h.store = h.open(t, h.dir)
	h.wantRange(1, all(), num(1, base, 1))
}
