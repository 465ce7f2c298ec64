package network

import (
	"fmt"
	"path/filepath"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

func attributes(pairs ...string) (a spatial.Attributes) {
	for i := 0; i+1 < len(pairs); i += 2 {
		a = append(a, spatial.Attribute{Name: pairs[i], Value: spatial.TextValue(pairs[i+1])})
	}
	return a
}

func TestFlowOf(t *testing.T) {
	sloping := func(from, to float64) []spatial.Geometry {
		return []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{1, 2, 0}}, {Kind: spatial.MultiLine, HasZ: true, Rings: []int32{3}, XYZ: []float64{1, 2, from, 1, 3, 99, 1, 4, to}}}
	}
	for _, c := range []struct {
		name       string
		class      spatial.Class
		attributes spatial.Attributes
		geometries []spatial.Geometry
		want       Flow
	}{
		{"canal", water, nil, nil, Along},
		{"road", street, nil, nil, Both},
		{"one-way", street, attributes("oneway", "yes"), nil, Along},
		{"one-way, against", street, attributes("oneway", "-1"), nil, Against},
		{"tidal lane", street, attributes("oneway", "reversible", "junction", "roundabout"), nil, Both},
		{"roundabout", street, attributes("junction", "roundabout"), nil, Along},
		{"oneway is for roads", water, attributes("oneway", "-1"), nil, Along},
		{"tidal river", water, attributes("tidal", "yes"), nil, Both},
		{"flow before all", street, attributes("oneway", "yes", "flow", "Backward "), nil, Against},
		{"survey", pipe, attributes("流向", "1", "管线类型", "雨水"), sloping(3, 1), Against},
		{"survey, along", pipe, attributes("流向", "0"), sloping(1, 3), Along},
		{"unknown flow", pipe, attributes("flow", "turbulent"), nil, Along},
		{"sewer that falls", pipe, attributes("管线类型", "污水"), sloping(3, 1), Along},
		{"sewer that rises", pipe, attributes("substance", "Sewage"), sloping(1, 3), Against},
		{"level sewer", pipe, attributes("substance", "sewage"), sloping(1, 1.009), Along},
		{"pressure main", pipe, attributes("substance", "water"), sloping(1, 3), Along},
		{"canals do not fall", water, attributes("usage", "drain"), sloping(1, 3), Along},
		{"null", street, spatial.Attributes{{Name: "oneway"}}, nil, Both},
		{"number", street, spatial.Attributes{{Name: "oneway", Value: spatial.IntValue(1)}}, nil, Along},
	} {
		if got := FlowOf(&store.Version{Object: spatial.CityObject{Class: c.class, Attributes: c.attributes, Geometries: c.geometries}}); got != c.want {
			t.Errorf("%s: %d, expected %d", c.name, got, c.want)
		}
	}
}

// TestFromStore builds with what the store says: directions, levels and nodes.
func TestFromStore(t *testing.T) {
	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	type drawn struct {
		class      spatial.Class
		metres     []float64
		z          []float64
		attributes spatial.Attributes
	}
	const (
		against, next, aqueduct, sewer, far, out = 0, 1, 2, 3, 4, 5
	)
	all := []drawn{
		against:  {water, []float64{1000, 0, 0, 0}, nil, attributes("flow", "backward")},      // runs to the east
		next:     {water, []float64{1000, 0, 2000, 0}, nil, nil},                              // goes on
		aqueduct: {water, []float64{1500, -100, 1500, 100}, nil, attributes("bridge", "yes")}, // above it
		sewer:    {pipe, []float64{500, 0.5, 500, 200}, []float64{1, 3}, attributes("usage", "sewage", "to_node", "K7")},
		far:      {pipe, []float64{530, 210, 530, 400}, []float64{4, 6}, attributes("usage", "sewage", "from_node", "k7")}, // 32 m away by the map
		out:      {pipe, []float64{1800, 100, 1800, 0.2}, nil, nil},
	}
	_, err = s.Import(t.Context(), store.ImportOptions{Dataset: "drawn"}, func(yield func(*spatial.CityObject, error) bool) {
		for i, d := range all {
			g := spatial.Geometry{Kind: spatial.MultiLine, XYZ: xyz(d.metres), Rings: []int32{int32(len(d.metres) / 2)}, HasZ: d.z != nil}
			for p, z := range d.z {
				g.XYZ[3*p+2] = z
			}
			o := &spatial.CityObject{ID: fmt.Sprint(i), Class: d.class, Attributes: d.attributes, CRS: spatial.CRS{Horizontal: spatial.CRS84}, Geometries: []spatial.Geometry{g}}
			if !yield(o, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	x := index.New(index.Settings{})
	if err := x.Load(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	v := x.For(nil)
	at := func(i int) int64 {
		ref, ok := v.Find(store.Key{Dataset: "drawn", ID: fmt.Sprint(i)})
		if !ok {
			t.Fatal(i)
		}
		return v.Object(ref).Position
	}
	n, err := Build(t.Context(), v, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := n.Downstream(Start{Position: at(far)}, Limits{})
	reached(t, "down the sewers", got, err, map[int64]float64{at(sewer): 0, at(against): 199.5, at(next): 699.5})
	got, err = n.Upstream(Start{Position: at(next)}, Limits{})
	reached(t, "up from the end", got, err, map[int64]float64{at(against): 0, at(out): 0, at(sewer): 500, at(far): 699.5})
	got, err = n.Downstream(Start{Position: at(aqueduct)}, Limits{})
	reached(t, "on the aqueduct", got, err, map[int64]float64{})
	if n.Version() != v.Version() {
		t.Errorf("version %d of a view of version %d", n.Version(), v.Version())
	}
}

func BenchmarkNetwork(b *testing.B) {
	// A city of canals: 100 by 100 in a mesh of 100 m, each of 20 sides.
	var d drawing
	for i := range 100 {
		for j := range 100 {
			var east, north []float64
			for k := range 21 {
				east = append(east, float64(i*100+5*k), float64(j*100)+float64(k%2))
				north = append(north, float64(i*100)+float64(k%2), float64(j*100+5*k))
			}
			d.line(water, east...)
			d.line(water, north...)
		}
	}
	v := d.view(b)
	b.Run("Build20000", func(b *testing.B) {
		for b.Loop() {
			if _, err := Build(b.Context(), v, nil, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	n, err := Build(b.Context(), v, nil, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Upstream2km", func(b *testing.B) {
		for b.Loop() {
			if got, err := n.Upstream(Start{Position: 10_101}, Limits{MaxMetres: 2000}); err != nil || len(got.Objects) < 300 {
				b.Fatal(len(got.Objects), err)
			}
		}
	})
	b.Run("Path5km", func(b *testing.B) {
		for b.Loop() {
			if w, err := n.Path(Start{Position: 1}, Start{Position: 5051}, Limits{}); err != nil || !w.Found {
				b.Fatal(w, err)
			}
		}
	})
}
