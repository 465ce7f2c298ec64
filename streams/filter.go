package streams

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"cityhub/twin"
)

// Limits of a Filter.
const (
	MaxFilterProperties  = 100
	MaxFilterDatastreams = 5000
	maxPropertyName      = 256 // bytes
)

// Filter chooses Datastreams. Its members are combined with AND; an empty one
// chooses everything that the caller may see.
type Filter struct {
	ObservedProperties []string // names, e.g. pm25; nil: any
	Datastreams        []twin.DatastreamID
	BBox               *BBox
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
		return f.BBox.validate()
	}
	return nil
}

// normal is a copy with sorted lists without repetition, so that filters that
// mean the same have the same key.
func (f Filter) normal() Filter {
	n := Filter{ObservedProperties: slices.Clone(f.ObservedProperties), Datastreams: slices.Clone(f.Datastreams)}
	slices.Sort(n.ObservedProperties)
	n.ObservedProperties = slices.Compact(n.ObservedProperties)
	slices.Sort(n.Datastreams)
	n.Datastreams = slices.Compact(n.Datastreams)
	if f.BBox != nil {
		b := *f.BBox
		n.BBox = &b
	}
	return n
}

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
	return string(b)
}

// matches reports whether a normal filter chooses ds.
func (f *Filter) matches(ds *twin.Datastream) bool {
	if len(f.Datastreams) > 0 {
		if _, ok := slices.BinarySearch(f.Datastreams, ds.ID); !ok {
			return false
		}
	}
	if f.BBox != nil && !f.BBox.Contains(ds.Lon, ds.Lat) {
		return false
	}
	if len(f.ObservedProperties) > 0 {
		if _, ok := slices.BinarySearch(f.ObservedProperties, ds.PropertyName); !ok {
			return false
		}
	}
	return true
}

func badFilter(field, msg, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: field, Message: msg, Hint: hint}
}
