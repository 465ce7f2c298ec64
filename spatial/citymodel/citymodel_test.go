package citymodel

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/crs"
)

func TestMappingIsWhatTheDocumentSays(t *testing.T) {
	text, err := os.ReadFile("MAPPING.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		typ, class := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		if typ == "type" || strings.HasPrefix(typ, "---") {
			continue
		}
		if class == "–" {
			class = ""
		} else if !spatial.Class(class).Valid() {
			t.Errorf("%s: %q is no class", typ, class)
		}
		if got, known := ClassOfType(typ); !known || string(got) != class || documented[typ] {
			t.Errorf("%s: code says %q (known: %v), document %q (twice: %v)", typ, got, known, class, documented[typ])
		}
		documented[typ] = true
	}
	for typ := range classOf {
		if !documented[typ] {
			t.Errorf("%s is not in MAPPING.md", typ)
		}
	}
}

func TestClassify(t *testing.T) {
	below := spatial.Attributes{{Name: "relativeToTerrain", Value: spatial.TextValue("entirelyBelowTerrain")}}
	own := func(typ string) (spatial.Class, bool) { return spatial.ClassWater, typ == "+Canal" || typ == "Road" }
	for _, c := range []struct {
		o     Options
		typ   string
		a     spatial.Attributes
		want  spatial.Class
		known bool
	}{
		{Options{}, "Building", nil, "building", true},
		{Options{}, "Building", below, "underground", true},
		{Options{}, "WaterBody", below, "water", true},
		{Options{}, "Building", spatial.Attributes{{Name: "relativeToTerrain", Value: spatial.IntValue(1)}}, "building", true},
		{Options{}, "TINRelief", nil, "", true},
		{Options{Class: "component"}, "TINRelief", nil, "component", true},
		{Options{Class: "component"}, "+Canal", nil, "component", false},
		{Options{Class: "component", ClassOf: own}, "+Canal", nil, "water", true},
		{Options{ClassOf: own}, "Road", nil, "water", true},
		{Options{ClassOf: own}, "Building", nil, "building", true},
	} {
		obj := spatial.CityObject{Type: c.typ, Attributes: c.a}
		if known := c.o.Classify(&obj); known != c.known || obj.Class != c.want {
			t.Errorf("%s %v: %q, known %v; want %q, %v", c.typ, c.a, obj.Class, known, c.want, c.known)
		}
	}
}

// box is a solid of one outer shell from 0 to size in every direction.
func box(size float64) spatial.Geometry {
	v := [8][3]float64{{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}}
	g := spatial.Geometry{Kind: spatial.Solid, HasZ: true}
	for i, face := range [6][4]int{{0, 3, 2, 1}, {4, 5, 6, 7}, {0, 1, 5, 4}, {1, 2, 6, 5}, {2, 3, 7, 6}, {3, 0, 4, 7}} {
		for _, k := range face {
			g.XYZ = append(g.XYZ, v[k][0]*size, v[k][1]*size, v[k][2]*size)
		}
		g.Rings = append(g.Rings, int32(4*i+4))
		g.Surfaces = append(g.Surfaces, int32(i+1))
	}
	g.Shells, g.Solids = []int32{6}, []int32{1}
	return g
}

// surface is a MultiSurface of one surface with the rings.
func surface(rings ...[]float64) spatial.Geometry {
	g := spatial.Geometry{Kind: spatial.MultiSurface, HasZ: true, Surfaces: []int32{int32(len(rings))}}
	for _, r := range rings {
		g.XYZ = append(g.XYZ, r...)
		g.Rings = append(g.Rings, int32(len(g.XYZ)/3))
	}
	return g
}

// reverse turns ring i of g around.
func reverse(g spatial.Geometry, rings ...int) spatial.Geometry {
	for _, i := range rings {
		ring := g.Ring(i)
		for a, b := 0, len(ring)-3; a < b; a, b = a+3, b-3 {
			for k := range 3 {
				ring[a+k], ring[b+k] = ring[b+k], ring[a+k]
			}
		}
	}
	return g
}

func TestCheckByISO19107(t *testing.T) {
	square := []float64{0, 0, 0, 4, 0, 0, 4, 4, 0, 0, 4, 0}
	hole := []float64{1, 1, 0, 1, 2, 0, 2, 2, 0, 2, 1, 0}
	holeWrong := []float64{1, 1, 0, 2, 1, 0, 2, 2, 0, 1, 2, 0}
	open := box(3)
	open.XYZ, open.Rings, open.Surfaces, open.Shells = open.XYZ[:60], open.Rings[:5], open.Surfaces[:5], []int32{5}
	few := box(3)
	few.XYZ, few.Rings, few.Surfaces, few.Shells = few.XYZ[:36], few.Rings[:3], few.Surfaces[:3], []int32{3}
	fin := box(3) // a seventh surface stands on an edge of the box
	fin.XYZ = append(fin.XYZ, 0, 0, 3, 3, 0, 3, 1, -2, 5)
	fin.Rings, fin.Surfaces, fin.Shells = append(fin.Rings, 27), append(fin.Surfaces, 7), []int32{7}
	inner := box(1) // faces out of the cavity, as it must not
	for i := range inner.XYZ {
		inner.XYZ[i]++
	}
	many := make([]float64, 0, 3*600)
	for i := range 600 {
		s, c := math.Sincos(float64(i) * math.Pi / 300)
		many = append(many, 100*c, 100*s, 0)
	}
	metric, degrees := crs.EPSG(4549), crs.EPSG(4326)
	for name, c := range map[string]struct {
		g    spatial.Geometry
		crs  spatial.CRS
		want []Code
	}{
		"square":                   {surface(square), metric, nil},
		"square with hole":         {surface(square, hole), metric, nil},
		"hole turned":              {surface(square, holeWrong), metric, []Code{RingOrientation}},
		"hole turned, degrees":     {surface(square, holeWrong), degrees, nil},
		"box":                      {box(3), metric, nil},
		"no points":                {spatial.Geometry{Kind: spatial.MultiPoint}, metric, []Code{EmptyGeometry}},
		"line of one point":        {spatial.Geometry{Kind: spatial.MultiLine, XYZ: []float64{1, 2, 3}, Rings: []int32{1}}, metric, []Code{TooFewPoints}},
		"two points":               {surface(square[:6]), metric, []Code{TooFewPoints}},
		"repeated point":           {surface(slices.Concat(square[:3], square)), metric, []Code{ConsecutivePoints}},
		"explicitly closed":        {surface(slices.Concat(square, square[:3])), metric, []Code{ConsecutivePoints}},
		"one point thrice":         {surface([]float64{1, 1, 1, 1, 1, 1, 1, 1, 1}), metric, []Code{ConsecutivePoints, ConsecutivePoints, ConsecutivePoints, TooFewPoints}},
		"bow tie":                  {surface([]float64{0, 0, 0, 4, 4, 0, 4, 0, 0, 0, 4, 0}), metric, []Code{RingSelfIntersects}},
		"bow tie, upright":         {surface([]float64{0, 0, 0, 0, 4, 4, 0, 4, 0, 0, 0, 5}), metric, []Code{RingSelfIntersects}},
		"touches itself":           {surface([]float64{0, 0, 0, 4, 0, 0, 4, 4, 0, 2, 0, 0, 0, 4, 0}), metric, []Code{RingSelfIntersects}},
		"bent by 30 mm":            {surface([]float64{0, 0, 0, 4, 0, 0, 4, 4, 0.06, 0, 4, 0}), metric, []Code{NonPlanar}},
		"bent by 30 mm, degrees":   {surface([]float64{0, 0, 0, 4, 0, 0, 4, 4, 0.06, 0, 4, 0}), degrees, nil},
		"bent by 5 mm":             {surface([]float64{0, 0, 0, 4, 0, 0, 4, 4, 0.01, 0, 4, 0}), metric, nil},
		"hole beside the plane":    {surface(square, []float64{1, 1, 1, 1, 2, 1, 2, 2, 1, 2, 1, 1}), metric, []Code{NonPlanar}},
		"without lid":              {open, metric, []Code{ShellNotClosed}},
		"three surfaces":           {few, metric, []Code{TooFewPolygons}},
		"fin":                      {fin, metric, []Code{ShellNotClosed, NonManifold}},
		"one surface turned":       {reverse(box(3), 2), metric, []Code{PolygonOrientation}},
		"inside out":               {reverse(box(3), 0, 1, 2, 3, 4, 5), metric, []Code{ShellOrientation}},
		"cavity faces out":         {cavityOf(box(3), inner), metric, []Code{ShellOrientation}},
		"cavity":                   {reverse(cavityOf(box(3), inner), 6, 7, 8, 9, 10, 11), metric, nil},
		"more points than checked": {surface(many), metric, []Code{NotChecked}},
	} {
		if c.g.Kind != spatial.MultiPoint {
			if err := c.g.Valid(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		o := spatial.CityObject{ID: "x", CRS: c.crs, Geometries: []spatial.Geometry{c.g}, Source: spatial.Source{Line: 9}}
		var got []Code
		Check(&o, CheckOptions{}, func(p Problem) {
			got = append(got, p.Code)
			if p.Object != "x" || p.Line != 9 || !strings.HasPrefix(p.Field, "geometry[0]") || p.Code.Val3dity() == 0 && p.Code != NotChecked {
				t.Errorf("%s: %+v", name, p)
			}
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		Check(&o, CheckOptions{Skip: true}, func(p Problem) { t.Errorf("%s: %v although skipped", name, p) })
	}
}

func cavityOf(outer, inner spatial.Geometry) spatial.Geometry {
	g := outer
	for i := range 6 {
		g.Rings, g.Surfaces = append(g.Rings, int32(28+4*i)), append(g.Surfaces, int32(7+i))
	}
	g.XYZ, g.Shells, g.Solids = append(g.XYZ, inner.XYZ...), []int32{6, 12}, []int32{2}
	return g
}

func TestProblemInOneLine(t *testing.T) {
	p := Problem{Severity: SeverityError, Code: ShellNotClosed, File: "f.json", Line: 7, Object: "a", Field: "geometry[0].shell[0]", Message: "4 edges"}
	if want := "f.json:7: error shell-not-closed (val3dity 302): a: geometry[0].shell[0]: 4 edges"; p.String() != want {
		t.Errorf("%s, want %s", p, want)
	}
	var tally Tally
	var got []Problem
	r := Reporter{File: "g", Tally: &tally, Sink: func(p Problem) { got = append(got, p) }}
	r.Report(Problem{Severity: SeverityError, Code: Syntax, Line: 1})
	r.Report(Problem{Severity: SeverityWarning, Code: NoID, Line: 2})
	r.Sink = nil
	r.Report(Problem{Severity: SeverityWarning, Code: NoID, Line: 3})
	if tally.Errors != 1 || tally.Warnings != 2 || len(got) != 2 || got[1].String() != "g:2: warning no-id" {
		t.Errorf("%+v %v", tally, got)
	}
}

func TestLimitsHaveDefaults(t *testing.T) {
	l := Limits{Vertices: 5}.WithDefaults()
	if l.Vertices != 5 || l.ObjectPoints <= 0 || l.RecordBytes <= 0 || l.ValueBytes <= 0 || l.Depth <= 0 || l.Attributes <= 0 || l.Semantics <= 0 {
		t.Errorf("%+v", l)
	}
}
