package network

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// Media, between which nothing is joined.
const (
	wet uint8 = iota
	road
	lakeNode // of the nodes in the middle of areas
)

func mediumOf(c spatial.Class) uint8 {
	if c == spatial.ClassRoad {
		return road
	}
	return wet
}

// cut is a place at which a line is cut, or ends: at the node.
type cut struct {
	line int32
	at   float64 // points from the line's first on, with the part of the side
	node int32
}

// connector is a way through an area of water.
type connector struct {
	area, from, to int32
	both           bool
}

// lineEnd is the first or the last point of a line.
type lineEnd struct {
	line int32
	last bool
	node int32
	name string // of the node, with its data set
}

type builder struct {
	ctx        context.Context
	o          Options
	view       index.View
	n          *Network
	refs       []index.Ref // of the objects
	areas      []int32     // objects
	cuts       []cut
	lineEnds   []lineEnd // of line i: 2i and 2i+1
	nodes      *grid
	tree       *tree
	connectors []connector
}

func newBuilder(ctx context.Context, v index.View, o Options) *builder {
	n := &Network{version: v.Version(), byPlace: make(map[int64]int32), areas: make(map[int32][]int32), within: make(map[int32][]int32)}
	return &builder{ctx: ctx, o: o, view: v, n: n, nodes: newGrid(o.ToleranceMetres)}
}

// tooMany says that the bound on the size of the network is reached.
func (b *builder) tooMany() error {
	return &Error{Field: "MaxEdges", Message: fmt.Sprintf("the lines meet in more than %d places", b.o.MaxEdges), Hint: "choose fewer objects with Keep, or a smaller tolerance"}
}

// stopped looks at the context now and then.
func (b *builder) stopped(i int) error {
	if i%4096 == 0 {
		return b.ctx.Err()
	}
	return nil
}

// collect takes the lines and areas that Options select, in the order of their
// positions, so that the network of the same city is the same.
func (b *builder) collect() error {
	var s index.Shape
	var failed error
	world := orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}
	type found struct {
		position int64
		ref      index.Ref
	}
	var all []found
	b.view.Search(world, index.Options{Classes: b.o.Classes}, func(r index.Ref) bool {
		failed = b.stopped(len(all))
		if o := b.view.Object(r); b.o.Keep == nil || b.o.Keep(o) {
			all = append(all, found{o.Position, r})
		}
		return failed == nil
	})
	slices.SortFunc(all, func(x, y found) int { return cmp.Compare(x.position, y.position) })
	n := b.n
	for i, f := range all {
		if err := b.stopped(i); err != nil || failed != nil {
			return cmp.Or(failed, err)
		}
		o := b.view.Object(f.ref)
		if !index.ShapeOf(b.view, f.ref, &s) {
			continue
		}
		number := int32(len(n.objects))
		switch {
		case s.Kind == spatial.MultiLine:
			for l := range s.Rings {
				ring := s.Ring(l)
				if len(ring) < 2 {
					continue
				}
				from := int32(len(n.points))
				n.points = append(n.points, ring...)
				n.lines = append(n.lines, line{object: number, from: from, to: int32(len(n.points)), medium: mediumOf(o.Class), class: o.Class, flow: flowOfClass(o.Class)})
			}
			if k := len(n.lines); k == 0 || n.lines[k-1].object != number {
				continue
			}
		case s.Kind == spatial.MultiSurface && o.Class == spatial.ClassWater:
			b.areas = append(b.areas, number)
		default:
			continue
		}
		n.objects = append(n.objects, object{position: o.Position, area: s.Kind == spatial.MultiSurface, node: -1})
		n.byPlace[o.Position] = number
		b.refs = append(b.refs, f.ref)
	}
	if failed != nil {
		return failed
	}
	if len(n.points) > math.MaxInt32/2 {
		return &Error{Field: "Classes", Message: fmt.Sprintf("the lines have %d points; expected less than 2^30", len(n.points)), Hint: "choose fewer objects with Keep"}
	}
	n.along = make([]float64, len(n.points))
	for _, l := range n.lines {
		for p := l.from + 1; p < l.to; p++ {
			n.along[p] = n.along[p-1] + apart(n.points[p-1], n.points[p])
		}
	}
	b.lineEnds = make([]lineEnd, 2*len(n.lines))
	for i := range n.lines {
		b.lineEnds[2*i], b.lineEnds[2*i+1] = lineEnd{line: int32(i)}, lineEnd{line: int32(i), last: true}
	}
	b.tree = newTree(n)
	return nil
}

// describe asks the store which way objects run, how they cross, and for the
// names of their nodes.
func (b *builder) describe(r store.Reader) error {
	if r == nil {
		return nil
	}
	linesOf := make(map[int64][]int32)
	byClass := make(map[spatial.Class][]int64)
	for i, l := range b.n.lines {
		position := b.n.objects[l.object].position
		if linesOf[position] == nil {
			byClass[l.class] = append(byClass[l.class], position)
		}
		linesOf[position] = append(linesOf[position], int32(i))
	}
	for _, class := range b.o.Classes {
		for part := range slices.Chunk(byClass[class], 1000) {
			page, err := r.Query(b.ctx, store.Query{Class: class, Positions: part, Limit: len(part), Geometries: true})
			if err != nil {
				return err
			}
			for _, v := range page.Versions {
				lines := linesOf[v.Position]
				flow, at := b.o.Flow(v), level(&v.Object)
				for _, l := range lines {
					if flow >= Along && flow <= Both {
						b.n.lines[l].flow = flow
					}
					b.n.lines[l].level = at
				}
				if from, to := ends(&v.Object); len(lines) > 0 {
					if from != "" {
						b.lineEnds[2*lines[0]].name = v.Dataset + "\x00" + from
					}
					if to != "" {
						b.lineEnds[2*lines[len(lines)-1]+1].name = v.Dataset + "\x00" + to
					}
				}
			}
		}
	}
	return nil
}

func (b *builder) point(line int32, at float64) orb.Point {
	l := &b.n.lines[line]
	i := min(int32(at), l.to-l.from-2)
	return between(b.n.points[l.from+i], b.n.points[l.from+i+1], at-float64(i))
}

// metresAt is how far along a line a place is.
func (n *Network) metresAt(line int32, at float64) float64 {
	l := &n.lines[line]
	i := min(int32(at), l.to-l.from-2)
	p := n.along[l.from+i : l.from+i+2]
	return p[0] + (at-float64(i))*(p[1]-p[0])
}

func (b *builder) cut(line int32, at float64, node int32) error {
	if b.cuts = append(b.cuts, cut{line, at, node}); len(b.cuts) > b.o.MaxEdges {
		return b.tooMany()
	}
	return nil
}

// namedWithin is how many tolerances apart ends with the same node name may be.
const namedWithin = 100

// ends makes nodes of the ends of lines, and cuts the lines that are close to
// them.
func (b *builder) ends() error {
	named := make(map[string]int32)
	for i := range b.lineEnds {
		e := &b.lineEnds[i]
		l := &b.n.lines[e.line]
		at, p := 0.0, b.n.points[l.from]
		if e.last {
			at, p = float64(l.to-l.from-1), b.n.points[l.to-1]
		}
		if n, ok := named[e.name]; ok && e.name != "" && apart(b.nodes.at[n], p) <= namedWithin*b.o.ToleranceMetres {
			e.node = n
		} else if e.node = b.nodes.node(l.medium, p); e.name != "" {
			named[e.name] = e.node
		}
		if err := b.cut(e.line, at, e.node); err != nil {
			return err
		}
	}
	done := make([]bool, len(b.nodes.at))
	for i := range b.lineEnds {
		e := b.lineEnds[i]
		if err := b.stopped(i); err != nil {
			return err
		}
		if done[e.node] {
			continue
		}
		done[e.node] = true
		medium := b.n.lines[e.line].medium
		best := make(map[int32]near)
		b.tree.near(b.nodes.at[e.node], b.o.ToleranceMetres, func(line int32, at, metres float64) {
			if b.n.lines[line].medium != medium {
				return
			}
			if n, ok := best[line]; !ok || metres < n.metres {
				best[line] = near{at, metres}
			}
		})
		for line, n := range best {
			first, last := b.lineEnds[2*line].node, b.lineEnds[2*line+1].node
			length := b.n.metresAt(line, n.at)
			whole := b.n.along[b.n.lines[line].to-1]
			if e.node == first && length <= b.o.ToleranceMetres || e.node == last && whole-length <= b.o.ToleranceMetres {
				continue // it is this line's end
			}
			if err := b.cut(line, n.at, e.node); err != nil {
				return err
			}
		}
	}
	return nil
}

type near struct{ at, metres float64 }

// vertices joins lines of the same class at vertices that they have in common.
// Vertices are at multiples of 1e-7 degrees, so that common ones are equal.
func (b *builder) vertices() error {
	type vertex struct {
		p    orb.Point
		line int32
		i    int32
	}
	all := make([]vertex, 0, len(b.n.points))
	for i, l := range b.n.lines {
		for p := l.from; p < l.to; p++ {
			all = append(all, vertex{b.n.points[p], int32(i), p - l.from})
		}
	}
	slices.SortFunc(all, func(x, y vertex) int {
		return cmp.Or(cmp.Compare(x.p[0], y.p[0]), cmp.Compare(x.p[1], y.p[1]), cmp.Compare(b.n.lines[x.line].class, b.n.lines[y.line].class), cmp.Compare(x.line, y.line), cmp.Compare(x.i, y.i))
	})
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && all[j].p == all[i].p && b.n.lines[all[j].line].class == b.n.lines[all[i].line].class {
			j++
		}
		if j > i+1 {
			node := b.nodes.node(b.n.lines[all[i].line].medium, all[i].p)
			for k, v := range all[i:j] {
				if k > 0 && v.line == all[i+k-1].line && v.i == all[i+k-1].i+1 {
					continue // a point that is there twice
				}
				if err := b.cut(v.line, float64(v.i), node); err != nil {
					return err
				}
			}
		}
		if err := b.stopped(i); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// crossings joins lines where they cross, as Options say.
func (b *builder) crossings() error {
	if b.o.Crossings == CrossingsNever {
		return nil
	}
	return b.tree.crossings(b.ctx, func(l, m int32) bool {
		x, y := &b.n.lines[l], &b.n.lines[m]
		return x.class == y.class && x.level == y.level && (b.o.Crossings == CrossingsOfAll || x.class == spatial.ClassWater)
	}, func(l, m int32, at, bt float64) error {
		node := b.nodes.node(b.n.lines[l].medium, b.point(l, at))
		return cmp.Or(b.cut(l, at, node), b.cut(m, bt, node))
	})
}

// cutLines makes the edges, in the order of the objects.
func (b *builder) cutLines() error {
	n := b.n
	n.nodes = b.nodes.at
	slices.SortFunc(b.cuts, func(x, y cut) int {
		return cmp.Or(cmp.Compare(x.line, y.line), cmp.Compare(x.at, y.at), cmp.Compare(x.node, y.node))
	})
	begin := func(o int32) {
		n.objects[o].from = int32(len(n.edges))
	}
	at := 0
	l := 0
	slices.SortStableFunc(b.connectors, func(x, y connector) int { return cmp.Compare(x.area, y.area) })
	for o := range int32(len(n.objects)) {
		begin(o)
		for ; l < len(n.lines) && n.lines[l].object == o; l++ {
			from := at
			for at < len(b.cuts) && b.cuts[at].line == int32(l) {
				at++
			}
			b.cutLine(int32(l), b.cuts[from:at])
		}
		for len(b.connectors) > 0 && b.connectors[0].area == o {
			c := b.connectors[0]
			b.connectors = b.connectors[1:]
			n.edges = append(n.edges, edge{from: c.from, to: c.to, object: o, line: -1, both: c.both, metres: apart(n.nodes[c.from], n.nodes[c.to])})
		}
		n.objects[o].to = int32(len(n.edges))
	}
	if len(n.edges) > b.o.MaxEdges {
		return b.tooMany()
	}
	return nil
}

// cutLine makes the edges of a line from its cuts, in their order: both ends are
// among them.
func (b *builder) cutLine(l int32, cuts []cut) {
	ln := &b.n.lines[l]
	whole := true // no edge yet
	for i, last := 1, cuts[0]; i < len(cuts); i++ {
		c := cuts[i]
		start, end := b.n.metresAt(l, last.at), b.n.metresAt(l, c.at)
		// Two cuts at one node side by side are one, unless there is nothing else.
		if c.node == last.node && end-start <= 2*b.o.ToleranceMetres && !(whole && i == len(cuts)-1) {
			continue
		}
		whole = false
		e := edge{from: last.node, to: c.node, object: ln.object, line: l, both: ln.flow == Both, start: start, end: end, metres: end - start}
		// Where the ends of lines were near two nodes, these are one place.
		e.both = e.both || e.metres <= b.o.ToleranceMetres/10
		if ln.flow == Against {
			e.from, e.to, e.start, e.end = e.to, e.from, end, start
		}
		b.n.edges = append(b.n.edges, e)
		last = c
	}
}
