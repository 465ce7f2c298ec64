package crs

import (
	"fmt"
	"strings"
)

// AxisOrder says in which order the numbers of a coordinate stand. The zero
// value is no order: whoever has coordinates has to know.
type AxisOrder uint8

const (
	// OrderDefined is the order of the axes in the CRS's definition: latitude
	// first for EPSG:4326, northing first for EPSG:4549, easting first for
	// EPSG:28992. OGC services and GML mean this order.
	OrderDefined AxisOrder = iota + 1
	// OrderTraditional is east or longitude first, whatever the definition
	// says ("traditional GIS order"). GeoJSON, Shapefile, GeoPackage and most
	// CSV files mean this order.
	OrderTraditional
)

// String is the order's name.
func (o AxisOrder) String() string {
	switch o {
	case OrderDefined:
		return "defined"
	case OrderTraditional:
		return "traditional"
	}
	return fmt.Sprintf("AxisOrder(%d)", uint8(o))
}

// Axis is one axis of a CRS.
type Axis struct {
	Abbreviation string // as EPSG has it: Lat, Lon, h, E, N, X, Y, H
	Direction    string // north, east or up
	Unit         string // UCUM: deg or m
}

// Area is a rectangle of longitude and latitude, degrees. None of the known
// CRSs crosses the antimeridian.
type Area struct{ West, South, East, North float64 }

// Contains reports whether a place, in degrees, lies in the area enlarged by
// marginDeg on every side.
func (a Area) Contains(lonDeg, latDeg, marginDeg float64) bool {
	return lonDeg >= a.West-marginDeg && lonDeg <= a.East+marginDeg && latDeg >= a.South-marginDeg && latDeg <= a.North+marginDeg
}

// CRS is a coordinate reference system. It is made by ByCode, Parse and the
// methods here, and does not change.
type CRS struct {
	authority string // EPSG or OGC
	code      string // 4326, CRS84h, 25832+5783
	name      string
	datum     datumID
	proj      projection // nil: geographic
	axes      [2]string  // abbreviations in the defined order
	northing  bool       // latitude or northing is the first axis of the definition
	vertical  VerticalDatum
	area      Area
}

// Authority is EPSG or OGC.
func (c *CRS) Authority() string { return c.authority }

// Code is the code at the authority, e.g. 4326 or CRS84h. A combination of a
// horizontal and a vertical CRS that has no code of its own is written with
// both, e.g. 25832+5783.
func (c *CRS) Code() string { return c.code }

// String is authority and code, e.g. EPSG:4326. Parse reads it.
func (c *CRS) String() string { return c.authority + ":" + c.code }

// Name is the name EPSG gives the system.
func (c *CRS) Name() string { return c.name }

// uriBase begins the URIs of OGC's register of definitions (OGC Name Type
// Specification, 09-048r5).
const uriBase = "http://www.opengis.net/def/"

// URI is the identifier that OGC APIs, CityJSON and GML use, e.g.
// http://www.opengis.net/def/crs/EPSG/0/4326. A combination without a code of
// its own has a crs-compound URI. Parse reads both.
func (c *CRS) URI() string {
	version := "0"
	if c.authority == "OGC" {
		version = "1.3"
		if c.code == "CRS84h" {
			version = "0" // OGC API – Features Part 1
		}
	}
	horizontal, vertical, compound := strings.Cut(c.code, "+")
	uri := uriBase + "crs/" + c.authority + "/" + version + "/" + horizontal
	if compound {
		return uriBase + "crs-compound?1=" + uri + "&2=" + uriBase + "crs/EPSG/0/" + vertical
	}
	return uri
}

// Geographic reports whether the horizontal coordinates are longitude and
// latitude in degrees; otherwise they are metres of a map projection.
func (c *CRS) Geographic() bool { return c.proj == nil }

// Dimensions is 3 when the CRS has a height axis, else 2.
func (c *CRS) Dimensions() int {
	if c.vertical == NoVertical {
		return 2
	}
	return 3
}

// Vertical is the datum of the CRS's heights; NoVertical when it has none.
func (c *CRS) Vertical() VerticalDatum { return c.vertical }

// Axes are the axes in the order of the definition.
func (c *CRS) Axes() []Axis {
	unit := "m"
	if c.Geographic() {
		unit = "deg"
	}
	axes := []Axis{{c.axes[0], "east", unit}, {c.axes[1], "north", unit}}
	if c.northing {
		axes[0].Direction, axes[1].Direction = "north", "east"
	}
	switch c.vertical {
	case NoVertical:
	case Ellipsoidal:
		axes = append(axes, Axis{"h", "up", "m"})
	default:
		axes = append(axes, Axis{"H", "up", "m"})
	}
	return axes
}

// NorthFirst reports whether latitude or northing is the first axis of the
// definition, so that the defined and the traditional order differ.
func (c *CRS) NorthFirst() bool { return c.northing }

// Area is where the CRS is meant to be used. It is EPSG's area of use, except
// that for the zones of CGCS2000 and UTM on ETRS89, whose areas EPSG cuts to
// the zone's land, only the zone's longitudes are narrowed.
func (c *CRS) Area() Area { return c.area }

// Equal reports whether c and d are the same system.
func (c *CRS) Equal(d *CRS) bool {
	return c == d || c != nil && d != nil && c.authority == d.authority && c.code == d.code
}

// Horizontal is the CRS without its heights: EPSG:28992 for EPSG:7415,
// EPSG:4326 for EPSG:4979. A CRS without heights is its own.
func (c *CRS) Horizontal() *CRS {
	if c.vertical == NoVertical {
		return c
	}
	if c.authority == "OGC" {
		return mustKnow("OGC", "CRS84")
	}
	code, _, _ := strings.Cut(c.code, "+")
	for _, k := range threeDimensional {
		if k.code == code {
			code = k.horizontal
		}
	}
	return mustKnow("EPSG", code)
}

// WithVertical is the horizontal part of c with heights above v: EPSG:7415
// for EPSG:28992 with NAP, otherwise a combination. Ellipsoidal heights exist
// only on geographic WGS 84, ETRS89, CGCS2000 and JGD2011, where the result is
// the three-dimensional CRS.
func (c *CRS) WithVertical(v VerticalDatum) (*CRS, error) {
	h := c.Horizontal()
	if v == NoVertical {
		return h, nil
	}
	if h.authority == "OGC" {
		if v == Ellipsoidal {
			return mustKnow("OGC", "CRS84h"), nil
		}
		return nil, &VerticalError{From: h.vertical, To: v, Reason: "OGC:CRS84 takes ellipsoidal heights only; use EPSG:4326 in traditional order"}
	}
	for _, k := range threeDimensional {
		if k.horizontal == h.code && k.vertical == v {
			return mustKnow("EPSG", k.code), nil
		}
	}
	code := v.epsg()
	if code == "" {
		return nil, &VerticalError{From: h.vertical, To: v, Reason: h.String() + " cannot be combined with it: only a vertical CRS with an EPSG code makes a compound CRS"}
	}
	d := *h
	d.code += "+" + code
	d.name += " + " + v.Name()
	d.vertical = v
	return &d, nil
}

// Ordered is a CRS together with the order in which its coordinates stand.
type Ordered struct {
	CRS   *CRS
	Order AxisOrder
}

// Defined is the CRS with its axes in the order of its definition.
func (c *CRS) Defined() Ordered { return Ordered{c, OrderDefined} }

// Traditional is the CRS with east or longitude first.
func (c *CRS) Traditional() Ordered { return Ordered{c, OrderTraditional} }

// northFirst reports whether the first number is latitude or northing.
func (o Ordered) northFirst() bool { return o.Order == OrderDefined && o.CRS.northing }
