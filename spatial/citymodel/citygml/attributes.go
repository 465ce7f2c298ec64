package citygml

import (
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// attribute takes property p, which is a text, a reference, a generic attribute
// or a structure.
func (b *builder) attribute(p int32) {
	n := &b.t.nodes[p]
	if n.name.ns == nsGML {
		switch n.name.local {
		case "name":
			if b.o.Name == "" {
				b.o.Name = n.text
			}
			b.append(p, b.leaf(p, "gml:name"))
			return
		case "metaDataProperty":
			return
		}
	}
	if n.name.local == "appearance" && n.name.city() || n.name.local == "appearanceMember" {
		return
	}
	b.walk(p)
	b.height(p)
}

// walk appends what element p says, and what is below it.
func (b *builder) walk(p int32) {
	n := &b.t.nodes[p]
	switch {
	case b.full || n.coords || n.name.isGeometry() || n.name.isObject():
		return
	case n.name.ns == nsGenerics && strings.HasSuffix(strings.ToLower(n.name.local), "attribute") && b.generic(p):
		return
	case n.first == 0 && n.name.ns == nsGenerics && n.name.local == "name":
		b.append(p, b.leaf(p, "genericAttributeSet")) // CityGML 3.0; in 2.0 it is as follows
		return
	case n.first == 0:
		b.append(p, b.leaf(p, n.name.label))
		return
	case n.name.ns == nsGenerics && n.attrs != nil && n.attrs.name != "":
		b.append(p, spatial.Attributes{{Name: n.name.label, Value: spatial.TextValue(n.attrs.name)}})
	}
	for c := n.first; c != 0; c = b.t.nodes[c].next {
		m := &b.t.nodes[c]
		if m.first == 0 || m.name.isGeometry() || m.name.isObject() || m.name.ns == nsGenerics {
			b.walk(c)
			continue
		}
		if isType(m.name.local) {
			b.append(c, spatial.Attributes{{Name: n.name.label, Value: spatial.TextValue(m.name.label)}})
		}
		b.walk(c)
	}
}

// isType tells a type from a property: its name begins with a capital letter.
func isType(local string) bool { return local != "" && local[0] >= 'A' && local[0] <= 'Z' }

// generic takes a generic attribute: in CityGML 2.0 an element with an attribute
// name and a child value (section 10.11), in 3.0 one with children name and
// value (section 7.13).
func (b *builder) generic(p int32) bool {
	n := &b.t.nodes[p]
	name, value := "", b.t.child(p, "value")
	if n.attrs != nil {
		name = n.attrs.name
	}
	if name == "" {
		if c := b.t.child(p, "name"); c != 0 {
			name = b.t.nodes[c].text
		}
	}
	if name == "" || value == 0 {
		return false
	}
	text := b.t.nodes[value].text
	v := spatial.TextValue(text)
	switch strings.ToLower(n.name.local) {
	case "intattribute":
		v = b.number(value, text, true)
	case "doubleattribute", "measureattribute":
		v = b.number(value, text, false)
	}
	b.append(p, append(spatial.Attributes{{Name: name, Value: v}}, b.unit(value, name)...))
	return true
}

// number is text as a number, or as it is where it is none.
func (b *builder) number(i int32, text string, whole bool) spatial.Value {
	if k, err := strconv.ParseInt(text, 10, 64); err == nil && whole {
		return spatial.IntValue(k)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f-f == 0 && !whole {
		return spatial.FloatValue(f)
	}
	n := &b.t.nodes[i]
	b.d.problem(citymodel.SeverityWarning, citymodel.WrongType, int(n.line), n.offset, n.name.label, "%.40q is no number; it is kept as text", text)
	return spatial.TextValue(text)
}

// leaf is an element without children as an attribute called label.
func (b *builder) leaf(p int32, label string) spatial.Attributes {
	n := &b.t.nodes[p]
	text := n.text
	switch {
	case text == "" && n.href != "":
		return spatial.Attributes{{Name: label, Value: spatial.TextValue(n.href)}}
	case text == "":
		return nil
	case n.attrs != nil && n.attrs.uom != "":
		return append(spatial.Attributes{{Name: label, Value: b.number(p, text, false)}}, b.unit(p, label)...)
	case n.name.city():
		switch n.name.local {
		case "storeysAboveGround", "storeysBelowGround", "yearOfConstruction", "yearOfDemolition":
			return spatial.Attributes{{Name: label, Value: b.number(p, text, true)}}
		case "isMovable", "isStructuralElement":
			if v, err := strconv.ParseBool(text); err == nil {
				return spatial.Attributes{{Name: label, Value: spatial.BoolValue(v)}}
			}
		}
	}
	return spatial.Attributes{{Name: label, Value: spatial.TextValue(text)}}
}

// metres reports whether uom is the metre: its symbol, UCUM's and EPSG's names.
func metres(uom string) bool {
	switch strings.ToLower(uom) {
	case "m", "#m", "metre", "meter", "urn:ogc:def:uom:ucum::m", "urn:adv:uom:m", "urn:ogc:def:uom:epsg::9001", "http://www.opengis.net/def/uom/ucum/0/m":
		return true
	}
	return false
}

// unit is the unit of a value that is not in metres.
func (b *builder) unit(i int32, label string) spatial.Attributes {
	if a := b.t.nodes[i].attrs; a != nil && a.uom != "" && !metres(a.uom) {
		return spatial.Attributes{{Name: label + ".uom", Value: spatial.TextValue(a.uom)}}
	}
	return nil
}

// append gives the object attributes, within the limit.
func (b *builder) append(p int32, list spatial.Attributes) {
	if b.full || len(list) == 0 {
		return
	}
	if len(b.o.Attributes)+len(list) > b.d.limits.Attributes {
		b.full = true
		n := &b.t.nodes[p]
		b.d.problem(citymodel.SeverityError, citymodel.TooLarge, int(n.line), n.offset, n.name.label, "more than %d attributes; this one and those after it are left out", b.d.limits.Attributes)
		return
	}
	b.o.Attributes = append(b.o.Attributes, list...)
}

// height takes the height of a construction: measuredHeight, or from CityGML
// 3.0 on height/Height/value (section 7.9). Without a unit it is in metres.
func (b *builder) height(p int32) {
	n := &b.t.nodes[p]
	value := int32(0)
	switch {
	case !n.name.city():
		return
	case n.name.local == "measuredHeight":
		value = p
	case n.name.local == "height" && b.o.Height.From == "":
		if h := b.t.child(p, "Height"); h != 0 {
			value = b.t.child(h, "value")
		}
	}
	if value == 0 {
		return
	}
	v := &b.t.nodes[value]
	if v.attrs != nil && v.attrs.uom != "" && !metres(v.attrs.uom) {
		return
	}
	if f, err := strconv.ParseFloat(v.text, 64); err == nil && f > 0 && f < 1e5 {
		b.o.Height = spatial.Height{Metres: f, From: n.name.local}
	}
}
