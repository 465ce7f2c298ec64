package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"cityhub/twin"
)

// JSON answers with v. Nothing is sent before v is encoded whole, so that a
// value that cannot be encoded is a problem document and not a cut body.
func JSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		Problem(w, r, fmt.Errorf("encode response: %w", err))
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, b.String()) // the caller is gone: there is nobody left to tell
	}
}

// DecodeJSON reads one JSON value of at most max bytes from the body into v.
// Errors name the field that is wrong. A member that v does not have is one.
func DecodeJSON(w http.ResponseWriter, r *http.Request, max int64, v any) error {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return UnsupportedMediaType(r.Header.Get("Content-Type"), "application/json")
	}
	body, err := ReadBody(w, r, max)
	if err != nil {
		return err
	}
	return UnmarshalJSON(body, v)
}

// UnmarshalJSON is json.Unmarshal that refuses members v does not have and
// names the field that is wrong.
func UnmarshalJSON(body []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return JSONError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &twin.Error{Code: twin.CodeInvalid, Op: "read body", Message: "there is more than one JSON value in the body", Hint: "send one"}
	}
	return nil
}

// ReadBody reads a body of at most max bytes; a longer one is CodeTooLarge.
func ReadBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	if err == nil {
		return body, nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &twin.Error{Code: twin.CodeTooLarge, Op: "read body", Message: fmt.Sprintf("the body is over %d bytes", tooLarge.Limit)}
	}
	return nil, &twin.Error{Code: twin.CodeInvalid, Op: "read body", Message: "the body ended before its length", Err: err}
}

// JSONError turns an error of encoding/json into one that names the field at
// fault or the byte where the JSON breaks.
func JSONError(err error) error {
	e := &twin.Error{Code: twin.CodeInvalid, Op: "read body", Err: err}
	var (
		syn *json.SyntaxError
		typ *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syn):
		e.Message = fmt.Sprintf("the body is not JSON at byte %d: %s", syn.Offset, syn)
	case errors.As(err, &typ):
		e.Field = typ.Field
		e.Message = fmt.Sprintf("%s was given, %s was expected", typ.Value, jsonKind(typ.Type.Kind().String()))
	case errors.Is(err, io.EOF):
		e.Message = "the body is empty, JSON was expected"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Message = "the body ends inside a JSON value"
	default:
		// encoding/json has no type for this one; the name is in its text.
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			e.Field, e.Message = strings.Trim(name, `"`), "there is no such member"
		} else {
			e.Message = "the body could not be read: " + strings.TrimPrefix(err.Error(), "json: ")
		}
	}
	return e
}

func jsonKind(k string) string {
	switch {
	case k == "struct" || k == "map":
		return "an object"
	case k == "slice" || k == "array":
		return "an array"
	case k == "string":
		return "a string"
	case k == "bool":
		return "true or false"
	default:
		return "a number"
	}
}
