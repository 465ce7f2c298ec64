package crs

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func parsed(t *testing.T, s string) *CRS {
	t.Helper()
	c, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A height is converted only in the way the caller asked for.
func TestHeights(t *testing.T) {
	const in = 10.0
	for _, v := range []struct {
		from, to string
		o        Options
		vertical VerticalDatum
		out      float64 // NaN: refused
	}{
		{"EPSG:7415", "EPSG:4979", Options{}, "", math.NaN()},
		{"EPSG:6697", "OGC:CRS84h", Options{}, "", math.NaN()},
		{"EPSG:6697", "EPSG:6667", Options{}, "", math.NaN()},
		{"EPSG:28992", "EPSG:7415", Options{}, "", math.NaN()}, // heights of no datum do not become NAP
		{"EPSG:4326", "EPSG:4979", Options{}, "", math.NaN()},
		{"EPSG:4490+5737", "EPSG:4490+5736", Options{}, "", math.NaN()},
		{"EPSG:31256+8881", "EPSG:4312+5778", Options{}, "", math.NaN()},

		{"EPSG:7415", "EPSG:7415", Options{}, NAP, in},
		{"EPSG:7415", "EPSG:25831+5709", Options{}, NAP, in},
		{"EPSG:4979", "EPSG:4937", Options{}, Ellipsoidal, in},
		{"EPSG:4979", "OGC:CRS84h", Options{}, Ellipsoidal, in},
		{"EPSG:4549+5737", "EPSG:4490+5737", Options{}, YellowSea1985, in},
		{"EPSG:4549", "EPSG:4326", Options{}, NoVertical, in},
		// The target says nothing about heights, so they are what they were.
		{"EPSG:7415", "EPSG:4326", Options{}, NAP, in},
		{"EPSG:6697", "OGC:CRS84", Options{}, JGD2011Height, in},

		{"EPSG:7415", "EPSG:4979", Options{Heights: HeightsCarried}, NAP, in},
		{"EPSG:28992", "EPSG:7415", Options{Heights: HeightsCarried}, NoVertical, in},
		{"EPSG:7415", "EPSG:7415", Options{Heights: HeightsCarried}, NAP, in},

		{"EPSG:7415", "EPSG:4979", Options{Heights: HeightsShifted, HeightShiftMetres: 43.5}, Ellipsoidal, in + 43.5},
		{"EPSG:31256+8881", "EPSG:31256+5778", Options{Heights: HeightsShifted, HeightShiftMetres: 156.68}, GHA, in + 156.68},
		{"EPSG:4490", "EPSG:4490+5737", Options{Heights: HeightsShifted}, YellowSea1985, in},
	} {
		from, to := parsed(t, v.from), parsed(t, v.to)
		tr, err := Between(from.Traditional(), to.Traditional(), v.o)
		if math.IsNaN(v.out) {
			var ve *VerticalError
			if !errors.As(err, &ve) || ve.From != from.Vertical() || ve.To != to.Vertical() {
				t.Errorf("%s to %s %+v: %v, want a VerticalError", v.from, v.to, v.o, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s to %s %+v: %v", v.from, v.to, v.o, err)
			continue
		}
		x, y, err := between(t, WGS84().Traditional(), from.Horizontal().Traditional()).XY((from.Area().West+from.Area().East)/2, (from.Area().South+from.Area().North)/2)
		if err != nil {
			t.Fatal(err)
		}
		_, _, z, err := tr.XYZ(x, y, in)
		flat := []float64{x, y, in}
		if flatErr := tr.Flat(flat, flat, 3); err != nil || flatErr != nil || z != v.out || flat[2] != v.out || tr.Vertical() != v.vertical {
			t.Errorf("%s to %s %+v: %v and %v above %q (%v, %v), want %v above %q", v.from, v.to, v.o, z, flat[2], tr.Vertical(), err, flatErr, v.out, v.vertical)
		}
	}
}

func TestHeightOptionsThatMakeNoSense(t *testing.T) {
	rd, rdNAP, wgs3 := known(t, 28992), known(t, 7415), known(t, 4979)
	for _, v := range []struct {
		name     string
		from, to *CRS
		o        Options
	}{
		{"a shift without the rule", rdNAP, wgs3, Options{HeightShiftMetres: 43}},
		{"a shift with carried heights", rdNAP, wgs3, Options{Heights: HeightsCarried, HeightShiftMetres: 43}},
		{"a shift within one datum", rdNAP, rdNAP, Options{Heights: HeightsShifted, HeightShiftMetres: 1}},
		{"a shift to no datum", rdNAP, rd, Options{Heights: HeightsShifted, HeightShiftMetres: 1}},
		{"not a number", rdNAP, wgs3, Options{Heights: HeightsShifted, HeightShiftMetres: math.NaN()}},
		{"infinite", rdNAP, wgs3, Options{Heights: HeightsShifted, HeightShiftMetres: math.Inf(-1)}},
		{"no such rule", rdNAP, wgs3, Options{Heights: 9}},
	} {
		_, err := Between(v.from.Defined(), v.to.Defined(), v.o)
		if !errors.As(err, new(*OptionError)) {
			t.Errorf("%s: %v", v.name, err)
		}
	}
	tr := between(t, rdNAP.Defined(), rd.Defined())
	if _, _, _, err := tr.XYZ(155000, 463000, math.Inf(1)); !errors.As(err, new(*CoordinateError)) {
		t.Errorf("an infinite height: %v", err)
	}
}

func TestWithVertical(t *testing.T) {
	for _, v := range []struct {
		crs      string
		vertical VerticalDatum
		want     string // empty: refused
	}{
		{"EPSG:28992", NAP, "EPSG:7415"},
		{"EPSG:7415", NoVertical, "EPSG:28992"},
		{"EPSG:7415", EVRF2007, "EPSG:28992+5621"},
		{"EPSG:4326", Ellipsoidal, "EPSG:4979"},
		{"EPSG:4490", Ellipsoidal, "EPSG:4480"},
		{"EPSG:6697", Ellipsoidal, "EPSG:6667"},
		{"EPSG:4480", YellowSea1985, "EPSG:4490+5737"},
		{"EPSG:4490+5737", NoVertical, "EPSG:4490"},
		{"OGC:CRS84", Ellipsoidal, "OGC:CRS84h"},
		{"OGC:CRS84h", NoVertical, "OGC:CRS84"},
		{"OGC:CRS84", NAP, ""},
		{"EPSG:4549", Ellipsoidal, ""}, // EPSG has no projected CRS with ellipsoidal heights
		{"EPSG:4312", Ellipsoidal, ""}, // heights above Bessel's ellipsoid are not those above WGS 84's
		{"EPSG:4549", Wusong, ""},
		{"EPSG:4549", "EPSG:1", ""},
	} {
		c, err := parsed(t, v.crs).WithVertical(v.vertical)
		switch {
		case v.want == "":
			if !errors.As(err, new(*VerticalError)) || c != nil {
				t.Errorf("%s with %q: %v, %v", v.crs, v.vertical, c, err)
			}
		case err != nil || c.String() != v.want || c.Vertical() != v.vertical:
			t.Errorf("%s with %q: %v above %q (%v), want %s", v.crs, v.vertical, c, c.Vertical(), err, v.want)
		}
	}
	if c := parsed(t, "EPSG:31256+8881"); c.Name() != "MGI / Austria GK East + Vienna height" || c.Axes()[2] != (Axis{"H", "up", "m"}) {
		t.Errorf("%q %v", c.Name(), c.Axes())
	}
}

func TestVerticalDatumsAreNamed(t *testing.T) {
	for _, v := range VerticalDatums() {
		if !v.Known() || v.Name() == string(v) || !strings.Contains(v.Name(), "height") {
			t.Errorf("%q is named %q", v, v.Name())
		}
	}
	if NoVertical.Known() || NoVertical.Name() != "no vertical datum" || VerticalDatum("EPSG:1").Known() {
		t.Error("what is no datum is known")
	}
}
