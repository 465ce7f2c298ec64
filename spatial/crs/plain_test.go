package crs

import (
	"testing"

	"cityhub/spatial"
)

func plain(horizontal, vertical int, datum string) spatial.CRS {
	return spatial.CRS{Horizontal: horizontal, Vertical: vertical, VerticalDatum: datum}
}

func TestReference(t *testing.T) {
	nap := plain(28992, 5709, "NAP")
	for text, want := range map[string]spatial.CRS{
		"https://www.opengis.net/def/crs/EPSG/0/28992":         plain(28992, 0, ""),
		"https://www.opengis.net/def/crs/EPSG/0/7415":          nap,
		"http://www.opengis.net/def/crs/EPSG/9.9.1/4490/":      plain(4490, 0, ""),
		"http://www.opengis.net/def/crs/OGC/1.3/CRS84":         plain(4326, 0, ""),
		"https://www.opengis.net/def/crs/OGC/0/CRS84h":         plain(4326, 0, spatial.Ellipsoid),
		"urn:ogc:def:crs:EPSG::28992":                          plain(28992, 0, ""),
		"urn:ogc:def:crs:EPSG:6.9:4549":                        plain(4549, 0, ""),
		"urn:x-ogc:def:crs:EPSG:4528":                          plain(4528, 0, ""),
		"EPSG:9518":                                            plain(4326, 3855, "EGM2008"),
		"EPSG:31256+8881":                                      plain(31256, 8881, "Wiener Null"),
		"EPSG:10170":                                           plain(6677, 6695, "JGD2011"),
		"EPSG:4480":                                            plain(4490, 0, "ellipsoid"),
		"EPSG:5709":                                            {},
		"EPSG:7415+5709":                                       {},
		"urn:ogc:def:crs:OGC:1.3:CRS84":                        plain(4326, 0, ""),
		"urn:ogc:def:crs,crs:EPSG::28992,crs:EPSG::5709":       nap,
		"urn:ogc:def:crs,crs:EPSG:6.12:31468,crs:EPSG:6.12:99": plain(31468, 99, ""),
		" epsg:4490 ":                                          plain(4490, 0, ""),
		"EPSG::4549":                                           plain(4549, 0, ""),
		"EPSG:28992+5709":                                      nap,
		"EPSG:4549+5737":                                       plain(4549, 5737, "1985 国家高程基准"),
		"OGC:CRS84":                                            plain(4326, 0, ""),
		"CRS84h":                                               plain(4326, 0, spatial.Ellipsoid),
		"EPSG:6697":                                            plain(6668, 6695, "JGD2011"),
		"":                                                     {},
		"EPSG:":                                                {},
		"EPSG:-1":                                              {},
		"EPSG:99999999999999999999":                            {},
		"EPSG:4549+":                                           {},
		"EPSG:5709+4549+1":                                     {},
		"https://example.org/crs/4326":                         {},
		"https://www.opengis.net/def/crs/IAU/2015/30100": {},
		"urn:ogc:def:crs,crs:EPSG::28992":                {},
		"urn:ogc:def:crs,EPSG::28992,EPSG::5709":         {},
		"GCJ-02":                                         {},
	} {
		got, err := Reference(text)
		if got != want || (err == nil) != (want != spatial.CRS{}) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	if s := nap.String(); s != "EPSG:28992+5709 (NAP)" {
		t.Error(s)
	}
	if !EPSG(4979).Degrees() || !EPSG(6697).Degrees() || EPSG(4549).Degrees() {
		t.Error("degrees")
	}
}

// The plain value knows by itself which codes are in degrees; it agrees with the
// definitions here.
func TestPlainOfEveryCode(t *testing.T) {
	for _, code := range Codes() {
		c, err := ByCode(code)
		if err != nil {
			t.Fatal(err)
		}
		p := EPSG(code)
		if p.Degrees() != c.Geographic() || !p.Known() || (p.VerticalDatum != "") != (c.Dimensions() == 3) {
			t.Errorf("%v: %+v, degrees %v; defined with %d axes, geographic %v", c, p, p.Degrees(), c.Dimensions(), c.Geographic())
		}
	}
	if p := EPSG(5737); p != plain(0, 5737, "1985 国家高程基准") || p.Known() {
		t.Errorf("a vertical code: %+v", p)
	}
	if p := EPSG(31468); p != (spatial.CRS{Horizontal: 31468}) {
		t.Errorf("a code that is not known: %+v", p)
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"urn:ogc:def:crs,crs:EPSG::28992,crs:EPSG::5709", "https://www.opengis.net/def/crs/EPSG/0/7415", "EPSG:1+2", "CRS84h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		crs, err := Reference(s)
		if (err == nil) != (crs != spatial.CRS{}) {
			t.Fatalf("%q: %v, %v", s, crs, err)
		}
		if err == nil && crs.Known() && crs.VerticalDatum == "" && crs.Vertical == 0 {
			if again, err := Reference(crs.String()); err != nil || again != crs {
				t.Fatalf("%q: %v, again %v, %v", s, crs, again, err)
			}
		}
	})
}
