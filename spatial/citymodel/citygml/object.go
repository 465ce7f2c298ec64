package citygml

import (
	"errors"
	"fmt"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// builder makes one object of a feature of the member.
type builder struct {
	d   *decoder
	t   *tree
	o   *spatial.CityObject
	sys system
	i   int32 // the feature

	surfaces []int32 // thematic surfaces, each before those in it
	seen     map[int32]bool
	of       map[int32]int32 // owners, when they have been needed
	features []int32         // objects that belong to this one
	shapes   []shape         // the geometries that have been read
	full     bool            // a limit of attributes has been reported
}

// shape is a geometry and the elements from which it was made.
type shape struct {
	lod     string
	patches []int32
	own     bool // of the object and not of its thematic surfaces
}

// referred is how many times the points of a member can be given, by
// references to them: to a solid, its surfaces and those of its neighbours.
const referred = 4

// member hands on the objects of the member that has been read.
func (d *decoder) member(yield func(*spatial.CityObject) bool) error {
	t := &d.tree
	d.points, d.steps = referred*d.limits.ObjectPoints, 16*d.limits.ObjectPoints+1000
	found := false
	for c := t.nodes[0].first; c != 0; c = t.nodes[c].next {
		found = true
		if err := d.object(c, nil, yield); err != nil {
			return err
		}
	}
	if !found {
		what := "an empty member"
		if href := t.nodes[0].href; href != "" {
			what = fmt.Sprintf("xlink:href %.100q leads out of the member of the city model", href)
		}
		d.problem(citymodel.SeverityError, citymodel.BadReference, d.src.Line, d.src.Offset, "", "%s; left out", what)
	}
	return nil
}

// object hands on the object of feature i and those that belong to it.
func (d *decoder) object(i int32, parent *spatial.CityObject, yield func(*spatial.CityObject) bool) error {
	n := &d.tree.nodes[i]
	d.id = d.idOf(i)
	d.src.Line, d.src.Offset = int(n.line), n.offset
	o := &spatial.CityObject{ID: d.id, Type: n.name.local, Level: d.opt.Level, Source: d.src}
	if n.name.ns == nsOther {
		o.Type = "+" + n.name.label
	}
	if n.id == "" {
		d.problem(citymodel.SeverityWarning, citymodel.NoID, d.src.Line, d.src.Offset, "gml:id", "the object has none; it gets %q", d.id)
	}
	b := builder{d: d, t: &d.tree, o: o, i: i, sys: d.memberSystem()}
	o.CRS = b.sys.crs
	b.read()
	for _, f := range b.features {
		o.Children = append(o.Children, d.idOf(f))
	}
	if parent != nil {
		o.Parents = []string{parent.ID}
	}
	d.finish(o, parent)
	d.tally.Objects++
	if !yield(o) {
		return errStop
	}
	for _, f := range b.features {
		if err := d.object(f, o, yield); err != nil {
			return err
		}
	}
	return nil
}

// idOf is the gml:id of a feature, or one made of its type and place.
func (d *decoder) idOf(i int32) string {
	n := &d.tree.nodes[i]
	if n.id != "" {
		return n.id
	}
	return fmt.Sprintf("%s@%d", n.name.local, n.offset)
}

// finish fills in what follows from the rest.
func (d *decoder) finish(o *spatial.CityObject, parent *spatial.CityObject) {
	known := d.opt.Classify(o)
	switch {
	case known:
	case spaces[o.Type]:
		if parent != nil {
			o.Class = parent.Class
		}
	case !d.unknown["type "+o.Type] && len(d.unknown) < 1000:
		d.unknown["type "+o.Type] = true
		what := "is no type of CityGML"
		if strings.HasPrefix(o.Type, "+") {
			what = "is a type of an extension"
		}
		class := "no element class"
		if o.Class != "" {
			class = "element class " + string(o.Class)
		}
		d.problem(citymodel.SeverityWarning, citymodel.UnknownType, o.Source.Line, o.Source.Offset, "type", "%.100q %s; its objects get %s", o.Type, what, class)
	}
	citymodel.Check(o, d.opt.Check, d.report.Report)
}

// read takes what the feature has.
func (b *builder) read() {
	for p := b.t.nodes[b.i].first; p != 0; p = b.t.nodes[p].next {
		b.property(p)
	}
	b.thematic()
	for k := range b.shapes {
		b.semantics(k)
	}
}

// property takes one property of the feature.
func (b *builder) property(p int32) {
	n := &b.t.nodes[p]
	switch {
	case n.name.local == "boundedBy" && n.name.ns == nsGML,
		n.name.local == "extent" && n.name.city(), strings.Contains(n.name.local, "TerrainIntersection"):
		return
	case n.first == 0:
		b.empty(p)
		return
	}
	for c := n.first; c != 0; c = b.t.nodes[c].next {
		m := &b.t.nodes[c]
		switch {
		case m.name.isGeometry():
			b.geometry(p, c)
		case m.name.local == "ImplicitGeometry" && m.name.city():
			b.placed(p, c)
		case m.name.isObject():
			b.features = append(b.features, c)
		case m.name.isSurface():
			b.surface(c, true)
		case n.name.local == "tin" || n.name.local == "grid" || n.name.local == "pointCloud":
			b.d.problem(citymodel.SeverityWarning, citymodel.UnknownType, int(m.line), m.offset, n.name.local, "a %.50s is not read", m.name.local)
		default:
			b.attribute(p)
			return
		}
	}
}

// empty takes a property without elements: a text or a reference.
func (b *builder) empty(p int32) {
	n := &b.t.nodes[p]
	geometry := lodOf(n.name.local) != "" || n.name.local == "tin"
	if n.href == "" || !geometry && n.name.local != "boundedBy" && n.name.local != "boundary" {
		b.attribute(p)
		return
	}
	to, ok := b.t.find(n.href)
	switch {
	case !ok:
		if geometry {
			b.d.tally.Dropped++
		}
		b.d.problem(citymodel.SeverityError, citymodel.BadReference, int(n.line), n.offset, n.name.local, "xlink:href %.100q leads out of the member of the city model; left out", n.href)
	case geometry && b.t.nodes[to].name.isGeometry():
		b.geometry(p, to)
	case !geometry && b.t.nodes[to].name.isSurface():
		b.surface(to, false)
	default:
		b.d.problem(citymodel.SeverityError, citymodel.BadReference, int(n.line), n.offset, n.name.local, "xlink:href %.100q leads to a %.50s; left out", n.href, b.t.nodes[to].name.local)
	}
}

// surface takes a thematic surface and those in it, such as its windows, and
// the objects in it where it stands in the feature itself.
func (b *builder) surface(i int32, inside bool) {
	if len(b.surfaces) > b.d.limits.Semantics || b.seen[i] {
		return // too many are reported by semantics
	}
	if b.seen == nil {
		b.seen = map[int32]bool{}
	}
	b.seen[i] = true
	b.surfaces = append(b.surfaces, i)
	for p := b.t.nodes[i].first; p != 0; p = b.t.nodes[p].next {
		for c := b.t.nodes[p].first; c != 0; c = b.t.nodes[c].next {
			if n := b.t.nodes[c].name; n.isSurface() && !n.isGeometry() {
				b.surface(c, inside)
			} else if n.isObject() && inside {
				b.features = append(b.features, c)
			}
		}
	}
}

// room is false where the object has so many geometries that it is no object.
func (b *builder) room(i int32) bool {
	const most = 1000
	if len(b.o.Geometries) < most {
		return true
	}
	b.d.tally.Dropped++
	n := &b.t.nodes[i]
	b.d.problem(citymodel.SeverityError, citymodel.TooLarge, int(n.line), n.offset, n.name.local, "more than %d geometries; left out", most)
	return false
}

// lod is the level of detail of property p: in its name, or for terrain in an
// element beside it.
func (b *builder) lod(p int32) string {
	if lod := lodOf(b.t.nodes[p].name.local); lod != "" {
		return lod
	}
	if l := b.t.child(b.i, "lod"); l != 0 {
		if s := b.t.nodes[l].text; len(s) == 1 && s[0] >= '0' && s[0] <= '4' {
			return s
		}
	}
	return ""
}

// geometry takes the geometry i of property p.
func (b *builder) geometry(p, i int32) {
	if !b.room(p) {
		return
	}
	s := &shaper{d: b.d, t: b.t, sys: b.sys}
	b.keep(p, s, s.shape(i))
}

// placed takes the ImplicitGeometry i of property p.
func (b *builder) placed(p, i int32) {
	if !b.room(p) {
		return
	}
	s := &shaper{d: b.d, t: b.t, sys: b.sys}
	reason, err := b.d.implicit(s, i)
	if reason != "" {
		n := &b.t.nodes[i]
		b.d.problem(citymodel.SeverityWarning, citymodel.BadReference, int(n.line), n.offset, b.t.nodes[p].name.local, "the object stands at its reference point: %s", reason)
	}
	b.keep(p, s, err)
}

// keep gives the object the geometry of s, or reports why not.
func (b *builder) keep(p int32, s *shaper, err error) {
	field := b.t.nodes[p].name.local
	var f *fault
	if errors.As(err, &f) {
		b.d.tally.Dropped++
		b.d.problem(citymodel.SeverityError, f.code, f.line, f.offset, field, "%s; the geometry is left out", f.text)
		return
	}
	if s.missing > 0 {
		n := &b.t.nodes[s.at]
		b.d.problem(citymodel.SeverityError, citymodel.BadReference, int(n.line), n.offset, field, "xlink:href %.100q leads out of the member of the city model (%d of this geometry do); that part is left out", s.first, s.missing)
	}
	if s.open > 0 {
		n := &b.t.nodes[s.openAt]
		b.d.problem(citymodel.SeverityError, citymodel.RingNotClosed, int(n.line), n.offset, field, "a ring whose last point is not its first (%d of this geometry are); it is taken as closed", s.open)
	}
	s.g.LoD = b.lod(p)
	b.add(s, true)
}

func (b *builder) add(s *shaper, own bool) {
	b.o.Geometries = append(b.o.Geometries, s.g)
	b.shapes = append(b.shapes, shape{lod: s.g.LoD, patches: s.patches, own: own})
	b.d.tally.Geometries++
	b.d.tally.Points += s.g.NumPoints()
}
