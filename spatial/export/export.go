// Package export writes tables of features as GeoJSON, CSV, GeoParquet and
// GeoPackage: the answers to spatial questions and the downloads of
// collections. All four carry the same rows, geometries and values
// (苏州市数据条例 第三十条; R38).
//
// A Writer streams: it holds one row (GeoJSON, CSV), one row group (GeoParquet)
// or nothing (GeoPackage, which is made in a temporary file and copied at the
// end). It is for one goroutine.
//
// Coordinates come in as WGS 84 degrees, longitude first, and go out in
// Options.CRS, always easting or longitude first: GeoJSON (RFC 7946 section
// 3.1.1), GeoParquet 1.1 and GeoPackage 1.3 (OGC 12-128r17 section 1.1.1.1.1)
// say so, whatever the order in the CRS's definition. Heights are no part of the
// geometries.
package export

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial/crs"
)

// Format is a file format.
type Format string

// The formats, as the parameter f names them.
const (
	GeoJSON    Format = "geojson"    // RFC 7946
	CSV        Format = "csv"        // RFC 4180, UTF-8
	GeoParquet Format = "geoparquet" // GeoParquet 1.1.0
	GeoPackage Format = "gpkg"       // OGC 12-128r17, GeoPackage 1.3
)

// Formats lists every Format, the default first.
func Formats() []Format { return []Format{GeoJSON, CSV, GeoParquet, GeoPackage} }

// MediaType is the registered media type of f.
func (f Format) MediaType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8"
	case GeoParquet:
		return "application/vnd.apache.parquet"
	case GeoPackage:
		return "application/geopackage+sqlite3"
	default:
		return "application/geo+json"
	}
}

// Extension is that of a file's name, with the dot.
func (f Format) Extension() string {
	switch f {
	case CSV:
		return ".csv"
	case GeoParquet:
		return ".parquet"
	case GeoPackage:
		return ".gpkg"
	default:
		return ".geojson"
	}
}

// Type is the type of a column.
type Type uint8

// The types of columns.
const (
	Text Type = iota
	Integer
	Number
	Bool
	Time // UTC
	JSON // an array or object as JSON text; GeoJSON has it as it is
)

// Column describes a column.
type Column struct {
	Name string
	Type Type
}

// Value is a cell. The zero Value is null; which of the others counts is said by
// the column's Type.
type Value struct {
	Set    bool
	Int    int64   // Integer; Bool: 0 or 1; Time: nanoseconds since 1970-01-01 UTC
	Number float64 // NaN and infinities are written as null
	Text   string  // Text, JSON
}

// TextOf is a text; empty is null.
func TextOf(s string) Value { return Value{Set: s != "", Text: s} }

// IntegerOf is a whole number.
func IntegerOf(n int64) Value { return Value{Set: true, Int: n} }

// NumberOf is a number; NaN and infinities are null.
func NumberOf(f float64) Value {
	return Value{Set: !math.IsNaN(f) && !math.IsInf(f, 0), Number: f}
}

// BoolOf is a truth value.
func BoolOf(b bool) Value {
	v := Value{Set: true}
	if b {
		v.Int = 1
	}
	return v
}

// TimeOf is a time; the zero time is null.
func TimeOf(t time.Time) Value {
	if t.IsZero() {
		return Value{}
	}
	return Value{Set: true, Int: t.UnixNano()}
}

// JSONOf is JSON text; empty is null. It must be well formed.
func JSONOf(s string) Value { return Value{Set: s != "", Text: s} }

// Row is a feature.
type Row struct {
	ID       string       // of the GeoJSON feature; no column by itself
	Geometry orb.Geometry // WGS 84 degrees; nil: none
	Values   []Value      // one for each column
}

// Point is how CSV writes a geometry.
type Point uint8

// The ways in which CSV writes a geometry.
const (
	WKT     Point = iota // one column "geometry", OGC 06-103r4 well-known text
	LonLat               // two columns, lon and lat (x and y where the CRS is projected): points as they are, of others the centroid
	Without              // no geometry
)

// Options of a Writer.
type Options struct {
	Name    string // of the table and layer; empty: "features"
	Title   string // for people; empty: Name
	Columns []Column
	CRS     *crs.CRS // of the coordinates that go out; nil: WGS 84. GeoJSON has no other
	// Meta are members of a JSON object that say what the table is, such as the
	// question, its time zone and units: they become members of the GeoJSON
	// FeatureCollection, the key cityhub of GeoParquet's metadata and the
	// description in GeoPackage. CSV has no place for them. nil: none.
	Meta     []byte
	BOM      bool             // CSV begins with a byte order mark, by which Excel knows UTF-8
	Geometry Point            // in CSV
	TempDir  string           // where a GeoPackage is made; empty: that of the system
	Now      func() time.Time // for the time in a GeoPackage; nil: time.Now
}

// Writer writes one table.
type Writer interface {
	// Write writes a row. It keeps nothing of it.
	Write(row *Row) error
	// Close ends the file. Without it the file is not complete.
	Close() error
	// Abort gives up and frees what is held; after Close it does nothing.
	Abort()
}

// Error says what cannot be written.
type Error struct {
	Field   string // of Options or Row
	Message string // what was found and what was expected
}

// Error gives field and message.
func (e *Error) Error() string { return e.Field + ": " + e.Message }

// New makes a Writer of a format. An *Error says what is wrong with o.
func New(w io.Writer, f Format, o Options) (Writer, error) {
	if o.Name == "" {
		o.Name = "features"
	}
	if o.Title == "" {
		o.Title = o.Name
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	seen := map[string]bool{"fid": true, "geometry": true, "geom": true, "bbox": true}
	for _, c := range o.Columns {
		if key := strings.ToLower(c.Name); c.Name == "" || seen[key] {
			return nil, &Error{"Columns", fmt.Sprintf("found %q, expected names that are not empty, differ in more than case and are none of fid, geometry, geom, bbox", c.Name)}
		}
		seen[strings.ToLower(c.Name)] = true
	}
	p, err := newProjector(o.CRS)
	if err != nil {
		return nil, err
	}
	switch f {
	case GeoJSON:
		if p.transform != nil {
			return nil, &Error{"crs", "GeoJSON is in WGS 84 (RFC 7946 section 4); ask for csv, geoparquet or gpkg, or leave the CRS out"}
		}
		return newGeoJSON(w, o), nil
	case CSV:
		return newCSV(w, o, p)
	case GeoParquet:
		return newParquet(w, o, p)
	case GeoPackage:
		return newGeoPackage(w, o, p)
	}
	return nil, &Error{"f", fmt.Sprintf("found %q, expected one of %v", f, Formats())}
}

// check reports a row that does not fit the columns.
func check(row *Row, columns []Column) error {
	if len(row.Values) != len(columns) {
		return &Error{"Values", fmt.Sprintf("found %d values for %d columns", len(row.Values), len(columns))}
	}
	return nil
}
