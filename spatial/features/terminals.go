package features

import (
	"fmt"
	"math"
	"strconv"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/store"
)

// terminalColumns are the queryables of terminals besides what they observe.
func terminalColumns() []column {
	q := func(name string, t cql2.Type, title, titleEn, unit string) column {
		return column{Queryable: cql2.Queryable{Name: name, Type: t}, source: name, field: fieldAttribute, title: title, titleEn: titleEn, unit: unit}
	}
	return []column{
		q("geometry", cql2.TypeGeometry, "位置", "Place", ""),
		q("code", cql2.TypeString, "编码", "Code", ""),
		q("name", cql2.TypeString, "名称", "Name", ""),
		q("name_en", cql2.TypeString, "英文名称", "Name in English", ""),
		q("domain", cql2.TypeString, "领域", "Domain", ""),
		q("district", cql2.TypeString, "行政区划代码", "District code", ""),
		q("state", cql2.TypeString, "状态", "State", ""),
		q("simulated", cql2.TypeBool, "模拟", "Simulated", ""),
		q("height", cql2.TypeNumber, "高度", "Height", "m"),
		q("height_datum", cql2.TypeString, "高程基准", "Vertical datum", ""),
	}
}

func terminalSchema(l *liveReader) (*schema, error) {
	s := &schema{columns: terminalColumns(), complete: true}
	taken := map[string]bool{}
	for _, c := range s.columns {
		taken[c.Name] = true
	}
	for _, c := range liveColumns(l.props) {
		if !taken[c.Name] {
			s.columns = append(s.columns, c)
		}
	}
	var list []cql2.Queryable
	for _, c := range s.columns {
		list = append(list, c.Queryable)
	}
	var err error
	s.queryables, err = cql2.NewQueryables(list...)
	return s, err
}

// terminalRow gives a filter the values of one terminal.
type terminalRow struct {
	row
	t *city.Terminal
}

func (r *terminalRow) Bool(int) (v, ok bool) { return r.t.Simulated, true }

func (r *terminalRow) Number(i int) (float64, bool) {
	if r.columns[i].field != fieldAttribute {
		return r.row.Number(i)
	}
	if r.t.HeightMetres == nil {
		return 0, false
	}
	return *r.t.HeightMetres, true
}

func (r *terminalRow) String(i int) (string, bool) {
	if r.columns[i].field != fieldAttribute {
		return r.row.String(i)
	}
	s := ""
	switch r.columns[i].source {
	case "code":
		s = r.t.Code
	case "name":
		s = r.t.Name
	case "name_en":
		s = r.t.NameEn
	case "domain":
		s = r.t.Domain
	case "district":
		s = r.t.District
	case "state":
		s = r.t.State
	case "height_datum":
		s = r.t.HeightDatum
	}
	return s, s != ""
}

func (r *terminalRow) Bound(int) (orb.Bound, bool) {
	p := orb.Point{r.t.Lon, r.t.Lat}
	return orb.Bound{Min: p, Max: p}, !math.IsNaN(r.t.Lon) && !math.IsNaN(r.t.Lat)
}

func (r *terminalRow) Geometry(i int) (orb.Geometry, bool) {
	b, ok := r.Bound(i)
	return b.Min, ok
}

// readTerminal is read for the Datastreams of a terminal.
func (l *liveReader) readTerminal(t *city.Terminal, dst []liveValue) ([]liveValue, error) {
	dst = append(dst[:0], make([]liveValue, len(l.props))...)
	for _, ds := range t.Datastreams {
		i, ok := l.index[ds.Property]
		if !ok {
			continue
		}
		r, ok, err := l.latest(ds)
		if err != nil {
			return dst, err
		}
		if ok && (dst[i].ds == nil || better(r, dst[i].reading)) {
			dst[i] = liveValue{ds, r}
		}
	}
	return dst, nil
}

// eachTerminal calls fn for the terminals after an ID until it answers false.
func (c *call) eachTerminal(s city.Select, after int64, fn func(*city.Terminal) bool) error {
	if c.view.Observed == nil {
		return nil
	}
	for {
		list, err := c.view.Observed.Terminals(c.ctx, s, after, chunk)
		if err != nil {
			return err
		}
		for _, t := range list {
			if !fn(t) {
				return nil
			}
			after = t.ID
		}
		if len(list) < chunk {
			return nil
		}
	}
}

// terminalList is one page of terminals with their values.
type terminalList struct {
	terminals []*city.Terminal
	values    [][]liveValue
	next      string
	matched   int64 // -1: not known
}

func (c *call) findTerminals(s search, l *liveReader) (terminalList, error) {
	out := terminalList{matched: -1}
	sch, err := terminalSchema(l)
	if err != nil {
		return out, err
	}
	e, err := c.expression(s, func(name string) (cql2.Queryable, bool, error) {
		q, _, ok := sch.queryables.Lookup(name)
		return q, ok, nil
	})
	if err != nil {
		return out, err
	}
	var filter *cql2.Filter
	sel := city.Select{}
	if e != nil {
		if filter, err = cql2.Compile(e, sch.queryables); err != nil {
			return out, err
		}
		h := cql2.Hints(e)
		if h.Never {
			out.matched = 0
			return out, nil
		}
		sel.Terminal, _ = equalText(h, "code")
		sel.Domain, _ = equalText(h, "domain")
		sel.District, _ = equalText(h, "district")
		if b, ok := h.Bounds["geometry"]; ok {
			sel.Bound = &b
		}
	}
	r := &terminalRow{row: row{columns: sch.columns, live: l, v: new(store.Version)}}
	var last int64
	began := c.h.o.Clock()
	n := 0
	eachErr := c.eachTerminal(sel, s.after, func(t *city.Terminal) bool {
		if n++; n&255 == 0 && c.h.o.Clock().Sub(began) > c.h.o.TimeLimit {
			err = tooSlow(c.h.o.TimeLimit, nil)
			return false
		}
		if s.tall && t.HeightMetres != nil && (*t.HeightMetres < s.low || *t.HeightMetres > s.high) {
			return true
		}
		if r.values, err = l.readTerminal(t, nil); err != nil {
			return false
		}
		r.t = t
		if filter != nil && !filter.Match(r) {
			return true
		}
		if len(out.terminals) == s.limit {
			out.next = strconv.FormatInt(last, 36)
			return false
		}
		last = t.ID
		out.terminals = append(out.terminals, t)
		out.values = append(out.values, r.values)
		return true
	})
	if eachErr != nil {
		return out, eachErr
	}
	if out.next == "" && s.after == 0 {
		out.matched = int64(len(out.terminals))
	}
	return out, err
}

func (c *call) terminals(k kind, s search) error {
	l, err := c.liveReader(s.at)
	if err != nil {
		return err
	}
	list, err := c.findTerminals(s, l)
	if err != nil {
		return err
	}
	if c.format.name == formatHTML.name {
		return c.terminalsPage(k, s, list)
	}
	out, err := c.begin(k, s, l, true)
	if err != nil {
		return err
	}
	defer out.release()
	for i, t := range list.terminals {
		out.comma()
		if err := out.e.terminal(t, list.values[i]); err != nil {
			return out.fail(err)
		}
		if err := out.close(); err != nil {
			return out.fail(err)
		}
	}
	return out.end(list.matched, list.next)
}

func (c *call) terminal(k kind, s search) error {
	code := unescapeID(c.r.PathValue("item"))
	var found *city.Terminal
	if string(escapeID(nil, code, true)) == c.r.PathValue("item") {
		if err := c.eachTerminal(city.Select{Terminal: code}, 0, func(t *city.Terminal) bool {
			if t.Code == code {
				found = t
			}
			return found == nil
		}); err != nil {
			return err
		}
	}
	if found == nil {
		return &city.Error{Code: city.NotFound, Field: "featureId", Message: fmt.Sprintf("there is no terminal %.100q", c.r.PathValue("item"))}
	}
	l, err := c.liveReader(s.at)
	if err != nil {
		return err
	}
	values, err := l.readTerminal(found, nil)
	if err != nil {
		return err
	}
	if c.format.name == formatHTML.name {
		return c.terminalPage(k, s, found, values)
	}
	return c.one(k, s, l, true, "t"+strconv.FormatInt(found.ID, 36), 200, func(e *encoder) error { return e.terminal(found, values) })
}
