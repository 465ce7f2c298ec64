package mqttclient

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"cityhub/internal/mqttclient/mqtttest"
	"cityhub/twin"
)

func TestPublisherDeliversEverythingOverLostConnections(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	sub := mqtttest.Subscribe(t, addr, "t")
	proxy := mqtttest.NewProxy(t, addr)
	p, err := NewPublisher(t.Context(), PublisherOptions{Options: Options{Address: proxy.Addr(), ClientID: "p", Window: 16}, QoS: 1})
	if err != nil {
		t.Fatal(err)
	}
	const n, cuts = 3000, 5
	rnd := rand.New(rand.NewPCG(1, 2))
	cutAt := map[int]bool{}
	for len(cutAt) < cuts {
		cutAt[rnd.IntN(n-100)] = true
	}
	for i := range n {
		if err := p.Publish(t.Context(), "t", []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if cutAt[i] {
			proxy.Cut()
		}
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := p.Stats()
	if st.Published != n || st.Acked != n || st.Reconnects < 1 || st.Resent < 1 || p.InFlight() != 0 {
		t.Errorf("stats %+v, in flight %d", st, p.InFlight())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	next := 0
	for _, m := range sub.Quiet(500 * time.Millisecond) {
		var i int
		if _, err := fmt.Sscan(string(m.Payload), &i); err != nil {
			t.Fatal(err)
		}
		// What is sent again may come twice, but a first arrival keeps its place.
		if i > next {
			t.Fatalf("message %d came before %d", i, next)
		}
		if i == next {
			next++
		}
	}
	if next != n {
		t.Errorf("%d messages arrived, want %d", next, n)
	}
}

func TestPublisherGivesUp(t *testing.T) {
	addr := mqtttest.AckServer(t)
	proxy := mqtttest.NewProxy(t, addr)
	p, err := NewPublisher(t.Context(), PublisherOptions{Options: Options{Address: proxy.Addr(), ClientID: "p"}, QoS: 1, RetryFor: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	proxy.Stop()
	proxy.Cut()
	err = p.Publish(t.Context(), "t", nil)
	if err == nil {
		err = p.Drain(t.Context())
	}
	if twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestPublisherFirstConnectionIsNotRetried(t *testing.T) {
	began := time.Now()
	_, err := NewPublisher(t.Context(), PublisherOptions{Options: Options{Address: "127.0.0.1:1", ClientID: "p"}})
	if twin.ErrorCode(err) != twin.CodeUnavailable || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}
