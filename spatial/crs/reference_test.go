package crs

import (
	"encoding/csv"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// rows reads a table of testdata that reference.py wrote, without its header.
func rows(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return table[1:]
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func known(t testing.TB, code int) *CRS {
	t.Helper()
	c, err := ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func between(t testing.TB, from, to Ordered) *Transform {
	t.Helper()
	tr, err := Between(from, to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// frames is the geographic CRS in which reference.csv gives the positions of
// a datum.
var frames = map[datumID]int{datumWGS84: 4326, datumETRS89: 4258, datumCGCS2000: 4490, datumJGD2011: 6668, datumAmersfoort: 4258, datumMGI: 4258}

// PROJ computed reference.csv; see testdata/reference.py. Both directions, the
// defined and the traditional order.
func TestAgainstPROJ(t *testing.T) {
	seen := map[int]bool{}
	var worst float64
	for _, row := range rows(t, "reference.csv") {
		code, _ := strconv.Atoi(row[0])
		seen[code] = true
		a, b, lon, lat := number(t, row[1]), number(t, row[2]), number(t, row[3]), number(t, row[4])
		c := known(t, code)
		frame := known(t, frames[c.datum])

		gotLat, gotLon, err := between(t, c.Defined(), frame.Defined()).XY(a, b)
		if err != nil {
			t.Fatalf("EPSG:%d: %v", code, err)
		}
		// Differences of longitude count by the circle of latitude.
		off := math.Hypot((gotLon-lon)*math.Cos(lat*degree), gotLat-lat) * degree * 6371e3
		worst = max(worst, off)
		if off > 1e-6 {
			t.Errorf("EPSG:%d (%s, %s): lon %.13f lat %.13f, PROJ has %s %s: %g m off", code, row[1], row[2], gotLon, gotLat, row[3], row[4], off)
		}

		tolerance := 2e-6 // metres; the table's degrees have 1e-13
		if c.Geographic() {
			tolerance = 2e-11
		}
		gotA, gotB, err := between(t, frame.Traditional(), c.Defined()).XY(lon, lat)
		if err != nil || math.Abs(gotA-a) > tolerance || math.Abs(gotB-b) > tolerance {
			t.Errorf("EPSG:%d of lon %s lat %s: %.6f, %.6f (%v), PROJ has %s, %s", code, row[3], row[4], gotA, gotB, err, row[1], row[2])
		}

		e, n := a, b
		if c.NorthFirst() {
			e, n = b, a
		}
		gotE, gotN, err := between(t, frame.Defined(), c.Traditional()).XY(lat, lon)
		if err != nil || math.Abs(gotE-e) > tolerance || math.Abs(gotN-n) > tolerance {
			t.Errorf("EPSG:%d east first: %.6f, %.6f (%v), want %g, %g", code, gotE, gotN, err, e, n)
		}
	}
	t.Logf("largest distance from PROJ: %.2g m", worst)
	for _, code := range Codes() {
		if c := known(t, code); c.Dimensions() == 2 && !seen[code] && (code < 32601 || code > 32760) {
			t.Errorf("EPSG:%d is not in the table", code)
		}
	}
}

// Names, axes and areas of every code are EPSG's.
func TestRegistryAgainstEPSG(t *testing.T) {
	var codes []int
	for _, row := range rows(t, "registry.csv") {
		code, _ := strconv.Atoi(row[0])
		codes = append(codes, code)
		c := known(t, code)
		if c.String() != "EPSG:"+row[0] || c.Name() != row[1] {
			t.Errorf("%s %q, EPSG:%s is %q", c, c.Name(), row[0], row[1])
		}
		var axes []string
		for _, a := range c.Axes() {
			unit := map[string]string{"deg": "degree", "m": "metre"}[a.Unit]
			axes = append(axes, a.Abbreviation+":"+a.Direction+":"+unit)
		}
		if got := strings.Join(axes, " "); got != row[2] {
			t.Errorf("EPSG:%d has axes %s, got %s", code, row[2], got)
		}
		want := Area{number(t, row[3]), number(t, row[4]), number(t, row[5]), number(t, row[6])}
		got := c.Area()
		switch {
		case code >= 4491 && code <= 4554 || code >= 25828 && code <= 25837:
			// EPSG cuts these to the zone's land: ours must hold theirs, which
			// reaches over the zone's edge by a hundredth of a degree here and there.
			if want.West < got.West-0.02 || want.East > got.East+0.02 || want.South < got.South-0.02 || want.North > got.North+0.02 {
				t.Errorf("EPSG:%d has the area %v, which ours %v does not hold", code, want, got)
			}
		case math.Abs(got.West-want.West)+math.Abs(got.East-want.East)+math.Abs(got.South-want.South)+math.Abs(got.North-want.North) > 0.03:
			t.Errorf("EPSG:%d has the area %v, got %v", code, want, got)
		}
	}
	if !slices.Equal(codes, Codes()) {
		t.Errorf("Codes() = %v, the table has %v", Codes(), codes)
	}
}

func TestUnknownCodes(t *testing.T) {
	for _, code := range []int{-1, 0, 1, 4325, 4478, 4555, 25827, 32600, 32661, 32761, 900913, 1 << 40} {
		if c, err := ByCode(code); err == nil {
			t.Errorf("ByCode(%d) = %s", code, c)
		} else if _, ok := err.(*UnknownError); !ok {
			t.Errorf("ByCode(%d): %T", code, err)
		}
	}
	if _, err := ByCode(900913); !strings.Contains(err.Error(), "EPSG:3857") {
		t.Errorf("no hint: %v", err)
	}
}

// The series agree with the closed form of the conformal latitude (Karney 2011,
// equations 7 to 9) and invert each other, from pole to pole, but for rounding.
func TestConformalLatitude(t *testing.T) {
	for _, el := range []ellipsoid{wgs84Ellipsoid(), besselEllipsoid()} {
		c, e := newConformal(&el), math.Sqrt(el.e2)
		for i := -900; i <= 900; i++ {
			lat := float64(i) / 10 * degree
			sin, cos := c.chi(lat)
			tau := math.Tan(lat)
			sigma := math.Sinh(e * math.Atanh(e*math.Sin(lat)))
			want := math.Atan(tau*math.Sqrt(1+sigma*sigma) - sigma*math.Sqrt(1+tau*tau))
			if got := math.Atan2(sin, cos); math.Abs(got-want) > 7e-16 {
				t.Errorf("%v°: %v, want %v", float64(i)/10, got, want)
			}
			if back := c.phi(sin, cos); math.Abs(back-lat) > 7e-16 {
				t.Errorf("%v° came back %g radians off", float64(i)/10, back-lat)
			}
		}
	}
}

// Positions computed by PROJ 9.5.1: cs2cs-like Transformer.from_crs(4979, 4978).
func TestGeocentric(t *testing.T) {
	for _, v := range []struct{ lon, lat, h, x, y, z float64 }{
		{120.6154, 31.32454, 12.5, -2777258.958045, 4693208.975222, 3296690.371394},
		{4.4557, 51.9061, 0, 3931270.763391, 306339.494197, 4996364.219672},
		{-70, -45, 8000, 1547041.837972, -4250462.516779, -4493005.263115},
		{0, 90, 100, 0, 0, 6356852.314245},
		{141.4, 42.9, -400, -3656913.757790, 2919275.899901, 4319098.126159},
		{16.35, 48.2, 2e6, 5366080.609225, 1574236.293623, 6222679.884986},
	} {
		x, y, z := Geocentric(v.lon, v.lat, v.h)
		if math.Abs(x-v.x) > 1e-6 || math.Abs(y-v.y) > 1e-6 || math.Abs(z-v.z) > 1e-6 {
			t.Errorf("Geocentric(%v, %v, %v) = %.6f, %.6f, %.6f, want %v", v.lon, v.lat, v.h, x, y, z, v)
		}
		lon, lat, h := FromGeocentric(x, y, z)
		if math.Abs(lon-v.lon) > 1e-12 && v.lat < 90 || math.Abs(lat-v.lat) > 1e-12 || math.Abs(h-v.h) > 1e-8 {
			t.Errorf("FromGeocentric(%v, %v, %v) = %.14f, %.14f, %.9f, want %v", x, y, z, lon, lat, h, v)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		lon, lat := rapid.Float64Range(-180, 180).Draw(r, "lon"), rapid.Float64Range(-90, 90).Draw(r, "lat")
		h := rapid.Float64Range(-5e6, 1e8).Draw(r, "h")
		lon2, lat2, h2 := FromGeocentric(Geocentric(lon, lat, h))
		if d := metresApart(lon, lat, lon2, lat2); math.Abs(lon-lon2) < 359 && d > 1e-7 || math.Abs(h-h2) > 1e-6 {
			r.Fatalf("came back as %v, %v, %v: %g m", lon2, lat2, h2, d)
		}
	})
	if lon, lat, h := FromGeocentric(0, 0, 0); lon != 0 || lat != 0 || h != -6378137 {
		t.Errorf("the centre of the earth is at %v, %v, %v", lon, lat, h)
	}
}
