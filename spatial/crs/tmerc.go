package crs

import "math"

// maxOffset bounds the easting from the central meridian, as a part of the
// rectifying radius, to 3 900 km: up to there the n⁶ series is right to 5 nm
// (Karney 2011, section 4), beyond it the error grows quickly.
const maxOffset = 3.9e6 / 6.36745e6

// transverseMercator is EPSG method 9807 by the Krüger series in the third
// flattening n to n⁶: C. F. F. Karney, "Transverse Mercator with an accuracy of
// a few nanometers", J. Geodesy 85 (2011), equations 35 and 36.
// It runs from the conformal latitude, by way of the unit sphere, to the plane.
type transverseMercator struct {
	conformal   conformal
	lon0        float64
	fe          float64
	fn          float64 // false northing less that of the origin's latitude
	radius      float64 // rectifying radius times scale factor, metres
	alpha, beta [6]float64
}

func newTransverseMercator(el ellipsoid, lon0, lat0, k0, fe, fn float64) *transverseMercator {
	n := el.f / (2 - el.f)
	n2 := n * n
	p := &transverseMercator{
		conformal: newConformal(&el), lon0: lon0, fe: fe, fn: fn,
		radius: k0 * el.a / (1 + n) * (1 + n2*(1./4+n2*(1./64+n2/256))),
		alpha: [6]float64{
			n * (1./2 + n*(-2./3+n*(5./16+n*(41./180+n*(-127./288+n*7891./37800))))),
			n2 * (13./48 + n*(-3./5+n*(557./1440+n*(281./630-n*1983433./1935360)))),
			n2 * n * (61./240 + n*(-103./140+n*(15061./26880+n*167603./181440))),
			n2 * n2 * (49561./161280 + n*(-179./168+n*6601661./7257600)),
			n2 * n2 * n * (34729./80640 - n*3418889./1995840),
			n2 * n2 * n2 * 212378941. / 319334400,
		},
		beta: [6]float64{
			n * (1./2 + n*(-2./3+n*(37./96+n*(-1./360+n*(-81./512+n*96199./604800))))),
			n2 * (1./48 + n*(1./15+n*(-437./1440+n*(46./105-n*1118711./3870720)))),
			n2 * n * (17./480 + n*(-37./840+n*(-209./4480+n*5569./90720))),
			n2 * n2 * (4397./161280 + n*(-11./504-n*830251./7257600)),
			n2 * n2 * n * (4583./161280 - n*108847./3991680),
			n2 * n2 * n2 * 20648693. / 638668800,
		},
	}
	if lat0 != 0 {
		_, n0, _ := p.forward(lon0, lat0)
		p.fn = fn - (n0 - fn)
	}
	return p
}

func (p *transverseMercator) forward(lon, lat float64) (float64, float64, Reason) {
	sinL, cosL := math.Sincos(wrap(lon - p.lon0))
	if cosL < 0 { // behind the pole
		return 0, 0, OutOfDomain
	}
	sinChi, cosChi := p.conformal.chi(lat)
	x, y := cosChi*cosL, cosChi*sinL // with sinChi a point of the unit sphere
	r := math.Sqrt(sinChi*sinChi + x*x)
	sinhEta := y / r
	eta := math.Asinh(sinhEta)
	if !(math.Abs(eta) <= maxOffset) {
		return 0, 0, OutOfDomain
	}
	// Twice the angles, from the angles' own functions.
	sinXi, cosXi := sinChi/r, x/r
	cosh2 := 1 + 2*sinhEta*sinhEta
	sinh2 := 2 * sinhEta * math.Sqrt(1+sinhEta*sinhEta)
	dXi, dEta := krueger(&p.alpha, 2*sinXi*cosXi, 1-2*sinXi*sinXi, sinh2, cosh2)
	return p.fe + p.radius*(eta+dEta), p.fn + p.radius*(math.Atan2(sinChi, x)+dXi), 0
}

func (p *transverseMercator) inverse(e, n float64) (float64, float64, Reason) {
	xi, eta := (n-p.fn)/p.radius, (e-p.fe)/p.radius
	if !(math.Abs(eta) <= maxOffset+2e-3) || !(math.Abs(xi) <= math.Pi/2+1e-15) {
		return 0, 0, OutOfDomain
	}
	sin2, cos2 := math.Sincos(2 * xi)
	ex := math.Exp(2 * eta)
	dXi, dEta := krueger(&p.beta, sin2, cos2, (ex-1/ex)/2, (ex+1/ex)/2)
	sinXi, cosXi := math.Sincos(xi - dXi)
	ex = math.Exp(eta - dEta)
	sinhEta, coshEta := (ex-1/ex)/2, (ex+1/ex)/2
	cosChi := math.Sqrt(sinhEta*sinhEta+cosXi*cosXi) / coshEta
	return wrap(p.lon0 + math.Atan2(sinhEta, cosXi)), p.conformal.phi(sinXi/coshEta, cosChi), 0
}

// krueger sums c[j−1]·sin(2jζ) for j = 1…6 and ζ = ξ + iη by Clenshaw's
// recurrence in complex numbers, given the functions of 2ξ and 2η.
func krueger(c *[6]float64, sin2xi, cos2xi, sinh2eta, cosh2eta float64) (re, im float64) {
	ar, ai := 2*cos2xi*cosh2eta, -2*sin2xi*sinh2eta // 2·cos 2ζ
	var r0, i0, r1, i1 float64
	for j := 5; j >= 0; j-- {
		r0, i0, r1, i1 = ar*r0-ai*i0-r1+c[j], ar*i0+ai*r0-i1, r0, i0
	}
	sr, si := sin2xi*cosh2eta, cos2xi*sinh2eta // sin 2ζ
	return sr*r0 - si*i0, sr*i0 + si*r0
}
