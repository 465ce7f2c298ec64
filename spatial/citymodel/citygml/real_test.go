package citygml

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
)

// The numbers are those of testdata/measure.py, which reads the file with
// Python's XML parser and sums fractions.
func TestPLATEAU(t *testing.T) {
	f, err := os.Open(filepath.Join(testkit.DataDir(t, "plateau-citygml"), "64413325_bldg_6697_op.gml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var problems []citymodel.Problem
	r, err := Open(f, citymodel.Options{File: "64413325", Problem: func(p citymodel.Problem) { problems = append(problems, p) }})
	if err != nil {
		t.Fatal(err)
	}
	info := r.Info()
	want := spatial.Box{Min: [3]float64{141.43735604632477, 42.93865811879179, 97.942}, Max: [3]float64{141.4418085108974, 42.94162525937725, 119.054}}
	if info.Format != "CityGML 2.0" || info.CRS != crs.EPSG(6697) || info.Extent == nil || *info.Extent != want {
		t.Errorf("info %+v, extent %v", info, info.Extent)
	}
	if len(info.Extensions) != 2 || info.Extensions[0] != "urf" || info.Extensions[1] != "uro" {
		t.Errorf("extensions %v", info.Extensions)
	}
	box := spatial.EmptyBox()
	var heights, tallest, measured, volume, depth float64
	var points, solids, closed, measuredN, surfaces, risks, cities int
	var tallestID string
	n := 0
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if o.Type != "Building" || o.Class != spatial.ClassBuilding || o.CRS != info.CRS || len(o.Geometries) != 2 {
			t.Fatalf("%s: %s %s %v, %d geometries", o.ID, o.Type, o.Class, o.CRS, len(o.Geometries))
		}
		if n == 1 && (o.ID != "bldg_e3cf1894-2973-4742-b301-3896f04afd99" || o.Source.Line != 10 || o.Source.Offset != 2940) {
			t.Errorf("first %s at line %d, byte %d", o.ID, o.Source.Line, o.Source.Offset)
		}
		b := o.Bounds()
		box = box.Union(b)
		h := b.HeightMetres()
		heights += h
		if h > tallest {
			tallest, tallestID = h, o.ID
		}
		if o.Height.From == "measuredHeight" {
			measuredN++
			measured += o.Height.Metres
		}
		for _, a := range o.Attributes {
			switch s, _ := a.Value.Text(); a.Name {
			case "uro:depth":
				v, _ := a.Value.Number()
				depth += v
				risks++
			case "uro:city":
				if s == "01110" {
					cities++
				}
			}
		}
		if v, _ := o.Attributes.Get("KeyCode"); v.String() == "" {
			t.Errorf("%s has no KeyCode", o.ID)
		}
		if v, _ := o.Attributes.Get("uro:prefecture"); v.String() != "01" || v.Kind() != spatial.Text {
			t.Errorf("%s: prefecture %v", o.ID, v)
		}
		roof, solid := &o.Geometries[0], &o.Geometries[1]
		if roof.Kind != spatial.MultiSurface || roof.LoD != "0" || solid.Kind != spatial.Solid || solid.LoD != "1" || !solid.HasZ || o.Finest() != solid {
			t.Errorf("%s: %v %s, %v %s", o.ID, roof.Kind, roof.LoD, solid.Kind, solid.LoD)
		}
		for i := range o.Geometries {
			points += o.Geometries[i].NumPoints()
			if err := o.Geometries[i].Valid(); err != nil {
				t.Error(err)
			}
		}
		solids++
		surfaces += len(solid.Surfaces)
		v, ok := solid.Volume()
		if volume += v; ok {
			closed++
		}
	}
	if n != 25 || points != 742 || solids != 25 || closed != 25 || surfaces != 156 {
		t.Errorf("%d objects, %d points, %d solids, %d closed, %d surfaces", n, points, solids, closed, surfaces)
	}
	if box != want {
		t.Errorf("extent %v, want %v", box, want)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6 }
	if !near(heights, 126.725) || !near(tallest, 20.231) || tallestID != "bldg_e9cf094c-590b-4e4f-838a-29ddabe63025" {
		t.Errorf("heights %v, tallest %v %s", heights, tallest, tallestID)
	}
	if measuredN != 22 || !near(measured, 138.2) || risks != 49 || !near(depth, 66.215) || cities != 25 {
		t.Errorf("%d measured %v, %d risks %v, %d of the city", measuredN, measured, risks, depth, cities)
	}
	// Positive: the surfaces face outwards once longitude is x.
	if want := 9.286606226724011e-07; math.Abs(volume-want) > 1e-6*want {
		t.Errorf("volume %v square degrees times metres, want %v", volume, want)
	}
	tally := r.Tally()
	if tally.Objects != 25 || tally.Geometries != 50 || tally.Points != 742 || tally.Dropped != 0 {
		t.Errorf("%+v", tally)
	}
	for _, p := range problems {
		t.Errorf("%v", p)
	}
}
