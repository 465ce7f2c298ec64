// Package seriestest is the conformance suite of series.Store: every
// implementation runs it, and what it does not check no caller may rely on.
//
// A store that cannot write rows and position in one atomic step still passes:
// the suite only sees finished Appends. What a crash in the middle of an
// Append leaves is each implementation's own test.
package seriestest

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series"
)

// Units of phenomenon time in nanoseconds.
const (
	second = int64(time.Second)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// base is the start of an hour, 2026-09-21T14:00:00Z, and not of a day.
const base = int64(1_790_002_800) * second

// Run runs the suite. open opens the store in dir, or another place that is
// one to one with dir; a store opened again in the same dir has kept what it
// held. The suite closes every store before it opens the dir again, and at
// the end of the test.
func Run(t *testing.T, open func(t *testing.T, dir string) series.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h *harness)
	}{
		{"empty store", testEmpty},
		{"append and range", testRange},
		{"bounds of a window", testBounds},
		{"hours, days and years apart", testFarApart},
		{"before 1970", testBefore1970},
		{"ends of time", testEndsOfTime},
		{"many datastreams", testManyDatastreams},
		{"out of order", testOutOfOrder},
		{"duplicates in one append", testDuplicates},
		{"corrections", testCorrections},
		{"latest", testLatest},
		{"each latest", testEachLatest},
		{"texts", testTexts},
		{"quality and result time", testQuality},
		{"bits of a value", testBits},
		{"early stop", testEarlyStop},
		{"cancelled context", testCancel},
		{"bad rows", testBadRows},
		{"position", testPosition},
		{"replay", testReplay},
		{"restart", testRestart},
		{"readers during append", testConcurrent},
		{"against a model", testModel},
		{"close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &harness{t: t, dir: t.TempDir(), open: open}
			h.store = open(t, h.dir)
			t.Cleanup(h.close)
			c.test(t, h)
		})
	}
}

// harness is a store under test with helpers that fail the test.
type harness struct {
	t     *testing.T
	dir   string
	open  func(t *testing.T, dir string) series.Store
	store series.Store
	next  uint64
}

func (h *harness) close() {
	if err := h.store.Close(); err != nil {
		h.t.Errorf("close: %v", err)
	}
}

func (h *harness) restart() {
	h.t.Helper()
	h.close()
	h.store = h.open(h.t, h.dir)
}

// pos is the next position of the test's log.
func (h *harness) pos() twin.Position {
	h.next++
	return twin.Position{Epoch: "epoch", Offset: h.next}
}

func batchOf(obs ...twin.Observation) *block.Batch {
	b := &block.Batch{}
	b.Reset("320508", twin.DomainEnvironment)
	for _, o := range obs {
		b.Append(o)
	}
	return b
}

func (h *harness) append(obs ...twin.Observation) {
	h.t.Helper()
	h.appendAt(h.pos(), obs...)
}

func (h *harness) appendAt(pos twin.Position, obs ...twin.Observation) {
	h.t.Helper()
	if err := h.store.Append(context.Background(), []*block.Batch{batchOf(obs...)}, pos); err != nil {
		h.t.Fatalf("append at %v: %v", pos, err)
	}
}

func (h *harness) rangeOf(ds twin.DatastreamID, w series.Window) []twin.Observation {
	h.t.Helper()
	var got []twin.Observation
	err := h.store.Range(context.Background(), ds, w, func(o twin.Observation) bool { got = append(got, o); return true })
	if err != nil {
		h.t.Fatalf("range of %d in %+v: %v", ds, w, err)
	}
	return got
}

// all is a window over the whole of time that can be observed.
func all() series.Window { return series.Window{FromNs: math.MinInt64} }

// wantRange checks Range in both orders, and Count.
func (h *harness) wantRange(ds twin.DatastreamID, w series.Window, want ...twin.Observation) {
	h.t.Helper()
	w.Descending = false
	equal(h.t, h.rangeOf(ds, w), want)
	n, err := h.store.Count(context.Background(), ds, w)
	if err != nil || n != int64(len(want)) {
		h.t.Errorf("count of %d in %+v: got %d, %v, want %d", ds, w, n, err, len(want))
	}
	w.Descending = true
	back := make([]twin.Observation, len(want))
	for i, o := range want {
		back[len(want)-1-i] = o
	}
	equal(h.t, h.rangeOf(ds, w), back)
	if n, err = h.store.Count(context.Background(), ds, w); err != nil || n != int64(len(want)) {
		h.t.Errorf("count of %d, descending, in %+v: got %d, %v, want %d", ds, w, n, err, len(want))
	}
}

func (h *harness) wantLatest(ds twin.DatastreamID, want twin.Observation) {
	h.t.Helper()
	got, ok, err := h.store.Latest(context.Background(), ds)
	if err != nil || !ok || !same(got, want) {
		h.t.Errorf("latest of %d: got %+v, %v, %v, want %+v", ds, got, ok, err, want)
	}
}

func (h *harness) wantPosition(want twin.Position) {
	h.t.Helper()
	got, err := h.store.Position(context.Background())
	if err != nil || got != want {
		h.t.Errorf("position: got %v, %v, want %v", got, err, want)
	}
}

// same compares with the bits of the value, so that a NaN equals itself.
func same(a, b twin.Observation) bool {
	if math.Float64bits(a.Value) != math.Float64bits(b.Value) {
		return false
	}
	a.Value, b.Value = 0, 0
	return a == b
}

func equal(t *testing.T, got, want []twin.Observation) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !same(got[i], want[i]) {
			t.Fatalf("observation %d of %d: got %s, want %s", i, len(want), short(got[i]), short(want[i]))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("got %d observations, want %d", len(got), len(want))
	}
}

func short(o twin.Observation) string {
	if len(o.Text) > 40 {
		o.Text = o.Text[:40] + "…"
	}
	return strings.TrimSpace(o.ID() + " " + time.Unix(0, o.PhenomenonNs).UTC().Format(time.RFC3339Nano) + " " + o.Text + " " + o.Quality.String())
}

// num is a numeric observation received 5 ms after its time.
func num(ds twin.DatastreamID, ns int64, v float64) twin.Observation {
	return twin.Observation{Datastream: ds, PhenomenonNs: ns, ResultNs: ns + 5_000_000, Value: v, Quality: twin.QualityGood}
}

func text(ds twin.DatastreamID, ns int64, s string) twin.Observation {
	return twin.Observation{Datastream: ds, PhenomenonNs: ns, ResultNs: ns, Text: s, IsText: true, Quality: twin.QualityGood}
}
