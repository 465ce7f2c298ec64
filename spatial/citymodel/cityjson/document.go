package cityjson

import (
	"fmt"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// maxName is the longest name that is remembered beyond its object.
const maxName = 100

// mark is where a member's value begins.
type mark struct {
	line   int
	offset int64
	there  bool
}

// transform is CityJSON 2.0 section 4: coordinate = vertex × scale + translate.
type transform struct {
	scale, translate [3]float64
	there            bool
}

var identity = transform{scale: [3]float64{1, 1, 1}}

func (t *transform) apply(p [3]float64) [3]float64 {
	for i := range 3 {
		p[i] = p[i]*t.scale[i] + t.translate[i]
	}
	return p
}

// document is what the first pass over a CityJSON object or feature finds: all
// but the CityObjects and templates, whose places it remembers.
type document struct {
	typ, version, id    string
	transform           transform
	crs, title          string
	extent              *spatial.Box
	extensions          []string
	verts, templateVert vertices
	objects, templates  mark
	crsAt               mark
	textures, materials int
	textureVertices     int
	appearance          bool
	other               []string // members that the format does not have, by name
}

func (d *document) reset() {
	v, t := d.verts, d.templateVert
	v.reset()
	t.reset()
	*d = document{verts: v, templateVert: t, transform: identity, extensions: d.extensions[:0]}
}

// members are those that may stand once: their values are taken.
var members = map[string]bool{
	"type": true, "version": true, "id": true, "transform": true, "metadata": true, "vertices": true, "CityObjects": true,
	"appearance": true, "extensions": true, "geometry-templates": true,
}

// scan is the first pass.
func (d *document) scan(s *jsonscan.Scanner, l citymodel.Limits) error {
	d.reset()
	seen := map[string]bool{}
	err := s.Object(func(k []byte) error {
		key := string(k)
		if members[key] {
			if seen[key] {
				return faults.At(s, citymodel.Syntax, "member %q stands twice", key)
			}
			seen[key] = true
		}
		s.Peek()
		here := mark{line: s.Line(), offset: s.Offset(), there: true}
		var err error
		switch key {
		case "type":
			d.typ, err = s.String()
		case "version":
			d.version, err = s.String()
		case "id":
			d.id, err = s.String()
		case "transform":
			err = d.transform.read(s)
		case "metadata":
			err = d.metadata(s)
		case "vertices":
			return d.verts.read(s, key, l)
		case "CityObjects":
			d.objects = here
			return s.Skip()
		case "appearance":
			return d.readAppearance(s)
		case "extensions":
			return s.Object(func(name []byte) error {
				if len(d.extensions) < 1000 && len(name) <= maxName {
					d.extensions = append(d.extensions, string(name))
				}
				return s.Skip()
			})
		case "geometry-templates":
			return d.geometryTemplates(s, l)
		default:
			if len(d.other) < 20 {
				d.other = append(d.other, key[:min(len(key), maxName)])
			}
			return s.Skip()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	return err
}

func (t *transform) read(s *jsonscan.Scanner) error {
	var scale, translate bool
	err := s.Object(func(k []byte) error {
		var err error
		switch string(k) {
		case "scale":
			scale = true
			t.scale, err = point(s)
		case "translate":
			translate = true
			t.translate, err = point(s)
		default:
			return s.Skip()
		}
		return err
	})
	if err == nil && !(scale && translate) {
		err = faults.At(s, citymodel.Missing, "scale and translate are both needed")
	}
	t.there = err == nil
	return err
}

func (d *document) metadata(s *jsonscan.Scanner) error {
	return s.Object(func(k []byte) error {
		var err error
		switch string(k) {
		case "referenceSystem":
			s.Peek()
			d.crsAt = mark{line: s.Line(), offset: s.Offset(), there: true}
			if s.Peek() != '"' { // null, in files that some programs write
				d.crsAt.there = false
				return s.Skip()
			}
			d.crs, err = s.String()
		case "title":
			if s.Peek() != '"' {
				return s.Skip()
			}
			d.title, err = s.String()
		case "geographicalExtent":
			m := s.Mark()
			if d.extent, err = readExtent(s); err != nil && !jsonscan.Fatal(err) {
				d.extent = nil // nothing depends on it
				return s.Recover(m)
			}
		default:
			return s.Skip()
		}
		return err
	})
}

// readExtent takes minx, miny, minz, maxx, maxy, maxz.
func readExtent(s *jsonscan.Scanner) (*spatial.Box, error) {
	var v [6]float64
	n := 0
	err := s.Array(func(i int) error {
		if n++; n > len(v) {
			return faults.At(s, citymodel.WrongType, "more than 6 numbers")
		}
		var err error
		v[i], err = s.Float()
		return err
	})
	if err == nil && n != len(v) {
		err = faults.At(s, citymodel.WrongType, "%d numbers, expected 6", n)
	}
	return &spatial.Box{Min: [3]float64(v[:3]), Max: [3]float64(v[3:])}, err
}

// readAppearance counts what the hub has no use for.
func (d *document) readAppearance(s *jsonscan.Scanner) error {
	d.appearance = true
	if s.Peek() != '{' {
		return s.Skip()
	}
	return s.Object(func(k []byte) error {
		var n *int
		switch string(k) {
		case "textures":
			n = &d.textures
		case "materials":
			n = &d.materials
		case "vertices-texture":
			n = &d.textureVertices
		}
		if n == nil || s.Peek() != '[' {
			return s.Skip()
		}
		return s.Array(func(int) error { *n++; return s.Skip() })
	})
}

func (d *document) geometryTemplates(s *jsonscan.Scanner, l citymodel.Limits) error {
	return s.Object(func(k []byte) error {
		switch string(k) {
		case "templates":
			s.Peek()
			d.templates = mark{line: s.Line(), offset: s.Offset(), there: true}
			return s.Skip()
		case "vertices-templates":
			return d.templateVert.read(s, "vertices-templates", l)
		}
		return s.Skip()
	})
}

// supported reports whether version is one that this package reads, and its
// major and minor part.
func supported(version string) (short string, ok bool) {
	for _, v := range []string{"1.0", "1.1", "2.0"} {
		if version == v || strings.HasPrefix(version, v+".") {
			return v, true
		}
	}
	return "", false
}
