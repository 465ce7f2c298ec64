package index

import (
	"math"

	"github.com/paulmach/orb"
)

// The ellipsoid of WGS 84 (EPSG 7030).
const (
	semiMajor   = 6378137.0
	flattening  = 1 / 298.257223563
	eccentrity2 = flattening * (2 - flattening)
)

// MetresPerDegree is the length of a degree of longitude and of latitude at a
// latitude, in metres: along the parallel and the meridian of the ellipsoid.
func MetresPerDegree(lat float64) (x, y float64) {
	const degree = math.Pi / 180
	sin, cos := math.Sincos(min(max(lat, -90), 90) * degree)
	w2 := 1 - eccentrity2*sin*sin
	w := math.Sqrt(w2)
	return max(cos, 0) * semiMajor / w * degree, semiMajor * (1 - eccentrity2) / (w2 * w) * degree
}

// plane is the local plane in which distances are computed, in metres.
type plane struct {
	lon, lat float64 // of its origin
	x, y     float64 // metres per degree
}

// planeFor is the plane for the distance between f and what has the bound b: at
// the latitude in the middle of where both are or, if there is none, in the
// middle between them.
func planeFor(f *figure, b orb.Bound) plane {
	lat := (max(b.Min[1], f.bound.Min[1]) + min(b.Max[1], f.bound.Max[1])) / 2
	x, y := MetresPerDegree(lat)
	return plane{(b.Min[0] + b.Max[0]) / 2, lat, x, y}
}

// leastPerDegree is the least length of a degree between two latitudes, in
// metres: what is far by it is far in the planes of all latitudes between.
func leastPerDegree(south, north float64) (x, y float64) {
	xs, ys := MetresPerDegree(south)
	xn, yn := MetresPerDegree(north)
	x, y = min(xs, xn), min(ys, yn)
	if south < 0 && north > 0 {
		_, y = MetresPerDegree(0)
	}
	return x, y
}

// leastPerLatitude is less than a degree of latitude is long anywhere, in metres.
const leastPerLatitude = 110_000

// turn is by how many degrees f is to be moved so that it lies on the same side
// of the antimeridian as what has its middle at lon.
func turn(f *figure, lon float64) float64 {
	return 360 * math.Round((lon-(f.bound.Min[0]+f.bound.Max[0])/2)/360)
}

// distance is the distance in metres between f and g, moved by turned degrees of
// longitude, in a plane; more than limit where it is. What is within an area has
// the distance zero.
func (p plane) distance(f, g *figure, turned, limit float64) float64 {
	for _, c := range g.points {
		if f.covers(orb.Point{c[0] + turned, c[1]}) {
			return 0
		}
	}
	for _, c := range f.points {
		if g.covers(orb.Point{c[0] - turned, c[1]}) {
			return 0
		}
	}
	best := math.Inf(1)
	far := (limit + ContactMetres) * (limit + ContactMetres) // squared; what is farther does not matter
	away := func(a, b orb.Bound) bool {
		gap := p.gap(a, b, turned)
		return gap > far || gap >= best
	}
	for i := range f.runs {
		if away(f.runs[i], g.bound) {
			continue
		}
		for k := range g.blocks {
			if away(f.runs[i], g.blocks[k]) {
				continue
			}
			for j := k * runsInBlock; j < min((k+1)*runsInBlock, len(g.runs)); j++ {
				if away(f.runs[i], g.runs[j]) {
					continue
				}
				best = min(best, p.runsApart(f, g, i, j, turned))
				if best < ContactMetres*ContactMetres {
					return 0
				}
			}
		}
	}
	return math.Sqrt(best)
}

// runsApart is the square of the distance between a run of f and one of g.
func (p plane) runsApart(f, g *figure, i, j int, turned float64) float64 {
	best := math.Inf(1)
	for _, s := range f.sides[i*sidesInRun : min((i+1)*sidesInRun, len(f.sides))] {
		a, b := p.project(s.a, 0), p.project(s.b, 0)
		for _, t := range g.sides[j*sidesInRun : min((j+1)*sidesInRun, len(g.sides))] {
			best = min(best, sidesApart(a, b, p.project(t.a, turned), p.project(t.b, turned)))
		}
	}
	return best
}

func (p plane) project(q orb.Point, turned float64) orb.Point {
	return orb.Point{(q[0] + turned - p.lon) * p.x, (q[1] - p.lat) * p.y}
}

// gap is the square of the distance between two bounds, the second turned.
func (p plane) gap(a, b orb.Bound, turned float64) float64 {
	x := max(a.Min[0]-(b.Max[0]+turned), b.Min[0]+turned-a.Max[0], 0) * p.x
	y := max(a.Min[1]-b.Max[1], b.Min[1]-a.Max[1], 0) * p.y
	return x*x + y*y
}

// sidesApart is the square of the distance between the straight pieces from a to
// b and from c to d.
func sidesApart(a, b, c, d orb.Point) float64 {
	if a != b && c != d {
		o1, o2 := cross(a, b, c), cross(a, b, d)
		o3, o4 := cross(c, d, a), cross(c, d, b)
		if (o1 > 0) != (o2 > 0) && (o3 > 0) != (o4 > 0) && o1 != 0 && o2 != 0 && o3 != 0 && o4 != 0 {
			return 0
		}
	}
	return min(pointApart(a, c, d), pointApart(b, c, d), pointApart(c, a, b), pointApart(d, a, b))
}

func cross(a, b, c orb.Point) float64 {
	return (b[0]-a[0])*(c[1]-a[1]) - (b[1]-a[1])*(c[0]-a[0])
}

// pointApart is the square of the distance of p from the straight piece a to b.
func pointApart(p, a, b orb.Point) float64 {
	ux, uy := b[0]-a[0], b[1]-a[1]
	vx, vy := p[0]-a[0], p[1]-a[1]
	if l := ux*ux + uy*uy; l > 0 {
		t := min(max((ux*vx+uy*vy)/l, 0), 1)
		vx, vy = vx-t*ux, vy-t*uy
	}
	return vx*vx + vy*vy
}
