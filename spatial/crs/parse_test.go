package crs

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

var identifiers = []struct{ in, want string }{
	{"EPSG:4326", "EPSG:4326"},
	{"epsg:4549", "EPSG:4549"},
	{" EPSG:28992\n", "EPSG:28992"},
	{"EPSG::4490", "EPSG:4490"},
	{"[EPSG:4326]", "EPSG:4326"},
	{"EPSG:28992+5709", "EPSG:7415"},
	{"EPSG:28992+EPSG:5709", "EPSG:7415"},
	{"EPSG:25832+5783", "EPSG:5555"},
	{"EPSG:25832+7837", "EPSG:25832+7837"},
	{"EPSG:31256+8881", "EPSG:31256+8881"},
	{"EPSG:4490+5737", "EPSG:4490+5737"},
	{"OGC:CRS84", "OGC:CRS84"},
	{"ogc:crs84H", "OGC:CRS84h"},
	{"CRS:84", "OGC:CRS84"},
	// OGC 07-092r3
	{"urn:ogc:def:crs:EPSG::4326", "EPSG:4326"},
	{"URN:OGC:DEF:CRS:EPSG:9.9.1:3857", "EPSG:3857"},
	{"urn:ogc:def:crs:EPSG:28992", "EPSG:28992"},
	{"urn:x-ogc:def:crs:EPSG:4326", "EPSG:4326"},
	{"urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84"},
	{"urn:ogc:def:crs:OGC::CRS84h", "OGC:CRS84h"},
	{"urn:ogc:def:crs,crs:EPSG::28992,crs:EPSG::5709", "EPSG:7415"},
	{"urn:ogc:def:crs,crs:EPSG:6.12:25832,crs:EPSG:6.12:5783", "EPSG:5555"},
	{"urn:ogc:def:crs,crs:EPSG::6677,crs:EPSG::6695", "EPSG:10170"},
	{"urn:ogc:def:crs,crs:EPSG::6668,crs:EPSG::6695", "EPSG:6697"},
	// OGC 09-048r5
	{"http://www.opengis.net/def/crs/EPSG/0/4326", "EPSG:4326"},
	{"https://www.opengis.net/def/crs/EPSG/0/28992", "EPSG:28992"},
	{"http://www.opengis.net/def/crs/EPSG/9.9.1/6697/", "EPSG:6697"},
	{"http://opengis.net/def/crs/EPSG/0/4979", "EPSG:4979"},
	{"http://www.opengis.net/def/crs/OGC/1.3/CRS84", "OGC:CRS84"},
	{"http://www.opengis.net/def/crs/OGC/0/CRS84h", "OGC:CRS84h"},
	{"http://www.opengis.net/def/crs-compound?1=http://www.opengis.net/def/crs/EPSG/0/28992&2=http://www.opengis.net/def/crs/EPSG/0/5709", "EPSG:7415"},
	{"https://www.opengis.net/def/crs-compound?1=https://www.opengis.net/def/crs/EPSG/0/25833&2=https://www.opengis.net/def/crs/EPSG/0/7837", "EPSG:25833+7837"},
	// GML 3.1
	{"http://www.opengis.net/gml/srs/epsg.xml#4326", "EPSG:4326"},
}

func TestParse(t *testing.T) {
	for _, v := range identifiers {
		c, err := Parse(v.in)
		if err != nil || c.String() != v.want {
			t.Errorf("Parse(%q) = %v (%v), want %s", v.in, c, err, v.want)
		}
	}
}

// Every CRS is found again by what it calls itself.
func TestParseReadsOwnIdentifiers(t *testing.T) {
	names := []string{"OGC:CRS84", "OGC:CRS84h", "EPSG:25832+7837", "EPSG:4549+5737", "EPSG:4326+5773"}
	for _, code := range Codes() {
		names = append(names, known(t, code).String())
	}
	for _, name := range names {
		c, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{c.String(), c.URI(), "[" + c.String() + "]"} {
			if d, err := Parse(text); err != nil || !d.Equal(c) || d.Dimensions() != c.Dimensions() {
				t.Errorf("%s is read as %v (%v)", text, d, err)
			}
		}
	}
}

func TestURI(t *testing.T) {
	for in, want := range map[string]string{
		"EPSG:4326":       "http://www.opengis.net/def/crs/EPSG/0/4326",
		"OGC:CRS84":       "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
		"OGC:CRS84h":      "http://www.opengis.net/def/crs/OGC/0/CRS84h", // OGC API – Features Part 1
		"EPSG:31256+8881": "http://www.opengis.net/def/crs-compound?1=http://www.opengis.net/def/crs/EPSG/0/31256&2=http://www.opengis.net/def/crs/EPSG/0/8881",
	} {
		if c, err := Parse(in); err != nil || c.URI() != want {
			t.Errorf("%s: %v, want %s", in, c.URI(), want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const syntax, unknown, vertical = "*crs.SyntaxError", "*crs.UnknownError", "*crs.VerticalError"
	for _, v := range []struct{ in, kind, says string }{
		{"", syntax, "EPSG:<code>"},
		{"   ", syntax, "EPSG:<code>"},
		{"4326", syntax, "EPSG:4326"},
		{"WGS84", syntax, "EPSG:<code>"},
		{"EPSG:", syntax, "a code"},
		{"EPSG:WGS84", syntax, "a number"},
		{"EPSG:-4326", syntax, "a number"},
		{"EPSG:4326.0", syntax, "a number"},
		{"EPSG:４３２６", syntax, "a number"},
		{"EPSG:4326 ; DROP", syntax, "a number"},
		{"EPSG:28992+", syntax, "vertical"},
		{"EPSG:28992+NAP", syntax, "vertical"},
		{"EPSG:28992+5709+5709", syntax, "vertical"},
		{"[EPSG:4326", syntax, "EPSG:<code>"},
		{":4326", syntax, "EPSG:<code>"},
		{"http:/www.opengis.net/def/crs/EPSG/0/4326", unknown, "EPSG and OGC"},
		{"GCJ-02", syntax, "input's encoding"},
		{"gcj02", syntax, "input's encoding"},
		{"BD-09", syntax, "not read"},
		{"urn:ogc:def:datum:EPSG::6326", syntax, "urn:ogc:def:crs"},
		{"urn:ogc:def:crs:EPSG", syntax, "urn:ogc:def:crs"},
		{"urn:ogc:def:crs:EPSG:1:2:3", syntax, "urn:ogc:def:crs"},
		{"urn:ogc:def:crs:EPSG::", syntax, "a code"},
		{"urn:ogc:def:crs,crs:EPSG::28992", syntax, "vertical"},
		{"urn:ogc:def:crs,crs:EPSG::28992,cs:EPSG::5709", syntax, "vertical"},
		{"http://example.org/def/crs/EPSG/0/4326", syntax, "www.opengis.net"},
		{"http://www.opengis.net/def/crs/EPSG/4326", syntax, "<version>"},
		{"http://www.opengis.net/def/crs-compound?1=x", syntax, "crs-compound"},
		{"http://www.opengis.net/def/crs-compound?1=http://www.opengis.net/def/crs/EPSG/0/28992&2=5709", syntax, "crs-compound"},
		{"EPSG:" + strings.Repeat("0", 600) + "4326", syntax, "512 bytes"},
		{"EPSG:9999", unknown, "EPSG:9999"},
		{"EPSG:99999999999999999999", unknown, "999"},
		{"EPSG:900913", unknown, "EPSG:3857"},
		{"EPSG:5709", unknown, "EPSG:4326+5709"},
		{"EPSG:4978", unknown, "Geocentric"},
		{"EPSG:28992+1234", unknown, "vertical"},
		{"ESRI:102100", unknown, "EPSG and OGC"},
		{"OGC:CRS83", unknown, "CRS84h"},
		{"EPSG:4979+5709", vertical, "already"},
		{"urn:ogc:def:crs,crs:OGC::CRS84,crs:EPSG::5773", vertical, "EPSG:4326"},
	} {
		c, err := Parse(v.in)
		var kind string
		switch {
		case errors.As(err, new(*SyntaxError)):
			kind = syntax
		case errors.As(err, new(*UnknownError)):
			kind = unknown
		case errors.As(err, new(*VerticalError)):
			kind = vertical
		}
		if kind != v.kind || c != nil || !strings.Contains(err.Error(), v.says) {
			t.Errorf("Parse(%.60q) = %v, %v; want a %s that says %q", v.in, c, err, v.kind, v.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range identifiers {
		f.Add(v.in)
	}
	for _, s := range []string{"", ":", "+", "EPSG:1+", "urn:ogc:def:crs,", "http://www.opengis.net/", "[]", "é:" + strings.Repeat("é", 90)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			if msg := err.Error(); len(msg) > 700 || utf8.ValidString(s) && !utf8.ValidString(msg) {
				t.Fatalf("a message of %d bytes: %q", len(msg), msg)
			}
			return
		}
		for _, text := range []string{c.String(), c.URI()} {
			if d, err := Parse(text); err != nil || !d.Equal(c) {
				t.Fatalf("%q is %s, whose %q is read as %v (%v)", s, c, text, d, err)
			}
		}
		if c.Horizontal().Dimensions() != 2 || len(c.Axes()) != c.Dimensions() {
			t.Fatalf("%s has the axes %v", c, c.Axes())
		}
		a := c.Area()
		if _, _, err := between(t, WGS84().Traditional(), c.Horizontal().Defined()).XY((a.West+a.East)/2, (a.South+a.North)/2); err != nil {
			t.Fatal(err)
		}
	})
}
