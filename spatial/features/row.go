package features

import (
	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/cql2"
	"cityhub/spatial/store"
)

// row gives a filter the values of one object.
type row struct {
	columns []column
	v       *store.Version
	live    *liveReader
	values  []liveValue
	geom    orb.Geometry // made when asked for
	id      []byte
}

func (r *row) set(v *store.Version) {
	r.v, r.geom, r.values = v, nil, r.values[:0]
}

func (r *row) readLive(need []bool) error {
	var err error
	r.values, err = r.live.read(r.v.Position, need, r.values)
	return err
}

// value is the live value of a column.
func (r *row) value(c *column) (liveValue, bool) {
	if c.prop >= len(r.values) || r.values[c.prop].ds == nil {
		return liveValue{}, false
	}
	return r.values[c.prop], true
}

func (r *row) attribute(c *column) spatial.Value {
	v, _ := r.v.Object.Attributes.Get(c.source)
	return v
}

// Bool is the truth of an attribute.
func (r *row) Bool(i int) (v, ok bool) { return r.attribute(&r.columns[i]).Bool() }

// Number is an attribute, a height or a live value.
func (r *row) Number(i int) (float64, bool) {
	c, o := &r.columns[i], &r.v.Object
	switch c.field {
	case fieldHeight:
		return o.Height.Metres, o.Height.From != ""
	case fieldBase:
		return o.Height.BaseMetres, o.Height.From != ""
	case fieldLive:
		v, ok := r.value(c)
		return v.reading.Value, ok && v.reading.Quality != "missing"
	case fieldLiveAge:
		if v, ok := r.value(c); ok {
			return r.live.ageSeconds(v.reading), true
		}
		return 0, false
	}
	return r.attribute(c).Number()
}

// String is an attribute, a name or a live text. A number or truth in a column
// of texts is as people write it.
func (r *row) String(i int) (string, bool) {
	c, o := &r.columns[i], &r.v.Object
	some := func(s string) (string, bool) { return s, s != "" }
	switch c.field {
	case fieldID:
		r.id = appendID(r.id[:0], store.Key{Dataset: r.v.Dataset, ID: o.ID})
		return string(r.id), true
	case fieldDataset:
		return r.v.Dataset, true
	case fieldIdentifier:
		return o.ID, true
	case fieldClass:
		return some(string(o.Class))
	case fieldType:
		return some(o.Type)
	case fieldName:
		return some(o.Name)
	case fieldLevel:
		return some(o.Level.String())
	case fieldDatum:
		return some(datumOf(o.CRS))
	case fieldLive, fieldLiveQuality, fieldLiveUnit:
		v, ok := r.value(c)
		switch {
		case !ok:
			return "", false
		case c.field == fieldLiveQuality:
			return v.reading.Quality, true
		case c.field == fieldLiveUnit:
			return some(v.ds.UnitCode)
		}
		return v.reading.Text, v.reading.Quality != "missing"
	}
	v := r.attribute(c)
	if v.Kind() == spatial.Null {
		return "", false
	}
	return v.String(), true
}

// Time is a bound of the valid time or the time of a live value.
func (r *row) Time(i int) (int64, bool) {
	c := &r.columns[i]
	switch c.field {
	case fieldFrom:
		return r.v.ValidFrom.UnixNano(), !r.v.ValidFrom.IsZero()
	case fieldTo:
		if r.v.ValidTo.IsZero() {
			return 0, false
		}
		return r.v.ValidTo.UnixNano(), true
	}
	v, ok := r.value(c)
	if !ok {
		return 0, false
	}
	return v.reading.Time.UnixNano(), true
}

// Bound is that of the footprint.
func (r *row) Bound(int) (orb.Bound, bool) {
	if r.v.Footprint == nil {
		return orb.Bound{}, false
	}
	b := r.v.Footprint.Bounds()
	return orb.Bound{Min: orb.Point{b.Min[0], b.Min[1]}, Max: orb.Point{b.Max[0], b.Max[1]}}, !b.Empty()
}

// Geometry is the footprint.
func (r *row) Geometry(int) (orb.Geometry, bool) {
	if r.geom == nil {
		r.geom = orbOf(r.v.Footprint)
	}
	return r.geom, r.geom != nil
}

// Array: no queryable is an array.
func (r *row) Array(int) ([]cql2.Value, bool) { return nil, false }

// orbOf is a footprint as orb has it: one member alone, several as a Multi.
func orbOf(g *spatial.Geometry) orb.Geometry {
	if g == nil {
		return nil
	}
	point := func(i int) orb.Point { return orb.Point{g.XYZ[3*i], g.XYZ[3*i+1]} }
	line := func(i int, closed bool) []orb.Point {
		xyz := g.Ring(i)
		l := make([]orb.Point, 0, len(xyz)/3+1)
		for j := 0; j < len(xyz); j += 3 {
			l = append(l, orb.Point{xyz[j], xyz[j+1]})
		}
		if closed && len(l) > 0 {
			l = append(l, l[0])
		}
		return l
	}
	switch {
	case g.Kind == spatial.MultiPoint:
		if g.NumPoints() == 1 {
			return point(0)
		}
		m := make(orb.MultiPoint, g.NumPoints())
		for i := range m {
			m[i] = point(i)
		}
		return m
	case g.Kind == spatial.MultiLine:
		if len(g.Rings) == 1 {
			return orb.LineString(line(0, false))
		}
		m := make(orb.MultiLineString, len(g.Rings))
		for i := range m {
			m[i] = line(i, false)
		}
		return m
	case g.Kind.IsSurface():
		m := make(orb.MultiPolygon, len(g.Surfaces))
		for i := range m {
			from, to := g.SurfaceRings(i)
			for j := from; j < to; j++ {
				m[i] = append(m[i], line(j, true))
			}
		}
		if len(m) == 1 {
			return m[0]
		}
		return m
	}
	return nil
}
