package tiles3d

import (
	"math"

	"cityhub/spatial"
)

// poles draws points: a post on the ground, or a well from the depth up to it.
func (d *drawing) poles() {
	low, high := 0.0, poleMetres
	h := d.o.Height
	switch {
	case h.From != "" && h.Metres > 0 && h.Metres <= maxObjectMetres:
		high = h.Metres
		d.f.height(high, false)
	default:
		d.assume("height")
		d.f.height(high, true)
	}
	if d.o.Class == spatial.ClassUnderground && !d.g.HasZ {
		low, high = -d.depth(), 0
	}
	d.assume("diameter")
	for i := range d.g.NumPoints() {
		z := d.z(i, 0)
		a, b := d.local(i, z+low), d.local(i, z+high)
		d.tube([]vec{a, b}, d.pen.m.frame.upAt(d.g.XYZ[3*i], d.g.XYZ[3*i+1]), poleRadiusMetres)
	}
}

// lines draws the points [from, to): a ribbon on the ground, or a tube.
func (d *drawing) lines(from, to int, closed bool) {
	ribbon, width, above := false, 0.0, 0.0
	switch {
	case d.o.Type == "AdministrativeDistrict":
		ribbon, width, above = true, boundaryMetres, 0.5
	case d.o.Class == spatial.ClassRoad, d.o.Class == spatial.ClassWater:
		ribbon, width, above = true, d.width(), liftMetres[d.o.Class]
	default:
		width = d.diameter()
		above = width / 2
		if d.o.Class == spatial.ClassUnderground && !d.g.HasZ {
			above = -d.depth()
		}
	}
	line := d.follow(from, to, closed, above)
	if len(line) < 2 {
		d.c.problems.Polygons++
		return
	}
	up := d.pen.m.frame.upAt(d.g.XYZ[3*from], d.g.XYZ[3*from+1])
	if ribbon {
		d.ribbon(line, up, width/2)
	} else {
		d.tube(line, up, width/2)
	}
}

// width is that of a road or canal.
func (d *drawing) width() float64 {
	if w, ok := number(d.o, "width", "est_width", "宽度", "路宽"); ok && w > 0 && w <= maxWidthMetres {
		return w
	}
	d.assume("width")
	if n, ok := number(d.o, "lanes", "车道数"); ok && n >= 1 && n*laneMetres <= maxWidthMetres {
		return n * laneMetres
	}
	if d.o.Class == spatial.ClassWater {
		return waterMetres
	}
	return roadMetres
}

// diameter is that of a pipe. Sources give it in metres or, as DN, in
// millimetres: a number above 10 is in millimetres.
func (d *drawing) diameter() float64 {
	m, ok := number(d.o, "diameter", "Diameter", "dn", "DN", "pipe_diameter", "管径", "直径")
	if ok && m > maxPipeMetres {
		m /= 1000
	}
	if ok && m >= 0.01 && m <= maxPipeMetres {
		return m
	}
	d.assume("diameter")
	return diameterMetres
}

// follow is the points of a line, without those that lie on the one before, and
// with more where the ellipsoid bends. The slice is the content's.
func (d *drawing) follow(from, to int, closed bool, above float64) []vec {
	line := d.c.line[:0]
	last, lastZ := -1, 0.0
	add := func(p int) {
		z := d.z(p, above)
		v := d.local(p, z)
		if last >= 0 {
			length := v.sub(line[len(line)-1]).length()
			if length < 1e-3 {
				return
			}
			steps := int(min(math.Ceil(length/stepMetres), 10_000))
			for s := 1; s < steps; s++ {
				t := float64(s) / float64(steps)
				lon := d.g.XYZ[3*last] + t*(d.g.XYZ[3*p]-d.g.XYZ[3*last])
				lat := d.g.XYZ[3*last+1] + t*(d.g.XYZ[3*p+1]-d.g.XYZ[3*last+1])
				line = append(line, d.pen.m.frame.local(lon, lat, lastZ+t*(z-lastZ)))
			}
		}
		line = append(line, v)
		last, lastZ = p, z
	}
	for p := from; p < to; p++ {
		add(p)
	}
	if closed && to-from > 2 {
		add(from)
	}
	d.c.line = line
	return line
}

// side is the direction across a line at point k: at a bend along the bisector,
// longer so that the line keeps its width, at most doubled.
func side(line []vec, k int, up vec) vec {
	var sum vec
	n := 0.0
	for _, s := range [2]int{k - 1, k} {
		if s < 0 || s+1 >= len(line) {
			continue
		}
		w := line[s+1].sub(line[s]).cross(up).unit()
		if w != (vec{}) {
			sum = sum.add(w)
			n++
		}
	}
	if n == 0 {
		return vec{}
	}
	l := sum.length() / n
	if l < 1e-6 {
		return line[k].sub(line[max(k-1, 0)]).cross(up).unit()
	}
	return sum.unit().times(min(1/l, 2))
}

// ribbon draws a strip that faces up.
func (d *drawing) ribbon(line []vec, up vec, half float64) {
	in := d.pal.flat
	var base uint32
	for k, p := range line {
		w := side(line, k, up).times(half)
		i := d.pen.vertex(in, p.sub(w), up)
		d.pen.vertex(in, p.add(w), up)
		if k == 0 {
			base = i
		}
	}
	for k := range len(line) - 1 {
		a := base + uint32(2*k)
		d.pen.triangle(in, a, a+1, a+2)
		d.pen.triangle(in, a+1, a+3, a+2)
	}
}

// tube draws a round body along a line, with flat ends. up is the ellipsoid's
// normal; a line that follows it turns about another axis.
func (d *drawing) tube(line []vec, up vec, radius float64) {
	in := d.pal.roof
	var base uint32
	for k, p := range line {
		along := line[min(k+1, len(line)-1)].sub(line[max(k-1, 0)]).unit()
		if along == (vec{}) {
			along = line[1].sub(line[0]).unit()
		}
		ref := up
		if math.Abs(along.dot(up)) > 0.99 {
			ref = vec{1, 0, 0}
		}
		x := along.cross(ref).unit()
		y := x.cross(along).unit()
		for s := range tubeSides {
			sin, cos := math.Sincos(2 * math.Pi * float64(s) / tubeSides)
			n := x.times(cos).add(y.times(sin))
			i := d.pen.vertex(in, p.add(n.times(radius)), n)
			if k == 0 && s == 0 {
				base = i
			}
		}
	}
	for k := range len(line) - 1 {
		for s := range tubeSides {
			a := base + uint32(k*tubeSides+s)
			b := base + uint32(k*tubeSides+(s+1)%tubeSides)
			d.pen.triangle(in, a, a+tubeSides, b)
			d.pen.triangle(in, b, a+tubeSides, b+tubeSides)
		}
	}
	d.cap(in, base, line[0].sub(line[1]).unit(), true)
	d.cap(in, base+uint32((len(line)-1)*tubeSides), line[len(line)-1].sub(line[len(line)-2]).unit(), false)
}

// cap closes a tube at the ring of vertices that begins at first.
func (d *drawing) cap(in material, first uint32, n vec, begin bool) {
	q := &d.pen.m.parts[in]
	var base uint32
	for s := range uint32(tubeSides) {
		p := q.position[3*(first+s):]
		i := d.pen.vertex(in, vec{float64(p[0]), -float64(p[2]), float64(p[1])}, n)
		if s == 0 {
			base = i
		}
	}
	for s := uint32(1); s+1 < tubeSides; s++ {
		if begin {
			d.pen.triangle(in, base, base+s, base+s+1)
		} else {
			d.pen.triangle(in, base, base+s+1, base+s)
		}
	}
}

// maxDraped bounds the triangles into which one polygon is divided.
const maxDraped = 200_000

// drape draws triangles of surface i on the ellipsoid, divided at the middle of
// the longest edge until no edge is long. Neighbours divide the edge that they
// share alike.
func (d *drawing) drape(i int, in material, triangles []int32, lift float64) {
	first, _ := d.g.SurfaceRings(i)
	start, _ := ringSpan(d.g.Rings, first)
	type corner [2]float64
	at := func(t int32) corner { return corner(d.g.XYZ[3*(start+int(t)):][:2]) }
	h := d.c.opt.GroundMetres + lift + d.offset
	perLat := 111_195.0
	perLon := perLat * math.Cos(at(0)[1]*math.Pi/180)
	limit := stepMetres * 2
	vertices := map[corner]uint32{}
	vertex := func(p corner) uint32 {
		v, ok := vertices[p]
		if !ok {
			v = d.pen.vertex(in, d.pen.m.frame.local(p[0], p[1], h), d.pen.m.frame.upAt(p[0], p[1]))
			vertices[p] = v
		}
		return v
	}
	length := func(a, b corner) float64 { return math.Hypot((a[0]-b[0])*perLon, (a[1]-b[1])*perLat) }
	todo := make([][3]corner, 0, len(triangles)/3)
	for t := 0; t+2 < len(triangles); t += 3 {
		todo = append(todo, [3]corner{at(triangles[t]), at(triangles[t+1]), at(triangles[t+2])})
	}
	for done := 0; len(todo) > 0; {
		t := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		k, longest := 0, 0.0
		for e := range 3 {
			if l := length(t[e], t[(e+1)%3]); l > longest {
				k, longest = e, l
			}
		}
		if longest <= limit || done+len(todo) >= maxDraped {
			d.pen.triangle(in, vertex(t[0]), vertex(t[1]), vertex(t[2]))
			done++
			continue
		}
		a, b, c := t[k], t[(k+1)%3], t[(k+2)%3]
		m := corner{(a[0] + b[0]) / 2, (a[1] + b[1]) / 2}
		todo = append(todo, [3]corner{a, m, c}, [3]corner{m, b, c})
	}
}
