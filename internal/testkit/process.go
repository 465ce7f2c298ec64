package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// keptLog bounds, in bytes, what is kept of a process's output: the end of it.
const keptLog = 256 << 10

// process is a program that runs beside the test.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when the process has ended
	err  error         // of Wait; read it after done is closed
}

// startProcess starts cmd. Its standard error, and its standard output unless
// stdout takes it, go to log.
func startProcess(name string, cmd *exec.Cmd, log *tail, stdout io.Writer) (*process, error) {
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = io.Writer(log), log
	if stdout != nil {
		cmd.Stdout = stdout
	}
	// A child that keeps our pipes open must not hold Wait for ever.
	cmd.WaitDelay = 5 * time.Second
	dieWithTest(cmd)
	started := make(chan error)
	go func() {
		// The kernel ties "die with the parent" to the thread that started the
		// child, so that thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process as kill -9 does, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended already
	<-p.done
}

// stop asks the process to end and waits up to limit, then kills it.
func (p *process) stop(limit time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended already
	select {
	case <-p.done:
	case <-time.After(limit):
		p.kill()
		return fmt.Errorf("%s did not end within %v after SIGTERM", p.name, limit)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && !exit.Success() {
		return fmt.Errorf("%s ended with %v after SIGTERM", p.name, exit)
	}
	return nil
}

// showLog prints the log of a failed test.
func showLog(t testing.TB, name string, log *tail) {
	if t.Failed() {
		t.Logf("the log of %s:\n%s", name, log)
	}
}

// tail keeps the last bytes that were written to it. It is safe for
// concurrent use.
type tail struct {
	mu      sync.Mutex
	buf     []byte
	dropped int64
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if over := len(l.buf) - keptLog; over > 0 {
		// Drop whole lines where there are any.
		if nl := bytes.IndexByte(l.buf[over:], '\n'); nl >= 0 {
			over += nl + 1
		}
		l.dropped += int64(over)
		l.buf = append(l.buf[:0:0], l.buf[over:]...)
	}
	return len(b), nil
}

// String is what is kept, with a line that says how much is not.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped > 0 {
		return fmt.Sprintf("… %d bytes before this …\n%s", l.dropped, l.buf)
	}
	return string(l.buf)
}
