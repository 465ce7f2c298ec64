package citygml

import (
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
)

// system is a CRS and what GML's order of coordinates is in it.
type system struct {
	crs  spatial.CRS
	swap bool // latitude or northing comes first
	// guess: its definition is not known, and the coordinates are taken as
	// easting, northing.
	guess bool
	err   error
}

func (d *decoder) systemOf(c spatial.CRS) system {
	s := system{crs: c}
	def, err := crs.ByCode(c.Horizontal)
	if err != nil {
		s.guess = true
		return s
	}
	s.swap = def.NorthFirst()
	return s
}

// adv are the CRSs of the surveying authorities of the German states, which
// have names of their own in GML.
var adv = map[string]string{
	"ETRS89_UTM32": "EPSG:25832", "ETRS89_UTM33": "EPSG:25833",
	"ETRS89_UTM32*DE_DHHN92_NH": "EPSG:25832+5783", "ETRS89_UTM33*DE_DHHN92_NH": "EPSG:25833+5783",
	"ETRS89_UTM32*DE_DHHN2016_NH": "EPSG:25832+7837", "ETRS89_UTM33*DE_DHHN2016_NH": "EPSG:25833+7837",
}

// system finds out what srsName names.
func (d *decoder) system(srsName string) system {
	if s, ok := d.systems[srsName]; ok {
		return s
	}
	text := strings.TrimSpace(srsName)
	if a, ok := strings.CutPrefix(text, "urn:adv:crs:"); ok && adv[a] != "" {
		text = adv[a]
	}
	var s system
	if c, err := crs.Reference(text); err != nil {
		s.err = err
	} else {
		s = d.systemOf(c)
		if def, err := crs.Parse(text); err == nil { // OGC:CRS84 has axes of its own
			s.swap = def.NorthFirst()
		}
	}
	if len(d.systems) < 1000 {
		d.systems[srsName] = s
	}
	return s
}

// envelope takes the document's gml:boundedBy: its CRS holds for all objects
// that name none (CityGML 2.0 section 8.2), its corners are the extent.
func (d *decoder) envelope(info *citymodel.Info, line int, offset int64) {
	t := &d.tree
	env := t.child(0, "Envelope")
	if env == 0 {
		return
	}
	if a := t.nodes[env].attrs; a != nil && a.srs != "" && !d.opt.CRS.Known() {
		d.crs = d.system(a.srs)
		switch {
		case d.crs.err != nil:
			d.problem(citymodel.SeverityError, citymodel.UnknownCRS, line, offset, "boundedBy.srsName", "%v", d.crs.err)
		case d.crs.guess:
			d.guessed(d.crs, line, offset)
		}
	}
	var box spatial.Box
	for k, corner := range []string{"lowerCorner", "upperCorner"} {
		n := &t.nodes[t.child(env, corner)]
		if !n.coords || n.bad || n.to-n.from < 2 || n.to-n.from > 3 {
			return
		}
		v := [3]float64{}
		copy(v[:], t.numbers[n.from:n.to])
		if d.crs.swap {
			v[0], v[1] = v[1], v[0]
		}
		if k == 0 {
			box.Min = v
		} else {
			box.Max = v
		}
	}
	info.Extent = &box
}

func (d *decoder) guessed(s system, line int, offset int64) {
	d.problem(citymodel.SeverityWarning, citymodel.UnknownCRS, line, offset, "srsName", "the axes of %v are not known; its coordinates are taken as easting, northing, height", s.crs)
}

// memberSystem is the CRS of the objects of a member: the document's, or else
// the first that the member names.
func (d *decoder) memberSystem() system {
	s := d.crs
	if !s.crs.Known() && d.tree.srs != "" {
		s = d.system(d.tree.srs)
	}
	if !s.crs.Known() && !d.unknown["crs"] {
		d.unknown["crs"] = true
		message := "neither the document nor the object names a CRS; name it with the option for it"
		if s.err != nil {
			message = s.err.Error()
		}
		d.problem(citymodel.SeverityWarning, citymodel.UnknownCRS, d.src.Line, d.src.Offset, "srsName", "%s", message)
	}
	return s
}
