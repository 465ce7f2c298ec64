package cityjson

import (
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// What stands for null and brackets in the flat form of semantics.values.
const (
	valueNull  = -1
	valueOpen  = -2
	valueClose = -3
)

// semantics is the member of that name of a geometry (CityJSON 2.0 section
// 3.3), kept until the boundaries are known.
type semantics struct {
	there    bool
	surfaces []spatial.Semantic
	values   []int32
}

func (m *semantics) read(d *decoder) error {
	m.there, m.surfaces, m.values = true, nil, m.values[:0]
	s := d.s
	return s.Object(func(k []byte) error {
		switch string(k) {
		case "surfaces":
			return s.Array(func(int) error {
				if d.surfs++; d.surfs > d.limits.Semantics {
					return faults.At(s, citymodel.TooLarge, "more than %d semantic surfaces", d.limits.Semantics)
				}
				return m.surface(d)
			})
		case "values":
			return m.readValues(s, 4*d.limits.ObjectPoints, 0)
		}
		return s.Skip()
	})
}

func (m *semantics) surface(d *decoder) error {
	s := d.s
	sem := spatial.Semantic{Parent: -1}
	err := s.Object(func(k []byte) error {
		var err error
		switch string(k) {
		case "type":
			var typ []byte
			typ, err = s.Bytes()
			sem.Type = d.intern(typ)
			sem.Kind = spatial.SurfaceKindOf(sem.Type)
		case "parent":
			var n int64
			if n, err = s.Int(); err == nil && (n < 0 || n >= int64(d.limits.Semantics)) {
				err = faults.At(s, citymodel.BadReference, "parent %d", n)
			}
			sem.Parent = int32(n)
		case "children":
			return s.Skip() // says the same as parent
		default:
			sem.Attributes, err = d.attribute(sem.Attributes, k)
		}
		return err
	})
	m.surfaces = append(m.surfaces, sem)
	return err
}

func (m *semantics) readValues(s *jsonscan.Scanner, limit, depth int) error {
	if len(m.values) >= limit {
		return faults.At(s, citymodel.TooLarge, "more than %d values", limit)
	}
	switch s.Peek() {
	case 'n':
		m.values = append(m.values, valueNull)
		_, err := s.Null()
		return err
	case '[':
		if depth == 3 {
			return faults.At(s, citymodel.WrongType, "more than 3 arrays inside each other")
		}
		m.values = append(m.values, valueOpen)
		err := s.Array(func(int) error { return m.readValues(s, limit, depth+1) })
		m.values = append(m.values, valueClose)
		return err
	}
	n, err := s.Int()
	if err == nil && (n < 0 || n >= 1<<31-1) {
		err = faults.At(s, citymodel.BadReference, "semantic surface %d", n)
	}
	m.values = append(m.values, int32(n))
	return err
}

// apply gives g its semantics.
func (m *semantics) apply(s *jsonscan.Scanner, g *spatial.Geometry) error {
	for i, sem := range m.surfaces {
		if int(sem.Parent) >= len(m.surfaces) || int(sem.Parent) == i {
			return faults.At(s, citymodel.BadReference, "surface %d has parent %d of %d", i, sem.Parent, len(m.surfaces))
		}
	}
	var levels [][]int32 // the arrays around the one of the surfaces' values
	n := len(g.Surfaces)
	switch {
	case g.Kind == spatial.MultiPoint:
		n = g.NumPoints()
	case g.Kind == spatial.MultiLine:
		n = len(g.Rings)
	case g.Kind == spatial.Solid:
		levels = [][]int32{g.Shells}
	case g.Kind.IsSolid():
		levels = [][]int32{g.Solids, g.Shells}
	}
	w := walker{s: s, values: m.values, of: make([]int32, n), surfaces: int32(len(m.surfaces)), levels: levels}
	if len(levels) > 0 {
		n = len(levels[0])
	}
	if err := w.walk(0, 0, n); err != nil {
		return err
	}
	g.Semantics, g.SemanticOf = m.surfaces, w.of
	return nil
}

type walker struct {
	s        *jsonscan.Scanner
	values   []int32
	of       []int32
	surfaces int32
	levels   [][]int32
}

// walk reads the values of members [from, to) of a level.
func (w *walker) walk(level, from, to int) error {
	if len(w.values) == 0 || w.values[0] == valueNull { // null stands for all below
		if len(w.values) > 0 {
			w.values = w.values[1:]
		}
		w.none(level, from, to)
		return nil
	}
	if w.values[0] != valueOpen {
		return faults.At(w.s, citymodel.WrongType, "semantics.values: expected arrays %d deep", len(w.levels)+1)
	}
	w.values = w.values[1:]
	for i := from; i < to; i++ {
		if len(w.values) == 0 || w.values[0] == valueClose {
			return faults.At(w.s, citymodel.WrongType, "semantics.values has %d for %d surfaces or shells", i-from, to-from)
		}
		if level < len(w.levels) {
			if err := w.walk(level+1, start(w.levels[level], i), int(w.levels[level][i])); err != nil {
				return err
			}
			continue
		}
		v := w.values[0]
		if v == valueOpen || v >= w.surfaces {
			return faults.At(w.s, citymodel.BadReference, "semantics.values: no semantic surface of the %d for surface %d", w.surfaces, i)
		}
		w.of[i] = v
		w.values = w.values[1:]
	}
	if len(w.values) == 0 || w.values[0] != valueClose {
		return faults.At(w.s, citymodel.WrongType, "semantics.values has more than the %d surfaces or shells", to-from)
	}
	w.values = w.values[1:]
	return nil
}

func (w *walker) none(level, from, to int) {
	for ; level < len(w.levels); level++ {
		if from == to {
			return
		}
		from, to = start(w.levels[level], from), int(w.levels[level][to-1])
	}
	for i := from; i < to; i++ {
		w.of[i] = -1
	}
}

func start(ends []int32, i int) int {
	if i == 0 {
		return 0
	}
	return int(ends[i-1])
}
