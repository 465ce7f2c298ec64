package streams_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
	"cityhub/twin/block"
)

// discard is a state that forgets, so that the benchmark is the hub's.
type discard struct{ *streamtest.State }

func (discard) Apply([]*block.Batch, twin.Position) {}

// handSource hands the hub's apply function out.
type handSource chan streams.GroupFunc

func (s handSource) Tail(ctx context.Context, _ twin.Position, _ int, fn streams.GroupFunc) error {
	s <- fn
	<-ctx.Done()
	return ctx.Err()
}

// BenchmarkReading is the cost of one reading in the hub: match, encode, and
// queue in groups of 1,000, over 10,000 Datastreams. Half of the views hold one
// Datastream and half the 100 of an area.
func BenchmarkReading(b *testing.B) {
	for _, views := range []int{0, 1, 1000} {
		b.Run(fmt.Sprint("views=", views), func(b *testing.B) { benchReading(b, views) })
	}
}

func benchReading(b *testing.B, views int) {
	const datastreams = 10000
	src := make(handSource, 1)
	dir := streamtest.NewDirectory()
	state := streamtest.NewState()
	for id := twin.DatastreamID(1); id <= datastreams; id++ {
		cell := int(id-1) / 100 // 100 areas of 100 Datastreams
		dir.Put(streamtest.Datastream(id, "pm25", 1, 120+float64(cell%10)/10, 31+float64(cell/10)/10))
		state.Seed(twin.Position{}, streamtest.Reading(id, 1, 1))
	}
	hub, err := streams.New(streams.Options{Source: src, State: discard{state}, Directory: dir, QueueBytes: 1 << 40, QueueMessages: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = hub.Run(ctx) }()
	apply := <-src
	var clients []*streams.Client
	for i := range views {
		c, err := hub.Connect(streams.ClientOptions{View: func(context.Context) (streams.View, error) {
			return streamtest.View{Name: fmt.Sprint(i), All: true}, nil
		}})
		if err != nil {
			b.Fatal(err)
		}
		f := streams.Filter{Datastreams: []twin.DatastreamID{twin.DatastreamID(1 + i*7)}}
		if i%2 == 0 {
			x, y := 120+float64(i/2%10)/10, 31+float64(i/20%10)/10
			f = streams.Filter{BBox: &streams.BBox{West: x - .05, South: y - .05, East: x + .05, North: y + .05}}
		}
		if err := c.Subscribe(ctx, streams.Subscription{ID: "s", Filter: f}); err != nil {
			b.Fatal(err)
		}
		clients = append(clients, c)
	}
	var batch block.Batch
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		batch.Append(streamtest.Reading(twin.DatastreamID(1+rng.IntN(datastreams)), 1790000000000, float64(rng.IntN(10000))/100))
	}
	batches := []*block.Batch{&batch}
	frames, taken, bytes := []*streams.Frame(nil), 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	groups := 0
	for i := 0; i < b.N; i += 1000 {
		groups++
		if err := apply(ctx, batches, twin.Position{Epoch: "e1", Offset: uint64(groups)}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer() // taking is the writers' work
		for _, c := range clients {
			c.Send(nil)
			frames, _ = c.Next(frames[:0], 1<<30)
			taken += len(frames) - 1
			for _, f := range frames {
				bytes += len(f.JSON)
			}
		}
		b.StartTimer()
	}
	b.StopTimer()
	if views > 0 {
		b.ReportMetric(float64(taken)/float64(groups), "frames/group")
	}
	for _, c := range clients {
		c.Detach()
	}
	cancel()
	<-done
}

// BenchmarkSubscribe is the cost of a new area among 100,000 Datastreams, with
// its snapshot, and of leaving it.
func BenchmarkSubscribe(b *testing.B) {
	src := make(handSource, 1)
	dir, state := streamtest.NewDirectory(), streamtest.NewState()
	rng := rand.New(rand.NewPCG(1, 2))
	for id := twin.DatastreamID(1); id <= 100000; id++ {
		dir.Put(streamtest.Datastream(id, "pm25", 1, 120+rng.Float64(), 31+rng.Float64()))
		state.Seed(twin.Position{}, streamtest.Reading(id, 1, 1))
	}
	hub, err := streams.New(streams.Options{Source: src, State: state, Directory: dir})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = hub.Run(ctx) }()
	<-src
	c, err := hub.Connect(streams.ClientOptions{View: func(context.Context) (streams.View, error) { return streamtest.View{All: true}, nil }})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		x, y := 120+rng.Float64()*.95, 31+rng.Float64()*.95
		f := streams.Filter{BBox: &streams.BBox{West: x, South: y, East: x + .05, North: y + .05}}
		if err := c.Subscribe(ctx, streams.Subscription{ID: "s", Filter: f}); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Next(nil, 1); err != nil {
			b.Fatal(err)
		}
	}
	c.Detach()
	cancel()
	<-done
}

// BenchmarkIdleClient measures what the hub itself keeps for one of 10,000
// clients of one view that have taken all they got.
func BenchmarkIdleClient(b *testing.B) {
	for b.Loop() {
		c := newCity(b, nil)
		c.dir.Put(streamtest.Datastream(1, "pm25", 1, 120.6, 31.3))
		c.log.Append(streamtest.Reading(1, 1, 1))
		c.settle(b)
		const n = 10000
		clients := make([]*streams.Client, n)
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before := m.HeapAlloc
		for i := range clients {
			clients[i] = c.connect(b, "admin")
			if err := clients[i].Subscribe(context.Background(), streams.Subscription{ID: "s", Mode: streams.ModeLatest}); err != nil {
				b.Fatal(err)
			}
			if _, err := clients[i].Next(nil, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc-before)/n, "B/client")
		for _, cl := range clients {
			cl.Detach()
		}
	}
}
