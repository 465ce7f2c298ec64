package repair

import (
	"math"

	"github.com/peterstace/simplefeatures/geom"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// leastArea is what is no surface but the rounding of an intersection, m².
const leastArea = 1e-9

// rebuild builds a flat surface again by the even-odd rule: the symmetric
// difference of the triangles that its edges make with a point. It does so only
// where the area stays what the rings enclose, so that it is not decided here
// which half of a bow tie was meant.
func (m *mender) rebuild(f *face, where string) ([]face, bool) {
	points := 0
	z := f.rings[0][2]
	for _, ring := range f.rings {
		points += len(ring) / 3
		for p := 2; p < len(ring); p += 3 {
			if ring[p] != z {
				return nil, false
			}
		}
	}
	if points > m.opt.CrossingPoints {
		return nil, false
	}
	before := surfaceArea(f)
	ox, oy := f.rings[0][0], f.rings[0][1]
	var sum geom.Geometry
	for _, ring := range f.rings {
		// A fan from the ring's own first point adds no point of its own.
		fx, fy := ring[0]-ox, ring[1]-oy
		for p := 3; p+3 < len(ring); p += 3 {
			ax, ay, bx, by := ring[p]-ox, ring[p+1]-oy, ring[p+3]-ox, ring[p+4]-oy
			if math.Abs((ax-fx)*(by-fy)-(bx-fx)*(ay-fy)) < leastArea {
				continue
			}
			line := geom.NewLineString(geom.NewSequence([]float64{fx, fy, ax, ay, bx, by, fx, fy}, geom.DimXY))
			triangle := geom.NewPolygon([]geom.LineString{line}).AsGeometry()
			var err error
			if sum, err = geom.SymmetricDifference(sum, triangle); err != nil {
				return nil, false
			}
		}
	}
	if sum.Validate() != nil || math.Abs(sum.Area()-before) > m.opt.AreaShare*before {
		return nil, false
	}
	var parts []face
	for _, g := range sum.Dump() {
		polygon, ok := g.AsPolygon()
		if !ok || polygon.Area() < max(leastArea, m.opt.AreaShare*before/100) {
			continue // the inside of a loop too small to be meant
		}
		part := face{semantic: f.semantic, index: f.index}
		if up := spatial.RingNormal(f.rings[0])[2] >= 0; up { // the parts face the way of the whole
			polygon = polygon.ForceCCW()
		} else {
			polygon = polygon.ForceCW()
		}
		for i, line := range polygon.DumpRings() {
			ring := fromSequence(line.Coordinates(), ox, oy, z)
			if i > 0 && polygonArea(line) < leastArea {
				continue
			}
			if _, _, meet := citymodel.RingCrossing(ring); meet {
				return nil, false
			}
			part.rings = append(part.rings, ring)
		}
		parts = append(parts, part)
	}
	after := 0.0
	for i := range parts {
		after += surfaceArea(&parts[i])
	}
	if len(parts) == 0 || math.Abs(after-before) > m.opt.AreaShare*before {
		return nil, false
	}
	m.fix(citymodel.RingSelfIntersects, false, where, "a ring that crosses itself; built again, surfaces: %d, area %.3f m² instead of %.3f m²", len(parts), after, before)
	return parts, true
}

func polygonArea(ring geom.LineString) float64 {
	return geom.NewPolygon([]geom.LineString{ring}).Area()
}

// fromSequence is a closed ring without its last point.
func fromSequence(s geom.Sequence, ox, oy, z float64) []float64 {
	ring := make([]float64, 0, 3*s.Length())
	for i := range s.Length() - 1 {
		p := s.GetXY(i)
		ring = append(ring, p.X+ox, p.Y+oy, z)
	}
	return ring
}
