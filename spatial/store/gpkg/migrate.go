package gpkg

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

// migrate brings the tables of an older cityhub to today's schema.
func migrate(ctx context.Context, tx *sql.Tx, op string, has int) error {
	for ; has < schemaVersion; has++ {
		step, ok := map[int]func(context.Context, *sql.Tx, string) error{1: addHeights}[has]
		if !ok {
			return &store.Error{Code: store.Corrupt, Op: op, Field: "cityhub_model.schema", Message: fmt.Sprintf("found %d, expected 1 to %d", has, schemaVersion), Hint: "restore the file from a backup"}
		}
		if err := step(ctx, tx, op); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE cityhub_model SET schema = ?`, schemaVersion)
	return err
}

// addHeights leads from schema 1 to 2: lowest and highest points, and what finds
// the changes since an import.
func addHeights(ctx context.Context, tx *sql.Tx, op string) error {
	exec := func(query string, args ...any) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}
	names := []string{"cityhub_history"}
	for _, t := range tables() {
		names = append(names, t.name)
		if err := dropTriggers(ctx, tx, t.name); err != nil {
			return err
		}
		if err := exec(`CREATE INDEX ` + t.name + `_version ON ` + t.name + ` (version)`); err != nil {
			return err
		}
	}
	for _, query := range []string{`CREATE INDEX cityhub_history_end ON cityhub_history (valid_to)`, `ALTER TABLE cityhub_import ADD COLUMN version INTEGER NOT NULL DEFAULT 0`} {
		if err := exec(query); err != nil {
			return err
		}
	}
	for _, name := range names {
		for _, column := range []string{"low_m", "high_m"} {
			if err := exec(`ALTER TABLE ` + name + ` ADD COLUMN ` + column + ` DOUBLE`); err != nil {
				return err
			}
		}
		if err := fillHeights(ctx, tx, op, name); err != nil {
			return err
		}
	}
	if err := fillImports(ctx, tx, names); err != nil {
		return err
	}
	for _, t := range tables() {
		if err := makeTriggers(ctx, tx, t.name); err != nil {
			return err
		}
	}
	return nil
}

// fillHeights computes the heights of a table's versions, some at a time.
func fillHeights(ctx context.Context, tx *sql.Tx, op, name string) error {
	type of struct {
		version   int64
		low, high float64
	}
	page := func(after int64) (all []of, last int64, err error) {
		rows, err := tx.QueryContext(ctx, `SELECT v.version, v.geometries FROM cityhub_version v JOIN `+name+` o ON o.version = v.version WHERE v.version > ? ORDER BY v.version LIMIT 1000`, after)
		if err != nil {
			return nil, 0, err
		}
		defer func() { _ = rows.Close() }() // Err below has what matters
		for rows.Next() {
			var h of
			var b sql.RawBytes
			if err := rows.Scan(&h.version, &b); err != nil {
				return nil, 0, err
			}
			last = h.version
			geometries, err := record.DecodeGeometries(b)
			if err != nil {
				return nil, 0, &store.Error{Code: store.Corrupt, Op: op, Field: "cityhub_version.geometries", Message: fmt.Sprintf("version %d", h.version), Hint: "restore the file from a backup, or import the sources into a new one", Err: err}
			}
			if h.low, h.high = record.Heights(geometries); !math.IsNaN(h.low) {
				all = append(all, h)
			}
		}
		return all, last, rows.Err()
	}
	set, err := tx.PrepareContext(ctx, `UPDATE `+name+` SET low_m = ?, high_m = ? WHERE version = ?`)
	if err != nil {
		return err
	}
	for after := int64(math.MinInt64); ; {
		all, last, err := page(after)
		if err != nil || last == 0 {
			return err
		}
		for _, h := range all {
			if _, err := set.ExecContext(ctx, h.low, h.high, h.version); err != nil {
				return err
			}
		}
		after = last
	}
}

// fillImports says for each import which version was the last then.
func fillImports(ctx context.Context, tx *sql.Tx, names []string) error {
	query := ""
	for _, name := range names {
		query += ` UNION ALL SELECT valid_from, version FROM ` + name
	}
	rows, err := tx.QueryContext(ctx, `SELECT CAST(valid_from AS TEXT), max(version) FROM (`+query[len(` UNION ALL`):]+`) GROUP BY valid_from ORDER BY valid_from`)
	if err != nil {
		return err
	}
	type of struct {
		at      string
		version int64
	}
	var all []of
	for rows.Next() {
		var o of
		if err := rows.Scan(&o.at, &o.version); err != nil {
			return err
		}
		all = append(all, o)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	if err := rows.Err(); err != nil {
		return err
	}
	last := int64(0)
	for _, o := range all {
		last = max(last, o.version)
		if _, err := tx.ExecContext(ctx, `UPDATE cityhub_import SET version = ? WHERE at >= ?`, last, o.at); err != nil {
			return err
		}
	}
	return nil
}
