package query

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/export"
	"cityhub/spatial/store"
)

func (h *handler) postQuery(w http.ResponseWriter, r *http.Request) error {
	p, err := h.params(r, formatParams()...)
	if err != nil {
		return err
	}
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	d, err := Parse(body, h.o.Limits)
	if err != nil {
		return err
	}
	return h.answer(w, r, p, d, "")
}

// simpleParams are those of a GET, beside those of the table.
func simpleParams() []string {
	return []string{"q", "kind", "collection", "filter", "bbox", "property", "point", "metres", "k", "zones", "from", "to", "last", "every", "zone", "statistics", "dataset"}
}

// getQuery answers a question in the parameters: q is a whole document; the
// others make a simple one.
func (h *handler) getQuery(w http.ResponseWriter, r *http.Request) error {
	p, err := h.params(r, append(simpleParams(), formatParams()...)...)
	if err != nil {
		return err
	}
	body := []byte(p.Get("q"))
	if !p.Has("q") {
		if body, err = simple(p); err != nil {
			return err
		}
	} else {
		for _, name := range simpleParams()[1:] {
			if p.Has(name) {
				return &city.Error{Code: city.Invalid, Field: name, Message: "expected q or the parameters of a simple question, not both"}
			}
		}
	}
	d, err := Parse(body, h.o.Limits)
	if err != nil {
		return err
	}
	return h.answer(w, r, p, d, "")
}

// simple makes the document of a simple question: zonal, nearest and within,
// whose members have the names of the parameters.
func simple(p params) ([]byte, error) {
	number := func(name string) any {
		if _, err := strconv.ParseFloat(p.Get(name), 64); err == nil && json.Valid([]byte(p.Get(name))) {
			return json.RawMessage(p.Get(name))
		}
		return p.Get(name) // the document's reader says what is wrong
	}
	list := func(text string) []any {
		out := []any{}
		for _, v := range strings.Split(text, ",") {
			if json.Valid([]byte(v)) {
				out = append(out, json.RawMessage(v))
			} else {
				out = append(out, v)
			}
		}
		return out
	}
	put := func(m map[string]any, names ...string) map[string]any {
		for _, name := range names {
			if p.Has(name) {
				m[name] = p.Get(name)
			}
		}
		return m
	}
	doc := map[string]any{"kind": p.Get("kind")}
	switch kind := p.Get("kind"); Kind(kind) {
	case Zonal:
		name, size, _ := strings.Cut(p.Get("zones"), ":")
		zones := map[string]any{"type": name}
		member := map[string]string{"grid": "metres", "geohash": "precision", "quadkey": "level"}[name]
		if size != "" && member != "" {
			if json.Valid([]byte(size)) {
				zones[member] = json.RawMessage(size)
			} else {
				zones[member] = size
			}
		}
		observations := put(map[string]any{}, "property", "dataset")
		if p.Has("bbox") {
			zones["bbox"] = list(p.Get("bbox"))
		}
		doc["zones"], doc["observations"], doc["time"] = zones, observations, put(map[string]any{}, "from", "to", "last", "every", "zone")
		if p.Has("statistics") {
			doc["statistics"] = strings.Split(p.Get("statistics"), ",")
		}
	case Nearest, Within:
		doc["of"] = map[string]any{"geometry": map[string]any{"type": "Point", "coordinates": list(p.Get("point"))}}
		sel := put(map[string]any{}, "collection", "filter", "property", "dataset")
		if p.Has("bbox") {
			sel["bbox"] = list(p.Get("bbox"))
		}
		doc["select"] = sel
		if p.Has("metres") {
			doc[map[Kind]string{Nearest: "maxMetres", Within: "metres"}[Kind(kind)]] = number("metres")
		}
		if p.Has("k") {
			doc["k"] = number("k")
		}
	default:
		return nil, &city.Error{Code: city.Invalid, Field: "kind", Message: "found " + strconv.Quote(clip(kind)) + ", expected zonal, nearest or within", Hint: "send other questions as a document: in q, or with POST"}
	}
	return json.Marshal(doc)
}

// answer computes the answer and writes it.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, p params, d *Document, title string) error {
	f, err := format(r, p)
	if err != nil {
		return err
	}
	o, err := h.tableOptions(p)
	if err != nil {
		return err
	}
	view, err := h.o.Gate.City(r)
	if err != nil {
		return err
	}
	if f == ndjson && o.CRS != nil {
		return &city.Error{Code: city.NotAcceptable, Field: "crs", Message: "NDJSON is in WGS 84, as GeoJSON is"}
	}
	release, err := h.place(w, r, h.waiting)
	if err != nil {
		return err
	}
	defer release()
	if f == ndjson {
		return h.lines(w, r, view, d)
	}
	a, err := h.engine.Answer(r.Context(), view, d, nil)
	release() // what follows waits for the client only
	if err != nil {
		return err
	}
	o.Name, o.Title, o.Columns, o.Meta = "answer", title, a.Columns, a.Meta
	out, sent, err := h.begin(w, f, o, "answer-"+string(d.Kind))
	if err != nil {
		return err
	}
	defer sent.end()
	defer out.Abort()
	for i := range a.Rows {
		if i&1023 == 1023 && r.Context().Err() != nil {
			return h.failed(r, sent, r.Context().Err())
		}
		if err := out.Write(&a.Rows[i]); err != nil {
			return h.failed(r, sent, err)
		}
	}
	if err := out.Close(); err != nil {
		return h.failed(r, sent, err)
	}
	return nil
}

// place waits for one of the places, for a while. The place is given back by
// release, which can be called again.
func (h *handler) place(w http.ResponseWriter, r *http.Request, places chan struct{}) (release func(), err error) {
	wait := time.NewTimer(10 * time.Second)
	defer wait.Stop()
	select {
	case places <- struct{}{}:
		return sync.OnceFunc(func() { <-places }), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-wait.C:
		w.Header().Set("Retry-After", "10")
		return nil, &city.Error{Code: city.Unavailable, Message: "too many questions are being answered", Hint: "ask again in a moment"}
	}
}

// lines answers as lines of JSON while the answer is being computed: progress,
// then the features, then an end with the answer's members. An error is the last
// line: without an end the answer is not complete.
func (h *handler) lines(w http.ResponseWriter, r *http.Request, view *city.View, d *Document) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no") // proxies pass the lines on as they come
	out := &counter{w: w, ctl: http.NewResponseController(w), header: func() {}}
	defer out.end()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var mu sync.Mutex
	var b []byte
	line := func(flush bool) {
		b = append(b, '\n')
		if _, err := out.Write(b); err != nil {
			cancel() // the client is gone, or takes nothing
		}
		if flush {
			_ = out.ctl.Flush() // what cannot be flushed comes later
		}
	}
	object := func(v any) {
		text, err := json.Marshal(v)
		if err != nil {
			cancel()
			return
		}
		b = append(b[:0], text...)
		line(true)
	}
	var last time.Time
	phase := ""
	a, err := h.engine.Answer(ctx, view, d, func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); p.Phase != phase || now.Sub(last) >= 200*time.Millisecond {
			phase, last = p.Phase, now
			object(struct {
				Type string `json:"type"`
				Progress
			}{"Progress", p})
		}
	})
	if err != nil {
		if ctx.Err() != nil {
			panic(http.ErrAbortHandler)
		}
		object(errorLine(h, r, err))
		return nil
	}
	for i := range a.Rows {
		if b, err = export.AppendFeature(b[:0], &a.Rows[i], a.Columns); err != nil {
			h.o.Logger.Error("a table was cut off", "path", r.URL.Path, "err", err)
			panic(http.ErrAbortHandler)
		}
		line(false)
		if ctx.Err() != nil {
			panic(http.ErrAbortHandler)
		}
	}
	object(struct {
		Type           string          `json:"type"`
		NumberReturned int             `json:"numberReturned"`
		Answer         json.RawMessage `json:"answer"`
	}{"End", len(a.Rows), a.Meta})
	return nil
}

// line of an error: what the problem document would say of it.
type failedLine struct {
	Type    string    `json:"type"`
	Code    city.Code `json:"code"`
	Field   string    `json:"field,omitempty"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

func errorLine(h *handler, r *http.Request, err error) failedLine {
	var known *city.Error
	var stored *store.Error
	var filter *cql2.Error
	switch {
	case errors.As(err, &known):
		return failedLine{"Error", known.Code, known.Field, known.Message, known.Hint}
	case errors.As(err, &stored) && stored.Code == store.Invalid:
		return failedLine{"Error", city.Invalid, stored.Field, stored.Message, stored.Hint}
	case errors.As(err, &filter):
		return failedLine{"Error", city.Invalid, "filter", filter.Error(), ""}
	}
	h.o.Logger.Error("a question was not answered", "path", r.URL.Path, "err", err)
	return failedLine{Type: "Error", Code: city.Unavailable, Message: "the answer could not be computed"}
}

// download streams all objects of a collection that the caller may see, or what
// bbox and filter leave of them.
func (h *handler) download(w http.ResponseWriter, r *http.Request) error {
	p, err := h.params(r, append([]string{"bbox", "filter", "filter-lang", "datetime", "dataset", "property"}, formatParams()...)...)
	if err != nil {
		return err
	}
	id := r.PathValue("collection")
	if _, ok := city.CollectionOf(id); !ok && id != Terminals {
		return &city.Error{Code: city.NotFound, Field: "collection", Message: "there is no collection " + clip(id)}
	}
	f, err := format(r, p)
	if err != nil {
		return err
	}
	if f == ndjson {
		return &city.Error{Code: city.NotAcceptable, Field: "f", Message: "downloads are GeoJSON, CSV, GeoParquet or GeoPackage"}
	}
	o, err := h.tableOptions(p)
	if err != nil {
		return err
	}
	s, err := downloadSelection(id, p)
	if err != nil {
		return err
	}
	var at time.Time
	if p.Has("datetime") {
		if at, err = time.Parse(time.RFC3339Nano, p.Get("datetime")); err != nil || at.Year() < 1700 || at.Year() > 2200 {
			return &city.Error{Code: city.Invalid, Field: "datetime", Message: "found " + strconv.Quote(clip(p.Get("datetime"))) + ", expected a time such as 2026-11-21T08:00:00Z"}
		}
		if id == Terminals {
			return &city.Error{Code: city.Invalid, Field: "datetime", Message: "terminals have no versions"}
		}
	}
	view, err := h.o.Gate.City(r)
	if err != nil {
		return err
	}
	o.Name, o.Title, o.Columns = id, id, objectColumns()
	if c, ok := city.CollectionOf(id); ok {
		o.Title = c.Title + " " + c.TitleEn
	} else {
		o.Columns = terminalColumns()
	}
	release, err := h.place(w, r, h.downloads)
	if err != nil {
		return err
	}
	defer release()
	out, sent, err := h.begin(w, f, o, id)
	if err != nil {
		return err
	}
	defer sent.end()
	defer out.Abort()
	run := &run{Engine: h.engine, view: view, limits: h.o.Limits.defaults(), meta: map[string]any{}}
	if id == Terminals {
		err = run.terminals(r.Context(), s, nil, func(t *city.Terminal) error {
			row := terminalRow(t)
			return out.Write(&row)
		})
	} else {
		err = run.objects(r.Context(), s, at, nil, func(v *store.Version) error {
			row, err := objectRow(v)
			if err != nil {
				return err
			}
			return out.Write(&row)
		})
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return h.failed(r, sent, err)
	}
	return nil
}

// downloadSelection reads the selection in the parameters. Errors name these.
func downloadSelection(id string, p params) (*Selection, error) {
	m := map[string]any{"collection": id}
	for _, name := range []string{"dataset", "property"} {
		if p.Has(name) {
			m[name] = p.Get(name)
		}
	}
	if p.Has("bbox") {
		var list []any
		for _, v := range strings.Split(p.Get("bbox"), ",") {
			list = append(list, json.Number(strings.TrimSpace(v)))
		}
		m["bbox"] = list
	}
	if p.Has("filter") {
		switch lang := p.Get("filter-lang"); lang {
		case "", "cql2-text":
			m["filter"] = p.Get("filter")
		case "cql2-json":
			n, err := parseJSON([]byte(p.Get("filter")))
			if err != nil {
				return nil, &city.Error{Code: city.Invalid, Field: "filter", Message: "the filter is not JSON"}
			}
			m["filter"] = n.v
		default:
			return nil, &city.Error{Code: city.Invalid, Field: "filter-lang", Message: "found " + strconv.Quote(clip(lang)) + ", expected cql2-text or cql2-json"}
		}
	} else if p.Has("filter-lang") {
		return nil, &city.Error{Code: city.Invalid, Field: "filter-lang", Message: "expected it with filter only"}
	}
	s, err := (&parser{limits: Limits{}.defaults()}).selection(node{v: m}, false)
	if err != nil {
		return nil, parameterError(err)
	}
	if id == Terminals {
		_, err = terminalFilter(s)
	} else {
		_, err = objectFilter(s)
	}
	return s, parameterError(err)
}

// parameterError names the parameter instead of the pointer.
func parameterError(err error) error {
	if e, ok := err.(*city.Error); ok {
		named := *e
		named.Field, _, _ = strings.Cut(strings.TrimPrefix(e.Field, "/"), "/")
		return &named
	}
	return err
}

// objectColumns are those of a download of objects: all that the store knows,
// except the geometries of the model, of which there is the footprint.
func objectColumns() []export.Column {
	return []export.Column{
		{Name: "dataset", Type: export.Text}, {Name: "id", Type: export.Text}, {Name: "class", Type: export.Text}, {Name: "type", Type: export.Text}, {Name: "name", Type: export.Text},
		{Name: "cim_level", Type: export.Integer}, {Name: "height_m", Type: export.Number}, {Name: "base_m", Type: export.Number}, {Name: "height_from", Type: export.Text},
		{Name: "height_datum", Type: export.Text}, {Name: "parents", Type: export.JSON}, {Name: "children", Type: export.JSON},
		{Name: "source_epsg", Type: export.Integer}, {Name: "valid_from", Type: export.Time}, {Name: "valid_to", Type: export.Time}, {Name: "attributes", Type: export.JSON},
	}
}

func objectRow(v *store.Version) (export.Row, error) {
	o := &v.Object
	attributes, err := AttributesJSON(o.Attributes)
	if err != nil {
		return export.Row{}, err
	}
	ids := func(list []string) export.Value {
		if len(list) == 0 {
			return export.Value{}
		}
		b, _ := json.Marshal(list) // texts
		return export.JSONOf(string(b))
	}
	level, epsg, height, base := export.Value{}, export.Value{}, export.Value{}, export.Value{}
	if o.Level != 0 {
		level = export.IntegerOf(int64(o.Level))
	}
	if v.SourceCRS != 0 {
		epsg = export.IntegerOf(int64(v.SourceCRS))
	}
	if o.Height.From != "" {
		height, base = export.NumberOf(o.Height.Metres), export.NumberOf(o.Height.BaseMetres)
	}
	return export.Row{ID: v.Dataset + "/" + o.ID, Geometry: export.Footprint(v.Footprint), Values: []export.Value{
		export.TextOf(v.Dataset), export.TextOf(o.ID), export.TextOf(string(o.Class)), export.TextOf(o.Type), export.TextOf(o.Name), level, height, base, export.TextOf(o.Height.From),
		export.TextOf(o.CRS.VerticalDatum), ids(o.Parents), ids(o.Children), epsg, export.TimeOf(v.ValidFrom), export.TimeOf(v.ValidTo), export.JSONOf(attributes),
	}}, nil
}

func terminalColumns() []export.Column {
	return []export.Column{
		{Name: "code", Type: export.Text}, {Name: "name", Type: export.Text}, {Name: "name_en", Type: export.Text}, {Name: "domain", Type: export.Text}, {Name: "district", Type: export.Text},
		{Name: "state", Type: export.Text}, {Name: "simulated", Type: export.Bool}, {Name: "height_m", Type: export.Number}, {Name: "height_datum", Type: export.Text},
		{Name: "properties", Type: export.JSON}, {Name: "datastreams", Type: export.JSON},
	}
}

func terminalRow(t *city.Terminal) export.Row {
	properties, streams := []string{}, []int64{}
	for _, d := range t.Datastreams {
		if !slices.Contains(properties, d.Property) {
			properties = append(properties, d.Property)
		}
		streams = append(streams, d.ID)
	}
	a, _ := json.Marshal(properties) // texts and numbers
	b, _ := json.Marshal(streams)
	height := export.Value{}
	if t.HeightMetres != nil {
		height = export.NumberOf(*t.HeightMetres)
	}
	row := export.Row{ID: t.Code, Values: []export.Value{
		export.TextOf(t.Code), export.TextOf(t.Name), export.TextOf(t.NameEn), export.TextOf(t.Domain), export.TextOf(t.District), export.TextOf(t.State), export.BoolOf(t.Simulated),
		height, export.TextOf(t.HeightDatum), export.JSONOf(string(a)), export.JSONOf(string(b)),
	}}
	if !isNaN(t.Lon) && !isNaN(t.Lat) {
		row.Geometry = orb.Point{t.Lon, t.Lat}
	}
	return row
}
