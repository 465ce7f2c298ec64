package api

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/internal/web"
	"cityhub/twin"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

const terminalsPath = "/api/v1/terminals"

// maxTerminal is the most bytes of one terminal's registration.
const maxTerminal = 4 << 20

// TerminalRegistration is one terminal of the manifest, as a body.
type TerminalRegistration manifest.Terminal

var registrationType = reflect.TypeFor[TerminalRegistration]()

type terminalPage struct {
	Terminals []Terminal `json:"terminals"`
	Total     int        `json:"total" doc:"How many match, on all pages"`
	Next      string     `json:"next,omitempty" doc:"The after of the next page; absent on the last"`
}

type terminalPageOutput struct {
	Link string `header:"Link" doc:"rel=next, where there is a next page"`
	Body terminalPage
}

type terminalQuery struct {
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Offset   int    `query:"offset" minimum:"0" doc:"How many to leave out; after is the cheaper way through a long list"`
	After    string `query:"after" maxLength:"64" doc:"Codes after this one"`
	Domain   string `query:"domain" enum:"city-management,public-safety,transport,environment,emergency"`
	District string `query:"district" maxLength:"64"`
	State    string `query:"state" enum:"planned,active,fault,maintenance,retired"`
	Dataset  string `query:"dataset" maxLength:"64" doc:"Code of a Dataset"`
	Text     string `query:"text" maxLength:"256" doc:"In the code or a name"`
}

type terminalCode struct {
	Code string `path:"code" maxLength:"64" doc:"Code of the terminal"`
}

type terminalOutput struct {
	Status   int
	Location string   `header:"Location" doc:"Where the terminal is read, when it was created"`
	Warning  []string `header:"Cityhub-Warning" doc:"What the person who registers it should know"`
	Body     Terminal
}

func (a *API) terminals() {
	tags := []string{"terminals"}
	register(a, admin, huma.Operation{OperationID: "list-terminals", Method: http.MethodGet, Path: terminalsPath, Summary: "List terminals in order of code", Tags: tags}, a.listTerminals)
	register(a, admin, huma.Operation{OperationID: "get-terminal", Method: http.MethodGet, Path: terminalsPath + "/{code}", Summary: "Read a terminal with its Datastreams and their latest values", Tags: tags},
		func(ctx context.Context, in *terminalCode) (*terminalOutput, error) {
			t, err := a.readTerminal(ctx, in.Code)
			if err != nil {
				return nil, err
			}
			return &terminalOutput{Status: http.StatusOK, Body: *t}, nil
		})
	a.withTerminalBody(huma.Operation{OperationID: "create-terminal", Method: http.MethodPost, Path: terminalsPath, Summary: "Register a terminal", Tags: tags, DefaultStatus: http.StatusCreated,
		Description: "The body is one terminal of the manifest. A code that is registered already is a conflict."},
		func(op huma.Operation) {
			register(a, admin, op, func(ctx context.Context, in *struct {
				ContentType string `header:"Content-Type" hidden:"true"`
				RawBody     []byte `contentType:"application/json"`
			}) (*terminalOutput, error) {
				return a.createTerminal(ctx, in.ContentType, in.RawBody)
			})
		})
	a.withTerminalBody(huma.Operation{OperationID: "put-terminal", Method: http.MethodPut, Path: terminalsPath + "/{code}", Summary: "Register or replace a terminal", Tags: tags,
		Description: "The body is one terminal of the manifest, whole: what is left out gets its default, a property that is left out is retired. Credentials that are left out stay."},
		func(op huma.Operation) {
			register(a, admin, op, func(ctx context.Context, in *struct {
				Code        string `path:"code" maxLength:"64" doc:"Code of the terminal"`
				ContentType string `header:"Content-Type" hidden:"true"`
				RawBody     []byte `contentType:"application/json"`
			}) (*terminalOutput, error) {
				var t manifest.Terminal
				if err := decodeTerminal(in.ContentType, in.RawBody, &t); err != nil {
					return nil, err
				}
				return a.putTerminal(ctx, in.Code, t)
			})
		})
	a.withTerminalBody(huma.Operation{OperationID: "patch-terminal", Method: http.MethodPatch, Path: terminalsPath + "/{code}", Summary: "Change a terminal", Tags: tags,
		Description: "The body is a JSON merge patch (RFC 7396) on the terminal as put-terminal takes it: null removes a member, a list is replaced whole."},
		func(op huma.Operation) {
			register(a, admin, op, func(ctx context.Context, in *struct {
				Code        string `path:"code" maxLength:"64" doc:"Code of the terminal"`
				ContentType string `header:"Content-Type" hidden:"true"`
				RawBody     []byte `contentType:"application/json"`
			}) (*terminalOutput, error) {
				return a.patchTerminal(ctx, in.Code, in.ContentType, in.RawBody)
			})
		})
	register(a, admin, huma.Operation{OperationID: "retire-terminal", Method: http.MethodDelete, Path: terminalsPath + "/{code}", Summary: "Retire a terminal", Tags: tags, DefaultStatus: http.StatusNoContent,
		Description: "Its readings are refused from now on; its history, ids and code stay."},
		func(ctx context.Context, in *terminalCode) (*struct{}, error) {
			return nil, a.o.Registry.RetireTerminal(ctx, in.Code)
		})
}

// withTerminalBody describes the body of an operation that takes a terminal.
// The body itself is read by this package, whose mistakes name more than a
// schema can.
func (a *API) withTerminalBody(op huma.Operation, add func(huma.Operation)) {
	op.RequestBody = &huma.RequestBody{Required: true}
	op.SkipValidateBody, op.MaxBodyBytes = true, maxTerminal
	add(op)
	op.RequestBody.Content["application/json"].Schema = a.huma.OpenAPI().Components.Schemas.Schema(registrationType, true, "")
	if op.Method == http.MethodPatch {
		op.RequestBody.Content["application/merge-patch+json"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeObject}}
		op.RequestBody.Content["application/json"].Schema = &huma.Schema{Type: huma.TypeObject}
	}
}

func (a *API) listTerminals(ctx context.Context, in *terminalQuery) (*terminalPageOutput, error) {
	page, total, err := a.o.Registry.ListTerminals(ctx, registry.TerminalQuery{
		After: in.After, Offset: in.Offset, Limit: in.Limit + 1, Domain: twin.Domain(in.Domain), District: in.District,
		State: twin.TerminalState(in.State), Dataset: in.Dataset, Text: in.Text,
	})
	if err != nil {
		return nil, err
	}
	out := &terminalPageOutput{Body: terminalPage{Terminals: []Terminal{}, Total: total}}
	if len(page) > in.Limit {
		page = page[:in.Limit]
		out.Body.Next = page[in.Limit-1].Thing.Code
		q := requestOf(ctx).URL.Query()
		q.Del("offset")
		q.Set("limit", strconv.Itoa(in.Limit))
		q.Set("after", out.Body.Next)
		out.Link = "<" + terminalsPath + "?" + q.Encode() + `>; rel="next"`
	}
	for i := range page {
		out.Body.Terminals = append(out.Body.Terminals, terminalOf(&page[i]))
	}
	return out, nil
}

// readTerminal is a terminal with its Datastreams.
func (a *API) readTerminal(ctx context.Context, code string) (*Terminal, error) {
	info, properties, err := a.terminalInfo(ctx, code)
	if err != nil {
		return nil, err
	}
	v, err := a.o.Gate.View(ctx, web.PrincipalFrom(ctx))
	if err != nil {
		return nil, err
	}
	t := terminalOf(info)
	for _, d := range info.Datastreams {
		t.Datastreams = append(t.Datastreams, datastreamOf(v, d, properties[d.Property]))
	}
	return &t, nil
}

func (a *API) terminalInfo(ctx context.Context, code string) (*registry.TerminalInfo, map[twin.ObservedPropertyID]twin.ObservedProperty, error) {
	info, err := a.o.Registry.TerminalInfo(ctx, code)
	if err != nil {
		return nil, nil, err
	}
	list, _, err := a.o.Registry.ObservedProperties(ctx, registry.Query{All: true, Thing: info.Thing.ID, Limit: registry.MaxLimit})
	if err != nil {
		return nil, nil, err
	}
	byID := make(map[twin.ObservedPropertyID]twin.ObservedProperty, len(list))
	for _, p := range list {
		byID[p.ID] = p
	}
	return info, byID, nil
}

// decodeTerminal reads a terminal from JSON; a member it does not have is a
// mistake.
func decodeTerminal(contentType string, body []byte, t *manifest.Terminal) error {
	if mt, _, err := mime.ParseMediaType(contentType); err != nil || mt != "application/json" {
		return web.UnsupportedMediaType(contentType, "application/json")
	}
	return web.UnmarshalJSON(body, t)
}

func (a *API) createTerminal(ctx context.Context, contentType string, body []byte) (*terminalOutput, error) {
	var t manifest.Terminal
	if err := decodeTerminal(contentType, body, &t); err != nil {
		return nil, err
	}
	// Two calls at the same moment may both pass: the later one is an update.
	if _, err := a.o.Registry.Terminal(ctx, t.Code); err == nil {
		return nil, &twin.Error{Code: twin.CodeConflict, Op: "create terminal", Field: "code", Message: "the terminal " + strconv.Quote(t.Code) + " is registered already", Hint: "change it with PUT or PATCH " + terminalPath(t.Code)}
	} else if twin.ErrorCode(err) != twin.CodeNotFound {
		return nil, err
	}
	return a.putTerminal(ctx, t.Code, t)
}

func terminalPath(code string) string { return terminalsPath + "/" + url.PathEscape(code) }

func (a *API) putTerminal(ctx context.Context, code string, t manifest.Terminal) (*terminalOutput, error) {
	if t.Code == "" {
		t.Code = code
	}
	if t.Code != code {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "put terminal", Field: "code", Message: strconv.Quote(t.Code) + " is not the code in the path", Hint: "a code does not change; leave it out"}
	}
	res, err := a.o.Registry.PutTerminal(ctx, t)
	if err != nil {
		return nil, err
	}
	read, err := a.readTerminal(ctx, code)
	if err != nil {
		return nil, err
	}
	out := &terminalOutput{Status: http.StatusOK, Body: *read}
	for _, w := range res.Warnings {
		out.Warning = append(out.Warning, mime.QEncoding.Encode("utf-8", w)) // headers are ASCII
	}
	if res.Created {
		out.Status, out.Location = http.StatusCreated, terminalPath(code)
	}
	return out, nil
}

func (a *API) patchTerminal(ctx context.Context, code, contentType string, patch []byte) (*terminalOutput, error) {
	if mt, _, err := mime.ParseMediaType(contentType); err != nil || (mt != "application/json" && mt != "application/merge-patch+json") {
		return nil, web.UnsupportedMediaType(contentType, "application/merge-patch+json")
	}
	var change map[string]any
	if err := json.Unmarshal(patch, &change); err != nil {
		return nil, web.JSONError(err)
	}
	info, properties, err := a.terminalInfo(ctx, code)
	if err != nil {
		return nil, err
	}
	old, err := json.Marshal(manifestOf(info, properties))
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := json.Unmarshal(old, &doc); err != nil {
		return nil, err
	}
	merged, err := json.Marshal(mergePatch(doc, change))
	if err != nil {
		return nil, err
	}
	var t manifest.Terminal
	if err := web.UnmarshalJSON(merged, &t); err != nil {
		return nil, err
	}
	return a.putTerminal(ctx, code, t)
}

// mergePatch applies an RFC 7396 merge patch to doc.
func mergePatch(doc any, patch map[string]any) map[string]any {
	out, ok := doc.(map[string]any)
	if !ok {
		out = map[string]any{}
	}
	for k, v := range patch {
		switch p := v.(type) {
		case nil:
			delete(out, k)
		case map[string]any:
			out[k] = mergePatch(out[k], p)
		default:
			out[k] = v
		}
	}
	return out
}
