package tiles

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

// The layers beside those of city.Collections.
const (
	layerTerminals = "terminals"
	layerLive      = "live"
)

// attributeZoom is the level from which on features carry all the attributes
// that the store has, and not only what the index knows.
const attributeZoom = 15

// content says what a tile shows.
type content struct {
	layers []string
	filter *filter   // nil: everything
	at     time.Time // zero: now
}

// observed reports whether a layer shows readings.
func observed(layer string) bool { return layer == layerTerminals || layer == layerLive }

// budget is what may still be put into a tile.
type budget struct{ features, bytes int }

// builder makes one tile.
type builder struct {
	ctx     context.Context
	view    *city.View
	tile    tile
	content content
	shape   shaper
	omitted int // of the layer: candidates beyond the budget
	atLeast bool
	last    []named            // buffer of readings
	streams []*city.Datastream // buffer of filter.match
}

// candidate is an object that may be drawn.
type candidate struct {
	ref  index.Ref
	size float64 // degrees, the larger side of its bound
}

const ladderSteps = 3

// ladder are the sizes, in tile coordinates, below which objects are tried in
// turn: the first steps find at once what is large in a tile over a whole city.
// The last is a quarter of a screen pixel.
func ladder() [ladderSteps]float64 {
	return [ladderSteps]float64{4 * unitsPerPixel, unitsPerPixel, unitsPerPixel / 4.0}
}

// crowd is how many candidates one search may find for each feature that there is
// room for, and halvings how often the step at which it finds more is halved.
const (
	crowd    = 2
	halvings = 5
)

// candidates are the objects of a collection in the tile, the largest first. They
// are everything above a size, and not what the index happens to find first:
// where a step of the ladder finds too many, a size between it and the step
// before is looked for. Only of points, which have no size, and of objects of one
// size an arbitrary part is taken.
func (b *builder) candidates(c city.Collection, room int) []candidate {
	area := b.tile.bound(buffer)
	unit := b.tile.unitDegrees()
	o := index.Options{Classes: []spatial.Class{c.Class}, Type: c.Type}
	search := func(units float64, found []index.Ref) (_ []index.Ref, full bool) {
		o.MinSizeDegrees = units * unit
		found = found[:0]
		b.view.Index.Search(area, o, func(r index.Ref) bool {
			if c.Rest() {
				if x := b.view.Index.Object(r); !c.Has(x.Class, x.Type) {
					return true
				}
			}
			if len(found) >= crowd*room {
				full = true
				return false
			}
			found = append(found, r)
			return true
		})
		return found, full
	}
	var found, before []index.Ref
	full := false
	steps := ladder()
	for step, size := range steps {
		if found, full = search(size, found); full && step > 0 {
			found = b.narrow(search, size, steps[step-1], room, found, before)
		}
		if full || len(found) >= room || step == len(steps)-1 {
			break
		}
		found, before = before, found
	}
	list := make([]candidate, len(found))
	for i, r := range found {
		bound := b.view.Index.Object(r).Bound
		list[i] = candidate{r, max(bound.Max[0]-bound.Min[0], bound.Max[1]-bound.Min[1])}
	}
	slices.SortFunc(list, func(x, y candidate) int {
		switch {
		case x.size > y.size:
			return -1
		case x.size < y.size:
			return 1
		}
		return cmp.Compare(x.ref, y.ref)
	})
	return list
}

// narrow looks for the size, between one at which a search finds too many and one
// at which it finds too few, at which it fills the room.
func (b *builder) narrow(search func(float64, []index.Ref) ([]index.Ref, bool), many, few float64, room int, found, before []index.Ref) []index.Ref {
	b.atLeast = true
	b.omitted += len(found)
	try := make([]index.Ref, 0, len(found))
	for range halvings {
		middle := math.Sqrt(many * few)
		list, full := search(middle, try)
		switch {
		case full:
			many, found, try = middle, list, found
			continue
		case len(list) >= room:
			b.omitted -= len(list)
			return list
		}
		few, before, try = middle, list, before
	}
	if len(before) >= room/2 {
		found = before
	}
	b.omitted -= len(found)
	return found
}

// collection makes the layer of a collection of the city model as it is now.
func (b *builder) collection(c city.Collection, left budget) (*layerWriter, error) {
	l := newLayer(c.ID)
	room := left.features
	if b.content.filter != nil {
		room = max(room, 10_000) // the filter has yet to take most of them away
	}
	list := b.candidates(c, room)
	const batch = 1000
	for start := 0; start < len(list); start += batch {
		if err := b.ctx.Err(); err != nil {
			return nil, err
		}
		part := list[start:min(start+batch, len(list))]
		full, err := b.attributes(c, part)
		if err != nil {
			return nil, err
		}
		for i, cand := range part {
			if l.count >= left.features || l.bytes() >= left.bytes {
				b.omitted += len(list) - start - i
				return l, nil
			}
			o := b.view.Index.Object(cand.ref)
			if f := b.content.filter; f != nil {
				ok, err := f.match(b, o, cand.ref)
				if err != nil {
					return nil, err
				}
				if !ok {
					continue
				}
			}
			kind, commands := b.shape.encodeObject(b.view.Index, cand.ref)
			if len(commands) == 0 {
				continue
			}
			setObject(l, o)
			if v := full[o.Position]; v != nil {
				setAttributes(l, v)
			}
			l.add(uint64(o.Position), kind, commands)
		}
	}
	return l, nil
}

// setObject sets what the index knows of an object.
func setObject(l *layerWriter, o index.Object) {
	l.setID(o.Key.ID)
	l.set("dataset", textValue(o.Key.Dataset))
	if o.Class != "" {
		l.set("class", textValue(string(o.Class)))
	}
	if o.Type != "" {
		l.set("type", textValue(o.Type))
	}
	if o.Name != "" {
		l.set("name", textValue(o.Name))
	}
	if h := o.HighMetres - o.LowMetres; !math.IsNaN(h) && h > 0 {
		l.set("height", numberValue(centimetres(h)))
	}
}

func centimetres(m float64) float64 { return math.Round(m*100) / 100 }

// maxText is the length in bytes beyond which a text is cut in a tile.
const maxText = 256

// setAttributes sets what the store knows of an object. JSON values are texts.
func setAttributes(l *layerWriter, v *store.Version) {
	if h := v.Object.Height; h.From != "" {
		l.set("height", numberValue(centimetres(h.Metres)))
		if h.BaseMetres != 0 {
			l.set("base_height", numberValue(centimetres(h.BaseMetres)))
		}
	}
	if v.Object.Level != 0 {
		l.set("cim_level", textValue(v.Object.Level.String()))
	}
	for _, a := range v.Object.Attributes {
		switch a.Value.Kind() {
		case spatial.Null:
		case spatial.Bool:
			t, _ := a.Value.Bool()
			l.set(a.Name, boolValue(t))
		case spatial.Int:
			i, _ := a.Value.Int()
			l.set(a.Name, intValue(i))
		case spatial.Float:
			if f, _ := a.Value.Number(); !math.IsNaN(f) && !math.IsInf(f, 0) {
				l.set(a.Name, numberValue(f))
			}
		default:
			l.set(a.Name, textValue(cut(a.Value.String(), maxText)))
		}
	}
}

// cut shortens s to at most n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// attributes reads the versions of candidates by position; none below
// attributeZoom. The store may already be ahead of the index: an object that it
// does not have any more stays with what the index knows.
func (b *builder) attributes(c city.Collection, list []candidate) (map[int64]*store.Version, error) {
	if b.tile.z < attributeZoom || len(list) == 0 {
		return nil, nil
	}
	positions := make([]int64, 0, len(list))
	for _, cand := range list {
		positions = append(positions, b.view.Index.Object(cand.ref).Position)
	}
	slices.Sort(positions)
	p, err := b.view.Store.Query(b.ctx, store.Query{Class: c.Class, Type: c.Type, Positions: positions, Limit: len(positions)})
	if err != nil {
		return nil, err
	}
	full := make(map[int64]*store.Version, len(p.Versions))
	for _, v := range p.Versions {
		full[v.Position] = v
	}
	return full, nil
}

// collectionAt makes the layer of a collection as it was at a time, from the
// store: the index has only what is valid now.
func (b *builder) collectionAt(c city.Collection, left budget) (*layerWriter, error) {
	l := newLayer(c.ID)
	area := b.tile.bound(buffer)
	q := store.Query{
		Class: c.Class, Type: c.Type, At: b.content.at, Limit: 2000,
		BBox: &store.BBox{West: area.Min[0], South: area.Min[1], East: area.Max[0], North: area.Max[1]},
	}
	small := ladder()[ladderSteps-1] * b.tile.unitDegrees()
	for {
		p, err := b.view.Store.Query(b.ctx, q)
		if err != nil {
			return nil, err
		}
		for _, v := range p.Versions {
			g := footprint(v.Footprint)
			if g == nil || !c.Has(v.Object.Class, v.Object.Type) {
				continue
			}
			bound := g.Bound()
			w, h := bound.Max[0]-bound.Min[0], bound.Max[1]-bound.Min[1]
			if w < small && h < small && v.Footprint.Kind != spatial.MultiPoint {
				continue
			}
			o := objectOf(v, bound)
			if f := b.content.filter; f != nil {
				var last []named
				if f.readings {
					b.streams = b.view.Observed.On(b.ctx, v.Position, b.streams[:0])
					if last, err = b.readings(b.streams); err != nil {
						return nil, err
					}
				}
				if !f.matchObject(o, g, last) {
					continue
				}
			}
			if l.count >= left.features || l.bytes() >= left.bytes {
				b.omitted++
				b.atLeast = true
				return l, nil
			}
			kind, commands := b.shape.encode(g)
			if len(commands) == 0 {
				continue
			}
			setObject(l, o)
			if b.tile.z >= attributeZoom {
				setAttributes(l, v)
			}
			l.add(uint64(v.Position), kind, commands)
		}
		if p.Next == 0 {
			return l, nil
		}
		q.After = p.Next
	}
}

// objectOf is what an index would know of a version.
func objectOf(v *store.Version, bound orb.Bound) index.Object {
	return index.Object{
		Position: v.Position, Key: store.Key{Dataset: v.Dataset, ID: v.Object.ID}, Class: v.Object.Class, Type: v.Object.Type,
		Name: v.Object.Name, Bound: bound, LowMetres: math.NaN(), HighMetres: math.NaN(), Underground: v.Object.Class == spatial.ClassUnderground,
	}
}

// footprint is a flat footprint as orb has it; nil for nil.
func footprint(g *spatial.Geometry) orb.Geometry {
	if g == nil || g.NumPoints() == 0 {
		return nil
	}
	at := func(xyz []float64, closed bool) []orb.Point {
		l := make([]orb.Point, 0, len(xyz)/3+1)
		for i := 0; i+2 < len(xyz); i += 3 {
			l = append(l, orb.Point{xyz[i], xyz[i+1]})
		}
		if closed && len(l) > 0 {
			l = append(l, l[0])
		}
		return l
	}
	switch {
	case g.Kind == spatial.MultiPoint:
		return orb.MultiPoint(at(g.XYZ, false))
	case g.Kind == spatial.MultiLine:
		var m orb.MultiLineString
		for i := range g.Rings {
			m = append(m, orb.LineString(at(g.Ring(i), false)))
		}
		return m
	}
	var m orb.MultiPolygon
	for i := range g.Surfaces {
		from, to := g.SurfaceRings(i)
		var p orb.Polygon
		for j := from; j < to; j++ {
			p = append(p, orb.Ring(at(g.Ring(j), true)))
		}
		m = append(m, p)
	}
	return m
}
