package pebble

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// spaceRetry is the time between two attempts to write to a full disk.
const spaceRetry = 200 * time.Millisecond

// patientFS makes the write-ahead log and the manifest wait for space where
// Pebble would give up. Pebble treats a failed write of either as the end of
// the process (it calls Fatalf, or panics with a mutex held); a full disk
// needs no such end, because nothing is acknowledged while the write waits and
// the write goes through once there is space. A sorted table that meets a full
// disk does fail: Pebble takes that well, and its removal gives space back. But
// Pebble tries again at once and for ever, so such a failure is slowed down.
type patientFS struct {
	vfs.FS
	logger *slog.Logger
	fail   *failure

	waiting atomic.Int32 // writes that wait for space now
	waited  atomic.Uint64
	closing atomic.Bool // the store closes: fail instead of waiting
}

func vital(name string) bool {
	return strings.HasSuffix(name, ".log") || strings.Contains(name, "MANIFEST-") || strings.Contains(name, "marker.")
}

// patiently runs op until it does not fail for want of space.
func (fs *patientFS) patiently(name string, op func() error) error {
	err := op()
	if !errors.Is(err, syscall.ENOSPC) || fs.closing.Load() {
		return err
	}
	fs.waited.Add(1)
	fs.waiting.Add(1)
	defer fs.waiting.Add(-1)
	fs.logger.Error("series store: the disk is full, writing waits for space", "file", name)
	for errors.Is(err, syscall.ENOSPC) && !fs.closing.Load() {
		time.Sleep(spaceRetry)
		err = op()
	}
	if err == nil {
		fs.logger.Info("series store: there is space again, writing goes on", "file", name)
	}
	return err
}

func (fs *patientFS) wrap(name string, open func() (vfs.File, error)) (f vfs.File, err error) {
	attempt := func() error {
		f, err = open()
		return err
	}
	file := &patientFile{fs: fs, name: name, vital: vital(name)}
	if file.vital {
		err = fs.patiently(name, attempt)
	} else {
		err = fs.slowly(attempt)
	}
	if err != nil {
		return nil, err
	}
	file.File = f
	return file, nil
}

// slowly runs op and takes its time over a failure for want of space, and over
// any work of a store that has failed, as it leads nowhere.
func (fs *patientFS) slowly(op func() error) error {
	err := op()
	if (errors.Is(err, syscall.ENOSPC) || fs.fail.fatal.Load() != nil) && !fs.closing.Load() {
		time.Sleep(spaceRetry)
	}
	return err
}

func (fs *patientFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(name, func() (vfs.File, error) { return fs.FS.Create(name, c) })
}

func (fs *patientFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(newname, func() (vfs.File, error) { return fs.FS.ReuseForWrite(oldname, newname, c) })
}

// Unwrap serves vfs.Root.
func (fs *patientFS) Unwrap() vfs.FS { return fs.FS }

type patientFile struct {
	vfs.File
	fs    *patientFS
	name  string
	vital bool
}

// Write writes all of p to a vital file, the rest of it after a part was
// written when the disk filled up in between.
func (f *patientFile) Write(p []byte) (n int, err error) {
	if !f.vital {
		err = f.fs.slowly(func() error {
			n, err = f.File.Write(p)
			return err
		})
		return n, err
	}
	written := 0
	err = f.fs.patiently(f.name, func() error {
		n, err := f.File.Write(p[written:])
		written += n
		return err
	})
	return written, err
}
