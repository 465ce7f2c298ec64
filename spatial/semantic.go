package spatial

import "strings"

// SurfaceKind says what a surface is of its object (CityGML 3.0 thematic
// surfaces; CityJSON 2.0 section 3.3).
type SurfaceKind uint8

// The kinds of surfaces.
const (
	SurfaceUnknown SurfaceKind = iota // not stated
	SurfaceRoof
	SurfaceWall
	SurfaceGround
	SurfaceClosure // closes an opening that is none in the model, such as a tunnel's mouth
	SurfaceOuterCeiling
	SurfaceOuterFloor
	SurfaceWindow
	SurfaceDoor
	SurfaceInteriorWall
	SurfaceCeiling
	SurfaceFloor
	SurfaceWater       // the surface of a water body
	SurfaceWaterGround // its bed
	SurfaceTraffic     // carriageway, footpath, track
	SurfaceAuxiliaryTraffic
	SurfaceOther // a kind that this list does not have; Semantic.Type names it
)

// Semantic is a semantic surface: what one or several surfaces of a geometry are.
type Semantic struct {
	Kind       SurfaceKind
	Type       string // as given, e.g. "RoofSurface" or "+SolarPanel"
	Parent     int32  // index of the surface to which this one belongs, e.g. a window's wall; -1: none
	Attributes Attributes
}

// SurfaceKindOf gives the kind of a surface type of CityGML or CityJSON, with or
// without the word Surface at its end.
func SurfaceKindOf(typ string) SurfaceKind {
	switch strings.TrimSuffix(typ, "Surface") {
	case "":
		return SurfaceUnknown
	case "Roof":
		return SurfaceRoof
	case "Wall", "OuterWall":
		return SurfaceWall
	case "Ground":
		return SurfaceGround
	case "Closure", "WaterClosure":
		return SurfaceClosure
	case "OuterCeiling":
		return SurfaceOuterCeiling
	case "OuterFloor":
		return SurfaceOuterFloor
	case "Window":
		return SurfaceWindow
	case "Door":
		return SurfaceDoor
	case "InteriorWall":
		return SurfaceInteriorWall
	case "Ceiling":
		return SurfaceCeiling
	case "Floor":
		return SurfaceFloor
	case "Water":
		return SurfaceWater
	case "WaterGround":
		return SurfaceWaterGround
	case "TrafficArea":
		return SurfaceTraffic
	case "AuxiliaryTrafficArea":
		return SurfaceAuxiliaryTraffic
	}
	return SurfaceOther
}
