package geojson

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

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

func collect(o Options, open func(Options) (citymodel.Reader, error)) (r result) {
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, err := open(o)
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

func read(text string, o Options) result {
	return collect(o, func(o Options) (citymodel.Reader, error) {
		return Open(strings.NewReader(text), int64(len(text)), o)
	})
}

func readSeq(text string, o Options) result {
	return collect(o, func(o Options) (citymodel.Reader, error) { return NewSeqReader(strings.NewReader(text), o), nil })
}

func feature(geometry, properties string) string {
	return `{"type":"Feature","id":"a","geometry":` + geometry + `,"properties":` + properties + `}`
}

var buildings = Options{Options: citymodel.Options{Class: spatial.ClassBuilding}}

func TestEveryTypeOfGeometry(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"Point","coordinates":[120.6,31.3,5]}`:                                                           "MultiPoint true [120.6 31.3 5] [] []",
		`{"coordinates":[[1,2],[3,4]],"type":"MultiPoint"}`:                                                       "MultiPoint false [1 2 0 3 4 0] [] []",
		`{"type":"LineString","coordinates":[[1,2],[3,4],[1,2]]}`:                                                 "MultiLineString false [1 2 0 3 4 0 1 2 0] [3] []",
		`{"type":"MultiLineString","coordinates":[[[1,2],[3,4]],[[5,6,7],[7,8,9]]]}`:                              "MultiLineString false [1 2 0 3 4 0 5 6 0 7 8 0] [2 4] []",
		`{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]],[[1,1],[2,2],[2,1],[1,1]]]}`:                  "MultiSurface false [0 0 0 4 0 0 4 4 0 1 1 0 2 2 0 2 1 0] [3 6] [2]",
		`{"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,0]]],[[[5,5,1],[6,5,1],[6,6,1],[5,5,1]]]]}`: "MultiSurface false [0 0 0 4 0 0 4 4 0 5 5 0 6 5 0 6 6 0] [3 6] [1 2]",
		`{"type":"Polygon","coordinates":[]}`:                                                                     "MultiSurface false [] [] []",
		`{"type":"Point","coordinates":[]}`:                                                                       "MultiPoint false [] [] []",
	} {
		r := read(feature(text, "{}"), buildings)
		if r.err != nil || len(r.objects) != 1 || len(r.objects[0].Geometries) != 1 {
			t.Errorf("%s: %v %v", text, r.err, r.problems)
			continue
		}
		g := &r.objects[0].Geometries[0]
		if got := fmt.Sprint(g.Kind, g.HasZ, g.XYZ, g.Rings, g.Surfaces); got != want || g.Valid() != nil {
			t.Errorf("%s: %s, want %s; %v", text, got, want, g.Valid())
		}
	}
	r := read(feature(`{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]},{"type":"GeometryCollection","geometries":[{"type":"LineString","coordinates":[[1,2],[3,4]]}]}]}`, "null"), buildings)
	if r.err != nil || len(r.problems) > 0 || len(r.objects[0].Geometries) != 2 || r.objects[0].Geometries[1].Kind != spatial.MultiLine {
		t.Errorf("%v %v %+v", r.err, r.problems, r.objects)
	}
	r = read(`{"coordinates":[1,2],"type":"Point"}`, buildings)
	if r.err != nil || len(r.objects) != 1 || len(r.objects[0].Geometries) != 1 || !strings.HasPrefix(r.objects[0].ID, "sha-") {
		t.Errorf("a bare geometry: %v %v", r.err, r.objects)
	}
	r = read(`{"type":"Feature","id":7,"geometry":null,"properties":null,"coordinates":[1,2],"style":"x"}`, buildings)
	if r.err != nil || len(r.problems) > 0 || len(r.objects) != 1 || len(r.objects[0].Geometries) != 0 || r.objects[0].ID != "7" || len(r.objects[0].Attributes) != 1 {
		t.Errorf("a Feature without geometry: %v %v %+v", r.err, r.problems, r.objects[0])
	}
}

func TestMadeUpIdentifierSaysTheSameOfTheSame(t *testing.T) {
	text := func(x, name string) string {
		return `{"type":"Feature","geometry":{"type":"Point","coordinates":[` + x + `,2]},"properties":{"name":"` + name + `"}}`
	}
	r := readSeq(text("1", "a")+"\n"+text("1.5", "a")+"\n"+text("1", "b")+"\n"+text("1.0", "a"), buildings)
	ids := map[string]int{}
	for _, o := range r.objects {
		ids[o.ID]++
	}
	if len(r.objects) != 4 || len(ids) != 3 || r.objects[0].ID != r.objects[3].ID {
		t.Errorf("ids %v", ids)
	}
	if !slices.Equal(r.codes(), []citymodel.Code{citymodel.NoID}) {
		t.Errorf("problems %v, want one of the missing id", r.problems)
	}
}

func TestCRS(t *testing.T) {
	point := `{"type":"Point","coordinates":[558574.026,3467120.659]}`
	collection := func(crs string) string {
		return `{"type":"FeatureCollection","features":[` + feature(point, "{}") + `]` + crs + `}`
	}
	for _, c := range []struct {
		crs  string
		over spatial.CRS
		want spatial.CRS
		code []citymodel.Code
	}{
		{`,"crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::4549"}}`, spatial.CRS{}, spatial.CRS{Horizontal: 4549}, []citymodel.Code{citymodel.Deprecated}},
		{`,"crs":{"type":"EPSG","properties":{"code":4549}}`, spatial.CRS{}, spatial.CRS{Horizontal: 4549}, []citymodel.Code{citymodel.Deprecated}},
		{`,"crs":{"type":"name","properties":{"name":"local grid"}}`, spatial.CRS{}, spatial.CRS{}, []citymodel.Code{citymodel.UnknownCRS}},
		{`,"crs":null`, spatial.CRS{}, spatial.CRS{}, []citymodel.Code{citymodel.UnknownCRS}},
		{`,"crs":{"type":"link","properties":{"href":"x"}}`, spatial.CRS{}, spatial.CRS{}, []citymodel.Code{citymodel.UnknownCRS}},
		{``, crs.EPSG(4549), spatial.CRS{Horizontal: 4549}, nil},
		{`,"crs":{"type":"name","properties":{"name":"EPSG:28992"}}`, crs.EPSG(4549), spatial.CRS{Horizontal: 4549}, []citymodel.Code{citymodel.Deprecated}},
		{``, spatial.CRS{}, spatial.CRS{Horizontal: 4326, VerticalDatum: spatial.Ellipsoid}, []citymodel.Code{citymodel.OutOfRange}},
	} {
		o := buildings
		o.CRS = c.over
		r := read(collection(c.crs), o)
		if r.err != nil || len(r.objects) != 1 || r.objects[0].CRS != c.want || r.info.CRS != c.want || !slices.Equal(r.codes(), c.code) {
			t.Errorf("%s: %v, %v, %v; want %v, %v", c.crs, r.err, r.info.CRS, r.problems, c.want, c.code)
		}
	}
	// 苏州 with latitude first cannot be degrees of longitude and latitude.
	r := read(feature(`{"type":"Point","coordinates":[31.32454,120.61540]}`, "{}"), buildings)
	if !slices.Equal(r.codes(), []citymodel.Code{citymodel.OutOfRange}) || len(r.objects[0].Geometries) != 0 || r.tally.Dropped != 1 {
		t.Errorf("latitude first: %v", r.problems)
	}
}

func TestHeights(t *testing.T) {
	for properties, want := range map[string]spatial.Height{
		`{"height":76.0}`:                               {Metres: 76, From: "height"},
		`{"height":"12 m"}`:                             {Metres: 12, From: "height"},
		`{"height":"12.5米"}`:                            {Metres: 12.5, From: "height"},
		`{"height":"40 ft"}`:                            {Metres: 12.192, From: "height"},
		`{"height":"6'6\""}`:                            {Metres: 1.9812, From: "height"},
		`{"building:levels":"2","height":null}`:         {Metres: 6, From: "building:levels"},
		`{"building:levels":2.5,"height":""}`:           {Metres: 7.5, From: "building:levels"},
		`{"height":9,"min_height":"3"}`:                 {Metres: 9, BaseMetres: 3, From: "height"},
		`{"building:levels":4,"building:min_level":1}`:  {Metres: 12, BaseMetres: 3, From: "building:levels"},
		`{"height":0,"building:levels":1}`:              {Metres: 3, From: "building:levels"},
		`{"measuredHeight":4.25}`:                       {Metres: 4.25, From: "measuredHeight"},
		`{}`:                                            {},
		`{"height":"hoch","building:levels":1,"bad":1}`: {Metres: 3, From: "building:levels"},
		`{"height":-3,"bad":1}`:                         {},
		`{"height":"1e9","bad":1}`:                      {},
		`{"height":5000,"bad":1}`:                       {},
		`{"height":[1],"bad":1}`:                        {},
		`{"height":9,"min_height":9,"bad":1}`:           {Metres: 9, From: "height"},
		`{"height":"m","bad":1}`:                        {},
	} {
		r := read(feature(`null`, properties), buildings)
		if r.err != nil || len(r.objects) != 1 {
			t.Fatal(r.err)
		}
		got := r.objects[0].Height
		if math.Abs(got.Metres-want.Metres) > 1e-9 || got.BaseMetres != want.BaseMetres || got.From != want.From {
			t.Errorf("%s: %+v, want %+v", properties, got, want)
		}
		if bad := strings.Contains(properties, "bad"); bad != slices.Contains(r.codes(), citymodel.OutOfRange) {
			t.Errorf("%s: problems %v", properties, r.problems)
		}
	}
}

func TestClasses(t *testing.T) {
	o := Options{ClassProperty: "kind", Classes: map[string]spatial.Class{"河道": spatial.ClassWater}}
	o.Class = spatial.ClassComponent
	for value, want := range map[string]spatial.Class{
		`"河道"`: "water", `"road"`: "road", `"Tunnel"`: "underground", `"LandUse"`: "component", `"tree"`: "component", `7`: "component",
	} {
		r := read(feature("null", `{"kind":`+value+`}`), o)
		if r.err != nil || r.objects[0].Class != want {
			t.Errorf("%s: %v, want %s", value, r.objects[0].Class, want)
		}
		if strange := value == `"tree"` || value == `7`; strange != slices.Contains(r.codes(), citymodel.UnknownType) {
			t.Errorf("%s: %v", value, r.problems)
		}
	}
	r := read(feature("null", `{}`), Options{})
	if r.objects[0].Class != "" || !slices.Equal(r.codes(), []citymodel.Code{citymodel.NoClass}) {
		t.Errorf("without class: %v", r.problems)
	}
}

func TestSequence(t *testing.T) {
	one := func(id string) string {
		return `{"type":"Feature","id":"` + id + "\",\n\"geometry\":{\"type\":\"Point\",\"coordinates\":[1,2]},\"properties\":{}}"
	}
	flat := func(id string) string { return strings.ReplaceAll(one(id), "\n", "") }
	for name, c := range map[string]struct {
		text  string
		lines []int
		bad   []int
	}{
		"RFC 8142":   {"\x1e" + one("a") + "\n\x1e" + one("b") + "\n\x1e{\"type\":\n\x1e" + one("c") + "\n", []int{1, 3, 6}, []int{6}},
		"lines":      {flat("a") + "\n\n" + flat("b") + "\r\nx\n" + flat("c"), []int{1, 3, 5}, []int{4}},
		"two a line": {flat("a") + flat("x") + "\n" + flat("b") + "\n" + flat("c"), []int{1, 2, 3}, []int{1}},
		"no Feature": {flat("a") + "\n{\"type\":\"FeatureCollection\",\"features\":[]}\n" + flat("b") + "\n[1]\n" + flat("c"), []int{1, 3, 5}, []int{2, 4}},
	} {
		r := readSeq(c.text, buildings)
		var lines, bad []int
		for _, o := range r.objects {
			lines = append(lines, o.Source.Line)
		}
		for _, p := range r.problems {
			bad = append(bad, p.Line)
		}
		if r.err != nil || !slices.Equal(lines, c.lines) || !slices.Equal(bad, c.bad) {
			t.Errorf("%s: %v, objects on lines %v, problems on %v %v; want %v, %v", name, r.err, lines, bad, r.problems, c.lines, c.bad)
		}
	}
}

func TestFaultsOfOneFeatureLeaveTheOthers(t *testing.T) {
	for geometry, want := range map[string]struct {
		code    citymodel.Code
		message string
	}{
		`{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4]]]}`:                                          {citymodel.RingNotClosed, "ring 0"},
		`{"type":"Polygon","coordinates":[[[0,0],[4,0],[0,0]]]}`:                                          {citymodel.TooFewPoints, "2 different points"},
		`{"type":"Polygon","coordinates":[[[0,0],[4,4],[4,0],[0,4],[0,0]]]}`:                              {citymodel.RingSelfIntersects, "edges 0 and 2"},
		`{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,0],[4,4],[0,0]]]}`:                              {citymodel.ConsecutivePoints, "points 1 and 2"},
		`{"type":"Polygon","coordinates":[[]]}`:                                                           {citymodel.EmptyGeometry, "without points"},
		`{"type":"Polygon","coordinates":[[[]]]}`:                                                         {citymodel.WrongType, "arrays 3 deep"},
		`{"type":"Polygon","coordinates":[[0,0],[1,1]]}`:                                                  {citymodel.WrongType, "arrays 3 deep, these are 2"},
		`{"type":"Point","coordinates":[[0,0]]}`:                                                          {citymodel.WrongType, "arrays 1 deep, these are 2"},
		`{"type":"Point","coordinates":[1]}`:                                                              {citymodel.WrongType, "1 number"},
		`{"type":"Point","coordinates":["1","2"]}`:                                                        {citymodel.WrongType, "expected a number, found a string"},
		`{"type":"Point","coordinates":[1e999,0]}`:                                                        {citymodel.WrongType, "too large"},
		`{"type":"Point","coordinates":{"x":1}}`:                                                          {citymodel.WrongType, "expected an array, found an object"},
		`{"type":"LineString","coordinates":[[1,2]]}`:                                                     {citymodel.TooFewPoints, "1 points"},
		`{"type":"LineString","coordinates":[[1,2],[]]}`:                                                  {citymodel.WrongType, "LineString"},
		`{"type":"LineString","coordinates":[[1,2],3]}`:                                                   {citymodel.WrongType, "at depth 1"},
		`{"type":"LineString","coordinates":[[1,2],[3,[4]]]}`:                                             {citymodel.WrongType, "an array beside numbers"},
		`{"type":"LineString","coordinates":[[1,2,3],[3,4]]}`:                                             {citymodel.WrongType, "1 positions have a height"},
		`{"type":"LineString","coordinates":[[1,2,3,4],[3,4,5,6]]}`:                                       {citymodel.WrongType, "more than 3 numbers"},
		`{"type":"MultiPoint","coordinates":[` + strings.Repeat("[1,2],", 200) + `[1,2]]}`:                {citymodel.TooLarge, "more than 100 points"},
		`{"type":"MultiPolygon","coordinates":` + strings.Repeat("[", 90) + strings.Repeat("]", 90) + `}`: {citymodel.WrongType, "more than 4 arrays"},
		`{"type":"GeometryCollection"}`:                                                                   {citymodel.Missing, "without geometries"},
		strings.Repeat(`{"type":"GeometryCollection","geometries":[`, 9) + strings.Repeat("]}", 9):        {citymodel.WrongType, "inside each other"},
		`{"type":"Polygon"}`:           {citymodel.Missing, "without coordinates"},
		`{"type":"Circle","radius":7}`: {citymodel.UnknownType, "Circle"},
		`{"coordinates":[1,2]}`:        {citymodel.UnknownType, "no type of geometry"},
		`"POINT (1 2)"`:                {citymodel.WrongType, "expected an object, found a string"},
	} {
		o := buildings
		o.Limits.ObjectPoints = 100
		r := read("{\"type\":\"FeatureCollection\",\"features\":[\n"+feature(geometry, "{}")+",\n"+strings.Replace(feature("null", "{}"), `"a"`, `"good"`, 1)+"]}", o)
		if r.err != nil || len(r.objects) != 2 || r.objects[1].ID != "good" {
			t.Errorf("%.80s: %v, %d objects", geometry, r.err, len(r.objects))
			continue
		}
		if len(r.problems) == 0 || r.problems[0].Code != want.code || !strings.Contains(r.problems[0].Message, want.message) || r.problems[0].Line != 2 || r.problems[0].Object != "a" {
			t.Errorf("%.80s: %v, want %s %q on line 2", geometry, r.problems, want.code, want.message)
		}
	}
}

func TestSourcesThatCannotBeRead(t *testing.T) {
	good := `{"type":"FeatureCollection","features":[` + feature("null", "{}") + `]}`
	for text, want := range map[string]string{
		"":                             "f:1 (byte 0): the text ends",
		"PK\x03\x04":                   "expected an object",
		"[]":                           "expected an object, found an array",
		`{"type":"Topology"}`:          "none of GeoJSON",
		`{}`:                           "none of GeoJSON",
		`{"type":"FeatureCollection"}`: "without features",
		good[:len(good)-1]:             "the text ends",
		good + "\n" + good:             "text sequence",
		good + "}":                     "expected the end of the text",
		`{"type":"FeatureCollection","features":{}}`:                                          "expected an array, found an object",
		`{"type":"FeatureCollection","features":[],"features":[]}`:                            "stands twice",
		`{"type":"FeatureCollection","features":[{"type":"Feature","id":NaN}]}`:               "expected a number, found 'N'",
		`{"type":"FeatureCollection","features":` + strings.Repeat("[", 1000):                 "more than 128 arrays",
		`{"type":"FeatureCollection","features":[{"x":"` + strings.Repeat("y", 5000) + `"}]}`: "more than 4000 bytes",
	} {
		r := read(text, Options{Options: citymodel.Options{File: "f", Limits: citymodel.Limits{ValueBytes: 4000}}})
		var e *citymodel.Error
		if !errors.As(r.err, &e) || !strings.Contains(r.err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, r.err, want)
		}
	}
}

func FuzzReaders(f *testing.F) {
	f.Add([]byte(`{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"EPSG:4549"}},"features":[` + feature(`{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]}`, `{"height":"7 m","a":[1]}`) + `]}`))
	f.Add([]byte("\x1e" + feature(`{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2,3]}]}`, `null`) + "\n\x1e{\"type\":\"LineString\",\"coordinates\":[[1,2],[3,4]]}"))
	f.Add([]byte(`{"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,0]],[]],[]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := buildings
		o.Limits = citymodel.Limits{ObjectPoints: 1000, ValueBytes: 10000, RecordBytes: 100000}
		for _, r := range []result{
			collect(o, func(o Options) (citymodel.Reader, error) { return Open(bytes.NewReader(b), int64(len(b)), o) }),
			collect(o, func(o Options) (citymodel.Reader, error) { return NewSeqReader(bytes.NewReader(b), o), nil }),
		} {
			var e *citymodel.Error
			if r.err != nil && !errors.As(r.err, &e) {
				t.Fatalf("%T: %v", r.err, r.err)
			}
			for _, o := range r.objects {
				if o.ID == "" || o.Height.BaseMetres > o.Height.Metres {
					t.Fatalf("%+v", o)
				}
				for i := range o.Geometries {
					if err := o.Geometries[i].Valid(); err != nil {
						t.Fatalf("%s: %v", o.ID, err)
					}
				}
			}
			for _, p := range r.problems {
				if p.Message == "" || p.Offset < 0 || p.Offset > int64(len(b)) {
					t.Fatalf("problem %+v of %d bytes", p, len(b))
				}
			}
		}
	})
}

// Whatever is missing at the end, the rest is an error and not a smaller city.
func TestTruncatedAnywhere(t *testing.T) {
	text := `{"type":"FeatureCollection","features":[` + feature(`{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]}`, `{"a":"x\u00e9","b":{"c":[1]}}`) + `]}`
	for n := range len(text) {
		if r := read(text[:n], buildings); r.err == nil {
			t.Fatalf("%d of %d bytes are read as a whole", n, len(text))
		}
	}
}

func TestStopAndReadTwice(t *testing.T) {
	text := `{"type":"FeatureCollection","features":[` + feature("null", "{}") + "," + feature("null", "{}") + `]}`
	r, err := Open(strings.NewReader(text), int64(len(text)), buildings)
	if err != nil {
		t.Fatal(err)
	}
	q := NewSeqReader(strings.NewReader(feature("null", "{}")+"\n"+feature("null", "{}")), buildings)
	for _, reader := range []citymodel.Reader{r, q} {
		for range reader.Objects() {
			break
		}
		for _, err := range reader.Objects() {
			if err == nil {
				t.Errorf("%T gives objects twice", reader)
			}
		}
		if reader.Tally().Objects != 1 {
			t.Errorf("%T: tally %+v", reader, reader.Tally())
		}
	}
}
