package sensorthings

import (
	"context"
	"math"
	"net/http"
	"strconv"

	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
	"cityhub/twin/series"
)

// list answers an entity set other than Observations, whole or as reached from
// one entity.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, v *policy.View, q query, s set, from *entity, self string) error {
	rq, empty, err := registryQuery(q, s, from)
	if err != nil {
		return err
	}
	ctx := r.Context()
	var count *int64
	if q.count {
		n := int64(0)
		if !empty {
			all := rq
			all.After, all.Offset, all.Limit, all.Count = 0, 0, 1, true
			_, total, err := h.fetch(ctx, v, s, all)
			if err != nil {
				return err
			}
			n = int64(total)
		}
		count = &n
	}
	var page []entity
	if !empty && q.top > 0 {
		rq.Limit = min(q.top, registry.MaxLimit-1) + 1 // one more: is there a next page?
		if page, _, err = h.fetch(ctx, v, s, rq); err != nil {
			return err
		}
	}
	next := ""
	if rows := min(q.top, registry.MaxLimit-1); q.top > 0 && len(page) > rows {
		page = page[:rows]
		// In order of id the next page is found by id, else by number.
		if rq.OrderBy == "id" && !rq.Desc {
			next = self + "?" + q.nextQuery(0, strconv.FormatInt(page[rows-1].id(), 10))
		} else {
			next = self + "?" + q.nextQuery(q.skip+rows, "")
		}
	}
	out, enc := newStream(w, r), h.encoder(r, q)
	out.begin(count)
	for i := range page {
		var failed error
		err := out.element(func(b []byte) []byte {
			body, err := h.encode(ctx, v, enc, b, &page[i])
			if err != nil {
				failed = err
				return b
			}
			return body
		})
		if failed != nil {
			err = failed
		}
		if err != nil {
			return out.fail(err)
		}
	}
	return out.end(next)
}

// id is the entity's id; Observations have another.
func (e *entity) id() int64 {
	switch e.set {
	case things:
		return int64(e.thing.ID)
	case locations:
		return int64(e.location.ID)
	case sensors:
		return int64(e.sensor.ID)
	case observedProperties:
		return int64(e.property.ID)
	case datastreams:
		return int64(e.ds.ID)
	}
	return 0
}

// registryQuery is q for the registry. empty says that nothing can match.
func registryQuery(q query, s set, from *entity) (rq registry.Query, empty bool, err error) {
	rq = registry.Query{OrderBy: "id", Offset: q.skip}
	fields := "id, name"
	if s == things || s == datastreams {
		fields = "id, name, properties/" + codeField(s)
	}
	hint := "supported on " + s.String() + ": " + fields
	switch {
	case len(q.orderby) > 1:
		return rq, false, notServed("$orderby", "only one property is sorted by", hint)
	case len(q.orderby) == 1:
		field, ok := registryField(s, q.orderby[0].property)
		if !ok {
			return rq, false, notServed("$orderby", s.String()+" are not sorted by "+strconv.Quote(q.orderby[0].property), hint)
		}
		rq.OrderBy, rq.Desc = field, q.orderby[0].desc
	}
	if q.token != "" {
		if rq.After, err = strconv.ParseInt(q.token, 10, 64); err != nil || rq.After < 0 || rq.OrderBy != "id" || rq.Desc {
			return rq, false, badOption("$skiptoken", strconv.Quote(q.token)+" does not belong to this list", "follow @iot.nextLink as it is")
		}
	}
	for _, c := range q.filter {
		field, ok := registryField(s, c.path)
		if !ok || c.op != "eq" {
			return rq, false, notServed("$filter", s.String()+" are not filtered by "+strconv.Quote(c.path+" "+c.op), hint+" (eq only)")
		}
		if field == "id" {
			id, ok := c.value.integer()
			if !ok {
				return rq, false, badOption("$filter", "id is compared with "+strconv.Quote(c.value.text), "a whole number")
			}
			empty = empty || id <= 0 || (rq.ID != 0 && rq.ID != id)
			rq.ID = id
			continue
		}
		if c.value.kind != literalString {
			return rq, false, badOption("$filter", c.path+" is compared with "+strconv.Quote(c.value.text), "a text in single quotes")
		}
		rq.Filters = append(rq.Filters, registry.TextFilter{Field: field, Value: c.value.text})
	}
	if from != nil {
		switch from.set {
		case things:
			rq.Thing = from.thing.ID
		case locations:
			rq.Location = from.location.ID
		case sensors:
			rq.Sensor = from.sensor.ID
		case observedProperties:
			rq.Property = from.property.ID
		}
	}
	return rq, empty, nil
}

// codeField is the member of properties that holds the terminal's code.
func codeField(s set) string {
	if s == things {
		return "code"
	}
	return "terminal"
}

// registryField is the registry's name of a property that it finds by.
func registryField(s set, path string) (string, bool) {
	switch {
	case path == "id" || path == "@iot.id":
		return "id", true
	case path == "name":
		return "name", true
	case s == things && path == "properties/code", s == datastreams && path == "properties/terminal":
		return "code", true
	}
	return "", false
}

// fetch reads one page of an entity set.
func (h *Handler) fetch(ctx context.Context, v *policy.View, s set, rq registry.Query) (page []entity, total int, err error) {
	switch s {
	case things:
		return entities(ctx, v.Things, rq, func(t *twin.Thing) entity { return entity{set: s, thing: t} })
	case locations:
		return entities(ctx, v.Locations, rq, func(l *twin.Location) entity { return entity{set: s, location: l} })
	case sensors:
		return entities(ctx, v.Sensors, rq, func(x *twin.Sensor) entity { return entity{set: s, sensor: x} })
	case observedProperties:
		return entities(ctx, v.ObservedProperties, rq, func(p *twin.ObservedProperty) entity { return entity{set: s, property: p} })
	default:
		return entities(ctx, v.Datastreams, rq, func(d **twin.Datastream) entity { return entity{set: datastreams, ds: *d} })
	}
}

func entities[T any](ctx context.Context, list func(context.Context, registry.Query) ([]T, int, error), rq registry.Query, wrap func(*T) entity) ([]entity, int, error) {
	page, total, err := list(ctx, rq)
	if err != nil {
		return nil, 0, err
	}
	out := make([]entity, len(page))
	for i := range page {
		out[i] = wrap(&page[i])
	}
	return out, total, nil
}

// spanOf is from the first to the latest Observation of ds.
func spanOf(ctx context.Context, v *policy.View, ds *twin.Datastream) (span, error) {
	latest, ok := v.Latest(ds)
	if !ok {
		return span{}, nil
	}
	s := span{firstNs: latest.PhenomenonNs, lastNs: latest.PhenomenonNs, known: true}
	err := v.Observations(ctx, ds.ID, series.Window{FromNs: math.MinInt64}, func(o twin.Observation) bool {
		s.firstNs = min(s.firstNs, o.PhenomenonNs)
		return false
	})
	return s, err
}
