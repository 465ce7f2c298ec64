package crs

import (
	"fmt"
	"slices"
	"strconv"
)

// ByCode is the CRS with an EPSG code, e.g. 4549; an *UnknownError where it is
// not known here.
func ByCode(epsg int) (*CRS, error) {
	c := build(epsg)
	if c == nil {
		return nil, &UnknownError{Authority: "EPSG", Code: strconv.Itoa(epsg), Hint: hint(epsg)}
	}
	c.authority, c.code = "EPSG", strconv.Itoa(epsg)
	return c, nil
}

// hint says what is meant by a code that people write and that names no CRS of
// positions here.
func hint(code int) string {
	switch code {
	case 900913, 102100, 102113, 3785:
		return "Web Mercator is EPSG:3857"
	case 4978:
		return "geocentric coordinates are computed by Geocentric"
	}
	if VerticalDatum("EPSG:" + strconv.Itoa(code)).Known() {
		return fmt.Sprintf("it is a vertical CRS only; combine it with a horizontal one, as in EPSG:4326+%d", code)
	}
	return ""
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
	text := strconv.Itoa(code)
	for _, k := range threeDimensional {
		if k.code == text {
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
