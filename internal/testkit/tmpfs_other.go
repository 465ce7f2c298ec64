//go:build !linux

package testkit

import "testing"

// Tmpfs is only there on Linux.
func Tmpfs(t testing.TB, size int64) string {
	t.Helper()
	Missing(t, "a small file system can only be mounted on Linux")
	return ""
}
