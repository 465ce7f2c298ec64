package features

import (
	"fmt"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
)

// shaper writes geometries of the store in one CRS. It is for one goroutine.
type shaper struct {
	out      *crs.CRS
	t        *crs.Transform // nil: the coordinates are written as they are
	decimals int            // 9 of degrees, 3 of metres
	xyz      []float64      // the coordinates after the Transform
}

func (s *shaper) reset(out *crs.CRS) error {
	s.out, s.t, s.decimals = out, nil, 9
	if !out.Geographic() {
		s.decimals = 3
	}
	if out.Authority() == "OGC" {
		return nil
	}
	var err error
	s.t, err = crs.Between(crs.WGS84().Traditional(), out.Horizontal().Defined(), crs.Options{Heights: crs.HeightsCarried})
	return err
}

func (s *shaper) convert(xyz []float64) ([]float64, error) {
	if s.t == nil {
		return xyz, nil
	}
	s.xyz = append(s.xyz[:0], xyz...)
	if err := s.t.Flat(s.xyz, s.xyz, 3); err != nil {
		return nil, &city.Error{Code: city.Invalid, Field: "crs", Message: err.Error(), Hint: "narrow the search by bbox to where the CRS can be used", Err: err}
	}
	return s.xyz, nil
}

// append writes g as a GeoJSON geometry, or where it is a solid as one of
// JSON-FG; with heights where dims is 3. One member alone is written as such.
// Rings of the plane run as RFC 7946 section 3.1.6 has it, the exterior
// counter-clockwise; those with heights as they are, since it tells their side.
func (s *shaper) append(dst []byte, g *spatial.Geometry, dims int) ([]byte, error) {
	if g == nil || g.NumPoints() == 0 {
		return append(dst, "null"...), nil
	}
	xyz, err := s.convert(g.XYZ)
	if err != nil {
		return dst, err
	}
	w := writer{dst: dst, g: g, xyz: xyz, dims: dims, decimals: s.decimals}
	switch {
	case g.Kind == spatial.MultiPoint:
		w.open("Point", g.NumPoints())
		w.each(g.NumPoints(), w.point)
	case g.Kind == spatial.MultiLine:
		w.open("LineString", len(g.Rings))
		w.each(len(g.Rings), func(i int) { w.line(i, false, 0) })
	case g.Kind.IsSurface():
		w.open("Polygon", len(g.Surfaces))
		w.each(len(g.Surfaces), w.surface)
	case g.Kind.IsSolid():
		w.open("Polyhedron", len(g.Solids))
		w.each(len(g.Solids), func(i int) {
			from, to := g.SolidShells(i)
			w.list(from, to, func(j int) {
				a, b := g.ShellSurfaces(j)
				w.list(a, b, w.surface)
			})
		})
	default:
		return dst, fmt.Errorf("features: geometry of kind %v", g.Kind)
	}
	return append(w.dst, '}'), nil
}

// writer writes one geometry.
type writer struct {
	dst      []byte
	g        *spatial.Geometry
	xyz      []float64
	dims     int
	decimals int
	single   bool
}

func (w *writer) open(name string, n int) {
	w.single = n == 1
	w.dst = append(w.dst, `{"type":"`...)
	if !w.single {
		w.dst = append(w.dst, "Multi"...)
	}
	w.dst = append(append(w.dst, name...), `","coordinates":`...)
}

func (w *writer) each(n int, item func(int)) {
	if w.single {
		item(0)
		return
	}
	w.list(0, n, item)
}

func (w *writer) list(from, to int, item func(int)) {
	w.dst = append(w.dst, '[')
	for i := from; i < to; i++ {
		if i > from {
			w.dst = append(w.dst, ',')
		}
		item(i)
	}
	w.dst = append(w.dst, ']')
}

func (w *writer) point(i int) {
	w.dst = append(w.dst, '[')
	w.dst = appendFixed(w.dst, w.xyz[3*i], w.decimals)
	w.dst = append(w.dst, ',')
	w.dst = appendFixed(w.dst, w.xyz[3*i+1], w.decimals)
	if w.dims == 3 {
		w.dst = append(w.dst, ',')
		w.dst = appendFixed(w.dst, w.xyz[3*i+2], 3)
	}
	w.dst = append(w.dst, ']')
}

func (w *writer) surface(i int) {
	from, to := w.g.SurfaceRings(i)
	w.list(from, to, func(j int) {
		turn := 0
		if w.dims == 2 {
			turn = 1
			if j > from {
				turn = -1
			}
		}
		w.line(j, true, turn)
	})
}

// line writes ring or line i; turned counter-clockwise where turn is 1,
// clockwise where it is -1.
func (w *writer) line(i int, closed bool, turn int) {
	from, to := 0, int(w.g.Rings[i])
	if i > 0 {
		from = int(w.g.Rings[i-1])
	}
	back := turn != 0 && to > from && (twiceArea(w.g.XYZ[3*from:3*to]) < 0) == (turn > 0)
	w.dst = append(w.dst, '[')
	for k := range to - from {
		if k > 0 {
			w.dst = append(w.dst, ',')
		}
		if back && k > 0 { // from the same first point the other way round
			w.point(to - k)
		} else {
			w.point(from + k)
		}
	}
	if closed && to > from {
		w.dst = append(w.dst, ',')
		w.point(from)
	}
	w.dst = append(w.dst, ']')
}

// twiceArea is twice the signed area of a ring in the plane, positive where it
// runs counter-clockwise. It is taken from its first point, as the longitudes
// and latitudes of a building differ in the last of their digits only.
func twiceArea(xyz []float64) float64 {
	var sum float64
	x0, y0 := xyz[0], xyz[1]
	for i := 3; i+3 < len(xyz); i += 3 {
		sum += (xyz[i]-x0)*(xyz[i+4]-y0) - (xyz[i+3]-x0)*(xyz[i+1]-y0)
	}
	return sum
}
