//go:build unix

package ws

import (
	"errors"
	"syscall"
)

// attempt writes what a socket takes at once. Its parts are kept between calls,
// so that a write allocates nothing.
type attempt struct {
	p    []byte
	n    int
	err  error
	call func(fd uintptr) bool
}

// write sends as much of p as the socket takes without waiting.
func (a *attempt) write(rc syscall.RawConn, p []byte) (int, error) {
	if a.call == nil {
		a.call = a.once
	}
	a.p, a.n, a.err = p, 0, nil
	err := rc.Write(a.call)
	a.p = nil
	if err == nil {
		err = a.err
	}
	return a.n, err
}

func (a *attempt) once(fd uintptr) bool {
	for a.n < len(a.p) {
		n, err := syscall.Write(int(fd), a.p[a.n:])
		switch {
		case n > 0:
			a.n += n
			continue
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return true // full: not an error, and not to be waited for here
		}
		a.err = err
		return true
	}
	return true
}
