package index

import (
	"github.com/paulmach/orb"

	"cityhub/spatial"
)

// Shape is a footprint in flat arrays that can be used again for the next one:
//
//	Points    longitude, latitude in degrees; a ring repeats its first point
//	Rings     ends, in Points, of lines and rings; of a MultiPoint none
//	Surfaces  ends, in Rings, of polygons: the exterior ring, then the holes
//
// The zero Shape is none.
type Shape struct {
	Kind     spatial.Kind // MultiPoint, MultiLine or MultiSurface; zero: no footprint
	Points   []orb.Point
	Rings    []int32
	Surfaces []int32
}

// Shaper is a View that gives footprints without allocating. Those of an Index
// are; ShapeOf takes any View.
type Shaper interface {
	// Shape puts the footprint of an object into dst, whose arrays it uses again,
	// and reports whether there is one.
	Shape(ref Ref, dst *Shape) bool
}

// ShapeOf puts the footprint of an object into dst, whose arrays it uses again,
// and reports whether there is one. It allocates nothing, once dst is large
// enough, where v is a Shaper.
func ShapeOf(v View, ref Ref, dst *Shape) bool {
	if s, ok := v.(Shaper); ok {
		return s.Shape(ref, dst)
	}
	dst.Reset()
	switch g := v.Footprint(ref).(type) {
	case orb.Point:
		dst.Kind, dst.Points = spatial.MultiPoint, append(dst.Points, g)
	case orb.MultiPoint:
		dst.Kind, dst.Points = spatial.MultiPoint, append(dst.Points, g...)
	case orb.LineString:
		dst.line(g)
	case orb.MultiLineString:
		for _, l := range g {
			dst.line(l)
		}
	case orb.Polygon:
		dst.polygon(g)
	case orb.MultiPolygon:
		for _, p := range g {
			dst.polygon(p)
		}
	}
	return dst.Kind != 0
}

func (s *Shape) line(l orb.LineString) {
	s.Kind, s.Points = spatial.MultiLine, append(s.Points, l...)
	s.Rings = append(s.Rings, int32(len(s.Points)))
}

func (s *Shape) polygon(p orb.Polygon) {
	s.Kind = spatial.MultiSurface
	for _, r := range p {
		s.Points = append(s.Points, r...)
		s.Rings = append(s.Rings, int32(len(s.Points)))
	}
	s.Surfaces = append(s.Surfaces, int32(len(s.Rings)))
}

// Reset empties s and keeps its arrays.
func (s *Shape) Reset() {
	s.Kind, s.Points, s.Rings, s.Surfaces = 0, s.Points[:0], s.Rings[:0], s.Surfaces[:0]
}

// Ring is the points of line or ring i; of a ring the first is also the last. It
// shares the array.
func (s *Shape) Ring(i int) []orb.Point {
	from := int32(0)
	if i > 0 {
		from = s.Rings[i-1]
	}
	to := s.Rings[i]
	return s.Points[from:to:to]
}

// SurfaceRings is the rings of polygon i, as [from, to) of s.Rings; the first is
// the exterior.
func (s *Shape) SurfaceRings(i int) (from, to int) {
	if i > 0 {
		from = int(s.Surfaces[i-1])
	}
	return from, int(s.Surfaces[i])
}

// Geometry is s as a Point, MultiPoint, LineString, MultiLineString, Polygon or
// MultiPolygon, nil where it is none. It shares the points.
func (s *Shape) Geometry() orb.Geometry {
	switch s.Kind {
	case spatial.MultiPoint:
		if len(s.Points) == 1 {
			return s.Points[0]
		}
		return orb.MultiPoint(s.Points)
	case spatial.MultiLine:
		lines := make(orb.MultiLineString, len(s.Rings))
		for i := range lines {
			lines[i] = orb.LineString(s.Ring(i))
		}
		if len(lines) == 1 {
			return lines[0]
		}
		return lines
	case spatial.MultiSurface:
		polygons := make(orb.MultiPolygon, len(s.Surfaces))
		for i := range polygons {
			from, to := s.SurfaceRings(i)
			p := make(orb.Polygon, 0, to-from)
			for r := from; r < to; r++ {
				p = append(p, orb.Ring(s.Ring(r)))
			}
			polygons[i] = p
		}
		if len(polygons) == 1 {
			return polygons[0]
		}
		return polygons
	}
	return nil
}
