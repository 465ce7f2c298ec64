package city

import "cityhub/spatial"

// TypeDistrict is the CityObject.Type of administrative districts. They are of
// none of the five classes, and terminals are assigned to them by place.
const TypeDistrict = "AdministrativeDistrict"

// TypeUnitGrid is the CityObject.Type of the cells of the unit grid (单元网格,
// GB/T 30428.1) in which a city's components and events are managed.
const TypeUnitGrid = "UnitGrid"

// Collection is one of the collections in which the city model is served: by
// OGC API - Features and Tiles, and as 3D Tiles.
type Collection struct {
	ID             string // in URLs
	Title, TitleEn string
	Class          spatial.Class
	Type           string // empty: any of the class
}

// Collections are those of the city model, in the order in which they are shown.
// The five classes are those of 苏州市数据条例 第二十九条 (R52).
func Collections() []Collection {
	return []Collection{
		{"buildings", "建筑", "Buildings", spatial.ClassBuilding, ""},
		{"roads", "道路", "Roads", spatial.ClassRoad, ""},
		{"water", "水系", "Water", spatial.ClassWater, ""},
		{"underground", "地下空间", "Underground space", spatial.ClassUnderground, ""},
		{"components", "城市部件", "City components", spatial.ClassComponent, ""},
		{"districts", "行政区", "Administrative districts", "", TypeDistrict},
		{"others", "其他", "Other objects", "", ""},
	}
}

// CollectionOf finds a collection by its ID.
func CollectionOf(id string) (Collection, bool) {
	for _, c := range Collections() {
		if c.ID == id {
			return c, true
		}
	}
	return Collection{}, false
}
