package streams

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/paulmach/orb"

	"cityhub/spatial/cql2"
	"cityhub/twin"
)

// The columns of the queryables. From colValue on they are of the reading.
const (
	colTerminal = iota
	colName
	colDomain
	colDistrict
	colDataset
	colSimulated
	colGeometry
	colDatastream
	colProperty
	colUnit
	colObject
	colClass
	colType
	colObjectName
	colObjectGeometry
	colValue
	colText
	colQuality
	colTime
)

var queryables = sync.OnceValue(func() *cql2.Queryables {
	q, err := cql2.NewQueryables(
		cql2.Queryable{Name: "terminal", Type: cql2.TypeString},
		cql2.Queryable{Name: "name", Type: cql2.TypeString},
		cql2.Queryable{Name: "domain", Type: cql2.TypeString},
		cql2.Queryable{Name: "district", Type: cql2.TypeString},
		cql2.Queryable{Name: "dataset", Type: cql2.TypeString},
		cql2.Queryable{Name: "simulated", Type: cql2.TypeBool},
		cql2.Queryable{Name: "geometry", Type: cql2.TypeGeometry},
		cql2.Queryable{Name: "datastream", Type: cql2.TypeNumber},
		cql2.Queryable{Name: "property", Type: cql2.TypeString},
		cql2.Queryable{Name: "unit", Type: cql2.TypeString},
		cql2.Queryable{Name: "object", Type: cql2.TypeString},
		cql2.Queryable{Name: "class", Type: cql2.TypeString},
		cql2.Queryable{Name: "type", Type: cql2.TypeString},
		cql2.Queryable{Name: "object_name", Type: cql2.TypeString},
		cql2.Queryable{Name: "object_geometry", Type: cql2.TypeGeometry},
		cql2.Queryable{Name: "value", Type: cql2.TypeNumber},
		cql2.Queryable{Name: "text", Type: cql2.TypeString},
		cql2.Queryable{Name: "quality", Type: cql2.TypeNumber},
		cql2.Queryable{Name: "time", Type: cql2.TypeTimestamp},
	)
	if err != nil {
		panic(err) // the list above is constant
	}
	return q
})

// Queryables are the names that Filter.CQL may use. Of the Thing: terminal, name,
// domain, district, dataset, simulated, geometry (its place, WGS 84); of the
// Datastream: datastream, property, unit; of the CityObject that it observes:
// object, class, type, object_name, object_geometry (its footprint); of the
// reading: value, text, quality, time. A condition on the reading is asked with
// every reading, the others once per Datastream.
func Queryables() *cql2.Queryables { return queryables() }

// ofReading reports whether e names a column of the reading.
func ofReading(e cql2.Expr) bool {
	return slices.ContainsFunc(cql2.Properties(e), func(name string) bool {
		_, col, ok := queryables().Lookup(name)
		return ok && col >= colValue
	})
}

// split parts e into the conditions that need no reading and those that do.
func split(e cql2.Expr) (static, live []cql2.Expr) {
	if call, ok := e.(*cql2.Call); ok && call.Op == cql2.OpAnd {
		for _, a := range call.Args {
			s, l := split(a)
			static, live = append(static, s...), append(live, l...)
		}
		return static, live
	}
	if ofReading(e) {
		return nil, []cql2.Expr{e}
	}
	return []cql2.Expr{e}, nil
}

func all(es []cql2.Expr) cql2.Expr {
	if len(es) == 1 {
		return es[0]
	}
	return &cql2.Call{Op: cql2.OpAnd, Args: es}
}

// checkCQL refuses what is no filter over the Queryables and what would cost more
// than a point in a polygon, once per Datastream.
func checkCQL(e cql2.Expr) error {
	if err := cql2.Check(e, queryables()); err != nil {
		return badCQL("filter.cql", err)
	}
	var bad error
	_, live := split(e)
	spatialIn := func(e cql2.Expr, alternative func(*cql2.Call) string) {
		cql2.Walk(e, func(x cql2.Expr) bool {
			if call, ok := x.(*cql2.Call); ok && call.Op.IsSpatial() && bad == nil {
				if hint := alternative(call); hint != "" {
					bad = badFilter("filter.cql", call.Op.TextName()+" "+call.Pos().String()+" is too expensive for a stream", hint)
				}
			}
			return bad == nil
		})
	}
	for _, l := range live {
		spatialIn(l, func(*cql2.Call) string {
			return "join conditions on the reading and on the place with AND only, or use two subscriptions"
		})
	}
	spatialIn(e, func(call *cql2.Call) string {
		var property *cql2.Property
		n := 0
		for _, a := range call.Args {
			if p, ok := a.(*cql2.Property); ok {
				property = p
				n++
			}
		}
		switch {
		case n != 1:
			return "compare geometry or object_geometry with one literal, as in S_INTERSECTS(geometry, BBOX(120.6,31.3,120.7,31.4))"
		case property.Name == "object_geometry" && call.Op != cql2.OpSIntersects && call.Op != cql2.OpSDisjoint:
			return "use S_INTERSECTS or S_DISJOINT with object_geometry, or " + call.Op.TextName() + " with geometry, the place of the terminal"
		}
		return ""
	})
	return bad
}

// matcher is a compiled normal Filter. It is immutable.
type matcher struct {
	Filter
	key      string
	area     *cql2.Filter // of Polygon
	static   *cql2.Filter
	live     *cql2.Filter // what every reading is asked
	ofObject bool         // static or live names a column of the CityObject
	box      *BBox        // in which all that matches is; nil: anywhere
	named    []string     // observed properties, one of which all that matches has; nil: any
}

// compile makes a matcher of a valid normal filter.
func compile(f Filter, key string) (*matcher, error) {
	m := &matcher{Filter: f, key: key, box: f.BBox, named: f.ObservedProperties}
	var err error
	if f.Polygon != nil {
		if m.area, err = cql2.Compile(within(f.Polygon), queryables()); err != nil {
			return nil, badCQL("filter.polygon", err)
		}
		m.narrow(f.Polygon.Bound())
	}
	if f.CQL == nil {
		return m, nil
	}
	static, live := split(f.CQL)
	if len(static) > 0 {
		if m.static, err = cql2.Compile(all(static), queryables()); err != nil {
			return nil, badCQL("filter.cql", err)
		}
		hint := cql2.Hints(all(static))
		if b, ok := hint.Bounds["geometry"]; ok {
			m.narrow(b)
		}
		if m.named == nil {
			for _, v := range hint.Equal["property"] {
				if s, ok := v.(*cql2.String); ok {
					m.named = append(m.named, s.Value)
				}
			}
			m.named = sorted(m.named)
		}
	}
	if len(live) > 0 {
		if m.live, err = cql2.Compile(all(live), queryables()); err != nil {
			return nil, badCQL("filter.cql", err)
		}
	}
	for _, name := range cql2.Properties(f.CQL) {
		if _, col, ok := queryables().Lookup(name); ok && col >= colObject && col <= colObjectGeometry {
			m.ofObject = true
		}
	}
	return m, nil
}

func (m *matcher) narrow(b orb.Bound) {
	box := &BBox{West: b.Min[0], South: b.Min[1], East: b.Max[0], North: b.Max[1]}
	if m.box == nil || m.box.West <= m.box.East && b.Max[0]-b.Min[0] < m.box.East-m.box.West {
		m.box = box
	}
}

// matches reports whether the Datastream belongs to those chosen by m, whatever
// its readings are.
func (m *matcher) matches(h *Hub, access View, id twin.DatastreamID, s *slot) bool {
	ds := s.ds
	f := &m.Filter
	if len(f.Datastreams) > 0 {
		if _, ok := slices.BinarySearch(f.Datastreams, id); !ok {
			return false
		}
	}
	if f.BBox != nil && !f.BBox.Contains(ds.Lon, ds.Lat) {
		return false
	}
	if len(f.ObservedProperties) > 0 {
		if _, ok := slices.BinarySearch(f.ObservedProperties, ds.PropertyName); !ok {
			return false
		}
	}
	if len(f.Domains) > 0 {
		if _, ok := slices.BinarySearch(f.Domains, ds.Domain); !ok {
			return false
		}
	}
	if len(f.Districts) > 0 {
		if _, ok := slices.BinarySearch(f.Districts, s.district()); !ok {
			return false
		}
	}
	if len(f.Objects) > 0 && !m.observes(access, s.place) {
		return false
	}
	if !access.Sees(ds) {
		return false
	}
	if m.area == nil && m.static == nil {
		return true
	}
	r := &row{hub: h, slot: s}
	r.object = m.ofObject && s.place != nil && seesObject(access, s.place.Object)
	return (m.area == nil || m.area.Match(r)) && (m.static == nil || m.static.Match(r))
}

// observes reports whether a place is one of the chosen objects or a part of one.
func (m *matcher) observes(access View, p *Place) bool {
	if p == nil || p.Object == "" {
		return false
	}
	chosen := func(key string) bool {
		_, ok := slices.BinarySearch(m.Objects, key)
		return ok && seesObject(access, key)
	}
	return chosen(p.Object) || !m.WithoutParts && slices.ContainsFunc(p.Parents, chosen)
}

// wants evaluates the condition on the reading; it allocates nothing. Under
// Hub.mu.
func (v *view) wants(h *Hub, s *slot, o *twin.Observation) bool {
	m := v.m
	if m.live == nil {
		return true
	}
	h.reading = row{hub: h, slot: s, o: o}
	if m.ofObject && s.place != nil {
		h.reading.object = seesObject(v.access, s.place.Object)
	}
	return m.live.Match(&h.reading)
}

// row gives a CQL2 filter the values of a Datastream and, where there is one, of
// a reading.
type row struct {
	hub    *Hub
	slot   *slot
	o      *twin.Observation
	object bool // the caller may see the CityObject
}

var _ cql2.Row = (*row)(nil)

// Bool implements cql2.Row, as the following do.
func (r *row) Bool(int) (bool, bool) { return r.slot.ds.Simulated, true } // colSimulated is the only one

func (r *row) Number(column int) (float64, bool) {
	switch column {
	case colDatastream:
		return float64(r.slot.ds.ID), true
	case colValue:
		return r.o.Value, !r.o.IsText && !math.IsNaN(r.o.Value)
	case colQuality:
		return float64(r.o.Quality), true
	}
	return 0, false
}

func (r *row) String(column int) (string, bool) {
	ds := r.slot.ds
	s := ""
	switch column {
	case colTerminal:
		s = ds.Terminal
	case colName:
		if s = ds.ThingName; s == "" {
			s = ds.Name
		}
	case colDomain:
		s = string(ds.Domain)
	case colDistrict:
		s = r.slot.district()
	case colDataset:
		s = r.hub.labels(context.Background(), ds).Dataset
	case colProperty:
		s = ds.PropertyName
	case colUnit:
		s = ds.Unit.Symbol
	case colText:
		return r.o.Text, r.o.IsText
	default:
		if !r.object {
			return "", false
		}
		switch p := r.slot.place; column {
		case colObject:
			s = p.Object
		case colClass:
			s = p.Class
		case colType:
			s = p.Type
		case colObjectName:
			s = p.Name
		}
	}
	return s, s != ""
}

func (r *row) Time(int) (int64, bool) { return r.o.PhenomenonNs, true } // colTime is the only one

func (r *row) Bound(column int) (orb.Bound, bool) {
	if column == colGeometry {
		p := orb.Point{r.slot.ds.Lon, r.slot.ds.Lat}
		return orb.Bound{Min: p, Max: p}, located(r.slot.ds)
	}
	g, ok := r.Geometry(column)
	if !ok {
		return orb.Bound{}, false
	}
	return g.Bound(), true
}

// Geometry allocates: it is asked once per Datastream and view, never with a
// reading.
func (r *row) Geometry(column int) (orb.Geometry, bool) {
	if column == colGeometry {
		return orb.Point{r.slot.ds.Lon, r.slot.ds.Lat}, located(r.slot.ds)
	}
	if !r.object || r.slot.place.Footprint == nil {
		return nil, false
	}
	g := r.slot.place.Footprint()
	return g, g != nil
}

func (r *row) Array(int) ([]cql2.Value, bool) { return nil, false } // there is none

// matchers keeps compiled filters, so that ten thousand clients who open one
// costly area compile it once.
type matchers struct {
	mu    sync.Mutex
	byKey map[string]*matcher
}

const maxMatchers = 64

// of gives the matcher of a valid filter.
func (c *matchers) of(f Filter) (*matcher, error) {
	f = f.normal()
	key := f.key()
	if f.Polygon == nil && f.CQL == nil {
		return compile(f, key)
	}
	c.mu.Lock()
	m := c.byKey[key]
	c.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := compile(f, key)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil || len(c.byKey) >= maxMatchers {
		c.byKey = make(map[string]*matcher)
	}
	c.byKey[key] = m
	return m, nil
}
