// Package registry keeps the entities of the hub: Things (terminals),
// Locations, Sensors, ObservedProperties, Datastreams, Datasets, the
// terminals' credentials and the access tokens, in one SQLite database.
//
// Guarantees:
//   - A management write is one transaction, on disk (fsynced) when the call
//     returns. It happens whole or not at all.
//   - Ids are dense, start at 1 and are never used again. Nothing with a
//     history is deleted: terminals and Datastreams are retired.
//   - Terminal and Datastream answer from memory: no lock that a write holds,
//     no allocation. Nothing is loaded before it is asked for, unknown codes
//     and ids are not remembered, so memory is bounded by what is registered
//     and used (measured below 1 KB a Datastream).
//   - After a write returns, every lookup sees it; a Terminal handed out before
//     says Stale.
//
// All methods of Registry are safe for concurrent use. The values handed out
// are shared: do not change them.
package registry

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"cityhub/twin"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	byCodeSQL     = `SELECT ` + thingColumns + `, EXISTS (SELECT 1 FROM credentials c WHERE c.thing_id = t.id) FROM things t WHERE t.code = ?`
	idsOfSQL      = `SELECT id FROM datastreams WHERE thing_id = ? AND retired = 0`
	byUsernameSQL = `SELECT t.code, t.state, c.salt, c.hash, c.iterations FROM credentials c JOIN things t ON t.id = c.thing_id WHERE c.username = ?`
	byTokenSQL    = `SELECT ` + tokenColumns + ` FROM tokens WHERE hash = ?`
)

// Options of a Registry. The zero value is a registry in memory.
type Options struct {
	Path   string           // the database file, created if missing; empty: in memory, for tests
	Clock  func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: no log
	// PasswordIterations of PBKDF2 for new credentials; 0: 10,000. Stored
	// credentials keep the count they were made with.
	PasswordIterations int
	// Readers is the number of reading connections; 0: 4.
	Readers int
	// Changed, when set, is called after a write that changed something that
	// others may have kept: these Datastreams, or with nil anything, a Dataset
	// and the right of a token included. New terminals and Datastreams alone
	// are no such change. It must not block.
	Changed func(ids []twin.DatastreamID)
	// Wrote, when set, is called after a write that made or changed terminals:
	// with their Datastreams or, where there are many, with nil. It must not
	// block.
	Wrote func(ids []twin.DatastreamID)
}

// Registry is an open registry. See the package comment.
type Registry struct {
	o     Options
	write *sql.DB // one connection
	read  *sql.DB
	// What ingest asks again and again, prepared.
	byCode, idsOf, byUsername, byToken *sql.Stmt
	// writing admits one writer; a channel, so that waiting respects a context.
	writing chan struct{}

	cache          cache
	datasetVersion atomic.Uint64
	auto           autoQueue
	passwords      passwords

	closeOnce sync.Once
	closeErr  error
}

// Open opens or creates the registry and brings its schema up to date. It
// loads no entity. Errors: CodeConflict when a newer cityhub wrote the file,
// CodeCorrupt, CodeUnavailable.
func Open(ctx context.Context, o Options) (*Registry, error) {
	const op = "open registry"
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PasswordIterations == 0 {
		o.PasswordIterations = 10_000
	}
	if o.PasswordIterations < 0 {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "PasswordIterations", Message: "found a negative number, expected 1 or more"}
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	name, err := dsnName(o.Path)
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: op, Field: "Path", Message: "the file cannot be created", Err: err}
	}
	r := &Registry{o: o, writing: make(chan struct{}, 1)}
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "cache_size(-65536)", "temp_store(MEMORY)"}, "_txlock": {"immediate"}}
	if r.write, err = openDB(name, pragmas, 1); err != nil {
		return nil, dbError(op, err)
	}
	if err := r.migrate(ctx); err != nil {
		return nil, errors.Join(err, r.write.Close())
	}
	pragmas = url.Values{"_pragma": {"busy_timeout(10000)", "foreign_keys(ON)", "cache_size(-8192)", "query_only(ON)"}, "_txlock": {"deferred"}}
	if r.read, err = openDB(name, pragmas, o.Readers); err != nil {
		return nil, errors.Join(dbError(op, err), r.write.Close())
	}
	for query, stmt := range map[string]**sql.Stmt{byCodeSQL: &r.byCode, idsOfSQL: &r.idsOf, byUsernameSQL: &r.byUsername, byTokenSQL: &r.byToken} {
		if *stmt, err = r.read.PrepareContext(ctx, query); err != nil {
			return nil, errors.Join(dbError(op, err), r.Close())
		}
	}
	var last sql.NullInt64
	if err := r.read.QueryRowContext(ctx, `SELECT seq FROM sqlite_sequence WHERE name = 'datastreams'`).Scan(&last); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, errors.Join(dbError(op, err), r.Close())
	}
	r.cache.init(twin.DatastreamID(last.Int64))
	r.datasetVersion.Store(1)
	r.passwords.init(runtime.GOMAXPROCS(0))
	return r, nil
}

// dsnName is the database's URI without parameters. A file is created readable
// for its owner only: it holds password hashes.
func dsnName(path string) (string, error) {
	if path == "" {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		return "file:/cityhub-" + hex.EncodeToString(b[:]) + "?vfs=memdb&", nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(abs, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(abs)}).String() + "?", nil
}

func openDB(name string, params url.Values, conns int) (*sql.DB, error) {
	c, err := sqlite.NewConnector(name + params.Encode())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns) // a database in memory lives as long as its connections
	return db, nil
}

// migrate brings the schema up to date and refuses one from the future.
func (r *Registry) migrate(ctx context.Context) error {
	const op = "migrate registry"
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return &twin.Error{Code: twin.CodeInternal, Op: op, Message: "the embedded migrations cannot be read", Err: err}
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, r.write, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return dbError(op, err)
	}
	has, want, err := p.GetVersions(ctx)
	if err != nil {
		return dbError(op, err)
	}
	if has > want {
		return &twin.Error{Code: twin.CodeConflict, Op: op, Message: fmt.Sprintf("the registry has schema %d, this cityhub knows up to %d", has, want), Hint: "start the newer cityhub that wrote it"}
	}
	done, err := p.Up(ctx)
	if err != nil {
		return dbError(op, err)
	}
	for _, m := range done {
		r.o.Logger.Info("registry migrated", "version", m.Source.Version, "took", m.Duration)
	}
	return nil
}

// Close waits for a running write and releases the database. It may be called
// more than once.
func (r *Registry) Close() error {
	r.closeOnce.Do(func() {
		r.writing <- struct{}{}
		if r.read != nil {
			for _, stmt := range []*sql.Stmt{r.byCode, r.idsOf, r.byUsername, r.byToken} {
				if stmt != nil {
					r.closeErr = errors.Join(r.closeErr, stmt.Close())
				}
			}
			r.closeErr = errors.Join(r.closeErr, r.read.Close())
		}
		if _, err := r.write.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
			r.o.Logger.Warn("registry checkpoint at close", "error", err)
		}
		r.closeErr = errors.Join(r.closeErr, r.write.Close())
		<-r.writing
	})
	return r.closeErr
}

// lock admits the caller as the one writer.
func (r *Registry) lock(ctx context.Context, op string) error {
	select {
	case r.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "gave up waiting for another write to the registry", Err: ctx.Err()}
	}
}

func (r *Registry) unlock() { <-r.writing }

// DatasetVersion changes when any Dataset, or the Dataset of any Datastream,
// changes. It starts at 1 with every Open.
func (r *Registry) DatasetVersion() uint64 { return r.datasetVersion.Load() }

// Healthy reports whether the database answers.
func (r *Registry) Healthy(ctx context.Context) error {
	var one int
	if err := r.read.QueryRowContext(ctx, `SELECT 1 FROM datasets LIMIT 1`).Scan(&one); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return dbError("check registry", err)
	}
	return nil
}

// dbError gives a database error its code. A *twin.Error passes unchanged.
func dbError(op string, err error) error {
	if err == nil {
		return nil
	}
	var te *twin.Error
	if errors.As(err, &te) {
		return err
	}
	e := &twin.Error{Code: twin.CodeInternal, Op: op, Message: "the registry's database failed", Err: err}
	var se *sqlite.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = twin.CodeUnavailable, "the call was given up"
	case errors.Is(err, sql.ErrConnDone), err.Error() == "sql: database is closed", err.Error() == "sql: statement is closed": // database/sql has no names for them
		e.Code, e.Message = twin.CodeUnavailable, "the registry is closed"
	case errors.As(err, &se):
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			e.Code, e.Message, e.Hint = twin.CodeUnavailable, "the disk of the registry is full", "free some space"
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			e.Code, e.Message, e.Hint = twin.CodeUnavailable, "the registry is in use by another process", "stop the other cityhub"
		case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			e.Code, e.Message = twin.CodeUnavailable, "the registry's file cannot be read or written"
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			e.Code, e.Message, e.Hint = twin.CodeCorrupt, "the registry's file is damaged", "restore it from a backup"
		}
	}
	return e
}
