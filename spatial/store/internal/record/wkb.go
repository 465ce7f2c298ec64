package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"cityhub/spatial"
)

// Geometry types of ISO 13249-3 well-known binary, without Z, and the flags of
// PostGIS's extended form.
const (
	wkbPoint = 1 + iota
	wkbLineString
	wkbPolygon
	wkbMultiPoint
	wkbMultiLineString
	wkbMultiPolygon

	ewkbZ    = 0x80000000
	ewkbM    = 0x40000000
	ewkbSRID = 0x20000000
)

// DecodeWKB reads a footprint from well-known binary, that of ISO or of PostGIS,
// in either byte order and with Z or M, which are left out. An empty geometry is
// nil. Geometry collections and curves are an error. It takes no more memory than
// some 3 bytes for each byte of b.
func DecodeWKB(b []byte) (*spatial.Geometry, error) {
	d := wkbReader{b: b}
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

func byteOrder(little byte) binary.ByteOrder {
	if little == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
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
	d.dims = 2
	for _, flag := range [...]uint32{ewkbZ, ewkbM} {
		if code&flag != 0 {
			d.dims++
		}
	}
	if code&ewkbSRID != 0 {
		d.uint32()
	}
	extended := code&(ewkbZ|ewkbM|ewkbSRID) != 0
	code &^= ewkbZ | ewkbM | ewkbSRID
	if extended && code >= 1000 {
		d.fail("type %d with the flags of EWKB", code)
		return
	}
	typ := code % 1000
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
