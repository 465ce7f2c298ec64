package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"cityhub/twin"
)

// Bounds of a list's page.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
)

// Query selects entities for a list. All conditions hold together; the zero
// value of a condition is no condition, but what may be seen has to be said:
// either All or the visible Datasets. The zero Query sees nothing.
type Query struct {
	// All sees everything. Otherwise a Datastream is seen when its Dataset is in
	// Datasets; a Thing when one of its Datastreams is; a Location with its
	// Thing; a Sensor and an ObservedProperty with one of their Datastreams. A
	// parent condition below reaches through seen Datastreams only.
	All      bool
	Datasets []twin.DatasetID

	ID           int64           // the entity's own id
	After        int64           // ids greater than this; for paging in order of id
	Thing        twin.ThingID    // of, or at, the Thing
	Things       []twin.ThingID  // of any of the Things; nil: no condition
	Location     twin.LocationID // of the Thing at the Location
	Sensor       twin.SensorID   // of a Datastream with the Sensor
	Property     twin.ObservedPropertyID
	Datastream   twin.DatastreamID   // of the Datastream
	Datastreams  []twin.DatastreamID // of any of them; nil: no condition
	PropertyName string              // of a Datastream of the ObservedProperty of that name
	Filters      []TextFilter

	Offset int
	Limit  int  // 0: DefaultLimit; at most MaxLimit
	Count  bool // fill in the total; otherwise it is -1

	OrderBy string // id, name or, for Things and Datastreams, code; empty: id
	Desc    bool
}

// TextFilter compares a text of the entity.
type TextFilter struct {
	Field    string // name, or, for Things and Datastreams, code (of the terminal)
	Value    string
	Contains bool // otherwise: equals. ASCII letters match in either case when Contains
}

// kind describes how one entity is listed.
type kind struct {
	op, from, alias string
	columns         string
	order           map[string]string // OrderBy → column
	// through joins the entity to a Datastream d.
	through string
}

// idList is a list of ids as JSON, for json_each.
func idList[T ~int64](ids []T) string {
	if ids == nil {
		ids = []T{}
	}
	b, _ := json.Marshal(ids) // integers cannot fail
	return string(b)
}

// where builds the condition of q for k.
func (k kind) where(q Query) (string, []any, error) {
	var conds, inner []string
	var args, innerArgs []any
	add := func(cond string, arg ...any) { conds, args = append(conds, cond), append(args, arg...) }
	addInner := func(cond string, arg ...any) { inner, innerArgs = append(inner, cond), append(innerArgs, arg...) }

	if q.ID != 0 {
		add(k.alias+".id = ?", q.ID)
	}
	if q.After != 0 {
		add(k.alias+".id > ?", q.After)
	}
	for _, f := range q.Filters {
		col, ok := k.order[f.Field]
		if !ok || f.Field == "id" {
			return "", nil, &twin.Error{Code: twin.CodeInvalid, Op: k.op, Field: f.Field, Message: fmt.Sprintf("%q cannot be filtered as a text", f.Field), Hint: "the fields are " + strings.Join(k.fields(true), ", ")}
		}
		if f.Contains {
			add(col+` LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Value)+"%")
		} else {
			add(col+" = ?", f.Value)
		}
	}
	if q.Location != 0 {
		switch k.alias {
		case "l":
			add("l.id = ?", int64(q.Location))
		case "t":
			add("t.location_id = ?", int64(q.Location))
		default:
			addInner("d.thing_id IN (SELECT id FROM things WHERE location_id = ?)", int64(q.Location))
		}
	}
	if q.Thing != 0 {
		q.Things = append([]twin.ThingID{q.Thing}, q.Things...)
		if len(q.Things) > 1 {
			return "", nil, &twin.Error{Code: twin.CodeInvalid, Op: k.op, Field: "Thing", Message: "Thing and Things cannot both be given"}
		}
	}
	if q.Things != nil {
		if k.alias == "t" || k.alias == "l" {
			add("t.id IN (SELECT value FROM json_each(?))", idList(q.Things))
		} else {
			addInner("d.thing_id IN (SELECT value FROM json_each(?))", idList(q.Things))
		}
	}
	if q.Datastream != 0 {
		addInner("d.id = ?", int64(q.Datastream))
	}
	if q.Datastreams != nil {
		addInner("d.id IN (SELECT value FROM json_each(?))", idList(q.Datastreams))
	}
	if q.Sensor != 0 {
		addInner("d.sensor_id = ?", int64(q.Sensor))
	}
	if q.Property != 0 {
		addInner("d.property_id = ?", int64(q.Property))
	}
	if q.PropertyName != "" {
		addInner("d.property = ?", q.PropertyName)
	}
	if !q.All {
		// 苏州市数据条例 第十四条: what is not opened is not seen.
		addInner("d.dataset_id IN (SELECT value FROM json_each(?))", idList(q.Datasets))
	}
	if len(inner) > 0 {
		cond := strings.Join(inner, " AND ")
		if k.through != "" {
			cond = "EXISTS (SELECT 1 FROM datastreams d WHERE " + k.through + " AND " + cond + ")"
		}
		conds, args = append(conds, cond), append(args, innerArgs...)
	}
	if len(conds) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args, nil
}

func (k kind) fields(texts bool) []string {
	var out []string
	for _, f := range []string{"id", "name", "code"} {
		if _, ok := k.order[f]; ok && !(texts && f == "id") {
			out = append(out, f)
		}
	}
	return out
}

// list runs the query of one page and, when wanted, of the total.
func list[T any](ctx context.Context, r *Registry, k kind, q Query, scan func(*sql.Rows, *T) error) (page []T, total int, err error) {
	invalid := func(field, message, hint string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: k.op, Field: field, Message: message, Hint: hint}
	}
	switch {
	case q.Limit < 0 || q.Limit > MaxLimit:
		return nil, 0, invalid("Limit", fmt.Sprintf("found %d, expected 1 to %d", q.Limit, MaxLimit), "")
	case q.Offset < 0:
		return nil, 0, invalid("Offset", fmt.Sprintf("found %d, expected 0 or more", q.Offset), "")
	case q.Limit == 0:
		q.Limit = DefaultLimit
	}
	if q.OrderBy == "" {
		q.OrderBy = "id"
	}
	col, ok := k.order[q.OrderBy]
	if !ok {
		return nil, 0, invalid("OrderBy", fmt.Sprintf("the list cannot be ordered by %q", q.OrderBy), "the fields are "+strings.Join(k.fields(false), ", "))
	}
	dir := ""
	if q.Desc {
		dir = " DESC"
	}
	order := " ORDER BY " + col + dir
	if q.OrderBy != "id" {
		order += ", " + k.alias + ".id" + dir // pages do not overlap
	}
	where, args, err := k.where(q)
	if err != nil {
		return nil, 0, err
	}
	total = -1
	if q.Count {
		if err := r.read.QueryRowContext(ctx, "SELECT count(*) FROM "+k.from+where, args...).Scan(&total); err != nil {
			return nil, 0, dbError(k.op, err)
		}
	}
	rows, err := r.read.QueryContext(ctx, "SELECT "+k.columns+" FROM "+k.from+where+order+" LIMIT ? OFFSET ?", append(args, q.Limit, q.Offset)...)
	if err != nil {
		return nil, 0, dbError(k.op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		var v T
		if err := scan(rows, &v); err != nil {
			return nil, 0, dbError(k.op, err)
		}
		page = append(page, v)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, dbError(k.op, err)
	}
	return page, total, nil
}

// Things lists Things. total is -1 unless q.Count.
func (r *Registry) Things(ctx context.Context, q Query) (page []twin.Thing, total int, err error) {
	k := kind{op: "list things", from: "things t", alias: "t", columns: thingColumns, through: "d.thing_id = t.id",
		order: map[string]string{"id": "t.id", "name": "t.name", "code": "t.code"}}
	return list(ctx, r, k, q, func(rows *sql.Rows, t *twin.Thing) error { return scanThing(rows, t) })
}

const locationColumns = `l.id, l.name, l.description, l.lon, l.lat, l.height, l.height_datum`

func scanLocation(row scanner, l *twin.Location) error {
	return row.Scan(&l.ID, &l.Name, &l.Description, &l.Lon, &l.Lat, &l.HeightMetres, &l.HeightDatum)
}

// Locations lists Locations. total is -1 unless q.Count.
func (r *Registry) Locations(ctx context.Context, q Query) (page []twin.Location, total int, err error) {
	k := kind{op: "list locations", from: "locations l JOIN things t ON t.location_id = l.id", alias: "l", columns: locationColumns, through: "d.thing_id = t.id",
		order: map[string]string{"id": "l.id", "name": "l.name"}}
	return list(ctx, r, k, q, func(rows *sql.Rows, l *twin.Location) error { return scanLocation(rows, l) })
}

// Sensors lists Sensors. total is -1 unless q.Count.
func (r *Registry) Sensors(ctx context.Context, q Query) (page []twin.Sensor, total int, err error) {
	k := kind{op: "list sensors", from: "sensors s", alias: "s", columns: `s.id, s.name, s.description, s.encoding_type, s.metadata`, through: "d.sensor_id = s.id",
		order: map[string]string{"id": "s.id", "name": "s.name"}}
	return list(ctx, r, k, q, func(rows *sql.Rows, s *twin.Sensor) error {
		return rows.Scan(&s.ID, &s.Name, &s.Description, &s.EncodingType, &s.Metadata)
	})
}

// ObservedProperties lists ObservedProperties. total is -1 unless q.Count.
func (r *Registry) ObservedProperties(ctx context.Context, q Query) (page []twin.ObservedProperty, total int, err error) {
	k := kind{op: "list observed properties", from: "observed_properties p", alias: "p", columns: `p.id, p.name, p.title, p.title_en, p.definition, p.description`, through: "d.property_id = p.id",
		order: map[string]string{"id": "p.id", "name": "p.name"}}
	return list(ctx, r, k, q, func(rows *sql.Rows, p *twin.ObservedProperty) error {
		return rows.Scan(&p.ID, &p.Name, &p.Title, &p.TitleEn, &p.Definition, &p.Description)
	})
}

// Datastreams lists Datastreams, those of retired properties too. total is -1
// unless q.Count. The values are the cached ones.
func (r *Registry) Datastreams(ctx context.Context, q Query) (page []*twin.Datastream, total int, err error) {
	k := kind{op: "list datastreams", from: "datastreams d", alias: "d", columns: `d.id`,
		order: map[string]string{"id": "d.id", "name": "d.name", "code": "t.code"}}
	if q.OrderBy == "code" || filters(q, "code") {
		k.from += " JOIN things t ON t.id = d.thing_id"
	}
	ids, total, err := list(ctx, r, k, q, func(rows *sql.Rows, id *twin.DatastreamID) error { return rows.Scan(id) })
	if err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		ds, err := r.Datastream(ctx, id)
		if twin.ErrorCode(err) == twin.CodeNotFound {
			continue // committed while this list ran: not visible yet
		}
		if err != nil {
			return nil, 0, err
		}
		page = append(page, ds)
	}
	return page, total, nil
}

func filters(q Query, field string) bool {
	for _, f := range q.Filters {
		if f.Field == field {
			return true
		}
	}
	return false
}
