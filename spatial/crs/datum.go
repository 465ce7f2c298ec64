package crs

// datumID is a geodetic datum.
type datumID uint8

const (
	datumWGS84 datumID = iota
	datumETRS89
	datumCGCS2000
	datumJGD2011
	datumAmersfoort
	datumMGI
)

// sameFrameMetres is what is stated for a conversion within one datum: what
// coordinates in millimetres can show.
const sameFrameMetres = 0.001

// datum is what is known of a datumID.
type datum struct {
	ellipsoid ellipsoid
	shift     *helmert // to its frame; nil: it is the frame, and taken as the hub
	frame     datumID  // the frame that shift leads to
	shiftAcc  float64  // metres, of shift against frame
	frameAcc  float64  // metres, of frame against WGS 84: EPSG:1149, 9936 state 1 m
}

func (id datumID) datum() datum {
	switch id {
	case datumETRS89:
		return datum{ellipsoid: grs80Ellipsoid(), frame: datumETRS89, frameAcc: 1}
	case datumCGCS2000:
		return datum{ellipsoid: grs80Ellipsoid(), frame: datumCGCS2000, frameAcc: 1}
	case datumJGD2011:
		return datum{ellipsoid: grs80Ellipsoid(), frame: datumJGD2011, frameAcc: 1}
	case datumAmersfoort:
		// EPSG:9281, Amersfoort to ETRS89 (8), coordinate frame rotation: its
		// angles are those of the axes, the negative of the position vector's.
		return datum{ellipsoid: besselEllipsoid(), frame: datumETRS89, shiftAcc: 0.25, frameAcc: 1, shift: newHelmert(
			565.7381, 50.4018, 465.2904,
			-1.91514*microrad, 1.60363*microrad, -9.09546*microrad, 4.07244)}
	case datumMGI:
		// EPSG:1619, MGI to ETRS89 (1), position vector rotation.
		return datum{ellipsoid: besselEllipsoid(), frame: datumETRS89, shiftAcc: 1.5, frameAcc: 1, shift: newHelmert(
			577.326, 90.129, 463.919,
			5.137*arcsecond, 1.474*arcsecond, 5.297*arcsecond, 2.4232)}
	default:
		return datum{ellipsoid: wgs84Ellipsoid(), frame: datumWGS84}
	}
}

// accuracyMetres is the accuracy of a conversion from one datum to another.
func accuracyMetres(from, to datumID) float64 {
	if from == to {
		return sameFrameMetres
	}
	f, t := from.datum(), to.datum()
	acc := sameFrameMetres + f.shiftAcc + t.shiftAcc
	if f.frame != t.frame {
		acc += f.frameAcc + t.frameAcc
	}
	return acc
}

// helmert is a seven-parameter shift X' = T + m·X of geocentric coordinates,
// with m the linearised rotation times scale of EPSG methods 9606 and 9607.
type helmert struct {
	t   [3]float64
	m   [9]float64 // by rows
	inv [9]float64 // inverse of m
}

// newHelmert takes translations in metres, rotations of the position vector in
// radians and the scale difference in parts per million.
func newHelmert(tx, ty, tz, rx, ry, rz, ppm float64) *helmert {
	s := 1 + ppm*1e-6
	h := &helmert{t: [3]float64{tx, ty, tz}, m: [9]float64{
		s, -s * rz, s * ry,
		s * rz, s, -s * rx,
		-s * ry, s * rx, s,
	}}
	m := &h.m
	det := m[0]*(m[4]*m[8]-m[5]*m[7]) - m[1]*(m[3]*m[8]-m[5]*m[6]) + m[2]*(m[3]*m[7]-m[4]*m[6])
	h.inv = [9]float64{
		(m[4]*m[8] - m[5]*m[7]) / det, (m[2]*m[7] - m[1]*m[8]) / det, (m[1]*m[5] - m[2]*m[4]) / det,
		(m[5]*m[6] - m[3]*m[8]) / det, (m[0]*m[8] - m[2]*m[6]) / det, (m[2]*m[3] - m[0]*m[5]) / det,
		(m[3]*m[7] - m[4]*m[6]) / det, (m[1]*m[6] - m[0]*m[7]) / det, (m[0]*m[4] - m[1]*m[3]) / det,
	}
	return h
}

func (h *helmert) forward(x, y, z float64) (float64, float64, float64) {
	m := &h.m
	return h.t[0] + m[0]*x + m[1]*y + m[2]*z, h.t[1] + m[3]*x + m[4]*y + m[5]*z, h.t[2] + m[6]*x + m[7]*y + m[8]*z
}

func (h *helmert) inverse(x, y, z float64) (float64, float64, float64) {
	m := &h.inv
	x, y, z = x-h.t[0], y-h.t[1], z-h.t[2]
	return m[0]*x + m[1]*y + m[2]*z, m[3]*x + m[4]*y + m[5]*z, m[6]*x + m[7]*y + m[8]*z
}

// toHub moves longitude and latitude (radians) of a point at height 0 of the
// datum to the hub.
func (d *datum) toHub(hub *ellipsoid, lon, lat float64) (float64, float64) {
	x, y, z := d.shift.forward(d.ellipsoid.geocentric(lon, lat, 0))
	lon, lat, _ = hub.geographic(x, y, z)
	return lon, lat
}

// fromHub inverts toHub: it looks for the hub's height at which the point lies
// at height 0 of the datum. Two passes reach less than a micrometre, since the
// ellipsoids' normals differ by less than 1e-4 radians and two steps square it.
func (d *datum) fromHub(hub *ellipsoid, lon, lat float64) (float64, float64) {
	var h float64
	for pass := 0; ; pass++ {
		x, y, z := d.shift.inverse(hub.geocentric(lon, lat, h))
		dLon, dLat, dh := d.ellipsoid.geographic(x, y, z)
		if pass == 1 {
			return dLon, dLat
		}
		h -= dh
	}
}
