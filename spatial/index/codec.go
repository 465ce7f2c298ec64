package index

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/paulmach/orb"

	"cityhub/spatial"
)

// perDegree is the resolution of footprints: 1e-7 degrees, 11 mm or less.
const perDegree = 1e7

// quantum is degrees in units of 1e-7. Rounding keeps the order of coordinates,
// so that what meets exactly also meets rounded. Beyond ±214 degrees it is cut.
func quantum(degrees float64) int32 {
	return int32(min(max(math.Round(degrees*perDegree), math.MinInt32+1), math.MaxInt32-1))
}

func degrees(q int32) float64 { return float64(q) / perDegree }

// rect is a bound in units of 1e-7 degrees. That of no footprint has minX > maxX.
type rect struct{ minX, minY, maxX, maxY int32 }

func noRect() rect {
	return rect{math.MaxInt32, math.MaxInt32, math.MinInt32, math.MinInt32}
}

func (r rect) empty() bool { return r.minX > r.maxX }

func (r rect) union(o rect) rect {
	return rect{min(r.minX, o.minX), min(r.minY, o.minY), max(r.maxX, o.maxX), max(r.maxY, o.maxY)}
}

func (r rect) bound() orb.Bound {
	if r.empty() {
		return orb.Bound{Min: orb.Point{math.Inf(1), math.Inf(1)}, Max: orb.Point{math.Inf(-1), math.Inf(-1)}}
	}
	return orb.Bound{Min: orb.Point{degrees(r.minX), degrees(r.minY)}, Max: orb.Point{degrees(r.maxX), degrees(r.maxY)}}
}

// size is the longer side.
func (r rect) size() int64 { return max(int64(r.maxX)-int64(r.minX), int64(r.maxY)-int64(r.minY)) }

// rectOf is the bound of g, rounded.
func rectOf(g *spatial.Geometry) rect {
	r := noRect()
	for p := 0; p+2 < len(g.XYZ); p += 3 {
		x, y := quantum(g.XYZ[p]), quantum(g.XYZ[p+1])
		r = r.union(rect{x, y, x, y})
	}
	return r
}

// appendFootprint encodes footprint g, which is valid and whose bound is r:
//
//	MultiPoint    number of points, points
//	MultiLine     number of lines; of each the number of points, points
//	MultiSurface  number of polygons; of each the number of rings; of each
//	              ring the number of points, points; the first is not repeated
//
// Numbers are uvarints, points the differences of longitude and latitude to the
// point before as zigzag varints, to the bound's least corner for the first.
func appendFootprint(b []byte, g *spatial.Geometry, r rect) []byte {
	x, y := int64(r.minX), int64(r.minY)
	points := func(xyz []float64) {
		b = binary.AppendUvarint(b, uint64(len(xyz)/3))
		for p := 0; p+2 < len(xyz); p += 3 {
			nx, ny := int64(quantum(xyz[p])), int64(quantum(xyz[p+1]))
			b = binary.AppendVarint(b, nx-x)
			b = binary.AppendVarint(b, ny-y)
			x, y = nx, ny
		}
	}
	switch {
	case g.Kind == spatial.MultiPoint:
		points(g.XYZ)
	case g.Kind == spatial.MultiLine:
		b = binary.AppendUvarint(b, uint64(len(g.Rings)))
		for i := range g.Rings {
			points(g.Ring(i))
		}
	default:
		b = binary.AppendUvarint(b, uint64(len(g.Surfaces)))
		for i := range g.Surfaces {
			from, to := g.SurfaceRings(i)
			b = binary.AppendUvarint(b, uint64(to-from))
			for i := from; i < to; i++ {
				points(g.Ring(i))
			}
		}
	}
	return b
}

var errFootprint = errors.New("the footprint ends too early")

// reader reads the encoding of footprints. After its end it gives zeros and short
// is set. Records are strings, so that parts of them can be given away.
type reader struct {
	s     string
	at    int
	x, y  int64
	short bool
}

func (d *reader) uvarint() uint64 {
	// Most differences within a building take two bytes.
	v, shift := uint64(0), uint(0)
	for d.at < len(d.s) && shift < 64 {
		c := d.s[d.at]
		d.at++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
		shift += 7
	}
	d.short, d.at = true, len(d.s)
	return 0
}

// count reads how many members of at least size bytes follow.
func (d *reader) count(size int) int {
	n := d.uvarint()
	if n > uint64((len(d.s)-d.at)/size) {
		d.short, d.at = true, len(d.s)
		return 0
	}
	return int(n)
}

// text reads a text with its length before it.
func (d *reader) text() string {
	n := d.count(1)
	t := d.s[d.at : d.at+n]
	d.at += n
	return t
}

func (d *reader) point() (x, y int32) {
	dx, dy := d.uvarint(), d.uvarint()
	d.x += int64(dx>>1) ^ -int64(dx&1)
	d.y += int64(dy>>1) ^ -int64(dy&1)
	return int32(d.x), int32(d.y)
}

// shape reads a footprint of a kind whose bound has the least corner x, y.
func (d *reader) shape(kind spatial.Kind, x, y int32, dst *Shape) error {
	dst.Reset()
	dst.Kind = kind
	d.x, d.y = int64(x), int64(y)
	points := func(closed bool) {
		n := d.count(2)
		from := len(dst.Points)
		for range n {
			x, y := d.point()
			dst.Points = append(dst.Points, orb.Point{degrees(x), degrees(y)})
		}
		if closed && n > 0 {
			dst.Points = append(dst.Points, dst.Points[from])
		}
	}
	switch kind {
	case spatial.MultiPoint:
		points(false)
	case spatial.MultiLine:
		for range d.count(1) {
			points(false)
			dst.Rings = append(dst.Rings, int32(len(dst.Points)))
		}
	case spatial.MultiSurface:
		for range d.count(1) {
			for range d.count(1) {
				points(true)
				dst.Rings = append(dst.Rings, int32(len(dst.Points)))
			}
			dst.Surfaces = append(dst.Surfaces, int32(len(dst.Rings)))
		}
	}
	if d.short {
		dst.Reset()
		return errFootprint
	}
	return nil
}

// contains reports whether a point lies in a MultiSurface whose bound has the
// least corner x, y: in one of its polygons or on its rings. It is exact on the
// rounded coordinates where no side is longer than 100 degrees.
func (d *reader) contains(x, y, px, py int32) bool {
	d.x, d.y = int64(x), int64(y)
	for range d.count(1) {
		inside := false
		for range d.count(1) {
			n := d.count(2)
			if n == 0 {
				continue
			}
			fx, fy := d.point()
			ax, ay := fx, fy
			for i := range n {
				bx, by := fx, fy // closes the ring
				if i+1 < n {
					bx, by = d.point()
				}
				switch crossing(ax, ay, bx, by, px, py) {
				case onEdge:
					return true
				case crosses:
					inside = !inside
				}
				ax, ay = bx, by
			}
		}
		if inside {
			return true
		}
	}
	return false
}

const (
	passes = iota
	crosses
	onEdge
)

// crossing says whether the ray from p to the east crosses the side from a to b,
// which has its lower end but not its upper.
func crossing(ax, ay, bx, by, px, py int32) int {
	if ay > by {
		ax, ay, bx, by = bx, by, ax, ay
	}
	if py < ay || py > by {
		return passes
	}
	if ay == by {
		if px >= min(ax, bx) && px <= max(ax, bx) {
			return onEdge
		}
		return passes
	}
	// Above zero: p is to the west of the side. Differences have 33 bits; where
	// both have 31 the products fit.
	ux, uy := int64(bx)-int64(ax), int64(by)-int64(ay)
	vx, vy := int64(px)-int64(ax), int64(py)-int64(ay)
	const fits = 1 << 30
	var side float64
	if max(ux, -ux, vx, -vx, uy, vy) < fits {
		side = float64(ux*vy - uy*vx)
	} else {
		side = float64(ux)*float64(vy) - float64(uy)*float64(vx)
	}
	switch {
	case side == 0:
		return onEdge
	case side > 0 && py < by:
		return crosses
	}
	return passes
}
