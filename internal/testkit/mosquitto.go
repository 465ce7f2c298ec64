package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// MosquittoOptions configures a broker; the zero value is one that lets
// everybody in and keeps nothing.
type MosquittoOptions struct {
	// Config is lines added to mosquitto.conf after "listener PORT 127.0.0.1";
	// one that begins with allow_anonymous replaces the default true.
	Config []string
}

// Mosquitto is a running broker.
type Mosquitto struct {
	Addr string // host:port
	proc *process
}

// StartMosquitto starts a Mosquitto of its own for this test on 127.0.0.1 and
// returns when it takes connections.
func StartMosquitto(t testing.TB, o MosquittoOptions) *Mosquitto {
	t.Helper()
	program := Require(t, "mosquitto")
	log := &tail{}
	t.Cleanup(func() { showLog(t, "mosquitto", log) })
	var err error
	// Mosquitto cannot choose a port and say which, so another process may be
	// quicker.
	for range 3 {
		var m *Mosquitto
		if m, err = startMosquitto(program, t.TempDir(), FreePort(t), o, log); err == nil {
			t.Cleanup(m.Kill)
			return m
		}
	}
	t.Fatal(err)
	return nil
}

func startMosquitto(program, dir string, port int, o MosquittoOptions, log *tail) (*Mosquitto, error) {
	conf := []string{fmt.Sprintf("listener %d 127.0.0.1", port), "persistence false", "log_dest stderr", "sys_interval 1"}
	// As root it would change to the user mosquitto, who may not read dir.
	if u, err := user.Current(); err == nil {
		conf = append(conf, "user "+u.Username)
	}
	anonymous := "allow_anonymous true"
	for _, line := range o.Config {
		if strings.HasPrefix(line, "allow_anonymous") {
			anonymous = ""
		}
	}
	conf = append(append(conf, anonymous), o.Config...)
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "-c", file)
	cmd.Dir = dir
	proc, err := startProcess("mosquitto", cmd, log, nil)
	if err != nil {
		return nil, err
	}
	m := &Mosquitto{Addr: loopback(port), proc: proc}
	deadline := time.After(10 * time.Second)
	for {
		if c, err := net.DialTimeout("tcp", m.Addr, time.Second); err == nil {
			c.Close()
			// Somebody answers; if it is not ours, ours has ended: it could
			// not have the port.
			time.Sleep(20 * time.Millisecond)
			if proc.running() {
				return m, nil
			}
		}
		select {
		case <-proc.done:
			return nil, fmt.Errorf("mosquitto ended at its start: %v\n%s", proc.err, log)
		case <-deadline:
			proc.kill()
			return nil, fmt.Errorf("mosquitto did not listen on %s within 10 s\n%s", m.Addr, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Port is the port of Addr, for the -p of Mosquitto's own clients.
func (m *Mosquitto) Port() string {
	_, port, _ := net.SplitHostPort(m.Addr)
	return port
}

// Log is what the broker has logged, the end of it.
func (m *Mosquitto) Log() string { return m.proc.log.String() }

// Kill ends the broker at once. It may be called more than once.
func (m *Mosquitto) Kill() { m.proc.kill() }
