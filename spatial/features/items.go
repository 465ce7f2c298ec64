package features

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

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
	if more && out.n == s.limit && !sc.certain() {
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
