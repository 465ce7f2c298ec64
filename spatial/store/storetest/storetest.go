// Package storetest is the conformance suite of the city model's stores: every
// store.Store passes Run.
package storetest

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// Open makes an empty store whose clock is the given one, closed with the test.
type Open func(t testing.TB, clock func() time.Time) store.Store

// Run holds the stores that open makes to the contract.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, *city){
		"objects come back as they were":           roundTrip,
		"re-import keeps versions":                 versions,
		"a complete import ends what is missing":   complete,
		"pages are complete and in order":          pages,
		"bounding boxes":                           boxes,
		"all or nothing":                           atomic,
		"parts":                                    parts,
		"coordinates are converted, heights named": conversion,
		"readers beside an import":                 isolation,
		"what cannot be is refused":                refusals,
		"changes since an import":                  changes,
		"following imports":                        following,
		"ending by identifier":                     ending,
		"trial imports":                            trial,
		"what narrows a query":                     selection,
		"lowest and highest points":                heights,
	} {
		t.Run(name, func(t *testing.T) {
			c := &city{now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
			c.Store = open(t, func() time.Time { return c.now })
			test(t, c)
		})
	}
}

type city struct {
	store.Store
	now time.Time
}

// Objects is the sequence of some objects.
func Objects(objects ...*spatial.CityObject) iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// House is a building of about 11 by 11 m and 10 m in height whose south-west
// corner is at a place in Suzhou given in steps of 0.001 degrees.
func House(id string, i, j int) *spatial.CityObject {
	x, y := 120.6+float64(i)/1000, 31.3+float64(j)/1000
	const d = 0.0001
	g := spatial.Geometry{Kind: spatial.Solid, LoD: "1.2", HasZ: true}
	corner := [8][3]float64{{x, y, 3}, {x + d, y, 3}, {x + d, y + d, 3}, {x, y + d, 3}, {x, y, 13}, {x + d, y, 13}, {x + d, y + d, 13}, {x, y + d, 13}}
	for _, face := range [][4]int{{3, 2, 1, 0}, {4, 5, 6, 7}, {0, 1, 5, 4}, {1, 2, 6, 5}, {2, 3, 7, 6}, {3, 0, 4, 7}} {
		for _, k := range face {
			g.XYZ = append(g.XYZ, corner[k][:]...)
		}
		g.Rings = append(g.Rings, int32(g.NumPoints()))
		g.Surfaces = append(g.Surfaces, int32(len(g.Rings)))
	}
	g.Shells, g.Solids = []int32{6}, []int32{1}
	return &spatial.CityObject{
		ID: id, Class: spatial.ClassBuilding, Type: "Building", Name: "沧浪亭 " + id, Level: 3, CRS: spatial.CRS{Horizontal: 4326, Vertical: 5737, VerticalDatum: "1985 国家高程基准"},
		Attributes: spatial.Attributes{{Name: "storeys", Value: spatial.IntValue(3)}}, Geometries: []spatial.Geometry{g}, Source: spatial.Source{File: "a.json", Line: 7, Offset: 99},
	}
}

func mustImport(t testing.TB, s store.Store, o store.ImportOptions, objects ...*spatial.CityObject) store.ImportResult {
	t.Helper()
	r, err := s.Import(t.Context(), o, Objects(objects...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func hasCode(err error, code store.Code) bool {
	var e *store.Error
	return errors.As(err, &e) && e.Code == code
}

func roundTrip(t *testing.T, c *city) {
	o := House("a/1", 0, 0)
	g := &o.Geometries[0]
	g.Semantics = []spatial.Semantic{{Kind: spatial.SurfaceGround, Type: "GroundSurface", Parent: -1}, {Kind: spatial.SurfaceRoof, Type: "RoofSurface", Parent: -1,
		Attributes: spatial.Attributes{{Name: "pitch", Value: spatial.FloatValue(30)}}}}
	g.SemanticOf = []int32{0, 1, -1, -1, -1, -1}
	o.Height = spatial.Height{Metres: 10, BaseMetres: 0.5, From: "height"}
	o.Parents, o.Children = []string{"p\"1", "p2"}, []string{"子"}
	o.Attributes = spatial.Attributes{{Name: "b", Value: spatial.BoolValue(true)}, {Name: "i", Value: spatial.IntValue(math.MinInt64)}, {Name: "f", Value: spatial.FloatValue(3)},
		{Name: "big", Value: spatial.JSONValue("12345678901234567890123")}, {Name: "t", Value: spatial.TextValue("a\"\\\n苏州\u2028<&>")},
		{Name: "j", Value: spatial.JSONValue(`[1, {"x": null}]`)}, {Name: "n", Value: spatial.NullValue()}, {Name: "b", Value: spatial.TextValue("twice")}, {Name: "e", Value: spatial.FloatValue(1e300)}}
	line := &spatial.CityObject{ID: "line", Class: spatial.ClassRoad, CRS: o.CRS, Geometries: []spatial.Geometry{{Kind: spatial.MultiLine, Rings: []int32{2, 4}, XYZ: []float64{120, 31, 0, 121, 31, 0, 122, 31, 0, 122, 32, 0}}}}
	point := &spatial.CityObject{ID: "point", Class: spatial.ClassComponent, CRS: o.CRS, Geometries: []spatial.Geometry{{Kind: spatial.MultiPoint, LoD: "0", HasZ: true, XYZ: []float64{120, 31, -7.5}}}}
	bare := &spatial.CityObject{ID: "bare", CRS: spatial.CRS{Horizontal: 4326}}
	for _, want := range []*spatial.CityObject{o, line, point, bare} {
		mustImport(t, c, store.ImportOptions{Dataset: "d"}, want)
		v, err := c.Get(t.Context(), store.Key{Dataset: "d", ID: want.ID}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range v.Object.Geometries { // coordinates are rounded
			for k, x := range v.Object.Geometries[i].XYZ {
				if math.Abs(x-want.Geometries[i].XYZ[k]) > 1e-9 {
					t.Errorf("%s: coordinate %d is %v, want %v", want.ID, k, x, want.Geometries[i].XYZ[k])
				}
			}
			v.Object.Geometries[i].XYZ = want.Geometries[i].XYZ
		}
		if !reflect.DeepEqual(&v.Object, want) {
			t.Errorf("got  %+v\nwant %+v", &v.Object, want)
		}
		if (v.Footprint == nil) != (len(want.Geometries) == 0) || v.Dataset != "d" || !v.ValidFrom.Equal(c.now) || !v.ValidTo.IsZero() {
			t.Errorf("%s: %+v", want.ID, v)
		}
		c.now = c.now.Add(time.Second)
	}
	v, err := c.Get(t.Context(), store.Key{Dataset: "d", ID: "a/1"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if f := v.Footprint; f.Kind != spatial.MultiSurface || len(f.Rings) != 1 || f.NumPoints() != 4 || f.HasZ || spatial.RingNormal(f.Ring(0))[2] != 1 {
		t.Errorf("the footprint of a house is %+v", f)
	}
}

func versions(t *testing.T, c *city) {
	ctx, o := t.Context(), store.ImportOptions{Dataset: "d"}
	key := store.Key{Dataset: "d", ID: "1"}
	t1 := c.now
	if r := mustImport(t, c, o, House("1", 0, 0), House("2", 1, 0)); r.Added != 2 || !r.At.Equal(t1) {
		t.Fatalf("first import: %+v", r)
	}
	c.now = t1.Add(time.Hour)
	moved := House("2", 1, 0)
	moved.Source = spatial.Source{File: "b.json", Line: 1}
	if r := mustImport(t, c, o, House("1", 0, 0), moved); r.Unchanged != 2 || r.Added+r.Updated+r.Ended != 0 || !r.At.IsZero() {
		t.Fatalf("the same again: %+v", r)
	}
	changed := House("1", 5, 5)
	changed.Name, changed.Class = "新", spatial.ClassUnderground
	c.now = t1.Add(-time.Hour) // a clock that was set back
	r := mustImport(t, c, o, changed, House("2", 1, 0), House("3", 2, 0))
	if r.Added != 1 || r.Updated != 1 || r.Unchanged != 1 || !r.At.After(t1) {
		t.Fatalf("a change: %+v", r)
	}
	all, err := c.Versions(ctx, key)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d versions, %v", len(all), err)
	}
	if !all[0].ValidTo.Equal(r.At) || !all[1].ValidFrom.Equal(r.At) || all[0].Position != all[1].Position || all[0].Object.Name != "沧浪亭 1" || all[1].Object.Name != "新" {
		t.Errorf("versions %+v, %+v", all[0], all[1])
	}
	if len(all[0].Object.Geometries) != 1 || len(all[1].Object.Geometries) != 1 {
		t.Error("a version lost its geometry")
	}
	for at, want := range map[time.Time]string{{}: "新", t1: "沧浪亭 1", r.At: "新", r.At.Add(-time.Millisecond): "沧浪亭 1"} {
		if v, err := c.Get(ctx, key, at); err != nil || v.Object.Name != want {
			t.Errorf("at %v: %+v, %v; want %s", at, v, err, want)
		}
	}
	if _, err := c.Get(ctx, key, t1.Add(-time.Millisecond)); !hasCode(err, store.NotFound) {
		t.Errorf("before it was: %v", err)
	}
	for _, q := range []struct {
		store.Query
		want int64
	}{
		{store.Query{Class: spatial.ClassBuilding}, 2}, {store.Query{Class: spatial.ClassUnderground}, 1},
		{store.Query{Class: spatial.ClassBuilding, At: t1}, 2}, {store.Query{Class: spatial.ClassUnderground, At: t1}, 0},
		{store.Query{Class: spatial.ClassBuilding, At: t1, BBox: &store.BBox{West: 120.6, South: 31.3, East: 120.60005, North: 31.30005}}, 1},
		{store.Query{Class: spatial.ClassBuilding, BBox: &store.BBox{West: 120.6, South: 31.3, East: 120.60005, North: 31.30005}}, 0},
		{store.Query{Class: spatial.ClassBuilding, At: t1.Add(-time.Hour)}, 0}, {store.Query{Class: spatial.ClassBuilding, Dataset: "other"}, 0},
	} {
		n, err := c.Count(ctx, q.Query)
		page, err2 := c.Query(ctx, q.Query)
		if err != nil || err2 != nil || n != q.want || int64(len(page.Versions)) != q.want {
			t.Errorf("%+v: count %d, page %d, %v, %v; want %d", q.Query, n, len(page.Versions), err, err2, q.want)
		}
	}
	// The same identifier in another data set is another object.
	mustImport(t, c, store.ImportOptions{Dataset: "e"}, House("1", 9, 9))
	if all, err := c.Versions(ctx, key); err != nil || len(all) != 2 {
		t.Errorf("%d versions after another data set, %v", len(all), err)
	}
}

func complete(t *testing.T, c *city) {
	ctx := t.Context()
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("1", 0, 0), House("2", 1, 0))
	mustImport(t, c, store.ImportOptions{Dataset: "e"}, House("9", 8, 8))
	t1 := c.now
	c.now = t1.Add(time.Hour)
	r := mustImport(t, c, store.ImportOptions{Dataset: "d", Complete: true}, House("2", 1, 0))
	if r.Ended != 1 || r.Unchanged != 1 || r.Added+r.Updated != 0 {
		t.Fatalf("%+v", r)
	}
	if n, err := c.Count(ctx, store.Query{Class: spatial.ClassBuilding}); n != 2 || err != nil {
		t.Errorf("%d left, %v; want 2", n, err)
	}
	if e, err := c.Extent(ctx, spatial.ClassBuilding); err != nil || math.Abs(e.West-120.601) > 1e-9 {
		t.Errorf("extent %+v, %v; want it to begin at 120.601", e, err)
	}
	before, err := c.Get(ctx, store.Key{Dataset: "d", ID: "1"}, t1)
	if err != nil {
		t.Fatal(err)
	}
	c.now = t1.Add(2 * time.Hour)
	if r := mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("1", 0, 0)); r.Added != 1 {
		t.Errorf("an object that is there again: %+v", r)
	}
	again, err := c.Get(ctx, store.Key{Dataset: "d", ID: "1"}, time.Time{})
	if err != nil || again.Position != before.Position {
		t.Errorf("it is %+v, %v; want the place in the order that it had", again, err)
	}
	if r := mustImport(t, c, store.ImportOptions{Dataset: "d", Complete: true}); r.Ended != 2 {
		t.Errorf("a data set that became empty: %+v", r)
	}
}

func pages(t *testing.T, c *city) {
	var objects []*spatial.CityObject
	for i := range 1000 {
		objects = append(objects, House(fmt.Sprint("h", (i*7919)%1000), i%40, i/40))
	}
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, objects...)
	box := &store.BBox{West: 120.6095, South: 31.2, East: 120.6195, North: 31.4}
	for _, q := range []store.Query{{}, {BBox: box}, {At: c.now}} {
		q.Class, q.Limit = spatial.ClassBuilding, 33
		want := 1000
		if q.BBox != nil {
			want = 250
		}
		var ids []string
		last := int64(0)
		for {
			page, err := c.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.Versions {
				if v.Position <= last {
					t.Fatalf("position %d after %d", v.Position, last)
				}
				last = v.Position
				ids = append(ids, v.Object.ID)
			}
			if page.Next == 0 {
				break
			}
			if len(page.Versions) != 33 {
				t.Fatalf("a page of %d", len(page.Versions))
			}
			q.After = page.Next
		}
		slices.Sort(ids)
		if n := len(slices.Compact(ids)); n != want || len(ids) != want {
			t.Errorf("%d objects, %d different; want %d", len(ids), n, want)
		}
		if n, err := c.Count(t.Context(), q); err != nil || n != int64(want) {
			t.Errorf("count %d, %v; want %d", n, err, want)
		}
	}
}

func boxes(t *testing.T, c *city) {
	fiji := House("fiji", 0, 0)
	fiji.Geometries = []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{179.5, -17, 0}}}
	samoa := House("samoa", 0, 0)
	samoa.Geometries = []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{-179.5, -17, 0}}}
	bare := House("bare", 0, 0)
	bare.Geometries = nil
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("house", 0, 0), fiji, samoa, bare)
	step := 1e-7 // smaller than what 32-bit floats tell apart here
	for i, test := range []struct {
		box  *store.BBox
		want []string
	}{
		{nil, []string{"house", "fiji", "samoa", "bare"}},
		{&store.BBox{West: -180, South: -90, East: 180, North: 90}, []string{"house", "fiji", "samoa"}},
		{&store.BBox{West: 179, South: -20, East: -179, North: -10}, []string{"fiji", "samoa"}},
		{&store.BBox{West: 179, South: -20, East: 180, North: -10}, []string{"fiji"}},
		{&store.BBox{West: 120.6001 + step, South: 31, East: 121, North: 32}, nil},
		{&store.BBox{West: 120.6001 - step, South: 31, East: 121, North: 32}, []string{"house"}},
		{&store.BBox{West: 120, South: 31, East: 121, North: 31.3 - step}, nil},
		{&store.BBox{Empty: true}, nil},
	} {
		q := store.Query{Class: spatial.ClassBuilding, BBox: test.box}
		page, err := c.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, v := range page.Versions {
			ids = append(ids, v.Object.ID)
		}
		if !slices.Equal(ids, test.want) {
			t.Errorf("box %d: %v, want %v", i, ids, test.want)
		}
		if n, err := c.Count(t.Context(), q); err != nil || n != int64(len(test.want)) {
			t.Errorf("box %d: count %d, %v", i, n, err)
		}
	}
	if e, err := c.Extent(t.Context(), spatial.ClassWater); err != nil || !e.Empty {
		t.Errorf("extent of nothing: %+v, %v", e, err)
	}
	if e, err := c.Extent(t.Context(), spatial.ClassBuilding); err != nil || e.West != -179.5 || e.East != 179.5 || e.South != -17 || math.Abs(e.North-31.3001) > 1e-9 {
		t.Errorf("extent %+v, %v", e, err)
	}
}

func atomic(t *testing.T, c *city) {
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("1", 0, 0))
	broken := errors.New("line 3: no JSON")
	bad := House("bad", 3, 3)
	bad.Geometries[0].XYZ[4] = math.NaN()
	for name, objects := range map[string]iter.Seq2[*spatial.CityObject, error]{
		"a source that breaks": func(yield func(*spatial.CityObject, error) bool) {
			for i := range 2000 {
				if !yield(House(fmt.Sprint(i), i, 1), nil) {
					return
				}
			}
			yield(nil, broken)
		},
		"an object twice": Objects(House("2", 0, 0), House("1", 7, 7), House("2", 0, 0)),
		"bad geometry":    Objects(House("1", 7, 7), bad),
	} {
		r, err := c.Import(t.Context(), store.ImportOptions{Dataset: "d", Complete: true}, objects)
		if !hasCode(err, store.Invalid) || r != (store.ImportResult{}) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if name == "a source that breaks" && !errors.Is(err, broken) {
			t.Errorf("%v does not wrap the source's error", err)
		}
		var e *store.Error
		if name != "a source that breaks" && errors.As(err, &e) && (e.File != "a.json" || e.Line != 7 || e.Object == "") {
			t.Errorf("%v does not say where", err)
		}
		if n, err := c.Count(t.Context(), store.Query{Class: spatial.ClassBuilding}); n != 1 || err != nil {
			t.Fatalf("%s: %d objects, %v; want the 1 of before", name, n, err)
		}
		if all, err := c.Versions(t.Context(), store.Key{Dataset: "d", ID: "1"}); len(all) != 1 || err != nil {
			t.Errorf("%s: %d versions, %v", name, len(all), err)
		}
	}
	if r := mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("2", 0, 0)); r.Added != 1 {
		t.Errorf("after the failures: %+v", r)
	}
}

func parts(t *testing.T, c *city) {
	whole, a, b := House("whole", 0, 0), House("a", 1, 0), House("b", 2, 0)
	whole.Children = []string{"b", "not there"}
	a.Parents = []string{"elsewhere", "whole"}
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, b, whole, a)
	t1 := c.now
	c.now = t1.Add(time.Hour)
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("a", 1, 0), House("c", 1, 1))
	for at, want := range map[time.Time]string{t1: "[a b]", {}: "[b]"} {
		all, err := c.Parts(t.Context(), store.Key{Dataset: "d", ID: "whole"}, at)
		ids := []string{}
		for _, v := range all {
			ids = append(ids, v.Object.ID)
		}
		if err != nil || fmt.Sprint(ids) != want {
			t.Errorf("at %v: %v, %v; want %s", at, ids, err, want)
		}
	}
	if _, err := c.Parts(t.Context(), store.Key{Dataset: "d", ID: "none"}, t1); !hasCode(err, store.NotFound) {
		t.Errorf("parts of nothing: %v", err)
	}
}

// conversion uses the tower of Amersfoort's Onze Lieve Vrouwe church, origin of
// RD New: 155000, 463000 is 52° 9′ 22.178″ N, 5° 23′ 15.500″ E on Bessel's
// ellipsoid and about 52.155172 N, 5.387204 E in ETRS89.
func conversion(t *testing.T, c *city) {
	o := House("olv", 0, 0)
	o.CRS = crs.EPSG(7415)
	o.Geometries = []spatial.Geometry{{Kind: spatial.MultiPoint, HasZ: true, XYZ: []float64{155000, 463000, 98.33}}}
	mustImport(t, c, store.ImportOptions{Dataset: "nl"}, o)
	if o.Geometries[0].XYZ[0] != 155000 {
		t.Error("the caller's object was changed")
	}
	v, err := c.Get(t.Context(), store.Key{Dataset: "nl", ID: "olv"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	p := v.Object.Geometries[0].XYZ
	if math.Abs(p[0]-5.387204) > 1e-5 || math.Abs(p[1]-52.155172) > 1e-5 || p[2] != 98.33 {
		t.Errorf("the tower is at %v", p)
	}
	if v.Object.CRS != (spatial.CRS{Horizontal: 4326, Vertical: 5709, VerticalDatum: "NAP"}) || v.SourceCRS != 28992 {
		t.Errorf("CRS %v from %d", v.Object.CRS, v.SourceCRS)
	}
}

func isolation(t *testing.T, c *city) {
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("0", 0, 0))
	var wg sync.WaitGroup
	done := make(chan struct{})
	halfway := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			<-halfway
			for {
				n, err := c.Count(t.Context(), store.Query{Class: spatial.ClassBuilding})
				if err != nil || n != 1 && n != 3001 && n != 3002 {
					t.Errorf("a reader saw %d objects, %v; want 1, 3001 or with the second import 3002", n, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Go(func() { // a second import waits for the first
		<-halfway
		if _, err := c.Import(t.Context(), store.ImportOptions{Dataset: "e"}, Objects(House("0", 0, 0))); err != nil {
			t.Error(err)
		}
	})
	_, err := c.Import(t.Context(), store.ImportOptions{Dataset: "d"}, func(yield func(*spatial.CityObject, error) bool) {
		for i := range 3000 {
			if i == 1500 {
				close(halfway)
				if n, err := c.Count(t.Context(), store.Query{Class: spatial.ClassBuilding}); n != 1 || err != nil {
					t.Errorf("in the middle: %d, %v; want 1", n, err)
				}
			}
			o := House(fmt.Sprint("n", i), i%50, i/50)
			if !yield(o, nil) {
				return
			}
		}
	})
	close(done)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

func refusals(t *testing.T, c *city) {
	for name, spoil := range map[string]func(*spatial.CityObject){
		"ID":          func(o *spatial.CityObject) { o.ID = "" },
		"Class":       func(o *spatial.CityObject) { o.Class = "bridge" },
		"Level":       func(o *spatial.CityObject) { o.Level = 8 },
		"Height":      func(o *spatial.CityObject) { o.Height.Metres = math.Inf(1) },
		"Attributes":  func(o *spatial.CityObject) { o.Attributes[0].Value = spatial.FloatValue(math.NaN()) },
		"CRS":         func(o *spatial.CityObject) { o.CRS.Horizontal = 0 },
		"geometry[0]": func(o *spatial.CityObject) { o.Geometries[0].XYZ[1] = 120 }, // latitude
		"Geometries":  func(o *spatial.CityObject) { o.Geometries[0].XYZ[2] = 1e9 },
	} {
		o := House("x", 0, 0)
		spoil(o)
		_, err := c.Import(t.Context(), store.ImportOptions{Dataset: "d"}, Objects(o))
		var e *store.Error
		if !errors.As(err, &e) || e.Code != store.Invalid || e.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Import(t.Context(), store.ImportOptions{}, Objects()); !hasCode(err, store.Invalid) {
		t.Errorf("without a data set: %v", err)
	}
	for _, q := range []store.Query{{Class: "x"}, {Limit: -1}, {Limit: store.MaxLimit + 1}, {After: -1}, {BBox: &store.BBox{South: 2, North: 1}}, {BBox: &store.BBox{West: math.NaN()}}, {BBox: &store.BBox{East: 181}}} {
		if _, err := c.Query(t.Context(), q); !hasCode(err, store.Invalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := c.Get(t.Context(), store.Key{Dataset: "d", ID: "' OR 1=1 --"}, time.Time{}); !hasCode(err, store.NotFound) {
		t.Errorf("what is not there: %v", err)
	}
}
