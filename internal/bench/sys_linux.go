package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when this program dies without
// cleaning up.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
