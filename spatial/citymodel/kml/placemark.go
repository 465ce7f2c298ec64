package kml

import (
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// placemark is the one that is being read.
type placemark struct {
	*Reader
	o         *spatial.CityObject
	s         flat.Shapes
	absolute  bool    // some geometry has heights
	top       float64 // of what is extruded from the ground, metres
	elevated  bool    // some altitude is above the ground and not extruded
	mode      string
	extrude   bool
	err       error // the first that concerns the geometry
	members   int
	buf       []byte
	attribute int
}

func (r *Reader) placemark(id string) (*spatial.CityObject, error) {
	p := &placemark{Reader: r, o: &spatial.CityObject{ID: id, CRS: r.crs, Source: spatial.Source{Line: r.t.line, Offset: r.t.offset}}}
	p.s.Reset(r.m.Limits.ObjectPoints)
	var names []string
	for _, f := range r.folders {
		if f.named && f.name != "" {
			names = append(names, f.name)
		}
	}
	if err := r.t.children(p.child); err != nil {
		return nil, err
	}
	if len(names) > 0 {
		if err := p.add("folder", spatial.TextValue(strings.Join(names, "/"))); err != nil {
			return nil, err
		}
	}
	if p.mode != "" {
		p.o.Attributes = append(p.o.Attributes, spatial.Attribute{Name: "altitudeMode", Value: spatial.TextValue(p.mode)})
	}
	if p.extrude {
		p.o.Attributes = append(p.o.Attributes, spatial.Attribute{Name: "extrude", Value: spatial.BoolValue(true)})
	}
	if p.absolute && !r.m.Opt.CRS.Known() {
		p.o.CRS.Vertical, p.o.CRS.VerticalDatum = egm96, "EGM96"
	}
	if p.err != nil {
		r.m.Dropped(p.o, "geometry", p.err)
	} else {
		r.m.Geometries(p.o, &p.s, "geometry")
	}
	if p.elevated && r.m.Once("relative") {
		r.m.Warn(p.o, citymodel.WrongType, "altitudeMode", "altitudes above the ground are left out where nothing is extruded, here and in all objects: where the ground is, the document does not say")
	}
	r.m.Finish(p.o)
	if p.o.Height.From == "" && p.top > 0 && p.top < 1000 {
		p.o.Height = spatial.Height{Metres: p.top, From: "altitudeMode"}
	}
	return p.o, nil
}

// add adds an attribute.
func (p *placemark) add(name string, v spatial.Value) error {
	if len(p.o.Attributes) >= p.m.Limits.Attributes {
		return p.t.fault(citymodel.TooLarge, "more than %d attributes", p.m.Limits.Attributes)
	}
	if p.t.offset-p.o.Source.Offset > int64(p.m.Limits.RecordBytes) {
		return p.t.fault(citymodel.TooLarge, "the Placemark is longer than %d bytes; raise Limits.RecordBytes if it is meant to be that long", p.m.Limits.RecordBytes)
	}
	p.o.Attributes = append(p.o.Attributes, spatial.Attribute{Name: name, Value: v})
	return nil
}

// child reads a child of the Placemark.
func (p *placemark) child(local string, attr func(string) string) error {
	switch local {
	case "name", "description", "address", "phoneNumber", "visibility", "open", "snippet", "Snippet", "styleUrl", "author", "link":
		text, err := p.t.text()
		if err != nil {
			return err
		}
		text = strings.TrimSpace(text)
		if local == "name" {
			p.o.Name = text
		}
		if local == "styleUrl" || local == "visibility" || local == "open" || text == "" {
			return nil
		}
		return p.add(local, spatial.TextValue(text))
	case "TimeStamp", "TimeSpan":
		return p.t.children(func(local string, _ func(string) string) error {
			text, err := p.t.text()
			if err != nil {
				return err
			}
			return p.add(local, spatial.TextValue(strings.TrimSpace(text)))
		})
	case "ExtendedData":
		return p.t.children(p.data)
	}
	return p.geometry(local, 0)
}

// data reads a child of ExtendedData.
func (p *placemark) data(local string, attr func(string) string) error {
	switch local {
	case "Data":
		name := attr("name")
		return p.t.children(func(local string, _ func(string) string) error {
			if local != "value" {
				return p.t.skip()
			}
			text, err := p.t.text()
			if err != nil {
				return err
			}
			return p.add(name, spatial.TextValue(text))
		})
	case "SchemaData":
		url := attr("schemaUrl")
		types := p.schemas[url[strings.LastIndexByte(url, '#')+1:]]
		return p.t.children(func(local string, attr func(string) string) error {
			name := attr("name")
			if local != "SimpleData" {
				return p.t.skip()
			}
			text, err := p.t.text()
			if err != nil {
				return err
			}
			return p.add(name, typed(types[name], text))
		})
	}
	text, err := p.t.text() // of another vocabulary
	if err != nil || strings.TrimSpace(text) == "" {
		return err
	}
	return p.add(local, spatial.TextValue(strings.TrimSpace(text)))
}

// typed is a value of a type of SimpleField (section 9.8); what is not of that
// type is a text.
func typed(typ, text string) spatial.Value {
	bare := strings.TrimSpace(text)
	switch typ {
	case "int", "uint", "short", "ushort":
		if n, err := strconv.ParseInt(bare, 10, 64); err == nil {
			return spatial.IntValue(n)
		}
	case "float", "double":
		if f, err := strconv.ParseFloat(bare, 64); err == nil && f-f == 0 {
			return spatial.FloatValue(f)
		}
	case "bool":
		switch bare {
		case "1", "true":
			return spatial.BoolValue(true)
		case "0", "false":
			return spatial.BoolValue(false)
		}
	}
	if typ != "" && typ != "string" && bare == "" {
		return spatial.NullValue()
	}
	return spatial.TextValue(text)
}
