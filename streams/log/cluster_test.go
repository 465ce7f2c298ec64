package log

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"cityhub/twin"
	"cityhub/twin/block"
)

// cluster is three servers in this process. Servers in processes of their own,
// killed with SIGKILL, are in the end-to-end tests.
type cluster struct {
	t       *testing.T
	dirs    [3]string
	ports   [3]int
	routes  [3]int
	servers [3]*server.Server
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for i := range 3 {
		c.dirs[i], c.ports[i], c.routes[i] = t.TempDir(), freePort(t), freePort(t)
	}
	t.Cleanup(func() {
		for i := range 3 {
			c.stop(i)
		}
	})
	for i := range 3 {
		c.start(i)
	}
	return c
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start does not wait for the cluster: Open has to.
func (c *cluster) start(i int) {
	c.t.Helper()
	o := &server.Options{
		ServerName: fmt.Sprintf("n%d", i+1), Host: "127.0.0.1", Port: c.ports[i], NoSigs: true, NoLog: !*verbose,
		JetStream: true, StoreDir: c.dirs[i], SyncAlways: true,
		Cluster: server.ClusterOpts{Name: "city", Host: "127.0.0.1", Port: c.routes[i]},
	}
	for j, p := range c.routes {
		if j == i {
			continue
		}
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", p)})
	}
	srv, err := server.NewServer(o)
	if err != nil {
		c.t.Fatal(err)
	}
	if *verbose {
		srv.ConfigureLogger()
	}
	srv.Start()
	c.servers[i] = srv
}

func (c *cluster) stop(i int) {
	if c.servers[i] != nil {
		stopServer(c.servers[i])
		c.servers[i] = nil
	}
}

func (c *cluster) options() Options {
	var urls []string
	for _, p := range c.ports {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	o := externalOptions(strings.Join(urls, ","))
	o.Replicas = 3
	return o
}

// leader is the server that leads OBS; -1 while there is none.
func (c *cluster) leader(l *Log) int {
	sess, _, err := l.session()
	if err != nil {
		return -1
	}
	info, err := sess.obs.handle.Info(c.t.Context())
	if err != nil || info.Cluster == nil {
		return -1
	}
	for i := range 3 {
		if info.Cluster.Leader == fmt.Sprintf("n%d", i+1) {
			return i
		}
	}
	return -1
}

// Several hubs begin at once with a cluster that is only coming up: one log,
// with one epoch, on three servers.
func TestClusterOpenedBySeveralHubsAtOnce(t *testing.T) {
	c := startCluster(t)
	var logs [4]*Log
	var errs [4]error
	var wg sync.WaitGroup
	for i := range logs {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			logs[i], errs[i] = Open(ctx, c.options())
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, l := range logs {
			if l != nil {
				l.Close()
			}
		}
	})
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	for i, l := range logs {
		if l.Epoch() != logs[0].Epoch() {
			t.Fatalf("hub %d has the epoch %s, hub 0 %s", i, l.Epoch(), logs[0].Epoch())
		}
		if pos := mustAppend(t, l, rowsFrom("320508", twin.DomainTransport, i, 1)); pos.Offset != uint64(i+1) {
			t.Fatalf("hub %d appended at %v", i, pos)
		}
	}
	for _, l := range logs {
		startTail(t, l, twin.Position{}, TailOptions{}).want(t, 4)
	}
	sess, _, err := logs[0].session()
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range []streamState{sess.obs, sess.rej} {
		if n := st.handle.CachedInfo().Config.Replicas; n != 3 {
			t.Errorf("%s has %d replicas", st.handle.CachedInfo().Config.Name, n)
		}
	}
	// What the reader asks when a record seems to be missing.
	for seq, want := range map[uint64]bool{1: true, 4: true, 5: false} {
		if there, err := sess.leaderHas(t.Context(), seq); err != nil || there != want {
			t.Errorf("record %d: %v %v", seq, there, err)
		}
	}
}

// The leader steps down again and again, and servers stop and come back, while
// two hubs append: what is confirmed is in the log once and in order, and
// every hub's reader has each record at the same position.
func TestClusterLeaderChangesUnderLoad(t *testing.T) {
	c := startCluster(t)
	l1, l2 := mustOpen(t, c.options()), mustOpen(t, c.options())
	reader := mustOpen(t, c.options())

	// Positions by row, as each of two hubs reads them.
	type reading struct {
		mu   sync.Mutex
		rows map[string]uint64
		list []string
	}
	var views [2]*reading
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i, l := range []*Log{reader, l1} {
		v := &reading{rows: map[string]uint64{}}
		views[i] = v
		wg.Go(func() {
			_ = l.Tail(ctx, twin.Position{}, TailOptions{MaxRows: 1}, func(_ context.Context, batches []*block.Batch, pos twin.Position) error {
				v.mu.Lock()
				defer v.mu.Unlock()
				for _, b := range batches {
					for _, ns := range b.PhenomenonNs {
						key := fmt.Sprintf("%s-%d", b.District, ns)
						if at, twice := v.rows[key]; twice {
							t.Errorf("row %s is at %d and at %d", key, at, pos.Offset)
						}
						v.rows[key] = pos.Offset
						v.list = append(v.list, key)
					}
				}
				return nil
			})
		})
	}
	stop := make(chan struct{})
	var done [2]atomic.Int64
	var appenders sync.WaitGroup
	for i, l := range []*Log{l1, l2} {
		appenders.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				batches := []*block.Batch{rowsFrom([]string{"a", "b"}[i], twin.DomainTransport, n, 1)}
				for {
					if _, err := l.Append(ctx, batches, nil); err == nil {
						done[i].Add(1)
						break
					}
					if ctx.Err() != nil {
						return
					}
					time.Sleep(10 * time.Millisecond) // as the pipeline does
				}
			}
		})
	}
	progress := func(what string) {
		t.Helper()
		a, b := done[0].Load(), done[1].Load()
		deadline := time.Now().Add(40 * time.Second)
		for done[0].Load() < a+5 || done[1].Load() < b+5 {
			if time.Now().After(deadline) {
				t.Fatalf("nothing is appended after %s", what)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	progress("the start")
	elections, stops := 8, 2
	if testing.Short() {
		elections, stops = 3, 1
	}
	for i := range elections {
		sess, _, err := reader.session()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sess.read.Request("$JS.API.STREAM.LEADER.STEPDOWN.OBS", nil, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		progress(fmt.Sprintf("step down %d", i+1))
	}
	for range stops {
		i := -1
		eventually(t, "a leader", func() bool { i = c.leader(reader); return i >= 0 })
		c.stop(i)
		progress("the leader's stop")
		c.start(i)
		progress("its start")
	}
	close(stop)
	appenders.Wait()
	want := int(done[0].Load() + done[1].Load())
	for i, v := range views {
		eventually(t, fmt.Sprintf("reader %d has everything", i), func() bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			return len(v.rows) >= want
		})
		v.mu.Lock()
		next := map[byte]int{}
		for _, key := range v.list {
			if key != fmt.Sprintf("%c-%d", key[0], next[key[0]]) {
				t.Fatalf("reader %d has %s where %d was expected", i, key, next[key[0]])
			}
			next[key[0]]++
		}
		v.mu.Unlock()
	}
	cancel()
	for key, at := range views[0].rows {
		if other := views[1].rows[key]; other != at {
			t.Fatalf("row %s is at %d for one hub and at %d for another", key, at, other)
		}
	}
	t.Logf("%d records by two hubs, over %d elections and %d stopped leaders", want, elections, stops)
}

func TestReplicasNeedACluster(t *testing.T) {
	o := externalOptions(external(t, nil).ClientURL())
	o.Replicas = 3
	_, err := Open(t.Context(), o)
	if e := wantCode(t, err, twin.CodeInvalid); e.Field != "replicas" || !strings.Contains(e.Hint, "log.replicas") {
		t.Errorf("%+v", e)
	}
	o = testOptions(t.TempDir())
	o.Replicas = 3
	_, err = Open(t.Context(), o)
	if e := wantCode(t, err, twin.CodeInvalid); e.Field != "replicas" || !strings.Contains(e.Hint, "log.url") {
		t.Errorf("%+v", e)
	}
}

// A reader's position beyond what the leader has applied is waited for; one
// that no server has is refused in the end.
func TestTailBehindALeader(t *testing.T) {
	l := mustOpen(t, externalOptions(external(t, nil).ClientURL()))
	tl := &tail{l: l, pos: twin.Position{Epoch: "e", Offset: 7}}
	st := streamState{epoch: "e", first: 1, last: 6}
	if !tl.behind(st) {
		t.Fatal("a leader that is behind is not waited for")
	}
	st.last = 7
	if tl.behind(st) || !tl.behindSince.IsZero() {
		t.Fatal("it has caught up")
	}
	st.last = 6
	tl.behindSince = time.Now().Add(-2 * behindLimit)
	if tl.behind(st) {
		t.Fatal("waits for ever")
	}
	wantCode(t, tl.check(st), twin.CodeConflict)
	st.epoch = "f"
	if tl.behind(st) {
		t.Fatal("waits for another log")
	}
}

// A batch that is split keeps its order although its first record fails.
func TestSplitBatchKeepsItsOrder(t *testing.T) {
	l := mustOpen(t, testOptions(t.TempDir()))
	g := new(group)
	if err := l.encode(g, []*block.Batch{rowsFrom("a", twin.DomainTransport, 0, 3*maxRowsPerRecord), rowsFrom("b", twin.DomainTransport, 0, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	for i, r := range g.records {
		if want := i > 0 && i < len(g.records)-1; r.follows != want {
			t.Errorf("record %d of %d follows: %v", i, len(g.records), r.follows)
		}
	}
	sess, _, err := l.session()
	if err != nil {
		t.Fatal(err)
	}
	l.identify(sess, g)
	g.records[0].subject = "nobody.listens" // no stream takes it
	if err := l.publish(t.Context(), sess, g); err == nil {
		t.Fatal("published to nobody")
	}
	for i, r := range g.records[1:] {
		if r.seq != 0 {
			t.Errorf("record %d is stored and record 0 is not", i+1)
		}
	}
}

// A group is tried again after retention has emptied the stream: there is
// nothing to be found, and nothing to wait for.
func TestRetryIntoAnEmptiedStream(t *testing.T) {
	l := mustOpen(t, externalOptions(external(t, nil).ClientURL()))
	batches := []*block.Batch{rowsFrom("", twin.DomainTransport, 0, 1)}
	sess, _, err := l.session()
	if err != nil {
		t.Fatal(err)
	}
	g := new(group)
	if err := l.encode(g, batches, nil); err != nil {
		t.Fatal(err)
	}
	l.identify(sess, g)
	l.failed.put(g, time.Now())
	other := mustOpen(t, l.o)
	for i := range 3 {
		mustAppend(t, other, rowsFrom("", twin.DomainTransport, 100+i, 1))
	}
	if err := sess.obs.handle.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pos, err := l.Append(t.Context(), batches, nil); err != nil || pos.Offset != 4 {
		t.Fatalf("%v %v", pos, err)
	}
}
