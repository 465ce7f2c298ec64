package cql2

import (
	"github.com/paulmach/orb"
)

const geometryTypes = "Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon or GeometryCollection"

// geometry reads a GeoJSON geometry (RFC 7946, section 3.1). Members that
// GeoJSON allows beside the coordinates are passed over.
func (p *jsonParser) geometry(n node, v *jvalue) (Expr, error) {
	list := &vertexList{}
	g, err := p.geoJSON(v, list, 0)
	if err != nil {
		return nil, err
	}
	return &Geometry{n, g, list.z}, nil
}

func (p *jsonParser) geoJSON(v *jvalue, list *vertexList, depth int) (orb.Geometry, error) {
	if depth > p.lim.Depth {
		return nil, limitError(v.pos(), "levels of nesting", p.lim.Depth)
	}
	if v.kind != '{' || v.get("type") == nil {
		return nil, v.unexpected("a GeoJSON geometry")
	}
	kind := v.get("type")
	if kind.kind != 's' {
		return nil, kind.unexpected(geometryTypes)
	}
	if kind.text == "GeometryCollection" {
		m := v.get("geometries")
		if m == nil {
			return nil, v.unexpected(`the member "geometries"`)
		}
		c, err := each(m, func(x *jvalue) (orb.Geometry, error) { return p.geoJSON(x, list, depth+1) })
		return orb.Collection(c), err
	}
	m := v.get("coordinates")
	if m == nil {
		return nil, v.unexpected(`the member "coordinates"`)
	}
	vertex := func(x *jvalue) (orb.Point, error) { return p.vertex(x, list) }
	line := func(x *jvalue) (orb.LineString, error) {
		l, err := each(x, vertex)
		if err == nil && len(l) < 2 {
			err = &Error{Code: CodeValue, Pos: x.pos(), Found: "a line of one vertex", Expected: "at least two"}
		}
		return l, err
	}
	polygon := func(x *jvalue) (orb.Polygon, error) {
		return each(x, func(x *jvalue) (orb.Ring, error) {
			from := len(list.z)
			r, err := each(x, vertex)
			if err == nil {
				err = checkRing(r, list.z[from:], x.pos())
			}
			return r, err
		})
	}
	switch kind.text {
	case "Point":
		return vertex(m)
	case "LineString":
		return line(m)
	case "Polygon":
		return polygon(m)
	case "MultiPoint":
		ps, err := each(m, vertex)
		return orb.MultiPoint(ps), err
	case "MultiLineString":
		ls, err := each(m, line)
		return orb.MultiLineString(ls), err
	case "MultiPolygon":
		ps, err := each(m, polygon)
		return orb.MultiPolygon(ps), err
	}
	return nil, kind.unexpected(geometryTypes)
}

// each reads an array with at least one element.
func each[T any](v *jvalue, item func(*jvalue) (T, error)) ([]T, error) {
	if v.kind != '[' {
		return nil, v.unexpected("an array")
	}
	if len(v.items) == 0 {
		return nil, &Error{Code: CodeUnsupported, Pos: v.pos(), Found: "an empty geometry", Expected: "coordinates"}
	}
	out := make([]T, 0, len(v.items))
	for i := range v.items {
		x, err := item(v.items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (p *jsonParser) vertex(v *jvalue, list *vertexList) (orb.Point, error) {
	if p.vertices++; p.vertices > p.lim.Vertices {
		return orb.Point{}, limitError(v.pos(), "vertices", p.lim.Vertices)
	}
	c, err := p.numbers(v, 3)
	if err != nil {
		return orb.Point{}, err
	}
	pt, err := list.add(c, Pos{})
	if err != nil {
		return pt, v.place(err)
	}
	return pt, nil
}
