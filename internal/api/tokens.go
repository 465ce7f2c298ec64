package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/twin/registry"
)

const tokensPath = "/api/v1/tokens"

type tokensOutput struct {
	Body struct {
		Tokens []registry.Token `json:"tokens"`
	}
}

// TokenRequest asks for an access token.
type TokenRequest struct {
	Name    string    `json:"name" doc:"Whose token it is" maxLength:"128"`
	Role    string    `json:"role,omitempty" enum:"operator" default:"operator"`
	Expires time.Time `json:"expires,omitzero" required:"false" doc:"Never when left out"`
}

type newTokenOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		registry.Token
		Secret string `json:"secret" doc:"The token itself. It is shown this once"`
	}
}

func (a *API) tokens() {
	tags := []string{"tokens"}
	register(a, admin, huma.Operation{OperationID: "list-tokens", Method: http.MethodGet, Path: tokensPath, Summary: "List access tokens, without their secrets", Tags: tags},
		func(ctx context.Context, _ *struct{}) (*tokensOutput, error) {
			list, err := a.o.Registry.ListTokens(ctx)
			if err != nil {
				return nil, err
			}
			out := &tokensOutput{}
			out.Body.Tokens = append([]registry.Token{}, list...)
			return out, nil
		})
	register(a, admin, huma.Operation{OperationID: "create-token", Method: http.MethodPost, Path: tokensPath, Summary: "Make an access token", Tags: tags, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *struct {
			Body TokenRequest
		}) (*newTokenOutput, error) {
			role := in.Body.Role
			if role == "" {
				role = registry.RoleOperator
			}
			secret, err := a.o.Registry.CreateToken(ctx, in.Body.Name, role, in.Body.Expires)
			if err != nil {
				return nil, err
			}
			t, err := a.o.Registry.VerifyToken(ctx, secret) // its id
			if err != nil {
				return nil, err
			}
			out := &newTokenOutput{CacheControl: "no-store"}
			out.Body.Token, out.Body.Secret = t, secret
			return out, nil
		})
	register(a, admin, huma.Operation{OperationID: "revoke-token", Method: http.MethodDelete, Path: tokensPath + "/{id}", Summary: "End an access token", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			ID int64 `path:"id" minimum:"1"`
		}) (*struct{}, error) {
			return nil, a.o.Registry.RevokeToken(ctx, in.ID)
		})
}
