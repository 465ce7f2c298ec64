//go:build !unix

package ws

import "syscall"

// attempt takes nothing: where a socket cannot be asked, every write has a
// goroutine of its own.
type attempt struct{}

func (*attempt) write(syscall.RawConn, []byte) (int, error) { return 0, nil }
