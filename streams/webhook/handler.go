package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"cityhub/twin"
)

// Path is where the Handler serves.
const Path = "/api/v1/webhooks"

// HandlerOptions of Handler. All are needed.
type HandlerOptions struct {
	// Caller is who asks; an error for who may not manage webhooks. Today that
	// is everybody but the operator.
	Caller func(r *http.Request) (Owner, error)
	// Problem answers with a problem document.
	Problem func(w http.ResponseWriter, r *http.Request, err error)
}

// Handler serves the management of webhooks at Path:
//
//	GET    /api/v1/webhooks             the list
//	POST   /api/v1/webhooks             makes one of a Definition; 201, with its secret
//	GET    /api/v1/webhooks/{id}        one, with its state
//	PUT    /api/v1/webhooks/{id}        another Definition
//	DELETE /api/v1/webhooks/{id}        204
//	POST   /api/v1/webhooks/{id}/secret another secret
//	POST   /api/v1/webhooks/{id}/pause, /resume
//	POST   /api/v1/webhooks/{id}/test   a test delivery, and how it ended
func (m *Manager) Handler(o HandlerOptions) (http.Handler, error) {
	if o.Caller == nil || o.Problem == nil {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "new webhook handler", Field: "Caller, Problem", Message: "are needed"}
	}
	h := &handler{m: m, o: o, mux: http.NewServeMux()}
	h.handle("GET ", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		return answer(w, http.StatusOK, map[string]any{"webhooks": m.List(r.Context())})
	})
	h.handle("POST ", func(w http.ResponseWriter, r *http.Request, who Owner) error {
		d, err := readDefinition(w, r)
		if err != nil {
			return err
		}
		v, err := m.Create(r.Context(), who, d)
		if err != nil {
			return err
		}
		w.Header().Set("Location", Path+"/"+v.ID)
		return answer(w, http.StatusCreated, v)
	})
	h.handle("GET /{id}", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		v, err := m.Get(r.Context(), r.PathValue("id"))
		return answerOr(w, v, err)
	})
	h.handle("PUT /{id}", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		d, err := readDefinition(w, r)
		if err != nil {
			return err
		}
		v, err := m.Replace(r.Context(), r.PathValue("id"), d)
		return answerOr(w, v, err)
	})
	h.handle("DELETE /{id}", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		if err := m.Delete(r.Context(), r.PathValue("id")); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	h.handle("POST /{id}/secret", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		v, err := m.Rotate(r.Context(), r.PathValue("id"))
		return answerOr(w, v, err)
	})
	h.handle("POST /{id}/pause", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		v, err := m.Pause(r.Context(), r.PathValue("id"))
		return answerOr(w, v, err)
	})
	h.handle("POST /{id}/resume", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		v, err := m.Resume(r.Context(), r.PathValue("id"))
		return answerOr(w, v, err)
	})
	h.handle("POST /{id}/test", func(w http.ResponseWriter, r *http.Request, _ Owner) error {
		v, err := m.Test(r.Context(), r.PathValue("id"))
		return answerOr(w, v, err)
	})
	return h, nil
}

type handler struct {
	m   *Manager
	o   HandlerOptions
	mux *http.ServeMux
}

func (h *handler) handle(pattern string, fn func(http.ResponseWriter, *http.Request, Owner) error) {
	method, path, _ := strings.Cut(pattern, " ")
	h.mux.HandleFunc(method+" "+Path+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // a secret may be in it
		who, err := h.o.Caller(r)
		if err == nil {
			err = fn(w, r, who)
		}
		if err != nil {
			h.o.Problem(w, r, err)
		}
	})
}

// ServeHTTP answers what is at and below Path.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := h.mux.Handler(r); pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	// The mux would answer in plain text.
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		try := r.Clone(r.Context())
		try.Method = method
		if _, pattern := h.mux.Handler(try); pattern != "" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		h.o.Problem(w, r, &twin.Error{Code: twin.CodeNotFound, Op: "webhooks", Message: "there is nothing at this path"})
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", ")) // RFC 9110 section 15.5.6
	http.Error(w, "expected "+strings.Join(allow, " or "), http.StatusMethodNotAllowed)
}

func readDefinition(w http.ResponseWriter, r *http.Request) (Definition, error) {
	var d Definition
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return d, &twin.Error{Code: twin.CodeInvalid, Op: "read webhook", Field: "Content-Type", Message: "expected application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDefinitionBytes))
	if err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return d, &twin.Error{Code: twin.CodeTooLarge, Op: "read webhook", Message: "the body is over 256 KiB"}
		}
		return d, &twin.Error{Code: twin.CodeInvalid, Op: "read webhook", Message: "the body could not be read", Err: err}
	}
	return d, unmarshal(body, &d)
}

func answerOr[T any](w http.ResponseWriter, v T, err error) error {
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, v)
}

func answer(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone: there is nobody left to tell
	return nil
}
