package index

import (
	"math"

	"github.com/paulmach/orb"

	"cityhub/spatial"
)

// query is Options and a place, made ready for the tree. It stays on the stack.
type query struct {
	view    *view
	typ     string  // empty: any
	dataset string  // empty: any
	classes uint8   // bits
	size    int32   // least size
	where   [2]rect // of which either is met: on both sides of the antimeridian
	kinds   uint8   // bits of the kinds of footprints; zero: any
	fn      func(Ref) bool
}

// allClasses are the bits of every class and of none.
const allClasses = 0b111111

// classBit is the bit of a class, or zero of what is none.
func classBit(c spatial.Class) uint8 {
	switch c {
	case "":
		return 1
	case spatial.ClassRoad:
		return 1 << 1
	case spatial.ClassBuilding:
		return 1 << 2
	case spatial.ClassWater:
		return 1 << 3
	case spatial.ClassUnderground:
		return 1 << 4
	case spatial.ClassComponent:
		return 1 << 5
	}
	return 0
}

func (q *query) narrow(o *Options) {
	q.typ, q.dataset = o.Type, o.Dataset
	q.classes = allClasses
	if o.Classes != nil {
		q.classes = 0
		for _, c := range o.Classes {
			q.classes |= classBit(c)
		}
	}
	if o.MinSizeDegrees > 0 { // rounding of the product must not leave out what is just as large
		q.size = int32(min(math.Ceil(o.MinSizeDegrees*perDegree-1e-6), math.MaxInt32))
	}
}

// place sets where to search. A bound whose west is greater than its east crosses
// the antimeridian. It reports whether there is such a place.
func (q *query) place(b orb.Bound) bool {
	west, south, east, north := b.Min[0], b.Min[1], b.Max[0], b.Max[1]
	q.where[1] = noRect()
	if !(south <= north) || math.IsNaN(west) || math.IsNaN(east) {
		return false
	}
	r := rect{quantum(west), quantum(south), quantum(east), quantum(north)}
	q.where[0] = r
	turn := -360.0 // an object may reach beyond 180 degrees, and so may b
	if west+east < 0 {
		turn = 360
	}
	q.where[1] = rect{quantum(west + turn), r.minY, quantum(east + turn), r.maxY}
	if west > east {
		q.where[0].maxX = math.MaxInt32
		q.where[1] = rect{math.MinInt32, r.minY, r.maxX, r.maxY}
	}
	return true
}

func meets(a, b *rect) bool {
	return a.minX <= b.maxX && a.maxX >= b.minX && a.minY <= b.maxY && a.maxY >= b.minY
}

func (q *query) meets(r *rect) bool { return meets(&q.where[0], r) || meets(&q.where[1], r) }

// wants reports whether object i is visible and what the query is about, but for
// its place.
func (q *query) wants(p *part, i int) bool {
	s := p.segment
	if objectSize(s.rect[i], s.kind[i]) < q.size || q.kinds != 0 && q.kinds&(1<<s.kind[i]) == 0 || !q.view.shows(p, i) {
		return false
	}
	g := &q.view.groups[s.group[i]]
	return g.bit&q.classes != 0 && (q.typ == "" || g.typ == q.typ) && (q.dataset == "" || g.dataset == q.dataset)
}

// wantsNode reports whether there may be something below a node.
func (q *query) wantsNode(l *level, i int) bool {
	return l.classes[i]&q.classes != 0 && l.size[i] >= q.size
}

// run calls fn for what is found in all parts.
func (q *query) run() {
	for i := range q.view.parts {
		p := &q.view.parts[i]
		if top := len(p.levels) - 1; top >= 0 && !q.node(p, top, 0) {
			return
		}
	}
}

// node searches below node i of a level; false: fn has had enough. The depth is
// at most 8.
func (q *query) node(p *part, at, i int) bool {
	l := &p.levels[at]
	if !q.meets(&l.rect[i]) || !q.wantsNode(l, i) {
		return true
	}
	if at == 0 {
		for c := i * fan; c < min(i*fan+fan, p.placed); c++ {
			if q.meets(&p.rect[c]) && q.wants(p, c) && !q.fn(p.first+Ref(c)) {
				return false
			}
		}
		return true
	}
	for c := i * fan; c < min(i*fan+fan, len(p.levels[at-1].rect)); c++ {
		if !q.node(p, at-1, c) {
			return false
		}
	}
	return true
}

// Search implements View.
func (v *view) Search(b orb.Bound, o Options, fn func(Ref) bool) {
	q := query{view: v, fn: fn}
	if q.narrow(&o); q.place(b) {
		q.run()
	}
}

// Containing implements View. A point on the edge lies in the surface.
func (v *view) Containing(lon, lat float64, o Options, fn func(Ref) bool) {
	q := query{view: v, kinds: 1 << kindSurface}
	q.narrow(&o)
	if !q.place(orb.Bound{Min: orb.Point{lon, lat}, Max: orb.Point{lon, lat}}) {
		return
	}
	y := q.where[0].minY
	q.fn = func(ref Ref) bool {
		p, i, _ := v.locate(ref)
		for _, w := range q.where {
			if meets(&w, &p.rect[i]) {
				if d := p.footprint(i); d.contains(p.rect[i].minX, p.rect[i].minY, w.minX, y) {
					return fn(ref)
				}
			}
		}
		return true
	}
	q.run()
}
