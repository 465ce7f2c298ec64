package gpkg

import (
	"database/sql"

	"cityhub/spatial/store"
)

// move is a change to an R*Tree that was not empty.
type move struct {
	rtreeEntry
	out, in bool // the cell of the feature goes, the cell comes
}

// Below so many moves, or below one of so many features, R*Trees are changed
// cell by cell; above, building them anew is faster.
const (
	fewMoves    = 2000
	movedShare  = 8
	importTable = "cityhub_import"
)

// finish ends what is no longer valid and brings GeoPackage's own tables up to date.
func (w *writer) finish(o store.ImportOptions, seen map[[16]byte]struct{}) error {
	for i := range w.tables {
		if err := w.flush(&w.tables[i]); err != nil {
			return err
		}
	}
	if err := w.flushBlobs(); err != nil {
		return err
	}
	if err := w.endNamed(o.End, seen); err != nil {
		return err
	}
	if o.Complete && !w.first {
		for i := range w.tables {
			if err := w.endMissing(i, seen); err != nil {
				return err
			}
		}
	}
	for i := range w.tables {
		t := &w.tables[i]
		if err := makeTriggers(w.ctx, w.tx, t.name); err != nil {
			return err
		}
		if !t.changed {
			continue
		}
		if err := w.moveIndex(t); err != nil {
			return err
		}
		if err := w.buildIndex(t); err != nil {
			return err
		}
		if err := w.contents(t); err != nil {
			return err
		}
	}
	if _, err := w.tx.ExecContext(w.ctx, `UPDATE cityhub_model SET last_fid = ?, last_version = ?, last_import = ?`, w.fid, w.version, w.at); err != nil {
		return err
	}
	if _, err := w.tx.ExecContext(w.ctx, `UPDATE gpkg_contents SET last_change = ? WHERE table_name = ?`, w.at, importTable); err != nil {
		return err
	}
	r := w.result
	_, err := w.tx.ExecContext(w.ctx, `INSERT INTO cityhub_import (dataset, at, complete, added, updated, unchanged, ended, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		w.dataset, w.at, o.Complete, r.Added, r.Updated, r.Unchanged, r.Ended, w.version)
	return err
}

// moveIndex applies the moves of t to its R*Tree, or prepares building it anew.
func (w *writer) moveIndex(t *tableWriter) error {
	if len(t.moves) == 0 {
		return nil
	}
	name := "rtree_" + t.name + "_geom"
	if len(t.moves) >= fewMoves && t.usual {
		var n int
		if err := w.tx.QueryRowContext(w.ctx, `SELECT count(*) FROM `+name+`_rowid`).Scan(&n); err != nil {
			return err
		}
		if len(t.moves) > n/movedShare {
			return w.rebuild(t)
		}
	}
	out, err := w.stmt(`DELETE FROM `+name+` WHERE id = ?`, "")
	if err != nil {
		return err
	}
	in, err := w.stmt(`INSERT INTO `+name+` VALUES (?, ?, ?, ?, ?)`, "")
	if err != nil {
		return err
	}
	for _, m := range t.moves {
		if m.out {
			if _, err := out.ExecContext(w.ctx, m.id); err != nil {
				return err
			}
		}
		if m.in {
			if _, err := in.ExecContext(w.ctx, m.id, float64(m.west), float64(m.east), float64(m.south), float64(m.nor)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rebuild empties the R*Tree of t and collects its entries for buildIndex.
func (w *writer) rebuild(t *tableWriter) error {
	name := "rtree_" + t.name + "_geom"
	for _, query := range []string{`DELETE FROM ` + name + `_rowid`, `DELETE FROM ` + name + `_parent`, `DELETE FROM ` + name + `_node`} {
		if _, err := w.tx.ExecContext(w.ctx, query); err != nil {
			return err
		}
	}
	// A tree without entries is its empty root.
	if err := w.writeNode(name, 1, 0, nil); err != nil {
		return err
	}
	t.entries, t.moves = nil, nil
	return w.envelopes(t.name, func(fid int64, b store.BBox) { t.entries = append(t.entries, entryOf(fid, b)) })
}

// contents writes extent and time of change of a table.
func (w *writer) contents(t *tableWriter) error {
	box := union(t.before, t.extent)
	if t.shrunk {
		box = store.BBox{Empty: true}
		if err := w.envelopes(t.name, func(_ int64, b store.BBox) { box = union(box, b) }); err != nil {
			return err
		}
	}
	args := []any{w.at, nil, nil, nil, nil, t.name}
	if !box.Empty {
		args = []any{w.at, box.West, box.South, box.East, box.North, t.name}
	}
	_, err := w.tx.ExecContext(w.ctx, `UPDATE gpkg_contents SET last_change = ?, min_x = ?, min_y = ?, max_x = ?, max_y = ? WHERE table_name = ?`, args...)
	return err
}

// envelopes calls fn for each geometry of a table that is not empty.
func (w *writer) envelopes(name string, fn func(fid int64, b store.BBox)) error {
	rows, err := w.tx.QueryContext(w.ctx, `SELECT fid, `+envelopeSQL+` FROM `+name+` WHERE geom IS NOT NULL`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	for rows.Next() {
		var fid int64
		var b sql.RawBytes
		if err := rows.Scan(&fid, &b); err != nil {
			return err
		}
		e, err := envelope(b)
		if err != nil {
			return w.corrupt(name+".geom", err)
		}
		if !e.Empty {
			fn(fid, e)
		}
	}
	return rows.Err()
}
