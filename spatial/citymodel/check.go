package citymodel

import (
	"fmt"
	"math"

	"cityhub/spatial"
)

// CheckOptions say how exactly geometry is checked. The zero value is usable.
type CheckOptions struct {
	Skip bool // no check
	// PlanarMetres is how far a point of a surface may be from its plane;
	// default 0.01, as val3dity's.
	PlanarMetres float64
	// RingPoints is the longest ring whose edges are compared with each other;
	// a longer one is reported as NotChecked. Default 512.
	RingPoints int
}

// Check reports what of the geometries of o breaks ISO 19107. It compares each
// ring's edges with each other, so that its time grows with the points times
// RingPoints. Where X and Y are degrees, planarity and volume are not checked.
func Check(o *spatial.CityObject, opt CheckOptions, report func(Problem)) {
	if opt.Skip {
		return
	}
	if opt.PlanarMetres <= 0 {
		opt.PlanarMetres = 0.01
	}
	if opt.RingPoints <= 0 {
		opt.RingPoints = 512
	}
	for i := range o.Geometries {
		c := checker{o: o, g: &o.Geometries[i], opt: opt, report: report, index: i, metric: !o.CRS.Degrees()}
		c.run()
	}
}

type checker struct {
	o      *spatial.CityObject
	g      *spatial.Geometry
	opt    CheckOptions
	report func(Problem)
	index  int
	metric bool
	flat   [][2]float64 // a ring in its plane
}

// part names a part of a geometry: part i, and in it ring r, if r is not -1.
type part struct {
	name string
	i, r int
}

func (p part) String() string {
	switch {
	case p.name == "":
		return ""
	case p.r < 0:
		return fmt.Sprintf(".%s[%d]", p.name, p.i)
	}
	return fmt.Sprintf(".%s[%d].ring[%d]", p.name, p.i, p.r)
}

func (c *checker) fault(code Code, where part, format string, args ...any) {
	severity := SeverityError
	if code == ConsecutivePoints || code == NotChecked || code == EmptyGeometry {
		severity = SeverityWarning
	}
	c.report(Problem{
		Severity: severity, Code: code, Line: c.o.Source.Line, Offset: c.o.Source.Offset, Object: c.o.ID,
		Field: fmt.Sprintf("geometry[%d]%v", c.index, where), Message: fmt.Sprintf(format, args...),
	})
}

func (c *checker) run() {
	g := c.g
	if len(g.XYZ) == 0 {
		c.fault(EmptyGeometry, part{}, "a %v without points", g.Kind)
		return
	}
	if g.Kind == spatial.MultiLine {
		for i := range g.Rings {
			if n := len(g.Ring(i)) / 3; n < 2 {
				c.fault(TooFewPoints, part{"line", i, -1}, "%d points; a line has 2 or more", n)
			}
		}
		return
	}
	for s := range g.Surfaces {
		c.surface(s)
	}
	for solid := range g.Solids {
		from, to := g.SolidShells(solid)
		for shell := from; shell < to; shell++ {
			c.shell(shell, shell > from)
		}
	}
}

func (c *checker) surface(s int) {
	from, to := c.g.SurfaceRings(s)
	if from == to {
		c.fault(EmptyGeometry, part{"surface", s, -1}, "a surface without rings")
		return
	}
	outer := spatial.RingNormal(c.g.Ring(from))
	for r := from; r < to; r++ {
		where := part{"surface", s, r - from}
		if !c.ring(c.g.Ring(r), where) {
			continue
		}
		normal := spatial.RingNormal(c.g.Ring(r))
		if r > from && dot(normal, outer) > 0 {
			if c.g.Kind.IsSolid() || c.metric {
				c.fault(RingOrientation, where, "a hole runs in the direction of its exterior ring; it must run the other way")
			}
		}
	}
	if c.metric && outer != [3]float64{} {
		c.planar(s, from, to, outer)
	}
}

// ring checks one ring and reports whether it is one.
func (c *checker) ring(ring []float64, where part) bool {
	n := len(ring) / 3
	distinct := n
	for i := range n {
		j := (i + 1) % n
		if n > 1 && [3]float64(ring[3*i:3*i+3]) == [3]float64(ring[3*j:3*j+3]) {
			distinct--
			c.fault(ConsecutivePoints, where, "points %d and %d are the same", i, j)
		}
	}
	if distinct < 3 {
		c.fault(TooFewPoints, where, "%d different points in sequence; a ring has 3 or more", max(distinct, 0))
		return false
	}
	if n > c.opt.RingPoints {
		c.fault(NotChecked, where, "%d points; the edges of rings with more than %d are not compared", n, c.opt.RingPoints)
		return true
	}
	if i, j, ok := c.crossing(ring); ok {
		c.fault(RingSelfIntersects, where, "edges %d and %d meet", i, j)
	}
	return true
}

// planar finds the point that lies farthest from the plane through the mean
// point of the surface's exterior with that ring's normal.
func (c *checker) planar(s, from, to int, normal [3]float64) {
	ring := c.g.Ring(from)
	var mean [3]float64
	for p := 0; p < len(ring); p += 3 {
		for k := range 3 {
			mean[k] += (ring[p+k] - ring[k]) / float64(len(ring)/3)
		}
	}
	for k := range 3 {
		mean[k] += ring[k]
	}
	worst, at := 0.0, 0
	for r := from; r < to; r++ {
		ring := c.g.Ring(r)
		for p := 0; p < len(ring); p += 3 {
			d := math.Abs(dot(normal, [3]float64{ring[p] - mean[0], ring[p+1] - mean[1], ring[p+2] - mean[2]}))
			if d > worst {
				worst, at = d, p/3
			}
		}
	}
	if worst > c.opt.PlanarMetres {
		c.fault(NonPlanar, part{"surface", s, -1}, "point %d lies %.3f m from the surface's plane; %.3f m are allowed", at, worst, c.opt.PlanarMetres)
	}
}

func (c *checker) shell(i int, cavity bool) {
	where := part{"shell", i, -1}
	from, to := c.g.ShellSurfaces(i)
	if to-from < 4 {
		c.fault(TooFewPolygons, where, "%d surfaces; a shell has 4 or more", to-from)
		return
	}
	open, nonManifold, same := c.g.EdgeFaults(i)
	if open > 0 {
		c.fault(ShellNotClosed, where, "%d edges belong to one surface only", open)
	}
	if nonManifold > 0 {
		c.fault(NonManifold, where, "%d edges belong to more than two surfaces", nonManifold)
	}
	if same > 0 {
		c.fault(PolygonOrientation, where, "%d edges are run through in the same direction by both surfaces: one of them faces the wrong way", same)
	}
	if !c.metric || open+nonManifold+same > 0 {
		return
	}
	if v := c.g.ShellVolume(i); !cavity && v < 0 {
		c.fault(ShellOrientation, where, "the surfaces of the outer shell face inwards (volume %.3f m³)", v)
	} else if cavity && v > 0 {
		c.fault(ShellOrientation, where, "the surfaces of a cavity face out of it (volume %.3f m³)", v)
	}
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

// RingCrossing finds two edges of a ring that meet although they are not
// neighbours, as Check reports them. Its time grows with the square of the
// points.
func RingCrossing(ring []float64) (i, j int, meet bool) {
	var c checker
	return c.crossing(ring)
}

// crossing finds two edges of the ring that meet although they are not
// neighbours. The ring is looked at along the axis that shows it largest.
func (c *checker) crossing(ring []float64) (int, int, bool) {
	normal := spatial.RingNormal(ring)
	x, y := 0, 1
	switch ax, ay, az := math.Abs(normal[0]), math.Abs(normal[1]), math.Abs(normal[2]); {
	case ax > ay && ax > az:
		x, y = 1, 2
	case ay > az:
		x, y = 0, 2
	}
	c.flat = c.flat[:0]
	for p := 0; p < len(ring); p += 3 {
		q := [2]float64{ring[p+x] - ring[x], ring[p+y] - ring[y]}
		if n := len(c.flat); n > 0 && c.flat[n-1] == q {
			continue // reported as ConsecutivePoints, or upright in this view
		}
		c.flat = append(c.flat, q)
	}
	f := c.flat
	if n := len(f); n > 1 && f[0] == f[n-1] {
		f = f[:n-1]
	}
	n := len(f)
	for i := range n {
		a, b := f[i], f[(i+1)%n]
		for j := i + 2; j < n; j++ {
			if i == 0 && j == n-1 {
				continue
			}
			if segmentsMeet(a, b, f[j], f[(j+1)%n]) {
				return i, j, true
			}
		}
	}
	return 0, 0, false
}

// segmentsMeet reports whether the segments ab and cd have a point in common.
func segmentsMeet(a, b, c, d [2]float64) bool {
	if max(a[0], b[0]) < min(c[0], d[0]) || max(c[0], d[0]) < min(a[0], b[0]) ||
		max(a[1], b[1]) < min(c[1], d[1]) || max(c[1], d[1]) < min(a[1], b[1]) {
		return false
	}
	side := func(a, b, p [2]float64) float64 {
		return (b[0]-a[0])*(p[1]-a[1]) - (b[1]-a[1])*(p[0]-a[0])
	}
	s1, s2, s3, s4 := side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b)
	return (s1 <= 0 && s2 >= 0 || s1 >= 0 && s2 <= 0) && (s3 <= 0 && s4 >= 0 || s3 >= 0 && s4 <= 0)
}
