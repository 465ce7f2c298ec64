package cityjson

import (
	"fmt"
	"math"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
)

// maxTemplates is far more than a catalogue of trees and lamps has.
const maxTemplates = 100_000

// instance is what a GeometryInstance has besides its reference point
// (CityJSON 2.0 section 3.4).
type instance struct {
	template int64
	matrix   [16]float64 // row-major
	there    [2]bool
}

// geometry takes geometry i of o. A faulty one is reported and left out.
func (d *decoder) geometry(o *spatial.CityObject, i int) error {
	if len(o.Geometries) >= 1000 {
		return faults.At(d.s, citymodel.TooLarge, "more than 1000 geometries")
	}
	field := fmt.Sprintf("geometry[%d]", i)
	dropped := true
	err := d.guard(field, func() error {
		g, err := d.readGeometry(field)
		if err == nil {
			o.Geometries = append(o.Geometries, g)
			dropped = false
			d.tally.Geometries++
			d.tally.Points += g.NumPoints()
		}
		return err
	})
	if dropped {
		d.tally.Dropped++
	}
	return err
}

func (d *decoder) readGeometry(field string) (spatial.Geometry, error) {
	s := d.s
	var typ, lod string
	var inst instance
	bounds := false
	d.n.reset()
	d.sem.there = false
	err := s.Object(func(k []byte) error {
		var err error
		switch string(k) {
		case "type":
			var b []byte
			b, err = s.Bytes()
			typ = d.intern(b)
		case "lod":
			lod, err = d.lod(field)
		case "boundaries":
			d.n.reset()
			bounds = true
			err = d.n.read(s, 1, &d.budget, d.limits.ObjectPoints)
		case "semantics":
			if null, e := s.Null(); null || e != nil {
				return e
			}
			return d.guard(field+".semantics", func() error {
				err := d.sem.read(d)
				d.sem.there = err == nil
				return err
			})
		case "template":
			inst.there[0] = true
			inst.template, err = s.Int()
		case "transformationMatrix":
			inst.there[1] = true
			err = inst.readMatrix(d)
		default: // material, texture, and what extensions add
			return s.Skip()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return spatial.Geometry{}, err
	case typ == "":
		return spatial.Geometry{}, faults.At(s, citymodel.Missing, "no type")
	case !bounds:
		return spatial.Geometry{}, faults.At(s, citymodel.Missing, "no boundaries")
	case typ == "GeometryInstance":
		return d.instance(&inst)
	}
	k, ok := kinds[typ]
	if !ok {
		return spatial.Geometry{}, faults.At(s, citymodel.UnknownType, "%.100q is no type of geometry", typ)
	}
	if err := d.n.fits(s, typ, k.depth); err != nil {
		return spatial.Geometry{}, err
	}
	g, err := d.n.geometry(s, k.kind, k.depth, d.verts, &d.transform)
	if err != nil {
		return g, err
	}
	g.LoD = lod
	if d.sem.there {
		if err := d.sem.apply(s, &g); err != nil {
			d.report.Report(faults.Problem(err, d.id, field+".semantics", "semantics left out"))
			g.Semantics, g.SemanticOf = nil, nil
		}
	}
	return g, nil
}

// lod takes a level of detail: a string, or a number as CityJSON 1.0 has it.
func (d *decoder) lod(field string) (string, error) {
	s := d.s
	var b []byte
	var err error
	if s.Peek() == '"' {
		b, err = s.Bytes()
	} else {
		b, _, err = s.Number()
	}
	if err != nil {
		return "", err
	}
	ok := len(b) == 1 || len(b) == 3 && b[1] == '.' && b[2] >= '0' && b[2] <= '9'
	if !ok || b[0] < '0' || b[0] > '4' {
		d.problem(citymodel.SeverityWarning, citymodel.OutOfRange, field+".lod", "%.20q is no level of detail; expected e.g. \"2\" or \"2.2\"", b)
		return "", nil
	}
	return d.intern(b), nil
}

func (m *instance) readMatrix(d *decoder) error {
	n := 0
	err := d.s.Array(func(i int) error {
		if n++; n > len(m.matrix) {
			return faults.At(d.s, citymodel.WrongType, "more than 16 numbers")
		}
		var err error
		m.matrix[i], err = d.s.Float()
		return err
	})
	if err == nil && n != len(m.matrix) {
		err = faults.At(d.s, citymodel.WrongType, "%d numbers, expected 16", n)
	}
	return err
}

// instance puts a template in its place: its points times the matrix, then
// moved to the reference point.
func (d *decoder) instance(m *instance) (spatial.Geometry, error) {
	s := d.s
	switch {
	case !m.there[0] || !m.there[1]:
		return spatial.Geometry{}, faults.At(s, citymodel.Missing, "a GeometryInstance needs template and transformationMatrix")
	case m.template < 0 || m.template >= int64(len(d.templates)):
		return spatial.Geometry{}, faults.At(s, citymodel.BadReference, "template %d, but there are %d templates", m.template, len(d.templates))
	case len(d.n.ints) != 1 || d.n.leaf != 1 || int(d.n.ints[0]) >= d.verts.n:
		return spatial.Geometry{}, faults.At(s, citymodel.BadReference, "boundaries of a GeometryInstance are the index of one of the %d vertices", d.verts.n)
	}
	g := d.templates[m.template]
	if d.budget -= g.NumPoints(); d.budget < 0 {
		return spatial.Geometry{}, faults.At(s, citymodel.TooLarge, "more than %d points", d.limits.ObjectPoints)
	}
	at := d.transform.apply(d.verts.at(int(d.n.ints[0])))
	from, x := g.XYZ, &m.matrix
	g.XYZ = make([]float64, len(from))
	for p := 0; p < len(from); p += 3 {
		w := x[12]*from[p] + x[13]*from[p+1] + x[14]*from[p+2] + x[15]
		for k := range 3 {
			v := (x[4*k]*from[p]+x[4*k+1]*from[p+1]+x[4*k+2]*from[p+2]+x[4*k+3])/w + at[k]
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return spatial.Geometry{}, faults.At(s, citymodel.OutOfRange, "the transformationMatrix gives no finite coordinates")
			}
			g.XYZ[p+k] = v
		}
	}
	g.Rings, g.Surfaces, g.Shells, g.Solids = slices.Clone(g.Rings), slices.Clone(g.Surfaces), slices.Clone(g.Shells), slices.Clone(g.Solids)
	g.Semantics, g.SemanticOf = slices.Clone(g.Semantics), slices.Clone(g.SemanticOf)
	return g, nil
}

// readTemplates takes the templates of the document; their vertices are not
// transformed (CityJSON 2.0 section 3.4).
func (d *decoder) readTemplates(verts *vertices) error {
	real, transform := d.verts, d.transform
	d.verts, d.transform = verts, identity
	d.budget, d.attrs, d.surfs = d.limits.Vertices, 0, 0
	err := d.s.Array(func(i int) error {
		field := fmt.Sprintf("geometry-templates.templates[%d]", i)
		if i >= maxTemplates {
			return faults.At(d.s, citymodel.TooLarge, "more than %d templates", maxTemplates)
		}
		d.templates = append(d.templates, spatial.Geometry{Kind: spatial.MultiPoint})
		return d.guard(field, func() error {
			g, err := d.readGeometry(field)
			if err == nil {
				d.templates[i] = g
			}
			return err
		})
	})
	d.verts, d.transform = real, transform
	return err
}
