package crs

import "math"

// GCJ02 is a position in GCJ-02 (火星坐标系), the deliberate distortion of
// WGS 84 in which Chinese map services give coordinates; about 470 m in
// Suzhou. It is not a coordinate reference system and has no EPSG code: it is a
// type of its own so that it is only converted where somebody has declared that
// an input is distorted. Nothing is ever stored in it.
//
// The official transformation is not published. The one here is the usual
// reconstruction, which agrees with the services within a few metres.
type GCJ02 struct{ LonDeg, LatDeg float64 }

// gcj02Area is where the distortion is applied: a rectangle around China that
// also holds much of its neighbours, to which the services' maps apply none.
var gcj02Area = Area{72.004, 0.8293, 137.8347, 55.8271}

// InGCJ02Area reports whether the distortion is applied at a place. The
// rectangle is the customary one and coarser than the truth: coordinates of
// Hong Kong, Taiwan, Korea or Mongolia should not be declared GCJ-02.
func InGCJ02Area(lonDeg, latDeg float64) bool { return gcj02Area.Contains(lonDeg, latDeg, 0) }

// ToGCJ02 distorts a WGS 84 position. Outside the area it is returned as it is.
func ToGCJ02(lonDeg, latDeg float64) GCJ02 {
	if !InGCJ02Area(lonDeg, latDeg) { // also NaN
		return GCJ02{lonDeg, latDeg}
	}
	dLon, dLat := gcj02Shift(lonDeg, latDeg)
	return GCJ02{lonDeg + dLon, latDeg + dLat}
}

// WGS84 is the position without the distortion: the one that ToGCJ02 takes to
// g, found by iteration to 1e-11 degrees (a micrometre). Outside the area it is
// the position itself.
func (g GCJ02) WGS84() (lonDeg, latDeg float64) {
	if !InGCJ02Area(g.LonDeg, g.LatDeg) {
		return g.LonDeg, g.LatDeg
	}
	lonDeg, latDeg = g.LonDeg, g.LatDeg
	// The shift changes by less than 1 % of the distance, so that every pass
	// gains two digits or more.
	for range 12 {
		dLon, dLat := gcj02Shift(lonDeg, latDeg)
		lon, lat := g.LonDeg-dLon, g.LatDeg-dLat
		moved := math.Max(math.Abs(lon-lonDeg), math.Abs(lat-latDeg))
		lonDeg, latDeg = lon, lat
		if moved < 1e-11 {
			break
		}
	}
	return lonDeg, latDeg
}

// GCJ02ToWGS84 converts coordinates that stand one after another in src,
// stride numbers each, longitude and latitude in degrees first, into dst, which
// has the same length and may be src itself. Heights and other numbers are
// copied. It fails as Transform.Flat does.
func GCJ02ToWGS84(dst, src []float64, stride int) error {
	if stride < 2 {
		return &OptionError{Field: "stride", Expected: "2 or more"}
	}
	if len(dst) != len(src) || len(src)%stride != 0 {
		return &OptionError{Field: "dst, src", Expected: "equal lengths, a multiple of stride"}
	}
	for i := 0; i < len(src); i += stride {
		lon, lat := src[i], src[i+1]
		if reason := checkDegrees(lon, lat); reason != 0 {
			return &CoordinateError{Index: i / stride, Values: [3]float64{lon, lat}, Reason: reason, From: "GCJ-02 (Lon, Lat)", To: "EPSG:4326 (Lon, Lat)"}
		}
		copy(dst[i:i+stride], src[i:i+stride])
		dst[i], dst[i+1] = GCJ02{lon, lat}.WGS84()
	}
	return nil
}

// gcj02Shift is what the distortion adds to a WGS 84 position, in degrees.
func gcj02Shift(lonDeg, latDeg float64) (dLonDeg, dLatDeg float64) {
	// The Krassovsky ellipsoid, with the digits in general use.
	const a, e2 = 6378245.0, 0.00669342162296594323
	x, y := lonDeg-105, latDeg-35
	root := 0.1 * math.Sqrt(math.Abs(x))
	// Metres. Both share the ripple of longitude, then each has waves of its own.
	ripple := 20*math.Sin(6*math.Pi*x) + 20*math.Sin(2*math.Pi*x)
	north := -100 + 2*x + 3*y + 0.2*y*y + 0.1*x*y + 2*root +
		(ripple+20*math.Sin(math.Pi*y)+40*math.Sin(math.Pi*y/3)+160*math.Sin(math.Pi*y/12)+320*math.Sin(math.Pi*y/30))*2/3
	east := 300 + x + 2*y + 0.1*x*x + 0.1*x*y + root +
		(ripple+20*math.Sin(math.Pi*x)+40*math.Sin(math.Pi*x/3)+150*math.Sin(math.Pi*x/12)+300*math.Sin(math.Pi*x/30))*2/3

	sinLat, cosLat := math.Sincos(latDeg * degree)
	w2 := 1 - e2*sinLat*sinLat
	meridian := a * (1 - e2) / (w2 * math.Sqrt(w2)) // radius along the meridian
	parallel := a / math.Sqrt(w2) * cosLat          // radius of the parallel
	return east / (parallel * degree), north / (meridian * degree)
}
