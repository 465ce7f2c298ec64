// Package api is the management API of the hub, /api/v1: sessions, terminals,
// their import from a manifest, rejects, datasets, access tokens and the hub's
// status. Its OpenAPI 3.1 description is at /api/openapi.json.
//
// Guarantees: every route but those of sessions and the list of Datasets needs
// the operator, and that is checked before anything of the request is read;
// every error is a problem document (RFC 9457) that names the field at fault;
// an unknown query parameter or member is an error, never ignored. An API is
// safe for concurrent use and starts no goroutine.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"cityhub/internal/web"
	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

// Options of an API.
type Options struct {
	Registry *registry.Registry // managed by the operator
	Gate     *policy.Gate       // what callers see
	Rejects  RejectSource       // nil: /api/v1/rejects is a 503
	Status   StatusSource       // nil: /api/v1/status is a 503
	Version  string             // of the hub, in the OpenAPI description

	MaxImport int64 // bytes of an imported manifest; zero: 64 MiB
}

// API serves /api/. It expects web.Authenticate around it.
type API struct {
	o    Options
	mux  *http.ServeMux
	huma huma.API
	spec []byte
}

// New makes an API.
func New(o Options) (*API, error) {
	if o.MaxImport == 0 {
		o.MaxImport = 64 << 20
	}
	a := &API{o: o, mux: http.NewServeMux()}
	config := huma.DefaultConfig("cityhub management API", o.Version)
	config.Info.Description = "Manages the terminals, datasets and access of a city data hub. Errors are application/problem+json (RFC 9457)."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	// What is served of the city beside these routes describes itself.
	for _, d := range []struct{ tag, about, url string }{
		{"city", "Objects of the city model, what is observed on them now and was before, and the import of city models", "/api/v1/city/openapi.json"},
		{"spatial", "Spatial questions and downloads", "/api/v1/spatial/openapi.json"},
		{"ogc", "OGC API: Features, Tiles and EDR", "/ogc/api"},
	} {
		config.Tags = append(config.Tags, &huma.Tag{Name: d.tag, Description: d.about, ExternalDocs: &huma.ExternalDocs{Description: "OpenAPI description", URL: d.url}})
	}
	// The description is served below: huma makes it at the first request, for
	// several callers at once. Its pages would load scripts from other hosts.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema member in every answer
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{toProblem}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "an access token"},
		"session": {Type: "apiKey", In: "cookie", Name: web.SessionCookie, Description: "an access token in a cookie, as POST /api/v1/session sets it"},
	}
	a.huma = humago.New(a.mux, config)
	a.huma.UseMiddleware(intercept)
	a.sessions()
	a.terminals()
	a.imports()
	a.rejects()
	a.datasets()
	a.tokens()
	a.status()
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // every error is a ProblemDocument
		delete(config.Components.Schemas.Map(), unused)
	}
	spec, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	a.spec = spec
	a.mux.HandleFunc("GET /api/openapi.json", a.openAPI)
	return a, nil
}

// OpenAPI is the description of the API as JSON.
func (a *API) OpenAPI() []byte { return a.spec }

func (a *API) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(a.spec) // the caller is gone: there is nobody left to tell
}

// ServeHTTP answers everything under /api/.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := a.mux.Handler(r); pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	// The mux would answer in plain text.
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		try := r.Clone(r.Context())
		try.Method = m
		if _, pattern := a.mux.Handler(try); pattern != "" {
			allow = append(allow, m)
		}
	}
	if len(allow) == 0 {
		web.NotFound(w, r)
		return
	}
	web.MethodNotAllowed(w, r, strings.Join(allow, ", "))
}

type requestKey struct{}

// call is one request on its way through huma.
type call struct {
	r       *http.Request
	bodyErr error // of reading the body
}

func callOf(ctx context.Context) *call { return ctx.Value(requestKey{}).(*call) }

// requestOf is the request that a handler answers.
func requestOf(ctx context.Context) *http.Request { return callOf(ctx).r }

// watchedBody remembers why the body could not be read: huma takes every
// reason for a failure of the server.
type watchedBody struct {
	io.ReadCloser
	c *call
}

func (b watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.c.bodyErr = err
	}
	return n, err
}

// status is the one that the hub uses for a request that huma refused.
func (c *call) status(code int) int {
	var tooLarge *http.MaxBytesError
	switch {
	case code == http.StatusInternalServerError && errors.As(c.bodyErr, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case code == http.StatusInternalServerError && c.bodyErr != nil, code == http.StatusUnprocessableEntity:
		return http.StatusBadRequest
	}
	return code
}

// wrapped answers with call.status.
type wrapped struct{ humaContext }

// humaContext is huma.Context under a name that an embedding does not hide.
type humaContext huma.Context

func (c wrapped) SetStatus(code int) { c.humaContext.SetStatus(callOf(c.Context()).status(code)) }

// Unwrap is for humago.Unwrap.
func (c wrapped) Unwrap() huma.Context { return c.humaContext }

func intercept(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	c := &call{r: r}
	if r.Body != nil {
		r.Body = watchedBody{r.Body, c}
	}
	next(wrapped{huma.WithValue(ctx, requestKey{}, c)})
}

// requireAdmin lets the operator through, before anything of the request is
// read or looked up.
func requireAdmin(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if err := web.PrincipalFrom(r.Context()).RequireAdmin(ctx.Operation().OperationID); err != nil {
		web.Problem(w, r, err)
		return
	}
	next(ctx)
}

// access says who may call an operation.
type access bool

const (
	anybody access = false
	admin   access = true
)

// register adds an operation. Errors of h become problem documents.
func register[I, O any](a *API, who access, op huma.Operation, h func(context.Context, *I) (*O, error)) {
	if who == admin {
		op.Middlewares = append(op.Middlewares, requireAdmin)
		op.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	}
	op.Responses = map[string]*huma.Response{"default": {
		Description: "a problem",
		Content:     map[string]*huma.MediaType{web.ContentTypeProblem: {Schema: a.huma.OpenAPI().Components.Schemas.Schema(problemType, true, "")}},
	}}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			doc, headers := web.Describe(requestOf(ctx), explain(err))
			return nil, &problem{ProblemDocument: doc, headers: headers}
		}
		return out, nil
	})
}

// explain gives the mistakes of a manifest their place in the problem.
func explain(err error) error {
	var me *manifest.Error
	if !errors.As(err, &me) {
		return err
	}
	items := make([]web.ProblemItem, len(me.Problems))
	for i, p := range me.Problems {
		items[i] = web.ProblemItem{Line: p.Line, Field: p.Field, Detail: p.Message(), Hint: p.Hint}
	}
	if len(items) > 1 {
		n := fmt.Sprintf("there are %d mistakes", len(items))
		if me.Truncated {
			n = fmt.Sprintf("there are more than %d mistakes", len(items))
		}
		err = &twin.Error{Code: twin.CodeInvalid, Op: me.Op, Field: items[0].Field, Message: n, Hint: "see errors"}
	}
	return &web.ItemsError{Items: items, Err: err}
}
