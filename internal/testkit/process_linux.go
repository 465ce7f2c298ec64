package testkit

import (
	"os/exec"
	"syscall"
)

// dieWithTest has the kernel kill the process when the test process dies
// without cleaning up, as it does on a time-out.
func dieWithTest(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
