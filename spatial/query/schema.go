package query

import (
	_ "embed" // the schema and the description
	"net/http"
)

//go:embed schema.json
var schemaJSON []byte

//go:embed openapi.json
var openAPIJSON []byte

// SchemaJSON is the JSON Schema (2020-12) of questions.
func SchemaJSON() []byte { return append([]byte(nil), schemaJSON...) }

// OpenAPIJSON is the OpenAPI 3.1 description of the handler's routes. It refers
// to the schema by its URL.
func OpenAPIJSON() []byte { return append([]byte(nil), openAPIJSON...) }

func (h *handler) schema(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.params(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/schema+json")
	w.Header().Set("Cache-Control", "public, max-age=3600") // the same for everybody
	_, _ = w.Write(schemaJSON)                              // the client is gone: there is nobody left to tell
	return nil
}

func (h *handler) openAPI(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.params(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(openAPIJSON)
	return nil
}
