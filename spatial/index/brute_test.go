package index

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"go.uber.org/goleak"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// city makes objects at random, of every kind of footprint.
type city struct {
	*rand.Rand
	west, south, width float64 // degrees
	heights            bool
}

func newCity(seed uint64) *city {
	return &city{Rand: rand.New(rand.NewPCG(seed, 1)), west: 120.5, south: 31.2, width: 0.02, heights: true}
}

func (c *city) place() (x, y float64) {
	return wrap(c.west + c.Float64()*c.width), c.south + c.Float64()*c.width
}

func wrap(lon float64) float64 {
	if lon > 180 {
		return lon - 360
	}
	return lon
}

func degree(v float64) float64 { return math.Round(v*1e9) / 1e9 } // as the store rounds

// ring is star-shaped around x, y.
func (c *city) ring(x, y, radius float64, clockwise bool) (xyz []float64) {
	n := 3 + c.IntN(9)
	for i := range n {
		if clockwise {
			i = n - 1 - i
		}
		r, a := radius*(0.5+c.Float64()/2), 2*math.Pi*float64(i)/float64(n)
		xyz = append(xyz, degree(x+r*math.Cos(a)), degree(y+r*math.Sin(a)), 0)
	}
	return xyz
}

func (c *city) footprint() *spatial.Geometry {
	x, y := c.place()
	size := math.Pow(10, -5+2.5*c.Float64()*c.Float64())
	g := &spatial.Geometry{Kind: spatial.Kind(1 + c.IntN(3))}
	near := func() (float64, float64) { return x + (c.Float64()-0.5)*size*3, y + (c.Float64()-0.5)*size*3 }
	members := 1 + c.IntN(8)/6*c.IntN(4)
	switch g.Kind {
	case spatial.MultiPoint:
		for range members {
			px, py := near()
			g.XYZ = append(g.XYZ, degree(px), degree(py), 0)
		}
	case spatial.MultiLine:
		for range members {
			px, py := near()
			for range 2 + c.IntN(40) {
				g.XYZ = append(g.XYZ, degree(px), degree(py), 0)
				px, py = px+(c.Float64()-0.3)*size, py+(c.Float64()-0.4)*size
			}
			g.Rings = append(g.Rings, int32(g.NumPoints()))
		}
	default:
		add := func(xyz []float64) {
			g.XYZ = append(g.XYZ, xyz...)
			g.Rings = append(g.Rings, int32(g.NumPoints()))
		}
		for range members {
			px, py := near()
			add(c.ring(px, py, size, false))
			for range c.IntN(2) {
				add(c.ring(px, py, size*0.3, true))
			}
			g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
		}
	}
	return g
}

func (c *city) version(position int64) *store.Version {
	v := &store.Version{Dataset: fmt.Sprint("set", c.IntN(4)), Position: position}
	v.Object = spatial.CityObject{ID: fmt.Sprint("way/", position), Type: []string{"", "Building", "Pipe"}[c.IntN(3)], Name: []string{"", "平江路", "x"}[c.IntN(3)]}
	if all := append(spatial.Classes(), ""); true {
		v.Object.Class = all[c.IntN(len(all))]
	}
	if c.IntN(20) > 0 {
		v.Footprint = c.footprint()
	}
	if c.heights && c.IntN(2) == 0 {
		g := spatial.Geometry{Kind: spatial.MultiPoint, HasZ: true, XYZ: []float64{120, 31, -float64(c.IntN(9000)) / 1000, 120, 31, float64(c.IntN(90000)) / 1000}}
		v.Object.Geometries = []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{1, 2, 0}}, g}
	}
	return v
}

// linear answers what a View answers by looking at every object.
type linear map[int64]*store.Version

func (l linear) apply(changed []*store.Version, ended []int64) {
	for _, p := range ended {
		delete(l, p)
	}
	for _, v := range changed {
		l[v.Position] = v
	}
}

func (l linear) wants(v *store.Version, o Options) bool {
	if o.Classes != nil && !slices.Contains(o.Classes, v.Object.Class) || o.Type != "" && o.Type != v.Object.Type || o.Dataset != "" && o.Dataset != v.Dataset {
		return false
	}
	if v.Footprint == nil {
		return false
	}
	b := rounded(v.Footprint).Bound()
	return v.Footprint.Kind == spatial.MultiPoint || max(b.Max[0]-b.Min[0], b.Max[1]-b.Min[1]) >= o.MinSizeDegrees-1e-12
}

func round7(v float64) float64 { return math.Round(v*1e7) / 1e7 }

// rounded is a footprint to 1e-7 degrees, made without the codec.
func rounded(g *spatial.Geometry) orb.Geometry {
	line := func(xyz []float64, closed bool) (l []orb.Point) {
		for p := 0; p+2 < len(xyz); p += 3 {
			l = append(l, orb.Point{round7(xyz[p]), round7(xyz[p+1])})
		}
		if closed {
			l = append(l, l[0])
		}
		return l
	}
	switch g.Kind {
	case spatial.MultiPoint:
		if m := orb.MultiPoint(line(g.XYZ, false)); len(m) > 1 {
			return m
		} else {
			return m[0]
		}
	case spatial.MultiLine:
		var m orb.MultiLineString
		for i := range g.Rings {
			m = append(m, line(g.Ring(i), false))
		}
		if len(m) == 1 {
			return m[0]
		}
		return m
	}
	var m orb.MultiPolygon
	for i := range g.Surfaces {
		var p orb.Polygon
		from, to := g.SurfaceRings(i)
		for r := from; r < to; r++ {
			p = append(p, line(g.Ring(r), true))
		}
		m = append(m, p)
	}
	if len(m) == 1 {
		return m[0]
	}
	return m
}

// metric is a geometry in metres around an origin: the sides and the polygons.
type metric struct {
	sides    [][2]orb.Point
	polygons []orb.Polygon
	vertices []orb.Point
}

func metricOf(g orb.Geometry, lon, lat float64) metric {
	// The radii of curvature of the ellipsoid in the meridian and the prime
	// vertical (EPSG guidance note 7-2).
	const a, e2 = 6378137.0, 0.0066943799901413165
	s := math.Sin(lat * math.Pi / 180)
	nu, rho := a/math.Sqrt(1-e2*s*s), a*(1-e2)/math.Pow(1-e2*s*s, 1.5)
	g = orb.Clone(g)
	var m metric
	project := func(l []orb.Point) {
		for i, p := range l {
			l[i] = orb.Point{(math.Mod(p[0]-lon+540, 360) - 180) * math.Pi / 180 * nu * math.Cos(lat*math.Pi/180), (p[1] - lat) * math.Pi / 180 * rho}
		}
		m.vertices = append(m.vertices, l...)
		for i := 1; i < len(l); i++ {
			m.sides = append(m.sides, [2]orb.Point{l[i-1], l[i]})
		}
	}
	var add func(g orb.Geometry)
	add = func(g orb.Geometry) {
		switch g := g.(type) {
		case orb.Point:
			l := []orb.Point{g, g}
			project(l)
		case orb.MultiPoint:
			for _, p := range g {
				add(p)
			}
		case orb.LineString:
			project(g)
		case orb.MultiLineString:
			for _, l := range g {
				project(l)
			}
		case orb.Polygon:
			for _, r := range g {
				project(r)
			}
			m.polygons = append(m.polygons, g)
		case orb.MultiPolygon:
			for _, p := range g {
				add(p)
			}
		case orb.Bound:
			add(g.ToPolygon())
		case orb.Collection:
			for _, c := range g {
				add(c)
			}
		}
	}
	add(g)
	return m
}

// inside is by the winding number, another way than that of the index.
func (m metric) inside(p orb.Point) bool {
	for _, polygon := range m.polygons {
		odd := 0
		for _, r := range polygon {
			turns := 0.0
			for i := 1; i < len(r); i++ {
				a, b := math.Atan2(r[i-1][1]-p[1], r[i-1][0]-p[0]), math.Atan2(r[i][1]-p[1], r[i][0]-p[0])
				turns += math.Remainder(b-a, 2*math.Pi)
			}
			odd += int(math.Round(turns / (2 * math.Pi)))
		}
		if odd%2 != 0 {
			return true
		}
	}
	return false
}

func apart(p orb.Point, s [2]orb.Point) float64 {
	u, v := orb.Point{s[1][0] - s[0][0], s[1][1] - s[0][1]}, orb.Point{p[0] - s[0][0], p[1] - s[0][1]}
	l := math.Hypot(u[0], u[1])
	if l == 0 {
		return math.Hypot(v[0], v[1])
	}
	along := (u[0]*v[0] + u[1]*v[1]) / l
	if along < 0 || along > l {
		return min(math.Hypot(v[0], v[1]), math.Hypot(p[0]-s[1][0], p[1]-s[1][1]))
	}
	return math.Abs(u[0]*v[1]-u[1]*v[0]) / l
}

func (m metric) distance(n metric) float64 {
	best := math.Inf(1)
	for _, p := range m.vertices {
		if n.inside(p) {
			return 0
		}
		for _, s := range n.sides {
			best = min(best, apart(p, s))
		}
	}
	for _, p := range n.vertices {
		if m.inside(p) {
			return 0
		}
		for _, s := range m.sides {
			best = min(best, apart(p, s))
		}
	}
	for _, s := range m.sides {
		for _, t := range n.sides { // solve s0 + i u = t0 + j w
			u, w := orb.Point{s[1][0] - s[0][0], s[1][1] - s[0][1]}, orb.Point{t[1][0] - t[0][0], t[1][1] - t[0][1]}
			if det := u[0]*w[1] - u[1]*w[0]; det != 0 {
				d := orb.Point{t[0][0] - s[0][0], t[0][1] - s[0][1]}
				if i, j := (d[0]*w[1]-d[1]*w[0])/det, (d[0]*u[1]-d[1]*u[0])/det; i >= 0 && i <= 1 && j >= 0 && j <= 1 {
					return 0
				}
			}
		}
	}
	if best < ContactMetres {
		return 0
	}
	return best
}

// distance of a footprint from g in the plane that the package promises.
func distance(v *store.Version, g orb.Geometry) float64 {
	f := rounded(v.Footprint)
	b, at := f.Bound(), boundOf(g)
	lat := (max(b.Min[1], at.Min[1]) + min(b.Max[1], at.Max[1])) / 2
	return metricOf(f, at.Min[0], lat).distance(metricOf(g, at.Min[0], lat))
}

func boundOf(g orb.Geometry) orb.Bound {
	if c, ok := g.(orb.Collection); ok {
		b := c[0].Bound()
		for _, m := range c {
			b = b.Union(m.Bound())
		}
		return b
	}
	return g.Bound()
}

// some is Options at random.
func (c *city) some() (o Options) {
	if c.IntN(2) == 0 {
		o.Classes = append(spatial.Classes(), "")[c.IntN(6):]
	}
	if c.IntN(4) == 0 {
		o.Type = "Building"
	}
	if c.IntN(4) == 0 {
		o.Dataset = fmt.Sprint("set", c.IntN(5))
	}
	if c.IntN(3) == 0 {
		o.MinSizeDegrees = c.Float64() * 1e-3
	}
	return o
}

// positions gives those of what a search finds, in order, and fails when it
// finds something twice.
func positions(t *testing.T, v View, search func(func(Ref) bool)) []int64 {
	t.Helper()
	got := []int64{}
	search(func(r Ref) bool {
		got = append(got, v.Object(r).Position)
		return true
	})
	slices.Sort(got)
	if n := len(got); len(slices.Compact(slices.Clone(got))) != n {
		t.Fatalf("some object was found twice: %v", got)
	}
	return got
}

func (l linear) positions(keep func(*store.Version) bool) []int64 {
	all := []int64{}
	for p, v := range l {
		if keep(v) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func byMetres(a, b Near) int { return cmp.Compare(a.Metres, b.Metres) }
