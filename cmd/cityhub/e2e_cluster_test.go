package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cityhub/internal/loadgen"
	"cityhub/internal/mqttclient"
	"cityhub/internal/testkit"
	"cityhub/streams/log"
	"cityhub/twin"
	"cityhub/twin/block"
)

const (
	clusterTerminals  = 40
	clusterPublishers = 4
	clusterClients    = 3   // of each hub, to begin with
	clusterRate       = 100 // readings a second of a publisher
	clusterLogBytes   = 256 << 20
)

// Three NATS servers and two hubs, all of them real processes. Under load each
// is killed with SIGKILL in turn, twenty times, then the leader of the log is
// cut off the network, then everything is killed at once. In the end the log
// has every acknowledged reading once and in order, and every subscriber of
// mode `every`, wherever it was connected, has got of every stretch of the log
// that it followed exactly what is there, in its order; every snapshot is what
// the log says at its position.
func TestClusterUnderKillsLosesAndRepeatsNothing(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	const seed = 20261121
	rnd := rand.New(rand.NewPCG(seed, 4))
	began := time.Now()
	r := &clusterRun{t: t, nats: testkit.StartNATSCluster(t)}
	for i := range r.published {
		r.acked[i] = map[int64]bool{}
	}

	// The streams are made with three replicas; hubs take them as they are.
	opened, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var err error
	if r.log, err = log.Open(opened, log.Options{URL: r.nats.URL(), Replicas: 3, MaxBytes: clusterLogBytes}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.log.Close() })
	for range 2 {
		h := testkit.StartHub(t, testkit.HubOptions{Args: []string{"--set", "log.url=" + r.nats.URL(), "--set", fmt.Sprint("log.maxBytes=", clusterLogBytes)}, StartLimit: time.Minute})
		registerLoad(t, h, loadgen.ManifestOptions{Terminals: clusterTerminals})
		r.hubs = append(r.hubs, h)
		r.addresses = append(r.addresses, clusterAddress{mqtt: h.MQTT, stream: "ws" + strings.TrimPrefix(h.HTTP, "http") + "/stream", token: h.Token()})
	}
	// Datastreams have numbers in the log, which mean the same to every hub.
	for i := range clusterTerminals {
		id := streamID(t, r.hubs[0], loadgen.Code("", i), loadgen.Property(0))
		if i%13 == 0 && streamID(t, r.hubs[1], loadgen.Code("", i), loadgen.Property(0)) != id {
			t.Fatalf("terminal %d has another Datastream on each hub", i)
		}
		r.terminal = append(r.terminal, id)
	}

	ctx, end := context.WithCancel(t.Context())
	load, stopLoad := context.WithCancel(ctx)
	var publishers, readers sync.WaitGroup
	defer func() { stopLoad(); end(); publishers.Wait(); readers.Wait() }()
	readers.Go(func() { r.readLog(ctx) })
	for i := range clusterClients * len(r.hubs) {
		c := &clusterClient{run: r, i: i, at: i % len(r.hubs)}
		r.clients = append(r.clients, c)
		readers.Go(func() { c.follow(ctx) })
	}
	for i := range clusterPublishers {
		publishers.Go(func() { r.publish(load, i) })
	}
	r.progress("the start")

	var waits []time.Duration
	for k := range kills {
		var what string
		start := time.Now()
		if k%2 == 0 {
			n := k / 2 % r.nats.Nodes()
			what = fmt.Sprintf("SIGKILL of NATS server %d", n+1)
			r.nats.Kill9(n)
			time.Sleep(time.Duration(100+rnd.IntN(500)) * time.Millisecond) // how long it is down
			r.nats.Start(n)
		} else {
			n := k / 2 % len(r.hubs)
			what = fmt.Sprintf("SIGKILL of hub %d", n+1)
			r.hubs[n].Kill9()
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			r.restartHub(n)
		}
		r.progress(what)
		waits = append(waits, time.Since(start))
	}

	// The leader of the log is cut off: the others go on without it.
	leader := r.leader()
	start := time.Now()
	r.nats.Cut(leader)
	r.acknowledge("the leader was cut off", 200)
	cut := time.Since(start)
	if now := r.leader(); now == leader {
		t.Errorf("server %d is cut off and leads", now+1)
	}
	r.nats.Heal(leader)
	r.progress("the end of the cut")

	// Everything at once.
	start = time.Now()
	for i := range r.nats.Nodes() {
		r.nats.Kill9(i)
	}
	for _, h := range r.hubs {
		h.Kill9()
	}
	for i := range r.nats.Nodes() {
		r.nats.Start(i)
	}
	for i := range r.hubs {
		r.restartHub(i)
	}
	r.progress("the restart of everything")
	all := time.Since(start)

	stopLoad()
	publishers.Wait()
	r.caughtUp("the end")
	end()
	readers.Wait()
	r.check()
	slices.Sort(waits)
	t.Logf("seed %d, %s in all: %d kills (until acknowledged and delivered again p50 %s, max %s), leader cut off (%s), all restarted (%s)",
		seed, time.Since(began).Round(time.Second), kills, waits[len(waits)/2].Round(10*time.Millisecond), waits[len(waits)-1].Round(10*time.Millisecond),
		cut.Round(10*time.Millisecond), all.Round(10*time.Millisecond))
}

// clusterRun is what the parts of the test share.
type clusterRun struct {
	t        *testing.T
	nats     *testkit.NATSCluster
	log      *log.Log
	hubs     []*testkit.Hub
	clients  []*clusterClient
	terminal []int64 // Datastream by number of the terminal

	mu        sync.Mutex
	addresses []clusterAddress
	published [clusterTerminals]int64
	acked     [clusterTerminals]map[int64]bool
	ackCount  int
	entries   []clusterEntry // the log, as an independent reader has it
	position  twin.Position  // how far it has come
}

type clusterAddress struct{ mqtt, stream, token string }

// clusterEntry is a reading of the log. Its value is its number within the
// Datastream.
type clusterEntry struct {
	offset            uint64
	datastream, value int64
}

func (r *clusterRun) address(i int) clusterAddress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses[i%len(r.addresses)]
}

// restartHub starts a hub that was killed; it has new ports.
func (r *clusterRun) restartHub(i int) {
	r.t.Helper()
	r.hubs[i].Restart()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses[i].mqtt, r.addresses[i].stream = r.hubs[i].MQTT, "ws"+strings.TrimPrefix(r.hubs[i].HTTP, "http")+"/stream"
}

func (r *clusterRun) acks() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ackCount
}

// acknowledge waits for n more acknowledgements.
func (r *clusterRun) acknowledge(after string, n int) {
	r.t.Helper()
	from := r.acks()
	testkit.WaitFor(r.t, time.Minute, "acknowledgements after "+after, func() bool { return r.acks() >= from+n })
}

// caughtUp waits until every client has what the log has at this moment.
func (r *clusterRun) caughtUp(after string) {
	r.t.Helper()
	var last twin.Position
	testkit.WaitFor(r.t, time.Minute, "the log's end after "+after, func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Second)
		defer cancel()
		var err error
		_, last, err = r.log.Bounds(ctx)
		return err == nil
	})
	testkit.WaitFor(r.t, time.Minute, "all subscribers to catch up after "+after, func() bool {
		for _, c := range r.clients {
			if c.offset() < last.Offset {
				return false
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.position.Offset >= last.Offset
	})
}

// progress waits until readings are acknowledged again and have reached everybody.
func (r *clusterRun) progress(after string) {
	r.t.Helper()
	r.acknowledge(after, 40)
	r.caughtUp(after)
}

// leader is the NATS server that leads the log, counted from 0.
func (r *clusterRun) leader() int {
	r.t.Helper()
	nc, err := nats.Connect(r.nats.URL(), nats.Timeout(2*time.Second))
	if err != nil {
		r.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(3*time.Second))
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	testkit.WaitFor(r.t, 30*time.Second, "a leader of the log", func() bool {
		s, err := js.Stream(r.t.Context(), "OBS")
		if err != nil {
			return false
		}
		info := s.CachedInfo()
		if info.Config.Replicas != 3 || info.Cluster == nil || info.Cluster.Leader == "" {
			return false
		}
		n, err = strconv.Atoi(strings.TrimPrefix(info.Cluster.Leader, "n"))
		return err == nil
	})
	return n - 1
}

// publish sends numbered readings of every fourth terminal, over any hub that
// is there. What was not acknowledged when a connection ends is not sent again,
// so that no reading is in the log twice for a reason of its own.
func (r *clusterRun) publish(ctx context.Context, i int) {
	var lastMs int64
	for at := i; ctx.Err() == nil; at++ {
		conn, err := mqttclient.Dial(ctx, mqttclient.Options{
			Address: r.address(at).mqtt, ClientID: fmt.Sprintf("cluster-%d", i), Window: 200, Timeout: 40 * time.Second,
			Acked: func(ref uint64, _, _ int64) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.acked[ref>>32][int64(uint32(ref))] = true
				r.ackCount++
			},
		})
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		for due := conn.Now(); ; due += int64(time.Second / clusterRate) {
			if err = conn.Poll(due); err != nil {
				break
			}
			if ctx.Err() != nil {
				_ = conn.Drain() // what is not acknowledged by now is no promise
				break
			}
			if conn.Now() < due {
				due -= int64(time.Second / clusterRate) // a packet came, it is not due yet
				continue
			}
			t := i + clusterPublishers*int(due/int64(time.Second/clusterRate)%(clusterTerminals/clusterPublishers))
			r.mu.Lock()
			n := r.published[t]
			r.published[t]++
			r.mu.Unlock()
			lastMs = max(lastMs+1, time.Now().UnixMilli())
			if err = conn.Publish(&mqttclient.Message{
				Topic: "terminals/" + loadgen.Code("", t) + "/up/json", QoS: 1, Ref: uint64(t)<<32 | uint64(n),
				Payload: fmt.Appendf(nil, `{"t":%d,"v1":%d}`, lastMs, n),
			}); err != nil {
				break
			}
		}
		_ = conn.Close()
	}
}

// readLog reads the cluster's log from its first record, without any hub.
func (r *clusterRun) readLog(ctx context.Context) {
	err := r.log.Tail(ctx, twin.Position{}, log.TailOptions{MaxRows: 1}, func(_ context.Context, batches []*block.Batch, pos twin.Position) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, b := range batches {
			for i, v := range b.Values {
				r.entries = append(r.entries, clusterEntry{pos.Offset, int64(b.Datastreams[i]), int64(v)})
			}
		}
		r.position = pos
		return nil
	})
	if ctx.Err() == nil {
		r.t.Errorf("the reading of the log ended: %v", err)
	}
}

// check compares everything in the end.
func (r *clusterRun) check() {
	t := r.t
	terminal := map[int64]int{}
	for i, id := range r.terminal {
		terminal[id] = i
	}
	times := map[[2]int64]int{}
	last := map[int64]int64{}
	for _, e := range r.entries {
		i, known := terminal[e.datastream]
		if !known || e.value >= r.published[i] {
			t.Fatalf("the log has reading %d of Datastream %d at %d, which nobody published", e.value, e.datastream, e.offset)
		}
		if times[[2]int64{e.datastream, e.value}]++; times[[2]int64{e.datastream, e.value}] > 1 {
			t.Fatalf("reading %d of terminal %d is in the log twice, at %d again", e.value, i, e.offset)
		}
		if !r.acked[i][e.value] {
			continue // it may have arrived late
		}
		if before, any := last[e.datastream]; any && e.value < before {
			t.Fatalf("reading %d of terminal %d comes after %d, at %d", e.value, i, before, e.offset)
		}
		last[e.datastream] = e.value
	}
	var published, acked int64
	for i, id := range r.terminal {
		published += r.published[i]
		for v := range r.acked[i] {
			acked++
			if times[[2]int64{id, v}] == 0 {
				t.Fatalf("reading %d of terminal %d was acknowledged and is not in the log", v, i)
			}
		}
	}
	spans, delivered, connections, resumed, covered := 0, 0, 0, 0, uint64(0)
	for _, c := range r.clients {
		c.check()
		connections += c.connections
		resumed += c.resumed
		for i, s := range c.spans {
			spans++
			delivered += len(s.got)
			if i > 0 && s.from > c.spans[i-1].to {
				covered += s.from - c.spans[i-1].to
			}
		}
	}
	// The hubs' own stores have them too.
	for _, h := range r.hubs {
		caughtUp(t, h)
		for i := 0; i < clusterTerminals; i += 7 {
			_, values := stored(t, h, loadgen.Code("", i), loadgen.Property(0))
			have := map[int64]bool{}
			for _, v := range values {
				have[int64(v)] = true
			}
			for v := range r.acked[i] {
				if !have[v] {
					t.Fatalf("reading %d of terminal %d was acknowledged and is not stored by a hub", v, i)
				}
			}
		}
	}
	t.Logf("%d published, %d acknowledged, %d in the log; %d deliveries to %d subscribers over %d connections (%d resumed), %d stretches, %d records covered by a snapshot after a reconnect",
		published, acked, len(r.entries), delivered, len(r.clients), connections, resumed, spans, covered)
	if acked == 0 || delivered == 0 || connections <= len(r.clients) {
		t.Error("the test proved nothing")
	}
}

// clusterClient is a subscriber that goes on at the next hub when its own is
// gone. It asks to resume; a hub that cannot gives it a snapshot.
type clusterClient struct {
	run *clusterRun
	i   int
	at  int // hub it tries

	connections, resumed int
	spans                []*clusterSpan

	mu  sync.Mutex
	pos twin.Position
}

// clusterSpan is a stretch of the log that was followed without a break.
type clusterSpan struct {
	from, to uint64          // it has had everything after from, up to to
	latest   map[int64]int64 // the snapshot at from
	got      [][2]int64      // Datastream and value, in order of arrival
}

func (c *clusterClient) offset() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pos.Offset
}

func (c *clusterClient) follow(ctx context.Context) {
	for ; ctx.Err() == nil; c.at++ {
		if err := c.connect(ctx); err != nil {
			c.run.t.Errorf("subscriber %d: %v", c.i, err)
			return
		}
		time.Sleep(20 * time.Millisecond) // between two tries of a hub that is down
	}
}

// connect follows one hub until the connection ends; an error is a broken promise.
func (c *clusterClient) connect(ctx context.Context) error {
	a := c.run.address(c.at)
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, a.stream, http.Header{"Authorization": {"Bearer " + a.token}})
	if err != nil {
		return nil
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	ask := map[string]any{"type": "subscribe", "id": "s1", "mode": "every"}
	if c.pos.Epoch != "" {
		ask["after"] = c.pos
	}
	if conn.WriteJSON(ask) != nil {
		return nil
	}
	c.connections++
	latest := map[int64]int64{}
	following := false
	for {
		_ = conn.SetReadDeadline(time.Now().Add(25 * time.Second)) // 2.5 heartbeats
		_, b, err := conn.ReadMessage()
		if err != nil {
			return nil
		}
		var m struct {
			Type          string
			Last, Resumed bool
			Position      twin.Position
			Observations  [][4]any
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("%w: %.300s", err, b)
		}
		rows := make([][2]int64, len(m.Observations))
		for i, o := range m.Observations {
			ds, ok1 := o[0].(float64)
			v, ok2 := o[2].(float64)
			if !ok1 || !ok2 {
				return fmt.Errorf("a row that is no number: %.300s", b)
			}
			rows[i] = [2]int64{int64(ds), int64(v)}
		}
		switch m.Type {
		case "error":
			return fmt.Errorf("the hub says %s", b)
		case "subscribed":
			if m.Resumed {
				c.resumed++
				following = true
			}
			continue
		case "snapshot":
			if following {
				following, latest = false, map[int64]int64{}
			}
			for _, o := range rows {
				latest[o[0]] = o[1]
			}
			if !m.Last {
				continue
			}
			following = true
			c.spans = append(c.spans, &clusterSpan{from: m.Position.Offset, to: m.Position.Offset, latest: latest})
		case "delta":
			if !following {
				return errors.New("a delta before the snapshot")
			}
			s := c.spans[len(c.spans)-1]
			if m.Position.Offset < s.to {
				return fmt.Errorf("offset %d after %d", m.Position.Offset, s.to)
			}
			s.got, s.to = append(s.got, rows...), m.Position.Offset
		case "heartbeat":
			if !following {
				continue
			}
			s := c.spans[len(c.spans)-1]
			s.to = max(s.to, m.Position.Offset)
		default:
			continue
		}
		if c.pos.Epoch != "" && m.Position.Epoch != c.pos.Epoch {
			return fmt.Errorf("epoch %s after %s", m.Position.Epoch, c.pos.Epoch)
		}
		c.mu.Lock()
		c.pos = m.Position
		c.mu.Unlock()
	}
}

// check compares each stretch, and each snapshot, with the log.
func (c *clusterClient) check() {
	t, entries := c.run.t, c.run.entries
	for i, s := range c.spans {
		first, _ := slices.BinarySearchFunc(entries, s.from+1, func(e clusterEntry, at uint64) int { return int(e.offset) - int(at) })
		latest := map[int64]int64{}
		for _, e := range entries[:first] {
			if v, ok := latest[e.datastream]; !ok || e.value > v {
				latest[e.datastream] = e.value
			}
		}
		if fmt.Sprint(latest) != fmt.Sprint(s.latest) {
			t.Fatalf("subscriber %d, stretch %d: the snapshot at %d is not what the log says:\n%v\n%v", c.i, i, s.from, s.latest, latest)
		}
		n := 0
		for _, e := range entries[first:] {
			if e.offset > s.to {
				break
			}
			if n >= len(s.got) || s.got[n] != [2]int64{e.datastream, e.value} {
				t.Fatalf("subscriber %d, stretch %d from %d to %d: message %d is not reading %d of Datastream %d, at %d in the log; %d of %d came: %v", c.i, i, s.from, s.to, n, e.value, e.datastream, e.offset, n, len(s.got), s.got[max(0, min(n, len(s.got))-2):min(len(s.got), n+3)])
			}
			n++
		}
		if n != len(s.got) {
			t.Fatalf("subscriber %d, stretch %d from %d to %d: %d readings came, the log has %d", c.i, i, s.from, s.to, len(s.got), n)
		}
	}
}
