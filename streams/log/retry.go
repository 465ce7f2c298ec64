package log

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// forgetAfter is how long a failed group that nobody tries again is kept in
// mind.
const forgetAfter = 10 * time.Minute

const (
	findRetry = 20 * time.Millisecond // to the next look at a server that is behind
	findLimit = 30 * time.Second
)

// retries remembers the groups that failed, by their content: which ids their
// records were sent with and which of them are stored. It is empty, and costs
// nothing, while the log is well.
type retries struct {
	n  atomic.Int64
	mu sync.Mutex
	m  map[[sha256.Size]byte]tried
}

type tried struct {
	id                 uint64
	epochs             [2]string
	ids                []string
	seqs               []uint64
	afterObs, afterRej uint64
	lastNs             int64
}

// take moves what is known of an earlier try to g; false: there was none.
func (r *retries) take(g *group) bool {
	if r.n.Load() == 0 {
		return false
	}
	key := g.digest()
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.m[key]
	if !ok || len(t.ids) != len(g.records) {
		return false
	}
	delete(r.m, key)
	r.n.Store(int64(len(r.m)))
	g.id, g.epochs, g.afterObs, g.afterRej = t.id, t.epochs, t.afterObs, t.afterRej
	for i := range g.records {
		g.records[i].id, g.records[i].seq = t.ids[i], t.seqs[i]
	}
	return true
}

// put remembers g. Over its limit the group that was tried the longest time
// ago is forgotten.
func (r *retries) put(g *group, now time.Time) {
	key := g.digest()
	t := tried{id: g.id, epochs: g.epochs, afterObs: g.afterObs, afterRej: g.afterRej, lastNs: now.UnixNano()}
	for i := range g.records {
		t.ids = append(t.ids, g.records[i].id)
		t.seqs = append(t.seqs, g.records[i].seq)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = make(map[[sha256.Size]byte]tried)
	}
	var oldest [sha256.Size]byte
	oldestNs := int64(0)
	for k, old := range r.m {
		if t.lastNs-old.lastNs > int64(forgetAfter) {
			delete(r.m, k)
		} else if oldestNs == 0 || old.lastNs < oldestNs {
			oldest, oldestNs = k, old.lastNs
		}
	}
	if len(r.m) >= maxFailedGroups {
		delete(r.m, oldest)
	}
	r.m[key] = t
	r.n.Store(int64(len(r.m)))
}

// reconcile finds out which records of a group that failed are stored after
// all: the streams are read, headers only, from where they ended before the
// first try. What is still on its way then is caught by the server, which knows
// every id for the duplicate window.
func (s *session) reconcile(ctx context.Context, g *group) error {
	if now := s.epochs(); now != g.epochs {
		// What was stored in a stream that is gone is to be stored again.
		for i := range g.records {
			r := &g.records[i]
			if r.reject && now[1] != g.epochs[1] || !r.reject && now[0] != g.epochs[0] {
				r.seq = 0
			}
		}
		if now[0] != g.epochs[0] {
			g.afterObs = 0
		}
		if now[1] != g.epochs[1] {
			g.afterRej = 0
		}
		g.epochs = now
	}
	missing := map[bool]map[string]*record{}
	for i := range g.records {
		r := &g.records[i]
		if r.seq != 0 {
			continue
		}
		if missing[r.reject] == nil {
			missing[r.reject] = make(map[string]*record)
		}
		missing[r.reject][r.id] = r
	}
	for reject, ids := range missing {
		st := s.obs
		if reject {
			st = s.rej
		}
		bound, cancel := context.WithTimeout(ctx, findLimit)
		err := s.find(bound, st, g.after(reject), ids)
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return canceled(ctx.Err())
			}
			const message = "the log cannot be searched for the records of a failed append"
			s.l.setFault(&fault{message: message, err: err}) // the stream may be gone: the monitor is to look
			return unavailable(opAppend, message, err)
		}
	}
	return nil
}

// find reads the headers of a stream after a sequence and sets the sequence of
// the records it meets.
func (s *session) find(ctx context.Context, st streamState, after uint64, ids map[string]*record) error {
	bound, cancel := context.WithTimeout(ctx, s.l.o.AckTimeout)
	defer cancel()
	cons, err := st.handle.CreateConsumer(bound, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, InactiveThreshold: consumerLinger,
	})
	if err != nil {
		return err
	}
	defer s.deleteConsumer(st, cons.CachedInfo().Name)
	// The consumer may live on a server that is behind. Asked of the leader after
	// the consumer was made, this is how far has to be read.
	info, err := st.handle.Info(bound)
	if err != nil {
		return err
	}
	end, read := info.State.LastSeq, after
	if info.State.Msgs == 0 {
		end = after // retention took the last record with the others
	}
	wait := func() error {
		if s.srv != nil { // alone, it is never behind
			read = end
			return nil
		}
		return sleep(ctx, findRetry, s.dead)
	}
	for started := time.Now(); len(ids) > 0 && read < end; {
		if time.Since(started) > s.l.o.AckTimeout {
			return errors.New("a server of the cluster stays behind")
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		msgs, err := cons.FetchNoWait(1000)
		if err != nil {
			return err
		}
		got, pending := 0, uint64(0)
		for msg := range msgs.Messages() {
			got++
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			pending, read = meta.NumPending, max(read, meta.Sequence.Stream)
			id := msg.Headers().Get(jetstream.MsgIDHeader)
			if r := ids[id]; r != nil {
				r.seq = meta.Sequence.Stream
				delete(ids, id)
			}
		}
		if err := msgs.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
			return err
		}
		if got > 0 && pending > 0 {
			started = time.Now() // it goes on
			continue
		}
		if got == 0 {
			info, err := cons.Info(ctx)
			if err != nil {
				return err
			}
			if info.NumPending > 0 {
				continue
			}
		}
		if err := wait(); err != nil {
			return err
		}
	}
	return nil
}

// epochs of OBS and REJECT.
func (s *session) epochs() [2]string { return [2]string{s.obs.epoch, s.rej.epoch} }

// deleteConsumer removes a consumer; one that is missed goes by itself after
// consumerLinger.
func (s *session) deleteConsumer(st streamState, name string) {
	select {
	case <-s.dead:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = st.handle.DeleteConsumer(ctx, name)
}
