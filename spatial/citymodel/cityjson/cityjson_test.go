package cityjson

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

// cube is the boundaries of the one shell of a cube on the vertices 0 to 7 of
// cubeVertices, seen from outside counter-clockwise.
const (
	cube         = `[[0,3,2,1]],[[4,5,6,7]],[[0,1,5,4]],[[1,2,6,5]],[[2,3,7,6]],[[3,0,4,7]]`
	cavity       = `[[8,9,10,11]],[[12,15,14,13]],[[8,12,13,9]],[[9,13,14,10]],[[10,14,15,11]],[[11,15,12,8]]`
	cubeVertices = `[0,0,0],[10,0,0],[10,10,0],[0,10,0],[0,0,10],[10,0,10],[10,10,10],[0,10,10],
	[2,2,2],[4,2,2],[4,4,2],[2,4,2],[2,2,4],[4,2,4],[4,4,4],[2,4,4]`
	header = `"type":"CityJSON","version":"2.0","transform":{"scale":[0.1,0.1,0.1],"translate":[1000,2000,5]},"metadata":{"referenceSystem":"https://www.opengis.net/def/crs/EPSG/0/7415"}`
)

// file puts objects behind a header and before the vertices.
func file(objects string) string {
	return "{" + header + ",\n\"CityObjects\":{\n" + objects + "},\n\"vertices\":[" + cubeVertices + "]}"
}

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

func collect(o citymodel.Options, open func(citymodel.Options) (citymodel.Reader, error)) (r result) {
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

func read(text string, o citymodel.Options) result {
	return collect(o, func(o citymodel.Options) (citymodel.Reader, error) {
		return Open(strings.NewReader(text), int64(len(text)), o)
	})
}

func readSeq(text string, o citymodel.Options) result {
	return collect(o, func(o citymodel.Options) (citymodel.Reader, error) { return NewSeqReader(strings.NewReader(text), o) })
}

func TestSolidWithCavitySemanticsAndAttributes(t *testing.T) {
	r := read(file(`"a":{"type":"Building","attributes":{"name":"瑞光塔","n":7,"f":1.50,"big":123456789012345678901,"flag":true,"none":null,"list":[1, {"x":2}],"measuredHeight":52.87},
	"+owner":"city","address":[{"Country":"中国"}],"children":["b"],"parents":["p","q"],
	"geometry":[{"semantics":{"values":[[0,1,2,null,2,2],null],"surfaces":[{"type":"GroundSurface"},{"type":"RoofSurface","slope":33.5},{"type":"WallSurface","children":[3]},{"type":"Window","parent":2},{"type":"+Solar"}]},
	"boundaries":[[`+cube+`],[`+cavity+`]],"type":"Solid","lod":"2.2","material":{"m":{"value":0}}}]}`), citymodel.Options{Level: 3})
	if r.err != nil || len(r.problems) > 0 || len(r.objects) != 1 {
		t.Fatalf("%d objects, %v, %v", len(r.objects), r.err, r.problems)
	}
	o := r.objects[0]
	if o.ID != "a" || o.Name != "瑞光塔" || o.Class != spatial.ClassBuilding || o.Level != 3 || !slices.Equal(o.Children, []string{"b"}) || !slices.Equal(o.Parents, []string{"p", "q"}) {
		t.Errorf("object %+v", o)
	}
	if o.Height != (spatial.Height{Metres: 52.87, From: "measuredHeight"}) || o.Source.Line != 3 {
		t.Errorf("height %+v, source %+v", o.Height, o.Source)
	}
	if want := (spatial.CRS{Horizontal: 28992, Vertical: 5709, VerticalDatum: "NAP"}); o.CRS != want {
		t.Errorf("CRS %v, want %v", o.CRS, want)
	}
	var kinds []spatial.ValueKind
	var text []string
	for _, a := range o.Attributes {
		kinds = append(kinds, a.Value.Kind())
		text = append(text, a.Name+"="+a.Value.String())
	}
	if want := []spatial.ValueKind{spatial.Text, spatial.Int, spatial.Float, spatial.JSON, spatial.Bool, spatial.Null, spatial.JSON, spatial.Float, spatial.Text, spatial.JSON}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	if want := `name=瑞光塔 n=7 f=1.5 big=123456789012345678901 flag=true none=null list=[1, {"x":2}] measuredHeight=52.87 +owner=city address=[{"Country":"中国"}]`; strings.Join(text, " ") != want {
		t.Errorf("attributes %v", text)
	}
	g := &o.Geometries[0]
	if err := g.Valid(); err != nil {
		t.Error(err)
	}
	// The vertices are in tenths: 1 m³ without 0.008 m³.
	v, closed := g.Volume()
	if !closed || math.Abs(v-0.992) > 1e-9 || math.Abs(g.ShellVolume(1)+0.008) > 1e-9 || g.LoD != "2.2" {
		t.Errorf("volume %v, closed %v, cavity %v, LoD %s", v, closed, g.ShellVolume(1), g.LoD)
	}
	if math.Abs(g.AreaOf(spatial.SurfaceWall)-3) > 1e-9 || math.Abs(g.AreaOf(spatial.SurfaceRoof)-1) > 1e-9 {
		t.Errorf("walls %v m², roof %v m²", g.AreaOf(spatial.SurfaceWall), g.AreaOf(spatial.SurfaceRoof))
	}
	if want := []int32{0, 1, 2, -1, 2, 2, -1, -1, -1, -1, -1, -1}; !slices.Equal(g.SemanticOf, want) {
		t.Errorf("semantics %v, want %v", g.SemanticOf, want)
	}
	if g.Semantics[3].Parent != 2 || g.Semantics[3].Kind != spatial.SurfaceWindow || g.Semantics[4].Kind != spatial.SurfaceOther || len(g.Semantics[1].Attributes) != 1 {
		t.Errorf("semantic surfaces %+v", g.Semantics)
	}
	if b := g.Bounds(); b.Min != [3]float64{1000, 2000, 5} || b.Max != [3]float64{1001, 2001, 6} {
		t.Errorf("bounds %v", b)
	}
}

func TestEveryTypeOfGeometry(t *testing.T) {
	for typ, c := range map[string]struct {
		boundaries, values string
		shape              string // points, rings, surfaces, shells, solids
		of                 []int32
	}{
		"MultiPoint":       {"[0,1,2]", "[0,null,0]", "3 0 0 0 0", []int32{0, -1, 0}},
		"MultiLineString":  {"[[0,1],[2,3,4]]", "[null,0]", "5 2 0 0 0", []int32{-1, 0}},
		"MultiSurface":     {"[[[0,1,2,3],[8,11,10,9]],[[4,5,6]]]", "[0,null]", "11 3 2 0 0", []int32{0, -1}},
		"CompositeSurface": {"[[[0,1,2,3]]]", "null", "4 1 1 0 0", []int32{-1}},
		"Solid":            {"[[" + cube + "]]", "[[0,0,0,0,0,0]]", "24 6 6 1 1", []int32{0, 0, 0, 0, 0, 0}},
		"MultiSolid":       {"[[[" + cube + "],[" + cavity + "]],[[" + cube + "]]]", "[[null,[0,0,0,0,0,0]],null]", "72 18 18 3 2", []int32{-1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1}},
		"CompositeSolid":   {"[[[" + cube + "]]]", "[[[0,0,0,0,0,0]]]", "24 6 6 1 1", []int32{0, 0, 0, 0, 0, 0}},
	} {
		r := read(file(`"a":{"type":"WaterBody","geometry":[{"type":"`+typ+`","lod":"1","boundaries":`+c.boundaries+`,"semantics":{"surfaces":[{"type":"WaterSurface"}],"values":`+c.values+`}}]}`), citymodel.Options{})
		if r.err != nil || len(r.objects) != 1 || len(r.objects[0].Geometries) != 1 {
			t.Errorf("%s: %v, %v", typ, r.err, r.problems)
			continue
		}
		g := &r.objects[0].Geometries[0]
		if shape := fmt.Sprint(g.NumPoints(), len(g.Rings), len(g.Surfaces), len(g.Shells), len(g.Solids)); shape != c.shape || g.Kind.String() != typ || g.Valid() != nil {
			t.Errorf("%s: %v %s, want %s; %v", typ, g.Kind, shape, c.shape, g.Valid())
		}
		if !slices.Equal(g.SemanticOf, c.of) {
			t.Errorf("%s: semantics %v, want %v", typ, g.SemanticOf, c.of)
		}
	}
	if len(kinds) != len(spatial.Kinds()) {
		t.Error("a kind of geometry has no name here")
	}
}

func TestTemplates(t *testing.T) {
	objects := `"lamp":{"type":"CityFurniture","geometry":[{"type":"GeometryInstance","template":1,"boundaries":[6],"transformationMatrix":[0,-2,0,0, 2,0,0,0, 0,0,2,1, 0,0,0,1]}]},
	"none":{"type":"CityFurniture","geometry":[{"type":"GeometryInstance","template":2,"boundaries":[6],"transformationMatrix":[1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1]}]}`
	text := strings.Replace(file(objects), "{"+header, "{"+header+`,"geometry-templates":{"templates":[{"type":"MultiPoint","lod":"0","boundaries":[0]},
	{"type":"MultiLineString","lod":"1","boundaries":[[0,1]]}],"vertices-templates":[[0.5,0,0],[1.5,0,3]]}`, 1)
	r := read(text, citymodel.Options{})
	if r.err != nil || len(r.objects) != 2 || len(r.objects[0].Geometries) != 1 || len(r.objects[1].Geometries) != 0 {
		t.Fatalf("%v %v", r.err, r.problems)
	}
	// Turned by a right angle, doubled, lifted by 1 m, set on vertex 6 at 1001, 2001, 6.
	g := r.objects[0].Geometries[0]
	if want := []float64{1001, 2002, 7, 1001, 2004, 13}; !slices.Equal(g.XYZ, want) || g.LoD != "1" || g.Kind != spatial.MultiLine {
		t.Errorf("%v %v LoD %s, want %v", g.Kind, g.XYZ, g.LoD, want)
	}
	if c := r.codes(); !slices.Equal(c, []citymodel.Code{citymodel.BadReference}) {
		t.Errorf("problems %v", r.problems)
	}
}

func TestVersion10(t *testing.T) {
	text := `{"type":"CityJSON","version":"1.0","metadata":{"referenceSystem":"urn:ogc:def:crs:EPSG::28992"},"vertices":[[85012.25,1e-3,3000000000],[1,2,3],[4,5.5,6]],
	"CityObjects":{"a":{"type":"BridgeConstructionElement","geometry":[{"type":"MultiSurface","lod":1,"boundaries":[[[0,1,2]]]}]}}}`
	r := read(text, citymodel.Options{})
	if r.err != nil || len(r.problems) > 0 || r.info.CRS.Horizontal != 28992 {
		t.Fatal(r.err, r.problems, r.info)
	}
	g := r.objects[0].Geometries[0]
	if want := []float64{85012.25, 1e-3, 3e9, 1, 2, 3, 4, 5.5, 6}; !slices.Equal(g.XYZ, want) || g.LoD != "1" || r.objects[0].Class != spatial.ClassRoad {
		t.Errorf("%v, LoD %s, want %v", g.XYZ, g.LoD, want)
	}
}

func TestHeaderProblems(t *testing.T) {
	good := file(`"a":{"type":"Road"}`)
	for name, c := range map[string]struct {
		old, new string
		over     spatial.CRS
		want     []citymodel.Code
		crs      spatial.CRS
	}{
		"degrees":      {"/7415", "/4979", spatial.CRS{}, []citymodel.Code{citymodel.AxisOrder}, crs.EPSG(4979)},
		"no CRS":       {"referenceSystem", "reference", spatial.CRS{}, []citymodel.Code{citymodel.UnknownCRS}, spatial.CRS{}},
		"null CRS":     {`"https://www.opengis.net/def/crs/EPSG/0/7415"`, "null", spatial.CRS{}, []citymodel.Code{citymodel.UnknownCRS}, spatial.CRS{}},
		"strange CRS":  {"https://www.opengis.net/def/crs/EPSG/0/7415", "local", spatial.CRS{}, []citymodel.Code{citymodel.UnknownCRS}, spatial.CRS{}},
		"overridden":   {"https://www.opengis.net/def/crs/EPSG/0/7415", "local", crs.EPSG(4549), nil, crs.EPSG(4549)},
		"no transform": {`"transform"`, `"+transform"`, spatial.CRS{}, []citymodel.Code{citymodel.Missing}, crs.EPSG(7415)},
		"strange":      {`"transform"`, `"x":1,"+y":2,"transform"`, spatial.CRS{}, []citymodel.Code{citymodel.UnknownType}, crs.EPSG(7415)},
		"extent":       {`"metadata":{`, `"metadata":{"geographicalExtent":[1,2],"title":7,`, spatial.CRS{}, nil, crs.EPSG(7415)},
	} {
		r := read(strings.Replace(good, c.old, c.new, 1), citymodel.Options{CRS: c.over})
		if r.err != nil || !slices.Equal(r.codes(), c.want) || r.info.CRS != c.crs || len(r.objects) != 1 || r.objects[0].CRS != c.crs || r.info.Extent != nil {
			t.Errorf("%s: %v, %v, %+v; want %v, %v", name, r.err, r.problems, r.info, c.want, c.crs)
		}
	}
}

func TestVertexTableWidens(t *testing.T) {
	var v vertices
	want := func(i int) [3]float64 { return [3]float64{float64(i), float64(-i), math.MaxInt32} }
	for round := range 2 {
		v.reset()
		for i := range chunk + 10 {
			v.add(want(i))
		}
		if v.wide || len(v.ints) != 2 {
			t.Fatalf("round %d: integers take floats", round)
		}
		v.add([3]float64{0.5, math.MaxInt32 + 1, 0})
		v.add(want(chunk + 11))
		for i := range v.n {
			w := want(i)
			if i == chunk+10 {
				w = [3]float64{0.5, math.MaxInt32 + 1, 0}
			}
			if got := v.at(i); got != w {
				t.Fatalf("round %d: vertex %d is %v, want %v", round, i, got, w)
			}
		}
	}
}

func TestSequence(t *testing.T) {
	feature := func(id, z string) string {
		return `{"type":"CityJSONFeature","id":"` + id + `","CityObjects":{"` + id + `":{"type":"Road","geometry":[{"type":"MultiLineString","lod":"0","boundaries":[[0,1]]}]}},"vertices":[[0,0,0],[10,0,` + z + `]]}` + "\n"
	}
	head := "{" + header + `,"CityObjects":{},"vertices":[]}` + "\n"
	r := readSeq(head+feature("a", "10")+"\n"+`{"type":"CityJSONFeature","CityObjects":{"x":{]`+"\n"+feature("b", "20")+`{"type":"Feature"}`+"\n"+strings.TrimSpace(feature("c", "30")), citymodel.Options{File: "f"})
	if r.err != nil || len(r.objects) != 3 || r.info.Format != "CityJSONSeq, CityJSON 2.0" {
		t.Fatal(r.err, len(r.objects), r.info)
	}
	for i, o := range r.objects {
		if want := 5 + float64(i+1); o.Geometries[0].XYZ[5] != want || o.Class != spatial.ClassRoad {
			t.Errorf("%s: z %v, want %v", o.ID, o.Geometries[0].XYZ, want)
		}
	}
	if r.objects[1].Source.Line != 5 || r.objects[2].Source.Line != 7 {
		t.Errorf("lines %d %d, want 5 and 7", r.objects[1].Source.Line, r.objects[2].Source.Line)
	}
	if len(r.problems) != 2 || r.problems[0].Line != 4 || r.problems[0].Code != citymodel.Syntax || r.problems[1].Line != 6 {
		t.Errorf("problems %v", r.problems)
	}
	before := len(head+feature("a", "10")) + len("\n") + len(`{"type":"CityJSONFeature","CityObjects":{"x":{`)
	if r.problems[0].Offset != int64(before) {
		t.Errorf("offset %d, want %d", r.problems[0].Offset, before)
	}
}

func TestFaultsOfOneObjectLeaveTheOthers(t *testing.T) {
	for _, c := range []struct {
		name, object string
		code         citymodel.Code
		message      string
	}{
		{"index out of range", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":[16]}]}`, citymodel.BadReference, "vertex index 16, but there are 16"},
		{"negative index", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":[-1]}]}`, citymodel.BadReference, "vertex index -1"},
		{"huge index", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":[99999999999999999999]}]}`, citymodel.WrongType, "whole number"},
		{"fraction", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":[0.5]}]}`, citymodel.WrongType, "whole number"},
		{"too shallow", `{"type":"Road","geometry":[{"type":"Solid","lod":"1","boundaries":[[[0,1,2]]]}]}`, citymodel.WrongType, "arrays 4 deep, these are 3"},
		{"too deep", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":[[[]]]}]}`, citymodel.WrongType, "arrays 1 deep, these are 3"},
		{"deepest", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}]}`, citymodel.WrongType, "more than 5 arrays"},
		{"mixed", `{"type":"Road","geometry":[{"type":"MultiLineString","lod":"1","boundaries":[[0,[1]]]}]}`, citymodel.WrongType, "an array beside"},
		{"mixed later", `{"type":"Road","geometry":[{"type":"MultiLineString","lod":"1","boundaries":[[0],1]}]}`, citymodel.WrongType, "at depth 1"},
		{"object as index", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":[{"a":[1]}]}]}`, citymodel.WrongType, "found an object"},
		{"no type", `{"type":"Road","geometry":[{"lod":"1","boundaries":[0]}]}`, citymodel.Missing, "no type"},
		{"no boundaries", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1"}]}`, citymodel.Missing, "no boundaries"},
		{"unknown geometry", `{"type":"Road","geometry":[{"type":"Sphere","boundaries":[0]}]}`, citymodel.UnknownType, "Sphere"},
		{"geometry is text", `{"type":"Road","geometry":"none"}`, citymodel.WrongType, "expected an array, found a string"},
		{"object is array", `[1,{"a":2}]`, citymodel.WrongType, "expected an object, found an array"},
		{"attributes are text", `{"type":"Road","attributes":"x"}`, citymodel.WrongType, "expected an object"},
		{"object type is number", `{"type":4}`, citymodel.WrongType, "expected a string"},
		{"object without type", `{"attributes":{}}`, citymodel.Missing, "no type"},
		{"unknown type", `{"type":"+Canal"}`, citymodel.UnknownType, "extension"},
		{"lod", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"fine","boundaries":[0]}]}`, citymodel.OutOfRange, "fine"},
		{"semantics too short", `{"type":"Road","geometry":[{"type":"MultiSurface","boundaries":[[[0,1,2]],[[0,1,2]]],"semantics":{"surfaces":[{"type":"TrafficArea"}],"values":[0]}}]}`, citymodel.WrongType, "has 1 for 2"},
		{"semantics too long", `{"type":"Road","geometry":[{"type":"MultiSurface","boundaries":[[[0,1,2]]],"semantics":{"surfaces":[{"type":"TrafficArea"}],"values":[0,0]}}]}`, citymodel.WrongType, "more than the 1"},
		{"semantics out of range", `{"type":"Road","geometry":[{"type":"MultiSurface","boundaries":[[[0,1,2]]],"semantics":{"surfaces":[],"values":[0]}}]}`, citymodel.BadReference, "no semantic surface"},
		{"semantics parent", `{"type":"Road","geometry":[{"type":"MultiSurface","boundaries":[[[0,1,2]]],"semantics":{"surfaces":[{"type":"Door","parent":9}],"values":[0]}}]}`, citymodel.BadReference, "parent 9"},
		{"too many points", `{"type":"Road","geometry":[{"type":"MultiPoint","lod":"1","boundaries":[` + strings.Repeat("0,", 200) + `0]}]}`, citymodel.TooLarge, "more than 100 points"},
		{"ids", `{"type":"Road","children":[1]}`, citymodel.WrongType, "expected a string"},
		{"template", `{"type":"Road","geometry":[{"type":"GeometryInstance","template":0,"boundaries":[0],"transformationMatrix":[1]}]}`, citymodel.WrongType, "1 numbers, expected 16"},
		{"open shell", `{"type":"Road","geometry":[{"type":"Solid","lod":"1","boundaries":[[` + cube[:strings.LastIndex(cube, ",[[")] + `]]}]}`, citymodel.ShellNotClosed, "4 edges"},
	} {
		text := file("\"bad\":\n" + c.object + ",\n\"good\":{\"type\":\"Road\"}")
		r := read(text, citymodel.Options{Limits: citymodel.Limits{ObjectPoints: 100}})
		if r.err != nil || len(r.objects) == 0 || r.objects[len(r.objects)-1].ID != "good" {
			t.Errorf("%s: %v, %d objects", c.name, r.err, len(r.objects))
			continue
		}
		if len(r.problems) == 0 || r.problems[0].Code != c.code || !strings.Contains(r.problems[0].Message, c.message) || r.problems[0].Line != 4 || r.problems[0].Object != "bad" {
			t.Errorf("%s: %v; want %s %q on line 4", c.name, r.problems, c.code, c.message)
		}
	}
}

func TestSourcesThatCannotBeRead(t *testing.T) {
	good := file(`"a":{"type":"Road"}`)
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "f:1 (byte 0): the text ends where an object"},
		"not JSON":         {"<CityModel/>", "expected an object, found '<'"},
		"truncated":        {good[:len(good)-30], "the text ends"},
		"GeoJSON":          {`{"type":"FeatureCollection","CityObjects":{}}`, `expected "CityJSON"`},
		"version":          {strings.Replace(good, `"2.0"`, `"3.0"`, 1), "1.0, 1.1 and 2.0"},
		"no objects":       {`{"type":"CityJSON","version":"2.0"}`, "no member CityObjects"},
		"twice":            {strings.Replace(good, `"vertices"`, `"vertices":[],"vertices"`, 1), "stands twice"},
		"vertex NaN":       {strings.Replace(good, "[10,0,0]", "[NaN,0,0]", 1), "vertices[1]: expected a number, found 'N'"},
		"vertex 2D":        {strings.Replace(good, "[10,0,0]", "[10,0]", 1), "vertices[1]: 2 coordinates"},
		"vertex 4D":        {strings.Replace(good, "[10,0,0]", "[10,0,0,0]", 1), "vertices[1]: more than 3"},
		"vertex text":      {strings.Replace(good, "[10,0,0]", `"x"`, 1), "vertices[1]: expected an array, found a string"},
		"vertex infinite":  {strings.Replace(good, "[10,0,0]", "[1e999,0,0]", 1), "too large"},
		"too many":         {strings.Replace(good, "[10,0,0]", strings.Repeat("[1,1,1],", 50)+"[10,0,0]", 1), "more than 20 vertices; raise Limits.Vertices"},
		"transform":        {strings.Replace(good, `"scale"`, `"skale"`, 1), "scale and translate are both needed"},
		"deep":             {strings.Replace(good, `"type":"Road"`, `"type":"Road","x":`+strings.Repeat("[", 500), 1), "more than 128 arrays"},
		"sequence":         {good + "\n" + good, "text sequence"},
		"trailing":         {good + "x", "expected the end of the text"},
		"objects an array": {strings.Replace(good, `{"a":{"type":"Road"}}`, `[]`, 1), "x"},
	} {
		if name == "objects an array" {
			c = struct{ text, want string }{`{` + header + `,"CityObjects":[],"vertices":[]}`, "expected an object, found an array"}
		}
		r := read(c.text, citymodel.Options{File: "f", Limits: citymodel.Limits{Vertices: 20}})
		var e *citymodel.Error
		if !errors.As(r.err, &e) || !strings.Contains(r.err.Error(), c.want) || !strings.HasPrefix(r.err.Error(), "f:") {
			t.Errorf("%s: %v, want %q", name, r.err, c.want)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "\n\n": "empty", "{}": `expected "CityJSON"`, `{"type":"CityJSONFeature"}`: `expected "CityJSON"`,
		"{" + header + `,"x":"` + strings.Repeat("y", 2000) + `"}`: "a record of more than 1000 bytes",
	} {
		if r := readSeq(text, citymodel.Options{Limits: citymodel.Limits{RecordBytes: 1000}}); r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("sequence %.20q: %v, want %q", text, r.err, want)
		}
	}
}

func TestStopAndReadTwice(t *testing.T) {
	text := file(`"a":{"type":"Road"},"b":{"type":"Road"}`)
	r, err := Open(strings.NewReader(text), int64(len(text)), citymodel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range r.Objects() {
		if err != nil || o.ID != "a" {
			t.Fatal(o, err)
		}
		break
	}
	for _, err := range r.Objects() {
		if err == nil {
			t.Error("objects were given twice")
		}
	}
	if r.Tally().Objects != 1 {
		t.Errorf("tally %+v", r.Tally())
	}
}

func TestClassOptions(t *testing.T) {
	text := file(`"a":{"type":"LandUse"},"b":{"type":"Building","attributes":{"relativeToTerrain":"entirelyBelowTerrain"}},"c":{"type":"+Canal"},"d":{"type":"TunnelPart"}`)
	r := read(text, citymodel.Options{Class: spatial.ClassComponent, ClassOf: func(typ string) (spatial.Class, bool) { return spatial.ClassWater, typ == "+Canal" }})
	var got []spatial.Class
	for _, o := range r.objects {
		got = append(got, o.Class)
	}
	if want := []spatial.Class{spatial.ClassComponent, spatial.ClassUnderground, spatial.ClassWater, spatial.ClassUnderground}; !slices.Equal(got, want) || len(r.problems) > 0 {
		t.Errorf("classes %v, want %v; %v", got, want, r.problems)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(file(`"a":{"type":"Building","attributes":{"x":[1]},"geometry":[{"type":"Solid","lod":"2","boundaries":[[` + cube + `],[` + cavity + `]],"semantics":{"surfaces":[{"type":"RoofSurface"}],"values":[[0,0,0,null,0,0],null]}}]}`)))
	f.Add([]byte(file(`"a":{"type":"Road","geometry":[{"type":"MultiLineString","lod":1,"boundaries":[[0,1]]},{"type":"GeometryInstance","template":0,"boundaries":[0],"transformationMatrix":[1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1]}]},"geometry-templates":{}`)))
	f.Add([]byte(`{"type":"CityJSON","version":"1.0","geometry-templates":{"templates":[{"type":"MultiPoint","boundaries":[0]}],"vertices-templates":[[1,2,3]]},"CityObjects":{"a":{"type":"X","geometry":[{"type":"GeometryInstance","template":0,"boundaries":[0],"transformationMatrix":[1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,0]}]}},"vertices":[[0.5,0,0]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := citymodel.Limits{Vertices: 1000, ObjectPoints: 1000, ValueBytes: 10000}
		check(t, b, collect(citymodel.Options{Limits: limits}, func(o citymodel.Options) (citymodel.Reader, error) {
			return Open(bytes.NewReader(b), int64(len(b)), o)
		}))
		check(t, b, collect(citymodel.Options{Limits: limits}, func(o citymodel.Options) (citymodel.Reader, error) {
			return NewSeqReader(bytes.NewReader(b), o)
		}))
	})
}

// check holds for whatever is read.
func check(t *testing.T, b []byte, r result) {
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
}

// Whatever is missing at the end, the rest is an error and not a smaller city.
func TestTruncatedAnywhere(t *testing.T) {
	text := file(`"a":{"type":"Building","attributes":{"n":[1,"x\u00e9"]},"geometry":[{"type":"Solid","lod":"2","boundaries":[[` + cube + `]]}]}`)
	for n := range len(text) {
		if r := read(text[:n], citymodel.Options{}); r.err == nil {
			t.Fatalf("%d of %d bytes are read as a whole", n, len(text))
		}
	}
}

func TestLimitsOfOneObject(t *testing.T) {
	many := strings.Repeat(`"x":1,`, 50) + `"y":2`
	for object, want := range map[string]string{
		`{"type":"Road","attributes":{` + many + `}}`:                                  "more than 20 attributes",
		`{"type":"Road",` + strings.ReplaceAll(many, "x", "+x") + `}`:                  "more than 20 attributes",
		`{"type":"Road","children":[` + strings.Repeat(`"b",`, 50) + `"b"]}`:           "more than 40 identifiers",
		`{"type":"Road","parents":["` + strings.Repeat("x", 3000) + `","b"]}`:          "longer than 2000 bytes",
		`{"type":"Road","attributes":{"a":"` + strings.Repeat("x", 3000) + `","b":1}}`: "longer than 2000 bytes",
		`{"type":"Road","geometry":[{"type":"MultiPoint","boundaries":[0],"semantics":{"values":[0],"surfaces":[` + strings.Repeat(`{"type":"Door"},`, 10) + `{"type":"Door"}]}}]}`: "more than 5 semantic surfaces",
	} {
		r := read(file(`"bad":`+object+`,"good":{"type":"Road"}`), citymodel.Options{Limits: citymodel.Limits{Attributes: 20, ObjectPoints: 40, RecordBytes: 2000, Semantics: 5}})
		if r.err != nil || len(r.problems) == 0 || r.problems[0].Code != citymodel.TooLarge || !strings.Contains(r.problems[0].Message, want) || r.objects[len(r.objects)-1].ID != "good" {
			t.Errorf("%.60s: %v, %v; want %q", object, r.err, r.problems, want)
		}
	}
}
