package shapefile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"cityhub/internal/testkit"
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

func part(b []byte) Part {
	if b == nil {
		return Part{}
	}
	return Part{At: bytes.NewReader(b), Size: int64(len(b))}
}

func read(f Files, o Options) (r result) {
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, err := Open(f, o)
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
	return Options{FeatureOptions: citymodel.FeatureOptions{Options: citymodel.Options{Class: spatial.ClassBuilding, CRS: crs.EPSG(4549), Check: citymodel.CheckOptions{Skip: true}}, IDProperty: "id"}}
}

// numbers writes int32 (of int) and float64.
func numbers(values ...any) (b []byte) {
	for _, v := range values {
		switch v := v.(type) {
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case float64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case []float64:
			for _, f := range v {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
			}
		}
	}
	return b
}

// shp writes a .shp and its .shx.
func shp(typ int, records ...[]byte) (main, index []byte) {
	head := make([]byte, headerBytes)
	binary.BigEndian.PutUint32(head, 9994)
	binary.LittleEndian.PutUint32(head[28:], 1000)
	binary.LittleEndian.PutUint32(head[32:], uint32(typ))
	main, index = slices.Clone(head), slices.Clone(head)
	for i, r := range records {
		index = binary.BigEndian.AppendUint32(index, uint32(len(main)/2))
		index = binary.BigEndian.AppendUint32(index, uint32(len(r)/2))
		main = binary.BigEndian.AppendUint32(main, uint32(i+1))
		main = binary.BigEndian.AppendUint32(main, uint32(len(r)/2))
		main = append(main, r...)
	}
	return main, index
}

var box = []float64{0, 0, 0, 0}

func TestEveryTypeOfShape(t *testing.T) {
	// A square from 0 to 4, clockwise, with a hole; a triangle beside it.
	square, hole, beside := []float64{0, 0, 0, 4, 4, 4, 4, 0, 0, 0}, []float64{1, 1, 2, 1, 2, 2, 1, 1}, []float64{9, 9, 9, 10, 10, 9, 9, 9}
	z := func(n int, v float64) (b []float64) {
		b = []float64{v, v}
		for range n {
			b = append(b, v)
		}
		return b
	}
	for name, c := range map[string]struct {
		typ    int
		record []byte
		want   string
	}{
		"null":        {5, numbers(0), ""},
		"point":       {1, numbers(1, 5.0, 6.0), "MultiPoint false [5 6 0] [] []"},
		"pointZ":      {11, numbers(11, 5.0, 6.0, 7.0, 8.0), "MultiPoint true [5 6 7] [] []"},
		"pointM":      {21, numbers(21, 5.0, 6.0, 8.0), "MultiPoint false [5 6 0] [] []"},
		"multipoint":  {8, numbers(8, box, 2, 1.0, 2.0, 3.0, 4.0), "MultiPoint false [1 2 0 3 4 0] [] []"},
		"multipointZ": {18, numbers(18, box, 2, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 5.0, 6.0), "MultiPoint true [1 2 5 3 4 6] [] []"},
		"lines":       {3, numbers(3, box, 2, 4, 0, 2, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), "MultiLineString false [1 2 0 3 4 0 5 6 0 7 8 0] [2 4] []"},
		"lineM":       {23, numbers(23, box, 1, 2, 0, 1.0, 2.0, 3.0, 4.0, z(2, 9)), "MultiLineString false [1 2 0 3 4 0] [2] []"},
		"lineZ":       {13, numbers(13, box, 1, 2, 0, 1.0, 2.0, 3.0, 4.0, z(2, 9)), "MultiLineString true [1 2 9 3 4 9] [2] []"},
		"polygon, hole before its exterior": {5, numbers(5, box, 3, 13, 0, 4, 9, hole, square, beside),
			"MultiSurface false [0 0 0 4 0 0 4 4 0 0 4 0 1 1 0 2 2 0 2 1 0 9 9 0 10 9 0 9 10 0] [4 7 10] [2 3]"},
		"a hole alone is an exterior": {5, numbers(5, box, 1, 4, 0, hole), "MultiSurface false [1 1 0 2 1 0 2 2 0] [3] [1]"},
		"polygonZ":                    {15, numbers(15, box, 1, 4, 0, beside, z(4, 3), z(4, -1e39)), "MultiSurface true [9 9 3 10 9 3 9 10 3] [3] [1]"},
		"strip and fan": {31, numbers(31, box, 2, 8, 0, 4, 0, 1, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 5.0, 5.0, 6.0, 5.0, 6.0, 6.0, 5.0, 6.0, z(8, 2)),
			"MultiSurface true [0 0 2 0 1 2 1 0 2 1 0 2 0 1 2 1 1 2 5 5 2 6 5 2 6 6 2 5 5 2 6 6 2 5 6 2] [3 6 9 12] [1 2 3 4]"},
		"patch with a hole": {31, numbers(31, box, 2, 9, 0, 5, 2, 3, square, hole, z(9, 1)),
			"MultiSurface true [0 0 1 0 4 1 4 4 1 4 0 1 1 1 1 2 1 1 2 2 1] [4 7] [2]"},
	} {
		main, index := shp(c.typ, c.record)
		for _, shx := range [][]byte{index, nil} {
			r := read(Files{SHP: part(main), SHX: part(shx)}, plain())
			if r.err != nil || len(r.objects) != 1 {
				t.Errorf("%s: %v, %d objects", name, r.err, len(r.objects))
				continue
			}
			got := ""
			for _, g := range r.objects[0].Geometries {
				got = fmt.Sprint(g.Kind, g.HasZ, g.XYZ, g.Rings, g.Surfaces)
				if err := g.Valid(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if got != c.want {
				t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
			}
			if c.typ/10 == 2 != slices.Contains(r.codes(), citymodel.WrongType) || r.tally.Errors > 0 {
				t.Errorf("%s: %v", name, r.problems)
			}
		}
	}
}

// dbf writes a table. Each field is name, type, length, decimals; each record
// is its bytes, with the mark of deletion.
func dbf(language byte, fields [][4]any, records ...string) []byte {
	head := make([]byte, 32)
	head[0], head[29] = 3, language
	length := 1
	var descriptors []byte
	for _, f := range fields {
		d := make([]byte, 32)
		copy(d, f[0].(string))
		d[11] = f[1].(string)[0]
		d[16], d[17] = byte(f[2].(int)), byte(f[3].(int))
		length += f[2].(int)
		descriptors = append(descriptors, d...)
	}
	binary.LittleEndian.PutUint32(head[4:], uint32(len(records)))
	binary.LittleEndian.PutUint16(head[8:], uint16(32+len(descriptors)+1))
	binary.LittleEndian.PutUint16(head[10:], uint16(length))
	return slices.Concat(head, descriptors, []byte{0x0d}, []byte(strings.Join(records, "")), []byte{0x1a})
}

func TestAttributes(t *testing.T) {
	fields := [][4]any{{"id", "C", 4, 0}, {"whole", "N", 6, 0}, {"real", "N", 8, 2}, {"float", "F", 10, 3}, {"built", "D", 8, 0}, {"listed", "L", 1, 0}, {"int", "I", 4, 0}, {"double", "O", 8, 0}, {"memo", "M", 10, 0}, {"time", "T", 8, 0}}
	double := string(numbers(2.5))
	record := func(deleted, id, rest string) string { return deleted + id + rest }
	empty := strings.Repeat(" ", 6+8+10) + "00000000" + "?" + string(numbers(0)) + string(numbers(0.0)) + strings.Repeat(" ", 10) + "\x00\x00\x00\x00\x00\x00\x00\x00"
	full := "    42" + "    1.50" + "  1.25e+10" + "20260131" + "T" + string(numbers(-7)) + double + "         1" + string(numbers(2440588+1, 3_600_000))
	odd := "******" + "99999999" + "       nan" + "2026xx31" + "n" + string(numbers(1)) + string(numbers(math.Inf(1))) + "         1" + string(numbers(-1, -1))
	main, index := shp(1, numbers(1, 1.0, 1.0), numbers(1, 2.0, 2.0), numbers(1, 3.0, 3.0), numbers(1, 4.0, 4.0), numbers(1, 5.0, 5.0))
	table := dbf(0, fields, record(" ", "a   ", full), record("*", "b   ", full), record(" ", "c   ", empty), record(" ", "d   ", odd))
	r := read(Files{SHP: part(main), SHX: part(index), DBF: part(table)}, plain())
	if r.err != nil || len(r.objects) != 4 {
		t.Fatalf("%v, %d objects, want 4 without the deleted one", r.err, len(r.objects))
	}
	text := func(o *spatial.CityObject) (s string) {
		for _, a := range o.Attributes {
			s += fmt.Sprintf("%s=%d:%v ", a.Name, a.Value.Kind(), a.Value)
		}
		return s
	}
	if got, want := text(r.objects[0]), "id=4:a whole=2:42 real=3:1.5 float=3:1.25e+10 built=4:2026-01-31 listed=1:true int=2:-7 double=3:2.5 time=4:1970-01-02T01:00:00 "; got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if got, want := text(r.objects[1]), "id=4:c whole=0:null real=0:null float=0:null built=0:null listed=0:null int=2:0 double=3:0 time=0:null "; got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if got, want := text(r.objects[2]), "id=4:d whole=0:null real=3:9.9999999e+07 float=0:null built=4:2026xx31 listed=1:false int=2:1 double=0:null time=0:null "; got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if o := r.objects[3]; len(o.Attributes) != 0 || o.Geometries[0].XYZ[0] != 5 || o.Source.Line != 5 {
		t.Errorf("a shape beyond the table: %+v", o)
	}
	if !slices.Equal(r.codes(), []citymodel.Code{citymodel.UnknownType, citymodel.NoID}) {
		t.Errorf("%v", r.problems)
	}
}

func TestEncodings(t *testing.T) {
	gbk, err := simplifiedchinese.GBK.NewEncoder().String("北寺塔")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text, cpg string
		language  byte
		option    string
		want      string
		codes     []citymodel.Code
	}{
		"UTF-8":             {"北寺塔", "UTF-8", 0, "", "北寺塔", nil},
		"cpg 936":           {gbk, "936\r\n", 0, "", "北寺塔", nil},
		"cpg GBK":           {gbk, "GBK", 0, "", "北寺塔", nil},
		"language 77":       {gbk, "", 77, "", "北寺塔", nil},
		"LDID/77":           {gbk, "LDID/77", 0, "", "北寺塔", nil},
		"guessed":           {gbk, "", 0, "", "北寺塔", []citymodel.Code{citymodel.Syntax}},
		"UTF-8, unsaid":     {"北寺塔", "", 87, "", "北寺塔", nil},
		"latin":             {"Stra\xdfe", "ISO-8859-1", 0, "", "Straße", nil},
		"by the option":     {gbk, "UTF-8", 0, "CP936", "北寺塔", nil},
		"cut in the middle": {"12345678901\xe5\x8c", "UTF-8", 0, "", "12345678901", nil},
		"unknown":           {"北寺塔", "klingon", 0, "", "北寺塔", []citymodel.Code{citymodel.UnknownType}},
		"wrong":             {gbk + " ", "UTF-8", 0, "", "\ufffd\ufffd", []citymodel.Code{citymodel.Syntax}},
	} {
		main, index := shp(1, numbers(1, 1.0, 1.0))
		table := dbf(c.language, [][4]any{{"id", "C", 1, 0}, {"name", "C", 13, 0}}, " 1"+c.text+strings.Repeat(" ", 13-len(c.text)))
		o := plain()
		o.Encoding = c.option
		f := Files{SHP: part(main), SHX: part(index), DBF: part(table)}
		if c.cpg != "" {
			f.CPG = part([]byte(c.cpg))
		}
		r := read(f, o)
		if r.err != nil || len(r.objects) != 1 || !(r.objects[0].Name == c.want || name == "wrong" && strings.Contains(r.objects[0].Name, "\ufffd")) || !slices.Equal(r.codes(), c.codes) {
			t.Errorf("%s: %v, %v, %v", name, r.err, r.objects, r.problems)
		}
	}
}

func TestCRS(t *testing.T) {
	main, _ := shp(1, numbers(1, 1.0, 1.0))
	o := plain()
	o.CRS = spatial.CRS{}
	for text, want := range map[string]int{
		`PROJCS["CGCS2000_3_Degree_GK_CM_120E",GEOGCS["GCS_China_Geodetic_Coordinate_System_2000",DATUM["D_China_2000",SPHEROID["CGCS2000",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Gauss_Kruger"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",120.0],PARAMETER["Scale_Factor",1.0],PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]`: 4549,
		`LOCAL_CS["suzhou"]`: 0,
	} {
		r := read(Files{SHP: part(main), PRJ: part([]byte(text))}, o)
		if r.err != nil || r.info.CRS.Horizontal != want || r.objects[0].CRS.Horizontal != want {
			t.Errorf("%.30s: %v %v", text, r.err, r.info.CRS)
		}
		if unknown := slices.Contains(r.codes(), citymodel.UnknownCRS); unknown != (want == 0) || unknown && !strings.Contains(r.problems[0].Message, "--crs") {
			t.Errorf("%.30s: %v", text, r.problems)
		}
	}
	if r := read(Files{SHP: part(main)}, o); !slices.Contains(r.codes(), citymodel.UnknownCRS) {
		t.Errorf("no .prj: %v", r.problems)
	}
}

func TestHostile(t *testing.T) {
	line := numbers(3, box, 1, 2, 0, 1.0, 2.0, 3.0, 4.0)
	main, index := shp(3, line, line)
	change := func(b []byte, at int, value int) []byte {
		b = slices.Clone(b)
		binary.LittleEndian.PutUint32(b[at:], uint32(value))
		return b
	}
	big := func(b []byte, at int, value uint32) []byte {
		b = slices.Clone(b)
		binary.BigEndian.PutUint32(b[at:], value)
		return b
	}
	for name, c := range map[string]struct {
		f    Files
		want string
	}{
		"no shp":               {Files{}, "no .shp file"},
		"short":                {Files{SHP: part(main[:50])}, "does not begin as one"},
		"not one":              {Files{SHP: part(make([]byte, 500))}, "does not begin as one"},
		"type":                 {Files{SHP: part(change(main, 32, 99))}, "shape type 99"},
		"cut off":              {Files{SHP: part(main[:len(main)-8]), SHX: part(index)}, "ends at"},
		"cut off, no index":    {Files{SHP: part(main[:len(main)-8])}, "ends at"},
		"index beyond":         {Files{SHP: part(main), SHX: part(big(index, 100, 1<<30))}, "begins at byte"},
		"record without end":   {Files{SHP: part(big(main, 104, 1<<31-1))}, "ends at"},
		"table without fields": {Files{SHP: part(main), DBF: part([]byte("abc"))}, "no header"},
		"long table header":    {Files{SHP: part(main), DBF: part(append(numbers(0, 1<<30, 0x0fffffff), make([]byte, 40)...))}, "says that its header"},
		"field beyond record":  {Files{SHP: part(main), DBF: part(change(dbf(0, [][4]any{{"a", "N", 200, 0}, {"b", "N", 200, 0}}), 10, 5))}, "ends at byte"},
	} {
		if r := read(c.f, plain()); r.err == nil || !strings.Contains(r.err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, r.err, c.want)
		}
	}
	// What is wrong with one shape concerns no other.
	for name, at := range map[string]int{"parts": 100 + 8 + 36, "points": 100 + 8 + 40, "first point": 100 + 8 + 44, "type": 100 + 8} {
		r := read(Files{SHP: part(change(main, at, 1<<30)), SHX: part(index)}, plain())
		if r.err != nil || len(r.objects) != 2 || r.tally.Dropped != 1 || len(r.objects[0].Geometries) != 0 || len(r.objects[1].Geometries) != 1 {
			t.Errorf("%s: %v, %+v, %v", name, r.err, r.tally, r.problems)
		}
	}
	nan, _ := shp(1, numbers(1, math.NaN(), 1.0))
	if r := read(Files{SHP: part(nan)}, plain()); r.err != nil || !slices.Contains(r.codes(), citymodel.OutOfRange) {
		t.Errorf("NaN: %v %v", r.err, r.problems)
	}
	// Rings in each other, 4000 times 4000, each with many points.
	record := numbers(5, box, 8000, 8000*40)
	for i := range 8000 {
		record = append(record, numbers(i*40)...)
	}
	for i := range 8000 {
		r := 1000.0 - float64(i)/10
		for k := range 40 {
			a := float64(k) / 39 * 2 * math.Pi
			if i < 4000 { // clockwise
				a = -a
			}
			record = append(record, numbers(r*math.Cos(a), r*math.Sin(a))...)
		}
	}
	main, _ = shp(5, record)
	if r := read(Files{SHP: part(main)}, plain()); r.err != nil || !slices.Contains(r.codes(), citymodel.TooLarge) && r.tally.Dropped == 0 && len(r.objects[0].Geometries[0].Rings) != 8000 {
		t.Errorf("rings: %v %v", r.err, r.problems)
	}
	o := plain()
	o.Limits.ObjectPoints = 1000
	if r := read(Files{SHP: part(main)}, o); r.err != nil || !slices.Equal(r.codes()[1:2], []citymodel.Code{citymodel.TooLarge}) {
		t.Errorf("limit on points: %v %v", r.err, r.problems)
	}
}

// sparse is a file of zeros behind its beginning.
type sparse struct{ head []byte }

func (s sparse) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(s.head)) {
		copy(b, s.head[at:])
	}
	return len(b), nil
}

func TestTenMillionPointsTakeNoMemory(t *testing.T) {
	const n = 10_000_000
	main, _ := shp(5, numbers(5, box, 1, n, 0))
	binary.BigEndian.PutUint32(main[104:], (44+4+16*n)/2)
	next, _ := shp(5, numbers(5, box, 1, 4, 0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0))
	size := int64(headerBytes + 8 + 44 + 4 + 16*n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := read(Files{SHP: Part{At: sparse{main}, Size: size}}, plain())
	runtime.ReadMemStats(&after)
	if r.err != nil || len(r.objects) != 1 || !slices.Contains(r.codes(), citymodel.TooLarge) || after.TotalAlloc-before.TotalAlloc > 4<<20 {
		t.Errorf("%v, %v, %d bytes", r.err, r.problems, after.TotalAlloc-before.TotalAlloc)
	}
	if r := read(Files{SHP: part(next)}, plain()); r.err != nil || r.tally.Dropped != 0 || r.tally.Points != 3 {
		t.Errorf("%v %+v", r.err, r.tally)
	}
}

// TestGDALsTypes lets GDAL write each type and compares area, length and
// coordinates with its own reading.
func TestGDALsTypes(t *testing.T) {
	program := testkit.Require(t, "ogr2ogr")
	dir := t.TempDir()
	csv := filepath.Join(dir, "in.csv")
	for typ, wkt := range map[string]string{
		"POLYGON":     "MULTIPOLYGON (((0 0,9 0,9 9,0 9,0 0),(1 1,1 2,2 2,2 1,1 1),(4 4,4 8,8 8,8 4,4 4)),((5 5,6 5,6 6,5 5)))",
		"POLYGONZ":    "MULTIPOLYGON Z (((0 0 1,9 0 2,9 9 3,0 0 1)),((15 5 7,16 5 7,16 6 7,15 5 7)))", // GDAL 3.6 gives holes with heights the wrong direction
		"ARCZ":        "MULTILINESTRING Z ((0 0 1,1 1 2),(3 3 3,4 5 6))",
		"MULTIPOINTZ": "MULTIPOINT Z ((0 0 1),(1 1 2))",
		"POINTM":      "POINT M (1 2 3)",
	} {
		if err := os.WriteFile(csv, []byte("id,WKT\n7,\""+wkt+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, typ+".shp")
		if text, err := exec.Command(program, "-f", "ESRI Shapefile", "-lco", "SHPT="+typ, "-a_srs", "EPSG:4549", out, csv).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", typ, err, text)
		}
		var f Files
		for ext, p := range map[string]*Part{".shp": &f.SHP, ".shx": &f.SHX, ".dbf": &f.DBF, ".prj": &f.PRJ} {
			b, err := os.ReadFile(strings.TrimSuffix(out, ".shp") + ext)
			if err != nil {
				t.Fatal(err)
			}
			*p = part(b)
		}
		o := plain()
		o.CRS = spatial.CRS{}
		r := read(f, o)
		if r.err != nil || len(r.objects) != 1 || r.objects[0].ID != "7" || r.objects[0].CRS.Horizontal != 4549 {
			t.Fatalf("%s: %v %+v", typ, r.err, r.objects)
		}
		g := &r.objects[0].Geometries[0]
		switch typ {
		case "POLYGON":
			// The island in the second hole is a polygon of its own.
			if a := g.Area(); len(g.Surfaces) != 2 || len(g.Rings) != 4 || math.Abs(a-(81-1-16+0.5)) > 1e-9 || spatial.RingNormal(g.Ring(0))[2] <= 0 {
				t.Errorf("%s: %v %v area %v, want 64.5", typ, g.Rings, g.Surfaces, a)
			}
		case "POLYGONZ":
			if !g.HasZ || !slices.Equal(g.XYZ[:3], []float64{0, 0, 1}) || len(g.Surfaces) != 2 || len(g.XYZ) != 18 {
				t.Errorf("%s: %v", typ, g)
			}
		case "ARCZ":
			if !slices.Equal(g.XYZ, []float64{0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 5, 6}) || !slices.Equal(g.Rings, []int32{2, 4}) {
				t.Errorf("%s: %v", typ, g)
			}
		case "MULTIPOINTZ":
			if !slices.Equal(g.XYZ, []float64{0, 0, 1, 1, 1, 2}) {
				t.Errorf("%s: %v", typ, g)
			}
		case "POINTM":
			if !slices.Equal(g.XYZ, []float64{1, 2, 0}) {
				t.Errorf("%s: %v", typ, g)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	main, index := shp(5, numbers(5, box, 1, 4, 0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0), numbers(0))
	f.Add(main, index, dbf(77, [][4]any{{"id", "C", 1, 0}, {"v", "N", 3, 1}, {"d", "D", 8, 0}}, " a1.520260131"), "GBK")
	patch, _ := shp(31, numbers(31, box, 1, 4, 0, 0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, box, 1.0, 1.0))
	f.Add(patch, []byte(nil), []byte(nil), "")
	f.Fuzz(func(t *testing.T, main, index, table []byte, cpg string) {
		o := plain()
		o.Limits = citymodel.Limits{ObjectPoints: 1000}
		files := Files{SHP: part(main), SHX: part(index), DBF: part(table)}
		if cpg != "" {
			files.CPG = part([]byte(cpg))
		}
		for _, o := range read(files, o).objects {
			for i := range o.Geometries {
				if err := o.Geometries[i].Valid(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
