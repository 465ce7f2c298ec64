// Package spatial holds the geometry of the city data hub and the CityObject,
// the element of the city information model (CIM) to which sensors and
// questions refer.
//
// Coordinates. X is the easting or the longitude, Y the northing or the
// latitude, Z the height; in this order always, whatever order the authority
// of the CRS gives its axes (EPSG:4326 and 4490 say latitude first; readers
// swap where a format follows that). X, Y and Z are in the units of the CRS:
// metres in a projected CRS, decimal degrees for X and Y in a geographic one.
// Z is in metres above the CRS's vertical datum. Lengths, areas and volumes are
// only meaningful where X and Y are in metres; each function says so.
//
// The package does no I/O, starts no goroutine and imports nothing of the hub.
// Its values are plain data: copy them, and share them between goroutines only
// for reading. A copied Geometry or CityObject shares its arrays.
package spatial

import "fmt"

// Error is what the functions of this package return when their input is wrong.
type Error struct {
	Field   string // what is wrong, e.g. "crs"
	Message string // what was found and what was expected
}

// Error gives field and message.
func (e *Error) Error() string { return e.Field + ": " + e.Message }

func faultf(field, format string, args ...any) error {
	return &Error{Field: field, Message: fmt.Sprintf(format, args...)}
}

// Class is one of the five element classes of which a city information model
// is made (苏州市数据条例 第二十九条; R52). The empty Class is an object that is
// none of them, such as terrain or a land-use area.
type Class string

// The element classes, in the order of the article.
const (
	ClassRoad        Class = "road"        // 道路
	ClassBuilding    Class = "building"    // 建筑
	ClassWater       Class = "water"       // 水系
	ClassUnderground Class = "underground" // 地下空间
	ClassComponent   Class = "component"   // 城市部件
)

// Classes lists every Class in the order of the article.
func Classes() []Class {
	return []Class{ClassRoad, ClassBuilding, ClassWater, ClassUnderground, ClassComponent}
}

// Valid reports whether c is one of the five classes.
func (c Class) Valid() bool {
	switch c {
	case ClassRoad, ClassBuilding, ClassWater, ClassUnderground, ClassComponent:
		return true
	}
	return false
}

// CIMLevel is the level of detail of a city information model as CJJ/T 315-2022
// counts them, CIM1 to CIM7. Zero: not stated. It is a property of the survey
// and not of a geometry's LoD: it comes from whoever delivers the data.
type CIMLevel uint8

// Valid reports whether l is not stated or one of CIM1 to CIM7.
func (l CIMLevel) Valid() bool { return l <= 7 }

// String is "CIM1" to "CIM7", or empty where the level is not stated.
func (l CIMLevel) String() string {
	if l == 0 {
		return ""
	}
	return fmt.Sprintf("CIM%d", uint8(l))
}
