package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"cityhub/streams/client"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

// exampleHub is the city of PROTOCOL.md with a real hub, for an example.
type exampleHub struct {
	testing.TB
	ends []func()
}

func (h *exampleHub) Helper()                      {}
func (h *exampleHub) Cleanup(f func())             { h.ends = append(h.ends, f) }
func (h *exampleHub) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (h *exampleHub) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (h *exampleHub) Error(args ...any)            { panic(fmt.Sprint(args...)) }
func (h *exampleHub) Errorf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (h *exampleHub) close() {
	for i := len(h.ends) - 1; i >= 0; i-- {
		h.ends[i]()
	}
}

// The fine dust of the old town: its present state, then each new reading.
func Example() {
	tb := &exampleHub{}
	defer tb.close()
	hub := serve(tb, nil, nil)
	ctx := context.Background()

	c, err := client.Dial(ctx, client.Options{
		URL: hub.url, // e.g. http://127.0.0.1:8080
		Subscribe: []client.Request{{
			Filter: client.Filter{ObservedProperties: []string{"pm25"}, BBox: &client.BBox{120.598, 31.285, 120.641, 31.332}},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	what := map[twin.DatastreamID]client.Datastream{}
	for {
		ev, err := c.Next(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		switch ev := ev.(type) {
		case *client.Snapshot:
			if ev.First {
				clear(what) // it replaces what came before
			}
			for _, d := range ev.Datastreams {
				what[d.ID] = d
			}
			for _, o := range ev.Observations {
				fmt.Println("now", what[o.Datastream].Terminal, o.Result, what[o.Datastream].Unit)
			}
			hub.Log.Append(streamtest.Reading(12, 1790000001000, 12.9)) // something happens in the city
		case *client.Delta:
			for _, d := range ev.Datastreams {
				what[d.ID] = d
			}
			for _, o := range ev.Observations {
				fmt.Println("new", what[o.Datastream].Terminal, o.Result, o.Time().Format("15:04:05"))
			}
			return
		case *client.Gap:
			fmt.Println("readings may be missing after", ev.After)
		case *client.Failed:
			fmt.Println(ev.Err)
			return
		}
	}
	// Output:
	// now gusu-air-01 12.3 µg/m³
	// new gusu-air-01 12.9 14:13:21
}

// A program that stores each reading keeps the position of the last event with
// them and goes on there after a restart.
func ExampleRequest_after() {
	tb := &exampleHub{}
	defer tb.close()
	hub := serve(tb, nil, nil)
	ctx := context.Background()

	var stored twin.Position // with the readings, in one write
	run := func() {
		c, err := client.Dial(ctx, client.Options{URL: hub.url, Subscribe: []client.Request{{
			ID: "store", Filter: client.Filter{Datastreams: []twin.DatastreamID{12}}, After: stored,
		}}})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		for {
			ev, err := c.Next(ctx)
			switch ev := ev.(type) {
			case *client.Snapshot:
				if ev.Last {
					stored = ev.Position
					return
				}
			case *client.Delta:
				stored = ev.Position
				return
			}
			if errors.Is(err, client.ErrClosed) || err != nil {
				return
			}
		}
	}
	run()
	fmt.Println("stored up to", stored)
	hub.Log.Append(streamtest.Reading(12, 1790000001000, 12.9))
	hub.Settle(tb)
	run()
	fmt.Println("stored up to", stored)
	// Output:
	// stored up to e1:3
	// stored up to e1:4
}

// A map that moves: only the difference is sent.
func ExampleSubscription_Update() {
	tb := &exampleHub{}
	defer tb.close()
	hub := serve(tb, nil, nil)
	hub.Log.Append(streamtest.Reading(13, 1790000000000, 30))
	hub.Settle(tb)
	ctx := context.Background()

	c, err := client.Dial(ctx, client.Options{URL: hub.url})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	view, err := c.Subscribe(client.Request{Filter: client.Filter{BBox: &client.BBox{120.615, 31.3, 120.625, 31.32}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	moved := false
	for {
		ev, err := c.Next(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		var came []client.Datastream
		switch ev := ev.(type) {
		case *client.Snapshot:
			came = ev.Datastreams
		case *client.Changed:
			came = ev.Datastreams
		}
		for _, d := range came {
			fmt.Println(d.NameEn)
		}
		if len(came) > 0 && moved {
			return
		}
		if len(came) > 0 {
			moved = true
			if err := view.Update(client.Filter{BBox: &client.BBox{120.625, 31.29, 120.635, 31.31}}); err != nil {
				fmt.Println(err)
			}
		}
	}
	// Output:
	// Air 1
	// Air 2
}
