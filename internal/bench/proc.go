package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// processUsage is what a running process has used, as /proc tells.
type processUsage struct {
	cpuSeconds float64 // user and system
	rss        int64   // bytes resident now (VmRSS)
	peak       int64   // the most that were ever resident (VmHWM)
}

// clockTicks is the unit of times in /proc: USER_HZ, 100 on every Linux that Go
// runs on.
const clockTicks = 100

func usageOf(pid int) (u processUsage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("what the hub uses is read from /proc: %w", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("what the hub uses is read from /proc: %w", err)
	}
	return parseUsage(string(stat), string(status))
}

// parseUsage reads /proc/PID/stat and /proc/PID/status, proc(5).
func parseUsage(stat, status string) (u processUsage, err error) {
	// The name in parentheses may hold anything; utime and stime are fields 14
	// and 15, counted from the process id.
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return u, fmt.Errorf("/proc/PID/stat has %d fields after the name", len(f))
	}
	for _, s := range f[11:13] {
		ticks, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		u.cpuSeconds += float64(ticks) / clockTicks
	}
	for _, m := range []struct {
		key string
		to  *int64
	}{{"VmRSS", &u.rss}, {"VmHWM", &u.peak}} {
		if *m.to, err = kilobytes(status, m.key); err != nil {
			return u, err
		}
	}
	return u, nil
}

// kilobytes reads "KEY:   123 kB" of a file in /proc, in bytes.
func kilobytes(text, key string) (int64, error) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == key {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s is not in /proc", key)
}

// needFiles fails when a process may not open n files: the hub and this
// program hold one for every connection.
func needFiles(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if uint64(l.Max) < n+500 {
		return fmt.Errorf("a process may open %d files and %d are needed: ulimit -Hn %d", l.Max, n+500, n+500)
	}
	return nil
}
