package osmpbf

import (
	"slices"
	"strconv"
	"strings"

	"cityhub/spatial"
)

// element is the kind of an element of OSM.
type element uint8

const (
	node element = iota
	way
	relation
)

func (e element) String() string { return [...]string{"node", "way", "relation"}[e] }

// mainKeys are the keys that can make an element an object.
var mainKeys = map[string]bool{
	"building": true, "building:part": true, "natural": true, "water": true, "waterway": true, "landuse": true, "leisure": true, "highway": true,
	"railway": true, "man_made": true, "barrier": true, "power": true, "public_transport": true, "emergency": true, "amenity": true,
	"advertising": true, "traffic_sign": true, "historic": true, "tourism": true,
}

// gone are values for what is not there, or not yet.
var gone = []string{"", "no", "proposed", "planned", "razed", "abandoned", "dismantled", "demolished", "removed"}

// Values by what they become.
var (
	paths     = []string{"footway", "path", "cycleway", "bridleway", "steps", "track", "pedestrian", "corridor"}
	plants    = []string{"wood", "scrub", "tree_row", "grassland", "heath", "shrubbery", "forest", "grass", "meadow", "orchard", "vineyard", "flowerbed", "village_green"}
	waters    = []string{"reservoir", "basin", "salt_pond"}
	docks     = []string{"riverbank", "dock", "boatyard"}
	dams      = []string{"dam", "weir", "lock_gate", "sluice_gate"}
	walls     = []string{"wall", "city_wall", "retaining_wall"}
	furniture = []string{
		"bench", "waste_basket", "waste_disposal", "recycling", "post_box", "telephone", "drinking_water", "fountain", "clock", "bicycle_parking",
		"charging_station", "vending_machine", "atm", "parking_meter", "parking_entrance", "shelter", "lamp", "bbq", "toilets", "water_point", "grit_bin", "letter_box", "lounger", "table", "loudspeaker",
	}
	fixtures = []string{
		"manhole", "street_cabinet", "surveillance", "flagpole", "survey_point", "monitoring_station", "utility_pole", "cross", "planter", "water_tap", "mast", "antenna", "bollard",
	}
)

// typeOf is the type that the tags give an element, of those of CityGML, and
// whether it is an area where it is closed; "" for what is no object.
func typeOf(e element, tags spatial.Attributes) (typ string, area bool) {
	get := func(key string) string {
		v, _ := tags.Get(key)
		s, _ := v.Text()
		return s
	}
	is := func(key string) bool { return !slices.Contains(gone, get(key)) }
	in := func(key string, values []string) bool { return slices.Contains(values, get(key)) }
	drawn := get("area") == "yes" || e == relation
	switch {
	case is("building:part"):
		return "BuildingPart", true
	case is("building"):
		return "Building", true
	case get("natural") == "water", in("waterway", docks), in("landuse", waters), get("leisure") == "swimming_pool":
		return "WaterBody", true
	case get("man_made") == "bridge":
		return "Bridge", true
	case get("man_made") == "tunnel":
		return "Tunnel", true
	case e != node && is("highway"):
		if drawn || get("highway") == "platform" {
			return "Square", true
		}
		if in("highway", paths) {
			return "Track", false
		}
		return "Road", false
	case e != node && is("railway"):
		if in("railway", []string{"platform", "station"}) {
			return "GenericCityObject", true
		}
		return "Railway", drawn
	case e != node && is("waterway"):
		if in("waterway", dams) {
			return "OtherConstruction", drawn
		}
		return "Waterway", drawn
	case get("natural") == "tree":
		return "SolitaryVegetationObject", false
	case in("natural", plants), in("landuse", plants):
		return "PlantCover", get("natural") != "tree_row"
	case get("barrier") == "hedge":
		return "PlantCover", drawn
	case e != node && in("barrier", walls):
		return "OtherConstruction", drawn
	case is("barrier"):
		return "CityFurniture", drawn
	case is("man_made"):
		switch {
		case in("man_made", fixtures):
			return "CityFurniture", true
		case get("man_made") == "pipeline":
			return "GenericCityObject", false
		}
		return "OtherConstruction", get("man_made") != "embankment"
	case is("power"):
		if e == node {
			return "CityFurniture", false
		}
		if in("power", []string{"line", "minor_line", "cable"}) {
			return "GenericCityObject", false
		}
		return "LandUse", true
	case in("amenity", furniture), is("advertising"), is("traffic_sign"), is("emergency") && e == node:
		return "CityFurniture", true
	case e == node && (is("highway") || is("railway") || is("public_transport") || in("tourism", []string{"artwork", "information"})):
		return "CityFurniture", false
	case e == node && (is("amenity") || is("waterway") || is("historic")):
		return "GenericCityObject", false
	case e != node && (is("amenity") || is("landuse") || is("leisure")):
		return "LandUse", true
	}
	return "", false
}

// underground reports whether the tags say that an object lies below the
// ground. For water a negative layer does not: it is widely used for rivers
// below bridges (https://wiki.openstreetmap.org/wiki/Key:layer).
func underground(typ string, tags spatial.Attributes) bool {
	get := func(key string) string {
		v, _ := tags.Get(key)
		s, _ := v.Text()
		return s
	}
	if get("location") == "underground" {
		return true
	}
	if t := get("tunnel"); t != "" && t != "no" && t != "building_passage" {
		return true
	}
	if typ == "WaterBody" || typ == "Waterway" {
		return false
	}
	layer, err := strconv.ParseFloat(strings.TrimSpace(get("layer")), 64)
	return err == nil && layer < 0
}
