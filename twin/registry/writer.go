package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

const (
	// patchLimit is how many changed terminals have their cached Datastreams
	// replaced one by one; beyond it their pages are loaded again when needed.
	patchLimit = 256
	// maxWarnings bounds the warnings of one write.
	maxWarnings = 50

	autoDatasetCode    = "auto"
	autoDatasetOwner   = "unassigned"
	unknownSensor      = "not described"
	nameSeparator      = " · " // between the Thing's name and the property's title
	autoRegisteredMark = "autoRegistered"
)

// writer is one write transaction. Statements are prepared once; the small
// tables (datasets, properties, units, sensors) are looked up once a key.
type writer struct {
	tx       *sql.Tx
	nowNs    int64
	last     twin.DatastreamID // the greatest id before the write
	stmts    map[string]*sql.Stmt
	things   map[twin.ThingID]string // changed
	ch       changes
	warnings []string

	datasets   map[string]twin.DatasetID
	properties map[manifest.Property]*resolved
	sensors    map[manifest.Sensor]int64
	buf        []byte
	args       []any
	inserts    [rowsPerInsert + 1]string // by number of rows
	sorted     []*manifest.Property
}

// resolved is a manifest property with its rows.
type resolved struct {
	property, unit int64
	result         twin.ResultType
	digest         [sha256.Size]byte
}

// update runs fn as the one write transaction, and makes the caches agree with
// it after the commit. An error of fn undoes everything; so does dryRun.
func (r *Registry) update(ctx context.Context, op string, dryRun bool, fn func(w *writer) error) (err error) {
	if err := r.lock(ctx, op); err != nil {
		return err
	}
	defer r.unlock()
	return r.updateLocked(ctx, op, dryRun, fn)
}

func (r *Registry) updateLocked(ctx context.Context, op string, dryRun bool, fn func(w *writer) error) error {
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return dbError(op, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	w := &writer{
		tx: tx, nowNs: r.o.Clock().UnixNano(), last: twin.DatastreamID(r.cache.last.Load()),
		stmts: map[string]*sql.Stmt{}, things: map[twin.ThingID]string{},
		ch:       changes{terminals: map[string]struct{}{}, drop: map[int64]struct{}{}},
		datasets: map[string]twin.DatasetID{}, properties: map[manifest.Property]*resolved{}, sensors: map[manifest.Sensor]int64{},
	}
	if err := fn(w); err != nil {
		return dbError(op, err)
	}
	if dryRun {
		return nil
	}
	if err := w.collect(); err != nil {
		return dbError(op, err)
	}
	if err := tx.Commit(); err != nil {
		return dbError(op, err)
	}
	r.publish(&w.ch)
	return nil
}

// stmt prepares query once. Single statements run without a context: the
// transaction has the caller's, and so they spare a goroutine each.
func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	s, err := w.tx.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s // closed with the transaction
	return s, nil
}

func (w *writer) exec(query string, args ...any) (sql.Result, error) {
	s, err := w.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.Background(), args...)
}

func (w *writer) insert(query string, args ...any) (int64, error) {
	res, err := w.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// row scans the one row of a query; false: there is none.
func (w *writer) row(query string, args []any, dest ...any) (bool, error) {
	s, err := w.stmt(query)
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(context.Background(), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (w *writer) warn(format string, args ...any) {
	if len(w.warnings) < maxWarnings {
		w.warnings = append(w.warnings, fmt.Sprintf(format, args...))
	}
}

// changed notes that the cached snapshot of a terminal is old.
func (w *writer) changed(id twin.ThingID, code string) {
	w.things[id] = code
	w.ch.terminals[code] = struct{}{}
}

// collect fills w.ch from what the transaction did.
func (w *writer) collect() error {
	var last sql.NullInt64
	if _, err := w.row(`SELECT seq FROM sqlite_sequence WHERE name = 'datastreams'`, nil, &last); err != nil {
		return err
	}
	w.ch.last = twin.DatastreamID(last.Int64)
	if len(w.things) > patchLimit {
		for n := int64(w.last) >> pageBits; n <= last.Int64>>pageBits; n++ {
			w.ch.drop[n] = struct{}{}
		}
		w.ch.all = true
		return nil
	}
	w.ch.drop = nil
	for id := range w.things {
		err := loadDatastreams(context.Background(), w.tx, `d.thing_id = ?`, []any{int64(id)}, func(ds *twin.Datastream, _ bool) {
			w.ch.fresh = append(w.ch.fresh, ds)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dataset gives the id of a Dataset by code; 0: there is none.
func (w *writer) dataset(code string) (twin.DatasetID, error) {
	if id, ok := w.datasets[code]; ok {
		return id, nil
	}
	var id twin.DatasetID
	if _, err := w.row(`SELECT id FROM datasets WHERE code = ?`, []any{code}, &id); err != nil {
		return 0, err
	}
	w.datasets[code] = id
	return id, nil
}

// putDataset creates or updates a Dataset by code.
func (w *writer) putDataset(d *manifest.Dataset) (outcome, twin.DatasetID, error) {
	var old manifest.Dataset
	var id twin.DatasetID
	known, err := w.row(`SELECT id, title, title_en, description, owner, open, simulated FROM datasets WHERE code = ?`, []any{d.Code},
		&id, &old.Title, &old.TitleEn, &old.Description, &old.Owner, &old.Open, &old.Simulated)
	if err != nil {
		return 0, 0, err
	}
	if !known {
		n, err := w.insert(`INSERT INTO datasets (title, title_en, description, owner, open, simulated, updated_ns, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			d.Title, d.TitleEn, d.Description, d.Owner, string(d.Open), d.Simulated, w.nowNs, d.Code)
		if err != nil {
			return 0, 0, err
		}
		w.ch.datasets = true
		w.datasets[d.Code] = twin.DatasetID(n)
		return created, twin.DatasetID(n), nil
	}
	w.datasets[d.Code] = id
	old.Code, old.Line = d.Code, d.Line
	if old == *d {
		return unchanged, id, nil
	}
	w.ch.datasets = true
	_, err = w.exec(`UPDATE datasets SET title = ?, title_en = ?, description = ?, owner = ?, open = ?, simulated = ?, updated_ns = ? WHERE id = ?`,
		d.Title, d.TitleEn, d.Description, d.Owner, string(d.Open), d.Simulated, w.nowNs, int64(id))
	return updated, id, err
}

// resolve finds or makes the rows of a property. The newest title wins: the
// property's identity is its name and definition.
func (w *writer) resolve(p *manifest.Property) (*resolved, error) {
	if q := w.properties[*p]; q != nil {
		return q, nil
	}
	q := &resolved{result: p.Type.Result()}
	var title, titleEn, description string
	known, err := w.row(`SELECT id, title, title_en, description FROM observed_properties WHERE name = ? AND definition = ?`, []any{p.Name, p.Definition},
		&q.property, &title, &titleEn, &description)
	switch {
	case err != nil:
		return nil, err
	case !known:
		q.property, err = w.insert(`INSERT INTO observed_properties (name, definition, title, title_en, description) VALUES (?, ?, ?, ?, ?)`,
			p.Name, p.Definition, p.Title, p.TitleEn, p.Description)
	case title != p.Title || titleEn != p.TitleEn || description != p.Description:
		w.ch.all = true // its title stands beside every Datastream of it
		_, err = w.exec(`UPDATE observed_properties SET title = ?, title_en = ?, description = ? WHERE id = ?`, p.Title, p.TitleEn, p.Description, q.property)
	}
	if err != nil {
		return nil, err
	}
	if q.unit, err = w.unit(p.Unit); err != nil {
		return nil, err
	}
	b := fields(nil, p.Name, p.Title, p.TitleEn, p.Definition, p.Description, p.Unit.Name, p.Unit.Symbol, p.Unit.UCUM, string(q.result))
	q.digest = sha256.Sum256(b)
	w.properties[*p] = q
	return q, nil
}

func (w *writer) unit(u manifest.Unit) (int64, error) {
	var id int64
	known, err := w.row(`SELECT id FROM units WHERE code = ? AND name = ? AND symbol = ?`, []any{u.UCUM, u.Name, u.Symbol}, &id)
	if err != nil || known {
		return id, err
	}
	return w.insert(`INSERT INTO units (code, name, symbol) VALUES (?, ?, ?)`, u.UCUM, u.Name, u.Symbol)
}

// sensor finds or makes a Sensor; equal descriptions share one.
func (w *writer) sensor(s manifest.Sensor) (int64, error) {
	if s == (manifest.Sensor{}) {
		s.Name = unknownSensor
	}
	if id, ok := w.sensors[s]; ok {
		return id, nil
	}
	encoding := s.Encoding()
	digest := sha256.Sum256(fields(nil, s.Name, s.Description, encoding, s.Metadata))
	var id int64
	known, err := w.row(`SELECT id FROM sensors WHERE digest = ?`, []any{digest[:16]}, &id)
	if err == nil && !known {
		id, err = w.insert(`INSERT INTO sensors (digest, name, description, encoding_type, metadata) VALUES (?, ?, ?, ?, ?)`,
			digest[:16], s.Name, s.Description, encoding, s.Metadata)
	}
	if err != nil {
		return 0, err
	}
	if len(w.sensors) < 1<<16 { // one a terminal, where the metadata is a serial number
		w.sensors[s] = id
	}
	return id, nil
}

// dropSensor deletes a Sensor that nothing refers to any more.
func (w *writer) dropSensor(id int64) error {
	res, err := w.exec(`DELETE FROM sensors WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM datastreams WHERE sensor_id = ?1) AND NOT EXISTS (SELECT 1 FROM things WHERE sensor_id = ?1)`, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	w.sensors = map[manifest.Sensor]int64{} // one of them may be the deleted
	return nil
}

// fields appends texts so that no two lists of texts give the same bytes.
func fields(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// digest is what tells an unchanged manifest entry without reading its rows.
// Passwords are not in it. The order of the properties does not count.
func (w *writer) digest(t *manifest.Terminal, extra string) ([sha256.Size]byte, error) {
	b := fields(w.buf[:0], t.Code, t.Name, t.NameEn, t.Description, string(t.Domain), t.District, string(t.State), t.Dataset,
		t.Sensor.Name, t.Sensor.Description, t.Sensor.EncodingType, t.Sensor.Metadata, t.LegalBasis, t.Purpose, extra, t.Observes.Text())
	simulated := byte(0)
	if t.Simulated {
		simulated = 1
	}
	b = append(b, simulated)
	if l := t.Location; l != nil {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(l.Lon))
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(l.Lat))
		if l.Height != nil {
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(*l.Height))
		}
		b = fields(b, l.HeightDatum)
	}
	for _, p := range t.Properties { // in the order of the manifest, for the ids
		if _, err := w.resolve(p); err != nil {
			return [sha256.Size]byte{}, err
		}
	}
	w.sorted = append(w.sorted[:0], t.Properties...)
	slices.SortFunc(w.sorted, func(a, b *manifest.Property) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range w.sorted {
		q, err := w.resolve(p)
		if err != nil {
			return [sha256.Size]byte{}, err
		}
		b = append(b, q.digest[:]...)
	}
	w.buf = b
	return sha256.Sum256(b), nil
}

func extraJSON(extra map[string]any) (string, error) {
	if len(extra) == 0 {
		return "", nil
	}
	b, err := json.Marshal(extra)
	return string(b), err
}
