package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"cityhub/twin"
)

// ContentTypeProblem is the media type of a problem document (RFC 9457).
const ContentTypeProblem = "application/problem+json"

// retryAfterSeconds is what a caller is asked to wait when the hub cannot
// serve it now.
const retryAfterSeconds = 5

// ProblemDocument is an RFC 9457 problem with the hub's extension members.
type ProblemDocument struct {
	Type     string        `json:"type" doc:"What kind of problem this is: a relative reference /problems/{code}" example:"/problems/not-found"`
	Title    string        `json:"title" doc:"The kind of problem in words"`
	Status   int           `json:"status" doc:"The HTTP status code"`
	Detail   string        `json:"detail,omitempty" doc:"What was wrong with this request"`
	Instance string        `json:"instance,omitempty" doc:"The path that was asked for"`
	Field    string        `json:"field,omitempty" doc:"The input field at fault"`
	Hint     string        `json:"hint,omitempty" doc:"How to mend it"`
	Incident string        `json:"incident,omitempty" doc:"The number under which the log keeps the cause"`
	Reason   string        `json:"reason,omitempty" doc:"Why a reading was refused: a short, stable text"`
	Errors   []ProblemItem `json:"errors,omitempty" doc:"Every fault of an input that has several"`
}

// ProblemItem is one fault of an input that has several.
type ProblemItem struct {
	Line   int    `json:"line,omitempty" doc:"Line of the input, from 1"`
	Column int    `json:"column,omitempty" doc:"Column of the line, from 1"`
	Field  string `json:"field,omitempty" doc:"The field at fault"`
	Detail string `json:"detail" doc:"What was found and what was expected"`
	Hint   string `json:"hint,omitempty"`
}

// StatusError gives an error another HTTP status than that of its Code; its
// problem type becomes slug, e.g. "method-not-allowed".
type StatusError struct {
	Status int
	Slug   string
	Title  string
	Reason string // a member of the problem; empty: none
	Err    error
}

// Error is that of the error inside.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap gives the error inside.
func (e *StatusError) Unwrap() error { return e.Err }

// ItemsError gives a problem its list of faults.
type ItemsError struct {
	Items []ProblemItem
	Err   error
}

// Error is that of the error inside.
func (e *ItemsError) Error() string { return e.Err.Error() }

// Unwrap gives the error inside.
func (e *ItemsError) Unwrap() error { return e.Err }

type kind struct {
	status int
	title  string
}

// kindOf is the one place that maps error codes to HTTP.
func kindOf(c twin.Code) kind {
	switch c {
	case twin.CodeInvalid:
		return kind{http.StatusBadRequest, "The request is not valid"}
	case twin.CodeNotFound:
		return kind{http.StatusNotFound, "There is no such thing"}
	case twin.CodeConflict:
		return kind{http.StatusConflict, "The request conflicts with what is there"}
	case twin.CodeUnauthorized:
		return kind{http.StatusUnauthorized, "The caller is not known"}
	case twin.CodeForbidden:
		return kind{http.StatusForbidden, "The caller may not do this"}
	case twin.CodeTooLarge:
		return kind{http.StatusRequestEntityTooLarge, "The request is too large"}
	case twin.CodeTooMany:
		return kind{http.StatusTooManyRequests, "A limit was reached"}
	case twin.CodeUnavailable:
		return kind{http.StatusServiceUnavailable, "The hub cannot serve this now"}
	}
	return kind{http.StatusInternalServerError, "The hub failed"}
}

// Describe turns err into a problem document and the headers that belong to
// its status. The cause of a failure of the hub itself is logged with an
// incident number and not shown.
func Describe(r *http.Request, err error) (ProblemDocument, http.Header) {
	h := make(http.Header)
	var te *twin.Error
	if !errors.As(err, &te) {
		te = &twin.Error{Code: twin.CodeInternal, Err: err}
		// A deadline that ran out while a store was read is load, not a defect.
		if errors.Is(err, context.DeadlineExceeded) {
			te = &twin.Error{Code: twin.CodeUnavailable, Message: "this took too long", Hint: "ask for less, or try again later", Err: err}
		}
	}
	k := kindOf(te.Code)
	p := ProblemDocument{
		Type: "/problems/" + string(te.Code), Title: k.title, Status: k.status,
		Detail: te.Message, Instance: r.URL.EscapedPath(), Field: te.Field, Hint: te.Hint,
	}
	var se *StatusError
	if errors.As(err, &se) {
		p.Type, p.Title, p.Status, p.Reason = "/problems/"+se.Slug, se.Title, se.Status, se.Reason
	}
	var ie *ItemsError
	if errors.As(err, &ie) {
		p.Errors = ie.Items
	}
	switch {
	case p.Status == http.StatusInternalServerError:
		p.Type, p.Field, p.Hint, p.Errors = "/problems/"+string(twin.CodeInternal), "", "", nil
		p.Incident = LogFailure(r, err)
		p.Detail = "The cause is in the hub's log under incident " + p.Incident + "."
	case p.Status == http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfterSeconds))
		if te.Err != nil {
			loggerFrom(r).LogAttrs(r.Context(), slog.LevelWarn, "request not served",
				slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Any("err", err))
		}
	case p.Status == http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	case p.Status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="cityhub"`)
	}
	return p, h
}

// Problem answers with err as problem+json. It writes nothing when the caller
// has gone away.
func Problem(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return
	}
	p, h := Describe(r, err)
	for name, vs := range h {
		if w.Header().Get(name) == "" {
			w.Header()[name] = vs
		}
	}
	w.Header().Set("Content-Type", ContentTypeProblem)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Del("Content-Length")
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(p) // the caller is gone: there is nobody left to tell
}

// NotFound is the problem for a path that leads nowhere.
func NotFound(w http.ResponseWriter, r *http.Request) {
	Problem(w, r, &twin.Error{Code: twin.CodeNotFound, Op: "http", Message: "nothing is at " + r.URL.EscapedPath()})
}

// MethodNotAllowed is the problem for a method that a path does not serve.
// allow is the value of the Allow header, e.g. "GET, POST".
func MethodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	Problem(w, r, methodNotAllowed(&twin.Error{Code: twin.CodeInvalid, Op: "http", Message: r.Method + " is not served here", Hint: "this path serves " + allow}))
}

// UnsupportedMediaType is the error for a body of a type that is not read.
func UnsupportedMediaType(got, want string) error {
	msg := "a body of type " + strconv.Quote(got) + " is not read here"
	if got == "" {
		msg = "the body has no Content-Type"
	}
	return unsupportedMediaType(&twin.Error{Code: twin.CodeInvalid, Op: "read body", Field: "Content-Type", Message: msg, Hint: "send " + want})
}

// NotImplemented is the error for a part of a standard that is not served;
// supported says what is.
func NotImplemented(field, message, supported string) error {
	return notImplemented(&twin.Error{Code: twin.CodeInvalid, Op: "http", Field: field, Message: message, Hint: supported})
}

// ProblemTypes serves /problems/{code}: what a problem's type means.
func ProblemTypes() http.Handler {
	kinds := make(map[string]kind)
	for _, c := range []twin.Code{twin.CodeInvalid, twin.CodeNotFound, twin.CodeConflict, twin.CodeUnauthorized, twin.CodeForbidden,
		twin.CodeTooLarge, twin.CodeTooMany, twin.CodeUnavailable, twin.CodeInternal} {
		kinds[string(c)] = kindOf(c)
	}
	for _, se := range []*StatusError{methodNotAllowed(nil), unsupportedMediaType(nil), notImplemented(nil), ObservationRejected(http.StatusBadRequest, "", nil)} {
		kinds[se.Slug] = kind{se.Status, se.Title}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slug := r.PathValue("code")
		k, ok := kinds[slug]
		if !ok {
			NotFound(w, r)
			return
		}
		JSON(w, r, http.StatusOK, map[string]any{"type": "/problems/" + slug, "title": k.title, "status": k.status})
	})
}

func methodNotAllowed(err error) *StatusError {
	return &StatusError{Status: http.StatusMethodNotAllowed, Slug: "method-not-allowed", Title: "The method is not served here", Err: err}
}

func unsupportedMediaType(err error) *StatusError {
	return &StatusError{Status: http.StatusUnsupportedMediaType, Slug: "unsupported-media-type", Title: "The body's type is not supported", Err: err}
}

// ObservationRejected is the error for a reading that ingest refused.
func ObservationRejected(status int, reason twin.RejectReason, err error) *StatusError {
	return &StatusError{Status: status, Slug: "observation-rejected", Title: "The reading was refused", Reason: string(reason), Err: err}
}

func notImplemented(err error) *StatusError {
	return &StatusError{Status: http.StatusNotImplemented, Slug: "not-implemented", Title: "This part of the standard is not served", Err: err}
}

// LogFailure logs that the hub failed to answer r and gives the incident
// number under which it did. Describe does it for every problem of status 500;
// a handler does it where no problem can be sent any more.
func LogFailure(r *http.Request, err error) string {
	id := incident()
	loggerFrom(r).LogAttrs(r.Context(), slog.LevelError, "request failed",
		slog.String("incident", id), slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Any("err", err))
	return id
}

func incident() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error
	return hex.EncodeToString(b[:])
}
