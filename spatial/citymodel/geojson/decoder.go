package geojson

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// maxName is the longest name that is remembered beyond its object.
const maxName = 100

// decoder makes CityObjects of Features.
type decoder struct {
	s      *jsonscan.Scanner
	opt    Options
	limits citymodel.Limits
	report citymodel.Reporter
	tally  citymodel.Tally
	crs    spatial.CRS

	src     spatial.Source // where the object in work begins
	field   string
	id      string
	budget  int
	n       nest
	names   map[string]string
	unknown map[string]bool // values of ClassProperty that have been reported
	told    struct{ id, more, class bool }
}

func newDecoder(o Options) *decoder {
	if o.File == "" {
		o.File = "GeoJSON"
	}
	if len(o.NameProperty) == 0 {
		o.NameProperty = []string{"name", "name:zh"}
	}
	if !(o.MetresPerLevel > 0) {
		o.MetresPerLevel = 3
	}
	d := &decoder{opt: o, limits: o.Limits.WithDefaults(), names: map[string]string{}, unknown: map[string]bool{}}
	d.report = citymodel.Reporter{File: o.File, Sink: o.Problem, Tally: &d.tally}
	return d
}

func (d *decoder) scanOptions() jsonscan.Options {
	return jsonscan.Options{MaxDepth: d.limits.Depth, MaxToken: d.limits.ValueBytes}
}

func (d *decoder) intern(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(d.names) < 10_000 && len(s) <= maxName {
		d.names[s] = s
	}
	return s
}

func (d *decoder) guard(field string, f func() error) error {
	if d.field != "" && field != "" {
		field = d.field + "." + field
	} else if field == "" {
		field = d.field
	}
	return faults.Guard(d.s, &d.report, d.id, field, f)
}

func (d *decoder) problem(severity citymodel.Severity, code citymodel.Code, field, format string, args ...any) {
	d.report.Report(citymodel.Problem{
		Severity: severity, Code: code, Line: d.src.Line, Offset: d.src.Offset, Object: d.id, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// attribute takes a value and appends it.
func (d *decoder) attribute(to spatial.Attributes, name []byte) (spatial.Attributes, error) {
	if len(to) >= d.limits.Attributes {
		return to, faults.At(d.s, citymodel.TooLarge, "more than %d properties", d.limits.Attributes)
	}
	if d.s.Offset()-d.src.Offset > int64(d.limits.RecordBytes) {
		return to, faults.At(d.s, citymodel.TooLarge, "the Feature is longer than %d bytes", d.limits.RecordBytes)
	}
	key := d.intern(name)
	v, err := d.s.Value()
	if err != nil {
		return to, err
	}
	return append(to, spatial.Attribute{Name: key, Value: v}), nil
}

// object takes one Feature or geometry and hands it to yield.
func (d *decoder) object(s *jsonscan.Scanner, field string, yield func(*spatial.CityObject) bool) error {
	d.s, d.field, d.id = s, field, ""
	s.Peek()
	d.src = spatial.Source{File: d.opt.File, Line: s.Line(), Offset: s.Offset()}
	d.budget = d.limits.ObjectPoints
	var o *spatial.CityObject
	if err := d.guard("", func() (err error) { o, err = d.feature(); return err }); err != nil || o == nil {
		return err
	}
	d.finish(o)
	d.tally.Objects++
	if !yield(o) {
		return faults.ErrStop
	}
	return nil
}

// feature takes a Feature, or a geometry that stands by itself.
func (d *decoder) feature() (*spatial.CityObject, error) {
	s := d.s
	o := &spatial.CityObject{CRS: d.crs, Level: d.opt.Level, Source: d.src}
	var typ string
	// The members of a geometry that stands by itself. Whether they are that is
	// only known with the type; in a Feature they mean nothing.
	var bare part
	alone := &spatial.CityObject{CRS: d.crs}
	var foreign spatial.Attributes
	err := s.Object(func(k []byte) (err error) {
		switch key := string(k); key {
		case "type":
			typ, err = s.String()
		case "id": // a string or a number, RFC 7946 section 3.2
			switch s.Peek() {
			case 'n':
				return s.Skip()
			case '"':
				o.ID, err = s.String()
			default:
				var b []byte
				b, _, err = s.Number()
				o.ID = string(b)
			}
			d.id = o.ID
		case "properties":
			if s.Peek() == 'n' {
				return s.Skip()
			}
			return d.guard(key, func() error {
				return s.Object(func(name []byte) (err error) {
					o.Attributes, err = d.attribute(o.Attributes, name)
					return err
				})
			})
		case "geometry":
			if s.Peek() == 'n' {
				return s.Skip()
			}
			return d.guarded(o, key, func() error { return d.geometry(o, key, 0) })
		case "coordinates", "geometries":
			return d.guarded(alone, key, func() error {
				err := bare.member(d, alone, key, 0)
				bare.faulty = bare.faulty || err != nil
				return err
			})
		case "bbox":
			return s.Skip()
		default:
			foreign, err = d.attribute(foreign, k)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	o.Attributes = append(o.Attributes, foreign...)
	if typ == "Feature" {
		return o, nil
	}
	if shapes[typ].kind == 0 && typ != collection {
		return nil, &faults.Placed{Code: citymodel.WrongType, Line: d.src.Line, Offset: d.src.Offset, Text: fmt.Sprintf("type %.100q, expected a Feature", typ)}
	}
	if bare.faulty {
		return o, nil
	}
	bare.typ = typ
	if err := bare.finish(d, alone, ""); err != nil {
		return nil, err
	}
	o.Geometries = alone.Geometries
	return o, nil
}

// guarded is guard for a geometry: what has been read of a faulty one is left
// out as a whole.
func (d *decoder) guarded(o *spatial.CityObject, field string, f func() error) error {
	before, faulty := len(o.Geometries), false
	err := d.guard(field, func() error {
		err := f()
		faulty = err != nil
		return err
	})
	if faulty {
		o.Geometries = o.Geometries[:before]
		d.tally.Dropped++
	}
	return err
}

// part is the members of a geometry object.
type part struct {
	typ         string
	coordinates bool
	geometries  bool
	faulty      bool // one of them has been reported
}

func (p *part) member(d *decoder, o *spatial.CityObject, key string, depth int) error {
	switch key {
	case "coordinates":
		p.coordinates = true
		d.n.reset()
		return d.n.read(d.s, 1, &d.budget, d.limits.ObjectPoints)
	default:
		p.geometries = true
		if depth > 3 {
			return faults.At(d.s, citymodel.WrongType, "more than 4 GeometryCollections inside each other")
		}
		return d.s.Array(func(i int) error { return d.geometry(o, fmt.Sprintf("geometries[%d]", i), depth+1) })
	}
}

func (p *part) finish(d *decoder, o *spatial.CityObject, field string) error {
	if p.typ == collection {
		if !p.geometries {
			return faults.At(d.s, citymodel.Missing, "a GeometryCollection without geometries")
		}
		return nil
	}
	if shapes[p.typ].kind == 0 {
		return faults.At(d.s, citymodel.UnknownType, "%.100q is no type of geometry", p.typ)
	}
	if !p.coordinates {
		return faults.At(d.s, citymodel.Missing, "a %s without coordinates", p.typ)
	}
	if len(o.Geometries) >= 1000 {
		return faults.At(d.s, citymodel.TooLarge, "more than 1000 geometries")
	}
	g, err := d.n.geometry(d.s, p.typ, o.CRS.Degrees() && !d.opt.Swapped)
	if err != nil {
		return err
	}
	if d.n.two > 0 && d.n.three > 0 {
		d.problem(citymodel.SeverityError, citymodel.WrongType, field, "%d positions have a height and %d have none; the heights are left out", d.n.three, d.n.two)
	}
	if d.n.more && !d.told.more {
		d.told.more = true
		d.problem(citymodel.SeverityWarning, citymodel.WrongType, field, "positions have more than 3 numbers; the others are left out, here and wherever they come again")
	}
	if g.Kind == spatial.MultiSurface {
		unclose(&g, func(ring int) {
			d.problem(citymodel.SeverityError, citymodel.RingNotClosed, field, "ring %d: the last position is not the first; the ring is taken as closed", ring)
		})
	}
	if !g.HasZ {
		g.LoD = "0" // CityJSON's name for what lies flat
	}
	o.Geometries = append(o.Geometries, g)
	return nil
}

// geometry takes a geometry object; a collection becomes several Geometries.
func (d *decoder) geometry(o *spatial.CityObject, field string, depth int) error {
	var p part
	err := d.s.Object(func(k []byte) (err error) {
		switch key := string(k); key {
		case "type":
			p.typ, err = d.s.String()
		case "coordinates", "geometries":
			return p.member(d, o, key, depth)
		default:
			return d.s.Skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	return p.finish(d, o, field)
}

// finish fills in what follows from the rest.
func (d *decoder) finish(o *spatial.CityObject) {
	if o.ID == "" && d.opt.IDProperty != "" {
		if v, ok := o.Attributes.Get(d.opt.IDProperty); ok && v.Kind() != spatial.Null {
			o.ID = v.String()
		}
	}
	if o.ID == "" {
		o.ID = madeUp(o)
		if !d.told.id {
			d.told.id = true
			d.problem(citymodel.SeverityWarning, citymodel.NoID, "id", "no identifier: one is made of the Feature's content, here and wherever it is missing, so that a changed Feature is another object; name a property that identifies it")
		}
	}
	d.id = o.ID
	for _, name := range d.opt.NameProperty {
		if v, ok := o.Attributes.Get(name); ok {
			if o.Name, _ = v.Text(); o.Name != "" {
				break
			}
		}
	}
	for i := range o.Geometries {
		d.tally.Geometries++
		d.tally.Points += o.Geometries[i].NumPoints()
	}
	d.classify(o)
	d.height(o)
	citymodel.Check(o, d.opt.Check, d.report.Report)
}

// classify gives o its class.
func (d *decoder) classify(o *spatial.CityObject) {
	o.Class = d.opt.Class
	if v, ok := o.Attributes.Get(d.opt.ClassProperty); ok && d.opt.ClassProperty != "" {
		word := v.String()
		class, known := d.opt.Classes[word]
		if !known {
			class = spatial.Class(word)
			if known = class.Valid(); !known {
				typed := *o
				typed.Type = word
				if known = d.opt.Classify(&typed); known {
					o.Type, class = word, typed.Class
				}
			}
		}
		if known {
			o.Class = class
			return
		}
		if !d.unknown[word] && len(d.unknown) < 1000 {
			if len(word) <= maxName {
				d.unknown[word] = true
			}
			d.problem(citymodel.SeverityWarning, citymodel.UnknownType, d.opt.ClassProperty, "%.100q is no element class; its objects get %q", word, o.Class)
		}
	}
	if o.Class == "" && !d.told.class {
		d.told.class = true
		d.problem(citymodel.SeverityWarning, citymodel.NoClass, "", "the object is of none of the five element classes, here and wherever this is so; name the class, or the property that has it")
	}
}

// madeUp is an identifier from the geometry and the attributes of o.
func madeUp(o *spatial.CityObject) string {
	h := sha256.New()
	var b []byte
	for i := range o.Geometries {
		g := &o.Geometries[i]
		b = append(b[:0], byte(g.Kind))
		for _, v := range g.XYZ {
			bits := math.Float64bits(v)
			b = append(b, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24), byte(bits>>32), byte(bits>>40), byte(bits>>48), byte(bits>>56))
		}
		for _, end := range g.Rings {
			b = append(b, byte(end), byte(end>>8), byte(end>>16), byte(end>>24))
		}
		h.Write(b)
	}
	for _, a := range o.Attributes {
		fmt.Fprintf(h, "%q=%d%q", a.Name, a.Value.Kind(), a.Value.String())
	}
	return "sha-" + hex.EncodeToString(h.Sum(nil)[:8])
}
