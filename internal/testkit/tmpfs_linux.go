package testkit

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Tmpfs mounts a file system of its own of size bytes in memory and gives its
// folder, for tests of a full disk. Only root may mount: elsewhere the test is
// skipped, or fails with CI=true.
func Tmpfs(t testing.TB, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "a small file system can only be mounted by root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("cityhub-test", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size="+strconv.FormatInt(size, 10)+",mode=0700"); err != nil {
		Missing(t, "a small file system cannot be mounted here: "+err.Error())
	}
	// Registered after TempDir and before whatever the test starts on it, so
	// that it runs between their clean-ups.
	t.Cleanup(func() {
		var err error
		for range 100 {
			if err = syscall.Unmount(dir, 0); err != syscall.EBUSY {
				break
			}
			time.Sleep(20 * time.Millisecond) // a killed process may still be letting go
		}
		if err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
