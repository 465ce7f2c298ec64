package streams

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"cityhub/twin"
)

// Origins is the list of web origins, such as https://twin.example.cn, whose
// pages may open streams besides the hub's own.
type Origins []string

// Validate checks that every entry is scheme://host[:port].
func (o Origins) Validate() error {
	for _, s := range o {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Scheme+"://"+u.Host != s {
			return &twin.Error{Code: twin.CodeInvalid, Op: "check origins", Field: "origins", Message: fmt.Sprintf("%q is no origin", s), Hint: "an origin looks like https://twin.example.cn, without a path"}
		}
	}
	return nil
}

// Check allows a request without Origin, which no browser page made, one from
// the hub's own pages, and one from the list; else the error has CodeForbidden.
// cross is the origin to name in Access-Control-Allow-Origin, empty for none.
func (o Origins) Check(r *http.Request) (cross string, err error) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return "", nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return "", nil
	}
	for _, allowed := range o {
		if strings.EqualFold(allowed, origin) {
			return origin, nil
		}
	}
	return "", &twin.Error{Code: twin.CodeForbidden, Op: "connect", Field: "Origin", Message: "pages of this origin may not open streams here", Hint: "open the hub's own pages, or have the origin added to the allowed ones"}
}
