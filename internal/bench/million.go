package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// million measures a city's worth of Datastreams: registering them, what they
// cost in memory, and how long the hub is away when it is killed.
func million(ctx context.Context, b *bench) ([]line, error) {
	const properties = 10
	terminals := pick(b, 100_000, 2_000)
	n := terminals * properties
	title := count(float64(n)) + " registered Datastreams: "

	empty, err := b.startHub(ctx, b.file("empty"))
	if err != nil {
		return nil, err
	}
	base, err := empty.settle(ctx, b)
	if err == nil {
		err = empty.stop()
	}
	if err != nil {
		return nil, err
	}

	manifest, err := b.writeManifest(terminals, properties)
	if err != nil {
		return nil, err
	}
	data := b.file("data")
	began := time.Now()
	_, importer, err := b.command(ctx, "import", "terminals", manifest, "--data", data)
	if err != nil {
		return nil, err
	}
	imported := time.Since(began)

	h, err := b.startHub(ctx, data)
	if err != nil {
		return nil, err
	}
	started := h.ready
	registered, err := h.settle(ctx, b)
	if err != nil {
		return nil, err
	}
	res, _, err := b.load(ctx, h, "--connections", "100", "--terminals", strconv.Itoa(terminals), "--readings", strconv.Itoa(properties), "--messages", strconv.Itoa(terminals))
	if err != nil {
		return nil, err
	}
	if res.Acked != int64(terminals) {
		return nil, fmt.Errorf("%d of %d messages were acknowledged", res.Acked, terminals)
	}
	if _, err := h.caughtUp(ctx); err != nil {
		return nil, err
	}
	live, err := h.settle(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := h.countLive(ctx, n); err != nil {
		return nil, err
	}

	h.kill()
	h, err = b.startHub(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("after SIGKILL: %w", err)
	}
	first, whole, err := h.wholeSnapshot(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("after SIGKILL: %w", err)
	}
	if err := h.countLive(ctx, n); err != nil {
		return nil, fmt.Errorf("after SIGKILL: %w", err)
	}

	each := func(u processUsage) float64 { return float64(u.rss-base.rss) / float64(n) }
	size, err := folderBytes(data)
	if err != nil {
		return nil, err
	}
	return []line{
		{
			Path: title + "import into a stopped hub", Goal: "—",
			Measured: fmt.Sprintf("%s (peak RSS %s)", durationText(imported), bytesText(peakOf(importer))),
			Values:   map[string]float64{"seconds": imported.Seconds(), "peakRssBytes": float64(peakOf(importer)), "cpuSeconds": cpuSeconds(importer)},
		},
		{
			Path: title + "start to ready", Goal: "—", Measured: durationText(started),
			Values: map[string]float64{"seconds": started.Seconds()},
		},
		{
			Path: title + "memory", Goal: "≤ 1 KB each",
			Measured: fmt.Sprintf("%s each registered, %s each after one reading each (RSS: empty hub %s, registered %s, live %s)",
				bytesText(max(0, int64(each(registered)))), bytesText(int64(each(live))), bytesText(base.rss), bytesText(registered.rss), bytesText(live.rss)),
			Checked: fmt.Sprintf("%s readings acknowledged in %.1f s, %s Datastreams live", count(float64(res.Readings)), res.Seconds, count(float64(n))),
			Values: map[string]float64{
				"bytesEachRegistered": each(registered), "bytesEachLive": each(live), "emptyRssBytes": float64(base.rss),
				"registeredRssBytes": float64(registered.rss), "liveRssBytes": float64(live.rss), "livePeakRssBytes": float64(live.peak), "folderBytes": float64(size),
				"firstReadingsSeconds": res.Seconds,
			},
		},
		{
			Path: title + "after SIGKILL, start to ready", Goal: "—",
			Measured: fmt.Sprintf("%s; %s until the stream answers with the first part of a snapshot of everything, %s until it has sent the last",
				durationText(h.ready), durationText(first), durationText(whole)),
			Checked: fmt.Sprintf("%s Datastreams in the snapshot, each once", count(float64(n))),
			Values:  map[string]float64{"seconds": h.ready.Seconds(), "firstPartSeconds": first.Seconds(), "snapshotSeconds": whole.Seconds()},
		},
	}, nil
}

// countLive fails unless exactly n Datastreams have a value.
func (h *hub) countLive(ctx context.Context, n int) error {
	s, err := h.status(ctx)
	if err == nil && s.Counts.Live != n {
		err = fmt.Errorf("%d Datastreams have a value, expected %d", s.Counts.Live, n)
	}
	return err
}

// wholeSnapshot subscribes to everything and reads the snapshot; it gives the
// times from the start of the hub to its first and to its last part.
func (h *hub) wholeSnapshot(ctx context.Context, n int) (first, whole time.Duration, err error) {
	s, err := h.subscribe(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer s.end()
	stop := context.AfterFunc(ctx, s.end)
	defer stop()
	seen := make([]bool, n+1)
	rows := 0
	err = s.snapshot(3*time.Minute, func(part []byte) error {
		if first == 0 {
			first = time.Since(h.startedAt)
		}
		return eachObservation(part, func(ds, _ int64, _ []byte) error {
			// The import numbers the Datastreams of a fresh hub from 1.
			if ds < 1 || ds > int64(n) || seen[ds] {
				return fmt.Errorf("the snapshot holds Datastream %d, which is unknown or came before", ds)
			}
			seen[ds] = true
			rows++
			return nil
		})
	})
	whole = time.Since(h.startedAt)
	if err == nil && rows != n {
		err = fmt.Errorf("the snapshot holds %d of %d Datastreams", rows, n)
	}
	return first, whole, err
}

// peakOf is the most memory that a process which has ended had resident.
func peakOf(p *os.ProcessState) int64 {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10 // Linux counts in KiB
	}
	return 0
}

// folderBytes is the size of the files in a folder. Files that the hub removes
// meanwhile count nothing.
func folderBytes(dir string) (n int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if e.IsDir() {
			m, err := folderBytes(dir + string(os.PathSeparator) + e.Name())
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return 0, err
			}
			n += m
		} else if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n, nil
}
