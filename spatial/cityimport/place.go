package cityimport

import (
	"context"
	"fmt"
	"math"

	"cityhub/spatial"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// placer finds out where on earth objects lie, and refuses those that cannot
// lie there.
type placer struct {
	transforms map[int]*crs.Transform // by EPSG code
	xyz        []float64
}

func newPlacer() placer { return placer{transforms: make(map[int]*crs.Transform)} }

// transform is from a plain CRS to WGS 84, as the store's.
func (p *placer) transform(o *spatial.CityObject) (*crs.Transform, error) {
	if !o.CRS.Known() {
		return nil, fault(o, "crs", "the file does not say in which coordinate reference system it is", "name it, e.g. --crs EPSG:4549, or with the datum of heights --crs EPSG:4549+5737", nil)
	}
	if t := p.transforms[o.CRS.Horizontal]; t != nil {
		return t, nil
	}
	from, err := crs.ByCode(o.CRS.Horizontal)
	if err != nil {
		return nil, fault(o, "crs", "", "convert the file to a CRS that is known, e.g. with ogr2ogr -t_srs EPSG:4326, or name the right one with --crs", err)
	}
	t, err := crs.Between(from.Horizontal().Traditional(), crs.WGS84().Traditional(), crs.Options{Heights: crs.HeightsCarried, InArea: true})
	if err != nil {
		return nil, fault(o, "crs", "", "", err)
	}
	p.transforms[o.CRS.Horizontal] = t
	return t, nil
}

// place refuses o where it lies outside of the area of its CRS, and counts
// where it lies.
func (p *placer) place(o *spatial.CityObject, t *tally) error {
	tr, err := p.transform(o)
	if err != nil {
		return err
	}
	box := o.Bounds()
	if box.Empty() {
		return nil
	}
	t.accuracy = max(t.accuracy, tr.AccuracyMetres())
	widens := !t.placed
	for i := range 4 {
		x, y := box.Min[0], box.Min[1]
		if i&1 != 0 {
			x = box.Max[0]
		}
		if i&2 != 0 {
			y = box.Max[1]
		}
		lon, lat, err := tr.XY(x, y)
		if err != nil {
			return p.misplaced(o, tr, x, y, err)
		}
		widens = widens || !t.extent.holds(lon, lat)
	}
	if !widens {
		return nil
	}
	// The corners of the box lie further out than the object itself.
	for i := range o.Geometries {
		xyz := o.Geometries[i].XYZ
		if cap(p.xyz) < len(xyz) {
			p.xyz = make([]float64, len(xyz))
		}
		out := p.xyz[:len(xyz)]
		if err := tr.Flat(out, xyz, 3); err != nil {
			return p.misplaced(o, tr, box.Min[0], box.Min[1], err)
		}
		for k := 0; k < len(out); k += 3 {
			t.place(out[k], out[k+1])
		}
	}
	const much = 1 << 20
	if cap(p.xyz) > much {
		p.xyz = nil
	}
	return nil
}

// misplaced says why o cannot lie where its coordinates say, and what was
// probably meant.
func (p *placer) misplaced(o *spatial.CityObject, t *crs.Transform, x, y float64, err error) error {
	hint := fmt.Sprintf("is %v the right CRS? name another with --crs", o.CRS)
	if lon, lat, serr := t.XY(y, x); serr == nil {
		hint = fmt.Sprintf("with X and Y exchanged it lies at %.4f° E, %.4f° N: if that is the place, import with --swap-axes, else name the right CRS with --crs", lon, lat)
	} else if x >= -180 && x <= 180 && y >= -90 && y <= 90 && !o.CRS.Degrees() {
		hint = "the coordinates look like degrees: try --crs EPSG:4326 or EPSG:4490"
	} else if o.CRS.Degrees() {
		hint = "the coordinates look like metres of a map projection: name it, e.g. --crs EPSG:4549"
	}
	return fault(o, "geometry", "", hint, err)
}

// undistort takes the distortion of GCJ-02 out of o, which is WGS 84 from then on.
func undistort(o *spatial.CityObject) error {
	if len(o.Geometries) == 0 {
		return nil
	}
	if o.CRS.Known() && !o.CRS.Degrees() {
		return fault(o, "crs", fmt.Sprintf("GCJ-02 coordinates are degrees, those of %v are metres", o.CRS), "leave out --gcj02", nil)
	}
	for i := range o.Geometries {
		xyz := o.Geometries[i].XYZ
		for p := 0; p < len(xyz); p += 3 {
			if !crs.InGCJ02Area(xyz[p], xyz[p+1]) {
				hint := "leave out --gcj02"
				if crs.InGCJ02Area(xyz[p+1], xyz[p]) {
					hint = "the latitude stands first: import with --swap-axes"
				}
				return fault(o, fmt.Sprintf("geometry[%d]", i), fmt.Sprintf("%v, %v is not in China, where coordinates are in GCJ-02", xyz[p], xyz[p+1]), hint, nil)
			}
		}
		if err := crs.GCJ02ToWGS84(xyz, xyz, 3); err != nil {
			return fault(o, fmt.Sprintf("geometry[%d]", i), "", "", err)
		}
	}
	o.CRS.Horizontal = spatial.CRS84
	return nil
}

// swapAxes exchanges X and Y.
func swapAxes(o *spatial.CityObject) {
	for i := range o.Geometries {
		xyz := o.Geometries[i].XYZ
		for p := 0; p+1 < len(xyz); p += 3 {
			xyz[p], xyz[p+1] = xyz[p+1], xyz[p]
		}
	}
}

// city is the rectangle around what the store holds of the five classes; empty
// where it holds nothing or does not tell.
func (r *run) city(ctx context.Context) (store.BBox, error) {
	all := store.BBox{Empty: true}
	reader, ok := r.o.Store.(interface {
		Extent(context.Context, spatial.Class) (store.BBox, error)
	})
	if !ok {
		return all, nil
	}
	for _, class := range spatial.Classes() {
		b, err := reader.Extent(ctx, class)
		switch {
		case err != nil:
			return all, err
		case b.Empty || b.West > b.East:
		case all.Empty:
			all = b
		default:
			all.West, all.South = min(all.West, b.West), min(all.South, b.South)
			all.East, all.North = max(all.East, b.East), max(all.North, b.North)
		}
	}
	return all, nil
}

// farKilometres is the distance from the rest of the city beyond which data lie
// where they were hardly meant to.
const farKilometres = 100

// far notes that what was read lies far from the rest of the city: a wrong zone
// or an exchange of axes is plausible to every other check.
func (r *run) far(city store.BBox) {
	if city.Empty || !r.placed {
		return
	}
	const kilometres = 111.2 // of a degree
	gap := func(a, b, c, d float64) float64 { return max(0, c-b, a-d) }
	e := &r.extent
	north := gap(e.South, e.North, city.South, city.North) * kilometres
	east := gap(e.West, e.East, city.West, city.East) * kilometres * math.Cos((e.South+e.North)/2*math.Pi/180)
	if d := math.Hypot(north, east); d > farKilometres {
		r.rep.Notes = append(r.rep.Notes, fmt.Sprintf("the data lie %.0f km from the rest of the city: are the CRS and the order of the axes right?", d))
	}
}
