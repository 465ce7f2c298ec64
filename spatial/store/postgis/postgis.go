// Package postgis keeps the city model in a PostgreSQL database with PostGIS, for
// several nodes at once: a partitioned table for each class with the footprints
// of what is valid now, for QGIS and psql, and beside them the geometries by
// level of detail and the versions of the past (SCHEMA.md).
//
// Guarantees:
//   - An import is one transaction, durable when Import returns as the server is
//     configured (synchronous_commit). After an error or a lost connection the
//     city is as it was before.
//   - One import runs at a time, over all nodes: an advisory lock. Readers do not
//     wait for it and see the state before it until it is done.
//   - Values reach the server as parameters or through COPY; SQL is made of
//     constants and numbers only.
//   - Memory of an import is bounded by a few batches and some 100 bytes for each
//     object, which find those that come twice.
//
// Coordinates are longitude, latitude in WGS 84: footprints as they came,
// geometries by level of detail rounded to 1e-9 degrees and 0.1 mm. Heights are
// metres above the datum that each object names.
//
// A Store is safe for concurrent use. Import uses three goroutines, which have
// ended when it returns.
package postgis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"cityhub/spatial/store"
)

var _ store.Store = (*Store)(nil)

// Options of a Store.
type Options struct {
	// URL names the database: postgres://user:password@host:5432/database, with
	// sslmode and the other parameters of libpq. Required.
	URL   string
	Clock func() time.Time // nil: time.Now
	// Conns is the largest number of connections; 0: 8. An import takes two.
	Conns int
}

// Store is an open city model. See the package comment.
type Store struct {
	o       Options
	pool    *pgxpool.Pool
	writing chan struct{} // admits one import of this node

	closeOnce sync.Once
}

// Open connects, and creates or migrates the tables. The error is a
// *store.Error: Invalid where the URL is none, Unavailable where the server cannot
// be reached, refuses or has no PostGIS, Conflict where the schema cityhub is
// somebody else's or a newer cityhub's.
func Open(ctx context.Context, o Options) (*Store, error) {
	const op = "open city model"
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Conns <= 0 {
		o.Conns = 8
	}
	c, err := pgxpool.ParseConfig(o.URL)
	if o.URL == "" || err != nil {
		return nil, &store.Error{Code: store.Invalid, Op: op, Field: setting, Message: "expected postgres://user:password@host:5432/database", Err: err}
	}
	c.MaxConns = int32(max(o.Conns, 2))
	c.ConnConfig.RuntimeParams["application_name"] = "cityhub"
	c.ConnConfig.RuntimeParams["timezone"] = "UTC"
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if err := prepare(ctx, op, c.ConnConfig); err != nil {
		return nil, fail(op, err)
	}
	c.AfterConnect = register
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fail(op, err)
	}
	s := &Store{o: o, pool: pool, writing: make(chan struct{}, 1)}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fail(op, err)
	}
	return s, nil
}

// register makes geometries travel as EWKB.
func register(ctx context.Context, c *pgx.Conn) error {
	var oid uint32
	if err := c.QueryRow(ctx, `SELECT 'geometry'::regtype::oid`).Scan(&oid); err != nil {
		return err
	}
	c.TypeMap().RegisterType(&pgtype.Type{Name: "geometry", OID: oid, Codec: pgtype.ByteaCodec{}})
	return nil
}

// Close waits for the import and the readers that are under way.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.writing <- struct{}{} // never given back: no import begins any more
		s.pool.Close()
	})
	return nil
}

// setting is what the hints name.
const setting = "city.url"

// fail makes a *store.Error of what the server, the network or the context says.
func fail(op string, err error) error {
	var ours *store.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	e := &store.Error{Code: store.Unavailable, Op: op, Err: err}
	var from *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
	case errors.As(err, &from):
		explain(e, from)
	case errors.As(err, &connect):
		e.Field, e.Hint = setting, "check that PostgreSQL runs and that city.url names its host and port"
	case errors.As(err, &network), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded), pgconn.Timeout(err):
		e.Hint = "the connection was lost; check that the PostgreSQL that city.url names runs, and do it again"
	}
	return e
}

// explain gives code and hint for what the server says (PostgreSQL appendix A).
func explain(e *store.Error, from *pgconn.PgError) {
	switch from.Code {
	case "28P01", "28000": // invalid_password, invalid_authorization_specification
		e.Field, e.Hint = setting, "check user and password in city.url, and the server's pg_hba.conf"
	case "3D000": // invalid_catalog_name
		e.Field, e.Hint = setting, "create the database that city.url names: createdb NAME"
	case "42501": // insufficient_privilege
		e.Field, e.Hint = setting, "let the user of city.url create schemas in this database: GRANT CREATE ON DATABASE … TO …"
	case "53100": // disk_full
		e.Hint = "make room on the server's disk and do it again; the city is as it was before"
	case "53300": // too_many_connections
		e.Hint = "raise max_connections of the server, or give this hub fewer connections"
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		e.Hint = "the server that city.url names is stopping or starting; do it again"
	case "25006": // read_only_sql_transaction
		e.Field, e.Hint = setting, "city.url names a standby; name the primary server"
	case "XX001", "XX002": // data_corrupted, index_corrupted
		e.Code, e.Hint = store.Corrupt, "restore the database from a backup"
	case "22021", "22P05": // character_not_in_repertoire, untranslatable_character
		e.Code, e.Hint = store.Invalid, "the database needs the encoding UTF8"
	}
}

func conflict(op, format string, args ...any) *store.Error {
	return &store.Error{Code: store.Conflict, Op: op, Field: setting, Message: fmt.Sprintf(format, args...)}
}
