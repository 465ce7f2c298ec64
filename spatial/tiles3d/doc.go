// Package tiles3d serves the city model as 3D Tiles 1.1 (OGC 22-025r4): one
// tileset for each collection of package city, so that underground space is a
// tileset by itself, with glTF 2.0 contents (EXT_mesh_features and
// EXT_structural_metadata) in implicit quadtrees.
//
// Tiles. All tilesets share one grid: cells of 360°/2^n of longitude and
// latitude, counted from -180°, -180°. A tileset has at most four implicit
// roots, the cells of one level that hold its objects, so that a tile keeps its
// address when objects come or go elsewhere. A cell is divided while it has more
// than Options.TileObjects objects. An object belongs to the cell in which the
// middle of its bound lies; what reaches over the cell's edge is in the tile's
// bounding region, which the subtrees give for every tile.
//
// Refinement is REPLACE. A tile without children has all its objects in their
// finest representation: over these tiles every object is found exactly once. A
// tile with children has the largest Options.TileObjects objects below it, in
// LoD 1 or else their coarsest solid representation. Its geometric error is the
// size of the largest object that it leaves out, and at least a sixty-fourth of
// its cell; that of a tile without children is zero.
//
// Heights. The objects' own datum is taken as it is; Options.GroundMetres and
// Options.EllipsoidOffsetMetres say where the ground and the ellipsoid lie.
// What a source does not say and the drawing needs is assumed, and the property
// "assumed" of the object names it.
//
// Contents depend on nothing but the versions of their objects and the options:
// their ETags stay the same through restarts and through imports elsewhere, and
// only tiles whose objects changed are built again. They are built when they
// are first asked for, and kept in memory up to Options.CacheBytes, apart for
// each city.View.Key.
//
// Textures are not drawn: the readers of package citymodel do not give them.
//
// A Tilesets is safe for concurrent use. It starts no goroutine that outlives a
// call.
package tiles3d
