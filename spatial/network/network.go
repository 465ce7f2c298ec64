// Package network is the topology of what is linear in the city: canals and
// rivers, pipes and sewers, roads. It joins the lines of an index where they meet
// and says what lies upstream or downstream of an object, and which way leads
// from one to the other.
//
// Where lines meet. Ends closer than a tolerance are one node. An end that is
// closer than that to another line joins it there (a T-junction). Lines of a
// class that have a vertex in common are joined at it; where they cross without
// one, Options.Crossings decides, for roads cross on bridges and pipes pass each
// other at different depths. Roads are joined with roads only; water and
// underground lines also with each other, as a sewer with the canal into which it
// ends. An end that lies in a water area and meets no line joins the line that
// runs through the area, or where none does, the others that end in it.
//
// Which way it flows: see FlowOf.
//
// Coordinates are WGS 84 degrees, longitude first; distances are metres along the
// lines, on the ellipsoid. Lines do not join across the antimeridian.
//
// A Network never changes and is safe for concurrent use. Each question is
// bounded by its Limits. The package starts no goroutine.
package network

import (
	"context"
	"fmt"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// Crossings says where lines that cross without a vertex in common are joined.
type Crossings uint8

// The rules for crossings. With a store.Reader, lines whose attribute layer
// differs, or one of which is on a bridge or in a tunnel, are not joined.
const (
	CrossingsOfWater Crossings = iota // lines of class water
	CrossingsOfAll                    // lines of the same class
	CrossingsNever
)

// Options of Build.
type Options struct {
	// Classes are those of the objects that take part; nil: water and underground.
	Classes []spatial.Class
	// Keep, when set, is asked for each object of these classes.
	Keep func(index.Object) bool
	// ToleranceMetres is how far apart lines may be and still meet; 0: 1.
	ToleranceMetres float64
	Crossings       Crossings
	// MaxEdges bounds the pieces into which all lines are cut; 0: 5 million.
	// A network with more is refused.
	MaxEdges int
	// Flow says which way an object's lines run; nil: FlowOf. It is only asked
	// where Build has a Reader.
	Flow func(*store.Version) Flow
}

// Network is a graph of lines. See the package comment.
type Network struct {
	version uint64
	points  []orb.Point
	along   []float64 // metres from the beginning of the line, for each point
	lines   []line
	objects []object
	byPlace map[int64]int32 // store.Version.Position to objects
	nodes   []orb.Point
	edges   []edge // of one object in a row
	out, in links
	areas   map[int32][]int32 // of an edge: the areas through which it runs
	within  map[int32][]int32 // of an area: the edges that run through it
}

// line is a line of an object: the points [from, to).
type line struct {
	object   int32
	from, to int32
	medium   uint8
	class    spatial.Class
	flow     Flow
	level    string // of crossing: lines of different levels pass each other
}

// object is a linear object or an area of water.
type object struct {
	position int64
	from, to int32 // its edges
	area     bool
	node     int32 // of an area in which lines end; -1: none
}

// edge is a piece of a line between two nodes, or a way through an area. Water
// and traffic go from one to the other, with both also back.
type edge struct {
	from, to int32
	object   int32
	line     int32 // -1: through an area
	both     bool
	start    float64 // metres along the line where it begins at from
	end      float64 // and ends at to; less than start where it runs against the line
	metres   float64
}

// links are the edges of each node.
type links struct {
	first []int32 // one more than nodes
	edges []int32
}

// Version is that of the index.View from which n was built.
func (n *Network) Version() uint64 { return n.version }

// Size is the numbers of objects, nodes and edges.
func (n *Network) Size() (objects, nodes, edges int) {
	return len(n.objects), len(n.nodes), len(n.edges)
}

// Has reports whether the object at a store.Version.Position is in n.
func (n *Network) Has(position int64) bool {
	_, ok := n.byPlace[position]
	return ok
}

// Error says why a network cannot be built or asked.
type Error struct {
	Field   string
	Message string
	Hint    string
}

// Error gives everything in one line.
func (e *Error) Error() string {
	s := e.Field + ": " + e.Message
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Build makes the network of the lines in v. With a Reader, which may be nil,
// attributes and heights say which way they run; without, the class does.
func Build(ctx context.Context, v index.View, r store.Reader, o Options) (*Network, error) {
	if o.Classes == nil {
		o.Classes = []spatial.Class{spatial.ClassWater, spatial.ClassUnderground}
	}
	if o.ToleranceMetres == 0 {
		o.ToleranceMetres = 1
	}
	if !(o.ToleranceMetres > 0 && o.ToleranceMetres <= 100) {
		return nil, &Error{Field: "ToleranceMetres", Message: fmt.Sprintf("found %v, expected more than 0, up to 100", o.ToleranceMetres)}
	}
	if o.MaxEdges <= 0 {
		o.MaxEdges = 5_000_000
	}
	if o.Flow == nil {
		o.Flow = FlowOf
	}
	b := newBuilder(ctx, v, o)
	for _, step := range []func() error{b.collect, func() error { return b.describe(r) }, b.ends, b.vertices, b.crossings, b.lakes, b.cutLines, b.tie} {
		if err := step(); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	b.n.out = linksOf(len(b.n.nodes), b.n.edges, func(e *edge) (int32, int32) { return e.from, e.to })
	b.n.in = linksOf(len(b.n.nodes), b.n.edges, func(e *edge) (int32, int32) { return e.to, e.from })
	return b.n, nil
}

// linksOf lists the edges of each node: those at the first end that ends gives,
// and of edges with both directions those at the second.
func linksOf(nodes int, edges []edge, ends func(*edge) (int32, int32)) links {
	l := links{first: make([]int32, nodes+1)}
	each := func(f func(node, edge int32)) {
		for i := range edges {
			a, b := ends(&edges[i])
			f(a, int32(i))
			if edges[i].both && a != b {
				f(b, int32(i))
			}
		}
	}
	each(func(node, _ int32) { l.first[node+1]++ })
	for i := range nodes {
		l.first[i+1] += l.first[i]
	}
	l.edges = make([]int32, l.first[nodes])
	next := append([]int32(nil), l.first[:nodes]...)
	each(func(node, e int32) {
		l.edges[next[node]] = e
		next[node]++
	})
	return l
}

func (l *links) of(node int32) []int32 { return l.edges[l.first[node]:l.first[node+1]] }
