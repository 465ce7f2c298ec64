package shapefile

import (
	"encoding/binary"
	"math"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// noData is the largest number that stands for none (p. 2 of the description).
const noData = -1e38

func float(b []byte, at int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(b[at:]))
}

// shape reads the content of a record.
func (r *Reader) shape(s *flat.Shapes, b []byte) error {
	typ := binary.LittleEndian.Uint32(b)
	if typ == null {
		return nil
	}
	if typ != r.typ {
		return flat.Faultf(citymodel.WrongType, "a shape of type %d in a file of type %d", typ, r.typ)
	}
	hasZ := typ == multiPatch || typ/10 == 1
	switch base(typ) {
	case point:
		if len(b) < 20 || hasZ && len(b) < 28 {
			return short(b, 28)
		}
		z := 0.0
		if hasZ {
			z = height(b, 20)
		}
		s.Begin(spatial.MultiPoint, hasZ)
		return s.Point(float(b, 4), float(b, 12), z)
	case multiPoint:
		if len(b) < 40 {
			return short(b, 40)
		}
		p, err := points(s, b, 40, int64(binary.LittleEndian.Uint32(b[36:])), hasZ)
		if err != nil {
			return err
		}
		if p.n > 0 {
			s.Begin(spatial.MultiPoint, hasZ)
		}
		return p.add(s, 0, p.n, false)
	}
	if len(b) < 44 {
		return short(b, 44)
	}
	parts, n := int64(binary.LittleEndian.Uint32(b[36:])), int64(binary.LittleEndian.Uint32(b[40:]))
	at := int64(44) + 4*parts
	starts := 44
	if typ == multiPatch {
		at += 4 * parts
	}
	if at > int64(len(b)) {
		return flat.Faultf(citymodel.Syntax, "%d parts in a record of %d bytes", parts, len(b))
	}
	p, err := points(s, b, int(at), n, hasZ)
	if err != nil {
		return err
	}
	l := list{p: p, s: s}
	for i := range int(parts) {
		from, to := int64(binary.LittleEndian.Uint32(b[starts+4*i:])), n
		if i+1 < int(parts) {
			to = int64(binary.LittleEndian.Uint32(b[starts+4*(i+1):]))
		}
		if from > to || to > n {
			return flat.Faultf(citymodel.BadReference, "part %d has the points %d to %d of %d", i, from, to, n)
		}
		l.parts = append(l.parts, [2]int{int(from), int(to)})
		if typ == multiPatch {
			l.types = append(l.types, binary.LittleEndian.Uint32(b[44+4*int(parts)+4*i:]))
		}
	}
	switch base(typ) {
	case polyLine:
		return l.lines(hasZ)
	case polygon:
		return r.polygon(&l, hasZ)
	}
	return l.patches()
}

func short(b []byte, want int) error {
	return flat.Faultf(citymodel.Syntax, "a shape of %d bytes, expected %d or more", len(b), want)
}

func height(b []byte, at int) float64 {
	z := float(b, at)
	if z < noData {
		return 0
	}
	return z
}

// array is the points of a shape as they lie in the record.
type array struct {
	b     []byte
	xy, z int // where they begin; z is zero where there are none
	n     int
}

func points(s *flat.Shapes, b []byte, at int, n int64, hasZ bool) (array, error) {
	p := array{b: b, xy: at}
	need := int64(at) + 16*n
	if hasZ {
		p.z = int(need) + 16
		need += 16 + 8*n
	}
	if need > int64(len(b)) {
		return p, flat.Faultf(citymodel.Syntax, "%d points in a record of %d bytes", n, len(b))
	}
	p.n = int(n)
	return p, s.Reserve(p.n)
}

func (p array) x(i int) float64 { return float(p.b, p.xy+16*i) }
func (p array) y(i int) float64 { return float(p.b, p.xy+16*i+8) }

func (p array) at(i int) (x, y, z float64) {
	if p.z > 0 {
		z = height(p.b, p.z+8*i)
	}
	return p.x(i), p.y(i), z
}

// add adds the points from … to, backwards if so asked.
func (p array) add(s *flat.Shapes, from, to int, backwards bool) error {
	for i := range to - from {
		j := from + i
		if backwards {
			j = to - 1 - i
		}
		if err := s.Point(p.at(j)); err != nil {
			return err
		}
	}
	return nil
}

// list is the parts of a shape.
type list struct {
	p     array
	s     *flat.Shapes
	parts [][2]int
	types []uint32 // of a MultiPatch
}

func (l *list) lines(hasZ bool) error {
	l.s.Begin(spatial.MultiLine, hasZ)
	for _, part := range l.parts {
		if err := l.p.add(l.s, part[0], part[1], false); err != nil {
			return err
		}
		l.s.EndLine()
	}
	return nil
}

// Types of the parts of a MultiPatch.
const (
	triangleStrip = 0
	triangleFan   = 1
	outerRing     = 2
	innerRing     = 3
	firstRing     = 4
	ring          = 5
)

// patches makes a MultiSurface of a MultiPatch. A ring that follows a first or
// an outer ring as an inner one is its hole; the rings that follow a first ring
// without being told apart are surfaces of their own.
func (l *list) patches() error {
	l.s.Begin(spatial.MultiSurface, true)
	open := false
	end := func() {
		if open {
			l.s.EndSurface()
		}
		open = false
	}
	for i, part := range l.parts {
		from, to := part[0], part[1]
		switch typ := l.types[i]; typ {
		case triangleStrip, triangleFan:
			end()
			for j := from; j+2 < to; j++ {
				a, b := j, j+1
				if typ == triangleFan {
					a = from
				} else if (j-from)%2 == 1 {
					a, b = b, a // every second triangle of a strip runs the other way
				}
				for _, k := range [...]int{a, b, j + 2, a} {
					if err := l.s.Point(l.p.at(k)); err != nil {
						return err
					}
				}
				l.s.EndRing()
				l.s.EndSurface()
			}
		case outerRing, firstRing, ring, innerRing:
			if typ != innerRing {
				end()
			}
			if err := l.p.add(l.s, from, to, false); err != nil {
				return err
			}
			l.s.EndRing()
			open = true
		default:
			return flat.Faultf(citymodel.UnknownType, "part %d of the MultiPatch is of type %d; expected 0 to 5", i, typ)
		}
	}
	end()
	return nil
}
