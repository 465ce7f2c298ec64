// Package spatial is the root of everything that knows about place: reference
// systems (crs), and the packages for geometry, city models and OGC APIs beside
// it. None of them knows what a reading is.
package spatial
