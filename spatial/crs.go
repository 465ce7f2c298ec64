package spatial

import (
	"strconv"
	"strings"
)

// CRS84 is the EPSG code that stands for the datum of OGC:CRS84, WGS 84. As
// X comes before Y in this package always, OGC:CRS84 and EPSG:4326 are one.
const CRS84 = 4326

// CRS refers to a coordinate reference system. The zero value is an unknown
// one. What the codes mean is the business of package crs.
type CRS struct {
	Horizontal int // EPSG code of the horizontal CRS; zero: not known
	Vertical   int // EPSG code of the vertical CRS; zero: not known, or ellipsoidal
	// VerticalDatum names the datum of heights, e.g. "NAP" or
	// "1985 国家高程基准"; "ellipsoid" for ellipsoidal heights; empty: not known.
	VerticalDatum string
}

// Ellipsoid is the VerticalDatum of heights above the ellipsoid.
const Ellipsoid = "ellipsoid"

// compounds are the compound and three-dimensional CRSs of the EPSG registry
// that name a horizontal and a vertical one.
var compounds = map[int]CRS{
	4979: {4326, 0, Ellipsoid},    // WGS 84, 3D
	4937: {4258, 0, Ellipsoid},    // ETRS89, 3D
	4479: {4490, 0, Ellipsoid},    // CGCS2000, 3D
	7415: {28992, 5709, "NAP"},    // Amersfoort / RD New + NAP height
	6697: {6668, 6695, "JGD2011"}, // JGD2011 + JGD2011 (vertical) height
	5555: {25832, 5783, "DHHN92"}, // ETRS89 / UTM zone 32N + DHHN92 height
	9518: {4326, 3855, "EGM2008"}, // WGS 84 + EGM2008 height
	9707: {4326, 5773, "EGM96"},   // WGS 84 + EGM96 height
}

// verticals name the datum of EPSG vertical CRSs.
var verticals = map[int]string{
	5709: "NAP", 6695: "JGD2011", 5783: "DHHN92", 7837: "DHHN2016", 3855: "EGM2008", 5773: "EGM96",
	5737: "1985 国家高程基准", 5736: "1956 黄海高程系",
}

// EPSG gives the CRS of an EPSG code. A compound code becomes its parts.
func EPSG(code int) CRS {
	if c, ok := compounds[code]; ok {
		return c
	}
	if name, ok := verticals[code]; ok {
		return CRS{Vertical: code, VerticalDatum: name}
	}
	return CRS{Horizontal: code}
}

// Degrees reports whether X and Y are decimal degrees. It knows the geographic
// CRSs that city models come in: WGS 84, CGCS2000, Beijing 1954, Xi'an 1980,
// ETRS89, NAD83, JGD2000 and JGD2011.
func (c CRS) Degrees() bool {
	switch c.Horizontal {
	case 4326, 4490, 4214, 4610, 4258, 4269, 4612, 6668:
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

// ParseCRS reads a reference to a CRS as it stands in files:
//
//	https://www.opengis.net/def/crs/EPSG/0/7415   OGC 09-048r5, as in CityJSON
//	urn:ogc:def:crs:EPSG:6.9:28992                OGC 07-092r3, old GeoJSON and CityJSON 1.0
//	urn:ogc:def:crs,crs:EPSG::28992,crs:EPSG::5709
//	EPSG:4490, EPSG:28992+5709
//	…/def/crs/OGC/1.3/CRS84, CRS84h               WGS 84
func ParseCRS(s string) (CRS, error) {
	text := strings.TrimSpace(s)
	if len(text) > 512 {
		return CRS{}, faultf("crs", "a reference of %d characters", len(text))
	}
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "urn:ogc:def:crs,"):
		return compound(s, strings.Split(lower[len("urn:ogc:def:crs,"):], ","), "crs:")
	case strings.HasPrefix(lower, "urn:ogc:def:crs:"), strings.HasPrefix(lower, "urn:x-ogc:def:crs:"):
		lower = strings.ReplaceAll(lower[strings.Index(lower, "crs:")+len("crs:"):], ":", "/")
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
		i := strings.Index(lower, "/def/crs/")
		if i < 0 {
			return CRS{}, unreadable(s)
		}
		lower = strings.TrimSuffix(lower[i+len("/def/crs/"):], "/")
	case strings.HasPrefix(lower, "epsg:") && strings.Contains(lower, "+"):
		return compound(s, strings.Split(lower[len("epsg:"):], "+"), "")
	case strings.HasPrefix(lower, "epsg:"):
		lower = "epsg/0/" + strings.TrimPrefix(lower[len("epsg:"):], ":")
	case lower == "ogc:crs84" || lower == "crs84":
		lower = "ogc/1.3/crs84"
	case lower == "ogc:crs84h" || lower == "crs84h":
		lower = "ogc/0/crs84h"
	}
	part := strings.Split(lower, "/")
	if len(part) != 3 {
		return CRS{}, unreadable(s)
	}
	switch {
	case part[0] == "ogc" && part[2] == "crs84":
		return CRS{Horizontal: CRS84}, nil
	case part[0] == "ogc" && part[2] == "crs84h":
		return CRS{Horizontal: CRS84, VerticalDatum: Ellipsoid}, nil
	case part[0] == "epsg":
		code, err := strconv.Atoi(part[2])
		if err == nil && code > 0 && code <= 1<<20 {
			return EPSG(code), nil
		}
	}
	return CRS{}, unreadable(s)
}

// compound joins a horizontal and a vertical reference.
func compound(s string, parts []string, prefix string) (CRS, error) {
	if len(parts) != 2 {
		return CRS{}, unreadable(s)
	}
	var c [2]CRS
	for i, p := range parts {
		p, ok := strings.CutPrefix(p, prefix)
		if prefix == "" {
			p = "epsg:" + p
		} else {
			p = "urn:ogc:def:crs:" + p
		}
		var err error
		if c[i], err = ParseCRS(p); !ok || err != nil {
			return CRS{}, unreadable(s)
		}
	}
	h, v := c[0], c[1]
	if v.Known() { // a vertical code that this package has no name for
		v = CRS{Vertical: v.Horizontal}
	}
	if !h.Known() || v.Vertical == 0 {
		return CRS{}, unreadable(s)
	}
	h.Vertical, h.VerticalDatum = v.Vertical, v.VerticalDatum
	return h, nil
}

func unreadable(s string) error {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return faultf("crs", "%q is no reference to a CRS of EPSG or to OGC CRS84; expected e.g. https://www.opengis.net/def/crs/EPSG/0/4490", s)
}
