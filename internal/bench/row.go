package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// row is one thing to measure. It gives one line of the table or more.
type row struct {
	name  string
	about string
	limit time.Duration // after which the row fails
	run   func(ctx context.Context, b *bench) ([]line, error)
}

// line is one line of the table. Values hold the figures for programs; their
// names carry the unit.
type line struct {
	Path     string             `json:"path"`
	Goal     string             `json:"goal"` // — for none
	Measured string             `json:"measured"`
	Checked  string             `json:"checked,omitempty"` // what was stored, against what was acknowledged
	Values   map[string]float64 `json:"values"`
}

// rows are all rows in the order of the table.
func rows() []row {
	return []row{
		{"mqtt-qos1", "MQTT QoS 1, 100 connections × 20 in flight, 1 reading a message", 5 * time.Minute, mqttRow(1, 1)},
		{"mqtt-qos1-10", "the same with 10 readings a message", 5 * time.Minute, mqttRow(1, 10)},
		{"mqtt-qos0", "MQTT QoS 0, 100 connections, 1 reading a message", 5 * time.Minute, mqttRow(0, 1)},
		{"latency-20k", "publish → WebSocket at 20,000 readings/s", 3 * time.Minute, latencyRow(20_000)},
		{"latency-50k", "publish → WebSocket at 50,000 readings/s", 3 * time.Minute, latencyRow(50_000)},
		{"idle-mqtt", "memory of 10,000 idle MQTT connections", 3 * time.Minute, idleMQTT},
		{"idle-ws", "memory of 1,000 idle WebSocket clients", 3 * time.Minute, idleWebSocket},
		{"stream-idle", "memory of 10,000 idle WebSocket clients", 3 * time.Minute, idleStream},
		{"stream-fanout", "frames of 1 KB to 500 WebSocket clients, as fast as they go", 3 * time.Minute, fanoutRow},
		{"stream-10k", "10,000 WebSocket clients at 5 updates/s", 3 * time.Minute, manyClients},
		{"stream-pan", "1,000 WebSocket clients that change their view twice a second", 3 * time.Minute, panning},
		{"stream-latency", "publish → WebSocket at 50,000 readings/s with 1,000 spatial subscriptions", 3 * time.Minute, spatialLatency},
		{"stream-hostile", "good WebSocket clients beside hostile ones", 5 * time.Minute, hostileRow},
		{"million", "1,000,000 Datastreams: import, start, memory, start after a crash", 20 * time.Minute, million},
		{"city", "the city model: 1,000,000 houses, import, questions, vector tiles", 20 * time.Minute, cityRow(false)},
		{"city-postgis", "the same on PostGIS (needs --postgis)", 20 * time.Minute, cityRow(true)},
		{"replay", "replay of Beijing's recorded air at full speed (needs --beijing)", 10 * time.Minute, replayRow},
		{"series", "time-series store alone: append", 5 * time.Minute, goBenchRow(seriesBenches)},
		{"codec", "decoders and the block codec alone", 5 * time.Minute, codecRow},
		{"fsync", "append of 24 KB and fsync, without the hub", time.Minute, fsyncRow},
	}
}

// bench is what every row works with.
type bench struct {
	root    string // of the project
	dir     string // of this run, on the disk that is measured
	binary  string
	profile string // folder for CPU profiles; empty: none
	beijing string // folder of the row replay
	postgis string // URL of the row city-postgis
	quick   bool
	keep    bool
	errs    io.Writer

	row string      // the name of the row that runs
	set []string    // further settings, key=value, of the hubs that the row starts
	hub []*hub      // that it started
	rec *diskResult // measured once
}

// logf tells what happens; results go elsewhere.
func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(b.errs, "bench: "+format+"\n", args...)
}

// runRow runs one row in a folder of its own and ends what it started.
func (b *bench) runRow(ctx context.Context, r row) (lines []line, err error) {
	limit := r.limit
	if b.quick {
		limit = min(limit, 2*time.Minute)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	b.row, b.hub, b.set = r.name, nil, nil
	defer func() {
		for _, h := range b.hub {
			if e := h.stop(); e != nil && err == nil {
				err = e
			}
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
				err = fmt.Errorf("%w (%w)", cause, err)
			}
			for _, h := range b.hub {
				b.logf("the end of the hub's log:\n%s", indent(h.output.String()))
			}
		}
		if !b.keep {
			err = errors.Join(err, os.RemoveAll(b.rowDir()))
		}
	}()
	if err := os.MkdirAll(b.rowDir(), 0o755); err != nil {
		return nil, err
	}
	return r.run(ctx, b)
}

func (b *bench) rowDir() string { return filepath.Join(b.dir, b.row) }

// file names a file or folder of the row.
func (b *bench) file(name string) string { return filepath.Join(b.rowDir(), name) }

// pick is full, or quick in a smoke run.
func pick[T any](b *bench, full, quick T) T {
	if b.quick {
		return quick
	}
	return full
}

func indent(s string) string { return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") }

// sleep waits, or gives the cause of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
