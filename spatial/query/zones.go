package query

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"

	"cityhub/spatial/city"
)

// maxGridDegrees bounds a grid, so that its cells are squares: at its edges they
// are too large by 0.07 % at most.
const maxGridDegrees = 4

// zone is an area for which statistics are made.
type zone struct {
	id, name string
	geometry orb.Geometry // WGS 84 degrees
	areaM2   float64
	members  []int // of the points that lie in it, ascending
}

// cells tells in which cell of a regular division a place lies. Each place lies
// in one: cells hold their western and southern edge and not the others.
type cells struct {
	columns, rows int
	locate        func(orb.Point) (column, row int)
	cell          func(column, row int) (id string, shape orb.Polygon)
}

// zones makes the zones of a question and tells which of the points lie in each.
// Points with NaN lie in none.
func (r *run) zones(ctx context.Context, z *Zones, points []orb.Point) ([]zone, error) {
	switch z.Type {
	case "grid", "geohash", "quadkey":
		return r.cells(ctx, z, points)
	}
	items, err := r.selected(ctx, z.Of, time.Time{})
	if err != nil {
		return nil, err
	}
	if len(items) > r.limits.Zones {
		return nil, tooLarge(z.at, "select fewer by bbox or filter", "these are %d zones, more than %d", len(items), r.limits.Zones)
	}
	order := make([]int, 0, len(points)) // of the points, from west to east
	for i, p := range points {
		if p[0] == p[0] && p[1] == p[1] {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case points[a][0] < points[b][0]:
			return -1
		case points[a][0] > points[b][0]:
			return 1
		}
		return a - b
	})
	out := make([]zone, 0, len(items))
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		zn := zone{id: it.key(), name: it.name(), geometry: it.geometry}
		if it.geometry == nil {
			out = append(out, zn)
			continue
		}
		var in func(orb.Point) bool
		bound := it.geometry.Bound()
		pl := planeOf(bound)
		plain := pl.geometry(it.geometry)
		if z.Type == "buffer" {
			bound = pad(bound, z.Metres)
			in = func(p orb.Point) bool { return distance(plain, pl.project(p)) <= z.Metres }
			shape, err := buffer(plain, z.Metres)
			if err != nil {
				return nil, tooLarge(z.at, "simplify the geometries, or take a smaller distance", "the area around %q cannot be drawn: %v", zn.id, err)
			}
			zn.areaM2 = math.Abs(planar.Area(shape))
			zn.geometry = mapPoints(shape, pl.degrees)
		} else {
			switch g := it.geometry.(type) {
			case orb.Polygon:
				in = func(p orb.Point) bool { return planar.PolygonContains(g, p) }
			case orb.MultiPolygon:
				in = func(p orb.Point) bool { return planar.MultiPolygonContains(g, p) }
			default:
				e := z.at.fault("%q is a %s, expected areas", zn.id, it.geometry.GeoJSONType())
				e.Hint = `take the type "buffer" for zones around points and lines`
				return nil, e
			}
			zn.areaM2 = math.Abs(planar.Area(plain))
		}
		at, _ := slices.BinarySearchFunc(order, bound.Min[0], func(i int, west float64) int {
			if points[i][0] < west {
				return -1
			}
			return 1
		})
		for _, i := range order[at:] {
			p := points[i]
			if p[0] > bound.Max[0] {
				break
			}
			if bound.Contains(p) && in(p) {
				zn.members = append(zn.members, i)
			}
		}
		slices.Sort(zn.members)
		out = append(out, zn)
	}
	return out, nil
}

func (r *run) cells(ctx context.Context, z *Zones, points []orb.Point) ([]zone, error) {
	box := z.BBox
	if box == nil {
		for _, p := range points {
			if p[0] == p[0] && p[1] == p[1] {
				if box == nil {
					box = &orb.Bound{Min: p, Max: p}
				}
				*box = box.Extend(p)
			}
		}
		if box == nil {
			e := z.at.member("bbox").fault("is missing, and nothing was observed anywhere from which it could be taken")
			return nil, e
		}
	}
	if z.Type == "grid" && (box.Max[0]-box.Min[0] > maxGridDegrees || box.Max[1]-box.Min[1] > maxGridDegrees) {
		e := z.at.fault("the grid would be more than %v degrees wide or high", float64(maxGridDegrees))
		e.Hint = `take a smaller bbox, or the type "geohash" or "quadkey"`
		return nil, e
	}
	c := division(z, *box)
	if n := float64(c.columns) * float64(c.rows); !(n <= float64(r.limits.Zones)) {
		return nil, tooLarge(z.at, "take larger cells or a smaller bbox", "these are %.0f cells, more than %d", n, r.limits.Zones)
	}
	out := make([]zone, c.columns*c.rows)
	for i := range out {
		id, shape := c.cell(i%c.columns, i/c.columns)
		out[i] = zone{id: id, geometry: shape, areaM2: math.Abs(planar.Area(planeOf(shape.Bound()).geometry(shape)))}
	}
	for i, p := range points {
		if !(p[0] == p[0] && p[1] == p[1]) {
			continue
		}
		if column, row := c.locate(p); column >= 0 && column < c.columns && row >= 0 && row < c.rows {
			at := &out[row*c.columns+column]
			at.members = append(at.members, i)
		}
	}
	return out, ctx.Err()
}

// division is the regular division of a rectangle: from south to north, in a
// row from west to east.
func division(z *Zones, box orb.Bound) cells {
	if z.Type == "grid" {
		pl := planeOf(box)
		west, south, east, north := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
		// The rectangle's edges are curved in the plane: the middles of the sides count too.
		for _, fx := range []float64{0, 0.5, 1} {
			for _, fy := range []float64{0, 0.5, 1} {
				p := pl.project(orb.Point{box.Min[0] + fx*(box.Max[0]-box.Min[0]), box.Min[1] + fy*(box.Max[1]-box.Min[1])})
				west, south, east, north = min(west, p[0]), min(south, p[1]), max(east, p[0]), max(north, p[1])
			}
		}
		m := z.Metres
		return cells{
			columns: int(min(1e9, math.Floor((east-west)/m)+1)), rows: int(min(1e9, math.Floor((north-south)/m)+1)),
			locate: func(p orb.Point) (int, int) {
				q := pl.project(p)
				return int(math.Floor((q[0] - west) / m)), int(math.Floor((q[1] - south) / m))
			},
			cell: func(column, row int) (string, orb.Polygon) {
				x, y := west+float64(column)*m, south+float64(row)*m
				ring := orb.Ring{{x, y}, {x + m, y}, {x + m, y + m}, {x, y + m}, {x, y}}
				for i, p := range ring {
					ring[i] = pl.degrees(p)
				}
				return fmt.Sprintf("r%d-c%d", row, column), orb.Polygon{ring}
			},
		}
	}
	bitsX, bitsY := z.Precision, z.Precision
	if z.Type == "geohash" {
		bitsX, bitsY = (5*z.Precision+1)/2, 5*z.Precision/2
	}
	nx, ny := math.Exp2(float64(bitsX)), math.Exp2(float64(bitsY))
	column := func(lon float64) float64 { return math.Min(math.Floor((lon+180)/360*nx), nx-1) }
	row := func(lat float64) float64 { return math.Min(math.Floor((lat+90)/180*ny), ny-1) }
	edge := func(j float64) float64 { return j/ny*180 - 90 }
	if z.Type == "quadkey" { // rows of Web Mercator, here counted from the south
		row = func(lat float64) float64 {
			y := math.Asinh(math.Tan(lat*rad))/(2*math.Pi) + 0.5
			return math.Max(0, math.Min(math.Floor(y*ny), ny-1))
		}
		edge = func(j float64) float64 { return math.Atan(math.Sinh((j/ny-0.5)*2*math.Pi)) / rad }
	}
	x0, y0 := column(box.Min[0]), row(box.Min[1])
	return cells{
		columns: int(column(box.Max[0])-x0) + 1, rows: int(row(box.Max[1])-y0) + 1,
		locate: func(p orb.Point) (int, int) { return int(column(p[0]) - x0), int(row(p[1]) - y0) },
		cell: func(i, j int) (string, orb.Polygon) {
			x, y := x0+float64(i), y0+float64(j)
			west, south, east, north := x/nx*360-180, edge(y), (x+1)/nx*360-180, edge(y+1)
			shape := orb.Polygon{{{west, south}, {east, south}, {east, north}, {west, north}, {west, south}}}
			if z.Type == "geohash" {
				return geohash(uint64(x), uint64(y), z.Precision, bitsX, bitsY), shape
			}
			return quadkey(uint64(x), uint64(ny-1-y), z.Precision), shape
		},
	}
}

// geohash interleaves the bits of the column and the row, the column first.
func geohash(x, y uint64, precision, bitsX, bitsY int) string {
	const alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"
	var code uint64
	for i := range 5 * precision {
		code <<= 1
		if i%2 == 0 {
			bitsX--
			code |= x >> bitsX & 1
		} else {
			bitsY--
			code |= y >> bitsY & 1
		}
	}
	b := make([]byte, precision)
	for i := range b {
		b[i] = alphabet[code>>(5*(precision-1-i))&31]
	}
	return string(b)
}

// quadkey is that of a tile of Web Mercator, whose rows count from the north.
func quadkey(x, y uint64, level int) string {
	b := make([]byte, level)
	for i := range b {
		bit := level - 1 - i
		b[i] = '0' + byte(x>>bit&1) + 2*byte(y>>bit&1)
	}
	return string(b)
}

// datastreams are those that the question observes, with the places in which
// they stand; NaN where they have none.
func (r *run) datastreams(ctx context.Context, o *Observations) ([]*city.Datastream, []orb.Point, error) {
	if r.view.Observed == nil {
		return nil, nil, &city.Error{Code: city.Unavailable, Message: "observations are not there"}
	}
	all, err := r.view.Observed.Datastreams(ctx, o.Select)
	if err != nil {
		return nil, nil, err
	}
	if o.Unit != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(d *city.Datastream) bool { return d.UnitCode != o.Unit && d.UnitSymbol != o.Unit })
	}
	if len(all) > r.limits.Datastreams {
		return nil, nil, tooLarge(o.at, "narrow it by bbox, district, domain or dataset", "these are %d Datastreams, more than %d", len(all), r.limits.Datastreams)
	}
	points := make([]orb.Point, len(all))
	unplaced := 0
	for i, d := range all {
		if d.Text {
			return nil, nil, o.at.member("property").fault("the results of %s are texts (Datastream %d), expected numbers", d.Property, d.ID)
		}
		if d.UnitCode != all[0].UnitCode {
			e := o.at.fault("%s is observed in %s and in %s, expected one unit", o.Property, all[0].UnitCode, d.UnitCode)
			e.Hint = "name the unit: " + all[0].UnitCode
			return nil, nil, e
		}
		points[i] = orb.Point{d.Lon, d.Lat}
		if math.IsNaN(d.Lon) || math.IsNaN(d.Lat) {
			unplaced++
		}
	}
	r.meta["datastreams"] = len(all)
	r.meta["unplaced"] = unplaced
	r.meta["quality"] = o.Quality
	if len(all) > 0 {
		r.meta["unit"] = all[0].UnitSymbol
		r.meta["unitCode"] = all[0].UnitCode
	}
	return all, points, nil
}
