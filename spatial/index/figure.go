package index

import (
	"math"
	"sync"

	"github.com/paulmach/orb"

	"cityhub/spatial"
)

// ContactMetres is the distance below which geometries touch: that to which the
// rounding of footprints can move two of them apart.
const ContactMetres = 0.015

// Sides that share a bound, and runs that share one again.
const (
	sidesInRun  = 16
	runsInBlock = 16
)

// side is a straight piece of a line or ring in degrees; of a point, both ends.
type side struct{ a, b orb.Point }

// figure is a geometry of any kind for measuring. Neighbours along a line lie
// close together, so that runs of sides with their bounds serve as an index.
type figure struct {
	sides    []side
	runs     []orb.Bound // of sidesInRun sides each
	blocks   []orb.Bound // of runsInBlock runs each
	surfaces []surface
	points   []orb.Point // one of each point, line and surface
	bound    orb.Bound
	bad      bool // it has a coordinate that is no number
}

// surface is a polygon: the sides from on, up to to.
type surface struct {
	from, to int
	bound    orb.Bound
}

func emptyBound() orb.Bound { return noRect().bound() }

func (f *figure) reset() {
	f.sides, f.runs, f.blocks, f.surfaces, f.points, f.bound, f.bad = f.sides[:0], f.runs[:0], f.blocks[:0], f.surfaces[:0], f.points[:0], emptyBound(), false
}

func (f *figure) side(a, b orb.Point) {
	if len(f.sides)%sidesInRun == 0 {
		if len(f.runs)%runsInBlock == 0 {
			f.blocks = append(f.blocks, emptyBound())
		}
		f.runs = append(f.runs, emptyBound())
	}
	f.sides = append(f.sides, side{a, b})
	r, block := &f.runs[len(f.runs)-1], &f.blocks[len(f.blocks)-1]
	*r = grow(grow(*r, a), b)
	*block = grow(grow(*block, a), b)
	f.bound = grow(grow(f.bound, a), b)
	f.bad = f.bad || !(math.Abs(a[0])+math.Abs(a[1])+math.Abs(b[0])+math.Abs(b[1]) <= 1e6)
}

// grow is the bound of b and p. orb's Extend takes an empty bound for one at 0, 0.
func grow(b orb.Bound, p orb.Point) orb.Bound {
	return orb.Bound{Min: orb.Point{min(b.Min[0], p[0]), min(b.Min[1], p[1])}, Max: orb.Point{max(b.Max[0], p[0]), max(b.Max[1], p[1])}}
}

func (f *figure) point(p orb.Point) {
	f.points = append(f.points, p)
	f.side(p, p)
}

func (f *figure) line(l []orb.Point) {
	if len(l) == 1 {
		f.side(l[0], l[0])
	}
	for i := 1; i < len(l); i++ {
		f.side(l[i-1], l[i])
	}
	if len(l) > 0 {
		f.points = append(f.points, l[0])
	}
}

// ring adds a ring of the polygon whose sides begin at from.
func (f *figure) ring(r []orb.Point, exterior bool) {
	if n := len(r); n > 0 {
		if f.line(r); r[0] != r[n-1] {
			f.side(r[n-1], r[0])
		}
		if !exterior {
			f.points = f.points[:len(f.points)-1]
		}
	}
}

// surface ends the polygon whose sides begin at from.
func (f *figure) surface(from int) {
	if from == len(f.sides) {
		return
	}
	s := surface{from, len(f.sides), emptyBound()}
	for _, e := range f.sides[from:] {
		s.bound = grow(s.bound, e.a)
	}
	f.surfaces = append(f.surfaces, s)
}

// add adds a geometry of any kind.
func (f *figure) add(g orb.Geometry) {
	switch g := g.(type) {
	case orb.Point:
		f.point(g)
	case orb.MultiPoint:
		for _, p := range g {
			f.point(p)
		}
	case orb.LineString:
		f.line(g)
	case orb.MultiLineString:
		for _, l := range g {
			f.line(l)
		}
	case orb.Ring:
		f.polygon(orb.Polygon{g})
	case orb.Polygon:
		f.polygon(g)
	case orb.MultiPolygon:
		for _, p := range g {
			f.polygon(p)
		}
	case orb.Bound:
		if g.Min[0] > g.Max[0] { // across the antimeridian
			g.Max[0] += 360
		}
		f.polygon(g.ToPolygon())
	case orb.Collection:
		for _, m := range g {
			f.add(m)
		}
	}
}

func (f *figure) polygon(p orb.Polygon) {
	from := len(f.sides)
	for i, r := range p {
		f.ring(r, i == 0)
	}
	f.surface(from)
}

// addShape adds a footprint.
func (f *figure) addShape(s *Shape) {
	switch s.Kind {
	case spatial.MultiPoint:
		for _, p := range s.Points {
			f.point(p)
		}
	case spatial.MultiLine:
		for i := range s.Rings {
			f.line(s.Ring(i))
		}
	case spatial.MultiSurface:
		for i := range s.Surfaces {
			sides := len(f.sides)
			from, to := s.SurfaceRings(i)
			for r := from; r < to; r++ {
				f.ring(s.Ring(r), r == from)
			}
			f.surface(sides)
		}
	}
}

// covers reports whether p lies within a surface of f.
func (f *figure) covers(p orb.Point) bool {
	for _, s := range f.surfaces {
		if !s.bound.Contains(p) {
			continue
		}
		inside := false
		for i := s.from; i < s.to; {
			if n := sidesInRun * runsInBlock; i%n == 0 && i+n <= s.to && beside(&f.blocks[i/n], p) {
				i += n
				continue
			}
			if i%sidesInRun == 0 && i+sidesInRun <= s.to && beside(&f.runs[i/sidesInRun], p) {
				i += sidesInRun
				continue
			}
			a, b := f.sides[i].a, f.sides[i].b
			if (a[1] > p[1]) != (b[1] > p[1]) && p[0] < a[0]+(p[1]-a[1])/(b[1]-a[1])*(b[0]-a[0]) {
				inside = !inside
			}
			i++
		}
		if inside {
			return true
		}
	}
	return false
}

// beside reports whether a ray from p to the east cannot cross what has a bound.
func beside(b *orb.Bound, p orb.Point) bool {
	return b.Max[1] < p[1] || b.Min[1] > p[1] || b.Max[0] < p[0]
}

// scratch is what measuring the distance to one object needs.
type scratch struct {
	shape  Shape
	figure figure
}

// scratchPool keeps scratches for the next search.
type scratchPool struct{ pool sync.Pool }

func (p *scratchPool) get() *scratch {
	if s, ok := p.pool.Get().(*scratch); ok {
		return s
	}
	return &scratch{}
}

// put gives s back, but for a large one.
func (p *scratchPool) put(s *scratch) {
	if cap(s.figure.sides) <= 1<<14 {
		p.pool.Put(s)
	}
}
