// Package tiles serves the city as vector tiles: OGC API - Tiles (OGC 20-057)
// with Mapbox Vector Tiles 2.1, TileJSON 3.0 and MapLibre style documents.
//
// # What is in a tile
//
// Each of city.Collections is a layer, and two more: "terminals", the points at
// which terminals stand, and "live", the objects on which something is observed,
// both with their latest values. Coordinates in a tile run from 0 to 4096 to the
// right and down; geometry reaches 64 over each edge. Longitudes and latitudes
// of the index are WGS 84; the tiles of CGCS2000Quad take them as CGCS2000, which
// agrees with it within the metre that package crs states.
//
// What a screen could not show is not sent: objects smaller than a quarter of a
// screen pixel, vertices closer to the line than half a unit (of 4096), and what is
// beyond Options.MaxFeatures and Options.MaxBytes. Of these the largest are
// kept, and the header Tile-Features-Omitted says how many were left out.
// Polygons are clipped by half planes (Sutherland and Hodgman): a concave polygon
// that leaves a tile and comes back is joined by a line along the outside of the
// buffer, which no client draws.
//
// # Guarantees
//
// A tile shows what the caller's city.View shows and is kept for callers with an
// equal View.Key and an equal index version only. Waiting requests for one tile
// share one computation. What is kept is bounded in bytes (Options.CacheBytes),
// what is computed at once in number (Options.Concurrency). Tiles with readings
// are kept for Options.LiveFor only.
//
// The handler is safe for concurrent use and starts no goroutine.
package tiles
