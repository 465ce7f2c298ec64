package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"cityhub/twin/registry"
)

// operatorRole is the role of a token that may see and manage everything.
const operatorRole = registry.RoleOperator

type tokenCmd struct {
	New    tokenNewCmd    `cmd:"" help:"Make a token and print it, this once."`
	List   tokenListCmd   `cmd:"" help:"List the tokens; their secrets are not kept."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token."`
}

type tokenNewCmd struct {
	target
	Name string        `arg:"" help:"Whose token it is, e.g. control-room."`
	For  time.Duration `placeholder:"DURATION" help:"How long it is valid, e.g. 720h (default: until revoked)."`
}

func (c *tokenNewCmd) Run(ctx context.Context, std *output) error {
	if err := c.validate(); err != nil {
		return err
	}
	var expires time.Time
	if c.For > 0 {
		expires = time.Now().Add(c.For).UTC()
	}
	var secret string
	if c.Server != "" {
		body, err := json.Marshal(map[string]any{"name": c.Name, "role": operatorRole, "expires": expires})
		if expires.IsZero() {
			body, err = json.Marshal(map[string]any{"name": c.Name, "role": operatorRole})
		}
		if err != nil {
			return err
		}
		var res struct{ Secret string }
		if err := c.request(ctx, http.MethodPost, "/api/v1/tokens", "application/json", bytes.NewReader(body), &res); err != nil {
			return err
		}
		secret = res.Secret
	} else {
		r, closeAll, err := c.openRegistry(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = closeAll() }()
		if secret, err = r.CreateToken(ctx, c.Name, operatorRole, expires); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(std.out, secret)
	return err
}

type tokenListCmd struct {
	target
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *tokenListCmd) Run(ctx context.Context, std *output) error {
	if err := c.validate(); err != nil {
		return err
	}
	var tokens []registry.Token
	if c.Server != "" {
		var res struct{ Tokens []registry.Token }
		if err := c.request(ctx, http.MethodGet, "/api/v1/tokens", "", nil, &res); err != nil {
			return err
		}
		tokens = res.Tokens
	} else {
		r, closeAll, err := c.openRegistry(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = closeAll() }()
		if tokens, err = r.ListTokens(ctx); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(tokens)
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tROLE\tCREATED (UTC)\tEXPIRES (UTC)\tREVOKED (UTC)")
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format(time.DateTime)
	}
	for _, t := range tokens {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Role, at(t.Created), at(t.Expires), at(t.Revoked))
	}
	return w.Flush()
}

type tokenRevokeCmd struct {
	target
	ID int64 `arg:"" help:"The token's number, from cityhub token list."`
}

func (c *tokenRevokeCmd) Run(ctx context.Context, std *output) error {
	if err := c.validate(); err != nil {
		return err
	}
	if c.Server != "" {
		if err := c.request(ctx, http.MethodDelete, fmt.Sprintf("/api/v1/tokens/%d", c.ID), "", nil, nil); err != nil {
			return err
		}
	} else {
		r, closeAll, err := c.openRegistry(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = closeAll() }()
		if err := r.RevokeToken(ctx, c.ID); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(std.out, "token %d is revoked\n", c.ID)
	return err
}
