package index

import (
	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// snapshot is the content of an Index at one moment. It never changes.
type snapshot struct {
	version uint64
	parts   []part // the oldest and largest first
	groups  []group
	objects []int // valid ones of each group
	hash    keyHash
	scratch *scratchPool
}

// part is a segment less what has been changed since it was made.
type part struct {
	*segment
	first Ref      // of its first object
	dead  []uint64 // bits; nil: none
	lost  int      // number of them
}

func (p *part) isDead(i int) bool { return p.dead != nil && p.dead[i>>6]&(1<<(i&63)) != 0 }

// view is a snapshot as one caller sees it.
type view struct {
	*snapshot
	hidden []bool // by group; nil: none is
	n      int
}

var (
	_ View   = (*view)(nil)
	_ Shaper = (*view)(nil)
)

// newView counts what see lets through; nil: everything.
func newView(s *snapshot, see func(dataset string) bool) *view {
	v := &view{snapshot: s}
	if see != nil {
		seen := make(map[string]bool)
		hidden, some := make([]bool, len(s.groups)), false
		for i, g := range s.groups {
			visible, asked := seen[g.dataset]
			if !asked {
				visible = see(g.dataset)
				seen[g.dataset] = visible
			}
			hidden[i] = !visible
			some = some || !visible
		}
		if some {
			v.hidden = hidden
		}
	}
	for i, n := range s.objects {
		if v.hidden == nil || !v.hidden[i] {
			v.n += n
		}
	}
	return v
}

// shows reports whether object i of a part is valid and visible.
func (v *view) shows(p *part, i int) bool {
	return !p.isDead(i) && (v.hidden == nil || !v.hidden[p.group[i]])
}

// locate finds a Ref that the view gave; false of any other.
func (v *view) locate(ref Ref) (p *part, i int, ok bool) {
	for at := range v.parts {
		p = &v.parts[at]
		if i = int(ref) - int(p.first); i < p.len() {
			return p, i, v.shows(p, i)
		}
	}
	return nil, 0, false
}

// Version implements View.
func (v *view) Version() uint64 { return v.version }

// Len implements View.
func (v *view) Len() int { return v.n }

// Object implements View. Its texts share the memory of the index: clone what
// is kept for long.
func (v *view) Object(ref Ref) Object {
	p, i, ok := v.locate(ref)
	if !ok {
		return Object{}
	}
	g := &v.groups[p.group[i]]
	d := p.record(i)
	id := d.text()
	low, high := p.heights(i)
	return Object{
		Position: p.position[i], Key: store.Key{Dataset: g.dataset, ID: id}, Class: g.class, Type: g.typ, Name: d.text(), Bound: p.rect[i].bound(),
		LowMetres: metres(low), HighMetres: metres(high), Underground: g.class == spatial.ClassUnderground,
	}
}

// Shape implements Shaper.
func (v *view) Shape(ref Ref, dst *Shape) bool {
	p, i, ok := v.locate(ref)
	if !ok {
		dst.Reset()
		return false
	}
	return p.shape(i, dst)
}

func (p *part) shape(i int, dst *Shape) bool {
	dst.Reset()
	if p.kind[i] == kindNone {
		return false
	}
	d := p.footprint(i)
	return d.shape(spatial.Kind(p.kind[i]), p.rect[i].minX, p.rect[i].minY, dst) == nil
}

// Footprint implements View.
func (v *view) Footprint(ref Ref) orb.Geometry {
	var s Shape
	if !v.Shape(ref, &s) {
		return nil
	}
	return s.Geometry()
}

// At implements View.
func (v *view) At(position int64) (Ref, bool) {
	p, i := v.at(position)
	if p == nil || !v.shows(p, i) {
		return 0, false
	}
	return p.first + Ref(i), true
}

// Find implements View.
func (v *view) Find(k store.Key) (Ref, bool) {
	p, i := v.find(k)
	if p == nil || !v.shows(p, i) {
		return 0, false
	}
	return p.first + Ref(i), true
}

// at finds a valid object by its position; nil where there is none.
func (s *snapshot) at(position int64) (*part, int) {
	hash := hashPosition(position)
	for at := range s.parts {
		p := &s.parts[at]
		if _, i := p.byPosition.find(hash, func(j uint32) bool { return p.position[j] == position }); i >= 0 && !p.isDead(i) {
			return p, i
		}
	}
	return nil, 0
}

// find finds a valid object by its key; nil where there is none.
func (s *snapshot) find(k store.Key) (*part, int) {
	hash := s.hash.of(k.Dataset, k.ID)
	for at := range s.parts {
		p := &s.parts[at]
		if _, i := p.byKey.find(hash, func(j uint32) bool { return p.id(int(j)) == k.ID && s.groups[p.group[j]].dataset == k.Dataset }); i >= 0 && !p.isDead(i) {
			return p, i
		}
	}
	return nil, 0
}
