package query

import (
	"context"
	"math"
	"slices"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/index"
)

// pipeline runs the steps one after another.
func (r *run) pipeline(ctx context.Context) (*Answer, error) {
	var out, last []*item
	r.meta["timeZone"] = DefaultZone
	counts := []int{}
	for i, s := range r.doc.Steps {
		r.progress(Progress{Phase: s.Op, Done: i, Total: len(r.doc.Steps)})
		items, err := r.step(ctx, s, last, i == 0)
		if err != nil {
			return nil, err
		}
		if len(items) > r.limits.Rows {
			return nil, tooLarge(s.at, "narrow the selection", "the step finds %d, more than %d", len(items), r.limits.Rows)
		}
		for _, it := range items {
			it.step = i + 1
		}
		counts = append(counts, len(items))
		if last = items; r.doc.All {
			out = append(out, items...)
		}
	}
	if !r.doc.All {
		out = last
	}
	if len(out) > r.limits.Rows {
		return nil, tooLarge(r.doc.Steps[0].at, "ask for the output of the last step only", "the steps find %d together, more than %d", len(out), r.limits.Rows)
	}
	r.meta["found"] = counts // by step
	return rowsOf(out, true)
}

func (r *run) step(ctx context.Context, s *Step, last []*item, first bool) ([]*item, error) {
	switch s.Op {
	case "select":
		return r.selected(ctx, s.Select, time.Time{})
	case "observed":
		return r.observed(ctx, s, last, first)
	case "within", "intersecting":
		return r.around(ctx, last, s.Select, s.Metres)
	case "upstream":
		return r.upstream(ctx, s, last)
	default:
		return r.stacked(ctx, s, last)
	}
}

// observed are the places at which a property was observed with a value that the
// step compares. As a later step it keeps of the objects before those on which
// such a value was observed.
func (r *run) observed(ctx context.Context, s *Step, last []*item, first bool) ([]*item, error) {
	windows, err := s.Times.windows(r.now, 1, false)
	if err != nil {
		return nil, err
	}
	r.meta["timeZone"] = s.Times.Zone.String()
	r.meta["window"] = []string{clock(windows[0].From), clock(windows[0].To)}
	all, points, err := r.datastreams(ctx, s.Observations)
	if err != nil {
		return nil, err
	}
	on := map[int64][]*item{} // the objects before, by position
	var positions []int64
	if !first {
		for _, it := range last {
			if it.version != nil {
				on[it.version.Position] = append(on[it.version.Position], it)
			}
		}
	}
	p := newPlan([]Statistic{s.Statistic}, false, time.Hour, s.Observations.Quality, r.now)
	var out []*item
	unplaced := 0
	hit := map[int64]*item{}
	wanted := func(i int) bool { return first || on[all[i].Position] != nil }
	err = r.observe(ctx, all, wanted, windows, p, func(i int, parts []part) error {
		v := parts[0].value(p, 0)
		if math.IsNaN(v) || !compare(v, s.Compare, s.Value) {
			return nil
		}
		ds := all[i]
		if !first {
			if old := hit[ds.Position]; old == nil { // of several the first, by ID
				it := *on[ds.Position][0]
				it.ds, it.value = ds, v
				hit[ds.Position] = &it
				positions = append(positions, ds.Position)
			}
			return nil
		}
		it := newItem()
		it.ds, it.value = ds, v
		switch {
		case points[i][0] == points[i][0] && points[i][1] == points[i][1]:
			it.geometry = points[i]
		case ds.Position != 0 && r.view.Index != nil: // it stands nowhere, but on an object
			if ref, ok := r.view.Index.At(ds.Position); ok {
				it.geometry = r.view.Index.Footprint(ref)
			}
		}
		if it.geometry == nil {
			unplaced++
		}
		out = append(out, it)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.meta["unplaced"] = unplaced
	slices.Sort(positions)
	for _, p := range positions {
		out = append(out, hit[p])
	}
	return out, nil
}

func compare(a float64, op string, b float64) bool {
	switch op {
	case "=":
		return a == b
	case "<>":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	default:
		return a >= b
	}
}

// order is where one object lies of another.
type order int

const (
	unknown order = iota
	lower
	higher
	neither
)

// vertical tells where an object lies of another, by the first rule that
// decides:
//
//  1. what is of the class underground lies below what is not;
//  2. where both have heights above the same, named datum, one lies below the
//     other when its highest point is not above the other's lowest;
//  3. it is not known. Heights above different datums are never compared.
func vertical(it, of *item) order {
	if a, b := it.version.Object.Class, of.version.Object.Class; a != b {
		if a == "underground" {
			return lower
		}
		if b == "underground" {
			return higher
		}
	}
	a, b := it.version.Object.CRS.VerticalDatum, of.version.Object.CRS.VerticalDatum
	if a == "" || a != b || isNaN(it.indexed.LowMetres+it.indexed.HighMetres+of.indexed.LowMetres+of.indexed.HighMetres) {
		return unknown
	}
	switch {
	case it.indexed.HighMetres <= of.indexed.LowMetres:
		return lower
	case it.indexed.LowMetres >= of.indexed.HighMetres:
		return higher
	}
	return neither
}

// stacked are the objects that lie below or above those before and whose
// footprints meet theirs, or come as near as the step says.
func (r *run) stacked(ctx context.Context, s *Step, last []*item) ([]*item, error) {
	ix, err := r.index()
	if err != nil {
		return nil, err
	}
	want := lower
	if s.Op == "above" {
		want = higher
	}
	pairs := map[index.Ref][]found{}
	n := 0
	opts := options(s.Select)
	for _, it := range last {
		if it.geometry == nil || it.version == nil {
			continue
		}
		ix.Meeting(it.geometry, s.Metres, opts, func(ref index.Ref, m float64) bool {
			pairs[ref] = append(pairs[ref], found{ref, m, it})
			n++
			return n <= 10*r.limits.Rows && ctx.Err() == nil
		})
		if n > 10*r.limits.Rows {
			return nil, tooLarge(s.at, "take fewer objects in the steps before, or a smaller distance", "more than %d pairs of objects lie one above the other", 10*r.limits.Rows)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	list := make([]found, 0, len(pairs))
	for _, p := range pairs {
		list = append(list, p[0])
	}
	candidates, err := r.load(ctx, s.Select, list)
	if err != nil {
		return nil, err
	}
	var out []*item
	notCompared := 0
	for _, it := range candidates {
		ref, ok := ix.At(it.version.Position)
		if !ok {
			continue
		}
		it.metres, it.of = math.NaN(), ""
		unsure := false
		for _, p := range pairs[ref] {
			if p.of.version.Position == it.version.Position {
				continue
			}
			switch vertical(it, p.of) {
			case want:
				if isNaN(it.metres) || p.metres < it.metres {
					it.metres, it.of = p.metres, p.of.key()
				}
			case unknown:
				unsure = true
			}
		}
		switch {
		case it.of != "":
			out = append(out, it)
		case unsure:
			notCompared++
		}
	}
	if notCompared > 0 {
		r.meta["notCompared"] = notCompared // no common height datum, no heights
	}
	return out, nil
}

// upstream are the objects of the network from which something flows to those
// before.
func (r *run) upstream(ctx context.Context, s *Step, last []*item) ([]*item, error) {
	if r.Upstream == nil {
		return nil, &city.Error{Code: city.Unavailable, Field: s.at.ptr, Message: "there is no network of canals and pipes here"}
	}
	ix, err := r.index()
	if err != nil {
		return nil, err
	}
	var positions []int64
	by := map[int64]*item{}
	for _, it := range last {
		if it.version != nil {
			positions = append(positions, it.version.Position)
			by[it.version.Position] = it
		}
	}
	slices.Sort(positions)
	reached, err := r.Upstream(ctx, r.view, slices.Compact(positions), s.Metres)
	if err != nil {
		return nil, err
	}
	groups := map[string][]found{} // by collection
	for _, u := range reached {
		ref, ok := ix.At(u.Position)
		if !ok {
			continue
		}
		o := ix.Object(ref)
		id := CollectionID(o.Class, o.Type)
		groups[id] = append(groups[id], found{ref, u.Metres, by[u.Of]})
	}
	var out []*item
	for _, c := range city.Collections() {
		if len(groups[c.ID]) == 0 || s.Select != nil && s.Select.Collection != c.ID {
			continue
		}
		sel := s.Select
		if sel == nil {
			sel = &Selection{Collection: c.ID, at: s.at}
		}
		items, err := r.load(ctx, sel, groups[c.ID])
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
	}
	slices.SortStableFunc(out, func(a, b *item) int { return int(min(1, max(-1, a.version.Position-b.version.Position))) })
	return out, nil
}
