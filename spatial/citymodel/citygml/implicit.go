package citygml

import (
	"math"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// implicit takes an ImplicitGeometry (CityGML 2.0 section 8.3; 3.0 section
// 7.3.4): a prototype in coordinates of its own, a matrix of 4 by 4 numbers in
// the order of rows, and a reference point. A prototype that is elsewhere, in
// a library or another member, leaves the reference point alone, as it leaves
// where the CRS is in degrees, in which a matrix for metres has no meaning.
func (d *decoder) implicit(s *shaper, i int32) (reason string, err error) {
	t := s.t
	ref := shaper{d: d, t: t, sys: s.sys}
	p := t.child(i, "referencePoint")
	if p == 0 {
		return "", s.fault(i, citymodel.Missing, "an ImplicitGeometry without referencePoint")
	}
	to, ok := ref.follow(p)
	if ok {
		err = ref.dots(to, 0)
	}
	if err == nil && len(ref.g.XYZ) != 3 {
		err = s.fault(p, citymodel.Missing, "a referencePoint of %d points, expected one", len(ref.g.XYZ)/3)
	}
	if err != nil {
		return "", err
	}
	s.two = ref.two
	place := func(reason string) (string, error) {
		s.g = spatial.Geometry{Kind: spatial.MultiPoint, XYZ: ref.g.XYZ, HasZ: !s.two}
		s.patches, s.missing, s.open = nil, 0, 0
		return reason, nil
	}
	matrix := [16]float64{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}
	if m := t.child(i, "transformationMatrix"); m != 0 {
		n := &t.nodes[m]
		if n.bad || n.to-n.from != 16 {
			return "", s.fault(m, citymodel.WrongType, "a transformationMatrix of %d numbers, expected 16", n.to-n.from)
		}
		copy(matrix[:], t.numbers[n.from:n.to])
	}
	relative := t.child(i, "relativeGMLGeometry")
	if relative == 0 {
		relative = t.child(i, "relativeGeometry")
	}
	if relative == 0 {
		return place("its shape is in a library and is not read")
	}
	target, ok := s.follow(relative)
	if !ok {
		return place("its shape is in another member of the city model and is not read")
	}
	if target == relative {
		target = t.nodes[relative].first
	}
	if target == 0 || !t.nodes[target].name.isGeometry() {
		return place("its relative geometry is empty")
	}
	if s.sys.crs.Degrees() {
		return place("its shape is in metres and the CRS in degrees")
	}
	swap := s.sys.swap
	s.sys.swap = false // the prototype has axes of its own
	err = s.shape(target)
	s.sys.swap = swap
	if err != nil {
		return "", err
	}
	at := [3]float64(ref.g.XYZ)
	if swap {
		at[0], at[1] = at[1], at[0]
	}
	for p := 0; p < len(s.g.XYZ); p += 3 {
		v := [4]float64{s.g.XYZ[p], s.g.XYZ[p+1], s.g.XYZ[p+2], 1}
		var out [4]float64
		for row := range 4 {
			for k := range 4 {
				out[row] += matrix[4*row+k] * v[k]
			}
		}
		for k := range 3 {
			out[k] = out[k]/out[3] + at[k]
			if math.IsNaN(out[k]) || math.IsInf(out[k], 0) {
				return "", s.fault(i, citymodel.OutOfRange, "the transformationMatrix gives no finite coordinates")
			}
		}
		if swap {
			out[0], out[1] = out[1], out[0]
		}
		copy(s.g.XYZ[p:], out[:3])
	}
	return "", nil
}
