package api

import (
	"bytes"
	"context"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/internal/web"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

// importReadTimeout is how long a caller may take to send a manifest.
const importReadTimeout = 5 * time.Minute

type importOutput struct {
	Body struct {
		registry.ImportResult
		DryRun bool `json:"dryRun" doc:"Nothing was changed"`
	}
}

func (a *API) imports() {
	op := huma.Operation{OperationID: "import-terminals", Method: http.MethodPost, Path: terminalsPath + "/import", Summary: "Register terminals from a manifest", Tags: []string{"terminals"},
		Description: "All or nothing. The mistakes of the manifest come together, each with its line.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
		}},
		SkipValidateBody: true, MaxBodyBytes: a.o.MaxImport, BodyReadTimeout: importReadTimeout,
	}
	register(a, admin, op, func(ctx context.Context, in *struct {
		DryRun      bool   `query:"dryRun" doc:"Check everything and change nothing"`
		ContentType string `header:"Content-Type" hidden:"true"`
		RawBody     []byte `contentType:"application/yaml"`
	}) (*importOutput, error) {
		m, err := parseManifest(in.ContentType, in.RawBody)
		if err != nil {
			return nil, err
		}
		res, err := a.o.Registry.Import(ctx, m, registry.ImportOptions{DryRun: in.DryRun})
		if err != nil {
			return nil, err
		}
		out := &importOutput{}
		out.Body.ImportResult, out.Body.DryRun = res, in.DryRun
		return out, nil
	})
	op.RequestBody.Content["application/yaml"].Schema = &huma.Schema{Type: huma.TypeString}
}

// parseManifest reads a manifest in the notation that its media type names.
func parseManifest(contentType string, body []byte) (*manifest.Manifest, error) {
	mt, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		mt = ""
	}
	switch mt {
	case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
		return manifest.ParseYAML("", bytes.NewReader(body))
	case "text/csv":
		return manifest.ParseCSV("", bytes.NewReader(body))
	}
	return nil, web.UnsupportedMediaType(contentType, "application/yaml or text/csv")
}
