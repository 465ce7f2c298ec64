package postgis

import (
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

const (
	// analyzeRows is from how many rows on the planner is told about them at once.
	analyzeRows = 1000
	// archiveRows is how many versions move to the history in one statement.
	archiveRows = 20_000
)

// finish ends what is no longer valid and makes the rest of the import's changes.
func (w *writer) finish(o store.ImportOptions, seen map[[16]byte]struct{}) error {
	if err := w.endNamed(o.End, seen); err != nil {
		return err
	}
	if o.Complete && !w.first {
		if err := w.endMissing(o.End, seen); err != nil {
			return err
		}
	}
	w.result.Ended = len(w.ends)
	if w.dry || w.result.Added+w.result.Updated+w.result.Ended == 0 {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	for i := range w.leaves {
		if err := w.finishLeaf(&w.leaves[i]); err != nil {
			return err
		}
	}
	if err := w.archive(); err != nil {
		return err
	}
	if _, err := w.tx.Exec(w.ctx, `UPDATE cityhub.model SET last_position = $1, last_import = $2, last_at = $3`, w.position, w.id, w.result.At); err != nil {
		return err
	}
	r := w.result
	_, err := w.tx.Exec(w.ctx, `INSERT INTO cityhub.import (id, dataset, at, complete, added, updated, unchanged, ended) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		w.id, w.dataset, r.At, o.Complete, r.Added, r.Updated, r.Unchanged, r.Ended)
	return err
}

// archive moves the versions that end to the history: those that were there
// before this import.
func (w *writer) archive() error {
	gone := append(w.replaced, w.ends...)
	if len(gone) == 0 {
		return nil
	}
	const query = `WITH gone AS (DELETE FROM cityhub.feature WHERE dataset_no = $3 AND import < $2 AND position = ANY($4) RETURNING ` + columns + `)
		INSERT INTO cityhub.history (valid_to, ended_by, ` + columns + `) SELECT $1, $2, ` + columns + ` FROM gone`
	for part := range slices.Chunk(gone, archiveRows) {
		if _, err := w.tx.Exec(w.ctx, query, w.result.At, w.id, w.number, part); err != nil {
			return err
		}
	}
	return nil
}

// makeLeaf makes the table of a class's objects of this data set where there is
// none.
func (w *writer) makeLeaf(l *leaf) error {
	var there bool
	if err := w.tx.QueryRow(w.ctx, `SELECT to_regclass($1) IS NOT NULL`, "cityhub."+l.name).Scan(&there); err != nil || there {
		return err
	}
	l.fresh = true
	_, err := w.tx.Exec(w.ctx, `CREATE TABLE cityhub.`+l.name+` (LIKE cityhub.feature INCLUDING STORAGE, CONSTRAINT `+l.name+`_is CHECK (class = '`+l.class+`' AND dataset_no = `+strconv.Itoa(int(w.number))+`))`)
	return err
}

// finishLeaf gives a new leaf its indices, which after its rows is several times
// faster than before, and attaches it: readers do not wait for that.
func (w *writer) finishLeaf(l *leaf) error {
	if l.fresh {
		for _, ddl := range []string{
			`CREATE INDEX ON cityhub.` + l.name + ` (dataset_no, id)`,
			`CREATE INDEX ON cityhub.` + l.name + ` (position)`,
			`CREATE INDEX ON cityhub.` + l.name + ` (import)`,
			`CREATE INDEX ON cityhub.` + l.name + ` USING gist (geom)`,
			`ALTER TABLE cityhub.` + l.class + ` ATTACH PARTITION cityhub.` + l.name + ` FOR VALUES IN (` + strconv.Itoa(int(w.number)) + `)`,
			`ALTER TABLE cityhub.` + l.name + ` DROP CONSTRAINT ` + l.name + `_is`,
		} {
			if _, err := w.tx.Exec(w.ctx, ddl); err != nil {
				return err
			}
		}
	}
	if l.n < analyzeRows {
		return nil
	}
	_, err := w.tx.Exec(w.ctx, `ANALYZE cityhub.`+l.name)
	return err
}

func (w *writer) endFault(code store.Code, id, message string) error {
	return &store.Error{Code: code, Op: w.op, Object: id, Field: "End", Message: message, Hint: "nothing was stored"}
}

// endNamed notes the objects that ImportOptions.End names.
func (w *writer) endNamed(names []string, seen map[[16]byte]struct{}) error {
	if len(names) == 0 {
		return nil
	}
	once := make(map[string]bool, len(names))
	var ask []string
	for _, id := range names {
		if once[id] {
			return w.endFault(store.Invalid, id, "it is to end twice; expected each identifier once")
		}
		once[id] = true
		if _, ok := seen[record.KeyOf(id)]; ok {
			return w.endFault(store.Invalid, id, "it is to end and comes among the objects as well; expected one of both")
		}
		if storable(id) {
			ask = append(ask, id)
		}
	}
	found, err := w.find(ask, false)
	if err != nil {
		return err
	}
	for _, id := range names {
		k, ok := found[id]
		if !ok {
			return w.endFault(store.NotFound, id, "it is to end, but data set "+w.dataset+" has no such object now")
		}
		w.ends = append(w.ends, k.position)
	}
	return nil
}

// endMissing notes what a complete import did not bring.
func (w *writer) endMissing(named []string, seen map[[16]byte]struct{}) error {
	gone := make(map[string]bool, len(named))
	for _, id := range named {
		gone[id] = true
	}
	rows, err := w.tx.Query(w.ctx, `SELECT id, position FROM cityhub.feature WHERE dataset_no = $1`, w.number)
	if err != nil {
		return err
	}
	var id string
	var position int64
	_, err = pgx.ForEachRow(rows, []any{&id, &position}, func() error {
		if _, ok := seen[record.KeyOf(id)]; !ok && !gone[id] {
			w.ends = append(w.ends, position)
		}
		return nil
	})
	return err
}
