package geojson

import (
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/heights"
)

// height finds what the properties say.
func (d *decoder) height(o *spatial.CityObject) {
	o.Height = heights.Of(o.Attributes, d.opt.MetresPerLevel, func(name, message string) {
		field := "properties"
		if name != "" {
			field += "." + name
		}
		d.problem(citymodel.SeverityWarning, citymodel.OutOfRange, field, "%s", message)
	})
}
