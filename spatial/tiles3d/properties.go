package tiles3d

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// What the property table says where a number is not known ("noData" of the
// 3D Metadata Specification).
const (
	noFloat = -9999
	noInt   = -9999
)

// moreAttributes is how many attributes of the sources a tile has besides the
// fixed ones: those that most of its objects have.
const moreAttributes = 16

// feature is a row of the property table.
type feature struct {
	id, dataset, class, typ, name string
	lod, use, heightFrom, assumed string
	heightMetres                  float64 // NaN: not known
	storeys, year                 int32   // noInt: not known
	attributes                    spatial.Attributes
}

// height notes what was drawn, or with a known one keeps that of the attributes.
func (f *feature) height(metres float64, assumed bool) {
	if f.heightFrom == "" || math.IsNaN(f.heightMetres) {
		f.heightMetres = metres
		if !assumed && f.heightFrom == "" {
			f.heightFrom = "geometry"
		}
	}
}

// The names under which sources give what the fixed schema has.
var (
	useNames    = []string{"use", "function", "usage", "class", "building", "highway", "waterway", "amenity", "用途", "bldg:usage"}
	storeyNames = []string{"storeysAboveGround", "building:levels", "aantal_verdiepingen", "storeys", "floors", "层数"}
	yearNames   = []string{"yearOfConstruction", "oorspronkelijkbouwjaar", "year_built", "start_date", "建成年份"}
)

func (c *content) describe(v *store.Version) feature {
	o := &v.Object
	f := feature{
		id: o.ID, dataset: v.Dataset, class: string(o.Class), typ: o.Type, name: o.Name,
		heightMetres: math.NaN(), storeys: noInt, year: noInt, attributes: o.Attributes,
	}
	if h := o.Height; h.From != "" && h.Metres > 0 && h.Metres <= maxObjectMetres {
		f.heightMetres, f.heightFrom = h.Metres, h.From
	}
	for _, name := range useNames {
		if v, ok := o.Attributes.Get(name); ok && v.Kind() != spatial.Null && v.String() != "" {
			f.use = v.String()
			break
		}
	}
	if n, ok := number(o, storeyNames...); ok && n >= -100 && n <= 1000 {
		f.storeys = int32(n)
	}
	if n, ok := number(o, yearNames...); ok && n >= -5000 && n <= 3000 {
		f.year = int32(n)
	} else {
		for _, name := range yearNames { // a date
			if v, ok := o.Attributes.Get(name); ok && len(v.String()) > 4 {
				if n, err := strconv.Atoi(v.String()[:4]); err == nil {
					f.year = int32(n)
					break
				}
			}
		}
	}
	return f
}

// asNumber is a number or a text that is one; finite.
func asNumber(v spatial.Value) (float64, bool) {
	n, ok := v.Number()
	if text, isText := v.Text(); isText {
		var err error
		n, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
		ok = err == nil
	}
	return n, ok && !math.IsInf(n, 0) && !math.IsNaN(n)
}

// property is a property of a class of the 3D Metadata Specification 1.0.
type property struct {
	Name          string `json:"name,omitempty"`
	Description   string `json:"description,omitempty"`
	Type          string `json:"type"`
	ComponentType string `json:"componentType,omitempty"`
	Array         bool   `json:"array,omitempty"`
	Count         int    `json:"count,omitempty"`
	NoData        any    `json:"noData,omitempty"`
	Semantic      string `json:"semantic,omitempty"`
}

// column is a property with its values, as the binary table format has them.
type column struct {
	id       string
	property property
	values   []byte
	offsets  []byte // of strings
}

// stringColumn is false where all values are empty: then there is no column,
// as a buffer view of no bytes is not allowed.
func stringColumn(id string, p property, n int, at func(int) string) (column, bool) {
	p.Type = "STRING"
	c := column{id: id, property: p, offsets: make([]byte, 0, 4*(n+1))}
	c.offsets = binary.LittleEndian.AppendUint32(c.offsets, 0)
	for i := range n {
		c.values = append(c.values, strings.ToValidUTF8(at(i), "\uFFFD")...)
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(len(c.values)))
	}
	return c, len(c.values) > 0
}

// columns is the property table of some features.
func columns(features []feature) []column {
	n := len(features)
	var all []column
	text := func(id, description string, at func(*feature) string) {
		if c, ok := stringColumn(id, property{Description: description}, n, func(i int) string { return at(&features[i]) }); ok {
			all = append(all, c)
		}
	}
	text("id", "identifier in the data set", func(f *feature) string { return f.id })
	text("dataset", "data set", func(f *feature) string { return f.dataset })
	text("class", "element class (苏州市数据条例 第二十九条)", func(f *feature) string { return f.class })
	text("type", "CityGML or CityJSON type", func(f *feature) string { return f.typ })
	text("name", "name", func(f *feature) string { return f.name })
	text("use", "use or function", func(f *feature) string { return f.use })
	text("lod", "level of detail that is drawn; empty: not stated", func(f *feature) string { return f.lod })
	text("heightFrom", "attribute that gave the height; geometry: measured on it; empty: assumed or not known", func(f *feature) string { return f.heightFrom })
	text("assumed", "what was assumed to draw the object: height, depth, width, diameter", func(f *feature) string { return f.assumed })

	height := column{id: "height", property: property{Description: "height in metres", Type: "SCALAR", ComponentType: "FLOAT32", NoData: noFloat}}
	storeys := column{id: "storeys", property: property{Description: "storeys above ground", Type: "SCALAR", ComponentType: "INT32", NoData: noInt}}
	year := column{id: "year", property: property{Description: "year of construction", Type: "SCALAR", ComponentType: "INT32", NoData: noInt}}
	for i := range features {
		f := &features[i]
		h := float32(f.heightMetres)
		if math.IsNaN(f.heightMetres) {
			h = noFloat
		}
		height.values = binary.LittleEndian.AppendUint32(height.values, math.Float32bits(h))
		storeys.values = binary.LittleEndian.AppendUint32(storeys.values, uint32(f.storeys))
		year.values = binary.LittleEndian.AppendUint32(year.values, uint32(f.year))
	}
	all = append(all, height, storeys, year)
	return append(all, more(features, all)...)
}

// more is the columns of the attributes that most features have.
func more(features []feature, fixed []column) []column {
	type use struct {
		name    string
		count   int
		numbers bool
	}
	at := map[string]int{}
	var uses []use
	for i := range features {
		for _, a := range features[i].attributes {
			if a.Value.Kind() == spatial.Null || a.Name == "" || len(a.Name) > 100 {
				continue
			}
			k, ok := at[a.Name]
			if !ok {
				if len(uses) >= 10_000 {
					continue
				}
				k = len(uses)
				at[a.Name] = k
				uses = append(uses, use{name: a.Name, numbers: true})
			}
			uses[k].count++
			if _, ok := a.Value.Number(); !ok {
				uses[k].numbers = false
			}
		}
	}
	slices.SortFunc(uses, func(a, b use) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.name, b.name))
	})
	taken := map[string]bool{}
	for _, c := range fixed {
		taken[c.id] = true
	}
	// What the fixed columns have already.
	said := map[string]bool{"name": true, "height": true, "id": true}
	var all []column
	for _, u := range uses {
		if len(all) == moreAttributes {
			break
		}
		if said[u.name] {
			continue
		}
		id := propertyID(u.name)
		for n := 2; taken[id]; n++ {
			id = fmt.Sprintf("%s_%d", propertyID(u.name), n)
		}
		p := property{Name: u.name}
		if u.numbers {
			c := column{id: id, property: p}
			c.property.Type, c.property.ComponentType, c.property.NoData = "SCALAR", "FLOAT64", noFloat
			for i := range features {
				n := float64(noFloat)
				if v, ok := features[i].attributes.Get(u.name); ok {
					if f, ok := asNumber(v); ok {
						n = f
					}
				}
				c.values = binary.LittleEndian.AppendUint64(c.values, math.Float64bits(n))
			}
			all = append(all, c)
		} else if c, ok := stringColumn(id, p, len(features), func(i int) string {
			if v, ok := features[i].attributes.Get(u.name); ok && v.Kind() != spatial.Null {
				return v.String()
			}
			return ""
		}); ok {
			all = append(all, c)
		} else {
			continue
		}
		taken[id] = true
	}
	return all
}

// propertyID makes an identifier as schemas want it (^[a-zA-Z_][a-zA-Z0-9_]*$):
// other characters become their code points.
func propertyID(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r >= '0' && r <= '9' && i > 0:
			b.WriteRune(r)
		case r == ':', r == '.', r == '-', r == ' ':
			b.WriteByte('_')
		default:
			fmt.Fprintf(&b, "u%X", r)
		}
	}
	return b.String()
}
