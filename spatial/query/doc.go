// Package query answers planners' spatial questions: what was observed in which
// zone, what is near what, where a limit was exceeded and what lies below, what
// has changed. A question is a JSON Document; its JSON Schema is SchemaJSON. The
// answer is a table of features, written by package export.
//
// # What is seen
//
// Everything is read through the city.View of who asks, a saved question's with
// the view of who runs it and never of who wrote it: an object, a terminal or a
// reading that the caller may not see is in no answer, no statistic and no
// count.
//
// # Distances and areas
//
// Metres are on the ground of the WGS 84 ellipsoid. A distance from a place, the
// cells of a grid and an area are computed in a transverse Mercator projection
// of scale 1 whose central meridian runs through the middle of what is measured.
// It is conformal, and at x metres east or west of that meridian too long by the
// share x²/(2·R²): at 10 km 1.3 mm in a kilometre, at 50 km 31 mm. Areas are too
// large by twice the share. Edges are straight in that plane where GeoJSON draws
// them straight in degrees, which moves the middle of an edge of 1 km by at most
// 12 mm at Suzhou's latitude (length²·tan φ/8R). Distances between objects are
// those of the index.
//
// # Time
//
// Windows are [from, to). Days, months and years begin at midnight of the time
// zone of the question, Asia/Shanghai where it names none; an answer says which.
//
// # Quality
//
// Readings marked good or not-evaluated count, unless the question lists other
// marks. Readings that are not a finite number never count. Where values are
// held (time-weighted statistics, durations), a reading that does not count ends
// the one before: from then on nothing is known until the next one that does.
//
// # Order and precision
//
// The same question on the same content gives the same answer to the last bit:
// rows are ordered, and sums are made in the order of Datastreams whatever the
// number of cores.
//
// An Engine and the handler are safe for concurrent use. What they start for a
// question ends with it; a client that goes ends it.
package query
