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

func pathSegment(id string) string { return url.PathEscape(id) }
