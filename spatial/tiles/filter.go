package tiles

import (
	"context"
	"sync"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/index"
)

// filter is a compiled CQL2 filter over what a tile can be filtered by: what
// the index knows of an object, and the latest values of observed properties.
type filter struct {
	text     string // printed from the tree: equal filters have equal texts
	compiled *cql2.Filter
	// properties are the observed properties by column, from firstObserved on.
	properties []string
	readings   bool // it names an observed property
	rows       sync.Pool
}

// The columns of every filter.
const (
	colID = iota
	colDataset
	colClass
	colType
	colName
	colHeight
	colUnderground
	colDomain
	colDistrict
	colState
	colGeometry
	firstObserved
)

// parseFilter compiles a filter (20-057 leaves the language to the server; it is
// that of Features). The error is a *cql2.Error.
func parseFilter(ctx context.Context, view *city.View, text, lang string) (*filter, error) {
	var tree cql2.Expr
	var err error
	if lang == "cql2-json" {
		tree, err = cql2.ParseJSON([]byte(text), cql2.Limits{})
	} else {
		tree, err = cql2.ParseText(text, cql2.Limits{})
	}
	if err != nil {
		return nil, err
	}
	list := []cql2.Queryable{
		colID: {Name: "id", Type: cql2.TypeString}, colDataset: {Name: "dataset", Type: cql2.TypeString},
		colClass: {Name: "class", Type: cql2.TypeString}, colType: {Name: "type", Type: cql2.TypeString},
		colName: {Name: "name", Type: cql2.TypeString}, colHeight: {Name: "height", Type: cql2.TypeNumber},
		colUnderground: {Name: "underground", Type: cql2.TypeBool}, colDomain: {Name: "domain", Type: cql2.TypeString},
		colDistrict: {Name: "district", Type: cql2.TypeString}, colState: {Name: "state", Type: cql2.TypeString},
		colGeometry: {Name: "geometry", Type: cql2.TypeGeometry},
	}
	taken := map[string]bool{}
	for _, q := range list {
		taken[q.Name] = true
	}
	f := &filter{text: cql2.Text(tree)}
	f.properties = make([]string, firstObserved)
	properties, err := view.Observed.Properties(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range properties {
		if taken[p.Name] {
			continue // the object's own property has the name
		}
		taken[p.Name] = true
		t := cql2.TypeNumber
		if p.Text {
			t = cql2.TypeString
		}
		list = append(list, cql2.Queryable{Name: p.Name, Type: t})
		f.properties = append(f.properties, p.Name)
	}
	q, err := cql2.NewQueryables(list...)
	if err != nil {
		return nil, err
	}
	if f.compiled, err = cql2.Compile(tree, q); err != nil {
		return nil, err
	}
	for _, name := range cql2.Properties(tree) {
		if _, column, ok := q.Lookup(name); ok && column >= firstObserved {
			f.readings = true
		}
	}
	f.rows.New = func() any { return new(row) }
	return f, nil
}

// row gives a filter the values of one feature.
type row struct {
	f        *filter
	object   *index.Object  // or
	terminal *city.Terminal // one of the two
	bound    orb.Bound
	geometry func() orb.Geometry
	last     []named
}

func (f *filter) run(r row) bool {
	p := f.rows.Get().(*row)
	*p = r
	p.f = f
	ok := f.compiled.Match(p)
	*p = row{}
	f.rows.Put(p)
	return ok
}

// match is for an object of the index, with the latest readings on it where the
// filter asks for one.
func (f *filter) match(b *builder, o index.Object, ref index.Ref) (bool, error) {
	var last []named
	if f.readings {
		b.streams = b.view.Observed.On(b.ctx, o.Position, b.streams[:0])
		var err error
		if last, err = b.readings(b.streams); err != nil {
			return false, err
		}
	}
	return f.run(row{object: &o, bound: o.Bound, geometry: func() orb.Geometry { return b.view.Index.Footprint(ref) }, last: last}), nil
}

func (f *filter) matchObject(o index.Object, g orb.Geometry, last []named) bool {
	return f.run(row{object: &o, bound: o.Bound, geometry: func() orb.Geometry { return g }, last: last})
}

func (f *filter) matchTerminal(t *city.Terminal, at orb.Point, last []named) bool {
	return f.run(row{terminal: t, bound: at.Bound(), geometry: func() orb.Geometry { return at }, last: last})
}

func (r *row) reading(c int) (named, bool) {
	for _, l := range r.last {
		if l.property == r.f.properties[c] {
			return l, true
		}
	}
	return named{}, false
}

func present(s string) (string, bool) { return s, s != "" }

// String is the text of a column.
func (r *row) String(c int) (string, bool) {
	if c >= firstObserved {
		v, ok := r.reading(c)
		return v.Text, ok
	}
	if t := r.terminal; t != nil {
		switch c {
		case colID:
			return t.Code, true
		case colName:
			return present(t.Name)
		case colDomain:
			return present(t.Domain)
		case colDistrict:
			return present(t.District)
		case colState:
			return present(t.State)
		}
		return "", false
	}
	switch c {
	case colID:
		return r.object.Key.ID, true
	case colDataset:
		return r.object.Key.Dataset, true
	case colClass:
		return present(string(r.object.Class))
	case colType:
		return present(r.object.Type)
	case colName:
		return present(r.object.Name)
	}
	return "", false
}

// Number is the number of a column.
func (r *row) Number(c int) (float64, bool) {
	if c >= firstObserved {
		v, ok := r.reading(c)
		return v.Value, ok
	}
	switch {
	case r.terminal != nil && r.terminal.HeightMetres != nil:
		return *r.terminal.HeightMetres, true
	case r.object != nil:
		return r.object.HighMetres - r.object.LowMetres, true // NaN counts as NULL
	}
	return 0, false
}

// Bool is the truth of a column.
func (r *row) Bool(int) (v, ok bool) {
	if r.object == nil {
		return false, false
	}
	return r.object.Underground, true
}

// Time is for no column.
func (r *row) Time(int) (int64, bool) { return 0, false }

// Bound contains the geometry.
func (r *row) Bound(int) (orb.Bound, bool) { return r.bound, !r.bound.IsEmpty() }

// Geometry is the footprint.
func (r *row) Geometry(int) (orb.Geometry, bool) {
	g := r.geometry()
	return g, g != nil
}

// Array is for no column.
func (r *row) Array(int) ([]cql2.Value, bool) { return nil, false }
