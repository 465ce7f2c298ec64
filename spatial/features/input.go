package features

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

const (
	maxAttributes = 10_000
	maxText       = 1 << 20 // bytes of one attribute
	maxPoints     = 500_000
	ringPoints    = 512 // as citymodel.CheckOptions: longer rings are not compared with themselves
)

// input is a feature that was sent.
type input struct {
	key    store.Key // as properties has it; parts may be empty
	object spatial.CityObject
}

// member is a member of a JSON object, in its place.
type member struct {
	name  string
	value json.RawMessage
}

// members reads a JSON object without losing the order.
func members(raw []byte, at string) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return nil, wrong(at, "expected a JSON object", err)
	}
	var list []member
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, wrong(at, "this is no well-formed JSON", err)
		}
		name, _ := t.(string)
		if seen[name] {
			return nil, wrong(at+"/"+pointer(name), "the member comes twice", nil)
		}
		seen[name] = true
		if len(list) == maxAttributes {
			return nil, wrong(at, fmt.Sprintf("more than %d members", maxAttributes), nil)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, wrong(at+"/"+pointer(name), "this is no well-formed JSON", err)
		}
		list = append(list, member{name, v})
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong(at, "this is no well-formed JSON", err)
	}
	if d.More() {
		return nil, wrong(at, "something follows the object", nil)
	}
	return list, nil
}

// pointer escapes a name for a JSON Pointer, RFC 6901.
func pointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func wrong(at, message string, err error) error {
	if at == "" {
		at = "/"
	}
	if err != nil {
		message += ": " + err.Error()
	}
	return &city.Error{Code: city.Invalid, Field: at, Message: message, Err: err}
}

// input reads a GeoJSON Feature as an object of a collection.
func (c *call) input(k kind, body []byte) (*input, error) {
	if !utf8.Valid(body) {
		return nil, wrong("", "the body is no UTF-8", nil)
	}
	list, err := members(body, "")
	if err != nil {
		return nil, err
	}
	in := &input{object: spatial.CityObject{Class: k.Class, Type: k.Type, CRS: crs.EPSG(spatial.CRS84)}}
	in.object.Source.File = "ogc"
	from, err := c.contentCRS()
	if err != nil {
		return nil, err
	}
	l, err := c.liveReader(c.now)
	if err != nil {
		return nil, err
	}
	feature, geometry := false, false
	for _, m := range list {
		switch m.name {
		case "type":
			feature = string(m.value) == `"Feature"`
		case "geometry":
			geometry = true
			if string(m.value) == "null" {
				continue
			}
			g, err := readGeometry(m.value, from)
			if err != nil {
				return nil, err
			}
			in.object.Geometries = []spatial.Geometry{*g}
		case "place":
			if string(m.value) != "null" {
				return nil, wrong("/place", "geometries with heights are not taken here; import them as CityJSON or CityGML", nil)
			}
		case "properties":
			if string(m.value) == "null" {
				continue
			}
			if err := in.properties(k, m.value, reservedNames(l.props)); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case !feature:
		return nil, wrong("/type", `expected "Feature"`, nil)
	case !geometry:
		return nil, wrong("/geometry", "the member is missing; it is null where the feature has no place", nil)
	case k.rest() && in.object.Type == city.TypeDistrict:
		return nil, wrong("/properties/type", "districts are in the collection districts", nil)
	}
	return in, checkShape(&in.object)
}

// properties reads the members that are fields of the object; the others are
// attributes.
func (in *input) properties(k kind, raw []byte, reserved map[string]bool) error {
	const at = "/properties"
	list, err := members(raw, at)
	if err != nil {
		return err
	}
	o := &in.object
	for _, m := range list {
		field := at + "/" + pointer(m.name)
		if len(m.value) > maxText {
			return wrong(field, fmt.Sprintf("longer than %d bytes", maxText), nil)
		}
		isNull := string(m.value) == "null"
		text := func() (string, error) {
			var s string
			if isNull {
				return "", nil
			}
			if json.Unmarshal(m.value, &s) != nil {
				return "", wrong(field, fmt.Sprintf("found %.50s, expected a text", m.value), nil)
			}
			return s, nil
		}
		number := func() (float64, error) {
			var f float64
			if json.Unmarshal(m.value, &f) != nil || math.Abs(f) > 20_000 {
				return 0, wrong(field, fmt.Sprintf("found %.50s, expected metres", m.value), nil)
			}
			return f, nil
		}
		var err error
		switch m.name {
		case "dataset":
			in.key.Dataset, err = text()
		case "identifier":
			in.key.ID, err = text()
		case "class":
			var s string
			if s, err = text(); err == nil && s != "" && s != string(k.Class) {
				err = wrong(field, fmt.Sprintf("found %.50q; the objects of %s are of class %q", s, k.ID, k.Class), nil)
			}
		case "type":
			var s string
			if s, err = text(); err == nil && s != "" {
				if k.Type != "" && s != k.Type {
					err = wrong(field, fmt.Sprintf("found %.50q; the objects of %s are of type %q", s, k.ID, k.Type), nil)
				}
				o.Type = s
			}
		case "name":
			o.Name, err = text()
		case "cim_level":
			var s string
			if s, err = text(); err == nil && s != "" {
				n, cerr := strconv.Atoi(strings.TrimPrefix(s, "CIM"))
				o.Level = spatial.CIMLevel(n & 0xff)
				if cerr != nil || !strings.HasPrefix(s, "CIM") || n < 1 || n > 7 {
					err = wrong(field, fmt.Sprintf("found %.50q, expected CIM1 to CIM7", s), nil)
				}
			}
		case "height":
			if !isNull {
				o.Height.Metres, err = number()
				o.Height.From = "height"
			}
		case "height_base":
			if !isNull {
				o.Height.BaseMetres, err = number()
			}
		case "height_datum":
			o.CRS.VerticalDatum, err = text()
		case parentsName:
			o.Parents, err = texts(m.value, field)
		case childrenName:
			o.Children, err = texts(m.value, field)
		case "id", "valid_from", "valid_to", "links", "geometry":
			// of the hub: a feature that was read has them
		default:
			name := m.name
			if reserved[name] {
				err = wrong(field, "this is observed, not stored", nil)
				break
			}
			if source, ok := strings.CutPrefix(name, sourcePrefix); ok && reserved[source] {
				name = source
			}
			o.Attributes = append(o.Attributes, spatial.Attribute{Name: name, Value: valueOf(m.value)})
		}
		if err != nil {
			return err
		}
	}
	if o.Height.BaseMetres != 0 && o.Height.From == "" {
		return wrong(at+"/height_base", "it needs a height", nil)
	}
	return nil
}

func texts(raw []byte, field string) ([]string, error) {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil, wrong(field, fmt.Sprintf("found %.50s, expected a list of identifiers", raw), nil)
	}
	return list, nil
}

// valueOf is a JSON value as an attribute.
func valueOf(raw []byte) spatial.Value {
	switch raw[0] {
	case 'n':
		return spatial.NullValue()
	case 't', 'f':
		return spatial.BoolValue(raw[0] == 't')
	case '"':
		var s string
		_ = json.Unmarshal(raw, &s) // members has read it
		return spatial.TextValue(s)
	case '{', '[':
		var b bytes.Buffer
		_ = json.Compact(&b, raw) // members has read it
		return spatial.JSONValue(b.String())
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return spatial.IntValue(n)
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || len(strings.Trim(string(raw), "-+.eE0")) > 17 {
		return spatial.JSONValue(string(raw))
	}
	return spatial.FloatValue(f)
}

// readGeometry reads a GeoJSON geometry, whose coordinates are in the axis order
// of the CRS's definition, as longitude and latitude of WGS 84. Heights are left
// out: a GeoJSON geometry is the object's place on the map.
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
	if !ok || len(list) < 2 || len(list) > 3 {
		r.fail(at, "expected a position of two or three numbers")
		return
	}
	var p [3]float64
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

// mergePatch is RFC 7396: patch applied to target, whose members keep their
// order.
func mergePatch(target, patch []byte) ([]byte, error) {
	return merge(target, patch, "", 0)
}

func merge(target, patch []byte, at string, depth int) ([]byte, error) {
	if patch = bytes.TrimSpace(patch); len(patch) == 0 || patch[0] != '{' {
		if depth == 0 {
			return nil, wrong(at, "expected a JSON object", nil)
		}
		return patch, nil
	}
	if depth > 64 {
		return nil, wrong(at, "nested too deep", nil)
	}
	changes, err := members(patch, at)
	if err != nil {
		return nil, err
	}
	var list []member
	if target = bytes.TrimSpace(target); len(target) > 0 && target[0] == '{' {
		if list, err = members(target, at); err != nil {
			return nil, err
		}
	}
	place := make(map[string]int, len(list))
	for i, m := range list {
		place[m.name] = i
	}
	for _, ch := range changes {
		i, ok := place[ch.name]
		if string(ch.value) == "null" {
			if ok {
				list[i].value = nil
				if depth == 0 && ch.name == "geometry" {
					list[i].value = ch.value // a Feature has the member always
				}
			}
			continue
		}
		if !ok {
			i = len(list)
			list = append(list, member{name: ch.name})
			place[ch.name] = i
		}
		if list[i].value, err = merge(list[i].value, ch.value, at+"/"+pointer(ch.name), depth+1); err != nil {
			return nil, err
		}
	}
	out := []byte{'{'}
	for _, m := range list {
		if m.value == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), m.value...)
	}
	return append(out, '}'), nil
}

func pathSegment(id string) string { return url.PathEscape(id) }
