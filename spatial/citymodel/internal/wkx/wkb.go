package wkx

import (
	"encoding/binary"
	"math"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// Binary reads a geometry in well-known binary, of ISO or PostGIS, into s, and
// the SRID where it is EWKB, else 0.
func Binary(s *flat.Shapes, b []byte) (srid int, err error) {
	d := &reader{s: s, b: b}
	d.geometry(0, 0)
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes behind the geometry", len(d.b))
	}
	return d.srid, d.err
}

// GeoPackage reads the geometry of a GeoPackage (OGC 12-128r18 section 2.1.3)
// and the srs_id in its header.
func GeoPackage(s *flat.Shapes, b []byte) (srsID int, err error) {
	if len(b) < 8 || b[0] != 'G' || b[1] != 'P' {
		return 0, flat.Faultf(citymodel.Syntax, "a geometry of a GeoPackage begins with GP and has 8 bytes or more; these are %d", len(b))
	}
	if b[2] != 0 {
		return 0, flat.Faultf(citymodel.UnknownType, "geometry of version %d, expected 0", b[2])
	}
	flags := b[3]
	if flags>>5&1 != 0 {
		return 0, flat.Faultf(citymodel.UnknownType, "a geometry of an extension (ExtendedGeoPackageBinary)")
	}
	var order binary.ByteOrder = binary.BigEndian
	if flags&1 != 0 {
		order = binary.LittleEndian
	}
	sizes := [...]int{0, 32, 48, 48, 64}
	kind := int(flags >> 1 & 7)
	if kind >= len(sizes) || len(b) < 8+sizes[kind] {
		return 0, flat.Faultf(citymodel.Syntax, "an envelope of type %d in %d bytes", kind, len(b))
	}
	srsID = int(int32(order.Uint32(b[4:])))
	_, err = Binary(s, b[8+sizes[kind]:])
	return srsID, err
}

// reader reads well-known binary. After the first fault it reads nothing more.
type reader struct {
	s    *flat.Shapes
	b    []byte
	srid int
	err  error

	order binary.ByteOrder
	z, m  bool
}

func (d *reader) fail(format string, args ...any) {
	d.stop(flat.Faultf(citymodel.Syntax, "well-known binary: "+format, args...))
}

func (d *reader) stop(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *reader) uint32() uint32 {
	if len(d.b) < 4 {
		d.fail("ends too early")
		return 0
	}
	v := d.order.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

// count reads how many members of at least size bytes follow.
func (d *reader) count(size int) int {
	n := d.uint32()
	if int64(n)*int64(size) > int64(len(d.b)) {
		d.fail("%d members in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *reader) size() int { return 8 * (2 + btoi(d.z) + btoi(d.m)) }

// geometry reads one geometry; within is the type of its collection, or 0.
func (d *reader) geometry(within uint32, depth int) {
	if depth > maxDepth {
		d.stop(flat.Faultf(citymodel.TooLarge, "more than %d collections inside each other", maxDepth))
		return
	}
	if len(d.b) < 5 || d.b[0] > 1 {
		d.fail("expected a byte order of 0 or 1 and a type")
		return
	}
	d.order = binary.BigEndian
	if d.b[0] == 1 {
		d.order = binary.LittleEndian
	}
	d.b = d.b[1:]
	code := d.uint32()
	// PostGIS has flags, ISO thousands; OGC 99-049's 2.5D is the flag of PostGIS.
	d.z, d.m = code&0x80000000 != 0, code&0x40000000 != 0
	hasSRID := code&0x20000000 != 0
	code &= 0x1fffffff
	switch code / 1000 {
	case 0:
	case 1:
		d.z = true
	case 2:
		d.m = true
	case 3:
		d.z, d.m = true, true
	default:
		d.fail("type %d", code)
		return
	}
	if hasSRID {
		if srid := int(d.uint32()); within == 0 {
			d.srid = srid
		}
	}
	typ := code % 1000
	member := map[uint32]uint32{4: 1, 5: 2, 6: 3, 15: 3, 16: 17}
	if want, ok := member[within]; ok && typ != want && !(within == 16 && typ == 3) {
		d.fail("a member of type %d in a geometry of type %d", typ, within)
		return
	}
	switch typ {
	case 1:
		d.points(spatial.MultiPoint, 1)
	case 2:
		if d.points(spatial.MultiLine, d.count(d.size())) {
			d.s.EndLine()
		}
	case 3, 17:
		any := false
		for range d.count(4) {
			if d.points(spatial.MultiSurface, d.count(d.size())) {
				any = true
				d.s.EndRing()
			}
			if d.err != nil {
				return
			}
		}
		if any {
			d.s.EndSurface()
		}
	case 4, 5, 6, 7, 15, 16:
		for range d.count(5) {
			if d.geometry(typ, depth+1); d.err != nil {
				return
			}
		}
	default:
		d.stop(flat.Faultf(citymodel.UnknownType, "geometry type %d of well-known binary cannot be read (points, lines, polygons, collections of them, polyhedral surfaces, triangles)", typ))
	}
}

// points reads n points and reports whether there were some.
func (d *reader) points(kind spatial.Kind, n int) bool {
	size := d.size()
	if d.err != nil || len(d.b)/size < n {
		d.fail("ends too early")
		return false
	}
	if err := d.s.Reserve(n); err != nil {
		d.stop(err)
		return false
	}
	begun := false
	for range n {
		x, y, z := math.Float64frombits(d.order.Uint64(d.b)), math.Float64frombits(d.order.Uint64(d.b[8:])), 0.0
		if d.z {
			z = math.Float64frombits(d.order.Uint64(d.b[16:]))
		}
		d.b = d.b[size:]
		if kind == spatial.MultiPoint && math.IsNaN(x) && math.IsNaN(y) {
			return false // an empty point, OGC 12-128r18 section 2.1.3
		}
		if !begun {
			d.s.Begin(kind, d.z)
			begun = true
		}
		if err := d.s.Point(x, y, z); err != nil {
			d.stop(err)
			return false
		}
	}
	return begun
}
