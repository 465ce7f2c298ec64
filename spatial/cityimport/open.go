package cityimport

import (
	"context"
	"net/url"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/open"
)

// Reading says how a file is read where that cannot be seen from it. The zero
// value leaves it to the file.
type Reading struct {
	Format   string // name of one of open.Formats
	Layer    string // of a GeoPackage; empty: all
	Member   string // of an archive with several data sets
	Encoding string // of a Shapefile's or a CSV table's texts, e.g. GBK
	// Columns of a CSV table: of the geometry, or of coordinates.
	Column, X, Y, Z string
	ClassProperty   string // attribute that says the class
}

// fields gives each field by its name in a query.
func (r *Reading) fields() map[string]*string {
	return map[string]*string{
		"format": &r.Format, "layer": &r.Layer, "member": &r.Member, "encoding": &r.Encoding,
		"column": &r.Column, "x": &r.X, "y": &r.Y, "z": &r.Z, "classProperty": &r.ClassProperty,
	}
}

// maxReading bounds a field of Reading, in bytes.
const maxReading = 1000

// parse reads the fields from a query; bad makes the error.
func (r *Reading) parse(q url.Values, bad func(field, found, expected string) error) error {
	for name, to := range r.fields() {
		if *to = q.Get(name); len(*to) > maxReading {
			return bad(name, (*to)[:100]+"…", "at most 1000 bytes")
		}
	}
	return nil
}

// openSource opens a file whatever its format, as package citymodel/open finds it.
func openSource(ctx context.Context, path string, r Reading, o citymodel.Options) (citymodel.Reader, func() error, error) {
	return open.File(ctx, path, open.Options{
		FeatureOptions: citymodel.FeatureOptions{Options: o, ClassProperty: r.ClassProperty},
		Format:         r.Format, Layer: r.Layer, Member: r.Member, Encoding: r.Encoding, Column: r.Column, X: r.X, Y: r.Y, Z: r.Z,
	})
}
