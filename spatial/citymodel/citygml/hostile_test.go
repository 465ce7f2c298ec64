package citygml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
)

const (
	head     = `<core:CityModel xmlns:core="http://www.opengis.net/citygml/2.0" xmlns:gml="http://www.opengis.net/gml" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:bldg="http://www.opengis.net/citygml/building/2.0" xmlns:gen="http://www.opengis.net/citygml/generics/2.0">`
	envelope = `<gml:boundedBy><gml:Envelope srsName="EPSG:25832"/></gml:boundedBy>`
	tail     = "</core:CityModel>"
	square   = "0 0 0 1 0 0 1 1 0 0 1 0 0 0 0"
)

func member(text string) string {
	return "\n<core:cityObjectMember>" + text + "</core:cityObjectMember>"
}

func building(id, text string) string {
	return member(`<bldg:Building gml:id="` + id + `">` + text + `</bldg:Building>`)
}

func polygon(id, numbers string) string {
	return `<gml:Polygon gml:id="` + id + `"><gml:exterior><gml:LinearRing><gml:posList>` + numbers + `</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon>`
}

func surfaces(text string) string {
	return "<bldg:lod1MultiSurface><gml:MultiSurface>" + text + "</gml:MultiSurface></bldg:lod1MultiSurface>"
}

func surface(text string) string {
	return surfaces("<gml:surfaceMember>" + text + "</gml:surfaceMember>")
}

func TestFatal(t *testing.T) {
	good := head + envelope + building("a", "")
	for name, c := range map[string]struct{ text, want string }{
		"nothing":         {"", "the document is empty"},
		"no XML":          {"hello", "the document is empty"},
		"other root":      {"<a/>", "expected a CityModel"},
		"other version":   {`<CityModel xmlns="http://www.opengis.net/citygml/4.0"/>`, "expected a CityModel"},
		"cut off":         {good, "syntax: unexpected EOF"},
		"cut in a member": {head + "<core:cityObjectMember><bldg:Building>", "unexpected EOF"},
		"wrong end":       {head + "<core:cityObjectMember></core:CityModel>", "closed by"},
		"second root":     {good + tail + "<x/>", "a second element <x>"},
		"doctype":         {`<!DOCTYPE a [<!ENTITY b "c">]>` + good + tail, "document types and entities are refused"},
		"external":        {`<!DOCTYPE a SYSTEM "file:///etc/passwd">` + good + tail, "refused"},
		"late doctype":    {head + `<!DOCTYPE a>` + tail, "refused"},
		"entity":          {head + building("a", "<gml:name>&lol;</gml:name>") + tail, "invalid character entity &lol;"},
		"encoding":        {`<?xml version="1.0" encoding="Shift_JIS"?>` + good + tail, "Shift_JIS"},
		"not UTF-8":       {head + building("a", "<gml:name>\xff</gml:name>") + tail, "invalid UTF-8"},
		"deep":            {head + "<core:cityObjectMember>" + strings.Repeat("<bldg:x>", 500), "more than 128 elements inside each other"},
		"deep, skipped":   {head + strings.Repeat("<bldg:x>", 500), "more than 128 elements inside each other"},
		"long text":       {head + building("a", "<gml:name>"+strings.Repeat("x", 5000)+"</gml:name>") + tail, "more than 4000 bytes"},
		"long tag":        {head + `<core:cityObjectMember a="` + strings.Repeat("x", 5000) + `"/>` + tail, "more than 4000 bytes"},
		"long comment":    {head + "<!--" + strings.Repeat("x", 5000) + "-->" + tail, "more than 4000 bytes"},
	} {
		r := read(strings.NewReader(c.text), citymodel.Options{File: "f", Limits: citymodel.Limits{ValueBytes: 4000}})
		var e *citymodel.Error
		if !errors.As(r.err, &e) || !strings.Contains("syntax: "+e.Message, c.want) || !strings.HasPrefix(r.err.Error(), "f:") || e.Line < 1 {
			t.Errorf("%s: %v, want %q", name, r.err, c.want)
		}
	}
	broken := errors.New("the disk is on fire")
	r := read(io.MultiReader(strings.NewReader(good), iotest.ErrReader(broken)), citymodel.Options{})
	if !errors.Is(r.err, broken) || len(r.objects) != 1 {
		t.Errorf("%v after %d objects", r.err, len(r.objects))
	}
}

// A fault in one object is told with its line, and the next object is read.
func TestFaultsOfObjects(t *testing.T) {
	many := strings.Repeat("<gml:surfaceMember>"+polygon("", square)+"</gml:surfaceMember>", 30)
	circle := `<gml:surfaceMember><gml:CompositeSurface gml:id="c"><gml:surfaceMember xlink:href="#c"/></gml:CompositeSurface></gml:surfaceMember>`
	var bomb strings.Builder
	for i := range 40 {
		fmt.Fprintf(&bomb, `<gml:surfaceMember><gml:CompositeSurface gml:id="c%d"><gml:surfaceMember xlink:href="#c%d"/><gml:surfaceMember xlink:href="#c%d"/></gml:CompositeSurface></gml:surfaceMember>`, i, i+1, i+1)
	}
	bomb.WriteString(`<gml:surfaceMember><gml:CompositeSurface gml:id="c40"/></gml:surfaceMember>`)
	for name, c := range map[string]struct {
		text string // of the object on line 2
		code citymodel.Code
		want string
		kept int // geometries
	}{
		"letters":         {surface(polygon("", "0 0 zero")), citymodel.WrongType, `"zero" in a posList`, 0},
		"not a number":    {surface(polygon("", "0 0 NaN")), citymodel.WrongType, `"NaN" in a posList`, 0},
		"infinite":        {surface(polygon("", "0 0 1e999")), citymodel.WrongType, `"1e999" in a posList`, 0},
		"hexadecimal":     {surface(polygon("", "0 0 0x1p-2")), citymodel.WrongType, `"0x1p-2"`, 0},
		"odd":             {surface(polygon("", "0 0 0 1")), citymodel.WrongType, "4 numbers in a posList of dimension 3", 0},
		"dimension 9":     {surface(strings.Replace(polygon("", square), "posList>", `posList srsDimension="9">`, 1)), citymodel.WrongType, "of dimension 9", 0},
		"not closed":      {surface(polygon("", "0 0 0 1 0 0 1 1 0 0 1 0")), citymodel.RingNotClosed, "taken as closed", 1},
		"no points":       {surface("<gml:Polygon/>"), citymodel.Missing, "0 exteriors", 0},
		"empty":           {surfaces(""), citymodel.EmptyGeometry, "without coordinates", 0},
		"arc":             {`<bldg:lod0MultiCurve><gml:Curve><gml:segments><gml:Arc><gml:posList>0 0 0 1 1 0 2 0 0</gml:posList></gml:Arc></gml:segments></gml:Curve></bldg:lod0MultiCurve>`, citymodel.WrongType, "only straight segments", 0},
		"other CRS":       {surface(strings.Replace(polygon("", square), "<gml:Polygon", `<gml:Polygon srsName="EPSG:25833"`, 1)), citymodel.UnknownCRS, "another CRS", 0},
		"far reference":   {surfaces(`<gml:surfaceMember xlink:href="#elsewhere"/>`), citymodel.BadReference, `"#elsewhere" leads out of the member`, 0},
		"other document":  {surfaces(`<gml:surfaceMember xlink:href="http://example.com/x.gml#a"/>`), citymodel.BadReference, "leads out of the member", 0},
		"one of two":      {surfaces(`<gml:surfaceMember xlink:href="#next_p"/><gml:surfaceMember>` + polygon("", square) + `</gml:surfaceMember>`), citymodel.BadReference, "that part is left out", 1},
		"whole geometry":  {`<bldg:lod2Solid xlink:href="#x"/>`, citymodel.BadReference, "leads out", 0},
		"far surface":     {`<bldg:boundedBy xlink:href="#x"/>`, citymodel.BadReference, "leads out", 0},
		"circle":          {surfaces(circle), citymodel.BadReference, "in a circle", 0},
		"reference bomb":  {surfaces(bomb.String()), citymodel.TooLarge, "references lead to too many elements", 0},
		"too many points": {surfaces(many), citymodel.TooLarge, "points; raise Limits.ObjectPoints", 0},
		"attributes":      {strings.Repeat("<bldg:function>1</bldg:function>", 30), citymodel.TooLarge, "more than 20 attributes", 0},
		"matrix": {`<bldg:lod1ImplicitRepresentation><core:ImplicitGeometry><core:transformationMatrix>1 2 3</core:transformationMatrix><core:referencePoint><gml:Point><gml:pos>1 2 3</gml:pos></gml:Point></core:referencePoint></core:ImplicitGeometry></bldg:lod1ImplicitRepresentation>`,
			citymodel.WrongType, "3 numbers, expected 16", 0},
		"no place":   {`<bldg:lod1ImplicitRepresentation><core:ImplicitGeometry/></bldg:lod1ImplicitRepresentation>`, citymodel.Missing, "without referencePoint", 0},
		"no integer": {`<gen:intAttribute name="n"><gen:value>many</gen:value></gen:intAttribute>`, citymodel.WrongType, "is no number", 0},
	} {
		text := head + envelope + building("a", c.text) + building("next", surface(polygon("next_p", square))) + tail
		r := read(strings.NewReader(text), citymodel.Options{File: "f", Check: citymodel.CheckOptions{Skip: true}, Limits: citymodel.Limits{ObjectPoints: 100, Attributes: 20}})
		if r.err != nil || len(r.objects) == 0 || r.objects[len(r.objects)-1].ID != "next" || len(r.objects[len(r.objects)-1].Geometries) != 1 {
			t.Errorf("%s: %d objects, %v; the next object is not as it should be", name, len(r.objects), r.err)
			continue
		}
		if len(r.problems) != 1 || r.problems[0].Code != c.code || !strings.Contains(r.problems[0].Message, c.want) || r.problems[0].Line != 2 || r.problems[0].Object != "a" {
			t.Errorf("%s: %v, want %s: %q", name, r.problems, c.code, c.want)
		}
		if len(r.objects) == 2 && len(r.objects[0].Geometries) != c.kept {
			t.Errorf("%s: %d geometries, want %d", name, len(r.objects[0].Geometries), c.kept)
		}
	}
}

// A feature that a surface refers to, and that holds that surface, is one
// object and not endlessly many.
func TestFeaturesInCircle(t *testing.T) {
	inner := `<bldg:BuildingInstallation gml:id="i"><bldg:boundedBy xlink:href="#s"/><bldg:boundedBy xlink:href="#s"/></bldg:BuildingInstallation>`
	text := head + envelope + building("a", `<bldg:boundedBy><bldg:WallSurface gml:id="s"><bldg:opening>`+inner+`</bldg:opening></bldg:WallSurface></bldg:boundedBy>`) + tail
	r := read(strings.NewReader(text), citymodel.Options{})
	if r.err != nil || len(r.objects) != 2 || r.objects[1].ID != "i" {
		t.Errorf("%d objects, %v", len(r.objects), r.err)
	}
}

// An object that stands in a wall is no wall.
func TestObjectInSurface(t *testing.T) {
	inner := `<bldg:BuildingInstallation gml:id="i">` + surface(polygon("p", square)) + `</bldg:BuildingInstallation>`
	text := head + envelope + building("a", `<bldg:boundedBy><bldg:WallSurface gml:id="s"><bldg:opening>`+inner+`</bldg:opening></bldg:WallSurface></bldg:boundedBy>`) + tail
	compare(t, "object", outline(read(strings.NewReader(text), citymodel.Options{})), []string{
		"a Building building with i", "i BuildingInstallation building of a | MultiSurface lod1 4p 1s 1",
	})
}

// References cannot make many large objects of one small member.
func TestReferencesFromManyObjects(t *testing.T) {
	part := `<bldg:consistsOfBuildingPart><bldg:BuildingPart>` + surfaces(`<gml:surfaceMember xlink:href="#p"/>`) + `</bldg:BuildingPart></bldg:consistsOfBuildingPart>`
	text := head + envelope + building("a", surface(polygon("p", square))+strings.Repeat(part, 100)) + tail
	r := read(strings.NewReader(text), citymodel.Options{Limits: citymodel.Limits{ObjectPoints: 1000}})
	if r.err != nil || len(r.objects) != 101 || r.tally.Dropped != 0 || r.tally.Points != 404 {
		t.Errorf("%d objects, %+v, %v", len(r.objects), r.tally, r.err)
	}
	// 4 times 1000 points are enough for 20 of 200.
	var long strings.Builder
	for i := range 199 {
		fmt.Fprintf(&long, "%d %d 0 ", i, i*i)
	}
	long.WriteString("0 0 0")
	r = read(strings.NewReader(strings.Replace(text, square, long.String(), 1)), citymodel.Options{Limits: citymodel.Limits{ObjectPoints: 1000}})
	if r.err != nil || len(r.objects) != 101 || r.tally.Geometries != 20 || r.tally.Dropped != 81 {
		t.Errorf("%d objects, %+v, %v", len(r.objects), r.tally, r.err)
	}
}

func TestReferenceSystems(t *testing.T) {
	for srs, c := range map[string]struct {
		crs   spatial.CRS
		first string // x of "1 2 3"
	}{
		"http://www.opengis.net/def/crs/EPSG/0/6697":     {crs.EPSG(6697), "[2 1 3]"},
		"urn:ogc:def:crs:EPSG::4326":                     {spatial.CRS{Horizontal: 4326}, "[2 1 3]"},
		"urn:ogc:def:crs:OGC:1.3:CRS84":                  {spatial.CRS{Horizontal: 4326}, "[1 2 3]"},
		"urn:ogc:def:crs,crs:EPSG::25832,crs:EPSG::5783": {spatial.CRS{Horizontal: 25832, Vertical: 5783, VerticalDatum: "DHHN92"}, "[1 2 3]"},
		"urn:adv:crs:ETRS89_UTM32*DE_DHHN92_NH":          {spatial.CRS{Horizontal: 25832, Vertical: 5783, VerticalDatum: "DHHN92"}, "[1 2 3]"},
		"EPSG:10170":                                     {spatial.CRS{Horizontal: 6677, Vertical: 6695, VerticalDatum: "JGD2011"}, "[2 1 3]"},
		"EPSG:4549":                                      {spatial.CRS{Horizontal: 4549}, "[2 1 3]"},
		"EPSG:28992":                                     {spatial.CRS{Horizontal: 28992}, "[1 2 3]"},
	} {
		point := `<bldg:lod0Point><gml:Point><gml:pos>1 2 3</gml:pos></gml:Point></bldg:lod0Point>`
		for name, text := range map[string]string{
			"envelope": head + strings.Replace(envelope, "EPSG:25832", srs, 1) + building("a", point),
			"geometry": head + building("a", strings.Replace(point, "<gml:Point>", `<gml:Point srsName="`+srs+`">`, 1)),
		} {
			r := read(strings.NewReader(text+tail), citymodel.Options{})
			if r.err != nil || len(r.problems) > 0 || r.objects[0].CRS != c.crs || fmt.Sprint(r.objects[0].Geometries[0].XYZ) != c.first {
				t.Errorf("%s of the %s: %v, %v, %+v", srs, name, r.err, r.problems, r.objects)
			}
		}
	}
	r := read(strings.NewReader(head+strings.Replace(envelope, "EPSG:25832", "local", 1)+building("a", "")+tail), citymodel.Options{})
	if len(r.problems) != 2 || r.problems[0].Code != citymodel.UnknownCRS || r.problems[0].Severity != citymodel.SeverityError || r.info.CRS.Known() {
		t.Errorf("%v", r.problems)
	}
	over := citymodel.Options{CRS: spatial.CRS{Horizontal: 4490}}
	r = read(strings.NewReader(head+envelope+building("a", `<bldg:lod0Point><gml:Point><gml:pos>31 120 3</gml:pos></gml:Point></bldg:lod0Point>`)+tail), over)
	if len(r.problems) != 0 || r.info.CRS != over.CRS || fmt.Sprint(r.objects[0].Geometries[0].XYZ) != "[120 31 3]" {
		t.Errorf("overridden: %v %v", r.info.CRS, r.problems)
	}
}

// CityGML 1.0, gml:featureMember, gml:coordinates, pos by pos, a byte order
// mark, no gml:id.
func TestOlder(t *testing.T) {
	text := "\ufeff" + strings.NewReplacer("/2.0", "/1.0").Replace(head) + envelope + "\n<gml:featureMember><bldg:Building><bldg:lod1Solid><gml:Polygon><gml:exterior><gml:LinearRing>" +
		"<gml:coordinates>0,0,0 1,0,0 1,1,0 0,0,0</gml:coordinates></gml:LinearRing></gml:exterior><gml:interior><gml:LinearRing><gml:pos>0 0 0</gml:pos><gml:pos>0 0 0</gml:pos><gml:pos>1 1 0</gml:pos><gml:pos>1 0 0</gml:pos><gml:pos>0 0 0</gml:pos></gml:LinearRing></gml:interior></gml:Polygon></bldg:lod1Solid></bldg:Building></gml:featureMember>" + tail
	r := read(strings.NewReader(text), citymodel.Options{Check: citymodel.CheckOptions{Skip: true}})
	compare(t, "object", outline(r), []string{fmt.Sprintf("Building@%d Building building | MultiSurface lod1 7p 1s 0", strings.Index(text, "<bldg:Building>"))})
	if r.info.Format != "CityGML 1.0" || len(r.problems) != 1 || r.problems[0].Code != citymodel.NoID || r.problems[0].Line != 2 {
		t.Errorf("%+v %v", r.info, r.problems)
	}
}

func TestStopAndReadTwice(t *testing.T) {
	r, err := Open(strings.NewReader(head+building("a", "")+building("b", "")+tail), citymodel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range r.Objects() {
		if err != nil || o.ID != "a" {
			t.Fatal(o, err)
		}
		break
	}
	again := 0
	for _, err := range r.Objects() {
		if again++; err == nil {
			t.Error("objects were given twice")
		}
	}
	if r.Tally().Objects != 1 || again != 1 {
		t.Errorf("tally %+v", r.Tally())
	}
}

// repeated gives a text n times between two others.
func repeated(before, text string, n int, after string) io.Reader {
	parts := []io.Reader{strings.NewReader(before)}
	for range n {
		parts = append(parts, strings.NewReader(text))
	}
	return io.MultiReader(append(parts, strings.NewReader(after))...)
}

func TestMemoryDoesNotGrowWithTheDocument(t *testing.T) {
	one := building("a", "<gml:name>"+strings.Repeat("姑苏", 500)+"</gml:name>"+surfaces(strings.Repeat("<gml:surfaceMember>"+polygon("p", square)+"</gml:surfaceMember>", 20)))
	const n = 1200
	r, err := Open(repeated(head+envelope, one, n, tail), citymodel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count, peak := 0, uint64(0)
	for o, err := range r.Objects() {
		if err != nil || len(o.Geometries) != 1 {
			t.Fatal(o, err)
		}
		if count++; count%300 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		}
	}
	if count != n || peak > 1<<20 {
		t.Errorf("%d objects of %d bytes took %d bytes", count, n*len(one), peak)
	}
}

func BenchmarkRead(b *testing.B) {
	one := building("a", surfaces(strings.Repeat("<gml:surfaceMember>"+polygon("p", square)+"</gml:surfaceMember>", 20)))
	text := head + envelope + strings.Repeat(one, 500) + tail
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r := read(strings.NewReader(text), citymodel.Options{})
		if r.err != nil || len(r.objects) != 500 {
			b.Fatal(r.err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"building2.gml", "modules2.gml", "modules3.gml"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(head + envelope + building("a", surfaces(`<gml:surfaceMember xlink:href="#a"/>`)) + tail))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := read(bytes.NewReader(b), citymodel.Options{Limits: citymodel.Limits{ObjectPoints: 1000, ValueBytes: 10000, RecordBytes: 100_000}})
		var e *citymodel.Error
		if r.err != nil && !errors.As(r.err, &e) {
			t.Fatalf("%T: %v", r.err, r.err)
		}
		for _, o := range r.objects {
			for i := range o.Geometries {
				if err := o.Geometries[i].Valid(); err != nil {
					t.Fatalf("%s: %v", o.ID, err)
				}
			}
		}
		for _, p := range r.problems {
			if p.Line < 1 || p.Offset < 0 || p.Offset > int64(len(b)) || p.Message == "" {
				t.Fatalf("problem %+v of %d bytes", p, len(b))
			}
		}
	})
}
