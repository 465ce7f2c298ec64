// Package edr serves observations by OGC API - Environmental Data Retrieval 1.1
// (OGC 19-086r6): who has a place, an area or a way asks what was measured there.
//
// # What is answered
//
// One collection, "observations", has every observed property; beside it each
// property is a collection of its own name. A station is a terminal; each of its
// Datastreams that a query selects becomes one PointSeries coverage (CoverageJSON,
// OGC 21-069r2), one Feature (GeoJSON) or rows (CSV).
//
//   - position: for each point and each property the Datastream of the nearest
//     station, at most Options.PositionMetres away. Nothing is interpolated.
//   - radius, area, cube: the stations within; cube is a rectangle (bbox), for
//     stations have no depth.
//   - trajectory, corridor: the stations at most Options.CorridorMetres, or half of
//     corridor-width, from a line. Times along the line (M) are refused: datetime
//     says when.
//   - locations: the stations, and what one of them, by its code, observes.
//
// Without datetime the answer is the latest reading; with an instant the last
// reading at or before it; with an interval all readings in it, both ends
// included. Times are those of the phenomenon, RFC 3339 in UTC.
//
// A parameter is an observed property in one unit. Where a Datastream has another
// unit than most of its property, its parameter is called property[unit].
// Each coverage has a second range "quality", a categorical parameter.
//
// Coordinates are longitude, latitude (CRS84), or with crs=EPSG:4326 or EPSG:4490
// latitude, longitude as these define, in the query and in the answer. CGCS2000
// is taken as equal to WGS 84, as package crs states (within a metre). Distances
// are in the plane at the latitude asked about.
//
// # Guarantees
//
// Answers hold what the caller's city.View shows. They are counted before they are
// written: one that would have more than Options.MaxStations Datastreams or
// Options.MaxValues readings is refused with what narrows it, and not cut short.
// Memory is that of one Datastream's readings. The handler is safe for concurrent
// use and starts no goroutine.
package edr
