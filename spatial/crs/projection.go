package crs

import "math"

// projection is a map projection. Angles are radians, longitude first;
// easting and northing are metres with false origins applied. The last result
// is 0, or why the point has no image. Implementations do not change after
// they are made.
type projection interface {
	forward(lon, lat float64) (e, n float64, _ Reason)
	inverse(e, n float64) (lon, lat float64, _ Reason)
}

// wrap brings a longitude in radians into −π…π. A value that passes π only by
// rounding stays at π.
func wrap(lon float64) float64 {
	const slack = math.Pi * (1 + 1e-14)
	if lon >= -slack && lon <= slack {
		return math.Max(-math.Pi, math.Min(math.Pi, lon))
	}
	return math.Remainder(lon, 2*math.Pi)
}

// webMercator is EPSG method 1024, Popular Visualisation Pseudo Mercator: the
// sphere's formulas on the latitude of the ellipsoid.
type webMercator struct{ radius float64 }

func (p webMercator) forward(lon, lat float64) (float64, float64, Reason) {
	const limit = 89.999999 * degree // beyond it the northing runs to infinity
	if math.Abs(lat) > limit {
		return 0, 0, OutOfDomain
	}
	return p.radius * wrap(lon), p.radius * math.Asinh(math.Tan(lat)), 0
}

func (p webMercator) inverse(e, n float64) (float64, float64, Reason) {
	lon := e / p.radius
	if math.Abs(lon) > 2*math.Pi { // a world too far
		return 0, 0, OutOfDomain
	}
	return wrap(lon), math.Atan(math.Sinh(n / p.radius)), 0
}

// obliqueStereographic is EPSG method 9809, the double stereographic
// projection: ellipsoid to conformal sphere to plane (IOGP publication 373-7-2).
type obliqueStereographic struct {
	conformal  conformal
	lon0       float64
	fe, fn     float64
	n          float64 // scale of longitude and isometric latitude on the sphere
	logC       float64
	sin0, cos0 float64 // of the origin's latitude on the sphere
	scale      float64 // 2·R·k0
}

func newObliqueStereographic(el ellipsoid, lon0, lat0, k0, fe, fn float64) *obliqueStereographic {
	sinLat, cosLat := math.Sincos(lat0)
	w2 := 1 - el.e2*sinLat*sinLat
	rho := el.a * (1 - el.e2) / (w2 * math.Sqrt(w2))
	nu := el.a / math.Sqrt(w2)
	p := &obliqueStereographic{conformal: newConformal(&el), lon0: lon0, fe: fe, fn: fn, scale: 2 * math.Sqrt(rho*nu) * k0}
	p.n = math.Sqrt(1 + el.e2*cosLat*cosLat*cosLat*cosLat/(1-el.e2))
	// First with c = 1, then with the c that brings the origin to its place.
	sin1, _ := p.sphere(lat0)
	p.logC = math.Log((p.n + sinLat) * (1 - sin1) / ((p.n - sinLat) * (1 + sin1)))
	p.sin0, p.cos0 = p.sphere(lat0)
	return p
}

// sphere gives sine and cosine of the latitude on the conformal sphere: with
// w = c·(S1·S2^e)^n, of which S1·S2^e is the same term of the conformal
// latitude without eccentricity, sin = (w−1)/(w+1).
func (p *obliqueStereographic) sphere(lat float64) (sin, cos float64) {
	sinChi, _ := p.conformal.chi(lat)
	root := math.Exp((p.n*math.Log((1+sinChi)/(1-sinChi)) + p.logC) / 2) // √w; 0 or infinite at the poles
	return 1 - 2/(root*root+1), 2 / (root + 1/root)
}

func (p *obliqueStereographic) forward(lon, lat float64) (float64, float64, Reason) {
	sinChi, cosChi := p.sphere(lat)
	sinL, cosL := math.Sincos(p.n * wrap(lon-p.lon0))
	cosC := sinChi*p.sin0 + cosChi*p.cos0*cosL
	if cosC < 0 { // the other hemisphere
		return 0, 0, OutOfDomain
	}
	k := p.scale / (1 + cosC)
	return p.fe + k*cosChi*sinL, p.fn + k*(sinChi*p.cos0-cosChi*p.sin0*cosL), 0
}

func (p *obliqueStereographic) inverse(e, n float64) (float64, float64, Reason) {
	x, y := (e-p.fe)/p.scale, (n-p.fn)/p.scale
	t2 := x*x + y*y // tan² of half the angular distance
	if !(t2 <= 1) {
		return 0, 0, OutOfDomain
	}
	// With half-angle formulas: sin c = 2t/(1+t²), cos c = (1−t²)/(1+t²).
	cosC, s := (1-t2)/(1+t2), 2/(1+t2)
	sinChi := cosC*p.sin0 + y*s*p.cos0
	if !(math.Abs(sinChi) < 1) {
		return 0, 0, OutOfDomain
	}
	lon := p.lon0 + math.Atan2(x*s, p.cos0*cosC-y*s*p.sin0)/p.n
	w := math.Exp((math.Log((1+sinChi)/(1-sinChi)) - p.logC) / p.n)
	root := math.Sqrt(w)
	return wrap(lon), p.conformal.phi(1-2/(w+1), 2/(root+1/root)), 0
}
