package crs

import (
	"fmt"
	"slices"
	"strconv"
)

var (
	world       = Area{-180, -90, 180, 90}
	chinaArea   = Area{73.62, 16.7, 134.77, 53.56}
	europeArea  = Area{-16.1, 33.26, 38.01, 84.73}
	dutchArea   = Area{3.2, 50.75, 7.22, 53.7}
	austrArea   = Area{9.53, 46.4, 17.17, 49.02}
	austrWest   = Area{9.53, 46.77, 11.84, 47.61}
	austrMiddle = Area{11.83, 46.4, 14.84, 48.79}
	austrEast   = Area{14.83, 46.56, 17.17, 49.02}
)

// threeDimensional are the CRSs with heights that have a code of their own.
var threeDimensional = []struct {
	code, horizontal string
	vertical         VerticalDatum
	name             string
	area             Area
}{
	{"4979", "4326", Ellipsoidal, "WGS 84", world},
	{"4937", "4258", Ellipsoidal, "ETRS89", europeArea},
	{"4480", "4490", Ellipsoidal, "China Geodetic Coordinate System 2000", chinaArea},
	{"6667", "6668", Ellipsoidal, "JGD2011", Area{122.38, 17.09, 157.65, 46.05}},
	{"6697", "6668", JGD2011Height, "JGD2011 + JGD2011 (vertical) height", Area{129.3, 30.94, 145.87, 45.54}},
	{"7415", "28992", NAP, "Amersfoort / RD New + NAP height", dutchArea},
}

// austria are the Gauss-Krüger systems of MGI.
var austria = []struct {
	code     int
	name     string
	meridian float64 // degrees
	fe, fn   float64 // metres
	area     Area
}{
	{31254, "GK West", 10 + 1./3, 0, -5e6, austrWest},
	{31255, "GK Central", 13 + 1./3, 0, -5e6, austrMiddle},
	{31256, "GK East", 16 + 1./3, 0, -5e6, austrEast},
	{31257, "GK M28", 10 + 1./3, 150e3, -5e6, austrWest},
	{31258, "GK M31", 13 + 1./3, 450e3, -5e6, austrMiddle},
	{31259, "GK M34", 16 + 1./3, 750e3, -5e6, austrEast},
	{31284, "M28", 10 + 1./3, 150e3, 0, austrWest},
	{31285, "M31", 13 + 1./3, 450e3, 0, austrMiddle},
	{31286, "M34", 16 + 1./3, 750e3, 0, austrEast},
}

// japan are the origins of the plane rectangular systems 6669 to 6687.
var japan = []struct {
	name     string
	lat, lon float64 // degrees
	area     Area
}{
	{"I", 33, 129.5, Area{128.17, 26.96, 130.46, 34.74}},
	{"II", 33, 131, Area{129.76, 30.18, 132.05, 33.99}},
	{"III", 36, 132 + 1./6, Area{130.81, 33.72, 133.49, 36.38}},
	{"IV", 33, 133.5, Area{131.95, 32.69, 134.81, 34.45}},
	{"V", 36, 134 + 1./3, Area{133.13, 34.13, 135.47, 35.71}},
	{"VI", 36, 136, Area{134.86, 33.4, 136.99, 36.33}},
	{"VII", 36, 137 + 1./6, Area{136.22, 34.51, 137.84, 37.58}},
	{"VIII", 36, 138.5, Area{137.32, 34.54, 139.91, 38.58}},
	{"IX", 36, 139 + 5./6, Area{138.4, 29.31, 141.11, 37.98}},
	{"X", 40, 140 + 5./6, Area{139.49, 37.73, 142.14, 41.58}},
	{"XI", 44, 140.25, Area{139.34, 41.34, 141.46, 43.42}},
	{"XII", 44, 142.25, Area{140.89, 42.15, 143.61, 45.54}},
	{"XIII", 44, 144.25, Area{142.61, 41.87, 145.87, 44.4}},
	{"XIV", 26, 142, Area{141.2, 24.67, 142.33, 27.8}},
	{"XV", 26, 127.5, Area{126.63, 26.02, 128.4, 26.91}},
	{"XVI", 26, 124, Area{122.83, 23.98, 125.51, 24.94}},
	{"XVII", 26, 131, Area{131.12, 24.4, 131.38, 26.01}},
	{"XVIII", 20, 136, Area{136.02, 20.37, 136.16, 20.48}},
	{"XIX", 26, 154, Area{153.91, 24.22, 154.05, 24.35}},
}

// ByCode is the CRS with an EPSG code, e.g. 4549; an *UnknownError where it is
// not known here.
func ByCode(epsg int) (*CRS, error) {
	c := build(epsg)
	if c == nil {
		return nil, &UnknownError{Authority: "EPSG", Code: strconv.Itoa(epsg), Hint: hints[epsg]}
	}
	c.authority, c.code = "EPSG", strconv.Itoa(epsg)
	return c, nil
}

// hints say what is meant by codes that people write and EPSG does not know,
// or that mean something other than a CRS of coordinates.
var hints = map[int]string{
	900913: "Web Mercator is EPSG:3857",
	102100: "Web Mercator is EPSG:3857",
	102113: "Web Mercator is EPSG:3857",
	3785:   "Web Mercator is EPSG:3857",
	4978:   "geocentric coordinates are computed by Geocentric",
	5709:   "it is a vertical CRS only; RD New with NAP heights is EPSG:7415",
	6695:   "it is a vertical CRS only; JGD2011 with its heights is EPSG:6697",
	5737:   "it is a vertical CRS only; combine it with a horizontal one, as in EPSG:4490+5737",
	8881:   "it is a vertical CRS only; combine it with a horizontal one, as in EPSG:31256+8881",
}

// WGS84 is EPSG:4326.
func WGS84() *CRS { return mustKnow("EPSG", "4326") }

// Codes lists the EPSG codes that ByCode knows, in ascending order.
func Codes() []int {
	codes := []int{4326, 4490, 4258, 4289, 4312, 6668, 3857, 28992}
	for _, k := range threeDimensional {
		code, _ := strconv.Atoi(k.code)
		codes = append(codes, code)
	}
	for _, r := range [][2]int{{4491, 4554}, {6669, 6687}, {25828, 25837}, {31254, 31259}, {31284, 31286}, {32601, 32660}, {32701, 32760}} {
		for code := r[0]; code <= r[1]; code++ {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return codes
}

// mustKnow is a CRS of this package's own tables, to which the error is a
// defect that every test would meet.
func mustKnow(authority, code string) *CRS {
	c, err := lookup(authority, code)
	if err != nil {
		panic("crs: " + err.Error())
	}
	return c
}

func geographic(name string, d datumID, area Area) *CRS {
	return &CRS{name: name, datum: d, axes: [2]string{"Lat", "Lon"}, northing: true, area: area}
}

// build makes the CRS without its identifier; nil when the code is not known.
func build(code int) *CRS {
	for _, k := range threeDimensional {
		if k.code == strconv.Itoa(code) {
			c := *mustKnow("EPSG", k.horizontal)
			c.name, c.vertical, c.area = k.name, k.vertical, k.area
			return &c
		}
	}
	switch {
	case code == 4326:
		return geographic("WGS 84", datumWGS84, world)
	case code == 4258:
		return geographic("ETRS89", datumETRS89, europeArea)
	case code == 4490:
		return geographic("China Geodetic Coordinate System 2000", datumCGCS2000, chinaArea)
	case code == 6668:
		return geographic("JGD2011", datumJGD2011, Area{122.38, 17.09, 157.65, 46.05})
	case code == 4289:
		return geographic("Amersfoort", datumAmersfoort, dutchArea)
	case code == 4312:
		return geographic("MGI", datumMGI, austrArea)
	case code == 3857:
		return &CRS{name: "WGS 84 / Pseudo-Mercator", datum: datumWGS84, proj: webMercator{wgs84Ellipsoid().a}, axes: [2]string{"X", "Y"}, area: Area{-180, -85.06, 180, 85.06}}
	case code == 28992:
		return &CRS{name: "Amersfoort / RD New", datum: datumAmersfoort, axes: [2]string{"X", "Y"}, area: dutchArea,
			proj: newObliqueStereographic(besselEllipsoid(), dms(5, 23, 15.5)*degree, dms(52, 9, 22.178)*degree, 0.9999079, 155000, 463000)}
	case code >= 4491 && code <= 4554:
		return cgcs2000(code)
	case code >= 6669 && code <= 6687:
		z := japan[code-6669]
		return gaussKrueger("JGD2011 / Japan Plane Rectangular CS "+z.name, datumJGD2011, z.lon, z.lat, 0.9999, 0, 0, z.area)
	case code >= 25828 && code <= 25837:
		zone := code - 25800
		return utm(fmt.Sprintf("ETRS89 / UTM zone %dN", zone), datumETRS89, zone, 0, europeArea.South, europeArea.North)
	case code >= 32601 && code <= 32660:
		zone := code - 32600
		return utm(fmt.Sprintf("WGS 84 / UTM zone %dN", zone), datumWGS84, zone, 0, 0, 84)
	case code >= 32701 && code <= 32760:
		zone := code - 32700
		return utm(fmt.Sprintf("WGS 84 / UTM zone %dS", zone), datumWGS84, zone, 1e7, -80, 0)
	}
	for _, k := range austria {
		if k.code == code {
			return gaussKrueger("MGI / Austria "+k.name, datumMGI, k.meridian, 0, 1, k.fe, k.fn, k.area)
		}
	}
	return nil
}

// dms is an angle in degrees.
func dms(degrees, minutes, seconds float64) float64 { return degrees + minutes/60 + seconds/3600 }

// gaussKrueger is a transverse Mercator CRS with X north and Y east. Angles
// are degrees.
func gaussKrueger(name string, d datumID, lon0, lat0, k0, fe, fn float64, area Area) *CRS {
	return &CRS{name: name, datum: d, axes: [2]string{"X", "Y"}, northing: true, area: area,
		proj: newTransverseMercator(d.datum().ellipsoid, lon0*degree, lat0*degree, k0, fe, fn)}
}

// utm is a zone of the universal transverse Mercator grid.
func utm(name string, d datumID, zone int, fn, south, north float64) *CRS {
	meridian := float64(6*zone - 183)
	return &CRS{name: name, datum: d, axes: [2]string{"E", "N"},
		area: Area{meridian - 3, south, meridian + 3, north},
		proj: newTransverseMercator(d.datum().ellipsoid, meridian*degree, 0, 0.9996, 500e3, fn)}
}

// cgcs2000 is one of the Gauss-Krüger systems of China: 6-degree zones 13 to
// 23 (4491 to 4501) and 3-degree zones 25 to 45 (4513 to 4533), whose easting
// begins with the zone's number, and the same by central meridian without the
// number (4502 to 4512, 4534 to 4554).
func cgcs2000(code int) *CRS {
	var width, zone, meridian float64
	var name string
	prefixed := code <= 4501 || code >= 4513 && code <= 4533
	switch {
	case code <= 4512: // 6 degrees
		zone = float64(13 + (code-4491)%11)
		meridian, width, name = 6*zone-3, 6, "CGCS2000 / Gauss-Kruger "
	default:
		zone = float64(25 + (code-4513)%21)
		meridian, width, name = 3*zone, 3, "CGCS2000 / 3-degree Gauss-Kruger "
	}
	fe := 500e3
	if prefixed {
		fe += zone * 1e6
		name += fmt.Sprintf("zone %.0f", zone)
	} else {
		name += fmt.Sprintf("CM %.0fE", meridian)
	}
	area := Area{max(chinaArea.West, meridian-width/2), chinaArea.South, min(chinaArea.East, meridian+width/2), chinaArea.North}
	return gaussKrueger(name, datumCGCS2000, meridian, 0, 1, fe, 0, area)
}
