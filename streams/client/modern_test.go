package client_test

import (
	"testing"

	"cityhub/streams/client"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

func TestModernHub(t *testing.T) {
	for _, enc := range []client.Encoding{client.JSON, client.CBOR} {
		s := serve(t, nil, nil)
		p := newProxy(t, s.addr)
		l := dial(t, client.Options{URL: p.url(), Encoding: enc, Subscribe: []client.Request{{ID: "a", Filter: client.Filter{Datastreams: []twin.DatastreamID{12}}}}})
		until[*client.Snapshot](l)
		s.Log.Append(streamtest.Reading(12, 1790000001000, 1))
		want[*client.Delta](l)
		p.set(true)
		want[*client.Disconnected](l)
		s.Log.Append(streamtest.Reading(12, 1790000002000, 2))
		s.Settle(t)
		p.set(false)
		until[*client.Connected](l)
		if sub := want[*client.Subscribed](l); !sub.Resumed {
			t.Fatalf("%+v", sub)
		}
		if d := want[*client.Delta](l); d.Observations[0].Result.Value != 2 || d.Position.Offset != 5 {
			t.Fatalf("%s", show(d))
		}
		sub, err := l.Subscribe(client.Request{ID: "b", Mode: client.Latest, Filter: client.Filter{CQL: "value > 2.5", Domains: []twin.Domain{twin.DomainEnvironment, twin.DomainEmergency}}, Events: []string{"terminal"}})
		if err != nil {
			t.Fatal(err)
		}
		snap := until[*client.Snapshot](l)
		t.Log(show(snap))
		if err := sub.Update(client.Filter{Datastreams: []twin.DatastreamID{12}}); err != nil {
			t.Fatal(err)
		}
		ch := until[*client.Changed](l)
		t.Log(show(ch))
		if len(ch.Left) != 1 || len(ch.Datastreams) != 1 {
			t.Errorf("%s", show(ch))
		}
	}
}
