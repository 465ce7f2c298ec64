package gpkg

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"cityhub/spatial/store"
)

// timeFormat is GeoPackage's DATETIME in UTC; it sorts as text.
const timeFormat = "2006-01-02T15:04:05.000Z"

// writer is one import's transaction.
type writer struct {
	ctx     context.Context
	tx      *sql.Tx
	op      string
	dataset string
	at      string
	first   bool // nothing was ever stored of the data set
	fid     int64
	version int64
	result  store.ImportResult

	tables   []tableWriter
	hash     *sql.Stmt
	past     *sql.Stmt
	geometry *sql.Stmt
	part     *sql.Stmt
	args     []any
}

type tableWriter struct {
	table
	find, insert, index, archive, remove, unindex *sql.Stmt
	extent                                        store.BBox // of what was added
	changed, shrunk                               bool
	empty                                         bool // it was, and so its R*Tree is built at the end
	entries                                       []rtreeEntry
}

func newWriter(ctx context.Context, tx *sql.Tx, op, dataset string, now time.Time) (*writer, error) {
	w := &writer{ctx: ctx, tx: tx, op: op, dataset: dataset}
	var last sql.NullString
	if err := tx.QueryRowContext(ctx, `SELECT last_fid, last_version, CAST(last_import AS TEXT) FROM cityhub_model`).Scan(&w.fid, &w.version, &last); err != nil {
		return nil, err
	}
	w.result.At = now.UTC().Truncate(time.Millisecond)
	if last.Valid {
		before, err := time.Parse(timeFormat, last.String)
		if err != nil {
			return nil, &store.Error{Code: store.Corrupt, Op: op, Field: "cityhub_model.last_import", Err: err}
		}
		if !w.result.At.After(before) { // the clock was set back: times of imports never are
			w.result.At = before.Add(time.Millisecond)
		}
	}
	w.at = w.result.At.Format(timeFormat)
	prepare := func(query string) (stmt *sql.Stmt, err error) { return tx.PrepareContext(ctx, query) }
	var known bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM cityhub_history WHERE dataset = ?)`, dataset).Scan(&known); err != nil {
		return nil, err
	}
	w.first = !known
	for _, t := range tables() {
		var fid sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT max(fid), EXISTS (SELECT 1 FROM `+t.name+` WHERE dataset = ?) FROM `+t.name, dataset).Scan(&fid, &known); err != nil {
			return nil, err
		}
		w.first = w.first && !known
		w.fid = max(w.fid, fid.Int64) // another program may have added features
		for _, tr := range triggers(t.name) {
			if _, err := tx.ExecContext(ctx, `DROP TRIGGER IF EXISTS `+tr.name); err != nil {
				return nil, err
			}
		}
		var size int
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(length(data)), 0) FROM rtree_`+t.name+`_geom_node WHERE nodeno = 1`).Scan(&size); err != nil {
			return nil, err
		}
		w.tables = append(w.tables, tableWriter{table: t, empty: !fid.Valid && size == rtreeSize, extent: store.BBox{Empty: true}})
	}
	marks := strings.Repeat(", ?", strings.Count(columns, ","))
	for i := range w.tables {
		t := &w.tables[i]
		for _, q := range []struct {
			stmt **sql.Stmt
			sql  string
		}{
			{&t.find, `SELECT fid, version FROM <t> WHERE dataset = ? AND id = ?`},
			{&t.insert, `INSERT INTO <t> (` + columns + `) VALUES (?` + marks + `)`},
			{&t.index, `INSERT INTO rtree_<t>_geom VALUES (?, ?, ?, ?, ?)`},
			{&t.archive, `INSERT INTO cityhub_history (class, valid_to, ` + columns + `) SELECT ?, ?, ` + columns + ` FROM <t> WHERE fid = ?`},
			{&t.remove, `DELETE FROM <t> WHERE fid = ?`},
			{&t.unindex, `DELETE FROM rtree_<t>_geom WHERE id = ?`},
		} {
			var err error
			if *q.stmt, err = prepare(strings.ReplaceAll(q.sql, "<t>", t.name)); err != nil {
				return nil, err
			}
		}
	}
	var errs [4]error
	w.hash, errs[0] = prepare(`SELECT hash FROM cityhub_version WHERE version = ?`)
	w.past, errs[1] = prepare(`SELECT fid FROM cityhub_history WHERE dataset = ? AND id = ? ORDER BY version DESC LIMIT 1`)
	w.geometry, errs[2] = prepare(`INSERT INTO cityhub_version (version, hash, geometries) VALUES (?, ?, ?)`)
	w.part, errs[3] = prepare(`INSERT OR IGNORE INTO cityhub_part (dataset, parent, child) VALUES (?, ?, ?)`)
	return w, errors.Join(errs[:]...)
}

// put stores r: as a new object, a new version or not at all.
func (w *writer) put(r *row) error {
	fid, old, version, err := w.find(r)
	if err != nil {
		return err
	}
	if old >= 0 {
		var hash []byte
		if err := w.hash.QueryRowContext(w.ctx, version).Scan(&hash); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if string(hash) == string(r.hash[:]) {
			w.result.Unchanged++
			return nil
		}
		if err := w.end(&w.tables[old], fid); err != nil {
			return err
		}
		w.result.Updated++
	} else {
		w.result.Added++
	}
	if fid == 0 {
		w.fid++
		fid = w.fid
	}
	return w.insert(r, fid)
}

// find gives the object's fid, if it ever had one, and the table and version in
// which it is now; table -1: it is not in the city now.
func (w *writer) find(r *row) (fid int64, in int, version int64, err error) {
	if w.first {
		return 0, -1, 0, nil
	}
	for i := range w.tables { // its class first: it is there nearly always
		in = (r.table + i) % len(w.tables)
		err = w.tables[in].find.QueryRowContext(w.ctx, w.dataset, r.object.ID).Scan(&fid, &version)
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return fid, in, version, err
		}
	}
	err = w.past.QueryRowContext(w.ctx, w.dataset, r.object.ID).Scan(&fid)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return fid, -1, 0, err
}

// end moves what is valid in t to the history.
func (w *writer) end(t *tableWriter, fid int64) error {
	if _, err := t.archive.ExecContext(w.ctx, string(t.class), w.at, fid); err != nil {
		return err
	}
	if _, err := t.remove.ExecContext(w.ctx, fid); err != nil {
		return err
	}
	t.changed, t.shrunk = true, true
	_, err := t.unindex.ExecContext(w.ctx, fid)
	return err
}

func (w *writer) insert(r *row, fid int64) error {
	w.version++
	t, o := &w.tables[r.table], &r.object
	parents, err := list(o.Parents)
	if err != nil {
		return err
	}
	children, err := list(o.Children)
	if err != nil {
		return err
	}
	w.args = append(w.args[:0], fid, blob(r.geom), w.dataset, o.ID, text(o.Type), text(o.Name), number(int(o.Level)), r.attributes, parents, children,
		nil, nil, text(o.Height.From), o.CRS.Horizontal, number(o.CRS.Vertical), text(o.CRS.VerticalDatum),
		text(o.Source.File), number(o.Source.Line), o.Source.Offset, w.version, w.at)
	if o.Height.From != "" {
		w.args[10], w.args[11] = o.Height.Metres, o.Height.BaseMetres
	}
	if _, err := t.insert.ExecContext(w.ctx, w.args...); err != nil {
		return err
	}
	if _, err := w.geometry.ExecContext(w.ctx, w.version, r.hash[:], r.geometries); err != nil {
		return err
	}
	t.changed = true
	if b := r.box; !b.Empty {
		t.extent = union(t.extent, b)
		if t.empty {
			t.entries = append(t.entries, entryOf(fid, b))
		} else if _, err := t.index.ExecContext(w.ctx, fid, b.West, b.East, b.South, b.North); err != nil {
			return err
		}
	}
	for _, parent := range o.Parents {
		if _, err := w.part.ExecContext(w.ctx, w.dataset, parent, o.ID); err != nil {
			return err
		}
	}
	for _, child := range o.Children {
		if _, err := w.part.ExecContext(w.ctx, w.dataset, o.ID, child); err != nil {
			return err
		}
	}
	return nil
}

// finish ends what no longer comes and brings GeoPackage's own tables up to date.
func (w *writer) finish(complete bool, seen map[[16]byte]struct{}) error {
	if complete && !w.first {
		for i := range w.tables {
			if err := w.endMissing(&w.tables[i], seen); err != nil {
				return err
			}
		}
	}
	for i := range w.tables {
		t := &w.tables[i]
		for _, tr := range triggers(t.name) {
			if _, err := w.tx.ExecContext(w.ctx, tr.create); err != nil {
				return err
			}
		}
		if !t.changed {
			continue
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
	if _, err := w.tx.ExecContext(w.ctx, `UPDATE gpkg_contents SET last_change = ? WHERE table_name = 'cityhub_import'`, w.at); err != nil {
		return err
	}
	r := w.result
	_, err := w.tx.ExecContext(w.ctx, `INSERT INTO cityhub_import (dataset, at, complete, added, updated, unchanged, ended) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		w.dataset, w.at, complete, r.Added, r.Updated, r.Unchanged, r.Ended)
	return err
}

func (w *writer) endMissing(t *tableWriter, seen map[[16]byte]struct{}) error {
	rows, err := w.tx.QueryContext(w.ctx, `SELECT fid, id FROM `+t.name+` WHERE dataset = ?`, w.dataset)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	var missing []int64
	for rows.Next() {
		var fid int64
		var id string
		if err := rows.Scan(&fid, &id); err != nil {
			return err
		}
		if _, ok := seen[keyOf(id)]; !ok {
			missing = append(missing, fid)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, fid := range missing {
		if err := w.end(t, fid); err != nil {
			return err
		}
		w.result.Ended++
	}
	return nil
}

// contents writes extent and time of change of a table.
func (w *writer) contents(t *tableWriter) error {
	var west, south, east, north sql.NullFloat64
	if err := w.tx.QueryRowContext(w.ctx, `SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?`, t.name).Scan(&west, &south, &east, &north); err != nil {
		return err
	}
	box := t.extent
	switch {
	case t.shrunk:
		var err error
		if box, err = w.measure(t.name); err != nil {
			return err
		}
	case west.Valid:
		box = union(box, store.BBox{West: west.Float64, South: south.Float64, East: east.Float64, North: north.Float64})
	}
	args := []any{w.at, nil, nil, nil, nil, t.name}
	if !box.Empty {
		args = []any{w.at, box.West, box.South, box.East, box.North, t.name}
	}
	_, err := w.tx.ExecContext(w.ctx, `UPDATE gpkg_contents SET last_change = ?, min_x = ?, min_y = ?, max_x = ?, max_y = ? WHERE table_name = ?`, args...)
	return err
}

// measure computes the extent of a table from the envelopes of its geometries.
func (w *writer) measure(name string) (store.BBox, error) {
	box := store.BBox{Empty: true}
	rows, err := w.tx.QueryContext(w.ctx, `SELECT `+envelopeSQL+` FROM `+name+` WHERE geom IS NOT NULL`)
	if err != nil {
		return box, err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return box, err
		}
		e, err := envelope(b)
		if err != nil {
			return box, &store.Error{Code: store.Corrupt, Op: w.op, Field: name + ".geom", Err: err}
		}
		box = union(box, e)
	}
	return box, rows.Err()
}

func union(a, b store.BBox) store.BBox {
	switch {
	case a.Empty:
		return b
	case b.Empty:
		return a
	}
	return store.BBox{West: min(a.West, b.West), South: min(a.South, b.South), East: max(a.East, b.East), North: max(a.North, b.North)}
}

// What is not stated is NULL.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func number(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

func list(ids []string) (any, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(ids)
	return string(b), err
}
