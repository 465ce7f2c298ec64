// Package index holds the objects of the city that are valid now in memory:
// where each lies, its footprint, class and type, found by place in
// microseconds. It is a view of the city model's store, which has the rest.
//
// Coordinates are WGS 84 degrees, longitude first; distances are metres on the
// ellipsoid, computed in a plane at the latitude between the two geometries:
// below 1 km exact to 0.01 mm, below 20 km to 2 cm.
//
// Guarantees:
//   - Footprints are rounded to 1e-7 degrees, 11 mm or less, and so is what
//     Search and Containing ask for: what meets exactly is always found.
//     Geometries closer than ContactMetres count as touching.
//   - A million buildings take about 110 bytes each (DESIGN.md).
//   - Search, Containing and Shape allocate nothing; what others allocate does not
//     depend on the number of objects that they look at.
//   - A View never changes. Making one and reading through one waits for nobody,
//     and nobody waits for it.
//
// An Index and its Views are safe for concurrent use. The package starts no
// goroutine.
package index

import (
	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// Ref names an object of one View. Another View may give it to another object.
type Ref uint32

// View is the objects that one caller may see, as they were at one moment. It
// is immutable and safe for concurrent use.
type View interface {
	// Version changes whenever the city changes; of the same View always the same.
	Version() uint64
	// Len is the number of objects.
	Len() int
	// Object is what the index knows of an object.
	Object(Ref) Object
	// Footprint is the object on the map: a Point, MultiPoint, LineString,
	// MultiLineString, Polygon or MultiPolygon; nil where it has none. The caller
	// may keep and change it.
	Footprint(Ref) orb.Geometry
	// At finds an object by its store.Version.Position.
	At(position int64) (Ref, bool)
	// Find finds an object by its key.
	Find(store.Key) (Ref, bool)
	// Search calls fn for the objects whose bound meets b until fn returns false.
	// A bound whose west is greater than its east crosses the antimeridian.
	Search(b orb.Bound, o Options, fn func(Ref) bool)
	// Containing calls fn for the objects with a surface in which the point lies;
	// a point on its edge does.
	Containing(lon, lat float64, o Options, fn func(Ref) bool)
	// Meeting calls fn for the objects whose footprint is at most metres from g,
	// with the distance; zero metres: that have a point in common with g. It stops
	// when fn returns false. Areas count with all that is within them. An orb.Bound
	// is a rectangle; g may be of any other kind of geometry, also a collection.
	Meeting(g orb.Geometry, metres float64, o Options, fn func(ref Ref, metres float64) bool)
	// Nearest is the k objects nearest to g, at most maxMetres away, the nearest
	// first, of equally near ones the one with the lesser Ref.
	Nearest(g orb.Geometry, maxMetres float64, k int, o Options) []Near
}

// Object is what a View knows of an object.
type Object struct {
	Position int64 // store.Version.Position
	Key      store.Key
	Class    spatial.Class
	Type     string
	Name     string
	Bound    orb.Bound // of the footprint; empty where it has none
	// LowMetres and HighMetres are the heights of the geometry's lowest and
	// highest points above the object's vertical datum; both NaN where the
	// source had no heights.
	LowMetres, HighMetres float64
	Underground           bool // Class is underground
}

// Options narrow a search. The zero value narrows nothing.
type Options struct {
	Classes []spatial.Class // of any of these; the empty Class stands for objects of none; nil: all
	Type    string          // empty: any
	Dataset string          // empty: any
	// MinSizeDegrees leaves out objects whose bound is narrower than this in both
	// directions; points are kept. Whole branches of the index are skipped by it.
	MinSizeDegrees float64
}

// Near is an object and its distance.
type Near struct {
	Ref    Ref
	Metres float64
}
