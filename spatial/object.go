package spatial

// CityObject is one element of the city information model, as a reader found
// it in a source.
type CityObject struct {
	// ID is the identifier in the source. With Source's data set it identifies
	// the object when it is imported again.
	ID    string
	Class Class // empty: none of the five element classes
	// Type is the type that CityGML and CityJSON give it, e.g. "BuildingPart",
	// with "+" before those of an extension; empty where the format has none.
	Type       string
	Name       string
	Level      CIMLevel
	Attributes Attributes // all that were given, in their order
	Parents    []string   // IDs of the objects of which this one is a part
	Children   []string   // IDs of its parts
	Geometries []Geometry // one for each representation
	CRS        CRS        // of all Geometries
	Height     Height
	Source     Source
}

// Height is what the attributes of an object say about its height, for the
// extrusion of objects that have a footprint only. It says nothing where
// From is empty.
type Height struct {
	Metres     float64 // top above the ground
	BaseMetres float64 // lower edge above the ground: more than 0 for what stands on pillars
	From       string  // the attribute it was taken from, e.g. "building:levels"
}

// Source is the place in a source where an object begins.
type Source struct {
	File   string
	Line   int   // from 1
	Offset int64 // bytes
}

// Bounds is the box around all geometries of o.
func (o *CityObject) Bounds() Box {
	b := EmptyBox()
	for i := range o.Geometries {
		b = b.Union(o.Geometries[i].Bounds())
	}
	return b
}

// Geometry is the first geometry of o whose LoD is lod, or nil.
func (o *CityObject) Geometry(lod string) *Geometry {
	for i := range o.Geometries {
		if o.Geometries[i].LoD == lod {
			return &o.Geometries[i]
		}
	}
	return nil
}

// Finest is the geometry of o with the highest LoD, among these a solid before
// surfaces before lines and points, or nil where o has none.
func (o *CityObject) Finest() *Geometry {
	var best *Geometry
	for i := range o.Geometries {
		g := &o.Geometries[i]
		if best == nil || g.LoD > best.LoD || g.LoD == best.LoD && g.Kind.rank() > best.Kind.rank() {
			best = g
		}
	}
	return best
}
