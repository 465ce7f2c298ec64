package citymodel

import (
	"strings"

	"cityhub/spatial"
)

// classOf is the table of MAPPING.md; a test compares them. The types are
// those of CityGML 2.0 and 3.0 and CityJSON 1.0 to 2.0.
var classOf = map[string]spatial.Class{
	"Building": "building", "BuildingPart": "building", "BuildingInstallation": "building",
	"BuildingConstructiveElement": "building", "BuildingFurniture": "building", "BuildingStorey": "building",
	"BuildingRoom": "building", "BuildingUnit": "building", "OtherConstruction": "building",
	"Room": "building", "IntBuildingInstallation": "building",

	"Road": "road", "Railway": "road", "TransportSquare": "road", "Square": "road", "Track": "road",
	"TransportationComplex": "road", "Waterway": "water",
	"Bridge": "road", "BridgePart": "road", "BridgeInstallation": "road", "BridgeConstructiveElement": "road",
	"BridgeConstructionElement": "road", "BridgeRoom": "road", "BridgeFurniture": "road",

	"WaterBody": "water",

	"Tunnel": "underground", "TunnelPart": "underground", "TunnelInstallation": "underground",
	"TunnelConstructiveElement": "underground", "TunnelHollowSpace": "underground", "HollowSpace": "underground",
	"TunnelFurniture": "underground",

	"CityFurniture": "component", "PlantCover": "component", "SolitaryVegetationObject": "component",
	"GenericCityObject": "component",

	"LandUse": "", "TINRelief": "", "MassPointRelief": "", "BreaklineRelief": "", "RasterRelief": "",
	"ReliefFeature": "", "CityObjectGroup": "",
}

// ClassOfType is the element class of a type of CityGML or CityJSON, and whether
// the type is known. A type can be known and of no class.
func ClassOfType(typ string) (class spatial.Class, known bool) {
	class, known = classOf[typ]
	return class, known
}

// Classify gives o its class, from its Type and what o.Attributes say of its
// place: a construction that lies below the terrain as a whole is underground
// (CityGML attribute relativeToTerrain). It reports whether the type is known.
func (o Options) Classify(obj *spatial.CityObject) (known bool) {
	if o.ClassOf != nil {
		if obj.Class, known = o.ClassOf(obj.Type); known {
			return true
		}
	}
	obj.Class, known = ClassOfType(obj.Type)
	if obj.Class == spatial.ClassBuilding || obj.Class == spatial.ClassRoad || obj.Class == spatial.ClassComponent {
		if v, ok := obj.Attributes.Get("relativeToTerrain"); ok {
			if s, _ := v.Text(); strings.EqualFold(s, "entirelyBelowTerrain") {
				obj.Class = spatial.ClassUnderground
			}
		}
	}
	if obj.Class == "" {
		obj.Class = o.Class
	}
	return known
}
