package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
)

// goBench is a Go benchmark that already measures a part by itself.
type goBench struct {
	path   string
	goal   string
	pkg    string
	name   string // as -bench takes it
	metric string // unit of the figure to show
	text   string // format of that figure
	quick  string // -benchtime of a smoke run
}

var seriesBenches = []goBench{
	{path: "time series, append (10,000 Datastreams, 16,384 rows a write)", goal: "≥ 500 k readings/s", pkg: "./twin/series/pebble",
		name: "^BenchmarkAppend$/^datastreams=10000$/^rows=16384$", metric: "rows/s", text: "%s readings/s", quick: "3x"},
	{path: "log, append and sync (2,000 rows an append)", goal: "—", pkg: "./streams/log",
		name: "^BenchmarkAppend$/^rows=2000$", metric: "rows/s", text: "%s readings/s", quick: "3x"},
}

var codecBenches = []goBench{
	{path: "decode a JSON message of 4 readings", goal: "—", pkg: "./ingest/decode", name: "^BenchmarkJSON$", metric: "ns/op", text: "%s ns", quick: "1000x"},
	{path: "parse an MQTT PUBLISH", goal: "—", pkg: "./ingest/mqttd", name: "^BenchmarkParsePublish$", metric: "ns/op", text: "%s ns", quick: "1000x"},
	{path: "a message through the ingest pipeline, without log and network", goal: "—", pkg: "./ingest", name: "^BenchmarkPublish$", metric: "ns/op", text: "%s ns", quick: "1000x"},
}

func goBenchRow(list []goBench) func(context.Context, *bench) ([]line, error) {
	return func(ctx context.Context, b *bench) ([]line, error) {
		var lines []line
		for _, g := range list {
			l, err := b.goBench(ctx, g)
			if err != nil {
				return lines, err
			}
			lines = append(lines, l)
		}
		return lines, nil
	}
}

// goBench runs a Go benchmark, with its files on the disk that is measured.
func (b *bench) goBench(ctx context.Context, g goBench) (line, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", g.name, "-benchtime", pick(b, "3s", g.quick), "-count", "1", "-benchmem", "-timeout", "4m", g.pkg)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "TMPDIR="+b.rowDir())
	cmd.WaitDelay = 5 * time.Second
	// An interrupt lets go test end the test program too.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		return line{}, fmt.Errorf("go test -bench %s %s: %w\n%s", g.name, g.pkg, err, indent(string(out)))
	}
	values, err := parseBench(string(out))
	if err != nil {
		return line{}, fmt.Errorf("%s %s: %w", g.pkg, g.name, err)
	}
	v, ok := values[g.metric]
	if !ok {
		return line{}, fmt.Errorf("%s %s reports no %s", g.pkg, g.name, g.metric)
	}
	return line{Path: g.path, Goal: g.goal, Measured: fmt.Sprintf(g.text, count(v)), Values: values}, nil
}

// parseBench reads the figures of the only benchmark in the output of go test:
// "BenchmarkName-2  100  12.5 ns/op  8 B/op".
func parseBench(out string) (map[string]float64, error) {
	var values map[string]float64
	for l := range strings.Lines(out) {
		f := strings.Fields(l)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		if _, err := strconv.ParseInt(f[1], 10, 64); err != nil {
			continue
		}
		if values != nil {
			return nil, errors.New("more than one benchmark ran")
		}
		values = map[string]float64{}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q is no figure", f[i])
			}
			values[f[i+1]] = v
		}
	}
	if values == nil {
		return nil, errors.New("no benchmark ran")
	}
	return values, nil
}

// codecRow adds the block codec, which every reading passes twice or more on
// its way: into the log, and out of it for every view.
func codecRow(ctx context.Context, b *bench) ([]line, error) {
	lines, err := goBenchRow(codecBenches)(ctx, b)
	if err != nil {
		return lines, err
	}
	const size = 2000
	in, err := sampleBatch(size)
	if err != nil {
		return lines, err
	}
	length := pick(b, 2*time.Second, 50*time.Millisecond)
	var data []byte
	encode, err := perSecond(ctx, length, size, func() (err error) { data, err = in.AppendEncoded(data[:0]); return err })
	if err != nil {
		return lines, err
	}
	var out block.Batch
	decode, err := perSecond(ctx, length, size, func() error { return out.Decode(data) })
	if err != nil {
		return lines, err
	}
	for i := range size {
		if in.Row(i) != out.Row(i) {
			return lines, fmt.Errorf("row %d is %+v and comes back as %+v", i, in.Row(i), out.Row(i))
		}
	}
	each := float64(len(data)) / size
	return append(lines, line{
		Path: "block codec, encode / decode (2,000 rows)", Goal: "—",
		Measured: fmt.Sprintf("%s / %s readings/s; %.1f bytes a reading", count(encode), count(decode), each),
		Values:   map[string]float64{"encodePerSecond": encode, "decodePerSecond": decode, "bytesPerReading": each},
	}), nil
}

// sampleBatch holds live readings of many Datastreams.
func sampleBatch(size int) (*block.Batch, error) {
	rng := rand.New(rand.NewPCG(1, 2)) // the same readings every time
	b := &block.Batch{}
	b.Reset("320508", twin.DomainEnvironment)
	ns := time.Now().UnixMilli() * 1e6
	for range size {
		ns += 1e6
		b.AppendNumber(twin.DatastreamID(rng.IntN(10_000)+1), ns, ns+int64(rng.IntN(5e6)), float64(rng.IntN(1000))/10, twin.QualityGood)
	}
	if b.Len() != size {
		return nil, fmt.Errorf("the batch holds %d rows, expected %d", b.Len(), size)
	}
	return b, nil
}

// perSecond repeats fn for length and gives rows a second.
func perSecond(ctx context.Context, length time.Duration, rows int, fn func() error) (float64, error) {
	began := time.Now()
	for n := 1; ; n++ {
		if err := fn(); err != nil {
			return 0, err
		}
		if took := time.Since(began); took >= length {
			return float64(rows) * float64(n) / took.Seconds(), context.Cause(ctx)
		}
	}
}
