package features

import (
	"strings"

	"cityhub/internal/jsonenc"
)

// below is the path of the request below /ogc.
func (c *call) below() string {
	return strings.TrimSuffix(strings.TrimPrefix(c.r.URL.EscapedPath(), "/ogc"), "/")
}

// alternates are the links self and alternate of what was asked for
// (/req/core/fc-links), with its parameters.
func (c *call) alternates(formats []format, _ string) []Link {
	var links []Link
	for _, f := range formats {
		q := cloneQuery(c.query)
		q.Set("f", f.name)
		l := Link{Href: c.base + c.below() + "?" + q.Encode(), Rel: "alternate", Type: f.mediaType, Title: c.text(f.title, f.titleEn)}
		if f.name == c.format.name {
			l.Rel, l.Title = "self", c.text("本文档", "This document")
			links = append([]Link{l}, links...)
			continue
		}
		links = append(links, l)
	}
	return links
}

func appendLinks(dst []byte, links []Link) []byte {
	dst = append(dst, '[')
	for i, l := range links {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonenc.AppendString(append(dst, `{"href":`...), l.Href)
		dst = jsonenc.AppendString(append(dst, `,"rel":`...), l.Rel)
		for _, m := range [][2]string{{"type", l.Type}, {"title", l.Title}, {"hreflang", l.Hreflang}} {
			if m[1] != "" {
				dst = jsonenc.AppendString(append(append(append(dst, `,"`...), m[0]...), '"', ':'), m[1])
			}
		}
		if l.Templated {
			dst = append(dst, `,"templated":true`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
