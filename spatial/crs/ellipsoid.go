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
	e  float64 // first eccentricity
	e2 float64 // e²
}

func newEllipsoid(aMetres, inverseFlattening float64) ellipsoid {
	f := 1 / inverseFlattening
	e2 := f * (2 - f)
	return ellipsoid{a: aMetres, f: f, e: math.Sqrt(e2), e2: e2}
}

// Defining parameters: EPSG:7030, 7019, 1024, 7004.
func wgs84Ellipsoid() ellipsoid  { return newEllipsoid(6378137, 298.257223563) }
func grs80Ellipsoid() ellipsoid  { return newEllipsoid(6378137, 298.257222101) } // CGCS2000's has the same
func besselEllipsoid() ellipsoid { return newEllipsoid(6377397.155, 299.1528128) }

// conformalTan gives tan χ of the conformal latitude χ for tan φ (Karney 2011,
// equations 7 to 9). It is the sinh of the isometric latitude.
func (el *ellipsoid) conformalTan(tanLat float64) float64 {
	secLat := math.Sqrt(1 + tanLat*tanLat)
	sigma := math.Sinh(el.e * math.Atanh(el.e*tanLat/secLat))
	return tanLat*math.Sqrt(1+sigma*sigma) - sigma*secLat
}

// latitudeTan inverts conformalTan by Newton's method (Karney 2011, equations
// 19 to 21), which is at the limit of float64 after two or three steps.
func (el *ellipsoid) latitudeTan(tanChi float64) float64 {
	e2m := 1 - el.e2
	tau := tanChi / e2m
	if math.Abs(tanChi) > 70 { // near a pole, where Newton needs a better start
		tau = tanChi * math.Exp(el.e*math.Atanh(el.e))
		if math.Abs(tanChi) > 1e8 { // float64 cannot tell it from the limit
			return tau
		}
	}
	for range 5 {
		t := el.conformalTan(tau)
		step := (tanChi - t) * (1 + e2m*tau*tau) / (e2m * math.Sqrt((1+t*t)*(1+tau*tau)))
		tau += step
		if math.Abs(step) <= 1e-15*math.Max(1, math.Abs(tau)) {
			break
		}
	}
	return tau
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
