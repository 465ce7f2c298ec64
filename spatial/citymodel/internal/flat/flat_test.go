package flat

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

func TestShapesMergeAndCloseRings(t *testing.T) {
	var s Shapes
	s.Reset(12)
	add := func(points ...[3]float64) {
		t.Helper()
		for _, p := range points {
			if err := s.Point(p[0], p[1], p[2]); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Begin(spatial.MultiSurface, false)
	add([3]float64{0, 0, 9}, [3]float64{1, 0, 9}, [3]float64{1, 1, 9}, [3]float64{0, 0, 9})
	s.EndRing()
	s.EndRing() // without points: none
	s.EndSurface()
	s.EndSurface() // without rings: none
	s.Begin(spatial.MultiPoint, true)
	add([3]float64{5, 6, 7})
	s.Begin(spatial.MultiSurface, false)
	add([3]float64{2, 2, 0}, [3]float64{3, 2, 0}, [3]float64{3, 3, 0})
	s.EndRing()
	s.EndSurface()
	s.Begin(spatial.MultiLine, false)
	s.EndLine()
	got := fmt.Sprint(s.List[0].XYZ, s.List[0].Rings, s.List[0].Surfaces, s.List[0].LoD, s.List[1].XYZ, s.List[1].LoD, s.List[2].Rings, s.Open, len(s.List))
	if want := "[0 0 0 1 0 0 1 1 0 2 2 0 3 2 0 3 3 0] [3 6] [1 2]0[5 6 7][] 1 3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if s.Reserve(4) != nil || CodeOf(s.Reserve(5)) != citymodel.TooLarge {
		t.Error("8 of 12 points are used")
	}
	add([3]float64{}, [3]float64{}, [3]float64{}, [3]float64{})
	if err := s.Point(0, 0, 0); CodeOf(err) != citymodel.TooLarge {
		t.Errorf("%v, want that there are too many points", err)
	}
}

type points [][2]float64

func (p points) X(i int) float64 { return p[i][0] }
func (p points) Y(i int) float64 { return p[i][1] }

// ring appends a square; negative sizes run clockwise.
func (p *points) ring(x, y, size float64) Outline {
	from := len(*p)
	s := math.Abs(size)
	r := [][2]float64{{x, y}, {x + s, y}, {x + s, y + s}, {x, y + s}}
	if size < 0 {
		slices.Reverse(r)
	}
	*p = append(*p, r...)
	return OutlineOf(*p, from, len(*p))
}

func TestNest(t *testing.T) {
	var p points
	rings := []Outline{p.ring(0, 0, 100), p.ring(10, 10, -50), p.ring(20, 20, 20), p.ring(25, 25, -5), p.ring(300, 300, -5), p.ring(0, 0, -10)}
	if rings[0].Area != 10000 || rings[1].Area != -2500 {
		t.Errorf("areas %v, %v", rings[0].Area, rings[1].Area)
	}
	// 3 lies in 2, which lies in 1, which lies in 0; 4 in none; 5 touches the corner of 0.
	lost, err := Nest(p, rings, []int{0, 2}, []int{1, 3, 4, 5})
	if err != nil || !slices.Equal(lost, []int{4}) || !slices.Equal(rings[0].Holes, []int{1, 5}) || !slices.Equal(rings[2].Holes, []int{3}) {
		t.Errorf("lost %v, holes %v and %v, %v", lost, rings[0].Holes, rings[2].Holes, err)
	}
	// A hole that lies in the box of a ring, but beside it.
	p = points{{0, 0}, {10, 0}, {0, 10}}
	rings = []Outline{OutlineOf(p, 0, 3), p.ring(8, 8, 1)}
	if lost, err := Nest(p, rings, []int{0}, []int{1}); err != nil || len(lost) != 1 {
		t.Errorf("%v %v", lost, err)
	}
	// More than can be looked at.
	p = nil
	for range 1_000_000 {
		p = append(p, [2]float64{0, 0}, [2]float64{9, 0}, [2]float64{9, 9})
	}
	rings = []Outline{OutlineOf(p, 0, len(p))}
	var inner []int
	for range 1000 {
		inner = append(inner, len(rings))
		rings = append(rings, p.ring(6, 3, 0.5))
	}
	if _, err := Nest(p, rings, []int{0}, inner); CodeOf(err) != citymodel.TooLarge {
		t.Errorf("%v, want that it takes too long", err)
	}
}

func TestFinish(t *testing.T) {
	var problems []citymodel.Problem
	o := citymodel.FeatureOptions{ClassProperty: "kind", Classes: map[string]spatial.Class{"haus": spatial.ClassBuilding}, IDProperty: "nr"}
	o.Class, o.Problem = spatial.ClassComponent, func(p citymodel.Problem) { problems = append(problems, p) }
	m := New("test", o)
	object := func(id, kind, name string) *spatial.CityObject {
		obj := &spatial.CityObject{Attributes: spatial.Attributes{{Name: "NR", Value: spatial.TextValue(id)}, {Name: "kind", Value: spatial.TextValue(kind)}, {Name: "NAME", Value: spatial.TextValue(name)}, {Name: "building_levels", Value: spatial.IntValue(4)}}}
		m.Finish(obj)
		return obj
	}
	for _, c := range []struct {
		kind, typ string
		class     spatial.Class
	}{{"haus", "", spatial.ClassBuilding}, {"water", "", spatial.ClassWater}, {"Tunnel", "Tunnel", spatial.ClassUnderground}, {"?", "", spatial.ClassComponent}, {"?", "", spatial.ClassComponent}} {
		if obj := object("7", c.kind, "甲"); obj.Class != c.class || obj.Type != c.typ || obj.ID != "7" || obj.Name != "甲" || obj.Height != (spatial.Height{Metres: 12, From: "building:levels"}) || obj.Source.File != "test" {
			t.Errorf("%s: %+v", c.kind, obj)
		}
	}
	if len(problems) != 1 || problems[0].Code != citymodel.UnknownType {
		t.Errorf("%v, want one of the unknown class", problems)
	}
	a, b, c := object("", "haus", "甲"), object("", "haus", "甲"), object("", "haus", "乙")
	if a.ID != b.ID || a.ID == c.ID || len(problems) != 2 || problems[1].Code != citymodel.NoID {
		t.Errorf("%s %s %s %v", a.ID, b.ID, c.ID, problems)
	}
	if m.Tally.Objects != 8 || m.Tally.Warnings != 2 {
		t.Errorf("%+v", m.Tally)
	}
}
