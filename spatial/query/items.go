package query

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/export"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// item is something that a question found or begins with.
type item struct {
	version  *store.Version   // of an object
	indexed  index.Object     // what the index knows of it; heights NaN where it knows nothing
	terminal *city.Terminal   // of the collection terminals
	ds       *city.Datastream // that was observed, or gave the item
	place    *Place           // that the question brings
	geometry orb.Geometry     // WGS 84 degrees; nil: none
	metres   float64          // from what it was found by; NaN: from nothing
	of       string           // key of that
	value    float64          // observed; NaN: nothing
	step     int
}

func newItem() *item {
	return &item{metres: math.NaN(), value: math.NaN(), indexed: index.Object{LowMetres: math.NaN(), HighMetres: math.NaN()}}
}

// key names the item: data set and identifier of an object, code of a terminal,
// identifier of a place.
func (it *item) key() string {
	switch {
	case it.version != nil:
		return it.version.Dataset + "/" + it.version.Object.ID
	case it.terminal != nil:
		return it.terminal.Code
	case it.ds != nil:
		return it.ds.Terminal
	case it.place != nil:
		return it.place.ID
	}
	return ""
}

func (it *item) name() string {
	switch {
	case it.version != nil:
		return it.version.Object.Name
	case it.terminal != nil:
		return it.terminal.Name
	case it.ds != nil:
		return it.ds.TerminalName
	case it.place != nil:
		return it.place.Name
	}
	return ""
}

// placeItem is an item of an object at a version.
func (r *run) objectItem(v *store.Version) *item {
	it := newItem()
	it.version, it.geometry = v, export.Footprint(v.Footprint)
	if r.view.Index != nil {
		if ref, ok := r.view.Index.At(v.Position); ok {
			it.indexed = r.view.Index.Object(ref)
		}
	}
	return it
}

// selected is everything that a selection selects, at a time (zero: now), in the
// order of the store, of terminals by ID, of places as they were given.
func (r *run) selected(ctx context.Context, s *Selection, at time.Time) ([]*item, error) {
	var out []*item
	if s.Collection == "" {
		for i := range s.Geometries {
			it := newItem()
			it.place, it.geometry = &s.Geometries[i], s.Geometries[i].Geometry
			out = append(out, it)
		}
		return out, nil
	}
	add := func(it *item) error {
		if len(out) == r.limits.Rows {
			return tooLarge(s.at, "narrow it by bbox, filter or dataset", "selects more than %d objects", r.limits.Rows)
		}
		out = append(out, it)
		return nil
	}
	if s.Collection == Terminals {
		return out, r.terminals(ctx, s, nil, func(t *city.Terminal) error {
			it := newItem()
			it.terminal = t
			if !math.IsNaN(t.Lon) && !math.IsNaN(t.Lat) {
				it.geometry = orb.Point{t.Lon, t.Lat}
			}
			if err := add(it); err != nil {
				return err
			}
			return nil
		})
	}
	err := r.objects(ctx, s, at, nil, func(v *store.Version) error { return add(r.objectItem(v)) })
	return out, err
}

// objects calls fn for the objects that a selection selects at a time, in the
// order of the store; of these only those at positions, where any are given.
func (r *run) objects(ctx context.Context, s *Selection, at time.Time, positions []int64, fn func(*store.Version) error) error {
	if r.view.Store == nil {
		return &city.Error{Code: city.Unavailable, Message: "the city model is not there"}
	}
	c, _ := city.CollectionOf(s.Collection) // checked when the document was read
	f, err := objectFilter(s)
	if err != nil {
		return err
	}
	keep := func(v *store.Version) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		return c.Has(v.Object.Class, v.Object.Type) && f.match(v), nil
	}
	if s.Keys != nil {
		return r.byKey(ctx, s, at, positions, func(v *store.Version) error {
			if ok, err := keep(v); !ok || err != nil {
				return err
			}
			return fn(v)
		})
	}
	q := store.Query{Class: c.Class, Type: c.Type, Dataset: s.Dataset, At: at, Positions: positions, Limit: 1000}
	if f != nil || c.Rest() {
		q.Keep = keep
	}
	if f != nil && f.hint.Never {
		return nil
	}
	box := s.BBox
	if f != nil {
		if b, ok := f.hint.Bounds["geometry"]; ok {
			if box == nil {
				box = &b
			} else if box.Intersects(b) {
				box = &orb.Bound{Min: orb.Point{max(box.Min[0], b.Min[0]), max(box.Min[1], b.Min[1])}, Max: orb.Point{min(box.Max[0], b.Max[0]), min(box.Max[1], b.Max[1])}}
			} else {
				return nil
			}
		}
	}
	if box != nil {
		q.BBox = &store.BBox{West: max(box.Min[0], -180), South: max(box.Min[1], -90), East: min(box.Max[0], 180), North: min(box.Max[1], 90)}
		if q.BBox.West > q.BBox.East || q.BBox.South > q.BBox.North {
			return nil
		}
	}
	for {
		page, err := r.view.Store.Query(ctx, q)
		if err != nil {
			return err
		}
		for _, v := range page.Versions {
			if err := fn(v); err != nil {
				return err
			}
		}
		if q.After = page.Next; q.After == 0 {
			return ctx.Err()
		}
	}
}

// byKey are the objects that a selection names, in the order of the store.
func (r *run) byKey(ctx context.Context, s *Selection, at time.Time, positions []int64, fn func(*store.Version) error) error {
	var all []*store.Version
	for _, key := range s.Keys {
		v, err := r.view.Store.Get(ctx, key, at)
		var missing *store.Error
		if errors.As(err, &missing) && missing.Code == store.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		if s.Dataset != "" && v.Dataset != s.Dataset || s.BBox != nil && !meets(export.Footprint(v.Footprint), *s.BBox) {
			continue
		}
		if _, there := slices.BinarySearch(positions, v.Position); positions != nil && !there {
			continue
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *store.Version) int { return int(min(1, max(-1, a.Position-b.Position))) })
	all = slices.CompactFunc(all, func(a, b *store.Version) bool { return a.Position == b.Position })
	for _, v := range all {
		if err := fn(v); err != nil {
			return err
		}
	}
	return nil
}

func meets(g orb.Geometry, b orb.Bound) bool { return g != nil && g.Bound().Intersects(b) }

// terminals calls fn for the terminals that a selection selects, by ID; of these
// only those in a rectangle, where one is given.
func (r *run) terminals(ctx context.Context, s *Selection, within *orb.Bound, fn func(*city.Terminal) error) error {
	if r.view.Observed == nil {
		return &city.Error{Code: city.Unavailable, Message: "observations are not there"}
	}
	f, err := terminalFilter(s)
	if err != nil {
		return err
	}
	sel := city.Select{Property: s.Property, Dataset: s.Dataset, Bound: s.BBox}
	if sel.Bound == nil {
		sel.Bound = within
	}
	var after int64
	for {
		page, err := r.view.Observed.Terminals(ctx, sel, after, 1000)
		if err != nil {
			return err
		}
		for _, t := range page {
			after = t.ID
			if s.Keys != nil && !slices.Contains(s.Keys, store.Key{ID: t.Code}) || within != nil && !within.Contains(orb.Point{t.Lon, t.Lat}) || !f.match(t) {
				continue
			}
			if err := fn(t); err != nil {
				return err
			}
		}
		if len(page) < 1000 {
			return ctx.Err()
		}
	}
}

// itemColumns are those of answers whose rows are items.
func itemColumns(step bool) []export.Column {
	c := []export.Column{
		{Name: "key", Type: export.Text}, {Name: "collection", Type: export.Text}, {Name: "dataset", Type: export.Text}, {Name: "object", Type: export.Text},
		{Name: "class", Type: export.Text}, {Name: "type", Type: export.Text}, {Name: "name", Type: export.Text},
		{Name: "of", Type: export.Text}, {Name: "metres", Type: export.Number},
		{Name: "low_m", Type: export.Number}, {Name: "high_m", Type: export.Number}, {Name: "height_datum", Type: export.Text},
		{Name: "terminal", Type: export.Text}, {Name: "datastream", Type: export.Integer}, {Name: "property", Type: export.Text},
		{Name: "value", Type: export.Number}, {Name: "unit", Type: export.Text}, {Name: "attributes", Type: export.JSON},
	}
	if step {
		c = append([]export.Column{{Name: "step", Type: export.Integer}}, c...)
	}
	return c
}

func (it *item) row(step bool) (export.Row, error) {
	var values []export.Value
	if step {
		values = append(values, export.IntegerOf(int64(it.step)))
	}
	var dataset, object, class, typ, datum, attributes, collection, terminal, property, unit string
	low, high := math.NaN(), math.NaN()
	var stream export.Value
	switch {
	case it.version != nil:
		o := &it.version.Object
		dataset, object, class, typ, datum = it.version.Dataset, o.ID, string(o.Class), o.Type, o.CRS.VerticalDatum
		low, high = it.indexed.LowMetres, it.indexed.HighMetres
		collection = CollectionID(o.Class, o.Type)
		var err error
		if attributes, err = AttributesJSON(o.Attributes); err != nil {
			return export.Row{}, err
		}
	case it.terminal != nil:
		collection, terminal, typ = Terminals, it.terminal.Code, it.terminal.Domain
	}
	if it.ds != nil {
		terminal, property, unit = it.ds.Terminal, it.ds.Property, it.ds.UnitSymbol
		stream = export.IntegerOf(it.ds.ID)
		if it.version == nil {
			collection = Terminals
		}
	}
	values = append(values, export.TextOf(it.key()), export.TextOf(collection), export.TextOf(dataset), export.TextOf(object), export.TextOf(class), export.TextOf(typ), export.TextOf(it.name()),
		export.TextOf(it.of), export.NumberOf(it.metres), export.NumberOf(low), export.NumberOf(high), export.TextOf(datum),
		export.TextOf(terminal), stream, export.TextOf(property), export.NumberOf(it.value), export.TextOf(unit), export.JSONOf(attributes))
	return export.Row{Geometry: it.geometry, Values: values}, nil
}

// CollectionID is the collection that has the objects of a class and type.
func CollectionID(class spatial.Class, typ string) string {
	best := ""
	for _, c := range city.Collections() {
		if c.Class == class && (c.Type == "" && best == "" || c.Type != "" && c.Type == typ) {
			best = c.ID
		}
	}
	return best
}
