package registry

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// Place is where a Datastream observes, for the join with the city model.
type Place struct {
	Datastream twin.DatastreamID
	Thing      twin.ThingID
	Property   string // ObservedProperty.Name
	Domain     twin.Domain
	District   string  // as registered; empty: not assigned
	Lon, Lat   float64 // WGS 84 degrees; both NaN where the terminal has no place
	Observes   string  // key of the declared CityObject; empty: none
}

// placesPage is how many rows a read transaction of Places takes at most: the
// database's log cannot be cut while one is open.
const placesPage = 20_000

// Places calls fn for every Datastream after the given one, in order of id,
// retired ones too, until fn returns false. It keeps nothing in memory.
func (r *Registry) Places(ctx context.Context, after twin.DatastreamID, fn func(Place) bool) error {
	const op = "list places"
	declared := map[string]manifest.Observes{} // of terminals that come one after another
	for {
		n := 0
		rows, err := r.read.QueryContext(ctx, `SELECT d.id, d.thing_id, d.property, t.domain, t.district, t.observes, l.lon, l.lat
			FROM datastreams d JOIN things t ON t.id = d.thing_id LEFT JOIN locations l ON l.id = t.location_id
			WHERE d.id > ? ORDER BY d.id LIMIT ?`, int64(after), placesPage)
		if err != nil {
			return dbError(op, err)
		}
		stopped, err := func() (bool, error) {
			defer func() { _ = rows.Close() }() // its error is that of rows.Err
			for rows.Next() {
				var p Place
				var lon, lat sql.NullFloat64
				var observes string
				if err := rows.Scan(&p.Datastream, &p.Thing, &p.Property, &p.Domain, &p.District, &observes, &lon, &lat); err != nil {
					return false, err
				}
				p.Property, p.Domain, p.District = intern(p.Property), twin.Domain(intern(string(p.Domain))), intern(p.District)
				p.Lon, p.Lat = math.NaN(), math.NaN()
				if lon.Valid && lat.Valid {
					p.Lon, p.Lat = lon.Float64, lat.Float64
				}
				if observes != "" {
					o, known := declared[observes]
					if !known {
						var err error
						if o, err = manifest.ParseObserves(observes); err != nil {
							return false, &twin.Error{Code: twin.CodeCorrupt, Op: op, Message: "what a terminal observes is not readable", Err: err}
						}
						if len(declared) >= 1024 {
							clear(declared)
						}
						declared[observes] = o
					}
					p.Observes = o.Of(p.Property)
				}
				n++
				after = p.Datastream
				if !fn(p) {
					return true, nil
				}
			}
			return false, rows.Err()
		}()
		if err != nil {
			var te *twin.Error
			if errors.As(err, &te) {
				return err
			}
			return dbError(op, err)
		}
		if stopped || n < placesPage {
			return nil
		}
	}
}
