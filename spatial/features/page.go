package features

import (
	"net/http"
	"net/url"
	"strconv"

	"cityhub/internal/jsonenc"
	"cityhub/spatial/store"
)

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
