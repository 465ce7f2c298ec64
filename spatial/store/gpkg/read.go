package gpkg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/internal/record"
)

// envelopeSQL is as much of a geometry as envelope needs.
const envelopeSQL = `CASE WHEN substr(geom, 4, 1) = x'03' THEN substr(geom, 1, 40) ELSE geom END`

// readColumns are the columns of a version. The times are text: the driver would
// take them for times.
const readColumns = `fid, geom, dataset, id, type, name, cim_level, attributes, parents, children, height_m, base_m, height_from,` +
	` source_epsg, height_epsg, height_datum, source_file, source_line, source_offset, version, CAST(valid_from AS TEXT), low_m, high_m`

const geometriesSQL = `(SELECT geometries FROM cityhub_version v WHERE v.version = o.version)`

// current selects from a feature table, past from the history, both with the
// end of validity, the geometries or NULL, and the class.
func current(name, geometries string) string {
	return `SELECT ` + readColumns + `, NULL, ` + geometries + `, '` + name + `' FROM ` + name + ` o`
}

func past(geometries string) string {
	return `SELECT ` + readColumns + `, CAST(valid_to AS TEXT), ` + geometries + `, class FROM cityhub_history o`
}

// scanner reads rows of current or past. It is for one goroutine.
type scanner struct {
	op     string
	values [columnCount + 3]driver.Value
	// The time of the row before, which mostly is that of the next.
	text string
	time time.Time
}

// geom is the footprint as it is stored, or nil.
func (s *scanner) geom() []byte { b, _ := s.values[1].([]byte); return b }

func (s *scanner) str(i int) string     { v, _ := s.values[i].(string); return v }
func (s *scanner) integer(i int) int64  { v, _ := s.values[i].(int64); return v }
func (s *scanner) number(i int) float64 { return s.numberOr(i, 0) }

// numberOr is a number that may be stored as a whole one, or what stands for NULL.
func (s *scanner) numberOr(i int, null float64) float64 {
	switch v := s.values[i].(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	}
	return null
}

func (s *scanner) when(i int) (time.Time, error) {
	text := s.str(i)
	if text != s.text {
		t, err := time.Parse(timeFormat, text)
		if err != nil {
			return t, err
		}
		s.text, s.time = text, t
	}
	return s.time, nil
}

func (s *scanner) version() (*store.Version, error) {
	v := &store.Version{Position: s.integer(0), Dataset: s.str(2), SourceCRS: int(s.integer(13)), LowMetres: s.numberOr(21, math.NaN()), HighMetres: s.numberOr(22, math.NaN())}
	v.Object = spatial.CityObject{
		ID: s.str(3), Type: s.str(4), Name: s.str(5), Level: spatial.CIMLevel(s.integer(6)),
		CRS:    spatial.CRS{Horizontal: spatial.CRS84, Vertical: int(s.integer(14)), VerticalDatum: s.str(15)},
		Height: spatial.Height{Metres: s.number(10), BaseMetres: s.number(11), From: s.str(12)},
		Source: spatial.Source{File: s.str(16), Line: int(s.integer(17)), Offset: s.integer(18)},
	}
	o := &v.Object
	if class := s.str(25); class != "other" {
		o.Class = spatial.Class(class)
	}
	var errs [7]error
	if geom := s.geom(); geom != nil {
		v.Footprint, errs[0] = decodeGeometry(geom)
	}
	if geometries, _ := s.values[24].([]byte); geometries != nil {
		o.Geometries, errs[1] = record.DecodeGeometries(geometries)
	}
	o.Attributes, errs[2] = record.DecodeAttributes(s.str(7))
	if parents := s.str(8); parents != "" {
		errs[3] = json.Unmarshal([]byte(parents), &o.Parents)
	}
	if children := s.str(9); children != "" {
		errs[4] = json.Unmarshal([]byte(children), &o.Children)
	}
	v.ValidFrom, errs[5] = s.when(20)
	if s.values[23] != nil {
		v.ValidTo, errs[6] = s.when(23)
	}
	for i, err := range errs {
		if err != nil {
			field := [...]string{"geom", "geometries", "attributes", "parents", "children", "valid_from", "valid_to"}[i]
			return nil, &store.Error{Code: store.Corrupt, Op: s.op, Object: o.ID, Field: field, Message: fmt.Sprintf("version %d of data set %s", s.integer(19), v.Dataset),
				Hint: "restore the file from a backup, or import the source again", Err: err}
		}
	}
	return v, nil
}

// versions reads what a query selects.
func (s *Store) versions(ctx context.Context, op, query string, args ...any) (all []*store.Version, err error) {
	err = s.each(ctx, op, func(sc *scanner) (bool, error) {
		v, err := sc.version()
		all = append(all, v)
		return true, err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// moment is a time as the file has it.
func moment(at time.Time) string { return at.UTC().Truncate(time.Millisecond).Format(timeFormat) }

// history is a query for all versions in which where holds; the current ones
// have no end. Its parameters are numbered.
func history(where string) string {
	parts := []string{past(geometriesSQL) + ` WHERE ` + where}
	for _, t := range tables() {
		parts = append(parts, current(t.name, geometriesSQL)+` WHERE `+where)
	}
	return strings.Join(parts, ` UNION ALL `)
}

// now is a query for what is valid now.
func now(where string) string {
	var parts []string
	for _, t := range tables() {
		parts = append(parts, current(t.name, geometriesSQL)+` WHERE `+where)
	}
	return strings.Join(parts, ` UNION ALL `)
}

// Get is the version of an object that is valid at a time.
func (s *Store) Get(ctx context.Context, key store.Key, at time.Time) (*store.Version, error) {
	const op = "get object"
	const where = `dataset = ?1 AND id = ?2`
	var all []*store.Version
	var err error
	when := "now"
	if at.IsZero() {
		all, err = s.versions(ctx, op, now(where), key.Dataset, key.ID)
	} else {
		when = "at " + moment(at)
		all, err = s.versions(ctx, op, past(geometriesSQL)+` WHERE `+where+` AND valid_from <= ?3 AND valid_to > ?3 UNION ALL `+now(where+` AND valid_from <= ?3`),
			key.Dataset, key.ID, moment(at))
	}
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

func valid(v *store.Version, at time.Time) bool {
	if at.IsZero() {
		return v.ValidTo.IsZero()
	}
	return !v.ValidFrom.After(at) && (v.ValidTo.IsZero() || v.ValidTo.After(at))
}

// Versions are all versions of an object, the oldest first.
func (s *Store) Versions(ctx context.Context, key store.Key) ([]*store.Version, error) {
	const op = "versions of object"
	all, err := s.versions(ctx, op, history(`dataset = ?1 AND id = ?2`)+` ORDER BY version`, key.Dataset, key.ID)
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
	all, err := s.versions(ctx, op, history(`dataset = ?1 AND id IN (SELECT child FROM cityhub_part p WHERE p.dataset = ?1 AND p.parent = ?2)`)+` ORDER BY id, version`, key.Dataset, key.ID)
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
