package gpkg

import (
	"context"
	"database/sql"
	"fmt"

	"cityhub/spatial/store"
)

// LastImport is the number of the last import that changed something.
func (s *Store) LastImport(ctx context.Context) (int64, error) {
	var last int64
	err := s.read.QueryRowContext(ctx, lastImportSQL).Scan(&last)
	return last, fail("last import", err)
}

const lastImportSQL = `SELECT coalesce(max(id), 0) FROM cityhub_import`

// Changes calls fn for each object that an import after the given one stored or
// ended. It reads one state of the file, and holds one of the readers meanwhile.
func (s *Store) Changes(ctx context.Context, after int64, fn func(store.Change) error) (int64, error) {
	const op = "changes"
	r, err := s.borrow(ctx, op)
	if err != nil {
		return 0, err
	}
	defer func() { s.readers <- r }()
	tx, err := r.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, fail(op, err)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	var last int64
	if err := tx.QueryRowContext(ctx, lastImportSQL).Scan(&last); err != nil {
		return 0, fail(op, err)
	}
	if after < 0 || after > last {
		return 0, &store.Error{Code: store.NotFound, Op: op, Field: "after", Message: fmt.Sprintf("found %d, expected 0 to %d, the last import", after, last), Hint: "begin again with 0"}
	}
	if after == last {
		return last, nil
	}
	var version int64 // the last one, and the time, of the import before
	var at string
	if after > 0 {
		if err := tx.QueryRowContext(ctx, `SELECT version, CAST(at AS TEXT) FROM cityhub_import WHERE id <= ? ORDER BY id DESC LIMIT 1`, after).Scan(&version, &at); err != nil {
			return 0, fail(op, err)
		}
	}
	for _, t := range tables() {
		err := r.each(ctx, op, func(sc *scanner) (bool, error) {
			v, err := sc.version()
			if err != nil {
				return false, err
			}
			return true, fn(store.Change{Position: v.Position, Version: v})
		}, current(t.name, `NULL`)+` WHERE version > ?`, version)
		if err != nil {
			return 0, err
		}
	}
	if after > 0 {
		if err := ended(ctx, tx, op, at, fn); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// ended gives what ended after a time and is not valid now.
func ended(ctx context.Context, tx *sql.Tx, op, at string, fn func(store.Change) error) error {
	query := `SELECT DISTINCT fid FROM cityhub_history h WHERE valid_to > ?`
	for _, t := range tables() {
		query += ` AND NOT EXISTS (SELECT 1 FROM ` + t.name + ` o WHERE o.fid = h.fid)`
	}
	rows, err := tx.QueryContext(ctx, query, at)
	if err != nil {
		return fail(op, err)
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	for rows.Next() {
		var c store.Change
		if err := rows.Scan(&c.Position); err != nil {
			return fail(op, err)
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return fail(op, rows.Err())
}
