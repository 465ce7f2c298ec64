package seriestest

import (
	"context"
	"errors"
	"math"
	"testing"

	"cityhub/twin"
	"cityhub/twin/series"
)

func testEmpty(t *testing.T, h *harness) {
	h.wantPosition(twin.Position{})
	h.wantRange(1, all())
	if o, ok, err := h.store.Latest(context.Background(), 1); ok || err != nil {
		t.Errorf("latest of an empty store: %+v, %v, %v", o, ok, err)
	}
	err := h.store.EachLatest(context.Background(), func(o twin.Observation) bool {
		t.Errorf("an empty store gave %+v", o)
		return true
	})
	if err != nil {
		t.Errorf("each latest: %v", err)
	}
}

func testRange(t *testing.T, h *harness) {
	var want []twin.Observation
	for i := range int64(200) {
		want = append(want, num(7, base+i*minute, float64(i)/10))
	}
	h.append(want[:90]...)
	h.append(want[90:]...)
	h.wantRange(7, series.Window{}, want...)
	h.wantRange(7, all(), want...)
	h.wantRange(8, all())
	h.wantRange(6, all())
	for _, cut := range []int{0, 1, 59, 60, 61, 119, 120, 199} {
		h.wantRange(7, series.Window{FromNs: want[cut].PhenomenonNs}, want[cut:]...)
		h.wantRange(7, series.Window{ToNs: want[cut].PhenomenonNs}, want[:cut]...)
	}
}

func testBounds(t *testing.T, h *harness) {
	a, b, c := num(3, base, 1), num(3, base+1, 2), num(3, base+hour, 3)
	h.append(a, b, c)
	for _, w := range []struct {
		from, to int64
		want     []twin.Observation
	}{
		{base, base + 1, []twin.Observation{a}},                     // from is inclusive, to is not
		{base + 1, base + 2, []twin.Observation{b}},                 // a nanosecond apart
		{base, base + 2, []twin.Observation{a, b}},                  //
		{base - 1, base, nil},                                       // ends just before
		{base + 2, base + hour, nil},                                // between
		{base + 1, base + hour, []twin.Observation{b}},              // ends with the hour
		{base + 1, base + hour + 1, []twin.Observation{b, c}},       // over the hour
		{base + hour, base + 2*hour, []twin.Observation{c}},         // an hour exactly
		{base + hour + 1, 0, nil},                                   // no end
		{base, base, nil},                                           // empty
		{base + hour, base, nil},                                    // the wrong way round
		{base - 40*day, base + 40*day, []twin.Observation{a, b, c}}, // wide
	} {
		h.wantRange(3, series.Window{FromNs: w.from, ToNs: w.to}, w.want...)
	}
}

func testFarApart(t *testing.T, h *harness) {
	// One datastream with a reading now and then in a store that others fill:
	// each gap, of an hour to a dozen years, must be found and passed.
	times := []int64{base - 13*365*day, base - 13*365*day + hour, base - 5*365*day - 17*minute, base - 31*day, base - day, base - 23*hour, base - hour, base - 1, base, base + day}
	var want []twin.Observation
	for i, ns := range times {
		want = append(want, num(500, ns, float64(i)))
		h.append(want[i], num(499, ns+1, -1), num(501, ns+2, -2))
	}
	for i := range int64(50) {
		h.append(num(499, base-i*hour, 9), num(501, base-i*hour+minute, 9))
	}
	h.wantRange(500, all(), want...)
	for i := range times {
		h.wantRange(500, series.Window{FromNs: times[i]}, want[i:]...)
		h.wantRange(500, series.Window{FromNs: math.MinInt64, ToNs: times[i]}, want[:i]...)
		h.wantRange(500, series.Window{FromNs: times[i], ToNs: times[i] + 1}, want[i])
	}
	h.wantLatest(500, want[len(want)-1])
}

func testBefore1970(t *testing.T, h *harness) {
	var want []twin.Observation
	for i, ns := range []int64{-30000 * day, -day - 1, -day, -hour - 1, -hour, -hour + 1, -minute, -1, 0, 1, minute, hour, day} {
		want = append(want, num(2, ns, float64(i)))
	}
	h.append(want...)
	h.wantRange(2, all(), want...)
	h.wantRange(2, series.Window{FromNs: -hour, ToNs: 1}, want[4:9]...)
	h.wantRange(2, series.Window{FromNs: -30000 * day, ToNs: -1}, want[:7]...)
	h.wantRange(2, series.Window{}, want[8:]...) // the zero window starts at 1970
	h.wantLatest(2, want[len(want)-1])

	h.append(num(3, -5*hour, 1), num(3, -6*hour, 2))
	h.wantLatest(3, num(3, -5*hour, 1))
}

func testEndsOfTime(t *testing.T, h *harness) {
	lo, hi := num(4, math.MinInt64, 1), num(4, math.MaxInt64-1, 2)
	lo.ResultNs, hi.ResultNs = lo.PhenomenonNs, hi.PhenomenonNs
	h.append(lo, hi)
	h.wantRange(4, all(), lo, hi)
	h.wantRange(4, series.Window{FromNs: math.MinInt64, ToNs: math.MinInt64 + 1}, lo)
	h.wantRange(4, series.Window{FromNs: math.MinInt64 + 1}, hi)
	h.wantLatest(4, hi)
}

func testManyDatastreams(t *testing.T, h *harness) {
	ids := []twin.DatastreamID{1, 2, 3, 127, 128, 255, 256, 257, 65535, 65536, 1 << 24, 1<<31 - 1, 1 << 31, 1<<32 + 5}
	var all3 []twin.Observation
	for i := range int64(3) {
		for _, id := range ids {
			all3 = append(all3, num(id, base+i*50*minute, float64(id)+float64(i)))
		}
	}
	h.append(all3...)
	for k, id := range ids {
		h.wantRange(id, series.Window{}, all3[k], all3[k+len(ids)], all3[k+2*len(ids)])
	}
}

func testTexts(t *testing.T, h *harness) {
	long := make([]byte, 64<<10)
	for i := range long {
		long[i] = byte('a' + i%26)
	}
	want := []twin.Observation{
		text(5, base, "开"), text(5, base+1, ""), text(5, base+2, "closed"), text(5, base+3, string(long)),
		text(5, base+4, "\x00\xff"), num(5, base+5, 1), text(5, base+6, "开"),
	}
	h.append(want...)
	h.append(text(6, base, ""))
	h.wantRange(5, all(), want...)
	h.wantLatest(5, want[6])
	h.wantLatest(6, text(6, base, ""))
	h.append(text(6, base+1, string(long)))
	h.wantLatest(6, text(6, base+1, string(long)))
}

func testQuality(t *testing.T, h *harness) {
	var want []twin.Observation
	for i, q := range []twin.Quality{twin.QualityGood, twin.QualityNotEvaluated, twin.QualitySuspect, twin.QualityBad, twin.QualityMissing} {
		for j, delta := range []int64{0, 1, -1, 300 * day, -300 * day} {
			o := num(9, base+int64(i*10+j), 1)
			o.Quality, o.ResultNs = q, o.PhenomenonNs+delta
			want = append(want, o)
		}
	}
	h.append(want...)
	h.wantRange(9, all(), want...)
}

func testBits(t *testing.T, h *harness) {
	var want []twin.Observation
	for i, bits := range []uint64{0, 1 << 63, math.Float64bits(0.1), math.Float64bits(math.MaxFloat64), 1, math.Float64bits(math.Inf(1)), math.Float64bits(math.Inf(-1)), 0x7ff8000000000001, 0xfff8dead0000beef} {
		want = append(want, num(9, base+int64(i), math.Float64frombits(bits)))
	}
	h.append(want...)
	h.wantRange(9, all(), want...)
}

func testEarlyStop(t *testing.T, h *harness) {
	var obs []twin.Observation
	for i := range int64(500) {
		obs = append(obs, num(1, base+i*7*minute, float64(i)), num(twin.DatastreamID(i+2), base, 0))
	}
	h.append(obs...)
	for _, w := range []series.Window{{}, {Descending: true}} {
		for _, stop := range []int{1, 2, 10, 499} {
			var got []twin.Observation
			err := h.store.Range(context.Background(), 1, w, func(o twin.Observation) bool {
				got = append(got, o)
				return len(got) < stop
			})
			if err != nil || len(got) != stop {
				t.Fatalf("stop after %d in %+v: got %d, %v", stop, w, len(got), err)
			}
			first := num(1, base, 0)
			if w.Descending {
				first = num(1, base+499*7*minute, 499)
			}
			if !same(got[0], first) {
				t.Errorf("first in %+v: %s, want %s", w, short(got[0]), short(first))
			}
		}
	}
	n := 0
	if err := h.store.EachLatest(context.Background(), func(twin.Observation) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("each latest stopped after %d, %v", n, err)
	}
}

func testCancel(t *testing.T, h *harness) {
	var obs []twin.Observation
	for i := range int64(20_000) {
		obs = append(obs, num(1, base+i*second, 1))
	}
	h.append(obs...)
	before, _ := h.store.Position(context.Background())

	done, cancel := context.WithCancel(context.Background())
	cancel()
	nothing := func(twin.Observation) bool { t.Error("called after the end of the context"); return false }
	_, posErr := h.store.Position(done)
	_, countErr := h.store.Count(done, 1, all())
	_, _, latestErr := h.store.Latest(done, 1)
	for name, err := range map[string]error{
		"range":       h.store.Range(done, 1, all(), nothing),
		"each latest": h.store.EachLatest(done, nothing),
		"append":      h.store.Append(done, nil, h.pos()),
		"position":    posErr, "count": countErr, "latest": latestErr,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v, want context.Canceled", name, err)
		}
	}
	h.wantPosition(before)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	err := h.store.Range(ctx, 1, all(), func(twin.Observation) bool {
		if n++; n == 10 {
			cancel()
		}
		return true
	})
	if !errors.Is(err, context.Canceled) || n >= 20_000 {
		t.Errorf("range cancelled at the 10th of 20,000 rows: %d rows, %v", n, err)
	}
}
