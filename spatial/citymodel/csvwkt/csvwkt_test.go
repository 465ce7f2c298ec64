package csvwkt

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/simplifiedchinese"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
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

func read(text string, o Options) (r result) {
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, err := Open(strings.NewReader(text), o)
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

// plain are options that warn of nothing.
func plain() Options {
	return Options{FeatureOptions: citymodel.FeatureOptions{Options: citymodel.Options{Class: spatial.ClassBuilding, CRS: crs.EPSG(4326)}, IDProperty: "id"}}
}

func TestValuesLoseNothing(t *testing.T) {
	for text, want := range map[string]spatial.Value{
		"12": spatial.IntValue(12), "-7": spatial.IntValue(-7), "0": spatial.IntValue(0), "0012": spatial.TextValue("0012"), "+5": spatial.TextValue("+5"),
		"1.5": spatial.FloatValue(1.5), "1.50": spatial.TextValue("1.50"), "1e3": spatial.TextValue("1e3"), ".5": spatial.TextValue(".5"), "-0.25": spatial.FloatValue(-0.25),
		"9223372036854775807": spatial.IntValue(9223372036854775807), "9223372036854775808": spatial.TextValue("9223372036854775808"), "320508000000000000000": spatial.FloatValue(3.20508e20),
		"12345678901234567891": spatial.TextValue("12345678901234567891"), "true": spatial.BoolValue(true), "TRUE": spatial.TextValue("TRUE"), "": spatial.NullValue(), "NaN": spatial.TextValue("NaN"),
		" 5": spatial.TextValue(" 5"), "5 m": spatial.TextValue("5 m"), "2026-01-31": spatial.TextValue("2026-01-31"), "1_000": spatial.TextValue("1_000"), "0x1F": spatial.TextValue("0x1F"),
	} {
		if got := value(text); got != want {
			t.Errorf("%q is %v %v, want %v %v", text, got.Kind(), got, want.Kind(), want)
		}
	}
}

func TestColumnsSeparatorsAndEncodings(t *testing.T) {
	gbk := func(s string) string {
		b, err := simplifiedchinese.GBK.NewEncoder().String(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	utf16le := func(s string) string {
		b := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}
	o := plain()
	for name, text := range map[string]string{
		"comma":       "id,name,WKT\n1,北寺塔,POINT (120.5 31.25)\n",
		"semicolon":   "id;name;geom\r\n1;北寺塔;POINT(120.5 31.25)\r\n",
		"tab":         "id\tname\tThe_Geom\n1\t北寺塔\tPOINT(120.5 31.25)",
		"bar":         "id|name|geometry\n1|北寺塔|POINT(120.5 31.25)",
		"quoted":      "id,name,\"wkt\"\n1,\"北寺塔\",\"POINT(120.5\n 31.25)\"",
		"BOM":         "\ufeffid,name,wkt\n1,北寺塔,POINT(120.5 31.25)\n",
		"UTF-16":      utf16le("id,name,wkt\n1,北寺塔,POINT(120.5 31.25)\n"),
		"lon and lat": "id,name,lng,lat\n1,北寺塔,120.5,31.25\n",
		"经纬度":         "id,name,经度,纬度\n1,北寺塔,120.5,31.25\n",
		"GBK":         gbk("id,name,经度,纬度\n1,北寺塔,120.5,31.25\n"),
	} {
		r := read(text, o)
		if r.err != nil || len(r.objects) != 1 {
			t.Errorf("%s: %v, %d objects", name, r.err, len(r.objects))
			continue
		}
		obj := r.objects[0]
		if obj.ID != "1" || obj.Name != "北寺塔" || len(obj.Geometries) != 1 || !slices.Equal(obj.Geometries[0].XYZ, []float64{120.5, 31.25, 0}) || obj.Source.Line != 2 {
			t.Errorf("%s: %+v", name, obj)
		}
		want := []citymodel.Code(nil)
		if name == "GBK" {
			want = []citymodel.Code{citymodel.Syntax}
		}
		if !slices.Equal(r.codes(), want) {
			t.Errorf("%s: %v", name, r.problems)
		}
	}
	o.Encoding = "GBK"
	if r := read(gbk("id,name,经度,纬度\n1,北寺塔,120.5,31.25\n"), o); r.err != nil || len(r.problems) > 0 || r.objects[0].Name != "北寺塔" {
		t.Errorf("GBK by name: %v %v", r.err, r.problems)
	}
	o.Encoding = "klingon"
	if r := read("id,wkt\n", o); r.err == nil || !strings.Contains(r.err.Error(), `no encoding is called "klingon"`) {
		t.Error(r.err)
	}
	o = plain()
	o.X, o.Y, o.Z = "east", "north", "up"
	o.CRS = crs.EPSG(4549)
	if r := read("id,east,north,up,wkt\n1,558574.026,3467120.659,4.5,nonsense\n", o); r.err != nil || len(r.problems) > 0 || !slices.Equal(r.objects[0].Geometries[0].XYZ, []float64{558574.026, 3467120.659, 4.5}) || !r.objects[0].Geometries[0].HasZ || r.objects[0].CRS.Horizontal != 4549 {
		t.Errorf("named columns: %v %v %+v", r.err, r.problems, r.objects)
	}
	o.X = "nix"
	if r := read("id,east,north,up\n", o); r.err == nil || !strings.Contains(r.err.Error(), `no column is called "nix"`) {
		t.Error(r.err)
	}
}

func TestSRIDAndAssumedCRS(t *testing.T) {
	o := plain()
	o.CRS = spatial.CRS{}
	r := read("id,wkt\n1,SRID=4549;POINT(558574 3467120)\n2,POINT(120 31)\n3,\n4,POINT(558574 3467120)\n5,POINT(120 30)\n", o)
	if r.err != nil || len(r.objects) != 5 || r.objects[0].CRS.Horizontal != 4549 || r.objects[1].CRS.Horizontal != 4326 || len(r.objects[2].Geometries) != 0 {
		t.Fatalf("%v %+v", r.err, r.objects)
	}
	if !slices.Equal(r.codes(), []citymodel.Code{citymodel.UnknownCRS, citymodel.OutOfRange}) || r.tally.Dropped != 1 || r.problems[1].Line != 5 {
		t.Errorf("%v; want that the CRS was assumed, and line 5 beyond it", r.problems)
	}
}

func TestFaultsHaveTheirLine(t *testing.T) {
	r := read("id,name,wkt\n"+
		"1,a,POINT(1 1)\n"+
		"2,b\n"+ // 3: fields
		"3,\"c\nd\",POINT(1)\n"+ // 4 and 5: a position of one number
		"4,e\"f,POINT(1 1)\n"+ // 6: a quotation mark
		"5,g,\"CIRCULARSTRING(0 0,1 1,2 0)\"\n"+ // 7
		"6,h,POINT(NaN 1)\n"+ // 8
		"7,i,\"POLYGON((0 0,4 0,4 4,0 4))\"\n", plain()) // 9: not closed
	var got []string
	for _, p := range r.problems {
		got = append(got, fmt.Sprintf("%d %s %s", p.Line, p.Code, p.Object))
	}
	want := []string{"3 syntax ", "4 syntax 3", "6 syntax ", "7 unknown-type 5", "8 out-of-range 6", "9 ring-not-closed 7"}
	if !slices.Equal(got, want) {
		t.Errorf("problems %v, want %v", got, want)
	}
	if r.err != nil || len(r.objects) != 5 || r.tally.Dropped != 3 {
		t.Errorf("%v, %d objects, %+v", r.err, len(r.objects), r.tally)
	}
}

func TestHostile(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":          {"", "the table is empty"},
		"no geometry":    {"a,b\n1,2\n", "no column has a geometry"},
		"open quotation": {"id,wkt\n1,\"" + strings.Repeat("x", 2<<20), "a record of more than 1048576 bytes"},
		"long header":    {strings.Repeat("x", 3<<20), "a record of more than"},
		"many columns":   {strings.Repeat("a,", 2000) + "wkt\n", "columns; the limit is"},
	} {
		o := plain()
		o.Limits = citymodel.Limits{RecordBytes: 1 << 20, Attributes: 1000}
		r := read(c.text, o)
		var e *citymodel.Error
		if !errors.As(r.err, &e) || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %s", name, r.err, c.want)
		}
	}
	o := plain()
	o.Limits.ObjectPoints = 1000
	r := read("id,wkt\n1,\"MULTIPOINT("+strings.Repeat("1 1,", 5000)+"1 1)\"\n2,"+strings.Repeat("GEOMETRYCOLLECTION(", 100)+"\n3,POINT(1 1)\n", o)
	if !slices.Equal(r.codes(), []citymodel.Code{citymodel.TooLarge, citymodel.TooLarge}) || r.err != nil || len(r.objects) != 3 {
		t.Errorf("%v %v", r.err, r.problems)
	}
}

// rows writes a table of n records.
type rows struct{ n, at int }

func (r *rows) Read(b []byte) (int, error) {
	if r.at == 0 {
		r.at++
		return copy(b, "id,name,height,wkt\n"), nil
	}
	if r.at > r.n {
		return 0, fmt.Errorf("end: %w", errEnd)
	}
	r.at++
	return copy(b, fmt.Sprintf("%d,house,12.5,\"POLYGON((120 31,120.001 31,120.001 31.001,120 31))\"\n", r.at)), nil
}

var errEnd = errors.New("no more rows")

func TestMemoryDoesNotGrow(t *testing.T) {
	o := plain()
	o.Check.Skip = true
	reader, err := Open(&rows{n: 200_000}, o)
	if err != nil {
		t.Fatal(err)
	}
	n, peak := 0, uint64(0)
	for _, err := range reader.Objects() {
		if err != nil {
			if !errors.Is(err, errEnd) {
				t.Fatal(err)
			}
			break
		}
		if n++; n%50_000 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	if n < 199_000 || peak > 16<<20 {
		t.Errorf("%d objects, %d bytes in use", n, peak)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("id,name,WKT\n1,北寺塔,POINT (120.5 31.25)\n2,\"a\"\"b\",\"POLYGON Z((0 0 1,1 0 1,1 1 1,0 0 1),(0 0 1,1 1 1,0 1 1,0 0 1))\"\n")
	f.Add("lon;lat;z\n1;2;3\n")
	f.Add("\xff\xfei\x00d\x00,\x00w\x00k\x00t\x00\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		o := plain()
		o.Limits = citymodel.Limits{ObjectPoints: 1000, RecordBytes: 10_000}
		for _, o := range read(text, o).objects {
			for i := range o.Geometries {
				if err := o.Geometries[i].Valid(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	o := plain()
	for b.Loop() {
		reader, err := Open(&rows{n: 20_000}, o)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, err := range reader.Objects() {
			if err == nil {
				n++
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
	}
}
