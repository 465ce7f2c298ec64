package postgis

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/twpayne/go-geom"
	"github.com/twpayne/go-geom/encoding/ewkb"

	"cityhub/spatial"
)

const srsWGS84 = 4326

// appendEWKB writes a footprint as EWKB, little-endian, with its SRID. X is the
// longitude. A single member is written without its collection.
func appendEWKB(b []byte, f *spatial.Geometry) ([]byte, error) {
	w := bytes.NewBuffer(b)
	err := ewkb.Write(w, binary.LittleEndian, geomOf(f))
	return w.Bytes(), err
}

func geomOf(f *spatial.Geometry) geom.T {
	switch f.Kind {
	case spatial.MultiPoint:
		xy := make([]float64, 0, 2*f.NumPoints())
		for p := 0; p < len(f.XYZ); p += 3 {
			xy = append(xy, f.XYZ[p], f.XYZ[p+1])
		}
		if len(xy) == 2 {
			return geom.NewPointFlat(geom.XY, xy).SetSRID(srsWGS84)
		}
		return geom.NewMultiPointFlat(geom.XY, xy).SetSRID(srsWGS84)
	case spatial.MultiLine:
		var xy []float64
		var ends []int
		for i := range f.Rings {
			xy = appendXY(xy, f.Ring(i), false)
			ends = append(ends, len(xy))
		}
		if len(ends) == 1 {
			return geom.NewLineStringFlat(geom.XY, xy).SetSRID(srsWGS84)
		}
		return geom.NewMultiLineStringFlat(geom.XY, xy, ends).SetSRID(srsWGS84)
	}
	xy := make([]float64, 0, 2*(f.NumPoints()+len(f.Rings)))
	var endss [][]int
	for i := range f.Surfaces {
		from, to := f.SurfaceRings(i)
		ends := make([]int, 0, to-from)
		for r := from; r < to; r++ {
			xy = appendXY(xy, f.Ring(r), true)
			ends = append(ends, len(xy))
		}
		endss = append(endss, ends)
	}
	if len(endss) == 1 {
		return geom.NewPolygonFlat(geom.XY, xy, endss[0]).SetSRID(srsWGS84)
	}
	return geom.NewMultiPolygonFlat(geom.XY, xy, endss).SetSRID(srsWGS84)
}

func appendXY(xy, xyz []float64, closed bool) []float64 {
	for p := 0; p+2 < len(xyz); p += 3 {
		xy = append(xy, xyz[p], xyz[p+1])
	}
	if closed && len(xyz) >= 3 {
		xy = append(xy, xyz[0], xyz[1])
	}
	return xy
}

// decodeEWKB reads a footprint, also one that another program wrote. An empty one
// is nil; geometry collections and curves are an error.
func decodeEWKB(b []byte) (*spatial.Geometry, error) {
	t, err := ewkb.Unmarshal(b)
	if err != nil {
		return nil, err
	}
	f := &spatial.Geometry{}
	stride, flat := t.Stride(), []float64(nil)
	add := func(from, to int, closed bool) {
		start := len(f.XYZ)
		for p := from; p < to; p += stride {
			f.XYZ = append(f.XYZ, flat[p], flat[p+1], 0)
		}
		if n := len(f.XYZ); closed && n-start > 3 && f.XYZ[n-3] == f.XYZ[start] && f.XYZ[n-2] == f.XYZ[start+1] {
			f.XYZ = f.XYZ[:n-3]
		}
	}
	ring := func(from, to int, closed bool) {
		add(from, to, closed)
		f.Rings = append(f.Rings, int32(f.NumPoints()))
	}
	if t.Empty() {
		return nil, nil
	}
	flat = t.FlatCoords()
	f.XYZ = make([]float64, 0, 3*len(flat)/stride)
	rings := func(from int, ends []int) int {
		for _, end := range ends {
			ring(from, end, true)
			from = end
		}
		f.Surfaces = append(f.Surfaces, int32(len(f.Rings)))
		return from
	}
	switch g := t.(type) {
	case *geom.Point, *geom.MultiPoint:
		f.Kind = spatial.MultiPoint
		add(0, len(flat), false)
	case *geom.LineString:
		f.Kind = spatial.MultiLine
		ring(0, len(flat), false)
	case *geom.MultiLineString:
		f.Kind = spatial.MultiLine
		from := 0
		for _, end := range g.Ends() {
			ring(from, end, false)
			from = end
		}
	case *geom.Polygon:
		f.Kind = spatial.MultiSurface
		rings(0, g.Ends())
	case *geom.MultiPolygon:
		f.Kind = spatial.MultiSurface
		from := 0
		for _, ends := range g.Endss() {
			from = rings(from, ends)
		}
	default:
		return nil, fmt.Errorf("a %T is none of point, line, polygon and collections of one of them", t)
	}
	return f, f.Valid()
}
