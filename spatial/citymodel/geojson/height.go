package geojson

import (
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// metresPerFoot is that of the international foot.
const metresPerFoot = 0.3048

// maxHeightMetres is beyond the highest building; a number above it is in
// another unit or no height.
const maxHeightMetres = 1000

// height finds what the properties say, by the names of OpenStreetMap
// (https://wiki.openstreetmap.org/wiki/Simple_3D_Buildings) and CityGML.
func (d *decoder) height(o *spatial.CityObject) {
	metres := func(name string, perUnit float64) (float64, bool) {
		v, ok := o.Attributes.Get(name)
		if !ok || v.Kind() == spatial.Null {
			return 0, false
		}
		h, ok := v.Number()
		if text, isText := v.Text(); isText {
			if strings.TrimSpace(text) == "" {
				return 0, false
			}
			h, ok = parseMetres(text)
		}
		h *= perUnit
		if !ok || !(h >= 0 && h <= maxHeightMetres) {
			d.problem(citymodel.SeverityWarning, citymodel.OutOfRange, "properties."+name, "%.50q is no height of 0 to %d m", v.String(), maxHeightMetres)
			return 0, false
		}
		return h, h > 0
	}
	for _, n := range []struct {
		name    string
		perUnit float64
	}{{"height", 1}, {"building:height", 1}, {"measuredHeight", 1}, {"building:levels", d.opt.MetresPerLevel}} {
		if h, ok := metres(n.name, n.perUnit); ok {
			o.Height = spatial.Height{Metres: h, From: n.name}
			break
		}
	}
	if o.Height.From == "" {
		return
	}
	base, ok := metres("min_height", 1)
	if !ok {
		base, ok = metres("building:min_level", d.opt.MetresPerLevel)
	}
	switch {
	case ok && base >= o.Height.Metres:
		d.problem(citymodel.SeverityWarning, citymodel.OutOfRange, "properties", "the lower edge at %v m is not below the top at %v m; it is left out", base, o.Height.Metres)
	case ok:
		o.Height.BaseMetres = base
	}
}

// parseMetres reads a height as OpenStreetMap writes them: metres, or with a
// unit, e.g. "12.5", "12 m", "12米", "40 ft", "40'", "40'6\"".
func parseMetres(text string) (float64, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	number := func(s string) (float64, bool) {
		s = strings.TrimSpace(s)
		if s == "" || strings.Trim(s, "0123456789.") != "" {
			return 0, false
		}
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	for _, unit := range []string{"metres", "meters", "metre", "meter", "m", "米"} {
		if s, ok := strings.CutSuffix(text, unit); ok {
			return number(s)
		}
	}
	if s, ok := strings.CutSuffix(text, "ft"); ok {
		f, ok := number(s)
		return f * metresPerFoot, ok
	}
	if feet, inches, ok := strings.Cut(text, "'"); ok {
		f, ok := number(feet)
		if inches != "" && ok {
			var i float64
			i, ok = number(strings.TrimSuffix(inches, `"`))
			f += i / 12
		}
		return f * metresPerFoot, ok
	}
	return number(text)
}
