package tiles

import (
	"math"

	"github.com/paulmach/orb"
)

// tolerance is how far, in tile coordinates, simplification may move a line: a
// thirty-second of a screen pixel.
const tolerance = 0.5

// xy is a point in tile coordinates, y down.
type xy struct{ x, y float64 }

// shaper turns footprints into the integer geometry of one tile. It keeps its
// buffers from one feature to the next and belongs to one goroutine.
type shaper struct {
	p          projection
	a, b       []xy
	keep       []bool
	stack      [][2]int
	ring       []int32
	cmd        []uint32
	curX, curY int32
}

// The geometry types of MVT 2.1, section 4.3.4.
const (
	mvtPoint   = 1
	mvtLine    = 2
	mvtPolygon = 3
)

// encode appends nothing for a geometry of which nothing is left in the tile.
// The commands are those of MVT 2.1, section 4.3; they are valid until the next
// call.
func (s *shaper) encode(g orb.Geometry) (kind uint32, commands []uint32) {
	s.cmd, s.curX, s.curY = s.cmd[:0], 0, 0
	switch g := g.(type) {
	case orb.Point:
		s.points(orb.MultiPoint{g})
		kind = mvtPoint
	case orb.MultiPoint:
		s.points(g)
		kind = mvtPoint
	case orb.LineString:
		s.line(g)
		kind = mvtLine
	case orb.MultiLineString:
		for _, l := range g {
			s.line(l)
		}
		kind = mvtLine
	case orb.Polygon:
		s.polygon(g)
		kind = mvtPolygon
	case orb.MultiPolygon:
		for _, p := range g {
			s.polygon(p)
		}
		kind = mvtPolygon
	}
	return kind, s.cmd
}

// Commands (MVT 2.1, section 4.3.1).
func command(id, count int) uint32 { return uint32(id) | uint32(count)<<3 }

const (
	moveTo    = 1
	lineTo    = 2
	closePath = 7
)

func zigzag(v int32) uint32 { return uint32(v<<1) ^ uint32(v>>31) }

func (s *shaper) delta(x, y int32) {
	s.cmd = append(s.cmd, zigzag(x-s.curX), zigzag(y-s.curY))
	s.curX, s.curY = x, y
}

func (s *shaper) points(g orb.MultiPoint) {
	at := len(s.cmd)
	s.cmd = append(s.cmd, 0)
	n := 0
	for _, p := range g {
		x, y := s.p.point(p[0], p[1])
		// The half-open tile and its buffer; NaN is in neither.
		if !(x >= -buffer && x < extent+buffer && y >= -buffer && y < extent+buffer) {
			continue
		}
		s.delta(round(x), round(y))
		n++
	}
	if n == 0 {
		s.cmd = s.cmd[:at]
		return
	}
	s.cmd[at] = command(moveTo, n)
}

func round(v float64) int32 { return int32(math.Floor(v + 0.5)) }

// project fills s.a.
func (s *shaper) project(l []orb.Point) bool {
	s.a = s.a[:0]
	for _, p := range l {
		x, y := s.p.point(p[0], p[1])
		if math.IsNaN(x) || math.IsNaN(y) {
			return false
		}
		s.a = append(s.a, xy{x, y})
	}
	return true
}

const (
	low  = -buffer
	high = extent + buffer
)

func inside(p xy) bool { return p.x >= low && p.x <= high && p.y >= low && p.y <= high }

// line clips a line into the parts that lie in the tile, and writes them.
func (s *shaper) line(l orb.LineString) {
	if len(l) < 2 || !s.project(l) {
		return
	}
	s.b = s.b[:0]
	for i := 1; i < len(s.a); i++ {
		from, to, meets := clipSegment(s.a[i-1], s.a[i])
		if !meets {
			s.flushLine()
			continue
		}
		if len(s.b) == 0 || s.b[len(s.b)-1] != from {
			s.flushLine()
			s.b = append(s.b, from)
		}
		s.b = append(s.b, to)
	}
	s.flushLine()
}

// flushLine writes the part in s.b.
func (s *shaper) flushLine() {
	if len(s.b) >= 2 {
		s.simplify(s.b)
		r := s.quantise(s.b)
		if len(r) >= 4 {
			s.cmd = append(s.cmd, command(moveTo, 1))
			s.delta(r[0], r[1])
			s.cmd = append(s.cmd, command(lineTo, len(r)/2-1))
			for i := 2; i < len(r); i += 2 {
				s.delta(r[i], r[i+1])
			}
		}
	}
	s.b = s.b[:0]
}

// clipSegment is what of a segment lies in the tile (Liang and Barsky).
func clipSegment(a, b xy) (from, to xy, meets bool) {
	t0, t1 := 0.0, 1.0
	dx, dy := b.x-a.x, b.y-a.y
	for _, e := range [4][2]float64{{-dx, a.x - low}, {dx, high - a.x}, {-dy, a.y - low}, {dy, high - a.y}} {
		switch {
		case e[0] == 0:
			if e[1] < 0 {
				return a, b, false
			}
		case e[0] < 0:
			t0 = max(t0, e[1]/e[0])
		default:
			t1 = min(t1, e[1]/e[0])
		}
	}
	if t0 > t1 {
		return a, b, false
	}
	from, to = a, b
	if t0 > 0 {
		from = xy{a.x + t0*dx, a.y + t0*dy}
	}
	if t1 < 1 {
		to = xy{a.x + t1*dx, a.y + t1*dy}
	}
	return from, to, true
}

// polygon writes the exterior ring and then the holes; without an exterior that
// can be seen there are no holes.
func (s *shaper) polygon(p orb.Polygon) {
	for i, ring := range p {
		if !s.writeRing(ring, i > 0) && i == 0 {
			return
		}
	}
}

// writeRing writes a ring with the winding that its role asks for: an exterior
// ring has a positive area by the surveyor's formula in tile coordinates, whose
// y points down, a hole a negative one (MVT 2.1, section 4.3.3.3).
func (s *shaper) writeRing(ring orb.Ring, hole bool) bool {
	if n := len(ring); n > 1 && ring[0] == ring[n-1] {
		ring = ring[:n-1]
	}
	if len(ring) < 3 || !s.project(ring) {
		return false
	}
	s.clipRing()
	if len(s.a) < 3 {
		return false
	}
	s.a = append(s.a, s.a[0])
	s.simplify(s.a)
	r := s.quantise(s.a)
	if n := len(r); n >= 4 && r[0] == r[n-2] && r[1] == r[n-1] {
		r = r[:n-2]
	}
	if len(r) < 6 {
		return false
	}
	area := area2(r)
	if area == 0 {
		return false
	}
	s.cmd = append(s.cmd, command(moveTo, 1))
	s.delta(r[0], r[1])
	s.cmd = append(s.cmd, command(lineTo, len(r)/2-1))
	if (area > 0) != hole {
		for i := 2; i < len(r); i += 2 {
			s.delta(r[i], r[i+1])
		}
	} else {
		for i := len(r) - 2; i >= 2; i -= 2 {
			s.delta(r[i], r[i+1])
		}
	}
	s.cmd = append(s.cmd, command(closePath, 1))
	return true
}

// area2 is twice the signed area of an open ring.
func area2(r []int32) int64 {
	var a int64
	px, py := int64(r[len(r)-2]), int64(r[len(r)-1])
	for i := 0; i < len(r); i += 2 {
		x, y := int64(r[i]), int64(r[i+1])
		a += px*y - x*py
		px, py = x, y
	}
	return a
}

// clipRing clips the open ring in s.a to the tile with its buffer.
func (s *shaper) clipRing() {
	whole := true
	for _, p := range s.a {
		if !inside(p) {
			whole = false
			break
		}
	}
	if whole {
		return
	}
	for edge := range 4 {
		s.b = s.b[:0]
		if len(s.a) == 0 {
			return
		}
		prev := s.a[len(s.a)-1]
		dPrev := distance(prev, edge)
		for _, p := range s.a {
			d := distance(p, edge)
			if (d >= 0) != (dPrev >= 0) {
				s.b = append(s.b, crossing(prev, p, dPrev, d, edge))
			}
			if d >= 0 {
				s.b = append(s.b, p)
			}
			prev, dPrev = p, d
		}
		s.a, s.b = s.b, s.a
	}
	s.b = s.b[:0]
}

// distance is how far p lies inside an edge of the buffer; negative: outside.
func distance(p xy, edge int) float64 {
	switch edge {
	case 0:
		return p.x - low
	case 1:
		return high - p.x
	case 2:
		return p.y - low
	}
	return high - p.y
}

// crossing is where a line crosses an edge, exactly on it.
func crossing(a, b xy, da, db float64, edge int) xy {
	t := da / (da - db)
	switch edge {
	case 0:
		return xy{low, a.y + t*(b.y-a.y)}
	case 1:
		return xy{high, a.y + t*(b.y-a.y)}
	case 2:
		return xy{a.x + t*(b.x-a.x), low}
	}
	return xy{a.x + t*(b.x-a.x), high}
}

// simplify marks in s.keep the points of l that a line within the tolerance
// needs (Douglas and Peucker), the first and the last among them.
func (s *shaper) simplify(l []xy) {
	s.keep = append(s.keep[:0], make([]bool, len(l))...)
	s.keep[0], s.keep[len(l)-1] = true, true
	s.stack = append(s.stack[:0], [2]int{0, len(l) - 1})
	// Each round keeps a point or ends a part, so that the work is bounded by
	// len(l) rounds; a comb of spikes makes each of them len(l) long, and so a
	// part longer than this is cut in the middle first.
	const longest = 1024
	for len(s.stack) > 0 {
		part := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		from, to := part[0], part[1]
		if to-from < 2 {
			continue
		}
		at := -1
		if to-from > longest {
			at = (from + to) / 2
		} else {
			far := tolerance * tolerance
			for i := from + 1; i < to; i++ {
				if d := segmentDistance2(l[i], l[from], l[to]); d > far {
					far, at = d, i
				}
			}
		}
		if at >= 0 {
			s.keep[at] = true
			s.stack = append(s.stack, [2]int{from, at}, [2]int{at, to})
		}
	}
}

func segmentDistance2(p, a, b xy) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	px, py := p.x-a.x, p.y-a.y
	if n := dx*dx + dy*dy; n > 0 {
		t := max(0, min(1, (px*dx+py*dy)/n))
		px, py = px-t*dx, py-t*dy
	}
	return px*px + py*py
}

// quantise rounds the points of l that simplify kept and leaves out those that
// fall on the one before.
func (s *shaper) quantise(l []xy) []int32 {
	r := s.ring[:0]
	for i, p := range l {
		if !s.keep[i] {
			continue
		}
		x, y := round(p.x), round(p.y)
		if n := len(r); n >= 2 && r[n-2] == x && r[n-1] == y {
			continue
		}
		r = append(r, x, y)
	}
	s.ring = r
	return r
}
