package features

import (
	"strconv"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

const (
	profileBase  = "http://www.opengis.net/def/profile/OGC/0/"
	jsonfgCore   = "http://www.opengis.net/spec/json-fg-1/1.0/conf/core"
	jsonfgSolids = "http://www.opengis.net/spec/json-fg-1/1.0/conf/polyhedra"
)

// encoder writes features. It appends to one buffer, reflects nothing, and is
// for one goroutine at a time.
type encoder struct {
	buf      []byte
	shape    shaper // of geometry; with JSON-FG CRS84
	place    shaper // of JSON-FG's place
	keys     map[string][]byte
	reserved map[string]bool
	live     *liveReader
	withLive bool
	values   []liveValue
	liveKeys [][5][]byte
	fg       bool
	profile  string
	lod      string
}

// prepare makes e ready for one request. Buffers stay.
func (e *encoder) prepare(out *crs.CRS, wgs84 *crs.CRS, live *liveReader, withLive bool, f format, s search) error {
	e.buf, e.live, e.withLive = e.buf[:0], live, withLive
	e.fg, e.profile, e.lod = f.name == formatJSONFG.name && s.profile != "rfc7946", s.profile, s.lod
	e.reserved = reservedNames(live.props)
	e.keys = map[string][]byte{}
	e.liveKeys = e.liveKeys[:0]
	if withLive {
		for _, p := range live.props {
			var k [5][]byte
			for i, suffix := range []string{"", "_time", "_age", "_quality", "_unit"} {
				k[i] = append(jsonenc.AppendString([]byte{','}, p.Name+suffix), ':')
			}
			e.liveKeys = append(e.liveKeys, k)
		}
	}
	if e.fg {
		if err := e.place.reset(out); err != nil {
			return err
		}
		out = wgs84
	}
	return e.shape.reset(out)
}

// key is an attribute's name as it is written.
func (e *encoder) key(attribute string) []byte {
	k, ok := e.keys[attribute]
	if !ok {
		k = append(jsonenc.AppendString([]byte{','}, servedName(attribute, e.reserved)), ':')
		e.keys[attribute] = k
	}
	return k
}

func (e *encoder) text(name, value string) {
	if value == "" {
		return
	}
	e.buf = append(append(append(e.buf, ',', '"'), name...), '"', ':')
	e.buf = jsonenc.AppendString(e.buf, value)
}

func (e *encoder) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	e.buf = append(append(append(e.buf, ',', '"'), name...), '"', ':', '"')
	e.buf = append(t.UTC().AppendFormat(e.buf, time.RFC3339Nano), '"')
}

func (e *encoder) number(name string, v float64) {
	e.buf = append(append(append(e.buf, ',', '"'), name...), '"', ':')
	e.buf = jsonenc.AppendFloat(e.buf, v)
}

func (e *encoder) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	e.buf = append(append(append(e.buf, ',', '"'), name...), '"', ':', '[')
	for i, v := range values {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = jsonenc.AppendString(e.buf, v)
	}
	e.buf = append(e.buf, ']')
}

// object appends the feature of an object, without the brace that closes it.
func (e *encoder) object(v *store.Version) error {
	o := &v.Object
	var err error
	e.buf = append(e.buf, `{"type":"Feature","id":"`...)
	e.buf = append(appendID(e.buf, store.Key{Dataset: v.Dataset, ID: o.ID}), '"')
	if e.fg {
		err = e.foreground(v)
	} else {
		e.buf = append(e.buf, `,"geometry":`...)
		e.buf, err = e.shape.append(e.buf, v.Footprint, 2)
	}
	if err != nil {
		return err
	}
	e.buf = append(e.buf, `,"properties":{"dataset":`...)
	e.buf = jsonenc.AppendString(e.buf, v.Dataset)
	e.buf = append(e.buf, `,"identifier":`...)
	e.buf = jsonenc.AppendString(e.buf, o.ID)
	e.text("class", string(o.Class))
	e.text("type", o.Type)
	e.text("name", o.Name)
	e.text("cim_level", o.Level.String())
	if o.Height.From != "" {
		e.number("height", o.Height.Metres)
		if o.Height.BaseMetres != 0 {
			e.number("height_base", o.Height.BaseMetres)
		}
	}
	e.text("height_datum", datumOf(o.CRS))
	e.time("valid_from", v.ValidFrom)
	e.time("valid_to", v.ValidTo)
	e.list(parentsName, o.Parents)
	e.list(childrenName, o.Children)
	for i := range o.Attributes {
		a := &o.Attributes[i]
		if redundant(o, a) {
			continue
		}
		e.buf = append(e.buf, e.key(a.Name)...)
		e.buf = appendValue(e.buf, a.Value)
	}
	if e.withLive {
		if e.values, err = e.live.read(v.Position, nil, e.values); err != nil {
			return err
		}
		e.liveValues(e.values)
	}
	e.buf = append(e.buf, '}')
	return nil
}

// redundant reports whether an attribute says what a property already does: the
// name, or the height as it was given.
func redundant(o *spatial.CityObject, a *spatial.Attribute) bool {
	switch a.Name {
	case "name":
		s, ok := a.Value.Text()
		return ok && s == o.Name
	case "height":
		f, ok := a.Value.Number()
		return ok && o.Height.From == "height" && f == o.Height.Metres
	}
	return false
}

// liveValues appends the members of what is observed.
func (e *encoder) liveValues(values []liveValue) {
	for i := range values {
		v := &values[i]
		if v.ds == nil {
			continue
		}
		k := &e.liveKeys[i]
		e.buf = append(e.buf, k[0]...)
		switch {
		case v.reading.Quality == "missing":
			e.buf = append(e.buf, "null"...)
		case v.ds.Text:
			e.buf = jsonenc.AppendString(e.buf, v.reading.Text)
		default:
			e.buf = jsonenc.AppendFloat(e.buf, v.reading.Value)
		}
		e.buf = append(append(e.buf, k[1]...), '"')
		e.buf = v.reading.Time.UTC().AppendFormat(e.buf, time.RFC3339Nano)
		e.buf = append(append(e.buf, '"'), k[2]...)
		e.buf = jsonenc.AppendFloat(e.buf, e.live.ageSeconds(v.reading))
		e.buf = append(e.buf, k[3]...)
		e.buf = jsonenc.AppendString(e.buf, v.reading.Quality)
		if v.ds.UnitCode != "" {
			e.buf = append(e.buf, k[4]...)
			e.buf = jsonenc.AppendString(e.buf, v.ds.UnitCode)
		}
	}
}

// foreground appends what JSON-FG adds: time, place and geometry.
func (e *encoder) foreground(v *store.Version) error {
	o := &v.Object
	typ := o.Type
	if typ == "" {
		typ = string(o.Class)
	}
	e.text("featureType", typ)
	e.buf = append(e.buf, `,"time":`...)
	if v.ValidFrom.IsZero() {
		e.buf = append(e.buf, "null"...)
	} else {
		e.buf = append(e.buf, `{"interval":["`...)
		e.buf = v.ValidFrom.UTC().AppendFormat(e.buf, time.RFC3339Nano)
		e.buf = append(e.buf, `","`...)
		if v.ValidTo.IsZero() {
			e.buf = append(e.buf, `..`...)
		} else {
			e.buf = v.ValidTo.UTC().AppendFormat(e.buf, time.RFC3339Nano)
		}
		e.buf = append(e.buf, `"]}`...)
	}
	var err error
	g, dims := v.Footprint, 2
	if solid := e.chosen(o); solid != nil {
		g, dims = solid, 3
	} else if e.place.out.Authority() == "OGC" {
		g = nil // geometry has it
	}
	if dims == 3 {
		e.buf = append(e.buf, `,"coordRefSys":`...)
		e.buf = appendCRS(e.buf, e.place.out, o.CRS)
	}
	e.buf = append(e.buf, `,"place":`...)
	if e.buf, err = e.place.append(e.buf, g, dims); err != nil {
		return err
	}
	e.buf = append(e.buf, `,"geometry":`...)
	if g != nil && e.profile != "jsonfg-plus" {
		e.buf = append(e.buf, "null"...)
		return nil
	}
	e.buf, err = e.shape.append(e.buf, v.Footprint, 2)
	return err
}

// chosen is the geometry with heights of the level asked for, or the finest;
// nil where there is none.
func (e *encoder) chosen(o *spatial.CityObject) *spatial.Geometry {
	g := o.Finest()
	if e.lod != "" {
		g = o.Geometry(e.lod)
	}
	if g == nil || !g.HasZ || g.NumPoints() == 0 {
		return nil
	}
	return g
}

// appendCRS appends the coordRefSys of a place with heights: the horizontal CRS
// and the vertical, where it is known by a code. Heights of which the datum is
// not known have the horizontal CRS alone.
func appendCRS(dst []byte, out *crs.CRS, o spatial.CRS) []byte {
	horizontal := out.Horizontal().URI()
	if out.Authority() == "OGC" {
		if o.VerticalDatum == spatial.Ellipsoid {
			return append(dst, `"http://www.opengis.net/def/crs/OGC/0/CRS84h"`...)
		}
		horizontal = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
	}
	if o.Vertical == 0 {
		return jsonenc.AppendString(dst, horizontal)
	}
	dst = jsonenc.AppendString(append(dst, '['), horizontal)
	dst = append(dst, `,"http://www.opengis.net/def/crs/EPSG/0/`...)
	return append(strconv.AppendInt(dst, int64(o.Vertical), 10), '"', ']')
}

// datumOf names the datum of an object's heights; empty where it is not known.
func datumOf(c spatial.CRS) string {
	if c.VerticalDatum == "" && c.Vertical != 0 {
		return "EPSG:" + strconv.Itoa(c.Vertical)
	}
	return c.VerticalDatum
}

// appendValue appends the value of an attribute.
func appendValue(dst []byte, v spatial.Value) []byte {
	switch v.Kind() {
	case spatial.Bool:
		b, _ := v.Bool()
		return strconv.AppendBool(dst, b)
	case spatial.Int:
		n, _ := v.Int()
		return strconv.AppendInt(dst, n, 10)
	case spatial.Float:
		f, _ := v.Number()
		return jsonenc.AppendFloat(dst, f)
	case spatial.Text:
		s, _ := v.Text()
		return jsonenc.AppendString(dst, s)
	case spatial.JSON:
		return append(dst, v.String()...)
	}
	return append(dst, "null"...)
}

// terminal appends the feature of a terminal, without the brace that closes it.
func (e *encoder) terminal(t *city.Terminal, values []liveValue) error {
	var err error
	e.buf = append(e.buf, `{"type":"Feature","id":"`...)
	e.buf = append(escapeID(e.buf, t.Code, true), '"')
	e.buf = append(e.buf, `,"geometry":`...)
	shape := &e.shape
	if e.fg && e.place.out.Authority() != "OGC" {
		shape = &e.place
		e.buf = append(e.buf, `null,"place":`...)
	}
	if e.buf, err = shape.append(e.buf, terminalPoint(t), terminalDims(t, shape.out)); err != nil {
		return err
	}
	if e.fg {
		if shape != &e.place {
			e.buf = append(e.buf, `,"place":null`...)
		}
		e.buf = append(e.buf, `,"time":null,"featureType":"Terminal"`...)
	}
	e.buf = append(e.buf, `,"properties":{"code":`...)
	e.buf = jsonenc.AppendString(e.buf, t.Code)
	e.text("name", t.Name)
	e.text("name_en", t.NameEn)
	e.text("domain", t.Domain)
	e.text("district", t.District)
	e.text("state", t.State)
	e.buf = append(e.buf, `,"simulated":`...)
	e.buf = strconv.AppendBool(e.buf, t.Simulated)
	if t.HeightMetres != nil {
		e.number("height", *t.HeightMetres)
		e.text("height_datum", t.HeightDatum)
	}
	e.liveValues(values)
	e.buf = append(e.buf, `,"datastreams":[`...)
	for i, ds := range t.Datastreams {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(e.buf, `{"id":`...)
		e.buf = strconv.AppendInt(e.buf, ds.ID, 10)
		e.text("name", ds.Name)
		e.text("property", ds.Property)
		e.text("unit", ds.UnitCode)
		e.text("dataset", ds.Dataset)
		r, ok, err := e.live.latest(ds)
		if err != nil {
			return err
		}
		if ok {
			e.buf = append(e.buf, `,"value":`...)
			switch {
			case r.Quality == "missing":
				e.buf = append(e.buf, "null"...)
			case ds.Text:
				e.buf = jsonenc.AppendString(e.buf, r.Text)
			default:
				e.buf = jsonenc.AppendFloat(e.buf, r.Value)
			}
			e.time("time", r.Time)
			e.text("quality", r.Quality)
		}
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, "]}"...)
	return nil
}

func terminalPoint(t *city.Terminal) *spatial.Geometry {
	if t.Lon != t.Lon || t.Lat != t.Lat { // NaN: it has no place
		return nil
	}
	g := &spatial.Geometry{Kind: spatial.MultiPoint, XYZ: []float64{t.Lon, t.Lat, 0}}
	if t.HeightMetres != nil {
		g.XYZ[2] = *t.HeightMetres
	}
	return g
}

// terminalDims is 3 where the height is known and measured from the ellipsoid,
// as CRS84h has it.
func terminalDims(t *city.Terminal, out *crs.CRS) int {
	if out.Dimensions() == 3 && t.HeightMetres != nil && (t.HeightDatum == "" || t.HeightDatum == spatial.Ellipsoid) {
		return 3
	}
	return 2
}
