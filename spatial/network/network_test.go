package network

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"go.uber.org/goleak"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drawing is a city drawn in metres east and north of a corner of Suzhou.
type drawing []*store.Version

const lon0, lat0 = 120.6, 31.3

func place(east, north float64) orb.Point {
	x, y := index.MetresPerDegree(lat0)
	return orb.Point{lon0 + east/x, lat0 + north/y}
}

func xyz(metres []float64) (c []float64) {
	for i := 0; i+1 < len(metres); i += 2 {
		p := place(metres[i], metres[i+1])
		c = append(c, p[0], p[1], 0)
	}
	return c
}

func (d *drawing) add(class spatial.Class, g *spatial.Geometry) int64 {
	n := int64(len(*d) + 1)
	*d = append(*d, &store.Version{Dataset: "drawn", Position: n, Footprint: g, Object: spatial.CityObject{ID: fmt.Sprint(n), Class: class}})
	return n
}

// line draws a line from east, north pairs and gives its position.
func (d *drawing) line(class spatial.Class, metres ...float64) int64 {
	return d.add(class, &spatial.Geometry{Kind: spatial.MultiLine, XYZ: xyz(metres), Rings: []int32{int32(len(metres) / 2)}})
}

func (d *drawing) area(metres ...float64) int64 {
	return d.add(spatial.ClassWater, &spatial.Geometry{Kind: spatial.MultiSurface, XYZ: xyz(metres), Rings: []int32{int32(len(metres) / 2)}, Surfaces: []int32{1}})
}

func (d drawing) view(t testing.TB) index.View {
	t.Helper()
	x := index.New(index.Settings{})
	if err := x.Apply(index.Versions(d), nil); err != nil {
		t.Fatal(err)
	}
	return x.For(nil)
}

func (d drawing) build(t testing.TB, o Options) *Network {
	t.Helper()
	n, err := Build(t.Context(), d.view(t), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// reached asks and compares positions and metres, to 5 cm: footprints are
// rounded.
func reached(t *testing.T, what string, got Trace, err error, want map[int64]float64) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	ok := len(got.Objects) == len(want)
	for i, r := range got.Objects {
		m, wanted := want[r.Position]
		ok = ok && wanted && math.Abs(m-r.Metres) < 0.05 && (i == 0 || got.Objects[i-1].Metres <= r.Metres)
	}
	if !ok || got.Cut {
		t.Errorf("%s: %+v, expected %v", what, got, want)
	}
}

const water, pipe, street = spatial.ClassWater, spatial.ClassUnderground, spatial.ClassRoad

// TestRiver is a river with tributaries, sewers, a bridge and what does not meet.
func TestRiver(t *testing.T) {
	var d drawing
	river := d.line(water, 0, 0, 1000, 0)                 // to the east
	brook := d.line(water, 300, 200, 300, 0.6)            // ends 0.6 m from the river
	spring := d.line(water, 300, 500, 300, 350, 300, 200) // into the brook, at its first point
	canal := d.line(water, 600, -100, 600, 100)           // crosses it, without a vertex
	sewer := d.line(pipe, 800, 300, 800, 0.4)             // its outfall
	under := d.line(pipe, 700, 300, 700, -300)            // passes below
	d.line(water, 500, 50, 500, 1.6)                      // ends 1.6 m from the river
	d.line(street, 0, 0, 1000, 0)                         // takes no part
	mouth := d.line(water, 1000, 0.3, 1500, 0)
	n := d.build(t, Options{})
	up := func(p int64, at *orb.Point) (Trace, error) { return n.Upstream(Start{p, at}, Limits{}) }
	down := func(p int64, at *orb.Point) (Trace, error) { return n.Downstream(Start{p, at}, Limits{}) }

	got, err := up(mouth, nil)
	reached(t, "above the mouth", got, err, map[int64]float64{river: 0, brook: 700, spring: 900 - 0.6, canal: 400, sewer: 200})
	got, err = up(river, nil)
	reached(t, "into the river", got, err, map[int64]float64{brook: 0, spring: 199.4, canal: 0, sewer: 0})
	at := place(550, 3)
	got, err = up(river, &at)
	reached(t, "above 550 m", got, err, map[int64]float64{brook: 250, spring: 449.4})
	got, err = down(river, &at)
	reached(t, "below 550 m", got, err, map[int64]float64{canal: 50, mouth: 450})
	got, err = down(spring, nil)
	reached(t, "below the spring", got, err, map[int64]float64{brook: 0, river: 199.4, canal: 499.4, mouth: 899.4})
	got, err = down(under, nil)
	reached(t, "the pipe below", got, err, map[int64]float64{})
	got, err = n.Upstream(Start{Position: mouth}, Limits{MaxMetres: 300})
	reached(t, "300 m above the mouth", got, err, map[int64]float64{river: 0, sewer: 200})
	got, err = n.Upstream(Start{Position: mouth}, Limits{Visible: func(p int64) bool { return p != brook }})
	reached(t, "past what is hidden", got, err, map[int64]float64{river: 0, canal: 400, sewer: 200})
	if got, err := n.Upstream(Start{Position: mouth}, Limits{MaxObjects: 2}); err != nil || len(got.Objects) != 2 || !got.Cut {
		t.Errorf("two objects: %+v, %v", got, err)
	}
	if got, err := n.Upstream(Start{Position: mouth}, Limits{MaxEdges: 1}); err != nil || !got.Cut {
		t.Errorf("one edge: %+v, %v", got, err)
	}
	var e *Error
	if _, err := up(99, nil); !errors.As(err, &e) || e.Field != "Start.Position" {
		t.Errorf("an object that is not in it: %v", err)
	}
	nan := orb.Point{math.NaN(), 1}
	if _, err := up(river, &nan); !errors.As(err, &e) || e.Field != "Start.At" {
		t.Errorf("a place that is none: %v", err)
	}
	all := d.build(t, Options{Crossings: CrossingsOfAll})
	got, err = all.Downstream(Start{Position: under}, Limits{})
	reached(t, "pipes do not join water by crossing", got, err, map[int64]float64{})
	never := d.build(t, Options{Crossings: CrossingsNever})
	got, err = never.Upstream(Start{Position: canal}, Limits{})
	reached(t, "no crossings", got, err, map[int64]float64{})
}

// TestPath goes with the flow, against it and within one line.
func TestPath(t *testing.T) {
	var d drawing
	a := d.line(water, 0, 0, 400, 0)
	b := d.line(water, 400, 0, 400, 300)
	c := d.line(water, 400, 300, 0, 300)
	d.line(water, 0, 300, 0, 0) // a ring of four
	far := d.line(water, 2000, 0, 2100, 0)
	n := d.build(t, Options{})
	for _, q := range []struct {
		name     string
		from, to Start
		l        Limits
		metres   float64
		way      []int64
	}{
		{"next", Start{Position: a}, Start{Position: b}, Limits{}, 0, []int64{a, b}},
		{"over the next", Start{Position: a}, Start{Position: c}, Limits{}, 300, []int64{a, b, c}},
		{"around", Start{Position: b}, Start{Position: a}, Limits{}, 700, []int64{b, c, 4, a}},
		{"against", Start{Position: b}, Start{Position: a}, Limits{Undirected: true}, 0, []int64{b, a}},
		{"to itself", Start{Position: b}, Start{Position: b}, Limits{}, 0, []int64{b}},
		{"from place to place", Start{a, at(100, 2)}, Start{c, at(150, 310)}, Limits{}, 300 + 300 + 250, []int64{a, b, c}},
		{"in one line", Start{a, at(100, 2)}, Start{a, at(250, -1)}, Limits{}, 150, []int64{a}},
		{"in one line, all around", Start{a, at(250, 2)}, Start{a, at(100, -1)}, Limits{}, 1400 - 150, []int64{a, b, c, 4, a}},
		{"in one line, back", Start{a, at(250, 2)}, Start{a, at(100, -1)}, Limits{Undirected: true}, 150, []int64{a}},
		{"nowhere", Start{Position: a}, Start{Position: far}, Limits{}, -1, nil},
		{"too far", Start{Position: b}, Start{Position: a}, Limits{MaxMetres: 600}, -1, nil},
	} {
		w, err := n.Path(q.from, q.to, q.l)
		if err != nil || w.Found != (q.metres >= 0) || w.Found && math.Abs(w.Metres-q.metres) > 0.1 || !slices.Equal(w.Positions, q.way) {
			t.Errorf("%s: %+v, %v; expected %v m over %v", q.name, w, err, q.metres, q.way)
		}
		length := 0.0
		for i := 1; i < len(w.Line); i++ {
			length += apart(w.Line[i-1], w.Line[i])
		}
		if w.Found && w.Metres > 0 && math.Abs(length-w.Metres) > 0.1 {
			t.Errorf("%s: the line is %v m long, the way %v", q.name, length, w.Metres)
		}
	}
}

func at(east, north float64) *orb.Point {
	p := place(east, north)
	return &p
}

// TestLakes are areas of water with and without a line through them.
func TestLakes(t *testing.T) {
	var d drawing
	lake := d.area(0, 0, 200, 0, 200, 200, 0, 200)
	in1 := d.line(water, -300, 100, 20, 100)
	in2 := d.line(pipe, 100, 400, 100, 180)
	out := d.line(water, 190, 100, 600, 100)
	shore := d.line(pipe, 500, 500, 500, 320) // ends outside of the river below
	river := d.area(0, -100, 1000, -100, 1000, -60, 0, -60)
	middle := d.line(water, 0, -80, 1000, -80)
	outfall := d.line(pipe, 400, -30, 400, -65)
	upper := d.line(pipe, 100, -30, 100, -65)
	n := d.build(t, Options{})
	got, err := n.Upstream(Start{Position: out}, Limits{})
	middle0 := place((20.+100+190)/3, (100.+180+100)/3) // the ways through the lake meet in the middle of the ends
	last := apart(middle0, place(190, 100))
	gap := last + apart(middle0, place(20, 100))
	reached(t, "above the lake's outflow", got, err, map[int64]float64{lake: 0, in1: gap, in2: last + apart(middle0, place(100, 180))})
	got, err = n.Downstream(Start{Position: in1}, Limits{})
	reached(t, "below the inflow", got, err, map[int64]float64{lake: 0, out: gap})
	got, err = n.Upstream(Start{Position: lake}, Limits{})
	reached(t, "into the lake", got, err, map[int64]float64{in1: 0, in2: 0, out: 0})
	got, err = n.Downstream(Start{Position: outfall}, Limits{})
	reached(t, "below the outfall", got, err, map[int64]float64{river: 0, middle: 15})
	got, err = n.Upstream(Start{middle, at(700, -80)}, Limits{})
	reached(t, "above a place in the river", got, err, map[int64]float64{river: 0, outfall: 315, upper: 615})
	got, err = n.Upstream(Start{middle, at(300, -80)}, Limits{})
	reached(t, "between the outfalls", got, err, map[int64]float64{river: 0, upper: 215})
	if got, err := n.Downstream(Start{Position: shore}, Limits{}); err != nil || len(got.Objects) != 0 {
		t.Errorf("a pipe that ends in no water: %+v, %v", got, err)
	}
}

// TestGusuMoat has the moat of the old town and the double chessboard of its
// canals as drafted in the project's notes (± 150 m).
func TestGusuMoat(t *testing.T) {
	ring := []float64{120.6000, 31.3175, 120.6020, 31.3225, 120.6075, 31.3295, 120.6225, 31.3310, 120.6370, 31.3275, 120.6375, 31.3136, 120.6390, 31.2990,
		120.6385, 31.2880, 120.6215, 31.2855, 120.6110, 31.2885, 120.6068, 31.2995, 120.6010, 31.3127, 120.6000, 31.3175}
	var d drawing
	draw := func(c ...float64) int64 {
		g := &spatial.Geometry{Kind: spatial.MultiLine, Rings: []int32{int32(len(c) / 2)}}
		for i := 0; i < len(c); i += 2 {
			g.XYZ = append(g.XYZ, c[i], c[i+1], 0)
		}
		return d.add(water, g)
	}
	moat := draw(ring...)
	ganjiang := draw(120.5990, 31.3100, 120.6178, 31.3088, 120.6263, 31.3109, 120.6400, 31.3120) // from moat to moat, beyond both
	pingjiang := draw(120.6299, 31.3225, 120.6320, 31.3100)                                      // ends beyond 干将河
	n := d.build(t, Options{})
	way, err := n.Path(Start{pingjiang, &orb.Point{120.6299, 31.3225}}, Start{moat, &orb.Point{120.6225, 31.2855}}, Limits{})
	if err != nil || !way.Found || !slices.Equal(way.Positions, []int64{pingjiang, ganjiang, moat}) {
		t.Fatalf("from 平江河 to the south gate: %+v, %v", way, err)
	}
	length := n.along[n.lines[0].to-1]
	if math.Abs(length-14_900) > 100 { // the notes give 14.9 km
		t.Errorf("the moat is %v m long", length)
	}
	// All canals are upstream of the moat, and of each place of the ring all of it.
	got, err := n.Upstream(Start{Position: moat}, Limits{})
	reached(t, "into the moat", got, err, map[int64]float64{ganjiang: 0, pingjiang: got.Objects[len(got.Objects)-1].Metres})
	w, err := n.Path(Start{moat, &orb.Point{120.6075, 31.3295}}, Start{moat, &orb.Point{120.6020, 31.3225}}, Limits{})
	if back := apart(orb.Point{120.6075, 31.3295}, orb.Point{120.6020, 31.3225}); err != nil || !w.Found || math.Abs(w.Metres-(length-back)) > 1 && w.Metres >= length {
		t.Errorf("once around: %+v, %v; the ring is %v m", w.Metres, err, length)
	}
}

// TestAgainstFloydWarshall draws networks on a grid of places 100 m apart, with
// ends a little off, and compares all ways with those of the graph that was drawn.
func TestAgainstFloydWarshall(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		const side = 5
		var far [side * side][side * side]float64
		for i := range far {
			for j := range far {
				if far[i][j] = math.Inf(1); i == j {
					far[i][j] = 0
				}
			}
		}
		type edge struct {
			from, to int
			position int64
			both     bool
		}
		var d drawing
		var edges []edge
		for range 10 + r.IntN(40) {
			a := r.IntN(side * side)
			b := a + []int{1, -1, side, -side}[r.IntN(4)]
			if b < 0 || b >= side*side || a%side != b%side && a/side != b/side {
				continue
			}
			if far[a][b] == 100 || far[b][a] == 100 {
				continue // two lines beside each other would cross
			}
			off := func() float64 { return (r.Float64() - 0.5) * 0.5 }
			class := []spatial.Class{water, street}[seed%2]
			p := d.line(class, float64(a%side)*100+off(), float64(a/side)*100+off(), float64(b%side)*100+off(), float64(b/side)*100+off())
			edges = append(edges, edge{a, b, p, class == street})
			far[a][b] = 100
			if class == street {
				far[b][a] = 100
			}
		}
		for k := range far {
			for i := range far {
				for j := range far {
					far[i][j] = min(far[i][j], far[i][k]+far[k][j])
				}
			}
		}
		n := d.build(t, Options{Classes: []spatial.Class{water, street}, Crossings: Crossings(seed % 3)})
		for _, e := range edges {
			want := map[int64]float64{}
			for _, o := range edges {
				m := far[e.to][o.from]
				if e.both {
					m = min(m, far[e.to][o.to], far[e.from][o.from], far[e.from][o.to])
				}
				if o.position != e.position && !math.IsInf(m, 1) {
					want[o.position] = m
				}
			}
			got, err := n.Downstream(Start{Position: e.position}, Limits{})
			if err != nil || got.Cut || len(got.Objects) != len(want) {
				t.Fatalf("seed %d: from %+v %+v, %v; expected %v", seed, e, got, err, want)
			}
			for _, o := range got.Objects {
				if m, ok := want[o.Position]; !ok || math.Abs(m-o.Metres) > 1+m/50 {
					t.Fatalf("seed %d: from %+v to %+v, expected %v metres", seed, e, o, m)
				}
				way, err := n.Path(Start{Position: e.position}, Start{Position: o.Position}, Limits{})
				if err != nil || !way.Found || math.Abs(way.Metres-o.Metres) > 1e-6 {
					t.Fatalf("seed %d: way from %+v to %+v: %+v, %v", seed, e, o, way, err)
				}
			}
		}
	}
}

// TestHostileLines are lines of no length, rings, knots, doubles and copies.
func TestHostileLines(t *testing.T) {
	var d drawing
	dot := d.line(water, 0, 0, 0, 0)
	dots := d.line(water, 0, 0, 0, 0, 0, 0, 0, 0)
	tiny := d.line(water, 0.2, 0, 0.3, 0.1, 0.2, 0)
	ring := d.line(water, 0, 0, 100, 0, 100, 100, 0, 100, 0, 0)
	eight := d.line(water, 0, 0, 50, 50, 0, 50, 50, 0, 0, 0)
	copyOf := d.line(water, 0, 0, 100, 0, 100, 100, 0, 100, 0, 0)
	back := d.line(water, 0, 0, 200, 0, 0, 0)
	n := d.build(t, Options{})
	all := []int64{dot, dots, tiny, ring, eight, copyOf, back}
	for _, p := range all {
		got, err := n.Downstream(Start{Position: p}, Limits{})
		if err != nil || got.Cut || len(got.Objects) != len(all)-1 {
			t.Errorf("from %d: %+v, %v; expected all others", p, got, err)
		}
		if _, err := n.Path(Start{Position: p}, Start{ring, at(100, 50)}, Limits{Undirected: true}); err != nil {
			t.Error(err)
		}
	}
	var empty drawing
	if n := empty.build(t, Options{}); n.Has(1) {
		t.Error("an empty network has an object")
	}
}

// TestMuchOfEverything is bounded by its limits.
func TestMuchOfEverything(t *testing.T) {
	var d drawing
	const chain = 100_000
	for i := range chain {
		d.line(water, float64(i%1000)*10, float64(i/1000)*10, float64(i%1000)*10+10, float64(i/1000)*10)
		if i%1000 == 999 { // to the next row
			d[len(d)-1].Footprint.XYZ = xyz([]float64{9990, float64(i/1000) * 10, 9990, float64(i/1000)*10 + 5, 0, float64(i/1000)*10 + 5, 0, float64(i/1000)*10 + 10})
			d[len(d)-1].Footprint.Rings[0] = 4
		}
	}
	begin := time.Now()
	n := d.build(t, Options{Crossings: CrossingsNever})
	built := time.Since(begin)
	begin = time.Now()
	got, err := n.Downstream(Start{Position: 1}, Limits{MaxMetres: 1e9, MaxObjects: 1e6})
	if err != nil || len(got.Objects) != chain-1 || got.Cut {
		t.Fatalf("%d objects, cut %v, %v", len(got.Objects), got.Cut, err)
	}
	t.Logf("a chain of %d: built in %v, gone through in %v", chain, built, time.Since(begin))
	if got, err := n.Downstream(Start{Position: 1}, Limits{}); err != nil || got.Objects[len(got.Objects)-1].Metres > 50_000 {
		t.Errorf("by default: %v, %v", got.Cut, err)
	}

	var knot drawing // every line crosses every other
	for i := range 400 {
		a := math.Pi * float64(i) / 400
		knot.line(water, 1000*math.Cos(a), 1000*math.Sin(a), -1000*math.Cos(a+0.001), -1000*math.Sin(a+0.001))
	}
	var e *Error
	if _, err := Build(t.Context(), knot.view(t), nil, Options{MaxEdges: 50_000}); !errors.As(err, &e) || e.Field != "MaxEdges" {
		t.Errorf("a knot: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, knot.view(t), nil, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Build(t.Context(), knot.view(t), nil, Options{ToleranceMetres: math.NaN()}); !errors.As(err, &e) || e.Field != "ToleranceMetres" {
		t.Errorf("tolerance: %v", err)
	}
}
