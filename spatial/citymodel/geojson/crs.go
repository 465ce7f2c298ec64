package geojson

import (
	"strconv"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/jsonscan"
	"cityhub/spatial/crs"
)

// crsMember is the member crs of GeoJSON 2008 (section 3), which RFC 7946 took
// out.
type crsMember struct {
	there  bool
	typ    string
	name   string
	line   int
	offset int64
}

func (c *crsMember) read(s *jsonscan.Scanner) error {
	s.Peek()
	*c = crsMember{there: true, line: s.Line(), offset: s.Offset()}
	m := s.Mark()
	err := s.Object(func(k []byte) (err error) {
		switch string(k) {
		case "type":
			c.typ, err = s.String()
		case "properties":
			return s.Object(func(k []byte) (err error) {
				switch string(k) {
				case "name":
					c.name, err = s.String()
				case "code": // {"type": "EPSG"}, of drafts before 2008
					var n int64
					n, err = s.Int()
					c.name = "EPSG:" + strconv.FormatInt(n, 10)
				default:
					return s.Skip()
				}
				return err
			})
		default:
			return s.Skip()
		}
		return err
	})
	if err != nil && !jsonscan.Fatal(err) { // null, or something else that says nothing
		c.name = ""
		return s.Recover(m)
	}
	return err
}

// useCRS decides in which CRS the coordinates are.
func (d *decoder) useCRS(c crsMember) {
	report := func(severity citymodel.Severity, code citymodel.Code, message string) {
		d.report.Report(citymodel.Problem{Severity: severity, Code: code, Line: c.line, Offset: c.offset, Field: "crs", Message: message})
	}
	d.crs = spatial.CRS{Horizontal: spatial.CRS84, VerticalDatum: spatial.Ellipsoid}
	switch {
	case d.opt.CRS.Known():
		d.crs = d.opt.CRS
		if c.there {
			report(citymodel.SeverityWarning, citymodel.Deprecated, "overridden by the CRS of the options, "+d.crs.String())
		}
	case c.there && c.name == "":
		d.crs = spatial.CRS{}
		report(citymodel.SeverityError, citymodel.UnknownCRS, "the member crs names no CRS; name it with the option for it")
	case c.there:
		named, err := crs.Reference(c.name)
		if err != nil {
			d.crs = spatial.CRS{}
			report(citymodel.SeverityError, citymodel.UnknownCRS, err.Error())
			return
		}
		d.crs = named
		report(citymodel.SeverityWarning, citymodel.Deprecated, "GeoJSON has no member crs since RFC 7946; it is honoured: "+named.String())
	}
}
