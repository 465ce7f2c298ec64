package tiles3d

import (
	"math"

	"cityhub/spatial/crs"
)

// vec is a point or direction in metres.
type vec [3]float64

func (a vec) add(b vec) vec       { return vec{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }
func (a vec) sub(b vec) vec       { return vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }
func (a vec) times(f float64) vec { return vec{a[0] * f, a[1] * f, a[2] * f} }
func (a vec) dot(b vec) float64   { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
func (a vec) length() float64     { return math.Sqrt(a.dot(a)) }
func (a vec) cross(b vec) vec {
	return vec{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// unit is a in length 1; zero where a has no length.
func (a vec) unit() vec {
	l := a.length()
	if l == 0 {
		return vec{}
	}
	return a.times(1 / l)
}

// frame is the plane that touches the ellipsoid at a point: east, north, up in
// metres from there (ENU), in double precision. Coordinates in it are small
// enough for the single precision of glTF.
type frame struct {
	origin          vec // geocentric, EPSG:4978
	east, north, up vec
}

func newFrame(lonDeg, latDeg, hMetres float64) frame {
	var f frame
	f.origin[0], f.origin[1], f.origin[2] = crs.Geocentric(lonDeg, latDeg, hMetres)
	sinLon, cosLon := math.Sincos(lonDeg * math.Pi / 180)
	sinLat, cosLat := math.Sincos(latDeg * math.Pi / 180)
	f.east = vec{-sinLon, cosLon, 0}
	f.north = vec{-sinLat * cosLon, -sinLat * sinLon, cosLat}
	f.up = vec{cosLat * cosLon, cosLat * sinLon, sinLat}
	return f
}

// local gives a WGS 84 position in f. hMetres is above the ellipsoid.
func (f *frame) local(lonDeg, latDeg, hMetres float64) vec {
	x, y, z := crs.Geocentric(lonDeg, latDeg, hMetres)
	d := vec{x - f.origin[0], y - f.origin[1], z - f.origin[2]}
	return vec{d.dot(f.east), d.dot(f.north), d.dot(f.up)}
}

// upAt is the ellipsoid's normal at a position, in f.
func (f *frame) upAt(lonDeg, latDeg float64) vec {
	sinLon, cosLon := math.Sincos(lonDeg * math.Pi / 180)
	sinLat, cosLat := math.Sincos(latDeg * math.Pi / 180)
	n := vec{cosLat * cosLon, cosLat * sinLon, sinLat}
	return vec{n.dot(f.east), n.dot(f.north), n.dot(f.up)}
}

// node is the translation and rotation (x, y, z, w) of the glTF node whose
// meshes are in f. Meshes are east, up, south, as glTF has y up; what a runtime
// of 3D Tiles makes of a node's coordinates x, y, z is x, -z, y (22-025r4,
// section 8.2.1 "glTF transforms"), which must be geocentric.
func (f *frame) node() (translation [3]float64, rotation [4]float64) {
	yUp := func(v vec) vec { return vec{v[0], v[2], -v[1]} }
	o := yUp(f.origin)
	// The columns of the rotation are where the mesh's axes go.
	c0, c1, c2 := yUp(f.east), yUp(f.up), yUp(f.north.times(-1))
	return o, quaternion(c0, c1, c2)
}

// quaternion is that of the rotation with these columns (K. Shoemake, "Animating
// Rotation with Quaternion Curves", SIGGRAPH 1985), scalar last.
func quaternion(c0, c1, c2 vec) [4]float64 {
	m00, m10, m20 := c0[0], c0[1], c0[2]
	m01, m11, m21 := c1[0], c1[1], c1[2]
	m02, m12, m22 := c2[0], c2[1], c2[2]
	var q [4]float64
	switch {
	case m00+m11+m22 > 0:
		s := 2 * math.Sqrt(1+m00+m11+m22)
		q = [4]float64{(m21 - m12) / s, (m02 - m20) / s, (m10 - m01) / s, s / 4}
	case m00 > m11 && m00 > m22:
		s := 2 * math.Sqrt(1+m00-m11-m22)
		q = [4]float64{s / 4, (m01 + m10) / s, (m02 + m20) / s, (m21 - m12) / s}
	case m11 > m22:
		s := 2 * math.Sqrt(1+m11-m00-m22)
		q = [4]float64{(m01 + m10) / s, s / 4, (m12 + m21) / s, (m02 - m20) / s}
	default:
		s := 2 * math.Sqrt(1+m22-m00-m11)
		q = [4]float64{(m02 + m20) / s, (m12 + m21) / s, s / 4, (m10 - m01) / s}
	}
	l := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[2]*q[2] + q[3]*q[3])
	for i := range q {
		q[i] /= l
	}
	return q
}
