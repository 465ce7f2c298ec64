package sensorthings

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/twin"
)

// propertyNames are what $select may name of an entity set, beside id and the
// navigation properties.
func propertyNames(s set) []string {
	switch s {
	case things:
		return []string{"name", "description", "properties"}
	case locations:
		return []string{"name", "description", "encodingType", "location", "properties"}
	case sensors:
		return []string{"name", "description", "encodingType", "metadata"}
	case observedProperties:
		return []string{"name", "definition", "description", "properties"}
	case datastreams:
		return []string{"name", "description", "observationType", "unitOfMeasurement", "phenomenonTime", "properties"}
	case observations:
		return []string{"phenomenonTime", "resultTime", "result", "resultQuality"}
	}
	return nil
}

// checkSelect refuses names that the set does not have.
func checkSelect(s set, sel []string) error {
	for _, name := range sel {
		known := name == "id" || name == "@iot.id" || name == "@iot.selfLink" || slices.Contains(propertyNames(s), name) ||
			slices.ContainsFunc(navsOf(s), func(n nav) bool { return n.name == name })
		if !known {
			hint := "there are id, " + strings.Join(propertyNames(s), ", ")
			for _, n := range navsOf(s) {
				hint += ", " + n.name
			}
			return badOption("$select", s.String()+" have no "+strconv.Quote(name), hint)
		}
	}
	return nil
}

// encoder writes entities as JSON. It belongs to one request.
type encoder struct {
	root    string   // of the service, without a slash at the end
	escaped []byte   // root as the inside of a JSON string: the caller names the host
	sel     []string // $select; nil: everything
	err     error    // the first value that could not be encoded
}

func (e *encoder) wants(name string) bool { return e.sel == nil || slices.Contains(e.sel, name) }

// object is a JSON object that is being written; members that are not wanted
// are left out.
type object struct {
	e *encoder
	b []byte
	n int
}

func (e *encoder) begin(b []byte) object { return object{e: e, b: append(b, '{')} }

func (o *object) end() []byte { return append(o.b, '}') }

func (o *object) name(name string) {
	if o.n++; o.n > 1 {
		o.b = append(o.b, ',')
	}
	o.b = jsonenc.AppendString(o.b, name)
	o.b = append(o.b, ':')
}

func (o *object) text(name, v string) {
	if o.e.wants(name) {
		o.name(name)
		o.b = jsonenc.AppendString(o.b, v)
	}
}

func (o *object) value(name string, v any) {
	if !o.e.wants(name) {
		return
	}
	raw, err := json.Marshal(v)
	if err != nil {
		if o.e.err == nil {
			o.e.err = fmt.Errorf("encode %s: %w", name, err)
		}
		return
	}
	o.name(name)
	o.b = append(o.b, raw...)
}

// control writes @iot.id and @iot.selfLink.
func (o *object) control(s set, id int64) {
	if o.e.wants("id") || o.e.wants("@iot.id") {
		o.name("@iot.id")
		o.b = strconv.AppendInt(o.b, id, 10)
	}
	if o.e.wants("@iot.selfLink") {
		o.name("@iot.selfLink")
		o.b = jsonenc.AppendString(o.b, o.e.self(s, id))
	}
}

// links writes the navigation links.
func (o *object) links(s set, id int64) {
	for _, n := range navsOf(s) {
		if o.e.wants(n.name) {
			o.name(n.name + "@iot.navigationLink")
			o.b = jsonenc.AppendString(o.b, o.e.self(s, id)+"/"+n.name)
		}
	}
}

func (e *encoder) self(s set, id int64) string {
	return e.root + "/" + s.String() + "(" + strconv.FormatInt(id, 10) + ")"
}

func (e *encoder) thing(b []byte, t *twin.Thing) []byte {
	o := e.begin(b)
	o.control(things, int64(t.ID))
	o.text("name", t.Name)
	o.text("description", t.Description)
	if e.wants("properties") {
		// What the hub knows stands over what the manifest says under the same key.
		p := make(map[string]any, len(t.Properties)+8)
		maps.Copy(p, t.Properties)
		p["code"], p["domain"], p["state"], p["simulated"] = t.Code, t.Domain, t.State, t.Simulated
		setText(p, "district", t.District)
		setText(p, "nameEn", t.NameEn)
		o.value("properties", p)
	}
	o.links(things, int64(t.ID))
	return o.end()
}

func (e *encoder) location(b []byte, l *twin.Location) []byte {
	o := e.begin(b)
	o.control(locations, int64(l.ID))
	o.text("name", l.Name)
	o.text("description", l.Description)
	o.text("encodingType", "application/geo+json")
	if e.wants("location") {
		// RFC 7946 section 3.1.1: longitude, latitude, then metres above the
		// WGS 84 ellipsoid, which a height of another datum is not.
		o.name("location")
		o.b = append(o.b, `{"type":"Point","coordinates":[`...)
		o.b = jsonenc.AppendFloat(o.b, l.Lon)
		o.b = append(o.b, ',')
		o.b = jsonenc.AppendFloat(o.b, l.Lat)
		if l.HeightMetres != nil && l.HeightDatum == "" {
			o.b = append(o.b, ',')
			o.b = jsonenc.AppendFloat(o.b, *l.HeightMetres)
		}
		o.b = append(o.b, `]}`...)
	}
	if l.HeightMetres != nil && l.HeightDatum != "" {
		o.value("properties", map[string]any{"heightMetres": *l.HeightMetres, "heightDatum": l.HeightDatum})
	}
	o.links(locations, int64(l.ID))
	return o.end()
}

func (e *encoder) sensor(b []byte, s *twin.Sensor) []byte {
	o := e.begin(b)
	o.control(sensors, int64(s.ID))
	o.text("name", s.Name)
	o.text("description", s.Description)
	o.text("encodingType", s.EncodingType)
	o.text("metadata", s.Metadata)
	o.links(sensors, int64(s.ID))
	return o.end()
}

func (e *encoder) observedProperty(b []byte, p *twin.ObservedProperty) []byte {
	o := e.begin(b)
	o.control(observedProperties, int64(p.ID))
	o.text("name", p.Name)
	o.text("definition", p.Definition)
	o.text("description", p.Description)
	m := make(map[string]any, 2)
	setText(m, "title", p.Title)
	setText(m, "titleEn", p.TitleEn)
	o.value("properties", m)
	o.links(observedProperties, int64(p.ID))
	return o.end()
}

// span is the phenomenon time of the first and the latest Observation.
type span struct {
	firstNs, lastNs int64
	known           bool
}

func (e *encoder) datastream(b []byte, d *twin.Datastream, dataset string, times span) []byte {
	o := e.begin(b)
	o.control(datastreams, int64(d.ID))
	o.text("name", d.Name)
	o.text("description", d.Description)
	o.text("observationType", d.Result.ObservationTypeURI())
	if e.wants("unitOfMeasurement") {
		o.name("unitOfMeasurement")
		if d.Unit == (twin.Unit{}) {
			// OGC 18-088 section 8.2.4: without a unit the members are null.
			o.b = append(o.b, `{"name":null,"symbol":null,"definition":null}`...)
		} else {
			o.b = append(o.b, `{"name":`...)
			o.b = jsonenc.AppendString(o.b, d.Unit.Name)
			o.b = append(o.b, `,"symbol":`...)
			o.b = jsonenc.AppendString(o.b, d.Unit.Symbol)
			o.b = append(o.b, `,"definition":`...)
			o.b = jsonenc.AppendString(o.b, "ucum:"+d.Unit.Code)
			o.b = append(o.b, '}')
		}
	}
	if times.known && e.wants("phenomenonTime") {
		o.name("phenomenonTime")
		o.b = append(o.b, '"')
		o.b = appendTime(o.b, times.firstNs)
		o.b = append(o.b, '/')
		o.b = appendTime(o.b, times.lastNs)
		o.b = append(o.b, '"')
	}
	if e.wants("properties") {
		p := map[string]any{"terminal": d.Terminal, "domain": d.Domain, "simulated": d.Simulated}
		setText(p, "dataset", dataset)
		setText(p, "district", d.District)
		o.value("properties", p)
	}
	o.links(datastreams, int64(d.ID))
	return o.end()
}

// observation writes o as the result of ds.
func (e *encoder) observation(b []byte, ds *twin.Datastream, ob twin.Observation) []byte {
	w := e.begin(b)
	if e.wants("id") || e.wants("@iot.id") {
		w.name("@iot.id")
		w.b = append(w.b, '"')
		w.b = appendObservationID(w.b, ob)
		w.b = append(w.b, '"')
	}
	if e.wants("@iot.selfLink") {
		w.name("@iot.selfLink")
		w.b = append(w.b, '"')
		w.b = e.appendObservationLink(w.b, ob)
		w.b = append(w.b, '"')
	}
	if e.wants("phenomenonTime") {
		w.name("phenomenonTime")
		w.b = append(w.b, '"')
		w.b = appendTime(w.b, ob.PhenomenonNs)
		w.b = append(w.b, '"')
	}
	if e.wants("resultTime") {
		w.name("resultTime")
		w.b = append(w.b, '"')
		w.b = appendTime(w.b, ob.ResultNs)
		w.b = append(w.b, '"')
	}
	if e.wants("result") {
		w.name("result")
		w.b = appendResult(w.b, ds.Result, ob)
	}
	if e.wants("resultQuality") {
		w.name("resultQuality")
		w.b = append(w.b, `{"mark":`...)
		w.b = strconv.AppendUint(w.b, uint64(ob.Quality), 10)
		w.b = append(w.b, `,"name":`...)
		w.b = jsonenc.AppendString(w.b, ob.Quality.String())
		w.b = append(w.b, '}')
	}
	if e.wants("Datastream") {
		w.name("Datastream@iot.navigationLink")
		w.b = append(w.b, '"')
		w.b = e.appendObservationLink(w.b, ob)
		w.b = append(w.b, `/Datastream"`...)
	}
	return w.end()
}

func newEncoder(root string, sel []string) *encoder {
	quoted := jsonenc.AppendString(nil, root)
	return &encoder{root: root, escaped: quoted[1 : len(quoted)-1], sel: sel}
}

// appendObservationLink writes the link as the inside of a JSON string.
func (e *encoder) appendObservationLink(b []byte, ob twin.Observation) []byte {
	b = append(b, e.escaped...)
	b = append(b, `/Observations('`...)
	b = appendObservationID(b, ob)
	return append(b, `')`...)
}

func appendObservationID(b []byte, ob twin.Observation) []byte {
	b = strconv.AppendInt(b, int64(ob.Datastream), 10)
	b = append(b, '_')
	return strconv.AppendInt(b, ob.PhenomenonNs, 10)
}

func appendResult(b []byte, rt twin.ResultType, ob twin.Observation) []byte {
	switch {
	case ob.IsText:
		return jsonenc.AppendString(b, ob.Text)
	case ob.Quality == twin.QualityMissing, math.IsNaN(ob.Value), math.IsInf(ob.Value, 0):
		return append(b, "null"...)
	case rt == twin.ResultTruth:
		return strconv.AppendBool(b, ob.Value != 0)
	}
	return jsonenc.AppendFloat(b, ob.Value)
}

func appendTime(b []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(b, time.RFC3339Nano)
}

func setText(m map[string]any, key, v string) {
	if v != "" {
		m[key] = v
	}
}
