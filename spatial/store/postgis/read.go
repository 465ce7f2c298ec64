package postgis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

// readColumns are the columns of a version with defaults for what is not stated.
const readColumns = `position, geom, dataset, id, coalesce(type, ''), coalesce(name, ''), coalesce(cim_level, 0), attributes, parents, children,` +
	` coalesce(height_m, 0), coalesce(base_m, 0), coalesce(height_from, ''), source_epsg, coalesce(height_epsg, 0), coalesce(height_datum, ''),` +
	` coalesce(source_file, ''), coalesce(source_line, 0), coalesce(source_offset, 0), coalesce(low_m, 'NaN'), coalesce(high_m, 'NaN'), valid_from, class`

// current selects from a table of what is valid now, past from the history, both
// with the end of validity and the geometries or NULL.
func current(table, geometries string) string {
	return `SELECT ` + readColumns + `, NULL::timestamptz AS valid_to, ` + geometries + ` FROM cityhub.` + table
}

func past(geometries string) string {
	return `SELECT ` + readColumns + `, valid_to, ` + geometries + ` FROM cityhub.history`
}

const (
	withGeometries    = `geometries`
	withoutGeometries = `NULL::bytea`
)

// scanner reads rows of current or past. It is for one goroutine.
type scanner struct {
	op         string
	position   int64
	geom       []byte
	dataset    string
	object     spatial.CityObject
	class      string
	attributes string
	level      int16
	source     int
	low, high  float64
	from       time.Time
	to         *time.Time
	geometries []byte
	into       []any
}

func newScanner(op string) *scanner {
	s := &scanner{op: op}
	o := &s.object
	s.into = []any{&s.position, &s.geom, &s.dataset, &o.ID, &o.Type, &o.Name, &s.level, &s.attributes, &o.Parents, &o.Children,
		&o.Height.Metres, &o.Height.BaseMetres, &o.Height.From, &s.source, &o.CRS.Vertical, &o.CRS.VerticalDatum,
		&o.Source.File, &o.Source.Line, &o.Source.Offset, &s.low, &s.high, &s.from, &s.class, &s.to, &s.geometries}
	return s
}

func (s *scanner) row(rows pgx.Rows) (*store.Version, error) {
	s.object.Parents, s.object.Children = nil, nil
	if err := rows.Scan(s.into...); err != nil {
		return nil, fail(s.op, err)
	}
	v := &store.Version{Position: s.position, Dataset: s.dataset, Object: s.object, SourceCRS: s.source, LowMetres: s.low, HighMetres: s.high, ValidFrom: s.from.UTC()}
	o := &v.Object
	o.CRS.Horizontal, o.Level = spatial.CRS84, spatial.CIMLevel(s.level)
	if s.class != "other" {
		o.Class = spatial.Class(s.class)
	}
	if s.to != nil {
		v.ValidTo = s.to.UTC()
	}
	var errs [3]error
	if s.geom != nil {
		v.Footprint, errs[0] = decodeEWKB(s.geom)
	}
	if s.geometries != nil {
		o.Geometries, errs[1] = record.DecodeGeometries(s.geometries)
	}
	o.Attributes, errs[2] = record.DecodeAttributes(s.attributes)
	for i, err := range errs {
		if err != nil {
			return nil, &store.Error{Code: store.Corrupt, Op: s.op, Object: o.ID, Field: [...]string{"geom", "geometries", "attributes"}[i], Message: fmt.Sprintf("data set %s, valid from %v", v.Dataset, v.ValidFrom),
				Hint: "restore the database from a backup, or import the source again", Err: err}
		}
	}
	return v, nil
}

// querier is a connection, a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// versions reads what a query selects.
func versions(ctx context.Context, q querier, op, query string, args ...any) (all []*store.Version, err error) {
	err = each(ctx, q, op, func(v *store.Version) (bool, error) {
		all = append(all, v)
		return true, nil
	}, query, args...)
	return all, err
}

// each calls fn for what a query selects until it returns false or an error.
func each(ctx context.Context, q querier, op string, fn func(*store.Version) (bool, error), query string, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return fail(op, err)
	}
	defer rows.Close()
	sc := newScanner(op)
	for rows.Next() {
		v, err := sc.row(rows)
		if err != nil {
			return err
		}
		if more, err := fn(v); err != nil || !more {
			return err
		}
	}
	return fail(op, rows.Err())
}

// datasetIs finds the objects of a data set, and lets the server leave out the
// tables of the others.
const datasetIs = `dataset_no = (SELECT no FROM cityhub.dataset WHERE name = $1)`

func neverThere(op string, key store.Key) error {
	return &store.Error{Code: store.NotFound, Op: op, Object: key.String(), Message: "there never was one", Hint: "check the data set and the identifier"}
}

// Get is the version of an object that is valid at a time.
func (s *Store) Get(ctx context.Context, key store.Key, at time.Time) (*store.Version, error) {
	const op = "get object"
	const where = ` WHERE ` + datasetIs + ` AND id = $2`
	if !storable(key.Dataset) || !storable(key.ID) {
		return nil, neverThere(op, key)
	}
	query, args, when := current("feature", withGeometries)+where, []any{key.Dataset, key.ID}, "now"
	if !at.IsZero() {
		query = past(withGeometries) + where + ` AND valid_from <= $3 AND valid_to > $3 UNION ALL ` + query + ` AND valid_from <= $3`
		args, when = append(args, moment(at)), "at "+at.UTC().Format(time.RFC3339Nano)
	}
	all, err := versions(ctx, s.pool, op, query, args...)
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		return all[0], nil
	}
	if _, err := s.Versions(ctx, key); err != nil {
		var e *store.Error
		if errors.As(err, &e) {
			e.Op = op
		}
		return nil, err
	}
	return nil, &store.Error{Code: store.NotFound, Op: op, Object: key.String(), Message: "it is not in the city " + when, Hint: "its versions say when it was"}
}

// moment is a time as the database has it.
func moment(at time.Time) time.Time { return at.UTC().Truncate(time.Millisecond) }

// Versions are all versions of an object, the oldest first.
func (s *Store) Versions(ctx context.Context, key store.Key) ([]*store.Version, error) {
	const op = "versions of object"
	const where = ` WHERE ` + datasetIs + ` AND id = $2`
	if !storable(key.Dataset) || !storable(key.ID) {
		return nil, neverThere(op, key)
	}
	all, err := versions(ctx, s.pool, op, past(withGeometries)+where+` UNION ALL `+current("feature", withGeometries)+where+` ORDER BY valid_from`, key.Dataset, key.ID)
	if err == nil && len(all) == 0 {
		err = neverThere(op, key)
	}
	return all, err
}

// Parts are the parts of an object at a time.
func (s *Store) Parts(ctx context.Context, key store.Key, at time.Time) ([]*store.Version, error) {
	const op = "parts of object"
	whole, err := s.Get(ctx, key, at)
	if err != nil {
		return nil, err
	}
	where := ` WHERE ` + datasetIs + ` AND id = ANY(ARRAY(SELECT child FROM cityhub.part p WHERE p.` + datasetIs + ` AND p.parent = $2))`
	query, args := current("feature", withGeometries)+where, []any{key.Dataset, key.ID}
	if !at.IsZero() {
		query = past(withGeometries) + where + ` AND valid_from <= $3 AND valid_to > $3 UNION ALL ` + query + ` AND valid_from <= $3`
		args = append(args, moment(at))
	}
	all, err := versions(ctx, s.pool, op, query, args...)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(v *store.Version) bool { // parts of another time
		return !slices.Contains(v.Object.Parents, key.ID) && !slices.Contains(whole.Object.Children, v.Object.ID)
	})
	slices.SortFunc(all, func(a, b *store.Version) int { return compare(a.Object.ID, b.Object.ID) })
	return all, nil
}

// compare orders identifiers by their bytes, whatever collation the server has.
func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Extent is the rectangle around what is valid now of a class.
func (s *Store) Extent(ctx context.Context, class spatial.Class) (store.BBox, error) {
	const op = "extent"
	if err := (store.Query{Class: class}).Check(); err != nil {
		return store.BBox{}, err
	}
	var west, south, east, north *float64
	err := s.pool.QueryRow(ctx, `SELECT min(ST_XMin(geom)), min(ST_YMin(geom)), max(ST_XMax(geom)), max(ST_YMax(geom)) FROM cityhub.`+classTable(class)).Scan(&west, &south, &east, &north)
	if err != nil || west == nil {
		return store.BBox{Empty: true}, fail(op, err)
	}
	return store.BBox{West: *west, South: *south, East: *east, North: *north}, nil
}

// LastImport is the number of the last import that changed something.
func (s *Store) LastImport(ctx context.Context) (int64, error) {
	var last int64
	err := s.pool.QueryRow(ctx, `SELECT last_import FROM cityhub.model`).Scan(&last)
	return last, fail("last import", err)
}

// Changes calls fn for each object that an import after the given one stored or
// ended. It reads one state of the database, over a connection of its own.
func (s *Store) Changes(ctx context.Context, after int64, fn func(store.Change) error) (last int64, err error) {
	const op = "changes"
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return 0, fail(op, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it only reads
	if err := tx.QueryRow(ctx, `SELECT last_import FROM cityhub.model`).Scan(&last); err != nil {
		return 0, fail(op, err)
	}
	if after < 0 || after > last {
		return 0, &store.Error{Code: store.NotFound, Op: op, Field: "after", Message: fmt.Sprintf("found %d, expected 0 to %d, the last import", after, last), Hint: "begin again with 0"}
	}
	if after == last {
		return last, nil
	}
	stored := func(v *store.Version) (bool, error) {
		return true, fn(store.Change{Position: v.Position, Version: v})
	}
	if err := each(ctx, tx, op, stored, current("feature", withoutGeometries)+` WHERE import > $1`, after); err != nil {
		return 0, err
	}
	if after == 0 {
		return last, nil
	}
	rows, err := tx.Query(ctx, `SELECT DISTINCT position FROM cityhub.history h WHERE ended_by > $1 AND NOT EXISTS (SELECT FROM cityhub.feature f WHERE f.position = h.position)`, after)
	if err != nil {
		return 0, fail(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		var c store.Change
		if err := rows.Scan(&c.Position); err != nil {
			return 0, fail(op, err)
		}
		if err := fn(c); err != nil {
			return 0, err
		}
	}
	return last, fail(op, rows.Err())
}

// boundsOf is the rectangle around a footprint.
func boundsOf(f *spatial.Geometry) (west, south, east, north float64) {
	if f == nil {
		return math.NaN(), math.NaN(), math.NaN(), math.NaN() // meets nothing
	}
	b := f.Bounds()
	return b.Min[0], b.Min[1], b.Max[0], b.Max[1]
}
