package features

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/cql2"
	"cityhub/spatial/store"
)

// selection is what a request selects of the objects.
type selection struct {
	kind    kind
	classes []spatial.Class
	q       store.Query // Dataset, Type, At, BBox and Geometries
	// byPosition: only the objects at positions, ascending, are read, and of
	// these only those whose live values pass liveFilter, if there is one.
	byPosition bool
	positions  []int64
	liveFilter *cql2.Filter
	among      []int64 // where not byPosition: only objects at these positions; nil: any
	never      bool    // nothing can match
	filter     *cql2.Filter
	schema     *schema
	need       []bool // the live values that the filter asks for; nil: none
	live       *liveReader
	withLive   bool // the values go out
	slow       int  // vertices of the literals of functions that need the DE-9IM; 0: none
	low, high  float64
	tall       bool // low and high are a range of heights
}

// cheapCount reports whether the store can count what is selected.
func (s *selection) cheapCount() bool {
	return !s.never && s.filter == nil && !s.tall && !s.byPosition && s.among == nil && s.q.BBox == nil
}

// maxSlowVertices bounds one computation of the DE-9IM, which cannot be
// interrupted.
const maxSlowVertices = 20_000

// scanner walks over what is selected, in order of position.
type scanner struct {
	c     *call
	s     *selection
	after int64
	done  bool
	ready []*store.Version // read, not yet given
	row   row
	probe row // for liveFilter
	left  time.Duration
	n     int
}

func (c *call) scan(s *selection, after int64) *scanner {
	sc := &scanner{c: c, s: s, after: after, left: c.h.o.TimeLimit}
	if s.byPosition {
		i, found := slices.BinarySearch(s.positions, after)
		if found {
			i++
		}
		s.positions = s.positions[i:]
	}
	sc.row.live = s.live
	if s.schema != nil {
		sc.row.columns = s.schema.columns
	}
	sc.probe = sc.row
	sc.probe.v = new(store.Version)
	return sc
}

// next gives up to want objects and reports whether these were the last. It
// gives none only where there is none left.
func (sc *scanner) next(want int) (list []*store.Version, done bool, err error) {
	if sc.s.never {
		return nil, true, nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(sc.c.ctx, sc.left)
	defer cancel()
	for len(sc.ready) == 0 && !sc.done {
		if err := sc.fill(ctx, want); err != nil {
			if sc.c.ctx.Err() == nil && ctx.Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
				err = errors.Join(context.DeadlineExceeded, err)
			}
			return nil, false, err
		}
	}
	sc.left -= time.Since(began)
	n := min(want, len(sc.ready))
	list, sc.ready = sc.ready[:n], sc.ready[n:]
	return list, sc.done && len(sc.ready) == 0, nil
}

func (sc *scanner) fill(ctx context.Context, want int) error {
	s := sc.s
	q := s.q
	limit := chunk
	if q.Geometries {
		limit = chunk3D
	}
	if s.filter != nil || s.kind.rest() || s.among != nil {
		q.Keep = func(v *store.Version) (bool, error) { return sc.keep(ctx, v) }
	}
	q.Limit = min(want, limit)
	if s.byPosition {
		var err error
		if q.Positions, err = sc.nextPositions(ctx, limit); err != nil || len(q.Positions) == 0 {
			return err
		}
		q.Limit = limit
	} else {
		q.After = sc.after
	}
	var got []*store.Version
	more := false
	for _, q.Class = range s.classes {
		page, err := sc.c.view.Store.Query(ctx, q)
		if err != nil {
			return err
		}
		got = append(got, page.Versions...)
		more = more || page.Next != 0
	}
	if len(s.classes) > 1 {
		slices.SortFunc(got, func(a, b *store.Version) int { return cmp.Compare(a.Position, b.Position) })
	}
	if !s.byPosition {
		// What lies behind the first few may have others before it in the next
		// pages of the other classes.
		if len(got) > q.Limit {
			got, more = got[:q.Limit], true
		}
		sc.done = !more
		if len(got) > 0 {
			sc.after = got[len(got)-1].Position
		}
	}
	if s.tall {
		got = slices.DeleteFunc(got, func(v *store.Version) bool { return !meetsHeights(v, s.low, s.high) })
	}
	sc.ready = got
	return nil
}

// nextPositions takes the next positions whose live values pass.
func (sc *scanner) nextPositions(ctx context.Context, limit int) ([]int64, error) {
	s := sc.s
	if s.liveFilter == nil {
		next := s.positions[:min(limit, len(s.positions))]
		s.positions = s.positions[len(next):]
		sc.done = len(s.positions) == 0
		return next, nil
	}
	next := make([]int64, 0, limit)
	i := 0
	for ; i < len(s.positions) && len(next) < limit; i++ {
		if i&1023 == 1023 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		sc.probe.v.Position = s.positions[i]
		if err := sc.probe.readLive(s.need); err != nil {
			return nil, err
		}
		if s.liveFilter.Match(&sc.probe) {
			next = append(next, s.positions[i])
		}
	}
	s.positions = s.positions[i:]
	sc.done = len(s.positions) == 0
	return next, nil
}

// keep decides on one object. It is called in the order of positions.
func (sc *scanner) keep(ctx context.Context, v *store.Version) (bool, error) {
	if sc.n++; sc.n&63 == 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
	s := sc.s
	if !s.kind.has(&v.Object) {
		return false, nil
	}
	if s.among != nil {
		if _, ok := slices.BinarySearch(s.among, v.Position); !ok {
			return false, nil
		}
	}
	if s.filter == nil {
		return true, nil
	}
	if s.slow > 0 && v.Footprint != nil && s.slow+v.Footprint.NumPoints() > maxSlowVertices {
		return false, tooManyVertices(v, s.slow)
	}
	sc.row.set(v)
	if s.need != nil {
		if err := sc.row.readLive(s.need); err != nil {
			return false, err
		}
	}
	return s.filter.Match(&sc.row), nil
}

// meetsHeights reports whether an object reaches into a range of heights in
// metres above its own datum; one without heights is everywhere.
func meetsHeights(v *store.Version, low, high float64) bool {
	found := false
	for i := range v.Object.Geometries {
		g := &v.Object.Geometries[i]
		if !g.HasZ {
			continue
		}
		found = true
		if b := g.Bounds(); !b.Empty() && b.Min[2] <= high && b.Max[2] >= low {
			return true
		}
	}
	return !found
}
