package registry

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// outcome of writing one entity.
type outcome int

const (
	unchanged outcome = iota
	created
	updated
)

// problemFunc reports a mistake that only the registry can see.
type problemFunc func(field, found, expected, hint string)

const rowsPerInsert = 32

const insertDatastream = `INSERT INTO datastreams (thing_id, property, property_id, sensor_id, dataset_id, unit_id, result, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`

// putTerminal creates or updates a terminal by code; t has passed its Check.
// cred is nil when the credentials stay as they are. A mistake goes to
// problem; the caller then undoes the transaction.
func (w *writer) putTerminal(t *manifest.Terminal, cred *credential, problem problemFunc) (outcome, error) {
	extra, err := extraJSON(t.Extra)
	if err != nil {
		return 0, err
	}
	digest, err := w.digest(t, extra)
	if err != nil {
		return 0, err
	}
	var (
		id       twin.ThingID
		has      []byte
		location sql.NullInt64
	)
	known, err := w.row(`SELECT id, digest, location_id FROM things WHERE code = ?`, []any{t.Code}, &id, &has, &location)
	if err != nil {
		return 0, err
	}
	result := unchanged
	switch {
	case !known:
		result = created
		id, err = w.createTerminal(t, extra, digest[:], problem)
	case !bytes.Equal(has, digest[:]):
		result = updated
		err = w.updateTerminal(id, location, t, extra, digest[:], problem)
	}
	if err != nil || id == 0 {
		return 0, err
	}
	if cred != nil {
		set, err := w.putCredential(id, cred, problem)
		if err != nil {
			return 0, err
		}
		if set && result == unchanged {
			result = updated
		}
	}
	if result != unchanged {
		w.changed(id, t.Code)
	}
	return result, nil
}

func (w *writer) datasetOf(t *manifest.Terminal, problem problemFunc) (twin.DatasetID, error) {
	id, err := w.dataset(t.Dataset)
	if err == nil && id == 0 {
		problem("dataset", strconv.Quote(t.Dataset), "a dataset that is registered or stands in the manifest", "add it under datasets: with its title and owner")
	}
	return id, err
}

func datastreamName(t *manifest.Terminal, p *manifest.Property) string {
	return t.Name + nameSeparator + p.Title
}

func (w *writer) createTerminal(t *manifest.Terminal, extra string, digest []byte, problem problemFunc) (twin.ThingID, error) {
	dataset, err := w.datasetOf(t, problem)
	if err != nil || dataset == 0 {
		return 0, err
	}
	sensor, err := w.sensor(t.Sensor)
	if err != nil {
		return 0, err
	}
	var location sql.NullInt64
	if t.Location != nil {
		if location.Int64, err = w.insertLocation(t); err != nil {
			return 0, err
		}
		location.Valid = true
	}
	id, err := w.insert(`INSERT INTO things (code, name, name_en, description, domain, district, state, simulated, location_id, dataset_id, sensor_id, legal_basis, purpose, extra, observes, digest, updated_ns)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.Code, t.Name, t.NameEn, t.Description, string(t.Domain), t.District, string(t.State), t.Simulated, location, int64(dataset), sensor, t.LegalBasis, t.Purpose, extra, t.Observes.Text(), digest, w.nowNs)
	if err != nil {
		return 0, err
	}
	return twin.ThingID(id), w.insertDatastreams(id, t, t.Properties, sensor, dataset)
}

// insertDatastreams makes the Datastreams of the properties, some rows a
// statement: a statement opens every index once.
func (w *writer) insertDatastreams(id int64, t *manifest.Terminal, properties []*manifest.Property, sensor int64, dataset twin.DatasetID) error {
	for chunk := range slices.Chunk(properties, rowsPerInsert) {
		w.args = w.args[:0]
		for _, p := range chunk {
			q, err := w.resolve(p)
			if err != nil {
				return err
			}
			w.args = append(w.args, id, p.Name, q.property, sensor, int64(dataset), q.unit, string(q.result), datastreamName(t, p))
		}
		if w.inserts[len(chunk)] == "" {
			w.inserts[len(chunk)] = insertDatastream + strings.Repeat(", (?, ?, ?, ?, ?, ?, ?, ?)", len(chunk)-1)
		}
		if _, err := w.exec(w.inserts[len(chunk)], w.args...); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) insertLocation(t *manifest.Terminal) (int64, error) {
	l := t.Location
	return w.insert(`INSERT INTO locations (name, lon, lat, height, height_datum) VALUES (?, ?, ?, ?, ?)`, t.Name, l.Lon, l.Lat, l.Height, l.HeightDatum)
}

// storedDatastream is a row of datastreams.
type storedDatastream struct {
	id, property, sensor, dataset, unit int64
	result                              twin.ResultType
	name                                string
	retired                             bool
}

func (w *writer) storedDatastreams(id twin.ThingID) (map[string]storedDatastream, error) {
	s, err := w.stmt(`SELECT id, property, property_id, sensor_id, dataset_id, unit_id, result, name, retired FROM datastreams WHERE thing_id = ?`)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(context.Background(), int64(id))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	out := map[string]storedDatastream{}
	for rows.Next() {
		var d storedDatastream
		var property string
		if err := rows.Scan(&d.id, &property, &d.property, &d.sensor, &d.dataset, &d.unit, &d.result, &d.name, &d.retired); err != nil {
			return nil, err
		}
		out[property] = d
	}
	return out, rows.Err()
}

func (w *writer) updateTerminal(id twin.ThingID, location sql.NullInt64, t *manifest.Terminal, extra string, digest []byte, problem problemFunc) error {
	dataset, err := w.datasetOf(t, problem)
	if err != nil || dataset == 0 {
		return err
	}
	sensor, err := w.sensor(t.Sensor)
	if err != nil {
		return err
	}
	old := map[int64]struct{}{} // Sensors that may have lost their last use
	var oldSensor int64
	if _, err := w.row(`SELECT sensor_id FROM things WHERE id = ?`, []any{int64(id)}, &oldSensor); err != nil {
		return err
	}
	old[oldSensor] = struct{}{}

	drop := int64(0)
	switch {
	case t.Location == nil && location.Valid:
		drop, location = location.Int64, sql.NullInt64{}
	case t.Location != nil && location.Valid:
		l := t.Location
		_, err = w.exec(`UPDATE locations SET name = ?, lon = ?, lat = ?, height = ?, height_datum = ? WHERE id = ?`, t.Name, l.Lon, l.Lat, l.Height, l.HeightDatum, location.Int64)
	case t.Location != nil:
		location.Valid = true
		location.Int64, err = w.insertLocation(t)
	}
	if err != nil {
		return err
	}
	if _, err := w.exec(`UPDATE things SET name = ?, name_en = ?, description = ?, domain = ?, district = ?, state = ?, simulated = ?, location_id = ?, dataset_id = ?, sensor_id = ?, legal_basis = ?, purpose = ?, extra = ?, observes = ?, digest = ?, updated_ns = ? WHERE id = ?`,
		t.Name, t.NameEn, t.Description, string(t.Domain), t.District, string(t.State), t.Simulated, location, int64(dataset), sensor, t.LegalBasis, t.Purpose, extra, t.Observes.Text(), digest, w.nowNs, int64(id)); err != nil {
		return err
	}
	if drop != 0 {
		if _, err := w.exec(`DELETE FROM locations WHERE id = ?`, drop); err != nil {
			return err
		}
	}
	if err := w.updateDatastreams(id, t, sensor, dataset, old, problem); err != nil {
		return err
	}
	delete(old, sensor)
	for id := range old {
		if err := w.dropSensor(id); err != nil {
			return err
		}
	}
	return nil
}

// updateDatastreams makes the terminal's Datastreams those of t. One that t no
// longer has is retired: its history stays, its readings are refused.
func (w *writer) updateDatastreams(id twin.ThingID, t *manifest.Terminal, sensor int64, dataset twin.DatasetID, old map[int64]struct{}, problem problemFunc) error {
	stored, err := w.storedDatastreams(id)
	if err != nil {
		return err
	}
	for _, d := range stored {
		old[d.sensor] = struct{}{}
		w.ch.drop[d.id>>pageBits] = struct{}{}
	}
	var missing []*manifest.Property
	for j, p := range t.Properties {
		q, err := w.resolve(p)
		if err != nil {
			return err
		}
		want := storedDatastream{property: q.property, sensor: sensor, dataset: int64(dataset), unit: q.unit, result: q.result, name: datastreamName(t, p)}
		has, known := stored[p.Name]
		delete(stored, p.Name)
		if !known {
			missing = append(missing, p)
			continue
		}
		if (has.result == twin.ResultText) != (want.result == twin.ResultText) {
			problem(fmt.Sprintf("properties[%d].type", j), strconv.Quote(string(p.Type)), fmt.Sprintf("%s, as the readings stored of %s are", manifest.TypeOf(has.result), p.Name),
				"a property of another type needs another name")
			continue
		}
		want.id = has.id
		if has == want {
			continue
		}
		if has.unit != want.unit && !has.retired {
			w.warn("%s.%s: the unit is now %q; readings stored before are not converted", t.Code, p.Name, p.Unit.UCUM)
		}
		if has.dataset != want.dataset {
			w.ch.datasets = true
		}
		if _, err := w.exec(`UPDATE datastreams SET property_id = ?, sensor_id = ?, dataset_id = ?, unit_id = ?, result = ?, name = ?, retired = 0 WHERE id = ?`,
			want.property, want.sensor, want.dataset, want.unit, string(want.result), want.name, want.id); err != nil {
			return err
		}
	}
	for name, d := range stored {
		if d.retired {
			continue
		}
		if _, err := w.exec(`UPDATE datastreams SET retired = 1 WHERE id = ?`, d.id); err != nil {
			return err
		}
		w.warn("%s.%s: not a property of the terminal any more; its readings are kept, new ones are refused", t.Code, name)
	}
	return w.insertDatastreams(int64(id), t, missing, sensor, dataset)
}
