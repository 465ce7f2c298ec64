package query

import (
	"strconv"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/export"
	"cityhub/spatial/store"
)

// column is a property that a filter may name.
type column[T any] struct {
	name string
	typ  cql2.Type
	get  func(*T) spatial.Value
	time func(*T) time.Time
}

// filter decides for objects (store.Version) or terminals (city.Terminal). A
// property that is none of the fixed ones is an attribute and has the type of
// what it is compared with. It is for one goroutine.
type filter[T any] struct {
	compiled *cql2.Filter
	hint     cql2.Hint
	row      row[T]
}

// compile makes a filter; nil for nil.
func compile[T any](s *Selection, fixed []column[T], attribute func(*T, string) spatial.Value, geometry func(*T) orb.Geometry) (*filter[T], error) {
	if s.Filter == nil {
		return nil, nil
	}
	columns := fixed
	queryables := []cql2.Queryable{}
	known := map[string]bool{"geometry": true}
	for _, c := range fixed {
		known[c.name] = true
		queryables = append(queryables, cql2.Queryable{Name: c.name, Type: c.typ})
	}
	if attribute != nil {
		types := infer(s.Filter)
		for _, name := range cql2.Properties(s.Filter) {
			if known[name] {
				continue
			}
			typ := types[name]
			if typ == 0 {
				typ = cql2.TypeString
			}
			columns = append(columns[:len(columns):len(columns)], column[T]{name: name, typ: typ, get: func(v *T) spatial.Value { return attribute(v, name) }})
			queryables = append(queryables, cql2.Queryable{Name: name, Type: typ})
		}
	}
	q, err := cql2.NewQueryables(append(queryables, cql2.Queryable{Name: "geometry", Type: cql2.TypeGeometry})...)
	if err != nil {
		return nil, err
	}
	compiled, err := cql2.Compile(s.Filter, q)
	if err != nil {
		return nil, filterFault(s.at.member("filter"), err)
	}
	return &filter[T]{compiled, cql2.Hints(s.Filter), row[T]{columns: columns, geometry: geometry}}, nil
}

// match reports whether v is selected.
func (f *filter[T]) match(v *T) bool {
	if f == nil {
		return true
	}
	f.row.v, f.row.geom, f.row.known = v, nil, false
	return f.compiled.Match(&f.row)
}

// infer finds the types of properties from what stands beside them.
func infer(e cql2.Expr) map[string]cql2.Type {
	types := map[string]cql2.Type{}
	set := func(e cql2.Expr, t cql2.Type) {
		if p, ok := e.(*cql2.Property); ok && types[p.Name] == 0 {
			types[p.Name] = t
		}
	}
	typeOf := func(e cql2.Expr) cql2.Type {
		switch e := e.(type) {
		case *cql2.Number:
			return cql2.TypeNumber
		case *cql2.String:
			return cql2.TypeString
		case *cql2.Bool:
			return cql2.TypeBool
		case *cql2.Instant:
			if e.Date {
				return cql2.TypeDate
			}
			return cql2.TypeTimestamp
		case *cql2.Call:
			switch {
			case e.Op.IsArithmetic():
				return cql2.TypeNumber
			case e.Op == cql2.OpCaseI, e.Op == cql2.OpAccentI:
				return cql2.TypeString
			}
		}
		return 0
	}
	set(e, cql2.TypeBool)
	cql2.Walk(e, func(e cql2.Expr) bool {
		c, ok := e.(*cql2.Call)
		if !ok {
			return true
		}
		var all cql2.Type
		switch {
		case c.Op == cql2.OpAnd, c.Op == cql2.OpOr, c.Op == cql2.OpNot:
			all = cql2.TypeBool
		case c.Op.IsArithmetic():
			all = cql2.TypeNumber
		case c.Op == cql2.OpLike, c.Op == cql2.OpCaseI, c.Op == cql2.OpAccentI:
			all = cql2.TypeString
		case c.Op.IsTemporal():
			all = cql2.TypeTimestamp
		case c.Op.IsComparison(), c.Op == cql2.OpBetween, c.Op == cql2.OpIn:
			for _, a := range c.Args {
				if all == 0 {
					all = typeOf(a)
				}
			}
		}
		if all != 0 {
			for _, a := range c.Args {
				set(a, all)
			}
		}
		return true
	})
	return types
}

// row gives a filter the values of an object or a terminal.
type row[T any] struct {
	columns  []column[T]
	geometry func(*T) orb.Geometry
	v        *T
	geom     orb.Geometry
	known    bool
}

func (r *row[T]) value(i int) spatial.Value {
	if c := r.columns[i]; c.get != nil {
		return c.get(r.v)
	}
	return spatial.NullValue()
}

// Bool is a truth value.
func (r *row[T]) Bool(i int) (v, ok bool) { return r.value(i).Bool() }

// Number is a number, also one that came as a text, as in OpenStreetMap.
func (r *row[T]) Number(i int) (float64, bool) {
	v := r.value(i)
	if s, ok := v.Text(); ok {
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	return v.Number()
}

// String is a text, or another value as text.
func (r *row[T]) String(i int) (string, bool) {
	v := r.value(i)
	return v.String(), v.Kind() != spatial.Null
}

// Time is a time, or a text in the form of RFC 3339.
func (r *row[T]) Time(i int) (int64, bool) {
	if c := r.columns[i]; c.time != nil {
		t := c.time(r.v)
		return t.UnixNano(), !t.IsZero()
	}
	s, ok := r.value(i).Text()
	if !ok {
		return 0, false
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 1700 && t.Year() < 2200 {
			return t.UnixNano(), true
		}
	}
	return 0, false
}

// Bound is the rectangle of the geometry.
func (r *row[T]) Bound(i int) (orb.Bound, bool) {
	g, ok := r.Geometry(i)
	if !ok {
		return orb.Bound{}, false
	}
	return g.Bound(), true
}

// Geometry is the footprint, or the place of a terminal.
func (r *row[T]) Geometry(int) (orb.Geometry, bool) {
	if !r.known {
		r.geom, r.known = r.geometry(r.v), true
	}
	return r.geom, r.geom != nil
}

// Array is null: there are no arrays among the properties.
func (r *row[T]) Array(int) ([]cql2.Value, bool) { return nil, false }

// objectFilter is a selection's filter on objects.
func objectFilter(s *Selection) (*filter[store.Version], error) {
	text := func(get func(*store.Version) string) func(*store.Version) spatial.Value {
		return func(v *store.Version) spatial.Value {
			if s := get(v); s != "" {
				return spatial.TextValue(s)
			}
			return spatial.NullValue()
		}
	}
	height := func(get func(spatial.Height) float64) func(*store.Version) spatial.Value {
		return func(v *store.Version) spatial.Value {
			if v.Object.Height.From == "" {
				return spatial.NullValue()
			}
			return spatial.FloatValue(get(v.Object.Height))
		}
	}
	fixed := []column[store.Version]{
		{name: "id", typ: cql2.TypeString, get: text(func(v *store.Version) string { return v.Object.ID })},
		{name: "dataset", typ: cql2.TypeString, get: text(func(v *store.Version) string { return v.Dataset })},
		{name: "class", typ: cql2.TypeString, get: text(func(v *store.Version) string { return string(v.Object.Class) })},
		{name: "type", typ: cql2.TypeString, get: text(func(v *store.Version) string { return v.Object.Type })},
		{name: "name", typ: cql2.TypeString, get: text(func(v *store.Version) string { return v.Object.Name })},
		{name: "cim_level", typ: cql2.TypeNumber, get: func(v *store.Version) spatial.Value {
			if v.Object.Level == 0 {
				return spatial.NullValue()
			}
			return spatial.IntValue(int64(v.Object.Level))
		}},
		{name: "height_m", typ: cql2.TypeNumber, get: height(func(h spatial.Height) float64 { return h.Metres })},
		{name: "base_m", typ: cql2.TypeNumber, get: height(func(h spatial.Height) float64 { return h.BaseMetres })},
		{name: "valid_from", typ: cql2.TypeTimestamp, time: func(v *store.Version) time.Time { return v.ValidFrom }},
	}
	return compile(s, fixed, func(v *store.Version, name string) spatial.Value {
		value, _ := v.Object.Attributes.Get(name)
		return value
	}, func(v *store.Version) orb.Geometry { return export.Footprint(v.Footprint) })
}

// terminalFilter is a selection's filter on terminals.
func terminalFilter(s *Selection) (*filter[city.Terminal], error) {
	text := func(name string, get func(*city.Terminal) string) column[city.Terminal] {
		return column[city.Terminal]{name: name, typ: cql2.TypeString, get: func(t *city.Terminal) spatial.Value {
			if s := get(t); s != "" {
				return spatial.TextValue(s)
			}
			return spatial.NullValue()
		}}
	}
	fixed := []column[city.Terminal]{
		text("code", func(t *city.Terminal) string { return t.Code }), text("name", func(t *city.Terminal) string { return t.Name }),
		text("name_en", func(t *city.Terminal) string { return t.NameEn }), text("domain", func(t *city.Terminal) string { return t.Domain }),
		text("district", func(t *city.Terminal) string { return t.District }), text("state", func(t *city.Terminal) string { return t.State }),
		{name: "simulated", typ: cql2.TypeBool, get: func(t *city.Terminal) spatial.Value { return spatial.BoolValue(t.Simulated) }},
	}
	return compile(s, fixed, nil, func(t *city.Terminal) orb.Geometry {
		if t.Lon != t.Lon || t.Lat != t.Lat {
			return nil
		}
		return orb.Point{t.Lon, t.Lat}
	})
}
