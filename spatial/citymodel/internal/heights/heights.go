// Package heights finds the height of an object in its attributes, by the names
// of OpenStreetMap (https://wiki.openstreetmap.org/wiki/Simple_3D_Buildings)
// and CityGML. Its functions hold no state and may be called by several
// goroutines.
package heights

import (
	"fmt"
	"strconv"
	"strings"

	"cityhub/spatial"
)

// MetresPerLevel is the height of a storey where nothing else is known.
const MetresPerLevel = 3

// metresPerFoot is that of the international foot.
const metresPerFoot = 0.3048

// maxMetres is beyond the highest building; a number above it is in another
// unit or no height.
const maxMetres = 1000

// Of is the height that the attributes tell; metresPerLevel is that of a
// storey. What is no height is reported with the attribute's name; name is
// empty where two of them contradict each other.
func Of(attributes spatial.Attributes, metresPerLevel float64, report func(name, message string)) (height spatial.Height) {
	metres := func(name string, perUnit float64) (float64, bool) {
		v, ok := lookup(attributes, name)
		if !ok || v.Kind() == spatial.Null {
			return 0, false
		}
		h, ok := v.Number()
		if text, isText := v.Text(); isText {
			if strings.TrimSpace(text) == "" {
				return 0, false
			}
			h, ok = Parse(text)
		}
		h *= perUnit
		if !ok || !(h >= 0 && h <= maxMetres) {
			report(name, fmt.Sprintf("%.50q is no height of 0 to %d m", v.String(), maxMetres))
			return 0, false
		}
		return h, h > 0
	}
	for _, n := range []struct {
		name    string
		perUnit float64
	}{{"height", 1}, {"building:height", 1}, {"measuredHeight", 1}, {"building:levels", metresPerLevel}} {
		if h, ok := metres(n.name, n.perUnit); ok {
			height = spatial.Height{Metres: h, From: n.name}
			break
		}
	}
	if height.From == "" {
		return height
	}
	base, ok := metres("min_height", 1)
	if !ok {
		base, ok = metres("building:min_level", metresPerLevel)
	}
	switch {
	case ok && base >= height.Metres:
		report("", fmt.Sprintf("the lower edge at %v m is not below the top at %v m; it is left out", base, height.Metres))
	case ok:
		height.BaseMetres = base
	}
	return height
}

// lookup finds an attribute by its name, or as programs write it that allow no
// colon: building_levels.
func lookup(attributes spatial.Attributes, name string) (spatial.Value, bool) {
	if v, ok := attributes.Get(name); ok {
		return v, true
	}
	if !strings.Contains(name, ":") {
		return spatial.Value{}, false
	}
	return attributes.Get(strings.ReplaceAll(name, ":", "_"))
}

// Parse reads a height as OpenStreetMap writes them: metres, or with a unit,
// e.g. "12.5", "12 m", "12米", "40 ft", "40'", "40'6\"".
func Parse(text string) (metres float64, ok bool) {
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
