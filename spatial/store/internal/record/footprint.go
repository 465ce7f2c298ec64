package record

import (
	"math"

	"cityhub/spatial"
)

// upright is the share of a surface's normal that points up or down below which
// the surface counts as a wall: 3 degrees from the vertical.
const upright = 0.05

// Footprint is an object on the map, from its geometries in WGS 84 degrees, or nil:
//
//  1. a surface of LoD 0 as it is;
//  2. else, of the finest geometry with surfaces, those that are GroundSurface
//     or, where it names none, those that look down, or where none does, up;
//  3. else the finest lines, else the points.
//
// Surfaces are not merged: those of an overhang overlap. Exterior rings run
// counter-clockwise, holes clockwise (OGC 06-103r4 section 6.1.11.1).
func Footprint(geometries []spatial.Geometry) *spatial.Geometry {
	var surfaces, lines, points *spatial.Geometry
	finer := func(best *spatial.Geometry, g *spatial.Geometry) *spatial.Geometry {
		if best == nil || g.LoD > best.LoD || g.LoD == best.LoD && g.Kind.IsSolid() && !best.Kind.IsSolid() {
			return g
		}
		return best
	}
	for i := range geometries {
		g := &geometries[i]
		switch {
		case g.NumPoints() == 0:
		case g.Kind == spatial.MultiPoint:
			points = finer(points, g)
		case g.Kind == spatial.MultiLine:
			lines = finer(lines, g)
		case g.Kind.IsSurface() && len(g.LoD) > 0 && g.LoD[0] == '0':
			if f := pick(g, func(int) bool { return true }); f != nil {
				return f
			}
		default:
			surfaces = finer(surfaces, g)
		}
	}
	if surfaces != nil {
		if f := ground(surfaces); f != nil {
			return f
		}
	}
	if lines != nil {
		f := &spatial.Geometry{Kind: spatial.MultiLine}
		for i := range lines.Rings {
			if ring := lines.Ring(i); len(ring) >= 6 {
				f.XYZ = append(f.XYZ, ring...)
				f.Rings = append(f.Rings, int32(f.NumPoints()))
			}
		}
		if len(f.Rings) > 0 {
			return flat(f)
		}
	}
	if points != nil {
		return flat(&spatial.Geometry{Kind: spatial.MultiPoint, XYZ: append([]float64(nil), points.XYZ...)})
	}
	return nil
}

// ground is the surfaces of g on which the object stands.
func ground(g *spatial.Geometry) *spatial.Geometry {
	if f := pick(g, func(i int) bool { return g.Surface(i) == spatial.SurfaceGround }); f != nil {
		return f
	}
	if !g.HasZ {
		return pick(g, func(int) bool { return true })
	}
	up := make([]float64, len(g.Surfaces))
	for i := range g.Surfaces {
		if from, to := g.SurfaceRings(i); from < to {
			up[i] = upward(g.Ring(from))
		}
	}
	if f := pick(g, func(i int) bool { return up[i] < -upright }); f != nil {
		return f
	}
	return pick(g, func(i int) bool { return up[i] > upright })
}

// upward is the part of a ring's unit normal that points up. The ring is in
// degrees and metres; near its first point degrees are as long as on a sphere.
func upward(ring []float64) float64 {
	const metresPerDegree = 111_195
	sx := metresPerDegree * math.Cos(ring[1]*math.Pi/180)
	metric := make([]float64, len(ring))
	for p := 0; p+2 < len(ring); p += 3 {
		metric[p] = (ring[p] - ring[0]) * sx
		metric[p+1] = (ring[p+1] - ring[1]) * metresPerDegree
		metric[p+2] = ring[p+2] - ring[2]
	}
	return spatial.RingNormal(metric)[2]
}

// pick is the surfaces of g that are wanted, on the map, without rings that have
// no area there; nil where none is left.
func pick(g *spatial.Geometry, wanted func(i int) bool) *spatial.Geometry {
	f := &spatial.Geometry{Kind: spatial.MultiSurface}
	for i := range g.Surfaces {
		if !wanted(i) {
			continue
		}
		from, to := g.SurfaceRings(i)
		before := len(f.Rings)
		for r := from; r < to; r++ {
			if !addRing(f, g.Ring(r), r == from) && r == from {
				break
			}
		}
		if len(f.Rings) > before {
			f.Surfaces = append(f.Surfaces, int32(len(f.Rings)))
		}
	}
	if len(f.Surfaces) == 0 {
		return nil
	}
	return f
}

// addRing adds a ring to f in the direction it should have, and reports whether
// it has an area.
func addRing(f *spatial.Geometry, ring []float64, exterior bool) bool {
	if len(ring) < 9 {
		return false
	}
	area := 0.0
	for p := 3; p+5 < len(ring); p += 3 {
		area += (ring[p]-ring[0])*(ring[p+4]-ring[1]) - (ring[p+3]-ring[0])*(ring[p+1]-ring[1])
	}
	if area == 0 {
		return false
	}
	if area > 0 == exterior {
		for p := 0; p < len(ring); p += 3 {
			f.XYZ = append(f.XYZ, ring[p], ring[p+1], 0)
		}
	} else {
		for p := len(ring) - 3; p >= 0; p -= 3 {
			f.XYZ = append(f.XYZ, ring[p], ring[p+1], 0)
		}
	}
	f.Rings = append(f.Rings, int32(f.NumPoints()))
	return true
}

// flat puts the heights of g to zero.
func flat(g *spatial.Geometry) *spatial.Geometry {
	for p := 2; p < len(g.XYZ); p += 3 {
		g.XYZ[p] = 0
	}
	return g
}
