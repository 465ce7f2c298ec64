package gpkg

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

const (
	// timeFormat is GeoPackage's DATETIME in UTC; it sorts as text.
	timeFormat = "2006-01-02T15:04:05.000Z"

	// Rows of one INSERT, and objects of one look-up: enough to make SQLite's
	// work larger than that around it.
	insertRows = 16
	lookRows   = 64
)

// writer is one import's transaction. Its goroutine is the one that feeds it.
type writer struct {
	shared  []any                  // arguments of flush, reused
	values  [insertRows + 1]string // sharedMarks by number of rows
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
	prepared map[string]*sql.Stmt
	blobs    []any // of cityhub_version, that wait
}

// tableWriter is what an import does to one feature table.
type tableWriter struct {
	table
	before  store.BBox // extent before the import
	extent  store.BBox // of what was added
	changed bool
	shrunk  bool  // something at the edge of before was taken away
	rows    []any // that wait
	empty   bool  // it was, and so its R*Tree is built at the end
	usual   bool  // its R*Tree has nodes of the usual size
	entries []rtreeEntry
	moves   []move // of an R*Tree that was not empty
}

// known is what the city has of an object that is imported.
type known struct {
	fid     int64 // zero: it never was
	table   int   // index in tables; -1: it is not in the city now
	version int64
	hash    string
	box     store.BBox
}

func newWriter(ctx context.Context, tx *sql.Tx, op, dataset string, now time.Time) (*writer, error) {
	w := &writer{ctx: ctx, tx: tx, op: op, dataset: dataset, prepared: make(map[string]*sql.Stmt)}
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
	var any bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM cityhub_history WHERE dataset = ?)`, dataset).Scan(&any); err != nil {
		return nil, err
	}
	w.first = !any
	for _, t := range tables() {
		var fid, version sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT (SELECT max(fid) FROM `+t.name+`), (SELECT max(version) FROM `+t.name+`), EXISTS (SELECT 1 FROM `+t.name+` WHERE dataset = ?)`, dataset).Scan(&fid, &version, &any); err != nil {
			return nil, err
		}
		w.first = w.first && !any
		// another program may have added features
		w.fid, w.version = max(w.fid, fid.Int64), max(w.version, version.Int64)
		if err := dropTriggers(ctx, tx, t.name); err != nil {
			return nil, err
		}
		var size int
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(length(data)), 0) FROM rtree_`+t.name+`_geom_node WHERE nodeno = 1`).Scan(&size); err != nil {
			return nil, err
		}
		before, err := contentsExtent(ctx, tx, t.name)
		if err != nil {
			return nil, err
		}
		w.tables = append(w.tables, tableWriter{table: t, empty: !fid.Valid && size == rtreeSize, usual: size == rtreeSize, before: before, extent: store.BBox{Empty: true}})
	}
	return w, nil
}

func dropTriggers(ctx context.Context, tx *sql.Tx, name string) error {
	for _, tr := range triggers(name) {
		if _, err := tx.ExecContext(ctx, `DROP TRIGGER IF EXISTS `+tr.name); err != nil {
			return err
		}
	}
	return nil
}

func makeTriggers(ctx context.Context, tx *sql.Tx, name string) error {
	for _, tr := range triggers(name) {
		if _, err := tx.ExecContext(ctx, tr.create); err != nil {
			return err
		}
	}
	return nil
}

// stmt prepares a statement once. <t> in it is the name of the table.
func (w *writer) stmt(query, table string) (*sql.Stmt, error) {
	key := table + query
	s, ok := w.prepared[key]
	if !ok {
		var err error
		if s, err = w.tx.PrepareContext(w.ctx, strings.ReplaceAll(query, "<t>", table)); err != nil {
			return nil, err
		}
		w.prepared[key] = s
	}
	return s, nil
}

// item is an object that is imported.
type item struct {
	*record.Record       // its Class is its index in tables as well
	old            known // what is stored of it
}

// put stores objects: each as a new one, a new version or not at all.
func (w *writer) put(records []*record.Record) error {
	items := make([]item, len(records))
	batch := make([]*item, len(records))
	for i, r := range records {
		items[i] = item{r, known{table: -1}}
		batch[i] = &items[i]
	}
	if !w.first {
		if err := w.look(batch); err != nil {
			return err
		}
	}
	// The old versions go to the history before the new ones take their place.
	gone, replaced := make([][]known, len(w.tables)), make([][]known, len(w.tables))
	for _, r := range batch {
		switch old := r.old; {
		case old.table < 0:
			w.result.Added++
		case old.hash == string(r.Hash[:]):
			w.result.Unchanged++
		case old.table == r.Class:
			w.result.Updated++
			replaced[old.table] = append(replaced[old.table], old)
		default:
			w.result.Updated++
			gone[old.table] = append(gone[old.table], old)
		}
	}
	for i := range w.tables {
		if err := w.archive(i, replaced[i]); err != nil {
			return err
		}
		if err := w.end(i, gone[i]); err != nil {
			return err
		}
	}
	for _, r := range batch {
		if r.old.table >= 0 && r.old.hash == string(r.Hash[:]) {
			continue
		}
		if err := w.insert(r); err != nil {
			return err
		}
	}
	return nil
}

// insert queues the new version of an object.
func (w *writer) insert(r *item) error {
	fid := r.old.fid
	if fid == 0 {
		w.fid++
		fid = w.fid
	}
	w.version++
	t, o := &w.tables[r.Class], &r.Object
	parents, err := list(o.Parents)
	if err != nil {
		return err
	}
	children, err := list(o.Children)
	if err != nil {
		return err
	}
	var height, base, low, high any
	if o.Height.From != "" {
		height, base = o.Height.Metres, o.Height.BaseMetres
	}
	if !math.IsNaN(r.Low) {
		low, high = r.Low, r.High
	}
	t.rows = append(t.rows, fid, blob(r.Footprint), w.dataset, o.ID, text(o.Type), text(o.Name), number(int(o.Level)), r.Attributes, parents, children,
		height, base, text(o.Height.From), o.CRS.Horizontal, number(o.CRS.Vertical), text(o.CRS.VerticalDatum),
		text(o.Source.File), number(o.Source.Line), o.Source.Offset, w.version, w.at, low, high)
	w.blobs = append(w.blobs, w.version, r.Hash[:], r.Geometries)
	t.changed = true
	if b := r.Box; !b.Empty {
		t.extent = union(t.extent, b)
	}
	switch in := r.old.table == r.Class; {
	case t.empty:
		if !r.Box.Empty {
			t.entries = append(t.entries, entryOf(fid, r.Box))
		}
	case in && r.old.box == r.Box:
	default:
		t.moves = append(t.moves, move{rtreeEntry: entryOf(fid, r.Box), out: in && !r.old.box.Empty, in: !r.Box.Empty})
	}
	if len(t.rows) >= insertRows*columnCount {
		if err := w.flush(t); err != nil {
			return err
		}
	}
	if len(w.blobs) >= insertRows*3 {
		if err := w.flushBlobs(); err != nil {
			return err
		}
	}
	return w.parts(r)
}

// parts notes who is part of whom.
func (w *writer) parts(r *item) error {
	o := &r.Object
	if len(o.Parents)+len(o.Children) == 0 {
		return nil
	}
	part, err := w.stmt(`INSERT OR IGNORE INTO cityhub_part (dataset, parent, child) VALUES (?, ?, ?)`, "")
	if err != nil {
		return err
	}
	for _, parent := range o.Parents {
		if _, err := part.ExecContext(w.ctx, w.dataset, parent, o.ID); err != nil {
			return err
		}
	}
	for _, child := range o.Children {
		if _, err := part.ExecContext(w.ctx, w.dataset, o.ID, child); err != nil {
			return err
		}
	}
	return nil
}

// flush writes the rows of t that wait. OR FAIL spares SQLite a journal for the
// statement: after an error the whole transaction goes.
func (w *writer) flush(t *tableWriter) error {
	n := len(t.rows) / columnCount
	if n == 0 {
		return nil
	}
	values, args := marks(n, columnCount), t.rows
	if shared(t.rows) {
		// Binding is a fifth of the writer's time: what all rows have is bound once.
		if w.values[n] == "" {
			w.values[n] = sharedMarks(n)
		}
		values = w.values[n]
		args = w.shared[:0]
		for _, c := range sharedColumns {
			args = append(args, t.rows[c])
		}
		for row := range n {
			for c, v := range t.rows[row*columnCount : (row+1)*columnCount] {
				if !isShared[c] {
					args = append(args, v)
				}
			}
		}
		w.shared = args
	}
	s, err := w.stmt(`INSERT OR FAIL INTO <t> (`+columns+`) VALUES `+values+upsert(), t.name)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(w.ctx, args...)
	t.rows = t.rows[:0]
	return err
}

// sharedColumns are those of columns that mostly are the same for all objects of
// a source: data set, level, parents, children, CRSs, file and time.
var sharedColumns = [...]int{2, 6, 8, 9, 13, 14, 15, 16, 20}

// isShared has sharedColumns by column.
var isShared = func() (is [columnCount]bool) {
	for _, c := range sharedColumns {
		is[c] = true
	}
	return is
}()

// shared reports whether all rows have the same in sharedColumns, whose values
// are texts, numbers and nil.
func shared(rows []any) bool {
	for at := columnCount; at < len(rows); at += columnCount {
		for _, c := range sharedColumns {
			if rows[at+c] != rows[c] {
				return false
			}
		}
	}
	return true
}

// sharedMarks is n rows of question marks, with the same ones for sharedColumns.
func sharedMarks(n int) string {
	var b strings.Builder
	next := len(sharedColumns)
	for row := range n {
		if row > 0 {
			b.WriteByte(',')
		}
		of := 0
		for c := range columnCount {
			if c == 0 {
				b.WriteByte('(')
			} else {
				b.WriteByte(',')
			}
			b.WriteByte('?')
			if isShared[c] {
				of++
				b.WriteString(strconv.Itoa(of))
			} else {
				next++
				b.WriteString(strconv.Itoa(next))
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

func (w *writer) flushBlobs() error {
	n := len(w.blobs) / 3
	if n == 0 {
		return nil
	}
	s, err := w.stmt(`INSERT OR FAIL INTO cityhub_version (version, hash, geometries) VALUES `+marks(n, 3), "")
	if err != nil {
		return err
	}
	_, err = s.ExecContext(w.ctx, w.blobs...)
	w.blobs = w.blobs[:0]
	return err
}

// columnCount is the number of columns.
const columnCount = 23

// upsert makes a row that is there the new one. What identifies the object
// stays, and so does its index.
func upsert() string {
	var b strings.Builder
	b.WriteString(` ON CONFLICT (fid) DO UPDATE SET `)
	sep := ""
	for c := range strings.SplitSeq(columns, ", ") {
		if c != "fid" && c != "dataset" && c != "id" {
			b.WriteString(sep + c + ` = excluded.` + c)
			sep = ", "
		}
	}
	return b.String()
}

// marks is n rows of question marks, or, for width 1, a list of them.
func marks(n, width int) string {
	row := "?" + strings.Repeat(",?", width-1)
	if width > 1 {
		row = "(" + row + ")"
	}
	return row + strings.Repeat(","+row, n-1)
}

// contentsExtent is the extent of a table in gpkg_contents.
func contentsExtent(ctx context.Context, tx *sql.Tx, name string) (store.BBox, error) {
	var west, south, east, north sql.NullFloat64
	err := tx.QueryRowContext(ctx, `SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?`, name).Scan(&west, &south, &east, &north)
	return store.BBox{West: west.Float64, South: south.Float64, East: east.Float64, North: north.Float64, Empty: !west.Valid}, err
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

func (w *writer) corrupt(field string, err error) error {
	return &store.Error{Code: store.Corrupt, Op: w.op, Field: field, Err: err, Hint: "restore the file from a backup, or import the sources into a new one"}
}

func (w *writer) endFault(code store.Code, id, format string, args ...any) error {
	return &store.Error{Code: code, Op: w.op, Object: id, Field: "End", Message: fmt.Sprintf(format, args...), Hint: "nothing was stored"}
}
