package log

import (
	"fmt"
	"sync/atomic"
	"time"

	"cityhub/twin"
)

// diskGuard refuses appends while the disk is nearly full. A server that runs
// into a full disk has to be restarted; one that is stopped before need not.
type diskGuard struct {
	dir string // empty: no guard
	min int64  // bytes; negative: no guard

	at   atomic.Int64 // when free was read, ns since 1970; real time, whatever clock the log was given
	free atomic.Int64 // bytes; negative: not known
}

// bytes is the free space, at most a second old; negative when not known.
func (d *diskGuard) bytes() int64 {
	if d.dir == "" {
		return -1
	}
	now := time.Now().UnixNano()
	if at := d.at.Load(); at != 0 && now-at < int64(time.Second) && now >= at {
		return d.free.Load()
	}
	return d.refresh(now)
}

func (d *diskGuard) refresh(now int64) int64 {
	free, err := freeBytes(d.dir)
	if err != nil {
		free = -1
	}
	d.free.Store(free)
	d.at.Store(now)
	return free
}

// check is an error with CodeUnavailable when less than the minimum is free.
func (d *diskGuard) check(op string) error {
	if d.dir == "" || d.min < 0 {
		return nil
	}
	if free := d.bytes(); free >= 0 && free < d.min {
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: fmt.Sprintf("the disk of the log has %d MiB free, fewer than %d MiB", free>>20, d.min>>20), Hint: "free space on the disk of the data directory, or lower log.maxBytes"}
	}
	return nil
}
