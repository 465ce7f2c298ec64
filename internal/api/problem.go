package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/internal/web"
	"cityhub/twin"
)

var problemType = reflect.TypeFor[web.ProblemDocument]()

// problem is a problem document as huma wants an error.
type problem struct {
	web.ProblemDocument
	headers http.Header
}

func (p *problem) Error() string                { return p.Detail }
func (p *problem) GetStatus() int               { return p.Status }
func (p *problem) GetHeaders() http.Header      { return p.headers }
func (p *problem) ContentType(ct string) string { return web.ContentTypeProblem }

// toProblem turns the errors that huma makes itself, of requests that do not
// fit the description, into problem documents. The values that huma found are
// left out: one may be a secret.
func toProblem(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	te := &twin.Error{Code: twin.CodeInvalid, Op: ctx.Operation().OperationID, Message: m.Detail}
	var items []web.ProblemItem
	for _, d := range m.Errors {
		if d == nil {
			continue
		}
		_, field, found := strings.Cut(d.Location, ".") // body.name, query.limit
		if !found {
			field = ""
		}
		items = append(items, web.ProblemItem{Field: field, Detail: d.Message})
	}
	if len(items) > 0 {
		te.Field, te.Message = items[0].Field, items[0].Detail
	}
	var err error = te
	switch status := callOf(ctx.Context()).status(m.Status); status {
	case http.StatusRequestEntityTooLarge:
		te.Code = twin.CodeTooLarge
	case http.StatusUnsupportedMediaType:
		err = web.UnsupportedMediaType(ctx.Header("Content-Type"), "application/json")
	case http.StatusBadRequest:
	case http.StatusNotAcceptable, http.StatusRequestTimeout:
		err = &web.StatusError{Status: status, Slug: "invalid", Title: http.StatusText(status), Err: te}
	default:
		te.Code, te.Err = twin.CodeInternal, m
	}
	if len(items) > 1 {
		err = &web.ItemsError{Items: items, Err: err}
	}
	doc, _ := web.Describe(requestOf(ctx.Context()), err)
	return doc, nil
}
