package gpkg

import (
	"database/sql"
	"slices"

	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

// look finds what the city has of the objects of a batch.
func (w *writer) look(batch []*item) error {
	left := batch
	for i := range w.tables { // its class first: it is there nearly always
		byTable := make([][]*item, len(w.tables))
		for _, r := range left {
			k := (r.Class + i) % len(w.tables)
			byTable[k] = append(byTable[k], r)
		}
		left = nil
		for k, rows := range byTable {
			for part := range slices.Chunk(rows, lookRows) {
				missing, err := w.lookIn(k, part)
				if err != nil {
					return err
				}
				left = append(left, missing...)
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	for part := range slices.Chunk(left, lookRows) {
		if err := w.lookBack(part); err != nil {
			return err
		}
	}
	return nil
}

// lookIn finds objects in a table and gives those that are not there.
func (w *writer) lookIn(table int, part []*item) ([]*item, error) {
	found, err := w.find(table, ids(part))
	if err != nil {
		return nil, err
	}
	var missing []*item
	for _, r := range part {
		if old, ok := found[r.Object.ID]; ok {
			r.old = old
		} else {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

func ids(part []*item) []string {
	all := make([]string, len(part))
	for i, r := range part {
		all[i] = r.Object.ID
	}
	return all
}

// args are the data set and identifiers, padded with NULL, which equals none.
func (w *writer) args(ids []string) []any {
	args := make([]any, 1+lookRows)
	args[0] = w.dataset
	for i, id := range ids {
		args[1+i] = id
	}
	return args
}

// find gives what a table has of at most lookRows identifiers.
func (w *writer) find(table int, ids []string) (map[string]known, error) {
	name := w.tables[table].name
	s, err := w.stmt(`SELECT id, fid, version, (SELECT hash FROM cityhub_version v WHERE v.version = o.version), `+envelopeSQL+
		` FROM <t> o WHERE dataset = ? AND id IN (`+marks(lookRows, 1)+`)`, name)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(w.ctx, w.args(ids)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	found := make(map[string]known, len(ids))
	for rows.Next() {
		k := known{table: table, box: store.BBox{Empty: true}}
		var id string
		var hash, geom sql.RawBytes
		if err := rows.Scan(&id, &k.fid, &k.version, &hash, &geom); err != nil {
			return nil, err
		}
		k.hash = string(hash)
		if geom != nil {
			if k.box, err = envelope(geom); err != nil {
				return nil, w.corrupt(name+".geom", err)
			}
		}
		found[id] = k
	}
	return found, rows.Err()
}

// lookBack finds the numbers of objects that once were in the city.
func (w *writer) lookBack(part []*item) error {
	s, err := w.stmt(`SELECT id, min(fid) FROM cityhub_history WHERE dataset = ? AND id IN (`+marks(lookRows, 1)+`) GROUP BY id`, "")
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(w.ctx, w.args(ids(part))...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	found := make(map[string]int64)
	for rows.Next() {
		var id string
		var fid int64
		if err := rows.Scan(&id, &fid); err != nil {
			return err
		}
		found[id] = fid
	}
	for _, r := range part {
		r.old.fid = found[r.Object.ID]
	}
	return rows.Err()
}

// archive copies what is valid in a table to the history.
func (w *writer) archive(table int, old []known) error {
	t := &w.tables[table]
	for _, k := range old {
		t.changed = true
		if b := k.box; !b.Empty && (b.West <= t.before.West || b.South <= t.before.South || b.East >= t.before.East || b.North >= t.before.North) {
			t.shrunk = true
		}
	}
	return w.each(table, old, `INSERT INTO cityhub_history (class, valid_to, `+columns+`) SELECT ?, ?, `+columns+` FROM <t> WHERE fid IN (`+marks(lookRows, 1)+`)`, string(t.class), w.at)
}

// end moves what is valid in a table to the history.
func (w *writer) end(table int, old []known) error {
	t := &w.tables[table]
	if err := w.archive(table, old); err != nil {
		return err
	}
	for _, k := range old {
		if !k.box.Empty {
			t.moves = append(t.moves, move{rtreeEntry: rtreeEntry{id: k.fid}, out: true})
		}
	}
	return w.each(table, old, `DELETE FROM <t> WHERE fid IN (`+marks(lookRows, 1)+`)`)
}

// each executes query with its arguments and the numbers of lookRows objects.
func (w *writer) each(table int, old []known, query string, args ...any) error {
	if len(old) == 0 {
		return nil
	}
	s, err := w.stmt(query, w.tables[table].name)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(old, lookRows) {
		all := slices.Clone(args)
		for i := range lookRows {
			if i < len(part) {
				all = append(all, part[i].fid)
			} else {
				all = append(all, nil)
			}
		}
		if _, err := s.ExecContext(w.ctx, all...); err != nil {
			return err
		}
	}
	return nil
}

// endNamed ends the objects that ImportOptions.End names.
func (w *writer) endNamed(names []string, seen map[[16]byte]struct{}) error {
	once := make(map[string]bool, len(names))
	for _, id := range names {
		if once[id] {
			return w.endFault(store.Invalid, id, "it is to end twice; expected each identifier once")
		}
		once[id] = true
		if _, ok := seen[record.KeyOf(id)]; ok {
			return w.endFault(store.Invalid, id, "it is to end and comes among the objects as well; expected one of both")
		}
	}
	for part := range slices.Chunk(names, lookRows) {
		left := part
		for k := range w.tables {
			if len(left) == 0 || w.first {
				break
			}
			found, err := w.find(k, left)
			if err != nil {
				return err
			}
			var old []known
			var missing []string
			for _, id := range left {
				if o, ok := found[id]; ok {
					old = append(old, o)
				} else {
					missing = append(missing, id)
				}
			}
			if err := w.end(k, old); err != nil {
				return err
			}
			w.result.Ended += len(old)
			left = missing
		}
		if len(left) > 0 {
			return w.endFault(store.NotFound, left[0], "it is to end, but data set %s has no such object now", w.dataset)
		}
	}
	return nil
}

// endMissing ends what a complete import did not bring.
func (w *writer) endMissing(table int, seen map[[16]byte]struct{}) error {
	missing, err := w.missing(table, seen)
	if err != nil {
		return err
	}
	w.result.Ended += len(missing)
	return w.end(table, missing)
}

func (w *writer) missing(table int, seen map[[16]byte]struct{}) ([]known, error) {
	name := w.tables[table].name
	rows, err := w.tx.QueryContext(w.ctx, `SELECT id, fid, `+envelopeSQL+` FROM `+name+` WHERE dataset = ?`, w.dataset)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	var missing []known
	for rows.Next() {
		k := known{table: table, box: store.BBox{Empty: true}}
		var id string
		var geom sql.RawBytes
		if err := rows.Scan(&id, &k.fid, &geom); err != nil {
			return nil, err
		}
		if _, ok := seen[record.KeyOf(id)]; ok {
			continue
		}
		if geom != nil {
			if k.box, err = envelope(geom); err != nil {
				return nil, w.corrupt(name+".geom", err)
			}
		}
		missing = append(missing, k)
	}
	return missing, rows.Err()
}
