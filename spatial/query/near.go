package query

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// found is an object of the index and by what it was found.
type found struct {
	ref    index.Ref
	metres float64
	of     *item
}

// options are those of the index for a selection.
func options(s *Selection) index.Options {
	c, _ := city.CollectionOf(s.Collection)
	return index.Options{Classes: []spatial.Class{c.Class}, Type: c.Type, Dataset: s.Dataset}
}

func (r *run) index() (index.View, error) {
	if r.view.Index == nil {
		return nil, &city.Error{Code: city.Unavailable, Message: "the index of the city model is not loaded yet", Hint: "ask again in a moment"}
	}
	return r.view.Index, nil
}

// load gives the items of what the index found, as far as a selection selects
// them, in the order of the store. What the store does not know, because it is
// newer or older than the index, is left out.
func (r *run) load(ctx context.Context, s *Selection, list []found) ([]*item, error) {
	by := make(map[int64]found, len(list))
	positions := make([]int64, 0, len(list))
	for _, f := range list {
		p := r.view.Index.Object(f.ref).Position
		if _, twice := by[p]; !twice {
			positions = append(positions, p)
		}
		by[p] = f
	}
	slices.Sort(positions)
	var out []*item
	for chunk := range slices.Chunk(positions, 1000) {
		err := r.objects(ctx, s, time.Time{}, chunk, func(v *store.Version) error {
			f, ok := by[v.Position]
			if !ok {
				return nil
			}
			it := r.objectItem(v)
			it.metres = f.metres
			if f.of != nil {
				it.of = f.of.key()
			}
			out = append(out, it)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// around is what a selection selects within metres of any of the items, each
// once with the nearest of them; of equally near ones the first.
func (r *run) around(ctx context.Context, from []*item, s *Selection, metres float64) ([]*item, error) {
	if s.Collection == Terminals {
		return r.terminalsAround(ctx, from, s, metres)
	}
	ix, err := r.index()
	if err != nil {
		return nil, err
	}
	nearest := map[index.Ref]found{}
	opts := options(s)
	for i, it := range from {
		if it.geometry == nil {
			continue
		}
		ix.Meeting(it.geometry, metres, opts, func(ref index.Ref, m float64) bool {
			if f, ok := nearest[ref]; !ok || m < f.metres {
				nearest[ref] = found{ref, m, it}
			}
			return len(nearest) <= r.limits.Rows && ctx.Err() == nil
		})
		if len(nearest) > r.limits.Rows {
			return nil, tooLarge(s.at, "take a smaller distance, or narrow by dataset", "more than %d objects are so near", r.limits.Rows)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i&255 == 255 {
			r.progress(Progress{Phase: "distances", Done: i + 1, Total: len(from)})
		}
	}
	list := make([]found, 0, len(nearest))
	for _, f := range nearest {
		list = append(list, f)
	}
	return r.load(ctx, s, list)
}

// measured is a geometry in a plane of its own.
type measured struct {
	pl    *plane
	plain orb.Geometry
	bound orb.Bound // larger by the distance asked about
}

func measure(g orb.Geometry, metres float64) measured {
	pl := planeOf(g.Bound())
	return measured{pl, pl.geometry(g), pad(g.Bound(), metres)}
}

// terminalsNear are the terminals that a selection selects within metres of one
// geometry, by ID.
func (r *run) terminalsNear(ctx context.Context, of *item, s *Selection, metres float64) ([]*item, error) {
	var out []*item
	m := measure(of.geometry, metres)
	err := r.terminals(ctx, s, &m.bound, func(t *city.Terminal) error {
		p := orb.Point{t.Lon, t.Lat}
		d := distance(m.plain, m.pl.project(p))
		if !(d <= metres) {
			return nil
		}
		it := newItem()
		it.terminal, it.geometry, it.metres, it.of = t, p, d, of.key()
		if len(out) == r.limits.Rows {
			return tooLarge(s.at, "take a smaller distance, or a filter", "more than %d terminals are so near", r.limits.Rows)
		}
		out = append(out, it)
		return nil
	})
	return out, err
}

func (r *run) terminalsAround(ctx context.Context, from []*item, s *Selection, metres float64) ([]*item, error) {
	nearest := map[int64]*item{}
	for _, it := range from {
		if it.geometry == nil {
			continue
		}
		near, err := r.terminalsNear(ctx, it, s, metres)
		if err != nil {
			return nil, err
		}
		for _, n := range near {
			if old := nearest[n.terminal.ID]; old == nil || n.metres < old.metres {
				nearest[n.terminal.ID] = n
			}
		}
	}
	out := make([]*item, 0, len(nearest))
	for _, it := range nearest {
		out = append(out, it)
	}
	slices.SortFunc(out, func(a, b *item) int { return cmp.Compare(a.terminal.ID, b.terminal.ID) })
	return out, nil
}

// near answers Nearest and Within.
func (r *run) near(ctx context.Context) (*Answer, error) {
	d := r.doc
	from, err := r.selected(ctx, d.Of, time.Time{})
	if err != nil {
		return nil, err
	}
	r.meta["metres"] = d.Metres
	if d.Kind == Within {
		items, err := r.around(ctx, from, d.Select, d.Metres)
		if err != nil {
			return nil, err
		}
		return rowsOf(items, false)
	}
	if len(from) > r.limits.Places || len(from)*d.K > r.limits.Rows {
		return nil, tooLarge(d.Of.at, "select fewer, or a smaller k", "these are %d places and %d rows, more than %d or %d", len(from), len(from)*d.K, r.limits.Places, r.limits.Rows)
	}
	var out []*item
	for i, it := range from {
		if it.geometry == nil {
			continue
		}
		items, err := r.nearestTo(ctx, it)
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
		if i&63 == 63 {
			r.progress(Progress{Phase: "distances", Done: i + 1, Total: len(from)})
		}
	}
	r.meta["k"] = d.K
	return rowsOf(out, false)
}

// nearestTo are the k nearest to one place; an object is not its own neighbour.
func (r *run) nearestTo(ctx context.Context, of *item) ([]*item, error) {
	s, k := r.doc.Select, r.doc.K
	order := func(items []*item) []*item {
		items = slices.DeleteFunc(items, func(it *item) bool {
			return it.key() == of.key() && (it.version != nil) == (of.version != nil) && of.place == nil
		})
		slices.SortStableFunc(items, func(a, b *item) int { return cmp.Compare(a.metres, b.metres) })
		return items[:min(k, len(items))]
	}
	if s.Collection == Terminals {
		// Rings of twice the distance each: the nearest are found without all.
		for metres := min(250, r.doc.Metres); ; metres = min(2*metres, r.doc.Metres) {
			items, err := r.terminalsNear(ctx, of, s, metres)
			if err != nil {
				return nil, err
			}
			if items = order(items); len(items) == k || metres >= r.doc.Metres {
				return items, nil
			}
		}
	}
	ix, err := r.index()
	if err != nil {
		return nil, err
	}
	for ask := k + 1; ; ask *= 4 {
		ask = min(ask, r.limits.Rows+1)
		near := ix.Nearest(of.geometry, r.doc.Metres, ask, options(s))
		list := make([]found, len(near))
		for i, n := range near {
			list[i] = found{n.Ref, n.Metres, of}
		}
		items, err := r.load(ctx, s, list)
		if err != nil {
			return nil, err
		}
		if items = order(items); len(items) == k || len(near) < ask {
			return items, nil
		}
		if ask > r.limits.Rows {
			return nil, tooLarge(s.at, "take a smaller maxMetres, or narrow by dataset", "among the %d nearest objects fewer than %d are selected", r.limits.Rows, k)
		}
	}
}

// rowsOf is the answer whose rows are items.
func rowsOf(items []*item, step bool) (*Answer, error) {
	a := &Answer{Columns: itemColumns(step)}
	for _, it := range items {
		row, err := it.row(step)
		if err != nil {
			return nil, err
		}
		a.Rows = append(a.Rows, row)
	}
	return a, nil
}

func isNaN(f float64) bool { return math.IsNaN(f) }
