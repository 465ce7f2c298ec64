package main

import (
	"context"
	"iter"
	"net/http"
	"path/filepath"

	"cityhub/internal/web"
	"cityhub/spatial"
	"cityhub/spatial/cityimport"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/open"
	"cityhub/spatial/features"
	"cityhub/spatial/objects"
	"cityhub/spatial/store"
	"cityhub/spatial/tiles"
	"cityhub/spatial/tiles3d"
)

// maxUpload is the largest file of a city model that a running hub takes, in
// bytes: that of a large city's CityGML.
const maxUpload = 8 << 30

// cityRoutes adds what is served of the city model. Everything is read through
// the gate.
func (h *hub) cityRoutes(mux *http.ServeMux) error {
	gate := cityGate{h.gate, h.city}
	mux.Handle(objects.Prefix+"/", web.OpenReads(objects.New(objects.Options{Gate: gate, Problem: spatialProblem})))

	vector, err := tiles.New(tiles.Options{Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Logger: h.logger.With("part", "tiles")})
	if err != nil {
		return err
	}
	about := tiles.Describe()
	served, err := features.New(features.Options{
		Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Logger: h.logger.With("part", "features"),
		Extensions: []features.Extension{{
			Conformance: about.Conformance, Landing: featureLinks(about.Landing), OpenAPI: about.Paths,
			Collection: func(id string) []features.Link { return featureLinks(about.Collections[id]) },
		}},
	})
	if err != nil {
		return err
	}
	mux.Handle("/ogc", web.OpenReads(served))
	mux.Handle("/ogc/", web.OpenReads(served))
	for _, path := range []string{"/ogc/collections/{id}/tiles", "/ogc/tiles", "/ogc/tileMatrixSets", "/ogc/styles"} {
		mux.Handle(path, web.OpenReads(vector))
		mux.Handle(path+"/", web.OpenReads(vector))
	}

	scene, err := tiles3d.New(tiles3d.Options{Gate: gate, Problem: spatialProblem, BaseURL: web.BaseURL, Logger: h.logger.With("part", "3dtiles")})
	if err != nil {
		return err
	}
	mux.Handle("/3dtiles", web.OpenReads(scene))
	mux.Handle("/3dtiles/", web.OpenReads(scene))
	return nil
}

func featureLinks(links []tiles.Link) []features.Link {
	out := make([]features.Link, len(links))
	for i, l := range links {
		out[i] = features.Link{Rel: l.Rel, Type: l.Type, Title: l.Title, Href: l.Href, Templated: l.Templated}
	}
	return out
}

// importRoute takes in files of city models.
func (h *hub) importRoute() (http.Handler, error) {
	return cityimport.NewHandler(cityimport.HandlerOptions{
		Importer: func(r *http.Request) (cityimport.Importer, error) {
			if err := web.PrincipalFrom(r.Context()).RequireAdmin("import a city model"); err != nil {
				return nil, err
			}
			return followedImport{h.city}, h.city.Healthy()
		},
		Problem: spatialProblem, Dir: filepath.Join(h.cfg.Data, "uploads"), MaxBytes: maxUpload, Open: openCityFile,
		Catalogue: cityCatalogue{h.registry}, Logger: h.logger.With("part", "import"),
	})
}

// openCityFile opens a file of a city model whatever its format.
func openCityFile(path string, o citymodel.Options) (citymodel.Reader, func() error, error) {
	return open.File(context.Background(), path, open.Options{FeatureOptions: citymodel.FeatureOptions{Options: o}})
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
