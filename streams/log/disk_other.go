//go:build !unix

package log

import (
	"os"

	"cityhub/twin"
)

// freeBytes is not known here; the guard lets everything pass.
func freeBytes(string) (int64, error) { return -1, nil }

// dirLock is not available here.
type dirLock struct{}

func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "open log", Field: "dir", Message: "the directory of the log cannot be created", Err: err}
	}
	return &dirLock{}, nil
}

func (l *dirLock) release() error { return nil }
