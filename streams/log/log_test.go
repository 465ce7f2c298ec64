package log

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
	"cityhub/twin/block"
)

func TestAppendTail(t *testing.T) {
	l := mustOpen(t, testOptions(t.TempDir()))
	before := startTail(t, l, twin.Position{}, TailOptions{})

	text := &block.Batch{Domain: twin.DomainPublicSafety}
	text.AppendText(7, 0, 5, "open", twin.QualitySuspect)
	pos := mustAppend(t, l, text, rowsFrom("320508", twin.DomainTransport, 1, 9), nil, new(block.Batch))
	if pos.Epoch != l.Epoch() || pos.Offset != 2 {
		t.Fatalf("position %v, want offset 2 of %s", pos, l.Epoch())
	}
	mustAppend(t, l, rowsFrom("320508", twin.DomainTransport, 10, 90))
	before.want(t, 100)

	// What comes out is what went in, names and texts included.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := l.Tail(ctx, twin.Position{}, TailOptions{MaxRows: 1}, func(_ context.Context, batches []*block.Batch, p twin.Position) error {
		if p.Offset != 1 || len(batches) != 1 {
			t.Errorf("position %v with %d batches", p, len(batches))
		}
		b := batches[0]
		if b.District != "" || b.Domain != twin.DomainPublicSafety || b.Len() != 1 || b.Row(0) != text.Row(0) {
			t.Errorf("got %q %q %+v, want %+v", b.District, b.Domain, b.Row(0), text.Row(0))
		}
		return errors.New("enough")
	})
	if err == nil || err.Error() != "enough" {
		t.Fatalf("Tail: %v, want the error of fn", err)
	}

	after := startTail(t, l, twin.Position{Epoch: l.Epoch(), Offset: 1}, TailOptions{})
	eventually(t, "99 rows after the first record", func() bool { return after.len() == 99 })
	if err := after.finish(); !errors.Is(err, context.Canceled) {
		t.Fatalf("Tail: %v, want context.Canceled", err)
	}
	first, last, err := l.Bounds(t.Context())
	if err != nil || first.Offset != 1 || last.Offset != 3 || last.Epoch != l.Epoch() {
		t.Fatalf("Bounds %v %v %v", first, last, err)
	}
}

func TestTailCoalesces(t *testing.T) {
	l := mustOpen(t, testOptions(t.TempDir()))
	const records, rows = 300, 10
	for i := range records {
		mustAppend(t, l, rowsFrom("", twin.DomainEmergency, i*rows, rows))
	}
	for _, maxRows := range []int{0, 35, 5} {
		c := startTail(t, l, twin.Position{}, TailOptions{MaxRows: maxRows})
		c.want(t, records*rows)
		c.mu.Lock()
		calls := c.calls
		c.mu.Unlock()
		// At most three records of ten rows fit 35 rows; a record larger than
		// MaxRows comes alone.
		least := map[int]int{0: 1, 35: records / 3, 5: records}[maxRows]
		if calls < least || maxRows == 0 && calls == records || maxRows == 5 && calls != records {
			t.Errorf("MaxRows %d: %d calls for %d records, want at least %d", maxRows, calls, records, least)
		}
		c.finish()
	}
}

func TestAppendSplitsLargeBatches(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MaxRecordBytes = 80 << 10
	l := mustOpen(t, o)
	const n = 40_000
	pos := mustAppend(t, l, rowsFrom("320508", twin.DomainTransport, 0, n))
	if pos.Offset < 5 {
		t.Fatalf("%d records, want at least 5", pos.Offset)
	}
	startTail(t, l, twin.Position{}, TailOptions{}).want(t, n)
}

func TestReopenKeepsEpochAndRecords(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	epoch := l.Epoch()
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	if _, err := Open(t.Context(), o); twin.ErrorCode(err) != twin.CodeConflict {
		t.Fatalf("a second Open of the directory: %v, want a conflict", err)
	}
	tail := startTail(t, l, twin.Position{}, TailOptions{})
	tail.want(t, 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-tail.done
	wantCode(t, tail.err, twin.CodeUnavailable)
	_, err := l.Append(t.Context(), []*block.Batch{rowsFrom("", twin.DomainTransport, 0, 1)}, nil)
	wantCode(t, err, twin.CodeUnavailable)
	wantCode(t, l.Healthy(t.Context()), twin.CodeUnavailable)

	l = mustOpen(t, o)
	if l.Epoch() != epoch || len(epoch) != 16 {
		t.Fatalf("epoch %q after %q", l.Epoch(), epoch)
	}
	if pos := mustAppend(t, l, rowsFrom("", twin.DomainTransport, 10, 10)); pos.Offset != 2 {
		t.Fatalf("position %v, want offset 2", pos)
	}
	startTail(t, l, twin.Position{}, TailOptions{}).want(t, 20)
}

func TestTailRefusesForeignPositions(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, testOptions(dir))
	old := mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	fn := func(context.Context, []*block.Batch, twin.Position) error { return errors.New("called") }
	for name, pos := range map[string]twin.Position{
		"no epoch":        {Offset: 1},
		"beyond the end":  {Epoch: old.Epoch, Offset: 2},
		"another epoch":   {Epoch: "0123456789abcdef", Offset: 1},
		"another, offset": {Epoch: "0123456789abcdef"},
	} {
		e := wantCode(t, l.Tail(t.Context(), pos, TailOptions{}, fn), twin.CodeConflict)
		if e.Message != "position is not in the log" || e.Hint == "" {
			t.Errorf("%s: %v", name, e)
		}
	}
	l.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, testOptions(dir))
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	if l.Epoch() == old.Epoch {
		t.Fatal("a recreated log has the old epoch")
	}
	wantCode(t, l.Tail(t.Context(), old, TailOptions{}, fn), twin.CodeConflict)
}

func TestRetention(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	var pos twin.Position
	for i := range 200 {
		pos = mustAppend(t, l, rowsFrom("", twin.DomainTransport, i*1000, 1000))
	}
	if first, _, err := l.Bounds(t.Context()); err != nil || first.Offset != 1 {
		t.Fatalf("first %v %v", first, err)
	}
	l.Close()

	o.MaxBytes = 500_000 // by size, on records that are there already
	l = mustOpen(t, o)
	first, last, err := l.Bounds(t.Context())
	if err != nil || first.Offset < 100 || last != pos {
		t.Fatalf("bounds %v %v %v, want the last few of %v", first, last, err, pos)
	}
	fn := func(context.Context, []*block.Batch, twin.Position) error { return errors.New("called") }
	e := wantCode(t, l.Tail(t.Context(), twin.Position{Epoch: l.Epoch(), Offset: first.Offset - 2}, TailOptions{}, fn), twin.CodeConflict)
	if !strings.Contains(e.Hint, "first record kept") {
		t.Errorf("hint %q", e.Hint)
	}
	for name, after := range map[string]twin.Position{"just before the first": {Epoch: l.Epoch(), Offset: first.Offset - 1}, "zero": {}} {
		if err := l.Tail(t.Context(), after, TailOptions{}, func(_ context.Context, b []*block.Batch, _ twin.Position) error {
			if got := b[0].PhenomenonNs[0]; got != int64(first.Offset-1)*1000 {
				t.Errorf("%s: first row %d, want %d", name, got, (first.Offset-1)*1000)
			}
			return errors.New("called")
		}); err.Error() != "called" {
			t.Fatal(err)
		}
	}
	l.Close()

	o.MaxAge = time.Second // by age
	l = mustOpen(t, o)
	eventually(t, "records older than a second are gone", func() bool {
		first, last, err := l.Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return first.Offset == last.Offset+1 && last == pos
	})
	l.Close()

	o.MaxAge = 0 // and the sequence goes on from where it was
	l = mustOpen(t, o)
	if next := mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 1)); next.Offset != pos.Offset+1 {
		t.Fatalf("position %v after %v", next, pos)
	}
}

// A reader that retention overtakes is told, not moved on.
func TestTailOvertakenByRetention(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MaxBytes = 300_000
	l := mustOpen(t, o)
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	entered, release := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		once := false
		result <- l.Tail(t.Context(), twin.Position{}, TailOptions{MaxRows: 1}, func(context.Context, []*block.Batch, twin.Position) error {
			if !once {
				once = true
				close(entered)
				<-release
			}
			return nil
		})
	}()
	<-entered
	// More than a Tail reads ahead.
	for i := range 2*tailAhead/100 + 80 {
		var batches []*block.Batch
		for range 100 {
			batches = append(batches, rowsFrom("", twin.DomainTransport, i, 30))
		}
		mustAppend(t, l, batches...)
	}
	close(release)
	select {
	case err := <-result:
		if e := wantCode(t, err, twin.CodeConflict); !strings.Contains(e.Hint, "fell behind") {
			t.Errorf("hint %q", e.Hint)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Tail did not notice")
	}
}

func TestUndecodableRecordIsSkipped(t *testing.T) {
	o := testOptions(t.TempDir())
	reg := prometheus.NewRegistry()
	o.Metrics = reg
	l := mustOpen(t, o)
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 5))
	sess, _, err := l.session()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sess.pubJS.Publish(t.Context(), "hub.obs._.transport", []byte("not a batch")); err != nil {
		t.Fatal(err)
	}
	pos := mustAppend(t, l, rowsFrom("", twin.DomainTransport, 5, 5))
	if pos.Offset != 3 {
		t.Fatal(pos)
	}
	startTail(t, l, twin.Position{}, TailOptions{}).want(t, 10)
	got := metricValues(t, reg)
	for name, want := range map[string]float64{
		"cityhub_log_undecodable_records_total": 1, "cityhub_log_append_observations_total": 10,
		"cityhub_log_append_seconds": 2, "cityhub_log_healthy": 1, "cityhub_log_missing_records_total": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
		}
	}
	if got["cityhub_log_disk_free_bytes"] <= 0 {
		t.Error("no free space on the disk")
	}
	l.Close()
	mustOpen(t, o) // the registry is free again
}

// The server keeps no partial record, whatever a crash left at the file's end.
func TestTornLastRecord(t *testing.T) {
	for name, tear := range map[string]func(t *testing.T, path string, size int64){
		"cut": func(t *testing.T, path string, size int64) {
			if err := os.Truncate(path, size-37); err != nil {
				t.Fatal(err)
			}
		},
		"garbage": func(t *testing.T, path string, size int64) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(make([]byte, 300), size-300); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t.TempDir())
			l := mustOpen(t, o)
			for i := range 10 {
				mustAppend(t, l, rowsFrom("", twin.DomainTransport, i*100, 100))
			}
			l.Close()
			blocks, err := filepath.Glob(filepath.Join(o.Dir, "nats", "jetstream", "*", "streams", "OBS", "msgs", "*.blk"))
			if err != nil || len(blocks) != 1 {
				t.Fatalf("blocks %v %v", blocks, err)
			}
			if err := os.Remove(filepath.Join(filepath.Dir(blocks[0]), "index.db")); err != nil { // a crash leaves an older one, or none
				t.Fatal(err)
			}
			st, err := os.Stat(blocks[0])
			if err != nil {
				t.Fatal(err)
			}
			tear(t, blocks[0], st.Size())
			l = mustOpen(t, o)
			mustAppend(t, l, rowsFrom("", twin.DomainTransport, 900, 100))
			startTail(t, l, twin.Position{}, TailOptions{}).want(t, 1000)
		})
	}
}

func TestUnreadableStreamIsNotReplaced(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	l.Close()
	meta, err := filepath.Glob(filepath.Join(o.Dir, "nats", "jetstream", "*", "streams", "OBS", "meta.inf"))
	if err != nil || len(meta) != 1 {
		t.Fatal(meta, err)
	}
	if err := os.WriteFile(meta[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), o)
	wantCode(t, err, twin.CodeCorrupt)
	if _, err := os.Stat(filepath.Join(filepath.Dir(meta[0]), "msgs", "1.blk")); err != nil {
		t.Fatalf("the records are gone: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for name, c := range map[string]struct {
		o     Options
		field string
	}{
		"nothing":        {Options{}, "dir"},
		"bad url":        {Options{URL: "4222"}, "url"},
		"bad second url": {Options{URL: "nats://a:4222, :4222"}, "url"},
		"prefix":         {Options{Dir: "x", Prefix: "a.b"}, "prefix"},
		"negative age":   {Options{Dir: "x", MaxAge: -1}, "maxAge"},
		"tiny age":       {Options{Dir: "x", MaxAge: 1}, "maxAge"},
		"replicas":       {Options{Dir: "x", Replicas: 6}, "replicas"},
		"record":         {Options{Dir: "x", MaxRecordBytes: 100}, "maxRecordBytes"},
	} {
		_, err := Open(t.Context(), c.o)
		if e := wantCode(t, err, twin.CodeInvalid); e.Field != c.field {
			t.Errorf("%s: field %q, want %q", name, e.Field, c.field)
		}
	}
}

func TestSubjects(t *testing.T) {
	l, g := &Log{}, &group{}
	for _, c := range []struct{ district, want string }{
		{"", "hub.obs._.transport"},
		{"320508", "hub.obs.320508.transport"},
		{"姑苏", "hub.obs.姑苏.transport"},
		{"a.b *>\x00\n", "hub.obs.a-b-----.transport"},
	} {
		if got := l.subject(g, c.district, twin.DomainTransport); got != c.want {
			t.Errorf("%q: %q, want %q", c.district, got, c.want)
		}
	}
}
