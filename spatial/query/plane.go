package query

import (
	"math"

	"github.com/paulmach/orb"
)

// plane is the transverse Mercator projection of scale 1 of the WGS 84 ellipsoid
// with its origin at a place: x metres east, y metres north of it. The series
// are Krüger's to n⁴ (Karney, Journal of Geodesy 85, 2011, equations 35 and 36),
// which is exact to a tenth of a millimetre within 1,000 km.
type plane struct {
	lon0 float64 // degrees
	y0   float64 // metres from the equator
}

const (
	semiMajor  = 6378137.0
	flattening = 1 / 298.257223563
	rad        = math.Pi / 180
)

var (
	// third is the third flattening, n; the coefficients follow from it alone.
	third         = flattening / (2 - flattening)
	eccentricity  = math.Sqrt(flattening * (2 - flattening))
	rectifying    = semiMajor / (1 + third) * (1 + third*third/4 + third*third*third*third/64)
	forwardSeries = [4]float64{
		third * (1.0/2 + third*(-2.0/3+third*(5.0/16+third*41.0/180))),
		third * third * (13.0/48 + third*(-3.0/5+third*557.0/1440)),
		third * third * third * (61.0/240 + third*-103.0/140),
		third * third * third * third * 49561.0 / 161280,
	}
	inverseSeries = [4]float64{
		third * (1.0/2 + third*(-2.0/3+third*(37.0/96-third/360))),
		third * third * (1.0/48 + third*(1.0/15-third*437.0/1440)),
		third * third * third * (17.0/480 - third*37.0/840),
		third * third * third * third * 4397.0 / 161280,
	}
)

func planeAt(p orb.Point) *plane {
	pl := &plane{lon0: p[0]}
	pl.y0 = pl.project(p)[1]
	return pl
}

// planeOf has its origin in the middle of a rectangle.
func planeOf(b orb.Bound) *plane { return planeAt(b.Center()) }

// project gives metres for degrees.
func (pl *plane) project(p orb.Point) orb.Point {
	sin, cos := math.Sincos((p[0] - pl.lon0) * rad)
	s := math.Sin(p[1] * rad)
	t := math.Sinh(math.Atanh(s) - eccentricity*math.Atanh(eccentricity*s)) // tangent of the conformal latitude
	xi := math.Atan2(t, cos)
	eta := math.Asinh(sin / math.Hypot(t, cos))
	x, y := eta, xi
	for j, a := range forwardSeries {
		k := 2 * float64(j+1)
		x += a * math.Cos(k*xi) * math.Sinh(k*eta)
		y += a * math.Sin(k*xi) * math.Cosh(k*eta)
	}
	return orb.Point{rectifying * x, rectifying*y - pl.y0}
}

// degrees inverts project.
func (pl *plane) degrees(p orb.Point) orb.Point {
	eta, xi := p[0]/rectifying, (p[1]+pl.y0)/rectifying
	x, y := eta, xi
	for j, b := range inverseSeries {
		k := 2 * float64(j+1)
		x -= b * math.Cos(k*xi) * math.Sinh(k*eta)
		y -= b * math.Sin(k*xi) * math.Cosh(k*eta)
	}
	lon := math.Atan2(math.Sinh(x), math.Cos(y))
	conformal := math.Sin(y) / math.Hypot(math.Sinh(x), math.Cos(y)) // its tangent
	t := conformal
	for range 5 { // Newton's method; two steps are enough
		s := t / math.Hypot(1, t)
		sigma := math.Sinh(eccentricity * math.Atanh(eccentricity*s))
		f := t*math.Hypot(1, sigma) - sigma*math.Hypot(1, t)
		t += (conformal - f) / math.Hypot(1, f) * (1 + (1-eccentricity*eccentricity)*t*t) / ((1 - eccentricity*eccentricity) * math.Hypot(1, t))
	}
	return orb.Point{pl.lon0 + lon/rad, math.Atan(t) / rad}
}

// geometry gives a copy of g in metres.
func (pl *plane) geometry(g orb.Geometry) orb.Geometry { return mapPoints(g, pl.project) }

// mapPoints gives a copy of g with every point changed.
func mapPoints(g orb.Geometry, fn func(orb.Point) orb.Point) orb.Geometry {
	if c, ok := g.(orb.Collection); ok {
		out := make(orb.Collection, len(c))
		for i, m := range c {
			out[i] = mapPoints(m, fn)
		}
		return out
	}
	all := func(points []orb.Point) []orb.Point {
		out := make([]orb.Point, len(points))
		for i, p := range points {
			out[i] = fn(p)
		}
		return out
	}
	polygon := func(p orb.Polygon) orb.Polygon {
		out := make(orb.Polygon, len(p))
		for i, r := range p {
			out[i] = all(r)
		}
		return out
	}
	switch g := g.(type) {
	case orb.Point:
		return fn(g)
	case orb.MultiPoint:
		return orb.MultiPoint(all(g))
	case orb.LineString:
		return orb.LineString(all(g))
	case orb.MultiLineString:
		out := make(orb.MultiLineString, len(g))
		for i, l := range g {
			out[i] = all(l)
		}
		return out
	case orb.Polygon:
		return polygon(g)
	case orb.MultiPolygon:
		out := make(orb.MultiPolygon, len(g))
		for i, p := range g {
			out[i] = polygon(p)
		}
		return out
	}
	return nil
}

// distance is how far a point is from g, in the units of the plane; zero within
// a surface or on an edge, infinite from nothing.
func distance(g orb.Geometry, p orb.Point) float64 {
	line := func(points []orb.Point) float64 {
		best := math.Inf(1)
		for i := range points {
			if i == 0 {
				best = math.Hypot(points[0][0]-p[0], points[0][1]-p[1])
				continue
			}
			best = min(best, segment(points[i-1], points[i], p))
		}
		return best
	}
	best := math.Inf(1)
	switch g := g.(type) {
	case orb.Point:
		return math.Hypot(g[0]-p[0], g[1]-p[1])
	case orb.MultiPoint:
		for _, q := range g {
			best = min(best, math.Hypot(q[0]-p[0], q[1]-p[1]))
		}
	case orb.LineString:
		return line(g)
	case orb.MultiLineString:
		for _, l := range g {
			best = min(best, line(l))
		}
	case orb.Polygon:
		if contains(g, p) {
			return 0
		}
		for _, r := range g {
			best = min(best, line(r))
		}
	case orb.MultiPolygon:
		for _, poly := range g {
			best = min(best, distance(poly, p))
		}
	case orb.Collection:
		for _, m := range g {
			best = min(best, distance(m, p))
		}
	}
	return best
}

// segment is the distance of p from the line from a to b.
func segment(a, b, p orb.Point) float64 {
	dx, dy := b[0]-a[0], b[1]-a[1]
	t := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		t = max(0, min(1, ((p[0]-a[0])*dx+(p[1]-a[1])*dy)/l))
	}
	return math.Hypot(a[0]+t*dx-p[0], a[1]+t*dy-p[1])
}
