package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// machine is what the figures belong to.
type machine struct {
	Processor  string     `json:"processor"`
	Cores      int        `json:"cores"`
	Memory     int64      `json:"memoryBytes"`
	FileSystem string     `json:"fileSystem"`
	Disk       diskResult `json:"disk"`
	Kernel     string     `json:"kernel"`
	Go         string     `json:"go"`
	Date       time.Time  `json:"date"`
	Version    string     `json:"version"` // of the program that is measured
}

// machine looks at the machine. What cannot be found out stays "unknown".
func (b *bench) machine(ctx context.Context) (machine, error) {
	m := machine{Processor: "unknown", Cores: runtime.NumCPU(), FileSystem: "unknown", Kernel: runtime.GOOS, Go: runtime.Version(), Date: time.Now().UTC()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Processor = cpuModel(string(text))
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if m.Memory, err = kilobytes(string(text), "MemTotal"); err != nil {
			return m, err
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = runtime.GOOS + " " + strings.TrimSpace(string(text))
	}
	m.Kernel += " " + runtime.GOARCH
	if text, err := os.ReadFile("/proc/mounts"); err == nil {
		m.FileSystem = fileSystem(string(text), b.dir)
	}
	if strings.HasPrefix(m.FileSystem, "tmpfs") {
		b.logf("%s lies in memory: nothing is synced to a disk; choose another folder with --dir", b.dir)
	}
	out, err := exec.CommandContext(ctx, b.binary, "version").Output()
	if err != nil {
		return m, fmt.Errorf("%s version: %w", b.binary, err)
	}
	m.Version = strings.TrimPrefix(strings.TrimSpace(string(out)), "cityhub ")
	m.Disk, err = b.disk(ctx)
	return m, err
}

// cpuModel reads /proc/cpuinfo; ARM kernels name no model.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// fileSystem finds the type and the device of the file system that holds dir
// in /proc/mounts.
func fileSystem(mounts, dir string) string {
	found, longest := "unknown", -1
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		at := strings.ReplaceAll(f[1], `\040`, " ")
		if dir == at || strings.HasPrefix(dir, strings.TrimSuffix(at, "/")+"/") {
			if len(at) >= longest { // a later mount covers an earlier one
				found, longest = f[2]+" on "+f[0], len(at)
			}
		}
	}
	return found
}

// syncBytes is about what the log appends for a group of a loaded hub.
const syncBytes = 24 << 10

// diskResult is the cost of one append of 24 KB and fsync.
type diskResult struct {
	Syncs int     `json:"syncs"`
	P50   float64 `json:"p50Ms"`
	P99   float64 `json:"p99Ms"`
	Max   float64 `json:"maxMs"`
}

func (d diskResult) String() string { return fmt.Sprintf("%s / %s ms", ms(d.P50), ms(d.P99)) }

// disk measures the disk, once for the machine's table and the row.
func (b *bench) disk(ctx context.Context) (_ diskResult, err error) {
	if b.rec != nil {
		return *b.rec, nil
	}
	f, err := os.CreateTemp(b.dir, "fsync-")
	if err != nil {
		return diskResult{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	d := diskResult{Syncs: pick(b, 1000, 50)}
	data := make([]byte, syncBytes)
	hist := hdr.New(1, longestMicros, 3)
	until := time.Now().Add(20 * time.Second) // a slow disk has fewer
	for i := range d.Syncs {
		data[i%len(data)]++
		began := time.Now()
		if _, err := f.Write(data); err != nil {
			return d, err
		}
		if err := f.Sync(); err != nil {
			return d, err
		}
		now := time.Now()
		if err := hist.RecordValue(micros(int64(now.Sub(began)))); err != nil {
			return d, err
		}
		if ctx.Err() != nil {
			return d, context.Cause(ctx)
		}
		if now.After(until) {
			d.Syncs = i + 1
			break
		}
	}
	d.P50, d.P99, d.Max = float64(hist.ValueAtQuantile(50))/1000, float64(hist.ValueAtQuantile(99))/1000, float64(hist.Max())/1000
	b.rec = &d
	return d, nil
}

func fsyncRow(ctx context.Context, b *bench) ([]line, error) {
	d, err := b.disk(ctx)
	if err != nil {
		return nil, err
	}
	return []line{{
		Path: "append of 24 KB and fsync, p50 / p99", Goal: "—", Measured: d.String() + fmt.Sprintf(" (max %s ms)", ms(d.Max)),
		Values: map[string]float64{"p50Ms": d.P50, "p99Ms": d.P99, "maxMs": d.Max, "syncs": float64(d.Syncs)},
	}}, nil
}
