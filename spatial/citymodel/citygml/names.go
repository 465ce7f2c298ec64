package citygml

import (
	"strings"

	"cityhub/spatial/citymodel"
)

// namespace is the vocabulary from which a name comes.
type namespace uint8

const (
	nsOther    namespace = iota // an ADE, or an address language
	nsGML                       // http://www.opengis.net/gml, with or without a version
	nsCity                      // CityGML's core and modules
	nsGenerics                  // CityGML's module generics
)

// name is the name of an element.
type name struct {
	ns    namespace
	space string
	local string
	label string // as the name of an attribute
}

const (
	citySpace = "http://www.opengis.net/citygml/"
	gmlSpace  = "http://www.opengis.net/gml"
	xlink     = "http://www.w3.org/1999/xlink"
)

func namespaceOf(space string) namespace {
	switch {
	case strings.HasPrefix(space, citySpace+"generics/"):
		return nsGenerics
	case strings.HasPrefix(space, citySpace):
		return nsCity
	case space == gmlSpace || strings.HasPrefix(space, gmlSpace+"/"):
		return nsGML
	}
	return nsOther
}

func (n *name) city() bool { return n.ns == nsCity || n.ns == nsGenerics }

// versionOf is the version of CityGML that a namespace of its core names.
func versionOf(space string) string {
	rest, ok := strings.CutPrefix(space, citySpace)
	rest = strings.TrimPrefix(rest, "profiles/base/")
	if ok && (rest == "1.0" || rest == "2.0" || rest == "3.0") {
		return rest
	}
	return ""
}

// isMember tells the properties of a CityModel that hold an object: of CityGML,
// and of GML, which CityGML 1.0 and 2.0 allow in their place.
func isMember(n *name) bool {
	return n.local == "cityObjectMember" && n.city() || n.local == "featureMember" && n.ns == nsGML
}

// spaces are the types of CityGML 3.0 that are parts of objects, or objects,
// and that have no line in the table of classes: they get the class of the
// object to which they belong.
var spaces = map[string]bool{
	"Section": true, "Intersection": true, "TrafficSpace": true, "AuxiliaryTrafficSpace": true, "ClearanceSpace": true,
	"GenericLogicalSpace": true, "GenericOccupiedSpace": true, "GenericUnoccupiedSpace": true,
}

// isObject tells the types that are objects also inside another one.
func (n *name) isObject() bool {
	if !n.city() {
		return false
	}
	_, known := citymodel.ClassOfType(n.local)
	return known || spaces[n.local]
}

// isSurface tells the types that are semantic surfaces.
func (n *name) isSurface() bool {
	if !n.city() {
		return false
	}
	switch n.local {
	case "Window", "Door", "TrafficArea", "AuxiliaryTrafficArea", "Marking":
		return true
	}
	return strings.HasSuffix(n.local, "Surface") && n.local[0] >= 'A' && n.local[0] <= 'Z'
}

// lodOf is the level of detail in the name of a property, e.g. lod2Solid.
func lodOf(property string) string {
	if len(property) > 4 && strings.HasPrefix(property, "lod") && property[3] >= '0' && property[3] <= '4' {
		return property[3:4]
	}
	return ""
}

// isExtensionSpace tells the namespaces that are none of the standards that
// CityGML documents name as a matter of course.
func isExtensionSpace(space string) bool {
	for _, standard := range []string{"http://www.w3.org/", "http://www.opengis.net/", "urn:oasis:", "http://www.ascc.net/", "http://www.isotc211.org/"} {
		if strings.HasPrefix(space, standard) {
			return false
		}
	}
	return space != ""
}
