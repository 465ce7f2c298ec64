package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"cityhub/internal/web"
	"cityhub/spatial"
	"cityhub/spatial/cityimport"
	"cityhub/spatial/edr"
	"cityhub/spatial/features"
	"cityhub/spatial/objects"
	"cityhub/spatial/query"
	"cityhub/spatial/store"
	"cityhub/spatial/tiles"
	"cityhub/spatial/tiles3d"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
)

// maxUpload is the largest file of a city model that a running hub takes, in
// bytes: that of a large city's CityGML.
const maxUpload = 8 << 30

// cityRoutes adds what is served of the city model. Everything is read through
// the gate.
func (h *hub) cityRoutes(mux *http.ServeMux) error {
	gate := cityGate{h.gate, h.city}
	mux.Handle(objects.Prefix+"/", web.OpenReads(objects.New(objects.Options{Gate: gate, Problem: spatialProblem, Network: h.city.network})))

	vector, err := tiles.New(tiles.Options{Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Logger: h.logger.With("part", "tiles")})
	if err != nil {
		return err
	}
	observations, err := edr.New(edr.Options{Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Logger: h.logger.With("part", "edr")})
	if err != nil {
		return err
	}
	served, err := features.New(features.Options{
		Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Logger: h.logger.With("part", "features"),
		Extensions: []features.Extension{tilesExtension(), edrExtension()},
	})
	if err != nil {
		return err
	}
	mux.Handle("/ogc", web.OpenReads(served))
	mux.Handle("/ogc/", web.OpenReads(served))
	for _, path := range tiles.Patterns() {
		mux.Handle(path, web.OpenReads(vector))
	}
	for _, path := range edr.Patterns() {
		mux.Handle(path, web.OpenReads(observations))
	}

	scene, err := tiles3d.New(tiles3d.Options{
		Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Logger: h.logger.With("part", "3dtiles"),
		// Asked for again each time, and mostly not sent again: what is closed must
		// not go on showing (R29).
		MaxAge:       -1,
		GroundMetres: h.cfg.City.GroundMetres, EllipsoidOffsetMetres: h.cfg.City.EllipsoidOffsetMetres,
	})
	if err != nil {
		return err
	}
	mux.Handle("/3dtiles", web.OpenReads(scene))
	mux.Handle("/3dtiles/", web.OpenReads(scene))

	temporary := filepath.Join(h.cfg.Data, "tmp") // GeoPackages are written there before they are sent
	// What a hub that was killed left there goes.
	if err := errors.Join(os.RemoveAll(temporary), os.MkdirAll(temporary, 0o750)); err != nil {
		return fmt.Errorf("folder for answers: %w", err)
	}
	questions, err := query.New(query.Options{
		Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Saved: savedQuestions{h.registry}, Who: asker, Upstream: h.city.upstream,
		TempDir: temporary, Logger: h.logger.With("part", "questions"),
	})
	if err != nil {
		return err
	}
	mux.Handle("/api/v1/spatial/", web.OpenReads(questions))
	return nil
}

// asker is who owns the questions that the caller saves.
func asker(r *http.Request) query.Caller {
	p := web.PrincipalFrom(r.Context())
	return query.Caller{Name: p.Name, Manage: p.Role == policy.RoleAdmin}
}

// savedQuestions keeps spatial questions in the registry.
type savedQuestions struct{ registry *registry.Registry }

func (s savedQuestions) Put(ctx context.Context, q query.Question) error {
	return s.registry.PutSpatialQuestion(ctx, registry.SpatialQuestion{
		ID: q.ID, Name: q.Name, NameEn: q.NameEn, Description: q.Description, Owner: q.Owner, Visibility: string(q.Visibility),
		Document: q.Document, Created: q.Created, Updated: q.Updated,
	})
}

func (s savedQuestions) Get(ctx context.Context, id string) (query.Question, bool, error) {
	q, ok, err := s.registry.SpatialQuestion(ctx, id)
	return savedQuestion(q), ok, err
}

func (s savedQuestions) List(ctx context.Context, c query.Caller, after string, limit int) ([]query.Question, error) {
	list, err := s.registry.SpatialQuestions(ctx, c.Name, c.Manage, after, limit)
	out := make([]query.Question, len(list))
	for i, q := range list {
		out[i] = savedQuestion(q)
	}
	return out, err
}

func (s savedQuestions) Delete(ctx context.Context, id string) error {
	return s.registry.DeleteSpatialQuestion(ctx, id)
}

func savedQuestion(q registry.SpatialQuestion) query.Question {
	return query.Question{
		ID: q.ID, Name: q.Name, NameEn: q.NameEn, Description: q.Description, Owner: q.Owner, Visibility: query.Visibility(q.Visibility),
		Document: q.Document, Created: q.Created, Updated: q.Updated,
	}
}

// tilesExtension is what the documents under /ogc say of vector tiles.
func tilesExtension() features.Extension {
	about := tiles.Describe()
	link := func(l tiles.Link) features.Link {
		return features.Link{Rel: l.Rel, Type: l.Type, Title: l.Title, Href: l.Href, Templated: l.Templated}
	}
	e := features.Extension{Conformance: about.Conformance, OpenAPI: belowOGC(about.Paths)}
	for _, l := range about.Landing {
		e.Landing = append(e.Landing, link(l))
	}
	e.Collection = func(id string) (out []features.Link) {
		for _, l := range about.Collections[id] {
			out = append(out, link(l))
		}
		return out
	}
	return e
}

// belowOGC gives the paths as the document's server address, /ogc, leaves them.
func belowOGC(paths map[string]any) map[string]any {
	out := make(map[string]any, len(paths))
	for path, item := range paths {
		out[strings.TrimPrefix(path, "/ogc")] = item
	}
	return out
}

// edrExtension is what they say of observations by place.
func edrExtension() features.Extension {
	about := edr.Describe()
	e := features.Extension{Conformance: about.Conformance, OpenAPI: belowOGC(about.Paths)}
	for _, l := range about.Landing {
		e.Landing = append(e.Landing, features.Link{Rel: l.Rel, Type: l.Type, Title: l.Title, Href: l.Href, Templated: l.Templated})
	}
	return e
}

// importRoute takes in files of city models.
func (h *hub) importRoute() (http.Handler, error) {
	return cityimport.NewHandler(cityimport.HandlerOptions{
		Importer: func(r *http.Request) (cityimport.Importer, error) {
			if err := web.PrincipalFrom(r.Context()).RequireAdmin("import a city model"); err != nil {
				return nil, err
			}
			return followedImport{h.city}, nil
		},
		Problem: spatialProblem, Dir: filepath.Join(h.cfg.Data, "uploads"), MaxBytes: maxUpload,
		Catalogue: cityCatalogue{h.registry}, Logger: h.logger.With("part", "import"),
	})
}

// followedImport is an import into a running hub: what watches the model has
// what is new when it returns.
type followedImport struct{ model *cityModel }

func (f followedImport) Import(ctx context.Context, o store.ImportOptions, objects iter.Seq2[*spatial.CityObject, error]) (store.ImportResult, error) {
	res, err := f.model.store.Import(ctx, o, objects)
	if err != nil || o.DryRun {
		return res, err
	}
	return res, f.model.follow(context.WithoutCancel(ctx))
}
