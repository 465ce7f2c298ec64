package gpkg

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// envelopeSQL is as much of a geometry as envelope needs.
const envelopeSQL = `CASE WHEN substr(geom, 4, 1) = x'03' THEN substr(geom, 1, 40) ELSE geom END`

// readColumns are the columns of a version with defaults for what is not
// stated. The times are text: the driver would take them for times.
const readColumns = `fid, geom, dataset, id, coalesce(type, ''), coalesce(name, ''), coalesce(cim_level, 0), attributes, coalesce(parents, ''), coalesce(children, ''),` +
	` coalesce(height_m, 0), coalesce(base_m, 0), coalesce(height_from, ''), source_epsg, coalesce(height_epsg, 0), coalesce(height_datum, ''),` +
	` coalesce(source_file, ''), coalesce(source_line, 0), coalesce(source_offset, 0), version, CAST(valid_from AS TEXT)`

const geometriesSQL = `(SELECT geometries FROM cityhub_version v WHERE v.version = o.version)`

// current selects from a feature table, past from the history, both with the
// class, the end of validity and the geometries or NULL.
func current(name, geometries string) string {
	return `SELECT ` + readColumns + `, '', ` + geometries + `, '` + name + `' FROM ` + name + ` o`
}

func past(geometries string) string {
	return `SELECT ` + readColumns + `, CAST(valid_to AS TEXT), ` + geometries + `, class FROM cityhub_history o`
}

// scan reads one row of current or past.
func scan(op string, rows *sql.Rows) (*store.Version, error) {
	v := &store.Version{}
	o := &v.Object
	var geom, geometries []byte
	var attributes, parents, children, from, to, class string
	var version int64
	if err := rows.Scan(&v.Position, &geom, &v.Dataset, &o.ID, &o.Type, &o.Name, &o.Level, &attributes, &parents, &children,
		&o.Height.Metres, &o.Height.BaseMetres, &o.Height.From, &v.SourceCRS, &o.CRS.Vertical, &o.CRS.VerticalDatum,
		&o.Source.File, &o.Source.Line, &o.Source.Offset, &version, &from, &to, &geometries, &class); err != nil {
		return nil, fail(op, err)
	}
	o.CRS.Horizontal = spatial.CRS84
	if class != "other" {
		o.Class = spatial.Class(class)
	}
	var errs [7]error
	if geom != nil {
		v.Footprint, errs[0] = decodeGeometry(geom)
	}
	if geometries != nil {
		o.Geometries, errs[1] = decodeGeometries(geometries)
	}
	o.Attributes, errs[2] = decodeAttributes([]byte(attributes))
	if parents != "" {
		errs[3] = json.Unmarshal([]byte(parents), &o.Parents)
	}
	if children != "" {
		errs[4] = json.Unmarshal([]byte(children), &o.Children)
	}
	v.ValidFrom, errs[5] = time.Parse(timeFormat, from)
	if to != "" {
		v.ValidTo, errs[6] = time.Parse(timeFormat, to)
	}
	for i, err := range errs {
		if err != nil {
			field := [...]string{"geom", "geometries", "attributes", "parents", "children", "valid_from", "valid_to"}[i]
			return nil, &store.Error{Code: store.Corrupt, Op: op, Object: o.ID, Field: field, Message: fmt.Sprintf("version %d of data set %s", version, v.Dataset),
				Hint: "restore the file from a backup, or import the source again", Err: err}
		}
	}
	return v, nil
}

// versions reads what a query selects, in one state of the file.
func (s *Store) versions(ctx context.Context, op, query string, args ...any) (all []*store.Version, err error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fail(op, err)
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	for rows.Next() {
		v, err := scan(op, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, fail(op, rows.Err())
}

// moment is a time as the file has it.
func moment(at time.Time) string { return at.UTC().Truncate(time.Millisecond).Format(timeFormat) }

// history is a query for all versions in which where holds; the current ones
// have an empty end. It has where, and its arguments, once for each table.
func history(where string, args []any) (string, []any) {
	parts := []string{past(geometriesSQL) + ` WHERE ` + where}
	all := slices.Clone(args)
	for _, t := range tables() {
		parts = append(parts, current(t.name, geometriesSQL)+` WHERE `+where)
		all = append(all, args...)
	}
	return strings.Join(parts, ` UNION ALL `), all
}

// Get is the version of an object that is valid at a time.
func (s *Store) Get(ctx context.Context, key store.Key, at time.Time) (*store.Version, error) {
	const op = "get object"
	all, err := s.Versions(ctx, key)
	if err != nil {
		var e *store.Error
		if errors.As(err, &e) {
			e.Op = op
		}
		return nil, err
	}
	for _, v := range all {
		if valid(v, at) {
			return v, nil
		}
	}
	when := "now"
	if !at.IsZero() {
		when = "at " + moment(at)
	}
	return nil, &store.Error{Code: store.NotFound, Op: op, Object: key.String(), Message: "it is not in the city " + when, Hint: "its versions say when it was"}
}

func valid(v *store.Version, at time.Time) bool {
	if at.IsZero() {
		return v.ValidTo.IsZero()
	}
	return !v.ValidFrom.After(at) && (v.ValidTo.IsZero() || v.ValidTo.After(at))
}

// Versions are all versions of an object, the oldest first.
func (s *Store) Versions(ctx context.Context, key store.Key) ([]*store.Version, error) {
	const op = "versions of object"
	query, args := history(`dataset = ? AND id = ?`, []any{key.Dataset, key.ID})
	all, err := s.versions(ctx, op, query+` ORDER BY version`, args...)
	if err == nil && len(all) == 0 {
		err = &store.Error{Code: store.NotFound, Op: op, Object: key.String(), Message: "there never was one", Hint: "check the data set and the identifier"}
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
	query, args := history(`dataset = ? AND id IN (SELECT child FROM cityhub_part p WHERE p.dataset = ? AND p.parent = ?)`, []any{key.Dataset, key.Dataset, key.ID})
	all, err := s.versions(ctx, op, query+` ORDER BY id, version`, args...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(v *store.Version) bool { // parts of another time
		return !valid(v, at) || !slices.Contains(v.Object.Parents, key.ID) && !slices.Contains(whole.Object.Children, v.Object.ID)
	}), nil
}

// Extent is the rectangle around what is valid now of a class.
func (s *Store) Extent(ctx context.Context, class spatial.Class) (store.BBox, error) {
	const op = "extent"
	if err := (store.Query{Class: class}).Check(); err != nil {
		return store.BBox{}, err
	}
	var west, south, east, north sql.NullFloat64
	if err := s.read.QueryRowContext(ctx, `SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?`, tableOf(class)).Scan(&west, &south, &east, &north); err != nil {
		return store.BBox{}, fail(op, err)
	}
	return store.BBox{West: west.Float64, South: south.Float64, East: east.Float64, North: north.Float64, Empty: !west.Valid}, nil
}
