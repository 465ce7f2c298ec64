package features

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// field says from where the value of a column comes.
type field uint8

const (
	fieldID field = iota
	fieldDataset
	fieldIdentifier
	fieldClass
	fieldType
	fieldName
	fieldLevel
	fieldHeight
	fieldBase
	fieldDatum
	fieldFrom
	fieldTo
	fieldGeometry
	fieldLive // and the four after it: of the property at column.prop
	fieldLiveTime
	fieldLiveAge
	fieldLiveQuality
	fieldLiveUnit
	fieldAttribute
)

// column is a queryable and where its value is.
type column struct {
	cql2.Queryable
	field   field
	prop    int    // of liveReader.props
	source  string // name of the attribute
	title   string // Chinese
	titleEn string
	unit    string
}

// fixedColumns are the queryables that every object has.
func fixedColumns() []column {
	q := func(name string, t cql2.Type, f field, title, titleEn, unit string) column {
		return column{Queryable: cql2.Queryable{Name: name, Type: t}, field: f, title: title, titleEn: titleEn, unit: unit}
	}
	return []column{
		q("geometry", cql2.TypeGeometry, fieldGeometry, "平面范围", "Footprint", ""),
		q("id", cql2.TypeString, fieldID, "要素标识", "Feature id", ""),
		q("dataset", cql2.TypeString, fieldDataset, "数据集", "Dataset", ""),
		q("identifier", cql2.TypeString, fieldIdentifier, "源标识", "Identifier in the dataset", ""),
		q("class", cql2.TypeString, fieldClass, "要素类", "Element class", ""),
		q("type", cql2.TypeString, fieldType, "类型", "Type", ""),
		q("name", cql2.TypeString, fieldName, "名称", "Name", ""),
		q("cim_level", cql2.TypeString, fieldLevel, "CIM 级别", "CIM level", ""),
		q("height", cql2.TypeNumber, fieldHeight, "高度", "Height above the ground", "m"),
		q("height_base", cql2.TypeNumber, fieldBase, "底部离地高度", "Lower edge above the ground", "m"),
		q("height_datum", cql2.TypeString, fieldDatum, "高程基准", "Vertical datum", ""),
		q("valid_from", cql2.TypeTimestamp, fieldFrom, "生效时间", "Valid from", ""),
		q("valid_to", cql2.TypeTimestamp, fieldTo, "失效时间", "Valid to", ""),
	}
}

// liveColumns are those of the observed properties.
func liveColumns(props []city.Property) []column {
	var list []column
	for i, p := range props {
		typ := cql2.TypeNumber
		if p.Text {
			typ = cql2.TypeString
		}
		add := func(suffix string, t cql2.Type, f field, zh, en, unit string) {
			list = append(list, column{Queryable: cql2.Queryable{Name: p.Name + suffix, Type: t}, field: f, prop: i, title: p.Title + zh, titleEn: p.TitleEn + en, unit: unit})
		}
		add("", typ, fieldLive, "", "", p.UnitCode)
		add("_time", cql2.TypeTimestamp, fieldLiveTime, "·观测时间", ", time", "")
		add("_age", cql2.TypeNumber, fieldLiveAge, "·时效", ", age", "s")
		add("_quality", cql2.TypeString, fieldLiveQuality, "·质量", ", quality", "")
		add("_unit", cql2.TypeString, fieldLiveUnit, "·单位", ", unit", "")
	}
	return list
}

const (
	sourcePrefix = "source_"
	parentsName  = "parents"
	childrenName = "children"
)

// reservedNames are the names of properties that no attribute can have.
func reservedNames(props []city.Property) map[string]bool {
	names := map[string]bool{parentsName: true, childrenName: true, "links": true}
	for _, c := range fixedColumns() {
		names[c.Name] = true
	}
	for _, c := range liveColumns(props) {
		names[c.Name] = true
	}
	return names
}

// servedName is the name of an attribute as a property.
func servedName(attribute string, reserved map[string]bool) string {
	if reserved[attribute] {
		return sourcePrefix + attribute
	}
	return attribute
}

// schema is the queryables of one collection. It is immutable.
type schema struct {
	columns    []column
	queryables *cql2.Queryables
	version    uint64 // of the index
	made       time.Time
	complete   bool // every object was looked at, not a sample
}

// schemas keeps the schema of each collection for each view. Attributes are
// found in a sample spread over the collection, and in all of it as soon as a
// filter names one that the sample does not have. They are found again when
// the city has changed, at most every schemaAge.
type schemas struct {
	mu       sync.Mutex
	scanning sync.Mutex
	kept     map[schemaKey]*schema
}

type schemaKey struct{ view, collection string }

const (
	schemaAge    = 10 * time.Second
	schemaMaxAge = 10 * time.Minute
	schemaKept   = 256
	schemaScan   = 2 * time.Second
	sampleSize   = 2000 // objects
	sampleParts  = 16
	maxColumns   = 2000
)

func (c *call) indexVersion() uint64 {
	if c.view.Index == nil {
		return 0
	}
	return c.view.Index.Version()
}

// schema gives the queryables of a collection; complete where a filter names
// what a sample does not have.
func (c *call) schema(k kind, l *liveReader, complete bool) (*schema, error) {
	key := schemaKey{c.view.Key, k.ID}
	s := &c.h.schemas
	s.mu.Lock()
	old := s.kept[key]
	s.mu.Unlock()
	version := c.indexVersion()
	if old != nil {
		age := c.now.Sub(old.made)
		if (old.version == version || age < schemaAge) && age < schemaMaxAge && (old.complete || !complete) && sameLive(old, l.props) {
			return old, nil
		}
	}
	types := map[string]cql2.Type{}
	var names []string
	look := func(v *store.Version) {
		for _, a := range v.Object.Attributes {
			t := typeOf(a.Value)
			if t == 0 {
				continue
			}
			before, known := types[a.Name]
			if !known {
				if len(names) == maxColumns {
					continue
				}
				names = append(names, a.Name)
			} else if before != t {
				t = cql2.TypeString
			}
			types[a.Name] = t
		}
	}
	var err error
	if complete {
		// One at a time, and what others have found meanwhile is not sought again.
		s.scanning.Lock()
		defer s.scanning.Unlock()
		s.mu.Lock()
		now := s.kept[key]
		s.mu.Unlock()
		if now != nil && now != old && now.complete && now.version == version && sameLive(now, l.props) {
			return now, nil
		}
		// What could not be looked at in time is left out, and not tried again
		// until the city changes.
		if err = c.scanAll(k, look); errors.Is(err, context.DeadlineExceeded) && c.ctx.Err() == nil {
			err = nil
		}
	} else {
		err = c.sample(k, look)
	}
	if err != nil {
		return nil, err
	}
	made := &schema{version: version, made: c.now, complete: complete, columns: append(fixedColumns(), liveColumns(l.props)...)}
	reserved := reservedNames(l.props)
	taken := map[string]bool{}
	for _, col := range made.columns {
		taken[col.Name] = true
	}
	slices.Sort(names)
	for _, name := range names {
		served := servedName(name, reserved)
		if served == "" || taken[served] {
			continue
		}
		taken[served] = true
		made.columns = append(made.columns, column{Queryable: cql2.Queryable{Name: served, Type: types[name]}, field: fieldAttribute, source: name})
	}
	list := make([]cql2.Queryable, len(made.columns))
	for i, col := range made.columns {
		list[i] = col.Queryable
	}
	if made.queryables, err = cql2.NewQueryables(list...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil || len(s.kept) >= schemaKept {
		s.kept = map[schemaKey]*schema{}
	}
	s.kept[key] = made
	return made, nil
}

// sameLive reports whether s has the observed properties.
func sameLive(s *schema, props []city.Property) bool {
	want := liveColumns(props)
	var n int
	for _, col := range s.columns {
		if col.field < fieldLive || col.field == fieldAttribute {
			continue
		}
		if n >= len(want) || want[n] != col {
			return false
		}
		n++
	}
	return n == len(want)
}

// typeOf is the type of an attribute as a queryable; zero where it is none.
func typeOf(v spatial.Value) cql2.Type {
	switch v.Kind() {
	case spatial.Bool:
		return cql2.TypeBool
	case spatial.Int, spatial.Float:
		return cql2.TypeNumber
	case spatial.Text:
		return cql2.TypeString
	}
	return 0
}

// sample looks at objects of a collection, taken at places spread over it.
func (c *call) sample(k kind, look func(*store.Version)) error {
	if k.live() {
		positions, err := c.observedPositions("")
		if err != nil {
			return err
		}
		if step := len(positions)/sampleSize + 1; step > 1 {
			var some []int64
			for i := 0; i < len(positions); i += step {
				some = append(some, positions[i])
			}
			positions = some
		}
		for _, class := range k.classes() {
			if err := c.lookAt(store.Query{Class: class, Positions: positions, Limit: sampleSize}, k, look); err != nil {
				return err
			}
		}
		return nil
	}
	after := []int64{0}
	if c.view.Index != nil {
		if n := c.view.Index.Len(); n > sampleSize {
			for i := 1; i < sampleParts; i++ {
				after = append(after, c.view.Index.Object(index.Ref(i*(n/sampleParts))).Position)
			}
		}
	}
	limit := sampleSize / len(after)
	for _, a := range after {
		if err := c.lookAt(store.Query{Class: k.Class, Type: k.Type, After: a, Limit: limit}, k, look); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) lookAt(q store.Query, k kind, look func(*store.Version)) error {
	if q.Positions != nil && len(q.Positions) == 0 {
		return nil
	}
	page, err := c.view.Store.Query(c.ctx, q)
	for _, v := range page.Versions {
		if k.has(&v.Object) {
			look(v)
		}
	}
	return err
}

// scanAll looks at every object of a collection, within the time limit.
func (c *call) scanAll(k kind, look func(*store.Version)) error {
	sel := &selection{kind: k, classes: k.classes(), q: store.Query{Type: k.Type}}
	if k.live() {
		var err error
		if sel.positions, err = c.observedPositions(""); err != nil {
			return err
		}
		sel.byPosition = true
	}
	sc := c.scan(sel, 0)
	sc.left = min(sc.left, schemaScan)
	for {
		list, done, err := sc.next(chunk)
		if err != nil {
			return err
		}
		for _, v := range list {
			look(v)
		}
		if done {
			return nil
		}
	}
}

func (c *call) observedPositions(property string) ([]int64, error) {
	if c.view.Observed == nil {
		return nil, nil
	}
	return c.view.Observed.Objects(c.ctx, property)
}
