package policy

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/twin"
	"cityhub/twin/registry"
	"cityhub/twin/series"
	"cityhub/twin/state"
)

// observed is what a View sees of observations, in the words of the spatial
// handlers.
type observed struct {
	v *View
	b *state.Bindings
}

var (
	_ city.Observed = (*observed)(nil)
	_ city.Bindings = (*observed)(nil)
)

// datastream gives a Datastream that the caller sees; nil otherwise.
func (o *observed) datastream(ctx context.Context, id twin.DatastreamID) (*city.Datastream, error) {
	ds, err := o.v.Datastream(ctx, id)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, known := o.b.Of(id)
	out := &city.Datastream{
		ID: int64(id), Name: ds.Name, Terminal: ds.Terminal, TerminalName: ds.ThingName, TerminalNameEn: ds.ThingNameEn,
		Property: ds.PropertyName, UnitSymbol: ds.Unit.Symbol, UnitCode: ds.Unit.Code, Dataset: o.v.DatasetCode(ds.Dataset),
		Domain: string(ds.Domain), District: ds.District, Text: ds.Result == twin.ResultText, Simulated: ds.Simulated,
		Lon: ds.Lon, Lat: ds.Lat,
	}
	if known {
		out.Position = b.Position
		out.District = cmp.Or(b.District, out.District)
	}
	return out, nil
}

func (o *observed) Properties(ctx context.Context) ([]city.Property, error) {
	return o.v.g.properties.of(ctx, o)
}

// readProperties asks the registry.
func (o *observed) readProperties(ctx context.Context) ([]city.Property, error) {
	uses, err := o.v.g.o.Registry.PropertyUses(ctx, o.v.scope(registry.Query{}))
	if err != nil {
		return nil, err
	}
	most := map[twin.ObservedPropertyID]registry.PropertyUse{}
	for _, u := range uses {
		if _, ok := most[u.Property]; !ok { // the most frequent comes first
			most[u.Property] = u
		}
	}
	var out []city.Property
	counts := map[string]int{}
	at := map[string]int{}
	for after := int64(0); ; {
		page, _, err := o.v.ObservedProperties(ctx, registry.Query{After: after, Limit: registry.MaxLimit})
		if err != nil {
			return nil, err
		}
		for _, p := range page {
			after = int64(p.ID)
			u := most[p.ID]
			q := city.Property{
				Name: p.Name, Title: p.Title, TitleEn: p.TitleEn, Definition: p.Definition,
				UnitName: u.Unit.Name, UnitSymbol: u.Unit.Symbol, UnitCode: u.Unit.Code, Text: u.Result == twin.ResultText,
			}
			// Two phenomena can have one name; the one that is observed more stands
			// for it.
			i, twice := at[p.Name]
			switch {
			case !twice:
				at[p.Name] = len(out)
				out = append(out, q)
			case u.Count > counts[p.Name]:
				out[i] = q
			default:
				continue
			}
			counts[p.Name] = u.Count
		}
		if len(page) < registry.MaxLimit {
			slices.SortFunc(out, func(a, b city.Property) int { return cmp.Compare(a.Name, b.Name) })
			return out, nil
		}
	}
}

func (o *observed) Binding(ctx context.Context, id int64) (city.Binding, bool) {
	if _, err := o.v.Datastream(ctx, twin.DatastreamID(id)); err != nil {
		return city.Binding{}, false
	}
	b, ok := o.b.Of(twin.DatastreamID(id))
	return city.Binding{Position: b.Position, How: b.How.String(), Metres: b.Metres, District: b.District, Cell: b.Cell}, ok
}

func (o *observed) Unplaced(ctx context.Context, after int64, limit int) (out []city.Unbound, total int, err error) {
	o.b.Unplaced(0, func(id twin.DatastreamID, reason string) bool {
		var ds *city.Datastream
		if o.v.all && (int64(id) <= after || len(out) >= limit) {
			total++ // seen without a look
			return true
		}
		if ds, err = o.datastream(ctx, id); err != nil {
			return false
		}
		if ds == nil {
			return true
		}
		total++
		if int64(id) > after && len(out) < limit {
			out = append(out, city.Unbound{Datastream: ds, Reason: reason})
		}
		err = ctx.Err()
		return err == nil
	})
	return out, total, err
}

// candidates calls fn for the ids that s can select, each once in order.
func (o *observed) candidates(s city.Select, fn func(twin.DatastreamID) bool) {
	switch {
	case s.IDs != nil:
		ids := slices.Clone(s.IDs)
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			if !fn(twin.DatastreamID(id)) {
				return
			}
		}
	case s.Positions != nil:
		var ids []twin.DatastreamID
		for _, position := range s.Positions {
			o.b.On(position, func(id twin.DatastreamID) bool { ids = append(ids, id); return true })
		}
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			if !fn(id) {
				return
			}
		}
	case s.Bound != nil:
		o.b.Within(*s.Bound, fn)
	default:
		o.b.All(fn)
	}
}

// matches reports whether a Datastream is what s selects, beyond candidates of
// the first condition.
func matches(s *city.Select, ds *city.Datastream) bool {
	if s.Bound != nil {
		b := *s.Bound
		in := ds.Lat >= b.Min[1] && ds.Lat <= b.Max[1] && ds.Lon >= b.Min[0] && ds.Lon <= b.Max[0]
		if b.Min[0] > b.Max[0] {
			in = ds.Lat >= b.Min[1] && ds.Lat <= b.Max[1] && (ds.Lon >= b.Min[0] || ds.Lon <= b.Max[0])
		}
		if !in {
			return false
		}
	}
	if s.Positions != nil {
		if _, ok := slices.BinarySearch(s.Positions, ds.Position); !ok {
			return false
		}
	}
	equal := func(want, have string) bool { return want == "" || want == have }
	return equal(s.Property, ds.Property) && equal(s.Terminal, ds.Terminal) && equal(s.Domain, ds.Domain) && equal(s.District, ds.District) && equal(s.Dataset, ds.Dataset)
}

func (o *observed) Datastreams(ctx context.Context, s city.Select) (out []*city.Datastream, err error) {
	o.candidates(s, func(id twin.DatastreamID) bool {
		if s.Property != "" { // without a look at the registry
			if b, ok := o.b.Of(id); ok && b.Property != s.Property {
				return true
			}
		}
		var ds *city.Datastream
		if ds, err = o.datastream(ctx, id); err != nil {
			return false
		}
		if ds != nil && matches(&s, ds) {
			out = append(out, ds)
		}
		err = ctx.Err()
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (o *observed) Terminals(ctx context.Context, s city.Select, after int64, limit int) (out []*city.Terminal, err error) {
	var selected map[twin.DatastreamID]bool // where s names few
	if s.IDs != nil || s.Positions != nil || s.Bound != nil {
		selected = map[twin.DatastreamID]bool{}
		o.candidates(s, func(id twin.DatastreamID) bool { selected[id] = true; return true })
	}
	var things []twin.ThingID
	at := map[twin.ThingID]*city.Terminal{}
	o.b.Things(twin.ThingID(after), func(thing twin.ThingID, ids []twin.DatastreamID) bool {
		var list []*city.Datastream
		for _, id := range ids {
			if selected != nil && !selected[id] {
				continue
			}
			var ds *city.Datastream
			if ds, err = o.datastream(ctx, id); err != nil {
				return false
			}
			if ds != nil && matches(&s, ds) {
				list = append(list, ds)
			}
		}
		if len(list) > 0 {
			t := &city.Terminal{
				ID: int64(thing), Code: list[0].Terminal, Name: list[0].TerminalName, NameEn: list[0].TerminalNameEn, Domain: list[0].Domain,
				District: list[0].District, Simulated: list[0].Simulated, Lon: list[0].Lon, Lat: list[0].Lat, Datastreams: list,
			}
			things, at[thing] = append(things, thing), t
			out = append(out, t)
		}
		err = ctx.Err()
		return err == nil && len(out) < limit
	})
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(things, registry.MaxLimit) {
		list, _, err := o.v.Things(ctx, registry.Query{Things: chunk, Limit: registry.MaxLimit})
		if err != nil {
			return nil, err
		}
		thingAt := map[twin.LocationID]*city.Terminal{}
		for i := range list {
			if t := at[list[i].ID]; t != nil {
				t.State = string(list[i].State)
				thingAt[list[i].Location] = t
			}
		}
		places, _, err := o.v.Locations(ctx, registry.Query{Things: chunk, Limit: registry.MaxLimit})
		if err != nil {
			return nil, err
		}
		for _, l := range places {
			if t := thingAt[l.ID]; t != nil {
				t.HeightMetres, t.HeightDatum = l.HeightMetres, l.HeightDatum
			}
		}
	}
	return out, nil
}

func (o *observed) On(ctx context.Context, position int64, dst []*city.Datastream) []*city.Datastream {
	o.b.On(position, func(id twin.DatastreamID) bool {
		// What the registry cannot give now is as if it were not observed: the
		// object itself is still answered.
		if ds, err := o.datastream(ctx, id); err == nil && ds != nil {
			dst = append(dst, ds)
		}
		return true
	})
	return dst
}

func (o *observed) Objects(ctx context.Context, property string) ([]int64, error) {
	list := o.b.Objects(property)
	if o.v.all {
		return list, nil
	}
	out := make([]int64, 0, len(list))
	for _, position := range list {
		seen := false
		var err error
		o.b.On(position, func(id twin.DatastreamID) bool {
			if b, ok := o.b.Of(id); property != "" && (!ok || b.Property != property) {
				return true
			}
			_, err = o.v.Datastream(ctx, id)
			seen = err == nil
			if isNotFound(err) {
				err = nil
			}
			return !seen && err == nil
		})
		if err != nil {
			return nil, err
		}
		if seen {
			out = append(out, position)
		}
	}
	return out, ctx.Err()
}

func reading(o twin.Observation) city.Reading {
	r := city.Reading{Time: time.Unix(0, o.PhenomenonNs).UTC(), Value: o.Value, Quality: o.Quality.String()}
	if o.IsText {
		r.Value, r.Text = math.NaN(), o.Text
	}
	return r
}

func (o *observed) Latest(ds *city.Datastream) (city.Reading, bool) {
	d, err := o.v.Datastream(context.Background(), twin.DatastreamID(ds.ID))
	if err != nil {
		return city.Reading{}, false
	}
	latest, ok := o.v.Latest(d)
	if !ok {
		return city.Reading{}, false
	}
	return reading(latest), true
}

func (o *observed) LatestAt(ctx context.Context, ds *city.Datastream, at time.Time) (r city.Reading, ok bool, err error) {
	err = o.window(ctx, ds, series.Window{ToNs: at.UnixNano() + 1, Descending: true}, func(found city.Reading) bool {
		r, ok = found, true
		return false
	})
	return r, ok, err
}

func (o *observed) Range(ctx context.Context, ds *city.Datastream, from, to time.Time, fn func(city.Reading) bool) error {
	if !from.Before(to) {
		return nil
	}
	return o.window(ctx, ds, series.Window{FromNs: nanos(from), ToNs: nanos(to)}, fn)
}

// window reads a window of the time series that has an end.
func (o *observed) window(ctx context.Context, ds *city.Datastream, w series.Window, fn func(city.Reading) bool) error {
	if w.ToNs == 0 { // the end is 1970, where zero would be no end
		w.ToNs = -1
	}
	err := o.v.Observations(ctx, twin.DatastreamID(ds.ID), w, func(found twin.Observation) bool { return fn(reading(found)) })
	if isNotFound(err) { // not seen any more
		return nil
	}
	return err
}

// nanos is t in nanoseconds since 1970, at the ends of what these can say for
// times beyond.
func nanos(t time.Time) int64 {
	switch {
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// propertyCache keeps the properties that Views see until anything changes.
type propertyCache struct {
	mu   sync.Mutex
	kept map[string]keptProperties // by View.Key
}

type keptProperties struct {
	catalogue, bindings uint64
	list                []city.Property
}

func (c *propertyCache) of(ctx context.Context, o *observed) ([]city.Property, error) {
	key, catalogue := o.v.Key(), o.v.g.catalogue().version
	if o.v.terminal != "" {
		key = "public" // what lists show a terminal
	}
	c.mu.Lock()
	k, ok := c.kept[key]
	c.mu.Unlock()
	if ok && k.catalogue == catalogue && k.bindings == o.b.Version() {
		return k.list, nil
	}
	list, err := o.readProperties(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]keptProperties{}
	}
	c.kept[key] = keptProperties{catalogue, o.b.Version(), list}
	return list, nil
}

// extentCache keeps the extents of classes as Views see them.
type extentCache struct {
	mu   sync.Mutex
	kept map[extentKey]store.BBox
}

type extentKey struct {
	view      string
	class     spatial.Class
	index     uint64
	catalogue uint64
}

// maxExtents bounds the cache: old versions of the index are in it too.
const maxExtents = 64

func (c *extentCache) of(view string, v index.View, class spatial.Class, catalogue uint64) store.BBox {
	key := extentKey{view, class, v.Version(), catalogue}
	c.mu.Lock()
	b, ok := c.kept[key]
	c.mu.Unlock()
	if ok {
		return b
	}
	b = extentOf(v, class)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= maxExtents {
		c.kept = map[extentKey]store.BBox{}
	}
	c.kept[key] = b
	return b
}
