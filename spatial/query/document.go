package query

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/store"
)

// Kind is the kind of a question.
type Kind string

// The kinds of questions.
const (
	Zonal    Kind = "zonal"    // statistics of observations by zone and time window
	Nearest  Kind = "nearest"  // the k nearest objects or terminals
	Within   Kind = "within"   // what lies within a distance
	Pipeline Kind = "pipeline" // steps, each from what the one before found
	Change   Kind = "change"   // of the model or of observations, between two times
)

// Terminals is the collection of terminals in a Selection, beside those of
// city.Collections.
const Terminals = "terminals"

// Document is a question that has been read and checked.
type Document struct {
	Kind Kind
	// Zonal, and Change of observations.
	Zones        *Zones
	Observations *Observations
	Times        *Times // of Change: the times of the first state
	Until        *Times // Change: of the second
	Statistics   []Statistic
	TimeWeighted bool
	MaxGap       time.Duration
	// Nearest and Within.
	Of     *Selection // the places from which is measured
	Select *Selection // what is looked for; Change of the model: the objects
	Metres float64
	K      int
	// Pipeline.
	Steps []*Step
	All   bool // the results of all steps, else of the last

	source []byte
}

// JSON is the document as it came.
func (d *Document) JSON() []byte { return d.source }

// Selection selects objects of the model, terminals, or places that the question
// brings itself.
type Selection struct {
	Collection string    // of city.Collections, or Terminals; empty: Geometries
	Filter     cql2.Expr // nil: none
	BBox       *orb.Bound
	Keys       []store.Key // nil: any
	Dataset    string
	Property   string // of Terminals: those that observe it
	Geometries []Place

	at node
}

// Place is a geometry that a question brings.
type Place struct {
	ID, Name string
	Geometry orb.Geometry // WGS 84 degrees
}

// Zones are the zones of a question.
type Zones struct {
	Type      string // districts, features, buffer, grid, geohash, quadkey
	Of        *Selection
	Metres    float64 // of a grid's cells, of a buffer
	Precision int     // of geohash; level of quadkey
	BBox      *orb.Bound

	at node
}

// Observations select the Datastreams and the readings that count.
type Observations struct {
	city.Select
	Unit    string   // UCUM code or symbol; empty: any, if all are the same
	Quality []string // the marks that count

	at node
}

// qualities are the five marks, in their order.
func qualities() []string { return []string{"good", "not-evaluated", "suspect", "bad", "missing"} }

// Step is one step of a Pipeline.
type Step struct {
	Op           string // select, observed, within, intersecting, below, above, upstream
	Select       *Selection
	Observations *Observations
	Times        *Times
	Statistic    Statistic // of the readings in the window
	Compare      string    // =, <>, <, <=, >, >=
	Value        float64
	Metres       float64

	at node
}

// Parse reads a question. The error is a *city.Error whose Field is the JSON
// Pointer of what is wrong.
func Parse(src []byte, limits Limits) (*Document, error) {
	limits = limits.defaults()
	root, err := parseJSON(src)
	if err != nil {
		return nil, err
	}
	if _, ok := root.v.(map[string]any); !ok {
		return nil, root.fault("found %s, expected an object with kind", root.found())
	}
	kind, err := root.member("kind").oneOf("", string(Zonal), string(Nearest), string(Within), string(Pipeline), string(Change))
	if err != nil {
		return nil, err
	}
	p := &parser{limits: limits}
	d := &Document{Kind: Kind(kind), source: src}
	switch d.Kind {
	case Zonal:
		err = p.zonal(root, d)
	case Nearest:
		err = p.nearest(root, d)
	case Within:
		err = p.within(root, d)
	case Pipeline:
		err = p.pipeline(root, d)
	case Change:
		err = p.change(root, d)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// parser counts what a document may have only so much of.
type parser struct {
	limits   Limits
	vertices int
}

// members are those of every kind, followed by its own.
func members(own ...string) []string { return append([]string{"kind", "title", "description"}, own...) }

func (p *parser) zonal(n node, d *Document) (err error) {
	if err := n.object(members("zones", "observations", "time", "statistics", "timeWeighted", "maxGap")...); err != nil {
		return err
	}
	if d.Times, err = decodeTimes(n.member("time")); err != nil {
		return err
	}
	return p.statistics(n, d)
}

// statistics reads what Zonal and Change of observations have in common.
func (p *parser) statistics(n node, d *Document) (err error) {
	if d.Zones, err = p.zones(n.member("zones")); err != nil {
		return err
	}
	if d.Observations, err = p.observations(n.member("observations")); err != nil {
		return err
	}
	if d.Statistics, err = decodeStatistics(n.member("statistics")); err != nil {
		return err
	}
	if d.TimeWeighted, err = n.member("timeWeighted").truth(); err != nil {
		return err
	}
	gap, err := n.member("maxGap").text("PT1H")
	if err != nil {
		return err
	}
	s, err := parseSpan(gap)
	if err != nil || s.years+s.months > 0 || s.days > 366 {
		return n.member("maxGap").fault("found %q, expected an ISO 8601 duration of at most 366 days, without months or years", gap)
	}
	d.MaxGap = time.Duration(s.days)*24*time.Hour + s.rest
	return nil
}

func (p *parser) nearest(n node, d *Document) (err error) {
	if err := n.object(members("of", "select", "k", "maxMetres")...); err != nil {
		return err
	}
	if err := p.ofAndSelect(n, d); err != nil {
		return err
	}
	if d.K, err = n.member("k").integer(1, 1, 1000); err != nil {
		return err
	}
	d.Metres, err = n.member("maxMetres").number(5000, 0, 100_000)
	return err
}

func (p *parser) within(n node, d *Document) (err error) {
	if err := n.object(members("of", "select", "metres")...); err != nil {
		return err
	}
	if err := p.ofAndSelect(n, d); err != nil {
		return err
	}
	d.Metres, err = n.member("metres").number(math.NaN(), 0, 100_000)
	return err
}

func (p *parser) ofAndSelect(n node, d *Document) (err error) {
	if d.Of, err = p.selection(n.member("of"), true); err != nil {
		return err
	}
	d.Select, err = p.selection(n.member("select"), false)
	return err
}

func (p *parser) pipeline(n node, d *Document) error {
	if err := n.object(members("steps", "output")...); err != nil {
		return err
	}
	output, err := n.member("output").oneOf("last", "last", "all")
	if err != nil {
		return err
	}
	d.All = output == "all"
	steps, err := n.member("steps").items("steps", 1, 16)
	if err != nil {
		return err
	}
	for i, item := range steps {
		s, err := p.step(item, i == 0)
		if err != nil {
			return err
		}
		d.Steps = append(d.Steps, s)
	}
	return nil
}

func (p *parser) step(n node, first bool) (*Step, error) {
	ops := []string{"select", "observed", "within", "intersecting", "below", "above", "upstream"}
	m, _ := n.v.(map[string]any)
	if len(m) != 1 {
		return nil, n.fault("found %s, expected an object with one member: %s", n.found(), strings.Join(ops, ", "))
	}
	if err := n.object(ops...); err != nil {
		return nil, err
	}
	s := &Step{}
	for s.Op = range m {
	}
	s.at = n.member(s.Op)
	if first && s.Op != "select" && s.Op != "observed" {
		return nil, s.at.fault("there is no step before this one; begin with select or observed")
	}
	var err error
	switch s.Op {
	case "select":
		if !first {
			return nil, s.at.fault("expected select as the first step; the later ones have a select of their own")
		}
		s.Select, err = p.selection(s.at, true)
	case "observed":
		err = p.observed(s)
	case "upstream":
		if err = s.at.object("select", "metres"); err == nil && s.at.member("select").present() {
			s.Select, err = p.selection(s.at.member("select"), false)
		}
		if err == nil {
			s.Metres, err = s.at.member("metres").number(10_000, 0, 1_000_000)
		}
	default:
		if err = s.at.object("select", "metres"); err != nil {
			return nil, err
		}
		if s.Select, err = p.selection(s.at.member("select"), false); err != nil {
			return nil, err
		}
		absent := 0.0
		if s.Op == "within" {
			absent = math.NaN()
		}
		s.Metres, err = s.at.member("metres").number(absent, 0, 100_000)
		if err == nil && s.Op != "within" && s.Select.Collection == Terminals {
			err = s.at.member("select").fault("terminals have no extent to be %s; expected a collection of objects", s.Op)
		}
	}
	return s, err
}

func (p *parser) observed(s *Step) (err error) {
	own := []string{"op", "value", "time", "statistic"}
	if s.Observations, err = p.observations(s.at, own...); err != nil {
		return err
	}
	if s.Compare, err = s.at.member("op").oneOf("", "=", "<>", "<", "<=", ">", ">="); err != nil {
		return err
	}
	if s.Value, err = s.at.member("value").number(math.NaN(), -math.MaxFloat64, math.MaxFloat64); err != nil {
		return err
	}
	if s.Times, err = decodeTimes(s.at.member("time")); err != nil {
		return err
	}
	if !s.Times.every.zero() {
		return s.at.member("time").member("every").fault("a step has one window")
	}
	absent := "max" // any reading over the value
	if strings.HasPrefix(s.Compare, "<") && s.Compare != "<>" {
		absent = "min"
	}
	name, err := s.at.member("statistic").text(absent)
	if err != nil {
		return err
	}
	if s.Statistic, err = parseStatistic(name); err != nil {
		return s.at.member("statistic").fault("%v", err)
	}
	return nil
}

func (p *parser) change(n node, d *Document) (err error) {
	of, err := n.member("of").oneOf("model", "model", "observations")
	if err != nil {
		return err
	}
	if of == "model" {
		if err := n.object(members("of", "select", "from", "to", "zone")...); err != nil {
			return err
		}
		if d.Select, err = p.selection(n.member("select"), false); err != nil {
			return err
		}
		if d.Select.Collection == Terminals {
			return n.member("select").fault("terminals have no versions; expected a collection of objects")
		}
		window := map[string]any{"from": n.member("from").v, "to": n.member("to").v, "zone": n.member("zone").v}
		d.Times, err = decodeTimes(node{window, n.ptr})
		return err
	}
	if err := n.object(members("of", "zones", "observations", "before", "after", "statistics", "timeWeighted", "maxGap")...); err != nil {
		return err
	}
	if d.Times, err = decodeTimes(n.member("before")); err != nil {
		return err
	}
	if d.Until, err = decodeTimes(n.member("after")); err != nil {
		return err
	}
	for _, t := range []*Times{d.Times, d.Until} {
		if !t.every.zero() {
			return t.at.member("every").fault("a change is between two windows")
		}
	}
	return p.statistics(n, d)
}

func (p *parser) zones(n node) (*Zones, error) {
	if !n.present() {
		return nil, n.fault("is missing; expected an object with type")
	}
	if err := n.object("type", "of", "metres", "precision", "level", "bbox"); err != nil {
		return nil, err
	}
	z := &Zones{at: n}
	var err error
	if z.Type, err = n.member("type").oneOf("", "districts", "features", "buffer", "grid", "geohash", "quadkey"); err != nil {
		return nil, err
	}
	takes := map[string][]string{"districts": {"bbox"}, "features": {"of"}, "buffer": {"of", "metres"}, "grid": {"metres", "bbox"}, "geohash": {"precision", "bbox"}, "quadkey": {"level", "bbox"}}[z.Type]
	if err := n.object(append([]string{"type"}, takes...)...); err != nil {
		return nil, err
	}
	if z.BBox, err = p.bbox(n.member("bbox")); err != nil {
		return nil, err
	}
	switch z.Type {
	case "districts":
		z.Of = &Selection{Collection: "districts", BBox: z.BBox, at: n}
	case "features", "buffer":
		if z.Of, err = p.selection(n.member("of"), true); err != nil {
			return nil, err
		}
		if z.Type == "buffer" {
			z.Metres, err = n.member("metres").number(math.NaN(), 0.01, 100_000)
		}
	case "grid":
		z.Metres, err = n.member("metres").number(math.NaN(), 1, 1_000_000)
	case "geohash":
		z.Precision, err = n.member("precision").integer(6, 1, 12)
	case "quadkey":
		z.Precision, err = n.member("level").integer(15, 1, 24)
	}
	return z, err
}

func (p *parser) observations(n node, more ...string) (*Observations, error) {
	if !n.present() {
		return nil, n.fault("is missing; expected an object with property")
	}
	own := []string{"property", "terminal", "domain", "district", "dataset", "bbox", "unit", "quality"}
	if err := n.object(append(own, more...)...); err != nil {
		return nil, err
	}
	o := &Observations{at: n}
	for name, to := range map[string]*string{"property": &o.Property, "terminal": &o.Terminal, "domain": &o.Domain, "district": &o.District, "dataset": &o.Dataset, "unit": &o.Unit} {
		var err error
		if *to, err = n.member(name).text(""); err != nil {
			return nil, err
		}
	}
	if o.Property == "" {
		return nil, n.member("property").fault("is missing; expected the name of an observed property, e.g. pm25")
	}
	b, err := p.bbox(n.member("bbox"))
	if err != nil {
		return nil, err
	}
	o.Bound = b
	if o.Quality, err = n.member("quality").texts(5); err != nil {
		return nil, err
	}
	for _, q := range o.Quality {
		if !slices.Contains(qualities(), q) {
			return nil, n.member("quality").fault("found %q, expected some of %s", q, strings.Join(qualities(), ", "))
		}
	}
	if o.Quality == nil {
		o.Quality = qualities()[:2]
	}
	return o, nil
}

func (p *parser) bbox(n node) (*orb.Bound, error) {
	if !n.present() {
		return nil, nil
	}
	list, err := n.items("numbers: west, south, east, north", 4, 4)
	if err != nil {
		return nil, err
	}
	var v [4]float64
	for i, item := range list {
		most := 180 - 90*float64(i%2)
		if v[i], err = item.number(math.NaN(), -most, most); err != nil {
			return nil, err
		}
	}
	if v[0] > v[2] || v[1] > v[3] {
		return nil, n.fault("found %s, expected west ≤ east and south ≤ north, in degrees, longitude first", n.found())
	}
	return &orb.Bound{Min: orb.Point{v[0], v[1]}, Max: orb.Point{v[2], v[3]}}, nil
}

func (p *parser) selection(n node, places bool) (*Selection, error) {
	if !n.present() {
		return nil, n.fault("is missing; expected an object with collection")
	}
	if err := n.object("collection", "filter", "bbox", "ids", "dataset", "property", "geometry", "features"); err != nil {
		return nil, err
	}
	s := &Selection{at: n}
	if n.member("geometry").present() || n.member("features").present() {
		if !places {
			return nil, n.fault("expected a collection here, not a geometry")
		}
		if err := n.object("geometry", "features"); err != nil {
			return nil, err
		}
		return s, p.places(n, s)
	}
	names := []string{}
	for _, c := range city.Collections() {
		names = append(names, c.ID)
	}
	var err error
	if s.Collection, err = n.member("collection").oneOf("", append(names, Terminals)...); err != nil {
		return nil, err
	}
	if s.BBox, err = p.bbox(n.member("bbox")); err != nil {
		return nil, err
	}
	if s.Dataset, err = n.member("dataset").text(""); err != nil {
		return nil, err
	}
	if s.Property, err = n.member("property").text(""); err != nil {
		return nil, err
	}
	if s.Property != "" && s.Collection != Terminals {
		return nil, n.member("property").fault("expected it with the collection terminals only")
	}
	ids, err := n.member("ids").texts(10_000)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		dataset, rest, ok := strings.Cut(id, "/")
		if s.Collection == Terminals {
			dataset, rest, ok = "", id, true
		}
		if !ok || rest == "" {
			return nil, n.member("ids").fault("found %q, expected the data set, a slash and the identifier, e.g. suzhou-buildings/way/42; of terminals their codes", id)
		}
		s.Keys = append(s.Keys, store.Key{Dataset: dataset, ID: rest})
	}
	f := n.member("filter")
	limits := cql2.Limits{Vertices: p.limits.Vertices}
	switch v := f.v.(type) {
	case nil:
	case string:
		s.Filter, err = cql2.ParseText(v, limits)
	default:
		s.Filter, err = cql2.ParseJSON(f.raw(), limits)
	}
	if err != nil {
		return nil, filterFault(f, err)
	}
	return s, nil
}

func filterFault(f node, err error) error {
	e := f.fault("%v", err)
	e.Err = err
	return e
}

// places reads the geometries that a question brings: GeoJSON, of which the
// filter language has a reader.
func (p *parser) places(n node, s *Selection) error {
	one := func(n node, id, name string) error {
		e, err := cql2.ParseJSON([]byte(`{"op":"s_intersects","args":[{"property":"x"},`+string(n.raw())+`]}`), cql2.Limits{Bytes: 16 << 20, Vertices: p.limits.Vertices})
		if err != nil {
			return n.fault("expected a GeoJSON geometry: %v", err)
		}
		g, ok := e.(*cql2.Call).Args[1].(*cql2.Geometry)
		if !ok {
			return n.fault("found %s, expected a GeoJSON geometry", n.found())
		}
		if _, mixed := g.Geom.(orb.Collection); mixed {
			return n.fault("found a GeometryCollection, expected points, lines or areas")
		}
		if p.vertices += countVertices(g.Geom); p.vertices > p.limits.Vertices {
			e := n.fault("the geometries have more than %d vertices together", p.limits.Vertices)
			e.Code, e.Hint = city.TooLarge, "simplify them, or ask for fewer at a time"
			return e
		}
		if b := g.Geom.Bound(); !(b.Min[0] >= -180 && b.Max[0] <= 180 && b.Min[1] >= -90 && b.Max[1] <= 90) {
			e := n.fault("lies at %v to %v, expected degrees, longitude first", b.Min, b.Max)
			e.Hint = "GeoJSON is in WGS 84 (RFC 7946 section 4)"
			return e
		}
		s.Geometries = append(s.Geometries, Place{id, name, g.Geom})
		return nil
	}
	if g := n.member("geometry"); g.present() {
		if n.member("features").present() {
			return n.fault("expected geometry or features, not both")
		}
		return one(g, "1", "")
	}
	features := n.member("features")
	if m, ok := features.v.(map[string]any); ok && m["type"] == "FeatureCollection" {
		features = features.member("features")
	}
	list, err := features.items("GeoJSON features", 1, p.limits.Zones)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, f := range list {
		m, ok := f.v.(map[string]any)
		if !ok || m["type"] != "Feature" {
			return f.fault("found %s, expected a GeoJSON Feature", f.found())
		}
		id := itoa(i + 1)
		if v := f.member("id"); v.present() {
			id = strings.Trim(v.found(), `"`)
		}
		if seen[id] {
			return f.member("id").fault("found %q again, expected identifiers that differ", id)
		}
		seen[id] = true
		name, _ := f.member("properties").member("name").v.(string)
		if err := one(f.member("geometry"), id, name); err != nil {
			return err
		}
	}
	return nil
}
