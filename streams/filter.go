package streams

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/paulmach/orb"

	"cityhub/spatial/cql2"
	"cityhub/twin"
)

// Limits of a Filter.
const (
	MaxFilterProperties  = 100
	MaxFilterDatastreams = 5000
	MaxFilterObjects     = 1000
	MaxFilterDistricts   = 100
	MaxFilterVertices    = 10000 // of the polygon, and of all geometries in a CQL2 filter together
	maxFilterNodes       = 2000  // of a CQL2 filter
	maxFilterBytes       = 1 << 20
	maxPropertyName      = 256 // bytes, of the other names too
)

// Filter chooses Datastreams. Its members are combined with AND; an empty one
// chooses everything that the caller may see.
type Filter struct {
	ObservedProperties []string // names, e.g. pm25; nil: any
	Datastreams        []twin.DatastreamID
	BBox               *BBox
	Domains            []twin.Domain
	Districts          []string     // codes of administrative districts
	Polygon            orb.Geometry // an orb.Polygon or orb.MultiPolygon of WGS 84 degrees; edges belong to it
	Objects            []string     // keys DATASET/ID of the CityObjects that Datastreams observe
	WithoutParts       bool         // of Objects: not those of the parts of an object
	CQL                cql2.Expr    // what ParseCQL gives; see Queryables
}

// ParsePolygon reads a GeoJSON geometry (RFC 7946, section 3.1) that is a Polygon
// or a MultiPolygon.
func ParsePolygon(geoJSON []byte) (orb.Geometry, error) {
	const hint = `a polygon looks like {"type":"Polygon","coordinates":[[[120.6,31.3],[120.7,31.3],[120.7,31.4],[120.6,31.3]]]}`
	if len(geoJSON) > maxFilterBytes || !json.Valid(geoJSON) {
		return nil, badFilter("filter.polygon", fmt.Sprintf("expected a GeoJSON geometry of at most %d bytes", maxFilterBytes), hint)
	}
	e, err := cql2.ParseJSON([]byte(`{"op":"s_intersects","args":[{"property":"geometry"},`+string(geoJSON)+`]}`), cql2.Limits{Bytes: maxFilterBytes + 100, Vertices: MaxFilterVertices})
	if err != nil {
		return nil, badCQL("filter.polygon", err)
	}
	if call, ok := e.(*cql2.Call); ok && len(call.Args) == 2 {
		if g, ok := call.Args[1].(*cql2.Geometry); ok {
			switch g.Geom.(type) {
			case orb.Polygon, orb.MultiPolygon:
				return g.Geom, nil
			}
		}
	}
	return nil, badFilter("filter.polygon", "expected a Polygon or a MultiPolygon", hint)
}

// ParseCQL reads a CQL2 filter, as text or, if it begins with {, as JSON. Names
// and types are checked with the rest of the Filter.
func ParseCQL(s string) (cql2.Expr, error) {
	limits := cql2.Limits{Bytes: maxFilterBytes, Nodes: maxFilterNodes, Vertices: MaxFilterVertices}
	var e cql2.Expr
	var err error
	if strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{") {
		e, err = cql2.ParseJSON([]byte(s), limits)
	} else {
		e, err = cql2.ParseText(s, limits)
	}
	if err != nil {
		return nil, badCQL("filter.cql", err)
	}
	return e, nil
}

func badCQL(field string, err error) error {
	out := &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: field, Message: err.Error()}
	var e *cql2.Error
	if errors.As(err, &e) {
		at := *e
		at.Hint = ""
		out.Message, out.Hint = strings.TrimPrefix(at.Error(), "cql2: "), e.Hint
	}
	return out
}

// BBox is a box of WGS 84 longitudes and latitudes in degrees; its edges belong
// to it. West greater than East crosses the antimeridian.
type BBox struct {
	West, South, East, North float64
}

// ParseBBox makes a BBox of [west, south, east, north].
func ParseBBox(v []float64) (*BBox, error) {
	if len(v) != 4 {
		return nil, badFilter("filter.bbox", fmt.Sprintf("%d numbers, expected 4", len(v)), bboxHint)
	}
	b := &BBox{West: v[0], South: v[1], East: v[2], North: v[3]}
	return b, b.validate()
}

const bboxHint = "a bbox is west,south,east,north in degrees, e.g. 120.598,31.285,120.641,31.332"

func (b *BBox) validate() error {
	for i, v := range [4]float64{b.West, b.South, b.East, b.North} {
		limit, name := 180.0, "longitude"
		if i%2 == 1 {
			limit, name = 90, "latitude"
		}
		if math.IsNaN(v) || math.Abs(v) > limit {
			return badFilter("filter.bbox", fmt.Sprintf("%v is no %s between -%v and %v", v, name, limit, limit), bboxHint)
		}
	}
	if b.South > b.North {
		return badFilter("filter.bbox", fmt.Sprintf("south %v is north of north %v", b.South, b.North), bboxHint)
	}
	return nil
}

// Contains reports whether the point lies in the box or on its edge. NaN, which
// stands for a Datastream without a Location, lies nowhere.
func (b *BBox) Contains(lon, lat float64) bool {
	if !(lat >= b.South && lat <= b.North) {
		return false
	}
	if b.spans(lon) {
		return true
	}
	// 180 and -180 are one meridian.
	return math.Abs(lon) == 180 && b.spans(-lon)
}

func (b *BBox) spans(lon float64) bool {
	if b.West <= b.East {
		return lon >= b.West && lon <= b.East
	}
	return lon >= b.West || lon <= b.East
}

// Validate checks the limits and values; the error names the field at fault as
// it stands in the subscribe message.
func (f *Filter) Validate() error {
	if f.ObservedProperties != nil && len(f.ObservedProperties) == 0 {
		return badFilter("filter.observedProperties", "an empty list chooses nothing", "leave the member out to choose every observed property")
	}
	if n := len(f.ObservedProperties); n > MaxFilterProperties {
		return badFilter("filter.observedProperties", fmt.Sprintf("%d names, at most %d", n, MaxFilterProperties), "")
	}
	for _, p := range f.ObservedProperties {
		if p == "" || len(p) > maxPropertyName {
			return badFilter("filter.observedProperties", fmt.Sprintf("a name has 1 to %d bytes", maxPropertyName), "a name looks like pm25")
		}
	}
	if f.Datastreams != nil && len(f.Datastreams) == 0 {
		return badFilter("filter.datastreams", "an empty list chooses nothing", "leave the member out to choose every Datastream")
	}
	if n := len(f.Datastreams); n > MaxFilterDatastreams {
		return badFilter("filter.datastreams", fmt.Sprintf("%d ids, at most %d", n, MaxFilterDatastreams), "choose by bbox or observed property instead")
	}
	for _, id := range f.Datastreams {
		if id <= 0 {
			return badFilter("filter.datastreams", fmt.Sprintf("%d is no Datastream id", id), "ids are whole numbers from 1")
		}
	}
	if f.BBox != nil {
		if err := f.BBox.validate(); err != nil {
			return err
		}
	}
	if err := validNames("filter.domains", "domain", "every domain", f.Domains, len(twin.Domains())); err != nil {
		return err
	}
	for _, d := range f.Domains {
		if !d.Valid() {
			return badFilter("filter.domains", fmt.Sprintf("%q is no domain", d), fmt.Sprintf("the domains are %v", twin.Domains()))
		}
	}
	if err := validNames("filter.districts", "district", "every district", f.Districts, MaxFilterDistricts); err != nil {
		return err
	}
	if err := validNames("filter.objects", "object", "every object", f.Objects, MaxFilterObjects); err != nil {
		return err
	}
	for _, key := range f.Objects {
		if dataset, id, ok := strings.Cut(key, "/"); !ok || dataset == "" || id == "" {
			return badFilter("filter.objects", fmt.Sprintf("%q is no key of a CityObject", key), "a key is DATASET/ID, e.g. gusu-lod1/b-1024")
		}
	}
	switch g := f.Polygon.(type) {
	case nil:
	case orb.Polygon, orb.MultiPolygon:
		if n := vertices(g); n > MaxFilterVertices {
			return badFilter("filter.polygon", fmt.Sprintf("%d vertices, at most %d", n, MaxFilterVertices), "simplify the polygon, or choose by district")
		}
	default:
		return badFilter("filter.polygon", "expected a Polygon or a MultiPolygon", "")
	}
	if f.CQL != nil {
		return checkCQL(f.CQL)
	}
	return nil
}

func validNames[T ~string](field, what, every string, names []T, limit int) error {
	if names != nil && len(names) == 0 {
		return badFilter(field, "an empty list chooses nothing", "leave the member out to choose "+every)
	}
	if len(names) > limit {
		return badFilter(field, fmt.Sprintf("%d entries, at most %d", len(names), limit), "choose by polygon or district instead")
	}
	for _, n := range names {
		if n == "" || len(n) > maxPropertyName {
			return badFilter(field, fmt.Sprintf("a %s has 1 to %d bytes", what, maxPropertyName), "")
		}
	}
	return nil
}

func vertices(g orb.Geometry) (n int) {
	switch g := g.(type) {
	case orb.Polygon:
		for _, r := range g {
			n += len(r)
		}
	case orb.MultiPolygon:
		for _, p := range g {
			n += vertices(p)
		}
	}
	return n
}

// normal is a copy with sorted lists without repetition, so that filters that
// mean the same have the same key.
func (f Filter) normal() Filter {
	n := f
	n.ObservedProperties, n.Datastreams, n.Domains = sorted(f.ObservedProperties), sorted(f.Datastreams), sorted(f.Domains)
	n.Districts, n.Objects = sorted(f.Districts), sorted(f.Objects)
	n.WithoutParts = f.WithoutParts && len(f.Objects) > 0
	if f.BBox != nil {
		b := *f.BBox
		n.BBox = &b
	}
	return n
}

func sorted[T ~string | ~int64](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// maxKeyBytes is how long a key may be before its hash stands for it.
const maxKeyBytes = 512

// key is unique among normal filters.
func (f *Filter) key() string {
	b := make([]byte, 0, 64)
	for _, p := range f.ObservedProperties {
		b = strconv.AppendQuote(b, p)
	}
	for _, id := range f.Datastreams {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(id), 10)
	}
	if f.BBox != nil {
		b = append(b, '[')
		for _, v := range [4]float64{f.BBox.West, f.BBox.South, f.BBox.East, f.BBox.North} {
			b = strconv.AppendFloat(b, v+0, 'g', -1, 64) // +0: no negative zero
			b = append(b, ',')
		}
	}
	for _, d := range f.Domains {
		b = strconv.AppendQuote(append(b, 'd'), string(d))
	}
	for _, d := range f.Districts {
		b = strconv.AppendQuote(append(b, 'D'), d)
	}
	for _, o := range f.Objects {
		b = strconv.AppendQuote(append(b, 'o'), o)
	}
	if f.WithoutParts {
		b = append(b, '!')
	}
	if f.Polygon != nil {
		b = append(append(b, 'p'), cql2.Text(within(f.Polygon))...)
	}
	if f.CQL != nil {
		b = append(append(b, 'c'), cql2.Text(f.CQL)...)
	}
	if len(b) > maxKeyBytes {
		sum := sha256.Sum256(b)
		return "#" + string(sum[:])
	}
	return string(b)
}

// within is the condition of Polygon.
func within(g orb.Geometry) cql2.Expr {
	return &cql2.Call{Op: cql2.OpSIntersects, Args: []cql2.Expr{&cql2.Property{Name: "geometry"}, &cql2.Geometry{Geom: g}}}
}

func badFilter(field, msg, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: field, Message: msg, Hint: hint}
}
