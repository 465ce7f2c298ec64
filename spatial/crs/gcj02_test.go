package crs

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"cityhub/internal/testkit"
)

// metresApart is the distance of two places in degrees that lie close together.
func metresApart(lon1, lat1, lon2, lat2 float64) float64 {
	return math.Hypot((lon1-lon2)*math.Cos(lat1*degree), lat1-lat2) * degree * 6371e3
}

// The shift at the pagoda is 464 m: +0.004176° of longitude, −0.002172° of
// latitude.
func TestGCJ02Landmark(t *testing.T) {
	g := ToGCJ02(pagodaLon, pagodaLat)
	if math.Abs(g.LonDeg-pagodaLon-0.004176) > 1e-6 || math.Abs(g.LatDeg-pagodaLat+0.002172) > 1e-6 {
		t.Errorf("shift %.6f, %.6f", g.LonDeg-pagodaLon, g.LatDeg-pagodaLat)
	}
	if d := metresApart(g.LonDeg, g.LatDeg, pagodaLon, pagodaLat); math.Abs(d-464) > 1 {
		t.Errorf("%.1f m, want 464 m", d)
	}
	if lon, lat := g.WGS84(); metresApart(lon, lat, pagodaLon, pagodaLat) > 1e-5 {
		t.Errorf("came back as %v, %v", lon, lat)
	}
}

// Computed with the Python package eviltransform 0.1.1: wgs2gcj(lat, lon) and
// gcj2wgs_exact(lat, lon), whose iteration stops at 1e-6 degrees. It takes
// WGS 84's semi-major axis for the Krassovsky ellipsoid's, a difference of 1 cm.
func TestGCJ02AgainstEviltransform(t *testing.T) {
	for _, v := range []struct {
		name                           string
		lon, lat                       float64
		gcjLon, gcjLat, wgsLon, wgsLat float64
	}{
		{"北寺塔", 120.6154, 31.32454, 120.619575813, 31.322368327, 120.611226416, 31.326714072},
		{"天安门", 116.3975, 39.9087, 116.403743678, 39.910103523, 116.391259155, 39.907299243},
		{"广州", 113.2644, 23.1291, 113.269729682, 23.126423295, 113.259073462, 23.131777612},
		{"乌鲁木齐", 87.6168, 43.8256, 87.619649998, 43.826805414, 87.613952100, 43.824395166},
		{"漠河", 122.5, 53.4, 122.507290337, 53.401872044, 122.492675171, 53.398107300},
		{"三沙", 112.34, 16.83, 112.344914566, 16.828370785, 112.335095215, 16.831638184},
		{"拉萨", 91.12, 29.65, 91.121557883, 29.647290465, 91.118439941, 29.652707520},
		{"just west of 105°", 104.9999, 30, 105.002905150, 29.997324044, 104.996908057, 30.002684326},
	} {
		if g := ToGCJ02(v.lon, v.lat); math.Abs(g.LonDeg-v.gcjLon) > 2e-7 || math.Abs(g.LatDeg-v.gcjLat) > 2e-7 {
			t.Errorf("%s: %.9f, %.9f, want %.9f, %.9f", v.name, g.LonDeg, g.LatDeg, v.gcjLon, v.gcjLat)
		}
		if lon, lat := (GCJ02{v.lon, v.lat}).WGS84(); math.Abs(lon-v.wgsLon) > 1e-6 || math.Abs(lat-v.wgsLat) > 1e-6 {
			t.Errorf("%s inverse: %.9f, %.9f, want %.9f, %.9f", v.name, lon, lat, v.wgsLon, v.wgsLat)
		}
	}
}

// Anywhere in China: there and back, both ways.
func TestGCJ02RoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lon := rapid.Float64Range(73.5, 135).Draw(r, "lon")
		lat := rapid.Float64Range(3.9, 53.5).Draw(r, "lat")
		lon2, lat2 := ToGCJ02(lon, lat).WGS84()
		if d := metresApart(lon, lat, lon2, lat2); d > 1e-5 {
			r.Fatalf("%v, %v came back %g m away", lon, lat, d)
		}
		lon3, lat3 := GCJ02{lon, lat}.WGS84()
		g := ToGCJ02(lon3, lat3)
		if d := metresApart(lon, lat, g.LonDeg, g.LatDeg); d > 1e-5 {
			r.Fatalf("inverse first: %g m away", d)
		}
		if d := metresApart(lon, lat, lon3, lat3); d < 20 || d > 1500 {
			r.Fatalf("the distortion at %v, %v is %g m", lon, lat, d)
		}
	})
}

func TestGCJ02OutsideItsArea(t *testing.T) {
	for _, p := range [][2]float64{{4.45, 51.9}, {16.35, 48.2}, {141.4, 42.9}, {-74, 40.7}, {0, 0}, {120, 56}, {120, -31}} {
		if g := ToGCJ02(p[0], p[1]); g != (GCJ02{p[0], p[1]}) || InGCJ02Area(p[0], p[1]) {
			t.Errorf("%v is distorted to %v", p, g)
		}
		if lon, lat := (GCJ02{p[0], p[1]}).WGS84(); lon != p[0] || lat != p[1] {
			t.Errorf("%v is moved to %v, %v", p, lon, lat)
		}
	}
	if g := ToGCJ02(math.NaN(), 31); !math.IsNaN(g.LonDeg) || g.LatDeg != 31 {
		t.Errorf("NaN became %v", g)
	}
}

func TestGCJ02ToWGS84Batch(t *testing.T) {
	g := ToGCJ02(pagodaLon, pagodaLat)
	src := []float64{g.LonDeg, g.LatDeg, 76, g.LonDeg, g.LatDeg, 3}
	kept := slices.Clone(src)
	dst := make([]float64, 6)
	if err := GCJ02ToWGS84(dst, src, 3); err != nil || !slices.Equal(src, kept) || dst[2] != 76 || dst[5] != 3 || metresApart(dst[3], dst[4], pagodaLon, pagodaLat) > 1e-5 {
		t.Errorf("%v (%v)", dst, err)
	}
	var ce *CoordinateError
	for _, bad := range [][2]float64{{math.NaN(), 31}, {120, math.Inf(1)}, {31.3, 120.6}, {400, 31}} {
		if err := GCJ02ToWGS84(dst[:4], []float64{120.6, 31.3, bad[0], bad[1]}, 2); !errors.As(err, &ce) || ce.Index != 1 {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, v := range [][3]int{{2, 2, 1}, {2, 4, 2}, {3, 3, 2}} {
		if err := GCJ02ToWGS84(make([]float64, v[0]), make([]float64, v[1]), v[2]); !errors.As(err, new(*OptionError)) {
			t.Errorf("%v: %v", v, err)
		}
	}
}

// gardens are OpenStreetMap's positions (WGS 84, © OpenStreetMap contributors,
// ODbL) of gardens that the public list has in GCJ-02.
var gardens = []struct {
	name     string
	lon, lat float64
}{
	{"拙政园", 120.62461, 31.32599},
	{"狮子林", 120.62470, 31.32340},
	{"耦园", 120.63406, 31.31837},
	{"网师园", 120.62984, 31.30038},
	{"沧浪亭", 120.62128, 31.29671},
	{"可园", 120.62068, 31.29760},
	{"艺圃", 120.60476, 31.31543},
	{"环秀山庄", 120.60901, 31.31312},
	{"怡园", 120.61705, 31.30967},
	{"留园", 120.58827, 31.31762},
	{"退思园", 120.71632, 31.15985},
}

// The list of Suzhou's gardens was geocoded in GCJ-02. As given it is about
// 480 m off OpenStreetMap; converted, more than half of the gardens lie within
// 60 m of OpenStreetMap's points, and so does the mean of all. A single garden
// may be further off for reasons of its own: the list has gates, OpenStreetMap
// centres, and the gardens are up to 250 m across.
func TestGCJ02SuzhouGardens(t *testing.T) {
	f, err := os.Open(filepath.Join(testkit.DataDir(t, "suzhou-gardens"), "SuzhouGardenListFull.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	name, lon, lat := slices.Index(list[0], "名称"), slices.Index(list[0], "经度"), slices.Index(list[0], "纬度")
	var distances []float64
	var east, north float64 // metres, summed
	for _, row := range list[1:] {
		for _, g := range gardens {
			if row[name] != g.name {
				continue
			}
			x, err1 := strconv.ParseFloat(row[lon], 64)
			y, err2 := strconv.ParseFloat(row[lat], 64)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if d := metresApart(x, y, g.lon, g.lat); d < 300 {
				t.Errorf("%s: the list is only %.0f m off: is it GCJ-02?", g.name, d)
			}
			x, y = GCJ02{x, y}.WGS84()
			d := metresApart(x, y, g.lon, g.lat)
			t.Logf("%s: %.0f m", g.name, d)
			if d > 120 {
				t.Errorf("%s lies %.0f m from OpenStreetMap's", g.name, d)
			}
			distances = append(distances, d)
			east += (x - g.lon) * math.Cos(g.lat*degree) * degree * 6371e3
			north += (y - g.lat) * degree * 6371e3
		}
	}
	if len(distances) != len(gardens) {
		t.Fatalf("%d of %d gardens are in the list", len(distances), len(gardens))
	}
	slices.Sort(distances)
	median := distances[len(distances)/2]
	mean := math.Hypot(east, north) / float64(len(distances))
	t.Logf("median %.0f m; the mean lies %.0f m off (%.0f east, %.0f north)", median, mean, east/float64(len(distances)), north/float64(len(distances)))
	if median > 60 || mean > 60 {
		t.Errorf("median %.0f m, mean %.0f m off, want 60 m at most", median, mean)
	}
}
