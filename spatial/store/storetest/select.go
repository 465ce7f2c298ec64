package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// selection tests what narrows a Query: data sets, type, positions, Keep.
func selection(t *testing.T, c *city) {
	ctx, t1 := t.Context(), c.now.Add(time.Minute)
	for _, dataset := range []string{"a", "b", "c"} {
		var objects []*spatial.CityObject
		for i := range 10 {
			o := House(fmt.Sprint(dataset, i), i, 0)
			if i%2 == 1 {
				o.Type = "BuildingPart"
			}
			o.Attributes = spatial.Attributes{{Name: "n", Value: spatial.IntValue(int64(i))}}
			objects = append(objects, o)
		}
		mustImport(t, c, store.ImportOptions{Dataset: dataset}, objects...)
	}
	every, err := c.Query(ctx, store.Query{Class: spatial.ClassBuilding})
	if err != nil || len(every.Versions) != 30 {
		t.Fatalf("%d objects, %v", len(every.Versions), err)
	}
	at := func(ids ...string) []int64 {
		positions := []int64{}
		for _, v := range every.Versions {
			if slices.Contains(ids, v.Object.ID) {
				positions = append(positions, v.Position)
			}
		}
		return positions
	}
	// The past is narrowed in the same way.
	c.now = t1.Add(time.Hour)
	mustImport(t, c, store.ImportOptions{Dataset: "c", Complete: true}, House("c0", 5, 5))
	n := func(v *store.Version) int64 {
		value, _ := v.Object.Attributes.Get("n")
		i, _ := value.Int()
		return i
	}
	for name, test := range map[string]struct {
		q    store.Query
		want []string
	}{
		"two data sets":         {store.Query{Datasets: []string{"a", "c"}, Type: "BuildingPart"}, []string{"a1", "a3", "a5", "a7", "a9"}},
		"two in the past":       {store.Query{Datasets: []string{"c", "none"}, Type: "BuildingPart", At: t1}, []string{"c1", "c3", "c5", "c7", "c9"}},
		"no data set":           {store.Query{Datasets: []string{}}, nil},
		"a data set of others":  {store.Query{Dataset: "a", Datasets: []string{"b"}}, nil},
		"hostile texts":         {store.Query{Datasets: []string{`") OR 1=1 --`, "'", "\\", "苏", "{", ","}}, nil},
		"a hostile type":        {store.Query{Type: "' OR '1'='1"}, nil},
		"positions":             {store.Query{Positions: at("a3", "b7", "c9")}, []string{"a3", "b7"}},
		"positions in the past": {store.Query{Positions: at("a3", "b7", "c9"), At: t1}, []string{"a3", "b7", "c9"}},
		"no positions":          {store.Query{Positions: []int64{}}, nil},
		"positions nowhere":     {store.Query{Positions: []int64{-5, 0, math.MaxInt64}}, nil},
		"positions in a box":    {store.Query{Positions: at("a3", "b7"), BBox: &store.BBox{West: 120.6029, South: 31, East: 120.6035, North: 32}}, []string{"a3"}},
		"kept":                  {store.Query{Datasets: []string{"a", "b"}, Keep: func(v *store.Version) (bool, error) { return n(v) >= 7, nil }}, []string{"a7", "a8", "a9", "b7", "b8", "b9"}},
		"kept in the past":      {store.Query{Dataset: "c", At: t1, Keep: func(v *store.Version) (bool, error) { return n(v) == 2, nil }}, []string{"c2"}},
		"kept by footprint": {store.Query{Dataset: "b", Geometries: true, Keep: func(v *store.Version) (bool, error) {
			if len(v.Object.Geometries) > 0 || v.Footprint == nil || v.Object.CRS.Horizontal != 4326 {
				t.Errorf("Keep is given %+v", v)
			}
			return v.Footprint.Bounds().Min[0] > 120.6085, nil
		}}, []string{"b9"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.q.Class = spatial.ClassBuilding
			count, err := c.Count(ctx, test.q)
			if err != nil || count != int64(len(test.want)) {
				t.Errorf("count %d, %v; want %d", count, err, len(test.want))
			}
			for _, test.q.Limit = range []int{0, 1, 2} {
				var ids []string
				test.q.After = 0
				for {
					page, err := c.Query(ctx, test.q)
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range page.Versions {
						ids = append(ids, v.Object.ID)
						if test.q.Geometries != (len(v.Object.Geometries) == 1) {
							t.Errorf("%s has %d geometries", v.Object.ID, len(v.Object.Geometries))
						}
					}
					if page.Next == 0 {
						break
					}
					test.q.After = page.Next
				}
				if !slices.Equal(ids, test.want) {
					t.Errorf("pages of %d: %v, want %v", test.q.Limit, ids, test.want)
				}
			}
		})
	}
	broken := errors.New("broken")
	q := store.Query{Class: spatial.ClassBuilding, Keep: func(*store.Version) (bool, error) { return false, broken }}
	if _, err := c.Query(ctx, q); err != broken {
		t.Errorf("the error of Keep became %v", err)
	}
	if _, err := c.Count(ctx, q); err != broken {
		t.Errorf("the error of Keep became %v when counting", err)
	}
}

// heights tests the lowest and highest points that a Version names.
func heights(t *testing.T, c *city) {
	flat := House("flat", 1, 0)
	flat.Geometries = []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{120, 31, 0}}}
	both := House("both", 2, 0)
	both.Geometries = append(both.Geometries, flat.Geometries[0], spatial.Geometry{Kind: spatial.MultiPoint, HasZ: true, XYZ: []float64{120, 31, -4.25}})
	bare := House("bare", 3, 0)
	bare.Geometries = nil
	mustImport(t, c, store.ImportOptions{Dataset: "d"}, House("house", 0, 0), flat, both, bare)
	for id, want := range map[string][2]float64{"house": {3, 13}, "both": {-4.25, 13}, "flat": {math.NaN(), math.NaN()}, "bare": {math.NaN(), math.NaN()}} {
		v, err := c.Get(t.Context(), store.Key{Dataset: "d", ID: id}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		got := [2]float64{v.LowMetres, v.HighMetres}
		if got != want && !(math.IsNaN(want[0]) && math.IsNaN(got[0]) && math.IsNaN(got[1])) {
			t.Errorf("%s reaches from %v to %v m, want %v", id, got[0], got[1], want)
		}
	}
}
