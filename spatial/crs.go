package spatial

import "strconv"

// CRS84 is the EPSG code that stands for the datum of OGC:CRS84, WGS 84. As
// X comes before Y in this package always, OGC:CRS84 and EPSG:4326 are one.
const CRS84 = 4326

// CRS refers to a coordinate reference system. The zero value is an unknown
// one. What the codes mean is the business of package crs, which makes these
// values: crs.Reference of a text, crs.EPSG of a code.
type CRS struct {
	Horizontal int // EPSG code of the horizontal CRS; zero: not known
	Vertical   int // EPSG code of the vertical CRS; zero: not known, or ellipsoidal
	// VerticalDatum names the datum of heights, e.g. "NAP" or
	// "1985 国家高程基准"; "ellipsoid" for ellipsoidal heights; empty: not known.
	VerticalDatum string
}

// Ellipsoid is the VerticalDatum of heights above the ellipsoid.
const Ellipsoid = "ellipsoid"

// Degrees reports whether X and Y are decimal degrees. It knows the geographic
// CRSs that city models come in: WGS 84, CGCS2000, ETRS89, JGD2011, Amersfoort
// and MGI, which package crs knows as well, and Beijing 1954, Xi'an 1980, NAD83
// and JGD2000.
func (c CRS) Degrees() bool {
	switch c.Horizontal {
	case 4326, 4490, 4258, 6668, 4289, 4312, 4214, 4610, 4269, 4612:
		return true
	}
	return false
}

// Known reports whether the horizontal CRS is known.
func (c CRS) Known() bool { return c.Horizontal != 0 }

// String is e.g. "EPSG:28992+5709 (NAP)".
func (c CRS) String() string {
	if !c.Known() {
		return "unknown"
	}
	s := "EPSG:" + strconv.Itoa(c.Horizontal)
	if c.Vertical != 0 {
		s += "+" + strconv.Itoa(c.Vertical)
	}
	if c.VerticalDatum != "" {
		s += " (" + c.VerticalDatum + ")"
	}
	return s
}
