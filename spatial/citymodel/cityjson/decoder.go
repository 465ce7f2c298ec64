package cityjson

import (
	"fmt"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// decoder is the second pass: it makes CityObjects.
type decoder struct {
	s         *jsonscan.Scanner
	opt       citymodel.Options
	limits    citymodel.Limits
	report    citymodel.Reporter
	tally     citymodel.Tally
	crs       spatial.CRS
	verts     *vertices
	transform transform
	templates []spatial.Geometry

	id      string         // of the object in work
	src     spatial.Source // and where it begins
	budget  int            // numbers, arrays and ids that it may still have
	attrs   int            // attributes it has
	surfs   int            // semantic surfaces it has
	n       nest
	sem     semantics
	names   map[string]string
	unknown map[string]bool // types that have been reported
}

func newDecoder(o citymodel.Options) *decoder {
	if o.File == "" {
		o.File = "CityJSON"
	}
	d := &decoder{opt: o, limits: o.Limits.WithDefaults(), names: map[string]string{}, unknown: map[string]bool{}, transform: identity}
	d.report = citymodel.Reporter{File: o.File, Sink: o.Problem, Tally: &d.tally}
	return d
}

func (d *decoder) scanOptions() jsonscan.Options {
	return jsonscan.Options{MaxDepth: d.limits.Depth, MaxToken: d.limits.ValueBytes}
}

// intern keeps one copy of the names that come again and again.
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

// guard lets f take a value. A fault that does not spoil the rest is reported,
// and the value left out.
func (d *decoder) guard(field string, f func() error) error {
	return faults.Guard(d.s, &d.report, d.id, field, f)
}

// attribute takes a value and appends it.
func (d *decoder) attribute(to spatial.Attributes, name []byte) (spatial.Attributes, error) {
	if d.attrs++; d.attrs > d.limits.Attributes {
		return to, faults.At(d.s, citymodel.TooLarge, "more than %d attributes", d.limits.Attributes)
	}
	if err := d.length(); err != nil {
		return to, err
	}
	key := d.intern(name)
	v, err := d.s.Value()
	if err != nil {
		return to, err
	}
	return append(to, spatial.Attribute{Name: key, Value: v}), nil
}

// length bounds the text of an object, and so what is kept of it.
func (d *decoder) length() error {
	if d.s.Offset()-d.src.Offset > int64(d.limits.RecordBytes) {
		return faults.At(d.s, citymodel.TooLarge, "the object is longer than %d bytes", d.limits.RecordBytes)
	}
	return nil
}

// objects walks through CityObjects and hands each to yield.
func (d *decoder) objects(yield func(*spatial.CityObject) bool) error {
	return d.s.Object(func(k []byte) error {
		d.id = string(k)
		d.s.Peek()
		d.src = spatial.Source{File: d.opt.File, Line: d.s.Line(), Offset: d.s.Offset()}
		var o *spatial.CityObject
		if err := d.guard("", func() (err error) { o, err = d.object(); return err }); err != nil {
			return err
		}
		if o == nil {
			return nil
		}
		d.tally.Objects++
		if !yield(o) {
			return faults.ErrStop
		}
		return nil
	})
}

// object takes one CityObject; nil and no error means that it was reported.
func (d *decoder) object() (*spatial.CityObject, error) {
	o := &spatial.CityObject{ID: d.id, CRS: d.crs, Level: d.opt.Level, Source: d.src}
	d.budget, d.attrs, d.surfs = d.limits.ObjectPoints, 0, 0
	s := d.s
	err := s.Object(func(k []byte) error {
		switch key := d.intern(k); key {
		case "type":
			return d.guard(key, func() error {
				typ, err := s.Bytes()
				o.Type = d.intern(typ)
				return err
			})
		case "attributes":
			return d.guard(key, func() error {
				return s.Object(func(name []byte) (err error) {
					o.Attributes, err = d.attribute(o.Attributes, name)
					return err
				})
			})
		case "parents":
			return d.guard(key, func() (err error) { o.Parents, err = d.ids(); return err })
		case "children":
			return d.guard(key, func() (err error) { o.Children, err = d.ids(); return err })
		case "geometry":
			return d.guard(key, func() error {
				return s.Array(func(i int) error { return d.geometry(o, i) })
			})
		case "geographicalExtent":
			return s.Skip() // follows from the geometry
		default: // address, children_roles, and what extensions add
			var err error
			o.Attributes, err = d.attribute(o.Attributes, k)
			return err
		}
	})
	if err != nil {
		return nil, err
	}
	d.finish(o)
	return o, nil
}

// ids takes an array of identifiers.
func (d *decoder) ids() (ids []string, err error) {
	err = d.s.Array(func(int) error {
		if d.budget--; d.budget < 0 {
			return faults.At(d.s, citymodel.TooLarge, "more than %d identifiers", d.limits.ObjectPoints)
		}
		if err := d.length(); err != nil {
			return err
		}
		id, err := d.s.String()
		if err == nil {
			ids = append(ids, id)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

func (d *decoder) problem(severity citymodel.Severity, code citymodel.Code, field, format string, args ...any) {
	d.report.Report(citymodel.Problem{
		Severity: severity, Code: code, Line: d.src.Line, Offset: d.src.Offset, Object: d.id, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// finish fills in what follows from the rest.
func (d *decoder) finish(o *spatial.CityObject) {
	switch known := d.opt.Classify(o); {
	case o.Type == "":
		d.problem(citymodel.SeverityError, citymodel.Missing, "type", "the object has no type")
	case !known && !d.unknown[o.Type] && len(d.unknown) < 1000:
		if len(o.Type) <= maxName {
			d.unknown[o.Type] = true
		}
		what := "is no type of CityJSON"
		if strings.HasPrefix(o.Type, "+") {
			what = "is a type of an extension"
		}
		class := "no element class"
		if o.Class != "" {
			class = "element class " + string(o.Class)
		}
		d.problem(citymodel.SeverityWarning, citymodel.UnknownType, "type", "%.100q %s; its objects get %s", o.Type, what, class)
	}
	for _, name := range []string{"name", "gml:name"} {
		if v, ok := o.Attributes.Get(name); ok {
			if o.Name, ok = v.Text(); ok && o.Name != "" {
				break
			}
		}
	}
	if v, ok := o.Attributes.Get("measuredHeight"); ok {
		if h, ok := v.Number(); ok && h > 0 {
			o.Height = spatial.Height{Metres: h, From: "measuredHeight"}
		}
	}
	citymodel.Check(o, d.opt.Check, d.report.Report)
}
