package log

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
)

// The confirmations of a group are lost on their way, all or some, and the
// group is appended again: at once, when the server still knows its ids, and
// after the duplicate window, when they have to be looked for.
func TestAppendAgainStoresNothingTwice(t *testing.T) {
	for name, c := range map[string]struct {
		window, wait time.Duration
	}{
		"within the window": {0, 0},
		"after the window":  {200 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t.TempDir())
			o.window = c.window
			l := mustOpen(t, o)
			mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
			batches := []*block.Batch{rowsFrom("", twin.DomainTransport, 10, 10), rowsFrom("", twin.DomainEmergency, 20, 10)}
			rejects := []twin.Reject{reject(1)}
			for stored := 0; stored <= 3; stored++ { // how many of the three records were stored
				sess, _, err := l.session()
				if err != nil {
					t.Fatal(err)
				}
				g := new(group)
				if err := l.encode(g, batches, rejects); err != nil {
					t.Fatal(err)
				}
				l.identify(sess, g)
				all := g.records
				g.records = g.records[:stored]
				if err := l.publish(t.Context(), sess, g); err != nil {
					t.Fatal(err)
				}
				g.records = all
				for i := range g.records {
					g.records[i].seq = 0
				}
				l.failed.put(g, time.Now())
				// Others append meanwhile.
				for i := range 3 {
					mustAppend(t, l, rowsFrom("", twin.DomainPublicSafety, 1000+i, 1))
				}
				time.Sleep(c.wait)

				pos, err := l.Append(t.Context(), batches, rejects)
				if err != nil {
					t.Fatal(err)
				}
				first, last, err := l.Bounds(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if n := int(last.Offset - first.Offset + 1); n != 1+(stored+1)*5 {
					t.Fatalf("%d of 3 stored before: %d records, want %d", stored, n, 1+(stored+1)*5)
				}
				if stored >= 2 && pos.Offset != last.Offset-3 {
					t.Fatalf("position %v, want where it was stored at first, %d", pos, last.Offset-3)
				}
				if l.failed.n.Load() != 0 {
					t.Fatal("the group is still remembered")
				}
			}
			page, err := l.Rejects(t.Context(), RejectQuery{})
			if err != nil || len(page.Rejects) != 4 {
				t.Fatalf("%d rejects, want 4 (%v)", len(page.Rejects), err)
			}
		})
	}
}

// Appends are given up at random moments and tried again, and the embedded
// server is restarted under way. Every row is there once, and a running Tail
// sees it once and in order.
func TestRetriesOverRestarts(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	tail := startTail(t, l, twin.Position{}, TailOptions{})
	const groups, rows = 300, 20
	retries := 0
	for i := range groups {
		if i%60 == 30 {
			sess, _, err := l.session()
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Duration(rand.IntN(2000))*time.Microsecond, func() {
				sess.die(errors.New("made up by the test"))
				l.setFault(&fault{message: "made up by the test"})
			})
		}
		batches := []*block.Batch{rowsFrom("", twin.DomainTransport, i*rows, rows/2), rowsFrom("", twin.DomainTransport, i*rows+rows/2, rows/2)}
		for try := 0; ; try++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3000))*time.Microsecond)
			if try > 2 {
				ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
			}
			_, err := l.Append(ctx, batches, nil)
			cancel()
			if err == nil {
				break
			}
			wantCode(t, err, twin.CodeUnavailable)
			retries++
			time.Sleep(time.Duration(rand.IntN(5*try*try+1)) * time.Millisecond)
			if try > 500 {
				t.Fatal(err)
			}
		}
	}
	tail.want(t, groups*rows)
	eventually(t, "the log is healthy", func() bool { return l.Healthy(t.Context()) == nil })
	t.Logf("%d retries", retries)
	if retries == 0 {
		t.Fatal("nothing failed: the test shows nothing")
	}
}

func TestRetriesAreBounded(t *testing.T) {
	var r retries
	now := time.Now()
	for i := range maxFailedGroups + 10 {
		g := &group{records: []record{{subject: "s", data: []byte{byte(i), byte(i >> 8)}}}}
		r.put(g, now.Add(time.Duration(i)))
	}
	if len(r.m) != maxFailedGroups {
		t.Fatalf("%d groups remembered", len(r.m))
	}
	if r.take(&group{records: []record{{subject: "s", data: []byte{0, 0}}}}) {
		t.Fatal("the oldest is still there")
	}
	g := &group{records: []record{{subject: "s", data: []byte{200, 5}}}}
	if !r.take(g) || r.take(g) {
		t.Fatal("a remembered group is to be taken once")
	}
	r.put(g, now.Add(2*forgetAfter))
	if len(r.m) != 1 {
		t.Fatalf("%d groups remembered after a long time", len(r.m))
	}
}
