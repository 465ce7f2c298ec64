package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"time"
	"unique"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

type scanner interface{ Scan(dest ...any) error }

// intern gives equal strings one memory. The table holds weak references.
func intern(s string) string {
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}

const thingColumns = `t.id, t.code, t.name, t.name_en, t.description, t.domain, t.district, t.state, t.simulated, t.location_id, t.extra, t.updated_ns`

// scanThing reads thingColumns and then more.
func scanThing(row scanner, t *twin.Thing, more ...any) error {
	var location sql.NullInt64
	var extra string
	var updated int64
	dest := append([]any{&t.ID, &t.Code, &t.Name, &t.NameEn, &t.Description, &t.Domain, &t.District, &t.State, &t.Simulated, &location, &extra, &updated}, more...)
	if err := row.Scan(dest...); err != nil {
		return err
	}
	t.Domain, t.District, t.State = twin.Domain(intern(string(t.Domain))), intern(t.District), twin.TerminalState(intern(string(t.State)))
	t.Location = twin.LocationID(location.Int64)
	t.Updated = time.Unix(0, updated).UTC()
	if extra != "" {
		if err := json.Unmarshal([]byte(extra), &t.Properties); err != nil {
			return &twin.Error{Code: twin.CodeCorrupt, Op: "load terminal", Message: "the extra of " + t.Code + " is not JSON", Err: err}
		}
	}
	return nil
}

// datastreamSQL reads the columns of the Datastream itself. What belongs to the
// Thing is read once a Thing, with thingOfSQL.
const (
	datastreamSQL = `SELECT d.id, d.thing_id, d.property_id, d.property, d.sensor_id, d.dataset_id, d.result, d.name, d.retired, u.name, u.symbol, u.code
		FROM datastreams d JOIN units u ON u.id = d.unit_id WHERE `
	thingOfSQL = `SELECT t.id, t.code, t.name, t.name_en, t.domain, t.district, t.simulated, t.observes, l.lon, l.lat
		FROM things t LEFT JOIN locations l ON l.id = t.location_id WHERE t.id IN (SELECT d.thing_id FROM datastreams d WHERE `
)

// loadDatastreams calls fn for every Datastream d that matches where, in order
// of id, with whether it is retired. Strings that many share are interned.
func loadDatastreams(ctx context.Context, q querier, where string, args []any, fn func(ds *twin.Datastream, retired bool)) error {
	things, err := q.QueryContext(ctx, thingOfSQL+where+`)`, args...)
	if err != nil {
		return err
	}
	type thing struct {
		twin.Datastream
		observes manifest.Observes
	}
	byID := map[twin.ThingID]*thing{}
	for things.Next() {
		var t thing
		var lon, lat sql.NullFloat64
		var observes string
		if err := things.Scan(&t.Thing, &t.Terminal, &t.ThingName, &t.ThingNameEn, &t.Domain, &t.District, &t.Simulated, &observes, &lon, &lat); err != nil {
			return errors.Join(err, things.Close())
		}
		var err error
		if t.observes, err = manifest.ParseObserves(observes); err != nil {
			err = &twin.Error{Code: twin.CodeCorrupt, Op: "load Datastreams", Message: "what " + t.Terminal + " observes is not readable", Err: err}
			return errors.Join(err, things.Close())
		}
		t.Lon, t.Lat = math.NaN(), math.NaN()
		if lon.Valid && lat.Valid {
			t.Lon, t.Lat = lon.Float64, lat.Float64
		}
		t.ThingNameEn = intern(t.ThingNameEn)
		t.Domain, t.District = twin.Domain(intern(string(t.Domain))), intern(t.District)
		byID[t.Thing] = &t
	}
	if err := errors.Join(things.Err(), things.Close()); err != nil {
		return err
	}

	rows, err := q.QueryContext(ctx, datastreamSQL+where+` ORDER BY d.id`, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		var (
			ds                                     twin.Datastream
			result, property                       sql.RawBytes
			unitName, unitSymbol, unitCode, dsName string
			retired                                bool
		)
		if err := rows.Scan(&ds.ID, &ds.Thing, &ds.Property, &property, &ds.Sensor, &ds.Dataset, &result, &dsName, &retired, &unitName, &unitSymbol, &unitCode); err != nil {
			return errors.Join(err, rows.Close())
		}
		t := byID[ds.Thing]
		if t == nil {
			// Written between the two queries: the write's publish corrects it.
			continue
		}
		id, prop, sensor, dataset := ds.ID, ds.Property, ds.Sensor, ds.Dataset
		ds = t.Datastream
		ds.ID, ds.Property, ds.Sensor, ds.Dataset = id, prop, sensor, dataset
		ds.PropertyName = intern(string(property))
		ds.Result = twin.ResultType(intern(string(result)))
		ds.Name = dsName
		ds.Observes = t.observes.Of(ds.PropertyName)
		ds.Unit = twin.Unit{Name: intern(unitName), Symbol: intern(unitSymbol), Code: intern(unitCode)}
		fn(&ds, retired)
	}
	return errors.Join(rows.Err(), rows.Close())
}
