package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"pgregory.net/rapid"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenObservations are the readings of the stored golden; they never change,
// so that a later program proves that it reads what version 1 wrote.
func goldenObservations() []twin.Observation {
	const t = benchStart
	return []twin.Observation{
		{Datastream: 1, PhenomenonNs: t, ResultNs: t + 5e6, Value: 12.3, Quality: twin.QualityGood},
		{Datastream: 1, PhenomenonNs: t + hourNs, ResultNs: t, Value: -0.5, Quality: twin.QualitySuspect},
		{Datastream: 1, PhenomenonNs: -1, ResultNs: -1, Value: 1969, Quality: twin.QualityNotEvaluated},
		{Datastream: 2, PhenomenonNs: t, ResultNs: t, Text: "开", IsText: true, Quality: twin.QualityGood},
		{Datastream: 300, PhenomenonNs: t + 25*hourNs, ResultNs: t, Text: "", IsText: true, Quality: twin.QualityMissing},
		{Datastream: 1 << 40, PhenomenonNs: math.MinInt64, ResultNs: math.MaxInt64, Value: math.Inf(1), Quality: twin.QualityBad},
	}
}

func dump(t *testing.T, s *Store) string {
	t.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for ok := it.First(); ok; ok = it.Next() {
		fmt.Fprintf(&b, "%x %x\n", it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFormatGolden holds every key and value that version 1 writes.
func TestFormatGolden(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	b := &block.Batch{}
	for _, o := range goldenObservations() {
		b.Append(o)
	}
	if err := s.Append(context.Background(), []*block.Batch{b}, twin.Position{Epoch: "golden", Offset: 258}); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "format-1.txt")
	got := dump(t, s)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the format changed: raise formatVersion, keep reading version 1.\ngot\n%s\nwant\n%s", got, want)
	}
}

// TestFormatOld reads a store filled from the golden, not by this program's
// encoders.
func TestFormatOld(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "format-1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for line := range strings.Lines(string(golden)) {
		var k, v []byte
		if _, err := fmt.Sscanf(line, "%x %x", &k, &v); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Set(k, v, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	if pos, err := s.Position(context.Background()); err != nil || pos != (twin.Position{Epoch: "golden", Offset: 258}) {
		t.Errorf("position %v, %v", pos, err)
	}
	var got []twin.Observation
	for _, ds := range []twin.DatastreamID{1, 2, 300, 1 << 40} {
		if err := s.Range(context.Background(), ds, series.Window{FromNs: math.MinInt64}, func(o twin.Observation) bool { got = append(got, o); return true }); err != nil {
			t.Fatal(err)
		}
	}
	want := goldenObservations()
	want[0], want[1], want[2] = want[2], want[0], want[1]
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if o, ok, err := s.Latest(context.Background(), 1); err != nil || !ok || o != want[2] {
		t.Errorf("latest %+v, %v, %v", o, ok, err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
		code  twin.Code
		says  string
	}{
		{"newer", binary.AppendUvarint(nil, formatVersion+1), twin.CodeConflict, "format version 2, this program reads up to 1"},
		{"zero", []byte{0}, twin.CodeCorrupt, "no version"},
		{"damaged", []byte{0x80}, twin.CodeCorrupt, "no version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			if err := s.db.Set(keyFormat, c.value, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a refused store is released
				_, err := Open(dir, Options{})
				if twin.ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want code %s and %q", err, c.code, c.says)
				}
			}
		})
	}
}

func TestOtherDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if err := s.db.Set([]byte("foreign"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Delete(keyFormat, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); twin.ErrorCode(err) != twin.CodeCorrupt {
		t.Errorf("got %v", err)
	}
}

func TestMergeIsAssociative(t *testing.T) {
	merger := NewMerger()
	if merger.Name != "cityhub.series.1" {
		t.Errorf("the merger's name changed to %q: stores on disk have the old one", merger.Name)
	}
	finish := func(t *rapid.T, m pebble.ValueMerger, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		v, _, err := m.Finish(true)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(v)
	}
	rapid.Check(t, func(t *rapid.T) {
		key, operand := []byte{prefixLatest, 1}, rapid.Custom(func(t *rapid.T) []byte {
			ns := rapid.Int64Range(-3, 3).Draw(t, "ns")
			v := binary.BigEndian.AppendUint64(nil, uint64(ns))
			return append(v, rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "value")...)
		})
		if rapid.Bool().Draw(t, "index") {
			key, operand = []byte{prefixIndex, 1}, rapid.SliceOfN(rapid.Byte(), maskLen, maskLen)
		}
		ops := rapid.SliceOfN(operand, 1, 6).Draw(t, "operands") // oldest first
		newer, err := merger.Merge(key, ops[0])
		for _, v := range ops[1:] {
			if err = newer.MergeNewer(v); err != nil {
				t.Fatal(err)
			}
		}
		want := finish(t, newer, err)
		last := len(ops) - 1
		older, err := merger.Merge(key, ops[last])
		for i := range last {
			if err = older.MergeOlder(ops[last-1-i]); err != nil {
				t.Fatal(err)
			}
		}
		if got := finish(t, older, err); !bytes.Equal(got, want) {
			t.Fatalf("newer first %x, older first %x", got, want)
		}
		// Any part merged beforehand, as a compaction does, changes nothing.
		cut := rapid.IntRange(0, last).Draw(t, "cut")
		part, err := merger.Merge(key, ops[cut])
		for _, v := range ops[cut+1:] {
			if err = part.MergeNewer(v); err != nil {
				t.Fatal(err)
			}
		}
		whole, err2 := merger.Merge(key, finish(t, part, err))
		for i := range cut {
			if err2 = whole.MergeOlder(ops[cut-1-i]); err2 != nil {
				t.Fatal(err2)
			}
		}
		if got := finish(t, whole, err2); !bytes.Equal(got, want) {
			t.Fatalf("merged in parts %x, at once %x", got, want)
		}
	})
}

func TestKeysSortAndRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.SliceOfN(rapid.Int64(), 2, 2).Draw(t, "ns")
		var keys [2][rowKeyLen]byte
		for i, n := range ns {
			h := hourOf(n)
			if off := offsetIn(n, h); off < 0 || off >= hourNs {
				t.Fatalf("%d: offset %d in its hour", n, off)
			}
			putRowKey(keys[i][:], h, 5, offsetIn(n, h))
			if got := timeOf(rowKeyHour(keys[i][:]), rowKeyOffset(keys[i][:])); got != n {
				t.Fatalf("%d came back as %d", n, got)
			}
			if d := dayOf(h); h-d*24 < 0 || h-d*24 > 23 {
				t.Fatalf("hour %d is not in day %d", h, d)
			}
		}
		if got := bytes.Compare(keys[0][:], keys[1][:]); got < 0 != (ns[0] < ns[1]) || got > 0 != (ns[0] > ns[1]) {
			t.Fatalf("%d and %d sort as %d", ns[0], ns[1], got)
		}
	})
}

// FuzzParse feeds damaged values: an error, never a panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x81, 0, 'o', 'n'})
	f.Add([]byte{1, 0x80})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, v []byte) {
		o := twin.Observation{Datastream: 1}
		if err := parseValue(&o, v); err != nil && twin.ErrorCode(err) != twin.CodeCorrupt {
			t.Errorf("code %s", twin.ErrorCode(err))
		} else if err == nil {
			n := valueLen(o.ResultNs-o.PhenomenonNs, o.Text, o.IsText)
			again := make([]byte, n)
			putValue(again, o.Quality, o.ResultNs-o.PhenomenonNs, o.Value, o.Text, o.IsText)
			var o2 twin.Observation
			o2.Datastream = 1
			if err := parseValue(&o2, again); err != nil || o2.Text != o.Text || o2.ResultNs != o.ResultNs || math.Float64bits(o2.Value) != math.Float64bits(o.Value) {
				t.Errorf("%+v came back as %+v, %v", o, o2, err)
			}
		}
		var l twin.Observation
		if err := parseLatest(&l, v); err != nil && twin.ErrorCode(err) != twin.CodeCorrupt {
			t.Errorf("code %s", twin.ErrorCode(err))
		}
	})
}
