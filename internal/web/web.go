// Package web is what every HTTP handler of the hub shares: problem+json
// (RFC 9457), JSON bodies in and out, who is asking (bearer token or session
// cookie), and the middleware around a handler: access log, recovery,
// security headers, cross-origin reads, body limit and compression.
//
// Guarantees: an error that reaches a caller is a problem document; an error
// that is not the caller's fault shows an incident number and nothing of the
// cause, which goes to the log under the same number; tokens never reach the
// log. Every function and handler here is safe for concurrent use. The package
// starts no goroutine.
package web

import (
	"net/http"
	"net/url"
	"strings"
)

// Middleware wraps a handler.
type Middleware func(http.Handler) http.Handler

// Chain puts h behind the middleware; the first one is outermost.
func Chain(h http.Handler, ms ...Middleware) http.Handler {
	for i := len(ms) - 1; i >= 0; i-- {
		h = ms[i](h)
	}
	return h
}

// Link is a typed link (RFC 8288) as it stands in JSON documents.
type Link struct {
	Href  string `json:"href"`
	Rel   string `json:"rel"`
	Type  string `json:"type,omitempty"`
	Title string `json:"title,omitempty"`
}

// BaseURL is "scheme://host" under which the caller reached the hub, without
// a slash at the end: the public URL where PublicURL set one, else what the
// request says. Forwarding headers are not trusted.
func BaseURL(r *http.Request) string {
	if s := stateFrom(r.Context()); s != nil && s.publicURL != "" {
		return s.publicURL
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// PublicURL makes BaseURL give u, for a hub behind a proxy. An empty u changes
// nothing.
func PublicURL(u string) Middleware {
	u = strings.TrimRight(u, "/")
	return func(next http.Handler) http.Handler {
		if u == "" {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, s := withState(r)
			s.publicURL = u
			next.ServeHTTP(w, r)
		})
	}
}

// sameOrigin reports whether a browser made the request from a page of this
// hub. A request without any sign of a browser passes: what is prevented is a
// foreign page using the visitor's cookie, and every browser says where a
// request with a body, or the opening of a WebSocket, comes from.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	base, err := url.Parse(BaseURL(r))
	return err == nil && strings.EqualFold(u.Host, base.Host)
}
