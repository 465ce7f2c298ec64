package osmpbf

import (
	"errors"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// chunk is how many member ways are looked for at a time.
const chunk = 1_000_000

// maxSplits is how often the members of a chunk may be too large: each time the
// ways are read again.
const maxSplits = 100

// errChunk says that the members of a chunk have more nodes than there is room
// for.
var errChunk = errors.New("too many nodes at once")

// polygons gives the multipolygons.
func (r *Reader) polygons(list []polygonRelation) error {
	for len(list) > 0 {
		n, members := 0, 0
		for n < len(list) && (n == 0 || members+len(list[n].members) <= chunk) {
			members += len(list[n].members)
			n++
		}
		if err := r.part(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// part gives some, in halves where they are too many at once.
func (r *Reader) part(list []polygonRelation) error {
	refs, err := r.memberWays(list)
	if errors.Is(err, errChunk) {
		if r.splits++; r.splits > maxSplits {
			return flat.Faultf(citymodel.TooLarge, "relations whose ways have more than %d nodes, again and again; raise Limits.Vertices if the file is meant to be so", r.capacity)
		}
		if len(list) > 1 {
			if err := r.part(list[:len(list)/2]); err != nil {
				return err
			}
			return r.part(list[len(list)/2:])
		}
		q := &list[0]
		o := r.object(relation, q.id, q.typ, q.tags, q.at)
		r.m.Dropped(o, "geometry", flat.Faultf(citymodel.TooLarge, "its ways have more than %d nodes; raise Limits.Vertices if it is meant to be that large", r.capacity))
		return r.give(o, nil)
	}
	if err != nil {
		return err
	}
	if err := r.locate(); err != nil {
		return err
	}
	for i := range list {
		if err := r.multipolygon(&list[i], refs); err != nil {
			return err
		}
	}
	return nil
}

// memberWays reads the nodes of the ways of some relations.
func (r *Reader) memberWays(list []polygonRelation) (map[int64][]int64, error) {
	refs := map[int64][]int64{}
	for _, q := range list {
		for _, m := range q.members {
			if m.kind == uint8(way) {
				refs[m.id] = nil
			}
		}
	}
	r.locs.reset()
	total := 0
	return refs, r.each(0, len(r.blobs), hasWays, func() error {
		return r.k.ways(func(id int64, _ []tag, nodes varints) error {
			if have, ok := refs[id]; !ok || have != nil {
				return nil
			}
			// A number has a byte at least.
			way := make([]int64, 0, min(len(nodes.b), 2000))
			for ref := int64(0); nodes.more(); {
				ref += nodes.signed()
				if total++; total > r.capacity {
					return errChunk
				}
				way = append(way, ref)
				r.locs.need(ref)
			}
			if nodes.bad {
				return errTags
			}
			refs[id] = way
			return nil
		})
	})
}

// multipolygon gives one.
func (r *Reader) multipolygon(q *polygonRelation, refs map[int64][]int64) error {
	o := r.object(relation, q.id, q.typ, q.tags, q.at)
	var s flat.Shapes
	s.Reset(r.m.Limits.ObjectPoints)
	if err := r.assemble(o, &s, q, refs); err != nil {
		var fault *flat.Fault
		if !errors.As(err, &fault) {
			return err
		}
		r.m.Dropped(o, "geometry", err)
		return r.give(o, nil)
	}
	return r.give(o, &s)
}

// xy are the points of all rings, one behind the other.
type xy []location

// X is the longitude in 1e-7 degrees.
func (p xy) X(i int) float64 { return float64(p[i].x) }

// Y is the latitude in 1e-7 degrees.
func (p xy) Y(i int) float64 { return float64(p[i].y) }

// assemble makes polygons of the members
// (https://wiki.openstreetmap.org/wiki/Relation:multipolygon): the outer ways
// joined at their ends to rings, the inner ways likewise, each hole in the
// smallest ring around it.
func (r *Reader) assemble(o *spatial.CityObject, s *flat.Shapes, q *polygonRelation, refs map[int64][]int64) error {
	var outer, inner [][]int64
	absent := 0
	for _, m := range q.members {
		if m.kind != uint8(way) {
			continue
		}
		nodes := refs[m.id]
		switch {
		case nodes == nil:
			absent++
		case m.role == "inner":
			inner = append(inner, nodes)
		default: // also where the role is missing
			outer = append(outer, nodes)
		}
	}
	outer, open := rings(outer)
	if open > 0 || len(outer) == 0 {
		return flat.Faultf(citymodel.BadReference, "the outer ways make %d closed rings and %d that are open; %d member ways are not in the file", len(outer), open, absent)
	}
	inner, open = rings(inner)
	if open > 0 {
		r.m.Warn(o, citymodel.BadReference, "geometry", "%d inner rings are not closed and left out", open)
	}
	var p xy
	var list []flat.Outline
	number := func(rings [][]int64) (indexes []int) {
		for _, nodes := range rings {
			from := len(p)
			points, missing := r.points(p, nodes)
			if missing > 0 {
				absent += missing
				continue
			}
			p = points
			indexes = append(indexes, len(list))
			list = append(list, flat.OutlineOf(p, from, len(p)))
		}
		return indexes
	}
	outers := number(outer)
	if len(outers) < len(outer) {
		return flat.Faultf(citymodel.BadReference, "%d nodes of the outer ways are not in the file", absent)
	}
	inners := number(inner)
	lost, err := flat.Nest(p, list, outers, inners)
	if err != nil {
		return err
	}
	if n := len(lost) + len(inner) - len(inners); n > 0 {
		r.m.Warn(o, citymodel.BadReference, "geometry", "%d inner rings lie in no outer ring or have no place; they are left out", n)
	}
	s.Begin(spatial.MultiSurface, false)
	for _, e := range outers {
		if err := addRing(s, p[list[e].From:list[e].To], list[e].Area >= 0); err != nil {
			return err
		}
		for _, h := range list[e].Holes {
			if err := addRing(s, p[list[h].From:list[h].To], list[h].Area < 0); err != nil {
				return err
			}
		}
		s.EndSurface()
	}
	return nil
}

// rings joins ways at their ends. It gives the rings that are closed, the first
// node again as the last one, and counts those that are not.
func rings(ways [][]int64) (closed [][]int64, open int) {
	ends := map[int64][]int{}
	used := make([]bool, len(ways))
	for i, w := range ways {
		switch {
		case len(w) < 2:
			used[i] = true
		case w[0] == w[len(w)-1]:
			used[i] = true
			closed = append(closed, w)
		default:
			ends[w[0]] = append(ends[w[0]], i)
			ends[w[len(w)-1]] = append(ends[w[len(w)-1]], i)
		}
	}
	for i, w := range ways {
		if used[i] {
			continue
		}
		used[i] = true
		ring := append([]int64(nil), w...)
		for ring[0] != ring[len(ring)-1] {
			end := ring[len(ring)-1]
			list := ends[end]
			for len(list) > 0 && used[list[len(list)-1]] {
				list = list[:len(list)-1]
			}
			ends[end] = list
			if len(list) == 0 {
				break
			}
			j := list[len(list)-1]
			used[j] = true
			next := ways[j]
			if next[0] == end {
				ring = append(ring, next[1:]...)
				continue
			}
			for k := len(next) - 2; k >= 0; k-- {
				ring = append(ring, next[k])
			}
		}
		if ring[0] == ring[len(ring)-1] {
			closed = append(closed, ring)
		} else {
			open++
		}
	}
	return closed, open
}
