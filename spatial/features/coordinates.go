package features

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
)

// readGeometry reads a GeoJSON geometry, whose coordinates are in the axis order
// of the CRS's definition, as longitude and latitude of WGS 84.
func readGeometry(raw []byte, from *crs.CRS) (*spatial.Geometry, error) {
	var doc struct {
		Type        string          `json:"type"`
		Coordinates json.RawMessage `json:"coordinates"`
	}
	const at = "/geometry"
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, wrong(at, "expected a geometry", err)
	}
	if len(doc.Coordinates) == 0 {
		return nil, wrong(at+"/coordinates", "the member is missing", nil)
	}
	var v any
	if err := json.Unmarshal(doc.Coordinates, &v); err != nil {
		return nil, wrong(at+"/coordinates", "expected arrays of numbers", err)
	}
	r := &reader{from: from}
	if from.Authority() != "OGC" {
		var err error
		if r.t, err = crs.Between(from.Horizontal().Defined(), crs.WGS84().Traditional(), crs.Options{}); err != nil {
			return nil, err
		}
	}
	base := at + "/coordinates"
	single, multi := strings.CutPrefix(doc.Type, "Multi")
	switch single {
	case "Point":
		r.g.Kind = spatial.MultiPoint
		r.some(v, base, multi, r.point)
	case "LineString":
		r.g.Kind = spatial.MultiLine
		r.some(v, base, multi, func(v any, at string) { r.line(v, at, false) })
	case "Polygon":
		r.g.Kind = spatial.MultiSurface
		r.some(v, base, multi, func(v any, at string) {
			r.each(v, at, 1, func(v any, at string) { r.line(v, at, true) })
			r.g.Surfaces = append(r.g.Surfaces, int32(len(r.g.Rings)))
		})
	default:
		return nil, wrong(at+"/type", fmt.Sprintf("found %.50q, expected Point, LineString, Polygon or their Multi", doc.Type), nil)
	}
	if r.err != nil {
		return nil, r.err
	}
	r.g.LoD = "0"
	return &r.g, nil
}

// reader reads coordinates until the first fault.
type reader struct {
	from *crs.CRS
	t    *crs.Transform
	g    spatial.Geometry
	err  error
}

func (r *reader) fail(at, format string, args ...any) {
	if r.err == nil {
		r.err = wrong(at, fmt.Sprintf(format, args...), nil)
	}
}

func (r *reader) some(v any, at string, multi bool, item func(any, string)) {
	if !multi {
		item(v, at)
		return
	}
	r.each(v, at, 1, item)
}

func (r *reader) each(v any, at string, least int, item func(any, string)) {
	list, ok := v.([]any)
	if !ok || len(list) < least {
		r.fail(at, "expected an array of %d or more", least)
		return
	}
	for i, x := range list {
		if r.err != nil {
			return
		}
		item(x, at+"/"+strconv.Itoa(i))
	}
}

func (r *reader) point(v any, at string) {
	list, ok := v.([]any)
	if ok && len(list) == 3 {
		r.fail(at+"/2", "heights are not taken here: a feature's geometry is its place on the map; import them as CityJSON or CityGML")
		return
	}
	if !ok || len(list) != 2 {
		r.fail(at, "expected a position of two numbers")
		return
	}
	var p [2]float64
	for i, x := range list {
		f, ok := x.(float64)
		if !ok {
			r.fail(at+"/"+strconv.Itoa(i), "expected a number")
			return
		}
		p[i] = f
	}
	if r.t != nil {
		var err error
		if p[0], p[1], err = r.t.XY(p[0], p[1]); err != nil {
			r.fail(at, "%v; mind the order of the axes of %s", err, r.from)
			return
		}
	}
	if !(p[0] >= -180 && p[0] <= 180 && p[1] >= -90 && p[1] <= 90) {
		r.fail(at, "longitude %v, latitude %v; expected -180 to 180 and -90 to 90", p[0], p[1])
		return
	}
	if len(r.g.XYZ) >= 3*maxPoints {
		r.fail(at, "more than %d points", maxPoints)
		return
	}
	r.g.XYZ = append(r.g.XYZ, p[0], p[1], 0)
}

func (r *reader) line(v any, at string, closed bool) {
	least := 2
	if closed {
		least = 4
	}
	begin := len(r.g.XYZ)
	r.each(v, at, least, r.point)
	if r.err != nil {
		return
	}
	if closed {
		end := len(r.g.XYZ) - 3
		if r.g.XYZ[begin] != r.g.XYZ[end] || r.g.XYZ[begin+1] != r.g.XYZ[end+1] {
			r.fail(at, "the ring is not closed: its last position is not the first (RFC 7946, section 3.1.6)")
			return
		}
		r.g.XYZ = r.g.XYZ[:end]
	}
	r.g.Rings = append(r.g.Rings, int32(len(r.g.XYZ)/3))
}

// checkShape refuses geometry that breaks ISO 19107.
func checkShape(o *spatial.CityObject) error {
	var err error
	citymodel.Check(o, citymodel.CheckOptions{RingPoints: ringPoints}, func(p citymodel.Problem) {
		if err == nil && p.Severity == citymodel.SeverityError {
			err = wrong("/geometry", fmt.Sprintf("%s (%s)", p.Message, p.Code), nil)
		}
	})
	return err
}
