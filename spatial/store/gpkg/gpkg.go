// Package gpkg keeps the city model in a GeoPackage (OGC 12-128r17, version
// 1.3), a SQLite file that QGIS and GDAL open as it is: one feature table for
// each class with the footprints of what is valid now, and beside them the
// geometries by level of detail and the versions of the past (FORMAT.md).
//
// Guarantees:
//   - An import is one transaction, on disk when Import returns. After an error,
//     a crash or a loss of power in between, the file is as it was before.
//   - Readers see the state before an import until it is done, and never wait
//     for it (WAL).
//   - Memory of an import is bounded by a few batches, SQLite's page cache, and some
//     100 bytes for each object, which find those that come twice and build
//     the R*Tree of a table that was empty.
//
// Coordinates are longitude, latitude in WGS 84, rounded to 1e-9 degrees;
// heights in metres above the datum that each object names, to 0.1 mm.
//
// A Store is safe for concurrent use. Import uses two goroutines, which have
// ended when it returns.
package gpkg

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"cityhub/spatial/store"
)

var _ store.Store = (*Store)(nil)

// Options of a Store.
type Options struct {
	Path  string           // the file, created where it is missing; required
	Clock func() time.Time // nil: time.Now
	// Readers is the number of queries that are answered at a time, and half
	// that of the reading connections; 0: 4.
	Readers int
}

// Store is an open GeoPackage. See the package comment.
type Store struct {
	o     Options
	write *sql.DB // one connection
	read  *sql.DB
	// writing admits one writer; a channel, so that waiting respects a context.
	writing chan struct{}

	// readers are those that are free; closed with the store.
	readers chan *reader

	closeOnce sync.Once
	closeErr  error
}

// Open opens or creates the file. The error is a *store.Error: Conflict when the
// file is no GeoPackage of cityhub or a newer one's, Unavailable, Corrupt.
func Open(ctx context.Context, o Options) (*Store, error) {
	const op = "open city model"
	if o.Path == "" {
		return nil, &store.Error{Code: store.Invalid, Op: op, Field: "Path", Message: "found none, expected a file name that ends in .gpkg"}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	path, err := filepath.Abs(o.Path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return nil, &store.Error{Code: store.Unavailable, Op: op, Field: "Path", Message: "the folder cannot be made", Hint: "check the path and who may write there", Err: err}
	}
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).String() + "?"
	s := &Store{o: o, writing: make(chan struct{}, 1)}
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "synchronous(FULL)", "cache_size(-131072)", "temp_store(MEMORY)"}, "_txlock": {"immediate"}}
	if s.write, err = openDB(name, pragmas, 1); err != nil {
		return nil, fail(op, err)
	}
	if err := s.prepare(ctx, op); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	pragmas = url.Values{"_pragma": {"busy_timeout(10000)", "cache_size(-16384)", "query_only(ON)"}, "_txlock": {"deferred"}}
	// As many again for what is counted and measured.
	if s.read, err = openDB(name, pragmas, 2*o.Readers); err != nil {
		return nil, errors.Join(fail(op, err), s.write.Close())
	}
	s.readers = make(chan *reader, o.Readers)
	for range o.Readers {
		s.readers <- &reader{}
	}
	return s, nil
}

func openDB(name string, params url.Values, conns int) (*sql.DB, error) {
	c, err := sqlite.NewConnector(name + params.Encode())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// prepare makes a new file a GeoPackage, or checks that an old one is ours,
// before anything of it is changed.
func (s *Store) prepare(ctx context.Context, op string) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fail(op, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	var things, id, version, ours int
	if err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sqlite_master), (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master WHERE name = 'cityhub_model')`).Scan(&things, &id, &version, &ours); err != nil {
		return fail(op, err)
	}
	hint := "name another file; to take over its data, import it"
	switch {
	case things == 0:
		pragmas := "PRAGMA application_id=" + strconv.Itoa(applicationID) + "; PRAGMA user_version=" + strconv.Itoa(userVersion) + ";"
		if _, err := tx.ExecContext(ctx, pragmas+schema()); err != nil {
			return fail(op, err)
		}
	case id != applicationID || ours == 0:
		return &store.Error{Code: store.Conflict, Op: op, Field: "Path", Message: s.o.Path + " is not a city model of cityhub", Hint: hint}
	default:
		var has int
		if err := tx.QueryRowContext(ctx, `SELECT schema FROM cityhub_model`).Scan(&has); err != nil {
			return fail(op, err)
		}
		if has < schemaVersion {
			if err := migrate(ctx, tx, op, has); err != nil {
				return fail(op, err)
			}
		}
		if has > schemaVersion {
			return &store.Error{Code: store.Conflict, Op: op, Field: "Path", Message: "the file has schema " + strconv.Itoa(has) + ", this cityhub knows " + strconv.Itoa(schemaVersion), Hint: "start the newer cityhub that wrote it"}
		}
	}
	if err := tx.Commit(); err != nil {
		return fail(op, err)
	}
	// Outside of a transaction, and only once the file is known to be ours.
	if _, err := s.write.ExecContext(ctx, `PRAGMA journal_mode=WAL`); err != nil {
		return fail(op, err)
	}
	return nil
}

// Close waits for the import and the readers that are under way, and puts
// everything into the one file.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.writing <- struct{}{} // never given back: no import begins any more
		err := errors.Join(s.closeReaders(), s.read.Close())
		_, check := s.write.ExecContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`)
		s.closeErr = errors.Join(err, check, s.write.Close())
	})
	return s.closeErr
}

// fail makes a *store.Error of what SQLite or the context says.
func fail(op string, err error) error {
	var ours *store.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	e := &store.Error{Code: store.Unavailable, Op: op, Err: err}
	var from *sqlite.Error
	if errors.As(err, &from) {
		switch from.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT:
			e.Code, e.Hint = store.Corrupt, "restore the file from a backup, or import the sources into a new one"
		case sqlite3.SQLITE_NOTADB:
			e.Code, e.Hint = store.Conflict, "name another file: this one is no GeoPackage"
		case sqlite3.SQLITE_FULL:
			e.Hint = "make room on the disk and do it again; the file is as it was before"
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			e.Hint = "close the other program that has the file open for writing, such as QGIS in edit mode"
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			e.Hint = "check that the file and its folder can be written"
		}
	}
	return e
}
