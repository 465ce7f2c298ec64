package streams_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// city is a hub on a city in memory.
type city struct {
	hub   *streams.Hub
	log   *streamtest.Log
	state *streamtest.State
	dir   *streamtest.Directory
	gate  *streamtest.Gate
}

// newCity runs a hub until the test ends.
func newCity(t testing.TB, change func(*streams.Options)) *city {
	t.Helper()
	c := &city{log: streamtest.NewLog(), state: streamtest.NewState(), dir: streamtest.NewDirectory()}
	c.gate = &streamtest.Gate{Directory: c.dir}
	c.gate.Grant("admin", true)
	o := streams.Options{
		Source: c.log, State: c.state, Directory: c.dir, Heartbeat: time.Hour,
		Labels: func(_ context.Context, ds *twin.Datastream) (streams.Labels, error) {
			return streams.Labels{Title: "细颗粒物", TitleEn: ds.PropertyName, Dataset: fmt.Sprintf("set-%d", ds.Dataset)}, nil
		},
	}
	if change != nil {
		change(&o)
	}
	var err error
	if c.hub, err = streams.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

// settle waits until the hub has applied everything in the log.
func (c *city) settle(t testing.TB) {
	t.Helper()
	for end, deadline := uint64(len(c.log.Records())), time.Now().Add(10*time.Second); c.hub.Position().Offset < end; {
		if time.Now().After(deadline) {
			t.Fatalf("the hub is at %v, the log at %d", c.hub.Position(), end)
		}
		time.Sleep(time.Millisecond)
	}
}

func (c *city) connect(t testing.TB, token string) *streams.Client {
	t.Helper()
	client, err := c.hub.Connect(streams.ClientOptions{View: func(ctx context.Context) (streams.View, error) {
		v, _, err := c.gate.View(ctx, token)
		return v, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Detach)
	return client
}

// message is any message of the envelope.
type message struct {
	Type         string
	ID           string
	View         string
	Position     twin.Position
	Last         bool
	Marker       int
	Observations []json.RawMessage
	Datastreams  []struct {
		ID    twin.DatastreamID
		Name  string
		Title string
		Lon   *float64
	}
}

// received is what one subscription got.
type received struct {
	view      string
	pos       twin.Position // of the snapshot
	lastPos   twin.Position
	complete  bool
	snapshots int
	snapshot  map[twin.DatastreamID]string // observations by Datastream
	deltas    []string
	described map[twin.DatastreamID]string // names
	subs      int
	ended     bool
}

// replica follows one client by what it is sent, and checks the protocol.
type replica struct {
	client *streams.Client
	subs   map[string]*received // by id
	views  map[string]*received
	past   []*received
	raw    bytes.Buffer

	want, marker int // markers asked for and seen
}

func newReplica(c *streams.Client) *replica {
	return &replica{client: c, subs: map[string]*received{}, views: map[string]*received{}}
}

func ack(id string) func(streams.Accepted) []byte {
	return func(a streams.Accepted) []byte {
		return fmt.Appendf(nil, `{"type":"subscribed","id":%q,"view":%q,"resumed":%v,"reason":%q,"position":{"epoch":%q,"offset":%d}}`, id, a.View, a.Resumed, a.Reason, a.Position.Epoch, a.Position.Offset)
	}
}

func unack(id string) []byte { return fmt.Appendf(nil, `{"type":"unsubscribed","id":%q}`, id) }

// pump takes messages until stop says so or the client is closed.
func (r *replica) pump(stop func() bool) error {
	for !stop() {
		frames, err := r.client.Next(nil, 4096)
		if err != nil {
			return err
		}
		for _, f := range frames {
			if err := r.take(f.JSON); err != nil {
				return fmt.Errorf("%w in %s", err, f.JSON)
			}
		}
	}
	return nil
}

func (r *replica) take(data []byte) error {
	r.raw.Write(data)
	r.raw.WriteByte('\n')
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	switch m.Type {
	case "subscribed":
		// Equal subscriptions share a view, and what comes for it.
		rec := r.views[m.View]
		if rec == nil || rec.ended { // it may have lived on for other clients
			rec = &received{view: m.View}
			r.views[m.View] = rec
		}
		rec.subs++
		if old := r.subs[m.ID]; old != nil {
			r.retire(old)
		}
		r.subs[m.ID] = rec
		return nil
	case "unsubscribed":
		if r.subs[m.ID] == nil {
			return errors.New("no such subscription")
		}
		r.retire(r.subs[m.ID])
		delete(r.subs, m.ID)
		return nil
	case "snapshot", "delta":
	case "heartbeat":
		r.marker = max(r.marker, m.Marker)
		return nil
	default:
		return fmt.Errorf("unexpected type %q", m.Type)
	}
	rec := r.views[m.View]
	if rec == nil || rec.ended {
		return errors.New("a message of a view without subscription")
	}
	if m.Type == "snapshot" {
		if rec.complete || rec.snapshot == nil { // the first part of a new one
			rec.snapshots++
			rec.snapshot, rec.described, rec.deltas = map[twin.DatastreamID]string{}, map[twin.DatastreamID]string{}, nil
			rec.pos, rec.lastPos = m.Position, m.Position
		}
		if rec.pos != m.Position {
			return errors.New("parts of one snapshot have different positions")
		}
		rec.complete = m.Last
	} else {
		if !rec.complete {
			return errors.New("a delta before the snapshot is complete")
		}
		if len(m.Observations) > 0 && m.Position.Offset <= rec.lastPos.Offset {
			return fmt.Errorf("a delta at %v after %v", m.Position, rec.lastPos)
		}
		rec.lastPos = m.Position
	}
	for _, ds := range m.Datastreams {
		rec.described[ds.ID] = ds.Name
	}
	for _, o := range m.Observations {
		var id twin.DatastreamID
		if err := json.Unmarshal(o, &[]any{&id}); err != nil {
			return err
		}
		if _, ok := rec.described[id]; !ok {
			return fmt.Errorf("Datastream %d was not described", id)
		}
		if m.Type == "snapshot" {
			if _, ok := rec.snapshot[id]; ok {
				return fmt.Errorf("Datastream %d twice in a snapshot", id)
			}
			rec.snapshot[id] = string(o)
		} else {
			rec.deltas = append(rec.deltas, string(o))
		}
	}
	return nil
}

// mark queues a marker behind everything that is queued.
func (r *replica) mark(n int) { r.client.Send(fmt.Appendf(nil, `{"type":"heartbeat","marker":%d}`, n)) }

func (r *replica) retire(rec *received) {
	if rec.subs--; rec.subs == 0 {
		rec.ended = true
		r.past = append(r.past, rec)
	}
}

// encoded is an observation as the envelope writes it.
func encoded(o twin.Observation) string {
	v, _ := json.Marshal(o.Value)
	if o.IsText {
		v, _ = json.Marshal(o.Text)
	}
	return fmt.Sprintf("[%d,%d,%s,%d]", o.Datastream, o.PhenomenonNs/1e6, v, o.Quality)
}

// verify compares what a subscription got with the log; upTo is the last offset
// that it must have seen.
func (rec *received) verify(records [][]twin.Observation, upTo uint64, matches func(twin.DatastreamID) bool) error {
	if !rec.complete {
		if rec.ended {
			return nil // left before the snapshot was through
		}
		return errors.New("no complete snapshot")
	}
	state := streamtest.NewState()
	for _, rows := range records[:rec.pos.Offset] {
		state.Seed(twin.Position{}, rows...)
	}
	want := map[twin.DatastreamID]string{}
	state.Each(func(o twin.Observation) bool {
		if matches(o.Datastream) {
			want[o.Datastream] = encoded(o)
		}
		return true
	})
	for id := range max(twin.DatastreamID(len(want)), twin.DatastreamID(len(rec.snapshot))) * 10 {
		if want[id] != rec.snapshot[id] {
			return fmt.Errorf("snapshot at %v: Datastream %d is %s, want %s", rec.pos, id, rec.snapshot[id], want[id])
		}
	}
	if len(want) != len(rec.snapshot) {
		return fmt.Errorf("snapshot at %v has %d observations, want %d", rec.pos, len(rec.snapshot), len(want))
	}
	var deltas []string
	for _, rows := range records[rec.pos.Offset:max(upTo, rec.pos.Offset)] {
		for _, o := range rows {
			if matches(o.Datastream) {
				deltas = append(deltas, encoded(o))
			}
		}
	}
	if !slices.Equal(deltas, rec.deltas) {
		return fmt.Errorf("deltas from %v to %d: got %d, want %d", rec.pos, upTo, len(rec.deltas), len(deltas))
	}
	return nil
}

// sync pumps until a marker sent now has come through, so that everything
// queued before it has, too.
func (r *replica) sync(t testing.TB) {
	t.Helper()
	r.want++
	r.mark(r.want)
	if err := r.pump(func() bool { return r.marker >= r.want }); err != nil {
		t.Fatal(err)
	}
}
