package features

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/paulmach/orb"

	"cityhub/internal/jsonenc"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// selection makes the selection of a request for the items of a collection of
// objects.
func (c *call) selection(k kind, s search) (*selection, error) {
	sel := &selection{kind: k, classes: k.classes(), tall: s.tall, low: s.low, high: s.high, withLive: s.live || k.live(),
		q: store.Query{Type: k.Type, At: s.at, BBox: s.bbox, Geometries: s.tall || c.format.name == formatJSONFG.name && s.profile != "rfc7946"}}
	var err error
	if sel.live, err = c.liveReader(s.at); err != nil {
		return nil, err
	}
	var sch *schema
	lookup := func(name string) (cql2.Queryable, bool, error) {
		for _, complete := range []bool{false, true} {
			if sch, err = c.schema(k, sel.live, complete); err != nil {
				return cql2.Queryable{}, false, err
			}
			if q, _, ok := sch.queryables.Lookup(name); ok {
				return q, true, nil
			}
		}
		return cql2.Queryable{}, false, nil
	}
	e, err := c.expression(s, lookup)
	if err != nil {
		return nil, err
	}
	if e != nil {
		if sch == nil { // only the box
			if sch, err = boxSchema(); err != nil {
				return nil, err
			}
		}
		if err := sel.apply(e, sch); err != nil {
			return nil, err
		}
	}
	return sel, c.positions(sel, e)
}

// boxSchema is the queryables that the parameter bbox needs.
func boxSchema() (*schema, error) {
	s := &schema{columns: fixedColumns()[:1]}
	var err error
	s.queryables, err = cql2.NewQueryables(s.columns[0].Queryable)
	return s, err
}

// apply compiles a filter and narrows the store's query by what it demands.
func (s *selection) apply(e cql2.Expr, sch *schema) error {
	var err error
	if s.filter, err = cql2.Compile(e, sch.queryables); err != nil {
		return err
	}
	s.schema, s.slow = sch, slowVertices(e)
	s.need = liveNeed(e, sch, s.live)
	h := cql2.Hints(e)
	s.never = h.Never
	if b, ok := h.Bounds["geometry"]; ok && (s.q.BBox == nil || s.q.BBox.West <= s.q.BBox.East) {
		box := store.BBox{West: max(b.Min[0], -180), South: max(b.Min[1], -90), East: min(b.Max[0], 180), North: min(b.Max[1], 90)}
		if o := s.q.BBox; o != nil {
			box = store.BBox{West: max(box.West, o.West), South: max(box.South, o.South), East: min(box.East, o.East), North: min(box.North, o.North)}
		}
		if box.West > box.East || box.South > box.North {
			s.never = true
		} else {
			s.q.BBox = &box
		}
	}
	if v, ok := equalText(h, "dataset"); ok {
		s.q.Dataset = v
	}
	if v, ok := equalText(h, "type"); ok && s.q.Type == "" {
		s.q.Type = v
	}
	if v, ok := equalText(h, "class"); ok {
		s.classes = slices.DeleteFunc(s.classes, func(c spatial.Class) bool { return string(c) != v })
		s.never = s.never || len(s.classes) == 0
	}
	return nil
}

// equalText is the text that a property must equal; false where there is none
// or more than one may do.
func equalText(h cql2.Hint, name string) (string, bool) {
	list := h.Equal[name]
	if len(list) != 1 {
		return "", false
	}
	s, ok := list[0].(*cql2.String)
	if !ok || s.Value == "" {
		return "", false
	}
	return s.Value, true
}

// liveNeed marks the observed properties that a filter reads.
func liveNeed(e cql2.Expr, sch *schema, l *liveReader) []bool {
	var need []bool
	for _, name := range cql2.Properties(e) {
		_, i, ok := sch.queryables.Lookup(name)
		if !ok {
			continue
		}
		if col := sch.columns[i]; col.field >= fieldLive && col.field < fieldAttribute {
			if need == nil {
				need = make([]bool, len(l.props))
			}
			need[col.prop] = true
		}
	}
	return need
}

// positions finds where the objects are on which what the filter demands is
// observed: it has to look at these only.
func (c *call) positions(sel *selection, e cql2.Expr) error {
	if e != nil {
		for _, group := range required(e) {
			var props []int
			for _, name := range group {
				_, i, ok := sel.schema.queryables.Lookup(name)
				if !ok || sel.schema.columns[i].field < fieldLive || sel.schema.columns[i].field >= fieldAttribute {
					props = nil
					break
				}
				if p := sel.schema.columns[i].prop; !slices.Contains(props, p) {
					props = append(props, p)
				}
			}
			if props == nil {
				continue
			}
			var found []int64
			for _, p := range props {
				list, err := c.observedPositions(sel.live.props[p].Name)
				if err != nil {
					return err
				}
				found = append(found, list...)
			}
			if len(props) > 1 {
				slices.Sort(found)
				found = slices.Compact(found)
			}
			if !sel.byPosition || len(found) < len(sel.positions) {
				sel.positions = found
			}
			sel.byPosition = true
		}
	}
	if !sel.byPosition && sel.kind.live() {
		sel.byPosition = true
		var err error
		if sel.positions, err = c.observedPositions(""); err != nil {
			return err
		}
	}
	if !sel.byPosition {
		return nil
	}
	if sel.q.BBox != nil && c.fewerInBox(sel) {
		if sel.kind.live() {
			sel.among = sel.positions
		}
		sel.byPosition, sel.positions = false, nil
		return nil
	}
	if e == nil || !sel.q.At.IsZero() || sel.need == nil {
		return nil
	}
	return sel.applyLive(e)
}

// fewerInBox reports whether a box has fewer objects than there are positions,
// as far as the index knows, which decides on nothing but the way.
func (c *call) fewerInBox(sel *selection) bool {
	const few, enough = 200, 20_000 // positions
	n := min(len(sel.positions), enough)
	if n <= few {
		return false
	}
	if c.view.Index == nil || c.view.Index.Len() == 0 {
		return len(sel.positions) >= enough
	}
	count := 0
	look := func(west, east float64) {
		b := orb.Bound{Min: orb.Point{west, sel.q.BBox.South}, Max: orb.Point{east, sel.q.BBox.North}}
		c.view.Index.Search(b, index.Options{Classes: sel.classes, Type: sel.q.Type, Dataset: sel.q.Dataset}, func(index.Ref) bool {
			count++
			return count < n
		})
	}
	if b := sel.q.BBox; b.West > b.East {
		look(b.West, 180)
		look(-180, b.East)
	} else {
		look(b.West, b.East)
	}
	return count < n
}

// applyLive compiles what the filter demands of live values alone: it is asked
// before an object is read. The latest values are in memory, those of the past
// are not.
func (s *selection) applyLive(e cql2.Expr) error {
	parts := []cql2.Expr{e}
	if call, ok := e.(*cql2.Call); ok && call.Op == cql2.OpAnd {
		parts = call.Args
	}
	var live []cql2.Expr
	for _, part := range parts {
		names := cql2.Properties(part)
		only := len(names) > 0
		for _, name := range names {
			_, i, ok := s.schema.queryables.Lookup(name)
			only = only && ok && s.schema.columns[i].field >= fieldLive && s.schema.columns[i].field < fieldAttribute
		}
		if only {
			live = append(live, part)
		}
	}
	var err error
	switch len(live) {
	case 0:
	case 1:
		s.liveFilter, err = cql2.Compile(live[0], s.schema.queryables)
	default:
		s.liveFilter, err = cql2.Compile(&cql2.Call{Op: cql2.OpAnd, Args: live}, s.schema.queryables)
	}
	return err
}

// items is /collections/{collectionId}/items.
func (c *call) items() error {
	k, err := c.kind()
	if err != nil {
		return err
	}
	s, err := c.search()
	if err != nil {
		return err
	}
	if k.terminals() {
		return c.terminals(k, s)
	}
	sel, err := c.selection(k, s)
	if err != nil {
		return err
	}
	if c.format.name == formatHTML.name {
		return c.itemsPage(k, s, sel)
	}
	out, err := c.begin(k, s, sel.live, sel.withLive)
	if err != nil {
		return err
	}
	defer out.release()
	sc := c.scan(sel, s.after)
	var last int64
	more := false
	for out.n < s.limit {
		list, done, err := sc.next(s.limit - out.n)
		if err != nil {
			if out.n > 0 && isDeadline(c, err) {
				more = true // the page ends here, the next goes on
				break
			}
			return out.fail(err)
		}
		for _, v := range list {
			if err := out.object(v); err != nil {
				return out.fail(err)
			}
			last = v.Position
		}
		if done {
			more = false
			break
		}
		more = true
	}
	if more && out.n == s.limit {
		// Something may be left: a link next leads to a feature.
		list, _, err := sc.next(1)
		if err != nil && !isDeadline(c, err) {
			return out.fail(err)
		}
		more = err != nil || len(list) > 0
	}
	matched := int64(-1)
	switch {
	case !more && s.after == 0:
		matched = int64(out.n)
	case sel.cheapCount():
		if matched, err = c.count(sel); err != nil {
			return out.fail(err)
		}
	}
	next := ""
	if more {
		next = strconv.FormatInt(last, 36)
	}
	return out.end(matched, next)
}

func isDeadline(c *call, err error) bool {
	var e *city.Error
	return c.ctx.Err() == nil && !asError(err, &e) && isTimeout(err)
}

// counts keeps the numbers of whole collections for a moment.
type counts struct {
	mu   sync.Mutex
	kept map[countKey]count
}

type countKey struct {
	view, collection string
	at               int64
	version          uint64
}

type count struct {
	n    int64
	made time.Time
}

const (
	countAge  = 5 * time.Second
	countKept = 256
)

// count is the number of objects that a selection without a filter has.
func (c *call) count(sel *selection) (int64, error) {
	key := countKey{c.view.Key, sel.kind.ID, sel.q.At.UnixNano(), c.indexVersion()}
	m := &c.h.counts
	m.mu.Lock()
	old, ok := m.kept[key]
	m.mu.Unlock()
	if ok && c.now.Sub(old.made) < countAge {
		return old.n, nil
	}
	q := sel.q
	q.Class, q.Geometries = sel.classes[0], false
	n, err := c.view.Store.Count(c.ctx, q)
	if err == nil && sel.kind.rest() {
		var d int64
		q.Type = city.TypeDistrict
		d, err = c.view.Store.Count(c.ctx, q)
		n -= d
	}
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= countKept {
		m.kept = map[countKey]count{}
	}
	m.kept[key] = count{n, c.now}
	return n, nil
}

// page is a FeatureCollection on its way out. What is written before flushAt
// has been reached can still become a problem document.
type page struct {
	c    *call
	k    kind
	s    search
	e    *encoder
	n    int
	sent bool
}

const flushAt = 1 << 20 // bytes; a page of 1,000 buildings has half of it

func (c *call) begin(k kind, s search, l *liveReader, withLive bool) (*page, error) {
	e := c.h.buffers.Get().(*encoder)
	p := &page{c: c, k: k, s: s, e: e}
	if err := e.prepare(s.crs, c.h.crss[0], l, withLive, c.format, s); err != nil {
		p.release()
		return nil, err
	}
	e.buf = append(e.buf, `{"type":"FeatureCollection"`...)
	if e.fg {
		e.buf = append(e.buf, `,"conformsTo":["`+jsonfgCore+`","`+jsonfgSolids+`"],"coordRefSys":`...)
		e.buf = jsonenc.AppendString(e.buf, s.crs.URI())
	}
	e.time("timeStamp", c.now)
	e.buf = append(e.buf, `,"features":[`...)
	return p, nil
}

func (p *page) release() {
	const keep = 8 << 20
	if cap(p.e.buf) > keep {
		p.e.buf = nil
	}
	p.e.live, p.e.keys = nil, nil
	p.c.h.buffers.Put(p.e)
}

func (p *page) object(v *store.Version) error {
	p.comma()
	if err := p.e.object(v); err != nil {
		return err
	}
	return p.close()
}

func (p *page) comma() {
	if p.n > 0 {
		p.e.buf = append(p.e.buf, ',')
	}
	p.e.buf = append(p.e.buf, '\n')
	p.n++
}

func (p *page) close() error {
	p.e.buf = append(p.e.buf, '}')
	if len(p.e.buf) >= flushAt {
		return p.flush()
	}
	return nil
}

func (p *page) flush() error {
	if !p.sent {
		p.c.featureHeaders(p.s)
		p.sent = true
	}
	_, err := p.c.w.Write(p.e.buf)
	p.e.buf = p.e.buf[:0]
	return err
}

// fail ends the page. When part of it has been sent the connection is cut, so
// that half an answer is not taken for a whole one.
func (p *page) fail(err error) error {
	if !p.sent {
		return err
	}
	if p.c.ctx.Err() == nil {
		p.c.h.o.Logger.Error("features: a page was cut short", "path", p.c.r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}

// end writes what follows the features.
func (p *page) end(matched int64, next string) error {
	e := p.e
	e.buf = append(e.buf, ']')
	if matched >= 0 {
		e.buf = append(e.buf, `,"numberMatched":`...)
		e.buf = strconv.AppendInt(e.buf, matched, 10)
	}
	e.buf = append(e.buf, `,"numberReturned":`...)
	e.buf = strconv.AppendInt(e.buf, int64(p.n), 10)
	e.buf = append(e.buf, `,"links":`...)
	e.buf = appendLinks(e.buf, p.c.itemsLinks(p.k, next))
	e.buf = append(e.buf, "}\n"...)
	if err := p.flush(); err != nil {
		return p.fail(err)
	}
	return nil
}

// featureHeaders sets the headers of an answer with features (/req/crs/ogc-crs-header).
func (c *call) featureHeaders(s search) {
	h := c.w.Header()
	h.Set("Content-Type", c.format.mediaType)
	h.Set("Content-Crs", "<"+s.crs.URI()+">")
	if c.format.name == formatJSONFG.name {
		h.Add("Link", "<"+profileBase+s.profile+`>; rel="profile"`)
	}
}

func (c *call) itemsLinks(k kind, next string) []Link {
	links := c.alternates(featureFormats, c.r.URL.Path)
	if next != "" {
		q := cloneQuery(c.query)
		q.Set("cursor", next)
		links = append(links, Link{Href: c.base + c.below() + "?" + q.Encode(), Rel: "next", Type: c.format.mediaType, Title: c.text("下一页", "Next page")})
	}
	return append(links, Link{Href: c.base + "/collections/" + k.ID, Rel: "collection", Type: formatJSON.mediaType, Title: c.text(k.Title, k.TitleEn)})
}

func cloneQuery(q url.Values) url.Values {
	out := make(url.Values, len(q))
	for k, v := range q {
		out[k] = v
	}
	return out
}

// item is /collections/{collectionId}/items/{featureId}.
func (c *call) item() error {
	k, err := c.kind()
	if err != nil {
		return err
	}
	s := search{crs: c.h.crss[0]}
	if s.crs, err = c.crsParam("crs", c.h.crss[0]); err != nil {
		return err
	}
	if s.at, err = c.moment(); err != nil {
		return err
	}
	if s.live, err = c.flag("live"); err != nil {
		return err
	}
	if s.lod, s.profile, err = c.shape(); err != nil {
		return err
	}
	if k.terminals() {
		return c.terminal(k, s)
	}
	key, err := parseID(c.r.PathValue("item"))
	if err != nil {
		return err
	}
	v, err := c.object(k, key, s.at)
	if err != nil {
		return err
	}
	return c.oneObject(k, s, v, http.StatusOK)
}

// object finds an object of a collection.
func (c *call) object(k kind, key store.Key, at time.Time) (*store.Version, error) {
	v, err := c.view.Store.Get(c.ctx, key, at)
	if err == nil && k.has(&v.Object) && (!k.live() || c.isObserved(v.Position)) {
		return v, nil
	}
	if err != nil && !isNotFound(err) {
		return nil, err
	}
	return nil, &city.Error{Code: city.NotFound, Field: "featureId", Message: fmt.Sprintf("%s has no feature %.200s", k.ID, appendID(nil, key)), Err: err}
}

func (c *call) isObserved(position int64) bool {
	return c.view.Observed != nil && len(c.view.Observed.On(c.ctx, position, nil)) > 0
}

// oneObject answers with an object.
func (c *call) oneObject(k kind, s search, v *store.Version, status int) error {
	l, err := c.liveReader(s.at)
	if err != nil {
		return err
	}
	withLive := s.live || k.live()
	if c.format.name == formatHTML.name {
		return c.itemPage(k, s, v, l)
	}
	return c.one(k, s, l, withLive, versionTag(v), status, func(e *encoder) error { return e.object(v) })
}

// one answers with one feature, with a strong ETag: the version of the object,
// which If-Match compares, and a hash of what is sent.
func (c *call) one(k kind, s search, l *liveReader, withLive bool, version string, status int, write func(*encoder) error) error {
	e := c.h.buffers.Get().(*encoder)
	p := &page{c: c, e: e}
	defer p.release()
	if err := e.prepare(s.crs, c.h.crss[0], l, withLive, c.format, s); err != nil {
		return err
	}
	if err := write(e); err != nil {
		return err
	}
	if e.fg {
		e.buf = append(e.buf, `,"conformsTo":["`+jsonfgCore+`","`+jsonfgSolids+`"]`...)
		if !containsCRS(e.buf) {
			e.buf = append(e.buf, `,"coordRefSys":`...)
			e.buf = jsonenc.AppendString(e.buf, s.crs.URI())
		}
	}
	links := c.alternates(featureFormats, c.r.URL.Path)
	links = append(links, Link{Href: c.base + "/collections/" + k.ID, Rel: "collection", Type: formatJSON.mediaType, Title: c.text(k.Title, k.TitleEn)})
	e.buf = append(e.buf, `,"links":`...)
	e.buf = append(appendLinks(e.buf, links), '}', '\n')
	c.featureHeaders(s)
	tag := entityTag(version, e.buf)
	c.w.Header().Set("ETag", tag)
	if c.r.Method != http.MethodPost && status == http.StatusOK && matchesTag(c.r.Header.Get("If-None-Match"), tag, true) && (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(e.buf) // the caller has gone
	return nil
}

// versionTag names a version of an object.
func versionTag(v *store.Version) string {
	return strconv.FormatInt(v.Position, 36) + "-" + strconv.FormatInt(v.ValidFrom.UnixNano(), 36)
}

func entityTag(version string, body []byte) string {
	h := fnv.New64a()
	_, _ = h.Write(body) // never fails
	return `"` + version + "." + strconv.FormatUint(h.Sum64(), 36) + `"`
}
