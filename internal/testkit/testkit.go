// Package testkit starts the real parts that the tests of the hub need: the
// cityhub program itself on a temporary folder, a Mosquitto broker, a small
// file system that can be filled. There are no stand-ins here.
//
// What a helper starts it ends when the test ends, by process id, and it shows
// the part's log when the test has failed. A part that is missing on this
// machine skips the test with the reason; with CI=true it fails it, because a
// skipped test on the build machine proves nothing.
//
// Helpers that take a testing.TB must be called from the test's goroutine. The
// values they return may be used by many goroutines unless their comment says
// otherwise.
package testkit

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// RepoRoot is the folder of the module's go.mod, found from the folder in
// which go test runs the test.
func RepoRoot(t testing.TB) string {
	t.Helper()
	dir, err := repoRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func repoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", &os.PathError{Op: "find", Path: "go.mod", Err: os.ErrNotExist}
		}
		dir = parent
	}
}

// Require gives the full path of a program, e.g. mosquitto_pub. Where it is
// not installed the test is skipped, or fails with CI=true.
func Require(t testing.TB, program string) string {
	t.Helper()
	p, err := lookProgram(program)
	if err != nil {
		Missing(t, program+" is not installed: "+err.Error())
	}
	return p
}

// lookProgram also looks where Debian keeps daemons, which is not in every
// user's PATH.
func lookProgram(program string) (string, error) {
	p, err := exec.LookPath(program)
	if err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return p, nil
		}
	}
	return "", err
}

// Missing ends the test because a part is not there: it is skipped with the
// reason, or fails with CI=true.
func Missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s; with CI=true every part must be there", reason)
	}
	t.Skip(reason)
}

// DataDir is a folder of real data to replay, e.g. "beijing-prsa", under
// $CITYHUB_TEST_DATA or else ../shared/data beside the repository. The data
// are not part of the repository: where they are not there the test is
// skipped, but fails with CI=true or when CITYHUB_TEST_DATA says that they are.
func DataDir(t testing.TB, folder string) string {
	t.Helper()
	base, promised := os.LookupEnv("CITYHUB_TEST_DATA")
	if !promised {
		base = filepath.Join(RepoRoot(t), "..", "shared", "data")
	}
	dir := filepath.Join(base, folder)
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
	case promised:
		t.Fatalf("CITYHUB_TEST_DATA=%s has no folder %s", base, folder)
	default:
		Missing(t, "the real data are not at "+dir+"; set CITYHUB_TEST_DATA to the folder that holds "+folder)
	}
	return dir
}

// FreePort is a TCP port of 127.0.0.1 that was free a moment ago. Another
// process may take it before the caller does: prefer port 0 where the part
// can say which port it got, and try again where it cannot.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// WaitFor calls ok every 10 ms until it returns true and fails the test when
// that has not happened within limit. what completes "waited in vain for".
func WaitFor(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s, %v long", what, limit)
		}
	}
}
