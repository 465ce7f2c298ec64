package pebble

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"cityhub/twin"
)

// faultFS fails writes to chosen files.
type faultFS struct {
	vfs.FS
	fault atomic.Pointer[fault]
	avail atomic.Uint64
	hits  atomic.Int64
}

type fault struct {
	files string // part of the file name
	err   error
}

func newFaultFS() *faultFS {
	fs := &faultFS{FS: vfs.NewMem()}
	fs.avail.Store(1 << 40)
	return fs
}

func (fs *faultFS) fail(files string, err error) { fs.fault.Store(&fault{files, err}) }
func (fs *faultFS) heal()                        { fs.fault.Store(nil) }

func (fs *faultFS) check(name string) error {
	if f := fs.fault.Load(); f != nil && strings.Contains(filepath.Base(name), f.files) {
		fs.hits.Add(1)
		return &os.PathError{Op: "write", Path: name, Err: f.err}
	}
	return nil
}

func (fs *faultFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: fs.avail.Load(), TotalBytes: 1 << 41}, nil
}

func (fs *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.check(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, c)
	return &faultFile{f, fs, name}, err
}

func (fs *faultFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.check(newname); err != nil {
		return nil, err
	}
	f, err := fs.FS.ReuseForWrite(oldname, newname, c)
	return &faultFile{f, fs, newname}, err
}

type faultFile struct {
	vfs.File
	fs   *faultFS
	name string
}

// Write writes a part before it fails, as a filling disk does.
func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.fs.check(f.name); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func openFaulty(t *testing.T, fs *faultFS) *Store {
	t.Helper()
	s, err := Open("series", Options{MemTableBytes: 1 << 20, fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	if twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("%s: %v, want code unavailable", what, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 10 s still not: %s", what)
		}
	}
}

func tryAppend(s *Store, n uint64) error {
	return s.Append(context.Background(), crashBatch(n), twin.Position{Epoch: "crash", Offset: n})
}

func TestLittleSpaceRefuses(t *testing.T) {
	fs := newFaultFS()
	s := openFaulty(t, fs)
	m := &crashModel{}
	appendCrash(t, s, 1)
	fs.avail.Store(defaultMinFreeBytes - 1)
	wantUnavailable(t, "append", tryAppend(s, 2))
	wantUnavailable(t, "health", s.Healthy())
	if got := m.check(t, s); got != 1 {
		t.Errorf("position %d, want 1", got)
	}
	fs.avail.Store(defaultMinFreeBytes)
	appendCrash(t, s, 2)
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
	if got := m.check(t, s); got != 2 {
		t.Errorf("position %d, want 2", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullDiskWaits fills the disk under the log and the manifest of the
// store, which is the end of the process for Pebble alone.
func TestFullDiskWaits(t *testing.T) {
	for _, files := range []string{".log", "MANIFEST", ""} {
		t.Run("files "+files, func(t *testing.T) {
			fs := newFaultFS()
			s := openFaulty(t, fs)
			m := &crashModel{}
			for n := uint64(1); n <= 5; n++ {
				appendCrash(t, s, n)
			}
			fs.fail(files, syscall.ENOSPC)
			result := make(chan error)
			go func() {
				var err error
				for n := uint64(6); n <= 200 && err == nil; n++ { // rotates log and memtable many times
					err = tryAppend(s, n)
				}
				result <- err
			}()
			eventually(t, "a write waits", func() bool { return s.disk.waiting.Load() > 0 })
			wantUnavailable(t, "health", s.Healthy())
			if _, ok, err := s.Latest(context.Background(), 1); !ok || err != nil {
				t.Errorf("reading a full disk: %v, %v", ok, err)
			}
			fs.heal()
			if err := <-result; err != nil {
				t.Fatalf("append after the disk was full: %v", err)
			}
			eventually(t, "healthy", func() bool { return s.Healthy() == nil })
			if got := m.check(t, s); got != 200 {
				t.Errorf("position %d, want 200", got)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openFaulty(t, fs)
			if got := m.check(t, s); got != 200 {
				t.Errorf("position after a restart %d, want 200", got)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCloseOnFullDiskDoesNotWait(t *testing.T) {
	fs := newFaultFS()
	s := openFaulty(t, fs)
	appendCrash(t, s, 1)
	fs.fail(".log", syscall.ENOSPC)
	result := make(chan error)
	go func() { result <- tryAppend(s, 2) }()
	eventually(t, "a write waits", func() bool { return s.disk.waiting.Load() > 0 })
	start := time.Now()
	wantUnavailable(t, "close", s.Close())
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("close took %v", took)
	}
	// The process would end here. Let the waiting append go to clean up.
	fs.heal()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		t.Error(err)
	}
}

// TestFullDiskUnderTables lets flushes fail: readings are safe in the log of
// the store, health says so, and it heals by itself.
func TestFullDiskUnderTables(t *testing.T) {
	fs := newFaultFS()
	s := openFaulty(t, fs)
	m := &crashModel{}
	fs.fail(".sst", syscall.ENOSPC)
	n := uint64(1)
	for ; fs.hits.Load() == 0 && n < 1000; n++ {
		appendCrash(t, s, n)
	}
	eventually(t, "background error", func() bool { return s.Healthy() != nil })
	wantUnavailable(t, "health", s.Healthy())
	before := fs.hits.Load()
	time.Sleep(2 * spaceRetry)
	if tries := fs.hits.Load() - before; tries > 10 {
		t.Errorf("%d attempts in %v: a full disk keeps a core busy", tries, 2*spaceRetry)
	}
	fs.heal()
	eventually(t, "healthy", func() bool { return s.Healthy() == nil })
	appendCrash(t, s, n)
	m.check(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestBrokenDisk fails for another reason than space: the store refuses for
// good, Close returns, and a new start finds position and rows in agreement.
func TestBrokenDisk(t *testing.T) {
	for _, files := range []string{".log", "MANIFEST"} {
		t.Run("files "+files, func(t *testing.T) {
			fs := newFaultFS()
			s := openFaulty(t, fs)
			for n := uint64(1); n <= 5; n++ {
				appendCrash(t, s, n)
			}
			fs.fail(files, syscall.EIO)
			var err error
			n := uint64(6)
			for ; err == nil && n < 2000; n++ {
				err = tryAppend(s, n)
			}
			wantUnavailable(t, "append", err)
			wantUnavailable(t, "append again", tryAppend(s, n))
			wantUnavailable(t, "health", s.Healthy())
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			select {
			case <-closed:
			case <-time.After(10 * time.Second):
				t.Fatal("close hangs")
			}
			fs.heal()
			s = openFaulty(t, fs)
			m := &crashModel{}
			m.upTo(n - 2) // the last that was acknowledged
			last := m.check(t, s)
			appendCrash(t, s, last+1)
			m.check(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
