package crs

import "math"

// HeightRule says what a Transform does with heights when the two CRSs do not
// name the same vertical datum. Where they do, or where the target has no
// height axis, heights are copied under every rule; Transform.Vertical says
// what they are measured from.
type HeightRule uint8

const (
	// HeightsMatch, the zero value, makes no Transform between different
	// vertical datums: Between returns a *VerticalError.
	HeightsMatch HeightRule = iota
	// HeightsCarried copies heights. They stay in the datum of the source,
	// whatever the target's definition says, and Transform.Vertical says so.
	HeightsCarried
	// HeightsShifted adds Options.HeightShiftMetres, which the caller knows to
	// be the separation of the two datums at this place, e.g. the geoid's
	// height above the ellipsoid. The result is in the target's datum.
	HeightsShifted
)

// Options of a Transform. The zero value refuses to convert heights between
// vertical datums and accepts coordinates outside the area of use.
type Options struct {
	Heights           HeightRule
	HeightShiftMetres float64 // with HeightsShifted only; 0: the datums coincide here
	// InArea refuses coordinates that lie more than half a degree outside the
	// area of use of the source CRS. It finds most axes in the wrong order and
	// most wrong codes.
	InArea bool
}

// areaMarginDeg is how far outside the area of use InArea lets a place lie.
const areaMarginDeg = 0.5

// Transform converts coordinates from one CRS to another. It is made by
// Between, does not change and may be used by several goroutines.
type Transform struct {
	from, to           Ordered
	swapIn, swapOut    bool // northing or latitude stands first
	project, unproject projection
	shiftIn, shiftOut  *datum    // nil: the datum is taken as the hub
	hub                ellipsoid // of ETRS89, to which every shift leads
	same               bool      // longitude and latitude, or easting and northing, stay as they are
	area               *Area
	vertical           VerticalDatum
	heightShift        float64
}

// Between makes the Transform from one CRS to another. The error is an
// *OptionError or, where heights would need a conversion that Options does not
// allow, a *VerticalError.
func Between(from, to Ordered, o Options) (*Transform, error) {
	if err := from.check("from"); err != nil {
		return nil, err
	}
	if err := to.check("to"); err != nil {
		return nil, err
	}
	vertical, err := o.heights(from.CRS.vertical, to.CRS.vertical)
	if err != nil {
		return nil, err
	}
	f, t := from.CRS.datum.datum(), to.CRS.datum.datum()
	tr := &Transform{
		from: from, to: to, swapIn: from.northFirst(), swapOut: to.northFirst(),
		unproject: from.CRS.proj, project: to.CRS.proj,
		hub: grs80Ellipsoid(), vertical: vertical, heightShift: o.HeightShiftMetres,
	}
	sameDatum := from.CRS.datum == to.CRS.datum
	tr.same = from.CRS.Horizontal().Equal(to.CRS.Horizontal()) ||
		from.CRS.Geographic() && to.CRS.Geographic() && (sameDatum || f.shift == nil && t.shift == nil)
	if !sameDatum {
		if f.shift != nil {
			tr.shiftIn = &f
		}
		if t.shift != nil {
			tr.shiftOut = &t
		}
	}
	if o.InArea {
		area := from.CRS.area
		tr.area = &area
	}
	return tr, nil
}

// check refuses what is no CRS in some order.
func (o Ordered) check(field string) error {
	if o.CRS == nil {
		return &OptionError{Field: field + ".CRS", Expected: "a CRS"}
	}
	if o.Order != OrderDefined && o.Order != OrderTraditional {
		return &OptionError{Field: field + ".Order", Expected: "OrderDefined or OrderTraditional"}
	}
	return nil
}

// heights gives the datum in which heights come out.
func (o Options) heights(from, to VerticalDatum) (VerticalDatum, error) {
	if o.Heights > HeightsShifted {
		return "", &OptionError{Field: "Options.Heights", Expected: "HeightsMatch, HeightsCarried or HeightsShifted"}
	}
	if o.Heights != HeightsShifted && o.HeightShiftMetres != 0 {
		return "", &OptionError{Field: "Options.HeightShiftMetres", Expected: "0 unless Options.Heights is HeightsShifted"}
	}
	if math.IsNaN(o.HeightShiftMetres) || math.IsInf(o.HeightShiftMetres, 0) {
		return "", &OptionError{Field: "Options.HeightShiftMetres", Expected: "a finite number of metres"}
	}
	switch {
	case o.Heights == HeightsShifted:
		if to == NoVertical || from == to {
			return "", &OptionError{Field: "Options.Heights", Expected: "HeightsShifted only towards a CRS with another vertical datum"}
		}
		return to, nil
	case from == to, to == NoVertical, o.Heights == HeightsCarried:
		return from, nil
	case from == NoVertical:
		return "", &VerticalError{From: from, To: to, Reason: "the source does not say what its heights are measured from; name it with CRS.WithVertical, or leave heights out with CRS.Horizontal"}
	}
	return "", &VerticalError{From: from, To: to, Reason: "there is no conversion without a geoid model; carry the heights as they are or give the separation (Options.Heights)"}
}

// From is the source as it was given to Between.
func (t *Transform) From() Ordered { return t.from }

// To is the target as it was given to Between.
func (t *Transform) To() Ordered { return t.to }

// Vertical is the datum of the heights that come out: NoVertical when nothing
// is known of them.
func (t *Transform) Vertical() VerticalDatum { return t.vertical }

// AccuracyMetres is how far, horizontally, the result may be from the truth:
// the sum of the datum shifts' published accuracies (see the package comment).
// It is no statement on the accuracy of the data themselves.
func (t *Transform) AccuracyMetres() float64 {
	return accuracyMetres(t.from.CRS.datum, t.to.CRS.datum)
}

// XY converts one coordinate. The error is a *CoordinateError.
func (t *Transform) XY(x, y float64) (float64, float64, error) {
	x1, y1, reason := t.xy(x, y)
	if reason != 0 {
		return 0, 0, t.fault(0, x, y, 0, reason)
	}
	return x1, y1, nil
}

// XYZ converts one coordinate with its height in metres. The error is a
// *CoordinateError.
func (t *Transform) XYZ(x, y, z float64) (float64, float64, float64, error) {
	x1, y1, reason := t.xy(x, y)
	z1 := z + t.heightShift
	if reason == 0 && !finite(z1) {
		reason = NotFinite
	}
	if reason != 0 {
		return 0, 0, 0, t.fault(0, x, y, z, reason)
	}
	return x1, y1, z1, nil
}

// Flat converts coordinates that stand one after another in src, stride
// numbers each, into dst, which has the same length and may be src itself. The
// first two numbers are the horizontal position; the third, where stride is 3
// or more, is the height in metres; the others are copied. (For X, Y, M without
// a height, use HeightsMatch or HeightsCarried: M is then copied as well.)
//
// It allocates nothing unless it fails. It stops at the first coordinate that
// cannot be converted: those before it are in dst, the others of dst are as
// they were, and the *CoordinateError has the index. Lengths and strides that
// do not fit are an *OptionError.
func (t *Transform) Flat(dst, src []float64, stride int) error {
	if stride < 2 {
		return &OptionError{Field: "stride", Expected: "2 or more"}
	}
	if len(dst) != len(src) || len(src)%stride != 0 {
		return &OptionError{Field: "dst, src", Expected: "equal lengths, a multiple of stride"}
	}
	for i := 0; i < len(src); i += stride {
		in, out := src[i:i+stride:i+stride], dst[i:i+stride:i+stride]
		x, y, reason := t.xy(in[0], in[1])
		var z float64
		if stride > 2 {
			z = in[2] + t.heightShift
			if reason == 0 && !finite(z) {
				reason = NotFinite
			}
		}
		if reason != 0 {
			if stride > 2 {
				z = in[2]
			}
			return t.fault(i/stride, in[0], in[1], z, reason)
		}
		copy(out, in)
		out[0], out[1] = x, y
		if stride > 2 {
			out[2] = z
		}
	}
	return nil
}

// Pairs converts points such as orb.Point from src into dst, which has the
// same length and may be src itself. It fails as Flat does.
func Pairs[P ~[2]float64](t *Transform, dst, src []P) error {
	if len(dst) != len(src) {
		return &OptionError{Field: "dst, src", Expected: "equal lengths"}
	}
	for i, p := range src {
		x, y, reason := t.xy(p[0], p[1])
		if reason != 0 {
			return t.fault(i, p[0], p[1], 0, reason)
		}
		dst[i] = P{x, y}
	}
	return nil
}

func (t *Transform) fault(i int, x, y, z float64, r Reason) error {
	return &CoordinateError{Index: i, Values: [3]float64{x, y, z}, Reason: r, From: t.from.String(), To: t.to.String()}
}

// String is the CRS and the order of its axes, e.g. "EPSG:4326 (Lat, Lon)".
func (o Ordered) String() string {
	a, b := o.CRS.axes[0], o.CRS.axes[1]
	if o.CRS.northing && o.Order == OrderTraditional {
		a, b = b, a
	}
	return o.CRS.String() + " (" + a + ", " + b + ")"
}

func finite(v float64) bool { return v-v == 0 }

// checkDegrees gives the reason for which degrees are no position, or 0.
func checkDegrees(lon, lat float64) Reason {
	switch {
	case !finite(lon) || !finite(lat):
		return NotFinite
	case lat < -90 || lat > 90:
		return BadLatitude
	case lon < -360 || lon > 360:
		return BadLongitude
	}
	return 0
}

// xy converts one coordinate; the reason is 0 where that went well.
func (t *Transform) xy(x, y float64) (float64, float64, Reason) {
	if t.swapIn {
		x, y = y, x
	}
	if t.unproject != nil {
		if !finite(x) || !finite(y) {
			return 0, 0, NotFinite
		}
	} else if reason := checkDegrees(x, y); reason != 0 {
		return 0, 0, reason
	}
	if !t.same || t.area != nil {
		e, n, reason := t.convert(x, y)
		if reason != 0 {
			return 0, 0, reason
		}
		if !t.same {
			x, y = e, n
		}
	}
	if t.swapOut {
		x, y = y, x
	}
	return x, y, 0
}

// convert takes east and north, metres or degrees, through the hub.
func (t *Transform) convert(x, y float64) (float64, float64, Reason) {
	var lon, lat float64
	var reason Reason
	if t.unproject == nil {
		lon, lat = x*degree, y*degree
	} else if lon, lat, reason = t.unproject.inverse(x, y); reason != 0 {
		return 0, 0, reason
	}
	if t.area != nil && !t.area.Contains(wrap(lon)/degree, lat/degree, areaMarginDeg) {
		return 0, 0, OutOfArea
	}
	if t.same {
		return x, y, 0
	}
	if t.shiftIn != nil {
		lon, lat = t.shiftIn.toHub(&t.hub, lon, lat)
	}
	if t.shiftOut != nil {
		lon, lat = t.shiftOut.fromHub(&t.hub, lon, lat)
	}
	if t.project != nil {
		return t.project.forward(lon, lat)
	}
	return wrap(lon) / degree, lat / degree, 0
}
