package log

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"cityhub/twin"
)

func reject(i int) twin.Reject {
	r := twin.Reject{ReceivedNs: int64(i), Source: "mqtt", Terminal: fmt.Sprintf("t%d", i%7), Topic: "terminals/x/up/json", Payload: []byte{0xff, byte(i)}, Size: 2, Reason: twin.RejectMalformed}
	if i%100 == 0 {
		r.Reason = twin.RejectFuture
	}
	return r
}

func TestRejects(t *testing.T) {
	l := mustOpen(t, testOptions(t.TempDir()))
	if page, err := l.Rejects(t.Context(), RejectQuery{}); err != nil || len(page.Rejects) != 0 || page.Next != 0 {
		t.Fatalf("of an empty log: %+v %v", page, err)
	}
	const n = 1000
	for i := 0; i < n; { // groups of 1 to 13
		var group []twin.Reject
		for range min(1+i%13, n-i) {
			group = append(group, reject(i))
			i++
		}
		pos, err := l.Append(t.Context(), nil, group)
		if err != nil || pos.Epoch != l.Epoch() || pos.Offset != 0 {
			t.Fatalf("%v %v", pos, err)
		}
	}
	for _, c := range []struct {
		q    RejectQuery
		keep func(twin.Reject) bool
	}{
		{RejectQuery{}, func(twin.Reject) bool { return true }},
		{RejectQuery{Limit: 1}, func(twin.Reject) bool { return true }},
		{RejectQuery{Limit: 1000}, func(twin.Reject) bool { return true }},
		{RejectQuery{Limit: 5000}, func(twin.Reject) bool { return true }},
		{RejectQuery{Terminal: "t3", Limit: 10}, func(r twin.Reject) bool { return r.Terminal == "t3" }},
		{RejectQuery{Reason: "too far in the future", Limit: 3}, func(r twin.Reject) bool { return r.Reason == twin.RejectFuture }},
		{RejectQuery{Terminal: "t0", Reason: "too far in the future"}, func(r twin.Reject) bool { return r.Reason == twin.RejectFuture && r.Terminal == "t0" }},
		{RejectQuery{Reason: "none such"}, func(twin.Reject) bool { return false }},
	} {
		var want, got []int64
		for i := n - 1; i >= 0; i-- {
			if c.keep(reject(i)) {
				want = append(want, int64(i))
			}
		}
		ids := map[string]bool{}
		for pages := 0; ; pages++ {
			page, err := l.Rejects(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Rejects {
				if w := reject(int(e.ReceivedNs)); e.Terminal != w.Terminal || !bytes.Equal(e.Payload, w.Payload) || e.Reason != w.Reason || ids[e.ID] {
					t.Fatalf("%+v: got %+v, want %+v", c.q, e, w)
				}
				ids[e.ID] = true
				got = append(got, e.ReceivedNs)
			}
			if c.q.Before = page.Next; page.Next == 0 {
				break
			}
			if pages > 2*n {
				t.Fatal("the pages do not end")
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v: got %v, want %v", c.q, got, want)
		}
	}
	_, err := l.Rejects(t.Context(), RejectQuery{Limit: -1})
	wantCode(t, err, twin.CodeInvalid)
}

// One call reads a bounded part of the log, however rare what it looks for.
func TestRejectsBoundedWork(t *testing.T) {
	l := mustOpen(t, testOptions(t.TempDir()))
	for i := range scanRecords + 20 {
		if _, err := l.Append(t.Context(), nil, []twin.Reject{reject(i)}); err != nil {
			t.Fatal(err)
		}
	}
	q := RejectQuery{Terminal: "t0", Reason: string(twin.RejectFuture), Limit: 5} // 0 and 700, …: only the very first here
	page, err := l.Rejects(t.Context(), q)
	if err != nil || len(page.Rejects) != 0 || page.Next == 0 {
		t.Fatalf("first page %+v %v, want none and a Next", page, err)
	}
	q.Before = page.Next
	page, err = l.Rejects(t.Context(), q)
	if err != nil || len(page.Rejects) != 1 || page.Rejects[0].ReceivedNs != 0 || page.Next != 0 {
		t.Fatalf("second page %+v %v", page, err)
	}
}

// Rejects are split over records by number and size, and cut rather than
// refused when one is too large by itself.
func TestRejectsSplit(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MaxRecordBytes = 80 << 10
	l := mustOpen(t, o)
	var group []twin.Reject
	for i := range maxRejectsPerRecord + 10 {
		group = append(group, twin.Reject{ReceivedNs: int64(i), Source: "s", Topic: "t", Reason: twin.RejectEmpty})
	}
	for i := range 100 {
		group = append(group, twin.Reject{ReceivedNs: int64(len(group)), Source: "s", Topic: "t", Reason: twin.RejectTooLarge, Payload: make([]byte, 3*twin.MaxRejectPayload), Size: 3 * twin.MaxRejectPayload, Detail: strings.Repeat("\x00", 40*i*i)})
	}
	if _, err := l.Append(t.Context(), nil, group); err != nil {
		t.Fatal(err)
	}
	next, want := uint64(0), len(group)-1
	for {
		page, err := l.Rejects(t.Context(), RejectQuery{Before: next, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Rejects {
			if e.ReceivedNs != int64(want) || len(e.Payload) > twin.MaxRejectPayload || e.Size != group[want].Size {
				t.Fatalf("got %d with %d bytes, want %d", e.ReceivedNs, len(e.Payload), want)
			}
			want--
		}
		if next = page.Next; next == 0 {
			break
		}
	}
	if want != -1 {
		t.Fatalf("ended at %d", want)
	}
}
