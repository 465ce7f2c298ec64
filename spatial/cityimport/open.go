package cityimport

import (
	"context"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/open"
)

// Open opens a file whatever its format, as package citymodel/open finds it.
func Open(path string, o citymodel.Options) (citymodel.Reader, func() error, error) {
	return open.File(context.Background(), path, open.Options{FeatureOptions: citymodel.FeatureOptions{Options: o}})
}
