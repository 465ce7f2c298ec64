// Package prj finds the EPSG code of a coordinate reference system that is
// written as well-known text (OGC 01-009, "WKT 1", also as Esri writes it into
// .prj files, and the identifiers of WKT 2, OGC 18-010). It knows those of
// package crs. Its functions hold no state.
package prj

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Code is the EPSG code of the horizontal CRS and, where it is a compound, of
// the vertical one (0: none).
func Code(text string) (horizontal, vertical int, err error) {
	if len(text) > 64<<10 {
		return 0, 0, fmt.Errorf("the text has %d bytes; a CRS has 64 KiB at most", len(text))
	}
	p := parser{text: strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))}
	root, err := p.node(0)
	if err != nil {
		return 0, 0, err
	}
	switch root.word {
	case "COMPD_CS", "COMPOUNDCRS":
		if len(root.nodes) < 2 {
			return 0, 0, fmt.Errorf("compound CRS %q without two parts", root.name())
		}
		if vertical, _ = root.nodes[1].epsg(); vertical == 0 {
			return 0, 0, fmt.Errorf("the vertical CRS %q has no EPSG code", root.nodes[1].name())
		}
		root = root.nodes[0]
	case "BOUNDCRS":
		if inner := root.find("SOURCECRS"); inner != nil && len(inner.nodes) > 0 {
			root = inner.nodes[0]
		}
	}
	if code, ok := root.epsg(); ok {
		return code, vertical, nil
	}
	code := 0
	switch root.word {
	case "GEOGCS", "GEOGCRS", "GEOGRAPHICCRS", "GEODCRS":
		code = root.geographic()
	case "PROJCS", "PROJCRS", "PROJECTEDCRS":
		code = root.projected()
	default:
		return 0, 0, fmt.Errorf("%.40q is no coordinate reference system (expected GEOGCS, PROJCS or COMPD_CS)", root.word)
	}
	if code == 0 {
		return 0, 0, fmt.Errorf("the CRS %q is none that is known here", root.name())
	}
	return code, vertical, nil
}

// node is WORD["text", number, NODE[…], …].
type node struct {
	word    string
	texts   []string
	numbers []float64
	nodes   []*node
}

func (n *node) name() string {
	if len(n.texts) > 0 {
		return n.texts[0]
	}
	return ""
}

// find is the first member of that word.
func (n *node) find(words ...string) *node {
	for _, m := range n.nodes {
		for _, w := range words {
			if m.word == w {
				return m
			}
		}
	}
	return nil
}

// epsg is the code of n's own AUTHORITY or ID.
func (n *node) epsg() (int, bool) {
	a := n.find("AUTHORITY", "ID")
	if a == nil || !strings.EqualFold(a.name(), "EPSG") {
		return 0, false
	}
	if len(a.texts) > 1 {
		code, err := strconv.Atoi(a.texts[1])
		return code, err == nil && code > 0
	}
	if len(a.numbers) > 0 && a.numbers[0] > 0 && a.numbers[0] < 1e6 {
		return int(a.numbers[0]), true
	}
	return 0, false
}

// plain leaves letters and digits.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, s)
}

// datums are the names of the datums, as EPSG, GDAL and Esri write them, with
// the code of their geographic CRS and the semi-major axis of the ellipsoid in
// metres.
var datums = map[string]struct {
	code int
	axis float64
}{
	"wgs1984": {4326, 6378137}, "dwgs1984": {4326, 6378137}, "wgs84": {4326, 6378137}, "worldgeodeticsystem1984": {4326, 6378137}, "worldgeodeticsystem1984ensemble": {4326, 6378137},
	"china2000": {4490, 6378137}, "dchina2000": {4490, 6378137}, "cgcs2000": {4490, 6378137}, "dcgcs2000": {4490, 6378137},
	"chinageodeticcoordinatesystem2000": {4490, 6378137}, "dchinageodeticcoordinatesystem2000": {4490, 6378137}, "chinageodeticcoordinatesystem2000gcs": {4490, 6378137},
	"europeanterrestrialreferencesystem1989": {4258, 6378137}, "europeanterrestrialreferencesystem1989ensemble": {4258, 6378137}, "detrs1989": {4258, 6378137}, "etrs1989": {4258, 6378137},
	"amersfoort": {4289, 6377397.155}, "damersfoort": {4289, 6377397.155},
	"mgi": {4312, 6377397.155}, "dmgi": {4312, 6377397.155}, "militargeographischeinstitut": {4312, 6377397.155}, "militargeographischesinstitut": {4312, 6377397.155}, "militrgeographischeinstitut": {4312, 6377397.155},
	"djgd2011": {6668, 6378137}, "jgd2011": {6668, 6378137}, "japanesegeodeticdatum2011": {6668, 6378137},
	// Known as geographic systems only, to package spatial.
	"xian1980": {4610, 6378140}, "dxian1980": {4610, 6378140}, "beijing1954": {4214, 6378245}, "dbeijing1954": {4214, 6378245},
}

// geographic is the code of a geographic CRS in degrees from Greenwich.
func (n *node) geographic() int {
	datum := n.find("DATUM", "ENSEMBLE", "GEODETICDATUM")
	if datum == nil {
		return 0
	}
	d, ok := datums[plain(datum.name())]
	if !ok {
		return 0
	}
	if e := datum.find("SPHEROID", "ELLIPSOID"); e == nil || len(e.numbers) < 1 || math.Abs(e.numbers[0]-d.axis) > 0.01 {
		return 0
	}
	if m := n.find("PRIMEM"); m != nil && len(m.numbers) > 0 && m.numbers[0] != 0 {
		return 0
	}
	if u := n.find("UNIT", "ANGLEUNIT"); u != nil && (len(u.numbers) < 1 || math.Abs(u.numbers[0]-math.Pi/180) > 1e-9) {
		return 0
	}
	return d.code
}

// projected is the code of a map projection in metres.
func (n *node) projected() int {
	base, projection := n.find("GEOGCS", "BASEGEOGCRS", "BASEGEODCRS"), n.find("PROJECTION", "METHOD")
	if conversion := n.find("CONVERSION"); conversion != nil {
		projection = conversion.find("METHOD")
	}
	if base == nil || projection == nil {
		return 0
	}
	if u := n.find("UNIT", "LENGTHUNIT"); u != nil && (len(u.numbers) < 1 || u.numbers[0] != 1) {
		return 0
	}
	p := n.parameters()
	geo := base.geographic()
	switch method := plain(projection.name()); method {
	case "mercatorauxiliarysphere", "popularvisualisationpseudomercator":
		if geo == 4326 && p.near(0, 0, 0, 0, p.scale) {
			return 3857
		}
	case "mercator1sp", "mercator": // GDAL's form of Web Mercator, told by its name
		if name := plain(n.name()); geo == 4326 && (name == "wgs84pseudomercator" || name == "wgs1984webmercatorauxiliarysphere") && p.near(0, 0, 0, 0, p.scale) {
			return 3857
		}
	case "doublestereographic", "obliquestereographic":
		if geo == 4289 && p.near(52.15616055, 5.38763889, 155000, 463000, 0.9999079) {
			return 28992
		}
	case "transversemercator", "gausskruger":
		return p.transverseMercator(geo, plain(n.name()))
	}
	return 0
}

// parameters of a projection: degrees and metres.
type parameters struct{ lat, lon, east, north, scale float64 }

func (n *node) parameters() parameters {
	p := parameters{scale: 1}
	list := n.nodes
	if conversion := n.find("CONVERSION"); conversion != nil {
		list = conversion.nodes
	}
	for _, m := range list {
		if m.word != "PARAMETER" || len(m.numbers) == 0 {
			continue
		}
		v := m.numbers[0]
		switch plain(m.name()) {
		case "falseeasting":
			p.east = v
		case "falsenorthing":
			p.north = v
		case "centralmeridian", "longitudeoforigin", "longitudeofcenter", "longitudeofnaturalorigin":
			p.lon = v
		case "latitudeoforigin", "latitudeofcenter", "latitudeofnaturalorigin":
			p.lat = v
		case "scalefactor", "scalefactoratnaturalorigin":
			p.scale = v
		}
	}
	return p
}

// near reports whether p has these values, within a millimetre.
func (p parameters) near(lat, lon, east, north, scale float64) bool {
	const degrees = 1e-8
	return math.Abs(p.lat-lat) < degrees && math.Abs(p.lon-lon) < degrees && math.Abs(p.east-east) < 1e-3 && math.Abs(p.north-north) < 1e-3 && math.Abs(p.scale-scale) < 1e-9
}

// transverseMercator finds the zone in the families that package crs knows.
func (p parameters) transverseMercator(geo int, name string) int {
	zone := math.Round((p.lon + 183) / 6)
	utm := p.near(0, 6*zone-183, 500000, 0, 0.9996)
	switch geo {
	case 4326:
		switch {
		case utm && zone >= 1 && zone <= 60:
			return 32600 + int(zone)
		case p.near(0, 6*zone-183, 500000, 1e7, 0.9996) && zone >= 1 && zone <= 60:
			return 32700 + int(zone)
		}
	case 4258:
		if utm && zone >= 28 && zone <= 37 {
			return 25800 + int(zone)
		}
	case 4490:
		return p.cgcs2000(name)
	case 4312:
		for i, lon := range []float64{10 + 1./3, 13 + 1./3, 16 + 1./3} {
			east := 150000 + 300000*float64(i)
			switch {
			case p.near(0, lon, 0, -5e6, 1):
				return 31254 + i
			case p.near(0, lon, east, -5e6, 1):
				return 31257 + i
			case p.near(0, lon, east, 0, 1):
				return 31284 + i
			}
		}
	case 6668:
		for i, o := range japan {
			if p.near(o[0], o[1], 0, 0, 0.9999) {
				return 6669 + i
			}
		}
	}
	return 0
}

// cgcs2000 finds the Gauss-Krüger zone: of 3 or 6 degrees, its number in front
// of the easting or not. Without the number zones of both widths can be the
// same projection; the name tells them apart.
func (p parameters) cgcs2000(name string) int {
	three, six := math.Round(p.lon/3), math.Round((p.lon+3)/6)
	is3 := three >= 25 && three <= 45
	is6 := six >= 13 && six <= 23
	switch {
	case is3 && p.near(0, 3*three, three*1e6+500000, 0, 1):
		return 4513 + int(three) - 25
	case is6 && p.near(0, 6*six-3, six*1e6+500000, 0, 1):
		return 4491 + int(six) - 13
	case is6 && p.near(0, 6*six-3, 500000, 0, 1) && !strings.Contains(name, "3degree"):
		return 4502 + int(six) - 13
	case is3 && p.near(0, 3*three, 500000, 0, 1):
		return 4534 + int(three) - 25
	}
	return 0
}

// japan are the origins, latitude and longitude, of the plane rectangular
// systems I to XIX (EPSG:6669 to 6687).
var japan = [][2]float64{
	{33, 129.5}, {33, 131}, {36, 132 + 1./6}, {33, 133.5}, {36, 134 + 1./3}, {36, 136}, {36, 137 + 1./6}, {36, 138.5}, {36, 139 + 5./6}, {40, 140 + 5./6},
	{44, 140.25}, {44, 142.25}, {44, 144.25}, {26, 142}, {26, 127.5}, {26, 124}, {26, 131}, {20, 136}, {26, 154},
}
