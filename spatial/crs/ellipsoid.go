package crs

import "math"

const (
	degree    = math.Pi / 180
	arcsecond = degree / 3600
	microrad  = 1e-6
)

// ellipsoid is an ellipsoid of revolution.
type ellipsoid struct {
	a  float64 // semi-major axis, metres
	f  float64 // flattening
	e2 float64 // first eccentricity squared
}

func newEllipsoid(aMetres, inverseFlattening float64) ellipsoid {
	f := 1 / inverseFlattening
	return ellipsoid{a: aMetres, f: f, e2: f * (2 - f)}
}

// Defining parameters: EPSG:7030, 7019, 1024, 7004.
func wgs84Ellipsoid() ellipsoid  { return newEllipsoid(6378137, 298.257223563) }
func grs80Ellipsoid() ellipsoid  { return newEllipsoid(6378137, 298.257222101) } // CGCS2000's has the same
func besselEllipsoid() ellipsoid { return newEllipsoid(6377397.155, 299.1528128) }

// conformal converts between geographic and conformal latitude by sine series
// in the third flattening n to n⁶, whose next term is below 1e-18 radians on
// the earth (C. F. F. Karney, "On auxiliary latitudes", Survey Review 56
// (2024), tables of φ and χ).
type conformal struct{ toChi, toPhi [6]float64 }

func newConformal(el *ellipsoid) conformal {
	n := el.f / (2 - el.f)
	n2 := n * n
	n3, n4 := n2*n, n2*n2
	return conformal{
		toChi: [6]float64{
			n * (-2 + n*(2./3+n*(4./3+n*(-82./45+n*(32./45+n*4642./4725))))),
			n2 * (5./3 + n*(-16./15+n*(-13./9+n*(904./315-n*1522./945)))),
			n3 * (-26./15 + n*(34./21+n*(8./5-n*12686./2835))),
			n4 * (1237./630 + n*(-12./5-n*24832./14175)),
			n4 * n * (-734./315 + n*109598./31185),
			n3 * n3 * 444337. / 155925,
		},
		toPhi: [6]float64{
			n * (2 + n*(-2./3+n*(-2+n*(116./45+n*(26./45-n*2854./675))))),
			n2 * (7./3 + n*(-8./5+n*(-227./45+n*(2704./315+n*2323./945)))),
			n3 * (56./15 + n*(-136./35+n*(-1262./105+n*73814./2835))),
			n4 * (4279./630 + n*(-332./35-n*399572./14175)),
			n4 * n * (4174./315 - n*144838./6237),
			n3 * n3 * 601676. / 22275,
		},
	}
}

// chi gives sine and cosine of the conformal latitude.
func (c *conformal) chi(lat float64) (sin, cos float64) {
	s, k := math.Sincos(lat)
	return math.Sincos(lat + sineSeries(&c.toChi, 2*s*k, 1-2*s*s))
}

// phi gives the geographic latitude, in radians, for sine and cosine of the
// conformal latitude.
func (c *conformal) phi(sin, cos float64) float64 {
	return math.Atan2(sin, cos) + sineSeries(&c.toPhi, 2*sin*cos, 1-2*sin*sin)
}

// sineSeries sums c[j−1]·sin(2jx) for j = 1…6 by Clenshaw's recurrence, given
// the functions of 2x.
func sineSeries(c *[6]float64, sin2x, cos2x float64) float64 {
	a := 2 * cos2x
	var b0, b1 float64
	for j := 5; j >= 0; j-- {
		b0, b1 = a*b0-b1+c[j], b0
	}
	return sin2x * b0
}

// geocentric gives geocentric X, Y, Z in metres (EPSG method 9602) for
// longitude and latitude in radians and height above the ellipsoid in metres.
func (el *ellipsoid) geocentric(lon, lat, h float64) (x, y, z float64) {
	sinLat, cosLat := math.Sincos(lat)
	sinLon, cosLon := math.Sincos(lon)
	nu := el.a / math.Sqrt(1-el.e2*sinLat*sinLat)
	return (nu + h) * cosLat * cosLon, (nu + h) * cosLat * sinLon, ((1-el.e2)*nu + h) * sinLat
}

// geographic inverts geocentric by Bowring's iteration on the parametric
// latitude. Between 5,000 km below and 100,000 km above the ellipsoid at most
// four steps reach the limit of float64; at the centre of the earth the result is
// the equator.
func (el *ellipsoid) geographic(x, y, z float64) (lon, lat, h float64) {
	p := math.Hypot(x, y)
	if p == 0 && z == 0 {
		return 0, 0, -el.a
	}
	b := el.a * (1 - el.f)
	ep2 := el.e2 / (1 - el.e2)
	sinB, cosB := unit(z*el.a, p*b) // first guess of the parametric latitude
	var sinLat, cosLat float64
	for range 4 {
		sinLat, cosLat = unit(z+ep2*b*sinB*sinB*sinB, p-el.e2*el.a*cosB*cosB*cosB)
		s, c := unit((1-el.f)*sinLat, cosLat)
		change := s*cosB - c*sinB // sine of the angle
		sinB, cosB = s, c
		// A step makes the error smaller by a thousand and more: after a change
		// of 1e-10 the next step could not change a float64.
		if math.Abs(change) < 1e-10 {
			break
		}
	}
	h = p*cosLat + z*sinLat - el.a*math.Sqrt(1-el.e2*sinLat*sinLat)
	return math.Atan2(y, x), math.Atan2(sinLat, cosLat), h
}

// unit scales the vector (c, s) to length 1.
func unit(s, c float64) (sin, cos float64) {
	r := math.Sqrt(s*s + c*c)
	return s / r, c / r
}

// Geocentric gives the earth-centred, earth-fixed X, Y, Z of a WGS 84 position
// in metres (EPSG:4978), as 3D Tiles and glTF scenes use them. hMetres is above
// the ellipsoid.
func Geocentric(lonDeg, latDeg, hMetres float64) (x, y, z float64) {
	el := wgs84Ellipsoid()
	return el.geocentric(lonDeg*degree, latDeg*degree, hMetres)
}

// FromGeocentric inverts Geocentric for positions from 5,000 km below to
// 100,000 km above the ellipsoid.
func FromGeocentric(x, y, z float64) (lonDeg, latDeg, hMetres float64) {
	el := wgs84Ellipsoid()
	lon, lat, h := el.geographic(x, y, z)
	return lon / degree, lat / degree, h
}
