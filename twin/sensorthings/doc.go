// Package sensorthings serves OGC SensorThings API 1.1 (Part 1: Sensing) over
// HTTP at /sta/v1.1: reads of Things, Locations, Sensors, ObservedProperties,
// Datastreams and Observations, and the creation of Observations.
//
// Guarantees: everything is read through a policy.View, so what the caller may
// not see is answered like what does not exist and is in no count; a query
// option that is not served is an error that names it, never ignored; an
// Observation is answered with 201 after it is durable, and a GET of its
// Location then finds it. A page of Observations is written as it is read: its
// size does not show in the hub's memory.
//
// What the standard leaves open is answered so:
//
//   - Without $orderby entities come in order of id and Observations in order
//     of phenomenonTime, oldest first; $orderby=phenomenonTime desc is newest
//     first. At /Observations the order is Datastream, then phenomenonTime.
//   - $top is 100 when not given, and at most 10000. A page may be shorter than
//     $top and still have an @iot.nextLink; only a page without one is the last.
//   - @iot.nextLink of Observations carries a $skiptoken, the place in time
//     where the page ended, so that the thousandth page costs what the first
//     did; with a stable order, Observations that arrive meanwhile are not
//     skipped or repeated.
//   - The id of an Observation is a text, 'datastream_nanoseconds': the same
//     Datastream and phenomenonTime is the same Observation, corrected.
//   - result is a JSON number, text or boolean after the Datastream's
//     observationType; null when the reading is missing.
//   - resultQuality is an object {"mark": 2, "name": "not-evaluated"} with the
//     five marks of IOC Manuals and Guides 54 vol. 3.
//   - unitOfMeasurement.definition is "ucum:" and the UCUM code.
//   - Location.location is a GeoJSON Point: WGS 84 longitude, latitude and,
//     when the height is above the ellipsoid, metres of height.
//   - A Datastream's phenomenonTime is from its first to its latest
//     Observation; its resultTime and observedArea are not given.
//
// FeaturesOfInterest, HistoricalLocations, $expand, paths to properties, and
// the creation of other entities are not served; terminals are registered at
// /api/v1/terminals. A Handler is safe for concurrent use and starts no
// goroutine.
package sensorthings
