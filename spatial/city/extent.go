package city

import (
	"context"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// Has reports whether objects of a class and type belong to c. Every object is
// in one collection: a district is of no class, but not among the others.
func (c Collection) Has(class spatial.Class, typ string) bool {
	switch {
	case class != c.Class:
		return false
	case c.Type != "":
		return typ == c.Type
	}
	return !c.Rest() || typ != TypeDistrict
}

// Rest reports whether c has what no other collection has.
func (c Collection) Rest() bool { return c.Class == "" && c.Type == "" }

// Extent is the rectangle around what is valid now of a collection.
func (v *View) Extent(ctx context.Context, c Collection) (store.BBox, error) {
	all, err := v.Store.Extent(ctx, c.Class)
	if err != nil || all.Empty || c.Class != "" || v.Index == nil {
		return all, err
	}
	// The store keeps one rectangle for the objects of no class. These are few:
	// districts, cells, terrain.
	sum := orb.Bound{Min: orb.Point{1, 1}, Max: orb.Point{-1, -1}}
	n := 0
	v.Index.Search(orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}, index.Options{Classes: []spatial.Class{""}, Type: c.Type}, func(r index.Ref) bool {
		if n++; n&1023 == 0 && ctx.Err() != nil {
			return false
		}
		if o := v.Index.Object(r); c.Has(o.Class, o.Type) {
			sum = around(sum, o.Bound)
		}
		return true
	})
	return boxOf(sum, all), ctx.Err()
}

// ExtentObserved is the rectangle around the objects on which something is
// observed that the caller sees.
func (v *View) ExtentObserved(ctx context.Context) (store.BBox, error) {
	none := store.BBox{Empty: true}
	if v.Observed == nil || v.Index == nil {
		return none, nil
	}
	positions, err := v.Observed.Objects(ctx, "")
	if err != nil {
		return none, err
	}
	sum := orb.Bound{Min: orb.Point{1, 1}, Max: orb.Point{-1, -1}}
	for i, position := range positions {
		if i&1023 == 1023 && ctx.Err() != nil {
			return none, ctx.Err()
		}
		if r, ok := v.Index.At(position); ok {
			sum = around(sum, v.Index.Object(r).Bound)
		}
	}
	return boxOf(sum, store.BBox{West: -180, South: -90, East: 180, North: 90}), nil
}

// around is the rectangle around two, of which either may be empty.
func around(a, b orb.Bound) orb.Bound {
	switch {
	case b.IsEmpty():
		return a
	case a.IsEmpty():
		return b
	}
	return a.Union(b)
}

// boxOf is b as the store has rectangles. The index rounds coordinates to 1e-7
// degrees, a centimetre; within is not rounded and holds it.
func boxOf(b orb.Bound, within store.BBox) store.BBox {
	if b.IsEmpty() {
		return store.BBox{Empty: true}
	}
	return store.BBox{West: max(b.Min[0], within.West), South: max(b.Min[1], within.South), East: min(b.Max[0], within.East), North: min(b.Max[1], within.North)}
}
