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
// disk does fail: Pebble takes that well, and its removal gives space back.
type patientFS struct {
	vfs.FS
	logger *slog.Logger

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
	if !vital(name) {
		return open()
	}
	err = fs.patiently(name, func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &patientFile{File: f, fs: fs, name: name}, nil
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
	fs   *patientFS
	name string
}

// Write writes all of p, the rest of it after a part was written when the disk
// filled up in between.
func (f *patientFile) Write(p []byte) (int, error) {
	written := 0
	err := f.fs.patiently(f.name, func() error {
		n, err := f.File.Write(p[written:])
		written += n
		return err
	})
	return written, err
}
