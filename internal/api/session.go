package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/internal/web"
	"cityhub/twin/policy"
)

// Session says who is asking.
type Session struct {
	Name      string      `json:"name,omitempty" doc:"Name of the access token; absent for an anonymous caller"`
	Role      policy.Role `json:"role" enum:"public,admin" doc:"What the caller may do"`
	Anonymous bool        `json:"anonymous" doc:"Whether the caller gave no token"`
}

// SessionRequest is a login.
type SessionRequest struct {
	Token string `json:"token" maxLength:"512" doc:"An access token"`
}

func sessionOf(p policy.Principal) Session {
	return Session{Name: p.Name, Role: p.Role, Anonymous: p.Anonymous()}
}

type sessionOutput struct {
	SetCookie    string `header:"Set-Cookie"`
	CacheControl string `header:"Cache-Control"`
	Body         Session
}

func (a *API) sessions() {
	tags := []string{"session"}
	const path = "/api/v1/session"
	register(a, anybody, huma.Operation{OperationID: "who-am-i", Method: http.MethodGet, Path: path, Summary: "Who is asking", Tags: tags},
		func(ctx context.Context, _ *struct{}) (*sessionOutput, error) {
			return &sessionOutput{CacheControl: "no-store", Body: sessionOf(web.PrincipalFrom(ctx))}, nil
		})
	register(a, anybody, huma.Operation{OperationID: "open-session", Method: http.MethodPost, Path: path, Summary: "Log in", Tags: tags,
		Description: "Checks an access token and sets it as a cookie for the hub's own pages."},
		func(ctx context.Context, in *struct {
			Body SessionRequest
		}) (*sessionOutput, error) {
			p, cookie, err := web.NewSession(a.o.Gate, requestOf(ctx), in.Body.Token)
			if err != nil {
				return nil, err
			}
			return &sessionOutput{SetCookie: cookie.String(), CacheControl: "no-store", Body: sessionOf(p)}, nil
		})
	register(a, anybody, huma.Operation{OperationID: "close-session", Method: http.MethodDelete, Path: path, Summary: "Log out", Tags: tags,
		DefaultStatus: http.StatusNoContent, Description: "Takes the cookie away. The access token itself stays valid."},
		func(ctx context.Context, _ *struct{}) (*struct {
			SetCookie string `header:"Set-Cookie"`
		}, error) {
			out := &struct {
				SetCookie string `header:"Set-Cookie"`
			}{SetCookie: web.EndSession(requestOf(ctx)).String()}
			return out, nil
		})
}
