package network

import (
	"cmp"
	"maps"
	"slices"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
)

// lakes joins the ends that meet no line with the area of water in which they
// lie: with the line that runs through it, or where none does, with each other.
func (b *builder) lakes() error {
	if len(b.areas) == 0 {
		return nil
	}
	first := make([]int32, len(b.nodes.at)) // line + 1 that comes to each node
	joined := make([]bool, len(b.nodes.at)) // so does another
	for _, c := range b.cuts {
		joined[c.node] = joined[c.node] || first[c.node] != 0 && first[c.node] != c.line+1
		first[c.node] = c.line + 1
	}
	area := make(map[int64]int32, len(b.areas))
	for _, o := range b.areas {
		area[b.n.objects[o].position] = o
	}
	loose := make(map[int32][]lineEnd) // by area
	for i, e := range b.lineEnds {
		if err := b.stopped(i); err != nil {
			return err
		}
		if b.n.lines[e.line].medium != wet || joined[e.node] {
			continue
		}
		best, metres := int32(-1), 0.0
		b.view.Meeting(b.nodes.at[e.node], b.o.ToleranceMetres, index.Options{Classes: []spatial.Class{spatial.ClassWater}}, func(r index.Ref, m float64) bool {
			if o, ok := area[b.view.Object(r).Position]; ok && (best < 0 || m < metres || m == metres && o < best) {
				best, metres = o, m
			}
			return true
		})
		if best >= 0 {
			loose[best] = append(loose[best], e)
		}
	}
	for _, o := range slices.Sorted(maps.Keys(loose)) {
		if err := b.lake(o, loose[o]); err != nil {
			return err
		}
	}
	return nil
}

// lake joins the loose ends in an area. A line runs through it that does not end
// in it, or lies in it for half of its extent, as the last reach of a river does.
func (b *builder) lake(area int32, loose []lineEnd) error {
	ends := make(map[int32]bool) // lines that end in it
	for _, e := range loose {
		ends[e.line] = true
	}
	measure := index.NewMeasure(b.view.Footprint(b.refs[area]))
	bound := b.view.Object(b.refs[area]).Bound
	extent := apart(bound.Min, bound.Max)
	isThrough := make(map[int32]bool)
	var through []int32
	for _, l := range b.linesIn(area, measure) {
		if !ends[l] || b.metresIn(l, bound, measure, extent) >= extent/2 {
			through = append(through, l)
			isThrough[l] = true
		}
	}
	loose = slices.DeleteFunc(loose, func(e lineEnd) bool { return isThrough[e.line] })
	join := func(e lineEnd, node int32) {
		c := connector{area: area, from: e.node, to: node}
		switch flow := b.n.lines[e.line].flow; {
		case flow == Both:
			c.both = true
		case (flow == Along) != e.last: // it begins here
			c.from, c.to = node, e.node
		}
		b.connectors = append(b.connectors, c)
	}
	for _, e := range loose {
		if len(through) == 0 {
			o := &b.n.objects[area]
			if o.node < 0 { // in the middle of the ends; nothing else may come to be at it
				var middle orb.Point
				for _, e := range loose {
					p := b.nodes.at[e.node]
					middle[0], middle[1] = middle[0]+p[0]/float64(len(loose)), middle[1]+p[1]/float64(len(loose))
				}
				o.node = b.nodes.add(lakeNode, middle)
			}
			join(e, o.node)
			continue
		}
		p := b.nodes.at[e.node]
		line, at, metres := int32(-1), 0.0, 0.0
		for _, l := range through {
			for s := b.n.lines[l].from; s < b.n.lines[l].to-1; s++ {
				if t, m := nearestOn(p, b.n.points[s], b.n.points[s+1]); line < 0 || m < metres {
					line, at, metres = l, float64(s-b.n.lines[l].from)+t, m
				}
			}
		}
		node := b.nodes.node(wet, b.point(line, at))
		if err := b.cut(line, at, node); err != nil {
			return err
		}
		join(e, node)
	}
	if len(b.connectors) > b.o.MaxEdges {
		return b.tooMany()
	}
	return nil
}

// metresIn is about how much of a line lies in an area of an extent in metres: by
// a place every 64th of it.
func (b *builder) metresIn(line int32, bound orb.Bound, m index.Measure, extent float64) (metres float64) {
	l := b.n.lines[line]
	for s := l.from; s < l.to-1; s++ {
		p, q := b.n.points[s], b.n.points[s+1]
		if !bound.Intersects(orb.MultiPoint{p, q}.Bound()) {
			continue
		}
		length := b.n.along[s+1] - b.n.along[s]
		places := 1 + int(min(64*length/max(extent, 1), 1024))
		for i := range places {
			if at := between(p, q, (float64(i)+0.5)/float64(places)); bound.Contains(at) && m.Metres(at) == 0 {
				metres += length / float64(places)
			}
		}
	}
	return metres
}

// linesIn is the water lines that meet an area, ascending.
func (b *builder) linesIn(area int32, m index.Measure) (lines []int32) {
	bound := b.view.Object(b.refs[area]).Bound
	_ = b.tree.search(bound, func(i int) error { // fn cannot fail
		if r := &b.tree.runs[i]; b.n.lines[r.line].class == spatial.ClassWater && m.Metres(orb.LineString(b.n.points[r.from:r.to+1])) == 0 {
			lines = append(lines, r.line)
		}
		return nil
	})
	slices.Sort(lines)
	return slices.Compact(lines)
}

// tie notes which edges run through which areas.
func (b *builder) tie() error {
	n := b.n
	for i, o := range b.areas {
		if err := b.stopped(i * 64); err != nil {
			return err
		}
		m := index.NewMeasure(b.view.Footprint(b.refs[o]))
		lines := b.linesIn(o, m)
		for _, l := range lines {
			obj := n.objects[n.lines[l].object]
			first, _ := slices.BinarySearchFunc(n.edges[obj.from:obj.to], l, func(e edge, l int32) int { return cmp.Compare(e.line, l) })
			for e := obj.from + int32(first); e < obj.to && n.edges[e].line == l; e++ {
				if m.Metres(n.path(&n.edges[e])) == 0 {
					n.areas[e] = append(n.areas[e], o)
					n.within[o] = append(n.within[o], e)
				}
			}
		}
	}
	return nil
}

// path is the points of an edge, in its direction.
func (n *Network) path(e *edge) orb.LineString {
	if e.line < 0 {
		return orb.LineString{n.nodes[e.from], n.nodes[e.to]}
	}
	p := n.section(e.line, min(e.start, e.end), max(e.start, e.end))
	if e.end < e.start {
		slices.Reverse(p)
	}
	return p
}

// section is a line between two distances from its beginning, in metres.
func (n *Network) section(l int32, from, to float64) orb.LineString {
	ln := &n.lines[l]
	along := n.along[ln.from:ln.to]
	points := n.points[ln.from:ln.to]
	at := func(m float64) orb.Point {
		i, _ := slices.BinarySearch(along, m)
		i = min(max(i, 1), len(along)-1)
		if d := along[i] - along[i-1]; d > 0 {
			return between(points[i-1], points[i], min(max((m-along[i-1])/d, 0), 1))
		}
		return points[i]
	}
	path := orb.LineString{at(from)}
	i, _ := slices.BinarySearch(along, from)
	for ; i < len(along) && along[i] < to; i++ {
		if along[i] > from {
			path = append(path, points[i])
		}
	}
	return append(path, at(to))
}
