package testkit

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// PostGISOptions configures a PostgreSQL server; the zero value is one that
// does not wait for the disk.
type PostGISOptions struct {
	// Config is lines of postgresql.conf after those that the test needs.
	Config []string
}

// PostGIS is a running PostgreSQL server with the extension PostGIS installed,
// in no database yet. It is for one goroutine.
type PostGIS struct {
	Addr     string // host:port
	User     string // a superuser
	Password string

	bin  string
	dir  string
	port int
	as   func() *syscall.SysProcAttr
	log  *tail
	proc *process
	next int
}

// StartPostGIS starts a PostgreSQL server of its own for this test on 127.0.0.1,
// on a temporary folder, and returns when it takes connections. It needs Debian's
// postgresql-15 and postgresql-15-postgis-3. The server refuses to run as root:
// root runs it as the user postgres, or nobody.
func StartPostGIS(t testing.TB, o PostGISOptions) *PostGIS {
	t.Helper()
	bin := postgresBin(t)
	// Not t.TempDir: another user must be able to reach it.
	dir, err := os.MkdirTemp("", "cityhub-postgis-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as, err := serverUser(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &PostGIS{User: "tester", Password: "sécret %/?", bin: bin, dir: dir, as: as, log: &tail{}}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(p.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", p.User, "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as()
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	conf := append([]string{"listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "fsync = off", "max_connections = 60"}, o.Config...)
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("\n" + strings.Join(conf, "\n") + "\n")
	if err2 := f.Close(); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	t.Cleanup(func() { showLog(t, "postgres", p.log) })
	// PostgreSQL cannot choose a port and say which, so another process may be
	// quicker.
	for range 3 {
		p.port = FreePort(t)
		if err = p.start(); err == nil {
			t.Cleanup(p.stop)
			return p
		}
	}
	t.Fatalf("%v\n%s", err, p.log)
	return nil
}

func (p *PostGIS) start() error {
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), "-D", filepath.Join(p.dir, "data"), "-p", fmt.Sprint(p.port))
	cmd.Dir, cmd.SysProcAttr = p.dir, p.as()
	proc, err := startProcess("postgres", cmd, p.log, nil)
	if err != nil {
		return err
	}
	p.proc, p.Addr = proc, loopback(p.port)
	if err := p.wait(); err != nil {
		p.stop()
		return err
	}
	return nil
}

// Restart ends the server, at once and without a checkpoint where crash is set,
// and starts it again on the same port.
func (p *PostGIS) Restart(t testing.TB, crash bool) {
	t.Helper()
	if !crash {
		_ = p.proc.cmd.Process.Signal(syscall.SIGINT) // fails only when it has ended already
		<-p.proc.done
	}
	p.stop()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// postgresBin is the folder with the server's programs, of a version that has
// PostGIS.
func postgresBin(t testing.TB) string {
	t.Helper()
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		t.Fatal(err)
	}
	for i := len(all) - 1; i >= 0; i-- {
		version := filepath.Base(filepath.Dir(all[i]))
		if _, err := os.Stat(filepath.Join("/usr/share/postgresql", version, "extension", "postgis.control")); err == nil {
			return all[i]
		}
	}
	Missing(t, "PostgreSQL with PostGIS is not installed (apt install postgresql-15 postgresql-15-postgis-3)")
	return ""
}

// wait returns when the server answers, or has ended.
func (p *PostGIS) wait() error {
	deadline := time.Now().Add(60 * time.Second)
	for {
		out, err := p.psql("postgres", "SELECT 1")
		if err == nil {
			return nil
		}
		if !p.proc.running() || time.Now().After(deadline) {
			return fmt.Errorf("postgres does not answer on %s: %w: %s", p.Addr, err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stop ends the server at once; what it wrote is thrown away.
func (p *PostGIS) stop() {
	_ = p.proc.cmd.Process.Signal(syscall.SIGQUIT) // fails only when it has ended already
	select {
	case <-p.proc.done:
	case <-time.After(10 * time.Second):
		p.proc.kill()
	}
}

// URL is the URL of a database.
func (p *PostGIS) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(p.User, p.Password), Host: p.Addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Keywords is the connection string of a database in libpq's other form.
func (p *PostGIS) Keywords(database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=%s sslmode=disable", p.port, p.User, p.Password, database)
}

// Database makes an empty database and gives its URL. template names one that is
// copied; empty: none, and the database has no PostGIS.
func (p *PostGIS) Database(t testing.TB, template string) (name, address string) {
	t.Helper()
	p.next++
	name = fmt.Sprint("db", p.next)
	query := "CREATE DATABASE " + name
	if template != "" {
		query += " TEMPLATE " + template
	}
	p.Exec(t, "postgres", query)
	return name, p.URL(name)
}

// Exec lets psql execute SQL in a database and gives what it prints.
func (p *PostGIS) Exec(t testing.TB, database, sql string) string {
	t.Helper()
	out, err := p.psql(database, sql)
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

func (p *PostGIS) psql(database, sql string) (string, error) {
	cmd := exec.Command(filepath.Join(p.bin, "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, p.URL(database))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
