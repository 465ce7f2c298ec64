// Package record makes of the objects of an import what a store keeps of them:
// geometries in WGS 84 in a compact form, attributes as JSON, the footprint, and
// a hash by which an object that did not change is known. The stores below
// spatial/store share it, so that their answers do not differ.
//
// Coordinates are longitude, latitude in degrees and metres. Feed uses two
// goroutines, which have ended when it returns; the functions are safe for
// concurrent use.
package record

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// Record is a version of an object as a store keeps it.
type Record struct {
	Key        [16]byte           // of the identifier
	Object     spatial.CityObject // without geometries and attributes
	Class      int                // index of the class in spatial.Classes; their number: of none
	Attributes string             // as AppendAttributes writes them
	Footprint  []byte             // as Options.Footprint writes it; nil: none
	Box        store.BBox         // of the footprint
	Geometries []byte             // as AppendGeometries writes them
	Low, High  float64            // heights of the lowest and highest point; NaN: none
	Hash       [16]byte           // of all but the place in the source
}

// encoder makes records of objects. It is for one goroutine.
type encoder struct {
	op         string
	classes    []spatial.Class
	footprint  func(b []byte, f *spatial.Geometry) ([]byte, error)
	transforms map[int]*crs.Transform
	xyz        [][]float64 // scratch, for the geometries of one object
	local      []spatial.Geometry
	buf        []byte
}

func newEncoder(op string, footprint func(b []byte, f *spatial.Geometry) ([]byte, error)) *encoder {
	return &encoder{op: op, classes: append(spatial.Classes(), ""), footprint: footprint, transforms: make(map[int]*crs.Transform)}
}

func (e *encoder) fault(o *spatial.CityObject, field, hint string, err error) error {
	return &store.Error{Code: store.Invalid, Op: e.op, Object: o.ID, File: o.Source.File, Line: o.Source.Line, Field: field, Hint: hint, Err: err}
}

func (e *encoder) record(o *spatial.CityObject) (*Record, error) {
	if o.ID == "" {
		return nil, e.fault(o, "ID", "", fmt.Errorf("found none; an object needs one so that it is known again"))
	}
	r := &Record{Object: *o, Key: KeyOf(o.ID)}
	r.Object.Geometries, r.Object.Attributes = nil, nil
	r.Object.Parents, r.Object.Children = slices.Clone(o.Parents), slices.Clone(o.Children)
	if r.Class = slices.Index(e.classes, o.Class); r.Class < 0 {
		return nil, e.fault(o, "Class", "", fmt.Errorf("%q is no class; expected one of %v or none", o.Class, spatial.Classes()))
	}
	if !o.Level.Valid() {
		return nil, e.fault(o, "Level", "", fmt.Errorf("found %d, expected CIM1 to CIM7 or none", o.Level))
	}
	if h := o.Height; math.IsNaN(h.Metres+h.BaseMetres) || math.IsInf(h.Metres+h.BaseMetres, 0) {
		return nil, e.fault(o, "Height", "", fmt.Errorf("%v m above %v m; expected finite numbers", h.Metres, h.BaseMetres))
	}
	var err error
	if e.buf, err = AppendAttributes(e.buf[:0], o.Attributes); err != nil {
		return nil, e.fault(o, "Attributes", "correct or leave out the value", err)
	}
	r.Attributes = string(e.buf)
	if err := e.convert(o); err != nil {
		return nil, err
	}
	if e.buf, err = AppendGeometries(e.buf[:0], e.local); err != nil {
		return nil, e.fault(o, "Geometries", "check the CRS and the unit of heights", err)
	}
	r.Geometries = slices.Clone(e.buf)
	r.Low, r.High = Heights(e.local)
	if f := Footprint(e.local); f != nil {
		box := f.Bounds()
		r.Box = store.BBox{West: box.Min[0], South: box.Min[1], East: box.Max[0], North: box.Max[1]}
		if e.buf, err = e.footprint(e.buf[:0], f); err != nil {
			return nil, e.fault(o, "Geometries", "", err)
		}
		r.Footprint = slices.Clone(e.buf)
	} else {
		r.Box.Empty = true
	}
	r.Hash = e.hash(r)
	return r, nil
}

// convert puts the geometries of o, in WGS 84, into e.local.
func (e *encoder) convert(o *spatial.CityObject) error {
	e.local = e.local[:0]
	if len(o.Geometries) == 0 {
		return nil
	}
	if !o.CRS.Known() {
		return e.fault(o, "CRS", "state the CRS of the source by its EPSG code, e.g. EPSG:4549", fmt.Errorf("it is not known"))
	}
	t, ok := e.transforms[o.CRS.Horizontal]
	if !ok {
		from, err := crs.ByCode(o.CRS.Horizontal)
		if err == nil {
			t, err = crs.Between(from.Horizontal().Traditional(), crs.WGS84().Traditional(), crs.Options{Heights: crs.HeightsCarried, InArea: true})
		}
		if err != nil {
			return e.fault(o, "CRS", "convert the source to a CRS that cityhub knows, e.g. EPSG:4326", err)
		}
		e.transforms[o.CRS.Horizontal] = t
	}
	for i := range o.Geometries {
		g := o.Geometries[i]
		if err := g.Valid(); err != nil {
			return e.fault(o, fmt.Sprintf("geometry[%d]", i), "", err)
		}
		if len(e.xyz) <= i {
			e.xyz = append(e.xyz, nil)
		}
		if cap(e.xyz[i]) < len(g.XYZ) {
			e.xyz[i] = make([]float64, len(g.XYZ))
		}
		xyz := e.xyz[i][:len(g.XYZ)]
		if err := t.Flat(xyz, g.XYZ, 3); err != nil {
			return e.fault(o, fmt.Sprintf("geometry[%d]", i), "check the CRS of the source and the order of its axes", err)
		}
		g.XYZ = xyz
		e.local = append(e.local, g)
	}
	return nil
}

// Heights are those of the lowest and highest points of the geometries that
// have heights, or NaN.
func Heights(geometries []spatial.Geometry) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for i := range geometries {
		if g := &geometries[i]; g.HasZ {
			for p := 2; p < len(g.XYZ); p += 3 {
				low, high = min(low, g.XYZ[p]), max(high, g.XYZ[p])
			}
		}
	}
	if low > high {
		return math.NaN(), math.NaN()
	}
	return low, high
}

// hash is the same for objects that are the same but for their place in the source.
func (e *encoder) hash(r *Record) [16]byte {
	b := e.buf[:0]
	o := &r.Object
	for _, s := range []string{string(o.Class), o.Type, o.Name, r.Attributes, o.CRS.VerticalDatum, o.Height.From} {
		b = appendText(b, s)
	}
	for _, list := range [][]string{o.Parents, o.Children} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = appendText(b, s)
		}
	}
	b = binary.AppendUvarint(append(b, byte(o.Level)), uint64(o.CRS.Horizontal))
	b = binary.AppendUvarint(b, uint64(o.CRS.Vertical))
	b = appendFloat(appendFloat(b, o.Height.Metres), o.Height.BaseMetres)
	b = append(b, r.Geometries...)
	e.buf = b
	sum := sha256.Sum256(b)
	return [16]byte(sum[:])
}

// KeyOf is the key of an identifier.
func KeyOf(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:])
}
