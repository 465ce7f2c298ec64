package mqttd

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cityhub/ingest"
	"cityhub/ingest/ingesttest"
)

// The way of a message from the read buffer to its acknowledgement, 100 of them
// a read; the log keeps nothing.
func BenchmarkIngest(b *testing.B) {
	reg := ingesttest.Registry(b)
	p := ingest.New(ingest.Options{Registry: reg, Log: &ingesttest.Log{Discard: true}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	c := &conn{s: New(Options{Pipeline: p, Authenticate: reg.Authenticate}), nc: nullConn{}}
	now := time.Unix(1790000000, 0)
	if _, _, err := c.handle(ctx, connectPacket("bench", 60, "", ""), now); err != nil {
		b.Fatal(err)
	}
	var buf []byte
	for i := range 100 {
		buf = append(buf, publishPacket(topic, fmt.Sprintf(`{"t":%d,"pm25":12.3}`, 1789999000000+i), uint16(i+1))...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if used, _, err := c.handle(ctx, buf, now); err != nil || used != len(buf) {
			b.Fatal(used, err)
		}
		if err := c.flush(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "readings/s")
}
