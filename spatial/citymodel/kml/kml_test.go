package kml

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

type result struct {
	objects  []*spatial.CityObject
	problems []citymodel.Problem
	info     citymodel.Info
	tally    citymodel.Tally
	err      error
}

func (r *result) codes() (c []citymodel.Code) {
	for _, p := range r.problems {
		c = append(c, p.Code)
	}
	return c
}

func readFrom(src io.Reader, o citymodel.FeatureOptions) (r result) {
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, err := Open(src, o)
	if err != nil {
		r.err = err
		return r
	}
	for obj, err := range reader.Objects() {
		if err != nil {
			r.err = err
			break
		}
		r.objects = append(r.objects, obj)
	}
	r.info, r.tally = reader.Info(), reader.Tally()
	return r
}

func read(text string, o citymodel.FeatureOptions) result {
	return readFrom(strings.NewReader(text), o)
}

// plain are options that warn of nothing.
func plain() citymodel.FeatureOptions {
	return citymodel.FeatureOptions{Options: citymodel.Options{Class: spatial.ClassBuilding, Check: citymodel.CheckOptions{Skip: true}}}
}

func document(inside string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2"><Document>` + inside + `</Document></kml>`
}

func mark(inside string) string { return `<Placemark id="a">` + inside + `</Placemark>` }

func TestGeometryAndAltitude(t *testing.T) {
	polygon := func(mode, z string) string {
		return `<Polygon>` + mode + `<outerBoundaryIs><LinearRing><coordinates>0,0,` + z + ` 4,0,` + z + ` 4,4,` + z + ` 0,0,` + z + `</coordinates></LinearRing></outerBoundaryIs>` +
			`<innerBoundaryIs><LinearRing><coordinates>1,1,` + z + ` 2,2,` + z + ` 2,1,` + z + ` 1,1,` + z + `</coordinates></LinearRing></innerBoundaryIs></Polygon>`
	}
	for in, want := range map[string]string{
		`<Point><coordinates>120.5,31.25</coordinates></Point>`:                                "MultiPoint false [120.5 31.25 0] [] [] EPSG:4326",
		`<Point><coordinates> 120.5 , 31.25 , 7 </coordinates></Point>`:                        "MultiPoint false [120.5 31.25 0] [] [] EPSG:4326",
		`<Point><altitudeMode>absolute</altitudeMode><coordinates>1,2,7</coordinates></Point>`: "MultiPoint true [1 2 7] [] [] EPSG:4326+5773 (EGM96)",
		"<LineString><coordinates>1,2\n3,4\t5,6</coordinates></LineString>":                    "MultiLineString false [1 2 0 3 4 0 5 6 0] [3] [] EPSG:4326",
		`<LinearRing><coordinates>1,2 3,4 5,6 1,2</coordinates></LinearRing>`:                  "MultiLineString false [1 2 0 3 4 0 5 6 0 1 2 0] [4] [] EPSG:4326",
		polygon("", "5"): "MultiSurface false [0 0 0 4 0 0 4 4 0 1 1 0 2 2 0 2 1 0] [3 6] [2] EPSG:4326",
		polygon("<altitudeMode>absolute</altitudeMode>", "5"):                                                                                                      "MultiSurface true [0 0 5 4 0 5 4 4 5 1 1 5 2 2 5 2 1 5] [3 6] [2] EPSG:4326+5773 (EGM96)",
		polygon("<extrude>1</extrude><altitudeMode>relativeToGround</altitudeMode>", "12.5"):                                                                       "MultiSurface false [0 0 0 4 0 0 4 4 0 1 1 0 2 2 0 2 1 0] [3 6] [2] EPSG:4326 12.5",
		`<MultiGeometry><Point><coordinates>1,2</coordinates></Point><MultiGeometry><Point><coordinates>3,4</coordinates></Point></MultiGeometry></MultiGeometry>`: "MultiPoint false [1 2 0 3 4 0] [] [] EPSG:4326",
		`<gx:Track><when>2026-01-01</when><gx:coord>1 2 3</gx:coord><gx:coord>4 5 6</gx:coord></gx:Track>`:                                                         "MultiLineString false [1 2 0 4 5 0] [2] [] EPSG:4326",
		`<Point/>`: "",
	} {
		r := read(document(mark(in)), plain())
		if r.err != nil || len(r.objects) != 1 || len(r.problems) > 0 {
			t.Errorf("%s: %v %v", in, r.err, r.problems)
			continue
		}
		o, got := r.objects[0], ""
		for _, g := range o.Geometries {
			got = fmt.Sprint(g.Kind, g.HasZ, g.XYZ, g.Rings, g.Surfaces, " ", o.CRS)
			if err := g.Valid(); err != nil {
				t.Errorf("%s: %v", in, err)
			}
		}
		if o.Height.From != "" {
			got += fmt.Sprint(" ", o.Height.Metres)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestAttributes(t *testing.T) {
	text := document(`<name>城</name><Schema name="house" id="s1"><SimpleField name="levels" type="int"/><SimpleField name="area" type="double"/><SimpleField name="listed" type="bool"/><SimpleField name="no" type="string"/></Schema>` +
		`<Style id="x"><LineStyle/></Style><Folder><name>老城</name><Folder><name>塔</name>` + "\n" +
		`<Placemark id="a"><name>北寺塔</name><description><![CDATA[<b>塔</b>]]></description><styleUrl>#x</styleUrl><TimeStamp><when>2026-01-31</when></TimeStamp>` +
		`<ExtendedData><SchemaData schemaUrl="#s1"><SimpleData name="levels">9</SimpleData><SimpleData name="area">12.5</SimpleData><SimpleData name="listed">1</SimpleData><SimpleData name="no">007</SimpleData></SchemaData>` +
		`<Data name="height"><displayName>H</displayName><value>76</value></Data></ExtendedData></Placemark></Folder></Folder><Placemark/>`)
	r := read(text, plain())
	if r.err != nil || len(r.objects) != 2 {
		t.Fatal(r.err, len(r.objects))
	}
	o, got := r.objects[0], ""
	for _, a := range o.Attributes {
		got += fmt.Sprintf("%s=%d:%v ", a.Name, a.Value.Kind(), a.Value)
	}
	if want := "name=4:北寺塔 description=4:<b>塔</b> when=4:2026-01-31 levels=2:9 area=3:12.5 listed=1:true no=4:007 height=4:76 folder=4:老城/塔 "; got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if o.ID != "a" || o.Name != "北寺塔" || o.Height.Metres != 76 || o.Source.Line != 3 || r.info.Title != "" && r.info.Title != "城" {
		t.Errorf("%+v", o)
	}
	if _, ok := r.objects[1].Attributes.Get("folder"); ok || !slices.Equal(r.codes(), []citymodel.Code{citymodel.NoID}) {
		t.Errorf("%+v %v", r.objects[1], r.problems)
	}
}

func TestFaults(t *testing.T) {
	for in, want := range map[string]string{
		"<Point>\n<coordinates>1,x</coordinates></Point>":                                                                           `line 3: coordinate "x" is no number`,
		`<Point><coordinates>1</coordinates></Point>`:                                                                               "a position of 1 number",
		`<Point><coordinates>181,1</coordinates></Point>`:                                                                           "is no longitude and latitude",
		`<Point><coordinates>NaN,1</coordinates></Point>`:                                                                           "finite",
		`<Polygon><outerBoundaryIs><LinearRing><coordinates>0,0 1,1 1,0</coordinates></LinearRing></outerBoundaryIs></Polygon>`:     "taken as closed",
		`<Polygon><innerBoundaryIs><LinearRing><coordinates>0,0 1,1 1,0 0,0</coordinates></LinearRing></innerBoundaryIs></Polygon>`: "0 outer boundaries",
		`<Model><Location/></Model>`:                                                                                                "models are in another file",
		`<LineString><altitudeMode>relativeToGround</altitudeMode><coordinates>1,1,5 2,2,5</coordinates></LineString>`:              "above the ground are left out",
	} {
		r := read(document(mark(in)), plain())
		if r.err != nil || len(r.objects) != 1 || len(r.problems) != 1 || !strings.Contains(r.problems[0].Message, want) || r.problems[0].Object != "a" {
			t.Errorf("%s: %v %v, want %s", in, r.err, r.problems, want)
		}
	}
	r := read(document(`<NetworkLink><Link><href>http://127.0.0.1/x</href></Link></NetworkLink><GroundOverlay/><GroundOverlay/>`), plain())
	if r.err != nil || !slices.Equal(r.codes(), []citymodel.Code{citymodel.UnknownType, citymodel.UnknownType}) {
		t.Errorf("%v %v", r.err, r.problems)
	}
}

func TestHostile(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":        {"", "no elements"},
		"another":      {"<svg/>", `begins with "svg"`},
		"entities":     {`<!DOCTYPE x [<!ENTITY a "b">]><kml/>`, "document types and entities are refused"},
		"entity":       {document(mark("<name>&lol;</name>")), "lol"},
		"external":     {`<?xml version="1.0"?><!DOCTYPE kml SYSTEM "file:///etc/passwd"><kml/>`, "document types"},
		"depth":        {document(strings.Repeat("<Folder>", 1000)), "elements inside each other"},
		"geometries":   {document(mark(strings.Repeat("<MultiGeometry>", 50))), "MultiGeometries inside each other"},
		"cut off":      {document(mark(""))[:150], "unexpected EOF"},
		"long text":    {document(mark("<name>" + strings.Repeat("x", 2<<20))), "more than 1048576 bytes"},
		"many texts":   {document(mark("<name>" + strings.Repeat("<b/>"+strings.Repeat("x", 1000), 2000) + "</name>")), "more than 1048576 bytes"},
		"long tag":     {document("<Folder a='" + strings.Repeat("x", 2<<20)), "more than 1048576 bytes"},
		"encoding":     {`<?xml version="1.0" encoding="klingon"?><kml/>`, "klingon"},
		"long encoded": {`<?xml version="1.0" encoding="GBK"?><kml><name>` + strings.Repeat("x", 2<<20), "more than 1048576 bytes"},
		"many data":    {document(mark("<ExtendedData>" + strings.Repeat("<Data name='a'><value/></Data>", 200) + "</ExtendedData>")), "more than 100 attributes"},
		"many fields":  {document("<Schema>" + strings.Repeat("<SimpleField name='a'/>", 200) + "</Schema>"), "fields in Schemas"},
	} {
		o := plain()
		o.Limits = citymodel.Limits{ValueBytes: 1 << 20, Attributes: 100}
		r := read(c.text, o)
		var e *citymodel.Error
		if !errors.As(r.err, &e) || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %s", name, r.err, c.want)
		}
	}
	o := plain()
	o.Limits.ObjectPoints = 1000
	r := read(document(mark("<LineString><coordinates>"+strings.Repeat("1,1 ", 5000)+"</coordinates></LineString>")), o)
	if r.err != nil || !slices.Equal(r.codes(), []citymodel.Code{citymodel.TooLarge}) {
		t.Errorf("%v %v", r.err, r.problems)
	}
	gbk := "<?xml version=\"1.0\" encoding=\"GB2312\"?><kml><Placemark id=\"a\"><name>\xcb\xd5\xd6\xdd</name></Placemark></kml>"
	if r := read(gbk, plain()); r.err != nil || len(r.objects) != 1 || r.objects[0].Name != "苏州" {
		t.Errorf("GBK: %v %v", r.err, r.objects)
	}
}

// placemarks writes n of them.
type placemarks struct{ n, at int }

func (p *placemarks) Read(b []byte) (int, error) {
	p.at++
	switch {
	case p.at == 1:
		return copy(b, "<kml><Document>"), nil
	case p.at <= p.n:
		return copy(b, fmt.Sprintf(`<Placemark id="%d"><name>house</name><Point><coordinates>120.5,31.25</coordinates></Point></Placemark>`, p.at)), nil
	case p.at == p.n+1:
		return copy(b, "</Document></kml>"), nil
	}
	return 0, io.EOF
}

func TestMemoryDoesNotGrow(t *testing.T) {
	reader, err := Open(&placemarks{n: 100_000}, plain())
	if err != nil {
		t.Fatal(err)
	}
	n, peak := 0, uint64(0)
	for _, err := range reader.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%20_000 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	if n != 99_999 || peak > 16<<20 {
		t.Errorf("%d objects, %d bytes in use", n, peak)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(document(mark(`<Polygon><extrude>1</extrude><outerBoundaryIs><LinearRing><coordinates>0,0,1 4,0,1 4,4,1 0,0,1</coordinates></LinearRing></outerBoundaryIs></Polygon>`)))
	f.Add(document(`<Schema id="s"><SimpleField name="a" type="int"/></Schema><Folder><name>f</name>` + mark(`<ExtendedData><SchemaData schemaUrl="#s"><SimpleData name="a">1</SimpleData></SchemaData></ExtendedData><gx:Track><gx:coord>1 2 3</gx:coord></gx:Track>`) + `</Folder>`))
	f.Fuzz(func(t *testing.T, text string) {
		o := plain()
		o.Limits = citymodel.Limits{ObjectPoints: 1000, ValueBytes: 10_000, Depth: 20}
		for _, o := range read(text, o).objects {
			for i := range o.Geometries {
				if err := o.Geometries[i].Valid(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
