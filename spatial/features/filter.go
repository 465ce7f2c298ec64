package features

import (
	"fmt"
	"math"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

func tooManyVertices(v *store.Version, literal int) error {
	return &city.Error{Code: city.Invalid, Field: "filter",
		Message: fmt.Sprintf("the filter's geometry has %d vertices and %s has %d; together at most %d are compared by functions other than S_INTERSECTS and S_DISJOINT", literal, store.Key{Dataset: v.Dataset, ID: v.Object.ID}, v.Footprint.NumPoints(), maxSlowVertices),
		Hint:    "simplify the geometry, or use S_INTERSECTS"}
}

// slowVertices counts the vertices of the literals of spatial functions that
// may need the DE-9IM, plus one; 0 where the filter has no such function.
func slowVertices(e cql2.Expr) int {
	n := 0
	cql2.Walk(e, func(x cql2.Expr) bool {
		call, ok := x.(*cql2.Call)
		if !ok || !call.Op.IsSpatial() {
			return true
		}
		literal := false
		sum := 1
		for _, a := range call.Args {
			switch a := a.(type) {
			case *cql2.Geometry:
				literal = true
				sum += vertices(a.Geom)
			case *cql2.BBox:
				literal = true
				sum += 5
			}
		}
		if !literal || call.Op != cql2.OpSIntersects && call.Op != cql2.OpSDisjoint {
			n = max(n, sum)
		}
		return true
	})
	return n
}

func vertices(g orb.Geometry) int {
	n := 0
	eachVertex(g, func(*orb.Point) { n++ })
	return n
}

// eachVertex calls f for the vertices of g; of a Point it is a copy.
func eachVertex(g orb.Geometry, f func(*orb.Point)) {
	points := func(list []orb.Point) {
		for i := range list {
			f(&list[i])
		}
	}
	switch g := g.(type) {
	case orb.Point:
		f(&g)
	case orb.MultiPoint:
		points(g)
	case orb.LineString:
		points(g)
	case orb.Ring:
		points(g)
	case orb.MultiLineString:
		for _, l := range g {
			points(l)
		}
	case orb.Polygon:
		for _, r := range g {
			points(r)
		}
	case orb.MultiPolygon:
		for _, p := range g {
			eachVertex(p, f)
		}
	case orb.Collection:
		for _, m := range g {
			eachVertex(m, f)
		}
	}
}

// toWGS84 rewrites the geometry literals of e from c, in the axis order of its
// definition, to longitude and latitude of WGS 84 (/req/filter/filter-crs-param).
// e has just been parsed and is nobody else's.
func toWGS84(e cql2.Expr, c *crs.CRS) (cql2.Expr, error) {
	t, err := crs.Between(c.Horizontal().Defined(), crs.WGS84().Traditional(), crs.Options{})
	if err != nil {
		return nil, err
	}
	var walk func(cql2.Expr) (cql2.Expr, error)
	walk = func(e cql2.Expr) (cql2.Expr, error) {
		switch e := e.(type) {
		case *cql2.Geometry:
			g, err := reproject(e.Geom, t)
			return &cql2.Geometry{Geom: g, Z: e.Z}, err
		case *cql2.BBox:
			if c.Geographic() && !c.NorthFirst() && c.Horizontal().Authority() == "OGC" {
				return e, nil
			}
			if c.Geographic() {
				west, south, east, north := e.West, e.South, e.East, e.North
				if c.NorthFirst() {
					west, south, east, north = e.South, e.West, e.North, e.East
				}
				return &cql2.BBox{West: west, South: south, East: east, North: north, HasZ: e.HasZ, MinZ: e.MinZ, MaxZ: e.MaxZ}, nil
			}
			g, err := reproject(orb.Polygon{boxRing(e.West, e.South, e.East, e.North)}, t)
			return &cql2.Geometry{Geom: g}, err
		case *cql2.Call:
			for i := range e.Args {
				x, err := walk(e.Args[i])
				if err != nil {
					return nil, err
				}
				e.Args[i] = x
			}
		}
		return e, nil
	}
	return walk(e)
}

func reproject(g orb.Geometry, t *crs.Transform) (orb.Geometry, error) {
	if p, ok := g.(orb.Point); ok {
		x, y, err := t.XY(p[0], p[1])
		return orb.Point{x, y}, badCoordinate("filter", err)
	}
	if c, ok := g.(orb.Collection); ok {
		for i := range c {
			var err error
			if c[i], err = reproject(c[i], t); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	var err error
	eachVertex(g, func(p *orb.Point) {
		if err == nil {
			p[0], p[1], err = t.XY(p[0], p[1])
		}
	})
	return g, badCoordinate("filter", err)
}

func badCoordinate(field string, err error) error {
	if err == nil {
		return nil
	}
	return &city.Error{Code: city.Invalid, Field: field, Message: err.Error(), Hint: "mind the order of the axes in the CRS's definition"}
}

// boxRing is a rectangle with points along its sides, which are curves in
// another projection.
func boxRing(x0, y0, x1, y1 float64) orb.Ring {
	const n = 32
	var r orb.Ring
	side := func(a, b orb.Point) {
		for i := range n {
			f := float64(i) / n
			r = append(r, orb.Point{a[0] + f*(b[0]-a[0]), a[1] + f*(b[1]-a[1])})
		}
	}
	side(orb.Point{x0, y0}, orb.Point{x1, y0})
	side(orb.Point{x1, y0}, orb.Point{x1, y1})
	side(orb.Point{x1, y1}, orb.Point{x0, y1})
	side(orb.Point{x0, y1}, orb.Point{x0, y0})
	return append(r, r[0])
}

// boxOf is a box in c, in the axis order of its definition, as longitudes and
// latitudes: the rectangle itself where c is geographic, otherwise the one
// around it.
func boxOf(c *crs.CRS, a, b [2]float64, field string) (store.BBox, error) {
	if c.Geographic() {
		if c.NorthFirst() {
			a[0], a[1], b[0], b[1] = a[1], a[0], b[1], b[0]
		}
		return store.BBox{West: a[0], South: a[1], East: b[0], North: b[1]}, nil
	}
	if a[0] > b[0] || a[1] > b[1] {
		return store.BBox{}, &city.Error{Code: city.Invalid, Field: field, Message: fmt.Sprintf("the lower corner %v is not below the upper corner %v", a, b)}
	}
	t, err := crs.Between(c.Horizontal().Defined(), crs.WGS84().Traditional(), crs.Options{})
	if err != nil {
		return store.BBox{}, err
	}
	box := store.BBox{West: math.Inf(1), South: math.Inf(1), East: math.Inf(-1), North: math.Inf(-1)}
	for _, p := range boxRing(a[0], a[1], b[0], b[1]) {
		lon, lat, err := t.XY(p[0], p[1])
		if err != nil {
			return box, badCoordinate(field, err)
		}
		box.West, box.East = min(box.West, lon), max(box.East, lon)
		box.South, box.North = min(box.South, lat), max(box.North, lat)
	}
	return box, nil
}

// liveNames are the queryables without which e cannot be TRUE, as NULL makes
// it NULL; each inner list is of alternatives, of which one has a value.
// It may give fewer than there are, never more.
func required(e cql2.Expr) [][]string {
	call, ok := e.(*cql2.Call)
	if !ok {
		if p, ok := e.(*cql2.Property); ok { // a truth by itself
			return [][]string{{p.Name}}
		}
		return nil
	}
	switch op := call.Op; {
	case op == cql2.OpAnd:
		var all [][]string
		for _, a := range call.Args {
			all = append(all, required(a)...)
		}
		return all
	case op == cql2.OpOr:
		// One group of alternatives: the first of each argument.
		var any []string
		for _, a := range call.Args {
			r := required(a)
			if len(r) == 0 {
				return nil
			}
			any = append(any, r[0]...)
		}
		return [][]string{any}
	case op == cql2.OpNot:
		inner, ok := call.Args[0].(*cql2.Call)
		if !ok || inner.Op == cql2.OpAnd || inner.Op == cql2.OpOr || inner.Op == cql2.OpNot {
			return nil
		}
		return required(inner)
	case op.IsComparison(), op == cql2.OpBetween, op == cql2.OpLike:
		return strict(call.Args...)
	case op == cql2.OpIn:
		return strict(call.Args[0])
	case op.IsTemporal():
		// Only direct operands: what an interval makes of NULL is its own affair.
		var all [][]string
		for _, a := range call.Args {
			if p, ok := a.(*cql2.Property); ok {
				all = append(all, []string{p.Name})
			}
		}
		return all
	}
	return nil
}

// strict lists the properties in operands that are NULL where one of these is:
// properties, arithmetic, CASEI and ACCENTI.
func strict(args ...cql2.Expr) [][]string {
	var all [][]string
	for _, a := range args {
		switch a := a.(type) {
		case *cql2.Property:
			all = append(all, []string{a.Name})
		case *cql2.Call:
			if a.Op.IsArithmetic() || a.Op == cql2.OpCaseI || a.Op == cql2.OpAccentI {
				all = append(all, strict(a.Args...)...)
			}
		}
	}
	return all
}
