package citygml

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
)

// result is what a document gave.
type result struct {
	info     citymodel.Info
	tally    citymodel.Tally
	objects  []*spatial.CityObject
	problems []citymodel.Problem
	err      error
}

func read(src io.Reader, o citymodel.Options) (r result) {
	o.Problem = func(p citymodel.Problem) { r.problems = append(r.problems, p) }
	reader, err := Open(src, o)
	if err != nil {
		r.err = err
		return r
	}
	r.info = reader.Info()
	for o, err := range reader.Objects() {
		if err != nil {
			r.err = err
			break
		}
		r.objects = append(r.objects, o)
	}
	r.tally = reader.Tally()
	return r
}

func fixture(t *testing.T, name string) result {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := read(f, citymodel.Options{File: name})
	if r.err != nil {
		t.Fatal(r.err)
	}
	for _, o := range r.objects {
		for i := range o.Geometries {
			if err := o.Geometries[i].Valid(); err != nil {
				t.Errorf("%s: %v", o.ID, err)
			}
		}
	}
	return r
}

// describe is a geometry in one line: kind, level, points, surfaces, volume of
// solids or area, and the types of its surfaces.
func describe(g *spatial.Geometry) string {
	s := fmt.Sprintf("%v lod%s %dp", g.Kind, g.LoD, g.NumPoints())
	if len(g.Surfaces) > 0 {
		s += fmt.Sprintf(" %ds", len(g.Surfaces))
	}
	if g.Kind.IsSolid() {
		v, closed := g.Volume()
		s += fmt.Sprintf(" %.6g %v", v, closed)
	} else if g.Kind.IsSurface() {
		s += fmt.Sprintf(" %.6g", g.Area())
	}
	for i, j := range g.SemanticOf {
		if j >= 0 {
			s += " " + g.Semantics[j].Type
		} else if i >= 0 {
			s += " -"
		}
	}
	return s
}

// outline is every object with its class, relatives and geometries.
func outline(r result) (lines []string) {
	for _, o := range r.objects {
		s := o.ID + " " + o.Type + " " + string(o.Class)
		if len(o.Parents) > 0 {
			s += " of " + strings.Join(o.Parents, ",")
		}
		if len(o.Children) > 0 {
			s += " with " + strings.Join(o.Children, ",")
		}
		for i := range o.Geometries {
			s += " | " + describe(&o.Geometries[i])
		}
		lines = append(lines, s)
	}
	return lines
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("%s %d:\n got %q\nwant %q", what, i, g, w)
		}
	}
}

func attributes(o *spatial.CityObject) (lines []string) {
	for _, a := range o.Attributes {
		lines = append(lines, fmt.Sprintf("%s=%v (%d)", a.Name, a.Value, a.Value.Kind()))
	}
	return lines
}

func brief(problems []citymodel.Problem) (lines []string) {
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%d %v %s %s %s", p.Line, p.Severity, p.Code, p.Object, p.Field))
	}
	return lines
}

const boxSurfaces = " GroundSurface RoofSurface WallSurface WallSurface WallSurface WallSurface"

func TestBuilding2(t *testing.T) {
	r := fixture(t, "building2.gml")
	if want := (spatial.CRS{Horizontal: 25832, Vertical: 5783, VerticalDatum: "DHHN92"}); r.info.CRS != want || r.info.Title != "fixture" || r.info.Format != "CityGML 2.0" {
		t.Errorf("%+v", r.info)
	}
	// 10 by 20 by 6 and by 5; a footprint of 200 less a hole of 4; the LoD 3
	// window of 1 by 1 is in no other geometry.
	compare(t, "object", outline(r), []string{
		"b1 Building building with bi1,bp1 | MultiSurface lod0 8p 1s 196 | Solid lod1 24p 6s 1200 true | Solid lod2 24p 6s 1000 true" + boxSurfaces +
			" | MultiSurface lod3 4p 1s 1 Window",
		"bi1 BuildingInstallation building of b1 | Solid lod2 24p 6s 2 true",
		"bp1 BuildingPart building of b1 with r1 | Solid lod4 24p 6s 75 true",
		"r1 Room building of bp1 | Solid lod4 24p 6s 8 true",
	})
	compare(t, "problem", brief(r.problems), nil)
	b := r.objects[0]
	if b.Name != "Town hall" || b.Height != (spatial.Height{Metres: 5.5, From: "measuredHeight"}) || b.Source.Line != 7 {
		t.Errorf("%q %+v line %d", b.Name, b.Height, b.Source.Line)
	}
	compare(t, "attribute", attributes(b), []string{
		"description=a house (4)", "gml:name=Town hall (4)", "gml:name=市政厅 (4)", "creationDate=2020-01-31 (4)", "terminationDate=2024-05-06 (4)",
		"informationSystem=http://alkis (4)", "name=DE1 (4)",
		"relativeToTerrain=entirelyAboveTerrain (4)", "flats=12 (2)", "slope=0.5 (3)", "width=30 (3)", "width.uom=ft (4)",
		"genericAttributeSet=survey (4)", "day=2019-10-11 (4)", "class=1000 (4)", "function=1010 (4)", "function=1020 (4)",
		"yearOfConstruction=1987 (2)", "measuredHeight=5.5 (3)", "storeysAboveGround=2 (2)",
		"address=Address (4)", "xalAddress=x:AddressDetails (4)", "x:AddressDetails=x:Locality (4)", "x:LocalityName=苏州 (4)",
		"uro:buildingDetails=uro:BuildingDetails (4)", "uro:prefecture=01 (4)", "uro:totalFloorArea=120.5 (3)", "uro:totalFloorArea.uom=m2 (4)",
	})
	if y := r.tally; y.Appearances != 2 || y.Textures != 1 || y.Materials != 1 || y.Objects != 4 || y.Geometries != 7 || y.Dropped != 0 {
		t.Errorf("%+v", y)
	}
	window := &b.Geometries[3]
	if len(window.Semantics) != 2 || window.Semantics[window.SemanticOf[0]].Parent < 0 || window.Semantics[window.Semantics[window.SemanticOf[0]].Parent].Type != "WallSurface" {
		t.Errorf("the window is not of its wall: %+v", window.Semantics)
	}
	roof := b.Geometries[2].Semantics[1]
	if v, _ := roof.Attributes.Get("id"); roof.Kind != spatial.SurfaceRoof || v.String() != "b1_s1" {
		t.Errorf("%+v", roof)
	}
}

func TestModules2(t *testing.T) {
	r := fixture(t, "modules2.gml")
	compare(t, "object", outline(r), []string{
		"br1 Bridge road with brp1,bce1 | Solid lod2 24p 6s 120 true",
		"brp1 BridgePart road of br1 | Solid lod1 24p 6s 40 true",
		"bce1 BridgeConstructionElement road of br1 | MultiSurface lod2 4p 1s 5",
		"tu1 Tunnel underground with hs1 | MultiSurface lod1 24p 6s 1050",
		"hs1 HollowSpace underground of tu1",
		"ro1 Road road | MultiLineString lod0 3p | MultiSurface lod2 8p 2s 160 TrafficArea AuxiliaryTrafficArea",
		"wb1 WaterBody water | MultiSurface lod1 3p 1s 40.5 | MultiSurface lod2 6p 2s 81 WaterSurface WaterGroundSurface",
		"ve1 SolitaryVegetationObject component | MultiPoint lod1 1p",
		"fu1 CityFurniture component | MultiSurface lod2 4p 1s 4",
		"lu1 LandUse  | MultiSurface lod1 6p 2s 81",
		"rf1 ReliefFeature  with ti1,mp1",
		"ti1 TINRelief  of rf1 | CompositeSurface lod2 6p 2s 81.9939",
		"mp1 MassPointRelief  of rf1 | MultiPoint lod1 2p",
		"ge1 GenericCityObject component | MultiPoint lod0 1p | MultiSurface lod1 3p 1s 0.5",
		"gr1 CityObjectGroup ",
	})
	byID := map[string]*spatial.CityObject{}
	for _, o := range r.objects {
		byID[o.ID] = o
	}
	// The matrix turns by 90°, doubles, and moves by 1 in x.
	compare(t, "furniture", []string{fmt.Sprint(byID["fu1"].Geometries[0].XYZ)}, []string{"[101 200 10 101 202 10 99 202 10 99 200 10]"})
	compare(t, "tree", []string{fmt.Sprint(byID["ve1"].Geometries[0].XYZ)}, []string{"[7 8 9]"})
	// Orientation "-" turns a triangle that faces down.
	compare(t, "turned", []string{fmt.Sprint(byID["ge1"].Geometries[1].XYZ)}, []string{"[1 0 0 0 1 0 0 0 0]"})
	compare(t, "group", attributes(byID["gr1"]), []string{"class=quarter (4)", "groupMember=#br1 (4)", "groupMember=#tu1 (4)"})
	compare(t, "tree's attributes", attributes(byID["ve1"]), []string{"species=1060 (4)", "height=8.5 (3)", "trunkDiameter=40 (3)", "trunkDiameter.uom=cm (4)"})
	if v, _ := byID["br1"].Attributes.Get("isMovable"); v != spatial.BoolValue(true) {
		t.Errorf("isMovable %v", v)
	}
	compare(t, "problem", brief(r.problems), []string{"28 warning bad-reference ve1 lod1ImplicitRepresentation"})
}

func TestModules3(t *testing.T) {
	r := fixture(t, "modules3.gml")
	if r.info.Format != "CityGML 3.0" || r.info.CRS != crs.EPSG(4979) {
		t.Errorf("%+v", r.info)
	}
	compare(t, "object", outline(r), []string{
		"b3 Building building with bp3,br3 | Solid lod2 24p 6s 5e-06 true" + boxSurfaces + " | MultiSurface lod3 3p 1s 0.005 WindowSurface",
		"bp3 BuildingPart building of b3", "br3 BuildingRoom building of b3",
		"r3 Road road with s3", "s3 Section road of r3 with ts3",
		"ts3 TrafficSpace road of s3 | MultiLineString lod0 2p | MultiSurface lod2 3p 1s 5e-05 TrafficArea",
		"f3 CityFurniture component | MultiPoint lod1 1p",
		"wb3 WaterBody water | MultiSurface lod2 3p 1s 5e-05 WaterSurface",
		"pc3 PlantCover component | MultiSurface lod1 3p 1s 5e-05",
		"tu3 Tunnel underground with hs3", "hs3 HollowSpace underground of tu3",
		"bd3 Bridge road with be3", "be3 BridgeConstructiveElement road of bd3",
		"go3 GenericOccupiedSpace  | MultiPoint lod0 1p", "lu3 LandUse ", "rf3 ReliefFeature ",
	})
	b := r.objects[0]
	compare(t, "attribute", attributes(b), []string{
		"gml:name=三 (4)", "creationDate=2021-02-03T04:05:06Z (4)", "owner=city (4)", "flats=7 (2)", "width=7.25 (3)",
		"height=Height (4)", "highReference=highestRoofEdge (4)", "lowReference=lowestGroundPoint (4)", "status=measured (4)", "value=5 (3)",
		"storeysAboveGround=2 (2)",
	})
	if b.Height != (spatial.Height{Metres: 5, From: "height"}) || b.Name != "三" {
		t.Errorf("%+v %q", b.Height, b.Name)
	}
	// Latitude comes first in EPSG:4979, and longitude is x here.
	compare(t, "lamp", []string{fmt.Sprint(r.objects[6].Geometries[0].XYZ)}, []string{"[120.6 31.3 4]"})
	line := r.objects[5].Geometries[0]
	compare(t, "2D line", []string{fmt.Sprint(line.XYZ, line.HasZ)}, []string{"[120.6 31.3 0 120.61 31.31 0] false"})
	compare(t, "problem", brief(r.problems), []string{"25 warning bad-reference f3 lod1ImplicitRepresentation"})
}

// The axes of a prototype are those of the CRS's definition: in EPSG:4549 the
// first is the northing, and so is what the matrix moves along its first row.
func TestPrototypeWhereNorthingIsFirst(t *testing.T) {
	point := func(s string) string { return "<gml:Point><gml:pos>" + s + "</gml:pos></gml:Point>" }
	text := head + strings.Replace(envelope, "25832", "4549", 1) + building("a", `<bldg:lod1ImplicitRepresentation><core:ImplicitGeometry><core:transformationMatrix>1 0 0 5 0 1 0 0 0 0 1 0 0 0 0 1</core:transformationMatrix><core:relativeGMLGeometry>`+
		point("1 0 0")+`</core:relativeGMLGeometry><core:referencePoint>`+point("100 200 10")+`</core:referencePoint></core:ImplicitGeometry></bldg:lod1ImplicitRepresentation>`) + tail
	r := read(strings.NewReader(text), citymodel.Options{})
	if len(r.objects) != 1 || len(r.problems) > 0 || fmt.Sprint(r.objects[0].Geometries[0].XYZ) != "[200 106 10]" {
		t.Errorf("%+v %v %v", r.objects, r.problems, r.err)
	}
}
