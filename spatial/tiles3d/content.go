package tiles3d

import (
	"math"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// Problems counts what could not be drawn as it is stored. The objects are in
// the tiles nevertheless, with what could be drawn of them.
type Problems struct {
	Polygons int // whose rings cross: drawn in part, coarsely or not at all
	Empty    int // polygons of no area: left out, nothing is lost
	Objects  int // of which nothing could be drawn
	Heights  int // beyond ±10 km, or a height of object beyond 1 km: taken for unknown
}

func (p *Problems) add(q Problems) {
	p.Polygons += q.Polygons
	p.Empty += q.Empty
	p.Objects += q.Objects
	p.Heights += q.Heights
}

// content collects the objects of one tile. It is for one goroutine.
type content struct {
	opt      *Options
	fine     bool // the finest representation; else the coarsest solid one
	lon, lat float64
	split    bool // far objects get a node of their own, so that single precision is enough
	meshes   []*mesh
	at       map[[2]int]*mesh
	features []feature
	problems Problems

	tri    triangulator
	points []vec
	ends   []int32
	flat   []float64
	line   []vec
}

// splitDegrees is the size of the cells that have nodes of their own in wide
// tiles: 50 km, in which single precision is some millimetres.
const splitDegrees = 0.5

func newContent(opt *Options, b cell, fine bool) *content {
	w, s, e, n := b.degrees()
	return &content{opt: opt, fine: fine, lon: (w + e) / 2, lat: (s + n) / 2, split: e-w > 2*splitDegrees, at: map[[2]int]*mesh{}}
}

// meshAt is the mesh for an object at a place.
func (c *content) meshAt(lon, lat float64) *mesh {
	key := [2]int{}
	x, y := c.lon, c.lat
	if c.split {
		key = [2]int{int(math.Floor(lon / splitDegrees)), int(math.Floor(lat / splitDegrees))}
		x, y = (float64(key[0])+0.5)*splitDegrees, (float64(key[1])+0.5)*splitDegrees
	}
	m := c.at[key]
	if m == nil {
		m = &mesh{frame: newFrame(x, y, c.opt.GroundMetres+c.opt.EllipsoidOffsetMetres)}
		c.at[key] = m
		c.meshes = append(c.meshes, m)
	}
	return m
}

// represent chooses what of an object is drawn: its finest geometry, or for
// coarse tiles LoD 1, or else the lowest with volume.
func represent(v *store.Version, fine bool) *spatial.Geometry {
	o := &v.Object
	g := o.Finest()
	if !fine {
		var low *spatial.Geometry
		for i := range o.Geometries {
			h := &o.Geometries[i]
			if h.Kind >= spatial.MultiSurface && h.HasZ && h.LoD >= "1" && (low == nil || h.LoD < low.LoD) {
				low = h
			}
		}
		if low != nil {
			g = low
		}
	}
	if g == nil || g.NumPoints() == 0 {
		g = v.Footprint
	}
	if g != nil && g.NumPoints() == 0 {
		return nil
	}
	return g
}

// add draws an object.
func (c *content) add(v *store.Version) {
	o := &v.Object
	g := represent(v, c.fine)
	f := c.describe(v)
	d := drawing{c: c, o: o, f: &f}
	before := c.problems
	drawn := false
	if g != nil && g.Valid() == nil {
		f.lod = g.LoD
		d.pen = pen{m: c.meshAt(g.XYZ[0], g.XYZ[1]), feature: float32(len(c.features))}
		if o.CRS.VerticalDatum != spatial.Ellipsoid {
			d.offset = c.opt.EllipsoidOffsetMetres
		}
		d.g = g
		count := d.pen.m.triangles()
		d.draw()
		drawn = d.pen.m.triangles() > count
	}
	if !drawn {
		c.problems.Polygons, c.problems.Empty = before.Polygons, before.Empty
		c.problems.Objects++
	}
	c.features = append(c.features, f)
}

func (m *mesh) triangles() (n int) {
	for i := range m.parts {
		n += len(m.parts[i].index)
	}
	return n
}
