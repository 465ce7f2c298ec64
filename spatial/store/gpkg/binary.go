package gpkg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// Geometry types of ISO 13249-3 well-known binary, without Z.
const (
	wkbPoint = 1 + iota
	wkbLineString
	wkbPolygon
	wkbMultiPoint
	wkbMultiLineString
	wkbMultiPolygon
)

const (
	srsWGS84   = 4326
	headerSize = 8 + 32 // OGC 12-128r17 section 2.1.3: header with an envelope of type 1
	flagsXY    = 0b0000_0011
)

// appendGeometry writes footprint g as a GeoPackage geometry blob (OGC 12-128r17
// section 2.1.3): little-endian, envelope minx, maxx, miny, maxy. X is the
// longitude. A single member is written without its collection. g has points.
func appendGeometry(b []byte, g *spatial.Geometry) []byte {
	box := g.Bounds()
	b = append(b, 'G', 'P', 0, flagsXY)
	b = binary.LittleEndian.AppendUint32(b, srsWGS84)
	for _, v := range [4]float64{box.Min[0], box.Max[0], box.Min[1], box.Max[1]} {
		b = appendFloat(b, v)
	}
	switch {
	case g.Kind == spatial.MultiPoint:
		n := g.NumPoints()
		if n > 1 {
			b = appendCount(appendType(b, wkbMultiPoint), n)
		}
		for p := range n {
			b = appendFloat(appendFloat(appendType(b, wkbPoint), g.XYZ[3*p]), g.XYZ[3*p+1])
		}
	case g.Kind == spatial.MultiLine:
		if len(g.Rings) > 1 {
			b = appendCount(appendType(b, wkbMultiLineString), len(g.Rings))
		}
		for i := range g.Rings {
			b = appendPoints(appendType(b, wkbLineString), g.Ring(i), false)
		}
	default:
		if len(g.Surfaces) > 1 {
			b = appendCount(appendType(b, wkbMultiPolygon), len(g.Surfaces))
		}
		for i := range g.Surfaces {
			from, to := g.SurfaceRings(i)
			b = appendCount(appendType(b, wkbPolygon), to-from)
			for r := from; r < to; r++ {
				b = appendPoints(b, g.Ring(r), true)
			}
		}
	}
	return b
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendType(b []byte, typ uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(b, 1), typ)
}

func appendCount(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }

func appendPoints(b []byte, xyz []float64, closed bool) []byte {
	n := len(xyz) / 3
	if closed {
		n++
	}
	b = appendCount(b, n)
	for p := 0; p+2 < len(xyz); p += 3 {
		b = appendFloat(appendFloat(b, xyz[p]), xyz[p+1])
	}
	if closed && len(xyz) >= 3 {
		b = appendFloat(appendFloat(b, xyz[0]), xyz[1])
	}
	return b
}

// envelope reads the rectangle in the header of a geometry blob; of a blob that
// another program wrote without one it is computed.
func envelope(b []byte) (store.BBox, error) {
	if len(b) >= headerSize && b[0] == 'G' && b[1] == 'P' && b[3]&0b0001_1110 == 0b10 {
		order := byteOrder(b[3] & 1)
		f := func(i int) float64 { return math.Float64frombits(order.Uint64(b[8+8*i:])) }
		return store.BBox{West: f(0), East: f(1), South: f(2), North: f(3)}, nil
	}
	if b == nil {
		return store.BBox{Empty: true}, nil
	}
	g, err := decodeGeometry(b)
	if err != nil || g == nil {
		return store.BBox{Empty: true}, err
	}
	box := g.Bounds()
	return store.BBox{West: box.Min[0], South: box.Min[1], East: box.Max[0], North: box.Max[1]}, nil
}

func byteOrder(little byte) binary.ByteOrder {
	if little == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// decodeGeometry reads a geometry blob, also one that another program wrote:
// either byte order, any envelope, with Z or M, which are left out. An empty
// geometry is nil. Geometry collections and curves are an error.
func decodeGeometry(b []byte) (*spatial.Geometry, error) {
	if len(b) < 8 || b[0] != 'G' || b[1] != 'P' {
		return nil, errors.New("a geometry begins with GP and has 8 bytes or more")
	}
	if b[2] != 0 {
		return nil, fmt.Errorf("geometry version %d, expected 0", b[2])
	}
	sizes := [...]int{0, 32, 48, 48, 64}
	kind := int(b[3] >> 1 & 7)
	if kind >= len(sizes) || len(b) < 8+sizes[kind] {
		return nil, fmt.Errorf("envelope of type %d in %d bytes", kind, len(b))
	}
	d := wkbReader{b: b[8+sizes[kind]:]}
	g := &spatial.Geometry{}
	d.geometry(g, 0)
	if d.err != nil {
		return nil, d.err
	}
	if len(d.b) != 0 {
		return nil, fmt.Errorf("%d bytes behind the geometry", len(d.b))
	}
	if g.NumPoints() == 0 {
		return nil, nil
	}
	if err := g.Valid(); err != nil {
		return nil, err
	}
	return g, nil
}

// wkbReader reads well-known binary. After the first fault it reads nothing more.
type wkbReader struct {
	b     []byte
	order binary.ByteOrder
	dims  int
	err   error
}

func (d *wkbReader) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("well-known binary: "+format, args...)
	}
	d.b = nil
}

func (d *wkbReader) uint32() uint32 {
	if len(d.b) < 4 {
		d.fail("ends too early")
		return 0
	}
	v := d.order.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

// count reads how many members of at least size bytes follow.
func (d *wkbReader) count(size int) int {
	n := d.uint32()
	if int64(n)*int64(size) > int64(len(d.b)) {
		d.fail("%d members in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

// geometry adds one geometry to g; within is the type of its collection, or 0.
func (d *wkbReader) geometry(g *spatial.Geometry, within uint32) {
	if len(d.b) < 5 || d.b[0] > 1 {
		d.fail("expected a byte order of 0 or 1 and a type")
		return
	}
	d.order, d.b = byteOrder(d.b[0]), d.b[1:]
	code := d.uint32()
	typ := code % 1000
	d.dims = 2
	switch code / 1000 {
	case 0:
	case 1, 2:
		d.dims = 3
	case 3:
		d.dims = 4
	default:
		d.fail("type %d", code)
		return
	}
	if within != 0 && typ != within-3 {
		d.fail("a member of type %d in a geometry of type %d", typ, within)
		return
	}
	switch typ {
	case wkbPoint:
		g.Kind = spatial.MultiPoint
		d.points(g, 1)
	case wkbLineString:
		g.Kind = spatial.MultiLine
		d.points(g, d.count(8*d.dims))
		g.Rings = append(g.Rings, int32(g.NumPoints()))
	case wkbPolygon:
		g.Kind = spatial.MultiSurface
		for range d.count(4) {
			start := g.NumPoints()
			d.points(g, d.count(8*d.dims))
			if n := len(g.XYZ); g.NumPoints()-start > 1 && g.XYZ[n-3] == g.XYZ[3*start] && g.XYZ[n-2] == g.XYZ[3*start+1] {
				g.XYZ = g.XYZ[:n-3]
			}
			g.Rings = append(g.Rings, int32(g.NumPoints()))
		}
		g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
	case wkbMultiPoint, wkbMultiLineString, wkbMultiPolygon:
		for range d.count(5) {
			if d.geometry(g, typ); d.err != nil {
				return
			}
		}
	default:
		d.fail("type %d is none of point, line, polygon and collections of one of them", code)
	}
}

func (d *wkbReader) points(g *spatial.Geometry, n int) {
	if len(d.b) < 8*d.dims*n {
		d.fail("ends too early")
		return
	}
	g.XYZ = slices.Grow(g.XYZ, 3*n)
	for range n {
		x, y := math.Float64frombits(d.order.Uint64(d.b)), math.Float64frombits(d.order.Uint64(d.b[8:]))
		d.b = d.b[8*d.dims:]
		if n == 1 && math.IsNaN(x) && math.IsNaN(y) {
			return // OGC 12-128r17 section 2.1.3: an empty point
		}
		g.XYZ = append(g.XYZ, x, y, 0)
	}
}
