package network

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/paulmach/orb"

	"cityhub/spatial/index"
)

const (
	sidesInRun = 8
	fan        = 16
)

// run is some sides of a line, one after the other: those that begin at the
// points [from, to) of the network.
type run struct {
	line     int32
	from, to int32
	bound    orb.Bound
}

// tree finds sides by place. It is packed by Sort-Tile-Recursive (S. T.
// Leutenegger et al., ICDE 1997): node i of a level has the children fan*i to
// fan*i+fan-1 of the level below, the lowest of which is over the runs.
type tree struct {
	n      *Network
	runs   []run
	levels [][]orb.Bound
}

func newTree(n *Network) *tree {
	t := &tree{n: n}
	for i, l := range n.lines {
		for from := l.from; from < l.to-1; from += sidesInRun {
			r := run{line: int32(i), from: from, to: min(from+sidesInRun, l.to-1)}
			r.bound = orb.Bound{Min: n.points[from], Max: n.points[from]}
			for _, p := range n.points[from+1 : r.to+1] {
				r.bound = r.bound.Extend(p)
			}
			t.runs = append(t.runs, r)
		}
	}
	middle := func(axis int) func(a, b run) int {
		return func(a, b run) int {
			return cmp.Compare(a.bound.Min[axis]+a.bound.Max[axis], b.bound.Min[axis]+b.bound.Max[axis])
		}
	}
	slices.SortStableFunc(t.runs, middle(0))
	slab := fan * int(math.Ceil(math.Sqrt(float64(len(t.runs)+fan-1)/fan)))
	for part := range slices.Chunk(t.runs, max(slab, 1)) {
		slices.SortStableFunc(part, middle(1))
	}
	bounds := make([]orb.Bound, len(t.runs))
	for i, r := range t.runs {
		bounds[i] = r.bound
	}
	for len(bounds) > 0 {
		var above []orb.Bound
		for part := range slices.Chunk(bounds, fan) {
			b := part[0]
			for _, c := range part[1:] {
				b = b.Union(c)
			}
			above = append(above, b)
		}
		t.levels = append(t.levels, above)
		if bounds = above; len(above) == 1 {
			break
		}
	}
	return t
}

// search calls fn for the runs whose bound meets b, until it fails.
func (t *tree) search(b orb.Bound, fn func(i int) error) error {
	if len(t.levels) == 0 {
		return nil
	}
	return t.below(len(t.levels)-1, 0, &b, fn)
}

func (t *tree) below(level, i int, b *orb.Bound, fn func(i int) error) error {
	if !t.levels[level][i].Intersects(*b) {
		return nil
	}
	n := len(t.runs)
	if level > 0 {
		n = len(t.levels[level-1])
	}
	for c := i * fan; c < min(i*fan+fan, n); c++ {
		var err error
		if level > 0 {
			err = t.below(level-1, c, b, fn)
		} else if t.runs[c].bound.Intersects(*b) {
			err = fn(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// near calls fn for the sides at most metres away from p, with the nearest place
// on each.
func (t *tree) near(p orb.Point, metres float64, fn func(line int32, at, metres float64)) {
	x, y := index.MetresPerDegree(p[1])
	dx, dy := metres/max(x, 1)*1.001, metres/y*1.001
	b := orb.Bound{Min: orb.Point{p[0] - dx, p[1] - dy}, Max: orb.Point{p[0] + dx, p[1] + dy}}
	_ = t.search(b, func(i int) error { // fn cannot fail
		r := &t.runs[i]
		for s := r.from; s < r.to; s++ {
			if at, m := nearestOn(p, t.n.points[s], t.n.points[s+1]); m <= metres {
				fn(r.line, float64(s-t.n.lines[r.line].from)+at, m)
			}
		}
		return nil
	})
}

// crossings calls fn for each two sides, of lines for which wanted holds, that
// cross or touch, once. Neighbours in a line are left out.
func (t *tree) crossings(ctx context.Context, wanted func(l, m int32) bool, fn func(l, m int32, at, bt float64) error) error {
	points := t.n.points
	for i := range t.runs {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		a := t.runs[i]
		if !wanted(a.line, a.line) {
			continue
		}
		err := t.search(a.bound, func(j int) error {
			c := &t.runs[j]
			if j < i || !wanted(a.line, c.line) {
				return nil
			}
			for s := a.from; s < a.to; s++ {
				first := c.from
				if i == j {
					first = s + 2
				}
				for u := first; u < c.to; u++ {
					if a.line == c.line && (u == s || u == s+1 || s == u+1) {
						continue
					}
					at, bt, ok := crossing(points[s], points[s+1], points[u], points[u+1])
					if !ok {
						continue
					}
					if err := fn(a.line, c.line, float64(s-t.n.lines[a.line].from)+at, float64(u-t.n.lines[c.line].from)+bt); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
