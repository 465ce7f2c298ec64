package tiles3d

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// layout is the tiles of one collection as one caller saw it at one moment. It
// is made from the index alone where that knows the heights. It does not change
// but for what it remembers, and is safe for concurrent use.
type layout struct {
	index    index.View
	version  uint64
	items    []item
	tiles    []tile
	at       map[cell]int32
	roots    []int32  // tiles
	depth    int      // levels below the roots
	subtrees sync.Map // cell: []byte
	stamps   sync.Map // cell: stamp
}

// item is an object in a layout: 40 bytes, as there may be millions.
type item struct {
	code      uint64 // of its cell of maxLevel
	ref       index.Ref
	size      float32  // metres
	bound     [4]int32 // west, south, east, north in 1e-7 degrees
	low, high float32  // metres above the datum
}

// tile is a tile with content.
type tile struct {
	cell     cell
	from, to int32 // of layout.items
	children [4]int32
	leaf     bool
	top      []int32 // of a tile with children: the items that it has
	region   [6]float64
	err      float64 // metres
}

// collectionObjects calls fn for the objects of a collection.
func collectionObjects(v index.View, c city.Collection, fn func(index.Ref, index.Object)) {
	world := orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}
	v.Search(world, index.Options{Classes: []spatial.Class{c.Class}, Type: c.Type}, func(r index.Ref) bool {
		o := v.Object(r)
		if o.Bound.IsEmpty() || !c.Has(o.Class, o.Type) {
			return true
		}
		fn(r, o)
		return true
	})
}

// marginMetres is how far what is drawn of an object reaches beyond its
// geometry: half the widest ribbon or tube.
func marginMetres(class spatial.Class) float64 {
	switch class {
	case spatial.ClassBuilding:
		return 0.01
	case spatial.ClassRoad, spatial.ClassWater:
		return maxWidthMetres // twice half the width, at bends
	case spatial.ClassComponent:
		return maxPipeMetres
	}
	return 2 * maxPipeMetres
}

// heightScan is how many objects without heights in the index are looked up in
// the store, so that bounding volumes are close; of more the highest that can
// be is assumed.
const heightScan = 20_000

func (t *Tilesets) newLayout(ctx context.Context, view *city.View, col city.Collection) (*layout, error) {
	l := &layout{index: view.Index, version: view.Index.Version(), at: map[cell]int32{}}
	var unknown []int64 // positions
	west, south, east, north := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	margin := marginMetres(col.Class)
	l.items = make([]item, 0, view.Index.Len())
	collectionObjects(view.Index, col, func(r index.Ref, o index.Object) {
		lon, lat := (o.Bound.Min[0]+o.Bound.Max[0])/2, (o.Bound.Min[1]+o.Bound.Max[1])/2
		west, south, east, north = min(west, lon), min(south, lat), max(east, lon), max(north, lat)
		it := item{code: cellAt(lon, lat, maxLevel).morton(), ref: r}
		mLat := margin / 110_500
		mLon := min(mLat/max(math.Cos(lat*math.Pi/180), 0.01), 1)
		fix := func(deg float64, round func(float64) float64) int32 { return int32(round(deg * 1e7)) }
		it.bound = [4]int32{
			fix(max(o.Bound.Min[0]-mLon, -180), math.Floor), fix(max(o.Bound.Min[1]-mLat, -90), math.Floor),
			fix(min(o.Bound.Max[0]+mLon, 180), math.Ceil), fix(min(o.Bound.Max[1]+mLat, 90), math.Ceil),
		}
		low, high, known := t.span(o, col.Class)
		if !known && len(unknown) <= heightScan {
			unknown = append(unknown, o.Position)
		}
		it.low, it.high = float32(low), float32(high)
		dx := (o.Bound.Max[0] - o.Bound.Min[0]) * 111_320 * math.Cos(lat*math.Pi/180)
		dy := (o.Bound.Max[1] - o.Bound.Min[1]) * 111_000
		dz := 0.0
		if known {
			dz = high - low
		}
		it.size = float32(max(math.Sqrt(dx*dx+dy*dy+dz*dz), poleMetres))
		l.items = append(l.items, it)
	})
	if len(l.items) == 0 {
		return l, nil
	}
	if len(l.items) < cap(l.items)/2 {
		l.items = slices.Clone(l.items)
	}
	if n := len(unknown); n > 0 && n <= heightScan {
		if err := t.scanHeights(ctx, view, col, l, unknown); err != nil {
			return nil, err
		}
	}
	sortItems(l.items)
	// The roots: the finest level of which two by two cells hold all.
	level := maxLevel
	for ; level > minLevel; level-- {
		a, b := cellAt(west, south, level), cellAt(east, north, level)
		if b.x-a.x <= 1 && b.y-a.y <= 1 && level <= maxLevel-subtreeLevels {
			break
		}
	}
	shift := 2 * (maxLevel - level)
	for from := 0; from < len(l.items); {
		to := from
		for to < len(l.items) && l.items[to].code>>shift == l.items[from].code>>shift {
			to++
		}
		root, _ := l.grow(t, cellOf(l.items[from].code, level), from, to)
		l.roots = append(l.roots, root)
		from = to
	}
	for i := range l.tiles {
		l.depth = max(l.depth, l.tiles[i].cell.level-level)
	}
	return l, nil
}

// cellOf is the cell of a level that holds a code.
func cellOf(code uint64, level int) cell {
	full := code >> (2 * (maxLevel - level))
	return cell{level, gather(full), gather(full >> 1)}
}

// gather is the inverse of spread.
func gather(x uint64) uint32 {
	x &= 0x5555555555555555
	x = (x | x>>1) & 0x3333333333333333
	x = (x | x>>2) & 0x0f0f0f0f0f0f0f0f
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// span is from where to where an object reaches, in metres above its datum, as
// far as the index knows.
func (t *Tilesets) span(o index.Object, class spatial.Class) (low, high float64, known bool) {
	low, high = o.LowMetres, o.HighMetres
	if !(low >= -maxZMetres && high <= maxZMetres) {
		g := t.opt.GroundMetres
		if class == spatial.ClassUnderground {
			return g - 2*maxObjectMetres, g + maxPipeMetres, false
		}
		return g, g + maxObjectMetres, false
	}
	switch class {
	case spatial.ClassBuilding, "":
		if high-low <= 0.5 { // a footprint with heights, to be drawn as a body
			return low, high + maxObjectMetres, false
		}
		return low, high, true
	case spatial.ClassComponent:
		return low - maxPipeMetres/2, high + maxObjectMetres, false
	}
	return low - maxPipeMetres, high + maxPipeMetres, true
}

// scanHeights asks the store for the heights that the index does not have.
func (t *Tilesets) scanHeights(ctx context.Context, view *city.View, col city.Collection, l *layout, positions []int64) error {
	at := make(map[int64]int32, len(l.items))
	for i := range l.items {
		at[view.Index.Object(l.items[i].ref).Position] = int32(i)
	}
	slices.Sort(positions)
	return eachVersion(ctx, view.Store, store.Query{Class: col.Class, Positions: positions}, func(v *store.Version) error {
		i, ok := at[v.Position]
		if !ok {
			return nil
		}
		it := &l.items[i]
		o := view.Index.Object(it.ref)
		down, up := t.reach(&v.Object)
		low, high := o.LowMetres, o.HighMetres
		if !(low >= -maxZMetres && high <= maxZMetres) {
			low, high = t.opt.GroundMetres, t.opt.GroundMetres
		}
		it.low, it.high = float32(low-down), float32(high+up)
		it.size = float32(math.Hypot(float64(it.size), up+down))
		return nil
	})
}

// reach is how far an object can be drawn below and above its geometry.
func (t *Tilesets) reach(o *spatial.CityObject) (down, up float64) {
	d := drawing{c: &content{opt: &t.opt}, o: o, f: &feature{}}
	up = 1
	if h := o.Height; h.From != "" && h.Metres <= maxObjectMetres {
		up = max(up, h.Metres)
	} else if o.Class == spatial.ClassBuilding {
		up = t.opt.BuildingMetres
	}
	switch o.Class {
	case spatial.ClassUnderground:
		down = d.depth() + max(roomMetres, up) + d.diameter()
		up += d.diameter()
	case spatial.ClassBuilding:
	default:
		up = max(up, poleMetres, d.diameter())
		down = d.diameter()
	}
	return down, up
}

// grow makes the tile of the items [from, to) and those below it. It gives the
// size of the largest item that the tile leaves out.
func (l *layout) grow(t *Tilesets, c cell, from, to int) (at int32, omitted float32) {
	at = int32(len(l.tiles))
	l.tiles = append(l.tiles, tile{cell: c, from: int32(from), to: int32(to), children: [4]int32{-1, -1, -1, -1}})
	l.at[c] = at
	if to-from <= t.opt.TileObjects || c.level == maxLevel {
		x := &l.tiles[at]
		x.leaf = true
		x.region = t.region(l.items[from:to])
		return at, 0
	}
	var top []uint64
	region := emptyRegion()
	shift := 2 * (maxLevel - c.level - 1)
	for begin, k := from, 0; k < 4; k++ {
		end := begin
		for end < to && int(l.items[end].code>>shift&3) == k {
			end++
		}
		if end > begin {
			child, out := l.grow(t, c.child(k), begin, end)
			x := &l.tiles[child]
			l.tiles[at].children[k] = child
			region = union(region, x.region)
			omitted = max(omitted, out)
			if x.leaf {
				for i := begin; i < end; i++ {
					top = append(top, l.rank(int32(i)))
				}
			} else {
				for _, i := range x.top {
					top = append(top, l.rank(i))
				}
			}
		}
		begin = end
	}
	slices.Sort(top)
	if n := t.opt.TileObjects; len(top) > n {
		omitted = max(omitted, l.items[uint32(top[n])].size)
		top = top[:n]
	}
	x := &l.tiles[at]
	x.top = make([]int32, len(top))
	for i, r := range top {
		x.top[i] = int32(uint32(r))
	}
	x.region = region
	x.err = max(float64(omitted), c.metres()/64)
	return at, omitted
}

// rank orders items by size, the largest first, then by index: the bits of a
// positive number order as the number does.
func (l *layout) rank(i int32) uint64 {
	return uint64(^math.Float32bits(l.items[i].size))<<32 | uint64(uint32(i))
}

func emptyRegion() [6]float64 {
	inf := math.Inf(1)
	return [6]float64{inf, inf, -inf, -inf, inf, -inf}
}

func union(a, b [6]float64) [6]float64 {
	return [6]float64{min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]), min(a[4], b[4]), max(a[5], b[5])}
}

// region is the bounding region of items: radians, and metres above the
// ellipsoid. As the index does not know the datum, it holds the objects on
// either one.
func (t *Tilesets) region(items []item) [6]float64 {
	r := emptyRegion()
	for i := range items {
		it := &items[i]
		rad := func(k int) float64 { return float64(it.bound[k]) / 1e7 * math.Pi / 180 }
		r = union(r, [6]float64{rad(0), rad(1), rad(2), rad(3), float64(it.low), float64(it.high)})
	}
	off := t.opt.EllipsoidOffsetMetres
	r[4] += min(off, 0) - 0.1
	r[5] += max(off, 0) + 0.6
	return r
}

// positions are the store positions of a tile's objects, ascending.
func (l *layout) positions(x *tile) []int64 {
	var p []int64
	if x.leaf {
		for i := x.from; i < x.to; i++ {
			p = append(p, l.index.Object(l.items[i].ref).Position)
		}
	} else {
		for _, i := range x.top {
			p = append(p, l.index.Object(l.items[i].ref).Position)
		}
	}
	slices.Sort(p)
	return p
}

// sortItems sorts by code, then as they came: a radix sort, as there may be
// millions.
func sortItems(items []item) {
	other := make([]item, len(items))
	const bits = 11
	var counts [1 << bits]int
	for shift := 0; shift < 2*maxLevel; shift += bits {
		clear(counts[:])
		for i := range items {
			counts[items[i].code>>shift&(1<<bits-1)]++
		}
		sum := 0
		for d, n := range counts {
			counts[d] = sum
			sum += n
		}
		for i := range items {
			d := items[i].code >> shift & (1<<bits - 1)
			other[counts[d]] = items[i]
			counts[d]++
		}
		items, other = other, items
	}
}

// eachVersion calls fn for what q selects, page by page.
func eachVersion(ctx context.Context, s store.Reader, q store.Query, fn func(*store.Version) error) error {
	q.Limit = store.MaxLimit
	if q.Geometries {
		q.Limit = 1000
	}
	for rest := q.Positions; ; {
		if len(rest) > store.MaxLimit {
			q.Positions, rest = rest[:store.MaxLimit], rest[store.MaxLimit:]
		} else {
			q.Positions, rest = rest, nil
		}
		q.After = 0
		for {
			page, err := s.Query(ctx, q)
			if err != nil {
				return err
			}
			for _, v := range page.Versions {
				if err := fn(v); err != nil {
					return err
				}
			}
			if page.Next == 0 {
				break
			}
			q.After = page.Next
		}
		if len(rest) == 0 {
			return nil
		}
	}
}
