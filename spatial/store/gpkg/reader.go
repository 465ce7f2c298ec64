package gpkg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"cityhub/spatial/store"
)

// keptStatements bounds the prepared statements of a reader; there are fewer
// different queries.
const keptStatements = 200

// reader is a connection that keeps its statements prepared and asks the driver
// itself: database/sql would copy every value once more. It is for one goroutine.
type reader struct {
	conn  *sql.Conn // nil before its first use
	stmts map[string]driver.Stmt
}

// borrow waits for a reader; give it back with s.readers <- r.
func (s *Store) borrow(ctx context.Context, op string) (*reader, error) {
	select {
	case r, ok := <-s.readers:
		if !ok {
			return nil, &store.Error{Code: store.Unavailable, Op: op, Message: "the city model is closed"}
		}
		if r.conn != nil {
			return r, nil
		}
		conn, err := s.read.Conn(ctx)
		if err != nil {
			s.readers <- r
			return nil, fail(op, err)
		}
		r.conn, r.stmts = conn, make(map[string]driver.Stmt)
		return r, nil
	case <-ctx.Done():
		return nil, fail(op, ctx.Err())
	}
}

// forget closes the prepared statements.
func (r *reader) forget() error {
	if r.conn == nil {
		return nil
	}
	return r.conn.Raw(func(any) error {
		var errs []error
		for _, stmt := range r.stmts {
			errs = append(errs, stmt.Close())
		}
		clear(r.stmts)
		return errors.Join(errs...)
	})
}

// closeReaders waits for all readers and closes them.
func (s *Store) closeReaders() error {
	var errs []error
	for range cap(s.readers) {
		r := <-s.readers
		errs = append(errs, r.forget())
		if r.conn != nil {
			errs = append(errs, r.conn.Close())
		}
	}
	close(s.readers)
	return errors.Join(errs...)
}

// callers marks an error of a callback, which goes back as it is.
type callers struct{ error }

// each calls fn for each row that a query selects, in one state of the file,
// until it returns false or an error.
func (r *reader) each(ctx context.Context, op string, fn func(*scanner) (bool, error), query string, args ...any) error {
	if len(r.stmts) >= keptStatements {
		if err := r.forget(); err != nil {
			return fail(op, err)
		}
	}
	err := r.conn.Raw(func(c any) error {
		stmt, err := r.prepare(ctx, c, query)
		if err != nil {
			return err
		}
		named := make([]driver.NamedValue, len(args))
		for i, arg := range args {
			named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
		}
		// The driver looks at ctx until the first row is there.
		rows, err := stmt.QueryContext(ctx, named)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Next has what matters
		sc := &scanner{op: op}
		for n := 0; ; n++ {
			if n%64 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := rows.Next(sc.values[:]); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			more, err := fn(sc)
			if err != nil {
				return callers{err}
			}
			if !more {
				return nil
			}
		}
	})
	var theirs callers
	if errors.As(err, &theirs) {
		return theirs.error
	}
	return fail(op, err)
}

func (r *reader) prepare(ctx context.Context, c any, query string) (driver.StmtQueryContext, error) {
	stmt, ok := r.stmts[query]
	if !ok {
		conn, ok := c.(driver.ConnPrepareContext)
		if !ok {
			return nil, fmt.Errorf("the driver's %T cannot prepare", c)
		}
		var err error
		if stmt, err = conn.PrepareContext(context.WithoutCancel(ctx), query); err != nil {
			return nil, err
		}
		r.stmts[query] = stmt
	}
	queryer, ok := stmt.(driver.StmtQueryContext)
	if !ok {
		return nil, fmt.Errorf("the driver's %T cannot be asked", stmt)
	}
	return queryer, nil
}

// each is that of a reader that is free.
func (s *Store) each(ctx context.Context, op string, fn func(*scanner) (bool, error), query string, args ...any) error {
	r, err := s.borrow(ctx, op)
	if err != nil {
		return err
	}
	defer func() { s.readers <- r }()
	return r.each(ctx, op, fn, query, args...)
}
