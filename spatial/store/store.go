// Package store is the contract of the city model's store: the elements of the
// city with their geometry by level of detail, attributes, parts and versions.
// The stores are in the packages below; storetest holds them to this contract.
//
// Coordinates are WGS 84, longitude before latitude, in degrees (EPSG:4326 in
// the order of GeoPackage and GeoJSON); an import converts to them. Heights are
// metres above the datum that the object's CRS names: they are never converted.
//
// Versions. An import is one transaction and has one time. What it changes ends
// the valid time of the old version and begins that of the new one at that time,
// so that a version is valid in [ValidFrom, ValidTo). What an import leaves as it
// was stays the same version.
//
// A Store is safe for concurrent use: one import at a time, any number of readers
// beside it, which see the city as it was before the import until it is done.
package store

import (
	"context"
	"fmt"
	"iter"
	"time"

	"cityhub/spatial"
)

// Store keeps one city.
type Store interface {
	Reader
	// Import stores objects as one transaction: all of them, or after an error
	// none. An error of objects ends it and comes back wrapped. Objects are only
	// used until the next one is asked for.
	Import(ctx context.Context, o ImportOptions, objects iter.Seq2[*spatial.CityObject, error]) (ImportResult, error)
	// Close waits for what is under way. It can be called again.
	Close() error
}

// Reader reads one city.
type Reader interface {
	// Get is the version of an object that is valid at a time, with its
	// geometries; the zero time means now. NotFound where there is none.
	Get(ctx context.Context, key Key, at time.Time) (*Version, error)
	// Query is one page of objects. The order is the same for every page and
	// does not change when objects get new versions.
	Query(ctx context.Context, q Query) (Page, error)
	// Count is the number of objects that q selects; After and Limit do not matter.
	Count(ctx context.Context, q Query) (int64, error)
	// Extent is the rectangle around what is valid now of a class.
	Extent(ctx context.Context, class spatial.Class) (BBox, error)
	// Versions are all versions of an object with their geometries, the oldest
	// first. NotFound where there never was one.
	Versions(ctx context.Context, key Key) ([]*Version, error)
	// Parts are the objects that are parts of one at a time, ordered by ID:
	// those that name it as a parent and those it names as children.
	Parts(ctx context.Context, key Key, at time.Time) ([]*Version, error)
	// LastImport is the number of the last import that changed something; zero:
	// there was none. Numbers only go up.
	LastImport(ctx context.Context) (int64, error)
	// Changes calls fn for each object that an import with a number above after
	// stored or ended, once, as it is now, in no particular order, and gives the
	// number of the last import that this takes in: for the next call. After zero
	// these are all objects. All is of one moment, also what other nodes import
	// beside it comes wholly or not at all. It is streamed: fn is to be quick. An
	// error of fn ends it and comes back as it is. NotFound where after is above
	// the last import: what follows the store followed another one, and begins
	// again with zero.
	Changes(ctx context.Context, after int64, fn func(Change) error) (int64, error)
}

// Change is what became of an object.
type Change struct {
	Position int64 // Version.Position of the object
	// Version is the one that is valid now, with its footprint and without its
	// geometries, for the caller to keep; nil: none is.
	Version *Version
}

// Key identifies an object over all its versions.
type Key struct {
	Dataset string // the source data set
	ID      string // the identifier in it
}

// String is e.g. "suzhou-buildings/way/42".
func (k Key) String() string { return k.Dataset + "/" + k.ID }

// Version is an object during one valid time.
type Version struct {
	Dataset string
	// Object has its geometries where they were asked for, in WGS 84.
	Object spatial.CityObject
	// SourceCRS is the EPSG code of the horizontal CRS in which the object came.
	SourceCRS int
	// Footprint is the object on the map: MultiPoint, MultiLine or MultiSurface
	// without heights; nil where it has no geometry.
	Footprint *spatial.Geometry
	// LowMetres and HighMetres are the heights of the lowest and the highest
	// point of all geometries above the vertical datum; both NaN where none of
	// them has heights.
	LowMetres, HighMetres float64
	Position              int64 // in the order of Query; the same in all versions
	ValidFrom             time.Time
	ValidTo               time.Time // zero: still valid
}

// ImportOptions describe an import.
type ImportOptions struct {
	Dataset string // the source data set, required
	// Complete says that the objects are all of the data set: those that it had
	// and that do not come are no longer valid.
	Complete bool
	// End are identifiers of objects of the data set that are no longer valid.
	// One that is not valid now is NotFound, one that comes twice or among the
	// objects as well is Invalid, and nothing is stored.
	End []string
	// DryRun checks and counts everything and stores nothing; the result has no
	// time.
	DryRun bool
}

// ImportResult counts what an import did.
type ImportResult struct {
	At        time.Time // its time: ValidFrom of what it stored; zero when nothing was stored
	Added     int
	Updated   int
	Unchanged int
	Ended     int // because of ImportOptions.Complete or End
}

// BBox is a rectangle in degrees. A box whose West is greater than its East
// crosses the antimeridian. The zero BBox is the point 0, 0.
type BBox struct {
	West, South, East, North float64
	Empty                    bool // holds nothing, whatever the numbers say
}

// Intersects reports whether b and a box that does not cross the antimeridian
// have a point in common.
func (b BBox) Intersects(west, south, east, north float64) bool {
	if b.Empty || !(south <= b.North && b.South <= north) {
		return false
	}
	if b.West > b.East {
		return east >= b.West || west <= b.East
	}
	return west <= b.East && b.West <= east
}

// MaxLimit is the largest page.
const MaxLimit = 10_000

// Query selects objects of one class.
type Query struct {
	Class      spatial.Class // empty: the objects that are of no class
	Dataset    string        // empty: any
	Datasets   []string      // of any of these; nil: any
	Type       string        // empty: any
	Positions  []int64       // at any of these, ascending; nil: at any
	BBox       *BBox         // nil: everywhere, also the objects without geometry
	At         time.Time     // zero: now
	After      int64         // Page.Next of the page before
	Limit      int           // 0: 1000; at most MaxLimit
	Geometries bool          // false: Object.Geometries stays empty
	// Keep, when set, is asked for each object that the rest selects, in their
	// order; those that it refuses count neither for a page nor for Count. It
	// sees the object without its geometries but with its footprint, and may
	// not keep it. An error ends the query and comes back as it is.
	Keep func(*Version) (bool, error)
}

// Check reports what is wrong with q.
func (q Query) Check() error {
	fault := func(field, format string, args ...any) error {
		return &Error{Code: Invalid, Op: "query", Field: field, Message: fmt.Sprintf(format, args...)}
	}
	if q.Class != "" && !q.Class.Valid() {
		return fault("Class", "%q is no class; expected one of %v", q.Class, spatial.Classes())
	}
	if q.Limit < 0 || q.Limit > MaxLimit {
		return fault("Limit", "found %d, expected 0 to %d", q.Limit, MaxLimit)
	}
	if q.After < 0 {
		return fault("After", "found %d, expected the Next of a page", q.After)
	}
	if b := q.BBox; b != nil && !b.Empty {
		if !(b.South <= b.North && b.South >= -90 && b.North <= 90) {
			return fault("BBox", "latitudes %v to %v; expected -90 ≤ south ≤ north ≤ 90", b.South, b.North)
		}
		if !(b.West >= -180 && b.West <= 180 && b.East >= -180 && b.East <= 180) {
			return fault("BBox", "longitudes %v to %v; expected -180 to 180, west first", b.West, b.East)
		}
	}
	return nil
}

// Page is a part of what a Query selects.
type Page struct {
	Versions []*Version
	Next     int64 // for Query.After; zero: this was the last page
}

// Code classifies an Error.
type Code string

// The codes.
const (
	Invalid     Code = "invalid"     // what was asked for or given cannot be
	NotFound    Code = "not-found"   // there is no such object or import
	Conflict    Code = "conflict"    // the file or database is somebody else's or of a newer cityhub
	Corrupt     Code = "corrupt"     // what is stored cannot be read
	Unavailable Code = "unavailable" // disk full, locked, no permission, closed
)

// Error is what a Store returns.
type Error struct {
	Code    Code
	Op      string // what was done, e.g. "import"
	Object  string // ID of the object at fault, if there is one
	File    string // and where it stands in its source
	Line    int    // from 1; 0: not known
	Field   string
	Message string // what was found and what was expected
	Hint    string // how to mend it
	Err     error
}

// Error gives everything in one line.
func (e *Error) Error() string {
	s := e.Op
	if e.File != "" {
		s += fmt.Sprintf(": %s:%d", e.File, e.Line)
	}
	for _, part := range []string{e.Object, e.Field, e.Message} {
		if part != "" {
			s += ": " + part
		}
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
