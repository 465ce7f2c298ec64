package postgis

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

// analyzeRows is from how many rows on the planner is told about them at once.
const analyzeRows = 1000

// finish ends what is no longer valid and merges the staging table into the city.
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
	if w.staged >= analyzeRows {
		if _, err := w.tx.Exec(w.ctx, `ANALYZE staging`); err != nil {
			return err
		}
	}
	if err := w.archive(); err != nil {
		return err
	}
	for i, class := range w.classes {
		if w.added[i] == 0 {
			continue
		}
		if err := w.insert(class, w.added[i]); err != nil {
			return err
		}
	}
	if _, err := w.tx.Exec(w.ctx, `UPDATE cityhub.model SET last_position = $1, last_import = $2, last_at = $3`, w.position, w.id, w.result.At); err != nil {
		return err
	}
	r := w.result
	_, err := w.tx.Exec(w.ctx, `INSERT INTO cityhub.import (id, dataset, at, complete, added, updated, unchanged, ended) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		w.id, w.dataset, r.At, o.Complete, r.Added, r.Updated, r.Unchanged, r.Ended)
	return err
}

// archive moves the versions that end to the history.
func (w *writer) archive() error {
	for _, of := range []struct {
		n     int
		which string
		args  []any
	}{
		{w.result.Updated, `DELETE FROM cityhub.feature f USING staging s WHERE s.old IS NOT NULL AND f.class = s.old AND f.dataset_no = $3 AND f.position = s.position`, nil},
		{len(w.ends), `DELETE FROM cityhub.feature f WHERE f.dataset_no = $3 AND f.position = ANY($4)`, []any{w.ends}},
	} {
		if of.n == 0 {
			continue
		}
		fs := `f.` + strings.ReplaceAll(columns, `, `, `, f.`)
		_, err := w.tx.Exec(w.ctx, `WITH gone AS (`+of.which+` RETURNING `+fs+`) INSERT INTO cityhub.history (valid_to, ended_by, `+columns+`) SELECT $1, $2, `+columns+` FROM gone`,
			append([]any{w.result.At, w.id, w.number}, of.args...)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// insert puts what was staged of a class into its leaf. A new leaf gets its
// indices after its rows, which is several times faster, and is attached last:
// readers do not wait for it.
func (w *writer) insert(class string, n int) error {
	leaf := w.leaf(class)
	var there bool
	if err := w.tx.QueryRow(w.ctx, `SELECT to_regclass($1) IS NOT NULL`, "cityhub."+leaf).Scan(&there); err != nil {
		return err
	}
	fill := func() error {
		_, err := w.tx.Exec(w.ctx, `INSERT INTO cityhub.`+leaf+` (`+columns+`) SELECT `+columns+` FROM staging WHERE class = $1 ORDER BY position`, class)
		return err
	}
	if !there {
		of := strconv.Itoa(int(w.number))
		if _, err := w.tx.Exec(w.ctx, `CREATE TABLE cityhub.`+leaf+` (LIKE cityhub.feature INCLUDING STORAGE, CONSTRAINT `+leaf+`_is CHECK (class = '`+class+`' AND dataset_no = `+of+`))`); err != nil {
			return err
		}
		if err := fill(); err != nil {
			return err
		}
		for _, ddl := range []string{
			`CREATE INDEX ON cityhub.` + leaf + ` (dataset_no, id)`,
			`CREATE INDEX ON cityhub.` + leaf + ` (position)`,
			`CREATE INDEX ON cityhub.` + leaf + ` (import)`,
			`CREATE INDEX ON cityhub.` + leaf + ` USING gist (geom)`,
			`ALTER TABLE cityhub.` + class + ` ATTACH PARTITION cityhub.` + leaf + ` FOR VALUES IN (` + of + `)`,
			`ALTER TABLE cityhub.` + leaf + ` DROP CONSTRAINT ` + leaf + `_is`,
		} {
			if _, err := w.tx.Exec(w.ctx, ddl); err != nil {
				return err
			}
		}
	} else if err := fill(); err != nil {
		return err
	}
	if n < analyzeRows {
		return nil
	}
	_, err := w.tx.Exec(w.ctx, `ANALYZE cityhub.`+leaf)
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
