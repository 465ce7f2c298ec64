package tiles

import (
	"math"
	"strconv"

	"github.com/paulmach/orb"
)

// Tile coordinates (MVT 2.1, section 4.1).
const (
	extent = 4096
	buffer = 64
	// tilePixels is the size of a tile on the screen in the tile matrix sets.
	tilePixels = 256
	// unitsPerPixel is the size of a screen pixel in tile coordinates.
	unitsPerPixel = extent / tilePixels
)

// matrixSet is a tile matrix set (OGC 17-083r4): a quadtree of square tiles
// whose level 0, in columns and rows, is cols0 by 1 (1 by 1/2 for a set that
// begins at level 1).
type matrixSet struct {
	id, title, titleZh string
	uri                string // of the OGC registry; empty: not in it
	crs                string
	axes               []string
	firstLevel         int
	lastLevel          int // in the definition; Options.MaxZoom limits what is served
	geographic         bool
}

// halfMercator is half the circumference of the equator of WGS 84, the limit
// of Web Mercator in metres.
const halfMercator = math.Pi * 6378137

// matrixSets are the tile matrix sets, the one of the web first.
//
// CGCS2000Quad is not in OGC's registry. It is the set "c" of 天地图 and of the
// Chinese map services (CH/Z 9011-2011): EPSG:4490, latitude before longitude,
// origin 90, -180, levels from 1 with two tiles by one, 256 pixels wide. Its
// scale denominators are given here as 17-083r4 defines them, with pixels of
// 0.28 mm; those of the Chinese specification are for 96 pixels per inch and so
// larger by 5.8 %. Cells and tiles are the same.
func matrixSets() []matrixSet {
	return []matrixSet{
		{
			id: "WebMercatorQuad", title: "Google Maps Compatible for the World", titleZh: "全球 Web 墨卡托瓦片矩阵集",
			uri:  "http://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad",
			crs:  "http://www.opengis.net/def/crs/EPSG/0/3857",
			axes: []string{"X", "Y"}, lastLevel: 24,
		},
		{
			id: "CGCS2000Quad", title: "CGCS2000 geographic quad for the World, levels of Tianditu", titleZh: "2000 国家大地坐标系经纬度瓦片矩阵集（天地图级别）",
			crs:  "http://www.opengis.net/def/crs/EPSG/0/4490",
			axes: []string{"Lat", "Lon"}, firstLevel: 1, lastLevel: 24, geographic: true,
		},
	}
}

func matrixSetOf(id string) (matrixSet, bool) {
	for _, m := range matrixSets() {
		if m.id == id {
			return m, true
		}
	}
	return matrixSet{}, false
}

// size is the number of columns and rows of a level.
func (m matrixSet) size(z int) (cols, rows int) {
	if m.geographic {
		return 1 << z, 1 << (z - 1)
	}
	return 1 << z, 1 << z
}

// cellSize is the size of a pixel of level z in units of the CRS.
func (m matrixSet) cellSize(z int) float64 {
	width := 2 * halfMercator
	if m.geographic {
		width = 360
	}
	return width / tilePixels / float64(int64(1)<<z)
}

// scaleDenominator is as 17-083r4 section 6.1.1 defines it, for pixels of 0.28 mm.
func (m matrixSet) scaleDenominator(z int) float64 {
	metres := 1.0
	if m.geographic {
		metres = halfMercator / 180
	}
	return m.cellSize(z) * metres / 0.28e-3
}

// origin is the top left corner in the order of the CRS's axes.
func (m matrixSet) origin() [2]float64 {
	if m.geographic {
		return [2]float64{90, -180}
	}
	return [2]float64{-halfMercator, halfMercator}
}

// tile names a tile of a matrix set.
type tile struct {
	set         matrixSet
	z, row, col int
}

// projection turns longitude and latitude into the coordinates of one tile.
type projection struct {
	geographic             bool
	scale, offsetX, offset float64
}

func (t tile) projection() projection {
	side := float64(int64(1) << t.z) // tiles around the world
	return projection{geographic: t.set.geographic, scale: side * extent, offsetX: float64(t.col) * extent, offset: float64(t.row) * extent}
}

// mercatorLimit is the latitude at which Web Mercator ends.
const mercatorLimit = 85.051128779806604

// point is lon, lat in degrees as x to the right and y down.
func (p projection) point(lon, lat float64) (x, y float64) {
	x = (lon+180)/360*p.scale - p.offsetX
	if p.geographic {
		return x, (90-lat)/360*p.scale - p.offset
	}
	lat = max(-mercatorLimit, min(mercatorLimit, lat))
	s := math.Sin(lat * (math.Pi / 180))
	y = 0.5 - math.Log((1+s)/(1-s))/(4*math.Pi)
	return x, y*p.scale - p.offset
}

// inverse is the longitude and latitude of a point in tile coordinates.
func (p projection) inverse(x, y float64) (lon, lat float64) {
	lon = (x+p.offsetX)/p.scale*360 - 180
	y = (y + p.offset) / p.scale
	if p.geographic {
		return lon, 90 - y*360
	}
	return lon, math.Atan(math.Sinh(math.Pi*(1-2*y))) * (180 / math.Pi)
}

// bound is the tile with its buffer on the ground, longitude first.
func (t tile) bound(units float64) orb.Bound {
	p := t.projection()
	west, north := p.inverse(-units, -units)
	east, south := p.inverse(extent+units, extent+units)
	return orb.Bound{Min: orb.Point{max(west, -180), max(south, -90)}, Max: orb.Point{min(east, 180), min(north, 90)}}
}

// unitDegrees is the smaller of the two extents in degrees that one unit has
// anywhere in the tile: what is narrower in both directions is smaller than it.
func (t tile) unitDegrees() float64 {
	d := 360 / (float64(int64(1)<<t.z) * extent)
	if t.set.geographic {
		return d
	}
	b := t.bound(buffer)
	far := max(math.Abs(b.Min[1]), math.Abs(b.Max[1]))
	return d * math.Cos(far*math.Pi/180)
}

// limits are the tiles that meet b at level z.
func (m matrixSet) limits(z int, b orb.Bound) (minRow, maxRow, minCol, maxCol int) {
	p := tile{set: m, z: z}.projection()
	cols, rows := m.size(z)
	x0, y0 := p.point(b.Min[0], b.Max[1])
	x1, y1 := p.point(b.Max[0], b.Min[1])
	at := func(v float64, n int) int { return max(0, min(n-1, int(math.Floor(v/extent)))) }
	return at(y0, rows), at(y1, rows), at(x0, cols), at(x1, cols)
}

// definition is the set as JSON (17-083r4, section 7.2 and its schema
// tileMatrixSet.json).
func (m matrixSet) definition() map[string]any {
	var list []map[string]any
	for z := m.firstLevel; z <= m.lastLevel; z++ {
		cols, rows := m.size(z)
		list = append(list, map[string]any{
			"id": strconv.Itoa(z), "scaleDenominator": m.scaleDenominator(z), "cellSize": m.cellSize(z),
			"cornerOfOrigin": "topLeft", "pointOfOrigin": m.origin(),
			"tileWidth": tilePixels, "tileHeight": tilePixels, "matrixWidth": cols, "matrixHeight": rows,
		})
	}
	d := map[string]any{"id": m.id, "title": m.title, "crs": m.crs, "orderedAxes": m.axes, "tileMatrices": list}
	if m.uri != "" {
		d["uri"] = m.uri
		d["wellKnownScaleSet"] = "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"
	}
	return d
}
