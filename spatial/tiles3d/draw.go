package tiles3d

import (
	"math"
	"strings"

	"cityhub/spatial"
)

// What is assumed of objects that do not say it, in metres. The property
// "assumed" names what was.
const (
	poleMetres       = 2.0  // height of a component that is a point
	poleRadiusMetres = 0.15 //
	roomMetres       = 4.0  // height of an underground space
	diameterMetres   = 0.3  // of a pipe
	laneMetres       = 3.5  // width of a lane (CJJ 37-2012 table 5.3.1: 3.25 to 3.75)
	roadMetres       = 7.0  // width of a road
	waterMetres      = 8.0  // width of a canal
	boundaryMetres   = 10.0 // width of a district's boundary line
	maxWidthMetres   = 60.0
	maxPipeMetres    = 10.0
	stepMetres       = 1000.0 // flat things are bent to the ellipsoid in steps of this
	tubeSides        = 8
)

// liftMetres keeps flat things apart from the globe and from each other.
var liftMetres = map[spatial.Class]float64{spatial.ClassWater: 0.1, spatial.ClassRoad: 0.2}

// drawing draws one geometry of one object.
type drawing struct {
	c      *content
	o      *spatial.CityObject
	g      *spatial.Geometry
	f      *feature
	pen    pen
	pal    palette
	offset float64 // from the datum to the ellipsoid
}

func (d *drawing) assume(what string) {
	if !strings.Contains(d.f.assumed, what) {
		d.f.assumed += map[bool]string{true: "", false: " "}[d.f.assumed == ""] + what
	}
}

// z is the height of point i above the ellipsoid: its own, or that of the ground
// and what is to be added there.
func (d *drawing) z(i int, above float64) float64 {
	if d.g.HasZ {
		z := d.g.XYZ[3*i+2]
		if !(math.Abs(z) <= maxZMetres) {
			d.c.problems.Heights++
			z = d.c.opt.GroundMetres
		}
		return z + d.offset
	}
	return d.c.opt.GroundMetres + above + d.offset
}

func (d *drawing) local(i int, h float64) vec {
	return d.pen.m.frame.local(d.g.XYZ[3*i], d.g.XYZ[3*i+1], h)
}

// draw chooses how.
func (d *drawing) draw() {
	b := d.g.Bounds()
	if d.g.HasZ && b.HeightMetres() > 0.5 {
		d.f.height(b.HeightMetres(), false)
	}
	switch {
	case d.g.Kind == spatial.MultiPoint:
		d.pal = paletteOf(d.o, 0)
		d.poles()
	case d.g.Kind == spatial.MultiLine:
		d.pal = paletteOf(d.o, 0)
		for i := range d.g.Rings {
			from, to := ringSpan(d.g.Rings, i)
			d.lines(from, to, false)
		}
	case d.o.Type == "AdministrativeDistrict":
		d.pal = paletteOf(d.o, 0)
		for i := range d.g.Rings {
			from, to := ringSpan(d.g.Rings, i)
			d.lines(from, to, true)
		}
	default:
		low, high, extruded := d.extent(b)
		d.pal = paletteOf(d.o, max(high-low, b.HeightMetres()))
		for i := range d.g.Surfaces {
			if extruded {
				d.extrude(i, low, high)
			} else {
				d.surface(i)
			}
		}
	}
}

// extent tells whether the surfaces of an object are its footprint, to be drawn
// as a body, and from where to where: above the ground, or above the points
// where these have heights.
func (d *drawing) extent(b spatial.Box) (low, high float64, extruded bool) {
	h := d.o.Height
	known := h.From != "" && h.Metres > 0
	if known && !(h.Metres <= maxObjectMetres && h.BaseMetres >= 0 && h.BaseMetres < h.Metres) {
		d.c.problems.Heights++
		known = false
	}
	if d.g.Kind.IsSolid() && d.g.HasZ || d.g.LoD >= "1" && d.g.HasZ || d.g.HasZ && b.HeightMetres() > 0.5 {
		return 0, 0, false
	}
	switch {
	case d.o.Class == spatial.ClassUnderground:
		top := 0.0
		if !d.g.HasZ {
			top = -d.depth()
		}
		room := roomMetres
		if known {
			room = h.Metres
		} else {
			d.assume("height")
		}
		d.f.height(room, !known)
		return top - room, top, true
	case known:
		d.f.height(h.Metres, false)
		return h.BaseMetres, h.Metres, true
	case d.o.Class == spatial.ClassBuilding:
		d.assume("height")
		d.f.height(d.c.opt.BuildingMetres, true)
		return 0, d.c.opt.BuildingMetres, true
	}
	return 0, 0, false
}

// depth is how far below the ground the object lies.
func (d *drawing) depth() float64 {
	if m, ok := number(d.o, "depth", "burialDepth", "bury_depth", "埋深"); ok && m >= 0 && m <= maxObjectMetres {
		return m
	}
	d.assume("depth")
	return d.c.opt.DepthMetres
}

// number is the first of the attributes that is a finite number.
func number(o *spatial.CityObject, names ...string) (float64, bool) {
	for _, name := range names {
		if v, ok := o.Attributes.Get(name); ok {
			if n, ok := asNumber(v); ok {
				return n, true
			}
		}
	}
	return 0, false
}

// rings puts the rings of surface i into c.points and c.ends, h metres above the
// ground or the points.
func (d *drawing) rings(i int, above float64) (points []vec, ends []int32) {
	c := d.c
	c.points, c.ends = c.points[:0], c.ends[:0]
	first, last := d.g.SurfaceRings(i)
	for r := first; r < last; r++ {
		from, to := ringSpan(d.g.Rings, r)
		for p := from; p < to; p++ {
			h := d.z(p, above)
			if d.g.HasZ {
				h += above
			}
			c.points = append(c.points, d.local(p, h))
		}
		c.ends = append(c.ends, int32(len(c.points)))
	}
	return c.points, c.ends
}

// cut gives the triangles of a polygon that faces n.
func (d *drawing) cut(points []vec, ends []int32, n vec) []int32 {
	c := d.c
	c.flat = flatten(c.flat[:0], points, n)
	triangles, ok := c.tri.polygon(c.flat, ends)
	if !ok {
		c.problems.Polygons++
	}
	return triangles
}

// surface draws surface i where it lies.
func (d *drawing) surface(i int) {
	lift := 0.0
	if !d.g.HasZ {
		lift = liftMetres[d.o.Class]
	}
	points, ends := d.rings(i, lift)
	if len(ends) == 0 || ends[0] < 3 {
		d.c.problems.Polygons++
		return
	}
	n := areaVector(points[:ends[0]])
	if n.length() < 2*emptyAreaMetre {
		d.c.problems.Empty++
		return
	}
	n = n.unit()
	if !d.g.HasZ && n[2] < 0 {
		n = n.times(-1) // on the map, surfaces face the sky
	}
	in := d.pal.of(d.g.Surface(i), n[2])
	if !d.g.HasZ && d.o.Class != spatial.ClassBuilding {
		in = d.pal.flat
	}
	triangles := d.cut(points, ends, n)
	if !d.g.HasZ && wide(points) {
		d.drape(i, in, triangles, lift)
		return
	}
	base := d.corners(in, points, n)
	for t := 0; t+2 < len(triangles); t += 3 {
		d.pen.triangle(in, base+uint32(triangles[t]), base+uint32(triangles[t+1]), base+uint32(triangles[t+2]))
	}
}

func (d *drawing) corners(in material, points []vec, n vec) (base uint32) {
	for k, p := range points {
		if v := d.pen.vertex(in, p, n); k == 0 {
			base = v
		}
	}
	return base
}

// wide reports whether points lie so far apart that a plane leaves the ellipsoid.
func wide(points []vec) bool {
	lo, hi := points[0], points[0]
	for _, p := range points {
		for k := range 2 {
			lo[k], hi[k] = min(lo[k], p[k]), max(hi[k], p[k])
		}
	}
	return max(hi[0]-lo[0], hi[1]-lo[1]) > 2*stepMetres
}

// extrude draws surface i as a body with vertical walls.
func (d *drawing) extrude(i int, low, high float64) {
	points, ends := d.rings(i, high)
	if len(ends) == 0 || ends[0] < 3 {
		d.c.problems.Polygons++
		return
	}
	outward := areaVector(points[:ends[0]])
	if math.Abs(outward[2]) < 2*emptyAreaMetre {
		d.c.problems.Empty++
		return
	}
	first, _ := d.g.SurfaceRings(i)
	from, _ := ringSpan(d.g.Rings, first)
	up := d.pen.m.frame.upAt(d.g.XYZ[3*from], d.g.XYZ[3*from+1])
	triangles := d.cut(points, ends, up)
	base := d.corners(d.pal.roof, points, up)
	for t := 0; t+2 < len(triangles); t += 3 {
		d.pen.triangle(d.pal.roof, base+uint32(triangles[t]), base+uint32(triangles[t+1]), base+uint32(triangles[t+2]))
	}
	drop := up.times(low - high)
	for r := range ends {
		a, b := ringSpan(ends, r)
		ring := points[a:b]
		clockwise := areaVector(ring)[2] < 0
		for k, p := range ring {
			q := ring[(k+1)%len(ring)]
			if clockwise == (r == 0) {
				p, q = q, p
			}
			d.pen.quad(d.pal.wall, p.add(drop), q.add(drop), q, p)
		}
	}
	// What hangs or lies below the ground is seen from below too.
	if low != 0 {
		down := up.times(-1)
		for k := range points {
			points[k] = points[k].add(drop)
		}
		base := d.corners(d.pal.floor, points, down)
		for t := 0; t+2 < len(triangles); t += 3 {
			d.pen.triangle(d.pal.floor, base+uint32(triangles[t]), base+uint32(triangles[t+2]), base+uint32(triangles[t+1]))
		}
	}
}
