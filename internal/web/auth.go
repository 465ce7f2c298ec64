package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cityhub/twin"
	"cityhub/twin/policy"
)

// SessionCookie is the name of the cookie that carries a browser's token.
const SessionCookie = "cityhub_session"

// Verifier says who is asking; *policy.Gate is one.
type Verifier interface {
	// Verify finds the holder of an access token: CodeUnauthorized when the
	// token is unknown, expired or revoked.
	Verify(ctx context.Context, token string) (policy.Principal, error)
	// Anonymous is the Principal of a caller without a token.
	Anonymous() policy.Principal
}

// state is what the middleware of one request knows. It is one allocation that
// the outermost middleware makes and the others fill.
type state struct {
	principal policy.Principal
	token     string // that principal proved itself with; never logged
	logger    *slog.Logger
	publicURL string
}

type stateKey struct{}

func stateFrom(ctx context.Context) *state {
	s, _ := ctx.Value(stateKey{}).(*state)
	return s
}

func withState(r *http.Request) (*http.Request, *state) {
	if s := stateFrom(r.Context()); s != nil {
		return r, s
	}
	s := new(state)
	return r.WithContext(context.WithValue(r.Context(), stateKey{}, s)), s
}

// PrincipalFrom is who is asking, as Authenticate found. Without Authenticate
// it is the zero Principal: anonymous, with the rights of the public.
func PrincipalFrom(ctx context.Context) policy.Principal {
	if s := stateFrom(ctx); s != nil {
		return s.principal
	}
	return policy.Principal{}
}

// TokenFrom is the access token that the caller of PrincipalFrom proved itself
// with, for what outlives the request and has to ask again whether the token
// is still in force; empty: none. It must not be logged.
func TokenFrom(ctx context.Context) string {
	if s := stateFrom(ctx); s != nil {
		return s.token
	}
	return ""
}

// loggerFrom is the logger that AccessLog or Recover put in; the process's
// default one when neither runs, so that an incident is never lost.
func loggerFrom(r *http.Request) *slog.Logger {
	if s := stateFrom(r.Context()); s != nil && s.logger != nil {
		return s.logger
	}
	return slog.Default()
}

// Authenticate finds out who is asking, for PrincipalFrom: by a bearer token
// (RFC 6750), by the session cookie, or else anonymous. A token that is not
// valid is a 401 problem; it never turns into an anonymous request without a
// word, except for a page that a browser opens with a cookie that is no longer
// valid: the visitor gets the public page and the cookie is taken away.
// Basic credentials are left to the handlers that know terminals.
//
// A cookie is sent by the browser whoever wrote the page. So a request that
// may change something, and the opening of a WebSocket, count as the cookie's
// owner's only when they come from a page of this hub; from elsewhere they are
// a 403 problem.
func Authenticate(v Verifier) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, s := withState(r)
			p, token, err := principal(v, w, r)
			if err != nil {
				Problem(w, r, err)
				return
			}
			s.principal, s.token = p, token
			next.ServeHTTP(w, r)
		})
	}
}

func principal(v Verifier, w http.ResponseWriter, r *http.Request) (p policy.Principal, token string, err error) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		scheme, cred, _ := strings.Cut(auth, " ")
		switch {
		case strings.EqualFold(scheme, "Bearer"):
			token = strings.TrimSpace(cred)
			p, err = v.Verify(r.Context(), token)
			if twin.ErrorCode(err) == twin.CodeUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="cityhub", error="invalid_token"`)
			}
			return p, token, err
		case strings.EqualFold(scheme, "Basic"):
			return v.Anonymous(), "", nil
		default:
			return p, "", &twin.Error{Code: twin.CodeUnauthorized, Op: "authenticate", Field: "Authorization",
				Message: "the scheme is not known", Hint: `send "Authorization: Bearer TOKEN"`}
		}
	}
	c, err := r.Cookie(SessionCookie)
	if err != nil || c.Value == "" {
		return v.Anonymous(), "", nil
	}
	p, err = v.Verify(r.Context(), c.Value)
	if err != nil {
		if twin.ErrorCode(err) != twin.CodeUnauthorized {
			return p, "", err
		}
		clearSession(w, r)
		if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			return v.Anonymous(), "", nil
		}
		return p, "", err
	}
	if mayChange(r) && !sameOrigin(r) {
		return p, "", &twin.Error{Code: twin.CodeForbidden, Op: "authenticate", Message: "the request comes from a page of another site",
			Hint: "a program sends its token in the Authorization header, not in a cookie"}
	}
	return p, c.Value, nil
}

// mayChange reports whether the request can have an effect, or opens a channel
// that a foreign page could read.
func mayChange(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.Header.Get("Upgrade") != ""
	}
	return true
}

// RequireAdmin lets only the operator through: 401 for an anonymous caller,
// 403 for another.
func RequireAdmin(op string) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := PrincipalFrom(r.Context()).RequireAdmin(op); err != nil {
				Problem(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// SessionAge is how long a browser keeps its session cookie. The token inside
// is checked at every request, so its own end or its revocation comes first.
const SessionAge = 30 * 24 * time.Hour

// NewSession checks token and returns its holder and the cookie that carries
// it. The cookie is for the hub's own pages only: not for scripts (HttpOnly)
// and not for other sites (SameSite=Strict). A request from a page of another
// site is refused, so that nobody is logged in as somebody else.
func NewSession(v Verifier, r *http.Request, token string) (policy.Principal, *http.Cookie, error) {
	if !sameOrigin(r) {
		return policy.Principal{}, nil, &twin.Error{Code: twin.CodeForbidden, Op: "open session", Message: "the request comes from a page of another site"}
	}
	if token == "" {
		return policy.Principal{}, nil, &twin.Error{Code: twin.CodeInvalid, Op: "open session", Field: "token", Message: "is missing"}
	}
	p, err := v.Verify(r.Context(), token)
	if err != nil {
		return policy.Principal{}, nil, err
	}
	return p, sessionCookie(r, token, int(SessionAge/time.Second)), nil
}

// EndSession is the cookie that takes the session cookie away.
func EndSession(r *http.Request) *http.Cookie { return sessionCookie(r, "", -1) }

func clearSession(w http.ResponseWriter, r *http.Request) { http.SetCookie(w, EndSession(r)) }

func sessionCookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: SessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: strings.HasPrefix(BaseURL(r), "https://"),
	}
}
