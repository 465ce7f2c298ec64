package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"cityhub/internal/mqttclient/mqtttest"
	"cityhub/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type reading struct {
	terminal string
	t        int64
}

// parse checks one payload and gives its identity.
func parse(t *testing.T, m mqtttest.Message, readings int) reading {
	t.Helper()
	var v map[string]float64
	if err := json.Unmarshal(m.Payload, &v); err != nil {
		t.Fatalf("%s: %v", m.Payload, err)
	}
	if len(v) != readings+1 {
		t.Fatalf("%s holds %d readings, want %d", m.Payload, len(v)-1, readings)
	}
	return reading{strings.Split(m.Topic, "/")[1], int64(v["t"])}
}

func TestMessagesAreUniqueAndNotInTheFuture(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"full speed", Options{QoS: 1, Connections: 3, Terminals: 7, Messages: 2000, Readings: 2}},
		{"QoS 0", Options{QoS: 0, Connections: 2, Messages: 1001}},
		{"rate below a tick", Options{QoS: 1, Connections: 4, Messages: 400, Rate: 2000, Readings: 3}},
		{"rate above a tick", Options{QoS: 1, Connections: 2, Messages: 2000, Rate: 10_000, PayloadBytes: 100}},
		{"base too late", Options{QoS: 1, Connections: 1, Messages: 50, Base: time.Now().Add(100 * time.Millisecond)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := mqtttest.Subscribe(t, addr, "terminals/#")
			c.o.Broker = addr
			res, err := Run(t.Context(), c.o)
			if err != nil {
				t.Fatal(err)
			}
			if res.Messages != c.o.Messages || c.o.QoS == 1 && res.Acked != c.o.Messages || res.Unacked != 0 || res.Readings != c.o.Messages*int64(max(1, c.o.Readings)) {
				t.Errorf("%+v", res)
			}
			seen := map[reading]bool{}
			terminals := map[string]uint64{}
			for range c.o.Messages {
				m := sub.Next(t)
				id := parse(t, m, max(1, c.o.Readings))
				if seen[id] {
					t.Fatalf("%v came twice", id)
				}
				seen[id] = true
				seq := terminals[id.terminal]
				terminals[id.terminal]++
				if want := res.Base.UnixMilli() + int64(seq)*res.StepMs; id.t != want {
					t.Fatalf("message %d of %s is of %d, want %d", seq, id.terminal, id.t, want)
				}
				var v map[string]float64
				_ = json.Unmarshal(m.Payload, &v)
				for k := range max(1, c.o.Readings) {
					if got := v[Property(k)]; math.Abs(got-Value(seq, k)) > 1e-9 {
						t.Fatalf("%s: %s of message %d is not %v", m.Payload, Property(k), seq, Value(seq, k))
					}
				}
				if at := time.UnixMilli(id.t); at.After(time.Now()) || c.o.Base.IsZero() && time.Since(at) > time.Minute {
					t.Fatalf("%s is not near now", at)
				}
				if c.o.PayloadBytes > 0 && len(m.Payload) != c.o.PayloadBytes {
					t.Fatalf("payload of %d bytes", len(m.Payload))
				}
			}
			if want := max(c.o.Terminals, c.o.Connections); len(terminals) != want {
				t.Errorf("%d terminals, want %d", len(terminals), want)
			}
		})
	}
}

func TestRateIsKept(t *testing.T) {
	addr := mqtttest.AckServer(t)
	for _, rate := range []float64{400, 20_000} {
		res, err := Run(t.Context(), Options{Broker: addr, QoS: 1, Connections: 10, Rate: rate, Duration: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if f := float64(res.Messages) / rate; f < 0.9 || f > 1.01 {
			t.Errorf("%d messages in 1 s, want %.0f", res.Messages, rate)
		}
		if res.Latency.P50 <= 0 || res.Latency.Max < res.Latency.P99 || res.Latency.P99 < res.Latency.P50 {
			t.Errorf("latency %+v", res.Latency)
		}
	}
}

func TestLedgerOverLostConnections(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	sub := mqtttest.Subscribe(t, addr, "terminals/#")
	proxy := mqtttest.NewProxy(t, addr)
	const terminals = 6
	ledger := NewLedger(terminals)
	var mu sync.Mutex
	told := map[Ack]int{}
	onAck := func(_ int, acks []Ack) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range acks {
			told[a]++
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(70 * time.Millisecond)
			proxy.Cut()
		}
	})
	var acked, published, reconnects int64
	for range 2 { // the second run goes on where the first ended
		res, err := Run(t.Context(), Options{Broker: proxy.Addr(), QoS: 1, Connections: 3, Terminals: terminals, Duration: 400 * time.Millisecond,
			Base: time.Now().Add(-time.Hour), Ledger: ledger, OnAck: onAck, Reconnect: true})
		if err != nil {
			t.Fatal(err)
		}
		if res.Acked+res.Unacked != res.Messages {
			t.Errorf("%+v", res)
		}
		acked, published, reconnects = acked+res.Acked, published+res.Messages, reconnects+res.Reconnects
	}
	cancel()
	cutter.Wait()
	if reconnects == 0 || int64(len(told)) != acked {
		t.Errorf("%d reconnects, %d acknowledged, %d told", reconnects, acked, len(told))
	}
	arrived := map[Ack]int{}
	for _, m := range sub.Quiet(time.Second) {
		id := parse(t, m, 1)
		var i int
		if _, err := fmt.Sscanf(id.terminal, "load-%d", &i); err != nil {
			t.Fatal(err)
		}
		seq, ok := ledger.Seq(i-1, time.UnixMilli(id.t))
		if !ok || !ledger.Time(seq).Equal(time.UnixMilli(id.t)) {
			t.Fatalf("%v was not published", id)
		}
		arrived[Ack{i - 1, seq}]++
	}
	var sumAcked, sumOpen, sumPublished int
	for i := range ledger.Terminals() {
		list, open := ledger.Acked(i), ledger.Unacknowledged(i)
		if uint64(len(list)) != ledger.AckedCount(i) || uint64(len(list)+len(open)) != ledger.Published(i) {
			t.Errorf("terminal %d: %d acknowledged, %d open, %d published", i, len(list), len(open), ledger.Published(i))
		}
		for _, seq := range list {
			if arrived[Ack{i, seq}] != 1 || told[Ack{i, seq}] != 1 {
				t.Fatalf("terminal %d: acknowledged message %d arrived %d times, was told %d times", i, seq, arrived[Ack{i, seq}], told[Ack{i, seq}])
			}
		}
		for _, seq := range open {
			if n := arrived[Ack{i, seq}]; n > 1 || ledger.IsAcked(i, seq) {
				t.Fatalf("terminal %d: open message %d arrived %d times", i, seq, n)
			}
		}
		sumAcked, sumOpen, sumPublished = sumAcked+len(list), sumOpen+len(open), sumPublished+int(ledger.Published(i))
	}
	if int64(sumAcked) != acked || int64(sumPublished) != published || sumOpen == 0 {
		t.Errorf("ledger %d acknowledged, %d open, %d published; results %d and %d", sumAcked, sumOpen, sumPublished, acked, published)
	}
}

func TestLostConnectionEndsTheRunUnlessToldToReconnect(t *testing.T) {
	proxy := mqtttest.NewProxy(t, mqtttest.AckServer(t))
	timer := time.AfterFunc(100*time.Millisecond, proxy.Cut)
	defer timer.Stop()
	res, err := Run(t.Context(), Options{Broker: proxy.Addr(), QoS: 1, Connections: 2, Duration: 10 * time.Second})
	if twin.ErrorCode(err) != twin.CodeUnavailable || res == nil || res.Errors == 0 || res.Seconds > 5 || res.Acked == 0 {
		t.Errorf("%+v %v", res, err)
	}
}

func TestContextEndsTheRun(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
	defer timer.Stop()
	res, err := Run(ctx, Options{Broker: mqtttest.AckServer(t), QoS: 1, Connections: 2, Duration: time.Minute, Reconnect: true})
	if !errors.Is(err, cause) || res.Acked == 0 {
		t.Errorf("%+v %v", res, err)
	}
}

func TestOptionsNameTheField(t *testing.T) {
	good := Options{Broker: "127.0.0.1:1", Duration: time.Second}
	for field, change := range map[string]func(*Options){
		"qos":         func(o *Options) { o.QoS = 2 },
		"connections": func(o *Options) { o.Connections = MaxConnections + 1 },
		"terminals":   func(o *Options) { o.Connections, o.Terminals = 5, 4 },
		"readings":    func(o *Options) { o.Readings = MaxReadings + 1 },
		"rate":        func(o *Options) { o.Rate = math.NaN() },
		"duration":    func(o *Options) { o.Duration = 0 },
		"payload":     func(o *Options) { o.PayloadBytes = -1 },
		"ledger":      func(o *Options) { o.Ledger = NewLedger(3) },
		"broker":      func(o *Options) { o.Broker = "http://x" },
		"window":      func(o *Options) { o.Window = 1 << 20 },
	} {
		o := good
		change(&o)
		_, err := Run(t.Context(), o)
		var e *twin.Error
		if !errors.As(err, &e) || e.Code != twin.CodeInvalid || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := Run(t.Context(), good); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("nothing listens: %v", err)
	}
}

func TestPlanKeepsReadingsNearNow(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		o    Options
		back time.Duration
		step int64
	}{
		{Options{Connections: 100, Rate: 1000, Duration: 10 * time.Second}, 0, 100},
		{Options{Connections: 100, Rate: 200_000, Duration: 10 * time.Second}, 10 * time.Second, 1},
		{Options{Connections: 100, Duration: 10 * time.Second}, 190 * time.Second, 1},
		{Options{Connections: 100, Messages: 100_000}, 1001 * time.Millisecond, 1},
	} {
		c.o.Broker, c.o.Clock = "x", func() time.Time { return now }
		if err := c.o.check(); err != nil {
			t.Fatal(err)
		}
		p := c.o.plan()
		if got := now.Sub(time.UnixMilli(p.baseMs)); got != c.back || p.stepMs != c.step {
			t.Errorf("%+v: %s back, step %d ms; want %s, %d", c.o, got, p.stepMs, c.back, c.step)
		}
	}
}

func TestResultIsPrinted(t *testing.T) {
	var live bytes.Buffer
	res, err := Run(t.Context(), Options{Broker: mqtttest.AckServer(t), QoS: 1, Connections: 2, Messages: 100, Live: &live})
	if err != nil {
		t.Fatal(err)
	}
	var table, js bytes.Buffer
	if err := errors.Join(res.WriteTable(&table), res.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || back != *res {
		t.Errorf("%v\n%s", err, js.String())
	}
	for _, want := range []string{"acknowledged", "100 (0 not)", "p99", "readings/s"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
}

func TestManifest(t *testing.T) {
	var b bytes.Buffer
	if err := Manifest(&b, ManifestOptions{Terminals: 10, Readings: 2, Domain: twin.DomainTransport, Open: twin.OpenConditional}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Datasets   []struct{ Code, Open string }
		Properties []struct{ Name string }
		Terminals  []struct {
			Code, Domain, Dataset string
			Simulated             bool
			Properties            []string
			Location              struct{ Lon, Lat float64 }
		}
	}
	if err := yaml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	last := got.Terminals[9]
	if len(got.Terminals) != 10 || last.Code != "load-000010" || last.Code != Code("", 9) || last.Domain != "transport" || !last.Simulated ||
		fmt.Sprint(last.Properties) != "[v1 v2]" || last.Dataset != got.Datasets[0].Code || got.Datasets[0].Open != "conditional" ||
		last.Location.Lon < 120.598 || last.Location.Lon > 120.641 || last.Location.Lat < 31.285 || last.Location.Lat > 31.332 || len(got.Properties) != 2 {
		t.Errorf("%+v", got)
	}
	for field, o := range map[string]ManifestOptions{"terminals": {}, "domain": {Terminals: 1, Domain: "x"}, "open": {Terminals: 1, Open: "x"}, "readings": {Terminals: 1, Readings: -1}} {
		var e *twin.Error
		if err := Manifest(&b, o); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// BenchmarkCeiling is what the generator can do by itself, with a server on
// the same cores that does nothing but acknowledge.
func BenchmarkCeiling(b *testing.B) {
	for _, c := range []struct{ connections, window, readings int }{{100, 20, 1}, {100, 20, 5}, {10, 100, 1}, {2, 1000, 1}} {
		b.Run(fmt.Sprintf("conns=%d/window=%d/readings=%d", c.connections, c.window, c.readings), func(b *testing.B) {
			addr := mqtttest.AckServer(b)
			b.ReportAllocs()
			res, err := Run(b.Context(), Options{Broker: addr, QoS: 1, Connections: c.connections, Window: c.window, Readings: c.readings, Messages: int64(b.N), Base: time.Now().Add(-24 * time.Hour)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(res.MessagesPerSecond, "msg/s")
			b.ReportMetric(res.Latency.P99, "p99-ms")
		})
	}
}

// BenchmarkRender is the cost of one message without the network.
func BenchmarkRender(b *testing.B) {
	r := &run{o: Options{Connections: 1, Terminals: 10, Readings: 1}, plan: schedule{stepMs: 1}, keys: [][]byte{[]byte(`,"v1":`)}, wallMs: math.MaxInt64 / 4}
	w := newWorker(r, 0)
	b.ReportAllocs()
	for b.Loop() {
		w.render(0)
		w.took()
	}
}
