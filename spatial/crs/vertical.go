package crs

import (
	"strings"

	"cityhub/spatial"
)

// VerticalDatum names what heights are measured from. Those with a vertical
// CRS in EPSG are written as that CRS's code, so that the value explains
// itself where it is stored.
type VerticalDatum string

// The vertical datums that the hub's data come in.
const (
	// NoVertical: no heights, or heights of which nothing is known.
	NoVertical VerticalDatum = ""
	// Ellipsoidal is the ellipsoid of the CRS itself. Between WGS 84, ETRS89,
	// CGCS2000 and JGD2011 these heights are the same within the stated
	// accuracy.
	Ellipsoidal VerticalDatum = "ellipsoid"

	YellowSea1985 VerticalDatum = "EPSG:5737" // 1985国家高程基准, China
	YellowSea1956 VerticalDatum = "EPSG:5736" // 1956年黄海高程系, China
	NAP           VerticalDatum = "EPSG:5709" // Normaal Amsterdams Peil, the Netherlands
	JGD2011Height VerticalDatum = "EPSG:6695" // Japan
	GHA           VerticalDatum = "EPSG:5778" // Gebrauchshöhen Adria, Austria
	ViennaHeight  VerticalDatum = "EPSG:8881" // Wiener Null, 156.68 m above GHA's zero
	DHHN92        VerticalDatum = "EPSG:5783" // Germany
	DHHN2016      VerticalDatum = "EPSG:7837" // Germany
	EVRF2007      VerticalDatum = "EPSG:5621" // Europe
	EGM96         VerticalDatum = "EPSG:5773" // geoid of WGS 84 receivers
	EGM2008       VerticalDatum = "EPSG:3855"

	// Wusong is 吴淞高程系统, in which water levels around Suzhou are given. It
	// has no EPSG code and differs from YellowSea1985 by an amount that varies
	// from place to place.
	Wusong VerticalDatum = "local:wusong"
)

var verticalNames = []struct {
	datum       VerticalDatum
	name, short string
}{
	{Ellipsoidal, "ellipsoidal height", spatial.Ellipsoid},
	{YellowSea1985, "Yellow Sea 1985 height", "1985 国家高程基准"},
	{YellowSea1956, "Yellow Sea 1956 height", "1956 黄海高程系"},
	{NAP, "NAP height", "NAP"},
	{JGD2011Height, "JGD2011 (vertical) height", "JGD2011"},
	{GHA, "GHA height", "GHA"},
	{ViennaHeight, "Vienna height", "Wiener Null"},
	{DHHN92, "DHHN92 height", "DHHN92"},
	{DHHN2016, "DHHN2016 height", "DHHN2016"},
	{EVRF2007, "EVRF2007 height", "EVRF2007"},
	{EGM96, "EGM96 height", "EGM96"},
	{EGM2008, "EGM2008 height", "EGM2008"},
	{Wusong, "Wusong height (吴淞高程)", "吴淞高程系统"},
}

// VerticalDatums lists the known datums.
func VerticalDatums() []VerticalDatum {
	list := make([]VerticalDatum, 0, len(verticalNames))
	for _, v := range verticalNames {
		list = append(list, v.datum)
	}
	return list
}

// Known reports whether v is one of the datums listed here.
func (v VerticalDatum) Known() bool {
	for _, k := range verticalNames {
		if k.datum == v {
			return true
		}
	}
	return false
}

// Name is EPSG's name of the vertical CRS, or the value itself where it has
// none; "no vertical datum" for NoVertical.
func (v VerticalDatum) Name() string {
	if v == NoVertical {
		return "no vertical datum"
	}
	for _, k := range verticalNames {
		if k.datum == v {
			return k.name
		}
	}
	return string(v)
}

// epsg is the code of the vertical CRS; empty where v is not known to have one.
func (v VerticalDatum) epsg() string {
	code, found := strings.CutPrefix(string(v), "EPSG:")
	if !found || !v.Known() {
		return ""
	}
	return code
}
