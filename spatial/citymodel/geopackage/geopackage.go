// Package geopackage reads the feature tables of any GeoPackage (OGC
// 12-128r18) as CityObjects, one for each row. Geometry is GeoPackage binary,
// with WKB or EWKB in it, with or without Z and M; M is passed over. The CRS is
// that of gpkg_spatial_ref_sys. Coordinates in a GeoPackage are in the order
// easting or longitude first (clause 1.1.1.1.3).
//
// An object's identifier is the name of its table and the row's primary key,
// "buildings/17", unless an attribute is named for it. A table whose name is
// that of an element class gives its objects that class.
//
// The file is opened for reading only, as one that does not change, and as one
// whose maker is not trusted: views are refused, as a view can be an endless
// query, functions in the schema may not have effects, no value is longer than
// Limits.RecordBytes. Rows come as a stream.
package geopackage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
	"cityhub/spatial/citymodel/internal/prj"
	"cityhub/spatial/citymodel/internal/wkx"
	"cityhub/spatial/crs"
)

var _ citymodel.Reader = (*Reader)(nil)

// Options say what to read. The zero value reads all feature tables.
type Options struct {
	citymodel.FeatureOptions
	Layer string // name of one feature table; empty: all
}

// Reader reads one GeoPackage. It holds a connection until Close.
type Reader struct {
	m      *flat.Maker
	ctx    context.Context
	db     *sql.DB
	conn   *sql.Conn
	layers []layer
	info   citymodel.Info
	used   bool
	row    int
}

// layer is a feature table.
type layer struct {
	table, column, key string
	srs                int
	crs                spatial.CRS
	class              spatial.Class
	columns            []column
}

type column struct {
	name    string
	boolean bool
}

// maxLayers bounds what a file can have of tables.
const maxLayers = 1000

// Recognise reports whether head begins an SQLite database, as a GeoPackage is.
func Recognise(head []byte) bool {
	return strings.HasPrefix(string(head[:min(len(head), 16)]), "SQLite format 3\x00")
}

// Open opens the file at path and reads which layers it has. ctx ends Open and
// the queries of Objects. Its errors are of type *citymodel.Error.
func Open(ctx context.Context, path string, o Options) (*Reader, error) {
	if o.File == "" {
		o.File = path
	}
	r := &Reader{m: flat.New("GeoPackage", o.FeatureOptions), ctx: ctx}
	err := r.connect(path)
	if err == nil {
		err = r.readLayers(o.Layer)
	}
	if err != nil {
		return nil, r.m.Final(0, 0, errors.Join(err, r.Close()))
	}
	r.info = citymodel.Info{Format: "GeoPackage", CRS: r.layers[0].crs}
	for _, l := range r.layers {
		if l.crs != r.info.CRS {
			r.info.CRS = spatial.CRS{} // each object has its own
		}
	}
	if len(r.layers) == 1 {
		r.info.Title = r.layers[0].table
	}
	return r, nil
}

// connect opens the database.
func (r *Reader) connect(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	params := url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"trusted_schema(OFF)", "cell_size_check(ON)", "query_only(ON)", "mmap_size(0)", "cache_size(-16384)", "temp_store(MEMORY)"}}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		params.Del("immutable") // the last changes are still in the log beside it
	}
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).String() + "?" + params.Encode()
	connector, err := sqlite.NewConnector(name)
	if err != nil {
		return err
	}
	r.db = sql.OpenDB(connector)
	r.db.SetMaxOpenConns(1)
	if r.conn, err = r.db.Conn(r.ctx); err != nil {
		return err
	}
	_, err = sqlite.Limit(r.conn, sqlite3.SQLITE_LIMIT_LENGTH, min(r.m.Limits.RecordBytes, math.MaxInt32))
	return err
}

// Close ends the connection. It may be called again.
func (r *Reader) Close() (err error) {
	if r.conn != nil {
		err = r.conn.Close()
		r.conn = nil
	}
	if r.db != nil {
		err = errors.Join(err, r.db.Close())
		r.db = nil
	}
	return err
}

// query calls each for every row; dest are where each finds the columns.
func (r *Reader) query(each func() error, dest []any, text string, args ...any) (err error) {
	rows, err := r.conn.QueryContext(r.ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := each(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// readLayers finds the feature tables.
func (r *Reader) readLayers(wanted string) error {
	var l layer
	var kind string
	var names []string
	err := r.query(func() error {
		if len(names) >= maxLayers {
			return flat.Faultf(citymodel.TooLarge, "more than %d feature tables", maxLayers)
		}
		names = append(names, l.table)
		if wanted != "" && !strings.EqualFold(wanted, l.table) {
			return nil
		}
		if kind != "table" {
			return flat.Faultf(citymodel.UnknownType, "layer %.100q is a %s, which is not read, as it could be an endless query; export it as a table: ogr2ogr out.gpkg in.gpkg %.100s", l.table, kind, l.table)
		}
		r.layers = append(r.layers, l)
		return nil
	}, []any{&l.table, &l.column, &l.srs, &kind}, `SELECT g.table_name, g.column_name, g.srs_id, s.type
		FROM gpkg_geometry_columns AS g JOIN sqlite_master AS s ON lower(s.name) = lower(g.table_name) AND s.type IN ('table', 'view')
		WHERE EXISTS (SELECT 1 FROM gpkg_contents AS c WHERE lower(c.table_name) = lower(g.table_name)) ORDER BY g.rowid`)
	if err != nil {
		if strings.Contains(err.Error(), "no such table: gpkg_") {
			return flat.Faultf(citymodel.WrongType, "this SQLite database is no GeoPackage: it has no table gpkg_geometry_columns or gpkg_contents")
		}
		return err
	}
	if len(r.layers) == 0 {
		if wanted != "" {
			return flat.Faultf(citymodel.Missing, "no feature table is called %.100q; there are %.500s", wanted, strings.Join(names, ", "))
		}
		return flat.Faultf(citymodel.Missing, "the GeoPackage has no feature tables")
	}
	for i := range r.layers {
		if err := r.readColumns(&r.layers[i]); err != nil {
			return err
		}
		if err := r.readCRS(&r.layers[i]); err != nil {
			return err
		}
	}
	return nil
}

// readColumns finds key, geometry and attributes of a table.
func (r *Reader) readColumns(l *layer) error {
	var name, typ string
	var pk, hidden int
	geometry := false
	err := r.query(func() error {
		switch {
		case strings.EqualFold(name, l.column):
			geometry, l.column = true, name
		case pk == 1 && strings.EqualFold(typ, "INTEGER"):
			l.key = name
		case hidden == 0:
			l.columns = append(l.columns, column{name: name, boolean: strings.EqualFold(typ, "BOOLEAN")})
		}
		return nil
	}, []any{&name, &typ, &pk, &hidden}, `SELECT name, type, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid`, l.table)
	if err != nil {
		return err
	}
	if !geometry {
		return flat.Faultf(citymodel.Missing, "table %.100q has no column %.100q, which gpkg_geometry_columns names", l.table, l.column)
	}
	if len(l.columns) > r.m.Limits.Attributes {
		return flat.Faultf(citymodel.TooLarge, "table %.100q has %d columns; the limit is %d", l.table, len(l.columns), r.m.Limits.Attributes)
	}
	if c := spatial.Class(l.table); c.Valid() {
		l.class = c
	}
	return nil
}

// readCRS finds what the srs_id of a layer is.
func (r *Reader) readCRS(l *layer) error {
	if l.crs = r.m.Opt.CRS; l.crs.Known() {
		return nil
	}
	report := func(why string) {
		r.m.Report.Report(citymodel.Problem{Severity: citymodel.SeverityError, Code: citymodel.UnknownCRS, Field: l.table, Message: why + "; name the CRS with --crs, e.g. --crs EPSG:4549"})
	}
	if l.srs == 0 || l.srs == -1 {
		report(fmt.Sprintf("the layer's CRS is stated as undefined (srs_id %d)", l.srs))
		return nil
	}
	var organization, definition string
	var code int
	found := false
	err := r.query(func() error { found = true; return nil }, []any{&organization, &code, &definition},
		`SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?`, l.srs)
	switch {
	case err != nil:
		return err
	case !found:
		report(fmt.Sprintf("srs_id %d is not in gpkg_spatial_ref_sys", l.srs))
	case strings.EqualFold(organization, "EPSG") && code > 0:
		l.crs = crs.EPSG(code)
	default:
		h, v, err := prj.Code(definition)
		if err != nil {
			report(fmt.Sprintf("srs_id %d of %.40q: %v", l.srs, organization, err))
			return nil
		}
		if l.crs = crs.EPSG(h); v != 0 {
			l.crs.Vertical, l.crs.VerticalDatum = v, crs.VerticalEPSG(v).Short()
		}
	}
	return nil
}

// Info is what the file says of itself. Where its layers have different CRSs, it
// has none; each object has that of its layer.
func (r *Reader) Info() citymodel.Info { return r.info }

// Tally counts what has been read.
func (r *Reader) Tally() citymodel.Tally { return r.m.Tally }

// Layers are the names of the tables that are read.
func (r *Reader) Layers() (names []string) {
	for _, l := range r.layers {
		names = append(names, l.table)
	}
	return names
}

var errStop = errors.New("stop")

// Objects reads the rows. It can be called once, before Close.
func (r *Reader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if r.used || r.conn == nil {
			yield(nil, flat.ErrUsed)
			return
		}
		r.used = true
		for i := range r.layers {
			err := r.layer(&r.layers[i], func(o *spatial.CityObject) bool { return yield(o, nil) })
			if errors.Is(err, errStop) {
				return
			}
			if err != nil {
				yield(nil, r.m.Final(r.row, 0, fmt.Errorf("table %.100q: %w", r.layers[i].table, err)))
				return
			}
		}
	}
}

// quote is a name in SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// layer reads the rows of one table.
func (r *Reader) layer(l *layer, yield func(*spatial.CityObject) bool) error {
	// The sign keeps the driver from making times of what was declared as one.
	text := "SELECT +" + quote(l.column)
	if l.key != "" {
		text += ", +" + quote(l.key)
	} else {
		text += ", NULL"
	}
	for _, c := range l.columns {
		text += ", +" + quote(c.name)
	}
	values := make([]any, 2+len(l.columns))
	dest := make([]any, len(values))
	for i := range values {
		dest[i] = &values[i]
	}
	return r.query(func() error {
		r.row++
		if !yield(r.object(l, values)) {
			return errStop
		}
		return nil
	}, dest, text+" FROM "+quote(l.table))
}

func (r *Reader) object(l *layer, values []any) *spatial.CityObject {
	o := &spatial.CityObject{CRS: l.crs, Class: l.class, Source: spatial.Source{Line: r.row}}
	if key, ok := values[1].(int64); ok {
		o.ID = l.table + "/" + strconv.FormatInt(key, 10)
	}
	o.Attributes = make(spatial.Attributes, 0, len(l.columns))
	for i, c := range l.columns {
		v, ok := value(values[2+i], c.boolean)
		if !ok {
			if r.m.Once("blob " + l.table + " " + c.name) {
				r.m.Warn(o, citymodel.WrongType, l.table+"."+c.name, "the column has binary values, which are left out, here and in all objects")
			}
			continue
		}
		o.Attributes = append(o.Attributes, spatial.Attribute{Name: c.name, Value: v})
	}
	field := l.table + "." + l.column
	var s flat.Shapes
	s.Reset(r.m.Limits.ObjectPoints)
	switch blob := values[0].(type) {
	case nil:
	case []byte:
		if _, err := wkx.GeoPackage(&s, blob); err != nil {
			r.m.Dropped(o, field, err)
		} else {
			r.m.Geometries(o, &s, field)
		}
	default:
		r.m.Dropped(o, field, flat.Faultf(citymodel.WrongType, "found %T, expected a geometry (BLOB)", blob))
	}
	r.m.Finish(o)
	return o
}

// value is an SQLite value; false for a blob.
func value(v any, boolean bool) (spatial.Value, bool) {
	switch v := v.(type) {
	case nil:
		return spatial.NullValue(), true
	case int64:
		if boolean {
			return spatial.BoolValue(v != 0), true
		}
		return spatial.IntValue(v), true
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return spatial.NullValue(), true
		}
		return spatial.FloatValue(v), true
	case bool:
		return spatial.BoolValue(v), true
	case string:
		return spatial.TextValue(strings.ToValidUTF8(v, "\ufffd")), true
	}
	return spatial.Value{}, false
}
