package citymodel

import "cityhub/spatial"

// FeatureOptions are Options for formats of simple features, which have
// attributes but no classes, and names and identifiers only by custom:
// Shapefile, KML, CSV, GeoPackage. The zero value is usable.
type FeatureOptions struct {
	Options
	IDProperty   string   // the attribute that identifies an object, where the format does not; empty: none
	NameProperty []string // the first that is a text; default "name", "name:zh", without regard to upper and lower case
	// ClassProperty names the attribute from which the class follows. Its value
	// is looked up in Classes, then taken as the name of a class, then as a type
	// of CityGML or CityJSON.
	ClassProperty string
	Classes       map[string]spatial.Class
	// MetresPerLevel is the height of a storey where only building:levels is
	// given; default 3.
	MetresPerLevel float64
}
