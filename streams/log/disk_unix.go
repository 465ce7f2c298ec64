//go:build unix

package log

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cityhub/twin"
)

// freeBytes is the space that an unprivileged writer has on the disk of dir.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// dirLock keeps a second process away from the files of an embedded server,
// which does not lock them itself. The kernel drops it with the process.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	const op = "open log"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: op, Field: "dir", Message: "the directory of the log cannot be created", Err: err}
	}
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: op, Field: "dir", Message: "the directory of the log cannot be written", Err: err}
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &twin.Error{Code: twin.CodeConflict, Op: op, Field: "dir", Message: dir + " is in use by another process", Hint: "stop the other hub, or give this one its own data directory"}
		}
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: op, Field: "dir", Message: "the directory of the log cannot be locked", Err: err}
	}
	return &dirLock{f: f}, nil
}

// release may be called on nil.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	if err := l.f.Close(); err != nil {
		return &twin.Error{Code: twin.CodeInternal, Op: "close log", Message: "the lock of the directory was not released", Err: err}
	}
	return nil
}
