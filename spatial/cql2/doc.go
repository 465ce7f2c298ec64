// Package cql2 reads, checks, prints and evaluates filters in the Common
// Query Language of OGC (CQL2, OGC 21-065r2), the one filter language of the
// hub: features, tiles, exports and stream subscriptions all take it.
//
//	expr, err := cql2.ParseText("pm25 > 75 AND S_INTERSECTS(geometry, BBOX(120.6,31.2,120.7,31.4))", cql2.Limits{})
//	filter, err := cql2.Compile(expr, queryables)
//	if filter.Match(row) { … }
//
// ParseText and ParseJSON build the same tree (Expr); Text and JSON print it.
// What a parser accepts has the arity and the operand types of the standard,
// so that a translator, for example to SQL, meets well-formed trees only.
// Check adds the names and types of a collection's Queryables; Compile makes a
// Filter. Hints tells a store or a subscription index what every match must
// satisfy.
//
// # Semantics
//
//   - Logic has three values (clause 6): a comparison with NULL is NULL, and
//     only TRUE matches.
//   - Numbers are IEEE 754 doubles. An arithmetic result that is not a finite
//     number, such as a division by zero, is NULL.
//   - Text compares by code point. CASEI is full Unicode case folding, ACCENTI
//     drops non-spacing marks, the Japanese voicing marks excepted.
//   - Timestamps are UTC. Where a date meets a timestamp it stands for its
//     first instant in UTC, a cast that the standard leaves to the server.
//   - Geometry is evaluated in two dimensions, in the coordinates and axis
//     order of the rows; a third ordinate is kept for printing only. BBOX is
//     west, south, east, north; one with west > east crosses the antimeridian.
//
// Beyond the grammar, conditions compare with = and <>, as in
// (a > 1) = (b > 1), and the text encoding takes - before a parenthesis.
//
// Functions of one's own are parsed and printed, but none is offered: Check
// refuses them.
//
// # Guarantees
//
// Input, depth, nodes, pattern length and vertices are bounded (Limits). A
// Filter is immutable and safe for use by several goroutines. Matching
// allocates nothing, with one exception: spatial functions that only the
// DE-9IM matrix decides. These are functions of two properties, and those
// other than S_INTERSECTS and S_DISJOINT where the row is not a single point
// and edges meet, or where points, collections, holes or several parts are
// involved. S_INTERSECTS and S_DISJOINT with a literal, and all functions of a
// point and a literal, are decided with exact arithmetic; the matrix is
// computed in rounded arithmetic.
//
// The package does no I/O and starts no goroutine.
package cql2
