package cityimport

import (
	"math"
	"slices"

	"cityhub/spatial"
)

// plane shows objects in metres: as they are where they are in metres, else in a
// plane that touches the ellipsoid at the object, in which a degree of longitude
// and one of latitude have the lengths that they have there. Over a city that
// distorts by a few parts in a thousand, over a building by none that a check of
// its shape could see.
type plane struct {
	metric     spatial.CityObject
	buffers    [][]float64
	geometries []spatial.Geometry
	degrees    bool
	lon, lat   float64 // of the plane's origin, degrees
	kx, ky     float64 // metres of a degree
}

// of is o in metres. It is valid until the next call and shares what it need
// not change with o.
func (p *plane) of(o *spatial.CityObject) *spatial.CityObject {
	p.metric = spatial.CityObject{ID: o.ID, Source: o.Source}
	p.degrees = o.CRS.Degrees()
	p.geometries = append(p.geometries[:0], o.Geometries...)
	p.metric.Geometries = p.geometries
	if !p.degrees {
		return &p.metric
	}
	first := true
	for i := range p.geometries {
		g := &p.geometries[i]
		if len(g.XYZ) == 0 {
			continue
		}
		if first {
			first = false
			p.origin(g.XYZ[0], g.XYZ[1])
		}
		for len(p.buffers) <= i {
			p.buffers = append(p.buffers, nil)
		}
		if cap(p.buffers[i]) < len(g.XYZ) {
			p.buffers[i] = make([]float64, len(g.XYZ))
		}
		xyz := p.buffers[i][:len(g.XYZ)]
		for k := 0; k+2 < len(xyz); k += 3 {
			xyz[k], xyz[k+1], xyz[k+2] = (g.XYZ[k]-p.lon)*p.kx, (g.XYZ[k+1]-p.lat)*p.ky, g.XYZ[k+2]
		}
		const much = 1 << 20
		if cap(p.buffers[i]) > much {
			p.buffers[i] = nil // one large object must not keep its memory
		}
		g.XYZ = xyz
	}
	return &p.metric
}

// origin puts the plane at a place. The lengths of a degree are those of the
// radii of curvature of WGS 84.
func (p *plane) origin(lon, lat float64) {
	const (
		a  = 6378137.0
		e2 = 0.0066943799901413165
	)
	s, c := math.Sincos(lat * math.Pi / 180)
	w := 1 - e2*s*s
	p.lon, p.lat = lon, lat
	p.ky = a * (1 - e2) / (w * math.Sqrt(w)) * math.Pi / 180
	p.kx = max(a/math.Sqrt(w)*c*math.Pi/180, 1) // the poles have no east
}

// back gives o the geometries of metric, which have been changed since of.
func (p *plane) back(o, metric *spatial.CityObject) {
	o.Geometries = slices.Clone(metric.Geometries)
	if !p.degrees {
		return
	}
	for i := range o.Geometries {
		xyz := slices.Clone(o.Geometries[i].XYZ)
		for k := 0; k+2 < len(xyz); k += 3 {
			xyz[k], xyz[k+1] = xyz[k]/p.kx+p.lon, xyz[k+1]/p.ky+p.lat
		}
		o.Geometries[i].XYZ = xyz
	}
}
