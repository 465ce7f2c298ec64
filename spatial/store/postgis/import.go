package postgis

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

// copyRows is how many rows travel in one COPY.
const copyRows = 4096

// Import stores objects as one transaction. It calls objects in the caller's
// goroutine.
func (s *Store) Import(ctx context.Context, o store.ImportOptions, objects iter.Seq2[*spatial.CityObject, error]) (store.ImportResult, error) {
	const op = "import city model"
	var none store.ImportResult
	if o.Dataset == "" || !storable(o.Dataset) {
		return none, &store.Error{Code: store.Invalid, Op: op, Field: "Dataset", Message: fmt.Sprintf("found %q, expected the name of the source data set", o.Dataset), Hint: "objects are known again by data set and identifier"}
	}
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return none, fail(op, ctx.Err())
	}
	defer func() { <-s.writing }()
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return none, fail(op, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after Commit
	w, err := newWriter(ctx, tx, op, o.Dataset, s.o.Clock())
	if err != nil {
		return none, fail(op, err)
	}
	w.dry = o.DryRun
	seen, err := record.Feed(ctx, record.Options{Op: op, Footprint: appendEWKB}, objects, w.put)
	if err == nil {
		err = w.finish(o, seen)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return none, fail(op, err)
	}
	if o.DryRun || w.result.Added+w.result.Updated+w.result.Ended == 0 {
		w.result.At = time.Time{}
		return w.result, nil
	}
	if err := tx.Commit(ctx); err != nil {
		return none, fail(op, err)
	}
	return w.result, nil
}

// writer is one import's transaction.
type writer struct {
	ctx      context.Context
	tx       pgx.Tx
	op       string
	dataset  string
	number   int32 // of the data set
	first    bool  // nothing was ever stored of it
	past     bool  // something of it is in the history
	dry      bool
	position int64
	id       int64 // of the import
	result   store.ImportResult

	leaves   []leaf  // in the order of record.Record.Class
	waiting  int     // rows that wait in them
	replaced []int64 // positions of what got a new version
	ends     []int64 // and of what is no longer valid
	parents  []string
	parts    []string
}

// leaf is the table of a class's objects of one data set.
type leaf struct {
	class string // the table of the class
	name  string
	fresh bool    // made by this import: neither indexed nor attached yet
	rows  [][]any // that wait
	n     int     // rows that it got
}

// known is what the city has of an object.
type known struct {
	class    string // empty: it is not in the city now
	position int64  // zero: it never was
	hash     string
}

func newWriter(ctx context.Context, tx pgx.Tx, op, dataset string, now time.Time) (*writer, error) {
	w := &writer{ctx: ctx, tx: tx, op: op, dataset: dataset}
	// One import at a time, also of other nodes. Statements after this one see
	// what the import before has committed.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockImport)); err != nil {
		return nil, err
	}
	var last *time.Time
	if err := tx.QueryRow(ctx, `SELECT last_position, last_import + 1, last_at FROM cityhub.model`).Scan(&w.position, &w.id, &last); err != nil {
		return nil, err
	}
	w.result.At = now.UTC().Truncate(time.Millisecond)
	if last != nil && !w.result.At.After(*last) { // the clock was set back: times of imports never are
		w.result.At = last.UTC().Add(time.Millisecond)
	}
	err := tx.QueryRow(ctx, `SELECT no, NOT EXISTS (SELECT FROM cityhub.feature f WHERE f.dataset_no = d.no), EXISTS (SELECT FROM cityhub.history h WHERE h.dataset_no = d.no)
		FROM cityhub.dataset d WHERE name = $1`, dataset).Scan(&w.number, &w.first, &w.past)
	if err == pgx.ErrNoRows {
		w.first = true
		err = tx.QueryRow(ctx, `INSERT INTO cityhub.dataset (name) VALUES ($1) RETURNING no`, dataset).Scan(&w.number)
	}
	if err != nil {
		return nil, err
	}
	for _, class := range classTables() {
		w.leaves = append(w.leaves, leaf{class: class, name: class + "_" + strconv.Itoa(int(w.number))})
	}
	return w, nil
}

// storable reports whether PostgreSQL can keep a text as it is.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// clean is s with U+FFFD for what PostgreSQL cannot keep.
func clean(s string) string {
	if storable(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

// put stages objects: each as a new one, a new version or not at all.
func (w *writer) put(records []*record.Record) error {
	for _, r := range records {
		if !storable(r.Object.ID) {
			return &store.Error{Code: store.Invalid, Op: w.op, Object: r.Object.ID, File: r.Object.Source.File, Line: r.Object.Source.Line, Field: "ID", Message: "found bytes that are no text; expected UTF-8 without NUL"}
		}
	}
	old, err := w.look(records)
	if err != nil {
		return err
	}
	for _, r := range records {
		k := old[r.Object.ID]
		switch {
		case k.class == "":
			w.result.Added++
		case k.hash == string(r.Hash[:]):
			w.result.Unchanged++
			continue
		default:
			w.result.Updated++
		}
		if k.position == 0 {
			w.position++
			k.position = w.position
		}
		if k.class != "" {
			w.replaced = append(w.replaced, k.position)
		}
		if !w.dry {
			w.stage(r, k.position)
		}
	}
	if w.waiting >= copyRows {
		return w.flush()
	}
	return nil
}

// look finds what the city has of some objects.
func (w *writer) look(records []*record.Record) (map[string]known, error) {
	if w.first && !w.past {
		return nil, nil
	}
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = r.Object.ID
	}
	return w.find(ids, true)
}

// find finds objects by identifier; those of the past, too, where back is set.
func (w *writer) find(ids []string, back bool) (map[string]known, error) {
	found := make(map[string]known, len(ids))
	var id string
	var k known
	var hash []byte
	rows, err := w.tx.Query(w.ctx, `SELECT id, class, position, hash FROM cityhub.feature WHERE dataset_no = $1 AND id = ANY($2)`, w.number, ids)
	if err != nil {
		return nil, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&id, &k.class, &k.position, &hash}, func() error {
		k.hash = string(hash)
		found[id] = k
		return nil
	}); err != nil || !back || !w.past || len(found) == len(ids) {
		return found, err
	}
	left := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return found[id].class != "" })
	k = known{}
	rows, err = w.tx.Query(w.ctx, `SELECT id, min(position) FROM cityhub.history WHERE dataset_no = $1 AND id = ANY($2) GROUP BY id`, w.number, left)
	if err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&id, &k.position}, func() error {
		found[id] = k
		return nil
	})
	return found, err
}

// stage queues the new version of an object.
func (w *writer) stage(r *record.Record, position int64) {
	o := &r.Object
	var height, base, low, high, footprint any
	if o.Height.From != "" {
		height, base = o.Height.Metres, o.Height.BaseMetres
	}
	if !math.IsNaN(r.Low) {
		low, high = r.Low, r.High
	}
	if r.Footprint != nil {
		footprint = r.Footprint
	}
	l := &w.leaves[r.Class]
	l.rows = append(l.rows, []any{l.class, w.number, position, footprint, w.dataset, o.ID, text(o.Type), text(o.Name), number(int(o.Level)),
		clean(r.Attributes), list(o.Parents), list(o.Children), height, base, text(o.Height.From), o.CRS.Horizontal, number(o.CRS.Vertical), text(o.CRS.VerticalDatum),
		text(o.Source.File), number(o.Source.Line), o.Source.Offset, low, high, w.result.At, w.id, r.Hash[:], r.Geometries})
	w.waiting++
	for _, parent := range o.Parents {
		w.parents, w.parts = append(w.parents, clean(parent)), append(w.parts, o.ID)
	}
	for _, child := range o.Children {
		w.parents, w.parts = append(w.parents, o.ID), append(w.parts, clean(child))
	}
}

// flush copies the rows that wait into their leaves. Nobody else sees them
// before the import is done.
func (w *writer) flush() error {
	for i := range w.leaves {
		l := &w.leaves[i]
		if len(l.rows) == 0 {
			continue
		}
		if l.n == 0 {
			if err := w.makeLeaf(l); err != nil {
				return err
			}
		}
		if _, err := w.tx.CopyFrom(w.ctx, pgx.Identifier{"cityhub", l.name}, strings.Split(columns, ", "), pgx.CopyFromRows(l.rows)); err != nil {
			return err
		}
		l.n += len(l.rows)
		clear(l.rows)
		l.rows = l.rows[:0]
	}
	w.waiting = 0
	if len(w.parts) == 0 {
		return nil
	}
	_, err := w.tx.Exec(w.ctx, `INSERT INTO cityhub.part (dataset_no, parent, child) SELECT $1, parent, child FROM unnest($2::text[], $3::text[]) AS u (parent, child) ON CONFLICT DO NOTHING`,
		w.number, w.parents, w.parts)
	w.parents, w.parts = w.parents[:0], w.parts[:0]
	return err
}

// What is not stated is NULL.
func text(s string) any {
	if s == "" {
		return nil
	}
	return clean(s)
}

func number(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func list(ids []string) any {
	if len(ids) == 0 {
		return nil
	}
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = clean(id)
	}
	return all
}
