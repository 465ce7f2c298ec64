//go:build !linux

package testkit

import (
	"os/exec"
	"syscall"
)

// dieWithTest does nothing: only Linux can tie a process to its parent.
func dieWithTest(*exec.Cmd) {}

// serverUser lets processes run as who runs the test.
func serverUser(string) (func() *syscall.SysProcAttr, error) {
	return func() *syscall.SysProcAttr { return nil }, nil
}
